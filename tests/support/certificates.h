/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificates - made for a test, in memory and as files of a folder that it removes.
 */
#ifndef TESTS_CERTIFICATES_H
#define TESTS_CERTIFICATES_H

#include <openssl/x509.h>
#include <stdbool.h>

struct certificate {
    X509 *x509;
    EVP_PKEY *key;
};

/**
 * A certificate with an ECDSA key (`rsa`: an RSA key) for `names` ("DNS:a,IP:1.2.3.4"; NULL: none,
 * an authority), signed by `issuer` (NULL: by itself), good from yesterday until `days` from now.
 * NULL in `x509` without memory.
 */
struct certificate certificate_make(const char *subject, const char *names, int days, bool rsa,
                                    const struct certificate *issuer);
void certificate_free(struct certificate *certificate);

/** Writes FOLDER/NAME.pem and FOLDER/NAME.key. False: it cannot be done. */
bool certificate_write(const struct certificate *certificate, const char *folder, const char *name);

#endif
