/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <stdlib.h>

#include "base/sanitize.h"

static size_t slab_bytes(const struct pool *pool)
{
    return sizeof(struct pool_slab) + POOL_SLAB * pool->object_bytes;
}

static size_t slab_count(const struct pool *pool)
{
    return ((size_t)pool->capacity + POOL_SLAB - 1) / POOL_SLAB;
}

static struct pool_slab *slab_of(const struct pool *pool, uint32_t slot)
{
    assert(slot < pool->made);
    return pool->slabs[slot / POOL_SLAB];
}

static void *object_at(const struct pool *pool, uint32_t slot)
{
    return slab_of(pool, slot)->objects + slot % POOL_SLAB * pool->object_bytes;
}

enum err pool_init(struct pool *pool, struct mem *mem, size_t object_bytes, uint32_t capacity)
{
    assert(object_bytes > 0);
    assert(object_bytes <= POOL_OBJECT_MAX);
    assert(capacity > 0);

    struct pool fresh = {
        .mem = mem,
        .object_bytes = (object_bytes + 15) & ~(size_t)15,
        .capacity = capacity,
    };
    fresh.slabs = calloc(slab_count(&fresh), sizeof(struct pool_slab *));
    if (fresh.slabs == NULL)
        return ERR_MEMORY;
    *pool = fresh;
    return OK;
}

void pool_release(struct pool *pool)
{
    if (pool->slabs == NULL)
        return;
    for (size_t i = 0; i < slab_count(pool) && pool->slabs[i] != NULL; i++) {
        ASAN_UNPOISON_MEMORY_REGION(pool->slabs[i]->objects, POOL_SLAB * pool->object_bytes);
        mem_free(pool->mem, pool->slabs[i], slab_bytes(pool));
    }
    free(pool->slabs);
    *pool = (struct pool){0};
}

/* One more slot at the end; false when full or out of memory. */
static bool slot_make(struct pool *pool)
{
    if (pool->made == pool->capacity)
        return false;
    struct pool_slab **slab = &pool->slabs[pool->made / POOL_SLAB];
    if (*slab == NULL) {
        struct pool_slab *fresh = mem_alloc(pool->mem, slab_bytes(pool));
        if (fresh == NULL)
            return false;
        for (uint32_t i = 0; i < POOL_SLAB; i++)
            fresh->generations[i] = pool->first_generation;
        ASAN_POISON_MEMORY_REGION(fresh->objects, POOL_SLAB * pool->object_bytes);
        *slab = fresh;
    }
    pool->made++;
    return true;
}

void *pool_alloc(struct pool *pool, struct id *out)
{
    uint32_t slot = pool->made;
    bool reused = pool->free_head != 0;

    if (reused)
        slot = pool->free_head - 1;
    else if (!slot_make(pool))
        return NULL;

    void *object = object_at(pool, slot);
    ASAN_UNPOISON_MEMORY_REGION(object, pool->object_bytes);
    if (reused)
        memcpy(&pool->free_head, object, sizeof pool->free_head);
    memset(object, 0, pool->object_bytes);

    uint32_t *generation = &slab_of(pool, slot)->generations[slot % POOL_SLAB];
    assert((*generation & 1) == 0);
    (*generation)++;
    pool->count++;
    *out = (struct id){.slot = slot, .generation = *generation};
    return object;
}

void pool_free(struct pool *pool, struct id id)
{
    void *object = pool_get(pool, id);
    assert(object != NULL);

    slab_of(pool, id.slot)->generations[id.slot % POOL_SLAB]++;
    memcpy(object, &pool->free_head, sizeof pool->free_head);
    ASAN_POISON_MEMORY_REGION(object, pool->object_bytes);
    pool->free_head = id.slot + 1;
    pool->count--;
}

void *pool_next(const struct pool *pool, uint32_t *cursor, struct id *out)
{
    for (; *cursor < pool->made; (*cursor)++) {
        uint32_t generation = slab_of(pool, *cursor)->generations[*cursor % POOL_SLAB];
        if ((generation & 1) == 0)
            continue;
        *out = (struct id){.slot = *cursor, .generation = generation};
        return object_at(pool, (*cursor)++);
    }
    return NULL;
}
