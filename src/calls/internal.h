/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/internal - what the files of this room share.
 */
#ifndef CALLS_INTERNAL_H
#define CALLS_INTERNAL_H

#include "calls/calls.h"
#include "calls/outcome.h"

enum {
    CALLS_INITIAL = 256, /* buckets */
    CALLS_SLOTS_MAX = 1 << 24,
};

/** Packed fields (base/call_record.h) that do not change any more. */
struct packed {
    char *bytes; /* owned; NULL: none */
    uint16_t len;
};

struct leg {
    struct id client;
    uint64_t start_ms, progress_ms, answer_ms, end_ms; /* UTC */
    struct packed text;                                /* target, user, address */
    struct packed way;                                 /* while it rings: branch, routes, flow */
    uint16_t sip_status;
    uint8_t q850_cause;
    uint8_t disposition;
};

struct call {
    struct map_node node; /* by attempt.a */
    struct timer timer;   /* forgets it, tries again to write it, or finds it silent */
    struct calls *calls;  /* borrowed */
    struct id self, server;
    uint64_t attempt_b;
    uint64_t id;            /* of the record */
    int64_t wall_offset_ms; /* UTC is now_ms plus this, all its life: durations are monotonic */
    uint64_t start_ms, progress_ms, answer_ms, end_ms; /* UTC */
    uint64_t hold_since_ms;                            /* UTC; 0: it is not on hold */
    uint64_t heard_ms;                                 /* monotonic: its last sign of life */
    struct call_side caller_media, callee_media;
    void *note;
    struct leg *legs;     /* owned */
    struct packed text;   /* of the call: what is known from the start */
    struct packed way;    /* while it rings */
    struct packed dialog; /* until it is over: dialog/dialog.h; not confirmed while it rings */
    char *late;           /* owned: reason, packed like the others */
    uint32_t callee_tag;
    uint32_t hold_ms; /* as far as it is over */
    uint16_t late_len;
    uint16_t sip_status;
    uint16_t in_flight; /* receipts that are outstanding */
    uint8_t leg_count, leg_capacity;
    uint8_t q850_cause;
    uint8_t disposition, release_party;
    int8_t answered_leg; /* -1: none */
    uint8_t state;       /* enum attempt_state */
    bool unwritten;      /* something of it could not be written, and will be tried again */
    bool cancelled;      /* by the caller */
    bool counted;        /* in the counters of what has ended */
    bool hung_up;        /* by us, in this run */
};

struct calls {
    struct calls_config config;
    struct pool pool;
    struct map by_attempt;
    struct calls_counters counters;
    uint64_t last_id;
    uint32_t live;
    uint32_t unwritten, in_flight; /* calls; receipts */
    char scratch[CALL_BLOCK_MAX];  /* one block while it is written */
    struct call_record record;     /* one while it is read */
};

/* write.c */

/** Keeps the fields that `b` holds. ERR_MEMORY, ERR_TOO_BIG. */
MUST_CHECK enum err packed_keep(struct mem *mem, const struct builder *b, struct packed *out);
void packed_free(struct mem *mem, struct packed *packed);
/** The whole record into the scratch. Empty: it is too big. */
struct slice call_write(struct call *call);
/** Posts the record as it stands. It is tried again when it could not be. */
enum err call_save(struct call *call, uint64_t now_ms);
void call_set_unwritten(struct call *call, bool unwritten);

/* events.c */

/** Its end has come, and is known to those who must know. */
void call_over(struct call *call, uint64_t now_ms);
/** It goes on after all. */
void call_uncount(const struct call *call);

/* media.c */

/** The clock of hold, after what it goes by has changed. */
void call_hold(struct call *call, uint64_t now_ms);

/* speak.c */

/** Keeps what the INVITE alone says of the dialog; it may be nothing. */
void call_begin_dialog(struct call *call, const struct call_facts *facts);
/** Keeps the dialog of a record that was read back. */
void call_restore_dialog(struct call *call, struct slice packed);

/* calls.c */
/** An empty one, in the map; NULL: no room. */
struct call *call_make(struct calls *calls, uint64_t attempt_a, uint64_t attempt_b);
void call_set_state(struct call *call, enum attempt_state state);
void call_free(struct call *call);
/** Arms the timer for what is next to be done with it. */
void call_arm(struct call *call, uint64_t now_ms);

static inline uint64_t call_utc(const struct call *call, uint64_t now_ms)
{
    return (uint64_t)((int64_t)now_ms + call->wall_offset_ms);
}

static inline struct call *call_of(const struct calls *calls, struct id id)
{
    return pool_get(&calls->pool, id);
}

#endif
