/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree to struct config: every key is looked up in the table, its value is read by the
 * row's type (take.c); what was not given is read from the row's own default, the same way. Then
 * the checks that need more than one key (check.c).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/file.h"
#include "config/internal.h"

/* The result with what it is made of. */
struct whole {
    struct config config; /* first: a struct config is freed as this */
    struct memory memory;
};

void parser_wrong(struct parser *parser, const struct yaml_node *node, struct slice key,
                  const char *format, ...)
{
    char name[CONFIG_KEY_MAX];
    char text[CONFIG_ERROR_TEXT_MAX];
    va_list arguments;

    snprintf(name, sizeof name, "%.*s", SLICE_ARG(key));
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    config_errors_add(parser->errors, parser->file, node != NULL ? node->line : 0,
                      node != NULL ? node->column : 0, name, "%s", text);
    parser->failed = true;
}

struct slice parser_keep(struct parser *parser, struct slice text)
{
    struct slice copy = memory_copy(parser->memory, text);
    if (copy.data == NULL)
        parser_wrong(parser, NULL, SLICE_EMPTY, "out of memory");
    return copy;
}

/* --- The tree ------------------------------------------------------------------------------- */

static void unknown_key(struct parser *parser, const struct yaml_node *key, struct slice prefix,
                        struct slice full)
{
    struct slice near = setting_nearest(prefix, key->text);

    if (near.len > 0)
        parser_wrong(parser, key, full, "unknown key; did you mean %.*s?", SLICE_ARG(near));
    else
        parser_wrong(parser, key, full, "unknown key; docs/configuration.md has all of them");
}

static void walk(struct parser *parser, const struct yaml_node *mapping, struct slice prefix)
{
    for (const struct yaml_node *key = mapping->first; key != NULL; key = key->next->next) {
        const struct yaml_node *value = key->next;
        char room[CONFIG_KEY_MAX];
        struct builder b = builder_over(room, sizeof room);
        if (prefix.len > 0) {
            builder_add(&b, prefix);
            builder_char(&b, '.');
        }
        builder_add(&b, key->text);
        struct slice full = builder_slice(&b);
        const struct setting *setting = b.overflow ? NULL : setting_find(full);
        if (setting != NULL && setting->type == SETTING_NOT_BUILT) {
            parser_set(parser, setting, key);
        } else if (setting != NULL) {
            parser->given[setting - settings] = value;
            parser_set(parser, setting, value);
        } else if (b.overflow || prefix.len > 0 || !setting_is_group(full)) {
            unknown_key(parser, key, prefix, full);
        } else if (value->type == YAML_MAPPING) {
            walk(parser, value, full);
        } else if (!yaml_is_null(value)) {
            char shown[YAML_SHOWN_MAX];
            parser_wrong(parser, value, full, "%s stands where keys belong; write %.*s: {...}",
                         yaml_show(value, shown), SLICE_ARG(full));
        }
    }
}

static void set_defaults(struct parser *parser)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *setting = &settings[i];
        struct yaml_document *document = NULL;
        if (parser->given[i] != NULL || setting->standard == NULL)
            continue;
        enum err err = yaml_read(slice_of(setting->standard), "default", &parser->scratch,
                                 parser->errors, &document);
        if (err) {
            parser->failed = true;
            return;
        }
        parser_set(parser, setting, document->root);
    }
}

/* --- Ways in -------------------------------------------------------------------------------- */

static void parse_text(struct parser *parser, struct slice text)
{
    struct yaml_document *document = NULL;

    if (text.len > CONFIG_TEXT_MAX) {
        parser_wrong(parser, NULL, SLICE_EMPTY, "has more than %d bytes", CONFIG_TEXT_MAX);
        return;
    }
    enum err err = yaml_read(text, parser->file, &parser->scratch, parser->errors, &document);
    if (err) {
        parser->failed = true;
        if (err == ERR_MEMORY)
            parser_wrong(parser, NULL, SLICE_EMPTY, "out of memory");
        return;
    }
    if (document != NULL && document->next != NULL && document->next->root != NULL) {
        parser_wrong(parser, document->next->root, SLICE_EMPTY,
                     "a second document; only one is read, remove the `---` before it");
        return;
    }
    if (document != NULL && document->root != NULL && !yaml_is_null(document->root)) {
        if (document->root->type != YAML_MAPPING) {
            parser_wrong(
                parser, document->root, SLICE_EMPTY,
                "the file must be a mapping; write lines such as `domains: [example.com]`");
            return;
        }
        walk(parser, document->root, SLICE_EMPTY);
    }
    bool written_well = !parser->failed;
    set_defaults(parser);
    if (written_well) /* else the checks would complain about what is not there */
        parser_check(parser);
}

enum err config_parse(struct slice text, const char *file, struct config_errors *errors,
                      struct config **out)
{
    static_assert(SETTINGS_MAX >= 48, "room for every row");
    assert(settings_count <= SETTINGS_MAX);

    struct whole *whole = calloc(1, sizeof *whole);
    if (whole == NULL) {
        config_errors_add(errors, file, 0, 0, NULL, "out of memory");
        return ERR_MEMORY;
    }
    const char *slash = strrchr(file, '/');
    struct parser parser = {
        .file = file,
        .folder = {file, slash != NULL ? (size_t)(slash - file) + 1 : 0},
        .errors = errors,
        .memory = &whole->memory,
        .config = &whole->config,
    };
    whole->config.file = parser_keep(&parser, slice_of(file));
    parse_text(&parser, text);
    memory_release(&parser.scratch);
    config_errors_sort(errors);
    if (parser.failed) {
        config_free(&whole->config);
        return ERR_SYNTAX;
    }
    *out = &whole->config;
    return OK;
}

enum err config_load(const char *path, struct config_errors *errors, struct config **out)
{
    char *text = NULL;
    size_t len = 0;

    if (path == NULL)
        return config_parse(SLICE_EMPTY, "", errors, out);
    enum err err = file_read(path, CONFIG_TEXT_MAX, errors, &text, &len);
    if (err)
        return err;
    err = config_parse((struct slice){text, len}, path, errors, out);
    free(text);
    return err;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    struct whole *whole = CONTAINER_OF(config, struct whole, config);
    memory_release(&whole->memory);
    free(whole);
}

enum err config_control_path(const struct config *config, char *path, size_t size)
{
    const char *folder = getenv("XDG_RUNTIME_DIR");
    int len;

    if (config->control.len > 0)
        len = snprintf(path, size, "%.*s", SLICE_ARG(config->control));
    else if (geteuid() == 0)
        len = snprintf(path, size, "/run/strowger/control.sock");
    else if (folder != NULL)
        len = snprintf(path, size, "%s/strowger.sock", folder);
    else
        len = snprintf(path, size, "/tmp/strowger-%u.sock", (unsigned)geteuid());
    return len > 0 && (size_t)len < size && len <= SOCKET_PATH_MAX ? OK : ERR_TOO_BIG;
}
