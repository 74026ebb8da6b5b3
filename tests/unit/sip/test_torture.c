/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of RFC 4475 and RFC 5118 as the parser must judge them; each of them also cut
 * off after every byte, against a page that may not be read.
 */
#include "sip_test.h"

#include "sip_exercise.h"

enum verdict {
    REQUEST,  /* no fault */
    RESPONSE, /* given out */
    DROP,     /* ERR_SYNTAX */
    FAULT_400,
    FAULT_505,
};

static const struct {
    const char *file;
    enum verdict verdict;
    const char *why;
} messages[] = {
    {"rfc4475/wsinv.dat", REQUEST, "RFC 4475 §3.1.1.1: folding, case, compact names"},
    {"rfc4475/intmeth.dat", REQUEST, "§3.1.1.2: an unknown method is a token like any other"},
    {"rfc4475/esc01.dat", REQUEST, "§3.1.1.3: escapes"},
    {"rfc4475/escnull.dat", REQUEST, "§3.1.1.4: %00 in a user part"},
    {"rfc4475/esc02.dat", REQUEST, "§3.1.1.5: % is no escape outside URIs"},
    {"rfc4475/lwsdisp.dat", REQUEST, "§3.1.1.6: no LWS before <"},
    {"rfc4475/longreq.dat", REQUEST, "§3.1.1.7: long values"},
    {"rfc4475/dblreq.dat", REQUEST, "§3.1.1.8: octets behind the body"},
    {"rfc4475/semiuri.dat", REQUEST, "§3.1.1.9: ;par in the user part"},
    {"rfc4475/transports.dat", REQUEST, "§3.1.1.10: transports nobody knows"},
    {"rfc4475/mpart01.dat", REQUEST, "§3.1.1.11: a binary body"},
    {"rfc4475/unreason.dat", RESPONSE, "§3.1.1.12: UTF-8 in the reason phrase"},
    {"rfc4475/noreason.dat", RESPONSE, "§3.1.1.13: no reason phrase"},
    {"rfc4475/badinv01.dat", FAULT_400, "§3.1.2.1: empty parameters in Via"},
    {"rfc4475/clerr.dat", FAULT_400, "§3.1.2.2: Content-Length larger than the datagram"},
    {"rfc4475/ncl.dat", FAULT_400, "§3.1.2.3: negative Content-Length"},
    {"rfc4475/scalar02.dat", FAULT_400, "§3.1.2.4: CSeq past 2^32"},
    {"rfc4475/scalarlg.dat", DROP, "§3.1.2.5: the same in a response"},
    {"rfc4475/quotbal.dat", FAULT_400, "§3.1.2.6: a quote without end"},
    {"rfc4475/ltgtruri.dat", FAULT_400, "§3.1.2.7: <> around the Request-URI"},
    {"rfc4475/lwsruri.dat", FAULT_400, "§3.1.2.8: LWS in the Request-URI"},
    {"rfc4475/lwsstart.dat", FAULT_400, "§3.1.2.9: several SP in the request line"},
    {"rfc4475/trws.dat", FAULT_400, "§3.1.2.10: SP behind the version"},
    {"rfc4475/escruri.dat", REQUEST, "§3.1.2.11: the proxy strips headers of the Request-URI"},
    {"rfc4475/baddate.dat", REQUEST, "§3.1.2.12: Date matters to nobody here"},
    {"rfc4475/regbadct.dat", REQUEST, "§3.1.2.13: found when Contact is parsed"},
    {"rfc4475/badaspec.dat", FAULT_400, "§3.1.2.14: spaces within < >"},
    {"rfc4475/baddn.dat", FAULT_400, "§3.1.2.15: ',' in a display name without quotes"},
    {"rfc4475/badvers.dat", FAULT_505, "§3.1.2.16: SIP/7.0"},
    {"rfc4475/mismatch01.dat", FAULT_400, "§3.1.2.17: CSeq with another method"},
    {"rfc4475/mismatch02.dat", FAULT_400, "§3.1.2.18: the same with an unknown method"},
    {"rfc4475/bigcode.dat", DROP, "§3.1.2.19: status 4294967301"},
    {"rfc4475/badbranch.dat", REQUEST, "§3.2.1: a cookie alone is a branch of RFC 2543"},
    {"rfc4475/insuf.dat", FAULT_400, "§3.3.1: To, From and Call-ID missing"},
    {"rfc4475/unkscm.dat", REQUEST, "§3.3.2: 416 is the proxy's"},
    {"rfc4475/novelsc.dat", REQUEST, "§3.3.3: the same"},
    {"rfc4475/unksm2.dat", REQUEST, "§3.3.4: unknown schemes in To, From, Contact"},
    {"rfc4475/bext01.dat", REQUEST, "§3.3.5: 420 is the proxy's"},
    {"rfc4475/invut.dat", REQUEST, "§3.3.6: unknown Content-Type"},
    {"rfc4475/regaut01.dat", REQUEST, "§3.3.7: unknown Authorization scheme"},
    {"rfc4475/multi01.dat", FAULT_400, "§3.3.8: single values given twice"},
    {"rfc4475/mcl01.dat", FAULT_400, "§3.3.9: two Content-Lengths"},
    {"rfc4475/bcast.dat", RESPONSE, "§3.3.10: the second Via is not looked into"},
    {"rfc4475/zeromf.dat", REQUEST, "§3.3.11: 483 is the proxy's"},
    {"rfc4475/cparam01.dat", REQUEST, "§3.3.12: a parameter of Contact"},
    {"rfc4475/cparam02.dat", REQUEST, "§3.3.13: a parameter of its URI"},
    {"rfc4475/regescrt.dat", REQUEST, "§3.3.14: a header in its URI"},
    {"rfc4475/sdp01.dat", REQUEST, "§3.3.15: Accept without SDP"},
    {"rfc4475/inv2543.dat", REQUEST, "§3.4.1: RFC 2543"},
    {"rfc4475/extra/baddn-terminated.dat", FAULT_400, "as baddn, with an empty line"},
    {"rfc5118/ipv6-good.dat", REQUEST, "RFC 5118 §4.1"},
    {"rfc5118/ipv6-bad.dat", FAULT_400, "§4.2: an IPv6 address without brackets"},
    {"rfc5118/port-ambiguous.dat", REQUEST, "§4.3: it is no port"},
    {"rfc5118/port-unambiguous.dat", REQUEST, "§4.4: it is"},
    {"rfc5118/via-received-param-with-delim.dat", REQUEST, "§4.5: received=[...]"},
    {"rfc5118/via-received-param-no-delim.dat", REQUEST, "§4.5: received without brackets"},
    {"rfc5118/ipv6-in-sdp.dat", REQUEST, "§4.6"},
    {"rfc5118/mult-ip-in-header.dat", REQUEST, "§4.7"},
    {"rfc5118/mult-ip-in-sdp.dat", REQUEST, "§4.8"},
    {"rfc5118/ipv4-mapped-ipv6.dat", REQUEST, "§4.9"},
    {"rfc5118/ipv6-bug-abnf-3-colons.dat", REQUEST, "§4.10: liberal with the old grammar's form"},
    {"rfc5118/ipv6-correct-abnf-2-colons.dat", REQUEST, "§4.10"},
};

static struct sip_msg msg;
static char file_bytes[SIP_MESSAGE_MAX];

/** The messages lie beside this file's folder. */
static struct slice load(const char *name)
{
    static const char here[] = "unit/sip/test_torture.c";
    char path[1024];
    size_t tests = strlen(__FILE__) - strlen(here);
    int length = snprintf(path, sizeof path, "%.*sconformance/%s", (int)tests, __FILE__, name);
    assert_true(length > 0 && (size_t)length < sizeof path);

    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    size_t len = fread(file_bytes, 1, sizeof file_bytes, file);
    fclose(file);
    return (struct slice){file_bytes, len};
}

static enum verdict judge(struct slice bytes)
{
    if (sip_parse(bytes, SIP_DATAGRAM, &msg))
        return DROP;
    if (msg.is_response)
        return RESPONSE;
    if (msg.fault.status == 0)
        return REQUEST;
    return msg.fault.status == 505 ? FAULT_505 : FAULT_400;
}

TEST(every_torture_message_gets_its_verdict)
{
    int wrong = 0;

    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        enum verdict verdict = judge(guarded(load(messages[i].file)));
        if (verdict == messages[i].verdict)
            continue;
        wrong++;
        print_error("%s (%s): verdict %d, not %d; fault %u %s\n", messages[i].file, messages[i].why,
                    (int)verdict, (int)messages[i].verdict, msg.fault.status,
                    msg.fault.status != 0 ? msg.fault.reason : "");
    }
    assert_int_equal(0, wrong);
}

TEST(every_torture_message_survives_being_asked)
{
    for (size_t i = 0; i < COUNT_OF(messages); i++)
        if (judge(guarded(load(messages[i].file))) != DROP)
            sip_exercise_msg(&msg);
}

TEST(a_message_cut_off_anywhere_is_judged_without_reading_on)
{
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        struct slice whole = load(messages[i].file);
        for (size_t len = 0; len < whole.len; len++) {
            struct slice part = guarded((struct slice){whole.data, len});
            if (sip_parse(part, SIP_DATAGRAM, &msg))
                continue;
            sip_exercise_msg(&msg);
            if (sip_parse(part, SIP_STREAM, &msg) == OK && len < msg.head_end)
                CHECK(msg.fault.status != 0, messages[i].file);
        }
    }
}

TEST(a_request_cut_off_in_its_head_is_at_fault)
{
    struct slice whole = load("rfc4475/wsinv.dat");
    assert_int_equal(OK, sip_parse(whole, SIP_DATAGRAM, &msg));
    size_t head = msg.head_end;

    for (size_t len = 0; len < whole.len; len++) {
        enum err err = sip_parse((struct slice){whole.data, len}, SIP_DATAGRAM, &msg);
        CHECK(err != OK || msg.fault.status == 400, len < head ? "cut in the head" : "in the body");
    }
}

TEST(wsinv_is_read_as_it_is_meant)
{
    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/wsinv.dat"))));

    CHECK_EQ(SIP_INVITE, msg.method, "method");
    CHECK_TEXT("1918181833n", msg.to.tag, "To tag over folding");
    CHECK_TEXT("sip:vivekg@chair-dnrc.example.com", msg.to.uri_text, "To without brackets");
    CHECK_TEXT("98asjd8", msg.from.tag, "From tag");
    CHECK_TEXT("\"J Rosenberg \\\\\\\"\"", msg.from.display, "From display name");
    CHECK_EQ(68, msg.max_forwards, "leading zeros");
    CHECK_EQ(9, msg.cseq.number, "leading zeros");
    CHECK_EQ(SIP_INVITE, msg.cseq.method, "CSeq method on the next line");
    CHECK_EQ(150, msg.content_length, "LWS before the colon");
    CHECK_EQ(150, msg.body.len, "body");
    CHECK_TEXT("192.0.2.2", msg.via.host, "Via over folding");
    CHECK_TEXT("390skdjuw", msg.via.branch, "branch");
    CHECK_TEXT("", sip_value(&msg, SIP_F_SUBJECT), "empty Subject, compact name");

    struct sip_values it = sip_values(&msg, SIP_F_VIA);
    struct slice value;
    struct sip_via via;
    assert_true(sip_values_next(&it, &value));
    assert_true(sip_values_next(&it, &value));
    assert_int_equal(OK, sip_via_parse(value, &via));
    CHECK_TEXT("spindle.example.com", via.host, "second Via");
    CHECK_TEXT("z9hG4bK9ikj8", via.branch, "second Via");
    CHECK_EQ(TRANSPORT_TCP, via.transport, "second Via");
    assert_true(sip_values_next(&it, &value));
    assert_int_equal(OK, sip_via_parse(value, &via));
    CHECK_TEXT("192.168.255.111", via.host, "third Via, after a comma");
    CHECK_TEXT("z9hG4bK30239", via.branch, "third Via");
    assert_false(sip_values_next(&it, &value));

    struct sip_contact contact;
    assert_int_equal(OK, sip_contact_parse(sip_value(&msg, SIP_F_CONTACT), &contact));
    CHECK_EQ(330, contact.q, "q over folding");
    CHECK_TEXT("sip:jdrosen@example.com", contact.addr.uri_text, "Contact");
}

TEST(intmeth_keeps_what_looks_like_an_escape)
{
    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/intmeth.dat"))));

    CHECK_EQ(SIP_METHOD_OTHER, msg.method, "method");
    CHECK_TEXT("!interesting-Method0123456789_*+`.%indeed'~", msg.method_name, "method name");
    CHECK(slice_find(msg.to.display, '\0') != SIZE_MAX, "NUL in a quoted pair");
    CHECK_TEXT("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", msg.request_uri.user, "user");
    CHECK_TEXT("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)", msg.request_uri.password, "password");
    CHECK_TEXT("_token~1'+`*%!-.", msg.from.tag, "tag after a quoted parameter");
}

TEST(single_torture_messages_give_their_values)
{
    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/dblreq.dat"))));
    CHECK_EQ(0, msg.body.len, "dblreq: the rest of the datagram is dropped");
    CHECK_EQ(msg.head_end, msg.buf.len, "dblreq: and not forwarded");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/semiuri.dat"))));
    CHECK_TEXT("user;par=u%40example.net", msg.request_uri.user, "semiuri: the user has it all");
    CHECK_EQ(0, msg.request_uri.params.len, "semiuri");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/esc02.dat"))));
    CHECK_EQ(SIP_METHOD_OTHER, msg.method, "esc02: RE%47IST%45R is not REGISTER");
    CHECK(sip_field_first(&msg, SIP_F_CONTACT) != NULL, "esc02: a Contact");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/longreq.dat"))));
    struct sip_values it = sip_values(&msg, SIP_F_VIA);
    struct slice value;
    int vias = 0;
    while (sip_values_next(&it, &value))
        vias++;
    CHECK_EQ(34, vias, "longreq");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/mpart01.dat"))));
    CHECK_EQ(msg.content_length, msg.body.len, "mpart01");
    CHECK(slice_find(msg.body, '\0') != SIZE_MAX, "mpart01: NUL in the body");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/regbadct.dat"))));
    struct sip_contact contact;
    CHECK_EQ(ERR_SYNTAX, sip_contact_parse(sip_value(&msg, SIP_F_CONTACT), &contact), "regbadct");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/escruri.dat"))));
    CHECK(msg.request_uri.headers.len > 0, "escruri: headers for the proxy to strip");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/badbranch.dat"))));
    CHECK(!sip_branch_rfc3261(msg.via.branch), "badbranch: the cookie alone");

    assert_int_equal(REQUEST, judge(guarded(load("rfc4475/inv2543.dat"))));
    CHECK_EQ(-1, msg.content_length, "inv2543");
    CHECK_EQ(-1, msg.max_forwards, "inv2543");
    CHECK_EQ(0, msg.via.branch.len, "inv2543");
    CHECK(msg.body.len > 0, "inv2543: the body is the rest of the datagram");

    assert_int_equal(FAULT_400, judge(guarded(load("rfc4475/insuf.dat"))));
    CHECK_TEXT("z9hG4bKkdj.insuf", msg.via.branch, "insuf: it can be answered");
    assert_int_equal(FAULT_505, judge(guarded(load("rfc4475/badvers.dat"))));
    CHECK(msg.via_value.len > 0 && msg.call_id.len > 0, "badvers: it can be answered");
}

TEST(rfc5118_addresses_are_told_from_ports)
{
    struct addr addr;

    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/port-ambiguous.dat"))));
    CHECK_TEXT("[2001:db8::10:5070]", msg.request_uri.host, "§4.3");
    CHECK_EQ(0, msg.request_uri.port, "§4.3");
    CHECK_EQ(OK, sip_uri_addr(&msg.request_uri, 5060, &addr), "§4.3");
    CHECK_EQ(5060, addr.port, "§4.3");

    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/port-unambiguous.dat"))));
    CHECK_TEXT("[2001:db8::10]", msg.request_uri.host, "§4.4");
    CHECK_EQ(5070, msg.request_uri.port, "§4.4");

    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/via-received-param-no-delim.dat"))));
    CHECK_TEXT("2001:db8::9:255", msg.via.received, "§4.5");
    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/via-received-param-with-delim.dat"))));
    CHECK_TEXT("[2001:db8::9:255]", msg.via.received, "§4.5");

    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/ipv6-bug-abnf-3-colons.dat"))));
    CHECK_EQ(ERR_SYNTAX, sip_uri_addr(&msg.request_uri, 5060, &addr), "§4.10: no address");
    assert_int_equal(REQUEST, judge(guarded(load("rfc5118/ipv6-correct-abnf-2-colons.dat"))));
    CHECK_EQ(OK, sip_uri_addr(&msg.request_uri, 5060, &addr), "§4.10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_torture_message_gets_its_verdict),
        cmocka_unit_test(every_torture_message_survives_being_asked),
        cmocka_unit_test(a_message_cut_off_anywhere_is_judged_without_reading_on),
        cmocka_unit_test(a_request_cut_off_in_its_head_is_at_fault),
        cmocka_unit_test(wsinv_is_read_as_it_is_meant),
        cmocka_unit_test(intmeth_keeps_what_looks_like_an_escape),
        cmocka_unit_test(single_torture_messages_give_their_values),
        cmocka_unit_test(rfc5118_addresses_are_told_from_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
