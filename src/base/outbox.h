/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox - the messages a worker sends in this turn of its loop.
 *
 * The core writes messages one after another into one buffer; the owner of the
 * outbox (net/, or the simulator) sends all of them when the turn ends or when
 * the buffer is full. Nothing in it refers to the core's memory.
 *
 *     struct builder b = outbox_open(outbox, SIZE);
 *     ... write ...
 *     outbox_commit(outbox, &b, &flow);
 */
#ifndef BASE_OUTBOX_H
#define BASE_OUTBOX_H

#include "base/builder.h"
#include "base/flow.h"

enum {
    OUTBOX_ITEMS = 256,
    OUTBOX_BYTES = 512 * 1024
};

struct outbox_item {
    struct flow to;
    uint32_t topic; /* those of one topic to one address leave in this order; others need not */
    uint32_t offset;
    uint32_t len;
};

struct outbox;
/** Sends all items and empties the outbox (count = 0, used = 0). */
typedef void outbox_flush_fn(struct outbox *outbox, void *user);

struct outbox {
    outbox_flush_fn *flush;
    void *user;
    char *buffer; /* owned by whoever made the outbox: OUTBOX_BYTES */
    uint32_t used;
    uint32_t count;
    uint32_t topic; /* of what is committed from now on: a hash of the call; 0: of no call */
    struct outbox_item items[OUTBOX_ITEMS];
};

/** Room for one message of up to `max_bytes` (<= 66,000). Flushes first if there is none. */
static inline struct builder outbox_open(struct outbox *outbox, uint32_t max_bytes)
{
    assert(max_bytes <= 66000);

    if (outbox->count == OUTBOX_ITEMS || OUTBOX_BYTES - outbox->used < max_bytes)
        outbox->flush(outbox, outbox->user);
    return builder_over(outbox->buffer + outbox->used, max_bytes);
}

/** The message opened last is complete: it goes to `to`. Call with b->overflow unset. */
static inline void outbox_commit(struct outbox *outbox, const struct builder *b,
                                 const struct flow *to)
{
    assert(!b->overflow);
    assert(b->data == outbox->buffer + outbox->used);

    outbox->items[outbox->count++] = (struct outbox_item){
        .to = *to, .topic = outbox->topic, .offset = outbox->used, .len = (uint32_t)b->len};
    outbox->used += ((uint32_t)b->len + 15u) & ~15u;
    if (outbox->used > OUTBOX_BYTES)
        outbox->used = OUTBOX_BYTES;
}

/** Queues a copy of finished bytes. */
static inline void outbox_send(struct outbox *outbox, struct slice bytes, const struct flow *to)
{
    struct builder b = outbox_open(outbox, (uint32_t)bytes.len);
    builder_add(&b, bytes);
    outbox_commit(outbox, &b, to);
}

#endif
