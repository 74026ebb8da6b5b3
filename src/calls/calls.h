/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls - the call attempts of a worker, and their records.
 *
 * An attempt is one (Call-ID, From tag) of an INVITE without To tag that was let in. Its record is
 * begun before anything is answered or forwarded, and completed when it ends; whatever must last
 * goes to the journal as the whole record (base/call_record.h), under the call's id, so that the
 * last one counts. An attempt that has ended is remembered for a while: copies, spirals and
 * retries after a challenge continue it.
 *
 *   core -> calls_open_attempt(), calls_commit()    the record begins; begun() is its receipt
 *        -> calls_leg_*(), calls_progress(), calls_answered(), calls_ended()
 *        -> calls_receipt(), calls_restore()
 *
 * What cannot be written now stays here and is tried again each second; calls_max bounds it.
 *
 * Thread:  the worker that owns the Call-ID; no locks.
 * Memory:  a pool of calls; texts and legs from the worker's mem.
 * Limit:   config.calls_max; then no attempt is opened (503).
 * Public headers: calls.h outcome.h
 */
#ifndef CALLS_CALLS_H
#define CALLS_CALLS_H

#include "base/call_record.h"
#include "base/durable.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/timer.h"
#include "dialog/dialog.h"
#include "sip/sip.h"

struct calls;

enum {
    CALLS_REMEMBERED_MS = 32000, /* an attempt that has ended: 64*T1, while copies may come */
    CALLS_RETRY_MS = 1000,       /* until what could not be written is tried again */
    CALLS_PDD_BUCKETS = 12,
};
/** Set in the slot of our receipts' tokens: others have tokens, too. */
#define CALLS_TOKEN_BIT UINT32_C(0x80000000)

/** Who an attempt is: hashes with the node's own key, which outlive a restart. */
struct call_key {
    uint64_t call;            /* of the Call-ID */
    struct hash_pair attempt; /* of Call-ID and the caller's tag */
    uint32_t caller_tag;
};

/** `scratch` has room for both texts. */
struct call_key call_key_of(uint64_t seed, struct slice call_id, struct slice caller_tag,
                            char *scratch);
uint32_t call_tag_hash(uint64_t seed, struct slice tag);

/** What is known when it begins. Copied. */
struct call_facts {
    struct call_key key;
    struct slice sip_call_id, calling_uri, calling_number, calling_name, called_uri, called_number,
        source_address, user_agent;
    uint8_t transport;      /* enum transport */
    uint8_t direction;      /* enum call_direction */
    struct call_side media; /* the caller's offer, if there is one */
    struct slice way;       /* the head of the INVITE, for an answer after a restart */
    struct flow flow;       /* and where that answer goes */
    struct id server;       /* its server transaction */
    struct slice contact;   /* the caller's URI there: his remote target (RFC 3261 §12.1.1) */
    uint32_t cseq;          /* of the INVITE */
};

/** A target that is tried. Copied. */
struct call_leg_facts {
    struct id client; /* names the leg from now on */
    struct slice target, user, branch, routes;
    struct flow flow;
};

/** How a call, or a leg, ended. */
struct call_end {
    uint16_t sip_status; /* 0: none was sent */
    uint8_t q850_cause;  /* 0: by the status */
    uint8_t party;       /* enum call_party */
    struct slice reason; /* copied */
};

/** How the attempt of an INVITE stands. */
enum attempt_state {
    ATTEMPT_NEW = 0, /* it was opened just now: nothing is written */
    ATTEMPT_WAITING, /* for the receipt of its beginning */
    ATTEMPT_TRYING,  /* it may be answered and forwarded */
    ATTEMPT_UP,      /* 2xx */
    ATTEMPT_OVER,
};

struct calls_counters {
    uint64_t attempts; /* records begun */
    uint64_t ended[CALL_D_COUNT];
    uint64_t answered;                   /* went up */
    uint64_t effective;                  /* answered, busy, no answer, rejected by the callee */
    uint64_t duration_ms;                /* of those that were answered and have ended */
    uint64_t pdd[CALLS_PDD_BUCKETS + 1]; /* by calls_pdd_limits_ms; the last: longer */
    uint64_t pdd_ms, pdd_count;
    uint64_t written, write_failures; /* operations; those that are tried again */
    uint64_t full;                    /* attempts without room */
    uint64_t restored, interrupted;   /* at the start: up; ringing, and ended */
    uint64_t silent;                  /* ended without a sign of life */
};
extern const uint32_t calls_pdd_limits_ms[CALLS_PDD_BUCKETS];

struct calls_config {
    uint32_t worker, workers;
    uint32_t calls_max;
    uint64_t id_floor;   /* ids are larger: of the records that are there */
    uint64_t hash_seed;  /* kept over restarts */
    uint64_t silence_ms; /* a call that is up and says nothing for so long is over */
    struct mem *mem;
    struct timer_wheel *wheel;
    struct durable_ops durable; /* append NULL: nothing is kept */
    void *user;
    /** The receipt of a beginning, or why there is none; never from within calls_commit(). */
    void (*begun)(void *user, struct id call, enum err err, uint64_t now_ms);
    /** A call that rang when the node ended: `block` is its record as it was. */
    void (*interrupted)(void *user, struct slice block, uint64_t now_ms);
};

MUST_CHECK enum err calls_open(const struct calls_config *config, struct calls **out);
/** Without callbacks. What is not written yet is lost: see calls_idle(). */
void calls_close(struct calls *calls);
/** Bytes beside `mem`. */
size_t calls_memory_max(uint32_t calls_max);
const struct calls_counters *calls_counters(const struct calls *calls);
/** Neither over nor waiting for their beginning. */
uint32_t calls_live(const struct calls *calls);
uint32_t calls_count(const struct calls *calls);
/** Is nothing to be written, and no receipt outstanding? */
bool calls_idle(const struct calls *calls);

/** The attempt of that key; zero id: none. */
struct id calls_find(const struct calls *calls, const struct call_key *key);

/**
 * The attempt that this INVITE begins or continues. An attempt that was over goes on. ERR_FULL,
 * ERR_MEMORY: there is none, answer 503.
 */
MUST_CHECK enum err calls_open_attempt(struct calls *calls, const struct call_facts *facts,
                                       uint64_t now_ms, uint64_t wall_ms, struct id *out);

/**
 * Writes what is new of an attempt that was just opened, with its legs: begun() follows. An error:
 * it cannot be written, and the attempt is forgotten.
 */
MUST_CHECK enum err calls_commit(struct calls *calls, struct id call, uint64_t now_ms);

/** A new attempt comes to nothing, and nobody was told: it is forgotten. */
void calls_drop(struct calls *calls, struct id call);

enum attempt_state calls_state(const struct calls *calls, struct id call);
struct id calls_server(const struct calls *calls, struct id call);
/** What the owner keeps with it, until it is over; NULL at first. */
void *calls_note(const struct calls *calls, struct id call);
void calls_set_note(struct calls *calls, struct id call, void *note);

/* ---- what happens to it; a stale id is passed over ---- */

/** A target. `sent`: it was tried now; else it will be, when the record is there. */
void calls_leg(struct calls *calls, struct id call, const struct call_leg_facts *leg, bool sent,
               uint64_t now_ms);
void calls_leg_rang(struct calls *calls, struct id call, struct id client, uint64_t now_ms);
void calls_leg_answered(struct calls *calls, struct id call, struct id client, uint16_t status,
                        uint64_t now_ms);
void calls_leg_ended(struct calls *calls, struct id call, struct id client,
                     const struct call_end *end, uint64_t now_ms);

/** The caller cancels: what comes of it is his doing. `end`: what his CANCEL says. */
void calls_cancelled(struct calls *calls, struct id call, const struct call_end *end,
                     uint64_t now_ms);
/** A 2xx went to the caller; `callee_tag` is the To tag's hash. The first one counts. */
void calls_answered(struct calls *calls, struct id call, uint16_t status, uint32_t callee_tag,
                    uint64_t now_ms);
/** It is over: a final response other than 2xx went to the caller, or a BYE passed. */
void calls_ended(struct calls *calls, struct id call, const struct call_end *end, uint64_t now_ms);
/** What the body of a message says of its sender's media. False: nothing that can be read. */
bool calls_describes(const struct sip_msg *msg, struct call_side *out);
/** One side has said what media it has: before the call went up, or in an exchange that was agreed
 * to since. What has changed of a call that is up is written. */
void calls_media(struct calls *calls, struct id call, enum call_party party,
                 const struct call_side *side, uint64_t now_ms);
/** A request passed within it: it lives. */
void calls_heard(struct calls *calls, struct id call, uint64_t now_ms);
/** Of its answer; 0: it has none. */
uint32_t calls_callee_tag(const struct calls *calls, struct id call);

/* ---- the dialog of a call (dialog/dialog.h), so that we can speak in it ---- */

/** A 2xx is about to go to the caller: before calls_answered(), whose record has it. What cannot
 * be kept is left out: such a call cannot be hung up by us. */
void calls_confirmed(struct calls *calls, struct id call, const struct sip_msg *response,
                     dialog_is_ours_fn *is_ours, void *user);
/** A request with this CSeq came by, of any of the call's dialogs. The first of one end is written
 * when the call is up. */
void calls_said(struct calls *calls, struct id call, bool from_caller, uint32_t cseq,
                uint64_t now_ms);
/** One end is reached elsewhere from now on (target refresh, RFC 3261 §12.2): written. */
void calls_moved(struct calls *calls, struct id call, enum call_party party, struct slice contact,
                 uint64_t now_ms);
/** Its dialog and Call-ID, borrowed until anything happens to it. ERR_NOT_FOUND: there is no such
 * call that is up. ERR_CONFLICT: too little is known of its dialog. */
MUST_CHECK enum err calls_dialog(const struct calls *calls, struct id call, struct dialog *out,
                                 struct slice *sip_call_id);
/** We have said BYE to both ends: it is over, by the system. */
void calls_hung_up(struct calls *calls, struct id call, struct slice reason, uint64_t now_ms);
/** Was it hung up by us, lately? */
bool calls_was_hung_up(const struct calls *calls, struct id call);
/** The id of its record; 0: there is no such call. */
uint64_t calls_record_id(const struct calls *calls, struct id call);

/** True: the token is one of ours. */
bool calls_is_token(struct id token);
void calls_receipt(struct calls *calls, struct id token, enum err err, uint64_t now_ms);

/** A block from the store, before the first message: every worker is given all. */
void calls_restore(struct calls *calls, struct slice block, uint64_t now_ms, uint64_t wall_ms);

#endif
