/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of the DNS, kept for as long as they say.
 */
#include "resolve/internal.h"

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool host_name(struct slice host, char out[static RESOLVE_NAME_SIZE])
{
    size_t label = 0;

    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--;
    if (host.len == 0 || host.len > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (c == '.' ? label == 0 : !is_host_byte(c))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
        out[i] = c;
    }
    out[host.len] = '\0';
    return label > 0;
}

uint64_t question_hash(const struct resolver *resolver, enum dns_type type, struct slice name)
{
    return hash_bytes(resolver->config.hash_seed + type, name);
}

static struct cached *entry_of(const struct resolver *resolver, enum dns_type type,
                               struct slice name, uint64_t hash)
{
    struct map_node *node = map_first(&resolver->cache, hash);

    for (; node != NULL; node = map_next(node)) {
        struct cached *entry = CONTAINER_OF(node, struct cached, node);
        if (entry->type == type && slice_equal(entry->name, name))
            return entry;
    }
    return NULL;
}

const struct cached *cache_find(struct walk *walk, enum dns_type type, struct slice name)
{
    struct resolver *resolver = walk->resolver;
    struct cached *entry = entry_of(resolver, type, name, question_hash(resolver, type, name));

    if (entry == NULL || (entry->expires_ms <= walk->now_ms && entry->stored_ms < walk->since_ms))
        return NULL;
    list_remove(&entry->by_use);
    list_push(&resolver->by_use, &entry->by_use);
    resolver->counters.cache_hits++;
    resolver->counters.stale += entry->stale;
    return entry;
}

static void drop(struct resolver *resolver, struct cached *entry)
{
    map_remove(&resolver->cache, &entry->node);
    list_remove(&entry->by_use);
    mem_free(resolver->config.mem, entry, entry->bytes);
    resolver->counters.cached--;
}

void cache_release(struct resolver *resolver)
{
    struct list *node;

    while ((node = list_pop(&resolver->by_use)) != NULL)
        drop(resolver, CONTAINER_OF(node, struct cached, by_use));
    map_release(&resolver->cache);
}

static uint64_t life_ms(const struct dns_answer *answer)
{
    uint64_t ttl_ms = (uint64_t)answer->ttl_s * 1000;
    uint64_t most_ms = answer->status == DNS_NOTHING ? TTL_NOTHING_MAX_MS : TTL_MAX_MS;

    if (answer->status == DNS_FAILED)
        return TTL_FAILED_MS;
    if (answer->status == DNS_NOTHING && ttl_ms == 0)
        return TTL_NOTHING_MS;
    if (ttl_ms < TTL_MIN_MS)
        return TTL_MIN_MS;
    return ttl_ms < most_ms ? ttl_ms : most_ms;
}

static size_t record_bytes(const struct dns_record *record)
{
    return record->target.len + record->flags.len + record->service.len + record->regexp.len;
}

static struct slice keep(struct builder *b, struct slice s)
{
    char *at = b->data + b->len;

    builder_add(b, s);
    return (struct slice){at, s.len};
}

static struct cached *make(struct resolver *resolver, struct slice name,
                           const struct dns_answer *answer)
{
    uint32_t count = answer->count < DNS_RECORDS_MAX ? answer->count : DNS_RECORDS_MAX;
    size_t head = sizeof(struct cached) + count * sizeof(struct dns_record);
    size_t text = name.len;

    for (uint32_t i = 0; i < count; i++)
        text += record_bytes(&answer->records[i]);
    if (head + text > MEM_MAX_ALLOC)
        return NULL;
    struct cached *entry = mem_alloc(resolver->config.mem, head + text);
    if (entry == NULL)
        return NULL;

    struct builder b = builder_over((char *)entry + head, text);
    *entry = (struct cached){.bytes = (uint32_t)(head + text), .count = count};
    entry->name = keep(&b, name);
    for (uint32_t i = 0; i < count; i++) {
        entry->records[i] = answer->records[i];
        entry->records[i].target = keep(&b, answer->records[i].target);
        entry->records[i].flags = keep(&b, answer->records[i].flags);
        entry->records[i].service = keep(&b, answer->records[i].service);
        entry->records[i].regexp = keep(&b, answer->records[i].regexp);
    }
    return entry;
}

/* No new answer can be had: the old one is better than none (RFC 8767). */
static bool keep_stale(struct cached *old, const struct dns_answer *answer, uint64_t now_ms)
{
    if (old == NULL || answer->status != DNS_FAILED || old->status != DNS_FOUND)
        return false;
    if (old->ends_ms + STALE_MAX_MS <= now_ms)
        return false;
    old->stale = true;
    old->expires_ms = now_ms + STALE_MS;
    return true;
}

void cache_put(struct resolver *resolver, enum dns_type type, struct slice name,
               const struct dns_answer *answer, uint64_t now_ms)
{
    uint64_t hash = question_hash(resolver, type, name);
    struct cached *old = entry_of(resolver, type, name, hash);

    if (keep_stale(old, answer, now_ms))
        return;
    if (old != NULL)
        drop(resolver, old);
    if (resolver->counters.cached == resolver->config.limits.cache_max) {
        drop(resolver, CONTAINER_OF(resolver->by_use.next, struct cached, by_use));
        resolver->counters.evicted++;
    }
    struct cached *entry = make(resolver, name, answer);
    if (entry == NULL)
        return;
    entry->type = (uint8_t)type;
    entry->status = (uint8_t)answer->status;
    entry->stored_ms = now_ms;
    entry->ends_ms = now_ms + life_ms(answer);
    entry->expires_ms = entry->ends_ms;
    map_add(&resolver->cache, &entry->node, hash);
    list_push(&resolver->by_use, &entry->by_use);
    resolver->counters.cached++;
}
