/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/refuse - every refusal is visible three ways: the answer, a counter, a log line.
 */
#include <stdarg.h>
#include <stdio.h>

#include "core/internal.h"

static const char *const reason_names[CORE_R_COUNT] = {
    [CORE_R_NONE] = "none",
    [CORE_R_GARBAGE] = "garbage",
    [CORE_R_BAD_REQUEST] = "bad_request",
    [CORE_R_SCHEME] = "scheme",
    [CORE_R_TOO_MANY_HOPS] = "too_many_hops",
    [CORE_R_LOOP] = "loop",
    [CORE_R_MERGED] = "merged",
    [CORE_R_PROXY_REQUIRE] = "proxy_require",
    [CORE_R_REQUIRE] = "require",
    [CORE_R_CHALLENGED] = "challenged",
    [CORE_R_STALE] = "stale_nonce",
    [CORE_R_BAD_CREDENTIALS] = "bad_credentials",
    [CORE_R_FORBIDDEN_IDENTITY] = "forbidden_identity",
    [CORE_R_RELAY] = "relay_denied",
    [CORE_R_NOT_FOUND] = "not_found",
    [CORE_R_NO_BINDING] = "no_binding",
    [CORE_R_DO_NOT_DISTURB] = "do_not_disturb",
    [CORE_R_NOT_WOKEN] = "not_woken",
    [CORE_R_FLOW_GONE] = "flow_gone",
    [CORE_R_FLOW_FORGED] = "flow_forged",
    [CORE_R_UNRESOLVED] = "unresolved",
    [CORE_R_DNS] = "dns",
    [CORE_R_DNS_FULL] = "dns_full",
    [CORE_R_BAD_EVENT] = "bad_event",
    [CORE_R_METHOD] = "method",
    [CORE_R_NO_TRANSACTION] = "no_transaction",
    [CORE_R_DRAINING] = "draining",
    [CORE_R_FULL] = "full",
    [CORE_R_MEMORY] = "memory",
    [CORE_R_STORE] = "store",
    [CORE_R_TOO_BIG] = "too_big",
    [CORE_R_SIPS_NOT_ALLOWED] = "sips_not_allowed",
    [CORE_R_SIPS_REQUIRED] = "sips_required",
    [CORE_R_REGISTRAR] = "registrar",
    [CORE_R_BREADTH] = "breadth",
    [CORE_R_NO_AUDIO] = "no_audio",
    [CORE_R_STRAY_RESPONSE] = "stray_response",
    [CORE_R_STRAY_ACK] = "stray_ack",
    [CORE_R_MAILBOX] = "mailbox_full",
    [CORE_R_OVERLOAD] = "overload",
    [CORE_R_BARRED] = "barred",
    [CORE_R_SOURCE_LIMIT] = "source_limit",
    [CORE_R_STRANGERS] = "strangers_limit",
    [CORE_R_STRANGER_CALLS] = "stranger_calls",
    [CORE_R_USER_LIMIT] = "user_limit",
    [CORE_R_LOGIN_BARRED] = "login_barred",
    [CORE_R_SCANNER] = "scanner",
    [CORE_R_CALLS_FULL] = "calls_full",
};

const char *core_reason_name(enum core_reason reason)
{
    assert(reason < CORE_R_COUNT);

    return reason_names[reason];
}

void core_count(struct core *core, enum core_reason reason)
{
    assert(reason < CORE_R_COUNT);

    core->counters.refused[reason]++;
}

void core_logf(struct core *core, enum core_log_level level, const char *event, const char *format,
               ...)
{
    if (core->config.ops.log == NULL)
        return;

    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t used = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    core->config.ops.log(core->config.ops.user, level, event, (struct slice){text, used});
}

/** Challenges are everyday business and not worth a line. */
static enum core_log_level level_of(enum core_reason reason)
{
    if (reason == CORE_R_CHALLENGED || reason == CORE_R_STALE)
        return CORE_LOG_DEBUG;
    if (reason == CORE_R_FULL || reason == CORE_R_CALLS_FULL || reason == CORE_R_MEMORY ||
        reason == CORE_R_STORE)
        return CORE_LOG_ERROR;
    return CORE_LOG_INFO;
}

/** Would the same bytes be refused again, whoever has registered meanwhile? A loop may be one of
 * users who are registered as each other. */
static const bool is_lasting[CORE_R_COUNT] = {
    [CORE_R_BAD_REQUEST] = true,   [CORE_R_SCHEME] = true,
    [CORE_R_TOO_MANY_HOPS] = true, [CORE_R_PROXY_REQUIRE] = true,
    [CORE_R_REQUIRE] = true,       [CORE_R_CHALLENGED] = true,
    [CORE_R_STALE] = true,         [CORE_R_FORBIDDEN_IDENTITY] = true,
    [CORE_R_RELAY] = true,         [CORE_R_NOT_FOUND] = true,
    [CORE_R_FLOW_FORGED] = true,   [CORE_R_BAD_EVENT] = true,
    [CORE_R_METHOD] = true,
};

/**
 * Who proved nothing gets one response for each copy of his request, and leaves nothing behind
 * (RFC 3261 §26.3.2.4): else a datagram with a forged source would make us send ten to the victim.
 * Not when it could go otherwise for a later copy: that one would be a call after its own refusal;
 * nor for a wrong password: only who receives what we send has a nonce to be wrong with.
 */
static bool is_stateless(const struct core *core, const struct request *r, enum core_reason reason)
{
    bool asked = r->count != 0; /* another worker, who may know the next time */
    bool open = reason == CORE_R_NOT_FOUND && !core->config.auth_required; /* until he registers */

    return r->user == NULL && !r->in_dialog && !asked && !open && is_lasting[reason] &&
           !core_trusts(core, r->source);
}

enum verdict refuse(struct core *core, struct request *r, enum core_reason reason, unsigned status,
                    const char *phrase, struct slice fields)
{
    char source[ADDR_TEXT_MAX];

    if (r->own)
        return DROP; /* who asked for it is told by speak.c */
    core_count(core, reason);
    limits_refused(core, r->source, reason);
    if (level_of(reason) != CORE_LOG_DEBUG)
        core_logf(core, level_of(reason), core_reason_name(reason),
                  "%.*s %.*s from %s answered %u, Call-ID %.*s", SLICE_ARG(r->msg->method_name),
                  SLICE_ARG(r->msg->uri), addr_text(&r->source->remote, source), status,
                  SLICE_ARG(r->msg->call_id));
    if (r->server.generation == 0)
        return DROP; /* an ACK is never answered (RFC 3261 §17.1.1.3) */

    struct sip_reply reply = {
        .status = (uint16_t)status,
        .reason = phrase != NULL ? slice_of(phrase) : SLICE_EMPTY,
        .fields = fields,
    };
    bool stateless = is_stateless(core, r, reason);
    if (attempt_refused(core, r, reason, &reply, stateless))
        return WAITING;
    if (!stateless)
        return answer_request(core, r, &reply);
    txn_reply_stateless(core->txns, r->msg, r->source, &reply);
    txn_server_drop(core->txns, r->server, core->now_ms);
    return ANSWERED;
}

enum verdict answer_request(struct core *core, struct request *r, const struct sip_reply *reply)
{
    if (txn_reply_parsed(core->txns, r->server, r->msg, reply, core->now_ms) != OK)
        txn_server_drop(core->txns, r->server, core->now_ms);
    return ANSWERED;
}
