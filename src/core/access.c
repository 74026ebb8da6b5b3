/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/access - who may do what (RFC 3261 §16.3 step 6, §22, §26).
 *
 *  - REGISTER, and requests whose From is of our domains, need credentials of that user.
 *  - Requests inside a dialog that we let through carry our token: no challenge.
 *  - What carries a flow token of our Path goes to that phone; what is for a domain whose edge we
 *    are goes to its registrar, which asks for credentials itself.
 *  - Everybody may call our users; nobody unknown gets anywhere else through us.
 *  - ACK and CANCEL are never challenged.
 *  - An address that we trust says who is there, but not by WebSocket: a browser there connects for
 *    whatever page its user has come upon.
 */
#include "core/internal.h"

bool core_is_trusted(const struct core *core, const struct addr *source)
{
    for (uint32_t i = 0; i < core->config.trusted_count; i++)
        if (addr_net_contains(&core->config.trusted[i], source))
            return true;
    return false;
}

bool core_trusts(const struct core *core, const struct flow *source)
{
    return source->transport != TRANSPORT_WS && source->transport != TRANSPORT_WSS &&
           core_is_trusted(core, &source->remote);
}

static bool is_sip(const struct sip_uri *uri)
{
    return uri->scheme == SIP_SCHEME_SIP || uri->scheme == SIP_SCHEME_SIPS;
}

/**
 * Would a phone show it as one of our users, or as a number that we stand for? An identity in our
 * domain is ours with any port and maddr, or a stranger would use them to call in a user's name. So
 * is an address of ours with any port, but for another server on that machine, who speaks for
 * himself. What is no SIP URI has no domain to be a stranger's: the number of a tel: (RFC 3966) is
 * shown as if we had said it.
 */
static bool is_our_identity(const struct core *core, const struct request *r)
{
    const struct sip_uri *from = &r->from;
    struct addr numeric;

    if (!is_sip(from) || is_our_uri(core, from))
        return true;
    return is_our_host(core, from->host, 0) &&
           (sip_uri_addr(from, 1, &numeric) != OK || !addr_same_host(&numeric, &r->source->remote));
}

void request_from(struct core *core, struct request *r)
{
    if (r->from_parsed)
        return;
    r->from_parsed = true;
    if (sip_uri_parse(r->msg->from.uri_text, &r->from) != OK || !is_our_identity(core, r))
        return;
    r->from_is_ours = true;
    if (!is_sip(&r->from))
        return; /* no address-of-record of ours */

    char *text = arena_alloc(&core->scratch, r->from.user.len + 1);
    if (text == NULL)
        return;
    struct builder b = builder_over(text, r->from.user.len + 1);
    if (registrar_aor_key(&r->from, &b) == OK)
        r->from_key = builder_slice(&b);
}

const struct user *access_like(const struct core *core, struct slice name)
{
    const struct user *user = policy_user_by_name(core->policy, name);
    size_t count = policy_user_count(core->policy);

    if (user != NULL || count == 0)
        return user;
    return policy_user_at(core->policy, hash_mac(&core->config.nonce_key, name) % count);
}

static bool is_register(const struct request *r)
{
    return r->msg->method == SIP_REGISTER && r->uri_is_ours;
}

static bool needs_credentials(struct core *core, struct request *r)
{
    if (!core->config.auth_required || core_trusts(core, r->source))
        return false;
    if (is_register(r))
        return true;
    request_from(core, r);
    return r->from_is_ours;
}

/** `name`: who he says he is; decides which algorithms are offered. */
static enum verdict challenge(struct core *core, struct request *r, enum core_reason reason,
                              struct slice name)
{
    bool proxy = !is_register(r);
    char text[2048];
    struct builder b = builder_over(text, sizeof text);

    auth_challenge(core->auth, &b, proxy, reason == CORE_R_STALE, access_like(core, name),
                   r->source, core->wall_ms);
    if (b.overflow)
        return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
    return refuse(core, r, reason, proxy ? 407 : 401, NULL, builder_slice(&b));
}

enum err access_open(struct core *core)
{
    return pool_init(&core->count_waits, &core->mem, sizeof(struct count_wait),
                     core->config.transactions_max);
}

static struct id count_wait_end(struct count_wait *wait)
{
    struct core *core = wait->core;
    struct id server = wait->server;

    timer_stop(&core->wheel, &wait->timer);
    pool_free(&core->count_waits, wait->id);
    return server;
}

void access_close(struct core *core)
{
    uint32_t cursor = 0;
    struct id id;
    struct count_wait *wait;

    while ((wait = pool_next(&core->count_waits, &cursor, &id)) != NULL)
        count_wait_end(wait);
    pool_release(&core->count_waits);
}

void access_answer(struct core *core, struct id id, enum auth_verdict verdict)
{
    struct count_wait *wait = pool_get(&core->count_waits, id);
    if (wait != NULL)
        core_resume(core, count_wait_end(wait), verdict);
}

/* No answer came: the phone gets a new nonce and tries again by itself. */
static void on_count_timer(struct timer *timer, uint64_t now_ms)
{
    struct count_wait *wait = CONTAINER_OF(timer, struct count_wait, timer);
    struct core *core = wait->core;

    (void)now_ms;
    core_resume(core, count_wait_end(wait), AUTH_STALE);
}

static struct count_wait *count_wait_new(struct core *core, struct id server)
{
    struct id id;
    struct count_wait *wait = pool_alloc(&core->count_waits, &id);
    if (wait == NULL)
        return NULL;
    *wait =
        (struct count_wait){.timer.fn = on_count_timer, .core = core, .id = id, .server = server};
    timer_start(&core->wheel, &wait->timer, core->now_ms + COUNT_ANSWER_MS);
    return wait;
}

/** The nonce's owner is another worker: it is asked whether this count is fresh. */
static enum verdict ask_count(struct core *core, struct request *r,
                              const struct auth_result *result)
{
    struct count_wait *wait =
        result->owner < core->config.workers ? count_wait_new(core, r->server) : NULL;
    r->count = AUTH_STALE; /* until it says otherwise */
    if (wait == NULL)
        return challenge(core, r, CORE_R_STALE, result->credentials.username);

    struct core_mail mail = {
        .kind = CORE_MAIL_COUNT_ASK,
        .from = (uint16_t)core->config.worker,
        .number = auth_count_of(&result->credentials),
        .id = wait->id,
        .bytes = result->credentials.nonce,
    };
    if (is_register(r))
        register_watch_conn(core, r);
    if (core->config.ops.post(core->config.ops.user, result->owner, &mail))
        return WAITING;
    count_wait_end(wait);
    return challenge(core, r, CORE_R_STALE, result->credentials.username);
}

/** Is From the user by name, or by a number of his? */
static bool is_own_from(const struct request *r)
{
    char digits[64];
    struct builder number = builder_over(digits, sizeof digits);

    if (is_sip(&r->from))
        return slice_equal(r->from_key, r->user->name);
    if (r->from.scheme != SIP_SCHEME_TEL || sip_number_normalize(&number, r->from.user) != OK ||
        number.len == 0)
        return false;
    return slice_equal(builder_slice(&number), r->user->caller_number) ||
           slice_equal(builder_slice(&number), r->user->extension);
}

/** The authenticated user must be the one that From (and To of a REGISTER) names: 403. */
static bool is_own_identity(struct core *core, struct request *r)
{
    request_from(core, r);
    if (!r->from_is_ours || !is_own_from(r))
        return false;
    if (r->msg->method != SIP_REGISTER)
        return true;

    struct sip_uri to;
    if (sip_uri_parse(r->msg->to.uri_text, &to) != OK || !is_our_uri(core, &to))
        return true; /* the registrar says what is wrong with it */
    char *text = arena_alloc(&core->scratch, to.user.len + 1);
    if (text == NULL)
        return false;
    struct builder b = builder_over(text, to.user.len + 1);
    if (registrar_aor_key(&to, &b) != OK)
        return true;
    return slice_equal(builder_slice(&b), r->user->name);
}

static enum verdict check_credentials(struct core *core, struct request *r)
{
    struct auth_result result = auth_find(core->auth, r->msg, !is_register(r));
    if (result.verdict != AUTH_OK) {
        request_from(core, r);
        if (policy_user_by_name(core->policy, r->from_key) == NULL)
            limits_refused(core, r->source, CORE_R_NOT_FOUND);
        return challenge(core, r, CORE_R_CHALLENGED, r->from_key);
    }

    if (r->count != 0 && is_register(r) && register_lost_conn(core, r))
        return DROP;
    struct slice name = result.credentials.username;
    const struct user *user = policy_user_by_name(core->policy, name);
    if (user != NULL && user->disabled)
        user = NULL;
    if (r->count != 0) /* taken up again: all but the count was right before, if he still is one */
        result.verdict = user != NULL ? r->count : AUTH_BAD;
    else
        auth_check(core->auth, r->msg, user, access_like(core, name), r->source, core->wall_ms,
                   &result);
    /* Told only to who has a nonce of ours, and after the same work for any name and password: so
     * it says nothing about either. Not silence: a phone would try on, and its user not know why.
     */
    if (result.verdict >= AUTH_BAD && limits_login_barred(core, &r->source->remote, name))
        return refuse(core, r, CORE_R_LOGIN_BARRED, 403, "Too many failed logins", SLICE_EMPTY);
    if (result.verdict == AUTH_ELSEWHERE)
        return ask_count(core, r, &result);
    if (result.verdict == AUTH_BAD && result.wrong)
        limits_login_failed(core, &r->source->remote, name);
    switch (result.verdict) {
    case AUTH_OK:
        break;
    case AUTH_NONE:
        return challenge(core, r, CORE_R_CHALLENGED, name);
    case AUTH_STALE:
        return challenge(core, r, CORE_R_STALE, name);
    case AUTH_BAD:
    case AUTH_ELSEWHERE:
        return challenge(core, r, CORE_R_BAD_CREDENTIALS, name);
    }
    assert(user != NULL);
    r->user = user;
    r->credentials = result.field;
    core->counters.auth_ok++;
    limits_logged_in(core, &r->source->remote);
    if (!is_own_identity(core, r))
        return refuse(core, r, CORE_R_FORBIDDEN_IDENTITY, 403, "From is not this user",
                      SLICE_EMPTY);
    return core->resolved != 0 ? GO_ON : limits_user(core, r); /* it was counted before it waited */
}

/**
 * Does the request lead to one of our users, or to us? Then anybody may send it. Not by a Route
 * that is left, not even one to an address of ours (it has a user part, or it had been taken off):
 * what we send to ourselves comes back from an address that may be trusted.
 */
static bool leads_inside(const struct request *r)
{
    return !r->has_route && r->uri_is_ours;
}

/**
 * Has the caller shown that he hears us where the token says he is? The token alone does not say
 * so: it goes to the callee, too, who may be his friend. His password did, as its nonce was sent
 * there; and the source of a stream is true.
 */
static bool caller_is_there(const struct core *core, const struct request *r)
{
    return transport_reliable((enum transport)r->source->transport) ||
           (core->config.auth_required && !r->token.guarded);
}

/**
 * A token names the callee's address only where it was sent there; nobody else has it before he
 * has answered.
 */
static void vouch_by_token(struct core *core, const struct request *r)
{
    const struct proxy_side *sender = r->from_caller ? &r->token.caller : &r->token.callee;

    if (r->in_dialog && addr_same_host(&r->source->remote, &sender->flow.remote) &&
        (!r->from_caller || caller_is_there(core, r)))
        limits_in_call(core, &r->source->remote);
}

enum verdict stage_authenticate(struct core *core, struct request *r)
{
    vouch_by_token(core, r);
    if (r->token_suffices || r->by_flow || r->msg->method == SIP_ACK ||
        r->msg->method == SIP_CANCEL)
        return GO_ON;
    if (needs_credentials(core, r))
        return check_credentials(core, r);
    if (leads_inside(r) || edge_serves(core, r))
        return GO_ON;

    /* Without authentication From proves nothing: only our own networks get out. */
    if (core_trusts(core, r->source))
        return GO_ON;
    return refuse(core, r, CORE_R_RELAY, 403, "Relaying denied", SLICE_EMPTY);
}
