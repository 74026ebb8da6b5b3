/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/mailbox.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    MAILBOX_ALIGN = 16
};

/* What stands in front of a letter. `mark` is written last, and 0 wherever nothing is complete. */
struct letter_head {
    _Atomic uint32_t mark; /* bytes of the whole record, head included; MARK_SKIP set: no letter */
    uint32_t len;          /* of the body */
    uint16_t kind;
    uint16_t from;
    uint32_t zero;
};

static const uint32_t MARK_SKIP = UINT32_C(1) << 31;

static_assert(sizeof(struct letter_head) == MAILBOX_ALIGN, "bodies stay aligned");

size_t mailbox_memory(size_t capacity)
{
    size_t rounded = MAILBOX_CAPACITY_MIN;
    while (rounded < capacity)
        rounded *= 2;
    return rounded;
}

enum err mailbox_open(struct mailbox *mailbox, size_t capacity)
{
    size_t rounded = mailbox_memory(capacity);

    /* Zeroed, and only touched pages cost. */
    void *ring = mmap(NULL, rounded, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring == MAP_FAILED)
        return ERR_MEMORY;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) {
        munmap(ring, rounded);
        return ERR_IO;
    }
    mailbox->ring = ring;
    mailbox->capacity = rounded;
    mailbox->reserve = rounded / 4;
    mailbox->wake_fd = fd;
    atomic_init(&mailbox->tail, 0);
    atomic_init(&mailbox->head, 0);
    atomic_init(&mailbox->refused, 0);
    atomic_init(&mailbox->asleep, false);
    return OK;
}

void mailbox_close(struct mailbox *mailbox)
{
    if (mailbox->ring == NULL)
        return;
    munmap(mailbox->ring, mailbox->capacity);
    close(mailbox->wake_fd);
    mailbox->ring = NULL;
}

static struct letter_head *head_at(const struct mailbox *mailbox, uint64_t position)
{
    return (struct letter_head *)(void *)(mailbox->ring + (position & (mailbox->capacity - 1)));
}

/*
 * Reserves `bytes` in one piece. `*skipped` bytes at the end of the ring are left out when the
 * record would cross it: they are reserved as well, and come first.
 */
static bool mailbox_reserve(struct mailbox *mailbox, enum mailbox_class class, size_t bytes,
                            uint64_t *position, size_t *skipped)
{
    size_t usable = mailbox->capacity - (class == MAILBOX_RESERVED ? 0 : mailbox->reserve);
    uint64_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);

    for (;;) {
        /* Acquired: what the reader cleared before it moved `head` is clear for us, too. */
        uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_acquire);
        size_t to_end = mailbox->capacity - (size_t)(tail & (mailbox->capacity - 1));
        *skipped = to_end < bytes ? to_end : 0;
        if (tail - head > usable || usable - (tail - head) < *skipped + bytes) {
            /* `tail` may be older than `head`: then the difference is huge, and it is read anew. */
            uint64_t fresh = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
            if (fresh == tail)
                return false;
            tail = fresh;
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&mailbox->tail, &tail, tail + *skipped + bytes,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            *position = tail;
            return true;
        }
    }
}

bool mailbox_post(struct mailbox *mailbox, enum mailbox_class class, uint16_t kind, uint16_t from,
                  const struct slice *parts, size_t part_count)
{
    size_t len = 0;
    for (size_t i = 0; i < part_count; i++)
        len += parts[i].len;
    assert(len <= MAILBOX_LETTER_MAX);

    size_t bytes =
        (sizeof(struct letter_head) + len + MAILBOX_ALIGN - 1) & ~(size_t)(MAILBOX_ALIGN - 1);
    uint64_t position;
    size_t skipped;
    if (!mailbox_reserve(mailbox, class, bytes, &position, &skipped)) {
        atomic_fetch_add_explicit(&mailbox->refused, 1, memory_order_relaxed);
        return false;
    }
    if (skipped > 0)
        atomic_store_explicit(&head_at(mailbox, position)->mark, (uint32_t)skipped | MARK_SKIP,
                              memory_order_release);

    struct letter_head *head = head_at(mailbox, position + skipped);
    head->len = (uint32_t)len;
    head->kind = kind;
    head->from = from;
    char *at = (char *)(head + 1);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].len > 0)
            memcpy(at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    /* The last access in program order that the reader sees; ordered before the look at `asleep`.
     */
    atomic_store_explicit(&head->mark, (uint32_t)bytes, memory_order_seq_cst);
    return true;
}

void mailbox_ring(struct mailbox *mailbox)
{
    /*
     * The letter's mark was stored before this exchange, and the reader stores `asleep` before it
     * looks at marks, all sequentially consistent: one of the two sees the other.
     */
    if (!atomic_load_explicit(&mailbox->asleep, memory_order_seq_cst))
        return;
    if (!atomic_exchange_explicit(&mailbox->asleep, false, memory_order_seq_cst))
        return;
    uint64_t one = 1;
    ssize_t written = write(mailbox->wake_fd, &one, sizeof one);
    (void)written; /* it can only fail when the count is full: then the reader is woken anyway */
}

unsigned mailbox_read(struct mailbox *mailbox, mailbox_read_fn *read, void *user, unsigned max)
{
    unsigned count = 0;
    uint64_t position = atomic_load_explicit(&mailbox->head, memory_order_relaxed);

    while (count < max) {
        struct letter_head *head = head_at(mailbox, position);
        uint32_t mark = atomic_load_explicit(&head->mark, memory_order_acquire);
        if (mark == 0)
            break;
        size_t bytes = mark & ~MARK_SKIP;
        if ((mark & MARK_SKIP) == 0) {
            struct letter letter = {
                .kind = head->kind,
                .from = head->from,
                .body = {(const char *)(head + 1), head->len},
            };
            read(user, &letter);
            count++;
        }
        /* Any of these bytes may be where a later record begins: no mark may be left there. */
        memset((void *)head, 0, bytes);
        position += bytes;
        atomic_store_explicit(&mailbox->head, position, memory_order_release);
    }
    return count;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
    uint64_t position = atomic_load_explicit(&mailbox->head, memory_order_relaxed);

    atomic_store_explicit(&mailbox->asleep, true, memory_order_seq_cst);
    if (atomic_load_explicit(&head_at(mailbox, position)->mark, memory_order_seq_cst) == 0)
        return true;
    atomic_store_explicit(&mailbox->asleep, false, memory_order_seq_cst);
    return false;
}

void mailbox_awake(struct mailbox *mailbox, bool woken)
{
    atomic_store_explicit(&mailbox->asleep, false, memory_order_seq_cst);
    if (!woken)
        return;
    uint64_t count;
    ssize_t got = read(mailbox->wake_fd, &count, sizeof count);
    (void)got;
}

bool mailbox_pressed(const struct mailbox *mailbox)
{
    uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
    uint64_t tail = atomic_load_explicit(&mailbox->tail, memory_order_relaxed);
    return tail > head && tail - head > (mailbox->capacity - mailbox->reserve) / 2;
}
