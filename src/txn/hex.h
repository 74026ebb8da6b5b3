/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/hex - private to the room: eight lower-case hex digits at a time, without branches. One is
 * read with each response and written with each request, so digit by digit would be felt.
 */
#ifndef TXN_HEX_H
#define TXN_HEX_H

#include <stdint.h>
#include <string.h>

/* The same byte in all eight places. */
#define HEX_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/** Between memory and a number whose lowest byte is the first in memory. */
static inline uint64_t hex_order(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

/** Eight digits with values 0..15, one in each byte, as text: '0' is 0x30, 'a' is 0x57 + 10. */
static inline uint64_t hex_digits(uint64_t values)
{
    uint64_t above_nine = (values + HEX_EACH(6)) >> 4 & HEX_EACH(1);
    return values + HEX_EACH(0x30) + above_nine * 0x27;
}

/** Writes `value`, most significant digit first; returns the place behind. */
static inline char *hex8_write(char *at, uint32_t value)
{
    uint64_t v = __builtin_bswap32(value);

    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v >> 4 | v << 8) & HEX_EACH(0x0f);
    v = hex_digits(v);
    v = hex_order(v);
    memcpy(at, &v, sizeof v);
    return at + sizeof v;
}

/** Reads eight digits. What is no lower-case digit leaves a bit in `*bad`. */
static inline uint32_t hex8_read(const char *at, uint64_t *bad)
{
    uint64_t text;
    memcpy(&text, at, sizeof text);
    text = hex_order(text);

    uint64_t letters = text >> 6 & HEX_EACH(1);
    uint64_t v = (text & HEX_EACH(0x0f)) + letters * 9;
    *bad |= (v & HEX_EACH(0xf0)) | (hex_digits(v) ^ text);
    v = (v << 4 | v >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v | v >> 8) & UINT64_C(0x0000ffff0000ffff);
    return __builtin_bswap32((uint32_t)(v | v >> 16));
}

#endif
