/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/watch - every transaction of the node, as the network sees it.
 *
 * The watch is told what the node handles and what it sends, keeps its own
 * account of both sides of each transaction, and knows at each moment what must be sent now:
 * retransmissions to the millisecond, ACKs of failures, CANCELs, provisional
 * responses and every 2xx, the targets by q, and the best response. What is sent and was not due is
 * a violation; so is what was due and was not sent.
 */
#include <stdio.h>
#include <stdlib.h>

#include "watch.h"

/* ---- accounts ---- */

unsigned watch_bucket_of(const char *branch, const char *method)
{
    uint32_t hash = 2166136261u;
    for (const char *at = branch; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (const char *at = method; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash % BUCKETS;
}

char *watch_copy_of(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

struct sent *watch_find_sent(const struct watch *watch, const char *branch, const char *method)
{
    struct sent *at = watch->sent_heads[watch_bucket_of(branch, method)];
    while (at != NULL && (strcmp(at->branch, branch) != 0 || strcmp(at->method, method) != 0))
        at = at->chain;
    return at;
}

/** The latest with this name. */
struct served *watch_find_served(const struct watch *watch, const char *branch, const char *method)
{
    struct served *at = watch->served_heads[watch_bucket_of(branch, method)];
    while (at != NULL && (strcmp(at->branch, branch) != 0 || strcmp(at->method, method) != 0))
        at = at->chain;
    return at;
}

bool watch_is_invite(const char *method)
{
    return method[0] == 'I' && method[1] == 'N' && method[2] == 'V'; /* asked very often */
}

/** What lingers ends together with others, up to 256 ms later than it might. */
static uint64_t linger_end(uint64_t from_ms, uint64_t linger_ms)
{
    return linger_ms == 0 ? from_ms : (from_ms + linger_ms + 255) / 256 * 256;
}

/** Has this branch no result yet, as far as the node can know? */
bool watch_is_pending(const struct sent *sent, uint64_t now_ms)
{
    if (sent->final != 0 || sent->refused)
        return false;
    if (sent->cancelled && sent->provisional)
        return now_ms < sent->cancel_ms + LIFE_MS;
    if (watch_is_invite(sent->method) && sent->provisional)
        return true;
    return now_ms < sent->first_ms + LIFE_MS;
}

static bool is_alive(const struct served *served, uint64_t now_ms)
{
    if (served->final == 0) { /* a silent one is kept for as long as its phone resends */
        bool open = strcmp(served->method, "INVITE") == 0 || served->child_count == 0;
        for (unsigned i = 0; i < served->child_count; i++)
            open |= watch_is_pending(served->children[i], now_ms);
        return open || now_ms < served->at_ms + LIFE_MS;
    }
    if (strcmp(served->method, "INVITE") == 0 && served->final >= 300 && served->acked)
        return now_ms < linger_end(served->acked_ms, served->reliable ? 0 : 5000);
    if (strcmp(served->method, "INVITE") != 0 && served->reliable)
        return false;
    if (strcmp(served->method, "INVITE") == 0 && served->final >= 300)
        return now_ms < served->final_ms + LIFE_MS;
    return now_ms < linger_end(served->final_ms, LIFE_MS);
}

void watch_open(struct sim *sim)
{
    sim->watch = calloc(1, sizeof *sim->watch);
    if (sim->watch == NULL)
        abort();
}

void watch_turn_clear(struct watch *watch)
{
    free(watch->pass_text);
    free(watch->ack_text);
    watch->pass_text = NULL;
    watch->ack_text = NULL;
    watch->pass_to = NULL;
    watch->fresh = NULL;
    watch->ack_child = NULL;
    watch->resend = NULL;
}

/** The node is gone, and all its transactions. */
void watch_forget(struct sim *sim)
{
    struct watch *watch = sim->watch;

    watch_turn_clear(watch);
    memset(sim->aor_open, 0, sizeof sim->aor_open);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct served *at = watch->served_heads[i]; at != NULL; at = at->chain) {
            char to[256];
            text_field(at->text, "To", 0, to, sizeof to);
            if (strcmp(at->method, "REGISTER") == 0 && at->final == 0 &&
                aors_user_of(to) < SIM_PHONES_MAX)
                sim->aor_open[aors_user_of(to)] = true;
        }
    for (unsigned i = 0; i < BUCKETS; i++) {
        while (watch->sent_heads[i] != NULL) {
            struct sent *sent = watch->sent_heads[i];
            watch->sent_heads[i] = sent->chain;
            free(sent->text);
            free(sent->final_text);
            free(sent);
        }
        while (watch->served_heads[i] != NULL) {
            struct served *served = watch->served_heads[i];
            watch->served_heads[i] = served->chain;
            free(served->text);
            free(served->last);
            free(served);
        }
    }
    watch->sent = NULL;
    watch->served = NULL;
}

void watch_close(struct sim *sim)
{
    watch_forget(sim);
    free(sim->watch);
}

void watch_name_of(const char *text, unsigned via, char branch[static 96], char method[static 16])
{
    char value[512];

    branch[0] = '\0';
    if (text_field(text, "Via", via, value, sizeof value))
        text_param(value, "branch", branch, 96);
    text_method(text, method, 16);
}

/* ---- what the node is told ---- */

static bool has_token(const char *text)
{
    char route[512], to[256];

    text_field(text, "To", 0, to, sizeof to);
    if (strstr(to, ";tag=") != NULL && strcspn(text, "\r") > strcspn(text, ";") &&
        strstr(text, ";lr;r=") != NULL && strstr(text, ";lr;r=") < strchr(text, '\r'))
        return true; /* from a strict router */
    return strstr(to, ";tag=") != NULL && text_field(text, "Route", 0, route, sizeof route) &&
           text_names_node(route) && strstr(route, ";r=") != NULL;
}

static void on_ack(struct sim *sim, const char *text, const char *branch)
{
    struct watch *watch = sim->watch;
    struct served *invite = watch_find_served(watch, branch, "INVITE");

    if (invite != NULL && is_alive(invite, sim->now_ms - 1) &&
        (invite->final == 0 || invite->final >= 300)) {
        if (invite->final >= 300 && !invite->acked) {
            invite->acked = true;
            invite->acked_ms = sim->now_ms;
            invite->resend_ms = NEVER;
        }
        return;
    }
    if (has_token(text))
        watch->ack_text = watch_copy_of(text);
}

static void on_again(struct sim *sim, struct served *served)
{
    bool due = served->final != 0
                   ? !(watch_is_invite(served->method) && served->final < 300) && !served->acked
                   : served->status != 0;
    if (due) {
        served->resend_due = true;
        sim->watch->resend = served;
    }
}

unsigned watch_breadth_of(const char *text)
{
    char value[32];

    if (!text_field(text, "Max-Breadth", 0, value, sizeof value))
        return BREADTH_MAX;
    unsigned long breadth = strtoul(value, NULL, 10);
    return breadth > BREADTH_MAX ? BREADTH_MAX : (unsigned)breadth;
}

static struct served *served_new(struct sim *sim, uint32_t phone, const char *text,
                                 const char *branch, const char *method)
{
    struct watch *watch = sim->watch;
    struct served *served = calloc(1, sizeof *served);
    if (served == NULL)
        abort();
    unsigned at = watch_bucket_of(branch, method);

    served->phone = phone;
    served->reliable = sim->phones[phone].tcp;
    served->at_ms = sim->now_ms;
    served->conn = sim->turn_conn;
    served->resend_ms = NEVER;
    served->text = watch_copy_of(text);
    snprintf(served->branch, sizeof served->branch, "%s", branch);
    snprintf(served->method, sizeof served->method, "%s", method);
    served->in_dialog = has_token(text);
    served->breadth = watch_breadth_of(text);
    served->chain = watch->served_heads[at];
    watch->served_heads[at] = served;
    served->next = watch->served;
    watch->served = served;
    return served;
}

/** What a CANCEL is for: of any method. */
static struct served *find_cancelled(const struct sim *sim, const char *branch)
{
    static const char *const methods[] = {"INVITE", "REGISTER", "MESSAGE", "BYE", "OPTIONS"};

    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        struct served *served = watch_find_served(sim->watch, branch, methods[i]);
        if (served != NULL && is_alive(served, sim->now_ms - 1))
            return served;
    }
    return NULL;
}

bool watch_same_start(const char *a, const char *b)
{
    const char *x = strchr(a, ' '), *y = strchr(b, ' ');
    size_t len = strcspn(x, "\r");
    return len == strcspn(y, "\r") && memcmp(x, y, len) == 0;
}

bool watch_same_field(const char *a, const char *b, const char *name, unsigned n)
{
    char x[1024], y[1024];
    bool there = text_field(a, name, n, x, sizeof x);
    return there == text_field(b, name, n, y, sizeof y) && strcmp(x, y) == 0;
}

/** Do they go to the same place, as far as RFC 5393 section 4.2.1 counts? */
static bool same_goal(const char *a, const char *b)
{
    static const char *const names[] = {"Route", "Proxy-Require"};
    char x[512], y[512];

    text_request_uri(a, x, sizeof x);
    text_request_uri(b, y, sizeof y);
    if (strcmp(x, y) != 0)
        return false;
    for (size_t k = 0; k < COUNT_OF(names); k++)
        for (unsigned i = 0;; i++) {
            bool more = text_field(a, names[k], i, x, sizeof x);
            if (more != text_field(b, names[k], i, y, sizeof y) || strcmp(x, y) != 0)
                return false;
            if (!more)
                break;
        }
    return true;
}

/** Has the node seen it before, on its way here? */
static void note_loop(const struct sim *sim, struct served *served)
{
    char via[512], branch[96];

    for (unsigned i = 0; text_field(served->text, "Via", i, via, sizeof via); i++) {
        if (!text_names_node(via))
            continue;
        text_param(via, "branch", branch, sizeof branch);
        const struct sent *sent = watch_find_sent(sim->watch, branch, served->method);
        if (sent == NULL || sent->parent == NULL)
            served->loop_unknown = true;
        else if (same_goal(sent->parent->text, served->text))
            served->loop = true;
        else
            served->spiral |= is_alive(sent->parent, sim->now_ms);
    }
}

/** Is the same request here already, by another way (RFC 3261 section 8.2.2.2)? */
static void note_merged(const struct sim *sim, struct served *served)
{
    for (const struct served *at = sim->watch->served; at != NULL; at = at->next) {
        if (at == served || strcmp(at->method, served->method) != 0 ||
            strcmp(at->branch, served->branch) == 0 || at->stateless ||
            !watch_same_field(at->text, served->text, "Call-ID", 0) ||
            !watch_same_field(at->text, served->text, "CSeq", 0) ||
            !watch_same_field(at->text, served->text, "From", 0))
            continue;
        bool just_over = at->final != 0 && sim->now_ms <= at->final_ms + 1;
        if (!at->doubtful && is_alive(at, sim->now_ms))
            served->merged = true;
        else if (at->doubtful || just_over || is_alive(at, sim->now_ms - 2))
            served->merged_unknown = true;
    }
}

static bool is_stateless(const struct sim *sim, const char *text, const char *method)
{
    if (strcmp(method, "OPTIONS") == 0)
        return strncmp(text, "OPTIONS sip:sim.example ", 24) == 0 &&
               text_count(text, "Route") + text_count(text, "Require") +
                       text_count(text, "Proxy-Require") ==
                   0;
    return strcmp(method, "REGISTER") == 0 && needs_credentials(sim, text) &&
           text_count(text, "Authorization") == 0;
}

/** One more copy of a request that was refused without a transaction. */
static void copy_again(struct served *served, const struct served *before)
{
    served->copies = before->copies + 1;
    served->answers = before->answers;
    snprintf(served->refused_to, sizeof served->refused_to, "%s", before->refused_to);
}

static void cancelled_by(struct served *invite, const char *cancel, uint64_t now_ms)
{
    if (invite->cancelled)
        return;
    text_field(cancel, "Reason", 0, invite->reason, sizeof invite->reason);
    invite->cancelled_ms = now_ms;
    invite->cancelled = true;
}

static void request_in(struct sim *sim, uint32_t from, const char *text)
{
    struct watch *watch = sim->watch;
    char branch[96], method[16];

    watch_name_of(text, 0, branch, method);
    if (strcmp(method, "ACK") == 0) {
        on_ack(sim, text, branch);
        return;
    }
    struct served *served = watch_find_served(watch, branch, method);
    if (served != NULL && is_alive(served, sim->now_ms - 1) && !served->stateless) {
        on_again(sim, served);
        return;
    }
    const struct served *before = served;
    served = served_new(sim, from, text, branch, method);
    served->copies = 1;
    served->waited_ms = sim->turn_waited_ms;
    if (before != NULL && before->stateless)
        copy_again(served, before);
    served->doubtful = before != NULL; /* to the millisecond nobody can say whether it is new */
    served->stateless = is_stateless(sim, text, method);
    watch->fresh = served;
    note_loop(sim, served);
    if (strcmp(method, "REGISTER") == 0)
        note_merged(sim, served);
    access_note(sim, from, text);
    if (sim->knobs.records && watch_is_invite(method) && !served->in_dialog)
        watch_locate(sim, served); /* what it waits for changes nothing */
    if (strcmp(method, "CANCEL") != 0)
        return;
    struct served *invite = find_cancelled(sim, branch);
    served->wanted = invite != NULL ? 200 : 481;
    if (invite != NULL && (invite->stateless || invite->doubtful))
        served->wanted = 0; /* 481 if it was refused without a transaction */
    if (invite != NULL && watch_is_invite(invite->method) && invite->final == 0)
        cancelled_by(invite, text, sim->now_ms);
}

static void pass(struct watch *watch, struct served *to, const char *text)
{
    watch->pass_to = to;
    watch->pass_text = watch_copy_of(text);
}

/** Does what lives for 64*T1 after a response end in this moment? */
static bool is_ending(uint64_t final_ms, uint64_t now_ms)
{
    uint64_t end_ms = linger_end(final_ms, LIFE_MS);
    return now_ms + TOLERANCE_MS >= end_ms && now_ms <= end_ms + TOLERANCE_MS;
}

static void final_again(struct sim *sim, struct sent *sent, const char *text, unsigned status)
{
    struct watch *watch = sim->watch;

    if (!watch_is_invite(sent->method))
        return;
    if (sent->final >= 300 && status >= 300 && !sent->reliable &&
        sim->now_ms < linger_end(sent->final_ms, LIFE_MS)) {
        sent->acks_due = 1;
        watch->ack_child = sent;
    }
    struct served *parent = sent->parent;
    if (is_ending(sent->final_ms, sim->now_ms) || is_ending(parent->final_ms, sim->now_ms))
        parent->doubtful = true;
    if (sent->final < 300 && status < 300 && sim->now_ms < linger_end(sent->final_ms, LIFE_MS) &&
        sim->now_ms < linger_end(parent->final_ms, LIFE_MS))
        pass(watch, parent, text);
}

/** It has told that the flow of the target that it went to is gone. */
static void flow_failed(struct sim *sim, const struct sent *sent)
{
    const struct served *parent = sent->parent;
    char uri[256];

    if (parent == NULL || parent->in_dialog)
        return;
    same_final_uri(sim, sent->text, uri, sizeof uri);
    aors_flow_failed(sim, uri, watch_by_router(sent->text),
                     sent->target >= 0 && parent->final == 0 /* else nobody listens any more */
                         ? parent->targets[sent->target].version
                         : 0);
}

static void final_in(struct sim *sim, struct sent *sent, const char *text, unsigned status)
{
    struct watch *watch = sim->watch;
    struct served *parent = sent->parent;

    if (!watch_is_pending(sent, sim->now_ms - 1)) /* a message before a timer of the same moment */
        return;
    sent->final = status;
    sent->final_ms = sent->done_ms = sim->now_ms;
    sent->final_text = watch_copy_of(text);
    sent->resend_ms = NEVER;
    if (watch_is_invite(sent->method)) {
        struct sent *cancel = watch_find_sent(watch, sent->branch, "CANCEL");
        if (cancel != NULL)
            cancel->resend_ms = NEVER;
        if (status >= 300) {
            sent->acks_due = 1;
            watch->ack_child = sent;
        }
    }
    if (status == 430 && watch_by_router(sent->text))
        flow_failed(sim, sent);
    if (parent != NULL && status >= 300 && status < 400)
        watch_follow(sim, sent);
    if (parent == NULL || status >= 300)
        return;
    if (parent->final == 0 || (watch_is_invite(parent->method) && parent->final < 300 &&
                               sim->now_ms < linger_end(parent->final_ms, LIFE_MS)))
        pass(watch, parent, text);
}

static void response_in(struct sim *sim, const char *text)
{
    char branch[96], method[16];
    unsigned status = text_status(text);

    watch_name_of(text, 0, branch, method);
    struct sent *sent = watch_find_sent(sim->watch, branch, method);
    if (sent == NULL)
        return;
    if (sent->refused && sim->now_ms <= sent->done_ms + TOLERANCE_MS) {
        sent->doubtful = true; /* in the moment that its stream was lost: in time, or too late */
        if (sent->parent != NULL)
            sent->parent->doubtful = true;
        return;
    }
    if (status >= 200) {
        if (sent->final != 0)
            final_again(sim, sent, text, status);
        else
            final_in(sim, sent, text, status);
        return;
    }
    if (!watch_is_pending(sent, sim->now_ms - 1)) /* a message before a timer of the same moment */
        return;
    sent->provisional = true;
    if (!watch_is_invite(sent->method))
        return;
    sent->resend_ms = NEVER;
    if (status == 100)
        return;
    if (!sent->by_timer_c)
        sent->timer_c_ms = sim->now_ms + SIM_TIMER_C_MS;
    if (sent->parent->final == 0)
        pass(sim->watch, sent->parent, text);
}

void watch_in(struct sim *sim, uint32_t from, const char *text)
{
    if (sim->knobs.starved)
        return;
    sim->watch->touched = true;
    if (text_status(text) != 0)
        response_in(sim, text);
    else
        request_in(sim, from, text);
}

/** The node has learned that what it sent was refused. */
void watch_refused(struct sim *sim, const char *text, bool known, bool closed)
{
    char branch[96], method[16];

    if (sim->knobs.starved || text_status(text) != 0)
        return;
    watch_name_of(text, 0, branch, method);
    struct sent *sent = watch_find_sent(sim->watch, branch, method);
    if (sent == NULL || strcmp(method, "ACK") == 0)
        return;
    sim->watch->touched = true;
    if (!known) {
        sent->doubtful = true;
        if (sent->parent != NULL)
            sent->parent->doubtful = true;
        return;
    }
    if (watch_is_pending(sent, sim->now_ms) && !(watch_is_invite(method) && sent->provisional)) {
        sent->refused = true;
        sent->done_ms = sim->now_ms;
        sent->resend_ms = NEVER;
        if (closed && !watch_by_router(sent->text))
            flow_failed(sim, sent);
    }
}

void watch_gone(struct sim *sim, const char *text)
{
    char branch[96], method[16];

    if (sim->knobs.starved || text_status(text) != 0)
        return;
    watch_name_of(text, 0, branch, method);
    struct sent *sent = watch_find_sent(sim->watch, branch, method);
    if (sent != NULL)
        sent->doubtful = true;
}

void watch_conn_lost(struct sim *sim, uint32_t phone)
{
    for (struct sent *at = sim->watch->sent; at != NULL; at = at->next)
        if (at->to == phone && at->reliable && watch_is_pending(at, sim->now_ms - 1)) {
            at->refused = true;
            at->done_ms = sim->now_ms;
        }
}

bool watch_heard_nothing(const struct sim *sim, const char *invite)
{
    char branch[96], method[16];

    for (unsigned i = 0; i < text_count(invite, "Via"); i++) {
        watch_name_of(invite, i, branch, method);
        const struct sent *sent = watch_find_sent(sim->watch, branch, method);
        if (sent != NULL && !sent->provisional && sent->final == 0)
            return true;
    }
    return false;
}
