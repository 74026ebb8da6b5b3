/* SPDX-License-Identifier: Apache-2.0 */
#include "config/memory.h"

#include <stdlib.h>

enum {
    BLOCK_BYTES = 16384,
    ALIGN = 16
};

struct memory_block {
    _Alignas(16) struct memory_block *next;
    size_t size;
    char data[];
};

void *memory_alloc(struct memory *memory, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + (ALIGN - 1)) & ~(size_t)(ALIGN - 1);
    if (memory->blocks == NULL || size > memory->blocks->size - memory->used) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct memory_block *block = calloc(1, sizeof *block + room);
        if (block == NULL)
            return NULL;
        block->size = room;
        block->next = memory->blocks;
        memory->blocks = block;
        memory->used = 0;
    }
    void *piece = memory->blocks->data + memory->used;
    memory->used += size;
    return piece;
}

struct slice memory_copy(struct memory *memory, struct slice text)
{
    char *copy = memory_alloc(memory, text.len + 1);

    if (copy == NULL)
        return SLICE_EMPTY;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return (struct slice){copy, text.len};
}

void memory_release(struct memory *memory)
{
    while (memory->blocks != NULL) {
        struct memory_block *block = memory->blocks;
        memory->blocks = block->next;
        explicit_bzero(block->data, block->size);
        free(block);
    }
    memory->used = 0;
}
