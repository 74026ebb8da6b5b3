/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex - the bytes and tokens of RFC 3261 §25.1. Private to sip/.
 *
 * One table says which classes a byte belongs to. A lexer that answers false
 * may have moved: its caller gives up anyway.
 */
#ifndef SIP_LEX_H
#define SIP_LEX_H

#include "sip/msg.h"
#include "sip/scan.h"

enum {
    CH_TOKEN = 1 << 0,    /* token */
    CH_VALUE = 1 << 1,    /* an unquoted parameter value, liberally: see lex.c */
    CH_USER = 1 << 2,     /* unreserved / user-unreserved, and '#': see lex.c */
    CH_PASSWORD = 1 << 3, /* password */
    CH_HOST = 1 << 4,     /* hostname and IPv4address, and '_' */
    CH_PARAM = 1 << 5,    /* paramchar */
    CH_HEADER = 1 << 6,   /* hname and hvalue */
    CH_URI = 1 << 7,      /* uric of RFC 2396 without escapes, and [ ] */
    CH_DIGIT = 1 << 8,
    CH_HEX = 1 << 9,
    CH_ALPHA = 1 << 10,
    CH_SCHEME = 1 << 11,  /* what follows a scheme's first letter */
    CH_QDTEXT = 1 << 12,  /* may stand in a quoted string as it is */
    CH_VISIBLE = 1 << 13, /* 0x21..0x7e */
    CH_V6 = 1 << 14,      /* hex digits, ':' and '.' */
    CH_BRACKET = 1 << 15, /* visible without < > and quotes: a URI in brackets, unchecked */
};

extern const uint16_t lex_classes[256];

static inline bool lex_is(char c, unsigned classes)
{
    return (lex_classes[(unsigned char)c] & classes) != 0;
}

/** Where a parser stands. What lies before `end` is its text. */
struct lex {
    const char *at;
    const char *end;
    const char
        *limit; /* >= end: bytes up to here may be loaded, though they mean nothing (scan.h) */
};

static inline struct lex lex_over(struct slice s)
{
    if (s.data == NULL) /* NULL + 0 is not for C17 */
        s.data = "";
    return (struct lex){s.data, s.data + s.len, s.data + s.len};
}

/** Over a part of a buffer that goes on to `limit`. */
static inline struct lex lex_within(struct slice s, const char *limit)
{
    assert(s.data + s.len <= limit);
    return (struct lex){s.data, s.data + s.len, limit};
}

static inline bool lex_end(const struct lex *lex)
{
    return lex->at == lex->end;
}

static inline size_t lex_left(const struct lex *lex)
{
    return (size_t)(lex->end - lex->at);
}

/** The next byte is `c`. */
static inline bool lex_sees(const struct lex *lex, char c)
{
    return lex->at < lex->end && *lex->at == c;
}

static inline bool lex_char(struct lex *lex, char c)
{
    if (!lex_sees(lex, c))
        return false;
    lex->at++;
    return true;
}

/*
 * The helpers that are not inline take and give pointers instead of a struct lex: one whose
 * address never leaves a function lives in registers, and this is the packet path.
 */

/** Behind the run of bytes of the classes that begins at `at`. */
static inline const char *lex_run(const char *at, const char *end, unsigned classes)
{
    while (at < end && lex_is(*at, classes))
        at++;
    return at;
}

/** All bytes of the classes; possibly none. */
static inline struct slice lex_span(struct lex *lex, unsigned classes)
{
    const char *begin = lex->at;
    lex->at = lex_run(begin, lex->end, classes);
    return (struct slice){begin, (size_t)(lex->at - begin)};
}

/** As lex_run(), with %HH between. A bad escape ends the run. */
const char *lex_run_escaped(const char *at, const char *end, unsigned classes);

/** As lex_span(), with %HH between. */
static inline struct slice lex_span_escaped(struct lex *lex, unsigned classes)
{
    const char *begin = lex->at;
    lex->at = lex_run(begin, lex->end, classes);
    if (lex_sees(lex, '%'))
        lex->at = lex_run_escaped(lex->at, lex->end, classes);
    return (struct slice){begin, (size_t)(lex->at - begin)};
}

/** An unquoted parameter value. They are long: tags, branches. */
static inline struct slice lex_value(struct lex *lex)
{
    const char *begin = lex->at;
    const char *at = scan_visible(begin, lex->end, lex->limit, ";,\"<>\\");
    lex->at = lex_run(at, lex->end, CH_VALUE);
    return (struct slice){begin, (size_t)(lex->at - begin)};
}

/** Behind what may stand between < and >. */
static inline const char *lex_bracket_end(const struct lex *lex)
{
    const char *at = scan_visible(lex->at, lex->end, lex->limit, "<>\"\"\"\"");
    return lex_run(at, lex->end, CH_BRACKET);
}

/** Behind visible bytes, whatever they are. */
static inline const char *lex_visible_end(const struct lex *lex)
{
    const char *at = scan_visible(lex->at, lex->end, lex->limit, "\x7f\x7f\x7f\x7f\x7f\x7f");
    return lex_run(at, lex->end, CH_VISIBLE);
}

/** 0..15 of a hex digit. */
unsigned lex_hex_value(char c);

/** Behind what remains of LWS after one look. */
const char *lex_lws_end(const char *at, const char *end);

/** Skips [LWS]: spaces, tabs and folding (CRLF followed by one of them). */
static inline void lex_lws(struct lex *lex)
{
    if (lex->at < lex->end && (unsigned char)*lex->at <= ' ')
        lex->at = lex_lws_end(lex->at, lex->end);
}

/** [LWS] c [LWS] */
static inline bool lex_separator(struct lex *lex, char c)
{
    lex_lws(lex);
    if (!lex_char(lex, c))
        return false;
    lex_lws(lex);
    return true;
}

/** 1*tokenchar */
static inline bool lex_token(struct lex *lex, struct slice *out)
{
    *out = lex_span(lex, CH_TOKEN);
    return out->len > 0;
}

/** Behind the quoted-string at `at`, or NULL. `limit` is as in struct lex. */
const char *lex_quoted_end(const char *at, const char *end, const char *limit);

/** A quoted-string, given with its quotes. */
static inline bool lex_quoted(struct lex *lex, struct slice *out)
{
    const char *end = lex_quoted_end(lex->at, lex->end, lex->limit);
    if (end == NULL)
        return false;
    *out = slice_between(lex->at, end);
    lex->at = end;
    return true;
}

/** 1*DIGIT as a number. ERR_TOO_BIG past 2^32-1: all digits are eaten then, too. */
static inline enum err lex_u32(struct lex *lex, uint32_t *out)
{
    const char *at = lex->at;
    uint64_t value = 0;

    while (at < lex->end && (unsigned char)(*at - '0') <= 9) {
        value = value * 10 + (unsigned)(*at - '0');
        if (value > UINT32_MAX)
            value = UINT32_MAX + UINT64_C(1); /* stays too big, and cannot overflow */
        at++;
    }
    if (at == lex->at)
        return ERR_SYNTAX;
    lex->at = at;
    if (value > UINT32_MAX)
        return ERR_TOO_BIG;
    *out = (uint32_t)value;
    return OK;
}

/** 1*DIGIT, 1..65535. */
static inline bool lex_port(struct lex *lex, uint16_t *out)
{
    uint32_t value = 0;
    if (lex_u32(lex, &value) || value == 0 || value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

/** Behind the IPv6reference at `at`, or NULL. */
const char *lex_v6_end(const char *at, const char *end);

/** hostname, IPv4address or IPv6reference (with its brackets). */
static inline bool lex_host(struct lex *lex, struct slice *out)
{
    if (!lex_sees(lex, '[')) {
        *out = lex_span(lex, CH_HOST);
        return out->len > 0;
    }
    const char *end = lex_v6_end(lex->at, lex->end);
    if (end == NULL)
        return false;
    *out = slice_between(lex->at, end);
    lex->at = end;
    return true;
}

/*
 * sip_param_next() over a cursor:
 *
 *   generic-param = token [ EQUAL ( token / host / quoted-string ) ], after SEMI
 */
static inline enum err lex_param(struct lex *lex, struct sip_param *out)
{
    lex_lws(lex);
    if (lex_end(lex))
        return ERR_NOT_FOUND;
    if (!lex_char(lex, ';'))
        return ERR_SYNTAX;
    lex_lws(lex);
    if (!lex_token(lex, &out->name))
        return ERR_SYNTAX;
    lex_lws(lex);
    out->has_value = lex_char(lex, '=');
    out->value = SLICE_EMPTY;
    if (!out->has_value)
        return OK;

    lex_lws(lex);
    if (lex_sees(lex, '"')) {
        if (!lex_quoted(lex, &out->value))
            return ERR_SYNTAX;
    } else {
        out->value = lex_value(lex);
        if (out->value.len == 0)
            return ERR_SYNTAX;
    }
    lex_lws(lex);
    return OK;
}

/**
 * The parameter that nearly always comes first, written as nearly always: `text` is its separator,
 * name and '='. All else is left to lex_param().
 */
static inline void lex_first_param(struct lex *lex, struct slice text, struct slice *value)
{
    if (lex_left(lex) <= text.len || memcmp(lex->at, text.data, text.len) != 0)
        return;

    struct lex quick = *lex;
    quick.at += text.len;
    *value = lex_value(&quick);
    if (value->len == 0)
        return; /* in quotes, or missing */
    lex_lws(&quick);
    *lex = quick;
}

/** Up to eight bytes as a number. */
static inline uint64_t lex_word(const char *data, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, data, len);
    return word;
}

#define LEX_LOWER UINT64_C(0x2020202020202020) /* the bit that makes ASCII letters small */

/**
 * The token `s` is the name `lower` (small letters, digits, '-', '+', '.'), whatever the case.
 * The length is a constant, so this is a comparison of one or two words. With that bit set,
 * no two bytes of a token that are not one letter become the same.
 */
static inline bool lex_same(struct slice s, const char *lower, size_t len)
{
    if (s.len != len)
        return false;
    size_t head = len < 8 ? len : 8;
    size_t rest = len - head;
    if (((lex_word(s.data, head) | LEX_LOWER) ^ (lex_word(lower, head) | LEX_LOWER)) != 0)
        return false;
    return ((lex_word(s.data + head, rest) | LEX_LOWER) ^
            (lex_word(lower + head, rest) | LEX_LOWER)) == 0;
}
#define LEX_SAME(s, literal)                                                                       \
    (lex_same((s), literal, sizeof(literal) - 1 + 0 * sizeof(char[17 - sizeof(literal)])))

/*
 * Parsers that fill a zeroed `*out` in place; what they leave there on failure is garbage.
 * The verbs of header.h and uri.h stand on them.
 */

/** The topmost value of a Via field: stops at the comma after it, or at the end. */
bool lex_via(struct lex *lex, struct sip_via *out);

/** A name-addr that takes up the whole text, which has no LWS at its ends. */
bool lex_name_addr(struct lex lex, struct sip_name_addr *out);

/** A URI that takes up all of `text`. */
bool lex_uri(struct slice text, struct sip_uri *out);

/** sip_field_id() for a name in a buffer that may be read up to `limit`. */
enum sip_field_id lex_field_id(struct slice name, const char *limit);

/** Are two pieces of a URI the same with escapes undone, with or without case (§19.1.4)? */
bool lex_text_equal(struct slice a, struct slice b, bool with_case);

/** Skips one list value: to a comma outside quotes and <>, or to the end. */
void lex_skip_value(struct lex *lex);

#endif
