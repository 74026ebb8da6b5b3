/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/registrations - live bindings, one item per binding, read from the location table.
 */
#include <stdio.h>
#include <time.h>

#include "api/internal.h"
#include "base/binding.h"
#include "base/hash.h"

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *transport_name(uint8_t transport)
{
    static const char *const names[TRANSPORT_COUNT] = {"", "udp", "tcp", "tls", "ws", "wss"};
    return transport < TRANSPORT_COUNT ? names[transport] : "";
}

static json_t *binding_json(struct slice aor, const struct binding *binding, uint64_t now_ms)
{
    char received[ADDR_TEXT_MAX];

    addr_text(&binding->flow.remote, received);
    return json_pack("{s:o, s:o, s:o, s:I, s:f, s:s, s:s, s:s, s:b, s:o, s:o, s:i, s:o, s:o, s:o, s:i}",
                     "aor", api_string(aor), "contact", api_string(binding->contact), "expires",
                     api_time(binding->expires_ms), "expires_in",
                     (json_int_t)((binding->expires_ms - now_ms) / 1000), "q",
                     (double)binding->q / 1000.0, "transport",
                     transport_name(binding->flow.transport), "received", received, "flow",
                     binding->flow_lost ? "lost" : "up", "nat", (int)binding->nat, "path",
                     api_string(binding->path), "instance", api_string(binding->instance), "reg_id",
                     (int)binding->reg_id, "user_agent", api_string(binding->user_agent),
                     "registered", api_time(binding->registered_ms), "call_id",
                     api_string(binding->call_id), "cseq", (int)binding->cseq);
}

/** Where a listing stands: items before `skip` are passed over. */
struct listing {
    json_t *items;
    size_t skip, room;
    uint64_t now_ms;
};

static void add_block(struct listing *listing, struct slice aor, struct slice block)
{
    uint32_t cursor = 0;
    struct binding binding;

    while (listing->room > 0 && binding_next(block, &cursor, &binding)) {
        if (binding.expires_ms <= listing->now_ms)
            continue;
        if (listing->skip > 0) {
            listing->skip--;
            continue;
        }
        json_array_append_new(listing->items, binding_json(aor, &binding, listing->now_ms));
        listing->room--;
    }
}

static void walk_all(struct api *api, struct listing *listing)
{
    struct table_cursor cursor = {0};
    struct slice aor, block;
    bool restarted = false;

    while (listing->room > 0 && table_walk(api->config.location, &cursor, &aor, &block, &restarted))
        add_block(listing, aor, block);
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

struct api_answer api_registrations(struct api_request *r)
{
    struct api *api = r->api;
    struct api_page page = api_page_of(r);
    const char *aor = api_query(r, "aor");

    if (page.bad)
        return page.problem;
    struct listing listing = {
        .items = json_array(), .skip = page.offset, .room = page.limit + 1, .now_ms = wall_ms()};
    if (listing.items == NULL)
        return api_memory_problem();

    pthread_mutex_lock(&api->reading);
    quiesce_online(api->config.quiesce, api->seat);
    if (aor != NULL) {
        struct slice key = aor_key(aor);
        struct slice block =
            table_find(api->config.location, key, hash_bytes(api->config.hash_seed, key));
        if (block.len > 0)
            add_block(&listing, key, block);
    } else {
        walk_all(api, &listing);
    }
    quiesce_offline(api->config.quiesce, api->seat);
    pthread_mutex_unlock(&api->reading);
    return (struct api_answer){.status = 200, .json = api_list(listing.items, &page)};
}
