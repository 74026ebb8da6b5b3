/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/far - who calls the far domains through the node: a proxy that it trusts, and a stranger.
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

enum {
    GAP_MS = 2500, /* between two calls, at most */
    T1_MS = 500,
    T2_MS = 4000,
    PORT = 5060,
};

bool far_chance(struct sim *sim, unsigned pct)
{
    return rng_below(&sim->far->rng, 100) < pct;
}

uint64_t far_range(struct sim *sim, uint64_t from, uint64_t to)
{
    return from + rng_below(&sim->far->rng, to - from + 1);
}

/* ---- the way ---- */

void far_timer(struct sim *sim, enum far_timer_kind what, uint32_t which, uint32_t generation,
               uint64_t in_ms)
{
    sim_set_timer(sim, EVENT_FAR_TIMER, what, which, generation, in_ms);
}

static void put_on_way(struct sim *sim, struct sim_event event, const char *text)
{
    event.due_ms = sim->now_ms + far_range(sim, 0, sim->knobs.delay_max_ms);
    event.len = strlen(text);
    event.bytes = strdup(text);
    if (event.bytes == NULL)
        abort();
    sim_post(sim, event);
}

static unsigned number_of(const char *text)
{
    char call_id[64];
    unsigned number = 0;

    if (text_field(text, "Call-ID", 0, call_id, sizeof call_id))
        (void)!sscanf(call_id, "f%u@far", &number);
    return number;
}

void far_deliver(struct sim *sim, uint32_t from, uint32_t to, unsigned port, bool tcp,
                 const char *text)
{
    struct sim_event event = {.kind = EVENT_FAR, .from = from, .to = to, .a = port, .b = tcp};
    bool quiet = sim->now_ms >= sim->quiet_at_ms;

    sim_trace(sim, "%s%u -> %s%u:%u  %.*s  [f%u]", from >= SIM_FAR ? "far" : "node", from,
              to >= SIM_FAR ? "far" : "node", to, port, (int)strcspn(text, "\r\n"), text,
              number_of(text));
    if (!tcp && !quiet && far_chance(sim, sim->knobs.loss_pct)) {
        sim_trace(sim, "    lost");
        return;
    }
    put_on_way(sim, event, text);
    if (!tcp && !quiet && far_chance(sim, sim->knobs.dup_pct))
        put_on_way(sim, event, text);
}

/* ---- calls ---- */

struct far_call *far_call_of(struct sim *sim, const char *text)
{
    unsigned number = number_of(text);
    struct far_call *call = &sim->far->calls[number % FAR_CALLS];
    return number != 0 && call->number == number ? call : NULL;
}

static uint32_t place_of(const struct far *far, const struct far_call *call)
{
    return (uint32_t)(call - far->calls);
}

static void client_send(struct sim *sim, uint32_t client, const char *text)
{
    far_deliver(sim, SIM_CLIENT + client, SIM_NODE, PORT, false, text);
}

static void write_hop(const struct far_call *call, char out[static 80])
{
    const char *transport = call->tcp ? ";transport=tcp" : ";transport=udp";

    if (call->client == FAR_STRANGER)
        snprintf(out, 80, "evil%u.far.test", call->number);
    else if (call->form == FORM_HOST)
        snprintf(out, 80, "h%u.far.test:%u%s", call->domain, 5060 + call->number % FAR_PORTS,
                 transport);
    else
        snprintf(out, 80, "d%u.far.test%s", call->domain,
                 call->form == FORM_TRANSPORT ? transport : "");
}

static void write_request(struct far_call *call)
{
    const char *method = call->invite ? "INVITE" : "MESSAGE";
    char hop[80];
    size_t size = sizeof call->text;

    write_hop(call, hop);
    call->text[0] = '\0';
    if (call->by_route)
        text_add(call->text, size, "%s sip:x@elsewhere.test SIP/2.0\r\nRoute: <sip:%s;lr>\r\n",
                 method, hop);
    else
        text_add(call->text, size, "%s sip:x@%s SIP/2.0\r\n", method, hop);
    text_add(call->text, size,
             "Via: SIP/2.0/UDP 10.0.3.%u:5060;branch=z9hG4bKf%u\r\nMax-Forwards: 70\r\n"
             "From: <sip:c@caller.test>;tag=c%u\r\nTo: <sip:x@far.test>\r\n"
             "Call-ID: f%u@far\r\nCSeq: 1 %s\r\nContact: <sip:c@10.0.3.%u:5060>\r\n"
             "Content-Length: 0\r\n\r\n",
             call->client, call->number, call->number, call->number, method, call->client);
}

static void begin_call(struct sim *sim)
{
    struct far *far = sim->far;
    struct far_call *call = &far->calls[++far->numbers % FAR_CALLS];

    if (call->due_ms != 0)
        return; /* there are so many that this one is not over */
    *call = (struct far_call){
        .number = far->numbers,
        .client = far_chance(sim, 8) ? FAR_STRANGER : FAR_CALLER,
        .generation = call->generation + 1,
        .form = (enum far_form)far_range(sim, 0, FORM_COUNT - 1),
        .domain = (unsigned)far_range(sim, 0, FAR_DOMAINS - 1),
        .tcp = far_chance(sim, 30),
        .invite = far_chance(sim, 70),
        .by_route = far_chance(sim, 25),
    };
    write_request(call);
    client_send(sim, call->client, call->text);
    far_timer(sim, FAR_AGAIN, place_of(far, call), call->generation, T1_MS);
}

/** Timers A and E of the caller. */
static void send_again(struct sim *sim, struct far_call *call)
{
    uint64_t gap_ms = (uint64_t)T1_MS << ++call->tries;

    if (call->answered || (call->invite && call->heard) || call->tries > 10)
        return;
    if (!call->invite && gap_ms > T2_MS)
        gap_ms = T2_MS;
    client_send(sim, call->client, call->text);
    if (call->tries < 7)
        far_timer(sim, FAR_AGAIN, place_of(sim->far, call), call->generation, gap_ms);
}

static void send_cancel(struct sim *sim, const struct far_call *call)
{
    char text[1024], hop[80];

    write_hop(call, hop);
    text[0] = '\0';
    if (call->by_route)
        text_add(text, sizeof text, "CANCEL sip:x@elsewhere.test SIP/2.0\r\nRoute: <sip:%s;lr>\r\n",
                 hop);
    else
        text_add(text, sizeof text, "CANCEL sip:x@%s SIP/2.0\r\n", hop);
    text_add(text, sizeof text,
             "Via: SIP/2.0/UDP 10.0.3.%u:5060;branch=z9hG4bKf%u\r\nMax-Forwards: 70\r\n"
             "From: <sip:c@caller.test>;tag=c%u\r\nTo: <sip:x@far.test>\r\n"
             "Call-ID: f%u@far\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
             call->client, call->number, call->number, call->number);
    client_send(sim, call->client, text);
}

/** For a failure in the same transaction; for a 2xx by its own, to the Contact, which is a name. */
static void send_ack(struct sim *sim, const struct far_call *call, const char *response)
{
    char text[2048] = "", value[1024], uri[256];

    if (text_status(response) < 300 && text_field(response, "Contact", 0, value, sizeof value))
        text_uri(value, uri, sizeof uri);
    else
        text_request_uri(call->text, uri, sizeof uri);
    text_add(text, sizeof text,
             "ACK %s SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.3.%u:5060;branch=z9hG4bKf%s%u\r\n", uri,
             call->client, text_status(response) < 300 ? "a" : "", call->number);
    if (text_status(response) < 300) {
        for (unsigned i = text_count(response, "Record-Route"); i-- > 0;)
            if (text_field(response, "Record-Route", i, value, sizeof value))
                text_add(text, sizeof text, "Route: %s\r\n", value);
    }
    text_field(response, "To", 0, value, sizeof value);
    text_add(text, sizeof text,
             "Max-Forwards: 70\r\nFrom: <sip:c@caller.test>;tag=c%u\r\nTo: %s\r\n"
             "Call-ID: f%u@far\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
             call->number, value, call->number);
    client_send(sim, call->client, text);
}

static void client_receive(struct sim *sim, const char *text)
{
    struct far_call *call = far_call_of(sim, text);
    unsigned status = text_status(text);
    char method[16];

    text_method(text, method, sizeof method);
    if (call == NULL || status == 0 || strcmp(method, "CANCEL") == 0)
        return;
    bool first = !call->heard;
    call->heard = true;
    if (status < 200) {
        if (first && call->invite && far_chance(sim, 12))
            far_timer(sim, FAR_CANCEL, place_of(sim->far, call), call->generation,
                      far_range(sim, 0, 40000));
        return;
    }
    call->answered = true;
    if (call->invite)
        send_ack(sim, call, text);
}

/* ---- events ---- */

static void tell_refused(struct sim *sim, uint32_t worker, const struct flow *to, const char *bytes,
                         size_t len)
{
    struct sim_event event = {.due_ms = sim->now_ms + 1,
                              .kind = EVENT_REFUSED,
                              .to = worker,
                              .boot = sim->boot,
                              .bytes = strndup(bytes, len),
                              .len = len < 300 ? len : 300};
    if (event.bytes == NULL)
        abort();
    sim_trace(sim, "    worker %u is refused by host %u, port %u: [f%u] %.*s", worker,
              to->remote.bytes[3] - 1, to->remote.port, number_of(event.bytes),
              (int)strcspn(event.bytes, "\r\n"), event.bytes);
    sim_post(sim, event);
}

bool far_takes(struct sim *sim, uint32_t worker, const struct flow *to, const char *bytes,
               size_t len)
{
    unsigned net = to->remote.bytes[2], last = to->remote.bytes[3];
    bool tcp = to->transport == TRANSPORT_TCP;

    if (sim->far == NULL || to->remote.family != ADDR_V4 || (net != 2 && net != 3))
        return false;
    char *text = strndup(bytes, len);
    if (text == NULL)
        abort();
    hops_out(sim, worker, to, text);
    if (net == 2 && gate_is_closed(sim, last - 1))
        tell_refused(sim, worker, to, bytes, len);
    else
        far_deliver(sim, SIM_NODE, net == 2 ? SIM_FAR + last - 1 : SIM_CLIENT + last,
                    to->remote.port, tcp, text);
    free(text);
    return true;
}

void far_receive(struct sim *sim, const struct sim_event *event)
{
    if (event->to == SIM_NODE)
        node_receive_far(sim, event->from, event->a, event->b != 0, event->bytes);
    else if (event->to >= SIM_CLIENT)
        client_receive(sim, event->bytes);
    else
        gate_receive(sim, event->to - SIM_FAR, event->a - 5060, event->b != 0, event->bytes);
}

void far_on_timer(struct sim *sim, const struct sim_event *event)
{
    struct far *far = sim->far;
    struct far_call *call = &far->calls[event->b % FAR_CALLS];
    bool same = call->generation == event->c;

    switch ((enum far_timer_kind)event->a) {
    case FAR_CALL:
        if (sim->now_ms >= sim->quiet_at_ms)
            return;
        begin_call(sim);
        far_timer(sim, FAR_CALL, 0, 0, far_range(sim, 0, GAP_MS));
        return;
    case FAR_AGAIN:
        if (same)
            send_again(sim, call);
        return;
    case FAR_CANCEL:
        if (same && !call->answered)
            send_cancel(sim, call);
        return;
    case FAR_GATE:
        gate_again(sim, event->b, (uint32_t)event->c);
        return;
    case FAR_ZONE:
        far_change_zone(sim);
        if (sim->now_ms < sim->quiet_at_ms)
            far_timer(sim, FAR_ZONE, 0, 0, far_range(sim, 2000, 60000));
        return;
    }
}

void far_open(struct sim *sim)
{
    if (!sim->knobs.names)
        return;
    sim->far = calloc(1, sizeof *sim->far);
    if (sim->far == NULL)
        abort();
    rng_seed(&sim->far->rng, sim->seed * 31 + sim->boot);
    zone_draw(sim);
    far_timer(sim, FAR_CALL, 0, 0, far_range(sim, 0, GAP_MS));
    far_timer(sim, FAR_ZONE, 0, 0, far_range(sim, 2000, 60000));
}

void far_close(struct sim *sim)
{
    if (sim->far != NULL)
        sim_trace(sim, "    far: %u targets judged, %u of them after another", sim->far->checked,
                  sim->far->failovers);
    free(sim->far);
    sim->far = NULL;
}
