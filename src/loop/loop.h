/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop - the worker threads, their event loops, and everything that passes between threads.
 *
 * One loop per worker. A turn: wait for sockets, letters or the next timer; read the clocks once;
 * serve sockets, then letters, then timers; flush what was collected; wake the workers that were
 * written to; pass (quiesce.h). Other threads reach a worker by letters only.
 *
 * Thread:  a struct loop belongs to its worker once loops_start() was called; before, to the
 *          thread that sets it up. loops_*() may be called by any other thread.
 * Memory:  loops own everything here; watches and timers are embedded in their owners.
 * Limit:   a mailbox of `mailbox_bytes` per worker, see mailbox.h.
 * Public headers: live.h loop.h log.h mailbox.h quiesce.h table.h
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/timer.h"
#include "loop/mailbox.h"
#include "loop/quiesce.h"

struct loop;  /* one worker's */
struct loops; /* all of them */

enum {
    LOOP_WORKERS_MAX = 256
};

/** Whom a letter is for. Each kind has one reader per loop. */
enum letter_kind {
    LETTER_RUN = 0, /* loops_run_in(): for the loop itself */
    LETTER_NET,     /* between the rooms net */
    LETTER_CORE,    /* between the cores */
    LETTER_RECEIPT, /* from the store */
    LETTER_PUSH,    /* from the push gateway */
    LETTER_SPARE,
    LETTER_KINDS = 8,
};

/** What a worker does at the fixed points of a turn. All are called in its thread; NULL: nothing.
 */
struct loop_hooks {
    void *user;
    void (*begin)(void *user);       /* once, before the first turn */
    uint64_t (*next_ms)(void *user); /* when `run` must be called at the latest */
    bool (*run)(void *user);         /* timers; true: more are due now */
    bool (*flush)(void *user);       /* the turn's end; true: not all is done, do not sleep */
    void (*end)(void *user);         /* once, after the last turn */
};

struct loops_config {
    unsigned workers;
    size_t mailbox_bytes;
    struct quiesce *quiesce; /* borrowed; each worker takes a seat */
};

MUST_CHECK enum err loops_open(const struct loops_config *config, struct loops **out);

/** Bytes that loops_open() allocates. */
size_t loops_memory(const struct loops_config *config);

/** The threads have ended. */
void loops_close(struct loops *loops);

struct loop *loops_at(struct loops *loops, unsigned worker);

/** Starts the threads. ERR_IO when one cannot be had: those already started are stopped. */
MUST_CHECK enum err loops_start(struct loops *loops);

/** Ends all loops after their present turn and waits for the threads. Not by a worker. */
void loops_stop(struct loops *loops);

/** Posts from outside the workers, and wakes. False: full, see mailbox_post(). */
bool loops_post(struct loops *loops, unsigned worker, enum mailbox_class class,
                enum letter_kind kind, const struct slice *parts, size_t part_count);

/** As loops_post(), but waits for room, up to 5 s. Not by a worker. */
bool loops_post_patiently(struct loops *loops, unsigned worker, enum mailbox_class class,
                          enum letter_kind kind, const struct slice *parts, size_t part_count);

typedef void loop_run_fn(void *user, unsigned worker);

/** Has `fn` called in that worker's thread, in order. Any thread. False: its mailbox is full. */
bool loops_run_in(struct loops *loops, unsigned worker, loop_run_fn *fn, void *user);

/**
 * Has `fn` called in every worker; when all have, the last one calls `done`: so a snapshot is
 * swapped, and the old one released when nobody uses it. Not by a worker: may wait for room.
 */
MUST_CHECK enum err loops_run_everywhere(struct loops *loops, loop_run_fn *fn, loop_run_fn *done,
                                         void *user);

/** Counts of a worker, by any thread, of about now. */
struct loop_counters {
    uint64_t turns;
    uint64_t letters;         /* read */
    uint64_t letters_refused; /* that did not fit into its mailbox */
    uint64_t busy_us;         /* spent outside of waiting */
    uint64_t pauses;          /* in which events gathered */
};
void loops_counters(const struct loops *loops, unsigned worker, struct loop_counters *out);

/* --- In the worker ------------------------------------------------------------------------- */

unsigned loop_worker(const struct loop *loop);
unsigned loop_workers(const struct loop *loop);

/** Milliseconds of this turn: monotonic, and UTC. */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_wall_ms(const struct loop *loop);

/**
 * How long what is served in this turn may have waited because we were behind: from the last turn
 * that began with everything that was ready, to the end of the one before this.
 */
uint32_t loop_late_ms(const struct loop *loop);

/** The wheel that runs before the hook `run`. */
struct timer_wheel *loop_timers(struct loop *loop);

void loop_set_hooks(struct loop *loop, const struct loop_hooks *hooks);

/** Who reads letters of `kind` in this loop. Before any is posted. */
void loop_on_letter(struct loop *loop, enum letter_kind kind, mailbox_read_fn *read, void *user);

/** Posts to a worker, this one included. It is woken when our turn ends. False: full. */
bool loop_post(struct loop *loop, unsigned worker, enum mailbox_class class, enum letter_kind kind,
               const struct slice *parts, size_t part_count);

/** Some worker's mailbox is getting full: what can wait (a stream) should not be read now. */
bool loop_pressed(const struct loop *loop);

struct loop_watch;
/** `events` are epoll's (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). The watch may be taken off here.
 */
typedef void loop_watch_fn(struct loop_watch *watch, uint32_t events);

/** Embedded in the owner of a descriptor. Zeroed: not watched. */
struct loop_watch {
    loop_watch_fn *fn;
    int fd;
    uint32_t events; /* as watched now */
    bool watched;
};

/** Watches, or changes what is watched for. Level-triggered. ERR_IO: the kernel refused. */
MUST_CHECK enum err loop_watch(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
                               loop_watch_fn *fn);

/** Before the descriptor is closed. One that is not watched is fine. */
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

#endif
