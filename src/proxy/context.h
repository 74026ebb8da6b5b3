/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/context - the response context (RFC 3261 §16.6) and its branches. Private.
 *
 * A context lives from proxy_forward() until nothing can be forwarded any more: after a
 * final response other than a 2xx to INVITE, at once; after a 2xx to INVITE, until the
 * server transaction leaves Accepted (RFC 6026 §7.1). Transactions name it and a branch by
 * one 64-bit number; what comes later finds nothing:
 *
 *   generation(32) slot(24) branch(8)
 */
#ifndef PROXY_CONTEXT_H
#define PROXY_CONTEXT_H

#include "proxy/proxy.h"

enum {
    PROXY_BRANCHES_MAX = PROXY_TARGETS_MAX, /* in the life of one context */
    PROXY_CONTEXTS_MAX = 1 << 24,           /* slots that fit into the number */
    PROXY_HEAD_MAX = 2560,                  /* bytes of our own lines in a request */
    PROXY_SCRATCH = SIP_MESSAGE_MAX,        /* one request while it is written */
    PROXY_CHALLENGES_MAX = 8192,            /* bytes of challenges merged into one response */
    PROXY_RECURSE_MAX = 8,                  /* targets of one Contact of a 3xx */
    PROXY_WOKEN_MAX = 8,                    /* flows of a phone that was asleep */
    PROXY_SILENCE_MS = 32000,               /* 64*T1: how long a request without answer is kept */
    PROXY_STEPS_MAX = 200,                  /* of one request's plan */
    SERVER_BRANCH = 255,                    /* "branch" of the server transaction's number */
    STEP_BRANCH = 254,                      /* of the number by which a plan is waited for */
};

/** How a branch stands. */
enum branch_state {
    BRANCH_NONE = 0,
    BRANCH_PENDING, /* no final response yet */
    BRANCH_DONE,    /* a final response, or a failure that counts as one */
};

struct branch {
    struct id client;
    uint64_t timer_c_ms; /* when Timer C fires; UINT64_MAX: not, or fired */
    uint32_t instance;   /* of the target */
    uint32_t group;      /* of the target */
    uint64_t aor_hash;   /* of the target */
    uint64_t flow_name;  /* of the target */
    uint8_t state;       /* enum branch_state */
    uint8_t breadth;     /* its share of Max-Breadth (RFC 5393 §5.3) */
    bool rang;           /* a provisional response came */
    bool cancelled;      /* a CANCEL was asked for */
    bool timed_out;      /* by Timer C: its 487 counts as a timeout */
    bool given_up;       /* its step is over: nobody waits for it, but a 2xx is welcome */
    bool by_size;        /* it went by a stream for its size (RFC 3261 §18.1.1) */
    bool at_edge;        /* of the target */
};

/** A target that waits for its turn. */
struct plan_target {
    struct proxy_target target;
    bool done;        /* started, or waited for, or given up */
    bool waits;       /* for its phone to register; then `wait` is the core's name of that */
    bool by_udp;      /* a stream could not be had: whatever its size */
    uint8_t branch;   /* that tries or tried it; PROXY_BRANCHES_MAX: none */
    struct id client; /* reserved for it, while the request waits; zero: none */
    struct id wait;
};

/** The step of a request's plan that is at work. */
struct step {
    uint64_t begun_ms;
    struct proxy_patience patience;
    struct proxy_end end; /* as far as it is known; outcome 0: nobody has failed yet */
    bool heard;           /* a response came */
    bool over;            /* there is no further step */
    bool later;           /* proxy_go_on() is waited for */
    uint8_t count;        /* of steps */
};

/** Targets in one block of memory with their texts. The first also holds the request's facts. */
struct plan {
    struct plan *next;
    uint32_t bytes;
    uint16_t count;
    uint16_t group_q;             /* of the targets at work */
    int16_t credentials;          /* index of the field, -1: none */
    struct proxy_request request; /* slices in this block; msg, source and credentials unset */
    struct step step;             /* where the request has a plan */
    struct plan_target targets[];
};

struct context {
    struct timer timer; /* the next Timer C; of a silent non-INVITE, its end */
    struct id self;
    struct id server;
    struct proxy *proxy; /* borrowed */
    struct plan *plan;   /* owned; NULL: no more targets */
    struct branch *more; /* owned: branches from 1 on */
    char *best;          /* owned: the best response so far; NULL: made from its status */
    char *challenges;    /* owned: lines of other 401s and 407s */
    uint64_t start_ms;
    uint64_t call; /* whose news are told; 0: nobody asks */
    struct branch first;
    uint32_t best_len;
    uint16_t challenges_len;
    uint16_t best_status; /* 0: none */
    uint8_t branch_count;
    uint8_t more_capacity;
    uint8_t pending;  /* branches without final response */
    uint8_t given_up; /* of the pending ones: their step is over */
    uint8_t waiting;  /* targets whose phones are being woken */
    uint8_t breadth;  /* incoming Max-Breadth */
    uint8_t held;     /* calls that are at work on it: not freed before they are done */
    bool invite;
    bool secure;       /* the Request-URI was sips: no recursion to less (§16.7 step 4) */
    bool best_trusted; /* its sender may say who he is (RFC 3325) */
    bool answered;     /* a final response went to the caller */
    bool closed;       /* to be freed when no longer held */
    bool cancelled;    /* by the caller */
    bool timed_out;    /* a branch ended by timeout: counts as 408 */
    bool unreachable;  /* a branch ended by a transport error: counts as 503 */
    bool asleep;       /* a phone was not woken: counts as 480 */
    bool silent;       /* waits for its end without an answer (RFC 4320 §4.2) */
    bool waits;        /* for proxy_release() */
    bool oc;           /* the caller asks for overload control (RFC 7339) */
    bool located;      /* its targets are registrations: nobody else need hear of their flows */
    bool by_flow;      /* the target is bound to a flow: unreachable means that it is gone */
    bool registers;    /* a REGISTER that we have put our Path into */
    uint8_t watch;     /* of the request; 0: nobody listens to its responses (any more) */
};

/** What is needed while one message is written. Here and not on the stack, which is cleared. */
struct proxy_work {
    struct sip_edits edits;
    struct sip_msg msg; /* a request or response that is parsed again */
    char head[PROXY_HEAD_MAX];
    char uri[SIP_START_LINE_MAX];
    char message[PROXY_SCRATCH];
};

struct proxy {
    struct proxy_config config;
    struct pool contexts;
    struct proxy_counters counters;
    struct proxy_work work;
    bool response_trusted; /* of the one at hand */
};

/* context.c */

/** The branch with an index below branch_count. */
static inline struct branch *branch_at(struct context *c, unsigned index)
{
    assert(index < c->branch_count);
    return index == 0 ? &c->first : &c->more[index - 1];
}

/** Tells who asks; nothing when nobody does. */
static inline void context_tell(const struct context *c, struct proxy_news news, uint64_t now_ms)
{
    if (c->call == 0)
        return;
    news.call = c->call;
    c->proxy->config.news(c->proxy->config.user, &news, now_ms);
}

/** The number by which a transaction names it and one of its branches, or SERVER_BRANCH. */
uint64_t context_number(const struct context *c, unsigned branch);
/** What is named so, and `*branch`; NULL: nothing any more. */
struct context *context_find(const struct proxy *proxy, uint64_t number, unsigned *branch);

void context_hold(struct context *c);
/** Frees it if it was closed meanwhile. */
void context_unhold(struct context *c);
/** Nothing is to be forwarded any more. */
void context_close(struct context *c);
/** Frees the best response so far, and the challenges. */
void context_forget_best(struct context *c);

/* plan.c */

/** No further targets; nobody is waited for. */
void plan_free(struct context *c);

/** None of them has a turn any more, and no phone is waited for; what is being tried goes on. */
void plan_settle(struct context *c);

/** The target at a place of all, in order; NULL: there are not so many. */
struct plan_target *plan_at(const struct context *c, unsigned index);

/** Targets in all, tried or not. */
uint32_t plan_count(const struct context *c);

/** Appends targets, in order of appearance; those whose URI is there already are left out. */
MUST_CHECK enum err plan_add(struct context *c, const struct proxy_request *request,
                             const struct proxy_target *targets, uint32_t count);

/* branch.c */

/**
 * Sends to one target (§16.6 steps 2 to 11) as a new branch, with `breadth` of Max-Breadth. `slot`:
 * where it stands in the plan; NULL: there is none, then ERR_AGAIN says that one is needed, as the
 * request may have to be sent twice (§18.1.1). Other errors: of forward_write() and
 * txn_client_send(), ERR_FULL, ERR_MEMORY; nothing was sent.
 */
MUST_CHECK enum err branch_start(struct context *c, const struct proxy_request *request,
                                 const struct proxy_target *target, struct plan_target *slot,
                                 unsigned breadth, uint64_t now_ms);

/** Tells who asks that a branch was sent, or is planned. */
void branch_tell(const struct context *c, enum proxy_event event, struct id client,
                 const struct proxy_target *target, struct slice branch, uint64_t now_ms);

/** CANCELs a pending branch, once, with a Reason line, which may be empty. */
void branch_cancel(struct context *c, struct branch *branch, struct slice reason, uint64_t now_ms);

/** CANCELs all pending branches with a Reason line, which may be empty (§16.7 step 10). */
void context_cancel_pending(struct context *c, struct slice reason, uint64_t now_ms);

/** Its timer fires at that time at the latest, and looks what is due. */
void context_arm(struct context *c, uint64_t due_ms);

/** Timer C of its branches (§16.8), the end of a step's time, or the end of a context that waits
 * for it in silence. */
void branch_on_timer(struct timer *timer, uint64_t now_ms);

/* targets.c */

/** The phone has answered by one flow: it is not asked again by another. 0: nothing. */
void targets_settle_instance(struct context *c, uint32_t instance);
/** The name has answered by one of its addresses: the others are not asked. 0: nothing. */
void targets_settle_group(struct context *c, uint32_t group);

/** Gives transactions to the targets that will be tried first, so that their branches are known. */
void targets_reserve(struct context *c, const struct proxy_request *request, uint64_t now_ms);

/**
 * Starts what is due: of the group at work, or of the next one when none is. Returns how many;
 * `*error` says why the last that could not be started was not.
 */
unsigned targets_launch(struct context *c, const struct proxy_request *request, enum err *error,
                        uint64_t now_ms);

/** The facts of the request that the plan keeps, with `msg`, which is that request. */
struct proxy_request context_request(const struct context *c, const struct sip_msg *msg);

/** Is a branch at work whose step is not over, or a phone waited for? */
static inline bool targets_busy(const struct context *c)
{
    return c->pending > c->given_up || c->waiting > 0;
}

/** After a branch has ended: starts what is next, or answers when nothing is left. */
void context_advance(struct context *c, uint64_t now_ms);

/* steps.c */

/** The step at work; NULL: the request has no plan. */
static inline struct step *step_of(const struct context *c)
{
    return c->plan != NULL && c->plan->request.plan != 0 ? &c->plan->step : NULL;
}

/** A step's time begins. */
void steps_begin(struct context *c, const struct proxy_patience *patience, uint64_t now_ms);

/** When the step at work has to be looked at, unless something happens; UINT64_MAX: never. */
uint64_t steps_due_ms(const struct context *c);

/** Ends the step at work if its time is over. */
void steps_on_timer(struct context *c, uint64_t now_ms);

/** Notes what a branch was answered: below 200, or 300 and more. */
void steps_heard(struct context *c, const struct branch *branch, const struct sip_msg *response);

/** A branch ended without one. `rang`: there was somebody. */
void steps_lost(struct context *c, const struct branch *branch, bool rang);

/** Nobody is at work: takes the next step's targets into the plan. False: there is none now. */
bool steps_next(struct context *c, uint64_t now_ms);

/** Does the plan still have something to say? */
bool steps_left(const struct context *c);

/** Who never said anything is not waited for: the caller is about to be answered. */
void steps_drop_silent(struct context *c, uint64_t now_ms);

/* forward.c */

/**
 * Writes the request of one branch (§16.6 steps 2 to 9) into `b`. ERR_TOO_BIG: it exceeds the
 * builder or needs too many edits. ERR_SYNTAX: a Route that cannot be read.
 */
MUST_CHECK enum err forward_write(struct proxy *proxy, const struct proxy_request *request,
                                  const struct proxy_target *target, struct slice branch,
                                  unsigned breadth, struct builder *b);

/* response.c */

/** Takes off what is said of the sender's identity, unless we trust him; and trust `to`, too, when
 * he wants to be unknown. forward.c */
void edit_identity(const struct proxy *proxy, struct sip_edits *edits, bool trusted,
                   const struct addr *to);

/** The order of §16.7 step 6: the lowest is the best. `cancelled`: the caller waits for 487. */
unsigned response_rank(uint16_t status, bool cancelled);

/** What a 503 says of when to come again, in seconds (RFC 3261 §20.33); 0: nothing to be read. */
uint32_t response_retry_after(const struct sip_msg *response);

/** A response of 300 or more: kept if it is the best, its challenges if they may be needed. */
void response_store(struct context *c, const struct sip_msg *response);

/** Sends a response to the caller without our Via. */
void response_forward(struct context *c, const struct sip_msg *response, uint64_t now_ms);

/** All branches are done: the best response goes to the caller, and the context ends. */
void response_finish(struct context *c, uint64_t now_ms);

/** §16.7 step 4: targets from a 3xx. True: nothing of the response is left to be stored. */
bool response_recurse(struct context *c, const struct sip_msg *response, uint64_t now_ms);

#endif
