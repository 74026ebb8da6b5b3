/* SPDX-License-Identifier: Apache-2.0 */
#include "config/resources.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/text.h"
#include "config/config.h"
#include "config/file.h"
#include "config/resources_internal.h"
#include "config/values.h"
#include "config/yaml.h"

enum {
    PASSWORD_BYTES_MAX = 256,
    NAME_SHOWN = 80
};

struct parser {
    const char *file;
    struct config_errors *errors;
    struct resources *resources;
    struct memory scratch;
    struct slice kind; /* "users" */
    struct slice name; /* of the item that is read; empty: not known yet */
    bool failed;
};

/* "users.alice.extension" */
static void __attribute__((format(printf, 4, 5)))
wrong(struct parser *parser, const struct yaml_node *node, struct slice field, const char *format,
      ...)
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

static struct slice keep(struct parser *parser, struct slice text)
{
    if (text.len == 0)
        return SLICE_EMPTY;
    struct slice copy = memory_copy(&parser->resources->memory, text);
    if (copy.data == NULL)
        wrong(parser, NULL, SLICE_EMPTY, "out of memory");
    return copy;
}

/* --- Fields of a user ----------------------------------------------------------------------- */

enum field_type {
    FIELD_NOT_BUILT = 1,
    FIELD_NAME,
    FIELD_TEXT,
    FIELD_EXTENSION,
    FIELD_NUMBER,
    FIELD_ROLE,
    FIELD_LANGUAGES,
    FIELD_BOOL,
    FIELD_ALGORITHMS,
    FIELD_PASSWORD,
    FIELD_DIGESTS,
};

struct field {
    struct slice name;
    enum field_type type;
    size_t offset; /* into struct user */
};

#define KEY(text)                                                                                  \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }
#define AT(field) offsetof(struct user, field)

static const struct field fields[] = {
    {KEY("name"), FIELD_NAME, AT(name)},
    {KEY("password"), FIELD_PASSWORD, 0},
    {KEY("digests"), FIELD_DIGESTS, 0},
    {KEY("display_name"), FIELD_TEXT, AT(display_name)},
    {KEY("title"), FIELD_TEXT, AT(title)},
    {KEY("extension"), FIELD_EXTENSION, AT(extension)},
    {KEY("caller_number"), FIELD_NUMBER, AT(caller_number)},
    {KEY("role"), FIELD_ROLE, AT(role)},
    {KEY("email"), FIELD_TEXT, AT(email)},
    {KEY("language"), FIELD_LANGUAGES, AT(languages)},
    {KEY("do_not_disturb"), FIELD_BOOL, AT(do_not_disturb)},
    {KEY("disabled"), FIELD_BOOL, AT(disabled)},
    {KEY("algorithms"), FIELD_ALGORITHMS, AT(algorithms)},
    {KEY("photo"), FIELD_NOT_BUILT, 0},
    {KEY("location"), FIELD_NOT_BUILT, 0},
    {KEY("sees"), FIELD_NOT_BUILT, 0},
    {KEY("forward"), FIELD_NOT_BUILT, 0},
};

/* A scalar's text; absent values count as not given. False: it is something else. */
static bool scalar(const struct yaml_node *node, struct slice *out)
{
    if (node->type != YAML_SCALAR)
        return false;
    *out = yaml_is_null(node) ? SLICE_EMPTY : node->text;
    return true;
}

static void wrong_value(struct parser *parser, const struct yaml_node *node,
                        const struct field *field, const char *wanted)
{
    char shown[YAML_SHOWN_MAX];
    wrong(parser, node, field->name, "%s is not %s", yaml_show(node, shown), wanted);
}

static void set_languages(struct parser *parser, const struct yaml_node *node,
                          const struct field *field, struct slice *out)
{
    char room[RESOURCES_TEXT_MAX];
    struct builder b = builder_over(room, sizeof room);
    bool list = node->type == YAML_SEQUENCE;

    if (yaml_is_null(node))
        return;
    for (const struct yaml_node *item = list ? node->first : node; item != NULL;
         item = list ? item->next : NULL) {
        struct slice text;
        if (!scalar(item, &text) || !value_language(text)) {
            wrong_value(parser, item, field, "a language; write tags such as [en, fr]");
            return;
        }
        if (b.len > 0)
            builder_char(&b, ',');
        builder_add(&b, text);
    }
    if (b.overflow)
        wrong(parser, node, field->name, "has too many languages; %d bytes in all",
              RESOURCES_TEXT_MAX);
    else
        *out = keep(parser, builder_slice(&b));
}

static void set_algorithms(struct parser *parser, const struct yaml_node *node,
                           const struct field *field, uint8_t *out)
{
    bool list = node->type == YAML_SEQUENCE;
    size_t count = 0;

    if (yaml_is_null(node))
        return;
    for (const struct yaml_node *item = list ? node->first : node; item != NULL;
         item = list ? item->next : NULL) {
        struct slice text = SLICE_EMPTY;
        uint8_t algorithm = scalar(item, &text) ? config_algorithm(text) : 0;
        if (algorithm == 0) {
            wrong_value(parser, item, field, "a digest algorithm; use MD5, SHA-256 or SHA-512-256");
            return;
        }
        if (count == USER_ALGORITHMS_MAX || memchr(out, algorithm, count) != NULL) {
            wrong(parser, item, field->name, "%.*s is there twice; remove one", SLICE_ARG(text));
            return;
        }
        out[count++] = algorithm;
    }
}

static bool parse_hex(struct slice text, uint8_t *out, size_t len)
{
    if (text.len != 2 * len)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.data[i]);
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
    }
    return true;
}

/* The digests of an export: the realm and all three, so that none can be guessed from absence. */
static void set_digests(struct parser *parser, const struct yaml_node *node,
                        const struct field *field, struct user *user)
{
    static const struct {
        struct slice name;
        size_t bytes;
    } kinds[USER_DIGESTS] = {
        {KEY("realm"), 0}, {KEY("md5"), 16}, {KEY("sha_256"), 32}, {KEY("sha_512_256"), 32}};
    unsigned found = 0;

    if (node->type != YAML_MAPPING) {
        wrong_value(parser, node, field, "digests; write password: instead");
        return;
    }
    for (const struct yaml_node *key = node->first; key != NULL; key = key->next->next) {
        struct slice text = SLICE_EMPTY;
        size_t kind = 0;
        while (kind < USER_DIGESTS && !slice_equal(kinds[kind].name, key->text))
            kind++;
        bool good = kind < USER_DIGESTS && scalar(key->next, &text) &&
                    (kind > 0 ? parse_hex(text, user->digests[kind], kinds[kind].bytes)
                              : value_host_name(text));
        if (!good) {
            wrong(parser, key->next, field->name,
                  "'%.*s' is not as `export` writes it; write password: instead",
                  SLICE_ARG(key->text));
            return;
        }
        if (kind == 0)
            user->realm = keep(parser, text);
        found |= 1U << kind;
    }
    if (found != (1U << USER_DIGESTS) - 1)
        wrong(parser, node, field->name,
              "needs realm, md5, sha_256 and sha_512_256; write password: instead");
    else
        user->has_digest = true;
}

static void set_role(struct parser *parser, const struct yaml_node *node, const struct field *field,
                     struct slice text, struct slice *out)
{
    static const struct slice roles[] = {KEY("admin"), KEY("analyst"), KEY("agent")};

    for (size_t i = 0; i < COUNT_OF(roles); i++)
        if (slice_equal(roles[i], text)) {
            *out = roles[i];
            return;
        }
    wrong_value(parser, node, field, "a role; use admin, analyst or agent");
}

/* Fields that are one scalar. */
static void set_scalar(struct parser *parser, const struct yaml_node *node,
                       const struct field *field, struct resource_user *entry)
{
    void *out = (char *)&entry->user + field->offset;
    struct slice text;

    if (!scalar(node, &text)) {
        wrong_value(parser, node, field, "one value; write a word or a number");
        return;
    }
    if (text.len == 0 && field->type != FIELD_PASSWORD)
        return; /* as if it were not there */
    bool good = true;
    const char *wanted = "";
    switch (field->type) {
    case FIELD_TEXT:
        good = text.len <= RESOURCES_TEXT_MAX && value_text(text);
        wanted = "a text of up to 256 bytes without control characters";
        break;
    case FIELD_EXTENSION:
        good = value_extension(text, RESOURCES_EXTENSION_MAX);
        wanted = "an extension; use up to 32 digits, * and #";
        entry->extension_line = node->line;
        entry->extension_column = node->column;
        break;
    case FIELD_NUMBER:
        good = value_number(text);
        wanted = "a phone number; write it with + and the country, such as +15105550101";
        break;
    case FIELD_ROLE:
        set_role(parser, node, field, text, out);
        return;
    case FIELD_BOOL:
        if (!value_bool(text, out))
            wrong_value(parser, node, field, "yes or no; write one of them");
        return;
    case FIELD_PASSWORD:
        good = text.len > 0 && text.len <= PASSWORD_BYTES_MAX && value_text(text);
        if (good)
            entry->password = keep(parser, text);
        else /* it is not shown */
            wrong(parser, node, field->name,
                  "must have 1 to %d bytes; leave it out to have one made", PASSWORD_BYTES_MAX);
        return;
    case FIELD_NAME:
    case FIELD_LANGUAGES:
    case FIELD_ALGORITHMS:
    case FIELD_DIGESTS:
    case FIELD_NOT_BUILT:
        return;
    }
    if (good)
        *(struct slice *)out = keep(parser, text);
    else
        wrong_value(parser, node, field, wanted);
}

static void set_field(struct parser *parser, const struct yaml_node *key, const struct field *field,
                      struct resource_user *entry)
{
    const struct yaml_node *value = key->next;

    switch (field->type) {
    case FIELD_NOT_BUILT:
        wrong(parser, key, field->name, "is not built yet in this version; remove it");
        break;
    case FIELD_NAME: /* was read first */
        break;
    case FIELD_LANGUAGES:
        set_languages(parser, value, field, &entry->user.languages);
        break;
    case FIELD_ALGORITHMS:
        set_algorithms(parser, value, field, entry->user.algorithms);
        break;
    case FIELD_DIGESTS:
        set_digests(parser, value, field, &entry->user);
        break;
    case FIELD_TEXT:
    case FIELD_EXTENSION:
    case FIELD_NUMBER:
    case FIELD_ROLE:
    case FIELD_BOOL:
    case FIELD_PASSWORD:
        set_scalar(parser, value, field, entry);
        break;
    }
}

static void unknown_field(struct parser *parser, const struct yaml_node *key)
{
    unsigned limit = key->text.len < 4 ? 1 : 3;
    struct slice near = SLICE_EMPTY;

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        unsigned distance = text_distance(key->text, fields[i].name, limit);
        if (distance <= limit && (near.len == 0 || distance < limit)) {
            limit = distance;
            near = fields[i].name;
        }
    }
    if (near.len > 0)
        wrong(parser, key, key->text, "unknown field; did you mean %.*s?", SLICE_ARG(near));
    else
        wrong(parser, key, key->text, "unknown field; remove it");
}

/* --- Users ---------------------------------------------------------------------------------- */

static const struct yaml_node *value_of(const struct yaml_node *mapping, struct slice name)
{
    for (const struct yaml_node *key = mapping->first; key != NULL; key = key->next->next)
        if (slice_equal(key->text, name))
            return key->next;
    return NULL;
}

static struct resource_user *new_user(struct parser *parser)
{
    struct resources *resources = parser->resources;

    if (resources->count == RESOURCES_USERS_MAX) {
        wrong(parser, NULL, SLICE_EMPTY, "more than %d users", RESOURCES_USERS_MAX);
        return NULL;
    }
    if (resources->count == resources->capacity) {
        size_t capacity = resources->capacity * 2 + 16;
        struct resource_user *grown = realloc(resources->users, capacity * sizeof *grown);
        if (grown == NULL) {
            wrong(parser, NULL, SLICE_EMPTY, "out of memory");
            return NULL;
        }
        resources->users = grown;
        resources->capacity = capacity;
    }
    struct resource_user *entry = &resources->users[resources->count];
    *entry = (struct resource_user){.file = parser->file, .user.role = SLICE("agent")};
    return entry;
}

static void read_user(struct parser *parser, const struct yaml_node *node)
{
    struct slice name = SLICE_EMPTY;

    parser->name = SLICE_EMPTY;
    if (node->type != YAML_MAPPING) {
        char shown[YAML_SHOWN_MAX];
        wrong(parser, node, SLICE_EMPTY, "%s is not a user; write {name: alice, extension: 101}",
              yaml_show(node, shown));
        return;
    }
    const struct yaml_node *name_node = value_of(node, SLICE("name"));
    if (name_node == NULL || !scalar(name_node, &name) || !value_name(name, USER_NAME_MAX)) {
        char shown[YAML_SHOWN_MAX];
        if (name_node == NULL)
            wrong(parser, node, SLICE("name"), "is missing; every user needs one");
        else
            wrong(parser, name_node, SLICE("name"),
                  "%s is not a name; use 1 to 64 of the letters a-z, digits and . _ ~ + -",
                  yaml_show(name_node, shown));
    }
    struct resource_user *entry = new_user(parser);
    if (entry == NULL)
        return;
    parser->name = name;
    entry->user.name = keep(parser, name);
    entry->line = name_node != NULL ? name_node->line : node->line;
    entry->column = name_node != NULL ? name_node->column : node->column;
    for (const struct yaml_node *key = node->first; key != NULL; key = key->next->next) {
        const struct field *field = NULL;
        for (size_t i = 0; i < COUNT_OF(fields) && field == NULL; i++)
            field = slice_equal(fields[i].name, key->text) ? &fields[i] : NULL;
        if (field == NULL)
            unknown_field(parser, key);
        else
            set_field(parser, key, field, entry);
    }
    if (entry->user.has_digest && entry->password.len > 0)
        wrong(parser, value_of(node, SLICE("digests")), SLICE("digests"),
              "stands beside a password; remove one of them");
    parser->resources->count++;
}

static void read_users(struct parser *parser, const struct yaml_node *list)
{
    if (yaml_is_null(list))
        return;
    if (list->type != YAML_SEQUENCE) {
        char shown[YAML_SHOWN_MAX];
        wrong(parser, list, SLICE_EMPTY, "%s is not a list; begin each user with `- `",
              yaml_show(list, shown));
        return;
    }
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next)
        read_user(parser, item);
}

/* --- Documents ------------------------------------------------------------------------------ */

static const struct slice kinds_not_built[] = {
    KEY("locations"), KEY("departments"), KEY("schedules"), KEY("campaigns"), KEY("numbers"),
    KEY("pools"),     KEY("trunks"),      KEY("routes"),    KEY("blocks")};

static void read_kind(struct parser *parser, const struct yaml_node *key)
{
    parser->kind = key->text.len < NAME_SHOWN ? key->text : SLICE_EMPTY;
    parser->name = SLICE_EMPTY;
    if (slice_equal(key->text, SLICE("users"))) {
        read_users(parser, key->next);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(kinds_not_built); i++)
        if (slice_equal(kinds_not_built[i], key->text)) {
            wrong(parser, key, SLICE_EMPTY, "are not built yet in this version; remove them");
            return;
        }
    if (text_distance(key->text, SLICE("users"), 2) <= 2)
        wrong(parser, key, SLICE_EMPTY, "unknown kind; did you mean users?");
    else
        wrong(parser, key, SLICE_EMPTY, "unknown kind; this version has users");
}

static void read_document(struct parser *parser, const struct yaml_node *root)
{
    if (root == NULL || yaml_is_null(root))
        return;
    if (root->type != YAML_MAPPING) {
        wrong(parser, root, SLICE_EMPTY, "must be a mapping of kinds; begin with `users:`");
        return;
    }
    for (const struct yaml_node *key = root->first; key != NULL; key = key->next->next)
        read_kind(parser, key);
}

static enum err read_source(struct parser *parser, const struct resources_source *source)
{
    struct yaml_document *document = NULL;

    parser->file = source->file;
    parser->kind = SLICE_EMPTY;
    parser->name = SLICE_EMPTY;
    if (source->text.len > CONFIG_TEXT_MAX) {
        wrong(parser, NULL, SLICE_EMPTY, "has more than %d bytes", CONFIG_TEXT_MAX);
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

static void twice(struct parser *parser, const struct resource_user *entry, unsigned line,
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
static enum err index_users(struct parser *parser)
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

    struct parser parser = {.errors = errors, .resources = resources};
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

/* --- Files ---------------------------------------------------------------------------------- */

static bool has_ending(const char *name)
{
    size_t len = strlen(name);
    return name[0] != '.' && ((len > 5 && strcmp(name + len - 5, ".yaml") == 0) ||
                              (len > 4 && strcmp(name + len - 4, ".yml") == 0));
}

static int wanted(const struct dirent *entry)
{
    return has_ending(entry->d_name);
}

static enum err add_file(const char *path, struct config_errors *errors,
                         struct resources_files *out)
{
    char *text = NULL;
    size_t len = 0;

    enum err err = file_read(strcmp(path, "-") == 0 ? "/dev/stdin" : path, CONFIG_TEXT_MAX, errors,
                             &text, &len);
    if (err)
        return err;
    struct resources_source *items = realloc(out->items, (out->count + 1) * sizeof *items);
    if (items != NULL)
        out->items = items;
    char **owned = realloc(out->owned, 2 * (out->count + 1) * sizeof *owned);
    if (owned != NULL)
        out->owned = owned;
    char *name = strdup(path);
    if (items == NULL || owned == NULL || name == NULL) {
        free(name);
        free(text);
        return ERR_MEMORY;
    }
    owned[2 * out->count] = name;
    owned[2 * out->count + 1] = text;
    items[out->count++] = (struct resources_source){name, {text, len}};
    return OK;
}

static enum err add_folder(const char *path, struct config_errors *errors,
                           struct resources_files *out)
{
    struct dirent **names = NULL;
    enum err err = OK;

    int count = scandir(path, &names, wanted, alphasort);
    if (count < 0) {
        config_errors_add(errors, path, 0, 0, NULL, "cannot be opened: %s", strerror(errno));
        return ERR_IO;
    }
    if (count == 0) {
        config_errors_add(errors, path, 0, 0, NULL, "has no *.yaml or *.yml; name a file");
        err = ERR_NOT_FOUND;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        enum err this =
            len > 0 && (size_t)len < sizeof file ? add_file(file, errors, out) : ERR_TOO_BIG;
        err = err ? err : this;
        free(names[i]);
    }
    free(names);
    return err;
}

enum err resources_read_files(const char *const *paths, size_t count, struct config_errors *errors,
                              struct resources_files *out)
{
    struct resources_files files = {0};
    enum err err = OK;

    for (size_t i = 0; i < count; i++) {
        struct stat about;
        bool folder = stat(paths[i], &about) == 0 && S_ISDIR(about.st_mode);
        enum err this =
            folder ? add_folder(paths[i], errors, &files) : add_file(paths[i], errors, &files);
        err = err ? err : this;
    }
    if (err) {
        resources_files_release(&files);
        return err;
    }
    *out = files;
    return OK;
}

void resources_files_release(struct resources_files *files)
{
    for (size_t i = 0; i < 2 * files->count; i++)
        free(files->owned[i]);
    free(files->owned);
    free(files->items);
    *files = (struct resources_files){0};
}
