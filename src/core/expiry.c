/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/expiry - takes expired bindings out of the location table.
 *
 * Nothing depends on it: an expired binding is not used in any case. So it may be coarse and
 * cheap: the worker goes round and round over its part of the table, a few places at a time, once
 * in about 64 s. That costs a REGISTER nothing, keeps nothing per binding, and does not
 * mind how often a phone refreshes or what the wall clock does.
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
    else if (table->put(table->user, aor, hash, rest) != OK)
        return;
    core->counters.expired++;
}

static void on_expiry_timer(struct timer *timer, uint64_t now_ms)
{
    struct expiry *expiry = CONTAINER_OF(timer, struct expiry, timer);
    struct core *core = CONTAINER_OF(expiry, struct core, expiry);
    const struct table_ops *table = &core->config.location;
    uint64_t places = table->places(table->user, core->config.worker);

    if (expiry->place >= places)
        expiry->place = 0;
    for (unsigned i = 0; i < EXPIRY_PLACES && expiry->place < places; i++) {
        struct slice aor;
        uint64_t hash;
        struct slice block =
            table->at(table->user, core->config.worker, expiry->place++, &aor, &hash);
        if (block.len > 0 && core->pushes.on)
            wake_refresh(core, hash, block);
        if (block.len > 0)
            expire_aor(core, aor, hash, block);
    }
    uint64_t wait_ms = (uint64_t)EXPIRY_ROUND_MS * EXPIRY_PLACES / (places + 1) + 1;
    timer_start(&core->wheel, timer,
                now_ms + (wait_ms < EXPIRY_WAIT_MS ? wait_ms : EXPIRY_WAIT_MS));
}
