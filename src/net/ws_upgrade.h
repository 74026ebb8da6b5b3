/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/ws_upgrade - the HTTP request that a WebSocket begins with, and its answer (RFC 6455 §4.2,
 * RFC 7118 §4.1).
 *
 * Pure: bytes in, bytes out. The HTTP itself is read by http-parser; nothing else knows of it.
 */
#ifndef NET_WS_UPGRADE_H
#define NET_WS_UPGRADE_H

#include "base/builder.h"

enum {
    WS_HEAD_MAX = 8192,   /* bytes of the request; more: 431. Browsers send their cookies in it */
    WS_ANSWER_MAX = 1024, /* bytes of any answer */
};

struct ws_rules {
    const struct slice *origins; /* of the web pages that may connect */
    uint32_t origin_count;       /* 0: all may. Who has none is no browser, and may */
};

/**
 * Bytes of the request at the front of `input`, its empty line included; 0: it is not whole yet.
 * `*scanned` is 0 at first and kept between calls with more bytes behind the same ones.
 */
size_t ws_head_len(struct slice input, size_t *scanned);

/**
 * Reads a whole request and writes the answer, of at most WS_ANSWER_MAX bytes.
 *
 * Returns its status. 101: what follows in both directions are frames. 200: somebody has opened
 * the address as a page, over TLS (`secure`), to accept our certificate. Else the client is
 * refused: 400 (no WebSocket, or without the subprotocol `sip`), 403 (Origin), 405, 426 (no upgrade
 * asked for, or another version than 13), 505. `*origin` is that of the page, borrowed from `head`;
 * empty: none.
 */
unsigned ws_upgrade(struct slice head, const struct ws_rules *rules, bool secure,
                    struct builder *answer, struct slice *origin);

/** Writes the answer to who sent more than WS_HEAD_MAX bytes: 431 (RFC 6585 §5). */
void ws_refuse_long(struct builder *answer);

#endif
