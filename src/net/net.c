/* SPDX-License-Identifier: Apache-2.0 */
#include "net/internal.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    ROUNDS_PER_TURN = 4, /* of: send, report what failed, send what that made */
};

const char *net_reason_name(enum net_reason reason)
{
    static const char *const names[NET_R_COUNT] = {
        [NET_R_CONNECTIONS] = "connections",
        [NET_R_SOURCE] = "connections_per_source",
        [NET_R_SOURCES] = "sources",
        [NET_R_DESCRIPTORS] = "descriptors",
        [NET_R_WRITE_QUEUE] = "write_queue",
        [NET_R_MEMORY] = "memory",
        [NET_R_SLOW_MESSAGE] = "slow_message",
        [NET_R_STALLED] = "stalled",
        [NET_R_IDLE] = "idle",
        [NET_R_CONNECT_TIMEOUT] = "connect_timeout",
        [NET_R_CONNECT] = "connect",
        [NET_R_FRAMING] = "framing",
        [NET_R_MAILBOX] = "mailbox",
        [NET_R_NO_CONNECTION] = "no_connection",
        [NET_R_NO_LISTENER] = "no_listener",
        [NET_R_SEND] = "send",
        [NET_R_SEND_BUFFER] = "send_buffer",
        [NET_R_ICMP] = "icmp",
        [NET_R_RESET] = "reset",
        [NET_R_HANDSHAKE] = "handshake",
        [NET_R_SLOW_HANDSHAKE] = "slow_handshake",
        [NET_R_HANDSHAKES] = "handshakes",
        [NET_R_HANDSHAKE_RATE] = "handshake_rate",
        [NET_R_TLS_MEMORY] = "tls_memory",
        [NET_R_NO_TLS] = "no_tls",
        [NET_R_ORIGIN] = "origin",
        [NET_R_NO_PONG] = "no_pong",
        [NET_R_NAME] = "name",
    };
    assert(reason < NET_R_COUNT);
    return names[reason];
}

/* --- Reports --------------------------------------------------------------------------------- */

static void report_failed(struct net *net, enum net_reason reason, bool closed,
                          struct slice message)
{
    size_t len = message.len < REPORT_BYTES_MAX ? message.len : REPORT_BYTES_MAX;

    net_count(net, reason);
    struct report *report = mem_alloc(&net->mem, sizeof *report + len);
    if (report == NULL) {
        net_count(net, NET_R_MEMORY); /* who waits for it has his timers */
        return;
    }
    *report = (struct report){.len = (uint32_t)len, .closed = closed};
    list_push(&net->reports, &report->node);
    if (len > 0)
        memcpy(report->bytes, message.data, len);
}

void net_report_failed(struct net *net, enum net_reason reason, struct slice message)
{
    report_failed(net, reason, false, message);
}

void net_report_icmp(struct net *net, bool closed, struct slice message)
{
    report_failed(net, NET_R_ICMP, closed, message);
}

/* Tells what has been reported so far; what that leads to comes in the next round. */
static void reports_tell(struct net *net)
{
    struct list *last = net->reports.prev;
    const struct net_ops *ops = &net->config.ops;

    while (!list_empty(&net->reports)) {
        struct list *node = list_pop(&net->reports);
        struct report *report = CONTAINER_OF(node, struct report, node);
        ops->send_failed(ops->user, (struct slice){report->bytes, report->len}, report->closed);
        mem_free(&net->mem, report, sizeof *report + report->len);
        if (node == last)
            break;
    }
}

/* --- Sending --------------------------------------------------------------------------------- */

/* How well a listener suits: 0 not at all. The same kind of address counts most. */
static unsigned listener_suits(const struct listener *listener, const struct flow *to)
{
    if (listener->transport != to->transport || listener->bound.family != to->remote.family)
        return 0;
    if (addr_is_any(&listener->bound))
        return 2;
    return addr_is_loopback(&listener->bound) == addr_is_loopback(&to->remote) ? 3 : 1;
}

uint8_t net_pick_listener(const struct net *net, const struct flow *to)
{
    uint8_t best = LISTENER_ANY;
    unsigned best_suits = 0;

    if (to->listener < net->config.listener_count &&
        listener_suits(&net->config.listeners[to->listener], to) > 0)
        return to->listener;
    for (uint8_t i = 0; i < net->config.listener_count; i++) {
        unsigned suits = listener_suits(&net->config.listeners[i], to);
        if (suits > best_suits) {
            best_suits = suits;
            best = i;
        }
    }
    return best;
}

/* The outbox's flush: sends everything, or gathers it for the turn's end; tells nobody anything. */
static void net_send_all(struct outbox *outbox, void *user)
{
    struct net *net = user;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_item *item = &outbox->items[i];
        struct slice bytes = {outbox->buffer + item->offset, item->len};
        if (item->to.transport == TRANSPORT_UDP)
            udp_send(net, &item->to, item->topic, bytes);
        else
            stream_send(net, &item->to, bytes);
    }
    udp_flush(net); /* what it has collected points into the outbox */
    outbox->count = 0;
    outbox->used = 0;
}

struct outbox *net_outbox(struct net *net)
{
    return &net->outbox;
}

bool net_turn(struct net *net)
{
    bool all_told = true;

    for (unsigned round = 0; round < ROUNDS_PER_TURN; round++) {
        if (net->outbox.count > 0)
            net_send_all(&net->outbox, net);
        gather_flush(net);
        conns_end_closing(net);
        if (list_empty(&net->reports) && (list_empty(&net->lost) || !all_told))
            break;
        reports_tell(net);
        all_told = conns_tell_lost(net);
    }
    gather_flush(net);
    conns_bury(net);
    return net->outbox.count > 0 || !list_empty(&net->reports) || !list_empty(&net->closing) ||
           (all_told && !list_empty(&net->lost));
}

/* Another worker's message for a connection of ours, an alias, or an address that refuses
 * datagrams. */
static void on_letter(void *user, const struct letter *letter)
{
    struct net *net = user;
    struct flow to;
    struct slice rest = letter->body;

    uint32_t host_len;

    assert(rest.len >= sizeof to);
    memcpy(&to, slice_take(&rest, sizeof to).data, sizeof to);
    net->counters.letters_received++;
    if (to.transport == TRANSPORT_UDP) {
        udp_not_heard(net, &to.remote);
        return;
    }
    if (rest.len == 0) { /* of a message there is always something */
        alias_learn(net, &to);
        return;
    }
    assert(rest.len >= sizeof host_len);
    memcpy(&host_len, slice_take(&rest, sizeof host_len).data, sizeof host_len);
    assert(rest.len >= host_len);
    struct slice host = slice_take(&rest, host_len);
    if (host.len > 0)
        net_name_host(net, to.name, host);
    stream_send(net, &to, rest);
}

/* --- Opening and closing --------------------------------------------------------------------- */

static enum err open_sockets(struct net *net)
{
    for (uint32_t i = 0; i < net->config.listener_count; i++) {
        uint8_t listener = (uint8_t)i;
        int fd = net_sockets_take(net->config.sockets, i, loop_worker(net->loop));
        assert(fd >= 0);
        enum err err = net->config.listeners[i].transport == TRANSPORT_UDP
                           ? udp_open(net, listener, fd)
                           : tcp_listen(net, listener, fd);
        if (err)
            return err;
    }
    return OK;
}

size_t net_memory_max(const struct net_limits *limits)
{
    return sizeof(struct net) + OUTBOX_BYTES + gather_memory() + limits->memory_max +
           limits->tls_memory_max + map_memory_max(0, NET_NAMES_MAX) + limits->ws_memory_max +
           ws_worker_memory() + udp_buffers_memory() + conns_memory_max(limits);
}

enum err net_open(const struct net_config *config, struct net **out)
{
    struct net *net = calloc(1, sizeof *net);
    if (net == NULL)
        return ERR_MEMORY;
    net->config = *config;
    net->loop = config->loop;
    net->local_fd[0] = net->local_fd[1] = -1;
    list_init(&net->reports);
    list_init(&net->lost);
    mem_init(&net->mem, config->limits.memory_max);
    net->outbox.flush = net_send_all;
    net->outbox.user = net;
    net->outbox.buffer = malloc(OUTBOX_BYTES);

    enum err err = net->outbox.buffer != NULL ? conns_open(net) : ERR_MEMORY;
    if (err == OK)
        err = gather_open(net);
    if (err == OK)
        err = names_open(&net->names, &net->mem, NET_NAMES_MAX);
    if (err == OK)
        err = tls_worker_open(&net->tls);
    struct ws_config ws = {&net->mem, net->config.ws, net->config.limits.ws_memory_max};
    if (err == OK)
        err = ws_worker_open(&ws, &net->ws);
    if (err == OK)
        err = udp_buffers_open(net);
    if (err == OK)
        err = open_sockets(net);
    if (err) {
        net_close(net);
        return err;
    }
    loop_on_letter(net->loop, LETTER_NET, on_letter, net);
    *out = net;
    return OK;
}

void net_close(struct net *net)
{
    if (net == NULL)
        return;
    tcp_stop(net);
    conns_close(net);
    gather_close(net);
    tls_worker_close(net->tls);
    ws_worker_close(net->ws);
    names_close(&net->names);
    for (uint32_t i = 0; i < net->config.listener_count; i++)
        udp_close(net, (uint8_t)i);
    udp_buffers_close(net);
    for (size_t i = 0; i < COUNT_OF(net->local_fd); i++)
        if (net->local_fd[i] >= 0)
            close(net->local_fd[i]);
    for (struct list *node = list_pop(&net->reports); node != NULL;
         node = list_pop(&net->reports)) {
        struct report *report = CONTAINER_OF(node, struct report, node);
        mem_free(&net->mem, report, sizeof *report + report->len);
    }
    mem_release(&net->mem);
    free(net->outbox.buffer);
    free(net);
}

void net_set_tls(struct net *net, const struct tls *tls)
{
    tls_worker_set(net->tls, tls);
}

void net_name_host(struct net *net, uint64_t name, struct slice host)
{
    names_learn(&net->names, name, host);
}

void net_stop_listening(struct net *net)
{
    net->stopped = true;
    tcp_stop(net);
}

void net_counters(const struct net *net, struct net_counters *out)
{
    const struct ws_counters *ws = ws_worker_counters(net->ws);

    *out = net->counters;
    out->upgraded = ws->upgraded;
    out->refused[NET_R_ORIGIN] = ws->origins;
    out->refused[NET_R_MEMORY] += ws->memory_denied;
    out->refused[NET_R_WRITE_QUEUE] += ws->own_full;
    out->connections = net->conns.count;
    out->tls_connections = net->tls_connections;
    out->handshaking = net->handshaking;
    out->memory_used = net->mem.used_bytes;
}
