/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Years are counted from March on, so that the day that leap years have more is a year's last, and
 * the days before each month follow one formula; 400 years are one cycle of the same length.
 */
#include "calendar/calendar.h"

enum {
    CYCLE_YEARS = 400,
    CYCLE_DAYS = 146097,
    EPOCH_DAYS = 719468 /* from 0000-03-01 to 1970-01-01 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

bool civil_is_leap(int32_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

bool civil_is_date(int32_t year, unsigned month, unsigned day)
{
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (year < 0 || year > CIVIL_YEAR_MAX || month < 1 || month > 12 || day < 1)
        return false;
    return day <= lengths[month - 1] + (month == 2 && civil_is_leap(year) ? 1u : 0u);
}

int32_t civil_days(int32_t year, unsigned month, int32_t day)
{
    int32_t from_march = month > 2 ? (int32_t)month - 3 : (int32_t)month + 9;
    int32_t y = month > 2 ? year : year - 1;
    int32_t cycle = (int32_t)floor_div(y, CYCLE_YEARS);
    int32_t in_cycle = y - cycle * CYCLE_YEARS;
    int32_t in_year = (153 * from_march + 2) / 5 + day - 1;

    return cycle * CYCLE_DAYS + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year -
           EPOCH_DAYS;
}

struct civil civil_of_days(int32_t days)
{
    int64_t from_start = (int64_t)days + EPOCH_DAYS;
    int32_t cycle = (int32_t)floor_div(from_start, CYCLE_DAYS);
    int32_t d = (int32_t)(from_start - (int64_t)cycle * CYCLE_DAYS);
    int32_t in_cycle = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int32_t in_year = d - (365 * in_cycle + in_cycle / 4 - in_cycle / 100);
    int32_t from_march = (5 * in_year + 2) / 153;
    int32_t month = from_march < 10 ? from_march + 3 : from_march - 9;

    return (struct civil){
        .year = cycle * CYCLE_YEARS + in_cycle + (month <= 2),
        .month = (uint8_t)month,
        .day = (uint8_t)(in_year - (153 * from_march + 2) / 5 + 1),
    };
}

enum weekday civil_weekday(int32_t days)
{
    int64_t from_monday = (int64_t)days + THURSDAY; /* 1970-01-01 was one */
    return (enum weekday)(from_monday - floor_div(from_monday, 7) * 7);
}

int32_t civil_day_of(int64_t seconds)
{
    return (int32_t)floor_div(seconds, DAY_S);
}
