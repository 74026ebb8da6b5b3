/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/requests - the requests that the node sends: new branches, retransmissions, CANCEL and ACK.
 */
#include <stdio.h>
#include <stdlib.h>

#include "watch.h"

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
    if (!watch_is_invite(sent->method) && (sent->gap_ms > T2 || sent->provisional))
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
    unsigned at = watch_bucket_of(branch, method);

    snprintf(sent->branch, sizeof sent->branch, "%s", branch);
    snprintf(sent->method, sizeof sent->method, "%s", method);
    sent->to = to;
    sent->reliable = sim->phones[to].tcp;
    sent->text = watch_copy_of(text);
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
    if (!watch_same_start(invite, text) || !watch_same_field(invite, text, "Via", 0) ||
        !watch_same_field(invite, text, "From", 0) ||
        !watch_same_field(invite, text, "Call-ID", 0) ||
        text_count(invite, "Route") != text_count(text, "Route") ||
        !watch_same_field(invite, text, "Route", 0) ||
        strtoul(cseq, NULL, 10) != strtoul(number, NULL, 10))
        sim_fail(sim, "this does not fit its INVITE: %.*s", (int)strcspn(text, "\r"), text);
}

static void cancel_out(struct sim *sim, uint32_t to, const char *text, const char *branch)
{
    struct sent *invite = watch_find_sent(sim->watch, branch, "INVITE");

    if (invite == NULL && records_interrupted(sim, text))
        return;
    if (invite == NULL) {
        sim_fail(sim, "a CANCEL for no INVITE to phone %u", to);
        return;
    }
    check_hop_by_hop(sim, invite->text, text);
    if (!watch_same_field(invite->text, text, "To", 0) || invite->to != to)
        sim_fail(sim, "a CANCEL that does not go where its INVITE went");
    if (!invite->provisional || invite->final != 0)
        sim_fail(sim, "a CANCEL to phone %u %s (section 9.1)", to,
                 invite->final != 0 ? "after the final response" : "before any response");
    struct served *parent = invite->parent;
    bool timer_c = sim->now_ms + TOLERANCE_MS >= invite->timer_c_ms;
    bool because =
        parent->cancelled || watch_has_six(parent) || (parent->final >= 200 && parent->final < 300);
    if (!because && !timer_c && !parent->doubtful)
        sim_fail(sim, "a CANCEL to phone %u that nobody asked for", to);
    const char *reason = strstr(text, "\r\nReason: ");
    if (parent->cancelled && parent->final == 0 && !watch_has_six(parent) &&
        parent->reason[0] != '\0' &&
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
        struct sent *invite = watch_find_sent(watch, branch, "INVITE");
        if (invite != NULL && invite->acks_due == 0 && invite->doubtful)
            return;
        if (invite == NULL && records_interrupted(sim, text))
            return;
        if (invite == NULL || invite->acks_due == 0) {
            sim_fail(sim, "an ACK to phone %u that was not due", to);
            return;
        }
        invite->acks_due--;
        check_hop_by_hop(sim, invite->text, text);
        if (!watch_same_field(invite->final_text, text, "To", 0) || invite->to != to)
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
    watch_check_hop_in_dialog(sim, to, uri, text);
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
    bool dialog = (watch_is_invite(parent->method) || strcmp(parent->method, "REFER") == 0) &&
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
unsigned watch_breadth_used(const struct served *served, uint64_t now_ms)
{
    unsigned used = 0;

    for (unsigned i = 0; i < served->child_count; i++)
        if (watch_is_pending(served->children[i], now_ms) && !served->children[i]->doubtful)
            used += served->children[i]->breadth;
    return used;
}

static void check_breadth(struct sim *sim, const struct served *parent, unsigned breadth)
{
    unsigned used = watch_breadth_used(parent, sim->now_ms);

    if (breadth == 0 || used + breadth > parent->breadth)
        sim_fail(sim, "Max-Breadth %u of %u, while %u of it are at work", breadth, parent->breadth,
                 used);
}

void watch_request_out(struct sim *sim, uint32_t to, const char *text)
{
    struct watch *watch = sim->watch;
    char branch[96], method[16], upper[96], why[256], uri[256];

    watch_name_of(text, 0, branch, method);
    if (strcmp(method, "ACK") == 0) {
        ack_out(sim, to, text, branch);
        return;
    }
    struct sent *sent = watch_find_sent(watch, branch, method);
    if (sent != NULL) {
        check_resend(sim, sent, text);
        return;
    }
    if (strcmp(method, "CANCEL") == 0) {
        cancel_out(sim, to, text, branch);
        return;
    }
    watch_name_of(text, 1, upper, method);
    struct served *parent = watch_find_served(watch, upper, method);
    if (parent == NULL) {
        sim_fail(sim, "a %s to phone %u that nobody sent", method, to);
        return;
    }
    if (parent->final != 0 || parent->cancelled || watch_has_six(parent)) {
        sim_fail(sim, "a new branch of a %s that is answered (%u) or cancelled", method,
                 parent->final);
        return;
    }
    same_final_uri(sim, text, uri, sizeof uri);
    watch_locate(sim, parent);
    int known = watch_find_target(parent, uri, watch_by_router(text));
    const char *path = known >= 0 ? parent->targets[known].path : "";
    /* Who has come back by another flow meanwhile has another Path, and is another target. */
    bool back = sim->knobs.edge && parent->child_count > 0 && aors_has_contact(sim, uri);
    char earlier[512] = ""; /* the phone's Path when it was decided: it waited for its receipt */
    if (path[0] == '\0' || back)
        text_field(text, "Route", 0, earlier, sizeof earlier);
    bool waited = back || watch_is_unsure(sim, parent) ||
                  (watch_is_invite(method) && !parent->in_dialog && records_delay_ms(sim) > 0);
    if (!same_request(sim, parent->phone, path, parent->text, text, why, sizeof why) &&
        !(waited && same_request(sim, parent->phone, earlier, parent->text, text, why, sizeof why)))
        sim_fail(sim, "a %s was changed on its way: %s", method, why);
    if (parent->loop)
        sim_fail(sim, "a %s that came back for the same URI was sent on again", method);
    if (!parent->doubtful)
        check_breadth(sim, parent, watch_breadth_of(text));
    char expect[16];
    if (text_field(parent->text, "X-Expect", 0, expect, sizeof expect) &&
        !(strstr(expect, "inside") != NULL && thief_may_reach(sim, text, to)))
        sim_fail(sim, "a %s was let through that should be refused with %s", method, expect);
    if (parent->child_count == 0)
        check_access(sim, parent->phone, parent->text);
    check_record_route(sim, parent, text);
    int target = watch_check_target(sim, parent, to, text);
    sent = sent_new(sim, to, text, branch, method);
    sent->parent = parent;
    sent->target = target;
    sent->breadth = watch_breadth_of(text);
    if (parent->child_count < CHILDREN_MAX)
        parent->children[parent->child_count++] = sent;
    else
        parent->doubtful = true;
}
