/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/call_record.h"

static char memory[CALL_BLOCK_MAX];
static struct call_record record;

static void assert_text(const char *expected, struct slice actual)
{
    assert_true(slice_equal(slice_of(expected), actual));
}

static const struct flow a_flow = {.transport = TRANSPORT_UDP,
                                   .listener = 2,
                                   .remote = {ADDR_V6, 0, 5062, 3, {0xfe, 0x80, [15] = 7}}};

static const struct call_side a_side = {.kinds = CALL_AUDIO | CALL_VIDEO | CALL_HOLD,
                                        .family = ADDR_V4,
                                        .port = 4000,
                                        .codecs = {CODEC_PCMU, CODEC_VP8},
                                        .bytes = {192, 0, 2, 1}};
static const struct call_side no_address = {.kinds = CALL_TEXT, .codecs = {CODEC_T140}};

static struct slice a_block(void)
{
    struct builder b = builder_over(memory, sizeof memory);

    call_block_begin(&b);
    call_field_number(&b, CALL_T_ID, UINT64_C(0x65f1c2e4a700000));
    call_field_number(&b, CALL_T_CALL_HASH, UINT64_MAX);
    call_field_number(&b, CALL_T_CALLEE_TAG_HASH, UINT32_MAX);
    call_field_text(&b, CALL_T_SIP_CALL_ID, SLICE("c1@192.0.2.1"), CALL_TEXT_MAX);
    call_field_text(&b, CALL_T_REASON, SLICE("Busy Here"), 4);
    call_field_number(&b, CALL_T_DIRECTION, CALL_INTERNAL);
    call_field_number(&b, CALL_T_SIP_STATUS, 486);
    call_field_number(&b, CALL_T_START, UINT64_C(1763845200123));
    call_field_flow(&b, &a_flow);
    call_field_side(&b, CALL_T_CALLER_MEDIA, &a_side);
    call_field_side(&b, CALL_T_CALLEE_MEDIA, &no_address);
    call_field_number(&b, CALL_T_HOLD, 1234);
    for (unsigned i = 0; i < 2; i++) {
        size_t begin = call_leg_begin(&b);
        call_field_text(&b, CALL_T_TARGET, i == 0 ? SLICE("sip:a@h") : SLICE("sip:b@h"), 100);
        call_field_number(&b, CALL_T_Q850, 17 + i);
        call_leg_end(&b, begin);
    }
    assert_false(b.overflow);
    return builder_slice(&b);
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    assert_int_equal(OK, call_record_unpack(a_block(), &record));
    assert_int_equal(UINT64_C(0x65f1c2e4a700000), record.id);
    assert_int_equal(UINT64_MAX, record.call_hash);
    assert_int_equal(UINT32_MAX, record.callee_tag_hash);
    assert_text("c1@192.0.2.1", record.sip_call_id);
    assert_text("Busy", record.reason);
    assert_int_equal(486, record.sip_status);
    assert_int_equal(UINT64_C(1763845200123), record.start_ms);
    assert_int_equal(0, record.end_ms);
    assert_string_equal("internal", call_direction_name(record.direction));
    assert_null(call_disposition_name(record.disposition));
    assert_int_equal(2, record.leg_count);
    assert_text("sip:b@h", record.legs[1].target);
    assert_int_equal(18, record.legs[1].q850_cause);
    assert_int_equal(0, record.legs[1].start_ms);
    assert_memory_equal(&a_side, &record.caller_media, sizeof a_side);
    assert_memory_equal(&no_address, &record.callee_media, sizeof no_address);
    assert_int_equal(1234, record.hold_ms);
    assert_int_equal(0, record.hold_since_ms);
    assert_int_equal(5062, record.flow.remote.port);
    assert_int_equal(3, record.flow.remote.scope);
    assert_memory_equal(a_flow.remote.bytes, record.flow.remote.bytes, 16);
}

/** The block of a side whose bytes were changed. */
static enum err unpack_side(size_t at, uint8_t byte)
{
    struct builder b = builder_over(memory, sizeof memory);

    call_block_begin(&b);
    call_field_number(&b, CALL_T_ID, 1);
    call_field_number(&b, CALL_T_START, 1);
    size_t begin = b.len + 3;
    call_field_side(&b, CALL_T_CALLER_MEDIA, &a_side);
    memory[begin + at] = (char)byte;
    return call_record_unpack(builder_slice(&b), &record);
}

static void a_side_that_is_not_sound_is_refused(void **state)
{
    (void)state;
    assert_int_equal(OK, unpack_side(0, CALL_AUDIO));
    assert_int_equal(ERR_SYNTAX, unpack_side(0, 1 << 6));    /* a kind that there is not */
    assert_int_equal(ERR_SYNTAX, unpack_side(1, ADDR_V6));   /* too short */
    assert_int_equal(ERR_SYNTAX, unpack_side(1, 5));         /* a family that there is not */
    assert_int_equal(ERR_SYNTAX, unpack_side(1, ADDR_NONE)); /* too long */
}

static void codecs_have_numbers_and_names(void **state)
{
    (void)state;
    for (unsigned codec = CODEC_NONE + 1; codec < CODEC_COUNT; codec++)
        assert_int_equal(codec, codec_of(slice_of(codec_name(codec))));
    assert_int_equal(CODEC_PCMU, codec_of(SLICE("pcmu")));
    assert_int_equal(CODEC_NONE, codec_of(SLICE("telephone-event")));
    assert_int_equal(CODEC_NONE, codec_of(SLICE_EMPTY));
    assert_string_equal("", codec_name(CODEC_NONE));
    assert_string_equal("", codec_name(CODEC_COUNT));
    assert_string_equal("message", call_kind_name(CALL_KIND_COUNT - 1));
}

/** A block that ends within a field is none; one that ends between two is one that says less. */
static void a_block_that_is_cut_within_a_field_is_refused(void **state)
{
    (void)state;
    struct slice block = a_block();
    size_t ends = 1;

    for (size_t len = 0; len < block.len; len++) {
        enum err err = call_record_unpack((struct slice){block.data, len}, &record);
        bool at_end = len == ends;
        if (at_end)
            ends += 3 + (size_t)(uint8_t)block.data[ends + 1];
        if (!at_end)
            assert_int_equal(ERR_SYNTAX, err);
    }
}

struct wrong {
    const char *why;
    enum call_tag tag;
    uint64_t value;
};

static void numbers_beyond_their_field_are_refused(void **state)
{
    static const struct wrong rows[] = {
        {"no such disposition", CALL_T_DISPOSITION, CALL_D_COUNT},
        {"no such party", CALL_T_RELEASE_PARTY, CALL_P_SYSTEM + 1},
        {"no such direction", CALL_T_DIRECTION, CALL_TRANSIT + 1},
        {"no such transport", CALL_T_TRANSPORT, TRANSPORT_COUNT},
        {"no such cause", CALL_T_Q850, 128},
        {"no such status", CALL_T_SIP_STATUS, 700},
        {"an id that is negative in SQL", CALL_T_ID, UINT64_C(1) << 63},
        {"a tag hash of 33 bits", CALL_T_CALLER_TAG_HASH, UINT64_C(1) << 32},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct slice block = a_block();
        struct builder b = {.data = memory, .len = block.len, .capacity = sizeof memory};
        call_field_number(&b, rows[i].tag, rows[i].value);
        if (call_record_unpack(builder_slice(&b), &record) != ERR_SYNTAX)
            fail_msg("%s was taken", rows[i].why);
    }
}

static void more_legs_than_the_limit_are_refused(void **state)
{
    (void)state;
    for (unsigned legs = CALL_LEGS_MAX; legs <= CALL_LEGS_MAX + 1; legs++) {
        struct slice block = a_block();
        struct builder b = {.data = memory, .len = block.len, .capacity = sizeof memory};
        for (unsigned i = 2; i < legs; i++)
            call_leg_end(&b, call_leg_begin(&b));
        assert_int_equal(legs <= CALL_LEGS_MAX ? OK : ERR_SYNTAX,
                         call_record_unpack(builder_slice(&b), &record));
    }
}

static void what_is_not_known_is_passed_over(void **state)
{
    (void)state;
    struct slice block = a_block();
    struct builder b = {.data = memory, .len = block.len, .capacity = sizeof memory};

    builder_add(&b, SLICE("\xf0\x02\x00zz"));
    assert_int_equal(OK, call_record_unpack(builder_slice(&b), &record));
    assert_int_equal(ERR_SYNTAX, call_record_unpack(SLICE("\x02"), &record));
    assert_int_equal(ERR_SYNTAX, call_record_unpack(SLICE("\x01"), &record));
    assert_int_equal(ERR_SYNTAX, call_record_unpack(SLICE_EMPTY, &record));
}

static void an_id_is_sixteen_digits(void **state)
{
    char text[CALL_ID_DIGITS + 1];
    uint64_t id = 1;
    (void)state;

    call_id_text(UINT64_C(0x65f1c2e4a70000a), text);
    assert_string_equal("065f1c2e4a70000a", text);
    assert_true(call_id_parse(slice_of(text), &id));
    assert_int_equal(UINT64_C(0x65f1c2e4a70000a), id);
    assert_false(call_id_parse(SLICE("0000000000000000"), &id));
    assert_false(call_id_parse(SLICE("8000000000000000"), &id));
    assert_false(call_id_parse(SLICE("65f1c2e4a70000a"), &id));
    assert_false(call_id_parse(SLICE("065F1C2E4A70000A"), &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(a_side_that_is_not_sound_is_refused),
        cmocka_unit_test(codecs_have_numbers_and_names),
        cmocka_unit_test(a_block_that_is_cut_within_a_field_is_refused),
        cmocka_unit_test(numbers_beyond_their_field_are_refused),
        cmocka_unit_test(more_legs_than_the_limit_are_refused),
        cmocka_unit_test(what_is_not_known_is_passed_over),
        cmocka_unit_test(an_id_is_sixteen_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
