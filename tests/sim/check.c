/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/check - what must hold, whatever the weather.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum {
    LIFE_MS = 1300000, /* of a call that never ends, one target after the other */
    LATE_MS = 150000,  /* until the last word of a call that is over */
    /* Timers A, E, G send a message at most 11 times in 64*T1; a response is sent again for each
     * retransmission of its request, and the network may double each of those. */
    SAME_BYTES_MAX = 40,
};

/** How often were these very bytes sent to this address? */
static uint32_t count_same(struct sim *sim, uint32_t to, const char *bytes, size_t len)
{
    uint64_t hash = hash_bytes(to + 1, (struct slice){bytes, len});

    if (sim->seen_used > sim->seen_capacity / 2)
        check_forget(sim);
    if (sim->seen == NULL) {
        sim->seen_capacity = 1 << 16;
        sim->seen = calloc(sim->seen_capacity, sizeof *sim->seen);
        if (sim->seen == NULL)
            abort();
    }
    for (size_t i = 0; i < sim->seen_capacity; i++) {
        struct seen_bytes *at = &sim->seen[(hash + i) % sim->seen_capacity];
        if (at->hash == 0) {
            at->hash = hash;
            sim->seen_used++;
        }
        if (at->hash == hash)
            return ++at->count;
    }
    return 0;
}

void check_forget(struct sim *sim)
{
    if (sim->seen != NULL)
        memset(sim->seen, 0, sim->seen_capacity * sizeof *sim->seen);
    sim->seen_used = 0;
}

static void check_response(struct sim *sim, uint32_t to, const char *text)
{
    char via[512], method[32], wanted[40];
    unsigned status = text_status(text);

    text_method(text, method, sizeof method);
    if (text_count(text, "Via") != 1 && to != SIM_NODE && to != SIM_ROUTER) {
        sim_fail(sim, "a response to phone %u has %u Via fields", to, text_count(text, "Via"));
        return;
    }
    text_field(text, "Via", 0, via, sizeof via);
    phone_host(&sim->phones[to], wanted);
    if (strstr(via, wanted) == NULL && to != SIM_NODE)
        sim_fail(sim, "a response went to phone %u, whose Via is %.80s", to, via);
    if (status == 408 && strcmp(method, "INVITE") != 0)
        sim_fail(sim, "408 to a %s (RFC 4320 section 4.2)", method);
    if (strstr(text, "503 ") == text + 8 && strcmp(method, "REGISTER") != 0 &&
        !sim->knobs.overload && strstr(text, "Retry-After") != NULL)
        sim_fail(sim, "503 with Retry-After");
}

static void check_request(struct sim *sim, uint32_t to, const char *text)
{
    char via[512], value[64], method[32];
    unsigned vias = text_count(text, "Via");

    text_method(text, method, sizeof method);
    text_field(text, "Via", 0, via, sizeof via);
    if (!text_names_node(via) || (strchr(via, '[') != NULL) != sim->phones[to].v6)
        sim_fail(sim, "a request to phone %u without our Via on top", to);
    bool hop_by_hop = strcmp(method, "CANCEL") == 0 || (strcmp(method, "ACK") == 0 && vias == 1);
    if (!hop_by_hop && vias != 2 && !sim->knobs.looped && !sim->knobs.router)
        sim_fail(sim, "a forwarded %s has %u Via fields", method, vias);
    if (!text_field(text, "Max-Forwards", 0, value, sizeof value))
        sim_fail(sim, "a request without Max-Forwards");
    if (sim->knobs.looped && !hop_by_hop && strstr(text, "tag=probe") == NULL &&
        strtol(value, NULL, 10) < 70 - 2 * (long)sim->knobs.phones - 4)
        sim_fail(sim, "a %s goes round and round: Max-Forwards %s", method, value);
    if (strstr(text, "pn-prid") != NULL)
        sim_fail(sim, "a %s says how its phone is woken (RFC 8599 section 13)", method);
    if (strstr(text, "Proxy-Authorization") != NULL)
        sim_fail(sim, "credentials for us were passed on (RFC 3261 section 22.3)");
}

/** Every line is a field, and the body is as long as it says. */
static void check_form(struct sim *sim, const char *bytes, size_t len)
{
    char value[32];
    const char *head_end = strstr(bytes, "\r\n\r\n");

    if (head_end == NULL) {
        sim_fail(sim, "a message without an end of its head: %.60s", bytes);
        return;
    }
    for (const char *line = strstr(bytes, "\r\n") + 2; line < head_end;
         line = strstr(line, "\r\n") + 2) {
        size_t name = strcspn(line, ": \r");
        if (name == 0 || line[name] != ':' || line[name + 1] != ' ')
            sim_fail(sim, "this is no header field: %.*s", (int)strcspn(line, "\r"), line);
    }
    if (text_count(bytes, "Content-Length") != 1 ||
        !text_field(bytes, "Content-Length", 0, value, sizeof value) ||
        strtoul(value, NULL, 10) != len - (size_t)(head_end + 4 - bytes))
        sim_fail(sim, "Content-Length does not fit: %.60s", bytes);
    if (text_count(bytes, "Max-Forwards") + text_count(bytes, "Max-Breadth") > 2)
        sim_fail(sim, "Max-Forwards or Max-Breadth twice: %.60s", bytes);
}

void check_sent_by_node(struct sim *sim, uint32_t to, const char *bytes, size_t len)
{
    if (pings_take(sim, to, bytes, len))
        return;
    if (count_same(sim, to, bytes, len) > SAME_BYTES_MAX)
        sim_fail(sim, "a storm: the same message to phone %u over %d times: %.60s", to,
                 SAME_BYTES_MAX, bytes);
    if (!sim->knobs.looped)
        check_form(sim, bytes, len);
    watch_out(sim, to, bytes);
    records_out(sim, to, bytes);
    if (strncmp(bytes, "SIP/2.0 200", 11) == 0 && to <= SIM_PHONES_MAX &&
        strstr(bytes, " REGISTER\r\n") != NULL) {
        sim->push_seen_ms[to] = sim->now_ms;
        sim->push_gone[to] = false;
    }
    if (text_status(bytes) != 0)
        check_response(sim, to, bytes);
    else
        check_request(sim, to, bytes);
    if (sim->sent_by_node > 20 * (sim->received_by_node + 100) + sim->now_ms)
        sim_fail(sim, "a storm: %llu sent for %llu received", (unsigned long long)sim->sent_by_node,
                 (unsigned long long)sim->received_by_node);
}

/** A 404 to a stranger keeps no state: another copy may find the user enabled again, and ring. */
static bool is_refused_without_state(const struct call *call)
{
    return call->stranger && call->final_status == 404;
}

/** What could not be recorded is not known after a kill: a copy that was on its way may ring. */
static bool is_refused_before_a_kill(const struct sim *sim, const struct call *call)
{
    return call->final_status == 503 && call->invite_crashes != sim->crashes;
}

static void check_call(struct sim *sim, const struct call *call, unsigned index)
{
    bool outlived = call->crashes_before == sim->crashes;

    if (!outlived || call->state == CALL_FREE)
        return;
    if (call->final_status != 0 && call->answers > 0 && !is_refused_without_state(call) &&
        !is_refused_before_a_kill(sim, call))
        sim_fail(sim, "call %u got %u and a 2xx", index, call->final_status);
    if (call->final_status == 0 && call->answers == 0 && call->provisional)
        sim_fail(sim, "call %u was accepted by us (100) and never got a final answer", index);
    if (call->final_status == 0 && call->answers == 0 && !call->gave_up)
        sim_fail(sim, "call %u is still open", index);
    bool unheard = sim->knobs.mailbox_full_pct > 0 && phone_any_tcp(sim); /* of a lost stream */
    if (call->answers > 0 && !call->bye_done && call->crashes_before == sim->crashes && !unheard)
        sim_fail(sim, "call %u was up and could not be hung up", index);
}

/** The caller's connection went, and with it what was on its way. */
static bool lost_its_stream(const struct sim *sim, const struct leg *leg)
{
    for (unsigned i = 0; i < sim->knobs.calls; i++)
        if (strcmp(sim->calls[i].call_id, leg->call_id) == 0 &&
            (sim->calls[i].crashes_before == UINT32_MAX || sim->phones[sim->calls[i].phone].tcp))
            return true;
    return false;
}

/** Could the node take another phone of its user for it: both on streams, without names? */
static bool is_mistakable(const struct sim *sim, const struct leg *leg)
{
    const struct phone *phone = &sim->phones[leg->phone];

    for (uint32_t i = 1; i <= sim->knobs.phones && phone->tcp; i++)
        if (i != leg->phone && sim->phones[i].user == phone->user && sim->phones[i].tcp &&
            !sim->phones[i].instance)
            return true;
    return false;
}

static void check_leg(struct sim *sim, const struct leg *leg, unsigned index)
{
    bool of_this_boot = leg->boot == sim->boot; /* who sent the INVITE lives */
    if (leg->crashes_before != sim->crashes || !of_this_boot || lost_its_stream(sim, leg) ||
        is_mistakable(sim, leg))
        return;
    if (leg->state == LEG_RINGING && !watch_heard_nothing(sim, leg->invite))
        sim_fail(sim, "leg %u at phone %u rings for ever: no CANCEL of %s came", index, leg->phone,
                 leg->call_id);
    if (leg->state == LEG_REFUSED && !leg->acked)
        sim_fail(sim, "leg %u at phone %u: its %u was never acknowledged", index, leg->phone,
                 leg->status);
    if (leg->state == LEG_ANSWERED && !leg->acked)
        sim_fail(sim, "leg %u at phone %u: its 200 was never acknowledged", index, leg->phone);
}

void check_calls(struct sim *sim)
{
    if (sim->knobs.starved && !sim->knobs.sleepy)
        return;
    for (unsigned i = 0; i < sim->knobs.calls; i++)
        check_call(sim, &sim->calls[i], i);
    if (sim->knobs.sleepy)
        return; /* the watch, which knows what a leg could hear, does not look */
    for (unsigned i = 0; i < sim->leg_count; i++)
        check_leg(sim, &sim->legs[i], i);
}

/** Is all of it over, as far as it can be? */
static bool is_settled(const struct sim *sim, const struct call *call)
{
    if (sim->now_ms > call->began_ms + LIFE_MS)
        return true;
    uint64_t late_ms = LATE_MS + (is_refused_without_state(call) ? SIM_TIMER_C_MS : 0);
    return (call->state == CALL_OVER || (call->state == CALL_FAILED && !call->gave_up)) &&
           sim->now_ms > call->final_ms + late_ms;
}

static void clear_call(struct sim *sim, struct call *call, unsigned index)
{
    if (!sim->knobs.starved)
        check_call(sim, call, index);
    for (uint32_t i = 0; i < sim->leg_count; i++) {
        struct leg *leg = &sim->legs[i];
        if (leg->state == LEG_FREE || strcmp(leg->call_id, call->call_id) != 0)
            continue;
        if (!sim->knobs.starved)
            check_leg(sim, leg, i);
        uint32_t next = leg->generation + 1;
        memset(leg, 0, sizeof *leg);
        leg->generation = next;
        sim->leg_names[i] = 0;
        sim->leg_serials[i] = UINT32_MAX;
    }
    uint32_t generation = call->generation + 1;
    memset(call, 0, sizeof *call);
    call->generation = generation;
}

bool check_and_clear_calls(struct sim *sim)
{
    bool left = false;

    for (unsigned i = 0; i < sim->knobs.calls; i++) {
        struct call *call = &sim->calls[i];
        if (!call->planned && call->state != CALL_FREE && is_settled(sim, call))
            clear_call(sim, call, i);
        left |= call->planned || call->state != CALL_FREE;
    }
    return !left;
}

void check_node_empty(struct sim *sim)
{
    for (unsigned i = 0; sim->node_up && i < sim->knobs.workers; i++) {
        struct core_status status;
        core_status(sim->workers[i].core, &status);
        if (status.transactions != 0)
            sim_fail(sim, "worker %u: %u transactions leaked", i, status.transactions);
        if (status.contexts != 0)
            sim_fail(sim, "worker %u: %u response contexts leaked", i, status.contexts);
        if (status.registrations_waiting != 0)
            sim_fail(sim, "worker %u: %u registrations wait for ever", i,
                     status.registrations_waiting);
        if (status.timers != 1) /* the one that clears expired bindings */
            sim_fail(sim, "worker %u: %llu timers leaked", i,
                     (unsigned long long)(status.timers - 1));
    }
    if (node_pending(sim) != 0)
        sim_fail(sim, "%u transactions are said to wait for an answer", node_pending(sim));
    if (sim->node_up && sim->location.count != 0 && !sim->knobs.scarce)
        sim_fail(sim, "%zu AORs are in the table long after all expired", sim->location.count);
}
