// SPDX-License-Identifier: Apache-2.0
/*
 * phones - many phones, each with a connection of its own that it keeps: it registers by it, is
 * silent, and comes back when the connection is lost.
 *
 *   phones -s ADDRESS:PORT -l ADDRESS -n N [-t tcp|tls] [-a] [-c N] [-A N]
 *
 *   -n N   phones, users 1000000 to 1000000+N-1 (with -a: passwords pwUSER)
 *   -l A   the first of their addresses; -A N phones (500) have one, the next N the next
 *   -t T   tcp or tls (tcp)
 *   -a     answer digest challenges
 *   -c N   as many may be under way at once when they come for the first time (100). When they
 *          lose their connections all come back at once: within -j MS (1,000) each, and after a
 *          failure within twice the time of before, up to 16 s
 *
 * On its standard output: "UP {...}" whenever all are registered, with the seconds since they began
 * or since the first of them lost its connection; a line on its standard input with a number makes
 * it so many phones, and its end ends it.
 */
#define _GNU_SOURCE
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define FIRST_USER  1000000u
#define ANSWER_US   32000000 /* after that a phone gives up and tries anew: Timer F */
#define BACKOFF_MAX 16000000
#define EVENTS      256
#define TEXT        2048

enum {
    IDLE,       /* waits until `due` */
    CONNECTING, /* and shaking hands */
    ASKING,     /* has sent a REGISTER */
    REGISTERED
};

struct phone {
    struct stream stream;
    int state;
    int failures;
    unsigned cseq;
    long long due, lost_at;
};

static struct phone *phones;
static unsigned count, wanted, registered, under_way, at_once = 100, per_address = 500;
static unsigned long long losses, refusals, failures, reconnects;
static int tls, authenticates, events_fd, storm, jitter_ms = 1000;
static char server[64] = "127.0.0.1:5060";
static struct sockaddr_in to, first;
static long long now, begun, slowest;

static void die(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    vfprintf(stderr, format, rest);
    va_end(rest);
    fputc('\n', stderr);
    exit(2);
}

static long long clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static unsigned index_of(const struct phone *phone)
{
    return (unsigned)(phone - phones);
}

static struct sockaddr_in address_of(unsigned n)
{
    struct sockaddr_in at = first;
    at.sin_addr.s_addr = htonl(ntohl(first.sin_addr.s_addr) + n / per_address);
    return at;
}

/* --- Digest ---------------------------------------------------------------------------------- */

static void md5(char out[33], const char *format, ...)
{
    unsigned char hash[16];
    char text[512];
    va_list rest;

    va_start(rest, format);
    int len = vsnprintf(text, sizeof text, format, rest);
    va_end(rest);
    if (!EVP_Q_digest(NULL, "MD5", NULL, text, (size_t)len, hash, NULL))
        die("no MD5");
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* The value of a challenge's parameter, in `out`. */
static int parameter(const char *challenge, const char *name, char *out, size_t size)
{
    char wanted_text[32];
    snprintf(wanted_text, sizeof wanted_text, "%s=\"", name);
    const char *at = strcasestr(challenge, wanted_text);
    if (!at)
        return 0;
    at += strlen(wanted_text);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
    return 1;
}

static void credentials(char *out, size_t size, unsigned user, const char *challenge)
{
    char realm[128], nonce[256], ha1[33], ha2[33], response[33];

    out[0] = 0;
    if (!challenge || !parameter(challenge, "realm", realm, sizeof realm) ||
        !parameter(challenge, "nonce", nonce, sizeof nonce))
        return;
    md5(ha1, "%u:%s:pw%u", user, realm, user);
    md5(ha2, "REGISTER:sip:%s", server);
    md5(response, "%s:%s:00000001:0a4f113b:auth:%s", ha1, nonce, ha2);
    snprintf(out, size,
             "Authorization: Digest username=\"%u\", realm=\"%s\", nonce=\"%s\", uri=\"sip:%s\", "
             "response=\"%s\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"0a4f113b\"\r\n",
             user, realm, nonce, server, response);
}

/* --- A phone's life -------------------------------------------------------------------------- */

static void watch(struct phone *phone, int op)
{
    struct epoll_event event = {.events = stream_wants(&phone->stream),
                                .data.u32 = index_of(phone)};
    if (epoll_ctl(events_fd, op, phone->stream.fd, &event))
        die("epoll: %s", strerror(errno));
}

/* The phone's connection is gone, or never was. */
static void lose(struct phone *phone)
{
    long long within = jitter_ms * 1000LL << (phone->failures < 5 ? phone->failures : 5);

    if (phone->state == REGISTERED) {
        registered--;
        losses++;
        phone->lost_at = now;
        phone->failures = 0;
        within = jitter_ms * 1000LL;
        if (!storm) {
            storm = 1;
            begun = now;
            slowest = 0;
        }
    } else {
        under_way--;
        failures++;
        phone->failures++;
    }
    stream_close(&phone->stream);
    phone->state = IDLE;
    within = within > BACKOFF_MAX ? BACKOFF_MAX : within;
    phone->due = now + 1 + (long long)(random() % within);
}

static void ask(struct phone *phone, const char *challenge)
{
    static char text[TEXT], proof[1024];
    unsigned n = index_of(phone), user = FIRST_USER + n;
    struct sockaddr_in at = address_of(n);
    const char *name = tls ? "tls" : "tcp";
    char host[32];

    snprintf(host, sizeof host, "%s", inet_ntoa(at.sin_addr));
    credentials(proof, sizeof proof, user, challenge);
    int len = snprintf(
        text, sizeof text,
        "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKp%u.%u;rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:%u@%s>;tag=p%u\r\nTo: <sip:%u@%s>\r\nCall-ID: "
        "phone%u.%u@%s\r\n"
        "CSeq: %u REGISTER\r\nContact: <sip:%u@%s:5060;transport=%s>;expires=3600;reg-id=1;"
        "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-%012u>\"\r\n"
        "Supported: path, outbound\r\n%sContent-Length: 0\r\n\r\n",
        server, tls ? "TLS" : "TCP", host, n, phone->cseq, user, server, n, user, server, n,
        (unsigned)getpid(), host, phone->cseq, user, host, name, n, proof);
    phone->cseq++;
    phone->state = ASKING;
    phone->due = now + ANSWER_US;
    if (stream_send(&phone->stream, text, (size_t)len))
        lose(phone);
}

static void step(struct phone *phone)
{
    int result = stream_step(&phone->stream);
    if (result < 0)
        lose(phone);
    else if (result > 0)
        ask(phone, NULL);
    if (phone->state == CONNECTING || phone->state == ASKING)
        watch(phone, EPOLL_CTL_MOD);
}

static void come(struct phone *phone)
{
    struct sockaddr_in from = address_of(index_of(phone));

    under_way++;
    reconnects++;
    phone->state = CONNECTING;
    phone->due = now + ANSWER_US;
    if (stream_begin(&phone->stream, &from, &to, tls)) {
        lose(phone);
        return;
    }
    watch(phone, EPOLL_CTL_ADD);
}

static void on_message(void *user, char *message, size_t len)
{
    struct phone *phone = user;

    (void)len;
    if (phone->state != ASKING)
        return;
    int code = !strncmp(message, "SIP/2.0 ", 8) ? (int)strtol(message + 8, NULL, 10) : 0;
    const char *challenge = strcasestr(message, "\nWWW-Authenticate: Digest");
    if (code == 401 && authenticates && challenge && phone->cseq % 8 != 0) {
        ask(phone, challenge);
    } else if (code == 200) {
        phone->state = REGISTERED;
        under_way--;
        registered++;
        long long took = now - (phone->lost_at ? phone->lost_at : begun);
        slowest = took > slowest ? took : slowest;
    } else if (code >= 200) {
        refusals++;
        phone->stream.ended = 1; /* and comes again */
    }
}

static void serve(struct phone *phone)
{
    if (phone->state == IDLE)
        return;
    if (phone->state == CONNECTING) {
        step(phone);
        return;
    }
    if (stream_read(&phone->stream, on_message, phone) < 0 || phone->stream.ended ||
        stream_flush(&phone->stream))
        lose(phone);
}

/* Those whose time has come. */
static void round_of_all(void)
{
    for (unsigned i = 0; i < wanted; i++) {
        struct phone *phone = &phones[i];
        if (phone->state == IDLE && phone->due <= now && (storm || under_way < at_once))
            come(phone);
        else if (phone->state != IDLE && phone->state != REGISTERED && phone->due <= now)
            lose(phone);
    }
}

static void report(void)
{
    printf("UP {\"registered\": %u, \"seconds\": %.3f, \"slowest\": %.3f, \"lost\": %llu, "
           "\"attempts\": %llu, \"failures\": %llu, \"refusals\": %llu}\n",
           registered, (double)(now - begun) / 1e6, (double)slowest / 1e6, losses, reconnects,
           failures, refusals);
    fflush(stdout);
    losses = reconnects = failures = refusals = 0;
    storm = 0;
}

/* Hears how many are wanted now. False: it is to end. */
static int listen_to_input(void)
{
    struct pollfd input = {.fd = 0, .events = POLLIN};
    char line[64];

    if (poll(&input, 1, 0) <= 0)
        return 1;
    ssize_t got = read(0, line, sizeof line - 1);
    if (got <= 0)
        return 0;
    line[got] = 0;
    unsigned number = (unsigned)strtoul(line, NULL, 10);
    if (number > count)
        die("at most %u phones", count);
    if (number > wanted) {
        wanted = number;
        begun = now;
        slowest = 0;
    }
    return 1;
}

static struct sockaddr_in address(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    char host[64];
    unsigned port = 0;

    if (sscanf(text, "%63[^:]:%u", host, &port) < 1 || inet_pton(AF_INET, host, &at.sin_addr) != 1)
        die("not an address: %s", text);
    at.sin_port = htons((uint16_t)port);
    return at;
}

int main(int argc, char **argv)
{
    const char *from = "127.0.0.1";
    int option, told = 0;

    while ((option = getopt(argc, argv, "s:l:n:t:ac:A:j:")) != -1)
        switch (option) {
        case 's':
            snprintf(server, sizeof server, "%s", optarg);
            break;
        case 'l':
            from = optarg;
            break;
        case 'n':
            count = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 't':
            tls = !strcmp(optarg, "tls");
            break;
        case 'a':
            authenticates = 1;
            break;
        case 'c':
            at_once = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'A':
            per_address = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'j':
            jitter_ms = (int)strtol(optarg, NULL, 10);
            break;
        default:
            die("see the head of phones.c");
        }
    to = address(server);
    first = address(from);
    phones = calloc(count, sizeof *phones);
    events_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!phones || events_fd < 0 || (tls && stream_use_tls()))
        die("no memory");
    for (unsigned i = 0; i < count; i++)
        phones[i].stream.fd = -1, phones[i].cseq = 1;
    signal(SIGPIPE, SIG_IGN);
    begun = now = clock_us();
    for (long long next = 0; listen_to_input();) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(events_fd, events, EVENTS, 10);
        now = clock_us();
        for (int i = 0; i < n; i++)
            serve(&phones[events[i].data.u32]);
        if (now >= next) {
            round_of_all();
            next = now + 5000;
        }
        int up = wanted > 0 && registered == wanted;
        if (up && !told)
            report();
        told = up;
    }
    return 0;
}
