/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quiesce - when may memory that others read without locks be freed?
 *
 * Every thread that reads shared blocks is a participant. Once per turn of its loop, when it
 * holds no such block, it says so (quiesce_pass); while it sleeps it is marked away. Whoever
 * unlinks a block takes a stamp; when every participant has passed since, or is away, nobody can
 * hold the block any more. (Quiescent-state-based reclamation: McKenney, Slingwine 1998.)
 *
 *     unlink(block); stamp = quiesce_stamp(q); ... if (quiesce_passed(q, stamp)) free(block);
 *
 * Thread:  any; a participant's own calls by that participant only.
 * Limit:   QUIESCE_MAX participants.
 */
#ifndef LOOP_QUIESCE_H
#define LOOP_QUIESCE_H

#include <stdalign.h>
#include <stdatomic.h>

#include "base/slice.h"

enum {
    QUIESCE_MAX = 288
};

struct quiesce_seat {
    alignas(64) _Atomic uint64_t seen; /* the epoch when it passed last; UINT64_MAX: away */
};

struct quiesce {
    alignas(64) _Atomic uint64_t epoch;
    _Atomic uint32_t count; /* seats taken */
    struct quiesce_seat seats[QUIESCE_MAX];
};

void quiesce_init(struct quiesce *q);

/** A seat for one more participant, which is away at first. Never given back. */
unsigned quiesce_join(struct quiesce *q);

/** The participant reads from now on. */
void quiesce_online(struct quiesce *q, unsigned seat);

/** It holds nothing now. Call once per turn. */
void quiesce_pass(struct quiesce *q, unsigned seat);

/** It holds nothing and will read nothing until quiesce_online(). */
void quiesce_offline(struct quiesce *q, unsigned seat);

/** A stamp for what has been unlinked so far. */
uint64_t quiesce_stamp(struct quiesce *q);

/** Has everybody passed since the stamp was taken? */
bool quiesce_passed(const struct quiesce *q, uint64_t stamp);

#endif
