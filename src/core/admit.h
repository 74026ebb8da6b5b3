/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/admit - is a queue standing, and who is refused then? Private to the room.
 *
 * The measure is how long what is taken out of a queue now has stood in it, as CoDel does it (RFC
 * 8289), not a rate: it is right on any machine, with any mix of requests, and when somebody else
 * takes the processor away.
 *
 *   - A queue that is never shorter than `target` for a whole `interval` is a standing one, and
 *     the worker overloaded. A burst, or a pause of the process, that is over within the interval
 *     changes nothing.
 *   - From then on every new request that has waited longer than the target is refused, and none
 *     that has not: what is left over keeps the worker busy, and the queue at the target's length.
 *   - When the wait is down to half the target, the overload is over.
 *
 * CoDel drops one packet and waits for TCP to slow down, then the next one a little earlier. Phones
 * do not slow down, and a refusal costs a tenth of a call: so all are refused that have waited too
 * long.
 *
 * Pure: it is given waits and times.
 */
#ifndef CORE_ADMIT_H
#define CORE_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

/** In which order requests are refused. */
enum admit_class {
    ADMIT_NEW = 0, /* new calls, new registrations */
    ADMIT_LAST,    /* refreshes, and peers that shed load (RFC 7339): beyond `last_ms` only */
};

struct admit_config {
    uint32_t target_ms, interval_ms;
    uint32_t last_ms; /* >= target_ms */
};

enum {
    ADMIT_OC_MAX = 90, /* percent a peer is asked to keep back; some must come to see if it helps */
    ADMIT_OC_UP = 10,  /* steps, one an interval */
    ADMIT_OC_DOWN = 5,
    ADMIT_PEAK_MS = 1000,
    ADMIT_GAP_MS = 1000, /* two waits further apart say nothing of the time between */
};

/** One queue. */
struct admit {
    struct admit_config config;
    bool overloaded;
    bool above;              /* longer than the target since above_ms; while not overloaded */
    uint32_t waited_ms;      /* of what is taken out now */
    uint32_t oc_percent;     /* RFC 7339 loss-based: what peers should keep back */
    uint64_t above_ms;       /* see above */
    uint64_t noted_ms;       /* the last wait was told */
    uint64_t stepped_ms;     /* oc_percent was changed, or could have been */
    uint64_t peak_ms;        /* when the present peak's second began */
    uint32_t peak, old_peak; /* the longest waits of this second and the one before */
};

void admit_init(struct admit *admit, const struct admit_config *config);

/** What is taken out of the queue from now on has waited so long; 0 when it has become empty. */
void admit_note(struct admit *admit, uint32_t waited_ms, uint64_t now_ms);

/** Is what is taken out of the queue now to be refused? */
bool admit_refuses(const struct admit *admit, enum admit_class class);

/** What peers that ask should keep back, in percent (RFC 7339, loss-based). */
uint32_t admit_oc_percent(const struct admit *admit, uint64_t now_ms);

/** The longest wait of the last one or two seconds. */
uint32_t admit_peak_ms(const struct admit *admit, uint64_t now_ms);

/** Is it? Also not when nothing was taken out for some time. */
bool admit_is_overloaded(const struct admit *admit, uint64_t now_ms);

#endif
