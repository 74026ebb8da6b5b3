/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/main - the runs.
 *
 *     sim [--first N] [--seeds COUNT]     runs seeds N.. and prints each that fails
 *     sim --seed N                        replays one, with every message
 *     sim --calls COUNT [--first N] [--trace MS]
 *                                         one run of so many calls; messages from MS on
 *     sim --crowd COUNT [--first N]       so many phones on streams, see crowd.c
 *
 * A long run is made of shifts of some thousand calls each: within a shift calls come without end,
 * crashes, full disks, slow stores and other weather among them; after it all must
 * be over and gone, and other users and phones come. The store and the clock go on.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "sim.h"

enum {
    AFTER_MS = 1200000, /* long enough for every binding, Timer C and transaction to end */
    STANDING_MAX = 20000,
    SHIFT_MIN = 2000, /* calls */
    SHIFT_MAX = 12000,
    TEND_MS = 4000,
    GAP_MAX_MS = 12000, /* between two calls of a slot */
};
#define NEVER_MS (UINT64_MAX / 4)

static volatile sig_atomic_t current_seed; /* for the crash message */
static unsigned passed, failed;
static uint64_t calls_begun, pushes, woken;

static void draw_knobs(struct sim *sim)
{
    struct sim_knobs *knobs = &sim->knobs;

    knobs->workers = (unsigned)sim_range(sim, 1, SIM_WORKERS_MAX);
    knobs->phones = (unsigned)sim_range(sim, 2, SIM_PHONES_MAX);
    knobs->calls = (unsigned)sim_range(sim, 4, SIM_CALLS_MAX);
    knobs->calls_span_ms = sim_range(sim, 20000, 120000);
    knobs->delay_max_ms = (unsigned)(sim_chance(sim, 20) ? 1200 : sim_range(sim, 1, 200));
    knobs->loss_pct = (unsigned)(sim_chance(sim, 30) ? 0 : sim_range(sim, 1, 8));
    knobs->dup_pct = (unsigned)(sim_chance(sim, 40) ? 0 : sim_range(sim, 1, 20));
    knobs->store_delay_max_ms = (unsigned)sim_range(sim, 0, 200);
    knobs->store_fail_pct = sim_chance(sim, 15) ? 10 : 0;
    knobs->store_full_pct = sim_chance(sim, 15) ? 10 : 0;
    knobs->mailbox_full_pct = sim_chance(sim, 15) ? 3 : 0;
    knobs->crashes = sim_chance(sim, 50) ? (unsigned)sim_range(sim, 1, 3) : 0;
    knobs->dead_pct = sim_chance(sim, 50) ? 20 : 0;
    knobs->auth = sim_chance(sim, 50);
    knobs->memory_store = sim_chance(sim, 10);
    knobs->recurse = sim_chance(sim, 30);
    knobs->scarce = sim_chance(sim, 8);
    knobs->looped = !knobs->scarce && sim_chance(sim, 5);
    knobs->starved = knobs->scarce || knobs->looped;
    knobs->tcp_pct = !knobs->starved && sim_chance(sim, 30) ? 40 : 0;
    knobs->v6_pct = !knobs->starved && sim_chance(sim, 30) ? 40 : 0;
    knobs->router = !knobs->starved && sim_chance(sim, 40);
    knobs->strict = knobs->router && sim_chance(sim, 30);
    knobs->keeps_flows = !knobs->strict && sim->seed % 2 == 0;
    knobs->policies = sim_chance(sim, 40) ? (unsigned)sim_range(sim, 1, 8) : 0;
    knobs->nat_pct = !knobs->looped && sim_chance(sim, 50) ? 30 : 0;
    knobs->nonce_lifetime_ms = sim_chance(sim, 50) ? 300000 : (unsigned)sim_range(sim, 5000, 40000);
    knobs->disks = sim_chance(sim, 15) ? (unsigned)sim_range(sim, 1, 3) : 0;
    knobs->max_contacts = sim_chance(sim, 20) ? 2 : 10;
    knobs->slow_store = sim_chance(sim, 6);
    if (knobs->slow_store)
        knobs->store_delay_max_ms = (unsigned)sim_range(sim, 500, 2500);
    sim->quiet_at_ms = sim->now_ms + knobs->calls_span_ms + 20000;
    /* Drawn without the dice, so that the other seeds stay what they were. */
    knobs->records = sim->seed % 2 == 0;
    knobs->overload = !knobs->starved && sim->seed % 6 == 5;
    if (knobs->overload)
        knobs->crashes = 0; /* what was refused is forgotten by them */
    knobs->sleepy = !knobs->starved && !knobs->overload && !knobs->router &&
                    (sim->seed % 8 == 3 || sim->seed % 16 == 6);
    knobs->starved |= knobs->sleepy; /* who is called when is tried in tests/unit */
    knobs->edge = knobs->router && !knobs->strict && sim->seed % 3 != 1;
    knobs->pings = knobs->nat_pct > 0 && !knobs->overload && sim->seed % 3 != 1;
    knobs->names = !knobs->starved && (sim->seed + sim->boot) % 3 == 1;
    sim->end_ms = sim->quiet_at_ms + AFTER_MS;
}

/** A shift's: its calls come without end, and every transaction is looked at. */
static void draw_shift(struct sim *sim)
{
    struct sim_knobs *knobs = &sim->knobs;

    do
        draw_knobs(sim);
    while (knobs->starved);
    knobs->overload = false; /* what was refused is forgotten by crashes */
    knobs->phones = (unsigned)sim_range(sim, 6, SIM_PHONES_MAX);
    knobs->calls = SIM_CALLS_LONG;
    sim->quiet_at_ms = NEVER_MS;
    sim->end_ms = NEVER_MS;
}

/** In a shift: what happens now happens again, some time. */
static void happen_again(struct sim *sim, enum sim_event_kind kind, uint64_t most_ms)
{
    if (!sim->endless || sim->quiet_at_ms != NEVER_MS)
        return;
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + sim_range(sim, most_ms / 20, most_ms),
                                     .kind = (uint8_t)kind,
                                     .a = (uint32_t)sim_range(sim, 1, sim->knobs.phones)});
}

static void change_weather(struct sim *sim)
{
    struct sim_knobs *knobs = &sim->knobs;

    knobs->delay_max_ms = (unsigned)(sim_chance(sim, 20) ? 1200 : sim_range(sim, 1, 200));
    knobs->loss_pct = (unsigned)(sim_chance(sim, 30) ? 0 : sim_range(sim, 1, 8));
    knobs->dup_pct = (unsigned)(sim_chance(sim, 40) ? 0 : sim_range(sim, 1, 20));
}

static void fill_disk(struct sim *sim)
{
    sim_trace(sim, "    the disk is full");
    sim->disk_full_until_ms = sim->now_ms + sim_range(sim, 1000, 15000);
}

/** Room is made, and filled with new calls; after the last one the crowd falls silent. */
static void tend(struct sim *sim)
{
    bool idle = check_and_clear_calls(sim);

    watch_trim(sim);
    nonces_trim(sim);
    for (unsigned i = 0; i < sim->knobs.calls && sim->calls_left > 0; i++) {
        if (sim->calls[i].planned || sim->calls[i].state != CALL_FREE)
            continue;
        phones_plan_call(sim, i, sim_range(sim, 0, GAP_MAX_MS));
        sim->calls_left--;
        idle = false;
    }
    if (idle) {
        sim->quiet_at_ms = sim->now_ms;
        sim->end_ms = sim->now_ms + AFTER_MS;
        return;
    }
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + TEND_MS, .kind = EVENT_TEND});
}

static void restart(struct sim *sim)
{
    if (sim_chance(sim, 30)) /* another configuration */
        sim->knobs.workers = (unsigned)sim_range(sim, 1, SIM_WORKERS_MAX);
    node_start(sim);
    happen_again(sim, EVENT_CRASH, 1200000);
}

static void crash(struct sim *sim)
{
    bool late = sim->endless && sim->now_ms > sim->quiet_at_ms; /* it shall tidy up in peace */
    if (!sim->node_up || late)
        return;
    sim_trace(sim, "    CRASH");
    node_stop(sim, true);
    for (uint32_t i = 1; i <= sim->knobs.phones; i++)
        if (!edge_serves_phone(sim, &sim->phones[i]))
            node_conn_lost(sim, i);
    sim->crashes++;
    sim->crashed_at_ms = sim->now_ms;
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + sim_range(sim, 0, 3000),
                                     .kind = EVENT_RESTART});
}

/** Is the stream there that a message was on its way by? */
static bool has_stream(const struct sim *sim, const struct sim_event *event)
{
    bool down = event->from == SIM_NODE || event->from == SIM_ROUTER;
    uint32_t phone = down ? event->to : event->from;

    if (edge_serves_phone(sim, &sim->phones[phone]))
        return sim->phones[phone].conn == event->c;
    return node_has_conn(sim, phone, event->c);
}

static void happen(struct sim *sim, struct sim_event *event)
{
    switch ((enum sim_event_kind)event->kind) {
    case EVENT_DATAGRAM:
        if (event->c != 0 && !has_stream(sim, event))
            break; /* it was on its way when the connection was lost */
        if (event->to == SIM_ROUTER && sim->edge != NULL)
            edge_receive(sim, event->from, event->bytes, event->len);
        else if (event->to == SIM_ROUTER)
            router_receive(sim, event->bytes);
        else if (event->to == SIM_NODE && event->c != 0)
            stream_read(sim, event);
        else if (event->to == SIM_NODE)
            node_receive(sim, event->from, event->bytes, event->len);
        else if (pings_is_stun(event->bytes, event->len))
            pings_told(sim, event->to, event->bytes, event->len);
        else if (!pings_is_empty_line(event->bytes, event->len))
            phone_receive(sim, event->to, event->bytes);
        break;
    case EVENT_MAIL:
        node_mail(sim, event->to, event);
        break;
    case EVENT_RECEIPT:
        node_receipt(sim, event);
        break;
    case EVENT_REFUSED:
        if (event->boot == sim->boot)
            node_refused(sim, event->to, event->a != 0, event->bytes, event->len);
        break;
    case EVENT_EDGE_REFUSED:
        edge_refused(sim, event);
        break;
    case EVENT_PHONE:
        phone_timer(sim, event->a, event->b, (uint32_t)event->c);
        break;
    case EVENT_CRASH:
        crash(sim);
        break;
    case EVENT_RESTART:
        restart(sim);
        break;
    case EVENT_CONN_LOST:
        node_conn_lost(sim, event->a);
        happen_again(sim, EVENT_CONN_LOST, 60000);
        break;
    case EVENT_POLICY:
        node_change_policy(sim);
        happen_again(sim, EVENT_POLICY, 200000);
        break;
    case EVENT_DISK:
        fill_disk(sim);
        happen_again(sim, EVENT_DISK, 300000);
        break;
    case EVENT_WEATHER:
        change_weather(sim);
        happen_again(sim, EVENT_WEATHER, 200000);
        break;
    case EVENT_TEND:
        tend(sim);
        break;
    case EVENT_FAR:
        far_receive(sim, event);
        break;
    case EVENT_FAR_TIMER:
        far_on_timer(sim, event);
        break;
    case EVENT_DNS:
        far_dns(sim, event);
        break;
    case EVENT_PUSH:
        phone_pushed(sim, event->a);
        break;
    case EVENT_PUSHED:
        node_pushed(sim, event);
        break;
    }
    free(event->bytes);
}

static void post_some(struct sim *sim, enum sim_event_kind kind, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        sim_post(sim, (struct sim_event){.due_ms = sim->now_ms +
                                                   sim_range(sim, 5000, sim->knobs.calls_span_ms),
                                         .kind = (uint8_t)kind,
                                         .a = (uint32_t)sim_range(sim, 1, sim->knobs.phones)});
}

static void run(struct sim *sim)
{
    unsigned standing = 0; /* steps in one millisecond */

    far_open(sim);
    edge_start(sim);
    node_start(sim);
    phones_start(sim);
    post_some(sim, EVENT_CRASH, sim->endless && sim->knobs.crashes > 0 ? 1 : sim->knobs.crashes);
    post_some(sim, EVENT_POLICY, sim->knobs.policies);
    post_some(sim, EVENT_CONN_LOST, sim->knobs.tcp_pct > 0 ? sim->knobs.phones : 0);
    post_some(sim, EVENT_DISK, sim->knobs.disks);
    post_some(sim, EVENT_WEATHER, sim->endless ? 1 : 0);
    if (sim->endless)
        tend(sim);
    while (!sim->failed) {
        uint64_t event_ms = sim_next_due(sim), timer_ms = node_next_ms(sim);
        if (edge_next_ms(sim) < timer_ms)
            timer_ms = edge_next_ms(sim);
        uint64_t next_ms = event_ms < timer_ms ? event_ms : timer_ms;
        if (next_ms > sim->end_ms)
            break;
        if (next_ms > sim->now_ms) {
            sim->now_ms = next_ms;
            standing = 0;
        } else if (++standing > STANDING_MAX) {
            sim_fail(sim, "time stands still: something is due again and again");
        }
        if (sim->trace_ms != 0 && sim->now_ms >= sim->trace_ms)
            sim->trace = true;
        watch_sweep(sim);
        pings_sweep(sim);
        hops_sweep(sim);
        struct sim_event event;
        if (event_ms <= timer_ms && sim_take(sim, &event))
            happen(sim, &event);
        else {
            node_run(sim);
            edge_run(sim);
        }
    }
    if (!sim->failed)
        check_calls(sim);
    if (!sim->failed)
        check_node_empty(sim);
    if (!sim->failed)
        records_check(sim);
}

static void print_knobs(const struct sim *sim)
{
    const struct sim_knobs *k = &sim->knobs;
    printf("seed %llu: %u workers, %u phones, %u calls, loss %u%%, doubled %u%%, delay %u ms, "
           "crashes %u, auth %d, store %s fail %u%% full %u%%, dead %u%%, mailbox %u%%%s\n",
           (unsigned long long)sim->seed, k->workers, k->phones, k->calls, k->loss_pct, k->dup_pct,
           k->delay_max_ms, k->crashes, k->auth, k->memory_store ? "memory" : "journal",
           k->store_fail_pct, k->store_full_pct, k->dead_pct, k->mailbox_full_pct,
           k->records ? ", records" : "");
}

static struct sim *sim_open(uint64_t seed, unsigned calls, unsigned legs)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        abort();

    sim->seed = seed;
    sim->now_ms = 1000;
    sim->wall_offset_ms = UINT64_C(1700000000000);
    sim->leg_max = legs;
    sim->calls = calloc(calls, sizeof *sim->calls);
    sim->legs = calloc(legs, sizeof *sim->legs);
    sim->asks = calloc(SIM_ASKS_MAX, sizeof *sim->asks);
    if (sim->calls == NULL || sim->legs == NULL || sim->asks == NULL)
        abort();
    rng_seed(&sim->rng, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    return sim;
}

static void sim_close(struct sim *sim)
{
    edge_stop(sim);
    node_release(sim);
    sim_clear_events(sim);
    far_close(sim);
    watch_close(sim);
    nonces_close(sim);
    records_close(sim);
    free(sim->seen);
    free(sim->calls);
    free(sim->legs);
    free(sim->asks);
    free(sim);
}

static void simulate(uint64_t seed, bool trace)
{
    struct sim *sim = sim_open(seed, SIM_CALLS_MAX, SIM_LEGS_MAX);

    sim->trace = trace;
    draw_knobs(sim);
    if (trace)
        print_knobs(sim);
    sim->memory_max = (size_t)sim_range(sim, 64, 2048) << 10;
    watch_open(sim);
    node_prepare(sim);
    run(sim);
    if (sim->failed) {
        failed++;
        printf("FAIL seed %llu: %s (replay: sim --seed %llu)\n", (unsigned long long)seed, sim->why,
               (unsigned long long)seed);
    } else {
        passed++;
        if (trace)
            printf("ok: %llu received, %llu sent, %u legs, %llu of %llu messages answered\n",
                   (unsigned long long)sim->received_by_node, (unsigned long long)sim->sent_by_node,
                   sim->leg_count, (unsigned long long)sim->messages_answered,
                   (unsigned long long)sim->messages_sent);
    }
    fflush(stdout);
    calls_begun += sim->calls_begun;
    edge_stop(sim);
    node_stop(sim, false);
    pushes += sim->pushes;
    woken += sim->woken;
    sim_close(sim);
}

/* ---- a long run ---- */

/** All are gone: nothing of the old crowd may reach the new one. */
static void clear_crowd(struct sim *sim)
{
    edge_stop(sim);
    node_stop(sim, false);
    sim_clear_events(sim);
    far_close(sim);
    nonces_close(sim);
    check_forget(sim);
    memset(sim->calls, 0, SIM_CALLS_LONG * sizeof *sim->calls);
    memset(sim->legs, 0, SIM_LEGS_LONG * sizeof *sim->legs);
    memset(sim->asks, 0, SIM_ASKS_MAX * sizeof *sim->asks);
    memset(sim->leg_names, 0, sizeof sim->leg_names);
    memset(sim->ask_names, 0, sizeof sim->ask_names);
    memset(sim->phones, 0, sizeof sim->phones);
    memset(sim->aors, 0, sizeof sim->aors);
    memset(sim->gruus, 0, sizeof sim->gruus);
    sim->gruu_count = 0;
    sim->leg_count = 0;
    sim->ask_count = 0;
    sim->sent_by_node = 0;
    sim->received_by_node = 0;
}

static void simulate_long(uint64_t seed, uint64_t calls, uint64_t trace_ms)
{
    struct sim *sim = sim_open(seed, SIM_CALLS_LONG, SIM_LEGS_LONG);
    unsigned shifts = 0;

    sim->endless = true;
    sim->trace_ms = trace_ms;
    draw_shift(sim);
    watch_open(sim);
    node_prepare(sim);
    for (uint64_t left = calls; left > 0 && !sim->failed; shifts++) {
        if (shifts > 0) {
            clear_crowd(sim);
            draw_shift(sim);
            node_change_users(sim);
        }
        sim->calls_left = sim_range(sim, SHIFT_MIN, SHIFT_MAX);
        if (sim->calls_left > left)
            sim->calls_left = left;
        left -= sim->calls_left;
        run(sim);
    }
    if (sim->failed) {
        failed++;
        printf("FAIL seed %llu after %llu calls: %s (replay: sim --calls %llu --first %llu --trace "
               "%llu)\n",
               (unsigned long long)seed, (unsigned long long)sim->calls_begun, sim->why,
               (unsigned long long)calls, (unsigned long long)seed,
               (unsigned long long)(sim->now_ms > 60000 ? sim->now_ms - 60000 : 1));
    } else {
        passed++;
        printf("%llu calls in %u shifts, %u starts, %llu hours\n",
               (unsigned long long)sim->calls_begun, shifts, sim->boot,
               (unsigned long long)(sim->now_ms / 3600000));
    }
    calls_begun += sim->calls_begun;
    sim_close(sim);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/** How fast it went, and how much memory it took at most. */
static void print_throughput(double began_s)
{
    struct rusage usage = {0};
    double took_s = seconds_now() - began_s;

    getrusage(RUSAGE_SELF, &usage);
    printf("%llu simulated calls in %.1f s: %.0f a second, %ld MB at most\n",
           (unsigned long long)calls_begun, took_s, took_s > 0 ? (double)calls_begun / took_s : 0.0,
           usage.ru_maxrss / 1024);
    if (pushes > 0)
        printf("%llu times a phone was woken, %llu requests reached one that was\n",
               (unsigned long long)pushes, (unsigned long long)woken);
}

/** An assert in the core is a finding like any other. */
static void on_abort(int number)
{
    char text[128];
    int len = snprintf(text, sizeof text, "FAIL seed %d: signal %d\n%u passed, %u failed\n",
                       (int)current_seed, number, passed, failed + 1);
    if (len > 0 && write(STDOUT_FILENO, text, (size_t)len) < 0)
        _exit(2);
    _exit(1);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 1000, one = 0, calls = 0, crowd = 0, trace_ms = 0;
    double began_s = seconds_now();

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--first") == 0)
            first = number;
        else if (strcmp(argv[i], "--seeds") == 0)
            count = number;
        else if (strcmp(argv[i], "--seed") == 0)
            one = number;
        else if (strcmp(argv[i], "--calls") == 0)
            calls = number;
        else if (strcmp(argv[i], "--crowd") == 0)
            crowd = number;
        else if (strcmp(argv[i], "--trace") == 0)
            trace_ms = number;
        else {
            fprintf(stderr, "usage: sim [--first N] [--seeds COUNT] | --seed N |\n"
                            "       --calls COUNT [--first N] [--trace MS] |\n"
                            "       --crowd COUNT [--first N]\n");
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    current_seed = (sig_atomic_t)(one != 0 ? one : first);
    if (crowd != 0) {
        bool good = crowd_run(first, (uint32_t)crowd);
        printf("%d passed, %d failed\n", good, !good);
        return !good;
    }
    if (one != 0)
        simulate(one, true);
    else if (calls != 0)
        simulate_long(first, calls, trace_ms);
    for (uint64_t seed = first; one == 0 && calls == 0 && seed < first + count; seed++) {
        current_seed = (sig_atomic_t)seed;
        simulate(seed, false);
    }
    print_throughput(began_s);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
