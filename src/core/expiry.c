/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/expiry - takes expired bindings out of the location table.
 *
 * Nothing depends on it: an expired binding is not used in any case. So it may be
 * coarse and cheap: a ring of spans of 16 s holds hashes of AORs whose first
 * binding ends in that span, 8 bytes a REGISTER. When a span is over, each AOR
 * is looked at; what a refresh has moved on is put where it belongs now.
 */
#include "core/internal.h"

static void on_expiry_timer(struct timer *timer, uint64_t now_ms);

void expiry_open(struct core *core)
{
    core->expiry.done_wall_ms = core->wall_ms - core->wall_ms % EXPIRY_BUCKET_MS;
    core->expiry.timer.fn = on_expiry_timer;
    timer_start(&core->wheel, &core->expiry.timer, core->now_ms + EXPIRY_BUCKET_MS);
}

static void free_bucket(struct core *core, struct expiry_chunk **bucket)
{
    while (*bucket != NULL) {
        struct expiry_chunk *chunk = *bucket;
        *bucket = chunk->next;
        mem_free(&core->mem, chunk, sizeof *chunk);
    }
}

void expiry_close(struct core *core)
{
    timer_stop(&core->wheel, &core->expiry.timer);
    free_bucket(core, &core->expiry.due);
    for (size_t i = 0; i < EXPIRY_BUCKETS; i++)
        free_bucket(core, &core->expiry.buckets[i]);
}

void expiry_add(struct core *core, uint64_t aor_hash, uint64_t wall_ms)
{
    uint64_t first = core->expiry.done_wall_ms / EXPIRY_BUCKET_MS;
    uint64_t at = wall_ms / EXPIRY_BUCKET_MS;

    if (at < first)
        at = first;
    if (at >= first + EXPIRY_BUCKETS)
        at = first + EXPIRY_BUCKETS - 1;

    struct expiry_chunk **bucket = &core->expiry.buckets[at % EXPIRY_BUCKETS];
    if (*bucket == NULL || (*bucket)->count == EXPIRY_CHUNK) {
        struct expiry_chunk *chunk = mem_alloc(&core->mem, sizeof *chunk);
        if (chunk == NULL)
            return; /* it stays in the table, unused, until its next refresh */
        chunk->next = *bucket;
        chunk->count = 0;
        *bucket = chunk;
    }
    (*bucket)->hashes[(*bucket)->count++] = aor_hash;
}

static void expire_aor(struct core *core, uint64_t hash)
{
    const struct table_ops *table = &core->config.location;
    struct slice aor;
    struct slice block = table->find_hash(table->user, hash, &aor);
    if (block.len == 0)
        return;

    bool changed = false;
    uint64_t next_ms = 0;
    struct slice rest;
    arena_reset(&core->scratch);
    if (registrar_expire(block, core->wall_ms, &core->scratch, &rest, &changed, &next_ms) != OK) {
        expiry_add(core, hash, core->wall_ms + EXPIRY_BUCKET_MS);
        return;
    }
    if (changed) {
        core->counters.expired++;
        if (rest.len == 0) {
            table->remove(table->user, aor, hash);
        } else if (table->put(table->user, aor, hash, rest) != OK) {
            next_ms = core->wall_ms + EXPIRY_BUCKET_MS;
        }
    }
    if (next_ms != 0)
        expiry_add(core, hash, next_ms);
}

/** Works through the spans that are over, a few AORs a turn. True: nothing is left of them. */
static bool expire_some(struct core *core)
{
    struct expiry *expiry = &core->expiry;

    for (unsigned i = 0; i < EXPIRY_PER_TURN && expiry->due != NULL; i++) {
        struct expiry_chunk *chunk = expiry->due;
        if (chunk->count == 0) {
            expiry->due = chunk->next;
            mem_free(&core->mem, chunk, sizeof *chunk);
            continue;
        }
        expire_aor(core, chunk->hashes[--chunk->count]);
    }
    return expiry->due == NULL;
}

/** Moves the oldest bucket to `due` when its span is over. */
static bool next_span(struct core *core)
{
    struct expiry *expiry = &core->expiry;

    if (expiry->done_wall_ms + EXPIRY_BUCKET_MS > core->wall_ms)
        return false;
    size_t at = (expiry->done_wall_ms / EXPIRY_BUCKET_MS) % EXPIRY_BUCKETS;
    expiry->due = expiry->buckets[at];
    expiry->buckets[at] = NULL;
    expiry->done_wall_ms += EXPIRY_BUCKET_MS;
    return true;
}

static void on_expiry_timer(struct timer *timer, uint64_t now_ms)
{
    struct expiry *expiry = CONTAINER_OF(timer, struct expiry, timer);
    struct core *core = CONTAINER_OF(expiry, struct core, expiry);

    bool more = !expire_some(core) || next_span(core);
    uint64_t wait_ms = more ? 1 : expiry->done_wall_ms + EXPIRY_BUCKET_MS - core->wall_ms;
    timer_start(&core->wheel, timer, now_ms + wait_ms);
}
