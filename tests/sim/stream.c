/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/stream - what phones write to the node by TCP: it is read in pieces, cut anywhere, with
 * keep-alives between messages, and a connection may end in the middle of one. The program's own
 * framing puts it together again.
 *
 * Cut without the dice of the run, and each message is whole when it would have come in one piece.
 */
#include <stdlib.h>

#include "sim.h"

enum {
    PIECES_MAX = 4
};

static uint64_t dice(const struct sim *sim, uint64_t below)
{
    uint64_t what[3] = {sim->seed, sim->order, below};
    return hash_bytes(34, (struct slice){(const char *)what, sizeof what}) % below;
}

static void post_piece(struct sim *sim, struct sim_event event, const char *bytes, size_t len)
{
    event.bytes = malloc(len + 1);
    if (event.bytes == NULL)
        abort();
    memcpy(event.bytes, bytes, len);
    event.bytes[len] = '\0';
    event.len = len;
    sim_post(sim, event);
}

/** RFC 5626 section 4.4.1; in two pieces at times. */
static void post_ping(struct sim *sim, struct sim_event event)
{
    static const char ping[] = "\r\n\r\n";
    size_t part = (size_t)dice(sim, 4);

    if (part > 0)
        post_piece(sim, event, ping, part);
    event.b = 1;
    post_piece(sim, event, ping + part, 4 - part);
}

void stream_post(struct sim *sim, struct sim_event event, uint64_t from_ms, const char *bytes,
                 size_t len)
{
    uint64_t due_ms = event.due_ms;

    event.due_ms = from_ms;
    if (dice(sim, 10) == 0)
        for (uint64_t pings = 1 + dice(sim, 2); pings > 0; pings--)
            post_ping(sim, event);
    for (unsigned i = 0; i + 1 < PIECES_MAX && len > 1; i++) {
        size_t part = 1 + (size_t)dice(sim, len - 1);
        if (dice(sim, 2) == 0)
            continue;
        event.due_ms += dice(sim, due_ms - event.due_ms + 1);
        post_piece(sim, event, bytes, part);
        bytes += part;
        len -= part;
    }
    event.due_ms = due_ms;
    post_piece(sim, event, bytes, len);
}

static void take_message(struct sim *sim, uint32_t from, const char *bytes, size_t len)
{
    char *text = strndup(bytes, len);

    if (text == NULL)
        abort();
    node_receive(sim, from, text, len);
    free(text);
}

void stream_read(struct sim *sim, const struct sim_event *event)
{
    struct sim_stream *stream = &sim->streams[event->from];
    enum framing_kind kind;
    size_t used = 0, len;
    unsigned pings = 0; /* a pong is due for each */

    if (stream->conn != event->c) /* of the one before, what was there is lost */
        *stream = (struct sim_stream){.conn = event->c};
    if (stream->len + event->len > sizeof stream->bytes)
        abort(); /* the simulator's own limit */
    memcpy(stream->bytes + stream->len, event->bytes, event->len);
    stream->len += event->len;
    for (;;) {
        struct slice rest = {stream->bytes + used, stream->len - used};
        kind = framing_next(&stream->framing, rest, &len);
        if (kind == FRAMING_MORE)
            break;
        if (kind == FRAMING_BROKEN || kind == FRAMING_TOO_LONG) {
            sim_fail(sim, "what phone %u wrote cannot be told apart", event->from);
            return;
        }
        pings += kind == FRAMING_PING;
        if (kind == FRAMING_MESSAGE)
            take_message(sim, event->from, rest.data, len);
        used += len;
        if (stream->conn != sim->phones[event->from].conn)
            break; /* it ended meanwhile */
    }
    if (pings != event->b)
        sim_fail(sim, "phone %u is due %u pongs, not %u", event->from, event->b, pings);
    memmove(stream->bytes, stream->bytes + used, stream->len - used);
    stream->len -= used;
}
