/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_table - a location table in which nobody is, and that keeps nothing.
 */
#ifndef TESTS_NO_TABLE_H
#define TESTS_NO_TABLE_H

#include "core/core.h"

static inline struct slice no_table_find(void *user, struct slice key, uint64_t hash)
{
    (void)user;
    (void)key;
    (void)hash;
    return SLICE_EMPTY;
}

static inline struct slice no_table_find_hash(void *user, uint64_t hash, struct slice *key)
{
    (void)user;
    (void)hash;
    *key = SLICE_EMPTY;
    return SLICE_EMPTY;
}

static inline enum err no_table_put(void *user, struct slice key, uint64_t hash, struct slice block,
                                    uint32_t note)
{
    (void)user;
    (void)key;
    (void)hash;
    (void)block;
    (void)note;
    return OK;
}

static inline void no_table_remove(void *user, struct slice key, uint64_t hash)
{
    (void)user;
    (void)key;
    (void)hash;
}

#endif
