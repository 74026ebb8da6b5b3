/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a branch (RFC 3261 §16.7): its responses, its failure, and what that says of the
 * way that it went.
 */
#include "proxy/context.h"

enum {
    REASON_MAX = 96
};

/* ---- the way that a branch went ---- */

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

/* ---- events ---- */

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
    if (branch->given_up)
        c->given_up--;
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
    steps_heard(c, branch, response);
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

    steps_lost(c, branch, failure == TXN_TIMEOUT && branch->rang);
    branch_done(c, branch);
    context_tell(c, news, now_ms);
    if (branch->rang || branch->timed_out)
        targets_settle_group(c, branch->group); /* there it was */
    if (failure == TXN_TIMEOUT) {
        c->timed_out = true;
        if (!c->invite || branch->rang || branch->timed_out)
            targets_settle_instance(
                c, branch->instance); /* else its next flow may be alive (RFC 5626 §7) */
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

/* Do the targets at work stand for themselves? */
static bool hunts(const struct context *c)
{
    const struct step *step = step_of(c);
    return step != NULL && step->patience.hunts;
}

static void on_rejection(struct context *c, struct branch *branch, const struct sip_msg *response,
                         uint64_t now_ms)
{
    uint16_t status = response->status;

    if (status != 503)
        targets_settle_group(c, branch->group);
    if (status == 430 && branch->at_edge)
        tell_dead_flow(c, branch);
    if ((branch->timed_out && status == 487) || branch->given_up || (!c->invite && status == 408)) {
        on_local_failure(c, branch, TXN_TIMEOUT, now_ms);
        return;
    }
    steps_heard(c, branch, response);
    branch_done(c, branch);
    tell_response(c, branch, response, now_ms);
    if (c->answered)
        return;
    if (!is_dead_flow(c, branch, status))
        targets_settle_instance(c, branch->instance);
    if (is_simple(c, response)) {
        c->answered = true;
        context_close(c);
        response_forward(c, response, now_ms);
        return;
    }
    if (!response_recurse(c, response, now_ms))
        response_store(c, response);
    /* §16.7 step 5: no new branches, and the 6xx waits for the others. */
    if (status >= 600 && !hunts(c)) {
        plan_free(c);
        cancel_because(c, status, now_ms);
    }
    context_advance(c, now_ms);
}

/** Is this branch all that is left: no other is pending, and no target waits for its turn? */
static bool is_last(const struct context *c)
{
    if (c->pending > 1 || steps_left(c))
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
        hop_failed(c, index, response_retry_after(response), now_ms);
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
    targets_settle_instance(c, slot->target.instance);
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

void proxy_on_client_end(struct proxy *proxy, struct id client, uint64_t context, uint64_t now_ms)
{
    /* A transaction that ends without a word has timed out as far as we know. */
    proxy_on_failure(proxy, client, context, TXN_TIMEOUT, now_ms);
}
