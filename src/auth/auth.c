/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nonce is 27 characters, base64url (RFC 4648 §5) of 20 bytes:
 *
 *   6   time it was made, milliseconds, UTC, most significant byte first
 *   2   worker that made it and counts its uses
 *   4   random
 *   8   MAC over these, the realm and the source address without its port
 *
 * Short, because it is hashed in every response and stands in every request. Of the random bytes
 * nothing is asked but that one millisecond's nonces differ; that nobody else can make one is the
 * MAC's work.
 *
 * The port is left out because a NAT may give a phone another one between two requests; the address
 * is in so that a nonce that was overheard is of no use elsewhere.
 *
 * Windows: a nonce has one from its challenge on, since what has none counts as lost. They stand in
 * two queues, `fresh` (never used) and `used` (by last use). A flood of requests without
 * credentials opens windows at will; while half of all or more are fresh only fresh ones are
 * given up for new ones, so phones that work keep theirs.
 */
#include "auth/auth.h"

#include <stdlib.h>

enum {
    NONCE_BYTES = 20,
    NONCE_CHARS = 27, /* the last one carries 4 bits; its other 2 are 0 */
    OWNER_BITS = 16,
    SKEW_MS = 10000,    /* workers read the clock at different times; it may be set back a little */
    WINDOW_COUNTS = 64, /* counts below the highest that may still come (RFC 7616 §3.4.6) */
};

#define NO_WINDOW UINT32_MAX

struct nonce {
    uint64_t head; /* time in the high bits, owner in the low ones */
    uint32_t random;
    uint64_t mac;
};

/** Which counts of a nonce were used. */
struct window {
    uint64_t head; /* with `random`: of the nonce, its name here */
    uint64_t seen; /* bit i: count `highest` - i was used */
    uint32_t random;
    uint32_t highest;
    uint32_t chain;          /* next in its bucket, or NO_WINDOW */
    uint32_t previous, next; /* in its queue, or NO_WINDOW */
    bool used;               /* it is in the queue of that name */
    bool used_without_count; /* by a client that knows no qop: once */
};

struct queue {
    uint32_t head, tail;
    uint32_t count;
};

struct auth {
    struct auth_config config;
    struct hash_key key; /* the nonce key, for this realm only */
    uint32_t made;       /* windows that were ever used */
    uint32_t bucket_mask;
    struct queue fresh, used;
    uint32_t *buckets;
    struct window windows[];
};

/* --- Windows --------------------------------------------------------------------------------- */

static struct queue *queue_of(struct auth *auth, const struct window *window)
{
    return window->used ? &auth->used : &auth->fresh;
}

static void enqueue(struct auth *auth, uint32_t at)
{
    struct window *window = &auth->windows[at];
    struct queue *queue = queue_of(auth, window);

    window->next = NO_WINDOW;
    window->previous = queue->tail;
    if (queue->tail != NO_WINDOW)
        auth->windows[queue->tail].next = at;
    else
        queue->head = at;
    queue->tail = at;
    queue->count++;
}

static void dequeue(struct auth *auth, uint32_t at)
{
    struct window *window = &auth->windows[at];
    struct queue *queue = queue_of(auth, window);

    if (window->previous != NO_WINDOW)
        auth->windows[window->previous].next = window->next;
    else
        queue->head = window->next;
    if (window->next != NO_WINDOW)
        auth->windows[window->next].previous = window->previous;
    else
        queue->tail = window->previous;
    assert(queue->count > 0);
    queue->count--;
}

static uint32_t *bucket_of(const struct auth *auth, uint64_t head, uint32_t random)
{
    return &auth->buckets[((head >> OWNER_BITS) ^ random) & auth->bucket_mask];
}

static uint32_t window_find(const struct auth *auth, const struct nonce *nonce)
{
    uint32_t at = *bucket_of(auth, nonce->head, nonce->random);
    while (at != NO_WINDOW &&
           (auth->windows[at].random != nonce->random || auth->windows[at].head != nonce->head))
        at = auth->windows[at].chain;
    return at;
}

/** Takes the window that can best be done without out of its bucket and queue. */
static uint32_t window_reclaim(struct auth *auth)
{
    const struct queue *fresh = &auth->fresh;
    bool flooded = fresh->count > 0 && fresh->count >= auth->config.windows_max / 2;
    uint32_t at = flooded || auth->used.count == 0 ? fresh->head : auth->used.head;
    assert(at != NO_WINDOW);

    uint32_t *link = bucket_of(auth, auth->windows[at].head, auth->windows[at].random);
    while (*link != at)
        link = &auth->windows[*link].chain;
    *link = auth->windows[at].chain;
    dequeue(auth, at);
    return at;
}

static void window_open(struct auth *auth, const struct nonce *nonce)
{
    uint32_t at = auth->made < auth->config.windows_max ? auth->made++ : window_reclaim(auth);
    uint32_t *bucket = bucket_of(auth, nonce->head, nonce->random);

    auth->windows[at] =
        (struct window){.head = nonce->head, .random = nonce->random, .chain = *bucket};
    *bucket = at;
    enqueue(auth, at);
}

/** Marks a count. What is further back than the window reaches is not known any more. */
static enum auth_verdict window_count(struct window *window, uint32_t count)
{
    if (count == 0) {
        bool again = window->used_without_count;
        window->used_without_count = true;
        return again ? AUTH_STALE : AUTH_OK;
    }
    if (count > window->highest) {
        uint32_t ahead = count - window->highest;
        window->seen = ahead < WINDOW_COUNTS ? window->seen << ahead : 0;
        window->seen |= 1;
        window->highest = count;
        return AUTH_OK;
    }
    uint32_t back = window->highest - count;
    if (back >= WINDOW_COUNTS)
        return AUTH_STALE;
    uint64_t bit = UINT64_C(1) << back;
    if ((window->seen & bit) != 0)
        return AUTH_BAD;
    window->seen |= bit;
    return AUTH_OK;
}

/* --- Nonces ---------------------------------------------------------------------------------- */

static uint64_t nonce_mac(const struct auth *auth, const struct nonce *nonce,
                          const struct addr *source)
{
    struct {
        uint64_t head;
        uint32_t random;
        uint32_t scope;
        uint8_t bytes[sizeof source->bytes]; /* fewer are hashed for IPv4: the length tells */
    } input = {.head = nonce->head, .random = nonce->random, .scope = source->scope};
    size_t used = source->family == ADDR_V4 ? 4 : sizeof input.bytes;

    memcpy(input.bytes, source->bytes, used);
    return hash_mac(&auth->key,
                    (struct slice){(const char *)&input, sizeof input - sizeof input.bytes + used});
}

static void put_bytes(uint8_t **at, uint64_t value, unsigned count)
{
    while (count > 0)
        *(*at)++ = (uint8_t)(value >> 8 * --count);
}

static uint64_t take_bytes(const uint8_t **at, unsigned count)
{
    uint64_t value = 0;
    while (count-- > 0)
        value = value << 8 | *(*at)++;
    return value;
}

static void nonce_write(struct builder *b, const struct nonce *nonce)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[NONCE_BYTES + 1] = {0}; /* to whole groups of three */
    char text[NONCE_CHARS + 1];
    uint8_t *at = bytes;

    put_bytes(&at, nonce->head, 8);
    put_bytes(&at, nonce->random, 4);
    put_bytes(&at, nonce->mac, 8);
    for (size_t i = 0, j = 0; i < sizeof bytes; i += 3) {
        unsigned group = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned shift = 24; shift > 0; j++) {
            shift -= 6;
            text[j] = digits[group >> shift & 63];
        }
    }
    builder_add(b, (struct slice){text, NONCE_CHARS});
}

/* A digit's value plus 1; 0: no digit of base64url. */
static const uint8_t digit_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

/** Is it written as ours are? Who made it is another question. */
static bool nonce_read(struct slice text, struct nonce *out)
{
    char padded[NONCE_CHARS + 1]; /* to whole groups of four */
    uint8_t bytes[NONCE_BYTES + 1];

    if (text.len != NONCE_CHARS)
        return false;
    memcpy(padded, text.data, NONCE_CHARS);
    padded[NONCE_CHARS] = 'A';
    for (unsigned i = 0, j = 0; i < sizeof padded; i += 4) {
        unsigned a = digit_values[(unsigned char)padded[i]];
        unsigned b = digit_values[(unsigned char)padded[i + 1]];
        unsigned c = digit_values[(unsigned char)padded[i + 2]];
        unsigned d = digit_values[(unsigned char)padded[i + 3]];
        if (a == 0 || b == 0 || c == 0 || d == 0)
            return false;
        unsigned group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        bytes[j++] = (uint8_t)(group >> 16);
        bytes[j++] = (uint8_t)(group >> 8);
        bytes[j++] = (uint8_t)group;
    }
    const uint8_t *at = bytes;
    out->head = take_bytes(&at, 8);
    out->random = (uint32_t)take_bytes(&at, 4);
    out->mac = take_bytes(&at, 8);
    return *at == 0; /* each nonce is written in one way only */
}

/** Made by us, for this address, and not too long ago. */
static bool nonce_good(const struct auth *auth, const struct nonce *nonce,
                       const struct addr *source, uint64_t now_ms)
{
    uint64_t mac = nonce_mac(auth, nonce, source);

    if (!sip_digest_equal(&mac, &nonce->mac, sizeof mac))
        return false;
    uint64_t time_ms = nonce->head >> OWNER_BITS;
    return time_ms <= now_ms + SKEW_MS && time_ms + auth->config.nonce_lifetime_ms > now_ms;
}

/* --- Credentials ----------------------------------------------------------------------------- */

/** The algorithms offered to a user: his own, or the node's. */
static const uint8_t *offered_to(const struct auth *auth, const struct user *user)
{
    bool own = user != NULL && user->algorithms[0] != SIP_ALGORITHM_NONE;
    return own ? user->algorithms : auth->config.algorithms;
}

static bool is_offered(const uint8_t *algorithms, uint8_t algorithm)
{
    for (size_t i = 0; i < USER_ALGORITHMS_MAX && algorithms[i] != SIP_ALGORITHM_NONE; i++)
        if (algorithms[i] == algorithm)
            return true;
    return false;
}

/** For our realm, with an algorithm that we know, by a plain user name. */
static bool credentials_usable(const struct auth *auth, const struct sip_credentials *credentials)
{
    return credentials->algorithm != SIP_ALGORITHM_NONE &&
           slice_equal(credentials->realm, auth->config.realm) &&
           slice_find(credentials->username, '@') == SIZE_MAX;
}

struct auth_result auth_find(const struct auth *auth, const struct sip_msg *msg, bool proxy)
{
    struct auth_result result = {.verdict = AUTH_NONE};
    enum sip_field_id id = proxy ? SIP_F_PROXY_AUTHORIZATION : SIP_F_AUTHORIZATION;

    for (const struct sip_field *field = sip_field_first(msg, id); field != NULL;
         field = sip_field_next(msg, field)) {
        struct sip_credentials credentials;
        if (sip_credentials_parse(sip_field_value(msg, field), &credentials) != OK ||
            !credentials_usable(auth, &credentials))
            continue;
        bool offered = is_offered(auth->config.algorithms, credentials.algorithm);
        if (result.verdict == AUTH_OK && !offered)
            continue;
        result.verdict = AUTH_OK;
        result.field = field;
        result.credentials = credentials;
        if (offered)
            break; /* who answers two of our challenges means the one that we offer to all */
    }
    return result;
}

/**
 * Is the request the one that was signed? Leniently: proxies before us may have changed port,
 * transport or parameters of the Request-URI (RFC 3261 §22.4 point 5, RFC 7616 §3.4.6).
 */
static bool uri_fits(const struct auth *auth, const struct sip_msg *msg, struct slice signed_uri)
{
    struct sip_uri a, b;

    if (slice_equal(msg->uri, signed_uri))
        return true;
    if (sip_uri_parse(msg->uri, &a) != OK || sip_uri_parse(signed_uri, &b) != OK)
        return false;
    if (sip_uri_equal(&a, &b) ||
        (slice_equal(a.user, b.user) && slice_equal_nocase(a.host, b.host)))
        return true;
    /* SIPp signs the address it sends to, whatever it asks for: one of our names for another. */
    return auth->config.is_ours != NULL && auth->config.is_ours(auth->config.is_ours_user, &b);
}

/** Is the response right, and by this user? The work is the same for any user and none. */
static bool response_right(const struct auth *auth, const struct sip_msg *msg,
                           const struct user *user, const struct sip_credentials *credentials)
{
    static const uint8_t nobodys[SIP_HASH_MAX] = {0};
    bool known = user != NULL && !user->disabled && user->has_digest &&
                 slice_equal(user->realm, auth->config.realm);
    const uint8_t *a1 = known ? user->digests[credentials->algorithm] : nobodys;
    bool right = sip_digest_verify(credentials, a1, msg->method_name, msg->body);

    return right & known;
}

/** Marks a use in the nonce's window. */
static enum auth_verdict nonce_count(struct auth *auth, const struct nonce *nonce, uint32_t nc)
{
    uint32_t at = window_find(auth, nonce);
    if (at == NO_WINDOW)
        return AUTH_STALE;

    struct window *window = &auth->windows[at];
    dequeue(auth, at);
    window->used = true;
    enqueue(auth, at);
    return window_count(window, nc);
}

void auth_check(struct auth *auth, const struct sip_msg *msg, const struct user *user,
                const struct user *like, const struct flow *source, uint64_t now_ms,
                struct auth_result *result)
{
    assert(result->verdict == AUTH_OK);
    assert(result->credentials.algorithm < USER_DIGESTS);

    const struct sip_credentials *credentials = &result->credentials;
    if (!is_offered(offered_to(auth, like), credentials->algorithm)) {
        result->verdict = AUTH_NONE;
        return;
    }
    struct nonce nonce = {0};
    if (!nonce_read(credentials->nonce, &nonce) ||
        !nonce_good(auth, &nonce, &source->remote, now_ms)) {
        result->verdict = AUTH_STALE;
        return;
    }
    bool right = response_right(auth, msg, user, credentials);
    bool fits = uri_fits(auth, msg, credentials->uri);
    if (!right || !fits) {
        result->verdict = AUTH_BAD;
        result->wrong = !right;
        return;
    }
    result->owner = nonce.head & ((1u << OWNER_BITS) - 1);
    result->verdict = result->owner == auth->config.worker
                          ? nonce_count(auth, &nonce, auth_count_of(credentials))
                          : AUTH_ELSEWHERE;
}

enum auth_verdict auth_count(struct auth *auth, struct slice text, uint32_t nc)
{
    struct nonce nonce;
    return nonce_read(text, &nonce) ? nonce_count(auth, &nonce, nc) : AUTH_STALE;
}

/* --- Challenges ------------------------------------------------------------------------------ */

static void write_challenge(struct builder *b, const struct auth *auth, bool proxy, bool stale,
                            const struct nonce *nonce, uint8_t algorithm)
{
    builder_add(b, proxy ? SLICE("Proxy-Authenticate") : SLICE("WWW-Authenticate"));
    builder_text(b, ": Digest realm=\"");
    builder_add(b, auth->config.realm);
    builder_text(b, "\", nonce=\"");
    nonce_write(b, nonce);
    builder_text(b, "\", algorithm=");
    builder_add(b, sip_algorithm_name((enum sip_algorithm)algorithm));
    if (stale)
        builder_text(b, ", stale=true");
    builder_text(b, ", qop=\"auth\"\r\n");
}

void auth_challenge(struct auth *auth, struct builder *b, bool proxy, bool stale,
                    const struct user *like, const struct flow *source, uint64_t now_ms)
{
    struct nonce nonce = {
        .head = now_ms << OWNER_BITS | auth->config.worker,
        .random = (uint32_t)rng_u64(auth->config.rng),
    };
    nonce.mac = nonce_mac(auth, &nonce, &source->remote);

    const uint8_t *algorithms = offered_to(auth, like);
    for (size_t i = 0; i < USER_ALGORITHMS_MAX && algorithms[i] != SIP_ALGORITHM_NONE; i++)
        write_challenge(b, auth, proxy, stale, &nonce, algorithms[i]);
    if (!b->overflow)
        window_open(auth, &nonce);
}

/* --- Opening and closing --------------------------------------------------------------------- */

static bool realm_sound(struct slice realm)
{
    return realm.len > 0 && slice_find(realm, '"') == SIZE_MAX &&
           slice_find(realm, '\\') == SIZE_MAX && slice_find(realm, '\r') == SIZE_MAX &&
           slice_find(realm, '\n') == SIZE_MAX;
}

static uint32_t bucket_count(const struct auth_config *config)
{
    uint32_t buckets = 1;
    while (buckets < config->windows_max)
        buckets *= 2;
    return buckets;
}

size_t auth_memory(const struct auth_config *config)
{
    return sizeof(struct auth) + (size_t)config->windows_max * sizeof(struct window) +
           bucket_count(config) * sizeof(uint32_t);
}

enum err auth_open(const struct auth_config *config, struct auth **out)
{
    assert(config->windows_max > 0 && config->windows_max < NO_WINDOW / 2);
    assert(config->worker <= UINT16_MAX);

    if (!realm_sound(config->realm))
        return ERR_SYNTAX;
    uint32_t buckets = bucket_count(config);
    struct auth *auth =
        calloc(1, sizeof *auth + (size_t)config->windows_max * sizeof auth->windows[0]);
    if (auth == NULL)
        return ERR_MEMORY;
    auth->buckets = malloc(buckets * sizeof *auth->buckets);
    if (auth->buckets == NULL) {
        free(auth);
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < buckets; i++)
        auth->buckets[i] = NO_WINDOW;
    auth->bucket_mask = buckets - 1;
    auth->fresh = (struct queue){NO_WINDOW, NO_WINDOW, 0};
    auth->used = (struct queue){NO_WINDOW, NO_WINDOW, 0};
    auth->config = *config;
    if (auth->config.algorithms[0] == SIP_ALGORITHM_NONE)
        auth->config.algorithms[0] = SIP_MD5;
    auth->key.k[0] = hash_mac(&config->nonce_key, config->realm);
    auth->key.k[1] = config->nonce_key.k[1] ^ auth->key.k[0];
    *out = auth;
    return OK;
}

void auth_close(struct auth *auth)
{
    if (auth == NULL)
        return;
    free(auth->buckets);
    free(auth);
}
