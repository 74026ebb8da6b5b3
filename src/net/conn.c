/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection's life:
 *
 *   connect() -> CONNECTING -> OPEN <- accept()
 *                    |          |  \
 *                    |          |   CLOSING (queue goes out) -> ENDED (peer's end is awaited)
 *                    v          v      v                          v
 *                  DEAD: closed, forgotten by all maps; freed at the turn's end, so that whoever
 *                  is still working with it in this turn may look at its state; and not before
 *                  all workers know that it is lost.
 *
 * Messages are read into the worker's one buffer; only what is incomplete is kept, in a block of
 * its own: an idle connection has no buffer.
 */
#include "net/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/hash.h"

enum {
    READ_BYTES = 2 * (FRAMING_MESSAGE_MAX + 1), /* at once into the worker's buffer */
    IN_BYTES_MIN = 2048,
    IN_BYTES_MAX = MEM_MAX_ALLOC,
    KEEPALIVE_S = 120, /* of an idle TCP connection: finds dead peers long before idle_ms */
    KEEPALIVE_GAP_S = 20,
    KEEPALIVE_PROBES = 3,
};

static uint64_t now_of(const struct conn *conn)
{
    return loop_now_ms(conn->net->loop);
}

static struct slice bytes_of(const void *data, size_t len)
{
    return (struct slice){data, len};
}

static struct conn_id conn_name(const struct conn *conn)
{
    return (struct conn_id){.worker = (uint16_t)loop_worker(conn->net->loop), .id = conn->id};
}

static uint64_t remote_hash(const struct net *net, const struct flow *to)
{
    struct slice remote = bytes_of(&to->remote, sizeof to->remote);
    return hash_bytes(net->config.hash_seed + to->transport, remote) ^ to->name;
}

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

/* --- Timers ---------------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When something has to be done about this connection if nothing happens, and why. */
static uint64_t conn_deadline(const struct conn *conn, enum net_reason *reason)
{
    const struct net_limits *limits = &conn->net->config.limits;
    uint64_t due;

    switch ((enum conn_state)conn->state) {
    case CONN_CONNECTING:
        *reason = NET_R_CONNECT_TIMEOUT;
        return conn->begun_ms + limits->connect_ms;
    case CONN_CLOSING:
    case CONN_ENDED:
        *reason = NET_R_STALLED;
        return conn->begun_ms + CLOSE_MS;
    case CONN_OPEN:
        break;
    case CONN_DEAD:
        return UINT64_MAX;
    }
    if (!conn->ready) {
        *reason = NET_R_SLOW_HANDSHAKE;
        return conn->begun_ms + limits->handshake_ms;
    }
    *reason = NET_R_IDLE;
    due = conn->active_ms + limits->idle_ms;
    if (conn->begun && conn->begun_ms + limits->message_ms < due) {
        *reason = NET_R_SLOW_MESSAGE;
        due = conn->begun_ms + limits->message_ms;
    } else if (!conn->heard && !conn->outgoing) {
        *reason = NET_R_SLOW_MESSAGE;
        due = earlier(due, conn->begun_ms + limits->first_ms);
    }
    if (conn->out_bytes > 0 && conn->stalled_ms + limits->stall_ms < due) {
        *reason = NET_R_STALLED;
        due = conn->stalled_ms + limits->stall_ms;
    }
    return due;
}

/* When the peer is asked for a sign of life. */
static uint64_t conn_ping_due(const struct conn *conn)
{
    bool asks = conn->state == CONN_OPEN && conn->ready && conn->filter->ops->ping != NULL;
    return asks ? conn->pinged_ms + conn->net->config.limits.ping_ms : UINT64_MAX;
}

/* Makes sure that the timer runs no later than the deadline. It may run too early: see there. */
static void conn_arm(struct conn *conn)
{
    enum net_reason reason;
    uint64_t due = earlier(conn_deadline(conn, &reason), conn_ping_due(conn));

    if (due != UINT64_MAX && (!timer_armed(&conn->timer) || due < conn->timer.due_ms))
        timer_start(loop_timers(conn->net->loop), &conn->timer, due);
}

static void conn_watch(struct conn *conn);

/* Who is made to wait by us is not asked. False: he has not answered the last time. */
static bool conn_ping(struct conn *conn, uint64_t now_ms)
{
    conn->pinged_ms = now_ms;
    if (conn->paused)
        return true;
    if (!conn->filter->ops->ping(conn->filter))
        return false;
    conn_watch(conn);
    return true;
}

static void on_conn_timer(struct timer *timer, uint64_t now_ms)
{
    struct conn *conn = CONTAINER_OF(timer, struct conn, timer);
    enum net_reason reason = NET_R_IDLE;

    if (conn_deadline(conn, &reason) <= now_ms)
        conn_lose(conn, reason);
    else if (conn_ping_due(conn) <= now_ms && !conn_ping(conn, now_ms))
        conn_lose(conn, NET_R_NO_PONG);
    else
        conn_arm(conn);
}

/* --- Opening --------------------------------------------------------------------------------- */

static void on_conn(struct loop_watch *watch, uint32_t events);

static void conn_watch(struct conn *conn)
{
    uint32_t events = conn->filter->ops->wants(conn->filter);
    bool wants_write = conn->state == CONN_CONNECTING || (conn->ready && conn->out_bytes > 0);

    if (conn->state == CONN_DEAD)
        return;
    events |= wants_write ? (uint32_t)EPOLLOUT : 0;
    events |= conn->state != CONN_CONNECTING && !conn->paused ? (uint32_t)EPOLLIN : 0;
    if (loop_watch(conn->net->loop, &conn->watch, conn->tcp.fd, events, on_conn) != OK)
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

static void conn_shook_hands(struct conn *conn)
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
    conn->timer.fn = on_conn_timer;
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
static void conn_learn_local(struct conn *conn)
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
static struct conn *conn_connect(struct net *net, const struct flow *to, uint64_t hash)
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

/* --- Closing --------------------------------------------------------------------------------- */

static void chunk_free(struct net *net, struct out_chunk *chunk)
{
    mem_free(&net->mem, chunk, sizeof *chunk + chunk->len);
}

/* Everything in the queue has failed. */
static void conn_drop_queue(struct conn *conn)
{
    struct net *net = conn->net;

    for (struct list *node = list_pop(&conn->out); node != NULL; node = list_pop(&conn->out)) {
        struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        if (chunk->len > 2) /* not a pong */
            net_report_failed(net, NET_R_NO_CONNECTION, bytes_of(chunk->bytes, chunk->len));
        chunk_free(net, chunk);
    }
    conn->out_bytes = 0;
}

/* A message has come: what was sent before has arrived. */
static void conn_forget_unheard(struct conn *conn)
{
    struct list *list = &conn->unheard;

    for (struct list *node = list_pop(list); node != NULL; node = list_pop(list))
        chunk_free(conn->net, CONTAINER_OF(node, struct out_chunk, node));
    conn->unheard_bytes = 0;
}

/*
 * Who sends to an address does not know by which connection it goes: until the peer has said
 * something, only we can tell him that it is lost. So a request that was written is kept, its
 * beginning at least. True: the chunk is ours now.
 */
static bool conn_keep_unheard(struct conn *conn, struct out_chunk *chunk)
{
    struct slice bytes = {chunk->bytes, chunk->len};

    if (!(conn->outgoing || conn->aliased) || slice_starts_with(bytes, SLICE("SIP/2.0 ")) ||
        bytes.len <= 2)
        return false;
    if (conn->unheard_bytes + chunk->len > UNHEARD_BYTES_MAX)
        return false;
    list_push(&conn->unheard, &chunk->node);
    conn->unheard_bytes += chunk->len;
    return true;
}

static void conn_fail_unheard(struct conn *conn)
{
    for (struct list *node = conn->unheard.next; node != &conn->unheard; node = node->next) {
        const struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        net_report_failed(conn->net, NET_R_NO_CONNECTION, bytes_of(chunk->bytes, chunk->len));
    }
    conn_forget_unheard(conn);
}

/* Closes and forgets. */
static void conn_die(struct conn *conn)
{
    struct net *net = conn->net;
    assert(conn->state != CONN_DEAD);

    if (conn->outgoing)
        map_remove(&net->by_remote, &conn->by_remote);
    if (conn->source != 0)
        live_give(net->config.sources, conn->source);
    conn->source = 0;
    conn_shook_hands(conn);
    net->tls_connections -= conn->tls;
    timer_stop(loop_timers(net->loop), &conn->timer);
    loop_unwatch(net->loop, &conn->watch);
    list_remove(&conn->list);
    conn->filter->ops->close(conn->filter);
    conn->state = CONN_DEAD;
    list_push(&net->dead, &conn->list);
    net->counters.closed++;
}

void conn_lose(struct conn *conn, enum net_reason reason)
{
    if (conn->state == CONN_DEAD)
        return;
    bool failed_early = conn->state == CONN_CONNECTING;
    bool was_ours = conn->state == CONN_CLOSING || conn->state == CONN_ENDED;
    if (!was_ours)
        net_count(conn->net, reason);
    if (!was_ours && !failed_early)
        stream_report(conn, reason);
    conn_die(conn);
    conn_fail_unheard(conn);
    conn_drop_queue(conn);
    if (!failed_early)
        list_push(&conn->net->lost, &conn->lost);
}

/* The peer has ended the stream in order: nothing to count. */
static void conn_ended_by_peer(struct conn *conn)
{
    if (!list_empty(&conn->out)) {
        conn_lose(conn, NET_R_RESET);
        return;
    }
    conn_die(conn);
    conn_fail_unheard(conn);
    list_push(&conn->net->lost, &conn->lost);
}

/* Says our end of the stream; the peer's is awaited, or what we have sent last might be lost. */
static void conn_end(struct conn *conn)
{
    conn->state = CONN_ENDED;
    conn->begun_ms = now_of(conn);
    conn->filter->ops->end(conn->filter);
    conn_arm(conn);
}

/* Takes nothing any more, and ends the stream when the queue is out. */
static void conn_close_soon(struct conn *conn)
{
    if (conn->state == CONN_CONNECTING) {
        conn_lose(conn, NET_R_CONNECT);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_CLOSING;
    conn->begun_ms = now_of(conn);
    conn_arm(conn);
    list_remove(&conn->list);
    conn->paused = false;
    list_push(&conn->net->closing, &conn->list); /* this turn's sends still come */
}

void net_close_conn(struct net *net, struct conn_id name)
{
    struct conn *conn = pool_get(&net->conns, name.id);
    if (conn != NULL && name.worker == loop_worker(net->loop))
        conn_close_soon(conn);
}

/* --- Writing --------------------------------------------------------------------------------- */

/* Keeps a message (of which `sent` bytes are out) until the socket takes it. `begun`: a filter has
 * already made something of its bytes. */
static void conn_queue(struct conn *conn, struct slice bytes, size_t sent, bool begun)
{
    struct net *net = conn->net;
    bool fits = bytes.len <= net->config.limits.write_queue_bytes &&
                conn->out_bytes <= net->config.limits.write_queue_bytes - bytes.len;
    struct out_chunk *chunk = NULL;

    if (fits && sizeof *chunk + bytes.len <= MEM_MAX_ALLOC)
        chunk = mem_alloc(&net->mem, sizeof *chunk + bytes.len);
    if (chunk == NULL) {
        net_report_failed(net, fits ? NET_R_MEMORY : NET_R_WRITE_QUEUE, bytes);
        if (sent > 0 || begun)
            conn_lose(conn, NET_R_MEMORY); /* half a message is out */
        return;
    }
    *chunk = (struct out_chunk){.len = (uint32_t)bytes.len, .sent = (uint32_t)sent};
    memcpy(chunk->bytes, bytes.data, bytes.len);
    if (conn->out_bytes == 0)
        conn->stalled_ms = now_of(conn);
    list_push(&conn->out, &chunk->node);
    conn->out_bytes += (uint32_t)bytes.len;
    conn_watch(conn);
    conn_arm(conn);
}

/* As conn_keep_unheard(), for a message that went out at once. Without memory it is not kept. */
static void conn_remember(struct conn *conn, struct slice bytes)
{
    size_t len = bytes.len < REPORT_BYTES_MAX ? bytes.len : REPORT_BYTES_MAX;
    struct out_chunk *chunk = mem_alloc(&conn->net->mem, sizeof *chunk + len);
    if (chunk == NULL)
        return;
    *chunk = (struct out_chunk){.len = (uint32_t)len};
    memcpy(chunk->bytes, bytes.data, len);
    if (!conn_keep_unheard(conn, chunk))
        chunk_free(conn->net, chunk);
}

/* A message that no filter has seen yet. */
static void conn_send_later(struct conn *conn, struct slice bytes)
{
    if (conn->state == CONN_DEAD || conn->state == CONN_ENDED)
        net_report_failed(conn->net, NET_R_NO_CONNECTION, bytes);
    else
        conn_queue(conn, bytes, 0, false);
}

/* Of these messages, written as one, `sent` bytes are out; the rest is kept. `begun`: a filter has
 * already made something of all of them. */
static void conn_wrote(struct conn *conn, const struct slice *messages, size_t count, size_t sent,
                       bool begun)
{
    for (size_t i = 0; i < count; i++) {
        size_t part = sent < messages[i].len ? sent : messages[i].len;
        sent -= part;
        if (conn->state == CONN_DEAD)
            net_report_failed(conn->net, NET_R_NO_CONNECTION, messages[i]);
        else if (part < messages[i].len)
            conn_queue(conn, messages[i], part, begun || part > 0);
        else if (conn->outgoing || conn->aliased)
            conn_remember(conn, messages[i]);
    }
}

/* Puts slices one behind the other; a single one stays where it is. */
static struct slice join(struct net *net, const struct slice *parts, size_t count)
{
    size_t len = 0;

    if (count == 1)
        return parts[0];
    for (size_t i = 0; i < count; i++) {
        assert(parts[i].len <= JOIN_BYTES - len);
        memcpy(net->join_buffer + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    return bytes_of(net->join_buffer, len);
}

/* Writes messages as one. */
static void conn_write_all(struct conn *conn, const struct slice *messages, size_t count)
{
    struct net *net = conn->net;
    size_t sent = 0;

    net->counters.stream_writes++;
    switch (conn->filter->ops->write(conn->filter, join(net, messages, count), &sent)) {
    case IO_DONE:
        conn->active_ms = now_of(conn);
        conn_wrote(conn, messages, count, sent, false);
        return;
    case IO_AGAIN:
        conn_wrote(conn, messages, count, 0, conn->filter != &conn->tcp.filter);
        return;
    case IO_END:
    case IO_BROKEN:
    case IO_FAULT:
        conn_lose(conn, NET_R_RESET);
        conn_wrote(conn, messages, count, 0, false);
        return;
    }
}

void conn_send_all(struct conn *conn, const struct slice *messages, size_t count)
{
    struct net *net = conn->net;
    /* A connection may have died with what was sent before in this turn, and its filters with it.
     */
    bool frames = conn->state != CONN_DEAD && conn->filter->ops->frames;
    size_t most = frames ? 1 : count; /* one write is one of its messages */

    for (size_t i = 0; i < count; i++) {
        net->counters.stream_sent++;
        net->counters.bytes_sent += messages[i].len;
    }
    for (size_t done = 0; done < count; done += most) {
        bool writes = (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) && conn->ready;
        if (writes && conn->out_bytes == 0) {
            conn_write_all(conn, messages + done, most);
            continue;
        }
        for (size_t i = 0; i < most; i++)
            conn_send_later(conn, messages[done + i]);
    }
}

static void conn_send(struct conn *conn, struct slice bytes)
{
    conn_send_all(conn, &bytes, 1);
}

/*
 * As much of the queue as may be written at once. What a filter has answered IO_AGAIN to comes
 * first again, with nothing missing: the messages are joined by the rule of gather.c.
 */
static struct slice conn_queued(const struct conn *conn)
{
    struct slice parts[JOIN_MESSAGES];
    size_t bytes = 0, count = 0;
    size_t most = conn->filter->ops->frames ? 1 : JOIN_MESSAGES;

    for (struct list *node = conn->out.next; count < most && node != &conn->out;
         node = node->next) {
        const struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        size_t len = chunk->len - chunk->sent;
        if (count > 0 && len > JOIN_BYTES - bytes)
            break;
        parts[count++] = bytes_of(chunk->bytes + chunk->sent, len);
        if (len > JOIN_BYTES)
            break;
        bytes += len;
    }
    return join(conn->net, parts, count);
}

/* `sent` bytes of the queue are out. */
static void conn_dequeue(struct conn *conn, size_t sent)
{
    while (sent > 0) {
        struct out_chunk *chunk = CONTAINER_OF(conn->out.next, struct out_chunk, node);
        size_t left = chunk->len - chunk->sent;
        size_t part = sent < left ? sent : left;
        sent -= part;
        chunk->sent += (uint32_t)part;
        if (chunk->sent < chunk->len)
            return;
        conn->out_bytes -= chunk->len;
        list_remove(&chunk->node);
        if (!conn_keep_unheard(conn, chunk))
            chunk_free(conn->net, chunk);
    }
}

/* Writes what is queued, as far as the socket takes it. */
static void conn_writable(struct conn *conn)
{
    while (!list_empty(&conn->out)) {
        size_t sent = 0;
        conn->net->counters.stream_writes++;
        enum io io = conn->filter->ops->write(conn->filter, conn_queued(conn), &sent);
        if (io == IO_AGAIN)
            break;
        if (io != IO_DONE) {
            conn_lose(conn, NET_R_RESET);
            return;
        }
        conn->active_ms = conn->stalled_ms = now_of(conn);
        conn_dequeue(conn, sent);
    }
    if (conn->out_bytes == 0 && conn->state == CONN_CLOSING)
        conn_end(conn);
    conn_watch(conn);
}

/* The outgoing connection to `to`, there or to be made by this worker. */
static struct conn *conn_towards(struct net *net, const struct flow *to, uint64_t hash)
{
    for (struct map_node *n = map_first(&net->by_remote, hash); n != NULL; n = map_next(n)) {
        struct conn *conn = CONTAINER_OF(n, struct conn, by_remote);
        bool usable = conn->state == CONN_CONNECTING || conn->state == CONN_OPEN;
        if (usable && addr_equal(&conn->flow.remote, &to->remote) &&
            conn->flow.transport == to->transport && conn->flow.name == to->name)
            return conn;
    }
    return conn_connect(net, to, hash);
}

/* Gives a message to the worker that owns the connection. */
static void stream_hand_over(struct net *net, unsigned worker, const struct flow *to,
                             struct slice bytes)
{
    struct slice host = names_find(&net->names, to->name);
    uint32_t host_len = (uint32_t)host.len;
    struct slice parts[] = {bytes_of(to, sizeof *to), bytes_of(&host_len, sizeof host_len), host,
                            bytes};

    if (worker < loop_workers(net->loop) &&
        loop_post(net->loop, worker, MAILBOX_ORDINARY, LETTER_NET, parts, COUNT_OF(parts)))
        net->counters.letters_sent++;
    else
        net_report_failed(net, NET_R_MAILBOX, bytes);
}

/* Sends by any connection to the remote address: that of the worker which its hash names. */
static void stream_send_to(struct net *net, const struct flow *to, struct slice bytes)
{
    uint64_t hash = remote_hash(net, to);
    unsigned owner = (unsigned)(hash % loop_workers(net->loop));
    struct flow elsewhere = *to;

    elsewhere.conn = (struct conn_id){0};
    elsewhere.flags = FLOW_NO_ALIAS;
    if (owner != loop_worker(net->loop)) {
        stream_hand_over(net, owner, &elsewhere, bytes);
        return;
    }
    struct conn *conn = NULL;
    bool callable = to->transport == TRANSPORT_TCP || to->transport == TRANSPORT_TLS;
    if (callable && to->remote.family != ADDR_NONE && to->remote.port != 0)
        conn = conn_towards(net, &elsewhere, hash);
    if (conn != NULL)
        gather_add(conn, bytes);
    else
        net_report_failed(net, NET_R_NO_CONNECTION, bytes);
}

void stream_send(struct net *net, const struct flow *to, struct slice bytes)
{
    if (flow_has_conn(to)) {
        if (to->conn.worker != loop_worker(net->loop)) {
            stream_hand_over(net, to->conn.worker, to, bytes);
            return;
        }
        struct conn *conn = pool_get(&net->conns, to->conn.id);
        bool usable = conn != NULL && conn->state != CONN_DEAD && conn->state != CONN_ENDED;
        if ((to->flags & FLOW_ALIAS) != 0)
            usable = usable && conn->state == CONN_OPEN && alias_holds(conn, to->name, &to->remote);
        if (usable) {
            gather_add(conn, bytes);
            return;
        }
    }
    if ((to->flags & FLOW_ONLY_CONN) != 0) {
        net_report_failed(net, NET_R_NO_CONNECTION, bytes);
        return;
    }
    struct flow alias = *to;
    alias.flags = FLOW_ALIAS;
    if (to->transport == TRANSPORT_TLS && (to->flags & (FLOW_ALIAS | FLOW_NO_ALIAS)) == 0 &&
        alias_find(net, &to->remote, &alias.conn))
        stream_send(net, &alias, bytes);
    else
        stream_send_to(net, to, bytes);
}

/* --- Reading --------------------------------------------------------------------------------- */

/* Has this peer sent more than he may? */
static bool peer_must_wait(struct conn *conn)
{
    struct net *net = conn->net;
    const struct net_ops *ops = &net->config.ops;

    if (ops->may_read == NULL || ops->may_read(ops->user, &conn->flow.remote))
        return false;
    net->counters.reading_denied++;
    return true;
}

static enum pending conn_pending(const struct conn *conn)
{
    return conn->filter->ops->pending(conn->filter);
}

static void conn_readable(struct conn *conn);

/*
 * Lets those be read again who may. The others are not touched: thousands of streams of strangers
 * who have to wait must not cost the worker system calls all the time.
 */
static void resume_some(struct net *net)
{
    struct list waiting, *node;

    list_init(&waiting);
    for (unsigned n = 0; n < RESUMES_MAX && (node = list_pop(&net->paused)) != NULL; n++) {
        struct conn *conn = CONTAINER_OF(node, struct conn, list);
        if (conn->state == CONN_OPEN && peer_must_wait(conn)) {
            list_push(&waiting, node);
            continue;
        }
        conn->paused = false;
        conn_watch(conn);
        if (conn->state == CONN_OPEN && conn_pending(conn) == PENDING_BYTES)
            conn_readable(conn); /* of these no event tells */
    }
    while ((node = list_pop(&waiting)) != NULL)
        list_push(&net->paused, node);
}

static void on_resume(struct timer *timer, uint64_t now_ms)
{
    struct net *net = CONTAINER_OF(timer, struct net, pause_timer);

    if (!loop_pressed(net->loop))
        resume_some(net);
    if (!list_empty(&net->paused))
        timer_start(loop_timers(net->loop), timer, now_ms + PAUSE_MS);
}

/* The peer's TCP is made to wait instead of losing messages. */
static void conn_pause(struct conn *conn)
{
    struct net *net = conn->net;

    conn->paused = true;
    list_push(&net->paused, &conn->list);
    conn_watch(conn);
    net->pause_timer.fn = on_resume;
    if (!timer_armed(&net->pause_timer))
        timer_start(loop_timers(net->loop), &net->pause_timer, now_of(conn) + PAUSE_MS);
}

/* One result of the framing. False: no more is read from this connection. */
static bool conn_handle(struct conn *conn, enum framing_kind kind, struct slice bytes)
{
    struct net *net = conn->net;
    bool lost = kind == FRAMING_BROKEN || kind == FRAMING_TOO_LONG;

    if (kind == FRAMING_PING) {
        net->counters.stream_pings++;
        conn->heard = conn->asked = true;
    }
    if (lost)
        net_count(net, NET_R_FRAMING);
    if (kind == FRAMING_MESSAGE || (lost && bytes.len > 0)) {
        conn->heard = true;
        conn_forget_unheard(conn);
        net->counters.stream_received++;
        /* What is broken can still be answered: its header section is there. */
        if (!net->config.ops.receive(net->config.ops.user, bytes, true, &conn->flow))
            lost = true;
    }
    if (lost && conn->state == CONN_OPEN)
        conn_close_soon(conn);
    return conn->state == CONN_OPEN;
}

/* Hands over all whole messages; returns how many bytes are used up. */
static size_t conn_parse(struct conn *conn, struct slice bytes)
{
    struct slice rest = bytes;

    for (;;) {
        size_t len;
        enum framing_kind kind = framing_next(&conn->framing, rest, &len);
        if (kind == FRAMING_MORE)
            break;
        struct slice piece = slice_take(&rest, len);
        if (!conn_handle(conn, kind, piece))
            return bytes.len; /* nobody wants the rest */
    }
    return bytes.len - rest.len;
}

static void conn_free_in(struct conn *conn)
{
    if (conn->in != NULL)
        mem_free(&conn->net->mem, conn->in, conn->in_capacity);
    conn->in = NULL;
    conn->in_len = 0;
    conn->in_capacity = 0;
}

/* Keeps the incomplete rest for the next time. `rest` may lie in the present block. */
static void conn_keep(struct conn *conn, struct slice rest)
{
    if (rest.len == 0) {
        conn_free_in(conn);
        return;
    }
    size_t wanted = rest.len * 2 < IN_BYTES_MIN ? IN_BYTES_MIN : rest.len * 2;
    wanted = wanted > IN_BYTES_MAX ? IN_BYTES_MAX : wanted;
    assert(rest.len < wanted); /* the framing gives up before */
    if (conn->in != NULL && rest.len < conn->in_capacity) {
        memmove(conn->in, rest.data, rest.len);
        conn->in_len = (uint32_t)rest.len;
        return;
    }
    char *block = mem_alloc(&conn->net->mem, wanted);
    if (block == NULL) {
        conn_lose(conn, NET_R_MEMORY);
        return;
    }
    memcpy(block, rest.data, rest.len);
    conn_free_in(conn);
    conn->in = block;
    conn->in_capacity = (uint32_t)wanted;
    conn->in_len = (uint32_t)rest.len;
}

/* One message as a filter has framed it, or a keep-alive (RFC 7118 §4, RFC 5626 §3.5.1). */
static void conn_framed(struct conn *conn, struct slice bytes)
{
    struct slice rest = bytes;

    while (rest.len > 0 && (rest.data[0] == '\r' || rest.data[0] == '\n'))
        slice_take(&rest, 1);
    if (rest.len > 0)
        conn_handle(conn, FRAMING_MESSAGE, bytes);
    else if (bytes.len >= 4)
        conn_handle(conn, FRAMING_PING, bytes);
    conn->begun = false;
}

/* One pong for all pings of a read: each is a system call, and thousands fit into one. */
static void conn_pong(struct conn *conn)
{
    if (conn->asked && conn->state == CONN_OPEN && conn->out_bytes == 0)
        conn_send(conn, SLICE("\r\n"));
    conn->asked = false;
}

/* Some bytes have arrived behind the incomplete ones. */
static void conn_arrived(struct conn *conn, struct slice bytes)
{
    if (conn->filter->ops->frames) {
        conn_framed(conn, bytes);
        return;
    }
    size_t used = conn_parse(conn, bytes);
    if (conn->state != CONN_OPEN)
        return;
    if (used > 0)
        conn->begun = false; /* what is left is of another message */
    conn_keep(conn, slice_from(bytes, used));
}

/* A filter that frames has said why to the peer, who should get to hear it. */
static void conn_refuse(struct conn *conn)
{
    enum net_reason reason = conn->ready ? NET_R_FRAMING : NET_R_HANDSHAKE;

    net_count(conn->net, reason);
    stream_report(conn, reason);
    conn_close_soon(conn);
}

/* The stream has ended in order, or not. */
static void conn_broke(struct conn *conn, enum io io)
{
    if (io == IO_FAULT && conn->filter->ops->frames)
        conn_refuse(conn);
    else if (!conn->ready)
        conn_lose(conn, NET_R_HANDSHAKE);
    else if (io == IO_END)
        conn_ended_by_peer(conn);
    else
        conn_lose(conn, io == IO_FAULT ? NET_R_FRAMING : NET_R_RESET);
}

static void conn_get_ready(struct conn *conn);

/* One read. False: there is nothing more now. */
static bool conn_read(struct conn *conn)
{
    struct net *net = conn->net;
    char *buffer = conn->in != NULL ? conn->in : net->read_buffer;
    size_t capacity = conn->in != NULL ? conn->in_capacity : READ_BYTES;
    size_t got = 0;

    if (conn->state == CONN_ENDED || conn->state == CONN_CLOSING) { /* only for its end */
        buffer = net->read_buffer;
        capacity = READ_BYTES;
    }
    size_t have = buffer == conn->in ? conn->in_len : 0;
    enum io io = conn->filter->ops->read(conn->filter, buffer + have, capacity - have, &got);
    if (io == IO_DONE || io == IO_END)
        conn_get_ready(
            conn); /* before it is closed for what has come with the handshake, perhaps */
    if (io == IO_AGAIN || conn->state == CONN_DEAD)
        return false;
    if (io != IO_DONE) {
        conn_broke(conn, io);
        return false;
    }
    net->counters.bytes_received += got;
    conn->active_ms = now_of(conn);
    if (conn->state == CONN_OPEN)
        conn_arrived(conn, bytes_of(buffer, have + got));
    conn_pong(conn);
    return conn->state != CONN_DEAD &&
           (got == capacity - have || conn_pending(conn) == PENDING_BYTES);
}

/* A mailbox is getting full, or this peer has sent more than he may. */
static bool conn_must_wait(struct conn *conn)
{
    if (!loop_pressed(conn->net->loop))
        return peer_must_wait(conn);
    conn->net->counters.reading_paused++;
    return true;
}

/* Is the filters' beginning over? Then messages may go. */
static void conn_get_ready(struct conn *conn)
{
    struct net *net = conn->net;

    if (conn->ready || conn->state != CONN_OPEN || !conn->filter->ops->ready(conn->filter))
        return;
    conn->ready = true;
    conn->heard |= conn->filter->ops->frames; /* its opening; pings tell of it from now on */
    conn_shook_hands(conn);
    net->counters.handshakes += conn->tls;
    net->counters.resumed += conn->tls && tls_filter_resumed(conn->filter);
    conn->begun_ms = conn->active_ms = conn->stalled_ms = conn->pinged_ms = now_of(conn);
    timer_stop(loop_timers(net->loop), &conn->timer);
    conn_arm(conn);
    conn_writable(conn);
}

/* When the rest of something is awaited it is from now on, not from each of its bytes on. */
static void conn_note_part(struct conn *conn)
{
    bool part = conn->in_len > 0 || conn_pending(conn) == PENDING_PART;

    if (part && !conn->begun) {
        conn->begun = true;
        conn->begun_ms = now_of(conn);
        conn_arm(conn);
    }
    conn->begun = part;
}

/* What reading has led to. */
static void conn_settle(struct conn *conn)
{
    conn_get_ready(conn);
    if (conn->state == CONN_OPEN && conn->ready)
        conn_note_part(conn);
    if (conn->state == CONN_OPEN && !conn->paused && conn_pending(conn) == PENDING_BYTES)
        conn_pause(conn); /* the others have their turn */
    else if (conn->state != CONN_DEAD)
        conn_watch(conn);
}

static void conn_readable(struct conn *conn)
{
    unsigned reads = conn->filter->ops->frames ? FRAMES_PER_TURN : READS_PER_TURN;

    for (unsigned n = 0; n < reads; n++) {
        if (conn->state == CONN_OPEN && conn_must_wait(conn)) {
            conn_pause(conn);
            return;
        }
        if (!conn_read(conn))
            break;
    }
    conn_settle(conn);
}

/* connect() has succeeded or failed. */
static void conn_connected(struct conn *conn)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(conn->tcp.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        conn_lose(conn, NET_R_CONNECT);
        return;
    }
    conn->state = CONN_OPEN;
    conn->begun_ms = conn->active_ms = conn->stalled_ms = now_of(conn);
    conn->net->counters.connected++;
    conn_learn_local(conn);
    timer_stop(loop_timers(conn->net->loop), &conn->timer);
    conn_arm(conn);
    if (conn->ready)
        conn_writable(conn);
    else
        conn_readable(conn); /* our side speaks first */
}

static void on_conn(struct loop_watch *watch, uint32_t events)
{
    struct conn *conn = CONTAINER_OF(watch, struct conn, watch);

    if (conn->state == CONN_CONNECTING) {
        conn_connected(conn);
        return;
    }
    uint32_t reads = EPOLLIN | EPOLLHUP | EPOLLERR | conn->filter->ops->wants(conn->filter);
    if ((events & EPOLLOUT) != 0 && conn->ready)
        conn_writable(conn);
    if ((events & reads) != 0 && conn->state != CONN_DEAD && !conn->paused)
        conn_readable(conn);
    else if ((events & (EPOLLHUP | EPOLLERR)) != 0 && conn->state != CONN_DEAD)
        conn_lose(conn, NET_R_RESET);
}

/* --- All connections ------------------------------------------------------------------------- */

/* Connections that are to be closed and have nothing left to send say their end now. */
void conns_end_closing(struct net *net)
{
    for (struct list *node = list_pop(&net->closing); node != NULL;
         node = list_pop(&net->closing)) {
        struct conn *conn = CONTAINER_OF(node, struct conn, list);
        if (conn->state == CONN_CLOSING && conn->out_bytes == 0)
            conn_end(conn);
    }
}

/* The loop's turn ends with another try. */
static void on_lost_again(struct timer *timer, uint64_t now_ms)
{
    (void)timer;
    (void)now_ms;
}

bool conns_tell_lost(struct net *net)
{
    const struct net_ops *ops = &net->config.ops;

    while (!list_empty(&net->lost)) {
        struct conn *conn = CONTAINER_OF(net->lost.next, struct conn, lost);
        if (!ops->conn_lost(ops->user, conn_name(conn), &conn->told)) {
            net->lost_timer.fn = on_lost_again;
            timer_start(loop_timers(net->loop), &net->lost_timer,
                        loop_now_ms(net->loop) + LOST_AGAIN_MS);
            return false;
        }
        list_remove(&conn->lost);
        list_remove(&conn->list);
        list_push(&net->dead, &conn->list);
    }
    return true;
}

void conns_bury(struct net *net)
{
    for (struct list *node = list_pop(&net->dead); node != NULL; node = list_pop(&net->dead)) {
        struct conn *conn = CONTAINER_OF(node, struct conn, list);
        conn_free_in(conn);
        if (conn->lost.next == NULL)
            pool_free(&net->conns, conn->id);
    }
}

size_t conns_memory_max(const struct net_limits *limits)
{
    return pool_memory(limits->connections_max + 1) + READ_BYTES +
           2 * map_memory_max(CONN_MAP_INITIAL, limits->connections_max);
}

enum err conns_open(struct net *net)
{
    list_init(&net->paused);
    list_init(&net->shaking);
    list_init(&net->closing);
    list_init(&net->dead);
    enum err err = pool_init(&net->conns, &net->mem, sizeof(struct conn),
                             net->config.limits.connections_max + 1);
    /* Flow tokens outlive the process: a connection of an earlier run must not be found. */
    net->conns.first_generation = net->config.boot * UINT32_C(2654435769) & ~UINT32_C(1);
    if (err == OK)
        err = map_init(&net->by_remote, CONN_MAP_INITIAL);
    if (err == OK && (net->read_buffer = malloc(READ_BYTES)) == NULL)
        err = ERR_MEMORY;
    return err;
}

void conns_close(struct net *net)
{
    uint32_t cursor = 0;
    struct id id;

    if (net->conns.slabs != NULL) {
        for (struct conn *c; (c = pool_next(&net->conns, &cursor, &id)) != NULL;) {
            if (c->state == CONN_DEAD)
                continue;
            conn_die(c);
            conn_forget_unheard(c);
            conn_drop_queue(c);
        }
        conns_bury(net);
    }
    timer_stop(loop_timers(net->loop), &net->pause_timer);
    timer_stop(loop_timers(net->loop), &net->lost_timer);
    pool_release(&net->conns);
    map_release(&net->by_remote);
    free(net->read_buffer);
}
