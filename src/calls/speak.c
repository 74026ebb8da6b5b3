/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/speak - the dialog of a call, kept so that we can speak in it.
 *
 * It begins with what only the INVITE says (where the caller is), is confirmed by the 2xx, and goes
 * into the record until the call is over. Of the CSeqs only the first of each end is written: to
 * write them with every request would cost a record each, and after a restart a jump does as well
 * (dialog_restored()).
 */
#include "calls/internal.h"

static struct slice packed_of(const struct call *call)
{
    return (struct slice){call->dialog.bytes, call->dialog.len};
}

/** Keeps it instead of what is there. What cannot be kept leaves nothing. */
static void keep(struct call *call, const struct dialog *dialog)
{
    char bytes[DIALOG_PACKED_MAX];
    struct builder b = builder_over(bytes, sizeof bytes);
    struct packed packed = {0};

    if (dialog_pack(dialog, &b) == OK)
        (void)!packed_keep(call->calls->config.mem, &b, &packed);
    packed_free(call->calls->config.mem, &call->dialog);
    call->dialog = packed;
}

void call_begin_dialog(struct call *call, const struct call_facts *facts)
{
    const struct dialog dialog = {.caller = {.target = facts->contact, .cseq = facts->cseq}};

    if (facts->contact.len > 0)
        keep(call, &dialog);
}

void call_restore_dialog(struct call *call, struct slice packed)
{
    struct dialog dialog;

    if (dialog_unpack(packed, &dialog) != OK)
        return;
    keep(call, &dialog);
    dialog_restored(call->dialog.bytes, call->dialog.len);
}

void calls_confirmed(struct calls *calls, struct id id, const struct sip_msg *response,
                     dialog_is_ours_fn *is_ours, void *user)
{
    struct call *call = call_of(calls, id);
    char routes[DIALOG_PACKED_MAX];
    struct builder b = builder_over(routes, sizeof routes);
    struct dialog dialog;

    if (call == NULL || dialog_unpack(packed_of(call), &dialog) != OK)
        return;
    if (dialog_confirm(&dialog, response, is_ours, user, &b) == OK)
        keep(call, &dialog);
}

void calls_said(struct calls *calls, struct id id, bool from_caller, uint32_t cseq, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    if (call != NULL && dialog_heard(call->dialog.bytes, call->dialog.len, from_caller, cseq) &&
        call->state == ATTEMPT_UP)
        (void)!call_save(call, now_ms);
}

void calls_moved(struct calls *calls, struct id id, enum call_party party, struct slice contact,
                 uint64_t now_ms)
{
    struct call *call = call_of(calls, id);
    struct dialog dialog;

    if (call == NULL || call->state != ATTEMPT_UP || contact.len == 0 ||
        dialog_unpack(packed_of(call), &dialog) != OK || !dialog_is_confirmed(&dialog))
        return;
    struct dialog_party *moved = party == CALL_P_CALLER ? &dialog.caller : &dialog.callee;
    if (slice_equal(moved->target, contact))
        return;
    moved->target = contact;
    keep(call, &dialog);
    (void)!call_save(call, now_ms);
}

/** A field of those that are packed. */
static struct slice find_field(struct slice rest, enum call_tag tag)
{
    while (rest.len >= 3) {
        struct slice head = slice_take(&rest, 3);
        size_t len = (size_t)(uint8_t)head.data[1] | (size_t)(uint8_t)head.data[2] << 8;
        struct slice value = slice_take(&rest, len);
        if (head.data[0] == (char)tag)
            return value;
    }
    return SLICE_EMPTY;
}

enum err calls_dialog(const struct calls *calls, struct id id, struct dialog *out,
                      struct slice *sip_call_id)
{
    const struct call *call = call_of(calls, id);

    if (call == NULL || call->state == ATTEMPT_OVER)
        return ERR_NOT_FOUND;
    *sip_call_id = find_field((struct slice){call->text.bytes, call->text.len}, CALL_T_SIP_CALL_ID);
    bool whole = sip_call_id->len > 0 && sip_call_id->len < CALL_TEXT_MAX; /* else it may be cut */
    if (call->state != ATTEMPT_UP || !whole || dialog_unpack(packed_of(call), out) != OK ||
        !dialog_is_confirmed(out))
        return ERR_CONFLICT;
    return OK;
}

void calls_hung_up(struct calls *calls, struct id id, struct slice reason, uint64_t now_ms)
{
    const struct call_end end = {
        .q850_cause = Q850_NORMAL_CLEARING, .party = CALL_P_SYSTEM, .reason = reason};
    struct call *call = call_of(calls, id);

    if (call == NULL)
        return;
    call->hung_up = true;
    calls_ended(calls, id, &end, now_ms);
}

bool calls_was_hung_up(const struct calls *calls, struct id id)
{
    const struct call *call = call_of(calls, id);
    return call != NULL && call->hung_up;
}

uint64_t calls_record_id(const struct calls *calls, struct id id)
{
    const struct call *call = call_of(calls, id);
    return call != NULL ? call->id : 0;
}
