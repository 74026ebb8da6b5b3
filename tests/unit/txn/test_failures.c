/* SPDX-License-Identifier: Apache-2.0 */
/* Transport errors: bytes that were not delivered, lost connections (RFC 3261 §17.1.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "txn_world.h"

static const struct request invite = {0};
static const struct request bye = {.method = "BYE", .to_tag = "t"};

static struct slice bytes_of(const struct world *w, uint32_t index)
{
    return (struct slice){w->sent[index].text, w->sent[index].len};
}

/* Who is there may say so himself: then nobody listens there. */
static void a_refused_request_fails_with_the_next_run(void **unused)
{
    static const struct request *requests[] = {&invite, &bye};
    struct flow to = world_udp(20, 5060);
    (void)unused;

    for (size_t i = 0; i < 2 * COUNT_OF(requests); i++) {
        struct world *w = world_open(10);
        bool closed = i >= COUNT_OF(requests);
        world_send(w, requests[i % COUNT_OF(requests)], &to, 1);
        world_run(w, 100);
        txn_send_failed(w->table, bytes_of(w, 0), closed, w->now_ms);
        txn_send_failed(w->table, bytes_of(w, 0), closed, w->now_ms);
        assert_int_equal(w->told_count, 0); /* never from within */
        world_run(w, 0);
        assert_int_equal(w->told_count, 2);
        assert_int_equal(w->told[0].kind, TOLD_FAILURE);
        assert_int_equal(w->told[0].detail, closed ? TXN_CLOSED : TXN_TRANSPORT_ERROR);
        assert_int_equal(w->told[1].kind, TOLD_CLIENT_END);
        assert_int_equal(txn_counters(w->table)->transport_errors, 1);
        txn_send_failed(w->table, bytes_of(w, 0), false, w->now_ms);
        world_run(w, 1000);
        assert_int_equal(w->told_count, 2);
        world_close(w);
    }
}

/* ICMP gives back what it likes: only a whole branch counts. */
static void a_request_that_is_cut_off_is_known_by_its_branch(void **unused)
{
    struct flow to = world_udp(20, 5060);
    (void)unused;

    struct world *w = world_open(10);
    world_send(w, &bye, &to, 1);
    struct slice sent = bytes_of(w, 0);
    const char *at = strstr(w->sent[0].text, w->branch);
    size_t needed = (size_t)(at - sent.data) + TXN_BRANCH_LEN;
    for (size_t len = 0; len < needed; len++)
        txn_send_failed(w->table, (struct slice){sent.data, len}, false, w->now_ms);
    world_run(w, 0);
    assert_int_equal(w->told_count, 0);
    txn_send_failed(w->table, (struct slice){sent.data, needed}, false, w->now_ms);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static void what_is_not_ours_fails_nothing(void **unused)
{
    static const struct {
        const char *why;
        const char *before; /* the branch */
        const char *after;
    } cases[] = {
        {"a response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=", "\r\n"},
        {"another method", "INFO sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=", "\r\n"},
        {"a branch in the Request-URI",
         "BYE sip:a;branch=", " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfoo\r\n"},
        {"a branch in another header", "BYE sip:a SIP/2.0\r\nSubject: ;branch=", "\r\n"},
        {"a folded line that looks like a Via",
         "BYE sip:a SIP/2.0\r\nSubject: x\r\n Via: SIP/2.0/UDP 192.0.2.1;branch=", "\r\n"},
        {"a folded line, with a tab",
         "BYE sip:a SIP/2.0\r\nSubject: x\r\n\tv:SIP/2.0/UDP 192.0.2.1;branch=", "\r\n"},
        {"a line of the body", "BYE sip:a SIP/2.0\r\nSubject: x\r\n\r\nVia: x;branch=", "\r\n"},
        {"the second Via",
         "BYE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfoo\r\n"
         "Via: SIP/2.0/UDP 192.0.2.1;branch=",
         "\r\n"},
        {"no Via at all", "BYE sip:a SIP/2.0\r\nTo: ", "\r\n"},
        {"no line end", "BYE sip:a SIP/2.0 ", ""},
        {"one word", "", ""},
    };
    struct flow to = world_udp(20, 5060);
    struct world *w = world_open(10);
    (void)unused;

    world_send(w, &bye, &to, 1);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        int len = snprintf(text, sizeof text, "%s%s%s", cases[i].before, w->branch, cases[i].after);
        txn_send_failed(w->table, (struct slice){text, (size_t)len}, false, w->now_ms);
        world_run(w, 0);
        if (w->told_count != 0)
            fail_msg("%s", cases[i].why);
    }
    txn_send_failed(w->table, SLICE_EMPTY, false, w->now_ms);
    world_run(w, 0);
    assert_int_equal(w->told_count, 0);
    world_close(w);
}

static void a_compact_via_is_found(void **unused)
{
    struct flow to = world_udp(20, 5060);
    struct world *w = world_open(10);
    char text[512];
    (void)unused;

    world_send(w, &bye, &to, 1);
    int len = snprintf(
        text, sizeof text,
        "BYE sip:a SIP/2.0\r\nTo: <sip:a>\r\nv : SIP/2.0/UDP 192.0.2.1;branch=%s\r\n", w->branch);
    txn_send_failed(w->table, (struct slice){text, (size_t)len}, false, w->now_ms);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static void an_answer_that_comes_first_wins(void **unused)
{
    struct flow to = world_udp(20, 5060);
    struct world *w = world_open(10);
    (void)unused;

    world_send(w, &invite, &to, 1);
    txn_send_failed(w->table, bytes_of(w, 0), false, w->now_ms);
    assert_true(world_answer(w, 0, 200, &to));
    world_run(w, 31999);
    assert_int_equal(world_told(w, TOLD_FAILURE), 0);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 0);
    world_run(w, LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    world_close(w);
}

/* Figure 5: no transport error in Proceeding, as nothing is being sent there. */
static void an_old_refusal_after_a_provisional_response_is_ignored(void **unused)
{
    struct flow to = world_udp(20, 5060);
    struct world *w = world_open(10);
    (void)unused;

    struct id id = world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 180, &to));
    txn_send_failed(w->table, bytes_of(w, 0), false, w->now_ms);
    world_run(w, 1000);
    assert_int_equal(w->told_count, 1);
    txn_client_cancel(w->table, id, SLICE_EMPTY, w->now_ms); /* its timers run as ever */
    world_run(w, 32000);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static void a_refused_ack_ends_what_waits_in_completed_quietly(void **unused)
{
    struct flow to = world_udp(20, 5060);
    struct world *w = world_open(10);
    (void)unused;

    world_send(w, &invite, &to, 1);
    assert_true(world_answer(w, 0, 486, &to));
    txn_send_failed(w->table, bytes_of(w, 0), false,
                    w->now_ms); /* the INVITE: too late to matter */
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 0);
    txn_send_failed(w->table, bytes_of(w, 1), false, w->now_ms);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 1);
    assert_int_equal(world_told(w, TOLD_FAILURE), 0);
    world_close(w);
}

static void a_lost_connection_fails_those_who_wait_on_it_and_no_others(void **unused)
{
    struct flow a = world_tcp(20, 5060, 9);
    struct flow b = world_tcp(21, 5060, 10);
    struct flow other_worker = world_tcp(22, 5060, 9);
    struct flow udp = world_udp(20, 5060);
    struct world *w = world_open(20);
    (void)unused;

    other_worker.conn.worker = 4;
    world_send(w, &invite, &a, 1);
    world_send(w, &bye, &a, 2);
    world_send(w, &invite, &a, 3); /* has rung */
    assert_true(world_answer(w, 2, 180, &a));
    world_send(w, &invite, &a, 4); /* was answered */
    assert_true(world_answer(w, 3, 200, &a));
    world_send(w, &invite, &b, 5);
    world_send(w, &invite, &other_worker, 6);
    world_send(w, &invite, &udp, 7);
    world_forget(w);
    txn_conn_lost(w->table, a.conn, w->now_ms);
    txn_conn_lost(w->table, a.conn, w->now_ms);
    assert_int_equal(w->told_count, 0);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 3);
    assert_int_equal(world_told(w, TOLD_CLIENT_END), 3);
    for (uint32_t i = 0; i < w->told_count; i++)
        assert_in_range(w->told[i].context, 1, 3);
    txn_conn_lost(w->table, a.conn, w->now_ms);
    world_run(w, 1000);
    assert_int_equal(world_told(w, TOLD_FAILURE), 3);
    txn_conn_lost(w->table, b.conn, w->now_ms);
    txn_conn_lost(w->table, other_worker.conn, w->now_ms);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 5);
    world_close(w);
}

static void a_connection_that_was_opened_for_a_request_is_known_by_its_answer(void **unused)
{
    struct flow to = world_tcp(20, 5060, 0);
    struct flow source = world_tcp(20, 5060, 9);
    struct world *w = world_open(10);
    (void)unused;

    world_send(w, &invite, &to, 1);
    txn_conn_lost(w->table, source.conn, w->now_ms);
    world_run(w, 0);
    assert_int_equal(w->told_count, 0);
    assert_true(world_answer(w, 0, 180, &source));
    txn_conn_lost(w->table, source.conn, w->now_ms);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

static struct flow websocket(enum transport transport, uint32_t conn)
{
    struct flow flow = world_tcp(30, 49152, conn);

    flow.transport = (uint8_t)transport;
    return flow;
}

/* Another call by this connection. */
static struct id call_by(struct world *w, const struct flow *source, const char *method)
{
    static unsigned n;
    char branch[32];
    struct request request = {.method = method, .branch = branch, .call_id = branch};

    snprintf(branch, sizeof branch, "z9hG4bKcall%u", n++);
    return world_receive(w, &request, source).id;
}

static void a_browser_that_is_gone_gives_its_calls_up(void **unused)
{
    struct flow page = websocket(TRANSPORT_WS, 9), other = websocket(TRANSPORT_WSS, 10);
    struct flow phone = world_tcp(30, 5060, 9);
    struct world *w = world_open(20);
    (void)unused;

    phone.conn.worker = 5;
    struct id rings = call_by(w, &page, "INVITE");
    struct id answered = call_by(w, &page, "INVITE");
    struct id dropped = call_by(w, &page, "INVITE");
    struct id waits = call_by(w, &page, "INVITE");
    struct id by_wss = call_by(w, &other, "INVITE");
    call_by(w, &page, "MESSAGE");
    call_by(w, &phone, "INVITE");
    world_reply(w, rings, 180);
    world_reply(w, answered, 486);
    txn_server_drop(w->table, dropped, w->now_ms);
    world_forget(w);
    txn_conn_lost(w->table, page.conn, w->now_ms);
    txn_conn_lost(w->table, page.conn, w->now_ms);
    txn_conn_lost(w->table, phone.conn, w->now_ms); /* its answer has another way (§18.2.2) */
    assert_int_equal(w->told_count, 2);
    for (uint32_t i = 0; i < w->told_count; i++)
        assert_int_equal(w->told[i].kind, TOLD_CALLER_LOST);
    assert_true(id_equal(rings, w->told[0].id));
    assert_true(id_equal(waits, w->told[1].id));
    txn_conn_lost(w->table, other.conn, w->now_ms);
    assert_true(id_equal(by_wss, w->told[2].id));
    world_close(w); /* and nothing is left */
}

/* What the user does with one of the calls ends the others. */
static void end_all(struct world *w, const struct told *told, const struct sip_msg *response)
{
    const struct id *ids = w->hook_user;

    (void)response;
    for (unsigned i = 0; told->kind == TOLD_CALLER_LOST && i < 3; i++)
        if (!txn_server_answered(w->table, ids[i]))
            world_reply(w, ids[i], 487);
}

static void calls_of_a_lost_browser_may_end_while_one_is_told(void **unused)
{
    struct flow page = websocket(TRANSPORT_WS, 9);
    struct flow to = websocket(TRANSPORT_WS, 9); /* it calls itself */
    struct world *w = world_open(20);
    struct id ids[3];
    (void)unused;

    for (unsigned i = 0; i < 3; i++)
        ids[i] = call_by(w, &page, "INVITE");
    world_send(w, &invite, &to, 1);
    world_forget(w);
    w->hook = end_all;
    w->hook_user = ids;
    txn_conn_lost(w->table, page.conn, w->now_ms);
    assert_int_equal(world_told(w, TOLD_CALLER_LOST), 1);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_FAILURE), 1);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_request_fails_with_the_next_run),
        cmocka_unit_test(a_request_that_is_cut_off_is_known_by_its_branch),
        cmocka_unit_test(what_is_not_ours_fails_nothing),
        cmocka_unit_test(a_compact_via_is_found),
        cmocka_unit_test(an_answer_that_comes_first_wins),
        cmocka_unit_test(an_old_refusal_after_a_provisional_response_is_ignored),
        cmocka_unit_test(a_refused_ack_ends_what_waits_in_completed_quietly),
        cmocka_unit_test(a_lost_connection_fails_those_who_wait_on_it_and_no_others),
        cmocka_unit_test(a_connection_that_was_opened_for_a_request_is_known_by_its_answer),
        cmocka_unit_test(a_browser_that_is_gone_gives_its_calls_up),
        cmocka_unit_test(calls_of_a_lost_browser_may_end_while_one_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
