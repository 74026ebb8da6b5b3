/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/dns - requests that wait for the name of their next hop (RFC 3263).
 *
 * What names mean is resolve/'s business. Here the request stands by until its name is known, and
 * is then run through the stages anew, with the result at hand. A request with a server transaction
 * is kept by that; the bytes of an ACK are kept here.
 */
#include "core/internal.h"

static bool ask_world(void *user, enum dns_type type, const char *name, struct id question)
{
    struct core *core = user;
    return core->config.ops.ask_dns(core->config.ops.user, type, name, question);
}

enum {
    SHARES_INITIAL = 64
};

/* ---- shares ---- */

static uint64_t share_key(const struct core *core, const struct request *r)
{
    struct addr host = r->source->remote;

    if (r->user != NULL)
        return hash_bytes(core->config.hash_seed, r->user->name);
    host.port = 0;
    return hash_bytes(core->config.hash_seed ^ 1, (struct slice){(const char *)&host, sizeof host});
}

/** Takes a place for the sender of this request. NULL: he has all of his, or no memory. */
static struct dns_share *share_take(struct core *core, const struct request *r)
{
    uint64_t key = share_key(core, r);
    struct map_node *node = map_first(&core->dns_shares, key);
    struct dns_share *share = node != NULL ? CONTAINER_OF(node, struct dns_share, node) : NULL;

    if (share == NULL) {
        share = mem_zalloc(&core->mem, sizeof *share);
        if (share == NULL)
            return NULL;
        map_add(&core->dns_shares, &share->node, key);
    }
    if (share->count == DNS_SHARE_MAX)
        return NULL;
    share->count++;
    return share;
}

static void share_give_back(struct core *core, struct dns_share *share)
{
    if (--share->count > 0)
        return;
    map_remove(&core->dns_shares, &share->node);
    mem_free(&core->mem, share, sizeof *share);
}

/* ---- waiting ---- */

static void wait_free(struct core *core, struct dns_wait *wait)
{
    list_remove(&wait->by_core);
    core->dns_wait_count--;
    share_give_back(core, wait->share);
    mem_free(&core->mem, wait, sizeof *wait + wait->bytes_len);
}

static void on_done(void *user, struct resolve_waiter *waiter, enum resolve_verdict verdict,
                    const struct resolve_targets *targets)
{
    struct core *core = user;
    struct dns_wait *wait = CONTAINER_OF(waiter, struct dns_wait, waiter);

    core->resolved = verdict;
    core->resolved_targets = targets;
    core->resolved_name = wait->name;
    core->dns_rounds = wait->rounds;
    if (wait->server.generation != 0)
        core_resume(core, wait->server, AUTH_OK);
    else
        core_resume_ack(core, (struct slice){wait->bytes, wait->bytes_len},
                        (enum sip_framing)wait->framing, &wait->source);
    core->resolved = 0;
    core->resolved_targets = NULL;
    core->dns_rounds = 0;
    wait_free(core, wait);
}

/** The transports that our listeners can send by to addresses of a family. Nobody can be connected
 * to by WebSocket. */
static uint8_t usable_transports(const struct core *core, uint8_t family)
{
    uint8_t set = 0;

    for (uint32_t i = 0; i < core->config.listener_count; i++)
        if (core->config.listeners[i].bound.family == family &&
            core->config.listeners[i].transport < TRANSPORT_WS)
            set |= (uint8_t)(1 << core->config.listeners[i].transport);
    return set;
}

enum err dns_open_waits(struct core *core)
{
    struct resolve_config config = {
        .mem = &core->mem,
        .wheel = &core->wheel,
        .rng = &core->rng,
        .hash_seed = core->config.hash_seed,
        .name_key = core->config.token_key,
        .usable_v4 = usable_transports(core, ADDR_V4),
        .usable_v6 = usable_transports(core, ADDR_V6),
        .limits = core->config.resolve,
        .user = core,
        .ask = ask_world,
        .done = on_done,
    };
    enum err err = map_init(&core->dns_shares, SHARES_INITIAL);
    return err != OK ? err : resolver_open(&config, &core->resolver);
}

size_t dns_waits_memory_max(void)
{
    return map_memory_max(SHARES_INITIAL, DNS_WAITS_MAX);
}

void dns_close_waits(struct core *core)
{
    struct list *node;

    while ((node = core->dns_waits.next) != &core->dns_waits) {
        struct dns_wait *wait = CONTAINER_OF(node, struct dns_wait, by_core);
        resolver_forget(&wait->waiter);
        wait_free(core, wait);
    }
    resolver_close(core->resolver);
    map_release(&core->dns_shares);
}

static uint64_t name_of(const struct core *core, const struct resolve_query *query)
{
    uint64_t kind =
        (uint64_t)query->port << 16 | (uint64_t)query->transport << 8 | (uint64_t)query->sips;
    return hash_bytes(core->config.hash_seed ^ kind, query->host);
}

/* A request taken up again may be for another name than it waited for: what is ours has changed
 * meanwhile, or it has several. */
enum resolve_verdict dns_find(struct core *core, const struct resolve_query *query,
                              const struct resolve_targets **targets)
{
    *targets = &core->found;
    if (core->resolved != 0 && core->resolved_name == name_of(core, query)) {
        *targets = core->resolved_targets;
        return core->resolved;
    }
    enum resolve_verdict verdict = resolver_find(core->resolver, query, core->now_ms, &core->found);
    if (verdict != RESOLVE_ASK)
        return verdict;
    if (core->dns_rounds == DNS_ROUNDS_MAX)
        return RESOLVE_NO_ANSWER;
    core->dns_query = *query;
    return RESOLVE_ASK;
}

/** NULL: no memory, or a limit. */
static struct dns_wait *wait_new(struct core *core, const struct request *r)
{
    size_t keep = r->server.generation == 0 ? r->msg->buf.len : 0;

    if (core->dns_wait_count == DNS_WAITS_MAX || sizeof(struct dns_wait) + keep > MEM_MAX_ALLOC)
        return NULL;
    struct dns_share *share = share_take(core, r);
    if (share == NULL)
        return NULL;
    struct dns_wait *wait = mem_alloc(&core->mem, sizeof *wait + keep);
    if (wait == NULL) {
        share_give_back(core, share);
        return NULL;
    }
    *wait = (struct dns_wait){.server = r->server,
                              .share = share,
                              .name = name_of(core, &core->dns_query),
                              .rounds = (uint8_t)(core->dns_rounds + 1),
                              .bytes_len = (uint32_t)keep};
    if (keep > 0) {
        wait->source = *r->source;
        wait->framing = (uint8_t)sip_framing_of(r->source->transport);
        memcpy(wait->bytes, r->msg->buf.data, keep);
    }
    list_push(&core->dns_waits, &wait->by_core);
    core->dns_wait_count++;
    return wait;
}

enum verdict dns_wait(struct core *core, struct request *r)
{
    enum verdict told = is_attempt(core, r) ? attempt_waits(core, r) : GO_ON;
    if (told == ANSWERED)
        return told;

    struct dns_wait *wait = wait_new(core, r);
    if (wait != NULL &&
        resolver_wait(core->resolver, &core->dns_query, &wait->waiter, core->now_ms) == OK) {
        if (r->msg->method == SIP_INVITE && told == GO_ON && core->resolved == 0) {
            /* the wait may be longer than T1 (§17.2.1) */
            struct sip_reply trying = {.status = 100};
            (void)!txn_reply_parsed(core->txns, r->server, r->msg, &trying, core->now_ms);
        }
        return WAITING;
    }
    if (wait != NULL)
        wait_free(core, wait);
    return refuse(core, r, CORE_R_DNS_FULL, 503, NULL, SLICE_EMPTY);
}

/* ---- what became of a target ---- */

static struct resolve_target hop_target(const struct flow *to)
{
    return (struct resolve_target){
        .addr = to->remote, .transport = to->transport, .name = to->name};
}

void dns_hop_failed(void *user, const struct flow *to, uint32_t retry_after_s, uint64_t now_ms)
{
    struct core *core = user;
    struct resolve_target target = hop_target(to);

    if (retry_after_s > 0)
        resolver_failed_for(core->resolver, &target, retry_after_s, now_ms);
    else
        resolver_failed(core->resolver, &target, now_ms);
}

void dns_hop_silent(void *user, const struct flow *to, uint64_t now_ms)
{
    struct core *core = user;
    struct resolve_target target = hop_target(to);

    resolver_silent(core->resolver, &target, now_ms);
}

void dns_hop_answered(void *user, const struct flow *to)
{
    struct core *core = user;
    struct resolve_target target = hop_target(to);

    resolver_answered(core->resolver, &target);
}
