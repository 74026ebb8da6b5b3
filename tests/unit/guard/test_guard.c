/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guard/guard.h"

enum {
    RATE = 10,
    BURST = 40,
    VOUCHED_RATE = 500,
    VOUCHED_BURST = 2000,
    POINTS = 30,
};
#define T0 UINT64_C(86400000)

static const struct addr_net exempt[] = {{{ADDR_V4, 0, 0, 0, {127}}, 8}};
static const struct addr_net trusted[] = {{{ADDR_V4, 0, 0, 0, {203, 0, 113}}, 24}};

static struct guard_config config;
static struct guard *guard;

static void reopen(void)
{
    guard_close(guard);
    guard = NULL;
    assert_int_equal(OK, guard_open(&config, &guard));
}

static int set_up(void **state)
{
    (void)state;
    config = (struct guard_config){
        .seed = 4711,
        .sources_max = 64,
        .bars_max = 64,
        .stranger = {RATE, BURST},
        .strangers = {1000000, 1000000},
        .vouched = {VOUCHED_RATE, VOUCHED_BURST},
        .calls = {2, 3},
        .user = {5, 20},
        .handshakes = {2, 5},
        .points_max = POINTS,
        .failures_max = 10,
        .address_failures_max = 50,
        .failure_window_ms = 600000,
        .bar_ms = 60000,
        .bar_max_ms = 900000,
        .exempt = exempt,
        .exempt_count = COUNT_OF(exempt),
        .trusted = trusted,
        .trusted_count = COUNT_OF(trusted),
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

static struct addr v4(uint32_t number)
{
    return (struct addr){ADDR_V4,
                         0,
                         5060,
                         0,
                         {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                          (uint8_t)number}};
}

#define AT(value) ((const struct addr[]){value})
#define PHONE     v4(0xc0000207)
#define STRANGER  v4(0xc6336401)

/** How many of `count` datagrams pass at one time. */
static unsigned passed(struct addr source, unsigned count, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        n += guard_packet(guard, &source, false, now_ms) == GUARD_PASS;
    return n;
}

static void a_stranger_gets_his_burst_and_then_his_rate(void **state)
{
    (void)state;
    assert_int_equal(BURST, passed(STRANGER, 1000, T0));
    assert_int_equal(GUARD_SOURCE, guard_packet(guard, AT(STRANGER), false, T0));
    assert_int_equal(0, passed(STRANGER, 1000, T0 + 99));
    assert_int_equal(1, passed(STRANGER, 1000, T0 + 100));
    for (unsigned s = 1; s <= 60; s++)
        assert_int_equal(RATE, passed(STRANGER, 1000, T0 + 100 + s * 1000));
    assert_int_equal(BURST, passed(STRANGER, 1000, T0 + 3600000));
    assert_int_equal(BURST, passed(v4(7), 1000, T0 + 3600000)); /* nobody else pays for it */
}

static void a_bucket_holds_over_any_time(void **state)
{
    (void)state;
    static const uint64_t times_ms[] = {0,
                                        1,
                                        4294967295,
                                        4294967296,
                                        UINT64_C(1) << 40,
                                        UINT64_C(10000000000000)}; /* 300 years up */
    uint64_t last_ms = 0;

    for (size_t i = 0; i < COUNT_OF(times_ms); i++) {
        uint64_t refilled = (times_ms[i] - last_ms) / 100;
        unsigned due = i == 0 || refilled > BURST ? BURST : (unsigned)refilled;
        assert_int_equal(due, passed(STRANGER, 1000, times_ms[i]));
        last_ms = times_ms[i];
    }
}

static void rates_are_kept_whatever_they_are(void **state)
{
    (void)state;
    static const uint32_t rates[] = {1, 3, 7, 30, 999, 3000, 333333, 1000000};

    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        uint64_t burst = 10 + rates[i] / 500; /* the clock moves on by milliseconds */
        config.stranger = (struct guard_rate){rates[i], (uint32_t)burst};
        config.strangers = (struct guard_rate){0};
        reopen();
        uint64_t count = 0;
        for (unsigned ms = 0; ms < 2000; ms++)
            count += passed(STRANGER, rates[i] / 500 + 2, T0 + ms);
        uint64_t due = burst + 2 * (uint64_t)rates[i];
        assert_in_range(count, due - due / 500 - 1, due + 1);
    }
}

static void without_a_rate_there_is_no_limit(void **state)
{
    (void)state;
    config.stranger = (struct guard_rate){0};
    config.strangers = (struct guard_rate){0};
    reopen();
    assert_int_equal(100000, passed(STRANGER, 100000, T0));

    config.sources_max = 0;
    reopen();
    assert_int_equal(100000, passed(STRANGER, 100000, T0));
    assert_false(guard_vouch(guard, AT(PHONE), 1000, T0));
    assert_false(guard_points(guard, AT(STRANGER), UINT32_MAX, T0));
    assert_int_equal(0, guard_failure(guard, AT(STRANGER), SLICE("alice"), T0));
    assert_false(guard_bar(guard, AT(STRANGER), SLICE("alice"), GUARD_R_LOGINS, 1, T0));
    assert_false(guard_is_barred(guard, AT(STRANGER), SLICE("alice"), T0));
    assert_true(guard_may_read(guard, AT(STRANGER), T0));
    assert_true(guard_call(guard, AT(STRANGER), false, T0));
    assert_true(guard_user(guard, SLICE("alice"), T0));
}

static void exempt_and_trusted_networks_have_no_limit(void **state)
{
    (void)state;
    assert_int_equal(100000, passed(v4(0x7f000001), 100000, T0));
    assert_int_equal(100000, passed(v4(0xcb007109), 100000, T0));
    assert_true(guard_may_read(guard, AT(v4(0x7f000001)), T0));
    assert_false(guard_is_stranger(guard, AT(v4(0x7f000001)), T0));
    assert_false(guard_points(guard, AT(v4(0x7f000001)), UINT32_MAX, T0));
    assert_false(guard_bar(guard, AT(v4(0xcb007109)), SLICE_EMPTY, GUARD_R_GLITCHES, 60000, T0));
    assert_int_equal(BURST, passed(v4(0x80000001), 100000, T0));
}

static void who_is_vouched_for_has_a_wide_bucket_of_his_own(void **state)
{
    (void)state;
    assert_int_equal(BURST, passed(PHONE, 1000, T0));
    assert_true(guard_vouch(guard, AT(PHONE), 3600000, T0));
    assert_false(guard_is_stranger(guard, AT(PHONE), T0));
    assert_int_equal(VOUCHED_BURST, passed(PHONE, 10000, T0));
    assert_int_equal(VOUCHED_RATE, passed(PHONE, 10000, T0 + 1000));
    /* it lasts at least as long as was said, and ends */
    assert_int_equal(VOUCHED_BURST, passed(PHONE, 10000, T0 + 3600000));
    assert_int_equal(BURST, passed(PHONE, 10000, T0 + 2 * 3600000));
}

static void a_proof_is_news_now_and_then_only(void **state)
{
    (void)state;
    const struct addr phone = PHONE;

    assert_true(guard_vouch(guard, &phone, 3600000, T0));
    assert_false(guard_vouch(guard, &phone, 3600000, T0 + 1000));
    assert_false(guard_vouch(guard, &phone, 1000, T0 + 1000));
    assert_true(guard_vouch(guard, &phone, 3600000, T0 + 1300000));
    /* whatever the times of proofs: as long as the last one lasts it is vouched for */
    uint64_t now_ms = T0 + 1300000;
    for (unsigned i = 0; i < 1000; i++) {
        now_ms += 1 + i * 7919 % 3600000;
        assert_false(guard_is_stranger(guard, &phone, now_ms - 1));
        (void)guard_vouch(guard, &phone, 3600000, now_ms);
    }
}

static void a_proof_that_was_not_told_is_news_with_the_next_one(void **state)
{
    (void)state;
    const struct addr phone = PHONE;

    assert_int_equal(3600000, guard_vouch(guard, &phone, 3600000, T0));
    guard_vouch_untold(guard, &phone);
    /* a shorter one than what is known: for as long as it is known */
    assert_int_equal(4800000 - 1000, guard_vouch(guard, &phone, 1000, T0 + 1000));
    assert_int_equal(0, guard_vouch(guard, &phone, 1000, T0 + 2000));
    guard_vouch_untold(guard, &phone);
    assert_int_equal(7200000, guard_vouch(guard, &phone, 7200000, T0 + 3000)); /* longer */
    assert_int_equal(0, guard_vouch(guard, &phone, 1000, T0 + 4000));
    guard_vouch_untold(guard, AT(v4(1))); /* nobody */
    assert_int_equal(0, guard_vouch(guard, AT(v4(0x7f000001)), 3600000, T0));
    guard_vouch_untold(guard, AT(v4(0x7f000001)));
    assert_int_equal(0, guard_vouch(guard, AT(v4(0x7f000001)), 3600000, T0));
}

static void ten_thousand_strangers_get_no_more_than_their_share(void **state)
{
    (void)state;
    config.strangers = (struct guard_rate){1000, 250};
    reopen();
    const struct addr phone = PHONE;
    assert_true(guard_vouch(guard, &phone, 3600000, T0));
    unsigned count = 0;

    for (unsigned ms = 0; ms < 1000; ms++) {
        for (unsigned i = 0; i < 100; i++)
            count += passed(v4(0x0a000000 + (ms * 100 + i) % 10000), 1, T0 + ms);
        if (ms % 3 == 0)
            assert_int_equal(1, passed(PHONE, 1, T0 + ms));
    }
    assert_in_range(count, 1240, 1250);
    assert_int_equal(GUARD_STRANGERS, guard_packet(guard, AT(v4(1)), false, T0 + 999));
    /* streams are another matter: their addresses are true */
    assert_true(guard_may_read(guard, AT(v4(2)), T0 + 999));
}

static void a_full_table_keeps_those_who_are_known(void **state)
{
    (void)state;
    enum {
        PHONES = 16 /* of 64 places */
    };
    for (uint32_t i = 0; i < PHONES; i++)
        assert_true(guard_vouch(guard, AT(v4(0xc0000200 + i)), 3600000, T0));
    for (uint32_t i = 0; i < 100000; i++)
        (void)guard_packet(guard, AT(v4(0x0a000000 + i)), false, T0 + i / 100);
    for (uint32_t i = 0; i < PHONES; i++)
        assert_false(guard_is_stranger(guard, AT(v4(0xc0000200 + i)), T0 + 1000));

    /* Not even when all places are theirs; a stranger has the shared bucket then. */
    for (uint32_t i = 0; i < 1000; i++)
        (void)guard_vouch(guard, AT(v4(0xc0000300 + i)), 3600000, T0 + 1000);
    unsigned known = 0;
    for (uint32_t i = 0; i < 1000; i++)
        known += !guard_is_stranger(guard, AT(v4(0xc0000300 + i)), T0 + 1000);
    assert_int_equal(64, known);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(1, passed(v4(0x0a000000 + i), 1, T0 + 1000));
    unsigned still = 0;
    for (uint32_t i = 0; i < 1000; i++)
        still += !guard_is_stranger(guard, AT(v4(0xc0000300 + i)), T0 + 1000);
    assert_int_equal(64, still);
}

static void ever_new_addresses_bring_no_ever_new_bursts(void **state)
{
    (void)state;
    unsigned count = 0;

    for (uint32_t i = 0; i < 10000; i++)
        count += passed(v4(0x0a000000 + i), BURST, T0);
    /* the 64 places' bursts, and one packet more for each who found a place in debt */
    assert_true(count < 64 * BURST + 10000);
}

static void neighbours_are_spread_over_the_table(void **state)
{
    (void)state;
    config.sources_max = 4096; /* half full: by chance one set in 20 has more than its 8 */
    for (config.seed = 0; config.seed < 50; config.seed++) {
        reopen();
        unsigned known = 0;
        for (uint32_t i = 0; i < 2048; i++)
            (void)guard_vouch(guard, AT(v4(0x0a000000 + i)), 3600000, T0);
        for (uint32_t i = 0; i < 2048; i++)
            known += !guard_is_stranger(guard, AT(v4(0x0a000000 + i)), T0);
        assert_true(known > 2048 * 97 / 100);
    }
}

static void a_bar_is_not_pushed_out_by_strangers(void **state)
{
    (void)state;
    const struct addr bad = STRANGER;

    assert_true(guard_bar(guard, &bad, SLICE_EMPTY, GUARD_R_GLITCHES, 60000, T0));
    for (uint32_t i = 0; i < 10000; i++)
        (void)guard_packet(guard, AT(v4(0x0a000000 + i)), false, T0 + 1);
    assert_int_equal(GUARD_BARRED, guard_packet(guard, &bad, false, T0 + 59999));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &bad, false, T0 + 60000));
}

static void a_prefix_of_ipv6_is_one_source(void **state)
{
    (void)state;
    struct addr a = {ADDR_V6, 0, 5060, 0, {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1}};
    struct addr b = a;
    struct addr other = a;

    b.bytes[15] = 99;
    other.bytes[7] = 2;
    assert_int_equal(BURST, passed(a, 1000, T0));
    assert_int_equal(0, passed(b, 1000, T0));
    assert_int_equal(BURST, passed(other, 1000, T0));

    struct addr link = {ADDR_V6, 0, 5060, 2, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1}};
    struct addr next = link;
    next.bytes[15] = 1;
    assert_int_equal(BURST, passed(link, 1000, T0));
    assert_int_equal(BURST, passed(next, 1000, T0));
}

static void an_exempt_ipv6_host_does_not_exempt_its_neighbours(void **state)
{
    (void)state;
    static const struct addr_net host[] = {
        {{ADDR_V6, 0, 0, 0, {0x20, 1, 0xd, 0xb8, [15] = 7}}, 128}};
    struct addr carrier = host[0].base;
    struct addr neighbour = carrier;

    neighbour.bytes[15] = 8;
    config.trusted = host;
    for (unsigned first = 0; first < 2; first++) { /* whoever comes first */
        reopen();
        if (first == 0)
            assert_int_equal(1000, passed(carrier, 1000, T0));
        assert_int_equal(BURST, passed(neighbour, 1000, T0));
        assert_int_equal(1000, passed(carrier, 1000, T0));
        assert_false(guard_vouch(guard, &carrier, 3600000, T0));
        assert_false(guard_is_stranger(guard, &carrier, T0));
        assert_true(guard_is_stranger(guard, &neighbour, T0));
        assert_true(guard_bar(guard, &neighbour, SLICE_EMPTY, GUARD_R_GLITCHES, 60000, T0));
        assert_int_equal(1, passed(carrier, 1, T0));
        assert_int_equal(0, passed(neighbour, 1, T0));
    }
}

static void ports_make_no_other_source(void **state)
{
    (void)state;
    struct addr a = STRANGER;
    struct addr b = STRANGER;

    b.port = 40000;
    assert_int_equal(BURST, passed(a, 1000, T0));
    assert_int_equal(0, passed(b, 1000, T0));
}

static void the_peer_of_a_stream_waits_for_what_he_sent_too_fast(void **state)
{
    (void)state;
    const struct addr source = STRANGER;

    assert_true(guard_may_read(guard, &source, T0));
    for (unsigned i = 0; i < BURST + RATE; i++) /* one read of a second's worth too much */
        assert_int_equal(GUARD_PASS, guard_packet(guard, &source, true, T0));
    assert_false(guard_may_read(guard, &source, T0));
    assert_false(guard_may_read(guard, &source, T0 + 999));
    assert_true(guard_may_read(guard, &source, T0 + 1100));

    /* however much it was, he waits for seconds, not for hours */
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(GUARD_PASS, guard_packet(guard, &source, true, T0 + 2000));
    assert_false(guard_may_read(guard, &source, T0 + 6000));
    assert_true(guard_may_read(guard, &source, T0 + 7200));

    /* for datagrams, which anybody can forge, only datagrams are barred */
    assert_true(guard_bar(guard, &source, SLICE_EMPTY, GUARD_R_GLITCHES, 60000, T0 + 8000));
    assert_int_equal(GUARD_PASS, guard_packet(guard, &source, true, T0 + 8000));
    assert_int_equal(GUARD_BARRED, guard_packet(guard, &source, false, T0 + 8000));
    assert_true(guard_bar(guard, &source, SLICE_EMPTY, GUARD_R_STREAM_GLITCHES, 60000, T0 + 8000));
    assert_true(guard_may_read(guard, &source, T0 + 8000)); /* to be closed */
    assert_int_equal(GUARD_BARRED, guard_packet(guard, &source, true, T0 + 8000));
    assert_int_equal(GUARD_BARRED, guard_packet(guard, &source, false, T0 + 8000));
}

static unsigned handshakes_from(struct addr source, unsigned count, uint64_t now_ms)
{
    unsigned taken = 0;

    for (unsigned i = 0; i < count; i++)
        taken += guard_handshake(guard, &source, now_ms);
    return taken;
}

static void an_address_begins_so_many_handshakes_whoever_is_behind_it(void **state)
{
    (void)state;
    const struct addr phone = PHONE;

    assert_true(guard_vouch(guard, &phone, 3600000, T0));
    assert_int_equal(5, handshakes_from(phone, 5, T0)); /* at the limit */
    assert_int_equal(0, handshakes_from(phone, 100, T0));
    assert_int_equal(5, handshakes_from(STRANGER, 100, T0));
    assert_int_equal(1, handshakes_from(STRANGER, 100, T0 + 500));
    assert_true(guard_vouch(guard, AT(STRANGER), 3600000, T0 + 500)); /* forgives packets only */
    assert_int_equal(0, handshakes_from(STRANGER, 100, T0 + 500));
    assert_int_equal(100, handshakes_from(v4(0x7f000001), 100, T0));
    assert_int_equal(BURST, passed(v4(99), 1000, T0)); /* packets have their own */
    assert_int_equal(5, handshakes_from(v4(99), 100, T0));
    config.handshakes.per_second = 0;
    reopen();
    assert_int_equal(100, handshakes_from(STRANGER, 100, T0));
}

static void points_bar_a_stranger_and_nobody_else(void **state)
{
    (void)state;
    const struct addr bad = STRANGER;
    const struct addr phone = PHONE;

    for (unsigned i = 0; i < POINTS; i++)
        assert_false(guard_points(guard, &bad, 1, T0));
    assert_true(guard_points(guard, &bad, 1, T0));
    assert_false(guard_points(guard, &bad, 1, T0)); /* told once */

    /* one every two seconds is forgotten */
    for (unsigned i = 0; i < 10000; i++)
        assert_false(guard_points(guard, AT(v4(9)), 1, T0 + i * 2000));
    assert_true(guard_points(guard, AT(v4(10)), UINT32_MAX, T0));

    assert_true(guard_vouch(guard, &phone, 3600000, T0));
    assert_false(guard_points(guard, &phone, UINT32_MAX, T0));
    config.points_max = 0;
    reopen();
    assert_false(guard_points(guard, &bad, UINT32_MAX, T0));
}

static void calls_of_strangers_are_limited_together(void **state)
{
    (void)state;
    const struct addr phone = PHONE;
    unsigned count = 0;

    assert_true(guard_vouch(guard, &phone, 3600000, T0));
    for (uint32_t i = 0; i < 100; i++)
        count += guard_call(guard, AT(v4(i + 1)), false, T0);
    assert_int_equal(3, count);
    assert_true(guard_call(guard, &phone, false, T0));
    assert_true(guard_call(guard, AT(v4(0x7f000001)), false, T0));
    assert_false(guard_call(guard, AT(v4(77)), false, T0 + 499));
    assert_true(guard_call(guard, AT(v4(77)), false, T0 + 500));
}

static unsigned calls_from(uint32_t source, bool stream, unsigned count, uint64_t now_ms)
{
    unsigned passed_count = 0;

    for (unsigned i = 0; i < count; i++)
        passed_count += guard_call(guard, AT(v4(source)), stream, now_ms);
    return passed_count;
}

static void two_strangers_leave_room_for_the_calls_of_others(void **state)
{
    (void)state;
    config.calls = (struct guard_rate){16, 16};
    reopen();

    assert_int_equal(3, calls_from(1, false, 1000, T0)); /* an eighth of the burst, and one */
    assert_int_equal(3, calls_from(2, false, 1000, T0));
    assert_int_equal(3, calls_from(3, false, 3, T0));
    unsigned two = 0, others = 0;
    for (unsigned ms = 0; ms < 10000; ms += 10) { /* two that never cease, and some hundred */
        two += calls_from(1, false, 10, T0 + ms) + calls_from(2, false, 10, T0 + ms);
        if (ms % 100 == 50)
            others += calls_from(100 + ms / 100, false, 1, T0 + ms);
    }
    assert_in_range(two, 38, 42); /* 2 a second each */
    assert_int_equal(100, others);
}

static void who_forges_addresses_uses_up_the_calls_of_datagrams_only(void **state)
{
    (void)state;
    config.calls = (struct guard_rate){16, 16};
    reopen();
    unsigned forged = 0;

    for (uint32_t i = 0; i < 1000; i++)
        forged += calls_from(0x0a000000 + i, false, 1, T0);
    assert_int_equal(16, forged); /* no more than before, however many they are */
    assert_int_equal(0, calls_from(7, false, 1, T0));
    assert_int_equal(1, calls_from(7, true, 1, T0));
    assert_int_equal(3, calls_from(8, true, 1000, T0));
}

static void a_user_has_a_rate_of_his_own(void **state)
{
    (void)state;
    unsigned alice = 0, bob = 0;

    for (unsigned i = 0; i < 100; i++) {
        alice += guard_user(guard, SLICE("alice"), T0);
        bob += guard_user(guard, SLICE("bob"), T0);
    }
    assert_int_equal(20, alice);
    assert_int_equal(20, bob);
    assert_true(guard_user(guard, SLICE("alice"), T0 + 200));
    assert_false(guard_user(guard, SLICE("alice"), T0 + 200));
}

int main(void)
{
#define GUARD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GUARD_TEST(a_stranger_gets_his_burst_and_then_his_rate),
        GUARD_TEST(a_bucket_holds_over_any_time),
        GUARD_TEST(rates_are_kept_whatever_they_are),
        GUARD_TEST(without_a_rate_there_is_no_limit),
        GUARD_TEST(exempt_and_trusted_networks_have_no_limit),
        GUARD_TEST(who_is_vouched_for_has_a_wide_bucket_of_his_own),
        GUARD_TEST(a_proof_is_news_now_and_then_only),
        GUARD_TEST(a_proof_that_was_not_told_is_news_with_the_next_one),
        GUARD_TEST(ten_thousand_strangers_get_no_more_than_their_share),
        GUARD_TEST(a_full_table_keeps_those_who_are_known),
        GUARD_TEST(ever_new_addresses_bring_no_ever_new_bursts),
        GUARD_TEST(neighbours_are_spread_over_the_table),
        GUARD_TEST(a_bar_is_not_pushed_out_by_strangers),
        GUARD_TEST(a_prefix_of_ipv6_is_one_source),
        GUARD_TEST(an_exempt_ipv6_host_does_not_exempt_its_neighbours),
        GUARD_TEST(ports_make_no_other_source),
        GUARD_TEST(the_peer_of_a_stream_waits_for_what_he_sent_too_fast),
        GUARD_TEST(an_address_begins_so_many_handshakes_whoever_is_behind_it),
        GUARD_TEST(points_bar_a_stranger_and_nobody_else),
        GUARD_TEST(calls_of_strangers_are_limited_together),
        GUARD_TEST(two_strangers_leave_room_for_the_calls_of_others),
        GUARD_TEST(who_forges_addresses_uses_up_the_calls_of_datagrams_only),
        GUARD_TEST(a_user_has_a_rate_of_his_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
