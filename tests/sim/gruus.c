/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/gruus - temporary GRUUs (RFC 5627): which were given out, and which still count.
 *
 * Each 200 to a REGISTER that asks for them must have a public one, as everybody can write it
 * himself, and a temporary one that was never seen before. A temporary one leads to its phone until
 * the phone registers with another Call-ID, or is not registered at all (section 5.1). So each
 * phone has an epoch, which ends then, and each GRUU counts in its own.
 */
#include <stdio.h>

#include "sim.h"

enum {
    NEAR_MS = 10000, /* a binding may have ended, or not, while a REGISTER waited in line */
    NEWS_MS = 5,     /* until all workers see an epoch's end */
};

/** The phone whose instance a Contact names; 0: none. */
static uint32_t phone_of(const char *contact)
{
    char instance[64];
    unsigned phone;

    text_param(contact, "+sip.instance", instance, sizeof instance);
    return sscanf(instance, "\"<urn:uuid:0000-%u>\"", &phone) == 1 && phone <= SIM_PHONES_MAX
               ? phone
               : 0;
}

static bool is_of(const struct sim_binding *binding, uint32_t phone)
{
    unsigned named;
    return sscanf(binding->instance, "\"<urn:uuid:0000-%u>\"", &named) == 1 && named == phone;
}

static struct sim_gruu *find(struct sim *sim, const char *text)
{
    size_t len = strcspn(text, "@;> ");

    for (unsigned i = 0; i < COUNT_OF(sim->gruus); i++) {
        struct sim_gruu *gruu = &sim->gruus[i];
        if (gruu->name[0] != '\0' && strlen(gruu->name) == len &&
            strncmp(gruu->name, text, len) == 0)
            return gruu;
    }
    return NULL;
}

static void doubt(struct sim *sim, uint32_t phone)
{
    for (unsigned i = 0; i < COUNT_OF(sim->gruus); i++)
        if (sim->gruus[i].phone == phone)
            sim->gruus[i].unsure = true;
}

void gruus_before(struct sim *sim, const struct sim_aor *aor)
{
    uint64_t now_ms = sim_wall(sim);

    for (unsigned i = 0; i < aor->count; i++) {
        const struct sim_binding *binding = &aor->bindings[i];
        bool near =
            binding->expires_ms < now_ms + NEAR_MS && now_ms < binding->expires_ms + NEAR_MS;
        unsigned phone;
        if (near && sscanf(binding->instance, "\"<urn:uuid:0000-%u>\"", &phone) == 1)
            doubt(sim, phone);
    }
}

void gruus_registered(struct sim *sim, const struct sim_aor *aor, const char *contact,
                      const char *call_id)
{
    uint32_t phone = phone_of(contact);
    const struct sim_binding *latest = NULL;
    char reg_id[16];
    bool registered = false;

    text_param(contact, "reg-id", reg_id, sizeof reg_id);
    for (unsigned i = 0; i < aor->count && phone != 0; i++) {
        const struct sim_binding *binding = &aor->bindings[i];
        if (!is_of(binding, phone))
            continue;
        registered = true;
        if ((reg_id[0] == '\0' || (unsigned)(reg_id[0] - '0') == binding->reg_id) &&
            (latest == NULL || binding->version > latest->version))
            latest = binding;
    }
    if (phone == 0 || (registered && (latest == NULL || strcmp(latest->call_id, call_id) == 0)))
        return;
    sim_trace(sim, "    the temporary GRUUs of phone %u are void", phone);
    sim->gruu_epochs[phone]++;
    sim->gruu_news_ms[phone] = sim->now_ms;
}

static void keep(struct sim *sim, uint32_t phone, unsigned user, const char *temporary)
{
    struct sim_gruu *gruu = &sim->gruus[sim->gruu_count++ % COUNT_OF(sim->gruus)];

    if (sscanf(temporary, "\"sip:%95[^@\"]@sim.example;gr\"", gruu->name) != 1 ||
        strncmp(gruu->name, "tgruu.", 6) != 0)
        sim_fail(sim, "a 200 to u%u has the temporary GRUU %s", user, temporary);
    gruu->phone = phone;
    gruu->user = user;
    gruu->epoch = sim->gruu_epochs[phone];
    gruu->unsure = false;
    gruu->given_ms = sim->now_ms;
    sim_trace(sim, "    phone %u is %s", phone, gruu->name);
}

/** Is its first Contact of an instance, and to be kept? */
static bool registers_instance(const char *request)
{
    char contact[256], expires[16];

    if (!text_field(request, "Contact", 0, contact, sizeof contact) || phone_of(contact) == 0)
        return false;
    text_param(contact, "expires", expires, sizeof expires);
    return expires[0] != '0';
}

void gruus_given(struct sim *sim, unsigned user, const char *request, const char *answer)
{
    char contact[640], public[128], temporary[160], wanted[128];
    bool asked = strstr(request, "\r\nSupported: gruu") != NULL;

    for (unsigned i = 0; text_field(answer, "Contact", i, contact, sizeof contact); i++) {
        uint32_t phone = phone_of(contact);
        text_param(contact, "pub-gruu", public, sizeof public);
        text_param(contact, "temp-gruu", temporary, sizeof temporary);
        if (!asked && public[0] != '\0')
            sim_fail(sim, "a 200 to u%u has GRUUs that nobody asked for", user);
        if (temporary[0] == '\0' || phone == 0)
            continue;
        snprintf(wanted, sizeof wanted, "\"sip:u%u@sim.example;gr=urn:uuid:0000-%u\"", user, phone);
        if (strcmp(public, wanted) != 0)
            sim_fail(sim, "the public GRUU of phone %u is %s", phone, public);
        const struct sim_gruu *known = find(sim, temporary + strlen("\"sip:"));
        bool twice = known != NULL && known->phone == phone && known->given_ms == sim->now_ms;
        if (twice)
            continue; /* the same REGISTER, come by two ways in one moment */
        if (known != NULL)
            sim_fail(sim, "the temporary GRUU %s was given out before", temporary);
        keep(sim, phone, user, temporary);
    }
    if (asked && registers_instance(request) && strstr(answer, "temp-gruu=") == NULL)
        sim_fail(sim, "a 200 to u%u has no temporary GRUU", user);
}

void gruus_restored(struct sim *sim, unsigned user)
{
    for (uint32_t phone = 1; phone <= sim->knobs.phones; phone++)
        if (sim->phones[phone].user == user)
            doubt(sim, phone);
}

/** Until when a phone is registered, wall clock; 0: it is not at all. */
static uint64_t there_until(const struct sim *sim, unsigned user, uint32_t phone)
{
    const struct sim_aor *aor = &sim->aors[user];
    uint64_t until_ms = 0;

    for (unsigned i = 0; i < aor->count; i++)
        if (is_of(&aor->bindings[i], phone) && aor->bindings[i].expires_ms > until_ms)
            until_ms = aor->bindings[i].expires_ms;
    return until_ms;
}

uint32_t gruus_phone(struct sim *sim, const char *uri, unsigned *user, bool *sure)
{
    const struct sim_gruu *gruu = find(sim, uri + strlen("sip:"));
    uint64_t until_ms = gruu != NULL ? there_until(sim, gruu->user, gruu->phone) : 0;
    bool counts = gruu != NULL && gruu->epoch == sim->gruu_epochs[gruu->phone];

    *sure = gruu != NULL && !gruu->unsure && until_ms > sim_wall(sim) + NEAR_MS &&
            sim->now_ms > sim->gruu_news_ms[gruu->phone] + NEWS_MS;
    if (until_ms == 0 || (*sure && !counts))
        return 0;
    *user = gruu->user;
    return gruu->phone;
}

bool gruus_is_temporary(const char *uri)
{
    return strncmp(uri, "sip:tgruu.", strlen("sip:tgruu.")) == 0;
}

const char *gruus_pick(const struct sim *sim, uint64_t number)
{
    uint64_t known = sim->gruu_count < SIM_GRUUS_MAX / 4 ? sim->gruu_count : SIM_GRUUS_MAX / 4;

    if (known == 0)
        return NULL;
    return sim->gruus[(sim->gruu_count - 1 - number % known) % SIM_GRUUS_MAX].name;
}
