/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "world.h"

static size_t memory_used(const struct world *w)
{
    struct core_status status;
    core_status(w->core, &status);
    return status.memory_used;
}

/** A phone that refreshes every 20 s for as long as `refreshes` lasts. */
static size_t refresh_often(struct world *w, unsigned first_cseq, unsigned refreshes)
{
    struct flow source = world_flow(5070, NULL);

    for (unsigned i = 0; i < refreshes; i++) {
        world_register(w, "alice", first_cseq + i, i % 2 ? 3600 : 60, &source);
        world_pass(w, 20000);
    }
    world_pass(w, 32000); /* its transactions end */
    return memory_used(w);
}

static void a_phone_that_refreshes_often_takes_no_more_memory(void **state)
{
    (void)state;
    static struct world w;

    world_open(&w, 1, NULL, 0);
    size_t few = refresh_often(&w, 1, 20);
    size_t many = refresh_often(&w, 100, 2000);
    assert_int_equal(few, many);
    assert_int_equal(1, world_aors(&w));
    world_close(&w);
}

static void expired_bindings_leave_the_table_and_others_stay(void **state)
{
    (void)state;
    static struct world w;
    char name[16];

    world_open(&w, 1, NULL, 0);
    for (unsigned i = 0; i < WORLD_AORS; i++) {
        struct flow source = world_flow((uint16_t)(6000 + i), NULL);
        snprintf(name, sizeof name, "u%u", i);
        world_register(&w, name, 1, i % 2 ? 3600 : 100, &source);
    }
    world_pass(&w, 99000);
    assert_int_equal(WORLD_AORS, world_aors(&w));
    world_pass(&w, 70000);
    assert_int_equal(WORLD_AORS / 2, world_aors(&w));
    world_pass(&w, 3600000);
    assert_int_equal(0, world_aors(&w));
    struct core_status status;
    core_status(w.core, &status);
    assert_int_equal(WORLD_AORS, status.counters.expired);
    world_close(&w);
}

static void what_of_an_aor_expires_first_leaves_first(void **state)
{
    (void)state;
    static struct world w;
    const struct flow sources[] = {world_flow(5070, NULL), world_flow(5071, NULL),
                                   world_flow(5072, NULL)};
    const unsigned expires[] = {3600, 100, 300};

    world_open(&w, 1, NULL, 0);
    for (unsigned i = 0; i < COUNT_OF(sources); i++)
        world_register(&w, "alice", i + 1, expires[i], &sources[i]);
    const struct world_entry *entry = &w.entries[0];
    for (unsigned left = 3; left > 0; left--) {
        assert_int_equal(left, binding_count((struct slice){entry->block, entry->block_len}));
        world_pass(&w, left == 2 ? 200000 : left == 1 ? 3300000 : 169000);
    }
    assert_int_equal(0, world_aors(&w));
    world_close(&w);
}

static void a_clock_that_is_set_back_or_far_on_harms_nothing(void **state)
{
    (void)state;
    static struct world w;
    struct flow source = world_flow(5070, NULL);

    world_open(&w, 1, NULL, 0);
    world_register(&w, "alice", 1, 600, &source);
    w.wall_ms -= 86400000;
    world_pass(&w, 100000);
    assert_int_equal(1, world_aors(&w));
    w.wall_ms += UINT64_C(86400000) * 3650;
    world_pass(&w, 70000);
    assert_int_equal(0, world_aors(&w));
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_phone_that_refreshes_often_takes_no_more_memory),
        cmocka_unit_test(expired_bindings_leave_the_table_and_others_stay),
        cmocka_unit_test(what_of_an_aor_expires_first_leaves_first),
        cmocka_unit_test(a_clock_that_is_set_back_or_far_on_harms_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
