/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zone - a resolver over a DNS that is a table in the test: who answers at once, or when told.
 */
#ifndef TESTS_RESOLVE_ZONE_H
#define TESTS_RESOLVE_ZONE_H

#include "resolve/resolve.h"

enum {
    ZONE_ASKED_MAX = 64,
    ZONE_WAITERS_MAX = 16,
    ZONE_ROWS_MAX = 64,
};

/** One record: "A host 192.0.2.1", "SRV name prio weight port target", "NAPTR name order pref flags
 * service regexp target", "NONE type name", "FAIL type name"; all with the TTL in front. */
struct zone_row {
    const char *text;
};

struct zone_asked {
    enum dns_type type;
    char name[256];
    struct id id;
    bool answered;
};

struct zone_waiter {
    struct resolve_waiter waiter;
    unsigned told;
    enum resolve_verdict verdict;
    struct resolve_targets targets;
};

struct zone {
    uint64_t now_ms;
    struct mem mem;
    struct timer_wheel wheel;
    struct rng rng;
    struct resolver *resolver;
    const char *const *rows; /* NULL at the end */
    bool mute;               /* questions stay open */
    bool broken;             /* nothing can be asked */
    unsigned asked_count;
    struct zone_asked asked[ZONE_ASKED_MAX];
    struct zone_waiter waiters[ZONE_WAITERS_MAX];
};

/** UDP, TCP and TLS over IPv4, UDP over IPv6. `limits` NULL: the usual ones. */
void zone_open(struct zone *zone, const char *const *rows, const struct resolve_limits *limits);
void zone_close(struct zone *zone);
/** Answers all that is open, also what is asked then. */
void zone_answer(struct zone *zone);
void zone_pass(struct zone *zone, uint64_t ms);
/** "host[:port][;transport][;sips]" */
struct resolve_query zone_query(const char *text);
/** The end of it, with all questions answered: the targets as "udp:192.0.2.1:5060 ...", or the
 * verdict in words. Static. */
const char *zone_resolve(struct zone *zone, const char *query);
const char *zone_text(enum resolve_verdict verdict, const struct resolve_targets *targets);

#endif
