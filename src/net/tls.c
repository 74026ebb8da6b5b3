/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/tls_filter.h"

enum {
    TICKET_KEYS_MAX = 128,    /* bytes; OpenSSL says how many it wants */
    PEER_CHAIN_BYTES = 32768, /* of certificates that a peer may send */
    PEER_CHAIN_DEPTH = 6,
};

/* Forward secret and authenticated encryption first; CBC for desk phones that know nothing else. */
static const char *const ciphers_of_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL";

/* --- Which certificate ----------------------------------------------------------------------- */

/* The host name of a ClientHello (RFC 6066 §3); empty: it names none. */
static struct slice hello_name(SSL *ssl)
{
    const unsigned char *data;
    size_t len;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) != 1 || len < 5)
        return SLICE_EMPTY;
    size_t list = (size_t)data[0] << 8 | data[1];
    size_t name = (size_t)data[3] << 8 | data[4];
    if (list != len - 2 || data[2] != TLSEXT_NAMETYPE_host_name || name > len - 5)
        return SLICE_EMPTY;
    return (struct slice){(const char *)data + 5, name};
}

static uint32_t pair_for(const struct tls *tls, struct slice name)
{
    if (name.len > 0 && memchr(name.data, '\0', name.len) == NULL)
        for (uint32_t i = 0; i < tls->count; i++)
            if (X509_check_host(tls->certificates[i], name.data, name.len, 0, NULL) == 1)
                return i;
    return 0;
}

/* Picks the certificate while the hello is read. */
static int on_hello(SSL *ssl, int *alert, void *argument)
{
    const struct tls *tls = tls_filter_set(ssl); /* the present one: ours may be gone */

    (void)alert;
    (void)argument;
    uint32_t pair = pair_for(tls, hello_name(ssl));
    if (pair != 0 && SSL_set_SSL_CTX(ssl, tls->servers[pair]) == NULL)
        return SSL_CLIENT_HELLO_ERROR;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* --- Contexts -------------------------------------------------------------------------------- */

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1); /* one system call for a record, or for many */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, PEER_CHAIN_BYTES);
    SSL_CTX_set_verify_depth(ctx, PEER_CHAIN_DEPTH);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, ciphers_of_1_2) == 1)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

/* A name of ours for sessions: those of one set may be resumed by all its contexts. */
static bool share_sessions(SSL_CTX *ctx, void *keys, size_t len)
{
    static const unsigned char name[] = "strowger";

    SSL_CTX_set_timeout(ctx, TLS_SESSION_S);
    return SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_keys(ctx, keys, (int)len) == 1;
}

static void seen(struct tls *tls, const char *path)
{
    assert(tls->seen_count < COUNT_OF(tls->seen));
    tls_look(path, &tls->seen[tls->seen_count++]);
}

/* Asks clients for a certificate, if any are known to sign such. */
static enum err trust_clients(struct tls *tls, const struct tls_options *options,
                              struct tls_problem *problem)
{
    if (options->client_ca == NULL)
        return OK;
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    if (names == NULL)
        return ERR_MEMORY;
    X509_STORE *store = tls_store_read(options->client_ca, TLS_FILE_CLIENT_CA, problem, &names);
    enum err err = store != NULL ? OK : ERR_SYNTAX;
    int mode = SSL_VERIFY_PEER | (options->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    for (uint32_t i = 0; i < tls->count && err == OK; i++) {
        STACK_OF(X509_NAME) *own = SSL_dup_CA_list(names);
        if (own == NULL)
            err = ERR_MEMORY;
        SSL_CTX_set_client_CA_list(tls->servers[i], own);
        SSL_CTX_set1_cert_store(tls->servers[i], store);
        SSL_CTX_set_verify(tls->servers[i], mode, tls_filter_verified);
    }
    X509_STORE_free(store);
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    seen(tls, options->client_ca);
    return err;
}

static enum err trust_servers(struct tls *tls, const struct tls_options *options,
                              struct tls_problem *problem)
{
    SSL_CTX_set_verify(tls->client, SSL_VERIFY_PEER, tls_filter_verified);
    SSL_CTX_set_session_cache_mode(tls->client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->client, tls_filter_session);
    if (options->ca == NULL)
        return SSL_CTX_set_default_verify_paths(tls->client) == 1 ? OK : ERR_MEMORY;
    X509_STORE *store = tls_store_read(options->ca, TLS_FILE_CA, problem, NULL);
    if (store == NULL)
        return ERR_SYNTAX;
    SSL_CTX_set_cert_store(tls->client, store);
    seen(tls, options->ca);
    return OK;
}

/* --- Making ---------------------------------------------------------------------------------- */

/* Takes a pair in: a server context for it. */
static enum err add_pair(struct tls *tls, const struct tls_read *read)
{
    X509 *certificate = tls_read_certificate(read);
    SSL_CTX *ctx = context_new(TLS_server_method());
    if (ctx == NULL)
        return ERR_MEMORY;

    tls->servers[tls->count] = ctx;
    X509_up_ref(certificate);
    tls->certificates[tls->count++] = certificate;
    SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
    return tls_read_use(read, ctx) ? OK : ERR_SYNTAX;
}

/* Does `certificate` speak for the first host that `other` names, with another kind of key? */
static bool other_kind(const struct tls *tls, uint32_t mine, uint32_t other)
{
    X509 *certificate = tls->certificates[other];
    int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(tls->certificates[mine]));
    if (mine == other || kind == EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)))
        return false;

    GENERAL_NAMES *names =
        X509_get_ext_d2i(tls->certificates[mine], NID_subject_alt_name, NULL, NULL);
    const GENERAL_NAME *first = names != NULL ? sk_GENERAL_NAME_value(names, 0) : NULL;
    bool covers = false;
    if (first != NULL && first->type == GEN_DNS)
        covers = X509_check_host(certificate, (const char *)ASN1_STRING_get0_data(first->d.dNSName),
                                 (size_t)ASN1_STRING_length(first->d.dNSName), 0, NULL) == 1;
    GENERAL_NAMES_free(names);
    return covers;
}

/* ECDSA and RSA for one host: both go into the context of either, and the client's list decides. */
static bool join_kinds(const struct tls *tls, struct tls_read *const *reads)
{
    for (uint32_t i = 0; i < tls->count; i++)
        for (uint32_t j = 0; j < tls->count; j++)
            if (other_kind(tls, i, j) && !tls_read_use(reads[j], tls->servers[i]))
                return false;
    return true;
}

static enum err read_pairs(struct tls *tls, const struct tls_options *options,
                           struct tls_read **reads, uint32_t *count, struct tls_problem *problem)
{
    struct tls_problem late = {.file = TLS_FILE_CERTIFICATE};

    if (options->pair_count == 0) {
        reads[0] = tls_self_signed(options->names, options->name_count);
        *count = reads[0] != NULL;
        return reads[0] != NULL ? add_pair(tls, reads[0]) : ERR_MEMORY;
    }
    for (uint32_t i = 0; i < options->pair_count; i++) {
        const struct tls_pair *files = &options->pairs[i];
        seen(tls, files->certificate);
        seen(tls, files->key);
        if (!tls_pair_read(files, i, &reads[i], problem))
            return ERR_SYNTAX;
        ++*count;
        enum err err = add_pair(tls, reads[i]);
        if (err) {
            tls_say(problem, TLS_FILE_CERTIFICATE, "%s: OpenSSL does not take it",
                    files->certificate);
            return err;
        }
        char text[TLS_PROBLEM_MAX];
        if (!tls_in_time(tls_read_certificate(reads[i]), text)) {
            late.pair = i;
            tls_say(&late, TLS_FILE_CERTIFICATE, "%s: %s", files->certificate, text);
        }
    }
    *problem = late;
    return join_kinds(tls, reads) ? OK : ERR_SYNTAX;
}

static enum err open_contexts(struct tls *tls, const struct tls_options *options,
                              struct tls_problem *problem)
{
    struct tls_read *reads[TLS_PAIRS_MAX] = {0};
    uint32_t count = 0;
    unsigned char keys[TICKET_KEYS_MAX];

    enum err err = read_pairs(tls, options, reads, &count, problem);
    if (err == OK)
        tls->client = context_new(TLS_client_method());
    if (err == OK && (tls->client == NULL || !tls_read_use(reads[0], tls->client)))
        err = ERR_MEMORY; /* as a client we show the first, if we are asked */
    for (uint32_t i = 0; i < count; i++)
        tls_read_free(reads[i]);
    if (err)
        return err;

    long len = SSL_CTX_get_tlsext_ticket_keys(tls->servers[0], NULL, 0);
    if (len <= 0 || len > TICKET_KEYS_MAX || RAND_bytes(keys, (int)len) != 1)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < tls->count; i++)
        if (!share_sessions(tls->servers[i], keys, (size_t)len))
            err = ERR_MEMORY;
    OPENSSL_cleanse(keys, sizeof keys);
    if (err == OK)
        err = trust_clients(tls, options, problem);
    if (err == OK)
        err = trust_servers(tls, options, problem);
    return err;
}

enum err tls_open(const struct tls_options *options, struct tls_problem *problem, struct tls **out)
{
    assert(options->pair_count <= TLS_PAIRS_MAX);

    problem->text[0] = '\0';
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL)
        return ERR_MEMORY;
    enum err err = open_contexts(tls, options, problem);
    ERR_clear_error();
    if (err) {
        tls_free(tls);
        return err;
    }
    *out = tls;
    return OK;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    for (uint32_t i = 0; i < tls->count; i++) {
        SSL_CTX_free(tls->servers[i]);
        X509_free(tls->certificates[i]);
    }
    SSL_CTX_free(tls->client);
    free(tls);
}

bool tls_files_changed(const struct tls *tls)
{
    for (uint32_t i = 0; i < tls->seen_count; i++) {
        struct tls_seen now;
        const struct tls_seen *then = &tls->seen[i];
        if (tls_look(then->path, &now) &&
            (now.device != then->device || now.inode != then->inode || now.size != then->size ||
             now.changed_ns != then->changed_ns))
            return true;
    }
    return false;
}

void tls_look_again(struct tls *tls)
{
    for (uint32_t i = 0; i < tls->seen_count; i++) {
        struct tls_seen *then = &tls->seen[i];
        struct tls_seen now;
        if (tls_look(then->path, &now))
            *then = now;
    }
}

/* --- Checking -------------------------------------------------------------------------------- */

static bool check_pair(const struct tls_pair *files, uint32_t pair, tls_problem_fn *tell,
                       void *user)
{
    struct tls_problem problem = {0};
    struct tls_read *read = NULL;
    char text[TLS_PROBLEM_MAX];

    bool sound = tls_pair_read(files, pair, &read, &problem);
    if (sound && !tls_in_time(tls_read_certificate(read), text)) {
        problem.pair = pair;
        tls_say(&problem, TLS_FILE_CERTIFICATE, "%s: %s", files->certificate, text);
        sound = false;
    }
    if (!sound)
        tell(user, &problem);
    tls_read_free(read);
    return sound;
}

static bool check_authorities(const char *path, enum tls_file file, tls_problem_fn *tell,
                              void *user)
{
    struct tls_problem problem = {0};

    if (path == NULL)
        return true;
    X509_STORE *store = tls_store_read(path, file, &problem, NULL);
    if (store == NULL)
        tell(user, &problem);
    X509_STORE_free(store);
    return store != NULL;
}

bool tls_check(const struct tls_options *options, tls_problem_fn *tell, void *user)
{
    bool sound = true;

    for (uint32_t i = 0; i < options->pair_count; i++)
        sound = check_pair(&options->pairs[i], i, tell, user) && sound;
    sound = check_authorities(options->client_ca, TLS_FILE_CLIENT_CA, tell, user) && sound;
    return check_authorities(options->ca, TLS_FILE_CA, tell, user) && sound;
}
