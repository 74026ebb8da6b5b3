/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/names - the hosts that TLS may be dialled to, by the numbers that stand for them in flows.
 *
 * Thread:  its owner's.   Memory: texts from `mem`, buckets by calloc.
 * Limit:   `max`: then the name that was learnt longest ago is forgotten.
 */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

enum {
    NAMES_HOST_MAX = 253 /* bytes of a host name in text (RFC 1035 §2.3.4) */
};

struct names {
    struct mem *mem;
    struct map map;
    struct list by_age; /* the first was learnt longest ago */
    uint32_t max;
};

/** `max` > 0. ERR_MEMORY. */
MUST_CHECK enum err names_open(struct names *names, struct mem *mem, uint32_t max);
/** One that was never opened, all zero, is fine. */
void names_close(struct names *names);

/**
 * `name` (not 0) stands for `host`, kept without its last dot. Known already: it is used now.
 * Without memory, or of an impossible host, nothing is learnt.
 */
void names_learn(struct names *names, uint64_t name, struct slice host);

/** The host; empty: unknown, or `name` is 0. Borrowed until the next names_learn(). */
struct slice names_find(const struct names *names, uint64_t name);

#endif
