/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve/internal - what the files of this room share.
 */
#ifndef RESOLVE_INTERNAL_H
#define RESOLVE_INTERNAL_H

#include "base/hash.h"
#include "base/map.h"
#include "base/pool.h"
#include "resolve/resolve.h"

enum {
    RESOLVE_NAME_SIZE = DNS_NAME_MAX + 1,
    TTL_MIN_MS = 1000,                    /* also for 0: a list is used as soon as it is made */
    TTL_MAX_MS = 86400 * 1000,            /* RFC 2181 §8 leaves it to us */
    TTL_NOTHING_MS = 30000,               /* of nothing, where no SOA tells (RFC 2308 §5) */
    TTL_NOTHING_MAX_MS = 3 * 3600 * 1000, /* RFC 2308 §5 */
    TTL_FAILED_MS = 5000,                 /* RFC 2308 §7.1: up to 5 minutes */
    STALE_MS = 30000, /* an old answer is used for so long before it is asked for again */
    STALE_MAX_MS = 86400 * 1000, /* after its end (RFC 8767 §5) */
    DEAD_MS = 32000,             /* the first time: a transaction's life */
    DEAD_MAX_MS = 10 * 60000,
    DEAD_SAID_MIN_MS = 1000, /* when it says so itself */
};

/** An answer that is kept. Its name and texts stand behind the records. */
struct cached {
    struct map_node node;
    struct list by_use; /* the last of the list was used last */
    uint8_t type;       /* enum dns_type */
    uint8_t status;     /* enum dns_status */
    bool stale;
    uint32_t count;
    uint32_t bytes;
    uint64_t stored_ms, ends_ms; /* the end that its TTL sets */
    uint64_t expires_ms;         /* the same, or, of an old answer, when a new one is asked for */
    struct slice name;
    struct dns_record records[];
};

/** A question that is open. */
struct question {
    struct map_node node;
    struct id id;
    struct list links; /* struct link of the lookups that wait for it */
    uint8_t type;
    uint8_t name_len;
    char name[RESOLVE_NAME_SIZE];
};

struct lookup;

/** A lookup that waits for a question. */
struct link {
    struct list node;
    struct lookup *lookup;
};

/** A name that is waited for. */
struct lookup {
    struct map_node node;
    struct timer timer; /* the end of patience */
    struct id id;
    struct resolver *resolver;
    struct list waiters; /* struct resolve_waiter */
    uint64_t since_ms;
    struct resolve_query query; /* its host in `host` */
    bool is_enum;               /* the host is a name of ENUM */
    uint8_t open;               /* links that are linked */
    uint8_t rounds;
    struct link links[RESOLVE_QUESTIONS_MAX];
    char host[RESOLVE_NAME_SIZE];
};

/** A target that failed, or is suspected to have. */
struct dead {
    struct map_node node;
    struct list by_age; /* the first failed longest ago */
    struct resolve_target target;
    uint32_t gap_ms;
    uint64_t until_ms;  /* 0: it is only suspected */
    uint64_t silent_ms; /* since when it is, then */
};

struct resolver {
    struct resolve_config config;
    struct map cache;
    struct list by_use;
    struct pool questions;
    struct map open; /* struct question */
    struct pool lookups;
    struct map waited; /* struct lookup */
    struct map dead;
    struct list by_age;
    struct resolve_counters counters;
};

struct open_question {
    uint8_t type;
    char name[RESOLVE_NAME_SIZE];
};

/** One walk over what is known. */
struct walk {
    struct resolver *resolver;
    uint64_t now_ms;
    uint64_t since_ms; /* answers that came later count, whatever their TTL */
    bool last;         /* what is not known now counts as failed */
    bool failed;       /* something that was needed could not be had */
    bool unusable;     /* there was something, but nothing for us */
    uint32_t question_count;
    struct open_question questions[RESOLVE_QUESTIONS_MAX];
};

/* cache.c */

/** Copies the host in lower case and without its last dot. False: no host name. */
bool host_name(struct slice host, char out[static RESOLVE_NAME_SIZE]);
uint64_t question_hash(const struct resolver *resolver, enum dns_type type, struct slice name);
/** What is kept, if it may be used by this walk; NULL: nothing. */
const struct cached *cache_find(struct walk *walk, enum dns_type type, struct slice name);
/** Keeps an answer. What cannot be kept is asked for again. */
void cache_put(struct resolver *resolver, enum dns_type type, struct slice name,
               const struct dns_answer *answer, uint64_t now_ms);
void cache_release(struct resolver *resolver);

/* dead.c */
void dead_release(struct resolver *resolver);
/** Puts the dead ones last, all else as it was. */
void dead_last(struct resolver *resolver, struct resolve_targets *targets, uint64_t now_ms);

/* walk.c */

/** An answer, or NULL: it is asked for. A failure, and what the last walk does not know, are NULL
 * without a question and set walk->failed. */
const struct cached *walk_look(struct walk *walk, enum dns_type type, struct slice name);
/** The steps of RFC 3263 over what is known. */
enum resolve_verdict walk_hop(struct walk *walk, const struct resolve_query *query,
                              struct resolve_targets *out);

/* enum.c */

/** Writes what the best record makes of the number. False: none fits. */
bool enum_apply(const struct cached *entry, struct slice number, struct builder *uri);

#endif
