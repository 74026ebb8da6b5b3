/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/core - a worker's core: opened, fed, and asked.
 */
#include "core/core.h"

#include <stdlib.h>

#include "core/internal.h"
#include "stun/stun.h"

uint64_t core_aor_hash(const struct core_config *config, struct slice aor)
{
    return hash_bytes(config->hash_seed, aor);
}

/* ---- handlers of transactions: all with a context are the proxy's ---- */

static void on_response(void *user, struct id client, uint64_t context,
                        const struct sip_msg *response, uint64_t now_ms)
{
    struct core *core = user;
    if (context == SPEAK_NUMBER)
        speak_answered(core, response);
    else if (ping_is_number(context))
        ping_answered(core, context, client, response->status);
    else
        proxy_on_response(core->proxy, client, context, response, core->response_trusted, now_ms);
}

static void on_failure(void *user, struct id client, uint64_t context, enum txn_failure failure,
                       uint64_t now_ms)
{
    struct core *core = user;
    if (context == SPEAK_NUMBER)
        speak_failed(core);
    else if (ping_is_number(context))
        ping_failed(core, context, client);
    else
        proxy_on_failure(core->proxy, client, context, failure, now_ms);
}

static void on_server_end(void *user, struct id server, uint64_t context, uint64_t now_ms)
{
    struct core *core = user;
    if (context != 0)
        proxy_on_server_end(core->proxy, server, context, now_ms);
}

static void on_client_end(void *user, struct id client, uint64_t context, uint64_t now_ms)
{
    struct core *core = user;
    if (context == SPEAK_NUMBER)
        return;
    if (ping_is_number(context))
        ping_failed(core, context, client);
    else
        proxy_on_client_end(core->proxy, client, context, now_ms);
}

/* ---- open and close ---- */

/** An INVITE that its caller does not want any more. `reason`: lines for those who ring. */
static void give_up(struct core *core, struct id server, struct slice reason)
{
    struct sip_reply terminated = {.status = 487};

    if (txn_server_context_get(core->txns, server) != 0)
        proxy_cancel_with(core->proxy, server, reason, core->now_ms);
    else if (txn_reply(core->txns, server, &terminated, core->now_ms) != OK)
        txn_server_drop(core->txns, server, core->now_ms); /* it waited for something of ours */
}

/** A page was closed or loaded anew while its call rang. To the callee it is a call missed. */
static void on_caller_lost(void *user, struct id server, uint64_t now_ms)
{
    struct core *core = user;

    (void)now_ms;
    if (txn_server_answered(core->txns, server))
        return;
    core->counters.callers_lost++;
    if (core->calls == NULL || !attempt_caller_lost(core, server))
        give_up(core, server, SLICE("Reason: SIP;cause=503;text=\"Caller's connection lost\"\r\n"));
}

static enum err open_txns(struct core *core)
{
    struct txn_config config = {
        .worker = core->config.worker,
        .boot = core->config.boot,
        .transactions_max = core->config.transactions_max,
        .mem = &core->mem,
        .wheel = &core->wheel,
        .outbox = core->config.outbox,
        .rng = &core->rng,
        .hash_seed = core->config.hash_seed,
        .is_our_sent_by = is_our_sent_by,
        .is_our_sent_by_user = core,
        .oc = overload_oc,
        .oc_user = core,
        .handlers = {.user = core,
                     .on_response = on_response,
                     .on_failure = on_failure,
                     .on_server_end = on_server_end,
                     .on_caller_lost = on_caller_lost,
                     .on_client_end = on_client_end},
    };
    return txn_table_open(&config, &core->txns);
}

static bool may_know(void *user, const struct addr *remote)
{
    return core_is_trusted(user, remote);
}

static enum err open_proxy(struct core *core)
{
    struct proxy_config config = {
        .worker = core->config.worker,
        .contexts_max = core->config.transactions_max,
        .timer_c_ms = core->config.timer_c_ms,
        .recurse_on_3xx = core->config.recurse_on_3xx,
        .mem = &core->mem,
        .wheel = &core->wheel,
        .outbox = core->config.outbox,
        .rng = &core->rng,
        .txns = core->txns,
        .token_key = core->config.token_key,
        .listeners = core->config.listeners,
        .listener_count = core->config.listener_count,
        .user = core,
        .write_our_address = write_our_address,
        .resolve = locate_resolve,
        .is_trusted = may_know,
        .may_stream = locate_stream,
        .hop_failed = dns_hop_failed,
        .hop_answered = dns_hop_answered,
        .hop_silent = dns_hop_silent,
        .flow_failed = flows_failed,
        .registered = edge_registered,
        .flow_timer_s = core->config.registrar.flow_timer,
        .oc = overload_oc,
        .heard = media_heard,
        .news = attempt_news,
        .wake = wake_start,
        .stop_waiting = wake_stop_waiting,
        .next_step = forwards_next,
        .plan_done = forwards_done,
    };
    return proxy_open(&config, &core->proxy);
}

static bool names_us(const void *user, const struct sip_uri *uri)
{
    return is_our_uri(user, uri);
}

static enum err open_auth(struct core *core)
{
    struct auth_config config = {
        .worker = core->config.worker,
        .nonce_lifetime_ms = core->config.nonce_lifetime_ms,
        .windows_max = core->config.nonce_windows_max,
        .realm = core->config.realm,
        .nonce_key = core->config.nonce_key,
        .rng = &core->rng,
        .is_ours = names_us,
        .is_ours_user = core,
    };
    memcpy(config.algorithms, core->config.algorithms, sizeof config.algorithms);
    return auth_open(&config, &core->auth);
}

static enum err open_parts(struct core *core)
{
    enum err err = arena_init(&core->scratch, &core->mem, CORE_SCRATCH_MAX);
    if (err == OK)
        err = map_init(&core->conn_bindings, CONN_BINDINGS_INITIAL);
    if (err == OK)
        err = edge_open(core);
    if (err == OK)
        err = register_open(core);
    if (err == OK)
        err = access_open(core);
    if (err == OK)
        err = overload_open(core);
    if (err == OK)
        err = dns_open_waits(core);
    if (err == OK)
        err = open_txns(core);
    if (err == OK)
        err = forwards_open(core);
    if (err == OK)
        err = open_proxy(core);
    if (err == OK)
        err = open_auth(core);
    if (err == OK)
        err = limits_open(core);
    if (err == OK)
        err = ping_open(core);
    if (err == OK && core->config.records)
        err = attempts_open(core);
    if (err == OK)
        err = wake_open(core);
    if (err == OK) {
        ours_init(core);
        expiry_open(core);
    }
    return err;
}

struct core_memory core_memory_max(const struct core_config *config)
{
    const struct auth_config auth = {.windows_max = config->nonce_windows_max};
    size_t bindings_max = config->memory_max / sizeof(struct conn_binding);

    return (struct core_memory){
        .pools = config->memory_max,
        .tables = sizeof(struct core) + OVERLOAD_REMEMBERED * sizeof(uint32_t) +
                  txn_memory_max(config->transactions_max) +
                  proxy_memory_max(config->transactions_max) + auth_memory(&auth) +
                  (config->records ? calls_memory_max(config->calls_max) : 0) +
                  pool_memory(config->registrations_max) + pool_memory(config->transactions_max) +
                  map_memory_max(REGISTERS_INITIAL, config->registrations_max) +
                  map_memory_max(CONN_BINDINGS_INITIAL, bindings_max) + ping_memory_max() +
                  resolver_memory_max(&config->resolve) + dns_waits_memory_max() +
                  wake_memory_max(config) + forwards_memory_max(config),
        .guard = guard_memory(&config->guard),
    };
}

enum err core_open(const struct core_config *config, uint64_t now_ms, uint64_t wall_ms,
                   struct core **out)
{
    assert(config->workers >= 1);
    assert(config->worker < config->workers);
    assert(config->policy != NULL);

    /* One object per worker, made at start: not the packet path. */
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return ERR_MEMORY;
    core->config = *config;
    if (core->config.resolve.lookups_max == 0)
        core->config.resolve = resolve_limits_default();
    list_init(&core->dns_waits);
    core->config.registrar.gruu_key = config->token_key;
    core->config.registrar.hash_seed = config->hash_seed;
    list_init(&core->refusals);
    list_init(&core->interrupted);
    core->policy = config->policy;
    core->now_ms = now_ms;
    core->wall_ms = wall_ms;
    mem_init(&core->mem, config->memory_max);
    timer_wheel_init(&core->wheel, now_ms);
    rng_seed(&core->rng, config->seed);

    enum err err = open_parts(core);
    if (err) {
        core_close(core);
        return err;
    }
    *out = core;
    return OK;
}

void core_close(struct core *core)
{
    if (core == NULL)
        return;
    if (core->expiry.timer.fn != NULL)
        expiry_close(core);
    ping_close(core);
    if (core->registrations.mem != NULL)
        register_close(core);
    if (core->count_waits.mem != NULL)
        access_close(core);
    if (core->conn_bindings.buckets != NULL)
        flows_close(core);
    dns_close_waits(core);
    attempts_close(core);
    if (core->proxy != NULL)
        proxy_close(core->proxy);
    forwards_close(core);
    wake_close(core);
    if (core->txns != NULL)
        txn_table_close(core->txns);
    if (core->auth != NULL)
        auth_close(core->auth);
    limits_close(core);
    ours_close(core);
    overload_close(core);
    if (core->scratch.mem != NULL)
        arena_release(&core->scratch);
    mem_release(&core->mem);
    free(core);
}

/* ---- the stages ---- */

typedef enum verdict stage_fn(struct core *core, struct request *r);

static stage_fn *const stages[] = {
    stage_validate, stage_routes, stage_admit, stage_authenticate, stage_local, stage_forward,
};

enum verdict core_run_stages(struct core *core, struct request *r)
{
    for (size_t i = 0; i < COUNT_OF(stages); i++) {
        enum verdict verdict = stages[i](core, r);
        if (verdict != GO_ON)
            return verdict;
    }
    assert(!"the last stage never says go on");
    return DROP;
}

/**
 * What is sent from now on belongs to this call: it keeps its order (base/outbox.h). Any sum of the
 * Call-ID will do: calls that share one keep their order, too.
 */
void core_set_topic(struct core *core, const struct sip_msg *msg)
{
    struct slice id = msg->call_id;
    uint64_t sum = id.len, word = 0;

    for (; id.len >= sizeof word; id = slice_from(id, sizeof word)) {
        memcpy(&word, id.data, sizeof word);
        sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    }
    for (size_t i = 0; i < id.len; i++)
        word = word << 8 | (unsigned char)id.data[i];
    sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    core->config.outbox->topic = (uint32_t)(sum >> 32);
}

static void run_request(struct core *core, const struct sip_msg *msg, const struct flow *source,
                        struct id server, bool merged, enum auth_verdict count)
{
    struct request r = {
        .msg = msg, .source = source, .server = server, .merged = merged, .count = count};

    arena_reset(&core->scratch);
    enum verdict verdict = core_run_stages(core, &r);
    if (verdict != DROP || server.generation == 0)
        return;
    if (is_attempt(core, &r))
        attempt_dropped(core, &r);
    txn_server_drop(core->txns, server, core->now_ms);
}

void core_resume(struct core *core, struct id server, enum auth_verdict count)
{
    const struct flow *flow = txn_server_flow(core->txns, server);

    if (flow == NULL || txn_server_parse(core->txns, server, &core->resumed) != OK)
        return; /* it is over */
    struct flow source = *flow;
    core_set_topic(core, &core->resumed);
    run_request(core, &core->resumed, &source, server, false, count);
}

void core_resume_ack(struct core *core, struct slice bytes, enum sip_framing framing,
                     const struct flow *source)
{
    static const struct id none;

    if (sip_parse(bytes, framing, &core->resumed) != OK)
        return;
    core_set_topic(core, &core->resumed);
    if (core->resumed.method != SIP_ACK)
        speak_resume(core, &core->resumed);
    else
        run_request(core, &core->resumed, source, none, false, AUTH_OK);
}

/** The Reason lines of a CANCEL go along with ours (RFC 3326 §2). */
static struct slice reason_lines(const struct sip_msg *msg)
{
    const struct sip_field *first = sip_field_first(msg, SIP_F_REASON);

    if (first == NULL)
        return SLICE_EMPTY;
    return (struct slice){msg->buf.data + first->begin, (size_t)(first->end - first->begin)};
}

static void handle_cancel(struct core *core, const struct sip_msg *msg,
                          const struct txn_received *got)
{
    bool found = got->cancel_matched; /* a transaction of any method: 200 (§9.2) */
    struct sip_reply reply = {.status = found ? 200 : 481};

    if (!found)
        core_count(core, CORE_R_NO_TRANSACTION);
    if (txn_reply(core->txns, got->id, &reply, core->now_ms) != OK)
        txn_server_drop(core->txns, got->id, core->now_ms);
    if (got->cancelled.generation == 0 || txn_server_answered(core->txns, got->cancelled))
        return;
    if (core->calls == NULL || !attempt_cancelled(core, msg, got->cancelled))
        give_up(core, got->cancelled, reason_lines(msg));
}

static void handle_request(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    static const struct id none;

    core->counters.received[msg->method]++;
    if (core_answer_stateless(core, msg, source))
        return;

    struct txn_received got = txn_receive_request(core->txns, msg, source, core->now_ms);
    switch (got.verdict) {
    case TXN_ABSORBED:
        return;
    case TXN_ACK:
        run_request(core, msg, source, none, false, 0);
        return;
    case TXN_CANCEL:
        handle_cancel(core, msg, &got);
        return;
    case TXN_NEW:
    case TXN_MERGED:
        if (msg->method == SIP_INVITE && interrupted_copy(core, msg, source)) {
            txn_server_drop(core->txns, got.id, core->now_ms);
            return;
        }
        run_request(core, msg, source, got.id, got.verdict == TXN_MERGED, 0);
        return;
    case TXN_REFUSED:
        break;
    }
    core_count(core, CORE_R_FULL);
    if (msg->method != SIP_ACK) {
        struct sip_reply reply = {.status = 503};
        txn_reply_stateless(core->txns, msg, source, &reply);
    }
}

static void handle_fault(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    core_count(core, CORE_R_BAD_REQUEST);
    limits_refused(core, source, CORE_R_BAD_REQUEST);
    if (msg->method == SIP_ACK || msg->via_value.len == 0)
        return;
    struct sip_reply reply = {.status = msg->fault.status, .reason = slice_of(msg->fault.reason)};
    txn_reply_stateless(core->txns, msg, source, &reply);
}

/** Handles a parsed message that this worker owns. */
static void handle(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    core_set_topic(core, msg);
    if (msg->is_request) {
        handle_request(core, msg, source);
        return;
    }
    core->counters.responses_received++;
    core->response_trusted = core_trusts(core, source);
    core->response_source = source;
    arena_reset(&core->scratch); /* a redirection finds targets in it */
    switch (txn_receive_response(core->txns, msg, source, core->now_ms)) {
    case TXN_FROM_TARGET: /* he has our branch, which went to that address only: it is his */
        limits_in_call(core, &source->remote);
        return;
    case TXN_FROM_ELSEWHERE: /* a callee who gives our branch away makes nobody known */
        return;
    case TXN_STRAY:
        core_count(core, CORE_R_STRAY_RESPONSE);
        interrupted_response(core, msg, source);
        limits_refused(core, source, CORE_R_STRAY_RESPONSE);
        return;
    }
}

/** Does a branch of ours, of this run, name a worker? */
static bool branch_names_worker(const struct core *core, struct slice text, unsigned *worker)
{
    struct txn_branch branch;

    if (!txn_branch_parse(text, &branch) || branch.boot != core->config.boot ||
        branch.worker >= core->config.workers)
        return false;
    *worker = branch.worker;
    return true;
}

/** The worker in a branch of ours; this one when it is none. */
static unsigned owner_by_branch(const struct core *core, struct slice text)
{
    unsigned worker = core->config.worker;

    (void)branch_names_worker(core, text, &worker);
    return worker;
}

static unsigned owner_by_call_id(const struct core *core, struct slice call_id)
{
    return table_owner(hash_bytes(core->config.hash_seed, call_id), core->config.workers);
}

unsigned core_owner_of(const struct core *core, const struct sip_msg *msg)
{
    if (core->config.workers == 1)
        return core->config.worker;
    unsigned worker = core->config.worker;
    if (msg->is_response && branch_names_worker(core, msg->via.branch, &worker))
        return worker;
    if (msg->is_response && core->calls == NULL)
        return worker;
    if (msg->is_response) /* of an earlier run: whose calls that rang are ended by their owner */
        return owner_by_call_id(core, msg->call_id);
    if (msg->method == SIP_REGISTER)
        return register_owner(core, msg);
    return owner_by_call_id(core, msg->call_id);
}

static void set_time(struct core *core, uint64_t now_ms, uint64_t wall_ms)
{
    assert(now_ms >= core->now_ms);

    core->now_ms = now_ms;
    core->wall_ms = wall_ms;
    core->config.outbox->topic = 0;
}

void core_pass_on(struct core *core, unsigned owner, struct slice bytes, enum sip_framing framing,
                  const struct flow *source, enum overload_level level)
{
    struct core_mail mail = {
        .kind = CORE_MAIL_MESSAGE,
        .framing = (uint8_t)framing,
        .from = (uint16_t)core->config.worker,
        .number = level,
        .posted_ms = core->now_ms,
        .flow = *source,
        .bytes = bytes,
    };
    core->counters.forwarded_messages_in++;
    if (!core->config.ops.post(core->config.ops.user, owner, &mail))
        core_count(core, CORE_R_MAILBOX);
}

/** A datagram that another worker owns goes to him as it is: he will parse it. */
static bool pass_on_unparsed(struct core *core, struct slice bytes, const struct flow *source)
{
    struct sip_peek_name name;

    if (core->config.workers == 1 || !sip_peek_name(bytes, &name))
        return false;
    unsigned owner =
        name.is_response ? owner_by_branch(core, name.text) : owner_by_call_id(core, name.text);
    if (owner == core->config.worker)
        return false;
    core_pass_on(core, owner, bytes, SIP_DATAGRAM, source, OVERLOAD_TAKES_ALL);
    return true;
}

/** Another server would like our requests to it on its own connection (RFC 5923 §8.2). */
static void take_alias(const struct core *core, const struct sip_msg *msg,
                       const struct flow *source)
{
    const struct core_ops *ops = &core->config.ops;
    uint16_t port = msg->via.port != 0 ? msg->via.port : sip_transport_port(TRANSPORT_TLS);

    if (ops->alias != NULL && msg->via.has_alias && source->transport == TRANSPORT_TLS &&
        flow_has_conn(source))
        ops->alias(ops->user, source->conn, port);
}

bool core_receive(struct core *core, struct slice bytes, enum sip_framing framing,
                  const struct flow *source, uint64_t now_ms, uint64_t wall_ms)
{
    struct sip_msg *msg = &core->received;

    set_time(core, now_ms, wall_ms);
    if (!limits_packet(core, &source->remote, framing != SIP_DATAGRAM))
        return false;
    if (framing == SIP_DATAGRAM && bytes.len > 0 &&
        (unsigned char)bytes.data[0] <= STUN_FIRST_BYTE_MAX) {
        keepalive_stun(core, bytes, source);
        return true;
    }
    if (core->overload.watching) {
        if (limits_is_scanner_unparsed(core, bytes, source))
            return false;
        if (overload_receive(core, bytes, framing, source))
            return true;
    }
    if (framing == SIP_DATAGRAM && pass_on_unparsed(core, bytes, source))
        return true;
    if (sip_parse(bytes, framing, msg) != OK) {
        core_count(core, CORE_R_GARBAGE);
        limits_refused(core, source, CORE_R_GARBAGE);
        return framing == SIP_DATAGRAM;
    }
    if (msg->is_request && limits_is_scanner(core, msg, source))
        return false;
    if (msg->is_request && msg->fault.status != 0) {
        handle_fault(core, msg, source);
        return true;
    }
    if (msg->is_request)
        take_alias(core, msg, source);
    unsigned owner = core_owner_of(core, msg);
    if (owner == core->config.worker) {
        handle(core, msg, source);
        return true;
    }
    core_pass_on(core, owner, msg->buf, framing, source, OVERLOAD_TAKES_ALL);
    return true;
}

static void answer_count(struct core *core, const struct core_mail *ask)
{
    struct core_mail reply = {
        .kind = CORE_MAIL_COUNT_ANSWER,
        .from = (uint16_t)core->config.worker,
        .number = (uint32_t)auth_count(core->auth, ask->bytes, ask->number),
        .id = ask->id,
    };
    if (!core->config.ops.post(core->config.ops.user, ask->from, &reply))
        core_count(core, CORE_R_MAILBOX);
}

/** A message that this worker owns. It was passed on unparsed, mostly. */
static void read_message(struct core *core, const struct core_mail *mail)
{
    struct sip_msg *msg = &core->received;
    const struct flow *source = &mail->flow;

    if (core->overload.watching && limits_is_scanner_unparsed(core, mail->bytes, source))
        return;
    if (overload_mail(core, mail))
        return;
    if (sip_parse(mail->bytes, (enum sip_framing)mail->framing, msg) != OK) {
        core_count(core, CORE_R_GARBAGE);
        limits_refused(core, source, CORE_R_GARBAGE);
        return;
    }
    if (msg->is_request && limits_is_scanner(core, msg, source))
        return;
    if (msg->is_request && msg->fault.status != 0)
        handle_fault(core, msg, &mail->flow);
    else
        handle(core, msg, &mail->flow);
}

void core_mail(struct core *core, const struct core_mail *mail, uint64_t now_ms, uint64_t wall_ms)
{
    set_time(core, now_ms, wall_ms);
    switch ((enum core_mail_kind)mail->kind) {
    case CORE_MAIL_MESSAGE:
        read_message(core, mail);
        return;
    case CORE_MAIL_SEND_FAILED:
        txn_send_failed(core->txns, mail->bytes, mail->number != 0, now_ms);
        return;
    case CORE_MAIL_CONN_LOST:
        txn_conn_lost(core->txns, mail->flow.conn, now_ms);
        flows_lost(core, mail->flow.conn);
        return;
    case CORE_MAIL_FLOW_FAILED:
        flows_mail(core, mail);
        return;
    case CORE_MAIL_COUNT_ASK:
        answer_count(core, mail);
        return;
    case CORE_MAIL_COUNT_ANSWER:
        access_answer(core, mail->id, (enum auth_verdict)mail->number);
        return;
    case CORE_MAIL_VOUCH:
    case CORE_MAIL_LOGIN_FAILED:
    case CORE_MAIL_BAR:
        limits_mail(core, mail);
        return;
    case CORE_MAIL_PUSH_ASK:
    case CORE_MAIL_PUSH_WOKEN:
    case CORE_MAIL_PUSH_FAILED:
        wake_mail(core, mail);
        return;
    }
}

void core_receipt(struct core *core, struct id token, enum err err, uint64_t now_ms,
                  uint64_t wall_ms)
{
    set_time(core, now_ms, wall_ms);
    if (calls_is_token(token))
        calls_receipt(core->calls, token, err, now_ms);
    else
        register_receipt(core, token, err);
}

void core_dns_answer(struct core *core, struct id question, const struct dns_answer *answer,
                     uint64_t now_ms, uint64_t wall_ms)
{
    set_time(core, now_ms, wall_ms);
    resolver_answer(core->resolver, question, answer, now_ms);
}

void core_push_result(struct core *core, struct id token, enum core_push_answer answer,
                      uint64_t now_ms, uint64_t wall_ms)
{
    set_time(core, now_ms, wall_ms);
    wake_result(core, token, answer);
}

bool core_run(struct core *core, uint64_t now_ms, uint64_t wall_ms, unsigned max)
{
    set_time(core, now_ms, wall_ms);
    return timer_wheel_run(&core->wheel, now_ms, max) == max;
}

uint64_t core_next_ms(const struct core *core)
{
    return timer_wheel_next(&core->wheel);
}

/** Worker that a sent message belongs to: the one in the branch of its top Via. */
static unsigned owner_of_sent(const struct core *core, struct slice sent)
{
    struct txn_branch branch;
    bool named = txn_sent_branch(sent, &branch) && branch.worker < core->config.workers;
    return named ? branch.worker : core->config.worker;
}

void core_send_failed(struct core *core, struct slice sent, bool closed, uint64_t now_ms,
                      uint64_t wall_ms)
{
    set_time(core, now_ms, wall_ms);
    unsigned owner = owner_of_sent(core, sent);
    if (owner == core->config.worker) {
        txn_send_failed(core->txns, sent, closed, now_ms);
        return;
    }
    struct core_mail mail = {.kind = CORE_MAIL_SEND_FAILED,
                             .from = (uint16_t)core->config.worker,
                             .number = closed,
                             .bytes = sent};
    if (!core->config.ops.post(core->config.ops.user, owner, &mail))
        core_count(core, CORE_R_MAILBOX);
}

bool core_conn_lost(struct core *core, struct conn_id conn, uint32_t *told, uint64_t now_ms,
                    uint64_t wall_ms)
{
    struct core_mail mail = {
        .kind = CORE_MAIL_CONN_LOST, .from = (uint16_t)core->config.worker, .flow = {.conn = conn}};

    if (*told == 0)
        core_mail(core, &mail, now_ms, wall_ms);
    for (; *told < core->config.workers; ++*told)
        if (*told != core->config.worker &&
            !core->config.ops.post(core->config.ops.user, *told, &mail))
            return false;
    return true;
}

/** All streams of an earlier run are gone. */
static struct slice mark_streams_lost(struct core *core, struct slice block)
{
    struct binding_set *set = arena_alloc(&core->scratch, sizeof *set);
    char *text = arena_alloc(&core->scratch, block.len + 64);
    bool changed = false;

    if (set == NULL || text == NULL || binding_set_unpack(block, set) != OK)
        return SLICE_EMPTY;
    for (uint32_t i = 0; i < set->count; i++)
        if (flow_has_conn(&set->items[i].flow) && !set->items[i].flow_lost) {
            set->items[i].flow_lost = true;
            changed = true;
        }
    if (!changed)
        return block;
    struct builder b = builder_over(text, block.len + 64);
    return binding_set_pack(set, &b) == OK ? builder_slice(&b) : SLICE_EMPTY;
}

void core_restore(struct core *core, struct slice aor, struct slice block, uint64_t wall_ms)
{
    uint64_t hash = core_aor_hash(&core->config, aor);

    core->wall_ms = wall_ms;
    limits_restored(core, block);
    if (!owns_aor(core, hash) || block.len == 0)
        return;

    arena_reset(&core->scratch);
    struct slice restored = mark_streams_lost(core, block);
    if (restored.len == 0 || location_put(core, aor, hash, restored) != OK) {
        core_count(core, CORE_R_MEMORY);
        core_logf(core, CORE_LOG_ERROR, "restore", "bindings of %.*s could not be restored",
                  SLICE_ARG(aor));
    }
}

void core_restore_call(struct core *core, struct slice block, uint64_t now_ms, uint64_t wall_ms)
{
    if (core->calls != NULL)
        calls_restore(core->calls, block, now_ms, wall_ms);
}

void core_set_policy(struct core *core, const struct policy *policy)
{
    assert(policy != NULL);

    core->policy = policy;
}

void core_drain(struct core *core)
{
    core->draining = true;
    ping_stop(core);
}

bool core_idle(const struct core *core)
{
    return core->registrations.count == 0 && txn_pending(core->txns) == 0 &&
           (core->calls == NULL || calls_idle(core->calls));
}

void core_status(const struct core *core, struct core_status *out)
{
    *out = (struct core_status){
        .counters = core->counters,
        .txn = *txn_counters(core->txns),
        .proxy = *proxy_counters(core->proxy),
        .transactions = txn_count(core->txns),
        .contexts = proxy_count(core->proxy),
        .registrations_waiting = core->registrations.count,
        .memory_used = core->mem.used_bytes,
        .memory_held = core->mem.chunk_bytes,
        .timers = core->wheel.count,
        .bars = guard_bar_count(core->guard, core->now_ms),
        .dns_waiting = core->dns_wait_count,
        .silent = core->pings.silent,
        .push_waiting = core->pushes.waits.count,
    };
    if (core->calls != NULL) {
        out->calls = *calls_counters(core->calls);
        out->calls_live = calls_live(core->calls);
        out->calls_held = calls_count(core->calls);
    }
    resolver_counters(core->resolver, &out->dns);
    overload_status(core, out);
}
