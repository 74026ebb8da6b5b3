/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/internal - what the files of this room share.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/map.h"
#include "base/mem.h"
#include "net/filter.h"
#include "net/framing.h"
#include "net/names.h"
#include "net/net.h"
#include "net/tls_filter.h"
#include "net/ws_filter.h"

enum {
    UDP_BATCH = 64,           /* datagrams per recvmmsg and sendmmsg */
    UDP_BATCHES_PER_TURN = 4, /* then the next socket has its turn */
    UDP_BUFFER_BYTES = 65536, /* the largest datagram, and one to see that there was more */
    READS_PER_TURN = 4,       /* of one connection */
    FRAMES_PER_TURN = 64,     /* of one whose filter gives one message a read */
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 5,              /* a stream is not read while a mailbox is getting full */
    RESUMES_MAX = 1024,        /* streams that are asked about after a pause, in their order */
    LOST_AGAIN_MS = 5,         /* a lost connection that not all could be told about */
    CLOSE_MS = 2000,           /* from our end of the stream to the peer's */
    JOIN_BYTES = 16384,        /* of messages that are written as one: what a TLS record takes */
    JOIN_MESSAGES = 64,        /* likewise */
    UNHEARD_BYTES_MAX = 65536, /* kept per outgoing connection */
    REPORT_BYTES_MAX = 4096,   /* of a message that failed: its Via is in there */
    ALIASES = 256,             /* of a worker; the newer of two in one place stays */
    HEARD_PLACES = 1024,       /* a power of two; the newer of two in one place stays */
    CONN_MAP_INITIAL = 64,     /* buckets */
    LOCAL_CACHE = 256,
    LOCAL_CACHE_MS = 30000,
};

union sockaddr_any {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
};

/* socket.c: addresses of the kernel's kind, and the listening sockets. */
socklen_t sockaddr_of(const struct addr *addr, union sockaddr_any *out);
struct addr addr_of(const union sockaddr_any *from);
int addr_domain(const struct addr *addr);
/** The descriptor, now the caller's; -1 if it was taken before. */
int net_sockets_take(struct net_sockets *sockets, uint32_t listener, unsigned worker);

/** One UDP socket of a listener. */
struct udp_socket {
    struct loop_watch watch;
    struct net *net;
    uint8_t listener;
    bool wildcard;
    uint64_t single_until_ms; /* until then no bursts: the kernel refused one */
    bool stamped;             /* the kernel says when each datagram came */
    uint64_t crowded_ms;      /* a batch was of STAMP_BATCH or more */
};

/** One listening TCP socket. */
struct tcp_listener {
    struct loop_watch watch;
    struct net *net;
    uint8_t listener;
};

enum conn_state {
    CONN_CONNECTING = 1,
    CONN_OPEN,
    CONN_CLOSING, /* what is queued goes out, nothing is taken any more */
    CONN_ENDED,   /* our end is said; waits for the peer's, so that nothing of ours gets lost */
    CONN_DEAD,    /* freed at the turn's end, when all have been told that it is lost */
};

/** A message, or the rest of one, that waits for the socket. */
struct out_chunk {
    struct list node;
    uint32_t len;
    uint32_t sent; /* bytes of `bytes` that are out */
    char bytes[];
};

struct conn {
    struct id id;
    uint8_t state; /* enum conn_state */
    bool paused;   /* in net.paused: not read for a while */
    bool outgoing;
    bool heard; /* at least one whole message */
    bool ready; /* the filters' own beginnings are over */
    bool asked; /* for a sign of life, with what is being read */
    bool begun; /* a part of a record or message has been there since begun_ms */
    bool tls;   /* counted in net.tls_connections */
    struct net *net;
    struct filter *filter; /* the topmost */
    struct tcp_filter tcp;
    struct loop_watch watch;
    struct timer timer;
    struct list shaking;       /* in net.shaking: not ready yet */
    struct list list;          /* in net.paused, net.closing or net.dead */
    struct list lost;          /* in net.lost */
    uint32_t told;             /* how far ops.conn_lost() has come */
    struct map_node by_remote; /* outgoing ones, in net.by_remote */
    uint32_t source;           /* accepted ones: its place in config.sources; 0: none */
    struct flow flow;          /* of messages received here */
    struct framing framing;
    char *in; /* an incomplete message, in_capacity bytes of net->mem; NULL: none */
    uint32_t in_len, in_capacity;
    struct list out; /* struct out_chunk */
    uint32_t out_bytes;
    struct list gathered;  /* messages of this turn, see gather.c */
    struct list gathering; /* in net.gathering, as long as there are such */
    struct list unheard;   /* struct out_chunk: requests written since a message came, see there */
    uint32_t unheard_bytes;
    bool aliased;        /* requests of ours go by it, though the peer has opened it; see alias.c */
    uint16_t alias_port; /* that the peer is reached at, he says; 0: he does not */
    uint64_t alias_name; /* of the flows that it was last found good for */
    uint64_t active_ms;  /* the last byte in either direction */
    uint64_t begun_ms;   /* the first byte of the incomplete message; opened; connecting */
    uint64_t stalled_ms; /* since when the queue has not got shorter */
    uint64_t pinged_ms;  /* the filter's last ping, or ready */
};

/** A message that failed: told when the core is not in the middle of something else. */
struct report {
    struct list node;
    uint32_t len;
    bool closed; /* as in net_ops.send_failed */
    char bytes[];
};

struct local_entry {
    struct addr remote; /* port 0; family NONE: empty */
    struct addr local;
    uint64_t until_ms;
};

/** Where a peer says to be reached by a connection of his. */
struct alias {
    struct addr remote;
    struct conn_id conn; /* generation 0: free */
};

/** When a datagram came from an address last. */
struct heard {
    uint64_t hash; /* of the address; 0: free */
    uint64_t at_ms;
};

struct net {
    struct net_config config;
    struct loop *loop;
    struct mem mem;
    struct net_counters counters;
    struct udp_socket udp[LISTENERS_MAX];
    struct tcp_listener tcp[LISTENERS_MAX];
    struct timer accept_timer; /* listens again after descriptors had run out */
    bool stopped;              /* listening */

    struct pool conns;
    struct map by_remote;
    struct tls_worker *tls;
    struct names names; /* of hosts that TLS may be dialled to */
    uint64_t said_ms;   /* when the next line about a failed handshake may come */
    uint64_t unsaid;    /* failed since the last */
    uint32_t tls_connections;
    struct ws_worker *ws;
    struct list shaking; /* struct conn: the oldest first */
    uint32_t handshaking;
    struct list paused; /* struct conn: reading waits */
    struct timer pause_timer;
    struct list closing; /* struct conn: end when this turn's sends are out */
    struct list dead;    /* struct conn: to be freed */
    struct list reports; /* struct report */
    struct list lost;    /* struct conn: to be told; it needs no memory, so that it is */
    struct timer lost_timer;

    struct list gathering; /* struct conn: there is something to be written at the turn's end */
    char *gather_buffer;
    size_t gather_used;
    char *join_buffer; /* JOIN_BYTES */

    struct outbox outbox;
    char *read_buffer; /* one read of a stream */
    char *udp_buffers;
    struct udp_batch *batch;
    bool udp_wildcard; /* a socket has several addresses: each datagram says to which it came */
    struct udp_out *out;
    struct heard heard[HEARD_PLACES];
    struct alias aliases[ALIASES];
    struct addr refused; /* the last of this turn, of which the other workers know */
    int local_fd[2];     /* v4, v6; for net_local_address() */
    struct local_entry local_cache[LOCAL_CACHE];
};

static inline void net_count(struct net *net, enum net_reason reason)
{
    net->counters.refused[reason]++;
}

/* net.c */
/** Remembers that a message failed, with the reason; told at the turn's end. */
void net_report_failed(struct net *net, enum net_reason reason, struct slice message);
/** The same by ICMP; `closed`: as in net_ops.send_failed. */
void net_report_icmp(struct net *net, bool closed, struct slice message);
/** The listener of this transport by which `remote` can be reached; LISTENER_ANY: none. */
uint8_t net_pick_listener(const struct net *net, const struct flow *to);

/* udp.c */
MUST_CHECK enum err udp_open(struct net *net, uint8_t listener, int fd);
void udp_close(struct net *net, uint8_t listener);
/** Bytes of the buffers for both directions. */
size_t udp_buffers_memory(void);
/** Makes them. */
MUST_CHECK enum err udp_buffers_open(struct net *net);
void udp_buffers_close(struct net *net);
/** Takes the returned datagrams off the error queue and reports those that were refused. */
void udp_read_errors(struct udp_socket *socket);

/* udp_send.c */
size_t udp_out_memory(void);
MUST_CHECK enum err udp_out_open(struct net *net);
void udp_out_close(struct net *net);
/** Collects a datagram, borrowed until udp_flush(). `topic`: see struct outbox_item. */
void udp_send(struct net *net, const struct flow *to, uint32_t topic, struct slice bytes);
/** Sends all that was collected. */
void udp_flush(struct net *net);
/** A datagram to this address was refused: it gets each of ours alone until it is heard again. */
void udp_refused(struct net *net, const struct addr *remote);
/** The same for this worker, who was told by another. */
void udp_not_heard(struct net *net, const struct addr *remote);

/* stream_report.c */
/** A connection over TLS or WebSocket is refused or has failed: says so in the log, at most once a
 * second. */
void stream_report(const struct conn *conn, enum net_reason reason);

/* alias.c */
/** `flow->remote` is reached by the connection in it, perhaps. */
void alias_learn(struct net *net, const struct flow *flow);
/** The connection that leads to this address, perhaps; false: none. */
bool alias_find(struct net *net, const struct addr *remote, struct conn_id *out);
/** May what is sent to `name` (of a flow) at `remote` go by this connection of the peer's? */
bool alias_holds(struct conn *conn, uint64_t name, const struct addr *remote);

/* gather.c */
/** Bytes of the buffers. */
size_t gather_memory(void);
MUST_CHECK enum err gather_open(struct net *net);
void gather_close(struct net *net);
/** Sends a copy by this connection when the turn ends, together with others. */
void gather_add(struct conn *conn, struct slice bytes);
/** Writes all that was gathered. Before connections are freed. */
void gather_flush(struct net *net);

/* conn.c, conn_open.c, conn_write.c */
MUST_CHECK enum err tcp_listen(struct net *net, uint8_t listener, int fd);
void tcp_stop(struct net *net);
MUST_CHECK enum err conns_open(struct net *net);
/** Bytes that it takes at most, beside `mem`. */
size_t conns_memory_max(const struct net_limits *limits);
/** Sends by the connection that `to` names, or by one to its remote address. */
void stream_send(struct net *net, const struct flow *to, struct slice bytes);
/** Writes messages, as one where the filter lets it, or keeps them until that is possible; what
 * fails is reported. At most JOIN_MESSAGES, and of JOIN_BYTES or a single one. */
void conn_send_all(struct conn *conn, const struct slice *messages, size_t count);
/** Closes at once; its queue failed. */
void conn_lose(struct conn *conn, enum net_reason reason);
/** Ends the streams that are to be closed and have nothing left to send. */
void conns_end_closing(struct net *net);
/** Tells that connections are lost. False: not all could be told now. */
bool conns_tell_lost(struct net *net);
/** Frees what died in this turn. */
void conns_bury(struct net *net);
void conns_close(struct net *net);

#endif
