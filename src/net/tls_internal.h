/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/tls_internal - what the files about TLS share: OpenSSL's types stay among them.
 */
#ifndef NET_TLS_INTERNAL_H
#define NET_TLS_INTERNAL_H

#include <openssl/ssl.h>

#include "base/builder.h"
#include "net/tls.h"

enum {
    TLS_SESSION_S = 6 * 3600 /* for so long a session may be taken up again */
};

/** A file as it was when it was read. */
struct tls_seen {
    char path[TLS_PATH_MAX];
    uint64_t device, inode, size;
    int64_t changed_ns;
};

struct tls {
    SSL_CTX *servers[TLS_PAIRS_MAX]; /* one for each pair; at least one */
    X509 *certificates[TLS_PAIRS_MAX];
    uint32_t count;
    SSL_CTX *client;
    struct tls_seen seen[2 * TLS_PAIRS_MAX + 2];
    uint32_t seen_count;
};

/* tls_files.c */
/** Fills in `problem` as printf; what is too long is cut. */
void tls_say(struct tls_problem *problem, enum tls_file file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct tls_read; /* a pair in memory */
/** Reads a pair: the certificate, its chain and its key. False: `*problem` says why. */
bool tls_pair_read(const struct tls_pair *files, uint32_t pair, struct tls_read **out,
                   struct tls_problem *problem);
void tls_read_free(struct tls_read *read);
X509 *tls_read_certificate(const struct tls_read *read);
/** Gives the pair to `ctx`. False: it does not take it. */
bool tls_read_use(const struct tls_read *read, SSL_CTX *ctx);
/** A pair of our own making for these names. NULL: out of memory. */
struct tls_read *tls_self_signed(const struct slice *names, uint32_t count);
/** Is it within its time? Else `text` says what is wrong. */
bool tls_in_time(const X509 *certificate, char text[TLS_PROBLEM_MAX]);
/** All certificates of a PEM file as a store to verify by. NULL: `*problem` says why. */
X509_STORE *tls_store_read(const char *path, enum tls_file file, struct tls_problem *problem,
                           STACK_OF(X509_NAME) * *names);
/** How the file looks now; false: it is not there. */
bool tls_look(const char *path, struct tls_seen *out);

/* tls_identity.c */
/** Does the certificate speak for `name` (a domain or host, RFC 5922 §7.2) or, when that is empty,
 * for the address? */
bool tls_speaks_for(X509 *certificate, struct slice name, const struct addr *addr);
/** Writes whom it speaks for, the first few: "a.example, b.example"; for people. */
void tls_names_of(X509 *certificate, struct builder *b);

/* tls_filter.c: callbacks of OpenSSL's. */
/** One certificate of a peer's chain was looked at. */
int tls_filter_verified(int fine, X509_STORE_CTX *store);
/** A session of a peer that we dialled can be kept. */
int tls_filter_session(SSL *ssl, SSL_SESSION *session);

#endif
