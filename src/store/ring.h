/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/ring - operations on their way from one worker to the journal thread.
 *
 * A ring of bytes with one writer and one reader; neither waits for the other. An entry is never
 * split: what does not fit before the end begins anew at the start.
 *
 * Thread:  ring_push() by the worker; ring_peek() and ring_drop() by the journal thread.
 */
#ifndef STORE_RING_H
#define STORE_RING_H

#include <stdatomic.h>

#include "base/durable.h"

struct ring {
    char *data; /* owned */
    uint64_t capacity;
    _Alignas(64) _Atomic uint64_t head; /* bytes ever taken out: written by the reader */
    _Alignas(64) _Atomic uint64_t tail; /* bytes ever put in: written by the writer */
    uint64_t head_seen;                 /* the writer's copy of head */
};

/** Bytes for that capacity: rounded up to a power of two, at least twice the largest entry. */
size_t ring_memory(size_t capacity);

/** `capacity`: see ring_memory(). */
MUST_CHECK enum err ring_init(struct ring *ring, size_t capacity);
void ring_release(struct ring *ring);

/** Copies the operation in. ERR_FULL: no room. */
MUST_CHECK enum err ring_push(struct ring *ring, const struct durable_op *op, struct id token);

/**
 * The entry at *cursor, borrowed until it is dropped; *cursor moves to the next one. Start with
 * ring_head(). False: none.
 */
bool ring_peek(struct ring *ring, uint64_t *cursor, struct durable_op *op, struct id *token);
uint64_t ring_head(const struct ring *ring);

/** Everything before `cursor` is done with. */
void ring_drop(struct ring *ring, uint64_t cursor);

/** Bytes in use. Any thread. */
uint64_t ring_used(const struct ring *ring);

#endif
