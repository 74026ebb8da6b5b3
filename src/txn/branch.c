/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our branches: z9hG4bK boot(8) worker(2) slot(6) generation(8) loop(8) key(16), lower-case hex.
 */
#include "txn/txn.h"

enum {
    COOKIE_LEN = sizeof(SIP_BRANCH_COOKIE) - 1
};

_Static_assert(TXN_BRANCH_LEN == COOKIE_LEN + 8 + 2 + 6 + 8 + 8 + 16, "as the fields add up");

static char *put_hex(char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--) {
        at[i - 1] = "0123456789abcdef"[value & 15];
        value >>= 4;
    }
    return at + digits;
}

/* The value of a digit; 16 for any other byte. */
static unsigned hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    return 16;
}

/* Moves `*at` on. Anything but a digit leaves a trace in `*bad`. */
static uint64_t take_hex(const char **at, unsigned digits, unsigned *bad)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < digits; i++) {
        unsigned digit = hex_value((*at)[i]);
        *bad |= digit & 16;
        value = value << 4 | (digit & 15);
    }
    *at += digits;
    return value;
}

void txn_branch_write(const struct txn_branch *branch, char out[static TXN_BRANCH_LEN])
{
    assert(branch->worker <= 0xff);
    assert(branch->id.slot <= 0xffffff);

    memcpy(out, SIP_BRANCH_COOKIE, COOKIE_LEN);
    char *at = out + COOKIE_LEN;
    at = put_hex(at, branch->boot, 8);
    at = put_hex(at, branch->worker, 2);
    at = put_hex(at, branch->id.slot, 6);
    at = put_hex(at, branch->id.generation, 8);
    at = put_hex(at, branch->loop, 8);
    put_hex(at, branch->key, 16);
}

bool txn_branch_parse(struct slice branch, struct txn_branch *out)
{
    if (branch.len != TXN_BRANCH_LEN || memcmp(branch.data, SIP_BRANCH_COOKIE, COOKIE_LEN) != 0)
        return false;

    const char *at = branch.data + COOKIE_LEN;
    unsigned bad = 0;
    struct txn_branch found = {0};
    found.boot = (uint32_t)take_hex(&at, 8, &bad);
    found.worker = (uint32_t)take_hex(&at, 2, &bad);
    found.id.slot = (uint32_t)take_hex(&at, 6, &bad);
    found.id.generation = (uint32_t)take_hex(&at, 8, &bad);
    found.loop = (uint32_t)take_hex(&at, 8, &bad);
    found.key = take_hex(&at, 16, &bad);
    if (bad)
        return false;

    *out = found;
    return true;
}
