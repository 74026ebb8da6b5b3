/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/problem - errors as problem documents (RFC 9457).
 */
#include <stdarg.h>
#include <stdio.h>

#include "api/internal.h"

/* The phrases of RFC 9110 §15 and RFC 6585: RFC 9457 §4.2.1 wants them with about:blank. */
const char *api_status_text(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Content";
    case 428:
        return "Precondition Required";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

static json_t *problem_json(unsigned status, const char *title)
{
    return json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title",
                     title != NULL ? title : api_status_text(status), "status", (int)status);
}

struct api_answer api_problem(unsigned status, const char *title, const char *field,
                              const char *format, ...)
{
    char detail[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);

    json_t *json = problem_json(status, title);
    if (json == NULL)
        return api_memory_problem();
    json_object_set_new(json, "detail", api_text_json(slice_of(detail)));
    if (field != NULL)
        json_object_set_new(json, "field", api_text_json(slice_of(field)));
    return (struct api_answer){.status = status, .json = json, .type = "application/problem+json"};
}

/** The part of a key that names the field: users.alice.extension gives extension. */
static const char *field_of(const char *key)
{
    const char *last = strrchr(key, '.');
    return last != NULL ? last + 1 : key;
}

static json_t *error_json(const struct config_error *error)
{
    char line[CONFIG_ERROR_TEXT_MAX + CONFIG_FILE_MAX + CONFIG_KEY_MAX + 64];
    struct builder b = builder_over(line, sizeof line);

    config_error_write(error, &b);
    return json_pack("{s:o, s:I, s:I, s:o, s:o, s:o}", "file", api_text_json(slice_of(error->file)),
                     "line", (json_int_t)error->line, "column", (json_int_t)error->column, "field",
                     api_text_json(slice_of(error->key)), "text",
                     api_text_json(slice_of(error->text)), "message",
                     api_text_json(builder_slice(&b)));
}

struct api_answer api_config_problem(unsigned status, const struct config_errors *errors)
{
    json_t *json = problem_json(status, NULL), *list = json_array();

    if (json == NULL || list == NULL) {
        json_decref(json);
        json_decref(list);
        return api_memory_problem();
    }
    for (size_t i = 0; i < errors->count; i++)
        json_array_append_new(list, error_json(&errors->items[i]));
    if (errors->count > 0) {
        const struct config_error *first = &errors->items[0];
        json_object_set_new(json, "detail", api_text_json(slice_of(first->text)));
        if (first->key[0] != '\0')
            json_object_set_new(json, "field", api_text_json(slice_of(field_of(first->key))));
    }
    json_object_set_new(json, "errors", list);
    if (errors->dropped > 0)
        json_object_set_new(json, "more_errors", json_integer((json_int_t)errors->dropped));
    return (struct api_answer){.status = status, .json = json, .type = "application/problem+json"};
}

/* Without a document: api.c has one that needs no memory. */
struct api_answer api_memory_problem(void)
{
    return (struct api_answer){.status = 500};
}
