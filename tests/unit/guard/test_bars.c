/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "guard/guard.h"

enum {
    FAILURES = 10,
    ADDRESS_FAILURES = 50,
    WINDOW_MS = 600000,
    BAR_MS = 60000,
    BAR_MAX_MS = 900000,
};
#define T0 UINT64_C(86400000)

static const struct addr_net exempt[] = {{{ADDR_V4, 0, 0, 0, {127}}, 8}};
static const struct addr here = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}};
static const struct addr there = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 8}};
static const struct addr loopback = {ADDR_V4, 0, 5060, 0, {127, 0, 0, 1}};
static struct guard *guard;

#define ALICE SLICE("alice")
#define BOB   SLICE("bob")

static int set_up(void **state)
{
    (void)state;
    const struct guard_config config = {
        .seed = 4711,
        .sources_max = 64,
        .bars_max = 64,
        .stranger = {1000, 1000},
        .points_max = 30,
        .failures_max = FAILURES,
        .address_failures_max = ADDRESS_FAILURES,
        .failure_window_ms = WINDOW_MS,
        .bar_ms = BAR_MS,
        .bar_max_ms = BAR_MAX_MS,
        .exempt = exempt,
        .exempt_count = COUNT_OF(exempt),
    };
    guard = NULL;
    assert_int_equal(OK, guard_open(&config, &guard));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_close(guard);
    guard = NULL;
    return 0;
}

/** Fails until it leads to a bar, and puts that up; returns its length. */
static uint32_t fail_until_barred(const struct addr *source, struct slice user, uint64_t now_ms)
{
    for (unsigned i = 1; i < FAILURES; i++)
        assert_int_equal(0, guard_failure(guard, source, user, now_ms));
    uint32_t ms = guard_failure(guard, source, user, now_ms);
    assert_true(ms > 0);
    assert_true(guard_bar(guard, source, user, GUARD_R_LOGINS, ms, now_ms));
    return ms;
}

static void ten_failures_bar_the_pair_and_nobody_else(void **state)
{
    (void)state;
    assert_int_equal(BAR_MS, fail_until_barred(&here, ALICE, T0));
    assert_true(guard_is_barred(guard, &here, ALICE, T0));
    assert_false(guard_is_barred(guard, &here, BOB, T0));
    assert_false(guard_is_barred(guard, &there, ALICE, T0));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &here, false, T0));
    assert_true(guard_is_barred(guard, &here, ALICE, T0 + BAR_MS - 1));
    assert_false(guard_is_barred(guard, &here, ALICE, T0 + BAR_MS));
}

static void the_next_bar_is_twice_as_long_up_to_the_most(void **state)
{
    (void)state;
    static const uint32_t minutes[] = {1, 2, 4, 8, 15, 15, 15};
    uint64_t now_ms = T0;

    for (size_t i = 0; i < COUNT_OF(minutes); i++) {
        assert_int_equal(minutes[i] * 60000, fail_until_barred(&here, ALICE, now_ms));
        now_ms += minutes[i] * 60000;
    }
    now_ms += BAR_MAX_MS; /* then it is forgotten */
    assert_int_equal(BAR_MS, fail_until_barred(&here, ALICE, now_ms));
}

static void failures_far_apart_do_not_add_up(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(0, guard_failure(guard, &here, ALICE, T0 + i * 70000));
}

static void many_users_from_one_address_bar_it(void **state)
{
    (void)state;
    for (unsigned i = 1; i < ADDRESS_FAILURES; i++)
        assert_int_equal(0, guard_failure(guard, &here, SLICE_EMPTY, T0));
    assert_int_equal(BAR_MS, guard_failure(guard, &here, SLICE_EMPTY, T0));
    assert_true(guard_bar(guard, &here, SLICE_EMPTY, GUARD_R_LOGINS, BAR_MS, T0));
    assert_int_equal(GUARD_BARRED, guard_packet(guard, &here, false, T0));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &there, false, T0));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &here, false, T0 + BAR_MS));
}

static void an_address_that_somebody_vouches_for_is_never_barred(void **state)
{
    (void)state;
    assert_true(guard_vouch(guard, &here, 3600000, T0));
    assert_false(guard_bar(guard, &here, SLICE_EMPTY, GUARD_R_LOGINS, BAR_MS, T0));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &here, false, T0));
    assert_true(guard_bar(guard, &here, ALICE, GUARD_R_LOGINS, BAR_MS, T0)); /* one user is */
    assert_true(guard_is_barred(guard, &here, ALICE, T0));

    assert_false(guard_bar(guard, &loopback, SLICE_EMPTY, GUARD_R_LOGINS, BAR_MS, T0));
    assert_true(guard_bar(guard, &loopback, ALICE, GUARD_R_LOGINS, BAR_MS, T0));
    assert_true(guard_is_barred(guard, &loopback, ALICE, T0));
}

static void a_proof_ends_the_bar_of_an_address(void **state)
{
    (void)state;
    struct guard_bar_info info[2];

    assert_true(guard_bar(guard, &here, SLICE_EMPTY, GUARD_R_GLITCHES, BAR_MS, T0));
    assert_true(guard_vouch(guard, &here, 3600000, T0 + 1));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &here, false, T0 + 1));
    assert_int_equal(0, guard_bars(guard, T0 + 1, info, 2));
}

static void bars_are_shown_by_name(void **state)
{
    (void)state;
    static const struct addr six = {ADDR_V6, 0, 5060, 0, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 7}};
    static const struct {
        const struct addr *source;
        struct slice user;
        const char *name;
    } cases[] = {
        {&here, {"", 0}, "192.0.2.7"},
        {&here, {"alice", 5}, "alice@192.0.2.7"},
        {&here, {"a/b@c\x1b[2J\0x", 10}, "a?b?c?[2J?@192.0.2.7"},
        {&six, {"", 0}, "2001:db8:0:1::"},
        {&six, {"bob", 3}, "bob@2001:db8:0:1::"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct guard_bar_info info[8];
        assert_true(guard_bar(guard, cases[i].source, cases[i].user, GUARD_R_SCANNER, 5000, T0));
        assert_int_equal(1, guard_bars(guard, T0 + 1000, info, 8));
        assert_string_equal(cases[i].name, info[0].name);
        assert_int_equal(4000, info[0].left_ms);
        assert_int_equal(cases[i].user.len == 0, info[0].whole);
        assert_string_equal("scanner", guard_reason_name((enum guard_reason)info[0].reason));
        assert_int_equal(0, guard_lift(guard, SLICE("mallory@192.0.2.7"), T0 + 1000));
        assert_int_equal(1, guard_lift(guard, slice_of(cases[i].name), T0 + 1000));
        assert_int_equal(0, guard_bars(guard, T0 + 1000, info, 8));
        assert_false(guard_is_barred(guard, cases[i].source, cases[i].user, T0 + 1000));
        assert_int_equal(GUARD_PASS, guard_packet(guard, cases[i].source, false, T0 + 1000));
    }
}

static void a_long_name_is_cut_where_it_is_shown_only(void **state)
{
    (void)state;
    char text[300];
    struct guard_bar_info info[2];

    memset(text, 'x', sizeof text);
    assert_true(guard_bar(guard, &here, (struct slice){text, 300}, GUARD_R_LOGINS, 5000, T0));
    assert_true(guard_is_barred(guard, &here, (struct slice){text, 300}, T0));
    assert_false(guard_is_barred(guard, &here, (struct slice){text, 299}, T0));
    assert_int_equal(1, guard_bars(guard, T0, info, 2));
    assert_int_equal(1, guard_lift(guard, slice_of(info[0].name), T0));
}

static void lifting_forgets_how_often_it_was(void **state)
{
    (void)state;
    assert_int_equal(BAR_MS, fail_until_barred(&here, ALICE, T0));
    assert_int_equal(2 * BAR_MS, fail_until_barred(&here, ALICE, T0 + BAR_MS));
    assert_int_equal(1, guard_lift(guard, SLICE("alice@192.0.2.7"), T0 + BAR_MS));
    assert_false(guard_is_barred(guard, &here, ALICE, T0 + BAR_MS));
    assert_int_equal(BAR_MS, fail_until_barred(&here, ALICE, T0 + BAR_MS));
}

static void the_table_of_bars_does_not_grow_and_keeps_what_counts(void **state)
{
    (void)state;
    struct guard_bar_info info[100];
    char text[16];

    assert_true(guard_bar(guard, &here, ALICE, GUARD_R_LOGINS, BAR_MS, T0));
    for (unsigned i = 0; i < FAILURES - 1; i++)
        assert_int_equal(0, guard_failure(guard, &here, BOB, T0));
    for (int i = 0; i < 10000; i++) {
        int len = snprintf(text, sizeof text, "user%d", i);
        (void)guard_failure(guard, &there, (struct slice){text, (size_t)len}, T0 + 1);
    }
    assert_true(guard_is_barred(guard, &here, ALICE, T0 + 1));
    assert_int_equal(BAR_MS, guard_failure(guard, &here, BOB, T0 + 1)); /* his count was kept */

    for (int i = 0; i < 10000; i++) {
        int len = snprintf(text, sizeof text, "user%d", i);
        assert_true(guard_bar(guard, &there, (struct slice){text, (size_t)len}, GUARD_R_LOGINS,
                              BAR_MS, T0 + 1));
    }
    assert_int_equal(64, guard_bars(guard, T0 + 1, info, 100));
    assert_int_equal(10, guard_bars(guard, T0 + 1, info, 10));
}

static void forged_bars_do_not_make_room_for_guesses(void **state)
{
    (void)state;
    uint64_t now_ms = T0;

    assert_true(guard_bar(guard, &there, ALICE, GUARD_R_LOGINS, BAR_MAX_MS, now_ms));
    for (unsigned i = 1; i < FAILURES; i++)
        assert_int_equal(0, guard_failure(guard, &here, ALICE, now_ms));
    for (uint32_t i = 0; i < 10000; i++) {
        struct addr forged = {ADDR_V4, 0, 5060, 0, {10, 0, (uint8_t)(i >> 8), (uint8_t)i}};
        (void)guard_bar(guard, &forged, SLICE_EMPTY, GUARD_R_SCANNER, BAR_MS, now_ms + i);
    }
    now_ms += BAR_MS + 10000; /* those that are over are no reason either */
    assert_true(guard_is_barred(guard, &there, ALICE, now_ms));
    assert_int_equal(BAR_MS, guard_failure(guard, &here, ALICE, now_ms)); /* the tenth */
}

int main(void)
{
#define GUARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GUARD_TEST(ten_failures_bar_the_pair_and_nobody_else),
        GUARD_TEST(the_next_bar_is_twice_as_long_up_to_the_most),
        GUARD_TEST(failures_far_apart_do_not_add_up),
        GUARD_TEST(many_users_from_one_address_bar_it),
        GUARD_TEST(an_address_that_somebody_vouches_for_is_never_barred),
        GUARD_TEST(a_proof_ends_the_bar_of_an_address),
        GUARD_TEST(bars_are_shown_by_name),
        GUARD_TEST(a_long_name_is_cut_where_it_is_shown_only),
        GUARD_TEST(lifting_forgets_how_often_it_was),
        GUARD_TEST(the_table_of_bars_does_not_grow_and_keeps_what_counts),
        GUARD_TEST(forged_bars_do_not_make_room_for_guesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
