/* SPDX-License-Identifier: Apache-2.0 */
/* Full tables, no memory, and what is left behind: nothing. */
#include "world.h"

static void the_last_context_is_given_and_one_more_is_refused(void **state)
{
    enum {
        LIMIT = 3
    };
    struct world *w = world_open((struct world_options){.contexts_max = LIMIT});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    for (unsigned i = 0; i <= LIMIT; i++) {
        char extra[64];
        snprintf(extra, sizeof extra, "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK%u\r\n", i);
        snprintf(w->message, sizeof w->message,
                 "INVITE sip:bob@example.com SIP/2.0\r\n"
                 "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%u\r\n"
                 "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x%u\r\nCSeq: 1 INVITE\r\n"
                 "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                 i, i);
        assert_int_equal(world_forward(w, &bob, 1), i < LIMIT ? OK : ERR_FULL);
    }
    assert_int_equal(proxy_counters(w->proxy)->full, 1);
    assert_int_equal(proxy_count(w->proxy), LIMIT);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_close(w);
}

static void the_last_target_is_taken_and_those_past_the_limit_are_left_out(void **state)
{
    struct proxy_target *targets = calloc(PROXY_TARGETS_MAX + 1, sizeof *targets);
    char uris[PROXY_TARGETS_MAX + 1][40];
    (void)state;

    assert_non_null(targets);
    for (unsigned i = 0; i <= PROXY_TARGETS_MAX; i++) {
        char address[40];
        snprintf(uris[i], sizeof uris[i], "sip:bob@10.1.%u.1:5060", i);
        snprintf(address, sizeof address, "10.1.%u.1:5060", i);
        targets[i] = (struct proxy_target){
            .uri = slice_of(uris[i]), .to = world_flow(address, TRANSPORT_UDP), .q = 500};
    }
    for (unsigned more = 0; more < 2; more++) {
        struct world *w = world_open((struct world_options){0});
        unsigned invites = 0;
        world_call(w, targets, PROXY_TARGETS_MAX + more);
        while (world_take(w, "INVITE") != NULL)
            invites++;
        assert_int_equal(invites, PROXY_MAX_BREADTH); /* the rest when some have ended */
        struct sent *first = &w->sent[0];
        for (unsigned i = 0; i < 10; i++)
            assert_true(world_answer(w, first + i, 486, "x", ""));
        while (world_take(w, "INVITE") != NULL)
            invites++;
        assert_int_equal(invites, PROXY_TARGETS_MAX);
        world_forget_sent(w);
        world_pass(w, 1);
        proxy_cancel(w->proxy, w->server, w->now_ms);
        world_drop(w);
    }
    free(targets);
}

static void targets_that_take_too_much_memory_are_refused(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
    static char route[MEM_MAX_ALLOC];
    (void)state;

    memset(route, 'r', sizeof route);
    targets[0].routes = (struct slice){route, sizeof route};
    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, targets, 2), ERR_TOO_BIG);
    world_expect_silence(w);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_close(w);
}

/* ---- allocation failures ---- */

/* A forked call with everything in it: three groups, challenges, a 3xx that is followed, a CANCEL
 * or an answer. Gives the status that the caller was told in the end, 0 if forwarding was refused.
 */
static unsigned eventful_call(struct world *w, bool cancel)
{
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 800), world_target(4, 500)};
    unsigned told = 0;

    w->resolved[0] = world_target(5, 0);
    w->resolved_count = 1;
    w->request.record_route = true;
    world_write(w, "INVITE", "sip:bob@example.com", "", "body");
    assert_int_equal(sip_parse(slice_of(w->message), SIP_DATAGRAM, &w->msg), OK);
    struct txn_received got = txn_receive_request(w->txns, &w->msg, &w->source, w->now_ms);
    if (got.verdict != TXN_NEW)
        return 503; /* the caller answers statelessly */
    w->server = got.id;
    w->request.server = got.id;
    w->request.msg = &w->msg;
    w->request.source = &w->source;
    w->request.uri = w->msg.uri;
    if (proxy_forward(w->proxy, &w->request, targets, COUNT_OF(targets), w->now_ms) != OK) {
        assert_int_equal(proxy_count(w->proxy), 0);
        txn_server_drop(w->txns, got.id, w->now_ms);
        return 500; /* the core answers */
    }
    for (unsigned round = 0; round < 40; round++) {
        struct sent *invite = world_take(w, "INVITE");
        if (invite == NULL) {
            world_pass(w, 1000);
            continue;
        }
        if (strstr(invite->text, "INVITE sip:bob@198.51.100.1") != NULL)
            world_answer(w, invite, 401, "one", "WWW-Authenticate: Digest realm=\"1\"\r\n");
        else if (strstr(invite->text, "INVITE sip:bob@198.51.100.2") != NULL)
            world_answer(w, invite, 407, "two", "Proxy-Authenticate: Digest realm=\"2\"\r\n");
        else if (strstr(invite->text, "INVITE sip:bob@198.51.100.3") != NULL)
            world_answer(w, invite, 302, "three", "Contact: <sip:x@y>, <mailto:a@b>\r\n");
        else if (strstr(invite->text, "INVITE sip:bob@198.51.100.4") != NULL && cancel) {
            world_answer(w, invite, 180, "four", "");
            proxy_cancel(w->proxy, w->server, w->now_ms);
            world_answer(w, invite, 487, "four", "");
        } else {
            world_answer(w, invite, 486, "last", "");
        }
    }
    struct sent *final;
    while ((final = world_take(w, "SIP/2.0 ")) != NULL)
        if (final->text[8] >= '3')
            told = (unsigned)strtoul(final->text + 8, NULL, 10);
    return told;
}

static void whatever_allocation_fails_the_call_ends_with_an_answer_and_nothing_leaks(void **state)
{
    (void)state;
    for (unsigned cancel = 0; cancel < 2; cancel++) {
        for (unsigned after = 0; after < 2; after++) {
            for (uint64_t fail_at = 1;; fail_at++) {
                struct world *w = world_open((struct world_options){.recurse = true});
                w->mem.allocs = 0;
                w->mem.fail_at = fail_at;
                w->mem.fail_after = after == 1;
                unsigned told = eventful_call(w, cancel == 1);
                bool failed = w->mem.allocs >= fail_at;
                w->mem.fail_at = 0;
                w->mem.fail_after = false;
                world_pass(w, 200000);
                struct sent *final;
                while (told < 300 && (final = world_take(w, "SIP/2.0 ")) != NULL)
                    if (final->text[8] >= '3')
                        told = (unsigned)strtoul(final->text + 8, NULL, 10);
                assert_true(told >= 300);
                if (!failed)
                    assert_int_equal(told, cancel == 1 ? 487 : 302);
                world_close(w);
                if (!failed)
                    break;
            }
        }
    }
}

static void a_lingering_call_holds_little(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    assert_true(sizeof(struct context) <= 200);
    size_t before = w->mem.used_bytes;
    world_call(w, &bob, 1);
    struct sent *invite = world_expect(w, "INVITE");
    assert_true(world_answer(w, invite, 180, "bob", ""));
    assert_true(world_answer(w, invite, 200, "bob", ""));
    /* Beside the slabs of the pools nothing of the proxy's is left. */
    struct proxy *proxy = w->proxy;
    uint32_t cursor = 0;
    struct id id;
    struct context *c = pool_next(&proxy->contexts, &cursor, &id);
    assert_non_null(c);
    assert_null(c->plan);
    assert_null(c->more);
    assert_null(c->best);
    assert_null(c->challenges);
    assert_false(timer_armed(&c->timer));
    assert_true(w->mem.used_bytes > before);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_context_is_given_and_one_more_is_refused),
        cmocka_unit_test(the_last_target_is_taken_and_those_past_the_limit_are_left_out),
        cmocka_unit_test(targets_that_take_too_much_memory_are_refused),
        cmocka_unit_test(whatever_allocation_fails_the_call_ends_with_an_answer_and_nothing_leaks),
        cmocka_unit_test(a_lingering_call_holds_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
