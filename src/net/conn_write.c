/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent by a connection: written at once, or queued until the socket takes it; and of a peer
 * who has said nothing yet, kept until he does.
 */
#include "net/conn.h"

#include <stdlib.h>

#include "base/hash.h"

/* --- The queue ------------------------------------------------------------------------------- */

static void chunk_free(struct net *net, struct out_chunk *chunk)
{
    mem_free(&net->mem, chunk, sizeof *chunk + chunk->len);
}

/* Everything in the queue has failed. */
void conn_drop_queue(struct conn *conn)
{
    struct net *net = conn->net;

    for (struct list *node = list_pop(&conn->out); node != NULL; node = list_pop(&conn->out)) {
        struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        if (chunk->len > 2) /* not a pong */
            net_report_failed(net, NET_R_NO_CONNECTION, bytes_of(chunk->bytes, chunk->len));
        chunk_free(net, chunk);
    }
    conn->out_bytes = 0;
}

/* A message has come: what was sent before has arrived. */
void conn_forget_unheard(struct conn *conn)
{
    struct list *list = &conn->unheard;

    for (struct list *node = list_pop(list); node != NULL; node = list_pop(list))
        chunk_free(conn->net, CONTAINER_OF(node, struct out_chunk, node));
    conn->unheard_bytes = 0;
}

/*
 * Who sends to an address does not know by which connection it goes: until the peer has said
 * something, only we can tell him that it is lost. So a request that was written is kept, its
 * beginning at least. True: the chunk is ours now.
 */
static bool conn_keep_unheard(struct conn *conn, struct out_chunk *chunk)
{
    struct slice bytes = {chunk->bytes, chunk->len};

    if (!(conn->outgoing || conn->aliased) || slice_starts_with(bytes, SLICE("SIP/2.0 ")) ||
        bytes.len <= 2)
        return false;
    if (conn->unheard_bytes + chunk->len > UNHEARD_BYTES_MAX)
        return false;
    list_push(&conn->unheard, &chunk->node);
    conn->unheard_bytes += chunk->len;
    return true;
}

void conn_fail_unheard(struct conn *conn)
{
    for (struct list *node = conn->unheard.next; node != &conn->unheard; node = node->next) {
        const struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        net_report_failed(conn->net, NET_R_NO_CONNECTION, bytes_of(chunk->bytes, chunk->len));
    }
    conn_forget_unheard(conn);
}

/* --- Writing --------------------------------------------------------------------------------- */

static uint64_t remote_hash(const struct net *net, const struct flow *to)
{
    struct slice remote = bytes_of(&to->remote, sizeof to->remote);
    return hash_bytes(net->config.hash_seed + to->transport, remote) ^ to->name;
}

/* Keeps a message (of which `sent` bytes are out) until the socket takes it. `begun`: a filter has
 * already made something of its bytes. */
static void conn_queue(struct conn *conn, struct slice bytes, size_t sent, bool begun)
{
    struct net *net = conn->net;
    bool fits = bytes.len <= net->config.limits.write_queue_bytes &&
                conn->out_bytes <= net->config.limits.write_queue_bytes - bytes.len;
    struct out_chunk *chunk = NULL;

    if (fits && sizeof *chunk + bytes.len <= MEM_MAX_ALLOC)
        chunk = mem_alloc(&net->mem, sizeof *chunk + bytes.len);
    if (chunk == NULL) {
        net_report_failed(net, fits ? NET_R_MEMORY : NET_R_WRITE_QUEUE, bytes);
        if (sent > 0 || begun)
            conn_lose(conn, NET_R_MEMORY); /* half a message is out */
        return;
    }
    *chunk = (struct out_chunk){.len = (uint32_t)bytes.len, .sent = (uint32_t)sent};
    memcpy(chunk->bytes, bytes.data, bytes.len);
    if (conn->out_bytes == 0)
        conn->stalled_ms = conn_now_ms(conn);
    list_push(&conn->out, &chunk->node);
    conn->out_bytes += (uint32_t)bytes.len;
    conn_watch(conn);
    conn_arm(conn);
}

/* As conn_keep_unheard(), for a message that went out at once. Without memory it is not kept. */
static void conn_remember(struct conn *conn, struct slice bytes)
{
    size_t len = bytes.len < REPORT_BYTES_MAX ? bytes.len : REPORT_BYTES_MAX;
    struct out_chunk *chunk = mem_alloc(&conn->net->mem, sizeof *chunk + len);
    if (chunk == NULL)
        return;
    *chunk = (struct out_chunk){.len = (uint32_t)len};
    memcpy(chunk->bytes, bytes.data, len);
    if (!conn_keep_unheard(conn, chunk))
        chunk_free(conn->net, chunk);
}

/* A message that no filter has seen yet. */
static void conn_send_later(struct conn *conn, struct slice bytes)
{
    if (conn->state == CONN_DEAD || conn->state == CONN_ENDED)
        net_report_failed(conn->net, NET_R_NO_CONNECTION, bytes);
    else
        conn_queue(conn, bytes, 0, false);
}

/* Of these messages, written as one, `sent` bytes are out; the rest is kept. `begun`: a filter has
 * already made something of all of them. */
static void conn_wrote(struct conn *conn, const struct slice *messages, size_t count, size_t sent,
                       bool begun)
{
    for (size_t i = 0; i < count; i++) {
        size_t part = sent < messages[i].len ? sent : messages[i].len;
        sent -= part;
        if (conn->state == CONN_DEAD)
            net_report_failed(conn->net, NET_R_NO_CONNECTION, messages[i]);
        else if (part < messages[i].len)
            conn_queue(conn, messages[i], part, begun || part > 0);
        else if (conn->outgoing || conn->aliased)
            conn_remember(conn, messages[i]);
    }
}

/* Puts slices one behind the other; a single one stays where it is. */
static struct slice join(struct net *net, const struct slice *parts, size_t count)
{
    size_t len = 0;

    if (count == 1)
        return parts[0];
    for (size_t i = 0; i < count; i++) {
        assert(parts[i].len <= JOIN_BYTES - len);
        memcpy(net->join_buffer + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    return bytes_of(net->join_buffer, len);
}

/* Writes messages as one. */
static void conn_write_all(struct conn *conn, const struct slice *messages, size_t count)
{
    struct net *net = conn->net;
    size_t sent = 0;

    net->counters.stream_writes++;
    switch (conn->filter->ops->write(conn->filter, join(net, messages, count), &sent)) {
    case IO_DONE:
        conn->active_ms = conn_now_ms(conn);
        conn_wrote(conn, messages, count, sent, false);
        return;
    case IO_AGAIN:
        conn_wrote(conn, messages, count, 0, conn->filter != &conn->tcp.filter);
        return;
    case IO_END:
    case IO_BROKEN:
    case IO_FAULT:
        conn_lose(conn, NET_R_RESET);
        conn_wrote(conn, messages, count, 0, false);
        return;
    }
}

void conn_send_all(struct conn *conn, const struct slice *messages, size_t count)
{
    struct net *net = conn->net;
    /* A connection may have died with what was sent before in this turn, and its filters with it.
     */
    bool frames = conn->state != CONN_DEAD && conn->filter->ops->frames;
    size_t most = frames ? 1 : count; /* one write is one of its messages */

    for (size_t i = 0; i < count; i++) {
        net->counters.stream_sent++;
        net->counters.bytes_sent += messages[i].len;
    }
    for (size_t done = 0; done < count; done += most) {
        bool writes = (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) && conn->ready;
        if (writes && conn->out_bytes == 0) {
            conn_write_all(conn, messages + done, most);
            continue;
        }
        for (size_t i = 0; i < most; i++)
            conn_send_later(conn, messages[done + i]);
    }
}

void conn_send(struct conn *conn, struct slice bytes)
{
    conn_send_all(conn, &bytes, 1);
}

/*
 * As much of the queue as may be written at once. What a filter has answered IO_AGAIN to comes
 * first again, with nothing missing: the messages are joined by the rule of gather.c.
 */
static struct slice conn_queued(const struct conn *conn)
{
    struct slice parts[JOIN_MESSAGES];
    size_t bytes = 0, count = 0;
    size_t most = conn->filter->ops->frames ? 1 : JOIN_MESSAGES;

    for (struct list *node = conn->out.next; count < most && node != &conn->out;
         node = node->next) {
        const struct out_chunk *chunk = CONTAINER_OF(node, struct out_chunk, node);
        size_t len = chunk->len - chunk->sent;
        if (count > 0 && len > JOIN_BYTES - bytes)
            break;
        parts[count++] = bytes_of(chunk->bytes + chunk->sent, len);
        if (len > JOIN_BYTES)
            break;
        bytes += len;
    }
    return join(conn->net, parts, count);
}

/* `sent` bytes of the queue are out. */
static void conn_dequeue(struct conn *conn, size_t sent)
{
    while (sent > 0) {
        struct out_chunk *chunk = CONTAINER_OF(conn->out.next, struct out_chunk, node);
        size_t left = chunk->len - chunk->sent;
        size_t part = sent < left ? sent : left;
        sent -= part;
        chunk->sent += (uint32_t)part;
        if (chunk->sent < chunk->len)
            return;
        conn->out_bytes -= chunk->len;
        list_remove(&chunk->node);
        if (!conn_keep_unheard(conn, chunk))
            chunk_free(conn->net, chunk);
    }
}

/* Writes what is queued, as far as the socket takes it. */
void conn_writable(struct conn *conn)
{
    while (!list_empty(&conn->out)) {
        size_t sent = 0;
        conn->net->counters.stream_writes++;
        enum io io = conn->filter->ops->write(conn->filter, conn_queued(conn), &sent);
        if (io == IO_AGAIN)
            break;
        if (io != IO_DONE) {
            conn_lose(conn, NET_R_RESET);
            return;
        }
        conn->active_ms = conn->stalled_ms = conn_now_ms(conn);
        conn_dequeue(conn, sent);
    }
    if (conn->out_bytes == 0 && conn->state == CONN_CLOSING)
        conn_end(conn);
    conn_watch(conn);
}

/* The outgoing connection to `to`, there or to be made by this worker. */
static struct conn *conn_towards(struct net *net, const struct flow *to, uint64_t hash)
{
    for (struct map_node *n = map_first(&net->by_remote, hash); n != NULL; n = map_next(n)) {
        struct conn *conn = CONTAINER_OF(n, struct conn, by_remote);
        bool usable = conn->state == CONN_CONNECTING || conn->state == CONN_OPEN;
        if (usable && addr_equal(&conn->flow.remote, &to->remote) &&
            conn->flow.transport == to->transport && conn->flow.name == to->name)
            return conn;
    }
    return conn_connect(net, to, hash);
}

/* Gives a message to the worker that owns the connection. */
static void stream_hand_over(struct net *net, unsigned worker, const struct flow *to,
                             struct slice bytes)
{
    struct slice host = names_find(&net->names, to->name);
    uint32_t host_len = (uint32_t)host.len;
    struct slice parts[] = {bytes_of(to, sizeof *to), bytes_of(&host_len, sizeof host_len), host,
                            bytes};

    if (worker < loop_workers(net->loop) &&
        loop_post(net->loop, worker, MAILBOX_ORDINARY, LETTER_NET, parts, COUNT_OF(parts)))
        net->counters.letters_sent++;
    else
        net_report_failed(net, NET_R_MAILBOX, bytes);
}

/* Sends by any connection to the remote address: that of the worker which its hash names. */
static void stream_send_to(struct net *net, const struct flow *to, struct slice bytes)
{
    uint64_t hash = remote_hash(net, to);
    unsigned owner = (unsigned)(hash % loop_workers(net->loop));
    struct flow elsewhere = *to;

    elsewhere.conn = (struct conn_id){0};
    elsewhere.flags = FLOW_NO_ALIAS;
    if (owner != loop_worker(net->loop)) {
        stream_hand_over(net, owner, &elsewhere, bytes);
        return;
    }
    struct conn *conn = NULL;
    bool callable = to->transport == TRANSPORT_TCP || to->transport == TRANSPORT_TLS;
    if (callable && to->remote.family != ADDR_NONE && to->remote.port != 0)
        conn = conn_towards(net, &elsewhere, hash);
    if (conn != NULL)
        gather_add(conn, bytes);
    else
        net_report_failed(net, NET_R_NO_CONNECTION, bytes);
}

void stream_send(struct net *net, const struct flow *to, struct slice bytes)
{
    if (flow_has_conn(to)) {
        if (to->conn.worker != loop_worker(net->loop)) {
            stream_hand_over(net, to->conn.worker, to, bytes);
            return;
        }
        struct conn *conn = pool_get(&net->conns, to->conn.id);
        bool usable = conn != NULL && conn->state != CONN_DEAD && conn->state != CONN_ENDED;
        if ((to->flags & FLOW_ALIAS) != 0)
            usable = usable && conn->state == CONN_OPEN && alias_holds(conn, to->name, &to->remote);
        if (usable) {
            gather_add(conn, bytes);
            return;
        }
    }
    if ((to->flags & FLOW_ONLY_CONN) != 0) {
        net_report_failed(net, NET_R_NO_CONNECTION, bytes);
        return;
    }
    struct flow alias = *to;
    alias.flags = FLOW_ALIAS;
    if (to->transport == TRANSPORT_TLS && (to->flags & (FLOW_ALIAS | FLOW_NO_ALIAS)) == 0 &&
        alias_find(net, &to->remote, &alias.conn))
        stream_send(net, &alias, bytes);
    else
        stream_send_to(net, to, bytes);
}
