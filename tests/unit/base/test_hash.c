/* SPDX-License-Identifier: Apache-2.0 */
/* hash, rng, map, builder and slice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/builder.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/rng.h"

/* The reference vectors: key 00 01 .. 0f, message of n bytes 00 01 02 ... */
static void siphash_gives_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t mac;
    } cases[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {7, UINT64_C(0xab0200f58b01d137)},  {8, UINT64_C(0x93f5f5799a932462)},
        {15, UINT64_C(0xa129ca6149be45e5)}, /* the paper's appendix A */
    };
    const struct hash_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};
    char message[16];

    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (char)i;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(cases[i].mac, hash_mac(&key, (struct slice){message, cases[i].len}));
}

static void the_table_hash_depends_on_seed_and_bytes(void **state)
{
    (void)state;
    uint64_t hash = hash_bytes(1, SLICE("sip:alice@example.com"));

    assert_int_equal(hash, hash_bytes(1, SLICE("sip:alice@example.com")));
    assert_int_not_equal(hash, hash_bytes(2, SLICE("sip:alice@example.com")));
    assert_int_not_equal(hash, hash_bytes(1, SLICE("sip:alice@example.con")));
    (void)hash_bytes(1, SLICE_EMPTY);
}

static void random_numbers_repeat_by_seed_and_stay_below_their_bound(void **state)
{
    (void)state;
    struct rng a;
    struct rng b;
    unsigned seen[10] = {0};

    rng_seed(&a, 42);
    rng_seed(&b, 42);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(rng_u64(&a), rng_u64(&b));
        uint64_t value = rng_below(&a, 10);
        assert_true(value < 10);
        assert_int_equal(value, rng_below(&b, 10));
        seen[value]++;
    }
    for (size_t i = 0; i < COUNT_OF(seen); i++)
        assert_true(seen[i] > 850 && seen[i] < 1150);
    assert_int_equal(0, rng_below(&a, 1));
    /* xoshiro256** from state 1, 2, 3, 4: first output is rotl(2 * 5, 7) * 9. */
    struct rng known = {{1, 2, 3, 4}};
    assert_int_equal(11520, rng_u64(&known));
    assert_int_equal(0, rng_u64(&known));
    assert_int_equal(1509978240, rng_u64(&known));
}

struct item {
    struct map_node node;
    bool in;
    bool met;
};

static size_t walk(struct map *map, bool remove)
{
    size_t cursor = 0;
    size_t count = 0;
    for (struct map_node *node; (node = map_walk(map, &cursor)) != NULL; count++) {
        struct item *item = CONTAINER_OF(node, struct item, node);
        assert_true(item->in);
        assert_false(item->met);
        item->met = true;
        if (remove) {
            map_remove(map, node);
            memset(node, 0xee, sizeof *node);
            item->in = false;
        }
    }
    return count;
}

static bool map_has(const struct map *map, const struct item *item, uint64_t hash)
{
    for (struct map_node *n = map_first(map, hash); n != NULL; n = map_next(n))
        if (n == &item->node)
            return true;
    return false;
}

static void a_map_does_what_an_array_of_flags_does(void **state)
{
    (void)state;
    enum {
        ITEMS = 3000
    };
    static struct item items[ITEMS];
    struct map map;
    struct rng rng;
    size_t in = 0;

    memset(items, 0, sizeof items);
    rng_seed(&rng, 5);
    assert_int_equal(OK, map_init(&map, 1));
    for (int step = 0; step < 100000; step++) {
        size_t i = rng_below(&rng, ITEMS);
        uint64_t hash = i % 7 == 0 ? 99 : i * UINT64_C(0x9e3779b97f4a7c15); /* some collide */
        assert_int_equal(items[i].in, map_has(&map, &items[i], hash));
        if (items[i].in) {
            map_remove(&map, &items[i].node);
            in--;
        } else {
            map_add(&map, &items[i].node, hash);
            in++;
        }
        items[i].in = !items[i].in;
        assert_int_equal(in, map.count);
    }
    assert_int_equal(in, walk(&map, false));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].in, items[i].met);
        items[i].met = false;
    }
    assert_int_equal(in, walk(&map, true));
    assert_int_equal(0, map.count);
    assert_int_equal(0, walk(&map, false));
    map_release(&map);
}

static void a_builder_that_overflowed_writes_nothing_more(void **state)
{
    (void)state;
    char text[8];
    struct builder b = builder_over(text, sizeof text);

    builder_text(&b, "12345678");
    assert_false(b.overflow);
    b = builder_over(text, sizeof text);
    builder_text(&b, "123456789");
    assert_true(b.overflow);
    assert_int_equal(0, b.len);
    builder_char(&b, 'x');
    assert_int_equal(0, b.len);
    b = builder_over(text, sizeof text);
    builder_u64(&b, 0);
    builder_hex(&b, 0xabc, 4);
    assert_true(slice_equal(SLICE("00abc"), builder_slice(&b)));

    char wide[20];
    b = builder_over(wide, sizeof wide);
    builder_u64(&b, UINT64_MAX);
    assert_true(slice_equal(SLICE("18446744073709551615"), builder_slice(&b)));
}

static void slices_compare_cut_and_trim(void **state)
{
    (void)state;
    struct slice rest = SLICE("abcd");

    assert_true(slice_equal(SLICE("ab"), slice_take(&rest, 2)));
    assert_true(slice_equal(SLICE("cd"), rest));
    assert_true(slice_equal_nocase(SLICE("Call-ID"), SLICE("call-id")));
    assert_false(slice_equal_nocase(SLICE("a@"), SLICE("a`"))); /* 0x40 and 0x60 are no letters */
    assert_true(slice_equal(SLICE("x y"), slice_trim(SLICE(" \t\r\nx y \r\n"))));
    assert_int_equal(0, slice_trim(SLICE("   ")).len);
    assert_int_equal(SIZE_MAX, slice_find(SLICE_EMPTY, 'a'));
    assert_int_equal(1, slice_find(SLICE("ab"), 'b'));
    assert_int_equal(0, slice_from(SLICE("ab"), 3).len);
    assert_true(slice_equal(SLICE_EMPTY, SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_gives_the_published_vectors),
        cmocka_unit_test(the_table_hash_depends_on_seed_and_bytes),
        cmocka_unit_test(random_numbers_repeat_by_seed_and_stay_below_their_bound),
        cmocka_unit_test(a_map_does_what_an_array_of_flags_does),
        cmocka_unit_test(a_builder_that_overflowed_writes_nothing_more),
        cmocka_unit_test(slices_compare_cut_and_trim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
