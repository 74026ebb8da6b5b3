/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/registrations - live bindings, one item per binding, read from the location table.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "api/internal.h"
#include "base/binding.h"
#include "base/hash.h"
#include "base/push.h"

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/** sip:KEY@DOMAIN: the key of the table is the user part alone. */
static json_t *aor_json(const struct api_config *config, struct slice key)
{
    char text[4096];
    struct builder b = builder_over(text, sizeof text);

    if (config->domain_count == 0)
        return api_string(key);
    builder_text(&b, "sip:");
    builder_add(&b, key);
    builder_char(&b, '@');
    builder_add(&b, config->domains[0]);
    return b.overflow ? api_string(key) : api_string(builder_slice(&b));
}

/** The contact without what its phone is woken by: whoever has that can wake it. */
static json_t *contact_json(const struct binding *binding)
{
    char text[4096];
    struct builder b = builder_over(text, sizeof text);

    push_params_strip(binding->contact, &b);
    return api_string(builder_slice(&b));
}

/** By which service its phone is woken; null: by none. */
static json_t *push_json(const struct binding *binding)
{
    struct push_params push = {0};

    if (binding_wakes(binding))
        push_params_find(binding->contact, &push);
    return api_string(push.provider);
}

static json_t *binding_json(const struct api_config *config, struct slice key,
                            const struct binding *binding, uint64_t now_ms)
{
    char received[ADDR_TEXT_MAX];

    addr_text(&binding->flow.remote, received);
    return json_pack(
        "{s:o, s:o, s:o, s:I, s:f, s:s, s:s, s:s, s:b, s:o, s:o, s:I, s:o, s:o, s:o, "
        "s:I, s:o}",
        "aor", aor_json(config, key), "contact", contact_json(binding), "expires",
        api_time(binding->expires_ms), "expires_in",
        (json_int_t)((binding->expires_ms - now_ms) / 1000), "q", (double)binding->q / 1000.0,
        "transport", transport_word(binding->flow.transport), "received", received, "flow",
        binding->flow_lost ? "lost" : "up", "nat", (int)binding->nat, "path",
        api_string(binding->path), "instance", api_string(binding->instance), "reg_id",
        (json_int_t)binding->reg_id, "user_agent", api_string(binding->user_agent), "registered",
        api_time(binding->registered_ms), "call_id", api_string(binding->call_id), "cseq",
        (json_int_t)binding->cseq, "push", push_json(binding));
}

/* ---- pages ---- */

/**
 * A place in the table: the entry that a walk from `cursor` gives, and how many of its bindings
 * were given already, if it still is the one of that key.
 */
struct place {
    struct table_cursor cursor;
    uint32_t done, key_hash;
};

struct listing {
    const struct api_config *config;
    json_t *items;
    size_t limit;
    uint64_t now_ms;
    struct place at, next;
    bool full; /* `next` is where the next page begins */
};

/** "SHARD.VERSION.SLOT.DONE.KEY" in hexadecimal. Any numbers are safe: a walk checks them. */
static bool parse_place(const char *text, struct place *out)
{
    char rest;

    if (strspn(text, "0123456789abcdef.") != strlen(text))
        return false;
    return sscanf(text, "%8" SCNx32 ".%16" SCNx64 ".%16" SCNx64 ".%8" SCNx32 ".%8" SCNx32 "%c",
                  &out->cursor.shard, &out->cursor.version, &out->cursor.slot, &out->done,
                  &out->key_hash, &rest) == 5;
}

static void write_place(const struct place *place, char *out, size_t size)
{
    snprintf(out, size, "%" PRIx32 ".%" PRIx64 ".%" PRIx64 ".%" PRIx32 ".%" PRIx32,
             place->cursor.shard, place->cursor.version, place->cursor.slot, place->done,
             place->key_hash);
}

/** Adds what is alive of one AOR from binding `at.done` on. */
static void add_block(struct listing *listing, struct slice key, struct slice block)
{
    uint32_t cursor = 0, index = 0;
    uint32_t hash = (uint32_t)hash_bytes(listing->config->hash_seed, key);
    uint32_t done = listing->at.key_hash == hash ? listing->at.done : 0;
    struct binding binding;

    for (; binding_next(block, &cursor, &binding); index++) {
        if (index < done || binding.expires_ms <= listing->now_ms)
            continue;
        if (json_array_size(listing->items) == listing->limit) {
            listing->full = true;
            listing->next = (struct place){listing->at.cursor, index, hash};
            return;
        }
        json_array_append_new(listing->items,
                              binding_json(listing->config, key, &binding, listing->now_ms));
    }
}

static void truncate_items(json_t *items, size_t count)
{
    while (json_array_size(items) > count)
        json_array_remove(items, json_array_size(items) - 1);
}

/**
 * Walks from `at` on. When a shard grows meanwhile it is given anew: what this page has of it is
 * dropped. (What earlier pages had of it is given twice; a binding that stays is never missed.)
 */
static void walk(struct listing *listing)
{
    struct table_cursor cursor = listing->at.cursor;
    uint32_t shard = cursor.shard;
    size_t shard_begin = 0;
    struct slice key, block;
    bool restarted = false;

    while (!listing->full &&
           table_walk(listing->config->location, &cursor, &key, &block, &restarted)) {
        if (cursor.shard != shard)
            shard_begin = json_array_size(listing->items);
        if (restarted)
            truncate_items(listing->items, shard_begin);
        if (restarted || cursor.shard != shard) /* the first entry of its shard */
            listing->at = (struct place){.cursor = {.shard = cursor.shard}};
        add_block(listing, key, block);
        listing->at = (struct place){.cursor = cursor};
        shard = cursor.shard;
        restarted = false;
    }
}

/** The user part of what was asked for: alice, alice@example.com, sip:alice@example.com. */
static struct slice aor_key(const char *text)
{
    struct slice aor = slice_of(text);

    if (slice_starts_with(aor, SLICE("sip:")))
        slice_take(&aor, 4);
    else if (slice_starts_with(aor, SLICE("sips:")))
        slice_take(&aor, 5);
    size_t at = slice_find(aor, '@');
    if (at != SIZE_MAX)
        aor.len = at;
    return aor;
}

/** Of one AOR: its key is hashed, nothing is walked. */
static void find(struct listing *listing, struct slice key)
{
    const struct api_config *config = listing->config;
    struct slice block = table_find(config->location, key, hash_bytes(config->hash_seed, key));

    if (block.len > 0)
        add_block(listing, key, block);
}

struct api_answer api_registrations(struct api_request *r)
{
    struct api *api = r->api;
    struct api_page page = api_page_of(r);
    const char *aor = api_query(r, "aor");
    struct listing listing = {.config = &api->config, .limit = page.limit, .now_ms = wall_ms()};
    char next[64] = "";

    if (page.bad)
        return page.problem;
    if (page.cursor != NULL && !parse_place(page.cursor, &listing.at))
        return api_cursor_problem();
    listing.items = json_array();
    if (listing.items == NULL)
        return api_memory_problem();

    pthread_mutex_lock(&api->reading); /* the seat is one for both threads */
    quiesce_online(api->config.quiesce, api->seat);
    if (aor != NULL)
        find(&listing, aor_key(aor));
    else
        walk(&listing);
    quiesce_offline(api->config.quiesce, api->seat);
    pthread_mutex_unlock(&api->reading);
    if (listing.full)
        write_place(&listing.next, next, sizeof next);
    return api_list(listing.items, next);
}
