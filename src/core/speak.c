/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/speak - requests of our own in a call: so far a BYE to both ends.
 *
 * Such a request is written as if one end had sent it to us, with our token in its first Route, and
 * goes through the same stages as that would (routes, then where it leads, waiting for a name where
 * one is needed), so that it finds a phone behind a NAT, on a connection or after a new
 * registration the same way. It leaves by a client transaction of its own, and its answer ends
 * here.
 *
 * After our BYEs nothing of that dialog passes any more but ACKs and what was under way, so no CSeq
 * has to be shifted: both ends have ended it, and what one of them sent before it heard of that
 * gets from us what it would get from the other (RFC 3261 §15.1.2, §12.2.2): 200 for a BYE that
 * crosses ours, 481 for all else.
 */
#include "core/internal.h"

enum {
    REQUEST_MAX = 8192,
};

/** Only for the parser: a request without Via is none. It is not sent. */
static const char no_via[] = "Via: SIP/2.0/UDP own.invalid;branch=z9hG4bKown\r\n";

static const struct flow nowhere = {.listener = LISTENER_ANY};

/* ---- writing ---- */

/** The Routes that are left, each in a line; a strict router's goes into the Request-URI, and the
 * target comes last (RFC 3261 §12.2.1.1). */
static void add_routes(struct builder *b, const struct request *r, struct slice target)
{
    struct sip_values values = sip_values(r->msg, SIP_F_ROUTE);
    bool strict = r->has_route && !r->route.lr;
    unsigned seen = 0;
    struct slice value;

    while (sip_values_next(&values, &value)) {
        if (seen++ < (unsigned)r->routes_drop + (strict ? 1u : 0u))
            continue;
        builder_text(b, "Route: ");
        builder_add(b, value);
        builder_text(b, "\r\n");
    }
    if (!strict)
        return;
    builder_text(b, "Route: <");
    builder_add(b, target);
    builder_text(b, ">\r\n");
}

static void write_request(struct core *core, const struct request *r,
                          const struct proxy_target *target, struct slice branch, struct builder *b)
{
    const struct sip_msg *msg = r->msg;
    bool strict = r->has_route && !r->route.lr;

    builder_add(b, msg->method_name);
    builder_text(b, " ");
    builder_add(b, strict ? r->route_text : target->uri);
    builder_text(b, " SIP/2.0\r\n");
    proxy_via_write(core->proxy, &target->to, branch, b);
    builder_text(b, "Max-Forwards: 70\r\n");
    if (target->routes.len > 0) { /* the Path of a registration */
        builder_text(b, "Route: ");
        builder_add(b, target->routes);
        builder_text(b, "\r\n");
    }
    add_routes(b, r, target->uri);
    sip_add_fields(b, msg, SIP_F_FROM);
    sip_add_fields(b, msg, SIP_F_TO);
    sip_add_fields(b, msg, SIP_F_CALL_ID);
    sip_add_fields(b, msg, SIP_F_CSEQ);
    sip_add_fields(b, msg, SIP_F_REASON);
    builder_text(b, "Content-Length: 0\r\n\r\n");
}

enum verdict speak_send(struct core *core, struct request *r, const struct proxy_target *target)
{
    char branch[TXN_BRANCH_LEN];
    char *text = arena_alloc(&core->scratch, REQUEST_MAX);
    struct builder b = builder_over(text, text != NULL ? REQUEST_MAX : 0);
    struct id client;

    enum err err = txn_client_open(core->txns, (enum sip_method)r->msg->method, r->loop,
                                   SPEAK_NUMBER, &client, branch);
    if (err)
        return DROP;
    write_request(core, r, target, (struct slice){branch, sizeof branch}, &b);
    if (b.overflow ||
        txn_client_send(core->txns, client, builder_slice(&b), &target->to, core->now_ms) != OK) {
        txn_client_discard(core->txns, client);
        return DROP;
    }
    return ANSWERED;
}

/* ---- the way ---- */

static enum verdict run(struct core *core, const struct sip_msg *msg)
{
    struct request r = {
        .msg = msg,
        .source = &nowhere,
        .own = true,
        .uri_text = msg->uri,
        .uri = msg->request_uri,
        .loop = proxy_loop_hash(&core->config.loop_key, msg),
    };
    enum verdict verdict = stage_routes(core, &r);

    if (verdict == GO_ON && r.in_dialog)
        verdict = stage_forward(core, &r);
    return verdict;
}

static void log_lost(struct core *core, const struct sip_msg *msg)
{
    core->counters.byes_unanswered++;
    core_logf(core, CORE_LOG_INFO, "bye", "no way to %.*s for our BYE, Call-ID %.*s",
              SLICE_ARG(msg->uri), SLICE_ARG(msg->call_id));
}

void speak_resume(struct core *core, const struct sip_msg *msg)
{
    arena_reset(&core->scratch);
    enum verdict verdict = run(core, msg);
    if (verdict != ANSWERED && verdict != WAITING)
        log_lost(core, msg);
}

/** Says BYE to one end. False: the dialog cannot be spoken in. */
static bool say_bye(struct core *core, const struct dialog *dialog, bool to_caller,
                    struct slice call_id)
{
    struct sip_msg *msg = arena_alloc(&core->scratch, sizeof *msg);
    char *text = arena_alloc(&core->scratch, REQUEST_MAX);
    struct builder b = builder_over(text, text != NULL ? REQUEST_MAX : 0);

    if (msg == NULL ||
        dialog_write(dialog, to_caller, SLICE("BYE"), call_id, slice_of(no_via),
                     SLICE("Reason: Q.850;cause=16;text=\"Hung up by the operator\"\r\n"),
                     &b) != OK ||
        sip_parse(builder_slice(&b), SIP_DATAGRAM, msg) != OK || !msg->is_request ||
        msg->fault.status != 0)
        return false;
    core_set_topic(core, msg);
    enum verdict verdict = run(core, msg);
    if (verdict != ANSWERED && verdict != WAITING)
        log_lost(core, msg);
    return true;
}

enum err core_hang_up(struct core *core, const struct core_call *which, uint64_t now_ms,
                      uint64_t wall_ms)
{
    const struct call_key key = {.attempt = {which->attempt_hash_a, which->attempt_hash_b}};
    struct slice call_id;
    struct dialog dialog;

    if (core->calls == NULL)
        return ERR_NOT_FOUND;
    core->now_ms = now_ms;
    core->wall_ms = wall_ms;
    struct id call = calls_find(core->calls, &key);
    if (calls_record_id(core->calls, call) != which->id)
        return ERR_NOT_FOUND;
    enum err err = calls_dialog(core->calls, call, &dialog, &call_id);
    if (err)
        return err;
    arena_reset(&core->scratch);
    if (!say_bye(core, &dialog, true, call_id) || !say_bye(core, &dialog, false, call_id))
        return ERR_CONFLICT;
    core->counters.hung_up++;
    calls_hung_up(core->calls, call, SLICE("hung up by the operator"), now_ms);
    return OK;
}

/* ---- what comes back ---- */

void speak_answered(struct core *core, const struct sip_msg *response)
{
    uint16_t status = response->status;

    if (status < 300 || status == 481 || status == 408)
        return; /* it is over there, or was (RFC 3261 §15.1.1) */
    core->counters.byes_refused++;
    core_logf(core, CORE_LOG_INFO, "bye", "our BYE was answered %u by %.*s, Call-ID %.*s", status,
              SLICE_ARG(response->to.uri_text), SLICE_ARG(response->call_id));
}

void speak_failed(struct core *core)
{
    core->counters.byes_unanswered++;
}

/** The call that a request is in, as it may be known when it is over. */
static bool was_hung_up(struct core *core, const struct request *r)
{
    struct call_key key;

    return attempt_key(core, r->msg->call_id, r->from_caller ? r->msg->from.tag : r->msg->to.tag,
                       &key) &&
           calls_was_hung_up(core->calls, calls_find(core->calls, &key));
}

enum verdict speak_ended(struct core *core, struct request *r)
{
    if (core->counters.hung_up == 0 || r->server.generation == 0 || !was_hung_up(core, r))
        return GO_ON;
    if (r->msg->method != SIP_BYE)
        return refuse(core, r, CORE_R_NO_TRANSACTION, 481, NULL, SLICE_EMPTY);
    struct sip_reply reply = {.status = 200};
    return answer_request(core, r, &reply);
}
