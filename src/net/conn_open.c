/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections are made: accepted, or opened to where a message has to go, with the filters that
 * their transport wants.
 */
#include "net/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/hash.h"

enum {
    KEEPALIVE_S = 120, /* of an idle TCP connection: finds dead peers long before idle_ms */
    KEEPALIVE_GAP_S = 20,
    KEEPALIVE_PROBES = 3,
};

/* One more connection from this source, over all workers. False (counted): there are too many. */
static bool source_take(struct net *net, const struct addr *remote, uint32_t *place)
{
    struct addr source = addr_source(remote);
    uint64_t hash = hash_bytes(net->config.hash_seed, bytes_of(&source, sizeof source));
    enum live_answer answer =
        live_take(net->config.sources, hash, net->config.limits.connections_per_source_max, place);
    if (answer != LIVE_TAKEN)
        net_count(net, answer == LIVE_LIMIT ? NET_R_SOURCE : NET_R_SOURCES);
    return answer == LIVE_TAKEN;
}

void conn_watch(struct conn *conn)
{
    uint32_t events = conn->filter->ops->wants(conn->filter);
    bool wants_write = conn->state == CONN_CONNECTING || (conn->ready && conn->out_bytes > 0);

    if (conn->state == CONN_DEAD)
        return;
    events |= wants_write ? (uint32_t)EPOLLOUT : 0;
    events |= conn->state != CONN_CONNECTING && !conn->paused ? (uint32_t)EPOLLIN : 0;
    if (loop_watch(conn->net->loop, &conn->watch, conn->tcp.fd, events, conn_on_events) != OK)
        conn_lose(conn, NET_R_DESCRIPTORS);
}

static void tcp_tune(int fd)
{
    const struct {
        int level, option, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_GAP_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    for (size_t i = 0; i < COUNT_OF(options); i++)
        setsockopt(fd, options[i].level, options[i].option, &options[i].value,
                   sizeof options[i].value);
}

/* Puts TLS above TCP. NET_R_COUNT: done; else why not. */
static enum net_reason conn_add_tls(struct conn *conn)
{
    struct net *net = conn->net;
    size_t bytes =
        ((size_t)net->tls_connections + tls_worker_sessions(net->tls) + 1) * TLS_CONN_BYTES;
    struct filter *filter = NULL;

    if (!tls_worker_ready(net->tls))
        return NET_R_NO_TLS;
    if (bytes <= net->config.limits.tls_memory_max)
        filter = conn->outgoing
                     ? tls_filter_dial(net->tls, conn->filter,
                                       names_find(&net->names, conn->flow.name), &conn->flow.remote)
                     : tls_filter_accept(net->tls, conn->filter);
    if (filter == NULL)
        return NET_R_TLS_MEMORY;
    conn->filter = filter;
    conn->tls = true;
    net->tls_connections++;
    return NET_R_COUNT;
}

/* Puts a WebSocket above what is there. NET_R_COUNT: done; else why not. */
static enum net_reason conn_add_ws(struct conn *conn)
{
    struct filter *filter = ws_filter_accept(conn->net->ws, conn->filter, conn->tls);

    if (filter == NULL)
        return NET_R_MEMORY;
    conn->filter = filter;
    return NET_R_COUNT;
}

/* The filters of the listener's transport, the lowest first. False (counted): it cannot be. */
static bool conn_stack(struct conn *conn)
{
    enum transport transport = (enum transport)conn->flow.transport;
    enum net_reason reason = NET_R_COUNT;

    conn->filter = &conn->tcp.filter;
    if (transport_secure(transport))
        reason = conn_add_tls(conn);
    if (reason == NET_R_COUNT && (transport == TRANSPORT_WS || transport == TRANSPORT_WSS))
        reason = conn_add_ws(conn);
    if (reason == NET_R_COUNT)
        return true;
    net_count(conn->net, reason);
    stream_report(conn, reason);
    conn->filter->ops->close(conn->filter);
    return false;
}

/* The beginning of the filters is under way; of too many the oldest has to give way. */
static void conn_shake_hands(struct conn *conn)
{
    struct net *net = conn->net;

    conn->ready = conn->filter->ops->ready(conn->filter);
    if (conn->ready)
        return;
    if (net->handshaking >= net->config.limits.handshakes_max)
        conn_lose(CONTAINER_OF(net->shaking.next, struct conn, shaking), NET_R_HANDSHAKES);
    list_push(&net->shaking, &conn->shaking);
    net->handshaking++;
}

void conn_shook_hands(struct conn *conn)
{
    if (conn->shaking.next == NULL)
        return;
    list_remove(&conn->shaking);
    conn->net->handshaking--;
}

/* Before anything is spent on it: a handshake takes more than a millisecond of the worker's time.
 */
static bool may_handshake(struct net *net, uint8_t listener, const struct addr *remote)
{
    const struct net_ops *ops = &net->config.ops;
    enum transport transport = (enum transport)net->config.listeners[listener].transport;

    if (!transport_secure(transport) || ops->may_handshake == NULL ||
        ops->may_handshake(ops->user, remote))
        return true;
    net_count(net, NET_R_HANDSHAKE_RATE);
    return false;
}

/* A new connection over `fd`, which it owns from now on; NULL (counted, fd closed): no room. */
static struct conn *conn_new(struct net *net, int fd, uint8_t listener, const struct flow *peer,
                             bool outgoing)
{
    struct id id;
    struct conn *conn = NULL;

    if (net->conns.count >= net->config.limits.connections_max)
        net_count(net, NET_R_CONNECTIONS);
    else if ((conn = pool_alloc(&net->conns, &id)) == NULL)
        net_count(net, NET_R_MEMORY);
    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn->id = id;
    conn->outgoing = outgoing;
    conn->net = net;
    tcp_filter_init(&conn->tcp, fd);
    conn->timer.fn = conn_on_timer;
    list_init(&conn->out);
    list_init(&conn->unheard);
    list_init(&conn->gathered);
    conn->begun_ms = conn->active_ms = loop_now_ms(net->loop);
    conn->flow = (struct flow){
        .transport = net->config.listeners[listener].transport,
        .listener = listener,
        .conn = conn_name(conn),
        .remote = peer->remote,
        .name = peer->name,
        .local = net->config.listeners[listener].bound,
    };
    if (!conn_stack(conn)) {
        pool_free(&net->conns, id);
        return NULL;
    }
    tcp_tune(fd);
    conn_shake_hands(conn);
    return conn;
}

/* A wildcard listener's connections each have a local address of their own. */
void conn_learn_local(struct conn *conn)
{
    union sockaddr_any name;
    socklen_t len = sizeof name;

    if (!addr_is_any(&conn->flow.local) && !conn->outgoing)
        return;
    uint16_t port = conn->flow.local.port;
    if (getsockname(conn->tcp.fd, &name.sa, &len) != 0)
        return;
    conn->flow.local = addr_of(&name);
    if (conn->outgoing)
        conn->flow.local.port = port; /* ours to be reached at, not this connection's */
}

static void conn_accepted(struct net *net, uint8_t listener, int fd, const struct addr *remote)
{
    uint32_t source;

    if (!may_handshake(net, listener, remote) || !source_take(net, remote, &source)) {
        close(fd);
        return;
    }
    struct flow peer = {.remote = *remote};
    struct conn *conn = conn_new(net, fd, listener, &peer, false);
    if (conn == NULL) {
        live_give(net->config.sources, source);
        return;
    }
    conn->source = source;
    conn->state = CONN_OPEN;
    net->counters.accepted++;
    conn_learn_local(conn);
    conn_watch(conn);
    conn_arm(conn);
}

static void accept_watch(struct net *net, bool on)
{
    for (uint32_t i = 0; i < net->config.listener_count; i++) {
        struct tcp_listener *listener = &net->tcp[i];
        if (listener->net == NULL)
            continue;
        if (loop_watch(net->loop, &listener->watch, listener->watch.fd, on ? EPOLLIN : 0,
                       listener->watch.fn) != OK)
            net_count(net, NET_R_DESCRIPTORS);
    }
}

static void on_accept_again(struct timer *timer, uint64_t now_ms)
{
    struct net *net = CONTAINER_OF(timer, struct net, accept_timer);
    (void)now_ms;
    if (!net->stopped)
        accept_watch(net, true);
}

/* No descriptor is left: the connection stays in the kernel's queue, and we look again later. */
static void accept_pause(struct net *net)
{
    net_count(net, NET_R_DESCRIPTORS);
    accept_watch(net, false);
    net->accept_timer.fn = on_accept_again;
    timer_start(loop_timers(net->loop), &net->accept_timer, loop_now_ms(net->loop) + 100);
}

static void on_accept(struct loop_watch *watch, uint32_t events)
{
    struct tcp_listener *listener = CONTAINER_OF(watch, struct tcp_listener, watch);
    struct net *net = listener->net;

    (void)events;
    for (unsigned n = 0; n < ACCEPTS_PER_TURN; n++) {
        union sockaddr_any name;
        socklen_t len = sizeof name;
        int fd = accept4(watch->fd, &name.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct addr remote = addr_of(&name);
            conn_accepted(net, listener->listener, fd, &remote);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            accept_pause(net);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
    }
}

enum err tcp_listen(struct net *net, uint8_t listener, int fd)
{
    struct tcp_listener *self = &net->tcp[listener];

    *self = (struct tcp_listener){.net = net, .listener = listener};
    enum err err = loop_watch(net->loop, &self->watch, fd, EPOLLIN, on_accept);
    if (err) {
        close(fd);
        self->net = NULL;
    }
    return err;
}

void tcp_stop(struct net *net)
{
    timer_stop(loop_timers(net->loop), &net->accept_timer);
    for (uint32_t i = 0; i < net->config.listener_count; i++) {
        struct tcp_listener *listener = &net->tcp[i];
        if (listener->net == NULL)
            continue;
        loop_unwatch(net->loop, &listener->watch);
        close(listener->watch.fd);
        listener->net = NULL;
    }
}

/* A socket that is connecting to `remote`, from the listener's address if it has one; or -1. */
static int connect_socket(const struct listener *listener, const struct addr *remote)
{
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(addr_domain(remote), type, 0);
    if (fd < 0)
        return -1;

    bool ok = true;
    union sockaddr_any name;
    if (!addr_is_any(&listener->bound)) {
        struct addr local = listener->bound;
        int one = 1;
        local.port = 0;
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        ok = bind(fd, &name.sa, sockaddr_of(&local, &name)) == 0;
    }
    if (ok)
        ok = connect(fd, &name.sa, sockaddr_of(remote, &name)) == 0 || errno == EINPROGRESS;
    if (ok)
        return fd;
    close(fd);
    return -1;
}

/* A connection to where `to` leads, being made; NULL (counted): it cannot be. */
struct conn *conn_connect(struct net *net, const struct flow *to, uint64_t hash)
{
    uint8_t listener = net_pick_listener(net, to);
    if (listener == LISTENER_ANY) {
        net_count(net, NET_R_NO_LISTENER);
        return NULL;
    }
    if (to->name != 0 && names_find(&net->names, to->name).len == 0) {
        net_count(net, NET_R_NAME); /* whom he should prove to be nobody knows any more */
        return NULL;
    }
    int fd = connect_socket(&net->config.listeners[listener], &to->remote);
    if (fd < 0) {
        net_count(net, NET_R_CONNECT);
        return NULL;
    }
    struct conn *conn = conn_new(net, fd, listener, to, true);
    if (conn == NULL)
        return NULL;
    conn->state = CONN_CONNECTING;
    map_add(&net->by_remote, &conn->by_remote, hash);
    conn_watch(conn);
    conn_arm(conn);
    return conn->state != CONN_DEAD ? conn : NULL;
}
