/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses made here: how they are written and where they go
 * (RFC 3261 §18.2.1, §18.2.2, §8.2.6; RFC 3581 §4).
 */
#include "txn/table.h"

enum {
    REPLY_SLACK = 512
}; /* status line, tag, received, rport, Content-Length */

/*
 * On UDP: rport, or the port of sent-by; always the address it came from. A maddr is not followed
 * (§18.2.2 has it for multicast, which we do not listen to): anybody could have our
 * responses, with their repetitions, sent to somebody else without even forging his own address.
 */
static struct addr udp_target(const struct sip_via *via, const struct addr *source)
{
    uint16_t port = via->port != 0 ? via->port : sip_transport_port(TRANSPORT_UDP);
    struct addr target = *source;

    if (!via->has_rport)
        target.port = port;
    return target;
}

struct flow txn_response_flow(const struct sip_via *via, const struct flow *source)
{
    struct flow flow = *source;

    flow.flags = 0;
    if (source->transport == TRANSPORT_UDP) {
        flow.remote = udp_target(via, &source->remote);
        return flow;
    }
    if (source->transport == TRANSPORT_WS || source->transport == TRANSPORT_WSS)
        flow.flags = FLOW_ONLY_CONN; /* a browser cannot be connected to (RFC 7118 §5) */
    flow.remote.port = via->port != 0 ? via->port : sip_transport_port(source->transport);
    return flow;
}

struct flow server_response_flow(const struct server *server)
{
    struct flow flow = server->source;

    flow.flags = 0;
    if (flow.transport == TRANSPORT_WS || flow.transport == TRANSPORT_WSS)
        flow.flags = FLOW_ONLY_CONN;
    flow.remote = server->reply_to;
    return flow;
}

/* received is due when sent-by's host is not the source's address, and whenever rport is asked. */
static bool wants_received(const struct sip_via *via, const struct addr *source)
{
    struct addr host;

    if (via->has_rport || via->received.len > 0)
        return true;
    return addr_parse(via->host, 0, &host) != OK || !addr_same_host(&host, source);
}

/* IPv6 without brackets, as the grammar of received has it (RFC 3261 §25.1). */
static struct slice host_text(const struct addr *addr, char text[static ADDR_TEXT_MAX])
{
    struct builder b = builder_over(text, ADDR_TEXT_MAX);

    addr_write_host(&b, addr);
    struct slice host = builder_slice(&b);
    if (addr->family == ADDR_V6)
        host = (struct slice){host.data + 1, host.len - 2};
    return host;
}

enum err respond(struct txn_table *table, const struct sip_msg *request, const struct flow *source,
                 const struct flow *to, const struct sip_reply *reply, struct slice *sent)
{
    struct sip_reply full = *reply;
    struct outbox *outbox = table->config.outbox;
    char host[ADDR_TEXT_MAX];

    full.rport = source->remote.port;
    full.received = SLICE_EMPTY;
    if (wants_received(&request->via, &source->remote))
        full.received = host_text(&source->remote, host);
    if (request->via.has_oc && table->config.oc != NULL)
        full.oc = table->config.oc(table->config.oc_user, source);

    size_t room = request->head_end + reply->fields.len + reply->body.len + REPLY_SLACK;
    if (room > SIP_MESSAGE_MAX)
        room = SIP_MESSAGE_MAX;
    struct builder b = outbox_open(outbox, (uint32_t)room);
    enum err err = sip_reply_write(request, &full, &b);
    if (err)
        return err;

    outbox_commit(outbox, &b, to);
    *sent = builder_slice(&b);
    return OK;
}

/* The same tag for each retransmission of the request, which finds no transaction, either. */
static struct slice stateless_tag(const struct txn_table *table, const struct sip_msg *request,
                                  char text[static TXN_TO_TAG_LEN])
{
    uint64_t hash = hash_bytes(table->config.hash_seed, request->via_value);
    struct builder b = builder_over(text, TXN_TO_TAG_LEN);

    hash = hash_bytes(hash, request->call_id);
    hash = hash_bytes(hash, request->from.tag);
    builder_hex(&b, hash_bytes(hash, request->uri), TXN_TO_TAG_LEN);
    return builder_slice(&b);
}

void txn_reply_stateless(struct txn_table *table, const struct sip_msg *request,
                         const struct flow *source, const struct sip_reply *reply)
{
    if (request->via_value.len == 0 || request->method == SIP_ACK)
        return; /* nowhere to send it to; an ACK is never answered (§17) */

    struct sip_reply full = *reply;
    char tag[TXN_TO_TAG_LEN];
    struct flow to = txn_response_flow(&request->via, source);
    struct slice sent;

    if (reply->status != 100 && reply->to_tag.len == 0)
        full.to_tag = stateless_tag(table, request, tag);
    /* What cannot be written is dropped: the client resends or gives up. */
    if (respond(table, request, source, &to, &full, &sent) != OK)
        table->counters.replies_too_big++;
}
