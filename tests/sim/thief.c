/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/thief - a caller without credentials who tries what he learned to get out through the node.
 *
 * His responses show him the node's Record-Route values, of a spiral several. He puts one of them
 * alone into a request to an address outside, in his own name and in the callee's.
 */
#include <stdio.h>

#include <string.h>

#include "phone.h"

static void send_theft(struct sim *sim, const struct call *call, const char *route,
                       const char *from, const char *to, const char *expect)
{
    char text[SIM_TEXT_MAX] = "", branch[48];

    phone_make_branch(sim, branch, sizeof branch);
    text_add(text, sizeof text, "INFO sip:a@192.0.2.1:5060 SIP/2.0\r\n");
    phone_via(&sim->phones[call->phone], branch, text);
    text_add(text, sizeof text,
             "Max-Forwards: 70\r\nRoute: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\n"
             "CSeq: 4000 INFO\r\nX-Expect: %s\r\nContent-Length: 0\r\n\r\n",
             route, from, to, call->call_id, expect);
    phone_send(sim, call->phone, text);
}

/** Who answered; NULL: nobody knows any more. */
static const struct phone *callee_of(const struct sim *sim, const struct call *call,
                                     const char *tag)
{
    for (uint32_t i = 0; i < sim->leg_count; i++)
        if (strcmp(sim->legs[i].call_id, call->call_id) == 0 && strcmp(sim->legs[i].tag, tag) == 0)
            return &sim->phones[sim->legs[i].phone];
    return NULL;
}

bool thief_may_reach(const struct sim *sim, const char *request, uint32_t to)
{
    char call_id[64];

    text_field(request, "Call-ID", 0, call_id, sizeof call_id);
    for (uint32_t i = 0; i < sim->leg_count; i++) {
        uint32_t callee = sim->legs[i].phone;
        if (strcmp(sim->legs[i].call_id, call_id) == 0 &&
            (callee == to || phone_is_taken_for(sim, to, callee)))
            return true;
    }
    return false;
}

void thief_try(struct sim *sim, const struct call *call, const char *response)
{
    char from[256], to[256], route[512], tag[64];

    text_field(response, "From", 0, from, sizeof from);
    text_field(response, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    const struct phone *callee = callee_of(sim, call, tag);
    /* From where a user on the way has registered, too, he is the callee as far as one can tell:
     * tried where there was but one user, another than his. */
    bool other = callee != NULL && callee->user != sim->phones[call->phone].user &&
                 callee->user == aors_user_of(to);
    for (unsigned i = 0; text_field(response, "Record-Route", i, route, sizeof route); i++) {
        if (!text_names_node(route))
            continue;
        send_theft(sim, call, route, from, to, "any, inside");
        if (other)
            send_theft(sim, call, route, to, from, "407");
    }
}
