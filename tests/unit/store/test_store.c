/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as the router uses it: threads, receipts, restarts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/binding.h"
#include "store/store.h"

#define FAR_FUTURE UINT64_C(4102444800000) /* 2100 */

enum {
    WORKERS = 3,
    RECEIPTS_MAX = 20000
};

/* What the receipts brought, per worker. */
struct heard {
    pthread_mutex_t lock;
    pthread_cond_t more;
    size_t count[WORKERS];
    struct store_receipt receipts[WORKERS][RECEIPTS_MAX];
    size_t calls;
    atomic_int log_lines;
};

/* How the disk fails. */
struct faults {
    atomic_int sync_errno;  /* the next syncs fail with it */
    atomic_int sync_count;  /* how many, -1: all */
    atomic_int write_errno; /* all writes and opens to write fail */
    atomic_int hold;        /* syncs wait while it is set */
    atomic_int held;        /* how many wait */
    atomic_int syncs;
};

struct world {
    char folder[64];
    char path[96];
    struct heard heard;
    struct store_options options;
    struct store_problem problem;
    struct store *store;
    struct faults faults;
    struct store_files files;
};

static void on_receipts(void *user, unsigned worker, const struct store_receipt *receipts,
                        size_t count)
{
    struct world *world = user;
    struct heard *heard = &world->heard;

    pthread_mutex_lock(&heard->lock);
    for (size_t i = 0; i < count; i++)
        heard->receipts[worker][heard->count[worker]++] = receipts[i];
    heard->calls++;
    pthread_cond_broadcast(&heard->more);
    pthread_mutex_unlock(&heard->lock);
}

static void on_log(void *user, enum store_level level, const char *text)
{
    struct world *world = user;
    (void)level;
    (void)text;
    atomic_fetch_add(&world->heard.log_lines, 1);
}

static void wait_receipts(struct world *world, unsigned worker, size_t count)
{
    struct heard *heard = &world->heard;

    pthread_mutex_lock(&heard->lock);
    while (heard->count[worker] < count)
        pthread_cond_wait(&heard->more, &heard->lock);
    pthread_mutex_unlock(&heard->lock);
}

static size_t heard_count(struct world *world, unsigned worker)
{
    pthread_mutex_lock(&world->heard.lock);
    size_t count = world->heard.count[worker];
    pthread_mutex_unlock(&world->heard.lock);
    return count;
}

static void forget_receipts(struct world *world)
{
    memset(world->heard.count, 0, sizeof world->heard.count);
    world->heard.calls = 0;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    snprintf(world->folder, sizeof world->folder, "%s/strowger-store-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->path, sizeof world->path, "%s/s.db", world->folder);
    pthread_mutex_init(&world->heard.lock, NULL);
    pthread_cond_init(&world->heard.more, NULL);
    world->options = (struct store_options){.path = world->path,
                                            .workers = WORKERS,
                                            .on_receipts = on_receipts,
                                            .log = on_log,
                                            .user = world,
                                            .apply_delay_ms = 1};
    *state = world;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char name[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (unlink(name) != 0)
            remove_tree(name);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

static int teardown(void **state)
{
    struct world *world = *state;

    if (world->store != NULL)
        store_close(world->store);
    remove_tree(world->folder);
    free(world);
    return 0;
}

static void open_store(struct world *world)
{
    enum err err = store_open(&world->options, &world->problem, &world->store);
    if (err)
        fail_msg("%s: %s", err_name(err), world->problem.text);
}

static void close_store(struct world *world)
{
    store_close(world->store);
    world->store = NULL;
}

/* --- Bindings ------------------------------------------------------------------------------- */

/* A set of `count` contacts; the CSeq says which version it is. */
static struct slice make_set(const char *aor, unsigned count, uint32_t cseq, char *room)
{
    static struct binding_set set;
    static char contacts[BINDINGS_MAX][64];
    struct builder b = builder_over(room, BINDING_SET_MAX);

    memset(&set, 0, sizeof set);
    set.aor = slice_of(aor);
    set.count = count;
    for (unsigned i = 0; i < count; i++) {
        snprintf(contacts[i], sizeof contacts[i], "sip:%s@192.0.2.%u:5060", aor, i + 1);
        set.items[i] = (struct binding){.contact = slice_of(contacts[i]),
                                        .call_id = SLICE("a84b4c76e66710"),
                                        .user_agent = SLICE("phone/1.0"),
                                        .expires_ms = FAR_FUTURE,
                                        .cseq = cseq,
                                        .q = 500,
                                        .flow = {.transport = TRANSPORT_UDP}};
        assert_int_equal(OK,
                         addr_parse_with_port(SLICE("192.0.2.7:5062"), &set.items[i].flow.remote));
    }
    assert_int_equal(OK, binding_set_pack(&set, &b));
    return builder_slice(&b);
}

static enum err append(struct world *world, unsigned worker, const char *aor, struct slice block,
                       uint32_t token)
{
    struct durable_ops ops = store_ops(world->store, worker);
    struct durable_op op = {.kind = DURABLE_BINDINGS, .key = slice_of(aor), .value = block};

    return ops.append(ops.user, &op, (struct id){token, 1});
}

static void append_set(struct world *world, unsigned worker, const char *aor, uint32_t cseq,
                       uint32_t token)
{
    char room[4096];
    assert_int_equal(OK, append(world, worker, aor, make_set(aor, 1, cseq, room), token));
}

/* What store_load_bindings() gave: AORs and the CSeq of each first binding. */
struct loaded {
    size_t count;
    char aors[4096][32];
    uint32_t cseqs[4096];
    uint32_t contacts[4096];
};

static enum err on_bindings(void *user, struct slice aor, struct slice block)
{
    struct loaded *loaded = user;
    static struct binding_set set;

    assert_int_equal(OK, binding_set_unpack(block, &set));
    assert_true(slice_equal(aor, set.aor));
    assert_true(loaded->count < COUNT_OF(loaded->aors));
    snprintf(loaded->aors[loaded->count], sizeof loaded->aors[0], "%.*s", SLICE_ARG(aor));
    loaded->contacts[loaded->count] = set.count;
    loaded->cseqs[loaded->count++] = set.items[0].cseq;
    return OK;
}

static const struct loaded *load(struct world *world, uint64_t now_ms)
{
    static struct loaded loaded;

    loaded.count = 0;
    assert_int_equal(OK, store_load_bindings(world->store, now_ms, on_bindings, &loaded));
    return &loaded;
}

static uint32_t loaded_cseq(const struct loaded *loaded, const char *aor)
{
    for (size_t i = 0; i < loaded->count; i++)
        if (strcmp(loaded->aors[i], aor) == 0)
            return loaded->cseqs[i];
    return 0;
}

/* One number, read as another program would. */
static long long query(struct world *world, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;

    assert_int_equal(SQLITE_OK, sqlite3_open(world->path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_prepare_v2(db, text, -1, &row, NULL));
    assert_int_equal(SQLITE_ROW, sqlite3_step(row));
    long long value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return value;
}

static void bindings_come_back_after_a_restart(void **state)
{
    struct world *world = *state;
    char room[BINDING_SET_MAX];

    open_store(world);
    append_set(world, 0, "alice", 1, 1);
    assert_int_equal(OK, append(world, 1, "bob", make_set("bob", 3, 7, room), 2));
    append_set(world, 0, "carol", 1, 3);
    assert_int_equal(OK, append(world, 0, "carol", SLICE_EMPTY, 4));
    wait_receipts(world, 0, 3);
    wait_receipts(world, 1, 1);
    close_store(world);

    assert_int_equal(4, query(world, "SELECT count(*) FROM bindings"));
    assert_int_equal(3, query(world, "SELECT count(*) FROM bindings WHERE aor = 'bob'"
                                     " AND q = 0.5 AND source_address = '192.0.2.7:5062'"));
    open_store(world);
    const struct loaded *loaded = load(world, 1000);
    assert_int_equal(2, loaded->count);
    assert_int_equal(1, loaded_cseq(loaded, "alice"));
    assert_int_equal(7, loaded_cseq(loaded, "bob"));
}

static void fewer_contacts_leave_no_rows_behind(void **state)
{
    struct world *world = *state;
    char room[BINDING_SET_MAX];

    open_store(world);
    assert_int_equal(OK, append(world, 0, "bob", make_set("bob", 5, 1, room), 1));
    assert_int_equal(OK, store_flush(world->store));
    wait_receipts(world, 0, 1);
    assert_int_equal(OK, store_flush(world->store));
    assert_int_equal(OK, append(world, 0, "bob", make_set("bob", 2, 2, room), 2));
    wait_receipts(world, 0, 2);
    close_store(world);
    assert_int_equal(2, query(world, "SELECT count(*) FROM bindings"));
}

static void expired_bindings_are_not_loaded(void **state)
{
    struct world *world = *state;

    open_store(world);
    append_set(world, 0, "alice", 1, 1);
    wait_receipts(world, 0, 1);
    close_store(world);
    open_store(world);
    assert_int_equal(1, load(world, FAR_FUTURE - 1)->count);
    assert_int_equal(0, load(world, FAR_FUTURE)->count);
    assert_int_equal(0, load(world, 1000)->count);
}

/* --- Receipts ------------------------------------------------------------------------------- */

static void every_append_gets_one_receipt_in_order(void **state)
{
    struct world *world = *state;
    char aor[32];
    struct store_status status;

    open_store(world);
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(aor, sizeof aor, "user%u", i % 999);
        append_set(world, i % WORKERS, aor, i + 1, i / WORKERS + 1);
    }
    for (unsigned worker = 0; worker < WORKERS; worker++)
        wait_receipts(world, worker, 5000 / WORKERS + (worker < 5000 % WORKERS));
    assert_int_equal(OK, store_flush(world->store));
    store_status(world->store, &status);
    assert_int_equal(5000, status.synced);
    assert_int_equal(5000, status.applied);
    assert_int_equal(0, status.pending);
    assert_int_equal(0, status.journal_depth);
    close_store(world);
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        assert_int_equal(5000 / WORKERS + (worker < 5000 % WORKERS), world->heard.count[worker]);
        for (size_t i = 0; i < world->heard.count[worker]; i++) {
            assert_int_equal(OK, world->heard.receipts[worker][i].err);
            assert_int_equal(i + 1, world->heard.receipts[worker][i].token.slot);
        }
    }
    assert_int_equal(999, query(world, "SELECT count(*) FROM bindings"));
    assert_int_equal(4002, query(world, "SELECT min(cseq) FROM bindings"));
}

static void memory_gives_receipts_and_keeps_nothing(void **state)
{
    struct world *world = *state;
    struct store_status status;

    world->options.path = NULL;
    open_store(world);
    append_set(world, 2, "alice", 1, 9);
    wait_receipts(world, 2, 1);
    assert_int_equal(OK, world->heard.receipts[2][0].err);
    assert_int_equal(9, world->heard.receipts[2][0].token.slot);
    assert_int_equal(0, load(world, 0)->count);
    store_status(world->store, &status);
    assert_true(status.memory);
    assert_int_equal(0, status.journal_depth);
    assert_int_equal(OK, store_flush(world->store));
}

static void receipts_that_are_due_come_before_close_ends(void **state)
{
    struct world *world = *state;

    open_store(world);
    for (uint32_t i = 0; i < 500; i++)
        append_set(world, 0, "alice", i + 1, i + 1);
    close_store(world);
    assert_int_equal(500, world->heard.count[0]);
    assert_int_equal(500, query(world, "SELECT cseq FROM bindings"));
}

static void what_is_too_big_is_refused(void **state)
{
    struct world *world = *state;
    static char big[STORE_VALUE_MAX + 1];
    static char key[STORE_KEY_MAX + 2];
    struct store_status status;

    memset(key, 'k', sizeof key - 1);
    open_store(world);
    assert_int_equal(ERR_TOO_BIG, append(world, 0, key, SLICE_EMPTY, 1));
    key[STORE_KEY_MAX] = '\0';
    assert_int_equal(OK, append(world, 0, key, SLICE_EMPTY, 2));
    assert_int_equal(ERR_TOO_BIG, append(world, 0, "a", (struct slice){big, sizeof big}, 3));
    assert_int_equal(OK, append(world, 0, "a", (struct slice){big, sizeof big - 1}, 4));
    wait_receipts(world, 0, 2);
    store_status(world->store, &status);
    assert_int_equal(2, status.refused_big);
}

/* --- Restarts ------------------------------------------------------------------------------- */

static void the_boot_number_counts_and_keys_stay(void **state)
{
    struct world *world = *state;
    struct store_keys keys;
    struct stat about;

    open_store(world);
    assert_int_equal(1, store_boot(world->store));
    keys = *store_keys(world->store);
    close_store(world);
    open_store(world);
    assert_int_equal(2, store_boot(world->store));
    assert_memory_equal(&keys, store_keys(world->store), sizeof keys);
    static const char *const endings[] = {"", ".key", ".lock"};
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", world->path, endings[i]);
        assert_int_equal(0, stat(path, &about));
        assert_int_equal(0600, about.st_mode & 0777);
    }
}

static void a_second_open_is_refused(void **state)
{
    struct world *world = *state;
    struct store *other = NULL;

    open_store(world);
    assert_int_equal(ERR_EXISTS, store_open(&world->options, &world->problem, &other));
    assert_non_null(strstr(world->problem.text, "is in use by process"));
    close_store(world);
    open_store(world);
}

static void a_newer_schema_is_refused(void **state)
{
    struct world *world = *state;
    sqlite3 *db = NULL;

    open_store(world);
    close_store(world);
    assert_int_equal(SQLITE_OK, sqlite3_open(world->path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, "PRAGMA user_version = 999", 0, 0, 0));
    sqlite3_close(db);
    assert_int_equal(ERR_CONFLICT, store_open(&world->options, &world->problem, &world->store));
    assert_non_null(strstr(world->problem.text, "its schema is version 999"));
}

static void a_foreign_database_is_refused(void **state)
{
    struct world *world = *state;
    sqlite3 *db = NULL;

    assert_int_equal(SQLITE_OK, sqlite3_open(world->path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, "CREATE TABLE t (a)", 0, 0, 0));
    sqlite3_close(db);
    assert_int_equal(ERR_CONFLICT, store_open(&world->options, &world->problem, &world->store));
    assert_non_null(strstr(world->problem.text, "not one of Strowger's"));
}

static void a_damaged_key_file_is_reported(void **state)
{
    struct world *world = *state;
    char path[128];

    snprintf(path, sizeof path, "%s.key", world->path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(7, write(fd, "token: ", 7));
    close(fd);
    assert_int_equal(ERR_SYNTAX, store_open(&world->options, &world->problem, &world->store));
    assert_non_null(strstr(world->problem.text, "s.db.key: is damaged"));
}

/* A child process that registers until it is killed, and says what was acknowledged. */
static void child_registers(struct world *world, int acknowledged)
{
    open_store(world);
    for (uint32_t i = 0;; i++) {
        char aor[32];
        snprintf(aor, sizeof aor, "user%u", i % 50);
        append_set(world, 0, aor, i + 1, i + 1);
        if (i >= 20)
            wait_receipts(world, 0, i - 20);
        if (i + 10 >= RECEIPTS_MAX)
            _exit(1);
        uint32_t heard = (uint32_t)heard_count(world, 0);
        if (write(acknowledged, &heard, sizeof heard) != sizeof heard)
            _exit(0);
    }
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    struct world *world = *state;

    for (unsigned round = 0; round < 5; round++) {
        int pipes[2];
        assert_int_equal(0, pipe(pipes));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(pipes[0]);
            child_registers(world, pipes[1]);
        }
        close(pipes[1]);
        uint32_t acknowledged = 0;
        uint32_t wanted = 100 + 333 * round;
        while (acknowledged < wanted &&
               read(pipes[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
            continue;
        kill(child, SIGKILL);
        uint32_t more;
        while (read(pipes[0], &more, sizeof more) == sizeof more)
            acknowledged = more;
        close(pipes[0]);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));

        open_store(world);
        const struct loaded *loaded = load(world, 1000);
        for (unsigned user = 0; user < 50; user++) {
            char aor[32];
            snprintf(aor, sizeof aor, "user%u", user);
            uint32_t least = 0; /* the last acknowledged CSeq of this user */
            for (uint32_t i = user; i < acknowledged; i += 50)
                least = i + 1;
            assert_true(loaded_cseq(loaded, aor) >= least);
        }
        close_store(world);
        remove_tree(world->folder);
        assert_int_equal(0, mkdir(world->folder, 0700));
    }
}

static void later_state_wins_over_restarts(void **state)
{
    struct world *world = *state;

    for (uint32_t i = 1; i <= 5; i++) {
        open_store(world);
        forget_receipts(world);
        append_set(world, i % WORKERS, "alice", i, i);
        wait_receipts(world, i % WORKERS, 1);
        close_store(world);
    }
    open_store(world);
    assert_int_equal(5, loaded_cseq(load(world, 1000), "alice"));
}

/* --- A disk that fails ---------------------------------------------------------------------- */

static int faulty_open(void *user, const char *path, int flags, mode_t mode)
{
    struct faults *faults = user;
    if ((flags & O_CREAT) != 0 && atomic_load(&faults->write_errno) != 0) {
        errno = atomic_load(&faults->write_errno);
        return -1;
    }
    return store_files_system.open(NULL, path, flags, mode);
}

static ssize_t faulty_write(void *user, int fd, const void *data, size_t len)
{
    struct faults *faults = user;
    if (atomic_load(&faults->write_errno) != 0) {
        errno = atomic_load(&faults->write_errno);
        return -1;
    }
    return store_files_system.write(NULL, fd, data, len);
}

static ssize_t faulty_read_at(void *user, int fd, void *data, size_t len, off_t offset)
{
    (void)user;
    return store_files_system.read_at(NULL, fd, data, len, offset);
}

static int faulty_sync(void *user, int fd)
{
    struct faults *faults = user;

    atomic_fetch_add(&faults->syncs, 1);
    if (atomic_load(&faults->hold) != 0)
        atomic_fetch_add(&faults->held, 1);
    while (atomic_load(&faults->hold) != 0)
        sched_yield();
    int left = atomic_load(&faults->sync_count);
    if (left != 0) {
        if (left > 0)
            atomic_store(&faults->sync_count, left - 1);
        errno = atomic_load(&faults->sync_errno);
        return -1;
    }
    return store_files_system.sync(NULL, fd);
}

static int faulty_sync_dir(void *user, int fd)
{
    (void)user;
    return store_files_system.sync_dir(NULL, fd);
}

static int faulty_truncate(void *user, int fd, off_t len)
{
    struct faults *faults = user;
    if (atomic_load(&faults->write_errno) != 0) {
        errno = EIO;
        return -1;
    }
    return store_files_system.truncate(NULL, fd, len);
}

static int faulty_unlink(void *user, const char *path)
{
    (void)user;
    return store_files_system.unlink(NULL, path);
}

static int faulty_close(void *user, int fd)
{
    (void)user;
    return store_files_system.close(NULL, fd);
}

static void use_faults(struct world *world)
{
    world->files = (struct store_files){.user = &world->faults,
                                        .open = faulty_open,
                                        .write = faulty_write,
                                        .read_at = faulty_read_at,
                                        .sync = faulty_sync,
                                        .sync_dir = faulty_sync_dir,
                                        .truncate = faulty_truncate,
                                        .unlink = faulty_unlink,
                                        .close = faulty_close};
    world->options.files = &world->files;
}

static void many_appends_share_a_sync(void **state)
{
    struct world *world = *state;
    struct store_status status;

    use_faults(world);
    open_store(world);
    atomic_store(&world->faults.hold, 1);
    append_set(world, 0, "alice", 1, 1);
    while (atomic_load(&world->faults.held) == 0)
        sched_yield();
    for (uint32_t i = 1; i < 1000; i++)
        append_set(world, 0, "alice", i + 1, i + 1);
    assert_int_equal(0, heard_count(world, 0));
    atomic_store(&world->faults.hold, 0);
    wait_receipts(world, 0, 1000);
    store_status(world->store, &status);
    assert_int_equal(2, status.syncs);
    assert_int_equal(2, world->heard.calls);
}

static void a_failed_sync_gives_errors_and_the_next_group_is_fine(void **state)
{
    struct world *world = *state;
    struct store_status status;

    use_faults(world);
    open_store(world);
    append_set(world, 0, "alice", 1, 1);
    wait_receipts(world, 0, 1);
    atomic_store(&world->faults.sync_errno, EIO);
    atomic_store(&world->faults.sync_count, 1);
    append_set(world, 0, "alice", 2, 2);
    wait_receipts(world, 0, 2);
    store_status(world->store, &status);
    assert_true(status.journal_failing);
    assert_int_equal(1, status.journal_errors);
    assert_int_equal(1, status.failed);
    append_set(world, 0, "bob", 3, 3);
    wait_receipts(world, 0, 3);
    store_status(world->store, &status);
    assert_false(status.journal_failing);
    assert_int_equal(OK, world->heard.receipts[0][0].err);
    assert_int_equal(ERR_IO, world->heard.receipts[0][1].err);
    assert_int_equal(OK, world->heard.receipts[0][2].err);
    close_store(world);
    assert_int_equal(2, atomic_load(&world->heard.log_lines));

    open_store(world);
    const struct loaded *loaded = load(world, 1000);
    assert_int_equal(2, loaded->count);
    assert_int_equal(1, loaded_cseq(loaded, "alice"));
    assert_int_equal(3, loaded_cseq(loaded, "bob"));
}

static void a_full_disk_gives_errors_until_there_is_room(void **state)
{
    struct world *world = *state;

    use_faults(world);
    open_store(world);
    atomic_store(&world->faults.write_errno, ENOSPC);
    for (uint32_t i = 1; i <= 3; i++) {
        append_set(world, 0, "alice", i, i);
        wait_receipts(world, 0, i);
        assert_int_equal(ERR_IO, world->heard.receipts[0][i - 1].err);
    }
    atomic_store(&world->faults.write_errno, 0);
    append_set(world, 0, "alice", 4, 4);
    wait_receipts(world, 0, 4);
    assert_int_equal(OK, world->heard.receipts[0][3].err);
    close_store(world);
    open_store(world);
    assert_int_equal(4, loaded_cseq(load(world, 1000), "alice"));
}

static void a_journal_at_its_limit_refuses_until_the_database_is_back(void **state)
{
    struct world *world = *state;
    sqlite3 *db = NULL;
    char room[4096];
    enum err err = OK;
    uint32_t taken = 0;

    world->options.journal_bytes_max = 20000;
    world->options.segment_bytes = 4096;
    open_store(world);
    assert_int_equal(SQLITE_OK, sqlite3_open(world->path, &db)); /* another one holds the lock */
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, "BEGIN IMMEDIATE", 0, 0, 0));
    struct slice block = make_set("alice", 1, 1, room);
    while (err == OK && taken < 1000) {
        err = append(world, 0, "alice", block, taken + 1);
        taken += err == OK;
        wait_receipts(world, 0, taken);
    }
    assert_int_equal(ERR_FULL, err);
    assert_true(taken > 50 && taken < 200);
    struct store_status status;
    store_status(world->store, &status);
    assert_true(status.journal_bytes <= 20000);
    assert_int_equal(1, status.refused_full);

    assert_int_equal(SQLITE_OK, sqlite3_exec(db, "ROLLBACK", 0, 0, 0));
    sqlite3_close(db);
    while (store_flush(world->store) != OK)
        continue;
    do { /* segments go a moment after they are applied */
        store_status(world->store, &status);
    } while (status.segments > 1);
    forget_receipts(world);
    assert_int_equal(OK, append(world, 0, "alice", block, 1));
    wait_receipts(world, 0, 1);
}

static void a_worker_has_a_bounded_number_of_pending_operations(void **state)
{
    struct world *world = *state;
    char room[4096];

    use_faults(world);
    world->options.pending_max = 10;
    open_store(world);
    atomic_store(&world->faults.hold, 1);
    struct slice block = make_set("alice", 1, 1, room);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(OK, append(world, 0, "alice", block, i + 1));
    assert_int_equal(ERR_FULL, append(world, 0, "alice", block, 11));
    assert_int_equal(OK, append(world, 1, "alice", block, 12));
    atomic_store(&world->faults.hold, 0);
    wait_receipts(world, 0, 10);
    assert_int_equal(OK, append(world, 0, "alice", block, 13));
    wait_receipts(world, 0, 11);
}

/* --- Users and tokens ----------------------------------------------------------------------- */

static struct user make_user(const char *name, const char *extension)
{
    struct user user = {.name = slice_of(name),
                        .display_name = SLICE("Alice Liddell"),
                        .extension = slice_of(extension),
                        .email = SLICE("a@example.com"),
                        .role = SLICE("agent"),
                        .title = SLICE("Head of Sales"),
                        .languages = SLICE("en,fr"),
                        .realm = SLICE("example.com"),
                        .algorithms = {2, 1, 0},
                        .has_digest = true};
    for (size_t i = 1; i < USER_DIGESTS; i++)
        memset(user.digests[i], (int)i, USER_DIGEST_BYTES);
    return user;
}

static enum err change(struct world *world, enum store_verb verb, const struct user *user,
                       uint64_t *version)
{
    const struct store_user_change one = {verb, user};
    return store_users_apply(world->store, &one, 1, SLICE("tester"), SLICE("a test"),
                             &world->problem, version);
}

static void users_come_back_as_they_were(void **state)
{
    struct world *world = *state;
    struct user alice = make_user("alice", "101");
    struct user bob = make_user("bob", "");
    uint64_t version = 0;
    struct store_users *users = NULL;

    bob.has_digest = false;
    bob.do_not_disturb = true;
    alice.forward[USER_FORWARD_ALWAYS] = SLICE("user:bob");
    alice.forward[USER_FORWARD_BUSY] = SLICE("reply:486");
    alice.forward[USER_FORWARD_NO_ANSWER] = SLICE("user:carol");
    alice.forward[USER_FORWARD_UNREGISTERED] = SLICE("user:dave");
    alice.forward_after_ms = 15000;
    open_store(world);
    assert_int_equal(OK, change(world, STORE_PUT, &bob, &version));
    assert_int_equal(OK, change(world, STORE_PUT, &alice, &version));
    assert_int_equal(2, version);
    close_store(world);
    open_store(world);
    assert_int_equal(OK, store_users_load(world->store, &users));
    assert_int_equal(2, users->count);
    assert_int_equal(2, users->version);
    const struct user *got = &users->items[0];
    assert_true(slice_equal(got->name, alice.name));
    assert_true(slice_equal(got->display_name, alice.display_name));
    assert_true(slice_equal(got->extension, alice.extension));
    assert_true(slice_equal(got->email, alice.email));
    assert_true(slice_equal(got->title, alice.title));
    assert_true(slice_equal(got->languages, alice.languages));
    assert_true(slice_equal(got->realm, alice.realm));
    assert_memory_equal(got->algorithms, alice.algorithms, sizeof alice.algorithms);
    assert_memory_equal(got->digests, alice.digests, sizeof alice.digests);
    assert_true(got->has_digest);
    for (unsigned i = 0; i < USER_FORWARDS; i++) {
        assert_true(slice_equal(got->forward[i], alice.forward[i]));
        assert_int_equal(0, users->items[1].forward[i].len);
    }
    assert_int_equal(15000, got->forward_after_ms);
    assert_true(slice_equal(users->items[1].name, bob.name));
    assert_true(users->items[1].do_not_disturb);
    assert_false(users->items[1].has_digest);
    assert_int_equal(0, users->items[1].extension.len);
    store_users_free(users);
}

enum {
    WALKED = 60
};

static struct walked {
    char names[WALKED][8], extensions[WALKED][8];
    struct user users[WALKED];
    size_t order[WALKED]; /* as the walk has to give them */
} walked;

static int compare_slices(struct slice a, struct slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_names(const void *a, const void *b)
{
    return compare_slices(walked.users[*(const size_t *)a].name,
                          walked.users[*(const size_t *)b].name);
}

static int compare_extensions(const void *a, const void *b)
{
    int order = compare_slices(walked.users[*(const size_t *)a].extension,
                               walked.users[*(const size_t *)b].extension);
    return order != 0 ? order : compare_names(a, b);
}

/** A walk that stops after `most`, and checks what it meets. */
struct walk_check {
    size_t at, most;
    bool down;
};

static bool check_walked(void *user, const struct user *found)
{
    struct walk_check *check = user;
    assert_true(check->at < WALKED);
    size_t n = check->down ? WALKED - 1 - check->at : check->at;
    const struct user *wanted = &walked.users[walked.order[n]];

    assert_true(slice_equal(wanted->name, found->name));
    assert_true(slice_equal(wanted->extension, found->extension));
    assert_true(slice_equal(SLICE("Head"), found->title));
    check->at++;
    return --check->most > 0;
}

/* Pages of every size, in every order, begin after each user in turn. */
static void check_walks(struct world *world, bool by_extension, bool down)
{
    for (size_t begin = 0; begin <= WALKED; begin++) {
        struct store_users_order order = {
            .by_extension = by_extension, .down = down, .resumes = begin > 0};
        struct walk_check check = {
            .at = begin, .most = begin % 3 == 0 ? WALKED + 1 : 4, .down = down};
        if (begin > 0) {
            size_t n = down ? WALKED - begin : begin - 1;
            order.name = walked.users[walked.order[n]].name;
            order.extension = walked.users[walked.order[n]].extension;
        }
        assert_int_equal(OK, store_users_walk(world->store, &order, check_walked, &check));
        size_t end = begin % 3 == 0 || begin + 4 > WALKED ? WALKED : begin + 4;
        assert_int_equal(end, check.at);
    }
}

static void users_are_walked_in_every_order_from_every_place(void **state)
{
    struct world *world = *state;
    uint64_t version;

    open_store(world);
    for (unsigned i = 0; i < WALKED; i++) { /* a third has no extension */
        snprintf(walked.names[i], sizeof walked.names[i], "%c%u", "aZ~+"[i % 4], i * 7919 % 1000);
        snprintf(walked.extensions[i], sizeof walked.extensions[i], "%c%u",
                 "1*#"[i % 3 ? i % 2 : 2], i * 31 % 97);
        walked.users[i] = make_user(walked.names[i], i % 3 == 1 ? "" : walked.extensions[i]);
        walked.users[i].title = SLICE("Head");
        walked.order[i] = i;
        assert_int_equal(OK, change(world, STORE_PUT, &walked.users[i], &version));
    }
    qsort(walked.order, WALKED, sizeof walked.order[0], compare_names);
    check_walks(world, false, false);
    check_walks(world, false, true);
    qsort(walked.order, WALKED, sizeof walked.order[0], compare_extensions);
    check_walks(world, true, false);
    check_walks(world, true, true);

    struct store_users *found = NULL;
    assert_int_equal(OK, store_users_find(world->store, walked.users[5].name, &found));
    assert_int_equal(1, found->count);
    assert_int_equal(WALKED, found->version);
    assert_true(slice_equal(walked.users[5].name, found->items[0].name));
    store_users_free(found);
    assert_int_equal(OK, store_users_find(world->store, SLICE("nobody"), &found));
    assert_int_equal(0, found->count);
    store_users_free(found);
}

static size_t user_count(struct world *world)
{
    struct store_users *users = NULL;
    assert_int_equal(OK, store_users_load(world->store, &users));
    size_t count = users->count;
    store_users_free(users);
    return count;
}

static void changes_of_users_are_all_or_nothing(void **state)
{
    struct world *world = *state;
    struct user alice = make_user("alice", "101");
    struct user bob = make_user("bob", "102");
    struct user carol = make_user("carol", "101");
    uint64_t version = 0;

    open_store(world);
    const struct store_user_change clash[] = {{STORE_PUT, &alice}, {STORE_PUT, &carol}};
    assert_int_equal(ERR_CONFLICT, store_users_apply(world->store, clash, 2, SLICE("t"), SLICE("t"),
                                                     &world->problem, &version));
    assert_string_equal("user carol: extension 101 is another user's", world->problem.text);
    assert_int_equal(0, user_count(world));
    const struct store_user_change gone[] = {{STORE_PUT, &alice}, {STORE_DELETE, &bob}};
    assert_int_equal(ERR_NOT_FOUND, store_users_apply(world->store, gone, 2, SLICE("t"), SLICE("t"),
                                                      &world->problem, &version));
    assert_string_equal("user bob: there is no such user", world->problem.text);
    assert_int_equal(0, user_count(world));
    const struct store_user_change both[] = {{STORE_PUT, &alice}, {STORE_PUT, &bob}};
    assert_int_equal(OK, store_users_apply(world->store, both, 2, SLICE("t"), SLICE("t"),
                                           &world->problem, &version));
    alice.extension = SLICE("102");
    bob.extension = SLICE("101");
    assert_int_equal(OK, store_users_apply(world->store, both, 2, SLICE("t"), SLICE("swap"),
                                           &world->problem, &version));
    assert_int_equal(2, version);
    assert_int_equal(2, user_count(world));
    assert_int_equal(OK, change(world, STORE_DELETE, &bob, &version));
    assert_int_equal(1, user_count(world));
}

static void on_change(void *user, const struct store_change *change_made)
{
    uint64_t *sum = user;
    assert_true(slice_equal(change_made->who, SLICE("tester")));
    assert_true(change_made->time_ms > UINT64_C(1600000000000));
    *sum = *sum * 10 + change_made->version;
}

static void history_has_a_line_per_change(void **state)
{
    struct world *world = *state;
    struct user alice = make_user("alice", "101");
    uint64_t version = 0;
    uint64_t sum = 0;

    open_store(world);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(OK, change(world, STORE_PUT, &alice, &version));
    assert_int_equal(OK, store_history(world->store, 2, on_change, &sum));
    assert_int_equal(32, sum);
}

static void on_token(void *user, const struct store_token *token)
{
    size_t *count = user;
    assert_string_equal("cli", token->name);
    (*count)++;
}

static void tokens_are_known_by_their_hash(void **state)
{
    struct world *world = *state;
    char text[STORE_TOKEN_TEXT_MAX];
    char other[STORE_TOKEN_TEXT_MAX];
    struct store_token token;
    size_t count = 0;

    open_store(world);
    assert_int_equal(OK, store_token_create(world->store, SLICE("cli"), SLICE("admin"), text));
    assert_int_equal(ERR_EXISTS,
                     store_token_create(world->store, SLICE("cli"), SLICE("agent"), other));
    assert_int_equal(OK, store_token_check(world->store, slice_of(text), &token));
    assert_string_equal("cli", token.name);
    assert_string_equal("admin", token.role);
    text[10] ^= 1;
    assert_int_equal(ERR_DENIED, store_token_check(world->store, slice_of(text), &token));
    assert_int_equal(OK, store_token_list(world->store, on_token, &count));
    assert_int_equal(1, count);
    assert_int_equal(OK, store_token_delete(world->store, SLICE("cli")));
    assert_int_equal(ERR_NOT_FOUND, store_token_delete(world->store, SLICE("cli")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bindings_come_back_after_a_restart),
        TEST(fewer_contacts_leave_no_rows_behind),
        TEST(expired_bindings_are_not_loaded),
        TEST(every_append_gets_one_receipt_in_order),
        TEST(memory_gives_receipts_and_keeps_nothing),
        TEST(receipts_that_are_due_come_before_close_ends),
        TEST(what_is_too_big_is_refused),
        TEST(the_boot_number_counts_and_keys_stay),
        TEST(a_second_open_is_refused),
        TEST(a_newer_schema_is_refused),
        TEST(a_foreign_database_is_refused),
        TEST(a_damaged_key_file_is_reported),
        TEST(what_was_acknowledged_survives_a_kill),
        TEST(later_state_wins_over_restarts),
        TEST(many_appends_share_a_sync),
        TEST(a_failed_sync_gives_errors_and_the_next_group_is_fine),
        TEST(a_full_disk_gives_errors_until_there_is_room),
        TEST(a_journal_at_its_limit_refuses_until_the_database_is_back),
        TEST(a_worker_has_a_bounded_number_of_pending_operations),
        TEST(users_come_back_as_they_were),
        TEST(users_are_walked_in_every_order_from_every_place),
        TEST(changes_of_users_are_all_or_nothing),
        TEST(history_has_a_line_per_change),
        TEST(tokens_are_known_by_their_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
