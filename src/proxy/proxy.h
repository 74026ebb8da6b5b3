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
    struct slice aor;   /* AOR key the target was found under; empty: none */
    uint32_t instance;  /* for the token; targets of one instance: the next only if the first fails
                           at once */
    uint32_t group;     /* not 0: of those with the same number the next is tried only when the one
                           before did not answer, refused, or said 503 (RFC 3263 §4.3) */
    uint64_t aor_hash;  /* of `aor`, for flow_failed() */
    uint64_t flow_name; /* not 0: names its binding, for flow_failed() */
    bool at_edge;       /* that flow ends at an edge, who says 430 when it is gone */
    uint64_t asleep_ms; /* not 0: its phone has to register first, later than then by the wall
                           clock (RFC 8599): see proxy_config.wake */
};

/** How long a step of a plan is given, from its beginning; each 0: not watched. */
struct proxy_patience {
    uint32_t ring_ms;     /* then nobody has answered: who still rings is cancelled */
    uint32_t silent_ms;   /* in which some response must come, were it a 100 */
    uint32_t progress_ms; /* in which one from 101 to 199 must come */
    bool hunts; /* its targets stand for themselves: a 6xx of one is no word of the others (else
                   RFC 3261 §16.7 step 5 ends the call) */
};

/** Why a step is over without an answer; of several targets the one furthest down. */
enum proxy_outcome {
    PROXY_UNREACHED = 1, /* nobody was there: no target, no way, no response at all, 430 */
    PROXY_FAILED,        /* any other failure */
    PROXY_BUSY,          /* 486, 600 */
    PROXY_DECLINED,      /* 403, 603, 607 */
    PROXY_UNANSWERED,    /* 408, 480, or the step's time was over */
};

/** How a step ended. */
struct proxy_end {
    enum proxy_outcome outcome;
    uint16_t status;        /* of the best response of this step's targets; 0: there was none */
    uint32_t retry_after_s; /* of a 503; 0: it did not say */
    bool rang;              /* somebody sent one of 101 to 199 */
    bool early_media;       /* with a session description */
};

/** What a plan goes on with. Copied. */
struct proxy_step {
    const struct proxy_target *targets;
    uint32_t count; /* 0: this step has nobody, and ends as PROXY_UNREACHED */
    struct proxy_patience patience;
};

/** What there is after a step. */
enum proxy_next {
    PROXY_NEXT_STEP = 1, /* `*step` */
    PROXY_NEXT_LATER,    /* it will be told by proxy_go_on() */
    PROXY_NEXT_NONE,     /* the best response so far is the caller's answer, */
    PROXY_NEXT_REPLY,    /* or this one of the plan's own: `*reply`, 300 to 699 */
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
    bool path;     /* a REGISTER that we pass on as an edge: put us into Path (RFC 3327 §5.2), */
    bool path_ob;  /* as the first hop, so that `source` is the phone's flow (RFC 5626 §5.1) */
    bool by_flow;  /* one target, bound to its flow: when that is gone the answer is 430 */
    uint8_t watch; /* given to heard() with responses to it; 0: nobody listens */
    uint64_t call; /* whose news are told; 0: nobody asks */
    uint64_t plan; /* goes on when all targets are done: proxy_config.next_step; 0: there is none */
    struct proxy_patience patience; /* with those that proxy_forward() is given */
    bool wait; /* INVITE: nothing is sent before proxy_release(), not even a 100 by the core */
};

/** What happens to a request that has a `call`. */
enum proxy_event {
    PROXY_LEG_PLANNED = 1, /* it will be tried when the request is released: target, branch */
    PROXY_LEG_SENT,        /* target, branch */
    PROXY_LEG_RESPONSE,    /* response: any but 100 */
    PROXY_LEG_FAILED,      /* without a final response; status: as which it counts */
    PROXY_TOLD,            /* the caller, a final response: status, and `response` if it was one */
    PROXY_GONE,            /* the caller's transaction has ended without a final response */
};

struct proxy_news {
    enum proxy_event event;
    uint64_t call;
    struct id client;                  /* of a leg: its transaction */
    const struct proxy_target *target; /* borrowed, as all below */
    struct slice branch;
    const struct sip_msg *response;
    uint16_t status;
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
    /** A target of a group did not answer, or has; NULL: nobody asks. `retry_after_s`: of its 503;
     * 0: it did not say. */
    void (*hop_failed)(void *user, const struct flow *to, uint32_t retry_after_s, uint64_t now_ms);
    void (*hop_answered)(void *user, const struct flow *to);
    /** The same, but it was not asked by an INVITE: RFC 4320 §4.2 allows that; NULL: nobody asks.
     */
    void (*hop_silent)(void *user, const struct flow *to, uint64_t now_ms);
    /**
     * It is the turn of a target that is asleep: its phone is to be woken. What comes of it is
     * told by proxy_woken() with this `waiter`, never from within; `*wait` names it until then.
     * False: that cannot be done now. NULL: no target is ever asleep.
     */
    bool (*wake)(void *user, const struct proxy_target *target, const struct proxy_request *request,
                 uint64_t waiter, uint64_t now_ms, struct id *wait);
    /** Nobody waits for it any more. */
    void (*stop_waiting)(void *user, struct id wait);
    /** The flow of a target with `flow_name` is gone: its edge says so (430), or, where there is
     * none, the phone's host (TXN_CLOSED). NULL: nobody asks. */
    void (*flow_failed)(void *user, uint64_t aor_hash, uint64_t flow_name);
    /** A REGISTER with `path` was accepted by the registrar; NULL: nobody asks. */
    void (*registered)(void *user, const struct flow *source);
    /**
     * A response to the INVITE of `server` that has a `watch`, before it is forwarded: a 2xx, or
     * another one of the only branch that is left. True: nothing more is to be heard.
     */
    bool (*heard)(void *user, struct id server, const struct sip_msg *response, unsigned watch);
    /**
     * A step of a request's plan is over: what is next? A plan must come to an end; it is not asked
     * again after it said so. `waiter`: for proxy_go_on(). NULL: no request has a plan.
     */
    enum proxy_next (*next_step)(void *user, uint64_t plan, const struct proxy_end *end,
                                 uint64_t waiter, uint64_t now_ms, struct proxy_step *step,
                                 uint16_t *reply);
    /** Nobody asks for it any more; told once for each request with a plan, never from within
     * next_step(). */
    void (*plan_done)(void *user, uint64_t plan);
    uint32_t flow_timer_s; /* told to a phone on a stream that registers so; 0: not */
    /** Hears of requests that have a call; borrowed until return. NULL: nobody does. */
    void (*news)(void *user, const struct proxy_news *news, uint64_t now_ms);
    /** As txn_config.oc, for responses on their way through. NULL: nothing. */
    struct slice (*oc)(void *user, const struct flow *source);
};

struct proxy_counters {
    uint64_t forwarded, branches, streams, stream_fallbacks, responses, cancels, timer_c,
        best_responses[7], full, too_big, woken, steps;
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
 * 503, ERR_TOO_BIG: 513, ERR_NOT_FOUND: 440 or 480, ERR_CONFLICT: 480, its phone cannot be woken);
 * a plan's first step that cannot be begun is no error while there are others.
 */
MUST_CHECK enum err proxy_forward(struct proxy *proxy, const struct proxy_request *request,
                                  const struct proxy_target *targets, uint32_t count,
                                  uint64_t now_ms);

/**
 * An INVITE that was to wait goes on its way, or is answered when it was cancelled meanwhile. `msg`
 * is txn_server_request(), parsed again. An error, as of proxy_forward(): nothing was sent and it
 * is forgotten. ERR_CONFLICT: none waits.
 */
MUST_CHECK enum err proxy_release(struct proxy *proxy, struct id server, const struct sip_msg *msg,
                                  uint64_t now_ms);

/** One that waits is forgotten: the caller answers it. */
void proxy_abandon(struct proxy *proxy, struct id server);

/** Writes the Via line of a request that went to `to` by that branch. */
void proxy_via_write(const struct proxy *proxy, const struct flow *to, struct slice branch,
                     struct builder *b);

/** The caller's CANCEL for the INVITE whose server transaction is `server` (§16.10): pending
 * branches are cancelled. */
void proxy_cancel(struct proxy *proxy, struct id server, uint64_t now_ms);

/** The same with header lines for the CANCELs, such as the Reason lines of the caller's (RFC 3326).
 * Copied. */
void proxy_cancel_with(struct proxy *proxy, struct id server, struct slice fields, uint64_t now_ms);

/**
 * The phone that `waiter` waits for (proxy_config.wake) has registered: these targets are tried in
 * the sleeping one's place. None: it did not, or not in time. Who does not wait any more is passed
 * over.
 */
void proxy_woken(struct proxy *proxy, uint64_t waiter, const struct proxy_target *targets,
                 uint32_t count, uint64_t now_ms);

/**
 * What PROXY_NEXT_LATER promised to `waiter`, as next_step() would have said it; `step` for
 * PROXY_NEXT_STEP, `reply` for PROXY_NEXT_REPLY. Who does not wait any more is passed over.
 */
void proxy_go_on(struct proxy *proxy, uint64_t waiter, enum proxy_next next,
                 const struct proxy_step *step, uint16_t reply, uint64_t now_ms);

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
