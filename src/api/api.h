/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - HTTP: resources, registrations, status, metrics, health (INTERFACE: /api/v1).
 *
 * Served on the control socket (mode 0600: whoever may open it is an admin) and on TCP (bearer
 * tokens with roles). Off the packet path: threads of libmicrohttpd's own; what they want of the
 * workers they get through hooks that main gives.
 *
 * Who asks and whether he may is decided from the head of a request; of a body that is refused
 * nothing is kept. Without a token, Host must be a name of ours or an address, so that no page of
 * another site reads us through a name that it points here (DNS rebinding).
 *
 * Thread:  its own two; hooks are called in them, by both at once.
 * Memory:  malloc; a body is bounded by API_BODY_MAX, connections by API_CONNECTIONS_MAX.
 * Public headers: api.h text.h
 */
#ifndef API_API_H
#define API_API_H

#include <jansson.h>

#include "api/text.h"
#include "base/addr.h"
#include "base/call_record.h"
#include "config/resources.h"
#include "loop/log.h"
#include "loop/table.h"
#include "store/store.h"

struct api;

enum {
    API_BODY_MAX = 16 << 20,    /* bytes; more: 413 */
    API_DISCARD_MAX = 64 << 20, /* bytes of a refused body that are read; then it is closed */
    API_CONNECTIONS_MAX = 256,  /* per socket; more wait until one ends */
    API_CONNECTIONS_PER_IP = 64,
    API_TIMEOUT_S = 60,     /* of an idle connection */
    API_LIMIT_DEFAULT = 50, /* items of a page */
    API_LIMIT_MAX = 1000,
    API_PROBLEM_MAX = 512,
    API_ONCE_KEY_MAX = 255,     /* bytes of an Idempotency-Key */
    API_ONCE_PER_SENDER = 64,   /* keys that are remembered; then the oldest is forgotten */
    API_ONCE_KEYS = 1024,       /* of all senders */
    API_ONCE_BYTES = 16 << 20,  /* of all answers; a quarter of it of one */
    API_ONCE_MS = 24 * 3600000, /* then it is forgotten */
};

/** A phone that can be woken (RFC 8599); the texts as they stand in its contact, escaped. */
struct api_push {
    struct slice user; /* the key of its AOR */
    struct slice provider, param, prid;
};

/** What the gateway says. */
struct api_push_answer {
    bool accepted;
    const char *outcome; /* a word; static */
    long status;         /* HTTP; 0: no answer */
    uint32_t ms;
    char text[512]; /* of its answer, or why there is none */
};

/** All borrowed; lasts as long as the api. */
struct api_config {
    bool tcp; /* serve on `listen` too */
    struct addr listen;
    const char *control;         /* path of the Unix socket */
    struct slice realm;          /* of new digests */
    const struct slice *domains; /* ours, lower case; the first is shown in AORs */
    size_t domain_count;
    struct store *store;
    struct table *location;
    struct quiesce *quiesce;
    struct log_writer *log;
    uint64_t hash_seed; /* of the location table's keys */
    resources_digest_fn *digest;
    void *user; /* of the hooks and of digest */
    /** The `status` document; the caller's to release. */
    json_t *(*status)(void *user);
    /** Writes all metrics. */
    void (*metrics)(void *user, struct api_text *out);
    bool (*ready)(void *user);
    /** All bans, sorted by name; the caller's to release. NULL: the workers cannot be reached. */
    json_t *(*bans)(void *user);
    /** Lifts one. False: the workers cannot be reached. */
    bool (*lift_ban)(void *user, const char *name, bool *found);
    /** Hangs up the call of this record. False: the workers cannot be reached. `*err`: as of
     * core_hang_up(). */
    bool (*hang_up)(void *user, const struct call_record *record, enum err *err);
    /** Asks the gateway to wake a phone, and waits for its answer. NULL: there is no gateway. */
    void (*push_test)(void *user, const struct api_push *phone, struct api_push_answer *out);
    /** The stored users have changed: makes that live, returns when it is. `problem`: why not. */
    enum err (*policy_changed)(void *user, char problem[static API_PROBLEM_MAX]);
    /** Gives back what `digest` keeps per thread; after each use. May be NULL. */
    void (*digest_done)(void *user);
};

/** Opens the sockets and starts the threads. `problem` says in words what went wrong. */
MUST_CHECK enum err api_open(const struct api_config *config, char problem[static API_PROBLEM_MAX],
                             struct api **out);
void api_close(struct api *api);

#endif
