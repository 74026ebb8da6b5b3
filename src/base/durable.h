/* SPDX-License-Identifier: Apache-2.0 */
/*
 * durable - the interface to the store: operations that outlive the process.
 *
 * The core posts an operation with a token; it is written to the journal, synced
 * in a group, and the token comes back as a receipt (or as an error). The bytes
 * are copied before append() returns. Order is kept.
 */
#ifndef BASE_DURABLE_H
#define BASE_DURABLE_H

#include "base/err.h"
#include "base/pool.h"
#include "base/slice.h"

/** What an operation does. The numbers are in journals: never change one. */
enum durable_kind {
    /* key: AOR key; value: packed binding set (base/binding.h), empty: all gone */
    DURABLE_BINDINGS = 1,
    /* key: the record's id, 8 bytes; value: the whole record (base/call_record.h) */
    DURABLE_CALL = 2,
};

struct durable_op {
    uint16_t kind; /* enum durable_kind */
    struct slice key;
    struct slice value;
};

struct durable_ops {
    void *user;
    /**
     * Queues an operation of this worker. ERR_FULL: the queue or the journal is full, nothing
     * was queued. After OK exactly one receipt with `token` follows, never from within append().
     */
    enum err (*append)(void *user, const struct durable_op *op, struct id token);
};

#endif
