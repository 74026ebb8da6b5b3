/* SPDX-License-Identifier: Apache-2.0 */
/* Loops and spirals (RFC 5393 §4.2): the hash varies with what decides where a request goes. */
#include "world.h"

static const char request[] = "INVITE sip:bob@example.com SIP/2.0\r\n"
                              "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
                              "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\n"
                              "CSeq: 1 INVITE\r\n"
                              "Route: <sip:r1;lr>, <sip:r2;lr>\r\n"
                              "Proxy-Require: foo\r\n"
                              "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

static uint32_t hash_with(const char *old, const char *new)
{
    struct sip_msg *msg = calloc(1, sizeof *msg);
    char text[2048];
    struct builder b = builder_over(text, sizeof text);
    assert_non_null(msg);
    const char *at = strstr(request, old);
    assert_non_null(at);
    builder_add(&b, slice_between(request, at));
    builder_add(&b, slice_of(new));
    builder_add(&b, slice_of(at + strlen(old)));
    assert_int_equal(sip_parse(builder_slice(&b), SIP_DATAGRAM, msg), OK);
    uint32_t hash = proxy_loop_hash(&world_key, msg);
    free(msg);
    return hash;
}

static void the_hash_varies_with_what_routes_and_with_nothing_else(void **state)
{
    static const struct {
        const char *why, *old, *new;
        bool same;
    } cases[] = {
        {"nothing changed", "tag=1", "tag=1", true},
        {"Request-URI", "sip:bob@example.com", "sip:bob@example.org", false},
        {"Route, first value", "sip:r1", "sip:r9", false},
        {"Route, last value", "sip:r2", "sip:r9", false},
        {"a Route value less", "<sip:r1;lr>, ", "", false},
        {"no Route, and its text in Proxy-Require instead",
         "Route: <sip:r1;lr>, <sip:r2;lr>\r\nProxy-Require: foo\r\n",
         "Proxy-Require: <sip:r1;lr>, <sip:r2;lr>\r\n", false},
        {"Proxy-Require", "foo", "bar", false},
        {"another call (§4.2.4)", "Call-ID: x", "Call-ID: y", false},
        {"another transaction of it", "CSeq: 1", "CSeq: 2", false},
        {"one hop later", "Max-Forwards: 70", "Max-Forwards: 69", true},
        {"one Via more", "Via: SIP", "Via: SIP/2.0/UDP x;branch=z9hG4bKb\r\nVia: SIP", true},
        {"body and other fields", "Content-Length: 0\r\n\r\n",
         "Subject: x\r\nContent-Length: 2\r\n\r\nhi", true},
    };
    uint32_t plain = hash_with("tag=1", "tag=1");
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("%s\n", cases[i].why);
        assert_int_equal(hash_with(cases[i].old, cases[i].new) == plain, cases[i].same);
    }
}

static bool is_loop(const char *vias, uint32_t loop)
{
    struct sip_msg *msg = calloc(1, sizeof *msg);
    char text[4096];
    assert_non_null(msg);
    snprintf(text, sizeof text,
             "OPTIONS sip:bob@example.com SIP/2.0\r\n%s"
             "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\n"
             "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
             vias);
    assert_int_equal(sip_parse(slice_of(text), SIP_DATAGRAM, msg), OK);
    bool loops = proxy_is_loop(msg, loop, world_is_ours, NULL);
    free(msg);
    return loops;
}

static void a_via_of_ours_with_the_same_hash_is_a_loop_and_with_another_a_spiral(void **state)
{
    const struct txn_branch branch = {.boot = 1, .worker = 2, .id = {3, 4}, .loop = 77, .key = 5};
    char name[TXN_BRANCH_LEN + 1] = "";
    char vias[1024];
    (void)state;

    txn_branch_write(&branch, name);
    snprintf(vias, sizeof vias,
             "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKq;odd;p=\"a,b\"\r\n"
             "Via: SIP/2.0/TCP other.example;branch=z9hG4bKr, SIP/2.0/UDP "
             "203.0.113.1:5060;branch=%s\r\n",
             name);
    assert_true(is_loop(vias, 77));
    assert_false(is_loop(vias, 78));
    /* The same branch in another's Via is none of ours. */
    snprintf(vias, sizeof vias, "Via: SIP/2.0/UDP 203.0.113.2:5060;branch=%s\r\n", name);
    assert_false(is_loop(vias, 77));
    assert_false(is_loop("Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bK77\r\n", 77));
}

static void a_request_of_ours_that_comes_back_is_known_again(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target self = world_target(1, 1000);
    (void)state;

    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    assert_int_equal(sip_parse(slice_of(w->message), SIP_DATAGRAM, &w->msg), OK);
    uint32_t loop = proxy_loop_hash(&world_key, &w->msg);
    w->request.loop = loop;
    self.uri = SLICE("sip:bob@example.com"); /* unchanged: it will loop */
    assert_int_equal(world_forward(w, &self, 1), OK);
    struct sent *sent = world_expect(w, "INVITE");
    assert_int_equal(sip_parse(slice_of(sent->text), SIP_DATAGRAM, &w->msg), OK);
    assert_int_equal(proxy_loop_hash(&world_key, &w->msg), loop);
    assert_true(proxy_is_loop(&w->msg, proxy_loop_hash(&world_key, &w->msg), world_is_ours, NULL));
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_varies_with_what_routes_and_with_nothing_else),
        cmocka_unit_test(a_via_of_ours_with_the_same_hash_is_a_loop_and_with_another_a_spiral),
        cmocka_unit_test(a_request_of_ours_that_comes_back_is_known_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
