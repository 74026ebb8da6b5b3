/* SPDX-License-Identifier: Apache-2.0 */
#include "config/values.h"

#include "base/addr.h"
#include "base/text.h"

bool value_bool(struct slice text, bool *out)
{
    static const struct {
        struct slice word;
        bool value;
    } words[] = {
        {{"true", 4}, true},   {{"yes", 3}, true}, {{"on", 2}, true},
        {{"false", 5}, false}, {{"no", 2}, false}, {{"off", 3}, false},
    };

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (slice_equal_nocase(words[i].word, text)) {
            *out = words[i].value;
            return true;
        }
    return false;
}

/* Digits at the front of `*rest`. */
static bool take_u64(struct slice *rest, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0;

    for (; digits < rest->len && ascii_is_digit(rest->data[digits]); digits++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(rest->data[digits] - '0'), &value))
            return false;
    if (digits == 0)
        return false;
    slice_take(rest, digits);
    *out = value;
    return true;
}

bool value_u64(struct slice text, uint64_t *out)
{
    uint64_t value;

    if (!take_u64(&text, &value) || text.len != 0)
        return false;
    *out = value;
    return true;
}

struct unit {
    struct slice name;
    uint64_t factor;
};

static const struct unit times[] = {
    {{"ms", 2}, 1},      {{"s", 1}, 1000},     {{"m", 1}, 60000},
    {{"h", 1}, 3600000}, {{"d", 1}, 86400000}, {{"w", 1}, 604800000},
};

static const struct unit sizes[] = {
    {{"", 0}, 1},
    {{"KiB", 3}, 1 << 10},
    {{"MiB", 3}, 1 << 20},
    {{"GiB", 3}, 1 << 30},
};

static bool with_unit(struct slice text, const struct unit *units, size_t count, uint64_t *out)
{
    uint64_t value;

    if (!take_u64(&text, &value))
        return false;
    for (size_t i = 0; i < count; i++)
        if (slice_equal(units[i].name, text))
            return !__builtin_mul_overflow(value, units[i].factor, out);
    return false;
}

bool value_duration_ms(struct slice text, uint64_t *out)
{
    uint64_t value;

    if (!with_unit(text, times, COUNT_OF(times), &value))
        return false;
    *out = value;
    return true;
}

bool value_size(struct slice text, uint64_t *out)
{
    uint64_t value;

    if (!with_unit(text, sizes, COUNT_OF(sizes), &value))
        return false;
    *out = value;
    return true;
}

static void write_unit(struct builder *b, uint64_t value, const struct unit *units, size_t count)
{
    size_t best = 0;

    for (size_t i = 1; i < count && value > 0; i++)
        if (value % units[i].factor == 0)
            best = i;
    builder_u64(b, value / units[best].factor);
    builder_add(b, units[best].name);
}

void value_write_duration(struct builder *b, uint64_t ms)
{
    write_unit(b, ms, times, COUNT_OF(times));
}

void value_write_size(struct builder *b, uint64_t bytes)
{
    write_unit(b, bytes, sizes, COUNT_OF(sizes));
}

bool value_host_name(struct slice text)
{
    size_t label = 0;

    if (text.len == 0 || text.len > 253)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '.') {
            if (label == 0 || text.data[i - 1] == '-')
                return false;
            label = 0;
            continue;
        }
        if (!ascii_is_digit(c) && !ascii_is_letter(c) && (c != '-' || label == 0))
            return false;
        if (++label > 63)
            return false;
    }
    return label > 0 && text.data[text.len - 1] != '-';
}

bool value_currency(struct slice text)
{
    if (text.len != 3)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 'A' || text.data[i] > 'Z')
            return false;
    return true;
}

bool value_extension(struct slice text, size_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.data[i]) && text.data[i] != '*' && text.data[i] != '#')
            return false;
    return true;
}

bool value_text(struct slice text)
{
    while (text.len > 0) {
        size_t len = text_utf8_bytes(text);
        if (len == 0 || (unsigned char)text.data[0] < ' ' || text.data[0] == 0x7f)
            return false;
        if (len == 2 && (unsigned char)text.data[0] == 0xc2 && (unsigned char)text.data[1] < 0xa0)
            return false; /* C1 controls */
        slice_take(&text, len);
    }
    return true;
}

bool value_language(struct slice text)
{
    size_t part = 0;

    if (text.len < 2 || text.len > 35 || !ascii_is_letter(text.data[0]) ||
        !ascii_is_letter(text.data[1]))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '-') {
            if (part == 0)
                return false;
            part = 0;
            continue;
        }
        if ((!ascii_is_letter(text.data[i]) && !ascii_is_digit(text.data[i])) || ++part > 8)
            return false;
    }
    return part > 0;
}

/* Browsers leave the scheme's own port out (RFC 6454 §6.2): with it no page would be found. */
static bool has_own_port(struct slice host, bool secure)
{
    const struct slice port = secure ? SLICE(":443") : SLICE(":80");

    return host.len > port.len && slice_equal(slice_from(host, host.len - port.len), port);
}

bool value_origin(struct slice text)
{
    const struct slice schemes[] = {SLICE("https://"), SLICE("http://")};
    uint64_t port = 1;

    if (slice_equal(text, SLICE("null")))
        return true;
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        if (!slice_starts_with(text, schemes[i]))
            continue;
        struct slice host = slice_from(text, schemes[i].len);
        struct addr ignored;
        if (has_own_port(host, i == 0))
            return false;
        if (addr_parse(host, 0, &ignored) == OK || addr_parse_with_port(host, &ignored) == OK)
            return true;
        size_t colon = slice_find(host, ':');
        if (colon != SIZE_MAX && !value_u64(slice_from(host, colon + 1), &port))
            return false;
        host.len = colon != SIZE_MAX ? colon : host.len;
        return value_host_name(host) && port > 0 && port < 65536;
    }
    return false;
}

bool value_https(struct slice text)
{
    const struct slice prefix = SLICE("https://");

    if (!slice_starts_with(text, prefix) || text.len == prefix.len)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.data[prefix.len] != '/' && slice_find(text, '@') == SIZE_MAX;
}

bool value_base64url(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!good)
            return false;
    }
    return text.len > 0;
}
