/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that are waited for, the questions that are open for them, and who is told the end.
 */
#include <stdlib.h>

#include "resolve/internal.h"

enum {
    BUCKETS = 256,
    ROUNDS_MAX = 8, /* of questions for one name: NAPTR, SRV, addresses; and if answers got lost */
};

/* ---- open and close ---- */

size_t resolver_memory_max(const struct resolve_limits *limits)
{
    return sizeof(struct resolver) + pool_memory(limits->questions_max) +
           pool_memory(limits->lookups_max) + map_memory_max(BUCKETS, limits->cache_max) +
           map_memory_max(BUCKETS, limits->questions_max) +
           map_memory_max(BUCKETS, limits->lookups_max) + map_memory_max(BUCKETS, limits->dead_max);
}

static enum err open_parts(struct resolver *resolver)
{
    const struct resolve_config *config = &resolver->config;
    enum err err = map_init(&resolver->cache, BUCKETS);

    if (err == OK)
        err = map_init(&resolver->open, BUCKETS);
    if (err == OK)
        err = map_init(&resolver->waited, BUCKETS);
    if (err == OK)
        err = map_init(&resolver->dead, BUCKETS);
    if (err == OK)
        err = pool_init(&resolver->questions, config->mem, sizeof(struct question),
                        config->limits.questions_max);
    if (err == OK)
        err = pool_init(&resolver->lookups, config->mem, sizeof(struct lookup),
                        config->limits.lookups_max);
    return err;
}

enum err resolver_open(const struct resolve_config *config, struct resolver **out)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);

    if (resolver == NULL)
        return ERR_MEMORY;
    resolver->config = *config;
    list_init(&resolver->by_use);
    list_init(&resolver->by_age);
    enum err err = open_parts(resolver);
    if (err) {
        resolver_close(resolver);
        return err;
    }
    *out = resolver;
    return OK;
}

static void close_lookups(struct resolver *resolver)
{
    uint32_t cursor = 0;
    struct id id;
    struct lookup *lookup;

    while ((lookup = pool_next(&resolver->lookups, &cursor, &id)) != NULL) {
        while (list_pop(&lookup->waiters) != NULL)
            continue;
        timer_stop(resolver->config.wheel, &lookup->timer);
        pool_free(&resolver->lookups, id);
    }
    cursor = 0;
    while (pool_next(&resolver->questions, &cursor, &id) != NULL)
        pool_free(&resolver->questions, id);
}

void resolver_close(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    if (resolver->lookups.mem != NULL)
        close_lookups(resolver);
    if (resolver->lookups.mem != NULL)
        pool_release(&resolver->lookups);
    if (resolver->questions.mem != NULL)
        pool_release(&resolver->questions);
    if (resolver->cache.buckets != NULL)
        cache_release(resolver);
    if (resolver->dead.buckets != NULL)
        dead_release(resolver);
    map_release(&resolver->open);
    map_release(&resolver->waited);
    free(resolver);
}

void resolver_counters(const struct resolver *resolver, struct resolve_counters *out)
{
    *out = resolver->counters;
    out->waiting = resolver->lookups.count;
}

/* ---- walking ---- */

static enum resolve_verdict walk_enum(struct walk *walk, struct slice name)
{
    const struct cached *entry = walk_look(walk, DNS_NAPTR, name);

    if (entry != NULL)
        return entry->count > 0 ? RESOLVE_DONE : RESOLVE_NOTHING;
    return walk->question_count > 0 ? RESOLVE_ASK : RESOLVE_NO_ANSWER;
}

static enum resolve_verdict walk_query(struct walk *walk, const struct resolve_query *query,
                                       bool is_enum, struct resolve_targets *out)
{
    out->count = 0;
    return is_enum ? walk_enum(walk, query->host) : walk_hop(walk, query, out);
}

static void count_verdict(struct resolver *resolver, enum resolve_verdict verdict)
{
    switch (verdict) {
    case RESOLVE_DONE:
        resolver->counters.found++;
        break;
    case RESOLVE_ASK:
        break;
    case RESOLVE_NOTHING:
        resolver->counters.nothing++;
        break;
    case RESOLVE_UNUSABLE:
        resolver->counters.unusable++;
        break;
    case RESOLVE_NO_ANSWER:
        resolver->counters.no_answer++;
        break;
    }
}

enum resolve_verdict resolver_find(struct resolver *resolver, const struct resolve_query *query,
                                   uint64_t now_ms, struct resolve_targets *out)
{
    struct walk walk = {.resolver = resolver, .now_ms = now_ms, .since_ms = UINT64_MAX};
    enum resolve_verdict verdict = walk_hop(&walk, query, out);

    count_verdict(resolver, verdict);
    return verdict;
}

/* ---- questions ---- */

static struct question *find_question(const struct resolver *resolver, enum dns_type type,
                                      const char *name, uint64_t hash)
{
    struct map_node *node = map_first(&resolver->open, hash);

    for (; node != NULL; node = map_next(node)) {
        struct question *question = CONTAINER_OF(node, struct question, node);
        if (question->type == type && strcmp(question->name, name) == 0)
            return question;
    }
    return NULL;
}

static void fail_question(struct resolver *resolver, enum dns_type type, const char *name,
                          uint64_t now_ms)
{
    const struct dns_answer failed = {.status = DNS_FAILED};

    resolver->counters.answers_failed++;
    cache_put(resolver, type, slice_of(name), &failed, now_ms);
}

/* NULL: it cannot be asked. `*full`: for want of room. */
static struct question *ask(struct resolver *resolver, const struct open_question *open,
                            uint64_t now_ms, bool *full)
{
    enum dns_type type = (enum dns_type)open->type;
    uint64_t hash = question_hash(resolver, type, slice_of(open->name));
    struct question *question = find_question(resolver, type, open->name, hash);
    struct id id;

    if (question != NULL)
        return question;
    question = pool_alloc(&resolver->questions, &id);
    if (question == NULL) {
        resolver->counters.full++;
        *full = true;
        return NULL;
    }
    question->id = id;
    question->type = open->type;
    question->name_len = (uint8_t)strlen(open->name);
    memcpy(question->name, open->name, question->name_len + 1u);
    list_init(&question->links);
    resolver->counters.questions++;
    if (!resolver->config.ask(resolver->config.user, type, question->name, id)) {
        fail_question(resolver, type, question->name, now_ms);
        pool_free(&resolver->questions, id);
        return NULL;
    }
    map_add(&resolver->open, &question->node, hash);
    return question;
}

/* Links the lookup to what is asked. ERR_FULL: something could not be asked for want of room. */
static enum err ask_all(struct lookup *lookup, const struct walk *walk, uint64_t now_ms)
{
    bool full = false;

    assert(lookup->open == 0);
    for (uint32_t i = 0; i < walk->question_count; i++) {
        struct question *question = ask(lookup->resolver, &walk->questions[i], now_ms, &full);
        if (question == NULL)
            continue;
        struct link *link = &lookup->links[lookup->open++];
        link->lookup = lookup;
        list_push(&question->links, &link->node);
    }
    return full ? ERR_FULL : OK;
}

/* ---- lookups ---- */

static uint64_t lookup_hash(const struct resolver *resolver, const struct resolve_query *query,
                            bool is_enum)
{
    uint64_t kind = (uint64_t)query->port << 16 | (uint64_t)query->transport << 8 |
                    (uint64_t)query->sips << 1 | (uint64_t)is_enum;
    return hash_bytes(resolver->config.hash_seed ^ kind, query->host);
}

static struct lookup *find_lookup(const struct resolver *resolver,
                                  const struct resolve_query *query, bool is_enum, uint64_t hash)
{
    struct map_node *node = map_first(&resolver->waited, hash);

    for (; node != NULL; node = map_next(node)) {
        struct lookup *lookup = CONTAINER_OF(node, struct lookup, node);
        const struct resolve_query *other = &lookup->query;
        if (lookup->is_enum == is_enum && other->port == query->port &&
            other->transport == query->transport && other->sips == query->sips &&
            slice_equal(other->host, query->host))
            return lookup;
    }
    return NULL;
}

static void unlink_questions(struct lookup *lookup)
{
    for (size_t i = 0; i < COUNT_OF(lookup->links); i++)
        list_remove(&lookup->links[i].node);
    lookup->open = 0;
}

/* Takes it away and tells those who wait; each gets an order of his own of equal targets. */
static void finish(struct lookup *lookup, bool last, uint64_t now_ms)
{
    struct resolver *resolver = lookup->resolver;
    struct resolve_query query = lookup->query;
    uint64_t since_ms = lookup->since_ms;
    bool is_enum = lookup->is_enum;
    struct list waiters, *node;
    char host[RESOLVE_NAME_SIZE];

    list_init(&waiters);
    while ((node = list_pop(&lookup->waiters)) != NULL)
        list_push(&waiters, node);
    memcpy(host, lookup->host, sizeof host);
    query.host.data = host;
    unlink_questions(lookup);
    timer_stop(resolver->config.wheel, &lookup->timer);
    map_remove(&resolver->waited, &lookup->node);
    pool_free(&resolver->lookups, lookup->id);

    while ((node = list_pop(&waiters)) != NULL) {
        struct resolve_targets targets;
        struct walk walk = {
            .resolver = resolver, .now_ms = now_ms, .since_ms = since_ms, .last = last};
        enum resolve_verdict verdict = walk_query(&walk, &query, is_enum, &targets);
        if (verdict == RESOLVE_ASK) { /* what was there has made room for other answers */
            walk.last = true;
            walk.question_count = 0;
            verdict = walk_query(&walk, &query, is_enum, &targets);
        }
        count_verdict(resolver, verdict);
        resolver->config.done(resolver->config.user,
                              CONTAINER_OF(node, struct resolve_waiter, node), verdict, &targets);
    }
}

/* All its questions are answered: there are further ones, or it is done. */
static void go_on(struct lookup *lookup, uint64_t now_ms)
{
    struct walk walk = {
        .resolver = lookup->resolver, .now_ms = now_ms, .since_ms = lookup->since_ms};
    struct resolve_targets targets;
    bool open = walk_query(&walk, &lookup->query, lookup->is_enum, &targets) == RESOLVE_ASK;

    if (open && ++lookup->rounds < ROUNDS_MAX)
        (void)ask_all(lookup, &walk, now_ms); /* what cannot be asked is left out */
    if (lookup->open == 0)
        finish(lookup, open, now_ms);
}

static void on_patience_end(struct timer *timer, uint64_t now_ms)
{
    struct lookup *lookup = CONTAINER_OF(timer, struct lookup, timer);

    if (now_ms - lookup->since_ms >= lookup->resolver->config.limits.wait_ms)
        lookup->resolver->counters.late++;
    finish(lookup, true, now_ms);
}

static struct lookup *make_lookup(struct resolver *resolver, const struct resolve_query *query,
                                  bool is_enum, uint64_t hash, uint64_t now_ms)
{
    struct id id;

    assert(query->host.len < RESOLVE_NAME_SIZE);
    struct lookup *lookup = pool_alloc(&resolver->lookups, &id);
    if (lookup == NULL)
        return NULL;
    lookup->id = id;
    lookup->resolver = resolver;
    lookup->is_enum = is_enum;
    lookup->since_ms = now_ms;
    lookup->query = *query;
    memcpy(lookup->host, query->host.data, query->host.len);
    lookup->query.host.data = lookup->host;
    list_init(&lookup->waiters);
    lookup->timer.fn = on_patience_end;
    timer_start(resolver->config.wheel, &lookup->timer, now_ms + resolver->config.limits.wait_ms);
    map_add(&resolver->waited, &lookup->node, hash);
    resolver->counters.lookups++;
    return lookup;
}

static enum err start(struct lookup *lookup, uint64_t now_ms)
{
    struct walk walk = {
        .resolver = lookup->resolver, .now_ms = now_ms, .since_ms = lookup->since_ms};
    struct resolve_targets targets;

    (void)walk_query(&walk, &lookup->query, lookup->is_enum, &targets);
    enum err err = ask_all(lookup, &walk, now_ms);
    if (lookup->open == 0 && err == OK) /* nothing is to be asked, or nothing can: told by time */
        timer_start(lookup->resolver->config.wheel, &lookup->timer, now_ms);
    return lookup->open > 0 ? OK : err;
}

static enum err wait_for(struct resolver *resolver, const struct resolve_query *wanted,
                         bool is_enum, struct resolve_waiter *waiter, uint64_t now_ms)
{
    struct resolve_query query = *wanted;
    char host[RESOLVE_NAME_SIZE];

    if (host_name(wanted->host, host)) /* however it is written, it is one name */
        query.host = slice_of(host);
    else if (wanted->host.len >= RESOLVE_NAME_SIZE)
        return ERR_SYNTAX;
    uint64_t hash = lookup_hash(resolver, &query, is_enum);
    struct lookup *lookup = find_lookup(resolver, &query, is_enum, hash);
    if (lookup == NULL) {
        lookup = make_lookup(resolver, &query, is_enum, hash, now_ms);
        if (lookup == NULL) {
            resolver->counters.full++;
            return ERR_FULL;
        }
        enum err err = start(lookup, now_ms);
        if (err) {
            unlink_questions(lookup);
            timer_stop(resolver->config.wheel, &lookup->timer);
            map_remove(&resolver->waited, &lookup->node);
            pool_free(&resolver->lookups, lookup->id);
            return err;
        }
    }
    list_push(&lookup->waiters, &waiter->node);
    return OK;
}

enum err resolver_wait(struct resolver *resolver, const struct resolve_query *query,
                       struct resolve_waiter *waiter, uint64_t now_ms)
{
    return wait_for(resolver, query, false, waiter, now_ms);
}

void resolver_forget(struct resolve_waiter *waiter)
{
    list_remove(&waiter->node);
}

static void count_answer(struct resolver *resolver, enum dns_status status)
{
    switch (status) {
    case DNS_FOUND:
        resolver->counters.answers++;
        break;
    case DNS_NOTHING:
        resolver->counters.answers_nothing++;
        break;
    case DNS_FAILED:
        resolver->counters.answers_failed++;
        break;
    }
}

void resolver_answer(struct resolver *resolver, struct id id, const struct dns_answer *answer,
                     uint64_t now_ms)
{
    struct question *question = pool_get(&resolver->questions, id);
    struct list links, *node;

    if (question == NULL)
        return;
    count_answer(resolver, answer->status);
    cache_put(resolver, (enum dns_type)question->type,
              (struct slice){question->name, question->name_len}, answer, now_ms);
    list_init(&links);
    while ((node = list_pop(&question->links)) != NULL)
        list_push(&links, node);
    map_remove(&resolver->open, &question->node);
    pool_free(&resolver->questions, id);

    while ((node = list_pop(&links)) != NULL) { /* one that ends meanwhile takes its links along */
        struct lookup *lookup = CONTAINER_OF(node, struct link, node)->lookup;
        if (--lookup->open == 0)
            go_on(lookup, now_ms);
    }
}

/* ---- ENUM ---- */

enum resolve_verdict resolver_find_enum(struct resolver *resolver, struct slice number,
                                        struct slice suffix, uint64_t now_ms, struct builder *uri)
{
    struct walk walk = {.resolver = resolver, .now_ms = now_ms, .since_ms = UINT64_MAX};
    char name[RESOLVE_NAME_SIZE];
    struct builder b = builder_over(name, sizeof name);

    if (resolve_enum_name(number, suffix, &b) != OK)
        return RESOLVE_NOTHING;
    const struct cached *entry = walk_look(&walk, DNS_NAPTR, builder_slice(&b));
    enum resolve_verdict verdict = RESOLVE_NOTHING;
    if (entry == NULL)
        verdict = walk.question_count > 0 ? RESOLVE_ASK : RESOLVE_NO_ANSWER;
    else if (enum_apply(entry, number, uri))
        verdict = RESOLVE_DONE;
    count_verdict(resolver, verdict);
    return verdict;
}

enum err resolver_wait_enum(struct resolver *resolver, struct slice number, struct slice suffix,
                            struct resolve_waiter *waiter, uint64_t now_ms)
{
    char name[RESOLVE_NAME_SIZE];
    struct builder b = builder_over(name, sizeof name);
    enum err err = resolve_enum_name(number, suffix, &b);

    if (err)
        return err;
    struct resolve_query query = {.host = builder_slice(&b)};
    return wait_for(resolver, &query, true, waiter, now_ms);
}
