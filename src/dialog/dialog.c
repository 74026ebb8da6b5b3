/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialog/dialog - learnt from a 2xx, packed, and spoken in.
 */
#include "dialog/dialog.h"

enum {
    FORMAT = 1,
    CSEQ_BYTES = 4,
    CALLER_CSEQ = 1, /* offsets in what is packed */
    CALLEE_CSEQ = CALLER_CSEQ + CSEQ_BYTES,
    TEXTS = CALLEE_CSEQ + CSEQ_BYTES,
    VALUES_MAX = 32, /* of a Record-Route that are looked at */
};

/* ---- learning ---- */

struct slice dialog_contact(const struct sip_msg *msg)
{
    struct sip_values values = sip_values(msg, SIP_F_CONTACT);
    struct sip_name_addr contact;
    struct slice value;

    if (!sip_values_next(&values, &value) || sip_name_addr_parse(value, &contact) != OK)
        return SLICE_EMPTY;
    size_t headers = slice_find(contact.uri_text, '?'); /* no part of a Request-URI (§19.1.1) */
    return headers != SIZE_MAX ? (struct slice){contact.uri_text.data, headers} : contact.uri_text;
}

static struct slice since(const struct builder *b, size_t begin)
{
    return b->len > begin ? (struct slice){b->data + begin, b->len - begin} : SLICE_EMPTY;
}

static void add_value(struct builder *b, size_t begin, struct slice value)
{
    if (b->len > begin)
        builder_char(b, ',');
    builder_add(b, value);
}

/**
 * The route set, which each end keeps whole (§12.1), is cut where we stand in it: what is above us
 * in the response was put there after us, by who is nearer to the callee; we may have put two
 * values there, which have one token.
 */
static enum err split_routes(struct dialog *dialog, const struct sip_msg *response,
                             dialog_is_ours_fn *is_ours, void *user, struct builder *b)
{
    struct sip_values values = sip_values(response, SIP_F_RECORD_ROUTE);
    struct slice all[VALUES_MAX], value;
    size_t count = 0, ours = 0;

    while (sip_values_next(&values, &value)) {
        if (count == VALUES_MAX)
            return ERR_TOO_BIG;
        all[count++] = value;
    }
    while (ours < count && !is_ours(user, all[ours]))
        ours++;
    if (ours == count)
        return ERR_NOT_FOUND;
    dialog->ours = all[ours];

    size_t begin = b->len;
    for (size_t i = ours; i-- > 0;)
        add_value(b, begin, all[i]);
    dialog->callee.routes = since(b, begin);
    begin = b->len;
    while (ours < count && is_ours(user, all[ours]))
        ours++;
    for (; ours < count; ours++)
        add_value(b, begin, all[ours]);
    dialog->caller.routes = since(b, begin);
    return b->overflow ? ERR_TOO_BIG : OK;
}

enum err dialog_confirm(struct dialog *dialog, const struct sip_msg *response,
                        dialog_is_ours_fn *is_ours, void *user, struct builder *b)
{
    struct slice contact = dialog_contact(response);

    if (contact.len == 0 || response->from.tag.len == 0 || response->to.tag.len == 0)
        return ERR_NOT_FOUND;
    enum err err = split_routes(dialog, response, is_ours, user, b);
    if (err)
        return err;
    dialog->caller.name = response->from.value;
    dialog->callee.name = response->to.value;
    dialog->callee.target = contact;
    if (dialog->caller.cseq < response->cseq.number)
        dialog->caller.cseq = response->cseq.number;
    return OK;
}

/* ---- packed ---- */

static void put_cseq(char *at, uint32_t cseq)
{
    for (unsigned i = 0; i < CSEQ_BYTES; i++)
        at[i] = (char)(cseq >> (8 * i) & 0xff);
}

static uint32_t get_cseq(const char *at)
{
    uint32_t cseq = 0;

    for (unsigned i = CSEQ_BYTES; i-- > 0;)
        cseq = cseq << 8 | (uint8_t)at[i];
    return cseq;
}

static void put_text(struct builder *b, struct slice text)
{
    if (text.len > DIALOG_PACKED_MAX) {
        b->overflow = true;
        return;
    }
    builder_char(b, (char)(text.len & 0xff));
    builder_char(b, (char)(text.len >> 8));
    builder_add(b, text);
}

static bool get_text(struct slice *rest, struct slice *out)
{
    if (rest->len < 2)
        return false;
    struct slice head = slice_take(rest, 2);
    size_t len = (size_t)(uint8_t)head.data[0] | (size_t)(uint8_t)head.data[1] << 8;
    if (len > rest->len)
        return false;
    *out = slice_take(rest, len);
    return true;
}

static void put_party(struct builder *b, const struct dialog_party *party)
{
    put_text(b, party->name);
    put_text(b, party->target);
    put_text(b, party->routes);
}

static bool get_party(struct slice *rest, struct dialog_party *out)
{
    return get_text(rest, &out->name) && get_text(rest, &out->target) &&
           get_text(rest, &out->routes);
}

enum err dialog_pack(const struct dialog *dialog, struct builder *b)
{
    char head[TEXTS] = {FORMAT};
    size_t begin = b->len;

    put_cseq(head + CALLER_CSEQ, dialog->caller.cseq);
    put_cseq(head + CALLEE_CSEQ, dialog->callee.cseq);
    builder_add(b, (struct slice){head, sizeof head});
    put_text(b, dialog->ours);
    put_party(b, &dialog->caller);
    put_party(b, &dialog->callee);
    return b->overflow || b->len - begin > DIALOG_PACKED_MAX ? ERR_TOO_BIG : OK;
}

/** Nothing that is packed reaches beyond the line that it is written into. */
static bool is_line(struct slice text)
{
    return slice_find(text, '\r') == SIZE_MAX && slice_find(text, '\n') == SIZE_MAX;
}

static bool is_sound(const struct dialog_party *party)
{
    return party->cseq <= SIP_CSEQ_MAX && is_line(party->target);
}

enum err dialog_unpack(struct slice packed, struct dialog *out)
{
    struct dialog dialog = {0};

    if (packed.len < TEXTS || packed.len > DIALOG_PACKED_MAX || packed.data[0] != FORMAT)
        return ERR_SYNTAX;
    dialog.caller.cseq = get_cseq(packed.data + CALLER_CSEQ);
    dialog.callee.cseq = get_cseq(packed.data + CALLEE_CSEQ);
    struct slice rest = slice_from(packed, TEXTS);
    if (!get_text(&rest, &dialog.ours) || !get_party(&rest, &dialog.caller) ||
        !get_party(&rest, &dialog.callee) || rest.len != 0 || !is_sound(&dialog.caller) ||
        !is_sound(&dialog.callee))
        return ERR_SYNTAX;
    *out = dialog;
    return OK;
}

bool dialog_heard(char *packed, size_t len, bool from_caller, uint32_t cseq)
{
    if (len < TEXTS)
        return false;
    char *at = packed + (from_caller ? CALLER_CSEQ : CALLEE_CSEQ);
    uint32_t before = get_cseq(at);
    if (before < cseq)
        put_cseq(at, cseq);
    return before == 0 && cseq > 0;
}

static void jump(char *at)
{
    uint32_t cseq = get_cseq(at);

    if (cseq == 0)
        put_cseq(at, DIALOG_UNKNOWN);
    else if (cseq <= SIP_CSEQ_MAX - DIALOG_JUMP)
        put_cseq(at, cseq + DIALOG_JUMP);
}

void dialog_restored(char *packed, size_t len)
{
    if (len < TEXTS)
        return;
    jump(packed + CALLER_CSEQ);
    jump(packed + CALLEE_CSEQ);
}

/* ---- speaking ---- */

static bool is_known(const struct dialog_party *party)
{
    return party->name.len > 0 && party->target.len > 0;
}

bool dialog_is_confirmed(const struct dialog *dialog)
{
    return dialog->ours.len > 0 && is_known(&dialog->caller) && is_known(&dialog->callee);
}

static void add_line(struct builder *b, struct slice name, struct slice value)
{
    builder_add(b, name);
    builder_add(b, value);
    builder_text(b, "\r\n");
}

enum err dialog_write(const struct dialog *dialog, bool to_caller, struct slice method,
                      struct slice call_id, struct slice via, struct slice fields,
                      struct builder *b)
{
    const struct dialog_party *to = to_caller ? &dialog->caller : &dialog->callee;
    const struct dialog_party *from = to_caller ? &dialog->callee : &dialog->caller;

    if (!dialog_is_confirmed(dialog) || from->cseq >= SIP_CSEQ_MAX)
        return ERR_NOT_FOUND;
    builder_add(b, method);
    builder_text(b, " ");
    builder_add(b, to->target);
    builder_text(b, " SIP/2.0\r\n");
    builder_add(b, via);
    builder_text(b, "Max-Forwards: 70\r\n");
    add_line(b, SLICE("Route: "), dialog->ours);
    if (to->routes.len > 0)
        add_line(b, SLICE("Route: "), to->routes);
    add_line(b, SLICE("From: "), from->name);
    add_line(b, SLICE("To: "), to->name);
    add_line(b, SLICE("Call-ID: "), call_id);
    builder_text(b, "CSeq: ");
    builder_u64(b, from->cseq + 1);
    add_line(b, SLICE(" "), method);
    builder_add(b, fields);
    builder_text(b, "Content-Length: 0\r\n\r\n");
    return b->overflow ? ERR_TOO_BIG : OK;
}
