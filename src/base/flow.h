/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow - where a message came from, and where one goes to.
 */
#ifndef BASE_FLOW_H
#define BASE_FLOW_H

#include "base/addr.h"
#include "base/pool.h"

/** Transports of messages, in the order of the names in sip/uri.c. */
enum transport {
    TRANSPORT_NONE = 0, /* not said, or not known */
    TRANSPORT_UDP,
    TRANSPORT_TCP,
    TRANSPORT_TLS,
    TRANSPORT_WS,
    TRANSPORT_WSS,
    TRANSPORT_COUNT,
};

static inline bool transport_reliable(enum transport transport)
{
    return transport >= TRANSPORT_TCP;
}

/** Is what goes by it encrypted? What a sips URI asks for (RFC 5630). */
static inline bool transport_secure(enum transport transport)
{
    return transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}

/** "udp" and so on, as users write it; "" where there is none. */
static inline const char *transport_word(uint8_t transport)
{
    static const char *const words[TRANSPORT_COUNT] = {"", "udp", "tcp", "tls", "ws", "wss"};
    return transport < TRANSPORT_COUNT ? words[transport] : "";
}

enum flow_flag {
    FLOW_ONLY_CONN = 1 << 0, /* use this connection or fail: never open one to `remote` */
    FLOW_ALIAS = 1 << 1,     /* net's own: use this connection of the peer's if his certificate
                                speaks for `name`; else open one (RFC 5923) */
    FLOW_NO_ALIAS = 1 << 2,  /* net's own: it does not */
};

/** Names a connection of any worker, also after its end. conn.generation 0: none. */
struct conn_id {
    uint16_t worker;
    struct id id;
};

/**
 * One way to a peer. Received: `remote` is the source, `local` the address of ours it was
 * sent to (a wildcard listener's is filled in per packet), `conn` the connection if any.
 * To send: over `conn` if it is alive; else, on a stream, to `remote` over a connection
 * that is there or is opened then. `local` with family NONE: any address of the listener.
 */
struct flow {
    uint8_t transport; /* enum transport */
    uint8_t flags;     /* set of enum flow_flag */
    /* index of ours it came by or shall leave by; LISTENER_ANY: pick by transport and family */
    uint8_t listener;
    uint8_t zero;
    struct conn_id conn;
    struct addr remote;
    struct addr local;
    /* to send by TLS: a keyed hash of the host name that the peer must prove (RFC 5922 §4); 0: he
     * must prove his address. A connection is used for one name only */
    uint64_t name;
};

enum {
    LISTENER_ANY = 255,
    LISTENERS_MAX = 64
};

static inline bool flow_has_conn(const struct flow *flow)
{
    return flow->conn.id.generation != 0;
}

/** Is it the same way: the same connection, or datagrams from and to the same address? */
static inline bool flow_same(const struct flow *a, const struct flow *b)
{
    if (flow_has_conn(a) || flow_has_conn(b))
        return a->conn.worker == b->conn.worker && id_equal(a->conn.id, b->conn.id);
    return a->transport == b->transport && addr_equal(&a->remote, &b->remote);
}

/** One of our listening addresses, as the core needs to know it. Immutable while running. */
struct listener {
    uint8_t transport; /* enum transport */
    struct addr bound; /* port resolved; may be a wildcard */
    /* host or host:port that others reach it by; empty: the local address */
    struct slice advertise;
};

#endif
