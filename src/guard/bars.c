/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guard/bars - failed logins, and who is kept out.
 *
 * One table for both: a pair that fails is counted, past the limit it is barred in the same place.
 * A full set gives up what is over first, then what forged packets can bring in: bars for garbage
 * and scans, which are only shown here (the address itself is kept out by its cell). Then the
 * fewest failures, then the bar that ends first. So no flood makes us forget who guesses passwords.
 */
#include <stdlib.h>

#include "guard/guard.h"
#include "guard/internal.h"

const char *guard_reason_name(enum guard_reason reason)
{
    static const char *const names[GUARD_R_COUNT] = {
        [GUARD_R_LOGINS] = "failed_logins",   [GUARD_R_GLITCHES] = "glitches",
        [GUARD_R_SCANNER] = "scanner",        [GUARD_R_STREAM_GLITCHES] = "glitches",
        [GUARD_R_STREAM_SCANNER] = "scanner",
    };
    assert(reason > 0 && reason < GUARD_R_COUNT);
    return names[reason];
}

uint64_t guard_pair_hash(const struct guard *guard, const struct addr *addr, struct slice user)
{
    struct addr source = addr_source(addr);
    uint64_t hash =
        hash_bytes(guard->config.seed, (struct slice){(const char *)&source, sizeof source});

    if (user.len > 0)
        hash = hash_bytes(hash, user);
    return hash != 0 ? hash : 1;
}

static struct bar *bar_set(const struct guard *guard, uint64_t hash)
{
    return &guard->bars[(hash & guard->bar_mask) * GUARD_WAYS];
}

static struct bar *bar_find(const struct guard *guard, uint64_t hash)
{
    struct bar *set = bar_set(guard, hash);

    for (unsigned way = 0; way < GUARD_WAYS; way++)
        if (set[way].hash == hash)
            return &set[way];
    return NULL;
}

/** Whether there is nothing left to remember. */
static bool is_over(const struct guard *guard, const struct bar *bar, uint64_t now_ms)
{
    return now_ms >= bar->until_ms && now_ms - bar->until_ms >= guard->config.bar_max_ms &&
           now_ms - bar->window_ms >= guard->config.failure_window_ms;
}

/** The higher, the longer it is kept. */
static uint64_t worth_of(const struct guard *guard, const struct bar *bar, uint64_t now_ms)
{
    if (bar->hash == 0 || is_over(guard, bar, now_ms))
        return 0;
    uint64_t left_ms = bar->until_ms > now_ms ? bar->until_ms - now_ms : 0;
    if (bar->failures == 0 && bar->reason != GUARD_R_LOGINS)
        return 1 + left_ms;
    if (left_ms > 0)
        return (UINT64_C(1) << 41) + left_ms;
    return (UINT64_C(1) << 40) + bar->failures + ((uint64_t)bar->times << 32);
}

static struct bar *bar_take(struct guard *guard, const struct addr *source, struct slice user,
                            uint64_t now_ms)
{
    uint64_t hash = guard_pair_hash(guard, source, user);
    struct bar *bar = bar_find(guard, hash);

    if (bar != NULL && !is_over(guard, bar, now_ms))
        return bar;
    if (bar == NULL) {
        struct bar *set = bar_set(guard, hash);
        bar = &set[0];
        for (unsigned way = 1; way < GUARD_WAYS; way++)
            if (worth_of(guard, &set[way], now_ms) < worth_of(guard, bar, now_ms))
                bar = &set[way];
    }
    size_t len = user.len < GUARD_USER_MAX ? user.len : GUARD_USER_MAX;
    *bar = (struct bar){
        .hash = hash, .window_ms = now_ms, .source = addr_source(source), .user_len = (uint8_t)len};
    if (len > 0)
        memcpy(bar->user, user.data, len);
    return bar;
}

/** Doubled each time, up to the most. */
static uint32_t bar_length_ms(const struct guard_config *config, unsigned times)
{
    uint64_t ms = times < 32 ? (uint64_t)config->bar_ms << times : config->bar_max_ms;
    return ms < config->bar_max_ms ? (uint32_t)ms : config->bar_max_ms;
}

uint32_t guard_failure(struct guard *guard, const struct addr *source, struct slice user,
                       uint64_t now_ms)
{
    const struct guard_config *config = &guard->config;
    uint32_t max = user.len > 0 ? config->failures_max : config->address_failures_max;

    if (guard->bars == NULL || max == 0)
        return 0;
    struct bar *bar = bar_take(guard, source, user, now_ms);
    if (bar->failures == 0 || now_ms - bar->window_ms >= config->failure_window_ms) {
        bar->failures = 0;
        bar->window_ms = now_ms;
    }
    bar->failures++;
    if (bar->failures < max)
        return 0;
    bar->failures = 0;
    return bar_length_ms(config, bar->times);
}

bool guard_bar(struct guard *guard, const struct addr *source, struct slice user,
               enum guard_reason reason, uint32_t ms, uint64_t now_ms)
{
    if (guard->bars == NULL || (user.len == 0 && !guard_is_stranger(guard, source, now_ms)))
        return false;
    if (user.len == 0) {
        struct cell *cell = guard_take(guard, source, false, now_ms);
        if (cell == NULL)
            return false; /* no room: the shared bucket keeps him short */
        cell->barred_ms = now_ms + ms;
        /* Anybody can forge a datagram: what one did keeps nobody from TCP. */
        if (reason != GUARD_R_GLITCHES && reason != GUARD_R_SCANNER)
            cell->barred_streams_ms = cell->barred_ms;
    }
    struct bar *bar = bar_take(guard, source, user, now_ms);
    bar->until_ms = now_ms + ms;
    bar->reason = (uint8_t)reason;
    if (bar->times < UINT8_MAX)
        bar->times++;
    return true;
}

bool guard_is_barred(const struct guard *guard, const struct addr *source, struct slice user,
                     uint64_t now_ms)
{
    if (guard->bars == NULL)
        return false;
    const struct bar *bar = bar_find(guard, guard_pair_hash(guard, source, user));
    return bar != NULL && bar->until_ms > now_ms;
}

void guard_forget_bar(struct guard *guard, const struct addr *source)
{
    struct bar *bar = bar_find(guard, guard_pair_hash(guard, source, SLICE_EMPTY));
    if (bar != NULL)
        *bar = (struct bar){0};
}

/* ---- shown and lifted ---- */

/** A name that goes into a path and on a terminal, as it is. */
static void write_name(const struct bar *bar, char name[static GUARD_NAME_MAX])
{
    char text[GUARD_NAME_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct builder out = builder_over(name, GUARD_NAME_MAX - 1);

    for (unsigned i = 0; i < bar->user_len; i++) {
        char c = bar->user[i];
        builder_char(&out, c > ' ' && c < 127 && c != '/' && c != '@' ? c : '?');
    }
    if (bar->user_len > 0)
        builder_char(&out, '@');
    addr_write_host(&b, &bar->source);
    struct slice host = builder_slice(&b);
    if (bar->source.family == ADDR_V6) /* without brackets */
        host = (struct slice){host.data + 1, host.len - 2};
    builder_add(&out, host);
    name[out.len] = '\0';
}

static bool is_live(const struct bar *bar, uint64_t now_ms)
{
    return bar->hash != 0 && bar->until_ms > now_ms;
}

static uint64_t places(const struct guard *guard)
{
    return guard->bars != NULL ? (guard->bar_mask + 1) * GUARD_WAYS : 0;
}

uint32_t guard_bar_count(const struct guard *guard, uint64_t now_ms)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < places(guard); i++)
        count += is_live(&guard->bars[i], now_ms);
    return count;
}

uint32_t guard_bars(const struct guard *guard, uint64_t now_ms, struct guard_bar_info *out,
                    uint32_t max)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < places(guard) && count < max; i++) {
        const struct bar *bar = &guard->bars[i];
        if (!is_live(bar, now_ms))
            continue;
        struct guard_bar_info *info = &out[count++];
        *info = (struct guard_bar_info){.source = bar->source,
                                        .reason = bar->reason,
                                        .whole = bar->user_len == 0,
                                        .times = bar->times,
                                        .left_ms = bar->until_ms - now_ms};
        write_name(bar, info->name);
    }
    return count;
}

uint32_t guard_lift(struct guard *guard, struct slice name, uint64_t now_ms)
{
    uint32_t count = 0;

    for (uint64_t i = 0; i < places(guard); i++) {
        struct bar *bar = &guard->bars[i];
        char text[GUARD_NAME_MAX];
        if (bar->hash == 0)
            continue;
        write_name(bar, text);
        if (!slice_equal(slice_of(text), name))
            continue;
        count += is_live(bar, now_ms);
        struct cell *cell = bar->user_len == 0 ? guard_find(guard, &bar->source) : NULL;
        if (cell != NULL) {
            cell->barred_ms = 0;
            cell->barred_streams_ms = 0;
            cell->points_ns = 0;
        }
        *bar = (struct bar){0};
    }
    return count;
}
