/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people dial them and carriers write them, by the rules of where they do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "routing/dial.h"

static struct dial_rules rules_of(const char *country)
{
    struct dial_rules rules;
    assert_int_equal(OK, dial_rules_of(slice_of(country), &rules));
    return rules;
}

/* The number, or "none" for what is none of E.164, "bad" for what is no number at all. */
static const char *result(enum err err, const struct builder *out)
{
    static char text[DIAL_TEXT_MAX + 1];

    if (err != OK)
        return err == ERR_NOT_FOUND ? "none" : "bad";
    snprintf(text, sizeof text, "%.*s", (int)out->len, out->data);
    return text;
}

static const char *dialled(const struct dial_rules *rules, const char *number)
{
    char text[DIAL_TEXT_MAX];
    struct builder out = builder_over(text, sizeof text);
    return result(dial_number(rules, slice_of(number), SLICE_EMPTY, &out), &out);
}

static const char *of_uri(const struct dial_rules *rules, const char *uri)
{
    char text[DIAL_TEXT_MAX];
    struct builder out = builder_over(text, sizeof text);
    struct sip_uri parsed;

    if (sip_uri_parse(slice_of(uri), &parsed) != OK)
        fail_msg("%s is no URI", uri);
    return result(dial_uri(rules, &parsed, &out), &out);
}

static void numbers_are_read_as_they_are_dialled_there(void **state)
{
    static const struct {
        const char *country, *number, *is;
    } cases[] = {
        /* North America: ten digits with or without the 1 */
        {"US", "+15105550101", "+15105550101"},
        {"US", "+1 (510) 555-0101", "+15105550101"},
        {"US", "1-510-555-0101", "+15105550101"},
        {"US", "(510) 555.0101", "+15105550101"},
        {"US", "5550101", "none"}, /* in which area? */
        {"US", "011493012345678", "+493012345678"},
        {"US", "0114930", "none"}, /* too short */
        {"US", "911", "none"},
        {"US", "101", "none"},
        {"US", "00493012345678", "none"}, /* nobody dials so there */
        {"ca", "4165550101", "+14165550101"},
        /* with a prefix for other areas */
        {"DE", "030 12345678", "+493012345678"},
        {"DE", "0049 30 12345678", "+493012345678"},
        {"DE", "0151/2345", "bad"},
        {"DE", "12345678", "none"}, /* local: in which area? */
        {"DE", "110", "none"},
        {"DE", "0114930123456", "+49114930123456"}, /* no prefix of theirs */
        {"GB", "020 7946 0018", "+442079460018"},
        {"GB", "0044 20 7946 0018", "+442079460018"},
        {"GB", "+44 20 7946 0018", "+442079460018"},
        {"FR", "01 99 00 12 34", "+33199001234"},
        {"HU", "06 1 234 5678", "+3612345678"},
        {"RU", "8 495 123 45 67", "+74951234567"},
        {"RU", "8 10 1 510 555 0101", "+15105550101"},
        {"AU", "02 5550 1234", "+61255501234"},
        {"AU", "0011 1 510 555 0101", "+15105550101"},
        {"JP", "010 1 510 555 0101", "+15105550101"},
        {"JP", "03-1234-5678", "+81312345678"},
        /* without one: all digits, always */
        {"IT", "06 1234 5678", "+390612345678"}, /* its 0 belongs to it */
        {"DK", "32123456", "+4532123456"},
        {"ES", "912345678", "+34912345678"},
        {"NO", "00 45 32 12 34 56", "+4532123456"},
        {"SG", "6123 4567", "+6561234567"},
        {"MX", "55 1234 5678", "+525512345678"},
        /* what is no number */
        {"US", "*69", "none"},
        {"US", "#31#5105550101", "none"},
        {"US", "", "bad"},
        {"US", "+", "bad"},
        {"US", "-", "bad"},
        {"US", "alice", "bad"},
        {"US", "+1510555010a", "bad"},
        {"US", "+1*5105550101", "bad"},
        {"US", "5105550101x12", "bad"},
        {"US", "++15105550101", "bad"},
        {"US", "+0123456789", "none"},       /* no country begins so */
        {"US", "+1510555010123456", "none"}, /* sixteen digits */
        {"US", "+151055501012345", "+151055501012345"},
        {"US", "+1510", "none"},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct dial_rules rules = rules_of(cases[i].country);
        if (strcmp(cases[i].is, dialled(&rules, cases[i].number)) != 0)
            fail_msg("%s in %s: %s, not %s", cases[i].number, cases[i].country,
                     dialled(&rules, cases[i].number), cases[i].is);
    }
}

static void uris_are_read_like_numbers(void **state)
{
    static const struct {
        const char *uri, *is;
    } cases[] = {
        {"tel:+1-510-555-0101", "+15105550101"},
        {"tel:+15105550101;ext=12", "+15105550101"},
        {"tel:555-0101;phone-context=+1-510", "+15105550101"},
        {"tel:0101;phone-context=+1510555", "+15105550101"},
        {"tel:5105550101;phone-context=example.com", "+15105550101"}, /* by the rules */
        {"tel:101;phone-context=example.com", "none"},
        {"tel:+15105550101;phone-context=+44", "+15105550101"}, /* it is global already */
        {"tel:5550101;phone-context=+1x", "bad"},
        {"sip:+15105550101@example.com;user=phone", "+15105550101"},
        {"sip:+15105550101@example.com", "+15105550101"},
        {"sip:5105550101@192.0.2.1", "+15105550101"},
        {"sips:011493012345678@example.com", "+493012345678"},
        {"sip:%2B15105550101@example.com", "+15105550101"},
        {"sip:+1-510-555-0101;npdi;rn=+15105550000@example.com;user=phone", "+15105550101"},
        {"sip:555-0101;phone-context=+1510@example.com;user=phone", "+15105550101"},
        {"sip:555-0101;Phone-Context=%2B1510@example.com;user=phone", "+15105550101"},
        {"sip:101@example.com", "none"},
        {"sip:alice@example.com", "bad"},
        {"sip:example.com", "bad"},
        {"mailto:5105550101@example.com", "bad"},
    };
    struct dial_rules rules = rules_of("US");
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (strcmp(cases[i].is, of_uri(&rules, cases[i].uri)) != 0)
            fail_msg("%s: %s, not %s", cases[i].uri, of_uri(&rules, cases[i].uri), cases[i].is);
}

static void carriers_may_leave_the_plus_out(void **state)
{
    struct dial_rules rules = {.bare_international = true, .international = "00"};
    (void)state;

    assert_string_equal("+15105550101", dialled(&rules, "15105550101"));
    assert_string_equal("+15105550101", dialled(&rules, "0015105550101"));
    assert_string_equal("none", dialled(&rules, "0305550101"));
    assert_string_equal("none", dialled(&rules, "101"));
}

static void local_numbers_get_their_area(void **state)
{
    struct dial_rules rules = rules_of("US");
    (void)state;

    memcpy(rules.area, "510", 4);
    rules.local = 7;
    assert_string_equal("+15105550101", dialled(&rules, "555-0101"));
    assert_string_equal("+14155550101", dialled(&rules, "4155550101"));
    assert_string_equal("none", dialled(&rules, "555010"));
}

static void without_rules_only_what_has_a_plus_is_a_number(void **state)
{
    const struct dial_rules none = {0};
    (void)state;

    assert_string_equal("+15105550101", dialled(&none, "+15105550101"));
    assert_string_equal("none", dialled(&none, "15105550101"));
    assert_string_equal("none", dialled(&none, "0"));
}

static void countries_are_known_by_two_letters(void **state)
{
    struct dial_rules rules;
    (void)state;

    assert_int_equal(OK, dial_rules_of(SLICE("de"), &rules));
    assert_string_equal("49", rules.country);
    assert_int_equal(ERR_NOT_FOUND, dial_rules_of(SLICE("XX"), &rules));
    assert_int_equal(ERR_NOT_FOUND, dial_rules_of(SLICE("D"), &rules));
    assert_int_equal(ERR_NOT_FOUND, dial_rules_of(SLICE("DEU"), &rules));
    assert_int_equal(ERR_NOT_FOUND, dial_rules_of(SLICE_EMPTY, &rules));
}

static void what_is_too_long_or_has_no_room_is_told(void **state)
{
    struct dial_rules rules = rules_of("US");
    char digits[200], text[DIAL_TEXT_MAX];
    struct builder out = builder_over(text, sizeof text);
    (void)state;

    memset(digits, '1', sizeof digits);
    assert_int_equal(ERR_TOO_BIG,
                     dial_number(&rules, (struct slice){digits, sizeof digits}, SLICE_EMPTY, &out));
    out = builder_over(text, 4);
    assert_int_equal(ERR_TOO_BIG, dial_number(&rules, SLICE("+15105550101"), SLICE_EMPTY, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_they_are_dialled_there),
        cmocka_unit_test(uris_are_read_like_numbers),
        cmocka_unit_test(carriers_may_leave_the_plus_out),
        cmocka_unit_test(local_numbers_get_their_area),
        cmocka_unit_test(without_rules_only_what_has_a_plus_is_a_number),
        cmocka_unit_test(countries_are_known_by_two_letters),
        cmocka_unit_test(what_is_too_long_or_has_no_room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
