/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/time.h>

enum {
    EDNS_BYTES = 1232, /* never fragmented; what is larger comes by TCP */
    SERVERS_TEXT_MAX = 2048,
};

/** A socket of c-ares; fd -1: free. */
struct dns_socket {
    struct loop_watch watch;
    struct dns *dns;
    int fd;
};

struct dns {
    struct dns_config config;
    ares_channel channel;
    bool library, open; /* what is to be undone */
    bool asking;        /* within ares_query(): answers wait */
    bool closing;
    struct timer timer;
    struct list failed; /* struct dns_query: at once, to be told */
    struct dns_socket sockets[DNS_SOCKETS_MAX];
    struct dns_parsed parsed; /* here and not on the stack */
};

struct dns_query {
    struct list node;
    struct dns *dns;
    struct id question;
    enum dns_type type;
    char name[DNS_NAME_MAX + 1];
};

/* ---- time ---- */

static void arm(struct dns *dns)
{
    struct timeval room = {.tv_sec = 3600};
    uint64_t now_ms = loop_now_ms(dns->config.loop);
    struct timeval wait;

    if (!list_empty(&dns->failed)) {
        timer_start(loop_timers(dns->config.loop), &dns->timer, now_ms);
        return;
    }
    if (ares_timeout(dns->channel, &room, &wait) == &room) {
        timer_stop(loop_timers(dns->config.loop), &dns->timer); /* nothing is open */
        return;
    }
    timer_start(loop_timers(dns->config.loop), &dns->timer,
                now_ms + (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000 + 1);
}

static void tell(struct dns *dns, struct dns_query *query, const struct dns_answer *answer)
{
    dns->config.answered(dns->config.user, query->question, answer);
    free(query);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct dns *dns = CONTAINER_OF(timer, struct dns, timer);
    const struct dns_answer failed = {.status = DNS_FAILED};
    struct list *node;

    (void)now_ms;
    while ((node = list_pop(&dns->failed)) != NULL)
        tell(dns, CONTAINER_OF(node, struct dns_query, node), &failed);
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm(dns);
}

/* ---- sockets ---- */

static void on_socket(struct loop_watch *watch, uint32_t events)
{
    struct dns_socket *socket = CONTAINER_OF(watch, struct dns_socket, watch);
    struct dns *dns = socket->dns;
    bool reads = (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
    bool writes = (events & EPOLLOUT) != 0;

    ares_process_fd(dns->channel, reads ? socket->fd : ARES_SOCKET_BAD,
                    writes ? socket->fd : ARES_SOCKET_BAD);
    arm(dns);
}

static struct dns_socket *socket_of(struct dns *dns, int fd)
{
    for (size_t i = 0; i < DNS_SOCKETS_MAX; i++)
        if (dns->sockets[i].fd == fd)
            return &dns->sockets[i];
    return NULL;
}

/* c-ares says what it waits for; neither: it is about to close the socket. */
static void on_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct dns *dns = user;
    struct dns_socket *socket = socket_of(dns, fd);
    uint32_t events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0);

    if (events == 0) {
        if (socket == NULL)
            return;
        loop_unwatch(dns->config.loop, &socket->watch);
        socket->fd = -1;
        return;
    }
    if (socket == NULL)
        socket = socket_of(dns, -1);
    if (socket == NULL)
        return; /* its question times out */
    socket->fd = fd;
    if (loop_watch(dns->config.loop, &socket->watch, fd, events, on_socket) != OK)
        socket->fd = -1;
}

/* ---- questions ---- */

static void on_answer(void *user, int status, int timeouts, unsigned char *bytes, int len)
{
    struct dns_query *query = user;
    struct dns *dns = query->dns;
    struct slice message = {(const char *)bytes, len > 0 ? (size_t)len : 0};

    (void)timeouts;
    if (dns->closing) {
        free(query);
        return;
    }
    if (dns->asking) { /* it could not even be asked */
        list_push(&dns->failed, &query->node);
        return;
    }
    bool said = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;
    dns_parse(said && bytes != NULL ? message : SLICE_EMPTY, query->type, query->name,
              &dns->parsed);
    tell(dns, query, &dns->parsed.answer);
}

static int type_number(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return ns_t_a;
    case DNS_AAAA:
        return ns_t_aaaa;
    case DNS_SRV:
        return ns_t_srv;
    case DNS_NAPTR:
        return ns_t_naptr;
    }
    return ns_t_invalid;
}

bool dns_ask(struct dns *dns, enum dns_type type, const char *name, struct id question)
{
    size_t len = strlen(name);
    struct dns_query *query = malloc(sizeof *query);

    assert(len <= DNS_NAME_MAX);
    if (query == NULL)
        return false;
    *query = (struct dns_query){.dns = dns, .question = question, .type = type};
    memcpy(query->name, name, len + 1);
    dns->asking = true;
    ares_query(dns->channel, name, ns_c_in, type_number(type), on_answer, query);
    dns->asking = false;
    arm(dns);
    return true;
}

/* ---- open and close ---- */

static enum err set_servers(struct dns *dns)
{
    char text[SERVERS_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text - 1);

    if (dns->config.server_count == 0)
        return OK;
    for (uint32_t i = 0; i < dns->config.server_count; i++) {
        if (i > 0)
            builder_char(&b, ',');
        addr_write(&b, &dns->config.servers[i]);
    }
    text[b.len] = '\0';
    if (b.overflow || ares_set_servers_ports_csv(dns->channel, text) != ARES_SUCCESS)
        return ERR_IO;
    return OK;
}

enum err dns_open(const struct dns_config *config, struct dns **out)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
        .timeout = (int)config->timeout_ms,
        .tries = (int)config->tries,
        .ednspsz = EDNS_BYTES,
        .sock_state_cb = on_state,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
               ARES_OPT_SOCK_STATE_CB;
    struct dns *dns = calloc(1, sizeof *dns);

    if (dns == NULL)
        return ERR_MEMORY;
    dns->config = *config;
    dns->timer.fn = on_timer;
    list_init(&dns->failed);
    for (size_t i = 0; i < DNS_SOCKETS_MAX; i++)
        dns->sockets[i] = (struct dns_socket){.dns = dns, .fd = -1};
    options.sock_state_cb_data = dns;
    dns->library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
    dns->open = dns->library && ares_init_options(&dns->channel, &options, mask) == ARES_SUCCESS;
    if (!dns->open || set_servers(dns) != OK) {
        dns_close(dns);
        return ERR_IO;
    }
    dns->config.servers = NULL; /* copied by c-ares */
    *out = dns;
    return OK;
}

void dns_close(struct dns *dns)
{
    struct list *node;

    if (dns == NULL)
        return;
    dns->closing = true;
    if (dns->open)
        ares_destroy(dns->channel);
    timer_stop(loop_timers(dns->config.loop), &dns->timer);
    while ((node = list_pop(&dns->failed)) != NULL)
        free(CONTAINER_OF(node, struct dns_query, node));
    if (dns->library)
        ares_library_cleanup();
    free(dns);
}
