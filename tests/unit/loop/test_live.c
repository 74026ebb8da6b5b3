/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "base/hash.h"
#include "base/rng.h"
#include "loop/live.h"

enum {
    THREADS = 4,
    KEYS = 3,
    LIMIT = 5,
    ROUNDS = 30000
};

static uint64_t hash_of(uint32_t key)
{
    return hash_bytes(7, (struct slice){(const char *)&key, sizeof key});
}

/** Takes one; asserts that it could. Gives its place. */
static uint32_t take(struct live *live, uint32_t key, uint32_t limit)
{
    uint32_t place = 0;
    assert_int_equal(LIVE_TAKEN, live_take(live, hash_of(key), limit, &place));
    assert_true(place > 0);
    return place;
}

static void a_count_stops_at_its_limit_and_others_go_on(void **state)
{
    (void)state;
    struct live *live;
    uint32_t places[5], place = 77;

    assert_int_equal(OK, live_open(10, &live));
    assert_int_equal(0, live_count(live, hash_of(1)));
    for (unsigned i = 0; i < 3; i++)
        places[i] = take(live, 1, 3);
    assert_int_equal(LIVE_LIMIT, live_take(live, hash_of(1), 3, &place));
    assert_int_equal(LIVE_LIMIT, live_take(live, hash_of(1), 2, &place)); /* it was lowered */
    assert_int_equal(77, place);
    places[3] = take(live, 1, LIVE_COUNT_MAX);
    places[4] = take(live, 2, 1);
    assert_int_equal(4, live_count(live, hash_of(1)));
    assert_int_equal(1, live_count(live, hash_of(2)));

    live_give(live, places[0]);
    live_give(live, places[1]);
    places[0] = take(live, 1, 3);
    live_give(live, places[0]);
    for (unsigned i = 2; i < 5; i++)
        live_give(live, places[i]);
    assert_int_equal(0, live_count(live, hash_of(1)));
    assert_int_equal(0, live_count(live, hash_of(2)));
    live_close(live);
}

/* There is room for all keys that were promised; past that the answer is a clear one. */
static void too_many_keys_are_refused_and_room_comes_back(void **state)
{
    (void)state;
    enum {
        PROMISED = 50000
    };
    static uint32_t places[PROMISED * 10];
    struct live *live;
    uint32_t taken = 0;

    assert_int_equal(OK, live_open(PROMISED, &live));
    while (live_take(live, hash_of(taken), 1, &places[taken]) == LIVE_TAKEN)
        assert_true(++taken < COUNT_OF(places));
    assert_true(taken >= PROMISED);
    assert_int_equal(LIVE_FULL, live_take(live, hash_of(taken), 1, &places[taken]));
    for (uint32_t key = 0; key < taken; key++)
        live_give(live, places[key]);
    live_give(live, take(live, taken, 1));
    live_close(live);
}

struct shared {
    struct live *live;
    _Atomic uint32_t held[KEYS];
    _Atomic uint32_t most;
};

struct taker {
    struct shared *shared;
    unsigned number;
    pthread_t thread;
};

static void give_all(struct shared *shared, uint32_t key, const uint32_t *places, unsigned *count)
{
    for (; *count > 0; --*count) {
        atomic_fetch_sub(&shared->held[key], 1);
        live_give(shared->live, places[*count - 1]);
    }
}

static void *take_and_give(void *user)
{
    struct taker *taker = user;
    struct shared *shared = taker->shared;
    uint32_t mine[KEYS][LIMIT];
    unsigned count[KEYS] = {0};
    struct rng rng;

    rng_seed(&rng, taker->number);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t key = (uint32_t)rng_below(&rng, KEYS);
        if (count[key] > 0 && rng_below(&rng, 2) == 0) {
            atomic_fetch_sub(&shared->held[key], 1);
            live_give(shared->live, mine[key][--count[key]]);
        } else if (live_take(shared->live, hash_of(key), LIMIT, &mine[key][count[key]]) ==
                   LIVE_TAKEN) {
            uint32_t held = atomic_fetch_add(&shared->held[key], 1) + 1;
            uint32_t most = atomic_load(&shared->most);
            while (held > most && !atomic_compare_exchange_weak(&shared->most, &most, held))
                ;
            if (++count[key] == LIMIT)
                give_all(shared, key, mine[key], &count[key]);
        }
    }
    for (uint32_t key = 0; key < KEYS; key++)
        give_all(shared, key, mine[key], &count[key]);
    return NULL;
}

static void threads_share_a_limit_and_nothing_is_left(void **state)
{
    (void)state;
    struct shared shared = {0};
    struct taker takers[THREADS];

    assert_int_equal(OK, live_open(100, &shared.live));
    for (unsigned i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.shared = &shared, .number = i};
        assert_int_equal(0, pthread_create(&takers[i].thread, NULL, take_and_give, &takers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(takers[i].thread, NULL);
    assert_int_equal(LIMIT, shared.most);
    for (uint32_t key = 0; key < KEYS; key++)
        assert_int_equal(0, live_count(shared.live, hash_of(key)));
    live_close(shared.live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_count_stops_at_its_limit_and_others_go_on),
        cmocka_unit_test(too_many_keys_are_refused_and_room_comes_back),
        cmocka_unit_test(threads_share_a_limit_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
