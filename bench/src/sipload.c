// SPDX-License-Identifier: Apache-2.0
/*
 * sipload - small single-threaded SIP load generator (UAC + UAS) over UDP, TCP or TLS.
 *
 * Messages are precompiled templates; sockets are drained with recvmmsg and
 * filled with sendmmsg, so one core of sipload outruns any SIP proxy that
 * does real work.  Requests are retransmitted (T1, doubling); every
 * retransmission, time-out and unexpected answer is counted.
 *
 *   sipload -m options  -n 100000 -w 64
 *   sipload -m register -n 100000 -N 100000 -w 64 [-a]     (-a: digest)
 *   sipload -m call     -n 50000 -N 10000 -r 1000 -H 100   [-a]
 *
 *   -m M   options, register or call
 *   -n N   how many in all
 *   -N N   users 1000000..1000000+N-1; -F U: from user U instead
 *   -a     answer digest challenges; -p PREFIX of the passwords
 *   -r R   open loop, R new calls (transactions) each second
 *   -w W   closed loop, at most W pending transactions (default 64)
 *          Both may be given: then W is an upper bound on the open loop.
 *   -H MS  a call lasts that long
 *   -R MS  the callee rings that long
 *   -W MS  keep all calls up, wait, then end them
 *   -P P   P source ports on each side, from those of -l and -u upwards (then of 5 digits)
 *   -I N   N phones' addresses, from that of -l upwards: last byte 100 to 249, then the next
 *          third byte; user U has address U % N, -l and -u give the ports
 *   -s -l -u ADDRESS:PORT   the server, the caller, the callee
 *   -C A:P the callee's Contact, if another
 *   -x S   expiry of registrations
 *   -T MS  T1
 *   -S N   calls at once, at most
 *   -A     callees repeat a 200 until its ACK comes, as phones do (for servers that drop packets)
 *   -E     end at the first retransmission or failure
 *   -U     only the callee
 *   -t T   over T, tcp or tls, for -m call: P connections on each side (-P, up to 1000) that stay
 *          for the whole run, from the ports of -l and -u upwards. The callees register first,
 *          by the connections that the calls will come by. Then, with -g, it says READY and
 *          waits for a line on its standard input
 *   -G     sends those of a batch that are alike in length as one burst (UDP_SEGMENT), so that the
 *          generator costs less; the server receives single datagrams all the same
 *
 * What became of the calls, in the JSON line at the end: done, and failed, which consists of
 * refused (503), rejected (another final answer), stalled (a provisional answer only, or no answer
 * to the BYE) and unanswered (nothing came back).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define BATCH       64 /* at most: a word of bits, and what UDP_SEGMENT takes */
#define MSGSZ       4096
#define NRTX        6
#define DLGSZ       720
#define PORTS_MAX   64
#define STREAMS_MAX 1000

enum {
    M_OPTIONS,
    M_REGISTER,
    M_CALL
};
enum {
    S_FREE,
    S_REQ,
    S_PROV,
    S_HOLD,
    S_BYE
};

struct call {
    uint32_t seq;  /* generation; part of the Call-ID */
    uint32_t user; /* callee */
    uint32_t cseq;
    uint8_t state, authed, acked;
    uint16_t dlglen[3]; /* remote target, routes, To */
    int64_t t0;
    char *dlg; /* dialog strings, or Authorization header */
};
struct tmpl {
    char b[2048];
    int len;
    struct {
        uint16_t off;
        uint8_t kind;
    } p[16];
    int np;
};
struct tev {
    uint32_t slot, seq;
    int64_t due;
    uint8_t state, authed;
};
struct fifo {
    struct tev *v;
    uint32_t cap, h, t;
};
struct txq {
    int fd;
    struct mmsghdr m[BATCH];
    struct iovec iov[BATCH];
    char buf[BATCH][MSGSZ];
    struct sockaddr_in to[BATCH];
    _Alignas(8) char from[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))]; /* with -I */
    int n;
    struct stream stream; /* with -t; `buf` is then filled from its front, `used` bytes */
    size_t used;
};
struct dly {
    int64_t due;
    struct sockaddr_in to;
    uint32_t slot, seq, port;
    int len, repeat; /* repeat: how often it was sent already, -1: sent once only */
    char *msg;
};

static int mode = M_CALL, use_auth, reg_expires = 3600, ring_ms, users = 10000, hold_only;
static int64_t hold_us = 100000, t1_us = 500000, hold_wait_us;
static uint32_t ports = 1, addresses = 1, uac_port, uas_port;
static uint32_t first_user = 1000000;
static int uas_repeats, strict, bursts;
static enum {
    UDP,
    TCP,
    TLS
} transport;
static int waits_for_go;
static const char *const transport_names[] = {"UDP", "TCP", "TLS"};
static const char *const transport_params[] = {"", ";transport=tcp", ";transport=tls"};
static uint64_t total = 10000;
static double rate;
static int window = 64, nslots = 0;
static char srv[64] = "127.0.0.1:5060", uac[80] = "127.0.0.1:7060", uas[64] = "127.0.0.1:7070",
            contact_uas[80] = "";
static const char *pwprefix = "pw";
static struct sockaddr_in srv_sa, uac_sa, uas_sa;
static struct call *calls;
static uint32_t *freeslots, nfree;
static struct fifo rtx[NRTX], holdq;
static struct txq *txc, *txs; /* one per port */
static struct tmpl t_req, t_rest, t_hdr, t_mid, t_byehdr;
static struct later {
    struct dly *v;
    uint32_t cap, h, t;
} delayed[NRTX + 1];
static struct {
    uint64_t started, done, failed, retrans, tx, rx, prov, unexpected, badcode, uas_inv, uas_ack,
        uas_bye, uas_rtx, tx_err, chal, refused, rejected, stalled, unanswered;
} st;
static uint64_t inflight, live, peak_live;
static uint32_t seq0, cseq0;
static int last_code; /* of a final answer other than 200 */
static volatile sig_atomic_t stop;
static int64_t now;
#define HB 40
static uint64_t hist[HB * 16];

static int64_t clk(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}
static void die(const char *f, ...)
{
    va_list a;
    va_start(a, f);
    vfprintf(stderr, f, a);
    va_end(a);
    fputc('\n', stderr);
    exit(2);
}

/* --- digest authentication --- */
static void md5hex(char out[33], const char *text, size_t len)
{
    unsigned char hash[16];
    if (!EVP_Q_digest(NULL, "MD5", NULL, text, len, hash, NULL))
        die("no MD5");
    for (int i = 0; i < 16; i++) {
        out[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
    out[32] = 0;
}

/* --- templates: runs of \1 callee (7), \2 caller (7), \3 id (16), \4 CSeq (10), \5 caller's port
   (5), \6 callee's port (5), \7 CSeq of a call (1) and of the branch that goes with it --- */
#define CALLEE "\1\1\1\1\1\1\1"
#define CALLER "\2\2\2\2\2\2\2"
#define ID     "\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3\3"
#define CSEQ   "\4\4\4\4\4\4\4\4\4\4"
static void compile(struct tmpl *t, const char *fmt, ...)
{
    static const int w[8] = {0, 7, 7, 16, 10, 5, 5, 1};
    va_list a;
    va_start(a, fmt);
    t->len = vsnprintf(t->b, sizeof t->b, fmt, a);
    va_end(a);
    if (t->len >= (int)sizeof t->b)
        die("template too long");
    t->np = 0;
    for (int i = 0; i < t->len;) {
        int k = t->b[i];
        if (k >= 1 && k <= 7) {
            if (t->np == 16)
                die("too many fields");
            t->p[t->np].off = i;
            t->p[t->np++].kind = k;
            i += w[k];
        } else
            i++;
    }
}
static inline void dec(char *p, uint32_t v, int n)
{
    while (n--) {
        p[n] = '0' + v % 10;
        v /= 10;
    }
}
static inline void hex8(char *p, uint32_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 4)
        p[i] = "0123456789abcdef"[v & 15];
}
static inline int unhex8(const char *p, uint32_t *v)
{
    uint32_t r = 0;
    for (int i = 0; i < 8; i++) {
        int c = p[i];
        c = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (c < 0)
            return -1;
        r = r << 4 | c;
    }
    *v = r;
    return 0;
}
/* --- which of our ports or addresses --- */
#define PER_NET 150
static inline uint32_t caller_of(const struct call *c)
{
    return mode == M_REGISTER ? c->user : (c->user + 17) % (uint32_t)users;
}
static struct in_addr nth_address(uint32_t n)
{
    uint32_t first = ntohl(uac_sa.sin_addr.s_addr);
    return (struct in_addr){htonl(first + n / PER_NET * 256 + n % PER_NET)};
}
static uint32_t index_of(struct in_addr address)
{
    uint32_t more = ntohl(address.s_addr) - ntohl(uac_sa.sin_addr.s_addr);
    return (more / 256 * PER_NET + more % 256) % addresses;
}
static inline void put_local(char *p, uint32_t port, uint32_t n) /* 5 characters */
{
    if (addresses == 1) {
        dec(p, port + n, 5);
        return;
    }
    uint32_t address = ntohl(nth_address(n).s_addr);
    *p = (char)('0' + (address >> 8 & 255));
    p[1] = '.';
    dec(p + 2, address & 255, 3);
}
static inline char *emit(char *o, const struct tmpl *t, const struct call *c, uint32_t slot)
{
    memcpy(o, t->b, t->len);
    for (int i = 0; i < t->np; i++) {
        char *p = o + t->p[i].off;
        switch (t->p[i].kind) {
        case 1:
            dec(p, first_user + c->user, 7);
            break;
        case 2:
            dec(p, first_user + (c->user + 17) % users, 7);
            break;
        case 3:
            hex8(p, c->seq);
            hex8(p + 8, slot);
            break;
        case 4:
            dec(p, c->cseq, 10);
            break;
        case 5:
            put_local(p, uac_port, addresses > 1 ? caller_of(c) % addresses : slot % ports);
            break;
        case 6:
            put_local(p, uas_port, c->user % (addresses > 1 ? addresses : ports));
            break;
        case 7:
            *p = '0' + c->cseq;
            break;
        }
    }
    return o + t->len;
}
static inline char *cat(char *o, const char *s, size_t n)
{
    memcpy(o, s, n);
    return o + n;
}

/* --- output queue --- */
static void send_all(int fd, struct mmsghdr *m, int n, uint64_t packets)
{
    for (int i = 0; i < n;) {
        int r = sendmmsg(fd, m + i, n - i, 0);
        if (r < 0) {
            if (errno == EINTR)
                continue;
            st.tx_err++;
            i++;
            continue;
        }
        i += r;
    }
    st.tx += packets;
}
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#define BURST_BYTES 60000
static int same_target(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}
/* Gathers what is alike in target and length; the kernel cuts each burst into its datagrams */
static void flush_bursts(struct txq *q)
{
    static struct mmsghdr m[BATCH];
    static struct iovec iov[BATCH];
    static _Alignas(8) char control[BATCH][CMSG_SPACE(sizeof(uint16_t))];
    uint64_t taken = 0; /* a bit for each of the queue */
    int n = 0, used = 0;
    for (int i = 0; i < q->n; i++) {
        if (taken >> i & 1)
            continue;
        size_t len = q->iov[i].iov_len, bytes = 0;
        int first = used;
        for (int j = i; j < q->n && bytes + len <= BURST_BYTES; j++) {
            if (taken >> j & 1 || q->iov[j].iov_len != len || !same_target(&q->to[i], &q->to[j]))
                continue;
            taken |= 1ULL << j;
            iov[used++] = q->iov[j];
            bytes += len;
        }
        m[n].msg_hdr = (struct msghdr){.msg_name = &q->to[i],
                                       .msg_namelen = sizeof q->to[i],
                                       .msg_iov = iov + first,
                                       .msg_iovlen = used - first};
        if (used - first > 1) {
            struct cmsghdr *c = (struct cmsghdr *)control[n];
            uint16_t segment = len;
            *c = (struct cmsghdr){CMSG_LEN(sizeof segment), IPPROTO_UDP, UDP_SEGMENT};
            memcpy(CMSG_DATA(c), &segment, sizeof segment);
            m[n].msg_hdr.msg_control = control[n];
            m[n].msg_hdr.msg_controllen = sizeof control[n];
        }
        n++;
    }
    send_all(q->fd, m, n, q->n);
}
static void flush(struct txq *q)
{
    if (transport != UDP) {
        if (stream_send(&q->stream, q->buf[0], q->used))
            die("a connection was lost");
        q->used = 0;
        st.tx += (uint64_t)q->n;
    } else if (bursts)
        flush_bursts(q);
    else
        send_all(q->fd, q->m, q->n, q->n);
    q->n = 0;
}
static void flush_all(void)
{
    for (uint32_t i = 0; i < ports; i++) {
        if (txc[i].n)
            flush(&txc[i]);
        if (txs[i].n)
            flush(&txs[i]);
    }
}
static inline char *txbuf(struct txq *q)
{
    if (q->n == BATCH)
        flush(q);
    return transport == UDP ? q->buf[q->n] : q->buf[0] + q->used;
}
static inline void txcommit(struct txq *q, size_t len, const struct sockaddr_in *to, uint32_t local)
{
    if (transport != UDP) {
        q->used += len;
        q->n++;
        return;
    }
    q->iov[q->n].iov_len = len;
    q->to[q->n] = *to;
    if (addresses > 1) {
        struct cmsghdr *c = (struct cmsghdr *)q->from[q->n];
        struct in_pktinfo info = {.ipi_spec_dst = nth_address(local)};
        *c = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(c), &info, sizeof info);
    }
    q->n++;
}

static void fpush(struct fifo *f, uint32_t slot, uint8_t state, int64_t due)
{
    if (f->t - f->h == f->cap) {
        uint32_t nc = f->cap ? f->cap * 2 : 4096;
        struct tev *nv = malloc(nc * sizeof *nv);
        for (uint32_t i = f->h; i != f->t; i++)
            nv[i & (nc - 1)] = f->v[i & (f->cap - 1)];
        free(f->v);
        f->v = nv;
        f->cap = nc;
    }
    f->v[f->t++ & (f->cap - 1)] =
        (struct tev){slot, calls[slot].seq, due, state, calls[slot].authed};
}

/* --- UAC --- */
static void send_req(uint32_t slot) /* OPTIONS, REGISTER, INVITE */
{
    struct call *c = &calls[slot];
    struct txq *q = &txc[slot % ports];
    char *b = txbuf(q), *o = b;
    o = emit(o, &t_req, c, slot);
    if (c->authed)
        o = cat(o, c->dlg, c->dlglen[0]);
    o = cat(o, t_rest.b, t_rest.len);
    txcommit(q, o - b, &srv_sa, caller_of(&calls[slot]) % addresses);
}
static void send_dlg(uint32_t slot, int bye)
{
    struct call *c = &calls[slot];
    struct txq *q = &txc[slot % ports];
    char *b = txbuf(q), *o = b;
    o = bye ? cat(o, "BYE ", 4) : cat(o, "ACK ", 4);
    o = cat(o, c->dlg, c->dlglen[0]);
    o = emit(o, bye ? &t_byehdr : &t_hdr, c, slot);
    o = cat(o, c->dlg + c->dlglen[0], c->dlglen[1]);
    o = cat(o, c->dlg + c->dlglen[0] + c->dlglen[1], c->dlglen[2]);
    o = emit(o, &t_mid, c, slot);
    o = cat(o, "CSeq: ", 6);
    *o++ = '0' + c->cseq + !!bye;
    o = cat(o, bye ? " BYE\r\nContent-Length: 0\r\n\r\n" : " ACK\r\nContent-Length: 0\r\n\r\n", 27);
    txcommit(q, o - b, &srv_sa, caller_of(&calls[slot]) % addresses);
}
/* ACK of a final answer other than 200 (RFC 3261 17.1.1.3), made of nothing but that answer */
static void send_failure_ack(const char *m, int len, uint32_t slot)
{
    struct txq *q = &txc[slot % ports];
    char *b = txbuf(q), *o = b;
    const char *e = m + len, *to = memmem(m, len, "\nTo: <", 6), *end;
    if (!to || !(end = memchr(to, '>', e - to)) || end - to > 200)
        return;
    o = cat(o, "ACK ", 4);
    o = cat(o, to + 6, end - to - 6);
    o = cat(o, " SIP/2.0\r\nMax-Forwards: 70\r\n", 28);
    for (const char *p = memchr(m, '\n', len); p && p + 1 < e;) {
        p++;
        const char *nl = memchr(p, '\n', e - p);
        if (!nl || *p == '\r')
            break;
        if (!strncmp(p, "Via: ", 5) || !strncmp(p, "From: ", 6) || !strncmp(p, "To: ", 4) ||
            !strncmp(p, "Call-ID: ", 9))
            o = cat(o, p, nl + 1 - p);
        else if (!strncmp(p, "CSeq: ", 6)) {
            o = cat(o, p, strcspn(p + 6, " ") + 6);
            o = cat(o, " ACK\r\n", 6);
        }
        p = nl;
    }
    o = cat(o, "Content-Length: 0\r\n\r\n", 21);
    txcommit(q, o - b, &srv_sa, caller_of(&calls[slot]) % addresses);
}
static void new_call(void)
{
    uint32_t slot;
    if (mode == M_REGISTER) {
        slot = st.started % users;
        if (calls[slot].state != S_FREE)
            return;
    } else {
        if (!nfree)
            return;
        slot = freeslots[--nfree];
    }
    struct call *c = &calls[slot];
    c->seq = mode == M_REGISTER ? 0x5e6 : seq0 + (uint32_t)st.started;
    c->user = mode == M_REGISTER
                  ? slot
                  : (uint32_t)(((uint64_t)((uint32_t)st.started * 2654435761u) * users) >> 32);
    c->cseq = mode == M_REGISTER ? cseq0 + 2 * (uint32_t)(st.started / users) : 1;
    c->state = S_REQ;
    c->authed = c->acked = 0;
    c->t0 = now;
    st.started++;
    inflight++;
    live++;
    if (live > peak_live)
        peak_live = live;
    send_req(slot);
    fpush(&rtx[0], slot, S_REQ, now + t1_us);
}
static void end_call(uint32_t slot, int ok)
{
    struct call *c = &calls[slot];
    if (c->state != S_HOLD)
        inflight--;
    live--;
    c->state = S_FREE;
    if (ok)
        st.done++;
    else
        st.failed++;
    if (mode != M_REGISTER)
        freeslots[nfree++] = slot;
}
static void lat(int64_t us)
{
    int e = 0;
    uint64_t v = us < 1 ? 1 : us;
    while (v >> (e + 1))
        e++;
    int s = e >= 4 ? (v >> (e - 4)) & 15 : (v << (4 - e)) & 15;
    hist[e * 16 + s]++;
}
static double pct(double p)
{
    uint64_t tot = 0, a = 0;
    for (int i = 0; i < HB * 16; i++)
        tot += hist[i];
    for (int i = 0; i < HB * 16; i++) {
        a += hist[i];
        if (tot && a >= p * tot)
            return (double)(1ULL << (i / 16)) * (1 + (i % 16 + 0.5) / 16);
    }
    return 0;
}
static const char *qparam(const char *h, const char *e, const char *name, int *len)
{
    size_t n = strlen(name);
    for (const char *p = h; p + n + 1 < e; p++)
        if (!strncasecmp(p, name, n) && p[n] == '=' && (p[-1] == ' ' || p[-1] == ',')) {
            p += n + 1;
            const char *q;
            if (*p == '"') {
                p++;
                q = memchr(p, '"', e - p);
            } else {
                for (q = p; q < e && *q != ',' && *q != '\r'; q++)
                    ;
            }
            if (!q)
                return NULL;
            *len = q - p;
            return p;
        }
    return NULL;
}
static void do_auth(uint32_t slot, const char *h, const char *e, int proxy)
{
    struct call *c = &calls[slot];
    char ha1[33], ha2[33], resp[33], t[512], uri[80];
    int lr, ln, lq = 0, lo = 0;
    const char *realm = qparam(h, e, "realm", &lr), *nonce = qparam(h, e, "nonce", &ln),
               *qop = qparam(h, e, "qop", &lq), *opq = qparam(h, e, "opaque", &lo);
    if (!realm || !nonce) {
        end_call(slot, 0);
        return;
    }
    uint32_t u = first_user + (mode == M_CALL ? (c->user + 17) % users : c->user);
    if (mode == M_CALL)
        snprintf(uri, sizeof uri, "sip:%u@%s", first_user + c->user, srv);
    else
        snprintf(uri, sizeof uri, "sip:%s", srv);
    md5hex(ha1, t, snprintf(t, sizeof t, "%u:%.*s:%s%u", u, lr, realm, pwprefix, u));
    md5hex(ha2, t, snprintf(t, sizeof t, "%s:%s", mode == M_CALL ? "INVITE" : "REGISTER", uri));
    if (qop)
        md5hex(resp, t,
               snprintf(t, sizeof t, "%s:%.*s:00000001:0a4f113b:auth:%s", ha1, ln, nonce, ha2));
    else
        md5hex(resp, t, snprintf(t, sizeof t, "%s:%.*s:%s", ha1, ln, nonce, ha2));
    if (!c->dlg)
        c->dlg = malloc(DLGSZ);
    int n = snprintf(c->dlg, DLGSZ,
                     "%s: Digest username=\"%u\", realm=\"%.*s\", nonce=\"%.*s\", "
                     "uri=\"%s\", response=\"%s\", algorithm=MD5",
                     proxy ? "Proxy-Authorization" : "Authorization", u, lr, realm, ln, nonce, uri,
                     resp);
    if (qop)
        n += snprintf(c->dlg + n, DLGSZ - n, ", qop=auth, nc=00000001, cnonce=\"0a4f113b\"");
    if (opq)
        n += snprintf(c->dlg + n, DLGSZ - n, ", opaque=\"%.*s\"", lo, opq);
    n += snprintf(c->dlg + n, DLGSZ - n, "\r\n");
    c->dlglen[0] = n;
    c->authed = 1;
    c->state = S_REQ;
    c->cseq++;
    send_req(slot);
    fpush(&rtx[0], slot, S_REQ, now + t1_us);
}
static void on_response(char *m, int len)
{
    st.rx++;
    if (len < 16 || memcmp(m, "SIP/2.0 ", 8)) {
        st.unexpected++;
        return;
    }
    int code = (m[8] - '0') * 100 + (m[9] - '0') * 10 + m[10] - '0';
    char *id = memmem(m, len, "\nCall-ID: ", 10), *cs = memmem(m, len, "\nCSeq: ", 7), *e = m + len;
    uint32_t seq, slot;
    if (!id || !cs || id + 26 > e || unhex8(id + 10, &seq) || unhex8(id + 18, &slot) ||
        slot >= (uint32_t)nslots) {
        st.unexpected++;
        return;
    }
    if (code >= 300)
        last_code = code;
    if (code >= 300 && mode == M_CALL && memmem(cs, e - cs, " INVITE", 7) == strchr(cs + 7, ' '))
        send_failure_ack(m, len, slot);
    if (calls[slot].seq != seq || calls[slot].state == S_FREE) {
        st.unexpected++;
        return;
    }
    struct call *c = &calls[slot];
    uint32_t cseq = strtoul(cs + 7, &cs, 10);
    int is_bye = !memcmp(cs, " BYE", 4);
    if (code < 200) {
        st.prov++;
        if (c->state == S_REQ && mode == M_CALL)
            c->state = S_PROV;
        return;
    }
    if (is_bye) {
        if (c->state != S_BYE) {
            st.unexpected++;
            return;
        }
        if (code != 200)
            st.badcode++, st.rejected++;
        end_call(slot, code == 200);
        return;
    }
    if (c->state == S_HOLD || c->state == S_BYE) { /* retransmitted 200: answer with ACK again */
        if (code == 200) {
            st.unexpected++;
            send_dlg(slot, 0);
        }
        return;
    }
    if (cseq != c->cseq) {
        st.unexpected++;
        return;
    }
    if ((code == 401 || code == 407) && use_auth && !c->authed) {
        char *h = memmem(m, len, code == 401 ? "\nWWW-Authenticate:" : "\nProxy-Authenticate:",
                         code == 401 ? 18 : 20);
        st.chal++;
        if (!h) {
            end_call(slot, 0);
            return;
        }
        char *he = memchr(h + 1, '\n', e - h - 1);
        do_auth(slot, h, he ? he : e, code == 407);
        return;
    }
    if (code == 503)
        st.refused++;
    else if (code != 200)
        st.rejected++;
    if (mode != M_CALL || code != 200) {
        if (mode != M_CALL)
            lat(now - c->t0);
        st.badcode += code != 200;
        end_call(slot, code == 200);
        return;
    }
    lat(now - c->t0);
    /* 200 to INVITE: save remote target, route set (reversed), To */
    if (!c->dlg)
        c->dlg = malloc(DLGSZ);
    char *rr[8];
    int rl[8], nrr = 0;
    char *ct = NULL, *to = NULL;
    int ctl = 0, tol = 0;
    for (char *p = memchr(m, '\n', len); p && p + 1 < e;) {
        p++;
        char *nl = memchr(p, '\n', e - p);
        if (!nl || *p == '\r')
            break;
        if (!strncasecmp(p, "Record-Route: ", 14) && nrr < 8) {
            rr[nrr] = p + 14;
            rl[nrr++] = nl - p - 15;
        } else if (!strncasecmp(p, "Contact: ", 9)) {
            char *a = memchr(p, '<', nl - p), *b = a ? memchr(a, '>', nl - a) : NULL;
            if (b)
                ct = a + 1, ctl = b - a - 1;
        } else if (!strncasecmp(p, "To: ", 4))
            to = p, tol = nl + 1 - p;
        p = nl;
    }
    if (!ct || !to) {
        st.badcode++, st.rejected++;
        end_call(slot, 0);
        return;
    }
    char *o = c->dlg, *lim = c->dlg + DLGSZ;
    if (ctl + tol + 64 > DLGSZ)
        die("dialog too long");
    o = cat(o, ct, ctl);
    c->dlglen[0] = ctl;
    char *r0 = o;
    for (int i = nrr - 1; i >= 0; i--) {
        if (o + 9 + rl[i] + tol > lim)
            die("route set too long");
        o = cat(o, "Route: ", 7);
        o = cat(o, rr[i], rl[i]);
        o = cat(o, "\r\n", 2);
    }
    c->dlglen[1] = o - r0;
    o = cat(o, to, tol);
    c->dlglen[2] = tol;
    send_dlg(slot, 0);
    inflight--;
    c->state = S_HOLD;
    if (!hold_only)
        fpush(&holdq, slot, S_HOLD, now + hold_us);
    else if (hold_us)
        fpush(&holdq, slot, S_HOLD, INT64_MAX);
}

/* --- what callees send later: lists ordered by time, [0] by the ringing time, [n] the nth
 * repetition --- */
static void later(struct later *list, const struct dly *d)
{
    if (list->t - list->h == list->cap) {
        uint32_t cap = list->cap ? list->cap * 2 : 4096;
        struct dly *v = malloc(cap * sizeof *v);
        for (uint32_t i = list->h; i != list->t; i++)
            v[i & (cap - 1)] = list->v[i & (list->cap - 1)];
        free(list->v);
        list->v = v;
        list->cap = cap;
    }
    list->v[list->t++ & (list->cap - 1)] = *d;
}
static void send_delayed(int n)
{
    struct later *list = &delayed[n];
    while (list->h != list->t && list->v[list->h & (list->cap - 1)].due <= now) {
        struct dly d = list->v[list->h++ & (list->cap - 1)];
        const struct call *c = &calls[d.slot];
        int wanted = d.repeat <= 0 || (c->seq == d.seq && !c->acked && c->state != S_FREE);
        if (wanted) {
            char *b = txbuf(&txs[d.port % ports]);
            memcpy(b, d.msg, d.len);
            txcommit(&txs[d.port % ports], d.len, &d.to, d.port);
            st.uas_rtx += d.repeat > 0;
        }
        if (!wanted || d.repeat < 0 || n == NRTX) {
            free(d.msg);
            continue;
        }
        d.repeat++;
        d.due = now + (t1_us << (n < 3 ? n : 3)); /* T2 is 4 s */
        later(&delayed[n + 1], &d);
    }
}

/* --- UAS: stateless; the answer copies Via, Record-Route, From, To, Call-ID, CSeq --- */
static struct {
    char text[512];
    int len;
} * sdp200; /* one per port, for its Contact */
static void uas_reply(const char *m, int len, const struct sockaddr_in *from, uint32_t port,
                      const char *line, int linelen, int sdp, int64_t delay)
{
    char *b, *o;
    static char tmp[MSGSZ];
    b = delay ? tmp : txbuf(&txs[port % ports]);
    o = cat(b, line, linelen);
    const char *e = m + len, *id = NULL;
    for (const char *p = memchr(m, '\n', len); p && p + 1 < e;) {
        p++;
        const char *nl = memchr(p, '\n', e - p);
        if (!nl || *p == '\r')
            break;
        int n = nl + 1 - p;
        switch (*p | 32) {
        case 'v':
            if (!strncasecmp(p, "Via:", 4))
                o = cat(o, p, n);
            break;
        case 'r':
            if (!strncasecmp(p, "Record-Route:", 13))
                o = cat(o, p, n);
            break;
        case 'f':
            if (!strncasecmp(p, "From:", 5))
                o = cat(o, p, n);
            break;
        case 'c':
            if (!strncasecmp(p, "CSeq:", 5))
                o = cat(o, p, n);
            else if (!strncasecmp(p, "Call-ID:", 8)) {
                id = p + 9;
                o = cat(o, p, n);
            }
            break;
        case 't':
            if (!strncasecmp(p, "To:", 3)) {
                if (memmem(p, n, ";tag=", 5))
                    o = cat(o, p, n);
                else {
                    o = cat(o, p, n - 2);
                    o = cat(o, ";tag=uas", 8);
                    char *x = o;
                    o += 16;
                    o = cat(o, "\r\n", 2);
                    const char *ci = id ? id : memmem(m, len, "\nCall-ID: ", 10);
                    if (ci && !id)
                        ci += 10;
                    if (ci)
                        memcpy(x, ci, 16);
                    else
                        memset(x, 'z', 16);
                }
            }
            break;
        }
        p = nl;
    }
    if (sdp)
        o = cat(o, sdp200[port].text, sdp200[port].len);
    else
        o = cat(o, "Content-Length: 0\r\n\r\n", 21);
    if (!delay) {
        txcommit(&txs[port % ports], o - b, from, port);
        return;
    }
    struct dly d = {.due = now + delay, .to = *from, .port = port, .len = o - b, .repeat = -1};
    const char *ci = memmem(tmp, d.len, "\nCall-ID: ", 10);
    if (sdp && uas_repeats && ci && !unhex8(ci + 10, &d.seq) && !unhex8(ci + 18, &d.slot) &&
        d.slot < (uint32_t)nslots)
        d.repeat = 0;
    d.msg = malloc(d.len);
    memcpy(d.msg, tmp, d.len);
    later(&delayed[0], &d);
}
static void on_uas(char *m, int len, const struct sockaddr_in *from, uint32_t port)
{
    st.rx++;
    if (!memcmp(m, "INVITE ", 7)) {
        st.uas_inv++;
        uas_reply(m, len, from, port, "SIP/2.0 180 Ringing\r\n", 21, 0, 0);
        uas_reply(m, len, from, port, "SIP/2.0 200 OK\r\n", 16, 1, ring_ms * 1000LL);
    } else if (!memcmp(m, "ACK ", 4)) {
        const char *id = uas_repeats ? memmem(m, len, "\nCall-ID: ", 10) : NULL;
        uint32_t seq, slot;
        st.uas_ack++;
        if (id && !unhex8(id + 10, &seq) && !unhex8(id + 18, &slot) && slot < (uint32_t)nslots &&
            calls[slot].seq == seq)
            calls[slot].acked = 1;
    } else if (!memcmp(m, "BYE ", 4)) {
        st.uas_bye++;
        uas_reply(m, len, from, port, "SIP/2.0 200 OK\r\n", 16, 0, 0);
    } else if (!memcmp(m, "OPTIONS ", 8))
        uas_reply(m, len, from, port, "SIP/2.0 200 OK\r\n", 16, 0, 0);
    else
        st.unexpected++;
}

static void timers(void)
{
    for (int n = 0; n <= NRTX; n++)
        send_delayed(n);
    while (holdq.h != holdq.t && holdq.v[holdq.h & (holdq.cap - 1)].due <= now) {
        struct tev e = holdq.v[holdq.h++ & (holdq.cap - 1)];
        struct call *c = &calls[e.slot];
        if (c->seq != e.seq || c->state != S_HOLD)
            continue;
        c->state = S_BYE;
        inflight++;
        send_dlg(e.slot, 1);
        fpush(&rtx[0], e.slot, S_BYE, now + t1_us);
    }
    for (int i = 0; i < NRTX; i++)
        while (rtx[i].h != rtx[i].t && rtx[i].v[rtx[i].h & (rtx[i].cap - 1)].due <= now) {
            struct tev e = rtx[i].v[rtx[i].h++ & (rtx[i].cap - 1)];
            struct call *c = &calls[e.slot];
            if (c->seq != e.seq || c->state == S_FREE || c->state == S_HOLD ||
                c->authed != e.authed || (e.state == S_REQ && c->state == S_BYE))
                continue;
            if (i == NRTX - 1) {
                if (c->state == S_REQ)
                    st.unanswered++;
                else
                    st.stalled++;
                end_call(e.slot, 0);
                continue;
            }
            if (c->state != S_PROV) {
                st.retrans++;
                if (c->state == S_BYE)
                    send_dlg(e.slot, 1);
                else
                    send_req(e.slot);
            }
            fpush(&rtx[i + 1], e.slot, e.state, now + (t1_us << (i + 1)));
        }
}

static void addr(const char *s, struct sockaddr_in *sa)
{
    char h[64];
    int p;
    if (sscanf(s, "%63[^:]:%d", h, &p) != 2)
        die("bad address %s", s);
    memset(sa, 0, sizeof *sa);
    sa->sin_family = AF_INET;
    sa->sin_port = htons(p);
    if (inet_pton(AF_INET, h, &sa->sin_addr) != 1)
        die("bad address %s", s);
}
static void set_port(char *address, size_t size, const char *port)
{
    char *at = strchr(address, ':');
    snprintf(at, size - (size_t)(at - address), "%s", port);
}
static int usock(const struct sockaddr_in *sa)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), v = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &v, sizeof v);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &v, sizeof v);
    if (addresses > 1)
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int));
    if (bind(fd, (const void *)sa, sizeof *sa))
        die("bind: %s", strerror(errno));
    return fd;
}
static void txinit(struct txq *q, int fd)
{
    q->fd = fd;
    for (int i = 0; i < BATCH; i++) {
        q->iov[i].iov_base = q->buf[i];
        q->m[i].msg_hdr = (struct msghdr){.msg_name = &q->to[i],
                                          .msg_namelen = sizeof q->to[i],
                                          .msg_iov = &q->iov[i],
                                          .msg_iovlen = 1};
        if (addresses > 1) {
            q->m[i].msg_hdr.msg_control = q->from[i];
            q->m[i].msg_hdr.msg_controllen = sizeof q->from[i];
        }
    }
}
static double cpu_of(const struct rusage *ru)
{
    return ru->ru_utime.tv_sec + ru->ru_stime.tv_sec +
           (ru->ru_utime.tv_usec + ru->ru_stime.tv_usec) / 1e6;
}

/* --- connections, with -t: the callers' are 0 to P-1, the callees' the next P --- */
static int stream_events = -1;
static uint32_t registered;

static struct txq *queue_of(uint32_t n)
{
    return n < ports ? &txc[n] : &txs[n - ports];
}
static void watch_stream(uint32_t n, int op)
{
    const struct stream *stream = &queue_of(n)->stream;
    struct epoll_event event = {.events = stream_wants(stream), .data.u32 = n};
    if (epoll_ctl(stream_events, op, stream->fd, &event))
        die("epoll: %s", strerror(errno));
}
static void open_stream(uint32_t n, const struct sockaddr_in *at)
{
    if (stream_events < 0)
        stream_events = epoll_create1(EPOLL_CLOEXEC);
    if (transport == TLS && !n && stream_use_tls())
        die("no TLS");
    if (stream_begin(&queue_of(n)->stream, at, &srv_sa, transport == TLS))
        die("connect: %s", strerror(errno));
    watch_stream(n, EPOLL_CTL_ADD);
}
static void await_streams(uint32_t count)
{
    int64_t until = clk() + 30000000;
    for (uint32_t ready = 0; ready < count;) {
        struct epoll_event events[64];
        int n = epoll_wait(stream_events, events, 64, 100);
        for (int i = 0; i < n; i++) {
            uint32_t which = events[i].data.u32;
            int was = queue_of(which)->stream.ready;
            int step = stream_step(&queue_of(which)->stream);
            if (step < 0)
                die("the server takes no connection");
            ready += step && !was;
            watch_stream(which, EPOLL_CTL_MOD);
        }
        if (clk() > until)
            die("%u of %u connections are not ready", count - ready, count);
    }
}
static void on_stream_message(void *user, char *m, size_t len)
{
    const uint32_t *n = user;
    if (*n < ports)
        on_response(m, (int)len);
    else if (!memcmp(m, "SIP/2.0 200 ", 12))
        registered++;
    else
        on_uas(m, (int)len, &srv_sa, *n - ports);
}
/* What has come, or comes in the time given; how many messages */
static int read_streams(const struct timespec *wait)
{
    struct epoll_event events[64];
    int count = 0, n = wait ? epoll_pwait2(stream_events, events, 64, wait, NULL)
                            : epoll_wait(stream_events, events, 64, 0);
    now = clk();
    for (int i = 0; i < n; i++) {
        uint32_t which = events[i].data.u32;
        struct stream *stream = &queue_of(which)->stream;
        int held = stream->out_len > 0;
        int result = stream_read(stream, on_stream_message, &which);
        if (result < 0 || stream_flush(stream))
            die("a connection was lost");
        if (held != (stream->out_len > 0))
            watch_stream(which, EPOLL_CTL_MOD);
        count += result;
    }
    flush_all();
    for (uint32_t i = 0; i < 2 * ports; i++) /* rare: a socket that is full */
        if (queue_of(i)->stream.out_len)
            watch_stream(i, EPOLL_CTL_MOD);
    return count;
}
/* Each user by the connection that his calls will come by, which the Contact names, too */
static void register_user(uint32_t user)
{
    struct txq *q = &txs[user % ports];
    char *b = txbuf(q), host[64];
    unsigned port = uas_port + user % ports, name = first_user + user;
    snprintf(host, sizeof host, "%.*s", (int)strcspn(uas, ":"), uas);
    int len = snprintf(
        b, MSGSZ,
        "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s:%u;branch=z9hG4bK%08x%u;rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:%u@%s>;tag=f%u\r\nTo: <sip:%u@%s>\r\nCall-ID: %08x%u@%s\r\n"
        "CSeq: %u REGISTER\r\nContact: <sip:%u@%s:%u%s>;expires=%d\r\nUser-Agent: sipload/1.0\r\n"
        "Content-Length: 0\r\n\r\n",
        srv, transport_names[transport], host, port, seq0, user, name, srv, user, name, srv, seq0,
        user, host, cseq0, name, host, port, transport_params[transport], reg_expires);
    txcommit(q, (size_t)len, &srv_sa, 0);
}
static void register_callees(void)
{
    int64_t until = clk() + 60000000;
    for (uint32_t sent = 0; registered < (uint32_t)users;) {
        while (sent < (uint32_t)users && sent < registered + 64)
            register_user(sent++);
        flush_all();
        read_streams(&(struct timespec){0, 10000000});
        if (clk() > until)
            die("%u of %d users are registered", registered, users);
    }
    memset(&st, 0, sizeof st);
}
/* Which of our addresses a message came to */
static uint32_t came_to(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            return index_of(info.ipi_addr);
        }
    return 0;
}
static void onsig(int s)
{
    (void)s;
    stop = 1;
}

int main(int ac, char **av)
{
    int o, uas_only = 0;
    char idhost[64];
    while ((o = getopt(ac, av, "m:s:l:u:C:n:r:w:N:H:R:T:x:ap:S:W:UP:AI:F:EGt:g")) != -1)
        switch (o) {
        case 'm':
            mode = !strcmp(optarg, "options")    ? M_OPTIONS
                   : !strcmp(optarg, "register") ? M_REGISTER
                                                 : M_CALL;
            break;
        case 's':
            snprintf(srv, sizeof srv, "%s", optarg);
            break;
        case 'l':
            snprintf(uac, sizeof uac, "%s", optarg);
            break;
        case 'u':
            snprintf(uas, sizeof uas, "%s", optarg);
            break;
        case 'C':
            snprintf(contact_uas, sizeof contact_uas, "%s", optarg);
            break;
        case 'n':
            total = strtoull(optarg, 0, 10);
            break;
        case 'r':
            rate = strtod(optarg, NULL);
            break;
        case 'w':
            window = (int)strtol(optarg, NULL, 10);
            break;
        case 'N':
            users = (int)strtol(optarg, NULL, 10);
            break;
        case 'H':
            hold_us = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'R':
            ring_ms = (int)strtol(optarg, NULL, 10);
            break;
        case 'T':
            t1_us = strtoll(optarg, NULL, 10) * 1000;
            break;
        case 'x':
            reg_expires = (int)strtol(optarg, NULL, 10);
            break;
        case 'a':
            use_auth = 1;
            break;
        case 'p':
            pwprefix = optarg;
            break;
        case 'P':
            ports = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'I':
            addresses = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'F':
            first_user = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'E':
            strict = 1;
            break;
        case 'G':
            bursts = 1;
            break;
        case 't':
            transport = !strcmp(optarg, "tcp") ? TCP : TLS;
            break;
        case 'g':
            waits_for_go = 1;
            break;
        case 'A':
            uas_repeats = 1;
            break;
        case 'S':
            nslots = (int)strtol(optarg, NULL, 10);
            break;
        case 'W':
            hold_wait_us = strtoll(optarg, NULL, 10) * 1000;
            hold_only = 1;
            break; /* keep all calls up, wait, then BYE */
        case 'U':
            uas_only = 1;
            break;
        default:
            fprintf(stderr, "see the head of sipload.c\n");
            return 2;
        }
    if (!contact_uas[0])
        snprintf(contact_uas, sizeof contact_uas, "%s", uas);
    addr(srv, &srv_sa);
    addr(uac, &uac_sa);
    addr(uas, &uas_sa);
    snprintf(idhost, sizeof idhost, "%.63s", uac);
    *strchr(idhost, ':') = 0;
    uac_port = ntohs(uac_sa.sin_port);
    uas_port = ntohs(uas_sa.sin_port);
    if (transport != UDP &&
        (mode != M_CALL || addresses > 1 || bursts || uas_only || strcmp(contact_uas, uas)))
        die("-t: with -m call, and without -I, -G, -U, -C");
    uint32_t ports_max = transport == UDP ? PORTS_MAX : STREAMS_MAX;
    if (ports < 1 || ports > ports_max || (ports > 1 && (uac_port < 10000 || uas_port < 10000)))
        die("-P: 1 to %u ports, of 5 digits", ports_max);
    if (addresses > 1) {
        uint32_t first = ntohl(uac_sa.sin_addr.s_addr), net = first >> 8 & 255;
        if (ports > 1 || (first & 255) != 100 || net + (addresses - 1) / PER_NET > 9)
            die("-I: from address x.x.y.100, y + N/150 at most 9, without -P");
        snprintf(uac, sizeof uac, "%u.%u.\5\5\5\5\5:%u", first >> 24, first >> 16 & 255, uac_port);
        snprintf(contact_uas, sizeof contact_uas, "%u.%u.\6\6\6\6\6:%u", first >> 24,
                 first >> 16 & 255, uas_port);
    }
    if (bursts && addresses > 1)
        die("-G: without -I");
    if (ports > 1) { /* each message names the port that it comes from */
        snprintf(uac, sizeof uac, "%s:\5\5\5\5\5", idhost);
        set_port(contact_uas, sizeof contact_uas, ":\6\6\6\6\6");
    }
    if (mode == M_REGISTER)
        nslots = users;
    else if (!nslots)
        nslots = hold_only ? (int)total : 131072;
    calls = calloc(nslots, sizeof *calls);
    freeslots = malloc(nslots * sizeof *freeslots);
    for (int i = nslots - 1; i >= 0; i--)
        freeslots[nfree++] = i;
    /* New in each run: what a server still remembers of the last one would be a retransmission. */
    if (getrandom(&seq0, sizeof seq0, 0) != sizeof seq0)
        die("no random number");
    cseq0 = 1000000000u + (uint32_t)(clk() / 500 % 1100000000);
    if (mode == M_CALL) {
        char sdp[400];
        int n =
            snprintf(sdp, sizeof sdp,
                     "v=0\r\no=- 3897461 3897461 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 "
                     "127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 9 101\r\na=rtpmap:8 "
                     "PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:101 "
                     "telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n");
        compile(&t_req,
                "INVITE sip:" CALLEE "@%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK" ID
                "\7;rport\r\nMax-Forwards: 70\r\nFrom: \"Caller\" <sip:" CALLER "@%s>;tag=f" ID
                "\r\nTo: <sip:" CALLEE "@%s>\r\nCall-ID: " ID
                "@%s\r\nCSeq: \7 INVITE\r\nContact: <sip:" CALLER
                "@%s%s>\r\nUser-Agent: sipload/1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, "
                "INFO, UPDATE, PRACK, REFER, NOTIFY\r\nSupported: replaces, timer, 100rel\r\n",
                srv, transport_names[transport], uac, srv, srv, idhost, uac,
                transport_params[transport]);
        compile(&t_rest, "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", n, sdp);
        uint32_t phones = addresses > 1 ? addresses : ports;
        sdp200 = calloc(phones, sizeof *sdp200);
        for (uint32_t i = 0; i < phones; i++) {
            char port[8];
            snprintf(port, sizeof port, ":%u", uas_port + i);
            if (ports > 1)
                set_port(contact_uas, sizeof contact_uas, port);
            if (addresses > 1)
                snprintf(contact_uas, sizeof contact_uas, "%s:%u", inet_ntoa(nth_address(i)),
                         uas_port);
            sdp200[i].len = snprintf(sdp200[i].text, sizeof sdp200[i].text,
                                     "Contact: <sip:uas@%s%s>\r\nContent-Type: "
                                     "application/sdp\r\nContent-Length: %d\r\n\r\n%s",
                                     contact_uas, transport_params[transport], n, sdp);
        }
        compile(&t_hdr,
                " SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK" ID
                "a;rport\r\nMax-Forwards: 70\r\n",
                transport_names[transport], uac);
        compile(&t_byehdr,
                " SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK" ID
                "b;rport\r\nMax-Forwards: 70\r\n",
                transport_names[transport], uac);
        compile(&t_mid,
                "From: \"Caller\" <sip:" CALLER "@%s>;tag=f" ID "\r\nCall-ID: " ID
                "@%s\r\nUser-Agent: sipload/1.0\r\n",
                srv, idhost);
    } else if (mode == M_REGISTER)
        compile(&t_req,
                "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK" ID CSEQ
                ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" CALLEE "@%s>;tag=f" ID
                "\r\nTo: <sip:" CALLEE "@%s>\r\nCall-ID: " ID "@%s\r\nCSeq: " CSEQ
                " REGISTER\r\nContact: <sip:" CALLEE
                "@%s>;expires=%d\r\nUser-Agent: sipload/1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, "
                "OPTIONS\r\n",
                srv, transport_names[transport], uac, srv, srv, idhost, contact_uas, reg_expires);
    else
        compile(&t_req,
                "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK" ID
                ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:" CALLER "@%s>;tag=f" ID
                "\r\nTo: <sip:%s>\r\nCall-ID: " ID "@%s\r\nCSeq: 1 OPTIONS\r\nContact: <sip:" CALLER
                "@%s>\r\nUser-Agent: sipload/1.0\r\nAccept: application/sdp\r\n",
                srv, transport_names[transport], uac, srv, srv, idhost, uac);
    if (mode != M_CALL)
        compile(&t_rest, "Content-Length: 0\r\n\r\n");

    prctl(PR_SET_TIMERSLACK, 1000UL);
    signal(SIGINT, onsig);
    signal(SIGTERM, onsig);
    struct pollfd sockets[2 * STREAMS_MAX]; /* the callers' ports, then the callees' */
    uint32_t nsockets = mode == M_CALL ? 2 * ports : ports;
    txc = calloc(ports, sizeof *txc);
    txs = calloc(ports, sizeof *txs);
    for (uint32_t i = 0; i < nsockets; i++) {
        struct sockaddr_in at = i < ports ? uac_sa : uas_sa;
        at.sin_port = htons(ntohs(at.sin_port) + i % ports);
        if (transport != UDP) {
            open_stream(i, &at);
            continue;
        }
        if (addresses > 1)
            at.sin_addr.s_addr = INADDR_ANY;
        sockets[i] = (struct pollfd){usock(&at), POLLIN, 0};
        txinit(i < ports ? &txc[i] : &txs[i - ports], sockets[i].fd);
    }
    static char rb[BATCH][MSGSZ];
    static struct iovec riov[BATCH];
    static struct mmsghdr rm[BATCH];
    static struct sockaddr_in rfrom[BATCH];
    static _Alignas(8) char rcontrol[BATCH][64];
    for (int i = 0; i < BATCH; i++) {
        riov[i] = (struct iovec){rb[i], MSGSZ - 1};
        rm[i].msg_hdr =
            (struct msghdr){.msg_name = &rfrom[i], .msg_iov = &riov[i], .msg_iovlen = 1};
    }
    if (uas_only)
        total = 0;
    if (transport != UDP) {
        await_streams(nsockets);
        register_callees();
    }
    if (waits_for_go) {
        puts("READY");
        fflush(stdout);
        if (getchar() == EOF)
            die("nobody said go");
    }
    struct rusage before; /* what went before the load does not count */
    getrusage(RUSAGE_SELF, &before);
    int64_t t_begin = clk(), t_allup = 0, t_last = 0, offered_at = 0;
    uint64_t done_offered = 0; /* finished while there were new ones to start */
    for (;;) {
        int got = 0;
        now = clk();
        if (strict && (st.retrans || st.failed))
            break;
        if (!stop) {
            int burst = 0;
            while (st.started < total && inflight < (uint64_t)window && burst++ < BATCH) {
                if (rate > 0 && (now - t_begin) * rate < st.started * 1e6)
                    break;
                uint64_t s0 = st.started;
                new_call();
                if (st.started == s0)
                    break;
            }
        }
        if (!offered_at && st.started >= total) {
            offered_at = now;
            done_offered = st.done;
        }
        timers();
        flush_all();
        if (transport != UDP)
            got = read_streams(0);
        else if (ports > 1)
            poll(sockets, nsockets, 0);
        for (uint32_t s = 0; transport == UDP && s < nsockets; s++) {
            int fd = sockets[s].fd;
            if (ports > 1 && !sockets[s].revents)
                continue;
            for (int i = 0; i < BATCH; i++) {
                rm[i].msg_hdr.msg_namelen = sizeof rfrom[i];
                if (addresses > 1) {
                    rm[i].msg_hdr.msg_control = rcontrol[i];
                    rm[i].msg_hdr.msg_controllen = sizeof rcontrol[i];
                }
            }
            int n = recvmmsg(fd, rm, BATCH, MSG_DONTWAIT, NULL);
            if (n <= 0)
                continue;
            got += n;
            now = clk();
            for (int i = 0; i < n; i++) {
                rb[i][rm[i].msg_len] = 0;
                if (s >= ports)
                    on_uas(rb[i], rm[i].msg_len, &rfrom[i],
                           addresses > 1 ? came_to(&rm[i].msg_hdr) : s - ports);
                else
                    on_response(rb[i], rm[i].msg_len);
            }
            flush_all();
        }
        if (got)
            continue;
        if (stop && !(hold_only && live && !t_last))
            break;
        if (!uas_only && st.started >= total && inflight == 0) {
            if (!live)
                break;
            if (hold_only) {
                if (!t_allup) {
                    t_allup = now;
                    fprintf(stdout, "UP live=%llu failed=%llu secs=%.3f\n",
                            (unsigned long long)live, (unsigned long long)st.failed,
                            (now - t_begin) / 1e6);
                    fflush(stdout);
                }
                if ((now - t_allup >= hold_wait_us || stop) &&
                    !t_last) { /* release, paced by the rate */
                    t_last = now;
                    double gap = 1e6 / (rate > 0 ? rate : 2000);
                    int64_t k = 0;
                    for (uint32_t i = holdq.h; i != holdq.t; i++)
                        holdq.v[i & (holdq.cap - 1)].due = now + (int64_t)(k++ * gap);
                    hold_only = 0;
                    stop = 0;
                }
            }
        }
        int64_t due = now + 20000; /* sleep to the next event */
        if (holdq.h != holdq.t && holdq.v[holdq.h & (holdq.cap - 1)].due < due)
            due = holdq.v[holdq.h & (holdq.cap - 1)].due;
        for (int n = 0; n <= NRTX; n++) {
            const struct later *list = &delayed[n];
            if (list->h != list->t && list->v[list->h & (list->cap - 1)].due < due)
                due = list->v[list->h & (list->cap - 1)].due;
        }
        if (st.started < total && inflight < (uint64_t)window) {
            int64_t d = rate > 0 ? t_begin + (int64_t)(st.started * 1e6 / rate) : now;
            if (d < due)
                due = d;
        }
        int64_t ns = (due - clk()) * 1000;
        if (ns > 0) {
            struct timespec ts = {ns / 1000000000, ns % 1000000000};
            if (transport != UDP)
                read_streams(&ts);
            else
                ppoll(sockets, nsockets, &ts, NULL);
        }
    }
    double el = (clk() - t_begin) / 1e6;
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    double cpu = cpu_of(&ru) - cpu_of(&before);
    printf(
        "{\"started\":%llu,\"done\":%llu,\"failed\":%llu,\"retrans\":%llu,\"secs\":%.3f,\"rate\":%."
        "1f,\"tx\":%llu,\"rx\":%llu,\"prov\":%llu,\"unexpected\":%llu,\"badcode\":%llu,"
        "\"challenges\":%llu,\"uas_inv\":%llu,\"uas_ack\":%llu,\"uas_bye\":%llu,\"tx_err\":%llu,"
        "\"refused\":%llu,\"rejected\":%llu,\"stalled\":%llu,\"unanswered\":%llu,\"last_code\":%d,"
        "\"uas_rtx\":%llu,\"offered_secs\":%.3f,\"done_offered\":%llu,"
        "\"peak_live\":%llu,\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"gen_cpu\":%.3f}\n",
        (unsigned long long)st.started, (unsigned long long)st.done, (unsigned long long)st.failed,
        (unsigned long long)st.retrans, el, st.done / el, (unsigned long long)st.tx,
        (unsigned long long)st.rx, (unsigned long long)st.prov, (unsigned long long)st.unexpected,
        (unsigned long long)st.badcode, (unsigned long long)st.chal, (unsigned long long)st.uas_inv,
        (unsigned long long)st.uas_ack, (unsigned long long)st.uas_bye,
        (unsigned long long)st.tx_err, (unsigned long long)st.refused,
        (unsigned long long)st.rejected, (unsigned long long)st.stalled,
        (unsigned long long)st.unanswered, last_code, (unsigned long long)st.uas_rtx,
        ((offered_at ? offered_at : clk()) - t_begin) / 1e6, (unsigned long long)done_offered,
        (unsigned long long)peak_live, pct(.5), pct(.99), pct(.999), cpu);
    return st.failed || st.done < st.started ? 1 : 0;
}
