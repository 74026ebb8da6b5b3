/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The targets that wait for their turn, each batch in one block of memory with its texts.
 * A context whose only target was started at once has none.
 */
#include "proxy/context.h"

/* Nobody is waited for any more. */
static void stop_waiting(struct context *c, const struct plan *plan)
{
    const struct proxy_config *config = &c->proxy->config;

    for (unsigned i = 0; i < plan->count; i++) {
        if (!plan->targets[i].waits)
            continue;
        config->stop_waiting(config->user, plan->targets[i].wait);
        c->waiting--;
    }
}

void plan_free(struct context *c)
{
    const struct proxy_config *config = &c->proxy->config;

    if (step_of(c) != NULL)
        config->plan_done(config->user, c->plan->request.plan);
    while (c->plan != NULL) {
        struct plan *plan = c->plan;
        c->plan = plan->next;
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].client.generation != 0)
                txn_client_discard(c->proxy->config.txns, plan->targets[i].client);
        stop_waiting(c, plan);
        mem_free(c->proxy->config.mem, plan, plan->bytes);
    }
}

void plan_settle(struct context *c)
{
    const struct proxy_config *config = &c->proxy->config;

    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++) {
            struct plan_target *slot = &plan->targets[i];
            slot->done = true;
            if (!slot->waits)
                continue;
            config->stop_waiting(config->user, slot->wait);
            slot->waits = false;
            c->waiting--;
            c->asleep = true;
        }
}

static size_t target_bytes(const struct proxy_target *target)
{
    return target->uri.len + target->routes.len + target->aor.len;
}

static struct slice keep(struct builder *b, struct slice s)
{
    char *at = b->data + b->len;

    builder_add(b, s);
    return (struct slice){at, s.len};
}

static void keep_target(struct plan_target *slot, const struct proxy_target *target,
                        struct builder *text)
{
    *slot = (struct plan_target){.target = *target, .branch = PROXY_BRANCHES_MAX};
    slot->target.uri = keep(text, target->uri);
    slot->target.routes = keep(text, target->routes);
    slot->target.aor = keep(text, target->aor);
}

static void keep_request(struct plan *plan, const struct proxy_request *request,
                         struct builder *text)
{
    const struct sip_field *credentials = request->credentials;

    plan->request = *request;
    plan->request.msg = NULL;
    plan->request.source = NULL;
    plan->request.credentials = NULL;
    plan->request.uri = keep(text, request->uri);
    plan->request.caller.aor = keep(text, request->caller.aor);
    plan->credentials = (int16_t)(credentials == NULL ? -1 : credentials - request->msg->fields);
}

/* §16.5: no URI is tried twice. The same URI by another flow or Path is another target. */
static bool is_known(const struct context *c, const struct proxy_target *target)
{
    for (const struct plan *plan = c->plan; plan != NULL; plan = plan->next) {
        for (unsigned i = 0; i < plan->count; i++) {
            const struct proxy_target *known = &plan->targets[i].target;
            if (known->asleep_ms != 0 || target->asleep_ms != 0)
                continue; /* nothing was sent there: it has to register first */
            if (!slice_equal(known->uri, target->uri) ||
                !slice_equal(known->routes, target->routes))
                continue;
            bool same_name = known->group != 0 && known->group == target->group;
            if (!same_name && (known->instance == 0 || target->instance == 0))
                return true; /* a redirection, which names no instance and no flow */
            if (known->to.transport == target->to.transport &&
                addr_equal(&known->to.remote, &target->to.remote))
                return true; /* whoever has registered it */
        }
    }
    return false;
}

struct plan_target *plan_at(const struct context *c, unsigned index)
{
    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next) {
        if (index < plan->count)
            return &plan->targets[index];
        index -= plan->count;
    }
    return NULL;
}

uint32_t plan_count(const struct context *c)
{
    uint32_t count = 0;

    for (const struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        count += plan->count;
    return count;
}

enum err plan_add(struct context *c, const struct proxy_request *request,
                  const struct proxy_target *targets, uint32_t count)
{
    size_t bytes = sizeof(struct plan) + count * sizeof(struct plan_target);
    size_t text_bytes = 0;

    if (plan_count(c) + count > PROXY_TARGETS_MAX)
        return ERR_FULL;
    for (uint32_t i = 0; i < count; i++)
        text_bytes += target_bytes(&targets[i]);
    if (request != NULL)
        text_bytes += request->uri.len + request->caller.aor.len;
    if (bytes + text_bytes > MEM_MAX_ALLOC)
        return ERR_TOO_BIG;
    struct plan *plan = mem_alloc(c->proxy->config.mem, bytes + text_bytes);
    if (plan == NULL)
        return ERR_MEMORY;

    struct builder text = builder_over((char *)plan + bytes, text_bytes);
    plan->next = NULL;
    plan->bytes = (uint32_t)(bytes + text_bytes);
    plan->count = 0;
    plan->group_q = 0;
    plan->step = (struct step){0};
    plan->request.plan = 0;
    if (request != NULL)
        keep_request(plan, request, &text);
    struct plan **end = &c->plan;
    while (*end != NULL)
        end = &(*end)->next;
    *end = plan;
    for (uint32_t i = 0; i < count; i++)
        if (!is_known(c, &targets[i]))
            keep_target(&plan->targets[plan->count++], &targets[i], &text);
    return OK;
}
