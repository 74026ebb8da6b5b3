/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe.h"

#include <string.h>

static struct pipe_end *end_of(struct filter *filter)
{
    return CONTAINER_OF(filter, struct pipe_end, filter);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static enum io pipe_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    struct pipe_end *end = end_of(filter);
    size_t count = least(least(capacity, end->len), end->read_budget);

    if (end->broken)
        return IO_BROKEN;
    if (count == 0)
        return end->len == 0 && end->ended ? IO_END : IO_AGAIN;
    memcpy(buffer, end->bytes, count);
    memmove(end->bytes, end->bytes + count, end->len - count);
    end->len -= count;
    end->read_budget -= count;
    *got = count;
    return IO_DONE;
}

static enum io pipe_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    struct pipe_end *end = end_of(filter);
    struct pipe_end *peer = end->peer;
    size_t count = least(least(bytes.len, PIPE_BYTES - peer->len), end->write_budget);

    if (end->broken || peer->closed)
        return IO_BROKEN;
    if (count == 0)
        return IO_AGAIN;
    memcpy(peer->bytes + peer->len, bytes.data, count);
    peer->len += count;
    end->write_budget -= count;
    *sent = count;
    return IO_DONE;
}

static uint32_t pipe_wants(const struct filter *filter)
{
    (void)filter;
    return 0;
}

static bool pipe_ready(const struct filter *filter)
{
    (void)filter;
    return true;
}

static enum pending pipe_pending(const struct filter *filter)
{
    (void)filter;
    return PENDING_NOTHING;
}

static void pipe_end_writing(struct filter *filter)
{
    end_of(filter)->peer->ended = true;
}

static void pipe_close(struct filter *filter)
{
    struct pipe_end *end = end_of(filter);

    end->closed = true;
    end->peer->ended = true;
}

static const struct filter_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .wants = pipe_wants,
    .ready = pipe_ready,
    .pending = pipe_pending,
    .end = pipe_end_writing,
    .close = pipe_close,
};

static void begin(struct pipe_end *end, struct pipe_end *peer)
{
    end->filter = (struct filter){.ops = &pipe_ops};
    end->peer = peer;
    end->read_budget = end->write_budget = SIZE_MAX;
    end->ended = end->broken = end->closed = false;
    end->len = 0;
}

void pipe_open(struct pipe_end *a, struct pipe_end *b)
{
    begin(a, b);
    begin(b, a);
}
