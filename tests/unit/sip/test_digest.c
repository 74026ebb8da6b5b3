/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_test.h"

#include <pthread.h>

struct example {
    const char *why, *user, *password, *method, *body, *value;
    enum sip_algorithm algorithm;
};

static const struct example examples[] = {
    {"RFC 2617 §3.5", "Mufasa", "Circle Of Life", "GET", "",
     "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
     "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, "
     "nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\", "
     "opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
     SIP_MD5},
    {"the same without qop (RFC 2617 §3.2.2.1)", "Mufasa", "Circle Of Life", "GET", "",
     "Digest username=\"Mufasa\",realm=\"testrealm@host.com\","
     "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\",uri=\"/dir/index.html\","
     "response=\"670fd8c2df070c60b045671b8b24ff02\"",
     SIP_MD5},
    {"the same with qop=auth-int (§3.2.2.3)", "Mufasa", "Circle Of Life", "GET", "body",
     "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", "
     "nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth-int, "
     "nc=00000001, cnonce=\"0a4f113b\", response=\"f93d61f87864e6c8c6a46b339ad998de\"",
     SIP_MD5},
    {"RFC 7616 §3.9.1, MD5", "Mufasa", "Circle of Life", "GET", "",
     "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "
     "algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "
     "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "
     "response=\"8ca523f5e9506fed4657c9700eebdbec\", "
     "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"",
     SIP_MD5},
    {"RFC 7616 §3.9.1, SHA-256", "Mufasa", "Circle of Life", "GET", "",
     "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "
     "algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "
     "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "
     "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"",
     SIP_SHA_256},
    {"RFC 7616 §3.9.2 as errata 4897 correct it", "J\xc3\xa4s\xc3\xb8n Doe", "Secret, or not?",
     "GET", "",
     "Digest username=\"J\xc3\xa4s\xc3\xb8n Doe\", realm=\"api@example.org\", uri=\"/doe.json\", "
     "algorithm=SHA-512-256, nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", "
     "nc=00000001, cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", qop=auth, "
     "response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\"",
     SIP_SHA_512_256},
    {"a REGISTER, algorithm in small letters, qop in quotes (RFC 8760 §2.6)", "alice", "secret",
     "REGISTER", "",
     "digest  username = \"alice\" ,\r\n realm=\"example.com\", nonce=n0nce, "
     "uri=\"sip:example.com\", algorithm=sha-256, qop=\"auth\", nc=0000002a, cnonce=c, "
     "response=\"3C3A4A9937237A55229F31C70A2E28330121492BBB867A3EB767B7EEFA58B645\"",
     SIP_SHA_256},
};

TEST(the_examples_of_the_rfcs_verify)
{
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        const struct example *e = &examples[i];
        struct sip_credentials c;
        uint8_t a1[SIP_HASH_MAX];
        char response[SIP_HASH_HEX_MAX];

        CHECK_EQ(OK, sip_credentials_parse(guarded(slice_of(e->value)), &c), e->why);
        CHECK_EQ(e->algorithm, c.algorithm, e->why);
        sip_digest_a1(e->algorithm, slice_of(e->user), c.realm, slice_of(e->password), a1);
        CHECK(sip_digest_verify(&c, a1, slice_of(e->method), slice_of(e->body)), e->why);
        sip_digest_response(&c, a1, slice_of(e->method), slice_of(e->body), response);
        struct slice made = {response, 2 * sip_algorithm_bytes(e->algorithm)};
        CHECK(slice_equal_nocase(made, c.response), e->why);

        CHECK(!sip_digest_verify(&c, a1, SLICE("PUT"), slice_of(e->body)), "another method");
        a1[0] ^= 1;
        CHECK(!sip_digest_verify(&c, a1, slice_of(e->method), slice_of(e->body)), "another A1");
        a1[0] ^= 1;
        c.uri = SLICE("sip:elsewhere");
        CHECK(!sip_digest_verify(&c, a1, slice_of(e->method), slice_of(e->body)), "another uri");
    }
}

TEST(auth_int_covers_the_body)
{
    struct sip_credentials c;
    uint8_t a1[SIP_HASH_MAX];

    assert_int_equal(OK, sip_credentials_parse(slice_of(examples[2].value), &c));
    assert_true(c.qop_auth_int && !c.qop_auth);
    sip_digest_a1(SIP_MD5, c.username, c.realm, SLICE("Circle Of Life"), a1);
    assert_true(sip_digest_verify(&c, a1, SLICE("GET"), SLICE("body")));
    assert_false(sip_digest_verify(&c, a1, SLICE("GET"), SLICE("Body")));
    assert_false(sip_digest_verify(&c, a1, SLICE("GET"), SLICE_EMPTY));
}

TEST(long_values_hash_as_short_ones_do)
{
    static char text[1000];
    struct sip_credentials c = {.algorithm = SIP_MD5, .nonce = SLICE("n"), .uri = {text, 0}};
    static const uint8_t a1[SIP_HASH_MAX];
    char response[SIP_HASH_HEX_MAX];

    /* Around the size of the buffer in which short ones are joined. */
    memset(text, 'u', sizeof text);
    for (size_t len = 480; len < 540; len++) {
        c.uri.len = len;
        sip_digest_response(&c, a1, SLICE("INVITE"), SLICE_EMPTY, response);
        c.response = (struct slice){response, 32};
        assert_true(sip_digest_verify(&c, a1, SLICE("INVITE"), SLICE_EMPTY));
        c.uri.len = len + 1;
        assert_false(sip_digest_verify(&c, a1, SLICE("INVITE"), SLICE_EMPTY));
    }
    c.uri.len = 600;
    sip_digest_response(&c, a1, SLICE("INVITE"), SLICE_EMPTY, response);
    assert_memory_equal("3bc97e5271c17a4ebb4df6f74d3ad1d9", response, 32);
}

TEST(credentials_are_taken_apart)
{
    struct sip_credentials c;

    assert_int_equal(OK, sip_credentials_parse(slice_of(examples[0].value), &c));
    CHECK_TEXT("Mufasa", c.username, "username");
    CHECK_TEXT("testrealm@host.com", c.realm, "realm");
    CHECK_TEXT("dcd98b7102dd2f0e8b11d0f600bfb0c093", c.nonce, "nonce");
    CHECK_TEXT("/dir/index.html", c.uri, "uri");
    CHECK_TEXT("0a4f113b", c.cnonce, "cnonce");
    CHECK_TEXT("5ccc069c403ebaf9f0171e9517f40e41", c.opaque, "opaque");
    CHECK_EQ(1, c.nc, "nc");
    CHECK(c.has_qop && c.qop_auth && !c.qop_auth_int && !c.has_algorithm, "qop, no algorithm");

    assert_int_equal(
        OK, sip_credentials_parse(SLICE("Digest username=\"a\\\"b\",realm=\"\",nonce=\"n\","
                                        "uri=\"u\",response=\"r\",nc=FFFFFFFF,"
                                        "qop=auth,cnonce=\"c\",future=1"),
                                  &c));
    CHECK_TEXT("a\\\"b", c.username, "escapes stay");
    CHECK_TEXT("", c.realm, "an empty realm is one");
    CHECK_EQ(UINT32_MAX, c.nc, "largest nc");
}

TEST(incomplete_credentials_are_refused)
{
#define BASE "Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\",response=\"x\""
    static const struct {
        const char *why, *value;
        enum err err;
    } cases[] = {
        {"complete", BASE, OK},
        {"another scheme", "Basic YTpi", ERR_NOT_FOUND},
        {"another scheme (RFC 4475 §3.3.7)", "NoOneKnowsThisScheme opaque-data=here",
         ERR_NOT_FOUND},
        {"nothing", "", ERR_SYNTAX},
        {"the scheme alone", "Digest", ERR_SYNTAX},
        {"no username", "Digest realm=\"r\",nonce=\"n\",uri=\"u\",response=\"x\"", ERR_SYNTAX},
        {"no realm", "Digest username=\"a\",nonce=\"n\",uri=\"u\",response=\"x\"", ERR_SYNTAX},
        {"no nonce", "Digest username=\"a\",realm=\"r\",uri=\"u\",response=\"x\"", ERR_SYNTAX},
        {"no uri", "Digest username=\"a\",realm=\"r\",nonce=\"n\",response=\"x\"", ERR_SYNTAX},
        {"no response", "Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"u\"", ERR_SYNTAX},
        {"twice", BASE ",realm=\"r\"", ERR_SYNTAX},
        {"algorithm twice", BASE ",algorithm=MD5,algorithm=MD5", ERR_SYNTAX},
        {"qop without cnonce", BASE ",qop=auth,nc=00000001", ERR_SYNTAX},
        {"qop without nc", BASE ",qop=auth,cnonce=\"c\"", ERR_SYNTAX},
        {"nc of seven digits", BASE ",qop=auth,cnonce=\"c\",nc=0000001", ERR_SYNTAX},
        {"nc of nine digits", BASE ",qop=auth,cnonce=\"c\",nc=000000001", ERR_SYNTAX},
        {"nc that is no number", BASE ",qop=auth,cnonce=\"c\",nc=0000000g", ERR_SYNTAX},
        {"an open quote", BASE ",opaque=\"x", ERR_SYNTAX},
        {"no value", BASE ",opaque=", ERR_SYNTAX},
        {"no comma", BASE " opaque=\"x\"", ERR_SYNTAX},
        {"a comma at the end", BASE ",", ERR_SYNTAX},
        {"an algorithm nobody knows", BASE ",algorithm=MD6", OK},
        {"a qop nobody knows", BASE ",qop=x,cnonce=\"c\",nc=00000001", OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static const uint8_t a1[SIP_HASH_MAX];
        struct sip_credentials c;
        CHECK_EQ(cases[i].err, sip_credentials_parse(guarded(slice_of(cases[i].value)), &c),
                 cases[i].why);
        if (cases[i].err == OK)
            CHECK(!sip_digest_verify(&c, a1, SLICE("GET"), SLICE_EMPTY), cases[i].why);
    }
}

TEST(algorithms_have_names_and_sizes)
{
    for (unsigned a = SIP_MD5; a < SIP_ALGORITHM_COUNT; a++)
        CHECK_EQ(a, sip_algorithm_parse(sip_algorithm_name((enum sip_algorithm)a)), "by name");
    assert_int_equal(SIP_ALGORITHM_NONE, sip_algorithm_parse(SLICE("MD5-sess")));
    assert_int_equal(SIP_ALGORITHM_NONE, sip_algorithm_parse(SLICE("")));
    assert_int_equal(16, sip_algorithm_bytes(SIP_MD5));
    assert_int_equal(32, sip_algorithm_bytes(SIP_SHA_256));
    assert_int_equal(32, sip_algorithm_bytes(SIP_SHA_512_256));
    assert_true(sip_digest_equal("abc", "abc", 3));
    assert_false(sip_digest_equal("abc", "abd", 3));
    assert_true(sip_digest_equal("abc", "abd", 2));
    assert_true(sip_digest_equal("", "", 0));
}

static void *hash_in_a_thread(void *good)
{
    uint8_t a1[SIP_HASH_MAX], again[SIP_HASH_MAX];
    bool *answer = good;

    *answer = true;
    for (unsigned a = SIP_MD5; a < SIP_ALGORITHM_COUNT; a++) {
        sip_digest_a1((enum sip_algorithm)a, SLICE("u"), SLICE("r"), SLICE("p"), a1);
        sip_digest_release(); /* and it can go on after that */
        sip_digest_a1((enum sip_algorithm)a, SLICE("u"), SLICE("r"), SLICE("p"), again);
        *answer = *answer && memcmp(a1, again, sizeof a1) == 0;
    }
    sip_digest_release();
    return NULL;
}

TEST(a_thread_that_gave_its_hashes_back_leaks_nothing)
{
    pthread_t thread;
    bool good = false;

    assert_int_equal(0, pthread_create(&thread, NULL, hash_in_a_thread, &good));
    assert_int_equal(0, pthread_join(thread, NULL));
    assert_true(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfcs_verify),
        cmocka_unit_test(auth_int_covers_the_body),
        cmocka_unit_test(long_values_hash_as_short_ones_do),
        cmocka_unit_test(credentials_are_taken_apart),
        cmocka_unit_test(incomplete_credentials_are_refused),
        cmocka_unit_test(algorithms_have_names_and_sizes),
        cmocka_unit_test(a_thread_that_gave_its_hashes_back_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
