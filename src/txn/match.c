/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which server transaction a request belongs to (RFC 3261 §17.2.3).
 *
 * A transaction is known by 128 bits: two hashes, with secret seeds, of branch and sent-by, or, for
 * a client of RFC 2543, of the fields that §17.2.3 lists. So what has finished needs to keep none
 * of those bytes. The method is compared beside, because ACK and CANCEL look for their INVITE.
 */
#include "txn/table.h"

/* Branch and sent-by of every client we know of fit in one piece; longer ones are hashed in more.
 */
enum {
    PIECE_BYTES = 192
};

/* Hashes that go on from each other: each piece's length counts, so pieces cannot be confused. */
static void key_add(struct server_key *key, struct slice s)
{
    struct hash_pair pair = hash_bytes_pair(key->a ^ (key->b << 1 | key->b >> 63), s);
    key->a = pair.a;
    key->b = pair.b;
}

/*
 * Branch, a NUL, the host without case, and the port or the transport's default (§18.2.2). A host
 * that does not fit behind the branch begins a piece of its own.
 */
static void key_add_branch(struct server_key *key, const struct sip_via *via)
{
    char piece[PIECE_BYTES + 3];
    size_t len = 0;

    if (via->branch.len <= PIECE_BYTES) {
        memcpy(piece, via->branch.data, via->branch.len);
        len = via->branch.len;
    } else {
        key_add(key, via->branch);
    }
    piece[len++] = 0;
    for (size_t i = 0; i < via->host.len; i++) {
        if (len >= PIECE_BYTES) {
            key_add(key, (struct slice){piece, len});
            len = 0;
        }
        piece[len++] = ascii_lower(via->host.data[i]);
    }
    uint16_t port = via->port != 0 ? via->port : sip_transport_port(via->transport);
    piece[len++] = (char)(port >> 8);
    piece[len++] = (char)(port & 0xff);
    key_add(key, (struct slice){piece, len});
}

/* Request-URI, From tag, Call-ID, CSeq number and top Via; the To tag is compared beside. */
static void key_add_rfc2543(struct server_key *key, const struct sip_msg *request)
{
    uint32_t number = request->cseq.number;

    key_add(key, request->uri);
    key_add(key, request->from.tag);
    key_add(key, request->call_id);
    key_add(key, (struct slice){(const char *)&number, sizeof number});
    key_add(key, request->via_value);
}

uint32_t tag_hash(const struct txn_table *table, struct slice tag)
{
    if (tag.len == 0)
        return 0;
    return (uint32_t)hash_bytes(table->config.hash_seed, tag) | 1;
}

struct server_key server_key(const struct txn_table *table, const struct sip_msg *request)
{
    uint64_t seed = table->config.hash_seed;
    struct server_key key = {.a = seed, .b = ~seed};

    if (request->method == SIP_METHOD_OTHER)
        key.method_hash = tag_hash(table, request->method_name);
    key.rfc2543 = !sip_branch_rfc3261(request->via.branch);
    if (key.rfc2543) {
        key_add_rfc2543(&key, request);
        key.to_tag = tag_hash(table, request->to.tag);
        return key;
    }
    /* §17.2.3 names branch, sent-by and method. Phones with poor branches exist (RFC 4475 itself
     * has messages that share one): Call-ID and CSeq number, the same in ACK and CANCEL, tell them
     * apart. */
    key.a = hash_bytes(seed ^ request->cseq.number, request->call_id);
    key_add_branch(&key, &request->via);
    return key;
}

uint64_t server_call_hash(const struct txn_table *table, const struct sip_msg *request)
{
    uint32_t cseq[2] = {request->cseq.number, request->method};
    uint64_t hash = hash_bytes(table->config.hash_seed, request->from.tag);

    hash = hash_bytes(hash, request->call_id);
    if (request->method == SIP_METHOD_OTHER)
        hash = hash_bytes(hash, request->method_name);
    return hash_bytes(hash, (struct slice){(const char *)cseq, sizeof cseq});
}

/* The first server with this key from `node` on. */
static struct server *with_key(struct map_node *node, const struct server_key *key)
{
    for (; node != NULL; node = map_next(node)) {
        struct server *server = CONTAINER_OF(node, struct server, by_key);
        if (server->key_b == key->b && server->rfc2543 == key->rfc2543)
            return server;
    }
    return NULL;
}

/*
 * The ACK of a client of RFC 2543 carries the To tag of the response that it acknowledges; all
 * other requests that of the request they repeat.
 */
static bool same_to_tag(const struct server *server, const struct server_key *key, bool is_ack)
{
    if (!server->rfc2543)
        return true;
    return key->to_tag == (is_ack ? server->answer_tag : server->request_tag);
}

struct server *server_match(const struct txn_table *table, const struct server_key *key,
                            const struct sip_msg *request)
{
    bool is_ack = request->method == SIP_ACK;
    uint8_t method = is_ack ? SIP_INVITE : request->method;
    struct server *server = with_key(map_first(&table->by_key, key->a), key);

    for (; server != NULL; server = with_key(map_next(&server->by_key), key))
        if (server->method == method && server->method_hash == key->method_hash &&
            same_to_tag(server, key, is_ack))
            return server;
    return NULL;
}

struct server *server_match_cancelled(const struct txn_table *table, const struct server_key *key)
{
    struct server *server = with_key(map_first(&table->by_key, key->a), key);

    for (; server != NULL; server = with_key(map_next(&server->by_key), key))
        if (server->method != SIP_CANCEL && same_to_tag(server, key, false))
            return server;
    return NULL;
}

bool txn_knows(const struct txn_table *table, const struct sip_msg *request)
{
    struct server_key key = server_key(table, request);

    return server_match(table, &key, request) != NULL;
}
