/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for another worker's word on their nonce count.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

static const struct conn_id conn = {0, {7, 9}};

static void make_user(struct user *user, const char *name)
{
    *user =
        (struct user){.name = slice_of(name), .realm = SLICE("example.com"), .has_digest = true};
    sip_digest_a1(SIP_MD5, user->name, user->realm, SLICE("secret"), user->digests[SIP_MD5]);
}

/** A nonce that worker 1 has made for this source. */
static void make_nonce(const struct world *w, const struct flow *source, char nonce[static 28])
{
    struct rng rng;
    struct auth *auth = NULL;
    char text[512];
    struct builder b = builder_over(text, sizeof text - 1);
    struct auth_config config = {
        .worker = 1,
        .nonce_lifetime_ms = 300000,
        .windows_max = 4,
        .realm = w->config.realm,
        .algorithms = {SIP_MD5},
        .nonce_key = w->config.nonce_key,
        .rng = &rng,
    };

    rng_seed(&rng, 1);
    assert_int_equal(OK, auth_open(&config, &auth));
    auth_challenge(auth, &b, false, false, NULL, source, w->wall_ms);
    text[b.len] = '\0';
    snprintf(nonce, 28, "%.27s", strstr(text, "nonce=\"") + 7);
    auth_close(auth);
}

static void send_register(struct world *w, const struct user *user, const struct flow *source)
{
    char nonce[28], hex[SIP_HASH_HEX_MAX], text[WORLD_TEXT_MAX];

    make_nonce(w, source, nonce);
    struct sip_credentials credentials = {
        .algorithm = SIP_MD5,
        .has_qop = true,
        .qop_auth = true,
        .nc = 1,
        .nc_text = SLICE("00000001"),
        .username = user->name,
        .realm = SLICE("example.com"),
        .nonce = slice_of(nonce),
        .uri = SLICE("sip:example.com"),
        .cnonce = SLICE("c"),
        .qop = SLICE("auth"),
    };
    sip_digest_response(&credentials, user->digests[SIP_MD5], SLICE("REGISTER"), SLICE_EMPTY, hex);
    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/TCP 192.0.2.1:6000;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:%.*s@example.com>;tag=f\r\nTo: <sip:%.*s@example.com>\r\n"
             "Call-ID: r\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@192.0.2.1:6000>\r\n"
             "Authorization: Digest username=\"%.*s\", realm=\"example.com\", nonce=\"%s\", "
             "uri=\"sip:example.com\", response=\"%.32s\", algorithm=MD5, qop=auth, nc=00000001, "
             "cnonce=\"c\"\r\nContent-Length: 0\r\n\r\n",
             SLICE_ARG(user->name), SLICE_ARG(user->name), SLICE_ARG(user->name), nonce, hex);
    world_feed(w, text, source);
}

/** Opens a world where credentials are asked for; the first mail is the question. */
static void ask(struct world *w, struct user *user, const struct flow *source)
{
    world_open(w, 2, NULL, 0);
    make_user(user, world_own_name(w));
    world_close(w);
    world_open(w, 2, user, 1);
    w->core->config.auth_required = true;
    send_register(w, user, source);
    assert_int_equal(0, w->sent_count);
    assert_int_equal(1, w->mail_count);
    assert_int_equal(CORE_MAIL_COUNT_ASK, w->mail[0].mail.kind);
}

static void answer(struct world *w)
{
    struct core_mail mail = {
        .kind = CORE_MAIL_COUNT_ANSWER, .from = 1, .number = AUTH_OK, .id = w->mail[0].mail.id};
    core_mail(w->core, &mail, w->now_ms, w->wall_ms);
    w->outbox.flush(&w->outbox, w);
}

static void who_waited_is_registered(void **state)
{
    (void)state;
    static struct world w;
    struct user user;
    struct flow source = world_flow(6000, &conn);

    ask(&w, &user, &source);
    answer(&w);
    assert_int_equal(1, w.sent_count);
    assert_memory_equal("SIP/2.0 200", w.sent[0].text, 11);
    assert_int_equal(1, world_aors(&w));
    world_close(&w);
}

static void who_is_gone_when_the_answer_comes_is_not(void **state)
{
    (void)state;
    static struct world w;
    struct user user;
    struct flow source = world_flow(6000, &conn);
    uint32_t told = 0;

    ask(&w, &user, &source);
    assert_true(core_conn_lost(w.core, conn, &told, w.now_ms, w.wall_ms));
    answer(&w);
    assert_int_equal(0, w.sent_count);
    assert_int_equal(0, world_aors(&w)); /* by a connection that nobody would miss any more */
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waited_is_registered),
        cmocka_unit_test(who_is_gone_when_the_answer_comes_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
