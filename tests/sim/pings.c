/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/pings - what keeps the way to a phone open: OPTIONS of the node's own to phones behind NATs,
 * and the STUN of phones (RFC 5626 section 8). Who asks by CRLF is looked at in stream.c.
 *
 * Every plain registration from behind a NAT is asked in each round, no other is, and none twice in
 * one. A phone that asks by STUN is told at once where it was seen.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

enum {
    LATE_MS = 2 * SIM_PING_MS + 36000, /* one that does not answer is asked for 32 s */
    EARLY_MS = SIM_PING_MS / 4,        /* a round may begin where the one before ended */
    LOOK_MS = 1000,
    STUN_HEAD = 20,
    STUN_COOKIE = 0x2112a442,
};

/** Is it one that the node has to ask? */
static bool is_asked(const struct sim *sim, const struct sim_binding *binding)
{
    const struct phone *phone = &sim->phones[binding->phone];

    return phone->nat && !phone->tcp && binding->reg_id == 0 && binding->path[0] == '\0' &&
           phone_by_uri(sim, binding->uri) == binding->phone;
}

/** Does it look as if there were a NAT: its contact is not where it came from? */
static bool may_be_asked(const struct sim *sim, const struct sim_binding *binding)
{
    const struct phone *phone = &sim->phones[binding->phone];

    return !phone->tcp && binding->reg_id == 0 && binding->path[0] == '\0' &&
           (phone->odd || phone_by_uri(sim, binding->uri) != binding->phone);
}

static struct sim_binding *find(struct sim *sim, uint32_t phone, const char *uri)
{
    for (unsigned user = 0; user < SIM_PHONES_MAX; user++)
        for (unsigned i = 0; i < sim->aors[user].count; i++) {
            struct sim_binding *binding = &sim->aors[user].bindings[i];
            if (binding->phone == phone && strcmp(binding->uri, uri) == 0)
                return binding;
        }
    return NULL;
}

static void take_options(struct sim *sim, uint32_t to, const char *text)
{
    char uri[160], via[256], branch[96];

    text_request_uri(text, uri, sizeof uri);
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    struct sim_binding *binding = find(sim, to, uri);
    if (binding == NULL)
        return; /* it has ended, or moved, while it was asked */
    if (strcmp(binding->ping, branch) == 0)
        return; /* again */
    if (!is_asked(sim, binding) && !may_be_asked(sim, binding))
        sim_fail(sim, "phone %u is pinged, which needs no ping", to);
    if (binding->ping[0] != '\0' && sim->now_ms < binding->ping_ms + EARLY_MS)
        sim_fail(sim, "%s is pinged again after %llu ms", uri,
                 (unsigned long long)(sim->now_ms - binding->ping_ms));
    snprintf(binding->ping, sizeof binding->ping, "%s", branch);
    binding->ping_ms = sim->now_ms;
    sim->pings++;
}

bool pings_take(struct sim *sim, uint32_t to, const char *bytes, size_t len)
{
    if (pings_is_stun(bytes, len)) {
        sim->stun_answers++;
        return true;
    }
    if (pings_is_empty_line(bytes, len)) {
        if (!sim->knobs.scarce)
            sim_fail(sim, "phone %u is not asked whether it is there", to);
        return true;
    }
    if (strncmp(bytes, "OPTIONS ", 8) != 0 || text_count(bytes, "Via") != 1)
        return false; /* what is passed on has another's Via, too */
    if (!sim->knobs.pings)
        sim_fail(sim, "phone %u is pinged, which nobody asked for", to);
    if (!sim->knobs.starved)
        take_options(sim, to, bytes);
    return true;
}

void pings_sweep(struct sim *sim)
{
    uint64_t up_ms = sim->started_ms;

    if (!sim->knobs.pings || sim->knobs.starved || !sim->node_up ||
        sim->now_ms < sim->pings_swept_ms + LOOK_MS)
        return;
    sim->pings_swept_ms = sim->now_ms;
    for (unsigned user = 0; user < SIM_PHONES_MAX; user++)
        for (unsigned i = 0; i < sim->aors[user].count; i++) {
            const struct sim_binding *binding = &sim->aors[user].bindings[i];
            uint64_t from_ms =
                binding->ping_ms > binding->made_ms ? binding->ping_ms : binding->made_ms;
            bool over = binding->expires_ms <= sim_wall(sim);
            if (from_ms < up_ms)
                from_ms = up_ms;
            if (is_asked(sim, binding) && !over && sim->now_ms > from_ms + LATE_MS)
                sim_fail(sim, "%s of phone %u has not been pinged for %llu ms", binding->uri,
                         binding->phone, (unsigned long long)(sim->now_ms - from_ms));
        }
}

/* ---- STUN, as RFC 5389 writes it ---- */

bool pings_is_stun(const char *bytes, size_t len)
{
    return len >= STUN_HEAD && (unsigned char)bytes[0] < 4;
}

bool pings_is_empty_line(const char *bytes, size_t len)
{
    return len == 4 && memcmp(bytes, "\r\n\r\n", len) == 0;
}

static void put_u32(unsigned char *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (unsigned char)(value >> (24 - 8 * i));
}

void pings_ask_stun(struct sim *sim, uint32_t phone)
{
    unsigned char request[STUN_HEAD] = {0, 1};

    put_u32(request + 4, STUN_COOKIE);
    put_u32(request + 8, phone);
    put_u32(request + 12, ++sim->stun_asked[phone]);
    sim_send(sim, phone, SIM_NODE, (const char *)request, sizeof request);
}

/** The address in an answer: that of the phone, as the node sees it. */
static bool tells_where(const struct sim *sim, uint32_t phone, const unsigned char *bytes,
                        size_t len)
{
    const struct phone *asker = &sim->phones[phone];
    struct addr addr = sim_addr(phone, asker->v6);
    size_t host = asker->v6 ? 16 : 4, at = STUN_HEAD;

    while (at + 8 + host <= len) {
        unsigned type = (unsigned)bytes[at] << 8 | bytes[at + 1];
        size_t size = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        const unsigned char *value = bytes + at + 4;
        at += 4 + (size + 3) / 4 * 4;
        if (type != 0x0020) /* XOR-MAPPED-ADDRESS */
            continue;
        unsigned port = ((unsigned)value[2] << 8 | value[3]) ^ (STUN_COOKIE >> 16);
        bool same =
            size == 4 + host && value[1] == (asker->v6 ? 2 : 1) && port == phone_port(asker);
        for (size_t i = 0; i < host && same; i++) /* the cookie and what follows it */
            same = (value[4 + i] ^ bytes[4 + i]) == addr.bytes[i];
        return same;
    }
    return false;
}

void pings_told(struct sim *sim, uint32_t phone, const char *bytes, size_t len)
{
    const unsigned char *answer = (const unsigned char *)bytes;
    unsigned char wanted[STUN_HEAD - 4] = {0};

    put_u32(wanted, STUN_COOKIE);
    put_u32(wanted + 4, phone);
    memcpy(wanted + 8, answer + 12, 8);
    if (answer[0] != 1 || answer[1] != 1 || memcmp(answer + 4, wanted, sizeof wanted) != 0)
        sim_fail(sim, "phone %u got STUN that it did not ask for", phone);
    else if (!tells_where(sim, phone, answer, len))
        sim_fail(sim, "phone %u is told by STUN that it is somebody else", phone);
}
