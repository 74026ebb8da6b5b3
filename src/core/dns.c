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

static void wait_free(struct core *core, struct dns_wait *wait)
{
    list_remove(&wait->by_core);
    core->dns_wait_count--;
    mem_free(&core->mem, wait, sizeof *wait + wait->bytes_len);
}

static void on_done(void *user, struct resolve_waiter *waiter, enum resolve_verdict verdict,
                    const struct resolve_targets *targets)
{
    struct core *core = user;
    struct dns_wait *wait = CONTAINER_OF(waiter, struct dns_wait, waiter);

    core->resolved = verdict;
    core->resolved_targets = targets;
    if (wait->server.generation != 0)
        core_resume(core, wait->server, AUTH_OK);
    else
        core_resume_ack(core, (struct slice){wait->bytes, wait->bytes_len},
                        (enum sip_framing)wait->framing, &wait->source);
    core->resolved = 0;
    core->resolved_targets = NULL;
    wait_free(core, wait);
}

/** The transports that our listeners can send by to addresses of a family. */
static uint8_t usable_transports(const struct core *core, uint8_t family)
{
    uint8_t set = 0;

    for (uint32_t i = 0; i < core->config.listener_count; i++)
        if (core->config.listeners[i].bound.family == family)
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
        .usable_v4 = usable_transports(core, ADDR_V4),
        .usable_v6 = usable_transports(core, ADDR_V6),
        .limits = core->config.resolve,
        .user = core,
        .ask = ask_world,
        .done = on_done,
    };
    return resolver_open(&config, &core->resolver);
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
}

/** NULL: no memory, or the limit. */
static struct dns_wait *wait_new(struct core *core, const struct request *r)
{
    size_t keep = r->server.generation == 0 ? r->msg->buf.len : 0;

    if (core->dns_wait_count == DNS_WAITS_MAX || sizeof(struct dns_wait) + keep > MEM_MAX_ALLOC)
        return NULL;
    struct dns_wait *wait = mem_alloc(&core->mem, sizeof *wait + keep);
    if (wait == NULL)
        return NULL;
    *wait = (struct dns_wait){.server = r->server, .bytes_len = (uint32_t)keep};
    if (keep > 0) {
        wait->source = *r->source;
        wait->framing =
            transport_reliable((enum transport)r->source->transport) ? SIP_STREAM : SIP_DATAGRAM;
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
        if (r->msg->method == SIP_INVITE &&
            told == GO_ON) { /* the wait may be longer than T1 (§17.2.1) */
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

void dns_hop_failed(void *user, const struct flow *to, uint64_t now_ms)
{
    struct core *core = user;
    struct resolve_target target = {.addr = to->remote, .transport = to->transport};

    resolver_failed(core->resolver, &target, now_ms);
}

void dns_hop_answered(void *user, const struct flow *to)
{
    struct core *core = user;
    struct resolve_target target = {.addr = to->remote, .transport = to->transport};

    resolver_answered(core->resolver, &target);
}
