/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/memory - pieces that are freed together.
 */
#ifndef CONFIG_MEMORY_H
#define CONFIG_MEMORY_H

#include "base/err.h"
#include "base/slice.h"

struct memory_block;

/** Zeroed at first. */
struct memory {
    struct memory_block *blocks;
    size_t used; /* in the newest block */
};

/** Zeroed, 16-aligned; NULL when there is none. */
MUST_CHECK void *memory_alloc(struct memory *memory, size_t size);

/** A copy, with a NUL after it; data is NULL when there is no memory. */
struct slice memory_copy(struct memory *memory, struct slice text);

/** Wipes them too: there may be passwords among them. */
void memory_release(struct memory *memory);

#endif
