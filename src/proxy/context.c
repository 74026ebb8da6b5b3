/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/context.h"

#include <stdlib.h>

#include "proxy/stateless.h"

enum {
    REASON_MAX = 96
};

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

static uint64_t context_number(const struct context *c, unsigned branch)
{
    return (uint64_t)c->self.generation << 32 | (uint64_t)c->self.slot << 8 | branch;
}

static struct context *context_find(const struct proxy *proxy, uint64_t number, unsigned *branch)
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

static void context_forget_best(struct context *c)
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

/* ---- branches ---- */

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

/* One timer for all branches: it fires at the earliest Timer C, and looks again. */
static void timer_c_arm(struct context *c, uint64_t due_ms)
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

static void tell_leg(const struct context *c, enum proxy_event event, struct id client,
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
static enum err branch_start(struct context *c, const struct proxy_request *request,
                             const struct proxy_target *target, struct plan_target *slot,
                             unsigned breadth, uint64_t now_ms)
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
        timer_c_arm(c, now_ms + proxy->config.timer_c_ms);
    proxy->counters.branches++;
    proxy->counters.streams += by_size;
    tell_leg(c, PROXY_LEG_SENT, client, target, branch, now_ms);
    return OK;
}

static void branch_cancel(struct context *c, struct branch *branch, struct slice reason,
                          uint64_t now_ms)
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

/* ---- which target is next (§16.6, RFC 5393 §5.3) ---- */

static bool instance_waits(const struct context *c, uint32_t instance)
{
    for (const struct plan *plan = c->plan; plan != NULL && c->waiting > 0; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].waits && plan->targets[i].target.instance == instance)
                return true;
    return false;
}

/* The instances that are being tried: one phone's flows are tried one at a time (RFC 5626 §5.3). */
static bool instance_busy(struct context *c, uint32_t instance)
{
    if (instance == 0)
        return false;
    if (instance_waits(c, instance))
        return true;
    for (unsigned i = 0; i < c->branch_count; i++) {
        const struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && branch->instance == instance)
            return true;
    }
    return false;
}

/* The phone has answered by one flow: it is not asked again by another. */
static void instance_settle(struct context *c, uint32_t instance)
{
    if (instance == 0)
        return;
    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].target.instance == instance)
                plan->targets[i].done = true;
}

/* Is another address of the same name being tried? */
static bool group_busy(struct context *c, uint32_t group)
{
    if (group == 0)
        return false;
    for (unsigned i = 0; i < c->branch_count; i++)
        if (branch_at(c, i)->state == BRANCH_PENDING && branch_at(c, i)->group == group)
            return true;
    return false;
}

/* The name has answered by one of its addresses: the others are not asked. */
static void group_settle(struct context *c, uint32_t group)
{
    if (group == 0)
        return;
    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].target.group == group)
                plan->targets[i].done = true;
}

/* The target that a branch tries or tried; NULL: it is forgotten. */
static struct plan_target *slot_of(const struct context *c, unsigned index)
{
    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].branch == index)
                return &plan->targets[i];
    return NULL;
}

/* Where a branch of a group went; NULL: nobody asks. */
static const struct flow *hop_of(struct context *c, unsigned index)
{
    const struct plan_target *slot = branch_at(c, index)->group != 0 ? slot_of(c, index) : NULL;
    return slot != NULL ? &slot->target.to : NULL;
}

/* No connection: the request goes by UDP after all (§18.1.1). False: it went otherwise. */
static bool back_to_udp(struct context *c, unsigned index, enum txn_failure failure,
                        uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;
    const struct branch *branch = branch_at(c, index);
    struct plan_target *slot = slot_of(c, index);
    struct flow stream;

    if (!branch->by_size || branch->rang || failure != TXN_TRANSPORT_ERROR || slot == NULL)
        return false;
    if (config->hop_failed != NULL &&
        config->may_stream(config->user, &slot->target.to, &stream, now_ms))
        config->hop_failed(config->user, &stream, 0, now_ms); /* the next large one need not try */
    slot->by_udp = true;
    slot->done = false;
    slot->branch = PROXY_BRANCHES_MAX;
    c->proxy->counters.stream_fallbacks++;
    return true;
}

static void hop_failed(struct context *c, unsigned index, uint32_t retry_after_s, uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;
    const struct flow *to = hop_of(c, index);

    if (to != NULL && config->hop_failed != NULL)
        config->hop_failed(config->user, to, retry_after_s, now_ms);
}

static void hop_silent(struct context *c, unsigned index, uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;
    const struct flow *to = hop_of(c, index);

    if (to != NULL && config->hop_silent != NULL)
        config->hop_silent(config->user, to, now_ms);
}

static void hop_answered(struct context *c, unsigned index)
{
    const struct proxy_config *config = &c->proxy->config;
    const struct flow *to = hop_of(c, index);

    if (to != NULL && config->hop_answered != NULL)
        config->hop_answered(config->user, to);
}

static bool is_ready(struct context *c, const struct plan_target *slot, uint16_t q)
{
    return !slot->done && slot->target.q == q && !instance_busy(c, slot->target.instance) &&
           !group_busy(c, slot->target.group);
}

/* The q of the group: the highest that is left. False: no target is left. */
static bool highest_q(const struct context *c, uint16_t *q)
{
    bool found = false;

    for (const struct plan *plan = c->plan; plan != NULL; plan = plan->next) {
        for (unsigned i = 0; i < plan->count; i++) {
            const struct plan_target *slot = &plan->targets[i];
            if (slot->done || (found && slot->target.q <= *q))
                continue;
            found = true;
            *q = slot->target.q;
        }
    }
    return found;
}

/* How many can be started side by side: of each instance and of each name one. */
static unsigned count_ready(struct context *c, uint16_t q)
{
    const struct proxy_target *seen[PROXY_TARGETS_MAX];
    unsigned seen_count = 0;
    unsigned count = 0;

    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next) {
        for (unsigned i = 0; i < plan->count; i++) {
            const struct plan_target *slot = &plan->targets[i];
            const struct proxy_target *target = &slot->target;
            bool twice = false;
            if (!is_ready(c, slot, q))
                continue;
            for (unsigned k = 0; k < seen_count; k++)
                twice |= (target->instance != 0 && seen[k]->instance == target->instance) ||
                         (target->group != 0 && seen[k]->group == target->group);
            if (twice)
                continue;
            seen[seen_count++] = target;
            count++;
        }
    }
    return count;
}

/* What is left of the incoming Max-Breadth (RFC 5393 §5.3.3.1). */
static unsigned breadth_left(struct context *c)
{
    unsigned used = 0;

    for (unsigned i = 0; i < c->branch_count; i++)
        if (branch_at(c, i)->state == BRANCH_PENDING)
            used += branch_at(c, i)->breadth;
    assert(used <= c->breadth);
    return c->breadth - used;
}

/* Has the phone of a sleeping target woken (RFC 8599 §5.6.2). `index`: its place in the plan. */
static enum err start_waiting(struct context *c, const struct proxy_request *request,
                              struct plan_target *slot, unsigned index, uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;

    slot->done = true;
    if (!config->wake(config->user, &slot->target, request, context_number(c, index), now_ms,
                      &slot->wait)) {
        c->asleep = true;
        return ERR_CONFLICT;
    }
    slot->waits = true;
    c->waiting++;
    return OK;
}

/* Sends to a target, with its share of Max-Breadth. */
static enum err start_branch(struct context *c, const struct proxy_request *request,
                             struct plan_target *slot, unsigned share, uint64_t now_ms)
{
    slot->done = true;
    enum err err = branch_start(c, request, &slot->target, slot, share, now_ms);
    if (err) {
        c->unreachable = true;
        return err;
    }
    slot->branch = (uint8_t)(c->branch_count - 1);
    return OK;
}

/*
 * Starts as many targets of the present group as Max-Breadth permits; the rest of the group
 * waits for one of them to end, which is serial forking. Returns how many were started; a
 * target that cannot be sent counts as unreachable. For what is asleep its share is left over.
 */
static unsigned launch_group(struct context *c, const struct proxy_request *request, uint16_t q,
                             enum err *error, uint64_t now_ms)
{
    unsigned left = breadth_left(c);
    unsigned ready = count_ready(c, q);
    unsigned started = 0, first = 0;

    if (ready > left)
        ready = left;
    for (struct plan *plan = c->plan; plan != NULL && ready > 0; plan = plan->next) {
        for (unsigned i = 0; i < plan->count && ready > 0; i++) {
            struct plan_target *slot = &plan->targets[i];
            if (!is_ready(c, slot, q))
                continue;
            unsigned share = (left + ready - 1) / ready;
            enum err err = slot->target.asleep_ms == 0
                               ? start_branch(c, request, slot, share, now_ms)
                               : start_waiting(c, request, slot, first + i, now_ms);
            ready--;
            if (err) {
                *error = err;
                continue;
            }
            left -= share;
            started++;
        }
        first += plan->count;
    }
    return started;
}

/* Gives transactions to the targets that will be tried first, so that their branches are known. */
static void reserve_group(struct context *c, const struct proxy_request *request, uint64_t now_ms)
{
    char name[TXN_BRANCH_LEN];
    uint16_t q;

    if (!highest_q(c, &q))
        return;
    for (unsigned i = 0; i < c->plan->count; i++) {
        struct plan_target *slot = &c->plan->targets[i];
        struct id client;
        if (slot->target.q != q || slot->target.asleep_ms != 0 ||
            txn_client_open(c->proxy->config.txns, SIP_INVITE, request->loop, 0, &client, name) !=
                OK)
            continue; /* it will be opened when it is due */
        slot->client = client;
        tell_leg(c, PROXY_LEG_PLANNED, client, &slot->target, (struct slice){name, sizeof name},
                 now_ms);
    }
}

/* Is the present group still at work? */
static bool is_busy(const struct context *c)
{
    return c->pending > 0 || c->waiting > 0;
}

/* The group that is at work has a target ready, or there is none at work and the next group is
 * due. */
static unsigned launch(struct context *c, const struct proxy_request *request, enum err *error,
                       uint64_t now_ms)
{
    uint16_t q;

    while (highest_q(c, &q)) {
        if (is_busy(c) && q != c->plan->group_q)
            return 0;
        c->plan->group_q = q;
        unsigned started = launch_group(c, request, q, error, now_ms);
        if (started > 0 || is_busy(c))
            return started;
    }
    return 0;
}

static struct proxy_request request_of(const struct context *c, const struct sip_msg *msg)
{
    struct proxy_request request = c->plan->request;

    request.msg = msg;
    request.source = txn_server_flow(c->proxy->config.txns, c->server);
    if (c->plan->credentials >= 0)
        request.credentials = &msg->fields[c->plan->credentials];
    return request;
}

/* The request anew, from the bytes that its server transaction keeps. */
static bool restore_request(struct context *c, struct proxy_request *out)
{
    struct sip_msg *msg = &c->proxy->work.msg;

    if (txn_server_parse(c->proxy->config.txns, c->server, msg) != OK)
        return false;
    *out = request_of(c, msg);
    return true;
}

void context_advance(struct context *c, uint64_t now_ms)
{
    assert(c->held > 0);

    uint16_t q;
    if (c->answered || c->closed || c->silent)
        return;
    if (c->plan != NULL && highest_q(c, &q)) {
        struct proxy_request request;
        enum err error = OK;
        if (restore_request(c, &request))
            (void)launch(c, &request, &error, now_ms);
    }
    if (!is_busy(c))
        response_finish(c, now_ms);
}

/* ---- Timer C (§16.8) ---- */

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

static void on_timer(struct timer *timer, uint64_t now_ms)
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
    for (unsigned i = 0; i < c->branch_count; i++) {
        const struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && branch->timer_c_ms < next_ms)
            next_ms = branch->timer_c_ms;
    }
    if (next_ms != UINT64_MAX && !c->closed)
        timer_c_arm(c, next_ms);
    context_unhold(c);
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
    c->timer.fn = on_timer;
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
    if (count == 1 && targets[0].group == 0 && targets[0].asleep_ms == 0 && !request->wait &&
        (!proxy->config.recurse_on_3xx || request->in_dialog)) {
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
        reserve_group(c, request, now_ms);
        return OK;
    }
    return launch(c, request, &err, now_ms) > 0 ? OK : err;
}

enum err proxy_forward(struct proxy *proxy, const struct proxy_request *request,
                       const struct proxy_target *targets, uint32_t count, uint64_t now_ms)
{
    assert(count > 0);

    if (request->server.generation == 0 || request->msg->method == SIP_ACK)
        return stateless_forward(proxy, request, &targets[0]);
    if (count > PROXY_TARGETS_MAX)
        count = PROXY_TARGETS_MAX;
    struct context *c = context_make(proxy, request, now_ms);
    if (c == NULL) {
        proxy->counters.full++;
        return ERR_FULL;
    }
    c->located = targets[0].aor.len > 0 && !request->in_dialog;
    enum err err = start(c, request, targets, count, now_ms);
    if (err) {
        context_free(c);
        return err;
    }
    txn_server_context(proxy->config.txns, request->server, context_number(c, SERVER_BRANCH));
    proxy->counters.forwarded++;
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
    return c->plan->next == NULL && c->plan->count == 1 && c->plan->targets[0].done &&
           c->waiting == 0 && !c->first.by_size && c->first.group == 0 &&
           !c->proxy->config.recurse_on_3xx;
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
    struct proxy_request request = request_of(c, msg);
    if (launch(c, &request, &err, now_ms) == 0) {
        context_forget(c);
        return err;
    }
    if (is_plan_done(c))
        plan_free(c);
    return OK;
}

void proxy_abandon(struct proxy *proxy, struct id server)
{
    struct context *c = context_waiting(proxy, server);

    if (c != NULL)
        context_forget(c);
}

/* ---- events ---- */

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
    if (c->pending == 0 && !c->waits) /* only phones that are asleep were waited for */
        response_finish(c, now_ms);
    context_unhold(c);
}

void proxy_cancel(struct proxy *proxy, struct id server, uint64_t now_ms)
{
    proxy_cancel_with(proxy, server, SLICE_EMPTY, now_ms);
}

/* RFC 3326: why the others need not ring any more. */
static void cancel_because(struct context *c, uint16_t status, uint64_t now_ms)
{
    char text[REASON_MAX];
    struct builder b = builder_over(text, sizeof text);

    if (c->pending == 0)
        return;
    builder_text(&b, "Reason: SIP;cause=");
    builder_u64(&b, status);
    builder_text(&b, ";text=\"");
    builder_add(&b,
                status < 300 ? SLICE("Call completed elsewhere") : slice_of(sip_reason(status)));
    builder_text(&b, "\"\r\n");
    context_cancel_pending(c, b.overflow ? SLICE_EMPTY : builder_slice(&b), now_ms);
}

static void branch_done(struct context *c, struct branch *branch)
{
    assert(branch->state == BRANCH_PENDING);
    assert(c->pending > 0);

    branch->state = BRANCH_DONE;
    c->pending--;
}

/* Has it a Via besides ours (§16.7 step 3)? */
static bool has_way_back(const struct sip_msg *response)
{
    const struct sip_field *via = sip_field_first(response, SIP_F_VIA);
    if (via == NULL)
        return false;
    if (via->next != 0)
        return true;

    struct sip_values it = sip_values(response, SIP_F_VIA);
    struct slice value;
    (void)sip_values_next(&it, &value); /* ours */
    return sip_values_next(&it, &value);
}

static void tell_response(const struct context *c, const struct branch *branch,
                          const struct sip_msg *response, uint64_t now_ms)
{
    const struct proxy_news news = {.event = PROXY_LEG_RESPONSE,
                                    .client = branch->client,
                                    .response = response,
                                    .status = response->status};

    context_tell(c, news, now_ms);
}

static void on_provisional(struct context *c, struct branch *branch, const struct sip_msg *response,
                           uint64_t now_ms)
{
    branch->rang = true;
    if (response->status == 100 || branch->state != BRANCH_PENDING)
        return;
    tell_response(c, branch, response, now_ms);
    if (branch->timer_c_ms != UINT64_MAX)
        branch->timer_c_ms = now_ms + c->proxy->config.timer_c_ms; /* §16.7 step 2 */
    if (c->invite && !c->answered &&
        has_way_back(response)) /* RFC 4320 §4.1: none but for INVITE */
        response_forward(c, response, now_ms);
}

/* §16.7 step 5: at once, and every one; then the others need not ring. */
static void on_success(struct context *c, struct branch *branch, const struct sip_msg *response,
                       uint64_t now_ms)
{
    if (branch->state == BRANCH_PENDING)
        branch_done(c, branch);
    tell_response(c, branch, response, now_ms);
    assert(c->invite || !c->answered); /* a non-INVITE's context was closed by its answer */
    if (!c->answered) {
        c->answered = true;
        plan_free(c);
        context_forget_best(c);
        timer_stop(c->proxy->config.wheel, &c->timer);
        if (!c->invite)
            context_close(c);
    }
    response_forward(c, response, now_ms);
    cancel_because(c, response->status, now_ms);
}

/* RFC 5626 §7, §9.3: the binding is not tried again until the phone has registered anew. */
static void tell_dead_flow(const struct context *c, const struct branch *branch)
{
    const struct proxy_config *config = &c->proxy->config;
    if (branch->flow_name != 0 && config->flow_failed != NULL)
        config->flow_failed(config->user, branch->aor_hash, branch->flow_name);
}

/* A branch that failed here, without a response. */
static void on_local_failure(struct context *c, struct branch *branch, enum txn_failure failure,
                             uint64_t now_ms)
{
    const struct proxy_news news = {.event = PROXY_LEG_FAILED,
                                    .client = branch->client,
                                    .status = failure == TXN_TIMEOUT ? 408 : 503};

    branch_done(c, branch);
    context_tell(c, news, now_ms);
    if (branch->rang || branch->timed_out)
        group_settle(c, branch->group); /* there it was */
    if (failure == TXN_TIMEOUT) {
        c->timed_out = true;
        if (!c->invite || branch->rang || branch->timed_out)
            instance_settle(c,
                            branch->instance); /* else its next flow may be alive (RFC 5626 §7) */
    } else {
        c->unreachable = true;
    }
    context_advance(c, now_ms);
}

/* The only branch there is and will be: its response is the best one. */
static bool is_simple(const struct context *c, const struct sip_msg *response)
{
    return c->plan == NULL && c->pending == 0 && c->best_status == 0 && response->status != 503 &&
           !(c->located && response->status == 430);
}

/* RFC 5626 §7: after 430, or a 408 of somebody who did not reach the phone, its next flow is tried;
 * any other answer is the phone's. */
static bool is_dead_flow(const struct context *c, const struct branch *branch, uint16_t status)
{
    return status == 430 || (status == 408 && c->invite && !branch->rang && !branch->timed_out);
}

static void on_rejection(struct context *c, struct branch *branch, const struct sip_msg *response,
                         uint64_t now_ms)
{
    uint16_t status = response->status;

    if (status != 503)
        group_settle(c, branch->group);
    if (status == 430 && branch->at_edge)
        tell_dead_flow(c, branch);
    if ((branch->timed_out && status == 487) || (!c->invite && status == 408)) {
        on_local_failure(c, branch, TXN_TIMEOUT, now_ms);
        return;
    }
    branch_done(c, branch);
    tell_response(c, branch, response, now_ms);
    if (c->answered)
        return;
    if (!is_dead_flow(c, branch, status))
        instance_settle(c, branch->instance);
    if (is_simple(c, response)) {
        c->answered = true;
        context_close(c);
        response_forward(c, response, now_ms);
        return;
    }
    if (!response_recurse(c, response, now_ms))
        response_store(c, response);
    if (status >= 600) { /* §16.7 step 5: no new branches, and the 6xx waits for the others */
        plan_free(c);
        cancel_because(c, status, now_ms);
    }
    context_advance(c, now_ms);
}

/** Is this branch all that is left: no other is pending, and no target waits for its turn? */
static bool is_last(const struct context *c)
{
    if (c->pending > 1)
        return false;
    for (const struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (!plan->targets[i].done)
                return false;
    return true;
}

static void let_hear(struct context *c, const struct sip_msg *response)
{
    const struct proxy_config *config = &c->proxy->config;
    bool success = response->status >= 200 && response->status < 300;

    if (response->status > 100 && (success || is_last(c)) &&
        config->heard(config->user, c->server, response, c->watch))
        c->watch = 0;
}

/* Seconds (RFC 3261 §20.33); a comment or parameters may follow. 0: not said, or not to be read. */
static uint32_t retry_after(const struct sip_msg *response)
{
    const struct sip_field *field = sip_field_first(response, SIP_F_RETRY_AFTER);
    struct slice value = field != NULL ? sip_field_value(response, field) : SLICE_EMPTY;
    size_t digits = 0;
    uint32_t seconds;

    while (digits < value.len && value.data[digits] >= '0' && value.data[digits] <= '9')
        digits++;
    return sip_number_parse((struct slice){value.data, digits}, &seconds) == OK ? seconds : 0;
}

void proxy_on_response(struct proxy *proxy, struct id client, uint64_t context,
                       const struct sip_msg *response, bool trusted, uint64_t now_ms)
{
    unsigned index;
    struct context *c = context_find(proxy, context, &index);
    if (c == NULL || index >= c->branch_count)
        return;
    struct branch *branch = branch_at(c, index);
    if (!id_equal(branch->client, client))
        return;

    context_hold(c);
    proxy->response_trusted = trusted;
    if (c->watch != 0)
        let_hear(c, response);
    if (branch->group != 0 && response->status == 503)
        hop_failed(c, index, retry_after(response), now_ms);
    else if (branch->group != 0)
        hop_answered(c, index);
    if (response->status < 200)
        on_provisional(c, branch, response, now_ms);
    else if (!has_way_back(response) && branch->state == BRANCH_PENDING)
        on_local_failure(c, branch, TXN_TRANSPORT_ERROR, now_ms);
    else if (response->status < 300)
        on_success(c, branch, response, now_ms);
    else if (branch->state == BRANCH_PENDING)
        on_rejection(c, branch, response, now_ms);
    context_unhold(c);
}

void proxy_on_failure(struct proxy *proxy, struct id client, uint64_t context,
                      enum txn_failure failure, uint64_t now_ms)
{
    unsigned index;
    struct context *c = context_find(proxy, context, &index);
    if (c == NULL || index >= c->branch_count)
        return;
    struct branch *branch = branch_at(c, index);
    if (!id_equal(branch->client, client) || branch->state != BRANCH_PENDING)
        return;

    context_hold(c);
    if (failure == TXN_CLOSED && !branch->at_edge)
        tell_dead_flow(c, branch);
    if (!back_to_udp(c, index, failure, now_ms) && branch->group != 0 && !branch->rang) {
        if (failure == TXN_TIMEOUT && !c->invite)
            hop_silent(c, index, now_ms);
        else
            hop_failed(c, index, 0, now_ms);
    }
    on_local_failure(c, branch, failure, now_ms);
    context_unhold(c);
}

/* The fresh targets, at the sleeping one's turn: the group is at work. */
static enum err replace_sleeper(struct context *c, const struct plan_target *slot,
                                const struct proxy_target *targets, uint32_t count)
{
    struct proxy_target fresh[PROXY_WOKEN_MAX];

    if (count > PROXY_WOKEN_MAX)
        count = PROXY_WOKEN_MAX;
    for (uint32_t i = 0; i < count; i++) {
        fresh[i] = targets[i];
        fresh[i].q = slot->target.q;
    }
    instance_settle(c, slot->target.instance);
    return plan_add(c, NULL, fresh, count);
}

void proxy_woken(struct proxy *proxy, uint64_t waiter, const struct proxy_target *targets,
                 uint32_t count, uint64_t now_ms)
{
    unsigned index;
    struct context *c = context_find(proxy, waiter, &index);
    struct plan_target *slot = c != NULL ? plan_at(c, index) : NULL;

    if (slot == NULL || !slot->waits)
        return;
    context_hold(c);
    slot->waits = false;
    c->waiting--;
    proxy->counters.woken += count > 0;
    if (count == 0 || replace_sleeper(c, slot, targets, count) != OK)
        c->asleep = true;
    context_advance(c, now_ms);
    context_unhold(c);
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

void proxy_on_client_end(struct proxy *proxy, struct id client, uint64_t context, uint64_t now_ms)
{
    /* A transaction that ends without a word has timed out as far as we know. */
    proxy_on_failure(proxy, client, context, TXN_TIMEOUT, now_ms);
}
