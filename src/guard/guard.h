/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard - how much of us a source may have, and who is kept out for a while.
 *
 * Three kinds of sources (an IPv4 address, or the /64 of an IPv6 one):
 *
 *   exempt    in a network of the configuration: no packet limits
 *   vouched   somebody behind it has proved himself: he is registered, has shown a password, or is
 *             in a call. A bucket of its own, a wide one
 *   stranger  anybody else. A narrow bucket of its own, and one that all strangers share: so ten
 *             thousand forged sources get no more of us than one, and those vouched for do not
 *             notice
 *
 * What a stranger sends that no phone sends (garbage, scans) costs points; too many, and his
 * packets are dropped for a while. Failed logins count per address and user and bar that pair; an
 * address as a whole only while nobody vouches for it. Sources of datagrams can be forged, so bars
 * are short, are listed, and can be lifted.
 *
 * A bucket is the time at which it will be full again (the "virtual scheduling" of ITU-T I.371): a
 * packet moves that time on; it may lie ahead of now by the burst. So there is nothing to refill.
 *
 * Thread:  one struct guard per worker; no locks. What others must know the core tells them.
 * Memory:  two tables of fixed size, allocated once: guard_memory().
 * Limit:   a source finds its place among the eight of its set. When they are taken one with a full
 *          bucket makes room, then the fullest, whose debt the newcomer takes over; never a vouched
 *          or a barred one for a stranger, who then only has the shared bucket.
 * Public headers: guard.h
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "base/addr.h"

struct guard;

enum {
    GUARD_NAME_MAX = 128,        /* bytes of a bar's name, with its NUL */
    GUARD_VOUCH_MIN_MS = 600000, /* any proof is good for that long */
    GUARD_CALLS_SHARE = 8,       /* one stranger has at most an eighth of all strangers' calls */
};

/** So many a second, and `burst` at once; per_second 0: no limit. */
struct guard_rate {
    uint32_t per_second;
    uint32_t burst;
};

struct guard_config {
    uint64_t seed;                 /* of the tables; nobody outside knows it */
    uint32_t sources_max;          /* places; 0: there are no packet limits and no bars */
    uint32_t bars_max;             /* pairs and addresses whose failures are counted, or barred */
    struct guard_rate stranger;    /* packets of one */
    struct guard_rate strangers;   /* of all together; datagrams and streams each */
    struct guard_rate vouched;     /* packets of one */
    struct guard_rate calls;       /* new calls of all strangers together that reach our users;
                                      by datagrams and by streams each */
    struct guard_rate user;        /* requests of one authenticated user */
    struct guard_rate handshakes;  /* TLS connections that one begins, vouched for or not */
    uint32_t points_max;           /* of a stranger; 0: nobody is barred for them */
    uint32_t failures_max;         /* of one address and user in a window; 0: not counted */
    uint32_t address_failures_max; /* of one address with any users, likewise */
    uint32_t failure_window_ms;
    uint32_t bar_ms, bar_max_ms;   /* the first bar; it doubles each time up to the other */
    const struct addr_net *exempt; /* outlive the guard */
    uint32_t exempt_count;
    const struct addr_net *trusted; /* exempt, too */
    uint32_t trusted_count;
    const struct addr_net *edges; /* exempt, too: behind one are many phones */
    uint32_t edge_count;
};

/** What becomes of a packet. */
enum guard_verdict {
    GUARD_PASS = 0,
    GUARD_BARRED,    /* its source is */
    GUARD_SOURCE,    /* its source has had its share */
    GUARD_STRANGERS, /* all strangers together have */
};

/** Why a bar is there. The names are part of the API. */
enum guard_reason {
    GUARD_R_LOGINS = 1, /* failed logins */
    GUARD_R_GLITCHES,   /* garbage, faulty requests, names that nobody has; by datagrams */
    GUARD_R_SCANNER,    /* it says so itself, in a datagram */
    GUARD_R_STREAM_GLITCHES,
    GUARD_R_STREAM_SCANNER,
    GUARD_R_COUNT,
};
/** Static. */
const char *guard_reason_name(enum guard_reason reason);

/** ERR_MEMORY. */
MUST_CHECK enum err guard_open(const struct guard_config *config, struct guard **out);
void guard_close(struct guard *guard);

/** Bytes that guard_open() allocates. */
size_t guard_memory(const struct guard_config *config);

/* ---- packets ---- */

/**
 * A packet has come. On a stream it is charged and passes also when the source has had its share:
 * the stream is to be read later then, see guard_may_read(); only GUARD_BARRED means: close it.
 */
enum guard_verdict guard_packet(struct guard *guard, const struct addr *source, bool stream,
                                uint64_t now_ms);

/** May a stream of this source be read now, or shall its peer wait? */
bool guard_may_read(struct guard *guard, const struct addr *source, uint64_t now_ms);

/** Is it neither exempt nor vouched for? */
bool guard_is_stranger(struct guard *guard, const struct addr *source, uint64_t now_ms);

/**
 * Somebody behind it has proved himself; good for at least `period_ms` from now. Returns for how
 * many ms the other workers should hear it; 0: it is no news. (A third more is granted, so news are
 * rare.)
 */
uint64_t guard_vouch(struct guard *guard, const struct addr *source, uint64_t period_ms,
                     uint64_t now_ms);

/** Not all the others could be told: the next proof from there is news again, however short. */
void guard_vouch_untold(struct guard *guard, const struct addr *source);

/**
 * May this source start a call? Always, when it is no stranger. A stranger may use an eighth of
 * what there is for all, so that it takes eight to leave nothing to the others. Who forges his
 * addresses has eight, and a hundred; what he uses up so is the share of datagrams. Streams have
 * one of their own, as their addresses are true.
 */
bool guard_call(struct guard *guard, const struct addr *source, bool stream, uint64_t now_ms);

/** May this source begin one more TLS connection? The handshake costs us more than a hundred
 * packets; and a registered phone says nothing of who else is behind its address. */
bool guard_handshake(struct guard *guard, const struct addr *source, uint64_t now_ms);

/** May the authenticated user send one more request? */
bool guard_user(struct guard *guard, struct slice name, uint64_t now_ms);

/** A stranger did what phones do not. True: that was too much, bar the address. */
bool guard_points(struct guard *guard, const struct addr *source, uint32_t points, uint64_t now_ms);

/* ---- logins and bars ---- */

/** Which hash names the worker that counts failures of the pair (`user` empty: of the address). */
uint64_t guard_pair_hash(const struct guard *guard, const struct addr *source, struct slice user);

/** Counts a failed login, in that worker. 0, or for how long the pair is to be barred: ms. */
uint32_t guard_failure(struct guard *guard, const struct addr *source, struct slice user,
                       uint64_t now_ms);

/**
 * Bars a pair, or with an empty `user` the address. False: not done, the address is exempt or
 * somebody vouches for it.
 */
bool guard_bar(struct guard *guard, const struct addr *source, struct slice user,
               enum guard_reason reason, uint32_t ms, uint64_t now_ms);

/** May nobody log in as `user` from there? */
bool guard_is_barred(const struct guard *guard, const struct addr *source, struct slice user,
                     uint64_t now_ms);

/** A bar, as it is shown. */
struct guard_bar_info {
    char name[GUARD_NAME_MAX]; /* USER@ADDRESS, or ADDRESS; what is not printable is '?' */
    struct addr source;        /* of a /64 the first address */
    uint8_t reason;            /* enum guard_reason */
    bool whole;                /* the address, not one user there */
    uint32_t times;            /* how often it was barred in a row */
    uint64_t left_ms;
};

/** The bars there are now: at most `max`, in no order. Returns how many were written. */
uint32_t guard_bars(const struct guard *guard, uint64_t now_ms, struct guard_bar_info *out,
                    uint32_t max);

/** How many there are now. */
uint32_t guard_bar_count(const struct guard *guard, uint64_t now_ms);

/** Lifts the bars of that name and forgets what led to them. Returns how many. */
uint32_t guard_lift(struct guard *guard, struct slice name, uint64_t now_ms);

#endif
