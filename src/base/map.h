/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map - a hash table of intrusive nodes, chained, doubling as it grows.
 *
 * The caller hashes (hash_bytes) and compares; the map keeps 64-bit hashes in
 * the nodes so that chains compare a word first.
 *
 * Thread:  its owner.   Memory: buckets by calloc; nodes are embedded in their owners.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/err.h"
#include "base/slice.h"

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets;
    size_t mask;
    size_t count;
};

/** `initial` buckets, rounded up to a power of two. */
MUST_CHECK enum err map_init(struct map *map, size_t initial);

/** Bytes of buckets of a map that never holds more than `count_max` nodes, at most. */
size_t map_memory_max(size_t initial, size_t count_max);

/** Frees the buckets; nodes are the caller's. */
void map_release(struct map *map);

/** The first node with this hash, or NULL. The caller compares keys and goes on with map_next(). */
static inline struct map_node *map_first(const struct map *map, uint64_t hash)
{
    struct map_node *node = map->buckets[hash & map->mask];
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

static inline struct map_node *map_next(const struct map_node *node)
{
    struct map_node *next = node->next;
    while (next != NULL && next->hash != node->hash)
        next = next->next;
    return next;
}

/** Adds; equal hashes may be there already. Growing that fails is put off: never an error. */
void map_add(struct map *map, struct map_node *node, uint64_t hash);

/** Removes a node that is in the map. */
void map_remove(struct map *map, struct map_node *node);

/**
 * Walks all nodes: *cursor = 0 first; NULL at the end. The node just given may be removed and
 * freed, no other; nothing may be added meanwhile.
 */
struct map_node *map_walk(const struct map *map, size_t *cursor);

#endif
