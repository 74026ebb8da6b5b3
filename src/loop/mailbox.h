/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox - letters from any thread to one.
 *
 * A ring of bytes. A writer reserves room by one compare-and-swap on `tail`, writes its letter
 * and marks it complete; the reader takes complete letters in order, in place. A letter is
 * copied once, nothing is allocated, and nobody waits: a letter that does not fit is refused.
 *
 *      head                                    tail
 *       v                                       v
 *  .....[mark len|letter][mark len|letter][0000000].....      mark 0: not complete yet
 *
 * Ordinary letters leave `reserve` bytes free, so that receipts, timers and closes still fit.
 *
 * Thread:  mailbox_post() and mailbox_ring() by any; all else by the reader.
 * Limit:   `capacity` bytes; then the letter is refused and counted.
 */
#ifndef LOOP_MAILBOX_H
#define LOOP_MAILBOX_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    MAILBOX_LETTER_MAX = 70000,         /* bytes of one letter's body */
    MAILBOX_CAPACITY_MIN = 4 * 1 << 17, /* 512 KiB: several letters of the largest size */
};

/** Which room a letter may take. */
enum mailbox_class {
    MAILBOX_ORDINARY = 0, /* what the network can send again */
    MAILBOX_RESERVED,     /* receipts, closes, orders: what is not said twice */
};

/** One letter, as the reader sees it. `body` is 16-aligned and lives until the handler returns. */
struct letter {
    uint16_t kind;
    uint16_t from; /* who wrote it: a worker's index, or LETTER_FROM_OUTSIDE */
    struct slice body;
};

enum {
    LETTER_FROM_OUTSIDE = 0xffff
};

typedef void mailbox_read_fn(void *user, const struct letter *letter);

struct mailbox {
    char *ring;
    size_t capacity; /* bytes, a power of two */
    size_t reserve;  /* bytes that ordinary letters leave free */
    int wake_fd;     /* an eventfd that the reader polls */

    alignas(64) _Atomic uint64_t tail; /* bytes ever reserved */
    _Atomic uint64_t refused;          /* letters that did not fit */
    alignas(64) _Atomic uint64_t head; /* bytes ever consumed */
    _Atomic bool asleep;               /* the reader waits, or is about to */
};

/** `capacity` is rounded up to a power of two. Makes the eventfd. ERR_MEMORY, ERR_IO. */
MUST_CHECK enum err mailbox_open(struct mailbox *mailbox, size_t capacity);

/** Bytes of the ring for a capacity. */
size_t mailbox_memory(size_t capacity);

/** Nobody may post any more. Unread letters are forgotten. */
void mailbox_close(struct mailbox *mailbox);

/**
 * Copies the parts, one after another, into one letter. False: it did not fit (counted) and
 * nothing was posted. The reader need not notice before mailbox_ring().
 */
bool mailbox_post(struct mailbox *mailbox, enum mailbox_class class, uint16_t kind, uint16_t from,
                  const struct slice *parts, size_t part_count);

/** Wakes the reader if it sleeps: one system call at most, however many have posted. */
void mailbox_ring(struct mailbox *mailbox);

/** Reads at most `max` letters; returns how many. The handler may post, also here. */
unsigned mailbox_read(struct mailbox *mailbox, mailbox_read_fn *read, void *user, unsigned max);

/** The reader is about to wait. False: there are letters, do not. */
bool mailbox_sleep(struct mailbox *mailbox);

/** The reader waits no longer. `woken`: the eventfd was readable, and is reset. */
void mailbox_awake(struct mailbox *mailbox, bool woken);

/** More than half of what ordinary letters may take is taken: sources that can wait should. */
bool mailbox_pressed(const struct mailbox *mailbox);

#endif
