/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/builder.h"
#include "store/internal.h"

enum {
    KEY_FILE_MAX = 4096
};

void store_random(void *out, size_t len)
{
    char *bytes = out;

    while (len > 0) {
        ssize_t count = getrandom(bytes, len, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            abort(); /* no kernel that we run on refuses */
        bytes += count;
        len -= (size_t)count;
    }
}

/* The lines of the file: `name: hex`. */
struct key_line {
    struct slice name;
    void *bytes;
    size_t len;
};

enum {
    KEY_LINES = 5
};

static void key_lines(struct store_keys *keys, struct key_line lines[static KEY_LINES])
{
    lines[0] = (struct key_line){SLICE("token"), &keys->token, sizeof keys->token};
    lines[1] = (struct key_line){SLICE("nonce"), &keys->nonce, sizeof keys->nonce};
    lines[2] = (struct key_line){SLICE("loop"), &keys->loop, sizeof keys->loop};
    lines[3] = (struct key_line){SLICE("hash"), &keys->hash, sizeof keys->hash};
    lines[4] = (struct key_line){SLICE("secrets"), keys->secrets, sizeof keys->secrets};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static bool parse_hex(struct slice text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static bool parse_keys(struct slice text, struct store_keys *out)
{
    struct key_line lines[KEY_LINES];
    unsigned found = 0;

    key_lines(out, lines);
    while (text.len > 0) {
        struct slice line = slice_take_until(&text, '\n');
        text = slice_from(text, 1);
        size_t colon = slice_find(line, ':');
        for (size_t i = 0; colon != SIZE_MAX && i < KEY_LINES; i++)
            if (slice_equal(lines[i].name, (struct slice){line.data, colon}) &&
                parse_hex(slice_trim(slice_from(line, colon + 1)), lines[i].bytes, lines[i].len))
                found |= 1U << i;
    }
    return found == (1U << KEY_LINES) - 1;
}

static enum err read_keys(const char *path, int fd, struct store_keys *out,
                          struct store_problem *problem)
{
    char text[KEY_FILE_MAX];
    ssize_t len = read(fd, text, sizeof text);

    if (len < 0)
        return problem_set(problem, ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (!parse_keys((struct slice){text, (size_t)len}, out))
        return problem_set(problem, ERR_SYNTAX,
                           "%s: is damaged; restore it, or remove it: then phones must "
                           "authenticate anew and secrets must be given again",
                           path);
    return OK;
}

static void write_keys(struct builder *b, struct store_keys *keys)
{
    struct key_line lines[KEY_LINES];

    builder_text(b, "# The secret keys of this node. Whoever has them can forge its tokens.\n");
    key_lines(keys, lines);
    for (size_t i = 0; i < KEY_LINES; i++) {
        const uint8_t *bytes = lines[i].bytes;
        builder_add(b, lines[i].name);
        builder_text(b, ": ");
        for (size_t j = 0; j < lines[i].len; j++)
            builder_hex(b, bytes[j], 2);
        builder_text(b, "\n");
    }
}

/* A name in a folder lasts when the folder is synced. */
static bool sync_folder_of(const char *path)
{
    char folder[JOURNAL_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) : 0;

    if (len >= sizeof folder)
        return false;
    memcpy(folder, path, len);
    folder[len] = '\0';
    int fd = open(slash == NULL ? "."
                  : len == 0    ? "/"
                                : folder,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = fsync(fd) == 0;
    close(fd);
    return good;
}

static enum err make_keys(const char *path, struct store_keys *out, struct store_problem *problem)
{
    char text[KEY_FILE_MAX];
    char draft[JOURNAL_PATH_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct store_keys keys;

    store_random(&keys, sizeof keys);
    write_keys(&b, &keys);
    assert(!b.overflow);
    int len = snprintf(draft, sizeof draft, "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof draft)
        return problem_set(problem, ERR_TOO_BIG, "%s: the path is too long", path);
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, b.data, b.len) == (ssize_t)b.len && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (!good || rename(draft, path) != 0 || !sync_folder_of(path))
        return problem_set(problem, ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
    *out = keys;
    return OK;
}

enum err store_keys_load(const char *path, struct store_keys *out, struct store_problem *problem)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return make_keys(path, out, problem);
    if (fd < 0)
        return problem_set(problem, errno == EACCES ? ERR_DENIED : ERR_IO,
                           "%s: cannot be opened: %s", path, strerror(errno));
    enum err err = read_keys(path, fd, out, problem);
    close(fd);
    return err;
}
