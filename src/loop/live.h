/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live - counts that all workers share, each by a key: how many of something there are now.
 *
 * Who begins something takes one, unless the limit is reached, and gives it back exactly once when
 * it ends. A key has no entry while its count is 0. Nobody waits: a count is one word together
 * with a tag of its key, changed by compare-and-swap, in one of the 16 slots that belong to
 * the key's hash (seldom in two, when several threads began with it at once). One that was taken
 * stays in its slot, and who takes looks once more afterwards: so the limit is never passed.
 *
 * Keys are known by 64-bit hashes: use a secret seed, so that nobody can choose keys that meet.
 *
 * Thread:  any.
 * Memory:  8 bytes a slot, touched when used; made at start.
 * Limit:   `keys_max` keys at a time, about; then LIVE_FULL.
 */
#ifndef LOOP_LIVE_H
#define LOOP_LIVE_H

#include "base/err.h"
#include "base/slice.h"

struct live;

enum {
    LIVE_COUNT_MAX = 16000000 /* of one key */
};

enum live_answer {
    LIVE_TAKEN = 0,
    LIVE_LIMIT, /* the key has `limit` or more */
    LIVE_FULL   /* too many keys */
};

/** A table with room for `keys_max` keys, at least. */
MUST_CHECK enum err live_open(size_t keys_max, struct live **out);

/** All have been given back, or are forgotten. NULL is fine. */
void live_close(struct live *live);

/**
 * One more of this key; `*place` (never 0) is for live_give(). Of several threads that take the
 * last one at the same moment, all may be told that the limit is reached. Requires 0 < limit <=
 * LIVE_COUNT_MAX.
 */
MUST_CHECK enum live_answer live_take(struct live *live, uint64_t hash, uint32_t limit,
                                      uint32_t *place);

/** One less: gives back what was taken. */
void live_give(struct live *live, uint32_t place);

/** How many there are of a key, of about now. */
uint32_t live_count(const struct live *live, uint64_t hash);

#endif
