/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <stdlib.h>

#include "guard/internal.h"

#define NS_PER_MS 1000000u
#define NS_PER_S  UINT64_C(1000000000)

enum {
    POINT_MS = 2000, /* a point is forgotten after that */
    STREAM_DEBT_MS =
        5000, /* how long the peer of a stream waits at most for what he sent at once */
};

/*
 * Keys of places. No source has a multicast address (ff00::/8), so the keys of IPv4 addresses and
 * of users lie there, beside the prefixes of IPv6.
 */
#define KEY_V4   UINT64_C(0xffffffff00000000)
#define KEY_USER UINT64_C(0xfffe000000000000)

static uint64_t load_u64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return __builtin_bswap64(value);
}

/** Every interface has the same fe80::/64: there the hosts are told apart. */
static bool is_link_local(const struct addr *addr)
{
    return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

static uint64_t key_of(const struct addr *source)
{
    if (source->family == ADDR_V4)
        return KEY_V4 | load_u64(source->bytes) >> 32;
    uint64_t key = load_u64(source->bytes + (is_link_local(source) ? 8 : 0));
    return key != 0 ? key : 1;
}

/* ---- buckets ---- */

static struct bucket_rate bucket_rate(struct guard_rate rate)
{
    if (rate.per_second == 0)
        return (struct bucket_rate){0};
    uint64_t interval_ns = NS_PER_S / rate.per_second + (NS_PER_S % rate.per_second != 0);
    uint64_t burst = rate.burst > 0 ? rate.burst : 1;
    return (struct bucket_rate){interval_ns, (burst - 1) * interval_ns};
}

/** One source's part of what all share. */
static struct bucket_rate share_of(struct guard_rate rate)
{
    struct bucket_rate share = bucket_rate(rate);

    share.interval_ns *= GUARD_CALLS_SHARE;
    share.ahead_ns = rate.burst / GUARD_CALLS_SHARE * share.interval_ns;
    return share;
}

static bool has_room(uint64_t full_ns, const struct bucket_rate *rate, uint64_t now_ns)
{
    return rate->interval_ns == 0 || full_ns <= now_ns + rate->ahead_ns;
}

static void charge(uint64_t *full_ns, const struct bucket_rate *rate, uint64_t count,
                   uint64_t now_ns)
{
    uint64_t from_ns = *full_ns > now_ns ? *full_ns : now_ns;
    *full_ns = from_ns + count * rate->interval_ns;
}

/* ---- places ---- */

/**
 * Which set a key belongs to. Two multiplications by a secret odd number instead of hash_bytes():
 * enough where nobody sees what comes out, and it is done for every packet. One is not, neighbours
 * would crowd into few sets.
 */
static uint64_t place_of(const struct guard *guard, uint64_t key)
{
    uint64_t hash = (key ^ guard->mix[0]) * guard->mix[1];

    hash ^= hash >> 29;
    return hash * guard->mix[1] >> 32;
}

static bool find_way(struct guard *guard, uint64_t key)
{
    if (guard->last_key == key && guard->last_set->keys[guard->last_way] == key)
        return true;
    struct cell_set *set = &guard->sets[place_of(guard, key) & guard->set_mask];
    guard->last_set = set;
    for (unsigned way = 0; way < GUARD_WAYS; way++)
        if (set->keys[way] == key) {
            guard->last_key = key;
            guard->last_way = way;
            return true;
        }
    guard->last_key = 0;
    return false;
}

static struct cell *last_cell(const struct guard *guard)
{
    return &guard->last_set->cells[guard->last_way];
}

struct cell *guard_find(struct guard *guard, const struct addr *source)
{
    return guard->sets != NULL && find_way(guard, key_of(source)) ? last_cell(guard) : NULL;
}

/** The lower, the sooner a place is given to another. */
enum worth {
    WORTH_NOTHING = 0, /* its bucket is full, or it needs none: as if it had never been there */
    WORTH_STRANGER,
    WORTH_BARRED,
    WORTH_VOUCHED,
};

static enum worth worth_of(const struct cell *cell, uint64_t now_ms)
{
    if (cell->vouched_ms == GUARD_EXEMPT)
        return WORTH_NOTHING;
    if (cell->vouched_ms > now_ms)
        return WORTH_VOUCHED;
    if (cell->barred_ms > now_ms)
        return WORTH_BARRED;
    uint64_t now_ns = now_ms * NS_PER_MS;
    bool owes = cell->full_ns > now_ns || cell->points_ns > now_ns || cell->calls_ns > now_ns ||
                cell->shakes_ns > now_ns;
    return owes ? WORTH_STRANGER : WORTH_NOTHING;
}

/** Of two of the same worth, is `a` the one to be given up? */
static bool is_less(const struct cell *a, const struct cell *b, enum worth worth)
{
    if (worth == WORTH_VOUCHED)
        return a->vouched_ms < b->vouched_ms;
    if (worth == WORTH_BARRED)
        return a->barred_ms < b->barred_ms;
    return a->full_ns < b->full_ns;
}

static unsigned least_way(const struct cell_set *set, uint64_t now_ms, enum worth *worth)
{
    unsigned least = 0;

    *worth = WORTH_VOUCHED + 1;
    for (unsigned way = 0; way < GUARD_WAYS; way++) {
        if (set->keys[way] == 0) {
            *worth = WORTH_NOTHING;
            return way;
        }
        enum worth other = worth_of(&set->cells[way], now_ms);
        if (other < *worth ||
            (other == *worth && is_less(&set->cells[way], &set->cells[least], other))) {
            *worth = other;
            least = way;
        }
    }
    return least;
}

/** A place in the set that was searched last. `proved`: for one who is no stranger. */
static struct cell *take_way(struct guard *guard, uint64_t key, bool proved, uint64_t now_ms)
{
    struct cell_set *set = guard->last_set;
    enum worth worth;
    unsigned way = least_way(set, now_ms, &worth);

    if (worth > WORTH_STRANGER && !proved)
        return NULL;
    struct cell *cell = &set->cells[way];
    /* Whoever comes with ever new addresses gets no full bucket for each. */
    uint64_t full_ns = worth == WORTH_STRANGER && !proved ? cell->full_ns : 0;
    *cell = (struct cell){.full_ns = full_ns};
    set->keys[way] = key;
    guard->last_key = key;
    guard->last_way = way;
    return cell;
}

static bool is_in(const struct addr *source, const struct addr_net *nets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (addr_net_contains(&nets[i], source))
            return true;
    return false;
}

static bool is_listed(const struct guard *guard, const struct addr *source)
{
    const struct guard_config *config = &guard->config;

    return is_in(source, config->exempt, config->exempt_count) ||
           is_in(source, config->trusted, config->trusted_count) ||
           is_in(source, config->edges, config->edge_count);
}

/** Its place is its /64's, in which some hosts are exempt and others are not? */
static bool goes_by_host(const struct guard *guard, const struct addr *source)
{
    return guard->lists_hosts && source->family == ADDR_V6;
}

struct cell *guard_take(struct guard *guard, const struct addr *source, bool vouched,
                        uint64_t now_ms)
{
    uint64_t key = key_of(source);

    if (find_way(guard, key))
        return last_cell(guard);
    bool exempt = !goes_by_host(guard, source) && is_listed(guard, source);
    struct cell *cell = take_way(guard, key, vouched && !exempt, now_ms);
    if (cell != NULL && exempt)
        cell->vouched_ms = GUARD_EXEMPT;
    return cell;
}

/** Without a place it is a stranger, unless it is exempt: then it is looked for every time. */
static bool is_exempt(const struct guard *guard, const struct cell *cell, const struct addr *source)
{
    if (cell != NULL && !goes_by_host(guard, source))
        return cell->vouched_ms == GUARD_EXEMPT;
    return is_listed(guard, source);
}

/** Is there a network of less than a /64? But ::/64 has nobody in it but this machine. */
static bool lists_hosts(const struct addr_net *nets, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (nets[i].base.family == ADDR_V6 && nets[i].bits > 64 && !is_link_local(&nets[i].base) &&
            load_u64(nets[i].base.bytes) != 0)
            return true;
    return false;
}

/* ---- packets ---- */

static enum guard_verdict admit(struct guard *guard, uint64_t *full_ns,
                                const struct bucket_rate *own, uint64_t *shared_ns, uint64_t now_ns)
{
    if (!has_room(*full_ns, own, now_ns))
        return GUARD_SOURCE;
    if (shared_ns != NULL) {
        if (!has_room(*shared_ns, &guard->strangers, now_ns))
            return GUARD_STRANGERS;
        charge(shared_ns, &guard->strangers, 1, now_ns);
    }
    charge(full_ns, own, 1, now_ns);
    return GUARD_PASS;
}

/** As admit(), but what is over is owed instead of refused. */
static void owe(struct guard *guard, uint64_t *full_ns, const struct bucket_rate *own,
                uint64_t *shared_ns, uint64_t now_ns)
{
    const uint64_t debt_ns = (uint64_t)STREAM_DEBT_MS * NS_PER_MS;

    if (has_room(*full_ns, own, now_ns + debt_ns))
        charge(full_ns, own, 1, now_ns);
    if (shared_ns != NULL && has_room(*shared_ns, &guard->strangers, now_ns + debt_ns))
        charge(shared_ns, &guard->strangers, 1, now_ns);
}

enum guard_verdict guard_packet(struct guard *guard, const struct addr *source, bool stream,
                                uint64_t now_ms)
{
    if (guard->sets == NULL)
        return GUARD_PASS;

    uint64_t none_ns = 0;
    uint64_t now_ns = now_ms * NS_PER_MS;
    struct cell *cell = guard_take(guard, source, false, now_ms);
    if (is_exempt(guard, cell, source))
        return GUARD_PASS;
    if (cell != NULL && (stream ? cell->barred_streams_ms : cell->barred_ms) > now_ms)
        return GUARD_BARRED;

    bool vouched = cell != NULL && cell->vouched_ms > now_ms;
    uint64_t *full_ns = cell != NULL ? &cell->full_ns : &none_ns;
    const struct bucket_rate *own = vouched ? &guard->vouched : &guard->stranger;
    uint64_t *shared_ns = vouched ? NULL : &guard->strangers_ns[stream];
    if (!stream)
        return admit(guard, full_ns, own, shared_ns, now_ns);
    owe(guard, full_ns, own, shared_ns, now_ns);
    return GUARD_PASS;
}

bool guard_may_read(struct guard *guard, const struct addr *source, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS;
    struct cell *cell = guard_find(guard, source);

    if (guard->sets == NULL || is_exempt(guard, cell, source))
        return true;
    if (cell != NULL && cell->vouched_ms > now_ms)
        return has_room(cell->full_ns, &guard->vouched, now_ns);
    if (cell != NULL && cell->barred_streams_ms > now_ms)
        return true; /* to be closed at its next message */
    return has_room(cell != NULL ? cell->full_ns : 0, &guard->stranger, now_ns) &&
           has_room(guard->strangers_ns[1], &guard->strangers, now_ns);
}

bool guard_is_stranger(struct guard *guard, const struct addr *source, uint64_t now_ms)
{
    if (guard->sets == NULL)
        return false;
    const struct cell *cell = guard_find(guard, source);
    return (cell == NULL || cell->vouched_ms <= now_ms) && !is_exempt(guard, cell, source);
}

uint64_t guard_vouch(struct guard *guard, const struct addr *source, uint64_t period_ms,
                     uint64_t now_ms)
{
    if (guard->sets == NULL)
        return 0;
    if (period_ms < GUARD_VOUCH_MIN_MS)
        period_ms = GUARD_VOUCH_MIN_MS;
    if (goes_by_host(guard, source) && is_listed(guard, source))
        return 0; /* what a trusted host proves is nothing of its neighbours */
    struct cell *cell = guard_take(guard, source, true, now_ms);
    if (cell == NULL || cell->vouched_ms == GUARD_EXEMPT)
        return 0;
    if (cell->vouched_ms >= now_ms + period_ms) {
        uint64_t left_ms = cell->untold ? cell->vouched_ms - now_ms : 0;
        cell->untold = false;
        return left_ms;
    }
    if (cell->vouched_ms <= now_ms) { /* the debts of a stranger are forgiven */
        if (cell->barred_ms > now_ms)
            guard_forget_bar(guard, source);
        *cell = (struct cell){.shakes_ns = cell->shakes_ns};
    }
    cell->vouched_ms = now_ms + period_ms + period_ms / 3;
    cell->untold = false;
    return period_ms;
}

void guard_vouch_untold(struct guard *guard, const struct addr *source)
{
    struct cell *cell = guard_find(guard, source);
    if (cell != NULL)
        cell->untold = true;
}

bool guard_call(struct guard *guard, const struct addr *source, bool stream, uint64_t now_ms)
{
    uint64_t none_ns = 0;
    uint64_t now_ns = now_ms * NS_PER_MS;
    uint64_t *shared_ns = &guard->calls_ns[stream];

    if (!guard_is_stranger(guard, source, now_ms))
        return true;
    struct cell *cell = guard_take(guard, source, false, now_ms);
    uint64_t *own_ns = cell != NULL ? &cell->calls_ns : &none_ns;
    if (!has_room(*own_ns, &guard->own_calls, now_ns) ||
        !has_room(*shared_ns, &guard->calls, now_ns))
        return false;
    charge(own_ns, &guard->own_calls, 1, now_ns);
    charge(shared_ns, &guard->calls, 1, now_ns);
    return true;
}

bool guard_handshake(struct guard *guard, const struct addr *source, uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS;

    if (guard->sets == NULL || guard->handshakes.interval_ns == 0)
        return true;
    struct cell *cell = guard_take(guard, source, false, now_ms);
    if (cell == NULL || is_exempt(guard, cell, source))
        return true;
    if (!has_room(cell->shakes_ns, &guard->handshakes, now_ns))
        return false;
    charge(&cell->shakes_ns, &guard->handshakes, 1, now_ns);
    return true;
}

bool guard_user(struct guard *guard, struct slice name, uint64_t now_ms)
{
    if (guard->sets == NULL || guard->user.interval_ns == 0)
        return true;
    uint64_t key = KEY_USER | hash_bytes(guard->config.seed, name) >> 16;
    uint64_t now_ns = now_ms * NS_PER_MS;
    struct cell *cell =
        find_way(guard, key) ? last_cell(guard) : take_way(guard, key, true, now_ms);
    if (cell == NULL)
        return true; /* his address has a limit, too */
    if (!has_room(cell->full_ns, &guard->user, now_ns))
        return false;
    charge(&cell->full_ns, &guard->user, 1, now_ns);
    return true;
}

bool guard_points(struct guard *guard, const struct addr *source, uint32_t points, uint64_t now_ms)
{
    if (guard->points.interval_ns == 0 || !guard_is_stranger(guard, source, now_ms))
        return false;
    struct cell *cell = guard_take(guard, source, false, now_ms);
    if (cell == NULL)
        return false;
    uint64_t now_ns = now_ms * NS_PER_MS;
    if (points > guard->config.points_max)
        points = guard->config.points_max + 1;
    charge(&cell->points_ns, &guard->points, points, now_ns);
    if (cell->points_ns <= now_ns + guard->points.ahead_ns)
        return false;
    cell->points_ns = 0;
    return true;
}

/* ---- opening and closing ---- */

static size_t sets_for(uint32_t places)
{
    size_t sets = 1;

    while (sets * GUARD_WAYS < places)
        sets *= 2;
    return sets;
}

size_t guard_memory(const struct guard_config *config)
{
    if (config->sources_max == 0)
        return sizeof(struct guard);
    return sizeof(struct guard) + sets_for(config->sources_max) * sizeof(struct cell_set) +
           sets_for(config->bars_max) * GUARD_WAYS * sizeof(struct bar);
}

static enum err open_tables(struct guard *guard)
{
    size_t sets = sets_for(guard->config.sources_max);
    size_t bar_sets = sets_for(guard->config.bars_max);

    guard->bars = calloc(bar_sets * GUARD_WAYS, sizeof *guard->bars);
    guard->sets = calloc(sets, sizeof *guard->sets);
    guard->bar_mask = bar_sets - 1;
    guard->set_mask = sets - 1;
    guard->last_set = guard->sets;
    return guard->sets != NULL && guard->bars != NULL ? OK : ERR_MEMORY;
}

enum err guard_open(const struct guard_config *config, struct guard **out)
{
    struct guard *guard = calloc(1, sizeof *guard);
    if (guard == NULL)
        return ERR_MEMORY;
    guard->config = *config;
    guard->mix[0] = hash_bytes(config->seed, SLICE("place"));
    guard->mix[1] = hash_bytes(config->seed, SLICE("factor")) | 1;
    guard->lists_hosts = lists_hosts(config->exempt, config->exempt_count) ||
                         lists_hosts(config->trusted, config->trusted_count) ||
                         lists_hosts(config->edges, config->edge_count);
    guard->stranger = bucket_rate(config->stranger);
    guard->strangers = bucket_rate(config->strangers);
    guard->vouched = bucket_rate(config->vouched);
    guard->calls = bucket_rate(config->calls);
    guard->own_calls = share_of(config->calls);
    guard->user = bucket_rate(config->user);
    guard->handshakes = bucket_rate(config->handshakes);
    if (config->points_max > 0)
        guard->points = (struct bucket_rate){(uint64_t)POINT_MS * NS_PER_MS,
                                             (uint64_t)config->points_max * POINT_MS * NS_PER_MS};
    enum err err = config->sources_max > 0 ? open_tables(guard) : OK;
    if (err) {
        guard_close(guard);
        return err;
    }
    *out = guard;
    return OK;
}

void guard_close(struct guard *guard)
{
    if (guard == NULL)
        return;
    free(guard->sets);
    free(guard->bars);
    free(guard);
}
