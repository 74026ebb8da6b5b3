/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include "store/crc32c.h"

static const char magic[8] = "STRWJRN1";

/* A record's header as it stands in the file. */
struct raw_record {
    uint32_t length;
    uint32_t crc;
    uint64_t sequence;
    uint32_t in_group;
    uint16_t kind;
    uint16_t key_len;
};
static_assert(sizeof(struct raw_record) == RECORD_HEADER_BYTES, "no padding");

struct raw_header {
    char magic[8];
    uint64_t store;
    uint64_t first;
    uint32_t number;
    uint32_t crc;
};
static_assert(sizeof(struct raw_header) == SEGMENT_HEADER_BYTES, "no padding");

void segment_header_write(const struct segment_header *header,
                          uint8_t out[static SEGMENT_HEADER_BYTES])
{
    struct raw_header raw = {
        .store = header->store, .first = header->first, .number = header->number};
    memcpy(raw.magic, magic, sizeof magic);
    raw.crc = crc32c(0, &raw, offsetof(struct raw_header, crc));
    memcpy(out, &raw, sizeof raw);
}

enum err segment_header_read(struct slice bytes, struct segment_header *out)
{
    struct raw_header raw;

    if (bytes.len < sizeof raw)
        return ERR_SYNTAX;
    memcpy(&raw, bytes.data, sizeof raw);
    if (memcmp(raw.magic, magic, sizeof magic) != 0 ||
        raw.crc != crc32c(0, &raw, offsetof(struct raw_header, crc)) || raw.first == 0)
        return ERR_SYNTAX;
    *out = (struct segment_header){.store = raw.store, .first = raw.first, .number = raw.number};
    return OK;
}

void record_write(const struct record *record, uint8_t *out)
{
    const struct durable_op *op = &record->op;
    assert(op->key.len <= RECORD_KEY_MAX);
    assert(op->value.len <= RECORD_VALUE_MAX);

    struct raw_record raw = {
        .length = (uint32_t)record_bytes(op),
        .sequence = record->sequence,
        .in_group = record->in_group,
        .kind = op->kind,
        .key_len = (uint16_t)op->key.len,
    };
    if (op->key.len > 0)
        memcpy(out + sizeof raw, op->key.data, op->key.len);
    if (op->value.len > 0)
        memcpy(out + sizeof raw + op->key.len, op->value.data, op->value.len);
    memcpy(out, &raw, sizeof raw);
    raw.crc = crc32c(0, out + 8, raw.length - 8);
    memcpy(out, &raw, sizeof raw);
}

/* Could this be the header of a record? Cheap: the checksum comes after. */
static bool plausible(const struct raw_record *raw)
{
    return raw->length >= RECORD_HEADER_BYTES && raw->length <= RECORD_MAX &&
           raw->key_len <= RECORD_KEY_MAX && raw->key_len <= raw->length - RECORD_HEADER_BYTES &&
           raw->length - RECORD_HEADER_BYTES - raw->key_len <= RECORD_VALUE_MAX &&
           raw->sequence != 0 && raw->in_group < raw->sequence;
}

enum err record_read(struct slice bytes, struct record *out, size_t *length)
{
    struct raw_record raw;

    if (bytes.len < sizeof raw)
        return ERR_AGAIN;
    memcpy(&raw, bytes.data, sizeof raw);
    if (!plausible(&raw))
        return ERR_SYNTAX;
    if (raw.length > bytes.len)
        return ERR_AGAIN;
    if (raw.crc != crc32c(0, bytes.data + 8, raw.length - 8))
        return ERR_SYNTAX;

    const char *key = bytes.data + sizeof raw;
    *out = (struct record){
        .sequence = raw.sequence,
        .in_group = raw.in_group,
        .op = {.kind = raw.kind,
               .key = {key, raw.key_len},
               .value = {key + raw.key_len, raw.length - sizeof raw - raw.key_len}},
    };
    *length = raw.length;
    return OK;
}

bool record_later_group(struct slice bytes, uint64_t sequence)
{
    while (bytes.len >= RECORD_HEADER_BYTES) {
        struct raw_record raw;
        struct record record;
        size_t length;

        memcpy(&raw, bytes.data, sizeof raw);
        if (plausible(&raw) && raw.sequence > sequence && raw.sequence - raw.in_group > sequence &&
            record_read(bytes, &record, &length) == OK)
            return true;
        bytes = slice_from(bytes, 1);
    }
    return false;
}

enum err segment_scan(struct slice bytes, const struct segment_header *header, uint64_t limit,
                      struct segment_scan *out)
{
    struct segment_scan scan = {.bytes = SEGMENT_HEADER_BYTES, .end = header->first};

    while (scan.end < limit) {
        struct record record;
        size_t length;
        if (record_read(slice_from(bytes, scan.bytes), &record, &length) != OK ||
            record.sequence != scan.end || record.in_group > scan.end - header->first)
            break;
        scan.bytes += length;
        scan.end++;
    }
    *out = scan;
    if (scan.end == limit)
        return OK;
    if (limit != UINT64_MAX)
        return ERR_SYNTAX;
    return record_later_group(slice_from(bytes, scan.bytes), scan.end) ? ERR_SYNTAX : OK;
}
