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
#include "net/conn.h"

#include <stdlib.h>

#include "base/hash.h"

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
void conn_arm(struct conn *conn)
{
    enum net_reason reason;
    uint64_t due = earlier(conn_deadline(conn, &reason), conn_ping_due(conn));

    if (due != UINT64_MAX && (!timer_armed(&conn->timer) || due < conn->timer.due_ms))
        timer_start(loop_timers(conn->net->loop), &conn->timer, due);
}

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

void conn_on_timer(struct timer *timer, uint64_t now_ms)
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

/* --- Closing --------------------------------------------------------------------------------- */

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
void conn_ended_by_peer(struct conn *conn)
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
void conn_end(struct conn *conn)
{
    conn->state = CONN_ENDED;
    conn->begun_ms = conn_now_ms(conn);
    conn->filter->ops->end(conn->filter);
    conn_arm(conn);
}

/* Takes nothing any more, and ends the stream when the queue is out. */
void conn_close_soon(struct conn *conn)
{
    if (conn->state == CONN_CONNECTING) {
        conn_lose(conn, NET_R_CONNECT);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_CLOSING;
    conn->begun_ms = conn_now_ms(conn);
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
