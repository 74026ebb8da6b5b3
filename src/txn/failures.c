/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport errors (RFC 3261 §17.1.4): lost connections and bytes that were not delivered.
 *
 * When a connection is lost, the client transactions that wait on it fail and nobody else is looked
 * at: a watch lists them, and is there only while somebody waits. Failures come with the wheel's
 * next run, because the errors may be found while something is being sent.
 *
 * A response has a way back without its connection (RFC 3261 §18.2.2), but not to a browser: what
 * an INVITE by WebSocket has set ringing is given up with its connection.
 */
#include "txn/ict.h"
#include "txn/table.h"

static bool same_conn(struct conn_id a, struct conn_id b)
{
    return a.worker == b.worker && id_equal(a.id, b.id);
}

static uint64_t conn_hash(const struct txn_table *table, struct conn_id conn)
{
    uint32_t words[3] = {conn.worker, conn.id.slot, conn.id.generation};
    return hash_bytes(table->config.hash_seed, (struct slice){(const char *)words, sizeof words});
}

static struct watch *watch_find(const struct txn_table *table, struct conn_id conn, uint64_t hash)
{
    struct map_node *node = map_first(&table->watches, hash);

    for (; node != NULL; node = map_next(node)) {
        struct watch *watch = CONTAINER_OF(node, struct watch, node);
        if (same_conn(watch->conn, conn))
            return watch;
    }
    return NULL;
}

/* That of a connection, made if there is none; NULL: out of memory. */
static struct watch *watch_get(struct txn_table *table, struct conn_id conn)
{
    uint64_t hash = conn_hash(table, conn);
    struct watch *watch = watch_find(table, conn, hash);

    if (watch != NULL)
        return watch;
    watch = mem_alloc(table->config.mem, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->conn = conn;
    list_init(&watch->clients);
    list_init(&watch->servers);
    map_add(&table->watches, &watch->node, hash);
    return watch;
}

static void watch_free_if_idle(struct txn_table *table, struct watch *watch)
{
    if (!list_empty(&watch->clients) || !list_empty(&watch->servers))
        return;
    map_remove(&table->watches, &watch->node);
    mem_free(table->config.mem, watch, sizeof *watch);
}

enum err watch_add(struct client *client, struct conn_id conn)
{
    struct watch *watch = watch_get(client->table, conn);

    assert(client->watch == NULL);
    if (watch == NULL)
        return ERR_MEMORY;
    client->watch = watch;
    list_push(&watch->clients, &client->by_watch);
    return OK;
}

void watch_remove(struct client *client)
{
    struct txn_table *table = client->table;
    struct watch *watch = client->watch;

    if (watch == NULL)
        return;
    client->watch = NULL;
    list_remove(&client->by_watch);
    watch_free_if_idle(table, watch);
}

void watch_server(struct server *server)
{
    uint8_t transport = server->source.transport;
    bool by_websocket = transport == TRANSPORT_WS || transport == TRANSPORT_WSS;
    struct watch *watch = NULL;

    if (by_websocket && server_is_invite(server))
        watch = watch_get(server->table, server->source.conn);
    if (watch != NULL)
        list_push(&watch->servers, &server->by_watch);
}

void unwatch_server(struct server *server)
{
    struct txn_table *table = server->table;
    struct conn_id conn = server->source.conn;

    if (server->by_watch.next == NULL)
        return;
    list_remove(&server->by_watch);
    struct watch *watch = watch_find(table, conn, conn_hash(table, conn));
    if (watch != NULL) /* else its connection is lost, just now */
        watch_free_if_idle(table, watch);
}

/* Any of them may end, and take itself off the list, while the user hears of one. */
static void tell_callers_lost(struct txn_table *table, struct list *servers, uint64_t now_ms)
{
    const struct txn_user *user = &table->config.handlers;
    struct list *node;

    while ((node = list_pop(servers)) != NULL) {
        const struct server *server = CONTAINER_OF(node, struct server, by_watch);
        if (user->on_caller_lost != NULL)
            user->on_caller_lost(user->user, server->id, now_ms);
    }
}

void txn_conn_lost(struct txn_table *table, struct conn_id conn, uint64_t now_ms)
{
    struct watch *watch = watch_find(table, conn, conn_hash(table, conn));
    struct list servers, *node;

    if (watch == NULL)
        return;
    for (struct list *at = watch->clients.next; at != &watch->clients; at = at->next) {
        struct client *client = CONTAINER_OF(at, struct client, by_watch);
        client->conn_lost = true;
        timer_start(table->config.wheel, &client->timer, now_ms);
    }
    list_init(&servers);
    while ((node = list_pop(&watch->servers)) != NULL)
        list_push(&servers, node);
    watch_free_if_idle(table, watch);
    tell_callers_lost(table, &servers, now_ms);
}

/* ---- bytes that were not delivered ---- */

/* The next line of `*rest`, without its end; a last one that was cut off counts. */
static struct slice line_next(struct slice *rest)
{
    size_t end = slice_find(*rest, '\n');
    struct slice line = slice_take(rest, end == SIZE_MAX ? rest->len : end);

    if (rest->len > 0)
        slice_take(rest, 1);
    return slice_trim(line);
}

/*
 * The value of the topmost Via of a message that may be cut off anywhere; empty: none. We wrote it,
 * in one line; all other lines, and how they are folded, are a stranger's.
 */
static struct slice top_via(struct slice rest)
{
    while (rest.len > 0) {
        bool folded = rest.data[0] == ' ' || rest.data[0] == '\t';
        struct slice line = line_next(&rest);
        if (line.len == 0 && !folded)
            break; /* the body */
        size_t colon = slice_find(line, ':');
        if (folded || colon == SIZE_MAX)
            continue;
        struct slice name = slice_trim((struct slice){line.data, colon});
        if (slice_equal_nocase(name, SLICE("Via")) || slice_equal_nocase(name, SLICE("v")))
            return slice_from(line, colon + 1);
    }
    return SLICE_EMPTY;
}

static bool find_branch(struct slice via, struct txn_branch *out)
{
    static const char name[] = "branch=";

    if (via.len == 0)
        return false;
    const char *at = memmem(via.data, via.len, name, sizeof name - 1);
    if (at == NULL)
        return false;
    struct slice rest = slice_from(via, (size_t)(at - via.data) + sizeof name - 1);
    if (rest.len < TXN_BRANCH_LEN)
        return false;
    return txn_branch_parse((struct slice){rest.data, TXN_BRANCH_LEN}, out);
}

/* An INVITE's ACK matters once there is one; an old copy of the INVITE then not any more. */
static bool is_what_was_sent(const struct client *client, enum sip_method method)
{
    if (client->state == ICT_NONE)
        return false;
    if (client->method == SIP_INVITE && client->state == ICT_COMPLETED)
        return method == SIP_ACK;
    return method == client->method;
}

bool txn_sent_branch(struct slice sent, struct txn_branch *out)
{
    struct slice rest = sent;

    if (slice_starts_with(sent, SLICE("SIP/")))
        return false;
    line_next(&rest);
    return find_branch(top_via(rest), out);
}

void txn_send_failed(struct txn_table *table, struct slice sent, bool closed, uint64_t now_ms)
{
    struct txn_branch branch;
    size_t space = slice_find(sent, ' ');

    if (space == SIZE_MAX || !txn_sent_branch(sent, &branch))
        return; /* a response changes no state (RFC 6026 §8.8) */
    enum sip_method method = sip_method_parse((struct slice){sent.data, space});

    struct client *client = client_get(table, branch.id);
    if (client == NULL || branch.boot != table->config.boot ||
        branch.worker != table->config.worker || client->key != branch.key)
        return;
    if (method == SIP_CANCEL && client->method == SIP_INVITE) {
        cancel_stop(client);
        client_arm(client);
    } else if (is_what_was_sent(client, method)) {
        client->undelivered = true;
        client->closed = closed;
        timer_start(table->config.wheel, &client->timer, now_ms);
    }
}
