/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"

enum {
    SAY_MAX = 1024
};

void store_say(const struct store *store, enum store_level level, const char *format, ...)
{
    char text[SAY_MAX];
    va_list arguments;

    if (store->options.log == NULL)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    store->options.log(store->options.user, level, text);
}

uint64_t store_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t store_monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- Opening -------------------------------------------------------------------------------- */

static enum err beside(const struct store *store, const char *ending,
                       char path[static JOURNAL_PATH_MAX], struct store_problem *problem)
{
    int len = snprintf(path, JOURNAL_PATH_MAX, "%s%s", store->path, ending);
    if (len < 0 || len >= JOURNAL_PATH_MAX)
        return problem_set(problem, ERR_TOO_BIG, "%s: the path is too long", store->path);
    return OK;
}

static enum err errno_err(void)
{
    return errno == EACCES || errno == EPERM || errno == EROFS ? ERR_DENIED : ERR_IO;
}

/* Who holds the lock wrote his process id into it. */
static enum err report_holder(const struct store *store, int fd, struct store_problem *problem)
{
    char text[32] = "";
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    long pid = len > 0 ? strtol(text, NULL, 10) : 0;

    return problem_set(problem, ERR_EXISTS,
                       "%s: is in use by process %ld; two cannot share a store: stop that one, or "
                       "name another file in `store:`",
                       store->path, pid);
}

static enum err take_lock(struct store *store, struct store_problem *problem)
{
    char path[JOURNAL_PATH_MAX];
    char text[32];

    enum err err = beside(store, ".lock", path, problem);
    if (err)
        return err;
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return problem_set(problem, errno_err(), "%s: cannot be made: %s", path, strerror(errno));
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return report_holder(store, store->lock_fd, problem);
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(store->lock_fd, 0) != 0 || pwrite(store->lock_fd, text, (size_t)len, 0) != len)
        return problem_set(problem, errno_err(), "%s: cannot be written: %s", path,
                           strerror(errno));
    return OK;
}

/* SQLite gives its other files the mode of the database. */
static enum err make_private(const struct store *store, struct store_problem *problem)
{
    int fd = open(store->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        enum err err = problem_set(problem, errno_err(), "%s: cannot be opened: %s", store->path,
                                   strerror(errno));
        if (fd >= 0)
            close(fd);
        return err;
    }
    close(fd);
    return OK;
}

/* Counts the start, durably, and gives a new store its number. */
static enum err count_boot(struct store *store)
{
    struct db *db = &store->apply_db;
    uint64_t boot = 0;

    enum err err = db_do(db, SQL_BEGIN);
    if (err)
        return err;
    err = db_meta_get(db, "store", &store->id);
    if (!err && store->id == 0) {
        store_random(&store->id, sizeof store->id);
        store->id |= 1;
        err = db_meta_put(db, "store", store->id);
    }
    if (!err)
        err = db_meta_get(db, "boot", &boot);
    if (!err)
        err = db_meta_put(db, "boot", boot + 1);
    store->boot = (uint32_t)(boot + 1);
    return db_end(db, err);
}

static enum err open_database(struct store *store, struct store_problem *problem)
{
    enum err err = make_private(store, problem);
    if (err)
        return err;
    err = db_open(&store->apply_db, store->path, store->options.vfs, problem);
    if (err)
        return err;
    err = db_migrate(&store->apply_db, problem);
    if (err)
        return err;
    err = count_boot(store);
    if (err)
        return problem_set(problem, err, "%s: cannot be written: %s", store->path,
                           db_message(&store->apply_db));
    return db_open(&store->api_db, store->path, store->options.vfs, problem);
}

static enum err open_journal(struct store *store, struct store_problem *problem)
{
    char folder[JOURNAL_PATH_MAX];
    uint64_t seed = store->keys.hash.k[0];

    enum err err = applier_init(&store->applier, &store->apply_db, seed);
    if (err)
        return problem_set(problem, err, "%s: cannot be read: %s", store->path,
                           db_message(&store->apply_db));
    err = beside(store, "-journal.d", folder, problem);
    if (err)
        return err;
    const struct journal_config config = {
        .files = store->options.files,
        .folder = folder,
        .store = store->id,
        .applied = store->applier.applied,
        .segment_bytes = store->options.segment_bytes,
    };
    err = journal_open(&store->journal, &config, problem);
    if (err)
        return err;
    err = store_replay(store, problem);
    if (err)
        return err;
    if (journal_begin(&store->journal) != OK)
        return problem_set(problem, ERR_IO, "%s: cannot be written: %s", folder, strerror(errno));
    return OK;
}

static enum err open_memory(struct store *store, struct store_problem *problem)
{
    store_random(&store->keys, sizeof store->keys);
    store_random(&store->boot, sizeof store->boot);
    enum err err = db_open(&store->api_db, NULL, NULL, problem);
    if (!err)
        err = db_migrate(&store->api_db, problem);
    return err;
}

static enum err open_files(struct store *store, struct store_problem *problem)
{
    char path[JOURNAL_PATH_MAX];

    enum err err = take_lock(store, problem);
    if (!err)
        err = beside(store, ".key", path, problem);
    if (!err)
        err = store_keys_load(path, &store->keys, problem);
    if (!err)
        err = open_database(store, problem);
    if (!err)
        err = open_journal(store, problem);
    return err;
}

static enum err start_threads(struct store *store, struct store_problem *problem)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    store->journal_started =
        pthread_create(&store->journal_thread, NULL, store_journal_run, store) == 0;
    store->apply_started = store->path != NULL && store->journal_started &&
                           pthread_create(&store->apply_thread, NULL, store_apply_run, store) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!store->journal_started || (store->path != NULL && !store->apply_started))
        return problem_set(problem, ERR_MEMORY, "the store's threads cannot be started");
    pthread_setname_np(store->journal_thread, "journal");
    if (store->apply_started)
        pthread_setname_np(store->apply_thread, "applier");
    return OK;
}

static void fill_in(struct store_options *options)
{
    if (options->journal_bytes_max == 0)
        options->journal_bytes_max = STORE_JOURNAL_BYTES;
    if (options->segment_bytes == 0)
        options->segment_bytes = JOURNAL_SEGMENT_BYTES;
    if (options->pending_max == 0)
        options->pending_max = STORE_PENDING;
    if (options->ring_bytes == 0)
        options->ring_bytes = STORE_RING_BYTES;
    if (options->apply_delay_ms == 0)
        options->apply_delay_ms = STORE_APPLY_DELAY_MS;
    if (options->files == NULL)
        options->files = &store_files_system;
}

/* What SQLite needs for a connection beside its cache: statements, schema, the index of its log. */
#define SQLITE_REST_BYTES ((size_t)8 << 20)

size_t store_memory_max(unsigned workers, bool memory_only)
{
    size_t database = (size_t)DB_CACHE_KIB * 1024 + SQLITE_REST_BYTES;

    if (memory_only)
        return sizeof(struct store) + database;
    return sizeof(struct store) + 2 * database +
           workers * (sizeof(struct store_worker) + ring_memory(STORE_RING_BYTES)) +
           JOURNAL_READ_BYTES + GROUP_BYTES + RECORD_MAX +
           GROUP_OPS * sizeof(struct store_receipt) +
           STORE_BATCH_MAX * (sizeof(struct record) + 2 * sizeof(uint32_t));
}

static enum err store_make(const struct store_options *options, struct store **out)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return ERR_MEMORY;

    store->options = *options;
    fill_in(&store->options);
    store->lock_fd = -1;
    store->wake_fd = -1;
    store->journal.write_fd = -1;
    store->journal.read_fd = -1;
    store->journal.folder_fd = -1;
    pthread_mutex_init(&store->api_lock, NULL);
    pthread_mutex_init(&store->apply_lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&store->apply_cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    *out = store;
    if (options->path != NULL) {
        store->path = strdup(options->path);
        store->options.path = store->path;
        if (store->path == NULL)
            return ERR_MEMORY;
    }
    return store_queue_init(store);
}

enum err store_open(const struct store_options *options, struct store_problem *problem,
                    struct store **out)
{
    struct store *store = NULL;

    assert(options->workers > 0 && options->workers <= STORE_WORKERS_MAX);
    assert(options->on_receipts != NULL);

    enum err err = store_make(options, &store);
    if (err)
        problem_set(problem, err, "the store: out of memory");
    if (!err)
        err = store->path != NULL ? open_files(store, problem) : open_memory(store, problem);
    if (!err)
        err = start_threads(store, problem);
    if (err) {
        if (store != NULL)
            store_close(store);
        return err;
    }
    *out = store;
    return OK;
}

/* --- Closing -------------------------------------------------------------------------------- */

static void stop_threads(struct store *store)
{
    atomic_store(&store->closing, true);
    if (store->journal_started) {
        store_journal_wake(store);
        pthread_join(store->journal_thread, NULL);
    }
    pthread_mutex_lock(&store->apply_lock);
    store->apply_closing = true;
    pthread_cond_broadcast(&store->apply_cond);
    pthread_mutex_unlock(&store->apply_lock);
    if (store->apply_started)
        pthread_join(store->apply_thread, NULL);
}

void store_close(struct store *store)
{
    stop_threads(store);
    if (store->journal.folder_fd >= 0)
        journal_close(&store->journal);
    applier_release(&store->applier);
    db_close(&store->api_db);
    db_close(&store->apply_db);
    store_queue_release(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_cond_destroy(&store->apply_cond);
    pthread_mutex_destroy(&store->apply_lock);
    pthread_mutex_destroy(&store->api_lock);
    explicit_bzero(&store->keys, sizeof store->keys);
    free(store->path);
    free(store);
}

/* --- Looking -------------------------------------------------------------------------------- */

uint32_t store_boot(const struct store *store)
{
    return store->boot;
}

const struct store_keys *store_keys(const struct store *store)
{
    return &store->keys;
}

static uint64_t applied_now(const struct store *store)
{
    return atomic_load(&store->applied_last) - atomic_load(&store->applied_base);
}

void store_status(const struct store *store, struct store_status *out)
{
    struct store_status status = {
        .memory = store->path == NULL,
        .journal_failing = atomic_load(&store->journal_failing),
        .database_failing = atomic_load(&store->database_failing),
        .applied = applied_now(store),
        .synced = atomic_load(&store->synced),
        .failed = atomic_load(&store->failed),
        .syncs = atomic_load(&store->syncs),
        .journal_errors = atomic_load(&store->journal.errors),
        .database_errors = atomic_load(&store->database_errors),
        .journal_bytes = atomic_load(&store->journal.bytes),
        .journal_bytes_max = store->options.journal_bytes_max,
        .segments = atomic_load(&store->journal.segment_count),
        .last_sync_us = atomic_load(&store->last_sync_us),
        .max_sync_us = atomic_load(&store->max_sync_us),
    };
    for (unsigned i = 0; i < store->options.workers; i++) {
        const struct store_worker *worker = &store->workers[i];
        uint64_t done = atomic_load(&worker->done);
        uint64_t added = atomic_load(&worker->added);
        status.appended += added;
        status.pending += added > done ? added - done : 0;
        status.refused_full += atomic_load(&worker->refused_full);
        status.refused_big += atomic_load(&worker->refused_big);
    }
    uint64_t settled = status.failed + (status.memory ? status.synced : status.applied);
    status.journal_depth = status.appended > settled ? status.appended - settled : 0;
    *out = status;
}

enum err store_load_bindings(struct store *store, uint64_t now_ms, store_bindings_fn *on_bindings,
                             void *user)
{
    struct db *db = &store->api_db;
    enum err err = ERR_IO;

    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *clean = db_statement(db, SQL_BINDING_CLEAN);
    if (clean != NULL) {
        db_bind_u64(clean, 1, now_ms);
        err = db_run(clean);
    }
    sqlite3_stmt *load = err == OK ? db_statement(db, SQL_BINDING_LOAD) : NULL;
    if (load == NULL) {
        pthread_mutex_unlock(&store->api_lock);
        return ERR_IO;
    }
    int step = SQLITE_ROW;
    while (!err && (step = sqlite3_step(load)) == SQLITE_ROW)
        err = on_bindings(user, db_text(load, 0), db_blob(load, 1));
    if (!err && step != SQLITE_DONE)
        err = ERR_IO;
    sqlite3_reset(load);
    pthread_mutex_unlock(&store->api_lock);
    return err;
}
