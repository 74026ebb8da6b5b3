/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/record - the bytes of a journal segment. Pure: bytes in, structs out.
 *
 *   segment = header record*
 *
 *   header  "STRWJRN1"  8 bytes
 *           store       u64   random, made with the database: no journal meets a foreign one
 *           first       u64   sequence number of its first record
 *           number      u32   the file's own
 *           crc32c      u32   of all before
 *
 *   record  length      u32   of the whole record
 *           crc32c      u32   of all after it
 *           sequence    u64
 *           in_group    u32   how many records of its group stand before it
 *           kind        u16   enum durable_kind
 *           key_len     u16
 *           key, value        the rest
 *
 * Numbers are in host byte order, as are the blocks within: a journal does not travel.
 *
 * A group is written at once and synced before the next one is written. So a record of a later
 * group proves that all of an earlier one had been synced: damage there is damage, and not the torn
 * end of a write that nobody was told of.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "base/durable.h"

enum {
    SEGMENT_HEADER_BYTES = 32,
    RECORD_HEADER_BYTES = 24,
    RECORD_KEY_MAX = 4096,
    RECORD_VALUE_MAX = 65535,
    RECORD_MAX = RECORD_HEADER_BYTES + RECORD_KEY_MAX + RECORD_VALUE_MAX,
};

struct segment_header {
    uint64_t store;
    uint64_t first;
    uint32_t number;
};

struct record {
    uint64_t sequence;
    uint32_t in_group;
    struct durable_op op; /* borrows from the bytes */
};

static inline size_t record_bytes(const struct durable_op *op)
{
    return RECORD_HEADER_BYTES + op->key.len + op->value.len;
}

void segment_header_write(const struct segment_header *header,
                          uint8_t out[static SEGMENT_HEADER_BYTES]);

/** ERR_SYNTAX: shorter than a header, or not sound. */
MUST_CHECK enum err segment_header_read(struct slice bytes, struct segment_header *out);

/** Writes record_bytes() bytes. The key and value are within their limits. */
void record_write(const struct record *record, uint8_t *out);

/**
 * Reads the record that `bytes` begin with; `*length` is its own. ERR_AGAIN: `bytes` end within
 * it, if it is one. ERR_SYNTAX: no record.
 */
MUST_CHECK enum err record_read(struct slice bytes, struct record *out, size_t *length);

/** What a whole segment holds. */
struct segment_scan {
    uint64_t bytes; /* header and the records that count */
    uint64_t end;   /* the sequence number after the last of them */
};

/**
 * Walks the records of a segment whose `header` has been read. `limit` is the first sequence number
 * of the next segment: records from there on got an error and do not count. UINT64_MAX: there is
 * none, and a torn end is cut off. ERR_SYNTAX: a record that had been synced is missing or damaged,
 * at byte out->bytes.
 */
MUST_CHECK enum err segment_scan(struct slice bytes, const struct segment_header *header,
                                 uint64_t limit, struct segment_scan *out);

/**
 * Is there anywhere in `bytes` a sound record of a group that begins after `sequence`? Then the
 * group of `sequence` had been synced.
 */
bool record_later_group(struct slice bytes, uint64_t sequence);

#endif
