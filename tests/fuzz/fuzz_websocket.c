/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket: the opening, and frames behind it. The first byte says in which pieces the rest
 * arrives, the second how much the peer takes at once. However it is cut, the same messages must
 * come out and the same close frame be said; nothing is left behind. Bytes whose first is a 0 are
 * frames only, behind an opening of ours, so that they are soon found.
 */
#include <stdlib.h>

#include "net/ws_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPENING                                                                                    \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Sec-WebSocket-Protocol: sip\r\n\r\n"

enum {
    TURNS_MAX = 1 << 20
};

/* The stream below. */
struct stream {
    struct filter filter;
    struct slice parts[2]; /* what comes, one behind the other */
    size_t piece, room;
    uint8_t last[4]; /* the last bytes that were said */
};

struct outcome {
    size_t messages, bytes, sum;
    enum io end;
    uint8_t last[4];
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct stream *stream_of(struct filter *filter)
{
    return CONTAINER_OF(filter, struct stream, filter);
}

static enum io stream_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    struct stream *s = stream_of(filter);
    struct slice *part = s->parts[0].len > 0 ? &s->parts[0] : &s->parts[1];
    size_t count = part->len < capacity ? part->len : capacity;

    count = count < s->piece ? count : s->piece;
    require(capacity > 0);
    if (count == 0)
        return IO_END;
    memcpy(buffer, slice_take(part, count).data, count);
    *got = count;
    return IO_DONE;
}

static enum io stream_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    struct stream *s = stream_of(filter);

    require(bytes.len > 0);
    *sent = bytes.len < s->room ? bytes.len : s->room;
    for (size_t i = 0; i < *sent; i++) {
        memmove(s->last, s->last + 1, sizeof s->last - 1);
        s->last[sizeof s->last - 1] = (uint8_t)bytes.data[i];
    }
    return IO_DONE;
}

static uint32_t stream_wants(const struct filter *filter)
{
    (void)filter;
    return 0;
}

static bool stream_ready(const struct filter *filter)
{
    return filter != NULL;
}

static enum pending stream_pending(const struct filter *filter)
{
    (void)filter;
    return PENDING_NOTHING;
}

static void stream_end(struct filter *filter)
{
    (void)filter;
}

static const struct filter_ops stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .wants = stream_wants,
    .ready = stream_ready,
    .pending = stream_pending,
    .end = stream_end,
    .close = stream_end,
};

/* Reads until the end or until the peer is refused, and answers each message with itself. */
static void read_all(struct filter *filter, char *buffer, struct outcome *outcome)
{
    for (unsigned turn = 0;; turn++) {
        size_t got = 0;
        outcome->end = filter->ops->read(filter, buffer, WS_MESSAGE_MAX, &got);
        require(turn < TURNS_MAX);
        if (outcome->end == IO_AGAIN)
            continue;
        if (outcome->end != IO_DONE)
            return;
        require(got > 0 && got <= WS_MESSAGE_MAX && filter->ops->ready(filter));
        outcome->messages++;
        outcome->bytes += got;
        for (size_t i = 0; i < got; i++)
            outcome->sum = outcome->sum * 31 + (uint8_t)buffer[i];
        for (struct slice rest = {buffer, got}; rest.len > 0;) {
            size_t sent = 0;
            enum io io = filter->ops->write(filter, rest, &sent);
            require(io == IO_DONE || io == IO_AGAIN);
            slice_take(&rest, sent);
        }
    }
}

static struct outcome feed(struct slice bytes, bool frames_only, size_t piece, size_t room)
{
    struct stream stream = {.filter = {.ops = &stream_ops},
                            .parts = {frames_only ? SLICE(OPENING) : SLICE_EMPTY, bytes},
                            .piece = piece,
                            .room = room};
    struct outcome outcome = {0};
    struct ws_worker *worker = NULL;
    struct mem mem;
    char *buffer = malloc(WS_MESSAGE_MAX);

    mem_init(&mem, 1 << 20);
    struct ws_config config = {.mem = &mem, .memory_max = SIZE_MAX};
    require(buffer != NULL && ws_worker_open(&config, &worker) == OK);
    struct filter *filter = ws_filter_accept(worker, &stream.filter, false);
    require(filter != NULL);
    read_all(filter, buffer, &outcome);
    memcpy(outcome.last, stream.last, sizeof outcome.last);
    filter->ops->end(filter);
    filter->ops->close(filter);
    require(mem.used_bytes == 0);
    ws_worker_close(worker);
    mem_release(&mem);
    free(buffer);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    bool frames_only = data[2] == 0;
    struct slice bytes = {(const char *)data + 2 + frames_only, size - 2 - frames_only};
    struct outcome whole = feed(bytes, frames_only, SIZE_MAX, SIZE_MAX);
    struct outcome steps = feed(bytes, frames_only, (size_t)data[0] + 1, (size_t)data[1] + 1);

    require(whole.messages == steps.messages);
    require(whole.bytes == steps.bytes);
    require(whole.sum == steps.sum);
    require(whole.end == steps.end);
    require(memcmp(whole.last, steps.last, sizeof whole.last) == 0);
    return 0;
}
