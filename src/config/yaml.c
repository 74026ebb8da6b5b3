/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"

#include <libfyaml.h>
#include <limits.h>
#include <stdio.h>

#include "base/text.h"
#include "config/values.h"

struct anchor {
    struct slice name;
    struct yaml_node *node;
};

struct reader {
    const char *file;
    struct memory *memory;
    struct config_errors *errors;
    struct yaml_document *first;
    struct yaml_document *last;
    struct yaml_node *stack[YAML_DEPTH_MAX];
    unsigned depth;
    struct anchor *anchors;
    unsigned anchor_count;
    enum err err;
};

static void report(struct reader *reader, const struct fy_mark *mark, const char *text)
{
    unsigned line = mark != NULL ? (unsigned)mark->line + 1 : 0;
    unsigned column = mark != NULL ? (unsigned)mark->column + 1 : 0;

    config_errors_add(reader->errors, reader->file, line, column, NULL, "%s", text);
    reader->err = ERR_SYNTAX;
}

static struct yaml_node *new_node(struct reader *reader, enum yaml_type type,
                                  const struct fy_mark *mark)
{
    struct yaml_node *node = memory_alloc(reader->memory, sizeof *node);
    if (node == NULL) {
        reader->err = ERR_MEMORY;
        return NULL;
    }
    node->type = type;
    node->line = mark != NULL ? (unsigned)mark->line + 1 : 0;
    node->column = mark != NULL ? (unsigned)mark->column + 1 : 0;
    return node;
}

static void append(struct yaml_node *parent, struct yaml_node *child)
{
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

static struct slice token_text(struct fy_token *token)
{
    size_t len = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &len) : NULL;
    return text != NULL ? (struct slice){text, len} : SLICE_EMPTY;
}

/* --- Anchors -------------------------------------------------------------------------------- */

static void remember(struct reader *reader, struct fy_token *token, struct yaml_node *node,
                     const struct fy_mark *mark)
{
    if (token == NULL)
        return;
    if (reader->anchor_count == YAML_ANCHORS_MAX) {
        report(reader, mark, "too many anchors; split the document");
        return;
    }
    struct slice name = memory_copy(reader->memory, token_text(token));
    if (name.data == NULL) {
        reader->err = ERR_MEMORY;
        return;
    }
    reader->anchors[reader->anchor_count++] = (struct anchor){name, node};
}

/* The node an alias stands for, as one that can be linked elsewhere. */
static struct yaml_node *follow(struct reader *reader, struct slice name,
                                const struct fy_mark *mark)
{
    for (unsigned i = reader->anchor_count; i-- > 0;) {
        const struct yaml_node *target = reader->anchors[i].node;
        if (!slice_equal(reader->anchors[i].name, name))
            continue;
        if (target->open) {
            report(reader, mark, "an alias inside of what it stands for; name something else");
            return NULL;
        }
        struct yaml_node *node = new_node(reader, target->type, mark);
        if (node != NULL) {
            node->plain = target->plain;
            node->text = target->text;
            node->first = target->first;
            node->last = target->last;
            node->count = target->count;
        }
        return node;
    }
    report(reader, mark, "an alias of nothing; give the anchor before it");
    return NULL;
}

/* --- Mappings ------------------------------------------------------------------------------- */

static struct yaml_node *find_key(const struct yaml_node *mapping, struct slice key)
{
    for (struct yaml_node *node = mapping->first; node != NULL; node = node->next->next)
        if (node->type == YAML_SCALAR && slice_equal(node->text, key))
            return node;
    return NULL;
}

static void report_at(struct reader *reader, const struct yaml_node *node, const char *key,
                      const char *text)
{
    config_errors_add(reader->errors, reader->file, node->line, node->column, key, "%s", text);
    reader->err = ERR_SYNTAX;
}

static void put_copy(struct reader *reader, struct yaml_node *mapping, const struct yaml_node *key)
{
    const struct yaml_node *both[2] = {key, key->next};

    for (unsigned i = 0; i < 2; i++) {
        struct yaml_node *copy = memory_alloc(reader->memory, sizeof *copy);
        if (copy == NULL) {
            reader->err = ERR_MEMORY;
            return;
        }
        *copy = *both[i];
        copy->next = NULL;
        append(mapping, copy);
    }
}

/* `<<`: the keys of `source` that are not there yet. Those of `source` are merged already. */
static void merge_one(struct reader *reader, struct yaml_node *mapping,
                      const struct yaml_node *source)
{
    if (source->type != YAML_MAPPING) {
        report_at(reader, source, "<<", "merges mappings only; give an alias of a mapping");
        return;
    }
    for (const struct yaml_node *key = source->first; key != NULL; key = key->next->next) {
        if (find_key(mapping, key->text) != NULL)
            continue;
        if (mapping->count >= 2 * YAML_KEYS_MAX) {
            report_at(reader, mapping, NULL, "too many keys in one mapping");
            return;
        }
        put_copy(reader, mapping, key);
        if (reader->err)
            return;
    }
}

static void merge(struct reader *reader, struct yaml_node *mapping, const struct yaml_node *value)
{
    if (value->type != YAML_SEQUENCE) {
        merge_one(reader, mapping, value);
        return;
    }
    for (const struct yaml_node *item = value->first; item != NULL && !reader->err;
         item = item->next)
        merge_one(reader, mapping, item);
}

/* A mapping is complete: keys are scalars and there once; what is merged stands at its end. */
static void finish_mapping(struct reader *reader, struct yaml_node *mapping)
{
    struct yaml_node kept = *mapping;
    const struct yaml_node *merges[YAML_KEYS_MAX];
    unsigned merge_count = 0;

    mapping->first = NULL;
    mapping->last = NULL;
    mapping->count = 0;
    for (struct yaml_node *key = kept.first, *next; key != NULL; key = next) {
        struct yaml_node *value = key->next;
        next = value->next;
        value->next = NULL;
        key->next = NULL;
        if (key->type != YAML_SCALAR) {
            report_at(reader, key, NULL, "a key must be a word");
            return;
        }
        if (key->plain && slice_equal(key->text, SLICE("<<"))) {
            merges[merge_count++] = value;
            continue;
        }
        if (find_key(mapping, key->text) != NULL) {
            char name[CONFIG_KEY_MAX];
            snprintf(name, sizeof name, "%.*s", SLICE_ARG(key->text));
            report_at(reader, key, name, "is there twice; remove one");
            return;
        }
        append(mapping, key);
        append(mapping, value);
    }
    for (unsigned i = 0; i < merge_count && !reader->err; i++)
        merge(reader, mapping, merges[i]);
}

/* --- Events --------------------------------------------------------------------------------- */

/* Hangs a node where it belongs. */
static void place(struct reader *reader, struct yaml_node *node)
{
    if (node == NULL)
        return;
    if (reader->depth == 0) {
        assert(reader->last != NULL); /* a document has begun */
        reader->last->root = node;
        return;
    }
    struct yaml_node *parent = reader->stack[reader->depth - 1];
    if (node->line == 0 && parent->last != NULL) { /* a value that is not there: at its key */
        node->line = parent->last->line;
        node->column = parent->last->column;
    }
    if (parent->type == YAML_MAPPING && parent->count >= 2 * YAML_KEYS_MAX) {
        if (!reader->err)
            report_at(reader, node, NULL, "too many keys in one mapping");
        return;
    }
    append(parent, node);
}

static void enter(struct reader *reader, enum yaml_type type, struct fy_token *anchor,
                  const struct fy_mark *mark)
{
    if (reader->depth == YAML_DEPTH_MAX) {
        report(reader, mark, "nested too deeply");
        return;
    }
    struct yaml_node *node = new_node(reader, type, mark);
    if (node == NULL)
        return;
    node->open = true;
    remember(reader, anchor, node, mark);
    place(reader, node);
    reader->stack[reader->depth++] = node;
}

static void leave(struct reader *reader)
{
    assert(reader->depth > 0);

    struct yaml_node *node = reader->stack[--reader->depth];
    node->open = false;
    if (node->type == YAML_MAPPING)
        finish_mapping(reader, node);
}

static void read_scalar(struct reader *reader, struct fy_event *event, const struct fy_mark *mark)
{
    struct fy_token *token = event->scalar.value;
    struct yaml_node *node = new_node(reader, YAML_SCALAR, mark);
    if (node == NULL)
        return;
    node->plain = token == NULL || fy_token_scalar_style(token) == FYSS_PLAIN;
    node->text = memory_copy(reader->memory, token_text(token));
    if (node->text.data == NULL) {
        reader->err = ERR_MEMORY;
        return;
    }
    remember(reader, event->scalar.anchor, node, mark);
    place(reader, node);
}

static void begin_document(struct reader *reader)
{
    struct yaml_document *document = memory_alloc(reader->memory, sizeof *document);
    if (document == NULL) {
        reader->err = ERR_MEMORY;
        return;
    }
    if (reader->last != NULL)
        reader->last->next = document;
    else
        reader->first = document;
    reader->last = document;
    reader->anchor_count = 0;
    reader->depth = 0;
}

/* libfyaml's marks of quoted scalars and aliases stand after the quote or star. */
static const struct fy_mark *mark_of(struct fy_event *event, struct fy_mark *room)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    bool quoted = false;

    if (event->type == FYET_SCALAR && event->scalar.value != NULL) {
        enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
        quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    }
    if (mark == NULL || mark->column == 0 || (!quoted && event->type != FYET_ALIAS))
        return mark;
    *room = *mark;
    room->column--;
    return room;
}

static void read_event(struct reader *reader, struct fy_event *event)
{
    struct fy_mark room;
    const struct fy_mark *mark = mark_of(event, &room);

    switch (event->type) {
    case FYET_DOCUMENT_START:
        begin_document(reader);
        break;
    case FYET_SCALAR:
        read_scalar(reader, event, mark);
        break;
    case FYET_ALIAS:
        place(reader, follow(reader, token_text(event->alias.anchor), mark));
        break;
    case FYET_SEQUENCE_START:
        enter(reader, YAML_SEQUENCE, event->sequence_start.anchor, mark);
        break;
    case FYET_MAPPING_START:
        enter(reader, YAML_MAPPING, event->mapping_start.anchor, mark);
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        leave(reader);
        break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        break;
    }
}

/* What libfyaml found. Only the first counts: the others follow from it. */
static void take_library_error(struct reader *reader, struct fy_diag *diag)
{
    void *cursor = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);

    reader->err = ERR_SYNTAX;
    if (error == NULL) {
        config_errors_add(reader->errors, reader->file, 0, 0, NULL, "is not YAML");
        return;
    }
    config_errors_add(reader->errors, reader->file, error->line > 0 ? (unsigned)error->line : 1,
                      error->column > 0 ? (unsigned)error->column : 1, NULL,
                      "is not YAML: %s; look at the quotes, brackets and indentation around here",
                      error->msg);
}

static void silent(struct fy_diag *diag, void *user, const char *text, size_t len)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)len;
}

static void read_all(struct reader *reader, struct fy_parser *parser, struct fy_diag *diag)
{
    for (;;) {
        struct fy_event *event = fy_parser_parse(parser);
        if (event == NULL)
            break;
        read_event(reader, event);
        fy_parser_event_free(parser, event);
        if (reader->err)
            return;
    }
    if (fy_parser_get_stream_error(parser) || fy_diag_got_error(diag))
        take_library_error(reader, diag);
}

/** Is the first byte a word? */
static bool stands_alone(struct slice text)
{
    return text.len == 1 || memchr(" \t\r\n", text.data[1], 4) != NULL;
}

/** Is `text` at a word that may stand before a block's first key: an indicator, anchor or tag? */
static bool is_before_key(struct slice text)
{
    return memchr("-&!", text.data[0], 3) != NULL || (text.data[0] == ':' && stands_alone(text));
}

/*
 * What the library need not see: bytes that are no text, directives, and the `?` before a key,
 * which we have no use for. libfyaml 0.7.12 does not come back from some directives that are not
 * UTF-8, and frees twice what `? a:<tab>:` leaves behind.
 */
static enum err check_text(struct slice text, const char *file, struct config_errors *errors)
{
    unsigned line = 1;
    unsigned column = 1;
    bool before_key = true; /* nothing has come in this line but what may stand there */
    bool in_word = false;

    while (text.len > 0) {
        size_t len = text_utf8_bytes(text);
        unsigned char c = (unsigned char)text.data[0];
        if (len == 0 || (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
            config_errors_add(errors, file, line, column, NULL,
                              "a byte that is no text (0x%02x); save the file as UTF-8", c);
            return ERR_SYNTAX;
        }
        bool blank = c == ' ' || c == '\t';
        if (c == '?' && before_key && !in_word && stands_alone(text)) {
            config_errors_add(errors, file, line, column, NULL,
                              "a `?` before a key; write `key: value`, or put the text in quotes");
            return ERR_SYNTAX;
        }
        if (!blank && !in_word)
            before_key = before_key && is_before_key(text);
        in_word = !blank;
        if (c == '%' && column == 1) {
            config_errors_add(errors, file, line, column, NULL,
                              "a directive; remove the line, or indent it");
            return ERR_SYNTAX;
        }
        bool ends = c == '\n' || (c == '\r' && (text.len == 1 || text.data[1] != '\n'));
        if (ends) {
            before_key = true;
            in_word = false;
        }
        column = ends ? 1 : column + 1;
        line += ends;
        slice_take(&text, len);
    }
    return OK;
}

enum err yaml_read(struct slice text, const char *file, struct memory *memory,
                   struct config_errors *errors, struct yaml_document **out)
{
    struct reader reader = {.file = file, .memory = memory, .errors = errors};
    const struct fy_diag_cfg diag_config = {
        .output_fn = silent, .level = FYET_ERROR, .module_mask = UINT_MAX};

    *out = NULL;
    if (text.len == 0)
        return OK;
    if (check_text(text, file, errors) != OK)
        return ERR_SYNTAX;
    reader.anchors = memory_alloc(memory, YAML_ANCHORS_MAX * sizeof *reader.anchors);
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (reader.anchors == NULL || diag == NULL) {
        fy_diag_destroy(diag);
        return ERR_MEMORY;
    }
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg config = {.flags = FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_parser *parser = fy_parser_create(&config);
    if (parser == NULL || fy_parser_set_string(parser, text.data, text.len) != 0)
        reader.err = ERR_MEMORY;
    else
        read_all(&reader, parser, diag);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    if (!reader.err)
        *out = reader.first;
    return reader.err;
}

/* --- Words ---------------------------------------------------------------------------------- */

bool yaml_is_null(const struct yaml_node *node)
{
    return node->type == YAML_SCALAR && node->plain &&
           (node->text.len == 0 || slice_equal(node->text, SLICE("~")) ||
            slice_equal(node->text, SLICE("null")));
}

const char *yaml_show(const struct yaml_node *node, char room[static YAML_SHOWN_MAX])
{
    enum {
        SHOWN = 48
    };

    if (node->type == YAML_SEQUENCE)
        snprintf(room, YAML_SHOWN_MAX, "a list");
    else if (node->type == YAML_MAPPING)
        snprintf(room, YAML_SHOWN_MAX, "a mapping");
    else if (yaml_is_null(node))
        snprintf(room, YAML_SHOWN_MAX, "nothing");
    else
        snprintf(room, YAML_SHOWN_MAX, "'%.*s'%s",
                 (int)(node->text.len > SHOWN ? SHOWN : node->text.len), node->text.data,
                 node->text.len > SHOWN ? "..." : "");
    return room;
}
