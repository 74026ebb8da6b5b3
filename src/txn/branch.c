/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our branches: z9hG4bK boot(8) worker(2) slot(6) generation(8) loop(8) key(16), lower-case hex.
 */
#include "txn/hex.h"
#include "txn/txn.h"

enum {
    COOKIE_LEN = sizeof(SIP_BRANCH_COOKIE) - 1,
    SLOT_BITS = 24,
    SLOT_MASK = (1 << SLOT_BITS) - 1,
};

_Static_assert(TXN_BRANCH_LEN == COOKIE_LEN + 6 * 8, "six times eight digits");

void txn_branch_write(const struct txn_branch *branch, char out[static TXN_BRANCH_LEN])
{
    assert(branch->worker <= 0xff);
    assert(branch->id.slot <= SLOT_MASK);

    memcpy(out, SIP_BRANCH_COOKIE, COOKIE_LEN);
    char *at = out + COOKIE_LEN;
    at = hex8_write(at, branch->boot);
    at = hex8_write(at, branch->worker << SLOT_BITS | branch->id.slot);
    at = hex8_write(at, branch->id.generation);
    at = hex8_write(at, branch->loop);
    at = hex8_write(at, (uint32_t)(branch->key >> 32));
    hex8_write(at, (uint32_t)branch->key);
}

bool txn_branch_parse(struct slice branch, struct txn_branch *out)
{
    if (branch.len != TXN_BRANCH_LEN || memcmp(branch.data, SIP_BRANCH_COOKIE, COOKIE_LEN) != 0)
        return false;

    uint32_t words[6];
    uint64_t bad = 0;
    for (unsigned i = 0; i < 6; i++)
        words[i] = hex8_read(branch.data + COOKIE_LEN + i * 8, &bad);
    if (bad != 0)
        return false;

    *out = (struct txn_branch){
        .boot = words[0],
        .worker = words[1] >> SLOT_BITS,
        .id = {words[1] & SLOT_MASK, words[2]},
        .loop = words[3],
        .key = (uint64_t)words[4] << 32 | words[5],
    };
    return true;
}
