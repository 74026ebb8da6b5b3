/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/file - a file's text, and the names of digest algorithms that both files know.
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "base/slice.h"
#include "config/errors.h"

/** The whole file into memory that the caller frees. Errors are added. */
MUST_CHECK enum err file_read(const char *path, size_t max, struct config_errors *errors,
                              char **out, size_t *out_len);

/** 1 MD5, 2 SHA-256, 3 SHA-512-256; 0: unknown. Without case. */
uint8_t config_algorithm(struct slice name);
struct slice config_algorithm_name(uint8_t algorithm);

#endif
