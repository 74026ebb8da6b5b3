/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <stdlib.h>

enum {
    MAP_BUCKETS_MIN = 8
};
#define MAP_BUCKETS_MAX ((size_t)1 << 32)

enum err map_init(struct map *map, size_t initial)
{
    assert(initial <= MAP_BUCKETS_MAX);

    size_t buckets = MAP_BUCKETS_MIN;
    while (buckets < initial)
        buckets *= 2;

    struct map_node **heads = calloc(buckets, sizeof *heads);
    if (heads == NULL)
        return ERR_MEMORY;
    *map = (struct map){.buckets = heads, .mask = buckets - 1};
    return OK;
}

size_t map_memory_max(size_t initial, size_t count_max)
{
    size_t buckets = MAP_BUCKETS_MIN;
    while (buckets < initial || (buckets < count_max && buckets < MAP_BUCKETS_MAX))
        buckets *= 2;
    return (buckets + buckets / 2) * sizeof(struct map_node *); /* old and new while it grows */
}

void map_release(struct map *map)
{
    free(map->buckets);
    *map = (struct map){0};
}

/* Doubles. Each chain splits in two and keeps its order: the newest of equal hashes stays first. */
static void map_grow(struct map *map)
{
    size_t old_buckets = map->mask + 1;
    if (old_buckets >= MAP_BUCKETS_MAX)
        return;
    struct map_node **heads = calloc(old_buckets * 2, sizeof *heads);
    if (heads == NULL)
        return; /* longer chains until the next try */

    for (size_t i = 0; i < old_buckets; i++) {
        struct map_node **low = &heads[i];
        struct map_node **high = &heads[i + old_buckets];
        for (struct map_node *node = map->buckets[i]; node != NULL; node = node->next) {
            struct map_node ***tail = (node->hash & old_buckets) != 0 ? &high : &low;
            **tail = node;
            *tail = &node->next;
        }
        *low = NULL;
        *high = NULL;
    }
    free(map->buckets);
    map->buckets = heads;
    map->mask = old_buckets * 2 - 1;
}

void map_add(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->count > map->mask)
        map_grow(map);

    struct map_node **head = &map->buckets[hash & map->mask];
    node->hash = hash;
    node->next = *head;
    *head = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **at = &map->buckets[node->hash & map->mask];
    while (*at != node) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    assert(map->count > 0);
    map->count--;
}

/*
 * The cursor: odd, (bucket << 1 | 1) of the chain to begin with; even and not 0, the address of
 * the next node of the present chain, which stays valid when the node just given is freed.
 */
struct map_node *map_walk(const struct map *map, size_t *cursor)
{
    struct map_node *node = NULL;
    size_t bucket = *cursor >> 1;

    if (*cursor != 0 && (*cursor & 1) == 0) {
        node = (struct map_node *)*cursor;
        bucket = node->hash & map->mask;
    }
    for (; node == NULL; bucket++) {
        if (bucket > map->mask)
            return NULL;
        node = map->buckets[bucket];
        if (node != NULL)
            break;
    }
    *cursor = node->next != NULL ? (size_t)node->next : ((bucket + 1) << 1 | 1);
    return node;
}
