/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calendar/schedule - when a department is open: hours of the week, closed days, exceptions, and
 * what somebody has forced until a time.
 *
 * Hours are those of a clock on the wall, in a zone. An hour that comes twice when the clocks go
 * back counts twice, one that is skipped never comes. What goes on past midnight belongs to the day
 * it starts on: a day that is closed takes its night with it, and leaves the one before alone.
 *
 * Thread:  plain data, borrowed.   Memory: none.
 */
#ifndef CALENDAR_SCHEDULE_H
#define CALENDAR_SCHEDULE_H

#include "base/err.h"
#include "base/slice.h"
#include "calendar/zone.h"

/** From a minute of a day on, up to another: both after its midnight, the end past 1440 is on the
 * next day. from < to <= from + 1440. */
struct schedule_span {
    uint16_t from, to;
};

struct schedule_hours {
    uint8_t weekday; /* enum weekday */
    struct schedule_span span;
};

struct schedule_date {
    int16_t year; /* -1: every */
    uint8_t month, day;
};

/** Replaces the hours of its day; a day may have several. */
struct schedule_exception {
    struct schedule_date date;
    struct schedule_span span;
};

enum schedule_forced {
    SCHEDULE_FREE = 0,
    SCHEDULE_FORCED_OPEN,
    SCHEDULE_FORCED_CLOSED
};

/** Borrowed. */
struct schedule {
    const struct schedule_hours *open;
    const struct schedule_date *closed;
    const struct schedule_exception *exceptions;
    size_t open_count, closed_count, exception_count;
    enum schedule_forced forced;
    int64_t forced_until_ms; /* UTC; from then on it is free again; INT64_MAX: for good */
};

/** Why it is as it is. */
enum schedule_why {
    SCHEDULE_BY_HOURS = 1, /* of the week */
    SCHEDULE_BY_CLOSED_DAY,
    SCHEDULE_BY_EXCEPTION,
    SCHEDULE_BY_FORCE,
};

struct schedule_state {
    bool open;
    enum schedule_why why;
};

/** What is wrong with a text: a sentence's end, static, and where in it. */
struct schedule_problem {
    const char *what;
    struct slice where;
};

/** Open or closed at a time; looks at what there is, once. `at_ms`: UTC. */
struct schedule_state schedule_state_at(const struct schedule *schedule, const struct zone *zone,
                                        int64_t at_ms);

/**
 * When it will be otherwise, milliseconds of UTC; INT64_MAX: not within `days` days. Costs up to a
 * look for each beginning and end of those days: for people who ask, not for calls.
 */
int64_t schedule_next_change_ms(const struct schedule *schedule, const struct zone *zone,
                                int64_t from_ms, unsigned days);

/**
 * "MO-FR 09:00-12:00 13:00-17:30", "SA,SU 10:00-14:00", "FR 22:00-02:00". Days in any case of
 * letters, a range may go past Sunday; 24:00 is an end. ERR_SYNTAX with *problem; ERR_FULL: more
 * than `max`.
 */
MUST_CHECK enum err schedule_parse_open(struct slice text, struct schedule_hours *out, size_t max,
                                        size_t *count, struct schedule_problem *problem);

/** "2026-12-25", or "12-31" for every year. */
MUST_CHECK enum err schedule_parse_closed(struct slice text, struct schedule_date *out,
                                          struct schedule_problem *problem);

/** "2026-12-24 09:00-12:00 14:00-16:00", the day as in schedule_parse_closed(). */
MUST_CHECK enum err schedule_parse_exception(struct slice text, struct schedule_exception *out,
                                             size_t max, size_t *count,
                                             struct schedule_problem *problem);

/**
 * Do hours of the week, or exceptions of one date, overlap? Then their places in `open`, or in
 * `exceptions`; hours that only touch are well.
 */
bool schedule_open_overlap(const struct schedule *schedule, size_t *one, size_t *other);
bool schedule_exceptions_overlap(const struct schedule *schedule, size_t *one, size_t *other);

#endif
