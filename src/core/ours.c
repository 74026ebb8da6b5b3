/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/ours - who we are: the addresses of our listeners and our domains.
 */
#include "core/internal.h"

static struct our_name *add_name(struct core *core, struct slice host, struct slice text,
                                 const struct addr *addr, uint16_t port, uint8_t listener)
{
    if (core->our_name_count == CORE_OUR_NAMES_MAX)
        return NULL;

    struct our_name *name = &core->our_names[core->our_name_count++];
    *name = (struct our_name){
        .host = host,
        .text = text,
        .port = port,
        .transport = core->config.listeners[listener].transport,
        .listener = listener,
    };
    if (addr != NULL)
        name->addr = *addr;
    return name;
}

/** A numeric address; its text is kept for the core's life. */
static void add_addr(struct core *core, const struct addr *addr, uint8_t listener)
{
    char *text = mem_alloc(&core->mem, ADDR_TEXT_MAX);
    if (text == NULL)
        return;

    struct builder b = builder_over(text, ADDR_TEXT_MAX);
    addr_write_host(&b, addr);
    struct slice host = builder_slice(&b);
    uint16_t port = core->config.listeners[listener].bound.port;
    builder_char(&b, ':');
    builder_u64(&b, port);
    struct our_name *name = add_name(core, host, builder_slice(&b), addr, port, listener);
    if (name == NULL)
        mem_free(&core->mem, text, ADDR_TEXT_MAX);
    else
        name->kept_text = text;
}

static void split_host_port(struct slice text, uint16_t default_port, struct slice *host,
                            uint16_t *port)
{
    size_t colon = SIZE_MAX;
    bool bracket = false;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '[')
            bracket = true;
        if (text.data[i] == ']')
            bracket = false;
        if (text.data[i] == ':' && !bracket)
            colon = i;
    }
    *host = text;
    *port = default_port;
    if (colon == SIZE_MAX)
        return;
    uint32_t number;
    if (sip_number_parse(slice_from(text, colon + 1), &number) == OK && number > 0 &&
        number <= 65535) {
        host->len = colon;
        *port = (uint16_t)number;
    }
}

static void add_listener(struct core *core, uint8_t index)
{
    const struct listener *listener = &core->config.listeners[index];

    if (listener->advertise.len > 0) {
        struct slice host;
        uint16_t port;
        struct addr addr;
        split_host_port(listener->advertise, listener->bound.port, &host, &port);
        bool numeric = addr_parse(host, port, &addr) == OK;
        add_name(core, host, listener->advertise, numeric ? &addr : NULL, port, index);
    }
    if (!addr_is_any(&listener->bound)) {
        add_addr(core, &listener->bound, index);
        return;
    }
    for (uint32_t i = 0; i < core->config.local_addr_count; i++) {
        struct addr addr = core->config.local_addrs[i];
        addr.port = listener->bound.port;
        if (addr.family == listener->bound.family)
            add_addr(core, &addr, index);
    }
}

void ours_init(struct core *core)
{
    core->our_name_count = 0;
    for (uint32_t i = 0; i < core->config.listener_count; i++)
        add_listener(core, (uint8_t)i);
}

void ours_close(struct core *core)
{
    for (uint32_t i = 0; i < core->our_name_count; i++) {
        struct our_name *name = &core->our_names[i];
        if (name->kept_text != NULL)
            mem_free(&core->mem, name->kept_text, ADDR_TEXT_MAX);
    }
    core->our_name_count = 0;
}

static bool name_matches(const struct our_name *name, struct slice host, const struct addr *addr)
{
    if (slice_equal_nocase(name->host, host))
        return true;
    return addr != NULL && name->addr.family != ADDR_NONE && addr_same_host(&name->addr, addr);
}

/** IPv6 has many spellings: compared as address, everything else as text. */
static const struct addr *host_addr(struct slice host, struct addr *room)
{
    if (host.len == 0 || host.data[0] != '[')
        return NULL;
    return addr_parse(host, 0, room) == OK ? room : NULL;
}

bool is_our_address(const struct core *core, const struct addr *addr)
{
    for (uint32_t i = 0; i < core->our_name_count; i++) {
        const struct our_name *name = &core->our_names[i];
        if (name->port == addr->port && addr_same_host(&name->addr, addr))
            return true;
    }
    return false;
}

static bool is_our_port(const struct core *core, uint16_t port)
{
    for (uint32_t i = 0; i < core->our_name_count; i++)
        if (core->our_names[i].port == port)
            return true;
    return false;
}

bool is_our_host(const struct core *core, struct slice host, uint16_t port)
{
    struct addr room;
    const struct addr *addr = host_addr(host, &room);

    for (uint32_t i = 0; i < core->our_name_count; i++) {
        const struct our_name *name = &core->our_names[i];
        if ((port == 0 || name->port == port) && name_matches(name, host, addr))
            return true; /* an address of ours without a port is ours, whatever port we listen on */
    }
    if (port != 0 && !is_our_port(core, port))
        return false;
    return policy_is_our_domain(core->policy, host);
}

bool is_our_uri(const struct core *core, const struct sip_uri *uri)
{
    if (uri->scheme == SIP_SCHEME_TEL)
        return true; /* numbers are dialled through us */
    if (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS)
        return false;

    struct slice host = uri->maddr.len > 0 ? uri->maddr : uri->host; /* §16.4 */
    return is_our_host(core, host, uri->port);
}

bool is_our_sent_by(void *user, const struct sip_via *via)
{
    const struct core *core = user;
    struct addr room;
    const struct addr *addr = host_addr(via->host, &room);
    uint16_t port = via->port != 0 ? via->port : sip_transport_port((enum transport)via->transport);

    for (uint32_t i = 0; i < core->our_name_count; i++) {
        const struct our_name *name = &core->our_names[i];
        if (name->port == port && name_matches(name, via->host, addr))
            return true;
    }
    return false;
}

/** The text of a listener's address, made at start; empty: not one of those we know. */
static struct slice kept_address(const struct core *core, const struct addr *addr, uint8_t listener)
{
    for (uint32_t i = 0; i < core->our_name_count; i++) {
        const struct our_name *name = &core->our_names[i];
        if (name->listener == listener && name->port == addr->port &&
            addr_same_host(&name->addr, addr))
            return name->text;
    }
    return SLICE_EMPTY;
}

void write_our_address(void *user, struct builder *b, const struct flow *to)
{
    const struct core *core = user;
    assert(to->listener < core->config.listener_count);

    const struct listener *listener = &core->config.listeners[to->listener];
    if (listener->advertise.len > 0) {
        builder_add(b, listener->advertise);
        return;
    }
    struct addr addr = listener->bound;
    if (addr_is_any(&addr)) {
        struct addr local = to->local;
        if (local.family == ADDR_NONE && core->config.ops.local_address != NULL)
            local =
                core->config.ops.local_address(core->config.ops.user, to->listener, &to->remote);
        if (local.family != ADDR_NONE) {
            addr = local;
            addr.port = listener->bound.port;
        }
    }
    struct slice text = kept_address(core, &addr, to->listener);
    if (text.len > 0)
        builder_add(b, text);
    else
        addr_write(b, &addr);
}

/** Takes `part` off the front of `rest`. */
static bool skip(struct slice *rest, struct slice part)
{
    if (!slice_starts_with(*rest, part))
        return false;
    *rest = slice_from(*rest, part.len);
    return true;
}

bool is_our_route_text(const struct core *core, struct slice value, struct slice *token)
{
    if (value.len == 0 || value.data[value.len - 1] != '>' || !skip(&value, SLICE("<sip:")))
        return false;
    value.len--;
    for (uint32_t i = 0; i < core->our_name_count; i++) {
        struct slice rest = value;
        if (!skip(&rest, core->our_names[i].text) || !skip(&rest, SLICE(";lr;r=")))
            continue;
        *token = rest;
        return true;
    }
    return false;
}

bool listener_fits(const struct core *core, const struct flow *flow)
{
    if (flow->listener >= core->config.listener_count)
        return false;
    const struct listener *listener = &core->config.listeners[flow->listener];
    return listener->transport == flow->transport && listener->bound.family == flow->remote.family;
}

uint8_t pick_listener(const struct core *core, enum transport transport, uint8_t family,
                      uint8_t prefer)
{
    const struct listener *listeners = core->config.listeners;

    if (prefer < core->config.listener_count && listeners[prefer].transport == transport &&
        listeners[prefer].bound.family == family)
        return prefer;
    for (uint32_t i = 0; i < core->config.listener_count; i++)
        if (listeners[i].transport == transport && listeners[i].bound.family == family)
            return (uint8_t)i;
    return LISTENER_ANY;
}
