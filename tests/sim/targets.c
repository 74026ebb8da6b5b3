/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/targets - where a request may go, and in whose turn: bindings by q, redirections, the flows
 * of one phone, Max-Breadth.
 */
#include <stdio.h>
#include <stdlib.h>

#include "watch.h"

/* ---- targets ---- */

bool watch_has_six(const struct served *served)
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
unsigned watch_user_of_request(struct sim *sim, const char *text)
{
    char uri[128];
    const char *at = text + strcspn(text, " ") + 1;

    snprintf(uri, sizeof uri, "%.*s", (int)strcspn(at, " "), at);
    if (gruus_is_temporary(uri)) {
        bool sure;
        unsigned user = SIM_PHONES_MAX;
        uint32_t phone = gruus_phone(sim, uri, &user, &sure);
        return phone != 0 && !sim->disabled[user] ? user : SIM_PHONES_MAX;
    }
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

/** The instance that a request to a GRUU is for (RFC 5627 section 6.1); empty: it is to none. */
static void instance_wanted(struct sim *sim, struct served *served, char instance[static 80])
{
    char uri[256];
    unsigned user;

    text_request_uri(served->text, uri, sizeof uri);
    const char *gr = strstr(uri, ";gr=");
    instance[0] = '\0';
    if (gr != NULL) {
        snprintf(instance, 80, "\"<%.64s>\"", gr + 4);
    } else if (gruus_is_temporary(uri)) {
        bool sure;
        uint32_t phone = gruus_phone(sim, uri, &user, &sure);
        served->certain = sure;
        snprintf(instance, 80, "\"<urn:uuid:0000-%u>\"", phone);
    }
}

void watch_locate(struct sim *sim, struct served *served)
{
    char instance[80];
    bool certain;

    if (served->located)
        return;
    served->located = true;
    served->located_ms = sim->now_ms;
    served->certain = true;
    unsigned user = watch_user_of_request(sim, served->text);
    served->user = user;
    if (served->in_dialog || user >= SIM_PHONES_MAX)
        return;
    instance_wanted(sim, served, instance);
    unsigned count = aors_targets(sim, user, instance, served->targets, TARGETS_MAX, &certain);
    served->certain = served->certain && certain;
    served->target_count = drop_targets(sim, served, served->targets, count);
}

bool watch_is_unsure(const struct sim *sim, const struct served *served)
{
    return sim->knobs.mailbox_full_pct > 0 && !served->certain;
}

/** Is the other proxy the next hop of this message, by its Route? */
bool watch_by_router(const char *text)
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
int watch_find_target(const struct served *served, const char *uri, bool routed)
{
    for (unsigned i = 0; i < served->target_count; i++)
        if (strcmp(served->targets[i].uri, uri) == 0 &&
            (served->targets[i].path[0] != '\0') == routed)
            return (int)i;
    return -1;
}

/** When a branch that is over ended. */
uint64_t watch_ended_ms(const struct sent *child)
{
    if (child->done_ms != 0)
        return child->done_ms;
    return (child->cancelled ? child->cancel_ms : child->first_ms) + LIFE_MS;
}

/** What a phone goes by: its instance, else its contact; what a redirection names directly:
 * nothing. */
const char *watch_flow_name(const struct sim_binding *target)
{
    if (target->instance[0] != '\0')
        return target->instance;
    return target->phone != 0 ? target->uri : "";
}

/** An INVITE that nobody answered: that flow may be dead, so the phone's next one is tried (RFC
 * 5626 section 7). */
static bool is_silent(const struct sent *child)
{
    return watch_is_invite(child->method) && !child->provisional && !child->by_timer_c &&
           (child->final == 408 || child->final == 0);
}

enum held watch_held_up(const struct served *served, unsigned at, uint64_t now_ms)
{
    const char *name = watch_flow_name(&served->targets[at]);

    for (unsigned i = 0; i < served->child_count && name[0] != '\0'; i++) {
        const struct sent *child = served->children[i];
        if (child->target < 0 || (unsigned)child->target == at ||
            strcmp(watch_flow_name(&served->targets[child->target]), name) != 0)
            continue;
        if (watch_is_pending(child, now_ms)) {
            if (child->doubtful)
                continue; /* its stream is gone: it may have failed */
            return HELD_BUSY;
        }
        if (!child->refused && child->final != 430 && !is_silent(child) &&
            (!served->targets[at].added || watch_ended_ms(child) > served->targets[at].added_ms))
            return HELD_SETTLED;
    }
    return HELD_NOT;
}

/** A target that a redirection adds; false: it is known, or there is no room. */
static bool add_target(struct served *served, const struct sim_binding *binding, unsigned q,
                       uint64_t now_ms)
{
    int known = watch_find_target(served, binding->uri, binding->path[0] != '\0');
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
    count = aors_targets(sim, user, "", out, REDIRECTED_MAX, &certain);
    certain = certain && count < REDIRECTED_MAX;
    count = drop_targets(sim, served, out, count);
    for (unsigned i = 0; i < count; i++) {
        if (out[i].lost && sim->now_ms <= out[i].lost_ms + LOSS_TOLD_MS)
            certain = false;
        if (!out[i].lost)
            out[usable++] = out[i];
    }
    served->certain = served->certain && certain;
    return usable;
}

/** RFC 3261 section 16.7 step 4: a 3xx is followed, where that is configured and may be. */
void watch_follow(struct sim *sim, struct sent *child)
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
    if (served->certain && watch_held_up(served, at, sim->now_ms) != HELD_NOT)
        sim_fail(sim, "%s is tried beside another flow of its phone", served->targets[at].uri);
    for (unsigned i = 0; i < served->target_count && served->certain; i++)
        if (!served->started[i] && served->targets[i].q > q && !served->targets[i].lost &&
            watch_held_up(served, i, sim->now_ms) == HELD_NOT)
            sim_fail(sim, "%s is tried before %s, whose q is higher", served->targets[at].uri,
                     served->targets[i].uri);
    for (unsigned i = 0; i < served->child_count; i++) {
        const struct sent *child = served->children[i];
        bool other = child->target >= 0 && served->targets[child->target].q != q;
        if (other && watch_is_pending(child, sim->now_ms) && !child->doubtful)
            sim_fail(sim, "%s is tried while %s still rings, whose q is another",
                     served->targets[at].uri, served->targets[child->target].uri);
    }
    served->started[at] = true;
}

void watch_check_hop_in_dialog(struct sim *sim, uint32_t to, const char *uri, const char *text)
{
    uint32_t peer = watch_by_router(text) ? SIM_ROUTER : phone_by_uri(sim, uri);

    if (text_count(text, "X-Expect") > 0)
        return; /* a thief's, whose target is looked at apart */
    if (peer != to && !phone_is_taken_for(sim, to, peer))
        sim_fail(sim, "%.*s in a dialog went to phone %u", (int)strcspn(text, "\r"), text, to);
}

/** Where may this new branch go? Gives the index of its target, or -1. */
int watch_check_target(struct sim *sim, struct served *served, uint32_t to, const char *text)
{
    char uri[256];

    same_final_uri(sim, text, uri, sizeof uri);
    watch_locate(sim, served);
    if (served->in_dialog) {
        watch_check_hop_in_dialog(sim, to, uri, text);
        if (served->child_count > 0)
            sim_fail(sim, "a %s in a dialog was forked", served->method);
        return -1;
    }
    int at = watch_find_target(served, uri, watch_by_router(text));
    char route[512] = "";
    text_field(text, "Route", 0, route, sizeof route);
    if (at >= 0 && sim->knobs.edge && served->started[at] && aors_has_contact(sim, uri) &&
        strncmp(route, served->targets[at].path, strlen(served->targets[at].path)) != 0)
        return -1; /* it has come back by another flow, with another Path */
    if (at < 0) {
        /* One that waited for another worker's word on its nonce is located a little later. */
        bool late = (sim->knobs.records || sim->knobs.edge) && aors_has_contact(sim, uri);
        if (served->certain && phone_by_uri(sim, uri) != 0 && !late)
            sim_fail(sim, "a %s went to %s, which is not registered there", served->method, uri);
        return -1;
    }
    const struct sim_binding *target = &served->targets[at];
    if ((target->path[0] != '\0' ? SIM_ROUTER : phone_by_uri(sim, uri)) != to)
        sim_fail(sim, "a %s for %s went to phone %u", served->method, uri, to);
    /* One that was lost in the moment of the search, or later, may be tried, and fails at once. */
    if (target->lost && served->located_ms > target->lost_ms + LOSS_TOLD_MS)
        sim_fail(sim, "a %s went to %s, whose connection is gone", served->method, uri);
    check_turn_of_target(sim, served, (unsigned)at);
    return at;
}

/** Is a target left that must be tried before a failure may be answered? */
bool watch_has_target_left(const struct served *served, uint64_t now_ms)
{
    for (unsigned i = 0; i < served->target_count; i++)
        if (!served->started[i] && !served->targets[i].lost &&
            watch_held_up(served, i, now_ms) != HELD_SETTLED)
            return true;
    return false;
}
