/* SPDX-License-Identifier: Apache-2.0 */
/* The shared table, beside an array that remembers what was put; then with readers in threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/rng.h"
#include "heap.h"
#include "loop/table.h"

enum {
    KEYS = 4000,
    WORKERS = 3,
    BLOCK_MAX = 600
};

struct twin {
    uint16_t len; /* 0: absent */
    uint8_t mark;
    uint32_t note;
};

static struct slice key_of(unsigned n, char text[static 32])
{
    int len = snprintf(text, 32, "sip:%u@example.com", n);
    return (struct slice){text, (size_t)len};
}

static uint64_t hash_of(struct slice key)
{
    return hash_bytes(7, key);
}

static void check_block(struct slice block, const struct twin *twin)
{
    assert_int_equal(twin->len, block.len);
    for (size_t i = 0; i < block.len; i++)
        assert_int_equal(twin->mark, (uint8_t)block.data[i]);
}

static void check_walk(struct table *table, const struct twin *twins, unsigned expected)
{
    static bool met[KEYS];
    struct table_cursor cursor = {0};
    struct slice key;
    struct slice block;
    bool restarted = false;
    unsigned count = 0;

    memset(met, 0, sizeof met);
    while (table_walk(table, &cursor, &key, &block, &restarted)) {
        unsigned n;
        char text[32];
        snprintf(text, sizeof text, "%.*s", SLICE_ARG(key));
        assert_int_equal(1, sscanf(text, "sip:%u@", &n));
        assert_false(met[n]);
        met[n] = true;
        check_block(block, &twins[n]);
        count++;
    }
    assert_false(restarted);
    assert_int_equal(expected, count);
}

static bool is_wanted(const struct twin *twin, const struct table_search *search)
{
    uint32_t note = twin->note & search->mask;
    return twin->len > 0 && note != 0 && note <= search->max;
}

/* The same as its owner sees it, by the notes: a few places at a time, each that is wanted once. */
static void check_search(struct table *table, const struct twin *twins, uint32_t mask, uint32_t max)
{
    static bool met[KEYS];
    struct table_search search = {.mask = mask, .max = max};
    struct rng rng;

    memset(met, 0, sizeof met);
    rng_seed(&rng, max);
    for (; search.worker < WORKERS; search.worker++) {
        uint64_t places = table_places(table, search.worker);
        search.place = search.end = 0;
        while (search.end < places + 100) { /* past the end, too */
            struct slice key, block;
            uint64_t hash;
            search.end += 1 + rng_below(&rng, 100);
            while ((block = table_next(table, &search, &key, &hash)).len > 0) {
                unsigned n;
                char text[32];
                snprintf(text, sizeof text, "%.*s", SLICE_ARG(key));
                assert_int_equal(1, sscanf(text, "sip:%u@", &n));
                assert_int_equal(hash_of(key), hash);
                assert_int_equal(search.worker, table_owner(hash, WORKERS));
                assert_true(is_wanted(&twins[n], &search));
                assert_false(met[n]);
                met[n] = true;
                check_block(block, &twins[n]);
                assert_true(search.place <= search.end);
            }
            assert_int_equal(search.end, search.place);
        }
    }
    for (unsigned n = 0; n < KEYS; n++)
        assert_int_equal(is_wanted(&twins[n], &search), met[n]);
}

static void check_searches(struct table *table, const struct twin *twins)
{
    check_search(table, twins, UINT32_MAX, UINT32_MAX - 1); /* all; no note here is larger */
    check_search(table, twins, 1, 1);
    check_search(table, twins, UINT32_MAX - 1, UINT32_MAX / 3);
    check_search(table, twins, UINT32_MAX - 1, 0); /* none */
}

static struct table *open_table(struct quiesce *q, unsigned workers, size_t memory_max)
{
    struct table *table;
    quiesce_init(q);
    struct table_config config = {.workers = workers, .memory_max = memory_max, .quiesce = q};
    assert_int_equal(OK, table_open(&config, &table));
    return table;
}

static void the_table_does_what_an_array_does(void **state)
{
    (void)state;
    static struct twin twins[KEYS];
    static struct quiesce q;
    struct table *table = open_table(&q, WORKERS, 64 << 20);
    struct table_ops ops = table_interface(table);
    unsigned seats[WORKERS];
    unsigned count = 0;
    struct rng rng;
    char text[32];
    char bytes[BLOCK_MAX];

    memset(twins, 0, sizeof twins);
    rng_seed(&rng, 11);
    for (unsigned i = 0; i < WORKERS; i++) {
        seats[i] = quiesce_join(&q);
        quiesce_online(&q, seats[i]);
    }
    for (unsigned step = 0; step < 60000; step++) {
        unsigned range = step < 30000 ? KEYS : 50; /* first growth, then many gone slots */
        unsigned n = (unsigned)rng_below(&rng, range);
        struct slice key = key_of(n, text);
        uint64_t hash = hash_of(key);
        check_block(ops.find(ops.user, key, hash), &twins[n]);
        if (rng_below(&rng, 3) == 0) {
            ops.remove(ops.user, key, hash);
            count -= twins[n].len > 0;
            twins[n].len = 0;
        } else {
            count += twins[n].len == 0;
            twins[n].len = (uint16_t)(rng_below(&rng, BLOCK_MAX) + 1);
            twins[n].mark = (uint8_t)step;
            twins[n].note = (uint32_t)rng_below(&rng, UINT32_MAX - 1) + 1;
            memset(bytes, (int)(uint8_t)step, sizeof bytes);
            assert_int_equal(OK, ops.put(ops.user, key, hash, (struct slice){bytes, twins[n].len},
                                         twins[n].note));
        }
        struct slice found_key;
        struct slice found = ops.find_hash(ops.user, hash, &found_key);
        check_block(found, &twins[n]);
        if (found.len > 0)
            assert_true(slice_equal(key, found_key));
        unsigned worker = step % WORKERS;
        quiesce_pass(&q, seats[worker]);
        table_turn(table, worker);
        if (step % 5000 == 0) {
            check_walk(table, twins, count);
            check_searches(table, twins);
        }
    }
    for (unsigned n = 0; n < KEYS; n++) {
        struct slice key = key_of(n, text);
        check_block(table_find(table, key, hash_of(key)), &twins[n]);
    }
    struct table_status status;
    table_status(table, &status);
    assert_int_equal(count, status.entries);
    assert_true(status.waiting < 100);
    table_close(table);
}

static void a_block_stays_until_every_reader_has_passed(void **state)
{
    (void)state;
    static struct quiesce q;
    struct table *table = open_table(&q, 1, 1 << 20);
    unsigned writer = quiesce_join(&q);
    unsigned reader = quiesce_join(&q);
    struct slice key = SLICE("key");
    struct table_status status;

    quiesce_online(&q, writer);
    quiesce_online(&q, reader);
    assert_int_equal(OK, table_put(table, key, 5, SLICE("before"), 1));
    struct slice held = table_find(table, key, 5);
    assert_int_equal(OK, table_put(table, key, 5, SLICE("after"), 1));
    for (int i = 0; i < 3; i++) {
        quiesce_pass(&q, writer);
        table_turn(table, 0);
    }
    assert_true(slice_equal(SLICE("before"), held)); /* the sanitizer would see a freed one */
    assert_true(slice_equal(SLICE("after"), table_find(table, key, 5)));
    table_status(table, &status);
    assert_int_equal(1, status.waiting);
    quiesce_offline(&q, reader);
    table_turn(table, 0);
    table_status(table, &status);
    assert_int_equal(0, status.waiting);
    table_close(table);
}

static void without_memory_a_put_changes_nothing_and_a_remove_still_removes(void **state)
{
    (void)state;
    static struct quiesce q;
    struct table *table = open_table(&q, 1, 40000);
    static char block[1000];
    char text[32];
    unsigned n = 0;

    quiesce_online(&q, quiesce_join(&q)); /* a reader that never passes: nothing is freed */
    for (;; n++) {
        struct slice key = key_of(n, text);
        enum err err = table_put(table, key, hash_of(key), (struct slice){block, sizeof block}, 1);
        if (err == ERR_MEMORY)
            break;
        assert_int_equal(OK, err);
        assert_true(n < 100);
    }
    struct slice key = key_of(n, text);
    assert_int_equal(0, table_find(table, key, hash_of(key)).len);
    while (table_put(table, key_of(0, text), hash_of(key_of(0, text)), SLICE("x"), 1) == OK)
        continue;
    for (unsigned i = 0; i < n; i++) {
        key = key_of(i, text);
        assert_int_not_equal(0, table_find(table, key, hash_of(key)).len);
        table_remove(table, key, hash_of(key));
        assert_int_equal(0, table_find(table, key, hash_of(key)).len);
    }
    struct table_search search = {.end = table_places(table, 0), .mask = 1, .max = 1};
    uint64_t hash;
    assert_int_equal(0, table_next(table, &search, &key, &hash).len);
    struct table_status status;
    table_status(table, &status);
    assert_int_equal(0, status.entries);
    quiesce_offline(&q, 0); /* now there is room, and what was removed can be put again */
    for (unsigned i = 0; i < n; i++)
        table_turn(table, 0);
    for (unsigned i = 0; i < n; i++) {
        key = key_of(i, text);
        assert_int_equal(
            OK, table_put(table, key, hash_of(key), (struct slice){block, sizeof block}, 1));
        table_turn(table, 0);
    }
    table_status(table, &status);
    assert_int_equal(n, status.entries);
    table_close(table);
}

static void keys_and_blocks_have_their_largest_size(void **state)
{
    (void)state;
    static struct quiesce q;
    struct table *table = open_table(&q, 1, 1 << 20);
    static char big[UINT16_MAX + 1];

    assert_int_equal(OK, table_put(table, SLICE("k"), 1, (struct slice){big, UINT16_MAX}, 1));
    assert_int_equal(UINT16_MAX, table_find(table, SLICE("k"), 1).len);
    assert_int_equal(ERR_TOO_BIG,
                     table_put(table, SLICE("k"), 1, (struct slice){big, UINT16_MAX + 1}, 1));
    assert_int_equal(ERR_TOO_BIG,
                     table_put(table, (struct slice){big, INT16_MAX + 1}, 1, SLICE("b"), 1));
    assert_int_equal(UINT16_MAX, table_find(table, SLICE("k"), 1).len);
    struct slice long_key = {big, INT16_MAX};
    assert_int_equal(OK, table_put(table, long_key, 2, SLICE("b"), 1));
    assert_int_equal(1, table_find(table, long_key, 2).len);
    table_close(table);
}

/* --- Threads: two owners change their shards, two more only read --------------------------- */

enum {
    THREADS = 4,
    OWNERS = 2,
    SHARED_KEYS = 3000,
    ROUNDS = 30
};

struct player {
    struct table *table;
    struct quiesce *q;
    unsigned number;
    unsigned seat;
    uint64_t wrong;
    uint64_t found;
};

/* Key n is present all the time if n is even; its block says its number, again and again. */
static void player_look(struct player *p, unsigned n)
{
    char text[32];
    struct slice key = key_of(n, text);
    struct slice block = table_find(p->table, key, hash_of(key));

    if (block.len == 0) {
        p->wrong += n % 2 == 0;
        return;
    }
    uint32_t value;
    for (size_t at = 0; at + sizeof value <= block.len; at += sizeof value) {
        memcpy(&value, block.data + at, sizeof value);
        p->wrong += value != n;
    }
    p->found++;
}

static void player_change(struct player *p, unsigned n, struct rng *rng)
{
    char text[32];
    uint32_t block[40];
    struct slice key = key_of(n, text);
    uint64_t hash = hash_of(key);

    if (p->number >= OWNERS || table_owner(hash, OWNERS) != p->number)
        return;
    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = n;
    size_t len = sizeof(uint32_t) * (1 + rng_below(rng, COUNT_OF(block)));
    if (n % 2 == 1 && rng_below(rng, 2) == 0)
        table_remove(p->table, key, hash);
    else
        p->wrong += table_put(p->table, key, hash, (struct slice){(char *)block, len}, 1) != OK;
}

static void *player_run(void *user)
{
    struct player *p = user;
    struct rng rng;

    rng_seed(&rng, p->number);
    quiesce_online(p->q, p->seat);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < SHARED_KEYS; n++) {
            /* Keys beyond the first half come as the test goes on: the shards grow meanwhile. */
            unsigned present = SHARED_KEYS / 2;
            player_change(p, n < present || round > 2 ? n : present, &rng);
            player_look(p, (unsigned)rng_below(&rng, present));
            if (n % 16 == 0) {
                quiesce_pass(p->q, p->seat);
                if (p->number < OWNERS)
                    table_turn(p->table, p->number);
            }
        }
        quiesce_offline(p->q, p->seat);
        quiesce_online(p->q, p->seat);
        struct table_cursor cursor = {0};
        struct slice key;
        struct slice block;
        bool restarted = false;
        while (table_walk(p->table, &cursor, &key, &block, &restarted))
            p->wrong += block.len < sizeof(uint32_t);
    }
    quiesce_offline(p->q, p->seat);
    return NULL;
}

static void readers_in_other_threads_find_what_is_there_and_nothing_else(void **state)
{
    (void)state;
    static struct quiesce q;
    struct table *table = open_table(&q, OWNERS, 64 << 20);
    struct player players[THREADS];
    pthread_t threads[THREADS];
    struct rng rng;

    rng_seed(&rng, 1);
    for (unsigned i = 0; i < THREADS; i++)
        players[i] = (struct player){.table = table, .q = &q, .number = i};
    for (unsigned n = 0; n < SHARED_KEYS / 2; n += 2)
        for (unsigned owner = 0; owner < OWNERS; owner++)
            player_change(&players[owner], n, &rng);
    for (unsigned i = 0; i < THREADS; i++) {
        players[i].seat = quiesce_join(&q);
        assert_int_equal(0, pthread_create(&threads[i], NULL, player_run, &players[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) /* all, before one of them is found wrong */
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(0, players[i].wrong);
        assert_true(players[i].found > 1000);
    }
    for (unsigned owner = 0; owner < OWNERS; owner++)
        table_turn(table, owner);
    struct table_status status;
    table_status(table, &status);
    assert_int_equal(0, status.waiting);
    table_close(table);
}

static void a_full_table_is_within_what_was_computed(void **state)
{
    (void)state;
    static char block[200];
    struct quiesce q;
    size_t before = heap_live();
    struct table *table = open_table(&q, 2, (size_t)4 << 20);
    struct table_config config = {.workers = 2, .memory_max = (size_t)4 << 20, .quiesce = &q};
    unsigned put = 0, refused = 0;
    size_t most = 0;

    /* Large entries first, then ones smaller than any binding, which need the most of array. */
    for (unsigned n = 0; n < 200000; n++) {
        struct slice key = {(const char *)&n, sizeof n};
        size_t len = n < 5000 ? sizeof block : 60;
        bool fits = table_put(table, key, hash_of(key), (struct slice){block, len}, 1) == OK;
        put += fits;
        refused += !fits;
        if (n % 64 == 0) {
            table_turn(table, 0);
            table_turn(table, 1);
            most = heap_live() - before > most ? heap_live() - before : most;
        }
    }
    assert_true(put > 10000);
    assert_true(refused > 10000); /* it is full */
    assert_true(most <= table_memory_max(&config));
    assert_true(most >= table_memory_max(&config) / 4); /* and the figure means something */
    table_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_does_what_an_array_does),
        cmocka_unit_test(a_block_stays_until_every_reader_has_passed),
        cmocka_unit_test(without_memory_a_put_changes_nothing_and_a_remove_still_removes),
        cmocka_unit_test(keys_and_blocks_have_their_largest_size),
        cmocka_unit_test(a_full_table_is_within_what_was_computed),
        cmocka_unit_test(readers_in_other_threads_find_what_is_there_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
