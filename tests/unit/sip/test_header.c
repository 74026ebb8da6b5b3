/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

TEST(cseq_parse_follows_the_grammar)
{
    static const struct {
        const char *why, *text;
        enum err err;
        uint32_t number;
        enum sip_method method;
    } cases[] = {
        {"RFC 3261 §20.16 example", "4711 INVITE", OK, 4711, SIP_INVITE},
        {"largest number, 2^31-1", "2147483647 ACK", OK, 2147483647, SIP_ACK},
        {"2^31 is too large", "2147483648 ACK", ERR_SYNTAX, 0, 0},
        {"2^32+1 must not wrap to 1", "4294967297 ACK", ERR_SYNTAX, 0, 0},
        {"2^65 must not wrap", "36893488147419103232 REGISTER", ERR_SYNTAX, 0, 0},
        {"leading zeros and folding", "0009\r\n  INVITE", OK, 9, SIP_INVITE},
        {"an unknown method", "1 FOO", OK, 1, SIP_METHOD_OTHER},
        {"methods have case", "1 invite", OK, 1, SIP_METHOD_OTHER},
        {"no method", "1", ERR_SYNTAX, 0, 0},
        {"no number", "INVITE", ERR_SYNTAX, 0, 0},
        {"no LWS between", "1INVITE", ERR_SYNTAX, 0, 0},
        {"negative", "-1 INVITE", ERR_SYNTAX, 0, 0},
        {"something behind", "1 INVITE x", ERR_SYNTAX, 0, 0},
        {"CRLF that is no folding", "1\r\nINVITE", ERR_SYNTAX, 0, 0},
        {"nothing", "", ERR_SYNTAX, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_cseq cseq = {0};
        CHECK_EQ(cases[i].err, sip_cseq_parse(guarded(slice_of(cases[i].text)), &cseq),
                 cases[i].why);
        CHECK_EQ(cases[i].number, cseq.number, cases[i].why);
        CHECK_EQ(cases[i].method, cseq.method, cases[i].why);
    }
}

TEST(every_method_is_found_by_its_name)
{
    for (unsigned m = SIP_INVITE; m < SIP_METHOD_COUNT; m++)
        CHECK_EQ(m, sip_method_parse(sip_method_name((enum sip_method)m)), "by name");
    CHECK_EQ(SIP_METHOD_OTHER, sip_method_parse(SLICE("Invite")), "RFC 3261 §7.1: with case");
    CHECK_EQ(SIP_METHOD_OTHER, sip_method_parse(SLICE("")), "empty");
    CHECK_TEXT("?", sip_method_name(SIP_METHOD_OTHER), "other");
}

TEST(param_next_takes_one_parameter_at_a_time)
{
    static const struct {
        const char *why, *text, *name, *value;
        bool has_value;
        const char *rest;
        enum err err;
    } cases[] = {
        {"a value", ";a=b;c", "a", "b", true, ";c", OK},
        {"a flag", ";lr", "lr", "", false, "", OK},
        {"LWS and folding everywhere", " ;\r\n a \t=\r\n  b ;c", "a", "b", true, ";c", OK},
        {"a quoted string", ";a=\"x;\\\"y\" ;z", "a", "\"x;\\\"y\"", true, ";z", OK},
        {"an empty quoted string", ";a=\"\"", "a", "\"\"", true, "", OK},
        {"an IPv6 address", ";received=[::1]", "received", "[::1]", true, "", OK},
        {"a value from the field", ";tag=a=b@c/d?e", "tag", "a=b@c/d?e", true, "", OK},
        {"the end", "", "", "", false, "", ERR_NOT_FOUND},
        {"LWS at the end", " \t", "", "", false, "", ERR_NOT_FOUND},
        {"empty", ";", "", "", false, "", ERR_SYNTAX},
        {"empty", ";;a", "", "", false, "", ERR_SYNTAX},
        {"no name", ";=a", "", "", false, "", ERR_SYNTAX},
        {"no value", ";a=", "", "", false, "", ERR_SYNTAX},
        {"no value", ";a= ;b", "", "", false, "", ERR_SYNTAX},
        {"an open quote", ";a=\"b", "", "", false, "", ERR_SYNTAX},
        {"no ';'", "a=b", "", "", false, "", ERR_SYNTAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice rest = guarded(slice_of(cases[i].text));
        struct sip_param param = {0};
        CHECK_EQ(cases[i].err, sip_param_next(&rest, &param), cases[i].why);
        if (cases[i].err != OK)
            continue;
        CHECK_TEXT(cases[i].name, param.name, cases[i].why);
        CHECK_TEXT(cases[i].value, param.value, cases[i].why);
        CHECK_EQ(cases[i].has_value, param.has_value, cases[i].why);
        CHECK_TEXT(cases[i].rest, rest, cases[i].why);
    }

    struct sip_param param;
    assert_true(sip_param_find(SLICE(";a=1;B=2"), SLICE("b"), &param));
    CHECK_TEXT("2", param.value, "found without case");
    assert_false(sip_param_find(SLICE(";a=1;B=2"), SLICE("c"), &param));
    CHECK_TEXT("a\\\"b", sip_unquote(SLICE("\"a\\\"b\"")), "escapes stay");
    CHECK_TEXT("a", sip_unquote(SLICE("a")), "not quoted");
    CHECK_TEXT("\"", sip_unquote(SLICE("\"")), "one quote");
}

TEST(quoted_strings_follow_the_grammar)
{
    static const struct {
        const char *why;
        const char *text;
        size_t len;
        bool good;
    } cases[] = {
#define TEXT(s) s, sizeof(s) - 1
        {"UTF-8", TEXT("\"\xc3\xa4\" <sip:h>"), true},
        {"an escaped NUL", TEXT("\"a\\\0b\" <sip:h>"), true},
        {"a NUL as it is", TEXT("\"a\0b\" <sip:h>"), false},
        {"an escaped quote", TEXT("\"\\\"\" <sip:h>"), true},
        {"an escaped backslash before the end", TEXT("\"\\\\\" <sip:h>"), true},
        {"folding", TEXT("\"a\r\n b\" <sip:h>"), true},
        {"CRLF that is no folding", TEXT("\"a\r\nb\" <sip:h>"), false},
        {"a tab", TEXT("\"a\tb\" <sip:h>"), true},
        {"an escaped CR", TEXT("\"a\\\r\n b\" <sip:h>"), false},
        {"an escaped byte past 0x7f", TEXT("\"a\\\xc3\" <sip:h>"), false},
        {"no end", TEXT("\"a <sip:h>"), false},
        {"a backslash at the end", TEXT("\"a\\"), false},
        {"a quote alone", TEXT("\""), false},
#undef TEXT
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_name_addr addr;
        struct slice text = guarded((struct slice){cases[i].text, cases[i].len});
        CHECK_EQ(cases[i].good ? OK : ERR_SYNTAX, sip_name_addr_parse(text, &addr), cases[i].why);
    }
}

TEST(via_parse_follows_the_grammar)
{
    static const struct {
        const char *why, *text, *name, *host;
        enum transport transport;
        uint16_t port;
        const char *branch, *received;
        bool has_rport;
        uint16_t rport;
    } cases[] = {
        {"RFC 3261 §20.42", "SIP/2.0/UDP erlang.bell-telephone.com:5060;branch=z9hG4bK87asdks7",
         "UDP", "erlang.bell-telephone.com", TRANSPORT_UDP, 5060, "z9hG4bK87asdks7", "", false, 0},
        {"§20.42", "SIP/2.0/UDP 192.0.2.1:5060 ;received=192.0.2.207;branch=z9hG4bK77asjd", "UDP",
         "192.0.2.1", TRANSPORT_UDP, 5060, "z9hG4bK77asjd", "192.0.2.207", false, 0},
        {"§20.42: LWS",
         "SIP / 2.0 / UDP first.example.com: 4000;ttl=16\r\n ;maddr=224.2.0.1 "
         ";branch=z9hG4bKa7c6a8dlze.1",
         "UDP", "first.example.com", TRANSPORT_UDP, 4000, "z9hG4bKa7c6a8dlze.1", "", false, 0},
        {"RFC 3581: asked", "SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9", "UDP", "10.1.1.1",
         TRANSPORT_UDP, 4540, "z9", "", true, 0},
        {"RFC 3581: answered", "SIP/2.0/UDP 10.1.1.1:4540;received=192.0.2.1;rport=9988;branch=z9",
         "UDP", "10.1.1.1", TRANSPORT_UDP, 4540, "z9", "192.0.2.1", true, 9988},
        {"IPv6", "SIP/2.0/TLS [2001:db8::9:1]:5061;received=2001:db8::9:255;branch=z9", "TLS",
         "[2001:db8::9:1]", TRANSPORT_TLS, 5061, "z9", "2001:db8::9:255", false, 0},
        {"an unknown transport", "SIP/2.0/UNKNOWN h", "UNKNOWN", "h", TRANSPORT_NONE, 0, "", "",
         false, 0},
        {"lower case", "sip/2.0/wss h;BRANCH=x", "wss", "h", TRANSPORT_WSS, 0, "x", "", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_via via;
        CHECK_EQ(OK, sip_via_parse(guarded(slice_of(cases[i].text)), &via), cases[i].why);
        CHECK_TEXT(cases[i].name, via.transport_name, cases[i].why);
        CHECK_EQ(cases[i].transport, via.transport, cases[i].why);
        CHECK_TEXT(cases[i].host, via.host, cases[i].why);
        CHECK_EQ(cases[i].port, via.port, cases[i].why);
        CHECK_TEXT(cases[i].branch, via.branch, cases[i].why);
        CHECK_TEXT(cases[i].received, via.received, cases[i].why);
        CHECK_EQ(cases[i].has_rport, via.has_rport, cases[i].why);
        CHECK_EQ(cases[i].rport, via.rport, cases[i].why);
    }
    struct sip_via via;
    assert_int_equal(OK, sip_via_parse(SLICE("SIP/2.0/TCP h : 5 ;ttl=255;maddr=m;alias"), &via));
    CHECK_TEXT("h : 5", via.sent_by, "as written");
    CHECK_EQ(255, via.ttl, "ttl");
    CHECK_TEXT("m", via.maddr, "maddr");
    CHECK(via.has_alias, "alias (RFC 5923)");
    CHECK_TEXT(";ttl=255;maddr=m;alias", via.params, "params");
}

TEST(via_parse_refuses_what_is_no_via)
{
    static const char *const cases[] = {
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0 h",
        "SIP/2.0/UDP/h",
        "SIP/2.0/UDP h;;branch=x",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;branch",
        "SIP/2.0/UDP h;branch=",
        "SIP/2.0/UDP h;branch=a;branch=b",
        "SIP/2.0/UDP h;received=a;received=b",
        "SIP/2.0/UDP h;rport;rport=5",
        "SIP/2.0/UDP h;rport=65536",
        "SIP/2.0/UDP h;rport=x",
        "SIP/2.0/UDP h;ttl=256",
        "SIP/2.0/UDP h;ttl",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h:65536",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP h x",
        "SIP/2.0/UDP h;a=b, SIP/2.0/UDP g",
        "SIP/2.0/UDP h;a=\"b",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_via via;
        CHECK_EQ(ERR_SYNTAX, sip_via_parse(guarded(slice_of(cases[i])), &via), cases[i]);
    }
}

TEST(a_branch_of_rfc3261_has_something_behind_its_cookie)
{
    assert_true(sip_branch_rfc3261(SLICE("z9hG4bK1")));
    assert_true(sip_branch_rfc3261(SLICE("Z9HG4BKx")));
    assert_false(sip_branch_rfc3261(SLICE("z9hG4bK")));
    assert_false(sip_branch_rfc3261(SLICE("z9hG4b")));
    assert_false(sip_branch_rfc3261(SLICE("390skdjuw")));
    assert_false(sip_branch_rfc3261(SLICE("")));
}

TEST(name_addr_parse_follows_the_grammar)
{
    static const struct {
        const char *why, *text;
        bool brackets;
        const char *display, *uri, *params, *tag;
    } cases[] = {
        {"RFC 3261 §20.20", "\"A. G. Bell\" <sip:agb@bell-telephone.com> ;tag=a48s", true,
         "\"A. G. Bell\"", "sip:agb@bell-telephone.com", ";tag=a48s", "a48s"},
        {"§20.20", "sip:+12125551212@server.phone2net.com;tag=887s", false, "",
         "sip:+12125551212@server.phone2net.com", ";tag=887s", "887s"},
        {"§20.20", "Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", true, "Anonymous",
         "sip:c8oqz84zk7z@privacy.org", ";tag=hyh8", "hyh8"},
        {"several tokens", "The Operator  <sip:operator@cs.columbia.edu>;tag=287447", true,
         "The Operator", "sip:operator@cs.columbia.edu", ";tag=287447", "287447"},
        {"no LWS before <", "caller<sip:a@h>", true, "caller", "sip:a@h", "", ""},
        {"parameters of the URI", "<sip:a@h;transport=tcp;tag=no>;x;TAG=yes", true, "",
         "sip:a@h;transport=tcp;tag=no", ";x;TAG=yes", "yes"},
        {"without brackets they are the header's", "sip:a@h;transport=tcp;tag=yes", false, "",
         "sip:a@h", ";transport=tcp;tag=yes", "yes"},
        {"> in a display name", "\"a > b <c>\" <sip:h>", true, "\"a > b <c>\"", "sip:h", "", ""},
        {"UTF-8 without quotes", "J\xc3\xb6rg <sip:j@h>", true, "J\xc3\xb6rg", "sip:j@h", "", ""},
        {"a scheme nobody knows", "isbn:2983792873", false, "", "isbn:2983792873", "", ""},
        {"a scheme nobody knows", "<name:John_Smith>", true, "", "name:John_Smith", "", ""},
        {"folding", "  \"a\"\r\n  <sip:h>\r\n ;\r\n tag\r\n = b ", true, "\"a\"", "sip:h",
         ";\r\n tag\r\n = b", "b"},
        {"an empty display name", "\"\" <sip:h>", true, "\"\"", "sip:h", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_name_addr addr;
        CHECK_EQ(OK, sip_name_addr_parse(guarded(slice_of(cases[i].text)), &addr), cases[i].why);
        CHECK_EQ(cases[i].brackets, addr.brackets, cases[i].why);
        CHECK_TEXT(cases[i].display, addr.display, cases[i].why);
        CHECK_TEXT(cases[i].uri, addr.uri_text, cases[i].why);
        CHECK_TEXT(cases[i].params, addr.params, cases[i].why);
        CHECK_TEXT(cases[i].tag, addr.tag, cases[i].why);
    }
}

TEST(name_addr_parse_refuses_what_is_none)
{
    static const struct {
        const char *why, *text;
    } cases[] = {
        {"nothing", ""},
        {"no scheme", "alice"},
        {"no scheme", "<alice@h>"},
        {"nothing in the brackets", "<>"},
        {"no end", "<sip:a@h"},
        {"spaces in the brackets (RFC 4475 §3.1.2.14)", "\"W\" < sip:t@h >"},
        {"spaces in the brackets", "<sip:t@h >"},
        {"a comma in a display name (§3.1.2.15)", "Bell, Alexander <sip:a@h>"},
        {"an open quote (§3.1.2.6)", "\"Mr. J. User <sip:j@h>"},
        {"a quoted string and no <", "\"a\" sip:a@h"},
        {"? without brackets (RFC 3261 §20)", "sip:a@h?Route=%3Csip:b%3E"},
        {", without brackets", "sip:a@h,sip:b@h"},
        {"something behind", "<sip:a@h> x"},
        {"two of them", "<sip:a@h>, <sip:b@h>"},
        {"an empty parameter", "<sip:a@h>;;tag=x"},
        {"an empty tag", "<sip:a@h>;tag"},
        {"two tags", "<sip:a@h>;tag=x;tag=y"},
        {"UTF-8 in the URI", "<sip:\xc3\xb6@h>"},
        {"a bracket in the URI", "<sip:<a@h>"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_name_addr addr;
        CHECK_EQ(ERR_SYNTAX, sip_name_addr_parse(guarded(slice_of(cases[i].text)), &addr),
                 cases[i].why);
    }
}

TEST(contact_parse_knows_its_parameters)
{
    static const struct {
        const char *why, *text;
        enum err err;
        bool star, has_q;
        uint16_t q;
        bool has_expires;
        uint32_t expires;
        const char *instance;
        uint32_t reg_id;
    } cases[] = {
        {"a star", " * ", OK, true, false, 1000, false, 0, "", 0},
        {"RFC 3261 §20.10",
         "\"Mr. Watson\" <sip:watson@worcester.bell-telephone.com>;q=0.7; expires=3600", OK, false,
         true, 700, true, 3600, "", 0},
        {"RFC 5626", "<sip:a@h;ob>;+sip.instance=\"<urn:uuid:0>\";reg-id=1", OK, false, false, 1000,
         false, 0, "<urn:uuid:0>", 1},
        {"expires 2^32-1", "<sip:h>;expires=4294967295", OK, false, false, 1000, true, UINT32_MAX,
         "", 0},
        {"expires too large is the largest", "<sip:h>;expires=4294967296", OK, false, false, 1000,
         true, UINT32_MAX, "", 0},
        {"expires that is no number is as absent", "<sip:h>;expires=soon", OK, false, false, 1000,
         false, 0, "", 0},
        {"q that is none", "<sip:h>;q=2", ERR_SYNTAX, false, false, 0, false, 0, "", 0},
        {"q twice", "<sip:h>;q=1;q=0", ERR_SYNTAX, false, false, 0, false, 0, "", 0},
        {"expires twice", "<sip:h>;expires=1;expires=2", ERR_SYNTAX, false, false, 0, false, 0, "",
         0},
        {"reg-id 0", "<sip:h>;reg-id=0", ERR_SYNTAX, false, false, 0, false, 0, "", 0},
        {"a star with something", "*;q=1", ERR_SYNTAX, false, false, 0, false, 0, "", 0},
        {"headers without brackets (RFC 4475 §3.1.2.13)", "sip:user@example.com?Route=%3Csip:x%3E",
         ERR_SYNTAX, false, false, 0, false, 0, "", 0},
        {"empty parameters (§3.1.2.1)", "\"Joe\" <sip:joe@example.org>;;;;", ERR_SYNTAX, false,
         false, 0, false, 0, "", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_contact contact;
        CHECK_EQ(cases[i].err, sip_contact_parse(guarded(slice_of(cases[i].text)), &contact),
                 cases[i].why);
        if (cases[i].err != OK)
            continue;
        CHECK_EQ(cases[i].star, contact.star, cases[i].why);
        CHECK_EQ(cases[i].has_q, contact.has_q, cases[i].why);
        CHECK_EQ(cases[i].q, contact.q, cases[i].why);
        CHECK_EQ(cases[i].has_expires, contact.has_expires, cases[i].why);
        CHECK_EQ(cases[i].expires, contact.expires, cases[i].why);
        CHECK_TEXT(cases[i].instance, contact.instance, cases[i].why);
        CHECK_EQ(cases[i].reg_id, contact.reg_id, cases[i].why);
    }
}

TEST(q_is_between_0_and_1_with_three_decimals)
{
    static const struct {
        const char *text;
        enum err err;
        uint16_t q;
    } cases[] = {
        {"0", OK, 0},
        {"1", OK, 1000},
        {"0.", OK, 0},
        {"1.", OK, 1000},
        {"0.5", OK, 500},
        {"0.333", OK, 333},
        {"1.000", OK, 1000},
        {"0.001", OK, 1},
        {" 0.7 ", OK, 700},
        {"1.001", ERR_SYNTAX, 0},
        {"0.1234", ERR_SYNTAX, 0},
        {"2", ERR_SYNTAX, 0},
        {"", ERR_SYNTAX, 0},
        {".5", ERR_SYNTAX, 0},
        {"0,5", ERR_SYNTAX, 0},
        {"-0", ERR_SYNTAX, 0},
        {"0.5x", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint16_t q = 0;
        CHECK_EQ(cases[i].err, sip_q_parse(guarded(slice_of(cases[i].text)), &q), cases[i].text);
        CHECK_EQ(cases[i].q, q, cases[i].text);
    }
}

TEST(number_parse_stops_at_2_to_the_32)
{
    static const struct {
        const char *text;
        enum err err;
        uint32_t number;
    } cases[] = {
        {"0", OK, 0},
        {" 0070\r\n ", OK, 70},
        {"4294967295", OK, UINT32_MAX},
        {"4294967296", ERR_TOO_BIG, 0},
        {"99999999999999999999999999999999999999999", ERR_TOO_BIG, 0},
        {"99999999999999999999999999999999x", ERR_SYNTAX, 0},
        {"-1", ERR_SYNTAX, 0},
        {"+1", ERR_SYNTAX, 0},
        {"1 2", ERR_SYNTAX, 0},
        {"", ERR_SYNTAX, 0},
        {"0x10", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t number = 0;
        CHECK_EQ(cases[i].err, sip_number_parse(guarded(slice_of(cases[i].text)), &number),
                 cases[i].text);
        CHECK_EQ(cases[i].number, number, cases[i].text);
    }
}

TEST(list_next_splits_at_commas_outside_quotes_and_brackets)
{
    static const struct {
        const char *why, *text;
        size_t count;
        const char *values[4];
    } cases[] = {
        {"one", "a", 1, {"a"}},
        {"several, LWS trimmed", " a ,\r\n b,c ", 3, {"a", "b", "c"}},
        {"in quotes", "\"a,b\" <sip:x>,c", 2, {"\"a,b\" <sip:x>", "c"}},
        {"an escaped quote", "\"a\\\",b\",c", 2, {"\"a\\\",b\"", "c"}},
        {"in brackets", "<sip:a,b@h>,<sip:c>", 2, {"<sip:a,b@h>", "<sip:c>"}},
        {"a quote in brackets is no quote", "<sip:\"a>,b", 2, {"<sip:\"a>", "b"}},
        {"empty elements", "a,,b", 3, {"a", "", "b"}},
        {"an empty one at the end", "a,", 2, {"a", ""}},
        {"an empty field", "", 1, {""}},
        {"an open quote takes the rest", "a,\"b,c", 2, {"a", "\"b,c"}},
        {"an open bracket takes the rest", "a,<b,c", 2, {"a", "<b,c"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice rest = guarded(slice_of(cases[i].text));
        struct slice value;
        size_t count = 0;
        for (; sip_list_next(&rest, &value); count++) {
            CHECK(count < cases[i].count, cases[i].why);
            CHECK_TEXT(cases[i].values[count], value, cases[i].why);
        }
        CHECK_EQ(cases[i].count, count, cases[i].why);
        CHECK(!sip_list_next(&rest, &value), "the end stays the end");
    }

    struct slice rest = SLICE(" 100rel , ,timer");
    struct slice token;
    assert_true(sip_token_next(&rest, &token));
    CHECK_TEXT("100rel", token, "first");
    assert_true(sip_token_next(&rest, &token));
    CHECK_TEXT("timer", token, "empty ones are skipped");
    assert_false(sip_token_next(&rest, &token));
}

TEST(dates_are_read_and_written_in_gmt)
{
    static const struct {
        const char *why, *text;
        enum err err;
        uint64_t unix_ms;
    } cases[] = {
        {"RFC 3261 §20.17", "Sat, 13 Nov 2010 23:29:00 GMT", OK, UINT64_C(1289690940000)},
        {"the beginning", "Thu, 01 Jan 1970 00:00:00 GMT", OK, 0},
        {"a leap day", "Thu, 29 Feb 2024 12:00:00 GMT", OK, UINT64_C(1709208000000)},
        {"2000 was a leap year", "Tue, 29 Feb 2000 00:00:00 GMT", OK, UINT64_C(951782400000)},
        {"past 2038", "Sun, 07 Feb 2106 06:28:16 GMT", OK, UINT64_C(4294967296000)},
        {"last second of a year", "Thu, 31 Dec 2026 23:59:59 GMT", OK, UINT64_C(1798761599000)},
        {"the end", "Fri, 31 Dec 9999 23:59:59 GMT", OK, UINT64_C(253402300799000)},
        {"another zone (RFC 4475 §3.1.2.12)", "Fri, 01 Jan 2010 16:00:00 EST", ERR_SYNTAX, 0},
        {"2100 is none", "Mon, 29 Feb 2100 00:00:00 GMT", ERR_SYNTAX, 0},
        {"29 February of another year", "Wed, 29 Feb 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"day 0", "Wed, 00 Jan 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"day 32", "Wed, 32 Jan 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"hour 24", "Sun, 01 Jan 2023 24:00:00 GMT", ERR_SYNTAX, 0},
        {"minute 60", "Sun, 01 Jan 2023 00:60:00 GMT", ERR_SYNTAX, 0},
        {"second 61", "Sun, 01 Jan 2023 00:00:61 GMT", ERR_SYNTAX, 0},
        {"before 1970", "Wed, 31 Dec 1969 23:59:59 GMT", ERR_SYNTAX, 0},
        {"a month nobody knows", "Sun, 01 Foo 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"a day nobody knows", "Foo, 01 Jan 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"one digit", "Sun, 1 Jan 2023 00:00:00 GMT", ERR_SYNTAX, 0},
        {"cut off", "Sun, 01 Jan 2023 00:00:00", ERR_SYNTAX, 0},
        {"nothing", "", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t unix_ms = 0;
        CHECK_EQ(cases[i].err, sip_date_parse(guarded(slice_of(cases[i].text)), &unix_ms),
                 cases[i].why);
        CHECK_EQ(cases[i].unix_ms, unix_ms, cases[i].why);
        if (cases[i].err != OK)
            continue;
        char space[64];
        struct builder b = builder_over(space, sizeof space);
        sip_date_write(&b, unix_ms + 999);
        CHECK_TEXT(cases[i].text, builder_slice(&b), cases[i].why);
    }
}

TEST(a_date_past_9999_is_written_as_the_last_one)
{
    char space[64];
    struct builder b = builder_over(space, sizeof space);
    sip_date_write(&b, UINT64_MAX);
    CHECK_TEXT("Fri, 31 Dec 9999 23:59:59 GMT", builder_slice(&b), "four digits");
}

TEST(every_day_of_four_centuries_survives_being_written)
{
    for (uint64_t day = 0; day < 146097; day++) {
        char space[64];
        struct builder b = builder_over(space, sizeof space);
        uint64_t unix_ms = 0;
        sip_date_write(&b, day * 86400000);
        assert_int_equal(OK, sip_date_parse(builder_slice(&b), &unix_ms));
        assert_true(unix_ms == day * 86400000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cseq_parse_follows_the_grammar),
        cmocka_unit_test(every_method_is_found_by_its_name),
        cmocka_unit_test(param_next_takes_one_parameter_at_a_time),
        cmocka_unit_test(quoted_strings_follow_the_grammar),
        cmocka_unit_test(via_parse_follows_the_grammar),
        cmocka_unit_test(via_parse_refuses_what_is_no_via),
        cmocka_unit_test(a_branch_of_rfc3261_has_something_behind_its_cookie),
        cmocka_unit_test(name_addr_parse_follows_the_grammar),
        cmocka_unit_test(name_addr_parse_refuses_what_is_none),
        cmocka_unit_test(contact_parse_knows_its_parameters),
        cmocka_unit_test(q_is_between_0_and_1_with_three_decimals),
        cmocka_unit_test(number_parse_stops_at_2_to_the_32),
        cmocka_unit_test(list_next_splits_at_commas_outside_quotes_and_brackets),
        cmocka_unit_test(dates_are_read_and_written_in_gmt),
        cmocka_unit_test(a_date_past_9999_is_written_as_the_last_one),
        cmocka_unit_test(every_day_of_four_centuries_survives_being_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
