/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keepalives to phones behind NATs: whom, how often, and what becomes of those who do not answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

enum {
    EVERY_MS = 25000
};

static struct world world;
static char logged[4096]; /* names of log events, with spaces */

static void keep_log(void *user, enum core_log_level level, const char *event, struct slice text)
{
    (void)user, (void)level, (void)text;
    if (strncmp(event, "nat_", 4) == 0)
        snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s ", event);
}

static int set_up(void **state)
{
    (void)state;
    logged[0] = '\0';
    world_open(&world, 1, NULL, 0);
    world.config.ping = (struct core_ping){.every_ms = EVERY_MS, .misses = 3, .rate = 1000};
    world.config.ops.log = keep_log;
    world_reopen(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* A phone behind a NAT: its Contact and Via are not where it comes from. */
static void nated(const char *name, uint16_t port, const char *params)
{
    static unsigned number;
    struct flow source = world_flow(port, NULL);
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKr%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:%s@example.com>;tag=f\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: r%u\r\nCSeq: 1 REGISTER\r\n"
             "Contact: <sip:%s@10.0.0.1:5060?x=y>;expires=3600%s\r\nContent-Length: 0\r\n\r\n",
             number, name, name, number, name, params);
    world_feed(&world, text, &source);
    assert_memory_equal("SIP/2.0 200", world.sent[0].text, 11);
}

/* How many messages that begin so go to 192.0.2.1:`port` while time passes. */
static unsigned count_sent(const char *begin, uint16_t port, uint64_t ms)
{
    unsigned count = 0;

    for (uint64_t past_ms = 0; past_ms < ms; past_ms += 100) {
        world.sent_count = 0;
        world_pass(&world, 100);
        for (unsigned i = 0; i < world.sent_count && i < WORLD_SENT_MAX; i++)
            count += world.sent[i].to.remote.port == port &&
                     strncmp(world.sent[i].text, begin, strlen(begin)) == 0;
    }
    return count;
}

/* Waits for the next OPTIONS and answers it; false: none came in time. */
static bool answer_next(uint16_t port, uint64_t ms)
{
    struct flow source = world_flow(port, NULL);

    for (uint64_t past_ms = 0; past_ms < ms; past_ms += 100) {
        world.sent_count = 0;
        world_pass(&world, 100);
        if (world.sent_count == 0 || strncmp(world.sent[0].text, "OPTIONS ", 8) != 0)
            continue;
        char text[WORLD_TEXT_MAX + 32];
        const char *head = strstr(world.sent[0].text, "\r\n");
        snprintf(text, sizeof text, "SIP/2.0 404 Whatever%s", head);
        world_feed(&world, text, &source);
        return true;
    }
    return false;
}

static struct core_status status(void)
{
    struct core_status now;
    core_status(world.core, &now);
    return now;
}

static void a_phone_behind_a_nat_is_asked_in_every_round(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    for (unsigned i = 0; i < 8; i++)
        assert_true(answer_next(40001, EVERY_MS + 1000));
    assert_int_equal(8, status().counters.pings);
    assert_int_equal(8, status().counters.pings_answered); /* a 404, too: it is there */
    assert_int_equal(0, world.core->pings.pool.count);     /* nothing is kept of it */
    assert_string_equal("", logged);
}

static void the_request_is_sound_and_goes_by_the_flow(void **state)
{
    static struct sip_msg msg;

    (void)state;
    nated("bob", 40001, "");
    do {
        world.sent_count = 0;
        world_pass(&world, 100);
    } while (world.sent_count == 0);
    assert_int_equal(OK, sip_parse(slice_of(world.sent[0].text), SIP_DATAGRAM, &msg));
    assert_int_equal(0, msg.fault.status);
    assert_int_equal(SIP_OPTIONS, msg.method);
    assert_true(slice_equal(SLICE("sip:bob@10.0.0.1:5060"), msg.uri)); /* without its headers */
    assert_int_equal(40001, world.sent[0].to.remote.port);
    assert_true(msg.via.has_rport);
    assert_int_equal(70, msg.max_forwards);
}

static void who_needs_none_gets_none(void **state)
{
    const struct conn_id conn = {0, {7, 9}};
    struct flow direct = world_flow(40002, NULL), stream = world_flow(40003, &conn);

    (void)state;
    world_register(&world, "alice", 1, 600, &direct);            /* not behind a NAT */
    world_register(&world, "carol", 1, 600, &stream);            /* TCP looks after itself */
    nated("dave", 40004, ";reg-id=1;+sip.instance=\"<urn:x>\""); /* has STUN */
    for (uint16_t port = 40002; port <= 40004; port++)
        assert_int_equal(0, count_sent("", port, 2 * EVERY_MS));
    assert_int_equal(0, status().counters.pings);
}

/* Nobody needs them: the table is not walked, until somebody does. */
static void without_phones_behind_nats_the_rounds_rest(void **state)
{
    const struct flow direct = world_flow(40002, NULL);

    (void)state;
    world_register(&world, "alice", 1, 600, &direct);
    assert_true(timer_armed(&world.core->pings.timer));
    world_pass(&world, EVERY_MS);
    assert_true(timer_armed(&world.core->pings.timer)); /* one round may miss a phone */
    for (unsigned i = 0; i < 12; i++)
        world_pass(&world, EVERY_MS / 10);
    assert_false(timer_armed(&world.core->pings.timer));
    world_register(&world, "alice", 2, 600, &direct);
    assert_false(timer_armed(&world.core->pings.timer));
    nated("bob", 40001, "");
    for (unsigned i = 0; i < 4; i++)
        assert_true(answer_next(40001, EVERY_MS + 1000));
}

/* His place in the table was passed a moment ago, in the round after which there is none any more.
 */
static void who_comes_late_in_the_last_round_is_asked_in_another(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 15; i++)
        world_pass(&world, EVERY_MS / 10);
    nated("bob", 40001, "");
    for (unsigned i = 0; i < 4; i++)
        assert_true(answer_next(40001, 2 * EVERY_MS));
}

/* Other schemes may be registered (RFC 3261 §10.2.1), but they are no phones. */
static void a_contact_that_is_no_sip_uri_is_not_asked(void **state)
{
    struct flow source = world_flow(40001, NULL);

    (void)state;
    world_feed(&world,
               "REGISTER sip:example.com SIP/2.0\r\n"
               "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKm;rport\r\nMax-Forwards: 70\r\n"
               "From: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n"
               "Call-ID: m\r\nCSeq: 1 REGISTER\r\nContact: <mailto:bob@example.com>\r\n"
               "Content-Length: 0\r\n\r\n",
               &source);
    assert_memory_equal("SIP/2.0 200", world.sent[0].text, 11);
    assert_int_equal(0, count_sent("", 40001, 2 * EVERY_MS));
}

static void an_expired_phone_is_not_asked(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    world.wall_ms += 3600 * 1000;
    assert_int_equal(0, count_sent("OPTIONS", 40001, 2 * EVERY_MS));
}

/* Reported once, asked on, never thrown out; and reported when it is back. */
static void a_silent_phone_is_reported_and_stays(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    for (unsigned i = 0; i < 200 && status().silent == 0; i++)
        world_pass(&world, 1000);
    assert_int_equal(1, status().silent);
    assert_int_equal(3, status().counters.pings_unanswered);
    assert_string_equal("nat_silent ", logged);
    assert_int_equal(1, world_aors(&world));
    world_pass(&world, 200000);
    assert_string_equal("nat_silent ", logged);
    assert_int_equal(1, status().silent);
    while (!answer_next(40001, EVERY_MS)) /* one under way is answered by its copy */
        ;
    assert_string_equal("nat_silent nat_answers ", logged);
    assert_int_equal(0, status().silent);
    assert_int_equal(1, world_aors(&world));
}

/* Of a phone that has gone nothing is kept for long. */
static void a_phone_that_went_away_is_forgotten(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    world_pass(&world, 150000);
    assert_int_equal(1, status().silent);
    world.config.location.remove(&world, SLICE("bob"), core_aor_hash(&world.config, SLICE("bob")));
    world_pass(&world, 4 * EVERY_MS + 40000);
    assert_int_equal(0, status().silent);
    assert_int_equal(0, world.core->pings.pool.count);
}

static void empty_lines_are_the_cheaper_way(void **state)
{
    (void)state;
    world.config.ping.empty_lines = true;
    world_reopen(&world);
    nated("bob", 40001, "");
    assert_in_range(count_sent("\r\n\r\n", 40001, 4 * EVERY_MS), 3, 4);
    assert_int_equal(0, world.core->pings.pool.count);
    assert_int_equal(0, txn_pending(world.core->txns));
}

static void a_round_is_spread_and_has_its_rate(void **state)
{
    char name[16];
    unsigned most = 0;

    (void)state;
    world.config.ping.empty_lines = true;
    world_reopen(&world);
    for (unsigned i = 0; i < WORLD_AORS; i++) {
        snprintf(name, sizeof name, "u%u", i);
        nated(name, (uint16_t)(41000 + i), "");
    }
    uint64_t before = status().counters.pings;
    for (unsigned i = 0; i < EVERY_MS / 100; i++) {
        world.sent_count = 0;
        world_pass(&world, 100);
        most = world.sent_count > most ? world.sent_count : most;
    }
    assert_in_range(most, 1, 2);
    assert_in_range(status().counters.pings - before, WORLD_AORS - 2, WORLD_AORS + 2);

    /* One a tick: 10 a second and the one that always goes. The rounds take longer. */
    world.config.ping.every_ms = 1000;
    world.config.ping.rate = 9;
    world_reopen(&world);
    for (unsigned i = 0; i < 100; i++)
        world_pass(&world, 100);
    assert_in_range(status().counters.pings, 90, 110);
}

static void the_end_does_not_wait_for_silent_phones(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    while (txn_pending(world.core->txns) == 0)
        world_pass(&world, 100);
    core_drain(world.core);
    assert_true(core_idle(world.core));
    assert_int_equal(0, count_sent("OPTIONS", 40001, 2 * EVERY_MS));
    assert_string_equal("", logged);
}

/* Past the limit of those that are waited for, the way is kept open all the same. */
static void without_room_an_empty_line_is_sent(void **state)
{
    (void)state;
    nated("bob", 40001, "");
    world.core->pings.pool.capacity = 0;
    assert_in_range(count_sent("\r\n\r\n", 40001, 2 * EVERY_MS), 1, 2);
    world.core->pings.pool.capacity = 1;
    assert_true(count_sent("OPTIONS", 40001, 2 * EVERY_MS) >= 1);
}

int main(void)
{
#define PING_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PING_TEST(a_phone_behind_a_nat_is_asked_in_every_round),
        PING_TEST(the_request_is_sound_and_goes_by_the_flow),
        PING_TEST(who_needs_none_gets_none),
        PING_TEST(without_phones_behind_nats_the_rounds_rest),
        PING_TEST(who_comes_late_in_the_last_round_is_asked_in_another),
        PING_TEST(a_contact_that_is_no_sip_uri_is_not_asked),
        PING_TEST(an_expired_phone_is_not_asked),
        PING_TEST(a_silent_phone_is_reported_and_stays),
        PING_TEST(a_phone_that_went_away_is_forgotten),
        PING_TEST(empty_lines_are_the_cheaper_way),
        PING_TEST(a_round_is_spread_and_has_its_rate),
        PING_TEST(the_end_does_not_wait_for_silent_phones),
        PING_TEST(without_room_an_empty_line_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
