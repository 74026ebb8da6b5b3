/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server transactions: carries out what the machines IST and NIST decide.
 */
#include "txn/hex.h"
#include "txn/ist.h"
#include "txn/nist.h"
#include "txn/table.h"
#include "txn/timers.h"

static struct server *server_get(const struct txn_table *table, struct id id)
{
    return pool_get(&table->servers, id);
}

static bool is_reliable(const struct server *server)
{
    return transport_reliable(server->source.transport);
}

static bool is_answered(const struct server *server)
{
    return server_is_invite(server) ? server->state > IST_PROCEEDING
                                    : server->state > NIST_PROCEEDING;
}

static bool is_terminated(const struct server *server)
{
    if (server_is_invite(server))
        return server->state == IST_TERMINATED;
    return server->state == NIST_TERMINATED;
}

static void arm(struct server *server)
{
    arm_for(server->table, &server->timer, server->resend_ms, server->end_ms);
}

/* It waits for nothing of ours any more. */
static void set_answered(struct server *server)
{
    if (server->pending)
        server->table->pending--;
    server->pending = false;
    unwatch_server(server);
}

void server_free(struct server *server)
{
    struct txn_table *table = server->table;

    set_answered(server);
    timer_stop(table->config.wheel, &server->timer);
    map_remove(&table->by_key, &server->by_key);
    if (server->in_by_call)
        map_remove(&table->by_call, &server->by_call);
    bytes_free(table, &server->request, &server->request_len);
    bytes_free(table, &server->response, &server->response_len);
    pool_free(&table->servers, server->id);
}

/* Gone before the user hears of it, so that whatever the user does then finds nothing. */
static void server_end(struct server *server, uint64_t now_ms)
{
    const struct txn_user *user = &server->table->config.handlers;
    struct id id = server->id;
    uint64_t context = server->context;

    server_free(server);
    user->on_server_end(user->user, id, context, now_ms);
}

/* ---- actions ---- */

/* Sends a 100 for the request; the transaction's copy is parsed when it is not at hand. */
static void send_trying(struct server *server, const struct sip_msg *request)
{
    struct txn_table *table = server->table;
    struct flow to = server_response_flow(server);
    struct sip_reply reply = {.status = 100};
    struct sip_msg copy;
    struct slice sent;

    if (request == NULL) {
        if (txn_server_parse(table, server->id, &copy) != OK)
            return; /* it was parsed before: a limit cannot be passed now */
        request = &copy;
    }
    if (respond(table, request, &server->source, &to, &reply, &sent) == OK)
        server->trying = true;
}

void server_resend(struct server *server, const struct sip_msg *request)
{
    struct txn_table *table = server->table;

    if (server->response != NULL) {
        struct flow to = server_response_flow(server);
        struct slice bytes = {server->response, server->response_len};
        outbox_send(table->config.outbox, bytes, &to);
        table->counters.responses_resent++;
    } else if (server->trying) {
        send_trying(server, request);
        table->counters.responses_resent++;
    }
}

/* Without memory the response was still sent; only its repetition is lost. */
static void keep(struct server *server, struct slice sent)
{
    struct txn_table *table = server->table;

    bytes_free(table, &server->response, &server->response_len);
    server->response = bytes_keep(table, sent);
    if (server->response == NULL) {
        table->counters.not_kept++;
        return;
    }
    server->response_len = (uint16_t)sent.len;
    server->trying = false;
}

/* Timer G doubles up to T2 (§17.2.1); not on reliable transports. */
static void start_g(struct server *server, uint64_t now_ms)
{
    if (is_reliable(server))
        return;
    server->gap_ms = server->gap_ms == 0 ? TIMER_G_MS : (uint16_t)(server->gap_ms * 2);
    if (server->gap_ms > T2_MS)
        server->gap_ms = T2_MS;
    server->resend_ms = now_ms + server->gap_ms;
}

static void start_timers(struct server *server, uint16_t actions, uint64_t now_ms)
{
    bool reliable = is_reliable(server);

    if (actions & SERVER_START_G)
        start_g(server, now_ms);
    if (actions & SERVER_START_H)
        server->end_ms = now_ms + TIMER_H_MS;
    if (actions & SERVER_START_I) {
        server->resend_ms = NEVER;
        server->end_ms = linger_end(now_ms, reliable ? 0 : TIMER_I_MS);
    }
    if (actions & SERVER_START_J)
        server->end_ms = linger_end(now_ms, reliable ? 0 : TIMER_J_MS);
    if (actions & SERVER_START_L)
        server->end_ms = linger_end(now_ms, TIMER_L_MS);
}

/* Carries out a step. `sent` is the response that just went out, `request` the one that came. */
static void apply(struct server *server, struct txn_step step, struct slice sent,
                  const struct sip_msg *request, uint64_t now_ms)
{
    enum {
        TIMERS = SERVER_START_G | SERVER_START_H | SERVER_START_I | SERVER_START_J | SERVER_START_L
    };
    struct txn_table *table = server->table;

    server->state = step.next;
    if (step.actions & SERVER_KEEP)
        keep(server, sent);
    if (step.actions & SERVER_TRYING)
        send_trying(server, request);
    if (step.actions & SERVER_RESEND)
        server_resend(server, request);
    if (step.actions & SERVER_FORGET)
        bytes_free(table, &server->response, &server->response_len);
    if (step.actions & SERVER_ANSWERED) {
        set_answered(server);
        server->trying = false;
        bytes_free(table, &server->request, &server->request_len);
    }
    if (step.actions & TIMERS) {
        start_timers(server, step.actions, now_ms);
        arm(server);
    }
}

/* ---- time ---- */

static enum ist_event ist_end_event(const struct server *server)
{
    if (server->state == IST_COMPLETED)
        return IST_TIMER_H;
    return server->state == IST_CONFIRMED ? IST_TIMER_I : IST_TIMER_L;
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct server *server = CONTAINER_OF(timer, struct server, timer);
    bool ends = now_ms >= server->end_ms;
    struct txn_step step;

    if (ends)
        server->end_ms = NEVER;
    else
        server->resend_ms = NEVER;
    if (server_is_invite(server))
        step = ist_next(server->state, ends ? ist_end_event(server) : IST_TIMER_G);
    else
        step = nist_next(server->state,
                         server->state == NIST_COMPLETED ? NIST_TIMER_J : NIST_TIMER_TRYING);
    apply(server, step, SLICE_EMPTY, NULL, now_ms);
    if (is_terminated(server))
        server_end(server, now_ms);
}

/* ---- requests ---- */

static struct txn_step request_step(const struct server *server, bool is_ack)
{
    if (server_is_invite(server))
        return ist_next(server->state, is_ack ? IST_RX_ACK : IST_RX_INVITE);
    return nist_next(server->state, NIST_RX_REQUEST);
}

/* A request that matched: a retransmission, or an ACK. */
static struct txn_received again(struct server *server, const struct sip_msg *request,
                                 uint64_t now_ms)
{
    bool is_ack = request->method == SIP_ACK;
    struct txn_step step = request_step(server, is_ack);
    struct txn_counters *counters = &server->table->counters;

    if (step.actions & SERVER_PASS_ACK)
        return (struct txn_received){.verdict = TXN_ACK};
    apply(server, step, SLICE_EMPTY, request, now_ms);
    if (is_ack)
        counters->acks_absorbed++;
    else
        counters->request_retransmissions_absorbed++;
    return (struct txn_received){.verdict = TXN_ABSORBED};
}

/* Is there an ongoing transaction with the same From tag, Call-ID and CSeq (§8.2.2.2)? */
static bool is_merged(const struct txn_table *table, uint64_t call_hash)
{
    return map_first(&table->by_call, call_hash) != NULL;
}

static struct server *make(struct txn_table *table, const struct sip_msg *request,
                           const struct flow *source)
{
    struct id id;
    if (txn_count(table) >= table->config.transactions_max)
        return NULL;
    struct server *server = pool_alloc(&table->servers, &id);
    if (server == NULL)
        return NULL;
    server->request = bytes_keep(table, request->buf);
    if (server->request == NULL) {
        pool_free(&table->servers, id);
        return NULL;
    }
    server->request_len = (uint16_t)request->buf.len;
    server->table = table;
    server->id = id;
    server->timer.fn = on_timer;
    server->resend_ms = NEVER;
    server->end_ms = NEVER;
    server->method = request->method;
    server->source = *source;
    server->reply_to = txn_response_flow(&request->via, source).remote;

    uint64_t tag = rng_u64(table->config.rng);
    hex8_write(hex8_write(server->to_tag, (uint32_t)(tag >> 32)), (uint32_t)tag);
    return server;
}

static void enter(struct server *server, const struct server_key *key, uint64_t now_ms)
{
    struct txn_table *table = server->table;

    server->key_b = key->b;
    server->method_hash = key->method_hash;
    server->rfc2543 = key->rfc2543;
    server->request_tag = key->to_tag;
    map_add(&table->by_key, &server->by_key, key->a);
    table->counters.server_started++;
    table->pending++;
    server->pending = true;

    if (server_is_invite(server)) {
        server->state = IST_PROCEEDING;
        watch_server(server);
        return;
    }
    server->state = NIST_TRYING;
    server->end_ms = now_ms + TIMER_TRYING_MS;
    arm(server);
}

/* §9.2: the answers to a CANCEL and to its INVITE have the same To tag. */
static struct txn_received make_cancel(struct server *server, const struct server *cancelled)
{
    struct txn_received received = {.verdict = TXN_CANCEL, .id = server->id};

    if (cancelled != NULL) {
        memcpy(server->to_tag, cancelled->to_tag, TXN_TO_TAG_LEN);
        received.cancel_matched = true;
        if (server_is_invite(cancelled))
            received.cancelled = cancelled->id;
    }
    return received;
}

struct txn_received txn_receive_request(struct txn_table *table, const struct sip_msg *request,
                                        const struct flow *source, uint64_t now_ms)
{
    assert(request->is_request);
    assert(request->fault.status == 0);

    struct server_key key = server_key(table, request);
    struct server *server = server_match(table, &key, request);
    if (server != NULL)
        return again(server, request, now_ms);
    if (request->method == SIP_ACK)
        return (struct txn_received){.verdict = TXN_ACK};

    server = make(table, request, source);
    if (server == NULL) {
        table->counters.full++;
        return (struct txn_received){.verdict = TXN_REFUSED};
    }
    const struct server *cancelled =
        request->method == SIP_CANCEL ? server_match_cancelled(table, &key) : NULL;
    enter(server, &key, now_ms);
    if (request->method == SIP_CANCEL)
        return make_cancel(server, cancelled);

    struct txn_received received = {.verdict = TXN_NEW, .id = server->id};
    if (request->to.tag.len == 0) {
        uint64_t hash = server_call_hash(table, request);
        if (is_merged(table, hash))
            received.verdict = TXN_MERGED;
        map_add(&table->by_call, &server->by_call, hash);
        server->in_by_call = true;
    }
    return received;
}

/* ---- responses ---- */

static struct txn_step response_step(const struct server *server, unsigned status)
{
    assert(status >= 100 && status <= 699);

    if (server_is_invite(server)) {
        enum ist_event event = status < 200   ? IST_TX_1XX
                               : status < 300 ? IST_TX_2XX
                                              : IST_TX_FAILURE;
        return ist_next(server->state, event);
    }
    enum nist_event event = status < 200    ? NIST_TX_1XX
                            : status == 408 ? NIST_TX_408
                                            : NIST_TX_FINAL;
    return nist_next(server->state, event);
}

/* A final response to be kept until a timer of zero would be copied for nothing. */
static struct txn_step without_needless_copy(const struct server *server, struct txn_step step)
{
    if (step.actions & SERVER_START_J && is_reliable(server))
        step.actions &= (uint16_t)~SERVER_KEEP;
    return step;
}

static enum err reply(struct server *server, const struct sip_msg *request,
                      const struct sip_reply *reply, uint64_t now_ms)
{
    struct txn_table *table = server->table;
    struct txn_step step = without_needless_copy(server, response_step(server, reply->status));
    struct sip_reply full = *reply;
    struct slice sent = SLICE_EMPTY;

    if (step.actions & SERVER_SEND) {
        struct flow to = server_response_flow(server);
        full.to_tag = SLICE_EMPTY;
        if (reply->status != 100) /* §17.2.1: no tag in a 100 */
            full.to_tag = (struct slice){server->to_tag, TXN_TO_TAG_LEN};
        enum err err = respond(table, request, &server->source, &to, &full, &sent);
        if (err)
            return err;
    }
    if (reply->status == 100 && step.actions & SERVER_SEND) {
        step.actions &= (uint16_t)~SERVER_KEEP; /* easily made again */
        server->trying = true;
    }
    if (server->rfc2543 && reply->status >= 300)
        server->answer_tag = tag_hash(table, full.to_tag);
    apply(server, step, sent, request, now_ms);
    return OK;
}

enum err txn_reply_parsed(struct txn_table *table, struct id id, const struct sip_msg *request,
                          const struct sip_reply *response, uint64_t now_ms)
{
    struct server *server = server_get(table, id);

    if (server == NULL)
        return ERR_NOT_FOUND;
    if (is_answered(server))
        return OK;
    return reply(server, request, response, now_ms);
}

enum err txn_reply(struct txn_table *table, struct id id, const struct sip_reply *response,
                   uint64_t now_ms)
{
    struct server *server = server_get(table, id);
    struct sip_msg request;

    if (server == NULL)
        return ERR_NOT_FOUND;
    if (is_answered(server))
        return OK;
    enum err err = txn_server_parse(table, id, &request);
    if (err)
        return err;
    return reply(server, &request, response, now_ms);
}

enum err txn_forward_response(struct txn_table *table, struct id id, const struct sip_edits *edits,
                              uint64_t now_ms)
{
    struct server *server = server_get(table, id);
    if (server == NULL)
        return ERR_NOT_FOUND;

    unsigned status = edits->msg->status;
    struct txn_step step = without_needless_copy(server, response_step(server, status));
    struct slice sent = SLICE_EMPTY;
    if (step.actions & SERVER_SEND) {
        size_t size = sip_edits_size(edits);
        if (size > SIP_MESSAGE_MAX)
            return ERR_TOO_BIG;
        struct builder b = outbox_open(table->config.outbox, (uint32_t)size);
        enum err err = sip_edits_write(edits, &b);
        if (err)
            return err;
        struct flow to = server_response_flow(server);
        outbox_commit(table->config.outbox, &b, &to);
        sent = builder_slice(&b);
    }
    if (server->rfc2543 && status >= 300)
        server->answer_tag = tag_hash(table, edits->msg->to.tag);
    apply(server, step, sent, NULL, now_ms);
    return OK;
}

void txn_server_drop(struct txn_table *table, struct id id, uint64_t now_ms)
{
    struct server *server = server_get(table, id);

    if (server != NULL)
        server_end(server, now_ms);
}

/* ---- asking ---- */

void txn_server_context(struct txn_table *table, struct id id, uint64_t context)
{
    struct server *server = server_get(table, id);
    if (server != NULL)
        server->context = context;
}

uint64_t txn_server_context_get(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);
    return server != NULL ? server->context : 0;
}

struct slice txn_server_request(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);
    return server != NULL ? (struct slice){server->request, server->request_len} : SLICE_EMPTY;
}

enum sip_framing txn_server_framing(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);

    return server != NULL ? sip_framing_of(server->source.transport) : SIP_DATAGRAM;
}

enum err txn_server_parse(const struct txn_table *table, struct id id, struct sip_msg *out)
{
    struct slice bytes = txn_server_request(table, id);
    return bytes.len > 0 ? sip_parse(bytes, txn_server_framing(table, id), out) : ERR_NOT_FOUND;
}

const struct flow *txn_server_flow(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);
    return server != NULL ? &server->source : NULL;
}

struct slice txn_server_to_tag(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);
    return server != NULL ? (struct slice){server->to_tag, TXN_TO_TAG_LEN} : SLICE_EMPTY;
}

bool txn_server_answered(const struct txn_table *table, struct id id)
{
    const struct server *server = server_get(table, id);
    return server == NULL || is_answered(server);
}
