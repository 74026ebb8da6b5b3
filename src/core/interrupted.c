/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/interrupted - calls that rang when the node ended.
 *
 * Their transactions are gone, so what is sent here has none: a CANCEL to each target, by the
 * branch that the record names, and a 500 to the caller; sent again for a while on what may lose
 * it. The final responses to the INVITEs that are so ended get their ACK, and a copy of the
 * caller's INVITE that comes late gets the 500 again: it is not a call anew, which would ring
 * though he has been told that it is over.
 */
#include "core/internal.h"

enum {
    SENDS = 4,             /* at 0, 500, 1500 and 3500 ms, as Timer A (RFC 3261 §17.1.1.2) */
    RESEND_MS = 500,       /* T1 */
    REMEMBERED_MS = 32000, /* 64*T1: for responses that wait for an ACK */
    REQUEST_MAX = 8192,
};

/** One record while it is dealt with. */
struct ringing {
    struct call_record record;
    struct sip_msg caller; /* the head of the INVITE as it came */
    struct sip_msg invite; /* and as it went to a leg */
    char text[REQUEST_MAX];
};

static bool read_record(struct core *core, const struct interrupted *interrupted,
                        struct ringing **out)
{
    struct ringing *ringing = arena_alloc(&core->scratch, sizeof *ringing);

    if (ringing == NULL ||
        call_record_unpack((struct slice){interrupted->block, interrupted->block_len},
                           &ringing->record) != OK ||
        sip_parse(ringing->record.way, SIP_DATAGRAM, &ringing->caller) != OK ||
        !ringing->caller.is_request || ringing->caller.fault.status != 0)
        return false;
    *out = ringing;
    return true;
}

/** A listener that is there; one of another configuration may not be. */
static bool is_usable(const struct core *core, const struct flow *flow)
{
    return flow->listener < core->config.listener_count &&
           core->config.listeners[flow->listener].transport == flow->transport;
}

/** The INVITE as it went to a leg, as far as CANCEL and ACK need it. */
static bool write_invite(struct core *core, struct ringing *ringing, const struct call_leg *leg)
{
    struct builder b = builder_over(ringing->text, sizeof ringing->text);
    const struct sip_msg *caller = &ringing->caller;

    if (leg->branch.len == 0 || leg->end_ms != 0 || !is_usable(core, &leg->flow))
        return false;
    builder_text(&b, "INVITE ");
    builder_add(&b, leg->target);
    builder_text(&b, " SIP/2.0\r\n");
    proxy_via_write(core->proxy, &leg->flow, leg->branch, &b);
    if (leg->routes.len > 0) {
        builder_text(&b, "Route: ");
        builder_add(&b, leg->routes);
        builder_text(&b, "\r\n");
    }
    sip_add_first_field(&b, caller, SIP_F_FROM);
    sip_add_first_field(&b, caller, SIP_F_TO);
    sip_add_first_field(&b, caller, SIP_F_CALL_ID);
    sip_add_first_field(&b, caller, SIP_F_CSEQ);
    builder_text(&b, "Content-Length: 0\r\n\r\n");
    return !b.overflow && sip_parse(builder_slice(&b), SIP_DATAGRAM, &ringing->invite) == OK &&
           ringing->invite.is_request && ringing->invite.fault.status == 0;
}

static void cancel_leg(struct core *core, struct ringing *ringing, const struct call_leg *leg,
                       bool again)
{
    struct slice reason = SLICE("Reason: Q.850;cause=41;text=\"Temporary failure\"\r\n");

    if ((again && transport_reliable((enum transport)leg->flow.transport)) ||
        !write_invite(core, ringing, leg))
        return;
    struct builder b = outbox_open(core->config.outbox, REQUEST_MAX);
    if (sip_cancel_write(&ringing->invite, reason, &b) == OK)
        outbox_commit(core->config.outbox, &b, &leg->flow);
}

/** He has not heard of its end, and sent his INVITE again: it goes on by that. */
static bool goes_on(const struct core *core, const struct call_record *record)
{
    const struct call_key key = {.attempt = {record->attempt_hash_a, record->attempt_hash_b}};
    struct id call = calls_find(core->calls, &key);

    return calls_server(core->calls, call).generation != 0;
}

static void tell_caller(struct core *core, const struct ringing *ringing, bool again)
{
    struct sip_reply reply = {.status = 500};
    const struct flow *flow = &ringing->record.flow;

    if (!goes_on(core, &ringing->record) && is_usable(core, flow) &&
        !(again && transport_reliable((enum transport)flow->transport)))
        txn_reply_stateless(core->txns, &ringing->caller, flow, &reply);
}

static void interrupted_free(struct interrupted *interrupted)
{
    struct core *core = interrupted->core;

    timer_stop(&core->wheel, &interrupted->timer);
    list_remove(&interrupted->node);
    mem_free(&core->mem, interrupted, sizeof *interrupted + interrupted->block_len);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct interrupted *interrupted = CONTAINER_OF(timer, struct interrupted, timer);
    struct core *core = interrupted->core;
    struct ringing *ringing;

    arena_reset(&core->scratch);
    if (interrupted->sent == SENDS || !read_record(core, interrupted, &ringing)) {
        interrupted_free(interrupted);
        return;
    }
    core_set_topic(core, &ringing->caller);
    interrupted->topic = core->config.outbox->topic;
    bool again = interrupted->sent > 0;
    for (uint32_t i = 0; i < ringing->record.leg_count; i++)
        cancel_leg(core, ringing, &ringing->record.legs[i], again);
    tell_caller(core, ringing, again);
    interrupted->sent++;
    uint64_t wait_ms =
        interrupted->sent == SENDS ? REMEMBERED_MS : (uint64_t)RESEND_MS << (interrupted->sent - 1);
    timer_start(&core->wheel, &interrupted->timer, now_ms + wait_ms);
}

void interrupted_add(void *user, struct slice block, uint64_t now_ms)
{
    struct core *core = user;

    if (sizeof(struct interrupted) + block.len > MEM_MAX_ALLOC)
        return;
    struct interrupted *interrupted = mem_alloc(&core->mem, sizeof *interrupted + block.len);
    if (interrupted == NULL) {
        core_count(core, CORE_R_MEMORY);
        return;
    }
    *interrupted = (struct interrupted){
        .core = core, .block_len = (uint32_t)block.len, .timer = {.fn = on_timer}};
    memcpy(interrupted->block, block.data, block.len);
    list_push(&core->interrupted, &interrupted->node);
    timer_start(&core->wheel, &interrupted->timer, now_ms);
}

void interrupted_close(struct core *core)
{
    while (!list_empty(&core->interrupted))
        interrupted_free(CONTAINER_OF(core->interrupted.next, struct interrupted, node));
}

static void acknowledge(struct core *core, struct ringing *ringing, const struct call_leg *leg,
                        const struct sip_msg *response)
{
    if (!write_invite(core, ringing, leg))
        return;
    struct builder b = outbox_open(core->config.outbox, REQUEST_MAX);
    if (sip_ack_write(&ringing->invite, response->to.value, &b) == OK)
        outbox_commit(core->config.outbox, &b, &leg->flow);
}

static bool is_copy(const struct ringing *ringing, const struct sip_msg *invite)
{
    const struct sip_msg *caller = &ringing->caller;

    return invite->cseq.number == caller->cseq.number &&
           slice_equal(invite->via.branch, caller->via.branch) &&
           slice_equal(invite->call_id, caller->call_id) &&
           slice_equal(invite->from.tag, caller->from.tag);
}

bool interrupted_copy(struct core *core, const struct sip_msg *invite, const struct flow *source)
{
    struct sip_reply reply = {.status = 500};
    struct ringing *ringing;

    for (struct list *node = core->interrupted.next; node != &core->interrupted;
         node = node->next) {
        const struct interrupted *interrupted = CONTAINER_OF(node, struct interrupted, node);
        if (interrupted->sent == 0 || interrupted->topic != core->config.outbox->topic)
            continue;
        arena_reset(&core->scratch);
        if (!read_record(core, interrupted, &ringing) || !is_copy(ringing, invite))
            continue;
        txn_reply_stateless(core->txns, invite, source, &reply);
        return true;
    }
    return false;
}

void interrupted_response(struct core *core, const struct sip_msg *response,
                          const struct flow *source)
{
    struct ringing *ringing;

    if (list_empty(&core->interrupted) || response->method != SIP_INVITE || response->status < 300)
        return;
    for (struct list *node = core->interrupted.next; node != &core->interrupted;
         node = node->next) {
        arena_reset(&core->scratch);
        if (!read_record(core, CONTAINER_OF(node, struct interrupted, node), &ringing))
            continue;
        for (uint32_t i = 0; i < ringing->record.leg_count; i++) {
            const struct call_leg *leg = &ringing->record.legs[i];
            if (leg->branch.len > 0 && slice_equal(leg->branch, response->via.branch) &&
                addr_same_host(&leg->flow.remote, &source->remote)) {
                acknowledge(core, ringing, leg, response);
                return;
            }
        }
    }
}
