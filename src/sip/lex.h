/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lex - the bytes and tokens of RFC 3261 §25.1. Private to sip/.
 *
 * One table says which classes a byte belongs to. A lexer that answers false
 * may have moved: its caller gives up anyway.
 */
#ifndef SIP_LEX_H
#define SIP_LEX_H

#include "sip/header.h"

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
    CH_SCHEME = 1 << 11,   /* what follows a scheme's first letter */
    CH_QDTEXT = 1 << 12,   /* may stand in a quoted string as it is */
    CH_VISIBLE = 1 << 13,  /* 0x21..0x7e */
    CH_V6 = 1 << 14,       /* hex digits, ':' and '.' */
    CH_RESERVED = 1 << 15, /* reserved of RFC 2396 §2.2 */
};

extern const uint16_t lex_classes[256];

static inline bool lex_is(char c, unsigned classes)
{
    return (lex_classes[(unsigned char)c] & classes) != 0;
}

/** Where a parser stands; it may look at what lies before `end`. */
struct lex {
    const char *at;
    const char *end;
};

static inline struct lex lex_over(struct slice s)
{
    /* An empty slice may be NULL, and NULL + 0 is not for C17. */
    return s.len > 0 ? (struct lex){s.data, s.data + s.len} : (struct lex){"", ""};
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

/** All bytes of the classes; possibly none. */
static inline struct slice lex_span(struct lex *lex, unsigned classes)
{
    const char *begin = lex->at;
    const char *at = begin;
    while (at < lex->end && lex_is(*at, classes))
        at++;
    lex->at = at;
    return (struct slice){begin, (size_t)(at - begin)};
}

/** As lex_span(), with %HH between. A bad escape ends the run. */
struct slice lex_span_escaped(struct lex *lex, unsigned classes);

/** 0..15 of a hex digit. */
unsigned lex_hex_value(char c);

/** Skips what remains of LWS after one look. */
void lex_lws_slow(struct lex *lex);

/** Skips [LWS]: spaces, tabs and folding (CRLF followed by one of them). */
static inline void lex_lws(struct lex *lex)
{
    if (lex->at < lex->end && (unsigned char)*lex->at <= ' ')
        lex_lws_slow(lex);
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

/** A quoted-string, given with its quotes. */
bool lex_quoted(struct lex *lex, struct slice *out);

/** 1*DIGIT as a number. ERR_TOO_BIG past 2^32-1: all digits are eaten then, too. */
enum err lex_u32(struct lex *lex, uint32_t *out);

/** 1*DIGIT, 1..65535. */
bool lex_port(struct lex *lex, uint16_t *out);

/** hostname, IPv4address or IPv6reference (with its brackets). */
bool lex_host(struct lex *lex, struct slice *out);

/** Equal to a lower-case name of letters, digits (and '-'), but for the case. */
static inline bool lex_same(struct slice s, const char *lower, size_t len)
{
    if (s.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (ascii_lower(s.data[i]) != lower[i])
            return false;
    return true;
}
#define LEX_SAME(s, literal) lex_same((s), literal, sizeof(literal) - 1)

/** sip_param_next() over a cursor. */
enum err lex_param(struct lex *lex, struct sip_param *out);

/** The topmost value of a Via field: stops at the comma after it, or at the end. */
enum err lex_via(struct lex *lex, struct sip_via *out);

/** Skips one list value: to a comma outside quotes and <>, or to the end. */
void lex_skip_value(struct lex *lex);

#endif
