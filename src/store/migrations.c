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

    /* 2: calls. The block has the whole record; the columns are what lists are filtered by. The id
     * grows with the time of the start. */
    "CREATE TABLE calls (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    end_time INTEGER,\n" /* ms UTC; NULL: it goes on */
    "    direction TEXT,\n"
    "    disposition TEXT,\n"
    "    release_party TEXT,\n"
    "    sip_status INTEGER,\n"
    "    q850_cause INTEGER,\n"
    "    sip_call_id TEXT,\n"
    "    calling_uri TEXT,\n"
    "    calling_number TEXT,\n"
    "    called_uri TEXT,\n"
    "    called_number TEXT,\n"
    "    answered_by TEXT,\n"
    "    source_address TEXT,\n"
    "    block BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE INDEX calls_end_time ON calls (end_time);\n"
    "CREATE INDEX calls_direction ON calls (direction);\n"
    "CREATE INDEX calls_disposition ON calls (disposition);\n"
    "CREATE INDEX calls_release_party ON calls (release_party);\n"
    "CREATE INDEX calls_sip_status ON calls (sip_status);\n"
    "CREATE INDEX calls_q850_cause ON calls (q850_cause);\n"
    "CREATE INDEX calls_sip_call_id ON calls (sip_call_id);\n"
    "CREATE INDEX calls_calling_uri ON calls (calling_uri);\n"
    "CREATE INDEX calls_calling_number ON calls (calling_number)"
    " WHERE calling_number IS NOT NULL;\n"
    "CREATE INDEX calls_called_uri ON calls (called_uri);\n"
    "CREATE INDEX calls_called_number ON calls (called_number)"
    " WHERE called_number IS NOT NULL;\n"
    "CREATE INDEX calls_answered_by ON calls (answered_by) WHERE answered_by IS NOT NULL;\n"
    "CREATE INDEX calls_source_address ON calls (source_address);\n",

    /* 3: where a user's calls go on; destinations, empty for none. */
    "ALTER TABLE users ADD COLUMN forward_always TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE users ADD COLUMN forward_busy TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE users ADD COLUMN forward_no_answer TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE users ADD COLUMN forward_unregistered TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE users ADD COLUMN forward_after INTEGER NOT NULL DEFAULT 0;\n", /* ms; 0: the usual
                                                                                 */
};

const unsigned store_migrations_count = COUNT_OF(store_migrations);
