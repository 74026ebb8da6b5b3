/* SPDX-License-Identifier: Apache-2.0 */
/* Zones of the database, against the C library; rules of footers; files that are not sound. */
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "zones.h"

/* Rules of all kinds: north, south, half hours, back and forth over the date line, two changes for
 * a month of fasting, negative daylight saving, and none at all. */
static const char *const names[] = {
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "America/Nuuk",
    "Antarctica/Troll",
    "Etc/GMT+12",
    "Asia/Pyongyang",
};

static int32_t expected(int64_t utc_s)
{
    time_t at = (time_t)utc_s;
    struct tm local;

    assert_non_null(localtime_r(&at, &local));
    return (int32_t)local.tm_gmtoff;
}

static void compare_at(const struct zone *zone, const char *name, int64_t utc_s)
{
    int32_t offset_s = zone_offset_s(zone, utc_s);

    if (offset_s != expected(utc_s))
        fail_msg("%s at %lld: %d, not %d", name, (long long)utc_s, (int)offset_s,
                 (int)expected(utc_s));
}

static void offsets_are_those_of_the_c_library(void **state)
{
    const int64_t begin = second_of(1900, 1, 1, 0, 0), end = second_of(2120, 1, 1, 0, 0);
    struct rng rng;
    (void)state;

    rng_seed(&rng, 5);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone *zone = zone_named(names[i]);
        unsigned changes = 0;
        setenv("TZ", names[i], 1);
        tzset();
        for (unsigned k = 0; k < 20000; k++)
            compare_at(zone, names[i], begin + (int64_t)rng_below(&rng, (uint64_t)(end - begin)));
        for (int64_t at = begin; (at = zone_next_change_s(zone, at)) < end; changes++) {
            compare_at(zone, names[i], at - 1);
            compare_at(zone, names[i], at);
        }
        assert_true(changes < 1000);
        zone_free(zone);
    }
    unsetenv("TZ");
}

static void between_two_changes_nothing_changes(void **state)
{
    const int64_t end = second_of(2060, 1, 1, 0, 0);
    (void)state;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct zone *zone = zone_named(names[i]);
        int64_t next = zone_next_change_s(zone, second_of(1950, 1, 1, 0, 0));
        for (int64_t at = second_of(1950, 1, 1, 0, 0); at < end; at += 6 * 3600) {
            while (next <= at)
                next = zone_next_change_s(zone, next);
            int64_t last = at + 6 * 3600 < next ? at + 6 * 3600 : next;
            assert_int_equal(zone_offset_s(zone, at), zone_offset_s(zone, last - 1));
        }
        zone_free(zone);
    }
}

static void a_local_time_comes_once_twice_or_never(void **state)
{
    struct zone *zone = zone_named("America/Los_Angeles");
    int64_t utc_s[2];
    (void)state;

    assert_int_equal(1, zone_utc_of_local(zone, second_of(2026, 7, 1, 9, 0), utc_s));
    assert_true(utc_s[0] == second_of(2026, 7, 1, 16, 0));
    assert_int_equal(0, zone_utc_of_local(zone, second_of(2026, 3, 8, 2, 30), utc_s));
    assert_int_equal(1, zone_utc_of_local(zone, second_of(2026, 3, 8, 3, 0), utc_s));
    assert_true(utc_s[0] == second_of(2026, 3, 8, 10, 0));
    assert_int_equal(2, zone_utc_of_local(zone, second_of(2026, 11, 1, 1, 30), utc_s));
    assert_true(utc_s[0] == second_of(2026, 11, 1, 8, 30));
    assert_true(utc_s[1] == second_of(2026, 11, 1, 9, 30));
    zone_free(zone);

    zone = zone_named("Pacific/Apia"); /* had no December 30, 2011 */
    assert_int_equal(0, zone_utc_of_local(zone, second_of(2011, 12, 30, 12, 0), utc_s));
    assert_int_equal(1, zone_utc_of_local(zone, second_of(2011, 12, 31, 0, 0), utc_s));
    zone_free(zone);
}

/* ---- files made here ---- */

/* A sound file of version 2: no changes, one type, this footer. */
static struct slice file_with(const char *footer)
{
    static char bytes[400];
    size_t at = 0;

    for (unsigned block = 0; block < 2; block++) {
        memset(bytes + at, 0, 44 + 6 + 4);
        memcpy(bytes + at, "TZif2", 5);
        bytes[at + 39] = 1; /* a type */
        bytes[at + 43] = 4; /* bytes of names */
        at += 44 + 6;
        memcpy(bytes + at, "LMT", 4);
        at += 4;
    }
    at += (size_t)snprintf(bytes + at, sizeof bytes - at, "%s", footer);
    return (struct slice){bytes, at};
}

static struct zone *zone_with(const char *footer)
{
    struct zone *zone = NULL;
    assert_int_equal(OK, zone_open(file_with(footer), &zone));
    return zone;
}

static void footers_of_all_forms_are_read(void **state)
{
    static const struct {
        const char *footer;
        int64_t utc_s;
        int32_t offset_s;
    } cases[] = {
        {"\n\n", 0, 0},
        {"\n<+0330>-3:30\n", 0, 12600},
        {"\nXST3:00:01\n", 0, -10801},
        {"\nEST5EDT,M3.2.0,M11.1.0\n", 0, -18000},
    };
    struct zone *zone;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        zone = zone_with(cases[i].footer);
        assert_int_equal(cases[i].offset_s, zone_offset_s(zone, cases[i].utc_s));
        zone_free(zone);
    }
    zone = zone_with("\nEST5EDT,M3.2.0,M11.1.0\n");
    assert_int_equal(-18000, zone_offset_s(zone, second_of(2026, 3, 8, 6, 59)));
    assert_int_equal(-14400, zone_offset_s(zone, second_of(2026, 3, 8, 7, 0)));
    assert_int_equal(-14400, zone_offset_s(zone, second_of(2026, 11, 1, 5, 59)));
    assert_int_equal(-18000, zone_offset_s(zone, second_of(2026, 11, 1, 6, 0)));
    zone_free(zone);
    zone = zone_with("\nAAA0BBB-2,J60/0,300/-1\n"); /* March 1 of any year; the 301st day */
    assert_int_equal(0, zone_offset_s(zone, second_of(2024, 2, 29, 23, 59)));
    assert_int_equal(7200, zone_offset_s(zone, second_of(2024, 3, 1, 0, 0)));
    assert_int_equal(7200, zone_offset_s(zone, second_of(2023, 10, 27, 20, 59)));
    assert_int_equal(0, zone_offset_s(zone, second_of(2023, 10, 27, 21, 0)));
    zone_free(zone);
    zone = zone_with("\nEST5EDT,0/0,J365/25\n"); /* all year (RFC 8536 §3.3.1) */
    for (int32_t day = 0; day < 800; day++)
        assert_int_equal(-14400, zone_offset_s(zone, second_of(2024, 1, 1 + day, 4, 30)));
    zone_free(zone);
}

static void files_that_are_not_sound_are_refused(void **state)
{
    static const char *const footers[] = {
        "",
        "\n",
        "\nEST\n",
        "\nES5\n",
        "\nEST25\n",
        "\nEST5EDT\n",
        "\nEST5EDT,M3.2.0\n",
        "\nEST5EDT,M13.2.0,M11.1.0\n",
        "\nEST5EDT,M3.6.0,M11.1.0\n",
        "\nEST5EDT,M3.2.7,M11.1.0\n",
        "\nEST5EDT,J0,J2\n",
        "\nEST5EDT,366,J2\n",
        "\nEST5EDT,M3.2.0/168,M11.1.0\n",
        "\nEST5EDT,M3.2.0,M11.1.0x\n",
        "\n<+03>\n",
        "\n<+033-3\n",
        "\nEST5",
    };
    struct zone *zone = NULL;
    char copy[400];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(footers); i++)
        assert_int_equal(ERR_SYNTAX, zone_open(file_with(footers[i]), &zone));
    struct slice sound = file_with("\nUTC0\n");
    for (size_t len = 0; len < sound.len; len++)
        assert_int_equal(ERR_SYNTAX, zone_open((struct slice){sound.data, len}, &zone));
    memcpy(copy, sound.data, sound.len);
    copy[0] = 'X';
    assert_int_equal(ERR_SYNTAX, zone_open((struct slice){copy, sound.len}, &zone));
    memcpy(copy, sound.data, sound.len);
    copy[54 + 32] = 1; /* sixteen million changes in the second block */
    assert_int_equal(ERR_TOO_BIG, zone_open((struct slice){copy, sound.len}, &zone));
    copy[54 + 32] = 0;
    copy[54 + 39] = 0; /* no type */
    assert_int_equal(ERR_SYNTAX, zone_open((struct slice){copy, sound.len}, &zone));
    assert_null(zone);
}

static void any_byte_of_a_file_may_be_wrong(void **state)
{
    char copy[ZONE_FILE_MAX];
    struct rng rng;
    (void)state;

    rng_seed(&rng, 6);
    struct slice sound = zone_bytes("America/New_York");
    for (unsigned i = 0; i < 3000; i++) {
        struct zone *zone;
        memcpy(copy, sound.data, sound.len);
        for (unsigned k = 0; k < 3; k++)
            copy[rng_below(&rng, sound.len)] = (char)rng_below(&rng, 256);
        if (zone_open((struct slice){copy, sound.len}, &zone) != OK)
            continue;
        (void)zone_offset_s(zone, (int64_t)rng_below(&rng, 5000000000));
        zone_free(zone);
    }
}

static void names_lead_to_no_other_files(void **state)
{
    (void)state;

    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_true(zone_is_name(slice_of(names[i])));
    assert_false(zone_is_name(SLICE("")));
    assert_false(zone_is_name(SLICE("/etc/passwd")));
    assert_false(zone_is_name(SLICE("../UTC")));
    assert_false(zone_is_name(SLICE("Europe/../UTC")));
    assert_false(zone_is_name(SLICE("Europe//Berlin")));
    assert_false(zone_is_name(SLICE("Europe/")));
    assert_false(zone_is_name(SLICE("Europe Berlin")));
    assert_false(zone_is_name((struct slice){"UTC\0x", 5}));
    char longest[ZONE_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(zone_is_name((struct slice){longest, ZONE_NAME_MAX}));
    assert_false(zone_is_name((struct slice){longest, ZONE_NAME_MAX + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_c_library),
        cmocka_unit_test(between_two_changes_nothing_changes),
        cmocka_unit_test(a_local_time_comes_once_twice_or_never),
        cmocka_unit_test(footers_of_all_forms_are_read),
        cmocka_unit_test(files_that_are_not_sound_are_refused),
        cmocka_unit_test(any_byte_of_a_file_may_be_wrong),
        cmocka_unit_test(names_lead_to_no_other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
