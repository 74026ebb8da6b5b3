/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/events - what happens to a call and its legs.
 */
#include "calls/internal.h"

/* ---- counting ---- */

static void count_pdd(struct calls_counters *counters, uint64_t pdd_ms)
{
    unsigned bucket = 0;

    while (bucket < CALLS_PDD_BUCKETS && pdd_ms > calls_pdd_limits_ms[bucket])
        bucket++;
    counters->pdd[bucket]++;
    counters->pdd_ms += pdd_ms;
    counters->pdd_count++;
}

/** ITU-T E.425: what the network did is done when the other side, or the caller, decided. */
static bool is_effective(const struct call *call)
{
    switch ((enum call_disposition)call->disposition) {
    case CALL_D_ANSWERED:
    case CALL_D_BUSY:
    case CALL_D_NO_ANSWER:
        return true;
    case CALL_D_REJECTED:
        return call->release_party == CALL_P_CALLEE;
    case CALL_D_CANCELLED:
        return call->progress_ms != 0;
    case CALL_D_NONE:
    case CALL_D_BLOCKED:
    case CALL_D_FAILED:
    case CALL_D_COUNT:
        break;
    }
    return false;
}

static void count_ended(struct call *call)
{
    struct calls_counters *counters = &call->calls->counters;

    if (call->counted)
        return;
    call->counted = true;
    counters->ended[call->disposition]++;
    counters->effective += is_effective(call);
    if (call->answer_ms != 0)
        counters->duration_ms += call->end_ms - call->answer_ms;
}

void call_uncount(const struct call *call)
{
    struct calls_counters *counters = &call->calls->counters;

    counters->ended[call->disposition]--;
    counters->effective -= is_effective(call);
}

/* ---- legs ---- */

static struct leg *leg_of(const struct call *call, struct id client)
{
    for (unsigned i = 0; i < call->leg_count; i++)
        if (id_equal(call->legs[i].client, client))
            return &call->legs[i];
    return NULL;
}

/* Room for one more; NULL: none, then its target is not told. */
static struct leg *leg_add(struct call *call)
{
    struct mem *mem = call->calls->config.mem;

    if (call->leg_count == CALL_LEGS_MAX)
        return NULL;
    if (call->leg_count == call->leg_capacity) {
        unsigned capacity = call->leg_capacity == 0 ? 1u : call->leg_capacity * 2u;
        struct leg *legs = mem_zalloc(mem, capacity * sizeof *legs);
        if (legs == NULL)
            return NULL;
        if (call->leg_count > 0)
            memcpy(legs, call->legs, call->leg_count * sizeof *legs);
        mem_free(mem, call->legs, call->leg_capacity * sizeof *legs);
        call->legs = legs;
        call->leg_capacity = (uint8_t)capacity;
    }
    return &call->legs[call->leg_count++];
}

static void leg_keep(struct call *call, struct leg *leg, const struct call_leg_facts *facts)
{
    struct calls *calls = call->calls;
    char address[ADDR_TEXT_MAX];
    struct builder b = builder_over(calls->scratch, sizeof calls->scratch);

    call_field_text(&b, CALL_T_TARGET, facts->target, CALL_URI_MAX);
    call_field_text(&b, CALL_T_USER, facts->user, CALL_TEXT_MAX);
    addr_text(&facts->flow.remote, address);
    call_field_text(&b, CALL_T_ADDRESS, slice_of(address), ADDR_TEXT_MAX);
    if (packed_keep(calls->config.mem, &b, &leg->text) != OK)
        return; /* the leg is told without its target */
    if (facts->target.len > CALL_URI_MAX || facts->branch.len == 0 ||
        facts->routes.len > CALL_WAY_MAX)
        return;
    b = builder_over(calls->scratch, sizeof calls->scratch);
    call_field_text(&b, CALL_T_BRANCH, facts->branch, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_ROUTES, facts->routes, CALL_WAY_MAX);
    call_field_flow(&b, &facts->flow);
    (void)!packed_keep(calls->config.mem, &b, &leg->way);
}

void calls_leg(struct calls *calls, struct id id, const struct call_leg_facts *facts, bool sent,
               uint64_t now_ms)
{
    struct call *call = call_of(calls, id);
    if (call == NULL || call->end_ms != 0)
        return;

    struct leg *leg = leg_of(call, facts->client);
    bool known = leg != NULL;
    if (!known) {
        leg = leg_add(call);
        if (leg == NULL)
            return;
        *leg = (struct leg){.client = facts->client};
        leg_keep(call, leg, facts);
    }
    if (sent)
        leg->start_ms = call_utc(call, now_ms);
    if (sent && !known && call->state == ATTEMPT_TRYING)
        (void)!call_save(call, now_ms); /* where it rings must be known after a crash, too */
}

static void progress(struct call *call, uint64_t now_ms)
{
    if (call->progress_ms != 0)
        return;
    call->progress_ms = call_utc(call, now_ms);
    count_pdd(&call->calls->counters, call->progress_ms - call->start_ms);
}

void calls_leg_rang(struct calls *calls, struct id id, struct id client, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);
    struct leg *leg = call != NULL ? leg_of(call, client) : NULL;

    if (leg == NULL || leg->end_ms != 0)
        return;
    if (leg->progress_ms == 0)
        leg->progress_ms = call_utc(call, now_ms);
    progress(call, now_ms);
}

void calls_leg_answered(struct calls *calls, struct id id, struct id client, uint16_t status,
                        uint64_t now_ms)
{
    struct call *call = call_of(calls, id);
    struct leg *leg = call != NULL ? leg_of(call, client) : NULL;

    if (leg == NULL || leg->answer_ms != 0 || leg->end_ms != 0)
        return;
    leg->answer_ms = call_utc(call, now_ms);
    leg->sip_status = status;
    leg->disposition = CALL_D_ANSWERED;
    if (call->answered_leg < 0)
        call->answered_leg = (int8_t)(leg - call->legs);
}

static uint8_t cause_of(const struct call_end *end)
{
    return end->q850_cause != 0 ? end->q850_cause : outcome_q850(end->sip_status);
}

static void leg_end(struct leg *leg, uint64_t end_ms, uint16_t status, uint8_t cause,
                    bool by_caller)
{
    if (leg->end_ms != 0)
        return;
    leg->end_ms = end_ms;
    leg->q850_cause = cause;
    if (leg->answer_ms == 0) {
        leg->sip_status = status;
        leg->disposition = (uint8_t)outcome_disposition(status, by_caller);
    }
}

void calls_leg_ended(struct calls *calls, struct id id, struct id client,
                     const struct call_end *end, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);
    struct leg *leg = call != NULL ? leg_of(call, client) : NULL;

    if (leg == NULL)
        return;
    bool cancelled = end->sip_status == 487 && (call->cancelled || call->answer_ms != 0);
    leg_end(leg, call_utc(call, now_ms), end->sip_status, cause_of(end), cancelled);
    packed_free(calls->config.mem, &leg->way);
}

/* ---- the call ---- */

static void ways_free(struct call *call)
{
    struct mem *mem = call->calls->config.mem;

    packed_free(mem, &call->way);
    for (unsigned i = 0; i < call->leg_count; i++)
        packed_free(mem, &call->legs[i].way);
}

static void keep_reason(struct call *call, struct slice reason)
{
    struct mem *mem = call->calls->config.mem;
    char text[CALL_TEXT_MAX + 8];
    struct builder b = builder_over(text, sizeof text);

    call_field_text(&b, CALL_T_REASON, reason, CALL_TEXT_MAX);
    if (b.len == 0)
        return;
    char *late = mem_alloc(mem, b.len);
    if (late == NULL)
        return;
    memcpy(late, b.data, b.len);
    mem_free(mem, call->late, call->late_len);
    call->late = late;
    call->late_len = (uint16_t)b.len;
}

void calls_cancelled(struct calls *calls, struct id id, const struct call_end *end, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    (void)now_ms;
    if (call == NULL || call->end_ms != 0 || call->answer_ms != 0)
        return;
    call->cancelled = true;
    call->q850_cause = end->q850_cause;
    keep_reason(call, end->reason);
}

void calls_answered(struct calls *calls, struct id id, uint16_t status, uint32_t callee_tag,
                    uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    if (call == NULL || call->answer_ms != 0 || call->end_ms != 0)
        return;
    progress(call, now_ms);
    call->answer_ms = call_utc(call, now_ms);
    call->callee_tag = callee_tag;
    call->sip_status = status;
    call->q850_cause = 0;
    call->heard_ms = now_ms;
    call_hold(call, now_ms);
    call->calls->counters.answered++;
    ways_free(call);
    call_set_state(call, ATTEMPT_UP);
    (void)!call_save(call, now_ms);
    call_arm(call, now_ms);
}

/** Everything that still goes on ends with the call. */
static void end_legs(struct call *call, const struct call_end *end)
{
    for (unsigned i = 0; i < call->leg_count; i++) {
        struct leg *leg = &call->legs[i];
        bool answered = leg->answer_ms != 0;
        if (leg->start_ms != 0 && leg->end_ms == 0)
            leg_end(leg, call->end_ms, answered ? leg->sip_status : end->sip_status,
                    answered ? call->q850_cause : outcome_q850(end->sip_status), call->cancelled);
    }
}

void call_over(struct call *call, uint64_t now_ms)
{
    call->heard_ms = now_ms;
    call_set_state(call, ATTEMPT_OVER);
    count_ended(call);
    call_arm(call, now_ms);
}

void calls_ended(struct calls *calls, struct id id, const struct call_end *end, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    if (call == NULL || call->end_ms != 0)
        return;
    call->end_ms = call_utc(call, now_ms);
    if (call->end_ms < call->answer_ms)
        call->end_ms = call->answer_ms;
    call_hold(call, now_ms);
    keep_reason(call, end->reason);
    if (call->answer_ms != 0) {
        call->disposition = CALL_D_ANSWERED;
        call->release_party = end->party;
        call->q850_cause = end->q850_cause != 0 ? end->q850_cause : Q850_NORMAL_CLEARING;
    } else {
        bool by_caller = call->cancelled && end->sip_status == 487;
        call->sip_status = end->sip_status;
        call->disposition = (uint8_t)outcome_disposition(end->sip_status, by_caller);
        call->release_party = by_caller ? CALL_P_CALLER : end->party;
        if (!by_caller)
            call->q850_cause = cause_of(end);
        else if (call->q850_cause == 0)
            call->q850_cause = Q850_NORMAL_CLEARING;
    }
    end_legs(call, end);
    ways_free(call);
    packed_free(calls->config.mem, &call->dialog);
    if (call->state == ATTEMPT_NEW)
        return; /* calls_commit() writes it */
    if (call->state != ATTEMPT_WAITING)
        call_over(call, now_ms);
    (void)!call_save(call, now_ms);
}

void calls_heard(struct calls *calls, struct id id, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    if (call != NULL && call->state == ATTEMPT_UP)
        call->heard_ms = now_ms;
}

uint32_t calls_callee_tag(const struct calls *calls, struct id id)
{
    const struct call *call = call_of(calls, id);
    return call != NULL ? call->callee_tag : 0;
}
