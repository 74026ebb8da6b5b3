/* SPDX-License-Identifier: Apache-2.0 */
/* mem, arena and pool: whose memory, how much, and what happens when there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/pool.h"
#include "base/rng.h"

static void every_size_is_given_aligned_and_apart(void **state)
{
    (void)state;
    struct mem mem;
    struct {
        unsigned char *ptr;
        size_t size;
        unsigned char mark;
    } held[64] = {0};
    struct rng rng;

    rng_seed(&rng, 1);
    mem_init(&mem, 64 << 20);
    for (unsigned step = 0; step < 20000; step++) {
        size_t i = rng_below(&rng, COUNT_OF(held));
        for (size_t n = 0; n < held[i].size; n++)
            assert_int_equal(held[i].mark, held[i].ptr[n]);
        mem_free(&mem, held[i].ptr, held[i].size);
        held[i].size = rng_below(&rng, (size_t)1 << (1 + rng_below(&rng, 12))) + 1;
        held[i].mark = (unsigned char)step;
        held[i].ptr = mem_alloc(&mem, held[i].size);
        assert_non_null(held[i].ptr);
        assert_int_equal(0, (uintptr_t)held[i].ptr % 16);
        memset(held[i].ptr, held[i].mark, held[i].size);
    }
    for (size_t i = 0; i < COUNT_OF(held); i++)
        mem_free(&mem, held[i].ptr, held[i].size);
    assert_int_equal(0, mem.used_bytes);
    mem_release(&mem);
}

static void sizes_around_each_class_are_held_whole(void **state)
{
    (void)state;
    struct mem mem;

    mem_init(&mem, 64 << 20);
    for (size_t size = 1; size <= MEM_MAX_ALLOC; size += size < 2048 ? 1 : 61) {
        char *ptr = mem_alloc(&mem, size);
        assert_non_null(ptr);
        assert_true(mem.used_bytes >= size);
        assert_true(mem.used_bytes < size + 16 || mem.used_bytes <= size + size / 4 + 1);
        memset(ptr, 1, size);
        mem_free(&mem, ptr, size);
    }
    char *largest = mem_zalloc(&mem, MEM_MAX_ALLOC);
    assert_int_equal(0, largest[MEM_MAX_ALLOC - 1]);
    mem_free(&mem, largest, MEM_MAX_ALLOC);
    mem_free(&mem, NULL, 1);
    mem_release(&mem);
}

static void the_limit_holds_and_freeing_makes_room(void **state)
{
    (void)state;
    enum {
        LIMIT = 100000
    };
    struct mem mem;
    void *held[LIMIT / 1024] = {0};
    size_t count = 0;

    mem_init(&mem, LIMIT);
    while (count < COUNT_OF(held) && (held[count] = mem_alloc(&mem, 1024)) != NULL)
        count++;
    assert_true(count >= 90);
    assert_null(mem_alloc(&mem, 65536));
    assert_true(mem.used_bytes <= LIMIT);
    mem_free(&mem, held[0], 1024);
    held[0] = mem_alloc(&mem, 1024);
    assert_non_null(held[0]);
    for (size_t i = 0; i < count; i++)
        mem_free(&mem, held[i], 1024);
    mem_release(&mem);
}

static void a_test_can_make_one_or_all_allocations_fail(void **state)
{
    (void)state;
    struct mem mem;

    mem_init(&mem, 1 << 20);
    mem.fail_at = 2;
    void *first = mem_alloc(&mem, 16);
    assert_non_null(first);
    assert_null(mem_alloc(&mem, 16));
    void *third = mem_alloc(&mem, 16);
    assert_non_null(third);
    mem.fail_at = 4;
    mem.fail_after = true;
    assert_null(mem_alloc(&mem, 16));
    assert_null(mem_zalloc(&mem, 16));
    mem_free(&mem, first, 16);
    mem_free(&mem, third, 16);
    mem_release(&mem);
}

static void an_arena_is_freed_whole_and_keeps_its_first_block(void **state)
{
    (void)state;
    struct mem mem;
    struct arena arena;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, arena_init(&arena, &mem, 300000));
    size_t first_bytes = mem.used_bytes;
    for (int round = 0; round < 3; round++) {
        struct slice copy = arena_copy(&arena, SLICE("INVITE"));
        assert_true(slice_equal(SLICE("INVITE"), copy));
        for (int i = 0; i < 100; i++) {
            char *ptr = arena_alloc(&arena, 1000);
            assert_non_null(ptr);
            assert_int_equal(0, (uintptr_t)ptr % 16);
            memset(ptr, i, 1000);
        }
        assert_non_null(arena_alloc(&arena, 70000));
        assert_true(slice_equal(SLICE("INVITE"), copy));
        arena_reset(&arena);
        assert_int_equal(first_bytes, mem.used_bytes);
    }
    assert_non_null(arena_copy(&arena, SLICE("")).data);
    arena_release(&arena);
    mem_release(&mem);
}

static void an_arena_stops_at_its_limit(void **state)
{
    (void)state;
    struct mem mem;
    struct arena arena;
    size_t total = 0;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, arena_init(&arena, &mem, 100000));
    while (arena_alloc(&arena, 160) != NULL)
        total += 160;
    assert_true(total > 98000 && total <= 100000);
    assert_null(arena_copy(&arena, (struct slice){(char[161]){0}, 161}).data);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    arena_reset(&arena);
    mem.fail_at = mem.allocs + 1;
    assert_null(arena_alloc(&arena, 60000));
    assert_non_null(arena_alloc(&arena, 60000));
    arena_release(&arena);
    mem.fail_at = mem.allocs + 1;
    assert_int_equal(ERR_MEMORY, arena_init(&arena, &mem, 100000));
    mem_release(&mem);
}

struct thing {
    uint64_t value;
    char rest[40];
};

static void a_stale_id_finds_nothing(void **state)
{
    (void)state;
    struct mem mem;
    struct pool pool;
    struct id first;
    struct id second;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, pool_init(&pool, &mem, sizeof(struct thing), 1000));
    assert_null(pool_get(&pool, (struct id){0}));
    struct thing *thing = pool_alloc(&pool, &first);
    assert_ptr_equal(thing, pool_get(&pool, first));
    thing->value = 7;
    pool_free(&pool, first);
    assert_null(pool_get(&pool, first));
    assert_null(pool_get(&pool, (struct id){first.slot, first.generation + 1})); /* guessed */

    assert_ptr_equal(thing, pool_alloc(&pool, &second));
    assert_int_equal(first.slot, second.slot);
    assert_false(id_equal(first, second));
    assert_int_equal(0, thing->value);
    assert_null(pool_get(&pool, first));
    assert_null(pool_get(&pool, (struct id){1, 1}));
    assert_null(pool_get(&pool, (struct id){UINT32_MAX, 1}));
    pool_free(&pool, second);
    pool_release(&pool);
    mem_release(&mem);
}

static void a_pool_holds_its_capacity_and_not_one_more(void **state)
{
    (void)state;
    enum {
        CAPACITY = POOL_SLAB + 5
    };
    struct mem mem;
    struct pool pool;
    struct id ids[CAPACITY];
    struct id one_more;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, pool_init(&pool, &mem, POOL_OBJECT_MAX, CAPACITY));
    for (unsigned i = 0; i < CAPACITY; i++) {
        char *object = pool_alloc(&pool, &ids[i]);
        assert_non_null(object);
        memset(object, (int)i, POOL_OBJECT_MAX);
    }
    assert_null(pool_alloc(&pool, &one_more));
    for (unsigned i = 0; i < CAPACITY; i++) {
        const char *object = pool_get(&pool, ids[i]);
        assert_true(object != NULL && object[POOL_OBJECT_MAX - 1] == (char)i);
    }
    pool_free(&pool, ids[3]);
    assert_non_null(pool_alloc(&pool, &one_more));
    pool_release(&pool);
    mem_release(&mem);
}

static void a_walk_meets_every_live_object_once_even_if_it_frees_them(void **state)
{
    (void)state;
    struct mem mem;
    struct pool pool;
    struct id ids[200];
    uint64_t sum = 0;
    uint32_t cursor = 0;
    struct id id;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, pool_init(&pool, &mem, sizeof(struct thing), 200));
    for (unsigned i = 0; i < 200; i++)
        ((struct thing *)pool_alloc(&pool, &ids[i]))->value = i;
    for (unsigned i = 0; i < 200; i += 2)
        pool_free(&pool, ids[i]);
    for (struct thing *t; (t = pool_next(&pool, &cursor, &id)) != NULL; pool_free(&pool, id))
        sum += t->value;
    assert_int_equal(100 * 100, sum);
    assert_int_equal(0, pool.count);
    pool_release(&pool);
    mem_release(&mem);
}

static void a_pool_without_memory_says_so_and_stays_whole(void **state)
{
    (void)state;
    struct mem mem;
    struct pool pool;
    struct id id;

    mem_init(&mem, 1 << 20);
    assert_int_equal(OK, pool_init(&pool, &mem, sizeof(struct thing), 200));
    mem.fail_at = 1;
    assert_null(pool_alloc(&pool, &id));
    assert_int_equal(0, pool.count);
    assert_non_null(pool_alloc(&pool, &id));
    pool_release(&pool);
    mem_release(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_given_aligned_and_apart),
        cmocka_unit_test(sizes_around_each_class_are_held_whole),
        cmocka_unit_test(the_limit_holds_and_freeing_makes_room),
        cmocka_unit_test(a_test_can_make_one_or_all_allocations_fail),
        cmocka_unit_test(an_arena_is_freed_whole_and_keeps_its_first_block),
        cmocka_unit_test(an_arena_stops_at_its_limit),
        cmocka_unit_test(a_stale_id_finds_nothing),
        cmocka_unit_test(a_pool_holds_its_capacity_and_not_one_more),
        cmocka_unit_test(a_walk_meets_every_live_object_once_even_if_it_frees_them),
        cmocka_unit_test(a_pool_without_memory_says_so_and_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
