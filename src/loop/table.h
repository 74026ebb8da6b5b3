/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop/table - the table that all workers read: key -> immutable block.
 *
 * One shard per worker, and only that worker writes it (table_owner() of the hash). A shard is an
 * open-addressed array of pointers to entries; a change publishes another pointer. When the array
 * is too full, a larger one is published and the entries move a few at a time with each change;
 * readers look in the old one first, so that what is on its way is found in one of the two.
 *
 *     slot = entry's address (48 bits) + 16 bits of its hash      entry = hash, lengths, key, block
 *
 * The notes of its entries stand in an array of their own, in the same order, for the owner alone:
 * a search reads them in sequence, 16 to a cache line, and touches no entry that it is not for.
 *
 * What has been replaced is freed when all participants of the `quiesce` have passed.
 *
 * Thread:  reading by any participant that is online; changes by the shard's owner. One thread
 *          may play all workers (the simulator does).
 * Memory:  a `mem` per shard. 12 bytes per entry and 15 to 30 of array, beside key and block.
 * Limit:   `memory_max` bytes of entries per shard, and half as much of array; then ERR_MEMORY.
 * Keys < 32 KiB, blocks < 64 KiB.
 */
#ifndef LOOP_TABLE_H
#define LOOP_TABLE_H

#include "base/table.h"
#include "loop/quiesce.h"

struct table;

struct table_config {
    unsigned workers;        /* shards */
    size_t memory_max;       /* bytes of entries per shard */
    struct quiesce *quiesce; /* borrowed; all readers have a seat in it */
};

MUST_CHECK enum err table_open(const struct table_config *config, struct table **out);

/** Bytes that a table takes at most. */
size_t table_memory_max(const struct table_config *config);

/** Nobody reads any more. */
void table_close(struct table *table);

/** The interface for the core; `user` is the table itself. */
struct table_ops table_interface(struct table *table);

/** The same verbs, see base/table.h. */
struct slice table_find(struct table *table, struct slice key, uint64_t hash);
struct slice table_find_hash(struct table *table, uint64_t hash, struct slice *key);
MUST_CHECK enum err table_put(struct table *table, struct slice key, uint64_t hash,
                              struct slice block, uint32_t note);
void table_remove(struct table *table, struct slice key, uint64_t hash);
uint64_t table_places(const struct table *table, unsigned worker);
struct slice table_next(const struct table *table, struct table_search *search, struct slice *key,
                        uint64_t *hash);

/** Frees what nobody can see any more. Called by the owner of shard `worker` once per turn. */
void table_turn(struct table *table, unsigned worker);

/** Where a walk stands. Zeroed: before the first entry of shard 0. */
struct table_cursor {
    uint64_t slot;
    uint64_t version; /* of the shard's arrays when it was entered */
    uint32_t shard;
};

/**
 * Gives the next entry of all shards; false at the end. May go on in a later turn. An entry that
 * is there all the time is given at least once, perhaps twice; `*restarted` is set when a shard
 * grew meanwhile and is given from its beginning again.
 */
bool table_walk(struct table *table, struct table_cursor *cursor, struct slice *key,
                struct slice *block, bool *restarted);

/** Sums over the shards; by any thread, of about now. */
struct table_status {
    uint64_t entries;
    uint64_t entry_bytes; /* handed out by the shards' memory, with what waits to be freed */
    uint64_t array_bytes;
    uint64_t waiting; /* blocks unlinked and not yet freed */
};
void table_status(const struct table *table, struct table_status *out);

#endif
