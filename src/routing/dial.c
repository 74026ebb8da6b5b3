/* SPDX-License-Identifier: Apache-2.0 */
#include "routing/dial.h"

#include <string.h>

enum {
    USER_MAX = 128 /* bytes of a user part that is looked at */
};

/* ---- countries ---- */

/**
 * As ITU-T's Operational Bulletins list them: country code, national and international prefix, and
 * how long national (significant) numbers are. `b`: dialled without any prefix.
 */
struct country {
    char name[3];
    char code[4], national[3], international[DIAL_PREFIX_MAX];
    uint8_t shortest, longest;
    bool bare;
};

static const struct country countries[] = {
    {"AE", "971", "0", "00", 8, 9, false},  {"AR", "54", "0", "00", 10, 10, false},
    {"AT", "43", "0", "00", 4, 13, false},  {"AU", "61", "0", "0011", 9, 9, false},
    {"BE", "32", "0", "00", 8, 9, false},   {"BG", "359", "0", "00", 7, 9, false},
    {"BR", "55", "0", "00", 10, 11, false}, {"CA", "1", "1", "011", 10, 10, true},
    {"CH", "41", "0", "00", 9, 9, false},   {"CL", "56", "", "00", 9, 9, true},
    {"CN", "86", "0", "00", 9, 11, false},  {"CO", "57", "", "00", 10, 10, true},
    {"CZ", "420", "", "00", 9, 9, true},    {"DE", "49", "0", "00", 6, 13, false},
    {"DK", "45", "", "00", 8, 8, true},     {"EG", "20", "0", "00", 8, 10, false},
    {"ES", "34", "", "00", 9, 9, true},     {"FI", "358", "0", "00", 5, 12, false},
    {"FR", "33", "0", "00", 9, 9, false},   {"GB", "44", "0", "00", 9, 10, false},
    {"GR", "30", "", "00", 10, 10, true},   {"HK", "852", "", "001", 8, 8, true},
    {"HU", "36", "06", "00", 8, 9, false},  {"ID", "62", "0", "00", 7, 12, false},
    {"IE", "353", "0", "00", 7, 10, false}, {"IL", "972", "0", "00", 8, 9, false},
    {"IN", "91", "0", "00", 10, 10, true},  {"IS", "354", "", "00", 7, 9, true},
    {"IT", "39", "", "00", 6, 11, true},    {"JP", "81", "0", "010", 9, 10, false},
    {"KE", "254", "0", "000", 7, 9, false}, {"KR", "82", "0", "00", 8, 10, false},
    {"LU", "352", "", "00", 5, 11, true},   {"MX", "52", "", "00", 10, 10, true},
    {"MY", "60", "0", "00", 8, 10, false},  {"NG", "234", "0", "009", 7, 10, false},
    {"NL", "31", "0", "00", 9, 9, false},   {"NO", "47", "", "00", 8, 8, true},
    {"NZ", "64", "0", "00", 8, 10, false},  {"PH", "63", "0", "00", 8, 10, false},
    {"PL", "48", "", "00", 9, 9, true},     {"PT", "351", "", "00", 9, 9, true},
    {"RO", "40", "0", "00", 9, 9, false},   {"RU", "7", "8", "810", 10, 10, false},
    {"SA", "966", "0", "00", 8, 9, false},  {"SE", "46", "0", "00", 7, 10, false},
    {"SG", "65", "", "000", 8, 8, true},    {"SK", "421", "0", "00", 9, 9, false},
    {"TH", "66", "0", "001", 8, 9, false},  {"TR", "90", "0", "00", 10, 10, false},
    {"UA", "380", "0", "00", 9, 9, false},  {"US", "1", "1", "011", 10, 10, true},
    {"VN", "84", "0", "00", 9, 10, false},  {"ZA", "27", "0", "00", 9, 9, false},
};

enum err dial_rules_of(struct slice country, struct dial_rules *out)
{
    for (size_t i = 0; i < COUNT_OF(countries); i++) {
        const struct country *found = &countries[i];
        if (!slice_equal_nocase(country, slice_of(found->name)))
            continue;
        *out = (struct dial_rules){
            .shortest = found->shortest, .longest = found->longest, .bare_national = found->bare};
        memcpy(out->country, found->code, sizeof found->code);
        memcpy(out->national, found->national, sizeof found->national);
        memcpy(out->international, found->international, sizeof found->international);
        return OK;
    }
    return ERR_NOT_FOUND;
}

/* ---- digits ---- */

/** What was dialled, without separators. */
struct dialled {
    char text[USER_MAX];
    struct slice digits; /* without the + */
    bool global;         /* it had one */
    bool plain;          /* digits only: no '*', no '#' */
};

static bool is_separator(char c)
{
    return c == '-' || c == '.' || c == '(' || c == ')' || c == ' ';
}

/* RFC 3966 §3: digits, '*', '#', separators; a leading plus. */
static enum err read_dialled(struct slice number, struct dialled *out)
{
    size_t len = 0;

    out->plain = true;
    out->global = number.len > 0 && number.data[0] == '+';
    for (size_t i = out->global; i < number.len; i++) {
        char c = number.data[i];
        if (is_separator(c))
            continue;
        if (c == '*' || c == '#')
            out->plain = false;
        else if (!ascii_is_digit(c))
            return ERR_SYNTAX;
        if (len == sizeof out->text)
            return ERR_TOO_BIG;
        out->text[len++] = c;
    }
    out->digits = (struct slice){out->text, len};
    return len > 0 && (out->plain || !out->global) ? OK : ERR_SYNTAX;
}

/* A country's digits and the rest. No country begins with 0 (ITU-T E.164.1). */
static enum err write_number(struct builder *out, struct slice country, struct slice rest)
{
    size_t len = country.len + rest.len;
    char first = country.len > 0 ? country.data[0] : rest.len > 0 ? rest.data[0] : '0';

    if (len < DIAL_DIGITS_MIN || len > DIAL_DIGITS_MAX || first == '0')
        return ERR_NOT_FOUND;
    builder_char(out, '+');
    builder_add(out, country);
    builder_add(out, rest);
    return out->overflow ? ERR_TOO_BIG : OK;
}

/* ---- rules ---- */

/* What is left behind a prefix; false: there is none, or it does not begin so. */
static bool behind(struct slice digits, const char *prefix, struct slice *rest)
{
    size_t len = strlen(prefix);

    if (len == 0 || !slice_starts_with(digits, slice_of(prefix)))
        return false;
    *rest = slice_from(digits, len);
    return true;
}

static bool is_national(const struct dial_rules *rules, struct slice digits)
{
    return rules->country[0] != '\0' && digits.len >= rules->shortest &&
           digits.len <= rules->longest;
}

/* An international prefix goes before a national one, which it may begin with. */
static enum err write_by_rules(const struct dial_rules *rules, struct slice digits,
                               struct builder *out)
{
    const struct slice country = slice_of(rules->country);
    struct slice rest;

    if (behind(digits, rules->international, &rest))
        return write_number(out, SLICE_EMPTY, rest);
    if (rules->bare_international)
        return write_number(out, SLICE_EMPTY, digits);
    if (behind(digits, rules->national, &rest) && is_national(rules, rest))
        return write_number(out, country, rest);
    if (rules->bare_national && is_national(rules, digits))
        return write_number(out, country, digits);
    if (rules->local == 0 || digits.len != rules->local || country.len == 0)
        return ERR_NOT_FOUND;

    char national[sizeof rules->area + UINT8_MAX];
    struct builder joined = builder_over(national, sizeof national);
    builder_add(&joined, slice_of(rules->area));
    builder_add(&joined, digits);
    return write_number(out, country, builder_slice(&joined));
}

/* RFC 3966 §5.1.5: a context that is the beginning of a number goes before the local one. */
static enum err write_in_context(struct slice context, struct slice digits, struct builder *out)
{
    struct dialled global;

    enum err err = read_dialled(context, &global);
    if (err)
        return err;
    return write_number(out, global.digits, digits);
}

enum err dial_number(const struct dial_rules *rules, struct slice number, struct slice context,
                     struct builder *out)
{
    struct dialled dialled;

    enum err err = read_dialled(number, &dialled);
    if (err)
        return err;
    if (!dialled.plain)
        return ERR_NOT_FOUND;
    if (dialled.global)
        return write_number(out, SLICE_EMPTY, dialled.digits);
    if (context.len > 0 && context.data[0] == '+')
        return write_in_context(context, dialled.digits, out);
    return write_by_rules(rules, dialled.digits, out);
}

/* ---- URIs ---- */

/* The value of a parameter behind the number in a user part; empty: it is not there. */
static struct slice parameter(struct slice params, struct slice name)
{
    while (params.len > 0) {
        struct slice one = slice_take_until(&params, ';');
        params = slice_from(params, 1);
        size_t equals = slice_find(one, '=');
        if (equals < one.len && slice_equal_nocase((struct slice){one.data, equals}, name))
            return slice_from(one, equals + 1);
    }
    return SLICE_EMPTY;
}

enum err dial_uri(const struct dial_rules *rules, const struct sip_uri *uri, struct builder *out)
{
    const struct slice name = SLICE("phone-context");
    struct slice context = SLICE_EMPTY;
    char text[USER_MAX];
    struct builder user = builder_over(text, sizeof text);

    if (uri->scheme == SIP_SCHEME_TEL) {
        (void)sip_uri_param(uri, name, &context);
        return dial_number(rules, uri->user, context, out);
    }
    if ((uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS) || !uri->has_user)
        return ERR_SYNTAX;
    enum err err = sip_unescape(&user, uri->user);
    if (err)
        return err;
    struct slice params = builder_slice(&user);
    struct slice number = slice_take_until(&params, ';');
    return dial_number(rules, number, parameter(params, name), out);
}
