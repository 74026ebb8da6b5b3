/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which target is next (RFC 3261 §16.6, RFC 5393 §5.3): by q, side by side as far as Max-Breadth
 * goes, of each phone one flow and of each name one address at a time.
 */
#include "proxy/context.h"

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
        if (branch->state == BRANCH_PENDING && !branch->given_up && branch->instance == instance)
            return true;
    }
    return false;
}

/* The phone has answered by one flow: it is not asked again by another. */
void targets_settle_instance(struct context *c, uint32_t instance)
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
    for (unsigned i = 0; i < c->branch_count; i++) {
        const struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && !branch->given_up && branch->group == group)
            return true;
    }
    return false;
}

/* The name has answered by one of its addresses: the others are not asked. */
void targets_settle_group(struct context *c, uint32_t group)
{
    if (group == 0)
        return;
    for (struct plan *plan = c->plan; plan != NULL; plan = plan->next)
        for (unsigned i = 0; i < plan->count; i++)
            if (plan->targets[i].target.group == group)
                plan->targets[i].done = true;
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

/* What the group may have of it: a plan keeps half for steps to come, whose turn is when those who
 * were given up have not answered their CANCEL yet. */
static unsigned breadth_for_group(struct context *c)
{
    unsigned left = breadth_left(c);

    return steps_left(c) ? (left + 1) / 2 : left;
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
    unsigned left = breadth_for_group(c);
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
void targets_reserve(struct context *c, const struct proxy_request *request, uint64_t now_ms)
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
        branch_tell(c, PROXY_LEG_PLANNED, client, &slot->target, (struct slice){name, sizeof name},
                    now_ms);
    }
}

/* The group that is at work has a target ready, or there is none at work and the next group is
 * due. */
unsigned targets_launch(struct context *c, const struct proxy_request *request, enum err *error,
                        uint64_t now_ms)
{
    uint16_t q;

    while (highest_q(c, &q)) {
        if (targets_busy(c) && q != c->plan->group_q)
            return 0;
        c->plan->group_q = q;
        unsigned started = launch_group(c, request, q, error, now_ms);
        if (started > 0 || targets_busy(c) || breadth_left(c) == 0)
            return started; /* none left: until those who were given up have ended */
    }
    return 0;
}

struct proxy_request context_request(const struct context *c, const struct sip_msg *msg)
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
    *out = context_request(c, msg);
    return true;
}

/* Starts what is due of the targets that there are. */
static void launch_due(struct context *c, uint64_t now_ms)
{
    struct proxy_request request;
    enum err error = OK;
    uint16_t q;

    if (c->plan == NULL || !highest_q(c, &q))
        return;
    if (restore_request(c, &request))
        (void)targets_launch(c, &request, &error, now_ms);
}

/* Do targets wait for nothing but their share of Max-Breadth? */
static bool wants_breadth(const struct context *c)
{
    uint16_t q;

    return c->pending > 0 && c->plan != NULL && highest_q(c, &q);
}

void context_advance(struct context *c, uint64_t now_ms)
{
    assert(c->held > 0);

    if (c->answered || c->closed || c->silent)
        return;
    launch_due(c, now_ms);
    while (!targets_busy(c) && !wants_breadth(c) && steps_next(c, now_ms))
        launch_due(c, now_ms);
    if (targets_busy(c) || wants_breadth(c) || steps_left(c))
        return;
    steps_drop_silent(c, now_ms);
    if (c->pending == 0 && !c->answered)
        response_finish(c, now_ms);
}
