/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When two URIs are the same: RFC 3261 §19.1.4, RFC 3966 §4, RFC 5954 §3.2.
 */
#include "sip/lex.h"
#include "sip/uri.h"

/** One character of a URI: a byte, and whether it stood there escaped and reserved. */
struct unit {
    unsigned char byte;
    bool escaped; /* a reserved character differs from its escaped form; others do not */
};

/** reserved of RFC 2396 §2.2. */
static bool is_reserved(unsigned char c)
{
    return c != '\0' && strchr(";/?:@&=+$,", c) != NULL;
}

static struct unit next_unit(struct lex *lex)
{
    struct unit unit = {.byte = (unsigned char)*lex->at};

    if (unit.byte != '%' || lex_left(lex) < 3 || !lex_is(lex->at[1], CH_HEX) ||
        !lex_is(lex->at[2], CH_HEX)) {
        lex->at++;
        return unit;
    }
    unit.byte = (unsigned char)(lex_hex_value(lex->at[1]) << 4 | lex_hex_value(lex->at[2]));
    unit.escaped = is_reserved(unit.byte);
    lex->at += 3;
    return unit;
}

bool lex_text_equal(struct slice a, struct slice b, bool with_case)
{
    struct lex left = lex_over(a);
    struct lex right = lex_over(b);

    while (!lex_end(&left) && !lex_end(&right)) {
        struct unit x = next_unit(&left);
        struct unit y = next_unit(&right);
        if (!with_case) {
            x.byte = (unsigned char)ascii_lower((char)x.byte);
            y.byte = (unsigned char)ascii_lower((char)y.byte);
        }
        if (x.byte != y.byte || x.escaped != y.escaped)
            return false;
    }
    return lex_end(&left) && lex_end(&right);
}

/** IPv6 references are equal when their 128 bits are (RFC 5954 §3.2). */
static bool host_equal(struct slice a, struct slice b)
{
    struct addr left, right;

    if (slice_equal_nocase(a, b))
        return true;
    if (a.len == 0 || b.len == 0 || a.data[0] != '[' || b.data[0] != '[')
        return false;
    if (addr_parse(a, 0, &left) || addr_parse(b, 0, &right))
        return false;
    return addr_equal(&left, &right);
}

/** The next `name[=value]` of a list that was checked when it was parsed. */
static bool next_pair(struct slice *rest, char separator, struct sip_param *out)
{
    if (rest->len == 0)
        return false;

    size_t end = slice_find(*rest, separator);
    struct slice pair = slice_take(rest, end == SIZE_MAX ? rest->len : end);
    *rest = slice_from(*rest, 1);

    size_t equals = slice_find(pair, '=');
    out->has_value = equals != SIZE_MAX;
    out->name = (struct slice){pair.data, out->has_value ? equals : pair.len};
    out->value = out->has_value ? slice_from(pair, equals + 1) : SLICE_EMPTY;
    return true;
}

static bool find_param(struct slice params, struct slice name, struct sip_param *out)
{
    while (next_pair(&params, ';', out))
        if (lex_text_equal(out->name, name, false))
            return true;
    return false;
}

/** May not be in one URI only. The RFC's examples count transport among them. */
static bool always_matters(struct slice name)
{
    return LEX_SAME(name, "user") || LEX_SAME(name, "ttl") || LEX_SAME(name, "method") ||
           LEX_SAME(name, "maddr") || LEX_SAME(name, "transport");
}

/** Every parameter of `a` matches in `b`, or is of those that need not be there. */
static bool params_covered(struct slice a, struct slice b)
{
    struct sip_param mine, theirs;

    while (next_pair(&a, ';', &mine)) {
        if (find_param(b, mine.name, &theirs)) {
            if (mine.has_value != theirs.has_value ||
                !lex_text_equal(mine.value, theirs.value, false))
                return false;
        } else if (always_matters(mine.name)) {
            return false;
        }
    }
    return true;
}

/** Values of header fields are without case but for Call-ID's (RFC 3261 §7.3.1, §20.8). */
static bool header_equal(const struct sip_param *a, const struct sip_param *b)
{
    bool with_case = LEX_SAME(a->name, "call-id") || LEX_SAME(a->name, "i");

    return lex_text_equal(a->name, b->name, false) && lex_text_equal(a->value, b->value, with_case);
}

/** As multisets: each header of `a` has one of its own in `b`, and none is left. */
static bool headers_equal(struct slice a, struct slice b)
{
    uint64_t taken = 0; /* bit i: header i of b; there are at most SIP_URI_HEADERS_MAX */
    uint64_t all = 0;
    struct sip_param mine, theirs;

    for (struct slice rest = b; next_pair(&rest, '&', &theirs);)
        all = all << 1 | 1;
    while (next_pair(&a, '&', &mine)) {
        uint64_t bit = 1;
        struct slice rest = b;
        bool found = false;
        for (; !found && next_pair(&rest, '&', &theirs); bit <<= 1) {
            if ((taken & bit) == 0 && header_equal(&mine, &theirs)) {
                taken |= bit;
                found = true;
            }
        }
        if (!found)
            return false;
    }
    return taken == all;
}

static bool sip_equal(const struct sip_uri *a, const struct sip_uri *b)
{
    if (a->has_user != b->has_user || !lex_text_equal(a->user, b->user, true))
        return false;
    /* "user:@" has a password, an empty one: its slice is not NULL. */
    if ((a->password.data == NULL) != (b->password.data == NULL) ||
        !lex_text_equal(a->password, b->password, true))
        return false;
    if (a->port != b->port || !host_equal(a->host, b->host))
        return false;
    return params_covered(a->params, b->params) && params_covered(b->params, a->params) &&
           headers_equal(a->headers, b->headers);
}

/** Numbers without visual separators and case (RFC 3966 §4). */
static bool number_equal(struct slice a, struct slice b)
{
    size_t i = 0;
    size_t j = 0;

    for (;;) {
        while (i < a.len && strchr("-.()", a.data[i]) != NULL && a.data[i] != '\0')
            i++;
        while (j < b.len && strchr("-.()", b.data[j]) != NULL && b.data[j] != '\0')
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (ascii_lower(a.data[i++]) != ascii_lower(b.data[j++]))
            return false;
    }
}

/** Numbers in ext and in a global phone-context compare as numbers. */
static bool tel_value_equal(const struct sip_param *a, const struct sip_param *b)
{
    bool is_number = LEX_SAME(a->name, "ext") || (LEX_SAME(a->name, "phone-context") &&
                                                  a->value.len > 0 && a->value.data[0] == '+');

    if (is_number)
        return number_equal(a->value, b->value);
    return lex_text_equal(a->value, b->value, false);
}

static bool tel_params_covered(struct slice a, struct slice b)
{
    struct sip_param mine, theirs;

    while (next_pair(&a, ';', &mine))
        if (!find_param(b, mine.name, &theirs) || !tel_value_equal(&mine, &theirs))
            return false;
    return true;
}

bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b)
{
    if (a->scheme != b->scheme)
        return false;

    switch ((enum sip_scheme)a->scheme) {
    case SIP_SCHEME_SIP:
    case SIP_SCHEME_SIPS:
        return sip_equal(a, b);
    case SIP_SCHEME_TEL:
        return number_equal(a->user, b->user) && tel_params_covered(a->params, b->params) &&
               tel_params_covered(b->params, a->params);
    case SIP_SCHEME_OTHER:
        break;
    }
    return slice_equal(a->text, b->text); /* whose rules we do not know */
}
