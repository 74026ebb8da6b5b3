/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash - keyed hashes. Keys come from the network: never hash them unkeyed.
 *
 * hash_bytes() (XXH3 with a secret seed) places things in tables.
 * hash_mac() (SipHash-2-4) is what outsiders must not be able to make: the keyed bits
 * of branches and tokens.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/slice.h"

struct hash_key {
    uint64_t k[2];
};

/** For tables within this process. */
uint64_t hash_bytes(uint64_t seed, struct slice s);

/** Two such hashes of 64 bits, at the price of one. */
struct hash_pair {
    uint64_t a, b;
};
struct hash_pair hash_bytes_pair(uint64_t seed, struct slice s);

/** SipHash-2-4 (Aumasson, Bernstein 2012) of the bytes: 64 bits. */
uint64_t hash_mac(const struct hash_key *key, struct slice s);

#endif
