/* SPDX-License-Identifier: Apache-2.0 */
#include "certificates.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum {
    PATH_SIZE = 1024,
    DAY_S = 86400
};

static bool add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = extension != NULL && X509_add_ext(x509, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return ok;
}

static bool fill(const struct certificate *made, const char *subject, const char *names, int days,
                 const struct certificate *issuer)
{
    static long serial;
    X509 *x509 = made->x509;
    X509_NAME *name = X509_get_subject_name(x509);

    return X509_set_version(x509, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(x509), -DAY_S) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(x509), (long)days * DAY_S) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(x509, X509_get_subject_name(issuer->x509)) == 1 &&
           X509_set_pubkey(x509, made->key) == 1 &&
           (names != NULL ? add_extension(x509, NID_subject_alt_name, names)
                          : add_extension(x509, NID_basic_constraints, "critical,CA:TRUE")) &&
           X509_sign(x509, issuer->key, EVP_sha256()) > 0;
}

struct certificate certificate_make(const char *subject, const char *names, int days, bool rsa,
                                    const struct certificate *issuer)
{
    struct certificate made = {.x509 = X509_new(),
                               .key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256")};

    if (made.x509 != NULL && made.key != NULL &&
        fill(&made, subject, names, days, issuer != NULL ? issuer : &made))
        return made;
    certificate_free(&made);
    return made;
}

void certificate_free(struct certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    *certificate = (struct certificate){0};
}

static FILE *create(const char *folder, const char *name, const char *end)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s.%s", folder, name, end);
    return fopen(path, "w");
}

bool certificate_write(const struct certificate *certificate, const char *folder, const char *name)
{
    FILE *pem = create(folder, name, "pem");
    FILE *key = create(folder, name, "key");
    bool ok = pem != NULL && key != NULL && PEM_write_X509(pem, certificate->x509) == 1 &&
              PEM_write_PrivateKey(key, certificate->key, NULL, NULL, 0, NULL, NULL) == 1;

    if (pem != NULL)
        ok = fclose(pem) == 0 && ok;
    if (key != NULL)
        ok = fclose(key) == 0 && ok;
    return ok;
}
