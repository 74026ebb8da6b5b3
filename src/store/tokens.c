/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of the API: 32 random bytes, so that a plain hash of one tells nothing about it.
 */
#include <openssl/sha.h>
#include <stdio.h>

#include "base/builder.h"
#include "store/internal.h"

enum {
    SECRET_BYTES = 32
};

/* What a token begins with, so that it is known for one when it is found somewhere. */
static const char prefix[] = "strw_";
static_assert(sizeof prefix + (size_t)2 * SECRET_BYTES <= (size_t)STORE_TOKEN_TEXT_MAX, "it fits");

static void hash_text(struct slice text, uint8_t hash[static SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)text.data, text.len, hash);
}

static void make_text(char text[static STORE_TOKEN_TEXT_MAX])
{
    uint8_t secret[SECRET_BYTES];
    struct builder b = builder_over(text, STORE_TOKEN_TEXT_MAX);

    store_random(secret, sizeof secret);
    builder_add(&b, slice_of(prefix));
    for (size_t i = 0; i < sizeof secret; i++)
        builder_hex(&b, secret[i], 2);
    builder_char(&b, '\0');
    assert(!b.overflow);
}

enum err store_token_create(struct store *store, struct slice name, struct slice role,
                            char text[static STORE_TOKEN_TEXT_MAX])
{
    char made[STORE_TOKEN_TEXT_MAX];
    uint8_t hash[SHA256_DIGEST_LENGTH];

    if (name.len == 0 || name.len > STORE_NAME_MAX || role.len > STORE_NAME_MAX)
        return ERR_TOO_BIG;
    make_text(made);
    hash_text(slice_of(made), hash);
    pthread_mutex_lock(&store->api_lock);
    enum err err = ERR_IO;
    sqlite3_stmt *statement = db_statement(&store->api_db, SQL_TOKEN_ADD);
    if (statement != NULL) {
        db_bind_blob(statement, 1, (struct slice){(const char *)hash, sizeof hash});
        db_bind_text(statement, 2, name);
        db_bind_text(statement, 3, role);
        db_bind_u64(statement, 4, store_wall_ms());
        err = db_run(statement);
    }
    pthread_mutex_unlock(&store->api_lock);
    if (!err)
        memcpy(text, made, sizeof made);
    return err;
}

static void copy_text(char out[static STORE_NAME_MAX + 1], struct slice text)
{
    size_t len = text.len < STORE_NAME_MAX ? text.len : STORE_NAME_MAX;

    if (len > 0)
        memcpy(out, text.data, len);
    out[len] = '\0';
}

static void read_token(sqlite3_stmt *row, struct store_token *token)
{
    copy_text(token->name, db_text(row, 0));
    copy_text(token->role, db_text(row, 1));
    token->created_ms = db_u64(row, 2);
}

enum err store_token_check(struct store *store, struct slice text, struct store_token *out)
{
    uint8_t hash[SHA256_DIGEST_LENGTH];
    int step = SQLITE_ERROR;

    hash_text(text, hash);
    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_TOKEN_FIND);
    if (row != NULL) {
        db_bind_blob(row, 1, (struct slice){(const char *)hash, sizeof hash});
        step = sqlite3_step(row);
        if (step == SQLITE_ROW)
            read_token(row, out);
        sqlite3_reset(row);
    }
    pthread_mutex_unlock(&store->api_lock);
    if (step == SQLITE_ROW)
        return OK;
    return step == SQLITE_DONE ? ERR_DENIED : ERR_IO;
}

enum err store_token_list(struct store *store, store_token_fn *on_token, void *user)
{
    int step = SQLITE_ERROR;

    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_TOKEN_LIST);
    while (row != NULL && (step = sqlite3_step(row)) == SQLITE_ROW) {
        struct store_token token;
        read_token(row, &token);
        on_token(user, &token);
    }
    sqlite3_reset(row);
    pthread_mutex_unlock(&store->api_lock);
    return step == SQLITE_DONE ? OK : ERR_IO;
}

enum err store_token_delete(struct store *store, struct slice name)
{
    enum err err = ERR_IO;

    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *statement = db_statement(&store->api_db, SQL_TOKEN_DELETE);
    if (statement != NULL) {
        db_bind_text(statement, 1, name);
        err = db_run(statement);
        if (!err && sqlite3_changes(store->api_db.handle) == 0)
            err = ERR_NOT_FOUND;
    }
    pthread_mutex_unlock(&store->api_lock);
    return err;
}
