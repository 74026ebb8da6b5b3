/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 128,
    LETTERS_PER_TURN = 256,
    TIMERS_PER_TURN = 256,
    /*
     * Waking up costs more than serving a message or two. While events come thick, a turn that was
     * short is followed by a pause in which more come together; see pause_for_more().
     */
    PAUSE_US = 1000,       /* from one turn's begin to the next */
    PAUSE_BUSY_US = 500,   /* longer turns gather enough by themselves */
    PAUSE_GAP_US = 2000,   /* events further apart are served at once */
    PAUSE_AFTER = 16,      /* turns that were close to each other */
    ROOM_WAIT_MS = 1,      /* between two tries of one who may wait */
    ROOM_TRIES_MAX = 5000, /* a worker that reads no letters for 5 s is stuck */
};

struct letter_reader {
    mailbox_read_fn *read;
    void *user;
};

struct loop {
    struct loops *all;
    unsigned worker;
    unsigned seat; /* in the quiesce */
    int epoll_fd;
    bool started;
    bool stopping; /* set by a letter */
    bool again;    /* work is left: the next wait is none */
    bool woken;    /* the mailbox's descriptor was readable in this turn */
    bool no_pwait2;
    uint64_t now_us, wall_ms;
    uint64_t event_us;    /* begin of the last turn that had events */
    uint64_t turn_us;     /* how long the last turn took */
    unsigned close_turns; /* turns with events, each soon after the one before */
    uint64_t ended_us;    /* the turn before */
    uint64_t abreast_us;  /* a turn began with everything that was ready */
    uint64_t late_us;
    struct loop_hooks hooks;
    struct letter_reader readers[LETTER_KINDS];
    struct loop_watch wake;
    struct epoll_event events[EVENTS_PER_TURN];
    int event_count;                            /* of `events`, while they are served */
    uint64_t written_to[LOOP_WORKERS_MAX / 64]; /* bits: mailboxes to ring when the turn ends */
    struct timer_wheel wheel;
    pthread_t thread;
    _Atomic uint64_t turns, letters, busy_us, pauses;
    struct mailbox mailbox;
};

struct loops {
    struct quiesce *quiesce;
    unsigned workers;
    struct loop **items;
};

/* What LETTER_RUN carries. */
struct run_order {
    loop_run_fn *fn;
    void *user;
};

static void read_clocks(struct loop *loop)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    loop->now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    clock_gettime(CLOCK_REALTIME, &now);
    loop->wall_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void counter_add(_Atomic uint64_t *counter, uint64_t more)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

unsigned loop_worker(const struct loop *loop)
{
    return loop->worker;
}

unsigned loop_workers(const struct loop *loop)
{
    return loop->all->workers;
}

uint64_t loop_now_ms(const struct loop *loop)
{
    return loop->now_us / 1000;
}

uint64_t loop_wall_ms(const struct loop *loop)
{
    return loop->wall_ms;
}

uint32_t loop_late_ms(const struct loop *loop)
{
    return (uint32_t)(loop->late_us / 1000);
}

struct timer_wheel *loop_timers(struct loop *loop)
{
    return &loop->wheel;
}

void loop_set_hooks(struct loop *loop, const struct loop_hooks *hooks)
{
    loop->hooks = *hooks;
}

void loop_on_letter(struct loop *loop, enum letter_kind kind, mailbox_read_fn *read, void *user)
{
    assert(kind > LETTER_RUN && kind < LETTER_KINDS);
    loop->readers[kind] = (struct letter_reader){read, user};
}

/* --- Watches --------------------------------------------------------------------------------- */

enum err loop_watch(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
                    loop_watch_fn *fn)
{
    assert(fd >= 0);
    assert(!watch->watched || watch->fd == fd);

    watch->fn = fn;
    if (watch->watched && watch->events == events)
        return OK;
    struct epoll_event event = {.events = events, .data = {.ptr = watch}};
    int how = watch->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(loop->epoll_fd, how, fd, &event) != 0)
        return ERR_IO;
    watch->fd = fd;
    watch->events = events;
    watch->watched = true;
    return OK;
}

void loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
    if (!watch->watched)
        return;
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->watched = false;
    /* It may be among the events of this very turn, still to be served. */
    for (int i = 0; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
}

static void on_wake(struct loop_watch *watch, uint32_t events)
{
    (void)events;
    CONTAINER_OF(watch, struct loop, wake)->woken = true;
}

/* --- Letters --------------------------------------------------------------------------------- */

bool loop_post(struct loop *loop, unsigned worker, enum mailbox_class class, enum letter_kind kind,
               const struct slice *parts, size_t part_count)
{
    assert(worker < loop->all->workers);

    struct mailbox *mailbox = &loop->all->items[worker]->mailbox;
    if (!mailbox_post(mailbox, class, (uint16_t)kind, (uint16_t)loop->worker, parts, part_count))
        return false;
    loop->written_to[worker / 64] |= UINT64_C(1) << worker % 64;
    return true;
}

bool loops_post(struct loops *loops, unsigned worker, enum mailbox_class class,
                enum letter_kind kind, const struct slice *parts, size_t part_count)
{
    assert(worker < loops->workers);

    struct mailbox *mailbox = &loops->items[worker]->mailbox;
    bool posted =
        mailbox_post(mailbox, class, (uint16_t)kind, LETTER_FROM_OUTSIDE, parts, part_count);
    if (posted)
        mailbox_ring(mailbox);
    return posted;
}

static void wait_for_room(void)
{
    struct timespec pause = {.tv_nsec = ROOM_WAIT_MS * 1000000L};
    nanosleep(&pause, NULL);
}

bool loops_post_patiently(struct loops *loops, unsigned worker, enum mailbox_class class,
                          enum letter_kind kind, const struct slice *parts, size_t part_count)
{
    for (unsigned tries = 0; tries < ROOM_TRIES_MAX; tries++) {
        if (loops_post(loops, worker, class, kind, parts, part_count))
            return true;
        wait_for_room();
    }
    return false;
}

bool loops_run_in(struct loops *loops, unsigned worker, loop_run_fn *fn, void *user)
{
    struct run_order order = {fn, user};
    struct slice body = {(const char *)&order, sizeof order};
    return loops_post(loops, worker, MAILBOX_RESERVED, LETTER_RUN, &body, 1);
}

/* An order to all, and how many have not yet carried it out. */
struct everywhere {
    loop_run_fn *fn;
    loop_run_fn *done;
    void *user;
    _Atomic unsigned left;
};

static void run_everywhere(void *user, unsigned worker)
{
    struct everywhere *order = user;

    order->fn(order->user, worker);
    if (atomic_fetch_sub_explicit(&order->left, 1, memory_order_acq_rel) != 1)
        return;
    if (order->done != NULL)
        order->done(order->user, worker);
    free(order);
}

enum err loops_run_everywhere(struct loops *loops, loop_run_fn *fn, loop_run_fn *done, void *user)
{
    struct everywhere *order = malloc(sizeof *order);
    if (order == NULL)
        return ERR_MEMORY;
    *order = (struct everywhere){.fn = fn, .done = done, .user = user};
    atomic_init(&order->left, loops->workers);
    for (unsigned worker = 0; worker < loops->workers; worker++) {
        unsigned tries = 0;
        while (!loops_run_in(loops, worker, run_everywhere, order)) {
            tries++;
            assert(tries < ROOM_TRIES_MAX);
            wait_for_room();
        }
    }
    return OK;
}

static void read_letter(void *user, const struct letter *letter)
{
    struct loop *loop = user;

    if (letter->kind == LETTER_RUN) {
        struct run_order order;
        assert(letter->body.len == sizeof order);
        memcpy(&order, letter->body.data, sizeof order);
        order.fn(order.user, loop->worker);
        return;
    }
    assert(letter->kind < LETTER_KINDS);
    const struct letter_reader *reader = &loop->readers[letter->kind];
    if (reader->read != NULL)
        reader->read(reader->user, letter);
}

bool loop_pressed(const struct loop *loop)
{
    for (unsigned i = 0; i < loop->all->workers; i++)
        if (mailbox_pressed(&loop->all->items[i]->mailbox))
            return true;
    return false;
}

/* Wakes whom we have written to, each once. */
static void ring_mailboxes(struct loop *loop)
{
    for (unsigned word = 0; word < COUNT_OF(loop->written_to); word++) {
        uint64_t bits = loop->written_to[word];
        loop->written_to[word] = 0;
        for (; bits != 0; bits &= bits - 1) {
            unsigned worker = word * 64 + (unsigned)__builtin_ctzll((unsigned long long)bits);
            mailbox_ring(&loop->all->items[worker]->mailbox);
        }
    }
}

/* --- The turn -------------------------------------------------------------------------------- */

/* How long we may wait: until the next timer of anybody, in microseconds; UINT64_MAX: for ever. */
static uint64_t wait_us(const struct loop *loop)
{
    uint64_t next_ms = timer_wheel_next(&loop->wheel);
    if (loop->hooks.next_ms != NULL) {
        uint64_t other_ms = loop->hooks.next_ms(loop->hooks.user);
        next_ms = other_ms < next_ms ? other_ms : next_ms;
    }
    if (next_ms > UINT64_MAX / 1000)
        return UINT64_MAX;
    return next_ms * 1000 > loop->now_us ? next_ms * 1000 - loop->now_us : 0;
}

static int poll_events(struct loop *loop, uint64_t us)
{
    struct timespec timeout = {
        .tv_sec = (time_t)(us / 1000000),
        .tv_nsec = (long)(us % 1000000) * 1000,
    };
    bool for_ever = us == UINT64_MAX;

    if (!loop->no_pwait2) {
        int count = epoll_pwait2(loop->epoll_fd, loop->events, EVENTS_PER_TURN,
                                 for_ever ? NULL : &timeout, NULL);
        if (count >= 0 || errno != ENOSYS)
            return count;
        loop->no_pwait2 = true; /* a kernel before 5.11 */
    }
    uint64_t ms = us / 1000 + (us % 1000 != 0);
    return epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN,
                      for_ever ? -1 : (int)(ms > 1000000 ? 1000000 : ms));
}

/*
 * Under a steady load of short turns: lets more come before the next one. At a thousand calls a
 * second that halves what a call costs, and it is a millisecond later at the most. A worker that
 * hears of things by letters only needs no pause: who writes them has gathered them.
 */
static void pause_for_more(struct loop *loop)
{
    if (loop->close_turns < PAUSE_AFTER || loop->turn_us > PAUSE_BUSY_US)
        return;
    struct timespec pause = {.tv_nsec = (long)(PAUSE_US - loop->turn_us) * 1000};
    nanosleep(&pause, NULL);
    counter_add(&loop->pauses, 1);
}

/* `events`: of sockets. */
static void count_close_turns(struct loop *loop, bool events)
{
    uint64_t gap_us = loop->now_us - loop->event_us;

    if (gap_us > PAUSE_GAP_US)
        loop->close_turns = 0;
    else if (events && loop->close_turns < PAUSE_AFTER)
        loop->close_turns++;
    if (events)
        loop->event_us = loop->now_us;
}

/* Waits, if there is nothing to do, and reads the clocks. */
static void loop_wait(struct loop *loop)
{
    if (!loop->again)
        pause_for_more(loop);
    uint64_t us = loop->again ? 0 : wait_us(loop);
    bool sleeping = us > 0 && mailbox_sleep(&loop->mailbox);

    if (sleeping)
        quiesce_offline(loop->all->quiesce, loop->seat);
    int count = poll_events(loop, sleeping ? us : 0);
    if (sleeping)
        quiesce_online(loop->all->quiesce, loop->seat);
    loop->event_count = count > 0 ? count : 0;
    loop->again = count == EVENTS_PER_TURN;
    loop->woken = false;
    read_clocks(loop);
    loop->late_us = loop->ended_us > loop->abreast_us ? loop->ended_us - loop->abreast_us : 0;
    if (count < EVENTS_PER_TURN)
        loop->abreast_us = loop->now_us;
}

static void serve_events(struct loop *loop)
{
    for (int i = 0; i < loop->event_count; i++) {
        struct loop_watch *watch = loop->events[i].data.ptr;
        if (watch != NULL)
            watch->fn(watch, loop->events[i].events);
    }
    loop->event_count = 0;
    mailbox_awake(&loop->mailbox, loop->woken);
}

static void loop_turn(struct loop *loop)
{
    loop_wait(loop);
    uint64_t begin_us = loop->now_us;
    int events = loop->event_count;

    serve_events(loop);
    count_close_turns(loop, events > (loop->woken ? 1 : 0));
    unsigned letters = mailbox_read(&loop->mailbox, read_letter, loop, LETTERS_PER_TURN);
    loop->again |= letters == LETTERS_PER_TURN;
    counter_add(&loop->letters, letters);

    loop->again |=
        timer_wheel_run(&loop->wheel, loop->now_us / 1000, TIMERS_PER_TURN) == TIMERS_PER_TURN;
    if (loop->hooks.run != NULL)
        loop->again |= loop->hooks.run(loop->hooks.user);
    if (loop->hooks.flush != NULL)
        loop->again |= loop->hooks.flush(loop->hooks.user);
    ring_mailboxes(loop);
    quiesce_pass(loop->all->quiesce, loop->seat);

    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    uint64_t end_us = (uint64_t)end.tv_sec * 1000000 + (uint64_t)end.tv_nsec / 1000;
    loop->turn_us = end_us - begin_us;
    loop->ended_us = end_us;
    counter_add(&loop->busy_us, loop->turn_us);
    counter_add(&loop->turns, 1);
}

static void *loop_thread(void *user)
{
    struct loop *loop = user;
    char name[16];

    snprintf(name, sizeof name, "worker-%u", loop->worker % 1000);
    pthread_setname_np(pthread_self(), name);
    quiesce_online(loop->all->quiesce, loop->seat);
    read_clocks(loop);
    if (loop->hooks.begin != NULL)
        loop->hooks.begin(loop->hooks.user);
    loop->again = true; /* the first turn does not wait: something may have been begun */
    while (!loop->stopping)
        loop_turn(loop);
    if (loop->hooks.end != NULL)
        loop->hooks.end(loop->hooks.user);
    ring_mailboxes(loop);
    quiesce_offline(loop->all->quiesce, loop->seat);
    return NULL;
}

/* --- All loops ------------------------------------------------------------------------------- */

static void loop_close(struct loop *loop)
{
    if (loop == NULL)
        return;
    mailbox_close(&loop->mailbox);
    close(loop->epoll_fd);
    free(loop);
}

static enum err loop_open(struct loops *all, unsigned worker, size_t mailbox_bytes,
                          struct loop **out)
{
    struct loop *loop = aligned_alloc(alignof(struct loop), sizeof *loop);
    if (loop == NULL)
        return ERR_MEMORY;
    memset((void *)loop, 0, sizeof *loop);
    loop->all = all;
    loop->worker = worker;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        free(loop);
        return ERR_IO;
    }
    enum err err = mailbox_open(&loop->mailbox, mailbox_bytes);
    if (err == OK)
        err = loop_watch(loop, &loop->wake, loop->mailbox.wake_fd, EPOLLIN, on_wake);
    if (err) {
        loop_close(loop);
        return err;
    }
    read_clocks(loop);
    timer_wheel_init(&loop->wheel, loop->now_us / 1000);
    loop->seat = quiesce_join(all->quiesce);
    *out = loop;
    return OK;
}

size_t loops_memory(const struct loops_config *config)
{
    return sizeof(struct loops) + config->workers * (sizeof(struct loop *) + sizeof(struct loop) +
                                                     mailbox_memory(config->mailbox_bytes));
}

enum err loops_open(const struct loops_config *config, struct loops **out)
{
    assert(config->workers >= 1 && config->workers <= LOOP_WORKERS_MAX);

    struct loops *loops = malloc(sizeof *loops);
    if (loops == NULL)
        return ERR_MEMORY;
    *loops = (struct loops){.quiesce = config->quiesce, .workers = config->workers};
    loops->items = calloc(config->workers, sizeof(struct loop *));
    enum err err = loops->items != NULL ? OK : ERR_MEMORY;
    for (unsigned i = 0; err == OK && i < config->workers; i++)
        err = loop_open(loops, i, config->mailbox_bytes, &loops->items[i]);
    if (err) {
        loops_close(loops);
        return err;
    }
    *out = loops;
    return OK;
}

void loops_close(struct loops *loops)
{
    if (loops == NULL)
        return;
    for (unsigned i = 0; loops->items != NULL && i < loops->workers; i++)
        loop_close(loops->items[i]);
    free(loops->items);
    free(loops);
}

struct loop *loops_at(struct loops *loops, unsigned worker)
{
    assert(worker < loops->workers);
    return loops->items[worker];
}

enum err loops_start(struct loops *loops)
{
    sigset_t all;
    sigset_t before;
    enum err err = OK;

    /* Signals are the main thread's: the workers are born with all of them blocked. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; err == OK && i < loops->workers; i++) {
        struct loop *loop = loops->items[i];
        loop->stopping = false;
        if (pthread_create(&loop->thread, NULL, loop_thread, loop) != 0)
            err = ERR_IO;
        else
            loop->started = true;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        loops_stop(loops);
    return err;
}

static void stop_here(void *user, unsigned worker)
{
    struct loops *loops = user;
    loops->items[worker]->stopping = true;
}

void loops_stop(struct loops *loops)
{
    for (unsigned i = 0; i < loops->workers; i++) {
        if (!loops->items[i]->started)
            continue;
        unsigned tries = 0;
        while (!loops_run_in(loops, i, stop_here, loops)) {
            tries++;
            assert(tries < ROOM_TRIES_MAX);
            wait_for_room();
        }
    }
    for (unsigned i = 0; i < loops->workers; i++) {
        if (!loops->items[i]->started)
            continue;
        pthread_join(loops->items[i]->thread, NULL);
        loops->items[i]->started = false;
    }
}

void loops_counters(const struct loops *loops, unsigned worker, struct loop_counters *out)
{
    const struct loop *loop = loops->items[worker];

    out->turns = atomic_load_explicit(&loop->turns, memory_order_relaxed);
    out->letters = atomic_load_explicit(&loop->letters, memory_order_relaxed);
    out->busy_us = atomic_load_explicit(&loop->busy_us, memory_order_relaxed);
    out->pauses = atomic_load_explicit(&loop->pauses, memory_order_relaxed);
    out->letters_refused = atomic_load_explicit(&loop->mailbox.refused, memory_order_relaxed);
}
