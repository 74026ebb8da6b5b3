/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/watch - what the files of the watch share: its accounts of both sides of each transaction.
 *
 *   watch.c     what the node is told, and what follows from it
 *   targets.c   where a request may go, and in whose turn
 *   requests.c  the requests that the node sends
 *   answers.c   the responses that it sends
 *   due.c       what was due and did not come; what may be forgotten
 */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "sim.h"

enum {
    BUCKETS = 1024,
    T1 = 500,
    T2 = 4000,
    LIFE_MS = 64 * T1,
    TOLERANCE_MS = 3,
    SWEEP_MS = 10,
    TARGETS_MAX = 64,
    BREADTH_MAX = 60, /* ours, as our manual says */
    REDIRECTED_MAX = 8,
    CHILDREN_MAX = 64,
    LOSS_TOLD_MS = 5,          /* all workers know of a lost connection */
    ANSWER_MS = 30,            /* a mailbox there and back, and timers */
    REGISTER_ANSWER_MS = 6000, /* a line of them, each with its receipt */
    GONE_MS = 80000,
    STALE_MS = 250000, /* after the end of all, in a long run: calls are checked before that */
};
#define NEVER UINT64_MAX

struct served;

/** A request that the node sent. */
struct sent {
    struct sent *chain, *next;
    struct served *parent; /* NULL: a CANCEL */
    char branch[96], method[16];
    uint32_t to;
    bool reliable;
    char *text;
    uint64_t first_ms, resend_ms, timer_c_ms, cancel_ms, final_ms, done_ms;
    uint32_t gap_ms;
    bool provisional, cancelled, by_timer_c, refused, doubtful, unlisted, stale;
    bool followed, partly; /* its redirection: all of it, or some */
    unsigned breadth;
    unsigned final, acks_due;
    char *final_text;
    int target; /* index in the parent's targets, or -1 */
};

/** A request that the node took. */
struct served {
    struct served *chain, *next;
    char branch[96], method[16];
    uint32_t phone;
    bool reliable, in_dialog, located, certain, cancelled, acked, doubtful, stateless;
    bool resend_due, overloaded;
    bool stale;                  /* to be forgotten */
    bool unlisted;               /* swept out of the list of what is at work */
    bool loop, loop_unknown;     /* it came back for the same URI; who knows */
    bool merged, merged_unknown; /* it came by another way, too */
    bool spiral;                 /* it came back for another URI: what brought it is under way */
    char reason[64];             /* of the CANCEL for it */
    unsigned breadth;
    uint64_t at_ms, located_ms, final_ms, acked_ms, resend_ms, cancelled_ms;
    uint32_t gap_ms;
    unsigned status, final; /* of what was sent last; of the final response */
    char *text, *last;
    struct sent *children[CHILDREN_MAX];
    unsigned child_count;
    struct sim_binding targets[TARGETS_MAX];
    bool started[TARGETS_MAX];
    unsigned target_count;
    unsigned user;            /* that it was for, when it was located */
    unsigned copies, answers; /* of a request that is refused without a transaction */
    char refused_to[128];     /* the To of that refusal */
    uint32_t waited_ms;       /* before the node took it */
    uint32_t conn;            /* of its phone then; 0: none */
    unsigned wanted;          /* a CANCEL's answer; 0: any */
};

struct watch {
    struct sent *sent_heads[BUCKETS], *sent;
    struct served *served_heads[BUCKETS], *served;
    uint64_t swept_ms;
    bool touched; /* something came or went in this turn */
    /* due in this turn */
    struct served *pass_to, *fresh;
    char *pass_text;
    char *ack_text;
    struct sent *ack_child;
    struct served *resend;
};

/** Is `at` held up by another flow of its phone (RFC 5626 section 5.3)? */
enum held {
    HELD_NOT = 0,
    HELD_BUSY,   /* until that one fails at once */
    HELD_SETTLED /* the phone was reached, or waited for: it is not tried any more */
};

/* watch.c */
unsigned watch_bucket_of(const char *branch, const char *method);
char *watch_copy_of(const char *text);
struct sent *watch_find_sent(const struct watch *watch, const char *branch, const char *method);
/** The latest with this name. */
struct served *watch_find_served(const struct watch *watch, const char *branch, const char *method);
bool watch_is_invite(const char *method);
/** Has this branch no result yet, as far as the node can know? */
bool watch_is_pending(const struct sent *sent, uint64_t now_ms);
void watch_turn_clear(struct watch *watch);
void watch_name_of(const char *text, unsigned via, char branch[static 96], char method[static 16]);
unsigned watch_breadth_of(const char *text);
bool watch_same_start(const char *a, const char *b);
bool watch_same_field(const char *a, const char *b, const char *name, unsigned n);

/* targets.c */
bool watch_has_six(const struct served *served);
/** The user that a Request-URI of ours names; SIM_PHONES_MAX: none of them. */
unsigned watch_user_of_request(struct sim *sim, const char *text);
void watch_locate(struct sim *sim, struct served *served);
/** Can nobody say which of its targets the node knows to be gone, as letters between its workers
 * are lost? */
bool watch_is_unsure(const struct sim *sim, const struct served *served);
/** Is the other proxy the next hop of this message, by its Route? */
bool watch_by_router(const char *text);
/** The same URI with and without Path are two. */
int watch_find_target(const struct served *served, const char *uri, bool routed);
/** When a branch that is over ended. */
uint64_t watch_ended_ms(const struct sent *child);
/** What a phone goes by: its instance, else its contact; what a redirection names directly:
 * nothing. */
const char *watch_flow_name(const struct sim_binding *target);
enum held watch_held_up(const struct served *served, unsigned at, uint64_t now_ms);
/** RFC 3261 section 16.7 step 4: a 3xx is followed, where that is configured and may be. */
void watch_follow(struct sim *sim, struct sent *child);
void watch_check_hop_in_dialog(struct sim *sim, uint32_t to, const char *uri, const char *text);
/** Where may this new branch go? Gives the index of its target, or -1. */
int watch_check_target(struct sim *sim, struct served *served, uint32_t to, const char *text);
/** Is a target left that must be tried before a failure may be answered? */
bool watch_has_target_left(const struct served *served, uint64_t now_ms);

/* requests.c */
/** What the branches at work have of the Max-Breadth (RFC 5393 section 5.3.3). */
unsigned watch_breadth_used(const struct served *served, uint64_t now_ms);
void watch_request_out(struct sim *sim, uint32_t to, const char *text);

/* answers.c */
/** By timeout: also the 487 that Timer C brought about, and a 408 to anything but INVITE. */
bool watch_counts_as_timeout(const struct sent *child);

#endif
