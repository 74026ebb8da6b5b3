/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log says of TLS and WebSockets that came to nothing: who, and why. Anybody can make
 * handshakes fail, so there is one line a second, which tells how many had none.
 */
#include "net/internal.h"

enum {
    REPORT_EVERY_MS = 1000,
    REPORT_TEXT_MAX = 900,
};

/* Of a connection that is up only what a filter itself finds wrong: an alert, or a frame. */
static bool concerns_filters(const struct conn *conn, enum net_reason reason)
{
    return conn->flow.transport > TRANSPORT_TCP && (!conn->ready || reason == NET_R_FRAMING);
}

static void write_peer(const struct conn *conn, struct builder *b)
{
    struct slice host = names_find(&conn->net->names, conn->flow.name);

    builder_add(b, slice_of(conn->outgoing ? "to " : "from "));
    if (host.len > 0) {
        builder_add(b, host);
        builder_text(b, " at ");
    }
    addr_write(b, &conn->flow.remote);
}

/* Gives the name of what it is about. */
static const char *write_why(const struct conn *conn, enum net_reason reason, struct builder *b)
{
    bool failed = reason == NET_R_HANDSHAKE || reason == NET_R_FRAMING;

    if (failed && conn->filter->ops->frames && ws_filter_explain(conn->filter, b))
        return "websocket";
    if (!failed || !tls_filter_explain(conn->filter, b))
        builder_add(b, slice_of(net_reason_name(reason)));
    return transport_secure((enum transport)conn->flow.transport) ? "tls" : "websocket";
}

void stream_report(const struct conn *conn, enum net_reason reason)
{
    struct net *net = conn->net;
    const struct net_ops *ops = &net->config.ops;
    char text[REPORT_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);

    if (ops->warn == NULL || !concerns_filters(conn, reason))
        return;
    if (loop_now_ms(net->loop) < net->said_ms) {
        net->unsaid++;
        return;
    }
    write_peer(conn, &b);
    builder_text(&b, ": ");
    const char *event = write_why(conn, reason, &b);
    if (net->unsaid > 0) {
        builder_text(&b, "; untold since the last: ");
        builder_u64(&b, net->unsaid);
    }
    if (!b.overflow)
        ops->warn(ops->user, event, builder_slice(&b));
    net->said_ms = loop_now_ms(net->loop) + REPORT_EVERY_MS;
    net->unsaid = 0;
}
