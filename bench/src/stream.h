// SPDX-License-Identifier: Apache-2.0
/*
 * stream - a phone's connection to a server, over TCP or TLS, for the load generators.
 *
 * Nothing waits: step(), read() and flush() do what can be done now. Messages are cut out by their
 * Content-Length; what is no SIP is counted by the caller, who gets every message whole.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stddef.h>

enum {
    STREAM_IN_MAX = 65536, /* bytes of one read, and of a message */
};

struct stream {
    int fd;   /* -1: none */
    SSL *ssl; /* NULL: TCP */
    int ready;
    int ended; /* by the peer, or broken */
    char *in;  /* the beginning of a message; NULL: none */
    size_t in_len;
    char *out; /* what the socket did not take; NULL: none */
    size_t out_len;
    uint64_t sent, received; /* bytes */
};

/* A whole message; `message` ends with a 0 behind it, and may be changed. */
typedef void stream_message(void *user, char *message, size_t len);

/* Once, before streams over TLS; no certificate is verified. 0, or -1. */
int stream_use_tls(void);

/* Begins to connect from `from` (port 0: any) to `to`. 0, or -1 with errno. */
int stream_begin(struct stream *s, const struct sockaddr_in *from, const struct sockaddr_in *to,
                 int tls);

/* Goes on with connecting and the handshake. 1: ready; 0: not yet; -1: it has failed. */
int stream_step(struct stream *s);

/* Epoll events that it waits for. */
unsigned stream_wants(const struct stream *s);

/* Sends; what the socket does not take is kept, in order. 0, or -1: the stream has ended. */
int stream_send(struct stream *s, const char *bytes, size_t len);
/* Tries again with what was kept. */
int stream_flush(struct stream *s);

/* Reads once and hands over what is whole. The count of messages; -1: the stream has ended. */
int stream_read(struct stream *s, stream_message *message, void *user);

/* Closes at once; may be begun again. */
void stream_close(struct stream *s);

#endif
