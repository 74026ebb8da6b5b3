/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static bool ask(void *user, enum dns_type type, const char *name, struct id question)
{
    struct zone *zone = user;

    if (zone->broken)
        return false;
    assert_true(zone->asked_count < ZONE_ASKED_MAX);
    struct zone_asked *asked = &zone->asked[zone->asked_count++];
    *asked = (struct zone_asked){.type = type, .id = question};
    snprintf(asked->name, sizeof asked->name, "%s", name);
    return true;
}

static void done(void *user, struct resolve_waiter *waiter, enum resolve_verdict verdict,
                 const struct resolve_targets *targets)
{
    struct zone_waiter *who = CONTAINER_OF(waiter, struct zone_waiter, waiter);

    (void)user;
    who->told++;
    who->verdict = verdict;
    who->targets = *targets;
}

void zone_open(struct zone *zone, const char *const *rows, const struct resolve_limits *limits)
{
    *zone = (struct zone){.now_ms = 1000000, .rows = rows};
    mem_init(&zone->mem, 16 << 20);
    timer_wheel_init(&zone->wheel, zone->now_ms);
    rng_seed(&zone->rng, 1);
    struct resolve_config config = {
        .mem = &zone->mem,
        .wheel = &zone->wheel,
        .rng = &zone->rng,
        .hash_seed = 1,
        .usable_v4 = 1 << TRANSPORT_UDP | 1 << TRANSPORT_TCP | 1 << TRANSPORT_TLS,
        .usable_v6 = 1 << TRANSPORT_UDP,
        .limits = limits != NULL ? *limits : resolve_limits_default(),
        .user = zone,
        .ask = ask,
        .done = done,
    };
    assert_int_equal(OK, resolver_open(&config, &zone->resolver));
}

void zone_close(struct zone *zone)
{
    resolver_close(zone->resolver);
    assert_int_equal(0, zone->mem.used_bytes);
    mem_release(&zone->mem);
}

static const char *const type_names[] = {
    [DNS_A] = "A", [DNS_AAAA] = "AAAA", [DNS_SRV] = "SRV", [DNS_NAPTR] = "NAPTR"};

static struct slice word(char **rest)
{
    char *text = strsep(rest, " ");
    assert_non_null(text);
    return strcmp(text, "-") == 0 ? SLICE_EMPTY : slice_of(text);
}

static uint16_t number(char **rest)
{
    return (uint16_t)strtoul(word(rest).data, NULL, 10);
}

/* Reads one row if it is about this question. */
static bool read_row(char *text, const struct zone_asked *asked, struct dns_answer *answer,
                     struct dns_record *record)
{
    uint32_t ttl_s = (uint32_t)strtoul(word(&text).data, NULL, 10);
    struct slice kind = word(&text);
    bool none = slice_equal(kind, SLICE("NONE")), fail = slice_equal(kind, SLICE("FAIL"));

    if (none || fail)
        kind = word(&text);
    if (!slice_equal(kind, slice_of(type_names[asked->type])) ||
        !slice_equal(word(&text), slice_of(asked->name)))
        return false;
    answer->ttl_s = ttl_s;
    answer->status = none ? DNS_NOTHING : fail ? DNS_FAILED : DNS_FOUND;
    *record = (struct dns_record){0};
    if (asked->type == DNS_A || asked->type == DNS_AAAA) {
        if (!none && !fail)
            assert_int_equal(OK, addr_parse(word(&text), 0, &record->addr));
    } else if (!none && !fail) {
        record->priority = number(&text);
        record->weight = number(&text);
        if (asked->type == DNS_SRV) {
            record->port = number(&text);
        } else {
            record->flags = word(&text);
            record->service = word(&text);
            record->regexp = word(&text);
        }
        record->target = word(&text);
    }
    return answer->status == DNS_FOUND;
}

static void answer_one(struct zone *zone, struct zone_asked *asked)
{
    static char texts[ZONE_ROWS_MAX][256];
    struct dns_record records[ZONE_ROWS_MAX];
    struct dns_answer answer = {.status = DNS_NOTHING, .records = records};

    for (size_t i = 0; zone->rows[i] != NULL; i++) {
        assert_true(i < ZONE_ROWS_MAX);
        snprintf(texts[i], sizeof texts[i], "%s", zone->rows[i]);
        answer.count += read_row(texts[i], asked, &answer, &records[answer.count]);
    }
    asked->answered = true;
    resolver_answer(zone->resolver, asked->id, &answer, zone->now_ms);
}

void zone_answer(struct zone *zone)
{
    for (unsigned i = 0; i < zone->asked_count; i++)
        if (!zone->asked[i].answered)
            answer_one(zone, &zone->asked[i]);
}

void zone_pass(struct zone *zone, uint64_t ms)
{
    zone->now_ms += ms;
    while (timer_wheel_run(&zone->wheel, zone->now_ms, 100) == 100)
        continue;
}

struct resolve_query zone_query(const char *text)
{
    static char kept[512];
    char *rest = kept;
    struct resolve_query query = {0};

    snprintf(kept, sizeof kept, "%s", text);
    char *host = strsep(&rest, ";");
    char *port = strrchr(host, ':');
    if (port != NULL && strchr(host, ']') == NULL) {
        *port = '\0';
        query.port = (uint16_t)strtoul(port + 1, NULL, 10);
    }
    query.host = slice_of(host);
    for (char *param; (param = strsep(&rest, ";")) != NULL;) {
        query.sips |= strcmp(param, "sips") == 0;
        if (strcmp(param, "udp") == 0)
            query.transport = TRANSPORT_UDP;
        if (strcmp(param, "tcp") == 0)
            query.transport = TRANSPORT_TCP;
        if (strcmp(param, "tls") == 0)
            query.transport = TRANSPORT_TLS;
        if (strcmp(param, "ws") == 0)
            query.transport = TRANSPORT_WS;
    }
    return query;
}

const char *zone_text(enum resolve_verdict verdict, const struct resolve_targets *targets)
{
    static const char *const words[] = {[RESOLVE_ASK] = "ask",
                                        [RESOLVE_NOTHING] = "nothing",
                                        [RESOLVE_UNUSABLE] = "unusable",
                                        [RESOLVE_NO_ANSWER] = "no answer"};
    static const char *const transports[] = {
        [TRANSPORT_NONE] = "none", [TRANSPORT_UDP] = "udp", [TRANSPORT_TCP] = "tcp",
        [TRANSPORT_TLS] = "tls",   [TRANSPORT_WS] = "ws",   [TRANSPORT_WSS] = "wss"};
    static char text[1024];
    struct builder b = builder_over(text, sizeof text - 1);

    if (verdict != RESOLVE_DONE)
        return words[verdict];
    for (uint32_t i = 0; i < targets->count; i++) {
        if (i > 0)
            builder_char(&b, ' ');
        builder_add(&b, slice_of(transports[targets->items[i].transport]));
        builder_char(&b, ':');
        addr_write(&b, &targets->items[i].addr);
    }
    text[b.len] = '\0';
    return text;
}

const char *zone_resolve(struct zone *zone, const char *text)
{
    struct resolve_query query = zone_query(text);
    struct zone_waiter *who = &zone->waiters[0];
    struct resolve_targets targets;
    enum resolve_verdict verdict = resolver_find(zone->resolver, &query, zone->now_ms, &targets);

    if (verdict != RESOLVE_ASK)
        return zone_text(verdict, &targets);
    *who = (struct zone_waiter){0};
    assert_int_equal(OK, resolver_wait(zone->resolver, &query, &who->waiter, zone->now_ms));
    if (!zone->mute)
        zone_answer(zone);
    zone_pass(zone, zone->mute || zone->broken ? 60000 : 0);
    assert_int_equal(1, who->told);
    return zone_text(who->verdict, &who->targets);
}
