/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/table - private to the room: the table's and the transactions' insides, and what its files
 * (txn.c, match.c, server.c, respond.c, client.c, cancel.c, failures.c) call of each other.
 *
 * Ends: an object is freed before its on_server_end() or on_client_end(), so that its id is stale
 * there already. A client in TERMINATED is in its on_failure(): the frame that called frees it, and
 * no other. An end by a timer of zero (D, I, J, K on reliable transports) and a transport error
 * come with the wheel's next run, so no verb that answers or sends calls its caller back. After a
 * call of the user's on_response() the transaction may be gone: that call is the last thing done
 * with it.
 */
#ifndef TXN_TABLE_H
#define TXN_TABLE_H

#include "base/map.h"
#include "txn/step.h"
#include "txn/txn.h"

/** A due that does not come. */
#define NEVER UINT64_MAX

struct server {
    struct timer timer;      /* armed for the earlier of resend_ms and end_ms */
    struct map_node by_key;  /* in table->by_key: key.a */
    struct map_node by_call; /* in table->by_call, if in_by_call */
    struct list by_watch;    /* a pending INVITE by WebSocket: in the watch of its connection */
    uint64_t key_b;          /* the other half of the key */
    uint64_t resend_ms;      /* Timer G, or NEVER */
    uint64_t end_ms;         /* H, I, J, L, or the 100 of RFC 4320; or NEVER */
    uint64_t context;        /* the user's */
    struct txn_table *table; /* the one it is in */
    struct id id;
    struct flow source;   /* by which the request came */
    struct addr reply_to; /* responses: `source` with this remote (RFC 3261 §18.2.2) */
    char *request;        /* owned; until the final response */
    char *response;       /* owned; as long as it may be resent */
    uint32_t method_hash; /* of a method without number, else 0 */
    uint32_t request_tag; /* RFC 2543 matching: hash of the request's To tag ... */
    uint32_t answer_tag;  /* ... and of the To tag of the failure that was sent */
    uint16_t request_len;
    uint16_t response_len;
    uint16_t gap_ms;  /* of Timer G */
    uint8_t method;   /* enum sip_method */
    uint8_t state;    /* enum ist_state or nist_state */
    bool rfc2543 : 1; /* matched without a branch */
    bool in_by_call : 1;
    bool pending : 1; /* counted in table->pending */
    bool trying : 1;  /* a 100 was sent last: made again when needed, not kept */
    char to_tag[TXN_TO_TAG_LEN];
};

struct client {
    struct timer timer;      /* armed for the earlier of resend_ms and end_ms */
    uint64_t resend_ms;      /* Timer A or E of the request, or E of its CANCEL; or NEVER */
    uint64_t end_ms;         /* B, D, F, K, M, or the end after a CANCEL; or NEVER */
    uint64_t context;        /* the user's */
    uint64_t key;            /* the branch's random bits */
    struct txn_table *table; /* the one it is in */
    struct id id;
    struct watch *watch; /* of the connection that the answer comes by; NULL: none */
    struct list by_watch;
    struct flow to; /* where the request went */
    char *bytes;    /* owned: the request until a final response, then the ACK or nothing */
    char *cancel;   /* owned: the CANCEL until it is answered */
    uint32_t loop;  /* hash in the branch */
    uint16_t bytes_len;
    uint16_t cancel_len;
    uint16_t gap_ms;      /* of Timers A and E */
    uint8_t method;       /* enum sip_method */
    uint8_t state;        /* enum ict_state or nict_state; 0: not sent yet */
    uint8_t cancel_state; /* enum nict_state of the CANCEL; 0: not sent */
    bool cancel_wanted : 1;
    bool pending : 1;     /* counted in table->pending */
    bool undelivered : 1; /* a transport error waits for the wheel's next run */
    bool closed : 1;      /* that error: nobody listens there */
    bool conn_lost : 1;   /* likewise the end of the connection */
};

/** Who waits on one connection. There only while there is somebody. */
struct watch {
    struct map_node node;
    struct conn_id conn;
    struct list clients;
    struct list servers; /* pending INVITEs of a WebSocket: they end with it */
};

struct txn_table {
    struct txn_config config;
    struct pool servers;
    struct pool clients;
    struct map by_key;  /* servers by branch and sent-by, or the fields of RFC 2543 */
    struct map by_call; /* servers without To tag by From tag, Call-ID and CSeq */
    struct map watches; /* by connection */
    struct txn_counters counters;
    uint32_t pending; /* servers and clients without a final response */
};

/* ---- match.c: which server transaction a request belongs to ---- */

struct server_key {
    uint64_t a;
    uint64_t b;
    uint32_t method_hash;
    uint32_t to_tag;
    bool rfc2543;
};

struct server_key server_key(const struct txn_table *table, const struct sip_msg *request);
/** Of this request's own kind (an ACK finds an INVITE), or NULL. */
struct server *server_match(const struct txn_table *table, const struct server_key *key,
                            const struct sip_msg *request);
/** What a CANCEL is for (§9.2), or NULL. */
struct server *server_match_cancelled(const struct txn_table *table, const struct server_key *key);
/** For merged requests: hash of From tag, Call-ID and CSeq (§8.2.2.2). */
uint64_t server_call_hash(const struct txn_table *table, const struct sip_msg *request);
/** Hash of a tag; never 0 for one that is there, 0 for none. */
uint32_t tag_hash(const struct txn_table *table, struct slice tag);

/* ---- server.c ---- */

void server_free(struct server *server);
/** A response that was sent last goes out again. `request` may be NULL. */
void server_resend(struct server *server, const struct sip_msg *request);

/* ---- respond.c: writing responses ---- */

/** Is the transaction of INVITE? Its machine is IST, else NIST. */
static inline bool server_is_invite(const struct server *server)
{
    return server->method == SIP_INVITE;
}

struct flow server_response_flow(const struct server *server);
/**
 * Writes a response of ours to where responses go, and gives the bytes as they lie in the outbox
 * until its next use.
 */
MUST_CHECK enum err respond(struct txn_table *table, const struct sip_msg *request,
                            const struct flow *source, const struct flow *to,
                            const struct sip_reply *reply, struct slice *sent);

/* ---- client.c ---- */

void client_free(struct client *client);
/** NULL for a stale id. */
struct client *client_get(const struct txn_table *table, struct id id);
/** Arms the timer for what is due next. */
void client_arm(struct client *client);
/** The request, parsed again. False: it cannot be, which only bytes that no peer takes can do. */
bool client_parse(const struct client *client, struct sip_msg *out);
/** A gap that doubles up to `most_ms`, from T1 on. */
uint16_t gap_next(uint16_t gap_ms, uint16_t most_ms);

/* ---- cancel.c: the CANCEL of an INVITE ---- */

/** Sends the CANCEL that is wanted, if one is: the INVITE has had a provisional response. */
void cancel_start(struct client *client, uint64_t now_ms);
/** A response to it. False: none was sent. */
bool cancel_response(struct client *client, unsigned status);
/** Timer E of it. */
void cancel_resend(struct client *client, uint64_t now_ms);
/** It is not resent any more. */
void cancel_stop(struct client *client);

/* ---- failures.c: connections that somebody waits on ---- */

/** Without memory its caller is not known to be gone: it rings until somebody answers. */
void watch_server(struct server *server);
void unwatch_server(struct server *server);

MUST_CHECK enum err watch_add(struct client *client, struct conn_id conn);
void watch_remove(struct client *client);

/* ---- small things ---- */

/** A copy in the table's memory; NULL when there is none. */
static inline char *bytes_keep(struct txn_table *table, struct slice s)
{
    char *copy = mem_alloc(table->config.mem, s.len);
    if (copy != NULL && s.data != NULL)
        memcpy(copy, s.data, s.len);
    return copy;
}

static inline void bytes_free(struct txn_table *table, char **data, uint16_t *len)
{
    mem_free(table->config.mem, *data, *len);
    *data = NULL;
    *len = 0;
}

/** Arms the timer for the earlier of both dues, or stops it. */
static inline void arm_for(struct txn_table *table, struct timer *timer, uint64_t resend_ms,
                           uint64_t end_ms)
{
    uint64_t due_ms = resend_ms < end_ms ? resend_ms : end_ms;

    if (due_ms == NEVER)
        timer_stop(table->config.wheel, timer);
    else
        timer_start(table->config.wheel, timer, due_ms);
}

#endif
