/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes by a connection: read into the worker's one buffer, cut into messages, and kept where
 * a message is incomplete.
 */
#include "net/conn.h"

#include <stdlib.h>
#include <sys/epoll.h>

enum {
    IN_BYTES_MIN = 2048,
    IN_BYTES_MAX = MEM_MAX_ALLOC,
};

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
        timer_start(loop_timers(net->loop), &net->pause_timer, conn_now_ms(conn) + PAUSE_MS);
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

void conn_free_in(struct conn *conn)
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
    conn->active_ms = conn_now_ms(conn);
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
    conn->begun_ms = conn->active_ms = conn->stalled_ms = conn->pinged_ms = conn_now_ms(conn);
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
        conn->begun_ms = conn_now_ms(conn);
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
    conn->begun_ms = conn->active_ms = conn->stalled_ms = conn_now_ms(conn);
    conn->net->counters.connected++;
    conn_learn_local(conn);
    timer_stop(loop_timers(conn->net->loop), &conn->timer);
    conn_arm(conn);
    if (conn->ready)
        conn_writable(conn);
    else
        conn_readable(conn); /* our side speaks first */
}

void conn_on_events(struct loop_watch *watch, uint32_t events)
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
