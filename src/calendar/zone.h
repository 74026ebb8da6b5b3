/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calendar/zone - how far local time is from UTC, in one zone of the IANA time zone database.
 *
 * Made from the bytes of a TZif file (RFC 8536), which somebody else reads: its table of changes,
 * and the rule of its footer for all time after them.
 *
 * Thread:  immutable once it is made.
 * Memory:  one malloc per zone; nothing of the bytes is borrowed.
 * Limit:   ZONE_FILE_MAX bytes, ZONE_CHANGES_MAX changes; what is more is ERR_TOO_BIG.
 */
#ifndef CALENDAR_ZONE_H
#define CALENDAR_ZONE_H

#include "base/err.h"
#include "base/slice.h"

struct zone; /* private to zone.c */

enum {
    ZONE_FILE_MAX = 65536, /* bytes; the largest of the database has 4 KiB */
    ZONE_CHANGES_MAX = 4096,
    ZONE_NAME_MAX = 64, /* bytes of "America/Argentina/ComodRivadavia" and the like */
};

/** ERR_SYNTAX: this is no TZif file, or not a sound one; ERR_TOO_BIG; ERR_MEMORY. */
MUST_CHECK enum err zone_open(struct slice tzif, struct zone **out);

/** NULL is fine. */
void zone_free(struct zone *zone);

/** Seconds to be added to UTC for local time, at a second of UTC since 1970. */
int32_t zone_offset_s(const struct zone *zone, int64_t utc_s);

/** The first second after this one at which the offset may be another; INT64_MAX: there is none. */
int64_t zone_next_change_s(const struct zone *zone, int64_t utc_s);

/**
 * When a clock on the wall shows this local second: none (it is skipped), one or two (it comes
 * twice), in order. Returns how many.
 */
unsigned zone_utc_of_local(const struct zone *zone, int64_t local_s, int64_t utc_s[static 2]);

/**
 * May this be a zone's name, so that a file may be looked for by it? Letters, digits, '_', '-', '+'
 * and '/' between parts that are not empty.
 */
bool zone_is_name(struct slice name);

#endif
