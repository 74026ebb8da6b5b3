/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar/schedule.h"

#include "calendar/calendar.h"

enum {
    WEEK_MINUTES = 7 * DAY_MINUTES,
    LEAP_YEAR = 2000 /* in which each day of any year is one */
};

/* ---- one day ---- */

/* What a day's hours come from. */
enum day_kind {
    DAY_OF_WEEK = 1,
    DAY_CLOSED,
    DAY_EXCEPTION,        /* of every year */
    DAY_EXCEPTION_OF_YEAR /* of this one, which goes before */
};

static bool is_date(const struct schedule_date *date, const struct civil *day)
{
    return (date->year < 0 || date->year == day->year) && date->month == day->month &&
           date->day == day->day;
}

/* An exception goes before a closed day: it says more. */
static enum day_kind kind_of_day(const struct schedule *schedule, const struct civil *day)
{
    enum day_kind kind = DAY_OF_WEEK;

    for (size_t i = 0; i < schedule->exception_count; i++) {
        const struct schedule_date *date = &schedule->exceptions[i].date;
        if (!is_date(date, day))
            continue;
        if (date->year >= 0)
            return DAY_EXCEPTION_OF_YEAR;
        kind = DAY_EXCEPTION;
    }
    for (size_t i = 0; i < schedule->closed_count && kind == DAY_OF_WEEK; i++)
        if (is_date(&schedule->closed[i], day))
            kind = DAY_CLOSED;
    return kind;
}

/* A day, and what it is walked by. */
struct day {
    enum day_kind kind;
    struct civil civil;
    enum weekday weekday;
    size_t next;
};

static struct day day_of(const struct schedule *schedule, int32_t days)
{
    struct day day = {.civil = civil_of_days(days), .weekday = civil_weekday(days)};

    day.kind = kind_of_day(schedule, &day.civil);
    return day;
}

/* The next span of a day; false: there is none. */
static bool next_span(const struct schedule *schedule, struct day *day, struct schedule_span *out)
{
    if (day->kind == DAY_CLOSED)
        return false;
    if (day->kind == DAY_OF_WEEK) {
        while (day->next < schedule->open_count) {
            const struct schedule_hours *hours = &schedule->open[day->next++];
            if (hours->weekday == day->weekday) {
                *out = hours->span;
                return true;
            }
        }
        return false;
    }
    while (day->next < schedule->exception_count) {
        const struct schedule_exception *exception = &schedule->exceptions[day->next++];
        bool of_year = exception->date.year >= 0;
        if (is_date(&exception->date, &day->civil) &&
            of_year == (day->kind == DAY_EXCEPTION_OF_YEAR)) {
            *out = exception->span;
            return true;
        }
    }
    return false;
}

static bool day_has(const struct schedule *schedule, struct day day, int32_t minute)
{
    struct schedule_span span;

    while (next_span(schedule, &day, &span))
        if (minute >= span.from && minute < span.to)
            return true;
    return false;
}

static enum schedule_why why_of(const struct day *day)
{
    switch (day->kind) {
    case DAY_CLOSED:
        return SCHEDULE_BY_CLOSED_DAY;
    case DAY_EXCEPTION:
    case DAY_EXCEPTION_OF_YEAR:
        return SCHEDULE_BY_EXCEPTION;
    case DAY_OF_WEEK:
        break;
    }
    return SCHEDULE_BY_HOURS;
}

/* ---- a time ---- */

static int64_t floor_seconds(int64_t ms)
{
    return ms / 1000 - (ms % 1000 < 0);
}

static bool is_forced(const struct schedule *schedule, int64_t at_ms)
{
    return schedule->forced != SCHEDULE_FREE && at_ms < schedule->forced_until_ms;
}

struct schedule_state schedule_state_at(const struct schedule *schedule, const struct zone *zone,
                                        int64_t at_ms)
{
    if (is_forced(schedule, at_ms))
        return (struct schedule_state){schedule->forced == SCHEDULE_FORCED_OPEN, SCHEDULE_BY_FORCE};

    int64_t utc_s = floor_seconds(at_ms);
    int64_t local_s = utc_s + zone_offset_s(zone, utc_s);
    int32_t days = civil_day_of(local_s);
    int32_t minute = (int32_t)((local_s - (int64_t)days * DAY_S) / 60);
    struct day night = day_of(schedule, days - 1), today = day_of(schedule, days);

    if (day_has(schedule, night, minute + DAY_MINUTES))
        return (struct schedule_state){true, why_of(&night)};
    return (struct schedule_state){day_has(schedule, today, minute), why_of(&today)};
}

/* ---- the next change ---- */

/** The earliest time at which the state is another one. */
struct search {
    const struct schedule *schedule;
    const struct zone *zone;
    int64_t from_ms, best_ms;
    bool open; /* what it is until then */
};

static void try_ms(struct search *search, int64_t at_ms)
{
    if (at_ms > search->from_ms && at_ms < search->best_ms &&
        schedule_state_at(search->schedule, search->zone, at_ms).open != search->open)
        search->best_ms = at_ms;
}

/* A minute of a local day: whenever the clock shows it. */
static void try_minute(struct search *search, int32_t days, int32_t minute)
{
    int64_t utc_s[2];
    unsigned count =
        zone_utc_of_local(search->zone, (int64_t)days * DAY_S + (int64_t)minute * 60, utc_s);

    for (unsigned i = 0; i < count; i++)
        try_ms(search, utc_s[i] * 1000);
}

static void try_day(struct search *search, int32_t days)
{
    struct day day = day_of(search->schedule, days);
    struct schedule_span span;

    while (next_span(search->schedule, &day, &span)) {
        try_minute(search, days, span.from);
        try_minute(search, days, span.to);
    }
}

/*
 * Between a beginning or an end of hours, a change of the zone, and the end of what is forced,
 * nothing changes. Hours begin within their day, and end on the next at the latest; so what is
 * found on a day is the earliest once the day after it, which may end what began before, is done.
 */
int64_t schedule_next_change_ms(const struct schedule *schedule, const struct zone *zone,
                                int64_t from_ms, unsigned days)
{
    struct search search = {schedule, zone, from_ms, INT64_MAX,
                            schedule_state_at(schedule, zone, from_ms).open};
    int64_t begin_ms = from_ms;

    if (is_forced(schedule, from_ms)) {
        if (schedule->forced_until_ms == INT64_MAX)
            return INT64_MAX;
        begin_ms = schedule->forced_until_ms;
        try_ms(&search, begin_ms);
    }
    int64_t begin_s = floor_seconds(begin_ms);
    int64_t end_s = begin_s + (int64_t)days * DAY_S;
    int32_t first = civil_day_of(begin_s + zone_offset_s(zone, begin_s)) - 1;
    for (int64_t at_s = begin_s; (at_s = zone_next_change_s(zone, at_s)) < end_s;)
        try_ms(&search, at_s * 1000);
    for (int32_t day = first; day <= first + 2 + (int32_t)days; day++) {
        if (search.best_ms < ((int64_t)day - 2) * DAY_S * 1000)
            break;
        try_day(&search, day);
    }
    return search.best_ms;
}

/* ---- reading ---- */

static enum err wrong(struct schedule_problem *problem, const char *what, struct slice where)
{
    *problem = (struct schedule_problem){what, where};
    return ERR_SYNTAX;
}

static struct slice take_word(struct slice *rest)
{
    size_t begin = 0;

    while (begin < rest->len && rest->data[begin] == ' ')
        begin++;
    *rest = slice_from(*rest, begin);
    return slice_take_until(rest, ' ');
}

/* Digits, `count` of them. */
static bool read_digits(struct slice text, size_t at, size_t count, unsigned *out)
{
    unsigned value = 0;

    if (at + count > text.len)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (!ascii_is_digit(text.data[i]))
            return false;
        value = value * 10 + (unsigned)(text.data[i] - '0');
    }
    *out = value;
    return true;
}

/* "09:00" */
static bool read_minute(struct slice text, unsigned *out)
{
    unsigned hour, minute;

    if (text.len != 5 || text.data[2] != ':' || !read_digits(text, 0, 2, &hour) ||
        !read_digits(text, 3, 2, &minute) || minute > 59 || hour * 60 + minute > DAY_MINUTES)
        return false;
    *out = hour * 60 + minute;
    return true;
}

/* "09:00-17:30" */
static enum err read_span(struct slice word, struct schedule_span *out,
                          struct schedule_problem *problem)
{
    size_t dash = slice_find(word, '-');
    unsigned from, to;

    if (dash >= word.len || !read_minute((struct slice){word.data, dash}, &from) ||
        !read_minute(slice_from(word, dash + 1), &to))
        return wrong(problem, "is not hours such as 09:00-17:30", word);
    if (from == DAY_MINUTES)
        return wrong(problem, "begins at 24:00: write 00:00 of the next day", word);
    if (from == to)
        return wrong(problem, "ends when it begins: a whole day is 00:00-24:00", word);
    *out = (struct schedule_span){(uint16_t)from, (uint16_t)(to > from ? to : to + DAY_MINUTES)};
    return OK;
}

static bool read_weekday(struct slice text, unsigned *out)
{
    static const struct slice names[] = {{"MO", 2}, {"TU", 2}, {"WE", 2}, {"TH", 2},
                                         {"FR", 2}, {"SA", 2}, {"SU", 2}};

    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (slice_equal_nocase(text, names[i])) {
            *out = i;
            return true;
        }
    return false;
}

/* "MO-FR", "SA", "FR-MO": a bit for each day. */
static bool read_day_range(struct slice text, unsigned *days)
{
    size_t dash = slice_find(text, '-');
    unsigned first, last;

    if (!read_weekday((struct slice){text.data, dash < text.len ? dash : text.len}, &first))
        return false;
    last = first;
    if (dash < text.len && !read_weekday(slice_from(text, dash + 1), &last))
        return false;
    for (unsigned day = first;; day = (day + 1) % 7) {
        *days |= 1u << day;
        if (day == last)
            return true;
    }
}

/* "MO,WE-FR" */
static enum err read_days(struct slice word, unsigned *days, struct schedule_problem *problem)
{
    struct slice rest = word;

    *days = 0;
    for (;;) {
        struct slice part = slice_take_until(&rest, ',');
        if (!read_day_range(part, days))
            return wrong(problem, "is not days such as MO-FR or SA,SU", word);
        if (rest.len == 0)
            return OK;
        rest = slice_from(rest, 1);
    }
}

enum err schedule_parse_open(struct slice text, struct schedule_hours *out, size_t max,
                             size_t *count, struct schedule_problem *problem)
{
    struct slice rest = text;
    struct schedule_span span;
    unsigned days;
    size_t made = 0;

    enum err err = read_days(take_word(&rest), &days, problem);
    if (err)
        return err;
    for (struct slice word; (word = take_word(&rest)).len > 0;) {
        err = read_span(word, &span, problem);
        if (err)
            return err;
        for (unsigned day = 0; day < 7; day++) {
            if ((days >> day & 1) == 0)
                continue;
            if (made == max)
                return ERR_FULL;
            out[made++] = (struct schedule_hours){(uint8_t)day, span};
        }
    }
    if (made == 0)
        return wrong(problem, "has no hours: days are followed by such as 09:00-17:30", text);
    *count = made;
    return OK;
}

enum err schedule_parse_closed(struct slice text, struct schedule_date *out,
                               struct schedule_problem *problem)
{
    bool of_year = text.len == 10;
    size_t at = of_year ? 5 : 0;
    unsigned year = LEAP_YEAR, month, day;

    if ((!of_year && text.len != 5) ||
        (of_year && (!read_digits(text, 0, 4, &year) || text.data[4] != '-')) ||
        !read_digits(text, at, 2, &month) || text.data[at + 2] != '-' ||
        !read_digits(text, at + 3, 2, &day))
        return wrong(problem, "is not a day such as 2026-12-25, or 12-25 for every year", text);
    if (!civil_is_date((int32_t)year, month, day))
        return wrong(problem, "is a day that does not exist", text);
    *out = (struct schedule_date){
        .year = (int16_t)(of_year ? (int)year : -1), .month = (uint8_t)month, .day = (uint8_t)day};
    return OK;
}

enum err schedule_parse_exception(struct slice text, struct schedule_exception *out, size_t max,
                                  size_t *count, struct schedule_problem *problem)
{
    struct slice rest = text;
    struct schedule_date date;
    size_t made = 0;

    enum err err = schedule_parse_closed(take_word(&rest), &date, problem);
    if (err)
        return err;
    for (struct slice word; (word = take_word(&rest)).len > 0;) {
        struct schedule_span span;
        err = read_span(word, &span, problem);
        if (err)
            return err;
        if (made == max)
            return ERR_FULL;
        out[made++] = (struct schedule_exception){date, span};
    }
    if (made == 0)
        return wrong(problem, "has no hours: a day without any belongs to the closed ones", text);
    *count = made;
    return OK;
}

/* ---- overlaps ---- */

static bool spans_meet(unsigned from, unsigned to, unsigned other_from, unsigned other_to)
{
    return from < other_to && other_from < to;
}

static unsigned minute_of_week(const struct schedule_hours *hours)
{
    return (unsigned)hours->weekday * DAY_MINUTES + hours->span.from;
}

/* By minutes of the week, which is a circle. */
static bool hours_overlap(const struct schedule_hours *a, const struct schedule_hours *b)
{
    unsigned from = minute_of_week(a), to = from + (unsigned)(a->span.to - a->span.from);
    unsigned other_from = minute_of_week(b);
    unsigned other_to = other_from + (unsigned)(b->span.to - b->span.from);

    return spans_meet(from, to, other_from, other_to) ||
           spans_meet(from, to, other_from + WEEK_MINUTES, other_to + WEEK_MINUTES) ||
           spans_meet(from + WEEK_MINUTES, to + WEEK_MINUTES, other_from, other_to);
}

bool schedule_open_overlap(const struct schedule *schedule, size_t *one, size_t *other)
{
    for (size_t i = 0; i < schedule->open_count; i++)
        for (size_t k = i + 1; k < schedule->open_count; k++)
            if (hours_overlap(&schedule->open[i], &schedule->open[k])) {
                *one = i;
                *other = k;
                return true;
            }
    return false;
}

static bool exceptions_overlap(const struct schedule_exception *a,
                               const struct schedule_exception *b)
{
    return a->date.year == b->date.year && a->date.month == b->date.month &&
           a->date.day == b->date.day &&
           spans_meet(a->span.from, a->span.to, b->span.from, b->span.to);
}

bool schedule_exceptions_overlap(const struct schedule *schedule, size_t *one, size_t *other)
{
    for (size_t i = 0; i < schedule->exception_count; i++)
        for (size_t k = i + 1; k < schedule->exception_count; k++)
            if (exceptions_overlap(&schedule->exceptions[i], &schedule->exceptions[k])) {
                *one = i;
                *other = k;
                return true;
            }
    return false;
}
