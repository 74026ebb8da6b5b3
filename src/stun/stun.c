/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message (RFC 5389 §6, §15), all numbers big-endian:
 *
 *   type         2  two zero bits, then the method's bits with the class's two among them
 *   length       2  of what follows these 20 bytes; a multiple of 4
 *   cookie       4
 *   transaction 12
 *   attributes      each: type 2, length 2, value, zeros up to a multiple of 4
 */
#include "stun/stun.h"

enum {
    HEADER_BYTES = 20,
    ATTRIBUTE_HEAD = 4,
    FINGERPRINT_BYTES = 8, /* the whole attribute */
    COOKIE = 0x2112a442,
    FINGERPRINT_XOR = 0x5354554e,

    BINDING_REQUEST = 0x0001,
    BINDING_INDICATION = 0x0011,
    BINDING_SUCCESS = 0x0101,
    BINDING_ERROR = 0x0111,

    MAPPED_ADDRESS = 0x0001,
    USERNAME = 0x0006,
    MESSAGE_INTEGRITY = 0x0008,
    ERROR_CODE = 0x0009,
    UNKNOWN_ATTRIBUTES = 0x000a,
    REALM = 0x0014,
    NONCE = 0x0015,
    XOR_MAPPED_ADDRESS = 0x0020,
    OPTIONAL = 0x8000, /* from here on what is not known is passed over (§15) */
    FINGERPRINT = 0x8028,

    FAMILY_V4 = 1,
    FAMILY_V6 = 2,
};

static uint16_t read_u16(const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;
    return (uint16_t)(byte[0] << 8 | byte[1]);
}

static uint32_t read_u32(const char *at)
{
    return (uint32_t)read_u16(at) << 16 | read_u16(at + 2);
}

static void write_u16(struct builder *b, unsigned value)
{
    builder_char(b, (char)(value >> 8));
    builder_char(b, (char)value);
}

static void write_u32(struct builder *b, uint32_t value)
{
    write_u16(b, value >> 16);
    write_u16(b, value & 0xffff);
}

/* Bit by bit: at most a few dozen bytes, a few times a minute for each phone. */
uint32_t stun_crc32(struct slice bytes)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < bytes.len; i++) {
        crc ^= (unsigned char)bytes.data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

/* What RFC 5389 defines is known; what of it makes no sense here is passed over (§7.3). */
static bool is_known(uint16_t type)
{
    switch (type) {
    case MAPPED_ADDRESS:
    case USERNAME:
    case MESSAGE_INTEGRITY:
    case ERROR_CODE:
    case UNKNOWN_ATTRIBUTES:
    case REALM:
    case NONCE:
    case XOR_MAPPED_ADDRESS:
        return true;
    default:
        return type >= OPTIONAL;
    }
}

static void note_unknown(struct stun_request *request, uint16_t type)
{
    for (unsigned i = 0; i < request->unknown_count; i++)
        if (request->unknown[i] == type)
            return;
    if (request->unknown_count < STUN_UNKNOWN_MAX)
        request->unknown[request->unknown_count++] = type;
}

/* The attributes of `bytes`, a whole message. FINGERPRINT is the last one, if it is there (§15.5);
 * after MESSAGE-INTEGRITY nothing else counts (§15.4). */
static enum err read_attributes(struct slice bytes, struct stun_request *request)
{
    struct slice rest = slice_from(bytes, HEADER_BYTES);
    bool ended = false;

    while (rest.len > 0) {
        if (rest.len < ATTRIBUTE_HEAD)
            return ERR_SYNTAX;
        size_t offset = (size_t)(rest.data - bytes.data);
        uint16_t type = read_u16(rest.data);
        size_t len = read_u16(rest.data + 2);
        size_t padded = ATTRIBUTE_HEAD + ((len + 3) & ~(size_t)3);
        if (padded > rest.len)
            return ERR_SYNTAX;
        if (type == FINGERPRINT) {
            if (padded != FINGERPRINT_BYTES || len != 4 || padded != rest.len)
                return ERR_SYNTAX;
            uint32_t crc = stun_crc32((struct slice){bytes.data, offset});
            if ((crc ^ FINGERPRINT_XOR) != read_u32(rest.data + ATTRIBUTE_HEAD))
                return ERR_SYNTAX;
            request->fingerprint = true;
        } else if (!ended && !is_known(type)) {
            note_unknown(request, type);
        }
        ended |= type == MESSAGE_INTEGRITY;
        (void)slice_take(&rest, padded);
    }
    return OK;
}

enum err stun_read(struct slice bytes, struct stun_request *out)
{
    struct stun_request request = {0};

    if (bytes.len < HEADER_BYTES || (unsigned char)bytes.data[0] > STUN_FIRST_BYTE_MAX)
        return ERR_SYNTAX;
    size_t length = read_u16(bytes.data + 2);
    if (length % 4 != 0 || length != bytes.len - HEADER_BYTES || read_u32(bytes.data + 4) != COOKIE)
        return ERR_SYNTAX;
    memcpy(request.transaction, bytes.data + 8, sizeof request.transaction);
    enum err err = read_attributes(bytes, &request);
    if (err)
        return err;

    switch (read_u16(bytes.data)) {
    case BINDING_REQUEST:
        request.kind = STUN_BINDING_REQUEST;
        break;
    case BINDING_INDICATION:
        request.kind = STUN_BINDING_INDICATION;
        break;
    default:
        return ERR_NOT_FOUND;
    }
    *out = request;
    return OK;
}

/* The address, each byte XORed with the cookie and, for IPv6, the transaction (§15.2). */
static void write_mapped(const struct stun_request *request, const struct addr *source,
                         struct builder *b)
{
    bool v6 = source->family == ADDR_V6;
    unsigned len = v6 ? 16 : 4;
    uint8_t mask[16] = {COOKIE >> 24, COOKIE >> 16 & 0xff, COOKIE >> 8 & 0xff, COOKIE & 0xff};

    memcpy(mask + 4, request->transaction, sizeof request->transaction);
    write_u16(b, XOR_MAPPED_ADDRESS);
    write_u16(b, 4 + len);
    write_u16(b, v6 ? FAMILY_V6 : FAMILY_V4);
    write_u16(b, source->port ^ (COOKIE >> 16));
    for (unsigned i = 0; i < len; i++)
        builder_char(b, (char)(source->bytes[i] ^ mask[i]));
}

/* ERROR-CODE 420 and what was not understood (§15.6, §15.9). */
static void write_unknown(const struct stun_request *request, struct builder *b)
{
    const struct slice reason = SLICE("Unknown Attribute");
    unsigned padding = (4 - reason.len % 4) % 4;

    write_u16(b, ERROR_CODE);
    write_u16(b, (unsigned)(4 + reason.len));
    write_u32(b, 4 << 8 | 20);
    builder_add(b, reason);
    for (unsigned i = 0; i < padding; i++)
        builder_char(b, '\0');

    write_u16(b, UNKNOWN_ATTRIBUTES);
    write_u16(b, 2u * request->unknown_count);
    for (unsigned i = 0; i < request->unknown_count; i++)
        write_u16(b, request->unknown[i]);
    if (request->unknown_count % 2 != 0)
        write_u16(b, 0);
}

enum err stun_answer(const struct stun_request *request, const struct addr *source,
                     struct builder *b)
{
    size_t begin = b->len;

    write_u16(b, request->unknown_count > 0 ? BINDING_ERROR : BINDING_SUCCESS);
    write_u16(b, 0);
    write_u32(b, COOKIE);
    builder_add(b, (struct slice){(const char *)request->transaction, STUN_TRANSACTION_BYTES});
    if (request->unknown_count > 0)
        write_unknown(request, b);
    else
        write_mapped(request, source, b);
    if (b->overflow)
        return ERR_TOO_BIG;

    size_t length = b->len - begin - HEADER_BYTES;
    size_t whole = length + (request->fingerprint ? FINGERPRINT_BYTES : 0);
    b->data[begin + 2] = (char)(whole >> 8);
    b->data[begin + 3] = (char)whole;
    if (request->fingerprint) {
        uint32_t crc = stun_crc32((struct slice){b->data + begin, HEADER_BYTES + length});
        write_u16(b, FINGERPRINT);
        write_u16(b, 4);
        write_u32(b, crc ^ FINGERPRINT_XOR);
    }
    return b->overflow ? ERR_TOO_BIG : OK;
}
