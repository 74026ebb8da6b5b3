/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/edge - we stand between phones and the registrar of their domain (RFC 5626 §5, RFC 3327).
 *
 * A REGISTER gets a Path value with the phone's flow in an authenticated token. What the registrar
 * sends to the phone comes back with that value as Route, and leaves by the flow. Nothing of it is
 * kept here: a restart changes nothing for phones on UDP, and those on streams come back anyhow.
 *
 * Who asks proves himself to the registrar, not to us: so what he asks goes there, and nowhere
 * else.
 */
#include "core/internal.h"

enum {
    VOUCH_MS = 7200000 /* a phone that the registrar has accepted is no stranger for so long */
};

enum err edge_open(struct core *core)
{
    const struct core_edge *edge = &core->config.edge;

    return edge->domain_count == 0 ? OK : sip_uri_parse(edge->registrar, &core->edge_uri);
}

/* ---- towards the phone ---- */

enum verdict edge_take_flow(struct core *core, struct request *r, const struct sip_uri *route)
{
    struct slice text;
    struct flow flow;

    if (!sip_uri_param(route, SLICE("p"), &text))
        return GO_ON;
    if (proxy_path_read(text, &core->config.token_key, &flow) != OK)
        return refuse(core, r, CORE_R_FLOW_FORGED, 403, "Flow token is not ours", SLICE_EMPTY);
    if (flow_same(r->source, &flow))
        return GO_ON; /* the phone itself has copied the Path: an outgoing request (§5.3.2) */
    r->by_flow = true;
    r->flow = flow;
    return GO_ON;
}

bool edge_flow_target(const struct core *core, const struct request *r, struct proxy_target *out)
{
    *out = (struct proxy_target){.uri = r->uri_text, .to = r->flow, .q = 1000, .nat = true};
    if (transport_reliable((enum transport)r->flow.transport)) {
        out->to.flags |= FLOW_ONLY_CONN;
        return listener_fits(core, &out->to);
    }
    if (!listener_fits(core, &out->to))
        out->to.listener = pick_listener(core, TRANSPORT_UDP, out->to.remote.family, LISTENER_ANY);
    return out->to.listener != LISTENER_ANY;
}

/* ---- towards the registrar ---- */

static bool is_edge_domain(const struct core *core, const struct sip_uri *uri)
{
    const struct core_edge *edge = &core->config.edge;

    if (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS)
        return false;
    for (uint32_t i = 0; i < edge->domain_count; i++)
        if (slice_equal_nocase(edge->domains[i], uri->host))
            return true;
    return false;
}

/** Does the next Route lead to the registrar (RFC 3608, or its Record-Route)? */
static bool routes_to_registrar(const struct core *core, const struct request *r)
{
    return slice_equal_nocase(r->route.host, core->edge_uri.host) &&
           r->route.port == core->edge_uri.port && r->route.maddr.len == 0;
}

bool edge_serves(struct core *core, struct request *r)
{
    if (core->config.edge.domain_count == 0)
        return false;
    if (r->has_route)
        return routes_to_registrar(core, r);
    if (is_edge_domain(core, &r->uri))
        return true;
    if (r->in_dialog)
        return false; /* it goes to where the other side said, in its Contact */
    request_from(core, r);
    return is_edge_domain(core, &r->from);
}

uint32_t edge_registrar(struct core *core, const struct request *r, struct proxy_target *out,
                        uint32_t max, enum core_reason *reason)
{
    return locate_hop(core, &core->edge_uri, r->source->listener, r->uri_text, out, max, reason);
}

bool edge_adds_path(const struct core *core, const struct request *r, bool *first_hop)
{
    if (r->msg->method != SIP_REGISTER || core->config.edge.domain_count == 0 ||
        !is_edge_domain(core, &r->uri))
        return false;

    const struct sip_field *via = sip_field_first(r->msg, SIP_F_VIA);
    *first_hop = via->next == 0 && sip_field_value(r->msg, via).len == r->msg->via_value.len;
    return true;
}

void edge_registered(void *user, const struct flow *source)
{
    struct core *core = user;

    if (core->config.auth_required) /* else nobody has proved anything, there perhaps neither */
        limits_vouch(core, &source->remote, VOUCH_MS);
}

/* ---- as the registrar ---- */

bool edge_is_ours(const struct core *core, const struct addr *source)
{
    for (uint32_t i = 0; i < core->config.edge_count; i++)
        if (addr_net_contains(&core->config.edges[i], source))
            return true;
    return false;
}
