/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/digest - digest access authentication (RFC 3261 §22, RFC 7616, RFC 8760).
 *
 * Pure computing: which nonce is good, who a user is and how often a count was
 * seen is the caller's business.
 */
#ifndef SIP_DIGEST_H
#define SIP_DIGEST_H

#include "sip/header.h"

enum sip_algorithm {
    SIP_ALGORITHM_NONE = 0,
    SIP_MD5,
    SIP_SHA_256,
    SIP_SHA_512_256,
    SIP_ALGORITHM_COUNT,
};

enum {
    SIP_HASH_MAX = 32,
    SIP_HASH_HEX_MAX = 64
};

/** "MD5", "SHA-256", "SHA-512-256". */
struct slice sip_algorithm_name(enum sip_algorithm algorithm);
/** Without case; NONE when unknown (also the -sess forms). */
enum sip_algorithm sip_algorithm_parse(struct slice name);
/** Bytes of its hash: 16 or 32. */
size_t sip_algorithm_bytes(enum sip_algorithm algorithm);

/** Authorization or Proxy-Authorization. Quotes are taken off; \-escapes stay. */
struct sip_credentials {
    uint8_t algorithm; /* MD5 when absent; NONE when unknown */
    bool has_algorithm;
    bool has_qop;
    bool qop_auth;     /* qop=auth */
    bool qop_auth_int; /* qop=auth-int */
    uint32_t nc;
    struct slice nc_text;
    struct slice username, realm, nonce, uri, response, cnonce, opaque, qop;
};

/** ERR_NOT_FOUND: another scheme than Digest. ERR_SYNTAX: a needed parameter is missing, twice, or
 * malformed. */
MUST_CHECK enum err sip_credentials_parse(struct slice value, struct sip_credentials *out);

/** A1 = hash(username:realm:password), as it is stored. */
void sip_digest_a1(enum sip_algorithm algorithm, struct slice username, struct slice realm,
                   struct slice password, uint8_t out[static SIP_HASH_MAX]);

/**
 * Is the response right for this method, with A1 as stored? Compares in constant time.
 * `body` is used for auth-int only.
 */
bool sip_digest_verify(const struct sip_credentials *credentials,
                       const uint8_t a1[static SIP_HASH_MAX], struct slice method,
                       struct slice body);

/** The response a client would give; for tests and, later, trunks. Lower-case hex. */
void sip_digest_response(const struct sip_credentials *credentials,
                         const uint8_t a1[static SIP_HASH_MAX], struct slice method,
                         struct slice body, char out[static SIP_HASH_HEX_MAX]);

/** Gives back what this thread keeps for hashing. Called before a thread ends, so that none leaks.
 */
void sip_digest_release(void);

/** Constant-time comparison of equally long bytes. */
bool sip_digest_equal(const void *a, const void *b, size_t len);

#endif
