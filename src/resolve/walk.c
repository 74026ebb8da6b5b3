/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of RFC 3263 §4 and §5, over what is known.
 *
 *   walk_hop()      numeric, port given, transport given, or NAPTR (§4.1)
 *   by_naptr()      NAPTR -> SRV of each, in their order
 *   by_srv()        SRV of the transports in question (§4.2), ordered by RFC 2782
 *   by_host()       A and AAAA
 */
#include "resolve/internal.h"

/** A host with a port and a transport, whose addresses are to be tried. */
struct host {
    struct slice name;
    uint16_t port;
    uint8_t transport;
};

struct hosts {
    struct host items[RESOLVE_HOSTS_MAX];
    uint32_t count;
};

static bool is_usable(const struct resolver *resolver, uint8_t transport)
{
    return ((resolver->config.usable_v4 | resolver->config.usable_v6) >> transport & 1) != 0;
}

static bool is_usable_addr(const struct resolver *resolver, const struct addr *addr,
                           uint8_t transport)
{
    uint8_t set = addr->family == ADDR_V6 ? resolver->config.usable_v6 : resolver->config.usable_v4;
    return (set >> transport & 1) != 0;
}

static uint16_t default_port(uint8_t transport)
{
    if (transport == TRANSPORT_WS)
        return 80;
    if (transport == TRANSPORT_WSS)
        return 443;
    return transport == TRANSPORT_TLS ? 5061 : 5060;
}

/* ---- what is known, and what is asked ---- */

static void add_question(struct walk *walk, enum dns_type type,
                         const char name[static RESOLVE_NAME_SIZE])
{
    for (uint32_t i = 0; i < walk->question_count; i++)
        if (walk->questions[i].type == type && strcmp(walk->questions[i].name, name) == 0)
            return;
    if (walk->question_count == RESOLVE_QUESTIONS_MAX)
        return; /* asked when the others are answered */
    struct open_question *question = &walk->questions[walk->question_count++];
    question->type = (uint8_t)type;
    memcpy(question->name, name, strlen(name) + 1);
}

const struct cached *walk_look(struct walk *walk, enum dns_type type, struct slice name)
{
    char text[RESOLVE_NAME_SIZE];

    if (!host_name(name, text)) { /* what an answer told us to ask for is the network's, too */
        walk->failed = true;
        return NULL;
    }
    const struct cached *entry = cache_find(walk, type, slice_of(text));
    if (entry == NULL && !walk->last) {
        add_question(walk, type, text);
        return NULL;
    }
    if (entry == NULL || entry->status == DNS_FAILED) {
        walk->failed = true;
        return NULL;
    }
    return entry;
}

/* ---- A and AAAA ---- */

static void add_target(struct walk *walk, const struct addr *addr, const struct host *host,
                       struct resolve_targets *out)
{
    struct resolve_target target = {.addr = *addr, .transport = host->transport};

    target.addr.port = host->port;
    if (!addr_is_unicast(&target.addr) || !is_usable_addr(walk->resolver, addr, host->transport)) {
        walk->unusable = true;
        return;
    }
    for (uint32_t i = 0; i < out->count; i++)
        if (out->items[i].transport == target.transport &&
            addr_equal(&out->items[i].addr, &target.addr))
            return;
    if (out->count == RESOLVE_TARGETS_MAX) {
        walk->resolver->counters.cut++;
        return;
    }
    out->items[out->count++] = target;
}

/* The order of addresses means nothing, and the cache would always give the same one. */
static void add_addresses(struct walk *walk, const struct cached *entry, const struct host *host,
                          struct resolve_targets *out)
{
    uint32_t first;

    if (entry == NULL || entry->count == 0)
        return;
    first = (uint32_t)rng_below(walk->resolver->config.rng, entry->count);
    for (uint32_t i = 0; i < entry->count; i++)
        add_target(walk, &entry->records[(first + i) % entry->count].addr, host, out);
}

static void by_host(struct walk *walk, const struct host *host, struct resolve_targets *out)
{
    const struct resolve_config *config = &walk->resolver->config;
    struct addr numeric;

    if (addr_parse(host->name, host->port, &numeric) == OK) {
        add_target(walk, &numeric, host, out); /* an SRV record must not name one, but some do */
        return;
    }
    const struct cached *v6 = NULL, *v4 = NULL;
    if (config->usable_v6 >> host->transport & 1)
        v6 = walk_look(walk, DNS_AAAA, host->name);
    if (config->usable_v4 >> host->transport & 1)
        v4 = walk_look(walk, DNS_A, host->name);
    add_addresses(walk, v6, host, out); /* RFC 6724 §2.1 */
    add_addresses(walk, v4, host, out);
}

/* ---- SRV (RFC 2782) ---- */

/* The next of records i.. of one priority, by weight: those of weight 0 have a small chance. */
static uint32_t pick(struct rng *rng, const struct dns_record *const *records, uint32_t count)
{
    uint64_t sum = 0, at;

    for (uint32_t i = 0; i < count; i++)
        sum += records[i]->weight;
    at = rng_below(rng, sum + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (at <= records[i]->weight)
            return i;
        at -= records[i]->weight;
    }
    return count - 1;
}

static void swap(const struct dns_record **a, const struct dns_record **b)
{
    const struct dns_record *kept = *a;
    *a = *b;
    *b = kept;
}

/* Priority first, and weight 0 before others, as the choice among them needs it. */
static bool is_before(const struct dns_record *a, const struct dns_record *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    return a->weight == 0 && b->weight != 0;
}

static void sort(const struct dns_record **records, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = i; k > 0 && is_before(records[k], records[k - 1]); k--)
            swap(&records[k], &records[k - 1]);
}

static void order_srv(struct rng *rng, const struct dns_record **records, uint32_t count)
{
    sort(records, count);
    for (uint32_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && records[end]->priority == records[begin]->priority;)
            end++;
        for (uint32_t i = begin; i + 1 < end; i++) {
            uint32_t chosen = i + pick(rng, records + i, end - i);
            const struct dns_record *record = records[chosen];
            memmove(&records[i + 1], &records[i], (chosen - i) * sizeof *records);
            records[i] = record;
        }
    }
}

static void add_host(struct walk *walk, struct slice name, uint16_t port, uint8_t transport,
                     struct hosts *out)
{
    if (out->count == RESOLVE_HOSTS_MAX) {
        walk->resolver->counters.cut++;
        return;
    }
    out->items[out->count++] = (struct host){.name = name, .port = port, .transport = transport};
}

/* "." alone: the service is not to be had there (RFC 2782, Target). */
static bool is_declined(const struct cached *entry)
{
    return entry->count == 1 && entry->records[0].target.len == 0;
}

/** What a question for SRV said. */
enum srv {
    SRV_OPEN,     /* it is not answered */
    SRV_NONE,     /* there are no such records */
    SRV_DECLINED, /* no such service there */
    SRV_FOUND,
    SRV_FAILED,
};

static enum srv add_srv(struct walk *walk, struct slice name, uint8_t transport, struct hosts *out)
{
    const struct dns_record *records[DNS_RECORDS_MAX];
    const struct cached *entry = walk_look(walk, DNS_SRV, name);

    if (entry == NULL)
        return walk->failed ? SRV_FAILED : SRV_OPEN;
    if (entry->count == 0)
        return SRV_NONE;
    if (is_declined(entry))
        return SRV_DECLINED;
    for (uint32_t i = 0; i < entry->count; i++)
        records[i] = &entry->records[i];
    order_srv(walk->resolver->config.rng, records, entry->count);
    for (uint32_t i = 0; i < entry->count; i++)
        if (records[i]->target.len > 0)
            add_host(walk, records[i]->target, records[i]->port, transport, out);
    return SRV_FOUND;
}

/* "_sip._udp." and so on; NULL: there is none. */
static const char *srv_prefix(uint8_t transport, bool sips)
{
    switch ((enum transport)transport) {
    case TRANSPORT_UDP:
        return sips ? NULL : "_sip._udp.";
    case TRANSPORT_TCP:
        return "_sip._tcp.";
    case TRANSPORT_TLS:
        return "_sips._tcp.";
    case TRANSPORT_NONE:
    case TRANSPORT_WS:
    case TRANSPORT_WSS:
    case TRANSPORT_COUNT:
        break;
    }
    return NULL; /* RFC 7118 defines none */
}

static enum srv by_srv(struct walk *walk, struct slice host, uint8_t transport, bool sips,
                       struct hosts *out)
{
    char text[RESOLVE_NAME_SIZE];
    struct builder b = builder_over(text, sizeof text - 1);
    const char *prefix = srv_prefix(transport, sips);

    if (prefix == NULL)
        return SRV_NONE;
    builder_add(&b, slice_of(prefix));
    builder_add(&b, host);
    return b.overflow ? SRV_NONE : add_srv(walk, builder_slice(&b), transport, out);
}

/* ---- NAPTR (RFC 3263 §4.1) ---- */

static uint8_t service_transport(const struct dns_record *record, bool sips)
{
    if (slice_equal_nocase(record->service, SLICE("SIPS+D2T")))
        return TRANSPORT_TLS;
    if (sips)
        return TRANSPORT_NONE;
    if (slice_equal_nocase(record->service, SLICE("SIP+D2U")))
        return TRANSPORT_UDP;
    if (slice_equal_nocase(record->service, SLICE("SIP+D2T")))
        return TRANSPORT_TCP;
    return TRANSPORT_NONE;
}

static bool is_naptr_before(const struct dns_record *a, const struct dns_record *b)
{
    return a->priority != b->priority ? a->priority < b->priority : a->weight < b->weight;
}

/* The next record after `last` in the order of §4.1 (NULL: the first). */
static const struct dns_record *naptr_next(const struct cached *entry,
                                           const struct dns_record *last)
{
    const struct dns_record *best = NULL;

    for (uint32_t i = 0; i < entry->count; i++) {
        const struct dns_record *record = &entry->records[i];
        if (last != NULL && !is_naptr_before(last, record) &&
            (is_naptr_before(record, last) || record <= last))
            continue;
        if (best == NULL || is_naptr_before(record, best))
            best = record;
    }
    return best;
}

/* The records that lead to SRV by a transport of ours. `*any`: some are for SIP at all. */
static void by_naptr(struct walk *walk, const struct cached *entry, bool sips, struct hosts *out,
                     bool *any)
{
    const struct dns_record *record = NULL;
    unsigned followed = 0;

    while ((record = naptr_next(entry, record)) != NULL) {
        uint8_t transport = service_transport(record, sips);
        if (transport == TRANSPORT_NONE || record->target.len == 0 ||
            !slice_equal_nocase(record->flags, SLICE("s")))
            continue;
        *any = true;
        if (!is_usable(walk->resolver, transport)) {
            walk->unusable = true;
            continue;
        }
        if (followed++ == RESOLVE_SERVICES_MAX) { /* whoever wrote them lets us ask others */
            walk->resolver->counters.cut++;
            return;
        }
        add_srv(walk, record->target, transport, out);
    }
}

/* Neither transport nor port was given. True: all is said, by NAPTR or by SRV. */
static bool by_records(struct walk *walk, struct slice host, bool sips, struct hosts *out)
{
    static const uint8_t plain[] = {TRANSPORT_UDP, TRANSPORT_TCP};
    static const uint8_t secure[] = {TRANSPORT_TLS};
    const uint8_t *transports = sips ? secure : plain;
    size_t count = sips ? COUNT_OF(secure) : COUNT_OF(plain);
    const struct cached *entry = walk_look(walk, DNS_NAPTR, host);
    bool any = false, said = false;

    if (entry == NULL && !walk->failed)
        return false;     /* it is asked for */
    walk->failed = false; /* some servers fail at types that they do not know */
    if (entry != NULL)
        by_naptr(walk, entry, sips, out, &any);
    if (any)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (!is_usable(walk->resolver, transports[i]))
            continue;
        enum srv srv = by_srv(walk, host, transports[i], sips, out);
        said |= srv == SRV_FOUND || srv == SRV_DECLINED;
    }
    return said;
}

/* ---- the hop ---- */

/* Whom a target must prove to be over TLS: the host that was asked for, whatever names the DNS made
 * of it (RFC 5922 §4). */
static void name_targets(const struct walk *walk, const char *host, struct resolve_targets *out)
{
    if (host == NULL) /* an address */
        return;
    uint64_t name = hash_mac(&walk->resolver->config.name_key, slice_of(host));
    for (uint32_t i = 0; i < out->count; i++) {
        if (transport_secure((enum transport)out->items[i].transport))
            out->items[i].name = name != 0 ? name : 1;
    }
}

static enum resolve_verdict verdict_of(struct walk *walk, const char *host,
                                       struct resolve_targets *out)
{
    if (walk->question_count > 0)
        return RESOLVE_ASK;
    if (out->count > 0) {
        name_targets(walk, host, out);
        dead_last(walk->resolver, out, walk->now_ms);
        return RESOLVE_DONE;
    }
    if (walk->unusable)
        return RESOLVE_UNUSABLE;
    return walk->failed ? RESOLVE_NO_ANSWER : RESOLVE_NOTHING;
}

/* The transport where the DNS need not tell it; NONE: it shall. */
static uint8_t given_transport(const struct resolve_query *query, bool numeric)
{
    uint8_t transport = query->transport;

    if (transport == TRANSPORT_NONE && (numeric || query->port != 0))
        transport = TRANSPORT_UDP;
    if (query->sips && (transport == TRANSPORT_UDP || transport == TRANSPORT_TCP))
        transport = TRANSPORT_TLS;
    if (query->sips && transport == TRANSPORT_WS)
        transport = TRANSPORT_WSS;
    return transport;
}

/* Browsers name themselves so (RFC 7118 §5); nobody need be asked (RFC 6761 §6.4). */
static bool is_invalid(struct slice host)
{
    const struct slice end = SLICE(".invalid");
    return host.len >= end.len && slice_equal(slice_from(host, host.len - end.len), end);
}

enum resolve_verdict walk_hop(struct walk *walk, const struct resolve_query *query,
                              struct resolve_targets *out)
{
    struct addr addr;
    struct hosts hosts = {.count = 0};
    char text[RESOLVE_NAME_SIZE];
    bool numeric = addr_parse(query->host, 0, &addr) == OK;
    uint8_t transport = given_transport(query, numeric);

    out->count = 0;
    if (!numeric && (!host_name(query->host, text) || is_invalid(slice_of(text))))
        return RESOLVE_NOTHING;
    if (transport != TRANSPORT_NONE && !is_usable(walk->resolver, transport))
        return RESOLVE_UNUSABLE;
    if (transport == TRANSPORT_NONE && query->sips && !is_usable(walk->resolver, TRANSPORT_TLS))
        return RESOLVE_UNUSABLE;

    struct host self = {
        .name = query->host,
        .port = query->port != 0 ? query->port : default_port(transport),
        .transport = transport,
    };
    if (numeric || query->port != 0) {
        by_host(walk, &self, out);
        return verdict_of(walk, numeric ? NULL : text, out);
    }
    bool said = false;
    if (transport == TRANSPORT_NONE) {
        said = by_records(walk, query->host, query->sips, &hosts);
        self.transport = query->sips ? TRANSPORT_TLS : TRANSPORT_UDP;
        self.port = default_port(self.transport);
    } else {
        enum srv srv = by_srv(walk, query->host, transport,
                              query->sips || transport_secure((enum transport)transport), &hosts);
        said = srv == SRV_FOUND || srv == SRV_DECLINED;
    }
    if (walk->question_count > 0)
        return RESOLVE_ASK;
    for (uint32_t i = 0; i < hosts.count; i++)
        by_host(walk, &hosts.items[i], out);
    if (!said) { /* a failed question for SRV does not keep a host with an address from its calls */
        walk->failed = false;
        by_host(walk, &self, out);
    }
    return verdict_of(walk, numeric ? NULL : text, out);
}
