/* SPDX-License-Identifier: Apache-2.0 */
/*
 * binding - the bindings of one address-of-record as one immutable block.
 *
 * The block is what the location table holds, what the journal writes and what
 * the store reads back: packed, position-independent, host byte order, checked
 * when it comes from a file. An AOR's bindings change only as a whole.
 */
#ifndef BASE_BINDING_H
#define BASE_BINDING_H

#include "base/builder.h"
#include "base/flow.h"

enum {
    BINDINGS_MAX = 64,       /* per AOR, whatever the configuration says */
    BINDING_SET_MAX = 65535, /* bytes of a packed set */
};

/** One binding, unpacked: slices borrow from the block. */
struct binding {
    struct slice contact;  /* URI as registered, without < > */
    struct slice call_id;  /* of the REGISTER that made or refreshed it */
    struct slice path;     /* "<sip:..>,<sip:..>" as received, in order; empty: none */
    struct slice instance; /* +sip.instance; empty: none */
    struct slice user_agent;
    /* further Contact parameters ";a=b;c": no expires, q, instance, reg-id */
    struct slice params;
    uint64_t expires_ms;    /* wall clock, UTC */
    uint64_t registered_ms; /* wall clock of the last refresh */
    /* Temporary GRUUs of its instance count from then on (RFC 5627 §5.1), wall clock; 0: it has
     * none. The same for all bindings of an instance. */
    uint64_t gruu_since_ms;
    uint32_t cseq;
    uint32_t reg_id;
    uint16_t q;       /* 0..1000 */
    bool nat;         /* the contact is not where it came from: use `flow` */
    bool flow_lost;   /* its connection is gone: kept, not tried */
    bool push;        /* we wake the phone by the push parameters of its contact: base/push.h */
    bool push_gone;   /* but its push service does not know it any more: it is not woken */
    struct flow flow; /* by which it registered */
};

/** Is its phone woken when somebody wants it? */
static inline bool binding_wakes(const struct binding *binding)
{
    return binding->push && !binding->push_gone;
}

/** A set while it is built. */
struct binding_set {
    struct slice aor; /* the key */
    uint32_t count;
    struct binding items[BINDINGS_MAX];
};

/** Writes the block. ERR_TOO_BIG when it exceeds the builder or BINDING_SET_MAX. */
MUST_CHECK enum err binding_set_pack(const struct binding_set *set, struct builder *b);

/** Reads a block; everything borrows from it. ERR_SYNTAX: not a whole, sound block. */
MUST_CHECK enum err binding_set_unpack(struct slice block, struct binding_set *out);

/**
 * Writes a block piece by piece: begin, `count` times add, end with the builder's length from
 * before begin. Overflow is the builder's until end, which answers as binding_set_pack() does.
 */
void binding_block_begin(struct builder *b, struct slice aor);
void binding_block_add(struct builder *b, const struct binding *binding);
MUST_CHECK enum err binding_block_end(struct builder *b, size_t begin, uint32_t count);

/** At most so many bytes are written for the key and for a binding. */
size_t binding_block_begin_bytes(struct slice aor);
size_t binding_block_add_bytes(const struct binding *binding);

/** The key of a block that is known to be sound and not empty. */
struct slice binding_block_aor(struct slice block);

/** Bindings in a block that is known to be sound, expired or not; an empty one has none. */
uint32_t binding_count(struct slice block);

/** Walks a block that is known to be sound, without unpacking all: *cursor = 0 first. */
bool binding_next(struct slice block, uint32_t *cursor, struct binding *out);

#endif
