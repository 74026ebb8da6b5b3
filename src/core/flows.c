/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/flows - bindings whose connection is gone are kept, marked, and not tried.
 *
 * Each worker remembers, for the AORs it owns, which connection a binding came by; when
 * a connection is lost its worker tells all, and each marks what it owns. A flow at an edge is
 * gone when the edge says so (430): who hears it tells the AOR's owner.
 */
#include "core/internal.h"

static uint64_t conn_hash(struct conn_id conn)
{
    uint64_t h =
        ((uint64_t)conn.id.generation << 32) ^ ((uint64_t)conn.worker << 24) ^ conn.id.slot;
    return h * UINT64_C(0x9e3779b97f4a7c15);
}

static bool same_conn(struct conn_id a, struct conn_id b)
{
    return a.worker == b.worker && id_equal(a.id, b.id);
}

bool flows_known(const struct core *core, struct conn_id conn, uint64_t aor_hash)
{
    for (struct map_node *node = map_first(&core->conn_bindings, conn_hash(conn)); node != NULL;
         node = map_next(node)) {
        const struct conn_binding *known = CONTAINER_OF(node, struct conn_binding, node);
        if (known->aor_hash == aor_hash && same_conn(known->conn, conn))
            return true;
    }
    return false;
}

void flows_add(struct core *core, const struct flow *flow, uint64_t aor_hash)
{
    if (!flow_has_conn(flow) || flows_known(core, flow->conn, aor_hash))
        return;

    uint64_t hash = conn_hash(flow->conn);
    struct conn_binding *binding = mem_alloc(&core->mem, sizeof *binding);
    if (binding == NULL)
        return; /* then the binding is tried once more, and fails at once */
    binding->conn = flow->conn;
    binding->aor_hash = aor_hash;
    map_add(&core->conn_bindings, &binding->node, hash);
}

static void put_marked(struct core *core, struct slice aor, uint64_t aor_hash, struct slice marked)
{
    if (location_put(core, aor, aor_hash, marked) != OK)
        core_count(core, CORE_R_MEMORY);
}

static void mark_lost(struct core *core, uint64_t aor_hash, struct conn_id conn)
{
    const struct table_ops *table = &core->config.location;
    struct slice aor;
    struct slice block = table->find_hash(table->user, aor_hash, &aor);
    if (block.len == 0)
        return;

    bool changed = false;
    struct slice marked;
    arena_reset(&core->scratch);
    if (registrar_flow_lost(block, conn, &core->scratch, &marked, &changed) == OK && changed)
        put_marked(core, aor, aor_hash, marked);
}

/* --- Flows at an edge ------------------------------------------------------------------------ */

/** The binding that an edge has given up. */
struct edge_flow {
    uint64_t aor_hash, edge;
};

struct edge_search {
    const struct core *core;
    uint64_t edge;
};

uint64_t flows_edge(const struct core *core, const struct binding *binding)
{
    uint64_t path = hash_mac(&core->config.token_key, binding->path);
    uint64_t edge = path + 3 * hash_mac(&core->config.token_key, binding->contact);

    return edge != 0 ? edge : 1;
}

static bool is_behind(const void *user, const struct binding *binding)
{
    const struct edge_search *search = user;
    return binding->path.len > 0 && flows_edge(search->core, binding) == search->edge;
}

static void mark_failed(struct core *core, const struct edge_flow *flow)
{
    const struct table_ops *table = &core->config.location;
    struct edge_search search = {core, flow->edge};
    bool changed = false;
    struct slice aor, marked;
    struct slice block = table->find_hash(table->user, flow->aor_hash, &aor);

    if (block.len > 0 &&
        registrar_mark_lost(block, is_behind, &search, &core->scratch, &marked, &changed) == OK &&
        changed)
        put_marked(core, aor, flow->aor_hash, marked);
}

void flows_failed(void *user, uint64_t aor_hash, uint64_t edge)
{
    struct core *core = user;
    struct edge_flow flow = {aor_hash, edge};
    struct core_mail mail = {.kind = CORE_MAIL_FLOW_FAILED,
                             .from = (uint16_t)core->config.worker,
                             .bytes = {(const char *)&flow, sizeof flow}};

    if (owns_aor(core, aor_hash))
        mark_failed(core, &flow);
    else if (!core->config.ops.post(core->config.ops.user,
                                    table_owner(aor_hash, core->config.workers), &mail))
        core_count(core, CORE_R_MAILBOX); /* the next call finds it out anew */
}

void flows_mail(struct core *core, const struct core_mail *mail)
{
    struct edge_flow flow;

    assert(mail->bytes.len == sizeof flow);
    memcpy(&flow, mail->bytes.data, sizeof flow);
    arena_reset(&core->scratch);
    mark_failed(core, &flow);
}

/* --- Connections ----------------------------------------------------------------------------- */

void flows_lost(struct core *core, struct conn_id conn)
{
    uint64_t hash = conn_hash(conn);
    struct map_node *node = map_first(&core->conn_bindings, hash);

    while (node != NULL) {
        struct conn_binding *binding = CONTAINER_OF(node, struct conn_binding, node);
        node = map_next(node);
        if (!same_conn(binding->conn, conn))
            continue;
        map_remove(&core->conn_bindings, &binding->node);
        mark_lost(core, binding->aor_hash, conn);
        mem_free(&core->mem, binding, sizeof *binding);
    }
}

void flows_close(struct core *core)
{
    size_t cursor = 0;
    struct map_node *node;

    while ((node = map_walk(&core->conn_bindings, &cursor)) != NULL) {
        struct conn_binding *binding = CONTAINER_OF(node, struct conn_binding, node);
        map_remove(&core->conn_bindings, node);
        mem_free(&core->mem, binding, sizeof *binding);
    }
    map_release(&core->conn_bindings);
}
