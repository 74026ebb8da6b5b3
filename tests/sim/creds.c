/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/creds - what phones answer to challenges (RFC 8760), computed apart from the project.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

static const struct {
    const char *name, *digest;
} algorithms[] = {
    [SIP_MD5] = {"MD5", "MD5"},
    [SIP_SHA_256] = {"SHA-256", "SHA2-256"},
    [SIP_SHA_512_256] = {"SHA-512-256", "SHA2-512/256"},
};

const char *creds_algorithm_name(unsigned algorithm)
{
    return algorithms[algorithm].name;
}

/** The digest of a text, as text. */
static void digest_hex(unsigned algorithm, const char *text,
                       char out[static 2 * EVP_MAX_MD_SIZE + 1])
{
    static EVP_MD *fetched[COUNT_OF(algorithms)];
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (fetched[algorithm] == NULL)
        fetched[algorithm] = EVP_MD_fetch(NULL, algorithms[algorithm].digest, NULL);
    if (fetched[algorithm] == NULL ||
        EVP_Digest(text, strlen(text), bytes, &len, fetched[algorithm], NULL) != 1)
        abort();
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

/** What credentials are made of. */
struct made {
    unsigned algorithm, user;
    const char *method, *uri, *password, *realm, *nonce;
};

static void write_credentials(struct phone *phone, const struct made *made, char *out, size_t size)
{
    char text[1024], a1[2 * EVP_MAX_MD_SIZE + 1], a2[2 * EVP_MAX_MD_SIZE + 1],
        response[2 * EVP_MAX_MD_SIZE + 1];
    bool proxy = strcmp(made->method, "REGISTER") != 0;

    phone->nc++;
    snprintf(text, sizeof text, "u%u:%s:%s", made->user, made->realm, made->password);
    digest_hex(made->algorithm, text, a1);
    snprintf(text, sizeof text, "%s:%s", made->method, made->uri);
    digest_hex(made->algorithm, text, a2);
    snprintf(text, sizeof text, "%s:%s:%08x:abc:auth:%s", a1, made->nonce, phone->nc, a2);
    digest_hex(made->algorithm, text, response);
    text_add(out, size,
             "%s: Digest username=\"u%u\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
             "response=\"%s\", algorithm=%s, qop=auth, nc=%08x, cnonce=\"abc\"\r\n",
             proxy ? "Proxy-Authorization" : "Authorization", made->user, made->realm, made->nonce,
             made->uri, response, algorithms[made->algorithm].name, phone->nc);
}

static void take_algorithm(struct phone *phone, const char *challenge)
{
    char name[32];
    const char *at = strstr(challenge, "algorithm=");

    if (at == NULL || phone->offered_count == COUNT_OF(phone->offered))
        return;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 10, ", \r"), at + 10);
    for (unsigned i = SIP_MD5; i < COUNT_OF(algorithms); i++)
        if (strcmp(name, algorithms[i].name) == 0)
            phone->offered[phone->offered_count++] = i;
}

bool creds_take(struct phone *phone, const char *response)
{
    char challenge[512];
    const char *name = text_status(response) == 407 ? "Proxy-Authenticate" : "WWW-Authenticate";
    bool taken = false;

    for (unsigned i = 0; text_field(response, name, i, challenge, sizeof challenge); i++) {
        const char *at = strstr(challenge, "nonce=\"");
        if (strstr(challenge, "realm=\"sim.example\"") == NULL || at == NULL)
            continue;
        if (!taken)
            phone->offered_count = 0;
        take_algorithm(phone, challenge);
        snprintf(phone->nonce, sizeof phone->nonce, "%.*s", (int)strcspn(at + 7, "\""), at + 7);
        phone->nc = 0;
        taken = true;
    }
    return taken;
}

static bool is_offered(const struct phone *phone, unsigned algorithm)
{
    for (unsigned i = 0; i < phone->offered_count; i++)
        if (phone->offered[i] == algorithm)
            return true;
    return false;
}

/** Spoils them in some way, and says in which; NULL: not this time. */
static const char *make_wrong(struct sim *sim, const struct phone *phone, struct made *made)
{
    unsigned other = (unsigned)sim_range(sim, SIP_MD5, SIP_SHA_512_256);

    switch (sim_range(sim, 0, 5)) {
    case 0:
        made->password = "wrong";
        return "password";
    case 1:
        if (is_offered(phone, other))
            return NULL;
        made->algorithm = other;
        return "algorithm";
    case 2:
        made->user = (phone->user + 1) % sim->knobs.phones;
        return made->user != phone->user ? "user" : NULL;
    case 3:
        made->uri = "sip:mallory@far.example";
        return "uri";
    case 4:
        made->nonce = "AAAAAAAAAAAAAAAAAAAAAAAAAAA";
        return "nonce";
    default:
        made->method = strcmp(made->method, "REGISTER") == 0 ? "REGISTER" : "OPTIONS";
        made->password = strcmp(made->method, "REGISTER") == 0 ? "" : made->password;
        return "method";
    }
}

void creds_add(struct sim *sim, struct phone *phone, const char *method, const char *uri, char *out,
               size_t size)
{
    if (!sim->knobs.auth || phone->nonce[0] == '\0' || phone->offered_count == 0 ||
        phone->nc + 2 >= SIM_COUNTS)
        return;
    struct made made = {.algorithm = phone->offered[sim_range(sim, 0, phone->offered_count - 1)],
                        .user = phone->user,
                        .method = method,
                        .uri = uri,
                        .password = "secret",
                        .realm = "sim.example",
                        .nonce = phone->nonce};
    const char *wrong = sim_chance(sim, 9) ? make_wrong(sim, phone, &made) : NULL;
    if (wrong == NULL && sim_chance(sim, 4) && phone->nc > 0)
        phone->nc--; /* the count of the request before */
    write_credentials(phone, &made, out, size);
    if (wrong != NULL)
        text_add(out, size, "X-Creds: %s\r\n", wrong);
}
