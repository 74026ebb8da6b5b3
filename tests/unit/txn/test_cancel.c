/* SPDX-License-Identifier: Apache-2.0 */
/* The CANCEL of an INVITE: RFC 3261 §9.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "txn_world.h"

static const struct request invite = {.fields = "Route: <sip:192.0.2.20;lr>\r\n"};
static const struct slice reason = {"Reason: SIP;cause=200\r\n", 23};

static void after_a_provisional_response_it_goes_at_once(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    assert_int_equal(w->sent_count, 2);
    assert_true(world_sent_has(w, 1, "CANCEL sip:bob@example.com SIP/2.0\r\n"));
    assert_true(world_sent_has(w, 1, w->branch));
    assert_true(world_sent_has(w, 1, "CSeq: 1 CANCEL\r\n"));
    assert_true(world_sent_has(w, 1, "Reason: SIP;cause=200\r\n"));
    assert_true(world_sent_has(w, 1, "Route: <sip:192.0.2.20;lr>\r\n"));
    assert_memory_equal(&w->sent[1].to, &to, sizeof to);
    txn_client_cancel(w->table, id, reason, w->now_ms); /* once is enough */
    world_flush(w);
    assert_int_equal(w->sent_count, 2);
    world_close(w);
}

static void before_a_provisional_response_it_waits_for_one(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_run(w, 499);
    assert_int_equal(w->sent_count, 1);
    assert_true(world_answer(w, 0, 100, &to));
    assert_int_equal(w->sent_count, 2);
    assert_true(world_sent_has(w, 1, "CANCEL "));
    assert_true(world_sent_has(w, 1, "Reason: SIP;cause=200\r\n"));
    assert_true(world_answer(w, 0, 180, &to));
    assert_int_equal(w->sent_count, 2);
    world_close(w);
}

static void without_any_response_timer_b_ends_it_and_no_cancel_goes(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_run(w, 32000);
    for (uint32_t i = 0; i < w->sent_count; i++)
        assert_true(world_sent_has(w, i, "INVITE sip:"));
    assert_int_equal(w->sent_count, 7);
    assert_int_equal(w->told[0].kind, TOLD_FAILURE);
    assert_int_equal(w->told[0].detail, TXN_TIMEOUT);
    world_close(w);
}

static void after_a_final_response_nothing_happens(void **unused)
{
    static const unsigned finals[] = {200, 486};
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(finals); i++) {
        struct world *w = world_open(10);
        struct flow to = world_udp(20, 5060);
        struct id id = world_send(w, &invite, &to, 1);
        assert_true(world_answer(w, 0, 180, &to));
        assert_true(world_answer(w, 0, finals[i], &to));
        uint32_t sent = w->sent_count;
        txn_client_cancel(w->table, id, reason, w->now_ms);
        world_run(w, 100000);
        assert_int_equal(w->sent_count, sent);
        world_close(w);
    }
}

static void a_final_response_before_the_provisional_one_needs_no_cancel(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    txn_client_cancel(w->table, id, reason, w->now_ms);
    assert_true(world_answer(w, 0, 486, &to));
    world_run(w, 100000);
    assert_int_equal(w->sent_count, 2);
    assert_true(world_sent_has(w, 1, "ACK "));
    world_close(w);
}

static void it_is_resent_by_timer_e_until_it_is_answered(void **unused)
{
    static const uint64_t times[] = {0, 500, 1500, 3500, 7500, 11500};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    world_forget(w);
    uint64_t begin_ms = w->now_ms;
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_run(w, 12000);
    assert_int_equal(w->sent_count, COUNT_OF(times));
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        assert_int_equal(w->sent[i].at_ms - begin_ms, times[i]);
        assert_string_equal(w->sent[i].text, w->sent[0].text);
    }
    assert_true(world_answer(w, 0, 200, &to));
    world_run(w, 15000);
    assert_int_equal(w->sent_count, COUNT_OF(times));
    assert_int_equal(w->told_count, 0); /* the user hears nothing of the CANCEL's answer */
    assert_true(world_answer(w, 0, 200, &to));
    world_close(w);
}

static void after_a_100_it_is_resent_each_t2(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    world_forget(w);
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    assert_true(world_answer(w, 0, 100, &to));
    world_run(w, 4499);
    assert_int_equal(w->sent_count, 2);
    world_run(w, 1);
    assert_int_equal(w->sent_count, 3);
    world_close(w);
}

static void over_tcp_it_is_sent_once(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_tcp(20, 5060, 9);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_client_cancel(w->table, id, SLICE_EMPTY, w->now_ms);
    world_run(w, 31999);
    assert_int_equal(w->sent_count, 2);
    world_run(w, 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static void the_487_ends_the_invite_and_the_cancel(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    assert_true(world_answer(w, 0, 487, &to)); /* the CANCEL's own 200 is late */
    assert_true(world_sent_has(w, 2, "ACK "));
    world_run(w, 20000);
    assert_int_equal(w->sent_count, 3);
    assert_true(world_answer(w, 1, 200, &to));
    assert_int_equal(world_told(w, TOLD_RESPONSE), 2);
    world_run(w, 12000 + LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 0);
    assert_false(world_answer(w, 1, 200, &to));
    world_close(w);
}

static void a_2xx_that_crosses_it_is_told(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    assert_true(world_answer(w, 0, 200, &to));
    assert_int_equal(world_told(w, TOLD_RESPONSE), 2);
    world_run(w, 32000 + LINGER_STEP_MS);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    world_close(w);
}

/* §9.1, last paragraph: an RFC 2543 server answers the CANCEL only. */
static void without_a_final_response_the_invite_fails_64_t1_later(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    world_run(w, 50000);
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    assert_true(world_answer(w, 1, 200, &to));
    assert_true(world_answer(w, 0, 180, &to));
    world_run(w, 31999);
    assert_int_equal(world_told(w, TOLD_FAILURE), 0);
    world_run(w, 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    world_close(w);
}

static void only_an_invite_is_cancelled(void **unused)
{
    static const struct request bye = {.method = "BYE"};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &bye, &to, 1);
    assert_true(world_answer(w, 0, 100, &to));
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_run(w, 32000);
    for (uint32_t i = 0; i < w->sent_count; i++)
        assert_true(world_sent_has(w, i, "BYE sip:"));
    world_close(w);
}

static void a_cancel_that_cannot_be_delivered_is_not_resent(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_client_cancel(w->table, id, reason, w->now_ms);
    world_flush(w);
    txn_send_failed(w->table, (struct slice){w->sent[1].text, w->sent[1].len}, false, w->now_ms);
    world_run(w, 31999);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(w->told_count, 1);
    world_run(w, 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static void without_memory_it_is_still_sent_once(void **unused)
{
    (void)unused;
    for (int early = 0; early < 2; early++) {
        struct world *w = world_open(10);
        struct flow to = world_udp(20, 5060);
        struct id id = world_send(w, &invite, &to, 1);
        if (!early)
            assert_true(world_answer(w, 0, 180, &to));
        w->mem.fail_at = w->mem.allocs + 1;
        txn_client_cancel(w->table, id, reason, w->now_ms);
        if (early)
            assert_true(world_answer(w, 0, 180, &to));
        world_run(w, 10000);
        assert_int_equal(w->sent_count, 2);
        assert_true(world_sent_has(w, 1, "CANCEL "));
        world_close(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_provisional_response_it_goes_at_once),
        cmocka_unit_test(before_a_provisional_response_it_waits_for_one),
        cmocka_unit_test(without_any_response_timer_b_ends_it_and_no_cancel_goes),
        cmocka_unit_test(after_a_final_response_nothing_happens),
        cmocka_unit_test(a_final_response_before_the_provisional_one_needs_no_cancel),
        cmocka_unit_test(it_is_resent_by_timer_e_until_it_is_answered),
        cmocka_unit_test(after_a_100_it_is_resent_each_t2),
        cmocka_unit_test(over_tcp_it_is_sent_once),
        cmocka_unit_test(the_487_ends_the_invite_and_the_cancel),
        cmocka_unit_test(a_2xx_that_crosses_it_is_told),
        cmocka_unit_test(without_a_final_response_the_invite_fails_64_t1_later),
        cmocka_unit_test(only_an_invite_is_cancelled),
        cmocka_unit_test(a_cancel_that_cannot_be_delivered_is_not_resent),
        cmocka_unit_test(without_memory_it_is_still_sent_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
