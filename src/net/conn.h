/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/conn - what the parts of a connection's life tell each other: conn_open.c makes it,
 * conn_read.c and conn_write.c are its two directions, conn.c has its timers and its end.
 *
 * Threads: a connection belongs to one worker.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "net/internal.h"

enum {
    READ_BYTES = 2 * (FRAMING_MESSAGE_MAX + 1), /* at once into the worker's buffer */
};

static inline uint64_t conn_now_ms(const struct conn *conn)
{
    return loop_now_ms(conn->net->loop);
}

static inline struct slice bytes_of(const void *data, size_t len)
{
    return (struct slice){data, len};
}

/** The name by which a flow calls this connection. */
static inline struct conn_id conn_name(const struct conn *conn)
{
    return (struct conn_id){.worker = (uint16_t)loop_worker(conn->net->loop), .id = conn->id};
}

/* ---- conn.c ---- */

/** Makes sure that the timer runs no later than the deadline. It may run too early: see there. */
void conn_arm(struct conn *conn);
/** The connection's timer: what did not happen in time ends it, or it is asked for a sign of life.
 */
void conn_on_timer(struct timer *timer, uint64_t now_ms);
/** The peer has ended the stream in order: nothing to count. */
void conn_ended_by_peer(struct conn *conn);
/** Says our end of the stream; the peer's is awaited, or what we have sent last might be lost. */
void conn_end(struct conn *conn);
/** Takes nothing any more, and ends the stream when the queue is out. */
void conn_close_soon(struct conn *conn);

/* ---- conn_open.c ---- */

/** Has the loop watch for what the connection waits for now. It may be dead afterwards. */
void conn_watch(struct conn *conn);
/** It is no longer one of those that shake hands, if it was. */
void conn_shook_hands(struct conn *conn);
/** Asks the socket for the local address, where the listener's is that of all. */
void conn_learn_local(struct conn *conn);
/**
 * A connection to where `to` leads (`hash`: its place in net.by_remote), being made; NULL
 * (counted): it cannot be.
 */
struct conn *conn_connect(struct net *net, const struct flow *to, uint64_t hash);

/* ---- conn_write.c ---- */

/** Everything in the queue has failed. */
void conn_drop_queue(struct conn *conn);
/** A message has come: what was sent before has arrived. */
void conn_forget_unheard(struct conn *conn);
/** What the peer has perhaps not got has failed. */
void conn_fail_unheard(struct conn *conn);
/** Sends one message, now or later. */
void conn_send(struct conn *conn, struct slice bytes);
/** The socket takes more of the queue. */
void conn_writable(struct conn *conn);

/* ---- conn_read.c ---- */

/** Gives back the block of an incomplete message. */
void conn_free_in(struct conn *conn);
/** What the loop has seen at the connection's socket. */
void conn_on_events(struct loop_watch *watch, uint32_t events);

#endif
