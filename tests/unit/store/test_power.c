/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails under journal and database: what was not synced is gone, the last write is torn,
 * and a sync fails once. Whatever had its receipt must be there afterwards.
 *
 * A layer under both keeps, per file, the bytes as of its last sync. The failure is an image of
 * those at one instant; a second store opens it.
 *
 * The layer runs in the store's threads, too, where cmocka's assertions must not jump: it answers
 * with I/O errors. And whatever stops the test, its teardown closes the stores before anything
 * that their threads use is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/binding.h"
#include "base/rng.h"
#include "store/store.h"

#define FAR_FUTURE UINT64_C(4102444800000) /* 2100 */

enum {
    FILES_MAX = 256,
    FDS_MAX = 4096,
    PATH_SIZE = 200,
    AORS = 20,
    OPERATIONS = 300,
    IMAGES = 6
};

/* A file, and what of it lasts. */
struct kept_file {
    char path[PATH_SIZE];
    char *synced;
    size_t synced_len;
    bool lasts; /* it was synced once */
    bool gone;
    int fd; /* of the journal's writer, for the torn end; -1: none */
};

static struct layer {
    pthread_mutex_t lock;
    struct kept_file files[FILES_MAX];
    size_t count;
    int file_of[FDS_MAX];
    unsigned fail_in; /* the journal's sync with this number fails; 0: none */
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
} layer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct kept_file *kept_at(const char *path)
{
    for (size_t i = layer.count; i-- > 0;)
        if (!layer.files[i].gone && strcmp(layer.files[i].path, path) == 0)
            return &layer.files[i];
    assert(layer.count < FILES_MAX);
    struct kept_file *file = &layer.files[layer.count++];
    *file = (struct kept_file){.fd = -1};
    snprintf(file->path, sizeof file->path, "%s", path);
    return file;
}

static void layer_reset(void)
{
    for (size_t i = 0; i < layer.count; i++)
        free(layer.files[i].synced);
    layer.count = 0;
    layer.fail_in = 0;
}

/* --- Under the journal ---------------------------------------------------------------------- */

static int layer_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user;
    pthread_mutex_lock(&layer.lock);
    int fd = store_files_system.open(NULL, path, flags, mode);
    assert(fd < FDS_MAX);
    if (fd >= 0 && (flags & O_CREAT) != 0) {
        struct kept_file *file = kept_at(path);
        file->fd = fd;
        layer.file_of[fd] = (int)(file - layer.files);
    }
    pthread_mutex_unlock(&layer.lock);
    return fd;
}

static ssize_t layer_write(void *user, int fd, const void *data, size_t len)
{
    (void)user;
    pthread_mutex_lock(&layer.lock);
    ssize_t count = store_files_system.write(NULL, fd, data, len);
    pthread_mutex_unlock(&layer.lock);
    return count;
}

static ssize_t layer_read_at(void *user, int fd, void *data, size_t len, off_t offset)
{
    (void)user;
    return store_files_system.read_at(NULL, fd, data, len, offset);
}

/* The bytes of a file; NULL: it cannot be read, or there is no memory. */
static char *read_whole(const char *path, size_t *len)
{
    struct stat about;
    char *bytes = NULL;
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        return NULL;
    if (fstat(fd, &about) == 0)
        bytes = malloc((size_t)about.st_size + 1);
    if (bytes != NULL && pread(fd, bytes, (size_t)about.st_size, 0) != about.st_size) {
        free(bytes);
        bytes = NULL;
    }
    if (bytes != NULL)
        *len = (size_t)about.st_size;
    close(fd);
    return bytes;
}

/* What the file holds now lasts. False: it could not be had. */
static bool keep_synced(struct kept_file *file)
{
    char *bytes = read_whole(file->path, &file->synced_len);
    if (bytes == NULL)
        return false;
    free(file->synced);
    file->synced = bytes;
    file->lasts = true;
    return true;
}

static int layer_sync(void *user, int fd)
{
    int result = 0;

    (void)user;
    pthread_mutex_lock(&layer.lock);
    bool fails = layer.fail_in > 0 && --layer.fail_in == 0;
    if (fails || !keep_synced(&layer.files[layer.file_of[fd]])) {
        errno = EIO;
        result = -1;
    }
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static int layer_sync_dir(void *user, int fd)
{
    (void)user;
    (void)fd;
    return 0;
}

static int layer_truncate(void *user, int fd, off_t len)
{
    (void)user;
    return store_files_system.truncate(NULL, fd, len);
}

static int layer_unlink(void *user, const char *path)
{
    (void)user;
    pthread_mutex_lock(&layer.lock);
    int result = store_files_system.unlink(NULL, path);
    kept_at(path)->gone = true;
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static int layer_close(void *user, int fd)
{
    (void)user;
    pthread_mutex_lock(&layer.lock);
    for (size_t i = 0; i < layer.count; i++)
        if (layer.files[i].fd == fd)
            layer.files[i].fd = -1;
    int result = store_files_system.close(NULL, fd);
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static const struct store_files layer_files = {.open = layer_open,
                                               .write = layer_write,
                                               .read_at = layer_read_at,
                                               .sync = layer_sync,
                                               .sync_dir = layer_sync_dir,
                                               .truncate = layer_truncate,
                                               .unlink = layer_unlink,
                                               .close = layer_close};

/* --- Under the database --------------------------------------------------------------------- */

struct db_file {
    sqlite3_file base;
    int kept; /* index; -1: a temporary file */
    _Alignas(8) char real[];
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((struct db_file *)(void *)file)->real;
}

static int db_close_file(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int db_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xRead(real_of(file), data, len, at);
}

static int db_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    pthread_mutex_lock(&layer.lock);
    int result = real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static int db_truncate(sqlite3_file *file, sqlite3_int64 len)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), len);
}

static int db_sync(sqlite3_file *file, int flags)
{
    struct db_file *mine = (struct db_file *)(void *)file;
    int result = SQLITE_OK;

    (void)flags;
    pthread_mutex_lock(&layer.lock);
    if (mine->kept >= 0 && !keep_synced(&layer.files[mine->kept]))
        result = SQLITE_IOERR_FSYNC;
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static int db_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int db_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int db_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int db_check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int db_control(sqlite3_file *file, int verb, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), verb, argument);
}

static int db_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int db_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int db_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int db_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void db_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int db_shm_unmap(sqlite3_file *file, int remove_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove_it);
}

static const sqlite3_io_methods db_methods = {.iVersion = 2,
                                              .xClose = db_close_file,
                                              .xRead = db_read,
                                              .xWrite = db_write,
                                              .xTruncate = db_truncate,
                                              .xSync = db_sync,
                                              .xFileSize = db_size,
                                              .xLock = db_lock,
                                              .xUnlock = db_unlock,
                                              .xCheckReservedLock = db_check_lock,
                                              .xFileControl = db_control,
                                              .xSectorSize = db_sector,
                                              .xDeviceCharacteristics = db_device,
                                              .xShmMap = db_shm_map,
                                              .xShmLock = db_shm_lock,
                                              .xShmBarrier = db_shm_barrier,
                                              .xShmUnmap = db_shm_unmap};

static int db_open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                        int *out_flags)
{
    struct db_file *mine = (struct db_file *)(void *)file;

    (void)vfs;
    mine->base.pMethods = NULL;
    int result = layer.real->xOpen(layer.real, name, real_of(file), flags, out_flags);
    if (result != SQLITE_OK)
        return result;
    pthread_mutex_lock(&layer.lock);
    mine->kept = name != NULL ? (int)(kept_at(name) - layer.files) : -1;
    pthread_mutex_unlock(&layer.lock);
    mine->base.pMethods = &db_methods;
    return SQLITE_OK;
}

static int db_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    int result = layer.real->xDelete(layer.real, name, sync_folder);
    pthread_mutex_lock(&layer.lock);
    kept_at(name)->gone = true;
    pthread_mutex_unlock(&layer.lock);
    return result;
}

static int register_vfs(void **state)
{
    (void)state;
    layer.real = sqlite3_vfs_find(NULL);
    layer.vfs = *layer.real;
    layer.vfs.zName = "forgetful";
    layer.vfs.pNext = NULL;
    layer.vfs.szOsFile = (int)sizeof(struct db_file) + layer.real->szOsFile;
    layer.vfs.xOpen = db_open_file;
    layer.vfs.xDelete = db_delete;
    return sqlite3_vfs_register(&layer.vfs, 0) == SQLITE_OK ? 0 : -1;
}

/* --- The failure ---------------------------------------------------------------------------- */

static bool write_file(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return false;
    bool written = write(fd, bytes, len) == (ssize_t)len;
    close(fd);
    return written;
}

/* Writes what lasts of one file to `path`. A segment may have a torn end beside. */
static bool copy_lasting(const struct kept_file *file, const char *path, struct rng *rng)
{
    size_t len = 0;

    if (file->fd < 0)
        return write_file(path, file->synced, file->synced_len);
    char *now = read_whole(file->path, &len);
    size_t torn = len > file->synced_len ? (size_t)rng_below(rng, len - file->synced_len + 1) : 0;
    bool copied = now != NULL && write_file(path, now, file->synced_len + torn);
    free(now);
    return copied;
}

/* Writes what lasts of folder `from` into `to`. */
static void take_image(const char *from, const char *to, struct rng *rng)
{
    char path[2 * PATH_SIZE];
    bool copied = true;
    size_t len = 0;

    snprintf(path, sizeof path, "%s/s.db-journal.d", to);
    assert_int_equal(0, mkdir(path, 0700));
    pthread_mutex_lock(&layer.lock);
    for (size_t i = 0; i < layer.count && copied; i++) {
        const struct kept_file *file = &layer.files[i];
        if (!file->lasts || file->gone)
            continue;
        snprintf(path, sizeof path, "%s%s", to, file->path + strlen(from));
        copied = copy_lasting(file, path, rng);
    }
    pthread_mutex_unlock(&layer.lock);
    snprintf(path, sizeof path, "%s/s.db.key", from);
    char *keys = read_whole(path, &len);
    snprintf(path, sizeof path, "%s/s.db.key", to);
    copied = copied && keys != NULL && write_file(path, keys, len);
    free(keys);
    assert_true(copied);
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char name[2 * PATH_SIZE];
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

/* --- The test ------------------------------------------------------------------------------- */

/* The last acknowledged CSeq of each AOR. A token is the CSeq; the AOR is CSeq modulo AORS. */
struct acknowledged {
    pthread_mutex_t lock;
    pthread_cond_t more;
    uint32_t receipts;
    uint32_t errors;
    uint32_t last[AORS];
};

/* What the stores' threads use; an assertion that fails leaves it as it is, for the teardown. */
static struct {
    struct store *live, *image; /* NULL: closed */
    struct acknowledged acknowledged, ignored;
    char folder[PATH_SIZE], image_folder[PATH_SIZE]; /* empty: removed */
} test = {.acknowledged = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER},
          .ignored = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER}};

static void close_store(struct store **store, char *folder)
{
    if (*store != NULL)
        store_close(*store);
    *store = NULL;
    if (folder[0] != '\0')
        remove_tree(folder);
    folder[0] = '\0';
}

static int close_stores(void **state)
{
    (void)state;
    close_store(&test.image, test.image_folder);
    close_store(&test.live, test.folder);
    layer_reset();
    return 0;
}

static void on_receipts(void *user, unsigned worker, const struct store_receipt *receipts,
                        size_t count)
{
    struct acknowledged *acknowledged = user;

    (void)worker;
    pthread_mutex_lock(&acknowledged->lock);
    for (size_t i = 0; i < count; i++) {
        uint32_t cseq = receipts[i].token.slot;
        if (receipts[i].err == OK)
            acknowledged->last[cseq % AORS] = cseq;
        else
            acknowledged->errors++;
    }
    acknowledged->receipts += (uint32_t)count;
    pthread_cond_broadcast(&acknowledged->more);
    pthread_mutex_unlock(&acknowledged->lock);
}

static void append(struct store *store, uint32_t cseq)
{
    static struct binding_set set;
    char aor[16];
    char room[1024];
    struct builder b = builder_over(room, sizeof room);
    struct durable_ops ops = store_ops(store, 0);

    snprintf(aor, sizeof aor, "u%u", cseq % AORS);
    set.aor = slice_of(aor);
    set.count = 1;
    set.items[0] = (struct binding){
        .contact = SLICE("sip:u@192.0.2.1"), .expires_ms = FAR_FUTURE, .cseq = cseq};
    assert_int_equal(OK, binding_set_pack(&set, &b));
    struct durable_op op = {DURABLE_BINDINGS, set.aor, builder_slice(&b)};
    assert_int_equal(OK, ops.append(ops.user, &op, (struct id){cseq, 1}));
}

static enum err on_bindings(void *user, struct slice aor, struct slice block)
{
    static struct binding_set set;
    uint32_t *found = user;

    (void)aor;
    enum err err = binding_set_unpack(block, &set);
    if (err)
        return err;
    found[set.items[0].cseq % AORS] = set.items[0].cseq;
    return OK;
}

/* A second store on the image of the first: nothing acknowledged before it may be missing. */
static void check_image(struct rng *rng)
{
    char path[2 * PATH_SIZE];
    uint32_t before[AORS];
    uint32_t found[AORS] = {0};
    struct store_problem problem = {{0}};

    snprintf(path, sizeof path, "%s-image", test.folder);
    assert_int_equal(0, mkdir(path, 0700));
    snprintf(test.image_folder, sizeof test.image_folder, "%.*s", PATH_SIZE - 1, path);
    pthread_mutex_lock(&test.acknowledged.lock);
    memcpy(before, test.acknowledged.last, sizeof before);
    pthread_mutex_unlock(&test.acknowledged.lock);
    take_image(test.folder, test.image_folder, rng);

    snprintf(path, sizeof path, "%s/s.db", test.image_folder);
    const struct store_options options = {
        .path = path, .workers = 1, .on_receipts = on_receipts, .user = &test.ignored};
    if (store_open(&options, &problem, &test.image) != OK)
        fail_msg("%s", problem.text);
    assert_int_equal(OK, store_load_bindings(test.image, 1, on_bindings, found));
    for (unsigned i = 0; i < AORS; i++)
        assert_true(found[i] >= before[i]);
    close_store(&test.image, test.image_folder);
}

static void open_store(void)
{
    char path[2 * PATH_SIZE];
    struct store_problem problem = {{0}};
    char folder[PATH_SIZE];

    snprintf(folder, sizeof folder, "%s/strowger-power-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(folder));
    memcpy(test.folder, folder, sizeof folder);
    test.acknowledged.receipts = 0;
    test.acknowledged.errors = 0;
    memset(test.acknowledged.last, 0, sizeof test.acknowledged.last);
    snprintf(path, sizeof path, "%s/s.db", folder);
    const struct store_options options = {.path = path,
                                          .workers = 1,
                                          .on_receipts = on_receipts,
                                          .user = &test.acknowledged,
                                          .segment_bytes = 2000,
                                          .apply_delay_ms = 1,
                                          .files = &layer_files,
                                          .vfs = "forgetful"};
    if (store_open(&options, &problem, &test.live) != OK)
        fail_msg("%s", problem.text);
}

static void what_has_its_receipt_survives_a_power_failure(void **state)
{
    (void)state;
    struct acknowledged *acknowledged = &test.acknowledged;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rng rng;

        rng_seed(&rng, seed);
        open_store();
        if (seed % 2 == 0) { /* once, in the middle */
            pthread_mutex_lock(&layer.lock);
            layer.fail_in = 5 + (unsigned)rng_below(&rng, 20);
            pthread_mutex_unlock(&layer.lock);
        }
        for (uint32_t cseq = 1; cseq <= OPERATIONS; cseq++) {
            append(test.live, cseq);
            pthread_mutex_lock(&acknowledged->lock);
            while (acknowledged->receipts + 1 + rng_below(&rng, 8) < cseq)
                pthread_cond_wait(&acknowledged->more, &acknowledged->lock);
            pthread_mutex_unlock(&acknowledged->lock);
            if (rng_below(&rng, OPERATIONS / IMAGES) == 0)
                check_image(&rng);
        }
        store_close(test.live);
        test.live = NULL;
        assert_int_equal(OPERATIONS, acknowledged->receipts);
        if (seed % 2 == 0)
            assert_true(acknowledged->errors > 0);
        check_image(&rng);
        layer_reset();
        close_store(&test.live, test.folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_has_its_receipt_survives_a_power_failure, close_stores),
    };
    return cmocka_run_group_tests(tests, register_vfs, NULL);
}
