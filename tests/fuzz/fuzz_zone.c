/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TZif file of anybody's: whatever is read of it, offsets stay in their bounds, the next change
 * is later, and the clock on the wall shows what it is said to show.
 */
#include <stdlib.h>

#include "calendar/calendar.h"
#include "calendar/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void ask(const struct zone *zone, int64_t utc_s)
{
    int32_t offset_s = zone_offset_s(zone, utc_s);
    int64_t local_s = utc_s + offset_s, found[2];
    unsigned count = zone_utc_of_local(zone, local_s, found);

    require(offset_s > -26 * 3600 && offset_s < 26 * 3600);
    require(zone_next_change_s(zone, utc_s) > utc_s);
    require(count <= 2);
    for (unsigned i = 0; i < count; i++)
        require(found[i] + zone_offset_s(zone, found[i]) == local_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct zone *zone;

    if (zone_open((struct slice){(const char *)data, size}, &zone) != OK)
        return 0;
    for (int32_t year = 0; year <= CIVIL_YEAR_MAX; year += 7)
        ask(zone, (int64_t)civil_days(year, (unsigned)year % 12 + 1, year % 28) * DAY_S + year);
    int64_t at_s = 0;
    for (unsigned i = 0; i < 50 && at_s < INT64_C(200000000000); i++) {
        ask(zone, at_s);
        at_s = zone_next_change_s(zone, at_s);
    }
    zone_free(zone);
    return 0;
}
