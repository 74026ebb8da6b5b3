/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets that failed (RFC 3263 §4.3): remembered, so that not every call finds out by itself.
 */
#include "resolve/internal.h"

static uint64_t target_hash(const struct resolver *resolver, const struct resolve_target *target)
{
    struct slice bytes = {(const char *)&target->addr, sizeof target->addr};
    return hash_bytes(resolver->config.hash_seed + target->transport, bytes) ^ target->name;
}

static struct dead *find(const struct resolver *resolver, const struct resolve_target *target)
{
    struct map_node *node = map_first(&resolver->dead, target_hash(resolver, target));

    for (; node != NULL; node = map_next(node)) {
        struct dead *dead = CONTAINER_OF(node, struct dead, node);
        if (dead->target.transport == target->transport && dead->target.name == target->name &&
            addr_equal(&dead->target.addr, &target->addr))
            return dead;
    }
    return NULL;
}

static void drop(struct resolver *resolver, struct dead *dead)
{
    map_remove(&resolver->dead, &dead->node);
    list_remove(&dead->by_age);
    resolver->counters.dead_now -= dead->until_ms != 0;
    mem_free(resolver->config.mem, dead, sizeof *dead);
}

void dead_release(struct resolver *resolver)
{
    struct list *node;

    while ((node = list_pop(&resolver->by_age)) != NULL)
        drop(resolver, CONTAINER_OF(node, struct dead, by_age));
    map_release(&resolver->dead);
}

static struct dead *make(struct resolver *resolver, const struct resolve_target *target)
{
    if (resolver->dead.count == resolver->config.limits.dead_max)
        drop(resolver, CONTAINER_OF(resolver->by_age.next, struct dead, by_age));

    struct dead *dead = mem_zalloc(resolver->config.mem, sizeof *dead);
    if (dead == NULL)
        return NULL; /* then the next call finds out by itself */
    dead->target = *target;
    map_add(&resolver->dead, &dead->node, target_hash(resolver, target));
    list_push(&resolver->by_age, &dead->by_age);
    return dead;
}

static void die(struct resolver *resolver, struct dead *dead, uint64_t until_ms)
{
    resolver->counters.dead_now += dead->until_ms == 0;
    dead->until_ms = until_ms;
    list_remove(&dead->by_age);
    list_push(&resolver->by_age, &dead->by_age);
}

void resolver_failed(struct resolver *resolver, const struct resolve_target *target,
                     uint64_t now_ms)
{
    struct dead *dead = find(resolver, target);

    if (dead != NULL && now_ms < dead->until_ms)
        return; /* one failure of many that were under way */
    if (dead == NULL)
        dead = make(resolver, target);
    if (dead == NULL)
        return;
    dead->gap_ms = dead->gap_ms == 0                ? DEAD_MS
                   : dead->gap_ms < DEAD_MAX_MS / 2 ? dead->gap_ms * 2
                                                    : DEAD_MAX_MS;
    die(resolver, dead, now_ms + dead->gap_ms);
    resolver->counters.dead++;
}

void resolver_silent(struct resolver *resolver, const struct resolve_target *target,
                     uint64_t now_ms)
{
    struct dead *dead = find(resolver, target);

    if (dead == NULL) {
        dead = make(resolver, target);
        if (dead != NULL)
            dead->silent_ms = now_ms;
    } else if (dead->until_ms != 0 || now_ms >= dead->silent_ms + DEAD_MS) {
        resolver_failed(resolver, target, now_ms); /* and nothing has come from it since */
    }
}

void resolver_failed_for(struct resolver *resolver, const struct resolve_target *target,
                         uint32_t seconds, uint64_t now_ms)
{
    struct dead *dead = find(resolver, target);
    uint64_t for_ms = (uint64_t)seconds * 1000;

    if (for_ms < DEAD_SAID_MIN_MS)
        for_ms = DEAD_SAID_MIN_MS;
    if (for_ms > DEAD_MAX_MS)
        for_ms = DEAD_MAX_MS;
    if (dead == NULL)
        dead = make(resolver, target);
    if (dead == NULL)
        return;
    resolver->counters.dead += dead->until_ms <= now_ms;
    die(resolver, dead, now_ms + for_ms);
}

void resolver_answered(struct resolver *resolver, const struct resolve_target *target)
{
    if (resolver->dead.count == 0)
        return;
    struct dead *dead = find(resolver, target);
    if (dead == NULL)
        return;
    resolver->counters.recovered += dead->until_ms != 0;
    drop(resolver, dead);
}

bool resolver_is_dead(const struct resolver *resolver, const struct resolve_target *target,
                      uint64_t now_ms)
{
    if (resolver->counters.dead_now == 0)
        return false;
    const struct dead *dead = find(resolver, target);
    return dead != NULL && now_ms < dead->until_ms;
}

void dead_last(struct resolver *resolver, struct resolve_targets *targets, uint64_t now_ms)
{
    struct resolve_target dead[RESOLVE_TARGETS_MAX];
    uint32_t dead_count = 0, count = 0;

    for (uint32_t i = 0; i < targets->count; i++) {
        if (resolver_is_dead(resolver, &targets->items[i], now_ms))
            dead[dead_count++] = targets->items[i];
        else
            targets->items[count++] = targets->items[i];
    }
    if (count > 0)
        resolver->counters.dead_put_last += dead_count;
    for (uint32_t i = 0; i < dead_count; i++)
        targets->items[count++] = dead[i];
}
