/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real sockets on loopback: two workers in threads, peers played by this thread with plain
 * blocking sockets. What the workers hear is kept in a box that the test looks into.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "heap.h"
#include "net/net.h"

enum {
    WORKERS = 2,
    HEARD_MAX = 4000,
    TEXT_MAX = 2048,
    WAIT_MS = 15000
};
enum {
    UDP4,
    TCP4,
    UDP6,
    TCP6,
    UDP_ANY,
    WS4,
    LISTENERS
};

enum what {
    MESSAGE,
    FAILED,
    LOST
};

/* One thing that a worker was told. */
struct heard {
    enum what what;
    unsigned worker;
    bool stream;
    bool closed;
    struct flow flow;
    struct conn_id conn;
    size_t len;
    char text[TEXT_MAX];
};

struct fixture;

struct worker {
    struct fixture *f;
    struct loop *loop;
    struct net *net;
};

/* What a worker shall do, given by loops_run_in(). */
struct order {
    struct fixture *f;
    struct flow to;
    struct slice bytes;
    struct conn_id conn;
    struct addr remote;
    struct addr local; /* an answer */
    struct net_counters counters;
    unsigned repeat;
    unsigned mixed; /* datagrams of three lengths, each with the number of its topic and its own */
    bool heard;     /* the peer is known to be there */
    bool close;
    bool done; /* guarded by the lock */
};

struct fixture {
    struct quiesce quiesce;
    struct loops *loops;
    struct net_sockets *sockets;
    struct live *sources;
    struct listener listeners[LISTENERS];
    struct worker workers[WORKERS];
    pthread_mutex_t lock;
    pthread_cond_t news;
    bool refuse;   /* receive() says that the stream is to be closed */
    bool echo;     /* receive() answers what it gets */
    uint32_t deaf; /* times that conn_lost() says no, for each connection; guarded by the lock */
    _Atomic bool hold; /* may_read() says no */
    bool held;         /* a worker stands still */
    unsigned waits;
    uint32_t waited_ms; /* the longest that was told, of UDP4 */
    unsigned count;
    struct heard heard[HEARD_MAX];
};

static struct heard *hear(struct worker *worker, enum what what, struct slice bytes)
{
    struct fixture *f = worker->f;
    pthread_mutex_lock(&f->lock);
    assert(f->count < HEARD_MAX);
    struct heard *heard = &f->heard[f->count++];
    heard->what = what;
    heard->worker = loop_worker(worker->loop);
    heard->len = bytes.len;
    memcpy(heard->text, bytes.data != NULL ? bytes.data : "",
           bytes.len < TEXT_MAX ? bytes.len : TEXT_MAX);
    return heard;
}

static void heard_done(struct fixture *f)
{
    pthread_cond_broadcast(&f->news);
    pthread_mutex_unlock(&f->lock);
}

static bool on_receive(void *user, struct slice bytes, bool stream, const struct flow *source)
{
    struct worker *worker = user;
    if (worker->f->echo)
        outbox_send(net_outbox(worker->net), bytes, source);
    struct heard *heard = hear(worker, MESSAGE, bytes);
    heard->stream = stream;
    heard->flow = *source;
    heard_done(worker->f);
    return !worker->f->refuse;
}

static bool may_read(void *user, const struct addr *remote)
{
    struct worker *worker = user;
    assert_true(addr_is_loopback(remote));
    return !worker->f->hold;
}

static void on_failed(void *user, struct slice sent, bool closed)
{
    struct worker *worker = user;
    hear(worker, FAILED, sent)->closed = closed;
    heard_done(worker->f);
}

/* Whoever is told has no room for it the first `deaf` times. */
static bool on_lost(void *user, struct conn_id conn, uint32_t *told)
{
    struct worker *worker = user;
    pthread_mutex_lock(&worker->f->lock);
    bool deaf = *told < worker->f->deaf;
    pthread_mutex_unlock(&worker->f->lock);
    if (deaf) {
        ++*told;
        return false;
    }
    hear(worker, LOST, SLICE_EMPTY)->conn = conn;
    heard_done(worker->f);
    return true;
}

static void on_waited(void *user, uint8_t listener, uint32_t waited_ms)
{
    struct fixture *f = ((struct worker *)user)->f;
    pthread_mutex_lock(&f->lock);
    assert(listener == UDP4);
    f->waits++;
    if (waited_ms > f->waited_ms)
        f->waited_ms = waited_ms;
    pthread_mutex_unlock(&f->lock);
}

static bool on_flush(void *user)
{
    struct worker *worker = user;
    return net_turn(worker->net);
}

static struct addr addr_text_of(const char *text)
{
    struct addr addr;
    assert_int_equal(OK, addr_parse(slice_of(text), 0, &addr));
    return addr;
}

static struct fixture *fixture_open(const struct net_limits *limits)
{
    static const struct {
        enum transport transport;
        const char *at;
    } where[LISTENERS] = {
        [UDP4] = {TRANSPORT_UDP, "127.0.0.1"},  [TCP4] = {TRANSPORT_TCP, "127.0.0.1"},
        [UDP6] = {TRANSPORT_UDP, "::1"},        [TCP6] = {TRANSPORT_TCP, "::1"},
        [UDP_ANY] = {TRANSPORT_UDP, "0.0.0.0"}, [WS4] = {TRANSPORT_WS, "127.0.0.1"},
    };
    struct fixture *f = aligned_alloc(64, (sizeof *f + 63) / 64 * 64);
    assert_non_null(f);
    memset((void *)f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->news, NULL);
    quiesce_init(&f->quiesce);
    for (unsigned i = 0; i < LISTENERS; i++)
        f->listeners[i] = (struct listener){.transport = (uint8_t)where[i].transport,
                                            .bound = addr_text_of(where[i].at)};
    struct net_problem problem;
    assert_int_equal(OK, net_sockets_open(f->listeners, LISTENERS, WORKERS, &problem, &f->sockets));
    struct loops_config loops = {.workers = WORKERS, .quiesce = &f->quiesce};
    assert_int_equal(OK, loops_open(&loops, &f->loops));
    assert_int_equal(OK, live_open(100, &f->sources));
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &f->workers[i];
        *worker = (struct worker){.f = f, .loop = loops_at(f->loops, i)};
        struct net_config config = {
            .loop = worker->loop,
            .sockets = f->sockets,
            .listeners = f->listeners,
            .listener_count = LISTENERS,
            .hash_seed = 1,
            .sources = f->sources,
            .limits = limits != NULL ? *limits : net_limits_default(),
            .ops = {.user = worker,
                    .receive = on_receive,
                    .send_failed = on_failed,
                    .conn_lost = on_lost,
                    .may_read = may_read,
                    .waited = on_waited},
        };
        assert_int_equal(OK, net_open(&config, &worker->net));
        struct loop_hooks hooks = {.user = worker, .flush = on_flush};
        loop_set_hooks(worker->loop, &hooks);
    }
    assert_int_equal(OK, loops_start(f->loops));
    return f;
}

static void fixture_close(struct fixture *f)
{
    loops_stop(f->loops);
    for (unsigned i = 0; i < WORKERS; i++)
        net_close(f->workers[i].net);
    net_sockets_close(f->sockets);
    loops_close(f->loops);
    live_close(f->sources);
    pthread_cond_destroy(&f->news);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static unsigned heard_count(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    unsigned count = f->count;
    pthread_mutex_unlock(&f->lock);
    return count;
}

/* How often a wait in a socket was told, and the longest of them, in ms. */
static unsigned waits_told(struct fixture *f, uint32_t *longest_ms)
{
    pthread_mutex_lock(&f->lock);
    unsigned count = f->waits;
    *longest_ms = f->waited_ms;
    pthread_mutex_unlock(&f->lock);
    return count;
}

/* Waits until `count` things were heard; gives the last of them. */
static struct heard *wait_heard(struct fixture *f, unsigned count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&f->lock);
    int failed = 0;
    while (f->count < count && failed == 0)
        failed = pthread_cond_timedwait(&f->news, &f->lock, &until);
    unsigned got = f->count;
    pthread_mutex_unlock(&f->lock);
    if (got < count)
        fail_msg("heard %u of %u", got, count);
    return &f->heard[count - 1];
}

enum {
    TOPICS = 7
};

/* "TOPIC NUMBER" and as many dots as make it one of three lengths. */
static void send_mixed(struct net *net, const struct flow *to, unsigned number)
{
    static const char dots[] = "........................................";
    char text[64];
    int len = snprintf(text, sizeof text, "%02u %03u %.*s", number % TOPICS, number,
                       (int)(10 * (number * 5 % 3)), dots);

    net_outbox(net)->topic = 1000 + number % TOPICS;
    outbox_send(net_outbox(net), (struct slice){text, (size_t)len}, to);
    net_outbox(net)->topic = 0;
}

static void carry_out(void *user, unsigned worker)
{
    struct order *order = user;
    struct net *net = order->f->workers[worker].net;

    if (order->heard)
        net_heard(net, &order->to.remote);
    for (unsigned i = 0; i < order->repeat; i++)
        outbox_send(net_outbox(net), order->bytes, &order->to);
    for (unsigned i = 0; i < order->mixed; i++)
        send_mixed(net, &order->to, i);
    if (order->close)
        net_close_conn(net, order->conn);
    if (order->remote.family != ADDR_NONE)
        order->local = net_local_address(net, order->to.listener, &order->remote);
    net_counters(net, &order->counters);
    pthread_mutex_lock(&order->f->lock);
    order->done = true;
    pthread_cond_broadcast(&order->f->news);
    pthread_mutex_unlock(&order->f->lock);
}

static void run_order(struct fixture *f, unsigned worker, struct order *order)
{
    order->f = f;
    order->done = false;
    assert_true(loops_run_in(f->loops, worker, carry_out, order));
    pthread_mutex_lock(&f->lock);
    while (!order->done)
        pthread_cond_wait(&f->news, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

static void send_by(struct fixture *f, unsigned worker, const struct flow *to, struct slice bytes)
{
    struct order order = {.to = *to, .bytes = bytes, .repeat = 1};
    run_order(f, worker, &order);
}

static struct net_counters sum_counters(struct fixture *f)
{
    struct net_counters sum = {0};
    for (unsigned i = 0; i < WORKERS; i++) {
        struct order order = {0};
        run_order(f, i, &order);
        for (unsigned n = 0; n < NET_R_COUNT; n++)
            sum.refused[n] += order.counters.refused[n];
        sum.connections += order.counters.connections;
        sum.accepted += order.counters.accepted;
        sum.connected += order.counters.connected;
        sum.stream_sent += order.counters.stream_sent;
        sum.stream_writes += order.counters.stream_writes;
        sum.stream_pings += order.counters.stream_pings;
        sum.letters_received += order.counters.letters_received;
        sum.udp_keepalives += order.counters.udp_keepalives;
        sum.reading_paused += order.counters.reading_paused;
        sum.reading_denied += order.counters.reading_denied;
    }
    return sum;
}

static void wait_refused(struct fixture *f, enum net_reason reason, uint64_t wanted)
{
    for (unsigned i = 0; i < 3000; i++) {
        if (sum_counters(f).refused[reason] == wanted)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("refused: %u", (unsigned)sum_counters(f).refused[reason]);
}

/* Until the counter is there; connections come and go on their own. */
static void wait_connections(struct fixture *f, uint32_t wanted)
{
    for (unsigned i = 0; i < 3000; i++) {
        if (sum_counters(f).connections == wanted)
            return;
        poll(NULL, 0, 5);
    }
    fail_msg("%u connections instead of %u", sum_counters(f).connections, wanted);
}

/* --- The peer's side ------------------------------------------------------------------------- */

struct name {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t len;
};

static struct name name_of(const struct addr *addr)
{
    struct name name = {0};
    if (addr->family == ADDR_V4) {
        name.u.v4.sin_family = AF_INET;
        name.u.v4.sin_port = htons(addr->port);
        memcpy(&name.u.v4.sin_addr, addr->bytes, 4);
        name.len = sizeof name.u.v4;
    } else {
        name.u.v6.sin6_family = AF_INET6;
        name.u.v6.sin6_port = htons(addr->port);
        memcpy(&name.u.v6.sin6_addr, addr->bytes, 16);
        name.len = sizeof name.u.v6;
    }
    return name;
}

/* A bound socket of the peer, and its address. */
static int peer_open(int type, const char *host, struct addr *at)
{
    *at = addr_text_of(host);
    struct name name = name_of(at);
    int fd = socket(name.u.sa.sa_family, type, 0);
    assert_true(fd >= 0);
    assert_int_equal(0, bind(fd, &name.u.sa, name.len));
    assert_int_equal(0, getsockname(fd, &name.u.sa, &name.len));
    at->port = ntohs(at->family == ADDR_V4 ? name.u.v4.sin_port : name.u.v6.sin6_port);
    return fd;
}

static int peer_connect(struct fixture *f, unsigned listener)
{
    struct name name = name_of(&f->listeners[listener].bound);
    int fd = socket(name.u.sa.sa_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(0, connect(fd, &name.u.sa, name.len));
    return fd;
}

static void peer_send(int fd, const char *text)
{
    assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
}

static void peer_expect(int fd, const char *text)
{
    char buffer[TEXT_MAX];
    size_t have = 0;
    while (have < strlen(text)) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        assert_int_equal(1, poll(&poller, 1, WAIT_MS));
        ssize_t got = recv(fd, buffer + have, sizeof buffer - have, 0);
        assert_true(got > 0);
        have += (size_t)got;
    }
    assert_int_equal(strlen(text), have);
    assert_memory_equal(text, buffer, have);
}

/* The stream ends, in order or by a reset. */
static void peer_expect_end(int fd)
{
    char buffer[TEXT_MAX];
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        assert_int_equal(1, poll(&poller, 1, WAIT_MS));
        if (recv(fd, buffer, sizeof buffer, 0) <= 0)
            return;
    }
}

static struct flow flow_to(enum transport transport, const struct addr *remote)
{
    return (struct flow){
        .transport = (uint8_t)transport, .listener = LISTENER_ANY, .remote = *remote};
}

#define PING "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n"
#define PONG "SIP/2.0 200 OK\r\nl: 3\r\n\r\nabc"

/* --- Tests ----------------------------------------------------------------------------------- */

static void datagrams_are_heard_and_answered_from_where_they_were_sent_to(void **state)
{
    (void)state;
    static const struct {
        unsigned listener;
        const char *peer, *ours;
    } cases[] = {
        {UDP4, "127.0.0.1", "127.0.0.1"},
        {UDP6, "::1", "::1"},
        {UDP_ANY, "127.0.0.1", "127.0.0.1"},
        {UDP_ANY, "127.0.0.1", "127.0.0.7"}, /* any of 127/8 is ours */
    };
    struct fixture *f = fixture_open(NULL);

    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct addr peer;
        struct addr ours = addr_text_of(cases[i].ours);
        int fd = peer_open(SOCK_DGRAM, cases[i].peer, &peer);
        ours.port = f->listeners[cases[i].listener].bound.port;
        struct name name = name_of(&ours);
        assert_int_equal(0, connect(fd, &name.u.sa, name.len)); /* hears only from there */
        peer_send(fd, PING);
        struct heard *heard = wait_heard(f, i + 1);
        assert_int_equal(MESSAGE, heard->what);
        assert_false(heard->stream);
        assert_int_equal(strlen(PING), heard->len);
        assert_int_equal(cases[i].listener, heard->flow.listener);
        assert_true(addr_equal(&peer, &heard->flow.remote));
        assert_true(addr_equal(&ours, &heard->flow.local));
        send_by(f, heard->worker, &heard->flow, slice_of(PONG));
        peer_expect(fd, PONG);
        close(fd);
    }
    fixture_close(f);
}

static void keepalives_by_udp_are_counted_and_not_handed_over(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr peer;
    int fd = peer_open(SOCK_DGRAM, "127.0.0.1", &peer);
    struct name name = name_of(&f->listeners[UDP4].bound);

    assert_int_equal(0, connect(fd, &name.u.sa, name.len));
    peer_send(fd, "\r\n\r\n");
    assert_int_equal(1, send(fd, "", 1, 0));
    assert_int_equal(0, send(fd, "", 0, 0));
    peer_send(fd, PING);
    wait_heard(f, 1);
    assert_int_equal(1, heard_count(f));
    assert_int_equal(3, sum_counters(f).udp_keepalives);
    close(fd);
    fixture_close(f);
}

static void stand_still(void *user, unsigned worker)
{
    struct fixture *f = user;
    (void)worker;
    pthread_mutex_lock(&f->lock);
    while (f->held)
        pthread_cond_wait(&f->news, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* Sends so many while the workers stand still for `ms`, then waits until all were heard. */
static void send_held(struct fixture *f, int fd, unsigned count, int ms)
{
    struct name name = name_of(&f->listeners[UDP4].bound);
    unsigned before = heard_count(f);

    pthread_mutex_lock(&f->lock);
    f->held = true;
    f->waits = 0;
    f->waited_ms = 0;
    pthread_mutex_unlock(&f->lock);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_true(loops_run_in(f->loops, i, stand_still, f));
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(strlen(PING), sendto(fd, PING, strlen(PING), 0, &name.u.sa, name.len));
    poll(NULL, 0, ms);
    pthread_mutex_lock(&f->lock);
    f->held = false;
    pthread_cond_broadcast(&f->news);
    pthread_mutex_unlock(&f->lock);
    wait_heard(f, before + count);
}

static void a_queue_in_a_socket_is_measured_and_few_datagrams_are_not(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr peer;
    int fd = peer_open(SOCK_DGRAM, "127.0.0.1", &peer);
    uint32_t longest_ms;

    send_held(f, fd, 10, 0);
    assert_int_equal(0, waits_told(f, &longest_ms)); /* no time is wasted on them */
    /* The stamps are asked for by this, and the kernel begins when it likes. */
    for (unsigned i = 0; i < 50 && longest_ms < 60; i++) { /* one worker hears them all */
        send_held(f, fd, 40, 70);
        waits_told(f, &longest_ms);
    }
    assert_true(waits_told(f, &longest_ms) > 0);
    assert_in_range(longest_ms, 60, 5000);
    send_held(f, fd, 1, 0);
    assert_true(waits_told(f, &longest_ms) > 0);
    assert_in_range(longest_ms, 0, 1000);
    close(fd);
    fixture_close(f);
}

static void many_datagrams_in_one_turn_all_arrive(void **state)
{
    (void)state;
    enum {
        COUNT = 500
    };
    struct fixture *f = fixture_open(NULL);
    struct addr peer;
    int fd = peer_open(SOCK_DGRAM, "127.0.0.1", &peer);
    int size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);

    struct order order = {
        .to = flow_to(TRANSPORT_UDP, &peer), .bytes = SLICE(PONG), .repeat = COUNT};
    run_order(f, 0, &order);
    unsigned got = 0;
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    char buffer[TEXT_MAX];
    /* The peer's buffer may be small: what is lost there is not ours. */
    while (got < COUNT && poll(&poller, 1, 500) == 1)
        got += recv(fd, buffer, sizeof buffer, 0) == (ssize_t)strlen(PONG);
    assert_true(got > COUNT / 4);
    run_order(f, 0, &order);
    assert_int_equal(0, heard_count(f));
    assert_true(order.counters.udp_sent >= COUNT);
    assert_true(order.counters.udp_send_calls < order.counters.udp_sent / 32);
    close(fd);
    fixture_close(f);
}

/* Each arrives whole and once; those of one topic in their order, whatever their lengths. */
static void expect_mixed(int fd, unsigned count)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    bool seen[200] = {false};
    int last[TOPICS];
    char text[TEXT_MAX];

    assert_true(count <= COUNT_OF(seen));
    for (unsigned i = 0; i < TOPICS; i++)
        last[i] = -1;
    for (unsigned got = 0; got < count; got++) {
        unsigned topic, number;
        assert_int_equal(1, poll(&poller, 1, WAIT_MS));
        ssize_t len = recv(fd, text, sizeof text - 1, 0);
        assert_true(len > 0);
        text[len] = '\0';
        assert_int_equal(2, sscanf(text, "%2u %3u", &topic, &number));
        assert_true(number < count && topic == number % TOPICS && !seen[number]);
        seen[number] = true;
        assert_int_equal(7 + 10 * (number * 5 % 3), (unsigned)len);
        assert_true((int)number > last[topic]);
        last[topic] = (int)number;
    }
}

static void datagrams_alike_leave_together_and_in_order(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};
    (void)state;

    for (unsigned i = 0; i < COUNT_OF(hosts); i++) {
        struct fixture *f = fixture_open(NULL);
        struct addr peer;
        int fd = peer_open(SOCK_DGRAM, hosts[i], &peer);
        struct order order = {.to = flow_to(TRANSPORT_UDP, &peer), .mixed = 200};

        run_order(f, 0, &order); /* not heard yet: each alone */
        expect_mixed(fd, 200);
        order.mixed = 0;
        run_order(f, 0, &order);
        assert_int_equal(0, order.counters.udp_bursts);

        order.mixed = 200;
        order.heard = true;
        run_order(f, 0, &order);
        expect_mixed(fd, 200);
        order.mixed = 0;
        run_order(f, 0, &order);
        assert_int_equal(400, order.counters.udp_sent);
        assert_true(order.counters.udp_bursts > 0);
        assert_int_equal(0, heard_count(f));
        close(fd);
        fixture_close(f);
    }
}

static void a_wildcard_socket_sends_bursts_from_the_address_asked_for(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr peer, from;
    int fd = peer_open(SOCK_DGRAM, "127.0.0.1", &peer);
    struct order order = {
        .to = flow_to(TRANSPORT_UDP, &peer), .bytes = SLICE(PONG), .repeat = 30, .heard = true};
    struct name name = {.len = sizeof name.u};
    char text[TEXT_MAX];

    order.to.listener = UDP_ANY;
    assert_int_equal(OK, addr_parse(SLICE("127.0.0.9"), 0, &from));
    order.to.local = from;
    run_order(f, 0, &order);
    for (unsigned i = 0; i < 30; i++) {
        ssize_t len = recvfrom(fd, text, sizeof text, 0, &name.u.sa, &name.len);
        assert_int_equal(strlen(PONG), len);
        assert_memory_equal(from.bytes, &name.u.v4.sin_addr, 4);
    }
    order.repeat = 0;
    run_order(f, 0, &order);
    assert_true(order.counters.udp_bursts > 0);
    close(fd);
    fixture_close(f);
}

static void each_datagram_of_a_burst_that_is_refused_is_sent_or_reported(void **state)
{
    enum {
        COUNT = 20
    };
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr gone;
    int fd = peer_open(SOCK_DGRAM, "127.0.0.1", &gone);
    struct order order = {
        .to = flow_to(TRANSPORT_UDP, &gone), .bytes = SLICE(PING), .repeat = COUNT, .heard = true};

    close(fd); /* nobody is there any more, though heard a moment ago */
    run_order(f, 0, &order);
    wait_heard(f, 1); /* the burst's one refusal: from now on each goes alone */
    order.heard = false;
    run_order(f, 0, &order);
    struct heard *last = wait_heard(f, 1 + COUNT);
    assert_int_equal(FAILED, last->what);
    fixture_close(f);
}

static void a_refused_datagram_is_reported_and_others_still_go_out(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    const char *const hosts[] = {"127.0.0.1", "::1"};

    for (unsigned i = 0; i < COUNT_OF(hosts); i++) {
        struct addr nobody;
        struct addr peer;
        close(peer_open(SOCK_DGRAM, hosts[i], &nobody)); /* a port that nobody has */
        int fd = peer_open(SOCK_DGRAM, hosts[i], &peer);
        struct flow gone = flow_to(TRANSPORT_UDP, &nobody);
        struct flow here = flow_to(TRANSPORT_UDP, &peer);
        send_by(f, 0, &gone, SLICE("INVITE sip:nobody SIP/2.0\r\nVia: branch\r\n\r\n"));
        struct heard *heard = wait_heard(f, i + 1);
        assert_int_equal(FAILED, heard->what); /* in either worker: the kernel chooses one */
        assert_memory_equal("INVITE sip:nobody", heard->text, 17);
        assert_true(heard->closed);
        send_by(f, 0, &here, SLICE(PONG));
        peer_expect(fd, PONG);
        close(fd);
    }
    assert_int_equal(2, sum_counters(f).refused[NET_R_ICMP]);
    fixture_close(f);
}

static void what_cannot_be_sent_at_all_is_reported_at_once(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr too_far = addr_text_of("255.255.255.255"); /* EACCES without SO_BROADCAST */
    too_far.port = 5060;
    struct flow to = flow_to(TRANSPORT_UDP, &too_far);

    to.listener = UDP4;
    send_by(f, 1, &to, SLICE(PING));
    assert_int_equal(FAILED, wait_heard(f, 1)->what);
    assert_false(wait_heard(f, 1)->closed);
    to.transport = TRANSPORT_TLS; /* there is no such listener */
    send_by(f, 1, &to, SLICE(PING));
    struct heard *heard = wait_heard(f, 2);
    assert_int_equal(FAILED, heard->what);
    fixture_close(f);
}

static void a_stream_is_cut_into_messages_and_answered_on_the_same_connection(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    const unsigned listeners[] = {TCP4, TCP6};
    unsigned heard_before = 0;

    for (unsigned i = 0; i < COUNT_OF(listeners); i++) {
        int fd = peer_connect(f, listeners[i]);
        peer_send(fd, PING PONG "OPTIONS sip:b SI");
        wait_heard(f, heard_before + 2);
        peer_send(fd, "P/2.0\r\nl: 1");
        peer_send(fd, "\r\n\r\nx");
        struct heard *heard = wait_heard(f, heard_before + 3);
        assert_int_equal(MESSAGE, heard->what);
        assert_true(heard->stream);
        assert_true(flow_has_conn(&heard->flow));
        assert_int_equal(heard->worker, heard->flow.conn.worker);
        assert_true(addr_equal(&f->listeners[listeners[i]].bound, &heard->flow.local));
        assert_int_equal(32, heard->len);
        /* From the other worker: it goes through the owner's mailbox. */
        send_by(f, 1 - heard->worker, &heard->flow, SLICE(PONG));
        peer_expect(fd, PONG);
        send_by(f, heard->worker, &heard->flow, SLICE(PING));
        peer_expect(fd, PING);
        close(fd);
        heard = wait_heard(f, heard_before + 4);
        assert_int_equal(LOST, heard->what);
        heard_before += 4;
    }
    assert_int_equal(0, sum_counters(f).connections);
    assert_int_equal(2, sum_counters(f).letters_received);
    fixture_close(f);
}

static void pings_on_a_stream_are_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    int fd = peer_connect(f, TCP4);

    peer_send(fd, "\r\n");
    peer_send(fd, "\r\n");
    peer_expect(fd, "\r\n");
    peer_send(fd, "\r\n\r\n" PING);
    peer_expect(fd, "\r\n");
    assert_int_equal(MESSAGE, wait_heard(f, 1)->what);
    assert_int_equal(2, sum_counters(f).stream_pings);
    close(fd);
    fixture_close(f);
}

static void a_thousand_pings_at_once_are_answered_once(void **state)
{
    enum {
        PINGS = 1000
    };
    char pings[4 * PINGS + sizeof PING] = "";

    (void)state;
    struct fixture *f = fixture_open(NULL);
    int fd = peer_connect(f, TCP4);
    f->echo = true;
    for (size_t i = 0; i < PINGS; i++)
        memcpy(pings + 4 * i, "\r\n\r\n", 4);
    memcpy(pings + (size_t)4 * PINGS, PING, sizeof PING);
    peer_send(fd, pings);
    peer_expect(fd, "\r\n" PING);
    assert_int_equal(PINGS, sum_counters(f).stream_pings);
    close(fd);
    fixture_close(f);
}

static void a_lost_framing_hands_over_the_head_and_ends_the_stream_after_the_answer(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    int fd = peer_connect(f, TCP4);

    f->echo = true; /* stands for a 400 */
    peer_send(fd, "OPTIONS sip:a SIP/2.0\r\nX: 1\r\n\r\nand more that nobody reads");
    peer_expect(fd, "OPTIONS sip:a SIP/2.0\r\nX: 1\r\n\r\n");
    peer_expect_end(fd);
    assert_int_equal(MESSAGE, wait_heard(f, 1)->what);
    assert_int_equal(1, sum_counters(f).refused[NET_R_FRAMING]);
    close(fd);
    assert_int_equal(LOST, wait_heard(f, 2)->what);

    f->refuse = true; /* whoever receives may end the stream, too */
    fd = peer_connect(f, TCP4);
    peer_send(fd, PING PING);
    peer_expect(fd, PING);
    peer_expect_end(fd);
    close(fd);
    wait_connections(f, 0);
    assert_int_equal(4, heard_count(f));
    fixture_close(f);
}

static void an_outgoing_connection_is_opened_once_whoever_sends(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr peer;
    int listening = peer_open(SOCK_STREAM, "127.0.0.1", &peer);
    struct flow to = flow_to(TRANSPORT_TCP, &peer);

    assert_int_equal(0, listen(listening, 5));
    send_by(f, 0, &to, SLICE(PING));
    send_by(f, 1, &to, SLICE(PING)); /* which of the two comes first is open */
    int fd = accept(listening, NULL, NULL);
    assert_true(fd >= 0);
    peer_expect(fd, PING PING);
    peer_send(fd, PONG);
    struct heard *heard = wait_heard(f, 1);
    assert_int_equal(TCP4, heard->flow.listener);
    assert_true(addr_equal(&peer, &heard->flow.remote));
    assert_int_equal(1, sum_counters(f).connected);

    /* When it is gone, the next message opens another, unless it may only use that one. */
    close(fd);
    assert_int_equal(LOST, wait_heard(f, 2)->what);
    struct flow only = f->heard[0].flow;
    only.flags = FLOW_ONLY_CONN;
    send_by(f, 0, &only, SLICE(PING));
    send_by(f, 1, &only, SLICE(PING));
    assert_int_equal(FAILED, wait_heard(f, 3)->what);
    assert_int_equal(FAILED, wait_heard(f, 4)->what);
    only.flags = 0;
    send_by(f, 0, &only, SLICE(PING));
    fd = accept(listening, NULL, NULL);
    peer_expect(fd, PING);
    close(fd);
    close(listening);
    fixture_close(f);
}

static void a_request_written_to_a_peer_that_hangs_up_unheard_has_failed(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr peer;
    int listening = peer_open(SOCK_STREAM, "127.0.0.1", &peer);
    struct flow to = flow_to(TRANSPORT_TCP, &peer);

    assert_int_equal(0, listen(listening, 5));
    for (unsigned i = 0; i < 2; i++) {
        unsigned before = heard_count(f);
        send_by(f, 0, &to, SLICE(PING));
        send_by(f, 0, &to, SLICE(PONG)); /* a response: nobody waits for what comes of it */
        int fd = accept(listening, NULL, NULL);
        peer_expect(fd, PING PONG);
        if (i == 1) {
            peer_send(fd, PONG);
            assert_int_equal(MESSAGE, wait_heard(f, ++before)->what);
        }
        close(fd);
        if (i == 0)
            assert_int_equal(FAILED, wait_heard(f, ++before)->what);
        assert_int_equal(LOST, wait_heard(f, ++before)->what);
        wait_connections(f, 0);
        assert_int_equal(before, heard_count(f));
    }
    close(listening);
    fixture_close(f);
}

static void a_refused_connection_fails_what_was_to_go_over_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    struct addr nobody;
    close(peer_open(SOCK_STREAM, "127.0.0.1", &nobody));
    struct flow to = flow_to(TRANSPORT_TCP, &nobody);
    struct order order = {.to = to, .bytes = SLICE(PING), .repeat = 3};

    run_order(f, 0, &order);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(FAILED, wait_heard(f, i)->what);
        assert_int_equal(strlen(PING), f->heard[i - 1].len);
    }
    wait_connections(f, 0);
    assert_int_equal(3, heard_count(f)); /* nobody had the connection's name: no loss is told */
    fixture_close(f);
}

static void a_peer_that_may_not_be_read_waits_and_loses_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    f->hold = true;
    int fd = peer_connect(f, TCP4);

    peer_send(fd, "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n");
    for (unsigned i = 0; sum_counters(f).reading_denied < 3 && i < 3000; i++)
        poll(NULL, 0, 5);
    assert_true(sum_counters(f).reading_denied >= 3); /* asked again and again */
    assert_int_equal(0, heard_count(f));
    f->hold = false;
    wait_heard(f, 1);
    assert_int_equal(1, sum_counters(f).connections);
    close(fd);
    fixture_close(f);
}

static void a_slow_sender_and_a_silent_one_are_cut_off(void **state)
{
    (void)state;
    struct net_limits limits = net_limits_default();
    limits.message_ms = 150;
    limits.first_ms = 400;
    limits.idle_ms = 900;
    struct fixture *f = fixture_open(&limits);
    int slow = peer_connect(f, TCP4);
    int silent = peer_connect(f, TCP4);
    int idle = peer_connect(f, TCP4);

    peer_send(idle, PING);
    peer_send(slow, "OPTIONS");
    peer_expect_end(slow);
    peer_expect_end(silent);
    peer_expect_end(idle);
    struct net_counters sum = sum_counters(f);
    assert_int_equal(2, sum.refused[NET_R_SLOW_MESSAGE]);
    assert_int_equal(1, sum.refused[NET_R_IDLE]);
    close(slow);
    close(silent);
    close(idle);
    fixture_close(f);
}

static void set_deaf(struct fixture *f, uint32_t times)
{
    pthread_mutex_lock(&f->lock);
    f->deaf = times;
    pthread_mutex_unlock(&f->lock);
}

static void a_lost_connection_is_told_again_until_all_know(void **state)
{
    (void)state;
    enum {
        PEERS = 5
    };
    struct fixture *f = fixture_open(NULL);
    bool met[WORKERS][PEERS + 1] = {{false}};
    int fds[PEERS];

    set_deaf(f, UINT32_MAX);
    for (unsigned i = 0; i < PEERS; i++)
        fds[i] = peer_connect(f, TCP4);
    wait_connections(f, PEERS);
    for (unsigned i = 0; i < PEERS; i++)
        close(fds[i]);
    poll(NULL, 0, 100); /* they would be gone by then */
    assert_int_equal(0, heard_count(f));
    assert_int_equal(PEERS, sum_counters(f).connections); /* that nobody knows of, they count */

    set_deaf(f, 3);
    wait_heard(f, PEERS);
    wait_connections(f, 0);
    assert_int_equal(PEERS, heard_count(f));
    for (unsigned i = 0; i < PEERS; i++) {
        const struct heard *heard = &f->heard[i];
        assert_int_equal(LOST, heard->what);
        assert_int_equal(heard->worker, heard->conn.worker);
        assert_in_range(heard->conn.id.slot, 0, PEERS);
        assert_false(met[heard->worker][heard->conn.id.slot]);
        met[heard->worker][heard->conn.id.slot] = true;
    }

    set_deaf(f, UINT32_MAX); /* at the end it may be untold */
    int last = peer_connect(f, TCP4);
    wait_connections(f, 1);
    close(last);
    poll(NULL, 0, 50);
    fixture_close(f);
}

static void connections_beyond_the_limit_of_a_source_are_closed(void **state)
{
    (void)state;
    enum {
        LIMIT = 16,
        MORE = 20
    };
    struct net_limits limits = net_limits_default();
    limits.connections_per_source_max = LIMIT;
    struct fixture *f = fixture_open(&limits);
    int fds[LIMIT + MORE];
    unsigned closed = 0;

    /* Whatever the kernel gives to which worker: they share one count. */
    fds[0] = peer_connect(f, TCP4);
    wait_connections(f, 1);
    for (unsigned i = 1; i < COUNT_OF(fds); i++)
        fds[i] = peer_connect(f, TCP4);
    int other = peer_connect(f, TCP6); /* from ::1: another host */
    wait_connections(f, LIMIT + 1);
    wait_refused(f, NET_R_SOURCE, MORE);
    assert_int_equal(LIMIT + 1, sum_counters(f).accepted);
    for (unsigned i = 0; i < COUNT_OF(fds); i++) {
        struct pollfd poller = {.fd = fds[i], .events = POLLIN};
        closed += poll(&poller, 1, 0) == 1;
        close(fds[i]);
    }
    close(other);
    assert_int_equal(MORE, closed);
    wait_connections(f, 0);
    int again = peer_connect(f, TCP4); /* there is room again */
    wait_connections(f, 1);
    close(again);
    fixture_close(f);
}

static void a_peer_that_does_not_read_fills_its_queue_and_is_cut_off(void **state)
{
    (void)state;
    static char big[60000];
    struct net_limits limits = net_limits_default();
    limits.write_queue_bytes = 120000;
    limits.stall_ms = 300;
    struct fixture *f = fixture_open(&limits);
    int fd = peer_connect(f, TCP4);

    memset(big, 'x', sizeof big);
    peer_send(fd, PING);
    struct flow flow = wait_heard(f, 1)->flow;
    struct order order = {
        .to = flow, .bytes = {big, sizeof big}, .repeat = 200}; /* 12 MB: no socket takes that */
    run_order(f, flow.conn.worker, &order);
    unsigned n = 2;
    while (wait_heard(f, n)->what == FAILED)
        n++;
    assert_int_equal(LOST, f->heard[n - 1].what);
    struct net_counters sum = sum_counters(f);
    assert_true(sum.refused[NET_R_WRITE_QUEUE] > 10);
    assert_int_equal(1, sum.refused[NET_R_STALLED]);
    assert_int_equal(sum.refused[NET_R_WRITE_QUEUE] + sum.refused[NET_R_NO_CONNECTION],
                     heard_count(f) - 2);
    close(fd);
    fixture_close(f);
}

static void a_slow_reader_gets_everything_in_order(void **state)
{
    (void)state;
    enum {
        COUNT = 60,
        SIZE = 50000
    };
    static char big[SIZE];
    static char buffer[SIZE];
    struct net_limits limits = net_limits_default();
    limits.write_queue_bytes = COUNT * SIZE;
    struct fixture *f = fixture_open(&limits);
    int fd = peer_connect(f, TCP4);

    for (unsigned i = 0; i < SIZE; i++)
        big[i] = (char)(i % 251);
    peer_send(fd, PING);
    struct flow flow = wait_heard(f, 1)->flow;
    struct order order = {.to = flow, .bytes = {big, sizeof big}, .repeat = COUNT};
    run_order(f, flow.conn.worker, &order);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(SIZE, recv(fd, buffer, SIZE, MSG_WAITALL));
        assert_memory_equal(big, buffer, SIZE);
    }
    assert_int_equal(1, heard_count(f));
    close(fd);
    fixture_close(f);
}

static void what_a_turn_sends_by_one_connection_goes_down_together(void **state)
{
    (void)state;
    enum {
        COUNT = 60,
        SIZE = 700,
        WRITES_MAX = 4, /* 42,000 bytes in steps of 16,384 */
    };
    static char small[SIZE], buffer[SIZE];
    struct fixture *f = fixture_open(NULL);
    int fd = peer_connect(f, TCP4);

    for (unsigned i = 0; i < SIZE; i++)
        small[i] = (char)(i % 251);
    peer_send(fd, PING);
    struct flow flow = wait_heard(f, 1)->flow;
    struct net_counters before = sum_counters(f);
    struct order order = {.to = flow, .bytes = {small, sizeof small}, .repeat = COUNT};
    run_order(f, flow.conn.worker, &order);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(SIZE, recv(fd, buffer, SIZE, MSG_WAITALL));
        assert_memory_equal(small, buffer, SIZE);
    }
    struct net_counters after = sum_counters(f);
    assert_int_equal(COUNT, after.stream_sent - before.stream_sent);
    assert_in_range(after.stream_writes - before.stream_writes, 1, WRITES_MAX);
    close(fd);
    fixture_close(f);
}

#define OPENING                                                                                    \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Sec-WebSocket-Protocol: sip\r\n\r\n"
#define OPENED                                                                                     \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

static int ws_connect(struct fixture *f)
{
    int fd = peer_connect(f, WS4);
    peer_send(fd, OPENING);
    peer_expect(fd, OPENED);
    return fd;
}

/* A frame of less than 126 bytes whose mask changes nothing. */
static void ws_send(int fd, char first, const char *text)
{
    char frame[6 + 125] = {first, (char)(0x80 | strlen(text))};
    assert_true(strlen(text) < 126);
    memcpy(frame + 6, text, strlen(text));
    assert_int_equal(6 + strlen(text), send(fd, frame, 6 + strlen(text), MSG_NOSIGNAL));
}

static void a_websocket_carries_a_message_in_each_frame(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    int fd = ws_connect(f);
    ws_send(fd, '\x81', "one");
    ws_send(fd, '\x01', "tw");
    ws_send(fd, '\x80', "o");
    struct heard *heard = wait_heard(f, 2);
    assert_int_equal(MESSAGE, heard->what);
    assert_int_equal(3, heard->len);
    assert_memory_equal("two", heard->text, 3);
    assert_true(heard->stream);
    assert_int_equal(TRANSPORT_WS, heard->flow.transport);
    ws_send(fd, '\x82', "\r\n\r\n"); /* a keep-alive of SIP's (RFC 7118 §6) */
    peer_expect(fd, "\x81\x02\r\n");

    struct flow to = heard->flow;
    to.flags = FLOW_ONLY_CONN;
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        send_by(f, worker, &to, SLICE("SIP/2.0 200 OK"));
        peer_expect(fd, "\x81\x0eSIP/2.0 200 OK");
    }
    ws_send(fd, '\x88', "\x03\xe8");
    peer_expect(fd, "\x88\x02\x03\xe8");
    peer_expect_end(fd);
    assert_int_equal(LOST, wait_heard(f, 3)->what);
    close(fd);
    /* Nobody is connected to by WebSocket. */
    to = flow_to(TRANSPORT_WS, &f->listeners[WS4].bound);
    send_by(f, 0, &to, SLICE("OPTIONS"));
    assert_int_equal(FAILED, wait_heard(f, 4)->what);
    fixture_close(f);
}

static void a_websocket_is_told_what_is_wrong_before_it_ends(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);
    int fd = peer_connect(f, WS4);
    peer_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    char start[13] = "";
    assert_int_equal(12, recv(fd, start, 12, MSG_WAITALL));
    assert_string_equal("HTTP/1.1 426", start);
    peer_expect_end(fd);
    close(fd);
    wait_refused(f, NET_R_HANDSHAKE, 1);

    fd = ws_connect(f);
    peer_send(fd, "\x81\x01x"); /* without a mask */
    peer_expect(fd, "\x88\x02\x03\xea");
    peer_send(fd, "what nobody reads any more");
    peer_expect_end(fd);
    close(fd);
    wait_refused(f, NET_R_FRAMING, 1);

    fd = ws_connect(f);
    f->refuse = true; /* what the frame holds is not SIP */
    ws_send(fd, '\x81', "hello");
    peer_expect(fd, "\x88\x02\x03\xe9");
    ws_send(fd, '\x88', "\x03\xe9");
    peer_expect_end(fd);
    close(fd);
    wait_connections(f, 0);
    fixture_close(f);
}

static void a_websocket_that_does_not_answer_pings_is_lost(void **state)
{
    (void)state;
    struct net_limits limits = net_limits_default();
    limits.ping_ms = 200;
    limits.first_ms = 300; /* is not asked of who has opened a WebSocket */
    struct fixture *f = fixture_open(&limits);
    int fd = ws_connect(f);
    char ping[3] = "";
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(2, recv(fd, ping, 2, MSG_WAITALL));
        assert_memory_equal("\x89\x00", ping, 2);
        if (n < 2)
            ws_send(fd, '\x8a', "");
    }
    peer_expect_end(fd);
    assert_int_equal(LOST, wait_heard(f, 1)->what);
    assert_int_equal(1, sum_counters(f).refused[NET_R_NO_PONG]);
    assert_int_equal(0, sum_counters(f).refused[NET_R_SLOW_MESSAGE]);
    close(fd);
    fixture_close(f);
}

static void openings_are_handshakes_with_a_limit_of_time_and_number(void **state)
{
    (void)state;
    struct net_limits limits = net_limits_default();
    limits.handshake_ms = 300;
    limits.handshakes_max = 4; /* per worker */
    struct fixture *f = fixture_open(&limits);
    int fds[WORKERS * 4 + 1];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = peer_connect(f, WS4);
        peer_send(fds[i], "GET / HTTP/1.1\r\n");
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        peer_expect_end(fds[i]);
        close(fds[i]);
    }
    struct net_counters counters = sum_counters(f);
    assert_true(counters.refused[NET_R_HANDSHAKES] >= 1);
    assert_int_equal(COUNT_OF(fds),
                     counters.refused[NET_R_HANDSHAKES] + counters.refused[NET_R_SLOW_HANDSHAKE]);
    fixture_close(f);
}

static void memory_is_within_what_was_computed(void **state)
{
    (void)state;
    enum {
        PEERS = 200
    };
    int fds[PEERS];
    struct net_limits limits = net_limits_default();
    limits.memory_max = (size_t)2 << 20; /* a mem takes 1 MiB at once */
    limits.connections_max = 2000;
    const struct loops_config loops = {.workers = WORKERS};
    size_t before = heap_live();
    struct fixture *f = fixture_open(&limits);

    for (unsigned i = 0; i < PEERS; i++) {
        fds[i] = peer_connect(f, TCP4);
        peer_send(fds[i], "OPTIONS sip:a SIP/2.0\r\n"); /* kept until it is whole */
    }
    wait_connections(f, PEERS);
    size_t most = sizeof *f + loops_memory(&loops) + WORKERS * net_memory_max(&limits);
    size_t live = heap_live() - before;
    assert_true(live <= most);
    for (unsigned i = 0; i < PEERS; i++)
        close(fds[i]);
    fixture_close(f);
}

static void the_address_towards_a_peer_is_known(void **state)
{
    (void)state;
    static const struct {
        uint8_t listener;
        const char *remote, *local;
    } cases[] = {
        {UDP_ANY, "127.0.0.9", "127.0.0.1"},
        {UDP_ANY, "127.0.0.9", "127.0.0.1"}, /* from the cache */
        {UDP4, "192.0.2.1", "127.0.0.1"},    /* a bound listener has only one */
        {LISTENER_ANY, "::1", "::1"},
    };
    struct fixture *f = fixture_open(NULL);

    for (unsigned i = 0; i < COUNT_OF(cases); i++) {
        struct addr expected = addr_text_of(cases[i].local);
        struct order order = {.remote = addr_text_of(cases[i].remote)};
        order.to.listener = cases[i].listener;
        run_order(f, 0, &order);
        assert_true(addr_same_host(&expected, &order.local));
        uint16_t port =
            cases[i].listener == LISTENER_ANY ? 0 : f->listeners[cases[i].listener].bound.port;
        assert_int_equal(port, order.local.port);
    }
    fixture_close(f);
}

static void a_taken_port_is_refused_even_if_the_holder_would_share_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_open(NULL);

    for (unsigned i = 0; i < LISTENERS; i++) {
        struct listener again = f->listeners[i];
        struct net_sockets *sockets;
        struct net_problem problem;
        assert_int_equal(ERR_IO, net_sockets_open(&again, 1, WORKERS, &problem, &sockets));
        assert_int_equal(0, problem.listener);
        assert_int_equal(EADDRINUSE, problem.error);
    }
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_are_heard_and_answered_from_where_they_were_sent_to),
        cmocka_unit_test(keepalives_by_udp_are_counted_and_not_handed_over),
        cmocka_unit_test(datagrams_alike_leave_together_and_in_order),
        cmocka_unit_test(a_wildcard_socket_sends_bursts_from_the_address_asked_for),
        cmocka_unit_test(each_datagram_of_a_burst_that_is_refused_is_sent_or_reported),
        cmocka_unit_test(a_queue_in_a_socket_is_measured_and_few_datagrams_are_not),
        cmocka_unit_test(many_datagrams_in_one_turn_all_arrive),
        cmocka_unit_test(a_refused_datagram_is_reported_and_others_still_go_out),
        cmocka_unit_test(what_cannot_be_sent_at_all_is_reported_at_once),
        cmocka_unit_test(a_stream_is_cut_into_messages_and_answered_on_the_same_connection),
        cmocka_unit_test(pings_on_a_stream_are_answered),
        cmocka_unit_test(a_thousand_pings_at_once_are_answered_once),
        cmocka_unit_test(a_lost_framing_hands_over_the_head_and_ends_the_stream_after_the_answer),
        cmocka_unit_test(an_outgoing_connection_is_opened_once_whoever_sends),
        cmocka_unit_test(a_request_written_to_a_peer_that_hangs_up_unheard_has_failed),
        cmocka_unit_test(a_refused_connection_fails_what_was_to_go_over_it),
        cmocka_unit_test(a_peer_that_may_not_be_read_waits_and_loses_nothing),
        cmocka_unit_test(a_slow_sender_and_a_silent_one_are_cut_off),
        cmocka_unit_test(a_lost_connection_is_told_again_until_all_know),
        cmocka_unit_test(connections_beyond_the_limit_of_a_source_are_closed),
        cmocka_unit_test(a_peer_that_does_not_read_fills_its_queue_and_is_cut_off),
        cmocka_unit_test(a_slow_reader_gets_everything_in_order),
        cmocka_unit_test(what_a_turn_sends_by_one_connection_goes_down_together),
        cmocka_unit_test(a_websocket_carries_a_message_in_each_frame),
        cmocka_unit_test(a_websocket_is_told_what_is_wrong_before_it_ends),
        cmocka_unit_test(a_websocket_that_does_not_answer_pings_is_lost),
        cmocka_unit_test(openings_are_handshakes_with_a_limit_of_time_and_number),
        cmocka_unit_test(memory_is_within_what_was_computed),
        cmocka_unit_test(the_address_towards_a_peer_is_known),
        cmocka_unit_test(a_taken_port_is_refused_even_if_the_holder_would_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
