/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn - SIP transactions (RFC 3261 §17; RFC 6026, 4320, 4321).
 *
 * A transaction is one request and its responses on one hop. This room matches,
 * retransmits and times out. Where a request goes is not its business.
 *
 *   core -> txn_receive_request(), txn_receive_response()
 *        -> struct txn_user: responses, ends, cancels
 *   proxy, registrar, core -> txn_reply(), txn_forward_response(), txn_client_*()
 *
 * Four machines stand as tables with a pure step function (ict, nict, ist, nist);
 * a driver does the actions.
 *
 * Branches of ours:
 *   z9hG4bK boot(8) worker(2) slot(6) generation(8) loop(8) key(16), all lower-case hex.
 * `loop` is the hash of RFC 5393 §4.2, `key` 64 random bits kept in the transaction; a
 * response must match all of it, our sent-by, and the method of its CSeq.
 *
 * Thread:  the worker that owns the table; no locks.
 * Memory:  a pool of transactions; bytes from the worker's mem. A transaction that has
 *          finished keeps only what absorbing retransmissions needs.
 * Limit:   config.transactions_max per worker; then ERR_FULL.
 * Public headers: txn.h step.h ict.h nict.h ist.h nist.h timers.h
 */
#ifndef TXN_TXN_H
#define TXN_TXN_H

#include "base/flow.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/outbox.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/timer.h"
#include "sip/sip.h"

struct txn_table;

enum {
    TXN_BRANCH_LEN = 7 + 48,
    TXN_TO_TAG_LEN = 16
};

/** How a client transaction came to its end without a final response. */
enum txn_failure {
    TXN_TIMEOUT = 1,     /* Timer B or F: as a 408 (§16.8) */
    TXN_TRANSPORT_ERROR, /* refused, unreachable, connection lost: as a 503 (§16.9) */
    TXN_CLOSED, /* likewise; who is there says that nobody listens: nothing will arrive later */
};

/** Who uses transactions. `context` is what was given when the transaction was made. */
struct txn_user {
    void *user;
    /**
     * A response for a client transaction: each provisional, the first final one, and each
     * further 2xx to INVITE (RFC 6026). 100 is given, too. The ACK of a failure has been sent.
     * The message is borrowed until return. A transaction may be used within.
     */
    void (*on_response)(void *user, struct id client, uint64_t context,
                        const struct sip_msg *response, uint64_t now_ms);
    /** No final response will come. Not called after a final response. */
    void (*on_failure)(void *user, struct id client, uint64_t context, enum txn_failure failure,
                       uint64_t now_ms);
    /** The server transaction is over, its id is stale. Called exactly once, by the timer wheel's
     * run or from within txn_server_drop(). */
    void (*on_server_end)(void *user, struct id server, uint64_t context, uint64_t now_ms);
    /** The client transaction is over (also after final responses), its id is stale. Called exactly
     * once, by the timer wheel's run or from within txn_client_fail(). */
    void (*on_client_end)(void *user, struct id client, uint64_t context, uint64_t now_ms);
    /**
     * The caller of a pending INVITE is gone: it came by WebSocket, whose end nobody can be reached
     * at (RFC 7118 §5), and that connection is lost. From within txn_conn_lost(); NULL: nobody
     * asks.
     */
    void (*on_caller_lost)(void *user, struct id server, uint64_t now_ms);
};

struct txn_config {
    uint32_t worker;           /* 0..255 */
    uint32_t boot;             /* number of this start of the node */
    uint32_t transactions_max; /* <= 2^24 */
    struct mem *mem;           /* these are borrowed and outlive the table */
    struct timer_wheel *wheel;
    struct outbox *outbox;
    struct rng *rng;
    uint64_t hash_seed; /* for the matching tables */
    /** Is this sent-by (host and port of a Via) one of ours? */
    bool (*is_our_sent_by)(void *user, const struct sip_via *via);
    void *is_our_sent_by_user;
    /**
     * What a client that asks for overload control is told in responses made here: sip_oc_write().
     * Borrowed until the next call. NULL: nothing.
     */
    struct slice (*oc)(void *user, const struct flow *source);
    void *oc_user;
    struct txn_user handlers;
};

struct txn_counters {
    uint64_t server_started, client_started;
    uint64_t request_retransmissions_absorbed;
    uint64_t requests_resent, responses_resent;
    uint64_t responses_unmatched, acks_absorbed;
    uint64_t timeouts, transport_errors, full;
    uint64_t replies_too_big; /* a stateless answer that could not be written */
    uint64_t not_kept;        /* no memory to keep a response for resending: it was sent once */
};

MUST_CHECK enum err txn_table_open(const struct txn_config *config, struct txn_table **out);
/** Ends all without callbacks, frees everything. */
void txn_table_close(struct txn_table *table);
const struct txn_counters *txn_counters(const struct txn_table *table);
uint32_t txn_count(const struct txn_table *table);
/** Transactions, servers and clients, that have no final response yet: 0 when draining is done. */
uint32_t txn_pending(const struct txn_table *table);

/* ---- servers: requests that came to us ---- */

enum txn_verdict {
    TXN_NEW = 1,  /* a new server transaction was made: `id` */
    TXN_ABSORBED, /* a retransmission or an ACK of a failure: all is done */
    TXN_ACK,      /* an ACK that belongs to no failure of ours: forward statelessly */
    TXN_CANCEL,   /* a CANCEL: new server transaction `id`, and `cancel_matched`, `cancelled` */
    TXN_MERGED, /* new server transaction `id`, but another with the same From tag, Call-ID and CSeq
                   and without To tag is there (§8.2.2.2): a UAS answers 482, a proxy goes on */
    TXN_REFUSED, /* no room: counted; the caller may answer 503 statelessly */
};

struct txn_received {
    enum txn_verdict verdict;
    struct id id;
    struct id cancelled; /* the INVITE's transaction, or nothing */
    bool
        cancel_matched; /* it is for something that is there, of any method: 200, else 481 (§9.2) */
};

/**
 * Matches a sound request (§17.2.3, with RFC 2543 rules when the branch lacks the cookie),
 * or makes a server transaction for it. The transaction keeps a copy of the bytes until
 * its final response is out. `context` is for the handlers; set it with txn_server_context().
 */
struct txn_received txn_receive_request(struct txn_table *table, const struct sip_msg *request,
                                        const struct flow *source, uint64_t now_ms);

/** Is there a transaction for this request, sound or looked at (sip/peek.h)? Nothing changes. */
bool txn_knows(const struct txn_table *table, const struct sip_msg *request);

void txn_server_context(struct txn_table *table, struct id server, uint64_t context);
/** The context, or 0 for a stale id. */
uint64_t txn_server_context_get(const struct txn_table *table, struct id server);

/** The request as received: valid until its final response; empty slice for a stale id or later. */
struct slice txn_server_request(const struct txn_table *table, struct id server);
/** How the bytes were framed, to parse them again. */
enum sip_framing txn_server_framing(const struct txn_table *table, struct id server);
/** Parses it again; `*out` is valid as long as it. ERR_NOT_FOUND: there is none; else as
 * sip_parse(). */
MUST_CHECK enum err txn_server_parse(const struct txn_table *table, struct id server,
                                     struct sip_msg *out);
/** The flow it came by; NULL for a stale id. */
const struct flow *txn_server_flow(const struct txn_table *table, struct id server);
/** The To tag of responses made here: the same for all of this transaction. */
struct slice txn_server_to_tag(const struct txn_table *table, struct id server);
/** Has it sent a final response? True for a stale id. */
bool txn_server_answered(const struct txn_table *table, struct id server);

/**
 * Sends a response made here. `reply->to_tag`, `received` and `rport` are filled in. Responses to
 * a transaction that has sent a final one are dropped (OK). ERR_NOT_FOUND: stale id.
 */
MUST_CHECK enum err txn_reply(struct txn_table *table, struct id server,
                              const struct sip_reply *reply, uint64_t now_ms);

/**
 * As txn_reply() for who has the request parsed at hand (as received, or txn_server_request()
 * parsed again): saves parsing the copy. `request` is borrowed until return.
 */
MUST_CHECK enum err txn_reply_parsed(struct txn_table *table, struct id server,
                                     const struct sip_msg *request, const struct sip_reply *reply,
                                     uint64_t now_ms);

/**
 * Sends a response that came from downstream: `edits` are over it and have our Via taken off. For
 * INVITE any number of 2xx may follow each other (RFC 6026 §7.1). ERR_NOT_FOUND: the transaction is
 * gone.
 */
MUST_CHECK enum err txn_forward_response(struct txn_table *table, struct id server,
                                         const struct sip_edits *edits, uint64_t now_ms);

/** Ends the transaction at once, without an answer (a request that is dropped). */
void txn_server_drop(struct txn_table *table, struct id server, uint64_t now_ms);

/**
 * Where a response to this request goes (RFC 3261 §18.2.2, RFC 3581): the connection it came
 * by, with received:sent-by-port as a way back; on UDP rport, or received:sent-by-port.
 */
struct flow txn_response_flow(const struct sip_via *via, const struct flow *source);

/** Sends a response without a transaction (faulty requests, no room). To tag is a hash of the
 * request, unless `reply->to_tag` is one. */
void txn_reply_stateless(struct txn_table *table, const struct sip_msg *request,
                         const struct flow *source, const struct sip_reply *reply);

/* ---- clients: requests that we send ---- */

/**
 * Opens a client transaction and names its branch; nothing is sent yet. `loop` is the loop hash.
 * ERR_FULL or ERR_MEMORY: nothing was made.
 */
MUST_CHECK enum err txn_client_open(struct txn_table *table, enum sip_method method, uint32_t loop,
                                    uint64_t context, struct id *out,
                                    char branch[static TXN_BRANCH_LEN]);

/**
 * Sends the finished request (top Via ours with that branch; the bytes are copied) to `to`.
 * Exactly one of on_response(final) and on_failure follows, never from within this call.
 */
MUST_CHECK enum err txn_client_send(struct txn_table *table, struct id client, struct slice request,
                                    const struct flow *to, uint64_t now_ms);

/** The branch of a client transaction once more. False: a stale id. */
bool txn_client_branch(const struct txn_table *table, struct id client,
                       char branch[static TXN_BRANCH_LEN]);

/** Gives an opened transaction back that was never sent; no callbacks. */
void txn_client_discard(struct txn_table *table, struct id client);

/**
 * Cancels an INVITE: at once when a provisional response came, else as soon as one comes (§9.1);
 * after a final response nothing happens. `fields` (a Reason line or empty) is copied. If no final
 * response comes within 64*T1 of the CANCEL the transaction fails with TXN_TIMEOUT (§9.1).
 */
void txn_client_cancel(struct txn_table *table, struct id client, struct slice fields,
                       uint64_t now_ms);

/** Bytes that a table takes at most beside its `mem`. */
size_t txn_memory_max(uint32_t transactions_max);

/** The request as sent, until a final response; then empty. */
struct slice txn_client_request(const struct txn_table *table, struct id client);
uint64_t txn_client_context_get(const struct txn_table *table, struct id client);
/** The context may be changed as long as the id is live. */
void txn_client_context(struct txn_table *table, struct id client, uint64_t context);

/** Fails the transaction now as if `failure` had happened by itself (Timer C, RFC 3261 §16.8). */
void txn_client_fail(struct txn_table *table, struct id client, enum txn_failure failure,
                     uint64_t now_ms);

/** What a response is. */
enum txn_response {
    TXN_STRAY = 0,      /* nothing matched, drop it (RFC 6026 §7.3, RFC 4320 §4.3) */
    TXN_FROM_ELSEWHERE, /* of a transaction of ours, but from another host than was asked */
    TXN_FROM_TARGET,    /* from where the request went: who is there has heard us */
};

/** Is this Via, of a request or a response, that of a client transaction which is still there? */
bool txn_has_sent(const struct txn_table *table, const struct sip_via *via);

/** Matches a response by our branch, and handles it. */
enum txn_response txn_receive_response(struct txn_table *table, const struct sip_msg *response,
                                       const struct flow *source, uint64_t now_ms);

/**
 * Bytes of ours could not be delivered: the beginning of a message as sent (ICMP, send error,
 * write queue of a lost connection). A request fails its client transaction, with TXN_CLOSED if
 * `closed`, else with TXN_TRANSPORT_ERROR; a response ends nothing.
 */
void txn_send_failed(struct txn_table *table, struct slice sent, bool closed, uint64_t now_ms);

/** A connection is gone: client transactions that wait on it fail, callers are lost. */
void txn_conn_lost(struct txn_table *table, struct conn_id conn, uint64_t now_ms);

/* ---- branches ---- */

/** What stands in a branch of ours. */
struct txn_branch {
    uint32_t boot;
    uint32_t worker;
    struct id id;
    uint32_t loop;
    uint64_t key;
};

/** Decodes; false when it is not of our form. Says nothing about it being genuine. */
bool txn_branch_parse(struct slice branch, struct txn_branch *out);
/** The branch in the topmost Via of a request that we sent; it may be cut off. False: none of ours.
 */
bool txn_sent_branch(struct slice sent, struct txn_branch *out);
void txn_branch_write(const struct txn_branch *branch, char out[static TXN_BRANCH_LEN]);

#endif
