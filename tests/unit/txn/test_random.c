/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 100,000 random steps: requests, responses, retransmissions, CANCELs, errors, lost connections,
 * failing allocations and passing time, with the user's handlers doing further steps from within.
 * Beside the table, a twin counts what each transaction was told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "txn_world.h"

enum {
    STEPS = 100000,
    SEEDS = 10,
    TWINS_MAX = 60000,
    RECENT = 12,
    TRANSACTIONS_MAX = 100,
    DEPTH_MAX = 3
};

/* What a transaction was told. Its number + 1 is its context. */
struct twin {
    struct id id;
    bool is_client, invite, sent;
    char branch[TXN_BRANCH_LEN + 1];
    unsigned final_2xx, final_failure, failures, ends;
};

struct run {
    struct world *w;
    struct rng rng;
    struct twin *twins;
    uint32_t count;
    uint32_t requests; /* numbers of received requests go up */
    unsigned depth;
    bool sending; /* within a verb that must not call back with an end */
};

static uint64_t below(struct run *r, uint64_t bound)
{
    return rng_below(&r->rng, bound);
}

static struct flow some_flow(struct run *r)
{
    unsigned host = 10 + (unsigned)below(r, 3);

    if (below(r, 2) == 0)
        return world_udp(host, 5060);
    return world_tcp(host, 5060, (uint32_t)below(r, 4));
}

static struct twin *recent(struct run *r, bool is_client)
{
    for (int tries = 0; tries < 20 && r->count > 0; tries++) {
        uint32_t span = r->count < RECENT ? r->count : RECENT;
        struct twin *twin = &r->twins[r->count - 1 - (uint32_t)below(r, span)];
        if (twin->is_client == is_client)
            return twin;
    }
    return NULL;
}

static unsigned some_status(struct run *r)
{
    static const unsigned statuses[] = {100, 180, 183, 199, 200, 202, 302, 401, 408, 486, 487, 603};
    return statuses[below(r, COUNT_OF(statuses))];
}

/* ---- what was told ---- */

static void check_response(struct run *r, struct twin *twin, unsigned status)
{
    assert_true(twin->is_client && twin->sent);
    assert_false(r->sending);
    assert_int_equal(twin->failures, 0);
    assert_int_equal(twin->final_failure, 0);
    if (status < 200) {
        assert_int_equal(twin->final_2xx, 0);
        return;
    }
    if (status >= 300 || !twin->invite) {
        assert_int_equal(twin->final_2xx, 0);
        twin->final_failure++;
        return;
    }
    twin->final_2xx++;
}

static void step(struct run *r);

static void hook(struct world *w, const struct told *told, const struct sip_msg *response)
{
    struct run *r = w->hook_user;
    if (told->context == 0)
        return; /* a server that has no context yet */
    struct twin *twin = &r->twins[told->context - 1];

    assert_true(id_equal(twin->id, told->id));
    assert_int_equal(twin->ends, 0);
    assert_false(r->sending);
    switch (told->kind) {
    case TOLD_RESPONSE:
        assert_true(response->status == told->detail);
        check_response(r, twin, told->detail);
        break;
    case TOLD_FAILURE:
        assert_int_equal(twin->final_2xx + twin->final_failure + twin->failures, 0);
        twin->failures++;
        break;
    case TOLD_CLIENT_END:
        assert_true(twin->is_client);
        assert_int_equal(txn_client_context_get(w->table, told->id), 0);
        assert_true(twin->final_2xx > 0 || twin->final_failure + twin->failures == 1);
        twin->ends++;
        break;
    case TOLD_SERVER_END:
        assert_false(twin->is_client);
        assert_int_equal(txn_server_context_get(w->table, told->id), 0);
        twin->ends++;
        break;
    case TOLD_CALLER_LOST:
        fail_msg("nobody calls by WebSocket here");
    }
    for (uint64_t more = below(r, 3); more > 0 && r->depth < DEPTH_MAX; more--) {
        r->depth++;
        step(r);
        r->depth--;
    }
}

/* ---- steps ---- */

static struct twin *new_twin(struct run *r, struct id id, bool is_client, bool invite)
{
    assert_true(r->count < TWINS_MAX);
    struct twin *twin = &r->twins[r->count++];

    twin->id = id;
    twin->is_client = is_client;
    twin->invite = invite;
    return twin;
}

static void receive(struct run *r, uint32_t number, const char *method)
{
    struct flow source = some_flow(r);
    char branch[32];
    char call_id[32];
    struct request request = {.method = method, .branch = branch, .call_id = call_id};

    snprintf(branch, sizeof branch, number % 7 == 0 ? "old%u" : "z9hG4bK%u", number);
    snprintf(call_id, sizeof call_id, "%u", number / 3);
    if (number % 2 == 0)
        request.to_tag = "t";
    struct txn_received got = world_receive(r->w, &request, &source);
    if (got.verdict != TXN_NEW && got.verdict != TXN_MERGED && got.verdict != TXN_CANCEL)
        return;
    new_twin(r, got.id, false, false);
    txn_server_context(r->w->table, got.id, r->count);
}

static void receive_something(struct run *r)
{
    static const char *const methods[] = {"INVITE", "INVITE", "BYE", "OPTIONS", "FOO",
                                          "ACK",    "CANCEL", "ACK", "CANCEL"};
    uint32_t number = below(r, 3) == 0 || r->requests < RECENT
                          ? r->requests++
                          : r->requests - 1 - (uint32_t)below(r, RECENT);

    receive(r, number, methods[below(r, COUNT_OF(methods))]);
}

static void answer_server(struct run *r)
{
    struct twin *twin = recent(r, false);
    struct sip_reply reply = {.status = (uint16_t)some_status(r)};

    if (twin == NULL)
        return;
    bool was_sending = r->sending;
    r->sending = true;
    enum err err;
    if (below(r, 2) == 0)
        err = txn_reply(r->w->table, twin->id, &reply, r->w->now_ms);
    else
        err = world_forward(r->w, twin->id, &(struct request){0}, some_status(r), "t");
    r->sending = was_sending;
    assert_int_equal(err, twin->ends > 0 ? ERR_NOT_FOUND : OK);
    world_flush(r->w);
}

static void send_client(struct run *r)
{
    bool invite = below(r, 2) == 0;
    char text[WORLD_TEXT_MAX];
    struct flow to = some_flow(r);
    struct id id;
    char branch[TXN_BRANCH_LEN + 1] = "";
    struct request request = {
        .method = invite ? "INVITE" : "BYE", .via = "SIP/2.0/UDP 192.0.2.1", .branch = branch};

    if (txn_client_open(r->w->table, invite ? SIP_INVITE : SIP_BYE, 5, r->count + 1, &id, branch))
        return;
    struct twin *twin = new_twin(r, id, true, invite);
    memcpy(twin->branch, branch, sizeof branch);
    bool was_sending = r->sending;
    r->sending = true;
    enum err err = ERR_AGAIN;
    if (below(r, 10) != 0)
        err =
            txn_client_send(r->w->table, id, world_request_text(&request, text), &to, r->w->now_ms);
    r->sending = was_sending;
    if (err != OK)
        txn_client_discard(r->w->table, id);
    twin->sent = err == OK;
    twin->ends += err != OK;
    world_flush(r->w);
}

static void answer_client(struct run *r)
{
    struct twin *twin = recent(r, true);
    struct flow source = some_flow(r);
    const char *method = "BYE";

    if (twin == NULL)
        return;
    if (twin->invite)
        method = below(r, 4) == 0 ? "CANCEL" : "INVITE";
    bool over = twin->ends > 0 || twin->failures > 0;
    bool found = world_answer_branch(r->w, slice_of(twin->branch), method, some_status(r), &source);
    if (over)
        assert_false(found);
}

static void disturb(struct run *r)
{
    struct twin *client = recent(r, true);
    struct twin *server = recent(r, false);
    struct world *w = r->w;

    switch (below(r, 6)) {
    case 0:
    case 1:
        if (client != NULL)
            txn_client_cancel(w->table, client->id, SLICE("Reason: SIP\r\n"), w->now_ms);
        break;
    case 2:
        if (client != NULL && client->sent)
            txn_client_fail(w->table, client->id, (enum txn_failure)(1 + below(r, 2)), w->now_ms);
        break;
    case 3:
        if (w->sent_count > 0 && w->sent_count < WORLD_SENT_MAX) {
            const struct sent *sent = &w->sent[below(r, w->sent_count)];
            txn_send_failed(w->table, (struct slice){sent->text, sent->len}, false, w->now_ms);
        }
        break;
    case 4:
        txn_conn_lost(w->table, some_flow(r).conn, w->now_ms);
        break;
    case 5:
        if (server != NULL)
            txn_server_drop(w->table, server->id, w->now_ms);
        break;
    }
    world_flush(w);
}

/* From within handlers no time passes. */
static void step(struct run *r)
{
    switch (below(r, 8)) {
    case 0:
        receive_something(r);
        break;
    case 1:
        send_client(r);
        break;
    case 2:
    case 3:
        answer_client(r);
        break;
    case 4:
    case 5:
        answer_server(r);
        break;
    case 6:
        disturb(r);
        break;
    case 7:
        if (r->depth == 0)
            world_run(r->w, below(r, 4) == 0 ? below(r, 20000) : below(r, 800));
        break;
    }
    if (below(r, 50) == 0)
        r->w->mem.fail_at = r->w->mem.allocs + 1 + below(r, 3);
    if (r->w->sent_count > WORLD_SENT_MAX / 2)
        world_forget(r->w);
}

/* Everybody who still waits for the user gets an answer, then time passes. */
static void finish(struct run *r)
{
    struct world *w = r->w;

    w->mem.fail_at = 0;
    r->depth = DEPTH_MAX;
    for (uint32_t i = 0; i < r->count; i++) {
        struct twin *twin = &r->twins[i];
        if (twin->is_client && twin->sent)
            txn_client_fail(w->table, twin->id, TXN_TIMEOUT, w->now_ms);
        if (!twin->is_client && twin->ends == 0)
            world_reply(w, twin->id, 404);
    }
    world_run(w, 100000);
}

static void run_seed(uint64_t seed, unsigned steps)
{
    struct run *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->twins = calloc(TWINS_MAX, sizeof *r->twins);
    assert_non_null(r->twins);
    r->w = world_open(TRANSACTIONS_MAX);
    r->w->hook = hook;
    r->w->hook_user = r;
    rng_seed(&r->rng, seed);

    for (unsigned i = 0; i < steps; i++) {
        step(r);
        assert_in_range(txn_count(r->w->table), 0, TRANSACTIONS_MAX);
        assert_in_range(txn_pending(r->w->table), 0, txn_count(r->w->table));
    }
    finish(r);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->twins[i].ends != 1)
            fail_msg("seed %llu: transaction %u ended %u times", (unsigned long long)seed, i,
                     r->twins[i].ends);
    assert_int_equal(txn_count(r->w->table), 0);
    assert_int_equal(txn_pending(r->w->table), 0);
    assert_int_equal(r->w->wheel.count, 0);
    const struct txn_counters *c = txn_counters(r->w->table);
    assert_true(c->server_started > 0 && c->client_started > 0 && c->transport_errors > 0);
    world_close(r->w);
    free(r->twins);
    free(r);
}

static void every_transaction_is_answered_or_fails_and_ends_once(void **unused)
{
    /* ./dev oom runs this 150 times: one seed each is enough then. */
    uint64_t seeds = getenv("STROWGER_FAIL_ALLOC") != NULL ? 1 : SEEDS;
    (void)unused;

    for (uint64_t seed = 1; seed <= seeds; seed++)
        run_seed(seed, STEPS / SEEDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_transaction_is_answered_or_fails_and_ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
