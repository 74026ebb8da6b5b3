/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

#define START "INVITE sip:bob@b SIP/2.0\r\n"
#define VIA   "Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
#define REST                                                                                       \
    "Max-Forwards: 70\r\nTo: <sip:bob@b>\r\nFrom: <sip:a@a>;tag=1\r\nCall-ID: x\r\n"               \
    "CSeq: 1 INVITE\r\n"
#define MESSAGE(routes) START VIA routes REST "\r\nbody"

static struct sip_msg msg;
static struct sip_edits edits;
static char space[4096];

static void begin(const char *text)
{
    assert_int_equal(OK, sip_parse(guarded(slice_of(text)), SIP_DATAGRAM, &msg));
    assert_int_equal(0, msg.fault.status);
    sip_edits_init(&edits, &msg);
}

static void gives(const char *expected, const char *why)
{
    struct builder b = builder_over(space, sizeof space);
    CHECK_EQ(OK, sip_edits_write(&edits, &b), why);
    CHECK_TEXT(expected, builder_slice(&b), why);
    CHECK_EQ(b.len, sip_edits_size(&edits), why);
}

TEST(without_edits_the_message_is_copied)
{
    begin(MESSAGE(""));
    gives(MESSAGE(""), "no edit");
    sip_edit_insert(&edits, 5, SLICE_EMPTY);
    gives(MESSAGE(""), "an empty insert");
}

TEST(a_proxys_edits_touch_nothing_else)
{
    begin(MESSAGE("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"));
    sip_edit_replace(&edits, msg.uri, SLICE("sip:bob@192.0.2.4:5062"));
    sip_edit_add_before(&edits, SIP_F_VIA, SLICE("Via: SIP/2.0/UDP p;branch=z9hG4bK2\r\n"));
    sip_edit_drop_first_value(&edits, SIP_F_ROUTE);
    sip_edit_replace(&edits, sip_value(&msg, SIP_F_MAX_FORWARDS), SLICE("69"));
    sip_edit_add_last(&edits, SLICE("X: y\r\n"));
    gives("INVITE sip:bob@192.0.2.4:5062 SIP/2.0\r\n"
          "Via: SIP/2.0/UDP p;branch=z9hG4bK2\r\n" VIA "Route: <sip:p2;lr>\r\n"
          "Max-Forwards: 69\r\nTo: <sip:bob@b>\r\nFrom: <sip:a@a>;tag=1\r\nCall-ID: x\r\n"
          "CSeq: 1 INVITE\r\nX: y\r\n\r\nbody",
          "in order");
}

TEST(edits_may_be_made_in_any_order)
{
    begin(MESSAGE(""));
    sip_edit_add_last(&edits, SLICE("X-Last: 1\r\n"));
    sip_edit_replace(&edits, sip_value(&msg, SIP_F_MAX_FORWARDS), SLICE("1"));
    sip_edit_drop_all(&edits, SIP_F_VIA);
    sip_edit_add_first(&edits, SLICE("A: 1\r\n"));
    sip_edit_add_before(&edits, SIP_F_VIA, SLICE("B: 2\r\n"));
    sip_edit_add_before(&edits, SIP_F_ROUTE, SLICE("C: 3\r\n"));
    gives(
        START "A: 1\r\nB: 2\r\n"
              "Max-Forwards: 1\r\nTo: <sip:bob@b>\r\nFrom: <sip:a@a>;tag=1\r\nCall-ID: x\r\n"
              "CSeq: 1 INVITE\r\nX-Last: 1\r\nC: 3\r\n\r\nbody",
        "sorted by offset; inserts at one offset as they were made, before what is dropped there");
}

TEST(drop_first_value_takes_the_value_with_its_comma)
{
    static const struct {
        const char *why, *before, *after;
    } cases[] = {
        {"the only value of the only field", "Route: <sip:1>\r\n", ""},
        {"the first of two", "Route: <sip:1>, <sip:2>\r\n", "Route: <sip:2>\r\n"},
        {"the first of two, folded", "Route: <sip:1>\r\n ,\r\n\t<sip:2>\r\n", "Route: <sip:2>\r\n"},
        {"the first field", "Route: <sip:1>\r\nRoute: <sip:2>\r\n", "Route: <sip:2>\r\n"},
        {"commas in quotes and brackets", "Route: \"a,b\" <sip:c,d>,<sip:2>\r\n",
         "Route: <sip:2>\r\n"},
        {"none", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512], expected[512];
        snprintf(text, sizeof text, START VIA "%s" REST "\r\nbody", cases[i].before);
        snprintf(expected, sizeof expected, START VIA "%s" REST "\r\nbody", cases[i].after);
        begin(text);
        sip_edit_drop_first_value(&edits, SIP_F_ROUTE);
        gives(expected, cases[i].why);
    }
}

TEST(drop_first_value_knows_where_the_top_via_ends)
{
    static const struct {
        const char *why, *before, *after;
    } cases[] = {
        {"one", "Via: SIP/2.0/UDP b\r\n", ""},
        {"two in a field", "Via: SIP/2.0/UDP a;x=\",\" \r\n , SIP/2.0/UDP b\r\n",
         "Via: SIP/2.0/UDP b\r\n"},
        {"two fields", "Via: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\n", "v: SIP/2.0/UDP b\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512], expected[512];
        snprintf(text, sizeof text, START "%s" REST "\r\nbody", cases[i].before);
        snprintf(expected, sizeof expected, START "%s" REST "\r\nbody", cases[i].after);
        begin(text);
        sip_edit_drop_first_value(&edits, SIP_F_VIA);
        gives(expected, cases[i].why);
    }
}

TEST(overlapping_edits_fail_for_good)
{
    struct builder b = builder_over(space, sizeof space);

    begin(MESSAGE(""));
    sip_edit_drop_all(&edits, SIP_F_MAX_FORWARDS);
    sip_edit_replace(&edits, sip_value(&msg, SIP_F_MAX_FORWARDS), SLICE("1"));
    assert_true(edits.overflow);
    sip_edit_add_last(&edits, SLICE("X: y\r\n"));
    assert_int_equal(ERR_FULL, sip_edits_write(&edits, &b));

    begin(MESSAGE(""));
    sip_edit_replace(&edits, msg.uri, SLICE("sip:x"));
    sip_edit_replace(&edits, msg.uri, SLICE("sip:y"));
    assert_int_equal(ERR_FULL, sip_edits_write(&edits, &b));

    begin(MESSAGE(""));
    sip_edit_replace(&edits, msg.uri, SLICE("sip:x"));
    sip_edit_insert(&edits, 8, SLICE("inside"));
    assert_int_equal(ERR_FULL, sip_edits_write(&edits, &b));

    begin(MESSAGE(""));
    sip_edit_insert(&edits, (uint32_t)msg.buf.len, SLICE("at the end"));
    assert_false(edits.overflow);
    sip_edit_insert(&edits, (uint32_t)msg.buf.len + 1, SLICE("behind it"));
    assert_true(edits.overflow);
}

TEST(there_is_room_for_so_many_edits_and_no_more)
{
    struct builder b = builder_over(space, sizeof space);

    begin(MESSAGE(""));
    for (int i = 0; i < SIP_EDITS_MAX; i++)
        sip_edit_insert(&edits, (uint32_t)(i % 7), SLICE("x"));
    assert_int_equal(OK, sip_edits_write(&edits, &b));
    assert_int_equal(msg.buf.len + SIP_EDITS_MAX, b.len);
    sip_edit_insert(&edits, 0, SLICE("x"));
    assert_int_equal(ERR_FULL, sip_edits_write(&edits, &b));
}

TEST(a_small_buffer_is_told_and_not_overrun)
{
    begin(MESSAGE(""));
    sip_edit_add_last(&edits, SLICE("X: y\r\n"));
    size_t size = sip_edits_size(&edits);

    struct builder b = builder_over(space, size);
    assert_int_equal(OK, sip_edits_write(&edits, &b));
    b = builder_over(space, size - 1);
    assert_int_equal(ERR_TOO_BIG, sip_edits_write(&edits, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_edits_the_message_is_copied),
        cmocka_unit_test(a_proxys_edits_touch_nothing_else),
        cmocka_unit_test(edits_may_be_made_in_any_order),
        cmocka_unit_test(drop_first_value_takes_the_value_with_its_comma),
        cmocka_unit_test(drop_first_value_knows_where_the_top_via_ends),
        cmocka_unit_test(overlapping_edits_fail_for_good),
        cmocka_unit_test(there_is_room_for_so_many_edits_and_no_more),
        cmocka_unit_test(a_small_buffer_is_told_and_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
