/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request of one branch, as edits over the bytes that were received.
 *
 * One insert after the start line holds our Via, Record-Route, and what of Max-Forwards and
 * Max-Breadth was missing; the Route values of a Path follow it. The rest are small
 * replacements and drops, in the order in which they stand in the message.
 */
#include "proxy/context.h"

enum {
    OUR_ADDRESS_MAX = 320, /* [IPv6%zone]:65535, or what a listener is advertised as */
    VIA_PARAMS_MAX = 96,   /* ;received=[IPv6%zone];rport=65535 */
    NUMBER_MAX = 8,        /* digits of Max-Forwards, Max-Breadth */
    LENGTH_LINE_MAX = 32,  /* Content-Length line */
    MAX_FORWARDS = 70,     /* §16.6 step 3 */
};

/** What is borrowed by the edits until they are written. */
struct forward {
    struct proxy *proxy;
    const struct proxy_request *request;
    const struct proxy_target *target;
    const struct sip_msg *msg;
    struct slice uri;    /* the new Request-URI */
    struct slice routes; /* put before the message's own */
    struct slice last;   /* Route value to be put last: strict routing; empty: none */
    uint32_t route_lo;   /* message's Route values kept: from lo to before hi */
    uint32_t route_hi;
    bool secure; /* Request-URI or top Route is sips */
    struct sip_edits *edits;
};

/* ---- the Request-URI and Route (§16.6 steps 2 and 6) ---- */

static bool starts_nocase(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && slice_equal_nocase((struct slice){s.data, prefix.len}, prefix);
}

/* Is there a parameter "method", which few URIs have? May be wrong about what is quoted. */
static bool may_have_method(struct slice uri)
{
    const struct slice method = SLICE("method=");

    for (;;) {
        size_t at = slice_find(uri, ';');
        if (at == SIZE_MAX)
            return false;
        uri = slice_from(uri, at + 1);
        if (starts_nocase(uri, method))
            return true;
    }
}

/* Cuts what may not stand in a Request-URI: headers and the method parameter (Table 1, §19.1.1).
 * `kept` receives the text if it had to be put together. */
static struct slice clean_uri(struct slice text, char *kept, size_t capacity)
{
    bool has_method = may_have_method(text);

    if (!has_method && slice_find(text, '?') == SIZE_MAX)
        return text;

    struct sip_uri uri;
    if (sip_uri_parse(text, &uri) != OK ||
        (uri.scheme != SIP_SCHEME_SIP && uri.scheme != SIP_SCHEME_SIPS))
        return text;
    if (uri.headers.data != NULL && uri.headers.len > 0)
        text = slice_between(text.data, uri.headers.data - 1);
    else if (text.data[text.len - 1] == '?')
        text.len--;

    struct slice value;
    if (!has_method || !sip_uri_param(&uri, SLICE("method"), &value))
        return text;
    const char *begin = value.data - sizeof ";method=" + 1;
    struct builder b = builder_over(kept, capacity);
    builder_add(&b, slice_between(text.data, begin));
    builder_add(&b, slice_between(value.data + value.len, text.data + text.len));
    return b.overflow ? text : builder_slice(&b);
}

/* The n-th Route value of the message. */
static bool route_at(const struct sip_msg *msg, uint32_t n, struct slice *out)
{
    struct sip_values it = sip_values(msg, SIP_F_ROUTE);

    for (uint32_t i = 0; sip_values_next(&it, out); i++)
        if (i == n)
            return true;
    return false;
}

/* Without a comma it is one value; with one it must be looked at. */
static bool is_one_value(struct slice list)
{
    return slice_find(list, ',') == SIZE_MAX;
}

static uint32_t count_routes(const struct sip_msg *msg)
{
    const struct sip_field *field = sip_field_first(msg, SIP_F_ROUTE);
    uint32_t count = 0;

    for (; field != NULL; field = sip_field_next(msg, field)) {
        struct slice rest = sip_field_value(msg, field);
        struct slice value;
        if (is_one_value(rest)) {
            count++;
            continue;
        }
        while (sip_list_next(&rest, &value))
            count++;
    }
    return count;
}

/* Does the next hop route loosely? Gives its URI. */
static enum err read_hop(struct slice value, struct slice *uri, bool *loose)
{
    struct sip_name_addr addr;
    struct sip_uri parsed;
    enum err err = sip_name_addr_parse(value, &addr);
    if (err)
        return err;
    err = sip_uri_parse(addr.uri_text, &parsed);
    if (err)
        return err;

    *uri = addr.uri_text;
    *loose = parsed.lr;
    return OK;
}

/*
 * §16.6 step 6: before a strict router, which knows nothing of lr, the Request-URI goes to the
 * end of Route, and the router's own URI becomes the Request-URI.
 */
static enum err plan_routes(struct forward *f)
{
    const struct proxy_request *request = f->request;
    uint32_t count = count_routes(f->msg);

    f->routes = f->target->routes;
    f->route_lo = request->routes_drop < count ? request->routes_drop : count;
    f->route_hi = count - (request->route_last_drop && count > f->route_lo ? 1 : 0);

    bool preset = f->routes.len > 0;
    if (!preset && f->route_lo == f->route_hi)
        return OK;

    struct slice rest = f->routes;
    struct slice value;
    struct slice uri;
    bool loose;
    if (preset ? !sip_list_next(&rest, &value) : !route_at(f->msg, f->route_lo, &value))
        return ERR_SYNTAX;
    enum err err = read_hop(value, &uri, &loose);
    if (err)
        return err;
    f->secure = starts_nocase(uri, SLICE("sips:"));
    if (loose)
        return OK;

    f->last = f->uri;
    f->uri = uri;
    if (preset)
        f->routes = slice_trim(rest);
    else
        f->route_lo++;
    return OK;
}

/* One Route field, whose first value has index `first`: drops the values outside lo..hi. Returns
 * how many values it has. */
static uint32_t trim_route_field(struct forward *f, const struct sip_field *field, uint32_t first)
{
    struct slice all = sip_field_value(f->msg, field);
    struct slice rest = all;
    struct slice value;
    const char *begin = NULL; /* of the first one kept */
    const char *end = NULL;   /* of the last one kept */
    uint32_t index = first;

    if (is_one_value(all)) {
        if (first < f->route_lo || first >= f->route_hi)
            sip_edit_drop_field(f->edits, field);
        return 1;
    }

    for (; sip_list_next(&rest, &value); index++) {
        if (index < f->route_lo || index >= f->route_hi)
            continue;
        if (begin == NULL)
            begin = value.data;
        end = value.data + value.len;
    }
    if (begin == NULL) {
        sip_edit_drop_field(f->edits, field);
        return index - first;
    }
    if (first < f->route_lo)
        sip_edit_replace(f->edits, slice_between(all.data, begin), SLICE_EMPTY);
    if (index > f->route_hi)
        sip_edit_replace(f->edits, slice_between(end, all.data + all.len), SLICE_EMPTY);
    return index - first;
}

static const struct slice route_name = {"Route: ", 7};
static const struct slice crlf = {"\r\n", 2};

static void edit_routes(struct forward *f)
{
    const struct sip_field *field = sip_field_first(f->msg, SIP_F_ROUTE);
    const struct sip_field *last = NULL;
    uint32_t index = 0;

    for (; field != NULL; field = sip_field_next(f->msg, field)) {
        index += trim_route_field(f, field, index);
        last = field;
    }
    if (f->last.len == 0)
        return;

    /* After all other Route fields, of which the ones put on top come first. */
    uint32_t at = last != NULL ? last->end : (uint32_t)f->msg->head_end - 2;
    sip_edit_insert(f->edits, at, SLICE("Route: <"));
    sip_edit_insert(f->edits, at, f->last);
    sip_edit_insert(f->edits, at, SLICE(">\r\n"));
}

/* ---- our lines (§16.6 steps 3, 4, 8; RFC 5393 §5.3.3) ---- */

void proxy_via_write(const struct proxy *proxy, const struct flow *to, struct slice branch,
                     struct builder *b)
{
    const struct proxy_config *config = &proxy->config;

    builder_text(b, "Via: SIP/2.0/");
    builder_add(b, slice_of(sip_transport_name(to->transport)));
    builder_char(b, ' ');
    config->write_our_address(config->user, b, to);
    builder_text(b, ";branch=");
    builder_add(b, branch);
    if (to->transport == TRANSPORT_UDP)
        builder_text(b, ";rport"); /* RFC 3581 §3 */
    if (to->transport == TRANSPORT_TLS && !flow_has_conn(to))
        builder_text(b, ";alias"); /* who has seen our certificate may use it, too (RFC 5923 §8) */
    builder_add(b, crlf);
}

static struct slice transport_param(enum transport transport)
{
    switch (transport) {
    case TRANSPORT_NONE:
    case TRANSPORT_UDP:
    case TRANSPORT_COUNT:
        return SLICE_EMPTY;
    case TRANSPORT_TCP:
        return SLICE(";transport=tcp");
    case TRANSPORT_TLS:
        return SLICE(";transport=tls");
    case TRANSPORT_WS:
    case TRANSPORT_WSS:
        return SLICE(";transport=ws"); /* RFC 7118 §5: for both; sips tells them apart */
    }
    return SLICE_EMPTY;
}

/* `field`: its name and the beginning of the URI. The end is the caller's. */
static void write_our_uri(const struct forward *f, struct slice field, const struct flow *side,
                          struct builder *b)
{
    const struct proxy_config *config = &f->proxy->config;

    bool sips = f->secure && transport_secure((enum transport)side->transport);
    builder_add(b, field);
    builder_add(b, sips ? SLICE("s:") : SLICE(":"));
    config->write_our_address(config->user, b, side);
    if (!sips || side->transport != TRANSPORT_TLS) /* which sips says already (RFC 5630 §3.1.4) */
        builder_add(b, transport_param(side->transport));
}

static void write_record_route_value(const struct forward *f, const struct flow *side,
                                     struct slice token, struct builder *b)
{
    write_our_uri(f, SLICE("Record-Route: <sip"), side, b);
    builder_text(b, ";lr;r=");
    builder_add(b, token);
    builder_text(b, ">\r\n");
}

/* RFC 3327 §5.2, RFC 5626 §5.1: the registrar finds us by this, and we the phone's flow. */
static enum err write_path(const struct forward *f, struct builder *b)
{
    const struct proxy_request *request = f->request;

    write_our_uri(f, SLICE("Path: <sip"), &f->target->to, b);
    builder_text(b, ";lr;p=");
    enum err err = proxy_path_write(b, &f->proxy->config.token_key, request->source);
    if (request->path_ob)
        builder_text(b, ";ob");
    builder_text(b, ">\r\n");
    return err;
}

/* Does one address of ours stand for both? A listener at 0.0.0.0 or [::] has another one in each
 * network. */
static bool same_address(const struct forward *f, const struct flow *a, const struct flow *b)
{
    const struct proxy_config *config = &f->proxy->config;
    char text_a[OUR_ADDRESS_MAX], text_b[OUR_ADDRESS_MAX];
    struct builder of_a = builder_over(text_a, sizeof text_a);
    struct builder of_b = builder_over(text_b, sizeof text_b);

    config->write_our_address(config->user, &of_a, a);
    config->write_our_address(config->user, &of_b, b);
    return slice_equal(builder_slice(&of_a), builder_slice(&of_b));
}

/* Do both sides reach us by the same URI? */
static bool same_side(const struct forward *f, const struct flow *a, const struct flow *b)
{
    if (a->transport != b->transport || a->remote.family != b->remote.family)
        return false;
    if (a->listener == LISTENER_ANY || b->listener == LISTENER_ANY)
        return true;
    if (a->listener != b->listener)
        return false;
    return addr_equal(&a->local, &b->local) || same_address(f, a, b);
}

/* Names too long for a token are left out: the flows themselves must get through. */
static enum err write_token(const struct forward *f, struct proxy_token *token, struct builder *b)
{
    const struct hash_key *key = &f->proxy->config.token_key;
    enum err err = proxy_token_write(b, key, token, f->msg->call_id, f->msg->from.tag);
    if (err != ERR_TOO_BIG)
        return err;

    token->caller.aor = SLICE_EMPTY;
    token->callee.aor = SLICE_EMPTY;
    return proxy_token_write(b, key, token, f->msg->call_id, f->msg->from.tag);
}

/** Where the callee is, when a Path leads to him: he and his caller may leave it (RFC 3327 §5.3).
 */
static struct addr behind_path(const struct proxy_target *target)
{
    struct addr addr;
    struct sip_uri contact;

    if (target->routes.len == 0 || sip_uri_parse(target->uri, &contact) != OK ||
        sip_uri_addr(&contact, 5060, &addr) != OK)
        return (struct addr){0};
    return addr;
}

/*
 * §16.6 step 4, with two values where the sides differ: each side then finds on its end of the
 * route set a URI of ours that it can reach. Both carry the whole token.
 */
static enum err write_record_route(const struct forward *f, struct builder *b)
{
    const struct proxy_request *request = f->request;
    const struct proxy_target *target = f->target;
    struct proxy_token token = {
        .caller = request->caller,
        .callee =
            {
                .has_flow = target->nat,
                .flow = target->to,
                .aor = target->aor,
                .instance = target->instance,
            },
        .guarded = request->guarded,
        .outside = request->outside && target->aor.len == 0,
    };
    if (token.guarded)
        token.behind = behind_path(target);
    char text[PROXY_TOKEN_MAX];
    struct builder t = builder_over(text, sizeof text);
    enum err err = write_token(f, &token, &t);
    if (err)
        return err;

    write_record_route_value(f, &target->to, builder_slice(&t), b);
    if (!same_side(f, &target->to, request->source))
        write_record_route_value(f, request->source, builder_slice(&t), b);
    return OK;
}

static enum err write_head(const struct forward *f, struct slice branch, unsigned breadth,
                           struct builder *b)
{
    proxy_via_write(f->proxy, &f->target->to, branch, b);
    if (f->request->record_route) {
        enum err err = write_record_route(f, b);
        if (err)
            return err;
    }
    if (f->request->path) {
        enum err err = write_path(f, b);
        if (err)
            return err;
    }
    if (f->msg->max_forwards < 0)
        builder_text(b, "Max-Forwards: 70\r\n");
    if (f->msg->first[SIP_F_MAX_BREADTH] == 0) {
        builder_text(b, "Max-Breadth: ");
        builder_u64(b, breadth);
        builder_add(b, crlf);
    }
    return b->overflow ? ERR_TOO_BIG : OK;
}

/* ---- fields that are there ---- */

/* IPv6 without brackets, as the grammar of received has it (RFC 3261 §25.1). */
static void write_received(struct builder *b, const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];
    struct builder host = builder_over(text, sizeof text);
    struct addr plain = *addr;

    plain.scope = 0;
    addr_write_host(&host, &plain);
    struct slice s = builder_slice(&host);
    if (addr->family == ADDR_V6)
        s = (struct slice){s.data + 1, s.len - 2};
    builder_add(b, s);
}

/* Drops received and rport of the top Via. */
static void drop_received(struct forward *f)
{
    struct slice rest = f->msg->via.params;
    struct sip_param param;

    if (sip_via_is_plain(&f->msg->via)) {
        size_t rport = rest.len - (sizeof ";rport" - 1);
        sip_edit_replace(f->edits, slice_from(rest, rport), SLICE_EMPTY);
        return;
    }
    while (sip_param_next(&rest, &param) == OK) {
        if (!slice_equal_nocase(param.name, SLICE("received")) &&
            !slice_equal_nocase(param.name, SLICE("rport")))
            continue;
        const char *semicolon = param.name.data;
        while (*semicolon != ';')
            semicolon--;
        const char *end =
            param.has_value ? param.value.data + param.value.len : param.name.data + param.name.len;
        sip_edit_replace(f->edits, slice_between(semicolon, end), SLICE_EMPTY);
    }
}

/*
 * The Via we received says where its sender is: received when the source is another than
 * sent-by says (§18.2.1), and whenever rport is asked for, with rport's value (RFC 3581 §4).
 * What the sender wrote there himself is overwritten.
 */
static void edit_top_via(struct forward *f, char text[static VIA_PARAMS_MAX])
{
    const struct sip_via *via = &f->msg->via;
    const struct flow *source = f->request->source;
    struct addr host;
    bool differs = addr_parse(via->host, 0, &host) != OK || !addr_same_host(&host, &source->remote);

    if (!differs && !via->has_rport)
        return;

    drop_received(f);

    struct builder b = builder_over(text, VIA_PARAMS_MAX);
    builder_text(&b, ";received=");
    write_received(&b, &source->remote);
    if (via->has_rport) {
        builder_text(&b, ";rport=");
        builder_u64(&b, source->remote.port);
    }
    const char *end = f->msg->via_value.data + f->msg->via_value.len;
    sip_edit_insert(f->edits, (uint32_t)(end - f->msg->buf.data), builder_slice(&b));
}

/* Replaces the value of the first field with `id`, which is there, unless it is that already. */
static void edit_number(struct forward *f, enum sip_field_id id, unsigned number,
                        char text[static NUMBER_MAX])
{
    struct builder b = builder_over(text, NUMBER_MAX);
    struct slice old = sip_value(f->msg, id);

    builder_u64(&b, number);
    if (!slice_equal(old, builder_slice(&b)))
        sip_edit_replace(f->edits, old, builder_slice(&b));
}

static void edit_max_breadth(struct forward *f, unsigned breadth, char text[static NUMBER_MAX])
{
    const struct sip_field *field = sip_field_first(f->msg, SIP_F_MAX_BREADTH);

    if (field == NULL)
        return;
    edit_number(f, SIP_F_MAX_BREADTH, breadth, text);
    /* RFC 5393 §5.3.3: a single value. */
    while ((field = sip_field_next(f->msg, field)) != NULL)
        sip_edit_drop_field(f->edits, field);
}

/* "Privacy: id", beside others perhaps (RFC 3323 §4.2, RFC 3325 §9.3). */
static bool asks_for_privacy(const struct sip_msg *msg)
{
    for (const struct sip_field *field = sip_field_first(msg, SIP_F_PRIVACY); field != NULL;
         field = sip_field_next(msg, field)) {
        const char *at = msg->buf.data + field->value_begin;
        const char *end = msg->buf.data + field->value_end;
        while (at < end) {
            const char *begin = at;
            while (at < end && *at != ';' && *at != ',')
                at++;
            if (slice_equal_nocase(slice_trim(slice_between(begin, at)), SLICE("id")))
                return true;
            at += at < end;
        }
    }
    return false;
}

/*
 * ";privacy=full", "name", "uri", "full-network" …: all but "off" (draft-ietf-sip-privacy-04 §5).
 * Of what cannot be read nobody knows that it may be shown.
 */
static bool is_party_private(struct slice value)
{
    struct sip_name_addr party;
    struct sip_param param;
    enum err err = sip_name_addr_parse(value, &party);

    if (err)
        return true;
    while ((err = sip_param_next(&party.params, &param)) == OK)
        if (slice_equal_nocase(param.name, SLICE("privacy")) &&
            !slice_equal_nocase(sip_unquote(param.value), SLICE("off")))
            return true;
    return err != ERR_NOT_FOUND;
}

/* Remote-Party-ID has the wish in itself, with each of its values. */
static bool wants_to_be_unknown(const struct sip_msg *msg)
{
    struct slice value;

    if (asks_for_privacy(msg))
        return true;
    if (msg->first[SIP_F_REMOTE_PARTY_ID] == 0)
        return false;
    struct sip_values parties = sip_values(msg, SIP_F_REMOTE_PARTY_ID);
    while (sip_values_next(&parties, &value))
        if (value.len > 0 && is_party_private(value))
            return true;
    return false;
}

/*
 * RFC 3325 §5: what those we do not trust assert of themselves is taken off. So is what they would
 * like to be asserted (§9.2: whoever forwards it does), and the field of old for both. Of a party
 * that wants to be unknown it stays among those we trust (§7): phones are not.
 */
void edit_identity(const struct proxy *proxy, struct sip_edits *edits, bool trusted,
                   const struct addr *to)
{
    static const uint8_t fields[] = {SIP_F_P_ASSERTED_IDENTITY, SIP_F_P_PREFERRED_IDENTITY,
                                     SIP_F_REMOTE_PARTY_ID};
    const struct proxy_config *config = &proxy->config;

    if (trusted && (!wants_to_be_unknown(edits->msg) ||
                    (config->is_trusted != NULL && config->is_trusted(config->user, to))))
        return;
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        if (edits->msg->first[fields[i]] != 0)
            sip_edit_drop_all(edits, (enum sip_field_id)fields[i]);
}

/* §16.6 step 9: a stream needs to know where the message ends. */
static void edit_content_length(struct forward *f, char text[static LENGTH_LINE_MAX])
{
    if (f->msg->content_length >= 0 || !transport_reliable(f->target->to.transport))
        return;

    struct builder b = builder_over(text, LENGTH_LINE_MAX);
    builder_text(&b, "Content-Length: ");
    builder_u64(&b, f->msg->body.len);
    builder_add(&b, crlf);
    sip_edit_add_last(f->edits, builder_slice(&b));
}

enum err forward_write(struct proxy *proxy, const struct proxy_request *request,
                       const struct proxy_target *target, struct slice branch, unsigned breadth,
                       struct builder *b)
{
    const struct sip_msg *msg = request->msg;
    struct forward f;
    char via[VIA_PARAMS_MAX];
    char hops[NUMBER_MAX];
    char share[NUMBER_MAX];
    char length[LENGTH_LINE_MAX];

    f.proxy = proxy;
    f.request = request;
    f.target = target;
    f.msg = msg;
    f.uri = target->uri.len > 0 ? target->uri : request->uri;
    f.last = SLICE_EMPTY;
    f.secure = false;
    f.edits = &proxy->work.edits;
    sip_edits_init(f.edits, msg);

    enum err err = plan_routes(&f);
    if (err)
        return err;
    f.uri = clean_uri(f.uri, proxy->work.uri, sizeof proxy->work.uri);
    f.secure = f.secure || starts_nocase(f.uri, SLICE("sips:"));

    struct builder top = builder_over(proxy->work.head, sizeof proxy->work.head);
    err = write_head(&f, branch, breadth, &top);
    if (err)
        return err;

    if (f.uri.data != msg->uri.data || f.uri.len != msg->uri.len)
        sip_edit_replace(f.edits, msg->uri, f.uri);
    sip_edit_add_first(f.edits, builder_slice(&top));
    if (f.routes.len > 0) {
        sip_edit_add_first(f.edits, route_name);
        sip_edit_add_first(f.edits, f.routes);
        sip_edit_add_first(f.edits, crlf);
    }
    edit_top_via(&f, via);
    if (msg->max_forwards > 0)
        edit_number(&f, SIP_F_MAX_FORWARDS, (unsigned)msg->max_forwards - 1, hops);
    edit_max_breadth(&f, breadth, share);
    if (msg->first[SIP_F_ROUTE] != 0 || f.last.len > 0)
        edit_routes(&f);
    if (request->credentials != NULL)
        sip_edit_drop_field(f.edits, request->credentials);
    edit_identity(proxy, f.edits, request->trusted, &target->to.remote);
    edit_content_length(&f, length);

    err = sip_edits_write(f.edits, b);
    return err == ERR_FULL ? ERR_TOO_BIG : err;
}
