/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block, byte by byte (host byte order: it never leaves the machine):
 *
 *   header   8   format, count, size of the block, length of the key
 *   key      n   the AOR
 *   record  58   of the first binding: fixed part, lengths of what follows
 *   remote  0, 4 or 20   address bytes, IPv6 with its zone; then `local` likewise
 *   gruu    0 or 8   since when temporary GRUUs count
 *   strings      contact, call_id, path, instance, user_agent, params
 *   record       of the second binding, and so on
 *
 * A phone behind IPv4 takes 66 bytes and its strings, 74 with GRUUs. Addresses are cut to their
 * family and no string has a terminator: a million bindings are held in memory.
 */
#include "base/binding.h"

enum {
    FORMAT = 0xb1, /* also says that it is such a block; another layout gets another number */
    STRINGS = 6,   /* per binding */
    V4_BYTES = 4,
    V6_BYTES = 16,
    SCOPE_BYTES = 4,
    GRUU_BYTES = 8,
};

enum record_flag {
    RECORD_NAT = 1 << 0,
    RECORD_FLOW_LOST = 1 << 1,
    RECORD_GRUU = 1 << 2,
    RECORD_PUSH = 1 << 3, /* what it takes stands in the contact */
    RECORD_PUSH_GONE = 1 << 4,
    RECORD_FLAGS = RECORD_NAT | RECORD_FLOW_LOST | RECORD_GRUU | RECORD_PUSH | RECORD_PUSH_GONE,
};

struct header {
    uint8_t format;
    uint8_t count;
    uint16_t aor_len;
    uint16_t size; /* of the whole block */
    uint16_t zero;
};

struct record {
    uint64_t expires_ms;
    uint64_t registered_ms;
    uint32_t cseq;
    uint32_t reg_id;
    uint32_t conn_slot;
    uint32_t conn_generation;
    uint16_t lens[STRINGS];
    uint16_t q;
    uint16_t conn_worker;
    uint16_t remote_port;
    uint16_t local_port;
    uint8_t flags; /* set of enum record_flag */
    uint8_t transport;
    uint8_t flow_flags;
    uint8_t listener;
    uint8_t remote_family;
    uint8_t local_family;
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 8, "no padding in what goes to files");
_Static_assert(sizeof(struct record) == 58, "no padding in what goes to files");

static size_t addr_bytes(uint8_t family)
{
    if (family == ADDR_V4)
        return V4_BYTES;
    return family == ADDR_V6 ? V6_BYTES + SCOPE_BYTES : 0;
}

static void addr_pack(struct builder *b, const struct addr *a)
{
    if (a->family == ADDR_V4)
        builder_add(b, (struct slice){(const char *)a->bytes, V4_BYTES});
    if (a->family != ADDR_V6)
        return;
    builder_add(b, (struct slice){(const char *)a->bytes, V6_BYTES});
    builder_add(b, (struct slice){(const char *)&a->scope, SCOPE_BYTES});
}

/* Reads what addr_pack() wrote; returns the bytes after it. */
static const char *addr_unpack(const char *at, uint8_t family, uint16_t port, struct addr *out)
{
    *out = (struct addr){.family = family, .port = port};
    if (family == ADDR_V4)
        memcpy(out->bytes, at, V4_BYTES);
    if (family == ADDR_V6) {
        memcpy(out->bytes, at, V6_BYTES);
        memcpy(&out->scope, at + V6_BYTES, SCOPE_BYTES);
    }
    return at + addr_bytes(family);
}

/* The strings of a binding, in the order in which they stand in the block. */
struct strings {
    struct slice items[STRINGS];
};

static struct strings strings_of(const struct binding *binding)
{
    return (struct strings){{binding->contact, binding->call_id, binding->path, binding->instance,
                             binding->user_agent, binding->params}};
}

size_t binding_block_begin_bytes(struct slice aor)
{
    return sizeof(struct header) + aor.len;
}

size_t binding_block_add_bytes(const struct binding *binding)
{
    size_t size = sizeof(struct record) + 2 * (V6_BYTES + SCOPE_BYTES) + GRUU_BYTES;
    const struct strings strings = strings_of(binding);
    for (size_t i = 0; i < STRINGS; i++)
        size += strings.items[i].len;
    return size;
}

void binding_block_begin(struct builder *b, struct slice aor)
{
    if (aor.len > BINDING_SET_MAX) {
        b->overflow = true;
        return;
    }
    struct header header = {.format = FORMAT, .aor_len = (uint16_t)aor.len};
    builder_add(b, (struct slice){(const char *)&header, sizeof header});
    builder_add(b, aor);
}

void binding_block_add(struct builder *b, const struct binding *binding)
{
    assert(binding->q <= 1000);
    assert(binding->flow.transport < TRANSPORT_COUNT);

    const struct strings strings = strings_of(binding);
    const struct flow *flow = &binding->flow;
    struct record record = {
        .expires_ms = binding->expires_ms,
        .registered_ms = binding->registered_ms,
        .cseq = binding->cseq,
        .reg_id = binding->reg_id,
        .conn_slot = flow->conn.id.slot,
        .conn_generation = flow->conn.id.generation,
        .q = binding->q,
        .conn_worker = flow->conn.worker,
        .remote_port = flow->remote.port,
        .local_port = flow->local.port,
        .flags = (uint8_t)((binding->nat ? RECORD_NAT : 0) |
                           (binding->flow_lost ? RECORD_FLOW_LOST : 0) |
                           (binding->gruu_since_ms != 0 ? RECORD_GRUU : 0) |
                           (binding->push ? RECORD_PUSH : 0) |
                           (binding->push_gone ? RECORD_PUSH_GONE : 0)),
        .transport = flow->transport,
        .flow_flags = flow->flags,
        .listener = flow->listener,
        .remote_family = flow->remote.family,
        .local_family = flow->local.family,
    };
    for (size_t i = 0; i < STRINGS; i++) {
        if (strings.items[i].len > BINDING_SET_MAX) {
            b->overflow = true;
            return;
        }
        record.lens[i] = (uint16_t)strings.items[i].len;
    }
    builder_add(b, (struct slice){(const char *)&record, sizeof record});
    addr_pack(b, &flow->remote);
    addr_pack(b, &flow->local);
    if (binding->gruu_since_ms != 0)
        builder_add(b, (struct slice){(const char *)&binding->gruu_since_ms, GRUU_BYTES});
    for (size_t i = 0; i < STRINGS; i++)
        builder_add(b, strings.items[i]);
}

enum err binding_block_end(struct builder *b, size_t begin, uint32_t count)
{
    assert(count <= BINDINGS_MAX);

    if (b->overflow || b->len - begin > BINDING_SET_MAX)
        return ERR_TOO_BIG;
    struct header header;
    memcpy(&header, b->data + begin, sizeof header);
    header.count = (uint8_t)count;
    header.size = (uint16_t)(b->len - begin);
    memcpy(b->data + begin, &header, sizeof header);
    return OK;
}

enum err binding_set_pack(const struct binding_set *set, struct builder *b)
{
    assert(set->count <= BINDINGS_MAX);

    size_t begin = b->len;
    binding_block_begin(b, set->aor);
    for (uint32_t i = 0; i < set->count && !b->overflow; i++)
        binding_block_add(b, &set->items[i]);
    return binding_block_end(b, begin, set->count);
}

static bool family_known(uint8_t family)
{
    return family == ADDR_NONE || family == ADDR_V4 || family == ADDR_V6;
}

/* May this record stand in a block? Its fields only, not what follows it. */
static bool record_sound(const struct record *record)
{
    if (record->q > 1000 || (record->flags & ~RECORD_FLAGS) != 0)
        return false;
    if (record->transport >= TRANSPORT_COUNT || (record->flow_flags & ~FLOW_ONLY_CONN) != 0)
        return false;
    return family_known(record->remote_family) && family_known(record->local_family);
}

/* Bytes after the record that belong to its binding. */
static size_t record_tail(const struct record *record)
{
    size_t size = addr_bytes(record->remote_family) + addr_bytes(record->local_family) +
                  ((record->flags & RECORD_GRUU) != 0 ? GRUU_BYTES : 0);
    for (size_t i = 0; i < STRINGS; i++)
        size += record->lens[i];
    return size;
}

static struct slice string_take(const char **at, uint16_t len)
{
    struct slice s = {*at, len};
    *at += len;
    return s;
}

/* Unpacks a binding whose record is `record` and whose tail begins at `at`. Returns its end. */
static const char *binding_unpack(const struct record *record, const char *at, struct binding *out)
{
    out->expires_ms = record->expires_ms;
    out->registered_ms = record->registered_ms;
    out->cseq = record->cseq;
    out->reg_id = record->reg_id;
    out->q = record->q;
    out->nat = (record->flags & RECORD_NAT) != 0;
    out->flow_lost = (record->flags & RECORD_FLOW_LOST) != 0;
    out->push = (record->flags & RECORD_PUSH) != 0;
    out->push_gone = (record->flags & RECORD_PUSH_GONE) != 0;
    out->flow = (struct flow){
        .transport = record->transport,
        .flags = record->flow_flags,
        .listener = record->listener,
        .conn = {record->conn_worker, {record->conn_slot, record->conn_generation}},
    };
    at = addr_unpack(at, record->remote_family, record->remote_port, &out->flow.remote);
    at = addr_unpack(at, record->local_family, record->local_port, &out->flow.local);
    out->gruu_since_ms = 0;
    if ((record->flags & RECORD_GRUU) != 0) {
        memcpy(&out->gruu_since_ms, at, GRUU_BYTES);
        at += GRUU_BYTES;
    }
    out->contact = string_take(&at, record->lens[0]);
    out->call_id = string_take(&at, record->lens[1]);
    out->path = string_take(&at, record->lens[2]);
    out->instance = string_take(&at, record->lens[3]);
    out->user_agent = string_take(&at, record->lens[4]);
    out->params = string_take(&at, record->lens[5]);
    return at;
}

/* A line end in a string would become a header field of somebody's making in a 200. */
static bool strings_sound(const struct binding *binding)
{
    const struct strings strings = strings_of(binding);
    for (size_t i = 0; i < STRINGS; i++)
        if (slice_find(strings.items[i], '\r') != SIZE_MAX ||
            slice_find(strings.items[i], '\n') != SIZE_MAX)
            return false;
    return binding->contact.len > 0;
}

enum err binding_set_unpack(struct slice block, struct binding_set *out)
{
    struct header header;
    if (block.len < sizeof header)
        return ERR_SYNTAX;
    memcpy(&header, block.data, sizeof header);
    if (header.format != FORMAT || header.count > BINDINGS_MAX || header.size != block.len ||
        header.zero != 0)
        return ERR_SYNTAX;

    struct slice rest = slice_from(block, sizeof header);
    if (header.aor_len > rest.len)
        return ERR_SYNTAX;
    struct slice aor = slice_take(&rest, header.aor_len);
    for (uint32_t i = 0; i < header.count; i++) {
        struct record record;
        if (rest.len < sizeof record)
            return ERR_SYNTAX;
        memcpy(&record, rest.data, sizeof record);
        (void)slice_take(&rest, sizeof record);
        if (!record_sound(&record) || record_tail(&record) > rest.len)
            return ERR_SYNTAX;
        binding_unpack(&record, rest.data, &out->items[i]);
        bool no_since = (record.flags & RECORD_GRUU) != 0 && out->items[i].gruu_since_ms == 0;
        if (no_since || !strings_sound(&out->items[i]))
            return ERR_SYNTAX;
        (void)slice_take(&rest, record_tail(&record));
    }
    if (rest.len != 0)
        return ERR_SYNTAX;
    out->aor = aor;
    out->count = header.count;
    return OK;
}

struct slice binding_block_aor(struct slice block)
{
    struct header header;
    assert(block.len >= sizeof header);
    memcpy(&header, block.data, sizeof header);
    assert(header.aor_len <= block.len - sizeof header);
    return (struct slice){block.data + sizeof header, header.aor_len};
}

uint32_t binding_count(struct slice block)
{
    struct header header = {0};
    if (block.len == 0)
        return 0;
    assert(block.len >= sizeof header);
    memcpy(&header, block.data, sizeof header);
    return header.count;
}

bool binding_next(struct slice block, uint32_t *cursor, struct binding *out)
{
    if (block.len == 0)
        return false;
    if (*cursor == 0) {
        struct header header;
        assert(block.len >= sizeof header);
        memcpy(&header, block.data, sizeof header);
        *cursor = (uint32_t)(sizeof header + header.aor_len);
    }
    if (*cursor >= block.len)
        return false;

    struct record record;
    assert(block.len - *cursor >= sizeof record);
    const char *at = block.data + *cursor;
    memcpy(&record, at, sizeof record);
    assert(record_tail(&record) <= block.len - *cursor - sizeof record);
    at = binding_unpack(&record, at + sizeof record, out);
    *cursor = (uint32_t)(at - block.data);
    return true;
}
