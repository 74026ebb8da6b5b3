/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/lex.h"

/** sent-by = host [ COLON port ] */
static bool lex_sent_by(struct lex *lex, struct sip_via *via)
{
    const char *begin = lex->at;

    if (!lex_host(lex, &via->host))
        return false;
    via->sent_by = via->host;
    lex_lws(lex);
    if (!lex_char(lex, ':'))
        return true;
    lex_lws(lex);
    if (!lex_port(lex, &via->port))
        return false;
    via->sent_by = slice_between(begin, lex->at);
    lex_lws(lex);
    return true;
}

/** Takes `value` for a parameter that must come once and have a value. */
static bool once(struct slice *field, struct slice value)
{
    if (field->len > 0 || value.len == 0)
        return false;
    *field = value;
    return true;
}

/** response-port = "rport" [ EQUAL 1*DIGIT ] (RFC 3581 §3). A port of 0 is as none. */
static bool via_rport(struct sip_via *via, const struct sip_param *param)
{
    uint32_t port = 0;

    if (via->has_rport)
        return false;
    via->has_rport = true;
    if (param->has_value && (sip_number_parse(param->value, &port) || port > UINT16_MAX))
        return false;
    via->rport = (uint16_t)port;
    return true;
}

/** ttl = 1*3DIGIT ; 0 to 255 */
static bool via_ttl(struct sip_via *via, struct slice value)
{
    uint32_t ttl;
    if (sip_number_parse(value, &ttl) || ttl > UINT8_MAX)
        return false;
    via->ttl = (uint8_t)ttl;
    return true;
}

/** One parameter. False when it is one of ours and malformed or there twice. */
static bool via_param(struct sip_via *via, const struct sip_param *param)
{
    switch (param->name.len) {
    case 2:
        if (LEX_SAME(param->name, "oc"))
            via->has_oc = true;
        return true;
    case 3:
        return !LEX_SAME(param->name, "ttl") || via_ttl(via, param->value);
    case 5:
        if (LEX_SAME(param->name, "rport"))
            return via_rport(via, param);
        if (LEX_SAME(param->name, "maddr"))
            return once(&via->maddr, param->value);
        if (LEX_SAME(param->name, "alias"))
            via->has_alias = true;
        return true;
    case 6:
        return !LEX_SAME(param->name, "branch") || once(&via->branch, param->value);
    case 8:
        return !LEX_SAME(param->name, "received") || once(&via->received, param->value);
    default:
        return true;
    }
}

/** protocol-name SLASH protocol-version SLASH: nearly always these eight bytes. */
static bool lex_protocol(struct lex *lex)
{
    struct slice token;

    if (lex_left(lex) >= 8 && memcmp(lex->at, "SIP/2.0/", 8) == 0) {
        lex->at += 8;
        lex_lws(lex);
        return true;
    }
    return lex_token(lex, &token) && lex_separator(lex, '/') && lex_token(lex, &token) &&
           lex_separator(lex, '/');
}

/*
 * via-parm      = sent-protocol LWS sent-by *( SEMI via-params )
 * sent-protocol = protocol-name SLASH protocol-version SLASH transport
 */
bool lex_via(struct lex *outer, struct sip_via *via)
{
    struct lex lex = *outer; /* in registers */

    lex_lws(&lex);
    if (!lex_protocol(&lex) || !lex_token(&lex, &via->transport_name))
        return false;
    via->transport = (uint8_t)sip_transport_parse(via->transport_name);

    const char *protocol_end = lex.at;
    lex_lws(&lex);
    if (lex.at == protocol_end || !lex_sent_by(&lex, via))
        return false;

    const char *params = lex.at;
    struct sip_param param;
    lex_first_param(&lex, SLICE(";branch="), &via->branch);
    while (lex_sees(&lex, ';'))
        if (lex_param(&lex, &param) || !via_param(via, &param))
            return false;
    if (!lex_end(&lex) && *lex.at != ',')
        return false;

    via->params = slice_between(params, lex.at);
    *outer = lex;
    return true;
}

enum err sip_via_parse(struct slice value, struct sip_via *out)
{
    struct lex lex = lex_over(value);
    struct sip_via via = {0};

    if (!lex_via(&lex, &via) || !lex_end(&lex))
        return ERR_SYNTAX;
    *out = via;
    return OK;
}

bool sip_branch_rfc3261(struct slice branch)
{
    struct slice begin = {branch.data, sizeof SIP_BRANCH_COOKIE - 1};

    return branch.len > begin.len && LEX_SAME(begin, SIP_BRANCH_COOKIE);
}

bool sip_via_is_plain(const struct sip_via *via)
{
    static const size_t head = sizeof ";branch=" - 1;
    size_t rport = head + via->branch.len;

    return via->branch.data == via->params.data + head &&
           via->params.len == rport + sizeof ";rport" - 1 &&
           slice_equal(slice_from(via->params, rport), SLICE(";rport"));
}
