/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting, the cache, its limits, and DNS servers that are slow, dead, or wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "zone.h"

static const char *const world[] = {
    "60 A a.test 192.0.2.1", "5 A b.test 192.0.2.2", "0 A zero.test 192.0.2.3",
    "100 NONE A none.test",  "60 FAIL A fail.test",  NULL,
};

static void start(struct zone *zone, unsigned who, const char *text, enum err expected)
{
    struct resolve_query query = zone_query(text);

    zone->waiters[who] = (struct zone_waiter){0};
    assert_int_equal(
        expected, resolver_wait(zone->resolver, &query, &zone->waiters[who].waiter, zone->now_ms));
}

static struct resolve_counters counters_of(const struct zone *zone)
{
    struct resolve_counters counters;
    resolver_counters(zone->resolver, &counters);
    return counters;
}

static void who_waits_for_one_name_asks_once_and_all_are_told(void **state)
{
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    start(&zone, 0, "a.test:5060", OK);
    start(&zone, 1, "a.test:5060", OK);
    start(&zone, 2, "a.test:5070", OK); /* another lookup, the same questions */
    assert_int_equal(2, zone.asked_count);
    assert_int_equal(2, counters_of(&zone).waiting);
    resolver_forget(&zone.waiters[1].waiter);
    zone_answer(&zone);
    assert_int_equal(1, zone.waiters[0].told);
    assert_int_equal(0, zone.waiters[1].told);
    assert_int_equal(1, zone.waiters[2].told);
    assert_string_equal("udp:192.0.2.1:5070",
                        zone_text(zone.waiters[2].verdict, &zone.waiters[2].targets));
    assert_int_equal(0, counters_of(&zone).waiting);
    zone_close(&zone);
}

static void answers_are_kept_for_their_time_and_not_longer(void **state)
{
    static const struct {
        const char *query;
        uint64_t known_ms;
    } cases[] = {
        {"a.test:5060;tcp", 60000},       {"b.test:5060;tcp", 5000},
        {"zero.test:5060;tcp", 1000},     {"none.test:5060;tcp", 100000},
        {"unheard.test:5060;tcp", 30000}, {"fail.test:5060;tcp", 5000},
    };
    struct zone zone;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        zone_open(&zone, world, NULL);
        zone_resolve(&zone, cases[i].query);
        zone.asked_count = 0;
        zone_pass(&zone, cases[i].known_ms - 1);
        zone_resolve(&zone, cases[i].query);
        assert_int_equal(0, zone.asked_count);
        zone_pass(&zone, 1);
        zone_resolve(&zone, cases[i].query);
        assert_int_equal(1, zone.asked_count);
        zone_close(&zone);
    }
}

static void an_old_answer_is_better_than_a_server_that_fails(void **state)
{
    static const char *const broken[] = {"60 FAIL A a.test", NULL};
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    zone_resolve(&zone, "a.test:5060;tcp");
    zone.rows = broken;
    zone_pass(&zone, 3600000);
    assert_string_equal("tcp:192.0.2.1:5060", zone_resolve(&zone, "a.test:5060;tcp"));
    assert_true(counters_of(&zone).stale > 0);
    zone_pass(&zone, 48 * 3600000);
    assert_string_equal("no answer", zone_resolve(&zone, "a.test:5060;tcp"));
    zone_close(&zone);
}

static void a_dead_server_holds_nobody_longer_than_the_limit(void **state)
{
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    zone.mute = true;
    start(&zone, 0, "a.test", OK);
    zone_pass(&zone, 7999);
    assert_int_equal(0, zone.waiters[0].told);
    zone_pass(&zone, 1);
    assert_int_equal(1, zone.waiters[0].told);
    assert_int_equal(RESOLVE_NO_ANSWER, zone.waiters[0].verdict);
    assert_int_equal(1, counters_of(&zone).late);
    zone_answer(&zone); /* too late: kept for the next */
    assert_int_equal(1, zone.waiters[0].told);
    zone_close(&zone);
}

static void what_is_known_at_the_end_of_patience_is_used(void **state)
{
    struct dns_record record = {.addr = {.family = ADDR_V4, .bytes = {192, 0, 2, 7}}};
    struct dns_answer answer = {.status = DNS_FOUND, .ttl_s = 60, .records = &record, .count = 1};
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    zone.mute = true;
    start(&zone, 0, "a.test:5060", OK); /* AAAA and A */
    for (unsigned i = 0; i < zone.asked_count; i++)
        if (zone.asked[i].type == DNS_A)
            resolver_answer(zone.resolver, zone.asked[i].id, &answer, zone.now_ms);
    assert_int_equal(0, zone.waiters[0].told);
    zone_pass(&zone, 8000);
    assert_string_equal("udp:192.0.2.7:5060",
                        zone_text(zone.waiters[0].verdict, &zone.waiters[0].targets));
    zone_close(&zone);
}

static void the_tables_are_bounded(void **state)
{
    struct resolve_limits limits = resolve_limits_default();
    struct zone zone;

    (void)state;
    limits.lookups_max = 2;
    limits.questions_max = 3;
    limits.cache_max = 2;
    zone_open(&zone, world, &limits);
    zone.mute = true;
    start(&zone, 0, "a.test:5060;tcp", OK);
    start(&zone, 1, "b.test:5060;tcp", OK);
    start(&zone, 2, "c.test:5060;tcp", ERR_FULL); /* one lookup too many */
    start(&zone, 2, "b.test:5060;tcp", OK);
    assert_int_equal(1, counters_of(&zone).full);
    zone_answer(&zone);
    assert_int_equal(1, zone.waiters[2].told);
    zone.asked_count = 0;

    start(&zone, 0, "c.test:5060;tcp", OK);
    start(&zone, 1, "d.test:5060;udp", OK); /* three questions: just as many */
    assert_int_equal(3, zone.asked_count);
    zone_answer(&zone);
    assert_int_equal(2, counters_of(&zone).cached);
    assert_int_equal(3, counters_of(&zone).evicted);

    zone.asked_count = 0;
    start(&zone, 0, "e.test:5060;udp", OK);
    start(&zone, 1, "f.test:5060;udp", OK); /* one of its two questions finds room */
    assert_int_equal(3, zone.asked_count);
    zone_answer(&zone);
    assert_int_equal(1, zone.waiters[0].told);
    assert_int_equal(1, zone.waiters[1].told);
    zone_close(&zone);

    limits.questions_max = 1;
    zone_open(&zone, world, &limits);
    zone.mute = true;
    start(&zone, 0, "a.test:5060;tcp", OK);
    start(&zone, 1, "b.test:5060;tcp", ERR_FULL);
    assert_int_equal(1, counters_of(&zone).waiting);
    zone_close(&zone);
}

static void a_name_of_the_greatest_length_may_end_with_a_dot(void **state)
{
    char name[DNS_NAME_MAX + 3]; /* and the dot, and one more */
    struct zone zone;

    (void)state;
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = i % 64 == 63 ? '.' : 'a';
    name[DNS_NAME_MAX + 2] = '\0';
    zone_open(&zone, world, NULL);
    assert_string_equal("nothing", zone_resolve(&zone, name)); /* one too long is none */
    assert_int_equal(0, zone.asked_count);
    name[DNS_NAME_MAX] = '.';
    name[DNS_NAME_MAX + 1] = '\0';
    assert_string_equal("nothing", zone_resolve(&zone, name));
    assert_true(zone.asked_count > 0);
    assert_int_equal(DNS_NAME_MAX, strlen(zone.asked[0].name));
    zone_close(&zone);
}

static void an_old_answer_is_used_for_a_day_after_its_end(void **state)
{
    static const char *const broken[] = {"60 FAIL A a.test", NULL};
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    zone_resolve(&zone, "a.test:5060;tcp"); /* for 60 s */
    zone.rows = broken;
    for (unsigned hour = 1; hour <= 24; hour++) {
        zone_pass(&zone, 3600000);
        assert_string_equal("tcp:192.0.2.1:5060", zone_resolve(&zone, "a.test:5060;tcp"));
        zone.asked_count = 0;
    }
    zone_pass(&zone, 3600000);
    assert_string_equal("no answer", zone_resolve(&zone, "a.test:5060;tcp"));
    zone_close(&zone);
}

static void answers_nobody_asked_for_change_nothing(void **state)
{
    struct dns_answer answer = {.status = DNS_FOUND, .ttl_s = 60};
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    resolver_answer(zone.resolver, (struct id){0, 0}, &answer, zone.now_ms);
    resolver_answer(zone.resolver, (struct id){7, 1}, &answer, zone.now_ms);
    start(&zone, 0, "a.test:5060;tcp", OK);
    zone_answer(&zone);
    resolver_answer(zone.resolver, zone.asked[0].id, &answer, zone.now_ms); /* twice */
    assert_int_equal(1, zone.waiters[0].told);
    assert_string_equal("tcp:192.0.2.1:5060", zone_resolve(&zone, "a.test:5060;tcp"));
    zone_close(&zone);
}

static void without_memory_it_still_ends(void **state)
{
    (void)state;
    for (uint64_t fail = 1; fail < 12; fail++) {
        struct zone zone;
        zone_open(&zone, world, NULL);
        zone.mem.fail_at = zone.mem.allocs + fail;
        zone.mem.fail_after = true;
        struct resolve_query query = zone_query("a.test");
        zone.waiters[0] = (struct zone_waiter){0};
        if (resolver_wait(zone.resolver, &query, &zone.waiters[0].waiter, zone.now_ms) == OK) {
            for (unsigned round = 0; round < 4 && zone.asked_count < 40; round++)
                zone_answer(&zone);
            zone_pass(&zone, 10000);
            assert_int_equal(1, zone.waiters[0].told);
        }
        zone_close(&zone);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_for_one_name_asks_once_and_all_are_told),
        cmocka_unit_test(answers_are_kept_for_their_time_and_not_longer),
        cmocka_unit_test(an_old_answer_is_better_than_a_server_that_fails),
        cmocka_unit_test(a_dead_server_holds_nobody_longer_than_the_limit),
        cmocka_unit_test(what_is_known_at_the_end_of_patience_is_used),
        cmocka_unit_test(the_tables_are_bounded),
        cmocka_unit_test(a_name_of_the_greatest_length_may_end_with_a_dot),
        cmocka_unit_test(an_old_answer_is_used_for_a_day_after_its_end),
        cmocka_unit_test(answers_nobody_asked_for_change_nothing),
        cmocka_unit_test(without_memory_it_still_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
