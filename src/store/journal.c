/* SPDX-License-Identifier: Apache-2.0 */
#include "store/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "store/problem.h"

static_assert((size_t)JOURNAL_READ_BYTES >= (size_t)RECORD_MAX, "a read holds at least one record");

enum {
    NAME_DIGITS = 6,
    PATH_EXTRA = 16
};

static enum err segment_path(const struct journal *journal, uint32_t number,
                             char path[static JOURNAL_PATH_MAX + PATH_EXTRA])
{
    int len = snprintf(path, JOURNAL_PATH_MAX + PATH_EXTRA, "%s/%0*u.j", journal->folder,
                       NAME_DIGITS, number);
    return len > 0 && len < JOURNAL_PATH_MAX + PATH_EXTRA ? OK : ERR_TOO_BIG;
}

static int segment_open(const struct journal *journal, uint32_t number, int flags)
{
    char path[JOURNAL_PATH_MAX + PATH_EXTRA];

    if (segment_path(journal, number, path) != OK) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return journal->files->open(journal->files->user, path, flags, 0600);
}

static int segment_unlink(const struct journal *journal, uint32_t number)
{
    char path[JOURNAL_PATH_MAX + PATH_EXTRA];

    if (segment_path(journal, number, path) != OK)
        return -1;
    return journal->files->unlink(journal->files->user, path);
}

static void close_fd(const struct journal *journal, int *fd)
{
    if (*fd >= 0)
        journal->files->close(journal->files->user, *fd);
    *fd = -1;
}

/* --- The list of segments ------------------------------------------------------------------- */

static enum err list_add(struct journal *journal, const struct segment *segment)
{
    if (journal->count == journal->capacity) {
        size_t capacity = journal->capacity * 2 + 16;
        struct segment *grown = realloc(journal->segments, capacity * sizeof *grown);
        if (grown == NULL)
            return ERR_MEMORY;
        journal->segments = grown;
        journal->capacity = capacity;
    }
    journal->segments[journal->count++] = *segment;
    atomic_fetch_add(&journal->segment_count, 1);
    atomic_fetch_add(&journal->bytes, segment->bytes);
    return OK;
}

static void list_remove_first(struct journal *journal)
{
    assert(journal->count > 0);

    atomic_fetch_sub(&journal->bytes, journal->segments[0].bytes);
    atomic_fetch_sub(&journal->segment_count, 1);
    journal->count--;
    memmove(journal->segments, journal->segments + 1, journal->count * sizeof *journal->segments);
}

/* --- Opening -------------------------------------------------------------------------------- */

/* "000123.j" */
static bool parse_name(const char *name, uint32_t *number)
{
    uint64_t value = 0;
    size_t digits = 0;

    for (; name[digits] >= '0' && name[digits] <= '9' && digits < 10; digits++)
        value = value * 10 + (uint64_t)(name[digits] - '0');
    if (digits < NAME_DIGITS || strcmp(name + digits, ".j") != 0 || value == 0 ||
        value >= UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t *left = a;
    const uint32_t *right = b;
    return *left < *right ? -1 : *left > *right;
}

static enum err list_files(const struct journal *journal, uint32_t **numbers, size_t *count)
{
    DIR *folder = opendir(journal->folder);
    if (folder == NULL)
        return ERR_IO;

    uint32_t *found = NULL;
    size_t used = 0;
    enum err err = OK;
    for (struct dirent *entry; err == OK && (entry = readdir(folder)) != NULL;) {
        uint32_t number;
        if (!parse_name(entry->d_name, &number))
            continue;
        uint32_t *grown = realloc(found, (used + 1) * sizeof *grown);
        if (grown == NULL) {
            err = ERR_MEMORY;
            continue;
        }
        found = grown;
        found[used++] = number;
    }
    closedir(folder);
    if (err) {
        free(found);
        return err;
    }
    if (used > 0)
        qsort(found, used, sizeof *found, compare_numbers);
    *numbers = found;
    *count = used;
    return OK;
}

/* The whole file, up to `max` bytes, into memory of its own. */
static enum err read_file(const struct journal *journal, uint32_t number, size_t max, char **out,
                          size_t *out_len)
{
    const struct store_files *files = journal->files;
    int fd = segment_open(journal, number, O_RDONLY);
    if (fd < 0)
        return ERR_IO;

    char *data = NULL;
    size_t len = 0;
    size_t capacity = 0;
    enum err err = OK;
    while (err == OK && len < max) { /* `max` is read past by at most a block */
        if (len == capacity) {
            capacity = capacity * 2 + 65536;
            char *grown = realloc(data, capacity);
            if (grown == NULL) {
                err = ERR_MEMORY;
                break;
            }
            data = grown;
        }
        ssize_t count = files->read_at(files->user, fd, data + len, capacity - len, (off_t)len);
        if (count < 0 && errno != EINTR)
            err = ERR_IO;
        if (count == 0)
            break;
        if (count > 0)
            len += (size_t)count;
    }
    close_fd(journal, &fd);
    if (err) {
        free(data);
        return err;
    }
    *out = data;
    *out_len = len;
    return OK;
}

/* The header of a file. ERR_NOT_FOUND: it was never finished and holds nothing. */
static enum err read_header(struct journal *journal, uint32_t number, struct segment_header *out,
                            struct store_problem *problem)
{
    char *data = NULL;
    size_t len = 0;
    enum err err = read_file(journal, number, SEGMENT_HEADER_BYTES + 1, &data, &len);
    if (err)
        return problem_set(problem, err, "%s/%06u.j: cannot be read: %s", journal->folder, number,
                           strerror(errno));

    err = segment_header_read((struct slice){data, len}, out);
    bool empty = len <= SEGMENT_HEADER_BYTES;
    free(data);
    if (err && empty) /* the header is synced before the first record is written */
        return ERR_NOT_FOUND;
    if (err || out->number != number)
        return problem_set(problem, ERR_SYNTAX,
                           "%s/%06u.j: the segment's header is damaged; restore the file, or move "
                           "it away to go on without what it holds",
                           journal->folder, number);
    if (out->store != journal->store)
        return problem_set(problem, ERR_CONFLICT,
                           "%s/%06u.j: belongs to another database; move the folder away, or bring "
                           "back the database that it belongs to",
                           journal->folder, number);
    return OK;
}

/* Finds the good records of `segment`, up to `limit`. */
static enum err scan_segment(struct journal *journal, struct segment *segment, uint64_t limit,
                             struct store_problem *problem)
{
    char *data = NULL;
    size_t len = 0;
    struct segment_scan scan;
    struct segment_header header = {
        .store = journal->store, .first = segment->first, .number = segment->number};

    enum err err = read_file(journal, segment->number, SIZE_MAX, &data, &len);
    if (err)
        return problem_set(problem, err, "%s/%06u.j: cannot be read: %s", journal->folder,
                           segment->number, strerror(errno));
    err = segment_scan((struct slice){data, len}, &header, limit, &scan);
    free(data);
    if (err)
        return problem_set(problem, err,
                           "%s/%06u.j: record %llu at byte %llu is damaged though it had been "
                           "acknowledged; restore the file, or move it and the later ones away to "
                           "go on without what they hold",
                           journal->folder, segment->number, (unsigned long long)scan.end,
                           (unsigned long long)scan.bytes);
    segment->bytes = scan.bytes;
    segment->end = scan.end;
    return OK;
}

static enum err load_headers(struct journal *journal, const uint32_t *numbers, size_t count,
                             struct store_problem *problem)
{
    for (size_t i = 0; i < count; i++) {
        struct segment_header header = {0};
        enum err err = read_header(journal, numbers[i], &header, problem);
        if (err == ERR_NOT_FOUND) {
            segment_unlink(journal, numbers[i]);
            continue;
        }
        if (err)
            return err;
        struct segment segment = {
            .number = header.number, .first = header.first, .end = header.first};
        if (journal->count > 0 && segment.first < journal->segments[journal->count - 1].first)
            return problem_set(problem, ERR_SYNTAX,
                               "%s/%06u.j: is older than the segment before it", journal->folder,
                               header.number);
        err = list_add(journal, &segment);
        if (err)
            return err;
    }
    return OK;
}

static enum err scan_all(struct journal *journal, uint64_t applied, struct store_problem *problem)
{
    if (journal->count > 0 && journal->segments[0].first > applied + 1)
        return problem_set(problem, ERR_SYNTAX,
                           "%s: operations %llu to %llu are missing: the database is older than "
                           "its journal, or a segment was taken away; move the folder away to go "
                           "on without what it holds",
                           journal->folder, (unsigned long long)applied + 1,
                           (unsigned long long)journal->segments[0].first - 1);
    for (size_t i = 0; i < journal->count; i++) {
        struct segment *segment = &journal->segments[i];
        bool last = i + 1 == journal->count;
        uint64_t limit = last ? UINT64_MAX : segment[1].first;
        bool needed = limit > applied + 1;
        segment->bytes = SEGMENT_HEADER_BYTES;
        segment->end = limit;
        enum err err = needed ? scan_segment(journal, segment, limit, problem) : OK;
        if (err)
            return err;
        atomic_fetch_add(&journal->bytes, segment->bytes);
        if (segment->end > atomic_load(&journal->next))
            atomic_store(&journal->next, segment->end);
    }
    return OK;
}

enum err journal_open(struct journal *journal, const struct journal_config *config,
                      struct store_problem *problem)
{
    *journal = (struct journal){.files = config->files,
                                .store = config->store,
                                .segment_bytes = config->segment_bytes,
                                .write_fd = -1,
                                .read_fd = -1,
                                .folder_fd = -1,
                                .next = config->applied + 1,
                                .next_number = 1};
    if (strlen(config->folder) >= sizeof journal->folder)
        return problem_set(problem, ERR_TOO_BIG, "%s: the path is too long", config->folder);
    memcpy(journal->folder, config->folder, strlen(config->folder) + 1);
    pthread_mutex_init(&journal->lock, NULL);

    uint32_t *numbers = NULL;
    size_t count = 0;
    enum err err = OK;
    if (mkdir(journal->folder, 0700) != 0 && errno != EEXIST)
        err = ERR_IO;
    if (!err)
        journal->folder_fd =
            config->files->open(config->files->user, journal->folder, O_RDONLY | O_DIRECTORY, 0);
    if (journal->folder_fd < 0 || list_files(journal, &numbers, &count) != OK) {
        err = problem_set(problem, ERR_IO, "%s: cannot be opened: %s", journal->folder,
                          strerror(errno));
        goto close;
    }
    journal->read_buffer = malloc(JOURNAL_READ_BYTES);
    if (journal->read_buffer == NULL) {
        err = problem_set(problem, ERR_MEMORY, "out of memory");
        goto close;
    }
    if (count > 0)
        journal->next_number = numbers[count - 1] + 1;
    err = load_headers(journal, numbers, count, problem);
    if (!err)
        err = scan_all(journal, config->applied, problem);
    if (err)
        goto close;
    free(numbers);
    return OK;

close:
    free(numbers);
    journal_close(journal);
    return err;
}

void journal_close(struct journal *journal)
{
    close_fd(journal, &journal->write_fd);
    close_fd(journal, &journal->read_fd);
    close_fd(journal, &journal->folder_fd);
    free(journal->read_buffer);
    free(journal->segments);
    journal->read_buffer = NULL;
    journal->segments = NULL;
    journal->count = 0;
    pthread_mutex_destroy(&journal->lock);
}

/* --- Writing -------------------------------------------------------------------------------- */

static enum err write_all(const struct journal *journal, int fd, const void *data, size_t len)
{
    const char *bytes = data;

    while (len > 0) {
        ssize_t count = journal->files->write(journal->files->user, fd, bytes, len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return ERR_IO;
        bytes += count;
        len -= (size_t)count;
    }
    return OK;
}

static enum err write_synced(const struct journal *journal, int fd, const void *data, size_t len)
{
    enum err err = write_all(journal, fd, data, len);
    if (err)
        return err;
    return journal->files->sync(journal->files->user, fd) == 0 ? OK : ERR_IO;
}

/* A file that is named, sized and synced before its first record comes. */
static enum err make_segment(const struct journal *journal, uint32_t number, int fd)
{
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header header = {
        .store = journal->store, .first = atomic_load(&journal->next), .number = number};

    segment_header_write(&header, bytes);
    enum err err = write_synced(journal, fd, bytes, sizeof bytes);
    if (err)
        return err;
    return journal->files->sync_dir(journal->files->user, journal->folder_fd) == 0 ? OK : ERR_IO;
}

enum err journal_begin(struct journal *journal)
{
    if (journal->write_fd >= 0)
        return OK;

    uint32_t number = journal->next_number++; /* never used again, whatever comes of it */
    int fd = segment_open(journal, number, O_WRONLY | O_CREAT | O_EXCL | O_APPEND);
    if (fd < 0) {
        atomic_fetch_add(&journal->errors, 1);
        return ERR_IO;
    }
    enum err err = make_segment(journal, number, fd);
    if (!err) {
        uint64_t next = atomic_load(&journal->next);
        struct segment segment = {
            .number = number, .first = next, .end = next, .bytes = SEGMENT_HEADER_BYTES};
        pthread_mutex_lock(&journal->lock);
        err = list_add(journal, &segment);
        pthread_mutex_unlock(&journal->lock);
    }
    if (err) {
        int reason = errno;
        atomic_fetch_add(&journal->errors, 1);
        close_fd(journal, &fd);
        segment_unlink(journal, number);
        errno = reason;
        return ERR_IO;
    }
    journal->write_fd = fd;
    return OK;
}

/*
 * The segment is not trusted any more beyond what was synced before. Cutting the rest off is
 * tidy; that it does not count is said by the next segment's first number.
 */
static void abandon_segment(struct journal *journal)
{
    const struct store_files *files = journal->files;
    int reason = errno;

    pthread_mutex_lock(&journal->lock);
    off_t good = (off_t)journal->segments[journal->count - 1].bytes;
    pthread_mutex_unlock(&journal->lock);
    if (files->truncate(files->user, journal->write_fd, good) == 0)
        (void)files->sync(files->user, journal->write_fd);
    close_fd(journal, &journal->write_fd);
    atomic_fetch_add(&journal->errors, 1);
    errno = reason;
}

enum err journal_write(struct journal *journal, struct slice group, uint32_t count)
{
    enum err err = journal_begin(journal);
    if (err)
        return err;
    err = write_synced(journal, journal->write_fd, group.data, group.len);
    if (err) {
        abandon_segment(journal);
        return err;
    }

    pthread_mutex_lock(&journal->lock);
    struct segment *segment = &journal->segments[journal->count - 1];
    segment->bytes += group.len;
    segment->end += count;
    uint64_t bytes = segment->bytes;
    pthread_mutex_unlock(&journal->lock);
    atomic_fetch_add(&journal->bytes, group.len);
    atomic_fetch_add(&journal->next, count);
    if (bytes >= journal->segment_bytes)
        close_fd(journal, &journal->write_fd);
    return OK;
}

/* --- Reading -------------------------------------------------------------------------------- */

/* Where the reader is: the segment it is in, else the first. Moves on at a segment's end. */
static bool find_place(struct journal *journal, struct segment *out)
{
    bool found = false;

    pthread_mutex_lock(&journal->lock);
    for (size_t i = 0; i < journal->count && !found; i++) {
        struct segment *segment = &journal->segments[i];
        if (segment->number < journal->read_number)
            continue;
        if (segment->number != journal->read_number) {
            close_fd(journal, &journal->read_fd);
            journal->read_number = segment->number;
            journal->read_offset = SEGMENT_HEADER_BYTES;
        }
        if (journal->read_offset < segment->bytes) {
            *out = *segment;
            found = true;
        }
    }
    pthread_mutex_unlock(&journal->lock);
    return found;
}

enum err journal_read(struct journal *journal, struct slice *records)
{
    const struct store_files *files = journal->files;
    struct segment segment;

    if (!find_place(journal, &segment))
        return ERR_NOT_FOUND;
    if (journal->read_fd < 0)
        journal->read_fd = segment_open(journal, segment.number, O_RDONLY);
    if (journal->read_fd < 0)
        return ERR_IO;

    uint64_t left = segment.bytes - journal->read_offset;
    size_t wanted = left < JOURNAL_READ_BYTES ? (size_t)left : JOURNAL_READ_BYTES;
    size_t len = 0;
    while (len < wanted) {
        ssize_t count = files->read_at(files->user, journal->read_fd, journal->read_buffer + len,
                                       wanted - len, (off_t)(journal->read_offset + len));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return ERR_IO;
        len += (size_t)count;
    }
    *records = (struct slice){journal->read_buffer, len};
    return OK;
}

void journal_advance(struct journal *journal, size_t bytes)
{
    journal->read_offset += bytes;
}

void journal_forget(struct journal *journal, uint64_t applied)
{
    bool changed = false;

    for (;;) {
        pthread_mutex_lock(&journal->lock);
        bool done = journal->count > 1 && journal->segments[0].end <= applied + 1;
        uint32_t number = done ? journal->segments[0].number : 0;
        pthread_mutex_unlock(&journal->lock);
        if (!done)
            break;
        if (number == journal->read_number)
            close_fd(journal, &journal->read_fd);
        if (segment_unlink(journal, number) != 0 && errno != ENOENT) {
            atomic_fetch_add(&journal->errors, 1);
            break;
        }
        changed = true;
        pthread_mutex_lock(&journal->lock);
        list_remove_first(journal);
        pthread_mutex_unlock(&journal->lock);
    }
    if (changed && journal->files->sync_dir(journal->files->user, journal->folder_fd) != 0)
        atomic_fetch_add(&journal->errors, 1);
}
