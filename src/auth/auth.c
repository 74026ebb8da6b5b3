/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A nonce is 48 lower-case hexadecimal digits:
 *
 *   12  time it was made, milliseconds, UTC
 *    4  worker that made it and counts its uses
 *   16  random
 *   16  MAC over these, the realm and the source address without its port
 *
 * The port is left out because a NAT may give a phone another one between two requests; the address
 * is in so that a nonce that was overheard is of no use elsewhere.
 *
 * Windows: a nonce has one from its challenge on, since what has none counts as lost. They stand in
 * two queues, `fresh` (never used) and `used` (by last use). A flood of requests without
 * credentials opens windows at will; while more than half of all are fresh only fresh ones are
 * given up for new ones, so phones that work keep theirs.
 */
#include "auth/auth.h"

#include <stdlib.h>

enum {
    TIME_DIGITS = 12,
    OWNER_DIGITS = 4,
    RANDOM_DIGITS = 16,
    MAC_DIGITS = 16,
    NONCE_DIGITS = TIME_DIGITS + OWNER_DIGITS + RANDOM_DIGITS + MAC_DIGITS,
    SKEW_MS = 10000,    /* workers read the clock at different times; it may be set back a little */
    WINDOW_COUNTS = 64, /* counts below the highest that may still come (RFC 7616 §3.4.6) */
};

#define NO_WINDOW UINT32_MAX

struct nonce {
    uint64_t time_ms; /* 48 bits */
    uint64_t random;
    uint64_t mac;
    uint16_t owner;
};

/** Which counts of a nonce were used. */
struct window {
    uint64_t random; /* of the nonce: its name here */
    uint64_t seen;   /* bit i: count `highest` - i was used */
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
    uint64_t realm_mac;
    uint32_t made; /* windows that were ever used */
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

static uint32_t *bucket_of(const struct auth *auth, uint64_t random)
{
    return &auth->buckets[random & auth->bucket_mask];
}

static uint32_t window_find(const struct auth *auth, uint64_t random)
{
    uint32_t at = *bucket_of(auth, random);
    while (at != NO_WINDOW && auth->windows[at].random != random)
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

    uint32_t *link = bucket_of(auth, auth->windows[at].random);
    while (*link != at)
        link = &auth->windows[*link].chain;
    *link = auth->windows[at].chain;
    dequeue(auth, at);
    return at;
}

static void window_open(struct auth *auth, uint64_t random)
{
    uint32_t at = auth->made < auth->config.windows_max ? auth->made++ : window_reclaim(auth);
    uint32_t *bucket = bucket_of(auth, random);

    auth->windows[at] = (struct window){.random = random, .chain = *bucket};
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

static void put_u64(char **at, uint64_t value)
{
    memcpy(*at, &value, sizeof value);
    *at += sizeof value;
}

static uint64_t nonce_mac(const struct auth *auth, const struct nonce *nonce,
                          const struct addr *source)
{
    char bytes[4 * sizeof(uint64_t) + sizeof source->bytes];
    char *at = bytes;

    put_u64(&at, nonce->time_ms << 16 | nonce->owner);
    put_u64(&at, nonce->random);
    put_u64(&at, auth->realm_mac);
    put_u64(&at, (uint64_t)source->scope << 8 | source->family);
    memcpy(at, source->bytes, sizeof source->bytes);
    return hash_mac(&auth->config.nonce_key, (struct slice){bytes, sizeof bytes});
}

static void nonce_write(struct builder *b, const struct nonce *nonce)
{
    builder_hex(b, nonce->time_ms, TIME_DIGITS);
    builder_hex(b, nonce->owner, OWNER_DIGITS);
    builder_hex(b, nonce->random, RANDOM_DIGITS);
    builder_hex(b, nonce->mac, MAC_DIGITS);
}

/** Takes `digits` lower-case hexadecimal digits; any other byte clears `*good`. */
static uint64_t take_hex(struct slice *rest, size_t digits, bool *good)
{
    struct slice text = slice_take(rest, digits);
    uint64_t value = 0;

    for (size_t i = 0; i < digits; i++) {
        char c = text.data[i];
        bool decimal = c >= '0' && c <= '9';
        if (!decimal && (c < 'a' || c > 'f'))
            *good = false;
        value = value << 4 | (unsigned)(decimal ? c - '0' : c - 'a' + 10);
    }
    return value;
}

/** Is it written as ours are? Who made it is another question. */
static bool nonce_read(struct slice text, struct nonce *out)
{
    bool good = true;

    if (text.len != NONCE_DIGITS)
        return false;
    out->time_ms = take_hex(&text, TIME_DIGITS, &good);
    out->owner = (uint16_t)take_hex(&text, OWNER_DIGITS, &good);
    out->random = take_hex(&text, RANDOM_DIGITS, &good);
    out->mac = take_hex(&text, MAC_DIGITS, &good);
    return good;
}

/** Made by us, for this address, and not too long ago. */
static bool nonce_good(const struct auth *auth, const struct nonce *nonce,
                       const struct addr *source, uint64_t now_ms)
{
    uint64_t mac = nonce_mac(auth, nonce, source);

    if (!sip_digest_equal(&mac, &nonce->mac, sizeof mac))
        return false;
    return nonce->time_ms <= now_ms + SKEW_MS &&
           nonce->time_ms + auth->config.nonce_lifetime_ms > now_ms;
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
static bool uri_fits(const struct sip_msg *msg, struct slice signed_uri)
{
    struct sip_uri a, b;

    if (slice_equal(msg->uri, signed_uri))
        return true;
    if (sip_uri_parse(msg->uri, &a) != OK || sip_uri_parse(signed_uri, &b) != OK)
        return false;
    return sip_uri_equal(&a, &b) ||
           (slice_equal(a.user, b.user) && slice_equal_nocase(a.host, b.host));
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

void auth_check(struct auth *auth, const struct sip_msg *msg, const struct user *user,
                const struct flow *source, uint64_t now_ms, struct auth_result *result)
{
    assert(result->verdict == AUTH_OK);
    assert(result->credentials.algorithm < USER_DIGESTS);

    const struct sip_credentials *credentials = &result->credentials;
    if (!is_offered(offered_to(auth, user), credentials->algorithm)) {
        result->verdict = AUTH_NONE;
        return;
    }
    struct nonce nonce = {0};
    bool right = response_right(auth, msg, user, credentials);
    bool fits = uri_fits(msg, credentials->uri);
    bool good =
        nonce_read(credentials->nonce, &nonce) && nonce_good(auth, &nonce, &source->remote, now_ms);

    if (!right || !fits) {
        result->verdict = AUTH_BAD;
        return;
    }
    if (!good) { /* he knows the password: he need not be asked again (RFC 7616 §3.3, stale) */
        result->verdict = AUTH_STALE;
        return;
    }
    if (nonce.owner != auth->config.worker) {
        result->verdict = AUTH_ELSEWHERE;
        result->owner = nonce.owner;
        return;
    }
    result->verdict = auth_count(auth, credentials->nonce, auth_count_of(credentials));
}

enum auth_verdict auth_count(struct auth *auth, struct slice text, uint32_t nc)
{
    struct nonce nonce;
    uint32_t at = nonce_read(text, &nonce) ? window_find(auth, nonce.random) : NO_WINDOW;
    if (at == NO_WINDOW)
        return AUTH_STALE;

    struct window *window = &auth->windows[at];
    dequeue(auth, at);
    window->used = true;
    enqueue(auth, at);
    return window_count(window, nc);
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
                    const struct user *user, const struct flow *source, uint64_t now_ms)
{
    struct nonce nonce = {
        .time_ms = now_ms & ((UINT64_C(1) << 4 * TIME_DIGITS) - 1),
        .random = rng_u64(auth->config.rng),
        .owner = (uint16_t)auth->config.worker,
    };
    nonce.mac = nonce_mac(auth, &nonce, &source->remote);

    const uint8_t *algorithms = offered_to(auth, user);
    for (size_t i = 0; i < USER_ALGORITHMS_MAX && algorithms[i] != SIP_ALGORITHM_NONE; i++)
        write_challenge(b, auth, proxy, stale, &nonce, algorithms[i]);
    if (!b->overflow)
        window_open(auth, nonce.random);
}

/* --- Opening and closing --------------------------------------------------------------------- */

static bool realm_sound(struct slice realm)
{
    return realm.len > 0 && slice_find(realm, '"') == SIZE_MAX &&
           slice_find(realm, '\\') == SIZE_MAX && slice_find(realm, '\r') == SIZE_MAX &&
           slice_find(realm, '\n') == SIZE_MAX;
}

enum err auth_open(const struct auth_config *config, struct auth **out)
{
    assert(config->windows_max > 0 && config->windows_max < NO_WINDOW / 2);
    assert(config->worker <= UINT16_MAX);

    if (!realm_sound(config->realm))
        return ERR_SYNTAX;
    uint32_t buckets = 1;
    while (buckets < config->windows_max)
        buckets *= 2;
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
    auth->realm_mac = hash_mac(&config->nonce_key, config->realm);
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
