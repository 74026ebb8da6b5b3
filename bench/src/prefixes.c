/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefixes - what a million numbers, and a million prefixes, cost in the policy snapshot: to build,
 * to look up, to change one in a map that shares with the one before, and in memory.
 *
 *   prefixes [KEYS=1000000] [SEED=1]
 *
 * Numbers are E.164, most from a few countries and in blocks, as a business gets them; prefixes are
 * of 3 to 9 digits, as a carrier's rate sheet has them. Looked up are numbers that are there (or
 * begin with one that is), in random order.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "routing/prefix_map.h"

enum {
    LOOKUPS = 4000000,
    CHANGES = 1000,
    KEY_BYTES = 16
};

struct set {
    const char *what;
    unsigned shortest, longest; /* digits */
    unsigned then;              /* digits of what is looked up */
};

static double now_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void fail(const char *why)
{
    fprintf(stderr, "prefixes: %s\n", why);
    exit(1);
}

static void make_key(struct rng *rng, unsigned len, char out[static KEY_BYTES])
{
    static const char *const countries[] = {"1",  "1",  "1",  "44",  "49",
                                            "33", "91", "86", "351", "995"};
    unsigned at =
        (unsigned)snprintf(out, KEY_BYTES, "%s", countries[rng_below(rng, COUNT_OF(countries))]);

    for (; at < len; at++)
        out[at] = (char)('0' + rng_below(rng, 10));
    out[len] = '\0';
}

static struct prefix_map *build(struct rng *rng, const struct set *set, char (*keys)[KEY_BYTES],
                                size_t count)
{
    const struct prefix_map_values plain = {0};
    struct prefix_map *map;

    if (prefix_map_open(&plain, &map) != OK)
        fail("out of memory");
    while (prefix_map_count(map) < count) {
        size_t at = prefix_map_count(map);
        make_key(rng, set->shortest + (unsigned)rng_below(rng, set->longest - set->shortest + 1),
                 keys[at]);
        if (prefix_map_set(map, slice_of(keys[at]), at) != OK)
            fail("out of memory");
    }
    return map;
}

/* Microseconds each. */
static double look_up(struct rng *rng, const struct set *set, const struct prefix_map *map,
                      char (*keys)[KEY_BYTES], size_t count)
{
    char(*asked)[KEY_BYTES] = malloc((size_t)LOOKUPS * KEY_BYTES);
    uint64_t value = 0, sum = 0;
    unsigned matched = 0;

    if (asked == NULL)
        fail("out of memory");
    for (size_t i = 0; i < LOOKUPS; i++) {
        unsigned len = (unsigned)snprintf(asked[i], KEY_BYTES, "%s", keys[rng_below(rng, count)]);
        for (; len < set->then; len++)
            asked[i][len] = (char)('0' + rng_below(rng, 10));
        asked[i][len] = '\0';
    }
    double begun = now_s();
    for (size_t i = 0; i < LOOKUPS; i++) {
        if (!prefix_map_find(map, slice_of(asked[i]), &value, &matched))
            fail("a key was not found");
        sum += value + matched;
    }
    double took = now_s() - begun;
    free(asked);
    return sum > 0 ? took / LOOKUPS * 1e6 : 0;
}

/* Milliseconds each: share, change one, let go of the one before. */
static double change(struct rng *rng, struct prefix_map **map, char (*keys)[KEY_BYTES],
                     size_t count)
{
    double begun = now_s();

    for (unsigned i = 0; i < CHANGES; i++) {
        struct prefix_map *next;
        if (prefix_map_share(*map, &next) != OK ||
            prefix_map_set(next, slice_of(keys[rng_below(rng, count)]), i) != OK)
            fail("out of memory");
        prefix_map_free(*map);
        *map = next;
    }
    return (now_s() - begun) / CHANGES * 1e3;
}

int main(int argc, char **argv)
{
    static const struct set sets[] = {{"numbers", 11, 12, 12}, {"prefixes", 3, 9, 12}};
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    uint64_t seed = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    char(*keys)[KEY_BYTES] = malloc(count * KEY_BYTES);

    if (count == 0 || keys == NULL)
        fail("usage: prefixes [KEYS] [SEED]");
    printf("[");
    for (size_t i = 0; i < COUNT_OF(sets); i++) {
        struct rng rng;
        rng_seed(&rng, seed);
        size_t before = mallinfo2().uordblks;
        double begun = now_s();
        struct prefix_map *map = build(&rng, &sets[i], keys, count);
        double built_s = now_s() - begun;
        size_t bytes = mallinfo2().uordblks - before;
        double lookup_us = look_up(&rng, &sets[i], map, keys, count);
        double change_ms = change(&rng, &map, keys, count);
        printf("%s{\"what\": \"%s\", \"keys\": %zu, \"build_s\": %.3f, \"lookup_us\": %.3f, "
               "\"change_ms\": %.4f, \"bytes\": %zu}",
               i > 0 ? ",\n " : "", sets[i].what, count, built_s, lookup_us, change_ms, bytes);
        prefix_map_free(map);
    }
    printf("]\n");
    free(keys);
    return 0;
}
