/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/records - what the journal knows of calls, beside what the network saw.
 *
 * An attempt is one (Call-ID, From tag) of an INVITE without To tag that the node forwarded, or
 * answered with anything but 401, 407, or a 503 that says that nothing is kept of it. At the end,
 * when all is over, each has exactly one record, it is complete, and its outcome is what the caller
 * was told last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/call_record.h"
#include "watch.h"

enum {
    RESTART_MS = 3000,      /* from a crash to the start, at most */
    INTERRUPTED_MS = 40000, /* in which calls that rang are ended */
};

/** One attempt as the network saw it. */
struct sim_attempt {
    struct sim_attempt *next;
    char call_id[128], tag[96];
    unsigned told;    /* the last final status; 0: none */
    unsigned asked;   /* the last challenge, after somebody was asked: his, perhaps */
    bool forwarded;   /* somebody was asked */
    bool up;          /* a 2xx went to the caller */
    unsigned records; /* that were found */
    unsigned port;    /* of the audio that the caller offers; 0: nothing */
    bool holds;       /* he holds from the beginning */
    uint64_t first_ms;
};

static struct sim_attempt *attempt_of(struct sim *sim, const char *text)
{
    char call_id[128] = "", from[512] = "", tag[96] = "";

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    text_field(text, "From", 0, from, sizeof from);
    text_param(from, "tag", tag, sizeof tag);
    struct sim_attempt **head =
        &sim->attempts[hash_bytes(3, slice_of(call_id)) % COUNT_OF(sim->attempts)];
    for (struct sim_attempt *at = *head; at != NULL; at = at->next)
        if (strcmp(at->call_id, call_id) == 0 && strcmp(at->tag, tag) == 0)
            return at;
    struct sim_attempt *made = calloc(1, sizeof *made);
    if (made == NULL)
        abort();
    snprintf(made->call_id, sizeof made->call_id, "%s", call_id);
    snprintf(made->tag, sizeof made->tag, "%s", tag);
    made->first_ms = sim->now_ms;
    made->next = *head;
    *head = made;
    return made;
}

static bool is_new_invite(const char *text)
{
    char to[512] = "", tag[96] = "";

    text_field(text, "To", 0, to, sizeof to);
    text_param(to, "tag", tag, sizeof tag);
    return strncmp(text, "INVITE ", 7) == 0 && tag[0] == '\0';
}

/** Is it a response to such a request, as far as the watch knows? */
static bool answers_new_invite(const struct sim *sim, const char *text)
{
    char branch[96], method[16];

    watch_name_of(text, 0, branch, method);
    const struct served *served = watch_find_served(sim->watch, branch, method);
    return served != NULL && served->text != NULL && is_new_invite(served->text);
}

void records_out(struct sim *sim, uint32_t to, const char *text)
{
    unsigned status = text_status(text);

    if (!sim->knobs.records || sim->knobs.starved || sim->knobs.memory_store)
        return;
    if (is_new_invite(text)) {
        struct sim_attempt *attempt = attempt_of(sim, text);
        const char *audio = strstr(text, "m=audio ");
        attempt->forwarded = true;
        attempt->port = audio != NULL ? (unsigned)strtoul(audio + 8, NULL, 10) : 0;
        attempt->holds = audio != NULL && strstr(audio, "a=sendonly") != NULL;
    }
    if ((status == 401 || status == 407) && answers_new_invite(sim, text) &&
        attempt_of(sim, text)->forwarded)
        attempt_of(sim, text)->asked = status;
    /* A 400 is of a request that cannot be read, a 503 of one that cannot be recorded. */
    if (status < 200 || !answers_new_invite(sim, text) || status == 401 || status == 407 ||
        status == 503 || status == 400 ||
        (to == SIM_ROUTER && !sim->knobs.edge)) /* of a spiral: within the attempt */
        return;
    struct sim_attempt *attempt = attempt_of(sim, text);
    attempt->told = status;
    attempt->up |= status < 300;
}

bool records_refuse(const struct sim *sim, const char *method, unsigned status)
{
    const struct sim_knobs *knobs = &sim->knobs;

    return knobs->records && status == 503 && strcmp(method, "INVITE") == 0 &&
           (knobs->store_fail_pct > 0 || knobs->store_full_pct > 0 || knobs->disks > 0);
}

uint32_t records_delay_ms(const struct sim *sim)
{
    return sim->knobs.records ? sim->knobs.store_delay_max_ms + 1 : 0;
}

bool records_interrupted(const struct sim *sim, const char *text)
{
    return sim->knobs.records && sim->crashes > 0 &&
           sim->now_ms <= sim->crashed_at_ms + RESTART_MS + INTERRUPTED_MS &&
           (strncmp(text, "ACK ", 4) == 0 || text_status(text) == 500 ||
            strstr(text, "Reason: Q.850;cause=41") != NULL);
}

/* ---- at the end ---- */

static struct sim_attempt *find(struct sim *sim, struct slice call_id, uint64_t a, uint64_t b)
{
    struct sim_attempt *at = sim->attempts[hash_bytes(3, call_id) % COUNT_OF(sim->attempts)];
    char scratch[256];

    for (; at != NULL; at = at->next) {
        struct call_key key = call_key_of(77, slice_of(at->call_id), slice_of(at->tag), scratch);
        if (key.attempt.a == a && key.attempt.b == b)
            return at;
    }
    return NULL;
}

/** What the caller offered is in the record, also of a call that was restored. */
static void check_media(struct sim *sim, const struct call_record *record,
                        const struct sim_attempt *attempt)
{
    const struct call_side *side = &record->caller_media;
    unsigned kinds = attempt->port == 0 ? 0u : CALL_AUDIO | (attempt->holds ? CALL_HOLD : 0u);
    unsigned codec = attempt->port == 0 ? CODEC_NONE : CODEC_PCMU;

    if (!attempt->forwarded)
        return;
    if (side->port != attempt->port || side->kinds != kinds || side->codecs[0] != codec ||
        (attempt->port != 0 && side->bytes[1] != 9))
        sim_fail(sim,
                 "the record of %s says port %u, kinds %u, codec %u of the caller, who said %u",
                 attempt->call_id, side->port, side->kinds, side->codecs[0], attempt->port);
    uint64_t up_ms = record->answer_ms != 0 ? record->end_ms - record->answer_ms : 0;
    if (record->hold_since_ms != 0 || record->hold_ms != (attempt->holds ? up_ms : 0))
        sim_fail(sim, "the record of %s says %llu ms on hold, of %llu", attempt->call_id,
                 (unsigned long long)record->hold_ms, (unsigned long long)up_ms);
}

static void check_record(struct sim *sim, const struct call_record *record)
{
    struct sim_attempt *attempt =
        find(sim, record->sip_call_id, record->attempt_hash_a, record->attempt_hash_b);

    if (record->end_ms == 0) {
        sim_fail(sim, "the record of %.*s is open long after all is over",
                 SLICE_ARG(record->sip_call_id));
        return;
    }
    if (attempt == NULL)
        return; /* begun, and the node ended before anybody was told: it says so */
    check_media(sim, record, attempt);
    if (++attempt->records > 1)
        sim_fail(sim, "two records of %s", attempt->call_id);
    if (record->disposition == CALL_D_NONE || record->release_party == CALL_P_NONE)
        sim_fail(sim, "the record of %s does not say how it ended", attempt->call_id);
    if ((record->answer_ms != 0) != (record->disposition == CALL_D_ANSWERED))
        sim_fail(sim, "the record of %s is ANSWERED without an answer, or has one",
                 attempt->call_id);
    if (sim->crashes > 0)
        return; /* its end may be the node's */
    if ((record->answer_ms != 0) != attempt->up)
        sim_fail(sim, "the record of %s says %s, its caller was told %u", attempt->call_id,
                 call_disposition_name(record->disposition), attempt->told);
    if (!attempt->up && attempt->told != 0 && record->sip_status != attempt->told &&
        record->sip_status != 0 && record->sip_status != attempt->asked)
        sim_fail(sim, "the record of %s says %u, its caller was told %u", attempt->call_id,
                 record->sip_status, attempt->told);
}

void records_check(struct sim *sim)
{
    struct call_record *record = malloc(sizeof *record);

    if (record == NULL)
        abort();
    if (!sim->knobs.records || sim->knobs.starved || sim->knobs.memory_store) {
        free(record);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(sim->attempts); i++) /* of the shift before, too */
        for (struct sim_attempt *at = sim->attempts[i]; at != NULL; at = at->next)
            at->records = 0;
    for (size_t i = 0; i < COUNT_OF(sim->records.heads); i++)
        for (struct stored *at = sim->records.heads[i]; at != NULL && !sim->failed; at = at->next) {
            if (call_record_unpack((struct slice){at->block, at->block_len}, record) != OK)
                sim_fail(sim, "a record that cannot be read");
            else
                check_record(sim, record);
        }
    for (size_t i = 0; i < COUNT_OF(sim->attempts) && !sim->failed; i++)
        for (struct sim_attempt *at = sim->attempts[i]; at != NULL; at = at->next)
            if (at->records == 0 && (at->told != 0 || at->forwarded))
                sim_fail(sim, "no record of %s (from %llu ms; forwarded %d, told %u)", at->call_id,
                         (unsigned long long)at->first_ms, at->forwarded, at->told);
    free(record);
}

void records_close(struct sim *sim)
{
    for (size_t i = 0; i < COUNT_OF(sim->attempts); i++)
        while (sim->attempts[i] != NULL) {
            struct sim_attempt *at = sim->attempts[i];
            sim->attempts[i] = at->next;
            free(at);
        }
}
