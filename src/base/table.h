/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - the interface of the tables that all workers read: key -> immutable block.
 *
 * Made in loop/table.c; the core only sees this. A key belongs to one worker,
 * table_owner() of its hash: only that one writes it. Everybody reads without
 * waiting; a block stays as it is until the reader's turn of the loop ends.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/err.h"
#include "base/slice.h"

struct table_ops {
    void *user;
    /** The block's bytes, or an empty slice. Valid until this thread's turn ends. */
    struct slice (*find)(void *user, struct slice key, uint64_t hash);
    /** As find(), for a hash whose key is not at hand; `*key` is given with the same lifetime. The
     * first entry with this hash. */
    struct slice (*find_hash)(void *user, uint64_t hash, struct slice *key);
    /** Puts a copy of `block` there. Owner only. ERR_MEMORY, ERR_FULL: unchanged. */
    enum err (*put)(void *user, struct slice key, uint64_t hash, struct slice block);
    /** Owner only. A key that is not there is fine. */
    void (*remove)(void *user, struct slice key, uint64_t hash);
    /** Places of the part that `worker` owns, used or not, for at(). Owner only. */
    uint64_t (*places)(void *user, unsigned worker);
    /**
     * The block at a place, with its key and hash; empty: none is there, or the place is past the
     * end. Owner only. Entries may stand elsewhere after a change: who goes over all places again
     * and again misses none for long, but may in one round.
     */
    struct slice (*at)(void *user, unsigned worker, uint64_t place, struct slice *key,
                       uint64_t *hash);
};

/** Which of `workers` (>= 1) owns a hash: the high 32 bits, scaled. */
static inline unsigned table_owner(uint64_t hash, unsigned workers)
{
    return (unsigned)(((hash >> 32) * workers) >> 32);
}

#endif
