/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/phone - the crowd: they register, call, answer, refuse, cancel and hang up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"

void phone_set_timer(struct sim *sim, enum phone_timer what, uint32_t which, uint32_t generation,
                     uint64_t in_ms)
{
    sim_set_timer(sim, EVENT_PHONE, what, which, generation, in_ms);
}

/** Who is next: the other proxy stands before the node for some. */
static uint32_t hop_of(const struct sim *sim, uint32_t phone, const char *text)
{
    char value[512];

    if (edge_serves_phone(sim, &sim->phones[phone]))
        return SIM_ROUTER;
    if (text_status(text) != 0) {
        text_field(text, "Via", 0, value, sizeof value);
        value[strcspn(value, ",")] = '\0';
        return strstr(value, SIM_ROUTER_HOST) != NULL ? SIM_ROUTER : SIM_NODE;
    }
    if (strncmp(text, "REGISTER ", 9) == 0)
        return sim->phones[phone].behind == BEHIND_EDGE && !sim->phones[phone].direct ? SIM_ROUTER
                                                                                      : SIM_NODE;
    text_request_uri(text, value, sizeof value);
    bool named = strstr(value, SIM_ROUTER_HOST) != NULL;
    if (!named && !text_names_node(value) && text_field(text, "Route", 0, value, sizeof value)) {
        value[strcspn(value, ",")] = '\0';
        named = strstr(value, SIM_ROUTER_HOST) != NULL;
    }
    return named ? SIM_ROUTER : SIM_NODE;
}

void phone_send(struct sim *sim, uint32_t phone, const char *text)
{
    sim_send(sim, phone, hop_of(sim, phone, text), text, strlen(text));
}

void phone_send_again(struct sim *sim, uint32_t phone, const char *text)
{
    if (!sim->phones[phone].tcp)
        phone_send(sim, phone, text);
}

void phone_set_ask_timer(struct sim *sim, uint32_t which, uint32_t generation, uint64_t in_ms)
{
    phone_set_timer(sim, PT_ASK, which, generation, in_ms);
}

void phone_make_branch(struct sim *sim, char *out, size_t size)
{
    snprintf(out, size, "z9hG4bK%016llx", (unsigned long long)rng_u64(&sim->rng));
}

void phone_host(const struct phone *phone, char out[static 40])
{
    if (phone->v6)
        snprintf(out, 40, "[fd00::1:%x]:5060", phone->index);
    else
        snprintf(out, 40, "%s.%u:5060", phone->nat ? "192.168.7" : "10.0.1", phone->index);
}

unsigned phone_port(const struct phone *phone)
{
    if (phone->tcp)
        return 50000 + phone->index;
    return phone->nat ? 40000 + phone->index : phone->odd ? 30000 + phone->index : 5060;
}

void phone_uri(const struct phone *phone, unsigned user, char out[static 80])
{
    char host[40];
    phone_host(phone, host);
    snprintf(out, 80, "sip:u%u@%s%s", user, host, phone->tcp ? ";transport=tcp" : "");
}

bool phone_sleeps(const struct sim *sim, const struct phone *phone)
{
    return sim->knobs.sleepy && phone->index % 4 != 0 && phone->behind == BEHIND_NOTHING;
}

void phone_pushed(struct sim *sim, uint32_t phone)
{
    phone_on_register_timer(sim, &sim->phones[phone]);
}

uint32_t phone_by_uri(const struct sim *sim, const char *uri)
{
    const char *at = strchr(uri, '@');
    unsigned a, b, c, d;

    at = at != NULL ? at + 1 : strchr(uri, ':') != NULL ? strchr(uri, ':') + 1 : uri;
    if (sscanf(at, "[fd00::1:%x]:5060", &d) == 1)
        return d >= 1 && d <= sim->knobs.phones ? d : 0;
    if (sscanf(at, "%u.%u.%u.%u:5060", &a, &b, &c, &d) != 4)
        return 0;
    bool phone = (a == 10 && b == 0 && c == 1) || (a == 192 && b == 168 && c == 7);
    bool known = (d >= 1 && d <= sim->knobs.phones) || (d == SIM_ROUTER && sim->knobs.router);
    return phone && known ? d : 0;
}

bool phone_any_tcp(const struct sim *sim)
{
    return sim->knobs.tcp_pct > 0;
}

/** Its Via line. */
void phone_via(const struct phone *phone, const char *branch, char *out)
{
    char host[40];
    phone_host(phone, host);
    text_add(out, SIM_TEXT_MAX, "Via: SIP/2.0/%s %s%s;branch=%s\r\n", phone->tcp ? "TCP" : "UDP",
             host, phone->rport ? ";rport" : "", branch);
}

/* ---- MESSAGE: any other request ---- */

static void on_message_timer(struct sim *sim, uint32_t index)
{
    struct phone *phone = &sim->phones[index];
    char text[SIM_TEXT_MAX] = "", branch[48], uri[64];
    uint32_t callee = (uint32_t)sim_range(sim, 1, sim->knobs.phones);

    if (sim->now_ms > sim->quiet_at_ms)
        return;
    phone_make_branch(sim, branch, sizeof branch);
    text_add(text, sizeof text, "MESSAGE sip:u%u@sim.example SIP/2.0\r\n",
             sim->phones[callee].user);
    phone_via(phone, branch, text);
    text_add(
        text, sizeof text,
        "Max-Forwards: 70\r\nFrom: <sip:u%u@sim.example>;tag=m\r\nTo: <sip:u%u@sim.example>\r\n"
        "Call-ID: m%llx\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n",
        phone->user, sim->phones[callee].user, (unsigned long long)rng_u64(&sim->rng));
    snprintf(uri, sizeof uri, "sip:u%u@sim.example", sim->phones[callee].user);
    creds_add(sim, phone, "MESSAGE", uri, text, sizeof text);
    text_add(text, sizeof text, "Content-Length: 2\r\n\r\nhi");
    sim->messages_sent++;
    snprintf(phone->message, sizeof phone->message, "%s", text);
    phone->message_tries = 0;
    phone->message_done = false;
    phone->message_generation++;
    phone_send(sim, index, text);
    phone_set_timer(sim, PT_MESSAGE_AGAIN, index, phone->message_generation, T1);
    phone_set_timer(sim, PT_MESSAGE, index, 0, sim_range(sim, 1000, 30000));
}

static void on_message_again(struct sim *sim, struct phone *phone, uint32_t generation)
{
    if (phone->message_generation != generation || phone->message_done ||
        ++phone->message_tries > 10)
        return;
    phone_send_again(sim, phone->index, phone->message);
    uint64_t gap = (uint64_t)T1 << phone->message_tries;
    phone_set_timer(sim, PT_MESSAGE_AGAIN, phone->index, generation, gap > T2 ? T2 : gap);
}

static void on_message_response(struct sim *sim, struct phone *phone, const char *text)
{
    char via[256], branch[64];

    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    if (text_status(text) < 200 || strstr(phone->message, branch) == NULL)
        return;
    phone->message_done = true;
    if (text_status(text) == 407)
        (void)creds_take(phone, text);
    sim->messages_answered++;
}

static void on_message(struct sim *sim, uint32_t phone, const char *text)
{
    char response[SIM_TEXT_MAX];

    if (strstr(text, "\r\n\r\nhi") == NULL && strstr(text, "tag=probe") == NULL)
        sim_fail(sim, "the body of a MESSAGE did not arrive");
    if (sim->phones[phone].manner == MANNER_SILENT)
        return;
    unsigned status = 200;
    if (sim->phones[phone].manner == MANNER_ODD)
        status = (unsigned)(sim_chance(sim, 50) ? 408 : sim_chance(sim, 50) ? 503 : 486);
    if (sim->phones[phone].manner == MANNER_RING && sim_chance(sim, 60)) /* slow: says so, later */
        status = 100;
    text_response(text, status, "m2", "", response, sizeof response);
    phone_send(sim, phone, response);
}

/** Requests of methods that a phone answers without a thought. */
static void on_other(struct sim *sim, uint32_t phone, const char *text)
{
    char response[SIM_TEXT_MAX];

    if (sim->phones[phone].manner == MANNER_SILENT)
        return;
    text_response(text, 202, "o", "", response, sizeof response);
    phone_send(sim, phone, response);
}

/* ---- all of them ---- */

void phone_receive(struct sim *sim, uint32_t index, char *text)
{
    char method[32], via[256], branch[128], from[256], tag[64];

    text_method(text, method, sizeof method);
    if (text_status(text) != 0) {
        if (ask_response(sim, index, text))
            return;
        if (strcmp(method, "REGISTER") == 0) {
            phone_on_register_response(sim, &sim->phones[index], text);
            return;
        }
        text_field(text, "From", 0, from, sizeof from);
        text_param(from, "tag", tag, sizeof tag);
        if (strcmp(method, "MESSAGE") == 0)
            on_message_response(sim, &sim->phones[index], text);
        else if (strncmp(tag, "leg", 3) == 0)
            phone_on_leg_response(sim, index, text);
        else
            phone_on_call_response(sim, index, text);
        return;
    }
    if (ask_request(sim, index, text))
        return;
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    if (strcmp(method, "INVITE") == 0)
        phone_on_invite(sim, index, text, branch);
    else if (strcmp(method, "CANCEL") == 0)
        phone_on_cancel(sim, index, text, branch);
    else if (strcmp(method, "ACK") == 0)
        phone_on_ack(sim, index, text, branch);
    else if (strcmp(method, "BYE") == 0)
        phone_on_bye(sim, index, text);
    else if (strcmp(method, "MESSAGE") == 0)
        on_message(sim, index, text);
    else if (strcmp(method, "OPTIONS") == 0 || strcmp(method, "FROB") == 0 ||
             strcmp(method, "INFO") == 0 || strcmp(method, "REFER") == 0)
        on_other(sim, index, text);
    else
        sim_fail(sim, "phone %u got a %s", index, method);
}

bool phone_is_taken_for(const struct sim *sim, uint32_t phone, uint32_t lost)
{
    const struct phone *one = &sim->phones[phone], *other = &sim->phones[lost];

    return other->tcp && other->user == one->user && !one->instance;
}

void phone_timer(struct sim *sim, uint32_t what, uint32_t which, uint32_t generation)
{
    switch ((enum phone_timer)what) {
    case PT_REGISTER:
        phone_on_register_timer(sim, &sim->phones[which]);
        return;
    case PT_REGISTER_AGAIN:
        phone_on_register_again(sim, &sim->phones[which], generation);
        return;
    case PT_CALL:
        phone_on_call_timer(sim, which);
        return;
    case PT_CALL_AGAIN:
        phone_on_call_again(sim, which, generation);
        return;
    case PT_CANCEL:
        phone_on_cancel_timer(sim, which);
        return;
    case PT_CANCEL_AGAIN:
        phone_on_cancel_again(sim, which, generation);
        return;
    case PT_BYE:
        phone_on_bye_timer(sim, which, generation);
        return;
    case PT_BYE_AGAIN:
        phone_on_bye_again(sim, which, generation);
        return;
    case PT_CALL_OVER:
        return;
    case PT_LEG_ACT:
        phone_leg_act(sim, &sim->legs[which]);
        return;
    case PT_LEG_AGAIN:
        phone_on_leg_again(sim, &sim->legs[which], generation);
        return;
    case PT_LEG_BYE:
        phone_leg_hang_up(sim, &sim->legs[which], generation);
        return;
    case PT_LEG_BYE_AGAIN:
        phone_on_leg_bye_again(sim, &sim->legs[which], generation);
        return;
    case PT_MESSAGE:
        on_message_timer(sim, which);
        return;
    case PT_PROBE:
        if (sim->now_ms > sim->quiet_at_ms)
            return;
        if (edge_serves_phone(sim, &sim->phones[which]))
            edge_forge(sim, which);
        else
            probe_send(sim, which);
        if (!sim->phones[which].tcp && sim->seed % 2 == 1)
            pings_ask_stun(sim, which);
        phone_set_timer(sim, PT_PROBE, which, 0, sim_range(sim, 1000, 15000));
        return;
    case PT_ASK:
        ask_again(sim, which, generation);
        return;
    case PT_CALL_ASK:
        phone_on_call_ask(sim, which, generation);
        return;
    case PT_LEG_ASK:
        phone_on_leg_ask(sim, which, generation);
        return;
    case PT_MESSAGE_AGAIN:
        on_message_again(sim, &sim->phones[which], generation);
        return;
    }
}

void phone_conn_lost(struct sim *sim, uint32_t phone)
{
    asks_conn_lost(sim, phone);
    for (uint32_t i = 0; i < sim->knobs.calls; i++) {
        struct call *call = &sim->calls[i];
        if (call->phone != phone)
            continue;
        call->crashes_before = UINT32_MAX;
        for (uint32_t k = 0; k < sim->leg_count; k++)
            if (sim->legs[k].state != LEG_FREE && strcmp(sim->legs[k].call_id, call->call_id) == 0)
                sim->legs[k].crashes_before = UINT32_MAX;
    }
    for (uint32_t k = 0; k < sim->leg_count; k++) {
        if (sim->legs[k].phone != phone)
            continue;
        sim->legs[k].crashes_before = UINT32_MAX;
        for (uint32_t i = 0; i < sim->knobs.calls; i++)
            if (strcmp(sim->legs[k].call_id, sim->calls[i].call_id) == 0)
                sim->calls[i].crashes_before = UINT32_MAX;
    }
    phone_set_timer(sim, PT_REGISTER, phone, 0, sim_range(sim, 100, 5000));
}

static void draw_behind(struct sim *sim, struct phone *phone)
{
    static const enum phone_behind kinds[] = {BEHIND_EDGE, BEHIND_EDGE, BEHIND_SPIRAL, BEHIND_LOOP};
    bool plain = !phone->nat && !phone->tcp && !phone->v6 && !sim->knobs.starved;

    phone->leads_to = (unsigned)sim_range(sim, 0, sim->knobs.phones - 1);
    if (sim->knobs.edge && !phone->v6) {
        if (sim_chance(sim, 50))
            phone->behind = BEHIND_EDGE;
    } else if (plain && sim->knobs.router && sim_chance(sim, 40))
        phone->behind = kinds[sim_range(sim, 0, COUNT_OF(kinds) - 1)];
    else if (plain && sim_chance(sim, 8))
        phone->behind = BEHIND_ALIAS;
    else if (plain && phone->index > 1 && sim_chance(sim, 10))
        phone->behind = BEHIND_ELSEWHERE;
    else if (plain && phone->rport)
        phone->odd = sim_chance(sim, 20);
    for (uint32_t i = 1; i < phone->index && phone->behind == BEHIND_ELSEWHERE; i++) {
        const struct phone *other = &sim->phones[i];
        if (!other->nat && !other->tcp && !other->v6 && !other->odd)
            phone->elsewhere = i;
    }
    if (phone->elsewhere == 0 && phone->behind == BEHIND_ELSEWHERE)
        phone->behind = BEHIND_NOTHING;
}

void phones_start(struct sim *sim)
{
    sim->phones[SIM_ROUTER].index = SIM_ROUTER;
    for (uint32_t i = 1; i <= sim->knobs.phones; i++) {
        struct phone *phone = &sim->phones[i];
        phone->index = i;
        phone->user = sim_chance(sim, 30) && i > 1 ? sim->phones[i - 1].user : i - 1;
        phone->expires_s = (uint32_t)sim_range(sim, 60, 240);
        phone->manner = (enum phone_manner)sim_range(sim, MANNER_ANSWER, MANNER_ODD);
        if (phone->manner == MANNER_SILENT || phone->manner == MANNER_CLOSED)
            phone->manner = MANNER_ODD;
        phone->q = sim_chance(sim, 50) ? 1000 : 100 * (unsigned)sim_range(sim, 1, 9);
        phone->nat = sim_chance(sim, sim->knobs.nat_pct);
        phone->v6 = !phone->nat && sim_chance(sim, sim->knobs.v6_pct);
        phone->tcp = !phone->nat && !phone->v6 && phone->manner != MANNER_CLOSED &&
                     sim_chance(sim, sim->knobs.tcp_pct);
        phone->instance = !sim->knobs.looped && sim_chance(sim, 40);
        phone->rport = phone->nat || sim_chance(sim, 80);
        draw_behind(sim, phone);
        if (phone_sleeps(sim, phone))
            phone->expires_s = SIM_PUSH_EXPIRES;
        if (sim_chance(sim, 40))
            phone->manner = MANNER_ANSWER;
        if (sim_chance(sim, sim->knobs.dead_pct) && i > 1) /* somebody must be able to call */
            phone->manner = sim_chance(sim, 50) ? MANNER_SILENT : MANNER_CLOSED;
        snprintf(phone->call_id, sizeof phone->call_id, "reg-%u-%llx", i,
                 (unsigned long long)rng_u64(&sim->rng));
        snprintf(phone->tag, sizeof phone->tag, "r%u", i);
        phone->cseq = (uint32_t)sim_range(sim, 1, 100000);
        phone_set_timer(sim, PT_REGISTER, i, 0, sim_range(sim, 0, 3000));
        if (phone->manner != MANNER_CLOSED)
            phone_set_timer(sim, PT_MESSAGE, i, 0, sim_range(sim, 4000, 20000));
        if (phone->manner != MANNER_CLOSED)
            phone_set_timer(sim, PT_PROBE, i, 0, sim_range(sim, 1000, 10000));
    }
    for (uint32_t i = 0; i < sim->knobs.calls && !sim->endless; i++)
        phones_plan_call(sim, i, sim_range(sim, 4000, sim->knobs.calls_span_ms));
}

void phones_plan_call(struct sim *sim, uint32_t index, uint64_t in_ms)
{
    sim->calls[index].planned = true;
    phone_set_timer(sim, PT_CALL, index, 0, in_ms);
}
