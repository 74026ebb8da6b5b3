/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

enum {
    V4_BYTES = 4,
    V6_BYTES = 16,
    V6_GROUPS = 8
};

/* A number of 1 to `digits_max` decimal digits without leading zeros; on false ate nothing. */
static bool lex_decimal(struct slice *rest, unsigned digits_max, unsigned *out)
{
    unsigned value = 0;
    size_t at = 0;

    while (at < rest->len && rest->data[at] >= '0' && rest->data[at] <= '9') {
        if (at == digits_max || (at == 1 && rest->data[0] == '0'))
            return false;
        value = value * 10 + (unsigned)(rest->data[at] - '0');
        at++;
    }
    if (at == 0)
        return false;
    *out = value;
    slice_take(rest, at);
    return true;
}

static bool lex_char(struct slice *rest, char c)
{
    if (rest->len == 0 || rest->data[0] != c)
        return false;
    slice_take(rest, 1);
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* h16 = 1*4HEXDIG (RFC 3986 §3.2.2). */
static bool lex_group(struct slice *rest, unsigned *out)
{
    unsigned value = 0;
    size_t at = 0;

    while (at < rest->len && hex_value(rest->data[at]) >= 0) {
        if (at == 4)
            return false;
        value = value << 4 | (unsigned)hex_value(rest->data[at]);
        at++;
    }
    if (at == 0)
        return false;
    *out = value;
    slice_take(rest, at);
    return true;
}

/* IPv4address (RFC 3986 §3.2.2): leading zeros are refused, somebody might read them as octal. */
static bool parse_v4(struct slice text, uint8_t bytes[static V4_BYTES])
{
    const char *at = text.data;
    const char *end = at + text.len;

    for (int i = 0; i < V4_BYTES; i++) {
        const char *begin = at;
        unsigned value = 0;
        for (; at < end && (unsigned char)(*at - '0') <= 9 && at - begin < 3; at++)
            value = value * 10 + (unsigned)(*at - '0');
        if (at == begin || value > 255 || (*begin == '0' && at - begin > 1))
            return false;
        bytes[i] = (uint8_t)value;
        if (i < V4_BYTES - 1 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

/*
 * A run of groups with ':' between them, the last of which may be an IPv4 address; `*count` of
 * at most 8 are stored. Ends at the end of the text or in front of "::".
 */
static bool lex_groups(struct slice *rest, uint16_t groups[static V6_GROUPS], unsigned *count)
{
    *count = 0;
    while (rest->len > 0 && rest->data[0] != ':') {
        uint8_t v4[V4_BYTES];
        unsigned value;

        if (*count == V6_GROUPS)
            return false;
        if (*count <= V6_GROUPS - 2 && parse_v4(*rest, v4)) {
            groups[(*count)++] = (uint16_t)(v4[0] << 8 | v4[1]);
            groups[(*count)++] = (uint16_t)(v4[2] << 8 | v4[3]);
            *rest = slice_from(*rest, rest->len);
            return true;
        }
        if (!lex_group(rest, &value))
            return false;
        groups[(*count)++] = (uint16_t)value;
        if (rest->len == 0 || slice_starts_with(*rest, SLICE("::")))
            return true;
        if (!lex_char(rest, ':') || rest->len == 0)
            return false;
    }
    return true;
}

static void store_groups(uint8_t *bytes, const uint16_t *groups, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bytes[2 * i] = (uint8_t)(groups[i] >> 8);
        bytes[2 * i + 1] = (uint8_t)groups[i];
    }
}

/* IPv6address (RFC 3986 §3.2.2): "::" stands for at least one group, and once. */
static bool parse_v6(struct slice text, uint8_t bytes[static V6_BYTES])
{
    uint16_t head[V6_GROUPS];
    uint16_t tail[V6_GROUPS];
    unsigned head_count;
    unsigned tail_count = 0;

    if (!lex_groups(&text, head, &head_count))
        return false;
    if (text.len == 0 && head_count != V6_GROUPS)
        return false;
    if (text.len != 0) {
        if (!slice_starts_with(text, SLICE("::")))
            return false;
        slice_take(&text, 2);
        if (!lex_groups(&text, tail, &tail_count) || text.len != 0)
            return false;
        if (head_count + tail_count >= V6_GROUPS)
            return false;
    }
    memset(bytes, 0, V6_BYTES);
    store_groups(bytes, head, head_count);
    store_groups(bytes + V6_BYTES - 2 * (size_t)tail_count, tail, tail_count);
    return true;
}

bool addr_same_host(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* The IPv4 address inside: of a v4 address itself, or of ::ffff:a.b.c.d; else NULL. */
static const uint8_t *mapped_v4(const struct addr *a)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

    if (a->family == ADDR_V4)
        return a->bytes;
    if (a->family == ADDR_V6 && memcmp(a->bytes, prefix, sizeof prefix) == 0)
        return a->bytes + sizeof prefix;
    return NULL;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t loopback_v6[V6_BYTES] = {[15] = 1};

    const uint8_t *v4 = mapped_v4(a);
    if (v4 != NULL)
        return v4[0] == 127;
    return a->family == ADDR_V6 && memcmp(a->bytes, loopback_v6, V6_BYTES) == 0;
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zeros[V6_BYTES] = {0};

    return a->family != ADDR_NONE && memcmp(a->bytes, zeros, V6_BYTES) == 0;
}

static bool is_link_local_v6(const struct addr *a)
{
    return a->family == ADDR_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool addr_is_unicast(const struct addr *a)
{
    if (a->port == 0 || addr_is_any(a))
        return false;
    if (a->family == ADDR_V4)
        return a->bytes[0] != 0 && a->bytes[0] < 224; /* RFC 1122 §3.2.1.3, RFC 1112 §4 */
    if (a->family != ADDR_V6 || mapped_v4(a) != NULL || a->bytes[0] == 0xff)
        return false;
    return a->scope != 0 || !is_link_local_v6(a);
}

struct addr addr_source(const struct addr *a)
{
    struct addr source = *a;

    source.port = 0;
    if (a->family == ADDR_V6 && !is_link_local_v6(a))
        memset(source.bytes + V6_BYTES / 2, 0, V6_BYTES / 2);
    return source;
}

bool addr_is_private(const struct addr *a)
{
    const uint8_t *v4 = mapped_v4(a);
    if (v4 != NULL)
        return v4[0] == 10 || (v4[0] == 172 && (v4[1] & 0xf0) == 16) ||
               (v4[0] == 192 && v4[1] == 168) || (v4[0] == 100 && (v4[1] & 0xc0) == 64) ||
               (v4[0] == 169 && v4[1] == 254);
    return a->family == ADDR_V6 && ((a->bytes[0] & 0xfe) == 0xfc || is_link_local_v6(a));
}

enum err addr_parse(struct slice text, uint16_t port, struct addr *out)
{
    struct addr addr = {.family = ADDR_V4, .port = port};

    if (parse_v4(text, addr.bytes)) {
        *out = addr;
        return OK;
    }
    if (text.len >= 2 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        text = (struct slice){text.data + 1, text.len - 2};

    memset(addr.bytes, 0, sizeof addr.bytes);
    addr.family = ADDR_V6;
    if (!parse_v6(text, addr.bytes))
        return ERR_SYNTAX;
    *out = addr;
    return OK;
}

enum err addr_parse_with_port(struct slice text, struct addr *out)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return ERR_SYNTAX;

    struct slice host = {text.data, colon - 1};
    struct slice rest = slice_from(text, colon);
    unsigned port;
    if (!lex_decimal(&rest, 5, &port) || rest.len != 0)
        return ERR_SYNTAX;
    if (port < 1 || port > UINT16_MAX)
        return ERR_SYNTAX;
    if (slice_find(host, ':') != SIZE_MAX && host.data[0] != '[')
        return ERR_SYNTAX; /* which colon begins the port? */
    return addr_parse(host, (uint16_t)port, out);
}

static void write_v4(struct builder *b, const uint8_t *bytes)
{
    for (int i = 0; i < V4_BYTES; i++) {
        if (i > 0)
            builder_char(b, '.');
        builder_u64(b, bytes[i]);
    }
}

/* The first of the longest runs of two or more zero groups (RFC 5952 §4.2); `*length` 0: none. */
static void find_zeros(const uint16_t groups[static V6_GROUPS], unsigned *first, unsigned *length)
{
    *first = V6_GROUPS;
    *length = 0;
    for (unsigned i = 0; i < V6_GROUPS; i++) {
        unsigned run = 0;
        while (i + run < V6_GROUPS && groups[i + run] == 0)
            run++;
        if (run >= 2 && run > *length) {
            *first = i;
            *length = run;
        }
        i += run;
    }
}

static unsigned hex_digits(uint16_t value)
{
    if (value > 0xfff)
        return 4;
    if (value > 0xff)
        return 3;
    return value > 0xf ? 2 : 1;
}

/* RFC 5952. */
static void write_v6(struct builder *b, const struct addr *a)
{
    uint16_t groups[V6_GROUPS];
    unsigned first;
    unsigned length;

    for (unsigned i = 0; i < V6_GROUPS; i++)
        groups[i] = (uint16_t)(a->bytes[2 * i] << 8 | a->bytes[2 * i + 1]);
    if (mapped_v4(a) != NULL) {
        builder_text(b, "::ffff:");
        write_v4(b, mapped_v4(a));
        return;
    }
    find_zeros(groups, &first, &length);
    for (unsigned i = 0; i < V6_GROUPS; i++) {
        if (i == first) {
            builder_text(b, "::");
            i += length - 1;
            continue;
        }
        if (i > 0 && i != first + length)
            builder_char(b, ':');
        builder_hex(b, groups[i], hex_digits(groups[i]));
    }
}

void addr_write_host(struct builder *b, const struct addr *a)
{
    assert(a->family == ADDR_V4 || a->family == ADDR_V6);

    if (a->family == ADDR_V4) {
        write_v4(b, a->bytes);
        return;
    }
    builder_char(b, '[');
    write_v6(b, a);
    builder_char(b, ']');
}

void addr_write(struct builder *b, const struct addr *a)
{
    addr_write_host(b, a);
    builder_char(b, ':');
    builder_u64(b, a->port);
}

const char *addr_text(const struct addr *a, char text[static ADDR_TEXT_MAX])
{
    struct builder b = builder_over(text, ADDR_TEXT_MAX - 1);

    if (a->family == ADDR_NONE)
        builder_char(&b, '-');
    else
        addr_write(&b, a);
    assert(!b.overflow);
    text[b.len] = '\0';
    return text;
}

/* Zeroes what lies behind the first `bits` bits. */
static void mask_bytes(uint8_t bytes[static V6_BYTES], unsigned bits)
{
    for (unsigned i = 0; i < V6_BYTES; i++) {
        unsigned keep = bits > 8 * i ? bits - 8 * i : 0;
        if (keep < 8)
            bytes[i] &= (uint8_t)(0xff00U >> keep);
    }
}

enum err addr_net_parse(struct slice text, struct addr_net *out)
{
    struct addr_net net;
    size_t slash = slice_find(text, '/');
    struct slice host = {text.data, slash == SIZE_MAX ? text.len : slash};

    enum err err = addr_parse(host, 0, &net.base);
    if (err)
        return err;

    unsigned bits_max = net.base.family == ADDR_V4 ? 32 : 128;
    unsigned bits = bits_max;
    if (slash != SIZE_MAX) {
        struct slice rest = slice_from(text, slash + 1);
        if (!lex_decimal(&rest, 3, &bits) || rest.len != 0 || bits > bits_max)
            return ERR_SYNTAX;
    }
    net.bits = (uint8_t)bits;
    mask_bytes(net.base.bytes, bits);
    *out = net;
    return OK;
}

bool addr_net_contains(const struct addr_net *net, const struct addr *a)
{
    if (net->base.family != a->family)
        return false;

    unsigned whole = net->bits / 8;
    if (memcmp(net->base.bytes, a->bytes, whole) != 0)
        return false;
    unsigned rest = net->bits % 8;
    if (rest == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff00U >> rest);
    return (a->bytes[whole] & mask) == net->base.bytes[whole];
}
