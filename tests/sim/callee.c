/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/callee - calls as a callee sees them: rings, answers, refuses, redirects, hangs up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"

/* ---- calls, the callee's side ---- */

static uint64_t leg_name(uint32_t phone, const char *branch)
{
    return hash_bytes(phone + 1, slice_of(branch)) | 1;
}

static struct leg *find_leg(struct sim *sim, uint32_t phone, const char *branch)
{
    uint64_t name = leg_name(phone, branch);

    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (sim->leg_names[i] == name && sim->legs[i].phone == phone &&
            strcmp(sim->legs[i].branch, branch) == 0)
            return &sim->legs[i];
    return NULL;
}

const struct leg *leg_of_tag(const struct sim *sim, const char *tag)
{
    unsigned serial;

    if (sscanf(tag, "leg%u", &serial) != 1)
        return NULL;
    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (sim->leg_serials[i] == serial && strcmp(sim->legs[i].tag, tag) == 0)
            return &sim->legs[i];
    return NULL;
}

static uint32_t leg_index(const struct sim *sim, const struct leg *leg)
{
    return (uint32_t)(leg - sim->legs);
}

static struct leg *leg_by_tag(struct sim *sim, uint32_t phone, const char *tag)
{
    const struct leg *leg = leg_of_tag(sim, tag);
    return leg != NULL && leg->phone == phone ? &sim->legs[leg_index(sim, leg)] : NULL;
}

/** A Contact of a redirection: a phone, or a user. */
static void add_redirection(struct sim *sim, char *extra, size_t size)
{
    const struct phone *other = &sim->phones[sim_range(sim, 1, sim->knobs.phones)];
    char uri[80];

    phone_uri(other, other->user, uri);
    if (other->nat || other->tcp || other->behind != BEHIND_NOTHING || other->odd ||
        sim_chance(sim, 40))
        snprintf(uri, sizeof uri, "sip:u%u@sim.example", other->user);
    text_add(extra, size, "Contact: <%s>", uri);
    if (sim_chance(sim, 60))
        text_add(extra, size, ";q=0.%u", (unsigned)sim_range(sim, 1, 9));
    text_add(extra, size, "\r\n");
}

static void leg_respond(struct sim *sim, struct leg *leg, unsigned status)
{
    char extra[600] = "", uri[80];

    phone_uri(&sim->phones[leg->phone], sim->phones[leg->phone].user, uri);
    if (status > 100 && status < 300)
        snprintf(extra, sizeof extra, "Contact: <%s>\r\nX-Leg: %s\r\n", uri, leg->tag);
    if (status > 100 && status < 200 && text_count(leg->invite, "Supported") > 0)
        text_add(extra, sizeof extra, "Require: 100rel\r\nRSeq: 7\r\n");
    for (uint64_t left = status == 302 ? sim_range(sim, 1, 3) : 0; left > 0; left--)
        add_redirection(sim, extra, sizeof extra);
    if (status == 401 || status == 407)
        snprintf(extra, sizeof extra, "%s-Authenticate: Digest realm=\"%s\", nonce=\"n\"\r\n",
                 status == 401 ? "WWW" : "Proxy", leg->tag);
    text_response(leg->invite, status, leg->tag, extra, leg->response, SIM_TEXT_MAX);
    phone_send(sim, leg->phone, leg->response);
    if (status < 200)
        return;
    leg->status = status;
    leg->state = status < 300 ? LEG_ANSWERED : LEG_REFUSED;
    leg->gap_ms = T1;
    leg->tries = 0;
    leg->generation++;
    phone_set_timer(sim, PT_LEG_AGAIN, leg_index(sim, leg), leg->generation, T1);
    if (status == 200 && leg->serial % 8 == 0) { /* a fork behind it: two have answered */
        char twin[SIM_TEXT_MAX], tag[32];
        snprintf(tag, sizeof tag, "%st", leg->tag);
        text_response(leg->invite, 200, tag, extra, twin, sizeof twin);
        phone_send(sim, leg->phone, twin);
    }
}

void phone_leg_act(struct sim *sim, struct leg *leg)
{
    if (leg->state != LEG_RINGING)
        return;
    switch (sim->phones[leg->phone].manner) {
    case MANNER_ANSWER:
    case MANNER_ANSWER_AT_ONCE:
        leg_respond(sim, leg, 200);
        return;
    case MANNER_BUSY:
        leg_respond(sim, leg, 486);
        return;
    case MANNER_DECLINE:
        leg_respond(sim, leg, 603);
        return;
    case MANNER_REDIRECT:
        leg_respond(sim, leg, 302);
        return;
    case MANNER_ODD: {
        static const unsigned failures[] = {400, 401, 404, 407, 408, 415, 420, 430, 480, 482,
                                            484, 486, 487, 488, 500, 503, 504, 600, 603, 606};
        if (sim_chance(sim, 35))
            leg_respond(sim, leg, sim_chance(sim, 50) ? 401 : 407); /* to be merged */
        else
            leg_respond(sim, leg, failures[sim_range(sim, 0, COUNT_OF(failures) - 1)]);
        return;
    }
    case MANNER_RING:
    case MANNER_SILENT:
    case MANNER_CLOSED:
    case MANNER_COUNT:
        return;
    }
}

void phone_on_leg_again(struct sim *sim, struct leg *leg, uint32_t generation)
{
    if (leg->generation != generation || leg->acked || ++leg->tries > 10)
        return;
    if (leg->status < 300)
        phone_send(sim, leg->phone, leg->response);
    else
        phone_send_again(sim, leg->phone, leg->response);
    leg->gap_ms = leg->gap_ms * 2 > T2 ? T2 : leg->gap_ms * 2;
    phone_set_timer(sim, PT_LEG_AGAIN, leg_index(sim, leg), generation, leg->gap_ms);
}

static struct leg *leg_new(struct sim *sim)
{
    struct leg *leg = NULL;

    for (uint32_t i = 0; i < sim->leg_count && sim->endless && leg == NULL; i++)
        if (sim->leg_names[i] == 0)
            leg = &sim->legs[i];
    if (leg == NULL && sim->leg_count < sim->leg_max)
        leg = &sim->legs[sim->leg_count++];
    if (leg == NULL)
        return NULL;
    uint32_t generation = leg->generation + 1;
    memset(leg, 0, sizeof *leg);
    leg->generation = generation;
    leg->serial = sim->leg_serial++;
    sim->leg_serials[leg_index(sim, leg)] = leg->serial;
    return leg;
}

uint32_t leg_boot_of(const char *text)
{
    char via[512], branch[128], boot[9];
    uint32_t oldest = 0;

    for (unsigned i = 0; text_field(text, "Via", i, via, sizeof via); i++) {
        if (!text_names_node(via))
            continue;
        text_param(via, "branch", branch, sizeof branch);
        snprintf(boot, sizeof boot, "%.8s", branch + strlen("z9hG4bK"));
        oldest = (uint32_t)strtoul(boot, NULL, 16);
    }
    return oldest;
}

void phone_on_invite(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    struct leg *leg = find_leg(sim, phone, branch);
    enum phone_manner manner = sim->phones[phone].manner;
    char from[256];

    if (manner == MANNER_SILENT || manner == MANNER_CLOSED)
        return;
    if (leg != NULL) { /* again: the last response again */
        if (leg->response[0] != '\0' && leg->state != LEG_CONFIRMED)
            phone_send(sim, phone, leg->response);
        return;
    }
    leg = leg_new(sim);
    if (leg == NULL)
        return;
    leg->phone = phone;
    leg->state = LEG_RINGING;
    leg->crashes_before = sim->crashes;
    leg->began_ms = sim->now_ms;
    snprintf(leg->branch, sizeof leg->branch, "%s", branch);
    sim->leg_names[leg_index(sim, leg)] = leg_name(phone, branch);
    leg->boot = leg_boot_of(text);
    leg->conn = sim->phones[phone].conn;
    leg->next_cseq = 77;
    snprintf(leg->tag, sizeof leg->tag, "leg%u", leg->serial);
    snprintf(leg->invite, sizeof leg->invite, "%s", text);
    text_field(text, "Call-ID", 0, leg->call_id, sizeof leg->call_id);
    text_field(text, "From", 0, from, sizeof from);
    text_param(from, "tag", leg->from_tag, sizeof leg->from_tag);
    if (manner == MANNER_ANSWER_AT_ONCE) {
        leg_respond(sim, leg, 200);
        return;
    }
    leg_respond(sim, leg, sim_chance(sim, 70) ? 180 : 183);
    phone_set_timer(sim, PT_LEG_ACT, leg_index(sim, leg), 0, sim_range(sim, 0, 6000));
}

void phone_on_cancel(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    char response[SIM_TEXT_MAX];
    struct leg *leg = find_leg(sim, phone, branch);

    text_response(text, leg != NULL ? 200 : 481, "x", "", response, sizeof response);
    phone_send(sim, phone, response);
    if (leg != NULL && leg->state == LEG_RINGING) {
        leg->cancelled = true;
        leg_respond(sim, leg, 487);
    }
}

static void leg_send_bye(struct sim *sim, struct leg *leg)
{
    struct phone *phone = &sim->phones[leg->phone];
    char from[256], to[320], text[256], contact[256], uri[128], extra[600] = "";

    text_field(leg->invite, "To", 0, text, sizeof text);
    snprintf(from, sizeof from, "%.200s;tag=%s", text, leg->tag);
    text_field(leg->invite, "From", 0, to, sizeof to);
    text_field(leg->invite, "Contact", 0, contact, sizeof contact);
    text_uri(contact, uri, sizeof uri);
    if (leg->auth_tries > 0)
        creds_add(sim, phone, "BYE", uri, extra, sizeof extra);
    phone_in_dialog(sim, "BYE", leg->next_cseq++, from, to, leg->call_id, leg->invite, false,
                    leg->phone, extra, leg->bye);
    leg->tries = 0;
    leg->generation++;
    leg->crashes_before = sim->crashes;
    phone_send(sim, leg->phone, leg->bye);
    phone_set_timer(sim, PT_LEG_BYE_AGAIN, leg_index(sim, leg), leg->generation, T1);
}

void phone_leg_hang_up(struct sim *sim, struct leg *leg, uint32_t generation)
{
    if (leg->generation == generation && leg->state == LEG_CONFIRMED && !leg->bye_done)
        leg_send_bye(sim, leg);
}

/** Is a response one to the BYE that was sent last? */
static bool is_last_bye(const struct leg *leg, const char *response)
{
    char sent[64], answered[64];

    text_field(leg->bye, "CSeq", 0, sent, sizeof sent);
    text_field(response, "CSeq", 0, answered, sizeof answered);
    return strcmp(sent, answered) == 0;
}

void phone_on_leg_bye_again(struct sim *sim, struct leg *leg, uint32_t generation)
{
    if (leg->generation != generation || leg->bye_done || leg->state == LEG_OVER)
        return;
    if (++leg->tries > 10) {
        if (leg->crashes_before == sim->crashes && !sim->knobs.starved && !phone_any_tcp(sim))
            sim_fail(sim, "the callee at phone %u could not hang up", leg->phone);
        return;
    }
    phone_send_again(sim, leg->phone, leg->bye);
    uint64_t gap = (uint64_t)T1 << leg->tries;
    phone_set_timer(sim, PT_LEG_BYE_AGAIN, leg_index(sim, leg), generation, gap > T2 ? T2 : gap);
}

void phone_on_ack(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    char to[256], tag[64];
    struct leg *leg = find_leg(sim, phone, branch);

    if (leg != NULL && leg->state == LEG_REFUSED) {
        leg->acked = true;
        return;
    }
    if (ask_ack(sim, phone, text))
        return;
    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    leg = leg_by_tag(sim, phone, tag);
    if (leg == NULL || leg->state != LEG_ANSWERED)
        return;
    leg->acked = true;
    leg->state = LEG_CONFIRMED;
    leg->generation++;
    uint32_t index = leg_index(sim, leg);
    phone_set_timer(sim, PT_LEG_BYE, index, leg->generation, sim_range(sim, 2000, 60000));
    if (!sim->knobs.starved && sim_chance(sim, 50))
        phone_set_timer(sim, PT_LEG_ASK, index, leg->generation, sim_range(sim, 500, 20000));
}

void phone_on_bye(struct sim *sim, uint32_t phone, const char *text)
{
    char to[256], tag[64], call_id[64], response[SIM_TEXT_MAX];
    uint32_t index;
    bool known = false;

    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    struct leg *leg = leg_by_tag(sim, phone, tag);
    if (leg != NULL) {
        known = true;
        leg->acked = true; /* the ACK may be lost; the dialog is over all the same */
        leg->state = LEG_OVER;
    }
    struct call *call = phone_find_call(sim, phone, call_id, &index);
    if (call != NULL && strcmp(call->tag, tag) == 0) {
        known = true;
        call->bye_done = true;
        if (call->state == CALL_UP || call->state == CALL_BYE)
            call->state = CALL_OVER;
        call->final_ms = sim->now_ms;
    }
    text_response(text, known ? 200 : 481, "x", "", response, sizeof response);
    phone_send(sim, phone, response);
}

void phone_on_leg_response(struct sim *sim, uint32_t phone, const char *text)
{
    char from[256], tag[64], method[32];

    text_method(text, method, sizeof method);
    text_field(text, "From", 0, from, sizeof from);
    text_param(from, "tag", tag, sizeof tag);
    unsigned status = text_status(text);
    if (strcmp(method, "BYE") != 0 || status < 200)
        return;
    struct leg *leg = leg_by_tag(sim, phone, tag);
    if (leg == NULL || !is_last_bye(leg, text))
        return;
    if (status == 407 && leg->auth_tries++ < 4 && creds_take(&sim->phones[phone], text)) {
        leg_send_bye(sim, leg);
        return;
    }
    leg->bye_done = true;
    leg->state = LEG_OVER;
}
