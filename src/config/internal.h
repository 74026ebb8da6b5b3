/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/internal - a configuration on its way from the text to struct config: what the files that
 * read it share.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include "config/config.h"
#include "config/settings.h"
#include "config/values.h"
#include "config/yaml.h"

enum {
    SETTINGS_MAX = 128,
    SOCKET_PATH_MAX = 107
};

struct parser {
    const char *file;
    struct slice folder; /* of the file, with the last '/'; empty: the working folder */
    struct config_errors *errors;
    struct memory *memory; /* the result's */
    struct memory scratch; /* the tree's */
    struct config *config;
    const struct yaml_node *given[SETTINGS_MAX]; /* the value of each row of the table */
    bool failed;
};

/**
 * Says what is wrong at `node` (NULL: nowhere in particular) with `key`; the whole is not taken.
 */
void parser_wrong(struct parser *parser, const struct yaml_node *node, struct slice key,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/** A copy of `text` of the result's memory; empty, and the whole fails, where there is none. */
struct slice parser_keep(struct parser *parser, struct slice text);

/** Reads the value of one row of the table into the configuration, or says what is wrong. */
void parser_set(struct parser *parser, const struct setting *setting, const struct yaml_node *node);

/** Where the value of `key`, which is in the table, was given; NULL: nowhere. */
const struct yaml_node *parser_given(const struct parser *parser, struct slice key);

/** What more than one key must be looked at for; settings that follow from others are made. */
void parser_check(struct parser *parser);

#endif
