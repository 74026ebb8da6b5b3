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
     (HEX(c) || (c) == ':' || (c) == '.' ? CH_V6 : 0) |                                            \
     (VISIBLE(c) && (c) != '<' && (c) != '>' && (c) != '"' ? CH_BRACKET : 0))
#define FOUR(c)       CLASSES(c), CLASSES((c) + 1), CLASSES((c) + 2), CLASSES((c) + 3)
#define SIXTEEN(c)    FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)
#define SIXTY_FOUR(c) SIXTEEN(c), SIXTEEN((c) + 16), SIXTEEN((c) + 32), SIXTEEN((c) + 48)

const uint16_t lex_classes[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

const char *lex_run_escaped(const char *at, const char *end, unsigned classes)
{
    for (; at < end; at++) {
        if (lex_is(*at, classes))
            continue;
        if (*at != '%' || end - at < 3 || !lex_is(at[1], CH_HEX) || !lex_is(at[2], CH_HEX))
            break;
        at += 2;
    }
    return at;
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

const char *lex_lws_end(const char *at, const char *end)
{
    while (at < end) {
        if (*at == ' ' || *at == '\t')
            at++;
        else if (at_fold(at, end))
            at += 3;
        else
            break;
    }
    return at;
}

/*
 * quoted-string = DQUOTE *(qdtext / quoted-pair) DQUOTE
 * quoted-pair   = "\" (%x00-09 / %x0B-0C / %x0E-7F)
 */
const char *lex_quoted_end(const char *at, const char *end, const char *limit)
{
    if (at == end || *at != '"')
        return NULL;

    for (at++; at < end; at++) {
        at = scan_quoted(at, end, limit);
        if (at == end)
            return NULL;
        if (*at == '"')
            return at + 1;
        if (lex_is(*at, CH_QDTEXT))
            continue;
        if (at_fold(at, end)) {
            at += 2;
            continue;
        }
        if (*at != '\\' || end - at < 2)
            return NULL;
        at++;
        if (*at == '\r' || *at == '\n' || (unsigned char)*at > 0x7f)
            return NULL;
    }
    return NULL;
}

const char *lex_v6_end(const char *at, const char *end)
{
    assert(*at == '[');

    const char *begin = at + 1;
    at = lex_run(begin, end, CH_V6);
    if (slice_find(slice_between(begin, at), ':') == SIZE_MAX || at == end || *at != ']')
        return NULL;
    return at + 1;
}
