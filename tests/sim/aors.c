/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/aors - what the bindings must be, from the REGISTERs and their answers alone.
 *
 * A 200 changes the model at the moment it is sent, and must list exactly what the
 * model then holds; so must what is durable. A restart starts from what is durable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "sim.h"

enum {
    DEPTH_MAX = 8,    /* users registered as users */
    WAITERS_MAX = 16, /* REGISTERs of one user behind the one at work */
    SLACK_MS = 2000   /* whole seconds are told, and a receipt takes its time */
};

static struct sim_binding *find(struct sim_aor *aor, const char *uri)
{
    for (unsigned i = 0; i < aor->count; i++)
        if (strcmp(aor->bindings[i].uri, uri) == 0)
            return &aor->bindings[i];
    return NULL;
}

/** Does a Contact speak of this binding (RFC 5626 section 6, RFC 3261 section 10.3)? */
static bool speaks_of(const char *contact, const struct sim_binding *binding)
{
    char uri[128], instance[64], reg_id[16];

    text_uri(contact, uri, sizeof uri);
    text_param(contact, "+sip.instance", instance, sizeof instance);
    text_param(contact, "reg-id", reg_id, sizeof reg_id);
    bool same_instance = instance[0] != '\0' && strcmp(instance, binding->instance) == 0;
    if (instance[0] != '\0' && binding->instance[0] != '\0' && reg_id[0] != '\0' &&
        binding->reg_id != 0)
        return same_instance && strtoul(reg_id, NULL, 10) == binding->reg_id;
    return (same_instance && !binding->touched) || strcmp(uri, binding->uri) == 0;
}

static void remove_at(struct sim_aor *aor, unsigned at)
{
    memmove(&aor->bindings[at], &aor->bindings[at + 1],
            (aor->count - at - 1) * sizeof aor->bindings[0]);
    aor->count--;
}

static void drop_expired(struct sim_aor *aor, uint64_t wall_ms)
{
    for (unsigned i = aor->count; i-- > 0;)
        if (aor->bindings[i].expires_ms <= wall_ms)
            remove_at(aor, i);
}

unsigned aors_user_of(const char *value)
{
    const char *at = strstr(value, "sip:u");
    return at != NULL ? (unsigned)strtoul(at + 5, NULL, 10) : SIM_PHONES_MAX;
}

static unsigned q_of(const char *contact)
{
    char text[16];
    text_param(contact, "q", text, sizeof text);
    return text[0] == '\0' ? 1000 : (unsigned)(strtod(text, NULL) * 1000 + 0.5);
}

static uint32_t expires_of(const char *request, const char *contact)
{
    char text[32];
    text_param(contact, "expires", text, sizeof text);
    if (text[0] == '\0' && !text_field(request, "Expires", 0, text, sizeof text))
        return SIM_DEFAULT_EXPIRES;
    unsigned long seconds = strtoul(text, NULL, 10);
    return seconds > SIM_MAX_EXPIRES ? SIM_MAX_EXPIRES : (uint32_t)seconds;
}

struct asked {
    char call_id[64];
    uint32_t cseq;
    bool star;
    unsigned count;
    char contacts[8][256];
};

/** A Path whose first hop, the last value, does not keep flows makes a reg-id void (RFC 5626
 * section 6). */
static bool is_void_flow(const char *text)
{
    char path[256];
    unsigned count = text_count(text, "Path");

    return count > 0 && text_field(text, "Path", count - 1, path, sizeof path) &&
           strstr(path, ";ob") == NULL;
}

static void read_register(const char *text, struct asked *asked)
{
    char value[256];

    memset(asked, 0, sizeof *asked);
    text_field(text, "Call-ID", 0, asked->call_id, sizeof asked->call_id);
    text_field(text, "CSeq", 0, value, sizeof value);
    asked->cseq = (uint32_t)strtoul(value, NULL, 10);
    while (asked->count < COUNT_OF(asked->contacts) &&
           text_field(text, "Contact", asked->count, asked->contacts[asked->count],
                      sizeof asked->contacts[0])) {
        asked->star |= strcmp(asked->contacts[asked->count], "*") == 0;
        char *reg_id = strstr(asked->contacts[asked->count], ";reg-id=");
        if (reg_id != NULL && is_void_flow(text))
            memmove(reg_id, reg_id + strlen(";reg-id=1"), strlen(reg_id + strlen(";reg-id=1")) + 1);
        asked->count++;
    }
}

/** Is there a binding that this very request has made: a retransmission that outlived us? */
static bool is_repeat(const struct sim_aor *aor, const struct asked *asked)
{
    for (unsigned i = 0; i < aor->count; i++)
        if (asked->count > 0 && aor->bindings[i].cseq == asked->cseq &&
            strcmp(aor->bindings[i].call_id, asked->call_id) == 0)
            return true;
    return false;
}

/** Is all that it asks for as it asks, and all of its CSeq asked for? Then nothing is to be done.
 */
static bool is_done(const char *request, const struct sim_aor *aor, const struct asked *asked)
{
    unsigned same = 0, done = 0;

    if (asked->star)
        return false;
    for (unsigned i = 0; i < aor->count; i++)
        same += aor->bindings[i].cseq == asked->cseq &&
                strcmp(aor->bindings[i].call_id, asked->call_id) == 0;
    for (unsigned k = 0; k < asked->count; k++) {
        const char *contact = asked->contacts[k];
        uint32_t expires = expires_of(request, contact);
        bool found = false;
        char uri[128];
        text_uri(contact, uri, sizeof uri);
        for (unsigned i = 0; i < aor->count; i++) {
            const struct sim_binding *binding = &aor->bindings[i];
            if (expires == 0 && speaks_of(contact, binding))
                return false;
            found |= strcmp(uri, binding->uri) == 0 && binding->cseq == asked->cseq &&
                     strcmp(binding->call_id, asked->call_id) == 0 && binding->q == q_of(contact) &&
                     binding->granted_s == expires;
        }
        if (expires > 0 && !found)
            return false;
        done += found;
    }
    return done == same;
}

/** Is it near its end, so that nobody can say whether it is there? */
static bool is_near_end(const struct sim *sim, const struct sim_binding *binding)
{
    uint64_t now_ms = sim_wall(sim);
    uint64_t slack_ms = SLACK_MS + sim->knobs.store_delay_max_ms;
    return binding->expires_ms < now_ms + slack_ms && binding->expires_ms + slack_ms > now_ms;
}

/**
 * Does it speak of a binding that a later request of the same Call-ID has made? With `certain`:
 * of one that was surely still there.
 */
static bool is_overtaken(const struct sim *sim, const struct sim_aor *aor,
                         const struct asked *asked, bool certain)
{
    for (unsigned i = 0; i < aor->count; i++) {
        const struct sim_binding *binding = &aor->bindings[i];
        bool spoken_of = asked->star;
        for (unsigned k = 0; k < asked->count; k++)
            spoken_of |= speaks_of(asked->contacts[k], binding);
        if (spoken_of && strcmp(binding->call_id, asked->call_id) == 0 &&
            binding->cseq >= asked->cseq && !(certain && is_near_end(sim, binding)))
            return true;
    }
    return false;
}

/** Does its contact name another machine than its REGISTER came from? */
static bool is_elsewhere(const struct sim *sim, const struct sim_binding *binding)
{
    uint32_t at = phone_by_uri(sim, binding->uri);
    return binding->path[0] == '\0' && strstr(binding->uri, "@10.0.1.") != NULL &&
           at != SIM_ROUTER && at != binding->phone;
}

/** Gives how many bindings are new. */
static unsigned apply(struct sim *sim, struct sim_aor *aor, uint32_t phone, const char *request,
                      const struct asked *asked)
{
    unsigned added = 0;

    if (asked->star)
        aor->count = 0;
    for (unsigned i = 0; i < asked->count && !asked->star; i++) {
        char uri[128], reg_id[16];
        text_uri(asked->contacts[i], uri, sizeof uri);
        uint32_t expires = expires_of(request, asked->contacts[i]);
        struct sim_binding *binding = NULL;
        for (unsigned k = 0; k < aor->count; k++) {
            if (!speaks_of(asked->contacts[i], &aor->bindings[k]))
                continue;
            if (binding == NULL && expires > 0)
                binding = &aor->bindings[k];
            else
                remove_at(aor, k--);
        }
        if (expires == 0 || (binding == NULL && aor->count == COUNT_OF(aor->bindings)))
            continue;
        added += binding == NULL;
        if (binding == NULL)
            binding = &aor->bindings[aor->count++];
        *binding = (struct sim_binding){.phone = phone,
                                        .version = ++sim->aor_versions,
                                        .lost = sim->turn_gone,
                                        .lost_ms = sim->now_ms,
                                        .made_ms = sim->now_ms,
                                        .q = q_of(asked->contacts[i]),
                                        .cseq = asked->cseq,
                                        .expires_ms = sim_wall(sim) + expires * UINT64_C(1000)};
        snprintf(binding->uri, sizeof binding->uri, "%s", uri);
        snprintf(binding->call_id, sizeof binding->call_id, "%s", asked->call_id);
        text_field(request, "Path", 0, binding->path, sizeof binding->path);
        text_param(asked->contacts[i], "+sip.instance", binding->instance,
                   sizeof binding->instance);
        text_param(asked->contacts[i], "reg-id", reg_id, sizeof reg_id);
        binding->reg_id = (unsigned)strtoul(reg_id, NULL, 10);
        binding->touched = true;
        binding->granted_s = expires;
        binding->elsewhere = is_elsewhere(sim, binding);
    }
    return added;
}

/** Would it make more bindings than a user may have? */
static bool is_too_many(struct sim *sim, const struct sim_aor *aor, uint32_t phone,
                        const char *request, const struct asked *asked)
{
    struct sim_aor after = *aor;
    unsigned added = apply(sim, &after, phone, request, asked);
    return added > 0 && after.count > sim->knobs.max_contacts;
}

static bool repeat_near_end(const struct sim *sim, const struct sim_aor *aor)
{
    for (unsigned i = 0; i < aor->count; i++)
        if (is_near_end(sim, &aor->bindings[i]))
            return true;
    return false;
}

static void check_date(struct sim *sim, const char *answer)
{
    char text[64];
    struct tm tm = {0};

    if (!text_field(answer, "Date", 0, text, sizeof text)) {
        sim_fail(sim, "a 200 to a REGISTER without Date");
        return;
    }
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    uint64_t told_ms = (uint64_t)timegm(&tm) * 1000, slack_ms = 20u * sim->knobs.store_delay_max_ms;
    if (end == NULL || *end != '\0' || told_ms > sim_wall(sim) ||
        told_ms + SLACK_MS + slack_ms < sim_wall(sim))
        sim_fail(sim, "a 200 to a REGISTER with the Date %s", text);
}

static void check_listed(struct sim *sim, struct sim_aor *aor, unsigned user, const char *answer)
{
    char value[256], uri[128], text[16];
    unsigned listed = text_count(answer, "Contact"), certain = 0;

    for (unsigned i = 0; i < listed; i++) {
        text_field(answer, "Contact", i, value, sizeof value);
        text_uri(value, uri, sizeof uri);
        struct sim_binding *binding = find(aor, uri);
        text_param(value, "expires", text, sizeof text);
        if (binding == NULL && sim->knobs.store_delay_max_ms > 0 && strcmp(text, "1") == 0)
            continue; /* it ended while the REGISTER waited for its receipt */
        if (binding == NULL) {
            sim_fail(sim, "the 200 to a REGISTER of u%u lists %s, which is not there", user, uri);
            return;
        }
        uint64_t told_ms = sim_wall(sim) + strtoul(text, NULL, 10) * UINT64_C(1000);
        uint64_t slack_ms = SLACK_MS + 20u * sim->knobs.store_delay_max_ms;
        if (told_ms > binding->expires_ms + slack_ms || binding->expires_ms > told_ms + slack_ms)
            sim_fail(sim, "the 200 to u%u says that %s lives %s s more", user, uri, text);
        char instance[64], reg_id[16];
        text_param(value, "+sip.instance", instance, sizeof instance);
        text_param(value, "reg-id", reg_id, sizeof reg_id);
        if (strcmp(instance, binding->instance) != 0 ||
            strtoul(reg_id, NULL, 10) != binding->reg_id)
            sim_fail(sim, "the 200 to u%u lists %s with another instance", user, uri);
        if (q_of(value) != binding->q)
            sim_fail(sim, "the 200 to u%u lists %s with another q", user, uri);
    }
    for (unsigned i = 0; i < aor->count; i++)
        certain += !is_near_end(sim, &aor->bindings[i]);
    if (listed < certain)
        sim_fail(sim, "the 200 to a REGISTER of u%u lists %u of %u bindings", user, listed,
                 certain);
}

static void check_durable(struct sim *sim, const struct sim_aor *aor, unsigned user)
{
    char name[16];
    snprintf(name, sizeof name, "u%u", user);
    struct slice key = slice_of(name);
    struct slice block = sim_map_find(&sim->durable, key, node_key_hash(sim, key));

    if (sim->knobs.memory_store)
        block = sim_map_find(&sim->location, key, node_key_hash(sim, key));
    uint32_t cursor = 0;
    struct binding binding;
    unsigned found = 0, certain = 0;
    while (block.len > 0 && binding_next(block, &cursor, &binding)) {
        bool known = false;
        for (unsigned i = 0; i < aor->count; i++)
            known |= slice_equal(slice_of(aor->bindings[i].uri), binding.contact) &&
                     aor->bindings[i].q == binding.q && aor->bindings[i].cseq == binding.cseq &&
                     slice_equal(slice_of(aor->bindings[i].path), binding.path);
        if (!known && binding.expires_ms > sim_wall(sim) + SLACK_MS)
            sim_fail(sim, "at the 200 to u%u another binding is durable: %.*s", user,
                     SLICE_ARG(binding.contact));
        found++;
    }
    for (unsigned i = 0; i < aor->count; i++)
        certain += !is_near_end(sim, &aor->bindings[i]);
    if (found < certain)
        sim_fail(sim, "at the 200 to u%u %u of its %u bindings are durable", user, found, certain);
}

static bool is_brief(const char *request, const struct asked *asked)
{
    for (unsigned i = 0; i < asked->count; i++) {
        uint32_t expires = expires_of(request, asked->contacts[i]);
        if (strcmp(asked->contacts[i], "*") != 0 && expires > 0 && expires < SIM_MIN_EXPIRES)
            return true;
    }
    return false;
}

static bool is_bad_star(const char *request, const struct asked *asked)
{
    char text[16];
    return asked->star &&
           (asked->count > 1 || !text_field(request, "Expires", 0, text, sizeof text) ||
            strtol(text, NULL, 10) != 0);
}

/** The 200 repeats the Path (RFC 3327 section 5.3). */
static void check_path(struct sim *sim, const char *request, const char *answer)
{
    char sent[256], told[256];

    text_field(request, "Path", 0, sent, sizeof sent);
    text_field(answer, "Path", 0, told, sizeof told);
    if (strcmp(sent, told) != 0)
        sim_fail(sim, "the 200 has the Path \"%s\", not \"%s\"", told, sent);
}

void aors_on_answer(struct sim *sim, uint32_t phone, const char *request, const char *answer)
{
    char to[256];
    struct asked asked;
    unsigned status = text_status(answer);

    text_field(request, "To", 0, to, sizeof to);
    unsigned user = aors_user_of(to);
    read_register(request, &asked);
    bool theirs = status == 403 && text_count(request, "X-Creds") > 0; /* of another user */
    if (user >= SIM_PHONES_MAX || status == 401 || theirs || status == 404 || status == 482)
        return; /* access, and requests that came twice: elsewhere */
    struct sim_aor *aor = &sim->aors[user];
    gruus_before(sim, aor);
    drop_expired(aor, sim_wall(sim));
    for (unsigned i = 0; i < aor->count; i++)
        aor->bindings[i].touched = false;
    bool repeat = is_repeat(aor, &asked);
    bool overtaken = !repeat && is_overtaken(sim, aor, &asked, status == 200);
    if (repeat && status != 503 && !is_brief(request, &asked) && !is_bad_star(request, &asked) &&
        (status == 200) != is_done(request, aor, &asked) && !repeat_near_end(sim, aor))
        sim_fail(sim, "a REGISTER of u%u that came once more was answered %u", user, status);
    bool brief = is_brief(request, &asked), bad = is_bad_star(request, &asked);

    bool too_many = !repeat && is_too_many(sim, aor, phone, request, &asked);
    if ((status == 403) != too_many && (status == 403 || status == 200) &&
        !repeat_near_end(sim, aor)) {
        sim_fail(sim, "a REGISTER of u%u that makes too many contacts, or not, was answered %u",
                 user, status);
        return;
    }
    if (status != 200) {
        bool store = sim->knobs.store_fail_pct + sim->knobs.store_full_pct + sim->knobs.disks > 0;
        bool right = status == 403 || (status == 400 && bad) || (status == 423 && brief) ||
                     (status == 500 && (overtaken || repeat || store)) ||
                     (status == 503 && store) ||
                     (status == 503 && strstr(answer, "Too many") != NULL &&
                      watch_registers(sim, user) > WAITERS_MAX);
        if (!right)
            sim_fail(sim, "a sound REGISTER of u%u was answered %u", user, status);
        return;
    }
    if (bad || (brief && !repeat) || overtaken) {
        sim_fail(sim, "a REGISTER of u%u got a 200 that is %s", user,
                 bad     ? "malformed"
                 : brief ? "too brief"
                         : "overtaken by a later one");
        return;
    }
    for (unsigned i = 0; i < asked.count && !repeat && !asked.star; i++)
        gruus_registered(sim, aor, asked.contacts[i], asked.call_id);
    if (!repeat)
        apply(sim, aor, phone, request, &asked);
    gruus_given(sim, user, request, answer);
    check_path(sim, request, answer);
    check_date(sim, answer);
    check_listed(sim, aor, user, answer);
    check_durable(sim, aor, user);
}

/** Bindings that name users of ours lead to theirs (section 16.5). Of the first user those of one
 * instance only, unless it is empty. False: too deep. */
static bool collect(struct sim *sim, unsigned user, const char *instance, struct sim_binding *out,
                    unsigned max, unsigned *count, bool *certain, unsigned depth)
{
    struct sim_aor *aor = &sim->aors[user];

    drop_expired(aor, sim_wall(sim));
    for (unsigned i = 0; i < aor->count && *count < max; i++) {
        const struct sim_binding *binding = &aor->bindings[i];
        if (instance[0] != '\0' && strcmp(binding->instance, instance) != 0)
            continue;
        if (is_near_end(sim, binding) || binding->vague)
            *certain = false;
        if (strstr(binding->uri, "@sim.example") == NULL) {
            out[(*count)++] = *binding;
            continue;
        }
        unsigned other = aors_user_of(binding->uri);
        if (depth == DEPTH_MAX)
            return false;
        if (other < sim->knobs.phones && !sim->disabled[other] &&
            !collect(sim, other, "", out, max, count, certain, depth + 1))
            return false;
    }
    return true;
}

unsigned aors_targets(struct sim *sim, unsigned user, const char *instance, struct sim_binding *out,
                      unsigned max, bool *certain)
{
    unsigned count = 0;

    *certain = true;
    if (!collect(sim, user, instance, out, max, &count, certain, 0))
        *certain = false; /* of users who are registered as each other: some, or 482 */
    return count;
}

bool aors_has_contact(struct sim *sim, const char *uri)
{
    for (unsigned user = 0; user < sim->knobs.phones; user++) {
        const struct sim_aor *aor = &sim->aors[user];
        for (unsigned i = 0; i < aor->count; i++)
            if (strcmp(aor->bindings[i].uri, uri) == 0 &&
                aor->bindings[i].expires_ms > sim_wall(sim) && !is_near_end(sim, &aor->bindings[i]))
                return true;
    }
    return false;
}

bool aors_is_round(struct sim *sim, unsigned user)
{
    struct sim_binding out[64];
    unsigned count = 0;
    bool certain = true;

    return user < SIM_PHONES_MAX &&
           !collect(sim, user, "", out, COUNT_OF(out), &count, &certain, 0);
}

void aors_conn_lost(struct sim *sim, uint32_t phone)
{
    for (unsigned user = 0; user < SIM_PHONES_MAX; user++)
        for (unsigned i = 0; i < sim->aors[user].count; i++) {
            struct sim_binding *binding = &sim->aors[user].bindings[i];
            if (binding->phone != phone || binding->lost)
                continue;
            binding->lost = true;
            binding->lost_ms = sim->now_ms;
        }
}

void aors_flow_failed(struct sim *sim, const char *uri, bool routed, uint64_t version)
{
    for (unsigned user = 0; user < SIM_PHONES_MAX; user++)
        for (unsigned i = 0; i < sim->aors[user].count; i++) {
            struct sim_binding *binding = &sim->aors[user].bindings[i];
            if (binding->lost || (binding->path[0] != '\0') != routed ||
                (!routed && binding->reg_id == 0) || strcmp(binding->uri, uri) != 0)
                continue;
            /* What a REGISTER that waits for its receipt leads to was made before. */
            bool sure = binding->version == version && sim->knobs.mailbox_full_pct == 0 &&
                        watch_registers(sim, user) == 0;
            binding->lost = sure;
            binding->vague = !sure;
            binding->lost_ms = sim->now_ms;
        }
}

/** All that was acknowledged, and nothing else, is there after a crash. */
static void check_kept(struct sim *sim, unsigned user, struct sim_aor *old, struct sim_aor *kept)
{
    for (unsigned i = 0; i < old->count; i++)
        if (find(kept, old->bindings[i].uri) == NULL && !is_near_end(sim, &old->bindings[i]))
            sim_fail(sim, "the acknowledged binding %s of u%u was lost", old->bindings[i].uri,
                     user);
    for (unsigned i = 0; i < kept->count; i++)
        if (find(old, kept->bindings[i].uri) == NULL && !is_near_end(sim, &kept->bindings[i]))
            sim_fail(sim, "the binding %s of u%u came back", kept->bindings[i].uri, user);
}

/** After a restart: what the store holds is what there is. */
void aors_restore(struct sim *sim)
{
    for (unsigned user = 0; user < SIM_PHONES_MAX; user++) {
        struct sim_aor *aor = &sim->aors[user];
        char name[16];
        snprintf(name, sizeof name, "u%u", user);
        struct slice key = slice_of(name);
        struct slice block = sim_map_find(&sim->durable, key, node_key_hash(sim, key));
        struct binding binding;
        uint32_t cursor = 0;

        struct sim_aor old = *aor;
        aor->count = 0;
        while (block.len > 0 && aor->count < COUNT_OF(aor->bindings) &&
               binding_next(block, &cursor, &binding)) {
            struct sim_binding *made = &aor->bindings[aor->count++];
            *made = (struct sim_binding){.version = ++sim->aor_versions,
                                         .q = binding.q,
                                         .cseq = binding.cseq,
                                         .expires_ms = binding.expires_ms};
            snprintf(made->uri, sizeof made->uri, "%.*s", SLICE_ARG(binding.contact));
            snprintf(made->call_id, sizeof made->call_id, "%.*s", SLICE_ARG(binding.call_id));
            snprintf(made->path, sizeof made->path, "%.*s", SLICE_ARG(binding.path));
            made->phone = binding.flow.remote.family == ADDR_V6 ? binding.flow.remote.bytes[15]
                                                                : binding.flow.remote.bytes[3];
            made->granted_s = (uint32_t)((binding.expires_ms - binding.registered_ms) / 1000);
            made->elsewhere = is_elsewhere(sim, made);
            made->reg_id = binding.reg_id;
            if (binding.instance.len > 0)
                snprintf(made->instance, sizeof made->instance, "\"%.*s\"",
                         SLICE_ARG(binding.instance));
            made->lost = binding.flow_lost || binding.flow.transport != TRANSPORT_UDP;
        }
        drop_expired(aor, sim_wall(sim));
        drop_expired(&old, sim_wall(sim));
        if (!sim->knobs.memory_store && !sim->knobs.starved && !sim->aor_open[user])
            check_kept(sim, user, &old, aor);
        if (sim->knobs.starved || sim->aor_open[user])
            gruus_restored(sim, user);
    }
}
