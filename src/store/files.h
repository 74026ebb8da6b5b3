/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/files - the few file operations under the journal, so that tests can let them fail, tear
 * and forget.
 *
 * Each is as its namesake of POSIX: -1 and errno on failure. `user` comes first.
 */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include <sys/types.h>

struct store_files {
    void *user;
    int (*open)(void *user, const char *path, int flags, mode_t mode);
    ssize_t (*write)(void *user, int fd, const void *data, size_t len);
    ssize_t (*read_at)(void *user, int fd, void *data, size_t len, off_t offset);
    int (*sync)(void *user, int fd);     /* fdatasync of a file */
    int (*sync_dir)(void *user, int fd); /* fsync of a folder: its names */
    int (*truncate)(void *user, int fd, off_t len);
    int (*unlink)(void *user, const char *path);
    int (*close)(void *user, int fd);
};

/** The operating system's. */
extern const struct store_files store_files_system;

#endif
