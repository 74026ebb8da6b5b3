/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/router - a proxy of somebody else's beside the node, without any state.
 *
 * Phones register through it with a Path (RFC 3327), users are registered at it under names that it
 * turns back to the node: sN spirals to uN, which must be allowed; lN comes back for the very same
 * URI, which is a loop (RFC 5393). In some runs it knows nothing of lr, as in RFC 2543.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

enum {
    VALUES_MAX = 16
};

/** A request while it is changed. */
struct passing {
    char uri[256];
    char routes[VALUES_MAX][320];
    unsigned route_count;
};

static void drop_first(struct passing *p)
{
    p->route_count--;
    memmove(p->routes[0], p->routes[1], p->route_count * sizeof p->routes[0]);
}

static bool names_router(const char *value)
{
    return strstr(value, SIM_ROUTER_HOST) != NULL;
}

static void read_passing(const char *text, struct passing *p)
{
    const char *at = text + strcspn(text, " ") + 1;
    char line[2048];

    memset(p, 0, sizeof *p);
    snprintf(p->uri, sizeof p->uri, "%.*s", (int)strcspn(at, " "), at);
    for (unsigned i = 0; text_field(text, "Route", i, line, sizeof line); i++)
        for (const char *value = line; *value != '\0' && p->route_count < VALUES_MAX;) {
            size_t len = strcspn(value, ">") + 1;
            snprintf(p->routes[p->route_count++], sizeof p->routes[0], "%.*s", (int)len, value);
            value += len;
            value += strspn(value, ", ");
        }
}

/** Takes its own name off, in its way. */
static void take_routes(const struct sim *sim, struct passing *p)
{
    if (p->route_count == 0)
        return;
    if (!sim->knobs.strict) {
        if (names_router(p->routes[0]))
            drop_first(p);
        return;
    }
    if (!names_router(p->uri))
        return;
    text_uri(p->routes[0], p->uri, sizeof p->uri);
    drop_first(p);
}

/** sN and lN become uN of the node's domain. */
static void turn_back(struct passing *p)
{
    char kind;
    unsigned user;

    if (names_router(p->uri) && sscanf(p->uri, "sip:%c%u@", &kind, &user) == 2 &&
        (kind == 's' || kind == 'l'))
        snprintf(p->uri, sizeof p->uri, "sip:u%u@sim.example", user);
}

static uint32_t hop_of(const struct sim *sim, const struct passing *p)
{
    const char *hop = !sim->knobs.strict && p->route_count > 0 ? p->routes[0] : p->uri;

    if (strstr(hop, "@sim.example") != NULL || strstr(hop, ":sim.example") != NULL ||
        text_names_node(hop))
        return SIM_NODE;
    return phone_by_uri(sim, hop);
}

/** The same for all copies of a request, and for its CANCEL and ACK (RFC 3261 section 16.11). */
static void write_branch(const char *text, const char *uri, char *out, size_t size)
{
    char via[512], branch[128];

    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    uint64_t hash = hash_bytes(5, slice_of(branch));
    snprintf(out, size, "z9hG4bKr%016llx", (unsigned long long)hash_bytes(hash, slice_of(uri)));
}

static bool is_field(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncmp(line, name, len) == 0 && line[len] == ':';
}

/** Does it stay on the way of this dialog? By Call-ID, so that all copies go alike. */
static bool stays(const char *text)
{
    char call_id[128], to[256];

    text_field(text, "To", 0, to, sizeof to);
    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    return strncmp(text, "INVITE ", 7) == 0 && strstr(to, ";tag=") == NULL &&
           hash_bytes(9, slice_of(call_id)) % 2 == 0;
}

static void pass_request(struct sim *sim, const char *text)
{
    struct passing p;
    char out[SIM_TEXT_MAX] = "", branch[64], method[16];
    const char *lr = sim->knobs.strict ? "" : ";lr";

    read_passing(text, &p);
    take_routes(sim, &p);
    turn_back(&p);
    uint32_t to = hop_of(sim, &p);
    if (to == SIM_ROUTER || (to != SIM_NODE && strstr(p.uri, "192.168") != NULL))
        return; /* it reaches nobody behind a NAT */
    text_method(text, method, sizeof method);
    write_branch(text, p.uri, branch, sizeof branch);
    text_add(out, sizeof out, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=%s\r\n", method, p.uri,
             SIM_ROUTER_HOST, branch);
    for (unsigned i = 0; i < p.route_count; i++)
        text_add(out, sizeof out, "Route: %s\r\n", p.routes[i]);
    if (strcmp(method, "REGISTER") == 0)
        text_add(out, sizeof out, "Path: <sip:%s%s%s>\r\n", SIM_ROUTER_HOST, lr,
                 sim->knobs.keeps_flows ? ";ob" : "");
    if (stays(text))
        text_add(out, sizeof out, "Record-Route: <sip:%s%s>\r\n", SIM_ROUTER_HOST, lr);
    const char *line = strstr(text, "\r\n") + 2;
    for (; line[0] != '\r'; line = strstr(line, "\r\n") + 2) {
        int len = (int)strcspn(line, "\r");
        if (is_field(line, "Route"))
            continue;
        if (is_field(line, "Max-Forwards"))
            text_add(out, sizeof out, "Max-Forwards: %ld\r\n", strtol(line + 13, NULL, 10) - 1);
        else
            text_add(out, sizeof out, "%.*s\r\n", len, line);
    }
    text_add(out, sizeof out, "%s", line);
    sim_send(sim, SIM_ROUTER, to, out, strlen(out));
}

static void pass_response(struct sim *sim, const char *text)
{
    const char *line = strstr(text, "\r\nVia: "), *end = NULL, *next = NULL;

    if (line != NULL)
        end = line + 2 + strcspn(line + 2, ",\r");
    if (end != NULL)
        next = *end == ',' ? end + 2 : strncmp(end, "\r\nVia: ", 7) == 0 ? end + 7 : NULL;
    if (next == NULL)
        return;
    char out[SIM_TEXT_MAX] = "";
    text_add(out, sizeof out, "%.*s\r\nVia: %s", (int)(line - text), text, next);
    unsigned last;
    uint32_t to = SIM_NODE;
    if (sscanf(next, "SIP/2.0/UDP 10.0.1.%u:", &last) == 1)
        to = last;
    sim_send(sim, SIM_ROUTER, to, out, strlen(out));
}

void router_receive(struct sim *sim, const char *text)
{
    char value[16];

    if (text_status(text) != 0) {
        pass_response(sim, text);
        return;
    }
    if (text_field(text, "Max-Forwards", 0, value, sizeof value) && strtol(value, NULL, 10) > 0)
        pass_request(sim, text);
}
