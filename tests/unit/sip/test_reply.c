/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

static struct sip_msg msg;
static char space[4096];

static void request(const char *vias, const char *more)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "INVITE sip:bob@b SIP/2.0\r\n"
             "%s"
             "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"
             "Record-Route: <sip:r1;lr>\r\nRecord-Route: <sip:r2;lr>\r\n"
             "Max-Forwards: 9\r\n"
             "To: <sip:bob@b>%s\r\n"
             "f: <sip:a@a>;tag=1\r\n"
             "Call-ID: x\r\n"
             "CSeq: 7 INVITE\r\n"
             "Timestamp: 54\r\n"
             "\r\n",
             vias, more);
    assert_int_equal(OK, sip_parse(guarded(slice_of(text)), SIP_DATAGRAM, &msg));
}

static void replies(const struct sip_reply *reply, const char *expected, const char *why)
{
    struct builder b = builder_over(space, sizeof space);
    CHECK_EQ(OK, sip_reply_write(&msg, reply, &b), why);
    CHECK_TEXT(expected, builder_slice(&b), why);
    b = builder_over(space, strlen(expected) - 1);
    CHECK_EQ(ERR_TOO_BIG, sip_reply_write(&msg, reply, &b), why);
}

#define TAIL   "f: <sip:a@a>;tag=1\r\n"
#define TAIL_2 "Call-ID: x\r\nCSeq: 7 INVITE\r\n"

TEST(a_trying_copies_what_matches_it)
{
    request("Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nv: SIP/2.0/TCP c, SIP/2.0/UDP d\r\n", "");
    struct sip_reply reply = {.status = 100};
    replies(&reply,
            "SIP/2.0 100 Trying\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
            "v: SIP/2.0/TCP c, SIP/2.0/UDP d\r\n" TAIL "To: <sip:bob@b>\r\n" TAIL_2
            "Timestamp: 54\r\nContent-Length: 0\r\n\r\n",
            "100 has no To tag and the Timestamp (RFC 3261 §8.2.6.1)");
}

TEST(a_final_response_has_a_to_tag_once)
{
    request("Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n", "");
    struct sip_reply reply = {
        .status = 486,
        .reason = SLICE("Not Now"),
        .to_tag = SLICE("t2"),
        .fields = SLICE("Retry-After: 5\r\n"),
        .body = SLICE("why"),
    };
    replies(&reply,
            "SIP/2.0 486 Not Now\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n" TAIL
            "To: <sip:bob@b>;tag=t2\r\n" TAIL_2 "Retry-After: 5\r\nContent-Length: 3\r\n\r\nwhy",
            "own reason, tag, fields and body");

    request("Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\n", " ;tag=theirs");
    reply = (struct sip_reply){.status = 200, .to_tag = SLICE("t2"), .with_record_route = true};
    replies(&reply,
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
            "Record-Route: <sip:r1;lr>\r\nRecord-Route: <sip:r2;lr>\r\n" TAIL
            "To: <sip:bob@b> ;tag=theirs\r\n" TAIL_2 "Content-Length: 0\r\n\r\n",
            "a tag that is there stays");
}

TEST(the_top_via_is_completed_with_received_and_rport)
{
    static const struct {
        const char *why, *via;
        const char *received;
        uint16_t rport;
        const char *completed;
    } cases[] = {
        {"received (RFC 3261 §18.2.1)", "Via: SIP/2.0/UDP a;branch=1\r\n", "192.0.2.1", 0,
         "Via: SIP/2.0/UDP a;branch=1;received=192.0.2.1\r\n"},
        {"rport (RFC 3581 §4)", "Via: SIP/2.0/UDP a;rport;branch=1\r\n", "192.0.2.1", 5062,
         "Via: SIP/2.0/UDP a;rport=5062;branch=1;received=192.0.2.1\r\n"},
        {"rport not asked for", "Via: SIP/2.0/UDP a;branch=1\r\n", "", 5062,
         "Via: SIP/2.0/UDP a;branch=1\r\n"},
        {"forged ones are replaced", "v : SIP/2.0/UDP a;received=6.6.6.6;rport=6;branch=1\r\n",
         "192.0.2.1", 5062, "v : SIP/2.0/UDP a;rport=5062;branch=1;received=192.0.2.1\r\n"},
        {"no parameters at all", "Via: SIP/2.0/UDP a\r\n", "192.0.2.1", 0,
         "Via: SIP/2.0/UDP a;received=192.0.2.1\r\n"},
        {"several values in the field", "Via: SIP/2.0/UDP a ; rport , SIP/2.0/UDP b;rport\r\n",
         "192.0.2.1", 1, "Via: SIP/2.0/UDP a;rport=1;received=192.0.2.1, SIP/2.0/UDP b;rport\r\n"},
        {"folded", "Via: SIP/2.0/UDP a\r\n ;rport\r\n ;branch=1\r\n", "192.0.2.1", 1,
         "Via: SIP/2.0/UDP a;rport=1;branch=1;received=192.0.2.1\r\n"},
        {"only the first field", "Via: SIP/2.0/UDP a;rport\r\nVia: SIP/2.0/UDP b;rport\r\n",
         "192.0.2.1", 1,
         "Via: SIP/2.0/UDP a;rport=1;received=192.0.2.1\r\nVia: SIP/2.0/UDP b;rport\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char expected[1024];
        request(cases[i].via, "");
        snprintf(expected, sizeof expected,
                 "SIP/2.0 404 Not Found\r\n%s" TAIL "To: <sip:bob@b>;tag=t\r\n" TAIL_2
                 "Content-Length: 0\r\n\r\n",
                 cases[i].completed);
        struct sip_reply reply = {
            .status = 404,
            .to_tag = SLICE("t"),
            .received = slice_of(cases[i].received),
            .rport = cases[i].rport,
        };
        replies(&reply, expected, cases[i].why);
    }
}

TEST(a_faulty_request_is_answered_with_what_it_has)
{
    assert_int_equal(OK, sip_parse(SLICE("FOO sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;rport\r\n"
                                         "To: \"open <sip:h>\r\nCSeq: x\r\n\r\n"),
                                   SIP_DATAGRAM, &msg));
    assert_int_equal(400, msg.fault.status);
    struct sip_reply reply = {.status = 400, .to_tag = SLICE("t"), .rport = 9};
    replies(&reply,
            "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP h;rport=9\r\n"
            "To: \"open <sip:h>;tag=t\r\nCSeq: x\r\nContent-Length: 0\r\n\r\n",
            "as far as they are there");
}

TEST(cancel_and_ack_follow_the_invite)
{
    request("Via: SIP/2.0/UDP p;branch=z9hG4bK1, SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\n", "");
    struct builder b = builder_over(space, sizeof space);
    assert_int_equal(OK, sip_cancel_write(&msg, SLICE("Reason: SIP;cause=200\r\n"), &b));
    CHECK_TEXT("CANCEL sip:bob@b SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\n"
               "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nMax-Forwards: 70\r\n" TAIL
               "To: <sip:bob@b>\r\nCall-ID: x\r\nCSeq: 7 CANCEL\r\nReason: SIP;cause=200\r\n"
               "Content-Length: 0\r\n\r\n",
               builder_slice(&b), "RFC 3261 §9.1");

    b = builder_over(space, sizeof space);
    assert_int_equal(OK, sip_ack_write(&msg, SLICE("<sip:bob@b>;tag=z"), &b));
    CHECK_TEXT("ACK sip:bob@b SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\r\n"
               "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nMax-Forwards: 70\r\n" TAIL
               "To: <sip:bob@b>;tag=z\r\nCall-ID: x\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n",
               builder_slice(&b), "§17.1.1.3");
    size_t len = b.len;
    b = builder_over(space, len - 1);
    assert_int_equal(ERR_TOO_BIG, sip_ack_write(&msg, SLICE("<sip:bob@b>;tag=z"), &b));
}

TEST(every_status_of_the_rfcs_has_its_phrase)
{
    static const struct {
        unsigned status;
        const char *phrase;
    } cases[] = {
        {100, "Trying"},
        {180, "Ringing"},
        {200, "OK"},
        {302, "Moved Temporarily"},
        {401, "Unauthorized"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {423, "Interval Too Brief"},
        {430, "Flow Failed"},
        {481, "Call/Transaction Does Not Exist"},
        {483, "Too Many Hops"},
        {489, "Bad Event"},
        {500, "Server Internal Error"},
        {503, "Service Unavailable"},
        {513, "Message Too Large"},
        {603, "Decline"},
        {608, "Rejected"},
        {99, "Unknown"},
        {299, "Unknown"},
        {699, "Unknown"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_string_equal(cases[i].phrase, sip_reason(cases[i].status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trying_copies_what_matches_it),
        cmocka_unit_test(a_final_response_has_a_to_tag_once),
        cmocka_unit_test(the_top_via_is_completed_with_received_and_rport),
        cmocka_unit_test(a_faulty_request_is_answered_with_what_it_has),
        cmocka_unit_test(cancel_and_ack_follow_the_invite),
        cmocka_unit_test(every_status_of_the_rfcs_has_its_phrase),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
