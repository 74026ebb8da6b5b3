/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

enum {
    WORD_MAX = 64,
    NUMBER_MIN = 3, /* of E.164, with the + */
    NUMBER_MAX = 16
};

size_t text_utf8_bytes(struct slice rest)
{
    if (rest.len == 0)
        return 0;
    const unsigned char *c = (const unsigned char *)rest.data;
    size_t len = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;

    if (len == 0 || len > rest.len || c[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
        (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
        return 0;
    return len;
}

bool text_is_name(struct slice text, size_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit(text.data[i]) && !ascii_is_letter(text.data[i]) &&
            slice_find(SLICE("._~+-"), text.data[i]) == SIZE_MAX)
            return false;
    return true;
}

bool text_is_number(struct slice text)
{
    if (text.len < NUMBER_MIN || text.len > NUMBER_MAX || text.data[0] != '+' ||
        text.data[1] == '0')
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!ascii_is_digit(text.data[i]))
            return false;
    return true;
}

static unsigned lesser(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/** Of two letters: as written and as read. */
static bool same(struct slice a, size_t i, struct slice b, size_t j)
{
    return ascii_lower(a.data[i]) == ascii_lower(b.data[j]);
}

unsigned text_distance(struct slice a, struct slice b, unsigned limit)
{
    /* The usual table, of which three rows are at hand: row i is for the first i letters of a. */
    unsigned rows[3][WORD_MAX + 1];

    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return limit + 1;
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            row[j] =
                lesser(lesser(above[j], row[j - 1]) + 1, above[j - 1] + !same(a, i - 1, b, j - 1));
            if (i > 1 && j > 1 && same(a, i - 1, b, j - 2) && same(a, i - 2, b, j - 1))
                row[j] = lesser(row[j], two_above[j - 2] + 1);
        }
    }
    return lesser(rows[a.len % 3][b.len], limit + 1);
}
