/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/internal - what the files of this room share.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/apply.h"
#include "store/db.h"
#include "store/journal.h"
#include "store/problem.h"
#include "store/ring.h"
#include "store/store.h"

enum {
    GROUP_BYTES = 1 << 20, /* written at once */
    GROUP_OPS = 8192,
};

/* One worker's side. */
struct store_worker {
    struct ring ring;
    struct store *store;
    uint64_t cursor;                     /* the journal thread's place in the ring */
    _Alignas(64) _Atomic uint64_t done;  /* receipts given: the journal thread */
    _Alignas(64) _Atomic uint64_t added; /* appended: the worker */
    _Atomic uint64_t refused_full;
    _Atomic uint64_t refused_big;
};

/* What one worker has in the group that is being written. */
struct group_part {
    unsigned worker;
    uint32_t first; /* index into receipts */
    uint32_t count;
};

struct group {
    uint8_t *data; /* GROUP_BYTES + RECORD_MAX */
    size_t len;
    uint32_t count;
    struct store_receipt *receipts; /* GROUP_OPS */
    struct group_part *parts;       /* one per worker */
    unsigned part_count;
    unsigned turn; /* the worker that is asked first */
};

struct store {
    struct store_options options; /* with the defaults filled in; path is a copy */
    char *path;                   /* NULL: memory */
    struct store_keys keys;
    uint64_t id;
    uint32_t boot;
    int lock_fd;

    struct store_worker *workers;

    struct journal journal;
    struct group group;
    pthread_t journal_thread;
    bool journal_started;
    int wake_fd; /* eventfd */
    _Atomic bool asleep;
    _Atomic bool closing;
    _Atomic bool journal_failing;
    _Atomic uint64_t synced;
    _Atomic uint64_t failed;
    _Atomic uint64_t syncs;
    _Atomic uint32_t last_sync_us;
    _Atomic uint32_t max_sync_us;

    struct db apply_db; /* the applier's own connection; also used while opening */
    struct applier applier;
    pthread_t apply_thread;
    bool apply_started;
    pthread_mutex_t apply_lock; /* the three below, with apply_cond */
    pthread_cond_t apply_cond;
    uint64_t apply_wanted; /* the last synced sequence number */
    unsigned flushes;      /* threads that wait: no delay */
    bool apply_closing;
    uint32_t apply_rounds;         /* counts attempts, good or bad */
    _Atomic uint64_t applied_last; /* sequence number */
    _Atomic uint64_t applied_base; /* where it was at the start */
    _Atomic bool database_failing;
    _Atomic uint64_t database_errors;

    pthread_mutex_t api_lock;
    struct db api_db; /* guarded by api_lock */
};

/* Logs a line; as printf. */
void store_say(const struct store *store, enum store_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Wall clock, ms UTC; and a clock that only goes forward. */
uint64_t store_wall_ms(void);
uint64_t store_monotonic_us(void);

/* Random bytes of the kernel. */
void store_random(void *out, size_t len);

/* Reads PATH.key, or makes it. */
MUST_CHECK enum err store_keys_load(const char *path, struct store_keys *out,
                                    struct store_problem *problem);

/* The journal thread: queue.c. */
MUST_CHECK enum err store_queue_init(struct store *store);
void store_queue_release(struct store *store);
void *store_journal_run(void *store);
void store_journal_wake(struct store *store);

/* The applier thread: replay.c. */
MUST_CHECK enum err store_replay(struct store *store, struct store_problem *problem);
void *store_apply_run(void *store);
/* The journal has all up to `sequence`. */
void store_apply_wake(struct store *store, uint64_t sequence);

#endif
