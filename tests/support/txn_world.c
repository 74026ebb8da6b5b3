/* SPDX-License-Identifier: Apache-2.0 */
#include "txn_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint64_t BEGIN_MS = 1000000;

static void collect(struct outbox *outbox, void *user)
{
    struct world *w = user;

    for (uint32_t i = 0; i < outbox->count; i++, w->sent_count++) {
        if (w->sent_count >= WORLD_SENT_MAX)
            continue;
        struct sent *sent = &w->sent[w->sent_count];
        sent->at_ms = w->now_ms;
        sent->to = outbox->items[i].to;
        sent->len = outbox->items[i].len;
        size_t len = sent->len < WORLD_TEXT_MAX - 1 ? sent->len : WORLD_TEXT_MAX - 1;
        memcpy(sent->text, outbox->buffer + outbox->items[i].offset, len);
        sent->text[len] = 0;
    }
    outbox->count = 0;
    outbox->used = 0;
}

static bool is_our_sent_by(void *user, const struct sip_via *via)
{
    const struct world *w = user;

    return !w->sent_by_is_theirs && slice_equal(via->host, SLICE("192.0.2.1"));
}

static void tell(struct world *w, struct told told, const struct sip_msg *response)
{
    if (w->told_count < WORLD_TOLD_MAX)
        w->told[w->told_count] = told;
    w->told_count++;
    if (w->hook != NULL)
        w->hook(w, &told, response);
}

static void on_response(void *user, struct id client, uint64_t context,
                        const struct sip_msg *response, uint64_t now_ms)
{
    tell(user, (struct told){now_ms, TOLD_RESPONSE, client, context, response->status}, response);
}

static void on_failure(void *user, struct id client, uint64_t context, enum txn_failure failure,
                       uint64_t now_ms)
{
    tell(user, (struct told){now_ms, TOLD_FAILURE, client, context, failure}, NULL);
}

static void on_server_end(void *user, struct id server, uint64_t context, uint64_t now_ms)
{
    tell(user, (struct told){now_ms, TOLD_SERVER_END, server, context, 0}, NULL);
}

static void on_client_end(void *user, struct id client, uint64_t context, uint64_t now_ms)
{
    tell(user, (struct told){now_ms, TOLD_CLIENT_END, client, context, 0}, NULL);
}

static void on_caller_lost(void *user, struct id server, uint64_t now_ms)
{
    tell(user, (struct told){now_ms, TOLD_CALLER_LOST, server, 0, 0}, NULL);
}

struct world *world_open(uint32_t transactions_max)
{
    struct world *w = calloc(1, sizeof *w);
    assert_true(w != NULL);

    mem_init(&w->mem, 64 << 20);
    w->now_ms = BEGIN_MS;
    timer_wheel_init(&w->wheel, w->now_ms);
    rng_seed(&w->rng, 1);
    w->outbox.flush = collect;
    w->outbox.user = w;
    w->outbox.buffer = malloc(OUTBOX_BYTES);
    assert_true(w->outbox.buffer != NULL);
    w->config = (struct txn_config){
        .worker = 3,
        .boot = 77,
        .transactions_max = transactions_max,
        .mem = &w->mem,
        .wheel = &w->wheel,
        .outbox = &w->outbox,
        .rng = &w->rng,
        .hash_seed = 99,
        .is_our_sent_by = is_our_sent_by,
        .is_our_sent_by_user = w,
        .handlers = {w, on_response, on_failure, on_server_end, on_client_end, on_caller_lost},
    };
    enum err err = txn_table_open(&w->config, &w->table);
    assert_true(err == OK);
    w->empty_bytes = w->mem.used_bytes;
    return w;
}

void world_close(struct world *w)
{
    txn_table_close(w->table);
    assert_true(w->wheel.count == 0);
    assert_true(w->mem.used_bytes == 0);
    mem_release(&w->mem);
    free(w->outbox.buffer);
    free(w);
}

void world_flush(struct world *w)
{
    collect(&w->outbox, w);
}

void world_run(struct world *w, uint64_t for_ms)
{
    uint64_t until_ms = w->now_ms + for_ms;

    world_flush(w);
    for (;;) {
        uint64_t next_ms = timer_wheel_next(&w->wheel);
        if (next_ms > until_ms)
            break;
        if (next_ms > w->now_ms)
            w->now_ms = next_ms;
        timer_wheel_run(&w->wheel, w->now_ms, 1000000);
        world_flush(w);
    }
    w->now_ms = until_ms;
    timer_wheel_run(&w->wheel, w->now_ms, 1000000);
    world_flush(w);
}

void world_forget(struct world *w)
{
    world_flush(w);
    w->sent_count = 0;
    w->told_count = 0;
}

struct flow world_udp(unsigned host, uint16_t port)
{
    return (struct flow){
        .transport = TRANSPORT_UDP,
        .listener = 2,
        .remote = {.family = ADDR_V4, .port = port, .bytes = {192, 0, 2, (uint8_t)host}},
        .local = {.family = ADDR_V4, .port = 5060, .bytes = {192, 0, 2, 1}},
    };
}

struct flow world_tcp(unsigned host, uint16_t port, uint32_t conn)
{
    struct flow flow = world_udp(host, port);

    flow.transport = TRANSPORT_TCP;
    if (conn != 0)
        flow.conn = (struct conn_id){.worker = 3, .id = {conn, 1}};
    return flow;
}

static const char *or_else(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

struct slice world_request_text(const struct request *r, char text[static WORLD_TEXT_MAX])
{
    const char *method = or_else(r->method, "INVITE");
    const char *branch = or_else(r->branch, "z9hG4bKone");
    int len = snprintf(
        text, WORLD_TEXT_MAX,
        "%s %s SIP/2.0\r\nVia: %s%s%s\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=%s"
        "\r\nTo: <sip:bob@example.com>%s%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n%sContent-Length: 0"
        "\r\n\r\n",
        method, or_else(r->uri, "sip:bob@example.com"),
        or_else(r->via, "SIP/2.0/UDP 192.0.2.10:5060"), *branch ? ";branch=" : "", branch,
        or_else(r->from_tag, "a"), r->to_tag != NULL ? ";tag=" : "", or_else(r->to_tag, ""),
        or_else(r->call_id, "call@example.com"), r->cseq != 0 ? r->cseq : 1, method,
        or_else(r->fields, ""));

    assert_true(len > 0 && len < WORLD_TEXT_MAX);
    return (struct slice){text, (size_t)len};
}

struct txn_received world_receive(struct world *w, const struct request *request,
                                  const struct flow *source)
{
    char text[WORLD_TEXT_MAX];
    struct slice bytes = world_request_text(request, text);
    struct sip_msg *msg = malloc(sizeof *msg);
    assert_true(msg != NULL);

    enum err err =
        sip_parse(bytes, source->transport == TRANSPORT_UDP ? SIP_DATAGRAM : SIP_STREAM, msg);
    assert_true(err == OK);
    assert_true(msg->is_request && msg->fault.status == 0);
    struct txn_received received = txn_receive_request(w->table, msg, source, w->now_ms);
    free(msg);
    world_flush(w);
    return received;
}

void world_reply(struct world *w, struct id server, uint16_t status)
{
    struct sip_reply reply = {.status = status};
    enum err err = txn_reply(w->table, server, &reply, w->now_ms);

    assert_true(err == OK);
    world_flush(w);
}

enum err world_forward(struct world *w, struct id server, const struct request *r, unsigned status,
                       const char *to_tag)
{
    char text[WORLD_TEXT_MAX];
    const char *branch = or_else(r->branch, "z9hG4bKone");
    int len =
        snprintf(text, sizeof text,
                 "SIP/2.0 %u Any\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours\r\n"
                 "Via: %s%s%s\r\nFrom: <sip:alice@example.com>;tag=%s\r\n"
                 "To: <sip:bob@example.com>;tag=%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
                 "Content-Length: 0\r\n\r\n",
                 status, or_else(r->via, "SIP/2.0/UDP 192.0.2.10:5060"), *branch ? ";branch=" : "",
                 branch, or_else(r->from_tag, "a"), to_tag, or_else(r->call_id, "call@example.com"),
                 r->cseq != 0 ? r->cseq : 1, or_else(r->method, "INVITE"));
    struct sip_msg *msg = malloc(sizeof *msg);
    struct sip_edits *edits = malloc(sizeof *edits);
    assert_true(msg != NULL && edits != NULL);

    enum err err = sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, msg);
    assert_true(err == OK);
    sip_edits_init(edits, msg);
    sip_edit_drop_first_value(edits, SIP_F_VIA);
    err = txn_forward_response(w->table, server, edits, w->now_ms);
    free(edits);
    free(msg);
    world_flush(w);
    return err;
}

struct slice world_branch(const struct world *w)
{
    return (struct slice){w->branch, TXN_BRANCH_LEN};
}

struct id world_send(struct world *w, const struct request *request, const struct flow *to,
                     uint64_t context)
{
    struct request ours = *request;
    char text[WORLD_TEXT_MAX];
    struct id id;
    enum sip_method method = sip_method_parse(slice_of(or_else(request->method, "INVITE")));
    enum err err = txn_client_open(w->table, method, 0x1234, context, &id, w->branch);

    assert_true(err == OK);
    ours.branch = w->branch;
    ours.via = to->transport == TRANSPORT_UDP ? "SIP/2.0/UDP 192.0.2.1" : "SIP/2.0/TCP 192.0.2.1";
    err = txn_client_send(w->table, id, world_request_text(&ours, text), to, w->now_ms);
    assert_true(err == OK);
    world_flush(w);
    return id;
}

bool world_answer_branch(struct world *w, struct slice branch, const char *method, unsigned status,
                         const struct flow *source)
{
    char text[WORLD_TEXT_MAX];
    int len = snprintf(text, sizeof text,
                       "SIP/2.0 %u Any\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=%.*s\r\n"
                       "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKone\r\n"
                       "From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=t%u"
                       "\r\nCall-ID: call@example.com\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
                       status, SLICE_ARG(branch), status, method);
    struct sip_msg *msg = malloc(sizeof *msg);
    assert_true(msg != NULL);

    enum err err = sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, msg);
    assert_true(err == OK);
    bool found = txn_receive_response(w->table, msg, source, w->now_ms);
    free(msg);
    world_flush(w);
    return found;
}

bool world_answer(struct world *w, uint32_t index, unsigned status, const struct flow *source)
{
    struct sip_msg *msg = malloc(sizeof *msg);
    char branch[TXN_BRANCH_LEN];
    char method[32];

    assert_true(msg != NULL && index < w->sent_count && index < WORLD_SENT_MAX);
    const struct sent *sent = &w->sent[index];
    enum err err = sip_parse((struct slice){sent->text, sent->len}, SIP_DATAGRAM, msg);
    assert_true(err == OK && msg->is_request && msg->via.branch.len == TXN_BRANCH_LEN);
    memcpy(branch, msg->via.branch.data, TXN_BRANCH_LEN);
    snprintf(method, sizeof method, "%.*s", SLICE_ARG(msg->cseq.method_name));
    free(msg);
    return world_answer_branch(w, (struct slice){branch, TXN_BRANCH_LEN}, method, status, source);
}

bool world_sent_has(const struct world *w, uint32_t index, const char *part)
{
    return index < w->sent_count && index < WORLD_SENT_MAX &&
           strstr(w->sent[index].text, part) != NULL;
}

uint32_t world_told(const struct world *w, enum told_kind kind)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < w->told_count && i < WORLD_TOLD_MAX; i++)
        count += w->told[i].kind == kind;
    return count;
}
