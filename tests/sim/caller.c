/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/caller - calls as their caller sees them: INVITE, CANCEL, ACK, requests in the dialog, BYE.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"

/* ---- calls, the caller's side ---- */

static void send_invite(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];
    struct phone *phone = &sim->phones[call->phone];
    char uri[160], contact[80];

    snprintf(uri, sizeof uri, "%.*s", (int)strcspn(call->invite + 7, " "), call->invite + 7);
    phone_make_branch(sim, call->branch, sizeof call->branch);
    call->cseq++;
    call->next_cseq = call->cseq + 1;
    call->tries = 0;
    call->gap_ms = T1;
    call->generation++;
    call->state = CALL_CALLING;
    call->provisional = false;
    call->crashes_before = sim->crashes;
    call->invite_crashes = sim->crashes;
    call->invite[0] = '\0';
    text_add(call->invite, SIM_TEXT_MAX, "INVITE %s SIP/2.0\r\n", uri);
    phone_via(phone, call->branch, call->invite);
    phone_uri(phone, phone->user, contact);
    if (index % 7 != 0)
        text_add(call->invite, SIM_TEXT_MAX, "Max-Forwards: 70\r\n");
    if (index % 5 == 1)
        text_add(call->invite, SIM_TEXT_MAX, "Max-Breadth: %u\r\n", 1 + index % 4);
    if (index % 6 == 2)
        text_add(call->invite, SIM_TEXT_MAX,
                 "P-Asserted-Identity: <sip:boss@far.example>\r\nSupported: 100rel\r\n"
                 "P-Preferred-Identity: <sip:boss@far.example>\r\n");
    text_add(call->invite, SIM_TEXT_MAX,
             "From: <sip:u%u@%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\n"
             "CSeq: %u INVITE\r\nContact: <%s>\r\nX-Nobody-Knows: \"%u\"; this ,,\r\n",
             phone->user, call->stranger ? "else.example" : "sim.example", call->tag, uri,
             call->call_id, call->cseq, contact, index);
    if (!call->stranger)
        creds_add(sim, phone, "INVITE", uri, call->invite, SIM_TEXT_MAX);
    char body[128]; /* records.c looks for its port */
    int len = snprintf(body, sizeof body, "v=0\r\nc=IN IP4 10.9.0.1\r\nm=audio %u RTP/AVP 0\r\n%s",
                       10000 + index % 50000, index % 2 == 0 ? "a=sendonly\r\n" : "");
    if (index % 3 == 0)
        text_add(call->invite, SIM_TEXT_MAX,
                 "Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len, body);
    else
        text_add(call->invite, SIM_TEXT_MAX, "Content-Length: 0\r\n\r\n");
    phone_send(sim, call->phone, call->invite);
    call->conn = phone->conn;
    phone_set_timer(sim, PT_CALL_AGAIN, index, call->generation, T1);
}

/** May it be called by its GRUU (RFC 5627)? Its contacts lead to itself. */
static bool has_gruu(const struct sim *sim, const struct phone *phone)
{
    return phone->instance && phone->behind <= BEHIND_EDGE && !sim->knobs.looped;
}

void phone_on_call_timer(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];
    uint32_t callee = (uint32_t)sim_range(sim, 1, sim->knobs.phones);

    uint32_t fresh = call->generation + 1;
    memset(call, 0, sizeof *call);
    call->generation = fresh;
    sim->calls_begun++;
    call->phone = (uint32_t)sim_range(sim, 1, sim->knobs.phones);
    if (sim->phones[call->phone].manner == MANNER_CLOSED)
        call->phone = 1;
    snprintf(call->call_id, sizeof call->call_id, "call-%u-%llx", index,
             (unsigned long long)rng_u64(&sim->rng));
    snprintf(call->tag, sizeof call->tag, "c%llu", (unsigned long long)sim->calls_begun);
    call->hangs_up = sim_chance(sim, 50);
    call->began_ms = sim->now_ms;
    call->cseq = (uint32_t)sim_range(sim, 1, 1000);
    call->stranger = sim->knobs.auth && sim->calls_begun % 9 == 4 &&
                     !edge_serves_phone(sim, &sim->phones[call->phone]);
    if (sim_chance(sim, 25))
        snprintf(call->invite, sizeof call->invite, "INVITE sip:%u@sim.example SIP/2.0",
                 100 + sim->phones[callee].user);
    else if (sim->calls_begun % 5 == 1 && gruus_pick(sim, sim->calls_begun / 5) != NULL)
        snprintf(call->invite, sizeof call->invite, "INVITE sip:%s@sim.example;gr SIP/2.0",
                 gruus_pick(sim, sim->calls_begun / 5));
    else if (has_gruu(sim, &sim->phones[callee]) && sim->calls_begun % 3 == 0)
        snprintf(call->invite, sizeof call->invite,
                 "INVITE sip:u%u@sim.example;gr=urn:uuid:0000-%u SIP/2.0", sim->phones[callee].user,
                 callee);
    else
        snprintf(call->invite, sizeof call->invite, "INVITE sip:u%u@sim.example SIP/2.0",
                 sim->phones[callee].user);
    send_invite(sim, index);
    if (sim_chance(sim, 35))
        phone_set_timer(sim, PT_CANCEL, index, 0, sim_range(sim, 0, 7000));
}

void phone_on_call_again(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_CALLING)
        return;
    if (++call->tries > 6) {
        call->gave_up = true; /* Timer B */
        call->final_ms = sim->now_ms;
        call->state = CALL_FAILED;
        return;
    }
    phone_send_again(sim, call->phone, call->invite);
    call->gap_ms *= 2;
    phone_set_timer(sim, PT_CALL_AGAIN, index, generation, call->gap_ms);
}

/** CANCEL or ACK of a failure: the INVITE's first lines with another method. */
static void hop_by_hop(const char *invite, const char *method, const char *to, char *out)
{
    char value[512];

    out[0] = '\0';
    text_add(out, SIM_TEXT_MAX, "%s %.*s\r\n", method, (int)strcspn(invite + 7, "\r"), invite + 7);
    text_field(invite, "Via", 0, value, sizeof value);
    text_add(out, SIM_TEXT_MAX, "Via: %s\r\nMax-Forwards: 70\r\n", value);
    text_field(invite, "From", 0, value, sizeof value);
    text_add(out, SIM_TEXT_MAX, "From: %s\r\n", value);
    text_field(invite, "To", 0, value, sizeof value);
    text_add(out, SIM_TEXT_MAX, "To: %s\r\n", to != NULL ? to : value);
    text_field(invite, "Call-ID", 0, value, sizeof value);
    text_add(out, SIM_TEXT_MAX, "Call-ID: %s\r\n", value);
    text_field(invite, "CSeq", 0, value, sizeof value);
    text_add(out, SIM_TEXT_MAX, "CSeq: %lu %s\r\n", strtoul(value, NULL, 10), method);
    if (strcmp(method, "CANCEL") == 0)
        text_add(out, SIM_TEXT_MAX, "Reason: SIM;cause=7\r\n");
    text_add(out, SIM_TEXT_MAX, "Content-Length: 0\r\n\r\n");
}

void phone_on_cancel_timer(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];

    if (call->cancelled)
        return;
    if (call->state == CALL_CALLING) { /* not before a provisional response (section 9.1) */
        phone_set_timer(sim, PT_CANCEL, index, 0, 300);
        return;
    }
    if (call->state != CALL_PROCEEDING)
        return;
    call->cancelled = true;
    hop_by_hop(call->invite, "CANCEL", NULL, call->cancel);
    phone_send(sim, call->phone, call->cancel);
    call->tries = 0;
    phone_set_timer(sim, PT_CANCEL_AGAIN, index, call->generation, T1);
}

void phone_on_cancel_again(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->cancel_answered || ++call->tries > 10)
        return;
    phone_send_again(sim, call->phone, call->cancel);
    uint64_t gap = (uint64_t)T1 << call->tries;
    phone_set_timer(sim, PT_CANCEL_AGAIN, index, generation, gap > T2 ? T2 : gap);
}

void phone_in_dialog(struct sim *sim, const char *method, uint32_t cseq, const char *from,
                     const char *to, const char *call_id, const char *source, bool reversed,
                     uint32_t phone, const char *extra, char *out)
{
    char contact[256], uri[128], branch[48], value[1024], first[256] = "";
    unsigned routes = text_count(source, "Record-Route"), i = 0;

    text_field(source, "Contact", 0, contact, sizeof contact);
    text_uri(contact, uri, sizeof uri);
    phone_make_branch(sim, branch, sizeof branch);
    if (routes > 0) {
        text_field(source, "Record-Route", reversed ? routes - 1 : 0, value, sizeof value);
        text_uri(value, first, sizeof first);
    }
    /* The next hop routes strictly, or does so before the node. */
    bool strict = routes > 0 &&
                  (strstr(first, ";lr") == NULL || (text_names_node(first) && sim_chance(sim, 10)));
    out[0] = '\0';
    text_add(out, SIM_TEXT_MAX, "%s %s SIP/2.0\r\n", method, strict ? first : uri);
    phone_via(&sim->phones[phone], branch, out);
    text_add(out, SIM_TEXT_MAX, "Max-Forwards: 70\r\n");
    bool joined = sim_chance(sim, 30); /* all in one line */
    const char *before = "Route: ";
    for (i = strict ? 1 : 0; i < routes; i++) {
        text_field(source, "Record-Route", reversed ? routes - 1 - i : i, value, sizeof value);
        text_add(out, SIM_TEXT_MAX, "%s%s%s", before, value, joined ? "" : "\r\n");
        before = joined ? ", " : before;
    }
    if (strict)
        text_add(out, SIM_TEXT_MAX, "%s<%s>\r\n", before, uri);
    else if (joined && i > 0)
        text_add(out, SIM_TEXT_MAX, "\r\n");
    text_add(out, SIM_TEXT_MAX,
             "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n%sContent-Length: 0\r\n\r\n",
             from, to, call_id, cseq, method, extra);
}

static void on_answer(struct sim *sim, uint32_t index, const char *text, const char *to_tag)
{
    struct call *call = &sim->calls[index];
    char from[256], to[256];

    for (unsigned i = 0; i < call->answers; i++)
        if (strcmp(call->answer_tags[i], to_tag) == 0) { /* again: so is the ACK */
            text_field(text, "From", 0, from, sizeof from);
            text_field(text, "To", 0, to, sizeof to);
            phone_in_dialog(sim, "ACK", call->cseq, from, to, call->call_id, text, true,
                            call->phone, "", call->ack);
            phone_send(sim, call->phone, call->ack);
            return;
        }
    if (call->answers == COUNT_OF(call->answer_tags))
        return;
    snprintf(call->answer_tags[call->answers++], sizeof call->answer_tags[0], "%s", to_tag);
    text_field(text, "From", 0, from, sizeof from);
    text_field(text, "To", 0, to, sizeof to);
    if (text_count(text, "Record-Route") == 0)
        sim_fail(sim, "a 2xx to INVITE without Record-Route");
    if (call->stranger)
        thief_try(sim, call, text);

    char ack[SIM_TEXT_MAX];
    phone_in_dialog(sim, "ACK", call->cseq, from, to, call->call_id, text, true, call->phone, "",
                    ack);
    phone_send(sim, call->phone, ack);
    if (call->answers > 1) { /* a second phone answered: hung up at once */
        char bye[SIM_TEXT_MAX];
        phone_in_dialog(sim, "BYE", call->next_cseq++, from, to, call->call_id, text, true,
                        call->phone, "", bye);
        phone_send(sim, call->phone, bye);
        return;
    }
    memcpy(call->ack, ack, sizeof ack);
    call->state = CALL_UP;
    call->final_ms = sim->now_ms;
    call->generation++;
    snprintf(call->answer, sizeof call->answer, "%s", text);
    phone_set_timer(sim, PT_BYE, index, call->generation,
                    call->hangs_up ? sim_range(sim, 1000, 40000) : 120000);
    if (!sim->knobs.starved && sim_chance(sim, 50))
        phone_set_timer(sim, PT_CALL_ASK, index, call->generation, sim_range(sim, 500, 20000));
}

void phone_on_bye_timer(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_UP)
        return;
    char from[256], to[256];
    text_field(call->answer, "From", 0, from, sizeof from);
    text_field(call->answer, "To", 0, to, sizeof to);
    phone_in_dialog(sim, "BYE", call->next_cseq++, from, to, call->call_id, call->answer, true,
                    call->phone, "", call->bye);
    call->state = CALL_BYE;
    call->tries = 0;
    call->crashes_before = sim->crashes;
    phone_send(sim, call->phone, call->bye);
    phone_set_timer(sim, PT_BYE_AGAIN, index, generation, T1);
}

static const char *draw_ask(struct sim *sim)
{
    static const char *const methods[] = {"INFO", "UPDATE", "INVITE"};
    return methods[sim_range(sim, 0, COUNT_OF(methods) - 1)];
}

void phone_on_call_ask(struct sim *sim, uint32_t index, uint32_t generation)
{
    const struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_UP || sim->now_ms > sim->quiet_at_ms)
        return;
    ask_send(sim, draw_ask(sim), index, UINT32_MAX);
    phone_set_timer(sim, PT_CALL_ASK, index, generation, sim_range(sim, 3000, 20000));
}

void phone_on_leg_ask(struct sim *sim, uint32_t which, uint32_t generation)
{
    const struct leg *leg = &sim->legs[which];

    if (leg->generation != generation || leg->state != LEG_CONFIRMED || leg->bye_done ||
        sim->now_ms > sim->quiet_at_ms)
        return;
    ask_send(sim, draw_ask(sim), UINT32_MAX, which);
    phone_set_timer(sim, PT_LEG_ASK, which, generation, sim_range(sim, 3000, 20000));
}

void phone_on_bye_again(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_BYE || ++call->tries > 10)
        return;
    phone_send_again(sim, call->phone, call->bye);
    uint64_t gap = (uint64_t)T1 << call->tries;
    phone_set_timer(sim, PT_BYE_AGAIN, index, generation, gap > T2 ? T2 : gap);
}

static void on_invite_failure(struct sim *sim, uint32_t index, const char *text, const char *tag)
{
    struct call *call = &sim->calls[index];
    char to[256], ack[SIM_TEXT_MAX];
    unsigned status = text_status(text);

    text_field(text, "To", 0, to, sizeof to);
    hop_by_hop(call->invite, "ACK", to, ack);
    phone_send(sim, call->phone, ack);
    if (call->final_status != 0) {
        bool same = call->final_status == status && strcmp(call->final_tag, tag) == 0;
        /* Neither a challenge nor a refusal for overload keeps state: each copy has its own. */
        bool stateless = sim->knobs.overload && (status == 407 || status == 503) &&
                         (call->final_status == 407 || call->final_status == 503);
        /* Nor does what is refused to who has proved nothing (section 26.3.2.4). */
        stateless |= call->stranger && (call->final_status == 404 || status == 404);
        if (!same && !stateless && call->crashes_before == sim->crashes && !sim->knobs.starved)
            sim_fail(sim, "call %u got two finals: %u and %u", index, call->final_status, status);
        return;
    }
    if (call->state != CALL_CALLING && call->state != CALL_PROCEEDING)
        return;
    if ((status == 407 || status == 401) && call->auth_tries++ < 4 && !call->cancelled &&
        creds_take(&sim->phones[call->phone], text)) {
        send_invite(sim, index);
        return;
    }
    call->final_status = status;
    snprintf(call->final_tag, sizeof call->final_tag, "%s", tag);
    call->final_ms = sim->now_ms;
    call->state = CALL_FAILED;
}

struct call *phone_find_call(struct sim *sim, uint32_t phone, const char *call_id, uint32_t *index)
{
    for (uint32_t i = 0; i < sim->knobs.calls; i++)
        if (sim->calls[i].phone == phone && strcmp(sim->calls[i].call_id, call_id) == 0) {
            *index = i;
            return &sim->calls[i];
        }
    return NULL;
}

void phone_on_call_response(struct sim *sim, uint32_t phone, const char *text)
{
    char call_id[64], via[256], branch[64], to[256], tag[64], method[32], cseq[32];
    uint32_t index;

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    struct call *call = phone_find_call(sim, phone, call_id, &index);
    if (call == NULL)
        return;
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    text_method(text, method, sizeof method);
    text_field(text, "CSeq", 0, cseq, sizeof cseq);
    unsigned status = text_status(text);

    if (strcmp(method, "CANCEL") == 0) {
        call->cancel_answered = call->cancel_answered || status >= 200;
        return;
    }
    if (strcmp(method, "BYE") == 0) {
        if (status >= 200 && call->state == CALL_BYE) {
            call->bye_done = true;
            call->state = CALL_OVER;
            call->final_ms = sim->now_ms;
        }
        return;
    }
    if (strcmp(method, "INVITE") != 0)
        return;
    if (strcmp(branch, call->branch) != 0) {
        /* of the INVITE before the challenge: its failure is acknowledged by a new copy of it only
         */
        return;
    }
    if (status < 200) {
        if (call->state == CALL_CALLING)
            call->state = CALL_PROCEEDING;
        call->provisional = true;
        if (text_count(text, "RSeq") > 0 && call->state == CALL_PROCEEDING)
            ask_prack(sim, index, text);
        return;
    }
    if (status < 300)
        on_answer(sim, index, text, tag);
    else
        on_invite_failure(sim, index, text, tag);
}
