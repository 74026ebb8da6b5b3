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

static void write_credentials(struct phone *phone, unsigned algorithm, const char *method,
                              const char *uri, const char *password, char *out, size_t size)
{
    char text[1024], a1[2 * EVP_MAX_MD_SIZE + 1], a2[2 * EVP_MAX_MD_SIZE + 1],
        response[2 * EVP_MAX_MD_SIZE + 1];
    bool proxy = strcmp(method, "REGISTER") != 0;

    phone->nc++;
    snprintf(text, sizeof text, "u%u:sim.example:%s", phone->user, password);
    digest_hex(algorithm, text, a1);
    snprintf(text, sizeof text, "%s:%s", method, uri);
    digest_hex(algorithm, text, a2);
    snprintf(text, sizeof text, "%s:%s:%08x:abc:auth:%s", a1, phone->nonce, phone->nc, a2);
    digest_hex(algorithm, text, response);
    text_add(out, size,
             "%s: Digest username=\"u%u\", realm=\"sim.example\", nonce=\"%s\", uri=\"%s\", "
             "response=\"%s\", algorithm=%s, qop=auth, nc=%08x, cnonce=\"abc\"\r\n",
             proxy ? "Proxy-Authorization" : "Authorization", phone->user, phone->nonce, uri,
             response, algorithms[algorithm].name, phone->nc);
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

void creds_add(struct sim *sim, struct phone *phone, const char *method, const char *uri, char *out,
               size_t size)
{
    if (!sim->knobs.auth || phone->nonce[0] == '\0' || phone->offered_count == 0 ||
        phone->nc + 2 >= SIM_COUNTS)
        return;
    unsigned algorithm = phone->offered[sim_range(sim, 0, phone->offered_count - 1)];
    if (sim_chance(sim, 4)) {
        write_credentials(phone, algorithm, method, uri, "wrong", out, size);
        text_add(out, size, "X-Creds: wrong\r\n");
        return;
    }
    unsigned other = (unsigned)sim_range(sim, SIP_MD5, SIP_SHA_512_256);
    if (sim_chance(sim, 4) && !is_offered(phone, other)) {
        write_credentials(phone, other, method, uri, "secret", out, size);
        text_add(out, size, "X-Creds: not offered\r\n");
        return;
    }
    if (sim_chance(sim, 4) && phone->nc > 0)
        phone->nc--; /* the count of the request before */
    write_credentials(phone, algorithm, method, uri, "secret", out, size);
}
