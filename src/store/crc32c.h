/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store/crc32c - the checksum of journal records (Castagnoli; RFC 3720 §B.4 has test values).
 */
#ifndef STORE_CRC32C_H
#define STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** Goes on from `crc`, 0 at first. Uses the processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

/** The same, by table: for comparison. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len);

#endif
