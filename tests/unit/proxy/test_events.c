/* SPDX-License-Identifier: Apache-2.0 */
/* Ends, strays, and what comes at the wrong moment. */
#include "world.h"

static void a_caller_whose_transaction_is_dropped_stops_the_ringing(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 5)};
    (void)state;

    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 180, "one", ""));
    world_ignore(w);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_expect(w, world_start("CANCEL", 1));
    assert_int_equal(proxy_count(w->proxy), 0);
    assert_true(world_answer(w, one, 487, "one", ""));
    world_expect(w, "ACK");
    world_expect_silence(w); /* nobody is told, and no further target is tried */
    world_close(w);
}

static void a_final_response_without_another_via_is_a_failed_target(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    struct sip_msg *msg = calloc(1, sizeof *msg);
    char text[2048];
    (void)state;

    assert_non_null(msg);
    world_call(w, targets, 2);
    struct sent *invite = world_expect(w, world_start("INVITE", 1));
    char *via = world_header(invite, "Via");
    for (unsigned status = 180; status <= 200; status += 20) {
        snprintf(text, sizeof text,
                 "SIP/2.0 %u X\r\nVia: %s\r\nFrom: <sip:alice@example.com>;tag=alice\r\n"
                 "To: <sip:bob@example.com>;tag=b\r\nCall-ID: call-1@192.0.2.1\r\n"
                 "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
                 status, via);
        assert_int_equal(sip_parse(slice_of(text), SIP_DATAGRAM, msg), OK);
        assert_true(txn_receive_response(w->txns, msg, &invite->to, w->now_ms));
    }
    free(via);
    free(msg);
    world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w);
    world_close(w);
}

static void vias_in_one_field_are_told_apart(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    struct sip_msg *msg = calloc(1, sizeof *msg);
    char text[2048];
    (void)state;

    assert_non_null(msg);
    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    char *via = world_header(invite, "Via");
    snprintf(text, sizeof text,
             "SIP/2.0 200 OK\r\nv: %s ,\r\n  SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcallerINVITE"
             "\r\nFrom: <sip:alice@example.com>;tag=alice\r\n"
             "To: <sip:bob@example.com>;tag=b\r\nCall-ID: call-1@192.0.2.1\r\n"
             "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
             via);
    assert_int_equal(sip_parse(slice_of(text), SIP_DATAGRAM, msg), OK);
    assert_true(txn_receive_response(w->txns, msg, &invite->to, w->now_ms));
    free(via);
    free(msg);
    struct sent *told = world_expect(w, "SIP/2.0 200");
    assert_non_null(strstr(
        told->text, "\r\nv: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcallerINVITE\r\nFrom:"));
    world_close(w);
}

static void the_callers_reason_for_hanging_up_reaches_the_callee(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 180, "bob", ""));
    proxy_cancel_with(w->proxy, w->server, SLICE("Reason: SIP;cause=200\r\n"), w->now_ms);
    assert_non_null(strstr(world_expect(w, "CANCEL")->text, "\r\nReason: SIP;cause=200\r\n"));
    proxy_cancel(w->proxy, w->server, w->now_ms); /* once is enough */
    assert_null(world_take(w, "CANCEL"));
    world_close(w);
}

static void events_for_nothing_are_ignored(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    static const uint64_t numbers[] = {0, 1, UINT64_MAX, (uint64_t)1 << 32, 0xffffff00ffu};
    (void)state;

    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_int_equal(sip_parse(slice_of(invite->text), SIP_DATAGRAM, &w->msg), OK);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct id none = {9, 9};
        proxy_on_response(w->proxy, none, numbers[i], &w->msg, false, w->now_ms);
        proxy_on_failure(w->proxy, none, numbers[i], TXN_TIMEOUT, w->now_ms);
        proxy_on_server_end(w->proxy, none, numbers[i], w->now_ms);
        proxy_on_client_end(w->proxy, none, numbers[i], w->now_ms);
        proxy_cancel(w->proxy, none, w->now_ms);
    }
    world_expect_silence(w);
    assert_int_equal(proxy_count(w->proxy), 1);
    world_close(w);
}

static void a_call_by_tcp_goes_through_with_two_record_routes(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->source = world_flow("192.0.2.1:40000", TRANSPORT_TCP);
    w->source.conn = (struct conn_id){3, {1, 1}};
    w->request.record_route = true;
    w->request.caller = (struct proxy_side){.has_flow = true, .flow = w->source};
    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_int_equal(world_count_text(invite->text, "\r\nRecord-Route: "), 2);
    assert_true(world_answer(w, invite, 200, "bob", "Contact: <sip:bob@198.51.100.1>\r\n"));
    struct sent *ok = world_expect(w, "SIP/2.0 200");
    assert_int_equal(ok->to.transport, TRANSPORT_TCP);
    assert_int_equal(world_count_text(ok->text, "Record-Route: "), 2);
    world_close(w);
}

static void a_non_invite_by_tcp_leaves_nothing_at_once(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->source = world_flow("192.0.2.1:40000", TRANSPORT_TCP);
    bob.to.transport = TRANSPORT_TCP;
    world_write(w, "OPTIONS", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    assert_true(world_answer(w, world_expect(w, "OPTIONS"), 200, "bob", ""));
    world_expect(w, "SIP/2.0 200");
    assert_int_equal(proxy_count(w->proxy), 0);
    world_pass(w, 0);
    assert_int_equal(txn_count(w->txns), 0);
    world_close(w);
}

static void a_lost_connection_is_a_failed_target(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    targets[0].to = world_flow("198.51.100.1:40000", TRANSPORT_TCP);
    targets[0].to.conn = (struct conn_id){3, {7, 7}};
    world_call(w, targets, 2);
    world_expect(w, world_start("INVITE", 1));
    txn_conn_lost(w->txns, targets[0].to.conn, w->now_ms);
    world_pass(w, 0);
    world_expect(w, world_start("INVITE", 2));
    world_close(w);
}

static void a_proxy_closes_with_calls_under_way(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000), world_target(4, 1000),
                                     world_target(5, 500)};
    (void)state;

    world_call(w, targets, 5);
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 1)), 401, "one",
                             "WWW-Authenticate: Digest realm=\"1\"\r\n"));
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 2)), 401, "two",
                             "WWW-Authenticate: Digest realm=\"2\"\r\n"));
    world_drop(w); /* checks that nothing is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_caller_whose_transaction_is_dropped_stops_the_ringing),
        cmocka_unit_test(a_final_response_without_another_via_is_a_failed_target),
        cmocka_unit_test(vias_in_one_field_are_told_apart),
        cmocka_unit_test(the_callers_reason_for_hanging_up_reaches_the_callee),
        cmocka_unit_test(events_for_nothing_are_ignored),
        cmocka_unit_test(a_call_by_tcp_goes_through_with_two_record_routes),
        cmocka_unit_test(a_non_invite_by_tcp_leaves_nothing_at_once),
        cmocka_unit_test(a_lost_connection_is_a_failed_target),
        cmocka_unit_test(a_proxy_closes_with_calls_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
