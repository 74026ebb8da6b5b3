/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - objects of one size, named by slot and generation.
 *
 * Others keep a struct id, never a pointer: the generation is bumped each
 * time a slot is freed, so a stale id finds nothing. Slots come from slabs of
 * 64 objects that are never moved; freed slots are used last in, first out.
 *
 * Thread:  the worker that owns it.
 * Limit:   `capacity` objects; then NULL.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/mem.h"

/** Names an object, also after its end. Zeroed: names nothing. */
struct id {
    uint32_t slot;
    uint32_t generation; /* never 0 in a live id */
};

static inline bool id_equal(struct id a, struct id b)
{
    return a.slot == b.slot && a.generation == b.generation;
}

enum {
    POOL_SLAB = 64,
    POOL_OBJECT_MAX = 1024
};

/** The head of 64 objects. A generation is odd while its slot is live, even while it is free. */
struct pool_slab {
    uint32_t generations[POOL_SLAB];
    char objects[]; /* 16-aligned */
};

struct pool {
    struct mem *mem;
    struct pool_slab **slabs; /* capacity / POOL_SLAB pointers, filled as needed */
    size_t object_bytes;      /* rounded up to 16 */
    uint32_t capacity;
    uint32_t made;             /* slots that exist */
    uint32_t count;            /* live objects */
    uint32_t first_generation; /* even, 0 unless set after pool_init(): ids of another run find
                                  nothing */
    uint32_t free_head;        /* slot + 1, 0: none */
};

/** 0 < `object_bytes` <= POOL_OBJECT_MAX. The table of slabs is allocated at once with calloc. */
MUST_CHECK enum err pool_init(struct pool *pool, struct mem *mem, size_t object_bytes,
                              uint32_t capacity);

/** Bytes of that table. The slabs come from `mem`. */
static inline size_t pool_memory(uint32_t capacity)
{
    return ((size_t)capacity + POOL_SLAB - 1) / POOL_SLAB * sizeof(struct pool_slab *);
}

/** All objects must have been freed or be forgotten. */
void pool_release(struct pool *pool);

/** A zeroed object and its id; NULL when full or out of memory. */
MUST_CHECK void *pool_alloc(struct pool *pool, struct id *out);

/** The object, or NULL when the id is stale, made up, or zero. */
static inline void *pool_get(const struct pool *pool, struct id id)
{
    if (id.slot >= pool->made)
        return NULL;
    struct pool_slab *slab = pool->slabs[id.slot / POOL_SLAB];
    uint32_t index = id.slot % POOL_SLAB;
    if (slab->generations[index] != id.generation || (id.generation & 1) == 0)
        return NULL;
    return slab->objects + index * pool->object_bytes;
}

/** Frees; the id is stale from now on. The id must be live. */
void pool_free(struct pool *pool, struct id id);

/** Walks live objects: *cursor = 0 first; NULL at the end. Freeing the one just given is fine. */
void *pool_next(const struct pool *pool, uint32_t *cursor, struct id *out);

#endif
