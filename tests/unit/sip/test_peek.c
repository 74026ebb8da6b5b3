/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A light look at a request, and the parameters of overload control. tests/fuzz/fuzz_peek.c holds
 * the look against the parser; here stands what it must say of messages that one can read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/builder.h"
#include "sip/sip.h"

#define HEAD "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h:5062;branch=z9hG4bKa;rport\r\n"
#define TAIL "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\n\r\n"
#define LONG "v: SIP/2.0/UDP h;branch=z9hG4bKa\r\nf: <sip:a@b>;tag=1\r\ni: x@y\r\n"

struct look {
    const char *why;
    const char *text;
    bool seen;
};

static const struct look looks[] = {
    {"a plain one", HEAD TAIL, true},
    {"compact names and folding",
     "INVITE sip:c@d SIP/2.0\r\n" LONG "t:\r\n <sip:c@d>\r\nCSeq: 7 INVITE\r\n\r\n", true},
    {"line ends in front of it", "\r\n\r\n" HEAD TAIL, true},
    {"a response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n" TAIL, false},
    {"no Via", "INVITE sip:c@d SIP/2.0\r\n" TAIL, false},
    {"a malformed Via", "INVITE sip:c@d SIP/2.0\r\nVia: nonsense\r\n" TAIL, false},
    {"two From", HEAD "From: <sip:e@f>;tag=2\r\n" TAIL, false},
    {"another method in CSeq", "BYE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n" TAIL,
     false},
    {"a bare CR", HEAD "X: a\rb\r\n" TAIL, false},
    {"cut off", HEAD "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n", false},
    {"another version", "INVITE sip:c@d SIP/3.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n" TAIL,
     false},
    {"nothing", "", false},
};

static void what_is_plain_is_seen_and_all_else_left_to_the_parser(void **state)
{
    static struct sip_msg msg;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(looks); i++) {
        if (sip_peek(slice_of(looks[i].text), &msg) != looks[i].seen)
            fail_msg("%s", looks[i].why);
        if (!looks[i].seen)
            continue;
        assert_int_equal(msg.method, SIP_INVITE);
        assert_int_equal(msg.cseq.number, 7);
        assert_int_equal(msg.to.tag.len, 0);
        assert_true(slice_equal(msg.call_id, SLICE("x@y")));
        assert_true(slice_equal(msg.via.branch, SLICE("z9hG4bKa")));
    }
}

static void the_tag_of_a_refusal_is_found_in_to_only(void **state)
{
    static const char ack[] = "ACK sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n";
    static const struct {
        const char *rest;
        bool has;
    } cases[] = {
        {"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=secret01\r\n\r\n", true},
        {"t: <sip:c@d>;x=y;tag=secret01\r\n\r\n", true},
        {"To: <sip:c@d>;tag=other\r\n\r\n", false},
        {"To: <sip:c@d>\r\nFrom: <sip:a@b>;tag=secret01\r\n\r\n", false},
        {"To: <sip:c@d>\r\n\r\nTo: <sip:c@d>;tag=secret01\r\n", false},
        {"To: <sip:c@d>;tag=secret01", false},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        struct builder b = builder_over(text, sizeof text);
        builder_add(&b, slice_of(ack));
        builder_add(&b, slice_of(cases[i].rest));
        assert_int_equal(sip_peek_to_has(builder_slice(&b), SLICE("tag=secret")), cases[i].has);
    }
}

static void the_first_bytes_name_the_method(void **state)
{
    (void)state;
    assert_int_equal(sip_peek_method(SLICE("INVITE sip:")), SIP_INVITE);
    assert_int_equal(sip_peek_method(SLICE("REGISTER sip:")), SIP_REGISTER);
    assert_int_equal(sip_peek_method(SLICE("ACK sip:")), SIP_ACK);
    assert_int_equal(sip_peek_method(SLICE("INVITED sip:")), SIP_METHOD_OTHER);
    assert_int_equal(sip_peek_method(SLICE("BYE sip:")), SIP_METHOD_OTHER);
    assert_int_equal(sip_peek_method(SLICE("SIP/2.0 200 OK")), SIP_METHOD_OTHER);
    assert_int_equal(sip_peek_method(SLICE("INV")), SIP_METHOD_OTHER);
}

static void the_name_of_a_message_is_found_where_it_is_plain(void **state)
{
    static const struct {
        const char *why, *text, *name; /* NULL: left to the parser */
    } cases[] = {
        {"a request goes by its Call-ID", "INVITE sip:b SIP/2.0\r\nVia: x\r\nCall-ID: a@b\r\n\r\n",
         "a@b"},
        {"compact, and in any case", "BYE sip:b SIP/2.0\r\nI:a \r\n\r\n", "a"},
        {"of two the first: the parser says what is wrong",
         "BYE sip:b SIP/2.0\r\nCall-ID: a\r\nCall-ID: b\r\n\r\n", "a"},
        {"a name with a space", "BYE sip:b SIP/2.0\r\nCall-ID : a\r\ni: b\r\n\r\n", NULL},
        {"a tab", "BYE sip:b SIP/2.0\r\ni\t: a\r\nCall-ID: b\r\n\r\n", NULL},
        {"folded", "BYE sip:b SIP/2.0\r\nCall-ID: a\r\n b\r\n\r\n", NULL},
        {"folded in front", "BYE sip:b SIP/2.0\r\nCall-ID:\r\n a\r\n\r\n", NULL},
        {"in a folded line of another", "BYE sip:b SIP/2.0\r\nSubject: x\r\n Call-ID: a\r\n\r\n",
         NULL},
        {"none", "BYE sip:b SIP/2.0\r\nVia: x\r\n\r\ni: body\r\n\r\n", NULL},
        {"empty", "BYE sip:b SIP/2.0\r\nCall-ID: \r\n\r\n", NULL},
        {"cut off", "BYE sip:b SIP/2.0\r\nCall-ID: a", NULL},
        {"a bare line feed", "BYE sip:b SIP/2.0\nCall-ID: a\r\n\r\n", NULL},
        {"a REGISTER goes by To", "REGISTER sip:b SIP/2.0\r\nCall-ID: a\r\n\r\n", NULL},
        {"lines in front", "\r\nBYE sip:b SIP/2.0\r\nCall-ID: a\r\n\r\n", NULL},
        {"a response goes by its top branch",
         "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx;rport=1\r\nVia: y;branch=z\r\n\r\n",
         "z9hG4bKx"},
        {"the first of two values",
         "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP h;branch=x, SIP/2.0/UDP i;branch=y\r\n\r\n", "x"},
        {"a branch that is not first: not ours",
         "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;rport;branch=x\r\n\r\n", NULL},
        {"a branch of the second value",
         "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h, SIP/2.0/UDP i;branch=y\r\n\r\n", NULL},
        {"quotes", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=x;a=\",\"\r\n\r\n", NULL},
        {"spaces", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=x ;a\r\n\r\n", NULL},
        {"lower case", "sip/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=x\r\n\r\n", NULL},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_peek_name name = {0};
        bool found = sip_peek_name(slice_of(cases[i].text), &name);
        if (found != (cases[i].name != NULL) ||
            (found && !slice_equal(name.text, slice_of(cases[i].name))))
            fail_msg("%s: %s, \"%.*s\"", cases[i].why, found ? "found" : "not found",
                     SLICE_ARG(name.text));
        if (found)
            assert_int_equal(cases[i].text[0] == 'S', name.is_response);
    }
}

static void the_user_agent_is_found_where_it_is_plain(void **state)
{
    (void)state;
    static const struct {
        const char *text, *agent;
    } cases[] = {
        {"INVITE sip:b SIP/2.0\r\nVia: x\r\nUser-Agent: scan 1\r\n\r\n", "scan 1"},
        {"\r\n\r\nINVITE sip:b SIP/2.0\r\nuser-agent:x\r\nUser-Agent: y\r\n\r\n", "x"},
        {"INVITE sip:b SIP/2.0\r\nu: presence\r\n\r\nUser-Agent: in the body\r\n", ""},
        {"INVITE sip:b SIP/2.0\r\nUser-Agent : x\r\n\r\n", ""},
        {"INVITE sip:b SIP/2.0\r\nUser-Agent: x\r\n y\r\n\r\n", ""},
        {"INVITE sip:b SIP/2.0\r\nUser-Agent: x", ""},
        {"", ""},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice agent = sip_peek_agent(slice_of(cases[i].text));
        assert_int_equal(strlen(cases[i].agent), agent.len);
        assert_memory_equal(cases[i].agent, agent.data != NULL ? agent.data : "", agent.len);
    }
}

static void what_is_to_be_kept_back_is_written_as_rfc_7339_has_it(void **state)
{
    static const struct {
        unsigned percent;
        uint64_t seq_ms;
        const char *text;
    } cases[] = {
        {20, UINT64_C(1282321615782),
         ";oc=20;oc-algo=\"loss\";oc-validity=500;oc-seq=1282321615.782"},
        {0, UINT64_C(1282321892007), ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq=1282321892.007"},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[SIP_OC_MAX];
        struct builder b = builder_over(text, sizeof text);
        sip_oc_write(&b, cases[i].percent, cases[i].seq_ms);
        assert_false(b.overflow);
        assert_true(slice_equal(builder_slice(&b), slice_of(cases[i].text)));
    }
}

static void the_longest_text_has_room(void **state)
{
    char text[SIP_OC_MAX];
    struct builder b = builder_over(text, sizeof text);
    (void)state;

    sip_oc_write(&b, 100, UINT64_MAX);
    assert_false(b.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_plain_is_seen_and_all_else_left_to_the_parser),
        cmocka_unit_test(the_tag_of_a_refusal_is_found_in_to_only),
        cmocka_unit_test(the_first_bytes_name_the_method),
        cmocka_unit_test(the_name_of_a_message_is_found_where_it_is_plain),
        cmocka_unit_test(the_user_agent_is_found_where_it_is_plain),
        cmocka_unit_test(what_is_to_be_kept_back_is_written_as_rfc_7339_has_it),
        cmocka_unit_test(the_longest_text_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
