/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "store/internal.h"

static_assert(USER_DIGESTS == 4, "one column per algorithm: MD5, SHA-256, SHA-512-256");

enum {
    FIRST_DIGEST = 1,
    DIGEST_COLUMN = 12
};

/* Columns of SQL_USER_LOAD that are texts, and where they go. */
#define USER_TEXTS(X)                                                                              \
    X(0, name)                                                                                     \
    X(1, display_name)                                                                             \
    X(2, title)                                                                                    \
    X(3, extension)                                                                                \
    X(4, email)                                                                                    \
    X(5, role)                                                                                     \
    X(6, caller_number)                                                                            \
    X(7, languages)                                                                                \
    X(11, realm)                                                                                   \
    X(15, forward[USER_FORWARD_ALWAYS])                                                            \
    X(16, forward[USER_FORWARD_BUSY])                                                              \
    X(17, forward[USER_FORWARD_NO_ANSWER])                                                         \
    X(18, forward[USER_FORWARD_UNREGISTERED])

static size_t text_bytes(sqlite3_stmt *row)
{
    size_t bytes = 0;
#define ADD(column, field) bytes += db_text(row, column).len;
    USER_TEXTS(ADD)
#undef ADD
    return bytes;
}

static struct slice keep(char **room, struct slice text)
{
    struct slice kept = {*room, text.len};

    if (text.len == 0)
        return SLICE_EMPTY;
    memcpy(*room, text.data, text.len);
    *room += text.len;
    return kept;
}

/* Borrows the texts from the row. */
static void read_user(sqlite3_stmt *row, struct user *user)
{
#define READ(column, field) user->field = db_text(row, column);
    USER_TEXTS(READ)
#undef READ
    user->do_not_disturb = db_u64(row, 8) != 0;
    user->disabled = db_u64(row, 9) != 0;
    user->forward_after_ms = (uint32_t)db_u64(row, 19);
    struct slice algorithms = db_blob(row, 10);
    for (size_t i = 0; i < USER_ALGORITHMS_MAX && i < algorithms.len; i++)
        user->algorithms[i] = (uint8_t)algorithms.data[i];
    for (int i = FIRST_DIGEST; i < USER_DIGESTS; i++) {
        struct slice digest = db_blob(row, DIGEST_COLUMN + i - FIRST_DIGEST);
        if (digest.len == USER_DIGEST_BYTES) {
            memcpy(user->digests[i], digest.data, USER_DIGEST_BYTES);
            user->has_digest = true;
        }
    }
}

static void keep_texts(struct user *user, char **room)
{
#define KEEP(column, field) user->field = keep(room, user->field);
    USER_TEXTS(KEEP)
#undef KEEP
}

/* All users, or the one of this name. */
static sqlite3_stmt *users_statement(struct db *db, const struct slice *name)
{
    sqlite3_stmt *row = db_statement(db, name != NULL ? SQL_USER_FIND : SQL_USER_LOAD);
    if (row != NULL && name != NULL)
        db_bind_text(row, 1, *name);
    return row;
}

/* Counts the rows, then reads them into memory of their size. */
static enum err load_users(struct db *db, const struct slice *name, struct store_users *users)
{
    sqlite3_stmt *row = users_statement(db, name);
    size_t bytes = 0;
    size_t count = 0;
    int step = SQLITE_ERROR;

    while (row != NULL && (step = sqlite3_step(row)) == SQLITE_ROW) {
        bytes += text_bytes(row);
        count++;
    }
    if (step != SQLITE_DONE)
        return ERR_IO;
    users->items = calloc(1, count * sizeof *users->items + bytes + 1);
    if (users->items == NULL)
        return ERR_MEMORY;
    char *room = (char *)(users->items + count);
    row = users_statement(db, name);
    while (row != NULL && (step = sqlite3_step(row)) == SQLITE_ROW && users->count < count) {
        struct user *user = &users->items[users->count++];
        read_user(row, user);
        keep_texts(user, &room);
    }
    sqlite3_reset(row);
    if (step != SQLITE_DONE)
        return ERR_IO;
    return db_meta_get(db, "policy_version", &users->version);
}

static enum err load(struct store *store, const struct slice *name, struct store_users **out)
{
    struct store_users *users = calloc(1, sizeof *users);
    if (users == NULL)
        return ERR_MEMORY;

    pthread_mutex_lock(&store->api_lock);
    enum err err = load_users(&store->api_db, name, users);
    pthread_mutex_unlock(&store->api_lock);
    if (err) {
        store_users_free(users);
        return err;
    }
    *out = users;
    return OK;
}

enum err store_users_load(struct store *store, struct store_users **out)
{
    return load(store, NULL, out);
}

enum err store_users_find(struct store *store, struct slice name, struct store_users **out)
{
    return load(store, &name, out);
}

void store_users_free(struct store_users *users)
{
    if (users == NULL)
        return;
    free(users->items);
    free(users);
}

/* --- Walking -------------------------------------------------------------------------------- */

/* A part of a walk: what one statement gives, after (before, downwards) a name and an extension. */
struct walk_part {
    enum db_sql sql;
    struct slice name, extension;
};

/* Before and after everything that is a name or an extension. */
static const struct slice lowest = {"", 0}, highest = {"\x7f", 1};

/* The parts of a walk, at most two: who has no extension comes before all who have one. */
static size_t walk_parts(const struct store_users_order *order, struct walk_part parts[static 2])
{
    struct slice end = order->down ? highest : lowest;
    struct slice name = order->resumes ? order->name : end;
    struct slice extension = order->resumes ? order->extension : end;
    bool in_bare = order->resumes ? order->extension.len == 0 : !order->down;
    size_t count = 0;

    if (!order->by_extension) {
        parts[0] =
            (struct walk_part){order->down ? SQL_USER_NAME_DOWN : SQL_USER_NAME_UP, name, lowest};
        return 1;
    }
    if (order->down) {
        if (!in_bare)
            parts[count++] = (struct walk_part){SQL_USER_EXTENSION_DOWN, name, extension};
        parts[count++] = (struct walk_part){SQL_USER_BARE_DOWN, in_bare ? name : highest, lowest};
        return count;
    }
    if (in_bare)
        parts[count++] = (struct walk_part){SQL_USER_BARE_UP, name, lowest};
    parts[count++] = (struct walk_part){SQL_USER_EXTENSION_UP, in_bare ? lowest : name,
                                        in_bare ? lowest : extension};
    return count;
}

/* `*enough`: on_user() said so. */
static enum err walk_part(struct db *db, const struct walk_part *part, store_user_fn *on_user,
                          void *user, bool *enough)
{
    sqlite3_stmt *row = db_statement(db, part->sql);
    int step = SQLITE_ERROR;

    if (row == NULL)
        return ERR_IO;
    db_bind_text(row, 1, part->name);
    if (sqlite3_bind_parameter_count(row) > 1)
        db_bind_text(row, 2, part->extension);
    while (!*enough && (step = sqlite3_step(row)) == SQLITE_ROW) {
        struct user found = {0};
        read_user(row, &found);
        *enough = !on_user(user, &found);
    }
    sqlite3_reset(row);
    return *enough || step == SQLITE_DONE ? OK : ERR_IO;
}

enum err store_users_walk(struct store *store, const struct store_users_order *order,
                          store_user_fn *on_user, void *user)
{
    struct walk_part parts[2];
    size_t count = walk_parts(order, parts);
    bool enough = false;
    enum err err = OK;

    pthread_mutex_lock(&store->api_lock);
    for (size_t i = 0; i < count && !err && !enough; i++)
        err = walk_part(&store->api_db, &parts[i], on_user, user, &enough);
    pthread_mutex_unlock(&store->api_lock);
    return err;
}

/* --- Changing ------------------------------------------------------------------------------- */

/* Takes out whoever is named: he is gone, or comes back whole. */
static enum err remove_user(struct db *db, const struct store_user_change *change,
                            struct store_problem *problem)
{
    struct slice name = change->user->name;
    sqlite3_stmt *statement = db_statement(db, SQL_USER_DELETE);
    if (statement == NULL)
        return ERR_IO;

    db_bind_text(statement, 1, name);
    enum err err = db_run(statement);
    if (!err && change->verb == STORE_DELETE && sqlite3_changes(db->handle) == 0)
        return problem_set(problem, ERR_NOT_FOUND, "user %.*s: there is no such user",
                           SLICE_ARG(name));
    return err;
}

static void bind_user(sqlite3_stmt *statement, const struct user *user)
{
#define BIND(column, field) db_bind_text(statement, (column) + 1, user->field);
    USER_TEXTS(BIND)
#undef BIND
    if (user->extension.len == 0)
        sqlite3_bind_null(statement, 4); /* unique, where there is one */
    db_bind_u64(statement, 9, user->do_not_disturb);
    db_bind_u64(statement, 10, user->disabled);
    db_bind_u64(statement, 20, user->forward_after_ms);
    db_bind_blob(statement, 11,
                 (struct slice){(const char *)user->algorithms, sizeof user->algorithms});
    for (int i = FIRST_DIGEST; user->has_digest && i < USER_DIGESTS; i++)
        db_bind_blob(statement, DIGEST_COLUMN + 1 + i - FIRST_DIGEST,
                     (struct slice){(const char *)user->digests[i], USER_DIGEST_BYTES});
}

static enum err put_user(struct db *db, const struct user *user, struct store_problem *problem)
{
    sqlite3_stmt *statement = db_statement(db, SQL_USER_PUT);
    if (statement == NULL)
        return ERR_IO;

    bind_user(statement, user);
    enum err err = db_run(statement);
    if (err != ERR_EXISTS)
        return err;
    if (strstr(db_message(db), "extension") == NULL)
        return problem_set(problem, ERR_CONFLICT, "user %.*s: is there twice",
                           SLICE_ARG(user->name));
    return problem_set(problem, ERR_CONFLICT, "user %.*s: extension %.*s is another user's",
                       SLICE_ARG(user->name), SLICE_ARG(user->extension));
}

/* All go first, so that two users can swap their extensions. */
static enum err change_users(struct db *db, const struct store_user_change *changes, size_t count,
                             struct store_problem *problem)
{
    for (size_t i = 0; i < count; i++) {
        enum err err = remove_user(db, &changes[i], problem);
        if (err)
            return err;
    }
    for (size_t i = 0; i < count; i++) {
        enum err err = changes[i].verb == STORE_PUT ? put_user(db, changes[i].user, problem) : OK;
        if (err)
            return err;
    }
    return OK;
}

static enum err add_history(struct db *db, struct slice who, struct slice what, uint64_t *version)
{
    enum err err = db_meta_get(db, "policy_version", version);
    if (err)
        return err;
    ++*version;
    err = db_meta_put(db, "policy_version", *version);
    if (err)
        return err;
    sqlite3_stmt *statement = db_statement(db, SQL_HISTORY_ADD);
    if (statement == NULL)
        return ERR_IO;
    db_bind_u64(statement, 1, *version);
    db_bind_u64(statement, 2, store_wall_ms());
    db_bind_text(statement, 3, who);
    db_bind_text(statement, 4, what);
    return db_run(statement);
}

static enum err apply_changes(struct db *db, const struct store_user_change *changes, size_t count,
                              struct slice who, struct slice what, struct store_problem *problem,
                              uint64_t *version)
{
    enum err err = db_do(db, SQL_BEGIN);
    if (err)
        return err;
    err = change_users(db, changes, count, problem);
    if (!err)
        err = add_history(db, who, what, version);
    return db_end(db, err);
}

enum err store_users_apply(struct store *store, const struct store_user_change *changes,
                           size_t count, struct slice who, struct slice what,
                           struct store_problem *problem, uint64_t *version)
{
    struct db *db = &store->api_db;
    uint64_t next = 0;

    pthread_mutex_lock(&store->api_lock);
    enum err err = count > 0 ? apply_changes(db, changes, count, who, what, problem, &next)
                             : db_meta_get(db, "policy_version", &next);
    if (err == ERR_IO)
        problem_set(problem, err, "the store cannot be written: %s", db_message(db));
    pthread_mutex_unlock(&store->api_lock);
    if (!err)
        *version = next;
    return err;
}

enum err store_history(struct store *store, unsigned limit, store_change_fn *on_change, void *user)
{
    int step = SQLITE_ERROR;

    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_HISTORY_LIST);
    if (row != NULL)
        db_bind_u64(row, 1, limit);
    while (row != NULL && (step = sqlite3_step(row)) == SQLITE_ROW) {
        const struct store_change change = {.version = db_u64(row, 0),
                                            .time_ms = db_u64(row, 1),
                                            .who = db_text(row, 2),
                                            .what = db_text(row, 3)};
        on_change(user, &change);
    }
    sqlite3_reset(row);
    pthread_mutex_unlock(&store->api_lock);
    return step == SQLITE_DONE ? OK : ERR_IO;
}
