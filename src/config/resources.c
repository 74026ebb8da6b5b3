/* SPDX-License-Identifier: Apache-2.0 */
#include "config/resources.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/text.h"
#include "config/config.h"
#include "config/resources_internal.h"

enum {
    NAME_SHOWN = 80
};

/* "users.alice.extension" */
void resource_wrong(struct resource_parser *parser, const struct yaml_node *node,
                    struct slice field, const char *format, ...)
{
    char key[CONFIG_KEY_MAX];
    char text[CONFIG_ERROR_TEXT_MAX];
    struct builder b = builder_over(key, sizeof key - 1);
    va_list arguments;

    builder_add(&b, parser->kind);
    if (parser->name.len > 0 && parser->name.len <= NAME_SHOWN) {
        builder_char(&b, '.');
        builder_add(&b, parser->name);
    }
    if (field.len > 0 && field.len < 32) {
        builder_char(&b, '.');
        builder_add(&b, field);
    }
    key[b.len] = '\0';
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    config_errors_add(parser->errors, parser->file, node != NULL ? node->line : 0,
                      node != NULL ? node->column : 0, key, "%s", text);
    parser->failed = true;
}

struct slice resource_keep(struct resource_parser *parser, struct slice text)
{
    if (text.len == 0)
        return SLICE_EMPTY;
    struct slice copy = memory_copy(&parser->resources->memory, text);
    if (copy.data == NULL)
        resource_wrong(parser, NULL, SLICE_EMPTY, "out of memory");
    return copy;
}

bool resource_scalar(const struct yaml_node *node, struct slice *out)
{
    if (node->type != YAML_SCALAR)
        return false;
    *out = yaml_is_null(node) ? SLICE_EMPTY : node->text;
    return true;
}

const struct yaml_node *resource_field_value(const struct yaml_node *mapping, struct slice name)
{
    for (const struct yaml_node *key = mapping->first; key != NULL; key = key->next->next)
        if (slice_equal(key->text, name))
            return key->next;
    return NULL;
}

/* --- Documents ------------------------------------------------------------------------------ */

static const struct slice kinds_not_built[] = {
    KEY("locations"), KEY("departments"), KEY("schedules"), KEY("campaigns"), KEY("numbers"),
    KEY("pools"),     KEY("trunks"),      KEY("routes"),    KEY("blocks")};

static void read_kind(struct resource_parser *parser, const struct yaml_node *key)
{
    parser->kind = key->text.len < NAME_SHOWN ? key->text : SLICE_EMPTY;
    parser->name = SLICE_EMPTY;
    if (slice_equal(key->text, SLICE("users"))) {
        resource_users_read(parser, key->next);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(kinds_not_built); i++)
        if (slice_equal(kinds_not_built[i], key->text)) {
            resource_wrong(parser, key, SLICE_EMPTY,
                           "are not built yet in this version; remove them");
            return;
        }
    if (text_distance(key->text, SLICE("users"), 2) <= 2)
        resource_wrong(parser, key, SLICE_EMPTY, "unknown kind; did you mean users?");
    else
        resource_wrong(parser, key, SLICE_EMPTY, "unknown kind; this version has users");
}

static void read_document(struct resource_parser *parser, const struct yaml_node *root)
{
    if (root == NULL || yaml_is_null(root))
        return;
    if (root->type != YAML_MAPPING) {
        resource_wrong(parser, root, SLICE_EMPTY,
                       "must be a mapping of kinds; begin with `users:`");
        return;
    }
    for (const struct yaml_node *key = root->first; key != NULL; key = key->next->next)
        read_kind(parser, key);
}

static enum err read_source(struct resource_parser *parser, const struct resources_source *source)
{
    struct yaml_document *document = NULL;

    parser->file = source->file;
    parser->kind = SLICE_EMPTY;
    parser->name = SLICE_EMPTY;
    if (source->text.len > CONFIG_TEXT_MAX) {
        resource_wrong(parser, NULL, SLICE_EMPTY, "has more than %d bytes", CONFIG_TEXT_MAX);
        return ERR_TOO_BIG;
    }
    enum err err =
        yaml_read(source->text, source->file, &parser->scratch, parser->errors, &document);
    for (; !err && document != NULL; document = document->next)
        read_document(parser, document->root);
    memory_release(&parser->scratch);
    if (err)
        parser->failed = true;
    return err;
}

/* --- Duplicates ----------------------------------------------------------------------------- */

static uint64_t hash_of(const struct resources *resources, struct slice key)
{
    return hash_bytes(resources->seed, key);
}

struct resource_user *resources_by_name(const struct resources *resources, struct slice name)
{
    for (struct map_node *node = map_first(&resources->names, hash_of(resources, name));
         node != NULL; node = map_next(node)) {
        struct resource_user *entry = CONTAINER_OF(node, struct resource_user, by_name);
        if (slice_equal(entry->user.name, name))
            return entry;
    }
    return NULL;
}

struct resource_user *resources_by_extension(const struct resources *resources,
                                             struct slice extension)
{
    for (struct map_node *node = map_first(&resources->extensions, hash_of(resources, extension));
         node != NULL; node = map_next(node)) {
        struct resource_user *entry = CONTAINER_OF(node, struct resource_user, by_extension);
        if (slice_equal(entry->user.extension, extension))
            return entry;
    }
    return NULL;
}

static void twice(struct resource_parser *parser, const struct resource_user *entry, unsigned line,
                  unsigned column, const char *field, const struct resource_user *other,
                  const char *what)
{
    char key[CONFIG_KEY_MAX];

    snprintf(key, sizeof key, "users.%.*s%s%s", SLICE_ARG(entry->user.name),
             entry->user.name.len > 0 ? "." : "", field);
    config_errors_add(parser->errors, entry->file, line, column, key,
                      "%s %.*s at %s:%u; choose another", what, SLICE_ARG(other->user.name),
                      other->file, other->line);
    parser->failed = true;
}

/* All users are there now and move no more. */
static enum err index_users(struct resource_parser *parser)
{
    struct resources *resources = parser->resources;

    if (map_init(&resources->names, resources->count + 1) != OK ||
        map_init(&resources->extensions, resources->count + 1) != OK)
        return ERR_MEMORY;
    for (size_t i = 0; i < resources->count; i++) {
        struct resource_user *entry = &resources->users[i];
        const struct resource_user *other = resources_by_name(resources, entry->user.name);
        if (other != NULL && entry->user.name.len > 0)
            twice(parser, entry, entry->line, entry->column, "name", other,
                  "the name is taken by the user");
        map_add(&resources->names, &entry->by_name, hash_of(resources, entry->user.name));
        if (entry->user.extension.len == 0)
            continue;
        other = resources_by_extension(resources, entry->user.extension);
        if (other != NULL)
            twice(parser, entry, entry->extension_line, entry->extension_column, "extension", other,
                  "is also the extension of");
        map_add(&resources->extensions, &entry->by_extension,
                hash_of(resources, entry->user.extension));
    }
    for (size_t i = 0; i < resources->count; i++) {
        const struct resource_user *entry = &resources->users[i];
        const struct resource_user *other = resources_by_name(resources, entry->user.extension);
        if (entry->user.extension.len > 0 && other != NULL && other != entry)
            twice(parser, entry, entry->extension_line, entry->extension_column, "extension", other,
                  "is also the name of");
    }
    return OK;
}

/* --- Ways in -------------------------------------------------------------------------------- */

enum err resources_parse(const struct resources_source *sources, size_t count,
                         struct config_errors *errors, struct resources **out)
{
    struct resources *resources = calloc(1, sizeof *resources);
    if (resources == NULL)
        return ERR_MEMORY;

    struct resource_parser parser = {.errors = errors, .resources = resources};
    if (getrandom(&resources->seed, sizeof resources->seed, 0) != sizeof resources->seed)
        resources->seed = (uintptr_t)resources;
    enum err err = OK;
    for (size_t i = 0; i < count && err != ERR_MEMORY; i++)
        err = read_source(&parser, &sources[i]);
    if (err != ERR_MEMORY)
        err = index_users(&parser);
    config_errors_sort(errors);
    if (!err && parser.failed)
        err = ERR_SYNTAX;
    if (err) {
        resources_free(resources);
        return err;
    }
    *out = resources;
    return OK;
}

void resources_free(struct resources *resources)
{
    if (resources == NULL)
        return;
    map_release(&resources->names);
    map_release(&resources->extensions);
    memory_release(&resources->memory);
    free(resources->users);
    free(resources);
}

size_t resources_user_count(const struct resources *resources)
{
    return resources->count;
}
