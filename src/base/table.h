/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table - the interface of the tables that all workers read: key -> immutable block.
 *
 * Made in loop/table.c; the core only sees this. A key belongs to one worker,
 * table_owner() of its hash: only that one writes it. Everybody reads without
 * waiting; a block stays as it is until the reader's turn of the loop ends.
 *
 * Beside each entry its owner keeps a note, a number that is not 0, and can search for entries by
 * their notes. That goes over all places, but looks at the notes alone, which lie side by side:
 * some 6 instructions a place.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/err.h"
#include "base/slice.h"

/** A search by notes among the places of one worker. Set all, then call next() until it is over. */
struct table_search {
    uint64_t place, end; /* looks at places from `place` on and before `end` */
    uint32_t mask, max;  /* for notes whose bits in `mask` are 1 to `max`, as a number */
    unsigned worker;
};

struct table_ops {
    void *user;
    /** The block's bytes, or an empty slice. Valid until this thread's turn ends. */
    struct slice (*find)(void *user, struct slice key, uint64_t hash);
    /** As find(), for a hash whose key is not at hand; `*key` is given with the same lifetime. The
     * first entry with this hash. */
    struct slice (*find_hash)(void *user, uint64_t hash, struct slice *key);
    /** Puts a copy of `block` there, with a note. Owner only. ERR_MEMORY, ERR_FULL: unchanged. */
    enum err (*put)(void *user, struct slice key, uint64_t hash, struct slice block, uint32_t note);
    /** Owner only. A key that is not there is fine. */
    void (*remove)(void *user, struct slice key, uint64_t hash);
    /** Places of the part that `worker` owns, used or not, for next(). Owner only. */
    uint64_t (*places)(void *user, unsigned worker);
    /**
     * The next block that the search is for, with its key and hash; `place` is behind it then.
     * Empty: there is none up to `end`, which `place` has reached. Owner only. Entries may stand
     * elsewhere after a change: who goes over all places again and again misses none for long, but
     * may in one round.
     */
    struct slice (*next)(void *user, struct table_search *search, struct slice *key,
                         uint64_t *hash);
};

/** Which of `workers` (>= 1) owns a hash: the high 32 bits, scaled. */
static inline unsigned table_owner(uint64_t hash, unsigned workers)
{
    return (unsigned)(((hash >> 32) * workers) >> 32);
}

#endif
