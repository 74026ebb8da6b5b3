/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/filter - a connection is a stack of filters: ws over tls over tcp.
 *
 * Each has the same verbs and calls those of the one below it. The connection only speaks to the
 * topmost. What a filter must do on its own (a handshake, a close frame) it does inside read()
 * and write(), and says by wants() for which events it has to be called again.
 *
 * Built so far: tcp. A filter that frames messages itself (ws) will say so with `frames`; the
 * connection then takes one read() as one message and leaves framing.h alone.
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

#include "base/slice.h"

enum io {
    IO_DONE = 1, /* at least one byte was moved */
    IO_AGAIN,    /* not now: wait for what wants() says */
    IO_END,      /* the peer has ended the stream in order */
    IO_BROKEN,   /* the connection is lost */
};

struct filter;

struct filter_ops {
    bool frames;
    enum io (*read)(struct filter *filter, char *buffer, size_t capacity, size_t *got);
    enum io (*write)(struct filter *filter, struct slice bytes, size_t *sent);
    /** Epoll events that the filter itself waits for, beside those of the connection. */
    uint32_t (*wants)(const struct filter *filter);
    /** No more will be written; the peer may still be heard. */
    void (*end)(struct filter *filter);
    /** Releases everything, down to the descriptor. */
    void (*close)(struct filter *filter);
};

struct filter {
    const struct filter_ops *ops;
    struct filter *below; /* NULL: tcp, which has the descriptor */
};

/** The lowest filter: a connected (or connecting) TCP socket, owned. */
struct tcp_filter {
    struct filter filter;
    int fd;
};
void tcp_filter_init(struct tcp_filter *tcp, int fd);

#endif
