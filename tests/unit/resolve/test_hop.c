/* SPDX-License-Identifier: Apache-2.0 */
/* The order of RFC 3263 §4 and §5: what is asked, and what comes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "zone.h"

static const char *const world[] = {
    "60 A plain.test 192.0.2.1",
    "60 AAAA both.test 2001:db8::1",
    "60 A both.test 192.0.2.2",
    "60 SRV _sip._udp.srv.test 20 0 5080 b.srv.test",
    "60 SRV _sip._udp.srv.test 10 0 5070 a.srv.test",
    "60 SRV _sip._tcp.srv.test 10 0 5071 a.srv.test",
    "60 SRV _sips._tcp.srv.test 10 0 5072 a.srv.test",
    "60 A srv.test 192.0.2.30",
    "60 A a.srv.test 192.0.2.31",
    "60 A b.srv.test 192.0.2.32",
    "60 NAPTR naptr.test 50 50 s SIPS+D2T - _sips._tcp.naptr.test",
    "60 NAPTR naptr.test 100 50 s SIP+D2U - _sip._udp.naptr.test",
    "60 NAPTR naptr.test 90 50 S sip+d2t - other.name.test",
    "60 NAPTR naptr.test 10 10 s SIP+D2S - _sip._sctp.naptr.test",
    "60 NAPTR naptr.test 1 1 u E2U+sip !^.*$!sip:x@y! -",
    "60 SRV _sips._tcp.naptr.test 0 0 5061 a.srv.test",
    "60 SRV _sip._udp.naptr.test 0 0 5060 b.srv.test",
    "60 SRV other.name.test 0 0 5064 b.srv.test",
    "60 NAPTR sctp.test 10 10 s SIP+D2S - _sip._sctp.sctp.test",
    "60 A sctp.test 192.0.2.50",
    "60 NAPTR sips.test 10 10 s SIPS+D2T - _sips._tcp.sips.test",
    "60 SRV _sips._tcp.sips.test 0 0 5061 -",
    "60 SRV _sip._udp.closed.test 0 0 0 -",
    "60 A closed.test 192.0.2.60",
    "60 FAIL NAPTR odd.test",
    "60 FAIL SRV _sip._udp.odd.test",
    "60 A odd.test 192.0.2.70",
    "60 FAIL A down.test",
    "60 FAIL AAAA half.test",
    "60 A half.test 192.0.2.80",
    "60 AAAA v6.test 2001:db8::6",
    "60 SRV _sip._udp.num.test 0 0 5099 192.0.2.90",
    "60 SRV _sip._udp.evil.test 0 0 5099 bad%name",
    NULL,
};

/* Asks anew; how many questions that took is in `asked_count`. */
static void expect(struct zone *zone, const char *query, const char *expected)
{
    zone->asked_count = 0;
    const char *got = zone_resolve(zone, query);
    if (strcmp(got, expected) != 0)
        print_message("%s\n", query);
    assert_string_equal(expected, got);
}

static void everything_is_tried_in_the_order_of_the_rfc(void **state)
{
    static const struct {
        const char *query, *expected;
    } cases[] = {
        {"192.0.2.1", "udp:192.0.2.1:5060"},
        {"192.0.2.1:5090", "udp:192.0.2.1:5090"},
        {"192.0.2.1;tcp", "tcp:192.0.2.1:5060"},
        {"192.0.2.1;sips", "tls:192.0.2.1:5061"},
        {"192.0.2.1;tcp;sips", "tls:192.0.2.1:5061"},
        {"[2001:db8::9]", "udp:[2001:db8::9]:5060"},
        {"[2001:db8::9];tcp", "unusable"}, /* no listener of that kind */
        {"plain.test", "udp:192.0.2.1:5060"},
        {"PLAIN.test.", "udp:192.0.2.1:5060"},
        {"plain.test;sips", "tls:192.0.2.1:5061"},
        {"plain.test:5099", "udp:192.0.2.1:5099"},
        {"both.test", "udp:[2001:db8::1]:5060 udp:192.0.2.2:5060"},
        {"both.test;tcp", "tcp:192.0.2.2:5060"},
        {"v6.test;tcp", "nothing"},
        {"srv.test", "udp:192.0.2.31:5070 udp:192.0.2.32:5080 tcp:192.0.2.31:5071"},
        {"srv.test;tcp", "tcp:192.0.2.31:5071"},
        {"srv.test;tls", "tls:192.0.2.31:5072"},
        {"srv.test;sips", "tls:192.0.2.31:5072"},
        {"srv.test;udp", "udp:192.0.2.31:5070 udp:192.0.2.32:5080"},
        {"srv.test:5060", "udp:192.0.2.30:5060"}, /* a port: no SRV (§4.2) */
        {"srv.test:5060;tcp", "tcp:192.0.2.30:5060"},
        {"naptr.test", "tls:192.0.2.31:5061 tcp:192.0.2.32:5064 udp:192.0.2.32:5060"},
        {"naptr.test;sips", "tls:192.0.2.31:5061"},
        {"naptr.test;udp", "udp:192.0.2.32:5060"}, /* a transport: no NAPTR (§4.1) */
        {"sctp.test", "udp:192.0.2.50:5060"},      /* NAPTR for nothing that we know: as without */
        {"sips.test", "nothing"},
        {"closed.test", "nothing"}, /* "." as the only target (RFC 2782) */
        {"closed.test:5060", "udp:192.0.2.60:5060"},
        {"odd.test", "udp:192.0.2.70:5060"}, /* servers that fail at unknown types */
        {"down.test:5060", "no answer"},
        {"half.test:5060", "udp:192.0.2.80:5060"},
        {"gone.test", "nothing"},
        {"num.test", "udp:192.0.2.90:5099"},
        {"evil.test", "no answer"},
        {"plain.test;ws", "unusable"},
        {"df7jal23ls0d.invalid", "nothing"}, /* as browsers call themselves (RFC 7118 §5) */
        {"DF7JAL23LS0D.Invalid.;tcp", "nothing"},
        {"x.invalid.test", "nothing"},
        {"bad..name", "nothing"},
        {"bad%name", "nothing"},
    };
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        expect(&zone, cases[i].query, cases[i].expected);
        expect(&zone, cases[i].query, cases[i].expected);
        assert_int_equal(0, zone.asked_count); /* now it is known */
    }
    zone_close(&zone);
}

static void numeric_hosts_and_those_that_cannot_be_are_never_asked_for(void **state)
{
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    zone.broken = true;
    assert_string_equal("udp:192.0.2.1:5060", zone_resolve(&zone, "192.0.2.1"));
    assert_string_equal("no answer", zone_resolve(&zone, "plain.test"));
    zone.asked_count = 0;
    assert_string_equal("nothing", zone_resolve(&zone, "df7jal23ls0d.invalid:5066"));
    assert_int_equal(0, zone.asked_count);
    zone_close(&zone);
}

static void weights_decide_how_often_who_comes_first(void **state)
{
    static const char *const rows[] = {"60 SRV _sip._udp.w.test 1 60 5060 a.test",
                                       "60 SRV _sip._udp.w.test 1 30 5060 b.test",
                                       "60 SRV _sip._udp.w.test 1 10 5060 c.test",
                                       "60 SRV _sip._udp.w.test 1 0 5060 d.test",
                                       "60 SRV _sip._udp.w.test 2 99 5060 e.test",
                                       "60 A a.test 192.0.2.1",
                                       "60 A b.test 192.0.2.2",
                                       "60 A c.test 192.0.2.3",
                                       "60 A d.test 192.0.2.4",
                                       "60 A e.test 192.0.2.5",
                                       NULL};
    enum {
        ROUNDS = 10000
    };
    static const unsigned least[] = {0, 5600, 2700, 800, 20, 0};
    static const unsigned most[] = {0, 6300, 3300, 1200, 250, 0};
    unsigned first[6] = {0};
    struct resolve_query query = zone_query("w.test");
    struct resolve_targets targets;
    struct zone zone;

    (void)state;
    zone_open(&zone, rows, NULL);
    zone_resolve(&zone, "w.test");
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned seen = 0;
        assert_int_equal(RESOLVE_DONE, resolver_find(zone.resolver, &query, zone.now_ms, &targets));
        assert_int_equal(5, targets.count);
        for (unsigned k = 0; k < 5; k++)
            seen |= 1u << targets.items[k].addr.bytes[3];
        assert_int_equal(0x3e, seen);                        /* each once */
        assert_int_equal(5, targets.items[4].addr.bytes[3]); /* its priority comes after all */
        first[targets.items[0].addr.bytes[3]]++;
    }
    for (unsigned i = 1; i < 6; i++)
        assert_in_range(first[i], least[i], most[i]);
    zone_close(&zone);
}

static void more_hosts_than_are_tried_are_cut_and_counted(void **state)
{
    static const char *const rows[] = {
        "60 SRV _sip._udp.m.test 1 0 1 192.0.2.1", "60 SRV _sip._udp.m.test 2 0 1 192.0.2.2",
        "60 SRV _sip._udp.m.test 3 0 1 192.0.2.3", "60 SRV _sip._udp.m.test 4 0 1 192.0.2.4",
        "60 SRV _sip._udp.m.test 5 0 1 192.0.2.5", "60 SRV _sip._udp.m.test 6 0 1 192.0.2.6",
        "60 SRV _sip._udp.m.test 7 0 1 192.0.2.7", "60 SRV _sip._udp.m.test 8 0 1 192.0.2.8",
        "60 SRV _sip._udp.m.test 9 0 1 192.0.2.9", NULL};
    static const char *const less[] = {
        "60 A n.test 192.0.2.1", "60 A n.test 192.0.2.2", "60 A n.test 192.0.2.3",
        "60 A n.test 192.0.2.4", "60 A n.test 192.0.2.5", "60 A n.test 192.0.2.6",
        "60 A n.test 192.0.2.7", "60 A n.test 192.0.2.8", NULL};
    struct resolve_counters counters;
    struct zone zone;

    (void)state;
    zone_open(&zone, rows, NULL);
    const char *text = zone_resolve(&zone, "m.test;udp");
    assert_null(strstr(text, "192.0.2.9"));
    assert_non_null(strstr(text, "192.0.2.8"));
    resolver_counters(zone.resolver, &counters);
    assert_true(counters.cut > 0);
    zone_close(&zone);

    zone_open(&zone, less, NULL); /* just as many */
    assert_non_null(strstr(zone_resolve(&zone, "n.test:5060"), "192.0.2.8"));
    resolver_counters(zone.resolver, &counters);
    assert_int_equal(0, counters.cut);
    zone_close(&zone);
}

static void what_no_single_host_has_is_never_a_target(void **state)
{
    static const char *const rows[] = {
        "60 A any.test 0.0.0.0",
        "60 A group.test 224.0.1.75",
        "60 A all.test 255.255.255.255",
        "60 AAAA mapped.test ::ffff:127.0.0.1",
        "60 AAAA group6.test ff02::1",
        "60 AAAA link.test fe80::1",
        "60 AAAA any6.test ::",
        "60 SRV _sip._udp.zero.test 1 0 0 192.0.2.1",
        "60 SRV _sip._udp.some.test 1 0 0 192.0.2.1",
        "60 SRV _sip._udp.some.test 2 0 5060 group.test",
        "60 SRV _sip._udp.some.test 3 0 5060 192.0.2.3",
        NULL,
    };
    static const struct {
        const char *query, *expected;
    } cases[] = {
        {"any.test", "unusable"},
        {"group.test", "unusable"},
        {"all.test", "unusable"},
        {"mapped.test", "unusable"}, /* it would leave by a socket for the other family */
        {"group6.test", "unusable"},
        {"link.test", "unusable"}, /* a name has no zone */
        {"any6.test", "unusable"},
        {"0.0.0.0", "unusable"}, /* the kernel would take it for ourselves */
        {"[ff02::1]", "unusable"},
        {"zero.test", "unusable"}, /* port 0 */
        {"some.test;udp", "udp:192.0.2.3:5060"},
    };
    struct zone zone;

    (void)state;
    zone_open(&zone, rows, NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect(&zone, cases[i].query, cases[i].expected);
    zone_close(&zone);
}

static void one_name_makes_only_so_many_questions(void **state)
{
    static const char form[] = "60 NAPTR many.test %u 1 s SIP+D2U - s%u.victim.test";
    static char texts[DNS_RECORDS_MAX][80];
    const char *rows[DNS_RECORDS_MAX + 1];
    struct resolve_counters counters;
    struct zone zone;

    (void)state;
    for (unsigned i = 0; i < DNS_RECORDS_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], form, i, i);
        rows[i] = texts[i];
    }
    rows[DNS_RECORDS_MAX] = NULL;
    zone_open(&zone, rows, NULL);
    assert_string_equal("nothing", zone_resolve(&zone, "many.test"));
    assert_int_equal(1 + RESOLVE_SERVICES_MAX, zone.asked_count);
    assert_string_equal("s0.victim.test", zone.asked[1].name); /* the best ones */
    resolver_counters(zone.resolver, &counters);
    assert_true(counters.cut > 0);
    zone_close(&zone);

    rows[RESOLVE_SERVICES_MAX] = NULL; /* just as many */
    zone_open(&zone, rows, NULL);
    assert_string_equal("nothing", zone_resolve(&zone, "many.test"));
    assert_int_equal(1 + RESOLVE_SERVICES_MAX, zone.asked_count);
    resolver_counters(zone.resolver, &counters);
    assert_int_equal(0, counters.cut);
    zone_close(&zone);
}

static void targets_that_failed_come_last_until_they_answer(void **state)
{
    struct resolve_target a = {
        {.family = ADDR_V4, .port = 5070, .bytes = {192, 0, 2, 31}}, TRANSPORT_UDP, 0};
    struct resolve_counters counters;
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    assert_string_equal("udp:192.0.2.31:5070 udp:192.0.2.32:5080",
                        zone_resolve(&zone, "srv.test;udp"));
    resolver_failed(zone.resolver, &a, zone.now_ms);
    resolver_failed(zone.resolver, &a, zone.now_ms); /* of many at once only one counts */
    assert_true(resolver_is_dead(zone.resolver, &a, zone.now_ms));
    assert_string_equal("udp:192.0.2.32:5080 udp:192.0.2.31:5070",
                        zone_resolve(&zone, "srv.test;udp"));
    zone_pass(&zone, 32001);
    assert_string_equal("udp:192.0.2.31:5070 udp:192.0.2.32:5080",
                        zone_resolve(&zone, "srv.test;udp"));
    resolver_failed(zone.resolver, &a, zone.now_ms);
    zone_pass(&zone, 32001); /* the second time it takes twice as long */
    assert_true(resolver_is_dead(zone.resolver, &a, zone.now_ms));
    resolver_answered(zone.resolver, &a);
    assert_false(resolver_is_dead(zone.resolver, &a, zone.now_ms));
    resolver_failed(zone.resolver, &a, zone.now_ms); /* and is forgotten when it answers */
    zone_pass(&zone, 32001);
    assert_false(resolver_is_dead(zone.resolver, &a, zone.now_ms));
    resolver_counters(zone.resolver, &counters);
    assert_int_equal(3, counters.dead);
    assert_int_equal(1, counters.recovered);
    assert_int_equal(1, counters.dead_put_last);
    zone_close(&zone);
}

static void only_so_many_dead_ones_are_remembered(void **state)
{
    struct resolve_limits limits = resolve_limits_default();
    struct resolve_target target = {
        {.family = ADDR_V4, .port = 5060, .bytes = {192, 0, 2, 0}}, TRANSPORT_UDP, 0};
    struct resolve_counters counters;
    struct zone zone;

    (void)state;
    limits.dead_max = 3;
    zone_open(&zone, world, &limits);
    for (uint8_t i = 1; i <= 4; i++) {
        target.addr.bytes[3] = i;
        resolver_failed(zone.resolver, &target, zone.now_ms);
    }
    resolver_counters(zone.resolver, &counters);
    assert_int_equal(3, counters.dead_now);
    assert_true(resolver_is_dead(zone.resolver, &target, zone.now_ms));
    target.addr.bytes[3] = 1;
    assert_false(resolver_is_dead(zone.resolver, &target, zone.now_ms));
    zone_close(&zone);
}

/* The first target over TLS of what is known of a name by now; else zero. */
static struct resolve_target tls_target(struct zone *zone, const char *text)
{
    struct resolve_query query = zone_query(text);
    struct resolve_targets targets;

    zone_resolve(zone, text);
    assert_int_equal(RESOLVE_DONE, resolver_find(zone->resolver, &query, zone->now_ms, &targets));
    for (uint32_t i = 0; i < targets.count; i++)
        if (targets.items[i].transport == TRANSPORT_TLS)
            return targets.items[i];
    return (struct resolve_target){0};
}

static void over_tls_the_name_that_was_asked_for_is_part_of_the_target(void **state)
{
    struct zone zone;

    (void)state;
    zone_open(&zone, world, NULL);
    struct resolve_target srv = tls_target(&zone, "srv.test;tls");
    assert_true(srv.name != 0);
    assert_true(srv.name == tls_target(&zone, "SRV.test.;sips").name); /* the same domain */
    struct resolve_target host = tls_target(&zone, "a.srv.test:5072;tls");
    assert_true(addr_equal(&srv.addr, &host.addr)); /* the same host by its own name */
    assert_true(srv.name != host.name);
    assert_true(tls_target(&zone, "192.0.2.31;tls").name == 0); /* an address is none */

    struct resolve_query plain = zone_query("plain.test");
    struct resolve_targets targets;
    zone_resolve(&zone, "plain.test");
    assert_int_equal(RESOLVE_DONE, resolver_find(zone.resolver, &plain, zone.now_ms, &targets));
    assert_true(targets.items[0].name == 0);

    /* who cannot prove one name may be who he says under another */
    resolver_failed(zone.resolver, &srv, zone.now_ms);
    assert_true(resolver_is_dead(zone.resolver, &srv, zone.now_ms));
    assert_false(resolver_is_dead(zone.resolver, &host, zone.now_ms));
    zone_close(&zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_tried_in_the_order_of_the_rfc),
        cmocka_unit_test(numeric_hosts_and_those_that_cannot_be_are_never_asked_for),
        cmocka_unit_test(weights_decide_how_often_who_comes_first),
        cmocka_unit_test(more_hosts_than_are_tried_are_cut_and_counted),
        cmocka_unit_test(what_no_single_host_has_is_never_a_target),
        cmocka_unit_test(one_name_makes_only_so_many_questions),
        cmocka_unit_test(targets_that_failed_come_last_until_they_answer),
        cmocka_unit_test(over_tls_the_name_that_was_asked_for_is_part_of_the_target),
        cmocka_unit_test(only_so_many_dead_ones_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
