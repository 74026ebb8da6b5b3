/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/zone - the names of the far domains, and a DNS that answers late, wrongly, or never.
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

enum {
    SPELL_MS = 12000, /* the DNS is away for one at a time */
    STALE_MS = 30000, /* an old answer serves so long when a new one cannot be had */
    STALE_MOST_MS = 86400000,
    FAILED_MS = 5000,
};

unsigned zone_domain(unsigned domain)
{
    return domain * 3;
}

unsigned zone_srv(unsigned domain, bool tcp)
{
    return domain * 3 + (tcp ? 2 : 1);
}

unsigned zone_host(unsigned host)
{
    return FAR_DOMAINS * 3 + host;
}

unsigned zone_find(const struct far *far, const char *name)
{
    unsigned at = 0;

    while (at < FAR_NAMES && strcmp(far->names[at], name) != 0)
        at++;
    return at;
}

/* ---- what there is ---- */

static void draw_srv(struct sim *sim, struct far_set *set)
{
    set->count = (unsigned)far_range(sim, 0, FAR_RECORDS);
    for (unsigned i = 0; i < set->count; i++)
        set->records[i] = (struct far_record){
            .order = (unsigned)far_range(sim, 0, 2),
            .weight = (unsigned)far_range(sim, 0, 3) * 10,
            .host = (unsigned)far_range(sim, 0, FAR_HOSTS - 1),
            .port = (unsigned)far_range(sim, 0, FAR_PORTS - 1),
        };
}

static void draw_domain(struct sim *sim, unsigned domain)
{
    struct far *far = sim->far;
    struct far_set *naptr = &far->zone[zone_domain(domain)][DNS_NAPTR];
    bool tcp_first = far_chance(sim, 50);

    draw_srv(sim, &far->zone[zone_srv(domain, false)][DNS_SRV]);
    draw_srv(sim, &far->zone[zone_srv(domain, true)][DNS_SRV]);
    naptr->count = (unsigned)far_range(sim, 0, 2);
    for (unsigned i = 0; i < naptr->count; i++)
        naptr->records[i] = (struct far_record){
            .order = far_chance(sim, 50) ? 10 : 10 + 10 * i, /* or by preference alone */
            .weight = 5 + i,
            .tcp = (i == 0) == tcp_first,
        };
    struct far_set *own = &far->zone[zone_domain(domain)][DNS_A];
    own->count = far_chance(sim, 80) ? 1 : 0;
    own->records[0] = (struct far_record){.host = (unsigned)far_range(sim, 0, FAR_HOSTS - 1)};
}

static void draw_host(struct sim *sim, unsigned host)
{
    struct far_set *set = &sim->far->zone[zone_host(host)][DNS_A];

    set->count = far_chance(sim, 10) ? 0 : far_chance(sim, 15) ? 2 : 1;
    set->records[0] = (struct far_record){.host = host};
    set->records[1] = (struct far_record){.host = (host + 1) % FAR_HOSTS};
}

void zone_draw(struct sim *sim)
{
    struct far *far = sim->far;

    for (unsigned i = 0; i < FAR_DOMAINS; i++) {
        snprintf(far->names[zone_domain(i)], sizeof far->names[0], "d%u.far.test", i);
        snprintf(far->names[zone_srv(i, false)], sizeof far->names[0], "_sip._udp.d%u.far.test", i);
        snprintf(far->names[zone_srv(i, true)], sizeof far->names[0], "_sip._tcp.d%u.far.test", i);
        draw_domain(sim, i);
    }
    for (unsigned i = 0; i < FAR_HOSTS; i++) {
        snprintf(far->names[zone_host(i)], sizeof far->names[0], "h%u.far.test", i);
        draw_host(sim, i);
    }
}

void far_change_zone(struct sim *sim)
{
    if (far_chance(sim, 50))
        draw_domain(sim, (unsigned)far_range(sim, 0, FAR_DOMAINS - 1));
    else
        draw_host(sim, (unsigned)far_range(sim, 0, FAR_HOSTS - 1));
}

/* ---- asking ---- */

static bool is_away(const struct sim *sim)
{
    uint64_t spell[2] = {sim->seed, sim->now_ms / SPELL_MS};
    return hash_bytes(21, (struct slice){(const char *)spell, sizeof spell}) % 12 == 0;
}

bool far_ask(void *user, enum dns_type type, const char *name, struct id question)
{
    struct sim *sim = user;
    uint64_t in_ms = far_range(sim, 1, 80);

    if (zone_find(sim->far, name) == FAR_NAMES) {
        sim_fail(sim, "the DNS was asked for %s, which only a stranger has named", name);
        return false;
    }
    sim_trace(sim, "    worker %u asks for %s, type %d", sim->worker_now, name, (int)type);
    if (is_away(sim) || far_chance(sim, 3))
        return true; /* never answered */
    if (far_chance(sim, 8))
        in_ms = far_range(sim, 80, 12000);
    struct sim_event event = {.due_ms = sim->now_ms + in_ms,
                              .kind = EVENT_DNS,
                              .to = sim->worker_now,
                              .boot = sim->boot,
                              .a = type,
                              .b = zone_find(sim->far, name),
                              .c = (uint64_t)question.slot << 32 | question.generation};
    sim_post(sim, event);
    return true;
}

static struct dns_record record_of(const struct far *far, enum dns_type type, unsigned name,
                                   const struct far_record *from)
{
    struct dns_record record = {.priority = (uint16_t)from->order,
                                .weight = (uint16_t)from->weight};

    if (type == DNS_A) {
        record.addr = sim_addr(SIM_FAR + from->host, false);
        record.addr.port = 0;
    }
    if (type == DNS_SRV) {
        record.port = (uint16_t)(5060 + from->port);
        record.target = slice_of(far->names[zone_host(from->host)]);
    }
    if (type == DNS_NAPTR) {
        record.flags = SLICE("s");
        record.service = from->tcp ? SLICE("SIP+D2T") : SLICE("SIP+D2U");
        record.target = slice_of(far->names[name + (from->tcp ? 2 : 1)]);
    }
    return record;
}

/** What the node must make of it, apart from it (RFC 2308, RFC 8767). */
static void note_told(struct far_told *told, const struct far_set *set, uint32_t ttl_s, bool failed,
                      uint64_t now_ms)
{
    bool old = told->at_ms != 0 && !told->failed && told->set.count > 0;

    if (failed && old && told->ends_ms + STALE_MOST_MS > now_ms) {
        told->expires_ms = now_ms + STALE_MS;
        return;
    }
    *told = (struct far_told){.failed = failed, .at_ms = now_ms};
    if (!failed)
        told->set = *set;
    told->ends_ms = now_ms + (failed ? FAILED_MS : (uint64_t)ttl_s * 1000);
    told->expires_ms = told->ends_ms;
}

void far_dns(struct sim *sim, const struct sim_event *event)
{
    struct far *far = sim->far;
    enum dns_type type = (enum dns_type)event->a;
    unsigned name = event->b;
    struct far_set *set = &far->zone[name][type];
    struct dns_record records[FAR_RECORDS];
    struct id question = {(uint32_t)(event->c >> 32), (uint32_t)event->c};
    bool failed = far_chance(sim, 5);

    if (!sim->node_up || event->boot != sim->boot)
        return;
    for (unsigned i = 0; i < set->count; i++)
        records[i] = record_of(far, type, name, &set->records[i]);
    struct dns_answer answer = {
        .status = failed           ? DNS_FAILED
                  : set->count > 0 ? DNS_FOUND
                                   : DNS_NOTHING,
        .ttl_s = (uint32_t)far_range(sim, 20, 120),
        .records = records,
        .count = failed ? 0 : set->count,
    };
    sim_trace(sim, "    worker %u is told of %s, type %d: %u records%s", event->to,
              far->names[name], (int)type, answer.count, failed ? ", failed" : "");
    note_told(&far->told[event->to][name][type], set, answer.ttl_s, failed, sim->now_ms);
    far->learned_ms[event->to] = sim->now_ms;
    node_dns_answer(sim, event->to, question, &answer);
}
