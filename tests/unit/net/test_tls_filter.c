/* SPDX-License-Identifier: Apache-2.0 */
/* TLS as a filter, over a pipe that is cut, broken and forged as each test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tls_world.h"

#define PING "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"
#define PONG "SIP/2.0 200 OK\r\nl: 0\r\n\r\n"

enum {
    SESSIONS = 64, /* that a worker keeps */
    BIG = 40000,   /* bytes: more than two records */
};

static struct tls_world *connected(void **state)
{
    struct tls_world *w = *state;

    tls_world_connect(w, "sip.example.com");
    assert_true(tls_world_shake(w).ready);
    return w;
}

static void expect_why(const struct filter *filter, const char *text)
{
    if (strstr(tls_world_why(filter), text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, tls_world_why(filter));
}

/* --- Cuts ------------------------------------------------------------------------------------ */

static void messages_pass_both_ways(void **state)
{
    struct tls_world *w = connected(state);

    tls_world_pass(w->client, w->server, PING);
    tls_world_pass(w->server, w->client, PONG);
    assert_string_equal("", tls_world_why(w->server));
}

static void a_handshake_in_single_bytes_comes_to_its_end(void **state)
{
    struct tls_world *w = *state;
    char byte[1];
    size_t got;

    tls_world_connect(w, "sip.example.com");
    bool ready = false;
    for (unsigned i = 0; i < 20000 && !ready; i++) {
        w->client_end.read_budget = w->server_end.read_budget = 1;
        w->client_end.write_budget = w->server_end.write_budget = 1;
        assert_int_equal(IO_AGAIN, w->client->ops->read(w->client, byte, 1, &got));
        assert_int_equal(IO_AGAIN, w->server->ops->read(w->server, byte, 1, &got));
        ready = w->client->ops->ready(w->client) && w->server->ops->ready(w->server);
    }
    assert_true(ready);
    w->client_end.read_budget = w->server_end.read_budget = SIZE_MAX;
    w->client_end.write_budget = w->server_end.write_budget = SIZE_MAX;
    tls_world_pass(w->client, w->server, PING);
}

static void a_part_of_a_record_is_told_from_nothing(void **state)
{
    struct tls_world *w = connected(state);
    char buffer[256];
    size_t count;

    assert_int_equal(PENDING_NOTHING, w->server->ops->pending(w->server));
    assert_int_equal(IO_DONE, w->client->ops->write(w->client, SLICE(PING), &count));
    w->server_end.read_budget = w->server_end.len - 1;
    assert_int_equal(IO_AGAIN, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    assert_int_equal(PENDING_PART, w->server->ops->pending(w->server));
    w->server_end.read_budget = 1;
    assert_int_equal(IO_DONE, w->server->ops->read(w->server, buffer, 5, &count));
    assert_int_equal(5, count);
    assert_int_equal(PENDING_BYTES, w->server->ops->pending(w->server)); /* no event tells of it */
    assert_int_equal(IO_DONE, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    assert_int_equal(strlen(PING) - 5, count);
    assert_int_equal(IO_AGAIN, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    assert_int_equal(PENDING_NOTHING, w->server->ops->pending(w->server));
}

static void a_full_socket_makes_a_write_wait_and_lose_nothing(void **state)
{
    struct tls_world *w = connected(state);
    static char sent[BIG], got[BIG];
    struct slice rest = {sent, sizeof sent};
    size_t have = 0, count, waits = 0;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)('a' + i % 26);
    while (have < sizeof got) {
        w->server_end.write_budget = 1000;
        if (rest.len > 0) {
            enum io io = w->server->ops->write(w->server, rest, &count);
            assert_true(io == IO_DONE || io == IO_AGAIN);
            if (io == IO_DONE)
                slice_take(&rest, count);
            waits += io == IO_AGAIN;
            assert_int_equal(io == IO_AGAIN ? EPOLLOUT : 0, w->server->ops->wants(w->server));
        }
        enum io io = w->client->ops->read(w->client, got + have, sizeof got - have, &count);
        assert_true(io == IO_DONE || io == IO_AGAIN);
        have += io == IO_DONE ? count : 0;
    }
    assert_true(waits > 10);
    assert_int_equal(0, rest.len);
    assert_memory_equal(sent, got, sizeof got);
}

/* --- Ends and forgeries ---------------------------------------------------------------------- */

static void expect_spoilt(struct filter *filter)
{
    char buffer[64];
    size_t count;

    assert_int_equal(IO_BROKEN, filter->ops->read(filter, buffer, sizeof buffer, &count));
    assert_int_equal(IO_BROKEN, filter->ops->write(filter, SLICE(PONG), &count));
}

static void what_is_no_tls_is_a_fault(void **state)
{
    const struct slice garbage[] = {
        SLICE(PING),
        SLICE("\x16\x03\x01\x00\x04\xff\x00\x00\x00"),     /* a handshake that there is not */
        SLICE("\x15\x03\x03\x00\x02\x02\x28"),             /* an alert before the hello */
        SLICE("\x17\x03\x03\x00\x01\x00"),                 /* data before the hello */
        SLICE("\x16\x03\x01\xff\xff\x01"),                 /* a record that is too long */
        SLICE("\x80\x2e\x02\x00\x02\x00\x15\x00\x00\x00"), /* SSL 2 */
        SLICE("GET / HTTP/1.1\r\n\r\n"),
    };
    struct tls_world *w = *state;
    char buffer[64];
    size_t count;

    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        tls_world_connect(w, "sip.example.com");
        memcpy(w->server_end.bytes, garbage[i].data, garbage[i].len);
        w->server_end.len = garbage[i].len;
        if (w->server->ops->read(w->server, buffer, sizeof buffer, &count) != IO_FAULT)
            fail_msg("case %zu", i);
        expect_spoilt(w->server);
    }
}

static void a_forged_byte_ends_it_and_nothing_of_its_record_comes_out(void **state)
{
    struct tls_world *w = connected(state);
    char buffer[256];
    size_t count;

    assert_int_equal(IO_DONE, w->client->ops->write(w->client, SLICE(PING), &count));
    w->server_end.bytes[w->server_end.len - 1] ^= 1;
    assert_int_equal(IO_FAULT, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    expect_why(w->server, "bad record mac");
    expect_spoilt(w->server);
}

static void ends_in_order_and_by_a_cut_are_ends_and_a_reset_is_none(void **state)
{
    struct tls_world *w = connected(state);
    char buffer[64];
    size_t count;

    w->client->ops->end(w->client);
    assert_int_equal(IO_END, w->server->ops->read(w->server, buffer, sizeof buffer, &count));

    w = connected(state);
    w->client_end.filter.ops->end(&w->client_end.filter); /* without a close_notify */
    assert_int_equal(IO_END, w->server->ops->read(w->server, buffer, sizeof buffer, &count));

    w = connected(state);
    w->server_end.broken = true;
    assert_int_equal(IO_BROKEN, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    expect_spoilt(w->server);

    tls_world_connect(w, "sip.example.com"); /* in the middle of the handshake */
    assert_int_equal(IO_AGAIN, w->client->ops->read(w->client, buffer, sizeof buffer, &count));
    w->client_end.filter.ops->end(&w->client_end.filter);
    w->server_end.len -= 10;
    assert_int_equal(IO_BROKEN, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    expect_why(w->server, "closed");
}

/* --- Who is who ------------------------------------------------------------------------------ */

static void a_certificate_speaks_for_whom_it_names_and_nobody_else(void **state)
{
    static const struct {
        const char *subject, *names, *dialled;
        bool right;
    } cases[] = {
        {"a", "DNS:sip.example.com", "sip.example.com", true},
        {"a", "DNS:SIP.Example.COM", "sip.example.com", true},
        {"a", "DNS:other.test,DNS:sip.example.com", "sip.example.com", true},
        {"a", "URI:sip:example.com", "example.com", true},
        {"a", "URI:SIP:example.com", "example.com", true},
        {"a", "IP:192.0.2.1", "", true},
        {"a", "DNS:example.com", "sip.example.com", false},       /* not its hosts */
        {"a", "DNS:*.example.com", "sip.example.com", false},     /* RFC 5922 §7.2: no wildcards */
        {"a", "URI:sip:alice@example.com", "example.com", false}, /* a user's */
        {"a", "URI:sips:example.com", "example.com", false},
        {"a", "URI:sip:example.com:5061", "example.com", true}, /* §7.1: its host */
        {"a", "URI:sip:example.com;transport=tls", "example.com", true},
        {"a", "URI:sip:example.community", "example.com", false},
        {"a", "URI:sip:", "", false},
        {"a", "URI:sip:example.com,DNS:sip.example.com", "example.com", true},
        {"a", "URI:sip:example.com,DNS:sip.example.com", "sip.example.com",
         false}, /* §7.1: DNS names count only where no URI is a domain's */
        {"a", "URI:sip:alice@example.com,DNS:example.com", "example.com", true},
        {"a", "URI:sips:other.test,DNS:example.com", "example.com", true},
        {"sip.example.com", "DER:05:00", "sip.example.com", false}, /* names that cannot be read */
        {"a", "DNS:192.0.2.1", "", false},                          /* an address is no name */
        {"a", "IP:192.0.2.2", "", false},
        {"a", "IP:192.0.2.1", "sip.example.com", false},
        {"a", "DNS:sip.example.com", "", false},
        {"sip.example.com", "DNS:other.test", "sip.example.com",
         false}, /* §7.1: the name counts only
                    where there is no other */
        {"sip.example.com", "email:x@example.com", "sip.example.com", false},
    };
    struct tls_world *w = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct certificate made =
            certificate_make(cases[i].subject, cases[i].names, 30, false, &w->authority);
        assert_non_null(made.x509);
        assert_true(certificate_write(&made, w->folder, "one"));
        certificate_free(&made);
        tls_world_serve(w, "one");
        tls_world_trust(w, NULL, "authority");
        tls_world_connect(w, cases[i].dialled);
        bool ready = tls_world_shake(w).ready;
        if (ready != cases[i].right)
            fail_msg("case %zu: %s for %s", i, cases[i].names, cases[i].dialled);
        if (!ready)
            expect_why(w->client, "signed by /CN=authority: ");
    }
}

static void a_common_name_counts_where_there_are_no_others(void **state)
{
    struct tls_world *w = *state;

    tls_world_write(w, "sip.example.com", NULL, 30, &w->authority);
    tls_world_serve(w, "sip.example.com");
    tls_world_connect(w, "sip.example.com");
    assert_true(tls_world_shake(w).ready);
    tls_world_trust(w, NULL, "authority");
    tls_world_connect(w, "other.test");
    assert_int_equal(IO_FAULT, tls_world_shake(w).client);
    expect_why(w->client, "it speaks for no host");
}

static void who_is_not_trusted_is_refused_and_named(void **state)
{
    static const struct {
        const char *name, *ca, *why;
    } cases[] = {
        {"late", "authority", "/CN=late, signed by /CN=authority: certificate has expired"},
        {"server", "stranger", "/CN=server, signed by /CN=authority: unable to get local issuer"},
        {"alone", "authority", "self-signed certificate"},
    };
    struct tls_world *w = *state;

    tls_world_write(w, "late", "DNS:sip.example.com", 0, &w->authority);
    tls_world_write(w, "alone", "DNS:sip.example.com", 30, NULL);
    tls_world_write(w, "stranger", NULL, 30, NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        tls_world_serve(w, cases[i].name);
        tls_world_trust(w, NULL, cases[i].ca);
        tls_world_connect(w, "sip.example.com");
        struct tls_shake shake = tls_world_shake(w);
        assert_false(shake.ready);
        expect_why(w->client, cases[i].why);
        expect_why(w->server, "alert"); /* he is told why */
    }
}

/* --- Sessions -------------------------------------------------------------------------------- */

static bool resumes(struct tls_world *w, const char *name)
{
    tls_world_connect(w, name);
    assert_true(tls_world_shake(w).ready);
    tls_world_pass(w->server, w->client, PONG); /* the tickets come before */
    return tls_filter_resumed(w->client);
}

static void a_session_is_taken_up_by_whom_it_was_made_with(void **state)
{
    struct tls_world *w = *state;

    tls_world_write(w, "two", "DNS:sip.example.com,DNS:b.example.com,IP:192.0.2.1", 30,
                    &w->authority);
    tls_world_serve(w, "two");
    assert_false(resumes(w, "sip.example.com"));
    assert_true(resumes(w, "sip.example.com"));
    assert_true(tls_filter_resumed(w->server));
    assert_false(resumes(w, "b.example.com"));
    assert_false(resumes(w, ""));
    assert_true(resumes(w, "b.example.com"));
    assert_int_equal(3, tls_worker_sessions(w->client_worker));

    tls_world_trust(w, NULL, "authority"); /* other certificates: nothing of before counts */
    assert_int_equal(0, tls_worker_sessions(w->client_worker));
    assert_false(resumes(w, "sip.example.com"));
    tls_world_serve(w, "two"); /* the server cannot read its tickets any more */
    assert_false(resumes(w, "sip.example.com"));
    assert_true(resumes(w, "sip.example.com"));
}

static void so_many_sessions_are_kept_and_no_more(void **state)
{
    struct tls_world *w = *state;
    char names[8192] = "DNS:h0", name[16];

    for (int i = 1; i < SESSIONS * 3 / 2; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), ",DNS:h%d", i);
    tls_world_write(w, "many", names, 30, &w->authority);
    tls_world_serve(w, "many");
    for (int i = 0; i < SESSIONS * 3 / 2; i++) {
        snprintf(name, sizeof name, "h%d", i);
        assert_false(resumes(w, name));
        assert_int_equal(i < SESSIONS ? i + 1 : SESSIONS, tls_worker_sessions(w->client_worker));
    }
    for (int i = SESSIONS * 3 / 2 - 1; i >= SESSIONS / 2; i--) { /* the oldest made room */
        snprintf(name, sizeof name, "h%d", i);
        assert_true(resumes(w, name));
    }
    assert_false(resumes(w, "h0"));
    assert_int_equal(SESSIONS, tls_worker_sessions(w->client_worker));
}

/* --- A client that is not ours --------------------------------------------------------------- */

/* OpenSSL's own, over memory; its bytes are carried to the pipe's end and back. */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
};

static struct raw raw_open(int version, const char *ciphers)
{
    struct raw raw = {.ctx = SSL_CTX_new(TLS_client_method())};

    assert_non_null(raw.ctx);
    SSL_CTX_set_cipher_list(raw.ctx, ciphers);
    SSL_CTX_set_min_proto_version(raw.ctx, version);
    SSL_CTX_set_max_proto_version(raw.ctx, version);
    raw.ssl = SSL_new(raw.ctx);
    raw.in = BIO_new(BIO_s_mem());
    raw.out = BIO_new(BIO_s_mem());
    assert_true(raw.ssl != NULL && raw.in != NULL && raw.out != NULL);
    SSL_set_bio(raw.ssl, raw.in, raw.out);
    SSL_set_connect_state(raw.ssl);
    return raw;
}

static void raw_close(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->ctx);
}

/* Carries what each has for the other. */
static void carry(struct raw *raw, struct tls_world *w)
{
    struct pipe_end *far = &w->client_end;
    char buffer[4096];
    int count;
    size_t sent;

    while ((count = BIO_read(raw->out, buffer, sizeof buffer)) > 0)
        assert_int_equal(IO_DONE, far->filter.ops->write(
                                      &far->filter, (struct slice){buffer, (size_t)count}, &sent));
    if (far->len > 0)
        assert_int_equal(far->len, BIO_write(raw->in, far->bytes, (int)far->len));
    far->len = 0;
}

static enum io raw_shake(struct raw *raw, struct tls_world *w, int *result)
{
    enum io io = IO_AGAIN;
    char byte[1];
    size_t got;

    for (unsigned i = 0; i < 20; i++) {
        *result = SSL_do_handshake(raw->ssl);
        carry(raw, w);
        io = w->server->ops->read(w->server, byte, sizeof byte, &got);
        carry(raw, w);
        if (io != IO_AGAIN)
            break;
    }
    return io;
}

static void accept_raw(struct tls_world *w)
{
    tls_world_hang_up(w);
    pipe_open(&w->server_end, &w->client_end);
    w->server = tls_filter_accept(w->server_worker, &w->server_end.filter);
    assert_non_null(w->server);
}

static void only_versions_and_ciphers_that_are_sound_are_taken(void **state)
{
    static const struct {
        int version;
        const char *ciphers;
        bool taken;
    } cases[] = {
        {TLS1_3_VERSION, "ALL:@SECLEVEL=0", true},
        {TLS1_2_VERSION, "ALL:@SECLEVEL=0", true},
        {TLS1_1_VERSION, "ALL:@SECLEVEL=0", false},
        {TLS1_VERSION, "ALL:@SECLEVEL=0", false},
        {TLS1_2_VERSION, "AES128-SHA:@SECLEVEL=0", false}, /* no forward secrecy */
        {TLS1_2_VERSION, "aNULL:@SECLEVEL=0", false},
    };
    struct tls_world *w = *state;
    int result;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct raw raw = raw_open(cases[i].version, cases[i].ciphers);
        accept_raw(w);
        enum io io = raw_shake(&raw, w, &result);
        raw_close(&raw);
        if (w->server->ops->ready(w->server) != cases[i].taken)
            fail_msg("case %zu", i);
        assert_int_equal(cases[i].taken ? IO_AGAIN : IO_FAULT, io);
    }
}

static void a_renegotiation_is_not_begun(void **state)
{
    struct raw raw = raw_open(TLS1_2_VERSION, "DEFAULT");
    struct tls_world *w = *state;
    char buffer[256];
    size_t count;
    int result;

    accept_raw(w);
    assert_int_equal(IO_AGAIN, raw_shake(&raw, w, &result));
    assert_int_equal(1, result);
    assert_int_equal(1, SSL_renegotiate(raw.ssl));
    size_t before = w->client_end.len;
    result = SSL_do_handshake(raw.ssl);
    carry(&raw, w);
    assert_int_equal(IO_AGAIN, w->server->ops->read(w->server, buffer, sizeof buffer, &count));
    assert_true(w->client_end.len - before < 64); /* an alert, no handshake of a kilobyte */
    carry(&raw, w);
    result = SSL_do_handshake(raw.ssl);
    assert_int_equal(SSL_ERROR_SSL, SSL_get_error(raw.ssl, result)); /* he is told: no */
    tls_world_hang_up(w);
    raw_close(&raw);
}

int main(void)
{
#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, tls_world_set_up, tls_world_tear_down)
    const struct CMUnitTest tests[] = {
        TLS_TEST(messages_pass_both_ways),
        TLS_TEST(a_handshake_in_single_bytes_comes_to_its_end),
        TLS_TEST(a_part_of_a_record_is_told_from_nothing),
        TLS_TEST(a_full_socket_makes_a_write_wait_and_lose_nothing),
        TLS_TEST(what_is_no_tls_is_a_fault),
        TLS_TEST(a_forged_byte_ends_it_and_nothing_of_its_record_comes_out),
        TLS_TEST(ends_in_order_and_by_a_cut_are_ends_and_a_reset_is_none),
        TLS_TEST(a_certificate_speaks_for_whom_it_names_and_nobody_else),
        TLS_TEST(a_common_name_counts_where_there_are_no_others),
        TLS_TEST(who_is_not_trusted_is_refused_and_named),
        TLS_TEST(a_session_is_taken_up_by_whom_it_was_made_with),
        TLS_TEST(so_many_sessions_are_kept_and_no_more),
        TLS_TEST(only_versions_and_ciphers_that_are_sound_are_taken),
        TLS_TEST(a_renegotiation_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
