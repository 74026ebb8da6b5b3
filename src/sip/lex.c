/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/lex.h"

/*
 * RFC 3261 §25.1, as questions about one byte. Where phones in the field go beyond the
 * grammar and nobody can be misled by it, we go with them:
 *  - '#' unescaped in a user part: dialled feature codes;
 *  - '_' in host names;
 *  - a parameter value is any visible byte but the separators ; , " < > and '\': tags and
 *    branches with '=', '@' or '/' in them.
 */
#define UPPER(c)   ((c) >= 'A' && (c) <= 'Z')
#define LOWER(c)   ((c) >= 'a' && (c) <= 'z')
#define DIGIT(c)   ((c) >= '0' && (c) <= '9')
#define ALPHA(c)   (UPPER(c) || LOWER(c))
#define ALNUM(c)   (ALPHA(c) || DIGIT(c))
#define HEX(c)     (DIGIT(c) || ((c) >= 'A' && (c) <= 'F') || ((c) >= 'a' && (c) <= 'f'))
#define VISIBLE(c) ((c) > ' ' && (c) < 0x7f)
#define MARK(c)                                                                                    \
    ((c) == '-' || (c) == '_' || (c) == '.' || (c) == '!' || (c) == '~' || (c) == '*' ||           \
     (c) == '\'' || (c) == '(' || (c) == ')')
#define UNRESERVED(c) (ALNUM(c) || MARK(c))
#define RESERVED(c)                                                                                \
    ((c) == ';' || (c) == '/' || (c) == '?' || (c) == ':' || (c) == '@' || (c) == '&' ||           \
     (c) == '=' || (c) == '+' || (c) == '$' || (c) == ',')
#define TOKEN(c)                                                                                   \
    (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '!' || (c) == '%' || (c) == '*' ||             \
     (c) == '_' || (c) == '+' || (c) == '`' || (c) == '\'' || (c) == '~')
#define VALUE(c)                                                                                   \
    (VISIBLE(c) && (c) != ';' && (c) != ',' && (c) != '"' && (c) != '<' && (c) != '>' &&           \
     (c) != '\\')
#define PASSWORD(c)                                                                                \
    (UNRESERVED(c) || (c) == '&' || (c) == '=' || (c) == '+' || (c) == '$' || (c) == ',')
#define USER(c) (PASSWORD(c) || (c) == ';' || (c) == '?' || (c) == '/' || (c) == '#')
#define PARAM(c)                                                                                   \
    (UNRESERVED(c) || (c) == '[' || (c) == ']' || (c) == '/' || (c) == ':' || (c) == '&' ||        \
     (c) == '+' || (c) == '$')
#define HEADER(c)                                                                                  \
    (UNRESERVED(c) || (c) == '[' || (c) == ']' || (c) == '/' || (c) == '?' || (c) == ':' ||        \
     (c) == '+' || (c) == '$')
#define URIC(c) (UNRESERVED(c) || RESERVED(c) || (c) == '[' || (c) == ']' || (c) == '#')
#define QDTEXT(c)                                                                                  \
    ((c) == '\t' || (c) == ' ' || (VISIBLE(c) && (c) != '"' && (c) != '\\') || (c) >= 0x80)

#define CLASSES(c)                                                                                 \
    ((TOKEN(c) ? CH_TOKEN : 0) | (VALUE(c) ? CH_VALUE : 0) | (USER(c) ? CH_USER : 0) |             \
     (PASSWORD(c) ? CH_PASSWORD : 0) |                                                             \
     (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' ? CH_HOST : 0) |                          \
     (PARAM(c) ? CH_PARAM : 0) | (HEADER(c) ? CH_HEADER : 0) | (URIC(c) ? CH_URI : 0) |            \
     (DIGIT(c) ? CH_DIGIT : 0) | (HEX(c) ? CH_HEX : 0) | (ALPHA(c) ? CH_ALPHA : 0) |               \
     (ALNUM(c) || (c) == '+' || (c) == '-' || (c) == '.' ? CH_SCHEME : 0) |                        \
     (QDTEXT(c) ? CH_QDTEXT : 0) | (VISIBLE(c) ? CH_VISIBLE : 0) |                                 \
     (HEX(c) || (c) == ':' || (c) == '.' ? CH_V6 : 0) | (RESERVED(c) ? CH_RESERVED : 0))
#define FOUR(c)       CLASSES(c), CLASSES((c) + 1), CLASSES((c) + 2), CLASSES((c) + 3)
#define SIXTEEN(c)    FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)
#define SIXTY_FOUR(c) SIXTEEN(c), SIXTEEN((c) + 16), SIXTEEN((c) + 32), SIXTEEN((c) + 48)

const uint16_t lex_classes[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

struct slice lex_span_escaped(struct lex *lex, unsigned classes)
{
    const char *begin = lex->at;
    const char *at = begin;

    for (; at < lex->end; at++) {
        if (lex_is(*at, classes))
            continue;
        if (*at != '%' || lex->end - at < 3 || !lex_is(at[1], CH_HEX) || !lex_is(at[2], CH_HEX))
            break;
        at += 2;
    }
    lex->at = at;
    return (struct slice){begin, (size_t)(at - begin)};
}

unsigned lex_hex_value(char c)
{
    assert(lex_is(c, CH_HEX));
    return lex_is(c, CH_DIGIT) ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a') + 10;
}

/** At CRLF and a space or tab. */
static bool at_fold(const char *at, const char *end)
{
    return end - at >= 3 && at[0] == '\r' && at[1] == '\n' && (at[2] == ' ' || at[2] == '\t');
}

void lex_lws_slow(struct lex *lex)
{
    const char *at = lex->at;

    while (at < lex->end) {
        if (*at == ' ' || *at == '\t')
            at++;
        else if (at_fold(at, lex->end))
            at += 3;
        else
            break;
    }
    lex->at = at;
}

/*
 * quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
 * quoted-pair   = "\" (%x00-09 / %x0B-0C / %x0E-7F)
 */
bool lex_quoted(struct lex *lex, struct slice *out)
{
    const char *begin = lex->at;
    if (!lex_char(lex, '"'))
        return false;

    for (const char *at = lex->at; at < lex->end; at++) {
        if (lex_is(*at, CH_QDTEXT))
            continue;
        if (*at == '"') {
            lex->at = at + 1;
            *out = slice_between(begin, lex->at);
            return true;
        }
        if (at_fold(at, lex->end)) {
            at += 2;
            continue;
        }
        if (*at != '\\' || lex->end - at < 2)
            return false;
        at++;
        if (*at == '\r' || *at == '\n' || (unsigned char)*at > 0x7f)
            return false;
    }
    return false;
}

enum err lex_u32(struct lex *lex, uint32_t *out)
{
    const char *at = lex->at;
    uint64_t value = 0;

    while (at < lex->end && lex_is(*at, CH_DIGIT)) {
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

bool lex_port(struct lex *lex, uint16_t *out)
{
    uint32_t value;
    if (lex_u32(lex, &value) || value == 0 || value > UINT16_MAX)
        return false;
    *out = (uint16_t)value;
    return true;
}

bool lex_host(struct lex *lex, struct slice *out)
{
    if (!lex_sees(lex, '[')) {
        *out = lex_span(lex, CH_HOST);
        return out->len > 0;
    }

    const char *begin = lex->at++;
    struct slice inside = lex_span(lex, CH_V6);
    if (inside.len < 2 || slice_find(inside, ':') == SIZE_MAX || !lex_char(lex, ']'))
        return false;
    *out = slice_between(begin, lex->at);
    return true;
}
