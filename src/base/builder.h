/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builder - writes text into memory of a fixed size.
 *
 * Overflow is sticky: what does not fit is not written, nor is anything after
 * it, and `overflow` stays set. Callers write on and look once, at the end.
 */
#ifndef BASE_BUILDER_H
#define BASE_BUILDER_H

#include "base/slice.h"

struct builder {
    char *data; /* borrowed */
    size_t len;
    size_t capacity; /* bytes */
    bool overflow;
};

static inline struct builder builder_over(char *data, size_t capacity)
{
    return (struct builder){.data = data, .capacity = capacity};
}

static inline void builder_add(struct builder *b, struct slice s)
{
    if (b->overflow || s.len > b->capacity - b->len) {
        b->overflow = true;
        return;
    }
    if (s.len > 0)
        memcpy(b->data + b->len, s.data, s.len);
    b->len += s.len;
}

/** For string literals. */
#define builder_text(b, literal) builder_add((b), SLICE(literal))

static inline void builder_char(struct builder *b, char c)
{
    if (b->overflow || b->len == b->capacity) {
        b->overflow = true;
        return;
    }
    b->data[b->len++] = c;
}

/** Decimal. */
void builder_u64(struct builder *b, uint64_t value);

/** Lower-case hexadecimal, exactly `digits` of them (1..16), most significant first. */
void builder_hex(struct builder *b, uint64_t value, unsigned digits);

static inline struct slice builder_slice(const struct builder *b)
{
    return (struct slice){b->data, b->len};
}

#endif
