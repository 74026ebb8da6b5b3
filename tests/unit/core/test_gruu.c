/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to GRUUs (RFC 5627 §6): to this instance only, and to nobody else's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

static struct world world;
static const struct user users[] = {{.name = {"alice", 5}}, {.name = {"bob", 3}}};

static int set_up(void **state)
{
    (void)state;
    world_open(&world, 1, users, COUNT_OF(users));
    world.config.registrar.gruu = true;
    world.config.token_key = (struct hash_key){{5, 6}};
    world_reopen(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* REGISTER of bob's: his phone `port` with its instance. */
static void bob_registers(uint16_t port, const char *call_id, unsigned expires)
{
    static unsigned cseq;
    struct flow source = world_flow(port, NULL);
    char text[WORLD_TEXT_MAX];

    cseq++;
    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bKr%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n"
             "Call-ID: %s\r\nCSeq: %u REGISTER\r\nSupported: gruu\r\n"
             "Contact: <sip:bob@192.0.2.1:%u>;expires=%u;+sip.instance=\"<urn:uuid:%u>\"\r\n"
             "Content-Length: 0\r\n\r\n",
             port, cseq, call_id, cseq, port, expires, port);
    world_feed(&world, text, &source);
    assert_int_equal(1, world.sent_count);
    assert_memory_equal("SIP/2.0 200", world.sent[0].text, 11);
}

/* The URI in the 200's parameter of the phone `port`. */
static void told(uint16_t port, const char *param, char uri[static 256])
{
    char contact[64];

    snprintf(contact, sizeof contact, "<sip:bob@192.0.2.1:%u>", port);
    const char *at = strstr(world.sent[0].text, contact);
    assert_non_null(at);
    at = strstr(at, param);
    assert_non_null(at);
    at += strlen(param);
    snprintf(uri, 256, "%.*s", (int)strcspn(at, "\""), at);
}

/* A request of a stranger's to `uri`; returns the status of our refusal, or the port it went to. */
static unsigned result_of(const char *method, const char *uri)
{
    static unsigned number;
    struct flow source = world_flow(9000, NULL);
    char text[WORLD_TEXT_MAX];

    source.remote.bytes[3] = 200;
    number++;
    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.200:9000;branch=z9hG4bKs%u\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:x@elsewhere.example>;tag=x%u\r\nTo: <%s>\r\n"
             "Call-ID: s%u\r\nCSeq: 1 %s\r\nContact: <sip:x@192.0.2.200:9000>\r\n"
             "Content-Length: 0\r\n\r\n",
             method, uri, number, number, uri, number, method);
    world_feed(&world, text, &source);
    if (world.sent_count == 0)
        return 0;
    const struct world_sent *last = &world.sent[world.sent_count - 1];
    if (strncmp(last->text, "SIP/2.0 ", 8) == 0)
        return (unsigned)strtoul(last->text + 8, NULL, 10);
    /* What came with the GRUU leaves with the contact. */
    char line[64];
    snprintf(line, sizeof line, "%s sip:bob@192.0.2.1:%u SIP/2.0\r\n", method,
             last->to.remote.port);
    assert_memory_equal(line, last->text, strlen(line));
    return last->to.remote.port;
}

static unsigned invites(const char *uri)
{
    return result_of("INVITE", uri);
}

static void a_gruu_leads_to_one_phone_of_the_user(void **state)
{
    char public[256], temporary[256];

    (void)state;
    bob_registers(6001, "c1", 600);
    bob_registers(6002, "c2", 600);
    for (uint16_t port = 6001; port <= 6002; port++) {
        told(port, "pub-gruu=\"", public);
        told(port, "temp-gruu=\"", temporary);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "sip:bob@example.com;gr=urn:uuid:%u", port);
        assert_string_equal(wanted, public);
        const char *const ways[] = {"INVITE", "MESSAGE", "OPTIONS"};
        char kept[WORLD_TEXT_MAX];
        memcpy(kept, world.sent[0].text, sizeof kept);
        for (size_t i = 0; i < COUNT_OF(ways); i++) {
            assert_int_equal(port, result_of(ways[i], public));
            assert_int_equal(port, result_of(ways[i], temporary));
            assert_true(world.sent_count <= 2); /* a 100, and that one */
        }
        memcpy(world.sent[0].text, kept, sizeof kept);
    }
    assert_int_equal(6001, invites("sip:b%6fb@EXAMPLE.com;x=y;gr=URN:uuid:6001"));
}

static void a_public_one_is_480_while_its_phone_is_away(void **state)
{
    (void)state;
    assert_int_equal(480, invites("sip:bob@example.com;gr=urn:uuid:6001"));
    bob_registers(6001, "c1", 600);
    assert_int_equal(6001, invites("sip:bob@example.com;gr=urn:uuid:6001"));
    assert_int_equal(480, invites("sip:bob@example.com;gr=urn:uuid:6002"));
    assert_int_equal(480, invites("sip:alice@example.com;gr=urn:uuid:6001")); /* another's */
    assert_int_equal(404, invites("sip:carol@example.com;gr=urn:uuid:6001"));
    bob_registers(6001, "c1", 0);
    assert_int_equal(480, invites("sip:bob@example.com;gr=urn:uuid:6001"));
}

static void a_temporary_one_ends_with_call_id_and_registration(void **state)
{
    char old[256], fresh[256];

    (void)state;
    bob_registers(6001, "c1", 600);
    told(6001, "temp-gruu=\"", old);
    world_pass(&world, 1000);
    bob_registers(6001, "c1", 600);
    told(6001, "temp-gruu=\"", fresh);
    assert_string_not_equal(old, fresh);
    assert_int_equal(6001, invites(old));
    assert_int_equal(6001, invites(fresh));

    bob_registers(6001, "c9", 600); /* another Call-ID */
    assert_int_equal(404, invites(old));
    assert_int_equal(404, invites(fresh));
    bob_registers(6001, "c9", 600);
    told(6001, "temp-gruu=\"", fresh);
    assert_int_equal(6001, invites(fresh));
    world_reopen(&world); /* it is in the binding, and the key is kept */
    assert_int_equal(6001, invites(fresh));
    bob_registers(6001, "c9", 0);
    assert_int_equal(404, invites(fresh));
    world_pass(&world, 1000);
    bob_registers(6001, "c9", 600);
    assert_int_equal(404, invites(fresh));
}

static void what_is_no_gruu_of_ours_is_404(void **state)
{
    char uri[256];

    (void)state;
    bob_registers(6001, "c1", 600);
    told(6001, "temp-gruu=\"", uri);
    assert_int_equal(404, invites("sip:bob@example.com;gr")); /* an AOR is none */
    assert_int_equal(404, invites("sip:tgruu.@example.com;gr"));
    for (size_t i = 4 + 6; i < 4 + 6 + 64; i += 7) {
        char kept = uri[i];
        uri[i] = kept == '0' ? '1' : '0';
        assert_int_equal(404, invites(uri));
        uri[i] = kept;
    }
    *strchr(uri, ';') = '\0'; /* without gr it is a user that nobody is */
    assert_int_equal(404, invites(uri));
}

static void who_wants_no_calls_is_not_called_by_a_gruu(void **state)
{
    static const struct user busy = {.name = {"bob", 3}, .do_not_disturb = true};
    char temporary[256];

    (void)state;
    world_close(&world);
    world_open(&world, 1, &busy, 1);
    world.config.registrar.gruu = true;
    world_reopen(&world);
    bob_registers(6001, "c1", 600);
    told(6001, "temp-gruu=\"", temporary);
    assert_int_equal(480, invites("sip:bob@example.com;gr=urn:uuid:6001"));
    assert_int_equal(480, invites(temporary));
    assert_int_equal(6001, result_of("MESSAGE", temporary));
}

/* ---- in a dialog ---- */

/* The value of a field of what was sent last. */
static void sent_value(const char *name, char out[static 512])
{
    const char *line = strstr(world.sent[world.sent_count - 1].text, name);

    assert_non_null(line);
    line += strlen(name) + 2;
    snprintf(out, 512, "%.*s", (int)strcspn(line, "\r"), line);
}

/* The caller's request in the dialog of the last INVITE, with its Route. */
static void in_dialog(const char *method, const char *uri, const char *routes)
{
    static unsigned number;
    struct flow source = world_flow(9000, NULL);
    char text[WORLD_TEXT_MAX], call_id[512], from[512];

    source.remote.bytes[3] = 200;
    sent_value("Call-ID", call_id);
    sent_value("From", from);
    number++;
    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.200:9000;branch=z9hG4bKd%u\r\n"
             "Max-Forwards: 70\r\n%sFrom: %s\r\nTo: <sip:bob@example.com>;tag=t\r\n"
             "Call-ID: %s\r\nCSeq: %u %s\r\nContent-Length: 0\r\n\r\n",
             method, uri, number, routes, from, call_id, number + 1, method);
    world_feed(&world, text, &source);
}

/* linphone answers with its GRUU as Contact: ACK and BYE come with it (see RFC 5627 §6.1). */
static void requests_in_a_dialog_find_the_phone_by_its_gruu(void **state)
{
    static const char *const methods[] = {"ACK", "INFO", "BYE"};
    char route[512], lines[600], invite[WORLD_TEXT_MAX];

    (void)state;
    bob_registers(6002, "c2", 600);
    bob_registers(6001, "c1", 600);
    assert_int_equal(6001, invites("sip:bob@example.com;gr=urn:uuid:6001"));
    sent_value("Record-Route", route);
    snprintf(lines, sizeof lines, "Route: %s\r\n", route);
    memcpy(invite, world.sent[world.sent_count - 1].text, sizeof invite);
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        in_dialog(methods[i], "sip:bob@example.com;gr=urn:uuid:6001", lines);
        assert_int_equal(1, world.sent_count);
        char start[64];
        snprintf(start, sizeof start, "%s sip:bob@192.0.2.1:6001 SIP/2.0\r\n", methods[i]);
        assert_memory_equal(start, world.sent[0].text, strlen(start));
        assert_int_equal(6001, world.sent[0].to.remote.port);
        memcpy(world.sent[0].text, invite, sizeof invite);
    }

    /* With a Route left that is the way, and the phone's contact the Request-URI. */
    world.config.trusted = &(struct addr_net){{ADDR_V4, 0, 0, 0, {192, 0, 2, 200}}, 32};
    world.config.trusted_count = 1;
    world_reopen(&world);
    memcpy(world.sent[0].text, invite, sizeof invite);
    world.sent_count = 1;
    snprintf(lines, sizeof lines, "Route: %s\r\nRoute: <sip:192.0.2.99:5080;lr>\r\n", route);
    in_dialog("INFO", "sip:bob@example.com;gr=urn:uuid:6001", lines);
    assert_int_equal(1, world.sent_count);
    assert_memory_equal("INFO sip:bob@192.0.2.1:6001 SIP/2.0\r\n", world.sent[0].text, 37);
    assert_int_equal(5080, world.sent[0].to.remote.port);
}

int main(void)
{
#define GRUU_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        GRUU_TEST(a_gruu_leads_to_one_phone_of_the_user),
        GRUU_TEST(a_public_one_is_480_while_its_phone_is_away),
        GRUU_TEST(a_temporary_one_ends_with_call_id_and_registration),
        GRUU_TEST(what_is_no_gruu_of_ours_is_404),
        GRUU_TEST(who_wants_no_calls_is_not_called_by_a_gruu),
        GRUU_TEST(requests_in_a_dialog_find_the_phone_by_its_gruu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
