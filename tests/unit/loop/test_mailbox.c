/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/rng.h"
#include "loop/mailbox.h"

enum {
    KIND = 3
};

struct reader {
    unsigned count;
    struct rng rng; /* repeats what the writer drew */
    struct slice pattern;
};

static bool post(struct mailbox *box, enum mailbox_class class, struct slice body)
{
    return mailbox_post(box, class, KIND, 1, &body, 1);
}

static void read_pattern(void *user, const struct letter *letter)
{
    struct reader *reader = user;

    assert_int_equal(KIND, letter->kind);
    assert_int_equal(1, letter->from);
    assert_int_equal(0, (uintptr_t)letter->body.data % 16);
    struct slice expected = {reader->pattern.data, rng_below(&reader->rng, MAILBOX_LETTER_MAX + 1)};
    assert_true(slice_equal(expected, letter->body));
    reader->count++;
}

static void letters_of_every_size_come_whole_and_in_order(void **state)
{
    (void)state;
    static char pattern[MAILBOX_LETTER_MAX];
    struct mailbox box;
    struct rng writer;
    struct rng steps;
    struct reader reader = {.pattern = {pattern, sizeof pattern}};
    unsigned posted = 0;

    assert_int_equal(OK, mailbox_open(&box, 1));
    assert_int_equal(MAILBOX_CAPACITY_MIN, box.capacity);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i * 31 + 1);
    rng_seed(&writer, 1);
    rng_seed(&reader.rng, 1);
    rng_seed(&steps, 2);
    for (unsigned step = 0; step < 3000; step++) {
        struct rng before = writer;
        size_t len = rng_below(&writer, MAILBOX_LETTER_MAX + 1);
        if (post(&box, MAILBOX_ORDINARY, (struct slice){pattern, len}))
            posted++;
        else
            writer = before;
        if (rng_below(&steps, 4) == 0)
            mailbox_read(&box, read_pattern, &reader, 5);
    }
    while (mailbox_read(&box, read_pattern, &reader, 5) > 0)
        continue;
    assert_int_equal(posted, reader.count);
    assert_true(posted > 1000 && posted < 3000);
    assert_int_equal(3000 - posted, atomic_load(&box.refused));
    mailbox_close(&box);
}

static void read_nothing(void *user, const struct letter *letter)
{
    (void)letter;
    ++*(unsigned *)user;
}

static void a_full_box_refuses_ordinary_letters_and_still_takes_receipts(void **state)
{
    (void)state;
    static char body[1008]; /* 1,024 with its head */
    struct slice letter = {body, sizeof body};
    struct mailbox box;
    unsigned ordinary = 0;
    unsigned reserved = 0;
    unsigned read = 0;

    assert_int_equal(OK, mailbox_open(&box, 1));
    assert_false(mailbox_pressed(&box));
    while (post(&box, MAILBOX_ORDINARY, letter))
        ordinary++;
    assert_int_equal((box.capacity - box.reserve) / 1024, ordinary);
    assert_true(mailbox_pressed(&box));
    while (post(&box, MAILBOX_RESERVED, letter))
        reserved++;
    assert_int_equal(box.reserve / 1024, reserved);
    assert_int_equal(2, atomic_load(&box.refused));
    assert_int_equal(1, mailbox_read(&box, read_nothing, &read, 1));
    assert_false(post(&box, MAILBOX_ORDINARY, letter));
    assert_true(post(&box, MAILBOX_RESERVED, letter));
    while (mailbox_read(&box, read_nothing, &read, 100) > 0)
        continue;
    assert_int_equal(ordinary + reserved + 1, read);
    assert_false(mailbox_pressed(&box));
    mailbox_close(&box);
}

static bool readable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, 0) == 1;
}

static void only_a_sleeping_reader_is_woken_and_only_once(void **state)
{
    (void)state;
    struct mailbox box;
    unsigned read = 0;

    assert_int_equal(OK, mailbox_open(&box, 1));
    post(&box, MAILBOX_ORDINARY, SLICE("a"));
    mailbox_ring(&box);
    assert_false(readable(box.wake_fd));
    assert_false(mailbox_sleep(&box)); /* there is a letter */
    mailbox_read(&box, read_nothing, &read, 10);
    assert_true(mailbox_sleep(&box));
    mailbox_ring(&box);
    assert_true(readable(box.wake_fd));
    mailbox_awake(&box, true);
    mailbox_ring(&box);
    assert_false(readable(box.wake_fd));
    mailbox_close(&box);
}

/* --- Threads ------------------------------------------------------------------------------- */

enum {
    WRITERS = 3,
    LETTERS = 20000
};

struct writer {
    struct mailbox *box;
    uint16_t number;
};

static void *writer_run(void *user)
{
    struct writer *writer = user;
    uint64_t parts[8] = {0};

    for (uint64_t n = 0; n < LETTERS;) {
        parts[0] = n;
        struct slice body[2] = {{(char *)parts, 8}, {(char *)parts, 8 * (n % 8)}};
        if (mailbox_post(writer->box, MAILBOX_ORDINARY, KIND, writer->number, body, 2))
            n++;
        mailbox_ring(writer->box);
    }
    return NULL;
}

struct tally {
    uint64_t next[WRITERS];
    uint64_t wrong;
    uint64_t total;
};

static void read_tally(void *user, const struct letter *letter)
{
    struct tally *tally = user;
    uint64_t n;

    memcpy(&n, letter->body.data, sizeof n);
    tally->wrong += n != tally->next[letter->from]++;
    tally->wrong += letter->body.len != 8 + 8 * (n % 8);
    tally->total++;
}

static void many_writers_keep_their_order_and_a_sleeping_reader_misses_nothing(void **state)
{
    (void)state;
    struct mailbox box;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    struct tally tally = {0};

    assert_int_equal(OK, mailbox_open(&box, 1));
    for (uint16_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.box = &box, .number = i};
        assert_int_equal(0, pthread_create(&threads[i], NULL, writer_run, &writers[i]));
    }
    while (tally.total < (uint64_t)WRITERS * LETTERS) {
        if (mailbox_read(&box, read_tally, &tally, 50) > 0 || !mailbox_sleep(&box))
            continue;
        struct pollfd poller = {.fd = box.wake_fd, .events = POLLIN};
        int ready = poll(&poller, 1, 10000);
        if (ready != 1)
            fail_msg("asleep with letters to come");
        mailbox_awake(&box, true);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(0, tally.wrong);
    mailbox_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_every_size_come_whole_and_in_order),
        cmocka_unit_test(a_full_box_refuses_ordinary_letters_and_still_takes_receipts),
        cmocka_unit_test(only_a_sleeping_reader_is_woken_and_only_once),
        cmocka_unit_test(many_writers_keep_their_order_and_a_sleeping_reader_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
