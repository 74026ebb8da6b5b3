/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/attempts - what calls/ is told of, and what waits for its receipts.
 *
 * An attempt begins when its INVITE was let in and is about to be forwarded, refused, or to wait
 * for a name. Until the receipt of its record nothing is sent: proxy/ holds the request, with the
 * branches it will use; a refusal is kept here.
 */
#include "core/internal.h"

#include "calls/outcome.h"

/* ---- what is known of an attempt ---- */

/** The user part when it is a number, as "+15105550101" or "101"; else empty. */
static struct slice number_of(struct slice uri_text)
{
    size_t colon = slice_find(uri_text, ':');
    struct slice rest = colon == SIZE_MAX ? SLICE_EMPTY : slice_from(uri_text, colon + 1);
    size_t len = 0;

    if (rest.len > 0 && rest.data[0] == '+')
        len = 1;
    while (len < rest.len && rest.data[len] >= '0' && rest.data[len] <= '9')
        len++;
    bool ends = len == rest.len || rest.data[len] == '@' || rest.data[len] == ';';
    bool digits = len > (rest.len > 0 && rest.data[0] == '+' ? 1u : 0u);
    return ends && digits ? (struct slice){rest.data, len} : SLICE_EMPTY;
}

/** The head of the INVITE, as far as a response to it needs it. Empty: it is too long. */
static struct slice way_of(struct core *core, const struct sip_msg *msg)
{
    char *text = arena_alloc(&core->scratch, CALL_WAY_MAX);
    struct builder b = builder_over(text, text != NULL ? CALL_WAY_MAX : 0);

    builder_text(&b, "INVITE ");
    builder_add(&b, msg->uri);
    builder_text(&b, " SIP/2.0\r\n");
    sip_add_fields(&b, msg, SIP_F_VIA);
    sip_add_fields(&b, msg, SIP_F_FROM);
    sip_add_fields(&b, msg, SIP_F_TO);
    sip_add_fields(&b, msg, SIP_F_CALL_ID);
    sip_add_fields(&b, msg, SIP_F_CSEQ);
    builder_text(&b, "Content-Length: 0\r\n\r\n");
    return b.overflow ? SLICE_EMPTY : builder_slice(&b);
}

static enum call_direction direction_of(struct core *core, struct request *r, bool to_user)
{
    request_from(core, r);
    bool from_user = r->user != NULL || (r->from_is_ours && !core->config.auth_required);

    if (from_user)
        return to_user ? CALL_INTERNAL : CALL_OUTBOUND;
    return to_user ? CALL_INBOUND : CALL_TRANSIT;
}

bool attempt_key(struct core *core, struct slice call_id, struct slice caller_tag,
                 struct call_key *out)
{
    char *scratch = arena_alloc(&core->scratch, call_id.len + caller_tag.len + 1);

    if (scratch == NULL)
        return false;
    *out = call_key_of(core->config.hash_seed, call_id, caller_tag, scratch);
    return true;
}

/** The attempt that this INVITE begins or continues. */
static enum err open_attempt(struct core *core, struct request *r, bool to_user, struct id *out)
{
    const struct sip_msg *msg = r->msg;
    char *address = arena_alloc(&core->scratch, ADDR_TEXT_MAX);
    struct call_facts facts = {
        .sip_call_id = msg->call_id,
        .calling_uri = msg->from.uri_text,
        .calling_number = number_of(msg->from.uri_text),
        .calling_name = slice_trim(sip_unquote(msg->from.display)),
        .called_uri = msg->uri,
        .called_number = number_of(msg->uri),
        .user_agent = sip_value(msg, SIP_F_USER_AGENT),
        .transport = r->source->transport,
        .way = way_of(core, msg),
        .flow = *r->source,
        .server = r->server,
        .contact = dialog_contact(msg),
        .cseq = msg->cseq.number,
    };

    if (address == NULL || !attempt_key(core, msg->call_id, msg->from.tag, &facts.key))
        return ERR_MEMORY;
    facts.source_address = slice_of(addr_text(&r->source->remote, address));
    facts.direction = (uint8_t)direction_of(core, r, to_user);
    (void)calls_describes(msg, &facts.media);
    return calls_open_attempt(core->calls, &facts, core->now_ms, core->wall_ms, out);
}

/* ---- calls as numbers of the proxy ---- */

static uint64_t number_from(struct id call)
{
    return (uint64_t)call.generation << 32 | call.slot;
}

static struct id call_from(uint64_t number)
{
    return (struct id){.slot = (uint32_t)number, .generation = (uint32_t)(number >> 32)};
}

static struct call_end end_from(const struct sip_msg *msg, uint16_t status, enum call_party party)
{
    struct outcome_reason reason = outcome_reason(msg);

    return (struct call_end){.sip_status = status,
                             .q850_cause = reason.q850_cause,
                             .party = (uint8_t)party,
                             .reason = reason.text};
}

static void on_leg(struct core *core, const struct proxy_news *news, uint64_t now_ms)
{
    const struct call_leg_facts leg = {
        .client = news->client,
        .target = news->target->uri,
        .user = news->target->aor,
        .branch = news->branch,
        .routes = news->target->routes,
        .flow = news->target->to,
    };

    calls_leg(core->calls, call_from(news->call), &leg, news->event == PROXY_LEG_SENT, now_ms);
}

/** A side's description, if there is one in the message. */
static void on_media(struct core *core, struct id call, enum call_party party,
                     const struct sip_msg *msg, uint64_t now_ms)
{
    struct call_side side;

    if (calls_describes(msg, &side))
        calls_media(core->calls, call, party, &side, now_ms);
}

static void on_leg_response(struct core *core, const struct proxy_news *news, uint64_t now_ms)
{
    struct id call = call_from(news->call);
    uint16_t status = news->response->status;

    if (status < 200) {
        on_media(core, call, CALL_P_CALLEE, news->response, now_ms);
        calls_leg_rang(core->calls, call, news->client, now_ms);
    } else if (status < 300) {
        calls_leg_answered(core->calls, call, news->client, status, now_ms);
    } else {
        struct call_end end = end_from(news->response, status, CALL_P_CALLEE);
        calls_leg_ended(core->calls, call, news->client, &end, now_ms);
    }
}

static bool is_our_record_route_value(void *user, struct slice value)
{
    const struct core *core = user;
    struct sip_name_addr route;
    struct sip_uri uri;
    struct slice token;

    if (is_our_route_text(core, value, &token))
        return true;
    return sip_name_addr_parse(value, &route) == OK && sip_uri_parse(route.uri_text, &uri) == OK &&
           !uri.has_user && sip_uri_param(&uri, SLICE("r"), &token) && is_our_uri(core, &uri);
}

static void on_confirmed(struct core *core, struct id call, const struct sip_msg *response,
                         uint64_t now_ms)
{
    on_media(core, call, CALL_P_CALLEE, response, now_ms);
    calls_confirmed(core->calls, call, response, is_our_record_route_value, core);
}

static void on_told(struct core *core, const struct proxy_news *news, uint64_t now_ms)
{
    struct id call = call_from(news->call);

    if (news->status < 300) {
        uint32_t tag = call_tag_hash(core->config.hash_seed, news->response->to.tag);
        if (calls_state(core->calls, call) == ATTEMPT_TRYING) /* of a fork's 2xx the first counts */
            on_confirmed(core, call, news->response, now_ms);
        calls_answered(core->calls, call, news->status, tag, now_ms);
        return;
    }
    struct call_end end = {.sip_status = news->status, .party = CALL_P_SYSTEM};
    if (news->response != NULL)
        end = end_from(news->response, news->status, CALL_P_CALLEE);
    if (end.reason.len == 0)
        end.reason =
            news->response != NULL ? news->response->reason : slice_of(sip_reason(news->status));
    calls_ended(core->calls, call, &end, now_ms);
}

void attempt_news(void *user, const struct proxy_news *news, uint64_t now_ms)
{
    struct core *core = user;
    struct call_end end = {.party = CALL_P_SYSTEM};

    switch (news->event) {
    case PROXY_LEG_PLANNED:
    case PROXY_LEG_SENT:
        on_leg(core, news, now_ms);
        return;
    case PROXY_LEG_RESPONSE:
        on_leg_response(core, news, now_ms);
        return;
    case PROXY_LEG_FAILED:
        end.sip_status = news->status;
        calls_leg_ended(core->calls, call_from(news->call), news->client, &end, now_ms);
        return;
    case PROXY_TOLD:
        on_told(core, news, now_ms);
        return;
    case PROXY_GONE:
        end.reason = SLICE("the caller could not be answered");
        calls_ended(core->calls, call_from(news->call), &end, now_ms);
        return;
    }
}

/* ---- forwarding ---- */

static enum verdict refuse_full(struct core *core, struct request *r, enum err err)
{
    if (err == ERR_FULL)
        return refuse(core, r, CORE_R_CALLS_FULL, 503, NULL, SLICE_EMPTY);
    return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
}

static enum verdict refuse_store(struct core *core, struct request *r)
{
    return refuse(core, r, CORE_R_STORE, 503, "Calls cannot be recorded", SLICE_EMPTY);
}

static void send_trying(struct core *core, struct request *r)
{
    struct sip_reply trying = {.status = 100};
    (void)!txn_reply_parsed(core->txns, r->server, r->msg, &trying, core->now_ms);
}

/** Nothing becomes of it, and nobody has ended it yet. */
static void give_up(struct core *core, struct id call, uint16_t status)
{
    struct call_end end = {.sip_status = status,
                           .party = CALL_P_SYSTEM,
                           .reason = SLICE("it could not be carried on")};

    if (calls_state(core->calls, call) == ATTEMPT_NEW)
        calls_drop(core->calls, call);
    else
        calls_ended(core->calls, call, &end, core->now_ms);
}

void attempt_dropped(struct core *core, const struct request *r)
{
    struct call_key key;

    if (!attempt_key(core, r->msg->call_id, r->msg->from.tag, &key))
        return;
    struct id call = calls_find(core->calls, &key);
    if (id_equal(calls_server(core->calls, call), r->server))
        give_up(core, call, 0);
}

/** Has the request come through us already, by a client transaction that is still there? */
static bool is_spiral(const struct core *core, const struct sip_msg *msg)
{
    struct sip_values it = sip_values(msg, SIP_F_VIA);
    struct slice value;
    struct sip_via via;

    while (sip_values_next(&it, &value))
        if (sip_via_parse(value, &via) == OK && txn_has_sent(core->txns, &via))
            return true;
    return false;
}

enum verdict attempt_forward(struct core *core, struct request *r, struct proxy_request *request,
                             const struct proxy_target *targets, uint32_t count)
{
    struct id call;

    enum err err = open_attempt(core, r, count == 0 || targets[0].aor.len > 0, &call);
    if (err)
        return refuse_full(core, r, err);
    enum attempt_state state = calls_state(core->calls, call);
    bool own = id_equal(calls_server(core->calls, call), r->server);
    bool waits = own && (state == ATTEMPT_NEW || state == ATTEMPT_WAITING);

    /* What is under way, or was answered, cannot be begun once more: it would have no record. */
    if (!own && !is_spiral(core, r->msg))
        return refuse(core, r, CORE_R_MERGED, 482, NULL, SLICE_EMPTY);
    request->call = own ? number_from(call) : 0; /* else it comes by once more */
    request->wait = waits;
    if (!waits && core->resolved == 0)
        send_trying(core, r);
    err = forwards_begin(core, r, request) ? OK : ERR_MEMORY;
    if (err == OK)
        err = proxy_forward(core->proxy, request, targets, count, core->now_ms);
    if (err) {
        enum verdict verdict = refuse_forward(core, r, err);
        if (own)
            give_up(core, call, 503);
        return verdict;
    }
    if (state != ATTEMPT_NEW || calls_commit(core->calls, call, core->now_ms) == OK)
        return waits ? WAITING : ANSWERED;
    proxy_abandon(core->proxy, r->server);
    return refuse_store(core, r);
}

enum verdict attempt_waits(struct core *core, struct request *r)
{
    struct id call;

    enum err err = open_attempt(core, r, r->uri_is_ours, &call);
    if (err)
        return refuse_full(core, r, err);
    if (calls_state(core->calls, call) == ATTEMPT_NEW &&
        calls_commit(core->calls, call, core->now_ms) != OK)
        return refuse_store(core, r);
    return calls_state(core->calls, call) == ATTEMPT_WAITING ? WAITING : GO_ON;
}

/* ---- refusals ---- */

/* What admission and bars refuse is counted by source, not recorded. */
static const bool is_admission[CORE_R_COUNT] = {
    [CORE_R_DRAINING] = true,     [CORE_R_FULL] = true,      [CORE_R_CALLS_FULL] = true,
    [CORE_R_MEMORY] = true,       [CORE_R_STORE] = true,     [CORE_R_OVERLOAD] = true,
    [CORE_R_USER_LIMIT] = true,   [CORE_R_STRANGERS] = true, [CORE_R_STRANGER_CALLS] = true,
    [CORE_R_LOGIN_BARRED] = true,
};

/** A challenge is no answer yet. */
static bool is_recorded(enum core_reason reason, uint16_t status)
{
    return !is_admission[reason] && status != 401 && status != 407;
}

static struct refusal *keep_refusal(struct core *core, const struct sip_reply *reply,
                                    bool stateless)
{
    size_t texts = reply->reason.len + reply->fields.len;

    if (sizeof(struct refusal) + texts > MEM_MAX_ALLOC)
        return NULL;
    struct refusal *refusal = mem_alloc(&core->mem, sizeof *refusal + texts);
    if (refusal == NULL)
        return NULL;
    *refusal = (struct refusal){
        .status = reply->status,
        .stateless = stateless,
        .phrase_len = (uint32_t)reply->reason.len,
        .fields_len = (uint32_t)reply->fields.len,
    };
    struct builder b = builder_over(refusal->text, texts);
    builder_add(&b, reply->reason);
    builder_add(&b, reply->fields);
    list_push(&core->refusals, &refusal->node);
    return refusal;
}

static void free_refusal(struct core *core, struct refusal *refusal)
{
    list_remove(&refusal->node);
    mem_free(&core->mem, refusal, sizeof *refusal + refusal->phrase_len + refusal->fields_len);
}

/** It is no answer if it cannot be recorded; then it is another. */
static bool cannot_record(struct core *core, struct sip_reply *reply)
{
    core_count(core, CORE_R_STORE);
    *reply = (struct sip_reply){.status = 503, .reason = SLICE("Calls cannot be recorded")};
    return false;
}

bool attempt_refused(struct core *core, const struct request *r, enum core_reason reason,
                     struct sip_reply *reply, bool stateless)
{
    struct request copy = *r;
    struct id call;

    if (!is_attempt(core, r) || !is_recorded(reason, reply->status))
        return false;
    if (open_attempt(core, &copy, r->uri_is_ours, &call) != OK)
        return cannot_record(core, reply);
    enum attempt_state state = calls_state(core->calls, call);
    if (!id_equal(calls_server(core->calls, call), r->server) || state == ATTEMPT_UP ||
        state == ATTEMPT_OVER)
        return false; /* it comes by once more: its record is another's business */

    struct refusal *refusal = NULL;
    if (state != ATTEMPT_TRYING) {
        refusal = keep_refusal(core, reply, stateless);
        if (refusal == NULL) {
            if (state == ATTEMPT_NEW)
                calls_drop(core->calls, call);
            return cannot_record(core, reply);
        }
    }
    struct call_end end = {.sip_status = reply->status,
                           .party = CALL_P_SYSTEM,
                           .reason = reply->reason.len > 0 ? reply->reason
                                                           : slice_of(sip_reason(reply->status))};
    calls_ended(core->calls, call, &end, core->now_ms);
    if (refusal == NULL)
        return false;
    calls_set_note(core->calls, call, refusal);
    if (state != ATTEMPT_NEW || calls_commit(core->calls, call, core->now_ms) == OK)
        return true;
    free_refusal(core, refusal);
    return cannot_record(core, reply);
}

/* ---- receipts ---- */

static void send_refusal(struct core *core, struct id server, const struct sip_msg *msg,
                         const struct refusal *refusal)
{
    struct sip_reply reply = {
        .status = refusal->status,
        .reason = {refusal->text, refusal->phrase_len},
        .fields = {refusal->text + refusal->phrase_len, refusal->fields_len},
    };

    if (!refusal->stateless) {
        if (txn_reply_parsed(core->txns, server, msg, &reply, core->now_ms) != OK)
            txn_server_drop(core->txns, server, core->now_ms);
        return;
    }
    const struct flow *source = txn_server_flow(core->txns, server);
    if (source != NULL)
        txn_reply_stateless(core->txns, msg, source, &reply);
    txn_server_drop(core->txns, server, core->now_ms);
}

static uint16_t status_of(enum err err)
{
    if (err == ERR_FULL)
        return 503;
    if (err == ERR_TOO_BIG)
        return 513;
    if (err == ERR_CONFLICT)
        return 480; /* its phone cannot be woken now */
    return err == ERR_NOT_FOUND ? 440 : 500;
}

static enum core_reason reason_of(enum err err)
{
    if (err == ERR_CONFLICT)
        return CORE_R_NOT_WOKEN;
    return err == ERR_FULL ? CORE_R_FULL : CORE_R_MEMORY;
}

/** Its record is there: the caller hears of it, and it goes on its way. */
static void go_on(struct core *core, struct id call, struct id server, const struct sip_msg *msg)
{
    struct sip_reply trying = {.status = 100};

    if (txn_reply_parsed(core->txns, server, msg, &trying, core->now_ms) != OK)
        return;
    enum err err = proxy_release(core->proxy, server, msg, core->now_ms);
    if (err == OK || err == ERR_AGAIN) /* it waits for a name */
        return;
    struct sip_reply reply = {.status = status_of(err)};
    struct call_end end = {.sip_status = reply.status,
                           .party = CALL_P_SYSTEM,
                           .reason = slice_of(sip_reason(reply.status))};
    calls_ended(core->calls, call, &end, core->now_ms);
    core_count(core, reason_of(err));
    if (txn_reply_parsed(core->txns, server, msg, &reply, core->now_ms) != OK)
        txn_server_drop(core->txns, server, core->now_ms);
}

static void not_recorded(struct core *core, struct id server, const struct sip_msg *msg,
                         enum err err)
{
    struct sip_reply reply = {.status = 503, .reason = SLICE("Calls cannot be recorded")};

    core_count(core, CORE_R_STORE);
    core_logf(core, CORE_LOG_ERROR, "store", "call %.*s refused, its record is not stored: %s",
              SLICE_ARG(msg->call_id), err_name(err));
    proxy_abandon(core->proxy, server);
    if (txn_reply_parsed(core->txns, server, msg, &reply, core->now_ms) != OK)
        txn_server_drop(core->txns, server, core->now_ms);
}

static void on_begun(void *user, struct id call, enum err err, uint64_t now_ms)
{
    struct core *core = user;
    struct id server = calls_server(core->calls, call);
    struct refusal *refusal = calls_note(core->calls, call);
    struct sip_msg *msg = &core->resumed;

    (void)now_ms;
    arena_reset(&core->scratch);
    calls_set_note(core->calls, call, NULL);
    if (txn_server_parse(core->txns, server, msg) != OK) {
        give_up(core, call, 0); /* its transaction is gone, with or without an answer */
    } else {
        core_set_topic(core, msg);
        if (err)
            not_recorded(core, server, msg, err);
        else if (refusal != NULL)
            send_refusal(core, server, msg, refusal);
        else
            go_on(core, call, server, msg);
    }
    if (refusal != NULL)
        free_refusal(core, refusal);
    if (err)
        calls_drop(core->calls, call);
}

/* ---- CANCEL, and what passes within a call ---- */

static bool given_up(struct core *core, const struct sip_msg *msg, struct id server,
                     struct call_end end)
{
    struct call_key key;

    if (!attempt_key(core, msg->call_id, msg->from.tag, &key))
        return false;
    struct id call = calls_find(core->calls, &key);
    if (call.generation == 0 || !id_equal(calls_server(core->calls, call), server))
        return false;
    if (calls_note(core->calls, call) != NULL)
        return true; /* it is refused already, and will be told so */
    calls_cancelled(core->calls, call, &end, core->now_ms);
    if (txn_server_context_get(core->txns, server) != 0)
        return false; /* the proxy ends it */
    if (end.reason.len == 0)
        end.reason = slice_of(sip_reason(487));
    if (calls_state(core->calls, call) ==
        ATTEMPT_WAITING) { /* and for a name: 487 with the receipt */
        struct sip_reply reply = {.status = 487};
        struct refusal *refusal = keep_refusal(core, &reply, false);
        calls_ended(core->calls, call, &end, core->now_ms);
        if (refusal != NULL)
            calls_set_note(core->calls, call, refusal);
        return refusal != NULL;
    }
    calls_ended(core->calls, call, &end, core->now_ms);
    return false;
}

bool attempt_cancelled(struct core *core, const struct sip_msg *cancel, struct id server)
{
    return given_up(core, cancel, server, end_from(cancel, 487, CALL_P_CALLER));
}

bool attempt_caller_lost(struct core *core, struct id server)
{
    struct sip_msg *msg = &core->resumed;
    struct call_end end = {
        .sip_status = 487, .party = CALL_P_CALLER, .reason = SLICE("its connection was lost")};

    arena_reset(&core->scratch);
    return txn_server_parse(core->txns, server, msg) == OK && given_up(core, msg, server, end);
}

/**
 * The call that is up and in whose dialog a message is. False: there is none; `*of_answer`: the
 * callee is who answered first, not another branch of a fork.
 */
static bool find_up(struct core *core, const struct sip_msg *msg, bool from_caller, struct id *call,
                    bool *of_answer)
{
    struct slice caller_tag = from_caller ? msg->from.tag : msg->to.tag;
    struct slice callee_tag = from_caller ? msg->to.tag : msg->from.tag;
    struct call_key key;

    if (!attempt_key(core, msg->call_id, caller_tag, &key))
        return false;
    *call = calls_find(core->calls, &key);
    *of_answer =
        calls_callee_tag(core->calls, *call) == call_tag_hash(core->config.hash_seed, callee_tag);
    return calls_state(core->calls, *call) == ATTEMPT_UP;
}

void attempt_agreed(struct core *core, struct id server, const struct sip_msg *response)
{
    struct sip_msg *msg = arena_alloc(&core->scratch, sizeof *msg);
    bool of_answer = false, from_caller = true;
    struct id call;

    if (msg == NULL || txn_server_parse(core->txns, server, msg) != OK)
        return;
    if (!find_up(core, msg, true, &call, &of_answer)) {
        from_caller = false;
        if (!find_up(core, msg, false, &call, &of_answer))
            return;
    }
    if (!of_answer)
        return;
    on_media(core, call, from_caller ? CALL_P_CALLER : CALL_P_CALLEE, msg, core->now_ms);
    on_media(core, call, from_caller ? CALL_P_CALLEE : CALL_P_CALLER, response, core->now_ms);
    calls_moved(core->calls, call, from_caller ? CALL_P_CALLER : CALL_P_CALLEE, dialog_contact(msg),
                core->now_ms);
    calls_moved(core->calls, call, from_caller ? CALL_P_CALLEE : CALL_P_CALLER,
                dialog_contact(response), core->now_ms);
}

bool attempt_in_dialog(struct core *core, const struct request *r)
{
    const struct sip_msg *msg = r->msg;
    bool of_answer;
    struct id call;

    if (msg->method == SIP_ACK && msg->body.len == 0)
        return false;
    bool up = find_up(core, msg, r->from_caller, &call, &of_answer);
    if (msg->method != SIP_ACK && msg->method != SIP_BYE) /* an ACK's number is its INVITE's */
        calls_said(core->calls, call, r->from_caller, msg->cseq.number, core->now_ms);
    if (!up)
        return false;
    calls_heard(core->calls, call, core->now_ms);
    if (!of_answer)
        return false;
    if (msg->method == SIP_ACK) /* the answer to an offer in the 2xx */
        on_media(core, call, r->from_caller ? CALL_P_CALLER : CALL_P_CALLEE, msg, core->now_ms);
    if (msg->method != SIP_BYE)
        return msg->method == SIP_INVITE || msg->method == SIP_UPDATE;
    struct call_end end = end_from(msg, 0, r->from_caller ? CALL_P_CALLER : CALL_P_CALLEE);
    calls_ended(core->calls, call, &end, core->now_ms);
    return false;
}

/* ---- open and close ---- */

enum err attempts_open(struct core *core)
{
    struct calls_config config = {
        .worker = core->config.worker,
        .workers = core->config.workers,
        .calls_max = core->config.calls_max,
        .id_floor = core->config.call_id_floor,
        .hash_seed = core->config.hash_seed,
        .silence_ms = core->config.call_silence_ms,
        .mem = &core->mem,
        .wheel = &core->wheel,
        .durable = core->config.durable,
        .user = core,
        .begun = on_begun,
        .interrupted = interrupted_add,
    };
    return calls_open(&config, &core->calls);
}

void attempts_close(struct core *core)
{
    struct list *node;

    while ((node = list_pop(&core->refusals)) != NULL)
        free_refusal(core, CONTAINER_OF(node, struct refusal, node));
    interrupted_close(core);
    calls_close(core->calls);
    core->calls = NULL;
}
