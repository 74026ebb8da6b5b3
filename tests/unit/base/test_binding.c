/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/binding.h"

static char memory[BINDING_SET_MAX + 1000];
static struct binding_set set, back; /* 12 KiB each: not on the stack */

static struct binding a_phone(void)
{
    return (struct binding){
        .contact = SLICE("sip:alice@192.0.2.7:5062;transport=udp;x-a=1?h=v"),
        .call_id = SLICE("8d7f6a5b4c3e2f10@192.0.2.7"),
        .path = SLICE("<sip:edge.example.com;lr>"),
        .instance = SLICE("<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>"),
        .user_agent = SLICE("Phone/1.0"),
        .params = SLICE(";methods=\"INVITE\";video"),
        .expires_ms = UINT64_C(1763848800123),
        .registered_ms = UINT64_C(1763845200123),
        .cseq = 4711,
        .reg_id = 2,
        .q = 700,
        .nat = true,
        .flow = {.transport = TRANSPORT_TCP,
                 .flags = FLOW_ONLY_CONN,
                 .listener = 3,
                 .conn = {7, {99, 1234}},
                 .remote = {ADDR_V4, 0, 40123, 0, {203, 0, 113, 9}},
                 .local = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 1}}},
    };
}

static struct binding a_v6_phone(void)
{
    struct binding b = a_phone();
    b.contact = SLICE("sip:alice@[fe80::7]");
    b.path = SLICE_EMPTY;
    b.nat = false;
    b.flow_lost = true;
    b.gruu_since_ms = UINT64_C(1763845200124);
    b.flow.remote = (struct addr){ADDR_V6, 0, 5060, 3, {0xfe, 0x80, [15] = 7}};
    b.flow.local = (struct addr){.family = ADDR_NONE};
    return b;
}

static void assert_slices(struct slice expected, struct slice actual)
{
    assert_int_equal(expected.len, actual.len);
    if (expected.len > 0)
        assert_memory_equal(expected.data, actual.data, expected.len);
}

static void assert_bindings(const struct binding *expected, const struct binding *actual)
{
    assert_int_equal(expected->gruu_since_ms, actual->gruu_since_ms);
    assert_slices(expected->contact, actual->contact);
    assert_slices(expected->call_id, actual->call_id);
    assert_slices(expected->path, actual->path);
    assert_slices(expected->instance, actual->instance);
    assert_slices(expected->user_agent, actual->user_agent);
    assert_slices(expected->params, actual->params);
    assert_int_equal(expected->expires_ms, actual->expires_ms);
    assert_int_equal(expected->registered_ms, actual->registered_ms);
    assert_int_equal(expected->cseq, actual->cseq);
    assert_int_equal(expected->reg_id, actual->reg_id);
    assert_int_equal(expected->q, actual->q);
    assert_int_equal(expected->nat, actual->nat);
    assert_int_equal(expected->flow_lost, actual->flow_lost);
    assert_int_equal(expected->flow.transport, actual->flow.transport);
    assert_int_equal(expected->flow.flags, actual->flow.flags);
    assert_int_equal(expected->flow.listener, actual->flow.listener);
    assert_int_equal(expected->flow.conn.worker, actual->flow.conn.worker);
    assert_true(id_equal(expected->flow.conn.id, actual->flow.conn.id));
    assert_true(addr_equal(&expected->flow.remote, &actual->flow.remote));
    assert_true(addr_equal(&expected->flow.local, &actual->flow.local));
}

/* Packs `set` at the front of `memory`. */
static struct slice packed(void)
{
    struct builder b = builder_over(memory, sizeof memory);
    assert_int_equal(OK, binding_set_pack(&set, &b));
    return builder_slice(&b);
}

/* A copy of exactly its size, so that a sanitizer sees one byte read too far. */
static enum err unpack_exact(struct slice block)
{
    char *copy = malloc(block.len > 0 ? block.len : 1);
    assert_non_null(copy);
    if (block.len > 0)
        memcpy(copy, block.data, block.len);
    enum err err = binding_set_unpack((struct slice){copy, block.len}, &back);
    free(copy);
    return err;
}

static void what_is_packed_comes_back_whole(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("alice"), .count = 2};
    set.items[0] = a_phone();
    set.items[1] = a_v6_phone();
    struct slice block = packed();

    assert_int_equal(OK, binding_set_unpack(block, &back));
    assert_slices(set.aor, back.aor);
    assert_int_equal(2, back.count);
    assert_bindings(&set.items[0], &back.items[0]);
    assert_bindings(&set.items[1], &back.items[1]);

    assert_int_equal(2, binding_count(block));
    assert_int_equal(0, binding_count(SLICE_EMPTY));
    assert_slices(set.aor, binding_block_aor(block));
    assert_true(block.len <= binding_block_begin_bytes(set.aor) +
                                 binding_block_add_bytes(&set.items[0]) +
                                 binding_block_add_bytes(&set.items[1]));

    struct binding binding;
    uint32_t cursor = 0;
    assert_true(binding_next(block, &cursor, &binding));
    assert_bindings(&set.items[0], &binding);
    assert_true(binding_next(block, &cursor, &binding));
    assert_bindings(&set.items[1], &binding);
    assert_false(binding_next(block, &cursor, &binding));
}

static void a_set_without_bindings_keeps_its_key(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("nobody\0\r\n"), .count = 0};
    struct slice block = packed();

    assert_int_equal(OK, binding_set_unpack(block, &back));
    assert_slices(set.aor, back.aor);
    assert_int_equal(0, back.count);
    uint32_t cursor = 0;
    struct binding binding;
    assert_false(binding_next(block, &cursor, &binding));
}

static void an_empty_block_has_no_bindings(void **state)
{
    (void)state;
    uint32_t cursor = 0;
    struct binding binding;
    assert_false(binding_next(SLICE_EMPTY, &cursor, &binding));
    assert_int_equal(ERR_SYNTAX, binding_set_unpack(SLICE_EMPTY, &back));
}

static void gruus_since_never_are_none(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("a"), .count = 1};
    set.items[0] = a_v6_phone();
    set.items[0].gruu_since_ms = UINT64_C(0x1122334455667788);
    struct slice block = packed();
    char *at = memmem(memory, block.len, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
    assert_non_null(at);
    assert_int_equal(OK, binding_set_unpack(block, &back));
    memset(at, 0, 8);
    assert_int_equal(ERR_SYNTAX, binding_set_unpack(block, &back));
}

static void a_binding_takes_at_most_118_bytes_beside_its_strings(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("a"), .count = 1};
    set.items[0] = a_v6_phone();
    set.items[0].flow.local = set.items[0].flow.remote;
    const struct binding *b = &set.items[0];
    size_t strings = b->contact.len + b->call_id.len + b->path.len + b->instance.len +
                     b->user_agent.len + b->params.len;
    assert_true(packed().len - strings - set.aor.len <= 118);
}

static void as_many_bindings_as_allowed_fit(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("alice"), .count = BINDINGS_MAX};
    for (size_t i = 0; i < BINDINGS_MAX; i++)
        set.items[i] = i % 2 == 0 ? a_phone() : a_v6_phone();
    struct slice block = packed();
    assert_int_equal(OK, binding_set_unpack(block, &back));
    assert_int_equal(BINDINGS_MAX, back.count);
    assert_bindings(&set.items[63], &back.items[63]);

    /* One more in the header's count is refused before anything is read. */
    memory[1] = BINDINGS_MAX + 1;
    assert_int_equal(ERR_SYNTAX, binding_set_unpack(block, &back));
}

static void a_block_is_at_most_its_limit_long(void **state)
{
    (void)state;
    static char text[BINDING_SET_MAX];
    memset(text, 'x', sizeof text);
    set = (struct binding_set){.aor = SLICE("a"), .count = 1};
    set.items[0] = (struct binding){.contact = {text, 1000}};
    size_t overhead = packed().len - 1000;

    set.items[0].contact.len = BINDING_SET_MAX - overhead;
    assert_int_equal(BINDING_SET_MAX, packed().len);
    assert_int_equal(OK, unpack_exact(packed()));

    set.items[0].contact.len++;
    struct builder b = builder_over(memory, sizeof memory);
    assert_int_equal(ERR_TOO_BIG, binding_set_pack(&set, &b));

    set.items[0].contact.len = (size_t)BINDING_SET_MAX + 1; /* must not wrap in its 16 bits */
    b = builder_over(memory, sizeof memory);
    assert_int_equal(ERR_TOO_BIG, binding_set_pack(&set, &b));
}

static void a_full_builder_is_too_big(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("alice"), .count = 1};
    set.items[0] = a_phone();
    size_t size = packed().len;
    for (size_t capacity = 0; capacity <= size; capacity++) {
        char *room = malloc(capacity > 0 ? capacity : 1);
        assert_non_null(room);
        struct builder b = builder_over(room, capacity);
        assert_int_equal(capacity < size ? ERR_TOO_BIG : OK, binding_set_pack(&set, &b));
        free(room);
    }
}

static void a_cut_block_is_refused_at_every_byte(void **state)
{
    (void)state;
    set = (struct binding_set){.aor = SLICE("alice"), .count = 2};
    set.items[0] = a_phone();
    set.items[1] = a_v6_phone();
    struct slice block = packed();
    for (size_t len = 0; len < block.len; len++)
        assert_int_equal(ERR_SYNTAX, unpack_exact((struct slice){block.data, len}));
    assert_int_equal(OK, unpack_exact(block));
    memory[block.len] = 'x';
    assert_int_equal(ERR_SYNTAX, unpack_exact((struct slice){block.data, block.len + 1}));
}

static void unsound_bytes_are_refused(void **state)
{
    (void)state;
    enum {
        RECORD = 8 + 5,
        LENS = RECORD + 32,
        TAIL = LENS + 12
    };
    static const struct {
        const char *why;
        size_t at;
        unsigned char value;
    } cases[] = {
        {"another format", 0, 0xb0},
        {"fewer bindings than there are bytes", 1, 0},
        {"more bindings than there are bytes", 1, 2},
        {"key longer than the block", 3, 0xff},
        {"size is another", 5, 0xff},
        {"reserved bytes are set", 6, 1},
        {"contact longer than the block", LENS + 1, 0xff},
        {"params shorter than the rest", LENS + 10, 0},
        {"q over 1000", TAIL + 1, 0x7f},
        {"an unknown flag", TAIL + 8, 0x80},
        {"an unknown transport", TAIL + 9, TRANSPORT_COUNT},
        {"an unknown flow flag", TAIL + 10, 0xff},
        {"an unknown address family", TAIL + 12, 5},
        {"IPv6 where there is IPv4", TAIL + 13, 6},
    };
    set = (struct binding_set){.aor = SLICE("alice"), .count = 1};
    set.items[0] = a_phone();
    struct slice block = packed();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char old = memory[cases[i].at];
        memory[cases[i].at] = (char)cases[i].value;
        if (unpack_exact(block) != ERR_SYNTAX)
            fail_msg("accepted: %s", cases[i].why);
        memory[cases[i].at] = old;
        assert_int_equal(OK, unpack_exact(block));
    }
}

static void a_line_end_in_a_string_is_refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {{"sip:a\r@h", 8}, {"sip:a\n@h", 8}, {"", 0}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        set = (struct binding_set){.aor = SLICE("alice"), .count = 1};
        set.items[0] = a_phone();
        set.items[0].contact = bad[i];
        assert_int_equal(ERR_SYNTAX, unpack_exact(packed()));
    }
    set.items[0] = a_phone();
    set.items[0].params = SLICE(";a=b\r\nX: y");
    assert_int_equal(ERR_SYNTAX, unpack_exact(packed()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back_whole),
        cmocka_unit_test(a_set_without_bindings_keeps_its_key),
        cmocka_unit_test(an_empty_block_has_no_bindings),
        cmocka_unit_test(gruus_since_never_are_none),
        cmocka_unit_test(a_binding_takes_at_most_118_bytes_beside_its_strings),
        cmocka_unit_test(as_many_bindings_as_allowed_fit),
        cmocka_unit_test(a_block_is_at_most_its_limit_long),
        cmocka_unit_test(a_full_builder_is_too_big),
        cmocka_unit_test(a_cut_block_is_refused_at_every_byte),
        cmocka_unit_test(unsound_bytes_are_refused),
        cmocka_unit_test(a_line_end_in_a_string_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
