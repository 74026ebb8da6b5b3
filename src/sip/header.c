/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/header.h"

#include "sip/lex.h"

enum err sip_param_next(struct slice *rest, struct sip_param *out)
{
    struct lex lex = lex_over(*rest);
    struct sip_param param;

    enum err err = lex_param(&lex, &param);
    if (err)
        return err;
    *rest = slice_between(lex.at, lex.end);
    *out = param;
    return OK;
}

bool sip_param_find(struct slice params, struct slice name, struct sip_param *out)
{
    struct sip_param param;

    while (sip_param_next(&params, &param) == OK) {
        if (slice_equal_nocase(param.name, name)) {
            *out = param;
            return true;
        }
    }
    return false;
}

struct slice sip_unquote(struct slice value)
{
    if (value.len < 2 || value.data[0] != '"' || value.data[value.len - 1] != '"')
        return value;
    return (struct slice){value.data + 1, value.len - 2};
}

/*
 * CSeq = 1*DIGIT LWS Method
 */
enum err sip_cseq_parse(struct slice value, struct sip_cseq *out)
{
    struct lex lex = lex_over(value);
    struct sip_cseq cseq;

    lex_lws(&lex);
    if (lex_u32(&lex, &cseq.number) || cseq.number > SIP_CSEQ_MAX)
        return ERR_SYNTAX;
    const char *digits_end = lex.at;
    lex_lws(&lex);
    if (lex.at == digits_end || !lex_token(&lex, &cseq.method_name))
        return ERR_SYNTAX;
    lex_lws(&lex);
    if (!lex_end(&lex))
        return ERR_SYNTAX;

    cseq.method = (uint8_t)sip_method_parse(cseq.method_name);
    *out = cseq;
    return OK;
}

/** The URI between < and >: a scheme and ':' at least, no LWS (RFC 4475 §3.1.2.14). */
static bool lex_bracketed_uri(struct lex *lex, struct slice *out)
{
    if (!lex_char(lex, '<') || lex_end(lex) || !lex_is(*lex->at, CH_ALPHA))
        return false;

    const char *begin = lex->at;
    if (lex_left(lex) >= 4 && memcmp(begin, "sip:", 4) == 0) {
        lex->at += 4;
    } else {
        lex_span(lex, CH_SCHEME);
        if (!lex_char(lex, ':'))
            return false;
    }
    lex->at = lex_bracket_end(lex);
    *out = slice_between(begin, lex->at);
    return lex_char(lex, '>');
}

/** An addr-spec without brackets ends where the header's parameters begin. */
static bool lex_bare_uri(struct lex *lex, const char *begin, struct slice *out)
{
    lex->at = begin;
    if (lex_end(lex) || !lex_is(*begin, CH_ALPHA))
        return false;
    lex_span(lex, CH_SCHEME);
    if (!lex_char(lex, ':'))
        return false;

    while (!lex_end(lex) && lex_is(*lex->at, CH_URI | CH_TOKEN)) {
        if (*lex->at == ';')
            break;
        if (*lex->at == ',' || *lex->at == '?')
            return false;
        lex->at++;
    }
    *out = slice_between(begin, lex->at);
    return true;
}

/** In a display name without quotes: tokens, and UTF-8 beyond the grammar. */
static bool is_word(const struct lex *lex)
{
    return !lex_end(lex) && (lex_is(*lex->at, CH_TOKEN) || (unsigned char)*lex->at >= 0x80);
}

/**
 * The part before the parameters.
 *
 *   name-addr    = [ display-name ] LAQUOT addr-spec RAQUOT
 *   display-name = *(token LWS) / quoted-string
 *
 * Bytes of UTF-8 are taken in an unquoted display name, too; and no LWS is asked for
 * before '<' (RFC 4475 §3.1.1.6).
 */
static bool lex_address(struct lex *lex, struct sip_name_addr *out)
{
    const char *begin = lex->at;

    out->brackets = true;
    if (lex_sees(lex, '<'))
        return lex_bracketed_uri(lex, &out->uri_text);
    if (lex_sees(lex, '"')) {
        if (!lex_quoted(lex, &out->display))
            return false;
        lex_lws(lex);
        return lex_bracketed_uri(lex, &out->uri_text);
    }

    const char *word_end = begin;
    while (is_word(lex)) {
        while (is_word(lex))
            lex->at++;
        word_end = lex->at;
        lex_lws(lex);
    }
    out->brackets = lex_sees(lex, '<');
    if (!out->brackets)
        return lex_bare_uri(lex, begin, &out->uri_text);
    out->display = slice_between(begin, word_end);
    return lex_bracketed_uri(lex, &out->uri_text);
}

bool lex_name_addr(struct lex lex, struct sip_name_addr *out)
{
    out->value = slice_between(lex.at, lex.end);
    if (!lex_address(&lex, out))
        return false;

    lex_lws(&lex);
    out->params = slice_between(lex.at, lex.end);
    lex_first_param(&lex, SLICE(";tag="), &out->tag);
    struct sip_param param;
    enum err err;
    while ((err = lex_param(&lex, &param)) == OK) {
        if (!LEX_SAME(param.name, "tag"))
            continue;
        if (out->tag.len > 0 || param.value.len == 0)
            return false;
        out->tag = param.value;
    }
    return err == ERR_NOT_FOUND;
}

enum err sip_name_addr_parse(struct slice value, struct sip_name_addr *out)
{
    struct sip_name_addr addr = {0};

    if (!lex_name_addr(lex_over(slice_trim(value)), &addr))
        return ERR_SYNTAX;
    *out = addr;
    return OK;
}

/** One parameter of a Contact. False when a known one comes twice or is malformed. */
static bool contact_param(struct sip_contact *contact, const struct sip_param *param)
{
    if (LEX_SAME(param->name, "q")) {
        if (contact->has_q || sip_q_parse(param->value, &contact->q))
            return false;
        contact->has_q = true;
    } else if (LEX_SAME(param->name, "expires")) {
        if (contact->has_expires)
            return false;
        enum err err = sip_number_parse(param->value, &contact->expires);
        if (err == ERR_TOO_BIG)
            contact->expires = UINT32_MAX;
        contact->has_expires = err == OK || err == ERR_TOO_BIG;
    } else if (LEX_SAME(param->name, "+sip.instance")) {
        if (contact->instance.len > 0)
            return false;
        contact->instance = sip_unquote(param->value);
    } else if (LEX_SAME(param->name, "reg-id")) {
        if (contact->reg_id != 0 || sip_number_parse(param->value, &contact->reg_id) ||
            contact->reg_id == 0)
            return false;
    }
    return true;
}

/*
 * contact-param = (name-addr / addr-spec) *(SEMI contact-params)   (RFC 3261 §20.10)
 */
enum err sip_contact_parse(struct slice value, struct sip_contact *out)
{
    struct sip_contact contact = {.q = 1000};

    value = slice_trim(value);
    if (value.len == 1 && value.data[0] == '*') {
        contact.star = true;
        *out = contact;
        return OK;
    }
    if (sip_name_addr_parse(value, &contact.addr))
        return ERR_SYNTAX;

    struct slice rest = contact.addr.params;
    struct sip_param param;
    while (sip_param_next(&rest, &param) == OK)
        if (!contact_param(&contact, &param))
            return ERR_SYNTAX;
    *out = contact;
    return OK;
}

/*
 * qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )
 */
enum err sip_q_parse(struct slice value, uint16_t *out)
{
    struct lex lex = lex_over(slice_trim(value));

    if (!lex_sees(&lex, '0') && !lex_sees(&lex, '1'))
        return ERR_SYNTAX;
    unsigned q = *lex.at == '1' ? 1000 : 0;
    lex.at++;
    if (lex_char(&lex, '.')) {
        struct slice digits = lex_span(&lex, CH_DIGIT);
        if (digits.len > 3)
            return ERR_SYNTAX;
        unsigned weight = 100;
        for (size_t i = 0; i < digits.len; i++, weight /= 10)
            q += (unsigned)(digits.data[i] - '0') * weight;
    }
    if (!lex_end(&lex) || q > 1000)
        return ERR_SYNTAX;
    *out = (uint16_t)q;
    return OK;
}

enum err sip_number_parse(struct slice value, uint32_t *out)
{
    struct lex lex = lex_over(value);
    uint32_t number = 0;

    lex_lws(&lex);
    enum err err = lex_u32(&lex, &number);
    if (err == ERR_SYNTAX)
        return err;
    lex_lws(&lex);
    if (!lex_end(&lex))
        return ERR_SYNTAX;
    if (err == OK)
        *out = number;
    return err;
}

void lex_skip_value(struct lex *lex)
{
    while (true) {
        lex->at = scan_four(lex->at, lex->end, ",\"<<");
        if (lex_end(lex) || *lex->at == ',')
            return;
        const char *behind = *lex->at == '<' ? scan_four(lex->at, lex->end, ">>>>")
                                             : lex_quoted_end(lex->at, lex->end, lex->limit);
        lex->at = behind != NULL ? behind : lex->end;
    }
}

bool sip_list_next(struct slice *rest, struct slice *out)
{
    if (rest->data == NULL)
        return false;

    struct lex lex = lex_over(*rest);
    const char *begin = lex.at;
    lex_skip_value(&lex);
    *out = slice_trim(slice_between(begin, lex.at));
    /* After a comma there is another value, be it empty; NULL says that there is none. */
    *rest = lex_char(&lex, ',') ? slice_between(lex.at, lex.end) : SLICE_EMPTY;
    return true;
}

bool sip_token_next(struct slice *rest, struct slice *out)
{
    struct slice token;

    while (sip_list_next(rest, &token)) {
        if (token.len > 0) {
            *out = token;
            return true;
        }
    }
    return false;
}
