/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/gruu.h"

#include "proxy/base32hex.h"
#include "proxy/mac.h"

enum {
    WORDS = 3,
    GRUU_BYTES = (2 + WORDS) * 8, /* nonce, mac, text */
};

uint64_t proxy_gruu_instance(const struct hash_key *key, struct slice instance)
{
    struct mac mac;

    mac_init(&mac, key, MAC_GRUU_INSTANCE);
    for (size_t i = 0; i < instance.len; i++) {
        char c = instance.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        mac_bytes(&mac, &c, 1);
    }
    return mac_value(&mac);
}

static uint64_t seal(const struct hash_key *key, uint64_t nonce, const uint64_t words[WORDS])
{
    struct mac mac;

    mac_init(&mac, key, MAC_GRUU);
    mac_bytes(&mac, &nonce, sizeof nonce);
    mac_bytes(&mac, words, WORDS * sizeof words[0]);
    return mac_value(&mac);
}

/* The same XOR again gives the words back. */
static void mask(const struct hash_key *key, uint64_t nonce, uint64_t sealed, uint64_t words[WORDS])
{
    for (uint64_t i = 0; i < WORDS; i++) {
        const uint64_t at[3] = {nonce, sealed, i};
        struct mac mac;
        mac_init(&mac, key, MAC_GRUU_STREAM);
        mac_bytes(&mac, at, sizeof at);
        words[i] ^= mac_value(&mac);
    }
}

void proxy_gruu_write(struct builder *b, const struct hash_key *key, uint64_t nonce,
                      const struct proxy_gruu *gruu)
{
    uint64_t all[2 + WORDS] = {nonce, 0, gruu->aor_hash, gruu->instance, gruu->issued_ms};

    all[1] = seal(key, nonce, all + 2);
    mask(key, nonce, all[1], all + 2);
    base32hex_write(b, (struct slice){(const char *)all, sizeof all});
}

enum err proxy_gruu_read(struct slice text, const struct hash_key *key, struct proxy_gruu *out)
{
    uint64_t all[2 + WORDS];
    size_t len;

    if (text.len != PROXY_GRUU_CHARS || !base32hex_read(text, (char *)all, sizeof all, &len) ||
        len != GRUU_BYTES)
        return ERR_DENIED;
    mask(key, all[0], all[1], all + 2);
    if (seal(key, all[0], all + 2) != all[1])
        return ERR_DENIED;
    *out = (struct proxy_gruu){.aor_hash = all[2], .instance = all[3], .issued_ms = all[4]};
    return OK;
}
