/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "proxy/proxy.h"

/** Goes on from `hash` over all values of a header; how many there were counts, too. */
static uint64_t add_fields(uint64_t hash, const struct sip_msg *msg, enum sip_field_id id)
{
    uint64_t count = 0;

    for (const struct sip_field *f = sip_field_first(msg, id); f; f = sip_field_next(msg, f)) {
        hash = hash_bytes(hash, sip_field_value(msg, f));
        count++;
    }
    return hash + count;
}

/*
 * RFC 5393 §4.2.1: the second part of the branch varies with all that decides where the request
 * goes, and (§4.2.4) with something that differs between transactions, so that a collision
 * does not repeat; it does not vary with the method: CANCEL and ACK have the INVITE's.
 */
uint32_t proxy_loop_hash(const struct hash_key *key, const struct sip_msg *msg)
{
    uint64_t value = hash_bytes(key->k[0], msg->uri);

    value = add_fields(value, msg, SIP_F_ROUTE);
    value = add_fields(value, msg, SIP_F_PROXY_REQUIRE);
    value = hash_bytes(value ^ msg->cseq.number, msg->call_id);
    return (uint32_t)(value ^ (value >> 32));
}

typedef bool is_ours_fn(void *user, const struct sip_via *via);

static bool is_our_mark(const struct sip_via *via, uint32_t loop, is_ours_fn *is_ours, void *user)
{
    struct txn_branch branch;

    return txn_branch_parse(via->branch, &branch) && branch.loop == loop && is_ours(user, via);
}

bool proxy_is_loop(const struct sip_msg *msg, uint32_t loop, is_ours_fn *is_ours, void *user)
{
    if (is_our_mark(&msg->via, loop, is_ours, user))
        return true;

    struct sip_values it = sip_values(msg, SIP_F_VIA);
    struct slice value;
    if (it.rest.len == msg->via_value.len && sip_field_next(msg, it.field) == NULL)
        return false; /* the top one is all there is */
    while (sip_values_next(&it, &value)) {
        struct sip_via via;

        /* Others' values may look as they like (§4.2.4): what we cannot read is not ours. */
        if (sip_via_parse(value, &via) == OK && is_our_mark(&via, loop, is_ours, user))
            return true;
    }
    return false;
}
