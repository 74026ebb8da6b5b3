/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/ws_filter - WebSocket as a filter of a connection, above TCP or TLS (RFC 6455, RFC 7118).
 *
 * The server's side only: browsers connect, nobody is connected to. The opening is ws_upgrade.h;
 * frames are wslay's. One read() gives one WebSocket message, put together from its fragments, and
 * one write() makes one frame. Pings are answered, and sent by ping(). A peer that breaks a rule is
 * told so by a close frame with its code before he is given up.
 *
 * Memory:  a struct of some hundred bytes per connection, from `mem`; while something is under way
 *          what has come of a message, and WS_FRAMES_BYTES of wslay's. An idle one has neither.
 * Limit:   WS_MESSAGE_MAX bytes of a message: 1009. WS_OWN_BYTES of pongs that the peer does
 *          not take: lost. limits.ws_memory_max of wslay's memory: lost.
 */
#ifndef NET_WS_FILTER_H
#define NET_WS_FILTER_H

#include "base/mem.h"
#include "net/filter.h"
#include "net/framing.h"
#include "net/ws_upgrade.h"

enum {
    WS_MESSAGE_MAX = FRAMING_MESSAGE_MAX,
    WS_FRAMES_BYTES = 4352, /* what wslay takes to read a stream of frames, rounded up */
    WS_OWN_BYTES = WS_ANSWER_MAX,
};

/** What the WebSocket filters of one worker share. */
struct ws_worker;

struct ws_config {
    struct mem *mem;       /* borrowed, as all here */
    struct ws_rules rules; /* for those who connect */
    size_t memory_max;     /* of wslay's */
};

/** What happened, for the counters of net. */
struct ws_counters {
    uint64_t upgraded;
    uint64_t refused;       /* their opening was, for other reasons than */
    uint64_t origins;       /* this one */
    uint64_t pages;         /* shown to those who look whether our certificate is accepted */
    uint64_t pings;         /* sent */
    uint64_t own_full;      /* times that WS_OWN_BYTES was reached */
    uint64_t memory_denied; /* times that memory_max was */
};

MUST_CHECK enum err ws_worker_open(const struct ws_config *config, struct ws_worker **out);
/** All its filters are closed. NULL is fine. */
void ws_worker_close(struct ws_worker *worker);
const struct ws_counters *ws_worker_counters(const struct ws_worker *worker);
/** Bytes that a worker takes beside `mem` and memory_max. */
size_t ws_worker_memory(void);

/**
 * Waits for a client's opening above `below`, which it owns from then on. `secure`: TLS is below.
 * NULL: out of memory.
 */
struct filter *ws_filter_accept(struct ws_worker *worker, struct filter *below, bool secure);

/**
 * Of a WebSocket that was refused just now, by the last read(): writes what the peer was told.
 * False: it was not refused.
 */
bool ws_filter_explain(const struct filter *filter, struct builder *b);

#endif
