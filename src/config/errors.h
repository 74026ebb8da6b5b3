/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/errors - everything that is wrong, at once, each with its place.
 */
#ifndef CONFIG_ERRORS_H
#define CONFIG_ERRORS_H

#include "base/builder.h"
#include "base/err.h"

enum {
    CONFIG_ERRORS_MAX = 200,
    CONFIG_ERROR_TEXT_MAX = 512,
    CONFIG_KEY_MAX = 128,
    CONFIG_FILE_MAX = 256,
};

struct config_error {
    char file[CONFIG_FILE_MAX];
    unsigned line;                    /* from 1; 0: the file as a whole */
    unsigned column;                  /* from 1 */
    char key[CONFIG_KEY_MAX];         /* such as auth.realm or users.alice.extension; empty: none */
    char text[CONFIG_ERROR_TEXT_MAX]; /* what is wrong; what to do */
};

/** Zeroed at first. */
struct config_errors {
    struct config_error *items; /* in the order of the files and lines */
    size_t count;
    size_t dropped; /* that came after CONFIG_ERRORS_MAX, or when memory was out */
};

void config_errors_release(struct config_errors *errors);

/** Adds one; `key` may be NULL. As printf. */
void config_errors_add(struct config_errors *errors, const char *file, unsigned line,
                       unsigned column, const char *key, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/** Brings neighbours of one file into the order of its lines. */
void config_errors_sort(struct config_errors *errors);

/** "file:line:column: error: key: text", without a newline. */
void config_error_write(const struct config_error *error, struct builder *b);

#endif
