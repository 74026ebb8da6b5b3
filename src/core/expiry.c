/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/expiry - takes expired bindings out of the location table.
 *
 * Nothing depends on it: an expired binding is not used in any case. So it may be coarse and
 * cheap: the worker goes round and round over the notes of its part of the table, once in about
 * 64 s, and touches only those entries that have expired. That does not mind how often a phone
 * refreshes or what the wall clock does.
 */
#include "core/internal.h"

static void on_expiry_timer(struct timer *timer, uint64_t now_ms);

void expiry_open(struct core *core)
{
    core->expiry.timer.fn = on_expiry_timer;
    timer_start(&core->wheel, &core->expiry.timer, core->now_ms + EXPIRY_WAIT_MS);
}

void expiry_close(struct core *core)
{
    timer_stop(&core->wheel, &core->expiry.timer);
}

/** What cannot be written for lack of memory is tried again in the next round. */
static void expire_aor(struct core *core, struct slice aor, uint64_t hash, struct slice block)
{
    const struct table_ops *table = &core->config.location;
    bool changed = false;
    struct slice rest;

    arena_reset(&core->scratch);
    if (registrar_expire(block, core->wall_ms, &core->scratch, &rest, &changed) != OK || !changed)
        return;
    if (rest.len == 0)
        table->remove(table->user, aor, hash);
    else if (location_put(core, aor, hash, rest) != OK)
        return;
    core->counters.expired++;
}

/** One look from where the last one ended. True: the next one must not wait. */
static bool look(struct core *core, uint64_t places)
{
    const struct table_ops *table = &core->config.location;
    struct expiry *expiry = &core->expiry;
    uint64_t begin = expiry->place < places ? expiry->place : 0;
    uint64_t end = begin + EXPIRY_PLACES < places ? begin + EXPIRY_PLACES : places;
    struct table_search search = location_search(core, begin, end);
    unsigned found = 0;
    struct slice aor, block;
    uint64_t hash;

    search_expired(&search, core->wall_ms);
    while (found < EXPIRY_AT_ONCE &&
           (block = table->next(table->user, &search, &aor, &hash)).len > 0) {
        if (core->pushes.on)
            wake_refresh(core, hash, block);
        expire_aor(core, aor, hash, block);
        found++;
    }
    expiry->place = search.place;
    return found == EXPIRY_AT_ONCE;
}

static void on_expiry_timer(struct timer *timer, uint64_t now_ms)
{
    struct expiry *expiry = CONTAINER_OF(timer, struct expiry, timer);
    struct core *core = CONTAINER_OF(expiry, struct core, expiry);
    const struct table_ops *table = &core->config.location;
    uint64_t places = table->places(table->user, core->config.worker);
    uint64_t wait_ms = (uint64_t)EXPIRY_ROUND_MS * EXPIRY_PLACES / (places + 1) + 1;

    if (wait_ms > EXPIRY_WAIT_MS)
        wait_ms = EXPIRY_WAIT_MS;
    timer_start(&core->wheel, timer, now_ms + (look(core, places) ? EXPIRY_GO_ON_MS : wait_ms));
}
