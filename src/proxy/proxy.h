/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy - from targets to the best response (RFC 3261 §16.6 to §16.12, RFC 5393).
 *
 * The core has validated, authenticated and preprocessed the request and has
 * found its targets. This room makes the response context: it sends branches in
 * parallel and in sequence by q, forwards provisional responses and every 2xx, picks the best
 * failure, merges challenges, cancels what is left, watches Timer C, and recurses on 3xx
 * where that is configured.
 *
 * Thread:  the worker that owns it; no locks.
 * Memory:  a pool of response contexts; targets are copied into the context's own block.
 * Limit:   config.contexts_max; PROXY_TARGETS_MAX per context.
 * Public headers: proxy.h token.h gruu.h
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include "proxy/token.h"
#include "txn/txn.h"

struct proxy;

enum {
    PROXY_TARGETS_MAX = 64,
    PROXY_UDP_MAX = 1300,   /* bytes of a request by UDP (RFC 3261 §18.1.1): we know no path MTU */
    PROXY_MAX_BREADTH = 60, /* RFC 5393 §5.3.3.1: when the request says nothing */
};

/** One place to try. Everything is copied by proxy_forward(). */
struct proxy_target {
    struct slice uri; /* the new Request-URI */
    struct slice
        routes;     /* "<sip:..;lr>, <..>" put before the request's own Route; empty: none (Path) */
    struct flow to; /* next hop, resolved: where the bytes go */
    uint16_t q;     /* 0..1000: higher first, equal ones in parallel */
    bool nat;       /* the callee's side of the token needs its flow */
    struct slice aor;  /* AOR key the target was found under; empty: none */
    uint32_t instance; /* for the token; targets of one instance: the next only if the first fails
                          at once */
    uint64_t aor_hash; /* of `aor`, for flow_failed() */
    uint64_t edge;     /* not 0: names the Path and Contact of its binding, for flow_failed() */
    uint32_t group;    /* not 0: of those with the same number the next is tried only when the one
                          before did not answer, refused, or said 503 (RFC 3263 §4.3) */
};

/** What preprocessing (§16.4) and authentication found: how the request must be changed. */
struct proxy_request {
    struct id server;          /* its server transaction; zero id: an ACK, forwarded statelessly */
    const struct sip_msg *msg; /* borrowed until return */
    const struct flow *source;
    struct slice uri;     /* Request-URI after preprocessing; used where a target has none */
    uint16_t routes_drop; /* Route values taken off the top */
    bool route_last_drop; /* the last Route value went into the Request-URI (strict predecessor) */
    const struct sip_field *credentials; /* Proxy-Authorization we consumed; NULL: none (§22.3) */
    bool record_route;                   /* dialog-forming: insert ours (§16.6 step 4) */
    bool trusted;                        /* its sender may say who he is (RFC 3325) */
    bool reaches_outside;                /* the caller may be led outside, by a redirection */
    struct proxy_side caller;            /* for the token */
    bool guarded;                        /* for the token */
    bool outside;                        /* for the token, of targets without an AOR */
    uint32_t loop;                       /* hash of RFC 5393 §4.2 */
    bool in_dialog;                      /* routed by Route and token: one target, no recursion */
    bool path;    /* a REGISTER that we pass on as an edge: put us into Path (RFC 3327 §5.2), */
    bool path_ob; /* as the first hop, so that `source` is the phone's flow (RFC 5626 §5.1) */
    bool by_flow; /* one target, bound to its flow: when that is gone the answer is 430 */
};

struct proxy_config {
    uint32_t worker;
    uint32_t contexts_max;
    uint32_t timer_c_ms; /* > 180,000 unless configured otherwise */
    bool recurse_on_3xx;
    struct mem *mem;
    struct timer_wheel *wheel;
    struct outbox *outbox;
    struct rng *rng;
    struct txn_table *txns;
    struct hash_key token_key;
    const struct listener *listeners; /* immutable, outlives the proxy */
    uint32_t listener_count;
    void *user; /* for the functions below */
    /** Writes host:port of ours as `to`'s side shall see it: sent-by and Record-Route. */
    void (*write_our_address)(void *user, struct builder *b, const struct flow *to);
    /**
     * Targets for a Contact of a 3xx: as for a new Request-URI. `outside`: the caller's
     * reaches_outside. Returns how many were written.
     */
    uint32_t (*resolve)(void *user, struct slice uri, bool outside, struct proxy_target *out,
                        uint32_t max, uint64_t now_ms);
    /** May who is there be told what the network says of a party that wants to be unknown? NULL:
     * nobody may. */
    bool (*is_trusted)(void *user, const struct addr *remote);
    /**
     * A request is too large for a datagram (PROXY_UDP_MAX) and would go by `udp`: may it go by a
     * stream, to the same address? NULL: never. If no connection can be had `udp` is used, after
     * hop_failed() for `stream`.
     */
    bool (*may_stream)(void *user, const struct flow *udp, struct flow *stream, uint64_t now_ms);
    /** A target of a group did not answer, or has; NULL: nobody asks. */
    void (*hop_failed)(void *user, const struct flow *to, uint64_t now_ms);
    void (*hop_answered)(void *user, const struct flow *to);
    /** The edge says of a target with `edge` that its flow is gone (430); NULL: nobody asks. */
    void (*flow_failed)(void *user, uint64_t aor_hash, uint64_t edge);
    /** A REGISTER with `path` was accepted by the registrar; NULL: nobody asks. */
    void (*registered)(void *user, const struct flow *source);
    uint32_t flow_timer_s; /* told to a phone on a stream that registers so; 0: not */
    /** As txn_config.oc, for responses on their way through. NULL: nothing. */
    struct slice (*oc)(void *user, const struct flow *source);
};

struct proxy_counters {
    uint64_t forwarded, branches, streams, stream_fallbacks, responses, cancels, timer_c,
        best_responses[7], full, too_big;
};

MUST_CHECK enum err proxy_open(const struct proxy_config *config, struct proxy **out);
void proxy_close(struct proxy *proxy);
const struct proxy_counters *proxy_counters(const struct proxy *proxy);
uint32_t proxy_count(const struct proxy *proxy);

/**
 * Carries a request to its targets (at least one). For INVITE 100 has been sent. Answers by itself
 * whatever happens then. Sets the server transaction's context. An ACK or a request without server
 * transaction goes to the first target, statelessly: its branch is derived from the request, so
 * that retransmissions keep it (§16.11). ERR_*: nothing was sent, the caller answers (ERR_FULL:
 * 503, ERR_TOO_BIG: 513, ERR_NOT_FOUND: 440 or 480).
 */
MUST_CHECK enum err proxy_forward(struct proxy *proxy, const struct proxy_request *request,
                                  const struct proxy_target *targets, uint32_t count,
                                  uint64_t now_ms);

/** The caller's CANCEL for the INVITE whose server transaction is `server` (§16.10): pending
 * branches are cancelled. */
void proxy_cancel(struct proxy *proxy, struct id server, uint64_t now_ms);

/** The same with header lines for the CANCELs, such as the Reason lines of the caller's (RFC 3326).
 * Copied. */
void proxy_cancel_with(struct proxy *proxy, struct id server, struct slice fields, uint64_t now_ms);

/** To be called by the owner of struct txn_user: events of transactions whose context is the
 * proxy's. `trusted`: who sent the response may say who he is (RFC 3325). */
void proxy_on_response(struct proxy *proxy, struct id client, uint64_t context,
                       const struct sip_msg *response, bool trusted, uint64_t now_ms);
void proxy_on_failure(struct proxy *proxy, struct id client, uint64_t context,
                      enum txn_failure failure, uint64_t now_ms);
void proxy_on_server_end(struct proxy *proxy, struct id server, uint64_t context, uint64_t now_ms);
void proxy_on_client_end(struct proxy *proxy, struct id client, uint64_t context, uint64_t now_ms);

/**
 * The loop hash (RFC 5393 §4.2.1): keyed, over everything that decides where a request goes:
 * Request-URI, Route, Proxy-Require; not over Via, Max-Forwards or credentials of others.
 */
uint32_t proxy_loop_hash(const struct hash_key *key, const struct sip_msg *msg);

/** Is our own Via in the stack with the same loop hash (§16.3 step 4): 482? `is_ours` compares
 * sent-by. */
bool proxy_is_loop(const struct sip_msg *msg, uint32_t loop,
                   bool (*is_ours)(void *user, const struct sip_via *via), void *user);

/** Bytes that a proxy takes at most beside its `mem`. */
size_t proxy_memory_max(uint32_t contexts_max);

#endif
