/* SPDX-License-Identifier: Apache-2.0 */
#include "net/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /*
     * Of UDP; the kernel may cut them. What is received must fit while others have the processor,
     * 75 ms of each 100 perhaps, and while a queue stands before new requests are refused
     * (core/admit.h): else the kernel drops what belongs to calls, too. The kernel counts 2 KB for
     * a message of 1.
     */
    RECEIVE_BUFFER_BYTES = 32 << 20,
    SEND_BUFFER_BYTES = 4 << 20,
    LISTEN_BACKLOG = 4096,
};

struct net_sockets {
    struct listener *listeners; /* borrowed */
    uint32_t count;
    unsigned workers;
    int fds[]; /* count x workers; -1: none, or taken */
};

socklen_t sockaddr_of(const struct addr *addr, union sockaddr_any *out)
{
    memset(out, 0, sizeof *out);
    if (addr->family == ADDR_V4) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons(addr->port);
        memcpy(&out->v4.sin_addr, addr->bytes, 4);
        return sizeof out->v4;
    }
    assert(addr->family == ADDR_V6);
    out->v6.sin6_family = AF_INET6;
    out->v6.sin6_port = htons(addr->port);
    out->v6.sin6_scope_id = addr->scope;
    memcpy(&out->v6.sin6_addr, addr->bytes, 16);
    return sizeof out->v6;
}

struct addr addr_of(const union sockaddr_any *from)
{
    struct addr addr = {0};

    if (from->sa.sa_family == AF_INET) {
        addr.family = ADDR_V4;
        addr.port = ntohs(from->v4.sin_port);
        memcpy(addr.bytes, &from->v4.sin_addr, 4);
    } else if (from->sa.sa_family == AF_INET6) {
        addr.family = ADDR_V6;
        addr.port = ntohs(from->v6.sin6_port);
        addr.scope = from->v6.sin6_scope_id;
        memcpy(addr.bytes, &from->v6.sin6_addr, 16);
    }
    return addr;
}

int addr_domain(const struct addr *addr)
{
    return addr->family == ADDR_V4 ? AF_INET : AF_INET6;
}

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* What each UDP socket needs: errors of the past, the local address, no path MTU discovery. */
static bool udp_options(int fd, const struct addr *bound)
{
    bool v4 = bound->family == ADDR_V4;
    bool ok = set_option(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, 1);

    if (addr_is_any(bound))
        ok &= set_option(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
    /* A large message goes out in fragments instead of being lost to learn the path's MTU. */
    set_option(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER,
               IP_PMTUDISC_DONT); /* IPV6_PMTUDISC_DONT is the same */
    if (!set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES))
        set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    if (!set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES))
        set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
    return ok;
}

/* A bound socket; -1 and errno. `shared`: with SO_REUSEPORT. */
static int bound_socket(const struct listener *listener, bool shared)
{
    bool udp = listener->transport == TRANSPORT_UDP;
    int type = (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(addr_domain(&listener->bound), type, 0);
    if (fd < 0)
        return -1;

    bool ok = true;
    if (listener->bound.family == ADDR_V6)
        ok &= set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (!udp)
        ok &= set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared)
        ok &= set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    union sockaddr_any name;
    socklen_t name_len = sockaddr_of(&listener->bound, &name);
    if (ok && bind(fd, &name.sa, name_len) == 0)
        return fd;

    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Somebody who also says SO_REUSEPORT would share the port with us unseen: one try without it. */
static bool port_is_free(const struct listener *listener)
{
    if (listener->bound.port == 0)
        return true;
    int fd = bound_socket(listener, false);
    if (fd < 0)
        return false;
    /* TCP tells only now: with SO_REUSEADDR two may bind, but only one may listen. */
    bool is_free = listener->transport == TRANSPORT_UDP || listen(fd, 1) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return is_free;
}

static int open_listener(struct listener *listener)
{
    int fd = bound_socket(listener, true);
    if (fd < 0)
        return -1;

    bool ok;
    if (listener->transport == TRANSPORT_UDP)
        ok = udp_options(fd, &listener->bound);
    else
        ok = listen(fd, LISTEN_BACKLOG) == 0;
    union sockaddr_any name = {0};
    socklen_t name_len = sizeof name;
    if (ok && getsockname(fd, &name.sa, &name_len) == 0) {
        listener->bound.port = addr_of(&name).port;
        return fd;
    }
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

enum err net_sockets_open(struct listener *listeners, uint32_t count, unsigned workers,
                          struct net_problem *problem, struct net_sockets **out)
{
    assert(count <= LISTENERS_MAX);

    size_t places = (size_t)count * workers;
    struct net_sockets *sockets = malloc(sizeof *sockets + places * sizeof sockets->fds[0]);
    if (sockets == NULL)
        return ERR_MEMORY;
    *sockets = (struct net_sockets){.listeners = listeners, .count = count, .workers = workers};
    for (size_t i = 0; i < places; i++)
        sockets->fds[i] = -1;

    for (uint32_t i = 0; i < count; i++) {
        assert(listeners[i].transport != TRANSPORT_NONE);
        bool ok = port_is_free(&listeners[i]);
        for (unsigned worker = 0; ok && worker < workers; worker++) {
            int fd = open_listener(&listeners[i]);
            sockets->fds[i * workers + worker] = fd;
            ok = fd >= 0;
        }
        if (!ok) {
            *problem = (struct net_problem){.listener = i, .error = errno};
            net_sockets_close(sockets);
            return ERR_IO;
        }
    }
    *out = sockets;
    return OK;
}

void net_sockets_close(struct net_sockets *sockets)
{
    if (sockets == NULL)
        return;
    for (size_t i = 0; i < (size_t)sockets->count * sockets->workers; i++)
        if (sockets->fds[i] >= 0)
            close(sockets->fds[i]);
    free(sockets);
}

int net_sockets_take(struct net_sockets *sockets, uint32_t listener, unsigned worker)
{
    assert(listener < sockets->count);
    assert(worker < sockets->workers);

    int fd = sockets->fds[listener * sockets->workers + worker];
    sockets->fds[listener * sockets->workers + worker] = -1;
    return fd;
}
