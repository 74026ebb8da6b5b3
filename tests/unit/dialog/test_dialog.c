/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dialog/dialog.h"

#define OURS  "<sip:192.0.2.9:5060;lr;r=abc>"
#define OURS2 "<sip:192.0.2.9:5061;lr;r=abc>"

static bool is_ours(void *user, struct slice value)
{
    (void)user;
    return slice_equal(value, SLICE(OURS)) || slice_equal(value, SLICE(OURS2));
}

/** The 2xx to an INVITE with CSeq 7. */
static struct sip_msg *answer(const char *routes, const char *contact)
{
    static struct sip_msg msg;
    static char text[2048];

    snprintf(text, sizeof text,
             "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n%s"
             "From: \"A\" <sip:a@example.com>;tag=ta\r\nTo: <sip:b@example.com>;tag=tb\r\n"
             "Call-ID: c\r\nCSeq: 7 INVITE\r\n%sContent-Length: 0\r\n\r\n",
             routes, contact);
    assert_int_equal(OK, sip_parse(slice_of(text), SIP_DATAGRAM, &msg));
    return &msg;
}

static void assert_text(const char *wanted, struct slice got)
{
    char text[2048];

    assert_true(got.len < sizeof text);
    if (got.len > 0)
        memcpy(text, got.data, got.len);
    text[got.len] = '\0';
    assert_string_equal(wanted, text);
}

/** A dialog of which all is known; texts are in `room`. */
static struct dialog confirmed(const char *routes, char *room, size_t size)
{
    struct dialog dialog = {.caller = {.target = SLICE("sip:a@192.0.2.1:6060")}};
    struct builder b = builder_over(room, size);

    assert_int_equal(OK,
                     dialog_confirm(&dialog, answer(routes, "Contact: <sip:b@192.0.2.2?x=y>\r\n"),
                                    is_ours, NULL, &b));
    return dialog;
}

static void each_end_has_its_part_of_the_routes(void **state)
{
    (void)state;
    char room[512];
    struct dialog dialog = confirmed("Record-Route: <sip:near-b;lr>, <sip:mid;lr>\r\n"
                                     "Record-Route: " OURS ",\r\n " OURS2 "\r\n"
                                     "Record-Route: <sip:near-us;lr>,<sip:near-a;lr>\r\n",
                                     room, sizeof room);

    assert_text(OURS, dialog.ours);
    assert_text("<sip:mid;lr>,<sip:near-b;lr>", dialog.callee.routes);
    assert_text("<sip:near-us;lr>,<sip:near-a;lr>", dialog.caller.routes);
    assert_text("sip:b@192.0.2.2", dialog.callee.target); /* without the URI's headers */
    assert_int_equal(7, dialog.caller.cseq);
    assert_int_equal(0, dialog.callee.cseq);
    assert_true(dialog_is_confirmed(&dialog));
}

static void what_we_are_not_in_is_not_ours(void **state)
{
    (void)state;
    struct dialog dialog = {0};
    char room[512];
    struct builder b = builder_over(room, sizeof room), none = builder_over(room, 4);

    assert_int_equal(ERR_NOT_FOUND, dialog_confirm(&dialog,
                                                   answer("Record-Route: <sip:x;lr>\r\n",
                                                          "Contact: <sip:b@192.0.2.2>\r\n"),
                                                   is_ours, NULL, &b));
    assert_int_equal(
        ERR_NOT_FOUND,
        dialog_confirm(&dialog, answer("Record-Route: " OURS "\r\n", ""), is_ours, NULL, &b));
    assert_int_equal(ERR_TOO_BIG, dialog_confirm(&dialog,
                                                 answer("Record-Route: <sip:x;lr>," OURS "\r\n",
                                                        "Contact: <sip:b@192.0.2.2>\r\n"),
                                                 is_ours, NULL, &none));
    assert_false(dialog_is_confirmed(&dialog));
}

static void what_is_packed_is_read_back(void **state)
{
    (void)state;
    char room[512], bytes[DIALOG_PACKED_MAX];
    struct dialog before = confirmed("Record-Route: " OURS ",<sip:p;lr>\r\n", room, sizeof room),
                  after;
    struct builder b = builder_over(bytes, sizeof bytes), small = builder_over(room + 256, 20);

    assert_int_equal(OK, dialog_pack(&before, &b));
    assert_int_equal(OK, dialog_unpack(builder_slice(&b), &after));
    assert_text(OURS, after.ours);
    assert_text("sip:a@192.0.2.1:6060", after.caller.target);
    assert_text("<sip:p;lr>", after.caller.routes);
    assert_text("<sip:b@example.com>;tag=tb", after.callee.name);
    assert_int_equal(7, after.caller.cseq);
    assert_int_equal(ERR_TOO_BIG, dialog_pack(&before, &small));

    for (size_t len = 0; len < b.len; len++)
        assert_int_equal(ERR_SYNTAX, dialog_unpack((struct slice){bytes, len}, &after));
    bytes[8] = (char)0xff; /* a CSeq that no request can have */
    assert_int_equal(ERR_SYNTAX, dialog_unpack(builder_slice(&b), &after));
}

static void the_highest_number_of_each_direction_counts(void **state)
{
    (void)state;
    char room[512], bytes[DIALOG_PACKED_MAX];
    struct dialog dialog = confirmed("Record-Route: " OURS "\r\n", room, sizeof room);
    struct builder b = builder_over(bytes, sizeof bytes);

    assert_int_equal(OK, dialog_pack(&dialog, &b));
    dialog_restored(bytes, b.len);
    assert_int_equal(OK, dialog_unpack(builder_slice(&b), &dialog));
    assert_int_equal(DIALOG_UNKNOWN, dialog.callee.cseq); /* it may have begun meanwhile */
    dialog.callee.cseq = 0;
    b = builder_over(bytes, sizeof bytes);
    assert_int_equal(OK, dialog_pack(&dialog, &b));
    assert_false(dialog_heard(bytes, b.len, true, 9)); /* lower than where we may be */
    assert_true(dialog_heard(bytes, b.len, false, 3));
    assert_false(dialog_heard(bytes, b.len, false, 3));
    assert_int_equal(OK, dialog_unpack(builder_slice(&b), &dialog));
    assert_int_equal(7 + DIALOG_JUMP, dialog.caller.cseq);
    assert_int_equal(3, dialog.callee.cseq);
    dialog_heard(bytes, b.len, false, SIP_CSEQ_MAX - 1);
    dialog_restored(bytes, b.len); /* there is no room for a jump */
    assert_int_equal(OK, dialog_unpack(builder_slice(&b), &dialog));
    assert_int_equal(SIP_CSEQ_MAX - 1, dialog.callee.cseq);
    dialog_heard(NULL, 0, true, 1);
    dialog_restored(NULL, 0);
}

static void a_bye_is_what_the_other_end_would_send(void **state)
{
    (void)state;
    static const char via[] = "Via: SIP/2.0/UDP x;branch=z9hG4bK2\r\n";
    char room[512], text[2048];
    struct dialog dialog =
        confirmed("Record-Route: <sip:p;lr>," OURS ",<sip:q;lr>\r\n", room, sizeof room);
    struct builder b = builder_over(text, sizeof text), small = builder_over(room + 256, 50);

    dialog.callee.cseq = 41;
    assert_int_equal(OK, dialog_write(&dialog, false, SLICE("BYE"), SLICE("c"), slice_of(via),
                                      SLICE("Reason: X\r\n"), &b));
    assert_text("BYE sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK2\r\n"
                "Max-Forwards: 70\r\nRoute: " OURS "\r\nRoute: <sip:p;lr>\r\n"
                "From: \"A\" <sip:a@example.com>;tag=ta\r\nTo: <sip:b@example.com>;tag=tb\r\n"
                "Call-ID: c\r\nCSeq: 8 BYE\r\nReason: X\r\nContent-Length: 0\r\n\r\n",
                builder_slice(&b));
    b = builder_over(text, sizeof text);
    assert_int_equal(
        OK, dialog_write(&dialog, true, SLICE("BYE"), SLICE("c"), slice_of(via), SLICE_EMPTY, &b));
    assert_text("BYE sip:a@192.0.2.1:6060 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK2\r\n"
                "Max-Forwards: 70\r\nRoute: " OURS "\r\nRoute: <sip:q;lr>\r\n"
                "From: <sip:b@example.com>;tag=tb\r\nTo: \"A\" <sip:a@example.com>;tag=ta\r\n"
                "Call-ID: c\r\nCSeq: 42 BYE\r\nContent-Length: 0\r\n\r\n",
                builder_slice(&b));
    assert_int_equal(ERR_TOO_BIG, dialog_write(&dialog, true, SLICE("BYE"), SLICE("c"),
                                               slice_of(via), SLICE_EMPTY, &small));
    dialog.callee.cseq = SIP_CSEQ_MAX; /* no number is left */
    assert_int_equal(ERR_NOT_FOUND, dialog_write(&dialog, true, SLICE("BYE"), SLICE("c"),
                                                 slice_of(via), SLICE_EMPTY, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_has_its_part_of_the_routes),
        cmocka_unit_test(what_we_are_not_in_is_not_ours),
        cmocka_unit_test(what_is_packed_is_read_back),
        cmocka_unit_test(the_highest_number_of_each_direction_counts),
        cmocka_unit_test(a_bye_is_what_the_other_end_would_send),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
