/* SPDX-License-Identifier: Apache-2.0 */
#include "calendar/zone.h"

#include <stdlib.h>

#include "calendar/calendar.h"

enum {
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
    TYPES_MAX = 256,
    OFFSET_MAX_S = 26 * 3600, /* RFC 8536 §3.2: between -25 and +26 hours */
    HOUR_S = 3600,
    RULE_HOURS_MAX = 167, /* RFC 8536 §3.3.1: from -167 to 167 */
};

/** When in a year daylight saving time begins or ends, by the clock that is in force until then. */
struct rule_edge {
    enum edge_kind {
        EDGE_WEEKDAY = 1, /* Mm.w.d: weekday d (0 is Sunday), the w-th of month m, 5 the last */
        EDGE_JULIAN,      /* Jn: 1 to 365, February 29 is never counted */
        EDGE_DAY,         /* n: 0 to 365, it is counted */
    } kind;
    uint16_t day;
    uint8_t month, week;
    int32_t time_s;
};

struct rule {
    int32_t standard_s, daylight_s;
    bool has_daylight;
    struct rule_edge begin, end;
};

struct change {
    int64_t at_s;
    int32_t offset_s; /* from then on */
};

struct zone {
    int32_t first_s; /* the offset before all changes */
    bool has_rule;   /* after them; else the last one stays */
    struct rule rule;
    size_t count;
    struct change changes[];
};

/* ---- the rule of the footer (RFC 8536 §3.3, POSIX TZ) ---- */

/* The n-th weekday of a month, or its last one. */
static int32_t day_of_weekday(int32_t year, const struct rule_edge *edge)
{
    int32_t first = civil_days(year, edge->month, 1);
    unsigned next = edge->month % 12 + 1u;
    int32_t after = civil_days(year + (next == 1), next, 1);
    unsigned sunday_based = ((unsigned)civil_weekday(first) + 1) % 7;
    int32_t day = first + (int32_t)((edge->day + 7u - sunday_based) % 7) + 7 * (edge->week - 1);

    return day < after ? day : day - 7;
}

/* By the local clock, seconds since 1970. */
static int64_t edge_at(int32_t year, const struct rule_edge *edge)
{
    int32_t day = civil_days(year, 1, 1);

    switch (edge->kind) {
    case EDGE_WEEKDAY:
        day = day_of_weekday(year, edge);
        break;
    case EDGE_JULIAN:
        day += edge->day - 1 + (civil_is_leap(year) && edge->day >= 60);
        break;
    case EDGE_DAY:
        day += edge->day;
        break;
    }
    return (int64_t)day * DAY_S + edge->time_s;
}

static int64_t daylight_begins(const struct rule *rule, int32_t year)
{
    return edge_at(year, &rule->begin) - rule->standard_s;
}

static int64_t daylight_ends(const struct rule *rule, int32_t year)
{
    return edge_at(year, &rule->end) - rule->daylight_s;
}

/* The year that the rule is asked about: that of standard time. */
static int32_t rule_year(const struct rule *rule, int64_t utc_s)
{
    return civil_of_days(civil_day_of(utc_s + rule->standard_s)).year;
}

static int32_t rule_offset(const struct rule *rule, int64_t utc_s)
{
    if (!rule->has_daylight)
        return rule->standard_s;
    int32_t year = rule_year(rule, utc_s);
    int64_t begin = daylight_begins(rule, year), end = daylight_ends(rule, year);
    bool daylight = begin < end ? utc_s >= begin && utc_s < end : utc_s >= begin || utc_s < end;

    return daylight ? rule->daylight_s : rule->standard_s;
}

static int64_t rule_next(const struct rule *rule, int64_t utc_s)
{
    int64_t next = INT64_MAX;
    int32_t year = rule_year(rule, utc_s);

    for (int32_t y = year - 1; rule->has_daylight && y <= year + 1; y++) {
        int64_t begin = daylight_begins(rule, y), end = daylight_ends(rule, y);
        if (begin > utc_s && begin < next)
            next = begin;
        if (end > utc_s && end < next)
            next = end;
    }
    return next;
}

/* ---- reading the rule ---- */

static bool take_char(struct slice *rest, char c)
{
    if (rest->len == 0 || rest->data[0] != c)
        return false;
    *rest = slice_from(*rest, 1);
    return true;
}

static bool take_number(struct slice *rest, unsigned most, unsigned *out)
{
    unsigned value = 0;
    size_t digits = 0;

    while (digits < rest->len && digits < 4 && ascii_is_digit(rest->data[digits]))
        value = value * 10 + (unsigned)(rest->data[digits++] - '0');
    if (digits == 0 || value > most)
        return false;
    *rest = slice_from(*rest, digits);
    *out = value;
    return true;
}

/* "EST", "<+0330>": three characters at least. */
static bool take_name(struct slice *rest)
{
    bool quoted = take_char(rest, '<');
    size_t len = 0;

    while (len < rest->len && (ascii_is_letter(rest->data[len]) ||
                               (quoted && (ascii_is_digit(rest->data[len]) ||
                                           rest->data[len] == '+' || rest->data[len] == '-'))))
        len++;
    *rest = slice_from(*rest, len);
    return len >= 3 && (!quoted || take_char(rest, '>'));
}

/* "-3", "05:30", "2:00:00", signed as written. */
static bool take_time(struct slice *rest, unsigned hours_max, int32_t *out)
{
    unsigned hours, minutes = 0, seconds = 0;
    bool minus = take_char(rest, '-');

    if (!minus)
        (void)take_char(rest, '+');
    if (!take_number(rest, hours_max, &hours) ||
        (take_char(rest, ':') && (!take_number(rest, 59, &minutes) ||
                                  (take_char(rest, ':') && !take_number(rest, 59, &seconds)))))
        return false;
    int32_t value = (int32_t)(hours * HOUR_S + minutes * 60 + seconds);
    *out = minus ? -value : value;
    return true;
}

static bool take_weekday_edge(struct slice *rest, struct rule_edge *edge)
{
    unsigned month, week, day;

    if (!take_number(rest, 12, &month) || month == 0 || !take_char(rest, '.') ||
        !take_number(rest, 5, &week) || week == 0 || !take_char(rest, '.') ||
        !take_number(rest, 6, &day))
        return false;
    edge->kind = EDGE_WEEKDAY;
    edge->month = (uint8_t)month;
    edge->week = (uint8_t)week;
    edge->day = (uint16_t)day;
    return true;
}

/* ",M3.2.0", ",J60/1:30" */
static bool take_edge(struct slice *rest, struct rule_edge *edge)
{
    unsigned day;

    *edge = (struct rule_edge){.time_s = 2 * HOUR_S};
    if (!take_char(rest, ','))
        return false;
    if (take_char(rest, 'M')) {
        if (!take_weekday_edge(rest, edge))
            return false;
    } else {
        edge->kind = take_char(rest, 'J') ? EDGE_JULIAN : EDGE_DAY;
        if (!take_number(rest, 365, &day) || (edge->kind == EDGE_JULIAN && day == 0))
            return false;
        edge->day = (uint16_t)day;
    }
    return !take_char(rest, '/') || take_time(rest, RULE_HOURS_MAX, &edge->time_s);
}

/* Offsets there are west of Greenwich, ours east of it. */
static enum err rule_read(struct slice rest, struct rule *rule)
{
    int32_t west;

    *rule = (struct rule){0};
    if (!take_name(&rest) || !take_time(&rest, 24, &west))
        return ERR_SYNTAX;
    rule->standard_s = -west;
    if (rest.len == 0)
        return OK;
    if (!take_name(&rest))
        return ERR_SYNTAX;
    rule->has_daylight = true;
    rule->daylight_s = rule->standard_s + HOUR_S;
    if (rest.len > 0 && rest.data[0] != ',') {
        if (!take_time(&rest, 24, &west))
            return ERR_SYNTAX;
        rule->daylight_s = -west;
    }
    return take_edge(&rest, &rule->begin) && take_edge(&rest, &rule->end) && rest.len == 0
               ? OK
               : ERR_SYNTAX;
}

/* ---- reading the file ---- */

struct header {
    unsigned version;
    uint32_t utc_count, standard_count, leap_count, time_count, type_count, char_count;
};

static uint32_t read_u32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static int64_t read_i64(const char *at)
{
    return (int64_t)((uint64_t)read_u32(at) << 32 | read_u32(at + 4));
}

/* §3.1 */
static enum err take_header(struct slice *rest, struct header *out)
{
    if (rest->len < HEADER_BYTES || !slice_starts_with(*rest, SLICE("TZif")))
        return ERR_SYNTAX;
    struct slice bytes = slice_take(rest, HEADER_BYTES);
    unsigned char version = (unsigned char)bytes.data[4];
    if (version != 0 && (version < '2' || version > '9'))
        return ERR_SYNTAX;
    *out = (struct header){
        .version = version == 0 ? 1 : (unsigned)(version - '0'),
        .utc_count = read_u32(bytes.data + 20),
        .standard_count = read_u32(bytes.data + 24),
        .leap_count = read_u32(bytes.data + 28),
        .time_count = read_u32(bytes.data + 32),
        .type_count = read_u32(bytes.data + 36),
        .char_count = read_u32(bytes.data + 40),
    };
    if (out->time_count > ZONE_CHANGES_MAX || out->type_count > TYPES_MAX ||
        out->utc_count > TYPES_MAX || out->standard_count > TYPES_MAX ||
        out->leap_count > ZONE_CHANGES_MAX || out->char_count > ZONE_FILE_MAX)
        return ERR_TOO_BIG;
    return out->type_count > 0 ? OK : ERR_SYNTAX;
}

/* Bytes of a data block with times of that size (§3.2). */
static size_t data_bytes(const struct header *header, size_t time_bytes)
{
    return header->time_count * (time_bytes + 1) + header->type_count * (size_t)TYPE_BYTES +
           header->char_count + header->leap_count * (time_bytes + 4) + header->standard_count +
           header->utc_count;
}

static enum err read_type(const char *types, unsigned index, int32_t *offset_s)
{
    *offset_s = (int32_t)read_u32(types + (size_t)index * TYPE_BYTES);
    return *offset_s > -OFFSET_MAX_S && *offset_s < OFFSET_MAX_S ? OK : ERR_SYNTAX;
}

/* §3.2: times, the types they begin, the types. */
static enum err read_data(const char *data, const struct header *header, size_t time_bytes,
                          struct zone *zone)
{
    const char *indices = data + header->time_count * time_bytes;
    const char *types = indices + header->time_count;

    zone->count = header->time_count;
    if (read_type(types, 0, &zone->first_s) != OK)
        return ERR_SYNTAX;
    for (size_t i = 0; i < zone->count; i++) {
        const char *time = data + i * time_bytes;
        struct change *change = &zone->changes[i];
        unsigned type = (unsigned char)indices[i];
        change->at_s = time_bytes == 8 ? read_i64(time) : (int32_t)read_u32(time);
        if ((i > 0 && change->at_s <= zone->changes[i - 1].at_s) || type >= header->type_count ||
            read_type(types, type, &change->offset_s) != OK)
            return ERR_SYNTAX;
    }
    return OK;
}

/* §3.3: a line end, the rule, a line end; an empty one says nothing. */
static enum err read_footer(struct slice rest, struct zone *zone)
{
    if (!take_char(&rest, '\n'))
        return ERR_SYNTAX;
    size_t len = slice_find(rest, '\n');
    if (len >= rest.len)
        return ERR_SYNTAX;
    if (len == 0)
        return OK;
    zone->has_rule = true;
    return rule_read(slice_take(&rest, len), &zone->rule);
}

static enum err read_zone(struct slice data, const struct header *header, size_t time_bytes,
                          struct zone *zone)
{
    size_t bytes = data_bytes(header, time_bytes);

    if (bytes > data.len)
        return ERR_SYNTAX;
    enum err err = read_data(data.data, header, time_bytes, zone);
    if (err || time_bytes == 4)
        return err;
    return read_footer(slice_from(data, bytes), zone);
}

enum err zone_open(struct slice tzif, struct zone **out)
{
    struct slice rest = tzif;
    struct header header;
    size_t time_bytes = 4;

    if (tzif.len > ZONE_FILE_MAX)
        return ERR_TOO_BIG;
    enum err err = take_header(&rest, &header);
    if (err)
        return err;
    if (header.version >= 2) { /* the first block is for those who know no better */
        if (data_bytes(&header, time_bytes) > rest.len)
            return ERR_SYNTAX;
        rest = slice_from(rest, data_bytes(&header, time_bytes));
        time_bytes = 8;
        err = take_header(&rest, &header);
        if (err)
            return err;
    }
    struct zone *zone = malloc(sizeof *zone + header.time_count * sizeof zone->changes[0]);
    if (zone == NULL)
        return ERR_MEMORY;
    *zone = (struct zone){0};
    err = read_zone(rest, &header, time_bytes, zone);
    if (err) {
        free(zone);
        return err;
    }
    *out = zone;
    return OK;
}

void zone_free(struct zone *zone)
{
    free(zone);
}

/* ---- asking ---- */

/* How many changes there were up to and at that second. */
static size_t changes_until(const struct zone *zone, int64_t utc_s)
{
    size_t low = 0, high = zone->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= utc_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t zone_offset_s(const struct zone *zone, int64_t utc_s)
{
    size_t past = changes_until(zone, utc_s);

    if (past == zone->count && zone->has_rule)
        return rule_offset(&zone->rule, utc_s);
    return past == 0 ? zone->first_s : zone->changes[past - 1].offset_s;
}

int64_t zone_next_change_s(const struct zone *zone, int64_t utc_s)
{
    size_t past = changes_until(zone, utc_s);

    if (past < zone->count)
        return zone->changes[past].at_s;
    return zone->has_rule ? rule_next(&zone->rule, utc_s) : INT64_MAX;
}

unsigned zone_utc_of_local(const struct zone *zone, int64_t local_s, int64_t utc_s[static 2])
{
    /* No zone changes twice within two days: the offset is the one before or the one after. */
    const int32_t offsets[] = {zone_offset_s(zone, local_s - DAY_S),
                               zone_offset_s(zone, local_s + DAY_S)};
    unsigned count = 0;

    for (unsigned i = 0; i < 2; i++) {
        int64_t at = local_s - offsets[i];
        if (zone_offset_s(zone, at) == offsets[i] && (count == 0 || utc_s[0] != at))
            utc_s[count++] = at;
    }
    if (count == 2 && utc_s[0] > utc_s[1]) {
        int64_t first = utc_s[1];
        utc_s[1] = utc_s[0];
        utc_s[0] = first;
    }
    return count;
}

bool zone_is_name(struct slice name)
{
    if (name.len == 0 || name.len > ZONE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool edge = i == 0 || i == name.len - 1 || name.data[i - 1] == '/';
        if (c == '/'
                ? edge
                : !ascii_is_letter(c) && !ascii_is_digit(c) && c != '_' && c != '-' && c != '+')
            return false;
    }
    return true;
}
