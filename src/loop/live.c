/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/live.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    WINDOW = 16,       /* slots that a key may use: two or three cache lines */
    SLOTS_PER_KEY = 4, /* so thin that 16 neighbours are never all used by `keys_max` keys */
    SLOTS_MIN = 1024,
    SLOTS_MAX = 1 << 24,
};

/* Of a slot: these bits are the count, with room for all who try at the limit; the others a tag. */
static const uint64_t COUNT_MASK = (UINT64_C(1) << 24) - 1;

/* A slot is 0 when it is free. The tag is never 0, nor is a used slot's count. */
struct live {
    uint64_t windows; /* WINDOW slots each */
    _Atomic uint64_t slots[];
};

static uint64_t tag_of(uint64_t hash)
{
    uint64_t tag = hash & ~COUNT_MASK;
    return tag != 0 ? tag : COUNT_MASK + 1;
}

static uint64_t window_of(const struct live *live, uint64_t hash)
{
    /* The tag has the high bits; the place goes by all of them, mixed. */
    uint64_t place = (hash ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
    return place % live->windows * WINDOW;
}

enum err live_open(size_t keys_max, struct live **out)
{
    size_t slots = SLOTS_MIN;
    while (slots < SLOTS_MAX && slots / SLOTS_PER_KEY < keys_max)
        slots *= 2;

    struct live *live = calloc(1, sizeof *live + slots * sizeof live->slots[0]);
    if (live == NULL)
        return ERR_MEMORY;
    live->windows = slots / WINDOW;
    *out = live;
    return OK;
}

void live_close(struct live *live)
{
    free(live);
}

/* What a look at a key's window finds. */
struct look {
    uint32_t count; /* over all slots of the key */
    bool found;     /* a slot to change: the key's first, else a free one */
    uint64_t place; /* of that */
    uint64_t seen;  /* in it; 0: it is free */
};

static struct look look_at(const struct live *live, uint64_t hash)
{
    uint64_t begin = window_of(live, hash);
    uint64_t tag = tag_of(hash);
    struct look look = {0};

    for (uint64_t place = begin; place < begin + WINDOW; place++) {
        uint64_t slot = atomic_load(&live->slots[place]);
        bool ours = (slot & ~COUNT_MASK) == tag;
        if (ours)
            look.count += (uint32_t)(slot & COUNT_MASK);
        if (ours ? look.seen == 0 : slot == 0 && !look.found) {
            look.found = true;
            look.place = place;
            look.seen = slot;
        }
    }
    return look;
}

/*
 * Counts first, then looks: of those who hold one at the same time, the one who counted last has
 * seen all others, as none of theirs has moved. All operations are sequentially consistent for it.
 */
enum live_answer live_take(struct live *live, uint64_t hash, uint32_t limit, uint32_t *place)
{
    assert(limit > 0 && limit <= LIVE_COUNT_MAX);

    for (;;) {
        struct look look = look_at(live, hash);
        if (look.count >= limit)
            return LIVE_LIMIT;
        if (!look.found)
            return LIVE_FULL;
        uint64_t wanted = look.seen != 0 ? look.seen + 1 : tag_of(hash) + 1;
        if (!atomic_compare_exchange_strong(&live->slots[look.place], &look.seen, wanted))
            continue;
        if (look_at(live, hash).count > limit) {
            live_give(live, (uint32_t)look.place + 1);
            return LIVE_LIMIT;
        }
        *place = (uint32_t)look.place + 1;
        return LIVE_TAKEN;
    }
}

void live_give(struct live *live, uint32_t place)
{
    assert(place > 0 && place <= live->windows * WINDOW);
    _Atomic uint64_t *at = &live->slots[place - 1];
    uint64_t slot = atomic_load(at);
    uint64_t wanted;

    do {
        assert((slot & COUNT_MASK) > 0);
        wanted = (slot & COUNT_MASK) == 1 ? 0 : slot - 1;
    } while (!atomic_compare_exchange_weak(at, &slot, wanted));
}

uint32_t live_count(const struct live *live, uint64_t hash)
{
    return look_at(live, hash).count;
}
