/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/mac.h"
#include "proxy/proxy.h"

/*
 * RFC 5393 §4.2.1: the second part of the branch varies with all that decides where the request
 * goes, and (§4.2.4) with something that differs between transactions, so that a collision
 * does not repeat; it does not vary with the method: CANCEL and ACK have the INVITE's.
 */
uint32_t proxy_loop_hash(const struct hash_key *key, const struct sip_msg *msg)
{
    struct mac mac;

    mac_init(&mac, key, MAC_LOOP);
    mac_add(&mac, msg->uri);
    const struct sip_field *field = sip_field_first(msg, SIP_F_ROUTE);
    for (; field != NULL; field = sip_field_next(msg, field))
        mac_add(&mac, sip_field_value(msg, field));
    mac_add(&mac, SLICE_EMPTY); /* the end of Route */
    field = sip_field_first(msg, SIP_F_PROXY_REQUIRE);
    for (; field != NULL; field = sip_field_next(msg, field))
        mac_add(&mac, sip_field_value(msg, field));
    mac_add(&mac, SLICE_EMPTY);
    mac_add(&mac, msg->call_id);
    mac_bytes(&mac, &msg->cseq.number, sizeof msg->cseq.number);

    uint64_t value = mac_value(&mac);
    return (uint32_t)(value ^ (value >> 32));
}

bool proxy_is_loop(const struct sip_msg *msg, uint32_t loop,
                   bool (*is_ours)(void *user, const struct sip_via *via), void *user)
{
    struct sip_values it = sip_values(msg, SIP_F_VIA);
    struct slice value;

    while (sip_values_next(&it, &value)) {
        struct sip_via via;
        struct txn_branch branch;

        /* Others' values may look as they like (§4.2.4): what we cannot read is not ours. */
        if (sip_via_parse(value, &via) != OK || !txn_branch_parse(via.branch, &branch))
            continue;
        if (branch.loop == loop && is_ours(user, &via))
            return true;
    }
    return false;
}
