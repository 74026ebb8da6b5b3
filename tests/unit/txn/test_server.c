/* SPDX-License-Identifier: Apache-2.0 */
/* Server transactions: what is resent when, what is absorbed, where responses go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "txn_world.h"

static const struct request invite = {0};
static const struct request ack = {.method = "ACK", .to_tag = "t"};
static const struct request bye = {.method = "BYE", .to_tag = "t", .branch = "z9hG4bKbye"};

/* The times since `begin_ms` at which something was sent, compared. */
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

static void a_failure_is_resent_by_timer_g_until_timer_h(void **unused)
{
    static const uint64_t times[] = {0,     500,   1500,  3500,  7500, 11500,
                                     15500, 19500, 23500, 27500, 31500};
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    uint64_t begin_ms = w->now_ms;
    struct txn_received got = world_receive(w, &invite, &source);
    assert_int_equal(got.verdict, TXN_NEW);
    world_reply(w, got.id, 486);
    world_run(w, 31999);
    check_times(w, begin_ms, times, COUNT_OF(times));
    assert_int_equal(world_told(w, TOLD_SERVER_END), 0);
    world_run(w, 1);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(txn_count(w->table), 0);
    world_close(w);
}

static void an_ack_stops_timer_g_and_is_absorbed_for_t4(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    world_reply(w, got.id, 486);
    world_run(w, 600);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(world_receive(w, &ack, &source).verdict, TXN_ABSORBED);
    world_run(w, 4999);
    assert_int_equal(world_receive(w, &ack, &source).verdict, TXN_ABSORBED);
    assert_int_equal(w->sent_count, 2);
    assert_int_equal(txn_counters(w->table)->acks_absorbed, 2);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 0);
    world_run(w, LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    world_close(w);
}

static void over_tcp_a_failure_is_sent_once_and_an_ack_ends_it(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_tcp(10, 40000, 7);
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    world_reply(w, got.id, 486);
    world_run(w, 10000);
    assert_int_equal(w->sent_count, 1);
    assert_int_equal(world_receive(w, &ack, &source).verdict, TXN_ABSORBED);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 0);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    world_close(w);
}

static void a_repeated_invite_gets_the_last_provisional_response(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    assert_int_equal(world_receive(w, &invite, &source).verdict, TXN_ABSORBED);
    assert_int_equal(w->sent_count, 0); /* nothing was answered yet */
    world_reply(w, got.id, 100);
    assert_int_equal(world_receive(w, &invite, &source).verdict, TXN_ABSORBED);
    assert_true(world_sent_has(w, 1, "SIP/2.0 100 "));
    assert_string_equal(w->sent[0].text, w->sent[1].text);
    assert_int_equal(world_forward(w, got.id, &invite, 180, "t"), OK);
    assert_int_equal(world_receive(w, &invite, &source).verdict, TXN_ABSORBED);
    assert_true(world_sent_has(w, 3, "SIP/2.0 180 "));
    assert_string_equal(w->sent[2].text, w->sent[3].text);
    assert_int_equal(txn_counters(w->table)->request_retransmissions_absorbed, 3);
    assert_int_equal(txn_counters(w->table)->responses_resent, 2);
    world_close(w);
}

/* RFC 6026 §7.1. */
static void an_accepted_invite_is_absorbed_for_64_t1_and_passes_2xx_and_acks(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    assert_int_equal(world_forward(w, got.id, &invite, 200, "t"), OK);
    assert_true(txn_server_answered(w->table, got.id));
    assert_int_equal(txn_server_request(w->table, got.id).len, 0);
    world_run(w, 31000);
    assert_int_equal(world_receive(w, &invite, &source).verdict, TXN_ABSORBED);
    assert_int_equal(w->sent_count, 1); /* the 2xx is not resent here */
    assert_int_equal(world_forward(w, got.id, &invite, 200, "t"), OK);
    assert_int_equal(world_forward(w, got.id, &invite, 200, "other"), OK);
    assert_int_equal(w->sent_count, 3);
    assert_int_equal(world_forward(w, got.id, &invite, 486, "t"), OK);
    assert_int_equal(world_forward(w, got.id, &invite, 183, "t"), OK);
    assert_int_equal(w->sent_count, 3); /* dropped */
    assert_int_equal(world_receive(w, &ack, &source).verdict, TXN_ACK);
    world_run(w, 1000 + LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(world_forward(w, got.id, &invite, 200, "t"), ERR_NOT_FOUND);
    world_close(w);
}

static void after_a_failure_no_2xx_goes_out(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    struct sip_reply reply = {.status = 500};
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    world_reply(w, got.id, 487);
    assert_int_equal(world_forward(w, got.id, &invite, 200, "t"), OK);
    assert_int_equal(txn_reply(w->table, got.id, &reply, w->now_ms), OK);
    world_flush(w);
    assert_int_equal(w->sent_count, 1);
    world_close(w);
}

static void a_repeated_bye_gets_its_final_response_for_64_t1(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &bye, &source);
    assert_int_equal(world_receive(w, &bye, &source).verdict, TXN_ABSORBED);
    assert_int_equal(w->sent_count, 0); /* Trying: discarded (§17.2.2) */
    assert_int_equal(world_forward(w, got.id, &bye, 200, "t"), OK);
    world_run(w, 31999);
    assert_int_equal(world_receive(w, &bye, &source).verdict, TXN_ABSORBED);
    assert_int_equal(w->sent_count, 2);
    assert_string_equal(w->sent[0].text, w->sent[1].text);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 0);
    world_run(w, LINGER_STEP_MS);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(world_receive(w, &bye, &source).verdict, TXN_NEW);
    world_close(w);
}

static void over_tcp_a_bye_ends_with_the_next_run_and_not_within_the_answer(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_tcp(10, 40000, 7);
    (void)unused;

    struct txn_received got = world_receive(w, &bye, &source);
    world_reply(w, got.id, 481);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 0);
    world_run(w, 0);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(w->sent_count, 1);
    world_close(w);
}

/* RFC 4320 §4.1. */
static void a_non_invite_gets_a_100_after_3500_ms_and_no_other_provisional(void **unused)
{
    struct flow sources[] = {world_udp(10, 5060), world_tcp(10, 40000, 7)};
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        struct world *w = world_open(10);
        struct txn_received got = world_receive(w, &bye, &sources[i]);
        world_reply(w, got.id, 100);
        assert_int_equal(world_forward(w, got.id, &bye, 183, "t"), OK);
        world_run(w, 3499);
        assert_int_equal(w->sent_count, 0);
        world_run(w, 1);
        assert_int_equal(w->sent_count, 1);
        assert_true(world_sent_has(w, 0, "SIP/2.0 100 "));
        assert_int_equal(world_receive(w, &bye, &sources[i]).verdict, TXN_ABSORBED);
        assert_int_equal(w->sent_count, 2);
        assert_string_equal(w->sent[0].text, w->sent[1].text);
        assert_int_equal(world_forward(w, got.id, &bye, 200, "t"), OK);
        assert_int_equal(w->sent_count, 3);
        world_run(w, 10000);
        assert_int_equal(w->sent_count, 3);
        world_close(w);
    }
}

static void an_answer_in_time_needs_no_100(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &bye, &source);
    world_run(w, 3499);
    world_reply(w, got.id, 200);
    world_run(w, 20000);
    assert_int_equal(w->sent_count, 1);
    world_close(w);
}

/* RFC 4320 §4.2. */
static void a_408_to_a_non_invite_is_silence(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    for (int forwarded = 0; forwarded < 2; forwarded++) {
        world_forget(w);
        struct txn_received got = world_receive(w, &bye, &source);
        assert_int_equal(got.verdict, TXN_NEW);
        world_run(w, 3500);
        assert_int_equal(w->sent_count, 1); /* the 100 */
        if (forwarded)
            assert_int_equal(world_forward(w, got.id, &bye, 408, "t"), OK);
        else
            world_reply(w, got.id, 408);
        assert_true(txn_server_answered(w->table, got.id));
        assert_int_equal(world_receive(w, &bye, &source).verdict, TXN_ABSORBED);
        world_run(w, 31999);
        assert_int_equal(w->sent_count, 1);
        world_run(w, LINGER_STEP_MS);
        assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
        /* A late answer finds nothing (§4.3). */
        assert_int_equal(world_forward(w, got.id, &bye, 200, "t"), ERR_NOT_FOUND);
        assert_int_equal(w->sent_count, 1);
    }
    world_close(w);
}

static void a_408_to_an_invite_is_sent(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    world_reply(w, world_receive(w, &invite, &source).id, 408);
    assert_true(world_sent_has(w, 0, "SIP/2.0 408 "));
    world_close(w);
}

static void responses_of_ours_carry_one_to_tag_and_a_100_none(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    char tag[6 + TXN_TO_TAG_LEN] = ";tag=";
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    struct slice to_tag = txn_server_to_tag(w->table, got.id);
    assert_int_equal(to_tag.len, TXN_TO_TAG_LEN);
    memcpy(tag + 5, to_tag.data, TXN_TO_TAG_LEN);
    tag[5 + TXN_TO_TAG_LEN] = 0;
    world_reply(w, got.id, 100);
    assert_false(world_sent_has(w, 0, tag));
    world_reply(w, got.id, 180);
    assert_true(world_sent_has(w, 1, tag));
    world_reply(w, got.id, 603);
    assert_true(world_sent_has(w, 2, tag));

    /* A To tag that is there stays alone. */
    struct txn_received second = world_receive(w, &bye, &source);
    world_reply(w, second.id, 481);
    assert_true(world_sent_has(w, 3, "To: <sip:bob@example.com>;tag=t\r\n"));
    world_close(w);
}

struct way {
    const char *why;
    const char *via;
    struct flow source;
    unsigned host; /* where the response goes */
    uint16_t port;
    const char *says; /* in the response's top Via; NULL: no received */
};

/* RFC 3261 §18.2.1 and §18.2.2, RFC 3581 §4. */
static void a_response_goes_where_the_top_via_and_the_source_say(void **unused)
{
    const struct way ways[] = {
        {"sent-by is the source", "SIP/2.0/UDP 192.0.2.10:5060", world_udp(10, 5060), 10, 5060,
         NULL},
        {"sent-by's port, not the source's", "SIP/2.0/UDP 192.0.2.10:5070", world_udp(10, 40000),
         10, 5070, NULL},
        {"no port: 5060", "SIP/2.0/UDP 192.0.2.10", world_udp(10, 40000), 10, 5060, NULL},
        {"a name gets received", "SIP/2.0/UDP phone.example.com:5062", world_udp(10, 40000), 10,
         5062, ";received=192.0.2.10"},
        {"another address gets received", "SIP/2.0/UDP 10.0.0.1:5062", world_udp(10, 40000), 10,
         5062, ";received=192.0.2.10"},
        {"rport: the source's port, and received in any case", "SIP/2.0/UDP 192.0.2.10:5060;rport",
         world_udp(10, 40000), 10, 40000, ";rport=40000;branch=z9hG4bKone;received=192.0.2.10"},
        {"rport behind NAT", "SIP/2.0/UDP 10.0.0.1:5060;rport", world_udp(10, 40000), 10, 40000,
         ";rport=40000;branch=z9hG4bKone;received=192.0.2.10"},
        {"maddr sends nothing to a third party", "SIP/2.0/UDP 192.0.2.10:5064;maddr=192.0.2.99",
         world_udp(10, 40000), 10, 5064, NULL},
        {"maddr that is a name is not looked up", "SIP/2.0/UDP 192.0.2.10:5064;maddr=a.example.com",
         world_udp(10, 40000), 10, 5064, NULL},
        {"received that the client wrote is put right",
         "SIP/2.0/UDP 192.0.2.10:5064;received=203.0.113.1", world_udp(10, 40000), 10, 5064,
         ";received=192.0.2.10"},
        {"a connection is used, its way back is sent-by's port",
         "SIP/2.0/TCP 192.0.2.10:5066;rport", world_tcp(10, 40000, 7), 10, 5066,
         ";rport=40000;branch=z9hG4bKone;received=192.0.2.10"},
        {"default port of TCP", "SIP/2.0/TCP 192.0.2.10", world_tcp(10, 40000, 7), 10, 5060, NULL},
    };
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const struct way *way = &ways[i];
        struct world *w = world_open(10);
        struct request request = {.via = way->via};
        struct txn_received got = world_receive(w, &request, &way->source);
        world_reply(w, got.id, 404);
        const struct flow *to = &w->sent[0].to;
        if (to->remote.bytes[3] != way->host || to->remote.port != way->port)
            fail_msg("%s: to .%u:%u", way->why, to->remote.bytes[3], to->remote.port);
        assert_int_equal(to->transport, way->source.transport);
        assert_int_equal(to->listener, 2);
        assert_true(addr_equal(&to->local, &way->source.local));
        assert_true(id_equal(to->conn.id, way->source.conn.id));
        if (way->says == NULL && world_sent_has(w, 0, "received="))
            fail_msg("%s: received", way->why);
        if (way->says != NULL && !world_sent_has(w, 0, way->says))
            fail_msg("%s: %s", way->why, w->sent[0].text);
        world_close(w);
    }
}

static void received_of_ipv6_has_no_brackets(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    struct request request = {.via = "SIP/2.0/UDP [2001:db8::2]:5060"};
    (void)unused;

    assert_int_equal(addr_parse(SLICE("2001:db8::9"), 40000, &source.remote), OK);
    world_reply(w, world_receive(w, &request, &source).id, 404);
    assert_true(world_sent_has(w, 0, ";received=2001:db8::9\r\n") ||
                world_sent_has(w, 0, ";received=2001:db8::9;"));
    world_close(w);
}

static void without_a_transaction_each_repetition_gets_the_same_answer(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 40000);
    struct sip_reply reply = {.status = 503};
    struct sip_msg msg;
    char text[WORLD_TEXT_MAX];
    (void)unused;

    assert_int_equal(sip_parse(world_request_text(&invite, text), SIP_DATAGRAM, &msg), OK);
    txn_reply_stateless(w->table, &msg, &source, &reply);
    txn_reply_stateless(w->table, &msg, &source, &reply);
    world_flush(w);
    assert_int_equal(w->sent_count, 2);
    assert_string_equal(w->sent[0].text, w->sent[1].text);
    assert_true(world_sent_has(w, 0, "To: <sip:bob@example.com>;tag="));
    assert_int_equal(w->sent[0].to.remote.port, 5060);

    assert_int_equal(sip_parse(world_request_text(&ack, text), SIP_DATAGRAM, &msg), OK);
    txn_reply_stateless(w->table, &msg, &source, &reply);
    world_flush(w);
    assert_int_equal(w->sent_count, 2); /* an ACK is never answered */
    world_close(w);
}

static void a_dropped_request_ends_at_once_and_once(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_udp(10, 5060);
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    txn_server_context(w->table, got.id, 42);
    txn_server_drop(w->table, got.id, w->now_ms);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(w->told[0].context, 42);
    txn_server_drop(w->table, got.id, w->now_ms);
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);
    assert_int_equal(txn_server_context_get(w->table, got.id), 0);
    assert_null(txn_server_flow(w->table, got.id));
    assert_true(txn_server_answered(w->table, got.id));
    world_close(w);
}

static void what_a_transaction_knows_can_be_asked(void **unused)
{
    struct world *w = world_open(10);
    struct flow source = world_tcp(10, 40000, 7);
    char text[WORLD_TEXT_MAX];
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    assert_true(
        slice_equal(txn_server_request(w->table, got.id), world_request_text(&invite, text)));
    assert_int_equal(txn_server_framing(w->table, got.id), SIP_STREAM);
    assert_memory_equal(txn_server_flow(w->table, got.id), &source, sizeof source);
    assert_false(txn_server_answered(w->table, got.id));
    assert_int_equal(txn_count(w->table), 1);
    assert_int_equal(txn_pending(w->table), 1);
    world_reply(w, got.id, 200);
    assert_int_equal(txn_count(w->table), 1);
    assert_int_equal(txn_pending(w->table), 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_is_resent_by_timer_g_until_timer_h),
        cmocka_unit_test(an_ack_stops_timer_g_and_is_absorbed_for_t4),
        cmocka_unit_test(over_tcp_a_failure_is_sent_once_and_an_ack_ends_it),
        cmocka_unit_test(a_repeated_invite_gets_the_last_provisional_response),
        cmocka_unit_test(an_accepted_invite_is_absorbed_for_64_t1_and_passes_2xx_and_acks),
        cmocka_unit_test(after_a_failure_no_2xx_goes_out),
        cmocka_unit_test(a_repeated_bye_gets_its_final_response_for_64_t1),
        cmocka_unit_test(over_tcp_a_bye_ends_with_the_next_run_and_not_within_the_answer),
        cmocka_unit_test(a_non_invite_gets_a_100_after_3500_ms_and_no_other_provisional),
        cmocka_unit_test(an_answer_in_time_needs_no_100),
        cmocka_unit_test(a_408_to_a_non_invite_is_silence),
        cmocka_unit_test(a_408_to_an_invite_is_sent),
        cmocka_unit_test(responses_of_ours_carry_one_to_tag_and_a_100_none),
        cmocka_unit_test(a_response_goes_where_the_top_via_and_the_source_say),
        cmocka_unit_test(received_of_ipv6_has_no_brackets),
        cmocka_unit_test(without_a_transaction_each_repetition_gets_the_same_answer),
        cmocka_unit_test(a_dropped_request_ends_at_once_and_once),
        cmocka_unit_test(what_a_transaction_knows_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
