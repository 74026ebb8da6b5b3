/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of several keys, after all have been read.
 */
#include "config/internal.h"

const struct yaml_node *parser_given(const struct parser *parser, struct slice key)
{
    const struct setting *setting = setting_find(key);
    assert(setting != NULL);
    return parser->given[setting - settings];
}

static bool others_reach_us(const struct config *config)
{
    for (uint32_t i = 0; i < config->listener_count; i++)
        if (!addr_is_loopback(&config->listeners[i].bound))
            return true;
    return false;
}

static void check_auth(struct parser *parser)
{
    const struct config *config = parser->config;
    const struct slice key = SLICE("auth.required");

    if (!config->auth.required && !config->insecure && others_reach_us(config))
        parser_wrong(parser, parser_given(parser, key), key,
                     "without authentication anybody who reaches us could make calls; listen on "
                     "127.0.0.1 only, or say `insecure: yes`");
}

/* Wider than any network that is one's own: a private one has 8 bits at least (RFC 1918), of IPv6
 * only what is nobody's has less than 16 (RFC 4193, RFC 4291). */
static bool is_everybody(const struct addr_net *net)
{
    if (net->base.family == ADDR_V4)
        return net->bits < 8;
    return net->bits < 16 && (net->bits < 7 || net->base.bytes[0] < 0xfc);
}

static void check_trusted(struct parser *parser)
{
    const struct config *config = parser->config;
    const struct slice key = SLICE("auth.trusted");
    const struct yaml_node *node = parser_given(parser, key);

    if (node == NULL || config->insecure || !others_reach_us(config))
        return;
    if (node->type == YAML_SEQUENCE)
        node = node->first;
    for (uint32_t i = 0; i < config->auth.trusted.count; i++, node = node->next)
        if (is_everybody(&config->auth.trusted.items[i]))
            parser_wrong(
                parser, node, key,
                "who is in %.*s could call anywhere through us, in any name, without a password; "
                "name your own networks, or say `insecure: yes`",
                SLICE_ARG(node->text));
}

static void check_http(struct parser *parser)
{
    const struct config *config = parser->config;
    const struct slice key = SLICE("http.listen");

    if (config->http.off || config->http.plain || addr_is_loopback(&config->http.listen))
        return;
    parser_wrong(
        parser, parser_given(parser, key), key,
        "plain HTTP where others can listen in; use 127.0.0.1, or say `plain: yes` below http");
}

static void check_registrar(struct parser *parser)
{
    struct config *config = parser->config;
    const struct slice defaults = SLICE("registrar.default_expires");
    const struct slice max = SLICE("registrar.max_expires");
    const struct yaml_node *node = parser_given(parser, max);

    if (config->registrar.min_expires_s > config->registrar.max_expires_s) {
        parser_wrong(
            parser, node != NULL ? node : parser_given(parser, SLICE("registrar.min_expires")), max,
            "is less than min_expires; make it at least %us", config->registrar.min_expires_s);
        return;
    }
    if (parser_given(parser, defaults) == NULL) { /* ours gives way */
        if (config->registrar.default_expires_s > config->registrar.max_expires_s)
            config->registrar.default_expires_s = config->registrar.max_expires_s;
        if (config->registrar.default_expires_s < config->registrar.min_expires_s)
            config->registrar.default_expires_s = config->registrar.min_expires_s;
    }
    if (config->registrar.default_expires_s < config->registrar.min_expires_s ||
        config->registrar.default_expires_s > config->registrar.max_expires_s)
        parser_wrong(parser, parser_given(parser, defaults), defaults,
                     "is not between min_expires and max_expires; give %us to %us",
                     config->registrar.min_expires_s, config->registrar.max_expires_s);
}

/* A phone must be able to register for so long that there is time to wake it. */
static void check_push(struct parser *parser)
{
    enum {
        MARGIN_S = 240 /* as the registrar wants it: registrar/push.h */
    };
    const struct config *config = parser->config;
    const struct slice url = SLICE("push.url"), secret = SLICE("push.secret"),
                       refresh = SLICE("push.refresh");
    const struct yaml_node *node = parser_given(parser, refresh);

    if (config->push.url.len == 0) {
        if (config->push.secret.len > 0)
            parser_wrong(parser, parser_given(parser, secret), secret,
                         "is for no gateway; give `url: https://...` below push");
        return;
    }
    if (config->push.secret.len == 0)
        parser_wrong(
            parser, parser_given(parser, url), url,
            "needs a secret, by which the gateway knows us; give `secret: {file: push.key}` "
            "below push");
    if (config->push.refresh_s > 0 &&
        config->registrar.default_expires_s < config->push.refresh_s + MARGIN_S)
        parser_wrong(
            parser, node != NULL ? node : parser_given(parser, url), refresh,
            "phones register for %us, which leaves no time to wake them; give at most %us, or a "
            "longer registrar.default_expires",
            config->registrar.default_expires_s,
            config->registrar.default_expires_s > MARGIN_S
                ? config->registrar.default_expires_s - MARGIN_S
                : 0);
}

static void check_edge(struct parser *parser)
{
    const struct config *config = parser->config;
    const struct slice domains = SLICE("edge.domains"), hop = SLICE("edge.registrar");

    if (config->edge.domains.count > 0 && config->edge.registrar.len == 0)
        parser_wrong(
            parser, parser_given(parser, domains), domains,
            "needs to know where their registrar is; give `registrar: udp:10.0.0.1:5060` below "
            "edge");
    if (config->edge.domains.count == 0 && config->edge.registrar.len > 0)
        parser_wrong(parser, parser_given(parser, hop), hop,
                     "is for no domain; give `domains: [example.com]` below edge");
    for (uint32_t i = 0; i < config->edge.domains.count; i++)
        for (uint32_t j = 0; j < config->domains.count; j++)
            if (slice_equal(config->edge.domains.items[i], config->domains.items[j]))
                parser_wrong(parser, parser_given(parser, domains), domains,
                             "%.*s is in domains, too: either we are its registrar, or its edge",
                             SLICE_ARG(config->domains.items[j]));
}

static void check_tls(struct parser *parser)
{
    const struct config *config = parser->config;
    const struct slice listen = SLICE("listen"), key = SLICE("tls.key");

    if (config->tls.key.count > 0 && config->tls.key.count != config->tls.certificate.count)
        parser_wrong(parser, parser_given(parser, key), key,
                     "has %u files for %u certificates; give each its key, in the same order",
                     config->tls.key.count, config->tls.certificate.count);
    for (uint32_t i = 0; i < config->listener_count && config->tls.certificate.count == 0; i++)
        if ((config->listeners[i].transport == TRANSPORT_TLS ||
             config->listeners[i].transport == TRANSPORT_WSS) &&
            !addr_is_loopback(&config->listeners[i].bound)) {
            parser_wrong(parser, parser_given(parser, listen), listen,
                         "TLS where others can reach us needs a certificate; give "
                         "`tls: {certificate: cert.pem, key: key.pem}`");
            return;
        }
}

void parser_check(struct parser *parser)
{
    struct config *config = parser->config;

    config->http.off = config->http.listen.family == ADDR_NONE;
    if (config->auth.realm.len == 0 && config->domains.count > 0)
        config->auth.realm = config->domains.items[0];
    check_auth(parser);
    check_trusted(parser);
    check_http(parser);
    check_tls(parser);
    check_registrar(parser);
    check_edge(parser);
    check_push(parser);
}
