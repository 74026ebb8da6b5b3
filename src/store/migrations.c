/* SPDX-License-Identifier: Apache-2.0 */
#include "store/migrations.h"

#include "base/slice.h"

/* A step that was released is never changed: what it got wrong is put right by a later one. */
const char *const store_migrations[] = {
    /* 1: the node's state, bindings, users, tokens of the API, the policy's history */
    "CREATE TABLE meta (\n"
    "    name TEXT NOT NULL PRIMARY KEY,\n"
    "    value INTEGER NOT NULL\n"
    ") STRICT, WITHOUT ROWID;\n"

    /* One row per binding; the first of an AOR also has the packed set of all of them. */
    "CREATE TABLE bindings (\n"
    "    aor TEXT NOT NULL,\n"
    "    position INTEGER NOT NULL,\n"
    "    contact TEXT NOT NULL,\n"
    "    expires INTEGER NOT NULL,\n"    /* ms UTC */
    "    registered INTEGER NOT NULL,\n" /* ms UTC */
    "    instance TEXT NOT NULL,\n"
    "    reg_id INTEGER NOT NULL,\n"
    "    q REAL NOT NULL,\n"
    "    path TEXT NOT NULL,\n"
    "    user_agent TEXT NOT NULL,\n"
    "    call_id TEXT NOT NULL,\n"
    "    cseq INTEGER NOT NULL,\n"
    "    params TEXT NOT NULL,\n"
    "    transport TEXT NOT NULL,\n"
    "    source_address TEXT NOT NULL,\n"
    "    nat INTEGER NOT NULL,\n"
    "    block BLOB,\n"
    "    PRIMARY KEY (aor, position)\n"
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE users (\n"
    "    name TEXT NOT NULL PRIMARY KEY,\n"
    "    display_name TEXT NOT NULL,\n"
    "    title TEXT NOT NULL,\n"
    "    extension TEXT UNIQUE,\n"
    "    email TEXT NOT NULL,\n"
    "    role TEXT NOT NULL,\n"
    "    caller_number TEXT NOT NULL,\n"
    "    language TEXT NOT NULL,\n" /* tags with commas between */
    "    do_not_disturb INTEGER NOT NULL,\n"
    "    disabled INTEGER NOT NULL,\n"
    "    algorithms BLOB NOT NULL,\n" /* one byte each */
    "    realm TEXT NOT NULL,\n"      /* of the digests */
    "    md5 BLOB,\n"
    "    sha_256 BLOB,\n"
    "    sha_512_256 BLOB\n"
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE tokens (\n"
    "    hash BLOB NOT NULL PRIMARY KEY,\n" /* SHA-256 of the text */
    "    name TEXT NOT NULL UNIQUE,\n"
    "    role TEXT NOT NULL,\n"
    "    created INTEGER NOT NULL\n" /* ms UTC */
    ") STRICT, WITHOUT ROWID;\n"

    "CREATE TABLE history (\n"
    "    version INTEGER NOT NULL PRIMARY KEY,\n"
    "    time INTEGER NOT NULL,\n" /* ms UTC */
    "    who TEXT NOT NULL,\n"
    "    what TEXT NOT NULL\n"
    ") STRICT;\n",
};

const unsigned store_migrations_count = COUNT_OF(store_migrations);
