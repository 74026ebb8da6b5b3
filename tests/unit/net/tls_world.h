/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_world - certificates in a folder of their own, and the two ends of a TLS connection over a
 * pipe.
 */
#ifndef TESTS_NET_TLS_WORLD_H
#define TESTS_NET_TLS_WORLD_H

#include "certificates.h"
#include "net/tls_filter.h"
#include "pipe.h"

/** The two ends; each worker has one connection at a time. */
struct tls_world {
    char folder[64];
    struct certificate authority; /* in authority.pem; the client trusts it */
    struct tls *server_tls, *client_tls;
    struct tls_worker *server_worker, *client_worker;
    struct pipe_end server_end, client_end; /* the pipe below */
    struct filter *server, *client;         /* NULL: closed */
};

/** A folder with an authority; nothing is connected. Static: one at a time. */
struct tls_world *tls_world_open(void);
void tls_world_close(struct tls_world *w);

/** Writes FOLDER/NAME.pem and NAME.key for `names`, signed by `issuer` (NULL: by itself). */
void tls_world_write(struct tls_world *w, const char *name, const char *names, int days,
                     const struct certificate *issuer);
/** FOLDER/NAME.END. Static, of the last four. */
const char *tls_world_path(const struct tls_world *w, const char *name, const char *end);

/** The server shows FOLDER/NAME.pem; NULL: one of its own making. Asserts that it can. */
void tls_world_serve(struct tls_world *w, const char *name);
/** The client shows FOLDER/NAME.pem, and trusts FOLDER/CA.pem. */
void tls_world_trust(struct tls_world *w, const char *name, const char *ca);

/** A new connection; the client dials `name` (empty: 192.0.2.1). */
void tls_world_connect(struct tls_world *w, const char *name);
/** Reads at both ends until nothing moves: the handshake. */
struct tls_shake {
    enum io server, client; /* what the last read there came to */
    bool ready;             /* both ends say so */
} tls_world_shake(struct tls_world *w);
/** Closes both ends; none is fine. */
void tls_world_hang_up(struct tls_world *w);

/** Asserts that all of `text` is written at `from`, and comes out at `to`. */
void tls_world_pass(struct filter *from, struct filter *to, const char *text);
/** For cmocka: a world as `*state`, whose server is sip.example.com and 192.0.2.1, and whose client
 * trusts the authority. */
int tls_world_set_up(void **state);
int tls_world_tear_down(void **state);

/** What tls_filter_explain() says. Static. */
const char *tls_world_why(const struct filter *filter);

#endif
