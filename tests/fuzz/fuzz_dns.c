/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses of the DNS: the first byte is the type that was asked for, then the message. What comes
 * out stays within its bounds, and goes through the whole of resolve/, as an answer to whatever
 * that asks.
 */
#include <stdlib.h>

#include "net/dns.h"
#include "resolve/resolve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

struct asked {
    struct id ids[64];
    unsigned count, told;
};

static bool ask(void *user, enum dns_type type, const char *name, struct id question)
{
    struct asked *asked = user;

    require(strlen(name) <= DNS_NAME_MAX);
    require(type >= DNS_A && type <= DNS_NAPTR);
    if (asked->count == COUNT_OF(asked->ids))
        return false;
    asked->ids[asked->count++] = question;
    return true;
}

static void done(void *user, struct resolve_waiter *waiter, enum resolve_verdict verdict,
                 const struct resolve_targets *targets)
{
    struct asked *asked = user;

    (void)waiter;
    asked->told++;
    require(verdict != RESOLVE_ASK);
    require(verdict != RESOLVE_DONE ||
            (targets->count > 0 && targets->count <= RESOLVE_TARGETS_MAX));
}

static void use(const struct dns_answer *answer)
{
    struct asked asked = {.count = 0};
    struct resolve_waiter waiter = {{NULL, NULL}};
    struct timer_wheel wheel;
    struct rng rng;
    struct mem mem;
    struct resolver *resolver = NULL;
    struct resolve_query query = {.host = SLICE("example.com")};

    mem_init(&mem, 4 << 20);
    rng_seed(&rng, 1);
    timer_wheel_init(&wheel, 1);
    struct resolve_config config = {.mem = &mem, .wheel = &wheel, .rng = &rng, .hash_seed = 1};
    config.usable_v4 = config.usable_v6 =
        1 << TRANSPORT_UDP | 1 << TRANSPORT_TCP | 1 << TRANSPORT_TLS;
    config.limits = resolve_limits_default();
    config.limits.questions_max = config.limits.lookups_max = 64;
    config.user = &asked;
    config.ask = ask;
    config.done = done;
    require(resolver_open(&config, &resolver) == OK);
    require(resolver_wait(resolver, &query, &waiter, 1) == OK);
    for (unsigned i = 0; i < asked.count; i++)
        resolver_answer(resolver, asked.ids[i], answer, 1);
    (void)timer_wheel_run(&wheel, 60000, 100);
    require(asked.told == 1);
    resolver_close(resolver);
    require(mem.used_bytes == 0);
    mem_release(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dns_parsed parsed;

    if (size < 1)
        return 0;
    enum dns_type type = (enum dns_type)(DNS_A + data[0] % DNS_NAPTR);
    struct slice message = {(const char *)data + 1, size - 1};
    dns_parse(message, type, "example.com", &parsed);

    const struct dns_answer *answer = &parsed.answer;
    require(answer->count <= DNS_RECORDS_MAX);
    require((answer->count > 0) == (answer->status == DNS_FOUND));
    require(parsed.text_len <= DNS_TEXT_MAX);
    for (uint32_t i = 0; i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        require(record->target.len <= DNS_NAME_MAX);
        require(record->regexp.len <= 255 && record->service.len <= 255);
        require(type > DNS_AAAA || record->addr.family != ADDR_NONE);
    }
    use(answer);
    return 0;
}
