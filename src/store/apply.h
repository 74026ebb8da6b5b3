/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/apply - from the journal into the database.
 *
 * Thread:  the one that owns the connection.
 */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "base/call_record.h"
#include "store/db.h"
#include "store/record.h"

struct applier {
    struct db *db;    /* borrowed */
    uint64_t applied; /* the last sequence number that is in the database */
    uint64_t hash_seed;
    uint64_t unsound;          /* operations left out: their bytes are not what their kind says */
    struct call_record record; /* one while it is applied */
    struct record *batch;      /* STORE_BATCH_MAX of them */
    uint32_t *seen;            /* which keys the batch has had: index + 1 into it */
};

/** Reads from the database how far it is. */
MUST_CHECK enum err applier_init(struct applier *applier, struct db *db, uint64_t hash_seed);
void applier_release(struct applier *applier);

/**
 * Applies whole records that `bytes` begin with, at most STORE_BATCH_MAX, in one transaction with
 * their last sequence number. Those that are applied already are passed over. `*used` is how many
 * bytes are done. ERR_SYNTAX: no record where one must be. ERR_IO: the database; nothing was done.
 */
MUST_CHECK enum err applier_batch(struct applier *applier, struct slice bytes, size_t *used);

#endif
