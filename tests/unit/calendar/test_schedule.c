/* SPDX-License-Identifier: Apache-2.0 */
/* Open or closed: hours, days, exceptions, force, across midnight and when clocks are changed. */
#include <string.h>

#include "base/rng.h"
#include "calendar/schedule.h"
#include "zones.h"

enum {
    ITEMS = 64
};

/* A schedule with its own memory. */
struct made {
    struct schedule_hours open[ITEMS];
    struct schedule_date closed[ITEMS];
    struct schedule_exception exceptions[ITEMS];
    struct schedule schedule;
};

static void open_at(struct made *made, const char *text)
{
    struct schedule_problem problem;
    size_t count = 0;
    assert_int_equal(OK, schedule_parse_open(slice_of(text), made->open + made->schedule.open_count,
                                             ITEMS - made->schedule.open_count, &count, &problem));
    made->schedule.open = made->open;
    made->schedule.open_count += count;
}

static void closed_at(struct made *made, const char *text)
{
    struct schedule_problem problem;
    assert_int_equal(OK,
                     schedule_parse_closed(slice_of(text),
                                           &made->closed[made->schedule.closed_count++], &problem));
    made->schedule.closed = made->closed;
}

static void except_at(struct made *made, const char *text)
{
    struct schedule_problem problem;
    size_t count = 0;
    assert_int_equal(OK, schedule_parse_exception(
                             slice_of(text), made->exceptions + made->schedule.exception_count,
                             ITEMS - made->schedule.exception_count, &count, &problem));
    made->schedule.exceptions = made->exceptions;
    made->schedule.exception_count += count;
}

/* "2026-11-23 09:00" by the clock of the zone; the first, where it comes twice. */
static int64_t local_ms(const struct zone *zone, const char *text)
{
    int year, month, day, hour, minute;
    int64_t utc_s[2];

    assert_int_equal(5, sscanf(text, "%d-%d-%d %d:%d", &year, &month, &day, &hour, &minute));
    assert_true(
        zone_utc_of_local(zone, second_of(year, (unsigned)month, day, hour, minute), utc_s) > 0);
    return utc_s[0] * 1000;
}

/* "open hours", "closed day", ... */
static const char *state_at(const struct made *made, const struct zone *zone, int64_t at_ms)
{
    static const char *const why[] = {"", "hours", "day", "exception", "force"};
    static char text[32];
    struct schedule_state state = schedule_state_at(&made->schedule, zone, at_ms);

    snprintf(text, sizeof text, "%s %s", state.open ? "open" : "closed", why[state.why]);
    return text;
}

/* That of the contract. */
static void shop(struct made *made)
{
    *made = (struct made){0};
    open_at(made, "MO-FR 09:00-12:00 13:00-17:30");
    open_at(made, "SA 10:00-14:00");
    open_at(made, "FR 22:00-02:00");
    closed_at(made, "2026-12-25");
    closed_at(made, "12-31");
    except_at(made, "2026-12-24 09:00-12:00");
}

static void a_shop_is_open_when_its_door_says_so(void **state)
{
    static const struct {
        const char *at, *is;
    } cases[] = {
        {"2026-11-23 08:59", "closed hours"}, /* a Monday */
        {"2026-11-23 09:00", "open hours"},
        {"2026-11-23 11:59", "open hours"},
        {"2026-11-23 12:00", "closed hours"},
        {"2026-11-23 17:29", "open hours"},
        {"2026-11-23 17:30", "closed hours"},
        {"2026-11-27 21:59", "closed hours"}, /* Friday night */
        {"2026-11-27 22:00", "open hours"},
        {"2026-11-28 00:00", "open hours"},
        {"2026-11-28 01:59", "open hours"},
        {"2026-11-28 02:00", "closed hours"},
        {"2026-11-28 10:00", "open hours"},
        {"2026-11-29 12:00", "closed hours"}, /* Sunday */
        {"2026-12-24 10:00", "open exception"},
        {"2026-12-24 14:00", "closed exception"},
        {"2026-12-25 10:00", "closed day"}, /* a Friday: its night is closed, too */
        {"2026-12-25 23:00", "closed day"},
        {"2026-12-26 01:00", "closed hours"},
        {"2026-12-26 11:00", "open hours"},
        {"2027-12-25 11:00", "open hours"}, /* a Saturday of another year */
        {"2026-12-31 10:00", "closed day"},
        {"2027-12-31 10:00", "closed day"}, /* a Friday */
        {"2028-01-01 01:00", "closed hours"},
    };
    struct zone *zone = zone_named("America/Los_Angeles");
    struct made made;
    (void)state;

    shop(&made);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (strcmp(cases[i].is, state_at(&made, zone, local_ms(zone, cases[i].at))) != 0)
            fail_msg("%s: %s, not %s", cases[i].at,
                     state_at(&made, zone, local_ms(zone, cases[i].at)), cases[i].is);
    zone_free(zone);
}

static void a_night_goes_on_into_a_closed_day(void **state)
{
    struct zone *zone = zone_named("Europe/Berlin");
    struct made made;
    (void)state;

    shop(&made);
    closed_at(&made, "2026-11-28"); /* a Saturday */
    assert_string_equal("open hours", state_at(&made, zone, local_ms(zone, "2026-11-28 01:00")));
    assert_string_equal("closed day", state_at(&made, zone, local_ms(zone, "2026-11-28 11:00")));
    zone_free(zone);
}

static void an_exception_goes_before_a_closed_day_and_its_year_before_every(void **state)
{
    struct zone *zone = zone_named("UTC");
    struct made made;
    (void)state;

    shop(&made);
    except_at(&made, "12-31 10:00-11:00");
    except_at(&made, "2026-12-31 15:00-16:00 20:00-01:00");
    assert_string_equal("closed exception",
                        state_at(&made, zone, local_ms(zone, "2026-12-31 10:30")));
    assert_string_equal("open exception",
                        state_at(&made, zone, local_ms(zone, "2026-12-31 15:30")));
    assert_string_equal("open exception",
                        state_at(&made, zone, local_ms(zone, "2027-01-01 00:30")));
    assert_string_equal("open exception",
                        state_at(&made, zone, local_ms(zone, "2027-12-31 10:30")));
    zone_free(zone);
}

static void what_is_forced_lasts_until_its_time(void **state)
{
    struct zone *zone = zone_named("UTC");
    struct made made;
    int64_t until_ms = local_ms(zone, "2026-11-23 10:00");
    (void)state;

    shop(&made);
    made.schedule.forced = SCHEDULE_FORCED_CLOSED;
    made.schedule.forced_until_ms = until_ms;
    assert_string_equal("closed force", state_at(&made, zone, until_ms - 1));
    assert_string_equal("open hours", state_at(&made, zone, until_ms));
    assert_true(schedule_next_change_ms(&made.schedule, zone, until_ms - 5000, 7) == until_ms);
    made.schedule.forced = SCHEDULE_FORCED_OPEN;
    assert_string_equal("open force", state_at(&made, zone, local_ms(zone, "2026-11-22 03:00")));
    /* It is open afterwards, too, so the change is the end of the hours. */
    assert_true(schedule_next_change_ms(&made.schedule, zone, until_ms - 5000, 7) ==
                local_ms(zone, "2026-11-23 12:00"));
    made.schedule.forced_until_ms = INT64_MAX;
    assert_true(schedule_next_change_ms(&made.schedule, zone, until_ms, 400) == INT64_MAX);
    zone_free(zone);
}

/* ---- when clocks are changed ---- */

static void hours_are_those_of_the_wall_clock(void **state)
{
    /* Zone, the day of the change, what is open, and for how many minutes it is that day. */
    static const struct {
        const char *zone, *day, *open;
        int minutes;
    } cases[] = {
        {"America/New_York", "2026-03-08", "SU 01:00-04:00", 120}, /* 02:00 to 03:00 is skipped */
        {"America/New_York", "2026-11-01", "SU 01:00-02:00", 120}, /* comes twice */
        {"America/New_York", "2026-11-01", "SU 00:00-24:00", 1500},
        {"Europe/Berlin", "2026-03-29", "SU 02:15-02:45", 0}, /* was never */
        {"Europe/Berlin", "2026-03-29", "SU 00:00-24:00", 1380},
        {"Europe/Berlin", "2026-10-25", "SU 02:30-03:30", 90},
        {"Australia/Lord_Howe", "2026-10-04", "SU 00:00-24:00", 1410}, /* half an hour */
        {"Australia/Lord_Howe", "2026-04-05", "SU 01:30-02:00", 60},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct zone *zone = zone_named(cases[i].zone);
        struct made made = {0};
        char noon[32];
        int open = 0;
        open_at(&made, cases[i].open);
        snprintf(noon, sizeof noon, "%s 12:00", cases[i].day);
        int64_t at_ms = local_ms(zone, noon) - (int64_t)DAY_S * 1000;
        for (int minute = 0; minute < 2 * DAY_MINUTES; minute++)
            open += schedule_state_at(&made.schedule, zone, at_ms + (int64_t)minute * 60000).open;
        if (open != cases[i].minutes)
            fail_msg("%s on %s in %s: open for %d minutes, not %d", cases[i].open, cases[i].day,
                     cases[i].zone, open, cases[i].minutes);
        zone_free(zone);
    }
}

/* ---- the next change, against looking at each minute ---- */

static void make_schedule(struct rng *rng, struct made *made, int32_t first)
{
    static const char *const days[] = {"MO-FR", "SA,SU", "SU", "FR-MO", "WE", "MO-SU"};
    char text[64];

    memset(made, 0, sizeof *made);
    for (uint64_t i = rng_below(rng, 4); i > 0; i--) {
        unsigned from = (unsigned)rng_below(rng, 24 * 4) * 15;
        unsigned to = (from + 15 + (unsigned)rng_below(rng, 23 * 4) * 15) % DAY_MINUTES;
        snprintf(text, sizeof text, "%s %02u:%02u-%02u:%02u", days[rng_below(rng, COUNT_OF(days))],
                 from / 60, from % 60, to / 60, to % 60);
        open_at(made, text);
    }
    for (uint64_t i = rng_below(rng, 3); i > 0; i--) {
        struct civil day = civil_of_days(first + (int32_t)rng_below(rng, 10));
        snprintf(text, sizeof text, "%04d-%02d-%02d", (int)day.year, day.month, day.day);
        if (rng_below(rng, 2) == 0) {
            closed_at(made, text + (rng_below(rng, 2) == 0 ? 5 : 0));
            continue;
        }
        char line[64];
        snprintf(line, sizeof line, "%.10s 00:30-03:15 20:00-02:30", text);
        except_at(made, line);
    }
}

static void the_next_change_is_the_first_minute_that_is_otherwise(void **state)
{
    static const struct {
        const char *zone, *begin;
    } places[] = {
        {"America/New_York", "2026-03-03 00:00"},    {"America/New_York", "2026-10-28 00:00"},
        {"Europe/Berlin", "2026-03-25 00:00"},       {"Europe/Berlin", "2026-10-22 00:00"},
        {"Australia/Lord_Howe", "2026-10-01 00:00"}, {"Asia/Kathmandu", "2026-12-28 00:00"},
    };
    struct rng rng;
    (void)state;

    rng_seed(&rng, 8);
    for (unsigned run = 0; run < 300; run++) {
        size_t place = rng_below(&rng, COUNT_OF(places));
        struct zone *zone = zone_named(places[place].zone);
        int64_t begin_ms = local_ms(zone, places[place].begin), from_ms = begin_ms;
        struct made made;
        make_schedule(&rng, &made, civil_day_of(begin_ms / 1000));
        bool open = schedule_state_at(&made.schedule, zone, begin_ms).open;
        int64_t next_ms = schedule_next_change_ms(&made.schedule, zone, begin_ms, 30);
        for (unsigned minute = 1; minute < 9 * DAY_MINUTES; minute++) {
            int64_t at_ms = begin_ms + (int64_t)minute * 60000;
            bool now = schedule_state_at(&made.schedule, zone, at_ms).open;
            if ((now != open) != (at_ms == next_ms))
                fail_msg("run %u, %s: minute %u is %s, the change was to be at %lld, not %lld", run,
                         places[place].zone, minute, now ? "open" : "closed", (long long)next_ms,
                         (long long)at_ms);
            if (now == open)
                continue;
            open = now;
            from_ms = at_ms + (int64_t)rng_below(&rng, 60000);
            next_ms = schedule_next_change_ms(&made.schedule, zone, from_ms, 30);
        }
        zone_free(zone);
    }
}

static void what_never_changes_has_no_next_change(void **state)
{
    struct zone *zone = zone_named("Europe/London");
    struct made made = {0};
    int64_t now_ms = local_ms(zone, "2026-11-23 09:00");
    (void)state;

    assert_string_equal("closed hours", state_at(&made, zone, now_ms)); /* no hours at all */
    assert_true(schedule_next_change_ms(&made.schedule, zone, now_ms, 400) == INT64_MAX);
    open_at(&made, "mo-su 00:00-24:00");
    assert_true(schedule_next_change_ms(&made.schedule, zone, now_ms, 400) == INT64_MAX);
    closed_at(&made, "12-25");
    assert_true(schedule_next_change_ms(&made.schedule, zone, now_ms, 400) ==
                local_ms(zone, "2026-12-25 00:00"));
    assert_true(schedule_next_change_ms(&made.schedule, zone, now_ms, 7) == INT64_MAX);
    zone_free(zone);
}

/* ---- texts ---- */

static void texts_that_are_wrong_say_what_and_where(void **state)
{
    static const struct {
        char kind;
        const char *text, *what, *where;
    } cases[] = {
        {'o', "", "is not days", ""},
        {'o', "MO", "has no hours", "MO"},
        {'o', "XX 09:00-10:00", "is not days", "XX"},
        {'o', "MO- 09:00-10:00", "is not days", "MO-"},
        {'o', "MO,,TU 09:00-10:00", "is not days", "MO,,TU"},
        {'o', "MO 9:00-10:00", "is not hours", "9:00-10:00"},
        {'o', "MO 09:00", "is not hours", "09:00"},
        {'o', "MO 09:60-10:00", "is not hours", "09:60-10:00"},
        {'o', "MO 09:00-24:01", "is not hours", "09:00-24:01"},
        {'o', "MO 09:00-10:00x", "is not hours", "09:00-10:00x"},
        {'o', "MO 09:00-12:00 24:00-01:00", "begins at 24:00", "24:00-01:00"},
        {'o', "MO 09:00-09:00", "ends when it begins", "09:00-09:00"},
        {'c', "2026-02-29", "does not exist", "2026-02-29"},
        {'c', "13-01", "does not exist", "13-01"},
        {'c', "25.12.2026", "is not a day", "25.12.2026"},
        {'c', "2026-12-25 ", "is not a day", "2026-12-25 "},
        {'c', "", "is not a day", ""},
        {'e', "2026-12-24", "has no hours", "2026-12-24"},
        {'e', "2026-12-32 09:00-10:00", "does not exist", "2026-12-32"},
        {'e', "2026-12-24 noon", "is not hours", "noon"},
    };
    struct schedule_hours hours[8];
    struct schedule_exception exceptions[8];
    struct schedule_date date;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct schedule_problem problem = {"", SLICE_EMPTY};
        struct slice text = slice_of(cases[i].text);
        size_t count;
        enum err err = cases[i].kind == 'o' ? schedule_parse_open(text, hours, 8, &count, &problem)
                       : cases[i].kind == 'c'
                           ? schedule_parse_closed(text, &date, &problem)
                           : schedule_parse_exception(text, exceptions, 8, &count, &problem);
        assert_int_equal(ERR_SYNTAX, err);
        if (strstr(problem.what, cases[i].what) == NULL ||
            !slice_equal(problem.where, slice_of(cases[i].where)))
            fail_msg("\"%s\": \"%.*s\" %s", cases[i].text, SLICE_ARG(problem.where), problem.what);
    }
}

static void texts_are_read_as_people_write_them(void **state)
{
    struct schedule_problem problem;
    struct schedule_hours hours[16];
    struct schedule_date date;
    size_t count;
    (void)state;

    assert_int_equal(OK, schedule_parse_open(SLICE("  sa-MO  22:00-06:30   06:30-07:00 "), hours,
                                             16, &count, &problem));
    assert_int_equal(6, count); /* MO, SA, SU, twice */
    assert_int_equal(MONDAY, hours[0].weekday);
    assert_int_equal(SUNDAY, hours[2].weekday);
    assert_int_equal(22 * 60, hours[0].span.from);
    assert_int_equal(DAY_MINUTES + 6 * 60 + 30, hours[0].span.to);
    assert_int_equal(ERR_FULL, schedule_parse_open(SLICE("MO-SU 09:00-10:00 11:00-12:00"), hours,
                                                   13, &count, &problem));
    assert_int_equal(OK, schedule_parse_closed(SLICE("02-29"), &date, &problem));
    assert_int_equal(-1, date.year);
    assert_int_equal(OK, schedule_parse_closed(SLICE("2028-02-29"), &date, &problem));
    assert_int_equal(2028, date.year);
}

static void hours_that_overlap_are_found(void **state)
{
    static const struct {
        const char *one, *other;
        bool overlap;
    } cases[] = {
        {"MO 09:00-12:00", "MO 12:00-13:00", false},   {"MO 09:00-12:00", "MO 11:59-13:00", true},
        {"MO 09:00-12:00", "TU 09:00-12:00", false},   {"MO 22:00-02:00", "TU 01:00-03:00", true},
        {"MO 22:00-02:00", "TU 02:00-03:00", false},   {"SU 22:00-02:00", "MO 01:00-03:00", true},
        {"MO 01:00-03:00", "SU 22:00-02:00", true},    {"SU 22:00-02:00", "MO 02:00-03:00", false},
        {"MO-FR 09:00-17:00", "WE 10:00-11:00", true},
    };
    size_t one, other;
    struct made made;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        made = (struct made){0};
        open_at(&made, cases[i].one);
        open_at(&made, cases[i].other);
        if (schedule_open_overlap(&made.schedule, &one, &other) != cases[i].overlap)
            fail_msg("%s and %s", cases[i].one, cases[i].other);
    }
    made = (struct made){0};
    except_at(&made, "2026-12-24 09:00-12:00 12:00-13:00");
    except_at(&made, "12-24 09:00-12:00"); /* of every year: the other one goes before */
    except_at(&made, "2027-12-24 09:00-12:00");
    assert_false(schedule_exceptions_overlap(&made.schedule, &one, &other));
    except_at(&made, "2026-12-24 12:30-14:00");
    assert_true(schedule_exceptions_overlap(&made.schedule, &one, &other));
    assert_int_equal(1, one);
    assert_int_equal(4, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shop_is_open_when_its_door_says_so),
        cmocka_unit_test(a_night_goes_on_into_a_closed_day),
        cmocka_unit_test(an_exception_goes_before_a_closed_day_and_its_year_before_every),
        cmocka_unit_test(what_is_forced_lasts_until_its_time),
        cmocka_unit_test(hours_are_those_of_the_wall_clock),
        cmocka_unit_test(the_next_change_is_the_first_minute_that_is_otherwise),
        cmocka_unit_test(what_never_changes_has_no_next_change),
        cmocka_unit_test(texts_that_are_wrong_say_what_and_where),
        cmocka_unit_test(texts_are_read_as_people_write_them),
        cmocka_unit_test(hours_that_overlap_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
