/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

#include "sip_exercise.h"

static struct sip_msg msg;
static char space[GUARD_BYTES];

/* A request as it should be; FIELDS are put behind the others. */
#define GOOD_HEAD                                                                                  \
    "Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds\r\n"                                \
    "Max-Forwards: 70\r\n"                                                                         \
    "To: Bob <sip:bob@biloxi.com>\r\n"                                                             \
    "From: Alice <sip:alice@atlanta.com>;tag=1928301774\r\n"                                       \
    "Call-ID: a84b4c76e66710@pc33.atlanta.com\r\n"
#define GOOD_START   "INVITE sip:bob@biloxi.com SIP/2.0\r\n"
#define GOOD_CSEQ    "CSeq: 314159 INVITE\r\n"
#define GOOD(fields) GOOD_START GOOD_HEAD GOOD_CSEQ fields "\r\n"

static enum err parse(const char *text, enum sip_framing framing)
{
    return sip_parse(guarded(slice_of(text)), framing, &msg);
}

TEST(a_request_is_indexed_and_its_main_fields_parsed)
{
    assert_int_equal(OK, parse(GOOD("Contact: <sip:alice@pc33.atlanta.com>\r\n"
                                    "X-Unknown: a\r\n b\r\n"
                                    "Content-Length: 4\r\n") "body and more",
                               SIP_DATAGRAM));
    assert_int_equal(0, msg.fault.status);
    assert_true(msg.is_request && !msg.is_response);
    CHECK_EQ(SIP_INVITE, msg.method, "method");
    CHECK_TEXT("sip:bob@biloxi.com", msg.uri, "Request-URI");
    CHECK_TEXT("bob", msg.request_uri.user, "Request-URI, parsed");
    CHECK_EQ(9, msg.field_count, "fields");
    CHECK_TEXT("pc33.atlanta.com", msg.via.host, "Via");
    CHECK_TEXT("SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds", msg.via_value, "Via");
    CHECK_TEXT("a84b4c76e66710@pc33.atlanta.com", msg.call_id, "Call-ID");
    CHECK_EQ(314159, msg.cseq.number, "CSeq");
    CHECK_TEXT("1928301774", msg.from.tag, "From tag");
    CHECK_TEXT("", msg.to.tag, "no To tag");
    CHECK_EQ(70, msg.max_forwards, "Max-Forwards");
    CHECK_EQ(4, msg.content_length, "Content-Length");
    CHECK_TEXT("body", msg.body, "extra octets are dropped (§18.3)");
    CHECK_TEXT("<sip:alice@pc33.atlanta.com>", sip_value(&msg, SIP_F_CONTACT), "Contact");
    CHECK_TEXT("a\r\n b", sip_value(&msg, SIP_F_OTHER), "folding stays");
    CHECK_TEXT("", sip_value(&msg, SIP_F_ROUTE), "absent");
    sip_exercise_msg(&msg);
}

TEST(a_response_is_given_out_only_without_a_fault)
{
#define RESPONSE(start, fields) start "\r\n" GOOD_HEAD fields "\r\n"
    static const struct {
        const char *why, *text;
        enum err err;
        uint16_t status;
        const char *reason;
    } cases[] = {
        {"a ringing", RESPONSE("SIP/2.0 180 Ringing", GOOD_CSEQ), OK, 180, "Ringing"},
        {"lower case", RESPONSE("sip/2.0 200 OK", GOOD_CSEQ), OK, 200, "OK"},
        {"an empty reason", RESPONSE("SIP/2.0 200 ", GOOD_CSEQ), OK, 200, ""},
        {"no reason and no SP", RESPONSE("SIP/2.0 200", GOOD_CSEQ), OK, 200, ""},
        {"the first status", RESPONSE("SIP/2.0 100 Trying", GOOD_CSEQ), OK, 100, "Trying"},
        {"the last status", RESPONSE("SIP/2.0 699 X", GOOD_CSEQ), OK, 699, "X"},
        {"status 99", RESPONSE("SIP/2.0 099 X", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"status 700", RESPONSE("SIP/2.0 700 X", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"two digits", RESPONSE("SIP/2.0 20 X", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"four digits", RESPONSE("SIP/2.0 2000 X", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"another version", RESPONSE("SIP/3.0 200 OK", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"two SP", RESPONSE("SIP/2.0  200 OK", GOOD_CSEQ), ERR_SYNTAX, 0, ""},
        {"no CSeq", RESPONSE("SIP/2.0 200 OK", ""), ERR_SYNTAX, 0, ""},
        {"a bad CSeq", RESPONSE("SIP/2.0 200 OK", "CSeq: x\r\n"), ERR_SYNTAX, 0, ""},
        {"too short", RESPONSE("SIP/2.0 200 OK", GOOD_CSEQ "Content-Length: 1\r\n"), ERR_SYNTAX, 0,
         ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_EQ(cases[i].err, parse(cases[i].text, SIP_DATAGRAM), cases[i].why);
        if (cases[i].err != OK)
            continue;
        CHECK_EQ(cases[i].status, msg.status, cases[i].why);
        CHECK_TEXT(cases[i].reason, msg.reason, cases[i].why);
        CHECK_EQ(SIP_INVITE, msg.method, "a response's method is the CSeq's");
    }
}

TEST(what_is_not_sip_is_dropped)
{
    static const char *const cases[] = {
        "",
        "\r\n\r\n",
        "\r\n",
        "jaK",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "INVITE\r\n\r\n",
        "INVITE sip:a@h\r\n\r\n",
        "INVITE SIP/2.0\r\n\r\n",
        " INVITE sip:a@h SIP/2.0\r\n\r\n",
        "INV\"ITE sip:a@h SIP/2.0\r\n\r\n",
        "INVITE sip:a@h SIP/2.0",
        "INVITE sip:a@h SIP/2\r\n\r\n",
        "INVITE sip:a@h SIP/2.0x\r\n\r\n",
        "SIP/2.0\r\n\r\n",
        "SIP/\r\n\r\n",
        "\x16\x03\x01\x02",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        CHECK_EQ(ERR_SYNTAX, parse(cases[i], SIP_DATAGRAM), cases[i]);
}

TEST(faults_are_told_with_their_status)
{
    static const struct {
        const char *why, *text;
        uint16_t status;
        const char *reason;
    } cases[] = {
        {"none", GOOD(""), 0, NULL},
        {"leading CRLFs (§7.5)", "\r\n\r\n" GOOD(""), 0, NULL},
        {"another version", "INVITE sip:a@h SIP/3.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 505, NULL},
        {"another version goes first", "INVITE <a> SIP/7.0\r\n\r\n", 505, NULL},
        {"version without case", "INVITE sip:a@h sIp/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 0, NULL},
        {"no scheme", "INVITE bob SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Request-Line"},
        {"two SP in front", "INVITE  sip:a@h SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Request-Line"},
        {"two SP behind", "INVITE sip:a@h  SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Request-Line"},
        {"SP behind the version", "INVITE sip:a@h SIP/2.0 \r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Request-Line"},
        {"a tab for SP", "INVITE sip:a@h\tx SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Request-Line"},
        {"an unknown scheme is none",
         "INVITE urn:service:sos SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 0, NULL},
        {"no Via", GOOD_START "To: <sip:b>\r\nFrom: <sip:a>\r\nCall-ID: x\r\n" GOOD_CSEQ "\r\n",
         400, "Missing Via"},
        {"no To", GOOD_START "v: SIP/2.0/UDP h\r\nFrom: <sip:a>\r\nCall-ID: x\r\n" GOOD_CSEQ "\r\n",
         400, "Missing To"},
        {"no From", GOOD_START "v: SIP/2.0/UDP h\r\nTo: <sip:a>\r\nCall-ID: x\r\n" GOOD_CSEQ "\r\n",
         400, "Missing From"},
        {"no Call-ID",
         GOOD_START "v: SIP/2.0/UDP h\r\nTo: <sip:a>\r\nf: <sip:b>\r\n" GOOD_CSEQ "\r\n", 400,
         "Missing Call-ID"},
        {"no CSeq", GOOD_START GOOD_HEAD "\r\n", 400, "Missing CSeq"},
        {"RFC 2543: no Max-Forwards, no tag, no branch",
         GOOD_START "v: SIP/2.0/UDP h\r\nt: <sip:a>\r\nf: <sip:b>\r\ni: x\r\n" GOOD_CSEQ "\r\n", 0,
         NULL},
        {"CSeq's method", GOOD_START GOOD_HEAD "CSeq: 1 BYE\r\n\r\n", 400, "CSeq Method Mismatch"},
        {"CSeq's method has case", GOOD_START GOOD_HEAD "CSeq: 1 Invite\r\n\r\n", 400,
         "CSeq Method Mismatch"},
        {"CSeq 2^31", GOOD_START GOOD_HEAD "CSeq: 2147483648 INVITE\r\n\r\n", 400,
         "Malformed CSeq"},
        {"CSeq twice", GOOD(GOOD_CSEQ), 400, "Header Field Repeated"},
        {"From twice", GOOD("f: <sip:a>\r\n"), 400, "Header Field Repeated"},
        {"To twice", GOOD("TO: <sip:a>\r\n"), 400, "Header Field Repeated"},
        {"Call-ID twice", GOOD("I: x\r\n"), 400, "Header Field Repeated"},
        {"Max-Forwards twice", GOOD("Max-Forwards: 5\r\n"), 400, "Header Field Repeated"},
        {"Content-Length twice", GOOD("l: 0\r\nContent-Length: 0\r\n"), 400,
         "Header Field Repeated"},
        {"Via twice is fine", GOOD("v: SIP/2.0/UDP h\r\n"), 0, NULL},
        {"a lower Via is not looked into", GOOD("v: rubbish\r\n"), 0, NULL},
        {"negative Content-Length", GOOD("Content-Length: -1\r\n"), 400,
         "Malformed Content-Length"},
        {"Content-Length past 2^32", GOOD("Content-Length: 4294967296\r\n"), 400,
         "Content-Length Too Large"},
        {"Content-Length past 64 KiB", GOOD("Content-Length: 65536\r\n"), 400,
         "Content-Length Too Large"},
        {"Content-Length one too many", GOOD("Content-Length: 1\r\n"), 400,
         "Content-Length Too Large"},
        {"Max-Forwards 255",
         GOOD_START "Max-Forwards: 255\r\nv: SIP/2.0/UDP h\r\nt: <sip:a>\r\n"
                    "f: <sip:b>\r\ni: x\r\n" GOOD_CSEQ "\r\n",
         0, NULL},
        {"Max-Forwards 256",
         GOOD_START "Max-Forwards: 256\r\nv: SIP/2.0/UDP h\r\nt: <sip:a>\r\n"
                    "f: <sip:b>\r\ni: x\r\n" GOOD_CSEQ "\r\n",
         400, "Malformed Max-Forwards"},
        {"a Call-ID with LWS",
         GOOD_START "i: a b\r\nv: SIP/2.0/UDP h\r\nt: <sip:a>\r\n"
                    "f: <sip:b>\r\n" GOOD_CSEQ "\r\n",
         400, "Malformed Call-ID"},
        {"an empty Call-ID",
         GOOD_START "i:\r\nv: SIP/2.0/UDP h\r\nt: <sip:a>\r\n"
                    "f: <sip:b>\r\n" GOOD_CSEQ "\r\n",
         400, "Malformed Call-ID"},
        {"a line without colon", GOOD("rubbish\r\n"), 400, "Malformed Header Field"},
        {"a name that we know, without colon", GOOD("Via\r\n"), 400, "Malformed Header Field"},
        {"the same and the next line has one", GOOD("k\r\nX:\r\n"), 400, "Malformed Header Field"},
        {"a field without name", GOOD(": x\r\n"), 400, "Malformed Header Field"},
        {"a name with a space", GOOD("a b: x\r\n"), 400, "Malformed Header Field"},
        {"a name with a slash", GOOD("a/b: x\r\n"), 400, "Malformed Header Field"},
        {"folding before the first field", GOOD_START " x\r\n" GOOD_HEAD GOOD_CSEQ "\r\n", 400,
         "Malformed Header Field"},
        {"LF alone in a value", GOOD("X: a\nVia: b\r\n"), 400, "Bare CR or LF"},
        {"CR alone in a value", GOOD("X: a\rVia: b\r\n"), 400, "Bare CR or LF"},
        {"CR alone where a field begins", GOOD_START GOOD_HEAD GOOD_CSEQ "\rX: a\r\n\r\n", 400,
         NULL},
        {"a bare CR is no '-'", GOOD("Call\rID: x\r\n"), 400, "Bare CR or LF"},
        {"no empty line", GOOD_START GOOD_HEAD GOOD_CSEQ, 400, "Header Section Not Ended"},
        {"the last line cut off", GOOD_START GOOD_HEAD "CSeq: 314159 INVITE", 400, NULL},
        {"the empty line cut off", GOOD_START GOOD_HEAD GOOD_CSEQ "\r", 400,
         "Header Section Not Ended"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_EQ(OK, parse(cases[i].text, SIP_DATAGRAM), cases[i].why);
        CHECK_EQ(cases[i].status, msg.fault.status, cases[i].why);
        if (cases[i].reason != NULL)
            CHECK_TEXT(cases[i].reason, slice_of(msg.fault.reason), cases[i].why);
        sip_exercise_msg(&msg);
    }
}

TEST(a_faulty_request_can_be_answered_from_what_was_found)
{
    assert_int_equal(OK,
                     parse(GOOD_START GOOD_HEAD "CSeq: 1 BYE\r\nrubbish\r\n\r\n", SIP_DATAGRAM));
    CHECK_EQ(400, msg.fault.status, "fault");
    CHECK(msg.via_value.len > 0, "Via");
    CHECK_TEXT("1928301774", msg.from.tag, "From");
    CHECK_EQ(1, msg.cseq.number, "CSeq");
    CHECK_TEXT("bob", msg.request_uri.user, "Request-URI");

    assert_int_equal(OK, parse(GOOD_START "To: \"x\r\nv: nonsense\r\n\r\n", SIP_DATAGRAM));
    CHECK_EQ(0, msg.via_value.len, "a malformed Via leaves nothing");
    CHECK_EQ(0, msg.via.transport_name.len, "a malformed Via leaves nothing");
    CHECK_EQ(0, msg.to.value.len, "a malformed To leaves nothing");
}

TEST(framing_decides_what_content_length_means)
{
    static const struct {
        const char *why, *text;
        enum sip_framing framing;
        uint16_t status;
        const char *body;
    } cases[] = {
        {"datagram, none: the rest", GOOD("") "abc", SIP_DATAGRAM, 0, "abc"},
        {"datagram, fewer: the rest is dropped", GOOD("l: 2\r\n") "abc", SIP_DATAGRAM, 0, "ab"},
        {"datagram, more", GOOD("l: 4\r\n") "abc", SIP_DATAGRAM, 400, "abc"},
        {"frame, none", GOOD("") "abc", SIP_FRAME, 0, "abc"},
        {"frame, fewer", GOOD("l: 2\r\n") "abc", SIP_FRAME, 0, "ab"},
        {"stream, none", GOOD(""), SIP_STREAM, 400, ""},
        {"stream", GOOD("l: 3\r\n") "abc", SIP_STREAM, 0, "abc"},
        {"stream, fewer than promised", GOOD("l: 4\r\n") "abc", SIP_STREAM, 400, "abc"},
        {"stream, promised past the largest message", GOOD("l: 65535\r\n"), SIP_STREAM, 513, ""},
        {"stream, far past it", GOOD("l: 4000000\r\n"), SIP_STREAM, 513, ""},
        {"stream, past 2^32", GOOD("l: 99999999999999999999\r\n"), SIP_STREAM, 513, ""},
        {"stream, no number", GOOD("l: 65536x\r\n"), SIP_STREAM, 400, ""},
        {"datagram, the same", GOOD("l: 65535\r\n"), SIP_DATAGRAM, 400, ""},
        {"stream, 0", GOOD("Content-Length: 0\r\n"), SIP_STREAM, 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_EQ(OK, parse(cases[i].text, cases[i].framing), cases[i].why);
        CHECK_EQ(cases[i].status, msg.fault.status, cases[i].why);
        CHECK_TEXT(cases[i].body, msg.body, cases[i].why);
        CHECK_EQ(msg.head_end + msg.body.len, msg.buf.len, cases[i].why);
    }
}

/* GOOD with `count` times `line` behind it. */
static struct slice repeated(const char *start, const char *line, size_t count)
{
    struct builder b = builder_over(space, sizeof space);
    builder_add(&b, slice_of(start));
    builder_add(&b, slice_of(GOOD_HEAD));
    for (size_t i = 0; i < count; i++)
        builder_add(&b, slice_of(line));
    builder_add(&b, SLICE("\r\n"));
    assert_false(b.overflow);
    return guarded(builder_slice(&b));
}

TEST(each_limit_holds_and_one_more_is_a_fault)
{
    static const struct {
        const char *why, *start, *line;
        size_t good; /* this many lines are the limit */
    } cases[] = {
        {"fields", GOOD_START GOOD_CSEQ, "X: y\r\n", SIP_FIELDS_MAX - 6},
        {"Vias", GOOD_START GOOD_CSEQ, "v: SIP/2.0/UDP h\r\n", SIP_VIAS_MAX - 1},
        {"Routes", GOOD_START GOOD_CSEQ, "Route: <sip:h;lr>\r\n", SIP_ROUTES_MAX},
        {"Record-Routes", GOOD_START GOOD_CSEQ, "Record-Route: <sip:h;lr>\r\n", SIP_ROUTES_MAX},
        {"Contacts", "REGISTER sip:h SIP/2.0\r\nCSeq: 1 REGISTER\r\n", "m: <sip:h>\r\n",
         SIP_CONTACTS_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice bytes = repeated(cases[i].start, cases[i].line, cases[i].good);
        CHECK_EQ(OK, sip_parse(bytes, SIP_DATAGRAM, &msg), cases[i].why);
        CHECK_EQ(0, msg.fault.status, cases[i].why);
        sip_exercise_msg(&msg);
        bytes = repeated(cases[i].start, cases[i].line, cases[i].good + 1);
        CHECK_EQ(OK, sip_parse(bytes, SIP_DATAGRAM, &msg), cases[i].why);
        CHECK_EQ(400, msg.fault.status, cases[i].why);
        sip_exercise_msg(&msg);
    }
}

TEST(values_of_one_field_count_as_those_of_many)
{
    struct builder b = builder_over(space, sizeof space);
    builder_text(&b, GOOD_START GOOD_HEAD GOOD_CSEQ "Route: <sip:a,b;lr>");
    for (int i = 1; i < SIP_ROUTES_MAX; i++)
        builder_text(&b, ", \"a,b\" <sip:a,b;lr>");
    size_t at_limit = b.len;
    builder_text(&b, "\r\n\r\n");
    assert_int_equal(OK, sip_parse(builder_slice(&b), SIP_DATAGRAM, &msg));
    CHECK_EQ(0, msg.fault.status, "commas in quotes and brackets do not count");

    b.len = at_limit;
    builder_text(&b, ",<sip:c>\r\n\r\n");
    assert_int_equal(OK, sip_parse(builder_slice(&b), SIP_DATAGRAM, &msg));
    CHECK_EQ(400, msg.fault.status, "one more");
}

/* An INVITE whose start line (without CRLF) has `len` bytes. */
static struct slice long_start_line(size_t len)
{
    struct builder b = builder_over(space, sizeof space);
    builder_text(&b, "INVITE sip:");
    while (b.len < len - 8)
        builder_char(&b, 'a');
    builder_text(&b, " SIP/2.0\r\n" GOOD_HEAD GOOD_CSEQ "\r\n");
    return guarded(builder_slice(&b));
}

/* A good INVITE of `len` bytes. */
static struct slice long_message(size_t len)
{
    struct builder b = builder_over(space, sizeof space);
    builder_text(&b, GOOD(""));
    while (b.len < len)
        builder_char(&b, 'x');
    return guarded(builder_slice(&b));
}

TEST(start_line_and_message_have_a_largest_size)
{
    assert_int_equal(OK, sip_parse(long_start_line(SIP_START_LINE_MAX), SIP_DATAGRAM, &msg));
    CHECK_EQ(0, msg.fault.status, "at the limit");
    assert_int_equal(OK, sip_parse(long_start_line(SIP_START_LINE_MAX + 1), SIP_DATAGRAM, &msg));
    CHECK_EQ(414, msg.fault.status, "one more");
    CHECK(msg.via_value.len > 0, "and it can be answered");

    assert_int_equal(OK, sip_parse(long_message(SIP_MESSAGE_MAX), SIP_DATAGRAM, &msg));
    CHECK_EQ(0, msg.fault.status, "at the limit");
    assert_int_equal(OK, sip_parse(long_message(SIP_MESSAGE_MAX + 1), SIP_DATAGRAM, &msg));
    CHECK_EQ(513, msg.fault.status, "one more");
    CHECK(msg.via_value.len > 0, "and it can be answered");
    CHECK_EQ(SIP_MESSAGE_MAX, msg.buf.len, "as far as it goes");
}

TEST(every_header_name_is_found_in_any_case)
{
    for (unsigned id = SIP_F_VIA; id < SIP_F_COUNT; id++) {
        char text[32];
        struct slice name = sip_field_name((enum sip_field_id)id);
        CHECK(name.len > 0 && name.len < sizeof text, "every id has a name");
        CHECK_EQ(id, sip_field_id(guarded(name)), name.data);
        for (size_t i = 0; i < name.len; i++)
            text[i] = (char)(name.data[i] ^ (ascii_lower(name.data[i]) >= 'a' ? 0x20 : 0));
        CHECK_EQ(id, sip_field_id(guarded((struct slice){text, name.len})), name.data);
        for (size_t i = 0; i < name.len; i++) {
            char kept = text[i];
            text[i] = '_';
            CHECK_EQ(SIP_F_OTHER, sip_field_id((struct slice){text, name.len}), name.data);
            text[i] = kept;
        }
        if (name.len > 2) /* "o" of To is a compact name */
            CHECK_EQ(SIP_F_OTHER, sip_field_id((struct slice){name.data + 1, name.len - 1}),
                     name.data);
    }
    CHECK_TEXT("", sip_field_name(SIP_F_OTHER), "other");
    CHECK_EQ(SIP_F_OTHER, sip_field_id(SLICE("")), "empty");
    CHECK_EQ(SIP_F_OTHER, sip_field_id(SLICE("a-name-of-twenty-five-byte")), "long");
}

TEST(compact_names_are_the_same_fields)
{
    static const struct {
        const char *compact;
        enum sip_field_id id;
    } cases[] = {
        {"v", SIP_F_VIA},
        {"f", SIP_F_FROM},
        {"t", SIP_F_TO},
        {"i", SIP_F_CALL_ID},
        {"m", SIP_F_CONTACT},
        {"l", SIP_F_CONTENT_LENGTH},
        {"c", SIP_F_CONTENT_TYPE},
        {"k", SIP_F_SUPPORTED},
        {"s", SIP_F_SUBJECT},
        {"e", SIP_F_CONTENT_ENCODING},
        {"o", SIP_F_EVENT},
        {"u", SIP_F_ALLOW_EVENTS},
        {"r", SIP_F_REFER_TO},
        {"b", SIP_F_REFERRED_BY},
        {"x", SIP_F_SESSION_EXPIRES},
        {"y", SIP_F_IDENTITY},
        {"q", SIP_F_OTHER},
        {"d", SIP_F_OTHER},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_EQ(cases[i].id, sip_field_id(slice_of(cases[i].compact)), cases[i].compact);
        char upper = (char)(cases[i].compact[0] & ~0x20);
        CHECK_EQ(cases[i].id, sip_field_id((struct slice){&upper, 1}), cases[i].compact);
    }
}

TEST(values_are_walked_over_all_fields_in_order)
{
    assert_int_equal(OK, parse(GOOD("Route: <sip:1>,\r\n <sip:2>\r\nX: y\r\nroute : <sip:3>\r\n"
                                    "Supported: timer, 100REL\r\nk: path\r\n"),
                               SIP_DATAGRAM));
    struct sip_values it = sip_values(&msg, SIP_F_ROUTE);
    struct slice value;
    for (int i = 1; i <= 3; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "<sip:%d>", i);
        assert_true(sip_values_next(&it, &value));
        CHECK_TEXT(expected, value, "in order");
    }
    assert_false(sip_values_next(&it, &value));
    assert_false(sip_values_next(&it, &value));
    it = sip_values(&msg, SIP_F_PATH);
    assert_false(sip_values_next(&it, &value));

    assert_true(sip_has_token(&msg, SIP_F_SUPPORTED, SLICE("100rel")));
    assert_true(sip_has_token(&msg, SIP_F_SUPPORTED, SLICE("Path")));
    assert_false(sip_has_token(&msg, SIP_F_SUPPORTED, SLICE("rel")));
    assert_false(sip_has_token(&msg, SIP_F_REQUIRE, SLICE("path")));
}

TEST(a_message_is_parsed_alike_wherever_its_end_lies)
{
    /* Blocks of sixteen bytes: every way a field can lie in them, and before the end. */
    for (size_t pad = 1; pad < 70; pad++) {
        struct builder b = builder_over(space, sizeof space);
        builder_text(&b, GOOD_START);
        builder_text(&b, "X");
        for (size_t i = 0; i < pad; i++)
            builder_char(&b, '-');
        builder_text(&b, ": y\r\n" GOOD_HEAD GOOD_CSEQ);
        for (size_t i = 0; i < pad; i++)
            builder_char(&b, 'Z');
        builder_text(&b, ":\r\n\r\n");
        assert_int_equal(OK, sip_parse(guarded(builder_slice(&b)), SIP_DATAGRAM, &msg));
        assert_int_equal(0, msg.fault.status);
        assert_int_equal(8, msg.field_count);
        CHECK_TEXT("z9hG4bK776asdhds", msg.via.branch, "branch");
        CHECK_TEXT("1928301774", msg.from.tag, "tag");
        assert_int_equal(msg.buf.len, msg.head_end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_indexed_and_its_main_fields_parsed),
        cmocka_unit_test(a_response_is_given_out_only_without_a_fault),
        cmocka_unit_test(what_is_not_sip_is_dropped),
        cmocka_unit_test(faults_are_told_with_their_status),
        cmocka_unit_test(a_faulty_request_can_be_answered_from_what_was_found),
        cmocka_unit_test(framing_decides_what_content_length_means),
        cmocka_unit_test(each_limit_holds_and_one_more_is_a_fault),
        cmocka_unit_test(values_of_one_field_count_as_those_of_many),
        cmocka_unit_test(start_line_and_message_have_a_largest_size),
        cmocka_unit_test(every_header_name_is_found_in_any_case),
        cmocka_unit_test(compact_names_are_the_same_fields),
        cmocka_unit_test(values_are_walked_over_all_fields_in_order),
        cmocka_unit_test(a_message_is_parsed_alike_wherever_its_end_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
