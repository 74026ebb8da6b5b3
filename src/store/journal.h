/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/journal - segment files with one writer and one reader.
 *
 * Sequence numbers go on without a gap over segments and restarts. When a write or a sync fails,
 * its records' numbers are given out again in a new segment: a segment counts only up to the first
 * number of the next one, so what failed does not come back once something later was kept.
 * A segment is never written to again after a failure: after a failed sync the kernel may have
 * thrown the bytes away and call them clean.
 *
 * Thread:  journal_write() by the writer; journal_read() and journal_forget() by the reader.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/files.h"
#include "store/record.h"
#include "store/store.h"

enum {
    JOURNAL_PATH_MAX = 4096,
    JOURNAL_SEGMENT_BYTES = 16 << 20,
    JOURNAL_READ_BYTES = 4 << 20, /* at once, at least one record */
};

struct segment {
    uint32_t number;
    uint64_t first; /* sequence number of its first record */
    uint64_t end;   /* after its last good one */
    uint64_t bytes; /* header and good records: synced */
};

struct journal {
    const struct store_files *files; /* borrowed */
    char folder[JOURNAL_PATH_MAX];
    int folder_fd;
    uint64_t store;         /* goes into each header */
    uint64_t segment_bytes; /* a segment this long is followed by a new one */
    _Atomic uint64_t bytes; /* of all segments */
    _Atomic uint64_t errors;
    _Atomic uint32_t segment_count;
    _Atomic uint64_t next; /* sequence number; written by the writer */

    pthread_mutex_t lock; /* the list, between writer and reader; held for a few instructions */
    struct segment *segments;
    size_t count;
    size_t capacity;

    int write_fd; /* of the newest segment; -1: the next write begins one */
    uint32_t next_number;

    int read_fd; /* the reader's own */
    uint32_t read_number;
    uint64_t read_offset;
    char *read_buffer;
};

/** What journal_open() needs to know. */
struct journal_config {
    const struct store_files *files;
    const char *folder; /* made if it is not there */
    uint64_t store;
    uint64_t applied; /* the database has all up to this sequence number */
    uint64_t segment_bytes;
};

/** Looks at all that is there; ERR_SYNTAX with the place when something acknowledged is missing. */
MUST_CHECK enum err journal_open(struct journal *journal, const struct journal_config *config,
                                 struct store_problem *problem);
void journal_close(struct journal *journal);

/** Begins a segment if none is open. */
MUST_CHECK enum err journal_begin(struct journal *journal);

/**
 * Writes and syncs a group: `count` whole records with sequence numbers from journal->next on.
 * ERR_IO: nothing of it counts, and errno was the reason.
 */
MUST_CHECK enum err journal_write(struct journal *journal, struct slice group, uint32_t count);

/**
 * The next records to apply, whole ones, borrowed until the next call. ERR_NOT_FOUND: there is
 * nothing more. ERR_IO, ERR_SYNTAX: cannot be read, now or ever.
 */
MUST_CHECK enum err journal_read(struct journal *journal, struct slice *records);

/** The first `bytes` of what journal_read() gave need not be given again. */
void journal_advance(struct journal *journal, size_t bytes);

/** Deletes segments, but for the last, whose records are all applied. Errors are counted and tried
 * again. */
void journal_forget(struct journal *journal, uint64_t applied);

#endif
