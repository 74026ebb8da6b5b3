/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The law of core/admit, alone and in front of a simulated server: a queue, a processor that may
 * be taken away in slices, and calls of six messages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rng.h"
#include "core/admit.h"

static const struct admit_config usual = {.target_ms = 50, .interval_ms = 100, .last_ms = 200};

/* ---- by hand ---- */

static void a_short_queue_refuses_nobody(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    for (uint64_t now = 0; now < 2000; now += 10)
        admit_note(&admit, 50, now);
    assert_false(admit_refuses(&admit, ADMIT_NEW));
    assert_false(admit_is_overloaded(&admit, 2000));
}

static void a_burst_that_drains_within_the_interval_refuses_nobody(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    for (uint64_t at = 0; at < 20; at++) {
        for (uint64_t now = 0; now < 95; now += 5) {
            admit_note(&admit, 300, 1000 * at + now);
            assert_false(admit_refuses(&admit, ADMIT_NEW));
        }
        admit_note(&admit, 40, 1000 * at + 95);
        admit_note(&admit, 300, 1000 * at + 99); /* a new one: it counts from here */
        admit_note(&admit, 0, 1000 * at + 150);
    }
}

static void a_standing_queue_refuses_what_has_waited_too_long(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    admit_note(&admit, 51, 1000);
    admit_note(&admit, 51, 1099);
    assert_false(admit_refuses(&admit, ADMIT_NEW));
    admit_note(&admit, 51, 1100);
    assert_true(admit_refuses(&admit, ADMIT_NEW));
    assert_false(admit_refuses(&admit, ADMIT_LAST));
    admit_note(&admit, 50, 1101); /* at the target: taken, but it is not over */
    assert_false(admit_refuses(&admit, ADMIT_NEW));
    admit_note(&admit, 51, 1102);
    assert_true(admit_refuses(&admit, ADMIT_NEW));
    admit_note(&admit, 200, 1103);
    assert_false(admit_refuses(&admit, ADMIT_LAST));
    admit_note(&admit, 201, 1104);
    assert_true(admit_refuses(&admit, ADMIT_LAST));
    admit_note(&admit, 25, 1105); /* half: over, and it begins anew */
    admit_note(&admit, 201, 1106);
    assert_false(admit_refuses(&admit, ADMIT_NEW));
    assert_false(admit_refuses(&admit, ADMIT_LAST));
}

static void waits_far_apart_are_no_standing_queue(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    for (uint64_t now = 1000; now < 20000; now += 1001)
        admit_note(&admit, 60, now);
    assert_false(admit_refuses(&admit, ADMIT_NEW));
}

static void an_overload_of_long_ago_is_over(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    admit_note(&admit, 51, 1000);
    admit_note(&admit, 51, 1100);
    admit_note(&admit, 1600, 2650); /* stopped meanwhile: it stood all the time */
    assert_true(admit_refuses(&admit, ADMIT_NEW));
    admit_note(&admit, 60, 3600000); /* nothing came for an hour; then one late turn */
    assert_false(admit_refuses(&admit, ADMIT_NEW));
    admit_note(&admit, 60, 3600100); /* the law as ever */
    assert_true(admit_refuses(&admit, ADMIT_NEW));
}

static void what_is_shown_fades(void **state)
{
    struct admit admit;
    (void)state;

    admit_init(&admit, &usual);
    for (uint64_t now = 1000; now <= 1200; now += 10)
        admit_note(&admit, 70, now);
    assert_int_equal(admit_peak_ms(&admit, 1300), 70);
    assert_true(admit_is_overloaded(&admit, 1300));
    assert_int_equal(admit_peak_ms(&admit, 2500), 70);
    assert_false(admit_is_overloaded(&admit, 2500)); /* nobody came for a second */
    assert_int_equal(admit_peak_ms(&admit, 3000), 0);
}

static void peers_are_asked_to_keep_back_more_and_then_less(void **state)
{
    struct admit admit;
    uint32_t last = 0;
    (void)state;

    admit_init(&admit, &usual);
    for (uint64_t now = 1000; now <= 3000; now += 10) {
        admit_note(&admit, 80, now);
        assert_true(admit.oc_percent >= last);
        last = admit.oc_percent;
    }
    assert_int_equal(last, ADMIT_OC_MAX);
    for (uint64_t now = 3010; now <= 6000; now += 10) {
        admit_note(&admit, 0, now);
        assert_true(admit.oc_percent <= last);
        last = admit.oc_percent;
    }
    assert_int_equal(last, 0);
}

/* ---- in front of a server ---- */

enum {
    BATCH = 64,
    COST_INVITE_US = 16,
    COST_REFUSED_US = 3, /* the INVITE and its 503 */
    COST_REFUSED_ACK_US = 1,
    COST_OTHER_US = 5, /* each of 180, 200, ACK, BYE, 200 */
    COST_CALL_US = COST_INVITE_US + 5 * COST_OTHER_US,
    RING_US = 5000,
    HOLD_US = 100000,
    STEPS = 6,
};

enum step {
    STEP_INVITE = 0,
    STEP_180,
    STEP_200,
    STEP_ACK,
    STEP_BYE,
    STEP_OVER,
    STEP_REFUSED_ACK,
};

struct packet {
    uint64_t at_us;   /* arrives */
    uint64_t born_us; /* its INVITE was sent */
    enum step step;
};

/** Packets under way, the earliest first: a heap; and those that wait. */
struct server {
    struct packet *coming;
    size_t coming_count, coming_capacity;
    uint64_t run_us, period_us; /* of each period, so much is ours */
    uint64_t now_us;
    struct admit admit;
    uint64_t offered, refused, done, slow; /* slow: set up in more than half a second */
    uint64_t busy_us;
};

static void come(struct server *s, struct packet packet)
{
    if (s->coming_count == s->coming_capacity) {
        size_t capacity = s->coming_capacity ? 2 * s->coming_capacity : 1024;
        struct packet *more = realloc(s->coming, capacity * sizeof *more);
        assert_non_null(more);
        s->coming = more;
        s->coming_capacity = capacity;
    }
    size_t at = s->coming_count++;
    while (at > 0 && s->coming[(at - 1) / 2].at_us > packet.at_us) {
        s->coming[at] = s->coming[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->coming[at] = packet;
}

static struct packet take(struct server *s)
{
    struct packet first = s->coming[0], last = s->coming[--s->coming_count];
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < s->coming_count && s->coming[child + 1].at_us < s->coming[child].at_us)
            child++;
        if (child >= s->coming_count || s->coming[child].at_us >= last.at_us)
            break;
        s->coming[at] = s->coming[child];
        at = child;
    }
    s->coming[at] = last;
    return first;
}

/** Works for so long; the clock jumps over what is not ours. */
static void work(struct server *s, uint64_t us)
{
    s->busy_us += us;
    s->now_us += us;
    if (s->now_us % s->period_us >= s->run_us)
        s->now_us += s->period_us - s->now_us % s->period_us;
}

static void serve(struct server *s, const struct packet *packet)
{
    struct packet next = *packet;

    if (packet->step == STEP_INVITE && admit_refuses(&s->admit, ADMIT_NEW)) {
        work(s, COST_REFUSED_US);
        s->refused++;
        next.step = STEP_REFUSED_ACK;
        next.at_us = s->now_us + 100;
        come(s, next);
        return;
    }
    if (packet->step == STEP_REFUSED_ACK) {
        work(s, COST_REFUSED_ACK_US);
        return;
    }
    work(s, packet->step == STEP_INVITE ? COST_INVITE_US : COST_OTHER_US);
    if (packet->step == STEP_200 && s->now_us - packet->born_us > 500000)
        s->slow++;
    if (packet->step == STEP_OVER) {
        s->done++;
        return;
    }
    static const uint64_t later_us[] = {[STEP_INVITE] = 100,
                                        [STEP_180] = RING_US,
                                        [STEP_200] = 100,
                                        [STEP_ACK] = HOLD_US,
                                        [STEP_BYE] = 100};
    next.at_us = s->now_us + later_us[packet->step];
    next.step++;
    come(s, next);
}

/** A second is enough to settle; counts are of what follows. `load`: percent of what it can do. */
static void offer(struct server *s, unsigned load, uint64_t seconds)
{
    uint64_t call_us = COST_CALL_US * s->period_us / s->run_us; /* of wall time */
    uint64_t mean_us = call_us * 100 / load;
    uint64_t end_us = (seconds + 1) * 1000000, next_us = 0;
    bool settled = false;
    struct packet batch[BATCH];
    struct rng rng;

    rng_seed(&rng, load);
    admit_init(&s->admit, &usual);
    while (s->now_us < end_us) {
        while (next_us <= s->now_us + 1000) { /* evenly spread around the mean */
            come(s, (struct packet){.at_us = next_us, .born_us = next_us, .step = STEP_INVITE});
            next_us += 1 + rng_below(&rng, 2 * mean_us - 1);
            s->offered++;
        }
        if (!settled && s->now_us >= 1000000) {
            settled = true;
            s->offered = s->refused = s->done = s->slow = s->busy_us = 0;
        }
        if (s->coming[0].at_us > s->now_us) {
            uint64_t at_us = s->coming[0].at_us;
            s->now_us = at_us % s->period_us < s->run_us
                            ? at_us
                            : at_us + s->period_us - at_us % s->period_us;
            continue;
        }
        size_t count = 0;
        while (count < BATCH && s->coming_count > 0 && s->coming[0].at_us <= s->now_us)
            batch[count++] = take(s);
        admit_note(&s->admit, (uint32_t)((s->now_us - batch[0].at_us) / 1000), s->now_us / 1000);
        for (size_t i = 0; i < count; i++)
            serve(s, &batch[i]);
        if (count < BATCH)
            admit_note(&s->admit, 0, s->now_us / 1000);
    }
}

struct weather {
    uint64_t run_us, period_us;
    const char *what;
};

static const struct weather weathers[] = {
    {100000, 100000, "a whole processor"},
    {25000, 100000, "a quarter, in slices of 100 ms"},
    {2500, 10000, "a quarter, in slices of 10 ms"},
    {3000, 12000, "three others beside it"},
    {10000, 100000, "a tenth, in slices of 100 ms"},
};

static void what_can_be_carried_is_carried(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
        for (unsigned load = 30; load <= 90; load += 30) {
            struct server s = {.run_us = weathers[i].run_us, .period_us = weathers[i].period_us};
            offer(&s, load, 10);
            if (s.refused > 0 || s.slow > 0)
                print_error("%s, %u %%: %lu of %lu refused, %lu slow\n", weathers[i].what, load,
                            (unsigned long)s.refused, (unsigned long)s.offered,
                            (unsigned long)s.slow);
            assert_int_equal(s.refused, 0);
            assert_int_equal(s.slow, 0);
            free(s.coming);
        }
}

static void what_is_too_much_is_refused_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
        for (unsigned load = 110; load <= 500; load += load < 200 ? 30 : 100) {
            struct server s = {.run_us = weathers[i].run_us, .period_us = weathers[i].period_us};
            offer(&s, load, 10);
            double r = (double)(COST_REFUSED_US + COST_REFUSED_ACK_US) / COST_CALL_US;
            double n = load / 100.0;
            double most = 10e6 * (double)s.run_us / (double)s.period_us / COST_CALL_US;
            double share = (double)s.done / most, bound = (1 - n * r) / (1 - r);
            if (getenv("ADMIT_SHOW") != NULL || share < 0.95 * bound || s.slow * 100 > s.done)
                print_error("%s, %u %%: %.3f of the most done, bound %.3f, %lu slow of %lu\n",
                            weathers[i].what, load, share, bound, (unsigned long)s.slow,
                            (unsigned long)s.done);
            assert_true(share >= 0.95 * bound);
            assert_true(s.slow * 100 <= s.done);
            free(s.coming);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_queue_refuses_nobody),
        cmocka_unit_test(a_burst_that_drains_within_the_interval_refuses_nobody),
        cmocka_unit_test(a_standing_queue_refuses_what_has_waited_too_long),
        cmocka_unit_test(waits_far_apart_are_no_standing_queue),
        cmocka_unit_test(an_overload_of_long_ago_is_over),
        cmocka_unit_test(what_is_shown_fades),
        cmocka_unit_test(peers_are_asked_to_keep_back_more_and_then_less),
        cmocka_unit_test(what_can_be_carried_is_carried),
        cmocka_unit_test(what_is_too_much_is_refused_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
