/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/access - who got through with which credentials.
 *
 * Knows every nonce the node has given out, when and to whom, and which counts of it got
 * something through. Credentials that are wrong on purpose say so in X-Creds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

enum {
    SKEW_MS = 1000,
    KEPT_MS = 600000, /* of nonces that are too old, in a long run */
    SWAP_MS = 6000,   /* a REGISTER that waits for its receipt was let in before */
    WINDOW = 60       /* counts back that must still be taken */
};

enum state {
    NO_CREDENTIALS = 1,
    GOOD,
    WRONG,   /* password or user */
    STALE,   /* nonce too old, of an earlier run, or not of this phone */
    REUSED,  /* the count got something through already */
    UNKNOWN, /* nobody can say */
};

static struct sim_nonce **nonce_head(struct sim *sim, const char *text)
{
    return &sim->nonces[hash_bytes(13, slice_of(text)) % SIM_HEADS];
}

static struct sim_nonce *find_nonce(struct sim *sim, const char *text)
{
    for (struct sim_nonce *at = *nonce_head(sim, text); at != NULL; at = at->next)
        if (strcmp(at->text, text) == 0)
            return at;
    return NULL;
}

static bool quoted(const char *value, const char *name, char *out, size_t size)
{
    const char *at = strstr(value, name);

    out[0] = '\0';
    if (at == NULL)
        return false;
    at += strlen(name);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\","), at);
    return true;
}

void check_nonce_sent(struct sim *sim, uint32_t to, const char *text)
{
    char value[512], nonce[64];
    unsigned status = text_status(text);

    if ((status != 401 && status != 407) ||
        !text_field(text, status == 401 ? "WWW-Authenticate" : "Proxy-Authenticate", 0, value,
                    sizeof value) ||
        strstr(value, "realm=\"sim.example\"") == NULL || !quoted(value, "nonce=\"", nonce, 64))
        return;
    if (find_nonce(sim, nonce) != NULL)
        return;
    struct sim_nonce *made = calloc(1, sizeof *made);
    if (made == NULL)
        abort();
    snprintf(made->text, sizeof made->text, "%s", nonce);
    made->made_ms = sim->now_ms;
    made->boot = sim->boot;
    made->phone = to;
    struct sim_nonce **head = nonce_head(sim, nonce);
    made->next = *head;
    *head = made;
}

static void branch_of(const char *request, char branch[static 32])
{
    char via[256];
    text_field(request, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, 32);
}

/** Are credentials made with an algorithm that is offered to their user? */
static bool is_offered(const struct sim *sim, const char *credentials)
{
    char text[64], name[24];

    quoted(credentials, "username=\"u", text, sizeof text);
    unsigned user = (unsigned)strtoul(text, NULL, 10);
    if (user >= sim->knobs.phones || sim->algorithm_counts[user] == 0)
        user = SIM_PHONES_MAX;
    for (unsigned i = 0; i < sim->algorithm_counts[user]; i++) {
        snprintf(name, sizeof name, "algorithm=%s,",
                 creds_algorithm_name(sim->algorithms[user][i]));
        if (strstr(credentials, name) != NULL)
            return true;
    }
    return false;
}

static enum state judge(struct sim *sim, uint32_t phone, const char *request,
                        struct sim_nonce **nonce, uint32_t *nc)
{
    char value[1024], text[64], method[16], branch[32];

    text_method(request, method, sizeof method);
    bool is_register = strcmp(method, "REGISTER") == 0;
    if (!text_field(request, is_register ? "Authorization" : "Proxy-Authorization", 0, value,
                    sizeof value))
        return NO_CREDENTIALS;
    quoted(value, "nonce=\"", text, sizeof text);
    *nonce = find_nonce(sim, text);
    quoted(value, "nc=", text, sizeof text);
    *nc = (uint32_t)strtoul(text, NULL, 16);
    if (text_field(request, "X-Creds", 0, text, sizeof text) && strcmp(text, "algorithm") != 0)
        return WRONG;
    if (!is_offered(sim, value))
        return WRONG;
    if (*nonce == NULL || *nc == 0 || *nc >= SIM_COUNTS)
        return UNKNOWN;
    uint64_t age_ms = sim->now_ms - (*nonce)->made_ms;
    uint64_t waits_ms = is_register ? 17u * sim->knobs.store_delay_max_ms : /* in line */
                            records_delay_ms(sim);
    if ((*nonce)->phone != phone || age_ms > sim->knobs.nonce_lifetime_ms + SKEW_MS + waits_ms)
        return STALE;
    if ((*nonce)->used[*nc])
        return (*nonce)->boot == sim->boot ? REUSED : STALE;
    if ((*nonce)->boot != sim->boot)
        return STALE; /* its window went with the process */
    branch_of(request, branch);
    if (strcmp((*nonce)->first[*nc], branch) != 0 || (*nonce)->contested[*nc])
        return UNKNOWN;
    if (age_ms + SKEW_MS > sim->knobs.nonce_lifetime_ms || sim->knobs.mailbox_full_pct > 0 ||
        *nc + WINDOW < (*nonce)->highest)
        return UNKNOWN;
    return GOOD;
}

void access_note(struct sim *sim, uint32_t phone, const char *request)
{
    struct sim_nonce *nonce = NULL;
    uint32_t nc = 0;

    (void)judge(sim, phone, request, &nonce, &nc);
    char branch[32], wrong[16];
    text_field(request, "X-Creds", 0, wrong, sizeof wrong);
    bool counts = wrong[0] == '\0' || strcmp(wrong, "user") == 0 ||
                  strcmp(wrong, "algorithm") == 0; /* good in somebody's eyes */
    if (nonce == NULL || nc == 0 || nc >= SIM_COUNTS || !counts)
        return;
    branch_of(request, branch);
    if (nonce->first[nc][0] == '\0')
        memcpy(nonce->first[nc], branch, sizeof branch);
    nonce->contested[nc] |= strcmp(nonce->first[nc], branch) != 0;
}

static bool is_from_us(const char *request, unsigned *user)
{
    char from[256];
    text_field(request, "From", 0, from, sizeof from);
    *user = aors_user_of(from);
    return strstr(from, "@sim.example") != NULL;
}

bool needs_credentials(const struct sim *sim, const char *request)
{
    char to[256], method[16];
    unsigned user;

    text_method(request, method, sizeof method);
    text_field(request, "Via", 0, to, sizeof to);
    if (!sim->knobs.auth || strstr(to, SIM_ROUTER_HOST) != NULL)
        return false; /* the other proxy is trusted */
    if (strcmp(method, "REGISTER") == 0)
        return true;
    text_field(request, "To", 0, to, sizeof to);
    bool in_dialog = strstr(to, ";tag=") != NULL && strstr(request, ";r=") != NULL;
    return !in_dialog && is_from_us(request, &user);
}

/**
 * In a dialog whose caller showed no credentials himself the callee needs none where the node sent
 * the INVITE to. Is he elsewhere, because the other proxy led it on, or does a thief speak for him?
 */
static bool token_is_anothers(const struct sim *sim, const char *request)
{
    char text[512], tag[64];

    if (text_field(request, "X-Expect", 0, text, sizeof text))
        return strcmp(text, "407") == 0;
    text_field(request, "From", 0, text, sizeof text);
    text_param(text, "tag", tag, sizeof tag);
    const struct leg *leg = leg_of_tag(sim, tag);
    if (leg == NULL)
        return false;
    text_field(leg->invite, "Via", 0, text, sizeof text);
    return strstr(text, SIM_ROUTER_HOST) != NULL;
}

/** The node lets a request through: may it? */
void check_access(struct sim *sim, uint32_t phone, const char *request)
{
    struct sim_nonce *nonce = NULL;
    uint32_t nc = 0;
    char branch[32], via[256], value[1024], name[64], wanted[16], method[16];
    unsigned user;

    if (!needs_credentials(sim, request))
        return;
    text_field(request, "Via", 0, via, sizeof via);
    text_param(via, "branch", branch, sizeof branch);
    text_method(request, method, sizeof method);
    enum state state = judge(sim, phone, request, &nonce, &nc);
    bool same = state == REUSED && strcmp(nonce->branch[nc], branch) == 0; /* a further branch */
    if (state != GOOD && state != UNKNOWN && !same) {
        static const char *const names[] = {"",
                                            "no credentials",
                                            "good",
                                            "a wrong password",
                                            "a stale nonce",
                                            "a nonce count used before",
                                            ""};
        sim_fail(sim, "a %s of phone %u got through with %s", method, phone, names[state]);
        return;
    }
    bool is_register = strcmp(method, "REGISTER") == 0;
    text_field(request, is_register ? "Authorization" : "Proxy-Authorization", 0, value,
               sizeof value);
    quoted(value, "username=\"", name, sizeof name);
    (void)is_from_us(request, &user);
    snprintf(wanted, sizeof wanted, "u%u", user);
    if (strcmp(name, wanted) != 0)
        sim_fail(sim, "%s got a %s through with the From of %s", name, method, wanted);
    if (user < SIM_PHONES_MAX && sim->disabled[user] &&
        sim->now_ms > sim->changed_ms + SWAP_MS + 17u * sim->knobs.store_delay_max_ms)
        sim_fail(sim, "the disabled user u%u got a %s through", user, method);
    if (nonce == NULL || nc == 0 || nc >= SIM_COUNTS)
        return;
    nonce->used[nc] = true;
    snprintf(nonce->branch[nc], sizeof nonce->branch[nc], "%s", branch);
    if (nc > nonce->highest)
        nonce->highest = nc;
}

/** Could the nonce of these credentials be no good there any more, or never have been? */
static bool nonce_doubtful(struct sim *sim, uint32_t phone, const char *request)
{
    char value[1024], text[64];

    if (!text_field(request, "Authorization", 0, value, sizeof value) &&
        !text_field(request, "Proxy-Authorization", 0, value, sizeof value))
        return false;
    quoted(value, "nonce=\"", text, sizeof text);
    const struct sim_nonce *nonce = find_nonce(sim, text);
    return nonce == NULL || nonce->phone != phone ||
           sim->now_ms - nonce->made_ms + SKEW_MS > sim->knobs.nonce_lifetime_ms;
}

/** The challenges are those of the user's algorithms, in their order. */
static void check_offers(struct sim *sim, const char *request, const char *answer)
{
    char challenge[512], wanted[256], value[1024], method[16], first[64] = "";
    unsigned found = 0;

    text_method(request, method, sizeof method);
    text_field(request, strcmp(method, "REGISTER") == 0 ? "To" : "From", 0, value, sizeof value);
    unsigned user = aors_user_of(value);
    bool is_register = strcmp(method, "REGISTER") == 0;
    if (text_field(request, is_register ? "Authorization" : "Proxy-Authorization", 0, value,
                   sizeof value) &&
        quoted(value, "username=\"u", first, sizeof first))
        user = (unsigned)strtoul(first, NULL, 10); /* whom he says he is */
    first[0] = '\0';
    if (user >= sim->knobs.phones)
        return;
    if (sim->algorithm_counts[user] == 0)
        user = SIM_PHONES_MAX;
    const char *name = text_status(answer) == 401 ? "WWW-Authenticate" : "Proxy-Authenticate";
    for (; text_field(answer, name, found, challenge, sizeof challenge); found++) {
        char nonce[64];
        if (found == sim->algorithm_counts[user])
            break;
        if (!quoted(challenge, "nonce=\"", nonce, sizeof nonce) || nonce[0] == '\0' ||
            (found > 0 && strcmp(nonce, first) != 0))
            sim_fail(sim, "a challenge without the nonce: %s", challenge);
        if (found == 0)
            snprintf(first, sizeof first, "%s", nonce);
        snprintf(wanted, sizeof wanted,
                 "Digest realm=\"sim.example\", nonce=\"%s\", algorithm=%s%s, qop=\"auth\"", nonce,
                 creds_algorithm_name(sim->algorithms[user][found]),
                 strstr(challenge, "stale=true") != NULL ? ", stale=true" : "");
        if (strcmp(challenge, wanted) != 0)
            sim_fail(sim, "the challenge is %s, not %s", challenge, wanted);
    }
    if (found != sim->algorithm_counts[user] || text_count(answer, name) != found)
        sim_fail(sim, "%u algorithms were offered, not %u", text_count(answer, name),
                 sim->algorithm_counts[user]);
}

/** An answer of the node's own to a request: was access refused, or given, rightly? */
void check_refused_access(struct sim *sim, uint32_t phone, const char *request, const char *answer)
{
    struct sim_nonce *nonce = NULL;
    uint32_t nc = 0;
    unsigned status = text_status(answer), user;
    char challenge[512];

    if (status != 401 && status != 407) {
        if (status == 416 || status == 420 || status == 482 || status == 483)
            return; /* before anybody looked at credentials */
        if (status == 200)
            check_access(sim, phone, request);
        else if (needs_credentials(sim, request) &&
                 judge(sim, phone, request, &nonce, &nc) == GOOD) /* the count is used up */
            nonce->used[nc] = true;
        return;
    }
    if (!needs_credentials(sim, request) && !token_is_anothers(sim, request)) {
        sim_fail(sim, "a request that needs no credentials was answered %u", status);
        return;
    }
    enum state state = judge(sim, phone, request, &nonce, &nc);
    (void)is_from_us(request, &user);
    bool disabled = user < SIM_PHONES_MAX && sim->disabled[user];
    if (state == GOOD && !disabled)
        sim_fail(sim, "good credentials of phone %u were refused", phone);
    if (!text_field(answer, status == 401 ? "WWW-Authenticate" : "Proxy-Authenticate", 0, challenge,
                    sizeof challenge))
        sim_fail(sim, "a %u without a challenge", status);
    check_offers(sim, request, answer);
    bool stale = strstr(challenge, "stale=true") != NULL;
    if (state == STALE && !stale && !disabled)
        sim_fail(sim, "a stale nonce with the right password got no stale=true");
    char wrong[16];
    text_field(request, "X-Creds", 0, wrong, sizeof wrong);
    if (stale && strcmp(wrong, "user") != 0 && /* he knows the password, of another */
        (state == NO_CREDENTIALS || (state == WRONG && !nonce_doubtful(sim, phone, request))))
        sim_fail(sim, "stale=true for who does not know the password");
}

/** Frees those that were made before a moment. */
static void free_older(struct sim *sim, uint64_t made_ms)
{
    for (unsigned i = 0; i < SIM_HEADS; i++)
        for (struct sim_nonce **at = &sim->nonces[i]; *at != NULL;) {
            struct sim_nonce *nonce = *at;
            if (nonce->made_ms >= made_ms) {
                at = &nonce->next;
                continue;
            }
            *at = nonce->next;
            free(nonce);
        }
}

void nonces_trim(struct sim *sim)
{
    uint64_t kept_ms = sim->knobs.nonce_lifetime_ms + KEPT_MS;

    if (sim->now_ms > kept_ms)
        free_older(sim, sim->now_ms - kept_ms);
}

void nonces_close(struct sim *sim)
{
    free_older(sim, UINT64_MAX);
}
