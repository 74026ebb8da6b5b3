/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/resources - what `apply` takes and `export` gives: users; other kinds are not built yet.
 *
 *     struct resources *resources;                 parsed and checked in itself
 *     resources_parse(&source, 1, &errors, &resources)
 *     struct resources_plan *plan;                 what it means beside what is stored
 *     resources_plan(resources, stored, count, options, &errors, &plan)
 *     ... store the plan's changes, show its passwords once ...
 *
 * Thread:  any; nothing is shared.
 * Limits:  CONFIG_TEXT_MAX bytes a text, RESOURCES_USERS_MAX users.
 */
#ifndef CONFIG_RESOURCES_H
#define CONFIG_RESOURCES_H

#include "base/user.h"
#include "config/errors.h"

enum {
    RESOURCES_USERS_MAX = 1000000,
    RESOURCES_PASSWORD_MAX = 32, /* of one that we make, with the end */
    RESOURCES_EXTENSION_MAX = 32,
    RESOURCES_TEXT_MAX = 256, /* bytes of display_name, title, email */
};

/** One text with the name it has in errors. Borrowed during the call. */
struct resources_source {
    const char *file;
    struct slice text;
};

struct resources;

/** Reads the texts; all of them are one thing. ERR_SYNTAX: see `errors`. */
MUST_CHECK enum err resources_parse(const struct resources_source *sources, size_t count,
                                    struct config_errors *errors, struct resources **out);
void resources_free(struct resources *resources);

size_t resources_user_count(const struct resources *resources);

/** Texts of files, for resources_parse(). */
struct resources_files {
    struct resources_source *items;
    size_t count;
    char **owned; /* names and texts */
};

/** Reads the files, and of folders all *.yaml and *.yml in order of their names. */
MUST_CHECK enum err resources_read_files(const char *const *paths, size_t count,
                                         struct config_errors *errors, struct resources_files *out);
void resources_files_release(struct resources_files *files);

/** A1 of a password, as stored: sip_digest_a1(). `algorithm` as in struct user. */
typedef void resources_digest_fn(void *user, int algorithm, struct slice name, struct slice realm,
                                 struct slice password, uint8_t out[USER_DIGEST_BYTES]);

struct resources_options {
    struct slice realm; /* for new digests */
    resources_digest_fn *digest;
    void *user;       /* of digest */
    bool prune_users; /* those stored that the file does not name go */
};

enum resources_verb {
    RESOURCES_CREATE = 1,
    RESOURCES_CHANGE,
    RESOURCES_LEAVE, /* as stored already */
    RESOURCES_DELETE,
};

struct resources_step {
    enum resources_verb verb;
    struct user user;                      /* whole, as it is to be stored */
    char password[RESOURCES_PASSWORD_MAX]; /* made for a new user without one; else empty */
};

/** Borrows from the resources and from `stored`: both must outlive it. */
struct resources_plan {
    struct resources_step *steps; /* in the order of the files, then deletions by name */
    size_t count;
    size_t created, changed, left, deleted;
};

/**
 * Compares with what is stored, digests the passwords, makes missing ones, and checks the whole
 * that results: extensions are unique and nobody's name. A stored password stays when the file
 * gives none. `stored` is ordered by name. ERR_CONFLICT: see `errors`.
 */
MUST_CHECK enum err resources_plan(const struct resources *resources, const struct user *stored,
                                   size_t stored_count, const struct resources_options *options,
                                   struct config_errors *errors, struct resources_plan **out);
/** Wipes passwords. */
void resources_plan_free(struct resources_plan *plan);

/** Is it a user that this one's calls go on to in that case? Then his name. */
bool resources_forward_target(const struct user *user, enum user_forward rule, struct slice *name);

/** Writes how long his phones ring before a call goes on, such as "20s". */
void resources_forward_after(struct builder *b, const struct user *user);

/**
 * Writes users as YAML that resources_parse() takes back unchanged: digests, never passwords. On
 * overflow of `b` call again with a larger one.
 */
void resources_export_users(const struct user *users, size_t count, struct builder *b);

/** A password that can be read out over the phone, from the kernel's randomness: ~80 bits. */
void resources_make_password(char out[RESOURCES_PASSWORD_MAX]);

#endif
