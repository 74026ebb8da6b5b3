/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/resources_internal - resources between being read and being planned.
 */
#ifndef CONFIG_RESOURCES_INTERNAL_H
#define CONFIG_RESOURCES_INTERNAL_H

#include "base/map.h"
#include "config/memory.h"
#include "config/resources.h"
#include "config/yaml.h"

struct resource_place {
    unsigned line, column;
};

/* A user as a file says, and where. */
struct resource_user {
    struct user user;      /* with digests if the file gave them */
    struct slice password; /* empty: none given */
    const char *file;
    unsigned line, column;
    unsigned extension_line, extension_column;
    struct resource_place forward_at[USER_FORWARDS];
    struct map_node by_name;
    struct map_node by_extension;
};

struct resources {
    struct memory memory;
    struct resource_user *users;
    size_t count;
    size_t capacity;
    uint64_t seed; /* of the maps */
    struct map names;
    struct map extensions;
};

/* What reads documents into resources. */
struct resource_parser {
    const char *file;
    struct config_errors *errors;
    struct resources *resources;
    struct memory scratch;
    struct slice kind; /* "users" */
    struct slice name; /* of the item that is read; empty: not known yet */
    bool failed;
};

/* A literal as an initializer of a constant table. */
#define KEY(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

/* resources.c */

/* An error at a node (NULL: of the whole), in a field of the item that is read, or none. */
void resource_wrong(struct resource_parser *parser, const struct yaml_node *node,
                    struct slice field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A copy that lives as long as the resources. */
struct slice resource_keep(struct resource_parser *parser, struct slice text);

/* A scalar's text; absent values count as not given. False: it is something else. */
bool resource_scalar(const struct yaml_node *node, struct slice *out);

/* The value of a field of a mapping; NULL: it is not there. */
const struct yaml_node *resource_field_value(const struct yaml_node *mapping, struct slice name);

/* resource_users.c */

void resource_users_read(struct resource_parser *parser, const struct yaml_node *list);

/* resource_forward.c */

void resource_forward_read(struct resource_parser *parser, const struct yaml_node *node,
                           struct resource_user *entry);

/* A user of all that there will be; NULL: none has that name. */
typedef const struct user *resources_find_fn(const void *all, struct slice name);

/* Whether those exist whom a user's calls go on to, and none comes back to him at once. */
bool resources_check_forwards(const struct resource_user *entry, resources_find_fn *find,
                              const void *all, struct config_errors *errors);

/* "busy" */
struct slice resources_forward_name(enum user_forward rule);

/* The user of that name or extension, or NULL. */
struct resource_user *resources_by_name(const struct resources *resources, struct slice name);
struct resource_user *resources_by_extension(const struct resources *resources,
                                             struct slice extension);

#endif
