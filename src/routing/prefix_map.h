/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefix_map - from digits to a value, exactly or by the longest prefix: the numbers of a business,
 * and where calls to the numbers of others go.
 *
 * A radix tree over decimal digits, whose edges carry as many digits as have no branch. It is
 * persistent: prefix_map_share() gives a second map at no cost, and a change of one of the two
 * copies the nodes on the way to what changed, a handful, and shares the rest. So a policy snapshot
 * with a million numbers is made from the one before with the one number that changed.
 *
 * Values are the caller's: numbers, or objects of his. For objects he gives the functions that are
 * told when one more node names a value, and when one less does.
 *
 * Thread:  maps that share nodes are changed, shared and freed by one thread. Any number may read
 *          meanwhile, in maps that are not changed at that time.
 * Memory:  malloc; a node is 16 bytes and 16 for each branch; most keys have none of their own.
 * Limit:   PREFIX_MAP_DIGITS_MAX digits; a longer key is in no map.
 * Public headers: prefix_map.h
 */
#ifndef ROUTING_PREFIX_MAP_H
#define ROUTING_PREFIX_MAP_H

#include "base/err.h"
#include "base/slice.h"

struct prefix_map; /* private to prefix_map.c */

enum {
    PREFIX_MAP_DIGITS_MAX = 15 /* of an E.164 number (ITU-T E.164 §6.1) */
};

/** What is told of values; both NULL: nothing. */
struct prefix_map_values {
    void *user;
    void (*keep)(void *user, uint64_t value); /* one more node has it */
    void (*drop)(void *user, uint64_t value); /* one less */
};

/** An empty map. ERR_MEMORY. */
MUST_CHECK enum err prefix_map_open(const struct prefix_map_values *values,
                                    struct prefix_map **out);

/** Another map with the same content; each may be changed and freed without the other. ERR_MEMORY.
 */
MUST_CHECK enum err prefix_map_share(const struct prefix_map *map, struct prefix_map **out);

/** NULL is fine. */
void prefix_map_free(struct prefix_map *map);

/**
 * Sets the value of a key: digits only, the empty key is everybody's prefix. The value that was
 * there is dropped, the new one kept. ERR_SYNTAX: a key that is none; ERR_MEMORY: nothing changed.
 */
MUST_CHECK enum err prefix_map_set(struct prefix_map *map, struct slice key, uint64_t value);

/** Takes a key out. ERR_NOT_FOUND; ERR_MEMORY: nothing changed. */
MUST_CHECK enum err prefix_map_remove(struct prefix_map *map, struct slice key);

/** Is there this very key? Then its value. */
bool prefix_map_get(const struct prefix_map *map, struct slice key, uint64_t *value);

/**
 * The longest key that `digits` begin with: its value, and how many digits it has. Digits past the
 * limit do not count, anything that is no digit ends them.
 */
bool prefix_map_find(const struct prefix_map *map, struct slice digits, uint64_t *value,
                     unsigned *matched);

size_t prefix_map_count(const struct prefix_map *map);

/** Bytes of all nodes that it names, shared ones too; walks them. */
size_t prefix_map_memory(const struct prefix_map *map);

/** Gives all keys in order, until `each` says false. The key is borrowed until return. */
void prefix_map_walk(const struct prefix_map *map,
                     bool (*each)(void *user, struct slice key, uint64_t value), void *user);

#endif
