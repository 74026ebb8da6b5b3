/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal by itself: its bytes, and a disk that tears, forgets and fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "store/crc32c.h"
#include "store/journal.h"
#include "store/ring.h"

/* --- Bytes ---------------------------------------------------------------------------------- */

static void the_checksum_is_crc32c(void **state)
{
    (void)state;
    uint8_t bytes[100];

    memset(bytes, 0, 32); /* RFC 3720 §B.4 */
    assert_int_equal(0x8a9136aa, crc32c(0, bytes, 32));
    memset(bytes, 0xff, 32);
    assert_int_equal(0x62a8ab43, crc32c(0, bytes, 32));
    for (size_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(0x46dd794e, crc32c(0, bytes, 32));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        assert_int_equal(crc32c_portable(0, bytes, len), crc32c(0, bytes, len));
        assert_int_equal(crc32c(0, bytes, len),
                         crc32c(crc32c(0, bytes, len / 3), bytes + len / 3, len - len / 3));
    }
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    static uint8_t bytes[RECORD_MAX];
    static char text[RECORD_VALUE_MAX];
    static const struct {
        size_t key, value;
    } sizes[] = {{0, 0}, {1, 0}, {0, 1}, {5, 300}, {RECORD_KEY_MAX, RECORD_VALUE_MAX}};

    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct record record = {
            .sequence = 9,
            .in_group = 3,
            .op = {.kind = 1, .key = {text, sizes[i].key}, .value = {text, sizes[i].value}}};
        struct record got;
        size_t length = 0;
        size_t size = record_bytes(&record.op);
        record_write(&record, bytes);
        assert_int_equal(OK, record_read((struct slice){(char *)bytes, size}, &got, &length));
        assert_int_equal(size, length);
        assert_int_equal(9, got.sequence);
        assert_int_equal(3, got.in_group);
        assert_true(slice_equal(record.op.key, got.op.key));
        assert_true(slice_equal(record.op.value, got.op.value));
        assert_int_equal(ERR_AGAIN,
                         record_read((struct slice){(char *)bytes, size - 1}, &got, &length));
    }
}

/* Three groups of two records in one segment. Returns its length; `ends` are the records' ends. */
enum {
    RECORDS = 6
};

static size_t make_segment(uint8_t *bytes, size_t ends[RECORDS + 1])
{
    struct segment_header header = {.store = 7, .first = 1, .number = 1};
    size_t len = SEGMENT_HEADER_BYTES;

    segment_header_write(&header, bytes);
    ends[0] = len;
    for (uint32_t i = 0; i < RECORDS; i++) {
        char value[8] = "value-?";
        value[6] = (char)('0' + i);
        struct record record = {
            .sequence = i + 1,
            .in_group = i % 2,
            .op = {.kind = 1, .key = SLICE("alice"), .value = {value, 7 - i % 3}}};
        record_write(&record, bytes + len);
        len += record_bytes(&record.op);
        ends[i + 1] = len;
    }
    return len;
}

static void a_tail_torn_at_any_byte_is_cut_off(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    size_t ends[RECORDS + 1];
    size_t len = make_segment(bytes, ends);
    struct segment_header header = {.store = 7, .first = 1, .number = 1};

    for (size_t cut = SEGMENT_HEADER_BYTES; cut <= len; cut++) {
        struct segment_scan scan;
        unsigned whole = 0;
        while (whole < RECORDS && ends[whole + 1] <= cut)
            whole++;
        /* exactly as long as it is, so that a read past the end is seen */
        char *exact = malloc(cut);
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_int_equal(OK, segment_scan((struct slice){exact, cut}, &header, UINT64_MAX, &scan));
        assert_int_equal(ends[whole], scan.bytes);
        assert_int_equal(whole + 1, scan.end);
        enum err err = segment_scan((struct slice){exact, cut}, &header, 5, &scan);
        assert_int_equal(whole >= 4 ? OK : ERR_SYNTAX, err);
        free(exact);
    }
}

static void damage_is_told_from_a_torn_tail(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    uint8_t copy[1024];
    size_t ends[RECORDS + 1];
    size_t len = make_segment(bytes, ends);
    struct segment_header header = {.store = 7, .first = 1, .number = 1};

    for (size_t at = SEGMENT_HEADER_BYTES; at < len; at++) {
        struct segment_scan scan;
        unsigned record = 0;
        while (ends[record + 1] <= at)
            record++;
        memcpy(copy, bytes, len);
        copy[at] ^= 0x10;
        enum err err = segment_scan((struct slice){(char *)copy, len}, &header, UINT64_MAX, &scan);
        /* groups 1 and 2 had been synced before the third was written */
        assert_int_equal(record < 4 ? ERR_SYNTAX : OK, err);
        assert_int_equal(ends[record], scan.bytes);
    }
}

static void a_header_must_be_sound(void **state)
{
    (void)state;
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    struct segment_header header = {.store = 7, .first = 3, .number = 2};
    struct segment_header got;

    segment_header_write(&header, bytes);
    assert_int_equal(OK, segment_header_read((struct slice){(char *)bytes, sizeof bytes}, &got));
    assert_int_equal(3, got.first);
    assert_int_equal(ERR_SYNTAX,
                     segment_header_read((struct slice){(char *)bytes, sizeof bytes - 1}, &got));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_int_equal(ERR_SYNTAX,
                         segment_header_read((struct slice){(char *)bytes, sizeof bytes}, &got));
        bytes[i] ^= 1;
    }
}

static void the_ring_keeps_order_and_says_when_it_is_full(void **state)
{
    (void)state;
    struct ring ring;
    struct rng rng;
    static char text[RECORD_VALUE_MAX];
    uint32_t put = 0;
    uint32_t taken = 0;
    unsigned full = 0;

    rng_seed(&rng, 1);
    assert_int_equal(OK, ring_init(&ring, 1));
    for (unsigned i = 0; i < 20000; i++) {
        size_t len = (size_t)rng_below(&rng, rng_below(&rng, 50) == 0 ? sizeof text : 300);
        struct durable_op op = {.kind = 1, .key = {(char *)&put, 4}, .value = {text, len}};
        memset(text, (int)put, len);
        if (ring_push(&ring, &op, (struct id){put, (uint32_t)len + 1}) == OK)
            put++;
        else
            full++;
        uint64_t cursor = ring_head(&ring);
        struct id token;
        for (uint64_t n = rng_below(&rng, 60) == 0 ? 100 : 0;
             n > 0 && ring_peek(&ring, &cursor, &op, &token); n--) {
            assert_int_equal(taken, token.slot);
            assert_int_equal(token.generation, op.value.len + 1);
            assert_memory_equal(&taken, op.key.data, 4);
            if (op.value.len > 0) {
                assert_int_equal((char)taken, op.value.data[0]);
                assert_int_equal((char)taken, op.value.data[op.value.len - 1]);
            }
            taken++;
        }
        ring_drop(&ring, cursor);
    }
    assert_true(full > 0);
    assert_true(taken > 1000);
    ring_release(&ring);
}

/* --- A disk --------------------------------------------------------------------------------- */

/*
 * Real files, and beside each what of it would be there after the power fails: bytes up to
 * `synced`, and its name once the folder was synced. What is removed is really gone only then, too.
 */
enum {
    FILES_MAX = 512,
    FDS_MAX = 4096,
    PATH_MAX_HERE = 160
};

struct disk_file {
    char path[PATH_MAX_HERE];
    off_t synced;
    off_t size;
    bool named;   /* its name is synced */
    bool removed; /* but the folder was not synced since */
    bool gone;
};

struct disk {
    struct rng rng;
    struct disk_file files[FILES_MAX];
    size_t count;
    int file_of[FDS_MAX];
    unsigned fail_one_in; /* of writes and syncs; 0: none */
    bool tearing;
};

static struct disk_file *file_at(struct disk *disk, const char *path)
{
    for (size_t i = disk->count; i-- > 0;)
        if (!disk->files[i].gone && strcmp(disk->files[i].path, path) == 0)
            return &disk->files[i];
    return NULL;
}

static bool fails(struct disk *disk)
{
    if (disk->fail_one_in == 0 || rng_below(&disk->rng, disk->fail_one_in) != 0)
        return false;
    errno = rng_below(&disk->rng, 2) == 0 ? EIO : ENOSPC;
    return true;
}

static int disk_open(void *user, const char *path, int flags, mode_t mode)
{
    struct disk *disk = user;

    if ((flags & O_CREAT) != 0 && fails(disk))
        return -1;
    int fd = store_files_system.open(NULL, path, flags, mode);
    if (fd < 0)
        return fd;
    assert_true(fd < FDS_MAX);
    disk->file_of[fd] = -1;
    if ((flags & O_DIRECTORY) != 0)
        return fd;
    struct disk_file *file = file_at(disk, path);
    if (file == NULL) {
        assert_true(disk->count < FILES_MAX);
        file = &disk->files[disk->count++];
        *file = (struct disk_file){0};
        snprintf(file->path, sizeof file->path, "%s", path);
    }
    disk->file_of[fd] = (int)(file - disk->files);
    return fd;
}

static ssize_t disk_write(void *user, int fd, const void *data, size_t len)
{
    struct disk *disk = user;
    struct disk_file *file = &disk->files[disk->file_of[fd]];

    if (fails(disk))
        return -1;
    if (len > 1 && rng_below(&disk->rng, 8) == 0)
        len = 1 + (size_t)rng_below(&disk->rng, len); /* a short write */
    ssize_t written = store_files_system.write(NULL, fd, data, len);
    if (written > 0)
        file->size += written;
    return written;
}

static ssize_t disk_read_at(void *user, int fd, void *data, size_t len, off_t offset)
{
    (void)user;
    return store_files_system.read_at(NULL, fd, data, len, offset);
}

/* A sync that fails may have brought some of it to the disk, or none. */
static int disk_sync(void *user, int fd)
{
    struct disk *disk = user;
    struct disk_file *file = &disk->files[disk->file_of[fd]];

    if (fails(disk)) {
        if (rng_below(&disk->rng, 2) == 0)
            file->synced = file->size;
        return -1;
    }
    file->synced = file->size;
    return 0;
}

static int disk_sync_dir(void *user, int fd)
{
    struct disk *disk = user;

    (void)fd;
    if (fails(disk))
        return -1;
    for (size_t i = 0; i < disk->count; i++) {
        struct disk_file *file = &disk->files[i];
        file->named = true;
        if (file->removed && !file->gone) {
            unlink(file->path);
            file->gone = true;
        }
    }
    return 0;
}

static int disk_truncate(void *user, int fd, off_t len)
{
    struct disk *disk = user;
    struct disk_file *file = &disk->files[disk->file_of[fd]];

    if (fails(disk) || rng_below(&disk->rng, 2) == 0)
        return -1;
    if (rng_below(&disk->rng, 2) == 0)
        return 0; /* never reaches the disk */
    file->size = len;
    if (file->synced > len)
        file->synced = len;
    return store_files_system.truncate(NULL, fd, len);
}

static int disk_unlink(void *user, const char *path)
{
    struct disk *disk = user;
    struct disk_file *file = file_at(disk, path);

    if (fails(disk))
        return -1;
    if (file != NULL)
        file->removed = true;
    return 0;
}

static int disk_close(void *user, int fd)
{
    (void)user;
    return store_files_system.close(NULL, fd);
}

/* The power fails: what was not synced is lost, torn, or there by luck. */
static void disk_crash(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        struct disk_file *file = &disk->files[i];
        if (file->gone)
            continue;
        bool lost = !file->named && rng_below(&disk->rng, 2) == 0;
        bool removed = file->removed && rng_below(&disk->rng, 2) == 0;
        if (lost || removed) {
            unlink(file->path);
            file->gone = true;
            continue;
        }
        off_t extra = file->size - file->synced;
        if (extra > 0) {
            off_t keep = file->synced + (off_t)rng_below(&disk->rng, (uint64_t)extra + 1);
            assert_int_equal(0, truncate(file->path, keep));
            if (keep > file->synced && rng_below(&disk->rng, 2) == 0) { /* a page that is zeros */
                int fd = open(file->path, O_WRONLY);
                char zero = 0;
                off_t at =
                    file->synced + (off_t)rng_below(&disk->rng, (uint64_t)(keep - file->synced));
                assert_int_equal(1, pwrite(fd, &zero, 1, at));
                close(fd);
            }
            file->size = keep;
        }
        file->synced = file->size;
        file->named = true;
        file->removed = false;
    }
}

/* --- A history ------------------------------------------------------------------------------ */

enum {
    HISTORY_MAX = 20000,
    TRIES_MAX = 64, /* groups that failed since the last good one */
    GROUP_MAX = 5
};

struct history {
    char folder[64];
    struct disk disk;
    struct store_files files;
    struct journal journal;
    uint32_t next_value;        /* every operation has its own */
    uint32_t kept[HISTORY_MAX]; /* the acknowledged, in order: number i has sequence i + 1 */
    size_t count;
    uint32_t tried[TRIES_MAX][GROUP_MAX];
    size_t tried_len[TRIES_MAX];
    size_t tries;
    uint64_t applied;
};

static void open_journal(struct history *h)
{
    struct store_problem problem = {{0}};
    const struct journal_config config = {.files = &h->files,
                                          .folder = h->folder,
                                          .store = 7,
                                          .applied = h->applied,
                                          .segment_bytes = 500};

    h->disk.fail_one_in = 0;
    if (journal_open(&h->journal, &config, &problem) != OK)
        fail_msg("%s", problem.text);
}

/* Reads all that is not applied into `out`. */
static size_t read_all(struct history *h, uint32_t *out)
{
    struct slice records;
    size_t count = 0;
    uint64_t last = h->applied;

    while (journal_read(&h->journal, &records) == OK) {
        size_t used = 0;
        while (used < records.len) {
            struct record record;
            size_t length;
            assert_int_equal(OK, record_read(slice_from(records, used), &record, &length));
            used += length;
            if (record.sequence <= h->applied)
                continue;
            assert_int_equal(++last, record.sequence);
            assert_int_equal(4, record.op.value.len > 4 ? 4 : record.op.value.len);
            memcpy(&out[count++], record.op.value.data, 4);
        }
        journal_advance(&h->journal, used);
    }
    return count;
}

static bool is_prefix(const uint32_t *values, size_t count, const uint32_t *of, size_t of_count)
{
    return count <= of_count && memcmp(values, of, count * sizeof *values) == 0;
}

/* After a restart: all acknowledged is there, in order; at most the end of what failed beside it.
 */
static void check_recovered(struct history *h)
{
    static uint32_t values[HISTORY_MAX];
    size_t count = read_all(h, values);
    size_t kept = h->count - h->applied;

    assert_true(count >= kept);
    assert_memory_equal(h->kept + h->applied, values, kept * sizeof *values);
    bool explained = count == kept;
    for (size_t i = 0; i < h->tries && !explained; i++)
        explained = is_prefix(values + kept, count - kept, h->tried[i], h->tried_len[i]);
    assert_true(explained);
    memcpy(h->kept + h->applied, values, count * sizeof *values);
    h->count = h->applied + count;
    assert_int_equal(h->count + 1, atomic_load(&h->journal.next));
    h->tries = 0;
}

static void write_group(struct history *h)
{
    uint8_t bytes[GROUP_MAX * 256];
    uint32_t values[GROUP_MAX];
    size_t len = 0;
    uint32_t count = 1 + (uint32_t)rng_below(&h->disk.rng, GROUP_MAX);
    uint64_t next = atomic_load(&h->journal.next);

    for (uint32_t i = 0; i < count; i++) {
        char value[100] = {0};
        values[i] = ++h->next_value;
        memcpy(value, &values[i], 4);
        struct record record = {.sequence = next + i,
                                .in_group = i,
                                .op = {.kind = 1,
                                       .key = SLICE("k"),
                                       .value = {value, 4 + (size_t)rng_below(&h->disk.rng, 96)}}};
        record_write(&record, bytes + len);
        len += record_bytes(&record.op);
    }
    if (journal_write(&h->journal, (struct slice){(char *)bytes, len}, count) == OK) {
        memcpy(h->kept + h->count, values, count * sizeof *values);
        h->count += count;
        h->tries = 0;
        return;
    }
    if (h->tries == TRIES_MAX)
        h->disk.fail_one_in = 0; /* let it recover, else the history of tries is too long */
    else {
        memcpy(h->tried[h->tries], values, count * sizeof *values);
        h->tried_len[h->tries++] = count;
    }
}

/* The reader applies what there is, and forgets. */
static void apply(struct history *h)
{
    static uint32_t values[HISTORY_MAX];
    size_t count = read_all(h, values);

    assert_int_equal(h->count - h->applied, count);
    assert_memory_equal(h->kept + h->applied, values, count * sizeof *values);
    h->applied = h->count;
    journal_forget(&h->journal, h->applied);
}

static void remove_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char name[512];
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        unlink(name);
    }
    if (folder != NULL)
        closedir(folder);
    rmdir(path);
}

static struct history *history_new(uint64_t seed)
{
    struct history *h = calloc(1, sizeof *h);
    assert_non_null(h);
    snprintf(h->folder, sizeof h->folder, "%s/strowger-journal-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(h->folder));
    rng_seed(&h->disk.rng, seed);
    h->files = (struct store_files){.user = &h->disk,
                                    .open = disk_open,
                                    .write = disk_write,
                                    .read_at = disk_read_at,
                                    .sync = disk_sync,
                                    .sync_dir = disk_sync_dir,
                                    .truncate = disk_truncate,
                                    .unlink = disk_unlink,
                                    .close = disk_close};
    return h;
}

static void history_free(struct history *h)
{
    remove_folder(h->folder);
    free(h);
}

static void nothing_acknowledged_is_lost_whatever_the_disk_does(void **state)
{
    (void)state;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct history *h = history_new(seed);
        for (unsigned life = 0; life < 8; life++) {
            open_journal(h);
            check_recovered(h);
            if (rng_below(&h->disk.rng, 3) == 0) { /* killed while it replays: once more */
                journal_close(&h->journal);
                continue;
            }
            h->applied = h->count; /* as the store does before it takes anything */
            h->disk.fail_one_in = seed % 3 == 0 ? 0 : 4 + (unsigned)rng_below(&h->disk.rng, 40);
            for (uint64_t n = rng_below(&h->disk.rng, 40); n > 0; n--) {
                write_group(h);
                if (rng_below(&h->disk.rng, 10) == 0)
                    apply(h);
            }
            journal_close(&h->journal);
            if (rng_below(&h->disk.rng, 4) != 0)
                disk_crash(&h->disk);
        }
        history_free(h);
    }
}

static void applied_segments_go_and_the_rest_stays(void **state)
{
    (void)state;
    struct history *h = history_new(1);

    open_journal(h);
    for (unsigned i = 0; i < 50; i++)
        write_group(h);
    uint32_t before = atomic_load(&h->journal.segment_count);
    assert_true(before > 5);
    apply(h);
    assert_int_equal(1, atomic_load(&h->journal.segment_count));
    write_group(h);
    journal_close(&h->journal);
    open_journal(h);
    check_recovered(h);
    journal_close(&h->journal);
    history_free(h);
}

/* Changes one byte of a segment's file. */
static void spoil(const struct history *h, unsigned number, off_t at)
{
    char path[PATH_MAX_HERE];
    char byte;

    snprintf(path, sizeof path, "%s/%06u.j", h->folder, number);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(1, pread(fd, &byte, 1, at));
    byte ^= 0x55;
    assert_int_equal(1, pwrite(fd, &byte, 1, at));
    close(fd);
}

static enum err open_spoiled(struct history *h, struct store_problem *problem)
{
    const struct journal_config config = {.files = &h->files,
                                          .folder = h->folder,
                                          .store = 7,
                                          .applied = h->applied,
                                          .segment_bytes = 500};
    return journal_open(&h->journal, &config, problem);
}

static void damage_in_the_middle_is_reported_with_its_place(void **state)
{
    (void)state;
    struct history *h = history_new(3);
    struct store_problem problem = {{0}};

    open_journal(h);
    for (unsigned i = 0; i < 20; i++)
        write_group(h);
    journal_close(&h->journal);
    spoil(h, 2, 60);
    assert_int_equal(ERR_SYNTAX, open_spoiled(h, &problem));
    assert_non_null(strstr(problem.text, "000002.j: record "));
    assert_non_null(strstr(problem.text, "is damaged though it had been acknowledged"));
    spoil(h, 2, 60);
    spoil(h, 2, 3);
    assert_int_equal(ERR_SYNTAX, open_spoiled(h, &problem));
    assert_non_null(strstr(problem.text, "000002.j: the segment's header is damaged"));
    spoil(h, 2, 3);
    char path[PATH_MAX_HERE];
    snprintf(path, sizeof path, "%s/000001.j", h->folder);
    unlink(path);
    assert_int_equal(ERR_SYNTAX, open_spoiled(h, &problem));
    assert_non_null(strstr(problem.text, "are missing"));
    history_free(h);
}

static void a_foreign_journal_is_refused(void **state)
{
    (void)state;
    struct history *h = history_new(3);
    struct store_problem problem = {{0}};

    open_journal(h);
    write_group(h);
    journal_close(&h->journal);
    const struct journal_config config = {
        .files = &h->files, .folder = h->folder, .store = 8, .segment_bytes = 500};
    assert_int_equal(ERR_CONFLICT, journal_open(&h->journal, &config, &problem));
    assert_non_null(strstr(problem.text, "belongs to another database"));
    history_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_crc32c),
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(a_tail_torn_at_any_byte_is_cut_off),
        cmocka_unit_test(damage_is_told_from_a_torn_tail),
        cmocka_unit_test(a_header_must_be_sound),
        cmocka_unit_test(the_ring_keeps_order_and_says_when_it_is_full),
        cmocka_unit_test(nothing_acknowledged_is_lost_whatever_the_disk_does),
        cmocka_unit_test(applied_segments_go_and_the_rest_stays),
        cmocka_unit_test(damage_in_the_middle_is_reported_with_its_place),
        cmocka_unit_test(a_foreign_journal_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
