/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIP-date (RFC 3261 §20.17): "Sat, 13 Nov 2010 23:29:00 GMT", always GMT.
 */
#include "sip/lex.h"

enum {
    DAY_SECONDS = 86400,
    YEAR_MIN = 1970,
    YEAR_MAX = 9999
};

#define SECONDS_MAX UINT64_C(253402300799) /* the last of YEAR_MAX: a year has four digits */

static const char *const day_names[7] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
static const char *const month_names[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 1 && is_leap(year) ? 29 : days[month];
}

/** Days from 1970-01-01 to the first day of a year. */
static uint64_t days_before_year(unsigned year)
{
    unsigned before = year - 1;
    return UINT64_C(365) * (year - YEAR_MIN) + (before / 4 - 1969 / 4) -
           (before / 100 - 1969 / 100) + (before / 400 - 1969 / 400);
}

static void add_two_digits(struct builder *b, unsigned number)
{
    builder_char(b, (char)('0' + number / 10 % 10));
    builder_char(b, (char)('0' + number % 10));
}

void sip_date_write(struct builder *b, uint64_t unix_ms)
{
    uint64_t seconds = unix_ms / 1000;
    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    uint64_t days = seconds / DAY_SECONDS;
    unsigned second = (unsigned)(seconds % DAY_SECONDS);

    unsigned year = (unsigned)(YEAR_MIN + days / 366);
    while (days_before_year(year + 1) <= days)
        year++;
    unsigned day = (unsigned)(days - days_before_year(year));
    unsigned month = 0;
    while (day >= month_days(year, month))
        day -= month_days(year, month++);

    builder_add(b, slice_of(day_names[days % 7]));
    builder_text(b, ", ");
    add_two_digits(b, day + 1);
    builder_char(b, ' ');
    builder_add(b, slice_of(month_names[month]));
    builder_char(b, ' ');
    add_two_digits(b, year / 100);
    add_two_digits(b, year % 100);
    builder_char(b, ' ');
    add_two_digits(b, second / 3600);
    builder_char(b, ':');
    add_two_digits(b, second / 60 % 60);
    builder_char(b, ':');
    add_two_digits(b, second % 60);
    builder_text(b, " GMT");
}

/** Exactly `count` digits. */
static bool lex_digits(struct lex *lex, unsigned count, unsigned *out)
{
    unsigned value = 0;

    if (lex_left(lex) < count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!lex_is(lex->at[i], CH_DIGIT))
            return false;
        value = value * 10 + (unsigned)(lex->at[i] - '0');
    }
    lex->at += count;
    *out = value;
    return true;
}

/** Three letters of `names`, without case; gives their index. */
static bool lex_name(struct lex *lex, const char *const *names, unsigned count, unsigned *out)
{
    if (lex_left(lex) < 3)
        return false;
    struct slice text = {lex->at, 3};
    for (unsigned i = 0; i < count; i++) {
        if (slice_equal_nocase(text, slice_of(names[i]))) {
            lex->at += 3;
            *out = i;
            return true;
        }
    }
    return false;
}

/** hour ":" minute ":" second; a leap second is the next minute's first. */
static bool lex_time(struct lex *lex, unsigned *out)
{
    unsigned hour, minute, second;

    if (!lex_digits(lex, 2, &hour) || !lex_char(lex, ':') || !lex_digits(lex, 2, &minute) ||
        !lex_char(lex, ':') || !lex_digits(lex, 2, &second))
        return false;
    *out = hour * 3600 + minute * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

/*
 * rfc1123-date = wkday "," SP 2DIGIT SP month SP 4DIGIT SP time SP "GMT"
 */
enum err sip_date_parse(struct slice value, uint64_t *unix_ms)
{
    struct lex lex = lex_over(slice_trim(value));
    unsigned weekday, day, month, year, second;

    if (!lex_name(&lex, day_names, 7, &weekday) || !lex_separator(&lex, ','))
        return ERR_SYNTAX;
    if (!lex_digits(&lex, 2, &day) || !lex_char(&lex, ' '))
        return ERR_SYNTAX;
    if (!lex_name(&lex, month_names, 12, &month) || !lex_char(&lex, ' '))
        return ERR_SYNTAX;
    if (!lex_digits(&lex, 4, &year) || !lex_char(&lex, ' '))
        return ERR_SYNTAX;
    if (!lex_time(&lex, &second) || !lex_char(&lex, ' '))
        return ERR_SYNTAX;
    if (!slice_equal_nocase(slice_between(lex.at, lex.end), SLICE("GMT")))
        return ERR_SYNTAX;
    if (year < YEAR_MIN || year > YEAR_MAX || day == 0 || day > month_days(year, month))
        return ERR_SYNTAX;

    uint64_t days = days_before_year(year) + day - 1;
    for (unsigned m = 0; m < month; m++)
        days += month_days(year, m);
    *unix_ms = (days * DAY_SECONDS + second) * 1000;
    return OK;
}
