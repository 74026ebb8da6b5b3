/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/notes - what is noted beside an address-of-record in the location table, so that nobody has
 * to look at all of them: when the first of its bindings expires or its phone is to be woken, and
 * whether one is to be pinged.
 *
 *     note = that time, in units of 4 s, rounded up (31 bits: until 2242) | NOTE_PING (1 bit)
 */
#include "core/internal.h"

enum {
    NOTE_UNIT_MS = 4000,
    NOTE_TIME_SHIFT = 1, /* above NOTE_PING */
    NOTE_TIME_MAX = INT32_MAX
};

/** The time is over in the unit that has just begun, never before. */
static uint32_t note_time(uint64_t expires_ms)
{
    uint64_t time = expires_ms / NOTE_UNIT_MS + 1;
    return (uint32_t)(time < NOTE_TIME_MAX ? time : NOTE_TIME_MAX) << NOTE_TIME_SHIFT;
}

static uint32_t note_of(const struct core *core, struct slice block)
{
    struct binding binding;
    uint32_t cursor = 0, note = note_time(UINT64_MAX), ping = 0;

    while (binding_next(block, &cursor, &binding)) {
        uint64_t due_ms = wake_due_ms(core, &binding);
        uint32_t time = note_time(due_ms < binding.expires_ms ? due_ms : binding.expires_ms);
        note = time < note ? time : note;
        ping |= ping_is_for(&binding) ? NOTE_PING : 0;
    }
    return note | ping;
}

enum err location_put(struct core *core, struct slice aor, uint64_t hash, struct slice block)
{
    const struct table_ops *table = &core->config.location;
    uint32_t note = note_of(core, block);
    enum err err = table->put(table->user, aor, hash, block, note);

    if (err == OK && (note & NOTE_PING) != 0)
        ping_wanted(core);
    return err;
}

struct table_search location_search(const struct core *core, uint64_t place, uint64_t end)
{
    return (struct table_search){.worker = core->config.worker, .place = place, .end = end};
}

void search_expired(struct table_search *search, uint64_t wall_ms)
{
    uint64_t time = wall_ms / NOTE_UNIT_MS;

    search->mask = (uint32_t)NOTE_TIME_MAX << NOTE_TIME_SHIFT;
    search->max = (uint32_t)(time < NOTE_TIME_MAX ? time : NOTE_TIME_MAX - 1) << NOTE_TIME_SHIFT;
}

void search_pinged(struct table_search *search)
{
    search->mask = NOTE_PING;
    search->max = NOTE_PING;
}
