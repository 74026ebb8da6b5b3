/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/probe - single requests whose answers are known: X-Expect says which.
 */
#include <stdio.h>

#include "sim.h"

struct probe {
    const char *method, *uri, *lines, *expect; /* expect NULL: it is forwarded like any other */
    const char *to_tag;
    unsigned max_forwards;
};

static const struct probe probes[] = {
    /* nobody has that name */
    {"MESSAGE", "sip:nobody@sim.example", "", "404", "", 70},
    {"INVITE", "sip:999@sim.example", "", "404", "", 70},
    {"MESSAGE", "tel:+4999", "", "404", "", 70},
    /* RFC 3261 section 16.3 */
    {"MESSAGE", "sip:u0@sim.example", "", "483", "", 0},
    {"INVITE", "sip:u0@sim.example", "", "483", "", 0},
    {"INVITE", "mailto:u0@sim.example", "", "416", "", 70},
    {"INVITE", "sip:u0@sim.example", "Proxy-Require: foo\r\n", "420", "", 70},
    {"OPTIONS", "sip:sim.example", "Require: foo\r\n", "420", "", 70},
    {"OPTIONS", "sip:sim.example", "", "200", "", 70},
    {"OPTIONS", "sip:sim.example", "", "483", "", 0},
    {"INVITE", "sip:sim.example", "", "404", "", 70},
    {"FROB", "sip:sim.example", "", "405", "", 70},
    {"BYE", "sip:sim.example", "", "481", ";tag=x", 70},
    {"SUBSCRIBE", "sip:u0@sim.example", "Event: dialog\r\n", "489", "", 70},
    {"PUBLISH", "sip:u0@sim.example", "Event: dialog\r\n", "489", "", 70},
    /* strangers get nowhere else through us, whatever token they make up */
    {"INVITE", "sip:a@10.0.1.1:5060", "", "403", "", 70},
    {"MESSAGE", "sip:a@far.example", "", "403", "", 70},
    {"INFO", "sip:a@10.0.1.1:5060", "Route: <sip:10.0.0.1:5060;lr;r=200000000000000>\r\n", "403",
     ";tag=x", 70},
    {"INVITE", "sip:u0@sim.example", "Route: <sip:10.0.1.2:5060;lr>\r\n", "403", "", 70},
    {"CANCEL", "sip:u0@sim.example", "", "481", "", 70},
    {"INVITE", "sip:u0@sim.example", "Max-Breadth: 0\r\n", "any", "", 70},
    /* of strangers, and of methods we do not know, but for our users */
    {"FROB", "sip:u0@sim.example", "", NULL, "", 2},
    {"INFO", "sip:u1@sim.example", "Route: <sip:10.0.0.1:5060;lr>\r\n", NULL, "", 1},
    {"MESSAGE", "sip:100@10.0.0.1:5060", "P-Nobody-Knows: ;;\r\n", NULL, "", 70},
    {"REFER", "tel:100", "Refer-To: <sip:x@y>\r\n", NULL, "", 70},
};

void probe_send(struct sim *sim, uint32_t index)
{
    const struct probe *probe = &probes[sim_range(sim, 0, COUNT_OF(probes) - 1)];
    char text[SIM_TEXT_MAX] = "", branch[48];

    snprintf(branch, sizeof branch, "z9hG4bKp%015llx",
             (unsigned long long)rng_u64(&sim->rng) & 0xfffffffffffffffULL);
    text_add(text, sizeof text, "%s %s SIP/2.0\r\n", probe->method, probe->uri);
    phone_via(&sim->phones[index], branch, text);
    text_add(text, sizeof text,
             "Max-Forwards: %u\r\nFrom: <sip:x@else.example>;tag=probe\r\nTo: <%s>%s\r\n"
             "Call-ID: p%llx\r\nCSeq: 7 %s\r\n%s",
             probe->max_forwards, probe->uri, probe->to_tag, (unsigned long long)rng_u64(&sim->rng),
             probe->method, probe->lines);
    if (probe->expect != NULL)
        text_add(text, sizeof text, "X-Expect: %s\r\n", probe->expect);
    text_add(text, sizeof text, "Content-Length: 4\r\n\r\nbody");
    sim_send(sim, index, SIM_NODE, text, strlen(text));
}
