// SPDX-License-Identifier: Apache-2.0
/*
 * A disk that forgets: loaded before a program (LD_PRELOAD), it remembers every change below one
 * folder that the program has not synced, and when told takes those changes back and ends the
 * process, as a power cut would.
 *
 *     LOSEFS_DIR=FOLDER       the folder whose files are watched (absolute); FOLDER.undo is used
 * for copies LOSEFS_TRIGGER=FIFO     one byte into it is the power cut LOSEFS_KILL_SYNC=N      or:
 * the power cut comes while the N-th sync is under way (0: never) LOSEFS_MODE=drop        what was
 * not synced is gone (the default) torn        and of the last write a random beginning stays mix
 * of the unsynced writes a random choice stays, whole or torn: disks reorder LOSEFS_SEED=N for the
 * random choices LOSEFS_SYNC_US=N        how long a sync takes, microseconds LOSEFS_EIO_SYNC=N the
 * N-th sync fails once with EIO (0: never). What it should have saved is lost for good, although
 * later syncs succeed: so does Linux. LOSEFS_LOG=FILE         what was done, for the reader of a
 * failed test
 *
 * What counts as synced: a file's bytes and size with fsync or fdatasync of it (or O_DSYNC,
 * RWF_DSYNC); a created, renamed or removed name only with fsync of its folder. This is stricter
 * than most file systems are, and what POSIX promises.
 *
 * Not seen: memory maps (SQLite's -shm is one, and is rebuilt after a crash), stdio's own opening
 * of files, io_uring. A real fsync is not done: the process dies, the machine does not.
 *
 * One lock guards all. The log is a list in the order of the changes; syncing a file drops its
 * entries, taking back goes from the newest to the oldest.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum change_kind {
    CHANGE_WRITE,
    CHANGE_TRUNCATE,
    CHANGE_CREATE,
    CHANGE_RENAME,
    CHANGE_UNLINK
};

struct change {
    struct change *older, *newer;
    enum change_kind kind;
    uint64_t number; /* grows; a sync covers what was there when it began */
    bool lost;       /* a failed sync should have saved it: no later one does */

    /* CHANGE_WRITE, CHANGE_TRUNCATE: the file, and its bytes before from `offset` on. */
    struct file *file;
    off_t offset, old_size;
    size_t old_length, new_length;
    unsigned char *old_bytes, *new_bytes;

    /* The names: path is what was made, removed or renamed; to is the new name. Kept copies are
     * hard links. */
    char *path, *to, *kept, *kept_to;
};

/* A file that was changed. Its descriptor stays open: closing it would drop the program's own
 * locks. */
struct file {
    struct file *next;
    dev_t device;
    ino_t inode;
    int fd;
};

static struct {
    pthread_mutex_t lock;
    char folder[PATH_MAX], undo[PATH_MAX + 8];
    size_t folder_length;
    struct change *oldest, *newest;
    struct file *files;
    uint64_t number;
    unsigned long syncs, kill_sync, eio_sync, sync_us, kept;
    unsigned seed;
    bool torn, mix;
    int log;
} fs = {.lock = PTHREAD_MUTEX_INITIALIZER, .log = -1};

static __thread bool inside; /* our own calls are not to be watched */

/* The C library's own functions. */
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static ssize_t (*real_pwritev2)(int, const struct iovec *, int, off_t, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_posix_fallocate)(int, off_t, off_t);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_rename)(const char *, const char *);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

static void say(const char *format, ...)
{
    char line[512];
    if (fs.log < 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length > 0)
        (void)!real_write(fs.log, line,
                          (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

/* ---- names -------------------------------------------------------------------------------------
 */

static bool in_folder(const char *path)
{
    return fs.folder_length && strncmp(path, fs.folder, fs.folder_length) == 0 &&
           (path[fs.folder_length] == '/' || path[fs.folder_length] == '\0');
}

/** The absolute form of a name that may not exist yet; false when its folder cannot be found. */
static bool absolute(int folder_fd, const char *path, char *out)
{
    char whole[PATH_MAX], parent[PATH_MAX];
    if (path[0] == '/') {
        snprintf(whole, sizeof(whole), "%s", path);
    } else {
        char base[64];
        if (folder_fd == AT_FDCWD)
            snprintf(base, sizeof(base), "/proc/self/cwd");
        else
            snprintf(base, sizeof(base), "/proc/self/fd/%d", folder_fd);
        ssize_t length = readlink(base, parent, sizeof(parent) - 1);
        if (length < 0)
            return false;
        parent[length] = '\0';
        if (snprintf(whole, sizeof(whole), "%s/%s", parent, path) >= (int)sizeof(whole))
            return false;
    }
    char *slash = strrchr(whole, '/');
    char name[NAME_MAX + 1];
    snprintf(name, sizeof(name), "%s", slash + 1);
    *slash = '\0';
    if (!realpath(whole[0] ? whole : "/", parent))
        return false;
    return snprintf(out, PATH_MAX, "%s/%s", parent, name) < PATH_MAX;
}

/** The name of an open regular file or folder below the watched folder. */
static bool watched_fd(int fd, struct stat *status, char *path)
{
    if (inside || !fs.folder_length || fstat(fd, status) != 0 ||
        !(S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)))
        return false;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    size_t end = (size_t)length;
    /* SQLite's shared memory is mapped, not written; what is written into it is not meant to last.
     */
    return in_folder(path) && !(end > 4 && strcmp(path + end - 4, "-shm") == 0);
}

/* ---- the log of changes
 * -------------------------------------------------------------------------- */

static struct change *change_new(enum change_kind kind)
{
    struct change *change = calloc(1, sizeof(*change));
    if (!change)
        abort();
    change->kind = kind;
    change->number = ++fs.number;
    change->older = fs.newest;
    if (fs.newest)
        fs.newest->newer = change;
    else
        fs.oldest = change;
    fs.newest = change;
    return change;
}

static void change_free(struct change *change)
{
    *(change->older ? &change->older->newer : &fs.oldest) = change->newer;
    *(change->newer ? &change->newer->older : &fs.newest) = change->older;
    if (change->kept)
        real_unlink(change->kept);
    if (change->kept_to)
        real_unlink(change->kept_to);
    free(change->old_bytes);
    free(change->new_bytes);
    free(change->path);
    free(change->to);
    free(change->kept);
    free(change->kept_to);
    free(change);
}

static struct file *file_of(int fd, const struct stat *status)
{
    for (struct file *file = fs.files; file; file = file->next)
        if (file->device == status->st_dev && file->inode == status->st_ino)
            return file;
    struct file *file = calloc(1, sizeof(*file));
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (!file)
        abort();
    *file = (struct file){.next = fs.files, .device = status->st_dev, .inode = status->st_ino};
    file->fd = real_open(link, O_RDWR | O_CLOEXEC);
    if (file->fd < 0)
        abort();
    fs.files = file;
    return file;
}

/** Bytes of a file; zeros where it has none yet. */
static unsigned char *read_bytes(int fd, off_t offset, size_t length)
{
    unsigned char *bytes = calloc(1, length ? length : 1);
    if (!bytes)
        abort();
    for (size_t got = 0; got < length;) {
        ssize_t n = pread(fd, bytes + got, length - got, offset + (off_t)got);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return bytes;
}

/** Remembers what [offset, offset + length) holds, before it is overwritten. The lock is held. */
static struct change *before_write(int fd, const struct stat *status, off_t offset, size_t length)
{
    struct change *change = change_new(CHANGE_WRITE);
    change->file = file_of(fd, status);
    change->offset = offset;
    change->old_size = status->st_size;
    change->old_length = length;
    change->old_bytes = read_bytes(change->file->fd, offset, length);
    return change;
}

static void after_write(struct change *change, const struct iovec *pieces, int count,
                        ssize_t written)
{
    if (written <= 0) {
        change_free(change);
        return;
    }
    change->old_length = change->new_length = (size_t)written;
    change->new_bytes = malloc((size_t)written);
    if (!change->new_bytes)
        abort();
    size_t done = 0;
    for (int i = 0; i < count && done < change->new_length; i++) {
        size_t part = pieces[i].iov_len;
        if (part > change->new_length - done)
            part = change->new_length - done;
        memcpy(change->new_bytes + done, pieces[i].iov_base, part);
        done += part;
    }
}

/** What the file held from `size` on, before it is cut. The lock is held. */
static void before_truncate(int fd, const struct stat *status, off_t size)
{
    struct change *change = change_new(CHANGE_TRUNCATE);
    change->file = file_of(fd, status);
    change->old_size = status->st_size;
    change->offset = size;
    if (size < status->st_size) {
        change->old_length = (size_t)(status->st_size - size);
        change->old_bytes = read_bytes(change->file->fd, size, change->old_length);
    }
}

/** A second name for a file that is about to lose its own. */
static char *keep(const char *path)
{
    char name[PATH_MAX + 32];
    snprintf(name, sizeof(name), "%s/%lu", fs.undo, ++fs.kept);
    return linkat(AT_FDCWD, path, AT_FDCWD, name, 0) == 0 ? strdup(name) : NULL;
}

/* ---- syncing
 * --------------------------------------------------------------------------------------- */

static bool same_folder(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    return path && strncmp(path, folder, length) == 0 && path[length] == '/' &&
           !strchr(path + length + 1, '/');
}

/** Whether a sync of this file or folder saves that change. */
static bool covers(const struct change *change, const struct stat *status, const char *path)
{
    if (S_ISDIR(status->st_mode))
        return same_folder(change->path, path) || same_folder(change->to, path);
    return change->file && change->file->device == status->st_dev &&
           change->file->inode == status->st_ino;
}

/** A synced write or cut also lies over what a failed sync lost before: taking that back must not
 * touch it. */
static void outlive(struct change *lost, const struct change *synced)
{
    off_t end = synced->offset + (off_t)synced->new_length;
    if (synced->kind == CHANGE_TRUNCATE) {
        for (size_t i = 0; i < lost->old_length; i++)
            if (lost->offset + (off_t)i >= synced->offset)
                lost->old_bytes[i] = 0;
        lost->old_size = lost->old_size < synced->offset ? lost->old_size : synced->offset;
        return;
    }
    for (size_t i = 0; i < lost->old_length; i++) {
        off_t at = lost->offset + (off_t)i;
        if (at >= synced->offset && at < end)
            lost->old_bytes[i] = synced->new_bytes[at - synced->offset];
    }
    lost->old_size = lost->old_size > end ? lost->old_size : end;
}

static void settle(const struct stat *status, const char *path, uint64_t until, bool failed)
{
    for (struct change *change = fs.oldest, *next; change; change = next) {
        next = change->newer;
        if (change->number > until || change->lost || !covers(change, status, path))
            continue;
        if (failed) {
            change->lost = true;
            continue;
        }
        for (struct change *lost = fs.oldest; lost && change->file; lost = lost->newer)
            if (lost->lost && lost->file == change->file && lost->number < change->number)
                outlive(lost, change);
        change_free(change);
    }
}

/* ---- the power cut
 * ------------------------------------------------------------------------------- */

static unsigned draw(unsigned below)
{
    return below ? (unsigned)rand_r(&fs.seed) % below : 0;
}

static void take_back(struct change *change)
{
    switch (change->kind) {
    case CHANGE_WRITE:
    case CHANGE_TRUNCATE:
        for (size_t done = 0; done < change->old_length;) {
            ssize_t n = real_pwrite(change->file->fd, change->old_bytes + done,
                                    change->old_length - done, change->offset + (off_t)done);
            if (n <= 0)
                abort();
            done += (size_t)n;
        }
        if (real_ftruncate(change->file->fd, change->old_size) != 0)
            abort();
        break;
    case CHANGE_CREATE:
        real_unlink(change->path);
        break;
    case CHANGE_RENAME:
        real_rename(change->to, change->path);
        if (change->kept_to)
            real_rename(change->kept_to, change->to);
        break;
    case CHANGE_UNLINK:
        if (change->kept)
            real_rename(change->kept, change->path);
        break;
    }
}

/** Writes again, after all was taken back, what the disk happened to have saved: `length` bytes of
 * the write. */
static void let_stand(const struct change *change, size_t length)
{
    say("stands: %zu of %zu bytes at %lld\n", length, change->new_length,
        (long long)change->offset);
    (void)!real_pwrite(change->file->fd, change->new_bytes, length, change->offset);
}

static size_t torn_length(size_t length)
{
    /* Half of the time at a sector's edge, as disks tear; else anywhere. */
    size_t cut = draw((unsigned)length + 1);
    return draw(2) ? cut / 512 * 512 : cut;
}

/** Takes all back and ends the process. The lock is held and stays so: nobody syncs any more. */
static _Noreturn void power_cut(const char *why)
{
    unsigned long count = 0;
    for (struct change *change = fs.newest; change; change = change->older, count++)
        take_back(change);
    say("power cut (%s) after %lu syncs: %lu changes taken back\n", why, fs.syncs, count);
    struct change *last = NULL;
    for (struct change *change = fs.oldest; change; change = change->newer) {
        if (change->kind != CHANGE_WRITE || change->lost || !change->new_length)
            continue;
        last = change;
        if (fs.mix && draw(2))
            let_stand(change, draw(3) ? change->new_length : torn_length(change->new_length));
    }
    if (fs.torn && last)
        let_stand(last, torn_length(last->new_length));
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int sync_file(int fd, int (*real)(int))
{
    struct stat status;
    char path[PATH_MAX];
    if (!watched_fd(fd, &status, path))
        return real(fd);
    pthread_mutex_lock(&fs.lock);
    uint64_t until = fs.number;
    unsigned long mine = ++fs.syncs;
    pthread_mutex_unlock(&fs.lock);

    struct timespec pause = {.tv_sec = (time_t)(fs.sync_us / 1000000),
                             .tv_nsec = (long)(fs.sync_us % 1000000) * 1000};
    if (fs.sync_us)
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);

    pthread_mutex_lock(&fs.lock);
    if (mine == fs.kill_sync)
        power_cut("sync under way");
    bool failed = mine == fs.eio_sync;
    settle(&status, path, until, failed);
    if (failed)
        say("sync %lu of %s fails\n", mine, path);
    pthread_mutex_unlock(&fs.lock);
    if (failed) {
        errno = EIO;
        return -1;
    }
    return 0;
}

static void *wait_for_trigger(void *path)
{
    inside = true;
    int fd = real_open(path, O_RDONLY | O_CLOEXEC);
    char byte;
    if (fd >= 0 && read(fd, &byte, 1) == 1) {
        pthread_mutex_lock(&fs.lock);
        power_cut("told so");
    }
    return NULL;
}

static unsigned long number_of(const char *name)
{
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 10) : 0;
}

static void real(void *function, const char *name)
{
    *(void **)function = dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
    real(&real_write, "write");
    real(&real_writev, "writev");
    real(&real_pwrite, "pwrite");
    real(&real_pwritev, "pwritev");
    real(&real_pwritev2, "pwritev2");
    real(&real_ftruncate, "ftruncate");
    real(&real_fallocate, "fallocate");
    real(&real_posix_fallocate, "posix_fallocate");
    real(&real_open, "open");
    real(&real_openat, "openat");
    real(&real_rename, "rename");
    real(&real_renameat, "renameat");
    real(&real_unlink, "unlink");
    real(&real_unlinkat, "unlinkat");
    real(&real_fsync, "fsync");
    real(&real_fdatasync, "fdatasync");
    const char *folder = getenv("LOSEFS_DIR"), *log = getenv("LOSEFS_LOG"),
               *mode = getenv("LOSEFS_MODE");
    if (!folder || !realpath(folder, fs.folder))
        return;
    snprintf(fs.undo, sizeof(fs.undo), "%s.undo", fs.folder);
    if (mkdir(fs.undo, 0700) != 0 && errno != EEXIST)
        return;
    if (log)
        fs.log = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    fs.torn = mode && strcmp(mode, "torn") == 0;
    fs.mix = mode && strcmp(mode, "mix") == 0;
    fs.seed = (unsigned)number_of("LOSEFS_SEED");
    fs.kill_sync = number_of("LOSEFS_KILL_SYNC");
    fs.eio_sync = number_of("LOSEFS_EIO_SYNC");
    fs.sync_us = number_of("LOSEFS_SYNC_US");
    fs.folder_length = strlen(fs.folder);
    char *trigger = getenv("LOSEFS_TRIGGER");
    if (trigger) {
        /* It must take no signal that is meant for the program. */
        sigset_t all, before;
        pthread_t thread;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        if (pthread_create(&thread, NULL, wait_for_trigger, trigger) == 0)
            pthread_detach(thread);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
}

/* ---- what stands in place of the C library's functions ------------------------------------------
 */

static ssize_t watched_writev(int fd, const struct iovec *pieces, int count, off_t offset,
                              bool at_offset, int flags)
{
    struct stat status;
    char path[PATH_MAX];
    size_t length = 0;
    if (!watched_fd(fd, &status, path)) {
        if (!at_offset)
            return real_writev(fd, pieces, count);
        return flags ? real_pwritev2(fd, pieces, count, offset, flags)
                     : real_pwritev(fd, pieces, count, offset);
    }
    for (int i = 0; i < count; i++)
        length += pieces[i].iov_len;
    pthread_mutex_lock(&fs.lock);
    int status_flags = fcntl(fd, F_GETFL);
    fstat(fd, &status); /* again: another thread may have written before we held the lock */
    off_t from = at_offset && offset != -1 ? offset : lseek(fd, 0, SEEK_CUR);
    if (status_flags & O_APPEND)
        from = status.st_size;
    struct change *change = before_write(fd, &status, from, length);
    ssize_t written =
        at_offset ? real_pwritev(fd, pieces, count, offset) : real_writev(fd, pieces, count);
    int error = errno;
    after_write(change, pieces, count, written);
    bool synced = (status_flags & O_DSYNC) || (flags & (RWF_DSYNC | RWF_SYNC));
    pthread_mutex_unlock(&fs.lock);
    if (synced && written > 0 && sync_file(fd, real_fdatasync) != 0)
        return -1;
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    struct stat status;
    char path[PATH_MAX];
    if (!watched_fd(fd, &status, path))
        return real_write(fd, bytes, length);
    return watched_writev(fd,
                          &(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length},
                          1, 0, false, 0);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return watched_writev(fd, pieces, count, 0, false, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return watched_writev(fd,
                          &(struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = length},
                          1, offset, true, 0);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    return watched_writev(fd, pieces, count, offset, true, 0);
}

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    return watched_writev(fd, pieces, count, offset, true, flags);
}

int ftruncate(int fd, off_t size)
{
    struct stat status;
    char path[PATH_MAX];
    if (!watched_fd(fd, &status, path))
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&fs.lock);
    before_truncate(fd, &status, size);
    int result = real_ftruncate(fd, size);
    pthread_mutex_unlock(&fs.lock);
    return result;
}

/** Making room changes the size at most; its zeros are no loss. */
static void before_allocate(int fd, off_t end)
{
    struct stat status;
    char path[PATH_MAX];
    if (!watched_fd(fd, &status, path) || end <= status.st_size)
        return;
    pthread_mutex_lock(&fs.lock);
    before_truncate(fd, &status, status.st_size);
    pthread_mutex_unlock(&fs.lock);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (mode == 0)
        before_allocate(fd, offset + length);
    return real_fallocate(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    before_allocate(fd, offset + length);
    return real_posix_fallocate(fd, offset, length);
}

static int watched_open(int folder, const char *path, int flags, mode_t mode)
{
    char whole[PATH_MAX];
    if (inside || !fs.folder_length || !(flags & (O_CREAT | O_TRUNC)) ||
        (flags & O_TMPFILE) == O_TMPFILE || !absolute(folder, path, whole) || !in_folder(whole))
        return real_openat(folder, path, flags, mode);
    pthread_mutex_lock(&fs.lock);
    bool there = access(whole, F_OK) == 0;
    if (there && (flags & O_TRUNC)) {
        int old = real_open(whole, O_RDWR | O_CLOEXEC);
        struct stat status;
        /* `old` stays open on purpose, see struct file. */
        if (old >= 0 && fstat(old, &status) == 0 && S_ISREG(status.st_mode))
            before_truncate(old, &status, 0);
    }
    int fd = real_openat(folder, path, flags, mode);
    int error = errno;
    if (fd >= 0 && !there)
        change_new(CHANGE_CREATE)->path = strdup(whole);
    pthread_mutex_unlock(&fs.lock);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return watched_open(folder, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return watched_open(AT_FDCWD, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return watched_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int watched_rename(const char *path, const char *target)
{
    pthread_mutex_lock(&fs.lock);
    char *kept = keep(target);
    int result = real_rename(path, target);
    int error = errno;
    if (result == 0) {
        struct change *change = change_new(CHANGE_RENAME);
        change->path = strdup(path);
        change->to = strdup(target);
        change->kept_to = kept;
    }
    pthread_mutex_unlock(&fs.lock);
    errno = error;
    return result;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    char path[PATH_MAX], target[PATH_MAX];
    if (inside || !fs.folder_length || !absolute(from_folder, from, path) ||
        !absolute(to_folder, to, target) || !(in_folder(path) || in_folder(target)))
        return real_renameat(from_folder, from, to_folder, to);
    return watched_rename(path, target);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static int watched_unlink(const char *whole)
{
    pthread_mutex_lock(&fs.lock);
    char *kept = keep(whole);
    int result = real_unlink(whole);
    int error = errno;
    if (result == 0) {
        struct change *change = change_new(CHANGE_UNLINK);
        change->path = strdup(whole);
        change->kept = kept;
    }
    pthread_mutex_unlock(&fs.lock);
    errno = error;
    return result;
}

int unlink(const char *path)
{
    char whole[PATH_MAX];
    if (inside || !fs.folder_length || !absolute(AT_FDCWD, path, whole) || !in_folder(whole))
        return real_unlink(path);
    return watched_unlink(whole);
}

int unlinkat(int folder, const char *path, int flags)
{
    char whole[PATH_MAX];
    if (inside || !fs.folder_length || (flags & AT_REMOVEDIR) || !absolute(folder, path, whole) ||
        !in_folder(whole))
        return real_unlinkat(folder, path, flags);
    return watched_unlink(whole);
}

int fsync(int fd)
{
    return sync_file(fd, real_fsync);
}

int fdatasync(int fd)
{
    return sync_file(fd, real_fdatasync);
}

/* The names for large files: the same functions, where off_t has 64 bits. */
_Static_assert(sizeof(off_t) == 8, "64-bit file offsets");
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset)
    __attribute__((alias("pwrite")));
ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off_t offset)
    __attribute__((alias("pwritev")));
ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
    __attribute__((alias("pwritev2")));
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));
int fallocate64(int fd, int mode, off_t offset, off_t length) __attribute__((alias("fallocate")));
int posix_fallocate64(int fd, off_t offset, off_t length) __attribute__((alias("posix_fallocate")));
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
int openat64(int folder, const char *path, int flags, ...) __attribute__((alias("openat")));
int creat64(const char *path, mode_t mode) __attribute__((alias("creat")));

/* What the compiler calls in their place with _FORTIFY_SOURCE, when no mode is given. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);
int __openat64_2(int folder, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return watched_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int folder, const char *path, int flags)
{
    return watched_open(folder, path, flags, 0);
}

int __open64_2(const char *path, int flags) __attribute__((alias("__open_2")));
int __openat64_2(int folder, const char *path, int flags) __attribute__((alias("__openat_2")));
