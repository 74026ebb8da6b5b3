/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A phone with two flows: what becomes of a binding whose edge says 430 (RFC 5626 §9.3), or whose
 * host says that nobody listens there (§7). The edges, or the phone, are 192.0.2.1, ports 7001 and
 * 7002.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/binding.h"
#include "world.h"

static struct world w;
static unsigned number; /* of messages */

enum way {
    BY_EDGE, /* with Path */
    DIRECT,  /* with reg-id, without */
    PLAIN,   /* without either: two contacts of one phone */
};

/* A worker that trusts the edges. */
static void open_world(void)
{
    static struct addr_net trusted;

    assert_int_equal(OK, addr_net_parse(SLICE("192.0.2.0/24"), &trusted));
    world_open(&w, 1, NULL, 0);
    w.config.trusted = &trusted;
    w.config.trusted_count = 1;
    world_reopen(&w);
}

/* Registers `name` by its flow 1 or 2. */
static void register_by(enum way way, const char *name, unsigned flow)
{
    struct flow source = world_flow((uint16_t)(7000 + flow), NULL);
    char text[WORLD_TEXT_MAX], path[64] = "", via[80] = "", reg_id[16] = "";

    if (way == BY_EDGE) {
        snprintf(path, sizeof path, "Path: <sip:192.0.2.1:%u;lr;ob>\r\n", 7000 + flow);
        snprintf(via, sizeof via, "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bKf%u;rport\r\n",
                 7000 + flow, number);
    }
    if (way != PLAIN)
        snprintf(reg_id, sizeof reg_id, ";reg-id=%u", flow);

    number++;
    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "%sVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKp%u;rport\r\nMax-Forwards: 69\r\n"
             "From: <sip:%s@example.com>;tag=f\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: reg-%s-%u\r\nCSeq: %u REGISTER\r\n%s"
             "Contact: <sip:%s@192.0.2.9:%u>%s;+sip.instance=\"<urn:uuid:%u>\"\r\n"
             "Supported: path, outbound\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n",
             via, number, name, name, name, flow, number, path, name,
             way == PLAIN ? 7000 + flow : 5060, reg_id, way == PLAIN ? flow : 1);
    world_feed(&w, text, &source);
    assert_int_equal(1, w.sent_count);
    if (strncmp(w.sent[0].text, "SIP/2.0 200", 11) != 0)
        fail_msg("%s", w.sent[0].text);
}

static void register_flow(const char *name, unsigned flow)
{
    register_by(BY_EDGE, name, flow);
}

/* Which edge the call that was sent just now goes to: 1 or 2; 0: none. */
static unsigned sent_to(void)
{
    for (unsigned i = 0; i < w.sent_count; i++)
        if (strncmp(w.sent[i].text, "INVITE ", 7) == 0)
            return w.sent[i].to.remote.port - 7000u;
    return 0;
}

static void call(const char *name)
{
    struct flow source = world_flow(6060, NULL);
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "INVITE sip:%s@example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:6060;branch=z9hG4bKc%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:caller@example.com>;tag=f\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: call-%u\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@192.0.2.1:6060>\r\n"
             "Content-Length: 0\r\n\r\n",
             name, number, name, number);
    world_feed(&w, text, &source);
}

/* The edge of the call that was sent just now answers 430. */
static void say_dead(void)
{
    char text[WORLD_TEXT_MAX], request[WORLD_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct flow source;

    for (unsigned i = 0; i < w.sent_count; i++)
        if (strncmp(w.sent[i].text, "INVITE ", 7) == 0) {
            snprintf(request, sizeof request, "%s", w.sent[i].text);
            source = world_flow(w.sent[i].to.remote.port, NULL);
        }
    builder_text(&b, "SIP/2.0 430 Flow Failed\r\n");
    for (char *line = strchr(request, '\n') + 1, *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1) {
        bool wanted = strchr("VFTC", *line) != NULL && strncmp(line, "Contact", 7) != 0 &&
                      strncmp(line, "Content", 7) != 0;
        if (wanted)
            builder_add(&b, (struct slice){line, (size_t)(end + 1 - line)});
        if (strncmp(line, "To:", 3) == 0) {
            b.len -= 2;
            builder_text(&b, ";tag=edge\r\n");
        }
    }
    builder_text(&b, "Content-Length: 0\r\n\r\n");
    world_feed_bytes(&w, builder_slice(&b), &source);
}

/* The flows that are marked lost, as bits; asserts that there are two. */
static unsigned lost_flows(void)
{
    unsigned lost = 0, count = 0;

    for (unsigned i = 0; i < WORLD_AORS; i++) {
        struct slice block = {w.entries[i].block, w.entries[i].block_len};
        struct binding binding;
        uint32_t cursor = 0;
        while (block.len > 0 && binding_next(block, &cursor, &binding)) {
            count++;
            lost |= binding.flow_lost ? 1u << binding.reg_id : 0;
        }
    }
    assert_int_equal(2, count);
    return lost;
}

static void a_flow_that_an_edge_has_given_up_is_not_tried_again(void **state)
{
    (void)state;
    open_world();
    register_flow("bob", 1);
    register_flow("bob", 2);
    call("bob");
    unsigned first = sent_to();
    assert_in_range(first, 1, 2);
    assert_int_equal(0, lost_flows());

    say_dead();
    assert_int_equal(3 - first, sent_to()); /* the next flow */
    assert_int_equal(1u << first, lost_flows());
    call("bob");
    assert_int_equal(3 - first, sent_to());

    register_flow("bob", first); /* it is back */
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

static void the_owner_of_the_bindings_is_told(void **state)
{
    char name[16];

    (void)state;
    open_world();
    do
        snprintf(name, sizeof name, "u%u", number++);
    while (table_owner(core_aor_hash(&w.config, slice_of(name)), 2) != 1);
    register_flow(name, 1);
    register_flow(name, 2);

    w.config.workers = 2;
    world_reopen(&w);
    do
        call(name); /* until one is ours */
    while (sent_to() == 0);
    unsigned first = sent_to();
    w.mail_count = 0;
    say_dead();
    assert_int_equal(0, lost_flows());
    assert_int_equal(1, w.mail_count);
    assert_int_equal(1, w.mail[0].to);
    assert_int_equal(CORE_MAIL_FLOW_FAILED, w.mail[0].mail.kind);

    w.config.worker = 1;
    world_reopen(&w);
    core_mail(w.core, &w.mail[0].mail, w.now_ms, w.wall_ms);
    assert_int_equal(1u << first, lost_flows());
    core_mail(w.core, &w.mail[0].mail, w.now_ms, w.wall_ms); /* twice is once */
    assert_int_equal(1u << first, lost_flows());
    world_close(&w);
}

/* The call that was sent just now finds no port there, or no way. What follows is in w.sent. */
static void refuse(bool closed)
{
    char request[WORLD_TEXT_MAX] = "";

    for (unsigned i = 0; i < w.sent_count; i++)
        if (strncmp(w.sent[i].text, "INVITE ", 7) == 0)
            snprintf(request, sizeof request, "%s", w.sent[i].text);
    core_send_failed(w.core, slice_of(request), closed, w.now_ms, w.wall_ms);
    w.sent_count = 0;
    world_pass(&w, 1);
}

static void a_flow_whose_port_is_closed_is_not_tried_again(void **state)
{
    (void)state;
    open_world();
    register_by(DIRECT, "bob", 1);
    register_by(DIRECT, "bob", 2);
    call("bob");
    unsigned first = sent_to();
    assert_in_range(first, 1, 2);

    refuse(true);
    assert_int_equal(3 - first, sent_to()); /* the next flow */
    assert_int_equal(1u << first, lost_flows());
    call("bob");
    assert_int_equal(3 - first, sent_to());

    register_by(DIRECT, "bob", first); /* it is back */
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

static void a_flow_that_no_way_leads_to_now_may_be_there_later(void **state)
{
    (void)state;
    open_world();
    register_by(DIRECT, "bob", 1);
    register_by(DIRECT, "bob", 2);
    call("bob");
    unsigned first = sent_to();
    refuse(false);
    assert_int_equal(3 - first, sent_to());
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

static void a_registration_that_came_meanwhile_is_another(void **state)
{
    char request[WORLD_TEXT_MAX];

    (void)state;
    open_world();
    register_by(DIRECT, "bob", 1);
    register_by(DIRECT, "bob", 2);
    call("bob");
    unsigned first = sent_to();
    for (unsigned i = 0; i < w.sent_count; i++)
        if (strncmp(w.sent[i].text, "INVITE ", 7) == 0)
            snprintf(request, sizeof request, "%s", w.sent[i].text);
    world_pass(&w, 10);
    register_by(DIRECT, "bob", first); /* from the same port, which was closed a moment ago */
    core_send_failed(w.core, slice_of(request), true, w.now_ms, w.wall_ms);
    world_pass(&w, 1);
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

static void a_phone_without_flows_is_tried_again(void **state)
{
    (void)state;
    open_world();
    register_by(PLAIN, "bob", 1);
    register_by(PLAIN, "bob", 2);
    call("bob");
    refuse(true);
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

/* What a closed port at an edge means is for the edge to say: it may be back in a second. */
static void an_edge_whose_port_is_closed_has_lost_no_flow(void **state)
{
    (void)state;
    open_world();
    register_flow("bob", 1);
    register_flow("bob", 2);
    call("bob");
    unsigned first = sent_to();
    refuse(true);
    assert_int_equal(3 - first, sent_to());
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

/* A phone may answer anything: it is there. */
static void a_430_of_the_phone_itself_is_only_its_answer(void **state)
{
    (void)state;
    open_world();
    register_by(DIRECT, "bob", 1);
    register_by(DIRECT, "bob", 2);
    call("bob");
    say_dead();
    assert_int_equal(0, lost_flows());
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flow_that_an_edge_has_given_up_is_not_tried_again),
        cmocka_unit_test(the_owner_of_the_bindings_is_told),
        cmocka_unit_test(a_flow_whose_port_is_closed_is_not_tried_again),
        cmocka_unit_test(a_flow_that_no_way_leads_to_now_may_be_there_later),
        cmocka_unit_test(a_registration_that_came_meanwhile_is_another),
        cmocka_unit_test(a_phone_without_flows_is_tried_again),
        cmocka_unit_test(an_edge_whose_port_is_closed_has_lost_no_flow),
        cmocka_unit_test(a_430_of_the_phone_itself_is_only_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
