/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token as it comes in a Route, and the same bytes under a MAC that is right: reading must stay
 * inside, and what is read must be written and read again as the same.
 */
#include "base/rng.h"
#include "proxy/gruu.h"
#include "proxy/mac.h"
#include "proxy/token.h"
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct hash_key key = {{1, 2}};

static void must_be_same(const struct proxy_side *a, const struct proxy_side *b)
{
    sip_must(a->has_flow == b->has_flow, "the same sides");
    if (!a->has_flow)
        return;
    sip_must(a->flow.transport == b->flow.transport, "the same transport");
    sip_must(a->flow.listener == b->flow.listener, "the same listener");
    sip_must(a->flow.flags == b->flow.flags, "the same flags");
    sip_must(addr_equal(&a->flow.remote, &b->flow.remote), "the same address");
    sip_must(a->instance == b->instance, "the same instance");
    sip_must(slice_equal(a->aor, b->aor), "the same AOR");
    if (flow_has_conn(&a->flow))
        sip_must(id_equal(a->flow.conn.id, b->flow.conn.id), "the same connection");
}

static enum err read_token(struct slice text, char scratch[static PROXY_TOKEN_SCRATCH],
                           struct proxy_token *out)
{
    bool from_caller;
    return proxy_token_read(text, &key, SLICE("call"), SLICE("caller"), SLICE("callee"), scratch,
                            out, &from_caller);
}

static void encode(struct builder *b, const uint8_t *bytes, size_t len)
{
    for (size_t bit = 0; bit < len * 8; bit += 5) {
        unsigned digit = 0;
        for (size_t i = bit; i < bit + 5; i++)
            digit = digit << 1 | (i < len * 8 ? (unsigned)bytes[i / 8] >> (7 - i % 8) & 1u : 0u);
        builder_char(b, "0123456789abcdefghijklmnopqrstuv"[digit]);
    }
}

/* kind, sides: as if we had written them. */
static void read_genuine(const uint8_t *data, size_t size)
{
    uint8_t bytes[PROXY_TOKEN_SCRATCH];
    char text[PROXY_TOKEN_MAX];
    char again[PROXY_TOKEN_MAX];
    char scratch[PROXY_TOKEN_SCRATCH];
    char scratch_again[PROXY_TOKEN_SCRATCH];
    struct builder b = builder_over(text, sizeof text);
    struct proxy_token token;
    struct proxy_token back;
    struct mac mac;

    if (size < 1 || size + 8 > sizeof bytes)
        return;
    mac_init(&mac, &key, MAC_TOKEN);
    mac_add(&mac, SLICE("call"));
    mac_add(&mac, SLICE("caller"));
    mac_bytes(&mac, data, 1);
    mac_add(&mac, (struct slice){(const char *)data + 1, size - 1});
    uint64_t value = mac_value(&mac);
    bytes[0] = data[0];
    for (unsigned i = 0; i < 8; i++)
        bytes[1 + i] = (uint8_t)(value >> (8 * i));
    memcpy(bytes + 9, data + 1, size - 1);
    for (size_t i = 0; i < size - 1; i++) {
        const uint64_t where[2] = {value, i / 8 * 8};
        mac_init(&mac, &key, MAC_TOKEN_STREAM);
        mac_bytes(&mac, where, sizeof where);
        bytes[9 + i] ^= (uint8_t)(mac_value(&mac) >> (8 * (i % 8)));
    }
    encode(&b, bytes, size + 8);
    if (read_token(builder_slice(&b), scratch, &token) != OK)
        return;

    b = builder_over(again, sizeof again);
    if (proxy_token_write(&b, &key, &token, SLICE("call"), SLICE("caller")) != OK)
        return; /* longer, where a varint was shorter than it could be */
    sip_must(read_token(builder_slice(&b), scratch_again, &back) == OK, "what is written is read");
    must_be_same(&token.caller, &back.caller);
    must_be_same(&token.callee, &back.callee);
}

/* A flow of a Path, likewise. */
static void read_path(const uint8_t *data, size_t size)
{
    uint8_t bytes[PROXY_TOKEN_SCRATCH];
    char text[PROXY_TOKEN_MAX], again[PROXY_TOKEN_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct flow flow, back;
    struct mac mac;

    if (size + 8 > sizeof bytes)
        return;
    mac_init(&mac, &key, MAC_PATH);
    mac_add(&mac, (struct slice){(const char *)data, size});
    uint64_t value = mac_value(&mac);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    memcpy(bytes + 8, data, size);
    encode(&b, bytes, size + 8);
    if (proxy_path_read(builder_slice(&b), &key, &flow) != OK)
        return;
    b = builder_over(again, sizeof again);
    sip_must(proxy_path_write(&b, &key, &flow) == OK, "a flow can be written");
    sip_must(proxy_path_read(builder_slice(&b), &key, &back) == OK, "what is written is read");
    sip_must(flow_same(&flow, &back), "the same flow");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char scratch[PROXY_TOKEN_SCRATCH];
    struct proxy_token token;
    struct proxy_gruu gruu;
    struct flow flow;

    sip_must(read_token((struct slice){(const char *)data, size}, scratch, &token) != OK,
             "nobody guesses a token");
    sip_must(proxy_path_read((struct slice){(const char *)data, size}, &key, &flow) != OK,
             "nobody guesses a flow");
    sip_must(proxy_gruu_read((struct slice){(const char *)data, size}, &key, &gruu) != OK,
             "nobody guesses a GRUU");
    read_path(data, size);
    read_genuine(data, size);
    return 0;
}
