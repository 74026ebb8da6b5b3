/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge between phones and the registrar of their domain (RFC 5626 §5), and the registrar's side.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

static struct world world;
static const struct slice domain = {"phones.example", 14};

/* The registrar is 192.0.2.77:5070. */
static struct flow registrar_flow(void)
{
    struct flow flow = world_flow(5070, NULL);
    flow.remote.bytes[3] = 77;
    return flow;
}

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 1, NULL, 0);
    world.config.auth_required = true;
    world.config.token_key = (struct hash_key){{5, 6}};
    world.config.edge = (struct core_edge){
        .domains = &domain, .domain_count = 1, .registrar = SLICE("sip:192.0.2.77:5070")};
    world.config.registrar.flow_timer = 90;
    world_reopen(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* A request of the phone's; `lines` end in CRLF. */
static void phone_sends(const char *method, const char *uri, const char *lines,
                        const struct flow *source)
{
    static unsigned number;
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/%s 10.0.0.1:5060;branch=z9hG4bKp%u;rport\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:bob@phones.example>;tag=f\r\n"
             "To: <sip:bob@phones.example>\r\nCall-ID: c%u\r\nCSeq: 1 %s\r\n"
             "%sContent-Length: 0\r\n\r\n",
             method, uri, flow_has_conn(source) ? "TCP" : "UDP", number, number, method, lines);
    world_feed(&world, text, source);
}

/* The value of a field in the message that was sent at place `at`. */
static void sent_value(unsigned at, const char *name, char out[static 256])
{
    const char *line = strstr(world.sent[at].text, name);

    assert_non_null(line);
    line += strlen(name) + 2;
    snprintf(out, 256, "%.*s", (int)strcspn(line, "\r"), line);
}

/* The registrar's 200 to what we sent last. */
static void registrar_accepts(const char *lines)
{
    char text[WORLD_TEXT_MAX], via[512] = "";
    const char *sent = world.sent[0].text;

    for (const char *line = sent; (line = strstr(line, "\r\nVia: ")) != NULL; line += 2)
        snprintf(via + strlen(via), sizeof via - strlen(via), "%.*s\r\n",
                 (int)strcspn(line + 2, "\r"), line + 2);
    char call_id[256];
    sent_value(0, "Call-ID", call_id);
    snprintf(text, sizeof text,
             "SIP/2.0 200 OK\r\n%sFrom: <sip:bob@phones.example>;tag=f\r\n"
             "To: <sip:bob@phones.example>;tag=t\r\nCall-ID: %s\r\nCSeq: 1 REGISTER\r\n"
             "%sContent-Length: 0\r\n\r\n",
             via, call_id, lines);
    struct flow source = registrar_flow();
    world_feed(&world, text, &source);
}

/* A new INVITE of the registrar's with a Route, for the phone's contact. */
static void registrar_calls(const char *route)
{
    static unsigned number;
    char text[WORLD_TEXT_MAX];
    struct flow source = registrar_flow();

    number++;
    snprintf(text, sizeof text,
             "INVITE sip:bob@10.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.77:5070;branch=z9hG4bKr%u\r\nMax-Forwards: 70\r\n"
             "Route: %s\r\nFrom: <sip:x@elsewhere.example>;tag=x\r\n"
             "To: <sip:bob@phones.example>\r\nCall-ID: i%u\r\nCSeq: 1 INVITE\r\n"
             "Contact: <sip:x@198.51.100.1>\r\nContent-Length: 0\r\n\r\n",
             number, route, number);
    world_feed(&world, text, &source);
}

static const char contact[] = "Contact: <sip:bob@10.0.0.1:5060>;reg-id=1"
                              ";+sip.instance=\"<urn:uuid:1>\"\r\nSupported: path, outbound\r\n";

/* Sends a REGISTER and gives the Path with which it left. */
static void registered_path(const struct flow *source, char path[static 256])
{
    phone_sends("REGISTER", "sip:phones.example", contact, source);
    assert_int_equal(1, world.sent_count);
    assert_int_equal(5070, world.sent[0].to.remote.port);
    sent_value(0, "Path", path);
}

static void a_register_leaves_with_our_path(void **state)
{
    struct flow source = world_flow(41000, NULL);
    char path[256];

    (void)state;
    registered_path(&source, path);
    assert_memory_equal("<sip:192.0.2.9:5060;lr;p=", path, 25);
    assert_string_equal(";ob>", path + strlen(path) - 4); /* we are the first hop */

    phone_sends("REGISTER", "sip:phones.example", "Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bK0\r\n",
                &source);
    sent_value(0, "Path", path);
    assert_null(strstr(path, ";ob")); /* somebody else is */
}

static void what_comes_with_the_path_leaves_by_the_flow(void **state)
{
    const struct conn_id conn = {0, {7, 9}};
    struct flow source = world_flow(41000, NULL);
    char path[256];

    (void)state;
    registered_path(&source, path);
    registrar_calls(path);
    assert_int_equal(2, world.sent_count); /* 100, INVITE */
    assert_memory_equal("INVITE sip:bob@10.0.0.1:5060 SIP/2.0", world.sent[1].text, 36);
    assert_true(addr_equal(&source.remote, &world.sent[1].to.remote));
    assert_null(strstr(world.sent[1].text, "\r\nRoute:"));
    assert_non_null(strstr(world.sent[1].text, "Record-Route: <sip:192.0.2.9:5060;lr;r="));

    /* On a stream, that connection only: here nobody has a listener for it, so the flow is gone. */
    source = world_flow(42000, &conn);
    registered_path(&source, path);
    registrar_calls(path);
    assert_int_equal(1, world.sent_count);
    assert_memory_equal("SIP/2.0 430", world.sent[0].text, 11);
}

/* Phones come back after a restart of ours, those on UDP need not: the key is kept. */
static void a_path_outlives_us(void **state)
{
    struct flow source = world_flow(41000, NULL);
    char path[256];

    (void)state;
    registered_path(&source, path);
    world_reopen(&world);
    registrar_calls(path);
    assert_true(addr_equal(&source.remote, &world.sent[1].to.remote));
}

static void a_changed_token_is_refused(void **state)
{
    struct flow source = world_flow(41000, NULL);
    char path[256], changed[256];
    unsigned refused = 0;

    (void)state;
    registered_path(&source, path);
    for (char *at = strstr(path, "p=") + 2; *at != ';'; at++) {
        memcpy(changed, path, sizeof path);
        changed[at - path] = *at == '0' ? '1' : '0';
        registrar_calls(changed);
        assert_int_equal(1, world.sent_count);
        assert_memory_equal("SIP/2.0 403", world.sent[0].text, 11);
        refused++;
    }
    assert_int_equal(refused, world.core->counters.refused[CORE_R_FLOW_FORGED]);
}

/* RFC 5626 §5.3.2: the phone has copied the Path, so the request is on its way out. */
static void a_token_of_the_sender_is_no_target(void **state)
{
    struct flow source = world_flow(41000, NULL);
    char path[256], lines[300];

    (void)state;
    registered_path(&source, path);
    snprintf(lines, sizeof lines, "Route: %s\r\n", path);
    phone_sends("OPTIONS", "sip:carol@phones.example", lines, &source);
    assert_int_equal(1, world.sent_count);
    assert_int_equal(5070, world.sent[0].to.remote.port);
}

static void what_is_for_or_from_the_domain_goes_to_its_registrar_and_nothing_else(void **state)
{
    static const struct {
        const char *uri, *lines;
        bool passes;
    } cases[] = {
        {"sip:carol@PHONES.example", "", true},
        {"sip:carol@elsewhere.example", "", true}, /* from it: the registrar says what may be */
        {"tel:+15105550100", "", true},
        {"sip:carol@phones.example", "Route: <sip:192.0.2.77:5070;lr>\r\n", true},
        {"sip:carol@phones.example", "Route: <sip:192.0.2.78:5070;lr>\r\n", false},
        {"sip:carol@phones.example", "Route: <sip:192.0.2.77:5071;lr>\r\n", false},
        {"sip:carol@phones.example", "Route: <sip:192.0.2.77:5070;maddr=192.0.2.78;lr>\r\n", false},
    };
    struct flow source = world_flow(41000, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        phone_sends("OPTIONS", cases[i].uri, cases[i].lines, &source);
        assert_int_equal(1, world.sent_count);
        if (cases[i].passes != (world.sent[0].to.remote.port == 5070))
            fail_msg("%s %s: %s", cases[i].uri, cases[i].lines, world.sent[0].text);
        if (!cases[i].passes)
            assert_memory_equal("SIP/2.0 403", world.sent[0].text, 11);
        else
            assert_null(strstr(world.sent[0].text, "Path:")); /* that is for REGISTER */
    }
}

static void a_phone_on_a_stream_is_told_our_flow_timer(void **state)
{
    const struct conn_id conn = {0, {7, 9}};
    struct flow sources[] = {world_flow(41000, NULL), world_flow(42000, &conn)};
    char path[256];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        registered_path(&sources[i], path);
        registrar_accepts("Require: outbound\r\n");
        assert_int_equal(1, world.sent_count);
        assert_true((strstr(world.sent[0].text, "Flow-Timer: 90\r\n") != NULL) == (i == 1));
        registered_path(&sources[i], path);
        registrar_accepts("");
        assert_null(strstr(world.sent[0].text, "Flow-Timer"));
    }
}

/* Whom the registrar has accepted is no stranger to our limits. */
static void an_accepted_phone_is_known(void **state)
{
    struct flow source = world_flow(41000, NULL);
    char path[256];

    (void)state;
    world.config.guard =
        (struct guard_config){.sources_max = 64, .bars_max = 16, .stranger = {1, 1000}};
    world_reopen(&world);
    registered_path(&source, path);
    assert_true(guard_is_stranger(world.core->guard, &source.remote, world.now_ms));
    registrar_accepts("");
    assert_false(guard_is_stranger(world.core->guard, &source.remote, world.now_ms));
}

/* ---- the registrar ---- */

static const struct addr_net edges = {.base = {ADDR_V4, 0, 0, 0, {192, 0, 2, 1}}, .bits = 32};

/* A Path is believed from our edges; who registers through them is asked for his password. */
static void an_edge_is_believed_its_path_and_nothing_else(void **state)
{
    static const char lines[] = "Path: <sip:192.0.2.1:5060;lr;ob>\r\nSupported: path\r\n"
                                "Contact: <sip:bob@10.0.0.1>\r\n";
    struct flow source = world_flow(5060, NULL);

    (void)state;
    world.config.edge = (struct core_edge){0};
    world.config.auth_required = false;
    world_reopen(&world);
    phone_sends("REGISTER", "sip:example.com", lines, &source);
    assert_memory_equal("SIP/2.0 404", world.sent[0].text, 11); /* the domain of To */
    for (unsigned i = 0; i < 2; i++) {
        world.config.edges = &edges;
        world.config.edge_count = i;
        world_reopen(&world);
        char text[WORLD_TEXT_MAX];
        snprintf(text, sizeof text,
                 "REGISTER sip:example.com SIP/2.0\r\n"
                 "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKe%u\r\n"
                 "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKe%u\r\nMax-Forwards: 70\r\n"
                 "From: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n"
                 "Call-ID: e\r\nCSeq: %u REGISTER\r\n%sContent-Length: 0\r\n\r\n",
                 i, i, i + 1, lines);
        world_feed(&world, text, &source);
        assert_memory_equal(i == 0 ? "SIP/2.0 403" : "SIP/2.0 200", world.sent[0].text, 11);
        world.config.auth_required = true;
        world_reopen(&world);
        text[0] = 'R';
        *strstr(text, "z9hG4bKe") = 'Z'; /* another transaction */
        world_feed(&world, text, &source);
        assert_memory_equal("SIP/2.0 401", world.sent[0].text, 11);
        world.config.auth_required = false;
    }
}

int main(void)
{
#define EDGE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        EDGE_TEST(a_register_leaves_with_our_path),
        EDGE_TEST(what_comes_with_the_path_leaves_by_the_flow),
        EDGE_TEST(a_path_outlives_us),
        EDGE_TEST(a_changed_token_is_refused),
        EDGE_TEST(a_token_of_the_sender_is_no_target),
        EDGE_TEST(what_is_for_or_from_the_domain_goes_to_its_registrar_and_nothing_else),
        EDGE_TEST(a_phone_on_a_stream_is_told_our_flow_timer),
        EDGE_TEST(an_accepted_phone_is_known),
        EDGE_TEST(an_edge_is_believed_its_path_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
