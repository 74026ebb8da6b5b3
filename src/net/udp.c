/* SPDX-License-Identifier: Apache-2.0 */
#include "net/internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    /*
     * From one receive buffer to the next. Not a power of two: the first lines of 64 messages
     * would otherwise fall into the same few sets of the processor's caches.
     */
    UDP_STRIDE = UDP_BUFFER_BYTES + 1088,
    ERRORS_PER_TURN = 64,
    ERROR_BYTES = 2048,
    /*
     * The kernel's time stamps cost 1 to 2 % of a call, so they are asked for while there are
     * queues only: when so many datagrams were there at once, and until none were for so long.
     */
    STAMP_BATCH = 16,
    STAMP_MS = 5000,
    WAITED_MAX_MS = 60000, /* more is a clock that was set */
};

/* Room for the local address of a datagram, of either family, and for its time. */
struct control {
    alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                       CMSG_SPACE(sizeof(struct timespec))];
};

/* The arrays of recvmmsg. */
struct udp_batch {
    struct mmsghdr in[UDP_BATCH];
    struct iovec in_pieces[UDP_BATCH];
    union sockaddr_any in_names[UDP_BATCH];
    struct control in_control[UDP_BATCH];
};

/* --- Receiving ------------------------------------------------------------------------------- */

/* Our address that the datagram was sent to. */
static struct addr local_of(const struct udp_socket *socket, struct msghdr *header)
{
    struct addr local = socket->net->config.listeners[socket->listener].bound;
    if (!socket->wildcard)
        return local;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(local.bytes, &info.ipi_addr, 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(local.bytes, &info.ipi6_addr, 16);
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                local.scope = (uint32_t)info.ipi6_ifindex;
        }
    }
    return local;
}

/* Only line ends and NULs: a phone that keeps its way through a NAT open. */
static bool is_keepalive(struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.data[i] != '\r' && bytes.data[i] != '\n' && bytes.data[i] != '\0')
            return false;
    return true;
}

/* When the datagram came, in milliseconds of the wall clock; 0: not known. */
static uint64_t came_ms(struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec at;
            memcpy(&at, CMSG_DATA(c), sizeof at);
            return (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / 1000000;
        }
    return 0;
}

static void set_stamped(struct udp_socket *socket, bool stamped)
{
    int value = stamped;
    int got = setsockopt(socket->watch.fd, SOL_SOCKET, SO_TIMESTAMPNS, &value, sizeof value);

    socket->stamped = stamped && got == 0;
}

/*
 * Tells how long the first of `count` datagrams has waited: the longest of them. The clock is read
 * anew, because we may have been stopped since the turn began.
 */
static void tell_waited(struct udp_socket *socket, unsigned count)
{
    struct net *net = socket->net;
    uint64_t now_ms = loop_now_ms(net->loop);
    uint32_t waited_ms = 0;

    if (count >= STAMP_BATCH) {
        socket->crowded_ms = now_ms;
        if (!socket->stamped)
            set_stamped(socket, true);
    } else if (now_ms - socket->crowded_ms > STAMP_MS) {
        set_stamped(socket, false);
    }
    uint64_t at_ms = came_ms(&net->batch->in[0].msg_hdr);
    if (at_ms != 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
        if (wall_ms > at_ms)
            waited_ms = wall_ms - at_ms < WAITED_MAX_MS ? (uint32_t)(wall_ms - at_ms) : 0;
    }
    net->config.ops.waited(net->config.ops.user, socket->listener, waited_ms);
}

static void udp_received(struct udp_socket *socket, struct mmsghdr *datagram, unsigned n)
{
    struct net *net = socket->net;
    struct slice bytes = {net->batch->in_pieces[n].iov_base, datagram->msg_len};

    net->counters.udp_received++;
    net->counters.bytes_received += bytes.len;
    if (is_keepalive(bytes)) {
        net->counters.udp_keepalives++;
        return;
    }
    struct flow source = {
        .transport = TRANSPORT_UDP,
        .listener = socket->listener,
        .remote = addr_of(&net->batch->in_names[n]),
        .local = local_of(socket, &datagram->msg_hdr),
    };
    net_heard(net, &source.remote);
    net->config.ops.receive(net->config.ops.user, bytes, false, &source);
}

/*
 * Makes the first `count` headers as recvmmsg wants them: it has changed those it filled. The time
 * is wanted of the first alone, see tell_waited(); what is not asked for need not be copied.
 */
static void prepare_receive(struct net *net, unsigned count)
{
    struct udp_batch *batch = net->batch;

    for (unsigned i = 0; i < count; i++) {
        bool wanted = i == 0 || net->udp_wildcard;
        batch->in[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->in_names[i],
            .msg_namelen = sizeof batch->in_names[i],
            .msg_iov = &batch->in_pieces[i],
            .msg_iovlen = 1,
            .msg_control = wanted ? &batch->in_control[i] : NULL,
            .msg_controllen = wanted ? sizeof batch->in_control[i] : 0,
        };
    }
}

/* An ICMP error that means: what was sent there did not arrive and will not. */
static bool is_refusal(const struct sock_extended_err *error)
{
    if (error->ee_origin != SO_EE_ORIGIN_ICMP && error->ee_origin != SO_EE_ORIGIN_ICMP6)
        return false;
    return error->ee_errno == ECONNREFUSED || error->ee_errno == EHOSTUNREACH ||
           error->ee_errno == ENETUNREACH || error->ee_errno == EACCES ||
           error->ee_errno == EHOSTDOWN || error->ee_errno == ENOPROTOOPT;
}

/* The error as the kernel gives it, with the address of who has sent it. */
struct icmp_error {
    struct sock_extended_err what;
    union sockaddr_any sender;
};

/*
 * Does the host itself say that nobody listens there? A router that knows no way to it may know one
 * in a minute, and what a firewall between us refuses says nothing of the phone.
 */
static bool is_closed(const struct icmp_error *error, const struct addr *remote)
{
    struct addr sender;

    if (error->what.ee_errno != ECONNREFUSED || error->sender.sa.sa_family == AF_UNSPEC)
        return false;
    sender = addr_of(&error->sender);
    return addr_same_host(&sender, remote);
}

/* Takes the returned datagrams off the error queue and reports those that were refused. */
void udp_read_errors(struct udp_socket *socket)
{
    char bytes[ERROR_BYTES] = {0};
    alignas(struct cmsghdr) char control[512];
    union sockaddr_any to;

    for (unsigned n = 0; n < ERRORS_PER_TURN; n++) {
        struct iovec piece = {bytes, sizeof bytes};
        struct msghdr header = {
            .msg_name = &to,
            .msg_namelen = sizeof to,
            .msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_control = control,
            .msg_controllen = sizeof control,
        };
        ssize_t len = recvmsg(socket->watch.fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
        if (len < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
            struct icmp_error error = {0};
            struct addr remote = {0};
            bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
            bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
            if (!v4 && !v6)
                continue;
            size_t error_len = c->cmsg_len - CMSG_LEN(0);
            memcpy(&error, CMSG_DATA(c), error_len < sizeof error ? error_len : sizeof error);
            if (!is_refusal(&error.what))
                continue;
            if (header.msg_namelen > 0) {
                remote = addr_of(&to);
                udp_refused(socket->net, &remote);
            }
            net_report_icmp(socket->net, is_closed(&error, &remote),
                            (struct slice){bytes, (size_t)len});
        }
    }
}

/* Hands over what was received, and makes ready for more. */
static void take_batch(struct udp_socket *socket, unsigned count)
{
    struct net *net = socket->net;
    bool measures = (socket->stamped || count >= STAMP_BATCH) && net->config.ops.waited != NULL;

    if (measures)
        tell_waited(socket, count);
    for (unsigned i = 0; i < count; i++)
        udp_received(socket, &net->batch->in[i], i);
    if (measures && count < UDP_BATCH)
        net->config.ops.waited(net->config.ops.user, socket->listener, 0); /* all is out */
    prepare_receive(net, count);
}

static void on_udp(struct loop_watch *watch, uint32_t events)
{
    struct udp_socket *socket = CONTAINER_OF(watch, struct udp_socket, watch);
    struct net *net = socket->net;

    if ((events & EPOLLERR) != 0)
        udp_read_errors(socket);
    for (unsigned n = 0; n < UDP_BATCHES_PER_TURN; n++) {
        int count = recvmmsg(watch->fd, net->batch->in, UDP_BATCH, MSG_DONTWAIT, NULL);
        net->counters.udp_receive_calls++;
        if (count < 0 && errno == EAGAIN)
            return;
        if (count > 0)
            take_batch(socket, (unsigned)count);
        if (count >= 0 && count < UDP_BATCH)
            return; /* that was all; what has come since is seen in the next turn */
        if (count < 0)
            udp_read_errors(socket); /* an error of an earlier send: told once, here */
    }
}

/* --- Opening and closing --------------------------------------------------------------------- */

size_t udp_buffers_memory(void)
{
    return sizeof(struct udp_batch) + udp_out_memory() + (size_t)UDP_STRIDE * UDP_BATCH;
}

enum err udp_buffers_open(struct net *net)
{
    net->batch = calloc(1, sizeof *net->batch);
    void *buffers = mmap(NULL, (size_t)UDP_STRIDE * UDP_BATCH, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    net->udp_buffers = buffers != MAP_FAILED ? buffers : NULL;
    if (net->batch == NULL || net->udp_buffers == NULL || udp_out_open(net) != OK)
        return ERR_MEMORY;

    /* Without this a huge page would make every untouched byte cost. */
    madvise(net->udp_buffers, (size_t)UDP_STRIDE * UDP_BATCH, MADV_NOHUGEPAGE);
    for (unsigned i = 0; i < UDP_BATCH; i++)
        net->batch->in_pieces[i] =
            (struct iovec){net->udp_buffers + (size_t)i * UDP_STRIDE, UDP_BUFFER_BYTES};
    prepare_receive(net, UDP_BATCH);
    return OK;
}

void udp_buffers_close(struct net *net)
{
    udp_out_close(net);
    free(net->batch);
    if (net->udp_buffers != NULL)
        munmap(net->udp_buffers, (size_t)UDP_STRIDE * UDP_BATCH);
}

enum err udp_open(struct net *net, uint8_t listener, int fd)
{
    struct udp_socket *socket = &net->udp[listener];

    *socket = (struct udp_socket){
        .net = net,
        .listener = listener,
        .wildcard = addr_is_any(&net->config.listeners[listener].bound),
    };
    if (socket->wildcard && !net->udp_wildcard) {
        net->udp_wildcard = true;
        prepare_receive(net, UDP_BATCH);
    }
    enum err err = loop_watch(net->loop, &socket->watch, fd, EPOLLIN, on_udp);
    if (err)
        close(fd);
    return err;
}

void udp_close(struct net *net, uint8_t listener)
{
    struct udp_socket *socket = &net->udp[listener];
    if (socket->net == NULL || !socket->watch.watched)
        return;
    loop_unwatch(net->loop, &socket->watch);
    close(socket->watch.fd);
}
