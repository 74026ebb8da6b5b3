/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - memory for one job, freed whole.
 *
 * Scratch memory of a worker for one message: reset after each. Grows by
 * blocks of the worker's `mem` up to `max_bytes`; the first block is kept.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/mem.h"

struct arena_block;

struct arena {
    struct mem *mem; /* borrowed */
    struct arena_block *first;
    struct arena_block *current;
    size_t used; /* in the current block */
    size_t total_bytes;
    size_t max_bytes;
};

MUST_CHECK enum err arena_init(struct arena *arena, struct mem *mem, size_t max_bytes);
void arena_release(struct arena *arena);

/** Forgets everything handed out. */
void arena_reset(struct arena *arena);

/** 16-aligned, uninitialised; NULL at the limit. */
MUST_CHECK void *arena_alloc(struct arena *arena, size_t size);

/** A copy that lives as long as the arena's content; data is NULL at the limit. */
struct slice arena_copy(struct arena *arena, struct slice s);

#endif
