/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/tls_filter - TLS as a filter of a connection, above TCP.
 *
 * OpenSSL reads and writes through a BIO of ours that calls the filter below: it never sees a
 * descriptor. While nothing is under way it has no buffers.
 */
#ifndef NET_TLS_FILTER_H
#define NET_TLS_FILTER_H

#include "base/builder.h"
#include "net/filter.h"
#include "net/tls.h"

struct ssl_st;

/** What the TLS filters of one worker share. */
struct tls_worker;
MUST_CHECK enum err tls_worker_open(struct tls_worker **out);
/** All its filters are closed. NULL is fine. */
void tls_worker_close(struct tls_worker *worker);
/** New connections use `tls`, borrowed; those that are up keep what they have. NULL: none. */
void tls_worker_set(struct tls_worker *worker, const struct tls *tls);
/** Sessions that are kept, of peers that were dialled: each may take as much as a connection. */
uint32_t tls_worker_sessions(const struct tls_worker *worker);
bool tls_worker_ready(const struct tls_worker *worker);

/** Waits for a client's hello. NULL: out of memory. */
struct filter *tls_filter_accept(struct tls_worker *worker, struct filter *below);

/**
 * Says hello. The peer must show a certificate that speaks for `name`, or, when that is empty, for
 * the address (RFC 5922 §7.3). NULL: out of memory.
 */
struct filter *tls_filter_dial(struct tls_worker *worker, struct filter *below, struct slice name,
                               const struct addr *addr);

/** Writes why the TLS in this stack has failed: the peer's certificate and what is wrong with it,
 * or what OpenSSL says. False: it has not. */
bool tls_filter_explain(const struct filter *top, struct builder *b);
/** Has the client at the other end shown a certificate, and was it verified? */
bool tls_filter_peer_known(const struct filter *top);
/** And does it speak for `name` or, when that is empty, for the address (RFC 5923 §9.2)? */
bool tls_filter_speaks_for(const struct filter *top, struct slice name, const struct addr *addr);
/** Was an earlier session of the peer's taken up? */
bool tls_filter_resumed(const struct filter *top);

/** For the choice of a certificate: the set that new connections of this one's worker use. */
const struct tls *tls_filter_set(const struct ssl_st *ssl);

#endif
