/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user - the `users` resource as plain data: what config/ reads, store/ keeps,
 * api/ shows and the core looks up.
 */
#ifndef BASE_USER_H
#define BASE_USER_H

#include "base/slice.h"

/** Digest algorithms, in the order of enum sip_algorithm (sip/digest.h). */
enum {
    USER_DIGESTS = 4,
    USER_DIGEST_BYTES = 32,
    USER_NAME_MAX = 64,
    USER_ALGORITHMS_MAX = 3,
    USER_FORWARD_MS = 20000 /* how long his phones ring before a call goes on, unless he says */
};

/** When a user's calls go to somebody else. */
enum user_forward {
    USER_FORWARD_ALWAYS = 0,
    USER_FORWARD_BUSY, /* he has declined, too, or wants not to be disturbed */
    USER_FORWARD_NO_ANSWER,
    USER_FORWARD_UNREGISTERED, /* no phone of his is there */
    USER_FORWARDS
};

struct user {
    /* its identity: [A-Za-z0-9._~+-], 1..USER_NAME_MAX, lower case not forced */
    struct slice name;
    struct slice display_name; /* empty: none */
    struct slice extension;    /* digits, * and #; empty: none */
    struct slice email;
    struct slice role;          /* admin, analyst, agent; empty: agent */
    struct slice caller_number; /* E.164 with +; empty: none */
    struct slice realm;         /* that the digests are for; empty: no password yet */
    bool do_not_disturb;
    bool disabled;
    /* enum sip_algorithm offered to this user, in order; 0s: the node's */
    uint8_t algorithms[USER_ALGORITHMS_MAX];
    bool has_digest;
    /* A1 by algorithm; the password itself is never stored */
    uint8_t digests[USER_DIGESTS][USER_DIGEST_BYTES];
    struct slice title; /* "Head of Sales"; empty: none */
    /* tags with commas between, in order of preference: "en,fr"; empty: none */
    struct slice languages;
    struct slice forward[USER_FORWARDS]; /* destinations (base/destination.h); empty: none */
    uint32_t forward_after_ms;           /* of no_answer; 0: USER_FORWARD_MS */
};

#endif
