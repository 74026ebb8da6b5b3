// SPDX-License-Identifier: Apache-2.0
/*
 * A journal segment of any bytes: what is read from it is within it, in order, and the same again.
 * The input's checksums are put right first when its first byte is odd, so that what lies behind
 * them is reached too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/crc32c.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As if each record had been written as it stands. */
static void repair(uint8_t *bytes, size_t size)
{
    size_t at = SEGMENT_HEADER_BYTES;

    if (size < SEGMENT_HEADER_BYTES)
        return;
    memcpy(bytes, "STRWJRN1", 8);
    uint32_t crc = crc32c(0, bytes, SEGMENT_HEADER_BYTES - 4);
    memcpy(bytes + SEGMENT_HEADER_BYTES - 4, &crc, sizeof crc);
    while (size - at >= RECORD_HEADER_BYTES) {
        uint32_t length;
        memcpy(&length, bytes + at, sizeof length);
        if (length < RECORD_HEADER_BYTES || length > size - at)
            return;
        crc = crc32c(0, bytes + at + 8, length - 8);
        memcpy(bytes + at + 4, &crc, sizeof crc);
        at += length;
    }
}

/* What the scan says is there can be read, one after another. */
static void walk(struct slice bytes, const struct segment_header *header,
                 const struct segment_scan *scan)
{
    uint64_t sequence = header->first;
    size_t at = SEGMENT_HEADER_BYTES;

    while (at < scan->bytes) {
        struct record record;
        size_t length;
        if (record_read(slice_from(bytes, at), &record, &length) != OK)
            abort();
        if (record.sequence != sequence++ || record.op.value.data < bytes.data ||
            record.op.value.data + record.op.value.len > bytes.data + bytes.len ||
            record.op.key.data + record.op.key.len != record.op.value.data)
            abort();
        uint8_t *again = malloc(length);
        if (again == NULL)
            abort();
        record_write(&record, again);
        if (memcmp(again, bytes.data + at, length) != 0)
            abort();
        free(again);
        at += length;
    }
    if (at != scan->bytes || sequence != scan->end)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_header header;
    struct segment_scan scan;

    if (size < 2)
        return 0;
    uint8_t *bytes = malloc(size - 2);
    if (bytes == NULL)
        return 0;
    memcpy(bytes, data + 2, size - 2);
    if (data[0] & 1)
        repair(bytes, size - 2);
    struct slice whole = {(const char *)bytes, size - 2};
    if (segment_header_read(whole, &header) == OK) {
        uint64_t limit = data[1] == 0 ? UINT64_MAX : header.first + data[1];
        if (limit >= header.first) {
            enum err err = segment_scan(whole, &header, limit, &scan);
            if (err == OK || err == ERR_SYNTAX)
                walk(whole, &header, &scan);
        }
    }
    free(bytes);
    return 0;
}
