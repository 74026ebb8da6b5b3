/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of a schedule, the first letter of each saying of what kind it is: what is read has sound
 * hours and dates, what is not says where, and the next change is one.
 */
#include <stdlib.h>

#include "calendar/calendar.h"
#include "calendar/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ITEMS = 32
};

/* UTC, as a file says it that has nothing but a rule for daylight saving time. */
static const char tzif[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\1\0\0\0\4\0\0\0\0\0\0LMT\0"
                           "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\1\0\0\0\4\0\0\0\0\0\0LMT\0"
                           "\nEST5EDT,M3.2.0,M11.1.0\n";

struct made {
    struct schedule_hours open[ITEMS];
    struct schedule_date closed[ITEMS];
    struct schedule_exception exceptions[ITEMS];
    struct schedule schedule;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_span(struct schedule_span span)
{
    require(span.from < span.to && span.from < DAY_MINUTES);
    require(span.to <= span.from + DAY_MINUTES);
}

static void require_date(struct schedule_date date)
{
    require(civil_is_date(date.year < 0 ? 2000 : date.year, date.month, date.day));
}

static void require_told(enum err err, struct slice line, const struct schedule_problem *problem)
{
    if (err != ERR_SYNTAX)
        return;
    require(problem->what != NULL);
    require(problem->where.data >= line.data);
    require(problem->where.data + problem->where.len <= line.data + line.len);
}

static void take_line(struct made *made, struct slice line)
{
    struct schedule *schedule = &made->schedule;
    struct schedule_problem problem = {0};
    size_t count = 0;
    enum err err;
    char kind = line.data[0];

    line = slice_from(line, 1);
    if (kind == 'o') {
        err = schedule_parse_open(line, made->open + schedule->open_count,
                                  ITEMS - schedule->open_count, &count, &problem);
        for (; err == OK && count > 0; count--)
            require_span(made->open[schedule->open_count++].span);
    } else if (kind == 'c') {
        if (schedule->closed_count == ITEMS)
            return;
        err = schedule_parse_closed(line, &made->closed[schedule->closed_count], &problem);
        if (err == OK)
            require_date(made->closed[schedule->closed_count++]);
    } else {
        err = schedule_parse_exception(line, made->exceptions + schedule->exception_count,
                                       ITEMS - schedule->exception_count, &count, &problem);
        for (; err == OK && count > 0; count--) {
            const struct schedule_exception *exception =
                &made->exceptions[schedule->exception_count++];
            require_date(exception->date);
            require_span(exception->span);
        }
    }
    require_told(err, line, &problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct made made = {0};
    struct slice rest = {(const char *)data, size};
    struct zone *zone;
    size_t one = 0, other = 0;

    made.schedule.open = made.open;
    made.schedule.closed = made.closed;
    made.schedule.exceptions = made.exceptions;
    while (rest.len > 0) {
        struct slice line = slice_take_until(&rest, '\n');
        rest = slice_from(rest, 1);
        if (line.len > 0)
            take_line(&made, line);
    }
    if (schedule_open_overlap(&made.schedule, &one, &other))
        require(one < other && other < made.schedule.open_count);
    if (schedule_exceptions_overlap(&made.schedule, &one, &other))
        require(one < other && other < made.schedule.exception_count);

    if (zone_open((struct slice){tzif, sizeof tzif - 1}, &zone) != OK)
        abort();
    int64_t now_ms = INT64_C(1793000000000); /* a week before a change of clocks */
    bool open = schedule_state_at(&made.schedule, zone, now_ms).open;
    int64_t next_ms = schedule_next_change_ms(&made.schedule, zone, now_ms, 20);
    require(next_ms > now_ms);
    if (next_ms != INT64_MAX) {
        require(schedule_state_at(&made.schedule, zone, next_ms).open != open);
        require(schedule_state_at(&made.schedule, zone, next_ms - 1).open == open);
    }
    zone_free(zone);
    return 0;
}
