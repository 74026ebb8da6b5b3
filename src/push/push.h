/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push - asks the push gateway to wake phones (RFC 8599): an HTTPS webhook.
 *
 * Each request is one POST of a JSON document, signed with HMAC-SHA256. The gateway knows what
 * APNs, FCM and the like want; we know who is to be woken, and why. What it cannot answer now is
 * tried again, each time after twice as long, for as long as it is of use.
 *
 * Thread:  one of its own, with libcurl. push_send() is for any thread and never waits; `done` is
 *          called in that thread.
 * Memory:  malloc; at most push_memory_max().
 * Limits:  queue_max requests, under way or waiting, half of them for refreshes; PUSH_AT_ONCE under
 *          way. Beyond: push_send() is false.
 * Public headers: push.h
 */
#ifndef PUSH_PUSH_H
#define PUSH_PUSH_H

#include "base/pool.h"
#include "base/slice.h"

struct push_gateway;

enum {
    PUSH_AT_ONCE = 32,     /* requests under way */
    PUSH_TEXTS_MAX = 4096, /* bytes of all texts of a request */
    PUSH_ANSWER_MAX = 256, /* bytes of an answer's body that are kept */
    PUSH_PROBLEM_MAX = 256,
    PUSH_SECRET_MIN = 16, /* bytes */
};

/** All borrowed until push_open() returns. */
struct push_options {
    const char *url;     /* https: */
    struct slice secret; /* signs what is sent; at least PUSH_SECRET_MIN bytes */
    const char *ca;      /* PEM file of who signs the gateway's certificate; NULL: the system's */
    uint32_t timeout_ms; /* of one try */
    uint32_t tries;      /* at most */
    uint32_t queue_max;
};

/** What the phone is woken for. */
enum push_event {
    PUSH_CALL = 1,
    PUSH_REFRESH,
    PUSH_TEST,
};

enum push_outcome {
    PUSH_ACCEPTED = 1, /* the gateway takes care of it: 2xx */
    PUSH_GONE,         /* 404, 410: it says that there is no such phone any more */
    PUSH_REFUSED,      /* it will not, whenever it is asked: other 3xx and 4xx */
    PUSH_NO_ANSWER,    /* it did not answer in time, or was not well */
    PUSH_ENDING,       /* we are about to end */
};

struct push_result {
    enum push_outcome outcome;
    long status; /* of its last answer; 0: there was none */
    uint32_t tries;
    uint32_t ms;         /* from push_send() on */
    const char *problem; /* why there was no answer; empty if there was one */
    struct slice answer; /* the beginning of the last answer's body */
};

struct push_request {
    enum push_event event;
    struct slice user; /* all UTF-8, or left out */
    struct slice provider, param, prid;
    struct slice call_id, caller;
    uint32_t for_ms; /* later it is of no use */
    struct id token; /* of no meaning here, as the next */
    uint32_t worker;
    /** Called once, in the gateway's thread. The request is its copy. */
    void (*done)(void *user, const struct push_request *request, const struct push_result *result);
    void *done_user;
};

struct push_counters {
    uint64_t sent;    /* HTTP requests, all tries */
    uint64_t retries; /* of those, not the first */
    uint64_t accepted, gone, refused, no_answer, full;
    uint32_t waiting;    /* requests under way, or that wait to be */
    uint32_t unanswered; /* of the last requests, in a row */
};

/** Starts the thread. `problem` says in words what went wrong. */
MUST_CHECK enum err push_open(const struct push_options *options,
                              char problem[static PUSH_PROBLEM_MAX], struct push_gateway **out);

/** Ends what is under way: `done` is called for all. */
void push_close(struct push_gateway *gateway);

/** Everything is copied. False: the queue is full, or there is no memory; `done` is not called. */
bool push_send(struct push_gateway *gateway, const struct push_request *request);

void push_counters(const struct push_gateway *gateway, struct push_counters *out);

/** "accepted" etc. Static. */
const char *push_outcome_word(enum push_outcome outcome);

/** The most memory that a gateway takes, but for libcurl's. */
size_t push_memory_max(uint32_t queue_max);

/**
 * The value of X-Strowger-Signature: t=SECONDS,v1=HEX, where HEX is HMAC-SHA256 with the secret
 * over SECONDS, a dot and the body. ERR_MEMORY: there is none.
 */
enum {
    PUSH_SIGNATURE_MAX = 104
};
MUST_CHECK enum err push_sign(struct slice secret, uint64_t seconds, struct slice body,
                              char out[static PUSH_SIGNATURE_MAX]);

/** The document as it is sent. The caller frees; NULL: no memory. `id` is that of the request. */
char *push_document(const struct push_request *request, const char *id, uint64_t wall_ms);

#endif
