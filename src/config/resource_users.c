/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a user, and the list of them.
 */
#include <stdlib.h>

#include "base/text.h"
#include "config/config.h"
#include "config/file.h"
#include "config/resources_internal.h"
#include "config/values.h"

enum {
    PASSWORD_BYTES_MAX = 256
};

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
    FIELD_FORWARD,
};

struct field {
    struct slice name;
    enum field_type type;
    size_t offset; /* into struct user */
};

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
    {KEY("forward"), FIELD_FORWARD, 0},
};

static void wrong_value(struct resource_parser *parser, const struct yaml_node *node,
                        const struct field *field, const char *wanted)
{
    char shown[YAML_SHOWN_MAX];
    resource_wrong(parser, node, field->name, "%s is not %s", yaml_show(node, shown), wanted);
}

static void set_languages(struct resource_parser *parser, const struct yaml_node *node,
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
        if (!resource_scalar(item, &text) || !value_language(text)) {
            wrong_value(parser, item, field, "a language; write tags such as [en, fr]");
            return;
        }
        if (b.len > 0)
            builder_char(&b, ',');
        builder_add(&b, text);
    }
    if (b.overflow)
        resource_wrong(parser, node, field->name, "has too many languages; %d bytes in all",
                       RESOURCES_TEXT_MAX);
    else
        *out = resource_keep(parser, builder_slice(&b));
}

static void set_algorithms(struct resource_parser *parser, const struct yaml_node *node,
                           const struct field *field, uint8_t *out)
{
    bool list = node->type == YAML_SEQUENCE;
    size_t count = 0;

    if (yaml_is_null(node))
        return;
    for (const struct yaml_node *item = list ? node->first : node; item != NULL;
         item = list ? item->next : NULL) {
        struct slice text = SLICE_EMPTY;
        uint8_t algorithm = resource_scalar(item, &text) ? config_algorithm(text) : 0;
        if (algorithm == 0) {
            wrong_value(parser, item, field, "a digest algorithm; use MD5, SHA-256 or SHA-512-256");
            return;
        }
        if (count == USER_ALGORITHMS_MAX || memchr(out, algorithm, count) != NULL) {
            resource_wrong(parser, item, field->name, "%.*s is there twice; remove one",
                           SLICE_ARG(text));
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
static void set_digests(struct resource_parser *parser, const struct yaml_node *node,
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
        bool good = kind < USER_DIGESTS && resource_scalar(key->next, &text) &&
                    (kind > 0 ? parse_hex(text, user->digests[kind], kinds[kind].bytes)
                              : value_host_name(text));
        if (!good) {
            resource_wrong(parser, key->next, field->name,
                           "'%.*s' is not as `export` writes it; write password: instead",
                           SLICE_ARG(key->text));
            return;
        }
        if (kind == 0)
            user->realm = resource_keep(parser, text);
        found |= 1U << kind;
    }
    if (found != (1U << USER_DIGESTS) - 1)
        resource_wrong(parser, node, field->name,
                       "needs realm, md5, sha_256 and sha_512_256; write password: instead");
    else
        user->has_digest = true;
}

static void set_role(struct resource_parser *parser, const struct yaml_node *node,
                     const struct field *field, struct slice text, struct slice *out)
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
static void set_scalar(struct resource_parser *parser, const struct yaml_node *node,
                       const struct field *field, struct resource_user *entry)
{
    void *out = (char *)&entry->user + field->offset;
    struct slice text;

    if (!resource_scalar(node, &text)) {
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
        good = text_is_number(text);
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
            entry->password = resource_keep(parser, text);
        else /* it is not shown */
            resource_wrong(parser, node, field->name,
                           "must have 1 to %d bytes; leave it out to have one made",
                           PASSWORD_BYTES_MAX);
        return;
    case FIELD_NAME:
    case FIELD_LANGUAGES:
    case FIELD_ALGORITHMS:
    case FIELD_DIGESTS:
    case FIELD_FORWARD:
    case FIELD_NOT_BUILT:
        return;
    }
    if (good)
        *(struct slice *)out = resource_keep(parser, text);
    else
        wrong_value(parser, node, field, wanted);
}

static void set_field(struct resource_parser *parser, const struct yaml_node *key,
                      const struct field *field, struct resource_user *entry)
{
    const struct yaml_node *value = key->next;

    switch (field->type) {
    case FIELD_NOT_BUILT:
        resource_wrong(parser, key, field->name, "is not built yet in this version; remove it");
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
    case FIELD_FORWARD:
        resource_forward_read(parser, value, entry);
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

static void unknown_field(struct resource_parser *parser, const struct yaml_node *key)
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
        resource_wrong(parser, key, key->text, "unknown field; did you mean %.*s?",
                       SLICE_ARG(near));
    else
        resource_wrong(parser, key, key->text, "unknown field; remove it");
}

/* --- Users ---------------------------------------------------------------------------------- */

static struct resource_user *new_user(struct resource_parser *parser)
{
    struct resources *resources = parser->resources;

    if (resources->count == RESOURCES_USERS_MAX) {
        resource_wrong(parser, NULL, SLICE_EMPTY, "more than %d users", RESOURCES_USERS_MAX);
        return NULL;
    }
    if (resources->count == resources->capacity) {
        size_t capacity = resources->capacity * 2 + 16;
        struct resource_user *grown = realloc(resources->users, capacity * sizeof *grown);
        if (grown == NULL) {
            resource_wrong(parser, NULL, SLICE_EMPTY, "out of memory");
            return NULL;
        }
        resources->users = grown;
        resources->capacity = capacity;
    }
    struct resource_user *entry = &resources->users[resources->count];
    *entry = (struct resource_user){.file = parser->file, .user.role = SLICE("agent")};
    return entry;
}

static void read_user(struct resource_parser *parser, const struct yaml_node *node)
{
    struct slice name = SLICE_EMPTY;

    parser->name = SLICE_EMPTY;
    if (node->type != YAML_MAPPING) {
        char shown[YAML_SHOWN_MAX];
        resource_wrong(parser, node, SLICE_EMPTY,
                       "%s is not a user; write {name: alice, extension: 101}",
                       yaml_show(node, shown));
        return;
    }
    const struct yaml_node *name_node = resource_field_value(node, SLICE("name"));
    if (name_node == NULL || !resource_scalar(name_node, &name) ||
        !text_is_name(name, USER_NAME_MAX)) {
        char shown[YAML_SHOWN_MAX];
        if (name_node == NULL)
            resource_wrong(parser, node, SLICE("name"), "is missing; every user needs one");
        else
            resource_wrong(parser, name_node, SLICE("name"),
                           "%s is not a name; use 1 to 64 of the letters a-z, digits and . _ ~ + -",
                           yaml_show(name_node, shown));
    }
    struct resource_user *entry = new_user(parser);
    if (entry == NULL)
        return;
    parser->name = name;
    entry->user.name = resource_keep(parser, name);
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
        resource_wrong(parser, resource_field_value(node, SLICE("digests")), SLICE("digests"),
                       "stands beside a password; remove one of them");
    parser->resources->count++;
}

void resource_users_read(struct resource_parser *parser, const struct yaml_node *list)
{
    if (yaml_is_null(list))
        return;
    if (list->type != YAML_SEQUENCE) {
        char shown[YAML_SHOWN_MAX];
        resource_wrong(parser, list, SLICE_EMPTY, "%s is not a list; begin each user with `- `",
                       yaml_show(list, shown));
        return;
    }
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next)
        read_user(parser, item);
}
