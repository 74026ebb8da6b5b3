/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a request's plan, one after the other (RFC 3261 §16.6 leaves the order of targets to
 * local policy; §16.7 says what counts as an answer).
 *
 * A step is over when each of its targets has failed, or its time is over. What is next the core
 * says (proxy_config.next_step): this file knows nothing of departments and carriers. Who still
 * rings when the time is over is cancelled, and the next step begins at once, without waiting for
 * the 487: such a branch is `given_up`. It answers for nothing any more, but a 2xx of it is the
 * call's, as long as nobody else has answered (§16.7 step 5). The caller is told a failure when
 * these, too, have ended; but who never said a word is not waited for then.
 */
#include "proxy/context.h"

/* ---- its time ---- */

void steps_begin(struct context *c, const struct proxy_patience *patience, uint64_t now_ms)
{
    struct step *step = step_of(c);

    if (step == NULL)
        return;
    step->begun_ms = now_ms;
    step->patience = *patience;
    step->end = (struct proxy_end){0};
    step->heard = false;
    if (steps_due_ms(c) != UINT64_MAX)
        context_arm(c, steps_due_ms(c));
}

static uint64_t earlier(uint64_t due_ms, const struct step *step, uint32_t limit_ms)
{
    uint64_t end_ms = step->begun_ms + limit_ms;

    return limit_ms != 0 && end_ms < due_ms ? end_ms : due_ms;
}

uint64_t steps_due_ms(const struct context *c)
{
    const struct step *step = step_of(c);
    uint64_t due_ms = UINT64_MAX;

    if (step == NULL || !c->invite || step->over || step->later || c->waits)
        return UINT64_MAX;
    due_ms = earlier(due_ms, step, step->patience.ring_ms);
    if (!step->heard)
        due_ms = earlier(due_ms, step, step->patience.silent_ms);
    if (!step->end.rang)
        due_ms = earlier(due_ms, step, step->patience.progress_ms);
    return due_ms;
}

static void note(struct step *step, enum proxy_outcome outcome)
{
    if (outcome > step->end.outcome)
        step->end.outcome = outcome;
}

static bool rings_no_longer(const struct step *step, uint64_t now_ms)
{
    uint32_t ring_ms = step->patience.ring_ms;
    return ring_ms != 0 && now_ms - step->begun_ms >= ring_ms;
}

/* Nobody waits for its branches any more, its sleeping phones, or the targets that had no turn. */
static void give_up(struct context *c, uint64_t now_ms)
{
    const struct slice reason = SLICE("Reason: SIP;cause=408;text=\"Request Timeout\"\r\n");
    struct step *step = step_of(c);

    note(step,
         step->end.rang || rings_no_longer(step, now_ms) ? PROXY_UNANSWERED : PROXY_UNREACHED);
    plan_settle(c);
    c->timed_out = true;
    for (unsigned i = 0; i < c->branch_count; i++) {
        struct branch *branch = branch_at(c, i);
        if (branch->state != BRANCH_PENDING || branch->given_up)
            continue;
        branch->given_up = true;
        c->given_up++;
        branch_cancel(c, branch, reason, now_ms);
    }
}

void steps_on_timer(struct context *c, uint64_t now_ms)
{
    if (steps_due_ms(c) > now_ms)
        return;
    give_up(c, now_ms);
    context_advance(c, now_ms);
}

/* ---- what its branches come to ---- */

static enum proxy_outcome outcome_of(uint16_t status)
{
    switch (status) {
    case 430:
        return PROXY_UNREACHED;
    case 486:
    case 600:
        return PROXY_BUSY;
    case 403:
    case 603:
    case 607:
        return PROXY_DECLINED;
    case 408:
    case 480:
        return PROXY_UNANSWERED;
    default:
        return PROXY_FAILED;
    }
}

void steps_heard(struct context *c, const struct branch *branch, const struct sip_msg *response)
{
    struct step *step = step_of(c);
    uint16_t status = response->status;

    if (step == NULL || branch->given_up)
        return;
    struct proxy_end *end = &step->end;
    step->heard = true;
    if (status < 300) {
        end->rang |= status > 100;
        end->early_media |= status > 100 && response->body.len > 0;
        return;
    }
    note(step, outcome_of(status));
    if (end->status != 0 && response_rank(end->status, false) <= response_rank(status, false))
        return;
    end->status = status;
    end->retry_after_s = status == 503 ? response_retry_after(response) : 0;
}

void steps_lost(struct context *c, const struct branch *branch, bool rang)
{
    struct step *step = step_of(c);

    if (step != NULL && !branch->given_up)
        note(step, rang ? PROXY_UNANSWERED : PROXY_UNREACHED);
}

/* ---- what is next ---- */

bool steps_left(const struct context *c)
{
    const struct step *step = step_of(c);
    return step != NULL && !step->over;
}

/* Who was asked in an earlier step, by whichever flow, is not asked again (§16.5). */
static void settle_known(struct context *c)
{
    for (unsigned i = 0; i < c->branch_count; i++)
        targets_settle_instance(c, branch_at(c, i)->instance);
}

/* A step that cannot be kept has nobody: the next one follows. */
static void begin_next(struct context *c, const struct proxy_step *next, uint64_t now_ms)
{
    step_of(c)->count++;
    c->proxy->counters.steps++;
    c->located |= next->count > 0 && next->targets[0].aor.len > 0;
    if (next->count > 0 && plan_add(c, NULL, next->targets, next->count) == OK)
        settle_known(c);
    steps_begin(c, &next->patience, now_ms);
}

/* The plan answers by itself, whatever was said to us. */
static void reply_with(struct context *c, uint16_t status)
{
    context_forget_best(c);
    c->best_status = status;
}

/* True: there is a step to begin. */
static bool take(struct context *c, enum proxy_next next, const struct proxy_step *what,
                 uint16_t reply, uint64_t now_ms)
{
    struct step *step = step_of(c);

    step->later = next == PROXY_NEXT_LATER;
    if (next == PROXY_NEXT_STEP) {
        begin_next(c, what, now_ms);
        return true;
    }
    step->over = next != PROXY_NEXT_LATER;
    if (next == PROXY_NEXT_REPLY)
        reply_with(c, reply);
    return false;
}

bool steps_next(struct context *c, uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;
    struct step *step = step_of(c);
    struct proxy_step next = {0};
    uint16_t reply = 0;

    if (step == NULL || step->over || step->later || c->waits)
        return false;
    if (step->count >= PROXY_STEPS_MAX)
        return take(c, PROXY_NEXT_NONE, NULL, 0, now_ms);
    struct proxy_end end = step->end;
    if (end.outcome == 0)
        end.outcome = PROXY_UNREACHED;
    enum proxy_next verdict =
        config->next_step(config->user, c->plan->request.plan, &end, context_number(c, STEP_BRANCH),
                          now_ms, &next, &reply);
    return take(c, verdict, &next, reply, now_ms);
}

void proxy_go_on(struct proxy *proxy, uint64_t waiter, enum proxy_next next,
                 const struct proxy_step *step, uint16_t reply, uint64_t now_ms)
{
    unsigned branch;
    struct context *c = context_find(proxy, waiter, &branch);

    assert(next != PROXY_NEXT_LATER);
    if (c == NULL || branch != STEP_BRANCH || step_of(c) == NULL || !step_of(c)->later)
        return;
    context_hold(c);
    (void)take(c, next, step, reply, now_ms);
    context_advance(c, now_ms);
    context_unhold(c);
}

void steps_drop_silent(struct context *c, uint64_t now_ms)
{
    for (unsigned i = 0; i < c->branch_count && c->given_up > 0; i++) {
        const struct branch *branch = branch_at(c, i);
        if (branch->state == BRANCH_PENDING && branch->given_up && !branch->rang)
            txn_client_fail(c->proxy->config.txns, branch->client, TXN_TIMEOUT, now_ms);
    }
}
