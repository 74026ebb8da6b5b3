/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One branch: sent with a transaction of its own (RFC 3261 §16.6), cancelled, or given up by Timer
 * C (§16.8).
 */
#include "proxy/context.h"

static enum err branch_room(struct context *c)
{
    struct mem *mem = c->proxy->config.mem;

    if (c->branch_count == PROXY_BRANCHES_MAX)
        return ERR_FULL;
    if (c->branch_count <= c->more_capacity)
        return OK;

    uint8_t capacity = c->more_capacity == 0 ? 3 : (uint8_t)(c->more_capacity * 2 + 1);
    struct branch *more = mem_alloc(mem, capacity * sizeof *more);
    if (more == NULL)
        return ERR_MEMORY;
    if (c->more != NULL)
        memcpy(more, c->more, c->more_capacity * sizeof *more);
    mem_free(mem, c->more, c->more_capacity * sizeof *more);
    c->more = more;
    c->more_capacity = capacity;
    return OK;
}

/* One timer for all branches and the step: it fires at the earliest end, and looks again. */
void context_arm(struct context *c, uint64_t due_ms)
{
    if (!timer_armed(&c->timer) || c->timer.due_ms > due_ms)
        timer_start(c->proxy->config.wheel, &c->timer, due_ms);
}

/* Shall a request of that size leave the datagram that was meant for it (§18.1.1)? Not to who is
 * bound to a flow: the phone behind a NAT takes nothing else. */
static bool leaves_udp(const struct proxy *proxy, const struct proxy_target *target, size_t len,
                       struct flow *stream, uint64_t now_ms)
{
    const struct proxy_config *config = &proxy->config;

    return len > PROXY_UDP_MAX && target->to.transport == TRANSPORT_UDP && !target->nat &&
           config->may_stream != NULL &&
           config->may_stream(config->user, &target->to, stream, now_ms);
}

void branch_tell(const struct context *c, enum proxy_event event, struct id client,
                 const struct proxy_target *target, struct slice branch, uint64_t now_ms)
{
    const struct proxy_news news = {
        .event = event, .client = client, .target = target, .branch = branch};

    context_tell(c, news, now_ms);
}

/* The transaction of the next branch: what was reserved for its target, or a new one. */
static enum err client_for(struct context *c, const struct proxy_request *request,
                           struct plan_target *slot, struct id *client,
                           char name[static TXN_BRANCH_LEN])
{
    static const struct id none;
    struct txn_table *txns = c->proxy->config.txns;
    uint64_t number = context_number(c, c->branch_count);

    if (slot == NULL || slot->client.generation == 0)
        return txn_client_open(txns, (enum sip_method)request->msg->method, request->loop, number,
                               client, name);
    *client = slot->client;
    slot->client = none;
    txn_client_context(txns, *client, number);
    return txn_client_branch(txns, *client, name) ? OK : ERR_NOT_FOUND;
}

/*
 * §16.6 steps 2 to 11 for one target. `slot`: where it stands in the plan; NULL: there is none,
 * then ERR_AGAIN says that one is needed, as the request may have to be sent twice (§18.1.1).
 */
enum err branch_start(struct context *c, const struct proxy_request *request,
                      const struct proxy_target *target, struct plan_target *slot, unsigned breadth,
                      uint64_t now_ms)
{
    const struct flow *to = &target->to;
    struct proxy_target streamed;
    bool by_size = false;
    struct proxy *proxy = c->proxy;
    struct txn_table *txns = proxy->config.txns;
    struct builder b = builder_over(proxy->work.message, sizeof proxy->work.message);
    char name[TXN_BRANCH_LEN];
    struct id client;

    enum err err = branch_room(c);
    if (err)
        return err;
    err = client_for(c, request, slot, &client, name);
    if (err)
        return err;
    struct slice branch = {name, sizeof name};
    err = forward_write(proxy, request, target, branch, breadth, &b);
    if (err == OK && b.len > PROXY_UDP_MAX && (slot == NULL || !slot->by_udp)) {
        struct flow stream;
        by_size = leaves_udp(proxy, target, b.len, &stream, now_ms);
        if (by_size && slot == NULL)
            err = ERR_AGAIN;
        if (by_size && slot != NULL) {
            streamed = *target;
            streamed.to = stream;
            to = &streamed.to;
            b.len = 0;
            err = forward_write(proxy, request, &streamed, branch, breadth, &b);
        }
    }
    if (err == OK)
        err = txn_client_send(txns, client, builder_slice(&b), to, now_ms);
    if (err) {
        proxy->counters.too_big += err == ERR_TOO_BIG;
        txn_client_discard(txns, client);
        return err;
    }

    c->branch_count++;
    c->pending++;
    *branch_at(c, c->branch_count - 1u) = (struct branch){
        .client = client,
        .timer_c_ms = c->invite ? now_ms + proxy->config.timer_c_ms : UINT64_MAX,
        .instance = target->instance,
        .group = target->group,
        .aor_hash = target->aor_hash,
        .flow_name = target->flow_name,
        .state = BRANCH_PENDING,
        .breadth = (uint8_t)breadth,
        .by_size = by_size,
        .at_edge = target->at_edge,
    };
    if (c->invite)
        context_arm(c, now_ms + proxy->config.timer_c_ms);
    proxy->counters.branches++;
    proxy->counters.streams += by_size;
    branch_tell(c, PROXY_LEG_SENT, client, target, branch, now_ms);
    return OK;
}

void branch_cancel(struct context *c, struct branch *branch, struct slice reason, uint64_t now_ms)
{
    if (branch->state != BRANCH_PENDING || branch->cancelled)
        return;
    branch->cancelled = true;
    c->proxy->counters.cancels++;
    txn_client_cancel(c->proxy->config.txns, branch->client, reason, now_ms);
}

void context_cancel_pending(struct context *c, struct slice reason, uint64_t now_ms)
{
    if (!c->invite || c->pending == 0)
        return;
    for (unsigned i = 0; i < c->branch_count; i++)
        branch_cancel(c, branch_at(c, i), reason, now_ms);
}

static void on_timer_c(struct context *c, struct branch *branch, uint64_t now_ms)
{
    branch->timer_c_ms = UINT64_MAX;
    branch->timed_out = true;
    c->proxy->counters.timer_c++;
    if (branch->rang)
        branch_cancel(c, branch, SLICE_EMPTY, now_ms);
    else
        txn_client_fail(c->proxy->config.txns, branch->client, TXN_TIMEOUT, now_ms);
}

void branch_on_timer(struct timer *timer, uint64_t now_ms)
{
    struct context *c = CONTAINER_OF(timer, struct context, timer);
    uint64_t next_ms = UINT64_MAX;

    context_hold(c);
    if (c->silent) {
        context_close(c);
        txn_server_drop(c->proxy->config.txns, c->server, now_ms);
        context_unhold(c);
        return;
    }
    for (unsigned i = 0; i < c->branch_count; i++) {
        struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && branch->timer_c_ms <= now_ms)
            on_timer_c(c, branch, now_ms);
    }
    if (!c->closed)
        steps_on_timer(c, now_ms);
    for (unsigned i = 0; i < c->branch_count; i++) {
        const struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && branch->timer_c_ms < next_ms)
            next_ms = branch->timer_c_ms;
    }
    if (steps_due_ms(c) < next_ms)
        next_ms = steps_due_ms(c);
    if (next_ms != UINT64_MAX && !c->closed)
        context_arm(c, next_ms);
    context_unhold(c);
}
