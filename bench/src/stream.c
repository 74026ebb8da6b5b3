// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context;
static char buffer[STREAM_IN_MAX + 1];

int stream_use_tls(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return -1;
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return 0;
}

int stream_begin(struct stream *s, const struct sockaddr_in *from, const struct sockaddr_in *to,
                 int tls)
{
    int one = 1;

    memset(s, 0, sizeof *s);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return -1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!from->sin_port)
        setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(s->fd, (const void *)from, sizeof *from) ||
        (connect(s->fd, (const void *)to, sizeof *to) && errno != EINPROGRESS)) {
        int error = errno;
        stream_close(s);
        errno = error;
        return -1;
    }
    if (!tls)
        return 0;
    s->ssl = SSL_new(context);
    if (!s->ssl || !SSL_set_fd(s->ssl, s->fd)) {
        stream_close(s);
        errno = ENOMEM;
        return -1;
    }
    SSL_set_connect_state(s->ssl);
    return 0;
}

/* 0: not now, else -1: it is over. */
static int ssl_failed(struct stream *s, int result)
{
    int error = SSL_get_error(s->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return 0;
    s->ended = 1;
    return -1;
}

int stream_step(struct stream *s)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    int error = 0;

    if (s->ready)
        return 1;
    if (getpeername(s->fd, (void *)&peer, &len)) { /* not connected */
        len = sizeof error;
        if (errno == ENOTCONN && !getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error)
            return 0;
        s->ended = 1;
        return -1;
    }
    if (s->ssl) {
        ERR_clear_error();
        int result = SSL_do_handshake(s->ssl);
        if (result != 1)
            return ssl_failed(s, result);
    }
    s->ready = 1;
    return 1;
}

unsigned stream_wants(const struct stream *s)
{
    int connecting = !s->ready && (!s->ssl || SSL_in_before(s->ssl));
    return EPOLLIN | (connecting || s->out_len ? (unsigned)EPOLLOUT : 0);
}

/* Bytes that the socket took; -1: the stream has ended. */
static ssize_t write_some(struct stream *s, const char *bytes, size_t len)
{
    size_t done = 0;

    if (s->ssl) {
        ERR_clear_error();
        int result = SSL_write_ex(s->ssl, bytes, len, &done);
        if (result != 1)
            return ssl_failed(s, result);
    } else {
        ssize_t result = send(s->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (result < 0 && errno == EAGAIN)
            return 0;
        if (result < 0) {
            s->ended = 1;
            return -1;
        }
        done = (size_t)result;
    }
    s->sent += done;
    return (ssize_t)done;
}

static int keep_out(struct stream *s, const char *bytes, size_t len)
{
    char *out = realloc(s->out, s->out_len + len);
    if (!out)
        return -1;
    memcpy(out + s->out_len, bytes, len);
    s->out = out;
    s->out_len += len;
    return 0;
}

int stream_flush(struct stream *s)
{
    size_t done = 0;

    while (done < s->out_len) {
        ssize_t result = write_some(s, s->out + done, s->out_len - done);
        if (result < 0)
            return -1;
        if (!result)
            break;
        done += (size_t)result;
    }
    s->out_len -= done;
    if (s->out_len)
        memmove(s->out, s->out + done, s->out_len);
    else {
        free(s->out);
        s->out = NULL;
    }
    return 0;
}

int stream_send(struct stream *s, const char *bytes, size_t len)
{
    if (s->ended)
        return -1;
    while (!s->out_len && len) {
        ssize_t result = write_some(s, bytes, len);
        if (result < 0)
            return -1;
        if (!result)
            break;
        bytes += result;
        len -= (size_t)result;
    }
    return len ? keep_out(s, bytes, len) : 0;
}

/* Bytes of the message at the front; 0: it is not whole. */
static size_t whole(const char *bytes, size_t len)
{
    static const char name[] = "\nContent-Length:";
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - bytes);
    const char *field = memmem(bytes, head, name, sizeof name - 1);
    size_t body = field ? strtoul(field + sizeof name - 1, NULL, 10) : 0;
    return body <= len - head ? head + body : 0;
}

/* Hands over whole messages of `bytes`, behind which one byte may be written. What is used up. */
static size_t hand_over(char *bytes, size_t len, stream_message *message, void *user, int *count)
{
    size_t used = 0, n;

    for (;;) {
        while (used < len && (bytes[used] == '\r' || bytes[used] == '\n'))
            used++; /* keep-alives */
        if (!(n = whole(bytes + used, len - used)))
            return used;
        char behind = bytes[used + n];
        bytes[used + n] = 0;
        message(user, bytes + used, n);
        bytes[used + n] = behind;
        used += n;
        ++*count;
    }
}

int stream_read(struct stream *s, stream_message *message, void *user)
{
    size_t got = 0, room = STREAM_IN_MAX - s->in_len;
    int count = 0;

    if (s->ended)
        return -1;
    if (s->in_len)
        memcpy(buffer, s->in, s->in_len);
    if (s->ssl) {
        ERR_clear_error();
        int result = SSL_read_ex(s->ssl, buffer + s->in_len, room, &got);
        if (result != 1)
            return ssl_failed(s, result);
    } else {
        ssize_t result = recv(s->fd, buffer + s->in_len, room, MSG_DONTWAIT);
        if (result < 0 && errno == EAGAIN)
            return 0;
        if (result <= 0) {
            s->ended = 1;
            return -1;
        }
        got = (size_t)result;
    }
    s->received += got;
    size_t len = s->in_len + got;
    size_t used = hand_over(buffer, len, message, user, &count);
    free(s->in);
    s->in = NULL;
    s->in_len = 0;
    if (used == len)
        return count;
    if (len - used == STREAM_IN_MAX || !(s->in = malloc(len - used))) {
        s->ended = 1;
        return -1;
    }
    s->in_len = len - used;
    memcpy(s->in, buffer + used, s->in_len);
    return count;
}

void stream_close(struct stream *s)
{
    SSL_free(s->ssl);
    if (s->fd >= 0)
        close(s->fd);
    free(s->in);
    free(s->out);
    memset(s, 0, sizeof *s);
    s->fd = -1;
}
