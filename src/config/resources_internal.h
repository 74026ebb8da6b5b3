/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/resources_internal - resources between being read and being planned.
 */
#ifndef CONFIG_RESOURCES_INTERNAL_H
#define CONFIG_RESOURCES_INTERNAL_H

#include "base/map.h"
#include "config/memory.h"
#include "config/resources.h"

/* A user as a file says, and where. */
struct resource_user {
    struct user user;      /* with digests if the file gave them */
    struct slice password; /* empty: none given */
    const char *file;
    unsigned line, column;
    unsigned extension_line, extension_column;
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

/* The user of that name or extension, or NULL. */
struct resource_user *resources_by_name(const struct resources *resources, struct slice name);
struct resource_user *resources_by_extension(const struct resources *resources,
                                             struct slice extension);

#endif
