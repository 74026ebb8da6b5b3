/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/write - a call as a block, and the block on its way to the journal.
 *
 * What does not change is packed once and copied; numbers are written anew each time.
 */
#include "calls/internal.h"
#include "dialog/dialog.h"

enum err packed_keep(struct mem *mem, const struct builder *b, struct packed *out)
{
    if (b->overflow || b->len > UINT16_MAX || b->len > MEM_MAX_ALLOC)
        return ERR_TOO_BIG;
    struct packed packed = {.len = (uint16_t)b->len};
    if (b->len > 0) {
        packed.bytes = mem_alloc(mem, b->len);
        if (packed.bytes == NULL)
            return ERR_MEMORY;
        memcpy(packed.bytes, b->data, b->len);
    }
    *out = packed;
    return OK;
}

void packed_free(struct mem *mem, struct packed *packed)
{
    mem_free(mem, packed->bytes, packed->len);
    *packed = (struct packed){0};
}

static void add_packed(struct builder *b, const struct packed *packed)
{
    builder_add(b, (struct slice){packed->bytes, packed->len});
}

static void write_leg(struct builder *b, const struct leg *leg, bool ringing)
{
    size_t begin = call_leg_begin(b);

    add_packed(b, &leg->text);
    if (ringing && leg->end_ms == 0)
        add_packed(b, &leg->way);
    call_field_number(b, CALL_T_START, leg->start_ms);
    call_field_number(b, CALL_T_PROGRESS, leg->progress_ms);
    call_field_number(b, CALL_T_ANSWER, leg->answer_ms);
    call_field_number(b, CALL_T_END, leg->end_ms);
    call_field_number(b, CALL_T_SIP_STATUS, leg->sip_status);
    call_field_number(b, CALL_T_Q850, leg->q850_cause);
    call_field_number(b, CALL_T_DISPOSITION, leg->disposition);
    call_leg_end(b, begin);
}

/* Who answered: the user of the leg. */
static void write_answered_by(struct builder *b, const struct call *call)
{
    if (call->answered_leg < 0)
        return;
    const struct packed *text = &call->legs[call->answered_leg].text;
    struct slice rest = {text->bytes, text->len};

    while (rest.len >= 3) {
        struct slice head = slice_take(&rest, 3);
        size_t len = (size_t)(uint8_t)head.data[1] | (size_t)(uint8_t)head.data[2] << 8;
        struct slice value = slice_take(&rest, len);
        if (head.data[0] == CALL_T_USER)
            call_field_text(b, CALL_T_ANSWERED_BY, value, CALL_TEXT_MAX);
    }
}

/** `ringing`: with what is needed to end it after a restart. */
static struct slice write_as(struct call *call, bool ringing)
{
    struct builder b = builder_over(call->calls->scratch, sizeof call->calls->scratch);

    call_block_begin(&b);
    call_field_number(&b, CALL_T_ID, call->id);
    add_packed(&b, &call->text);
    builder_add(&b, (struct slice){call->late, call->late_len});
    if (ringing)
        add_packed(&b, &call->way);
    call_field_number(&b, CALL_T_START, call->start_ms);
    call_field_number(&b, CALL_T_PROGRESS, call->progress_ms);
    call_field_number(&b, CALL_T_ANSWER, call->answer_ms);
    call_field_number(&b, CALL_T_END, call->end_ms);
    call_field_number(&b, CALL_T_CALLEE_TAG_HASH, call->callee_tag);
    call_field_number(&b, CALL_T_SIP_STATUS, call->sip_status);
    call_field_number(&b, CALL_T_Q850, call->q850_cause);
    call_field_number(&b, CALL_T_DISPOSITION, call->disposition);
    call_field_number(&b, CALL_T_RELEASE_PARTY, call->release_party);
    call_field_side(&b, CALL_T_CALLER_MEDIA, &call->caller_media);
    call_field_side(&b, CALL_T_CALLEE_MEDIA, &call->callee_media);
    call_field_number(&b, CALL_T_HOLD, call->hold_ms);
    call_field_number(&b, CALL_T_HOLD_SINCE, call->hold_since_ms);
    if (call->answer_ms != 0 && call->end_ms == 0)
        call_field_text(&b, CALL_T_DIALOG, (struct slice){call->dialog.bytes, call->dialog.len},
                        DIALOG_PACKED_MAX);
    write_answered_by(&b, call);
    for (unsigned i = 0; i < call->leg_count; i++)
        if (call->legs[i].start_ms != 0 || ringing)
            write_leg(&b, &call->legs[i], ringing);
    return b.overflow ? SLICE_EMPTY : builder_slice(&b);
}

struct slice call_write(struct call *call)
{
    bool ringing = call->answer_ms == 0 && call->end_ms == 0;
    struct slice block = write_as(call, ringing);

    return block.len == 0 && ringing ? write_as(call, false) : block;
}

void call_set_unwritten(struct call *call, bool unwritten)
{
    struct calls *calls = call->calls;

    if (call->unwritten == unwritten)
        return;
    call->unwritten = unwritten;
    if (unwritten)
        calls->unwritten++;
    else
        calls->unwritten--;
}

enum err call_save(struct call *call, uint64_t now_ms)
{
    struct calls *calls = call->calls;
    const struct durable_ops *durable = &calls->config.durable;
    struct id token = {call->self.slot | CALLS_TOKEN_BIT, call->self.generation};
    char key[sizeof call->id];

    if (durable->append == NULL)
        return OK;
    struct slice block = call_write(call);
    memcpy(key, &call->id, sizeof key);
    struct durable_op op = {.kind = DURABLE_CALL, .key = {key, sizeof key}, .value = block};
    enum err err = block.len > 0 && call->in_flight < UINT16_MAX
                       ? durable->append(durable->user, &op, token)
                       : ERR_FULL;
    if (err == OK) {
        call->in_flight++;
        calls->in_flight++;
        calls->counters.written++;
    } else {
        calls->counters.write_failures++;
    }
    call_set_unwritten(call, err != OK);
    call_arm(call, now_ms);
    return err;
}
