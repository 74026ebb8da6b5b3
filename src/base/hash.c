/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* SipHash's four words of state. */
struct sip_state {
    uint64_t v0, v1, v2, v3;
};

uint64_t hash_bytes(uint64_t seed, struct slice s)
{
    return (uint64_t)XXH3_64bits_withSeed(s.data, s.len, seed);
}

struct hash_pair hash_bytes_pair(uint64_t seed, struct slice s)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(s.data, s.len, seed);
    return (struct hash_pair){hash.low64, hash.high64};
}

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* Eight bytes, little-endian, whatever the machine is. */
static inline uint64_t load_word(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline void sip_round(struct sip_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate_left(s->v1, 13) ^ s->v0;
    s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate_left(s->v1, 17) ^ s->v2;
    s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 = rotate_left(s->v2, 32);
}

/* Two rounds per word: the "2" of SipHash-2-4. */
static inline void sip_compress(struct sip_state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_mac(const struct hash_key *key, struct slice s)
{
    struct sip_state state = {
        .v0 = key->k[0] ^ UINT64_C(0x736f6d6570736575), /* "somepseudorandomlygeneratedbytes" */
        .v1 = key->k[1] ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->k[0] ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->k[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t at = 0;
    for (; s.len - at >= 8; at += 8)
        sip_compress(&state, load_word(s.data + at));

    uint64_t last = (uint64_t)s.len << 56;
    for (unsigned shift = 0; at < s.len; at++, shift += 8)
        last |= (uint64_t)(unsigned char)s.data[at] << shift;
    sip_compress(&state, last);

    state.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&state);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}
