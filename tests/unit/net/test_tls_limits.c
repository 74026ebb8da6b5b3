/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS over real sockets: one worker in a thread of its own, its limits at the limit and one past,
 * and connections to names. The peers are OpenSSL's, in this thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"
#include "tls_world.h"

enum {
    WAIT_MS = 15000,
    LINES_MAX = 8,
    LINE_MAX_BYTES = 1024,
};

#define PING "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"
#define PONG "SIP/2.0 400 Bad Request\r\nl: 0\r\n\r\n"

struct fixture {
    struct tls_world *files; /* for its folder and authority */
    struct tls *tls;
    struct quiesce quiesce;
    struct loops *loops;
    struct net_sockets *sockets;
    struct live *sources;
    struct listener listener;
    struct net *net;
    pthread_mutex_t lock;
    pthread_cond_t news;
    uint16_t alias_port; /* who sends a message asks for this, see net_alias(); 0: he does not */
    bool refuse;         /* each message is answered, and its connection closed */
    unsigned failed, received; /* guarded by the lock, as all below */
    unsigned line_count;
    char lines[LINES_MAX][LINE_MAX_BYTES];
};

static bool on_receive(void *user, struct slice bytes, bool stream, const struct flow *source)
{
    struct fixture *f = user;

    (void)bytes;
    (void)stream;
    if (f->alias_port != 0)
        net_alias(f->net, source->conn, f->alias_port);
    if (f->refuse)
        outbox_send(net_outbox(f->net), SLICE(PONG), source);
    pthread_mutex_lock(&f->lock);
    f->received++;
    pthread_mutex_unlock(&f->lock);
    return !f->refuse;
}

static void on_failed(void *user, struct slice sent, bool closed)
{
    struct fixture *f = user;

    (void)sent;
    (void)closed;
    pthread_mutex_lock(&f->lock);
    f->failed++;
    pthread_mutex_unlock(&f->lock);
}

static bool on_lost(void *user, struct conn_id conn, uint32_t *told)
{
    (void)user;
    (void)conn;
    (void)told;
    return true;
}

static void on_warn(void *user, const char *event, struct slice text)
{
    struct fixture *f = user;

    assert_string_equal("tls", event);
    pthread_mutex_lock(&f->lock);
    if (f->line_count < LINES_MAX)
        snprintf(f->lines[f->line_count], LINE_MAX_BYTES, "%.*s", SLICE_ARG(text));
    f->line_count++;
    pthread_mutex_unlock(&f->lock);
}

static bool on_flush(void *user)
{
    const struct fixture *f = user;
    return net_turn(f->net);
}

static void open_tls(struct fixture *f)
{
    struct tls_pair pair;
    struct tls_problem problem;
    const char *certificate = tls_world_path(f->files, "server", "pem");
    struct tls_options options = {
        .pairs = &pair,
        .pair_count = 1,
        .ca = tls_world_path(f->files, "authority", "pem"),
        .client_ca = tls_world_path(f->files, "authority", "pem"), /* not required of anybody */
    };

    tls_world_write(f->files, "server", "DNS:sip.example.com", 30, &f->files->authority);
    snprintf(pair.certificate, sizeof pair.certificate, "%s", certificate);
    snprintf(pair.key, sizeof pair.key, "%s", tls_world_path(f->files, "server", "key"));
    assert_int_equal(OK, tls_open(&options, &problem, &f->tls));
}

/* `with_tls`: else it has no certificate. */
static struct fixture *fixture_open(const struct net_limits *limits, bool with_tls)
{
    struct fixture *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    struct net_problem problem;

    assert_non_null(f);
    memset((void *)f, 0, sizeof *f);
    f->files = tls_world_open();
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->news, NULL);
    quiesce_init(&f->quiesce);
    f->listener.transport = TRANSPORT_TLS;
    assert_int_equal(OK, addr_parse(SLICE("127.0.0.1"), 0, &f->listener.bound));
    assert_int_equal(OK, net_sockets_open(&f->listener, 1, 1, &problem, &f->sockets));
    struct loops_config loops = {.workers = 1, .quiesce = &f->quiesce};
    assert_int_equal(OK, loops_open(&loops, &f->loops));
    assert_int_equal(OK, live_open(100, &f->sources));
    struct net_config config = {
        .loop = loops_at(f->loops, 0),
        .sockets = f->sockets,
        .listeners = &f->listener,
        .listener_count = 1,
        .hash_seed = 1,
        .sources = f->sources,
        .limits = limits != NULL ? *limits : net_limits_default(),
        .ops = {.user = f,
                .receive = on_receive,
                .send_failed = on_failed,
                .conn_lost = on_lost,
                .warn = on_warn},
    };
    assert_int_equal(OK, net_open(&config, &f->net));
    if (with_tls) {
        open_tls(f);
        net_set_tls(f->net, f->tls);
    }
    struct loop_hooks hooks = {.user = f, .flush = on_flush};
    loop_set_hooks(loops_at(f->loops, 0), &hooks);
    assert_int_equal(OK, loops_start(f->loops));
    return f;
}

static void fixture_close(struct fixture *f)
{
    loops_stop(f->loops);
    net_close(f->net);
    net_sockets_close(f->sockets);
    loops_close(f->loops);
    live_close(f->sources);
    tls_free(f->tls);
    tls_world_close(f->files);
    pthread_cond_destroy(&f->news);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* --- In the worker --------------------------------------------------------------------------- */

struct order {
    struct fixture *f;
    const struct flow *to; /* NULL: nothing is sent */
    const char *host;      /* of to->name; NULL: it is not told */
    unsigned many;         /* so many numbered messages are sent instead of one */
    SSL *reset;            /* the peer's end, reset before anything is sent; NULL: it stays */
    struct net_counters counters;
    bool done;
};

enum {
    NUMBERED_BYTES = 1000
};

/* A message with its number, filled up with dots. */
static struct slice numbered(char text[NUMBERED_BYTES], unsigned number)
{
    memset(text, '.', NUMBERED_BYTES);
    int len = snprintf(text, NUMBERED_BYTES, "OPTIONS sip:%06u SIP/2.0 ", number);
    text[len] = '.';
    return (struct slice){text, NUMBERED_BYTES};
}

/* Our end knows at once. */
static void reset(SSL *ssl)
{
    struct linger now = {.l_onoff = 1};

    assert_int_equal(0, setsockopt(SSL_get_fd(ssl), SOL_SOCKET, SO_LINGER, &now, sizeof now));
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

static void carry_out(void *user, unsigned worker)
{
    struct order *order = user;
    struct fixture *f = order->f;

    (void)worker;
    if (order->reset != NULL)
        reset(order->reset);
    if (order->host != NULL)
        net_name_host(f->net, order->to->name, slice_of(order->host));
    for (unsigned i = 0; i < order->many; i++) {
        char text[NUMBERED_BYTES];
        outbox_send(net_outbox(f->net), numbered(text, i), order->to);
    }
    if (order->to != NULL && order->many == 0)
        outbox_send(net_outbox(f->net), SLICE(PING), order->to);
    net_counters(f->net, &order->counters);
    pthread_mutex_lock(&f->lock);
    order->done = true;
    pthread_cond_broadcast(&f->news);
    pthread_mutex_unlock(&f->lock);
}

static struct net_counters run_order(struct order order)
{
    struct fixture *f = order.f;

    assert_true(loops_run_in(f->loops, 0, carry_out, &order));
    pthread_mutex_lock(&f->lock);
    while (!order.done)
        pthread_cond_wait(&f->news, &f->lock);
    pthread_mutex_unlock(&f->lock);
    return order.counters;
}

static struct net_counters run(struct fixture *f, const struct flow *to, const char *host)
{
    return run_order((struct order){.f = f, .to = to, .host = host});
}

static void wait_refused(struct fixture *f, enum net_reason reason, uint64_t wanted)
{
    for (unsigned i = 0; i < WAIT_MS / 5; i++) {
        if (run(f, NULL, NULL).refused[reason] == wanted)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("%s: %u", net_reason_name(reason), (unsigned)run(f, NULL, NULL).refused[reason]);
}

static void wait_connections(struct fixture *f, uint32_t wanted)
{
    for (unsigned i = 0; i < WAIT_MS / 5; i++) {
        if (run(f, NULL, NULL).tls_connections == wanted)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("%u connections", run(f, NULL, NULL).tls_connections);
}

static void wait_failed(struct fixture *f, unsigned wanted)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < WAIT_MS / 5 && failed != wanted; i++) {
        pthread_mutex_lock(&f->lock);
        failed = f->failed;
        pthread_mutex_unlock(&f->lock);
        poll(NULL, 0, 5);
    }
    assert_int_equal(wanted, failed);
}

/* --- Peers ----------------------------------------------------------------------------------- */

static struct sockaddr_in name_of(const struct addr *addr)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(addr->port)};

    memcpy(&name.sin_addr, addr->bytes, sizeof name.sin_addr);
    return name;
}

/* Nothing that OpenSSL waits for is waited for longer. */
static void be_patient(int fd)
{
    struct timeval patience = {.tv_sec = WAIT_MS / 1000};

    assert_true(fd >= 0);
    assert_int_equal(0, setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
}

static int dial(const struct fixture *f)
{
    struct sockaddr_in name = name_of(&f->listener.bound);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    be_patient(fd);
    assert_int_equal(0, connect(fd, (const struct sockaddr *)&name, sizeof name));
    return fd;
}

static void expect_end(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    char buffer[512];

    do
        assert_int_equal(1, poll(&poller, 1, WAIT_MS));
    while (recv(fd, buffer, sizeof buffer, 0) > 0);
}

static bool is_open(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 0;
}

/* Shakes hands on `fd`, as a client that trusts everybody, and sends a message. */
static bool greet(int fd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);

    SSL_set_fd(ssl, fd);
    bool ok = SSL_connect(ssl) == 1 && SSL_write(ssl, PING, (int)strlen(PING)) > 0;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return ok;
}

/* A listening socket of the peer's. */
static int peer_listen(struct addr *at)
{
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(OK, addr_parse(SLICE("127.0.0.1"), 0, at));
    name = name_of(at);
    assert_true(fd >= 0);
    assert_int_equal(0, bind(fd, (const struct sockaddr *)&name, sizeof name));
    assert_int_equal(0, listen(fd, 16));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&name, &len));
    at->port = ntohs(name.sin_port);
    return fd;
}

/* Takes a connection as a server with FOLDER/server.pem and reads one message. False: the client
 * does not want it. */
static bool serve(const struct fixture *f, int listening, SSL **kept)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    struct pollfd poller = {.fd = listening, .events = POLLIN};
    char buffer[512];

    assert_int_equal(1, poll(&poller, 1, WAIT_MS));
    int fd = accept(listening, NULL, NULL);
    be_patient(fd);
    SSL_CTX_use_certificate_file(ctx, tls_world_path(f->files, "server", "pem"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, tls_world_path(f->files, "server", "key"), SSL_FILETYPE_PEM);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    bool ok = SSL_accept(ssl) == 1 && SSL_read(ssl, buffer, sizeof buffer) == (int)strlen(PING);
    SSL_CTX_free(ctx);
    if (ok && kept != NULL) {
        *kept = ssl;
        return true;
    }
    SSL_free(ssl);
    close(fd);
    return ok;
}

static void hang_up(SSL *ssl)
{
    close(SSL_get_fd(ssl));
    SSL_free(ssl);
}

/* --- Limits ---------------------------------------------------------------------------------- */

static void of_too_many_handshakes_the_oldest_gives_way(void **state)
{
    struct net_limits limits = net_limits_default();
    int fds[4];

    (void)state;
    limits.handshakes_max = 3;
    struct fixture *f = fixture_open(&limits, true);
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = dial(f);
        wait_connections(f, i + 1);
    }
    assert_int_equal(3, run(f, NULL, NULL).handshaking);
    assert_int_equal(0, run(f, NULL, NULL).refused[NET_R_HANDSHAKES]);
    fds[3] = dial(f); /* one more */
    expect_end(fds[0]);
    wait_refused(f, NET_R_HANDSHAKES, 1);
    for (unsigned i = 1; i < 4; i++) {
        assert_true(is_open(fds[i]));
        assert_true(greet(fds[i]));
    }
    int next = dial(f); /* who has shaken hands does not count */
    assert_true(greet(next));
    assert_int_equal(1, run(f, NULL, NULL).refused[NET_R_HANDSHAKES]);
    assert_int_equal(4, run(f, NULL, NULL).handshakes);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
    close(next);
    fixture_close(f);
}

static void a_handshake_that_takes_too_long_is_cut_off(void **state)
{
    struct net_limits limits = net_limits_default();

    (void)state;
    limits.handshake_ms = 300;
    struct fixture *f = fixture_open(&limits, true);
    int quick = dial(f);
    assert_true(greet(quick));
    int slow = dial(f), slower = dial(f);
    assert_int_equal(3, send(slower, "\x16\x03\x01", 3, MSG_NOSIGNAL));
    expect_end(slow);
    expect_end(slower);
    wait_refused(f, NET_R_SLOW_HANDSHAKE, 2);
    assert_int_equal(1, run(f, NULL, NULL).tls_connections);
    assert_int_equal(0, run(f, NULL, NULL).handshaking);
    close(quick);
    close(slow);
    close(slower);
    fixture_close(f);
}

static void memory_for_so_many_connections_and_not_for_one_more(void **state)
{
    struct net_limits limits = net_limits_default();
    int fds[3];

    (void)state;
    limits.tls_memory_max = (size_t)2 * TLS_CONN_BYTES;
    struct fixture *f = fixture_open(&limits, true);
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = dial(f);
        assert_true(greet(fds[i]));
    }
    assert_int_equal(0, run(f, NULL, NULL).refused[NET_R_TLS_MEMORY]);
    fds[2] = dial(f);
    expect_end(fds[2]);
    wait_refused(f, NET_R_TLS_MEMORY, 1);
    close(fds[0]);
    wait_connections(f, 1);
    int next = dial(f);
    assert_true(greet(next));
    close(next);
    close(fds[1]);
    close(fds[2]);
    fixture_close(f);
}

static void without_a_certificate_nobody_gets_in_and_it_is_said(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL, false);
    int fd = dial(f);

    expect_end(fd);
    wait_refused(f, NET_R_NO_TLS, 1);
    assert_non_null(strstr(f->lines[0], "from 127.0.0.1:"));
    assert_non_null(strstr(f->lines[0], ": no_tls"));
    close(fd);
    fixture_close(f);
}

static void one_line_a_second_tells_of_all_that_failed(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL, true);

    for (unsigned i = 0; i < 20; i++) {
        int fd = dial(f);
        assert_int_equal(4, send(fd, "GET ", 4, MSG_NOSIGNAL));
        assert_int_equal(10, send(fd, "/ HTTP/1\r\n", 10, MSG_NOSIGNAL));
        expect_end(fd);
        close(fd);
    }
    wait_refused(f, NET_R_HANDSHAKE, 20);
    pthread_mutex_lock(&f->lock);
    unsigned lines = f->line_count;
    pthread_mutex_unlock(&f->lock);
    assert_in_range(lines, 1, 5); /* of the seconds that it may have taken */
    assert_non_null(strstr(f->lines[0], "http request"));
    for (unsigned i = 0; i < WAIT_MS / 100 && lines == f->line_count; i++) {
        poll(NULL, 0, 100);
        int fd = dial(f);
        assert_int_equal(5, send(fd, "BYE s", 5, MSG_NOSIGNAL));
        expect_end(fd);
        close(fd);
        run(f, NULL, NULL);
    }
    assert_non_null(strstr(f->lines[lines], "untold since the last: "));
    fixture_close(f);
}

/* Changes its keys until it is not wanted any more, or `most` times. */
static unsigned change_keys(SSL *ssl, unsigned most)
{
    for (unsigned n = 0; n < most; n++)
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            return n;
    return most;
}

static void who_sends_nothing_but_new_keys_is_cut_off_and_others_have_their_turn(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL, true);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    const unsigned most = 1000000;
    int fd = dial(f);

    SSL_set_fd(ssl, fd);
    assert_int_equal(1, SSL_connect(ssl));
    for (unsigned i = 0; i < 8; i++) { /* between messages there may be some */
        assert_int_equal(1000, change_keys(ssl, 1000));
        assert_int_equal(strlen(PING), SSL_write(ssl, PING, (int)strlen(PING)));
    }
    assert_in_range(change_keys(ssl, most), 1000, most - 1);
    wait_refused(f, NET_R_FRAMING, 1);
    assert_non_null(strstr(f->lines[0], "records in a row that bear no data"));
    assert_int_equal(8, f->received);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    fixture_close(f);
}

/* --- The end of a handshake ------------------------------------------------------------------ */

static void who_is_refused_with_the_last_of_his_handshake_gets_his_answer(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL, true);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    char buffer[512];
    int fd = dial(f), on = 1, off = 0;

    f->refuse = true;
    SSL_set_fd(ssl, fd);
    /* the end of the handshake and the message leave in one segment */
    assert_int_equal(0, setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
    assert_int_equal(1, SSL_connect(ssl));
    assert_int_equal(strlen(PING), SSL_write(ssl, PING, (int)strlen(PING)));
    assert_int_equal(0, setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off));
    assert_int_equal(strlen(PONG), SSL_read(ssl, buffer, sizeof buffer));
    assert_memory_equal(PONG, buffer, strlen(PONG));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    fixture_close(f);
}

/* --- Names ----------------------------------------------------------------------------------- */

static struct flow flow_to(const struct addr *at, uint64_t name)
{
    return (struct flow){
        .transport = TRANSPORT_TLS, .listener = LISTENER_ANY, .remote = *at, .name = name};
}

static void a_connection_is_for_the_name_that_was_proved(void **state)
{
    struct fixture *f = fixture_open(NULL, true);
    struct addr at;
    int listening = peer_listen(&at);
    struct flow right = flow_to(&at, 7), wrong = flow_to(&at, 8), address = flow_to(&at, 0);
    SSL *kept = NULL;
    char buffer[512];

    (void)state;
    run(f, &right, "sip.example.com");
    assert_true(serve(f, listening, &kept));
    run(f, &right, "sip.example.com"); /* the same again */
    assert_int_equal(strlen(PING), SSL_read(kept, buffer, sizeof buffer));

    run(f, &wrong, "other.example.com");
    assert_false(serve(f, listening, NULL));
    wait_failed(f, 1);
    run(f, &address, NULL);
    assert_false(serve(f, listening, NULL));
    wait_failed(f, 2);
    struct net_counters counters = run(f, NULL, NULL);
    assert_int_equal(2, counters.refused[NET_R_HANDSHAKE]);
    assert_int_equal(1, counters.tls_connections);
    assert_non_null(strstr(f->lines[0], "to other.example.com at 127.0.0.1:"));
    assert_non_null(strstr(f->lines[0], "it speaks for sip.example.com"));
    hang_up(kept);
    close(listening);
    fixture_close(f);
}

/* Dials, showing FOLDER/NAME.pem (NULL: nothing), and has sent a message that was received. */
static SSL *introduce(struct fixture *f, const char *name)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (name != NULL) {
        SSL_CTX_use_certificate_file(ctx, tls_world_path(f->files, name, "pem"), SSL_FILETYPE_PEM);
        SSL_CTX_use_PrivateKey_file(ctx, tls_world_path(f->files, name, "key"), SSL_FILETYPE_PEM);
    }
    SSL *ssl = SSL_new(ctx);
    pthread_mutex_lock(&f->lock);
    unsigned before = f->received, received = before;
    pthread_mutex_unlock(&f->lock);
    SSL_set_fd(ssl, dial(f));
    assert_int_equal(1, SSL_connect(ssl));
    assert_int_equal(strlen(PING), SSL_write(ssl, PING, (int)strlen(PING)));
    for (unsigned i = 0; i < WAIT_MS / 5 && received == before; i++) {
        pthread_mutex_lock(&f->lock);
        received = f->received;
        pthread_mutex_unlock(&f->lock);
        poll(NULL, 0, 5);
    }
    assert_int_equal(before + 1, received);
    SSL_CTX_free(ctx);
    return ssl;
}

/* RFC 5923 §9.2: what the peer is dialled for here fails, as he shows another's certificate there.
 */
static void a_connection_of_the_peers_is_used_for_names_that_he_proved(void **state)
{
    struct fixture *f = fixture_open(NULL, true);
    struct addr at;
    int listening = peer_listen(&at);
    struct flow right = flow_to(&at, 7), wrong = flow_to(&at, 8), address = flow_to(&at, 0);
    char buffer[512];

    (void)state;
    tls_world_write(f->files, "peer", "DNS:peer.example.com", 30, &f->files->authority);
    f->alias_port = at.port;
    SSL *peer = introduce(f, "peer");
    for (unsigned i = 0; i < 2; i++) {
        run(f, &right, "peer.example.com");
        assert_int_equal(strlen(PING), SSL_read(peer, buffer, sizeof buffer));
    }
    assert_true(is_open(listening)); /* nobody has come */
    assert_int_equal(1, run(f, NULL, NULL).aliased);
    run(f, &wrong, "other.example.com");
    assert_false(serve(f, listening, NULL));
    wait_failed(f, 1);
    run(f, &address, NULL);
    assert_false(serve(f, listening, NULL));
    wait_failed(f, 2);

    /* Nobody has answered: when it is lost what was sent by it is reported, and a new one is
     * dialled. */
    hang_up(peer);
    wait_connections(f, 0);
    wait_failed(f, 4);
    run(f, &right, "peer.example.com");
    assert_false(serve(f, listening, NULL));
    wait_failed(f, 5);
    close(listening);
    fixture_close(f);
}

static void who_proved_nothing_is_dialled(void **state)
{
    struct fixture *f = fixture_open(NULL, true);
    struct addr at;
    int listening = peer_listen(&at);
    struct flow to = flow_to(&at, 7);

    (void)state;
    f->alias_port = at.port;
    SSL *peer = introduce(f, NULL);
    run(f, &to, "sip.example.com");
    assert_true(serve(f, listening, NULL));
    assert_int_equal(0, run(f, NULL, NULL).aliased);
    hang_up(peer);
    close(listening);
    fixture_close(f);
}

static void a_name_that_is_not_known_is_not_dialled(void **state)
{
    struct fixture *f = fixture_open(NULL, true);
    struct addr at;
    int listening = peer_listen(&at);
    struct flow to = flow_to(&at, 9);

    (void)state;
    run(f, &to, NULL);
    wait_failed(f, 1);
    wait_refused(f, NET_R_NAME, 1);
    assert_true(is_open(listening)); /* nobody has come */
    run(f, &to, "sip.example.com");
    assert_true(serve(f, listening, NULL));
    close(listening);
    fixture_close(f);
}

/* --- Many messages --------------------------------------------------------------------------- */

static void a_slow_reader_gets_whole_records_in_order(void **state)
{
    enum {
        COUNT = 6000, /* 6 MB: no socket takes that at once */
    };
    struct net_limits limits = net_limits_default();
    struct addr at;
    SSL *kept = NULL;
    char wanted[NUMBERED_BYTES], got[NUMBERED_BYTES];

    (void)state;
    limits.write_queue_bytes = COUNT * NUMBERED_BYTES;
    struct fixture *f = fixture_open(&limits, true);
    int listening = peer_listen(&at);
    struct flow to = flow_to(&at, 7);
    run(f, &to, "sip.example.com");
    assert_true(serve(f, listening, &kept));
    struct net_counters before = run(f, NULL, NULL);
    run_order((struct order){.f = f, .to = &to, .host = "sip.example.com", .many = COUNT});
    for (unsigned i = 0; i < COUNT; i++) {
        struct slice text = numbered(wanted, i);
        for (size_t have = 0, n = 0; have < text.len; have += n)
            assert_int_equal(1, SSL_read_ex(kept, got + have, text.len - have, &n));
        assert_memory_equal(text.data, got, text.len);
    }
    struct net_counters after = run(f, NULL, NULL);
    assert_int_equal(COUNT, after.stream_sent - before.stream_sent);
    assert_true(after.stream_writes - before.stream_writes < COUNT / 4);
    assert_int_equal(1, after.tls_connections);
    hang_up(kept);
    close(listening);
    fixture_close(f);
}

static void a_reset_while_many_are_sent_fails_them_all(void **state)
{
    enum {
        COUNT = 100, /* 100 KB: several writes */
    };
    struct addr at;
    SSL *kept = NULL;

    (void)state;
    struct fixture *f = fixture_open(NULL, true);
    int listening = peer_listen(&at);
    struct flow to = flow_to(&at, 7);
    run(f, &to, "sip.example.com");
    assert_true(serve(f, listening, &kept));
    run_order(
        (struct order){.f = f, .to = &to, .host = "sip.example.com", .many = COUNT, .reset = kept});
    wait_failed(f, COUNT + 1); /* the first one was not answered, either */
    wait_refused(f, NET_R_RESET, 1);
    wait_connections(f, 0);
    close(listening);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_too_many_handshakes_the_oldest_gives_way),
        cmocka_unit_test(a_handshake_that_takes_too_long_is_cut_off),
        cmocka_unit_test(memory_for_so_many_connections_and_not_for_one_more),
        cmocka_unit_test(without_a_certificate_nobody_gets_in_and_it_is_said),
        cmocka_unit_test(one_line_a_second_tells_of_all_that_failed),
        cmocka_unit_test(who_sends_nothing_but_new_keys_is_cut_off_and_others_have_their_turn),
        cmocka_unit_test(who_is_refused_with_the_last_of_his_handshake_gets_his_answer),
        cmocka_unit_test(a_connection_is_for_the_name_that_was_proved),
        cmocka_unit_test(a_connection_of_the_peers_is_used_for_names_that_he_proved),
        cmocka_unit_test(who_proved_nothing_is_dialled),
        cmocka_unit_test(a_name_that_is_not_known_is_not_dialled),
        cmocka_unit_test(a_slow_reader_gets_whole_records_in_order),
        cmocka_unit_test(a_reset_while_many_are_sent_fails_them_all),
    };
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to who has hung up */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
