/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/stateless.h"

#include "proxy/mac.h"

enum {
    STATELESS_BRANCH_LEN = 7 + 1 + 16
};

/*
 * §16.11: the branch is computed from what is the same in all retransmissions. A letter that
 * no transaction's branch has after the cookie keeps the two kinds apart, as does the length.
 */
static void write_branch(const struct hash_key *key, const struct sip_msg *msg, struct builder *b)
{
    struct mac mac;

    mac_init(&mac, key, MAC_ACK_BRANCH);
    if (sip_branch_rfc3261(msg->via.branch)) {
        mac_add(&mac, msg->via.branch);
        mac_add(&mac, msg->via.sent_by);
    } else {
        mac_add(&mac, msg->via_value);
        mac_add(&mac, msg->to.tag);
        mac_add(&mac, msg->from.tag);
        mac_add(&mac, msg->uri);
    }
    mac_add(&mac, msg->call_id);
    mac_bytes(&mac, &msg->cseq.number, sizeof msg->cseq.number);

    builder_text(b, SIP_BRANCH_COOKIE "s");
    builder_hex(b, mac_value(&mac), 16);
}

enum err stateless_forward(struct proxy *proxy, const struct proxy_request *request,
                           const struct proxy_target *target)
{
    char text[STATELESS_BRANCH_LEN];
    struct builder branch = builder_over(text, sizeof text);
    struct proxy_request plain = *request;

    write_branch(&proxy->config.token_key, request->msg, &branch);
    plain.record_route = false;
    struct builder b = outbox_open(proxy->config.outbox, SIP_MESSAGE_MAX);
    enum err err =
        forward_write(proxy, &plain, target, builder_slice(&branch), PROXY_MAX_BREADTH, &b);
    if (err == ERR_TOO_BIG)
        proxy->counters.too_big++;
    if (err)
        return err;

    outbox_commit(proxy->config.outbox, &b, &target->to);
    proxy->counters.forwarded++;
    return OK;
}
