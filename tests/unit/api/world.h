/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world - a real api on a control socket and a loopback port, over a store in memory, with hooks
 * that only count; and a client that sends bytes as they are.
 */
#ifndef TESTS_API_WORLD_H
#define TESTS_API_WORLD_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "api/api.h"
#include "loop/quiesce.h"

struct world {
    char folder[64], control[96];
    struct addr listen;
    struct store *store;
    struct table *table;
    struct quiesce quiesce;
    struct slice domains[2];
    struct api_config config;
    struct api *api;
    unsigned policy_changes; /* under the api's lock */
    bool policy_fails, ready, workers_silent;
    bool lifted; /* the ban of alice */
    char admin[STORE_TOKEN_TEXT_MAX], analyst[STORE_TOKEN_TEXT_MAX], agent[STORE_TOKEN_TEXT_MAX];
};

int world_setup(void **state);
int world_teardown(void **state);

/** A response, taken apart. Owned: reply_free(). */
struct reply {
    int status; /* 0: closed without one */
    char *all;  /* as it came */
    char *body; /* in `all` */
    json_t *json;
};
void reply_free(struct reply *reply);
/** The value of a header, up to the end of its line; NULL: none. */
const char *reply_header(const struct reply *reply, const char *name);
const char *reply_text(const struct reply *reply, const char *member);

/** An open connection: to TCP or to the control socket. */
int world_connect(struct world *world, bool control);
void world_send(int fd, const char *bytes, size_t len);
/** Reads to the end and closes. */
struct reply world_read(int fd);

/** The bytes as they are, over TCP. */
struct reply ask_raw(struct world *world, const char *request);
/** Over TCP with a token (NULL: none); `headers` are whole lines with CRLF; `body` may be NULL. */
struct reply ask(struct world *world, const char *token, const char *method, const char *path,
                 const char *headers, const char *body);
/** Over the control socket. */
struct reply ask_control(struct world *world, const char *method, const char *path,
                         const char *headers, const char *body);

/** Asks as admin, checks the status, gives the document (the caller's). */
json_t *expect(struct world *world, int status, const char *method, const char *path,
               const char *headers, const char *body);
/** Users from YAML, over apply. */
void apply(struct world *world, const char *yaml);
/** `count` bindings of one AOR. */
void bind_aor(struct world *world, const char *aor, unsigned count);

#endif
