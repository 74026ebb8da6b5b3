/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client transactions: carries out what the machines ICT and NICT decide.
 */
#include "txn/ict.h"
#include "txn/nict.h"
#include "txn/table.h"
#include "txn/timers.h"

enum {
    ACK_SLACK = 128
}; /* what an ACK has and the INVITE had not, but for the To */

static bool is_invite(const struct client *client)
{
    return client->method == SIP_INVITE;
}

static bool is_reliable(const struct client *client)
{
    return transport_reliable(client->to.transport);
}

static bool is_terminated(const struct client *client)
{
    if (is_invite(client))
        return client->state == ICT_TERMINATED;
    return client->state == NICT_TERMINATED;
}

struct client *client_get(const struct txn_table *table, struct id id)
{
    struct client *client = pool_get(&table->clients, id);
    return client != NULL && !is_terminated(client) ? client : NULL;
}

void client_arm(struct client *client)
{
    if (client->undelivered || client->conn_lost)
        return; /* armed for now already */
    arm_for(client->table, &client->timer, client->resend_ms, client->end_ms);
}

/* It waits for nobody any more. */
static void set_answered(struct client *client)
{
    if (client->pending)
        client->table->pending--;
    client->pending = false;
}

void client_free(struct client *client)
{
    struct txn_table *table = client->table;

    set_answered(client);
    timer_stop(table->config.wheel, &client->timer);
    watch_remove(client);
    bytes_free(table, &client->bytes, &client->bytes_len);
    bytes_free(table, &client->cancel, &client->cancel_len);
    pool_free(&table->clients, client->id);
}

static void client_end(struct client *client, uint64_t now_ms)
{
    const struct txn_user *user = &client->table->config.handlers;
    struct id id = client->id;
    uint64_t context = client->context;

    client_free(client);
    user->on_client_end(user->user, id, context, now_ms);
}

bool client_parse(const struct client *client, struct sip_msg *out)
{
    struct slice bytes = {client->bytes, client->bytes_len};
    return sip_parse(bytes, SIP_DATAGRAM, out) == OK;
}

uint16_t gap_next(uint16_t gap_ms, uint16_t most_ms)
{
    if (gap_ms == 0)
        return T1_MS;
    return gap_ms < most_ms / 2 ? (uint16_t)(gap_ms * 2) : most_ms;
}

/* ---- actions ---- */

static void send_bytes(struct client *client)
{
    struct slice bytes = {client->bytes, client->bytes_len};

    assert(bytes.data != NULL);
    outbox_send(client->table->config.outbox, bytes, &client->to);
}

/*
 * Timer A doubles without a cap, though Timer B ends that after 32 s; Timer E doubles up to T2, and
 * is T2 once a provisional response came (§17.1.1.2, §17.1.2.2).
 */
static void resend(struct client *client, uint64_t now_ms)
{
    send_bytes(client);
    client->table->counters.requests_resent++;
    if (is_invite(client))
        client->gap_ms = gap_next(client->gap_ms, TIMER_B_MS);
    else
        client->gap_ms =
            client->state == NICT_PROCEEDING ? (uint16_t)T2_MS : gap_next(client->gap_ms, T2_MS);
    client->resend_ms = now_ms + client->gap_ms;
}

/* Sends the ACK of a failure; it takes the place of the INVITE, to be resent (§17.1.1.3). */
static void send_ack(struct client *client, const struct sip_msg *response)
{
    struct txn_table *table = client->table;
    struct slice ack = SLICE_EMPTY;
    struct sip_msg invite;

    if (client_parse(client, &invite)) {
        size_t room = invite.head_end + response->to.value.len + ACK_SLACK;
        if (room > SIP_MESSAGE_MAX)
            room = SIP_MESSAGE_MAX;
        struct builder b = outbox_open(table->config.outbox, (uint32_t)room);
        if (sip_ack_write(&invite, response->to.value, &b) == OK) {
            outbox_commit(table->config.outbox, &b, &client->to);
            ack = builder_slice(&b);
        }
    }
    bytes_free(table, &client->bytes, &client->bytes_len);
    if (ack.len == 0 || is_reliable(client))
        return;
    client->bytes = bytes_keep(table, ack);
    if (client->bytes != NULL)
        client->bytes_len = (uint16_t)ack.len;
    else
        table->counters.not_kept++;
}

/* A final response: nothing is waited for but its retransmissions. */
static void settle(struct client *client, uint16_t actions, uint64_t now_ms)
{
    bool reliable = is_reliable(client);

    set_answered(client);
    client->undelivered = false;
    client->conn_lost = false;
    client->resend_ms = NEVER;
    watch_remove(client);
    cancel_stop(client);
    if (!(actions & CLIENT_ACK))
        bytes_free(client->table, &client->bytes, &client->bytes_len);
    if (actions & CLIENT_START_D)
        client->end_ms = linger_end(now_ms, reliable ? 0 : TIMER_D_MS);
    if (actions & CLIENT_START_K)
        client->end_ms = linger_end(now_ms, reliable ? 0 : TIMER_K_MS);
    if (actions & CLIENT_START_M)
        client->end_ms = linger_end(now_ms, TIMER_M_MS);
}

static void tell(struct client *client, uint16_t actions, uint64_t now_ms)
{
    struct txn_table *table = client->table;
    const struct txn_user *user = &table->config.handlers;

    if (actions & CLIENT_TELL_TIMEOUT) {
        table->counters.timeouts++;
        user->on_failure(user->user, client->id, client->context, TXN_TIMEOUT, now_ms);
    } else if (actions & CLIENT_TELL_ERROR) {
        table->counters.transport_errors++;
        user->on_failure(user->user, client->id, client->context,
                         client->closed ? TXN_CLOSED : TXN_TRANSPORT_ERROR, now_ms);
    }
}

/* Carries out a step. The client may be gone afterwards. */
static void apply(struct client *client, struct txn_step step, const struct sip_msg *response,
                  uint64_t now_ms)
{
    enum {
        FINAL = CLIENT_START_D | CLIENT_START_K | CLIENT_START_M
    };

    client->state = step.next;
    if (step.actions & CLIENT_RESEND)
        resend(client, now_ms);
    if (step.actions & CLIENT_STOP) {
        client->resend_ms = NEVER;
        client->end_ms = NEVER;
    }
    if (step.actions & CLIENT_SEND_CANCEL)
        cancel_start(client, now_ms);
    if (step.actions & CLIENT_ACK)
        send_ack(client, response);
    if (step.actions & CLIENT_RESEND_ACK && client->bytes != NULL)
        send_bytes(client);
    if (step.actions & FINAL)
        settle(client, step.actions, now_ms);
    client_arm(client);

    if (step.actions & CLIENT_PASS_UP) {
        const struct txn_user *user = &client->table->config.handlers;
        user->on_response(user->user, client->id, client->context, response, now_ms);
        return;
    }
    if (is_terminated(client)) {
        tell(client, step.actions, now_ms);
        client_end(client, now_ms);
    }
}

/* ---- time ---- */

static struct txn_step ict_due(struct client *client, bool ends)
{
    if (!ends)
        return ict_next(client->state, ICT_TIMER_A);
    if (client->state == ICT_CALLING)
        return ict_next(client->state, ICT_TIMER_B);
    if (client->state == ICT_PROCEEDING)
        return ict_next(client->state, ICT_TIMER_CANCEL);
    return ict_next(client->state, client->state == ICT_COMPLETED ? ICT_TIMER_D : ICT_TIMER_M);
}

static struct txn_step nict_due(const struct client *client, bool ends)
{
    if (!ends)
        return nict_next(client->state, NICT_TIMER_E);
    return nict_next(client->state, client->state == NICT_COMPLETED ? NICT_TIMER_K : NICT_TIMER_F);
}

/* A transport error that was put off to here. */
static struct txn_step broken(struct client *client)
{
    enum ict_event event = client->conn_lost ? ICT_CONN_LOST : ICT_TRANSPORT_ERROR;

    client->conn_lost = false;
    client->undelivered = false;
    if (is_invite(client))
        return ict_next(client->state, event);
    return nict_next(client->state, NICT_TRANSPORT_ERROR);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct client *client = CONTAINER_OF(timer, struct client, timer);
    bool ends = now_ms >= client->end_ms;

    if (client->undelivered || client->conn_lost) {
        apply(client, broken(client), NULL, now_ms);
        return;
    }
    if (is_invite(client) && client->state == ICT_PROCEEDING && !ends) {
        cancel_resend(client, now_ms);
        return;
    }
    apply(client, is_invite(client) ? ict_due(client, ends) : nict_due(client, ends), NULL, now_ms);
}

/* ---- sending ---- */

static void write_branch(const struct client *client, char branch[static TXN_BRANCH_LEN])
{
    const struct txn_branch parts = {
        .boot = client->table->config.boot,
        .worker = client->table->config.worker,
        .id = client->id,
        .loop = client->loop,
        .key = client->key,
    };
    txn_branch_write(&parts, branch);
}

enum err txn_client_open(struct txn_table *table, enum sip_method method, uint32_t loop,
                         uint64_t context, struct id *out, char branch[static TXN_BRANCH_LEN])
{
    struct id id;

    if (txn_count(table) >= table->config.transactions_max) {
        table->counters.full++;
        return ERR_FULL;
    }
    struct client *client = pool_alloc(&table->clients, &id);
    if (client == NULL)
        return ERR_MEMORY;
    client->table = table;
    client->id = id;
    client->timer.fn = on_timer;
    client->resend_ms = NEVER;
    client->end_ms = NEVER;
    client->context = context;
    client->method = (uint8_t)method;
    client->loop = loop;
    client->key = rng_u64(table->config.rng);

    write_branch(client, branch);
    *out = id;
    return OK;
}

bool txn_client_branch(const struct txn_table *table, struct id id,
                       char branch[static TXN_BRANCH_LEN])
{
    const struct client *client = client_get(table, id);

    if (client == NULL)
        return false;
    write_branch(client, branch);
    return true;
}

enum err txn_client_send(struct txn_table *table, struct id id, struct slice request,
                         const struct flow *to, uint64_t now_ms)
{
    struct client *client = client_get(table, id);

    if (client == NULL)
        return ERR_NOT_FOUND;
    assert(client->state == ICT_NONE);
    assert(request.len > 0);
    if (request.len > SIP_MESSAGE_MAX)
        return ERR_TOO_BIG;
    client->bytes = bytes_keep(table, request);
    if (client->bytes == NULL)
        return ERR_MEMORY;
    client->bytes_len = (uint16_t)request.len;
    if (flow_has_conn(to) && watch_add(client, to->conn) != OK) {
        bytes_free(table, &client->bytes, &client->bytes_len);
        return ERR_MEMORY;
    }

    client->to = *to;
    if (is_invite(client)) {
        client->state = ICT_CALLING;
        client->end_ms = now_ms + TIMER_B_MS;
    } else {
        client->state = NICT_TRYING;
        client->end_ms = now_ms + TIMER_F_MS;
    }
    if (!is_reliable(client)) {
        client->gap_ms = gap_next(0, T2_MS);
        client->resend_ms = now_ms + client->gap_ms;
    }
    client_arm(client);
    send_bytes(client);
    table->counters.client_started++;
    table->pending++;
    client->pending = true;
    return OK;
}

void txn_client_discard(struct txn_table *table, struct id id)
{
    struct client *client = client_get(table, id);

    if (client == NULL)
        return;
    assert(client->state == ICT_NONE);
    client_free(client);
}

void txn_client_fail(struct txn_table *table, struct id id, enum txn_failure failure,
                     uint64_t now_ms)
{
    struct client *client = client_get(table, id);
    bool timeout = failure == TXN_TIMEOUT;

    if (client == NULL || client->state == ICT_NONE)
        return;
    client->closed = failure == TXN_CLOSED;
    if (!is_invite(client)) {
        enum nict_event event = timeout ? NICT_TIMER_F : NICT_TRANSPORT_ERROR;
        apply(client, nict_next(client->state, event), NULL, now_ms);
        return;
    }
    enum ict_event event = ICT_CONN_LOST;
    if (timeout)
        event = client->state == ICT_CALLING ? ICT_TIMER_B : ICT_TIMER_CANCEL;
    apply(client, ict_next(client->state, event), NULL, now_ms);
}

/* ---- responses ---- */

/* Methods without number are told apart by the request's first word. */
static bool same_method(const struct client *client, const struct sip_cseq *cseq)
{
    struct slice bytes = {client->bytes, client->bytes_len};

    if (cseq->method != client->method)
        return false;
    if (cseq->method != SIP_METHOD_OTHER || bytes.data == NULL)
        return true;
    return bytes.len > cseq->method_name.len && slice_starts_with(bytes, cseq->method_name) &&
           bytes.data[cseq->method_name.len] == ' ';
}

/* All of the branch is compared, so that what is guessed or stale finds nothing. */
static struct client *match(const struct txn_table *table, const struct sip_via *via)
{
    struct txn_branch branch;

    if (!txn_branch_parse(via->branch, &branch))
        return NULL;
    if (branch.boot != table->config.boot || branch.worker != table->config.worker)
        return NULL;
    struct client *client = client_get(table, branch.id);
    if (client == NULL || client->state == ICT_NONE)
        return NULL;
    if (client->key != branch.key || client->loop != branch.loop)
        return NULL;
    if (!table->config.is_our_sent_by(table->config.is_our_sent_by_user, via))
        return NULL;
    return client;
}

bool txn_has_sent(const struct txn_table *table, const struct sip_via *via)
{
    return match(table, via) != NULL;
}

static void receive(struct client *client, const struct sip_msg *response, uint64_t now_ms)
{
    unsigned status = response->status;
    struct txn_step step;

    if (is_invite(client))
        step = ict_next(client->state, status < 200   ? ICT_RX_1XX
                                       : status < 300 ? ICT_RX_2XX
                                                      : ICT_RX_FAILURE);
    else
        step = nict_next(client->state, status < 200 ? NICT_RX_1XX : NICT_RX_FINAL);
    apply(client, step, response, now_ms);
}

enum txn_response txn_receive_response(struct txn_table *table, const struct sip_msg *response,
                                       const struct flow *source, uint64_t now_ms)
{
    struct client *client = match(table, &response->via);
    bool from_target = client != NULL && addr_same_host(&client->to.remote, &source->remote);
    bool found = false;

    if (client != NULL && is_invite(client) && response->cseq.method == SIP_CANCEL) {
        found = cancel_response(client, response->status);
    } else if (client != NULL && same_method(client, &response->cseq)) {
        found = true;
        /* It went by a connection that was opened for it: this one. Unwatched is no error. */
        if (client->watch == NULL && response->status < 200 && flow_has_conn(source) &&
            watch_add(client, source->conn) != OK)
            table->counters.not_kept++;
        receive(client, response, now_ms);
    }
    if (!found) {
        table->counters.responses_unmatched++;
        return TXN_STRAY;
    }
    return from_target ? TXN_FROM_TARGET : TXN_FROM_ELSEWHERE;
}

/* ---- asking ---- */

struct slice txn_client_request(const struct txn_table *table, struct id id)
{
    const struct client *client = client_get(table, id);

    if (client == NULL || (is_invite(client) && client->state == ICT_COMPLETED))
        return SLICE_EMPTY; /* then it is the ACK that is kept */
    return (struct slice){client->bytes, client->bytes_len};
}

uint64_t txn_client_context_get(const struct txn_table *table, struct id id)
{
    const struct client *client = client_get(table, id);
    return client != NULL ? client->context : 0;
}

void txn_client_context(struct txn_table *table, struct id id, uint64_t context)
{
    struct client *client = client_get(table, id);
    if (client != NULL)
        client->context = context;
}
