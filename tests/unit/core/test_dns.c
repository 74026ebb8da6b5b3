/* SPDX-License-Identifier: Apache-2.0 */
/* Requests whose next hop is a name: they wait, go on, fail over, or are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

enum {
    ASKED_MAX = 64
};

static struct {
    unsigned count;
    struct {
        enum dns_type type;
        struct id id;
    } items[ASKED_MAX];
} asked;

static bool ask(void *user, enum dns_type type, const char *name, struct id question)
{
    (void)user;
    (void)name;
    assert_true(asked.count < ASKED_MAX);
    asked.items[asked.count].type = type;
    asked.items[asked.count++].id = question;
    return true;
}

static struct addr_net trusted;

/* A core that asks this test, for callers who may call anywhere. */
static void open_world(struct world *w, const struct resolve_limits *limits)
{
    asked.count = 0;
    assert_int_equal(OK, addr_net_parse(SLICE("192.0.2.0/24"), &trusted));
    world_open(w, 1, NULL, 0);
    core_close(w->core);
    w->config.ops.ask_dns = ask;
    w->config.trusted = &trusted;
    w->config.trusted_count = 1;
    w->config.transactions_max = 20000;
    if (limits != NULL)
        w->config.resolve = *limits;
    assert_int_equal(OK, core_open(&w->config, w->now_ms, w->wall_ms, &w->core));
}

/* `routes`: lines of Route. */
static void send_by(struct world *w, const struct flow *source, const char *method, const char *uri,
                    const char *routes, unsigned number)
{
    char text[2048];

    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKt%u%s\r\n%s"
             "Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=f\r\nTo: <sip:x@far.test>\r\n"
             "Call-ID: c%u\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
             method, uri, number, method, routes, number, method);
    world_feed(w, text, source);
}

static void send_to(struct world *w, const char *method, const char *uri, unsigned number)
{
    struct flow source = world_flow(5060, NULL);
    send_by(w, &source, method, uri, "", number);
}

static void flush(struct world *w)
{
    w->outbox.flush(&w->outbox, w->outbox.user);
}

/* Answers all that is open: an A record of each of `count` hosts, or what `status` says. */
static void answer_all(struct world *w, enum dns_status status, unsigned count)
{
    struct dns_record hosts[4] = {{.port = 0}};

    w->sent_count = 0;
    for (unsigned i = 0; i < 4; i++)
        hosts[i].addr = (struct addr){.family = ADDR_V4, .bytes = {198, 51, 100, (uint8_t)(i + 1)}};
    for (unsigned i = 0; i < asked.count; i++) {
        bool a = asked.items[i].type == DNS_A && status == DNS_FOUND;
        struct dns_answer answer = {.status = a                     ? DNS_FOUND
                                              : status == DNS_FOUND ? DNS_NOTHING
                                                                    : status,
                                    .ttl_s = 60,
                                    .records = hosts,
                                    .count = a ? count : 0};
        core_dns_answer(w->core, asked.items[i].id, &answer, w->now_ms, w->wall_ms);
    }
    asked.count = 0;
    flush(w);
}

static struct core_status status_of(const struct world *w)
{
    struct core_status status;
    core_status(w->core, &status);
    return status;
}

static void assert_sent(const struct world *w, unsigned at, const char *begin)
{
    assert_true(w->sent_count > at);
    assert_memory_equal(begin, w->sent[at].text, strlen(begin));
}

static void a_call_to_a_name_waits_and_goes_on(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1);
    assert_int_equal(1, w.sent_count);
    assert_sent(&w, 0, "SIP/2.0 100");
    assert_int_equal(1, status_of(&w).dns_waiting);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1); /* a copy is absorbed by its transaction */
    assert_int_equal(1, asked.count);
    answer_all(&w, DNS_FOUND, 1);
    assert_int_equal(1, w.sent_count); /* and no second 100 */
    assert_sent(&w, 0, "INVITE sip:x@far.test:5070");
    assert_int_equal(5070, w.sent[0].to.remote.port);
    assert_int_equal(198, w.sent[0].to.remote.bytes[0]);
    assert_int_equal(0, status_of(&w).dns_waiting);

    send_to(&w, "INVITE", "sip:y@far.test:5070", 2); /* now it is known */
    assert_int_equal(0, asked.count);
    assert_int_equal(2, w.sent_count);
    assert_sent(&w, 1, "INVITE sip:y@far.test:5070");
    world_close(&w);
}

static void what_cannot_be_found_is_refused(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "MESSAGE", "sip:x@none.test:5070", 1);
    answer_all(&w, DNS_NOTHING, 0);
    assert_sent(&w, 0, "SIP/2.0 404");
    send_to(&w, "MESSAGE", "sip:x@broken.test:5070", 2);
    answer_all(&w, DNS_FAILED, 0);
    assert_sent(&w, 0, "SIP/2.0 504");
    send_to(&w, "MESSAGE", "sip:x@slow.test:5070", 3);
    w.sent_count = 0;
    world_pass(&w, 7000);
    assert_int_equal(1, w.sent_count);
    assert_sent(&w, 0, "SIP/2.0 100"); /* RFC 4320 §4.1 */
    world_pass(&w, 1000);
    assert_sent(&w, 1, "SIP/2.0 504");
    send_to(&w, "MESSAGE", "sip:x@far.test;transport=tcp", 4); /* we have no TCP */
    assert_sent(&w, 0, "SIP/2.0 404");
    assert_int_equal(2, status_of(&w).counters.refused[CORE_R_DNS]);
    assert_int_equal(2, status_of(&w).counters.refused[CORE_R_UNRESOLVED]);
    world_close(&w);
}

static void too_many_names_are_refused(void **state)
{
    struct resolve_limits limits = resolve_limits_default();
    struct world w;

    (void)state;
    limits.lookups_max = 1;
    open_world(&w, &limits);
    send_to(&w, "MESSAGE", "sip:x@a.test:5070", 1);
    assert_int_equal(0, w.sent_count);
    send_to(&w, "MESSAGE", "sip:x@b.test:5070", 2);
    assert_sent(&w, 0, "SIP/2.0 503");
    assert_int_equal(1, status_of(&w).counters.refused[CORE_R_DNS_FULL]);
    world_close(&w);
}

/* From one of the addresses 192.0.2.10 and on, each with so many requests. */
static void send_share(struct world *w, unsigned number)
{
    struct flow source = world_flow(5060, NULL);

    source.remote.bytes[3] = (uint8_t)(10 + number / DNS_SHARE_MAX);
    send_by(w, &source, "MESSAGE", "sip:x@a.test:5070", "", number);
}

static void too_many_requests_that_wait_are_refused(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    for (unsigned i = 0; i < DNS_WAITS_MAX; i++) {
        send_share(&w, i);
        assert_int_equal(0, w.sent_count);
    }
    assert_int_equal(DNS_WAITS_MAX, status_of(&w).dns_waiting);
    assert_int_equal(1, asked.count);
    send_share(&w, DNS_WAITS_MAX);
    assert_sent(&w, 0, "SIP/2.0 503");
    answer_all(&w, DNS_NOTHING, 0);
    assert_int_equal(DNS_WAITS_MAX, w.sent_count);
    assert_int_equal(0, status_of(&w).dns_waiting);
    world_close(&w);
}

static void nobody_takes_all_the_room_for_waiting(void **state)
{
    struct flow other = world_flow(5060, NULL);
    char uri[64];
    struct world w;

    (void)state;
    open_world(&w, NULL);
    for (unsigned i = 0; i <= DNS_SHARE_MAX; i++) {
        snprintf(uri, sizeof uri, "sip:x@a.test:%u", 5000 + i);
        send_to(&w, "MESSAGE", uri, i);
        assert_int_equal(i < DNS_SHARE_MAX ? 0 : 1, w.sent_count);
    }
    assert_sent(&w, 0, "SIP/2.0 503");
    assert_int_equal(1, status_of(&w).counters.refused[CORE_R_DNS_FULL]);
    other.remote.bytes[3] = 2;
    send_by(&w, &other, "MESSAGE", "sip:x@a.test:5000", "", 1000); /* his neighbour waits as ever */
    assert_int_equal(0, w.sent_count);
    answer_all(&w, DNS_NOTHING, 0);
    send_to(&w, "MESSAGE", "sip:x@b.test:5000", 1001); /* and so does he, with none waiting */
    assert_int_equal(0, w.sent_count);
    world_close(&w);
}

static void the_longest_name_may_end_with_a_dot(void **state)
{
    char uri[64 + DNS_NAME_MAX] = "sip:x@";
    struct world w;

    (void)state;
    open_world(&w, NULL);
    for (size_t i = 0; i < DNS_NAME_MAX; i++)
        uri[6 + i] = i % 64 == 63 ? '.' : 'a';
    memcpy(uri + 6 + DNS_NAME_MAX, ".:5070", 7);
    send_to(&w, "MESSAGE", uri, 1);
    assert_int_equal(1, asked.count);
    answer_all(&w, DNS_NOTHING, 0);
    assert_sent(&w, 0, "SIP/2.0 404");
    world_close(&w);
}

/* Meanwhile the first hop has become a domain of ours: the next one has another name. */
static void who_waits_while_the_configuration_changes_goes_where_the_new_one_says(void **state)
{
    static const struct slice domains[] = {{"example.com", 11}, {"edge.test", 9}};
    struct policy_source source = {.domains = domains, .domain_count = 2, .seed = 2};
    struct flow from = world_flow(5060, NULL);
    struct policy *policy = NULL;
    struct policy_error error;
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_by(&w, &from, "INVITE", "sip:x@far.test",
            "Route: <sip:edge.test:5060;lr>, <sip:core.test:5060;lr>\r\n", 1);
    assert_sent(&w, 0, "SIP/2.0 100");
    assert_int_equal(1, asked.count);
    assert_int_equal(OK, policy_build(&source, &error, &policy));
    core_set_policy(w.core, policy);
    struct dns_record host = {.addr = {.family = ADDR_V4, .bytes = {198, 51, 100, 9}}};
    struct dns_answer answer = {.status = DNS_FOUND, .ttl_s = 60, .records = &host, .count = 1};
    w.sent_count = 0;
    core_dns_answer(w.core, asked.items[0].id, &answer, w.now_ms, w.wall_ms);
    flush(&w);
    assert_int_equal(0, w.sent_count); /* not to the old hop */
    assert_int_equal(2, asked.count);
    host.addr.bytes[3] = 10;
    core_dns_answer(w.core, asked.items[1].id, &answer, w.now_ms, w.wall_ms);
    flush(&w);
    assert_int_equal(1, w.sent_count); /* and no second 100 */
    assert_sent(&w, 0, "INVITE ");
    assert_int_equal(10, w.sent[0].to.remote.bytes[3]);
    core_set_policy(w.core, w.policy);
    policy_free(policy);
    world_close(&w);
}

/* Answers all that is open with one A record. */
static void answer_with(struct world *w, struct addr addr)
{
    struct dns_record host = {.addr = addr};
    struct dns_answer answer = {.status = DNS_FOUND, .ttl_s = 60, .records = &host, .count = 1};

    w->sent_count = 0;
    for (unsigned i = 0; i < asked.count; i++)
        core_dns_answer(w->core, asked.items[i].id, &answer, w->now_ms, w->wall_ms);
    asked.count = 0;
    flush(w);
}

static void a_name_that_leads_to_ourselves_is_a_loop(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "MESSAGE", "sip:x@far.test:5060", 1);
    answer_with(&w, w.listener.bound);
    assert_int_equal(1, w.sent_count);
    assert_sent(&w, 0, "SIP/2.0 482");
    send_to(&w, "MESSAGE", "sip:x@far.test:5061", 2); /* another port of this machine is not us */
    assert_sent(&w, 0, "MESSAGE ");
    world_close(&w);
}

static void nobody_elsewhere_is_led_to_this_machines_loopback(void **state)
{
    static const struct addr inside = {.family = ADDR_V4, .port = 5060, .bytes = {127, 0, 0, 1}};
    struct flow local = world_flow(5060, NULL);
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "MESSAGE", "sip:x@far.test:6379", 1);
    answer_with(&w, inside);
    assert_int_equal(1, w.sent_count);
    assert_sent(&w, 0, "SIP/2.0 403");
    send_to(&w, "MESSAGE", "sip:x@127.0.0.1:6379", 2);
    assert_sent(&w, 0, "SIP/2.0 403");
    assert_int_equal(2, status_of(&w).counters.refused[CORE_R_RELAY]);
    world_close(&w);

    open_world(&w, NULL);
    core_close(w.core);
    assert_int_equal(OK, addr_net_parse(SLICE("127.0.0.1"), &trusted));
    assert_int_equal(OK, core_open(&w.config, w.now_ms, w.wall_ms, &w.core));
    local.remote = inside; /* who is here may */
    send_by(&w, &local, "MESSAGE", "sip:x@127.0.0.1:6379", "", 3);
    assert_sent(&w, 0, "MESSAGE ");
    world_close(&w);
}

/* `fields`: lines. */
static void reply_with(struct world *w, const struct world_sent *request, unsigned status,
                       const char *fields)
{
    char text[WORLD_TEXT_MAX];
    struct flow source = request->to;
    const char *via = strstr(request->text, "Via:");

    snprintf(text, sizeof text, "SIP/2.0 %u X\r\n%s%s", status, fields, via);
    world_feed(w, text, &source);
}

static void reply(struct world *w, const struct world_sent *request, unsigned status)
{
    reply_with(w, request, status, "");
}

static void a_target_is_dead_for_as_long_as_it_says(void **state)
{
    static const struct {
        const char *fields;
        uint64_t dead_ms;
    } cases[] = {
        {"Retry-After: 5\r\n", 5000},
        {"Retry-After: 120 (I'm in a meeting);duration=3600\r\n", 120000},
        {"Retry-After: 99999\r\n", 600000},
        {"Retry-After: 99999999999\r\n", 32000}, /* not to be read */
        {"Retry-After: soon\r\n", 32000},
        {"Retry-After: 0\r\n", 32000},
        {"", 32000},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world w;
        open_world(&w, NULL);
        send_to(&w, "MESSAGE", "sip:x@far.test:5070", 1);
        answer_all(&w, DNS_FOUND, 1);
        struct world_sent first = w.sent[0];
        struct resolve_target target = {.addr = first.to.remote, .transport = TRANSPORT_UDP};
        reply_with(&w, &first, 503, cases[i].fields);
        assert_true(resolver_is_dead(w.core->resolver, &target, w.now_ms + cases[i].dead_ms - 1));
        assert_false(resolver_is_dead(w.core->resolver, &target, w.now_ms + cases[i].dead_ms));
        world_close(&w);
    }
}

static void the_next_address_is_tried_by_a_new_transaction(void **state)
{
    struct world w;
    struct world_sent first;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1);
    answer_all(&w, DNS_FOUND, 2);
    assert_int_equal(1, w.sent_count); /* one after the other */
    first = w.sent[0];
    reply(&w, &first, 503);
    assert_int_equal(2, w.sent_count);
    assert_sent(&w, 0, "ACK ");
    assert_sent(&w, 1, "INVITE ");
    assert_false(addr_equal(&first.to.remote, &w.sent[1].to.remote));
    assert_memory_not_equal(strstr(first.text, "branch="), strstr(w.sent[1].text, "branch="), 60);
    assert_int_equal(1, status_of(&w).dns.dead_now);

    struct world_sent second = w.sent[1];
    w.sent_count = 0;
    core_send_failed(w.core, slice_of(second.text), true, w.now_ms,
                     w.wall_ms); /* refused by ICMP */
    world_pass(&w, 10);
    assert_int_equal(1, w.sent_count); /* nobody is left; 503 is not passed on (§16.7 step 6) */
    assert_sent(&w, 0, "SIP/2.0 500");
    assert_int_equal(2, status_of(&w).dns.dead_now);

    send_to(&w, "INVITE", "sip:x@far.test:5070", 2); /* all are dead: tried all the same */
    assert_sent(&w, 1, "INVITE ");
    first = w.sent[1];
    reply(&w, &first, 180);
    assert_int_equal(1, status_of(&w).dns.dead_now); /* it lives */
    reply(&w, &first, 486);
    assert_int_equal(2, w.sent_count); /* an answer is an answer: the ACK, and it goes up */
    assert_sent(&w, 1, "SIP/2.0 486");
    world_close(&w);
}

static void register_by(struct world *w, const char *user, const char *edge)
{
    struct flow source = world_flow(5060, NULL);
    char text[1024];

    snprintf(
        text, sizeof text,
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKr%s\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=r\r\nTo: <sip:bob@example.com>\r\n"
        "Call-ID: r%s\r\nCSeq: 1 REGISTER\r\nContact: <sip:%s@10.9.9.9>\r\n"
        "Path: <sip:%s;lr>\r\nSupported: path\r\nContent-Length: 0\r\n\r\n",
        user, user, user, edge);
    world_feed(w, text, &source);
    assert_sent(w, 0, "SIP/2.0 200");
}

static void an_edge_is_found_by_its_name(void **state)
{
    struct dns_record host = {.addr = {.family = ADDR_V4, .bytes = {198, 51, 100, 9}}};
    struct dns_answer answer = {.status = DNS_FOUND, .ttl_s = 60, .records = &host, .count = 1};
    struct world w;

    (void)state;
    open_world(&w, NULL);
    register_by(&w, "p1", "edge1.test:5070");
    register_by(&w, "p2", "edge2.test:5070");
    register_by(&w, "p3", "198.51.100.77:5070");
    send_to(&w, "INVITE", "sip:bob@example.com", 1);
    assert_sent(&w, 0, "SIP/2.0 100");
    assert_int_equal(1, asked.count);
    w.sent_count = 0;
    core_dns_answer(w.core, asked.items[0].id, &answer, w.now_ms, w.wall_ms);
    flush(&w);
    assert_int_equal(0, w.sent_count);
    assert_int_equal(2, asked.count); /* then the other edge is asked for */
    world_pass(&w, 8000);             /* and never answers: the others ring */
    assert_int_equal(2, w.sent_count);
    for (unsigned i = 0; i < 2; i++) {
        assert_sent(&w, i, "INVITE sip:p");
        assert_int_equal(5070, w.sent[i].to.remote.port);
        assert_non_null(strstr(w.sent[i].text, "\r\nRoute: <sip:"));
    }
    assert_int_equal(0, status_of(&w).dns_waiting);
    world_close(&w);
}

static void the_only_address_of_a_name_is_remembered_as_dead_too(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1);
    answer_all(&w, DNS_FOUND, 1);
    struct world_sent first = w.sent[0];
    reply(&w, &first, 503);
    assert_int_equal(1, status_of(&w).dns.dead_now); /* another name may lead there */
    send_to(&w, "INVITE", "sip:x@far.test:5070", 2);
    first = w.sent[1];
    reply(&w, &first, 180);
    assert_int_equal(0, status_of(&w).dns.dead_now);
    world_close(&w);
}

static void a_silent_address_is_followed_by_the_next(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1);
    answer_all(&w, DNS_FOUND, 2);
    struct addr first = w.sent[0].to.remote;
    w.sent_count = 0;
    world_pass(&w, 33000); /* Timer B */
    assert_true(w.sent_count >= 2);
    assert_false(addr_equal(&first, &w.sent[w.sent_count - 1].to.remote));
    world_close(&w);
}

/* A proxy tells no 408 of a MESSAGE whose target is silent (RFC 4320 §4.2): so a caller could have
 * any carrier put last for everybody. */
static void nobody_has_a_good_target_put_last_by_what_is_not_answered(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "MESSAGE", "sip:nobody@far.test:5070", 1);
    answer_all(&w, DNS_FOUND, 1);
    assert_sent(&w, 0, "MESSAGE ");
    struct resolve_target target = {.addr = w.sent[0].to.remote, .transport = TRANSPORT_UDP};
    world_pass(&w, 33000); /* Timer F */
    assert_false(resolver_is_dead(w.core->resolver, &target, w.now_ms));

    w.sent_count = 0;
    send_to(&w, "OPTIONS", "sip:somebody@far.test:5070", 2);
    reply(&w, &w.sent[0], 200);
    w.sent_count = 0;
    send_to(&w, "MESSAGE", "sip:nobody@far.test:5070", 3);
    world_pass(&w, 33000);
    assert_false(resolver_is_dead(w.core->resolver, &target, w.now_ms));
    assert_int_equal(0, status_of(&w).dns.dead_now);

    send_to(&w, "MESSAGE", "sip:nobody@far.test:5070", 4); /* and there is no sign of life of it */
    answer_all(&w, DNS_FOUND, 1);
    world_pass(&w, 33000);
    assert_true(resolver_is_dead(w.core->resolver, &target, w.now_ms));
    assert_int_equal(1, status_of(&w).dns.dead_now);
    world_close(&w);
}

static void an_ack_waits_too(void **state)
{
    struct world w;
    struct flow source = world_flow(5060, NULL);
    char text[WORLD_TEXT_MAX], route[1024];

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@198.51.100.9", 1);
    assert_sent(&w, 1, "INVITE ");
    const char *begin = strstr(w.sent[1].text, "Record-Route: ") + strlen("Record-Route: ");
    snprintf(route, sizeof route, "%.*s", (int)(strchr(begin, '\r') - begin), begin);
    snprintf(text, sizeof text,
             "ACK sip:x@far.test:5070 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKack\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=f\r\nTo: <sip:x@far.test>;tag=t\r\n"
             "Route: %s\r\nCall-ID: c1\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
             route);
    world_feed(&w, text, &source);
    assert_int_equal(0, w.sent_count);
    assert_int_equal(1, status_of(&w).dns_waiting);
    answer_all(&w, DNS_FOUND, 1);
    assert_int_equal(1, w.sent_count);
    assert_sent(&w, 0, "ACK sip:x@far.test:5070");
    world_close(&w);
}

static void who_still_waits_at_the_end_is_forgotten(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, NULL);
    send_to(&w, "INVITE", "sip:x@far.test:5070", 1);
    world_close(&w); /* the sanitizer would see what was kept */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_to_a_name_waits_and_goes_on),
        cmocka_unit_test(what_cannot_be_found_is_refused),
        cmocka_unit_test(too_many_names_are_refused),
        cmocka_unit_test(too_many_requests_that_wait_are_refused),
        cmocka_unit_test(nobody_takes_all_the_room_for_waiting),
        cmocka_unit_test(the_longest_name_may_end_with_a_dot),
        cmocka_unit_test(who_waits_while_the_configuration_changes_goes_where_the_new_one_says),
        cmocka_unit_test(a_name_that_leads_to_ourselves_is_a_loop),
        cmocka_unit_test(nobody_elsewhere_is_led_to_this_machines_loopback),
        cmocka_unit_test(the_next_address_is_tried_by_a_new_transaction),
        cmocka_unit_test(a_target_is_dead_for_as_long_as_it_says),
        cmocka_unit_test(an_edge_is_found_by_its_name),
        cmocka_unit_test(the_only_address_of_a_name_is_remembered_as_dead_too),
        cmocka_unit_test(a_silent_address_is_followed_by_the_next),
        cmocka_unit_test(nobody_has_a_good_target_put_last_by_what_is_not_answered),
        cmocka_unit_test(an_ack_waits_too),
        cmocka_unit_test(who_still_waits_at_the_end_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
