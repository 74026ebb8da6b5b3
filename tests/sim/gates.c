/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/gates - the gateways behind the names: they answer, are busy, silent, or gone, in spells.
 */
#include <stdio.h>
#include <stdlib.h>

#include "far.h"

enum mood {
    MOOD_ANSWERS,
    MOOD_BUSY, /* 503 */
    MOOD_CLOSED,
    MOOD_SILENT,
};

enum {
    SPELL_MS = 25000,
    RING_MS = 4000,
};

static enum mood mood_of(const struct sim *sim, unsigned host)
{
    uint64_t spell[3] = {sim->seed, host, sim->now_ms / SPELL_MS};
    uint64_t dice = hash_bytes(22, (struct slice){(const char *)spell, sizeof spell}) % 100;

    if (dice < 60)
        return MOOD_ANSWERS;
    return dice < 74 ? MOOD_BUSY : dice < 88 ? MOOD_CLOSED : MOOD_SILENT;
}

bool gate_is_closed(const struct sim *sim, unsigned host)
{
    return mood_of(sim, host) == MOOD_CLOSED;
}

static uint32_t place_of(const struct far *far, const struct far_leg *leg)
{
    return (uint32_t)(leg - far->legs);
}

static void write_tag(const struct far *far, const struct far_leg *leg, char tag[static 24])
{
    snprintf(tag, 24, "g%u-%u", place_of(far, leg), leg->generation);
}

static struct far_leg *leg_of(struct far *far, const char *branch, unsigned host)
{
    for (unsigned i = 0; i < COUNT_OF(far->legs); i++)
        if (strcmp(far->legs[i].branch, branch) == 0 && far->legs[i].host == host)
            return &far->legs[i];
    return NULL;
}

static void say(struct sim *sim, const struct far_leg *leg, const char *text)
{
    far_deliver(sim, SIM_FAR + leg->host, SIM_NODE, 5060 + leg->port, leg->tcp, text);
}

/** Fixes what is answered: later copies get the same. */
static void decide(struct sim *sim, struct far_leg *leg, const char *request)
{
    static const unsigned finals[] = {200, 200, 486, 603, 404, 480};
    char extra[128], tag[24];

    leg->status = leg->invite ? finals[far_range(sim, 0, COUNT_OF(finals) - 1)] : 200;
    if (mood_of(sim, leg->host) == MOOD_BUSY)
        leg->status = 503;
    write_tag(sim->far, leg, tag);
    extra[0] = '\0';
    if (leg->status == 200)
        text_add(extra, sizeof extra, "Contact: <sip:g@h%u.far.test:%u>\r\n", leg->host,
                 5060 + leg->port);
    if (leg->status == 503 && far_chance(sim, 40))
        text_add(extra, sizeof extra, "Retry-After: %u\r\n", (unsigned)far_range(sim, 1, 90));
    text_response(request, leg->status, tag, extra, leg->text, sizeof leg->text);
}

static void take(struct sim *sim, unsigned host, unsigned port, bool tcp, const char *branch,
                 const char *method, const char *text)
{
    struct far *far = sim->far;
    struct far_leg *leg = &far->legs[far->leg_next++ % COUNT_OF(far->legs)];
    char ringing[2048];
    uint64_t in_ms = 0;

    *leg = (struct far_leg){.host = host,
                            .port = port,
                            .tcp = tcp,
                            .invite = strcmp(method, "INVITE") == 0,
                            .generation = leg->generation + 1};
    memcpy(leg->branch, branch, strlen(branch) + 1);
    decide(sim, leg, text);
    if (leg->invite && leg->status != 503) {
        text_response(text, far_chance(sim, 50) ? 180 : 100, "ring", "", ringing, sizeof ringing);
        say(sim, leg, ringing);
        in_ms = far_range(sim, 0, RING_MS);
    }
    far_timer(sim, FAR_GATE, place_of(far, leg), leg->generation, in_ms);
}

/** The final response, and again until there is an ACK. */
void gate_again(struct sim *sim, uint32_t which, uint32_t generation)
{
    struct far_leg *leg = &sim->far->legs[which];

    if (leg->generation != generation || leg->acked || leg->tries > 10)
        return;
    if (leg->tries == 0 || !leg->tcp || leg->status == 200)
        say(sim, leg, leg->text);
    if (leg->invite)
        far_timer(sim, FAR_GATE, which, generation, leg->tries < 3 ? 500u << leg->tries : 4000);
    leg->tries++;
}

static void cancel(struct sim *sim, struct far_leg *leg, const char *text)
{
    char ok[2048], tag[24], invite[2048];

    text_response(text, 200, "c", "", ok, sizeof ok);
    say(sim, leg, ok);
    if (leg->tries > 0)
        return; /* too late */
    leg->status = 487;
    write_tag(sim->far, leg, tag);
    snprintf(invite, sizeof invite, "%s", text);
    char *cseq = strstr(invite, " CANCEL\r\n");
    if (cseq != NULL)
        memcpy(cseq, " INVITE\r\n", 9);
    text_response(invite, 487, tag, "", leg->text, sizeof leg->text);
    gate_again(sim, place_of(sim->far, leg), leg->generation);
}

static void take_ack(struct far *far, const char *text)
{
    char to[256], tag[64], own[24];

    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    for (unsigned i = 0; i < COUNT_OF(far->legs); i++) {
        write_tag(far, &far->legs[i], own);
        far->legs[i].acked |= strcmp(own, tag) == 0;
    }
}

void gate_receive(struct sim *sim, unsigned host, unsigned port, bool tcp, const char *text)
{
    char via[512], branch[96], method[16];
    enum mood mood = mood_of(sim, host);

    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    text_method(text, method, sizeof method);
    if (strcmp(method, "ACK") == 0) {
        take_ack(sim->far, text);
        return;
    }
    if (mood == MOOD_SILENT)
        return;
    struct far_leg *leg = leg_of(sim->far, branch, host);
    if (strcmp(method, "CANCEL") == 0) {
        if (leg != NULL)
            cancel(sim, leg, text);
    } else if (leg == NULL) {
        take(sim, host, port, tcp, branch, method, text);
    } else if (leg->tries > 0) {
        say(sim, leg, leg->text);
    }
}
