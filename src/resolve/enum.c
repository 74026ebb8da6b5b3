/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENUM (RFC 6116): from a number to a URI, by NAPTR records.
 *
 * The substitution of a record (RFC 3402 §3.2) is an extended regular expression that a stranger
 * wrote. The C library's may take exponential time, so none is run: what is understood is what is
 * used in practice, the whole number ("^.*$" and its like) or a fixed beginning with the rest as a
 * group ("^\+1(.*)$"). A record with any other is passed over.
 */
#include "resolve/internal.h"

enum {
    DIGITS_MAX = 15 /* of a number in E.164 */
};

enum err resolve_enum_name(struct slice number, struct slice suffix, struct builder *b)
{
    if (number.len < 2 || number.len > 1 + DIGITS_MAX || number.data[0] != '+' || suffix.len == 0)
        return ERR_SYNTAX;
    for (size_t i = 1; i < number.len; i++)
        if (number.data[i] < '0' || number.data[i] > '9')
            return ERR_SYNTAX;
    for (size_t i = number.len - 1; i > 0; i--) {
        builder_char(b, number.data[i]);
        builder_char(b, '.');
    }
    builder_add(b, suffix);
    return b->overflow ? ERR_TOO_BIG : OK;
}

/* "!pattern!replacement!", with any delimiter and without flags. */
static bool split(struct slice regexp, struct slice *pattern, struct slice *replacement)
{
    if (regexp.len < 3)
        return false;
    char delimiter = regexp.data[0];
    struct slice rest = slice_from(regexp, 1);
    size_t middle = slice_find(rest, delimiter);
    if (middle == SIZE_MAX || middle == 0)
        return false;
    *pattern = (struct slice){rest.data, middle};
    rest = slice_from(rest, middle + 1);
    size_t end = slice_find(rest, delimiter);
    if (end == SIZE_MAX || end + 1 != rest.len) /* the flag "i" means nothing for digits */
        return false;
    *replacement = (struct slice){rest.data, end};
    return true;
}

/* What the pattern's only group stands for; false: it does not match, or is not understood. */
static bool match(struct slice pattern, struct slice number, struct slice *group)
{
    if (slice_starts_with(pattern, SLICE("^")))
        pattern = slice_from(pattern, 1);
    else if (!slice_equal(pattern, SLICE(".*")) && !slice_equal(pattern, SLICE("(.*)")))
        return false;
    if (pattern.len > 0 && pattern.data[pattern.len - 1] == '$')
        pattern.len--;

    while (pattern.len > 0 && pattern.data[0] != '(' && pattern.data[0] != '.') {
        if (pattern.data[0] == '\\')
            pattern = slice_from(pattern, 1);
        if (pattern.len == 0 || number.len == 0 || pattern.data[0] != number.data[0] ||
            !(pattern.data[0] == '+' || (pattern.data[0] >= '0' && pattern.data[0] <= '9')))
            return false;
        pattern = slice_from(pattern, 1);
        number = slice_from(number, 1);
    }
    *group = number;
    if (pattern.len == 0)
        return number.len == 0;
    if (slice_equal(pattern, SLICE(".*")) || slice_equal(pattern, SLICE("(.*)")))
        return true;
    return number.len > 0 &&
           (slice_equal(pattern, SLICE(".+")) || slice_equal(pattern, SLICE("(.+)")));
}

static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f && c != '<' && c != '>' && c != '"';
}

static bool substitute(struct slice replacement, struct slice group, struct builder *b)
{
    for (size_t i = 0; i < replacement.len; i++) {
        char c = replacement.data[i];
        if (!is_visible(c))
            return false; /* it goes into a SIP message */
        if (c != '\\') {
            builder_char(b, c);
            continue;
        }
        if (++i == replacement.len || replacement.data[i] != '1')
            return false;
        builder_add(b, group);
    }
    return !b->overflow;
}

/* "E2U+sip", alone or among others: "E2U+voice:tel+sip" (RFC 6116 §3.4.3, RFC 3764). */
static bool is_sip_service(struct slice service)
{
    if (service.len < 4 || !slice_equal_nocase((struct slice){service.data, 4}, SLICE("E2U+")))
        return false;
    for (struct slice rest = slice_from(service, 4); rest.len > 0;) {
        size_t end = slice_find(rest, '+');
        struct slice word = {rest.data, end == SIZE_MAX ? rest.len : end};
        if (slice_equal_nocase(word, SLICE("sip")))
            return true;
        rest = slice_from(rest, word.len < rest.len ? word.len + 1 : rest.len);
    }
    return false;
}

static bool is_sip_uri(struct slice uri)
{
    size_t colon = slice_find(uri, ':');
    if (colon == SIZE_MAX)
        return false;
    struct slice scheme = {uri.data, colon};
    return slice_equal_nocase(scheme, SLICE("sip")) || slice_equal_nocase(scheme, SLICE("sips"));
}

/* Only terminal records: one that is not leads to further names, as no number does in practice. */
static bool apply(const struct dns_record *record, struct slice number, struct builder *uri)
{
    struct slice pattern, replacement, group;
    struct builder b = builder_over(uri->data, uri->capacity);

    if (!slice_equal_nocase(record->flags, SLICE("u")) || !is_sip_service(record->service) ||
        !split(record->regexp, &pattern, &replacement) || !match(pattern, number, &group) ||
        !substitute(replacement, group, &b) || !is_sip_uri(builder_slice(&b)))
        return false;
    *uri = b;
    return true;
}

static bool is_better(const struct dns_record *a, const struct dns_record *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->weight < b->weight;
}

bool enum_apply(const struct cached *entry, struct slice number, struct builder *uri)
{
    char text[RESOLVE_URI_MAX];
    const struct dns_record *best = NULL;

    for (uint32_t i = 0; i < entry->count; i++) {
        struct builder trial = builder_over(text, sizeof text);
        const struct dns_record *record = &entry->records[i];
        if ((best == NULL || is_better(record, best)) && apply(record, number, &trial))
            best = record;
    }
    if (best == NULL)
        return false;
    struct builder b = builder_over(text, sizeof text);
    if (!apply(best, number, &b))
        return false;
    builder_add(uri, builder_slice(&b));
    return !uri->overflow;
}
