/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/edit.h"

#include "sip/lex.h"

void sip_edits_init(struct sip_edits *edits, const struct sip_msg *msg)
{
    edits->msg = msg;
    edits->count = 0;
    edits->overflow = false;
}

static uint32_t end_of(const struct sip_edit *edit)
{
    return edit->at + edit->drop;
}

/**
 * Where an edit goes: after all that begin before it; an insert also after the inserts at
 * its offset, but before what is dropped there.
 */
static uint32_t place_for(const struct sip_edits *edits, const struct sip_edit *edit)
{
    uint32_t place = edits->count;

    while (place > 0) {
        const struct sip_edit *before = &edits->items[place - 1];
        if (before->at < edit->at || (before->at == edit->at && before->drop == 0))
            break;
        place--;
    }
    return place;
}

static void add_edit(struct sip_edits *edits, struct sip_edit edit)
{
    if (edit.drop == 0 && edit.insert.len == 0)
        return;
    if (edits->overflow || edits->count == SIP_EDITS_MAX ||
        edit.at + (uint64_t)edit.drop > edits->msg->buf.len) {
        edits->overflow = true;
        return;
    }

    uint32_t place = place_for(edits, &edit);
    if ((place > 0 && end_of(&edits->items[place - 1]) > edit.at) ||
        (place < edits->count && end_of(&edit) > edits->items[place].at)) {
        edits->overflow = true;
        return;
    }
    if (place < edits->count)
        memmove(&edits->items[place + 1], &edits->items[place],
                (edits->count - place) * sizeof edit);
    edits->items[place] = edit;
    edits->count++;
}

void sip_edit_replace(struct sip_edits *edits, struct slice old, struct slice text)
{
    const struct slice buf = edits->msg->buf;
    assert(old.data >= buf.data && old.data + old.len <= buf.data + buf.len);

    add_edit(edits, (struct sip_edit){.at = (uint32_t)(old.data - buf.data),
                                      .drop = (uint32_t)old.len,
                                      .insert = text});
}

void sip_edit_insert(struct sip_edits *edits, uint32_t at, struct slice text)
{
    add_edit(edits, (struct sip_edit){.at = at, .insert = text});
}

void sip_edit_drop_field(struct sip_edits *edits, const struct sip_field *field)
{
    add_edit(edits,
             (struct sip_edit){.at = field->begin, .drop = (uint32_t)(field->end - field->begin)});
}

void sip_edit_drop_all(struct sip_edits *edits, enum sip_field_id id)
{
    const struct sip_msg *msg = edits->msg;

    for (const struct sip_field *f = sip_field_first(msg, id); f; f = sip_field_next(msg, f))
        sip_edit_drop_field(edits, f);
}

/** Behind the first value of a field: where its comma or its end is. */
static const char *first_value_end(const struct sip_msg *msg, enum sip_field_id id,
                                   struct slice value)
{
    struct lex lex = lex_over(value);

    if (id == SIP_F_VIA && msg->via_value.len > 0) { /* known since sip_parse() */
        lex.at = msg->via_value.data + msg->via_value.len;
        lex_lws(&lex);
    } else {
        lex_skip_value(&lex);
    }
    return lex.at;
}

void sip_edit_drop_first_value(struct sip_edits *edits, enum sip_field_id id)
{
    const struct sip_field *field = sip_field_first(edits->msg, id);
    if (field == NULL)
        return;

    struct slice value = sip_field_value(edits->msg, field);
    const char *end = value.data + value.len;
    struct lex lex = {.at = first_value_end(edits->msg, id, value), .end = end, .limit = end};
    if (lex_end(&lex)) {
        sip_edit_drop_field(edits, field);
        return;
    }
    lex.at++; /* the comma */
    lex_lws(&lex);
    sip_edit_replace(edits, slice_between(value.data, lex.at), SLICE_EMPTY);
}

void sip_edit_add_before(struct sip_edits *edits, enum sip_field_id id, struct slice line)
{
    const struct sip_field *field = sip_field_first(edits->msg, id);

    if (field == NULL)
        sip_edit_add_last(edits, line);
    else
        sip_edit_insert(edits, field->begin, line);
}

void sip_edit_add_first(struct sip_edits *edits, struct slice line)
{
    const struct slice buf = edits->msg->buf;
    size_t end = slice_find(buf, '\n');
    assert(end != SIZE_MAX);

    sip_edit_insert(edits, (uint32_t)end + 1, line);
}

void sip_edit_add_last(struct sip_edits *edits, struct slice line)
{
    const struct sip_msg *msg = edits->msg;
    assert(msg->head_end >= 2);

    sip_edit_insert(edits, (uint32_t)msg->head_end - 2, line);
}

size_t sip_edits_size(const struct sip_edits *edits)
{
    size_t size = edits->msg->buf.len;

    for (uint32_t i = 0; i < edits->count; i++)
        size = size - edits->items[i].drop + edits->items[i].insert.len;
    return size;
}

enum err sip_edits_write(const struct sip_edits *edits, struct builder *b)
{
    if (edits->overflow)
        return ERR_FULL;
    if (b->overflow || sip_edits_size(edits) > b->capacity - b->len)
        return ERR_TOO_BIG;

    const struct slice buf = edits->msg->buf;
    uint32_t done = 0;
    for (uint32_t i = 0; i < edits->count; i++) {
        const struct sip_edit *edit = &edits->items[i];
        builder_add(b, slice_between(buf.data + done, buf.data + edit->at));
        builder_add(b, edit->insert);
        done = end_of(edit);
    }
    builder_add(b, slice_from(buf, done));
    return OK;
}
