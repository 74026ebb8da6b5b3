/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_world.h"

enum {
    ROUNDS = 200,
    TEXT_MAX = 4096
};

struct tls_world *tls_world_open(void)
{
    static struct tls_world w;

    memset(&w, 0, sizeof w);
    snprintf(w.folder, sizeof w.folder, "/tmp/strowger-tls-XXXXXX");
    assert_non_null(mkdtemp(w.folder));
    w.authority = certificate_make("authority", NULL, 30, false, NULL);
    assert_non_null(w.authority.x509);
    assert_true(certificate_write(&w.authority, w.folder, "authority"));
    assert_int_equal(OK, tls_worker_open(&w.server_worker));
    assert_int_equal(OK, tls_worker_open(&w.client_worker));
    return &w;
}

static void remove_folder(const char *folder)
{
    char path[512];
    DIR *dir = opendir(folder);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

void tls_world_close(struct tls_world *w)
{
    tls_world_hang_up(w);
    tls_worker_close(w->server_worker);
    tls_worker_close(w->client_worker);
    tls_free(w->server_tls);
    tls_free(w->client_tls);
    certificate_free(&w->authority);
    remove_folder(w->folder);
}

void tls_world_write(struct tls_world *w, const char *name, const char *names, int days,
                     const struct certificate *issuer)
{
    struct certificate made = certificate_make(name, names, days, false, issuer);

    assert_non_null(made.x509);
    bool written = certificate_write(&made, w->folder, name);
    certificate_free(&made);
    assert_true(written);
}

const char *tls_world_path(const struct tls_world *w, const char *name, const char *end)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];

    snprintf(path, sizeof paths[0], "%s/%s.%s", w->folder, name, end);
    return path;
}

static struct tls *open_tls(const struct tls_world *w, const char *name, const char *ca)
{
    const struct slice self = SLICE("sip.example.com");
    struct tls_pair pair = {0};
    struct tls_problem problem;
    struct tls *tls = NULL;
    struct tls_options options = {.pairs = &pair, .names = &self, .name_count = 1, .ca = ca};

    if (name != NULL) {
        snprintf(pair.certificate, sizeof pair.certificate, "%s", tls_world_path(w, name, "pem"));
        snprintf(pair.key, sizeof pair.key, "%s", tls_world_path(w, name, "key"));
        options.pair_count = 1;
    }
    assert_int_equal(OK, tls_open(&options, &problem, &tls));
    return tls;
}

void tls_world_serve(struct tls_world *w, const char *name)
{
    struct tls *fresh = open_tls(w, name, NULL);

    tls_worker_set(w->server_worker, fresh);
    tls_free(w->server_tls);
    w->server_tls = fresh;
}

void tls_world_trust(struct tls_world *w, const char *name, const char *ca)
{
    struct tls *fresh = open_tls(w, name, tls_world_path(w, ca, "pem"));

    tls_worker_set(w->client_worker, fresh);
    tls_free(w->client_tls);
    w->client_tls = fresh;
}

void tls_world_connect(struct tls_world *w, const char *name)
{
    const struct addr addr = {.family = ADDR_V4, .port = 5061, .bytes = {192, 0, 2, 1}};

    tls_world_hang_up(w);
    pipe_open(&w->server_end, &w->client_end);
    w->server = tls_filter_accept(w->server_worker, &w->server_end.filter);
    w->client = tls_filter_dial(w->client_worker, &w->client_end.filter, slice_of(name), &addr);
    assert_non_null(w->server);
    assert_non_null(w->client);
}

struct tls_shake tls_world_shake(struct tls_world *w)
{
    struct tls_shake shake = {.client = IO_AGAIN, .server = IO_AGAIN};
    char byte[1];
    size_t got;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (shake.client == IO_AGAIN)
            shake.client = w->client->ops->read(w->client, byte, sizeof byte, &got);
        if (shake.server == IO_AGAIN)
            shake.server = w->server->ops->read(w->server, byte, sizeof byte, &got);
        if (shake.client != IO_AGAIN && shake.server != IO_AGAIN)
            break;
        if (w->client_end.len == 0 && w->server_end.len == 0)
            break;
    }
    shake.ready = w->client->ops->ready(w->client) && w->server->ops->ready(w->server);
    return shake;
}

static void close_filter(struct filter **filter)
{
    if (*filter != NULL)
        (*filter)->ops->close(*filter);
    *filter = NULL;
}

void tls_world_hang_up(struct tls_world *w)
{
    close_filter(&w->client);
    close_filter(&w->server);
}

void tls_world_pass(struct filter *from, struct filter *to, const char *text)
{
    struct slice rest = slice_of(text);
    char buffer[TEXT_MAX];
    size_t have = 0, count;

    assert_true(rest.len <= sizeof buffer);
    while (rest.len > 0) {
        assert_int_equal(IO_DONE, from->ops->write(from, rest, &count));
        slice_take(&rest, count);
    }
    while (have < strlen(text)) {
        assert_int_equal(IO_DONE, to->ops->read(to, buffer + have, sizeof buffer - have, &count));
        have += count;
    }
    assert_int_equal(strlen(text), have);
    assert_memory_equal(text, buffer, have);
}

const char *tls_world_why(const struct filter *filter)
{
    static char text[TEXT_MAX];
    struct builder b = builder_over(text, sizeof text - 1);

    if (!tls_filter_explain(filter, &b))
        return "";
    text[b.len] = '\0';
    return text;
}

int tls_world_set_up(void **state)
{
    struct tls_world *w = tls_world_open();

    *state = w;
    tls_world_write(w, "server", "DNS:sip.example.com,IP:192.0.2.1", 30, &w->authority);
    tls_world_serve(w, "server");
    tls_world_trust(w, NULL, "authority");
    return 0;
}

int tls_world_tear_down(void **state)
{
    tls_world_close(*state);
    return 0;
}
