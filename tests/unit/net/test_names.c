/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts that TLS may be dialled to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "net/names.h"

enum {
    MAX = 3
};

struct fixture {
    struct mem mem;
    struct names names;
};

static int set_up(void **state)
{
    static struct fixture f;

    mem_init(&f.mem, 1 << 20);
    *state = &f;
    return names_open(&f.names, &f.mem, MAX) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    names_close(&f->names);
    int left = f->mem.used_bytes == 0 ? 0 : -1;
    mem_release(&f->mem);
    return left;
}

static void expect(const struct fixture *f, uint64_t name, const char *host)
{
    assert_true(slice_equal(slice_of(host), names_find(&f->names, name)));
}

static void a_name_is_kept_without_its_last_dot(void **state)
{
    struct fixture *f = *state;

    names_learn(&f->names, 1, SLICE("a.example"));
    names_learn(&f->names, 2, SLICE("b.example."));
    expect(f, 1, "a.example");
    expect(f, 2, "b.example");
    expect(f, 3, "");
    expect(f, 0, "");
}

static void at_the_limit_all_are_there_and_one_more_drives_out_the_oldest(void **state)
{
    struct fixture *f = *state;

    names_learn(&f->names, 1, SLICE("a"));
    names_learn(&f->names, 2, SLICE("b"));
    names_learn(&f->names, 3, SLICE("c"));
    expect(f, 1, "a");
    names_learn(&f->names, 1, SLICE("a")); /* now the second is the oldest */
    names_learn(&f->names, 4, SLICE("d"));
    expect(f, 1, "a");
    expect(f, 2, "");
    expect(f, 3, "c");
    expect(f, 4, "d");
}

static void what_cannot_be_a_host_is_not_learnt(void **state)
{
    struct fixture *f = *state;
    char long_text[NAMES_HOST_MAX + 2];

    memset(long_text, 'a', sizeof long_text);
    names_learn(&f->names, 1, SLICE("."));
    names_learn(&f->names, 2, (struct slice){long_text, NAMES_HOST_MAX + 1});
    names_learn(&f->names, 3, (struct slice){long_text, NAMES_HOST_MAX});
    expect(f, 1, "");
    expect(f, 2, "");
    assert_int_equal(NAMES_HOST_MAX, names_find(&f->names, 3).len);
}

static void without_memory_nothing_is_learnt_and_nothing_lost(void **state)
{
    struct fixture *f = *state;

    names_learn(&f->names, 1, SLICE("a"));
    f->mem.fail_at = f->mem.allocs + 1;
    names_learn(&f->names, 2, SLICE("b"));
    expect(f, 1, "a");
    expect(f, 2, "");
    names_learn(&f->names, 2, SLICE("b")); /* there is some again */
    expect(f, 2, "b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_is_kept_without_its_last_dot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            at_the_limit_all_are_there_and_one_more_drives_out_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_a_host_is_not_learnt, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_memory_nothing_is_learnt_and_nothing_lost, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
