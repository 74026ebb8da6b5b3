/* SPDX-License-Identifier: Apache-2.0 */
/* Digits to values: exactly, by the longest prefix, and in maps that share what they have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "routing/prefix_map.h"

static const struct prefix_map_values plain;

static struct prefix_map *open_map(void)
{
    struct prefix_map *map = NULL;
    assert_int_equal(OK, prefix_map_open(&plain, &map));
    return map;
}

static void set(struct prefix_map *map, const char *key, uint64_t value)
{
    assert_int_equal(OK, prefix_map_set(map, slice_of(key), value));
}

/* "VALUE/MATCHED" of the longest prefix; "none". */
static const char *found(const struct prefix_map *map, const char *digits)
{
    static char text[64];
    uint64_t value = 0;
    unsigned matched = 0;

    if (!prefix_map_find(map, slice_of(digits), &value, &matched))
        return "none";
    snprintf(text, sizeof text, "%llu/%u", (unsigned long long)value, matched);
    return text;
}

static bool has(const struct prefix_map *map, const char *key, uint64_t value)
{
    uint64_t got = UINT64_MAX;
    return prefix_map_get(map, slice_of(key), &got) && got == value;
}

static void the_longest_prefix_wins(void **state)
{
    struct prefix_map *map = open_map();
    (void)state;

    assert_string_equal("none", found(map, "1510"));
    set(map, "1", 10);
    set(map, "1510", 11);
    set(map, "15105550101", 12);
    set(map, "151", 13);
    set(map, "44", 14);
    assert_int_equal(5, prefix_map_count(map));
    assert_string_equal("12/11", found(map, "15105550101"));
    assert_string_equal("11/4", found(map, "15105550102"));
    assert_string_equal("11/4", found(map, "1510"));
    assert_string_equal("13/3", found(map, "1519"));
    assert_string_equal("10/1", found(map, "1"));
    assert_string_equal("10/1", found(map, "12"));
    assert_string_equal("none", found(map, "4"));
    assert_string_equal("none", found(map, "3"));
    assert_string_equal("none", found(map, ""));
    assert_string_equal("14/2", found(map, "4420#99")); /* what is no digit ends them */
    set(map, "", 15);
    assert_string_equal("15/0", found(map, "3"));
    assert_string_equal("15/0", found(map, ""));
    prefix_map_free(map);
}

static void a_key_is_found_exactly(void **state)
{
    struct prefix_map *map = open_map();
    (void)state;

    set(map, "1510555", 1);
    set(map, "15", 2);
    assert_true(has(map, "1510555", 1));
    assert_true(has(map, "15", 2));
    assert_false(has(map, "151", 2));
    assert_false(has(map, "15105551", 1));
    assert_false(has(map, "", 2));
    assert_false(has(map, "15a", 2));
    set(map, "15", 3); /* anew */
    assert_true(has(map, "15", 3));
    assert_int_equal(2, prefix_map_count(map));
    prefix_map_free(map);
}

static void what_is_no_key_is_refused(void **state)
{
    struct prefix_map *map = open_map();
    (void)state;

    set(map, "123456789012345", 1); /* as long as may be */
    assert_int_equal(ERR_SYNTAX, prefix_map_set(map, SLICE("1234567890123456"), 1));
    assert_int_equal(ERR_SYNTAX, prefix_map_set(map, SLICE("+15"), 1));
    assert_int_equal(ERR_SYNTAX, prefix_map_set(map, SLICE("15 10"), 1));
    assert_int_equal(ERR_NOT_FOUND, prefix_map_remove(map, SLICE("1234567890123456")));
    assert_int_equal(ERR_NOT_FOUND, prefix_map_remove(map, SLICE("+")));
    assert_int_equal(ERR_NOT_FOUND, prefix_map_remove(map, SLICE("1")));
    assert_int_equal(1, prefix_map_count(map));
    assert_string_equal("1/15", found(map, "1234567890123456")); /* by its first fifteen */
    prefix_map_free(map);
}

static bool write_key(void *user, struct slice key, uint64_t value)
{
    char *text = user;
    size_t len = strlen(text);

    snprintf(text + len, 200 - len, "%.*s=%llu ", SLICE_ARG(key), (unsigned long long)value);
    return value != 99;
}

static void a_walk_gives_keys_in_order_until_it_is_stopped(void **state)
{
    struct prefix_map *map = open_map();
    char text[200] = "";
    (void)state;

    prefix_map_walk(map, write_key, text);
    assert_string_equal("", text);
    set(map, "2", 1);
    set(map, "10", 2);
    set(map, "1", 3);
    set(map, "1099", 4);
    prefix_map_walk(map, write_key, text);
    assert_string_equal("1=3 10=2 1099=4 2=1 ", text);
    set(map, "10", 99);
    text[0] = '\0';
    prefix_map_walk(map, write_key, text);
    assert_string_equal("1=3 10=99 ", text);
    prefix_map_free(map);
}

static void a_map_that_shares_is_not_changed_by_the_other(void **state)
{
    struct prefix_map *map = open_map(), *other = NULL;
    (void)state;

    set(map, "1510", 1);
    set(map, "1511", 2);
    set(map, "44", 3);
    assert_int_equal(OK, prefix_map_share(map, &other));
    set(other, "1510", 9);  /* anew */
    set(other, "15105", 8); /* below */
    set(other, "151", 7);   /* between */
    assert_int_equal(OK, prefix_map_remove(other, SLICE("44")));
    assert_true(has(map, "1510", 1) && has(map, "1511", 2) && has(map, "44", 3));
    assert_false(has(map, "15105", 8) || has(map, "151", 7));
    assert_int_equal(3, prefix_map_count(map));
    assert_int_equal(4, prefix_map_count(other));
    set(map, "1511", 6); /* and the other way */
    assert_true(has(other, "1511", 2));
    prefix_map_free(map);
    assert_true(has(other, "1510", 9) && has(other, "15105", 8) && has(other, "151", 7));
    prefix_map_free(other);
}

static void what_is_removed_leaves_nothing_behind(void **state)
{
    struct prefix_map *map = open_map();
    size_t empty = prefix_map_memory(map);
    (void)state;

    set(map, "1510", 1);
    size_t one = prefix_map_memory(map);
    set(map, "1520", 2);
    set(map, "15", 3);
    set(map, "1521", 4);
    assert_int_equal(OK, prefix_map_remove(map, SLICE("15")));   /* a fork stays */
    assert_int_equal(OK, prefix_map_remove(map, SLICE("1521"))); /* joined with its sister */
    assert_int_equal(OK, prefix_map_remove(map, SLICE("1520")));
    assert_int_equal(one, prefix_map_memory(map));
    assert_true(has(map, "1510", 1));
    assert_int_equal(OK, prefix_map_remove(map, SLICE("1510")));
    assert_int_equal(empty, prefix_map_memory(map));
    assert_int_equal(0, prefix_map_count(map));
    prefix_map_free(map);
}

/* ---- against an obviously right twin, with values that are counted ---- */

enum {
    TWIN_KEYS = 400,
    TWIN_MAPS = 4,
    TWIN_STEPS = 20000,
    TWIN_VALUES = 64
};

struct twin {
    struct {
        char key[PREFIX_MAP_DIGITS_MAX + 1];
        uint64_t value;
        bool used;
    } entries[TWIN_KEYS];
    size_t count;
};

static int64_t named[TWIN_VALUES];

static void keep(void *user, uint64_t value)
{
    (void)user;
    named[value]++;
}

static void drop(void *user, uint64_t value)
{
    (void)user;
    assert_true(named[value] > 0);
    named[value]--;
}

/* Few digits, so that keys are often each other's prefixes. */
static void make_key(struct rng *rng, char out[static PREFIX_MAP_DIGITS_MAX + 1])
{
    unsigned len = (unsigned)rng_below(rng, rng_below(rng, 8) == 0 ? 16 : 6);

    for (unsigned i = 0; i < len; i++)
        out[i] = (char)('0' + rng_below(rng, rng_below(rng, 4) == 0 ? 10 : 2));
    out[len] = '\0';
}

static int twin_at(const struct twin *twin, const char *key)
{
    for (int i = 0; i < TWIN_KEYS; i++)
        if (twin->entries[i].used && strcmp(twin->entries[i].key, key) == 0)
            return i;
    return -1;
}

static int twin_longest(const struct twin *twin, const char *digits)
{
    int best = -1;

    for (int i = 0; i < TWIN_KEYS; i++) {
        size_t len = strlen(twin->entries[i].key);
        if (twin->entries[i].used && strncmp(twin->entries[i].key, digits, len) == 0 &&
            (best < 0 || len > strlen(twin->entries[best].key)))
            best = i;
    }
    return best;
}

static void change_both(struct rng *rng, struct prefix_map *map, struct twin *twin)
{
    char key[PREFIX_MAP_DIGITS_MAX + 1];
    make_key(rng, key);
    int at = twin_at(twin, key);

    if (rng_below(rng, 5) < 2) {
        assert_int_equal(at >= 0 ? OK : ERR_NOT_FOUND, prefix_map_remove(map, slice_of(key)));
        if (at >= 0) {
            twin->entries[at].used = false;
            twin->count--;
        }
        return;
    }
    if (at < 0 && twin->count == TWIN_KEYS)
        return;
    uint64_t value = rng_below(rng, TWIN_VALUES);
    assert_int_equal(OK, prefix_map_set(map, slice_of(key), value));
    for (int i = 0; at < 0; i++)
        if (!twin->entries[i].used) {
            at = i;
            twin->count++;
        }
    snprintf(twin->entries[at].key, sizeof twin->entries[at].key, "%s", key);
    twin->entries[at].used = true;
    twin->entries[at].value = value;
}

static void compare_both(struct rng *rng, const struct prefix_map *map, const struct twin *twin)
{
    char key[PREFIX_MAP_DIGITS_MAX + 1];
    uint64_t value = 0;
    unsigned matched = 0;

    make_key(rng, key);
    int at = twin_at(twin, key), best = twin_longest(twin, key);
    assert_int_equal(at >= 0, prefix_map_get(map, slice_of(key), &value));
    assert_true(at < 0 || value == twin->entries[at].value);
    assert_int_equal(best >= 0, prefix_map_find(map, slice_of(key), &value, &matched));
    assert_true(best < 0 || value == twin->entries[best].value);
    assert_true(best < 0 || matched == strlen(twin->entries[best].key));
    assert_int_equal(twin->count, prefix_map_count(map));
}

static bool count_key(void *user, struct slice key, uint64_t value)
{
    char text[PREFIX_MAP_DIGITS_MAX + 1];
    const struct twin *twin = user;

    snprintf(text, sizeof text, "%.*s", SLICE_ARG(key));
    int at = twin_at(twin, text);
    assert_true(at >= 0);
    assert_true(twin->entries[at].value == value);
    return true;
}

static void maps_that_share_are_as_their_naive_twins_are(void **state)
{
    const struct prefix_map_values values = {NULL, keep, drop};
    struct twin *twins = calloc(TWIN_MAPS, sizeof *twins);
    struct prefix_map *maps[TWIN_MAPS] = {0};
    struct rng rng;
    (void)state;

    assert_non_null(twins);
    rng_seed(&rng, 7);
    for (unsigned i = 0; i < TWIN_MAPS; i++)
        assert_int_equal(OK, prefix_map_open(&values, &maps[i]));
    for (unsigned step = 0; step < TWIN_STEPS; step++) {
        unsigned at = (unsigned)rng_below(&rng, TWIN_MAPS);
        if (rng_below(&rng, 50) == 0) { /* one becomes another's twin */
            unsigned from = (unsigned)rng_below(&rng, TWIN_MAPS);
            struct prefix_map *shared = NULL;
            assert_int_equal(OK, prefix_map_share(maps[from], &shared));
            prefix_map_free(maps[at]);
            maps[at] = shared;
            twins[at] = twins[from];
        }
        change_both(&rng, maps[at], &twins[at]);
        for (unsigned i = 0; i < TWIN_MAPS; i++)
            compare_both(&rng, maps[i], &twins[i]);
    }
    for (unsigned i = 0; i < TWIN_MAPS; i++) {
        prefix_map_walk(maps[i], count_key, &twins[i]);
        prefix_map_free(maps[i]);
    }
    for (unsigned i = 0; i < TWIN_VALUES; i++)
        assert_int_equal(0, named[i]);
    free(twins);
}

static void without_memory_nothing_changes(void **state)
{
    static const char *const keys[] = {"1510", "1511", "44", "151", "15105", "4499", ""};
    struct prefix_map *map = NULL, *other = NULL;
    unsigned here = 0, there = 0;
    (void)state;

    /* Under ./dev oom each of these allocations fails once: what was set before is still there. */
    if (prefix_map_open(&plain, &map) != OK)
        return;
    bool set_ok[COUNT_OF(keys)] = {false};
    for (unsigned i = 0; i < COUNT_OF(keys); i++) {
        set_ok[i] = prefix_map_set(map, slice_of(keys[i]), i) == OK;
        here += set_ok[i];
        for (unsigned k = 0; k <= i; k++)
            assert_int_equal(set_ok[k], has(map, keys[k], k));
    }
    if (prefix_map_share(map, &other) == OK) {
        there = here;
        for (unsigned i = 0; i < COUNT_OF(keys); i++)
            there -= prefix_map_remove(other, slice_of(keys[i])) == OK;
        assert_int_equal(there, prefix_map_count(other));
    }
    assert_int_equal(here, prefix_map_count(map));
    for (unsigned k = 0; k < COUNT_OF(keys); k++)
        assert_int_equal(set_ok[k], has(map, keys[k], k));
    prefix_map_free(map);
    prefix_map_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(a_key_is_found_exactly),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(a_walk_gives_keys_in_order_until_it_is_stopped),
        cmocka_unit_test(a_map_that_shares_is_not_changed_by_the_other),
        cmocka_unit_test(what_is_removed_leaves_nothing_behind),
        cmocka_unit_test(maps_that_share_are_as_their_naive_twins_are),
        cmocka_unit_test(without_memory_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
