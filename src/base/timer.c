/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a timer lies follows from the bits in which its due differs from `now`: the highest group
 * of six that differs is the level, the due's value there is the slot. So at level n all timers
 * share the higher groups with `now` and lie in slots after it: the lowest level in use holds the
 * earliest dues, and its lowest bit is the earliest slot. When `now` enters a slot of level n > 0,
 * its timers agree with `now` in group n as well and move down. Nothing else ever has to move,
 * and timers with equal dues keep the order in which they were started: whoever lies higher was
 * started earlier and comes down before a later one can be put there.
 */
#include "base/timer.h"

enum {
    TIMER_BITS = 6,
    TIMER_SLOT_MASK = TIMER_SLOTS - 1,
    TIMER_ERA_BITS = 36
};

/* One past which no due fits in the wheel yet. */
static uint64_t next_era(uint64_t now_ms)
{
    return ((now_ms >> TIMER_ERA_BITS) + 1) << TIMER_ERA_BITS;
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    wheel->now_ms = now_ms;
    wheel->count = 0;
    list_init(&wheel->ready);
    list_init(&wheel->late);
    list_init(&wheel->far);
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        wheel->used[level] = 0;
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

/* Puts a timer of the future, or of this very millisecond, where it belongs. */
static void wheel_place(struct timer_wheel *wheel, struct timer *timer)
{
    assert(timer->due_ms >= wheel->now_ms);

    uint64_t differ = timer->due_ms ^ wheel->now_ms;
    if (differ == 0) {
        list_push(&wheel->ready, &timer->node);
        return;
    }
    if (differ >> TIMER_ERA_BITS != 0) {
        list_push(&wheel->far, &timer->node);
        return;
    }
    unsigned level = (63U - (unsigned)__builtin_clzll((unsigned long long)differ)) / TIMER_BITS;
    unsigned slot = (unsigned)(timer->due_ms >> (level * TIMER_BITS)) & TIMER_SLOT_MASK;
    wheel->used[level] |= UINT64_C(1) << slot;
    list_push(&wheel->slots[level][slot], &timer->node);
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    assert(timer->fn != NULL);

    timer_stop(wheel, timer);
    timer->due_ms = due_ms;
    wheel->count++;
    if (due_ms <= wheel->now_ms)
        list_push(&wheel->late, &timer->node);
    else
        wheel_place(wheel, timer);
}

/* `head` has just become empty: if it is a slot, its bit goes too. */
static void slot_emptied(struct timer_wheel *wheel, const struct list *head)
{
    uintptr_t first = (uintptr_t)&wheel->slots[0][0];
    uintptr_t at = (uintptr_t)head;
    if (at < first || at >= first + sizeof wheel->slots)
        return; /* one of the lists beside the wheel */

    size_t index = (at - first) / sizeof(struct list);
    wheel->used[index / TIMER_SLOTS] &= ~(UINT64_C(1) << index % TIMER_SLOTS);
}

void timer_stop(struct timer_wheel *wheel, struct timer *timer)
{
    if (!timer_armed(timer))
        return;
    assert(wheel->count > 0);

    struct list *next = timer->node.next;
    bool alone = next == timer->node.prev; /* then both are the head */
    list_remove(&timer->node);
    wheel->count--;
    if (alone)
        slot_emptied(wheel, next);
}

/* Moves all of `from` to the end of `to`. */
static void list_move(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* Places every timer of `from` anew, as seen from the present `now_ms`. */
static void wheel_place_all(struct timer_wheel *wheel, struct list *from)
{
    struct list moving;
    list_init(&moving);
    list_move(&moving, from);
    for (struct list *node = list_pop(&moving); node != NULL; node = list_pop(&moving))
        wheel_place(wheel, CONTAINER_OF(node, struct timer, node));
}

/* The earliest slot in use: when it begins, and which it is. False: the wheel is empty. */
static bool wheel_first(const struct timer_wheel *wheel, uint64_t *begin_ms, unsigned *level)
{
    for (unsigned n = 0; n < TIMER_LEVELS; n++) {
        if (wheel->used[n] == 0)
            continue;
        unsigned shift = n * TIMER_BITS;
        uint64_t slot = (uint64_t)__builtin_ctzll((unsigned long long)wheel->used[n]);
        *begin_ms = (((wheel->now_ms >> shift) & ~(uint64_t)TIMER_SLOT_MASK) | slot) << shift;
        *level = n;
        return true;
    }
    return false;
}

/* Turns the wheel to `now_ms`; what is due goes to the end of `ready`, in the order of dues. */
static void wheel_advance(struct timer_wheel *wheel, uint64_t now_ms)
{
    while (wheel->now_ms < now_ms) {
        uint64_t begin_ms;
        unsigned level;
        if (!wheel_first(wheel, &begin_ms, &level)) {
            begin_ms = next_era(wheel->now_ms);
            if (list_empty(&wheel->far) || begin_ms > now_ms)
                break;
            wheel->now_ms = begin_ms;
            wheel_place_all(wheel, &wheel->far);
            continue;
        }
        if (begin_ms > now_ms)
            break;
        assert(begin_ms > wheel->now_ms);
        wheel->now_ms = begin_ms;
        unsigned slot = (unsigned)(begin_ms >> (level * TIMER_BITS)) & TIMER_SLOT_MASK;
        wheel->used[level] &= ~(UINT64_C(1) << slot);
        wheel_place_all(wheel, &wheel->slots[level][slot]);
    }
    if (wheel->now_ms < now_ms) {
        bool same_era = wheel->now_ms >> TIMER_ERA_BITS == now_ms >> TIMER_ERA_BITS;
        wheel->now_ms = now_ms;
        assert(same_era || list_empty(&wheel->far));
    }
}

unsigned timer_wheel_run(struct timer_wheel *wheel, uint64_t now_ms, unsigned max)
{
    list_move(&wheel->ready, &wheel->late);
    wheel_advance(wheel, now_ms);

    unsigned ran = 0;
    while (ran < max) {
        struct list *node = list_pop(&wheel->ready);
        if (node == NULL)
            break;
        struct timer *timer = CONTAINER_OF(node, struct timer, node);
        wheel->count--;
        ran++;
        timer->fn(timer, now_ms);
    }
    return ran;
}

uint64_t timer_wheel_next(const struct timer_wheel *wheel)
{
    uint64_t begin_ms;
    unsigned level;

    if (!list_empty(&wheel->ready) || !list_empty(&wheel->late))
        return wheel->now_ms;
    if (wheel_first(wheel, &begin_ms, &level))
        return begin_ms;
    return list_empty(&wheel->far) ? UINT64_MAX : next_era(wheel->now_ms);
}
