/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/hops - is each request tried at the right target, in its turn, and in time? (RFC 3263)
 *
 * What the DNS told a worker and what its targets answered there says which ones a request may go
 * to: the best that is not dead, none twice, and the next one as soon as one has failed. Where that
 * cannot be known from outside, because an answer ended or a target failed in that moment, nothing
 * is said.
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

enum {
    SWEEP_MS = 50,
    EDGE_MS = 5,  /* around the end of anything */
    HOPS_MAX = 8, /* the node tries no more of one name */
};

/* ---- what is known of a name ---- */

/** What a worker knows at this moment; NULL: nothing. `*vague`: nobody can say. */
static const struct far_set *known(const struct sim *sim, const struct far_call *call,
                                   unsigned name, enum dns_type type, bool *vague)
{
    const struct far_told *told = &sim->far->told[call->worker][name][type];

    if (told->at_ms == 0)
        return NULL;
    if (told->expires_ms <= sim->now_ms + EDGE_MS) {
        *vague |= told->expires_ms + FAR_WAIT_MS + FAR_SLACK_MS > sim->now_ms;
        return NULL;
    }
    return told->failed ? NULL : &told->set;
}

static void add_target(struct far_call *call, struct far_target target)
{
    for (unsigned i = 0; i < call->list_count; i++) {
        struct far_target *other = &call->list[i];
        if (other->host == target.host && other->port == target.port && other->tcp == target.tcp) {
            if (target.order < other->order)
                other->order = target.order;
            return;
        }
    }
    if (call->list_count < FAR_TARGETS)
        call->list[call->list_count++] = target;
    call->vague |= call->list_count > HOPS_MAX;
}

static void add_addresses(const struct sim *sim, struct far_call *call, unsigned name,
                          struct far_target like)
{
    const struct far_set *set = known(sim, call, name, DNS_A, &call->vague);

    for (unsigned i = 0; set != NULL && i < set->count; i++) {
        like.host = set->records[i].host;
        add_target(call, like);
    }
}

/** False: there are no such records. */
static bool add_service(const struct sim *sim, struct far_call *call, bool tcp, unsigned order)
{
    const struct far_set *set =
        known(sim, call, zone_srv(call->domain, tcp), DNS_SRV, &call->vague);

    for (unsigned i = 0; set != NULL && i < set->count; i++)
        add_addresses(sim, call, zone_host(set->records[i].host),
                      (struct far_target){.port = set->records[i].port,
                                          .order = order + set->records[i].order,
                                          .tcp = tcp});
    return set != NULL && set->count > 0;
}

static bool add_naptr(const struct sim *sim, struct far_call *call)
{
    const struct far_set *set =
        known(sim, call, zone_domain(call->domain), DNS_NAPTR, &call->vague);

    /* Two at most, drawn in their order. */
    for (unsigned i = 0; set != NULL && i < set->count; i++)
        add_service(sim, call, set->records[i].tcp, 100 * i);
    return set != NULL && set->count > 0;
}

static bool add_services(const struct sim *sim, struct far_call *call)
{
    if (call->form == FORM_TRANSPORT)
        return add_service(sim, call, call->tcp, 0);
    if (add_naptr(sim, call))
        return true;
    bool udp = add_service(sim, call, false, 0);
    return add_service(sim, call, true, 100) || udp;
}

/* ---- health ---- */

static struct far_health *health_of(struct sim *sim, const struct far_call *call, unsigned host,
                                    unsigned port, bool tcp)
{
    return &sim->far->health[call->worker][host][port][tcp];
}

static void judge(struct sim *sim, const struct far_call *call, struct far_target *target)
{
    const struct far_health *h = health_of(sim, call, target->host, target->port, target->tcp);
    uint64_t most_ms = h->said ? h->dead_until_ms : h->failed_ms + FAR_DEAD_MOST_MS;

    target->alive = target->dead = false;
    if (h->vague)
        return;
    if (h->failed_ms == 0 || h->answered_ms > h->failed_ms) {
        target->alive = h->answered_ms + EDGE_MS < sim->now_ms;
        return;
    }
    target->dead = sim->now_ms > h->failed_ms + EDGE_MS && sim->now_ms + EDGE_MS < h->dead_until_ms;
    target->alive = sim->now_ms > most_ms + EDGE_MS;
}

/** `said_s`: its Retry-After; 0: none. */
static void note_failed(struct sim *sim, const struct far_call *call,
                        const struct far_branch *branch, unsigned said_s)
{
    struct far_health *h = health_of(sim, call, branch->host, branch->port, branch->tcp);
    bool was_dead = h->failed_ms != 0 && h->answered_ms <= h->failed_ms;

    if (said_s == 0 && was_dead && !h->vague && sim->now_ms + EDGE_MS < h->dead_until_ms)
        return; /* one failure of many */
    bool exact = !h->vague && h->said && sim->now_ms > h->dead_until_ms + EDGE_MS;
    h->vague = said_s == 0 && was_dead && !exact &&
               sim->now_ms <= h->failed_ms + FAR_DEAD_MOST_MS; /* it may be dead still, or anew */
    h->vague |= call->cancelled;                               /* then nobody asks any more */
    h->failed_ms = sim->far->learned_ms[call->worker] = sim->now_ms;
    h->said = said_s > 0;
    h->dead_until_ms = sim->now_ms + (said_s > 0 ? said_s * UINT64_C(1000) : FAR_DEAD_MS);
}

static void note_answered(struct sim *sim, const struct far_call *call,
                          const struct far_branch *branch)
{
    struct far_health *h = health_of(sim, call, branch->host, branch->port, branch->tcp);

    h->vague = h->failed_ms == sim->now_ms || call->cancelled; /* then nobody asks any more */
    h->answered_ms = sim->far->learned_ms[call->worker] = sim->now_ms;
}

/** A call that is recorded waits for its receipt between being decided and being sent. */
static bool is_decided_earlier(const struct sim *sim, const struct far_call *call)
{
    return sim->knobs.records && call->invite &&
           sim->far->learned_ms[call->worker] >= call->taken_ms;
}

static void make_list(struct sim *sim, struct far_call *call)
{
    unsigned port = call->number % FAR_PORTS;

    call->listed = true;
    call->vague |= is_decided_earlier(sim, call);
    call->list_count = 0;
    if (call->form == FORM_HOST)
        add_addresses(sim, call, zone_host(call->domain),
                      (struct far_target){.port = port, .tcp = call->tcp});
    else if (!add_services(sim, call))
        add_addresses(sim, call, zone_domain(call->domain),
                      (struct far_target){.tcp = call->form == FORM_TRANSPORT && call->tcp});
    for (unsigned i = 0; i < call->list_count; i++) {
        struct far_target *target = &call->list[i];
        judge(sim, call, target);
        sim_trace(sim, "    call %u (worker %u) may go to host %u, port %u%s: order %u%s%s%s",
                  call->number, call->worker, target->host, target->port,
                  target->tcp ? " by TCP" : "", target->order, target->alive ? ", alive" : "",
                  target->dead ? ", dead" : "", call->vague ? ", perhaps" : "");
    }
}

/* ---- branches ---- */

static struct far_branch *branch_of(struct far_call *call, const char *text)
{
    char via[512], name[96];

    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", name, sizeof name);
    for (unsigned i = 0; i < call->branch_count; i++)
        if (strcmp(call->branches[i].name, name) == 0)
            return &call->branches[i];
    return NULL;
}

/** Is all that is known of it about the node that runs now? */
static bool is_present(const struct sim *sim, const struct far_call *call)
{
    return call->taken && !call->doubtful && call->boot == sim->boot;
}

static bool is_untried_left(const struct far_call *call)
{
    for (unsigned i = 0; i < call->list_count; i++)
        if (!call->list[i].tried)
            return true;
    return false;
}

/** When the next must be heard of it. A caller whose own time is over is told nothing (RFC 4320).
 */
static void set_due(const struct sim *sim, struct far_call *call, uint64_t in_ms)
{
    bool late = call->final != 0 ||
                (!call->invite && sim->now_ms + FAR_SLACK_MS >= call->taken_ms + FAR_LIFE_MS);

    call->due_ms = late ? 0 : sim->now_ms + in_ms + FAR_SLACK_MS;
}

/** Timers B and F. */
static void end_silent(struct sim *sim, struct far_call *call)
{
    for (unsigned i = 0; i < call->branch_count; i++) {
        struct far_branch *branch = &call->branches[i];
        bool waits = !branch->over && !(call->invite && branch->heard);
        if (!waits || branch->at_ms + FAR_LIFE_MS > sim->now_ms)
            continue;
        branch->over = true;
        note_failed(sim, call, branch, 0);
        if (!call->invite) /* one alone says little (RFC 4320 §4.2) */
            health_of(sim, call, branch->host, branch->port, branch->tcp)->vague = true;
        set_due(sim, call, 0);
    }
}

static void end_all_silent(struct sim *sim)
{
    for (unsigned i = 0; i < FAR_CALLS; i++)
        if (is_present(sim, &sim->far->calls[i]))
            end_silent(sim, &sim->far->calls[i]);
}

/* ---- what the node does ---- */

static void check_order(struct sim *sim, const struct far_call *call,
                        const struct far_target *chosen)
{
    for (unsigned i = 0; i < call->list_count; i++) {
        const struct far_target *other = &call->list[i];
        bool better = other->order < chosen->order;
        if (other->tried || other == chosen)
            continue;
        if ((better && other->alive) || (better && other->dead && chosen->dead))
            sim_fail(sim, "call %u: a target of order %u is tried before one of order %u",
                     call->number, chosen->order, other->order);
        if (other->alive && chosen->dead)
            sim_fail(sim, "call %u: a dead target is tried before one that is alive", call->number);
    }
}

static void check_target(struct sim *sim, struct far_call *call, struct far_branch *branch)
{
    for (unsigned i = 0; i + 1 < call->branch_count; i++) {
        const struct far_branch *other = &call->branches[i];
        if (other->host == branch->host && other->port == branch->port && other->tcp == branch->tcp)
            sim_fail(sim, "call %u: a target is tried twice", call->number);
        if (!other->over)
            sim_fail(sim, "call %u: a target is tried while another may answer", call->number);
    }
    branch->target = -1;
    if (call->vague)
        return;
    for (unsigned i = 0; i < call->list_count; i++) {
        struct far_target *target = &call->list[i];
        if (target->host != branch->host || target->port != branch->port ||
            target->tcp != branch->tcp)
            continue;
        branch->target = (int)i;
        check_order(sim, call, target);
        target->tried = true;
        sim->far->checked++;
        sim->far->failovers += call->branch_count > 1;
        return;
    }
    sim_fail(sim, "call %u: sent to host %u, port %u, which no answer named", call->number,
             branch->host, branch->port);
}

static void request_out(struct sim *sim, uint32_t worker, const struct flow *to, const char *text)
{
    struct far_call *call = far_call_of(sim, text);
    char method[16];

    text_method(text, method, sizeof method);
    if (call == NULL || call->doubtful || strcmp(method, "ACK") == 0 ||
        strcmp(method, "CANCEL") == 0 || branch_of(call, text) != NULL)
        return;
    if (call->client == FAR_STRANGER || !call->taken || worker != call->worker) {
        sim_fail(sim, "call %u: sent on, but for nobody who may", call->number);
        return;
    }
    end_all_silent(sim);
    if (!call->listed)
        make_list(sim, call);
    if (call->cancelled)
        sim_fail(sim, "call %u: a new target after the CANCEL", call->number);
    if (call->branch_count == FAR_TARGETS) {
        sim_fail(sim, "call %u: targets without end", call->number);
        return;
    }
    struct far_branch *branch = &call->branches[call->branch_count++];
    char via[512];
    *branch = (struct far_branch){.host = to->remote.bytes[3] - 1u,
                                  .port = to->remote.port - 5060u,
                                  .tcp = to->transport == TRANSPORT_TCP,
                                  .at_ms = sim->now_ms};
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch->name, sizeof branch->name);
    check_target(sim, call, branch);
    set_due(sim, call, FAR_LIFE_MS);
}

/** A failure of the node's own: nothing is left that could be tried. */
static void check_gave_up(struct sim *sim, struct far_call *call, unsigned status)
{
    if (!call->listed)
        make_list(sim, call);
    if (!call->vague && is_untried_left(call))
        sim_fail(sim, "call %u: answered %u, and a target was not tried", call->number, status);
}

static void response_out(struct sim *sim, const char *text)
{
    struct far_call *call = far_call_of(sim, text);
    unsigned status = text_status(text);
    char method[16];

    text_method(text, method, sizeof method);
    if (call == NULL || status < 200 || strcmp(method, "CANCEL") == 0)
        return;
    call->due_ms = 0;
    if (records_refuse(sim, method, status)) {
        call->final = status;
        return;
    }
    if (call->client == FAR_STRANGER && status != 403 && status != 407)
        sim_fail(sim, "call %u: a stranger is answered %u", call->number, status);
    if (call->client == FAR_STRANGER || call->doubtful || call->final != 0)
        return;
    call->final = status;
    if (!call->passed && !call->cancelled) {
        end_all_silent(sim);
        check_gave_up(sim, call, status);
    }
}

void hops_out(struct sim *sim, uint32_t worker, const struct flow *to, const char *text)
{
    if (text_status(text) == 0)
        request_out(sim, worker, to, text);
    else
        response_out(sim, text);
}

/* ---- what it is told ---- */

static void request_in(struct sim *sim, struct far_call *call, const char *text)
{
    char method[16];

    text_method(text, method, sizeof method);
    if (strcmp(method, "ACK") == 0)
        return;
    if (strcmp(method, "CANCEL") == 0) {
        call->cancelled |= call->final == 0;
        return;
    }
    if (call->taken && call->boot == sim->boot)
        return;
    if (call->taken) { /* after a crash it is a new one */
        call->listed = call->vague = call->cancelled = call->passed = call->doubtful = false;
        call->list_count = call->branch_count = call->final = 0;
    }
    call->taken = true;
    call->worker = sim->worker_now;
    call->boot = sim->boot;
    call->taken_ms = sim->now_ms;
    if (call->client == FAR_CALLER)
        set_due(sim, call, FAR_WAIT_MS);
}

static unsigned said_of(const char *text)
{
    char value[32];
    return text_field(text, "Retry-After", 0, value, sizeof value)
               ? (unsigned)strtoul(value, NULL, 10)
               : 0;
}

static void response_in(struct sim *sim, struct far_call *call, const char *text)
{
    struct far_branch *branch = branch_of(call, text);
    unsigned status = text_status(text);
    char method[16];

    text_method(text, method, sizeof method);
    if (branch == NULL || strcmp(method, "CANCEL") == 0 || !is_present(sim, call))
        return;
    end_all_silent(sim);
    if (branch->over) {
        struct far_health *h = health_of(sim, call, branch->host, branch->port, branch->tcp);
        h->vague |= status < 300; /* a copy of a 2xx is looked at */
        return;
    }
    if (status < 200) {
        branch->heard = true;
        note_answered(sim, call, branch);
        if (call->invite)
            set_due(sim, call, SIM_TIMER_C_MS + FAR_LIFE_MS);
        return;
    }
    branch->over = true;
    call->passed |= status != 503;
    if (status == 503)
        note_failed(sim, call, branch, said_of(text));
    else
        note_answered(sim, call, branch);
    set_due(sim, call, 0);
    if (call->final != 0)
        call->due_ms = 0;
}

void hops_in(struct sim *sim, uint32_t from, const char *text)
{
    struct far_call *call = far_call_of(sim, text);

    if (call == NULL)
        return;
    if (from >= SIM_CLIENT)
        request_in(sim, call, text);
    else
        response_in(sim, call, text);
}

bool hops_refused(struct sim *sim, const char *text, bool told)
{
    const char *at_via = strstr(text, "\r\nVia: ");
    char via[256], branch[96];

    if (sim->far == NULL || at_via == NULL)
        return false;
    bool request = strncmp(text, "ACK ", 4) != 0 && strncmp(text, "CANCEL ", 7) != 0;
    snprintf(via, sizeof via, "%.*s", (int)strcspn(at_via + 2, "\r"), at_via + 2);
    text_param(via, "branch", branch, sizeof branch);
    for (unsigned i = 0; i < FAR_CALLS; i++) {
        struct far_call *call = &sim->far->calls[i];
        for (unsigned k = 0; k < call->branch_count; k++) {
            struct far_branch *at = &call->branches[k];
            if (strcmp(at->name, branch) != 0)
                continue;
            if (!told || !request || at->over || !is_present(sim, call))
                return true;
            at->over = true;
            if (!at->heard)
                note_failed(sim, call, at, 0);
            else
                health_of(sim, call, at->host, at->port, at->tcp)->vague = true;
            set_due(sim, call, 0);
            return true;
        }
    }
    return false;
}

void hops_node_down(struct sim *sim)
{
    if (sim->far == NULL)
        return;
    for (unsigned i = 0; i < FAR_CALLS; i++) {
        struct far_call *call = &sim->far->calls[i];
        call->doubtful |= call->taken && call->final == 0;
        if (call->doubtful)
            call->due_ms = 0;
    }
    memset(sim->far->told, 0, sizeof sim->far->told);
    memset(sim->far->health, 0, sizeof sim->far->health);
}

void hops_sweep(struct sim *sim)
{
    struct far *far = sim->far;

    if (far == NULL || sim->now_ms < far->swept_ms + SWEEP_MS)
        return;
    far->swept_ms = sim->now_ms;
    end_all_silent(sim);
    for (unsigned i = 0; i < FAR_CALLS; i++) {
        const struct far_call *call = &far->calls[i];
        if (call->due_ms == 0 || call->doubtful || sim->now_ms <= call->due_ms)
            continue;
        sim_fail(sim, "call %u: neither answered nor sent to the next target in time",
                 call->number);
        return;
    }
}
