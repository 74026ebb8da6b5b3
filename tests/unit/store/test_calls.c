/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call records: into the journal, through SQLite, out of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/call_record.h"
#include "store/store.h"

#define START_MS UINT64_C(1700000000000)

enum {
    CALLS = 100
};

struct world {
    char folder[64], path[96];
    struct store *store;
    struct store_problem problem;
    atomic_uint receipts;
    unsigned posted;
    struct call_record record; /* the last one that was given */
    uint64_t ids[CALLS + 8];   /* of all that were given */
    unsigned count, most;
};

static void on_receipts(void *user, unsigned worker, const struct store_receipt *receipts,
                        size_t count)
{
    struct world *world = user;

    (void)worker;
    for (size_t i = 0; i < count; i++)
        if (receipts[i].err == OK)
            atomic_fetch_add(&world->receipts, 1);
}

static void open_store(struct world *world)
{
    struct store_options options = {
        .path = world->path, .workers = 1, .on_receipts = on_receipts, .user = world};

    if (store_open(&options, &world->problem, &world->store) != OK)
        fail_msg("%s", world->problem.text);
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    snprintf(world->folder, sizeof world->folder, "%s/strowger-calls-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/s.db", world->folder);
    open_store(world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char command[128];

    if (world->store != NULL)
        store_close(world->store);
    snprintf(command, sizeof command, "rm -r %s", world->folder);
    assert_int_equal(0, system(command));
    free(world);
    return 0;
}

static uint64_t id_of(unsigned n)
{
    return (START_MS + n) << CALL_ID_TIME_SHIFT;
}

/** Call n began n ms after the start; every third is to 101, every tenth was busy. */
static void post(struct world *world, unsigned n, bool ended)
{
    static char block[1024];
    struct builder b = builder_over(block, sizeof block);
    uint64_t id = id_of(n);
    char key[sizeof id];
    struct durable_ops ops = store_ops(world->store, 0);

    call_block_begin(&b);
    call_field_number(&b, CALL_T_ID, id);
    call_field_number(&b, CALL_T_START, START_MS + n);
    call_field_text(&b, CALL_T_CALLED_NUMBER, n % 3 == 0 ? SLICE("101") : SLICE("102"), 100);
    call_field_number(&b, CALL_T_DIRECTION, CALL_INTERNAL);
    if (ended) {
        call_field_number(&b, CALL_T_END, START_MS + n + 1000);
        call_field_number(&b, CALL_T_DISPOSITION, n % 10 == 0 ? CALL_D_BUSY : CALL_D_ANSWERED);
        call_field_number(&b, CALL_T_SIP_STATUS, n % 10 == 0 ? 486 : 200);
    }
    memcpy(key, &id, sizeof id);
    struct durable_op op = {
        .kind = DURABLE_CALL, .key = {key, sizeof key}, .value = builder_slice(&b)};
    assert_int_equal(OK, ops.append(ops.user, &op, (struct id){1, 1}));
    world->posted++;
}

static void settle(struct world *world)
{
    while (atomic_load(&world->receipts) < world->posted)
        sched_yield();
    assert_int_equal(OK, store_flush(world->store));
}

static void post_all(struct world *world)
{
    for (unsigned n = 0; n < CALLS; n++)
        post(world, n, false);
    for (unsigned n = 0; n + 2 < CALLS; n++) /* two go on */
        post(world, n, true);
    settle(world);
}

static bool take(void *user, struct slice block)
{
    struct world *world = user;

    assert_int_equal(OK, call_record_unpack(block, &world->record));
    world->ids[world->count++] = world->record.id;
    return world->most == 0 || world->count < world->most;
}

static unsigned walk(struct world *world, struct store_calls_query query)
{
    world->count = 0;
    assert_int_equal(OK, store_calls_walk(world->store, &query, take, world));
    for (unsigned i = 1; i < world->count; i++)
        assert_true(query.up ? world->ids[i - 1] < world->ids[i]
                             : world->ids[i - 1] > world->ids[i]);
    return world->count;
}

static struct store_call_filter filter_of(const char *field, const char *a, const char *b)
{
    struct store_call_filter filter = {.field = store_call_field(slice_of(field)),
                                       .count = b != NULL ? 2 : 1,
                                       .values = {slice_of(a)}};

    assert_int_not_equal(UINT_MAX, filter.field);
    if (b != NULL)
        filter.values[1] = slice_of(b);
    return filter;
}

static void each_call_is_one_row_that_the_last_write_made(void **state)
{
    struct world *world = *state;

    post_all(world);
    assert_int_equal(CALLS, walk(world, (struct store_calls_query){.limit = 1000}));
    assert_int_equal(id_of(CALLS - 1), world->ids[0]);
    world->count = 0;
    assert_int_equal(OK, store_call_find(world->store, id_of(20), take, world));
    assert_int_equal(486, world->record.sip_status);
    assert_int_equal(ERR_NOT_FOUND, store_call_find(world->store, id_of(CALLS), take, world));
    uint64_t last = 0;
    assert_int_equal(OK, store_last_call(world->store, &last));
    assert_int_equal(id_of(CALLS - 1), last);
}

static void lists_are_filtered_and_paged(void **state)
{
    struct world *world = *state;
    post_all(world);
    struct store_calls_query busy = {
        .limit = 1000, .filter_count = 1, .filters = {filter_of("disposition", "BUSY", NULL)}};
    struct store_calls_query either = {
        .limit = 1000, .filter_count = 1, .filters = {filter_of("sip_status", "486", "200")}};
    struct store_calls_query two = {.limit = 1000,
                                    .filter_count = 2,
                                    .filters = {filter_of("called_number", "101", NULL),
                                                filter_of("disposition", "BUSY", "FAILED")}};
    struct store_calls_query page = {.limit = 7, .below = id_of(50), .above = id_of(10)};

    assert_int_equal(10, walk(world, busy));
    assert_int_equal(CALLS - 2, walk(world, either));
    either.limit = 30; /* of both together */
    assert_int_equal(30, walk(world, either));
    assert_int_equal(4, walk(world, two)); /* 0, 30, 60, 90 */
    assert_int_equal(2, walk(world, (struct store_calls_query){.limit = 1000, .live = true}));
    assert_int_equal(7, walk(world, page));
    assert_int_equal(id_of(49), world->ids[0]);
    page.up = true;
    assert_int_equal(7, walk(world, page));
    assert_int_equal(id_of(11), world->ids[0]);
    busy.filters[0] = filter_of("disposition", "' OR 1=1 --", NULL);
    assert_int_equal(0, walk(world, busy));
    assert_int_equal(UINT_MAX, store_call_field(SLICE("block")));
}

static void calls_that_go_on_or_ended_lately_are_read_back(void **state)
{
    struct world *world = *state;

    post_all(world);
    store_close(world->store);
    world->store = NULL;
    open_store(world);
    world->count = 0;
    assert_int_equal(OK, store_load_calls(world->store, START_MS + 1000 + 90, take, world));
    assert_int_equal(2 + 8, world->count); /* 98 and 99; 90 to 97 */
}

static void a_block_that_is_none_is_left_out(void **state)
{
    struct world *world = *state;
    struct durable_ops ops = store_ops(world->store, 0);
    struct durable_op op = {.kind = DURABLE_CALL, .key = SLICE("12345678"), .value = SLICE("?")};

    assert_int_equal(OK, ops.append(ops.user, &op, (struct id){1, 1}));
    world->posted++;
    post(world, 5, true);
    settle(world);
    assert_int_equal(1, walk(world, (struct store_calls_query){.limit = 1000}));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_call_is_one_row_that_the_last_write_made),
        TEST(lists_are_filtered_and_paged),
        TEST(calls_that_go_on_or_ended_lately_are_read_back),
        TEST(a_block_that_is_none_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
