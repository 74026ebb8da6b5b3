/* SPDX-License-Identifier: Apache-2.0 */
/* Client transactions: what is resent when, what is told, which responses match. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "txn_world.h"

static const struct request invite = {
    .fields = "Route: <sip:192.0.2.20;lr>\r\nContact: <sip:alice@192.0.2.10>\r\n"};
static const struct request bye = {.method = "BYE", .to_tag = "t"};

static void check_times(const struct world *w, uint64_t begin_ms, const uint64_t *times,
                        size_t count)
{
    for (size_t i = 0; i < count && i < w->sent_count; i++)
        if (w->sent[i].at_ms - begin_ms != times[i])
            fail_msg("message %zu after %llu ms, not %llu", i,
                     (unsigned long long)(w->sent[i].at_ms - begin_ms),
                     (unsigned long long)times[i]);
    assert_int_equal(w->sent_count, count);
}

static void check_told(const struct world *w, uint32_t index, enum told_kind kind, unsigned detail)
{
    assert_true(index < w->told_count);
    assert_int_equal(w->told[index].kind, kind);
    assert_int_equal(w->told[index].detail, detail);
}

static void an_invite_is_resent_by_timer_a_and_fails_by_timer_b(void **unused)
{
    static const uint64_t times[] = {0, 500, 1500, 3500, 7500, 15500, 31500};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    uint64_t begin_ms = w->now_ms;
    world_send(w, &invite, &to, 42);
    world_run(w, 31999);
    check_times(w, begin_ms, times, COUNT_OF(times));
    assert_string_equal(w->sent[0].text, w->sent[6].text);
    assert_int_equal(w->told_count, 0);
    world_run(w, 1);
    check_told(w, 0, TOLD_FAILURE, TXN_TIMEOUT);
    check_told(w, 1, TOLD_CLIENT_END, 0);
    assert_int_equal(w->told[0].context, 42);
    assert_int_equal(txn_counters(w->table)->timeouts, 1);
    world_run(w, 100000);
    assert_int_equal(w->told_count, 2);
    world_close(w);
}

static void a_bye_is_resent_by_timer_e_up_to_t2_and_fails_by_timer_f(void **unused)
{
    static const uint64_t times[] = {0,     500,   1500,  3500,  7500, 11500,
                                     15500, 19500, 23500, 27500, 31500};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    uint64_t begin_ms = w->now_ms;
    world_send(w, &bye, &to, 42);
    world_run(w, 32000);
    check_times(w, begin_ms, times, COUNT_OF(times));
    check_told(w, 0, TOLD_FAILURE, TXN_TIMEOUT);
    check_told(w, 1, TOLD_CLIENT_END, 0);
    world_close(w);
}

/* §17.1.2.2: after a provisional response Timer E is T2 from its next firing on. */
static void after_a_100_a_bye_is_resent_each_t2(void **unused)
{
    static const uint64_t times[] = {0, 500, 4500, 8500};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    uint64_t begin_ms = w->now_ms;
    world_send(w, &bye, &to, 42);
    world_run(w, 100);
    assert_true(world_answer(w, 0, 100, &to));
    check_told(w, 0, TOLD_RESPONSE, 100);
    world_run(w, 10000);
    check_times(w, begin_ms, times, COUNT_OF(times));
    assert_true(world_answer(w, 0, 200, &to));
    check_told(w, 1, TOLD_RESPONSE, 200);
    world_close(w);
}

static void over_tcp_nothing_is_resent_but_timers_b_and_f_run(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_tcp(20, 5060, 9);
    (void)unused;

    world_send(w, &invite, &to, 1);
    world_send(w, &bye, &to, 2);
    world_run(w, 31999);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(w->told_count, 0);
    world_run(w, 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 2);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 2);
    world_close(w);
}

static void a_provisional_response_ends_timers_a_and_b(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    world_run(w, 600);
    assert_true(world_answer(w, 0, 100, &to));
    world_run(w, 500000);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(w->told_count, 1);
    assert_true(txn_client_request(w->table, id).len > 0);
    assert_int_equal(w->wheel.count, 0);
    world_close(w);
}

/* §17.1.1.3. */
static void a_failure_is_acknowledged_each_time_and_told_once(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    assert_true(world_answer(w, 0, 486, &to));
    assert_int_equal(w->sent_count, 2);
    assert_true(world_sent_has(w, 1, "ACK sip:bob@example.com SIP/2.0\r\n"));
    assert_true(world_sent_has(w, 1, ";branch=z9hG4bK0000004d03"));
    assert_true(world_sent_has(w, 1, "To: <sip:bob@example.com>;tag=t486\r\n"));
    assert_true(world_sent_has(w, 1, "CSeq: 1 ACK\r\n"));
    assert_true(world_sent_has(w, 1, "Route: <sip:192.0.2.20;lr>\r\n"));
    assert_memory_equal(&w->sent[1].to, &to, sizeof to);
    assert_int_equal(txn_client_request(w->table, id).len, 0);

    world_run(w, 31000);
    assert_true(world_answer(w, 0, 486, &to));
    assert_int_equal(w->sent_count, 3);
    assert_string_equal(w->sent[1].text, w->sent[2].text);
    assert_int_equal(world_told(w, TOLD_RESPONSE), 2);
    assert_true(world_answer(w, 0, 200, &to)); /* absorbed: not in the figure */
    assert_true(world_answer(w, 0, 180, &to));
    assert_int_equal(world_told(w, TOLD_RESPONSE), 2);
    world_run(w, 1000 + LINGER_STEP_MS);
    check_told(w, 2, TOLD_CLIENT_END, 0);
    assert_false(world_answer(w, 0, 486, &to));
    assert_int_equal(w->sent_count, 3);
    assert_int_equal(world_told(w, TOLD_FAILURE), 0);
    world_close(w);
}

static void over_tcp_a_failure_ends_with_the_next_run(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_tcp(20, 5060, 9);
    (void)unused;

    world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 486, &to));
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 0);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    world_close(w);
}

/* RFC 6026 §7.2. */
static void every_2xx_is_told_for_64_t1_and_none_acknowledged(void **unused)
{
    struct flow ways[] = {world_udp(20, 5060), world_tcp(20, 5060, 9)};
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct world *w = world_open(10);
        struct id id = world_send(w, &invite, &ways[i], 1);
        assert_true(world_answer(w, 0, 200, &ways[i]));
        assert_int_equal(txn_client_request(w->table, id).len, 0);
        assert_true(world_answer(w, 0, 202, &ways[i]));
        assert_true(world_answer(w, 0, 486, &ways[i])); /* absorbed */
        assert_true(world_answer(w, 0, 180, &ways[i]));
        world_run(w, 31999);
        assert_true(world_answer(w, 0, 200, &ways[i]));
        assert_int_equal(world_told(w, TOLD_RESPONSE), 3);
        assert_int_equal(w->told_count, 3);
        assert_int_equal(w->sent_count, 1);
        world_run(w, LINGER_STEP_MS);
        check_told(w, 3, TOLD_CLIENT_END, 0);
        assert_false(world_answer(w, 0, 200, &ways[i]));
        world_close(w);
    }
}

static void a_bye_tells_one_final_response_and_absorbs_more_for_t4(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &bye, &to, 1);
    assert_true(world_answer(w, 0, 200, &to));
    assert_int_equal(txn_client_request(w->table, id).len, 0);
    world_run(w, 4999);
    assert_true(world_answer(w, 0, 200, &to));
    assert_int_equal(world_told(w, TOLD_RESPONSE), 1);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 0);
    world_run(w, LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    assert_int_equal(w->sent_count, 1);
    world_close(w);
}

struct forged {
    const char *why;
    size_t at; /* the digit of the branch that is changed */
};

static void a_guessed_or_stale_branch_finds_nothing(void **unused)
{
    static const struct forged digits[] = {
        {"another boot", 7 + 7},           {"another worker", 7 + 9},
        {"another slot", 7 + 15},          {"a slot out of range", 7 + 10},
        {"another generation", 7 + 23},    {"another loop hash", 7 + 31},
        {"the key's first digit", 7 + 32}, {"the key's last digit", 7 + 47},
    };
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    char branch[TXN_BRANCH_LEN];
    struct slice forged = {branch, TXN_BRANCH_LEN};
    (void)unused;

    world_send(w, &invite, &to, 1);
    for (size_t i = 0; i < COUNT_OF(digits); i++) {
        memcpy(branch, w->branch, TXN_BRANCH_LEN);
        branch[digits[i].at] = branch[digits[i].at] == '0' ? '1' : '0';
        if (world_answer_branch(w, forged, "INVITE", 200, &to))
            fail_msg("found: %s", digits[i].why);
    }
    memcpy(branch, w->branch, TXN_BRANCH_LEN);
    assert_false(world_answer_branch(w, SLICE("z9hG4bKfoo"), "INVITE", 200, &to));
    assert_false(world_answer_branch(w, SLICE("foo"), "INVITE", 200, &to));
    assert_false(world_answer_branch(w, forged, "BYE", 200, &to));    /* §17.1.3 */
    assert_false(world_answer_branch(w, forged, "CANCEL", 200, &to)); /* none was sent */
    assert_false(world_answer_branch(w, forged, "ACK", 200, &to));
    w->sent_by_is_theirs = true; /* §18.1.2 */
    assert_false(world_answer_branch(w, forged, "INVITE", 200, &to));
    w->sent_by_is_theirs = false;
    assert_int_equal(w->told_count, 0);
    assert_int_equal(txn_counters(w->table)->responses_unmatched, COUNT_OF(digits) + 6);

    assert_true(world_answer_branch(w, forged, "INVITE", 200, &to));
    world_run(w, 32000 + LINGER_STEP_MS);
    assert_false(world_answer_branch(w, forged, "INVITE", 200, &to)); /* stale */
    world_send(w, &invite, &to, 2);                                   /* the slot is used again */
    assert_false(world_answer_branch(w, forged, "INVITE", 200, &to));
    world_close(w);
}

static void methods_without_number_are_told_apart(void **unused)
{
    static const struct request foo = {.method = "FOO"};
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    world_send(w, &foo, &to, 1);
    assert_false(world_answer_branch(w, world_branch(w), "BAR", 200, &to));
    assert_false(world_answer_branch(w, world_branch(w), "FOOT", 200, &to));
    assert_false(world_answer_branch(w, world_branch(w), "FO", 200, &to));
    assert_true(world_answer_branch(w, world_branch(w), "FOO", 200, &to));
    world_close(w);
}

static void what_is_opened_may_be_discarded(void **unused)
{
    struct world *w = world_open(10);
    char branch[TXN_BRANCH_LEN];
    struct flow to = world_udp(20, 5060);
    struct id id;
    (void)unused;

    assert_int_equal(txn_client_open(w->table, SIP_INVITE, 1, 5, &id, branch), OK);
    assert_int_equal(txn_count(w->table), 1);
    assert_int_equal(txn_pending(w->table), 0);
    assert_false(
        world_answer_branch(w, (struct slice){branch, TXN_BRANCH_LEN}, "INVITE", 200, &to));
    txn_client_fail(w->table, id, TXN_TIMEOUT, w->now_ms);
    txn_client_cancel(w->table, id, SLICE_EMPTY, w->now_ms);
    txn_client_discard(w->table, id);
    txn_client_discard(w->table, id);
    assert_int_equal(txn_count(w->table), 0);
    assert_int_equal(w->told_count, 0);
    assert_int_equal(txn_client_send(w->table, id, SLICE("x"), &to, w->now_ms), ERR_NOT_FOUND);
    world_close(w);
}

static void a_request_too_big_for_a_message_is_refused(void **unused)
{
    static char bytes[SIP_MESSAGE_MAX + 1];
    struct world *w = world_open(10);
    char branch[TXN_BRANCH_LEN];
    struct flow to = world_udp(20, 5060);
    struct id id;
    (void)unused;

    assert_int_equal(txn_client_open(w->table, SIP_BYE, 1, 5, &id, branch), OK);
    struct slice big = {bytes, sizeof bytes};
    assert_int_equal(txn_client_send(w->table, id, big, &to, w->now_ms), ERR_TOO_BIG);
    big.len--;
    assert_int_equal(txn_client_send(w->table, id, big, &to, w->now_ms), OK);
    world_close(w);
}

static void a_context_may_be_changed_as_long_as_the_id_is_live(void **unused)
{
    struct world *w = world_open(10);
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct id id = world_send(w, &bye, &to, 1);
    assert_int_equal(txn_client_context_get(w->table, id), 1);
    txn_client_context(w->table, id, 2);
    assert_true(world_answer(w, 0, 200, &to));
    assert_int_equal(w->told[0].context, 2);
    world_run(w, 5000 + LINGER_STEP_MS);
    assert_int_equal(txn_client_context_get(w->table, id), 0);
    txn_client_context(w->table, id, 3);
    world_close(w);
}

/* For Timer C (§16.8). */
static void a_transaction_may_be_failed_from_outside_once_and_before_its_answer_only(void **unused)
{
    static const struct {
        const struct request *request;
        unsigned status; /* answered before; 0: nothing */
        bool told;
    } cases[] = {
        {&invite, 0, true}, {&invite, 180, true}, {&invite, 200, false}, {&invite, 486, false},
        {&bye, 0, true},    {&bye, 100, true},    {&bye, 200, false},
    };
    struct flow to = world_udp(20, 5060);
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (unsigned failure = TXN_TIMEOUT; failure <= TXN_CLOSED; failure++) {
            struct world *w = world_open(10);
            struct id id = world_send(w, cases[i].request, &to, 1);
            if (cases[i].status != 0)
                assert_true(world_answer(w, 0, cases[i].status, &to));
            w->told_count = 0;
            txn_client_fail(w->table, id, (enum txn_failure)failure, w->now_ms);
            txn_client_fail(w->table, id, (enum txn_failure)failure, w->now_ms);
            assert_int_equal(w->told_count, cases[i].told ? 2 : 0);
            if (cases[i].told) {
                check_told(w, 0, TOLD_FAILURE, failure);
                check_told(w, 1, TOLD_CLIENT_END, 0);
            }
            world_close(w);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invite_is_resent_by_timer_a_and_fails_by_timer_b),
        cmocka_unit_test(a_bye_is_resent_by_timer_e_up_to_t2_and_fails_by_timer_f),
        cmocka_unit_test(after_a_100_a_bye_is_resent_each_t2),
        cmocka_unit_test(over_tcp_nothing_is_resent_but_timers_b_and_f_run),
        cmocka_unit_test(a_provisional_response_ends_timers_a_and_b),
        cmocka_unit_test(a_failure_is_acknowledged_each_time_and_told_once),
        cmocka_unit_test(over_tcp_a_failure_ends_with_the_next_run),
        cmocka_unit_test(every_2xx_is_told_for_64_t1_and_none_acknowledged),
        cmocka_unit_test(a_bye_tells_one_final_response_and_absorbs_more_for_t4),
        cmocka_unit_test(a_guessed_or_stale_branch_finds_nothing),
        cmocka_unit_test(methods_without_number_are_told_apart),
        cmocka_unit_test(what_is_opened_may_be_discarded),
        cmocka_unit_test(a_request_too_big_for_a_message_is_refused),
        cmocka_unit_test(a_context_may_be_changed_as_long_as_the_id_is_live),
        cmocka_unit_test(a_transaction_may_be_failed_from_outside_once_and_before_its_answer_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
