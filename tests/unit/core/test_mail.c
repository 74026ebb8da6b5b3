/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

static size_t remembered(const struct world *w)
{
    return w->core->conn_bindings.count;
}

/** The text with the words OURS and FORGED replaced by branches of workers 2 and 3. */
static void with_branches(const char *text, char *out, size_t size)
{
    static const char *const words[] = {"OURS", "FORGED"};
    struct builder b = builder_over(out, size - 1);
    char branch[TXN_BRANCH_LEN];

    while (*text != '\0') {
        size_t i = 0;
        while (i < COUNT_OF(words) && strncmp(text, words[i], strlen(words[i])) != 0)
            i++;
        if (i == COUNT_OF(words)) {
            builder_add(&b, (struct slice){text++, 1});
            continue;
        }
        text += strlen(words[i]);
        struct txn_branch parts = {.boot = 1, .worker = (uint16_t)(2 + i), .id = {1, 1}, .key = 5};
        txn_branch_write(&parts, branch);
        builder_add(&b, (struct slice){branch, sizeof branch});
    }
    assert_false(b.overflow);
    out[b.len] = '\0';
}

static void a_lost_connection_is_told_to_every_worker_once_each_has_room(void **state)
{
    (void)state;
    static struct world w;
    const struct conn_id conn = {0, {7, 9}};
    struct flow source = world_flow(6000, &conn);
    uint32_t told = 0;

    world_open(&w, 4, NULL, 0);
    world_register(&w, world_own_name(&w), 1, 600, &source);
    assert_int_equal(1, remembered(&w));

    w.deaf = 2; /* worker 2 has no room */
    for (unsigned i = 0; i < 3; i++) {
        assert_false(core_conn_lost(w.core, conn, &told, w.now_ms, w.wall_ms));
        assert_int_equal(1, w.mail_count);
        assert_int_equal(1, w.mail[0].to);
    }
    assert_int_equal(0, remembered(&w)); /* our own part does not wait for that */

    w.deaf = 0;
    assert_true(core_conn_lost(w.core, conn, &told, w.now_ms, w.wall_ms));
    assert_int_equal(3, w.mail_count);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(i + 1, w.mail[i].to);
        assert_int_equal(CORE_MAIL_CONN_LOST, w.mail[i].mail.kind);
        assert_int_equal(9, w.mail[i].mail.flow.conn.id.generation);
    }
    world_close(&w);
}

static void a_message_that_failed_goes_to_the_worker_in_its_topmost_via(void **state)
{
    (void)state;
    /* OURS is a branch of worker 2, FORGED one of worker 3. */
    static const struct {
        const char *why;
        const char *text;
        unsigned to; /* 0: it stays here */
    } cases[] = {
        {"as we write it", "INVITE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=OURS\r\n", 2},
        {"the name is short", "BYE sip:a SIP/2.0\r\nv:SIP/2.0/UDP 192.0.2.9;branch=OURS\r\n", 2},
        {"blanks before the colon",
         "BYE sip:a SIP/2.0\r\nvIA \t: SIP/2.0/UDP 192.0.2.9;branch=OURS\r\n", 2},
        {"one in the Request-URI",
         "BYE sip:a;branch=FORGED SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=OURS\r\n", 2},
        {"one in a field before",
         "BYE sip:a SIP/2.0\r\nSubject: branch=FORGED\r\nVia: SIP/2.0/UDP h;branch=OURS\r\n", 2},
        {"one in a folded field before",
         "BYE sip:a SIP/2.0\r\nSubject: a\r\n Via: SIP/2.0/UDP h;branch=FORGED\r\n"
         "Via: SIP/2.0/UDP h;branch=OURS\r\n",
         2},
        {"one in a field whose name begins so",
         "BYE sip:a SIP/2.0\r\nVia-X: ;branch=FORGED\r\nVia: SIP/2.0/UDP h;branch=OURS\r\n", 2},
        {"cut off before our Via", "BYE sip:a SIP/2.0\r\nSubject: branch=FORGED\r\nVi", 0},
        {"cut off in our branch", "BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK00", 0},
        {"below one that is not ours",
         "BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\n"
         "Via: SIP/2.0/UDP h;branch=FORGED\r\n",
         0},
        {"in the body", "BYE sip:a SIP/2.0\r\nSubject: x\r\n\r\nVia: x;branch=FORGED\r\n", 0},
        {"a response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=FORGED\r\n", 0},
        {"nothing", "", 0},
    };
    static struct world w;
    char text[1024];

    world_open(&w, 4, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        w.mail_count = 0;
        with_branches(cases[i].text, text, sizeof text);
        core_send_failed(w.core, slice_of(text), true, w.now_ms, w.wall_ms);
        if (w.mail_count != (cases[i].to != 0 ? 1 : 0))
            fail_msg("%s: %u letters", cases[i].why, w.mail_count);
        if (cases[i].to != 0 && w.mail[0].to != cases[i].to)
            fail_msg("%s: to worker %u", cases[i].why, w.mail[0].to);
        if (cases[i].to != 0)
            assert_int_equal(1, w.mail[0].mail.number); /* it is told why */
    }
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_connection_is_told_to_every_worker_once_each_has_room),
        cmocka_unit_test(a_message_that_failed_goes_to_the_worker_in_its_topmost_via),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
