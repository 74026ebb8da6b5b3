/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table: opening, closing, counting. Requests are in server.c and match.c, responses of ours
 * in respond.c, what we send in client.c, cancel.c and failures.c, branches in branch.c.
 */
#include "txn/txn.h"

#include "txn/table.h"

enum {
    MAP_INITIAL = 1024,
    WATCHES_INITIAL = 64,
    TRANSACTIONS_LIMIT = 1 << 24,
    WORKERS_MAX = 256
};

enum err txn_table_open(const struct txn_config *config, struct txn_table **out)
{
    assert(config->worker < WORKERS_MAX);
    assert(config->transactions_max > 0);
    assert(config->transactions_max <= TRANSACTIONS_LIMIT);
    assert(config->is_our_sent_by != NULL);
    assert(config->handlers.on_response != NULL);
    assert(config->handlers.on_failure != NULL);
    assert(config->handlers.on_server_end != NULL);
    assert(config->handlers.on_client_end != NULL);

    struct txn_table *table = mem_zalloc(config->mem, sizeof *table);
    if (table == NULL)
        return ERR_MEMORY;
    table->config = *config;

    enum err err =
        pool_init(&table->servers, config->mem, sizeof(struct server), config->transactions_max);
    if (err)
        goto free_table;
    err = pool_init(&table->clients, config->mem, sizeof(struct client), config->transactions_max);
    if (err)
        goto release_servers;
    err = map_init(&table->by_key, MAP_INITIAL);
    if (err)
        goto release_clients;
    err = map_init(&table->by_call, MAP_INITIAL);
    if (err)
        goto release_by_key;
    err = map_init(&table->watches, WATCHES_INITIAL);
    if (err)
        goto release_by_call;
    *out = table;
    return OK;

release_by_call:
    map_release(&table->by_call);
release_by_key:
    map_release(&table->by_key);
release_clients:
    pool_release(&table->clients);
release_servers:
    pool_release(&table->servers);
free_table:
    mem_free(config->mem, table, sizeof *table);
    return err;
}

void txn_table_close(struct txn_table *table)
{
    struct id id;
    void *object;

    if (table == NULL)
        return;
    for (uint32_t at = 0; (object = pool_next(&table->servers, &at, &id)) != NULL;)
        server_free(object);
    for (uint32_t at = 0; (object = pool_next(&table->clients, &at, &id)) != NULL;)
        client_free(object);
    assert(table->watches.count == 0);
    map_release(&table->watches);
    map_release(&table->by_call);
    map_release(&table->by_key);
    pool_release(&table->clients);
    pool_release(&table->servers);
    mem_free(table->config.mem, table, sizeof *table);
}

const struct txn_counters *txn_counters(const struct txn_table *table)
{
    return &table->counters;
}

uint32_t txn_count(const struct txn_table *table)
{
    return table->servers.count + table->clients.count;
}

uint32_t txn_pending(const struct txn_table *table)
{
    return table->pending;
}

size_t txn_memory_max(uint32_t transactions_max)
{
    return 2 * pool_memory(transactions_max) + 2 * map_memory_max(MAP_INITIAL, transactions_max) +
           map_memory_max(WATCHES_INITIAL, transactions_max);
}
