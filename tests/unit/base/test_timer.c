/* SPDX-License-Identifier: Apache-2.0 */
/* The wheel, beside an array that is searched from end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/timer.h"

enum {
    TWIN_TIMERS = 200
};

/* One timer and what the twin knows of it. */
struct twin {
    struct timer timer;
    uint64_t order_ms; /* its due, or the time it was started at if that was later */
    uint64_t serial;   /* of the start: decides between equal dues */
    bool armed;
    struct fixture *fixture;
};

struct fixture {
    struct timer_wheel wheel;
    struct twin twins[TWIN_TIMERS];
    struct rng rng;
    uint64_t now_ms;
    uint64_t serial;
    uint64_t ran;
    uint64_t serial_at_run; /* timers started from here on wait for the next run if they are late */
    bool chaos;             /* callbacks start and stop timers themselves */
};

static struct twin *twin_first(struct fixture *f)
{
    struct twin *first = NULL;
    for (size_t i = 0; i < TWIN_TIMERS; i++) {
        struct twin *twin = &f->twins[i];
        if (!twin->armed || twin->order_ms > f->now_ms)
            continue;
        if (twin->serial >= f->serial_at_run)
            continue;
        if (first == NULL || twin->order_ms < first->order_ms ||
            (twin->order_ms == first->order_ms && twin->serial < first->serial))
            first = twin;
    }
    return first;
}

static void twin_start(struct fixture *f, struct twin *twin, uint64_t due_ms)
{
    timer_start(&f->wheel, &twin->timer, due_ms);
    twin->armed = true;
    twin->order_ms = due_ms > f->wheel.now_ms ? due_ms : f->wheel.now_ms;
    twin->serial = f->serial++;
}

static void twin_stop(struct fixture *f, struct twin *twin)
{
    timer_stop(&f->wheel, &twin->timer);
    twin->armed = false;
}

static uint64_t random_due(struct fixture *f)
{
    uint64_t span = UINT64_C(1) << rng_below(&f->rng, 39);
    uint64_t offset = rng_below(&f->rng, span);
    return rng_below(&f->rng, 16) == 0 ? f->now_ms - rng_below(&f->rng, 100) : f->now_ms + offset;
}

static void random_operation(struct fixture *f)
{
    struct twin *twin = &f->twins[rng_below(&f->rng, TWIN_TIMERS)];
    if (rng_below(&f->rng, 3) == 0)
        twin_stop(f, twin);
    else
        twin_start(f, twin, random_due(f));
}

static void on_due(struct timer *timer, uint64_t now_ms)
{
    struct twin *twin = CONTAINER_OF(timer, struct twin, timer);
    struct fixture *f = twin->fixture;

    assert_int_equal(f->now_ms, now_ms);
    assert_ptr_equal(twin_first(f), twin);
    assert_false(timer_armed(timer));
    twin->armed = false;
    f->ran++;
    if (f->chaos && rng_below(&f->rng, 2) == 0)
        random_operation(f);
}

static void fixture_init(struct fixture *f, uint64_t seed, uint64_t now_ms)
{
    *f = (struct fixture){.now_ms = now_ms, .chaos = seed % 2 == 1};
    rng_seed(&f->rng, seed);
    timer_wheel_init(&f->wheel, now_ms);
    for (size_t i = 0; i < TWIN_TIMERS; i++) {
        f->twins[i].timer.fn = on_due;
        f->twins[i].fixture = f;
    }
}

static void check_next(const struct fixture *f)
{
    uint64_t first_ms = UINT64_MAX;
    uint64_t armed = 0;
    for (size_t i = 0; i < TWIN_TIMERS; i++) {
        if (!f->twins[i].armed)
            continue;
        armed++;
        if (f->twins[i].order_ms < first_ms)
            first_ms = f->twins[i].order_ms;
    }
    assert_int_equal(armed, f->wheel.count);
    uint64_t next_ms = timer_wheel_next(&f->wheel);
    if (armed == 0)
        assert_int_equal(UINT64_MAX, next_ms);
    else
        assert_true(next_ms <= first_ms && next_ms >= f->now_ms);
}

static void run_until_nothing_is_left(struct fixture *f)
{
    unsigned max = (unsigned)rng_below(&f->rng, 20) + 1;
    unsigned ran;
    do {
        f->serial_at_run = f->serial;
        ran = timer_wheel_run(&f->wheel, f->now_ms, max);
        assert_true(ran <= max);
    } while (ran == max);
    f->serial_at_run = f->serial;
    if (!f->chaos)
        assert_null(twin_first(f));
}

static void the_wheel_does_what_a_sorted_list_does(void **state)
{
    (void)state;
    /* 2^36 - 100: the wheel's edge is crossed at once. */
    static const uint64_t begins[] = {0, 1, 4095, 1700000000000, 68719476736 - 100};
    static struct fixture f;

    for (uint64_t seed = 0; seed < 60; seed++) {
        fixture_init(&f, seed, begins[seed % COUNT_OF(begins)]);
        for (int step = 0; step < 400; step++) {
            for (uint64_t n = rng_below(&f.rng, 20); n > 0; n--)
                random_operation(&f);
            check_next(&f);
            f.now_ms += rng_below(&f.rng, UINT64_C(1) << rng_below(&f.rng, 38));
            run_until_nothing_is_left(&f);
            check_next(&f);
        }
        assert_true(f.ran > 100);
    }
}

static void following_next_never_misses_a_due_by_a_millisecond(void **state)
{
    (void)state;
    static struct fixture f;

    fixture_init(&f, 2, 12345);
    for (size_t i = 0; i < TWIN_TIMERS; i++)
        twin_start(&f, &f.twins[i], f.now_ms + 1 + rng_below(&f.rng, 200000));
    unsigned wakes = 0;
    while (f.wheel.count > 0) {
        uint64_t next_ms = timer_wheel_next(&f.wheel);
        for (size_t i = 0; i < TWIN_TIMERS; i++)
            assert_true(!f.twins[i].armed || f.twins[i].order_ms >= next_ms);
        f.now_ms = next_ms;
        run_until_nothing_is_left(&f);
        wakes++;
    }
    assert_int_equal(TWIN_TIMERS, f.ran);
    assert_true(wakes < 4 * TWIN_TIMERS);
}

static void on_due_restart(struct timer *timer, uint64_t now_ms)
{
    struct twin *twin = CONTAINER_OF(timer, struct twin, timer);
    twin->fixture->ran++;
    timer_start(&twin->fixture->wheel, timer, now_ms);
}

static void a_timer_that_restarts_itself_for_now_cannot_starve_the_loop(void **state)
{
    (void)state;
    static struct fixture f;

    fixture_init(&f, 0, 1000);
    f.twins[0].timer.fn = on_due_restart;
    timer_start(&f.wheel, &f.twins[0].timer, 1000);
    assert_int_equal(1, timer_wheel_run(&f.wheel, 1000, 100));
    assert_int_equal(1, timer_wheel_run(&f.wheel, 1000, 100));
    assert_int_equal(2, f.ran);
    assert_int_equal(1000, timer_wheel_next(&f.wheel));
    timer_stop(&f.wheel, &f.twins[0].timer);
    timer_stop(&f.wheel, &f.twins[0].timer); /* twice is fine */
    assert_int_equal(UINT64_MAX, timer_wheel_next(&f.wheel));
}

static void a_run_stops_at_its_bound_and_goes_on_there(void **state)
{
    (void)state;
    static struct fixture f;

    fixture_init(&f, 0, 0);
    for (size_t i = 0; i < 11; i++)
        twin_start(&f, &f.twins[i], 5);
    f.now_ms = 5;
    f.serial_at_run = f.serial;
    assert_int_equal(10, timer_wheel_run(&f.wheel, 5, 10));
    assert_int_equal(5, timer_wheel_next(&f.wheel));
    assert_int_equal(1, timer_wheel_run(&f.wheel, 5, 10));
    assert_int_equal(0, timer_wheel_run(&f.wheel, 5, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wheel_does_what_a_sorted_list_does),
        cmocka_unit_test(following_next_never_misses_a_due_by_a_millisecond),
        cmocka_unit_test(a_timer_that_restarts_itself_for_now_cannot_starve_the_loop),
        cmocka_unit_test(a_run_stops_at_its_bound_and_goes_on_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
