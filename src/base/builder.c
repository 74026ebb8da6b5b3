/* SPDX-License-Identifier: Apache-2.0 */
#include "base/builder.h"

void builder_u64(struct builder *b, uint64_t value)
{
    char digits[20];

    if (value < 1000 && !b->overflow && b->capacity - b->len >= 3) { /* most, on the packet path */
        unsigned small = (unsigned)value;
        char *at = b->data + b->len;
        if (small >= 100)
            *at++ = (char)('0' + small / 100);
        if (small >= 10)
            *at++ = (char)('0' + small / 10 % 10);
        *at++ = (char)('0' + small % 10);
        b->len = (size_t)(at - b->data);
        return;
    }
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    builder_add(b, (struct slice){digits + at, sizeof digits - at});
}

void builder_hex(struct builder *b, uint64_t value, unsigned digits)
{
    assert(digits >= 1);
    assert(digits <= 16);

    char text[16];
    for (unsigned i = digits; i > 0; i--) {
        text[i - 1] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    builder_add(b, (struct slice){text, digits});
}
