/* SPDX-License-Identifier: Apache-2.0 */
/* Real threads: letters, timers, descriptors and orders to all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop.h"

enum {
    WORKERS = 3
};

struct fixture {
    struct quiesce quiesce;
    struct loops *loops;
    sem_t done;
    _Atomic unsigned count;
    _Atomic unsigned began;
    _Atomic unsigned ended;
    uint64_t sum; /* guarded by whoever posts `done` last */
};

static bool wait_done(sem_t *done)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    return sem_timedwait(done, &until) == 0;
}

static struct fixture *fixture_open(void)
{
    struct fixture *f = aligned_alloc(alignof(struct fixture), sizeof *f);
    assert_non_null(f);
    memset((void *)f, 0, sizeof *f);
    quiesce_init(&f->quiesce);
    sem_init(&f->done, 0, 0);
    struct loops_config config = {.workers = WORKERS, .quiesce = &f->quiesce};
    assert_int_equal(OK, loops_open(&config, &f->loops));
    return f;
}

static void fixture_close(struct fixture *f)
{
    loops_stop(f->loops);
    loops_close(f->loops);
    sem_destroy(&f->done);
    free(f);
}

/* A letter goes round all workers until its number is 0. */
struct runner {
    struct fixture *f;
    struct loop *loop;
};

static void on_round(void *user, const struct letter *letter)
{
    struct runner *runner = user;
    uint64_t left;

    memcpy(&left, letter->body.data, sizeof left);
    if (left == 0) {
        sem_post(&runner->f->done);
        return;
    }
    left--;
    struct slice body = {(const char *)&left, sizeof left};
    unsigned next = (loop_worker(runner->loop) + 1) % WORKERS;
    assert_true(loop_post(runner->loop, next, MAILBOX_ORDINARY, LETTER_CORE, &body, 1));
}

static void letters_go_round_between_sleeping_workers(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct runner runners[WORKERS];
    uint64_t left = 20000;
    struct slice body = {(const char *)&left, sizeof left};

    for (unsigned i = 0; i < WORKERS; i++) {
        runners[i] = (struct runner){f, loops_at(f->loops, i)};
        loop_on_letter(runners[i].loop, LETTER_CORE, on_round, &runners[i]);
    }
    assert_true(loops_post(f->loops, 0, MAILBOX_ORDINARY, LETTER_CORE, &body, 1)); /* early */
    assert_int_equal(OK, loops_start(f->loops));
    assert_true(wait_done(&f->done));
    struct loop_counters counters;
    loops_counters(f->loops, 0, &counters);
    assert_true(counters.letters >= 6666);
    assert_int_equal(0, counters.letters_refused);
    fixture_close(f);
}

/* A descriptor that is readable as soon as it was read: events without end. */
struct spring {
    struct fixture *f;
    struct loop *loop;
    struct loop_watch watch;
    unsigned served;
};

static void on_spring(struct loop_watch *watch, uint32_t events)
{
    struct spring *spring = CONTAINER_OF(watch, struct spring, watch);

    assert_true((events & EPOLLIN) != 0);
    spring->served++;
    atomic_store(&spring->f->count, spring->served);
}

static void spring_begin(void *user)
{
    struct spring *spring = user;
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* never read: always readable */
    assert_true(fd >= 0);
    assert_int_equal(OK, loop_watch(spring->loop, &spring->watch, fd, EPOLLIN, on_spring));
}

static void spring_end(void *user)
{
    struct spring *spring = user;
    loop_unwatch(spring->loop, &spring->watch);
    close(spring->watch.fd);
}

static void events_that_come_thick_are_served_together(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct spring spring = {.f = f, .loop = loops_at(f->loops, 0)};
    struct loop_hooks hooks = {.user = &spring, .begin = spring_begin, .end = spring_end};

    loop_set_hooks(spring.loop, &hooks);
    assert_int_equal(OK, loops_start(f->loops));
    struct loop_counters counters = {0};
    for (unsigned i = 0; i < 5000 && counters.pauses < 20; i++) {
        poll(NULL, 0, 2);
        loops_counters(f->loops, 0, &counters);
    }
    assert_true(counters.pauses >= 20);
    unsigned before = atomic_load(&f->count);
    while (atomic_load(&f->count) == before) /* it is still served */
        poll(NULL, 0, 1);
    fixture_close(f);
}

static void on_numbered(void *user, const struct letter *letter)
{
    struct fixture *f = user;
    uint64_t number;

    memcpy(&number, letter->body.data, sizeof number);
    assert(number == atomic_load(&f->count));
    atomic_fetch_add(&f->count, 1);
}

static bool post_number(struct fixture *f, bool patiently, uint64_t number)
{
    static const char ballast[1000];
    const struct slice parts[] = {{(const char *)&number, sizeof number},
                                  {ballast, sizeof ballast}};

    return patiently ? loops_post_patiently(f->loops, 1, MAILBOX_RESERVED, LETTER_RECEIPT, parts, 2)
                     : loops_post(f->loops, 1, MAILBOX_RESERVED, LETTER_RECEIPT, parts, 2);
}

static void who_may_wait_finds_room_in_a_full_mailbox(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    uint64_t number = 0;

    loop_on_letter(loops_at(f->loops, 1), LETTER_RECEIPT, on_numbered, f);
    while (post_number(f, false, number))
        number++;
    assert_true(number > 100);
    assert_int_equal(OK, loops_start(f->loops));
    for (unsigned i = 0; i < 20000; i++)
        assert_true(post_number(f, true, number++));
    loops_stop(f->loops); /* comes after all of them */
    assert_int_equal(number, atomic_load(&f->count));
    fixture_close(f);
}

static void count_one(void *user, unsigned worker)
{
    struct fixture *f = user;
    (void)worker;
    atomic_fetch_add(&f->count, 1);
}

static void all_done(void *user, unsigned worker)
{
    struct fixture *f = user;
    (void)worker;
    f->sum = atomic_load(&f->count);
    sem_post(&f->done);
}

static void an_order_to_all_is_done_when_the_last_has_carried_it_out(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();

    assert_int_equal(OK, loops_start(f->loops));
    for (unsigned round = 1; round <= 50; round++) {
        assert_int_equal(OK, loops_run_everywhere(f->loops, count_one, all_done, f));
        assert_true(wait_done(&f->done));
        assert_int_equal(round * WORKERS, f->sum);
    }
    fixture_close(f);
}

struct ticker {
    struct timer timer;
    struct fixture *f;
    struct loop *loop;
    uint64_t due_ms;
    unsigned left;
};

static void on_tick(struct timer *timer, uint64_t now_ms)
{
    struct ticker *ticker = CONTAINER_OF(timer, struct ticker, timer);

    assert_true(now_ms >= ticker->due_ms);
    if (ticker->left-- == 0) {
        sem_post(&ticker->f->done);
        return;
    }
    ticker->due_ms = now_ms + 3;
    timer_start(loop_timers(ticker->loop), timer, ticker->due_ms);
}

static void timers_run_without_anybody_waking_the_loop(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct ticker ticker = {.timer.fn = on_tick, .f = f, .loop = loops_at(f->loops, 1), .left = 10};

    timer_start(loop_timers(ticker.loop), &ticker.timer, loop_now_ms(ticker.loop) + 1);
    assert_int_equal(OK, loops_start(f->loops));
    assert_true(wait_done(&f->done));
    fixture_close(f);
}

struct pipe_end {
    struct loop_watch watch;
    struct loop_watch *other; /* taken off in the same turn */
    struct loop *loop;
    struct fixture *f;
};

static void on_readable(struct loop_watch *watch, uint32_t events)
{
    struct pipe_end *end = CONTAINER_OF(watch, struct pipe_end, watch);

    assert_true((events & EPOLLIN) != 0);
    atomic_fetch_add(&end->f->count, 1);
    loop_unwatch(end->loop, end->other);
    loop_unwatch(end->loop, watch);
    sem_post(&end->f->done);
}

static void a_watch_taken_off_is_not_served_even_if_its_event_was_read(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct loop *loop = loops_at(f->loops, 0);
    struct pipe_end ends[2] = {{.loop = loop, .f = f}, {.loop = loop, .f = f}};
    int pipes[2][2];

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(0, pipe(pipes[i]));
        assert_int_equal(1, write(pipes[i][1], "x", 1));
        ends[i].other = &ends[1 - i].watch;
        assert_int_equal(OK, loop_watch(loop, &ends[i].watch, pipes[i][0], EPOLLIN, on_readable));
    }
    assert_int_equal(OK, loops_start(f->loops));
    assert_true(wait_done(&f->done));
    loops_stop(f->loops);
    assert_int_equal(1, atomic_load(&f->count));
    for (unsigned i = 0; i < 2; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
    fixture_close(f);
}

static void hook_begin(void *user)
{
    struct fixture *f = user;
    atomic_fetch_add(&f->began, 1);
}

static bool hook_run(void *user)
{
    struct fixture *f = user;
    return atomic_fetch_add(&f->count, 1) < 1000; /* asks for more: the loop must not sleep */
}

static uint64_t hook_next(void *user)
{
    (void)user;
    return UINT64_MAX;
}

static bool hook_flush(void *user)
{
    struct fixture *f = user;
    if (atomic_load(&f->count) == 1001)
        sem_post(&f->done);
    return false;
}

static void hook_end(void *user)
{
    struct fixture *f = user;
    atomic_fetch_add(&f->ended, 1);
}

static void hooks_are_called_and_work_left_over_keeps_the_loop_awake(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct loop_hooks hooks = {f, hook_begin, hook_next, hook_run, hook_flush, hook_end};

    loop_set_hooks(loops_at(f->loops, 2), &hooks);
    assert_int_equal(OK, loops_start(f->loops));
    assert_true(wait_done(&f->done));
    loops_stop(f->loops);
    assert_int_equal(1, atomic_load(&f->began));
    assert_int_equal(1, atomic_load(&f->ended));
    fixture_close(f);
}

struct late_end {
    struct loop_watch watch;
    struct loop *loop;
    struct fixture *f;
};

/* Notes how late its turn is, and dawdles: the next one is late. */
static void on_late(struct loop_watch *watch, uint32_t events)
{
    struct late_end *end = CONTAINER_OF(watch, struct late_end, watch);
    char byte;

    (void)events;
    assert_int_equal(1, read(watch->fd, &byte, 1));
    end->f->sum = loop_late_ms(end->loop);
    if (byte == 'd')
        poll(NULL, 0, 50);
    else
        sem_post(&end->f->done);
}

static void a_turn_after_a_long_one_knows_that_it_is_late(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct late_end end = {.loop = loops_at(f->loops, 0), .f = f};
    int pipes[2];

    assert_int_equal(0, pipe(pipes));
    assert_int_equal(OK, loop_watch(end.loop, &end.watch, pipes[0], EPOLLIN, on_late));
    assert_int_equal(OK, loops_start(f->loops));
    assert_int_equal(2, write(pipes[1], "dn", 2)); /* one is read a turn */
    assert_true(wait_done(&f->done));
    assert_in_range(f->sum, 50, 20000);
    assert_int_equal(1, write(pipes[1], "n", 1)); /* the turn before was short */
    assert_true(wait_done(&f->done));
    assert_in_range(f->sum, 0, 49);
    loops_stop(f->loops);
    close(pipes[0]);
    close(pipes[1]);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_go_round_between_sleeping_workers),
        cmocka_unit_test(events_that_come_thick_are_served_together),
        cmocka_unit_test(who_may_wait_finds_room_in_a_full_mailbox),
        cmocka_unit_test(an_order_to_all_is_done_when_the_last_has_carried_it_out),
        cmocka_unit_test(timers_run_without_anybody_waking_the_loop),
        cmocka_unit_test(a_watch_taken_off_is_not_served_even_if_its_event_was_read),
        cmocka_unit_test(hooks_are_called_and_work_left_over_keeps_the_loop_awake),
        cmocka_unit_test(a_turn_after_a_long_one_knows_that_it_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
