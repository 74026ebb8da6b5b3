/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/limits - between guard/ and the rest: who proved himself, what strangers do wrong, and what
 * other workers must hear of it.
 *
 * Each worker counts for itself what comes by its sockets. What makes a source known, and bars, are
 * told to all; failed logins to the worker that counts the pair. Such a letter may find a mailbox
 * full: then the next proof from there, whatever its kind, or the next failures send another.
 */
#include "core/internal.h"
#include "sip/peek.h"

enum {
    POINTS_GARBAGE = 3,
    POINTS_FAULT = 3,
    POINTS_UNKNOWN_USER = 2,
    POINTS_RELAY = 5, /* an attempt to call out through us */
    POINTS_STRAY = 1,
    CALL_VOUCH_MS = 1800000, /* who is in a call is known for half an hour after each request */
    REGISTERED_SLACK_MS = 32000,
    VOUCH_MAX_MS = 7 * 86400000,
    LOG_EVERY_MS = 1000,
};

enum err limits_open(struct core *core)
{
    struct guard_config config = core->config.guard;

    config.seed = core->config.hash_seed;
    config.trusted = core->config.trusted;
    config.trusted_count = core->config.trusted_count;
    config.edges = core->config.edges;
    config.edge_count = core->config.edge_count;
    return guard_open(&config, &core->guard);
}

void limits_close(struct core *core)
{
    guard_close(core->guard);
}

/** False: not all of them, there was no room. */
static bool tell_others(struct core *core, const struct core_mail *mail)
{
    bool told = true;

    for (uint32_t i = 0; i < core->config.workers; i++)
        if (i != core->config.worker && !core->config.ops.post(core->config.ops.user, i, mail)) {
            core_count(core, CORE_R_MAILBOX);
            told = false;
        }
    return told;
}

/* ---- packets ---- */

/** A flood must not become one of log lines. */
static void log_dropped(struct core *core, const struct addr *source, enum core_reason reason)
{
    char text[ADDR_TEXT_MAX];

    core->limits_dropped++;
    if (core->now_ms < core->limits_log_ms)
        return;
    core_logf(core, CORE_LOG_WARNING, core_reason_name(reason),
              "packets dropped before they were read: %llu since the last such line, now from %s",
              (unsigned long long)core->limits_dropped, addr_text(source, text));
    core->limits_dropped = 0;
    core->limits_log_ms = core->now_ms + LOG_EVERY_MS;
}

bool limits_packet(struct core *core, const struct addr *source, bool stream)
{
    static const enum core_reason reasons[] = {
        [GUARD_BARRED] = CORE_R_BARRED,
        [GUARD_SOURCE] = CORE_R_SOURCE_LIMIT,
        [GUARD_STRANGERS] = CORE_R_STRANGERS,
    };
    enum guard_verdict verdict = guard_packet(core->guard, source, stream, core->now_ms);

    if (verdict == GUARD_PASS)
        return true;
    core_count(core, reasons[verdict]);
    log_dropped(core, source, reasons[verdict]);
    return false;
}

bool core_may_read(struct core *core, const struct addr *source, uint64_t now_ms)
{
    return guard_may_read(core->guard, source, now_ms);
}

bool core_may_handshake(struct core *core, const struct addr *source, uint64_t now_ms)
{
    return guard_handshake(core->guard, source, now_ms);
}

/* ---- bars ---- */

/** False: it is exempt or vouched for, or there is no room. */
static bool bar_here(struct core *core, const struct addr *source, struct slice user,
                     enum guard_reason reason, uint32_t ms)
{
    char text[ADDR_TEXT_MAX];

    if (!guard_bar(core->guard, source, user, reason, ms, core->now_ms))
        return false;
    core_logf(core, CORE_LOG_WARNING, "barred", "%.*s%s%s for %u s: %s", SLICE_ARG(user),
              user.len > 0 ? " at " : "", addr_text(source, text), ms / 1000,
              guard_reason_name(reason));
    return true;
}

static void bar_everywhere(struct core *core, const struct addr *source, struct slice user,
                           enum guard_reason reason, uint32_t ms)
{
    struct core_mail mail = {
        .kind = CORE_MAIL_BAR,
        .from = (uint16_t)core->config.worker,
        .number = ms,
        .id = {.slot = (uint32_t)reason},
        .flow = {.remote = *source},
        .bytes = user,
    };

    if (!bar_here(core, source, user, reason, ms))
        return; /* nor would the others */
    core->counters.bars++;
    (void)tell_others(core, &mail);
}

static void add_points(struct core *core, const struct flow *source, uint32_t points,
                       enum guard_reason reason)
{
    if (guard_points(core->guard, &source->remote, points, core->now_ms))
        bar_everywhere(core, &source->remote, SLICE_EMPTY, reason, core->config.guard.bar_ms);
}

void limits_refused(struct core *core, const struct flow *source, enum core_reason reason)
{
    static const uint8_t points[CORE_R_COUNT] = {
        [CORE_R_GARBAGE] = POINTS_GARBAGE,      [CORE_R_BAD_REQUEST] = POINTS_FAULT,
        [CORE_R_RELAY] = POINTS_RELAY,          [CORE_R_NOT_FOUND] = POINTS_UNKNOWN_USER,
        [CORE_R_STRAY_RESPONSE] = POINTS_STRAY, [CORE_R_STRAY_ACK] = POINTS_STRAY,
        [CORE_R_NO_TRANSACTION] = POINTS_STRAY, [CORE_R_FLOW_FORGED] = POINTS_FAULT,
    };

    if (points[reason] > 0)
        add_points(core, source, points[reason],
                   transport_reliable(source->transport) ? GUARD_R_STREAM_GLITCHES
                                                         : GUARD_R_GLITCHES);
}

static bool is_scanners(struct slice agent)
{
    static const char *const names[] = {
        "friendly-scanner",
        "sipvicious",
        "sundayddr",
        "sip-scan",
        "sipsscan",
        "smap",
        "sivus",
        "iwar",
        "pplsip",
        "friendly-request",
    };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct slice begin = {agent.data, strlen(names[i])};
        if (begin.len <= agent.len && slice_equal_nocase(begin, slice_of(names[i])))
            return true;
    }
    return false;
}

static void bar_scanner(struct core *core, const struct flow *source)
{
    core_count(core, CORE_R_SCANNER);
    add_points(core, source, UINT32_MAX,
               transport_reliable((enum transport)source->transport) ? GUARD_R_STREAM_SCANNER
                                                                     : GUARD_R_SCANNER);
}

bool limits_is_scanner(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    struct slice agent = sip_value(msg, SIP_F_USER_AGENT);

    if (agent.len == 0 || !guard_is_stranger(core->guard, &source->remote, core->now_ms) ||
        !is_scanners(agent))
        return false;
    bar_scanner(core, source);
    return true;
}

bool limits_is_scanner_unparsed(struct core *core, struct slice bytes, const struct flow *source)
{
    if (!guard_is_stranger(core->guard, &source->remote, core->now_ms) ||
        sip_peek_method(bytes) == SIP_METHOD_OTHER || !is_scanners(sip_peek_agent(bytes)))
        return false;
    bar_scanner(core, source);
    return true;
}

/* ---- logins ---- */

static void count_failure(struct core *core, const struct addr *source, struct slice user)
{
    uint32_t ms = guard_failure(core->guard, source, user, core->now_ms);
    if (ms > 0)
        bar_everywhere(core, source, user, GUARD_R_LOGINS, ms);
}

static void report_failure(struct core *core, const struct addr *source, struct slice user)
{
    unsigned owner = table_owner(guard_pair_hash(core->guard, source, user), core->config.workers);
    struct core_mail mail = {
        .kind = CORE_MAIL_LOGIN_FAILED,
        .from = (uint16_t)core->config.worker,
        .flow = {.remote = *source},
        .bytes = user,
    };

    if (owner == core->config.worker)
        count_failure(core, source, user);
    else if (!core->config.ops.post(core->config.ops.user, owner, &mail))
        core_count(core, CORE_R_MAILBOX);
}

void limits_login_failed(struct core *core, const struct addr *source, struct slice user)
{
    core->counters.logins_failed++;
    report_failure(core, source, user);
    if (user.len > 0)
        report_failure(core, source, SLICE_EMPTY); /* the address, whoever he says he is */
}

bool limits_login_barred(const struct core *core, const struct addr *source, struct slice user)
{
    return guard_is_barred(core->guard, source, user, core->now_ms);
}

/* ---- proofs ---- */

static void vouch(struct core *core, const struct addr *source, uint64_t period_ms)
{
    if (period_ms > VOUCH_MAX_MS)
        period_ms = VOUCH_MAX_MS;
    uint64_t news_ms = guard_vouch(core->guard, source, period_ms, core->now_ms);
    if (news_ms == 0)
        return;
    struct core_mail mail = {
        .kind = CORE_MAIL_VOUCH,
        .from = (uint16_t)core->config.worker,
        .number = (uint32_t)news_ms,
        .flow = {.remote = *source},
    };
    if (!tell_others(core, &mail))
        guard_vouch_untold(core->guard, source);
}

void limits_vouch(struct core *core, const struct addr *source, uint64_t period_ms)
{
    vouch(core, source, period_ms);
}

void limits_logged_in(struct core *core, const struct addr *source)
{
    vouch(core, source, GUARD_VOUCH_MIN_MS);
}

void limits_in_call(struct core *core, const struct addr *source)
{
    vouch(core, source, CALL_VOUCH_MS);
}

void limits_registered(struct core *core, const struct addr *source, struct slice block)
{
    struct binding binding;
    uint32_t cursor = 0;
    uint64_t until_ms = 0;

    /* Without passwords a REGISTER proves nothing, not even where it came from. */
    if (!core->config.auth_required)
        return;
    while (block.len > 0 && binding_next(block, &cursor, &binding))
        if (binding.expires_ms > until_ms && addr_same_host(&binding.flow.remote, source))
            until_ms = binding.expires_ms;
    if (until_ms > core->wall_ms)
        vouch(core, source, until_ms - core->wall_ms + REGISTERED_SLACK_MS);
}

void limits_restored(struct core *core, struct slice block)
{
    struct binding binding;
    uint32_t cursor = 0;

    if (!core->config.auth_required)
        return;
    while (block.len > 0 && binding_next(block, &cursor, &binding))
        if (binding.expires_ms > core->wall_ms) /* every worker is given all: nobody need be told */
            (void)guard_vouch(core->guard, &binding.flow.remote,
                              binding.expires_ms - core->wall_ms + REGISTERED_SLACK_MS,
                              core->now_ms);
}

/* ---- requests ---- */

enum verdict limits_call(struct core *core, struct request *r, bool nobody)
{
    bool stream = transport_reliable((enum transport)r->source->transport);

    /* A 404 leaves nothing behind, see refuse(); it costs points instead. */
    if ((nobody && core->config.auth_required) || r->in_dialog || r->by_flow || r->user != NULL ||
        r->msg->method == SIP_ACK ||
        guard_call(core->guard, &r->source->remote, stream, core->now_ms))
        return GO_ON;
    if (stream)
        return refuse(core, r, CORE_R_STRANGER_CALLS, 503, NULL, SLICE_EMPTY);
    /* As if the network had lost it: nothing is sent to where it may not have come from, and one of
     * the caller's copies may still get through. */
    core_count(core, CORE_R_STRANGER_CALLS);
    return DROP;
}

enum verdict limits_user(struct core *core, struct request *r)
{
    if (guard_user(core->guard, r->user->name, core->now_ms))
        return GO_ON;
    return refuse(core, r, CORE_R_USER_LIMIT, 503, "Too many requests of this user", SLICE_EMPTY);
}

/* ---- what other workers say, and people ask ---- */

void limits_mail(struct core *core, const struct core_mail *mail)
{
    const struct addr *source = &mail->flow.remote;

    if (mail->kind == CORE_MAIL_VOUCH)
        (void)guard_vouch(core->guard, source, mail->number, core->now_ms);
    else if (mail->kind == CORE_MAIL_LOGIN_FAILED)
        count_failure(core, source, mail->bytes);
    else
        (void)bar_here(core, source, mail->bytes, (enum guard_reason)mail->id.slot, mail->number);
}

uint32_t core_bars(const struct core *core, uint64_t now_ms, struct guard_bar_info *out,
                   uint32_t max)
{
    return guard_bars(core->guard, now_ms, out, max);
}

uint32_t core_lift_bar(struct core *core, struct slice name, uint64_t now_ms)
{
    return guard_lift(core->guard, name, now_ms);
}
