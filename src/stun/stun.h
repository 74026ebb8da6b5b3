/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stun - STUN Binding on the SIP port (RFC 5389, RFC 5626 §8): a phone asks by which address we see
 * it, and keeps its way through a NAT open.
 *
 * Reads a datagram and writes the answer; nothing is kept. There is no authentication, no
 * compatibility with RFC 3489 (RFC 5626 §8 asks for none), and no method but Binding. Whoever is
 * asked under a forged address sends at most STUN_ANSWER_MAX bytes there.
 *
 * Thread:  any; nothing is shared.
 * Memory:  none; the answer goes into the caller's builder.
 * Limit:   STUN_UNKNOWN_MAX attributes are named in a 420; further ones are not.
 * Public headers: stun.h
 */
#ifndef STUN_STUN_H
#define STUN_STUN_H

#include "base/addr.h"
#include "base/builder.h"
#include "base/err.h"

enum {
    STUN_TRANSACTION_BYTES = 12,
    STUN_UNKNOWN_MAX = 8,
    STUN_ANSWER_MAX = 96,   /* bytes of any answer */
    STUN_FIRST_BYTE_MAX = 1 /* of a Binding; no SIP message begins so (RFC 5626 §8) */
};

/** What a datagram is. */
enum stun_kind {
    STUN_BINDING_REQUEST = 1, /* to be answered */
    STUN_BINDING_INDICATION,  /* a keepalive that wants no answer (§7.3.2) */
};

/** A Binding request or indication that is sound. */
struct stun_request {
    uint8_t kind; /* enum stun_kind */
    uint8_t transaction[STUN_TRANSACTION_BYTES];
    bool fingerprint;       /* it has one, which is right: so has the answer */
    uint16_t unknown_count; /* attributes that it insists on and we do not know: 420 */
    uint16_t unknown[STUN_UNKNOWN_MAX];
};

/**
 * Reads a whole datagram (§7.3). ERR_SYNTAX: no STUN message, or one with a wrong length, cookie or
 * FINGERPRINT. ERR_NOT_FOUND: sound, but nothing that we serve: another method, or a response.
 */
MUST_CHECK enum err stun_read(struct slice bytes, struct stun_request *out);

/**
 * Writes the answer to a request that came from `source`: XOR-MAPPED-ADDRESS (§15.2), or a 420 with
 * what was not understood (§7.3.1). ERR_TOO_BIG: `b` has less than STUN_ANSWER_MAX bytes of room.
 */
MUST_CHECK enum err stun_answer(const struct stun_request *request, const struct addr *source,
                                struct builder *b);

/** CRC-32 as FINGERPRINT uses it (ITU-T V.42, ISO 3309): of "123456789" it is 0xcbf43926. */
uint32_t stun_crc32(struct slice bytes);

#endif
