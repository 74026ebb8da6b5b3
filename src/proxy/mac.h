/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/mac - a keyed hash over several pieces, none of which can be taken for another.
 *
 * Each piece goes in with its length. What does not fit in the buffer is folded: the
 * buffer's hash takes its place and the next bytes follow. The usual request fits.
 */
#ifndef PROXY_MAC_H
#define PROXY_MAC_H

#include "base/hash.h"

enum {
    MAC_BUFFER = 512
};

/** What a hash is for: no hash of one purpose can be used for another. */
enum mac_purpose {
    MAC_TOKEN = 1,
    MAC_ACK_BRANCH = 3,
    MAC_PATH = 4,
    MAC_GRUU = 5,
    MAC_GRUU_STREAM = 6,
    MAC_GRUU_INSTANCE = 7,
    MAC_TOKEN_STREAM = 8,
};

struct mac {
    const struct hash_key *key; /* borrowed */
    size_t len;
    char buffer[MAC_BUFFER];
};

static inline void mac_init(struct mac *mac, const struct hash_key *key, enum mac_purpose purpose)
{
    mac->key = key;
    mac->buffer[0] = (char)purpose;
    mac->len = 1;
}

static inline uint64_t mac_value(const struct mac *mac)
{
    return hash_mac(mac->key, (struct slice){mac->buffer, mac->len});
}

static inline void mac_bytes(struct mac *mac, const void *bytes, size_t count)
{
    const char *from = bytes;

    while (count > 0) {
        if (mac->len == MAC_BUFFER) {
            uint64_t folded = mac_value(mac);
            memcpy(mac->buffer + 1, &folded, sizeof folded);
            mac->len = 1 + sizeof folded;
        }
        size_t step = MAC_BUFFER - mac->len;
        if (step > count)
            step = count;
        memcpy(mac->buffer + mac->len, from, step);
        mac->len += step;
        from += step;
        count -= step;
    }
}

/** Adds one piece. */
static inline void mac_add(struct mac *mac, struct slice piece)
{
    uint32_t len = (uint32_t)piece.len;

    mac_bytes(mac, &len, sizeof len);
    mac_bytes(mac, piece.data, piece.len);
}

#endif
