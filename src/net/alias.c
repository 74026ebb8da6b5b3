/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections over TLS that another server has opened, and that our requests to it go by, too
 * (RFC 5923). He asks for it by `alias` in his Via, and must have shown a certificate that we have
 * verified. Where he is reached is the address that he came from, with the port of his Via; whom he
 * speaks for is asked of the certificate for each name that something is sent to.
 *
 * Every worker knows all aliases; the connection, and with it the certificate, is one worker's. So
 * who finds one gives the message to that worker, who looks whether it holds, and dials if not.
 * An alias whose connection is gone is found out in that way, until another takes its place.
 */
#include "net/internal.h"

#include "base/hash.h"

static struct alias *alias_place(struct net *net, const struct addr *remote)
{
    struct slice key = {(const char *)remote, sizeof *remote};
    return &net->aliases[hash_bytes(net->config.hash_seed, key) % ALIASES];
}

void alias_learn(struct net *net, const struct flow *flow)
{
    *alias_place(net, &flow->remote) = (struct alias){flow->remote, flow->conn};
}

bool alias_find(struct net *net, const struct addr *remote, struct conn_id *out)
{
    const struct alias *alias = alias_place(net, remote);

    if (alias->conn.id.generation == 0 || !addr_equal(&alias->remote, remote))
        return false;
    *out = alias->conn;
    return true;
}

void net_alias(struct net *net, struct conn_id name, uint16_t port)
{
    struct conn *conn = pool_get(&net->conns, name.id);

    if (name.worker != loop_worker(net->loop) || conn == NULL || conn->state != CONN_OPEN ||
        conn->outgoing || conn->alias_port == port || !tls_filter_peer_known(conn->filter))
        return;
    conn->alias_port = port;
    struct flow flow = {
        .transport = TRANSPORT_TLS, .flags = FLOW_ALIAS, .conn = name, .remote = conn->flow.remote};
    flow.remote.port = port;
    alias_learn(net, &flow);
    const struct slice body = {(const char *)&flow, sizeof flow};
    for (unsigned worker = 0; worker < loop_workers(net->loop); worker++)
        if (worker != loop_worker(net->loop) &&
            !loop_post(net->loop, worker, MAILBOX_ORDINARY, LETTER_NET, &body, 1))
            net_count(net, NET_R_MAILBOX); /* he opens one himself */
}

bool alias_holds(struct conn *conn, uint64_t name, const struct addr *remote)
{
    if (conn->alias_port == 0 || conn->alias_port != remote->port ||
        !addr_same_host(&conn->flow.remote, remote))
        return false;
    if (conn->aliased && conn->alias_name == name)
        return true;
    struct slice host = names_find(&conn->net->names, name);
    if ((name != 0 && host.len == 0) || !tls_filter_speaks_for(conn->filter, host, remote))
        return false;
    conn->aliased = true;
    conn->alias_name = name;
    conn->net->counters.aliased++;
    return true;
}
