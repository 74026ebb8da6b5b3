/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/ping - keeps the way to phones behind a NAT open that do not do so themselves.
 *
 * A NAT forgets a phone that is silent for half a minute, and no call reaches it. So the worker
 * goes round and round over the notes of its part of the location table, each round in
 * config.ping.every_ms, evenly (when two rounds found nobody it rests, until somebody registers who
 * needs it), and sends something to each phone on UDP that is behind a NAT: an OPTIONS, whose
 * answer shows that the phone is there, or an empty line, which costs a tenth of it and shows
 * nothing. Phones that register flows (RFC 5626) are left alone: they ask us by STUN.
 *
 * Only of phones that are being asked, or did not answer, something is kept. A phone that has not
 * answered for several rounds is reported, and that it answers again; its binding stays, as the
 * phone itself has asked for it.
 */
#include "core/internal.h"

enum {
    TICK_MS = 100,
    EMPTY_ROUNDS = 2, /* one alone may miss an entry that moves: see table_ops.next */
    KEPT_ROUNDS = 3,  /* after so many rounds without a ping a phone is gone, or registered anew */
    LOG_EVERY_MS = 1000,
    REQUEST_MAX = 4096, /* bytes of an OPTIONS */
    ID_DIGITS = 16,
};

/** A phone that is being asked, or that did not answer. */
struct ping {
    struct map_node node; /* by phone_key() */
    struct list by_age;
    struct id id;
    struct id client; /* transaction under way; zeroed: none */
    uint64_t asked_ms;
    uint32_t misses;  /* in a row */
    char contact[64]; /* for the log; cut off */
};

static void on_tick(struct timer *timer, uint64_t now_ms);

enum err ping_open(struct core *core)
{
    struct pings *pings = &core->pings;

    list_init(&pings->by_age);
    if (core->config.ping.every_ms == 0)
        return OK;
    enum err err = pool_init(&pings->pool, &core->mem, sizeof(struct ping), PINGS_MAX);
    if (err == OK)
        err = map_init(&pings->by_phone, PINGS_INITIAL);
    if (err)
        return err;
    pings->round_ms = core->now_ms;
    pings->timer.fn = on_tick;
    timer_start(&core->wheel, &pings->timer, core->now_ms + TICK_MS);
    return OK;
}

void ping_close(struct core *core)
{
    struct pings *pings = &core->pings;

    if (pings->timer.fn != NULL)
        timer_stop(&core->wheel, &pings->timer);
    if (pings->pool.mem != NULL)
        pool_release(&pings->pool);
    if (pings->by_phone.buckets != NULL)
        map_release(&pings->by_phone);
}

size_t ping_memory_max(void)
{
    return pool_memory(PINGS_MAX) + map_memory_max(PINGS_INITIAL, PINGS_MAX);
}

/* ---- what is kept ---- */

/** Of a binding by its way: a phone that comes back by another one is asked anew. */
static uint64_t phone_key(const struct core *core, uint64_t aor_hash, const struct binding *binding)
{
    const struct slice remote = {(const char *)&binding->flow.remote, sizeof(struct addr)};

    return aor_hash ^ hash_bytes(core->config.hash_seed, binding->contact) ^
           hash_bytes(core->config.hash_seed ^ 1, remote);
}

static struct ping *find(const struct core *core, uint64_t key)
{
    struct map_node *node = map_first(&core->pings.by_phone, key);
    return node != NULL ? CONTAINER_OF(node, struct ping, node) : NULL;
}

static bool is_silent(const struct core *core, const struct ping *ping)
{
    return ping->misses >= core->config.ping.misses;
}

static void forget(struct core *core, struct ping *ping)
{
    core->pings.silent -= is_silent(core, ping);
    map_remove(&core->pings.by_phone, &ping->node);
    list_remove(&ping->by_age);
    pool_free(&core->pings.pool, ping->id);
}

static void forget_old(struct core *core)
{
    struct pings *pings = &core->pings;
    uint64_t kept_ms = (uint64_t)KEPT_ROUNDS * core->config.ping.every_ms + SILENCE_MS;

    while (!list_empty(&pings->by_age)) {
        struct ping *ping = CONTAINER_OF(pings->by_age.next, struct ping, by_age);
        if (ping->asked_ms + kept_ms > core->now_ms)
            return;
        forget(core, ping);
    }
}

static struct ping *remember(struct core *core, uint64_t key, const struct binding *binding)
{
    struct ping *ping = find(core, key);
    struct id id;

    if (ping == NULL) {
        ping = pool_alloc(&core->pings.pool, &id);
        if (ping == NULL)
            return NULL;
        ping->id = id;
        struct slice contact = binding->contact;
        if (contact.len >= sizeof ping->contact)
            contact.len = sizeof ping->contact - 1;
        memcpy(ping->contact, contact.data, contact.len);
        map_add(&core->pings.by_phone, &ping->node, key);
    } else {
        list_remove(&ping->by_age);
    }
    ping->asked_ms = core->now_ms;
    list_push(&core->pings.by_age, &ping->by_age);
    return ping;
}

/* ---- asking ---- */

/** The number by which transactions know a ping: that of a response context is odd in its upper
 * half, see proxy/context.h. */
static uint64_t ping_number(const struct ping *ping)
{
    return (uint64_t)(ping->id.generation & ~1u) << 32 | ping->id.slot;
}

bool ping_is_number(uint64_t context)
{
    return (context >> 32 & 1) == 0;
}

static struct ping *find_number(const struct core *core, uint64_t context, struct id client)
{
    struct id id = {.slot = (uint32_t)context, .generation = (uint32_t)(context >> 32) | 1};
    struct ping *ping = pool_get(&core->pings.pool, id);
    return ping != NULL && id_equal(ping->client, client) ? ping : NULL;
}

/** What of a Contact may stand in a Request-URI: all but its headers (RFC 3261 §19.1.1). */
static struct slice request_uri(struct slice contact)
{
    size_t headers = slice_find(contact, '?');
    return headers != SIZE_MAX ? (struct slice){contact.data, headers} : contact;
}

static void write_options(struct core *core, const struct binding *binding, const struct flow *to,
                          struct slice branch, struct builder *b)
{
    struct slice uri = request_uri(binding->contact);

    builder_text(b, "OPTIONS ");
    builder_add(b, uri);
    builder_text(b, " SIP/2.0\r\nVia: SIP/2.0/UDP ");
    write_our_address(core, b, to);
    builder_text(b, ";branch=");
    builder_add(b, branch);
    builder_text(b, ";rport\r\nMax-Forwards: 70\r\nFrom: <sip:");
    write_our_address(core, b, to);
    builder_text(b, ">;tag=");
    builder_hex(b, rng_u64(&core->rng), ID_DIGITS);
    builder_text(b, "\r\nTo: <");
    builder_add(b, uri);
    builder_text(b, ">\r\nCall-ID: ");
    builder_hex(b, rng_u64(&core->rng), ID_DIGITS);
    builder_text(b, "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n");
}

/** False: it cannot be asked now. */
static bool send_options(struct core *core, struct ping *ping, const struct binding *binding,
                         const struct flow *to)
{
    char branch[TXN_BRANCH_LEN], text[REQUEST_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct id client;

    if (txn_client_open(core->txns, SIP_OPTIONS, 0, ping_number(ping), &client, branch) != OK)
        return false;
    write_options(core, binding, to, (struct slice){branch, sizeof branch}, &b);
    if (b.overflow || txn_client_send(core->txns, client, builder_slice(&b), to, core->now_ms)) {
        txn_client_discard(core->txns, client);
        return false;
    }
    ping->client = client;
    return true;
}

static void send_empty_line(struct core *core, const struct flow *to)
{
    outbox_send(core->config.outbox, SLICE("\r\n\r\n"), to);
}

bool ping_is_for(const struct binding *binding)
{
    struct slice scheme = {binding->contact.data,
                           binding->contact.len < 3 ? binding->contact.len : 3};

    return binding->nat && binding->flow.transport == TRANSPORT_UDP && binding->reg_id == 0 &&
           binding->path.len == 0 && slice_equal_nocase(scheme, SLICE("sip")) &&
           !binding_wakes(binding); /* it sleeps, and is woken when somebody wants it */
}

void ping_wanted(struct core *core)
{
    struct pings *pings = &core->pings;

    if (pings->timer.fn == NULL || core->draining)
        return;
    pings->empty_rounds = 0; /* the present round may have passed its place: there is another one */
    if (timer_armed(&pings->timer))
        return;
    pings->round_ms = core->now_ms;
    timer_start(&core->wheel, &pings->timer, core->now_ms + TICK_MS);
}

/** True: something was sent. */
static bool ping_binding(struct core *core, uint64_t aor_hash, const struct binding *binding)
{
    struct flow to = binding->flow;

    if (!ping_is_for(binding) || binding->expires_ms <= core->wall_ms)
        return false;
    core->pings.found = true;
    if (!listener_fits(core, &to))
        to.listener = pick_listener(core, TRANSPORT_UDP, to.remote.family, LISTENER_ANY);
    if (to.listener == LISTENER_ANY)
        return false;
    struct ping *ping = core->config.ping.empty_lines
                            ? NULL
                            : remember(core, phone_key(core, aor_hash, binding), binding);
    if (ping != NULL && ping->client.generation != 0)
        return false; /* it is being asked yet: that keeps the way open, too */
    core->counters.pings++;
    if (ping == NULL || !send_options(core, ping, binding, &to))
        send_empty_line(core, &to); /* also where there is no room to wait for an answer */
    return true;
}

static void on_tick(struct timer *timer, uint64_t now_ms)
{
    struct pings *pings = CONTAINER_OF(timer, struct pings, timer);
    struct core *core = CONTAINER_OF(pings, struct core, pings);
    const struct table_ops *table = &core->config.location;
    uint64_t every_ms = core->config.ping.every_ms;
    uint64_t places = table->places(table->user, core->config.worker);
    uint64_t past_ms = now_ms - pings->round_ms;
    uint64_t due = past_ms < every_ms ? places * past_ms / every_ms : places;
    uint32_t budget = core->config.ping.rate * TICK_MS / 1000 + 1;
    struct table_search search = location_search(core, pings->place, due);
    struct slice aor, block;
    uint64_t hash;

    search_pinged(&search);
    while (budget > 0 && (block = table->next(table->user, &search, &aor, &hash)).len > 0) {
        struct binding binding;
        uint32_t cursor = 0;
        while (binding_next(block, &cursor, &binding))
            budget -= ping_binding(core, hash, &binding) && budget > 0;
    }
    pings->place = search.place;
    if (pings->place >= places && past_ms >= every_ms) {
        pings->place = 0;
        pings->round_ms = now_ms;
        pings->empty_rounds = pings->found ? 0 : pings->empty_rounds + 1;
        pings->found = false;
    }
    forget_old(core);
    if (pings->empty_rounds < EMPTY_ROUNDS || !list_empty(&pings->by_age))
        timer_start(&core->wheel, timer, now_ms + TICK_MS);
}

/* ---- answers ---- */

/** A network that fails must not become a flood of log lines. */
static void log_silent(struct core *core, const struct ping *ping)
{
    struct pings *pings = &core->pings;

    pings->unlogged++;
    if (core->now_ms < pings->log_ms)
        return;
    core_logf(core, CORE_LOG_WARNING, "nat_silent",
              "%u phones behind NATs do not answer any more, the last is %s; they stay registered",
              pings->unlogged, ping->contact);
    pings->unlogged = 0;
    pings->log_ms = core->now_ms + LOG_EVERY_MS;
}

void ping_answered(struct core *core, uint64_t context, struct id client, unsigned status)
{
    struct ping *ping = find_number(core, context, client);

    if (ping == NULL || status < 200)
        return; /* whatever it says: it is there */
    if (is_silent(core, ping))
        core_logf(core, CORE_LOG_INFO, "nat_answers", "%s answers again", ping->contact);
    core->counters.pings_answered++;
    forget(core, ping);
}

void ping_failed(struct core *core, uint64_t context, struct id client)
{
    static const struct id none;
    struct ping *ping = find_number(core, context, client);

    if (ping == NULL)
        return;
    ping->client = none;
    if (core->draining) /* we have stopped asking, see ping_stop() */
        return;
    core->counters.pings_unanswered++;
    ping->misses++;
    if (ping->misses == core->config.ping.misses) {
        core->pings.silent++;
        log_silent(core, ping);
    }
}

void ping_stop(struct core *core)
{
    uint32_t cursor = 0;
    struct id id;
    const struct ping *ping;

    if (core->pings.timer.fn == NULL)
        return;
    timer_stop(&core->wheel, &core->pings.timer);
    while ((ping = pool_next(&core->pings.pool, &cursor, &id)) != NULL)
        if (ping->client.generation != 0)
            txn_client_fail(core->txns, ping->client, TXN_TIMEOUT, core->now_ms);
}
