/* SPDX-License-Identifier: Apache-2.0 */
/* What a table does at its limits: of transactions, of memory, of bytes that a call may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "txn_world.h"

static const struct request invite = {0};
static const struct request bye = {.method = "BYE", .to_tag = "t", .branch = "z9hG4bKbye"};

static struct txn_received receive_numbered(struct world *w, unsigned number)
{
    struct flow source = world_udp(10, 5060);
    char branch[32];
    struct request request = {.method = "OPTIONS", .branch = branch, .cseq = number + 1};

    snprintf(branch, sizeof branch, "z9hG4bK%u", number);
    return world_receive(w, &request, &source);
}

static void the_limit_counts_servers_and_clients_together(void **unused)
{
    struct world *w = world_open(4);
    struct flow to = world_udp(20, 5060);
    char branch[TXN_BRANCH_LEN];
    struct id id;
    (void)unused;

    world_send(w, &bye, &to, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(receive_numbered(w, i).verdict, TXN_NEW);
    assert_int_equal(receive_numbered(w, 3).verdict, TXN_REFUSED);
    assert_int_equal(receive_numbered(w, 2).verdict, TXN_ABSORBED);
    assert_int_equal(txn_client_open(w->table, SIP_BYE, 0, 0, &id, branch), ERR_FULL);
    assert_int_equal(txn_counters(w->table)->full, 2);

    world_answer(w, 0, 200, &to);
    world_run(w, 5000 + LINGER_STEP_MS); /* the client is over */
    assert_int_equal(receive_numbered(w, 3).verdict, TXN_NEW);
    assert_int_equal(receive_numbered(w, 4).verdict, TXN_REFUSED);
    world_close(w);
}

/* Opens with the n-th allocation failing; true when it opened. */
static bool open_failing(uint64_t n)
{
    struct world *w = world_open(10); /* for its configuration */
    struct mem mem;
    struct txn_config config = w->config;
    struct txn_table *table = NULL;

    mem_init(&mem, 1 << 20);
    mem.fail_at = n;
    config.mem = &mem;
    enum err err = txn_table_open(&config, &table);
    if (err == OK)
        txn_table_close(table);
    else
        assert_int_equal(err, ERR_MEMORY);
    assert_int_equal(mem.used_bytes, 0);
    mem_release(&mem);
    world_close(w);
    return err == OK;
}

static void opening_without_memory_leaves_nothing(void **unused)
{
    uint64_t n = 1;
    (void)unused;

    while (!open_failing(n))
        n++;
    assert_true(n > 1);
}

/* A whole call with each single allocation failing: refused or lost, but no crash and no leak. */
static void a_call_survives_every_failing_allocation(void **unused)
{
    struct flow caller = world_udp(10, 5060);
    struct flow ways[] = {world_udp(20, 5060), world_tcp(20, 5060, 9)};
    unsigned ended = 0;
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(ways); i++)
        for (uint64_t n = 1; n <= 24; n++) {
            struct world *w = world_open(10);
            char branch[TXN_BRANCH_LEN + 1] = "";
            char text[WORLD_TEXT_MAX];
            struct id client;
            w->mem.fail_at = w->mem.allocs + n;

            struct txn_received got = world_receive(w, &invite, &caller);
            if (got.verdict == TXN_NEW) {
                world_reply(w, got.id, 100);
                enum err err = txn_client_open(w->table, SIP_INVITE, 1, 1, &client, branch);
                assert_true(err == OK || err == ERR_MEMORY);
                struct request ours = {.via = "SIP/2.0/UDP 192.0.2.1", .branch = branch};
                if (err == OK) {
                    err = txn_client_send(w->table, client, world_request_text(&ours, text),
                                          &ways[i], w->now_ms);
                    assert_true(err == OK || err == ERR_MEMORY);
                    if (err != OK)
                        txn_client_discard(w->table, client);
                }
                if (err == OK) {
                    world_flush(w);
                    world_answer(w, 1, 180, &ways[i]);
                    assert_int_equal(world_forward(w, got.id, &invite, 180, "t"), OK);
                    txn_client_cancel(w->table, client, SLICE_EMPTY, w->now_ms);
                    world_flush(w);
                    world_answer(w, 1, 487, &ways[i]);
                }
                assert_int_equal(world_forward(w, got.id, &invite, 487, "t"), OK);
            } else {
                assert_int_equal(got.verdict, TXN_REFUSED);
            }
            world_run(w, 100000);
            assert_int_equal(txn_count(w->table), 0);
            assert_int_equal(txn_pending(w->table), 0);
            assert_int_equal(w->wheel.count, 0);
            ended += world_told(w, TOLD_SERVER_END);
            world_close(w);
        }
    assert_true(ended >= 40);
}

/* Used bytes but for the pools' slabs, which are made for 64 transactions at a time. */
static size_t kept_bytes(struct world *w, size_t idle)
{
    return w->mem.used_bytes - idle;
}

/* The brief of the house: a finished call's four transactions cost less than 2.5 KB together. */
static void a_finished_call_lingers_in_less_than_2500_bytes(void **unused)
{
    enum {
        CALLS = 256,
        TRANSACTIONS = 4 * CALLS
    };
    static char line[600];
    struct flow caller = world_udp(10, 5060);
    struct flow callee = world_udp(20, 5060);
    struct world *w = world_open(TRANSACTIONS);
    (void)unused;

    snprintf(line, sizeof line, "Subject: %0500d\r\n", 1);
    size_t idle = w->mem.used_bytes;
    for (unsigned i = 0; i < CALLS; i++) {
        char branches[2][32];
        char call_id[32];
        snprintf(branches[0], 32, "z9hG4bKi%u", i);
        snprintf(branches[1], 32, "z9hG4bKb%u", i);
        snprintf(call_id, 32, "call%u", i);
        struct request in = {.branch = branches[0], .call_id = call_id, .fields = line};
        struct request out = {.method = "BYE",
                              .branch = branches[1],
                              .call_id = call_id,
                              .to_tag = "t",
                              .fields = line};
        world_forget(w);
        struct txn_received got = world_receive(w, &in, &caller);
        assert_int_equal(got.verdict, TXN_NEW);
        world_reply(w, got.id, 100);
        world_send(w, &in, &callee, 1);
        world_answer(w, 1, 180, &callee);
        world_forward(w, got.id, &in, 180, "t");
        world_answer(w, 1, 200, &callee);
        world_forward(w, got.id, &in, 200, "t");
        world_forget(w);
        got = world_receive(w, &out, &callee);
        assert_int_equal(got.verdict, TXN_NEW);
        world_send(w, &out, &caller, 2);
        world_answer(w, 0, 200, &caller);
        world_forward(w, got.id, &out, 200, "t");
    }
    assert_int_equal(txn_count(w->table), TRANSACTIONS);
    assert_int_equal(txn_pending(w->table), 0);
    size_t each = kept_bytes(w, idle) / CALLS;
    print_message("%zu bytes per call\n", each);
    assert_true(each < 2500);

    world_run(w, 32000 + LINGER_STEP_MS);
    assert_int_equal(txn_count(w->table), 0);
    world_close(w);
}

static void all_bytes_come_back_when_transactions_are_over(void **unused)
{
    struct flow peer = world_udp(20, 5060);
    struct world *w = world_open(64);
    size_t used = 0;
    (void)unused;

    for (int round = 0; round < 3; round++) {
        world_forget(w);
        for (unsigned i = 0; i < 10; i++)
            world_send(w, i % 2 ? &invite : &bye, &peer, i);
        for (unsigned i = 0; i < 10; i++)
            receive_numbered(w, i);
        world_run(w, 40000);
        for (unsigned i = 0; i < w->told_count; i++)
            assert_int_not_equal(w->told[i].kind, TOLD_SERVER_END);
        assert_int_equal(txn_count(w->table), 10); /* the servers wait for their answers */
        for (uint32_t slot = 0; slot < 10; slot++)
            for (uint32_t generation = 1; generation < 10; generation++)
                txn_server_drop(w->table, (struct id){slot, generation}, w->now_ms);
        if (round == 0)
            used = w->mem.used_bytes; /* with a slab of either pool */
        assert_int_equal(txn_count(w->table), 0);
        assert_int_equal(w->mem.used_bytes, used);
        assert_int_equal(w->wheel.count, 0);
    }
    world_close(w);
}

static void closing_frees_what_is_in_the_middle_of_things(void **unused)
{
    struct flow peer = world_tcp(20, 5060, 9);
    struct world *w = world_open(64);
    (void)unused;

    struct id id = world_send(w, &invite, &peer, 1);
    world_answer(w, 0, 180, &peer);
    txn_client_cancel(w->table, id, SLICE_EMPTY, w->now_ms);
    world_send(w, &bye, &peer, 1);
    world_reply(w, receive_numbered(w, 1).id, 200);
    receive_numbered(w, 2);
    world_close(w); /* asserts that no byte and no timer is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_counts_servers_and_clients_together),
        cmocka_unit_test(opening_without_memory_leaves_nothing),
        cmocka_unit_test(a_call_survives_every_failing_allocation),
        cmocka_unit_test(a_finished_call_lingers_in_less_than_2500_bytes),
        cmocka_unit_test(all_bytes_come_back_when_transactions_are_over),
        cmocka_unit_test(closing_frees_what_is_in_the_middle_of_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
