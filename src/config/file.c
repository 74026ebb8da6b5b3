/* SPDX-License-Identifier: Apache-2.0 */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BLOCK = 65536
};

static enum err read_all(int fd, size_t max, char **out, size_t *out_len)
{
    char *data = NULL;
    size_t len = 0;
    size_t capacity = 0;

    for (;;) {
        if (capacity - len < BLOCK) {
            capacity = capacity * 2 + 2 * (size_t)BLOCK;
            char *grown = realloc(data, capacity);
            if (grown == NULL) {
                free(data);
                return ERR_MEMORY;
            }
            data = grown;
        }
        ssize_t count = read(fd, data + len, BLOCK);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 || len + (size_t)count > max) {
            free(data);
            return count < 0 ? ERR_IO : ERR_TOO_BIG;
        }
        if (count == 0)
            break;
        len += (size_t)count;
    }
    *out = data;
    *out_len = len;
    return OK;
}

enum err file_read(const char *path, size_t max, struct config_errors *errors, char **out,
                   size_t *out_len)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        config_errors_add(errors, path, 0, 0, NULL, "cannot be opened: %s", strerror(errno));
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    enum err err = read_all(fd, max, out, out_len);
    if (err == ERR_IO)
        config_errors_add(errors, path, 0, 0, NULL, "cannot be read: %s", strerror(errno));
    else if (err)
        config_errors_add(errors, path, 0, 0, NULL, "is too big: at most %zu bytes are read", max);
    close(fd);
    return err;
}

static const struct slice algorithm_names[] = {
    {"", 0}, {"MD5", 3}, {"SHA-256", 7}, {"SHA-512-256", 11}};

uint8_t config_algorithm(struct slice name)
{
    for (size_t i = 1; i < COUNT_OF(algorithm_names); i++)
        if (slice_equal_nocase(algorithm_names[i], name))
            return (uint8_t)i;
    return 0;
}

struct slice config_algorithm_name(uint8_t algorithm)
{
    assert(algorithm < COUNT_OF(algorithm_names));
    return algorithm_names[algorithm];
}
