/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/world - time and the network.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;

    int used = snprintf(sim->why, sizeof sim->why, "at %llu ms: ", (unsigned long long)sim->now_ms);
    va_list args;
    va_start(args, format);
    vsnprintf(sim->why + used, sizeof sim->why - (size_t)used, format, args);
    va_end(args);
    sim_trace(sim, "VIOLATION %s", sim->why);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->trace)
        return;
    printf("%9llu ", (unsigned long long)sim->now_ms);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

bool sim_chance(struct sim *sim, unsigned pct)
{
    return rng_below(&sim->rng, 100) < pct;
}

uint64_t sim_range(struct sim *sim, uint64_t from, uint64_t to)
{
    return from + rng_below(&sim->rng, to - from + 1);
}

uint64_t sim_wall(const struct sim *sim)
{
    return sim->now_ms + sim->wall_offset_ms;
}

struct addr sim_addr(uint32_t index, bool v6)
{
    struct addr addr = {.family = ADDR_V4, .port = 5060, .bytes = {10, 0, 0, 1}};

    if (v6) {
        memset(addr.bytes, 0, sizeof addr.bytes);
        addr.family = ADDR_V6;
        addr.bytes[0] = 0xfd;
        addr.bytes[index != SIM_NODE ? 13 : 15] = 1;
        if (index != SIM_NODE)
            addr.bytes[15] = (uint8_t)index;
    } else if (index >= SIM_FAR) {
        addr.bytes[2] = index >= SIM_CLIENT ? 3 : 2;
        addr.bytes[3] = (uint8_t)(index >= SIM_CLIENT ? index - SIM_CLIENT : index - SIM_FAR + 1);
    } else if (index != SIM_NODE) {
        addr.bytes[2] = 1;
        addr.bytes[3] = (uint8_t)index;
    }
    return addr;
}

/* ---- events: a binary heap by (due, order) ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

void sim_post(struct sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? sim->heap_capacity * 2 : 256;
        sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof *sim->heap);
        if (sim->heap == NULL)
            abort();
    }
    event.order = sim->order++;
    size_t at = sim->heap_count++;
    while (at > 0 && before(&event, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = event;
}

void sim_set_timer(struct sim *sim, enum sim_event_kind kind, uint32_t what, uint32_t which,
                   uint32_t generation, uint64_t in_ms)
{
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + in_ms,
                                     .kind = (uint8_t)kind,
                                     .a = what,
                                     .b = which,
                                     .c = generation});
}

bool sim_take(struct sim *sim, struct sim_event *out)
{
    if (sim->heap_count == 0)
        return false;
    *out = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    if (sim->heap_count > 0)
        sim->heap[at] = last;
    return true;
}

uint64_t sim_next_due(const struct sim *sim)
{
    return sim->heap_count > 0 ? sim->heap[0].due_ms : UINT64_MAX;
}

void sim_clear_events(struct sim *sim)
{
    for (size_t i = 0; i < sim->heap_count; i++)
        free(sim->heap[i].bytes);
    free(sim->heap);
    sim->heap = NULL;
    sim->heap_count = 0;
    sim->heap_capacity = 0;
}

/* ---- the network ---- */

static void deliver(struct sim *sim, uint32_t from, uint32_t to, const char *bytes, size_t len)
{
    struct sim_event event = {
        .due_ms = sim->now_ms + sim_range(sim, 0, sim->knobs.delay_max_ms),
        .kind = EVENT_DATAGRAM,
        .from = from,
        .to = to,
        .len = len,
    };
    event.bytes = malloc(len + 1);
    if (event.bytes == NULL)
        abort();
    memcpy(event.bytes, bytes, len);
    event.bytes[len] = '\0';
    sim_post(sim, event);
}

/** The phone whose stream this goes by; 0: it is a datagram. */
static uint32_t by_stream_of(const struct sim *sim, uint32_t from, uint32_t to)
{
    bool down = from == SIM_NODE || from == SIM_ROUTER;
    uint32_t phone = down ? to : from, server = down ? from : to;

    if (phone == SIM_NODE || phone > sim->knobs.phones || !sim->phones[phone].tcp)
        return 0;
    bool edge = edge_serves_phone(sim, &sim->phones[phone]);
    return server == (edge ? SIM_ROUTER : SIM_NODE) ? phone : 0;
}

/** By the phone's connection, in order; it is opened for what the phone sends. */
static void deliver_stream(struct sim *sim, uint32_t from, uint32_t to, const char *bytes,
                           size_t len)
{
    uint32_t index = by_stream_of(sim, from, to);
    struct phone *phone = &sim->phones[index];
    uint64_t *last_ms = to == index ? &phone->from_node_ms : &phone->to_node_ms;
    uint64_t due_ms = sim->now_ms + sim_range(sim, 0, sim->knobs.delay_max_ms);

    if (!sim->node_up && from + to == index) {
        phone_conn_lost(sim, index); /* nobody listens: it is not said again */
        return;
    }
    if (phone->conn == 0)
        phone->conn = ++phone->conns;
    if (due_ms < *last_ms)
        due_ms = *last_ms;
    uint64_t from_ms = *last_ms > sim->now_ms ? *last_ms : sim->now_ms;
    *last_ms = due_ms;
    struct sim_event event = {.due_ms = due_ms,
                              .kind = EVENT_DATAGRAM,
                              .from = from,
                              .to = to,
                              .len = len,
                              .c = phone->conn};
    if (to == SIM_NODE) {
        stream_post(sim, event, from_ms, bytes, len);
        return;
    }
    event.bytes = malloc(len + 1);
    if (event.bytes == NULL)
        abort();
    memcpy(event.bytes, bytes, len);
    event.bytes[len] = '\0';
    sim_post(sim, event);
}

void sim_send(struct sim *sim, uint32_t from, uint32_t to, const char *bytes, size_t len)
{
    bool quiet = sim->now_ms >= sim->quiet_at_ms;

    if (sim->trace) {
        char call_id[64], cseq[32];
        text_field(bytes, "Call-ID", 0, call_id, sizeof call_id);
        text_field(bytes, "CSeq", 0, cseq, sizeof cseq);
        sim_trace(sim, "%s%u -> %s%u  %.*s  [%s, %s]", from ? "p" : "node", from, to ? "p" : "node",
                  to, (int)strcspn(bytes, "\r\n"), bytes, call_id, cseq);
    }
    if (by_stream_of(sim, from, to) != 0) {
        deliver_stream(sim, from, to, bytes, len);
        return;
    }
    if (!quiet && sim_chance(sim, sim->knobs.loss_pct) && !ask_is_spared(sim, bytes)) {
        sim_trace(sim, "    lost");
        return;
    }
    deliver(sim, from, to, bytes, len);
    if (!quiet && sim_chance(sim, sim->knobs.dup_pct))
        deliver(sim, from, to, bytes, len);
}
