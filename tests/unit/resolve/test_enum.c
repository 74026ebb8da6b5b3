/* SPDX-License-Identifier: Apache-2.0 */
/* ENUM (RFC 6116): numbers to names, records to URIs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "zone.h"

static const char *const world[] = {
    /* the examples of RFC 6116 §3.4.3 and of use */
    "60 NAPTR 1.0.0.0.5.5.5.0.1.5.1.e164.test 100 10 u E2U+sip !^.*$!sip:info@example.test! -",
    "60 NAPTR 1.0.0.0.5.5.5.0.1.5.1.e164.test 100 11 u E2U+h323 !^.*$!h323:x@example.test! -",
    "60 NAPTR 1.0.0.0.5.5.5.0.1.5.1.e164.test 102 10 u E2U+email !^.*$!mailto:x@example.test! -",
    "60 NAPTR 2.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 U e2u+voice:tel+sip "
    "!^\\+1(.*)$!sips:\\1@gw.test;user=phone! -",
    "60 NAPTR 3.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 u E2U+sip !^(.*)$!mailto:\\1@x! -",
    "60 NAPTR 3.0.0.0.5.5.5.0.1.5.1.e164.test 20 10 u E2U+sip !^(a|aa)+$!sip:bad@x! -",
    "60 NAPTR 3.0.0.0.5.5.5.0.1.5.1.e164.test 30 10 u E2U+sip #^+1510(.+)$#sip:\\1@third.test# -",
    "60 NAPTR 3.0.0.0.5.5.5.0.1.5.1.e164.test 30 20 u E2U+sip !^(.*)$!sip:late@x! -",
    "60 NAPTR 4.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 u E2U+sip !^\\+49(.*)$!sip:\\1@other! -",
    "60 NAPTR 5.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 u E2U+sip !^.*$!sip:a\r\nX:@x! -",
    "60 NAPTR 6.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 - E2U+sip !^.*$!sip:x@x! -",
    "60 NAPTR 7.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 u E2U+sip !^.*$!sip:\\2@x! -",
    "60 NAPTR 8.0.0.0.5.5.5.0.1.5.1.e164.test 10 10 u E2U+sip !^.*$!sip:x@x -",
    "60 FAIL NAPTR 9.0.0.0.5.5.5.0.1.5.1.e164.test",
    NULL,
};

static const struct slice suffix = {"e164.test", 9};

static enum resolve_verdict find(struct zone *zone, const char *number, char *text, size_t size)
{
    struct zone_waiter *who = &zone->waiters[0];
    struct builder b = builder_over(text, size - 1);
    enum resolve_verdict verdict =
        resolver_find_enum(zone->resolver, slice_of(number), suffix, zone->now_ms, &b);

    if (verdict == RESOLVE_ASK) {
        *who = (struct zone_waiter){0};
        assert_int_equal(OK, resolver_wait_enum(zone->resolver, slice_of(number), suffix,
                                                &who->waiter, zone->now_ms));
        zone_answer(zone);
        assert_int_equal(1, who->told);
        assert_int_equal(0, who->targets.count);
        verdict = resolver_find_enum(zone->resolver, slice_of(number), suffix, zone->now_ms, &b);
    }
    text[b.len] = '\0';
    return verdict;
}

static void records_make_uris_of_numbers(void **state)
{
    static const struct {
        const char *number;
        enum resolve_verdict verdict;
        const char *uri;
    } cases[] = {
        {"+15105550001", RESOLVE_DONE, "sip:info@example.test"},
        {"+15105550002", RESOLVE_DONE, "sips:5105550002@gw.test;user=phone"},
        {"+15105550003", RESOLVE_DONE, "sip:5550003@third.test"},
        {"+15105550004", RESOLVE_NOTHING, ""}, /* its pattern does not match */
        {"+15105550005", RESOLVE_NOTHING, ""}, /* lines may not be smuggled in */
        {"+15105550006", RESOLVE_NOTHING, ""}, /* not terminal */
        {"+15105550007", RESOLVE_NOTHING, ""}, /* no such group */
        {"+15105550008", RESOLVE_NOTHING, ""}, /* not closed */
        {"+15105550009", RESOLVE_NO_ANSWER, ""},
        {"+15105550000", RESOLVE_NOTHING, ""},
        {"15105550001", RESOLVE_NOTHING, ""}, /* not E.164 */
        {"+1510555000a", RESOLVE_NOTHING, ""},
        {"+1234567890123456", RESOLVE_NOTHING, ""},
        {"+", RESOLVE_NOTHING, ""},
    };
    struct zone zone;
    char text[128];

    (void)state;
    zone_open(&zone, world, NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum resolve_verdict verdict = find(&zone, cases[i].number, text, sizeof text);
        if (verdict != cases[i].verdict)
            print_message("%s\n", cases[i].number);
        assert_int_equal(cases[i].verdict, verdict);
        assert_string_equal(cases[i].uri, text);
    }
    zone_close(&zone);
}

static void a_number_is_asked_for_digit_by_digit(void **state)
{
    char text[64];
    struct builder b = builder_over(text, sizeof text);

    (void)state;
    assert_int_equal(OK, resolve_enum_name(SLICE("+442079460148"), SLICE("e164.arpa"), &b));
    assert_memory_equal("8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa", text, b.len); /* RFC 6116 §3.2 */
    struct builder small = builder_over(text, 20);
    assert_int_equal(ERR_TOO_BIG,
                     resolve_enum_name(SLICE("+442079460148"), SLICE("e164.arpa"), &small));
}

static void a_uri_that_does_not_fit_is_none(void **state)
{
    struct zone zone;
    char text[128], tiny[8];

    (void)state;
    zone_open(&zone, world, NULL);
    assert_int_equal(RESOLVE_DONE, find(&zone, "+15105550001", text, sizeof text));
    assert_int_equal(RESOLVE_NOTHING, find(&zone, "+15105550001", tiny, sizeof tiny));
    zone_close(&zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_make_uris_of_numbers),
        cmocka_unit_test(a_number_is_asked_for_digit_by_digit),
        cmocka_unit_test(a_uri_that_does_not_fit_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
