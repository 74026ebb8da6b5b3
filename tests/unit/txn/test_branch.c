/* SPDX-License-Identifier: Apache-2.0 */
/* Branches of ours: written, read again, and all else refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "txn/txn.h"

static const struct txn_branch example = {
    .boot = 0x0000004d,
    .worker = 3,
    .id = {0x00012a, 0x9},
    .loop = 0xdeadbeef,
    .key = UINT64_C(0x0123456789abcdef),
};

#define EXAMPLE "z9hG4bK0000004d0300012a00000009deadbeef0123456789abcdef"

static void a_branch_is_cookie_and_48_hex_digits(void **unused)
{
    char text[TXN_BRANCH_LEN];
    (void)unused;

    txn_branch_write(&example, text);
    assert_memory_equal(text, EXAMPLE, TXN_BRANCH_LEN);
}

static void what_was_written_is_read(void **unused)
{
    struct rng rng;
    (void)unused;

    rng_seed(&rng, 7);
    for (int i = 0; i < 10000; i++) {
        struct txn_branch in = {
            .boot = (uint32_t)rng_u64(&rng),
            .worker = (uint32_t)rng_below(&rng, 256),
            .id = {(uint32_t)rng_below(&rng, 1 << 24), (uint32_t)rng_u64(&rng)},
            .loop = (uint32_t)rng_u64(&rng),
            .key = rng_u64(&rng),
        };
        struct txn_branch out;
        char text[TXN_BRANCH_LEN];
        txn_branch_write(&in, text);
        assert_true(txn_branch_parse((struct slice){text, sizeof text}, &out));
        assert_true(in.boot == out.boot && in.worker == out.worker && id_equal(in.id, out.id));
        assert_true(in.loop == out.loop && in.key == out.key);
    }
}

static void other_branches_are_refused(void **unused)
{
    static const struct {
        const char *why;
        const char *text;
    } cases[] = {
        {"empty", ""},
        {"a foreign one", "z9hG4bK776asdhds"},
        {"a digit short", "z9hG4bK0000004d0300012a00000009deadbeef0123456789abcde"},
        {"a digit long", "z9hG4bK0000004d0300012a00000009deadbeef0123456789abcdef0"},
        {"cookie in other case", "Z9HG4BK0000004d0300012a00000009deadbeef0123456789abcdef"},
        {"upper-case digits, which we never write",
         "z9hG4bK0000004D0300012a00000009deadbeef0123456789abcdef"},
        {"no digit at the begin", "z9hG4bKg000004d0300012a00000009deadbeef0123456789abcdef"},
        {"no digit at the end", "z9hG4bK0000004d0300012a00000009deadbeef0123456789abcde`"},
        {"byte before '0'", "z9hG4bK0000004d0300012a/0000009deadbeef0123456789abcdef"},
        {"byte after '9'", "z9hG4bK0000004d0300012a:0000009deadbeef0123456789abcdef"},
        {"a byte above 127", "z9hG4bK0000004d0300012a\xb0"
                             "0000009deadbeef0123456789abcdef"},
    };
    struct txn_branch out;
    (void)unused;

    assert_true(txn_branch_parse(SLICE(EXAMPLE), &out));
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (txn_branch_parse(slice_of(cases[i].text), &out))
            fail_msg("taken: %s", cases[i].why);
}

/* Each byte in each place: a digit is read as such, all else refused. */
static void every_byte_in_every_place_is_a_digit_or_refused(void **unused)
{
    char text[TXN_BRANCH_LEN + 1] = EXAMPLE;
    struct txn_branch out;
    (void)unused;

    for (size_t at = 7; at < TXN_BRANCH_LEN; at++) {
        char was = text[at];
        for (int byte = 0; byte < 256; byte++) {
            bool digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
            text[at] = (char)byte;
            if (txn_branch_parse((struct slice){text, TXN_BRANCH_LEN}, &out) != digit)
                fail_msg("byte %d at %zu", byte, at);
            char again[TXN_BRANCH_LEN];
            if (digit) {
                txn_branch_write(&out, again);
                assert_memory_equal(again, text, TXN_BRANCH_LEN);
            }
        }
        text[at] = was;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_branch_is_cookie_and_48_hex_digits),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(other_branches_are_refused),
        cmocka_unit_test(every_byte_in_every_place_is_a_digit_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
