/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/far - what the node finds by names (RFC 3263): domains with gateways, who calls them
 * through it, and the DNS between. Apart from the phones, with accounts of its own.
 *
 *   zone.c   the names, what the DNS says of them and when, and what each worker was told
 *   far.c    those who call: a proxy that the node trusts, and a stranger
 *   gates.c  the gateways that are called
 *   hops.c   was it the right target, in its turn, in time?
 *
 * Everything is drawn with dice of its own: the phones do the same with it and without.
 */
#ifndef SIM_FAR_H
#define SIM_FAR_H

#include "sim.h"

enum {
    FAR_HOSTS = 8,
    FAR_PORTS = 3, /* 5060 and up */
    FAR_DOMAINS = 6,
    FAR_RECORDS = 3, /* SRV of one service */
    FAR_NAMES = FAR_DOMAINS * 3 + FAR_HOSTS,
    FAR_TYPES = DNS_NAPTR + 1,
    FAR_TARGETS = 16,
    FAR_CALLS = 128,
    FAR_CALLER = 1, /* who calls: host N of 10.0.3.0 */
    FAR_STRANGER = 2,
    FAR_TRANSPORTS = 2, /* UDP, TCP */
    FAR_WAIT_MS = 8000, /* that a request waits for a name */
    FAR_LIFE_MS = 32000,
    FAR_SLACK_MS = 60, /* timers, mailboxes */
    FAR_DEAD_MS = 32000,
    FAR_DEAD_MOST_MS = 600000,
};

struct far_record {
    unsigned order, weight; /* of NAPTR: order, preference */
    unsigned host, port;    /* of A: host alone; port is an index */
    bool tcp;               /* of NAPTR */
};

/** What a name has of a type. */
struct far_set {
    struct far_record records[FAR_RECORDS];
    unsigned count;
};

/** What the DNS told a worker last. */
struct far_told {
    struct far_set set;
    bool failed;
    uint64_t at_ms, ends_ms, expires_ms; /* at_ms 0: never */
};

struct far_target {
    unsigned host, port, order;
    bool tcp;
    bool tried;
    bool alive, dead; /* surely, when the request was sent on; neither: nobody can say */
};

/** A branch of the node's. */
struct far_branch {
    char name[96];
    int target; /* in the call's list; -1: vague */
    unsigned host, port;
    bool tcp, over, heard;
    uint64_t at_ms;
};

/** How a request says where it goes. */
enum far_form {
    FORM_DOMAIN = 0, /* NAPTR, SRV, addresses */
    FORM_TRANSPORT,  /* ;transport=tcp: SRV, addresses */
    FORM_HOST,       /* a port: addresses */
    FORM_COUNT,
};

struct far_call {
    uint32_t number; /* 0: free */
    uint32_t client, generation, worker, boot;
    enum far_form form;
    unsigned domain; /* of FORM_HOST: the host */
    bool tcp, invite, by_route, taken, vague, listed, cancelled, answered, heard, doubtful;
    bool passed; /* a branch said something final but 503 */
    uint64_t taken_ms, due_ms;
    unsigned tries, final;
    struct far_target list[FAR_TARGETS];
    unsigned list_count;
    struct far_branch branches[FAR_TARGETS];
    unsigned branch_count;
    char text[1024];
};

/** A target, as a worker knows it. */
struct far_health {
    uint64_t failed_ms, answered_ms; /* 0: never */
    uint64_t dead_until_ms;          /* at least */
    bool said;                       /* it has said so itself: not longer either */
    bool vague;
};

struct far_leg {
    char branch[96];
    unsigned host, port;
    bool tcp, invite, acked;
    unsigned status, tries;
    uint32_t generation;
    char text[2048];
};

struct far {
    struct rng rng;
    struct far_set zone[FAR_NAMES][FAR_TYPES];
    char names[FAR_NAMES][40];
    struct far_told told[SIM_WORKERS_MAX][FAR_NAMES][FAR_TYPES];
    struct far_health health[SIM_WORKERS_MAX][FAR_HOSTS][FAR_PORTS][FAR_TRANSPORTS];
    struct far_call calls[FAR_CALLS];
    struct far_leg legs[FAR_CALLS];
    uint64_t learned_ms[SIM_WORKERS_MAX]; /* a worker, last: of a name or of a target */
    uint32_t leg_next, numbers;
    uint64_t swept_ms;
    unsigned checked, failovers; /* so that one can see that something was looked at */
};

/* zone.c */
void zone_draw(struct sim *sim);
/** The index of a name; FAR_NAMES: none of these. */
unsigned zone_find(const struct far *far, const char *name);
unsigned zone_domain(unsigned domain);
unsigned zone_srv(unsigned domain, bool tcp);
unsigned zone_host(unsigned host);

/* far.c */
bool far_chance(struct sim *sim, unsigned pct);
uint64_t far_range(struct sim *sim, uint64_t from, uint64_t to);
/** Puts a message on its way: `from` and `to` are SIM_FAR + host, or the node. */
void far_deliver(struct sim *sim, uint32_t from, uint32_t to, unsigned port, bool tcp,
                 const char *text);
struct far_call *far_call_of(struct sim *sim, const char *text);
void far_timer(struct sim *sim, enum far_timer_kind what, uint32_t which, uint32_t generation,
               uint64_t in_ms);

/* gates.c */
void gate_receive(struct sim *sim, unsigned host, unsigned port, bool tcp, const char *text);
void gate_again(struct sim *sim, uint32_t which, uint32_t generation);
/** Is nobody there, so that the sender is told? */
bool gate_is_closed(const struct sim *sim, unsigned host);

/* hops.c */
/** It sends this one. */
void hops_out(struct sim *sim, uint32_t worker, const struct flow *to, const char *text);

#endif
