/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calendar - what the clock on a wall shows, in any zone, and what is open then.
 *
 * This header has days as people count them: the Gregorian calendar, also before it was made, by
 * plain arithmetic on days since 1970-01-01. zone.h has how far local time is from UTC, schedule.h
 * opening hours.
 *
 * Thread:  pure; what it makes is immutable.
 * Public headers: calendar.h zone.h schedule.h
 */
#ifndef CALENDAR_CALENDAR_H
#define CALENDAR_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CIVIL_YEAR_MAX = 9999, /* as RFC 3339 §5.6 writes years; the first is 0 */
    DAY_S = 86400,
    DAY_MINUTES = 1440,
};

struct civil {
    int32_t year;
    uint8_t month; /* 1 to 12 */
    uint8_t day;   /* 1 to 31 */
};

enum weekday {
    MONDAY = 0,
    TUESDAY,
    WEDNESDAY,
    THURSDAY,
    FRIDAY,
    SATURDAY,
    SUNDAY
};

/** Is there such a day, in a year from 0 to CIVIL_YEAR_MAX? */
bool civil_is_date(int32_t year, unsigned month, unsigned day);

bool civil_is_leap(int32_t year);

/** Days since 1970-01-01 of a date; the month from 1 to 12, any day counted on from its first. */
int32_t civil_days(int32_t year, unsigned month, int32_t day);

struct civil civil_of_days(int32_t days);

enum weekday civil_weekday(int32_t days);

/** The day that a second belongs to, seconds and days since 1970-01-01 00:00 of the same clock. */
int32_t civil_day_of(int64_t seconds);

#endif
