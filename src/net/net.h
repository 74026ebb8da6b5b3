/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net - the SIP sockets of a worker: UDP, TCP, TLS and WebSocket over IPv4 and IPv6.
 *
 * Receives in batches and hands every message over where it arrives; collects what is to be sent
 * in an outbox and sends it once per turn. Opens, reuses and closes connections; a connection
 * belongs to one worker for life, and an outgoing one to the worker that the hash of (address,
 * port, transport, and over TLS the name that the peer must prove) names, so that a peer sees one.
 * Who sends on another worker's connection writes it a letter. What could not be sent is told to
 * the worker that wanted it or owns the connection; ICMP refusals to the worker whose socket heard
 * them.
 *
 * Thread:  net_sockets_*() the one that starts; a struct net its worker.
 * Memory:  a `mem` of its own, bounded by limits.memory_max.
 * Limit:   struct net_limits; each has a counter, and what happens then stands beside it.
 * Public headers: net.h framing.h tls.h dns.h ws_upgrade.h
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/outbox.h"
#include "loop/live.h"
#include "loop/loop.h"
#include "net/tls.h"
#include "net/ws_upgrade.h"

struct net;
struct net_sockets;

/** Why the listening sockets could not be opened. */
struct net_problem {
    uint32_t listener; /* which one */
    int error;         /* errno; EADDRINUSE: the port is taken */
};

/**
 * Opens each listener `workers` times with SO_REUSEPORT and fills in the ports that
 * were given as 0. A port that any other process holds is refused. ERR_IO: see `*problem`.
 */
MUST_CHECK enum err net_sockets_open(struct listener *listeners, uint32_t count, unsigned workers,
                                     struct net_problem *problem, struct net_sockets **out);

/** Closes what no struct net has taken over. */
void net_sockets_close(struct net_sockets *sockets);

enum {
    NET_NAMES_MAX = 4096, /* hosts per worker that TLS may be dialled to; more: the one that was
                             named longest ago is forgotten */
};

struct net_limits {
    uint32_t connections_max;            /* per worker; one more: closed at once */
    uint32_t connections_per_source_max; /* per remote host, over all workers; one more: closed at
                                            once. At most LIVE_COUNT_MAX */
    uint32_t write_queue_bytes;          /* per connection; one more: that message failed */
    uint32_t message_ms; /* from the first byte of a message to its last; then closed */
    uint32_t first_ms;   /* from accepting to the first message; then closed. Not of a WebSocket */
    uint32_t stall_ms;   /* of a write queue that does not get shorter; then closed */
    uint32_t connect_ms; /* then failed */
    uint32_t idle_ms;    /* without a byte in either direction; then closed */
    uint32_t ping_ms;    /* between the pings to a WebSocket; one not answered: closed */
    uint32_t handshakes_max; /* per worker, of TLS and WebSocket; one more: the oldest is closed */
    uint32_t handshake_ms;   /* from accepting or connecting to the end of it; then closed */
    size_t tls_memory_max;   /* per worker, TLS_CONN_BYTES for each connection; then refused */
    size_t ws_memory_max; /* per worker, for WebSockets in the middle of a message; then closed */
    size_t memory_max;    /* bytes of buffers and queues of this worker; then as a full queue */
};

static inline struct net_limits net_limits_default(void)
{
    return (struct net_limits){
        .connections_max = 50000,
        .connections_per_source_max = 4000,
        .write_queue_bytes = 256 * 1024,
        .message_ms = 10000,
        .first_ms = 32000,
        .stall_ms = 20000,
        .connect_ms = 5000,
        .idle_ms = 2 * 3600 * 1000 + 300000, /* longer than any registration is kept alive */
        .ping_ms = 30000,
        .handshakes_max = 1000,
        .handshake_ms = 10000,
        .tls_memory_max = (size_t)1 << 30,
        .ws_memory_max = (size_t)64 << 20,
        .memory_max = (size_t)512 << 20,
    };
}

/** What net tells its worker. Never called from within net_outbox()'s flush. */
struct net_ops {
    void *user;
    /** One message; `bytes` is borrowed. False: a stream that is to be closed when all is out. */
    bool (*receive)(void *user, struct slice bytes, bool stream, const struct flow *source);
    /**
     * A message could not be delivered; `sent` is its beginning, as it was sent. `closed`: the host
     * that it went to says so itself (ICMP port unreachable): nobody listens there.
     */
    void (*send_failed)(void *user, struct slice sent, bool closed);
    /**
     * A connection of this worker is gone. False: not all have been told; it is called again,
     * with `*told` as it was left (0 at first). Until then the connection counts.
     */
    bool (*conn_lost)(void *user, struct conn_id conn, uint32_t *told);
    /** May a stream of this peer be read now? No: it is asked again some milliseconds later, and
     * until then his TCP waits. NULL: always. */
    bool (*may_read)(void *user, const struct addr *remote);
    /** May this peer, whose connection was accepted, begin with TLS? No: it is closed at once.
     * NULL: always. */
    bool (*may_handshake)(void *user, const struct addr *remote);
    /** What comes next by UDP of this listener has waited so long in its socket; 0 when that has
     * become empty. Told as long as there are queues. NULL: nobody asks. */
    void (*waited)(void *user, uint8_t listener, uint32_t waited_ms);
    /** A line for the log, at most one a second; `text` is borrowed. NULL: nobody reads it. */
    void (*warn)(void *user, const char *event, struct slice text);
};

struct net_config {
    struct loop *loop; /* borrowed, as all below */
    struct net_sockets *sockets;
    const struct listener *listeners; /* as net_sockets_open() left them */
    uint32_t listener_count;
    uint64_t hash_seed;   /* the same in all workers, secret */
    struct live *sources; /* accepted connections by remote host; the same in all workers */
    struct ws_rules ws;   /* which web pages may connect */
    uint32_t boot;        /* number of this start: names of connections differ by it */
    struct net_limits limits;
    struct net_ops ops;
};

/**
 * From now on new connections over TLS use `tls`, borrowed until another takes its place or net is
 * closed. Without one they are refused. In the worker, or before the loops start.
 */
void net_set_tls(struct net *net, const struct tls *tls);

/**
 * What is sent by TLS with `name` in its flow goes to this host: the peer's certificate must speak
 * for it (RFC 5922). To be told before each such message, as of names that are long unused the
 * oldest are forgotten (NET_NAMES_MAX). Copied.
 */
void net_name_host(struct net *net, uint64_t name, struct slice host);

/** Before the loops start. Takes over the sockets of the loop's worker. */
MUST_CHECK enum err net_open(const struct net_config *config, struct net **out);

/** Bytes that a net takes at most. What the kernel keeps per socket is not in it. */
size_t net_memory_max(const struct net_limits *limits);

/** After the loops have ended. Closes all connections without a word. */
void net_close(struct net *net);

/** Where this worker's sends are collected. */
struct outbox *net_outbox(struct net *net);

/** The turn's end: sends, and reports what failed. True: more is to be done at once. */
bool net_turn(struct net *net);

/** Closes a connection of this worker once its queue is out. An unknown one is fine. */
void net_close_conn(struct net *net, struct conn_id conn);

/**
 * A datagram from this address reached another worker, who gave it to ours: bursts to it are safe
 * (udp_send.c). For those that come by this worker's own sockets net knows it by itself.
 */
void net_heard(struct net *net, const struct addr *remote);

/**
 * The peer of this connection of our worker's asks, by `alias` in his Via, that requests to `port`
 * of his address go by it, too (RFC 5923). Of use only if it is TLS and he has shown a certificate
 * that we have verified; an unknown connection is fine. To be told with each such request.
 */
void net_alias(struct net *net, struct conn_id conn, uint16_t port);

/** No new connection is accepted from now on. */
void net_stop_listening(struct net *net);

/** Our address that packets to `remote` leave by: the listener's, or what the kernel's routes
 * say; family NONE: there is no route. Cached; the port is the listener's. */
struct addr net_local_address(struct net *net, uint8_t listener, const struct addr *remote);

/** Why net refused, dropped or closed something. The names are metric labels. */
enum net_reason {
    NET_R_CONNECTIONS = 0, /* limits.connections_max */
    NET_R_SOURCE,          /* limits.connections_per_source_max */
    NET_R_SOURCES,         /* the table `sources` is full */
    NET_R_DESCRIPTORS,     /* the process has no descriptor left */
    NET_R_WRITE_QUEUE,     /* limits.write_queue_bytes */
    NET_R_MEMORY,          /* limits.memory_max, or the system's */
    NET_R_SLOW_MESSAGE,    /* limits.message_ms, first_ms */
    NET_R_STALLED,         /* limits.stall_ms */
    NET_R_IDLE,            /* limits.idle_ms */
    NET_R_CONNECT_TIMEOUT, /* limits.connect_ms */
    NET_R_CONNECT,         /* refused or unreachable */
    NET_R_FRAMING,         /* broken, no Content-Length, or too long */
    NET_R_MAILBOX,         /* the connection's owner takes no more letters */
    NET_R_NO_CONNECTION,   /* gone, and no other may be used */
    NET_R_NO_LISTENER,     /* none of ours can send to such an address */
    NET_R_SEND,            /* the kernel refused: no route, a firewall */
    NET_R_SEND_BUFFER,     /* UDP: the socket's buffer is full, the datagram is dropped */
    NET_R_ICMP,            /* UDP: refused by the destination or on the way */
    NET_R_RESET,           /* TCP: closed by the peer with an error */
    NET_R_HANDSHAKE,       /* TLS: no common version, a bad certificate, no TLS at all; WebSocket:
                              no upgrade, or not to SIP */
    NET_R_SLOW_HANDSHAKE,  /* limits.handshake_ms */
    NET_R_HANDSHAKES,      /* limits.handshakes_max */
    NET_R_HANDSHAKE_RATE,  /* ops.may_handshake */
    NET_R_TLS_MEMORY,      /* limits.tls_memory_max, or the system's */
    NET_R_NO_TLS,          /* there is no certificate to show */
    NET_R_ORIGIN,          /* WebSocket: net_config.ws does not list it; it is a handshake, too */
    NET_R_NO_PONG,         /* WebSocket: no sign of life for two of limits.ping_ms */
    NET_R_NAME,            /* TLS: the host's name is forgotten, see NET_NAMES_MAX */
    NET_R_COUNT,
};
const char *net_reason_name(enum net_reason reason);

/** This worker's; to be read in its thread. */
struct net_counters {
    uint64_t udp_received, udp_sent, udp_receive_calls, udp_send_calls, udp_keepalives;
    uint64_t udp_bursts; /* of several datagrams that went down the kernel as one */
    uint64_t stream_received, stream_sent, stream_pings;
    uint64_t stream_writes; /* of one message or several, or a part of one */
    uint64_t bytes_received, bytes_sent;
    uint64_t accepted, connected, closed;
    uint64_t handshakes; /* of TLS */
    uint64_t upgraded;   /* to a WebSocket */
    uint64_t resumed;    /* among them: with an earlier session */
    uint64_t aliased;    /* connections of peers that requests of ours go by, by name */
    uint64_t letters_sent, letters_received;
    uint64_t reading_paused; /* because a mailbox was getting full */
    uint64_t reading_denied; /* by ops.may_read */
    uint64_t refused[NET_R_COUNT];
    uint32_t connections;                  /* now */
    uint32_t tls_connections, handshaking; /* now, among them */
    size_t memory_used;                    /* now */
};
void net_counters(const struct net *net, struct net_counters *out);

#endif
