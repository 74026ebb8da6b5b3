/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/ask - requests within a dialog, from both sides: INFO, UPDATE, re-INVITE, PRACK.
 *
 * They are routed by Route and token alone, so they must get through after a restart of
 * the node as well. What was sent while the node lives is answered in the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

enum {
    T1 = 500,
    T2 = 4000,
    TRIES = 10,
    TAKEN_MAX = 6, /* fewer than the tries, with time left for the last one */
};

static uint32_t ask_index(const struct sim *sim, const struct ask *ask)
{
    return (uint32_t)(ask - sim->asks);
}

static uint64_t name_of(const char *branch)
{
    return hash_bytes(11, slice_of(branch)) | 1;
}

/** A free one; the oldest that is done when all were used. */
static struct ask *ask_new(struct sim *sim)
{
    struct ask *ask = NULL;

    if (sim->ask_count < SIM_ASKS_MAX)
        ask = &sim->asks[sim->ask_count++];
    for (uint32_t i = 0; ask == NULL && i < SIM_ASKS_MAX; i++)
        if (!sim->asks[sim->ask_next++ % SIM_ASKS_MAX].open)
            ask = &sim->asks[(sim->ask_next - 1) % SIM_ASKS_MAX];
    if (ask == NULL)
        return NULL;
    uint32_t generation = ask->generation + 1;
    memset(ask, 0, sizeof *ask);
    ask->generation = generation;
    ask->crashes_before = sim->crashes;
    ask->call = ask->leg = UINT32_MAX;
    ask->open = true;
    ask->gap_ms = T1;
    return ask;
}

static void ask_begin(struct sim *sim, struct ask *ask)
{
    char via[256];

    text_field(ask->text, "Via", 0, via, sizeof via);
    text_param(via, "branch", ask->branch, sizeof ask->branch);
    text_method(ask->text, ask->method, sizeof ask->method);
    sim->ask_names[ask_index(sim, ask)] = name_of(ask->branch);
    phone_send(sim, ask->phone, ask->text);
    phone_set_ask_timer(sim, ask_index(sim, ask), ask->generation, T1);
}

/** The parties of a dialog as the sender of the request sees them. */
static void parties(const struct sim *sim, const struct ask *ask, char from[static 320],
                    char to[static 320])
{
    char text[256];

    if (ask->call != UINT32_MAX) {
        text_field(sim->calls[ask->call].answer, "From", 0, from, 320);
        text_field(sim->calls[ask->call].answer, "To", 0, to, 320);
        return;
    }
    const struct leg *leg = &sim->legs[ask->leg];
    text_field(leg->invite, "To", 0, text, sizeof text);
    snprintf(from, 320, "%.200s;tag=%s", text, leg->tag);
    text_field(leg->invite, "From", 0, to, 320);
}

static void write_in_dialog(struct sim *sim, const struct ask *ask, const char *method,
                            uint32_t cseq, char *out)
{
    char from[320], to[320], extra[200] = "";
    bool caller = ask->call != UINT32_MAX;
    const char *source = caller ? sim->calls[ask->call].answer : sim->legs[ask->leg].invite;

    parties(sim, ask, from, to);
    if (strcmp(method, "INVITE") == 0 || strcmp(method, "UPDATE") == 0) {
        char uri[80];
        phone_uri(&sim->phones[ask->phone], sim->phones[ask->phone].user, uri);
        snprintf(extra, sizeof extra, "Contact: <%s>\r\n", uri);
    }
    phone_in_dialog(sim, method, cseq, from, to,
                    caller ? sim->calls[ask->call].call_id : sim->legs[ask->leg].call_id, source,
                    caller, ask->phone, extra, out);
}

void ask_send(struct sim *sim, const char *method, uint32_t call, uint32_t leg)
{
    struct ask *ask = ask_new(sim);
    if (ask == NULL)
        return;

    bool caller = call != UINT32_MAX;
    ask->call = call;
    ask->leg = leg;
    ask->phone = caller ? sim->calls[call].phone : sim->legs[leg].phone;
    ask->vague = (caller ? sim->calls[call].crashes_before : sim->legs[leg].crashes_before) ==
                 UINT32_MAX; /* a stream of theirs was lost */
    uint32_t cseq = caller ? sim->calls[call].next_cseq++ : sim->legs[leg].next_cseq++;
    write_in_dialog(sim, ask, method, cseq, ask->text);
    ask_begin(sim, ask);
}

void ask_prack(struct sim *sim, uint32_t index, const char *response)
{
    struct call *call = &sim->calls[index];
    char from[256], to[256], rseq[16], extra[64];
    struct ask *ask = ask_new(sim);
    if (ask == NULL)
        return;

    ask->phone = call->phone;
    ask->vague = call->crashes_before != sim->crashes;
    text_field(response, "From", 0, from, sizeof from);
    text_field(response, "To", 0, to, sizeof to);
    text_field(response, "RSeq", 0, rseq, sizeof rseq);
    snprintf(extra, sizeof extra, "RAck: %s %u INVITE\r\n", rseq, call->cseq);
    phone_in_dialog(sim, "PRACK", call->next_cseq++, from, to, call->call_id, response, true,
                    call->phone, extra, ask->text);
    ask_begin(sim, ask);
}

static struct ask *find(struct sim *sim, uint32_t phone, const char *branch, bool answers)
{
    uint64_t name = name_of(branch);

    for (uint32_t i = 0; i < sim->ask_count; i++) {
        struct ask *ask = &sim->asks[i];
        if (sim->ask_names[i] == name && ask->phone == phone && ask->answers == answers &&
            strcmp(ask->branch, branch) == 0)
            return ask;
    }
    return NULL;
}

static void branch_of(const char *text, char branch[static 128])
{
    char via[512];

    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, 128);
}

bool ask_response(struct sim *sim, uint32_t phone, const char *text)
{
    char branch[128], cseq[32];
    unsigned status = text_status(text);

    branch_of(text, branch);
    struct ask *ask = find(sim, phone, branch, false);
    if (ask == NULL)
        return false;
    if (status < 200)
        return true;
    ask->open = false;
    if (strcmp(ask->method, "INVITE") != 0)
        return true;
    char ack[SIM_TEXT_MAX];
    text_field(ask->text, "CSeq", 0, cseq, sizeof cseq);
    if (status < 300) {
        write_in_dialog(sim, ask, "ACK", (uint32_t)strtoul(cseq, NULL, 10), ack);
    } else {
        char uri[256], value[512];
        ack[0] = '\0';
        text_request_uri(ask->text, uri, sizeof uri);
        text_add(ack, sizeof ack, "ACK %s SIP/2.0\r\n", uri);
        text_field(ask->text, "Via", 0, value, sizeof value);
        text_add(ack, sizeof ack, "Via: %s\r\nMax-Forwards: 70\r\n", value);
        for (unsigned i = 0; text_field(ask->text, "Route", i, value, sizeof value); i++)
            text_add(ack, sizeof ack, "Route: %s\r\n", value);
        text_field(text, "From", 0, value, sizeof value);
        text_add(ack, sizeof ack, "From: %s\r\n", value);
        text_field(text, "To", 0, value, sizeof value);
        text_add(ack, sizeof ack, "To: %s\r\n", value);
        text_field(text, "Call-ID", 0, value, sizeof value);
        text_add(ack, sizeof ack, "Call-ID: %s\r\nCSeq: %lu ACK\r\nContent-Length: 0\r\n\r\n",
                 value, strtoul(cseq, NULL, 10));
    }
    phone_send(sim, phone, ack);
    return true;
}

/** Its answer is sent until the ACK is there. */
static void answer_invite(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    struct ask *ask = find(sim, phone, branch, true);
    char extra[200], uri[80];

    if (ask != NULL) {
        phone_send(sim, phone, ask->text);
        return;
    }
    ask = ask_new(sim);
    if (ask == NULL)
        return;
    ask->answers = true;
    ask->phone = phone;
    /* An edge has held it, and who sent it is gone. */
    ask->vague = leg_boot_of(text) != sim->boot || !sim->node_up;
    snprintf(ask->branch, sizeof ask->branch, "%s", branch);
    sim->ask_names[ask_index(sim, ask)] = name_of(branch);
    snprintf(ask->method, sizeof ask->method, "INVITE");
    phone_uri(&sim->phones[phone], sim->phones[phone].user, uri);
    snprintf(extra, sizeof extra, "Contact: <%s>\r\n", uri);
    text_response(text, 200, "", extra, ask->text, sizeof ask->text);
    phone_send(sim, phone, ask->text);
    phone_set_ask_timer(sim, ask_index(sim, ask), ask->generation, T1);
}

bool ask_request(struct sim *sim, uint32_t phone, const char *text)
{
    static const char *const methods[] = {"INVITE", "UPDATE", "INFO", "PRACK"};
    char method[16], to[256], branch[128], response[SIM_TEXT_MAX];
    bool known = false;

    text_method(text, method, sizeof method);
    text_field(text, "To", 0, to, sizeof to);
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        known |= strcmp(method, methods[i]) == 0;
    if (!known || strstr(to, ";tag=") == NULL)
        return false;
    branch_of(text, branch);
    if (strcmp(method, "INVITE") == 0) {
        answer_invite(sim, phone, text, branch);
        return true;
    }
    text_response(text, 200, "", "", response, sizeof response);
    phone_send(sim, phone, response);
    return true;
}

/** Its answer waits for an ACK: is this the one, or a copy of the answer itself? */
static bool awaits_ack(const struct ask *ask, const char *call_id, const char *cseq)
{
    char value[128];

    if (!ask->open || !ask->answers)
        return false;
    text_field(ask->text, "Call-ID", 0, value, sizeof value);
    if (strcmp(call_id, value) != 0)
        return false;
    text_field(ask->text, "CSeq", 0, value, sizeof value);
    return strtoul(value, NULL, 10) == strtoul(cseq, NULL, 10);
}

bool ask_ack(struct sim *sim, uint32_t phone, const char *text)
{
    char call_id[128], cseq[32];
    bool found = false;

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    text_field(text, "CSeq", 0, cseq, sizeof cseq);
    for (uint32_t i = 0; i < sim->ask_count; i++) {
        struct ask *ask = &sim->asks[i];
        if (ask->phone != phone || !awaits_ack(ask, call_id, cseq))
            continue;
        ask->open = false;
        found = true;
    }
    return found;
}

bool ask_is_spared(struct sim *sim, const char *text)
{
    char method[32], call_id[128], cseq[32];
    unsigned status = text_status(text);

    text_method(text, method, sizeof method);
    if (strcmp(method, "ACK") != 0 && (strcmp(method, "INVITE") != 0 || status / 100 != 2))
        return false;
    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    text_field(text, "CSeq", 0, cseq, sizeof cseq);
    for (uint32_t i = 0; i < sim->ask_count; i++)
        if (awaits_ack(&sim->asks[i], call_id, cseq))
            return ++sim->asks[i].taken > TAKEN_MAX;
    return false;
}

/** Is the other side there to answer at all? */
static bool must_be_answered(const struct sim *sim, const struct ask *ask)
{
    return !ask->vague && ask->crashes_before == sim->crashes && !sim->knobs.starved &&
           !phone_any_tcp(sim);
}

void ask_again(struct sim *sim, uint32_t which, uint32_t generation)
{
    struct ask *ask = &sim->asks[which];

    if (!ask->open || ask->generation != generation)
        return;
    bool invite = strcmp(ask->method, "INVITE") == 0 && !ask->answers;
    if (++ask->tries > (invite ? 6 : TRIES)) {
        ask->open = false;
        if (must_be_answered(sim, ask))
            sim_fail(sim, "the %s of phone %u in a dialog %s", ask->method, ask->phone,
                     ask->answers ? "was answered, and no ACK came" : "got no answer");
        return;
    }
    if (ask->answers)
        phone_send(sim, ask->phone, ask->text);
    else
        phone_send_again(sim, ask->phone, ask->text);
    ask->gap_ms *= 2;
    if (!invite && ask->gap_ms > T2)
        ask->gap_ms = T2;
    phone_set_ask_timer(sim, which, generation, ask->gap_ms);
}

void asks_conn_lost(struct sim *sim, uint32_t phone)
{
    for (uint32_t i = 0; i < sim->ask_count; i++)
        if (sim->asks[i].phone == phone)
            sim->asks[i].vague = true;
}
