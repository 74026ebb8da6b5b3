/* SPDX-License-Identifier: Apache-2.0 */
#include "base/builder.h"

void builder_u64(struct builder *b, uint64_t value)
{
    char digits[20];
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
