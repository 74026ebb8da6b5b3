/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/context.h"

#include <stdlib.h>

#include "proxy/stateless.h"

/* ---- the proxy ---- */

size_t proxy_memory_max(uint32_t contexts_max)
{
    return sizeof(struct proxy) + pool_memory(contexts_max);
}

enum err proxy_open(const struct proxy_config *config, struct proxy **out)
{
    assert(config->contexts_max > 0);
    assert(config->contexts_max <= PROXY_CONTEXTS_MAX);

    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL)
        return ERR_MEMORY;
    proxy->config = *config;
    enum err err =
        pool_init(&proxy->contexts, config->mem, sizeof(struct context), config->contexts_max);
    if (err) {
        free(proxy);
        return err;
    }
    *out = proxy;
    return OK;
}

static void context_free(struct context *c);

void proxy_close(struct proxy *proxy)
{
    if (proxy == NULL)
        return;

    uint32_t cursor = 0;
    struct id id;
    struct context *c;
    while ((c = pool_next(&proxy->contexts, &cursor, &id)) != NULL)
        context_free(c);
    pool_release(&proxy->contexts);
    free(proxy);
}

const struct proxy_counters *proxy_counters(const struct proxy *proxy)
{
    return &proxy->counters;
}

uint32_t proxy_count(const struct proxy *proxy)
{
    return proxy->contexts.count;
}

/* ---- contexts ---- */

uint64_t context_number(const struct context *c, unsigned branch)
{
    return (uint64_t)c->self.generation << 32 | (uint64_t)c->self.slot << 8 | branch;
}

struct context *context_find(const struct proxy *proxy, uint64_t number, unsigned *branch)
{
    struct id id = {
        .slot = (uint32_t)(number >> 8) & (PROXY_CONTEXTS_MAX - 1),
        .generation = (uint32_t)(number >> 32),
    };
    *branch = (unsigned)(number & 0xff);
    if (id.generation == 0)
        return NULL;
    struct context *c = pool_get(&proxy->contexts, id);
    return c == NULL || c->closed ? NULL : c;
}

void context_forget_best(struct context *c)
{
    struct mem *mem = c->proxy->config.mem;

    mem_free(mem, c->best, c->best_len);
    mem_free(mem, c->challenges, c->challenges_len);
    c->best = NULL;
    c->best_len = 0;
    c->challenges = NULL;
    c->challenges_len = 0;
}

static void context_free(struct context *c)
{
    struct proxy *proxy = c->proxy;

    timer_stop(proxy->config.wheel, &c->timer);
    plan_free(c);
    context_forget_best(c);
    mem_free(proxy->config.mem, c->more, c->more_capacity * sizeof *c->more);
    pool_free(&proxy->contexts, c->self);
}

void context_hold(struct context *c)
{
    assert(c->held < UINT8_MAX);
    c->held++;
}

void context_unhold(struct context *c)
{
    assert(c->held > 0);
    c->held--;
    if (c->held == 0 && c->closed)
        context_free(c);
}

void context_close(struct context *c)
{
    assert(c->held > 0);
    c->closed = true;
}

/* ---- a request to its targets ---- */

/* RFC 5393 §5.3.3: absent or larger than ours: ours. What cannot be read counts as absent. */
static uint8_t incoming_breadth(const struct sip_msg *msg)
{
    uint32_t breadth;

    if (msg->first[SIP_F_MAX_BREADTH] == 0)
        return PROXY_MAX_BREADTH;
    enum err err = sip_number_parse(sip_value(msg, SIP_F_MAX_BREADTH), &breadth);
    return (uint8_t)(err || breadth > PROXY_MAX_BREADTH ? PROXY_MAX_BREADTH : breadth);
}

static struct context *context_make(struct proxy *proxy, const struct proxy_request *request,
                                    uint64_t now_ms)
{
    struct id id;
    struct context *c = pool_alloc(&proxy->contexts, &id);
    if (c == NULL)
        return NULL;

    c->self = id;
    c->server = request->server;
    c->proxy = proxy;
    c->timer.fn = branch_on_timer;
    c->start_ms = now_ms;
    c->call = proxy->config.news != NULL ? request->call : 0;
    c->invite = request->msg->method == SIP_INVITE;
    c->oc = request->msg->via.has_oc && proxy->config.oc != NULL;
    c->breadth = incoming_breadth(request->msg);
    c->by_flow = request->by_flow;
    c->registers = request->path;
    c->watch = request->watch;
    return c;
}

/* With one target and nothing that could add more, nothing needs to be kept; but where a name led
 * is told when it has failed or answered. */
static enum err start(struct context *c, const struct proxy_request *request,
                      const struct proxy_target *targets, uint32_t count, uint64_t now_ms)
{
    const struct proxy *proxy = c->proxy;

    if (c->breadth == 0)
        return ERR_NOT_FOUND; /* 440, RFC 5393 §5.3.3 */
    if (count == 1 && request->plan == 0 && targets[0].group == 0 && targets[0].asleep_ms == 0 &&
        !request->wait && (!proxy->config.recurse_on_3xx || request->in_dialog)) {
        enum err err = branch_start(c, request, &targets[0], NULL, c->breadth, now_ms);
        if (err != ERR_AGAIN)
            return err;
    }

    c->secure = request->msg->request_uri.scheme == SIP_SCHEME_SIPS;
    enum err err = plan_add(c, request, targets, count);
    if (err)
        return err;
    if (request->wait) {
        c->waits = true;
        targets_reserve(c, request, now_ms);
        return OK;
    }
    steps_begin(c, &request->patience, now_ms);
    return targets_launch(c, request, &err, now_ms) > 0 || steps_left(c) ? OK : err;
}

/* The first step of a plan had nobody to try: the next one follows. */
static void go_on(struct context *c, uint64_t now_ms)
{
    if (!steps_left(c) || targets_busy(c))
        return;
    context_hold(c);
    context_advance(c, now_ms);
    context_unhold(c);
}

/* As a context would say it, which there was none for, or not yet. */
static void plan_refused(const struct proxy *proxy, const struct proxy_request *request)
{
    if (request->plan != 0)
        proxy->config.plan_done(proxy->config.user, request->plan);
}

enum err proxy_forward(struct proxy *proxy, const struct proxy_request *request,
                       const struct proxy_target *targets, uint32_t count, uint64_t now_ms)
{
    assert(count > 0 || request->plan != 0);

    if (request->server.generation == 0 || request->msg->method == SIP_ACK)
        return stateless_forward(proxy, request, &targets[0]);
    if (count > PROXY_TARGETS_MAX)
        count = PROXY_TARGETS_MAX;
    struct context *c = context_make(proxy, request, now_ms);
    if (c == NULL) {
        proxy->counters.full++;
        plan_refused(proxy, request);
        return ERR_FULL;
    }
    c->located = count > 0 && targets[0].aor.len > 0 && !request->in_dialog;
    enum err err = start(c, request, targets, count, now_ms);
    if (err) {
        if (c->plan == NULL)
            plan_refused(proxy, request);
        context_free(c);
        return err;
    }
    txn_server_context(proxy->config.txns, request->server, context_number(c, SERVER_BRANCH));
    proxy->counters.forwarded++;
    if (!c->waits)
        go_on(c, now_ms);
    return OK;
}

/* ---- requests that wait ---- */

static struct context *context_waiting(const struct proxy *proxy, struct id server)
{
    unsigned branch;
    struct context *c =
        context_find(proxy, txn_server_context_get(proxy->config.txns, server), &branch);

    return c != NULL && id_equal(c->server, server) && c->waits ? c : NULL;
}

/* It never was. */
static void context_forget(struct context *c)
{
    txn_server_context(c->proxy->config.txns, c->server, 0);
    context_free(c);
}

/* The only target has been tried: nothing is left to be kept, as when nothing had to wait. */
static bool is_plan_done(const struct context *c)
{
    return c->plan->request.plan == 0 && c->plan->next == NULL && c->plan->count == 1 &&
           c->plan->targets[0].done && c->waiting == 0 && !c->first.by_size &&
           c->first.group == 0 && !c->proxy->config.recurse_on_3xx;
}

enum err proxy_release(struct proxy *proxy, struct id server, const struct sip_msg *msg,
                       uint64_t now_ms)
{
    struct context *c = context_waiting(proxy, server);
    enum err err = ERR_MEMORY;

    if (c == NULL)
        return ERR_AGAIN;
    c->waits = false;
    if (c->cancelled) {
        context_hold(c);
        response_finish(c, now_ms);
        context_unhold(c);
        return OK;
    }
    struct proxy_request request = context_request(c, msg);
    steps_begin(c, &request.patience, now_ms);
    if (targets_launch(c, &request, &err, now_ms) == 0 && !steps_left(c)) {
        context_forget(c);
        return err;
    }
    if (is_plan_done(c))
        plan_free(c);
    else
        go_on(c, now_ms);
    return OK;
}

void proxy_abandon(struct proxy *proxy, struct id server)
{
    struct context *c = context_waiting(proxy, server);

    if (c != NULL)
        context_forget(c);
}

/* ---- its end ---- */

void proxy_cancel_with(struct proxy *proxy, struct id server, struct slice fields, uint64_t now_ms)
{
    unsigned branch;
    struct context *c =
        context_find(proxy, txn_server_context_get(proxy->config.txns, server), &branch);

    if (c == NULL || !id_equal(c->server, server) || c->answered || !c->invite)
        return;
    context_hold(c);
    c->cancelled = true;
    plan_free(c);
    context_cancel_pending(c, fields, now_ms);
    steps_drop_silent(c, now_ms);
    /* Only phones that are asleep were waited for, or who never said a word. */
    if (c->pending == 0 && !c->waits && !c->answered)
        response_finish(c, now_ms);
    context_unhold(c);
}

void proxy_cancel(struct proxy *proxy, struct id server, uint64_t now_ms)
{
    proxy_cancel_with(proxy, server, SLICE_EMPTY, now_ms);
}

void proxy_on_server_end(struct proxy *proxy, struct id server, uint64_t context, uint64_t now_ms)
{
    unsigned index;
    struct context *c = context_find(proxy, context, &index);
    if (c == NULL || index != SERVER_BRANCH || !id_equal(c->server, server))
        return;

    /* Nobody is left to hear of it: what still rings is told so. */
    context_hold(c);
    if (!c->answered)
        context_tell(c, (struct proxy_news){.event = PROXY_GONE}, now_ms);
    context_cancel_pending(c, SLICE_EMPTY, now_ms);
    context_close(c);
    context_unhold(c);
}
