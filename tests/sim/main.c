/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/main - the runs.
 *
 *     sim [--first N] [--seeds COUNT]     runs seeds N.. and prints each that fails
 *     sim --seed N                        replays one, with every message
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

enum {
    AFTER_MS = 1200000, /* long enough for every binding, Timer C and transaction to end */
    STANDING_MAX = 20000,
};

static volatile sig_atomic_t current_seed; /* for the crash message */
static unsigned passed, failed;

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
    knobs->policies = sim_chance(sim, 40) ? (unsigned)sim_range(sim, 1, 8) : 0;
    knobs->nat_pct = !knobs->looped && sim_chance(sim, 50) ? 30 : 0;
    knobs->nonce_lifetime_ms = sim_chance(sim, 50) ? 300000 : (unsigned)sim_range(sim, 5000, 40000);
    sim->quiet_at_ms = sim->now_ms + knobs->calls_span_ms + 20000;
    /* Drawn without the dice, so that the other seeds stay what they were. */
    knobs->overload = !knobs->starved && sim->seed % 6 == 5;
    if (knobs->overload)
        knobs->crashes = 0; /* what was refused is forgotten by them */
}

static void crash(struct sim *sim)
{
    if (!sim->node_up)
        return;
    sim_trace(sim, "    CRASH");
    node_stop(sim, true);
    for (uint32_t i = 1; i <= sim->knobs.phones; i++)
        node_conn_lost(sim, i);
    sim->crashes++;
    sim->crashed_at_ms = sim->now_ms;
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + sim_range(sim, 0, 3000),
                                     .kind = EVENT_RESTART});
}

static void happen(struct sim *sim, struct sim_event *event)
{
    switch ((enum sim_event_kind)event->kind) {
    case EVENT_DATAGRAM:
        if (event->c != 0 && !node_has_conn(sim, event->to + event->from, event->c))
            break; /* it was on its way when the connection was lost */
        if (event->to == SIM_ROUTER)
            router_receive(sim, event->bytes);
        else if (event->to == SIM_NODE)
            node_receive(sim, event->from, event->bytes, event->len);
        else
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
            node_refused(sim, event->to, event->bytes, event->len);
        break;
    case EVENT_PHONE:
        phone_timer(sim, event->a, event->b, (uint32_t)event->c);
        break;
    case EVENT_CRASH:
        crash(sim);
        break;
    case EVENT_RESTART:
        node_start(sim);
        break;
    case EVENT_CONN_LOST:
        node_conn_lost(sim, event->a);
        break;
    case EVENT_POLICY:
        node_change_policy(sim);
        break;
    }
    free(event->bytes);
}

static void run(struct sim *sim)
{
    uint64_t end_ms = sim->quiet_at_ms + AFTER_MS;
    unsigned standing = 0; /* steps in one millisecond */

    node_start(sim);
    phones_start(sim);
    for (unsigned i = 0; i < sim->knobs.crashes; i++)
        sim_post(sim, (struct sim_event){.due_ms = sim->now_ms +
                                                   sim_range(sim, 5000, sim->knobs.calls_span_ms),
                                         .kind = EVENT_CRASH});
    for (unsigned i = 0; i < sim->knobs.policies; i++)
        sim_post(sim, (struct sim_event){.due_ms = sim->now_ms +
                                                   sim_range(sim, 5000, sim->knobs.calls_span_ms),
                                         .kind = EVENT_POLICY});
    for (unsigned i = 0; sim->knobs.tcp_pct > 0 && i < sim->knobs.phones; i++)
        sim_post(sim, (struct sim_event){.due_ms = sim->now_ms +
                                                   sim_range(sim, 5000, sim->knobs.calls_span_ms),
                                         .kind = EVENT_CONN_LOST,
                                         .a = (uint32_t)sim_range(sim, 1, sim->knobs.phones)});
    while (!sim->failed) {
        uint64_t event_ms = sim_next_due(sim), timer_ms = node_next_ms(sim);
        uint64_t next_ms = event_ms < timer_ms ? event_ms : timer_ms;
        if (next_ms > end_ms)
            break;
        if (next_ms > sim->now_ms) {
            sim->now_ms = next_ms;
            standing = 0;
        } else if (++standing > STANDING_MAX) {
            sim_fail(sim, "time stands still: something is due again and again");
        }
        watch_sweep(sim);
        struct sim_event event;
        if (event_ms <= timer_ms && sim_take(sim, &event))
            happen(sim, &event);
        else
            node_run(sim);
    }
}

static void print_knobs(const struct sim *sim)
{
    const struct sim_knobs *k = &sim->knobs;
    printf("seed %llu: %u workers, %u phones, %u calls, loss %u%%, doubled %u%%, delay %u ms, "
           "crashes %u, auth %d, store %s fail %u%% full %u%%, dead %u%%, mailbox %u%%\n",
           (unsigned long long)sim->seed, k->workers, k->phones, k->calls, k->loss_pct, k->dup_pct,
           k->delay_max_ms, k->crashes, k->auth, k->memory_store ? "memory" : "journal",
           k->store_fail_pct, k->store_full_pct, k->dead_pct, k->mailbox_full_pct);
}

static void simulate(uint64_t seed, bool trace)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        abort();

    sim->seed = seed;
    sim->trace = trace;
    sim->now_ms = 1000;
    sim->wall_offset_ms = UINT64_C(1700000000000);
    sim->calls = calloc(SIM_CALLS_MAX, sizeof *sim->calls);
    sim->legs = calloc(SIM_LEGS_MAX, sizeof *sim->legs);
    sim->asks = calloc(SIM_ASKS_MAX, sizeof *sim->asks);
    if (sim->calls == NULL || sim->legs == NULL || sim->asks == NULL)
        abort();
    rng_seed(&sim->rng, seed * UINT64_C(0x9e3779b97f4a7c15) + 1);
    draw_knobs(sim);
    if (trace)
        print_knobs(sim);
    sim->memory_max = (size_t)sim_range(sim, 64, 2048) << 10;
    watch_open(sim);
    node_prepare(sim);
    run(sim);
    if (!sim->failed)
        check_calls(sim);
    if (!sim->failed)
        check_node_empty(sim);
    node_release(sim);
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
    sim_clear_events(sim);
    watch_close(sim);
    nonces_close(sim);
    free(sim->seen);
    free(sim->calls);
    free(sim->legs);
    free(sim->asks);
    free(sim);
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
    uint64_t first = 1, count = 1000, one = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t number = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--first") == 0)
            first = number;
        else if (strcmp(argv[i], "--seeds") == 0)
            count = number;
        else if (strcmp(argv[i], "--seed") == 0)
            one = number;
        else {
            fprintf(stderr, "usage: sim [--first N] [--seeds COUNT] | --seed N\n");
            return 2;
        }
    }
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    if (one != 0)
        simulate(one, true);
    for (uint64_t seed = first; one == 0 && seed < first + count; seed++) {
        current_seed = (sig_atomic_t)seed;
        simulate(seed, false);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
