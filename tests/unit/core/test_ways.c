/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where requests go: in a dialog by our Route values, for users by their bindings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/core.h"

static const struct hash_key token_key = {{3, 4}};

struct fixture {
    struct core *core;
    struct policy *policy;
    struct listener listeners[2]; /* UDP, TCP */
    struct outbox outbox;
    struct binding_set bindings; /* of the AOR "bob" */
    char block[1024];
    unsigned sent;
};

static struct addr v4(uint8_t last, uint16_t port)
{
    return (struct addr){.family = ADDR_V4, .port = port, .bytes = {10, 0, 0, last}};
}

static void no_flush(struct outbox *outbox, void *user)
{
    (void)user;
    outbox->count = 0;
    outbox->used = 0;
}

static struct slice find_bindings(void *user, struct slice key, uint64_t hash)
{
    struct fixture *f = user;
    struct builder b = builder_over(f->block, sizeof f->block);

    (void)hash;
    if (!slice_equal(key, SLICE("bob")) || f->bindings.count == 0)
        return SLICE_EMPTY;
    f->bindings.aor = SLICE("bob");
    assert_int_equal(binding_set_pack(&f->bindings, &b), OK);
    return builder_slice(&b);
}

static struct slice find_no_hash(void *user, uint64_t hash, struct slice *key)
{
    (void)user, (void)hash, (void)key;
    return SLICE_EMPTY;
}

static enum err put_nothing(void *user, struct slice key, uint64_t hash, struct slice block,
                            uint32_t note)
{
    (void)note;
    (void)user, (void)key, (void)hash, (void)block;
    return OK;
}

static void remove_nothing(void *user, struct slice key, uint64_t hash)
{
    (void)user, (void)key, (void)hash;
}

static int setup(void **state)
{
    static const struct slice domain = {"sim.example", 11};
    static const struct user bob = {.name = {"bob", 3}};
    struct policy_source source = {
        .users = &bob, .user_count = 1, .domains = &domain, .domain_count = 1, .seed = 1};
    struct policy_error error;
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->listeners[0] = (struct listener){.transport = TRANSPORT_UDP, .bound = v4(1, 5060)};
    f->listeners[1] = (struct listener){.transport = TRANSPORT_TCP, .bound = v4(1, 5060)};
    f->outbox.flush = no_flush;
    f->outbox.buffer = malloc(OUTBOX_BYTES);
    if (f->outbox.buffer == NULL || policy_build(&source, &error, &f->policy) != OK)
        return -1;
    struct core_config config = {
        .workers = 1,
        .boot = 1,
        .token_key = token_key,
        .memory_max = (size_t)16 << 20,
        .transactions_max = 64,
        .registrations_max = 4,
        .nonce_windows_max = 4,
        .listeners = f->listeners,
        .listener_count = COUNT_OF(f->listeners),
        .auth_required = true,
        .realm = SLICE("sim.example"),
        .nonce_lifetime_ms = 60000,
        .registrar = {.max_expires = 60, .max_contacts = 4},
        .timer_c_ms = 181000,
        .outbox = &f->outbox,
        .location = {.user = f,
                     .find = find_bindings,
                     .find_hash = find_no_hash,
                     .put = put_nothing,
                     .remove = remove_nothing},
        .policy = f->policy,
    };
    if (core_open(&config, 1000, 1000, &f->core) != OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    core_close(f->core);
    policy_free(f->policy);
    free(f->outbox.buffer);
    free(f);
    return 0;
}

/** Our Record-Route value of one time that the call came through. */
static void write_route(const struct proxy_token *token, char *out, size_t size)
{
    char text[PROXY_TOKEN_MAX];
    struct builder b = builder_over(text, sizeof text);

    assert_int_equal(proxy_token_write(&b, &token_key, token, SLICE("call"), SLICE("caller")), OK);
    snprintf(out, size, "<sip:10.0.0.1:5060;lr;r=%.*s>", (int)b.len, text);
}

/** Sends a BYE from 10.0.0.9; gives what goes out first. */
static const struct outbox_item *send_bye(struct fixture *f, const char *routes, const char *from,
                                          const char *to)
{
    char text[2048];
    struct flow source = {.transport = TRANSPORT_UDP, .remote = v4(9, 5060), .local = v4(1, 5060)};
    int len = snprintf(text, sizeof text,
                       "BYE sip:bob@192.168.7.7 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch="
                       "z9hG4bK%u\r\nMax-Forwards: 70\r\n%sFrom: <sip:a@x>;tag=%s\r\n"
                       "To: <sip:b@y>;tag=%s\r\nCall-ID: call\r\nCSeq: 2 BYE\r\n"
                       "Content-Length: 0\r\n\r\n",
                       f->sent++, routes, from, to);

    f->outbox.count = 0;
    f->outbox.used = 0;
    core_receive(f->core, (struct slice){text, (size_t)len}, SIP_DATAGRAM, &source, 1000, 1000);
    assert_int_equal(f->outbox.count, 1);
    return &f->outbox.items[0];
}

static struct proxy_side side_at(uint8_t last, uint16_t port)
{
    return (struct proxy_side){
        .has_flow = true,
        .flow = {.transport = TRANSPORT_UDP, .listener = 0, .remote = v4(last, port)},
    };
}

/* The call went caller - us - another proxy - us - callee, and both ends are behind NATs. */
static void a_spiral_leads_to_its_far_end_from_both_sides(void **state)
{
    const struct proxy_token first = {.caller = side_at(9, 41000)};
    const struct proxy_token second = {.callee = side_at(7, 42000)};
    char a[300], b[300], routes[700];
    struct fixture *f = *state;

    write_route(&first, a, sizeof a);
    write_route(&second, b, sizeof b);
    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: %s\r\n", a, b);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.bytes[3], 7);
    assert_int_equal(item->to.remote.port, 42000);

    snprintf(routes, sizeof routes, "Route: %s, %s\r\n", b, a);
    item = send_bye(f, routes, "callee", "caller");
    assert_int_equal(item->to.remote.bytes[3], 9);
    assert_int_equal(item->to.remote.port, 41000);
}

/* The far end is a stranger of whom the caller's own token knows nothing: it proves the caller. */
static void the_first_token_proves_its_sender(void **state)
{
    const struct proxy_token first = {.caller = side_at(9, 5060)};
    const struct proxy_token second = {
        .caller = side_at(5, 5060), .callee = side_at(7, 42000), .outside = true};
    char a[300], b[300], routes[700];
    struct fixture *f = *state;

    write_route(&first, a, sizeof a);
    write_route(&second, b, sizeof b);
    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: %s\r\n", a, b);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.port, 42000);

    snprintf(routes, sizeof routes, "Route: %s\r\n", b);
    item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.port, 5060); /* an answer: he is not where the caller was */
    assert_memory_equal(f->outbox.buffer, "SIP/2.0 403", 11);
}

/* The way of a stranger's call: he - us - a proxy that we trust - us - bob. He sees both tokens,
 * and has more from neither of them than that his requests reach bob. */
static void a_stranger_goes_nowhere_else_by_a_spiral(void **state)
{
    struct proxy_token first = {.callee = side_at(5, 5060), .guarded = true};
    struct proxy_token second = {.callee = side_at(7, 42000), .guarded = true};
    const char *const answered = "SIP/2.0 403";
    char a[300], b[300], routes[700];
    struct fixture *f = *state;

    first.callee.has_flow = second.callee.has_flow = false;
    write_route(&first, a, sizeof a);
    write_route(&second, b, sizeof b);
    snprintf(routes, sizeof routes, "Route: %s\r\n", b);
    send_bye(f, routes, "caller", "callee"); /* to 192.168.7.7 */
    assert_memory_equal(f->outbox.buffer, answered, 11);
    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: %s\r\n", a, b);
    send_bye(f, routes, "caller", "callee");
    assert_memory_equal(f->outbox.buffer, answered, 11);
    send_bye(f, routes, "callee", "caller"); /* in bob's name */
    assert_memory_equal(f->outbox.buffer, answered, 11);

    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: <sip:10.0.0.7:42000;lr>\r\n", b);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.port, 42000);
}

/* A token of a stranger's call does not borrow from another of the same Call-ID and tag, which
 * would let its own caller go anywhere, from where he is. */
static void a_token_lends_nothing_to_another(void **state)
{
    struct proxy_token strangers = {.callee = side_at(7, 5060), .guarded = true};
    const struct proxy_token users = {
        .caller = side_at(5, 5060), .callee = side_at(9, 5060), .outside = true};
    char a[300], b[300], routes[700];
    struct fixture *f = *state;

    strangers.callee.has_flow = false;
    write_route(&strangers, a, sizeof a);
    write_route(&users, b, sizeof b);
    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: %s\r\nRoute: <sip:10.0.0.66;lr>\r\n", a,
             b);
    send_bye(f, routes, "caller", "callee");
    assert_memory_equal(f->outbox.buffer, "SIP/2.0 403", 11);
}

/* Bob has registered by another proxy, which does not stay on the way of his calls. */
static void a_stranger_reaches_who_is_behind_a_path(void **state)
{
    struct proxy_token token = {.callee = side_at(5, 5060), .guarded = true};
    char a[300], routes[700];
    struct fixture *f = *state;

    token.behind = (struct addr){.family = ADDR_V4, .bytes = {192, 168, 7, 7}, .port = 5060};
    token.callee.has_flow = false;
    write_route(&token, a, sizeof a);
    snprintf(routes, sizeof routes, "Route: %s\r\n", a);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.bytes[3], 7);
    snprintf(routes, sizeof routes, "Route: %s\r\nRoute: <sip:10.0.0.66;lr>\r\n", a);
    send_bye(f, routes, "caller", "callee");
    assert_memory_equal(f->outbox.buffer, "SIP/2.0 403", 11);
}

/* A token that is not of this dialog changes nothing. */
static void a_made_up_token_behind_a_good_one_is_as_none(void **state)
{
    const struct proxy_token good = {.callee = side_at(7, 42000)};
    char a[300], routes[700];
    struct fixture *f = *state;

    write_route(&good, a, sizeof a);
    snprintf(routes, sizeof routes,
             "Route: %s\r\nRoute: <sip:10.0.0.1:5060;lr;r=200000000000000>\r\n", a);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.port, 42000);
}

/* The callee's connection still stands, but it is not registered any more; another phone of the
 * same user is. It is not in the call. */
static void a_phone_with_a_name_is_not_taken_for_another(void **state)
{
    struct fixture *f = *state;
    const struct flow old = {
        .transport = TRANSPORT_TCP, .listener = 1, .conn = {0, {4, 1}}, .remote = v4(7, 50007)};
    const struct proxy_token token = {
        .callee = {.has_flow = true, .flow = old, .aor = SLICE("bob"), .instance = 12345}};
    struct binding other = {.contact = SLICE("sip:bob@10.0.0.8;transport=tcp"),
                            .call_id = SLICE("r"),
                            .instance = SLICE("<urn:uuid:1>"),
                            .expires_ms = 60000,
                            .flow = old};
    char route[300], routes[400];

    other.flow.conn.id.slot = 5;
    other.flow.remote = v4(8, 50008);
    f->bindings.count = 1;
    f->bindings.items[0] = other;
    write_route(&token, route, sizeof route);
    snprintf(routes, sizeof routes, "Route: %s\r\n", route);
    const struct outbox_item *item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.bytes[3], 7);
    assert_int_equal(item->to.conn.id.slot, 4);

    f->bindings.items[0].instance = SLICE_EMPTY; /* it may be the same, come back */
    item = send_bye(f, routes, "caller", "callee");
    assert_int_equal(item->to.remote.bytes[3], 8);
}

/** An INVITE for bob from somebody unknown; gives what is answered last. */
static const char *invite_bob(struct fixture *f)
{
    static const char text[] =
        "INVITE sip:bob@sim.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKi\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:x@else.example>;tag=t\r\nTo: <sip:bob@sim.example>\r\n"
        "Call-ID: i\r\nCSeq: 1 INVITE\r\nContact: <sip:x@10.0.0.9>\r\nContent-Length: 0\r\n\r\n";
    struct flow source = {.transport = TRANSPORT_UDP, .remote = v4(9, 5060), .local = v4(1, 5060)};

    f->outbox.count = 0;
    f->outbox.used = 0;
    core_receive(f->core, slice_of(text), SIP_DATAGRAM, &source, 1000, 1000);
    assert_int_equal(f->outbox.count, 1);
    return f->outbox.buffer;
}

/* Bob is registered as himself. A second copy of the request may not become a call after its own
 * refusal, although bob's binding is gone meanwhile. */
static void a_loop_of_registrations_is_refused_once_and_for_all(void **state)
{
    struct fixture *f = *state;

    f->bindings.count = 1;
    f->bindings.items[0] =
        (struct binding){.contact = SLICE("sip:bob@sim.example"),
                         .call_id = SLICE("r"),
                         .expires_ms = 60000,
                         .flow = {.transport = TRANSPORT_UDP, .remote = v4(8, 5060)}};
    assert_memory_equal(invite_bob(f), "SIP/2.0 482", 11);
    f->bindings.count = 0;
    assert_memory_equal(invite_bob(f), "SIP/2.0 482", 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_spiral_leads_to_its_far_end_from_both_sides, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_first_token_proves_its_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_goes_nowhere_else_by_a_spiral, setup, teardown),
        cmocka_unit_test_setup_teardown(a_token_lends_nothing_to_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stranger_reaches_who_is_behind_a_path, setup, teardown),
        cmocka_unit_test_setup_teardown(a_made_up_token_behind_a_good_one_is_as_none, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_loop_of_registrations_is_refused_once_and_for_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_phone_with_a_name_is_not_taken_for_another, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
