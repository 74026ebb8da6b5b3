/* SPDX-License-Identifier: Apache-2.0 */
#include "net/filter.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int tcp_fd(const struct filter *filter)
{
    return ((const struct tcp_filter *)(const void *)filter)->fd;
}

static enum io io_of_errno(void)
{
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_BROKEN;
}

static enum io tcp_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    ssize_t count = recv(tcp_fd(filter), buffer, capacity, MSG_DONTWAIT);
    if (count < 0)
        return io_of_errno();
    if (count == 0)
        return IO_END;
    *got = (size_t)count;
    return IO_DONE;
}

static enum io tcp_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    ssize_t count = send(tcp_fd(filter), bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0)
        return io_of_errno();
    *sent = (size_t)count;
    return IO_DONE;
}

static uint32_t tcp_wants(const struct filter *filter)
{
    (void)filter;
    return 0;
}

static bool tcp_ready(const struct filter *filter)
{
    (void)filter;
    return true;
}

static enum pending tcp_pending(const struct filter *filter)
{
    (void)filter;
    return PENDING_NOTHING;
}

static void tcp_end(struct filter *filter)
{
    shutdown(tcp_fd(filter), SHUT_WR);
}

static void tcp_close(struct filter *filter)
{
    close(tcp_fd(filter));
}

static const struct filter_ops tcp_ops = {
    .read = tcp_read,
    .write = tcp_write,
    .wants = tcp_wants,
    .ready = tcp_ready,
    .pending = tcp_pending,
    .end = tcp_end,
    .close = tcp_close,
};

void tcp_filter_init(struct tcp_filter *tcp, int fd)
{
    *tcp = (struct tcp_filter){.filter = {.ops = &tcp_ops}, .fd = fd};
}
