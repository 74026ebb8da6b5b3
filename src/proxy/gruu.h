/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/gruu - what the user part of a temporary GRUU carries (RFC 5627 §5.4, its appendix A).
 *
 * Nothing is kept for it: it names address-of-record, instance and the time it was made, sealed
 * under a key that outlives the process. All have the same length, and two of one phone look no
 * more alike than two of different ones. Whether it still holds is the core's question: it asks
 * the registration.
 *
 * A temporary GRUU is 40 bytes in base32hex, 64 characters:
 *
 *   nonce 8   random
 *   mac   8   over nonce and plain text
 *   text 24   AOR hash, instance, time; XORed with SipHash in counter mode over nonce and mac
 */
#ifndef PROXY_GRUU_H
#define PROXY_GRUU_H

#include "base/builder.h"
#include "base/err.h"
#include "base/hash.h"

enum {
    PROXY_GRUU_CHARS = 64
};

struct proxy_gruu {
    uint64_t aor_hash;  /* as the location table uses it */
    uint64_t instance;  /* proxy_gruu_instance() */
    uint64_t issued_ms; /* wall clock, UTC */
};

/** Names an instance: a keyed hash of +sip.instance, without case (RFC 4122 §3). */
uint64_t proxy_gruu_instance(const struct hash_key *key, struct slice instance);

/** Writes PROXY_GRUU_CHARS characters. `nonce`: random, never used before. */
void proxy_gruu_write(struct builder *b, const struct hash_key *key, uint64_t nonce,
                      const struct proxy_gruu *gruu);

/** ERR_DENIED: not ours. */
MUST_CHECK enum err proxy_gruu_read(struct slice text, const struct hash_key *key,
                                    struct proxy_gruu *out);

#endif
