/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/quiesce.h"

static const uint64_t AWAY = UINT64_MAX;

void quiesce_init(struct quiesce *q)
{
    atomic_init(&q->epoch, 1);
    atomic_init(&q->count, 0);
    for (unsigned i = 0; i < QUIESCE_MAX; i++)
        atomic_init(&q->seats[i].seen, AWAY);
}

unsigned quiesce_join(struct quiesce *q)
{
    unsigned seat = atomic_fetch_add(&q->count, 1);
    assert(seat < QUIESCE_MAX);
    return seat;
}

void quiesce_online(struct quiesce *q, unsigned seat)
{
    /*
     * Everything read after this exchange must be younger than it: either the one who frees sees
     * us present, or we see what it has unlinked. The exchange is a full barrier; the fence says
     * so where an exchange alone would not be (and the thread sanitizer knows no fences).
     */
    uint64_t epoch = atomic_load_explicit(&q->epoch, memory_order_seq_cst);
    atomic_exchange_explicit(&q->seats[seat].seen, epoch, memory_order_seq_cst);
#if !defined(__SANITIZE_THREAD__)
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

void quiesce_pass(struct quiesce *q, unsigned seat)
{
    assert(atomic_load_explicit(&q->seats[seat].seen, memory_order_relaxed) != AWAY);
    quiesce_online(q, seat);
}

void quiesce_offline(struct quiesce *q, unsigned seat)
{
    atomic_store_explicit(&q->seats[seat].seen, AWAY, memory_order_release);
}

uint64_t quiesce_stamp(struct quiesce *q)
{
    return atomic_fetch_add_explicit(&q->epoch, 1, memory_order_seq_cst) + 1;
}

bool quiesce_passed(const struct quiesce *q, uint64_t stamp)
{
    uint32_t count = atomic_load_explicit(&q->count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (atomic_load_explicit(&q->seats[i].seen, memory_order_seq_cst) < stamp)
            return false;
    return true;
}
