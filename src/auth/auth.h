/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth - challenges and credentials (RFC 3261 §22, RFC 7616, RFC 8760).
 *
 * Nonces are signed over time, realm and source address with a key that is kept over
 * restarts, so any worker can check one. How often a nonce was used is known by one
 * worker only: the one whose number stands in the nonce, in a bounded window per nonce; when
 * that window is lost the answer is stale=true. Clients without qop (RFC 2617) have no count: their
 * nonce is good once.
 *
 * Which user a name belongs to, and what he may do, is the core's business. An
 * unknown user costs the same time and gets the same answer as a wrong password.
 *
 * Credentials whose nonce is not ours for that address, or too old, are answered stale=true without
 * a look at the password (RFC 7616 §3.3): so nobody can try passwords without a nonce that he was
 * sent, and each that is tried with one can be counted against an address that is not forged.
 *
 * Thread:  one struct auth per worker; no locks.
 * Memory:  a table of `windows_max` nonce windows, allocated once; the oldest is reused.
 * Public headers: auth.h
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/flow.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/user.h"
#include "sip/sip.h"

struct auth;

struct auth_config {
    uint32_t worker;
    uint32_t nonce_lifetime_ms;
    uint32_t windows_max;                    /* nonces whose counts are remembered */
    uint8_t algorithms[USER_ALGORITHMS_MAX]; /* offered, in order; 0s at the end; all 0: MD5 */
    struct slice realm;                      /* immutable, outlives it; no quotes or backslashes */
    struct hash_key nonce_key;               /* kept over restarts */
    struct rng *rng;
    /** Does the URI name us? NULL: unknown. See auth_check(). */
    bool (*is_ours)(const void *user, const struct sip_uri *uri);
    const void *is_ours_user;
};

/** ERR_SYNTAX: the realm cannot be written into a challenge. ERR_MEMORY. */
MUST_CHECK enum err auth_open(const struct auth_config *config, struct auth **out);
void auth_close(struct auth *auth);

enum auth_verdict {
    AUTH_NONE = 1, /* no usable credentials for our realm: challenge */
    AUTH_STALE, /* the nonce is too old, of another key or address; or right answer, but its window
                 * is lost, or without qop it was used: challenge with stale=true */
    AUTH_BAD,   /* wrong password, unknown user, count used again, wrong uri: challenge, count a
                 * failure */
    AUTH_OK,
    AUTH_ELSEWHERE, /* right so far; worker `owner` must say whether the count is fresh: ask it with
                     * auth_count(). An owner that does not exist (any more) is AUTH_STALE */
};

struct auth_result {
    enum auth_verdict verdict;
    const struct sip_field *field;      /* the credentials that were looked at; NULL: none */
    struct sip_credentials credentials; /* borrowed from the message */
    uint32_t owner;                     /* with AUTH_ELSEWHERE */
    bool wrong; /* with AUTH_BAD: user or password; the nonce was good, so the address is his */
};

/**
 * Finds the credentials for our realm in Authorization (`proxy` false) or Proxy-Authorization.
 * AUTH_NONE, or AUTH_OK meaning: there are some, look the user up by credentials.username. Those
 * of other realms, unknown algorithms, or with an '@' in the username are passed over.
 */
struct auth_result auth_find(const struct auth *auth, const struct sip_msg *msg, bool proxy);

/**
 * Checks what auth_find() found. `user` may be NULL (unknown, disabled, no password): the same work
 * is done against a made-up digest. The uri of the credentials must fit the Request-URI (§22.4
 * point 5, leniently: equal as URI, equal user and host, or any URI that names us). Algorithms not
 * offered are AUTH_NONE; `like` is the user whose list counts, see auth_challenge(). now_ms is UTC:
 * nonces outlive the process.
 */
void auth_check(struct auth *auth, const struct sip_msg *msg, const struct user *user,
                const struct user *like, const struct flow *source, uint64_t now_ms,
                struct auth_result *result);

/** What auth_count() is to be asked: the count, or 0 without qop. */
static inline uint32_t auth_count_of(const struct sip_credentials *credentials)
{
    return credentials->has_qop ? credentials->nc : 0;
}

/**
 * In the owner worker: is this count of this nonce new? AUTH_OK, AUTH_BAD (used) or AUTH_STALE
 * (window lost). nc 0 stands for a use without qop: OK once, then AUTH_STALE.
 */
enum auth_verdict auth_count(struct auth *auth, struct slice nonce, uint32_t nc);

/**
 * Writes one challenge line per algorithm ("WWW-Authenticate: Digest ...\r\n" or Proxy-), in the
 * configured order or that of the user `like` (RFC 8760 §2.3; NULL: the configured one). The nonce,
 * one for all lines, names this worker as its owner and opens a window.
 */
void auth_challenge(struct auth *auth, struct builder *b, bool proxy, bool stale,
                    const struct user *like, const struct flow *source, uint64_t now_ms);

/** Bytes that auth_open() allocates. */
size_t auth_memory(const struct auth_config *config);

#endif
