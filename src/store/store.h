/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store - what outlives the process: a journal with receipts, SQLite behind it.
 *
 * Durable means: in the journal. Workers append operations (base/durable.h) into a ring each; the
 * journal thread writes all that is there in one write and syncs it, at once when idle and many per
 * sync under load; then the receipts come. The applier thread brings the journal into the database
 * in order, each batch a transaction that also stores the last sequence number, so that twice is
 * once; segments that are wholly applied are deleted.
 *
 * Beside the database PATH lie PATH.key (secret keys), PATH.lock and PATH-journal.d/. All have mode
 * 0600. With `path` NULL nothing is kept: receipts are given at once, users live in memory.
 *
 * Thread:  store_ops()'s append by the worker it was made for, and nothing else on the packet path;
 *          the other verbs by any thread, each waits for the disk. Receipts and log lines come on
 *          threads of the store.
 * Limits:  journal_bytes_max, pending_max and ring_bytes in the options; then append gives
 * ERR_FULL. Public headers: store.h files.h
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/durable.h"
#include "base/hash.h"
#include "base/user.h"
#include "store/files.h"

struct store;

enum {
    STORE_WORKERS_MAX = 256,
    STORE_KEY_MAX = 4096,       /* bytes of an operation's key */
    STORE_VALUE_MAX = 65535,    /* bytes of its value */
    STORE_PENDING = 65536,      /* operations of one worker without a receipt */
    STORE_RING_BYTES = 4 << 20, /* of one worker */
    STORE_APPLY_DELAY_MS = 100, /* operations gather this long before they go to the database */
    STORE_BATCH_MAX = 4096,     /* operations in one transaction */
    STORE_PROBLEM_MAX = 512,
    STORE_TOKEN_TEXT_MAX = 80,
    STORE_NAME_MAX = 64,
};

/** Bytes that a store takes at most: its buffers, and what SQLite is allowed as cache. */
size_t store_memory_max(unsigned workers, bool memory_only);

#define STORE_JOURNAL_BYTES (UINT64_C(1) << 30)

/** What went wrong, in words for the operator. */
struct store_problem {
    char text[STORE_PROBLEM_MAX]; /* empty: nothing */
};

/** The end of one operation: OK means that it is on the disk. */
struct store_receipt {
    struct id token;
    enum err err;
};

/**
 * Hears receipts of one worker in the order of its appends; borrowed until return. Called on the
 * journal thread and must not block. At most pending_max receipts of a worker are under way.
 */
typedef void store_receipts_fn(void *user, unsigned worker, const struct store_receipt *receipts,
                               size_t count);

enum store_level {
    STORE_INFO,
    STORE_WARNING,
    STORE_ERROR,
};

/** Hears a line for the log, at most a few per second. Called on any thread of the store. */
typedef void store_log_fn(void *user, enum store_level level, const char *text);

/** 0 and NULL mean the default. */
struct store_options {
    const char *path; /* the database file; NULL: memory */
    unsigned workers; /* 1..STORE_WORKERS_MAX */
    store_receipts_fn *on_receipts;
    store_log_fn *log; /* NULL: nobody listens */
    void *user;        /* of both */
    uint64_t journal_bytes_max;
    uint32_t segment_bytes; /* default 16 MiB */
    uint32_t pending_max;
    uint32_t ring_bytes; /* rounded up to a power of two */
    uint32_t apply_delay_ms;
    const struct store_files *files; /* under the journal; NULL: the system's */
    const char *vfs;                 /* under the database; NULL: SQLite's own */
};

/**
 * Opens, migrates, replays what the journal still holds, and starts the threads. Errors say why in
 * `problem`: ERR_EXISTS another process uses the store, ERR_CONFLICT its schema is newer than this
 * program, ERR_SYNTAX the journal or key file is damaged, ERR_DENIED permissions, ERR_IO.
 */
MUST_CHECK enum err store_open(const struct store_options *options, struct store_problem *problem,
                               struct store **out);

/** No append may come any more: gives the receipts that are due, applies all, and frees. */
void store_close(struct store *store);

/** Counts up by one with each open; 1 in a new store. In memory: random. */
uint32_t store_boot(const struct store *store);

/** Made by the kernel at the first start, kept since. */
struct store_keys {
    struct hash_key token; /* flow tokens */
    struct hash_key nonce;
    struct hash_key loop;
    struct hash_key hash;
    uint8_t secrets[32]; /* encrypts what we must present to others */
};
const struct store_keys *store_keys(const struct store *store);

/**
 * The way in for `worker`. append(): OK, ERR_FULL (ring, pending or journal at its limit, or
 * nothing can be written), ERR_TOO_BIG. Lasts as long as the store.
 */
struct durable_ops store_ops(struct store *store, unsigned worker);

/** Hears one AOR with its packed binding set, borrowed until return. An error ends the walk. */
typedef enum err store_bindings_fn(void *user, struct slice aor, struct slice block);

/** Walks all AORs that have a binding alive at `now_ms` (UTC); forgets the others. */
MUST_CHECK enum err store_load_bindings(struct store *store, uint64_t now_ms,
                                        store_bindings_fn *on_bindings, void *user);

/** Hears one call's record (base/call_record.h), borrowed until return. False: enough. */
typedef bool store_call_fn(void *user, struct slice block);

/** Walks the calls that go on, and those that ended at `ended_ms` (UTC) or later. */
MUST_CHECK enum err store_load_calls(struct store *store, uint64_t ended_ms, store_call_fn *on_call,
                                     void *user);
/** The largest id of a call; 0: there is none. */
MUST_CHECK enum err store_last_call(struct store *store, uint64_t *id);
/** One call. ERR_NOT_FOUND: there is none of that id. */
MUST_CHECK enum err store_call_find(struct store *store, uint64_t id, store_call_fn *on_call,
                                    void *user);

enum {
    STORE_CALL_FILTERS_MAX = 12, /* of one question */
    STORE_CALL_VALUES_MAX = 16,  /* of one filter */
};

/** A call's field is one of these values. */
struct store_call_filter {
    unsigned field; /* index: store_call_field() */
    unsigned count;
    struct slice values[STORE_CALL_VALUES_MAX];
};

/** Which calls, in the order of their start. */
struct store_calls_query {
    uint64_t above, below; /* ids, both exclusive; below 0: no bound */
    bool up;               /* the oldest first */
    bool live;             /* only those that go on */
    unsigned limit;
    unsigned filter_count;
    struct store_call_filter filters[STORE_CALL_FILTERS_MAX];
};

/** The field that calls can be filtered by; UINT_MAX: there is none of that name. */
unsigned store_call_field(struct slice name);
/** Can a call's field have this value? Some are numbers. */
bool store_call_value_fits(unsigned field, struct slice value);
/** Their names, with spaces between. Static. */
const char *store_call_fields(void);

/** Walks the calls that a query means; up to its limit. ERR_IO: the database. */
MUST_CHECK enum err store_calls_walk(struct store *store, const struct store_calls_query *query,
                                     store_call_fn *on_call, void *user);

/** All users as they are at `version` of the policy. */
struct store_users {
    struct user *items; /* ordered by name */
    size_t count;
    uint64_t version;
};

/** `*out` and all its texts are one piece of memory: store_users_free(). */
MUST_CHECK enum err store_users_load(struct store *store, struct store_users **out);
void store_users_free(struct store_users *users);
/** The same with the user of this name alone, or with none. */
MUST_CHECK enum err store_users_find(struct store *store, struct slice name,
                                     struct store_users **out);

/** In which order users are walked, and where the walk begins. */
struct store_users_order {
    bool by_extension; /* those of one, or without one: by name; else all by name */
    bool down;
    bool resumes; /* after this one, who may be gone: */
    struct slice extension, name;
};

/** One user; borrowed until return. False: enough. No other call of the store's from here. */
typedef bool store_user_fn(void *user, const struct user *found);

/** Reads users one by one, in order, until `on_user` has enough. */
MUST_CHECK enum err store_users_walk(struct store *store, const struct store_users_order *order,
                                     store_user_fn *on_user, void *user);

enum store_verb {
    STORE_PUT = 1, /* create or replace whole */
    STORE_DELETE,
};

struct store_user_change {
    enum store_verb verb;
    const struct user *user; /* for STORE_DELETE only its name counts */
};

/**
 * Makes all changes in one transaction or none, with one line of history by `who` about `what`, and
 * counts the policy's version up. ERR_NOT_FOUND: a user to delete is not there; ERR_CONFLICT: two
 * users with one extension; `problem` names him.
 */
MUST_CHECK enum err store_users_apply(struct store *store, const struct store_user_change *changes,
                                      size_t count, struct slice who, struct slice what,
                                      struct store_problem *problem, uint64_t *version);

/** One change of the policy. */
struct store_change {
    uint64_t version;
    uint64_t time_ms; /* UTC */
    struct slice who;
    struct slice what;
};
typedef void store_change_fn(void *user, const struct store_change *change);

/** The last `limit` changes, newest first. */
MUST_CHECK enum err store_history(struct store *store, unsigned limit, store_change_fn *on_change,
                                  void *user);

/** A token of the API, without its secret. */
struct store_token {
    char name[STORE_NAME_MAX + 1];
    char role[STORE_NAME_MAX + 1];
    uint64_t created_ms;
};
typedef void store_token_fn(void *user, const struct store_token *token);

/** Makes a token; its text is given once, only its hash is kept. ERR_EXISTS: the name is taken. */
MUST_CHECK enum err store_token_create(struct store *store, struct slice name, struct slice role,
                                       char text[static STORE_TOKEN_TEXT_MAX]);

/** Whose token is this? ERR_DENIED: nobody's. */
MUST_CHECK enum err store_token_check(struct store *store, struct slice text,
                                      struct store_token *out);
MUST_CHECK enum err store_token_list(struct store *store, store_token_fn *on_token, void *user);
/** ERR_NOT_FOUND: no such name. */
MUST_CHECK enum err store_token_delete(struct store *store, struct slice name);

/** Counters count from the start of the process. Read at any time, without waiting. */
struct store_status {
    bool memory;          /* keeps nothing */
    bool journal_failing; /* the last write or sync failed: an alarm */
    bool database_failing;
    uint64_t appended;     /* operations taken */
    uint64_t synced;       /* with a good receipt */
    uint64_t failed;       /* with an error receipt */
    uint64_t applied;      /* in the database, coalesced ones counted too */
    uint64_t refused_full; /* appends that got ERR_FULL */
    uint64_t refused_big;  /* and ERR_TOO_BIG */
    uint64_t syncs;        /* groups */
    uint64_t journal_errors;
    uint64_t database_errors;
    uint64_t journal_bytes; /* in segments that are there */
    uint64_t journal_bytes_max;
    uint64_t journal_depth; /* operations appended and not yet in the database */
    uint64_t pending;       /* operations without a receipt */
    uint32_t segments;
    uint32_t last_sync_us;
    uint32_t max_sync_us;
};
void store_status(const struct store *store, struct store_status *out);

/** Waits until all that has a good receipt is in the database. ERR_IO: the database is failing. */
MUST_CHECK enum err store_flush(struct store *store);

#endif
