/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

static enum err parse(const char *text, struct sip_uri *out)
{
    /* Both URIs of a comparison must live at once: no guard page here. */
    return sip_uri_parse(slice_of(text), out);
}

TEST(uri_parse_splits_a_uri_into_its_parts)
{
    static const struct {
        const char *why, *text;
        enum sip_scheme scheme;
        const char *user, *password, *host;
        uint16_t port;
        const char *params, *headers;
    } cases[] = {
        {"RFC 3261 §19.1.3", "sip:alice@atlanta.com", SIP_SCHEME_SIP, "alice", "", "atlanta.com", 0,
         "", ""},
        {"§19.1.3", "sip:alice:secretword@atlanta.com;transport=tcp", SIP_SCHEME_SIP, "alice",
         "secretword", "atlanta.com", 0, "transport=tcp", ""},
        {"§19.1.3", "sips:alice@atlanta.com?subject=project%20x&priority=urgent", SIP_SCHEME_SIPS,
         "alice", "", "atlanta.com", 0, "", "subject=project%20x&priority=urgent"},
        {"§19.1.3", "sip:+1-212-555-1212:1234@gateway.com;user=phone", SIP_SCHEME_SIP,
         "+1-212-555-1212", "1234", "gateway.com", 0, "user=phone", ""},
        {"§19.1.3", "sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", SIP_SCHEME_SIP, "",
         "", "atlanta.com", 0, "method=REGISTER", "to=alice%40atlanta.com"},
        {"§19.1.3: ';' and '=' in the user", "sip:alice;day=tuesday@atlanta.com", SIP_SCHEME_SIP,
         "alice;day=tuesday", "", "atlanta.com", 0, "", ""},
        {"'?' and '/' in the user", "sip:a?b/c@h", SIP_SCHEME_SIP, "a?b/c", "", "h", 0, "", ""},
        {"a dialled feature code", "sip:*21#@pbx", SIP_SCHEME_SIP, "*21#", "", "pbx", 0, "", ""},
        {"escaped @", "sip:a%40b@h:5061", SIP_SCHEME_SIP, "a%40b", "", "h", 5061, "", ""},
        {"an empty password is one", "sip:a:@h", SIP_SCHEME_SIP, "a", "", "h", 0, "", ""},
        {"scheme without case", "SIP:h", SIP_SCHEME_SIP, "", "", "h", 0, "", ""},
        {"IPv6", "sip:[2001:db8::1]:5070;lr", SIP_SCHEME_SIP, "", "", "[2001:db8::1]", 5070, "lr",
         ""},
        {"largest port", "sip:h:65535", SIP_SCHEME_SIP, "", "", "h", 65535, "", ""},
        {"an empty header value", "sip:h?a=&b=c", SIP_SCHEME_SIP, "", "", "h", 0, "", "a=&b=c"},
        {"RFC 3966 §6", "tel:+358-555-1234567", SIP_SCHEME_TEL, "+358-555-1234567", "", "", 0, "",
         ""},
        {"RFC 3966 §6", "tel:1234;phone-context=+358-555", SIP_SCHEME_TEL, "1234", "", "", 0,
         "phone-context=+358-555", ""},
        {"an extension without context", "tel:101", SIP_SCHEME_TEL, "101", "", "", 0, "", ""},
        {"a service code", "tel:*43#;phone-context=x", SIP_SCHEME_TEL, "*43#", "", "", 0,
         "phone-context=x", ""},
        {"a scheme we do not know", "nobodyKnowsThisScheme:totallyopaquecontent", SIP_SCHEME_OTHER,
         "", "", "", 0, "", ""},
        {"a scheme with all its bytes", "soap.beep+x-1://192.0.2.103:3002", SIP_SCHEME_OTHER, "",
         "", "", 0, "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_uri uri;
        struct slice text = guarded(slice_of(cases[i].text));
        CHECK_EQ(OK, sip_uri_parse(text, &uri), cases[i].text);
        CHECK_EQ(cases[i].scheme, uri.scheme, cases[i].why);
        CHECK_TEXT(cases[i].text, uri.text, cases[i].why);
        CHECK_TEXT(cases[i].user, uri.user, cases[i].why);
        CHECK_EQ(cases[i].user[0] != '\0', uri.has_user, cases[i].why);
        CHECK_TEXT(cases[i].password, uri.password, cases[i].why);
        CHECK_TEXT(cases[i].host, uri.host, cases[i].why);
        CHECK_EQ(cases[i].port, uri.port, cases[i].why);
        CHECK_TEXT(cases[i].params, uri.params, cases[i].why);
        CHECK_TEXT(cases[i].headers, uri.headers, cases[i].why);
    }
}

TEST(uri_parse_refuses_what_is_no_uri)
{
    static const struct {
        const char *why, *text;
    } cases[] = {
        {"nothing", ""},
        {"no scheme", "alice@atlanta.com"},
        {"no scheme", ":h"},
        {"a scheme begins with a letter", "1sip:h"},
        {"no host", "sip:"},
        {"no host", "sip:alice@"},
        {"an empty user", "sip:@h"},
        {"an empty user with a password", "sip::p@h"},
        {"two @", "sip:a@b@c"},
        {"a bad escape in the user", "sip:a%4@h"},
        {"a bad escape in the user", "sip:a%g1@h"},
        {"an escape cut off at the end", "sip:h;a%4"},
        {"a space in the user", "sip:a b@h"},
        {"a quote in the user", "sip:\"a\"@h"},
        {"< in the host", "sip:<h"},
        {"port 0", "sip:h:0"},
        {"port 65536", "sip:h:65536"},
        {"port past 2^32", "sip:h:4294972356"},
        {"an empty port", "sip:h:"},
        {"a port with a letter", "sip:h:5060a"},
        {"IPv6 without brackets", "sip:2001:db8::10"},
        {"a bracket without end", "sip:[2001:db8::1"},
        {"brackets without an address", "sip:[]"},
        {"brackets round a name", "sip:[abc]"},
        {"bytes behind the bracket", "sip:[::1]x"},
        {"an empty parameter", "sip:h;"},
        {"an empty parameter", "sip:h;;lr"},
        {"a parameter without name", "sip:h;=x"},
        {"a parameter with an empty value", "sip:h;a="},
        {"twice the same parameter", "sip:h;a=1;A=2"},
        {"twice lr", "sip:h;lr;transport=tcp;lr"},
        {"twice the same parameter, once with an escape", "sip:h;p;%70=42"},
        {"a header without =", "sip:h?a"},
        {"a header without name", "sip:h?=a"},
        {"an empty header", "sip:h?a=b&"},
        {"LWS behind it", "sip:h "},
        {"no number", "tel:"},
        {"separators only", "tel:-.-"},
        {"'+' in the middle", "tel:12+3"},
        {"letters that are no hex digits", "tel:+1-800-FLOWERS"},
        {"a NUL is no end", "sip:h"},
        {"nothing behind the scheme", "urn:"},
        {"a space in an unknown scheme", "urn:a b"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_uri uri = {.port = 77};
        struct slice text = slice_of(cases[i].text);
        if (strcmp(cases[i].why, "a NUL is no end") == 0)
            text.len++;
        if (sip_uri_parse(guarded(text), &uri) != ERR_SYNTAX)
            fail_msg("%s: \"%s\" was accepted", cases[i].why, cases[i].text);
        CHECK_EQ(77, uri.port, "written on success only");
    }
}

TEST(uri_parse_notes_the_parameters_that_matter)
{
    struct sip_uri uri;

    assert_int_equal(OK, parse("sip:a@h;transport=WS;lr;gr=x;ob;user=PHONE;maddr=m.h", &uri));
    assert_int_equal(TRANSPORT_WS, uri.transport);
    assert_true(uri.has_transport && uri.lr && uri.has_gr && uri.ob && uri.user_phone);
    CHECK_TEXT("m.h", uri.maddr, "maddr");

    assert_int_equal(OK, parse("sip:a@h;Transport=sctp;user=ip;lrx", &uri));
    assert_int_equal(TRANSPORT_NONE, uri.transport);
    assert_true(uri.has_transport);
    assert_false(uri.lr || uri.has_gr || uri.ob || uri.user_phone);

    struct slice value = SLICE("untouched");
    assert_true(sip_uri_param(&uri, SLICE("TRANSPORT"), &value));
    CHECK_TEXT("sctp", value, "by name, without case");
    assert_true(sip_uri_param(&uri, SLICE("lrx"), &value));
    CHECK_TEXT("", value, "a flag");
    assert_false(sip_uri_param(&uri, SLICE("lr"), &value));
}

/* Makes "sip:h" with `count` parameters or headers p0, p1 ... */
static struct slice many(char *text, size_t size, const char *first, const char *between, int count)
{
    int len = snprintf(text, size, "sip:h");
    for (int i = 0; i < count; i++)
        len += snprintf(text + len, size - (size_t)len, "%sp%d=1", i == 0 ? first : between, i);
    return slice_of(text);
}

TEST(uri_parse_has_limits_for_parameters_and_headers)
{
    char text[1024];
    struct sip_uri uri;

    CHECK_EQ(OK, sip_uri_parse(many(text, sizeof text, ";", ";", SIP_URI_PARAMS_MAX), &uri), "at");
    CHECK_EQ(ERR_SYNTAX,
             sip_uri_parse(many(text, sizeof text, ";", ";", SIP_URI_PARAMS_MAX + 1), &uri),
             "one more");
    CHECK_EQ(OK, sip_uri_parse(many(text, sizeof text, "?", "&", SIP_URI_HEADERS_MAX), &uri), "at");
    CHECK_EQ(ERR_SYNTAX,
             sip_uri_parse(many(text, sizeof text, "?", "&", SIP_URI_HEADERS_MAX + 1), &uri),
             "one more");
}

TEST(uri_equal_follows_the_rules_in_both_directions)
{
    static const struct {
        const char *why, *a, *b;
        bool equal;
    } cases[] = {
        /* RFC 3261 §19.1.4, all examples. */
        {"escape of a letter, host, parameter case", "sip:%61lice@atlanta.com;transport=TCP",
         "sip:alice@AtLanTa.CoM;Transport=tcp", true},
        {"a parameter in one only", "sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5",
         true},
        {"different parameters", "sip:carol@chicago.com;newparam=5",
         "sip:carol@chicago.com;security=on", true},
        {"a parameter in one only", "sip:carol@chicago.com", "sip:carol@chicago.com;security=on",
         true},
        {"order of parameters",
         "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
        {"order of headers", "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
        {"different usernames", "SIP:ALICE@AtLanTa.CoM;Transport=udp",
         "sip:alice@AtLanTa.CoM;Transport=UDP", false},
        {"can resolve to different ports", "sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
        {"can resolve to different transports", "sip:bob@biloxi.com",
         "sip:bob@biloxi.com;transport=udp", false},
        {"different port and transports", "sip:bob@biloxi.com",
         "sip:bob@biloxi.com:6000;transport=tcp", false},
        {"different header component", "sip:carol@chicago.com",
         "sip:carol@chicago.com?Subject=next%20meeting", false},
        {"a name and its address", "sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
        {"equality is not transitive", "sip:carol@chicago.com;security=on",
         "sip:carol@chicago.com;security=off", false},
        {"equality is not transitive", "sip:carol@chicago.com",
         "sip:carol@chicago.com;security=off", true},
        /* The rules one by one. */
        {"a SIP and a SIPS URI", "sip:a@h", "sips:a@h", false},
        {"a user in one only", "sip:h", "sip:a@h", false},
        {"a password in one only", "sip:a@h", "sip:a:p@h", false},
        {"an empty password in one only", "sip:a@h", "sip:a:@h", false},
        {"password by case", "sip:a:p@h", "sip:a:P@h", false},
        {"password with an escape", "sip:a:p@h", "sip:a:%70@h", true},
        {"a reserved character is not its escape", "sip:a;b@h", "sip:a%3bb@h", false},
        {"'+' is reserved", "sip:+1@h", "sip:%2B1@h", false},
        {"an escape by the case of its digits", "sip:a%3bb@h", "sip:a%3Bb@h", true},
        {"a mark is its escape", "sip:a-b@h", "sip:a%2db@h", true},
        {"%00 counts", "sip:null-%00-null@h", "sip:null-%01-null@h", false},
        {"%00 ends nothing", "sip:a%00b@h", "sip:a%00c@h", false},
        {"maddr in one only", "sip:a@h", "sip:a@h;maddr=m", false},
        {"ttl in one only", "sip:a@h", "sip:a@h;ttl=1", false},
        {"user in one only, though the default", "sip:a@h", "sip:a@h;user=ip", false},
        {"method in one only, though the default", "sip:a@h", "sip:a@h;method=INVITE", false},
        {"other parameter in both, different", "sip:a@h;x=1", "sip:a@h;x=2", false},
        {"other parameter in both, without case", "sip:a@h;x=Yes", "sip:a@h;X=yes", true},
        {"with a value and without", "sip:a@h;x", "sip:a@h;x=1", false},
        {"escapes in parameters", "sip:a@h;%78=%31", "sip:a@h;x=1", true},
        {"lr in one only", "sip:a@h;lr", "sip:a@h", true},
        {"a GRUU equals its AOR (RFC 5627 §5.4)", "sip:a@h;gr=urn:uuid:1", "sip:a@h", true},
        {"ports", "sip:a@h:5060", "sip:a@h:5061", false},
        {"IPv6 by value (RFC 5954 §3.2)", "sip:[2001:DB8::9:1]", "sip:[2001:db8::9:01]", true},
        {"IPv6 by value", "sip:[::1]", "sip:[::2]", false},
        {"header twice against once", "sip:h?a=b&a=b", "sip:h?a=b", false},
        {"headers as a multiset", "sip:h?a=b&a=b&a=c", "sip:h?a=b&a=c&a=c", false},
        {"headers as a multiset", "sip:h?a=b&a=c", "sip:h?a=c&A=B", true},
        {"a Call-ID has case", "sip:h?Call-ID=a", "sip:h?Call-ID=A", false},
        /* RFC 3966 §4 */
        {"visual separators", "tel:+1-201-555-0123", "tel:+1(201)555.0123", true},
        {"global and local", "tel:+12015550123", "tel:12015550123", false},
        {"order of parameters", "tel:123;phone-context=a.com;ext=1",
         "tel:123;ext=1;phone-context=A.com", true},
        {"a parameter in one only", "tel:123;phone-context=a.com", "tel:123", false},
        {"ext without separators", "tel:+1;ext=1-2", "tel:+1;ext=12", true},
        {"hex digits without case", "tel:12A;phone-context=x", "tel:12a;phone-context=x", true},
        {"a number is a prefix", "tel:+123", "tel:+1234", false},
        {"a tel is no sip", "tel:+1", "sip:+1@h", false},
        {"unknown schemes as they stand", "urn:a", "urn:a", true},
        {"unknown schemes as they stand", "urn:a", "urn:A", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct sip_uri a, b;
        CHECK_EQ(OK, parse(cases[i].a, &a), cases[i].a);
        CHECK_EQ(OK, parse(cases[i].b, &b), cases[i].b);
        CHECK_EQ(cases[i].equal, sip_uri_equal(&a, &b), cases[i].why);
        CHECK_EQ(cases[i].equal, sip_uri_equal(&b, &a), cases[i].why);
        CHECK(sip_uri_equal(&a, &a) && sip_uri_equal(&b, &b), cases[i].why);
    }
}

TEST(unescape_undoes_each_escape_once)
{
    static const struct {
        const char *why, *text, *plain;
        enum err err;
    } cases[] = {
        {"plain", "alice", "alice", OK},
        {"one", "%61lice", "alice", OK},
        {"once only (RFC 4475 §3.1.1.3)", "%25%34%31", "%41", OK},
        {"cut off", "a%4", "", ERR_SYNTAX},
        {"no hex", "a%zz", "", ERR_SYNTAX},
        {"alone", "%", "", ERR_SYNTAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char space[64];
        struct builder b = builder_over(space, sizeof space);
        CHECK_EQ(cases[i].err, sip_unescape(&b, slice_of(cases[i].text)), cases[i].why);
        if (cases[i].err == OK)
            CHECK_TEXT(cases[i].plain, builder_slice(&b), cases[i].why);
    }
    char three[3];
    struct builder b = builder_over(three, sizeof three);
    CHECK_EQ(OK, sip_unescape(&b, SLICE("%00bc")), "fits");
    CHECK(three[0] == '\0', "%00 is a byte like any other");
    b = builder_over(three, sizeof three);
    CHECK_EQ(ERR_TOO_BIG, sip_unescape(&b, SLICE("abcd")), "one byte too many");
}

TEST(escape_user_leaves_what_may_stand_there)
{
    char space[64];
    struct builder b = builder_over(space, sizeof space);
    sip_escape_user(&b, SLICE("a;b?c/d&e=f+g$h,i%j@k:l m#\x01\xff"));
    CHECK_TEXT("a;b?c/d&e=f+g$h,i%25j%40k%3Al%20m%23%01%FF", builder_slice(&b), "user-unreserved");
}

TEST(uri_addr_gives_numeric_hosts_only)
{
    struct sip_uri uri;
    struct addr addr;

    assert_int_equal(OK, parse("sip:192.0.2.1", &uri));
    assert_int_equal(OK, sip_uri_addr(&uri, 5060, &addr));
    assert_int_equal(5060, addr.port);
    assert_int_equal(ADDR_V4, addr.family);
    assert_int_equal(OK, parse("sip:a@[2001:db8::1]:5070", &uri));
    assert_int_equal(OK, sip_uri_addr(&uri, 5060, &addr));
    assert_int_equal(5070, addr.port);
    assert_int_equal(ADDR_V6, addr.family);
    assert_int_equal(OK, parse("sip:example.com", &uri));
    assert_int_equal(ERR_SYNTAX, sip_uri_addr(&uri, 5060, &addr));
}

TEST(number_normalize_drops_visual_separators)
{
    static const struct {
        const char *text, *digits;
        enum err err;
    } cases[] = {
        {"+1-201-555-0123", "+12015550123", OK},
        {"(0)30.12", "03012", OK},
        {"*43#", "*43#", OK},
        {"+", "", ERR_SYNTAX},
        {"", "", ERR_SYNTAX},
        {"-.", "", ERR_SYNTAX},
        {"1+2", "", ERR_SYNTAX},
        {"alice", "", ERR_SYNTAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char space[32];
        struct builder b = builder_over(space, sizeof space);
        CHECK_EQ(cases[i].err, sip_number_normalize(&b, slice_of(cases[i].text)), cases[i].text);
        if (cases[i].err == OK)
            CHECK_TEXT(cases[i].digits, builder_slice(&b), cases[i].text);
    }
    char two[2];
    struct builder b = builder_over(two, sizeof two);
    CHECK_EQ(ERR_TOO_BIG, sip_number_normalize(&b, SLICE("123")), "does not fit");
}

TEST(transports_have_names_and_ports)
{
    static const struct {
        const char *name;
        enum transport transport;
        uint16_t port;
    } cases[] = {
        {"UDP", TRANSPORT_UDP, 5060}, {"TCP", TRANSPORT_TCP, 5060}, {"TLS", TRANSPORT_TLS, 5061},
        {"WS", TRANSPORT_WS, 80},     {"WSS", TRANSPORT_WSS, 443},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(cases[i].transport, sip_transport_parse(slice_of(cases[i].name)));
        assert_string_equal(cases[i].name, sip_transport_name(cases[i].transport));
        assert_int_equal(cases[i].port, sip_transport_port(cases[i].transport));
    }
    assert_int_equal(TRANSPORT_TLS, sip_transport_parse(SLICE("tLs")));
    assert_int_equal(TRANSPORT_NONE, sip_transport_parse(SLICE("SCTP")));
    assert_int_equal(TRANSPORT_NONE, sip_transport_parse(SLICE("")));
    assert_string_equal("?", sip_transport_name(TRANSPORT_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uri_parse_splits_a_uri_into_its_parts),
        cmocka_unit_test(uri_parse_refuses_what_is_no_uri),
        cmocka_unit_test(uri_parse_notes_the_parameters_that_matter),
        cmocka_unit_test(uri_parse_has_limits_for_parameters_and_headers),
        cmocka_unit_test(uri_equal_follows_the_rules_in_both_directions),
        cmocka_unit_test(unescape_undoes_each_escape_once),
        cmocka_unit_test(escape_user_leaves_what_may_stand_there),
        cmocka_unit_test(uri_addr_gives_numeric_hosts_only),
        cmocka_unit_test(number_normalize_drops_visual_separators),
        cmocka_unit_test(transports_have_names_and_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
