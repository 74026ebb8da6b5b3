/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/auth.h"

enum {
    LIFETIME_MS = 300000,
    WINDOWS = 8,
    NONCE_LEN = 27
};
#define T0           UINT64_C(1763845200000)
#define REALM        "example.com"
#define REGISTER_URI "sip:example.com"

static struct rng rng;
static struct auth_config config;
static struct auth *auth;
static struct user alice;
static struct flow source;
static uint64_t now_ms;

static struct user make_user(const char *name, const char *password)
{
    struct user user = {.name = slice_of(name), .realm = SLICE(REALM), .has_digest = true};
    for (unsigned i = SIP_MD5; i < SIP_ALGORITHM_COUNT; i++)
        sip_digest_a1((enum sip_algorithm)i, slice_of(name), SLICE(REALM), slice_of(password),
                      user.digests[i]);
    return user;
}

static int set_up(void **state)
{
    (void)state;
    rng_seed(&rng, 7);
    config = (struct auth_config){.worker = 1,
                                  .nonce_lifetime_ms = LIFETIME_MS,
                                  .windows_max = WINDOWS,
                                  .algorithms = {SIP_MD5},
                                  .realm = SLICE(REALM),
                                  .nonce_key = {{11, 22}},
                                  .rng = &rng};
    auth = NULL;
    assert_int_equal(OK, auth_open(&config, &auth));
    alice = make_user("alice", "wonderland");
    source =
        (struct flow){.transport = TRANSPORT_UDP, .remote = {ADDR_V4, 0, 5062, 0, {192, 0, 2, 7}}};
    now_ms = T0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    auth_close(auth);
    auth = NULL;
    return 0;
}

static void reopen(void)
{
    auth_close(auth);
    auth = NULL;
    assert_int_equal(OK, auth_open(&config, &auth));
}

/* --- A client --------------------------------------------------------------------------------- */

/* What a phone puts into its answer. NULL or 0: the usual. */
struct client {
    const char *username, *password, *realm, *uri, *request_uri, *qop;
    char nonce[NONCE_LEN + 1];
    unsigned nc;
    enum sip_algorithm algorithm;
    bool without_qop;
    const struct user *user; /* whom the core looks up; NULL with `unknown` */
    bool unknown;
};

static const char *usual(const char *text, const char *otherwise)
{
    return text != NULL ? text : otherwise;
}

/* Takes a challenge and gives its lines. */
static struct slice challenge(struct client *client, bool stale, const struct user *user)
{
    static char text[2000];
    struct builder b = builder_over(text, sizeof text - 1);
    auth_challenge(auth, &b, false, stale, user, &source, now_ms);
    assert_false(b.overflow);
    text[b.len] = '\0';

    const char *nonce = strstr(text, "nonce=\"");
    assert_non_null(nonce);
    assert_int_equal('"', nonce[7 + NONCE_LEN]);
    memcpy(client->nonce, nonce + 7, NONCE_LEN);
    client->nonce[NONCE_LEN] = '\0';
    return builder_slice(&b);
}

/* The Authorization line that answers it. */
static const char *credentials(const struct client *client)
{
    static char line[2000];
    char nc[16];
    enum sip_algorithm algorithm =
        client->algorithm != SIP_ALGORITHM_NONE ? client->algorithm : SIP_MD5;
    snprintf(nc, sizeof nc, "%08x", client->nc != 0 ? client->nc : 1);
    const char *username = usual(client->username, "alice");
    const char *realm = usual(client->realm, REALM);
    struct sip_credentials c = {.algorithm = (uint8_t)algorithm,
                                .has_qop = !client->without_qop,
                                .qop_auth = true,
                                .nc_text = slice_of(nc),
                                .cnonce = SLICE("0a4f113b"),
                                .qop = slice_of(usual(client->qop, "auth")),
                                .nonce = slice_of(client->nonce),
                                .uri = slice_of(usual(client->uri, REGISTER_URI))};
    uint8_t a1[SIP_HASH_MAX];
    char response[SIP_HASH_HEX_MAX];
    sip_digest_a1(algorithm, slice_of(username), slice_of(realm),
                  slice_of(usual(client->password, "wonderland")), a1);
    sip_digest_response(&c, a1, SLICE("REGISTER"), SLICE_EMPTY, response);
    int len = snprintf(line, sizeof line,
                       "Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", "
                       "uri=\"%.*s\", response=\"%.*s\", algorithm=%s",
                       username, realm, client->nonce, SLICE_ARG(c.uri),
                       (int)(2 * sip_algorithm_bytes(algorithm)), response,
                       sip_algorithm_name(algorithm).data);
    if (c.has_qop)
        snprintf(line + len, sizeof line - (size_t)len,
                 ", qop=%.*s, nc=%s, cnonce=\"0a4f113b\"\r\n", SLICE_ARG(c.qop), nc);
    else
        snprintf(line + len, sizeof line - (size_t)len, "\r\n");
    return line;
}

static const struct sip_msg *request(const char *uri, const char *lines)
{
    static char text[8000];
    static struct sip_msg msg;
    int len = snprintf(text, sizeof text,
                       "REGISTER %s SIP/2.0\r\n"
                       "Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK1\r\n"
                       "From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\n"
                       "Call-ID: c\r\nCSeq: 1 REGISTER\r\n%s\r\n",
                       uri, lines);
    assert_int_equal(OK, sip_parse((struct slice){text, (size_t)len}, SIP_DATAGRAM, &msg));
    return &msg;
}

/* Sends the client's answer; the verdict on it. */
static struct auth_result answer(const struct client *client)
{
    const struct sip_msg *msg =
        request(usual(client->request_uri, REGISTER_URI), credentials(client));
    struct auth_result result = auth_find(auth, msg, false);
    if (result.verdict != AUTH_OK)
        return result;
    const struct user *user = client->user != NULL ? client->user : &alice;
    auth_check(auth, msg, client->unknown ? NULL : user, user, &source, now_ms, &result);
    return result;
}

static enum auth_verdict verdict(const struct client *client)
{
    return answer(client).verdict;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_right_answer_is_good_and_counts_go_up(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    struct auth_result result = answer(&client);
    assert_int_equal(AUTH_OK, result.verdict);
    assert_non_null(result.field);
    assert_int_equal(SIP_F_AUTHORIZATION, result.field->id);
    assert_true(slice_equal(SLICE("alice"), result.credentials.username));
    for (client.nc = 2; client.nc < 200; client.nc++)
        assert_int_equal(AUTH_OK, verdict(&client));
}

static void all_algorithms_verify(void **state)
{
    (void)state;
    memcpy(config.algorithms, (uint8_t[]){SIP_SHA_512_256, SIP_SHA_256, SIP_MD5}, 3);
    reopen();
    for (unsigned i = SIP_MD5; i < SIP_ALGORITHM_COUNT; i++) {
        struct client client = {.algorithm = (enum sip_algorithm)i};
        challenge(&client, false, NULL);
        assert_int_equal(AUTH_OK, verdict(&client));
        client.password = "wrong";
        client.nc = 2;
        assert_int_equal(AUTH_BAD, verdict(&client));
    }
}

static void challenges_are_written_as_the_rfc_says(void **state)
{
    (void)state;
    struct client client = {0};
    char expected[400];
    struct slice text = challenge(&client, false, NULL);
    snprintf(expected, sizeof expected,
             "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"%s\", algorithm=MD5, "
             "qop=\"auth\"\r\n",
             client.nonce);
    assert_string_equal(expected, text.data);

    text = challenge(&client, true, NULL);
    snprintf(expected, sizeof expected,
             "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"%s\", algorithm=MD5, "
             "stale=true, qop=\"auth\"\r\n",
             client.nonce);
    assert_string_equal(expected, text.data);

    /* One line per algorithm, in the user's own order (RFC 8760 §2.3). */
    memcpy(alice.algorithms, (uint8_t[]){SIP_SHA_256, SIP_MD5, 0}, 3);
    text = challenge(&client, false, &alice);
    snprintf(expected, sizeof expected,
             "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"%s\", algorithm=SHA-256, "
             "qop=\"auth\"\r\n"
             "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"%s\", algorithm=MD5, "
             "qop=\"auth\"\r\n",
             client.nonce, client.nonce);
    assert_string_equal(expected, text.data);

    char proxy[400];
    struct builder b = builder_over(proxy, sizeof proxy);
    auth_challenge(auth, &b, true, false, NULL, &source, now_ms);
    assert_true(slice_starts_with(builder_slice(&b), SLICE("Proxy-Authenticate: Digest ")));
}

static void wrong_answers_are_told_apart_by_what_helps(void **state)
{
    (void)state;
    struct user disabled = alice, other_realm = alice, no_password = alice;
    disabled.disabled = true;
    other_realm.realm = SLICE("elsewhere");
    no_password.has_digest = false;
    const struct {
        const char *why;
        struct client client;
        enum auth_verdict verdict;
    } cases[] = {
        {"wrong password", {.password = "x"}, AUTH_BAD},
        {"unknown user", {.unknown = true}, AUTH_BAD},
        {"disabled user", {.user = &disabled}, AUTH_BAD},
        {"digests of another realm", {.user = &other_realm}, AUTH_BAD},
        {"no password yet", {.user = &no_password}, AUTH_BAD},
        {"another's name", {.username = "bob"}, AUTH_BAD},
        {"another realm", {.realm = "elsewhere"}, AUTH_NONE},
        {"user@realm", {.username = "alice@example.com"}, AUTH_NONE},
        {"an algorithm that is not offered", {.algorithm = SIP_SHA_256}, AUTH_NONE},
        {"a qop that we do not know", {.qop = "auth-conf"}, AUTH_BAD},
        {"signed for another domain", {.uri = "sip:example.net"}, AUTH_BAD},
        {"signed for a user", {.uri = "sip:alice@example.com"}, AUTH_BAD},
        {"signed with a port", {.uri = "sip:EXAMPLE.com:5060;transport=udp"}, AUTH_OK},
        {"signed something else", {.uri = "/index.html"}, AUTH_BAD},
        {"all right", {.nc = 1}, AUTH_OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct client client = cases[i].client;
        challenge(&client, false, NULL);
        enum auth_verdict got = verdict(&client);
        if (got != cases[i].verdict)
            fail_msg("%s: %d", cases[i].why, (int)got);
    }
}

static void no_credentials_are_none(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "Authorization: Basic YWxpY2U6eA==\r\n",
        "Authorization: Digest username=\"alice\"\r\n",
        "Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"1\", "
        "uri=\"sip:example.com\", response=\"1\", algorithm=MD5-sess\r\n",
        "Proxy-Authorization: Digest username=\"alice\", realm=\"example.com\", nonce=\"1\", "
        "uri=\"sip:example.com\", response=\"1\"\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct auth_result result = auth_find(auth, request(REGISTER_URI, lines[i]), false);
        assert_int_equal(AUTH_NONE, result.verdict);
        assert_null(result.field);
    }
    assert_int_equal(AUTH_OK, auth_find(auth, request(REGISTER_URI, lines[4]), true).verdict);
}

static void ours_are_found_among_others(void **state)
{
    (void)state;
    char lines[4000];
    struct client client = {.realm = "elsewhere"};
    challenge(&client, false, NULL);
    int len = snprintf(lines, sizeof lines, "Authorization: Basic x\r\n%s", credentials(&client));
    client.realm = NULL;
    client.algorithm = SIP_SHA_256; /* not offered by the node: only if there is no other */
    len += snprintf(lines + len, sizeof lines - (size_t)len, "%s", credentials(&client));
    struct auth_result result = auth_find(auth, request(REGISTER_URI, lines), false);
    assert_int_equal(SIP_SHA_256, result.credentials.algorithm);

    client.algorithm = SIP_MD5;
    snprintf(lines + len, sizeof lines - (size_t)len, "%s", credentials(&client));
    const struct sip_msg *msg = request(REGISTER_URI, lines);
    result = auth_find(auth, msg, false);
    assert_int_equal(SIP_MD5, result.credentials.algorithm);
    auth_check(auth, msg, &alice, &alice, &source, now_ms, &result);
    assert_int_equal(AUTH_OK, result.verdict);
}

static void a_users_own_algorithms_go_before_the_nodes(void **state)
{
    (void)state;
    alice.algorithms[0] = SIP_SHA_256;
    struct client client = {.algorithm = SIP_SHA_256};
    challenge(&client, false, &alice);
    assert_int_equal(AUTH_OK, verdict(&client));
    client.nc = 2;
    client.algorithm = SIP_MD5;
    assert_int_equal(AUTH_NONE, verdict(&client));
}

static void a_count_is_good_once(void **state)
{
    (void)state;
    static const struct {
        unsigned nc;
        enum auth_verdict verdict;
    } steps[] = {
        {1, AUTH_OK},          {1, AUTH_BAD},          {3, AUTH_OK},
        {2, AUTH_OK}, /* overtaken on the way */
        {2, AUTH_BAD},         {3, AUTH_BAD},          {67, AUTH_OK},
        {4, AUTH_OK},                           /* 63 back: the last that is known */
        {4, AUTH_BAD},         {3, AUTH_STALE}, /* 64 back: not known any more */
        {131, AUTH_OK},        {67, AUTH_STALE},       {68, AUTH_OK},
        {UINT32_MAX, AUTH_OK}, {UINT32_MAX, AUTH_BAD}, {131, AUTH_STALE},
    };
    struct client client = {0};
    challenge(&client, false, NULL);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        client.nc = steps[i].nc;
        if (verdict(&client) != steps[i].verdict)
            fail_msg("step %zu", i);
    }
}

static void without_qop_a_nonce_is_good_once(void **state)
{
    (void)state;
    struct client client = {.without_qop = true};
    challenge(&client, false, NULL);
    assert_int_equal(AUTH_OK, verdict(&client));
    assert_int_equal(AUTH_STALE, verdict(&client));
    client.password = "x";
    assert_int_equal(AUTH_BAD, verdict(&client));
}

static void a_nonce_lives_as_long_as_configured(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    now_ms = T0 + LIFETIME_MS - 1;
    assert_int_equal(AUTH_OK, verdict(&client));
    client.nc = 2;
    now_ms = T0 + LIFETIME_MS;
    assert_int_equal(AUTH_STALE, verdict(&client));
    client.password = "x";
    assert_int_equal(AUTH_STALE, verdict(&client)); /* and whether it was right is not told */
    client.password = NULL;
    now_ms = T0 - 10000; /* the clock was set back a little, and more */
    assert_int_equal(AUTH_OK, verdict(&client));
    client.nc = 3;
    now_ms = T0 - 10001;
    assert_int_equal(AUTH_STALE, verdict(&client));
}

static void a_nonce_is_good_from_its_address_only(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    source.remote.port = 4711; /* a NAT may give another port each time */
    assert_int_equal(AUTH_OK, verdict(&client));
    client.nc = 2;
    source.remote.bytes[3] = 8;
    assert_int_equal(AUTH_STALE, verdict(&client));
}

/* Else passwords could be tried from forged addresses, or with any nonce, and nobody would count.
 */
static void a_password_is_looked_at_with_a_good_nonce_only(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    client.password = "x";
    struct auth_result result = answer(&client);
    assert_int_equal(AUTH_BAD, result.verdict);
    assert_true(result.wrong);
    client.nonce[3] = client.nonce[3] == 'B' ? 'C' : 'B';
    assert_int_equal(AUTH_STALE, verdict(&client));
    client.password = NULL;
    assert_int_equal(AUTH_STALE, verdict(&client));
    challenge(&client, false, NULL);
    assert_int_equal(AUTH_OK, verdict(&client));
    result = answer(&client);
    assert_int_equal(AUTH_BAD, result.verdict); /* a count used again is no guess */
    assert_false(result.wrong);
}

static void a_nonce_that_was_changed_is_not_ours(void **state)
{
    (void)state;
    struct client good = {0};
    challenge(&good, false, NULL);
    for (size_t i = 0; i < NONCE_LEN; i++) {
        struct client client = good;
        client.nonce[i] = client.nonce[i] == 'B' ? 'C' : 'B';
        assert_int_equal(AUTH_STALE, verdict(&client));
        client.nonce[i] = '+';
        assert_int_equal(AUTH_STALE, verdict(&client));
    }
    struct client client = good;
    client.nonce[NONCE_LEN - 1] = '\0';
    assert_int_equal(AUTH_STALE, verdict(&client));
    client.nonce[0] = '\0';
    assert_int_equal(AUTH_STALE, verdict(&client));
    assert_int_equal(AUTH_OK, verdict(&good));
}

static void another_realm_or_key_makes_other_nonces(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    config.nonce_key.k[1]++;
    reopen();
    assert_int_equal(AUTH_STALE, verdict(&client));
    config.nonce_key.k[1]--;
    config.realm = SLICE("other.example.com");
    reopen();
    alice.realm = config.realm;
    client.realm = "other.example.com";
    assert_int_equal(AUTH_STALE, verdict(&client));
}

static void after_a_restart_the_nonce_is_ours_and_its_window_is_lost(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    assert_int_equal(AUTH_OK, verdict(&client));
    reopen();
    client.nc = 2;
    assert_int_equal(AUTH_STALE, verdict(&client));
    challenge(&client, true, NULL);
    client.nc = 1;
    assert_int_equal(AUTH_OK, verdict(&client));
}

static void another_workers_nonce_is_counted_there(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    struct auth *owner = auth;
    config.worker = 2;
    assert_int_equal(OK, auth_open(&config, &auth));

    struct auth_result result = answer(&client);
    assert_int_equal(AUTH_ELSEWHERE, result.verdict);
    assert_int_equal(1, result.owner);
    uint32_t count = auth_count_of(&result.credentials);
    assert_int_equal(AUTH_OK, auth_count(owner, result.credentials.nonce, count));
    assert_int_equal(AUTH_BAD, auth_count(owner, result.credentials.nonce, count));
    assert_int_equal(AUTH_STALE, auth_count(auth, result.credentials.nonce, count));
    assert_int_equal(AUTH_STALE, auth_count(owner, SLICE("x"), 1));

    client.without_qop = true;
    result = answer(&client);
    assert_int_equal(AUTH_ELSEWHERE, result.verdict);
    assert_int_equal(0, auth_count_of(&result.credentials));
    assert_int_equal(AUTH_OK, auth_count(owner, result.credentials.nonce, 0));
    assert_int_equal(AUTH_STALE, auth_count(owner, result.credentials.nonce, 0));

    client.without_qop = false;
    client.password = "x";
    assert_int_equal(AUTH_BAD, verdict(&client)); /* nobody is asked about a wrong answer */
    auth_close(owner);
}

static void as_many_windows_as_configured_are_kept(void **state)
{
    (void)state;
    struct client clients[WINDOWS + 1] = {0};
    for (size_t i = 0; i < WINDOWS; i++)
        challenge(&clients[i], false, NULL);
    for (size_t i = 0; i < WINDOWS; i++)
        assert_int_equal(AUTH_OK, verdict(&clients[i])); /* at the limit all are there */

    challenge(&clients[WINDOWS], false, NULL);
    for (size_t i = 0; i <= WINDOWS; i++) {
        clients[i].nc = 2;
        assert_int_equal(i == 0 ? AUTH_STALE : AUTH_OK, verdict(&clients[i])); /* oldest went */
    }
    /* Who was there last stays longest. */
    challenge(&clients[0], true, NULL);
    clients[1].nc = 3;
    assert_int_equal(AUTH_STALE, verdict(&clients[1]));
    clients[2].nc = 3;
    assert_int_equal(AUTH_OK, verdict(&clients[2]));
}

static void a_flood_of_challenges_does_not_push_out_phones_that_work(void **state)
{
    (void)state;
    struct client phones[WINDOWS / 2] = {0};
    for (size_t i = 0; i < COUNT_OF(phones); i++) {
        challenge(&phones[i], false, NULL);
        assert_int_equal(AUTH_OK, verdict(&phones[i]));
    }
    for (size_t i = 0; i < 100; i++) {
        struct client stranger;
        challenge(&stranger, false, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(phones); i++) {
        phones[i].nc = 2;
        if (verdict(&phones[i]) != AUTH_OK)
            fail_msg("phone %zu", i);
    }
}

static void windows_survive_any_order_of_use(void **state)
{
    (void)state;
    enum {
        CLIENTS = 3 * WINDOWS
    };
    struct client clients[CLIENTS] = {0};
    for (size_t i = 0; i < CLIENTS; i++)
        challenge(&clients[i], false, NULL);
    for (size_t round = 0; round < 5000; round++) {
        struct client *client = &clients[rng_below(&rng, CLIENTS)];
        client->nc++;
        enum auth_verdict got = verdict(client);
        if (got != AUTH_OK) {
            assert_int_equal(AUTH_STALE, got);
            challenge(client, true, NULL);
            client->nc = 1;
            assert_int_equal(AUTH_OK, verdict(client));
        }
        assert_int_equal(AUTH_BAD, verdict(client)); /* whatever happens, never twice */
    }
}

static void a_full_builder_opens_no_window(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    assert_int_equal(AUTH_OK, verdict(&client));
    for (size_t i = 0; i < 10 * WINDOWS; i++) {
        char text[100];
        struct builder b = builder_over(text, sizeof text);
        auth_challenge(auth, &b, false, false, NULL, &source, now_ms);
        assert_true(b.overflow);
    }
    client.nc = 2;
    assert_int_equal(AUTH_OK, verdict(&client));
}

static void nobodys_digest_is_nobodys_password(void **state)
{
    (void)state;
    struct client client = {0};
    challenge(&client, false, NULL);
    struct sip_credentials c = {
        .algorithm = SIP_MD5, .nonce = slice_of(client.nonce), .uri = SLICE(REGISTER_URI)};
    const uint8_t zeros[SIP_HASH_MAX] = {0};
    char response[SIP_HASH_HEX_MAX];
    sip_digest_response(&c, zeros, SLICE("REGISTER"), SLICE_EMPTY, response);
    char line[400];
    snprintf(line, sizeof line,
             "Authorization: Digest username=\"nobody\", realm=\"" REALM "\", nonce=\"%s\", "
             "uri=\"" REGISTER_URI "\", response=\"%.32s\"\r\n",
             client.nonce, response);
    const struct sip_msg *msg = request(REGISTER_URI, line);
    struct auth_result result = auth_find(auth, msg, false);
    auth_check(auth, msg, NULL, NULL, &source, now_ms, &result);
    assert_int_equal(AUTH_BAD, result.verdict);
}

static void one_window_is_enough_to_work(void **state)
{
    (void)state;
    config.windows_max = 1;
    reopen();
    struct client first = {0}, second = {0};
    challenge(&first, false, NULL);
    challenge(&second, false, NULL);
    assert_int_equal(AUTH_STALE, verdict(&first));
    assert_int_equal(AUTH_OK, verdict(&second));
    challenge(&first, false, NULL);
    assert_int_equal(AUTH_OK, verdict(&first));
    second.nc = 2;
    assert_int_equal(AUTH_STALE, verdict(&second));
}

static void a_realm_that_cannot_be_quoted_is_refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {{"", 0}, {"a\"b", 3}, {"a\\b", 3}, {"a\r\nb", 4}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct auth *other = NULL;
        config.realm = bad[i];
        assert_int_equal(ERR_SYNTAX, auth_open(&config, &other));
        assert_null(other);
    }
}

int main(void)
{
#define AUTH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        AUTH_TEST(a_right_answer_is_good_and_counts_go_up),
        AUTH_TEST(all_algorithms_verify),
        AUTH_TEST(challenges_are_written_as_the_rfc_says),
        AUTH_TEST(wrong_answers_are_told_apart_by_what_helps),
        AUTH_TEST(a_password_is_looked_at_with_a_good_nonce_only),
        AUTH_TEST(no_credentials_are_none),
        AUTH_TEST(ours_are_found_among_others),
        AUTH_TEST(a_users_own_algorithms_go_before_the_nodes),
        AUTH_TEST(a_count_is_good_once),
        AUTH_TEST(without_qop_a_nonce_is_good_once),
        AUTH_TEST(a_nonce_lives_as_long_as_configured),
        AUTH_TEST(a_nonce_is_good_from_its_address_only),
        AUTH_TEST(a_nonce_that_was_changed_is_not_ours),
        AUTH_TEST(another_realm_or_key_makes_other_nonces),
        AUTH_TEST(after_a_restart_the_nonce_is_ours_and_its_window_is_lost),
        AUTH_TEST(another_workers_nonce_is_counted_there),
        AUTH_TEST(as_many_windows_as_configured_are_kept),
        AUTH_TEST(a_flood_of_challenges_does_not_push_out_phones_that_work),
        AUTH_TEST(windows_survive_any_order_of_use),
        AUTH_TEST(a_full_builder_opens_no_window),
        AUTH_TEST(nobodys_digest_is_nobodys_password),
        AUTH_TEST(one_window_is_enough_to_work),
        AUTH_TEST(a_realm_that_cannot_be_quoted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
