/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a token, before they are written in base32hex:
 *
 *   kind      1  0x10: this layout; bit 0: the caller's side has a flow, bit 1: the callee's,
 *                bit 2: guarded, bit 3: outside, bit 5: behind, bit 6: behind, IPv6. A side follows
 *                if it has a flow, both also if guarded, the caller's also if outside
 *   mac       8  little-endian, over purpose, Call-ID, caller's tag and all other bytes
 *   sides        each, caller first:
 *     what    1  transport (bits 0-2), SIDE_* bits
 *     where   1  listener (bits 0-5), WHERE_* bits
 *     remote  4 or 16 address, 2 port
 *     scope      varint, if SIDE_SCOPE
 *     conn       varints worker, slot, generation, if SIDE_CONN
 *     instance 4 if SIDE_INSTANCE
 *     aor        varint length, bytes, if SIDE_AOR
 *   behind       4 or 16 address, 2 port, if behind
 *
 * What follows the MAC is XORed with SipHash in counter mode over the MAC, as in gruu.c.
 *
 * Which of the two tags is the caller's needs no bytes: the MAC is right with that one only.
 * So a dialog whose sides need no flow has a token of 15 characters.
 */
#include "proxy/token.h"

#include "proxy/base32hex.h"
#include "proxy/mac.h"

enum {
    TOKEN_KIND = 0x10,
    TOKEN_CALLER = 0x01,
    TOKEN_CALLEE = 0x02,
    TOKEN_GUARDED = 0x04,
    TOKEN_OUTSIDE = 0x08,
    TOKEN_BEHIND = 0x20,
    TOKEN_BEHIND_V6 = 0x40,
    TOKEN_FLAGS = TOKEN_CALLER | TOKEN_CALLEE | TOKEN_GUARDED | TOKEN_OUTSIDE | TOKEN_BEHIND |
                  TOKEN_BEHIND_V6,
    TOKEN_MAC_BYTES = 8,
    TOKEN_HEAD = 1 + TOKEN_MAC_BYTES,

    SIDE_TRANSPORT = 0x07,
    SIDE_V6 = 0x08,
    SIDE_CONN = 0x10,
    SIDE_INSTANCE = 0x20,
    SIDE_AOR = 0x40,
    SIDE_SCOPE = 0x80,

    WHERE_LISTENER = 0x3f,
    WHERE_ONLY_CONN = 0x40,
    WHERE_ANY = 0x80,
};

_Static_assert(LISTENERS_MAX - 1 <= WHERE_LISTENER, "a listener's index fits");
_Static_assert(TRANSPORT_COUNT - 1 <= SIDE_TRANSPORT, "a transport fits");

/* ---- writing ---- */

static void write_varint(struct builder *b, uint32_t value)
{
    while (value >= 0x80) {
        builder_char(b, (char)(value | 0x80));
        value >>= 7;
    }
    builder_char(b, (char)value);
}

static void write_u32(struct builder *b, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        builder_char(b, (char)(value >> (8 * i)));
}

static void write_address(struct builder *b, const struct addr *addr)
{
    size_t len = addr->family == ADDR_V6 ? 16 : 4;

    builder_add(b, (struct slice){(const char *)addr->bytes, len});
    builder_char(b, (char)(addr->port & 0xff));
    builder_char(b, (char)(addr->port >> 8));
}

static void write_remote(struct builder *b, const struct addr *remote)
{
    write_address(b, remote);
    if (remote->scope != 0)
        write_varint(b, remote->scope);
}

static void write_side(struct builder *b, const struct proxy_side *side)
{
    const struct flow *flow = &side->flow;
    unsigned what = flow->transport;
    unsigned where = flow->listener == LISTENER_ANY ? (unsigned)WHERE_ANY : flow->listener;

    what |= flow->remote.family == ADDR_V6 ? SIDE_V6 : 0u;
    what |= flow_has_conn(flow) ? SIDE_CONN : 0u;
    what |= side->instance != 0 ? SIDE_INSTANCE : 0u;
    what |= side->aor.len != 0 ? SIDE_AOR : 0u;
    what |= flow->remote.scope != 0 ? SIDE_SCOPE : 0u;
    where |= flow->flags & FLOW_ONLY_CONN ? WHERE_ONLY_CONN : 0u;

    builder_char(b, (char)what);
    builder_char(b, (char)where);
    write_remote(b, &flow->remote);
    if (what & SIDE_CONN) {
        write_varint(b, flow->conn.worker);
        write_varint(b, flow->conn.id.slot);
        write_varint(b, flow->conn.id.generation);
    }
    if (what & SIDE_INSTANCE)
        write_u32(b, side->instance);
    if (what & SIDE_AOR) {
        write_varint(b, (uint32_t)side->aor.len);
        builder_add(b, side->aor);
    }
}

/* Over everything but itself. */
static uint64_t token_mac(const struct hash_key *key, struct slice token, struct slice call_id,
                          struct slice caller_tag)
{
    struct mac mac;

    mac_init(&mac, key, MAC_TOKEN);
    mac_add(&mac, call_id);
    mac_add(&mac, caller_tag);
    mac_bytes(&mac, token.data, 1);
    mac_add(&mac, slice_from(token, TOKEN_HEAD));
    return mac_value(&mac);
}

/* What follows the MAC; the same XOR again gives the bytes back. */
static void mask_sides(const struct hash_key *key, uint64_t sealed, char *bytes, size_t len)
{
    for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
        const uint64_t where[2] = {sealed, at};
        struct mac mac;
        mac_init(&mac, key, MAC_TOKEN_STREAM);
        mac_bytes(&mac, where, sizeof where);
        uint64_t word = mac_value(&mac);
        for (size_t i = 0; i < sizeof word && at + i < len; i++)
            bytes[at + i] = (char)((unsigned char)bytes[at + i] ^ (word >> (8 * i) & 0xff));
    }
}

enum err proxy_token_write(struct builder *b, const struct hash_key *key,
                           const struct proxy_token *token, struct slice call_id,
                           struct slice caller_tag)
{
    char bytes[PROXY_TOKEN_SCRATCH];
    struct builder raw = builder_over(bytes, sizeof bytes);
    unsigned kind = TOKEN_KIND;

    kind |= token->caller.has_flow ? TOKEN_CALLER : 0u;
    kind |= token->callee.has_flow ? TOKEN_CALLEE : 0u;
    kind |= token->guarded ? TOKEN_GUARDED : 0u;
    kind |= token->outside ? TOKEN_OUTSIDE : 0u;
    kind |= token->behind.family != ADDR_NONE ? TOKEN_BEHIND : 0u;
    kind |= token->behind.family == ADDR_V6 ? TOKEN_BEHIND_V6 : 0u;
    builder_char(&raw, (char)kind);
    raw.len += TOKEN_MAC_BYTES;
    if (token->caller.has_flow || token->outside || token->guarded)
        write_side(&raw, &token->caller);
    if (token->callee.has_flow || token->guarded)
        write_side(&raw, &token->callee);
    if (token->behind.family != ADDR_NONE)
        write_address(&raw, &token->behind);
    if (raw.overflow)
        return ERR_TOO_BIG;

    uint64_t mac = token_mac(key, builder_slice(&raw), call_id, caller_tag);
    for (unsigned i = 0; i < TOKEN_MAC_BYTES; i++)
        bytes[1 + i] = (char)(mac >> (8 * i));
    mask_sides(key, mac, bytes + TOKEN_HEAD, raw.len - TOKEN_HEAD);
    base32hex_write(b, builder_slice(&raw));
    return b->overflow ? ERR_TOO_BIG : OK;
}

/* ---- reading ---- */

static bool read_varint(struct slice *rest, uint32_t *out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (rest->len == 0)
            return false;
        unsigned char c = (unsigned char)slice_take(rest, 1).data[0];
        value |= (uint64_t)(c & 0x7f) << shift;
        if (c & 0x80)
            continue;
        *out = (uint32_t)value;
        return value <= UINT32_MAX;
    }
    return false;
}

static bool read_u32(struct slice *rest, uint32_t *out)
{
    if (rest->len < 4)
        return false;

    struct slice bytes = slice_take(rest, 4);
    *out = 0;
    for (unsigned i = 0; i < 4; i++)
        *out |= (uint32_t)(unsigned char)bytes.data[i] << (8 * i);
    return true;
}

static bool read_address(struct slice *rest, bool v6, struct addr *out)
{
    size_t len = v6 ? 16 : 4;

    *out = (struct addr){.family = v6 ? ADDR_V6 : ADDR_V4};
    if (rest->len < len + 2)
        return false;
    memcpy(out->bytes, slice_take(rest, len).data, len);
    struct slice port = slice_take(rest, 2);
    out->port = (uint16_t)((unsigned char)port.data[0] | (unsigned char)port.data[1] << 8);
    return true;
}

static bool read_remote(struct slice *rest, unsigned what, struct addr *out)
{
    if (!read_address(rest, (what & SIDE_V6) != 0, out))
        return false;
    return !(what & SIDE_SCOPE) || read_varint(rest, &out->scope);
}

static bool read_conn(struct slice *rest, struct conn_id *out)
{
    uint32_t worker;

    if (!read_varint(rest, &worker) || worker > UINT16_MAX)
        return false;
    out->worker = (uint16_t)worker;
    return read_varint(rest, &out->id.slot) && read_varint(rest, &out->id.generation);
}

static bool read_aor(struct slice *rest, struct slice *out)
{
    uint32_t len;

    if (!read_varint(rest, &len) || len > rest->len)
        return false;
    *out = slice_take(rest, len);
    return true;
}

static bool read_side(struct slice *rest, struct proxy_side *out)
{
    if (rest->len < 2)
        return false;

    unsigned what = (unsigned char)slice_take(rest, 1).data[0];
    unsigned where = (unsigned char)slice_take(rest, 1).data[0];
    out->has_flow = true;
    out->flow.transport = (uint8_t)(what & SIDE_TRANSPORT);
    out->flow.listener = where & WHERE_ANY ? LISTENER_ANY : (uint8_t)(where & WHERE_LISTENER);
    out->flow.flags = where & WHERE_ONLY_CONN ? FLOW_ONLY_CONN : 0;
    if (!read_remote(rest, what, &out->flow.remote))
        return false;
    if ((what & SIDE_CONN) && !read_conn(rest, &out->flow.conn))
        return false;
    if ((what & SIDE_INSTANCE) && !read_u32(rest, &out->instance))
        return false;
    return !(what & SIDE_AOR) || read_aor(rest, &out->aor);
}

static bool read_sides(struct slice bytes, struct proxy_token *out)
{
    unsigned kind = (unsigned char)bytes.data[0];
    struct slice rest = slice_from(bytes, TOKEN_HEAD);

    if ((kind & ~(unsigned)TOKEN_FLAGS) != TOKEN_KIND)
        return false;
    out->guarded = (kind & TOKEN_GUARDED) != 0;
    out->outside = (kind & TOKEN_OUTSIDE) != 0;
    if ((kind & (TOKEN_CALLER | TOKEN_OUTSIDE | TOKEN_GUARDED)) && !read_side(&rest, &out->caller))
        return false;
    if ((kind & (TOKEN_CALLEE | TOKEN_GUARDED)) && !read_side(&rest, &out->callee))
        return false;
    if ((kind & TOKEN_BEHIND) && !read_address(&rest, (kind & TOKEN_BEHIND_V6) != 0, &out->behind))
        return false;
    out->caller.has_flow = (kind & TOKEN_CALLER) != 0;
    out->callee.has_flow = (kind & TOKEN_CALLEE) != 0;
    return rest.len == 0 && (kind & (TOKEN_BEHIND | TOKEN_BEHIND_V6)) != TOKEN_BEHIND_V6;
}

static uint64_t read_mac(const char *at)
{
    uint64_t mac = 0;

    for (unsigned i = 0; i < TOKEN_MAC_BYTES; i++)
        mac |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return mac;
}

enum err proxy_token_read(struct slice text, const struct hash_key *key, struct slice call_id,
                          struct slice from_tag, struct slice to_tag,
                          char scratch[static PROXY_TOKEN_SCRATCH], struct proxy_token *out,
                          bool *from_caller)
{
    size_t len;

    if (text.len > PROXY_TOKEN_MAX || !base32hex_read(text, scratch, PROXY_TOKEN_SCRATCH, &len) ||
        len < TOKEN_HEAD)
        return ERR_DENIED;

    struct slice bytes = {scratch, len};
    uint64_t mac = read_mac(scratch + 1);
    mask_sides(key, mac, scratch + TOKEN_HEAD, len - TOKEN_HEAD);
    bool caller = (token_mac(key, bytes, call_id, from_tag) ^ mac) == 0;
    if (!caller && (token_mac(key, bytes, call_id, to_tag) ^ mac) != 0)
        return ERR_DENIED;

    struct proxy_token token = {0};
    if (!read_sides(bytes, &token))
        return ERR_DENIED;
    *out = token;
    *from_caller = caller;
    return OK;
}

/* ---- flows of a Path: the MAC, then one side as above ---- */

static uint64_t path_mac(const struct hash_key *key, struct slice side)
{
    struct mac mac;

    mac_init(&mac, key, MAC_PATH);
    mac_add(&mac, side);
    return mac_value(&mac);
}

enum err proxy_path_write(struct builder *b, const struct hash_key *key, const struct flow *flow)
{
    const struct proxy_side side = {.has_flow = true, .flow = *flow};
    char bytes[PROXY_TOKEN_SCRATCH];
    struct builder raw = builder_over(bytes, sizeof bytes);

    raw.len = TOKEN_MAC_BYTES;
    write_side(&raw, &side);
    assert(!raw.overflow);
    uint64_t mac = path_mac(key, slice_from(builder_slice(&raw), TOKEN_MAC_BYTES));
    for (unsigned i = 0; i < TOKEN_MAC_BYTES; i++)
        bytes[i] = (char)(mac >> (8 * i));
    base32hex_write(b, builder_slice(&raw));
    return b->overflow ? ERR_TOO_BIG : OK;
}

enum err proxy_path_read(struct slice text, const struct hash_key *key, struct flow *out)
{
    char scratch[PROXY_TOKEN_SCRATCH];
    struct proxy_side side = {0};
    size_t len;

    if (!base32hex_read(text, scratch, sizeof scratch, &len) || len < TOKEN_MAC_BYTES)
        return ERR_DENIED;
    struct slice rest = slice_from((struct slice){scratch, len}, TOKEN_MAC_BYTES);
    if (path_mac(key, rest) != read_mac(scratch) || !read_side(&rest, &side) || rest.len != 0)
        return ERR_DENIED;
    *out = side.flow;
    return OK;
}
