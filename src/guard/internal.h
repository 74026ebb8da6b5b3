/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard/internal - what the files of this room share.
 */
#ifndef GUARD_INTERNAL_H
#define GUARD_INTERNAL_H

#include "base/hash.h"
#include "guard/guard.h"

enum {
    GUARD_WAYS = 8, /* places of a set: the keys fill a cache line */
    GUARD_USER_MAX = 48,
};

/** A rate as a bucket needs it. interval_ns 0: no limit. */
struct bucket_rate {
    uint64_t interval_ns; /* of one packet */
    uint64_t ahead_ns;    /* how far ahead of now a bucket may be and still take one */
};

/** What is known of a source. */
struct cell {
    uint64_t full_ns;           /* when its bucket is full again */
    uint64_t vouched_ms;        /* until then; GUARD_EXEMPT: it needs nobody */
    uint64_t barred_ms;         /* until then: its datagrams */
    uint64_t barred_streams_ms; /* until then: its streams; never later than the other */
    uint64_t points_ns;         /* a bucket, too: of what phones do not do */
    uint64_t calls_ns;          /* and one of a stranger's calls */
    uint64_t shakes_ns;         /* and one of TLS connections */
    bool untold;                /* not all other workers know that it is vouched for */
};

#define GUARD_EXEMPT UINT64_MAX

struct cell_set {
    uint64_t keys[GUARD_WAYS]; /* 0: free */
    struct cell cells[GUARD_WAYS];
};

/** Failed logins of a pair or an address, and its bar. */
struct bar {
    uint64_t hash;      /* of the pair; 0: free */
    uint64_t window_ms; /* when the first of `failures` was */
    uint64_t until_ms;  /* barred until then */
    struct addr source; /* without port, of IPv6 the /64 */
    uint32_t failures;
    uint8_t times; /* how often it was barred */
    uint8_t reason;
    uint8_t user_len;
    char user[GUARD_USER_MAX]; /* its beginning */
};

struct guard {
    struct guard_config config;
    bool lists_hosts; /* single IPv6 hosts are exempt */
    struct bucket_rate stranger, strangers, vouched, calls, own_calls, user, handshakes, points;
    uint64_t strangers_ns[2]; /* shared buckets: of datagrams, of streams */
    uint64_t calls_ns[2];     /* likewise */
    struct cell_set *sets;    /* NULL: no limits */
    uint64_t set_mask;
    uint64_t mix[2];   /* made of the seed */
    uint64_t last_key; /* found last, for those who ask again about the same packet */
    struct cell_set *last_set;
    unsigned last_way;
    struct bar *bars;
    uint64_t bar_mask; /* of sets of GUARD_WAYS */
};

/** The place of a source, or NULL. */
struct cell *guard_find(struct guard *guard, const struct addr *source);

/** Its place; made when there is none. NULL: all of its set are more important. */
struct cell *guard_take(struct guard *guard, const struct addr *source, bool vouched,
                        uint64_t now_ms);

/** The address as a whole is barred no more, and need not be remembered. bars.c */
void guard_forget_bar(struct guard *guard, const struct addr *source);

#endif
