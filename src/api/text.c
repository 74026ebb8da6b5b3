/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/text - see text.h.
 */
#include "api/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void api_text_release(struct api_text *text)
{
    free(text->data);
    *text = (struct api_text){0};
}

static bool reserve(struct api_text *text, size_t more)
{
    if (text->failed)
        return false;
    if (text->capacity - text->len >= more)
        return true;
    size_t capacity = text->capacity != 0 ? text->capacity : 4096;
    while (capacity - text->len < more)
        capacity *= 2;
    char *data = realloc(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void api_text_add(struct api_text *text, struct slice s)
{
    if (s.len == 0 || !reserve(text, s.len))
        return;
    memcpy(text->data + text->len, s.data, s.len);
    text->len += s.len;
}

void api_text_printf(struct api_text *text, const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof line) {
        text->failed = true;
        return;
    }
    api_text_add(text, (struct slice){line, (size_t)len});
}

void api_metric(struct api_text *text, const char *name, const char *type, const char *help)
{
    api_text_printf(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void api_sample(struct api_text *text, const char *name, const char *labels, uint64_t value)
{
    if (labels == NULL)
        api_text_printf(text, "%s %" PRIu64 "\n", name, value);
    else
        api_text_printf(text, "%s{%s} %" PRIu64 "\n", name, labels, value);
}
