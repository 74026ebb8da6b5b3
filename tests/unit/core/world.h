/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world - one worker's core over a small location table: what it sends and posts is kept, to be
 * looked at by the tests of core.
 */
#ifndef TESTS_CORE_WORLD_H
#define TESTS_CORE_WORLD_H

#include "core/core.h"

enum {
    WORLD_AORS = 32,
    WORLD_SENT_MAX = 16,
    WORLD_MAIL_MAX = 16,
    WORLD_TEXT_MAX = 4096
};

struct world_entry {
    uint64_t hash;
    uint32_t note;
    char key[64];
    char block[2048];
    size_t key_len, block_len; /* block_len 0: free */
};

struct world_sent {
    struct flow to;
    char text[WORLD_TEXT_MAX]; /* NUL-terminated */
};

struct world_mail {
    unsigned to;
    struct core_mail mail; /* `bytes` refers to `text` */
    char text[WORLD_TEXT_MAX];
};

struct world {
    uint64_t now_ms, wall_ms;
    struct core_config config;
    struct core *core;
    struct policy *policy;
    struct listener listener;
    struct outbox outbox;
    struct world_entry entries[WORLD_AORS];
    unsigned sent_count; /* since world_feed() began; counts on past the maximum */
    struct world_sent sent[WORLD_SENT_MAX];
    unsigned mail_count; /* as sent_count, since the world began */
    struct world_mail mail[WORLD_MAIL_MAX];
    unsigned deaf; /* the worker whose mailbox is full; 0: none */
};

/** Worker 0 of `workers`; `users` may be NULL. Asserts that it could be had. */
void world_open(struct world *w, unsigned workers, const struct user *users, size_t user_count);
void world_close(struct world *w);

/** The core anew, with what the caller has changed in w->config; the location table stays. */
void world_reopen(struct world *w);

/** The way from 192.0.2.1:`port`; `conn` NULL: UDP, else a connection. */
struct flow world_flow(uint16_t port, const struct conn_id *conn);

/** Gives a message to the core and collects what it sends at once. */
void world_feed(struct world *w, const char *text, const struct flow *source);

/** The same for any bytes. */
void world_feed_bytes(struct world *w, struct slice bytes, const struct flow *source);

/** Lets time pass, in steps, on both clocks. */
void world_pass(struct world *w, uint64_t ms);

/** REGISTER of `name` at a contact for so many seconds; asserts that the answer is a 200. */
void world_register(struct world *w, const char *name, unsigned cseq, unsigned expires,
                    const struct flow *source);

/** A user name whose AOR worker 0 owns. Static, until the next call. */
const char *world_own_name(const struct world *w);

/** AORs in the location table. */
unsigned world_aors(const struct world *w);

#endif
