/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/answers - the responses that the node sends: its own, those it passes on, and the best of
 * all.
 */
#include <stdio.h>
#include <stdlib.h>

#include "watch.h"

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
bool watch_counts_as_timeout(const struct sent *child)
{
    if (child->refused)
        return false;
    if (child->final == 487 && watch_is_invite(child->method) &&
        child->final_ms >= child->timer_c_ms)
        return true; /* whoever has cancelled it */
    return child->final == 0 || (child->by_timer_c && child->final == 487) ||
           (child->final == 408 && !watch_is_invite(child->method));
}

/** Among those that came before the CANCEL, a 487 may have had to give way to a better one. */
static unsigned rank_in(const struct served *served, const struct sent *child, bool gave_way)
{
    bool early = gave_way && child->final_ms < served->cancelled_ms;
    return rank_of(child->final, served->cancelled && !early);
}

static const struct sent *best_child(const struct served *served, bool gave_way)
{
    const struct sent *best = NULL;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->final < 300 || watch_counts_as_timeout(child) ||
            (child->followed && !child->partly))
            continue;
        if (best == NULL) {
            best = child;
            continue;
        }
        unsigned a = rank_in(served, child, gave_way), b = rank_in(served, best, gave_way);
        if (a < b || (a == b && child->final_ms < best->final_ms))
            best = child;
    }
    return best;
}

/** Is a response that is sent the best one, or as good: 6xx, or of the same millisecond? */
static bool is_best(const struct served *served, const struct sent *best, bool gave_way,
                    const char *text)
{
    unsigned status = text_status(text);

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->final < 300 || watch_counts_as_timeout(child) ||
            (child->followed && !child->partly))
            continue;
        bool tie = rank_in(served, child, gave_way) == rank_in(served, best, gave_way) &&
                   (child->final_ms == best->final_ms || served->cancelled);
        if ((child == best || tie) && child->partly && status == child->final)
            return true; /* with those Contacts that were not followed */
        if ((child == best || tie) &&
            same_response(child->final_text, text, best->final == 401 || best->final == 407))
            return true;
    }
    return false;
}

static void check_best(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);
    const struct sent *best = best_child(served, false);

    /* RFC 5626 section 11.5: nobody is told which flow of a user's phone is gone. */
    bool located = !served->in_dialog && served->user < SIM_PHONES_MAX;
    if (best != NULL && best->final == 430 && status == 480 && (best->target >= 0 || located))
        return;
    if (best != NULL && best->final != 503) {
        if (!is_best(served, best, false, text) &&
            !is_best(served, best_child(served, true), true, text))
            sim_fail(sim, "the best response is a %u, but %u was sent", best->final, status);
        return;
    }
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i]->doubtful)
            return;
    unsigned wanted = 500;
    bool timed_out = false;
    for (unsigned i = 0; i < served->child_count; i++)
        timed_out |= watch_counts_as_timeout(served->children[i]);
    if (best == NULL && served->cancelled)
        wanted = 487;
    else if (best == NULL && timed_out)
        wanted = watch_is_invite(served->method) ? 408 : 0;
    if (status == 430 && wanted == 500 && served->in_dialog && phone_any_tcp(sim))
        return; /* the flow that the dialog is bound to is gone (section 5.3.1) */
    if (watch_is_unsure(sim, served))
        return; /* where a redirection led */
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
    unsigned count = aors_targets(sim, peer->user, "", found, TARGETS_MAX, &certain);
    for (unsigned i = 0; i < count && certain; i++)
        if (phone_by_uri(sim, found[i].uri) == peer->index && !found[i].lost)
            return true;
    return false;
}

/**
 * Is the request a stranger's, for somebody behind the other proxy who is not registered there any
 * more? The node knows that proxy only, and it did not stay on the way.
 */
static bool is_out_of_reach(struct sim *sim, const struct served *served)
{
    char from[256], uri[256];

    text_field(served->text, "From", 0, from, sizeof from);
    same_final_uri(sim, served->text, uri, sizeof uri);
    return strstr(from, "@else.example") != NULL && sim->knobs.router &&
           !aors_has_contact(sim, uri);
}

/** Refused by the node because its queue stands. Whom it trusts is not told when to come again. */
static bool is_overload(const struct sim *sim, const struct served *served, const char *text)
{
    unsigned told = served->phone == SIM_ROUTER ? 0 : 1;

    return sim->knobs.overload && text_status(text) == 503 &&
           text_count(text, "Retry-After") == told &&
           strncmp(text, "SIP/2.0 503 Service Unavailable\r", 32) == 0;
}

/** Only what is new may be refused so, and only when it waited too long, or its first copy did. */
static void check_overload(struct sim *sim, struct served *served, const char *text)
{
    struct sim_binding bindings[24];
    char to[256], seconds[16];
    bool certain = false, is_register = strcmp(served->method, "REGISTER") == 0;

    text_field(served->text, "To", 0, to, sizeof to);
    text_field(text, "Retry-After", 0, seconds, sizeof seconds);
    if (!watch_is_invite(served->method) && !is_register)
        sim_fail(sim, "a %s was refused for overload", served->method);
    if (strstr(to, ";tag=") != NULL)
        sim_fail(sim, "a %s in a dialog was refused for overload", served->method);
    if (served->phone != SIM_ROUTER &&
        (strlen(seconds) != 1 || seconds[0] < '1' || seconds[0] > '5'))
        sim_fail(sim, "Retry-After of %s seconds", seconds);
    if (served->copies > 1)
        return;
    if (served->waited_ms <= SIM_OVERLOAD_TARGET_MS)
        sim_fail(sim, "a %s was refused after a wait of %u ms", served->method, served->waited_ms);
    unsigned user = aors_user_of(to), count = 0;
    bool its_own = false;
    if (is_register && user < SIM_PHONES_MAX)
        count = aors_targets(sim, user, "", bindings, COUNT_OF(bindings), &certain);
    for (unsigned i = 0; i < count; i++)
        its_own |= bindings[i].phone == served->phone;
    if (its_own && certain && served->waited_ms <= SIM_OVERLOAD_LAST_MS)
        sim_fail(sim, "a refresh of u%u was refused after a wait of %u ms", user,
                 served->waited_ms);
}

/** A final response that did not come from a phone: refused by the node itself. */
static void check_refusal(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);
    char wanted[16];

    if (is_overload(sim, served, text)) {
        check_overload(sim, served, text);
        return;
    }
    bool attempt = watch_is_invite(served->method) && !served->in_dialog;
    if (records_refuse(sim, served->method, status))
        return;
    if (attempt && records_interrupted(sim, text)) {
        served->doubtful = true; /* a copy of an INVITE that the node ended with its last run: */
        return;                  /* it has no transaction */
    }
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
        bool earlier = attempt && records_delay_ms(sim) > 0; /* it waited for its receipt */
        bool merged = served->merged || served->merged_unknown || earlier;
        if ((!merged || (attempt && served->spiral)) &&
            !aors_is_round(sim, watch_user_of_request(sim, served->text)))
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
    watch_locate(sim, served);
    unsigned user = served->user;
    bool lost = served->target_count > 0 && !watch_has_target_left(served, sim->now_ms);
    bool none = status == (user < SIM_PHONES_MAX ? 480u : 404u) ||
                (!sim->knobs.auth && user >= SIM_PHONES_MAX);
    if (served->in_dialog && status == 430 && phone_any_tcp(sim) && !is_findable(sim, served))
        return;
    if (!served->in_dialog && (served->target_count == 0 || lost) && none)
        return;
    if (served->in_dialog && status == 403 && is_out_of_reach(sim, served))
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
    if (served->overloaded)
        return true;
    if (served->phone == SIM_ROUTER)
        return false; /* whom we trust */
    *unknown = (credentials && status < 500) || served->in_dialog ||
               records_refuse(sim, served->method, status); /* as what it stands for */
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

    served->overloaded = is_overload(sim, served, text);
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
    if (is_overload(sim, served, text) && !served->overloaded) { /* a copy that had to wait */
        served->overloaded = true;
        snprintf(served->refused_to, sizeof served->refused_to, "%s", to);
    }
    if (strcmp(to, served->refused_to) != 0)
        sim_fail(sim, "the copies of one %s got different To tags", served->method);
}

static void check_final(struct sim *sim, struct served *served, const char *text)
{
    bool pending = false;

    bool is_register = strcmp(served->method, "REGISTER") == 0;
    if (served->doubtful && is_register &&
        !is_overload(sim, served, text)) { /* whatever it was, it counts */
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
        pending |=
            watch_is_pending(served->children[i], sim->now_ms) && !served->children[i]->doubtful;
    if (pending)
        sim_fail(sim, "a %s was answered %u while a branch is open", served->method,
                 text_status(text));
    else if (!served->cancelled && !watch_has_six(served) && served->certain &&
             watch_has_target_left(served, sim->now_ms))
        sim_fail(sim, "a %s was answered %u before all targets were tried", served->method,
                 text_status(text));
    else
        check_best(sim, served, text);
}

static void note_response(struct sim *sim, struct served *served, const char *text)
{
    unsigned status = text_status(text);

    free(served->last);
    served->last = watch_copy_of(text);
    served->status = status;
    if (status < 200 || served->final != 0)
        return;
    served->final = status;
    served->final_ms = sim->now_ms;
    if (watch_is_invite(served->method) && status >= 300 && !served->reliable) {
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
    if (served->doubtful && served->status == 500 && sim->knobs.records)
        return;
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

    watch_name_of(text, 0, branch, method);
    struct served *served = watch_find_served(watch, branch, method);
    if (served == NULL && records_interrupted(sim, text))
        return;
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
    bool passed_on = served->child_count > 0 && (status >= 200 || served->doubtful);
    if (!passed_on && !same_answer(sim, served->phone, served->text, text, why, sizeof why))
        sim_fail(sim, "a %u to a %s does not repeat it: %s", status, method, why);
    if (status == 100) {
        uint64_t wanted_ms = served->at_ms + (watch_is_invite(method) ? 0 : 7 * T1);
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
        watch_request_out(sim, to, text);
}
