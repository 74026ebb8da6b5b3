/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/phone - the crowd: they register, call, answer, refuse, cancel and hang up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

enum phone_timer {
    PT_REGISTER = 1, /* b: phone */
    PT_REGISTER_AGAIN,
    PT_CALL, /* b: call */
    PT_CALL_AGAIN,
    PT_CANCEL,
    PT_CANCEL_AGAIN,
    PT_BYE,
    PT_BYE_AGAIN,
    PT_CALL_OVER,
    PT_LEG_ACT, /* b: leg */
    PT_LEG_AGAIN,
    PT_LEG_BYE,
    PT_LEG_BYE_AGAIN,
    PT_MESSAGE, /* b: phone */
    PT_MESSAGE_AGAIN,
    PT_PROBE,
    PT_ASK,
    PT_CALL_ASK, /* b: call */
    PT_LEG_ASK,  /* b: leg */
};

enum {
    T1 = 500,
    T2 = 4000,
    LIFE_MS = 64 * T1
};

static void set_timer(struct sim *sim, enum phone_timer what, uint32_t which, uint32_t generation,
                      uint64_t in_ms)
{
    sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + in_ms,
                                     .kind = EVENT_PHONE,
                                     .a = what,
                                     .b = which,
                                     .c = generation});
}

/** Who is next: the other proxy stands before the node for some. */
static uint32_t hop_of(const struct sim *sim, uint32_t phone, const char *text)
{
    char value[512];

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

static void send_to_node(struct sim *sim, uint32_t phone, const char *text)
{
    sim_send(sim, phone, hop_of(sim, phone, text), text, strlen(text));
}

void phone_send(struct sim *sim, uint32_t phone, const char *text)
{
    send_to_node(sim, phone, text);
}

static void send_again(struct sim *sim, uint32_t phone, const char *text)
{
    if (!sim->phones[phone].tcp)
        send_to_node(sim, phone, text);
}

void phone_send_again(struct sim *sim, uint32_t phone, const char *text)
{
    send_again(sim, phone, text);
}

void phone_set_ask_timer(struct sim *sim, uint32_t which, uint32_t generation, uint64_t in_ms)
{
    set_timer(sim, PT_ASK, which, generation, in_ms);
}

static void make_branch(struct sim *sim, char *out, size_t size)
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

/* ---- registration ---- */

/** Where it wants to be called. */
static void registered_uri(const struct phone *phone, char out[static 80])
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

    make_branch(sim, branch, sizeof branch);
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
    send_to_node(sim, phone->index, out);
}

/** What must change nothing: overtaken, too brief, malformed, or only a question. Not waited for.
 */
static void send_vain_register(struct sim *sim, struct phone *phone)
{
    char text[SIM_TEXT_MAX], uri[80];

    registered_uri(phone, uri);
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

    make_branch(sim, branch, sizeof branch);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(old - phone->request), phone->request, branch,
             old + strlen(branch));
    send_to_node(sim, phone->index, text);
}

static void send_register(struct sim *sim, struct phone *phone)
{
    char uri[80];

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
    registered_uri(phone, uri);
    if (sim->knobs.looped && phone->index % 2 == 0)
        snprintf(uri, sizeof uri, "sip:u%u@" SIM_NODE_HOST,
                 sim->phones[phone->index + 2 <= sim->knobs.phones ? phone->index + 2 : 2].user);
    if (phone->wants_gone && phone->cseq % 2 == 0) {
        text_add(phone->request, SIM_TEXT_MAX, "Contact: *\r\nExpires: 0\r\n");
    } else {
        text_add(phone->request, SIM_TEXT_MAX, "Contact: <%s>;expires=%u", uri,
                 phone->wants_gone ? 0 : phone->expires_s);
        bool two = has_two(phone);
        if (phone->q < 1000)
            text_add(phone->request, SIM_TEXT_MAX, ";q=0.%u", phone->q / 100);
        add_instance(phone, two ? 1 : 0, phone->request);
        text_add(phone->request, SIM_TEXT_MAX, "\r\n");
        if (two) { /* a second line of this phone */
            text_add(phone->request, SIM_TEXT_MAX, "Contact: <sip:second-%s>;expires=%u;q=0.%u",
                     uri + 4, phone->wants_gone ? 0 : phone->expires_s + 30,
                     phone->index % 8 == 1 ? 3 : phone->q / 100 % 10);
            add_instance(phone, 2, phone->request);
            text_add(phone->request, SIM_TEXT_MAX, "\r\n");
        }
    }
    end_register(sim, phone, phone->request);
    if (!sim->knobs.starved && sim_chance(sim, 8))
        send_merged(sim, phone);
    set_timer(sim, PT_REGISTER_AGAIN, phone->index, phone->generation, T1);
}

static void on_register_timer(struct sim *sim, struct phone *phone)
{
    if (phone->waiting)
        return;
    phone->auth_tries = 0;
    phone->wants_gone = phone->acked_present && sim_chance(sim, 15);
    if (sim->now_ms > sim->quiet_at_ms)
        return; /* lets it expire */
    phone->acked_until_ms = sim_wall(sim) + (uint64_t)phone->expires_s * 1000;
    send_register(sim, phone);
}

static void register_done(struct sim *sim, struct phone *phone, bool known)
{
    phone->waiting = false;
    phone->generation++;
    phone->ambiguous = !known;
    set_timer(sim, PT_REGISTER, phone->index, 0,
              sim_range(sim, 2000, (uint64_t)phone->expires_s * 600));
}

static void on_register_again(struct sim *sim, struct phone *phone, uint32_t generation)
{
    if (!phone->waiting || phone->generation != generation)
        return;
    if (++phone->tries > 10) {
        register_done(sim, phone, false);
        return;
    }
    send_again(sim, phone->index, phone->request);
    uint64_t gap = (uint64_t)T1 << phone->tries;
    set_timer(sim, PT_REGISTER_AGAIN, phone->index, generation, gap > T2 ? T2 : gap);
}

static void on_register_response(struct sim *sim, struct phone *phone, const char *text)
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

/* ---- calls, the caller's side ---- */

static void send_invite(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];
    struct phone *phone = &sim->phones[call->phone];
    char uri[64], contact[80];

    snprintf(uri, sizeof uri, "%.*s", (int)strcspn(call->invite + 7, " "), call->invite + 7);
    make_branch(sim, call->branch, sizeof call->branch);
    call->cseq++;
    call->next_cseq = call->cseq + 1;
    call->tries = 0;
    call->gap_ms = T1;
    call->generation++;
    call->state = CALL_CALLING;
    call->provisional = false;
    call->crashes_before = sim->crashes;
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
             "From: <sip:u%u@sim.example>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\n"
             "CSeq: %u INVITE\r\nContact: <%s>\r\nX-Nobody-Knows: \"%u\"; this ,,\r\n",
             phone->user, call->tag, uri, call->call_id, call->cseq, contact, index);
    creds_add(sim, phone, "INVITE", uri, call->invite, SIM_TEXT_MAX);
    if (index % 3 == 0)
        text_add(call->invite, SIM_TEXT_MAX,
                 "Content-Type: application/sdp\r\nContent-Length: 11\r\n\r\nv=0\r\nc=%04u", index);
    else
        text_add(call->invite, SIM_TEXT_MAX, "Content-Length: 0\r\n\r\n");
    send_to_node(sim, call->phone, call->invite);
    call->conn = phone->conn;
    set_timer(sim, PT_CALL_AGAIN, index, call->generation, T1);
}

static void on_call_timer(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];
    uint32_t callee = (uint32_t)sim_range(sim, 1, sim->knobs.phones);

    call->phone = (uint32_t)sim_range(sim, 1, sim->knobs.phones);
    if (sim->phones[call->phone].manner == MANNER_CLOSED)
        call->phone = 1;
    snprintf(call->call_id, sizeof call->call_id, "call-%u-%llx", index,
             (unsigned long long)rng_u64(&sim->rng));
    snprintf(call->tag, sizeof call->tag, "c%u", index);
    call->hangs_up = sim_chance(sim, 50);
    call->began_ms = sim->now_ms;
    call->cseq = (uint32_t)sim_range(sim, 1, 1000);
    if (sim_chance(sim, 25))
        snprintf(call->invite, sizeof call->invite, "INVITE sip:%u@sim.example SIP/2.0",
                 100 + sim->phones[callee].user);
    else
        snprintf(call->invite, sizeof call->invite, "INVITE sip:u%u@sim.example SIP/2.0",
                 sim->phones[callee].user);
    send_invite(sim, index);
    if (sim_chance(sim, 35))
        set_timer(sim, PT_CANCEL, index, 0, sim_range(sim, 0, 7000));
}

static void on_call_again(struct sim *sim, uint32_t index, uint32_t generation)
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
    send_again(sim, call->phone, call->invite);
    call->gap_ms *= 2;
    set_timer(sim, PT_CALL_AGAIN, index, generation, call->gap_ms);
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

static void on_cancel_timer(struct sim *sim, uint32_t index)
{
    struct call *call = &sim->calls[index];

    if (call->cancelled)
        return;
    if (call->state == CALL_CALLING) { /* not before a provisional response (section 9.1) */
        set_timer(sim, PT_CANCEL, index, 0, 300);
        return;
    }
    if (call->state != CALL_PROCEEDING)
        return;
    call->cancelled = true;
    hop_by_hop(call->invite, "CANCEL", NULL, call->cancel);
    send_to_node(sim, call->phone, call->cancel);
    call->tries = 0;
    set_timer(sim, PT_CANCEL_AGAIN, index, call->generation, T1);
}

static void on_cancel_again(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->cancel_answered || ++call->tries > 10)
        return;
    send_again(sim, call->phone, call->cancel);
    uint64_t gap = (uint64_t)T1 << call->tries;
    set_timer(sim, PT_CANCEL_AGAIN, index, generation, gap > T2 ? T2 : gap);
}

void phone_in_dialog(struct sim *sim, const char *method, uint32_t cseq, const char *from,
                     const char *to, const char *call_id, const char *source, bool reversed,
                     uint32_t phone, const char *extra, char *out)
{
    char contact[256], uri[128], branch[48], value[1024], first[256] = "";
    unsigned routes = text_count(source, "Record-Route"), i = 0;

    text_field(source, "Contact", 0, contact, sizeof contact);
    text_uri(contact, uri, sizeof uri);
    make_branch(sim, branch, sizeof branch);
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
            send_to_node(sim, call->phone, call->ack);
            return;
        }
    if (call->answers == COUNT_OF(call->answer_tags))
        return;
    snprintf(call->answer_tags[call->answers++], sizeof call->answer_tags[0], "%s", to_tag);
    text_field(text, "From", 0, from, sizeof from);
    text_field(text, "To", 0, to, sizeof to);
    if (text_count(text, "Record-Route") == 0)
        sim_fail(sim, "a 2xx to INVITE without Record-Route");

    char ack[SIM_TEXT_MAX];
    phone_in_dialog(sim, "ACK", call->cseq, from, to, call->call_id, text, true, call->phone, "",
                    ack);
    send_to_node(sim, call->phone, ack);
    if (call->answers > 1) { /* a second phone answered: hung up at once */
        char bye[SIM_TEXT_MAX];
        phone_in_dialog(sim, "BYE", call->next_cseq++, from, to, call->call_id, text, true,
                        call->phone, "", bye);
        send_to_node(sim, call->phone, bye);
        return;
    }
    memcpy(call->ack, ack, sizeof ack);
    call->state = CALL_UP;
    call->final_ms = sim->now_ms;
    call->generation++;
    snprintf(call->answer, sizeof call->answer, "%s", text);
    set_timer(sim, PT_BYE, index, call->generation,
              call->hangs_up ? sim_range(sim, 1000, 40000) : 120000);
    if (!sim->knobs.starved && sim_chance(sim, 50))
        set_timer(sim, PT_CALL_ASK, index, call->generation, sim_range(sim, 500, 20000));
}

static void on_bye_timer(struct sim *sim, uint32_t index, uint32_t generation)
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
    send_to_node(sim, call->phone, call->bye);
    set_timer(sim, PT_BYE_AGAIN, index, generation, T1);
}

static const char *draw_ask(struct sim *sim)
{
    static const char *const methods[] = {"INFO", "UPDATE", "INVITE"};
    return methods[sim_range(sim, 0, COUNT_OF(methods) - 1)];
}

static void on_call_ask(struct sim *sim, uint32_t index, uint32_t generation)
{
    const struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_UP || sim->now_ms > sim->quiet_at_ms)
        return;
    ask_send(sim, draw_ask(sim), index, UINT32_MAX);
    set_timer(sim, PT_CALL_ASK, index, generation, sim_range(sim, 3000, 20000));
}

static void on_leg_ask(struct sim *sim, uint32_t which, uint32_t generation)
{
    const struct leg *leg = &sim->legs[which];

    if (leg->generation != generation || leg->state != LEG_CONFIRMED || leg->bye_done ||
        sim->now_ms > sim->quiet_at_ms)
        return;
    ask_send(sim, draw_ask(sim), UINT32_MAX, which);
    set_timer(sim, PT_LEG_ASK, which, generation, sim_range(sim, 3000, 20000));
}

static void on_bye_again(struct sim *sim, uint32_t index, uint32_t generation)
{
    struct call *call = &sim->calls[index];

    if (call->generation != generation || call->state != CALL_BYE || ++call->tries > 10)
        return;
    send_again(sim, call->phone, call->bye);
    uint64_t gap = (uint64_t)T1 << call->tries;
    set_timer(sim, PT_BYE_AGAIN, index, generation, gap > T2 ? T2 : gap);
}

static void on_invite_failure(struct sim *sim, uint32_t index, const char *text, const char *tag)
{
    struct call *call = &sim->calls[index];
    char to[256], ack[SIM_TEXT_MAX];
    unsigned status = text_status(text);

    text_field(text, "To", 0, to, sizeof to);
    hop_by_hop(call->invite, "ACK", to, ack);
    send_to_node(sim, call->phone, ack);
    if (call->final_status != 0) {
        bool same = call->final_status == status && strcmp(call->final_tag, tag) == 0;
        if (!same && call->crashes_before == sim->crashes && !sim->knobs.starved)
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

static struct call *find_call(struct sim *sim, uint32_t phone, const char *call_id, uint32_t *index)
{
    for (uint32_t i = 0; i < sim->knobs.calls; i++)
        if (sim->calls[i].phone == phone && strcmp(sim->calls[i].call_id, call_id) == 0) {
            *index = i;
            return &sim->calls[i];
        }
    return NULL;
}

static void on_call_response(struct sim *sim, uint32_t phone, const char *text)
{
    char call_id[64], via[256], branch[64], to[256], tag[64], method[32], cseq[32];
    uint32_t index;

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    struct call *call = find_call(sim, phone, call_id, &index);
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

/* ---- calls, the callee's side ---- */

static struct leg *find_leg(struct sim *sim, uint32_t phone, const char *branch)
{
    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (sim->legs[i].phone == phone && strcmp(sim->legs[i].branch, branch) == 0)
            return &sim->legs[i];
    return NULL;
}

static uint32_t leg_index(const struct sim *sim, const struct leg *leg)
{
    return (uint32_t)(leg - sim->legs);
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
    send_to_node(sim, leg->phone, leg->response);
    if (status < 200)
        return;
    leg->status = status;
    leg->state = status < 300 ? LEG_ANSWERED : LEG_REFUSED;
    leg->gap_ms = T1;
    leg->tries = 0;
    leg->generation++;
    set_timer(sim, PT_LEG_AGAIN, leg_index(sim, leg), leg->generation, T1);
    if (status == 200 && leg_index(sim, leg) % 8 == 0) { /* a fork behind it: two have answered */
        char twin[SIM_TEXT_MAX], tag[32];
        snprintf(tag, sizeof tag, "%st", leg->tag);
        text_response(leg->invite, 200, tag, extra, twin, sizeof twin);
        send_to_node(sim, leg->phone, twin);
    }
}

static void leg_act(struct sim *sim, struct leg *leg)
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

static void on_leg_again(struct sim *sim, struct leg *leg, uint32_t generation)
{
    if (leg->generation != generation || leg->acked || ++leg->tries > 10)
        return;
    if (leg->status < 300)
        send_to_node(sim, leg->phone, leg->response);
    else
        send_again(sim, leg->phone, leg->response);
    leg->gap_ms = leg->gap_ms * 2 > T2 ? T2 : leg->gap_ms * 2;
    set_timer(sim, PT_LEG_AGAIN, leg_index(sim, leg), generation, leg->gap_ms);
}

/** The boot of the node when it saw a request first: the last of its own Vias says it. */
static uint32_t boot_of(const char *text)
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

static void on_invite(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    struct leg *leg = find_leg(sim, phone, branch);
    enum phone_manner manner = sim->phones[phone].manner;
    char from[256];

    if (manner == MANNER_SILENT || manner == MANNER_CLOSED)
        return;
    if (leg != NULL) { /* again: the last response again */
        if (leg->response[0] != '\0' && leg->state != LEG_CONFIRMED)
            send_to_node(sim, phone, leg->response);
        return;
    }
    if (sim->leg_count == SIM_LEGS_MAX)
        return;
    leg = &sim->legs[sim->leg_count++];
    memset(leg, 0, sizeof *leg);
    leg->phone = phone;
    leg->state = LEG_RINGING;
    leg->crashes_before = sim->crashes;
    leg->began_ms = sim->now_ms;
    snprintf(leg->branch, sizeof leg->branch, "%s", branch);
    leg->boot = boot_of(text);
    leg->conn = sim->phones[phone].conn;
    leg->next_cseq = 77;
    snprintf(leg->tag, sizeof leg->tag, "leg%u", leg_index(sim, leg));
    snprintf(leg->invite, sizeof leg->invite, "%s", text);
    text_field(text, "Call-ID", 0, leg->call_id, sizeof leg->call_id);
    text_field(text, "From", 0, from, sizeof from);
    text_param(from, "tag", leg->from_tag, sizeof leg->from_tag);
    if (manner == MANNER_ANSWER_AT_ONCE) {
        leg_respond(sim, leg, 200);
        return;
    }
    leg_respond(sim, leg, sim_chance(sim, 70) ? 180 : 183);
    set_timer(sim, PT_LEG_ACT, leg_index(sim, leg), 0, sim_range(sim, 0, 6000));
}

static void on_cancel(struct sim *sim, uint32_t phone, const char *text, const char *branch)
{
    char response[SIM_TEXT_MAX];
    struct leg *leg = find_leg(sim, phone, branch);

    text_response(text, leg != NULL ? 200 : 481, "x", "", response, sizeof response);
    send_to_node(sim, phone, response);
    if (leg != NULL && leg->state == LEG_RINGING) {
        leg->cancelled = true;
        leg_respond(sim, leg, 487);
    }
}

static void leg_hang_up(struct sim *sim, struct leg *leg, uint32_t generation)
{
    char from[256], to[320], text[256];

    if (leg->generation != generation || leg->state != LEG_CONFIRMED || leg->bye_done)
        return;
    text_field(leg->invite, "To", 0, text, sizeof text);
    snprintf(from, sizeof from, "%.200s;tag=%s", text, leg->tag);
    text_field(leg->invite, "From", 0, to, sizeof to);
    phone_in_dialog(sim, "BYE", leg->next_cseq++, from, to, leg->call_id, leg->invite, false,
                    leg->phone, "", leg->bye);
    leg->tries = 0;
    leg->crashes_before = sim->crashes;
    send_to_node(sim, leg->phone, leg->bye);
    set_timer(sim, PT_LEG_BYE_AGAIN, leg_index(sim, leg), generation, T1);
}

static void on_leg_bye_again(struct sim *sim, struct leg *leg, uint32_t generation)
{
    if (leg->generation != generation || leg->bye_done || leg->state == LEG_OVER)
        return;
    if (++leg->tries > 10) {
        if (leg->crashes_before == sim->crashes && !sim->knobs.starved && !phone_any_tcp(sim))
            sim_fail(sim, "the callee at phone %u could not hang up", leg->phone);
        return;
    }
    send_again(sim, leg->phone, leg->bye);
    uint64_t gap = (uint64_t)T1 << leg->tries;
    set_timer(sim, PT_LEG_BYE_AGAIN, leg_index(sim, leg), generation, gap > T2 ? T2 : gap);
}

static void on_ack(struct sim *sim, uint32_t phone, const char *text, const char *branch)
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
    for (uint32_t i = 0; i < sim->leg_count; i++) {
        leg = &sim->legs[i];
        if (leg->phone != phone || strcmp(leg->tag, tag) != 0 || leg->state != LEG_ANSWERED)
            continue;
        leg->acked = true;
        leg->state = LEG_CONFIRMED;
        leg->generation++;
        set_timer(sim, PT_LEG_BYE, i, leg->generation, sim_range(sim, 2000, 60000));
        if (!sim->knobs.starved && sim_chance(sim, 50))
            set_timer(sim, PT_LEG_ASK, i, leg->generation, sim_range(sim, 500, 20000));
    }
}

static void on_bye(struct sim *sim, uint32_t phone, const char *text)
{
    char to[256], tag[64], call_id[64], response[SIM_TEXT_MAX];
    uint32_t index;
    bool known = false;

    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    for (uint32_t i = 0; i < sim->leg_count; i++) {
        struct leg *leg = &sim->legs[i];
        if (leg->phone == phone && strcmp(leg->tag, tag) == 0) {
            known = true;
            leg->acked = true; /* the ACK may be lost; the dialog is over all the same */
            leg->state = LEG_OVER;
        }
    }
    struct call *call = find_call(sim, phone, call_id, &index);
    if (call != NULL && strcmp(call->tag, tag) == 0) {
        known = true;
        call->bye_done = true;
        if (call->state == CALL_UP || call->state == CALL_BYE)
            call->state = CALL_OVER;
    }
    text_response(text, known ? 200 : 481, "x", "", response, sizeof response);
    send_to_node(sim, phone, response);
}

static void on_leg_response(struct sim *sim, uint32_t phone, const char *text)
{
    char from[256], tag[64], method[32];

    text_method(text, method, sizeof method);
    text_field(text, "From", 0, from, sizeof from);
    text_param(from, "tag", tag, sizeof tag);
    if (strcmp(method, "BYE") != 0 || text_status(text) < 200)
        return;
    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (sim->legs[i].phone == phone && strcmp(sim->legs[i].tag, tag) == 0) {
            sim->legs[i].bye_done = true;
            sim->legs[i].state = LEG_OVER;
        }
}

/* ---- MESSAGE: any other request ---- */

static void on_message_timer(struct sim *sim, uint32_t index)
{
    struct phone *phone = &sim->phones[index];
    char text[SIM_TEXT_MAX] = "", branch[48], uri[64];
    uint32_t callee = (uint32_t)sim_range(sim, 1, sim->knobs.phones);

    if (sim->now_ms > sim->quiet_at_ms)
        return;
    make_branch(sim, branch, sizeof branch);
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
    send_to_node(sim, index, text);
    set_timer(sim, PT_MESSAGE_AGAIN, index, phone->message_generation, T1);
    set_timer(sim, PT_MESSAGE, index, 0, sim_range(sim, 1000, 30000));
}

static void on_message_again(struct sim *sim, struct phone *phone, uint32_t generation)
{
    if (phone->message_generation != generation || phone->message_done ||
        ++phone->message_tries > 10)
        return;
    send_again(sim, phone->index, phone->message);
    uint64_t gap = (uint64_t)T1 << phone->message_tries;
    set_timer(sim, PT_MESSAGE_AGAIN, phone->index, generation, gap > T2 ? T2 : gap);
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
    send_to_node(sim, phone, response);
}

/** Requests of methods that a phone answers without a thought. */
static void on_other(struct sim *sim, uint32_t phone, const char *text)
{
    char response[SIM_TEXT_MAX];

    if (sim->phones[phone].manner == MANNER_SILENT)
        return;
    text_response(text, 202, "o", "", response, sizeof response);
    send_to_node(sim, phone, response);
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
            on_register_response(sim, &sim->phones[index], text);
            return;
        }
        text_field(text, "From", 0, from, sizeof from);
        text_param(from, "tag", tag, sizeof tag);
        if (strcmp(method, "MESSAGE") == 0)
            on_message_response(sim, &sim->phones[index], text);
        else if (strncmp(tag, "leg", 3) == 0)
            on_leg_response(sim, index, text);
        else
            on_call_response(sim, index, text);
        return;
    }
    if (ask_request(sim, index, text))
        return;
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    if (strcmp(method, "INVITE") == 0)
        on_invite(sim, index, text, branch);
    else if (strcmp(method, "CANCEL") == 0)
        on_cancel(sim, index, text, branch);
    else if (strcmp(method, "ACK") == 0)
        on_ack(sim, index, text, branch);
    else if (strcmp(method, "BYE") == 0)
        on_bye(sim, index, text);
    else if (strcmp(method, "MESSAGE") == 0)
        on_message(sim, index, text);
    else if (strcmp(method, "FROB") == 0 || strcmp(method, "INFO") == 0 ||
             strcmp(method, "REFER") == 0)
        on_other(sim, index, text);
    else
        sim_fail(sim, "phone %u got a %s", index, method);
}

void phone_timer(struct sim *sim, uint32_t what, uint32_t which, uint32_t generation)
{
    switch ((enum phone_timer)what) {
    case PT_REGISTER:
        on_register_timer(sim, &sim->phones[which]);
        return;
    case PT_REGISTER_AGAIN:
        on_register_again(sim, &sim->phones[which], generation);
        return;
    case PT_CALL:
        on_call_timer(sim, which);
        return;
    case PT_CALL_AGAIN:
        on_call_again(sim, which, generation);
        return;
    case PT_CANCEL:
        on_cancel_timer(sim, which);
        return;
    case PT_CANCEL_AGAIN:
        on_cancel_again(sim, which, generation);
        return;
    case PT_BYE:
        on_bye_timer(sim, which, generation);
        return;
    case PT_BYE_AGAIN:
        on_bye_again(sim, which, generation);
        return;
    case PT_CALL_OVER:
        return;
    case PT_LEG_ACT:
        leg_act(sim, &sim->legs[which]);
        return;
    case PT_LEG_AGAIN:
        on_leg_again(sim, &sim->legs[which], generation);
        return;
    case PT_LEG_BYE:
        leg_hang_up(sim, &sim->legs[which], generation);
        return;
    case PT_LEG_BYE_AGAIN:
        on_leg_bye_again(sim, &sim->legs[which], generation);
        return;
    case PT_MESSAGE:
        on_message_timer(sim, which);
        return;
    case PT_PROBE:
        if (sim->now_ms > sim->quiet_at_ms)
            return;
        probe_send(sim, which);
        set_timer(sim, PT_PROBE, which, 0, sim_range(sim, 1000, 15000));
        return;
    case PT_ASK:
        ask_again(sim, which, generation);
        return;
    case PT_CALL_ASK:
        on_call_ask(sim, which, generation);
        return;
    case PT_LEG_ASK:
        on_leg_ask(sim, which, generation);
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
            if (strcmp(sim->legs[k].call_id, call->call_id) == 0)
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
    set_timer(sim, PT_REGISTER, phone, 0, sim_range(sim, 100, 5000));
}

static void draw_behind(struct sim *sim, struct phone *phone)
{
    static const enum phone_behind kinds[] = {BEHIND_EDGE, BEHIND_EDGE, BEHIND_SPIRAL, BEHIND_LOOP};
    bool plain = !phone->nat && !phone->tcp && !phone->v6 && !sim->knobs.starved;

    phone->leads_to = (unsigned)sim_range(sim, 0, sim->knobs.phones - 1);
    if (plain && sim->knobs.router && sim_chance(sim, 40))
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
        if (sim_chance(sim, 40))
            phone->manner = MANNER_ANSWER;
        if (sim_chance(sim, sim->knobs.dead_pct) && i > 1) /* somebody must be able to call */
            phone->manner = sim_chance(sim, 50) ? MANNER_SILENT : MANNER_CLOSED;
        snprintf(phone->call_id, sizeof phone->call_id, "reg-%u-%llx", i,
                 (unsigned long long)rng_u64(&sim->rng));
        snprintf(phone->tag, sizeof phone->tag, "r%u", i);
        phone->cseq = (uint32_t)sim_range(sim, 1, 100000);
        set_timer(sim, PT_REGISTER, i, 0, sim_range(sim, 0, 3000));
        if (phone->manner != MANNER_CLOSED)
            set_timer(sim, PT_MESSAGE, i, 0, sim_range(sim, 4000, 20000));
        if (phone->manner != MANNER_CLOSED)
            set_timer(sim, PT_PROBE, i, 0, sim_range(sim, 1000, 10000));
    }
    for (uint32_t i = 0; i < sim->knobs.calls; i++)
        set_timer(sim, PT_CALL, i, 0, sim_range(sim, 4000, sim->knobs.calls_span_ms));
}
