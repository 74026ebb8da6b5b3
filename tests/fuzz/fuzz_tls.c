/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as the stream layer sees it. With an even first byte the rest is what a client says instead
 * of a handshake, in pieces; nothing of it may come out. With an odd one a handshake comes first,
 * with OpenSSL's client, and the rest is a script: messages both ways, cut anywhere, forged, ended
 * or reset. What comes out is what was said, up to where it was forged, and is framed as such.
 */
#include <openssl/ssl.h>
#include <stdlib.h>

#include "net/framing.h"
#include "net/tls_filter.h"
#include "pipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char message[] = "OPTIONS sip:a SIP/2.0\r\nl: 4\r\n\r\nbody";

enum {
    MESSAGE_BYTES = sizeof message - 1,
    READ_BYTES = 512,
    HEARD_MAX = 1 << 16,
    INJECTED_MAX = 16,
    ROUNDS_MAX = 100,
    OPS = 10,
};

struct peers {
    struct pipe_end server_end, client_end;
    struct filter *server;
    SSL *client;
    BIO *in, *out; /* the client's */
    bool forged;
    bool over;          /* the server has seen the end, */
    bool spoilt;        /* or a fault */
    bool cut;           /* ended or reset */
    size_t said, heard; /* by the client, at the server */
    size_t answered, arrived;
    size_t unsent; /* bytes of an answer that are to be written again */
    char text[HEARD_MAX];
};

static struct tls *tls;
static struct tls_worker *worker;
static SSL_CTX *contexts[2]; /* TLS 1.2, TLS 1.3 */

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void begin_once(void)
{
    const int versions[2] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_options options = {.pair_count = 0};
    struct tls_problem problem;

    if (tls != NULL)
        return;
    require(tls_open(&options, &problem, &tls) == OK);
    require(tls_worker_open(&worker) == OK);
    tls_worker_set(worker, tls);
    for (size_t i = 0; i < COUNT_OF(contexts); i++) {
        contexts[i] = SSL_CTX_new(TLS_client_method());
        require(contexts[i] != NULL);
        SSL_CTX_set_min_proto_version(contexts[i], versions[i]);
        SSL_CTX_set_max_proto_version(contexts[i], versions[i]);
    }
}

/* What the client says at a place of its stream: one message after the other. */
static char said_at(size_t at)
{
    return message[at % MESSAGE_BYTES];
}

/* --- The client ------------------------------------------------------------------------------ */

/* Carries what each has for the other, as far as the pipe takes it. */
static void carry(struct peers *p)
{
    struct pipe_end *far = &p->client_end;
    char buffer[4096];
    size_t sent;

    while (BIO_pending(p->out) > 0 && PIPE_BYTES - p->server_end.len >= sizeof buffer) {
        int count = BIO_read(p->out, buffer, sizeof buffer);
        require(count > 0);
        if (far->filter.ops->write(&far->filter, (struct slice){buffer, (size_t)count}, &sent) !=
            IO_DONE)
            break;
    }
    if (far->len > 0)
        require(BIO_write(p->in, far->bytes, (int)far->len) == (int)far->len);
    far->len = 0;
}

static void client_open(struct peers *p, SSL_CTX *ctx)
{
    p->client = SSL_new(ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    require(p->client != NULL && p->in != NULL && p->out != NULL);
    SSL_set_bio(p->client, p->in, p->out);
    SSL_set_connect_state(p->client);
}

static void client_says(struct peers *p, size_t count)
{
    char buffer[256];

    require(count <= sizeof buffer);
    for (size_t i = 0; i < count; i++)
        buffer[i] = said_at(p->said + i);
    if (SSL_write(p->client, buffer, (int)count) == (int)count)
        p->said += count;
    carry(p);
}

static void client_hears(struct peers *p)
{
    char buffer[READ_BYTES];
    int count;

    carry(p);
    while ((count = SSL_read(p->client, buffer, sizeof buffer)) > 0)
        for (int i = 0; i < count; i++)
            require(buffer[i] == said_at(p->arrived++));
    require(p->arrived <= p->answered);
    carry(p);
}

/* --- The server, as the connections of net/ treat it ------------------------------------------ */

/* After a fault there is nothing but faults; after the end one may still be answered. */
static void server_is_over(struct peers *p, enum io io)
{
    require(!p->spoilt || io == IO_BROKEN);
    p->over = true;
    p->spoilt |= io != IO_END;
}

static void server_hears(struct peers *p)
{
    char buffer[READ_BYTES];
    enum io io;
    size_t got;

    while ((io = p->server->ops->read(p->server, buffer, sizeof buffer, &got)) == IO_DONE) {
        require(!p->over && got > 0 && got <= sizeof buffer);
        require(p->heard + got <= p->said);
        for (size_t i = 0; i < got; i++)
            require(buffer[i] == said_at(p->heard + i));
        p->heard += got;
    }
    if (io == IO_AGAIN) /* else we would ask again and again */
        require(p->server->ops->pending(p->server) != PENDING_BYTES);
    else
        server_is_over(p, io);
}

static void server_answers(struct peers *p, size_t count, size_t room)
{
    char buffer[256];
    size_t sent;

    count = p->unsent > 0 ? p->unsent : count;
    for (size_t i = 0; i < count; i++)
        buffer[i] = said_at(p->answered + i);
    p->server_end.write_budget = room;
    enum io io = p->server->ops->write(p->server, (struct slice){buffer, count}, &sent);
    p->server_end.write_budget = SIZE_MAX;
    require(io != IO_DONE || (!p->spoilt && sent > 0 && sent <= count));
    if (io == IO_DONE)
        p->answered += sent;
    else if (io != IO_AGAIN)
        server_is_over(p, io);
    p->unsent = io == IO_AGAIN ? count : io == IO_DONE ? count - sent : 0;
}

/* --- The way between ------------------------------------------------------------------------- */

static void forge(struct peers *p, uint8_t where)
{
    struct pipe_end *end = &p->server_end;

    if (end->len == 0)
        return;
    end->bytes[where % end->len] ^= (char)(1 << where % 8);
    p->forged = true;
}

static struct slice inject(struct peers *p, struct slice script, uint8_t count)
{
    struct pipe_end *end = &p->server_end;
    struct slice piece =
        slice_take(&script, script.len < count % INJECTED_MAX ? script.len : count % INJECTED_MAX);

    if (piece.len > 0 && piece.len <= PIPE_BYTES - end->len) {
        memcpy(end->bytes + end->len, piece.data, piece.len);
        end->len += piece.len;
        p->forged = true;
    }
    return script;
}

static struct slice perform(struct peers *p, struct slice script, uint8_t op, uint8_t count)
{
    switch (op % OPS) {
    case 0:
        client_says(p, (size_t)count + 1);
        break;
    case 1:
        p->server_end.read_budget = count;
        server_hears(p);
        p->server_end.read_budget = SIZE_MAX;
        break;
    case 2:
        server_hears(p);
        break;
    case 3:
        server_answers(p, (size_t)count + 1, SIZE_MAX);
        break;
    case 4:
        server_answers(p, MESSAGE_BYTES, count);
        break;
    case 5:
        client_hears(p);
        break;
    case 6:
        forge(p, count);
        break;
    case 7:
        return inject(p, script, count);
    case 8: /* his end, in order or not */
        if (count % 2 == 0)
            SSL_shutdown(p->client);
        carry(p);
        p->server_end.ended = p->cut = true;
        break;
    case 9:
        if (count % 4 == 0)
            p->server_end.broken = p->cut = true;
        else
            SSL_key_update(p->client, SSL_KEY_UPDATE_REQUESTED);
        break;
    }
    return script;
}

static void shake_hands(struct peers *p)
{
    char byte[1];
    size_t got;

    for (unsigned i = 0; i < ROUNDS_MAX && !p->server->ops->ready(p->server); i++) {
        SSL_do_handshake(p->client);
        carry(p);
        require(p->server->ops->read(p->server, byte, sizeof byte, &got) == IO_AGAIN);
        carry(p);
    }
    require(p->server->ops->ready(p->server));
    SSL_do_handshake(p->client);
}

/* What came out is framed into just the messages that it has. */
static void frame(struct peers *p)
{
    struct framing framing = {0};
    size_t have = p->heard < HEARD_MAX ? p->heard : HEARD_MAX, count = 0, len;

    for (size_t i = 0; i < have; i++)
        p->text[i] = said_at(i);
    struct slice rest = {p->text, have};
    while (framing_next(&framing, rest, &len) == FRAMING_MESSAGE) {
        require(len == MESSAGE_BYTES);
        slice_take(&rest, len);
        count++;
    }
    require(count == have / MESSAGE_BYTES);
}

static void follow(struct peers *p, SSL_CTX *ctx, struct slice script)
{
    client_open(p, ctx);
    shake_hands(p);
    while (script.len >= 2 && p->said < HEARD_MAX) {
        struct slice op = slice_take(&script, 2);
        script = perform(p, script, (uint8_t)op.data[0], (uint8_t)op.data[1]);
    }
    server_hears(p);
    if (!p->forged && !p->cut && !p->over)
        require(p->heard == p->said || BIO_pending(p->out) > 0);
    frame(p);
    SSL_free(p->client);
}

/* Bytes instead of a handshake, so many at a time. */
static void babble(struct peers *p, struct slice bytes, size_t piece)
{
    struct pipe_end *end = &p->server_end;
    char buffer[READ_BYTES];
    size_t got;

    while (bytes.len > 0 && PIPE_BYTES - end->len >= piece) {
        struct slice some = slice_take(&bytes, bytes.len < piece ? bytes.len : piece);
        memcpy(end->bytes + end->len, some.data, some.len);
        end->len += some.len;
        require(p->server->ops->read(p->server, buffer, sizeof buffer, &got) != IO_DONE);
        require(!p->server->ops->ready(p->server));
        p->client_end.len = 0;
    }
    end->ended = true;
    require(p->server->ops->read(p->server, buffer, sizeof buffer, &got) != IO_DONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct peers p;
    if (size < 2)
        return 0;

    begin_once();
    memset(&p, 0, sizeof p - sizeof p.text);
    pipe_open(&p.server_end, &p.client_end);
    p.server = tls_filter_accept(worker, &p.server_end.filter);
    require(p.server != NULL);
    struct slice rest = {(const char *)data + 1, size - 1};
    if (data[0] % 2 == 0)
        babble(&p, rest, (size_t)data[0] / 2 + 1);
    else
        follow(&p, contexts[data[0] / 2 % 2], rest);
    p.server->ops->end(p.server);
    p.server->ops->close(p.server);
    return 0;
}
