/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - a worker's memory: size classes over large chunks, last freed first used.
 *
 * Nothing on the packet path calls malloc. Sizes are rounded up to a class
 * (16-byte steps to 256, then four classes per doubling, to 72 KiB); each
 * class has a free list. Chunks are never given back: a worker that was busy
 * once stays ready. Under AddressSanitizer every allocation is its own, so
 * that misuse is seen.
 *
 * Thread:  the worker that owns it.
 * Limit:   `max_bytes` in all chunks together; then NULL.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/err.h"
#include "base/slice.h"

enum {
    MEM_CLASSES = 49,
    MEM_MAX_ALLOC = 73728
};

struct mem_free;
struct mem_chunk;

struct mem {
    struct mem_free *classes[MEM_CLASSES];
    struct mem_chunk *chunks;
    char *bump; /* the rest of the newest chunk */
    size_t bump_left;
    size_t chunk_bytes; /* held in chunks */
    size_t max_bytes;
    size_t used_bytes; /* handed out and not freed */
    uint64_t allocs;   /* counts up; for tests and metrics */
    uint64_t fail_at;  /* tests: the alloc with this number fails (1 = first); 0: none */
    bool fail_after;   /* tests: all from fail_at on fail */
};

void mem_init(struct mem *mem, size_t max_bytes);

/** Gives all chunks back to the system. Everything handed out must have been freed. */
void mem_release(struct mem *mem);

/** Uninitialised bytes, 16-aligned; NULL at the limit. Requires 0 < size <= MEM_MAX_ALLOC. */
MUST_CHECK void *mem_alloc(struct mem *mem, size_t size);

/** As mem_alloc(), zeroed. */
MUST_CHECK void *mem_zalloc(struct mem *mem, size_t size);

/** `size` is what was asked for. NULL is fine. */
void mem_free(struct mem *mem, void *ptr, size_t size);

#endif
