/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/flows - bindings whose connection is gone are kept, marked, and not tried.
 *
 * Each worker remembers, for the AORs it owns, which connection a binding came by; when
 * a connection is lost its worker tells all, and each marks what it owns. A flow at an edge is
 * gone when the edge says so (430), a flow of datagrams when the phone's host says that nobody
 * listens there (ICMP, RFC 5626 §7): who hears it tells the AOR's owner.
 *
 * Both are believed, as they quote the branch of our request, which nobody guesses. What is marked
 * is the registration that the request was sent by: one that has come since is another. A phone
 * that registers no flows is left as it is (RFC 3261 §16.9): it would not notice, and not come back
 * before its registration ends; to ask it again costs nothing that matters.
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

/* --- Flows that others know of ---------------------------------------------------------------- */

/** A registration whose flow is gone. */
struct failed_flow {
    uint64_t aor_hash, name;
};

struct name_search {
    const struct core *core;
    uint64_t name;
};

uint64_t flows_name(const struct core *core, const struct binding *binding)
{
    const struct hash_key *key = &core->config.token_key;
    bool by_datagrams = binding->reg_id != 0 && binding->flow.transport == TRANSPORT_UDP;

    if (binding->path.len == 0 && !by_datagrams)
        return 0;
    const uint64_t parts[] = {hash_mac(key, binding->path), hash_mac(key, binding->contact),
                              hash_mac(key, binding->instance), binding->reg_id,
                              binding->registered_ms};
    uint64_t name = hash_mac(key, (struct slice){(const char *)parts, sizeof parts});

    return name != 0 ? name : 1;
}

static bool is_named(const void *user, const struct binding *binding)
{
    const struct name_search *search = user;
    return flows_name(search->core, binding) == search->name;
}

static void mark_failed(struct core *core, const struct failed_flow *flow)
{
    const struct table_ops *table = &core->config.location;
    struct name_search search = {core, flow->name};
    bool changed = false;
    struct slice aor, marked;
    struct slice block = table->find_hash(table->user, flow->aor_hash, &aor);

    if (block.len > 0 &&
        registrar_mark(block, REGISTRAR_FLOW_LOST, is_named, &search, &core->scratch, &marked,
                       &changed) == OK &&
        changed)
        put_marked(core, aor, flow->aor_hash, marked);
}

void flows_failed(void *user, uint64_t aor_hash, uint64_t name)
{
    struct core *core = user;
    struct failed_flow flow = {aor_hash, name};
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
    struct failed_flow flow;

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
