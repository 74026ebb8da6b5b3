/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing - where messages begin and end in a stream of bytes (RFC 3261 §18.3, §7.5).
 *
 * Pure: bytes in, lengths out. Between messages it skips line ends, and knows a CRLFCRLF as the
 * keep-alive of RFC 5626 §3.5.1, however it was cut into segments.
 *
 *     while ((kind = framing_next(&f, rest, &len)) != FRAMING_MORE) { ...; slice_take(&rest, len);
 * }
 *
 * Limit:   FRAMING_MESSAGE_MAX bytes of a message, its header section included.
 */
#ifndef NET_FRAMING_H
#define NET_FRAMING_H

#include "base/slice.h"

enum {
    FRAMING_MESSAGE_MAX = 65535
};

enum framing_kind {
    FRAMING_MORE = 0, /* nothing whole yet: come again with more bytes behind the same ones */
    FRAMING_SKIP,     /* `len` bytes between messages */
    FRAMING_PING,     /* `len` bytes that end a CRLFCRLF: the answer is CRLF */
    FRAMING_MESSAGE,  /* `len` bytes are one message */
    FRAMING_BROKEN,   /* where the message ends cannot be known; `len`: its header section, or 0 */
    FRAMING_TOO_LONG, /* header section or message; `len`: its header section, or what is there */
};

/** Zeroed: at the beginning of a stream. */
struct framing {
    size_t scanned;     /* bytes of the present message without the end of its header section */
    size_t message_len; /* 0: not known yet */
    bool half_ping;     /* one CRLF was seen, another makes a ping */
};

/**
 * Says what `input` begins with; `input` starts at the first byte not yet used up, and the caller
 * uses up `*len` bytes. After FRAMING_BROKEN and FRAMING_TOO_LONG the stream is lost.
 */
enum framing_kind framing_next(struct framing *framing, struct slice input, size_t *len);

#endif
