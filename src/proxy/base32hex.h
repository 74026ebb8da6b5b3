/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/base32hex - bytes as text that survives a comparison without case (RFC 4648 §7, in lower
 * case). Private to the room.
 */
#ifndef PROXY_BASE32HEX_H
#define PROXY_BASE32HEX_H

#include "base/builder.h"

enum {
    BASE32HEX_BYTES_MAX = 256
};

/** Writes `bytes`, at most BASE32HEX_BYTES_MAX, without padding; the bits left over are zero. */
static inline void base32hex_write(struct builder *b, struct slice bytes)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    const unsigned char *byte = (const unsigned char *)bytes.data;
    char text[(BASE32HEX_BYTES_MAX / 5 + 1) * 8];
    char *at = text;
    size_t left = bytes.len;

    assert(bytes.len <= BASE32HEX_BYTES_MAX);
    for (; left >= 5; left -= 5, byte += 5, at += 8) {
        /* The analyzer loses numbers that are looked at as bytes.
         * NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
        uint64_t held = (uint64_t)byte[0] << 32 | (uint64_t)byte[1] << 24 |
                        (uint64_t)byte[2] << 16 | (uint64_t)byte[3] << 8 | byte[4];
        for (unsigned i = 0; i < 8; i++)
            at[i] = digits[held >> (35 - 5 * i) & 31];
    }
    uint64_t held = 0;
    for (size_t i = 0; i < left; i++)
        held |= (uint64_t)byte[i] << (32 - 8 * i);
    for (size_t bits = 0; bits < left * 8; bits += 5)
        *at++ = digits[held >> (35 - bits) & 31];
    builder_add(b, slice_between(text, at));
}

/* 1 + the value of each digit, either case; 0: none. */
static const uint8_t base32hex_digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['g'] = 17, ['h'] = 18, ['i'] = 19, ['j'] = 20, ['k'] = 21, ['l'] = 22, ['m'] = 23, ['n'] = 24,
    ['o'] = 25, ['p'] = 26, ['q'] = 27, ['r'] = 28, ['s'] = 29, ['t'] = 30, ['u'] = 31, ['v'] = 32,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['G'] = 17, ['H'] = 18,
    ['I'] = 19, ['J'] = 20, ['K'] = 21, ['L'] = 22, ['M'] = 23, ['N'] = 24, ['O'] = 25, ['P'] = 26,
    ['Q'] = 27, ['R'] = 28, ['S'] = 29, ['T'] = 30, ['U'] = 31, ['V'] = 32,
};

/* `count` digits, at most 8, as bits; `*bad` is set when one is none. */
static inline uint64_t base32hex_digits_read(const char *at, size_t count, bool *bad)
{
    uint64_t held = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned digit = base32hex_digits[(unsigned char)at[i]];
        *bad |= digit == 0;
        held = held << 5 | ((digit - 1) & 31);
    }
    return held;
}

/** False unless `text` is what base32hex_write() writes, but for case, and fits into `out`. */
static inline bool base32hex_read(struct slice text, char *out, size_t capacity, size_t *len)
{
    bool bad = false;
    char *to = out;

    if (text.len * 5 / 8 > capacity)
        return false;
    for (; text.len >= 8; text = slice_from(text, 8), to += 5) {
        uint64_t held = base32hex_digits_read(text.data, 8, &bad);
        for (unsigned i = 0; i < 5; i++)
            to[i] = (char)(held >> (32 - 8 * i));
    }
    uint64_t held = base32hex_digits_read(text.data, text.len, &bad);
    unsigned bits = (unsigned)text.len * 5;
    for (; bits >= 8; bits -= 8)
        *to++ = (char)(held >> (bits - 8));
    *len = (size_t)(to - out);
    return !bad && bits < 5 && (held & ((1u << bits) - 1)) == 0;
}

#endif
