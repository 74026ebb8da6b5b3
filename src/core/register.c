/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/register - REGISTER from the stages to the journal and back.
 *
 * registrar/ says what a REGISTER makes of an AOR's bindings. Here the new set is made durable, and
 * only when its receipt is there it goes into the location table and the 200 goes out.
 * Until then further REGISTERs for the same AOR stand in line: each works on what the one before
 * has left, so nothing is half applied.
 */
#include "core/internal.h"

enum err register_open(struct core *core)
{
    enum err err = pool_init(&core->registrations, &core->mem, sizeof(struct registration),
                             core->config.registrations_max);
    if (err)
        return err;
    return map_init(&core->pending, REGISTERS_INITIAL);
}

static void registration_free(struct core *core, struct registration *reg)
{
    struct list *node;

    while ((node = list_pop(&reg->waiters)) != NULL)
        mem_free(&core->mem, node, sizeof(struct register_waiter));
    mem_free(&core->mem, reg->bytes, reg->byte_count);
    pool_free(&core->registrations, reg->id);
}

void register_close(struct core *core)
{
    uint32_t cursor = 0;
    struct id id;
    struct registration *reg;

    while ((reg = pool_next(&core->registrations, &cursor, &id)) != NULL)
        registration_free(core, reg);
    pool_release(&core->registrations);
    map_release(&core->pending);
}

/** The AOR key that To names, written to `b`. */
static bool to_key(const struct sip_msg *msg, struct sip_uri *to, struct builder *b)
{
    return sip_uri_parse(msg->to.uri_text, to) == OK &&
           (to->scheme == SIP_SCHEME_SIP || to->scheme == SIP_SCHEME_SIPS) && to->has_user &&
           registrar_aor_key(to, b) == OK;
}

const struct user *register_like(const struct core *core, const struct sip_msg *msg, bool *known)
{
    char text[256];
    struct builder b = builder_over(text, sizeof text);
    struct sip_uri to;

    *known = false;
    if (!to_key(msg, &to, &b))
        return NULL;
    *known = policy_user_by_name(core->policy, builder_slice(&b)) != NULL;
    return access_like(core, builder_slice(&b));
}

unsigned register_owner(const struct core *core, const struct sip_msg *msg)
{
    char text[1024];
    struct builder b = builder_over(text, sizeof text);
    struct sip_uri to;

    if (core->config.workers == 1 || !to_key(msg, &to, &b))
        return core->config.worker;
    return table_owner(core_aor_hash(&core->config, builder_slice(&b)), core->config.workers);
}

bool register_known(const struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    char text[1024];
    struct builder b = builder_over(text, sizeof text);
    struct sip_uri to;
    struct binding binding;
    uint32_t cursor = 0;

    if (!to_key(msg, &to, &b))
        return false;
    struct slice aor = builder_slice(&b);
    struct slice block = location_find(core, aor, core_aor_hash(&core->config, aor));
    while (block.len > 0 && binding_next(block, &cursor, &binding))
        if (addr_same_host(&binding.flow.remote, &source->remote))
            return true;
    return false;
}

/** The AOR hash of a REGISTER by a connection; false: it has none, or came otherwise. */
static bool conn_hash_of(const struct core *core, const struct request *r, uint64_t *hash)
{
    char text[1024];
    struct builder b = builder_over(text, sizeof text);
    struct sip_uri to;

    if (!flow_has_conn(r->source) || !to_key(r->msg, &to, &b) || b.overflow)
        return false;
    *hash = core_aor_hash(&core->config, builder_slice(&b));
    return true;
}

void register_watch_conn(struct core *core, const struct request *r)
{
    uint64_t hash;

    if (conn_hash_of(core, r, &hash))
        flows_add(core, r->source, hash);
}

bool register_lost_conn(const struct core *core, const struct request *r)
{
    uint64_t hash;

    return conn_hash_of(core, r, &hash) && !flows_known(core, r->source->conn, hash);
}

static void answer(struct core *core, struct id server, uint16_t status, struct slice reason,
                   struct slice fields)
{
    struct sip_reply reply = {.status = status, .reason = reason, .fields = fields};

    if (txn_reply(core->txns, server, &reply, core->now_ms) != OK)
        txn_server_drop(core->txns, server, core->now_ms);
}

static void count_bindings(struct core *core, uint32_t added, uint32_t refreshed, uint32_t removed)
{
    core->counters.registered += added;
    core->counters.refreshed += refreshed;
    core->counters.unregistered += removed;
}

/** The set is durable (or need not be): it becomes what everybody sees. */
static enum err publish(struct core *core, struct slice aor, uint64_t hash, struct slice block)
{
    const struct table_ops *table = &core->config.location;

    if (block.len == 0) {
        table->remove(table->user, aor, hash);
        return OK;
    }
    enum err err = location_put(core, aor, hash, block);
    if (err == OK && core->pushes.on)
        wake_registered(core, hash, block);
    return err;
}

static struct registration *find_pending(const struct core *core, struct slice aor, uint64_t hash)
{
    for (struct map_node *node = map_first(&core->pending, hash); node != NULL;
         node = map_next(node)) {
        struct registration *reg = CONTAINER_OF(node, struct registration, node);
        if (slice_equal(reg->aor, aor))
            return reg;
    }
    return NULL;
}

static enum verdict stand_in_line(struct core *core, struct request *r, struct registration *reg)
{
    if (reg->waiter_count == CORE_WAITERS_MAX)
        return refuse(core, r, CORE_R_FULL, 503, "Too many registrations under way", SLICE_EMPTY);

    struct register_waiter *waiter = mem_zalloc(&core->mem, sizeof *waiter);
    if (waiter == NULL)
        return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
    waiter->server = r->server;
    flows_add(core, r->source, reg->aor_hash);
    list_push(&reg->waiters, &waiter->node);
    reg->waiter_count++;
    return WAITING;
}

static struct slice keep(char **at, struct slice s)
{
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    struct slice kept = {*at, s.len};
    *at += s.len;
    return kept;
}

static struct registration *registration_new(struct core *core, struct request *r, struct slice aor,
                                             const struct registrar_result *result)
{
    struct id id;
    struct registration *reg = pool_alloc(&core->registrations, &id);
    if (reg == NULL)
        return NULL;

    size_t size = aor.len + result->fields.len + result->block.len + 1;
    char *bytes = size <= MEM_MAX_ALLOC ? mem_alloc(&core->mem, size) : NULL;
    if (bytes == NULL) {
        pool_free(&core->registrations, id);
        return NULL;
    }
    *reg = (struct registration){
        .id = id,
        .server = r->server,
        .bytes = bytes,
        .byte_count = size,
        .status = result->status,
        .added = result->added,
        .refreshed = result->refreshed,
        .removed = result->removed,
        .source = *r->source,
    };
    list_init(&reg->waiters);
    reg->aor = keep(&bytes, aor);
    reg->fields = keep(&bytes, result->fields);
    reg->block = keep(&bytes, result->block);
    return reg;
}

static enum verdict answer_result(struct core *core, struct request *r,
                                  const struct registrar_result *result)
{
    struct sip_reply reply = {
        .status = result->status, .reason = result->reason, .fields = result->fields};

    return answer_request(core, r, &reply);
}

/** Without a journal: at once. */
static enum verdict commit_now(struct core *core, struct request *r, struct slice aor,
                               uint64_t hash, const struct registrar_result *result)
{
    flows_add(core, r->source, hash);
    if (publish(core, aor, hash, result->block) != OK)
        return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
    count_bindings(core, result->added, result->refreshed, result->removed);
    limits_registered(core, &r->source->remote, result->block);
    return answer_result(core, r, result);
}

static enum verdict commit(struct core *core, struct request *r, struct slice aor, uint64_t hash,
                           const struct registrar_result *result)
{
    if (core->config.durable.append == NULL)
        return commit_now(core, r, aor, hash, result);

    struct registration *reg = registration_new(core, r, aor, result);
    if (reg == NULL)
        return refuse(core, r, CORE_R_FULL, 503, NULL, SLICE_EMPTY);

    struct durable_op op = {.kind = DURABLE_BINDINGS, .key = reg->aor, .value = reg->block};
    if (core->config.durable.append(core->config.durable.user, &op, reg->id) != OK) {
        registration_free(core, reg);
        return refuse(core, r, CORE_R_STORE, 503, "Registrations cannot be stored", SLICE_EMPTY);
    }
    reg->aor_hash = hash;
    flows_add(core, r->source, hash); /* from now on its loss is noticed */
    map_add(&core->pending, &reg->node, hash);
    return WAITING;
}

static bool may_register(const struct core *core, const struct request *r, struct slice aor)
{
    if (r->user != NULL)
        return true;
    const struct user *user = policy_user_by_name(core->policy, aor);
    return user != NULL ? !user->disabled : !core->config.auth_required;
}

enum verdict register_request(struct core *core, struct request *r)
{
    struct sip_uri to;
    char *text = arena_alloc(&core->scratch, r->msg->to.uri_text.len + 1);
    if (text == NULL)
        return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);

    struct builder b = builder_over(text, r->msg->to.uri_text.len + 1);
    if (!to_key(r->msg, &to, &b))
        return refuse(core, r, CORE_R_REGISTRAR, 400, "To is not a SIP address-of-record",
                      SLICE_EMPTY);
    struct slice aor = builder_slice(&b);
    if (!is_our_uri(core, &to) || !may_register(core, r, aor))
        return refuse(core, r, CORE_R_NOT_FOUND, 404, NULL, SLICE_EMPTY);

    uint64_t hash = core_aor_hash(&core->config, aor);
    struct registration *pending = find_pending(core, aor, hash);
    if (pending != NULL)
        return stand_in_line(core, r, pending);

    struct registrar_result result;
    bool path_ok = core_trusts(core, r->source) || edge_is_ours(core, &r->source->remote);
    if (registrar_process(&core->config.registrar, r->msg, aor, location_find(core, aor, hash),
                          r->source, path_ok, core->wall_ms, &core->scratch, &result) != OK)
        return refuse(core, r, CORE_R_MEMORY, 500, NULL, SLICE_EMPTY);
    if (result.action == REGISTRAR_COMMIT)
        return commit(core, r, aor, hash, &result);
    if (result.status >= 300)
        core_count(core, CORE_R_REGISTRAR);
    return answer_result(core, r, &result);
}

/** Takes up again those who stood in line, in their order. */
static void resume_waiters(struct core *core, struct list *waiters, uint64_t aor_hash)
{
    struct list *node;

    while ((node = list_pop(waiters)) != NULL) {
        struct register_waiter *waiter = CONTAINER_OF(node, struct register_waiter, node);
        struct id server = waiter->server;
        mem_free(&core->mem, waiter, sizeof *waiter);
        const struct flow *flow = txn_server_flow(core->txns, server);
        if (flow == NULL)
            continue;
        if (flow_has_conn(flow) && !flows_known(core, flow->conn, aor_hash)) {
            txn_server_drop(core->txns, server, core->now_ms); /* its phone is gone meanwhile */
            continue;
        }
        core_resume(core, server, AUTH_OK);
    }
}

/**
 * The block, with the bindings marked whose connections were lost while the receipt was on its way:
 * the one that this REGISTER came by, or another phone's.
 */
static struct slice still_connected(struct core *core, const struct registration *reg)
{
    struct slice block = reg->block;
    struct binding binding;
    uint32_t cursor = 0;

    arena_reset(&core->scratch);
    while (reg->block.len > 0 && binding_next(reg->block, &cursor, &binding)) {
        bool changed = false;
        if (binding.flow_lost || !flow_has_conn(&binding.flow) ||
            flows_known(core, binding.flow.conn, reg->aor_hash))
            continue;
        if (registrar_flow_lost(block, binding.flow.conn, &core->scratch, &block, &changed) != OK)
            break; /* then it is tried once more, and fails at once */
    }
    return block;
}

void register_receipt(struct core *core, struct id token, enum err err)
{
    struct registration *reg = pool_get(&core->registrations, token);
    if (reg == NULL)
        return;

    core->config.outbox->topic = (uint32_t)reg->aor_hash;
    if (err == OK)
        err = publish(core, reg->aor, reg->aor_hash, still_connected(core, reg));
    if (err == OK) {
        count_bindings(core, reg->added, reg->refreshed, reg->removed);
        limits_registered(core, &reg->source.remote, reg->block);
        answer(core, reg->server, reg->status, SLICE_EMPTY, reg->fields);
    } else {
        core_count(core, CORE_R_STORE);
        core_logf(core, CORE_LOG_ERROR, "store", "registration of %.*s not stored: %s",
                  SLICE_ARG(reg->aor), err_name(err));
        answer(core, reg->server, 500, SLICE("Registration could not be stored"), SLICE_EMPTY);
    }

    struct list waiters;
    list_init(&waiters);
    struct list *node;
    while ((node = list_pop(&reg->waiters)) != NULL)
        list_push(&waiters, node);
    map_remove(&core->pending, &reg->node);
    uint64_t aor_hash = reg->aor_hash;
    registration_free(core, reg);
    resume_waiters(core, &waiters, aor_hash);
}
