/* SPDX-License-Identifier: Apache-2.0 */
#include "store/apply.h"

#include <stdlib.h>

#include "base/binding.h"
#include "base/call_record.h"
#include "base/hash.h"

enum {
    SEEN_SLOTS = 2 * STORE_BATCH_MAX
};
static_assert((SEEN_SLOTS & (SEEN_SLOTS - 1)) == 0, "a mask picks the slot");

enum err applier_init(struct applier *applier, struct db *db, uint64_t hash_seed)
{
    *applier = (struct applier){.db = db, .hash_seed = hash_seed};
    enum err err = db_meta_get(db, "applied", &applier->applied);
    if (err)
        return err;
    applier->batch = calloc(STORE_BATCH_MAX, sizeof *applier->batch);
    applier->seen = calloc(SEEN_SLOTS, sizeof *applier->seen);
    if (applier->batch == NULL || applier->seen == NULL) {
        applier_release(applier);
        return ERR_MEMORY;
    }
    return OK;
}

void applier_release(struct applier *applier)
{
    free(applier->batch);
    free(applier->seen);
    applier->batch = NULL;
    applier->seen = NULL;
}

/* --- Bindings ------------------------------------------------------------------------------- */

static struct slice transport_name(uint8_t transport)
{
    switch ((enum transport)transport) {
    case TRANSPORT_UDP:
        return SLICE("udp");
    case TRANSPORT_TCP:
        return SLICE("tcp");
    case TRANSPORT_TLS:
        return SLICE("tls");
    case TRANSPORT_WS:
        return SLICE("ws");
    case TRANSPORT_WSS:
        return SLICE("wss");
    case TRANSPORT_NONE:
    case TRANSPORT_COUNT:
        break;
    }
    return SLICE("");
}

/* The rows of an AOR from `position` on go. */
static enum err cut_bindings(struct db *db, struct slice aor, uint32_t position)
{
    sqlite3_stmt *statement = db_statement(db, SQL_BINDING_CUT);
    if (statement == NULL)
        return ERR_IO;

    db_bind_text(statement, 1, aor);
    db_bind_u64(statement, 2, position);
    return db_run(statement);
}

static enum err put_binding(struct db *db, struct slice aor, uint32_t position,
                            const struct binding *binding, struct slice block)
{
    sqlite3_stmt *statement = db_statement(db, SQL_BINDING_PUT);
    if (statement == NULL)
        return ERR_IO;

    char address[ADDR_TEXT_MAX];
    const struct addr *remote = &binding->flow.remote;
    const char *source = remote->family != ADDR_NONE ? addr_text(remote, address) : "";
    db_bind_text(statement, 1, aor);
    db_bind_u64(statement, 2, position);
    db_bind_text(statement, 3, binding->contact);
    db_bind_u64(statement, 4, binding->expires_ms);
    db_bind_u64(statement, 5, binding->registered_ms);
    db_bind_text(statement, 6, binding->instance);
    db_bind_u64(statement, 7, binding->reg_id);
    sqlite3_bind_double(statement, 8, binding->q / 1000.0);
    db_bind_text(statement, 9, binding->path);
    db_bind_text(statement, 10, binding->user_agent);
    db_bind_text(statement, 11, binding->call_id);
    db_bind_u64(statement, 12, binding->cseq);
    db_bind_text(statement, 13, binding->params);
    db_bind_text(statement, 14, transport_name(binding->flow.transport));
    db_bind_text(statement, 15, slice_of(source));
    db_bind_u64(statement, 16, binding->nat);
    if (position == 0)
        db_bind_blob(statement, 17, block);
    return db_run(statement);
}

static enum err apply_bindings(struct applier *applier, const struct durable_op *op)
{
    if (op->value.len == 0)
        return cut_bindings(applier->db, op->key, 0);

    struct binding_set set;
    if (binding_set_unpack(op->value, &set) != OK) {
        applier->unsound++;
        return OK;
    }
    for (uint32_t i = 0; i < set.count; i++) {
        enum err err = put_binding(applier->db, op->key, i, &set.items[i], op->value);
        if (err)
            return err;
    }
    return cut_bindings(applier->db, op->key, set.count);
}

/* --- Calls ---------------------------------------------------------------------------------- */

static void bind_known(sqlite3_stmt *statement, int index, struct slice text)
{
    if (text.len > 0)
        db_bind_text(statement, index, text);
}

static void bind_word(sqlite3_stmt *statement, int index, const char *word)
{
    if (word != NULL)
        db_bind_text(statement, index, slice_of(word));
}

static void bind_number(sqlite3_stmt *statement, int index, uint64_t value)
{
    if (value != 0)
        db_bind_u64(statement, index, value);
}

static enum err apply_call(struct applier *applier, const struct durable_op *op)
{
    struct call_record *record = &applier->record;

    if (call_record_unpack(op->value, record) != OK) {
        applier->unsound++;
        return OK;
    }
    sqlite3_stmt *statement = db_statement(applier->db, SQL_CALL_PUT);
    if (statement == NULL)
        return ERR_IO;
    sqlite3_clear_bindings(statement); /* what is not known is NULL */
    db_bind_u64(statement, 1, record->id);
    bind_number(statement, 2, record->end_ms);
    bind_word(statement, 3, call_direction_name(record->direction));
    bind_word(statement, 4, call_disposition_name(record->disposition));
    bind_word(statement, 5, call_party_name(record->release_party));
    bind_number(statement, 6, record->sip_status);
    bind_number(statement, 7, record->q850_cause);
    bind_known(statement, 8, record->sip_call_id);
    bind_known(statement, 9, record->calling_uri);
    bind_known(statement, 10, record->calling_number);
    bind_known(statement, 11, record->called_uri);
    bind_known(statement, 12, record->called_number);
    bind_known(statement, 13, record->answered_by);
    bind_known(statement, 14, record->source_address);
    db_bind_blob(statement, 15, op->value);
    return db_run(statement);
}

/* --- Batches -------------------------------------------------------------------------------- */

/* Is this the first record of its kind and key that we see? */
static bool first_seen(struct applier *applier, uint32_t index)
{
    const struct durable_op *op = &applier->batch[index].op;
    uint64_t hash = hash_bytes(applier->hash_seed + op->kind, op->key);

    for (uint64_t slot = hash;; slot++) {
        uint32_t *seen = &applier->seen[slot & (SEEN_SLOTS - 1)];
        if (*seen == 0) {
            *seen = index + 1;
            return true;
        }
        const struct durable_op *other = &applier->batch[*seen - 1].op;
        if (other->kind == op->kind && slice_equal(other->key, op->key))
            return false;
    }
}

static enum err apply_one(struct applier *applier, const struct durable_op *op)
{
    switch ((enum durable_kind)op->kind) {
    case DURABLE_BINDINGS:
        return apply_bindings(applier, op);
    case DURABLE_CALL:
        return apply_call(applier, op);
    }
    applier->unsound++; /* a kind that this program does not know */
    return OK;
}

/* Of several operations with one key the last counts: it holds the whole state. */
static enum err apply_all(struct applier *applier, uint32_t count)
{
    memset(applier->seen, 0, SEEN_SLOTS * sizeof *applier->seen);
    for (uint32_t i = count; i-- > 0;) {
        if (!first_seen(applier, i))
            continue;
        enum err err = apply_one(applier, &applier->batch[i].op);
        if (err)
            return err;
    }
    return OK;
}

static enum err commit_batch(struct applier *applier, uint32_t count)
{
    uint64_t last = applier->batch[count - 1].sequence;

    enum err err = db_do(applier->db, SQL_BEGIN);
    if (err)
        return err;
    err = apply_all(applier, count);
    if (!err)
        err = db_meta_put(applier->db, "applied", last);
    err = db_end(applier->db, err);
    if (!err)
        applier->applied = last;
    return err;
}

enum err applier_batch(struct applier *applier, struct slice bytes, size_t *used)
{
    uint32_t count = 0;
    size_t offset = 0;

    while (count < STORE_BATCH_MAX && offset < bytes.len) {
        struct record *record = &applier->batch[count];
        size_t length;
        enum err err = record_read(slice_from(bytes, offset), record, &length);
        if (err == ERR_AGAIN && offset > 0)
            break;
        if (err)
            return ERR_SYNTAX;
        offset += length;
        if (record->sequence > applier->applied)
            count++;
    }
    if (count > 0) {
        enum err err = commit_batch(applier, count);
        if (err)
            return err;
    }
    *used = offset;
    return OK;
}
