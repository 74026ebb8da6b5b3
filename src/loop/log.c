/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/log.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/builder.h"

enum {
    LOG_EVENTS = 128,      /* events whose lines are counted; others share the last place */
    LOG_GATHER_MS = 10,    /* between waking and writing, so that a burst is one write */
    LOG_OUT_BYTES = 65536, /* written at once */
    LOG_LINE_MAX = 6 * LOG_TEXT_MAX + 256,
};

/* One line to be. `turn` says whose it is: the writers' or the reader's (Vyukov's bounded queue).
 */
struct record {
    _Atomic uint64_t turn;
    uint64_t wall_ms;
    const char *event;
    uint16_t len;
    uint8_t level;
    bool cut;
    char text[LOG_TEXT_MAX];
};

struct log_writer {
    struct log *log;
    const char *name;
    _Atomic uint64_t tail;
    _Atomic uint64_t lost;
    uint64_t head;      /* the logger's */
    uint64_t lost_said; /* the logger's */
    struct record records[LOG_RING];
};

/* How many lines of an event were written in this second. */
struct event_count {
    const char *event;
    uint32_t written;
    uint32_t left_out;
};

struct log {
    enum log_format format;
    enum log_level level;
    int fd;
    int wake_fd;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic bool asleep;
    _Atomic uint32_t writer_count;
    _Atomic(struct log_writer *) writers[LOG_WRITERS_MAX];
    struct event_count events[LOG_EVENTS];
    uint64_t second; /* of the counts */
    struct builder out;
    char out_bytes[LOG_OUT_BYTES];
};

static uint64_t wall_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- The writers' side ----------------------------------------------------------------------- */

bool log_wants(const struct log_writer *writer, enum log_level level)
{
    return level <= writer->log->level;
}

static void log_wake(struct log *log)
{
    if (!atomic_load_explicit(&log->asleep, memory_order_seq_cst))
        return;
    if (!atomic_exchange_explicit(&log->asleep, false, memory_order_seq_cst))
        return;
    uint64_t one = 1;
    ssize_t written = write(log->wake_fd, &one, sizeof one);
    (void)written;
}

/* A free record, ours alone until record_done(); NULL: the ring is full. */
static struct record *record_take(struct log_writer *writer, uint64_t *position)
{
    uint64_t tail = atomic_load_explicit(&writer->tail, memory_order_relaxed);

    for (;;) {
        struct record *record = &writer->records[tail % LOG_RING];
        uint64_t turn = atomic_load_explicit(&record->turn, memory_order_acquire);
        if (turn < tail)
            return NULL; /* still the reader's, from the round before */
        if (turn > tail) {
            tail = atomic_load_explicit(&writer->tail, memory_order_relaxed);
            continue;
        }
        if (atomic_compare_exchange_weak_explicit(&writer->tail, &tail, tail + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            *position = tail;
            return record;
        }
    }
}

void log_write(struct log_writer *writer, enum log_level level, uint64_t wall_ms, const char *event,
               struct slice text)
{
    if (!log_wants(writer, level))
        return;
    uint64_t position;
    struct record *record = record_take(writer, &position);
    if (record == NULL) {
        atomic_fetch_add_explicit(&writer->lost, 1, memory_order_relaxed);
        return;
    }
    record->wall_ms = wall_ms != 0 ? wall_ms : wall_now_ms();
    record->event = event;
    record->level = (uint8_t)level;
    record->cut = text.len > LOG_TEXT_MAX;
    record->len = (uint16_t)(record->cut ? LOG_TEXT_MAX : text.len);
    if (record->len > 0)
        memcpy(record->text, text.data, record->len);
    atomic_store_explicit(&record->turn, position + 1, memory_order_seq_cst);
    log_wake(writer->log);
}

/* --- Lines ----------------------------------------------------------------------------------- */

static const char *level_name(unsigned level)
{
    static const char *const names[] = {"none", "error", "warning", "info", "debug"};
    assert(level < COUNT_OF(names));
    return names[level];
}

size_t log_escape(struct slice text, char *out, size_t capacity)
{
    struct builder b = builder_over(out, capacity);

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\') {
            builder_char(&b, '\\');
            builder_char(&b, (char)c);
        } else if (c >= 0x20 && c < 0x7f) {
            builder_char(&b, (char)c);
        } else {
            builder_text(&b, "\\u");
            builder_hex(&b, c, 4);
        }
    }
    return b.len;
}

/* "2026-11-22T21:36:52.123Z" (RFC 3339). */
static void write_time(struct builder *b, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char text[64];

    gmtime_r(&seconds, &parts);
    int len = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
                       parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                       parts.tm_min, parts.tm_sec, (unsigned)(wall_ms % 1000));
    builder_add(b, (struct slice){text, (size_t)len});
}

static void log_out(struct log *log)
{
    struct slice rest = builder_slice(&log->out);

    while (rest.len > 0) {
        ssize_t written = write(log->fd, rest.data, rest.len);
        if (written <= 0)
            break; /* nobody listens; there is nowhere to say so */
        slice_take(&rest, (size_t)written);
    }
    log->out.len = 0;
}

static void log_line(struct log *log, uint64_t wall_ms, unsigned level, const char *writer,
                     const char *event, struct slice text, bool cut)
{
    char escaped[6 * LOG_TEXT_MAX];
    struct slice safe = {escaped, log_escape(text, escaped, sizeof escaped)};

    if (log->out.capacity - log->out.len < LOG_LINE_MAX)
        log_out(log);
    struct builder *b = &log->out;
    bool json = log->format == LOG_JSON;
    builder_add(b, json ? SLICE("{\"time\":\"") : SLICE(""));
    write_time(b, wall_ms);
    builder_add(b, json ? SLICE("\",\"level\":\"") : SLICE(" "));
    builder_add(b, slice_of(level_name(level)));
    builder_add(b, json ? SLICE("\",\"thread\":\"") : SLICE(" ["));
    builder_add(b, slice_of(writer));
    builder_add(b, json ? SLICE("\",\"event\":\"") : SLICE("] "));
    builder_add(b, slice_of(event));
    builder_add(b, json ? SLICE("\",\"text\":\"") : SLICE(": "));
    builder_add(b, safe);
    if (cut)
        builder_text(b, "...");
    builder_add(b, json ? SLICE("\"}\n") : SLICE("\n"));
}

/* --- The logger's side ----------------------------------------------------------------------- */

static struct event_count *event_find(struct log *log, const char *event)
{
    size_t at = 0;
    while (at < LOG_EVENTS - 1 && log->events[at].event != NULL &&
           strcmp(log->events[at].event, event) != 0)
        at++;
    log->events[at].event = event;
    return &log->events[at];
}

/* A new second: says what was left out in the last one. */
static void log_new_second(struct log *log, uint64_t now_ms)
{
    if (now_ms / 1000 == log->second)
        return;
    log->second = now_ms / 1000;
    for (size_t i = 0; i < LOG_EVENTS && log->events[i].event != NULL; i++) {
        struct event_count *count = &log->events[i];
        char text[64];
        if (count->left_out > 0) {
            int len = snprintf(text, sizeof text, "%u more in this second", count->left_out);
            log_line(log, now_ms, LOG_WARNING, "log", count->event,
                     (struct slice){text, (size_t)len}, false);
        }
        count->written = 0;
        count->left_out = 0;
    }
}

static void log_record(struct log *log, const struct log_writer *writer,
                       const struct record *record)
{
    struct event_count *count = event_find(log, record->event);

    if (count->written >= LOG_LINES_PER_EVENT_SECOND) {
        count->left_out++;
        return;
    }
    count->written++;
    log_line(log, record->wall_ms, record->level, writer->name, record->event,
             (struct slice){record->text, record->len}, record->cut);
}

/* Writes what one ring holds. True: there was something. */
static bool log_drain(struct log *log, struct log_writer *writer)
{
    bool any = false;

    for (unsigned n = 0; n < LOG_RING; n++) {
        struct record *record = &writer->records[writer->head % LOG_RING];
        if (atomic_load_explicit(&record->turn, memory_order_seq_cst) != writer->head + 1)
            break;
        log_record(log, writer, record);
        atomic_store_explicit(&record->turn, writer->head + LOG_RING, memory_order_release);
        writer->head++;
        any = true;
    }
    uint64_t lost = atomic_load_explicit(&writer->lost, memory_order_relaxed);
    if (lost != writer->lost_said) {
        char text[64];
        int len = snprintf(text, sizeof text, "%llu records lost: the ring was full",
                           (unsigned long long)(lost - writer->lost_said));
        log_line(log, wall_now_ms(), LOG_WARNING, writer->name, "log",
                 (struct slice){text, (size_t)len}, false);
        writer->lost_said = lost;
        any = true;
    }
    return any;
}

static bool log_drain_all(struct log *log)
{
    bool any = false;
    uint32_t count = atomic_load_explicit(&log->writer_count, memory_order_acquire);

    log_new_second(log, wall_now_ms());
    for (uint32_t i = 0; i < count && i < LOG_WRITERS_MAX; i++) {
        struct log_writer *writer = atomic_load_explicit(&log->writers[i], memory_order_acquire);
        if (writer != NULL)
            any |= log_drain(log, writer);
    }
    log_out(log);
    return any;
}

static bool log_has_left_out(const struct log *log)
{
    for (size_t i = 0; i < LOG_EVENTS && log->events[i].event != NULL; i++)
        if (log->events[i].left_out > 0)
            return true;
    return false;
}

static void *log_thread(void *user)
{
    struct log *log = user;

    pthread_setname_np(pthread_self(), "log");
    for (;;) {
        bool stopping = atomic_load(&log->stopping);
        if (log_drain_all(log))
            continue;
        if (stopping)
            break;
        atomic_store_explicit(&log->asleep, true, memory_order_seq_cst);
        if (log_drain_all(log))
            continue; /* one who writes now may wake us for nothing */
        struct pollfd wake = {.fd = log->wake_fd, .events = POLLIN};
        poll(&wake, 1, log_has_left_out(log) ? 1000 : -1);
        atomic_store_explicit(&log->asleep, false, memory_order_seq_cst);
        uint64_t count;
        ssize_t got = read(log->wake_fd, &count, sizeof count);
        (void)got;
        struct timespec gather = {.tv_nsec = LOG_GATHER_MS * 1000000L};
        if (!atomic_load(&log->stopping))
            nanosleep(&gather, NULL);
    }
    log->second = 0; /* whatever second it is, it is another */
    log_new_second(log, wall_now_ms());
    log_out(log);
    return NULL;
}

/* --- Opening and closing --------------------------------------------------------------------- */

enum err log_open(enum log_format format, enum log_level level, int fd, struct log **out)
{
    sigset_t all;
    sigset_t before;
    struct log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return ERR_MEMORY;
    log->format = format;
    log->level = level;
    log->fd = fd;
    log->out = builder_over(log->out_bytes, sizeof log->out_bytes);
    log->second = wall_now_ms() / 1000;
    log->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (log->wake_fd < 0)
        goto free_log;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&log->thread, NULL, log_thread, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0)
        goto close_wake;
    *out = log;
    return OK;

close_wake:
    close(log->wake_fd);
free_log:
    free(log);
    return ERR_IO;
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    atomic_store(&log->stopping, true);
    uint64_t one = 1;
    ssize_t written = write(log->wake_fd, &one, sizeof one);
    (void)written;
    pthread_join(log->thread, NULL);
    close(log->wake_fd);
    for (uint32_t i = 0; i < LOG_WRITERS_MAX; i++)
        free(atomic_load(&log->writers[i]));
    free(log);
}

struct log_writer *log_writer(struct log *log, const char *name)
{
    struct log_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    uint32_t place = atomic_fetch_add(&log->writer_count, 1);
    if (place >= LOG_WRITERS_MAX) {
        atomic_fetch_sub(&log->writer_count, 1);
        free(writer);
        return NULL;
    }
    writer->log = log;
    writer->name = name;
    for (uint64_t i = 0; i < LOG_RING; i++)
        atomic_init(&writer->records[i].turn, i);
    atomic_store_explicit(&log->writers[place], writer, memory_order_release);
    return writer;
}

uint64_t log_lost(const struct log *log)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < LOG_WRITERS_MAX; i++) {
        struct log_writer *writer = atomic_load_explicit(&log->writers[i], memory_order_acquire);
        if (writer != NULL)
            sum += atomic_load_explicit(&writer->lost, memory_order_relaxed);
    }
    return sum;
}
