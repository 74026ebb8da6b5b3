/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A proxy with its transactions in a world of plain text: requests and responses are put in,
 * what leaves is taken from the outbox, and time passes when a test says so.
 *
 * The caller is at 192.0.2.1:5060, callees at 198.51.100.N:5060, we at 203.0.113.1:5060.
 */
#ifndef TESTS_PROXY_WORLD_H
#define TESTS_PROXY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/context.h"

enum {
    SENT_MAX = 256,
    TEXT_MAX = 66000,
    WORLD_TIMER_C_MS = 181000,
};

/** Something that left. Bytes are kept NUL-terminated, so that they can be searched. */
struct sent {
    struct flow to;
    size_t len;
    char *text;
    bool taken;
};

struct world {
    struct mem mem;
    struct timer_wheel wheel;
    struct outbox outbox;
    struct rng rng;
    struct txn_table *txns;
    struct proxy *proxy;
    uint64_t now_ms;
    struct sent sent[SENT_MAX];
    unsigned sent_count;
    unsigned server_ends;
    struct id server;             /* of the last request given in */
    struct proxy_request request; /* facts for the next one; msg, server and source are set */
    struct flow source;
    bool responses_trusted;
    bool all_trusted; /* what config.is_trusted says */
    /* what config.resolve gives */
    struct proxy_target resolved[4];
    uint32_t resolved_count;
    unsigned resolve_calls;
    char message[TEXT_MAX]; /* under work */
    struct sip_msg msg;
};

static const struct hash_key world_key = {{0x0123456789abcdef, 0xfedcba9876543210}};

/* ---- what the proxy and the transactions are given ---- */

static inline void world_flush(struct outbox *outbox, void *user)
{
    struct world *w = user;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_item *item = &outbox->items[i];
        assert_true(w->sent_count < SENT_MAX);
        struct sent *sent = &w->sent[w->sent_count++];
        sent->to = item->to;
        sent->len = item->len;
        sent->text = malloc(item->len + 1u);
        assert_non_null(sent->text);
        memcpy(sent->text, outbox->buffer + item->offset, item->len);
        sent->text[item->len] = '\0';
        sent->taken = false;
    }
    outbox->count = 0;
    outbox->used = 0;
}

static inline bool world_is_trusted(void *user, const struct addr *remote)
{
    const struct world *w = user;
    (void)remote;
    return w->all_trusted;
}

static inline bool world_is_ours(void *user, const struct sip_via *via)
{
    (void)user;
    return slice_equal(via->host, SLICE("203.0.113.1")) ||
           slice_equal(via->host, SLICE("[2001:db8::1]"));
}

static inline void world_write_address(void *user, struct builder *b, const struct flow *to)
{
    (void)user;
    if (to->local.family != ADDR_NONE)
        addr_write_host(b, &to->local);
    else
        builder_add(b,
                    to->remote.family == ADDR_V6 ? SLICE("[2001:db8::1]") : SLICE("203.0.113.1"));
    builder_text(b, ":");
    builder_u64(b, to->listener == LISTENER_ANY ? 5060 : 5060u + to->listener);
}

static inline uint32_t world_resolve(void *user, struct slice uri, bool outside,
                                     struct proxy_target *out, uint32_t max, uint64_t now_ms)
{
    struct world *w = user;
    (void)uri;
    (void)outside;
    (void)now_ms;
    w->resolve_calls++;
    if (w->resolved_count == 0 || w->resolve_calls > w->resolved_count || max == 0)
        return 0;
    out[0] = w->resolved[w->resolve_calls - 1];
    return 1;
}

static inline void world_on_response(void *user, struct id client, uint64_t context,
                                     const struct sip_msg *response, uint64_t now_ms)
{
    struct world *w = user;
    proxy_on_response(w->proxy, client, context, response, w->responses_trusted, now_ms);
}

static inline void world_on_failure(void *user, struct id client, uint64_t context,
                                    enum txn_failure failure, uint64_t now_ms)
{
    proxy_on_failure(((struct world *)user)->proxy, client, context, failure, now_ms);
}

static inline void world_on_server_end(void *user, struct id server, uint64_t context,
                                       uint64_t now_ms)
{
    struct world *w = user;
    w->server_ends++;
    proxy_on_server_end(w->proxy, server, context, now_ms);
}

static inline void world_on_client_end(void *user, struct id client, uint64_t context,
                                       uint64_t now_ms)
{
    proxy_on_client_end(((struct world *)user)->proxy, client, context, now_ms);
}

/* ---- opening and closing ---- */

struct world_options {
    uint32_t contexts_max; /* 0: 100 */
    uint32_t timer_c_ms;   /* 0: WORLD_TIMER_C_MS */
    bool recurse;
};

static inline struct flow world_flow(const char *address, enum transport transport)
{
    struct flow flow = {.transport = (uint8_t)transport, .listener = 0};
    if (transport == TRANSPORT_TCP)
        flow.listener = 1;
    assert_int_equal(addr_parse_with_port(slice_of(address), &flow.remote), OK);
    return flow;
}

static inline struct world *world_open(struct world_options options)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    mem_init(&w->mem, (size_t)64 << 20);
    w->now_ms = 1000000;
    timer_wheel_init(&w->wheel, w->now_ms);
    rng_seed(&w->rng, 42);
    w->outbox.flush = world_flush;
    w->outbox.user = w;
    w->outbox.buffer = malloc(OUTBOX_BYTES);
    assert_non_null(w->outbox.buffer);

    const struct txn_config txn_config = {
        .worker = 3,
        .boot = 7,
        .transactions_max = 4096,
        .mem = &w->mem,
        .wheel = &w->wheel,
        .outbox = &w->outbox,
        .rng = &w->rng,
        .hash_seed = 99,
        .is_our_sent_by = world_is_ours,
        .handlers = {w, world_on_response, world_on_failure, world_on_server_end,
                     world_on_client_end, NULL},
    };
    assert_int_equal(txn_table_open(&txn_config, &w->txns), OK);
    const struct proxy_config proxy_config = {
        .worker = 3,
        .contexts_max = options.contexts_max != 0 ? options.contexts_max : 100,
        .timer_c_ms = options.timer_c_ms != 0 ? options.timer_c_ms : WORLD_TIMER_C_MS,
        .recurse_on_3xx = options.recurse,
        .mem = &w->mem,
        .wheel = &w->wheel,
        .outbox = &w->outbox,
        .rng = &w->rng,
        .txns = w->txns,
        .token_key = world_key,
        .user = w,
        .write_our_address = world_write_address,
        .resolve = world_resolve,
        .is_trusted = world_is_trusted,
    };
    assert_int_equal(proxy_open(&proxy_config, &w->proxy), OK);
    w->source = world_flow("192.0.2.1:5060", TRANSPORT_UDP);
    return w;
}

static inline void world_forget_sent(struct world *w)
{
    for (unsigned i = 0; i < w->sent_count; i++)
        free(w->sent[i].text);
    w->sent_count = 0;
}

/** Closes whatever state things are in. */
static inline void world_drop(struct world *w)
{
    proxy_close(w->proxy);
    txn_table_close(w->txns);
    assert_int_equal(w->wheel.count, 0);
    mem_release(&w->mem);
    world_forget_sent(w);
    free(w->outbox.buffer);
    free(w);
}

/** Lets `ms` pass, timer by timer. */
static inline void world_pass(struct world *w, uint64_t ms)
{
    uint64_t end_ms = w->now_ms + ms;

    for (;;) {
        uint64_t next_ms = timer_wheel_next(&w->wheel);
        if (next_ms > end_ms)
            break;
        if (next_ms > w->now_ms)
            w->now_ms = next_ms;
        timer_wheel_run(&w->wheel, w->now_ms, 1000);
        world_flush(&w->outbox, w);
    }
    w->now_ms = end_ms;
    timer_wheel_run(&w->wheel, w->now_ms, 1000);
    world_flush(&w->outbox, w);
}

/** After everything must have ended, nothing may be left: the check of every test. */
static inline void world_close(struct world *w)
{
    world_pass(w, 400000);
    assert_int_equal(proxy_count(w->proxy), 0);
    assert_int_equal(txn_count(w->txns), 0);
    assert_int_equal(w->wheel.count, 0);
    world_drop(w);
}

/* ---- messages ---- */

/** What left and was not looked at yet and contains `text`; NULL: none. */
static inline struct sent *world_find(struct world *w, const char *text)
{
    world_flush(&w->outbox, w);
    for (unsigned i = 0; i < w->sent_count; i++) {
        if (w->sent[i].taken || strstr(w->sent[i].text, text) == NULL)
            continue;
        w->sent[i].taken = true;
        return &w->sent[i];
    }
    return NULL;
}

/** As world_find(), but the message must begin with `start`. */
static inline struct sent *world_take(struct world *w, const char *start)
{
    world_flush(&w->outbox, w);
    for (unsigned i = 0; i < w->sent_count; i++) {
        if (w->sent[i].taken || strncmp(w->sent[i].text, start, strlen(start)) != 0)
            continue;
        w->sent[i].taken = true;
        return &w->sent[i];
    }
    return NULL;
}

static inline struct sent *world_expect(struct world *w, const char *start)
{
    struct sent *sent = world_take(w, start);
    if (sent == NULL) {
        for (unsigned i = 0; i < w->sent_count; i++)
            if (!w->sent[i].taken)
                print_message("left over: %.60s\n", w->sent[i].text);
        fail_msg("nothing was sent that begins with \"%s\"", start);
    }
    return sent;
}

/** Nothing more left that was not looked at. */
static inline void world_expect_silence(struct world *w)
{
    world_flush(&w->outbox, w);
    for (unsigned i = 0; i < w->sent_count; i++)
        if (!w->sent[i].taken)
            fail_msg("sent unexpectedly: %s", w->sent[i].text);
}

/** What left so far is of no interest. */
static inline void world_ignore(struct world *w)
{
    world_flush(&w->outbox, w);
    for (unsigned i = 0; i < w->sent_count; i++)
        w->sent[i].taken = true;
}

/** A request of the usual call. `extra` are further lines, each with CRLF. */
static inline void world_write(struct world *w, const char *method, const char *uri,
                               const char *extra, const char *body)
{
    snprintf(w->message, sizeof w->message,
             "%s %s SIP/2.0\r\n"
             "Via: SIP/2.0/%s 192.0.2.1:5060;branch=z9hG4bKcaller%s\r\n"
             "From: <sip:alice@example.com>;tag=alice\r\n"
             "To: <sip:bob@example.com>\r\n"
             "Call-ID: call-1@192.0.2.1\r\n"
             "CSeq: 1 %s\r\n"
             "Max-Forwards: 70\r\n"
             "%s"
             "Content-Length: %zu\r\n"
             "\r\n"
             "%s",
             method, uri, w->source.transport == TRANSPORT_TCP ? "TCP" : "UDP",
             strcmp(method, "CANCEL") == 0 || strcmp(method, "ACK") == 0 ? "INVITE" : method,
             method, extra, strlen(body), body);
}

/** Gives the message under work to the transactions. */
static inline struct txn_received world_receive(struct world *w)
{
    struct slice bytes = slice_of(w->message);
    enum sip_framing framing = w->source.transport == TRANSPORT_TCP ? SIP_STREAM : SIP_DATAGRAM;
    assert_int_equal(sip_parse(bytes, framing, &w->msg), OK);
    assert_int_equal(w->msg.fault.status, 0);
    return txn_receive_request(w->txns, &w->msg, &w->source, w->now_ms);
}

/** Gives the message under work to transactions and proxy with these targets. */
static inline enum err world_forward(struct world *w, const struct proxy_target *targets,
                                     uint32_t count)
{
    struct txn_received got = world_receive(w);
    assert_int_equal(got.verdict, TXN_NEW);
    w->server = got.id;
    w->request.server = got.id;
    w->request.msg = &w->msg;
    w->request.source = &w->source;
    if (w->request.uri.len == 0)
        w->request.uri = w->msg.uri;
    return proxy_forward(w->proxy, &w->request, targets, count, w->now_ms);
}

/** A callee of ours: sip:bob@198.51.100.N. */
static inline struct proxy_target world_target(unsigned n, uint16_t q)
{
    static char uris[32][40];
    char address[40];
    snprintf(uris[n], sizeof uris[n], "sip:bob@198.51.100.%u:5060", n);
    snprintf(address, sizeof address, "198.51.100.%u:5060", n);
    return (struct proxy_target){
        .uri = slice_of(uris[n]), .to = world_flow(address, TRANSPORT_UDP), .q = q};
}

/** The start of what callee `n` is sent. */
static inline const char *world_start(const char *method, unsigned n)
{
    static char text[80];
    snprintf(text, sizeof text, "%s sip:bob@198.51.100.%u:5060 SIP/2.0\r\n", method, n);
    return text;
}

/** A call to `count` targets; all INVITEs that leave at once are left in the outbox. */
static inline void world_call(struct world *w, const struct proxy_target *targets, uint32_t count)
{
    world_write(w, "INVITE", "sip:bob@example.com", "Contact: <sip:alice@192.0.2.1>\r\n", "");
    assert_int_equal(world_forward(w, targets, count), OK);
}

/** The value of a header's first line in a message; a copy that the caller frees. */
static inline char *world_header(const struct sent *sent, const char *name)
{
    char search[64];
    snprintf(search, sizeof search, "\r\n%s: ", name);
    const char *at = strstr(sent->text, search);
    if (at == NULL)
        return NULL;
    at += strlen(search);
    return strndup(at, (size_t)(strstr(at, "\r\n") - at));
}

static inline unsigned world_count_text(const char *text, const char *what)
{
    unsigned count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
        count++;
    return count;
}

/** The callee answers a request that left. `extra` are further lines. `to_tag` may be NULL. */
static inline bool world_answer(struct world *w, const struct sent *request, unsigned status,
                                const char *to_tag, const char *extra)
{
    static char text[TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct sip_msg *msg = malloc(sizeof *msg);
    assert_non_null(msg);
    assert_int_equal(sip_parse((struct slice){request->text, request->len}, SIP_DATAGRAM, msg), OK);
    const struct sip_reply reply = {
        .status = (uint16_t)status,
        .to_tag = to_tag != NULL ? slice_of(to_tag) : SLICE_EMPTY,
        .fields = slice_of(extra),
        .with_record_route = true,
    };
    assert_int_equal(sip_reply_write(msg, &reply, &b), OK);
    assert_int_equal(sip_parse(builder_slice(&b), SIP_DATAGRAM, msg), OK);
    bool matched = txn_receive_response(w->txns, msg, &request->to, w->now_ms);
    free(msg);
    return matched;
}

/** The caller acknowledges a failure. */
static inline void world_ack_failure(struct world *w)
{
    world_write(w, "ACK", "sip:bob@example.com", "", "");
    struct txn_received got = world_receive(w);
    assert_int_equal(got.verdict, TXN_ABSORBED);
}

/** The caller cancels. */
static inline void world_cancel(struct world *w)
{
    struct id invite = w->server;
    world_write(w, "CANCEL", "sip:bob@example.com", "", "");
    struct txn_received got = world_receive(w);
    assert_int_equal(got.verdict, TXN_CANCEL);
    assert_true(id_equal(got.cancelled, invite));
    const struct sip_reply ok = {.status = 200};
    assert_int_equal(txn_reply(w->txns, got.id, &ok, w->now_ms), OK);
    proxy_cancel(w->proxy, got.cancelled, w->now_ms);
}

/** The callee's host is not there: ICMP came back for a request. */
static inline void world_refuse(struct world *w, const struct sent *request)
{
    txn_send_failed(w->txns, (struct slice){request->text, request->len}, false, w->now_ms);
    world_pass(w, 0);
}

#endif
