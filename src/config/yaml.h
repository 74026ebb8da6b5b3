/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/yaml - a YAML text as a tree that knows where everything stands.
 *
 * Aliases are resolved and `<<` merged while reading; an alias shares its target's children, so
 * nothing grows by repetition. A scalar stays text: its type is its field's business.
 *
 * Limits: YAML_DEPTH_MAX, YAML_KEYS_MAX, YAML_ANCHORS_MAX; beyond is an error with its place.
 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H

#include "config/errors.h"
#include "config/memory.h"

enum {
    YAML_DEPTH_MAX = 32,
    YAML_KEYS_MAX = 256,     /* in one mapping */
    YAML_ANCHORS_MAX = 1024, /* in one document */
};

enum yaml_type {
    YAML_SCALAR = 1,
    YAML_SEQUENCE,
    YAML_MAPPING,
};

struct yaml_node {
    enum yaml_type type;
    bool plain;            /* a scalar without quotes */
    bool open;             /* while it is read */
    unsigned line, column; /* from 1 */
    struct slice text;
    struct yaml_node *first; /* children; of a mapping key, value, key, value... */
    struct yaml_node *last;
    struct yaml_node *next; /* sibling */
    unsigned count;         /* children */
};

struct yaml_document {
    struct yaml_node *root;
    struct yaml_document *next;
};

/**
 * Reads all documents of `text` into `memory`; `*out` is NULL when there is none. ERR_SYNTAX: see
 * `errors`. ERR_MEMORY.
 */
MUST_CHECK enum err yaml_read(struct slice text, const char *file, struct memory *memory,
                              struct config_errors *errors, struct yaml_document **out);

/** `key:` with nothing after it, `~` or `null`. */
bool yaml_is_null(const struct yaml_node *node);

/** "a list", "a mapping", or the scalar in quotes, shortened: for messages. Returns `room`. */
enum {
    YAML_SHOWN_MAX = 64
};
const char *yaml_show(const struct yaml_node *node, char room[static YAML_SHOWN_MAX]);

#endif
