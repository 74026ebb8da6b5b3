/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include "base/sanitize.h"

enum {
    ARENA_ALIGN = 16,
    ARENA_BLOCK_BYTES = 32768
};

struct arena_block {
    struct arena_block *next;
    size_t bytes; /* of `data` */
    char data[];  /* 16-aligned */
};

static struct arena_block *block_new(struct arena *arena, size_t bytes)
{
    size_t size = sizeof(struct arena_block) + bytes;
    if (size > MEM_MAX_ALLOC || size > arena->max_bytes - arena->total_bytes)
        return NULL;
    struct arena_block *block = mem_alloc(arena->mem, size);
    if (block == NULL)
        return NULL;

    *block = (struct arena_block){.bytes = bytes};
    ASAN_POISON_MEMORY_REGION(block->data, bytes);
    arena->total_bytes += size;
    return block;
}

static void block_free(struct arena *arena, struct arena_block *block)
{
    size_t size = sizeof *block + block->bytes;
    ASAN_UNPOISON_MEMORY_REGION(block->data, block->bytes);
    arena->total_bytes -= size;
    mem_free(arena->mem, block, size);
}

/* The usual block, or what the limit leaves. */
static size_t block_bytes(const struct arena *arena)
{
    size_t left = arena->max_bytes - arena->total_bytes;
    size_t size = left < ARENA_BLOCK_BYTES ? left : ARENA_BLOCK_BYTES;
    if (size < sizeof(struct arena_block))
        return 0;
    return (size - sizeof(struct arena_block)) & ~(size_t)(ARENA_ALIGN - 1);
}

enum err arena_init(struct arena *arena, struct mem *mem, size_t max_bytes)
{
    struct arena fresh = {.mem = mem, .max_bytes = max_bytes};

    fresh.first = block_new(&fresh, block_bytes(&fresh));
    if (fresh.first == NULL)
        return ERR_MEMORY;
    fresh.current = fresh.first;
    *arena = fresh;
    return OK;
}

void arena_release(struct arena *arena)
{
    if (arena->first == NULL)
        return;
    arena_reset(arena);
    block_free(arena, arena->first);
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->first->next;
    while (block != NULL) {
        struct arena_block *next = block->next;
        block_free(arena, block);
        block = next;
    }
    arena->first->next = NULL;
    arena->current = arena->first;
    arena->used = 0;
    ASAN_POISON_MEMORY_REGION(arena->first->data, arena->first->bytes);
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > MEM_MAX_ALLOC)
        return NULL;
    size_t rounded = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);

    if (rounded > arena->current->bytes - arena->used) {
        size_t usual = block_bytes(arena);
        struct arena_block *block = block_new(arena, rounded > usual ? rounded : usual);
        if (block == NULL)
            return NULL;
        arena->current->next = block;
        arena->current = block;
        arena->used = 0;
    }
    void *ptr = arena->current->data + arena->used;
    arena->used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(ptr, size);
    return ptr;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    char *copy = arena_alloc(arena, s.len);
    if (copy == NULL)
        return SLICE_EMPTY;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return (struct slice){copy, s.len};
}
