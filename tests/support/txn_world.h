/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn_world - a transaction table under simulated time: what it sends and what it tells its user
 * is collected, to be looked at by the tests of txn.
 */
#ifndef TESTS_TXN_WORLD_H
#define TESTS_TXN_WORLD_H

#include "txn/timers.h"
#include "txn/txn.h"

enum {
    WORLD_SENT_MAX = 256,
    WORLD_TOLD_MAX = 256,
    WORLD_TEXT_MAX = 2048
};

enum told_kind {
    TOLD_RESPONSE = 1,
    TOLD_FAILURE,
    TOLD_SERVER_END,
    TOLD_CLIENT_END,
    TOLD_CALLER_LOST
};

struct sent {
    uint64_t at_ms;
    struct flow to;
    size_t len;
    char text[WORLD_TEXT_MAX]; /* NUL-terminated */
};

struct told {
    uint64_t at_ms;
    enum told_kind kind;
    struct id id;
    uint64_t context;
    unsigned detail; /* status or enum txn_failure */
};

struct world {
    struct mem mem;
    struct timer_wheel wheel;
    struct outbox outbox;
    struct rng rng;
    struct txn_config config;
    struct txn_table *table;
    uint64_t now_ms;
    size_t empty_bytes; /* of mem when the table was open and idle */

    bool sent_by_is_theirs; /* is_our_sent_by() says no */
    uint32_t sent_count;    /* counts on past the maximum */
    struct sent sent[WORLD_SENT_MAX];
    char branch[TXN_BRANCH_LEN + 1]; /* of the client opened last, NUL-terminated */
    uint32_t told_count;
    struct told told[WORLD_TOLD_MAX];
    /* Called after what a handler does by itself; may be NULL. */
    void (*hook)(struct world *w, const struct told *told, const struct sip_msg *response);
    void *hook_user;
};

/** A table with these limits; asserts that it could be had. Time begins at 1,000 s. */
struct world *world_open(uint32_t transactions_max);
/** Closes, and asserts that no byte is left. */
void world_close(struct world *w);
/** Lets time pass, timers run, and collects what is sent. */
void world_run(struct world *w, uint64_t for_ms);
/** Collects what lies in the outbox. */
void world_flush(struct world *w);
/** Forgets what was collected. */
void world_forget(struct world *w);

/** UDP from 192.0.2.`host`:`port` to our 192.0.2.1:5060. */
struct flow world_udp(unsigned host, uint16_t port);
/** As world_udp() over a connection. */
struct flow world_tcp(unsigned host, uint16_t port, uint32_t conn);

/** Fields of a request; those left NULL or 0 get a sound value. */
struct request {
    const char *method;   /* INVITE */
    const char *uri;      /* sip:bob@example.com */
    const char *via;      /* SIP/2.0/UDP 192.0.2.10:5060 */
    const char *branch;   /* z9hG4bKone; "": no branch parameter */
    const char *from_tag; /* a */
    const char *to_tag;   /* none */
    const char *call_id;  /* call@example.com */
    unsigned cseq;        /* 1 */
    const char *fields;   /* further lines with CRLF */
};

/** Its text, in `text`. */
struct slice world_request_text(const struct request *request, char text[static WORLD_TEXT_MAX]);
/** The table receives it from `source`. */
struct txn_received world_receive(struct world *w, const struct request *request,
                                  const struct flow *source);
/** txn_reply() with nothing but a status; asserts OK. */
void world_reply(struct world *w, struct id server, uint16_t status);
/** txn_forward_response() of a response with this status and To tag, our Via taken off. */
enum err world_forward(struct world *w, struct id server, const struct request *request,
                       unsigned status, const char *to_tag);

/** Opens a client transaction with `context` and sends `request` (its branch is set) by `to`. */
struct id world_send(struct world *w, const struct request *request, const struct flow *to,
                     uint64_t context);
/** The branch that world_send() made last. */
struct slice world_branch(const struct world *w);
/** The peer answers the request in w->sent[index]; returns what txn_receive_response() said. */
bool world_answer(struct world *w, uint32_t index, unsigned status, const struct flow *source);
/** A response with this top Via branch, sent-by ours, and CSeq method. */
bool world_answer_branch(struct world *w, struct slice branch, const char *method, unsigned status,
                         const struct flow *source);

/** Does the text of w->sent[index] hold `part`? False past the end. */
bool world_sent_has(const struct world *w, uint32_t index, const char *part);
/** How often `kind` was told. */
uint32_t world_told(const struct world *w, enum told_kind kind);

#endif
