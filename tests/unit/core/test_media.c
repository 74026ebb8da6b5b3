/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that cannot have audio: which are named, when, and what becomes of them; and which are not,
 * though they look like it.
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

#define HEAD(host)  "v=0\r\no=- 1 1 IN IP4 " host "\r\ns=-\r\nc=IN IP4 " host "\r\nt=0 0\r\n"
#define PLAIN(host) HEAD(host) "m=audio 4000 RTP/AVP 0\r\n"
#define SDES(host)                                                                                 \
    HEAD(host) "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"
#define DTLS(host)                                                                                 \
    HEAD(host)                                                                                     \
    "m=audio 4000 UDP/TLS/RTP/SAVPF 0\r\na=fingerprint:sha-256 AA\r\na=ice-ufrag:a\r\n"            \
    "a=setup:actpass\r\n"
#define EITHER(host) PLAIN(host) "a=fingerprint:sha-256 AA\r\na=ice-ufrag:a\r\n"
#define ICE(host)    PLAIN(host) "a=ice-ufrag:a\r\na=ice-pwd:b\r\n"
#define NONE         ""

#define OUTSIDE "198.51.100.1" /* a NAT */
#define ELSE    "203.0.113.1"  /* a phone without one */
#define HOME    "192.168.1.2"
#define OFFICE  "192.168.7.7"

struct phone {
    uint8_t transport;
    const char *seen; /* by which address we see him */
    const char *self; /* what he calls himself */
};

struct call {
    const char *why;
    struct phone caller;
    const char *offer;
    struct phone callee;
    uint16_t status; /* of the response; 0: there is none */
    const char *answer;
    enum core_media_gap at_offer, at_answer;
    bool refused; /* where that is configured */
};

#define NATED                                                                                      \
    {                                                                                              \
        TRANSPORT_UDP, OUTSIDE, HOME                                                               \
    }
#define DIRECT                                                                                     \
    {                                                                                              \
        TRANSPORT_UDP, ELSE, ELSE                                                                  \
    }
#define BROWSER                                                                                    \
    {                                                                                              \
        TRANSPORT_WS, ELSE, "x.invalid"                                                            \
    }
#define SECURE                                                                                     \
    {                                                                                              \
        TRANSPORT_TLS, ELSE, ELSE                                                                  \
    }

// clang-format off
static const struct call calls[] = {
    {"phones that see each other", DIRECT, PLAIN(ELSE), DIRECT, 200, PLAIN(ELSE), 0, 0, false},
    {"a private address across a NAT", NATED, PLAIN(HOME), DIRECT, 0, NULL,
     CORE_MEDIA_PRIVATE_OFFER, 0, true},
    {"once is enough", NATED, PLAIN(HOME), NATED, 200, PLAIN(HOME),
     0, 0, false}, /* behind the same NAT: nothing is wrong at all */
    {"the phone knows its outer address", NATED, PLAIN(OUTSIDE), DIRECT, 200, PLAIN(ELSE), 0, 0,
     false},
    {"with ICE", NATED, ICE(HOME), DIRECT, 200, PLAIN(ELSE), 0, 0, false},
    {"on hold from the beginning", NATED, PLAIN("0.0.0.0"), DIRECT, 200, PLAIN(ELSE), 0, 0, false},
    {"a name for an address", NATED, PLAIN("phone.example.net"), DIRECT, 0, NULL, 0, 0, false},
    {"no audio", NATED, HEAD(HOME) "m=image 4000 udptl t38\r\n", DIRECT, 0, NULL, 0, 0, false},
    {"garbage", NATED, "c=IN IP4 " HOME, DIRECT, 200, "v=0\r\nm=audio", 0, 0, false},
    {"the callee's private address across a NAT", DIRECT, PLAIN(ELSE), NATED, 200, PLAIN(HOME), 0,
     CORE_MEDIA_PRIVATE_ANSWER, false},
    {"the same when it rings", DIRECT, PLAIN(ELSE), NATED, 183, PLAIN(HOME), 0,
     CORE_MEDIA_PRIVATE_ANSWER, false},
    {"the same without an offer in the INVITE", DIRECT, NONE, NATED, 200, PLAIN(HOME), 0,
     CORE_MEDIA_PRIVATE_ANSWER, false},
    {"the callee knows its outer address", DIRECT, PLAIN(ELSE), NATED, 200, PLAIN(OUTSIDE), 0, 0,
     false},
    {"one network, seen by its own addresses", {TRANSPORT_UDP, HOME, HOME}, PLAIN(HOME), DIRECT, 0,
     NULL, 0, 0, false},
    {"media on another machine of that network", {TRANSPORT_UDP, HOME, "192.168.1.3"},
     PLAIN(OFFICE), DIRECT, 0, NULL, 0, 0, false},
    {"a NAT within a private network", {TRANSPORT_UDP, "10.9.9.9", HOME}, PLAIN(HOME), DIRECT, 0,
     NULL, CORE_MEDIA_PRIVATE_OFFER, 0, true},
    {"a phone on this machine", {TRANSPORT_UDP, "127.0.0.1", OFFICE}, PLAIN(OFFICE), DIRECT, 0,
     NULL,
     0, 0, false},

    {"plain RTP to a browser", DIRECT, PLAIN(ELSE), BROWSER, 488, NULL,
     CORE_MEDIA_TO_BROWSER, 0, true},
    {"SRTP with keys in the offer to a browser", DIRECT, SDES(ELSE), BROWSER, 488, NULL,
     CORE_MEDIA_TO_BROWSER, 0, true},
    {"plain or DTLS-SRTP to a browser", DIRECT, EITHER(ELSE), BROWSER, 200, DTLS(ELSE), 0, 0,
     false},
    {"two browsers", BROWSER, DTLS("0.0.0.0"), BROWSER, 200, DTLS("0.0.0.0"), 0, 0, false},
    {"a browser that wants no call", BROWSER, DTLS("0.0.0.0"), BROWSER, 488, NULL, 0, 0, false},
    {"a phone with DTLS-SRTP calls a browser", SECURE, DTLS(ELSE), BROWSER, 200, DTLS(ELSE), 0, 0,
     false},
    {"no offer, a browser's in the answer", DIRECT, NONE, BROWSER, 200, DTLS(ELSE), 0, 0, false},
    {"a browser that offers nothing gets plain RTP", BROWSER, NONE, DIRECT, 200, PLAIN(ELSE), 0,
     CORE_MEDIA_TO_BROWSER, false},

    {"a browser to a phone that answers plainly", BROWSER, DTLS(ELSE), DIRECT, 200, PLAIN(ELSE), 0,
     CORE_MEDIA_FROM_BROWSER, true},
    {"a browser to a phone that refuses", BROWSER, DTLS(ELSE), DIRECT, 488, NULL, 0,
     CORE_MEDIA_FROM_BROWSER, true},
    {"a browser to a phone that refuses the audio", BROWSER, DTLS(ELSE), DIRECT, 200,
     HEAD(ELSE) "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n", 0, CORE_MEDIA_FROM_BROWSER, true},
    {"a browser to a busy phone", BROWSER, DTLS(ELSE), DIRECT, 486, NULL, 0, 0, true},
    {"a browser to a phone on TLS, which may well take it", BROWSER, DTLS(ELSE), SECURE, 200,
     DTLS(ELSE), 0, 0, false},
    {"a browser to a phone on TLS that does not", BROWSER, DTLS(ELSE), SECURE, 606, NULL, 0,
     CORE_MEDIA_FROM_BROWSER, false},

    {"SRTP that is refused", SECURE, SDES(ELSE), DIRECT, 488, NULL, 0, CORE_MEDIA_SRTP, false},
    {"SRTP that is answered plainly", SECURE, SDES(ELSE), DIRECT, 200, PLAIN(ELSE), 0,
     CORE_MEDIA_SRTP, false},
    {"SRTP on both sides", SECURE, SDES(ELSE), SECURE, 200, SDES(ELSE), 0, 0, false},
    {"plain RTP, refused for its codecs", SECURE, PLAIN(ELSE), DIRECT, 488, NULL, 0, 0, false},
};
// clang-format on

static struct world world;
static struct listener listeners[] = {
    {.transport = TRANSPORT_UDP,
     .bound = {.family = ADDR_V4, .port = 5060, .bytes = {192, 0, 2, 9}}},
    {.transport = TRANSPORT_TLS,
     .bound = {.family = ADDR_V4, .port = 5061, .bytes = {192, 0, 2, 9}}},
    {.transport = TRANSPORT_WS, .bound = {.family = ADDR_V4, .port = 80, .bytes = {192, 0, 2, 9}}},
};
static const struct user users[] = {{.name = {"alice", 5}}, {.name = {"bob", 3}}};
static struct addr local[1];
static char logged[512];

static void keep_log(void *user, enum core_log_level level, const char *event, struct slice text)
{
    (void)user;
    if (level == CORE_LOG_WARNING && strcmp(event, "no_audio") == 0)
        snprintf(logged, sizeof logged, "%.*s", SLICE_ARG(text));
}

static void begin(bool refuse)
{
    logged[0] = '\0';
    world_open(&world, 1, users, COUNT_OF(users));
    assert_int_equal(OK, addr_parse(SLICE(OFFICE), 0, &local[0]));
    world.config.listeners = listeners;
    world.config.listener_count = COUNT_OF(listeners);
    world.config.local_addrs = local;
    world.config.local_addr_count = COUNT_OF(local);
    world.config.refuse_no_audio = refuse;
    world.config.ops.log = keep_log;
    world_reopen(&world);
}

static struct flow flow_of(const struct phone *phone, uint16_t port)
{
    struct flow flow = {
        .transport = phone->transport, .listener = LISTENER_ANY, .local = listeners[0].bound};

    if (addr_parse(slice_of(phone->seen), port, &flow.remote) != OK)
        fail_msg("%s", phone->seen);
    for (uint8_t i = 0; i < COUNT_OF(listeners); i++)
        if (listeners[i].transport == phone->transport)
            flow.listener = i;
    if (transport_reliable((enum transport)phone->transport))
        flow.conn = (struct conn_id){.id = {.slot = port, .generation = 1}};
    return flow;
}

static const char *via_name(const struct phone *phone)
{
    static const char *const names[] = {"", "UDP", "TCP", "TLS", "WS", "WSS"};
    return names[phone->transport];
}

static void callee_registers(const struct phone *phone, const char *name, uint16_t port)
{
    struct flow source = flow_of(phone, port);
    char text[WORLD_TEXT_MAX];

    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/%s %s:%u;branch=z9hG4bKr%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n"
             "Call-ID: reg-%s\r\nCSeq: 1 REGISTER\r\nContact: <sip:%s@%s:%u;transport=%s>\r\n"
             "Content-Length: 0\r\n\r\n",
             via_name(phone), phone->self, port, port, name, name, phone->self, port,
             via_name(phone));
    world_feed(&world, text, &source);
    assert_int_equal(1, world.sent_count);
    assert_memory_equal("SIP/2.0 200", world.sent[0].text, 11);
}

static void write_body(struct builder *b, const char *sdp)
{
    struct slice body = slice_of(sdp != NULL ? sdp : "");

    if (body.len > 0)
        builder_text(b, "Content-Type: application/sdp\r\n");
    builder_text(b, "Content-Length: ");
    builder_u64(b, body.len);
    builder_text(b, "\r\n\r\n");
    builder_add(b, body);
    assert_false(b->overflow);
}

/** `further`: another Via, of a phone behind who sends it; or "". */
static void caller_invites(const struct phone *phone, const char *further, const char *offer)
{
    struct flow source = flow_of(phone, 7000);
    char head[1024], text[WORLD_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);

    snprintf(
        head, sizeof head,
        "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/%s %s:7000;branch=z9hG4bKi;rport\r\n"
        "%sMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\n"
        "To: <sip:bob@example.com>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:alice@%s:7000>\r\n",
        via_name(phone), phone->self, further, phone->self);
    builder_add(&b, slice_of(head));
    write_body(&b, offer);
    world_feed_bytes(&world, builder_slice(&b), &source);
}

/** The lines of the forwarded INVITE that a response has, too. */
static void copy_lines(struct builder *b, const char *invite)
{
    static const char *const names[] = {
        "Via:", "Record-Route:", "From:", "To:", "Call-ID:", "CSeq:"};

    for (const char *line = invite; line[0] != '\r'; line = strstr(line, "\r\n") + 2) {
        size_t len = strcspn(line, "\r");
        for (size_t i = 0; i < COUNT_OF(names); i++)
            if (strncmp(line, names[i], strlen(names[i])) == 0) {
                builder_add(b, (struct slice){line, len});
                if (strcmp(names[i], "To:") == 0)
                    builder_text(b, ";tag=b");
                builder_text(b, "\r\n");
            }
    }
}

static void callee_answers(const struct phone *phone, uint16_t port, const char *invite,
                           unsigned status, const char *answer)
{
    struct flow source = flow_of(phone, port);
    char head[256], text[WORLD_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);

    snprintf(head, sizeof head, "SIP/2.0 %u X\r\nContact: <sip:bob@%s:%u>\r\n", status, phone->self,
             port);
    builder_add(&b, slice_of(head));
    copy_lines(&b, invite);
    write_body(&b, answer);
    world_feed_bytes(&world, builder_slice(&b), &source);
}

/** The one gap that was counted; FITS: none was. */
static enum core_media_gap counted(const char *why)
{
    struct core_status status;
    enum core_media_gap found = CORE_MEDIA_FITS;

    core_status(world.core, &status);
    for (int gap = CORE_MEDIA_FITS + 1; gap < CORE_MEDIA_COUNT; gap++) {
        uint64_t count = status.counters.media_gaps[gap];
        if (count > 1 || (count == 1 && found != CORE_MEDIA_FITS))
            fail_msg("%s: more than one was counted", why);
        if (count == 1)
            found = (enum core_media_gap)gap;
    }
    if ((found == CORE_MEDIA_FITS) != (logged[0] == '\0'))
        fail_msg("%s: the log says \"%s\"", why, logged);
    if (found != CORE_MEDIA_FITS && strstr(logged, core_media_gap_missing(found)) == NULL)
        fail_msg("%s: the log says \"%s\"", why, logged);
    return found;
}

static const char *sent_invite(const char *why)
{
    for (unsigned i = 0; i < world.sent_count; i++)
        if (strncmp(world.sent[i].text, "INVITE ", 7) == 0)
            return world.sent[i].text;
    fail_msg("%s: it was not forwarded, but: %.60s", why, world.sent[0].text);
    return NULL;
}

static void a_call_without_audio_goes_through_and_is_named_once(void **state)
{
    char invite[WORLD_TEXT_MAX];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const struct call *call = &calls[i];
        begin(false);
        callee_registers(&call->callee, "bob", 6000);
        caller_invites(&call->caller, "", call->offer);
        if (counted(call->why) != call->at_offer)
            fail_msg("%s: %s when it was forwarded", call->why,
                     core_media_gap_name(counted(call->why)));
        snprintf(invite, sizeof invite, "%s", sent_invite(call->why));
        if (call->status != 0)
            callee_answers(&call->callee, 6000, invite, call->status, call->answer);
        enum core_media_gap said =
            call->at_offer != CORE_MEDIA_FITS ? call->at_offer : call->at_answer;
        if (counted(call->why) != said)
            fail_msg("%s: %s in the end", call->why, core_media_gap_name(counted(call->why)));
        world_close(&world);
    }
}

static void it_is_refused_with_a_warning_where_that_is_configured(void **state)
{
    (void)state;

    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        const struct call *call = &calls[i];
        begin(true);
        callee_registers(&call->callee, "bob", 6000);
        caller_invites(&call->caller, "", call->offer);
        if (!call->refused) {
            sent_invite(call->why);
            world_close(&world);
            continue;
        }
        bool browser = call->at_offer != CORE_MEDIA_PRIVATE_OFFER;
        if (world.sent_count != 1 || strncmp(world.sent[0].text, "SIP/2.0 488 ", 12) != 0)
            fail_msg("%s: %.60s", call->why, world.sent[0].text);
        if (strstr(world.sent[0].text, browser ? "\r\nWarning: 302 strowger \""
                                               : "\r\nWarning: 399 strowger \"") == NULL)
            fail_msg("%s: %s", call->why, world.sent[0].text);
        if (counted(call->why) == CORE_MEDIA_FITS)
            fail_msg("%s: it was not counted", call->why);
        world_close(&world);
    }
}

static const struct phone browser_phone = BROWSER, direct_phone = DIRECT, nated_phone = NATED;

/* ---- more than one phone ---- */

static void a_call_that_one_phone_can_take_is_let_through(void **state)
{
    (void)state;

    begin(true);
    callee_registers(&browser_phone, "tab", 6001);
    callee_registers(&direct_phone, "desk", 6002);
    caller_invites(&direct_phone, "", PLAIN(ELSE));
    sent_invite("the desk phone can take it");
    assert_int_equal(CORE_MEDIA_FITS, counted("nothing is wrong with it"));
    world_close(&world);
}

static void a_call_that_no_phone_can_take_is_refused(void **state)
{
    (void)state;

    begin(true);
    callee_registers(&browser_phone, "tab", 6001);
    callee_registers(&direct_phone, "desk", 6002);
    caller_invites(&nated_phone, "", PLAIN(HOME));
    assert_memory_equal("SIP/2.0 488", world.sent[0].text, 11);
    world_close(&world);
}

static void one_phones_refusal_says_nothing_while_another_rings(void **state)
{
    char first[WORLD_TEXT_MAX];
    struct phone seen[2] = {direct_phone, direct_phone};
    (void)state;

    begin(false);
    callee_registers(&seen[0], "desk", 6001);
    callee_registers(&seen[1], "lobby", 6002);
    caller_invites(&browser_phone, "", DTLS(ELSE));
    snprintf(first, sizeof first, "%s", sent_invite("both ring"));
    bool is_desk = strstr(first, "desk@") != NULL;
    callee_answers(&seen[0], is_desk ? 6001 : 6002, first, 488, NULL);
    assert_int_equal(CORE_MEDIA_FITS, counted("the other may take it"));
    world_close(&world);
}

/* ---- what cannot be seen ---- */

static void nothing_is_said_of_a_caller_behind_another_proxy(void **state)
{
    (void)state;

    begin(true);
    callee_registers(&direct_phone, "bob", 6000);
    caller_invites(&nated_phone, "Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKx\r\n", PLAIN(HOME));
    sent_invite("its proxy may know a way");
    assert_int_equal(CORE_MEDIA_FITS, counted("the NAT need not be the phone's"));
    world_close(&world);
}

static void nothing_is_said_of_another_answer_than_the_first(void **state)
{
    char invite[WORLD_TEXT_MAX];
    (void)state;

    begin(false);
    callee_registers(&nated_phone, "bob", 6000);
    caller_invites(&direct_phone, "", PLAIN(ELSE));
    snprintf(invite, sizeof invite, "%s", sent_invite("it rings"));
    callee_answers(&nated_phone, 6000, invite, 183, PLAIN(HOME));
    assert_int_equal(CORE_MEDIA_PRIVATE_ANSWER, counted("early media is lost"));
    callee_answers(&nated_phone, 6000, invite, 200, PLAIN(HOME));
    callee_answers(&nated_phone, 6000, invite, 200, PLAIN(HOME));
    assert_int_equal(CORE_MEDIA_PRIVATE_ANSWER, counted("once for the call"));
    world_close(&world);
}

static void a_re_invite_is_never_refused(void **state)
{
    char invite[WORLD_TEXT_MAX], route[512], text[WORLD_TEXT_MAX];
    struct flow source = flow_of(&nated_phone, 7000);
    struct builder b = builder_over(text, sizeof text);
    (void)state;

    begin(true);
    callee_registers(&direct_phone, "bob", 6000);
    caller_invites(&nated_phone, "", PLAIN(OUTSIDE));
    snprintf(invite, sizeof invite, "%s", sent_invite("the first one is sound"));
    const char *at = strstr(invite, "Record-Route: ");
    assert_non_null(at);
    snprintf(route, sizeof route, "%.*s", (int)strcspn(at, "\r"), at + strlen("Record-"));
    callee_answers(&direct_phone, 6000, invite, 200, PLAIN(ELSE));
    route[strcspn(route, "\r")] = '\0';
    char head[1024];
    snprintf(head, sizeof head,
             "INVITE sip:bob@" ELSE ":6000 SIP/2.0\r\nVia: SIP/2.0/UDP " HOME
             ":7000;branch=z9hG4bKj;rport\r\n%s\r\nMax-Forwards: 70\r\n"
             "From: <sip:alice@example.com>;tag=a\r\nTo: <sip:bob@example.com>;tag=b\r\n"
             "Call-ID: call\r\nCSeq: 2 INVITE\r\nContact: <sip:alice@" HOME ":7000>\r\n",
             route);
    builder_add(&b, slice_of(head));
    write_body(&b, PLAIN(HOME));
    world_feed_bytes(&world, builder_slice(&b), &source);
    sent_invite("a call that is up goes on");
    assert_int_equal(CORE_MEDIA_FITS, counted("and is not looked at"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_without_audio_goes_through_and_is_named_once),
        cmocka_unit_test(it_is_refused_with_a_warning_where_that_is_configured),
        cmocka_unit_test(a_call_that_one_phone_can_take_is_let_through),
        cmocka_unit_test(a_call_that_no_phone_can_take_is_refused),
        cmocka_unit_test(one_phones_refusal_says_nothing_while_another_rings),
        cmocka_unit_test(nothing_is_said_of_a_caller_behind_another_proxy),
        cmocka_unit_test(nothing_is_said_of_another_answer_than_the_first),
        cmocka_unit_test(a_re_invite_is_never_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
