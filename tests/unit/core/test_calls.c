/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "world.h"

static struct world w;

/** A request from 192.0.2.1:6060 to `uri`; gives what was sent first that is no 100. */
static const char *request(const char *method, const char *uri, const char *to_tag)
{
    static unsigned number;
    struct flow source = world_flow(6060, NULL);
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:6060;branch=z9hG4bKc%u;rport\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:caller@example.com>;tag=f\r\nTo: <%s>%s\r\n"
             "Call-ID: call-%u\r\nCSeq: 1 %s\r\nContact: <sip:caller@192.0.2.1:6060>\r\n"
             "Content-Length: 0\r\n\r\n",
             method, uri, number, uri, to_tag, number, method);
    world_feed(&w, text, &source);
    for (unsigned i = 0; i < w.sent_count; i++)
        if (strncmp(w.sent[i].text, "SIP/2.0 100", 11) != 0)
            return w.sent[i].text;
    return "";
}

static void check(const char *why, const char *got, const char *wanted)
{
    if (strncmp(got, wanted, strlen(wanted)) != 0)
        fail_msg("%s: %.60s", why, got);
}

static void who_does_not_want_to_be_disturbed_is_not_rung(void **state)
{
    (void)state;
    static const char refused[] = "SIP/2.0 480 Do not disturb\r\n";
    struct user users[] = {
        {.name = SLICE("alice"), .extension = SLICE("101"), .do_not_disturb = true},
        {.name = SLICE("bob"), .extension = SLICE("102")},
        {.name = SLICE("carol")},
        {.name = SLICE("dave"), .do_not_disturb = true},
    };
    struct flow alice = world_flow(7001, NULL), bob = world_flow(7002, NULL);

    world_open(&w, 1, users, COUNT_OF(users));
    world_register(&w, "alice", 1, 600, &alice);
    world_register(&w, "bob", 1, 600, &bob);

    check("by name", request("INVITE", "sip:alice@example.com", ""), refused);
    check("by extension", request("INVITE", "sip:101@example.com", ""), refused);
    check("without a phone", request("INVITE", "sip:dave@example.com", ""), refused);
    check("another", request("INVITE", "sip:bob@example.com", ""),
          "INVITE sip:bob@192.0.2.1:7002 ");
    check("another without a phone", request("INVITE", "sip:carol@example.com", ""),
          "SIP/2.0 480 Temporarily");
    check("a message is no call", request("MESSAGE", "sip:alice@example.com", ""),
          "MESSAGE sip:alice@192.0.2.1:7001 ");
    check("a call that is up already", request("INVITE", "sip:alice@example.com", ";tag=t"),
          "INVITE sip:alice@192.0.2.1:7001 ");

    struct core_status status;
    core_status(w.core, &status);
    assert_int_equal(3, status.counters.refused[CORE_R_DO_NOT_DISTURB]);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_want_to_be_disturbed_is_not_rung),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
