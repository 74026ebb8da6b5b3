/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls_filter.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/hash.h"
#include "net/tls_internal.h"

enum {
    SESSIONS_MAX = 64, /* kept per worker, of peers that we dialled; the oldest makes room */
    CERTIFICATE_NAME_MAX = 128,  /* bytes of a certificate's subject in a log line */
    READS_PER_CALL = 2,          /* of the stream below; then the others have their turn */
    FRUITLESS_BYTES_MAX = 65536, /* read in a row of which nothing came out: see bio_read() */
};

/** What the next connection to the same peer may begin with. */
struct kept_session {
    uint64_t peer;        /* session_peer() */
    uint64_t turn;        /* the higher, the later it came; 0: none is here */
    SSL_SESSION *session; /* NULL: none */
};

struct tls_worker {
    const struct tls *tls;
    BIO_METHOD *bio;
    uint64_t seed;
    struct kept_session sessions[SESSIONS_MAX];
    uint32_t session_count;
    uint64_t session_turn; /* of the last that came */
};

struct tls_filter {
    struct filter filter;
    struct tls_worker *worker;
    SSL *ssl;
    bool established;    /* and, when we dialled, the peer is who he should be */
    bool wants_write;    /* OpenSSL has something that the socket did not take */
    bool ended;          /* the stream below has */
    bool spoilt;         /* after an error OpenSSL wants no more of it */
    bool drained;        /* the last read found nothing whole */
    uint8_t reads;       /* of the stream below in this call */
    uint32_t fruitless;  /* bytes read since the last that were the peer's data */
    unsigned long error; /* OpenSSL's, when it was spoilt by one */
    X509 *refused;       /* a certificate of the peer's that was not taken; NULL: none */
    long refused_for;    /* X509_V_ERR_*; X509_V_OK: it does not speak for who was dialled */
    struct addr addr;    /* dialled: of the peer */
    size_t name_len;     /* dialled: 0 or the bytes of `name` */
    char name[];
};

static void tls_close(struct filter *filter);

static struct tls_filter *self_of(struct filter *filter)
{
    return CONTAINER_OF(filter, struct tls_filter, filter);
}

static const struct tls_filter *look_at(const struct filter *filter)
{
    return (const struct tls_filter *)(const void *)filter; /* its first field */
}

/* --- Below ----------------------------------------------------------------------------------- */

static bool is_fruitless(const struct tls_filter *self)
{
    return self->fruitless > FRUITLESS_BYTES_MAX;
}

/*
 * OpenSSL reads on until there is data: new keys (RFC 8446 §4.6.3), tickets and alerts one after
 * the other would keep it, and with it the worker, for as long as the peer sends them. A handshake
 * and the largest record are far below what a peer may send without any.
 */
static int bio_read(BIO *bio, char *out, int len)
{
    struct tls_filter *self = BIO_get_data(bio);
    struct filter *below = self->filter.below;
    size_t got = 0;

    BIO_clear_retry_flags(bio);
    if (is_fruitless(self))
        return -1;
    if (self->reads == READS_PER_CALL) { /* the socket will say again that there is more */
        BIO_set_retry_read(bio);
        return -1;
    }
    self->reads++;
    switch (below->ops->read(below, out, (size_t)len, &got)) {
    case IO_DONE:
        self->fruitless += (uint32_t)got;
        return (int)got;
    case IO_AGAIN:
        BIO_set_retry_read(bio);
        return -1;
    case IO_END:
        self->ended = true;
        return 0;
    case IO_BROKEN:
    case IO_FAULT:
        return -1;
    }
    return -1;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    const struct tls_filter *self = BIO_get_data(bio);
    struct filter *below = self->filter.below;
    size_t sent = 0;

    BIO_clear_retry_flags(bio);
    switch (below->ops->write(below, (struct slice){data, (size_t)len}, &sent)) {
    case IO_DONE:
        return (int)sent;
    case IO_AGAIN:
        BIO_set_retry_write(bio);
        return -1;
    case IO_END:
    case IO_BROKEN:
    case IO_FAULT:
        return -1;
    }
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_filter *self = BIO_get_data(bio);

    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH)
        return 1;
    return command == BIO_CTRL_EOF && self->ended;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

enum err tls_worker_open(struct tls_worker **out)
{
    struct tls_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return ERR_MEMORY;

    worker->bio = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_TYPE_START, "filter");
    if (worker->bio == NULL || BIO_meth_set_read(worker->bio, bio_read) != 1 ||
        BIO_meth_set_write(worker->bio, bio_write) != 1 ||
        BIO_meth_set_ctrl(worker->bio, bio_ctrl) != 1 ||
        BIO_meth_set_create(worker->bio, bio_create) != 1) {
        tls_worker_close(worker);
        return ERR_MEMORY;
    }
    if (RAND_bytes((unsigned char *)&worker->seed, sizeof worker->seed) != 1) {
        tls_worker_close(worker);
        return ERR_IO;
    }
    *out = worker;
    return OK;
}

static void forget_session(struct tls_worker *worker, struct kept_session *place)
{
    worker->session_count -= place->session != NULL;
    SSL_SESSION_free(place->session);
    *place = (struct kept_session){0};
}

static void forget_sessions(struct tls_worker *worker)
{
    for (unsigned i = 0; i < SESSIONS_MAX; i++)
        forget_session(worker, &worker->sessions[i]);
}

void tls_worker_close(struct tls_worker *worker)
{
    if (worker == NULL)
        return;
    forget_sessions(worker);
    BIO_meth_free(worker->bio);
    free(worker);
}

void tls_worker_set(struct tls_worker *worker, const struct tls *tls)
{
    worker->tls = tls;
    forget_sessions(worker); /* made with whom we trusted before */
}

uint32_t tls_worker_sessions(const struct tls_worker *worker)
{
    return worker->session_count;
}

bool tls_worker_ready(const struct tls_worker *worker)
{
    return worker->tls != NULL;
}

const struct tls *tls_filter_set(const struct ssl_st *ssl)
{
    const struct tls_filter *self = SSL_get_app_data(ssl);
    return self->worker->tls;
}

/* --- Sessions of peers that we dialled ------------------------------------------------------- */

static uint64_t session_peer(const struct tls_filter *self)
{
    struct slice name = {self->name, self->name_len};
    struct slice addr = {(const char *)&self->addr, sizeof self->addr};

    return hash_bytes(hash_bytes(self->worker->seed, name), addr);
}

/* Where the peer's is or, if none is, where one may be put: a place that is free, or the oldest's.
 * They are few, and a handshake costs a thousand times as much as a look at all. */
static struct kept_session *session_place(struct tls_worker *worker, uint64_t peer)
{
    struct kept_session *best = &worker->sessions[0];

    for (unsigned i = 0; i < SESSIONS_MAX; i++) {
        struct kept_session *place = &worker->sessions[i];
        if (place->session != NULL && place->peer == peer)
            return place;
        if (place->turn < best->turn)
            best = place;
    }
    return best;
}

/* OpenSSL has one to be kept. 1: it is ours now. */
int tls_filter_session(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_filter *self = SSL_get_app_data(ssl);
    struct tls_worker *worker = self->worker;
    uint64_t peer = session_peer(self);
    struct kept_session *place = session_place(worker, peer);

    forget_session(worker, place);
    *place = (struct kept_session){peer, ++worker->session_turn, session};
    worker->session_count++;
    return 1;
}

/* May it still be used? What it was made with must be as good as if it were shown now. */
static bool session_lives(SSL_SESSION *session)
{
    char text[TLS_PROBLEM_MAX];
    X509 *certificate = SSL_SESSION_get0_peer(session);
    long age = (long)time(NULL) - (long)SSL_SESSION_get_time(session);

    return certificate != NULL && age >= 0 && age < TLS_SESSION_S && tls_in_time(certificate, text);
}

/* Begins with what the last connection to this peer has left. Each is used once (RFC 8446 C.4). */
static void resume(struct tls_filter *self)
{
    uint64_t peer = session_peer(self);
    struct kept_session *place = session_place(self->worker, peer);

    if (place->session == NULL || place->peer != peer)
        return;
    if (session_lives(place->session))
        SSL_set_session(self->ssl, place->session); /* without it the handshake is a whole one */
    forget_session(self->worker, place);
}

/* --- Why not --------------------------------------------------------------------------------- */

static void refuse_certificate(struct tls_filter *self, X509 *certificate, long why)
{
    if (self->refused != NULL || certificate == NULL)
        return;
    X509_up_ref(certificate);
    self->refused = certificate;
    self->refused_for = why;
}

/* OpenSSL has looked at one certificate of the peer's chain. */
int tls_filter_verified(int fine, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    X509 *wrong =
        X509_STORE_CTX_get_current_cert(store); /* of the chain: an authority's, perhaps */

    if (!fine)
        refuse_certificate(SSL_get_app_data(ssl),
                           wrong != NULL ? wrong : X509_STORE_CTX_get0_cert(store),
                           X509_STORE_CTX_get_error(store));
    return fine;
}

static void say_certificate(const struct tls_filter *self, struct builder *b)
{
    char subject[CERTIFICATE_NAME_MAX], issuer[CERTIFICATE_NAME_MAX];

    X509_NAME_oneline(X509_get_subject_name(self->refused), subject, sizeof subject);
    X509_NAME_oneline(X509_get_issuer_name(self->refused), issuer, sizeof issuer);
    builder_text(b, "the certificate of ");
    builder_add(b, slice_of(subject));
    builder_text(b, ", signed by ");
    builder_add(b, slice_of(issuer));
    builder_text(b, ": ");
    if (self->refused_for != X509_V_OK) {
        builder_add(b, slice_of(X509_verify_cert_error_string(self->refused_for)));
        return;
    }
    builder_text(b, "it speaks for ");
    tls_names_of(self->refused, b);
}

static const struct tls_filter *find_tls(const struct filter *top)
{
    while (top != NULL && top->ops->close != tls_close)
        top = top->below;
    return top != NULL ? look_at(top) : NULL;
}

bool tls_filter_explain(const struct filter *top, struct builder *b)
{
    const struct tls_filter *self = find_tls(top);
    if (self == NULL || (self->established && !self->spoilt))
        return false;

    const char *reason = ERR_reason_error_string(self->error);
    if (self->refused != NULL)
        say_certificate(self, b);
    else if (is_fruitless(self))
        builder_text(b, "the peer has sent records in a row that bear no data");
    else
        builder_add(b, slice_of(reason != NULL ? reason : "the peer has closed the connection"));
    return true;
}

/* The certificate of who has dialled us; NULL: he has shown none that holds. */
static X509 *client_certificate(const struct filter *top)
{
    const struct tls_filter *self = find_tls(top);
    bool holds = self != NULL && self->established && !self->spoilt && SSL_is_server(self->ssl) &&
                 (SSL_get_verify_mode(self->ssl) & SSL_VERIFY_PEER) != 0 &&
                 SSL_get_verify_result(self->ssl) == X509_V_OK;
    return holds ? SSL_get0_peer_certificate(self->ssl) : NULL;
}

bool tls_filter_peer_known(const struct filter *top)
{
    return client_certificate(top) != NULL;
}

bool tls_filter_speaks_for(const struct filter *top, struct slice name, const struct addr *addr)
{
    X509 *certificate = client_certificate(top);
    bool speaks = certificate != NULL && tls_speaks_for(certificate, name, addr);

    ERR_clear_error();
    return speaks;
}

bool tls_filter_resumed(const struct filter *top)
{
    const struct tls_filter *self = find_tls(top);
    return self != NULL && SSL_session_reused(self->ssl) == 1;
}

/* --- The filter's verbs ---------------------------------------------------------------------- */

/* What a call of OpenSSL that moved nothing means. */
static enum io tls_answer(struct tls_filter *self, int result)
{
    switch (SSL_get_error(self->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return IO_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        self->wants_write = true;
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return IO_END;
    case SSL_ERROR_SSL:
        self->spoilt = true;
        self->error = ERR_peek_error();
        return IO_FAULT;
    default:
        self->spoilt = true;
        return is_fruitless(self) ? IO_FAULT : IO_BROKEN;
    }
}

/* Is the peer that we dialled who he should be? His chain was verified by OpenSSL. */
static bool peer_is_right(const struct tls_filter *self)
{
    if (SSL_is_server(self->ssl))
        return true;
    X509 *certificate = SSL_get0_peer_certificate(self->ssl);
    return certificate != NULL && SSL_get_verify_result(self->ssl) == X509_V_OK &&
           tls_speaks_for(certificate, (struct slice){self->name, self->name_len}, &self->addr);
}

static enum io tls_shake_hands(struct tls_filter *self)
{
    int result = SSL_do_handshake(self->ssl);
    if (result != 1) {
        enum io io = tls_answer(self, result);
        return io == IO_END ? IO_BROKEN : io;
    }
    if (!peer_is_right(self)) {
        self->spoilt = true;
        refuse_certificate(self, SSL_get0_peer_certificate(self->ssl), X509_V_OK);
        return IO_FAULT;
    }
    self->established = true;
    return IO_DONE;
}

static enum io tls_begin(struct tls_filter *self)
{
    ERR_clear_error();
    self->wants_write = false;
    self->reads = 0;
    if (self->spoilt)
        return IO_BROKEN;
    return self->established ? IO_DONE : tls_shake_hands(self);
}

static enum io tls_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    struct tls_filter *self = self_of(filter);
    enum io io = tls_begin(self);
    if (io != IO_DONE)
        return io;

    int result = SSL_read_ex(self->ssl, buffer, capacity, got);
    self->drained = result != 1;
    if (result == 1)
        self->fruitless = 0;
    return result == 1 ? IO_DONE : tls_answer(self, result);
}

static enum io tls_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    struct tls_filter *self = self_of(filter);
    enum io io = tls_begin(self);
    if (io != IO_DONE)
        return io;

    int result = SSL_write_ex(self->ssl, bytes.data, bytes.len, sent);
    return result == 1 ? IO_DONE : tls_answer(self, result);
}

static uint32_t tls_wants(const struct filter *filter)
{
    return look_at(filter)->wants_write ? (uint32_t)EPOLLOUT : 0;
}

static bool tls_ready(const struct filter *filter)
{
    return look_at(filter)->established;
}

static enum pending tls_pending(const struct filter *filter)
{
    const struct tls_filter *self = look_at(filter);

    if (!SSL_has_pending(self->ssl))
        return PENDING_NOTHING;
    return self->drained ? PENDING_PART : PENDING_BYTES;
}

static void tls_end(struct filter *filter)
{
    struct tls_filter *self = self_of(filter);

    ERR_clear_error();
    if (self->established && !self->spoilt)
        SSL_shutdown(self->ssl);
    ERR_clear_error();
    filter->below->ops->end(filter->below);
}

static void tls_close(struct filter *filter)
{
    struct tls_filter *self = self_of(filter);

    if (self->established && !self->spoilt) /* else OpenSSL makes its session worthless */
        SSL_set_shutdown(self->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(self->ssl);
    X509_free(self->refused);
    filter->below->ops->close(filter->below);
    free(self);
    ERR_clear_error();
}

static const struct filter_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .wants = tls_wants,
    .ready = tls_ready,
    .pending = tls_pending,
    .end = tls_end,
    .close = tls_close,
};

/* --- Making ---------------------------------------------------------------------------------- */

static struct tls_filter *filter_new(struct tls_worker *worker, struct filter *below, SSL_CTX *ctx,
                                     size_t name_len)
{
    struct tls_filter *self = calloc(1, sizeof *self + name_len + 1);
    if (self == NULL)
        return NULL;

    self->filter = (struct filter){.ops = &tls_ops, .below = below};
    self->worker = worker;
    self->ssl = SSL_new(ctx);
    BIO *bio = NULL;
    if (self->ssl != NULL && SSL_set_app_data(self->ssl, self) == 1)
        bio = BIO_new(worker->bio);
    if (bio == NULL) {
        SSL_free(self->ssl);
        free(self);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, self);
    SSL_set_bio(self->ssl, bio, bio);
    return self;
}

struct filter *tls_filter_accept(struct tls_worker *worker, struct filter *below)
{
    assert(worker->tls != NULL);

    struct tls_filter *self = filter_new(worker, below, worker->tls->servers[0], 0);
    if (self == NULL)
        return NULL;
    SSL_set_accept_state(self->ssl);
    return &self->filter;
}

struct filter *tls_filter_dial(struct tls_worker *worker, struct filter *below, struct slice name,
                               const struct addr *addr)
{
    assert(worker->tls != NULL);

    struct tls_filter *self = filter_new(worker, below, worker->tls->client, name.len);
    if (self == NULL)
        return NULL;
    SSL_set_connect_state(self->ssl);
    self->addr = *addr;
    self->name_len = name.len;
    if (name.len > 0)
        memcpy(self->name, name.data, name.len);
    resume(self);
    if (name.len == 0)
        return &self->filter;
    if (SSL_set_tlsext_host_name(self->ssl, self->name) != 1) {
        SSL_free(self->ssl);
        free(self);
        ERR_clear_error();
        return NULL;
    }
    return &self->filter;
}
