/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/calls - call records, read.
 *
 * A list is made for the index of its first filter: each of the filter's values is one branch that
 * gives its newest (or oldest) rows in order, and the branches are merged. So no list sorts more
 * than its page, however many calls there are.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/call_record.h"
#include "store/internal.h"

enum {
    SQL_TEXT_MAX = 32768, /* with all values of all filters */
    NUMBER_DIGITS_MAX = 9,
};

struct field {
    const char *name;
    bool number;
};

static const struct field fields[] = {
    {"direction", false},     {"disposition", false},    {"release_party", false},
    {"sip_status", true},     {"q850_cause", true},      {"sip_call_id", false},
    {"calling_uri", false},   {"calling_number", false}, {"called_uri", false},
    {"called_number", false}, {"answered_by", false},    {"source_address", false},
};
static_assert(COUNT_OF(fields) == STORE_CALL_FILTERS_MAX, "each may be asked for");

const char *store_call_fields(void)
{
    return "direction disposition release_party sip_status q850_cause sip_call_id calling_uri "
           "calling_number called_uri called_number answered_by source_address";
}

unsigned store_call_field(struct slice name)
{
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        if (slice_equal(name, slice_of(fields[i].name)))
            return i;
    return UINT_MAX;
}

static bool read_number(struct slice text, int64_t *out)
{
    *out = 0;
    if (text.len == 0 || text.len > NUMBER_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *out = *out * 10 + (text.data[i] - '0');
    }
    return true;
}

bool store_call_value_fits(unsigned field, struct slice value)
{
    int64_t number;

    assert(field < COUNT_OF(fields));
    return !fields[field].number || read_number(value, &number);
}

/** Gives the rows of one statement, which is reset. */
static enum err walk(sqlite3_stmt *row, store_call_fn *on_call, void *user)
{
    int step = SQLITE_ERROR;
    bool more = true;

    while (more && row != NULL && (step = sqlite3_step(row)) == SQLITE_ROW)
        more = on_call(user, db_blob(row, 0));
    sqlite3_reset(row);
    return step == SQLITE_ROW || step == SQLITE_DONE ? OK : ERR_IO;
}

enum err store_load_calls(struct store *store, uint64_t ended_ms, store_call_fn *on_call,
                          void *user)
{
    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_CALL_OPEN);
    if (row != NULL)
        db_bind_u64(row, 1, ended_ms);
    enum err err = walk(row, on_call, user);
    pthread_mutex_unlock(&store->api_lock);
    return err;
}

enum err store_last_call(struct store *store, uint64_t *id)
{
    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_CALL_LAST);
    enum err err = row != NULL && sqlite3_step(row) == SQLITE_ROW ? OK : ERR_IO;
    if (err == OK)
        *id = db_u64(row, 0);
    sqlite3_reset(row);
    pthread_mutex_unlock(&store->api_lock);
    return err;
}

struct one {
    store_call_fn *on_call;
    void *user;
    bool found;
};

static bool found_one(void *user, struct slice block)
{
    struct one *one = user;

    one->found = true;
    return one->on_call(one->user, block);
}

enum err store_call_find(struct store *store, uint64_t id, store_call_fn *on_call, void *user)
{
    struct one one = {.on_call = on_call, .user = user};

    pthread_mutex_lock(&store->api_lock);
    sqlite3_stmt *row = db_statement(&store->api_db, SQL_CALL_FIND);
    if (row != NULL)
        db_bind_u64(row, 1, id);
    enum err err = walk(row, found_one, &one);
    pthread_mutex_unlock(&store->api_lock);
    return err == OK && !one.found ? ERR_NOT_FOUND : err;
}

/* ---- lists ---- */

/** The parameters are numbered in the order of filters and values; ?1 to ?3 are the bounds. */
static unsigned first_parameter(const struct store_calls_query *query, unsigned filter)
{
    unsigned number = 4;

    for (unsigned i = 0; i < filter; i++)
        number += query->filters[i].count;
    return number;
}

static void add_condition(struct builder *b, const struct store_calls_query *query, unsigned filter)
{
    unsigned number = first_parameter(query, filter);

    /* A plus keeps the planner from another index than that of the first filter. */
    builder_text(b, " AND +");
    builder_add(b, slice_of(fields[query->filters[filter].field].name));
    builder_text(b, " IN (");
    for (unsigned i = 0; i < query->filters[filter].count; i++) {
        builder_add(b, i > 0 ? SLICE(", ?") : SLICE("?"));
        builder_u64(b, number + i);
    }
    builder_char(b, ')');
}

/** One value of the first filter, or all: its rows in order. */
static void add_branch(struct builder *b, const struct store_calls_query *query, unsigned value)
{
    builder_text(b, "SELECT * FROM (SELECT id, block FROM calls WHERE id > ?1 AND id < ?2");
    if (query->live)
        builder_text(b, " AND end_time IS NULL");
    if (query->filter_count > 0) {
        builder_text(b, " AND ");
        builder_add(b, slice_of(fields[query->filters[0].field].name));
        builder_text(b, " = ?");
        builder_u64(b, first_parameter(query, 0) + value);
    }
    for (unsigned i = 1; i < query->filter_count; i++)
        add_condition(b, query, i);
    builder_add(b,
                query->up ? SLICE(" ORDER BY id LIMIT ?3)") : SLICE(" ORDER BY id DESC LIMIT ?3)"));
}

static void write_sql(struct builder *b, const struct store_calls_query *query)
{
    unsigned branches = query->filter_count > 0 ? query->filters[0].count : 1;

    builder_text(b, "SELECT block FROM (");
    for (unsigned i = 0; i < branches; i++) {
        if (i > 0)
            builder_text(b, " UNION ALL ");
        add_branch(b, query, i);
    }
    builder_add(b,
                query->up ? SLICE(") ORDER BY id LIMIT ?3") : SLICE(") ORDER BY id DESC LIMIT ?3"));
}

static void bind_values(sqlite3_stmt *row, const struct store_calls_query *query)
{
    sqlite3_bind_int64(row, 1, (sqlite3_int64)query->above);
    sqlite3_bind_int64(row, 2, query->below != 0 ? (sqlite3_int64)query->below : INT64_MAX);
    sqlite3_bind_int64(row, 3, query->limit);
    for (unsigned i = 0; i < query->filter_count; i++) {
        const struct store_call_filter *filter = &query->filters[i];
        int number = (int)first_parameter(query, i);
        for (unsigned k = 0; k < filter->count; k++) {
            int64_t value;
            if (!fields[filter->field].number) {
                db_bind_text(row, number + (int)k, filter->values[k]);
                continue;
            }
            if (read_number(filter->values[k], &value)) /* else it stays NULL, which nothing is */
                sqlite3_bind_int64(row, number + (int)k, value);
        }
    }
}

enum err store_calls_walk(struct store *store, const struct store_calls_query *query,
                          store_call_fn *on_call, void *user)
{
    char text[SQL_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);
    sqlite3_stmt *row = NULL;

    assert(query->filter_count <= STORE_CALL_FILTERS_MAX);
    write_sql(&b, query);
    if (b.overflow)
        return ERR_TOO_BIG;
    pthread_mutex_lock(&store->api_lock);
    enum err err = ERR_IO;
    if (sqlite3_prepare_v2(store->api_db.handle, text, (int)b.len, &row, NULL) == SQLITE_OK) {
        bind_values(row, query);
        err = walk(row, on_call, user);
    }
    sqlite3_finalize(row);
    pthread_mutex_unlock(&store->api_lock);
    return err;
}
