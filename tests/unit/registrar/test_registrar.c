/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/push.h"
#include "proxy/gruu.h"
#include "registrar/registrar.h"

enum {
    T0_S = 1763845200
};
#define T0                                                                                         \
    (UINT64_C(1000) * T0_S) /* wall clock of the first REGISTER: Sat, 22 Nov 2025 21:00:00         \
                             */

static struct mem mem;
static struct arena arena;
static struct registrar_config config;
static struct registrar_result result;
static struct flow source;
static char current_bytes[BINDING_SET_MAX];
static struct slice current; /* the AOR's block, as the location table would hold it */
static uint64_t now_ms;
static bool path_ok;

static int set_up(void **state)
{
    (void)state;
    mem_init(&mem, 16 << 20);
    assert_int_equal(OK, arena_init(&arena, &mem, 1 << 20));
    config = (struct registrar_config){.default_expires = 3600,
                                       .min_expires = 60,
                                       .max_expires = 7200,
                                       .max_contacts = 3,
                                       .path_required_support = true};
    source = (struct flow){.transport = TRANSPORT_UDP,
                           .remote = {ADDR_V4, 0, 5062, 0, {192, 0, 2, 7}},
                           .local = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 1}}};
    current = SLICE_EMPTY;
    now_ms = T0;
    path_ok = false;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    mem_release(&mem);
    return 0;
}

/* A REGISTER of alice's with these lines (each ends in CRLF), parsed. */
static const struct sip_msg *request(const char *call_id, unsigned cseq, const char *lines)
{
    static char text[20000];
    static struct sip_msg msg;

    int len = snprintf(text, sizeof text,
                       "REGISTER sip:example.com SIP/2.0\r\n"
                       "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1;rport\r\n"
                       "From: <sip:alice@example.com>;tag=1\r\n"
                       "To: <sip:alice@example.com>\r\n"
                       "Call-ID: %s\r\nCSeq: %u REGISTER\r\n%sContent-Length: 0\r\n\r\n",
                       call_id, cseq, lines);
    assert_true(len > 0 && (size_t)len < sizeof text);
    assert_int_equal(OK, sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, &msg));
    assert_int_equal(0, msg.fault.status);
    return &msg;
}

/* Processes it; what is to be committed becomes the present block. Returns the status. */
static unsigned process(const struct sip_msg *msg)
{
    arena_reset(&arena);
    assert_int_equal(OK, registrar_process(&config, msg, SLICE("alice"), current, &source, path_ok,
                                           now_ms, &arena, &result));
    if (result.action == REGISTRAR_COMMIT) {
        assert_int_equal(200, result.status);
        if (result.block.len > 0)
            memcpy(current_bytes, result.block.data, result.block.len);
        current = (struct slice){current_bytes, result.block.len};
        static struct binding_set set;
        if (current.len > 0)
            assert_int_equal(OK, binding_set_unpack(current, &set));
    }
    return result.status;
}

static unsigned submit(const char *call_id, unsigned cseq, const char *lines)
{
    return process(request(call_id, cseq, lines));
}

static bool has(const char *text)
{
    return memmem(result.fields.data, result.fields.len, text, strlen(text)) != NULL;
}

static void expect(const char *text)
{
    if (!has(text))
        fail_msg("no \"%s\" in:\n%.*s", text, SLICE_ARG(result.fields));
}

static struct binding binding_at(uint32_t index)
{
    struct binding binding;
    uint32_t cursor = 0;
    do
        assert_true(binding_next(current, &cursor, &binding));
    while (index-- > 0);
    return binding;
}

#define INSTANCE ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\""

static void a_contact_is_stored_and_listed(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c1", 7,
                                 "Contact: \"Alice\" <sip:alice@192.0.2.7:5062;x=1?h=v> ; q = 0.70 "
                                 ";expires=600;video;a=\"b c\"\r\n"
                                 "User-Agent: Phone/1.0\r\n"));
    assert_int_equal(REGISTRAR_COMMIT, result.action);
    assert_int_equal(1, result.added);
    expect("Contact: <sip:alice@192.0.2.7:5062;x=1?h=v>;expires=600;q=0.7;video;a=\"b c\"\r\n");
    expect("Date: Sat, 22 Nov 2025 21:00:00 GMT\r\n");

    struct binding b = binding_at(0);
    assert_true(slice_equal(SLICE("c1"), b.call_id));
    assert_true(slice_equal(SLICE("Phone/1.0"), b.user_agent));
    assert_int_equal(7, b.cseq);
    assert_int_equal(700, b.q);
    assert_int_equal(T0, b.registered_ms);
    assert_false(b.nat);
    assert_true(addr_equal(&source.remote, &b.flow.remote));
    assert_true(slice_equal(SLICE("alice"), binding_block_aor(current)));
}

static void intervals_follow_parameter_header_default_and_limits(void **state)
{
    (void)state;
    static const struct {
        const char *why, *lines;
        unsigned status;
        const char *field;
    } cases[] = {
        {"parameter before header", "Contact: <sip:a@h>;expires=100\r\nExpires: 200\r\n", 200,
         ";expires=100\r\n"},
        {"header before default", "Contact: <sip:a@h>\r\nExpires: 200\r\n", 200,
         ";expires=200\r\n"},
        {"default", "Contact: <sip:a@h>\r\n", 200, ";expires=3600\r\n"},
        {"shortened to the maximum", "Contact: <sip:a@h>;expires=7201\r\n", 200,
         ";expires=7200\r\n"},
        {"scalar02: too large a number is large", "Contact: <sip:a@h>;expires=280297596632815\r\n",
         200, ";expires=7200\r\n"},
        {"the same in the header", "Contact: <sip:a@h>\r\nExpires: 99999999999999999999\r\n", 200,
         ";expires=7200\r\n"},
        {"malformed counts as 3600 (§20.10)", "Contact: <sip:a@h>\r\nExpires: soon\r\n", 200,
         ";expires=3600\r\n"},
        {"shortest", "Contact: <sip:a@h>;expires=60\r\n", 200, ";expires=60\r\n"},
        {"too short", "Contact: <sip:a@h>;expires=59\r\n", 423, "Min-Expires: 60\r\n"},
        {"too short in one of two", "Contact: <sip:a@h>, <sip:b@h>;expires=1\r\n", 423,
         "Min-Expires: 60\r\n"},
        {"the parameter of an address without brackets is the header's",
         "Contact: sip:a@h;expires=100\r\n", 200, "Contact: <sip:a@h>;expires=100\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        current = SLICE_EMPTY;
        if (submit("c", 1, cases[i].lines) != cases[i].status || !has(cases[i].field))
            fail_msg("%s: %u\n%.*s", cases[i].why, result.status, SLICE_ARG(result.fields));
    }
}

static void an_hour_is_never_too_brief(void **state)
{
    (void)state;
    config.min_expires = 7200; /* §10.3 step 7: only intervals under an hour may be refused */
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>;expires=3600\r\n"));
    assert_int_equal(423, submit("c", 2, "Contact: <sip:a@h>;expires=3599\r\n"));
}

static void what_breaks_the_rules_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *why, *lines;
        unsigned status;
        const char *field;
    } cases[] = {
        {"* without Expires", "Contact: *\r\n", 400, ""},
        {"* with Expires other than 0", "Contact: *\r\nExpires: 1\r\n", 400, ""},
        {"* with malformed Expires", "Contact: *\r\nExpires: x\r\n", 400, ""},
        {"* after another", "Contact: <sip:a@h>\r\nContact: *\r\nExpires: 0\r\n", 400, ""},
        {"* before another", "Contact: *, <sip:a@h>\r\nExpires: 0\r\n", 400, ""},
        {"two *", "Contact: *, *\r\nExpires: 0\r\n", 400, ""},
        {"no URI", "Contact: alice\r\n", 400, ""},
        {"empty", "Contact: \r\n", 400, ""},
        {"one good, one bad", "Contact: <sip:b@h>, <sip:b@h:99999>\r\n", 400, ""},
        {"unknown extension", "Contact: <sip:b@h>\r\nRequire: foo, path\r\nRequire: bar\r\n", 420,
         "Unsupported: foo, bar\r\n"},
        {"two flows at once",
         "Contact: <sip:b@h>;reg-id=1" INSTANCE ", <sip:c@h>\r\nSupported: outbound\r\n", 400, ""},
        {"extension in a query", "Require: gin\r\n", 420, "Unsupported: gin\r\n"},
        {"Path without support", "Contact: <sip:b@h>\r\nPath: <sip:p;lr>\r\n", 420,
         "Unsupported: path\r\n"},
        {"Path from a stranger", "Contact: <sip:b@h>\r\nPath: <sip:p;lr>\r\nSupported: path\r\n",
         403, ""},
        {"one contact too many", "Contact: <sip:b@h>, <sip:c@h>, <sip:d@h>\r\n", 403, ""},
    };
    assert_int_equal(200, submit("c0", 1, "Contact: <sip:a@h>\r\n"));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned status = submit("c", 1, cases[i].lines);
        if (status != cases[i].status || result.action != REGISTRAR_ANSWER ||
            (cases[i].field[0] != '\0' && !has(cases[i].field)))
            fail_msg("%s: %u\n%.*s", cases[i].why, status, SLICE_ARG(result.fields));
    }
    assert_int_equal(200, submit("c", 1, "Contact: <sip:b@h>, <sip:c@h>\r\n")); /* at the limit */
    assert_int_equal(3, binding_count(current));
}

static void the_aor_is_a_sip_uri(void **state)
{
    (void)state;
    static const struct {
        const char *to;
        unsigned status;
    } cases[] = {{"<sip:alice@example.com>", 200},
                 {"<SIPS:alice@example.com>", 200},
                 {"<isbn:2983792873>", 400},
                 {"<tel:+15105550101>", 400}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[500];
        int len = snprintf(text, sizeof text,
                           "REGISTER sip:example.com SIP/2.0\r\n"
                           "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1\r\n"
                           "From: <sip:alice@example.com>;tag=1\r\nTo: %s\r\n"
                           "Call-ID: c\r\nCSeq: 1 REGISTER\r\n\r\n",
                           cases[i].to);
        struct sip_msg msg;
        assert_int_equal(OK, sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, &msg));
        assert_int_equal(cases[i].status, process(&msg));
    }
}

static void a_query_lists_what_is_there_with_what_is_left(void **state)
{
    (void)state;
    assert_int_equal(200,
                     submit("c", 1, "Contact: <sip:a@h>;expires=600, <sip:b@h>;expires=60\r\n"));
    now_ms += 59999;
    assert_int_equal(200, submit("c", 1, "")); /* no contact: the CSeq does not matter */
    assert_int_equal(REGISTRAR_ANSWER, result.action);
    expect("Contact: <sip:a@h>;expires=540\r\n");
    expect("Contact: <sip:b@h>;expires=1\r\n");
    now_ms += 1;
    assert_int_equal(200, submit("c", 1, ""));
    assert_false(has("sip:b@h"));
    now_ms += 10 * 60000;
    assert_int_equal(200, submit("c", 1, ""));
    assert_false(has("Contact"));
    expect("Date: ");
}

static void a_refresh_replaces_by_uri_rules(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:%61lice@Host:5062;x=1>;q=0.5\r\n"));
    now_ms += 1000;
    assert_int_equal(200, submit("c", 2, "Contact: <sip:alice@hOST:5062>;expires=100\r\n"));
    assert_int_equal(1, binding_count(current));
    assert_int_equal(1, result.refreshed);
    assert_int_equal(0, result.added);
    expect("Contact: <sip:alice@hOST:5062>;expires=100\r\n");
    assert_int_equal(now_ms + 100000, binding_at(0).expires_ms);
    /* A port given is not one left out; another user is another contact. */
    assert_int_equal(200, submit("c", 3, "Contact: <sip:alice@host>, <sip:Alice@host:5062>\r\n"));
    assert_int_equal(3, binding_count(current));
    assert_int_equal(2, result.added);
}

static void expires_0_removes_just_that_contact(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n"));
    assert_int_equal(200, submit("c", 2, "Contact: <sip:A@h>;expires=0\r\n"));
    assert_int_equal(REGISTRAR_ANSWER, result.action); /* not there: no error, no change */
    assert_int_equal(200, submit("c", 3, "Contact: <sip:a@h>\r\nExpires: 0\r\n"));
    assert_int_equal(REGISTRAR_COMMIT, result.action);
    assert_int_equal(1, result.removed);
    assert_false(has("sip:a@h"));
    expect("sip:b@h");
    assert_int_equal(200, submit("other", 1, "Contact: <sip:b@h>;expires=0\r\n"));
    assert_int_equal(0, current.len);
}

static void one_request_adds_refreshes_and_removes(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>, <sip:b@h>\r\n"));
    assert_int_equal(200, submit("c", 2,
                                 "Contact: <sip:a@h>;expires=0\r\n"
                                 "m: <sip:b@h>;expires=60, <sip:c@h>\r\n"));
    assert_int_equal(1, result.added);
    assert_int_equal(1, result.refreshed);
    assert_int_equal(1, result.removed);
    assert_int_equal(2, binding_count(current));
}

static void the_last_of_equal_contacts_in_a_request_holds(void **state)
{
    (void)state;
    assert_int_equal(200,
                     submit("c", 1, "Contact: <sip:a@h>;expires=60, <sip:a@h>;expires=70\r\n"));
    assert_int_equal(1, binding_count(current));
    expect(";expires=70\r\n");
    assert_int_equal(200, submit("c", 2, "Contact: <sip:a@h>;expires=60, <sip:a@h>;expires=0\r\n"));
    assert_int_equal(0, current.len);
    assert_int_equal(200, submit("c", 3, "Contact: <sip:a@h>;expires=60, <sip:a@h>;expires=0\r\n"));
    assert_int_equal(REGISTRAR_ANSWER, result.action); /* added and removed: as it was */
    assert_int_equal(0, result.added + result.removed);
}

static void a_star_removes_all(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 5, "Contact: <sip:a@h>\r\n"));
    assert_int_equal(200, submit("d", 9, "Contact: <sip:b@h>\r\n"));
    assert_int_equal(500, submit("c", 4, "Contact: *\r\nExpires: 0\r\n"));
    assert_int_equal(500, submit("c", 5, "Contact: *\r\nExpires: 0\r\n"));
    assert_int_equal(2, binding_count(current));
    assert_int_equal(200, submit("c", 6, "Contact: *\r\nExpires: 0\r\n"));
    assert_int_equal(REGISTRAR_COMMIT, result.action);
    assert_int_equal(2, result.removed);
    assert_int_equal(0, current.len);
    assert_false(has("Contact"));
    assert_int_equal(200, submit("c", 6, "Contact: *\r\nExpires: 0\r\n")); /* nothing left to do */
    assert_int_equal(REGISTRAR_ANSWER, result.action);
}

static void an_overtaken_request_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 5, "Contact: <sip:a@h>\r\n"));
    assert_int_equal(500, submit("c", 4, "Contact: <sip:b@h>, <sip:a@h>\r\n"));
    assert_int_equal(500, submit("c", 4, "Contact: <sip:a@h>;expires=0\r\n"));
    assert_int_equal(1, binding_count(current));
    /* With another Call-ID the order is not known: the later request counts. */
    assert_int_equal(200, submit("d", 1, "Contact: <sip:a@h>;expires=100\r\n"));
    assert_int_equal(1, result.refreshed);
    assert_true(slice_equal(SLICE("d"), binding_at(0).call_id));
}

static void a_late_retransmission_gets_the_present_bindings(void **state)
{
    (void)state;
    static const char *const original = "Contact: <sip:a@h>;expires=600;q=0.5, <sip:b@h>\r\n";
    static const struct {
        const char *why, *lines;
        unsigned status;
    } cases[] = {
        {"the same", "Contact: <sip:a@h>;expires=600;q=0.5, <sip:b@h>\r\n", 200},
        {"the same, otherwise written",
         "Contact: <sip:b@H>;expires=3600\r\nContact: <sip:%61@h>;q=0.500;expires=600\r\n", 200},
        {"removes what is not there, too",
         "Contact: <sip:a@h>;expires=600;q=0.5, <sip:b@h>, <sip:z@h>;expires=0\r\n", 200},
        {"another interval", "Contact: <sip:a@h>;expires=601;q=0.5, <sip:b@h>\r\n", 500},
        {"another q", "Contact: <sip:a@h>;expires=600, <sip:b@h>\r\n", 500},
        {"one missing", "Contact: <sip:a@h>;expires=600;q=0.5\r\n", 500},
        {"one more", "Contact: <sip:a@h>;expires=600;q=0.5, <sip:b@h>, <sip:c@h>\r\n", 500},
        {"a removal", "Contact: <sip:a@h>;expires=0, <sip:b@h>\r\n", 500},
        {"only another", "Contact: <sip:c@h>\r\n", 500},
        {"one twice", "Contact: <sip:b@h>, <sip:b@h>\r\n", 500},
    };
    assert_int_equal(200, submit("c", 5, original));
    now_ms += 40000;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned status = submit("c", 5, cases[i].lines);
        if (status != cases[i].status || result.action != REGISTRAR_ANSWER)
            fail_msg("%s: %u", cases[i].why, status);
        if (status == 200)
            expect("<sip:a@h>;expires=560;q=0.5\r\n"); /* nothing was prolonged */
    }
}

static void an_instance_and_reg_id_name_one_flow(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h:1>;reg-id=1" INSTANCE "\r\n"));
    expect("Contact: <sip:a@h:1>;expires=3600" INSTANCE ";reg-id=1\r\n");
    assert_int_equal(200, submit("d", 1, "Contact: <sip:a@h:1>;reg-id=2" INSTANCE "\r\n"));
    assert_int_equal(2, binding_count(current)); /* equal URIs, two flows */
    assert_int_equal(200, submit("e", 1, "Contact: <sip:a@h:9>;reg-id=1" INSTANCE "\r\n"));
    assert_int_equal(2, binding_count(current));
    assert_int_equal(1, result.refreshed);
    assert_true(slice_equal(SLICE("sip:a@h:9"), binding_at(0).contact));
    assert_int_equal(200, submit("f", 1, "Contact: <sip:x@y>;expires=0;reg-id=2" INSTANCE "\r\n"));
    assert_int_equal(1, binding_count(current));
}

/* RFC 5626 §6: told in the 200 when a flow was registered by a phone that knows of it. */
static void the_200_says_whether_flows_are_kept(void **state)
{
    static const struct {
        const char *why, *lines;
        bool told;
    } cases[] = {
        {"a flow", "Contact: <sip:a@h>;reg-id=1" INSTANCE "\r\nSupported: path, outbound\r\n",
         true},
        {"required",
         "Contact: <sip:a@h>;reg-id=1" INSTANCE "\r\nRequire: outbound\r\nSupported: Outbound\r\n",
         true},
        {"its removal",
         "Contact: <sip:a@h>;expires=0;reg-id=1" INSTANCE "\r\nSupported: outbound\r\n", true},
        {"not supported", "Contact: <sip:a@h>;reg-id=1" INSTANCE "\r\n", false},
        {"no reg-id", "Contact: <sip:a@h>" INSTANCE "\r\nSupported: outbound\r\n", false},
        {"no instance", "Contact: <sip:a@h>;reg-id=1\r\nSupported: outbound\r\n", false},
        {"a query", "Supported: outbound\r\n", false},
        {"all removed", "Contact: *\r\nExpires: 0\r\nSupported: outbound\r\n", false},
    };

    (void)state;
    config.flow_timer = 120;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        source.transport = i % 2 ? TRANSPORT_UDP : TRANSPORT_TCP;
        assert_int_equal(200, submit("c", i + 1, cases[i].lines));
        if (has("Supported: path, outbound\r\nRequire: outbound\r\n") != cases[i].told)
            fail_msg("%s:\n%.*s", cases[i].why, SLICE_ARG(result.fields));
        /* On UDP the phone's own pace is the right one. */
        assert_true(has("Flow-Timer: 120\r\n") == (cases[i].told && i % 2 == 0));
    }
    config.flow_timer = 0;
    source.transport = TRANSPORT_TCP;
    assert_int_equal(200, submit("c", 20, cases[0].lines));
    assert_false(has("Flow-Timer"));
}

static void a_reg_id_without_an_instance_is_none(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h:1>;reg-id=1\r\n"));
    assert_int_equal(0, binding_at(0).reg_id);
    assert_false(has("reg-id"));
}

/* RFC 5626 §6: who does not keep the phone's flow makes its reg-id void. */
static void flows_count_only_when_the_first_hop_keeps_them(void **state)
{
    static const struct {
        const char *why, *lines;
        unsigned status, reg_id;
    } cases[] = {
        {"an edge that does", "Path: <sip:e;lr;ob>\r\nSupported: path, outbound\r\n", 200, 1},
        {"behind another proxy",
         "Path: <sip:p;lr>\r\nPath: <sip:e;lr;ob>\r\n"
         "Supported: path, outbound\r\n",
         200, 1},
        {"the last one is the first hop",
         "Path: <sip:p;lr;ob>, <sip:e;lr>\r\n"
         "Supported: path, outbound\r\n",
         439, 0},
        {"an edge that does not", "Path: <sip:e;lr>\r\nSupported: path, outbound\r\n", 439, 0},
        {"nor does the phone", "Path: <sip:e;lr>\r\nSupported: path\r\n", 200, 0},
        {"a proxy without Path", "Via: SIP/2.0/UDP h;branch=z9hG4bK2\r\nSupported: outbound\r\n",
         439, 0},
        {"the same", "Via: SIP/2.0/UDP h;branch=z9hG4bK2\r\n", 200, 0},
    };
    char lines[512];

    (void)state;
    path_ok = true;
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        current = SLICE_EMPTY;
        snprintf(lines, sizeof lines, "Contact: <sip:a@h>;reg-id=1" INSTANCE "\r\n%s",
                 cases[i].lines);
        unsigned status = submit("c", i + 1, lines);
        if (status != cases[i].status || (status == 200 && binding_at(0).reg_id != cases[i].reg_id))
            fail_msg("%s: %u", cases[i].why, status);
    }
}

/* A request goes by the flow that was registered, wherever the Contact points (§7); and first by
 * the newest one (RFC 5627 §6.1). */
static void flows_are_tried_newest_first(void **state)
{
    (void)state;
    assert_int_equal(200, submit("x", 1, "Contact: <sip:other@192.0.2.8>\r\n"));
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@192.0.2.7:1>;reg-id=1" INSTANCE "\r\n"));
    assert_int_equal(200, submit("d", 1, "Contact: <sip:a@192.0.2.7:2>;reg-id=2" INSTANCE "\r\n"));
    assert_false(binding_at(0).nat);
    assert_true(binding_at(1).nat);
    assert_int_equal(2, binding_at(1).reg_id);
    assert_int_equal(1, binding_at(2).reg_id);
    assert_int_equal(200, submit("c", 2, "Contact: <sip:a@192.0.2.7:1>;reg-id=1" INSTANCE "\r\n"));
    assert_int_equal(1, binding_at(1).reg_id);
    assert_int_equal(2, binding_at(2).reg_id);
    assert_int_equal(3, binding_count(current));
}

static void a_phone_that_moved_is_known_by_its_instance(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@10.0.0.1:1>" INSTANCE "\r\n"));
    assert_int_equal(200, submit("d", 1, "Contact: <sip:a@10.0.0.2:2>" INSTANCE "\r\n"));
    assert_int_equal(1, binding_count(current));
    assert_true(slice_equal(SLICE("sip:a@10.0.0.2:2"), binding_at(0).contact));
    /* Overtaken by its own later request: refused as any. */
    assert_int_equal(500, submit("d", 0, "Contact: <sip:a@10.0.0.1:1>" INSTANCE "\r\n"));
    /* Two contacts of one request are both meant. */
    assert_int_equal(200, submit("d", 2,
                                 "Contact: <sip:a@10.0.0.2:2>" INSTANCE "\r\n"
                                 "Contact: <sip:a@10.0.0.2:3>" INSTANCE "\r\n"));
    assert_int_equal(2, binding_count(current));
    assert_int_equal(200, submit("e", 1, "Contact: <sip:b@10.0.0.3>\r\n"));
    assert_int_equal(3, binding_count(current)); /* no instance: another phone */
}

/* The same to a Request-URI of sips. */
static unsigned submit_sips(unsigned cseq, const char *lines)
{
    static struct sip_msg msg;

    msg = *request("sips", cseq, lines);
    msg.request_uri.scheme = SIP_SCHEME_SIPS;
    return process(&msg);
}

static void a_sips_contact_is_taken_only_where_all_is_sips(void **state)
{
    (void)state;
    source.transport = TRANSPORT_TLS;
    assert_int_equal(400, submit("c", 1, "Contact: <sips:a@10.0.0.1>\r\n"));
    assert_int_equal(400, submit_sips(1, "Contact: <sips:a@10.0.0.1>, <sip:b@10.0.0.1>\r\n"));
    path_ok = true;
    assert_int_equal(400, submit_sips(1, "Supported: path\r\nPath: <sip:edge.example;lr>\r\n"
                                         "Contact: <sips:a@10.0.0.1>\r\n"));
    assert_int_equal(0, current.len);
    assert_int_equal(200, submit_sips(1, "Supported: path\r\nPath: <sips:edge.example;lr>\r\n"
                                         "Contact: <sips:a@10.0.0.1>\r\n"));
    assert_int_equal(200, submit_sips(2, "Contact: <sip:b@10.0.0.1>\r\n")); /* less is no harm */
    assert_int_equal(200, submit_sips(3, "Contact: *\r\nExpires: 0\r\n"));
    source.transport = TRANSPORT_TCP;
    assert_int_equal(400, submit_sips(4, "Contact: <sips:a@10.0.0.1>\r\n"));
    source.transport = TRANSPORT_WSS;
    assert_int_equal(200, submit_sips(5, "Contact: <sips:a@10.0.0.1>\r\n"));
}

/* ---- GRUUs (RFC 5627) ---- */

static const struct hash_key gruu_key = {{7, 8}};
#define GRUU_LINES(contact) "Contact: " contact INSTANCE "\r\nSupported: gruu\r\n"

static void with_gruus(void)
{
    config.gruu = true;
    config.gruu_key = gruu_key;
    config.hash_seed = 9;
}

/* The token of the n-th temporary GRUU in the 200, read. */
static struct proxy_gruu told(unsigned n)
{
    const char *at = result.fields.data, *end = at + result.fields.len;
    struct proxy_gruu gruu;

    do {
        at = memmem(at, (size_t)(end - at), ";temp-gruu=\"sip:tgruu.", 22);
        assert_non_null(at);
        at += 22;
    } while (n-- > 0);
    assert_memory_equal("@example.com;gr\"", at + PROXY_GRUU_CHARS, 16);
    assert_int_equal(OK, proxy_gruu_read((struct slice){at, PROXY_GRUU_CHARS}, &gruu_key, &gruu));
    return gruu;
}

/* Does it count, as the core looks at it? */
static bool counts(const struct proxy_gruu *gruu)
{
    struct binding binding;
    uint32_t cursor = 0;

    while (binding_next(current, &cursor, &binding))
        if (binding.gruu_since_ms != 0 && gruu->issued_ms >= binding.gruu_since_ms &&
            gruu->instance == proxy_gruu_instance(&gruu_key, binding.instance))
            return true;
    return false;
}

static void who_asks_is_told_gruus(void **state)
{
    static const struct {
        const char *why, *lines;
        bool told;
    } cases[] = {
        {"asks", GRUU_LINES("<sip:a@h>"), true},
        {"requires", GRUU_LINES("<sip:a@h>") "Require: gruu\r\n", true},
        {"does not ask", "Contact: <sip:a@h>" INSTANCE "\r\n", false},
        {"has no instance", "Contact: <sip:b@h>\r\nSupported: gruu\r\n", false},
    };

    (void)state;
    with_gruus();
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        current = SLICE_EMPTY;
        assert_int_equal(200, submit("c", i + 1, cases[i].lines));
        if (has(";pub-gruu=\"sip:alice@example.com;gr=urn:uuid:00000000-0000-1000-8000-"
                "000A95A0E128\"") != cases[i].told ||
            has(";temp-gruu=\"sip:tgruu.") != cases[i].told)
            fail_msg("%s:\n%.*s", cases[i].why, SLICE_ARG(result.fields));
    }
    config.gruu = false;
    assert_int_equal(200, submit("c", 20, cases[0].lines));
    assert_false(has("gruu"));
}

/* A phone cannot choose its GRUUs (§5.1). */
static void what_a_phone_says_of_its_gruus_is_not_kept(void **state)
{
    (void)state;
    with_gruus();
    assert_int_equal(200, submit("c", 1,
                                 GRUU_LINES("<sip:a@h>;pub-gruu=\"sip:x@y;gr=z\""
                                            ";temp-gruu=\"sip:x@y;gr\";kept")));
    assert_false(has("sip:x@y"));
    expect(";kept\r\n");
}

static void each_200_has_a_new_one_and_the_old_ones_count_on(void **state)
{
    struct proxy_gruu gruus[3];

    (void)state;
    with_gruus();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(200, submit("c", i + 1, GRUU_LINES("<sip:a@h>")));
        gruus[i] = told(0);
        char text[64];
        snprintf(text, sizeof text, "%.*s", 40,
                 (const char *)memmem(result.fields.data, result.fields.len, "tgruu.", 6));
        static char before[64];
        assert_string_not_equal(before, text);
        memcpy(before, text, sizeof text);
        now_ms += i == 0 ? 0 : 1000; /* also when the clock stands still */
    }
    for (unsigned i = 0; i < 3; i++)
        assert_true(counts(&gruus[i]));
    /* One that does not ask keeps them, too: the Call-ID is the same. */
    assert_int_equal(200, submit("c", 9, "Contact: <sip:a@h>" INSTANCE "\r\n"));
    assert_true(counts(&gruus[0]));
}

/* §5.1, §5.3: with another Call-ID, or when the last binding is gone, all so far are void. */
static void another_call_id_voids_the_temporary_ones(void **state)
{
    struct proxy_gruu old, fresh;

    (void)state;
    with_gruus();
    assert_int_equal(200, submit("c", 1, GRUU_LINES("<sip:a@h>")));
    old = told(0);
    assert_int_equal(200, submit("d", 1, GRUU_LINES("<sip:a@h>")));
    fresh = told(0);
    assert_false(counts(&old)); /* in the same millisecond */
    assert_true(counts(&fresh));

    assert_int_equal(200, submit("d", 2, GRUU_LINES("<sip:a@h>;expires=0")));
    assert_false(counts(&fresh));
    now_ms += 1000;
    assert_int_equal(200, submit("d", 3, GRUU_LINES("<sip:a@h>")));
    assert_false(counts(&fresh));
    old = told(0);
    now_ms += 3600 * 1000;
    assert_int_equal(200, submit("d", 4, GRUU_LINES("<sip:a@h>")));
    assert_false(counts(&old)); /* it had expired */
}

/* §5.1: the Call-ID of each flow is its own; but what voids one flow's voids all of the phone's. */
static void flows_share_their_gruus(void **state)
{
    struct proxy_gruu first, second;

    (void)state;
    with_gruus();
    assert_int_equal(200, submit("c1", 1, GRUU_LINES("<sip:a@h:1>;reg-id=1")));
    first = told(0);
    assert_int_equal(200, submit("c2", 1, GRUU_LINES("<sip:a@h:2>;reg-id=2")));
    second = told(1);
    assert_true(counts(&first) && counts(&second));
    now_ms += 1000;
    assert_int_equal(200, submit("c3", 1, GRUU_LINES("<sip:a@h:2>;reg-id=2")));
    assert_false(counts(&first) || counts(&second));
    first = told(0);
    second = told(1);
    assert_true(counts(&first) && counts(&second)); /* both lines of the 200 have one that counts */
    /* As long as one flow is left, they count. */
    assert_int_equal(200, submit("c3", 2, GRUU_LINES("<sip:a@h:2>;reg-id=2;expires=0")));
    assert_true(counts(&second));
}

static void phones_of_one_user_have_different_ones(void **state)
{
    struct proxy_gruu one, other;

    (void)state;
    with_gruus();
    assert_int_equal(200, submit("c", 1, GRUU_LINES("<sip:a@h>")));
    one = told(0);
    assert_int_equal(200, submit("d", 1,
                                 "Contact: <sip:b@h>;+sip.instance=\"<urn:x:%41>\"\r\n"
                                 "Supported: gruu\r\n"));
    other = told(1);
    expect(";gr=urn:x:%2541\""); /* escaped once more: it is text, not a URI */
    assert_int_equal(one.aor_hash, other.aor_hash);
    assert_true(one.instance != other.instance);
    assert_int_equal(
        200, submit("d", 2, "Contact: <sip:b@h>;expires=0;+sip.instance=\"<URN:X:%41>\"\r\n"));
    assert_false(counts(&other)); /* without case */
    assert_true(counts(&one));
}

/* §5.1: it would lead back to where it was found. */
static void a_contact_that_is_the_aor_is_refused(void **state)
{
    static const char *const refused[] = {
        "<sip:alice@example.com>", "<sip:%61lice@EXAMPLE.com;x=y>",
        "<sip:alice@example.com;gr=urn:uuid:1>", "<tel:+15105550100>"};
    char lines[512];

    (void)state;
    with_gruus();
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        snprintf(lines, sizeof lines, GRUU_LINES("%s"), refused[i]);
        assert_int_equal(403, submit("c", 1, lines));
        snprintf(lines, sizeof lines, "Contact: %s\r\nSupported: gruu\r\n", refused[i]);
        assert_int_equal(200, submit("x", (unsigned)i + 1, lines)); /* wants none */
        current = SLICE_EMPTY;
    }
    assert_int_equal(200, submit("c", 2, GRUU_LINES("<sip:a@h>")));
    const char *own = memmem(result.fields.data, result.fields.len, "sip:tgruu.", 10);
    snprintf(lines, sizeof lines, GRUU_LINES("<%.*s@example.com;gr>"), 10 + PROXY_GRUU_CHARS, own);
    assert_int_equal(403, submit("c", 3, lines));
    assert_int_equal(200, submit("c", 4, GRUU_LINES("<sip:bob@example.com;gr=urn:uuid:1>")));
}

static void the_name_of_an_instance_survives_a_uri(void **state)
{
    static const char *const names[] = {"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>",
                                        "<a;b=\"c\" d%20@>",
                                        "plain",
                                        "<>",
                                        "<",
                                        ""};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char text[256];
        struct builder b = builder_over(text, 3 * strlen(names[i]) + 1);
        registrar_gr_write(&b, slice_of(names[i]));
        assert_false(b.overflow);
        assert_int_equal(b.len > 0, registrar_gr_names(builder_slice(&b), slice_of(names[i])));
        assert_int_equal(SIZE_MAX, slice_find(builder_slice(&b), ';'));
        assert_int_equal(SIZE_MAX, slice_find(builder_slice(&b), '"'));
    }
    assert_true(registrar_gr_names(SLICE("URN:a%3ab"), SLICE("<urn:a:b>")));
    assert_false(registrar_gr_names(SLICE("urn:a%3"), SLICE("<urn:a%3>")));
    assert_false(registrar_gr_names(SLICE("urn:a"), SLICE("<urn:ab>")));
}

static void a_path_is_kept_in_order_and_given_back(void **state)
{
    (void)state;
    path_ok = true;
    assert_int_equal(200, submit("c", 1,
                                 "Contact: <sip:a@10.0.0.1>\r\nSupported: gruu, Path\r\n"
                                 "Path: <sip:p3;lr>,<sip:p2;lr>;x\r\nPath: <sip:p1;lr>\r\n"));
    expect("Path: <sip:p3;lr>,<sip:p2;lr>;x,<sip:p1;lr>\r\n");
    assert_true(slice_equal(SLICE("<sip:p3;lr>,<sip:p2;lr>;x,<sip:p1;lr>"), binding_at(0).path));
    assert_false(binding_at(0).nat); /* the Path leads there */
    assert_int_equal(200, submit("c", 2,
                                 "Contact: <sip:b@h>\r\nRequire: path\r\nSupported: path\r\n"
                                 "Path: <sip:q;lr>\r\n"));
    assert_true(slice_equal(SLICE("<sip:q;lr>"), binding_at(1).path)); /* per contact */
    assert_true(slice_equal(SLICE("<sip:p3;lr>,<sip:p2;lr>;x,<sip:p1;lr>"), binding_at(0).path));

    config.path_required_support = false;
    assert_int_equal(200, submit("c", 3, "Contact: <sip:b@h>\r\nPath: <sip:q;lr>\r\n"));
    assert_int_equal(400, submit("c", 4, "Contact: <sip:b@h>\r\nPath: <tel:+1>\r\n"));
    assert_int_equal(400, submit("c", 4, "Contact: <sip:b@h>\r\nPath: sip:q;lr\r\n"));
    assert_int_equal(400, submit("c", 4, "Contact: <sip:b@h>\r\nPath: <sip:q;lr>,\r\n"));
}

static void the_service_route_is_told(void **state)
{
    (void)state;
    config.service_route = SLICE("<sip:edge.example.com;lr>");
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>\r\n"));
    expect("Service-Route: <sip:edge.example.com;lr>\r\n");
}

static void contacts_come_back_as_they_were_written(void **state)
{
    (void)state;
    static const struct {
        const char *why, *contact, *field;
    } cases[] = {
        {"regescrt", "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
         "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600\r\n"},
        {"cparam01", "sip:+19725552222@gw1.example.net;unknownparam",
         "Contact: <sip:+19725552222@gw1.example.net>;expires=3600;unknownparam\r\n"},
        {"cparam02", "<sip:+19725552222@gw1.example.net;unknownparam>",
         "Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=3600\r\n"},
        {"escnull", "<sip:%00@host5.example.com>",
         "Contact: <sip:%00@host5.example.com>;expires=3600\r\n"},
        {"any scheme may be registered (§10.2.1)", "<mailto:alice@example.com>",
         "Contact: <mailto:alice@example.com>;expires=3600\r\n"},
        {"folding does not come back", "<sip:a@h>;x=\"1\r\n 2\";y", ";x=\"1   2\";y\r\n"},
        {"q of 0", "<sip:a@h>;q=0.0", ";q=0\r\n"},
        {"q of 1 is as none", "<sip:a@h>;q=1.0", "<sip:a@h>;expires=3600\r\n"},
        {"three decimals", "<sip:a@h>;q=0.055", ";q=0.055\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char lines[300];
        current = SLICE_EMPTY;
        snprintf(lines, sizeof lines, "Contact: %s\r\n", cases[i].contact);
        if (submit("c", 1, lines) != 200 || !has(cases[i].field))
            fail_msg("%s: %u\n%.*s", cases[i].why, result.status, SLICE_ARG(result.fields));
    }
}

static void a_long_user_agent_is_cut(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1,
                                 "Contact: <sip:a@h>\r\nUser-Agent: 0123456789012345678901234567890"
                                 "12345678901234567890123456789 123CUT\r\n"));
    assert_int_equal(64, binding_at(0).user_agent.len);
    assert_true(slice_equal(SLICE("123"), slice_from(binding_at(0).user_agent, 61)));
}

static void requests_go_to_the_source_when_the_contact_is_not_there(void **state)
{
    (void)state;
    static const struct {
        const char *why, *via, *contacts;
        struct addr source;
        uint8_t transport;
        bool nat; /* of the first */
    } cases[] = {
        {"the contact is the source",
         "UDP 192.0.2.7:5062;rport",
         "<sip:a@192.0.2.7:5062>",
         {ADDR_V4, 0, 5062, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"the default port",
         "UDP 192.0.2.7;rport",
         "<sip:a@192.0.2.7>",
         {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"IPv6",
         "UDP [2001:db8::7];rport",
         "<sip:a@[2001:DB8:0::7]>",
         {ADDR_V6, 0, 5060, 0, {0x20, 0x01, 0x0d, 0xb8, [15] = 7}},
         TRANSPORT_UDP,
         false},
        {"behind a NAT",
         "UDP 10.0.0.7:5062;rport",
         "<sip:a@10.0.0.7:5062>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         true},
        {"behind a NAT, without rport",
         "UDP 10.0.0.7:5062",
         "<sip:a@10.0.0.7:5062>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         true},
        {"a port changed on the way",
         "UDP 192.0.2.7:5062;rport",
         "<sip:a@192.0.2.7:5062>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         true},
        {"sends from another port than it listens on, and says so by asking no rport",
         "UDP 192.0.2.7:5062",
         "<sip:a@192.0.2.7:5062>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"a name in Via",
         "UDP phone.invalid;rport",
         "<sip:a@phone.invalid>",
         {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         true},
        {"a name that DNS knows",
         "UDP 192.0.2.7:5060;rport",
         "<sip:a@pbx.example.net>",
         {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"another machine, no NAT",
         "UDP 192.0.2.7:5060;rport",
         "<sip:a@192.0.2.99>",
         {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"a private address behind a public Via",
         "UDP 8.8.8.8:5060;rport",
         "<sip:a@10.0.0.9>",
         {ADDR_V4, 0, 5060, 0, {8, 8, 8, 8}},
         TRANSPORT_UDP,
         true},
        {"through a proxy without Path",
         "UDP 192.0.2.7, SIP/2.0/UDP 10.0.0.1",
         "<sip:a@10.0.0.1>",
         {ADDR_V4, 0, 5060, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         false},
        {"any stream",
         "TCP 192.0.2.7:5062;rport",
         "<sip:a@192.0.2.7:5062>",
         {ADDR_V4, 0, 5062, 0, {192, 0, 2, 7}},
         TRANSPORT_TCP,
         true},
        {"WebSocket",
         "WS x.invalid",
         "<sip:a@y.invalid;transport=ws>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_WS,
         true},
        {"one of several, another machine's",
         "TCP 192.0.2.7:5062;rport",
         "<sip:a@192.0.2.99>, <sip:a@192.0.2.7>",
         {ADDR_V4, 0, 5062, 0, {192, 0, 2, 7}},
         TRANSPORT_TCP,
         false},
        {"one of several, its own",
         "UDP 10.0.0.7:5062;rport",
         "<sip:a@10.0.0.7>, <sip:a@other>",
         {ADDR_V4, 0, 40000, 0, {192, 0, 2, 7}},
         TRANSPORT_UDP,
         true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[600];
        int len = snprintf(text, sizeof text,
                           "REGISTER sip:example.com SIP/2.0\r\n"
                           "Via: SIP/2.0/%s;branch=z9hG4bK1\r\n"
                           "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n"
                           "Call-ID: c\r\nCSeq: 1 REGISTER\r\nContact: %s\r\n"
                           "Content-Length: 0\r\n\r\n",
                           cases[i].via, cases[i].contacts);
        struct sip_msg msg;
        assert_int_equal(OK, sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, &msg));
        source.remote = cases[i].source;
        source.transport = cases[i].transport;
        current = SLICE_EMPTY;
        assert_int_equal(200, process(&msg));
        if (binding_at(0).nat != cases[i].nat)
            fail_msg("%s", cases[i].why);
    }
}

static void a_lower_limit_does_not_throw_out_who_refreshes(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>, <sip:b@h>, <sip:c@h>\r\n"));
    config.max_contacts = 1;
    assert_int_equal(200, submit("c", 2, "Contact: <sip:a@h>\r\n"));
    assert_int_equal(403, submit("c", 3, "Contact: <sip:d@h>\r\n"));
    assert_int_equal(200, submit("c", 4, "Contact: <sip:b@h>;expires=0\r\n"));
    assert_int_equal(2, binding_count(current));
}

static void expired_bindings_make_room(void **state)
{
    (void)state;
    assert_int_equal(200,
                     submit("c", 5, "Contact: <sip:a@h>;expires=60, <sip:b@h>, <sip:c@h>\r\n"));
    now_ms += 60000;
    /* An expired binding has no CSeq any more, either. */
    assert_int_equal(200, submit("c", 6, "Contact: <sip:d@h>\r\n"));
    assert_int_equal(3, binding_count(current));
    assert_int_equal(1, result.added);
    assert_int_equal(0, result.removed);
}

static void as_many_contacts_as_a_block_holds(void **state)
{
    (void)state;
    static char lines[20000];
    config.max_contacts = BINDINGS_MAX;
    for (unsigned round = 0; round < 2; round++) {
        size_t at = 0;
        for (unsigned i = 0; i < 32; i++)
            at += (size_t)snprintf(lines + at, sizeof lines - at, "Contact: <sip:a%u@h>\r\n",
                                   32 * round + i);
        assert_int_equal(200, submit("c", round + 1, lines));
    }
    assert_int_equal(BINDINGS_MAX, binding_count(current));
    assert_int_equal(403, submit("c", 9, "Contact: <sip:more@h>\r\n"));
    assert_int_equal(200, submit("c", 9, "Contact: <sip:more@h>, <sip:a63@h>;expires=0\r\n"));
    assert_int_equal(BINDINGS_MAX, binding_count(current));
}

static void a_block_that_would_be_too_long_is_refused(void **state)
{
    (void)state;
    static char lines[16000];
    config.max_contacts = BINDINGS_MAX;
    for (unsigned i = 1; i <= 6; i++) {
        memset(lines, 'x', sizeof lines);
        memcpy(lines, "Contact: <sip:a@h;x=", 20);
        lines[19] = (char)('0' + i);
        memcpy(lines + sizeof lines - 4, ">\r\n", 4);
        lines[16] = (char)('a' + i); /* the host: not equal to the others */
        assert_int_equal(i <= 4 ? 200 : 403, submit("c", i, lines));
    }
    assert_int_equal(4, binding_count(current));
}

static void memory_that_cannot_be_had_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(200, submit("c", 1, "Contact: <sip:a@h>\r\n"));
    const struct sip_msg *msg = request("c", 2,
                                        "Contact: <sip:a@h>;x=1, <sip:b@h>\r\nPath: <sip:p;lr>\r\n"
                                        "Supported: path\r\nRequire: path\r\n");
    path_ok = true;
    bool done = false;
    for (size_t used = 0; !done; used += 16) {
        struct arena small;
        assert_true(used < 8000);
        assert_int_equal(OK, arena_init(&small, &mem, 64 + used));
        struct registrar_result out = {.status = 77};
        enum err err = registrar_process(&config, msg, SLICE("alice"), current, &source, path_ok,
                                         now_ms, &small, &out);
        done = err == OK;
        if (!done) {
            assert_int_equal(ERR_MEMORY, err);
            assert_int_equal(77, out.status);
        }
        arena_release(&small);
    }
}

static void aor_keys_are_unescaped_user_parts(void **state)
{
    (void)state;
    static const struct {
        const char *uri;
        enum err err;
        struct slice key;
    } cases[] = {
        {"sip:alice@example.com", OK, {"alice", 5}},
        {"sip:%61lice@EXAMPLE.com;user=phone?h=v", OK, {"alice", 5}},
        {"sips:Alice:password@example.com", OK, {"Alice", 5}},
        {"sip:null-%00-null@example.com", OK, {"null-\0-null", 11}},
        {"sip:example.com", ERR_SYNTAX, {"", 0}},
        {"tel:+15105550101", ERR_SYNTAX, {"", 0}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_uri uri;
        char text[64];
        struct builder b = builder_over(text, sizeof text);
        assert_int_equal(OK, sip_uri_parse(slice_of(cases[i].uri), &uri));
        assert_int_equal(cases[i].err, registrar_aor_key(&uri, &b));
        assert_true(slice_equal(cases[i].key, builder_slice(&b)));
    }
}

static void expired_bindings_are_taken_out(void **state)
{
    (void)state;
    struct slice out;
    bool changed;
    assert_int_equal(200,
                     submit("c", 1, "Contact: <sip:a@h>;expires=60, <sip:b@h>;expires=90\r\n"));

    assert_int_equal(OK, registrar_expire(current, T0 + 59999, &arena, &out, &changed));
    assert_false(changed);
    assert_ptr_equal(current.data, out.data);
    assert_int_equal(OK, registrar_expire(current, T0 + 60000, &arena, &out, &changed));
    assert_true(changed);
    assert_int_equal(1, binding_count(out));
    assert_true(slice_equal(SLICE("alice"), binding_block_aor(out)));
    assert_int_equal(OK, registrar_expire(current, T0 + 90000, &arena, &out, &changed));
    assert_true(changed);
    assert_int_equal(0, out.len);
    assert_int_equal(OK, registrar_expire(SLICE_EMPTY, T0, &arena, &out, &changed));
    assert_false(changed);
}

static void bindings_of_a_lost_connection_are_marked(void **state)
{
    (void)state;
    struct slice out;
    bool changed;
    const struct conn_id conn = {1, {5, 9}}, other = {2, {5, 9}}, newer = {1, {5, 10}};
    assert_int_equal(200, submit("c", 1, "Contact: <sip:udp@h>\r\n"));
    source.transport = TRANSPORT_TCP;
    source.conn = conn;
    assert_int_equal(200, submit("d", 1, "Contact: <sip:tcp@h>\r\n"));

    assert_int_equal(OK, registrar_flow_lost(current, other, &arena, &out, &changed));
    assert_false(changed);
    assert_int_equal(OK, registrar_flow_lost(current, newer, &arena, &out, &changed));
    assert_false(changed);
    assert_int_equal(OK, registrar_flow_lost(current, conn, &arena, &out, &changed));
    assert_true(changed);
    memcpy(current_bytes, out.data, out.len);
    current.len = out.len;
    assert_false(binding_at(0).flow_lost);
    assert_true(binding_at(1).flow_lost);
    assert_int_equal(OK, registrar_flow_lost(current, conn, &arena, &out, &changed));
    assert_false(changed); /* twice is once */

    source.conn = newer;
    assert_int_equal(200, submit("d", 2, "Contact: <sip:tcp@h>\r\n"));
    assert_false(binding_at(1).flow_lost); /* it is back */
}

/* ---- push (RFC 8599) ---- */

static const struct slice push_services[] = {{"apns", 4}, {"fcm", 3}, {"webpush", 7}};

static void with_push(void)
{
    config.push = (struct registrar_push){
        .providers = push_services, .provider_count = 3, .vapid = SLICE("BKey_-1"), .lead = 120};
}

static unsigned caps_lines(void)
{
    unsigned count = 0;
    struct slice rest = result.fields;
    const char *at;

    while ((at = memmem(rest.data, rest.len, "Feature-Caps: ", 14)) != NULL) {
        count++;
        rest = slice_from(rest, (size_t)(at - rest.data) + 14);
    }
    return count;
}

static void a_phone_that_wants_to_be_woken_is_told_that_it_is(void **state)
{
    (void)state;
    with_push();
    assert_int_equal(200,
                     submit("c1", 1,
                            "Contact: <sip:alice@192.0.2.7:5062;pn-provider=APNS;pn-param=T.a.b;"
                            "pn-prid=%7Exyz>;+sip.pnsreg\r\n"));
    expect("Feature-Caps: *;+sip.pns=\"apns\";+sip.pnsreg=\"130\"\r\n");
    expect("Contact: <sip:alice@192.0.2.7:5062;pn-provider=APNS;pn-param=T.a.b;pn-prid=%7Exyz>");
    assert_int_equal(1, caps_lines());
    assert_true(binding_at(0).push);
    /* the same without: it does not want it any more (§4.1.2) */
    assert_int_equal(200, submit("c1", 2, "Contact: <sip:alice@192.0.2.7:5062>\r\n"));
    assert_int_equal(0, caps_lines());
    assert_int_equal(1, binding_count(current));
    assert_false(binding_at(0).push);
}

static void a_vapid_key_is_for_web_push_only(void **state)
{
    (void)state;
    with_push();
    assert_int_equal(200, submit("c1", 1,
                                 "Contact: <sip:a@192.0.2.7;pn-provider=webpush;"
                                 "pn-prid=https:%2F%2Fpush%2Fx>\r\n"));
    expect("Feature-Caps: *;+sip.pns=\"webpush\";+sip.vapid=\"BKey_-1\"\r\n");
}

static void who_asks_what_there_is_is_told_and_not_woken(void **state)
{
    (void)state;
    with_push();
    assert_int_equal(200, submit("c1", 1, "Contact: <sip:a@192.0.2.7;pn-provider>\r\n"));
    assert_int_equal(3, caps_lines());
    expect("+sip.pns=\"fcm\"\r\n");
    assert_false(binding_at(0).push);
    assert_int_equal(200, submit("c1", 2, "Contact: <sip:a@192.0.2.7;pn-provider=fcm>\r\n"));
    assert_int_equal(1, caps_lines());
    assert_false(binding_at(0).push);
    assert_int_equal(200, submit("c1", 3, "Contact: <sip:a@192.0.2.7;pn-prid=x>\r\n"));
    assert_int_equal(0, caps_lines());
    assert_false(binding_at(0).push);
}

static void what_cannot_be_served_is_refused(void **state)
{
    static const struct {
        const char *params;
        unsigned status;
    } cases[] = {
        {"pn-provider=acme;pn-prid=x", 555},
        {"pn-provider=acme", 555},
        {"pn-provider=apns;pn-prid=x", 400},               /* no pn-param (§10) */
        {"pn-provider=fcm;pn-param=;pn-prid=x", 400},      /* (§11) */
        {"pn-provider=webpush;pn-param=p;pn-prid=x", 400}, /* (§12) */
        {"pn-provider=apns;pn-param=p;pn-prid=", 400},
        {"pn-provider=apns;pn-param=p;pn-prid", 400},
        {"pn-provider=apns;pn-param=p;pn-prid=x", 200},
    };
    (void)state;

    with_push();
    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "Contact: <sip:a@192.0.2.7;%s>\r\n", cases[i].params);
        assert_int_equal(cases[i].status, submit("c1", i + 1, lines));
    }
}

static void a_token_has_a_longest_size(void **state)
{
    static char lines[2048];
    (void)state;

    with_push();
    for (unsigned over = 0; over < 2; over++) {
        snprintf(lines, sizeof lines,
                 "Contact: <sip:a@192.0.2.7;pn-provider=apns;pn-param=p;pn-prid=%0*d>\r\n",
                 PUSH_PRID_MAX + (int)over, 0);
        assert_int_equal(over == 0 ? 200 : 400, submit("c1", over + 1, lines));
    }
}

static void a_binding_lives_long_enough_to_be_woken(void **state)
{
    static const char contact[] =
        "Contact: <sip:a@192.0.2.7;pn-provider=apns;pn-param=p;pn-prid=x>;expires=%u\r\n";
    char lines[256];
    (void)state;

    with_push();
    snprintf(lines, sizeof lines, contact, 239u);
    assert_int_equal(423, submit("c1", 1, lines));
    expect("Min-Expires: 240\r\n");
    snprintf(lines, sizeof lines, contact, 240u);
    assert_int_equal(200, submit("c1", 2, lines));
    snprintf(lines, sizeof lines, contact, 0u);
    assert_int_equal(200, submit("c1", 3, lines));
    assert_int_equal(0, current.len);
    config.push.lead = 0; /* nobody is woken to refresh: any time will do */
    snprintf(lines, sizeof lines, contact, 60u);
    assert_int_equal(200, submit("c1", 4, lines));
}

static void another_proxy_may_wake_the_phone(void **state)
{
    (void)state;
    with_push();
    assert_int_equal(200, submit("c1", 1,
                                 "Feature-Caps: *;+sip.x, *;+sip.pns=\"acme\"\r\n"
                                 "Contact: <sip:a@192.0.2.7;pn-provider=acme;pn-prid=x>\r\n"));
    assert_int_equal(0, caps_lines());
    assert_false(binding_at(0).push);
    assert_int_equal(555, submit("c1", 2,
                                 "Feature-Caps: *;+sip.pnsx=\"acme\"\r\n"
                                 "Contact: <sip:a@192.0.2.7;pn-provider=acme;pn-prid=x>\r\n"));
}

static void without_a_gateway_nothing_is_said_of_push(void **state)
{
    (void)state;
    assert_int_equal(200,
                     submit("c1", 1, "Contact: <sip:a@192.0.2.7;pn-provider=acme;pn-prid=x>\r\n"));
    assert_int_equal(0, caps_lines());
    assert_false(binding_at(0).push);
}

int main(void)
{
#define REGISTRAR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        REGISTRAR_TEST(a_contact_is_stored_and_listed),
        REGISTRAR_TEST(intervals_follow_parameter_header_default_and_limits),
        REGISTRAR_TEST(an_hour_is_never_too_brief),
        REGISTRAR_TEST(what_breaks_the_rules_is_refused_and_changes_nothing),
        REGISTRAR_TEST(the_aor_is_a_sip_uri),
        REGISTRAR_TEST(a_query_lists_what_is_there_with_what_is_left),
        REGISTRAR_TEST(a_refresh_replaces_by_uri_rules),
        REGISTRAR_TEST(expires_0_removes_just_that_contact),
        REGISTRAR_TEST(one_request_adds_refreshes_and_removes),
        REGISTRAR_TEST(the_last_of_equal_contacts_in_a_request_holds),
        REGISTRAR_TEST(a_star_removes_all),
        REGISTRAR_TEST(an_overtaken_request_changes_nothing),
        REGISTRAR_TEST(a_late_retransmission_gets_the_present_bindings),
        REGISTRAR_TEST(an_instance_and_reg_id_name_one_flow),
        REGISTRAR_TEST(the_200_says_whether_flows_are_kept),
        REGISTRAR_TEST(a_reg_id_without_an_instance_is_none),
        REGISTRAR_TEST(flows_count_only_when_the_first_hop_keeps_them),
        REGISTRAR_TEST(flows_are_tried_newest_first),
        REGISTRAR_TEST(who_asks_is_told_gruus),
        REGISTRAR_TEST(what_a_phone_says_of_its_gruus_is_not_kept),
        REGISTRAR_TEST(each_200_has_a_new_one_and_the_old_ones_count_on),
        REGISTRAR_TEST(another_call_id_voids_the_temporary_ones),
        REGISTRAR_TEST(flows_share_their_gruus),
        REGISTRAR_TEST(phones_of_one_user_have_different_ones),
        REGISTRAR_TEST(a_contact_that_is_the_aor_is_refused),
        REGISTRAR_TEST(the_name_of_an_instance_survives_a_uri),
        REGISTRAR_TEST(a_phone_that_moved_is_known_by_its_instance),
        REGISTRAR_TEST(a_sips_contact_is_taken_only_where_all_is_sips),
        REGISTRAR_TEST(a_path_is_kept_in_order_and_given_back),
        REGISTRAR_TEST(the_service_route_is_told),
        REGISTRAR_TEST(contacts_come_back_as_they_were_written),
        REGISTRAR_TEST(a_long_user_agent_is_cut),
        REGISTRAR_TEST(requests_go_to_the_source_when_the_contact_is_not_there),
        REGISTRAR_TEST(a_lower_limit_does_not_throw_out_who_refreshes),
        REGISTRAR_TEST(expired_bindings_make_room),
        REGISTRAR_TEST(as_many_contacts_as_a_block_holds),
        REGISTRAR_TEST(a_block_that_would_be_too_long_is_refused),
        REGISTRAR_TEST(memory_that_cannot_be_had_changes_nothing),
        REGISTRAR_TEST(aor_keys_are_unescaped_user_parts),
        REGISTRAR_TEST(expired_bindings_are_taken_out),
        REGISTRAR_TEST(bindings_of_a_lost_connection_are_marked),
        REGISTRAR_TEST(a_phone_that_wants_to_be_woken_is_told_that_it_is),
        REGISTRAR_TEST(a_vapid_key_is_for_web_push_only),
        REGISTRAR_TEST(who_asks_what_there_is_is_told_and_not_woken),
        REGISTRAR_TEST(what_cannot_be_served_is_refused),
        REGISTRAR_TEST(a_token_has_a_longest_size),
        REGISTRAR_TEST(a_binding_lives_long_enough_to_be_woken),
        REGISTRAR_TEST(another_proxy_may_wake_the_phone),
        REGISTRAR_TEST(without_a_gateway_nothing_is_said_of_push),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
