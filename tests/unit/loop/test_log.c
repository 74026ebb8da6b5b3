/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loop/log.h"

static struct log *open_log(enum log_format format, int *fd)
{
    struct log *log;
    *fd = memfd_create("log", 0);
    assert_true(*fd >= 0);
    assert_int_equal(OK, log_open(format, LOG_INFO, *fd, &log));
    return log;
}

static struct log_writer *open_writer(struct log *log, const char *name)
{
    struct log_writer *writer = log_writer(log, name);
    assert_non_null(writer);
    return writer;
}

/* All that was written; to be freed. */
static char *read_all(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(size, pread(fd, text, (size_t)size, 0));
    close(fd);
    return text;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;
    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

static void a_line_is_text_or_json_and_never_carries_foreign_bytes(void **state)
{
    (void)state;
    static const uint64_t wall_ms = 1795210612123; /* 2026-11-20 */
    static const struct {
        enum log_format format;
        const char *line;
    } cases[] = {
        {LOG_TEXT,
         "2026-11-20T21:36:52.123Z warning [worker-1] register: a\\\"b\\\\\\u000a\\u00ff\n"},
        {LOG_JSON, "{\"time\":\"2026-11-20T21:36:52.123Z\",\"level\":\"warning\",\"thread\":"
                   "\"worker-1\",\"event\":\"register\",\"text\":\"a\\\"b\\\\\\u000a\\u00ff\"}\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int fd;
        struct log *log = open_log(cases[i].format, &fd);
        struct log_writer *writer = open_writer(log, "worker-1");
        log_write(writer, LOG_WARNING, wall_ms, "register", SLICE("a\"b\\\n\xff"));
        log_write(writer, LOG_DEBUG, wall_ms, "register", SLICE("not wanted"));
        log_close(log);
        char *text = read_all(fd);
        assert_string_equal(cases[i].line, text);
        free(text);
    }
}

static void the_longest_text_is_written_whole_and_one_more_byte_is_cut(void **state)
{
    (void)state;
    static char bytes[LOG_TEXT_MAX + 1];
    int fd;
    struct log *log = open_log(LOG_TEXT, &fd);
    struct log_writer *writer = open_writer(log, "main");

    memset(bytes, 'x', sizeof bytes);
    log_write(writer, LOG_INFO, 0, "a", (struct slice){bytes, LOG_TEXT_MAX});
    log_write(writer, LOG_INFO, 0, "b", (struct slice){bytes, LOG_TEXT_MAX + 1});
    log_close(log);
    char *text = read_all(fd);
    assert_non_null(strstr(text, "xx\n"));
    assert_non_null(strstr(text, "xx...\n"));
    free(text);
}

static void an_event_that_floods_is_cut_to_its_rate_and_says_so(void **state)
{
    (void)state;
    int fd;
    struct log *log = open_log(LOG_TEXT, &fd);
    struct log_writer *writer = open_writer(log, "main");

    for (unsigned i = 0; i < 500; i++)
        log_write(writer, LOG_INFO, 0, "flood", SLICE("x"));
    log_write(writer, LOG_INFO, 0, "other", SLICE("still heard"));
    log_close(log);
    char *text = read_all(fd);
    assert_true(count_lines(text) >= LOG_LINES_PER_EVENT_SECOND + 2);
    assert_true(count_lines(text) <= 2 * LOG_LINES_PER_EVENT_SECOND + 4);
    assert_non_null(strstr(text, "more in this second"));
    assert_non_null(strstr(text, "other: still heard"));
    free(text);
}

struct flooder {
    struct log_writer *writer;
};

static void *flood(void *user)
{
    struct flooder *flooder = user;
    for (unsigned i = 0; i < 20000; i++)
        log_write(flooder->writer, LOG_INFO, 0, "flood", SLICE("from a thread"));
    return NULL;
}

static void threads_may_share_a_writer_and_what_is_lost_is_counted(void **state)
{
    (void)state;
    int fd;
    struct log *log = open_log(LOG_JSON, &fd);
    struct flooder flooder = {open_writer(log, "api")};
    pthread_t threads[3];

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(0, pthread_create(&threads[i], NULL, flood, &flooder));
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    uint64_t lost = log_lost(log);
    log_close(log);
    char *text = read_all(fd);
    assert_true(lost < 60000);
    assert_true((lost > 0) == (strstr(text, "records lost") != NULL));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_text_or_json_and_never_carries_foreign_bytes),
        cmocka_unit_test(the_longest_text_is_written_whole_and_one_more_byte_is_cut),
        cmocka_unit_test(an_event_that_floods_is_cut_to_its_rate_and_says_so),
        cmocka_unit_test(threads_may_share_a_writer_and_what_is_lost_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
