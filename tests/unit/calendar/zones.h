/* SPDX-License-Identifier: Apache-2.0 */
/* A zone of the machine's time zone database. */
#ifndef TESTS_CALENDAR_ZONES_H
#define TESTS_CALENDAR_ZONES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "calendar/calendar.h"
#include "calendar/zone.h"

/** The bytes of its file, NUL-terminated in static memory; tzdata is what the tests install. */
static inline struct slice zone_bytes(const char *name)
{
    static char bytes[ZONE_FILE_MAX];
    char path[128];

    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("%s is not there: is tzdata installed?", path);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    return (struct slice){bytes, len};
}

static inline struct zone *zone_named(const char *name)
{
    struct zone *zone = NULL;
    assert_int_equal(OK, zone_open(zone_bytes(name), &zone));
    return zone;
}

/** A second of UTC, or of a local clock. */
static inline int64_t second_of(int32_t year, unsigned month, int32_t day, int32_t hour,
                                int32_t minute)
{
    return (int64_t)civil_days(year, month, day) * DAY_S + hour * 3600 + minute * 60;
}

#endif
