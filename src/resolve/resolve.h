/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve - from the name of a next hop to the addresses to try, in order (RFC 3263).
 *
 * Pure: it is given the time and the answers of the DNS, and gives back questions and lists. A walk
 * over what is known (walk.c) either comes to its end or names the questions that are open; it is
 * walked anew when they are answered. What is known stands in a cache by TTL, of nothing, too
 * (RFC 2308). Targets that failed are tried last for some time (RFC 3263 §4.3).
 *
 *   core -> resolver_find()          at once, from the cache
 *        -> resolver_wait()          when that says RESOLVE_ASK
 *   net  -> resolver_answer()        to a question of config.ask
 *        -> config.done()            to everybody who waits for that name
 *
 * Thread:  the worker that owns it; no locks.
 * Memory:  the worker's mem.
 * Limits:  struct resolve_limits; RESOLVE_TARGETS_MAX of one name, RESOLVE_HOSTS_MAX hosts behind
 * it. Public headers: resolve.h
 */
#ifndef RESOLVE_RESOLVE_H
#define RESOLVE_RESOLVE_H

#include "base/dns.h"
#include "base/flow.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/timer.h"

struct resolver;

enum {
    RESOLVE_TARGETS_MAX = 8,    /* addresses of one name that are tried; the rest is left out */
    RESOLVE_HOSTS_MAX = 8,      /* hosts of SRV records that are looked up for one name */
    RESOLVE_SERVICES_MAX = 8,   /* NAPTR records whose SRV are asked for; the rest is left out */
    RESOLVE_QUESTIONS_MAX = 24, /* open at once for one name */
    RESOLVE_URI_MAX = 512,      /* bytes of what ENUM makes of a number */
};

/** What is asked for: the host of a URI; or, for a response, the sent-by and transport of its Via,
 * which is never NONE (RFC 3263 §5). */
struct resolve_query {
    struct slice host; /* a name, or numeric; of a URI its maddr, if it has one */
    uint16_t port;     /* 0: none given */
    uint8_t transport; /* enum transport; NONE: not said */
    bool sips;         /* a sips URI: over TLS, all the way */
};

struct resolve_target {
    struct addr addr;
    uint8_t transport; /* enum transport */
    uint64_t name;     /* over TLS: of the host that was asked for, as in struct flow; else 0 */
};

/** In the order in which they are to be tried (§4.3). */
struct resolve_targets {
    struct resolve_target items[RESOLVE_TARGETS_MAX];
    uint32_t count;
};

enum resolve_verdict {
    RESOLVE_DONE = 1,  /* there are targets */
    RESOLVE_ASK,       /* not known yet: resolver_wait() */
    RESOLVE_NOTHING,   /* there is no such host, or it says that it takes no calls */
    RESOLVE_UNUSABLE,  /* it takes calls, but by no transport or family of ours */
    RESOLVE_NO_ANSWER, /* the DNS failed, or took too long */
};

/** Somebody who waits. Embedded in the owner, who forgets it by resolver_forget(). */
struct resolve_waiter {
    struct list node;
};

struct resolve_limits {
    uint32_t cache_max;     /* answers kept; then the one that was used longest ago goes */
    uint32_t questions_max; /* open at once; then ERR_FULL */
    uint32_t lookups_max;   /* names that are waited for; then ERR_FULL */
    uint32_t dead_max;      /* targets remembered as dead or silent; then the oldest goes */
    uint32_t wait_ms;       /* for a name; then with what is known, or RESOLVE_NO_ANSWER */
};

static inline struct resolve_limits resolve_limits_default(void)
{
    return (struct resolve_limits){.cache_max = 4096,
                                   .questions_max = 2048,
                                   .lookups_max = 1024,
                                   .dead_max = 1024,
                                   .wait_ms = 8000};
}

struct resolve_config {
    struct mem *mem; /* borrowed, as all below */
    struct timer_wheel *wheel;
    struct rng *rng;
    uint64_t hash_seed;
    struct hash_key name_key;     /* for struct resolve_target's names */
    uint8_t usable_v4, usable_v6; /* sets of 1 << enum transport: what our listeners can send by */
    struct resolve_limits limits;
    void *user;
    /** Asks the DNS. Answered later by resolver_answer(), never from within. False: it cannot be
     * asked, which counts as DNS_FAILED. The name is borrowed until return; NUL-terminated. */
    bool (*ask)(void *user, enum dns_type type, const char *name, struct id question);
    /** The end of a wait: a verdict other than RESOLVE_ASK, with targets if it is RESOLVE_DONE.
     * Called once for each waiter, from resolver_answer() or the timer wheel. */
    void (*done)(void *user, struct resolve_waiter *waiter, enum resolve_verdict verdict,
                 const struct resolve_targets *targets);
};

struct resolve_counters {
    uint64_t lookups;                             /* names that had to be waited for */
    uint64_t found, nothing, unusable, no_answer; /* verdicts, waited for or not */
    uint64_t questions;                           /* to the DNS */
    uint64_t answers, answers_nothing, answers_failed;
    uint64_t cache_hits;    /* answers that were there */
    uint64_t stale;         /* an old answer was used because there was no new one */
    uint64_t evicted;       /* answers that made room for others */
    uint64_t late;          /* names that took longer than limits.wait_ms */
    uint64_t full;          /* limits.questions_max or lookups_max was reached */
    uint64_t cut;           /* names with more hosts or addresses than are tried */
    uint64_t dead;          /* times that a target was found to be dead */
    uint64_t recovered;     /* dead ones that answered again */
    uint64_t dead_put_last; /* targets that were tried last for being dead */
    uint32_t cached, waiting, dead_now;
};

MUST_CHECK enum err resolver_open(const struct resolve_config *config, struct resolver **out);
/** Nobody is told any more. */
void resolver_close(struct resolver *resolver);
/** Bytes that it takes at most beside its `mem`. */
size_t resolver_memory_max(const struct resolve_limits *limits);

/** What is known now. Targets are written if it is RESOLVE_DONE. */
enum resolve_verdict resolver_find(struct resolver *resolver, const struct resolve_query *query,
                                   uint64_t now_ms, struct resolve_targets *out);

/**
 * Asks what is missing and has `waiter` told. Who waits for the same name waits for the same
 * questions. ERR_FULL, ERR_MEMORY, ERR_SYNTAX (longer than any name): nothing will be told.
 */
MUST_CHECK enum err resolver_wait(struct resolver *resolver, const struct resolve_query *query,
                                  struct resolve_waiter *waiter, uint64_t now_ms);
/** He waits no longer. One who does not wait is fine. */
void resolver_forget(struct resolve_waiter *waiter);

/** The answer to a question of config.ask; a stale id is fine. Borrowed until return. */
void resolver_answer(struct resolver *resolver, struct id question, const struct dns_answer *answer,
                     uint64_t now_ms);

/**
 * A target did not answer, refused, or said 503 (RFC 3263 §4.3): for some time, twice as long each
 * time, it is tried after all others.
 */
void resolver_failed(struct resolver *resolver, const struct resolve_target *target,
                     uint64_t now_ms);
/** As before, but it has said itself for how many seconds (Retry-After): bounded to 1 s and to what
 * is the most without that. The latest word counts. */
void resolver_failed_for(struct resolver *resolver, const struct resolve_target *target,
                         uint32_t seconds, uint64_t now_ms);
/**
 * A request other than an INVITE was not answered within 64*T1. That says little of the target: a
 * proxy there tells no 408 for the silence of whom it asked (RFC 4320 §4.2), and whoever is let
 * through could have a good one put last. So it has failed only if nothing at all comes from it
 * until another one, which was sent after this one had ended, is not answered either.
 */
void resolver_silent(struct resolver *resolver, const struct resolve_target *target,
                     uint64_t now_ms);
/** It has answered. */
void resolver_answered(struct resolver *resolver, const struct resolve_target *target);
bool resolver_is_dead(const struct resolver *resolver, const struct resolve_target *target,
                      uint64_t now_ms);

void resolver_counters(const struct resolver *resolver, struct resolve_counters *out);

/* ---- ENUM (RFC 6116) ---- */

/** Writes the name to ask for a number in E.164, "+15105550101", below `suffix` such as
 * "e164.arpa". ERR_SYNTAX: it is none, ERR_TOO_BIG. */
MUST_CHECK enum err resolve_enum_name(struct slice number, struct slice suffix, struct builder *b);

/**
 * What the number leads to: the sip or sips URI that the best record of E2U+sip makes of it (RFC
 * 6116 §3, RFC 3764), written to `uri`. RESOLVE_DONE, RESOLVE_NOTHING, RESOLVE_NO_ANSWER;
 * RESOLVE_ASK: resolver_wait_enum().
 */
enum resolve_verdict resolver_find_enum(struct resolver *resolver, struct slice number,
                                        struct slice suffix, uint64_t now_ms, struct builder *uri);
/** As resolver_wait(); done() is told RESOLVE_DONE without targets: then it is known. */
MUST_CHECK enum err resolver_wait_enum(struct resolver *resolver, struct slice number,
                                       struct slice suffix, struct resolve_waiter *waiter,
                                       uint64_t now_ms);

#endif
