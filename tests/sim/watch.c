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

#include "sim.h"

enum {
    BUCKETS = 1024,
    T1 = 500,
    T2 = 4000,
    LIFE_MS = 64 * T1,
    TOLERANCE_MS = 3,
    SWEEP_MS = 10,
    TARGETS_MAX = 64,
    BREADTH_MAX = 60, /* ours, as our manual says */
    REDIRECTED_MAX = 8,
    CHILDREN_MAX = 64,
    ANSWER_MS = 30,            /* a mailbox there and back, and timers */
    REGISTER_ANSWER_MS = 6000, /* a line of them, each with its receipt */
    GONE_MS = 80000,
    STALE_MS = 150000, /* after the end of all, in a long run */
};
#define NEVER UINT64_MAX

struct served;

/** A request that the node sent. */
struct sent {
    struct sent *chain, *next;
    struct served *parent; /* NULL: a CANCEL */
    char branch[96], method[16];
    uint32_t to;
    bool reliable;
    char *text;
    uint64_t first_ms, resend_ms, timer_c_ms, cancel_ms, final_ms, done_ms;
    uint32_t gap_ms;
    bool provisional, cancelled, by_timer_c, refused, doubtful, unlisted, stale;
    bool followed, partly; /* its redirection: all of it, or some */
    unsigned breadth;
    unsigned final, acks_due;
    char *final_text;
    int target; /* index in the parent's targets, or -1 */
};

/** A request that the node took. */
struct served {
    struct served *chain, *next;
    char branch[96], method[16];
    uint32_t phone;
    bool reliable, in_dialog, located, certain, cancelled, acked, doubtful, stateless;
    bool resend_due;
    bool stale;                  /* to be forgotten */
    bool unlisted;               /* swept out of the list of what is at work */
    bool loop, loop_unknown;     /* it came back for the same URI; who knows */
    bool merged, merged_unknown; /* it came by another way, too */
    char reason[64];             /* of the CANCEL for it */
    unsigned breadth;
    uint64_t at_ms, final_ms, acked_ms, resend_ms;
    uint32_t gap_ms;
    unsigned status, final; /* of what was sent last; of the final response */
    char *text, *last;
    struct sent *children[CHILDREN_MAX];
    unsigned child_count;
    struct sim_binding targets[TARGETS_MAX];
    bool started[TARGETS_MAX];
    unsigned target_count;
    unsigned copies, answers; /* of a request that is refused without a transaction */
    char refused_to[128];     /* the To of that refusal */
    uint32_t conn;            /* of its phone then; 0: none */
    unsigned wanted;          /* a CANCEL's answer; 0: any */
};

struct watch {
    struct sent *sent_heads[BUCKETS], *sent;
    struct served *served_heads[BUCKETS], *served;
    uint64_t swept_ms;
    bool touched; /* something came or went in this turn */
    /* due in this turn */
    struct served *pass_to, *fresh;
    char *pass_text;
    char *ack_text;
    struct sent *ack_child;
    struct served *resend;
};

/* ---- accounts ---- */

static unsigned bucket_of(const char *branch, const char *method)
{
    uint32_t hash = 2166136261u;
    for (const char *at = branch; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    for (const char *at = method; *at != '\0'; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return hash % BUCKETS;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL)
        abort();
    return copy;
}

static struct sent *find_sent(const struct watch *watch, const char *branch, const char *method)
{
    struct sent *at = watch->sent_heads[bucket_of(branch, method)];
    while (at != NULL && (strcmp(at->branch, branch) != 0 || strcmp(at->method, method) != 0))
        at = at->chain;
    return at;
}

/** The latest with this name. */
static struct served *find_served(const struct watch *watch, const char *branch, const char *method)
{
    struct served *at = watch->served_heads[bucket_of(branch, method)];
    while (at != NULL && (strcmp(at->branch, branch) != 0 || strcmp(at->method, method) != 0))
        at = at->chain;
    return at;
}

static bool is_invite(const char *method)
{
    return method[0] == 'I' && method[1] == 'N' && method[2] == 'V'; /* asked very often */
}

/** Has this branch no result yet, as far as the node can know? */
static bool is_pending(const struct sent *sent, uint64_t now_ms)
{
    if (sent->final != 0 || sent->refused)
        return false;
    if (sent->cancelled && sent->provisional)
        return now_ms < sent->cancel_ms + LIFE_MS;
    if (is_invite(sent->method) && sent->provisional)
        return true;
    return now_ms < sent->first_ms + LIFE_MS;
}

static bool is_alive(const struct served *served, uint64_t now_ms)
{
    if (served->final == 0) { /* a silent one is kept for as long as its phone resends */
        bool open = strcmp(served->method, "INVITE") == 0 || served->child_count == 0;
        for (unsigned i = 0; i < served->child_count; i++)
            open |= is_pending(served->children[i], now_ms);
        return open || now_ms < served->at_ms + LIFE_MS;
    }
    if (strcmp(served->method, "INVITE") == 0 && served->final >= 300 && served->acked)
        return now_ms < served->acked_ms + (served->reliable ? 0 : 5000);
    if (strcmp(served->method, "INVITE") != 0 && served->reliable)
        return false;
    return now_ms < served->final_ms + LIFE_MS;
}

void watch_open(struct sim *sim)
{
    sim->watch = calloc(1, sizeof *sim->watch);
    if (sim->watch == NULL)
        abort();
}

static void turn_clear(struct watch *watch)
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

    turn_clear(watch);
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

static void name_of(const char *text, unsigned via, char branch[static 96], char method[static 16])
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
    struct served *invite = find_served(watch, branch, "INVITE");

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
        watch->ack_text = copy_of(text);
}

static void on_again(struct sim *sim, struct served *served)
{
    bool due = served->final != 0
                   ? !(is_invite(served->method) && served->final < 300) && !served->acked
                   : served->status != 0;
    if (due) {
        served->resend_due = true;
        sim->watch->resend = served;
    }
}

static unsigned breadth_of(const char *text)
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
    unsigned at = bucket_of(branch, method);

    served->phone = phone;
    served->reliable = sim->phones[phone].tcp;
    served->at_ms = sim->now_ms;
    served->conn = sim->turn_conn;
    served->resend_ms = NEVER;
    served->text = copy_of(text);
    snprintf(served->branch, sizeof served->branch, "%s", branch);
    snprintf(served->method, sizeof served->method, "%s", method);
    served->in_dialog = has_token(text);
    served->breadth = breadth_of(text);
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
        struct served *served = find_served(sim->watch, branch, methods[i]);
        if (served != NULL && is_alive(served, sim->now_ms - 1))
            return served;
    }
    return NULL;
}

static bool same_start(const char *a, const char *b)
{
    const char *x = strchr(a, ' '), *y = strchr(b, ' ');
    size_t len = strcspn(x, "\r");
    return len == strcspn(y, "\r") && memcmp(x, y, len) == 0;
}

static bool same_field(const char *a, const char *b, const char *name, unsigned n)
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
        const struct sent *sent = find_sent(sim->watch, branch, served->method);
        if (sent == NULL || sent->parent == NULL)
            served->loop_unknown = true;
        else
            served->loop |= same_goal(sent->parent->text, served->text);
    }
}

/** Is the same request here already, by another way (RFC 3261 section 8.2.2.2)? */
static void note_merged(const struct sim *sim, struct served *served)
{
    for (const struct served *at = sim->watch->served; at != NULL; at = at->next) {
        if (at == served || strcmp(at->method, served->method) != 0 ||
            strcmp(at->branch, served->branch) == 0 || at->stateless ||
            !same_field(at->text, served->text, "Call-ID", 0) ||
            !same_field(at->text, served->text, "CSeq", 0) ||
            !same_field(at->text, served->text, "From", 0))
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

static void cancelled_by(struct served *invite, const char *cancel)
{
    if (!invite->cancelled)
        text_field(cancel, "Reason", 0, invite->reason, sizeof invite->reason);
    invite->cancelled = true;
}

static void request_in(struct sim *sim, uint32_t from, const char *text)
{
    struct watch *watch = sim->watch;
    char branch[96], method[16];

    name_of(text, 0, branch, method);
    if (strcmp(method, "ACK") == 0) {
        on_ack(sim, text, branch);
        return;
    }
    struct served *served = find_served(watch, branch, method);
    if (served != NULL && is_alive(served, sim->now_ms - 1) && !served->stateless) {
        on_again(sim, served);
        return;
    }
    const struct served *before = served;
    served = served_new(sim, from, text, branch, method);
    served->copies = 1;
    if (before != NULL && before->stateless)
        copy_again(served, before);
    served->doubtful = before != NULL; /* to the millisecond nobody can say whether it is new */
    served->stateless = is_stateless(sim, text, method);
    watch->fresh = served;
    note_loop(sim, served);
    if (strcmp(method, "REGISTER") == 0)
        note_merged(sim, served);
    access_note(sim, from, text);
    if (strcmp(method, "CANCEL") != 0)
        return;
    struct served *invite = find_cancelled(sim, branch);
    served->wanted = invite != NULL ? 200 : 481;
    if (invite != NULL && (invite->stateless || invite->doubtful))
        served->wanted = 0; /* 481 if it was refused without a transaction */
    if (invite != NULL && is_invite(invite->method) && invite->final == 0)
        cancelled_by(invite, text);
}

static void pass(struct watch *watch, struct served *to, const char *text)
{
    watch->pass_to = to;
    watch->pass_text = copy_of(text);
}

/** Does what lives for 64*T1 after a response end in this moment? */
static bool is_ending(uint64_t final_ms, uint64_t now_ms)
{
    return now_ms + TOLERANCE_MS >= final_ms + LIFE_MS &&
           now_ms <= final_ms + LIFE_MS + TOLERANCE_MS;
}

static void final_again(struct sim *sim, struct sent *sent, const char *text, unsigned status)
{
    struct watch *watch = sim->watch;

    if (!is_invite(sent->method))
        return;
    if (sent->final >= 300 && status >= 300 && !sent->reliable &&
        sim->now_ms < sent->final_ms + LIFE_MS) {
        sent->acks_due = 1;
        watch->ack_child = sent;
    }
    struct served *parent = sent->parent;
    if (is_ending(sent->final_ms, sim->now_ms) || is_ending(parent->final_ms, sim->now_ms))
        parent->doubtful = true;
    if (sent->final < 300 && status < 300 && sim->now_ms < sent->final_ms + LIFE_MS &&
        sim->now_ms < parent->final_ms + LIFE_MS)
        pass(watch, parent, text);
}

static void follow(struct sim *sim, struct sent *child);

static void final_in(struct sim *sim, struct sent *sent, const char *text, unsigned status)
{
    struct watch *watch = sim->watch;
    struct served *parent = sent->parent;

    if (!is_pending(sent, sim->now_ms - 1)) /* a message before a timer of the same moment */
        return;
    sent->final = status;
    sent->final_ms = sent->done_ms = sim->now_ms;
    sent->final_text = copy_of(text);
    sent->resend_ms = NEVER;
    if (is_invite(sent->method)) {
        struct sent *cancel = find_sent(watch, sent->branch, "CANCEL");
        if (cancel != NULL)
            cancel->resend_ms = NEVER;
        if (status >= 300) {
            sent->acks_due = 1;
            watch->ack_child = sent;
        }
    }
    if (parent != NULL && status >= 300 && status < 400)
        follow(sim, sent);
    if (parent == NULL || status >= 300)
        return;
    if (parent->final == 0 || (is_invite(parent->method) && parent->final < 300 &&
                               sim->now_ms < parent->final_ms + LIFE_MS))
        pass(watch, parent, text);
}

static void response_in(struct sim *sim, const char *text)
{
    char branch[96], method[16];
    unsigned status = text_status(text);

    name_of(text, 0, branch, method);
    struct sent *sent = find_sent(sim->watch, branch, method);
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
    if (!is_pending(sent, sim->now_ms - 1)) /* a message before a timer of the same moment */
        return;
    sent->provisional = true;
    if (!is_invite(sent->method))
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
void watch_refused(struct sim *sim, const char *text, bool known)
{
    char branch[96], method[16];

    if (sim->knobs.starved || text_status(text) != 0)
        return;
    name_of(text, 0, branch, method);
    struct sent *sent = find_sent(sim->watch, branch, method);
    if (sent == NULL || strcmp(method, "ACK") == 0)
        return;
    sim->watch->touched = true;
    if (!known) {
        sent->doubtful = true;
        if (sent->parent != NULL)
            sent->parent->doubtful = true;
        return;
    }
    if (is_pending(sent, sim->now_ms) && !(is_invite(method) && sent->provisional)) {
        sent->refused = true;
        sent->done_ms = sim->now_ms;
        sent->resend_ms = NEVER;
    }
}

void watch_gone(struct sim *sim, const char *text)
{
    char branch[96], method[16];

    if (sim->knobs.starved || text_status(text) != 0)
        return;
    name_of(text, 0, branch, method);
    struct sent *sent = find_sent(sim->watch, branch, method);
    if (sent != NULL)
        sent->doubtful = true;
}

void watch_conn_lost(struct sim *sim, uint32_t phone)
{
    for (struct sent *at = sim->watch->sent; at != NULL; at = at->next)
        if (at->to == phone && at->reliable && is_pending(at, sim->now_ms - 1)) {
            at->refused = true;
            at->done_ms = sim->now_ms;
        }
}

/* ---- targets ---- */

static bool has_six(const struct served *served)
{
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i]->final >= 600)
            return true;
    return false;
}

static bool has_six_before(const struct served *served, const struct sent *child)
{
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i] != child && served->children[i]->final >= 600)
            return true;
    return false;
}

/** The user that a Request-URI of ours names; SIM_PHONES_MAX: none of them. */
static unsigned user_of_request(const struct sim *sim, const char *text)
{
    char uri[128];
    const char *at = text + strcspn(text, " ") + 1;

    snprintf(uri, sizeof uri, "%.*s", (int)strcspn(at, " "), at);
    if (strncmp(uri, "tel:", 4) == 0)
        at = uri + 4;
    else if (strncmp(uri, "sip:", 4) == 0 &&
             (strstr(uri, "@sim.example") != NULL || text_names_node(uri)))
        at = uri + 4;
    else
        return SIM_PHONES_MAX;
    char *end;
    unsigned user;
    if (*at == 'u') {
        user = (unsigned)strtoul(at + 1, &end, 10);
    } else {
        user = (unsigned)strtoul(at, &end, 10) - 100;
    }
    if (*end != '@' && *end != '\0')
        return SIM_PHONES_MAX;
    return user < sim->knobs.phones && !sim->disabled[user] ? user : SIM_PHONES_MAX;
}

/** May its sender call outside? Then he may be led there, too. */
static bool reaches_outside(const struct sim *sim, const struct served *served)
{
    return served->phone == SIM_ROUTER || needs_credentials(sim, served->text);
}

/** Takes out what leads a stranger outside, and what is there already. */
static unsigned drop_targets(const struct sim *sim, const struct served *served,
                             struct sim_binding *targets, unsigned count)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        bool known = false;
        for (unsigned k = 0; k < kept; k++)
            known |= strcmp(targets[k].uri, targets[i].uri) == 0 &&
                     strcmp(targets[k].path, targets[i].path) == 0;
        if (!known && (!targets[i].elsewhere || reaches_outside(sim, served)))
            targets[kept++] = targets[i];
    }
    return kept;
}

static void locate(struct sim *sim, struct served *served)
{
    if (served->located)
        return;
    served->located = true;
    served->certain = true;
    unsigned user = user_of_request(sim, served->text);
    if (!served->in_dialog && user < SIM_PHONES_MAX)
        served->target_count =
            drop_targets(sim, served, served->targets,
                         aors_targets(sim, user, served->targets, TARGETS_MAX, &served->certain));
}

/** Is the other proxy the next hop of this message, by its Route? */
static bool by_router(const char *text)
{
    char value[512];

    text_request_uri(text, value, sizeof value);
    if (strcmp(value, "sip:" SIM_ROUTER_HOST) == 0)
        return true;
    text_field(text, "Route", 0, value, sizeof value);
    value[strcspn(value, ",")] = '\0';
    return strstr(value, SIM_ROUTER_HOST) != NULL;
}

/** The same URI with and without Path are two. */
static int find_target(const struct served *served, const char *uri, bool routed)
{
    for (unsigned i = 0; i < served->target_count; i++)
        if (strcmp(served->targets[i].uri, uri) == 0 &&
            (served->targets[i].path[0] != '\0') == routed)
            return (int)i;
    return -1;
}

/** When a branch that is over ended. */
static uint64_t ended_ms(const struct sent *child)
{
    if (child->done_ms != 0)
        return child->done_ms;
    return (child->cancelled ? child->cancel_ms : child->first_ms) + LIFE_MS;
}

/** Is `at` held up by another flow of its phone (RFC 5626 section 5.3)? */
enum held {
    HELD_NOT = 0,
    HELD_BUSY,   /* until that one fails at once */
    HELD_SETTLED /* the phone was reached, or waited for: it is not tried any more */
};

static enum held held_up(const struct served *served, unsigned at, uint64_t now_ms)
{
    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->target < 0 || (unsigned)child->target == at ||
            served->targets[at].instance[0] == '\0' ||
            strcmp(served->targets[child->target].instance, served->targets[at].instance) != 0)
            continue;
        if (is_pending(child, now_ms) && !child->doubtful)
            return HELD_BUSY;
        if (!child->refused && child->final != 430 &&
            (!served->targets[at].added || ended_ms(child) > served->targets[at].added_ms))
            return HELD_SETTLED;
    }
    return HELD_NOT;
}

/** A target that a redirection adds; false: it is known, or there is no room. */
static bool add_target(struct served *served, const struct sim_binding *binding, unsigned q,
                       uint64_t now_ms)
{
    int known = find_target(served, binding->uri, binding->path[0] != '\0');
    bool was_lost = known >= 0 && served->targets[known].lost && !served->started[known];
    if (known >= 0 && !was_lost)
        return false;
    if (known < 0 && served->target_count == TARGETS_MAX) {
        served->certain = false;
        return false;
    }
    struct sim_binding *made =
        &served->targets[was_lost ? (unsigned)known : served->target_count++];
    *made = *binding;
    made->q = q;
    made->added = true;
    made->added_ms = now_ms;
    return true;
}

static unsigned q_of(const char *contact)
{
    char text[16];

    text_param(contact, "q", text, sizeof text);
    return text[0] == '\0' ? 1000 : (unsigned)(strtod(text, NULL) * 1000 + 0.5);
}

/** What one Contact of a redirection leads to. */
static unsigned led_to(struct sim *sim, struct served *served, const char *uri,
                       struct sim_binding out[static REDIRECTED_MAX])
{
    bool certain = true;
    unsigned count = 0, usable = 0;

    if (strstr(uri, "@sim.example") == NULL) {
        out[0] = (struct sim_binding){0};
        snprintf(out[0].uri, sizeof out[0].uri, "%s", uri);
        return reaches_outside(sim, served) ? 1 : 0;
    }
    unsigned user = aors_user_of(uri);
    if (user >= sim->knobs.phones || sim->disabled[user])
        return 0;
    count = aors_targets(sim, user, out, REDIRECTED_MAX, &certain);
    certain = certain && count < REDIRECTED_MAX;
    count = drop_targets(sim, served, out, count);
    for (unsigned i = 0; i < count; i++) {
        if (out[i].lost && sim->now_ms <= out[i].lost_ms + 5)
            certain = false;
        if (!out[i].lost)
            out[usable++] = out[i];
    }
    served->certain = served->certain && certain;
    return usable;
}

/** RFC 3261 section 16.7 step 4: a 3xx is followed, where that is configured and may be. */
static void follow(struct sim *sim, struct sent *child)
{
    struct served *served = child->parent;
    struct sim_binding found[REDIRECTED_MAX];
    char contact[256], uri[128];
    bool left = false;

    if (!sim->knobs.recurse || served->in_dialog || served->cancelled || served->final != 0 ||
        has_six_before(served, child))
        return;
    for (unsigned i = 0; text_field(child->final_text, "Contact", i, contact, sizeof contact);
         i++) {
        text_uri(contact, uri, sizeof uri);
        unsigned count = led_to(sim, served, uri, found);
        left |= count == 0;
        for (unsigned k = 0; k < count; k++)
            child->followed |= add_target(served, &found[k], q_of(contact), sim->now_ms);
    }
    child->partly = child->followed && left;
}

static void check_turn_of_target(struct sim *sim, struct served *served, unsigned at)
{
    unsigned q = served->targets[at].q;

    if (served->started[at])
        sim_fail(sim, "the target %s is tried twice", served->targets[at].uri);
    if (served->certain && held_up(served, at, sim->now_ms) != HELD_NOT)
        sim_fail(sim, "%s is tried beside another flow of its phone", served->targets[at].uri);
    for (unsigned i = 0; i < served->target_count && served->certain; i++)
        if (!served->started[i] && served->targets[i].q > q && !served->targets[i].lost &&
            held_up(served, i, sim->now_ms) == HELD_NOT)
            sim_fail(sim, "%s is tried before %s, whose q is higher", served->targets[at].uri,
                     served->targets[i].uri);
    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        bool other = child->target >= 0 && served->targets[child->target].q != q;
        if (other && is_pending(child, sim->now_ms) && !child->doubtful)
            sim_fail(sim, "%s is tried while %s still rings, whose q is another",
                     served->targets[at].uri, served->targets[child->target].uri);
    }
    served->started[at] = true;
}

static void check_hop_in_dialog(struct sim *sim, uint32_t to, const char *uri, const char *text)
{
    uint32_t peer = by_router(text) ? SIM_ROUTER : phone_by_uri(sim, uri);
    bool moved = sim->phones[peer].tcp && sim->phones[peer].user == sim->phones[to].user &&
                 !sim->phones[to].instance;

    if (peer != to && !moved) /* on a stream: the user's only phone, if it has no name of its own */
        sim_fail(sim, "%.*s in a dialog went to phone %u", (int)strcspn(text, "\r"), text, to);
}

/** Where may this new branch go? Gives the index of its target, or -1. */
static int check_target(struct sim *sim, struct served *served, uint32_t to, const char *text)
{
    char uri[256];

    same_final_uri(sim, text, uri, sizeof uri);
    locate(sim, served);
    if (served->in_dialog) {
        check_hop_in_dialog(sim, to, uri, text);
        if (served->child_count > 0)
            sim_fail(sim, "a %s in a dialog was forked", served->method);
        return -1;
    }
    int at = find_target(served, uri, by_router(text));
    if (at < 0) {
        if (served->certain && phone_by_uri(sim, uri) != 0)
            sim_fail(sim, "a %s went to %s, which is not registered there", served->method, uri);
        return -1;
    }
    const struct sim_binding *target = &served->targets[at];
    if ((target->path[0] != '\0' ? SIM_ROUTER : phone_by_uri(sim, uri)) != to)
        sim_fail(sim, "a %s for %s went to phone %u", served->method, uri, to);
    if (target->lost && sim->now_ms > target->lost_ms + 5)
        sim_fail(sim, "a %s went to %s, whose connection is gone", served->method, uri);
    check_turn_of_target(sim, served, (unsigned)at);
    return at;
}

/** Is a target left that must be tried before a failure may be answered? */
static bool has_target_left(const struct served *served, uint64_t now_ms)
{
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && !served->targets[i].lost &&
            held_up(served, i, now_ms) != HELD_SETTLED)
            return true;
    return false;
}

/* ---- what the node sends: requests ---- */

static void check_resend(struct sim *sim, struct sent *sent, const char *text)
{
    if (strcmp(sent->text, text) != 0) {
        sim_fail(sim, "a %s was sent again with other bytes", sent->method);
        return;
    }
    if (sent->doubtful)
        return;
    if (sent->resend_ms == NEVER || sim->now_ms + TOLERANCE_MS < sent->resend_ms ||
        sim->now_ms > sent->resend_ms + TOLERANCE_MS) {
        sim_fail(sim, "a %s to phone %u was sent again when it was not due (%lld ms from due)",
                 sent->method, sent->to,
                 sent->resend_ms == NEVER ? -1LL
                                          : (long long)sim->now_ms - (long long)sent->resend_ms);
        return;
    }
    sent->gap_ms *= 2;
    if (!is_invite(sent->method) && (sent->gap_ms > T2 || sent->provisional))
        sent->gap_ms = T2;
    sent->resend_ms = sim->now_ms + sent->gap_ms;
    uint64_t end_ms = sent->first_ms + LIFE_MS;
    if (sent->resend_ms >= end_ms)
        sent->resend_ms = NEVER;
}

static struct sent *sent_new(struct sim *sim, uint32_t to, const char *text, const char *branch,
                             const char *method)
{
    struct watch *watch = sim->watch;
    struct sent *sent = calloc(1, sizeof *sent);
    if (sent == NULL)
        abort();
    unsigned at = bucket_of(branch, method);

    snprintf(sent->branch, sizeof sent->branch, "%s", branch);
    snprintf(sent->method, sizeof sent->method, "%s", method);
    sent->to = to;
    sent->reliable = sim->phones[to].tcp;
    sent->text = copy_of(text);
    sent->first_ms = sim->now_ms;
    sent->gap_ms = T1;
    sent->resend_ms = sent->reliable ? NEVER : sim->now_ms + T1;
    sent->timer_c_ms = sim->now_ms + SIM_TIMER_C_MS;
    sent->target = -1;
    sent->chain = watch->sent_heads[at];
    watch->sent_heads[at] = sent;
    sent->next = watch->sent;
    watch->sent = sent;
    return sent;
}

/** CANCEL and ACK of a failure: as section 9.1 and section 17.1.1.3 say. */
static void check_hop_by_hop(struct sim *sim, const char *invite, const char *text)
{
    char cseq[32];

    text_field(text, "CSeq", 0, cseq, sizeof cseq);
    char number[32];
    text_field(invite, "CSeq", 0, number, sizeof number);
    if (!same_start(invite, text) || !same_field(invite, text, "Via", 0) ||
        !same_field(invite, text, "From", 0) || !same_field(invite, text, "Call-ID", 0) ||
        text_count(invite, "Route") != text_count(text, "Route") ||
        !same_field(invite, text, "Route", 0) ||
        strtoul(cseq, NULL, 10) != strtoul(number, NULL, 10))
        sim_fail(sim, "this does not fit its INVITE: %.*s", (int)strcspn(text, "\r"), text);
}

static void cancel_out(struct sim *sim, uint32_t to, const char *text, const char *branch)
{
    struct sent *invite = find_sent(sim->watch, branch, "INVITE");

    if (invite == NULL) {
        sim_fail(sim, "a CANCEL for no INVITE to phone %u", to);
        return;
    }
    check_hop_by_hop(sim, invite->text, text);
    if (!same_field(invite->text, text, "To", 0) || invite->to != to)
        sim_fail(sim, "a CANCEL that does not go where its INVITE went");
    if (!invite->provisional || invite->final != 0)
        sim_fail(sim, "a CANCEL to phone %u %s (section 9.1)", to,
                 invite->final != 0 ? "after the final response" : "before any response");
    struct served *parent = invite->parent;
    bool timer_c = sim->now_ms + TOLERANCE_MS >= invite->timer_c_ms;
    bool because =
        parent->cancelled || has_six(parent) || (parent->final >= 200 && parent->final < 300);
    if (!because && !timer_c && !parent->doubtful)
        sim_fail(sim, "a CANCEL to phone %u that nobody asked for", to);
    const char *reason = strstr(text, "\r\nReason: ");
    if (parent->cancelled && parent->final == 0 && !has_six(parent) && parent->reason[0] != '\0' &&
        (reason == NULL || strncmp(reason + 10, parent->reason, strlen(parent->reason)) != 0))
        sim_fail(sim, "the Reason of a CANCEL was lost (RFC 3326)");
    if (because && !parent->cancelled && reason == NULL)
        sim_fail(sim, "a CANCEL without Reason (RFC 3326)");
    invite->by_timer_c = !because && timer_c;
    invite->cancelled = true;
    invite->cancel_ms = sim->now_ms;
    sent_new(sim, to, text, branch, "CANCEL");
}

static void ack_out(struct sim *sim, uint32_t to, const char *text, const char *branch)
{
    struct watch *watch = sim->watch;
    char why[256], uri[256];

    if (text_count(text, "Via") == 1) {
        struct sent *invite = find_sent(watch, branch, "INVITE");
        if (invite != NULL && invite->acks_due == 0 && invite->doubtful)
            return;
        if (invite == NULL || invite->acks_due == 0) {
            sim_fail(sim, "an ACK to phone %u that was not due", to);
            return;
        }
        invite->acks_due--;
        check_hop_by_hop(sim, invite->text, text);
        if (!same_field(invite->final_text, text, "To", 0) || invite->to != to)
            sim_fail(sim, "the ACK of a failure has another To, or goes elsewhere");
        return;
    }
    if (watch->ack_text == NULL) {
        sim_fail(sim, "an ACK to phone %u that nobody sent now", to);
        return;
    }
    uint32_t from = sim->turn_from;
    if (!same_request(sim, from, "", watch->ack_text, text, why, sizeof why))
        sim_fail(sim, "an ACK was changed on its way: %s", why);
    same_final_uri(sim, text, uri, sizeof uri);
    check_hop_in_dialog(sim, to, uri, text);
    free(watch->ack_text);
    watch->ack_text = NULL;
}

/** Is a Record-Route value of ours one that this peer can reach? */
static bool fits_peer(const struct sim *sim, const char *route, uint32_t peer)
{
    const struct phone *phone = &sim->phones[peer];
    return (strchr(route, '[') != NULL) == phone->v6 &&
           (strstr(route, ";transport=tcp") != NULL) == phone->tcp;
}

static bool is_our_record(const char *text, unsigned i, char route[static 512])
{
    return text_field(text, "Record-Route", i, route, 512) && text_names_node(route) &&
           strstr(route, ";lr;r=") != NULL;
}

static void check_record_route(struct sim *sim, const struct served *parent, const char *text)
{
    char route[512], to[256];
    unsigned ours = 0, before = 0;
    const struct phone *a = &sim->phones[parent->phone], *b = &sim->phones[sim->turn_to];

    for (unsigned i = 0; i < text_count(text, "Record-Route"); i++)
        ours += is_our_record(text, i, route);
    for (unsigned i = 0; i < text_count(parent->text, "Record-Route"); i++)
        before += is_our_record(parent->text, i, route);
    ours -= before < ours ? before : ours;
    text_field(text, "To", 0, to, sizeof to);
    bool dialog = (is_invite(parent->method) || strcmp(parent->method, "REFER") == 0) &&
                  strstr(to, ";tag=") == NULL;
    bool differ = a->tcp != b->tcp || a->v6 != b->v6;
    if (ours != (!dialog ? 0u : differ ? 2u : 1u))
        sim_fail(sim, "a %s with %u Record-Route values of ours", parent->method, ours);
    if (dialog && (!is_our_record(text, 0, route) || !fits_peer(sim, route, sim->turn_to)))
        sim_fail(sim, "the first Record-Route is of no use to phone %u: %s", sim->turn_to, route);
    if (dialog && differ &&
        (!is_our_record(text, 1, route) || !fits_peer(sim, route, parent->phone)))
        sim_fail(sim, "the second Record-Route is of no use to phone %u: %s", parent->phone, route);
}

/** What the branches at work have of the Max-Breadth (RFC 5393 section 5.3.3). */
static unsigned breadth_used(const struct served *served, uint64_t now_ms)
{
    unsigned used = 0;

    for (unsigned i = 0; i < served->child_count; i++)
        if (is_pending(served->children[i], now_ms) && !served->children[i]->doubtful)
            used += served->children[i]->breadth;
    return used;
}

static void check_breadth(struct sim *sim, const struct served *parent, unsigned breadth)
{
    unsigned used = breadth_used(parent, sim->now_ms);

    if (breadth == 0 || used + breadth > parent->breadth)
        sim_fail(sim, "Max-Breadth %u of %u, while %u of it are at work", breadth, parent->breadth,
                 used);
}

static void request_out(struct sim *sim, uint32_t to, const char *text)
{
    struct watch *watch = sim->watch;
    char branch[96], method[16], upper[96], why[256], uri[256];

    name_of(text, 0, branch, method);
    if (strcmp(method, "ACK") == 0) {
        ack_out(sim, to, text, branch);
        return;
    }
    struct sent *sent = find_sent(watch, branch, method);
    if (sent != NULL) {
        check_resend(sim, sent, text);
        return;
    }
    if (strcmp(method, "CANCEL") == 0) {
        cancel_out(sim, to, text, branch);
        return;
    }
    name_of(text, 1, upper, method);
    struct served *parent = find_served(watch, upper, method);
    if (parent == NULL) {
        sim_fail(sim, "a %s to phone %u that nobody sent", method, to);
        return;
    }
    if (parent->final != 0 || parent->cancelled || has_six(parent)) {
        sim_fail(sim, "a new branch of a %s that is answered (%u) or cancelled", method,
                 parent->final);
        return;
    }
    same_final_uri(sim, text, uri, sizeof uri);
    locate(sim, parent);
    int known = find_target(parent, uri, by_router(text));
    const char *path = known >= 0 ? parent->targets[known].path : "";
    if (!same_request(sim, parent->phone, path, parent->text, text, why, sizeof why))
        sim_fail(sim, "a %s was changed on its way: %s", method, why);
    if (parent->loop)
        sim_fail(sim, "a %s that came back for the same URI was sent on again", method);
    if (!parent->doubtful)
        check_breadth(sim, parent, breadth_of(text));
    char expect[16];
    if (text_field(parent->text, "X-Expect", 0, expect, sizeof expect))
        sim_fail(sim, "a %s was let through that should be refused with %s", method, expect);
    if (parent->child_count == 0)
        check_access(sim, parent->phone, parent->text);
    check_record_route(sim, parent, text);
    int target = check_target(sim, parent, to, text);
    sent = sent_new(sim, to, text, branch, method);
    sent->parent = parent;
    sent->target = target;
    sent->breadth = breadth_of(text);
    if (parent->child_count < CHILDREN_MAX)
        parent->children[parent->child_count++] = sent;
    else
        parent->doubtful = true;
}

/* ---- what the node sends: responses ---- */

/** The order of section 16.7 step 6, as our manual states it. */
static unsigned rank_of(unsigned status, bool cancelled)
{
    static const unsigned again[] = {415, 420, 484}, nobody[] = {408, 430, 440, 480, 482, 483, 487};

    if (status >= 600)
        return 0;
    if (cancelled && status == 487)
        return 1;
    if (status < 400)
        return 2;
    if (status == 401 || status == 407)
        return 3;
    for (size_t i = 0; i < COUNT_OF(again); i++)
        if (status == again[i])
            return 4;
    for (size_t i = 0; i < COUNT_OF(nobody); i++)
        if (status == nobody[i])
            return 6;
    if (status < 500)
        return 5;
    return status == 503 ? 8 : 7;
}

/** By timeout: also the 487 that Timer C brought about, and a 408 to anything but INVITE. */
static bool counts_as_timeout(const struct sent *child)
{
    if (child->refused)
        return false;
    if (child->final == 487 && is_invite(child->method) && child->final_ms >= child->timer_c_ms)
        return true; /* whoever has cancelled it */
    return child->final == 0 || (child->by_timer_c && child->final == 487) ||
           (child->final == 408 && !is_invite(child->method));
}

static const struct sent *best_child(const struct served *served)
{
    const struct sent *best = NULL;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->final < 300 || counts_as_timeout(child) || (child->followed && !child->partly))
            continue;
        if (best == NULL) {
            best = child;
            continue;
        }
        unsigned a = rank_of(child->final, served->cancelled);
        unsigned b = rank_of(best->final, served->cancelled);
        if (a < b || (a == b && child->final_ms < best->final_ms))
            best = child;
    }
    return best;
}

static void check_best(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);
    const struct sent *best = best_child(served);

    if (best != NULL && best->final != 503) {
        bool same_rank = false; /* 6xx, or equals that came in one millisecond */
        for (unsigned i = 0; i < served->child_count; i++) {
            const struct sent *child = served->children[i];
            if (child->final < 300 || counts_as_timeout(child) ||
                (child->followed && !child->partly))
                continue;
            bool tie = rank_of(child->final, served->cancelled) ==
                           rank_of(best->final, served->cancelled) &&
                       (child->final_ms == best->final_ms || served->cancelled);
            if ((child == best || tie) && child->partly && status == child->final)
                same_rank = true; /* with those Contacts that were not followed */
            if ((child == best || tie) &&
                same_response(child->final_text, text, best->final == 401 || best->final == 407))
                same_rank = true;
        }
        if (!same_rank)
            sim_fail(sim, "the best response is a %u, but %u was sent", best->final, status);
        return;
    }
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i]->doubtful)
            return;
    unsigned wanted = 500;
    bool timed_out = false;
    for (unsigned i = 0; i < served->child_count; i++)
        timed_out |= counts_as_timeout(served->children[i]);
    if (best == NULL && served->cancelled)
        wanted = 487;
    else if (best == NULL && timed_out)
        wanted = is_invite(served->method) ? 408 : 0;
    if (status != wanted)
        sim_fail(sim, "all branches failed without a usable response: %u was due, %u was sent",
                 wanted, status);
}

unsigned watch_registers(const struct sim *sim, unsigned user)
{
    unsigned count = 0;
    char to[256];

    for (const struct served *at = sim->watch->served; at != NULL; at = at->next) {
        text_field(at->text, "To", 0, to, sizeof to);
        count += strcmp(at->method, "REGISTER") == 0 && at->final == 0 && aors_user_of(to) == user;
    }
    return count;
}

/** Is the connection of a phone the one by which it began, or took, this call? */
static bool has_conn_of_dialog(const struct sim *sim, const struct phone *phone, const char *text)
{
    char call_id[64], to[256], tag[64];

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    for (unsigned i = 0; i < sim->knobs.calls; i++)
        if (strcmp(sim->calls[i].call_id, call_id) == 0 && strcmp(sim->calls[i].tag, tag) == 0)
            return sim->calls[i].phone == phone->index && sim->calls[i].conn == phone->conn;
    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (sim->legs[i].phone == phone->index && strcmp(sim->legs[i].tag, tag) == 0)
            return sim->legs[i].conn == phone->conn && sim->legs[i].boot == sim->boot;
    return false;
}

/** Is the callee of this request in a dialog one whom the node must find: on a stream, registered?
 */
static bool is_findable(struct sim *sim, const struct served *served)
{
    char to[256], tag[64], uri[256];
    struct sim_binding found[TARGETS_MAX];
    bool certain;

    text_field(served->text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    same_final_uri(sim, served->text, uri, sizeof uri);
    const struct phone *peer = &sim->phones[phone_by_uri(sim, uri)];
    if (peer->tcp && peer->conn != 0 && has_conn_of_dialog(sim, peer, served->text))
        return true;
    if (sim->knobs.recurse || strncmp(tag, "leg", 3) != 0 || !peer->tcp || !peer->instance ||
        peer->user >= SIM_PHONES_MAX)
        return false; /* who was redirected to is no user to us, and a caller may be unregistered */
    unsigned count = aors_targets(sim, peer->user, found, TARGETS_MAX, &certain);
    for (unsigned i = 0; i < count && certain; i++)
        if (phone_by_uri(sim, found[i].uri) == peer->index && !found[i].lost)
            return true;
    return false;
}

/** A final response that did not come from a phone: refused by the node itself. */
static void check_refusal(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);
    char wanted[16];

    if (served->wanted != 0 && status != served->wanted)
        sim_fail(sim, "a %s was answered %u, not %u", served->method, status, served->wanted);
    if (text_field(served->text, "Max-Forwards", 0, wanted, sizeof wanted) &&
        strtol(wanted, NULL, 10) == 0 && strcmp(served->method, "CANCEL") != 0) {
        if (status != 483 && status != 416)
            sim_fail(sim, "a %s without hops left was answered %u", served->method, status);
        return;
    }
    if (served->loop || (status == 482 && served->loop_unknown)) {
        if (status != 482)
            sim_fail(sim, "a %s that came back for the same URI was answered %u", served->method,
                     status);
        return;
    }
    bool open = !needs_credentials(sim, served->text);
    if (served->merged && (status == 200 || (open && status != 482)))
        sim_fail(sim, "a %s that came by two ways was answered %u", served->method, status);
    if (status == 482) {
        if (!served->merged && !served->merged_unknown &&
            !aors_is_round(sim, user_of_request(sim, served->text)))
            sim_fail(sim, "a %s was answered 482 that came once: %.*s", served->method,
                     (int)strcspn(served->text, "\r"), served->text);
        return;
    }
    if (strcmp(served->method, "REGISTER") == 0) {
        sim->turn_gone = served->conn != sim->phones[served->phone].conn;
        aors_on_answer(sim, served->phone, served->text, text);
        check_refused_access(sim, served->phone, served->text, text);
        return;
    }
    if (text_field(served->text, "X-Expect", 0, wanted, sizeof wanted)) {
        check_refused_access(sim, served->phone, served->text, text);
        if (strstr(wanted, "any") == NULL && (unsigned)(int)strtol(wanted, NULL, 10) != status)
            sim_fail(sim, "a %s was answered %u, not %s: %.*s", served->method, status, wanted,
                     (int)strcspn(served->text, "\r"), served->text);
        return;
    }
    if (strcmp(served->method, "CANCEL") == 0)
        return;
    check_refused_access(sim, served->phone, served->text, text);
    if (status == 401 || status == 407)
        return;
    if (status == 403 && text_count(served->text, "X-Creds") > 0)
        return;
    if (served->cancelled && status == 487)
        return;
    locate(sim, served);
    unsigned user = user_of_request(sim, served->text);
    bool lost = served->target_count > 0 && !has_target_left(served, sim->now_ms);
    bool none = status == (user < SIM_PHONES_MAX ? 480u : 404u) ||
                (!sim->knobs.auth && user >= SIM_PHONES_MAX);
    if (served->in_dialog && status == 430 && phone_any_tcp(sim) && !is_findable(sim, served))
        return;
    if (!served->in_dialog && (served->target_count == 0 || lost) && none)
        return;
    if (served->certain || served->in_dialog)
        sim_fail(sim, "a sound %s was refused with %u: %.*s", served->method, status,
                 (int)strcspn(served->text, "\r"), served->text);
}

/**
 * Of a refusal of the node's own: is it a single response, without a transaction (section
 * 26.3.2.4)? It is when the sender has proved nothing, and nothing that may change was the reason.
 */
static bool is_single(const struct sim *sim, const struct served *served, unsigned status,
                      bool *unknown)
{
    static const unsigned lasting[] = {400, 403, 404, 405, 420, 489};
    bool credentials = text_count(served->text, "Authorization") > 0 ||
                       text_count(served->text, "Proxy-Authorization") > 0;

    *unknown = false;
    if (served->phone == SIM_ROUTER)
        return false; /* whom we trust */
    *unknown = (credentials && status < 500) || served->in_dialog;
    if ((status == 416 || status == 483) && !served->in_dialog)
        return true;
    if (*unknown)
        return false;
    if (status == 401 || status == 407)
        return true;
    if (status == 404 && !sim->knobs.auth)
        return false; /* until somebody registers by that name */
    if (strcmp(served->method, "REGISTER") == 0 || needs_credentials(sim, served->text))
        return false;
    for (size_t i = 0; i < COUNT_OF(lasting); i++)
        if (status == lasting[i])
            return true;
    return false;
}

static void note_refusal(const struct sim *sim, struct served *served, const char *text)
{
    bool unknown = false;

    if (!is_single(sim, served, text_status(text), &unknown)) {
        served->doubtful |= unknown;
        return;
    }
    served->stateless = true;
    served->answers++;
    served->resend_ms = NEVER;
    text_field(text, "To", 0, served->refused_to, sizeof served->refused_to);
}

/** A further response to a request that was refused without a transaction. */
static void check_single(struct sim *sim, struct served *served, const char *text)
{
    char to[128];

    if (++served->answers > served->copies)
        sim_fail(sim, "a %u to a %s that proved nothing was sent again", text_status(text),
                 served->method);
    text_field(text, "To", 0, to, sizeof to);
    if (strcmp(to, served->refused_to) != 0)
        sim_fail(sim, "the copies of one %s got different To tags", served->method);
}

static void check_final(struct sim *sim, struct served *served, const char *text)
{
    bool pending = false;

    bool is_register = strcmp(served->method, "REGISTER") == 0;
    if (served->doubtful && is_register) { /* whatever it was, it counts */
        sim->turn_gone = served->conn != sim->phones[served->phone].conn;
        aors_on_answer(sim, served->phone, served->text, text);
    }
    if (served->doubtful)
        return;
    if (served->child_count == 0) {
        check_refusal(sim, served, text);
        return;
    }
    for (unsigned i = 0; i < served->child_count; i++)
        pending |= is_pending(served->children[i], sim->now_ms) && !served->children[i]->doubtful;
    if (pending)
        sim_fail(sim, "a %s was answered %u while a branch is open", served->method,
                 text_status(text));
    else if (!served->cancelled && !has_six(served) && served->certain &&
             has_target_left(served, sim->now_ms))
        sim_fail(sim, "a %s was answered %u before all targets were tried", served->method,
                 text_status(text));
    else
        check_best(sim, served, text);
}

static void note_response(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);

    free(served->last);
    served->last = copy_of(text);
    served->status = status;
    if (status < 200 || served->final != 0)
        return;
    served->final = status;
    served->final_ms = sim->now_ms;
    if (is_invite(served->method) && status >= 300 && !served->reliable) {
        served->gap_ms = T1;
        served->resend_ms = sim->now_ms + T1;
    }
}

/** The same response again: because its request came again, or by Timer G. */
static void check_response_again(struct sim *sim, struct served *served)
{
    if (served->resend_due) {
        served->resend_due = false;
        sim->watch->resend = NULL;
        return;
    }
    if (served->resend_ms == NEVER || sim->now_ms + TOLERANCE_MS < served->resend_ms ||
        sim->now_ms > served->resend_ms + TOLERANCE_MS) {
        sim_fail(sim, "a %u to a %s of phone %u was sent again when it was not due: %.*s",
                 served->status, served->method, served->phone, (int)strcspn(served->branch, "\r"),
                 served->branch);
        return;
    }
    served->gap_ms = served->gap_ms * 2 > T2 ? T2 : served->gap_ms * 2;
    served->resend_ms = sim->now_ms + served->gap_ms;
    if (served->resend_ms >= served->final_ms + LIFE_MS)
        served->resend_ms = NEVER;
}

static void response_out(struct sim *sim, uint32_t to, const char *text)
{
    struct watch *watch = sim->watch;
    char branch[96], method[16];
    unsigned status = text_status(text);

    name_of(text, 0, branch, method);
    struct served *served = find_served(watch, branch, method);
    if (served == NULL || served->phone != to) {
        sim_fail(sim, "a %u to a %s that phone %u never sent", status, method, to);
        return;
    }
    check_nonce_sent(sim, to, text);
    if (served->stateless && served->refused_to[0] != '\0') {
        check_single(sim, served, text);
        return;
    }
    if (served->stateless && served->final != 0)
        return;
    if (watch->pass_to == served && same_response(watch->pass_text, text, false)) {
        free(watch->pass_text);
        watch->pass_text = NULL;
        watch->pass_to = NULL;
        note_response(sim, served, text);
        return;
    }
    if (served->last != NULL && strcmp(served->last, text) == 0) {
        if (!served->doubtful)
            check_response_again(sim, served);
        return;
    }
    if (served->final != 0) {
        if (!served->doubtful)
            sim_fail(sim, "a %s that got its %u gets a %u", method, served->final, status);
        return;
    }
    char why[256];
    bool passed_on = served->child_count > 0 && status >= 200;
    if (!passed_on && !same_answer(sim, served->phone, served->text, text, why, sizeof why))
        sim_fail(sim, "a %u to a %s does not repeat it: %s", status, method, why);
    if (status == 100) {
        uint64_t wanted_ms = served->at_ms + (is_invite(method) ? 0 : 7 * T1);
        if (sim->now_ms + TOLERANCE_MS < wanted_ms || served->status != 0)
            sim_fail(sim, "a 100 to a %s that was not due (RFC 4320 section 4.1)", method);
    } else if (served->doubtful && served->child_count > 0 && status < 300) {
        sim_trace(sim, "    nobody can say whether it was due");
    } else if (status < 200) {
        sim_fail(sim, "a %u to a %s that no phone sent now", status, method);
    } else if (served->child_count > 0 && status < 300) {
        sim_fail(sim, "a %u to a %s that no phone sent now", status, method);
    } else {
        check_final(sim, served, text);
    }
    note_response(sim, served, text);
    if (status >= 300 && served->child_count == 0)
        note_refusal(sim, served, text);
}

void watch_out(struct sim *sim, uint32_t to, const char *text)
{
    if (sim->knobs.starved)
        return;
    sim->turn_to = to;
    sim->watch->touched = true;
    if (text_status(text) != 0)
        response_out(sim, to, text);
    else
        request_out(sim, to, text);
}

/* ---- what was due and did not come ---- */

/** Must the branches that still ring be cancelled? */
static bool must_cancel(const struct served *served)
{
    if (!is_invite(served->method))
        return false;
    return served->cancelled || has_six(served) || (served->final >= 200 && served->final < 300);
}

static bool has_just_failed(const struct sent *child, uint64_t now_ms)
{
    if (child->refused)
        return now_ms <= child->done_ms + TOLERANCE_MS;
    return !is_pending(child, now_ms) && is_pending(child, now_ms - TOLERANCE_MS);
}

/** Of the flows of one phone only one is tried: is none of the same turn before this one? */
static bool is_first_flow(const struct served *served, unsigned at, unsigned q)
{
    for (unsigned i = 0; i < at; i++)
        if (!served->started[i] && served->targets[i].q >= q &&
            served->targets[at].instance[0] != '\0' &&
            strcmp(served->targets[i].instance, served->targets[at].instance) == 0)
            return false;
    return true;
}

static void check_group(struct sim *sim, const struct served *served)
{
    unsigned q = 0;
    bool pending = false;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->target >= 0 && is_pending(child, sim->now_ms)) {
            pending = true;
            q = served->targets[child->target].q;
        }
    }
    if (!pending || breadth_used(served, sim->now_ms) >= served->breadth)
        return; /* the rest one after the other */
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i]->doubtful || has_just_failed(served->children[i], sim->now_ms))
            return; /* the node hears of it with its next timers */
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && served->targets[i].added && served->targets[i].q > q)
            return; /* a redirection that has to wait for all at work */
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && !served->targets[i].lost && served->targets[i].q >= q &&
            held_up(served, i, sim->now_ms) == HELD_NOT && is_first_flow(served, i, q))
            sim_fail(sim, "%s is not tried side by side with those of its q (%u of %u at work)",
                     served->targets[i].uri, breadth_used(served, sim->now_ms), served->breadth);
}

static void check_served_now(struct sim *sim, const struct served *served)
{
    if (served->doubtful)
        return;
    if (must_cancel(served))
        for (unsigned i = 0; i < served->child_count; i++) {
            const struct sent *child = served->children[i];
            if (child->provisional && !child->cancelled && !child->doubtful &&
                is_pending(child, sim->now_ms))
                sim_fail(sim, "phone %u rings on: no CANCEL was sent", child->to);
        }
    else if (served->final == 0 && served->certain)
        check_group(sim, served);
}

void watch_turn(struct sim *sim)
{
    struct watch *watch = sim->watch;

    if (sim->knobs.starved || sim->failed)
        return;
    if (watch->pass_text != NULL && !watch->pass_to->doubtful)
        sim_fail(sim, "a response was not passed on: %.*s", (int)strcspn(watch->pass_text, "\r"),
                 watch->pass_text);
    if (watch->ack_text != NULL && !phone_any_tcp(sim))
        sim_fail(sim, "the ACK of a 2xx was not passed on");
    if (watch->ack_child != NULL && watch->ack_child->acks_due != 0)
        sim_fail(sim, "a %u from phone %u was not acknowledged", watch->ack_child->final,
                 watch->ack_child->to);
    if (watch->resend != NULL && watch->resend->resend_due && !watch->resend->doubtful)
        sim_fail(sim, "a %s came again and its %u was not sent again", watch->resend->method,
                 watch->resend->status);
    if (watch->fresh != NULL && watch->fresh->wanted != 0 && watch->fresh->final == 0)
        sim_fail(sim, "a CANCEL was not answered");
    if (watch->resend != NULL)
        watch->resend->resend_due = false;
    turn_clear(watch);
    for (const struct served *at = watch->touched ? watch->served : NULL; at != NULL; at = at->next)
        check_served_now(sim, at);
    watch->touched = false;
}

static void sweep_sent(struct sim *sim, struct sent *sent)
{
    if (sent->doubtful || sent->reliable)
        return;
    bool open = is_pending(sent, sim->now_ms);
    if (open && sent->resend_ms != NEVER && sim->now_ms > sent->resend_ms + TOLERANCE_MS)
        sim_fail(sim, "a %s to phone %u was not sent again", sent->method, sent->to);
    if (is_invite(sent->method) && open && sent->provisional && !sent->cancelled &&
        sim->now_ms > sent->timer_c_ms + 20)
        sim_fail(sim, "Timer C of phone %u's INVITE did not fire", sent->to);
}

static void check_silence(struct sim *sim, const struct served *served)
{
    uint64_t done_ms = 0;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (is_pending(child, sim->now_ms))
            return;
        uint64_t end_ms = ended_ms(child);
        if (end_ms > done_ms)
            done_ms = end_ms;
        if (!is_invite(served->method) && counts_as_timeout(child))
            return; /* RFC 4320 section 4.2: no answer may be right */
    }
    if (sim->now_ms > done_ms + ANSWER_MS)
        sim_fail(sim, "all branches of a %s of phone %u are done, and it got no answer",
                 served->method, served->phone);
}

static void sweep_served(struct sim *sim, const struct served *served)
{
    bool invite = is_invite(served->method);

    if (served->doubtful)
        return;
    if (served->resend_ms != NEVER && sim->now_ms > served->resend_ms + TOLERANCE_MS)
        sim_fail(sim, "a %u to an INVITE of phone %u was not sent again", served->final,
                 served->phone);
    if (served->final != 0)
        return;
    if (served->child_count > 0) {
        check_silence(sim, served);
        if (!invite && served->status == 0 && sim->now_ms > served->at_ms + 7 * T1 + 10 &&
            sim->now_ms < served->at_ms + LIFE_MS && strcmp(served->method, "CANCEL") != 0)
            sim_fail(sim, "a %s got no 100 after 3.5 s (RFC 4320 section 4.1)", served->method);
        if (invite && served->status == 0)
            sim_fail(sim, "an INVITE got no 100");
        return;
    }
    bool is_register = strcmp(served->method, "REGISTER") == 0;
    if (served->conn != sim->phones[served->phone].conn)
        return; /* its connection is gone: so may it be */
    if (sim->now_ms >
            served->at_ms + (is_register ? REGISTER_ANSWER_MS + 17u * sim->knobs.store_delay_max_ms
                                         : ANSWER_MS) &&
        sim->knobs.mailbox_full_pct == 0)
        sim_fail(sim, "a %s of phone %u got neither an answer nor a branch", served->method,
                 served->phone);
}

/** Nothing of it can become due any more. */
static bool is_over(const struct sim *sim, const struct served *served)
{
    bool open = served->final == 0 || served->resend_ms != NEVER ||
                strcmp(served->method, "REGISTER") == 0; /* another may be merged with it */
    for (unsigned i = 0; i < served->child_count && !open; i++)
        open = is_pending(served->children[i], sim->now_ms);
    if (!open)
        return true;
    if (served->final != 0)
        return sim->now_ms > served->final_ms + GONE_MS;
    return !is_invite(served->method) && sim->now_ms > served->at_ms + GONE_MS;
}

void watch_sweep(struct sim *sim)
{
    struct watch *watch = sim->watch;

    if (sim->knobs.starved || !sim->node_up || sim->now_ms < watch->swept_ms + SWEEP_MS)
        return;
    watch->swept_ms = sim->now_ms;
    for (struct sent **at = &watch->sent; *at != NULL;) {
        struct sent *sent = *at;
        sweep_sent(sim, sent);
        bool over = !is_pending(sent, sim->now_ms);
        sent->unlisted = over;
        if (over)
            *at = sent->next;
        else
            at = &sent->next;
    }
    for (struct served **at = &watch->served; *at != NULL;) {
        sweep_served(sim, *at);
        (*at)->unlisted = is_over(sim, *at);
        if ((*at)->unlisted)
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

/* ---- a long run ---- */

static void served_free(struct served *served)
{
    free(served->text);
    free(served->last);
    free(served);
}

static void sent_free(struct sent *sent)
{
    free(sent->text);
    free(sent->final_text);
    free(sent);
}

/** May it be forgotten: it and all its branches are over, and nothing late is on its way? */
static bool is_stale(const struct sim *sim, const struct served *served)
{
    uint64_t last_ms = served->at_ms > served->final_ms ? served->at_ms : served->final_ms;

    if (!served->unlisted)
        return false;
    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (!child->unlisted)
            return false;
        if (ended_ms(child) > last_ms)
            last_ms = ended_ms(child);
    }
    return sim->now_ms > last_ms + STALE_MS;
}

void watch_trim(struct sim *sim)
{
    struct watch *watch = sim->watch;

    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct served *at = watch->served_heads[i]; at != NULL; at = at->chain) {
            at->stale = is_stale(sim, at);
            for (unsigned k = 0; k < at->child_count && at->stale; k++)
                at->children[k]->stale = true;
        }
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct sent **at = &watch->sent_heads[i]; *at != NULL;) {
            struct sent *sent = *at;
            bool alone = sent->parent == NULL && sent->unlisted && /* a CANCEL */
                         sim->now_ms > sent->first_ms + STALE_MS + LIFE_MS;
            if (!sent->stale && !alone) {
                at = &sent->chain;
                continue;
            }
            *at = sent->chain;
            sent_free(sent);
        }
        for (struct served **at = &watch->served_heads[i]; *at != NULL;) {
            struct served *served = *at;
            if (!served->stale) {
                at = &served->chain;
                continue;
            }
            *at = served->chain;
            served_free(served);
        }
    }
}
