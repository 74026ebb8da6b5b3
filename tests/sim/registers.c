/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/registers - phones register, refresh, move and go; and REGISTERs that must change nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"

/* ---- registration ---- */

/** Where it wants to be called. */
static void registered_uri(const struct sim *sim, const struct phone *phone, char out[static 80])
{
    if (phone->behind == BEHIND_SPIRAL)
        snprintf(out, 80, "sip:s%u@" SIM_ROUTER_HOST, phone->leads_to);
    else if (phone->behind == BEHIND_LOOP)
        snprintf(out, 80, "sip:l%u@" SIM_ROUTER_HOST, phone->user);
    else if (phone->behind == BEHIND_ALIAS)
        snprintf(out, 80, "sip:u%u@sim.example", phone->leads_to);
    else if (phone->behind == BEHIND_ELSEWHERE)
        snprintf(out, 80, "sip:gw%u@10.0.1.%u:5060", phone->index, phone->elsewhere);
    else
        phone_uri(phone, phone->user, out);
    if (phone->moved > 0 && phone->behind <= BEHIND_EDGE) {
        char host[60];
        snprintf(host, sizeof host, "%.59s", strchr(out, '@'));
        snprintf(out, 80, "sip:u%u-%u%s", phone->user, phone->moved, host);
    }
    if (phone_sleeps(sim, phone))
        text_add(out, 80, ";pn-provider=sim;pn-prid=p%u", phone->index);
}

/** Has it a second line? */
static bool has_two(const struct phone *phone)
{
    return phone->index % 4 == 1 && phone->behind <= BEHIND_EDGE;
}

/** +sip.instance, and reg-id where a phone has several flows (RFC 5626). */
static void add_instance(const struct phone *phone, unsigned reg_id, char *out)
{
    if (!phone->instance)
        return;
    text_add(out, SIM_TEXT_MAX, ";+sip.instance=\"<urn:uuid:0000-%u>\"", phone->index);
    if (reg_id != 0)
        text_add(out, SIM_TEXT_MAX, ";reg-id=%u", reg_id);
}

/** The first lines of a REGISTER. */
static void begin_register(struct sim *sim, const struct phone *phone, uint32_t cseq, char *out)
{
    char branch[48];

    phone_make_branch(sim, branch, sizeof branch);
    out[0] = '\0';
    text_add(out, SIM_TEXT_MAX, "REGISTER sip:sim.example SIP/2.0\r\n");
    phone_via(phone, branch, out);
    text_add(
        out, SIM_TEXT_MAX,
        "Max-Forwards: 70\r\nFrom: <sip:u%u@sim.example>;tag=%s%s\r\nTo: <sip:u%u@sim.example>\r\n"
        "Call-ID: %s\r\nCSeq: %u REGISTER\r\n",
        phone->user, phone->tag, cseq < phone->cseq ? branch : "", phone->user, phone->call_id,
        cseq);
}

static void end_register(struct sim *sim, struct phone *phone, char *out)
{
    creds_add(sim, phone, "REGISTER", "sip:sim.example", out, SIM_TEXT_MAX);
    text_add(out, SIM_TEXT_MAX, "Content-Length: 0\r\n\r\n");
    phone_send(sim, phone->index, out);
}

/** What must change nothing: overtaken, too brief, malformed, or only a question. Not waited for.
 */
static void send_vain_register(struct sim *sim, struct phone *phone)
{
    char text[SIM_TEXT_MAX], uri[80];

    registered_uri(sim, phone, uri);
    switch (sim_range(sim, 0, 4)) {
    case 0: /* an old one, late */
        begin_register(sim, phone, phone->cseq > 2 ? phone->cseq - 2 : 1, text);
        text_add(text, sizeof text, "Contact: <%s>;expires=%u", uri, phone->cseq % 2 ? 0 : 90);
        add_instance(phone, has_two(phone) ? 1 : 0, text);
        text_add(text, sizeof text, "\r\n");
        break;
    case 1: /* one good contact and one too brief: nothing at all */
        begin_register(sim, phone, ++phone->cseq, text);
        text_add(text, sizeof text,
                 "Contact: <%s>;expires=100\r\nContact: <sip:third-%s>;expires=%u\r\n", uri,
                 uri + 4, (unsigned)sim_range(sim, 1, SIM_MIN_EXPIRES - 1));
        break;
    case 2:
        begin_register(sim, phone, ++phone->cseq, text);
        text_add(text, sizeof text, "Contact: *\r\nExpires: 10\r\n");
        break;
    case 3:
        begin_register(sim, phone, phone->cseq > 2 ? phone->cseq - 2 : 1, text);
        text_add(text, sizeof text, "Contact: *\r\nExpires: 0\r\n");
        break;
    default:
        begin_register(sim, phone, ++phone->cseq, text);
        break;
    }
    end_register(sim, phone, text);
}

/** The REGISTER under way comes by a second way, too (RFC 3261 section 8.2.2.2). */
static void send_merged(struct sim *sim, const struct phone *phone)
{
    char text[SIM_TEXT_MAX], branch[48];
    const char *old = strstr(phone->request, "z9hG4bK");

    phone_make_branch(sim, branch, sizeof branch);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(old - phone->request), phone->request, branch,
             old + strlen(branch));
    phone_send(sim, phone->index, text);
}

/** Instead of the first flow. */
static void second_flow(struct phone *phone, const char *uri)
{
    *strstr(phone->request, "Contact: ") = '\0';
    text_add(phone->request, SIM_TEXT_MAX, "Contact: <sip:second-%s>;expires=%u;q=0.%u", uri + 4,
             phone->expires_s + 30, phone->index % 8 == 1 ? 3 : phone->q / 100 % 10);
    add_instance(phone, 2, phone->request);
    text_add(phone->request, SIM_TEXT_MAX, "\r\n");
}

static void send_register(struct sim *sim, struct phone *phone)
{
    char uri[80];
    bool by_field = false; /* Expires */

    phone->direct = sim_chance(sim, 15);
    if (phone->instance && sim_chance(sim, 15))
        phone->moved++;
    if (sim_chance(sim, 20))
        send_vain_register(sim, phone);
    phone->cseq++;
    phone->waiting = true;
    phone->tries = 0;
    phone->generation++;
    begin_register(sim, phone, phone->cseq, phone->request);
    registered_uri(sim, phone, uri);
    if (sim->knobs.looped && phone->index % 2 == 0)
        snprintf(uri, sizeof uri, "sip:u%u@" SIM_NODE_HOST,
                 sim->phones[phone->index + 2 <= sim->knobs.phones ? phone->index + 2 : 2].user);
    if (phone->wants_gone && phone->cseq % 2 == 0) {
        text_add(phone->request, SIM_TEXT_MAX, "Contact: *\r\nExpires: 0\r\n");
    } else {
        uint64_t manner = phone->wants_gone ? 0 : sim_range(sim, 0, 15);
        by_field = manner == 2;
        text_add(phone->request, SIM_TEXT_MAX, "Contact: <%s>", uri);
        if (manner == 3) /* more than there is */
            text_add(phone->request, SIM_TEXT_MAX, ";expires=99999");
        else if (manner != 1 && !by_field) /* 1: whatever is usual here */
            text_add(phone->request, SIM_TEXT_MAX, ";expires=%u",
                     phone->wants_gone ? 0 : phone->expires_s);
        bool two = has_two(phone);
        if (phone->q < 1000)
            text_add(phone->request, SIM_TEXT_MAX, ";q=0.%u", phone->q / 100);
        add_instance(phone, two ? 1 : 0, phone->request);
        text_add(phone->request, SIM_TEXT_MAX, "\r\n");
        if (two && phone->instance && !phone->wants_gone) {
            /* a second flow, which has a REGISTER of its own (RFC 5626 section 6) */
            if (phone->cseq % 2 == 0)
                second_flow(phone, uri);
        } else if (two) { /* a second line of this phone */
            text_add(phone->request, SIM_TEXT_MAX, "Contact: <sip:second-%s>;expires=%u;q=0.%u",
                     uri + 4, phone->wants_gone ? 0 : phone->expires_s + 30,
                     phone->index % 8 == 1 ? 3 : phone->q / 100 % 10);
            add_instance(phone, 2, phone->request);
            text_add(phone->request, SIM_TEXT_MAX, "\r\n");
        }
    }
    if (phone->instance && phone->behind <= BEHIND_EDGE)
        text_add(phone->request, SIM_TEXT_MAX, "Supported: gruu\r\n");
    if (by_field)
        text_add(phone->request, SIM_TEXT_MAX, "Expires: %u\r\n", phone->expires_s);
    end_register(sim, phone, phone->request);
    if (!sim->knobs.starved && sim_chance(sim, 8))
        send_merged(sim, phone);
    phone_set_timer(sim, PT_REGISTER_AGAIN, phone->index, phone->generation, T1);
}

void phone_on_register_timer(struct sim *sim, struct phone *phone)
{
    if (phone->waiting)
        return;
    phone->auth_tries = 0;
    phone->wants_gone = phone->acked_present && sim_chance(sim, 15);
    if (sim->now_ms > sim->quiet_at_ms)
        return; /* lets it expire */
    phone->acked_until_ms = sim_wall(sim) + (uint64_t)phone->expires_s * 1000;
    if (phone->instance && phone->cseq % 4 == 1) /* it was switched off and on */
        snprintf(phone->call_id, sizeof phone->call_id, "reg-%u-%u-%llx", phone->index, phone->cseq,
                 (unsigned long long)(sim->seed * 77 + sim->now_ms));
    send_register(sim, phone);
}

static void register_done(struct sim *sim, struct phone *phone, bool known)
{
    phone->waiting = false;
    phone->generation++;
    phone->ambiguous = !known;
    phone_set_timer(sim, PT_REGISTER, phone->index, 0,
                    sim_range(sim, 2000, (uint64_t)phone->expires_s * 600));
}

void phone_on_register_again(struct sim *sim, struct phone *phone, uint32_t generation)
{
    if (!phone->waiting || phone->generation != generation)
        return;
    if (++phone->tries > 10) {
        register_done(sim, phone, false);
        return;
    }
    phone_send_again(sim, phone->index, phone->request);
    uint64_t gap = (uint64_t)T1 << phone->tries;
    phone_set_timer(sim, PT_REGISTER_AGAIN, phone->index, generation, gap > T2 ? T2 : gap);
}

void phone_on_register_response(struct sim *sim, struct phone *phone, const char *text)
{
    char cseq[32], wanted[32];
    unsigned status = text_status(text);

    text_field(text, "CSeq", 0, cseq, sizeof cseq);
    snprintf(wanted, sizeof wanted, "%u REGISTER", phone->cseq);
    if (!phone->waiting || strcmp(cseq, wanted) != 0 || status < 200)
        return;
    if (status == 401 && phone->auth_tries++ < 4 && creds_take(phone, text)) {
        send_register(sim, phone);
        return;
    }
    if (status == 200) {
        phone->acked_present = !phone->wants_gone;
        phone->ambiguous = false;
    }
    register_done(sim, phone, status == 200);
}
