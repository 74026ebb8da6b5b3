/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/tls - what we present and whom we trust over TLS (RFC 5246, RFC 8446, RFC 5922).
 *
 * A struct tls is made whole from files and never changes. To take up new files another one is
 * made and given to each worker by net_set_tls(); connections that are up keep what they began
 * with.
 *
 * TLS 1.2 and 1.3, forward secret ciphers only; no renegotiation, no compression, no early data.
 * Sessions resume by tickets, whose keys live as long as the struct tls: nothing is kept per
 * client, and a ticket is worth nothing after a change of certificates.
 *
 * Thread:  tls_open(), tls_free(), tls_files_changed() one at a time; connections of any worker
 *          may use it meanwhile.
 * Memory:  OpenSSL's. A connection takes about TLS_CONN_BYTES, see net_limits.tls_memory_max.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/addr.h"
#include "base/err.h"
#include "base/slice.h"

struct tls;

enum {
    TLS_PAIRS_MAX = 32,           /* certificates with their keys */
    TLS_FILE_BYTES_MAX = 1 << 20, /* of a file with certificates or a key */
    TLS_PATH_MAX = 1024,
    TLS_PROBLEM_MAX = 512,
    TLS_CONN_BYTES = 24 * 1024, /* what an idle connection may take of OpenSSL's memory */
};

/** A certificate with its chain, and its key; PEM. Both may be in one file. */
struct tls_pair {
    char certificate[TLS_PATH_MAX];
    char key[TLS_PATH_MAX];
};

struct tls_options {
    const struct tls_pair *pairs; /* the first is presented to who names no or an unknown server */
    uint32_t pair_count;          /* 0: a certificate of our own making, for `names` */
    const struct slice *names;    /* of hosts, and addresses */
    uint32_t name_count;
    const char *client_ca; /* who signs clients' certificates; NULL: none is asked for */
    bool client_required;  /* with client_ca: who has none is refused */
    const char *ca;        /* who signs the certificates of servers we dial; NULL: the system's */
};

enum tls_file {
    TLS_FILE_CERTIFICATE = 1,
    TLS_FILE_KEY,
    TLS_FILE_CLIENT_CA,
    TLS_FILE_CA,
};

/** What is wrong with a file. */
struct tls_problem {
    enum tls_file file;
    uint32_t pair; /* of certificate and key */
    char text[TLS_PROBLEM_MAX];
};

/** Hears of one problem; a pair may have several. */
typedef void tls_problem_fn(void *user, const struct tls_problem *problem);

/**
 * Reads everything and tells each problem: what cannot be read, belongs to another key, has expired
 * or is not valid yet. True: there is none. For people who ask before they start.
 */
bool tls_check(const struct tls_options *options, tls_problem_fn *tell, void *user);

/**
 * Makes one. A certificate that is out of date is used nevertheless, and told in `*problem` with
 * OK as the answer: what does not depend on it must go on. ERR_SYNTAX, ERR_IO: see `*problem`,
 * whose text is empty where there is none.
 */
MUST_CHECK enum err tls_open(const struct tls_options *options, struct tls_problem *problem,
                             struct tls **out);

/** No worker's net has it any more; connections may. NULL is fine. */
void tls_free(struct tls *tls);

/** Has one of its files changed since it was made? */
bool tls_files_changed(const struct tls *tls);

/** Takes its files as they are now for those that it was made from: they were looked at in vain. */
void tls_look_again(struct tls *tls);

/** Milliseconds since 1970 at which the first certificate of ours runs out. */
uint64_t tls_expires_ms(const struct tls *tls);

#endif
