/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdlib.h>

#include "base/sanitize.h"

enum {
    MEM_STEP = 16,       /* between the small classes */
    MEM_SMALL_MAX = 256, /* the largest of them */
    MEM_SMALL_CLASSES = MEM_SMALL_MAX / MEM_STEP,
    MEM_PER_DOUBLING = 4,
    MEM_CHUNK_BYTES = 1024 * 1024, /* taken from the system at once; untouched pages cost nothing */
};

struct mem_free {
    struct mem_free *next;
};

/* The head of a chunk; 16 bytes, so that what follows is aligned. */
struct mem_chunk {
    struct mem_chunk *next;
    size_t bytes; /* the whole chunk */
};

void mem_init(struct mem *mem, size_t max_bytes)
{
    *mem = (struct mem){.max_bytes = max_bytes};
}

/* The smallest class that holds `size` bytes. */
static unsigned class_of(size_t size)
{
    if (size <= MEM_SMALL_MAX)
        return (unsigned)((size - 1) / MEM_STEP);

    /* 2^n < size <= 2^(n+1), in quarters of 2^n. */
    unsigned n = 63U - (unsigned)__builtin_clzll((unsigned long long)(size - 1));
    unsigned quarter = (unsigned)((size - 1) >> (n - 2)) & 3U;
    return MEM_SMALL_CLASSES + (n - 8) * MEM_PER_DOUBLING + quarter;
}

static size_t class_bytes(unsigned class)
{
    if (class < MEM_SMALL_CLASSES)
        return (size_t)(class + 1) * MEM_STEP;
    if (class == MEM_CLASSES - 1)
        return MEM_MAX_ALLOC;

    unsigned n = 8 + (class - MEM_SMALL_CLASSES) / MEM_PER_DOUBLING;
    unsigned quarter = (class - MEM_SMALL_CLASSES) % MEM_PER_DOUBLING;
    return ((size_t)1 << n) + ((size_t)(quarter + 1) << (n - 2));
}

/* Counts the call and says whether a test wants it to fail. */
static bool mem_fails(struct mem *mem)
{
    mem->allocs++;
    if (mem->fail_at == 0 || mem->allocs < mem->fail_at)
        return false;
    return mem->allocs == mem->fail_at || mem->fail_after;
}

#if SANITIZE_ADDRESS

void mem_release(struct mem *mem)
{
    assert(mem->used_bytes == 0);
    assert(mem->chunks == NULL);
}

void *mem_alloc(struct mem *mem, size_t size)
{
    assert(size > 0);
    assert(size <= MEM_MAX_ALLOC);
    if (mem_fails(mem))
        return NULL;

    size_t bytes = class_bytes(class_of(size));
    if (bytes > mem->max_bytes - mem->used_bytes)
        return NULL;
    void *ptr = malloc(size);
    if (ptr != NULL)
        mem->used_bytes += bytes;
    return ptr;
}

void mem_free(struct mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL)
        return;
    size_t bytes = class_bytes(class_of(size));
    assert(bytes <= mem->used_bytes);
    mem->used_bytes -= bytes;
    free(ptr);
}

#else

void mem_release(struct mem *mem)
{
    assert(mem->used_bytes == 0);

    struct mem_chunk *chunk = mem->chunks;
    while (chunk != NULL) {
        struct mem_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    mem_init(mem, mem->max_bytes);
}

static void mem_push(struct mem *mem, unsigned class, void *ptr)
{
    struct mem_free *block = ptr;
    block->next = mem->classes[class];
    mem->classes[class] = block;
}

/* Cuts the rest of the newest chunk into blocks, the largest first, so that nothing is lost. */
static void mem_use_up_rest(struct mem *mem)
{
    for (unsigned class = MEM_CLASSES; class > 0; class --) {
        size_t bytes = class_bytes(class - 1);
        while (mem->bump_left >= bytes) {
            mem_push(mem, class - 1, mem->bump);
            mem->bump += bytes;
            mem->bump_left -= bytes;
        }
    }
}

/* A new chunk with room for at least `bytes`. */
static bool mem_grow(struct mem *mem, size_t bytes)
{
    size_t left = mem->max_bytes - mem->chunk_bytes;
    size_t size = left < MEM_CHUNK_BYTES ? left & ~(size_t)(MEM_STEP - 1) : MEM_CHUNK_BYTES;
    if (size < sizeof(struct mem_chunk) + bytes)
        return false;
    struct mem_chunk *chunk = malloc(size);
    if (chunk == NULL)
        return false;

    mem_use_up_rest(mem);
    *chunk = (struct mem_chunk){.next = mem->chunks, .bytes = size};
    mem->chunks = chunk;
    mem->chunk_bytes += size;
    mem->bump = (char *)(chunk + 1);
    mem->bump_left = size - sizeof *chunk;
    return true;
}

void *mem_alloc(struct mem *mem, size_t size)
{
    assert(size > 0);
    assert(size <= MEM_MAX_ALLOC);
    if (mem_fails(mem))
        return NULL;

    unsigned class = class_of(size);
    size_t bytes = class_bytes(class);
    struct mem_free *block = mem->classes[class];
    if (block != NULL) {
        mem->classes[class] = block->next;
        mem->used_bytes += bytes;
        return block;
    }
    if (mem->bump_left < bytes && !mem_grow(mem, bytes))
        return NULL;
    void *ptr = mem->bump;
    mem->bump += bytes;
    mem->bump_left -= bytes;
    mem->used_bytes += bytes;
    return ptr;
}

void mem_free(struct mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL)
        return;
    unsigned class = class_of(size);
    size_t bytes = class_bytes(class);
    assert(bytes <= mem->used_bytes);
    mem->used_bytes -= bytes;
    mem_push(mem, class, ptr);
}

#endif

void *mem_zalloc(struct mem *mem, size_t size)
{
    void *ptr = mem_alloc(mem, size);
    if (ptr != NULL)
        memset(ptr, 0, size);
    return ptr;
}
