/* SPDX-License-Identifier: Apache-2.0 */
/* A request's plan: step after step, each with its time, and what becomes of who was given up. */
#include "world.h"

enum {
    PLAN = 77,
    STEPS = 8
};

/* What the plan says, one after the other; then PROXY_NEXT_NONE. */
static struct said {
    enum proxy_next next;
    struct proxy_target targets[3];
    uint32_t count;
    struct proxy_patience patience;
    uint16_t reply;
} script[STEPS];
static unsigned said, asked, done;
static struct proxy_end ends[STEPS];
static uint64_t waiter;

static enum proxy_next next_step(void *user, uint64_t plan, const struct proxy_end *end,
                                 uint64_t number, uint64_t now_ms, struct proxy_step *step,
                                 uint16_t *reply)
{
    (void)user;
    (void)now_ms;
    assert_int_equal(PLAN, plan);
    assert_int_equal(0, done);
    assert_true(asked < STEPS);
    ends[asked++] = *end;
    waiter = number;
    if (said == STEPS || script[said].next == 0)
        return PROXY_NEXT_NONE;
    const struct said *next = &script[said++];
    *step = (struct proxy_step){next->targets, next->count, next->patience};
    *reply = next->reply;
    return next->next;
}

static void plan_done(void *user, uint64_t plan)
{
    (void)user;
    assert_int_equal(PLAN, plan);
    done++;
}

/* With a plan whose first step has this patience. */
static struct world *open_world(struct proxy_patience patience)
{
    struct world *w = world_open((struct world_options){0});

    w->proxy->config.next_step = next_step;
    w->proxy->config.plan_done = plan_done;
    w->request.plan = PLAN;
    w->request.patience = patience;
    memset(script, 0, sizeof script);
    memset(ends, 0, sizeof ends);
    said = asked = done = 0;
    waiter = 0;
    return w;
}

/* All is over: the plan was let go of, once. */
static void close_world(struct world *w)
{
    world_close(w);
    assert_int_equal(1, done);
}

static void then_try(unsigned at, unsigned n, struct proxy_patience patience)
{
    script[at] =
        (struct said){.next = PROXY_NEXT_STEP, .targets = {world_target(n, 1000)}, .count = 1};
    script[at].patience = patience;
}

static void expect_end(unsigned at, enum proxy_outcome outcome, unsigned status)
{
    assert_true(at < asked);
    assert_int_equal(outcome, ends[at].outcome);
    assert_int_equal(status, ends[at].status);
}

static void call_one(struct world *w, unsigned n)
{
    struct proxy_target target = world_target(n, 1000);
    world_call(w, &target, 1);
}

static struct sent *rings(struct world *w, unsigned n)
{
    struct sent *invite = world_expect(w, world_start("INVITE", n));
    assert_true(world_answer(w, invite, 180, "ringing", ""));
    world_expect(w, "SIP/2.0 180");
    return invite;
}

static void fails(struct world *w, struct sent *invite, unsigned status)
{
    assert_true(world_answer(w, invite, status, "failed", ""));
    world_expect(w, "ACK");
}

static const struct proxy_patience ring_20 = {.ring_ms = 20000};
static const struct proxy_patience no_limit = {0};

static void the_next_step_follows_when_the_first_has_failed(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    then_try(0, 2, ring_20);
    call_one(w, 1);
    fails(w, world_expect(w, world_start("INVITE", 1)), 486);
    expect_end(0, PROXY_BUSY, 486);
    struct sent *two = rings(w, 2);
    assert_int_equal(0, done);
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    assert_int_equal(1, done); /* it is answered: nobody asks the plan any more */
    assert_int_equal(1, asked);
    assert_int_equal(1, proxy_counters(w->proxy)->steps);
    world_expect_silence(w);
    close_world(w);
}

static void the_best_response_of_all_steps_is_the_answer_when_the_plan_ends(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    then_try(0, 2, ring_20);
    call_one(w, 1);
    fails(w, world_expect(w, world_start("INVITE", 1)), 486);
    fails(w, world_expect(w, world_start("INVITE", 2)), 480);
    expect_end(1, PROXY_UNANSWERED, 480); /* of this step alone */
    assert_int_equal(2, asked);
    world_expect(w, "SIP/2.0 486");
    world_ack_failure(w);
    close_world(w);
}

static void the_plan_may_answer_by_itself(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    script[0] = (struct said){.next = PROXY_NEXT_REPLY, .reply = 607};
    call_one(w, 1);
    fails(w, world_expect(w, world_start("INVITE", 1)), 404);
    expect_end(0, PROXY_FAILED, 404);
    world_expect(w, "SIP/2.0 607");
    world_ack_failure(w);
    close_world(w);
}

static void who_rings_too_long_is_cancelled_and_the_next_begins_at_once(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    then_try(0, 2, ring_20);
    call_one(w, 1);
    struct sent *one = rings(w, 1);
    world_pass(w, 19999);
    world_expect_silence(w);
    world_pass(w, 1);
    struct sent *cancel = world_expect(w, world_start("CANCEL", 1));
    assert_non_null(strstr(cancel->text, "Reason: SIP;cause=408;text=\"Request Timeout\"\r\n"));
    expect_end(0, PROXY_UNANSWERED, 0);
    assert_true(ends[0].rang);
    struct sent *two = rings(w, 2); /* before the 487 */
    fails(w, one, 487);
    world_expect_silence(w);
    fails(w, two, 486);
    world_expect(w, "SIP/2.0 486"); /* the 487 that we asked for is nobody's answer */
    world_ack_failure(w);
    close_world(w);
}

static void a_late_answer_of_a_cancelled_step_is_the_calls(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    then_try(0, 2, ring_20);
    call_one(w, 1);
    struct sent *one = rings(w, 1);
    world_pass(w, 20000);
    world_expect(w, world_start("CANCEL", 1));
    struct sent *two = rings(w, 2);
    assert_true(world_answer(w, one, 200, "one", ""));
    world_expect(w, "SIP/2.0 200");
    struct sent *cancel = world_expect(w, world_start("CANCEL", 2));
    assert_non_null(strstr(cancel->text, "Call completed elsewhere"));
    fails(w, two, 487);
    assert_int_equal(0, proxy_counters(w->proxy)->best_responses[4]);
    close_world(w);
}

static void the_caller_hears_of_failure_when_the_cancelled_ones_have_ended(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    call_one(w, 1);
    struct sent *one = rings(w, 1);
    world_pass(w, 20000);
    world_expect(w, world_start("CANCEL", 1));
    world_expect_silence(w);
    assert_int_equal(1, asked);
    fails(w, one, 487);
    world_expect(w, "SIP/2.0 408");
    world_ack_failure(w);
    assert_int_equal(1, asked); /* it has said that it is over */
    close_world(w);
}

static void who_never_said_a_word_is_not_waited_for(void **state)
{
    struct world *w = open_world((struct proxy_patience){.silent_ms = 3000});
    (void)state;

    then_try(0, 2, (struct proxy_patience){.silent_ms = 3000});
    call_one(w, 1);
    world_pass(w, 2999);
    world_ignore(w); /* sent three times */
    world_pass(w, 1);
    expect_end(0, PROXY_UNREACHED, 0);
    assert_false(ends[0].rang);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w); /* no CANCEL before a provisional response (§9.1) */
    fails(w, two, 503);
    expect_end(1, PROXY_FAILED, 503);
    world_expect(w, "SIP/2.0 500"); /* at once: 503 is not the caller's (§16.7 step 6) */
    world_ack_failure(w);
    close_world(w);
}

static void who_says_his_first_word_after_his_time_is_cancelled_then(void **state)
{
    struct world *w = open_world((struct proxy_patience){.silent_ms = 3000});
    (void)state;

    then_try(0, 2, no_limit);
    call_one(w, 1);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    world_pass(w, 3000);
    world_ignore(w);
    assert_true(world_answer(w, one, 180, "late", ""));
    world_expect(w, world_start("CANCEL", 1));
    assert_true(world_answer(w, one, 487, "late", ""));
    world_cancel(w);
    close_world(w);
}

static void a_100_ends_the_silence_but_is_no_progress(void **state)
{
    struct world *w = open_world((struct proxy_patience){.silent_ms = 3000, .progress_ms = 12000});
    (void)state;

    then_try(0, 2, no_limit);
    call_one(w, 1);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 100, NULL, ""));
    world_pass(w, 11999);
    world_expect_silence(w);
    world_pass(w, 1);
    world_expect(w, world_start("CANCEL", 1));
    expect_end(0, PROXY_UNREACHED, 0);
    struct sent *two = rings(w, 2);
    fails(w, one, 487);
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    close_world(w);
}

static void who_rings_has_all_the_time_that_ringing_may_take(void **state)
{
    struct world *w = open_world(
        (struct proxy_patience){.silent_ms = 3000, .progress_ms = 12000, .ring_ms = 60000});
    (void)state;

    call_one(w, 1);
    struct sent *one = rings(w, 1);
    world_pass(w, 59999);
    world_expect_silence(w);
    assert_true(world_answer(w, one, 200, "one", ""));
    world_expect(w, "SIP/2.0 200");
    assert_int_equal(0, asked);
    close_world(w);
}

static void an_end_tells_what_carriers_are_judged_by(void **state)
{
    struct world *w = open_world(no_limit);
    char body[] = "Content-Type: application/sdp\r\n";
    (void)state;

    then_try(0, 2, no_limit);
    call_one(w, 1);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 183, "one", body));
    assert_true(world_answer(w, one, 503, "one", "Retry-After: 17 (soon)\r\n"));
    expect_end(0, PROXY_FAILED, 503);
    assert_int_equal(17, ends[0].retry_after_s);
    assert_true(ends[0].rang);
    assert_false(ends[0].early_media); /* it had no description */
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    world_refuse(w, two);
    expect_end(1, PROXY_UNREACHED, 0);
    assert_int_equal(0, ends[1].retry_after_s);
    assert_false(ends[1].rang);
    world_ignore(w);
    world_ack_failure(w);
    close_world(w);
}

static void who_declines_ends_the_call_unless_the_step_hunts(void **state)
{
    (void)state;

    for (int hunts = 0; hunts <= 1; hunts++) {
        struct world *w = open_world((struct proxy_patience){.ring_ms = 20000, .hunts = hunts});
        struct proxy_target both[] = {world_target(1, 1000), world_target(2, 1000)};
        then_try(0, 3, ring_20);
        world_call(w, both, 2);
        struct sent *one = rings(w, 1), *two = rings(w, 2);
        fails(w, one, 603);
        if (hunts) {
            world_expect_silence(w); /* the other one rings on */
            fails(w, two, 486);
            expect_end(0, PROXY_DECLINED, 603);
            struct sent *three = world_expect(w, world_start("INVITE", 3));
            assert_true(world_answer(w, three, 200, "three", ""));
            world_expect(w, "SIP/2.0 200");
        } else {
            world_expect(w, world_start("CANCEL", 2));
            assert_int_equal(1, done);
            fails(w, two, 487);
            world_expect(w, "SIP/2.0 603");
            world_ack_failure(w);
            assert_int_equal(0, asked);
        }
        close_world(w);
    }
}

static void a_step_without_anybody_is_passed_over(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    script[0] = (struct said){.next = PROXY_NEXT_STEP};
    then_try(1, 2, ring_20);
    world_call(w, NULL, 0); /* the first has nobody either */
    expect_end(0, PROXY_UNREACHED, 0);
    expect_end(1, PROXY_UNREACHED, 0);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    close_world(w);
}

static void a_plan_without_anybody_is_answered(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    world_call(w, NULL, 0);
    world_expect(w, "SIP/2.0 500");
    world_ack_failure(w);
    assert_int_equal(1, asked);
    close_world(w);
}

static void a_flow_that_is_gone_is_no_news_for_the_caller(void **state)
{
    struct world *w = open_world(ring_20);
    (void)state;

    then_try(0, 2, ring_20);
    script[0].targets[0].aor = SLICE("bob"); /* a registration: who is not there is 480 */
    world_call(w, NULL, 0);
    fails(w, world_expect(w, world_start("INVITE", 2)), 430);
    expect_end(1, PROXY_UNREACHED, 430);
    world_expect(w, "SIP/2.0 480");
    world_ack_failure(w);
    close_world(w);
}

static void who_was_asked_is_not_asked_again(void **state)
{
    struct world *w = open_world(ring_20);
    struct proxy_target first = world_target(1, 1000);
    (void)state;

    first.instance = 5;
    script[0] = (struct said){.next = PROXY_NEXT_STEP, .count = 3, .patience = ring_20};
    script[0].targets[0] = first; /* the same phone */
    script[0].targets[1] = world_target(2, 1000);
    script[0].targets[1].instance = 5; /* by another flow */
    script[0].targets[2] = world_target(3, 1000);
    world_call(w, &first, 1);
    fails(w, world_expect(w, world_start("INVITE", 1)), 486);
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    world_expect_silence(w);
    assert_true(world_answer(w, three, 200, "three", ""));
    world_expect(w, "SIP/2.0 200");
    close_world(w);
}

static void what_comes_later_is_waited_for(void **state)
{
    struct world *w = open_world(ring_20);
    struct proxy_target target = world_target(2, 1000);
    const struct proxy_step step = {&target, 1, ring_20};
    (void)state;

    script[0] = (struct said){.next = PROXY_NEXT_LATER};
    call_one(w, 1);
    fails(w, world_expect(w, world_start("INVITE", 1)), 486);
    world_pass(w, 30000);
    world_expect_silence(w);
    proxy_go_on(w->proxy, waiter, PROXY_NEXT_STEP, &step, 0, w->now_ms);
    struct sent *two = rings(w, 2);
    proxy_go_on(w->proxy, waiter, PROXY_NEXT_STEP, &step, 0, w->now_ms); /* twice is once */
    world_expect_silence(w);
    world_pass(w, 20000); /* its time began with it */
    world_expect(w, world_start("CANCEL", 2));
    fails(w, two, 487);
    world_expect(w, "SIP/2.0 486");
    world_ack_failure(w);
    proxy_go_on(w->proxy, waiter, PROXY_NEXT_NONE, NULL, 0, w->now_ms);
    close_world(w);
}

static void a_caller_who_gives_up_ends_it_wherever_it_is(void **state)
{
    (void)state;

    for (unsigned at = 0; at < 3; at++) {
        struct world *w = open_world(ring_20);
        struct sent *one;
        script[0] = (struct said){.next = PROXY_NEXT_LATER};
        if (at == 1)
            then_try(0, 2, ring_20);
        call_one(w, 1);
        if (at == 2) { /* it was silent, and its time is over */
            world_pass(w, 20000);
            world_ignore(w);
        } else {
            one = rings(w, 1);
            world_pass(w, 20000);
            world_expect(w, world_start("CANCEL", 1));
            fails(w, one, 487);
        }
        struct sent *two = at == 1 ? rings(w, 2) : NULL;
        world_cancel(w);
        world_expect(w, "SIP/2.0 200");
        assert_int_equal(1, done);
        if (two != NULL) {
            world_expect(w, world_start("CANCEL", 2));
            fails(w, two, 487);
        }
        world_expect(w, "SIP/2.0 487");
        world_ack_failure(w);
        world_expect_silence(w);
        close_world(w);
    }
}

static void max_breadth_is_left_for_the_steps_to_come(void **state)
{
    struct world *w = open_world(ring_20);
    struct proxy_target target = world_target(1, 1000);
    (void)state;

    then_try(0, 2, ring_20);
    then_try(1, 3, ring_20);
    world_write(w, "INVITE", "sip:bob@example.com", "Max-Breadth: 2\r\n", "");
    assert_int_equal(OK, world_forward(w, &target, 1));
    struct sent *one = rings(w, 1);
    assert_non_null(strstr(one->text, "Max-Breadth: 1\r\n"));
    world_pass(w, 20000);
    world_expect(w, world_start("CANCEL", 1));
    struct sent *two = rings(w, 2);
    assert_non_null(strstr(two->text, "Max-Breadth: 1\r\n"));
    world_pass(w, 20000);
    world_expect(w, world_start("CANCEL", 2));
    assert_null(world_take(w, world_start("INVITE", 3))); /* none is left until one has ended */
    fails(w, two, 487);
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    fails(w, one, 487);
    world_ignore(w); /* CANCELs, sent again */
    assert_true(world_answer(w, three, 200, "three", ""));
    world_expect(w, "SIP/2.0 200");
    close_world(w);
}

static void a_request_that_waits_for_its_record_begins_its_time_when_it_goes(void **state)
{
    struct world *w = open_world(ring_20);
    struct proxy_target target = world_target(1, 1000);
    (void)state;

    w->request.wait = true;
    then_try(0, 2, ring_20);
    world_call(w, &target, 1);
    world_pass(w, 25000);
    world_expect_silence(w);
    assert_int_equal(0, asked);
    assert_int_equal(OK, txn_server_parse(w->txns, w->server, &w->msg));
    assert_int_equal(OK, proxy_release(w->proxy, w->server, &w->msg, w->now_ms));
    struct sent *one = rings(w, 1);
    world_pass(w, 19999);
    world_expect_silence(w);
    world_pass(w, 1);
    world_expect(w, world_start("CANCEL", 1));
    struct sent *two = rings(w, 2);
    fails(w, one, 487);
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    close_world(w);
}

static void a_plan_ends_with_the_room_of_the_proxy(void **state)
{
    struct world *w = world_open((struct world_options){.contexts_max = 1});
    struct proxy_target target = world_target(1, 1000);
    (void)state;

    w->proxy->config.next_step = next_step;
    w->proxy->config.plan_done = plan_done;
    memset(script, 0, sizeof script);
    said = asked = done = 0;
    world_call(w, &target, 1);
    world_ignore(w);
    w->request.plan = PLAN;
    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    char *call = strstr(w->message, "call-1@");
    call[5] = '2';
    assert_int_equal(ERR_FULL, world_forward(w, &target, 1));
    assert_int_equal(1, done);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_close(w);
    assert_int_equal(1, done);
}

static void an_endless_plan_is_ended(void **state)
{
    struct world *w = open_world(no_limit);
    (void)state;

    call_one(w, 1);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    step_of(pool_get(&w->proxy->contexts, (struct id){0, 1}))->count = PROXY_STEPS_MAX;
    then_try(0, 2, no_limit);
    fails(w, one, 486);
    assert_int_equal(0, asked);
    world_expect(w, "SIP/2.0 486");
    world_ack_failure(w);
    close_world(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_step_follows_when_the_first_has_failed),
        cmocka_unit_test(the_best_response_of_all_steps_is_the_answer_when_the_plan_ends),
        cmocka_unit_test(the_plan_may_answer_by_itself),
        cmocka_unit_test(who_rings_too_long_is_cancelled_and_the_next_begins_at_once),
        cmocka_unit_test(a_late_answer_of_a_cancelled_step_is_the_calls),
        cmocka_unit_test(the_caller_hears_of_failure_when_the_cancelled_ones_have_ended),
        cmocka_unit_test(who_never_said_a_word_is_not_waited_for),
        cmocka_unit_test(who_says_his_first_word_after_his_time_is_cancelled_then),
        cmocka_unit_test(a_100_ends_the_silence_but_is_no_progress),
        cmocka_unit_test(who_rings_has_all_the_time_that_ringing_may_take),
        cmocka_unit_test(an_end_tells_what_carriers_are_judged_by),
        cmocka_unit_test(who_declines_ends_the_call_unless_the_step_hunts),
        cmocka_unit_test(a_step_without_anybody_is_passed_over),
        cmocka_unit_test(a_plan_without_anybody_is_answered),
        cmocka_unit_test(a_flow_that_is_gone_is_no_news_for_the_caller),
        cmocka_unit_test(who_was_asked_is_not_asked_again),
        cmocka_unit_test(what_comes_later_is_waited_for),
        cmocka_unit_test(a_caller_who_gives_up_ends_it_wherever_it_is),
        cmocka_unit_test(max_breadth_is_left_for_the_steps_to_come),
        cmocka_unit_test(a_request_that_waits_for_its_record_begins_its_time_when_it_goes),
        cmocka_unit_test(a_plan_ends_with_the_room_of_the_proxy),
        cmocka_unit_test(an_endless_plan_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
