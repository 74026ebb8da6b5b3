/* SPDX-License-Identifier: Apache-2.0 */
#include "net/internal.h"

#include <unistd.h>

#include "base/hash.h"

/* Asks the kernel's routes: a connected UDP socket has the address that packets would leave by. */
static struct addr ask_routes(int *fd, const struct addr *remote)
{
    struct addr none = {0};
    union sockaddr_any name;

    if (*fd < 0)
        *fd = socket(addr_domain(remote), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return none;

    /* The former answer sticks to the socket until it is disconnected. */
    struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    (void)!connect(*fd, &nowhere, sizeof nowhere);

    struct addr there = *remote;
    there.port = 9; /* any will do: nothing is sent */
    if (connect(*fd, &name.sa, sockaddr_of(&there, &name)) != 0)
        return none;
    socklen_t len = sizeof name;
    if (getsockname(*fd, &name.sa, &len) != 0)
        return none;
    return addr_of(&name);
}

struct addr net_local_address(struct net *net, uint8_t listener, const struct addr *remote)
{
    struct addr none = {0};
    uint16_t port = 0;

    if (remote->family == ADDR_NONE)
        return none;
    if (listener < net->config.listener_count) {
        const struct addr *bound = &net->config.listeners[listener].bound;
        if (!addr_is_any(bound))
            return *bound;
        port = bound->port;
    }
    struct addr host = *remote;
    host.port = 0;
    uint64_t hash =
        hash_bytes(net->config.hash_seed, (struct slice){(const char *)&host, sizeof host});
    struct local_entry *entry = &net->local_cache[hash % LOCAL_CACHE];
    uint64_t now_ms = loop_now_ms(net->loop);
    if (!addr_equal(&entry->remote, &host) || entry->until_ms <= now_ms) {
        entry->local = ask_routes(&net->local_fd[host.family == ADDR_V6], &host);
        entry->remote = host;
        entry->until_ms = now_ms + LOCAL_CACHE_MS;
    }
    struct addr local = entry->local;
    local.port = local.family != ADDR_NONE ? port : 0;
    return local;
}
