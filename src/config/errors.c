/* SPDX-License-Identifier: Apache-2.0 */
#include "config/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void config_errors_release(struct config_errors *errors)
{
    free(errors->items);
    *errors = (struct config_errors){0};
}

static struct config_error *add_item(struct config_errors *errors)
{
    if (errors->items == NULL)
        errors->items = calloc(CONFIG_ERRORS_MAX, sizeof *errors->items);
    if (errors->items == NULL || errors->count == CONFIG_ERRORS_MAX) {
        errors->dropped++;
        return NULL;
    }
    return &errors->items[errors->count++];
}

/* Bytes that would disturb a terminal or a log are shown as '?'. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void config_errors_add(struct config_errors *errors, const char *file, unsigned line,
                       unsigned column, const char *key, const char *format, ...)
{
    struct config_error *error = add_item(errors);
    va_list arguments;

    if (error == NULL)
        return;
    error->line = line;
    error->column = column;
    snprintf(error->file, sizeof error->file, "%s", file);
    snprintf(error->key, sizeof error->key, "%s", key != NULL ? key : "");
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    make_printable(error->key);
    make_printable(error->text);
}

static bool stands_before(const struct config_error *a, const struct config_error *b)
{
    return strcmp(a->file, b->file) == 0 &&
           (a->line < b->line || (a->line == b->line && a->column < b->column));
}

void config_errors_sort(struct config_errors *errors)
{
    for (size_t i = 1; i < errors->count; i++) {
        size_t place = i;
        while (place > 0 && stands_before(&errors->items[i], &errors->items[place - 1]))
            place--;
        if (place == i)
            continue;
        struct config_error moved = errors->items[i];
        memmove(&errors->items[place + 1], &errors->items[place],
                (i - place) * sizeof *errors->items);
        errors->items[place] = moved;
    }
}

void config_error_write(const struct config_error *error, struct builder *b)
{
    builder_add(b, slice_of(error->file));
    if (error->line > 0) {
        builder_char(b, ':');
        builder_u64(b, error->line);
        builder_char(b, ':');
        builder_u64(b, error->column);
    }
    builder_text(b, ": error: ");
    if (error->key[0] != '\0') {
        builder_add(b, slice_of(error->key));
        builder_text(b, ": ");
    }
    builder_add(b, slice_of(error->text));
}
