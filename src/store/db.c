/* SPDX-License-Identifier: Apache-2.0 */
#include "store/db.h"

#include <stdio.h>

#include "store/migrations.h"

enum {
    BUSY_MS = 5000
};

#define USER_COLUMNS                                                                               \
    "SELECT name, display_name, title, extension, email, role, caller_number, language,"           \
    " do_not_disturb, disabled, algorithms, realm, md5, sha_256, sha_512_256, forward_always,"     \
    " forward_busy, forward_no_answer, forward_unregistered, forward_after FROM users"

static const char *const texts[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_META_GET] = "SELECT value FROM meta WHERE name = ?1",
    [SQL_META_PUT] = "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)",
    [SQL_BINDING_PUT] = "INSERT OR REPLACE INTO bindings (aor, position, contact, expires,"
                        " registered, instance, reg_id, q, path, user_agent, call_id, cseq, params,"
                        " transport, source_address, nat, block) VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
                        " ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    [SQL_BINDING_CUT] = "DELETE FROM bindings WHERE aor = ?1 AND position >= ?2",
    [SQL_BINDING_CLEAN] = "DELETE FROM bindings WHERE aor IN (SELECT aor FROM bindings"
                          " GROUP BY aor HAVING max(expires) <= ?1)",
    [SQL_BINDING_LOAD] = "SELECT aor, block FROM bindings WHERE position = 0",
    [SQL_CALL_PUT] = "INSERT INTO calls (id, end_time, direction, disposition, release_party,"
                     " sip_status, q850_cause, sip_call_id, calling_uri, calling_number,"
                     " called_uri, called_number, answered_by, source_address, block) VALUES (?1,"
                     " ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
                     " ON CONFLICT (id) DO UPDATE SET end_time = ?2, disposition = ?4,"
                     " release_party = ?5, sip_status = ?6, q850_cause = ?7, answered_by = ?13,"
                     " block = ?15", /* the rest is known from the start */
    [SQL_CALL_LAST] = "SELECT max(id) FROM calls",
    [SQL_CALL_OPEN] = "SELECT block FROM calls WHERE end_time IS NULL"
                      " UNION ALL SELECT block FROM calls WHERE end_time >= ?1",
    [SQL_CALL_FIND] = "SELECT block FROM calls WHERE id = ?1",
    [SQL_USER_LOAD] = USER_COLUMNS " ORDER BY name",
    [SQL_USER_FIND] = USER_COLUMNS " WHERE name = ?1",
    [SQL_USER_NAME_UP] = USER_COLUMNS " WHERE name > ?1 ORDER BY name",
    [SQL_USER_NAME_DOWN] = USER_COLUMNS " WHERE name < ?1 ORDER BY name DESC",
    [SQL_USER_EXTENSION_UP] = USER_COLUMNS " WHERE (extension, name) > (?2, ?1)"
                                           " ORDER BY extension, name",
    [SQL_USER_EXTENSION_DOWN] = USER_COLUMNS " WHERE (extension, name) < (?2, ?1)"
                                             " ORDER BY extension DESC, name DESC",
    [SQL_USER_BARE_UP] = USER_COLUMNS " WHERE extension IS NULL AND name > ?1 ORDER BY name",
    [SQL_USER_BARE_DOWN] = USER_COLUMNS " WHERE extension IS NULL AND name < ?1"
                                        " ORDER BY name DESC",
    [SQL_USER_PUT] = "INSERT INTO users (name, display_name, title, extension, email, role,"
                     " caller_number, language, do_not_disturb, disabled, algorithms, realm, md5,"
                     " sha_256, sha_512_256, forward_always, forward_busy, forward_no_answer,"
                     " forward_unregistered, forward_after) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
                     " ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
    [SQL_USER_DELETE] = "DELETE FROM users WHERE name = ?1",
    [SQL_HISTORY_ADD] = "INSERT INTO history (version, time, who, what) VALUES (?1, ?2, ?3, ?4)",
    [SQL_HISTORY_LIST] = "SELECT version, time, who, what FROM history ORDER BY version DESC"
                         " LIMIT ?1",
    [SQL_TOKEN_ADD] = "INSERT INTO tokens (hash, name, role, created) VALUES (?1, ?2, ?3, ?4)",
    [SQL_TOKEN_FIND] = "SELECT name, role, created FROM tokens WHERE hash = ?1",
    [SQL_TOKEN_LIST] = "SELECT name, role, created FROM tokens ORDER BY name",
    [SQL_TOKEN_DELETE] = "DELETE FROM tokens WHERE name = ?1",
};

const char *db_message(const struct db *db)
{
    return db->handle != NULL ? sqlite3_errmsg(db->handle) : "out of memory";
}

static enum err run_text(struct db *db, const char *text)
{
    return sqlite3_exec(db->handle, text, NULL, NULL, NULL) == SQLITE_OK ? OK : ERR_IO;
}

enum err db_open(struct db *db, const char *path, const char *vfs, struct store_problem *problem)
{
    const char *name = path != NULL ? path : ":memory:";
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    *db = (struct db){0};
    enum err err = OK;
    if (sqlite3_open_v2(name, &db->handle, flags, path != NULL ? vfs : NULL) != SQLITE_OK)
        err = ERR_IO;
    if (!err) {
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        /* FULL: a commit is on the disk when it returns, and then segments may be deleted. */
        err = run_text(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                           "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"
                           "PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;"
                           "PRAGMA wal_autocheckpoint = 8000");
        char cache[64];
        snprintf(cache, sizeof cache, "PRAGMA cache_size = -%d", DB_CACHE_KIB);
        err = err == OK ? run_text(db, cache) : err;
    }
    if (err) {
        problem_set(problem, err, "%s: the database cannot be opened: %s", name, db_message(db));
        db_close(db);
    }
    return err;
}

void db_close(struct db *db)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->handle);
    *db = (struct db){0};
}

/* One number that a PRAGMA or SELECT gives. */
static enum err query_number(struct db *db, const char *text, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    enum err err = ERR_IO;

    if (sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
        err = OK;
    }
    sqlite3_finalize(statement);
    return err;
}

static enum err migrate_one(struct db *db, unsigned step)
{
    char version[128];
    snprintf(version, sizeof version, "PRAGMA user_version = %u; PRAGMA application_id = %d",
             step + 1, STORE_APPLICATION_ID);

    enum err err = db_do(db, SQL_BEGIN);
    if (err)
        return err;
    err = run_text(db, store_migrations[step]);
    if (!err)
        err = run_text(db, version);
    return db_end(db, err);
}

enum err db_migrate(struct db *db, struct store_problem *problem)
{
    int64_t version = 0;
    int64_t application = 0;
    int64_t tables = 0;
    const char *path = sqlite3_db_filename(db->handle, NULL);

    enum err err = query_number(db, "PRAGMA user_version", &version);
    if (!err)
        err = query_number(db, "PRAGMA application_id", &application);
    if (!err)
        err = query_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (err)
        return problem_set(problem, err, "%s: the database cannot be read: %s", path,
                           db_message(db));
    if (tables > 0 && application != STORE_APPLICATION_ID)
        return problem_set(problem, ERR_CONFLICT,
                           "%s: is a database, but not one of Strowger's; name another file", path);
    if (version > (int64_t)store_migrations_count)
        return problem_set(problem, ERR_CONFLICT,
                           "%s: its schema is version %lld, this program knows up to %u; run the "
                           "newer Strowger that wrote it, or bring back a backup from before",
                           path, (long long)version, store_migrations_count);
    for (unsigned step = (unsigned)version; step < store_migrations_count; step++) {
        err = migrate_one(db, step);
        if (err)
            return problem_set(problem, err, "%s: migration %u failed, nothing was changed: %s",
                               path, step + 1, db_message(db));
    }
    return OK;
}

sqlite3_stmt *db_statement(struct db *db, enum db_sql sql)
{
    sqlite3_stmt **statement = &db->statements[sql];

    if (*statement == NULL &&
        sqlite3_prepare_v3(db->handle, texts[sql], -1, SQLITE_PREPARE_PERSISTENT, statement,
                           NULL) != SQLITE_OK)
        return NULL;
    sqlite3_reset(*statement);
    return *statement;
}

enum err db_run(sqlite3_stmt *statement)
{
    int step = sqlite3_step(statement);
    int extended = sqlite3_extended_errcode(sqlite3_db_handle(statement));

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (step == SQLITE_DONE)
        return OK;
    if (extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY)
        return ERR_EXISTS;
    return ERR_IO;
}

enum err db_do(struct db *db, enum db_sql sql)
{
    sqlite3_stmt *statement = db_statement(db, sql);
    return statement != NULL ? db_run(statement) : ERR_IO;
}

enum err db_end(struct db *db, enum err err)
{
    if (!err)
        err = db_do(db, SQL_COMMIT);
    if (err && sqlite3_get_autocommit(db->handle) == 0)
        (void)run_text(db, "ROLLBACK");
    return err;
}

void db_bind_text(sqlite3_stmt *statement, int index, struct slice text)
{
    sqlite3_bind_text64(statement, index, text.len > 0 ? text.data : "", text.len, SQLITE_STATIC,
                        SQLITE_UTF8);
}

void db_bind_blob(sqlite3_stmt *statement, int index, struct slice bytes)
{
    sqlite3_bind_blob64(statement, index, bytes.len > 0 ? bytes.data : "", bytes.len,
                        SQLITE_STATIC);
}

void db_bind_u64(sqlite3_stmt *statement, int index, uint64_t value)
{
    sqlite3_bind_int64(statement, index, (sqlite3_int64)value);
}

struct slice db_text(sqlite3_stmt *statement, int column)
{
    const void *text = sqlite3_column_text(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    return text != NULL ? (struct slice){text, (size_t)len} : SLICE_EMPTY;
}

struct slice db_blob(sqlite3_stmt *statement, int column)
{
    const void *bytes = sqlite3_column_blob(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    return bytes != NULL ? (struct slice){bytes, (size_t)len} : SLICE_EMPTY;
}

uint64_t db_u64(sqlite3_stmt *statement, int column)
{
    return (uint64_t)sqlite3_column_int64(statement, column);
}

enum err db_meta_get(struct db *db, const char *name, uint64_t *out)
{
    sqlite3_stmt *statement = db_statement(db, SQL_META_GET);
    if (statement == NULL)
        return ERR_IO;

    db_bind_text(statement, 1, slice_of(name));
    int step = sqlite3_step(statement);
    *out = step == SQLITE_ROW ? db_u64(statement, 0) : 0;
    sqlite3_reset(statement);
    return step == SQLITE_ROW || step == SQLITE_DONE ? OK : ERR_IO;
}

enum err db_meta_put(struct db *db, const char *name, uint64_t value)
{
    sqlite3_stmt *statement = db_statement(db, SQL_META_PUT);
    if (statement == NULL)
        return ERR_IO;

    db_bind_text(statement, 1, slice_of(name));
    db_bind_u64(statement, 2, value);
    return db_run(statement);
}
