/* SPDX-License-Identifier: Apache-2.0 */
/* Targets whose phones sleep: they are woken at their turn, and waited for (RFC 8599 §5.6.2). */
#include "world.h"

enum {
    WAITS_MAX = 8,
    SEEN_MS = 1234
};

/* What the proxy has asked for. */
static struct {
    uint64_t waiter;
    char uri[64];
    bool stopped;
} waits[WAITS_MAX];
static unsigned wait_count;
static bool refuses; /* nobody can be woken now */

static bool wake(void *user, const struct proxy_target *target, const struct proxy_request *request,
                 uint64_t waiter, uint64_t now_ms, struct id *wait)
{
    (void)user;
    (void)now_ms;
    assert_non_null(request->msg);
    assert_non_null(request->source);
    assert_int_equal(SEEN_MS, target->asleep_ms);
    if (refuses)
        return false;
    assert_true(wait_count < WAITS_MAX);
    waits[wait_count].waiter = waiter;
    waits[wait_count].stopped = false;
    snprintf(waits[wait_count].uri, sizeof waits[wait_count].uri, "%.*s", SLICE_ARG(target->uri));
    *wait = (struct id){wait_count++, 1};
    return true;
}

static void stop_waiting(void *user, struct id wait)
{
    (void)user;
    assert_true(wait.slot < wait_count);
    assert_false(waits[wait.slot].stopped);
    waits[wait.slot].stopped = true;
}

static struct world *open_world(struct world_options options)
{
    struct world *w = world_open(options);

    w->proxy->config.wake = wake;
    w->proxy->config.stop_waiting = stop_waiting;
    wait_count = 0;
    refuses = false;
    return w;
}

static struct proxy_target sleeper(unsigned n, uint16_t q)
{
    struct proxy_target target = world_target(n, q);
    target.asleep_ms = SEEN_MS;
    target.aor = SLICE("bob");
    target.instance = 100 + n;
    return target;
}

/* The phone `n` comes back, by the way of `at`. */
static void come(struct world *w, unsigned wait, unsigned at)
{
    struct proxy_target target = world_target(at, 1000);
    target.aor = SLICE("bob");
    proxy_woken(w->proxy, waits[wait].waiter, &target, 1, w->now_ms);
}

static void stay_away(struct world *w, unsigned wait)
{
    proxy_woken(w->proxy, waits[wait].waiter, NULL, 0, w->now_ms);
}

static void a_phone_that_was_woken_is_called_where_it_is_now(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target target = sleeper(1, 700);
    (void)state;

    world_call(w, &target, 1);
    world_expect_silence(w);
    assert_int_equal(1, wait_count);
    assert_string_equal("sip:bob@198.51.100.1:5060", waits[0].uri);
    world_pass(w, 15000);
    world_expect_silence(w);
    come(w, 0, 2);
    struct sent *invite = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, invite, 180, "two", ""));
    world_expect(w, "SIP/2.0 180");
    assert_true(world_answer(w, invite, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    assert_int_equal(1, proxy_counters(w->proxy)->woken);
    come(w, 0, 3); /* twice is once */
    world_expect_silence(w);
    assert_false(waits[0].stopped);
    world_close(w);
}

static void a_phone_that_comes_back_from_where_it_was_is_called(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target target = sleeper(1, 1000);
    (void)state;

    world_call(w, &target, 1);
    come(w, 0, 1); /* the same URI by the same way: nothing was sent there before */
    struct sent *invite = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, invite, 486, "one", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 486");
    world_ack_failure(w);
    world_close(w);
}

static void a_phone_that_does_not_come_is_480(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target target = sleeper(1, 1000);
    (void)state;

    world_call(w, &target, 1);
    stay_away(w, 0);
    world_expect(w, "SIP/2.0 480");
    world_ack_failure(w);
    come(w, 0, 1); /* too late */
    world_expect_silence(w);
    world_close(w);
}

static void the_others_ring_at_once_and_the_call_waits_for_all(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 486, "two", ""));
    world_expect(w, "ACK");
    world_expect_silence(w); /* the sleeper may still take it */
    come(w, 0, 3);
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 200, "three", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

static void what_another_phone_said_is_better_than_a_sleeper(void **state)
{
    static const struct {
        unsigned said;
        const char *told;
    } cases[] = {{486, "SIP/2.0 486"},
                 {603, "SIP/2.0 603"},
                 {503, "SIP/2.0 480"},
                 {500, "SIP/2.0 480"},
                 {302, "SIP/2.0 302"}};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *w = open_world((struct world_options){0});
        struct proxy_target targets[] = {sleeper(1, 1000), world_target(2, 1000)};
        world_call(w, targets, 2);
        struct sent *two = world_expect(w, world_start("INVITE", 2));
        assert_true(world_answer(w, two, cases[i].said, "two", ""));
        world_expect(w, "ACK");
        stay_away(w, 0); /* after a 6xx nobody waits: then it is passed over */
        world_expect(w, cases[i].told);
        assert_int_equal(cases[i].said >= 600, waits[0].stopped);
        world_ack_failure(w);
        world_close(w);
    }
}

static void a_2xx_ends_the_waiting(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    assert_true(waits[0].stopped);
    come(w, 0, 3);
    world_expect_silence(w);
    world_close(w);
}

static void a_cancel_ends_the_waiting_at_once(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), sleeper(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    assert_int_equal(2, wait_count);
    world_cancel(w);
    world_expect(w, "SIP/2.0 200");
    world_expect(w, "SIP/2.0 487");
    assert_true(waits[0].stopped);
    assert_true(waits[1].stopped);
    world_ack_failure(w);
    world_close(w);
}

static void a_cancel_cancels_those_who_ring_and_ends_the_waiting(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 180, "two", ""));
    world_expect(w, "SIP/2.0 180");
    world_cancel(w);
    world_expect(w, "SIP/2.0 200");
    world_expect(w, world_start("CANCEL", 2));
    assert_true(waits[0].stopped);
    world_expect_silence(w);
    assert_true(world_answer(w, two, 487, "two", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 487");
    world_ack_failure(w);
    world_close(w);
}

static void a_sleeper_of_lower_q_is_woken_at_its_turn(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), sleeper(2, 500), world_target(3, 100)};
    (void)state;

    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_int_equal(0, wait_count);
    assert_true(world_answer(w, one, 486, "one", ""));
    world_expect(w, "ACK");
    assert_int_equal(1, wait_count);
    world_expect_silence(w); /* the third waits behind the sleeper */
    stay_away(w, 0);
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 200, "three", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

static void a_woken_phone_keeps_the_turn_of_the_sleeper(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 700), world_target(2, 700), world_target(3, 100)};
    (void)state;

    world_call(w, targets, 3);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    come(w, 0, 4); /* registers with q=1: it rings beside the second all the same */
    struct sent *four = world_expect(w, world_start("INVITE", 4));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 486, "two", ""));
    assert_true(world_answer(w, four, 480, "four", ""));
    world_expect(w, "ACK");
    world_expect(w, "ACK");
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 200, "three", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

static void flows_of_one_phone_are_woken_once(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), sleeper(2, 1000)};
    (void)state;

    targets[1].instance = targets[0].instance;
    world_call(w, targets, 2);
    assert_int_equal(1, wait_count);
    come(w, 0, 3);
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 486, "three", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 486");
    assert_int_equal(1, wait_count);
    world_ack_failure(w);
    world_close(w);
}

static void who_cannot_be_woken_is_left_out(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target targets[] = {sleeper(1, 1000), world_target(2, 1000)};
    (void)state;

    refuses = true;
    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    assert_int_equal(ERR_CONFLICT, world_forward(w, targets, 1)); /* it alone: the caller is told */
    const struct sip_reply reply = {.status = 480};
    assert_int_equal(OK, txn_reply(w->txns, w->server, &reply, w->now_ms));
    world_ignore(w);
    world_pass(w, 40000);
    world_call(w, targets, 2);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 503, "two", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 480");
    world_ack_failure(w);
    world_close(w);
}

static void timer_c_begins_when_the_phone_is_called(void **state)
{
    struct world *w = open_world((struct world_options){.timer_c_ms = 10000});
    struct proxy_target target = sleeper(1, 1000);
    (void)state;

    world_call(w, &target, 1);
    world_pass(w, 9000);
    come(w, 0, 2);
    struct sent *invite = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, invite, 180, "two", ""));
    world_expect(w, "SIP/2.0 180");
    world_pass(w, 9000);
    world_expect_silence(w);
    world_pass(w, 2000);
    world_expect(w, world_start("CANCEL", 2));
    assert_true(world_answer(w, invite, 487, "two", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 408");
    world_ack_failure(w);
    world_close(w);
}

static void other_requests_wait_and_are_answered_480(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target target = sleeper(1, 1000);
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "hello");
    assert_int_equal(OK, world_forward(w, &target, 1));
    world_expect_silence(w);
    stay_away(w, 0);
    world_expect(w, "SIP/2.0 480");
    world_close(w);
}

static void a_world_that_ends_forgets_who_waits(void **state)
{
    struct world *w = open_world((struct world_options){0});
    struct proxy_target target = sleeper(1, 1000);
    (void)state;

    world_call(w, &target, 1);
    world_drop(w);
    assert_true(waits[0].stopped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_phone_that_was_woken_is_called_where_it_is_now),
        cmocka_unit_test(a_phone_that_comes_back_from_where_it_was_is_called),
        cmocka_unit_test(a_phone_that_does_not_come_is_480),
        cmocka_unit_test(the_others_ring_at_once_and_the_call_waits_for_all),
        cmocka_unit_test(what_another_phone_said_is_better_than_a_sleeper),
        cmocka_unit_test(a_2xx_ends_the_waiting),
        cmocka_unit_test(a_cancel_ends_the_waiting_at_once),
        cmocka_unit_test(a_cancel_cancels_those_who_ring_and_ends_the_waiting),
        cmocka_unit_test(a_sleeper_of_lower_q_is_woken_at_its_turn),
        cmocka_unit_test(a_woken_phone_keeps_the_turn_of_the_sleeper),
        cmocka_unit_test(flows_of_one_phone_are_woken_once),
        cmocka_unit_test(who_cannot_be_woken_is_left_out),
        cmocka_unit_test(timer_c_begins_when_the_phone_is_called),
        cmocka_unit_test(other_requests_wait_and_are_answered_480),
        cmocka_unit_test(a_world_that_ends_forgets_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
