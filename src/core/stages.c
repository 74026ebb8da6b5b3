/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/stages - what happens to a request, in this order and nowhere else:
 *
 *     stage_validate      RFC 3261 §16.3: scheme, Max-Forwards, loop, Proxy-Require
 *     stage_routes        RFC 3261 §16.4: strict routers, our Route values, our token
 *     stage_admit         draining
 *     stage_authenticate  access.c
 *     stage_local         REGISTER, what is addressed to us, events we do not serve
 *     stage_forward       RFC 3261 §16.5, §16.6: targets, then proxy/
 *
 * The list itself is in core.c, core_run_stages().
 */
#include "core/internal.h"

#define ALLOW_LINE                                                                                 \
    "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, NOTIFY, "     \
    "MESSAGE\r\n"
#define OPTIONS_LINES                                                                              \
    ALLOW_LINE "Accept: */*\r\nSupported: path, outbound, gruu\r\n" /* our capabilities */
#define ALLOW_EVENTS_LINE "Allow-Events: none\r\n"                  /* no package is served yet */

/** Does it understand an option? */
typedef bool knows_fn(struct slice option);

static bool knows_none(struct slice option)
{
    (void)option;
    return false;
}

/* RFC 5630 §5.3. */
#define WARN_SIPS_NOT_ALLOWED "Warning: 380 strowger \"SIPS Not Allowed\"\r\n"
#define WARN_SIPS_REQUIRED    "Warning: 381 strowger \"SIPS Required\"\r\n"

/**
 * Writes "Unsupported: a, b" of all tokens of a header that are not known. What is no token is not
 * repeated: `malformed`.
 */
static bool unsupported_tokens(const struct sip_msg *msg, enum sip_field_id id, knows_fn *knows,
                               struct builder *b, bool *malformed)
{
    struct sip_values values = sip_values(msg, id);
    struct slice token;
    bool any = false;

    while (sip_values_next(&values, &token)) {
        if (token.len == 0 || knows(token))
            continue;
        *malformed |= !sip_is_token(token);
        builder_add(b, any ? SLICE(", ") : SLICE("Unsupported: "));
        builder_add(b, token);
        any = true;
    }
    builder_text(b, "\r\n");
    return any;
}

static enum verdict check_extensions(struct core *core, struct request *r, enum sip_field_id id,
                                     knows_fn *knows, enum core_reason reason)
{
    if (sip_field_first(r->msg, id) == NULL)
        return GO_ON;

    char text[512];
    struct builder b = builder_over(text, sizeof text);
    bool malformed = false;
    if (!unsupported_tokens(r->msg, id, knows, &b, &malformed))
        return GO_ON;
    if (malformed)
        return refuse(core, r, CORE_R_BAD_REQUEST, 400, "Malformed Require", SLICE_EMPTY);
    return refuse(core, r, reason, 420, NULL, b.overflow ? SLICE_EMPTY : builder_slice(&b));
}

static bool can_tls(const struct core *core)
{
    for (uint32_t i = 0; i < core->config.listener_count; i++)
        if (transport_secure((enum transport)core->config.listeners[i].transport))
            return true;
    return false;
}

/**
 * A sips URI asks for TLS on every hop (RFC 5630 §4.1). Who has come without is not let through:
 * the answers would tell him that it was secure. In a dialog the far end has chosen the URI.
 */
static enum verdict check_sips(struct core *core, struct request *r)
{
    if (r->uri.scheme != SIP_SCHEME_SIPS)
        return GO_ON;
    if (!can_tls(core))
        return refuse(core, r, CORE_R_SCHEME, 416, NULL, SLICE_EMPTY);
    if (r->msg->to.tag.len == 0 && !transport_secure((enum transport)r->source->transport))
        return refuse(core, r, CORE_R_SIPS_NOT_ALLOWED, 400, "SIPS without TLS", SLICE_EMPTY);
    return GO_ON;
}

enum verdict stage_validate(struct core *core, struct request *r)
{
    const struct sip_msg *msg = r->msg;

    r->uri_text = msg->uri;
    r->uri = msg->request_uri;
    if (r->uri.scheme == SIP_SCHEME_OTHER)
        return refuse(core, r, CORE_R_SCHEME, 416, NULL, SLICE_EMPTY);
    enum verdict verdict = check_sips(core, r);
    if (verdict != GO_ON)
        return verdict;
    if (msg->max_forwards == 0)
        return refuse(core, r, CORE_R_TOO_MANY_HOPS, 483, NULL, SLICE_EMPTY);

    r->loop = proxy_loop_hash(&core->config.loop_key, msg);
    if (proxy_is_loop(msg, r->loop, is_our_sent_by, core))
        return refuse(core, r, CORE_R_LOOP, 482, NULL, SLICE_EMPTY);
    if (msg->method == SIP_ACK)
        return GO_ON;
    return check_extensions(core, r, SIP_F_PROXY_REQUIRE, knows_none, CORE_R_PROXY_REQUIRE);
}

/** Is this side of the dialog at this host, as the token says, or that user's registrations? */
static bool is_at(struct core *core, const struct request *r, const struct proxy_side *side,
                  const struct addr *where)
{
    return (side == &r->token.callee && addr_same_host(where, &r->token.behind)) ||
           locate_is_at(core, side, where);
}

/**
 * What a token allows. In a dialog with a stranger, who could write the other's tag as his own,
 * what is said to be the other's passes by it alone only from where the other is. And only who is
 * no stranger himself leaves the dialog with it. Of several tokens each counts by itself: whoever
 * has them could leave the others out.
 */
static void weigh_token(struct core *core, struct request *r)
{
    const struct proxy_side *sender = r->from_caller ? &r->token.caller : &r->token.callee;
    bool sender_strange = r->from_caller ? r->token.guarded : r->token.outside;
    bool other_strange = r->from_caller ? r->token.outside : r->token.guarded;

    if (other_strange && !is_at(core, r, sender, &r->source->remote))
        return;
    r->token_suffices = true;
    r->token_frees |= !sender_strange;
}

/**
 * Reads a token of ours. Nothing changes if it is not genuine. A request in a call that came
 * through us more than once on its way (a spiral) has a token of each time, and they are taken off
 * together: the last one knows the way to the far end. Both values of a double Record-Route have
 * the same token.
 */
static bool read_token(struct core *core, struct request *r, struct slice text)
{
    if (r->in_dialog && slice_equal(text, r->token_text))
        return true;
    if (r->msg->to.tag.len == 0 && r->msg->method != SIP_ACK && r->msg->method != SIP_CANCEL)
        return false;

    char *scratch = core->token_scratch[r->token_in_first ? 1 : 0];
    if (proxy_token_read(text, &core->config.token_key, r->msg->call_id, r->msg->from.tag,
                         r->msg->to.tag, scratch, &r->token, &r->from_caller) != OK)
        return false;
    weigh_token(core, r);
    r->in_dialog = true;
    r->token_text = text;
    r->token_in_first = !r->token_in_first;
    return true;
}

/** Our token in a Route value or Request-URI that names us. */
static void take_token(struct core *core, struct request *r, const struct sip_uri *uri)
{
    struct slice text;

    if (sip_uri_param(uri, SLICE("r"), &text))
        read_token(core, r, text);
}

/** A strict router before us put our Record-Route value into the Request-URI (§16.4). */
static bool is_our_record_route(const struct core *core, const struct sip_uri *uri)
{
    struct slice text;

    return uri->lr && !uri->has_user && sip_uri_param(uri, SLICE("r"), &text) &&
           is_our_uri(core, uri);
}

static enum verdict undo_strict_router(struct core *core, struct request *r)
{
    struct sip_values values = sip_values(r->msg, SIP_F_ROUTE);
    struct slice value, last = SLICE_EMPTY;
    struct sip_name_addr route;

    take_token(core, r, &r->uri);
    while (sip_values_next(&values, &value))
        last = value;
    if (last.len == 0)
        return GO_ON;
    if (sip_name_addr_parse(last, &route) != OK || sip_uri_parse(route.uri_text, &r->uri) != OK)
        return refuse(core, r, CORE_R_BAD_REQUEST, 400, "Malformed Route", SLICE_EMPTY);
    r->uri_text = route.uri_text;
    r->route_last_drop = true;
    return GO_ON;
}

/** Takes off the Route values at the top that are us; leaves the next hop in r->route. */
static enum verdict drop_our_routes(struct core *core, struct request *r)
{
    struct sip_values values = sip_values(r->msg, SIP_F_ROUTE);
    struct slice value;
    struct sip_name_addr route;
    struct sip_uri uri;
    uint32_t seen = 0, total = 0;

    if (r->route_last_drop) {
        struct sip_values all = values;
        while (sip_values_next(&all, &value))
            total++;
    }
    while (sip_values_next(&values, &value)) {
        if (r->route_last_drop && ++seen == total)
            break;
        struct slice token;
        if (is_our_route_text(core, value, &token) && read_token(core, r, token)) {
            r->routes_drop++;
            continue;
        }
        if (sip_name_addr_parse(value, &route) != OK || sip_uri_parse(route.uri_text, &uri) != OK)
            return refuse(core, r, CORE_R_BAD_REQUEST, 400, "Malformed Route", SLICE_EMPTY);
        if (!is_our_uri(core, &uri) || uri.has_user) {
            r->has_route = true;
            r->route = uri;
            r->route_text = route.uri_text;
            return GO_ON;
        }
        take_token(core, r, &uri);
        enum verdict verdict = edge_take_flow(core, r, &uri);
        if (verdict != GO_ON)
            return verdict;
        r->routes_drop++;
    }
    return GO_ON;
}

enum verdict stage_routes(struct core *core, struct request *r)
{
    enum verdict verdict = GO_ON;

    if (is_our_record_route(core, &r->uri))
        verdict = undo_strict_router(core, r);
    if (verdict == GO_ON && sip_field_first(r->msg, SIP_F_ROUTE) != NULL)
        verdict = drop_our_routes(core, r);
    r->uri_is_ours = is_our_uri(core, &r->uri);
    return verdict;
}

enum verdict stage_admit(struct core *core, struct request *r)
{
    if (core->draining && r->msg->method == SIP_INVITE && r->msg->to.tag.len == 0)
        return refuse(core, r, CORE_R_DRAINING, 503, NULL, SLICE_EMPTY);
    return GO_ON;
}

/** Is the request for the server itself rather than for one of its users? */
static bool is_for_us(const struct request *r)
{
    return r->uri_is_ours && !r->uri.has_user && r->uri.scheme != SIP_SCHEME_TEL && !r->has_route;
}

static enum verdict answer_options(struct core *core, struct request *r)
{
    struct sip_reply reply = {
        .status = 200,
        .fields = SLICE(OPTIONS_LINES),
    };

    return answer_request(core, r, &reply);
}

enum verdict stage_local(struct core *core, struct request *r)
{
    enum sip_method method = (enum sip_method)r->msg->method;

    if (method == SIP_ACK || r->in_dialog || r->by_flow || !r->uri_is_ours || r->has_route)
        return GO_ON;
    if (method == SIP_REGISTER || is_for_us(r)) {
        if (r->merged)
            return refuse(core, r, CORE_R_MERGED, 482, NULL, SLICE_EMPTY);
        enum verdict verdict =
            check_extensions(core, r, SIP_F_REQUIRE, registrar_knows, CORE_R_REQUIRE);
        if (verdict != GO_ON)
            return verdict;
    }
    if (method == SIP_REGISTER)
        return register_request(core, r);
    if (method == SIP_SUBSCRIBE || method == SIP_PUBLISH)
        return refuse(core, r, CORE_R_BAD_EVENT, 489, NULL, SLICE(ALLOW_EVENTS_LINE));
    if (!is_for_us(r))
        return GO_ON;
    if (method == SIP_OPTIONS)
        return answer_options(core, r);
    if (method == SIP_INVITE || method == SIP_MESSAGE)
        return refuse(core, r, CORE_R_NOT_FOUND, 404, "No user named", SLICE_EMPTY);
    if (r->msg->to.tag.len > 0)
        return refuse(core, r, CORE_R_NO_TRANSACTION, 481, NULL, SLICE_EMPTY);
    return refuse(core, r, CORE_R_METHOD, 405, NULL, SLICE(ALLOW_LINE));
}

/** Could the caller send to anywhere himself? Then it does not matter who leads him there. */
static bool reaches_outside(const struct core *core, const struct request *r)
{
    if (r->own || (r->in_dialog && r->token_frees))
        return true;
    return r->user != NULL || core_trusts(core, r->source);
}

/** Is it worth a phone's battery? An OPTIONS asks what is there, and is answered by who is awake;
 * what is in a dialog goes where that is (RFC 8599 §5.6.2). */
static bool wakes(const struct core *core, const struct request *r)
{
    return core->pushes.on && !r->in_dialog && r->msg->to.tag.len == 0 &&
           r->msg->method != SIP_OPTIONS && r->msg->method != SIP_ACK;
}

/** The targets of a Request-URI by the location table or the DNS. */
static uint32_t locate_uri(struct core *core, struct request *r, struct proxy_target **targets,
                           enum core_reason *reason)
{
    struct locate_query query = {
        .uri = &r->uri,
        .listener = r->source->listener,
        .outside = reaches_outside(core, r),
        .call = r->msg->method == SIP_INVITE && r->msg->to.tag.len == 0,
        .wakes = wakes(core, r),
    };

    *targets = arena_alloc(&core->scratch, PROXY_TARGETS_MAX * sizeof **targets);
    *reason = CORE_R_MEMORY;
    return *targets == NULL ? 0 : locate_targets(core, &query, *targets, PROXY_TARGETS_MAX, reason);
}

/**
 * The Request-URI of a request that has a Route left: in a dialog a GRUU of ours becomes the
 * phone's contact here, and its Path does not count: the Route is the way (RFC 5627 §6.1).
 */
static struct slice contact_of(struct core *core, struct request *r)
{
    struct proxy_target *targets;
    enum core_reason reason;

    if (!r->in_dialog || !is_our_gruu(r))
        return r->uri_text;
    uint32_t count = locate_uri(core, r, &targets, &reason);
    return count > 0 && count != LOCATE_ASK ? targets[0].uri : r->uri_text;
}

/** Where a request goes that has a Route left, or is in a dialog: one hop, named already. One to a
 * sips URI goes there by TLS, whatever the Route says. */
static uint32_t route_target(struct core *core, struct request *r, struct proxy_target *target,
                             enum core_reason *reason)
{
    const struct proxy_side *side = r->from_caller ? &r->token.callee : &r->token.caller;
    bool sips = r->uri.scheme == SIP_SCHEME_SIPS;

    *target = (struct proxy_target){.uri = r->uri_text, .q = 1000};
    if (r->has_route && !r->by_flow) {
        struct sip_uri hop = r->route;
        if (sips)
            hop.scheme = SIP_SCHEME_SIPS;
        return locate_hop(core, &hop, r->source->listener, contact_of(core, r), target,
                          RESOLVE_TARGETS_MAX, reason);
    }
    *reason = CORE_R_FLOW_GONE;
    target->nat = true;
    if (!r->by_flow) {
        target->aor = side->aor;
        target->instance = side->instance;
    }
    if (r->by_flow ? !edge_flow_target(core, r, target) : !locate_side(core, side, &target->to))
        return 0;
    *reason = CORE_R_SIPS_NOT_ALLOWED;
    return !sips || transport_secure((enum transport)target->to.transport) ? 1 : 0;
}

/** Does our token say by which flow the other side is reached? */
static bool leads_by_token(const struct request *r)
{
    const struct proxy_side *side = r->from_caller ? &r->token.callee : &r->token.caller;

    return r->in_dialog && side->has_flow;
}

static bool is_route_target(const struct request *r)
{
    return r->by_flow || r->has_route || (leads_by_token(r) && !is_our_gruu(r));
}

/**
 * In a dialog with a stranger, a caller without credentials or a callee outside: does his request
 * leave it for somewhere else? He has our token as soon as it rings, and writes Request-URI and
 * further Routes himself. A caller from an address that we trust is such a stranger, too: it may be
 * a proxy's, which shows our token to whoever calls through it.
 */
static bool leaves_dialog(struct core *core, const struct request *r, const struct flow *to)
{
    const struct proxy_side *side = r->from_caller ? &r->token.callee : &r->token.caller;

    if (!r->in_dialog || r->token_frees || r->user != NULL || core_trusts(core, r->source))
        return false;
    if (!r->has_route && (side->has_flow || r->uri_is_ours))
        return false; /* to the token's flow, or to one of our users */
    return !is_at(core, r, side, &to->remote);
}

/**
 * Does who comes from elsewhere, or a name of his, lead us to this machine's loopback, where
 * services listen that nobody else may reach? What is registered from there, and a dialog with it,
 * may be. An address that we trust may be a proxy's, with anybody behind it.
 */
static bool leads_inside(struct core *core, const struct request *r,
                         const struct proxy_target *target)
{
    const struct proxy_side *side = r->from_caller ? &r->token.callee : &r->token.caller;
    const struct addr *source = &r->source->remote;

    if (!addr_is_loopback(&target->to.remote) || addr_is_loopback(source) || target->aor.len > 0)
        return false;
    return !r->in_dialog || !is_at(core, r, side, &target->to.remote);
}

static enum verdict refuse_targets(struct core *core, struct request *r, enum core_reason reason)
{
    if (r->msg->method == SIP_ACK) {
        core_count(core, CORE_R_STRAY_ACK);
        limits_refused(core, r->source, CORE_R_STRAY_ACK);
        return DROP;
    }
    if (reason == CORE_R_NO_BINDING)
        return refuse(core, r, reason, 480, NULL, SLICE_EMPTY);
    if (reason == CORE_R_SIPS_NOT_ALLOWED)
        return refuse(core, r, reason, 480, NULL, SLICE(WARN_SIPS_NOT_ALLOWED));
    if (reason == CORE_R_SIPS_REQUIRED)
        return refuse(core, r, reason, 480, NULL, SLICE(WARN_SIPS_REQUIRED));
    if (reason == CORE_R_DO_NOT_DISTURB)
        return refuse(core, r, reason, 480, "Do not disturb", SLICE_EMPTY);
    if (reason == CORE_R_FLOW_GONE)
        return refuse(core, r, reason, 430, NULL, SLICE_EMPTY);
    if (reason == CORE_R_UNRESOLVED)
        return refuse(core, r, reason, 404, "Next hop cannot be resolved", SLICE_EMPTY);
    if (reason == CORE_R_DNS)
        return refuse(core, r, reason, 504, "DNS does not answer", SLICE_EMPTY);
    if (reason == CORE_R_LOOP)
        return refuse(core, r, reason, 482, NULL, SLICE_EMPTY);
    if (reason == CORE_R_MEMORY)
        return refuse(core, r, reason, 500, NULL, SLICE_EMPTY);
    return refuse(core, r, CORE_R_NOT_FOUND, 404, NULL, SLICE_EMPTY);
}

static bool forms_dialog(enum sip_method method)
{
    return method == SIP_INVITE || method == SIP_SUBSCRIBE || method == SIP_REFER ||
           method == SIP_NOTIFY;
}

enum verdict refuse_forward(struct core *core, struct request *r, enum err err)
{
    if (r->msg->method == SIP_ACK)
        return DROP;
    if (err == ERR_FULL)
        return refuse(core, r, CORE_R_FULL, 503, NULL, SLICE_EMPTY);
    if (err == ERR_TOO_BIG)
        return refuse(core, r, CORE_R_TOO_BIG, 513, NULL, SLICE_EMPTY);
    if (err == ERR_NOT_FOUND)
        return refuse(core, r, CORE_R_BREADTH, 440, NULL, SLICE_EMPTY);
    if (err == ERR_CONFLICT)
        return refuse(core, r, CORE_R_NOT_WOKEN, 480, "Phone cannot be woken now", SLICE_EMPTY);
    return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
}

enum verdict stage_forward(struct core *core, struct request *r)
{
    struct proxy_target *targets = core->hops;
    uint32_t count = 0;
    enum core_reason reason = CORE_R_NONE;

    core->callee = NULL;
    if (core->calls != NULL && r->in_dialog && !r->own && speak_ended(core, r) == ANSWERED)
        return ANSWERED;
    if (r->msg->method == SIP_ACK && !r->in_dialog && !r->by_flow) {
        reason = CORE_R_STRAY_ACK; /* of a failure of ours, or of nothing that went through us */
    } else if (is_route_target(r)) {
        count = route_target(core, r, targets, &reason);
    } else if (edge_serves(core, r)) {
        count = edge_registrar(core, r, targets, RESOLVE_TARGETS_MAX, &reason);
    } else {
        count = locate_uri(core, r, &targets, &reason);
    }
    if (count == 0 && is_our_gruu(r) && leads_by_token(r)) /* the phone is in a call yet */
        count = route_target(core, r, targets = core->hops, &reason);
    if (count == LOCATE_ASK)
        return dns_wait(core, r);
    if (r->own)
        return count > 0 ? speak_send(core, r, &targets[0]) : DROP;
    enum verdict verdict = limits_call(core, r, count == 0 && reason == CORE_R_NOT_FOUND);
    if (verdict != GO_ON)
        return verdict;
    if (!forwards_concern(core, r, &count, reason) && count == 0)
        return refuse_targets(core, r, reason);
    for (uint32_t i = 0; i < count; i++)
        if (leaves_dialog(core, r, &targets[i].to) || leads_inside(core, r, &targets[i]))
            return refuse(core, r, CORE_R_RELAY, 403, "Relaying denied", SLICE_EMPTY);

    enum sip_method method = (enum sip_method)r->msg->method;
    bool record_route = forms_dialog(method) && !r->in_dialog;
    struct proxy_request request = {
        .server = r->server,
        .msg = r->msg,
        .source = r->source,
        .uri = r->uri_text,
        .routes_drop = r->routes_drop,
        .route_last_drop = r->route_last_drop,
        .credentials = r->credentials,
        .record_route = record_route,
        .trusted = core_trusts(core, r->source), /* a dialog makes nobody so */
        .reaches_outside = reaches_outside(core, r),
        .loop = r->loop,
        .in_dialog = r->in_dialog,
        .by_flow = r->by_flow ||
                   (r->in_dialog && count > 0 && (targets[0].to.flags & FLOW_ONLY_CONN) != 0),
    };
    request.path = edge_adds_path(core, r, &request.path_ob);
    if (record_route) {
        struct sip_uri contact;
        unsigned marks = locate_contact_marks(r->msg, &contact);
        if ((marks & CONTACT_IS_GRUU) != 0 && r->user != NULL &&
            locate_is_foreign_gruu(core, &contact, r->user))
            return refuse(core, r, CORE_R_FORBIDDEN_IDENTITY, 403, "Contact is not this user",
                          SLICE_EMPTY);
        request.caller = locate_caller(core, r, (marks & CONTACT_BY_FLOW) != 0);
        request.guarded = core->config.auth_required && r->user == NULL;
        request.outside = core->config.auth_required;
    }
    if (record_route && method == SIP_INVITE && media_concerns(r, targets, count)) {
        verdict = media_offer(core, r, targets, count, &request.watch);
        if (verdict != GO_ON)
            return verdict;
    }
    if (is_attempt(core, r))
        return attempt_forward(core, r, &request, targets, count);
    if (core->calls != NULL && r->in_dialog && attempt_in_dialog(core, r))
        request.watch = MEDIA_WATCH_CALL;
    if (method == SIP_INVITE && core->resolved == 0) { /* else it has been told */
        struct sip_reply trying = {.status = 100};
        if (txn_reply_parsed(core->txns, r->server, r->msg, &trying, core->now_ms) != OK)
            return DROP;
    }
    if (!forwards_begin(core, r, &request))
        return refuse_forward(core, r, ERR_MEMORY);
    enum err err = proxy_forward(core->proxy, &request, targets, count, core->now_ms);
    return err == OK ? ANSWERED : refuse_forward(core, r, err);
}

bool core_answer_stateless(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    const struct sip_uri *uri = &msg->request_uri;

    if (msg->method != SIP_OPTIONS && msg->method != SIP_REGISTER)
        return false;
    if (sip_field_first(msg, SIP_F_ROUTE) != NULL || msg->max_forwards == 0 ||
        sip_field_first(msg, SIP_F_PROXY_REQUIRE) != NULL ||
        sip_field_first(msg, SIP_F_REQUIRE) != NULL)
        return false;
    if (uri->scheme == SIP_SCHEME_TEL || !is_our_uri(core, uri))
        return false;

    if (msg->method == SIP_OPTIONS) {
        if (uri->has_user)
            return false;
        struct sip_reply reply = {
            .status = 200,
            .fields = SLICE(OPTIONS_LINES),
        };
        txn_reply_stateless(core->txns, msg, source, &reply);
        return true;
    }
    if (!core->config.auth_required || core_trusts(core, source) ||
        sip_field_first(msg, SIP_F_AUTHORIZATION) != NULL)
        return false;

    char text[2048];
    struct builder b = builder_over(text, sizeof text);
    bool known;
    const struct user *like = register_like(core, msg, &known);
    auth_challenge(core->auth, &b, false, false, like, source, core->wall_ms);
    if (b.overflow)
        return false;
    if (!known) /* he is not told; whoever tries many names is found by it */
        limits_refused(core, source, CORE_R_NOT_FOUND);
    struct sip_reply reply = {.status = 401, .fields = builder_slice(&b)};
    core_count(core, CORE_R_CHALLENGED);
    txn_reply_stateless(core->txns, msg, source, &reply);
    return true;
}
