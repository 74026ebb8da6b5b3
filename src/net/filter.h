/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/filter - a connection is a stack of filters: ws over tls over tcp.
 *
 * Each has the same verbs and calls those of the one below it. The connection only speaks to the
 * topmost. What a filter must do on its own (a handshake, a close frame) it does inside read()
 * and write(), and says by wants() for which events it has to be called again.
 *
 * A filter that frames messages itself (ws) says so with `frames`; the connection then takes one
 * read() as one message and leaves framing.h alone. A write() that answered IO_AGAIN is repeated
 * with the same bytes, or the connection is given up: TLS may have made a record of them.
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

#include "base/slice.h"

enum io {
    IO_DONE = 1, /* at least one byte was moved */
    IO_AGAIN,    /* not now: wait for what wants() says */
    IO_END,      /* the peer has ended the stream in order */
    IO_BROKEN,   /* the connection is lost */
    IO_FAULT,    /* likewise: the peer does not keep to the protocol, or is not who he should be */
};

/** What a filter holds of what has arrived: no event of the socket tells of it any more. */
enum pending {
    PENDING_NOTHING = 0,
    PENDING_PART,  /* the beginning of a record or message: the rest must come soon */
    PENDING_BYTES, /* more to read at once */
};

struct filter;

struct filter_ops {
    bool frames;
    enum io (*read)(struct filter *filter, char *buffer, size_t capacity, size_t *got);
    enum io (*write)(struct filter *filter, struct slice bytes, size_t *sent);
    /** Epoll events that the filter itself waits for, beside those of the connection. */
    uint32_t (*wants)(const struct filter *filter);
    /** Is the filter's own beginning over, so that messages may be written? */
    bool (*ready)(const struct filter *filter);
    enum pending (*pending)(const struct filter *filter);
    /** Asks the peer for a sign of life. False: he owes us the last one. NULL: it cannot ask. */
    bool (*ping)(struct filter *filter);
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
