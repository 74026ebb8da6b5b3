/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - lines for the operator, written by a thread of their own.
 *
 * Whoever has something to say puts a record of fixed size into a ring and goes on. One thread
 * turns records into lines of text or JSON. Of one event, at most LOG_LINES_PER_EVENT_SECOND are
 * written a second, then one line that says how many were left out; a full ring loses records,
 * which is counted and said, too.
 *
 * Thread:  log_write() by any; several threads may share a writer.
 * Memory:  a ring of LOG_RING records per writer.
 * Limit:   LOG_TEXT_MAX bytes of text; the rest is cut off and marked.
 */
#ifndef LOOP_LOG_H
#define LOOP_LOG_H

#include "base/err.h"
#include "base/slice.h"

enum {
    LOG_RING = 1024,
    LOG_TEXT_MAX = 472,
    LOG_LINES_PER_EVENT_SECOND = 50,
    LOG_WRITERS_MAX = 288
};

enum log_level {
    LOG_ERROR = 1,
    LOG_WARNING,
    LOG_INFO,
    LOG_DEBUG
};

enum log_format {
    LOG_TEXT,
    LOG_JSON
};

struct log;
struct log_writer;

/** Starts the thread, which writes to `fd` (borrowed). */
MUST_CHECK enum err log_open(enum log_format format, enum log_level level, int fd,
                             struct log **out);

/** Writes out what is there and ends the thread. No writer is used any more. */
void log_close(struct log *log);

/** A ring of its own. `name` stands in every line; static. NULL: no memory, or too many. */
struct log_writer *log_writer(struct log *log, const char *name);

/** Would a line of this level be written? */
bool log_wants(const struct log_writer *writer, enum log_level level);

/** `event` is a short static word; `wall_ms` UTC, 0: now. Never waits. */
void log_write(struct log_writer *writer, enum log_level level, uint64_t wall_ms, const char *event,
               struct slice text);

/** Records lost because a ring was full, of all writers. */
uint64_t log_lost(const struct log *log);

/** The text in quotes as JSON wants it; every byte that is not printable ASCII is escaped. */
size_t log_escape(struct slice text, char *out, size_t capacity);

#endif
