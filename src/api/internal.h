/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/internal - what the files of this room share.
 */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include <microhttpd.h>
#include <pthread.h>

#include "api/api.h"

enum api_role {
    API_NOBODY = 0,
    API_AGENT,   /* own phone and own calls */
    API_ANALYST, /* reads */
    API_ADMIN,   /* all */
};

/** Requests with an Idempotency-Key; see once.c. */
struct once;
struct api_once {
    pthread_mutex_t lock;
    struct once *all[API_ONCE_KEYS + 8]; /* the oldest first; owned */
    size_t count;
    size_t bytes; /* of their answers */
};

struct api_socket {
    struct api *api;
    struct MHD_Daemon *daemon;
    int fd;
    bool control;
};

struct api {
    struct api_config config;
    struct api_socket tcp, control;
    char control_path[108];
    pthread_mutex_t change; /* one change of the resources at a time */
    pthread_mutex_t reading;
    struct api_once once;
    unsigned seat; /* in the quiesce, shared by our threads under `reading` */
};

/** What is answered: one of `json` and `text`; neither with 204 and 304, or when memory was out. */
struct api_answer {
    unsigned status;
    json_t *json;         /* taken over */
    struct api_text text; /* taken over */
    const char *type;     /* of the text; NULL: application/json */
    char etag[48];        /* with quotes; empty: none */
    char allow[64];       /* of a 405 */
    bool authenticate;    /* 401: WWW-Authenticate */
};

struct api_route;

/** A request on its way; lives from its first line to its answer. */
struct api_request {
    struct api *api;
    struct MHD_Connection *connection;
    const struct api_socket *socket;
    uint64_t target_hash; /* of path and query as they came */
    const char *path;     /* decoded, without query */
    const char *method;   /* HEAD is given as GET */
    const char *name;     /* in the path, of one item: up to a `/` or its end; NULL: the list */
    const struct api_route *route;
    char *body; /* NUL behind it; NULL: none */
    size_t body_len, body_capacity;
    size_t discarded;   /* bytes of a body that nobody wants */
    bool admitted;      /* the head was judged */
    bool refused;       /* `refusal` is the answer */
    bool bad_target;    /* a NUL in the request-target: the decoded path would lie */
    bool old_version;   /* HTTP/1.0: no Host needed */
    bool token_unknown; /* one was sent, and is nobody's */
    struct api_answer refusal;
    enum api_role role;
    char who[STORE_NAME_MAX + 1];
};

/* api.c */
/** Turns `json` into `text`. */
void api_answer_write(struct api_answer *answer);

/* once.c */
void api_once_open(struct api_once *once);
void api_once_close(struct api_once *once);
/** Carries the request out; a POST with an Idempotency-Key that was carried out: its answer. */
struct api_answer api_once(struct api_request *r);
/** A token is gone: another of its name is somebody else. */
void api_once_forget(struct api_once *once, const char *token);

/* problem.c: RFC 9457 */
struct api_answer api_problem(unsigned status, const char *title, const char *field,
                              const char *format, ...) __attribute__((format(printf, 4, 5)));
/** 422 or 409 with all errors of a file, each with its place. */
struct api_answer api_config_problem(unsigned status, const struct config_errors *errors);
struct api_answer api_memory_problem(void);
const char *api_status_text(unsigned status);

/* query.c */
struct api_page {
    size_t limit;
    const char *cursor; /* NULL: the first page */
    bool bad;           /* answer `problem` */
    struct api_answer problem;
};
struct api_page api_page_of(struct api_request *r);
struct api_answer api_cursor_problem(void);
/** NULL: not there. Without a value: "". */
const char *api_query(struct api_request *r, const char *name);
const char *api_header(struct api_request *r, const char *name);
/** 1, true or nothing; 0, false. Anything else is false and answered with `*out`. */
bool api_query_flag(struct api_request *r, const char *name, bool *value, struct api_answer *out);
/** Is there a parameter that the route does not know? A typo must not mean "all" or "for real". */
bool api_query_is_known(struct api_request *r, struct api_answer *out);
/** {"items": [...], "next": CURSOR or null}; takes `items`; `next` empty: the last page. */
struct api_answer api_list(json_t *items, const char *next);
/** JSON null for an empty one. What is not UTF-8 has '?' in its place. */
json_t *api_string(struct slice s);
/** The same, but "" for an empty one. */
json_t *api_text_json(struct slice s);
json_t *api_time(uint64_t unix_ms); /* RFC 3339 */
/** A comma list in a query that names `value`? True when the query lacks it. */
bool api_matches(struct api_request *r, const char *name, struct slice value);

/* users.c */
struct api_answer api_users_list(struct api_request *r);
struct api_answer api_users_get(struct api_request *r);
struct api_answer api_users_put(struct api_request *r);
struct api_answer api_users_patch(struct api_request *r);
struct api_answer api_users_delete(struct api_request *r);
json_t *api_user_json(const struct user *user);

/* apply.c */
struct api_answer api_apply(struct api_request *r);
struct api_answer api_export(struct api_request *r);
/** How `sources` are applied. */
struct api_apply_options {
    bool prune, dry_run;
    const char *what; /* for the history */
};
/**
 * Plans `sources` against what is stored and, unless it is a dry run, stores it and makes it live.
 * Requires that `change` is held.
 */
struct api_answer api_apply_sources(struct api_request *r, const struct resources_source *sources,
                                    size_t count, const struct api_apply_options *options);
/** Stores deletions and makes them live. Requires that `change` is held. */
struct api_answer api_delete_users(struct api_request *r, const struct user *users, size_t count);

/* registrations.c */
struct api_answer api_registrations(struct api_request *r);

/* calls.c */
struct api_answer api_calls_list(struct api_request *r);
struct api_answer api_calls_get(struct api_request *r);
struct api_answer api_calls_hang_up(struct api_request *r);

/* bans.c */
struct api_answer api_bans_list(struct api_request *r);
struct api_answer api_bans_get(struct api_request *r);
struct api_answer api_bans_delete(struct api_request *r);

/* push.c */
struct api_answer api_push_test(struct api_request *r);

/* tokens.c */
struct api_answer api_tokens_list(struct api_request *r);
struct api_answer api_tokens_create(struct api_request *r);
struct api_answer api_tokens_delete(struct api_request *r);
struct api_answer api_history(struct api_request *r);

/* openapi.c */
struct api_answer api_openapi(struct api_request *r);

/* route.c */
/** The table of all paths: for dispatch and for the OpenAPI document. */
struct api_route {
    const char *method, *path; /* a path that ends in a star takes one name there */
    enum api_role role;        /* API_NOBODY: open to all */
    struct api_answer (*fn)(struct api_request *r);
    const char *query; /* the parameters it knows, with spaces between; NULL: none */
    const char *body;  /* its media type; NULL: takes none */
    const char *summary;
};
extern const struct api_route api_routes[];
extern const size_t api_route_count;

/** Finds the route and decides by the head alone. False: r->refusal is the answer. */
bool api_admit(struct api_request *r);

/* access.c */
/** Sets r->role and r->who. */
void api_identify(struct api_request *r);
/** Is Host in order, and ours where no token vouches for the one who asks? */
bool api_host_is_ours(struct api_request *r, struct api_answer *out);

#endif
