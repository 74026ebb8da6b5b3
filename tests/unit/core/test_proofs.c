/* SPDX-License-Identifier: Apache-2.0 */
/* What proves that somebody is where he says he is, and what does not: whom a call vouches for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/token.h"
#include "world.h"

enum {
    STRANGER_BURST = 20,
    CALLER = 8, /* hosts of 203.0.113.0/24 */
    TARGET = 9,
    ELSEWHERE = 10,
};

static const struct addr_net trusted[] = {{{ADDR_V4, 0, 0, 0, {192, 0, 2}}, 24}};

static void open_guarded(struct world *w, unsigned workers, bool auth_required)
{
    world_open(w, workers, NULL, 0);
    core_close(w->core);
    w->config.auth_required = auth_required;
    w->config.trusted = trusted;
    w->config.trusted_count = COUNT_OF(trusted);
    w->config.guard = (struct guard_config){
        .sources_max = 64, .bars_max = 64, .stranger = {1, STRANGER_BURST}, .vouched = {100, 400}};
    assert_int_equal(OK, core_open(&w->config, w->now_ms, w->wall_ms, &w->core));
}

static struct flow from_host(uint8_t host)
{
    struct flow flow = world_flow(5060, NULL);

    flow.remote.bytes[0] = 203;
    flow.remote.bytes[1] = 0;
    flow.remote.bytes[2] = 113;
    flow.remote.bytes[3] = host;
    return flow;
}

/** Is more heard from there than from a stranger? */
static bool is_known(struct world *w, const struct flow *source)
{
    static unsigned n;
    unsigned answered = 0;
    char text[512];

    for (unsigned i = 0; i < 2 * STRANGER_BURST; i++, n++) {
        snprintf(
            text, sizeof text,
            "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKo%u\r\n"
            "Max-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=1\r\nTo: <sip:example.com>\r\n"
            "Call-ID: o%u\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            n, n);
        world_feed(w, text, source);
        answered += w->sent_count;
    }
    assert_true(answered >= STRANGER_BURST / 2);
    return answered == 2 * STRANGER_BURST;
}

static void answer(struct world *w, const char *via, unsigned status, const struct flow *source)
{
    char text[1024];

    snprintf(text, sizeof text,
             "SIP/2.0 %u X\r\nVia: %s\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKi\r\n"
             "From: <sip:a@example.org>;tag=1\r\nTo: <sip:x@203.0.113.9>;tag=2\r\nCall-ID: call\r\n"
             "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
             status, via);
    world_feed(w, text, source);
}

static void who_is_called_is_known_when_he_has_answered(void **state)
{
    (void)state;
    for (unsigned auth = 0; auth < 2; auth++) {
        struct world w;
        const struct flow caller = world_flow(5060, NULL);
        const struct flow target = from_host(TARGET), elsewhere = from_host(ELSEWHERE);
        char via[256] = "";
        open_guarded(&w, 1, auth != 0);
        world_feed(&w,
                   "INVITE sip:x@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch="
                   "z9hG4bKi\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=1\r\n"
                   "To: <sip:x@203.0.113.9>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n"
                   "Contact: <sip:a@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
                   &caller);
        assert_int_equal(2, w.sent_count); /* 100, and the INVITE */
        assert_true(addr_same_host(&target.remote, &w.sent[1].to.remote));
        assert_int_equal(1, sscanf(strstr(w.sent[1].text, "Via: "), "Via: %255[^\r]", via));

        assert_false(is_known(&w, &target)); /* anybody can be called */
        world_pass(&w, STRANGER_BURST * 1000);
        answer(&w, via, 180, &elsewhere); /* the callee gave our branch away */
        assert_int_equal(1, w.sent_count);
        assert_false(is_known(&w, &elsewhere));
        answer(&w, "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKguessed", 180, &target);
        assert_int_equal(0, w.sent_count);
        assert_false(is_known(&w, &target));
        world_pass(&w, STRANGER_BURST * 1000);
        answer(&w, via, 180, &target);
        assert_int_equal(1, w.sent_count);
        assert_true(is_known(&w, &target));
        world_close(&w);
    }
}

/** A BYE with our token, of the caller or the callee of that Call-ID. */
static void bye(struct world *w, const struct proxy_token *token, const char *call_id,
                bool from_caller, const struct flow *source)
{
    static unsigned n;
    char route[PROXY_TOKEN_MAX], text[1024];
    struct builder b = builder_over(route, sizeof route);

    assert_int_equal(
        OK, proxy_token_write(&b, &w->config.token_key, token, slice_of(call_id), SLICE("caller")));
    snprintf(text, sizeof text,
             "BYE sip:x@203.0.113.7 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb%u\r\n"
             "Max-Forwards: 70\r\nRoute: <sip:192.0.2.9:5060;lr;r=%.*s>\r\n"
             "From: <sip:a@example.org>;tag=%s\r\nTo: <sip:b@example.org>;tag=%s\r\n"
             "Call-ID: %s\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
             n++, SLICE_ARG(builder_slice(&b)), from_caller ? "caller" : "callee",
             from_caller ? "callee" : "caller", call_id);
    world_feed(w, text, source);
}

static void a_token_proves_the_callee_and_a_caller_who_had_a_password(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        uint8_t host;
        bool auth_required, guarded, from_caller, stream, known;
    } cases[] = {
        {"the callee, to whom it was sent", TARGET, true, true, false, false, true},
        {"the callee, without passwords", TARGET, false, false, false, false, true},
        {"another host than the callee's", ELSEWHERE, true, true, false, false, false},
        {"a stranger who called: the callee can forge him", CALLER, true, true, true, false, false},
        {"nobody had to show a password", CALLER, false, false, true, false, false},
        {"a caller with a password", CALLER, true, false, true, false, true},
        {"a stranger by a stream, whose source is true", CALLER, true, true, true, true, true},
        {"another host than the caller's", ELSEWHERE, true, false, true, false, false},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct conn_id conn = {.id = {.slot = 1, .generation = 1}};
        struct proxy_token token = {
            .caller = {.has_flow = true, .flow = from_host(CALLER)},
            .callee = {.has_flow = true, .flow = from_host(TARGET)},
            .guarded = cases[i].guarded,
        };
        struct flow source = from_host(cases[i].host);
        struct world w;
        open_guarded(&w, 1, cases[i].auth_required);
        if (cases[i].stream) {
            source.transport = TRANSPORT_TCP;
            source.conn = conn;
        }
        bye(&w, &token, "call", cases[i].from_caller, &source);
        source.transport = TRANSPORT_UDP; /* streams are read later, not dropped */
        source.conn = (struct conn_id){0};
        if (cases[i].known != is_known(&w, &source))
            fail_msg("%s", cases[i].why);
        world_close(&w);
    }
}

static void a_proof_that_found_a_mailbox_full_is_told_with_the_next_one(void **state)
{
    (void)state;
    enum {
        WORKERS = 3
    };
    const struct proxy_token token = {.callee = {.has_flow = true, .flow = from_host(TARGET)}};
    const struct flow source = from_host(TARGET);
    char call_id[16] = "0";
    struct world w;
    open_guarded(&w, WORKERS, true);
    for (unsigned i = 0;
         table_owner(hash_bytes(w.config.hash_seed, slice_of(call_id)), WORKERS) != 0; i++)
        snprintf(call_id, sizeof call_id, "%u", i);

    w.deaf = 2;
    bye(&w, &token, call_id, false, &source);
    assert_int_equal(1, w.mail_count); /* to worker 1 */
    w.deaf = 0;
    bye(&w, &token, call_id, false, &source);
    assert_int_equal(3, w.mail_count);
    assert_int_equal(CORE_MAIL_VOUCH, w.mail[2].mail.kind);
    assert_int_equal(2, w.mail[2].to);
    assert_true(addr_same_host(&source.remote, &w.mail[2].mail.flow.remote));
    assert_true(w.mail[2].mail.number >= w.mail[0].mail.number);
    bye(&w, &token, call_id, false, &source);
    assert_int_equal(3, w.mail_count);
    world_close(&w);
}

static const char *call_outside(struct world *w, enum transport transport)
{
    static unsigned n;
    struct conn_id conn = {.id = {.slot = 1, .generation = 1}};
    struct flow source = world_flow(5060, &conn);
    char text[512];

    source.transport = (uint8_t)transport;
    snprintf(text, sizeof text,
             "INVITE sip:x@203.0.113.9 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKp%u\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=1\r\nTo: <sip:x@203.0.113.9>\r\n"
             "Call-ID: page%u\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n"
             "Content-Length: 0\r\n\r\n",
             n, n);
    n++;
    world_feed(w, text, &source);
    assert_true(w->sent_count > 0);
    return w->sent[0].text;
}

static void a_page_in_a_browser_is_not_trusted_for_its_address(void **state)
{
    static const struct {
        enum transport transport;
        const char *answer;
    } cases[] = {
        {TRANSPORT_TCP, "SIP/2.0 100 "},
        {TRANSPORT_TLS, "SIP/2.0 100 "},
        {TRANSPORT_WS, "SIP/2.0 403 Relaying denied"},
        {TRANSPORT_WSS, "SIP/2.0 403 Relaying denied"},
    };
    struct world w;

    (void)state;
    open_guarded(&w, 1, true);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_ptr_equal(strstr(call_outside(&w, cases[i].transport), cases[i].answer),
                         w.sent[0].text);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_called_is_known_when_he_has_answered),
        cmocka_unit_test(a_token_proves_the_callee_and_a_caller_who_had_a_password),
        cmocka_unit_test(a_proof_that_found_a_mailbox_full_is_told_with_the_next_one),
        cmocka_unit_test(a_page_in_a_browser_is_not_trusted_for_its_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
