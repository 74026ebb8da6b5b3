/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/uri.h"

#include "sip/lex.h"

/*
 * scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ), and ':'
 */
static bool lex_scheme(struct lex *lex, uint8_t *out)
{
    if (lex_end(lex) || !lex_is(*lex->at, CH_ALPHA))
        return false;

    struct slice name = lex_span(lex, CH_SCHEME);
    if (!lex_char(lex, ':'))
        return false;
    if (LEX_SAME(name, "sip"))
        *out = SIP_SCHEME_SIP;
    else if (LEX_SAME(name, "sips"))
        *out = SIP_SCHEME_SIPS;
    else if (LEX_SAME(name, "tel"))
        *out = SIP_SCHEME_TEL;
    else
        *out = SIP_SCHEME_OTHER;
    return true;
}

/** userinfo = ( user / telephone-subscriber ) [ ":" password ] "@" */
static bool lex_userinfo(struct lex *lex, struct sip_uri *uri)
{
    uri->user = lex_span_escaped(lex, CH_USER);
    if (uri->user.len == 0)
        return false;
    uri->has_user = true;
    if (lex_char(lex, ':'))
        uri->password = lex_span_escaped(lex, CH_PASSWORD);
    return lex_char(lex, '@');
}

/** uri-parameter = pname [ "=" pvalue ]: the next of "a=b;c". */
static bool lex_uri_param(struct lex *lex, struct sip_param *out)
{
    out->name = lex_span_escaped(lex, CH_PARAM);
    if (out->name.len == 0)
        return false;
    out->has_value = lex_char(lex, '=');
    out->value = SLICE_EMPTY;
    if (!out->has_value)
        return true;
    out->value = lex_span_escaped(lex, CH_PARAM);
    return out->value.len > 0;
}

/** Notes a parameter that has a place of its own in struct sip_uri. */
static void note_param(struct sip_uri *uri, const struct sip_param *param)
{
    switch (param->name.len) {
    case 2:
        if (LEX_SAME(param->name, "lr"))
            uri->lr = true;
        else if (LEX_SAME(param->name, "gr"))
            uri->has_gr = true;
        else if (LEX_SAME(param->name, "ob"))
            uri->ob = true;
        break;
    case 4:
        if (LEX_SAME(param->name, "user"))
            uri->user_phone = LEX_SAME(param->value, "phone");
        break;
    case 5:
        if (LEX_SAME(param->name, "maddr"))
            uri->maddr = param->value;
        break;
    case 9:
        if (LEX_SAME(param->name, "transport")) {
            uri->has_transport = true;
            uri->transport = (uint8_t)sip_transport_parse(param->value);
        }
        break;
    default:
        break;
    }
}

/**
 * uri-parameters = *( ";" uri-parameter ). None may come twice (RFC 3261 §19.1.1), and
 * there are at most SIP_URI_PARAMS_MAX.
 */
static bool lex_uri_params(struct lex *lex, struct sip_uri *uri)
{
    struct slice names[SIP_URI_PARAMS_MAX];
    size_t count = 0;
    struct sip_param param;

    lex->at++;
    const char *begin = lex->at;
    do {
        if (count == SIP_URI_PARAMS_MAX || !lex_uri_param(lex, &param))
            return false;
        for (size_t i = 0; i < count; i++)
            if (lex_text_equal(names[i], param.name, false))
                return false;
        names[count++] = param.name;
        note_param(uri, &param);
    } while (lex_char(lex, ';'));
    uri->params = slice_between(begin, lex->at);
    return true;
}

/** headers = "?" hname "=" hvalue *( "&" hname "=" hvalue ) */
static bool lex_uri_headers(struct lex *lex, struct sip_uri *uri)
{
    size_t count = 0;

    lex->at++;
    const char *begin = lex->at;
    do {
        if (++count > SIP_URI_HEADERS_MAX || lex_span_escaped(lex, CH_HEADER).len == 0)
            return false;
        if (!lex_char(lex, '='))
            return false;
        lex_span_escaped(lex, CH_HEADER);
    } while (lex_char(lex, '&'));
    uri->headers = slice_between(begin, lex->at);
    return true;
}

/*
 * SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ]   (RFC 3261 §19.1.1)
 *
 * A user part may hold ';', '?' and '/', but '@' can stand nowhere else: it decides.
 */
static bool lex_sip_uri(struct lex *lex, struct sip_uri *uri)
{
    if (slice_find(slice_between(lex->at, lex->end), '@') != SIZE_MAX && !lex_userinfo(lex, uri))
        return false;
    if (!lex_host(lex, &uri->host))
        return false;
    if (lex_char(lex, ':') && !lex_port(lex, &uri->port))
        return false;
    if (lex_sees(lex, ';') && !lex_uri_params(lex, uri))
        return false;
    return !lex_sees(lex, '?') || lex_uri_headers(lex, uri);
}

/** A byte of a number: phonedigit-hex, '*', '#' and '+' in front (RFC 3966 §3). */
static bool is_number_byte(char c, bool first)
{
    return lex_is(c, CH_HEX) || c == '*' || c == '#' || c == '-' || c == '.' || c == '(' ||
           c == ')' || (c == '+' && first);
}

/*
 * telephone-uri = "tel:" telephone-subscriber   (RFC 3966 §3)
 *
 * A local number should have a phone-context; phones dial without one.
 */
static bool lex_tel_uri(struct lex *lex, struct sip_uri *uri)
{
    const char *begin = lex->at;
    bool digits = false;

    while (!lex_end(lex) && is_number_byte(*lex->at, lex->at == begin)) {
        digits = digits || lex_is(*lex->at, CH_HEX) || *lex->at == '*' || *lex->at == '#';
        lex->at++;
    }
    if (!digits)
        return false;
    uri->user = slice_between(begin, lex->at);
    uri->has_user = true;
    return !lex_sees(lex, ';') || lex_uri_params(lex, uri);
}

bool lex_uri(struct slice text, struct sip_uri *out)
{
    struct lex lex = lex_over(text);
    bool good = false;

    out->text = text;
    if (!lex_scheme(&lex, &out->scheme))
        return false;
    switch ((enum sip_scheme)out->scheme) {
    case SIP_SCHEME_SIP:
    case SIP_SCHEME_SIPS:
        good = lex_sip_uri(&lex, out);
        break;
    case SIP_SCHEME_TEL:
        good = lex_tel_uri(&lex, out);
        break;
    case SIP_SCHEME_OTHER:
        good = lex_span_escaped(&lex, CH_URI).len > 0;
        break;
    }
    return good && lex_end(&lex);
}

enum err sip_uri_parse(struct slice text, struct sip_uri *out)
{
    struct sip_uri uri = {0};

    if (!lex_uri(text, &uri))
        return ERR_SYNTAX;
    *out = uri;
    return OK;
}

bool sip_uri_param(const struct sip_uri *uri, struct slice name, struct slice *out)
{
    struct lex lex = lex_over(uri->params);
    struct sip_param param;

    while (lex_uri_param(&lex, &param)) {
        if (slice_equal_nocase(param.name, name)) {
            *out = param.value;
            return true;
        }
        if (!lex_char(&lex, ';'))
            break;
    }
    return false;
}

enum err sip_unescape(struct builder *b, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] != '%') {
            builder_char(b, s.data[i]);
            continue;
        }
        if (s.len - i < 3 || !lex_is(s.data[i + 1], CH_HEX) || !lex_is(s.data[i + 2], CH_HEX))
            return ERR_SYNTAX;
        builder_char(b, (char)(lex_hex_value(s.data[i + 1]) << 4 | lex_hex_value(s.data[i + 2])));
        i += 2;
    }
    return b->overflow ? ERR_TOO_BIG : OK;
}

void sip_escape_user(struct builder *b, struct slice s)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (lex_is(s.data[i], CH_USER) && c != '#') {
            builder_char(b, s.data[i]);
            continue;
        }
        builder_char(b, '%');
        builder_char(b, digits[c >> 4]);
        builder_char(b, digits[c & 15]);
    }
}

enum err sip_uri_addr(const struct sip_uri *uri, uint16_t default_port, struct addr *out)
{
    return addr_parse(uri->host, uri->port != 0 ? uri->port : default_port, out);
}

enum err sip_number_normalize(struct builder *b, struct slice number)
{
    size_t digits = 0;

    for (size_t i = 0; i < number.len; i++) {
        char c = number.data[i];
        if (!is_number_byte(c, i == 0))
            return ERR_SYNTAX;
        if (c == '-' || c == '.' || c == '(' || c == ')')
            continue;
        digits += c != '+';
        builder_char(b, c);
    }
    if (digits == 0)
        return ERR_SYNTAX;
    return b->overflow ? ERR_TOO_BIG : OK;
}

const char *sip_transport_name(enum transport transport)
{
    switch (transport) {
    case TRANSPORT_UDP:
        return "UDP";
    case TRANSPORT_TCP:
        return "TCP";
    case TRANSPORT_TLS:
        return "TLS";
    case TRANSPORT_WS:
        return "WS";
    case TRANSPORT_WSS:
        return "WSS";
    case TRANSPORT_NONE:
    case TRANSPORT_COUNT:
        break;
    }
    return "?";
}

enum transport sip_transport_parse(struct slice name)
{
    if (name.len == 3) {
        if (LEX_SAME(name, "udp"))
            return TRANSPORT_UDP;
        if (LEX_SAME(name, "tcp"))
            return TRANSPORT_TCP;
        if (LEX_SAME(name, "tls"))
            return TRANSPORT_TLS;
        if (LEX_SAME(name, "wss"))
            return TRANSPORT_WSS;
    }
    return LEX_SAME(name, "ws") ? TRANSPORT_WS : TRANSPORT_NONE;
}

uint16_t sip_transport_port(enum transport transport)
{
    switch (transport) {
    case TRANSPORT_TLS:
        return 5061;
    case TRANSPORT_WS:
        return 80;
    case TRANSPORT_WSS:
        return 443;
    case TRANSPORT_NONE:
    case TRANSPORT_UDP:
    case TRANSPORT_TCP:
    case TRANSPORT_COUNT:
        break;
    }
    return 5060;
}
