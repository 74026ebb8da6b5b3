/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes -> call_record_unpack(). What it accepts lies within the bytes, has sound enums, and
 * can be written and read again.
 */
#include "base/call_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct call_record record, again;
static char memory[1 << 18];

static void check_within(struct slice text, const uint8_t *data, size_t size)
{
    const uint8_t *begin = (const uint8_t *)text.data;

    if (text.len > 0 && (begin < data || begin + text.len > data + size))
        abort();
}

static void check_words(const struct call_record *r)
{
    char id[CALL_ID_DIGITS + 1];
    uint64_t back;

    if ((r->disposition != 0 && call_disposition_name(r->disposition) == NULL) ||
        (r->direction != 0 && call_direction_name(r->direction) == NULL) ||
        (r->release_party != 0 && call_party_name(r->release_party) == NULL))
        abort();
    call_id_text(r->id, id);
    if (!call_id_parse(slice_of(id), &back) || back != r->id)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (call_record_unpack((struct slice){(const char *)data, size}, &record) != OK)
        return 0;
    check_words(&record);
    check_within(record.way, data, size);
    check_within(record.reason, data, size);

    struct builder b = builder_over(memory, sizeof memory);
    call_block_begin(&b);
    call_field_number(&b, CALL_T_ID, record.id);
    call_field_number(&b, CALL_T_START, record.start_ms);
    call_field_side(&b, CALL_T_CALLER_MEDIA, &record.caller_media);
    call_field_text(&b, CALL_T_CALLING_URI, record.calling_uri, CALL_URI_MAX);
    for (uint32_t i = 0; i < record.leg_count; i++) {
        check_within(record.legs[i].target, data, size);
        size_t begin = call_leg_begin(&b);
        call_field_text(&b, CALL_T_TARGET, record.legs[i].target, CALL_URI_MAX);
        call_field_number(&b, CALL_T_ANSWER, record.legs[i].answer_ms);
        call_leg_end(&b, begin);
    }
    if (b.overflow || call_record_unpack(builder_slice(&b), &again) != OK ||
        again.leg_count != record.leg_count || again.id != record.id ||
        again.caller_media.kinds != record.caller_media.kinds ||
        again.caller_media.port != (record.caller_media.kinds != 0 ? record.caller_media.port : 0))
        abort();
    return 0;
}
