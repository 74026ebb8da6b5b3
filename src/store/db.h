/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/db - SQLite: opening, migrating, and statements that are prepared once.
 *
 * A struct db is one connection. Thread: one at a time.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <sqlite3.h>

#include "store/problem.h"

enum db_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_META_GET,
    SQL_META_PUT,
    SQL_BINDING_PUT,
    SQL_BINDING_CUT,
    SQL_BINDING_CLEAN,
    SQL_BINDING_LOAD,
    SQL_CALL_PUT,
    SQL_CALL_LAST,
    SQL_CALL_OPEN, /* those that go on, or ended lately */
    SQL_CALL_FIND,
    SQL_USER_LOAD,
    SQL_USER_FIND,
    SQL_USER_NAME_UP, /* the orders of store_users_walk() */
    SQL_USER_NAME_DOWN,
    SQL_USER_EXTENSION_UP,
    SQL_USER_EXTENSION_DOWN,
    SQL_USER_BARE_UP, /* those without extension */
    SQL_USER_BARE_DOWN,
    SQL_USER_PUT,
    SQL_USER_DELETE,
    SQL_HISTORY_ADD,
    SQL_HISTORY_LIST,
    SQL_TOKEN_ADD,
    SQL_TOKEN_FIND,
    SQL_TOKEN_LIST,
    SQL_TOKEN_DELETE,
    SQL_COUNT,
};

enum {
    DB_CACHE_KIB = 32000 /* of one connection */
};

struct db {
    sqlite3 *handle;
    sqlite3_stmt *statements[SQL_COUNT];
};

/** `path` NULL: memory. `vfs` NULL: SQLite's own. Does not migrate. */
MUST_CHECK enum err db_open(struct db *db, const char *path, const char *vfs,
                            struct store_problem *problem);
void db_close(struct db *db);

/** Brings the schema up to date, each step in a transaction. ERR_CONFLICT: it is newer than we. */
MUST_CHECK enum err db_migrate(struct db *db, struct store_problem *problem);

/** The statement, ready to be bound; made at its first use. NULL: an error, see db_message(). */
MUST_CHECK sqlite3_stmt *db_statement(struct db *db, enum db_sql sql);

/** Runs a bound statement that gives no rows, and resets it. ERR_EXISTS: a key is there already. */
MUST_CHECK enum err db_run(sqlite3_stmt *statement);

/** Runs one that needs no values. */
MUST_CHECK enum err db_do(struct db *db, enum db_sql sql);

/** COMMIT; when that fails, or when `err` is one, ROLLBACK. Gives the first error. */
MUST_CHECK enum err db_end(struct db *db, enum err err);

const char *db_message(const struct db *db);

void db_bind_text(sqlite3_stmt *statement, int index, struct slice text);
void db_bind_blob(sqlite3_stmt *statement, int index, struct slice bytes);
void db_bind_u64(sqlite3_stmt *statement, int index, uint64_t value);
/** Borrowed until the next step. */
struct slice db_text(sqlite3_stmt *statement, int column);
struct slice db_blob(sqlite3_stmt *statement, int column);
uint64_t db_u64(sqlite3_stmt *statement, int column);

/** A number that is kept by name; 0 when it was never put. */
MUST_CHECK enum err db_meta_get(struct db *db, const char *name, uint64_t *out);
MUST_CHECK enum err db_meta_put(struct db *db, const char *name, uint64_t value);

#endif
