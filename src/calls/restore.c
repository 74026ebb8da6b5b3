/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/restore - calls of an earlier run.
 *
 * One that was up goes on. One that rang is over, as FAILED by the system: whom that concerns is
 * told by the owner. One that had ended lately is remembered, so that its copies begin nothing.
 */
#include "base/table.h"
#include "calls/internal.h"

static enum err keep_texts(struct call *call, const struct call_record *record)
{
    struct builder b = builder_over(call->calls->scratch, sizeof call->calls->scratch);

    call_field_number(&b, CALL_T_CALL_HASH, record->call_hash);
    call_field_number(&b, CALL_T_ATTEMPT_HASH_A, record->attempt_hash_a);
    call_field_number(&b, CALL_T_ATTEMPT_HASH_B, record->attempt_hash_b);
    call_field_number(&b, CALL_T_CALLER_TAG_HASH, record->caller_tag_hash);
    call_field_text(&b, CALL_T_SIP_CALL_ID, record->sip_call_id, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_CALLING_URI, record->calling_uri, CALL_URI_MAX);
    call_field_text(&b, CALL_T_CALLING_NUMBER, record->calling_number, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_CALLING_NAME, record->calling_name, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_CALLED_URI, record->called_uri, CALL_URI_MAX);
    call_field_text(&b, CALL_T_CALLED_NUMBER, record->called_number, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_SOURCE_ADDRESS, record->source_address, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_USER_AGENT, record->user_agent, CALL_TEXT_MAX);
    call_field_number(&b, CALL_T_TRANSPORT, record->transport);
    call_field_number(&b, CALL_T_DIRECTION, record->direction);
    return packed_keep(call->calls->config.mem, &b, &call->text);
}

static enum err keep_leg(struct call *call, struct leg *leg, const struct call_leg *from)
{
    struct builder b = builder_over(call->calls->scratch, sizeof call->calls->scratch);

    call_field_text(&b, CALL_T_TARGET, from->target, CALL_URI_MAX);
    call_field_text(&b, CALL_T_USER, from->user, CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_ADDRESS, from->address, CALL_TEXT_MAX);
    leg->start_ms = from->start_ms != 0 ? from->start_ms : call->start_ms; /* it was planned */
    leg->progress_ms = from->progress_ms;
    leg->answer_ms = from->answer_ms;
    leg->end_ms = from->end_ms;
    leg->sip_status = from->sip_status;
    leg->q850_cause = from->q850_cause;
    leg->disposition = from->disposition;
    return packed_keep(call->calls->config.mem, &b, &leg->text);
}

static enum err keep_legs(struct call *call, const struct call_record *record)
{
    if (record->leg_count == 0)
        return OK;
    size_t bytes = record->leg_count * sizeof *call->legs;
    call->legs = mem_zalloc(call->calls->config.mem, bytes);
    if (call->legs == NULL)
        return ERR_MEMORY;
    call->leg_capacity = (uint8_t)record->leg_count;
    for (uint32_t i = 0; i < record->leg_count; i++) {
        call->leg_count++;
        enum err err = keep_leg(call, &call->legs[i], &record->legs[i]);
        if (err)
            return err;
        if (record->legs[i].answer_ms != 0 && call->answered_leg < 0)
            call->answered_leg = (int8_t)i;
    }
    return OK;
}

static enum err keep_reason(struct call *call, struct slice reason)
{
    struct builder b = builder_over(call->calls->scratch, sizeof call->calls->scratch);
    struct packed packed;

    call_field_text(&b, CALL_T_REASON, reason, CALL_TEXT_MAX);
    enum err err = packed_keep(call->calls->config.mem, &b, &packed);
    if (err)
        return err;
    call->late = packed.bytes;
    call->late_len = packed.len;
    return OK;
}

static struct call *call_from(struct calls *calls, const struct call_record *record,
                              uint64_t now_ms, uint64_t wall_ms)
{
    struct call *call = call_make(calls, record->attempt_hash_a, record->attempt_hash_b);

    if (call == NULL)
        return NULL;
    call->id = record->id;
    call->wall_offset_ms = (int64_t)wall_ms - (int64_t)now_ms;
    call->start_ms = record->start_ms;
    call->progress_ms = record->progress_ms;
    call->answer_ms = record->answer_ms;
    call->end_ms = record->end_ms;
    call->sip_status = record->sip_status;
    call->q850_cause = record->q850_cause;
    call->disposition = record->disposition;
    call->release_party = record->release_party;
    call->callee_tag = record->callee_tag_hash;
    call->caller_media = record->caller_media;
    call->callee_media = record->callee_media;
    call->hold_ms = record->hold_ms < UINT32_MAX ? (uint32_t)record->hold_ms : UINT32_MAX;
    call->hold_since_ms = record->hold_since_ms;
    call->heard_ms = now_ms;
    call->counted = true; /* by the run before, when it is over */
    enum err err = keep_texts(call, record);
    if (err == OK)
        err = keep_legs(call, record);
    if (err == OK)
        err = keep_reason(call, record->reason);
    if (err) {
        call_free(call);
        return NULL;
    }
    call_restore_dialog(call, record->dialog);
    return call;
}

static void interrupt(struct call *call, struct slice block, uint64_t now_ms)
{
    static const struct call_end end = {
        .sip_status = 500,
        .party = CALL_P_SYSTEM,
        .reason = {"the router was restarted", sizeof "the router was restarted" - 1},
    };
    struct calls *calls = call->calls;

    calls->counters.interrupted++;
    calls->config.interrupted(calls->config.user, block, now_ms);
    calls_ended(calls, call->self, &end, now_ms);
}

void calls_restore(struct calls *calls, struct slice block, uint64_t now_ms, uint64_t wall_ms)
{
    struct call_record *record = &calls->record;

    if (call_record_unpack(block, record) != OK ||
        table_owner(record->call_hash, calls->config.workers) != calls->config.worker)
        return;
    struct call *call = call_from(calls, record, now_ms, wall_ms);
    if (call == NULL) {
        calls->counters.full++;
        return;
    }
    if (record->end_ms != 0) {
        call_set_state(call, ATTEMPT_OVER);
        call_arm(call, now_ms);
        return;
    }
    call->counted = false;
    if (record->answer_ms == 0) {
        call_set_state(call, ATTEMPT_TRYING);
        interrupt(call, block, now_ms);
        return;
    }
    calls->counters.restored++;
    call_set_state(call, ATTEMPT_UP);
    call_arm(call, now_ms);
}
