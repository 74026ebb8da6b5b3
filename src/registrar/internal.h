/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registrar/internal - one REGISTER at work: what the files of this room share.
 */
#ifndef REGISTRAR_INTERNAL_H
#define REGISTRAR_INTERNAL_H

#include "registrar/gruu.h"
#include "registrar/push.h"
#include "registrar/registrar.h"

enum {
    REGISTER_FIELDS_OVERHEAD = 256, /* Date, Require, and the names of Path and Service-Route */
};

/** One Contact of the request. */
struct wanted {
    struct sip_contact contact;
    struct sip_uri uri;
    uint32_t granted; /* seconds; 0: to be removed */
    bool push;        /* its phone is woken by us */
};

/** One binding on its way from the present block to the new one. */
struct entry {
    struct binding binding;
    bool current; /* it is in the present block */
    bool touched; /* this request has made or removed it */
    bool gone;
};

struct work {
    const struct registrar_config *config;
    const struct sip_msg *msg;
    const struct flow *source;
    struct arena *arena;
    struct registrar_result *out;
    uint64_t now_ms;
    struct slice aor;
    struct slice path; /* of the request, values joined with commas */
    bool path_ok;
    bool star;
    bool outbound; /* a flow was registered, by a phone that knows RFC 5626 */
    bool gruu;     /* the phone wants GRUUs, and can have them */
    struct gruu_work gruus;
    struct push_work push;
    uint32_t wanted_count;
    uint32_t entry_count;
    struct wanted *wanted;
    struct entry *entries;
};

/**
 * Writes a refusal into the result. `reason` empty: the usual one. `fields`: whole lines, of the
 * arena or constant. Returns ERR_DENIED, for its caller to return.
 */
enum err register_refuse(struct work *w, uint16_t status, struct slice reason, struct slice fields);

/** A builder over `size` (> 0) bytes of the arena; capacity 0: no memory. */
struct builder register_builder(struct arena *arena, size_t size);

/**
 * Folding becomes spaces: a binding's strings are written into header lines (RFC 3261 §7.3.1).
 * `*out` is `s` or of the arena. ERR_MEMORY.
 */
enum err register_unfold(struct arena *arena, struct slice s, struct slice *out);

/** Did the request come through somebody else, who may not have written himself into Path? */
bool register_is_relayed(const struct sip_msg *msg);

/** Reads what is wanted into `w`. ERR_DENIED: refused; ERR_MEMORY. */
enum err register_take(struct work *w);

/** Unpacks the bindings of `current` that have not expired (RFC 3261 §10.2.2). ERR_MEMORY. */
enum err register_load(struct work *w, struct slice current);

/**
 * A binding has the Call-ID and CSeq of this request: the request was processed before. OK with
 * `*repeat` false: it was another one; true: all it asks for is as it asks. ERR_DENIED: something
 * is not, refused with 500.
 */
enum err register_repeats(struct work *w, bool *repeat);

/** Makes and removes bindings in `w` as the request says (§10.3 steps 6, 7). ERR_DENIED,
 * ERR_MEMORY. */
enum err register_change(struct work *w);

/** Writes the new block, if anything changed, and the 200 into the result. ERR_DENIED, ERR_MEMORY.
 */
enum err register_finish(struct work *w);

#endif
