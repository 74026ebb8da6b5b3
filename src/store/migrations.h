/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/migrations - the schema, step by step. `PRAGMA user_version` is the number of steps made.
 */
#ifndef STORE_MIGRATIONS_H
#define STORE_MIGRATIONS_H

/** Written into the database's header: this file is a Strowger store ("Strw"). */
enum {
    STORE_APPLICATION_ID = 0x53747277
};

extern const char *const store_migrations[];
extern const unsigned store_migrations_count;

#endif
