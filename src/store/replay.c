/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The applier thread: brings the journal into the database, and deletes what is applied.
 */
#include <errno.h>
#include <time.h>

#include "store/internal.h"

enum {
    RETRY_MIN_MS = 100, /* after an error of the database; doubles up to RETRY_MAX_MS */
    RETRY_MAX_MS = 5000,
    CLOSE_ATTEMPTS = 3, /* then the journal keeps it for the next start */
};

/* Applies all that can be read now. */
static enum err apply_all(struct store *store)
{
    struct applier *applier = &store->applier;

    for (;;) {
        struct slice bytes;
        size_t used = 0;
        enum err err = journal_read(&store->journal, &bytes);
        if (err == ERR_NOT_FOUND)
            return OK;
        if (!err)
            err = applier_batch(applier, bytes, &used);
        if (err)
            return err;
        journal_advance(&store->journal, used);
        atomic_store(&store->applied_last, applier->applied);
    }
}

enum err store_replay(struct store *store, struct store_problem *problem)
{
    atomic_store(&store->applied_base, store->applier.applied);
    atomic_store(&store->applied_last, store->applier.applied);
    enum err err = apply_all(store);
    if (err)
        return problem_set(problem, err, "%s: the journal cannot be brought into the database: %s",
                           store->path, err == ERR_IO ? db_message(&store->apply_db) : "damaged");
    store->apply_wanted = store->applier.applied;
    atomic_store(&store->applied_base, store->applier.applied);
    journal_forget(&store->journal, store->applier.applied);
    return OK;
}

void store_apply_wake(struct store *store, uint64_t sequence)
{
    pthread_mutex_lock(&store->apply_lock);
    store->apply_wanted = sequence;
    pthread_cond_broadcast(&store->apply_cond);
    pthread_mutex_unlock(&store->apply_lock);
}

static struct timespec in_ms(uint32_t ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Sleeps for `ms`, less when the store closes or is flushed. Called with the lock. */
static void nap(struct store *store, uint32_t ms, bool flush_wakes)
{
    struct timespec until = in_ms(ms);

    while (!store->apply_closing && !(flush_wakes && store->flushes > 0))
        if (pthread_cond_timedwait(&store->apply_cond, &store->apply_lock, &until) == ETIMEDOUT)
            return;
}

/* Waits until there is something to apply. False: it is time to end. */
static bool wait_for_work(struct store *store)
{
    pthread_mutex_lock(&store->apply_lock);
    while (store->apply_wanted <= store->applier.applied && !store->apply_closing)
        pthread_cond_wait(&store->apply_cond, &store->apply_lock);
    bool work = store->apply_wanted > store->applier.applied;
    if (work)
        nap(store, store->options.apply_delay_ms, true);
    pthread_mutex_unlock(&store->apply_lock);
    return work;
}

static void say_state(struct store *store, enum err err)
{
    if (err) {
        atomic_fetch_add(&store->database_errors, 1);
        if (!atomic_exchange(&store->database_failing, true))
            store_say(store, STORE_ERROR,
                      "store %s: cannot be written: %s; the journal keeps all until it can: look "
                      "at the disk",
                      store->path,
                      err == ERR_IO ? db_message(&store->apply_db) : "the journal is damaged");
        return;
    }
    if (atomic_exchange(&store->database_failing, false))
        store_say(store, STORE_INFO, "store %s: is written again", store->path);
}

void *store_apply_run(void *user)
{
    struct store *store = user;
    uint32_t retry_ms = RETRY_MIN_MS;
    unsigned closing_attempts = 0;

    while (wait_for_work(store)) {
        enum err err = apply_all(store);
        say_state(store, err);
        if (!err)
            journal_forget(&store->journal, store->applier.applied);

        pthread_mutex_lock(&store->apply_lock);
        store->apply_rounds++;
        pthread_cond_broadcast(&store->apply_cond);
        if (err && store->apply_closing && ++closing_attempts == CLOSE_ATTEMPTS) {
            pthread_mutex_unlock(&store->apply_lock);
            return NULL;
        }
        if (err) {
            nap(store, retry_ms, false);
            retry_ms = retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : retry_ms * 2;
        }
        pthread_mutex_unlock(&store->apply_lock);
        if (!err)
            retry_ms = RETRY_MIN_MS;
    }
    return NULL;
}

enum err store_flush(struct store *store)
{
    if (store->path == NULL)
        return OK;

    pthread_mutex_lock(&store->apply_lock);
    uint64_t wanted = store->apply_wanted;
    uint32_t round = store->apply_rounds;
    bool failing = false;
    store->flushes++;
    pthread_cond_broadcast(&store->apply_cond);
    while (atomic_load(&store->applied_last) < wanted && !failing) {
        pthread_cond_wait(&store->apply_cond, &store->apply_lock);
        failing = store->apply_rounds != round && atomic_load(&store->database_failing);
    }
    store->flushes--;
    pthread_mutex_unlock(&store->apply_lock);
    return failing ? ERR_IO : OK;
}
