/* SPDX-License-Identifier: Apache-2.0 */
/* Whole calls through proxy and transactions: what goes in, what comes out, when. */
#include "world.h"

static void a_call_is_forwarded_answered_acknowledged_and_ended(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->request.record_route = true;
    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, world_start("INVITE", 1));
    assert_true(addr_equal(&invite->to.remote, &bob.to.remote));
    assert_non_null(strstr(invite->text, "\r\nMax-Forwards: 69\r\n"));
    assert_non_null(strstr(invite->text, "\r\nMax-Breadth: 60\r\n"));
    assert_non_null(strstr(invite->text, "SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.1:5060;branch="));
    assert_non_null(strstr(invite->text, "\r\nRecord-Route: <sip:203.0.113.1:5060;lr;r="));
    assert_int_equal(world_count_text(invite->text, "\r\nRecord-Route: "), 1);
    assert_int_equal(world_count_text(invite->text, "\r\nVia: "), 2);

    assert_true(world_answer(w, invite, 100, NULL, ""));
    world_expect_silence(w);
    assert_true(world_answer(w, invite, 180, "bob", ""));
    struct sent *ringing = world_expect(w, "SIP/2.0 180");
    assert_true(addr_equal(&ringing->to.remote, &w->source.remote));
    assert_int_equal(world_count_text(ringing->text, "\r\nVia: "), 1);
    assert_true(world_answer(w, invite, 200, "bob", "Contact: <sip:bob@198.51.100.1>\r\n"));
    struct sent *ok = world_expect(w, "SIP/2.0 200");
    assert_int_equal(world_count_text(ok->text, "\r\nVia: "), 1);
    assert_non_null(strstr(ok->text, "tag=bob"));
    world_expect_silence(w);

    /* A 2xx that is resent by the callee goes through, too (RFC 6026 §7.2). */
    assert_true(world_answer(w, invite, 200, "bob", ""));
    world_expect(w, "SIP/2.0 200");

    world_pass(w, 100);
    memset(&w->request, 0, sizeof w->request);
    world_write(w, "BYE", "sip:bob@198.51.100.1:5060", "Route: <sip:203.0.113.1;lr;r=token>\r\n",
                "");
    w->request.routes_drop = 1;
    w->request.in_dialog = true;
    assert_int_equal(world_forward(w, &bob, 1), OK);
    struct sent *bye = world_expect(w, world_start("BYE", 1));
    assert_null(strstr(bye->text, "\r\nRoute:"));
    assert_true(world_answer(w, bye, 200, "bob", ""));
    world_expect(w, "SIP/2.0 200");
    world_expect_silence(w);
    world_close(w);
}

static void an_ack_of_a_2xx_is_forwarded_without_state_and_with_one_branch(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    struct txn_branch branch;
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        world_write(w, "ACK", "sip:bob@198.51.100.1:5060",
                    "Route: <sip:203.0.113.1;lr>, <sip:198.51.100.9;lr>\r\n", "");
        assert_int_equal(world_receive(w).verdict, TXN_ACK);
        struct proxy_request request = {.msg = &w->msg,
                                        .source = &w->source,
                                        .uri = w->msg.uri,
                                        .routes_drop = 1,
                                        .record_route = true};
        assert_int_equal(proxy_forward(w->proxy, &request, &bob, 1, w->now_ms), OK);
    }
    struct sent *first = world_expect(w, world_start("ACK", 1));
    struct sent *second = world_expect(w, world_start("ACK", 1));
    assert_string_equal(first->text, second->text);
    assert_non_null(strstr(first->text, "\r\nRoute: <sip:198.51.100.9;lr>\r\n"));
    assert_null(strstr(first->text, "Record-Route"));
    assert_int_equal(sip_parse(slice_of(first->text), SIP_DATAGRAM, &w->msg), OK);
    assert_true(sip_branch_rfc3261(w->msg.via.branch));
    assert_false(txn_branch_parse(w->msg.via.branch, &branch));
    world_close(w);
}

static void a_busy_callee_is_heard_and_nothing_is_kept(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 486, "bob", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 486");
    assert_int_equal(proxy_count(w->proxy), 0);
    world_ack_failure(w);
    world_expect_silence(w);
    world_close(w);
}

static void nobody_there_means_408_after_32_seconds(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    world_pass(w, 31999);
    assert_null(world_take(w, "SIP/2.0 408"));
    world_pass(w, 1);
    world_expect(w, "SIP/2.0 408");
    world_close(w);
}

static void a_silent_target_of_a_non_invite_means_silence(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    world_pass(w, 70000);
    assert_null(world_take(w, "SIP/2.0 4"));
    assert_null(world_take(w, "SIP/2.0 5"));
    assert_int_equal(txn_count(w->txns), 0);
    world_close(w);
}

static void a_408_to_a_non_invite_is_not_passed_on(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    assert_true(world_answer(w, world_expect(w, "MESSAGE"), 408, "bob", ""));
    world_expect_silence(w);
    /* A retransmission is not taken for a new request as long as the caller may resend. */
    world_pass(w, 31000);
    world_write(w, "MESSAGE", "sip:bob@example.com", "", "");
    assert_int_equal(world_receive(w).verdict, TXN_ABSORBED);
    world_pass(w, 1001);
    assert_int_equal(txn_count(w->txns), 0);
    assert_null(world_take(w, "SIP/2.0 4"));
    world_close(w);
}

static void a_provisional_response_to_a_non_invite_is_not_passed_on(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    struct sent *message = world_expect(w, "MESSAGE");
    assert_true(world_answer(w, message, 183, "bob", ""));
    world_expect_silence(w);
    assert_true(world_answer(w, message, 200, "bob", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

static void a_transport_error_counts_as_503_and_is_told_as_500(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    world_refuse(w, world_expect(w, "INVITE"));
    world_expect(w, "SIP/2.0 500");
    world_expect_silence(w);
    world_close(w);
}

static void a_503_is_told_as_500(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, "INVITE"), 503, "bob", "Retry-After: 5\r\n"));
    world_expect(w, "ACK");
    struct sent *told = world_expect(w, "SIP/2.0 500");
    assert_null(strstr(told->text, "Retry-After"));
    world_expect_silence(w);
    world_close(w);
}

/* ---- CANCEL ---- */

static void a_cancel_after_ringing_is_passed_on_and_487_comes_from_the_callee(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 180, "bob", ""));
    world_expect(w, "SIP/2.0 180");
    world_cancel(w);
    world_expect(w, "SIP/2.0 200");
    struct sent *cancel = world_expect(w, world_start("CANCEL", 1));
    assert_true(world_answer(w, cancel, 200, "bob", ""));
    world_expect_silence(w);
    assert_true(world_answer(w, invite, 487, "bob", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 487");
    world_close(w);
}

static void a_cancel_before_any_answer_waits_for_the_first_provisional(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    world_cancel(w);
    world_expect(w, "SIP/2.0 200");
    world_expect_silence(w);
    assert_true(world_answer(w, invite, 100, NULL, ""));
    world_expect(w, world_start("CANCEL", 1));
    assert_true(world_answer(w, invite, 487, "bob", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 487");
    world_close(w);
}

static void a_cancelled_call_to_a_silent_callee_ends_with_our_487(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    world_cancel(w);
    world_ignore(w);
    world_pass(w, 32000);
    world_expect(w, "SIP/2.0 487");
    world_close(w);
}

static void a_cancel_that_crosses_a_200_changes_nothing(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 180, "bob", ""));
    world_ignore(w);
    world_cancel(w);
    world_ignore(w);
    assert_true(world_answer(w, invite, 200, "bob", ""));
    world_expect(w, "SIP/2.0 200");
    proxy_cancel(w->proxy, w->server, w->now_ms);
    world_expect_silence(w);
    world_close(w);
}

static void after_a_cancel_no_further_target_is_tried(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *invite = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, invite, 180, "bob", ""));
    world_ignore(w);
    world_cancel(w);
    world_ignore(w);
    assert_true(world_answer(w, invite, 487, "bob", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 487");
    world_expect_silence(w);
    world_close(w);
}

/* ---- Timer C ---- */

static void timer_c_cancels_a_callee_that_rings_for_ever(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 180, "bob", ""));
    world_pass(w, 100000);
    assert_true(world_answer(w, invite, 180, "bob", "")); /* starts it anew (§16.7 step 2) */
    world_pass(w, 100000);
    assert_true(world_answer(w, invite, 100, NULL, "")); /* does not */
    world_ignore(w);
    world_pass(w, WORLD_TIMER_C_MS - 100000 - 1);
    world_expect_silence(w);
    world_pass(w, 1);
    world_expect(w, "CANCEL");
    assert_true(world_answer(w, invite, 487, "bob", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 408"); /* the caller did not cancel: for him it is a timeout */
    assert_int_equal(proxy_counters(w->proxy)->timer_c, 1);
    world_close(w);
}

static void timer_c_of_a_dead_callee_ends_in_408_though_he_answers_no_cancel(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, "INVITE"), 180, "bob", ""));
    world_ignore(w);
    world_pass(w, WORLD_TIMER_C_MS + 31999);
    assert_null(world_take(w, "SIP/2.0 408"));
    world_pass(w, 1);
    world_expect(w, "SIP/2.0 408");
    world_close(w);
}

static void timer_c_without_any_answer_is_a_timeout_at_once(void **state)
{
    struct world *w = world_open((struct world_options){.timer_c_ms = 10000});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    world_call(w, targets, 2);
    world_pass(w, 10000);
    world_expect(w, world_start("INVITE", 2));
    world_pass(w, 10000);
    world_expect(w, "SIP/2.0 408");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_forwarded_answered_acknowledged_and_ended),
        cmocka_unit_test(an_ack_of_a_2xx_is_forwarded_without_state_and_with_one_branch),
        cmocka_unit_test(a_busy_callee_is_heard_and_nothing_is_kept),
        cmocka_unit_test(nobody_there_means_408_after_32_seconds),
        cmocka_unit_test(a_silent_target_of_a_non_invite_means_silence),
        cmocka_unit_test(a_408_to_a_non_invite_is_not_passed_on),
        cmocka_unit_test(a_provisional_response_to_a_non_invite_is_not_passed_on),
        cmocka_unit_test(a_transport_error_counts_as_503_and_is_told_as_500),
        cmocka_unit_test(a_503_is_told_as_500),
        cmocka_unit_test(a_cancel_after_ringing_is_passed_on_and_487_comes_from_the_callee),
        cmocka_unit_test(a_cancel_before_any_answer_waits_for_the_first_provisional),
        cmocka_unit_test(a_cancelled_call_to_a_silent_callee_ends_with_our_487),
        cmocka_unit_test(a_cancel_that_crosses_a_200_changes_nothing),
        cmocka_unit_test(after_a_cancel_no_further_target_is_tried),
        cmocka_unit_test(timer_c_cancels_a_callee_that_rings_for_ever),
        cmocka_unit_test(timer_c_of_a_dead_callee_ends_in_408_though_he_answers_no_cancel),
        cmocka_unit_test(timer_c_without_any_answer_is_a_timeout_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
