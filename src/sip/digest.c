/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/digest.h"

#include <endian.h>
#include <openssl/evp.h>

#include "sip/lex.h"

struct algorithm {
    struct slice name;
    const char *openssl_name;
    size_t bytes;
};

static const struct algorithm algorithms[SIP_ALGORITHM_COUNT] = {
    [SIP_MD5] = {{"MD5", 3}, "MD5", 16},
    [SIP_SHA_256] = {{"SHA-256", 7}, "SHA256", 32},
    [SIP_SHA_512_256] = {{"SHA-512-256", 11}, "SHA512-256", 32},
};

struct slice sip_algorithm_name(enum sip_algorithm algorithm)
{
    assert(algorithm < SIP_ALGORITHM_COUNT);
    return algorithms[algorithm].name;
}

enum sip_algorithm sip_algorithm_parse(struct slice name)
{
    for (unsigned i = SIP_MD5; i < SIP_ALGORITHM_COUNT; i++)
        if (slice_equal_nocase(name, algorithms[i].name))
            return (enum sip_algorithm)i;
    return SIP_ALGORITHM_NONE;
}

size_t sip_algorithm_bytes(enum sip_algorithm algorithm)
{
    assert(algorithm > SIP_ALGORITHM_NONE && algorithm < SIP_ALGORITHM_COUNT);
    return algorithms[algorithm].bytes;
}

/* --- Hashing --------------------------------------------------------------------------------- */

/*
 * OpenSSL 3 looks an algorithm up by name, with a lock, each time it is not given a fetched
 * one: several times the cost of hashing 100 bytes. So each thread keeps what it fetched and
 * one context per algorithm: a cache, not state. sip_digest_release() gives it back.
 */
static _Thread_local struct {
    EVP_MD *md;
    EVP_MD_CTX *context;
} hashers[SIP_ALGORITHM_COUNT];

/** Begins a hash. NULL only when memory could not be had, or OpenSSL has no such algorithm. */
static EVP_MD_CTX *hash_begin(enum sip_algorithm algorithm)
{
    assert(algorithm > SIP_ALGORITHM_NONE && algorithm < SIP_ALGORITHM_COUNT);

    if (hashers[algorithm].md == NULL)
        hashers[algorithm].md = EVP_MD_fetch(NULL, algorithms[algorithm].openssl_name, NULL);
    if (hashers[algorithm].context == NULL)
        hashers[algorithm].context = EVP_MD_CTX_new();

    EVP_MD_CTX *context = hashers[algorithm].context;
    if (context == NULL || hashers[algorithm].md == NULL ||
        EVP_DigestInit_ex2(context, hashers[algorithm].md, NULL) != 1)
        return NULL;
    return context;
}

void sip_digest_release(void)
{
    for (unsigned i = 0; i < SIP_ALGORITHM_COUNT; i++) {
        EVP_MD_CTX_free(hashers[i].context);
        EVP_MD_free(hashers[i].md);
        hashers[i].context = NULL;
        hashers[i].md = NULL;
    }
}

/** Hashes `s` into out. False as hash_begin(). */
static bool hash_slice(enum sip_algorithm algorithm, struct slice s,
                       uint8_t out[static SIP_HASH_MAX])
{
    EVP_MD_CTX *context = hash_begin(algorithm);

    return context != NULL && EVP_DigestUpdate(context, s.data, s.len) == 1 &&
           EVP_DigestFinal_ex(context, out, NULL) == 1;
}

/** Piece by piece: what is too long for a buffer. */
static bool hash_pieces(enum sip_algorithm algorithm, const struct slice *pieces, size_t count,
                        uint8_t out[static SIP_HASH_MAX])
{
    EVP_MD_CTX *context = hash_begin(algorithm);
    if (context == NULL)
        return false;

    for (size_t i = 0; i < count; i++) {
        if (i > 0 && EVP_DigestUpdate(context, ":", 1) != 1)
            return false;
        if (EVP_DigestUpdate(context, pieces[i].data, pieces[i].len) != 1)
            return false;
    }
    return EVP_DigestFinal_ex(context, out, NULL) == 1;
}

/** Hashes `count` pieces with ':' between them: in one go, as each call costs more than a copy. */
static bool hash_joined(enum sip_algorithm algorithm, const struct slice *pieces, size_t count,
                        uint8_t out[static SIP_HASH_MAX])
{
    char text[512];
    struct builder b = builder_over(text, sizeof text);

    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            builder_char(&b, ':');
        builder_add(&b, pieces[i]);
    }
    if (b.overflow)
        return hash_pieces(algorithm, pieces, count, out);
    return hash_slice(algorithm, builder_slice(&b), out);
}

/** Lower-case hex, four bytes at a time: each half byte in a byte of its own, '0' added, and
 * what lies between '9' and 'a' for those above 9. */
static struct slice hex_of(const uint8_t *bytes, size_t count, char out[static SIP_HASH_HEX_MAX])
{
    assert(count % 4 == 0);

    for (size_t i = 0; i < count; i += 4) {
        uint64_t x = (uint64_t)bytes[i] | (uint64_t)bytes[i + 1] << 16 |
                     (uint64_t)bytes[i + 2] << 32 | (uint64_t)bytes[i + 3] << 48;
        x = ((x >> 4) | (x << 8)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
        uint64_t letters = ((x + UINT64_C(0x0606060606060606)) >> 4) & UINT64_C(0x0101010101010101);
        x += UINT64_C(0x3030303030303030) + letters * 39;
        x = htole64(x);
        memcpy(out + 2 * i, &x, sizeof x);
    }
    return (struct slice){out, 2 * count};
}

void sip_digest_a1(enum sip_algorithm algorithm, struct slice username, struct slice realm,
                   struct slice password, uint8_t out[static SIP_HASH_MAX])
{
    const struct slice pieces[] = {username, realm, password};

    memset(out, 0, SIP_HASH_MAX);
    bool good = hash_joined(algorithm, pieces, COUNT_OF(pieces), out);
    assert(good);
}

/**
 * response = KD(H(A1), nonce ":" nc ":" cnonce ":" qop ":" H(A2)), without qop
 * KD(H(A1), nonce ":" H(A2)) (RFC 7616 §3.4.1, RFC 2617 §3.2.2.1).
 * A2 = Method ":" uri, with auth-int ":" H(body) behind it (RFC 7616 §3.4.3).
 */
static bool make_response(const struct sip_credentials *credentials,
                          const uint8_t a1[static SIP_HASH_MAX], struct slice method,
                          struct slice body, char out[static SIP_HASH_HEX_MAX])
{
    enum sip_algorithm algorithm = (enum sip_algorithm)credentials->algorithm;
    size_t bytes = sip_algorithm_bytes(algorithm);
    uint8_t hash[SIP_HASH_MAX];
    char a1_hex[SIP_HASH_HEX_MAX], a2_hex[SIP_HASH_HEX_MAX], body_hex[SIP_HASH_HEX_MAX];

    struct slice a2[3] = {method, credentials->uri};
    size_t a2_count = 2;
    if (credentials->qop_auth_int) {
        if (!hash_slice(algorithm, body, hash))
            return false;
        a2[a2_count++] = hex_of(hash, bytes, body_hex);
    }
    if (!hash_joined(algorithm, a2, a2_count, hash))
        return false;

    struct slice pieces[6] = {hex_of(a1, bytes, a1_hex), credentials->nonce};
    size_t count = 2;
    if (credentials->has_qop) {
        pieces[count++] = credentials->nc_text;
        pieces[count++] = credentials->cnonce;
        pieces[count++] = credentials->qop;
    }
    pieces[count++] = hex_of(hash, bytes, a2_hex);
    if (!hash_joined(algorithm, pieces, count, hash))
        return false;
    hex_of(hash, bytes, out);
    return true;
}

void sip_digest_response(const struct sip_credentials *credentials,
                         const uint8_t a1[static SIP_HASH_MAX], struct slice method,
                         struct slice body, char out[static SIP_HASH_HEX_MAX])
{
    bool good = make_response(credentials, a1, method, body, out);
    assert(good);
}

bool sip_digest_equal(const void *a, const void *b, size_t len)
{
    const char *left = a;
    const char *right = b;
    volatile uint64_t difference = 0; /* so that no compiler leaves the loop early */

    for (; len >= 8; left += 8, right += 8, len -= 8)
        difference |= lex_word(left, 8) ^ lex_word(right, 8);
    return (difference | (lex_word(left, len) ^ lex_word(right, len))) == 0;
}

bool sip_digest_verify(const struct sip_credentials *credentials,
                       const uint8_t a1[static SIP_HASH_MAX], struct slice method,
                       struct slice body)
{
    char expected[SIP_HASH_HEX_MAX], given[SIP_HASH_HEX_MAX];

    if (credentials->algorithm == SIP_ALGORITHM_NONE)
        return false;
    if (credentials->has_qop && !credentials->qop_auth && !credentials->qop_auth_int)
        return false;

    size_t digits = 2 * sip_algorithm_bytes((enum sip_algorithm)credentials->algorithm);
    if (credentials->response.len != digits)
        return false;
    for (size_t i = 0; i < digits; i++) /* digits have the bit of small letters anyway */
        given[i] = (char)(credentials->response.data[i] | 0x20);
    return make_response(credentials, a1, method, body, expected) &&
           sip_digest_equal(given, expected, digits);
}

/* --- Authorization and Proxy-Authorization --------------------------------------------------- */

/** auth-param = token EQUAL ( token / quoted-string ). Liberal with values without quotes. */
static bool lex_auth_param(struct lex *lex, struct sip_param *out)
{
    if (!lex_token(lex, &out->name) || !lex_separator(lex, '='))
        return false;
    if (lex_sees(lex, '"')) {
        if (!lex_quoted(lex, &out->value))
            return false;
        out->value = sip_unquote(out->value);
    } else {
        out->value = lex_value(lex);
        if (out->value.len == 0)
            return false;
    }
    lex_lws(lex);
    return true;
}

/** Where a parameter's value belongs; NULL for one we do not look at. */
static struct slice *place_of(struct sip_credentials *out, struct slice name)
{
    switch (name.len) {
    case 2:
        return LEX_SAME(name, "nc") ? &out->nc_text : NULL;
    case 3:
        if (LEX_SAME(name, "uri"))
            return &out->uri;
        return LEX_SAME(name, "qop") ? &out->qop : NULL;
    case 5:
        if (LEX_SAME(name, "realm"))
            return &out->realm;
        return LEX_SAME(name, "nonce") ? &out->nonce : NULL;
    case 6:
        if (LEX_SAME(name, "cnonce"))
            return &out->cnonce;
        return LEX_SAME(name, "opaque") ? &out->opaque : NULL;
    case 8:
        if (LEX_SAME(name, "username"))
            return &out->username;
        return LEX_SAME(name, "response") ? &out->response : NULL;
    default:
        return NULL;
    }
}

/** Puts a parameter in its place. False when it is there already. */
static bool take_auth_param(struct sip_credentials *out, const struct sip_param *param)
{
    if (LEX_SAME(param->name, "algorithm")) {
        if (out->has_algorithm)
            return false;
        out->has_algorithm = true;
        out->algorithm = (uint8_t)sip_algorithm_parse(param->value);
        return true;
    }
    struct slice *place = place_of(out, param->name);
    if (place == NULL)
        return true;
    if (place->data != NULL)
        return false;
    *place = param->value;
    return true;
}

/** nc-value = 8LHEX */
static bool take_nonce_count(struct sip_credentials *out)
{
    if (out->nc_text.len != 8)
        return false;
    for (size_t i = 0; i < 8; i++) {
        if (!lex_is(out->nc_text.data[i], CH_HEX))
            return false;
        out->nc = out->nc << 4 | lex_hex_value(out->nc_text.data[i]);
    }
    return true;
}

/** What must be there: nc and cnonce exactly when qop is (RFC 7616 §3.4). */
static bool credentials_complete(struct sip_credentials *out)
{
    if (out->username.data == NULL || out->realm.data == NULL || out->nonce.data == NULL ||
        out->uri.data == NULL || out->response.data == NULL)
        return false;

    out->has_qop = out->qop.data != NULL;
    if (!out->has_qop)
        return true;
    out->qop_auth = LEX_SAME(out->qop, "auth");
    out->qop_auth_int = LEX_SAME(out->qop, "auth-int");
    return out->cnonce.data != NULL && take_nonce_count(out);
}

enum err sip_credentials_parse(struct slice value, struct sip_credentials *out)
{
    struct lex lex = lex_over(slice_trim(value));
    struct sip_credentials credentials = {.algorithm = SIP_MD5};
    struct slice scheme;

    if (!lex_token(&lex, &scheme))
        return ERR_SYNTAX;
    if (!LEX_SAME(scheme, "digest"))
        return ERR_NOT_FOUND;
    const char *scheme_end = lex.at;
    lex_lws(&lex);
    if (lex.at == scheme_end)
        return ERR_SYNTAX;

    struct sip_param param = {.has_value = true};
    do {
        lex_lws(&lex);
        if (!lex_auth_param(&lex, &param) || !take_auth_param(&credentials, &param))
            return ERR_SYNTAX;
    } while (lex_char(&lex, ','));
    if (!lex_end(&lex) || !credentials_complete(&credentials))
        return ERR_SYNTAX;
    *out = credentials;
    return OK;
}
