/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/udp_send - the datagrams of a turn, with as little of the kernel as can be.
 *
 * A datagram's way down through the kernel costs several times what the core spends on it. So
 * datagrams of one length to one address are put together into a burst, which goes down as one and
 * is cut into its segments behind (UDP_SEGMENT, Linux 4.18). Under load a worker sends many
 * messages of few kinds to a carrier in one turn, and most find others alike; docs/performance.md
 * has what it brings.
 *
 * Order: datagrams of one topic (a call) to one address leave in the order they were given; others
 * may overtake each other within the turn, as they may on the way.
 * To whom: only addresses that were heard of lately. The refusal (ICMP) of a burst names one of its
 * datagrams only, so who may be gone gets each alone.
 */
#include "net/internal.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdlib.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* linux/udp.h; older C libraries do not name it */
#endif

enum {
    DATAGRAMS_MAX = OUTBOX_ITEMS,
    SEGMENTS_MAX = 64,        /* of a burst: the kernel's UDP_MAX_SEGMENTS */
    SEGMENT_BYTES_MAX = 1400, /* longer ones may need fragments, which segments may not */
    BURST_BYTES_MAX = 60000,  /* below the longest datagram there is */
    PLACES = 1024,            /* of the table of bursts; a power of two above DATAGRAMS_MAX */
    TOPICS = 1024,            /* of the table of topics; the same */
    NO_TOPIC = TOPICS,
    FEW = 4,           /* datagrams, of which no bursts are made: it would not pay */
    HEARD_MS = 2000,   /* who said nothing for so long may be gone */
    SINGLE_MS = 60000, /* after a burst was refused, a socket sends none for so long */
};

/* One datagram, linked to the next of its burst. */
struct datagram {
    struct slice bytes;
    uint16_t next;  /* index + 1; 0: the last */
    uint16_t topic; /* index in topics[], or NO_TOPIC */
};

/* A topic and an address, by their hash. Were two taken for one, they would only keep order, too.
 */
struct topic {
    uint32_t mark;
    uint16_t last; /* index + 1 of the last burst with something of it; 0: a free place */
};

/* Datagrams of one length to one address, or a single one. */
struct burst {
    struct udp_socket *socket;
    struct addr remote, local;
    uint32_t len;
    uint16_t count;
    uint16_t first, last; /* index + 1 */
    uint16_t place;       /* index + 1 in places[]; 0: it stays alone */
};

struct control {
    alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                       CMSG_SPACE(sizeof(uint16_t))];
};

struct udp_out {
    unsigned datagram_count, burst_count;
    struct datagram datagrams[DATAGRAMS_MAX];
    struct burst bursts[DATAGRAMS_MAX];
    uint16_t places[PLACES]; /* index + 1 of a burst that may grow */
    struct topic topics[TOPICS];
    struct mmsghdr headers[DATAGRAMS_MAX];
    struct iovec pieces[DATAGRAMS_MAX];
    union sockaddr_any names[DATAGRAMS_MAX];
    struct control control[DATAGRAMS_MAX];
};

size_t udp_out_memory(void)
{
    return sizeof(struct udp_out);
}

enum err udp_out_open(struct net *net)
{
    net->out = calloc(1, sizeof *net->out);
    return net->out != NULL ? OK : ERR_MEMORY;
}

void udp_out_close(struct net *net)
{
    free(net->out);
}

/* --- Who was heard of ------------------------------------------------------------------------ */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t addr_mix(const struct net *net, const struct addr *addr)
{
    uint64_t words[3];
    _Static_assert(sizeof words == sizeof *addr, "an address is three words");

    memcpy(words, addr, sizeof words);
    uint64_t hash = mix(net->config.hash_seed, words[0]);
    hash = mix(hash, words[1]);
    return addr->family == ADDR_V4 ? hash : mix(hash, words[2]);
}

static struct heard *heard_place(struct net *net, uint64_t hash)
{
    return &net->heard[hash >> 32 & (HEARD_PLACES - 1)];
}

void net_heard(struct net *net, const struct addr *remote)
{
    uint64_t hash = addr_mix(net, remote);
    *heard_place(net, hash) = (struct heard){hash, loop_now_ms(net->loop)};
}

void udp_not_heard(struct net *net, const struct addr *remote)
{
    uint64_t hash = addr_mix(net, remote);
    struct heard *heard = heard_place(net, hash);
    if (heard->hash == hash)
        *heard = (struct heard){0};
}

/*
 * An ICMP error comes by any of the sockets that share our port, whoever sent the datagram: all
 * are told. Once a turn for an address; a letter that is lost costs the others one more burst.
 */
void udp_refused(struct net *net, const struct addr *remote)
{
    struct flow to = {.transport = TRANSPORT_UDP, .remote = *remote};
    struct slice parts[] = {{(const char *)&to, sizeof to}};
    unsigned self = loop_worker(net->loop);

    udp_not_heard(net, remote);
    if (addr_equal(&net->refused, remote))
        return;
    net->refused = *remote;
    for (unsigned i = 0; i < loop_workers(net->loop); i++)
        if (i != self && loop_post(net->loop, i, MAILBOX_ORDINARY, LETTER_NET, parts, 1))
            net->counters.letters_sent++;
}

static bool was_heard(struct net *net, uint64_t hash)
{
    const struct heard *heard = heard_place(net, hash);
    return heard->hash == hash && loop_now_ms(net->loop) - heard->at_ms <= HEARD_MS;
}

/* --- Collecting ------------------------------------------------------------------------------ */

static bool burst_takes(const struct burst *burst, const struct udp_socket *socket,
                        const struct flow *to, uint32_t len)
{
    return burst->len == len && burst->socket == socket &&
           addr_equal(&burst->remote, &to->remote) && addr_equal(&burst->local, &to->local);
}

/* A burst of one, which stays so; its index. */
static unsigned add_single(struct udp_out *out, struct udp_socket *socket, const struct flow *to,
                           uint32_t len)
{
    out->bursts[out->burst_count] =
        (struct burst){.socket = socket, .remote = to->remote, .local = to->local, .len = len};
    return out->burst_count++;
}

/* The burst that the datagram may join, or a new one; its index. */
static unsigned find_burst(struct net *net, struct udp_socket *socket, const struct flow *to,
                           uint32_t len, uint64_t hash)
{
    struct udp_out *out = net->out;
    unsigned at = (unsigned)(mix(hash, len) >> 32) & (PLACES - 1);

    if (len > SEGMENT_BYTES_MAX || loop_now_ms(net->loop) < socket->single_until_ms ||
        !was_heard(net, hash))
        return add_single(out, socket, to, len);
    for (; out->places[at] != 0; at = (at + 1) & (PLACES - 1)) {
        struct burst *burst = &out->bursts[out->places[at] - 1];
        if (!burst_takes(burst, socket, to, len))
            continue;
        if (burst->count < SEGMENTS_MAX && (burst->count + 1u) * len <= BURST_BYTES_MAX)
            return out->places[at] - 1u;
        break; /* full: a new one takes its place */
    }
    unsigned fresh = add_single(out, socket, to, len);
    out->bursts[fresh].place = (uint16_t)(at + 1);
    out->places[at] = (uint16_t)(fresh + 1);
    return fresh;
}

static void burst_add(struct udp_out *out, unsigned index, unsigned topic, struct slice bytes)
{
    struct burst *burst = &out->bursts[index];
    uint16_t number = (uint16_t)++out->datagram_count;

    out->datagrams[number - 1] = (struct datagram){.bytes = bytes, .topic = (uint16_t)topic};
    if (burst->count++ == 0)
        burst->first = number;
    else
        out->datagrams[burst->last - 1].next = number;
    burst->last = number;
}

/* Where a topic is in the table, or will be. */
static unsigned find_topic(struct udp_out *out, uint64_t hash)
{
    uint32_t mark = (uint32_t)hash;
    unsigned at = (unsigned)(hash >> 32) & (TOPICS - 1);

    while (out->topics[at].last != 0 && out->topics[at].mark != mark)
        at = (at + 1) & (TOPICS - 1);
    out->topics[at].mark = mark;
    return at;
}

void udp_send(struct net *net, const struct flow *to, uint32_t topic, struct slice bytes)
{
    struct udp_out *out = net->out;
    uint8_t listener = net_pick_listener(net, to);

    if (listener == LISTENER_ANY) {
        net_report_failed(net, NET_R_NO_LISTENER, bytes);
        return;
    }
    if (out->datagram_count == DATAGRAMS_MAX)
        udp_flush(net);
    net->counters.bytes_sent += bytes.len;

    struct udp_socket *socket = &net->udp[listener];
    if (net->outbox.count < FEW) { /* all there is: they leave as they were given */
        burst_add(out, add_single(out, socket, to, (uint32_t)bytes.len), NO_TOPIC, bytes);
        return;
    }
    uint64_t hash = addr_mix(net, &to->remote);
    unsigned place = find_topic(out, mix(hash, topic));
    unsigned index = find_burst(net, socket, to, (uint32_t)bytes.len, hash);
    if (out->topics[place].last > index + 1) { /* it would overtake one of its own topic */
        udp_flush(net);
        place = find_topic(out, mix(hash, topic));
        index = find_burst(net, socket, to, (uint32_t)bytes.len, hash);
    }
    out->topics[place].last = (uint16_t)(index + 1);
    burst_add(out, index, place, bytes);
}

/* --- Sending --------------------------------------------------------------------------------- */

static void *control_add(struct msghdr *header, struct control *control, int level, int type,
                         size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)(control->bytes + header->msg_controllen);

    header->msg_control = control->bytes;
    header->msg_controllen += CMSG_SPACE(len);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    return CMSG_DATA(c);
}

/* Which of our addresses the datagram leaves by, where the socket has several. */
static void set_local(struct msghdr *header, struct control *control, const struct addr *local)
{
    if (local->family == ADDR_V4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, local->bytes, 4);
        memcpy(control_add(header, control, IPPROTO_IP, IP_PKTINFO, sizeof info), &info,
               sizeof info);
        return;
    }
    struct in6_pktinfo info = {.ipi6_ifindex = local->scope};
    memcpy(&info.ipi6_addr, local->bytes, 16);
    memcpy(control_add(header, control, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info), &info,
           sizeof info);
}

/* Makes header `n`, with its pieces from `piece` on; gives the first piece that is free. */
static unsigned make_header(struct udp_out *out, unsigned n, unsigned piece)
{
    const struct burst *burst = &out->bursts[n];
    struct msghdr *header = &out->headers[n].msg_hdr;

    *header = (struct msghdr){
        .msg_name = &out->names[n],
        .msg_namelen = sockaddr_of(&burst->remote, &out->names[n]),
        .msg_iov = &out->pieces[piece],
        .msg_iovlen = burst->count,
    };
    for (unsigned at = burst->first; at != 0; at = out->datagrams[at - 1].next) {
        struct slice bytes = out->datagrams[at - 1].bytes;
        /* The kernel only reads what an iovec of sendmmsg points to. */
        out->pieces[piece++] = (struct iovec){(void *)(uintptr_t)bytes.data, bytes.len};
    }
    if (burst->socket->wildcard && burst->local.family == burst->remote.family &&
        !addr_is_any(&burst->local))
        set_local(header, &out->control[n], &burst->local);
    if (burst->count > 1) {
        uint16_t len = (uint16_t)burst->len;
        memcpy(control_add(header, &out->control[n], IPPROTO_UDP, UDP_SEGMENT, sizeof len), &len,
               sizeof len);
    }
    return piece;
}

static struct slice piece_of(const struct iovec *piece)
{
    return (struct slice){piece->iov_base, piece->iov_len};
}

enum send_failure {
    SEND_AGAIN,
    SEND_LOST,
    SEND_REFUSED
};

static enum send_failure why_not_sent(struct udp_socket *socket, bool second_try)
{
    switch (errno) {
    case EINTR:
        return SEND_AGAIN;
    case EAGAIN:
    case ENOBUFS:
        return SEND_LOST; /* as if the network had lost it */
    default:
        if (second_try)
            return SEND_REFUSED;
        udp_read_errors(socket); /* perhaps the error of an earlier one, told only now */
        return SEND_AGAIN;
    }
}

/* Sends what `header` describes, one datagram for each piece. */
static void send_singly(struct udp_socket *socket, const struct msghdr *header)
{
    struct net *net = socket->net;
    struct control control;

    for (size_t i = 0; i < header->msg_iovlen; i++) {
        struct msghdr single = *header;
        single.msg_iov += i;
        single.msg_iovlen = 1;
        if (header->msg_iovlen > 1) { /* the request for segments came last */
            single.msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
            memcpy(control.bytes, header->msg_control, single.msg_controllen);
            single.msg_control = single.msg_controllen > 0 ? control.bytes : NULL;
        }
        enum send_failure why = SEND_AGAIN;
        for (unsigned tries = 0; why == SEND_AGAIN; tries++) {
            net->counters.udp_send_calls++;
            if (sendmsg(socket->watch.fd, &single, MSG_DONTWAIT) >= 0) {
                net->counters.udp_sent++;
                break;
            }
            why = why_not_sent(socket, tries > 0);
        }
        if (why == SEND_LOST)
            net_count(net, NET_R_SEND_BUFFER);
        if (why == SEND_REFUSED)
            net_report_failed(net, NET_R_SEND, piece_of(single.msg_iov));
    }
}

/* The first of the rest could not be sent at all. */
static void give_up(struct udp_socket *socket, const struct msghdr *header, enum send_failure why)
{
    struct net *net = socket->net;

    if (header->msg_iovlen > 1 && why == SEND_REFUSED) {
        socket->single_until_ms = loop_now_ms(net->loop) + SINGLE_MS;
        send_singly(socket, header);
        return;
    }
    for (size_t i = 0; i < header->msg_iovlen; i++)
        if (why == SEND_LOST)
            net_count(net, NET_R_SEND_BUFFER);
        else
            net_report_failed(net, NET_R_SEND, piece_of(&header->msg_iov[i]));
}

/* Sends headers [at, end), all of one socket. */
static void send_headers(struct udp_socket *socket, unsigned at, unsigned end)
{
    struct net *net = socket->net;
    struct udp_out *out = net->out;
    bool second_try = false;

    while (at < end) {
        int sent = sendmmsg(socket->watch.fd, out->headers + at, end - at, MSG_DONTWAIT);
        net->counters.udp_send_calls++;
        if (sent > 0) {
            for (unsigned i = 0; i < (unsigned)sent; i++) {
                net->counters.udp_sent += out->bursts[at + i].count;
                net->counters.udp_bursts += out->bursts[at + i].count > 1;
            }
            at += (unsigned)sent;
            second_try = false;
            continue;
        }
        enum send_failure why = why_not_sent(socket, second_try);
        second_try = true;
        if (why == SEND_AGAIN)
            continue;
        give_up(socket, &out->headers[at++].msg_hdr, why);
        second_try = false;
    }
}

/* Most turns fill little of the tables: only that is cleared. */
static void forget_all(struct udp_out *out)
{
    for (unsigned i = 0; i < out->burst_count; i++)
        if (out->bursts[i].place != 0)
            out->places[out->bursts[i].place - 1] = 0;
    for (unsigned i = 0; i < out->datagram_count; i++)
        if (out->datagrams[i].topic != NO_TOPIC)
            out->topics[out->datagrams[i].topic].last = 0;
    out->burst_count = 0;
    out->datagram_count = 0;
}

void udp_flush(struct net *net)
{
    struct udp_out *out = net->out;
    unsigned piece = 0, begin = 0;

    net->refused = (struct addr){0};
    if (out->burst_count == 0)
        return;
    for (unsigned n = 0; n < out->burst_count; n++)
        piece = make_header(out, n, piece);
    for (unsigned n = 1; n <= out->burst_count; n++) {
        struct udp_socket *socket = out->bursts[begin].socket;
        if (n < out->burst_count && out->bursts[n].socket == socket)
            continue;
        send_headers(socket, begin, n);
        begin = n;
    }
    forget_all(out);
}
