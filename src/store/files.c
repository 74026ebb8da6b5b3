/* SPDX-License-Identifier: Apache-2.0 */
#include "store/files.h"

#include <fcntl.h>
#include <unistd.h>

static int system_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user;
    return open(path, flags | O_CLOEXEC, mode);
}

static ssize_t system_write(void *user, int fd, const void *data, size_t len)
{
    (void)user;
    return write(fd, data, len);
}

static ssize_t system_read_at(void *user, int fd, void *data, size_t len, off_t offset)
{
    (void)user;
    return pread(fd, data, len, offset);
}

static int system_sync(void *user, int fd)
{
    (void)user;
    return fdatasync(fd);
}

static int system_sync_dir(void *user, int fd)
{
    (void)user;
    return fsync(fd);
}

static int system_truncate(void *user, int fd, off_t len)
{
    (void)user;
    return ftruncate(fd, len);
}

static int system_unlink(void *user, const char *path)
{
    (void)user;
    return unlink(path);
}

static int system_close(void *user, int fd)
{
    (void)user;
    return close(fd);
}

const struct store_files store_files_system = {
    .open = system_open,
    .write = system_write,
    .read_at = system_read_at,
    .sync = system_sync,
    .sync_dir = system_sync_dir,
    .truncate = system_truncate,
    .unlink = system_unlink,
    .close = system_close,
};
