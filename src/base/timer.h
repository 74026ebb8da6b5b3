/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timer - a hierarchical timer wheel, one per worker.
 *
 * Six levels of 64 slots: level n has slots of 64^n milliseconds, so 2^36 ms
 * fit (over two years; later dues wait in a list of their own until then).
 * A word of bits per level says which slots hold timers: starting, stopping
 * and finding the next due are all O(1).
 *
 * Thread:  the worker that owns the wheel.
 * Memory:  timers are embedded in their owners; the wheel owns nothing.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"

struct timer;

/** Called once when due; the timer is stopped by then and may be started again. */
typedef void timer_fn(struct timer *timer, uint64_t now_ms);

/** Zeroed memory is a stopped timer; set `fn` before the first start. */
struct timer {
    struct list node;
    uint64_t due_ms; /* meaningful while armed */
    timer_fn *fn;
};

enum {
    TIMER_LEVELS = 6,
    TIMER_SLOTS = 64
};

struct timer_wheel {
    uint64_t now_ms;   /* all dues before or at this have run, or wait in `ready` or `late` */
    uint64_t count;    /* armed timers */
    struct list ready; /* due and in order; the next to run */
    struct list late;  /* started for a time that was past: run after `ready` */
    struct list far;   /* due 2^36 ms or more past the last multiple of that */
    uint64_t used[TIMER_LEVELS]; /* bit n: slot n holds timers */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

/** Arms, or arms anew. A due in the past runs in the next timer_wheel_run(). */
void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);

/** Disarms; a stopped timer stays as it is. */
void timer_stop(struct timer_wheel *wheel, struct timer *timer);

static inline bool timer_armed(const struct timer *timer)
{
    return timer->node.next != NULL;
}

/**
 * Runs what is due at `now_ms`, in the order of dues (equal ones: first started, first run;
 * one started late counts as due then), at most `max` timers.
 * Timers that the callbacks start for `now_ms` or earlier wait for the next run.
 * Returns how many ran; `max` means: call again.
 */
unsigned timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ms, unsigned max);

/** When timer_wheel_run() must be called, never later than the next due; UINT64_MAX: never. */
uint64_t timer_wheel_next(const struct timer_wheel *wheel);

#endif
