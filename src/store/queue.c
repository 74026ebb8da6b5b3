/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal thread: takes what the workers' rings hold, writes it as one group, syncs, gives the
 * receipts. While it syncs the next group gathers: so an idle router syncs at once, and a busy one
 * many operations at a time.
 *
 * It sleeps on an eventfd. `asleep` is set before it looks at the rings a last time, and a worker
 * looks at `asleep` after it has added: one of the two sees the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/internal.h"

static_assert((unsigned)STORE_KEY_MAX == (unsigned)RECORD_KEY_MAX, "one limit");
static_assert((unsigned)STORE_VALUE_MAX == (unsigned)RECORD_VALUE_MAX, "one limit");

enum err store_queue_init(struct store *store)
{
    const struct store_options *options = &store->options;
    struct group *group = &store->group;

    store->wake_fd = eventfd(0, EFD_CLOEXEC);
    store->workers = aligned_alloc(64, options->workers * sizeof *store->workers);
    if (store->workers == NULL)
        return ERR_MEMORY;
    memset(store->workers, 0, options->workers * sizeof *store->workers);
    group->data = malloc(GROUP_BYTES + RECORD_MAX);
    group->receipts = calloc(GROUP_OPS, sizeof *group->receipts);
    group->parts = calloc(options->workers, sizeof *group->parts);
    if (store->wake_fd < 0 || group->data == NULL || group->receipts == NULL ||
        group->parts == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < options->workers; i++) {
        store->workers[i].store = store;
        enum err err = ring_init(&store->workers[i].ring, options->ring_bytes);
        if (err)
            return err;
    }
    return OK;
}

void store_queue_release(struct store *store)
{
    for (unsigned i = 0; store->workers != NULL && i < store->options.workers; i++)
        ring_release(&store->workers[i].ring);
    free(store->workers);
    free(store->group.data);
    free(store->group.receipts);
    free(store->group.parts);
    if (store->wake_fd >= 0)
        close(store->wake_fd);
}

void store_journal_wake(struct store *store)
{
    uint64_t one = 1;

    if (atomic_load(&store->asleep) && atomic_exchange(&store->asleep, false)) {
        ssize_t written = write(store->wake_fd, &one, sizeof one);
        assert(written == sizeof one); /* the counter cannot be full: it is read each time */
        (void)written;
    }
}

/* --- The worker's side ---------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static bool journal_full(const struct store_worker *worker, const struct durable_op *op)
{
    const struct store *store = worker->store;

    if (store->path == NULL)
        return false;
    uint64_t bytes = atomic_load_explicit(&store->journal.bytes, memory_order_relaxed);
    return bytes + ring_used(&worker->ring) + record_bytes(op) > store->options.journal_bytes_max;
}

static enum err worker_append(void *user, const struct durable_op *op, struct id token)
{
    struct store_worker *worker = user;
    struct store *store = worker->store;

    if (op->key.len > STORE_KEY_MAX || op->value.len > STORE_VALUE_MAX) {
        count(&worker->refused_big);
        return ERR_TOO_BIG;
    }
    uint64_t added = atomic_load_explicit(&worker->added, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&worker->done, memory_order_acquire);
    if (added - done >= store->options.pending_max || journal_full(worker, op) ||
        ring_push(&worker->ring, op, token) != OK) {
        count(&worker->refused_full);
        return ERR_FULL;
    }
    atomic_store_explicit(&worker->added, added + 1, memory_order_relaxed);
    store_journal_wake(store);
    return OK;
}

struct durable_ops store_ops(struct store *store, unsigned worker)
{
    assert(worker < store->options.workers);

    return (struct durable_ops){.user = &store->workers[worker], .append = worker_append};
}

/* --- The journal thread's side -------------------------------------------------------------- */

/* Adds one worker's operations to the group, while there is room. */
static void gather_worker(struct store *store, unsigned index, uint64_t next)
{
    struct store_worker *worker = &store->workers[index];
    struct group *group = &store->group;
    struct group_part part = {.worker = index, .first = group->count};
    struct record record;

    worker->cursor = ring_head(&worker->ring);
    while (group->count < GROUP_OPS && group->len < GROUP_BYTES &&
           ring_peek(&worker->ring, &worker->cursor, &record.op,
                     &group->receipts[group->count].token)) {
        record.sequence = next + group->count;
        record.in_group = group->count;
        if (store->path != NULL) {
            record_write(&record, group->data + group->len);
            group->len += record_bytes(&record.op);
        }
        group->count++;
    }
    part.count = group->count - part.first;
    if (part.count > 0)
        group->parts[group->part_count++] = part;
}

/* Makes a group of what is there. Each time another worker is asked first. */
static void gather(struct store *store)
{
    struct group *group = &store->group;
    unsigned workers = store->options.workers;
    uint64_t next = atomic_load(&store->journal.next);

    assert(workers > 0);
    group->len = 0;
    group->count = 0;
    group->part_count = 0;
    for (unsigned i = 0; i < workers; i++)
        gather_worker(store, (group->turn + i) % workers, next);
    group->turn = (group->turn + 1) % workers;
}

static enum err write_group(struct store *store)
{
    struct group *group = &store->group;
    struct journal *journal = &store->journal;

    if (store->path == NULL)
        return OK;
    if (atomic_load(&journal->bytes) + group->len > store->options.journal_bytes_max)
        return ERR_FULL;

    uint64_t start_us = store_monotonic_us();
    enum err err =
        journal_write(journal, (struct slice){(char *)group->data, group->len}, group->count);
    uint32_t took_us = (uint32_t)(store_monotonic_us() - start_us);
    if (err) {
        if (!atomic_exchange(&store->journal_failing, true))
            store_say(store, STORE_ERROR,
                      "journal %s: cannot be written: %s; registrations and calls are refused "
                      "until it can: "
                      "look at the disk",
                      journal->folder, strerror(errno));
        return err;
    }
    if (atomic_exchange(&store->journal_failing, false))
        store_say(store, STORE_INFO, "journal %s: is written again", journal->folder);
    count(&store->syncs);
    atomic_store(&store->last_sync_us, took_us);
    if (took_us > atomic_load(&store->max_sync_us))
        atomic_store(&store->max_sync_us, took_us);
    store_apply_wake(store, atomic_load(&journal->next) - 1);
    return OK;
}

/* The receipts come after the rings' room is given back: who hears one can append again. */
static void finish_group(struct store *store, enum err err)
{
    struct group *group = &store->group;

    atomic_fetch_add(err ? &store->failed : &store->synced, group->count);
    for (uint32_t i = 0; i < group->count; i++)
        group->receipts[i].err = err;
    for (unsigned i = 0; i < group->part_count; i++) {
        const struct group_part *part = &group->parts[i];
        struct store_worker *worker = &store->workers[part->worker];
        ring_drop(&worker->ring, worker->cursor);
        atomic_fetch_add_explicit(&worker->done, part->count, memory_order_release);
        store->options.on_receipts(store->options.user, part->worker, group->receipts + part->first,
                                   part->count);
    }
}

static bool rings_empty(const struct store *store)
{
    for (unsigned i = 0; i < store->options.workers; i++)
        if (ring_used(&store->workers[i].ring) > 0)
            return false;
    return true;
}

static void journal_sleep(struct store *store)
{
    uint64_t ignored;

    atomic_store(&store->asleep, true);
    if ((!rings_empty(store) || atomic_load(&store->closing)) &&
        atomic_exchange(&store->asleep, false))
        return; /* else somebody has seen us asleep, and the eventfd is or will be readable */
    while (read(store->wake_fd, &ignored, sizeof ignored) < 0 && errno == EINTR)
        continue;
    atomic_store(&store->asleep, false);
}

void *store_journal_run(void *user)
{
    struct store *store = user;

    for (;;) {
        bool closing = atomic_load(&store->closing);
        gather(store);
        if (store->group.count > 0) {
            finish_group(store, write_group(store));
            continue;
        }
        if (closing) /* it was set before the rings were found empty */
            return NULL;
        journal_sleep(store);
    }
}
