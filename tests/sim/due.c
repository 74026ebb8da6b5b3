/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/due - what was due and did not come; and what may be forgotten in a long run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "watch.h"

/* ---- what was due and did not come ---- */

/** Must the branches that still ring be cancelled? */
static bool must_cancel(const struct served *served)
{
    if (!watch_is_invite(served->method))
        return false;
    return served->cancelled || watch_has_six(served) ||
           (served->final >= 200 && served->final < 300);
}

static bool has_just_failed(const struct sent *child, uint64_t now_ms)
{
    if (child->refused)
        return now_ms <= child->done_ms + TOLERANCE_MS;
    return !watch_is_pending(child, now_ms) && watch_is_pending(child, now_ms - TOLERANCE_MS);
}

/** Of the flows of one phone only one is tried: is none of the same turn before this one? */
static bool is_first_flow(const struct served *served, unsigned at, unsigned q)
{
    const char *name = watch_flow_name(&served->targets[at]);

    for (unsigned i = 0; i < at && name[0] != '\0'; i++)
        if (!served->started[i] && served->targets[i].q >= q &&
            strcmp(watch_flow_name(&served->targets[i]), name) == 0)
            return false;
    return true;
}

static void check_group(struct sim *sim, const struct served *served)
{
    unsigned q = 0;
    bool pending = false;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (child->target >= 0 && watch_is_pending(child, sim->now_ms)) {
            pending = true;
            q = served->targets[child->target].q;
        }
    }
    if (!pending || watch_breadth_used(served, sim->now_ms) >= served->breadth)
        return; /* the rest one after the other */
    for (unsigned i = 0; i < served->child_count; i++)
        if (served->children[i]->doubtful || has_just_failed(served->children[i], sim->now_ms))
            return; /* the node hears of it with its next timers */
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && served->targets[i].added && served->targets[i].q > q)
            return; /* a redirection that has to wait for all at work */
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && !served->targets[i].lost && served->targets[i].q >= q &&
            watch_held_up(served, i, sim->now_ms) == HELD_NOT && is_first_flow(served, i, q))
            sim_fail(sim, "%s is not tried side by side with those of its q (%u of %u at work)",
                     served->targets[i].uri, watch_breadth_used(served, sim->now_ms),
                     served->breadth);
}

static void check_served_now(struct sim *sim, const struct served *served)
{
    if (served->doubtful)
        return;
    if (must_cancel(served))
        for (unsigned i = 0; i < served->child_count; i++) {
            const struct sent *child = served->children[i];
            if (child->provisional && !child->cancelled && !child->doubtful &&
                watch_is_pending(child, sim->now_ms))
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
    watch_turn_clear(watch);
    for (const struct served *at = watch->touched ? watch->served : NULL; at != NULL; at = at->next)
        check_served_now(sim, at);
    watch->touched = false;
}

static void sweep_sent(struct sim *sim, struct sent *sent)
{
    if (sent->doubtful || sent->reliable)
        return;
    bool open = watch_is_pending(sent, sim->now_ms);
    if (open && sent->resend_ms != NEVER && sim->now_ms > sent->resend_ms + TOLERANCE_MS)
        sim_fail(sim, "a %s to phone %u was not sent again", sent->method, sent->to);
    if (watch_is_invite(sent->method) && open && sent->provisional && !sent->cancelled &&
        sim->now_ms > sent->timer_c_ms + 20)
        sim_fail(sim, "Timer C of phone %u's INVITE did not fire", sent->to);
}

static void check_silence(struct sim *sim, const struct served *served)
{
    uint64_t done_ms = 0;

    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        if (watch_is_pending(child, sim->now_ms))
            return;
        uint64_t end_ms = watch_ended_ms(child);
        if (end_ms > done_ms)
            done_ms = end_ms;
        if (!watch_is_invite(served->method) && watch_counts_as_timeout(child))
            return; /* RFC 4320 section 4.2: no answer may be right */
    }
    if (sim->now_ms > done_ms + ANSWER_MS)
        sim_fail(sim, "all branches of a %s of phone %u are done, and it got no answer",
                 served->method, served->phone);
}

static void sweep_served(struct sim *sim, const struct served *served)
{
    bool invite = watch_is_invite(served->method);

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
                                         : ANSWER_MS + records_delay_ms(sim)) &&
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
        open = watch_is_pending(served->children[i], sim->now_ms);
    if (!open)
        return true;
    if (served->final != 0)
        return sim->now_ms > served->final_ms + GONE_MS;
    return !watch_is_invite(served->method) && sim->now_ms > served->at_ms + GONE_MS;
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
        bool over = !watch_is_pending(sent, sim->now_ms - 1); /* its end may wait in this moment */
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
        if (watch_ended_ms(child) > last_ms)
            last_ms = watch_ended_ms(child);
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
