/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/token - what our Record-Route (and Path) carries, authenticated.
 *
 * A dialog-forming request leaves with `Record-Route: <sip:HOST:PORT;lr;r=TOKEN>`. The token
 * proves that we let the dialog through, so that a request with To tag and Route is no open relay,
 * and names the flow of each side that is NATed or on a stream (DESIGN.md, Flows):
 *
 *   kind, MAC (8 bytes) over Call-ID, caller's tag and everything else in the token, then
 *   per side (caller, callee), when needed: transport, listener, remote address, connection,
 *   AOR key and instance hash. `local` of a flow is not kept.
 *
 * The sides are masked: each party sees the token, and is not to read in it where the other is, or
 * who, when that one calls by a temporary GRUU (RFC 5627 §3.1.2) or without a name.
 *
 * The MAC is right with the caller's tag only, so the direction is known without more bytes.
 * Written as lower-case base32hex (digits and a-v): tokens are compared without case by some.
 * 15 characters when no side needs its flow.
 */
#ifndef PROXY_TOKEN_H
#define PROXY_TOKEN_H

#include "base/builder.h"
#include "base/flow.h"
#include "base/hash.h"

/** One side of a dialog. has_flow false: routed by its URI alone. */
struct proxy_side {
    bool has_flow;
    struct flow flow;
    struct slice aor;  /* AOR key of the user there; empty: none */
    uint32_t instance; /* hash of +sip.instance or of the contact URI; 0: none */
};

struct proxy_token {
    struct proxy_side caller;
    struct proxy_side callee;
    /* The caller showed no credentials: both flows are there in any case, and the core keeps the
     * dialog between these two. */
    bool guarded;
    /* Where the callee himself is, if guarded and the way to him was a Path; no family: not known.
     * Only the host counts. */
    struct addr behind;
    /* The callee is a stranger: the caller's flow is there in any case, likewise. */
    bool outside;
};

enum {
    PROXY_TOKEN_MAX = 512,
    PROXY_TOKEN_SCRATCH = 256
};

/** Writes the token's text. ERR_TOO_BIG when it does not fit in `b`. */
MUST_CHECK enum err proxy_token_write(struct builder *b, const struct hash_key *key,
                                      const struct proxy_token *token, struct slice call_id,
                                      struct slice caller_tag);

/**
 * Checks and reads the token of a request in a dialog. `from_caller` says whether the request's
 * From tag is the caller's. Slices borrow from `scratch`. ERR_DENIED: not ours, or not of this
 * dialog.
 */
MUST_CHECK enum err proxy_token_read(struct slice text, const struct hash_key *key,
                                     struct slice call_id, struct slice from_tag,
                                     struct slice to_tag, char scratch[static PROXY_TOKEN_SCRATCH],
                                     struct proxy_token *out, bool *from_caller);

/**
 * Writes the token of a flow for a Path (RFC 5626 §5.2): transport, listener, remote address and
 * connection, with a MAC of 8 bytes over them. It belongs to no dialog. ERR_TOO_BIG when it does
 * not fit.
 */
MUST_CHECK enum err proxy_path_write(struct builder *b, const struct hash_key *key,
                                     const struct flow *flow);

/** Checks and reads one. ERR_DENIED: not ours, or changed on its way. */
MUST_CHECK enum err proxy_path_read(struct slice text, const struct hash_key *key,
                                    struct flow *out);

#endif
