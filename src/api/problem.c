/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/problem - errors as problem documents (RFC 9457).
 */
#include <stdarg.h>
#include <stdio.h>

#include "api/internal.h"

const char *api_status_text(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad request";
    case 401:
        return "Not authenticated";
    case 403:
        return "Not allowed";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 409:
        return "Conflict";
    case 412:
        return "Precondition failed";
    case 413:
        return "Too large";
    case 415:
        return "Unsupported media type";
    case 422:
        return "Invalid";
    case 428:
        return "Precondition required";
    case 503:
        return "Not available";
    default:
        return "Internal error";
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
    json_t *text = json_string(detail);
    json_object_set_new(json, "detail", text != NULL ? text : json_string("(not UTF-8)"));
    if (field != NULL)
        json_object_set_new(json, "field", json_string(field));
    return (struct api_answer){
        .status = status, .json = json, .type = "application/problem+json"};
}

/** The part of a key that names the field: users.alice.extension gives extension. */
static const char *field_of(const char *key)
{
    const char *last = strrchr(key, '.');
    return last != NULL ? last + 1 : key;
}

struct api_answer api_config_problem(unsigned status, const struct config_errors *errors)
{
    json_t *json = problem_json(status, NULL), *list = json_array();

    if (json == NULL || list == NULL) {
        json_decref(json);
        json_decref(list);
        return api_memory_problem();
    }
    for (size_t i = 0; i < errors->count; i++) {
        const struct config_error *error = &errors->items[i];
        char line[CONFIG_ERROR_TEXT_MAX + CONFIG_FILE_MAX + CONFIG_KEY_MAX + 64];
        struct builder b = builder_over(line, sizeof line);
        config_error_write(error, &b);
        json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s, s:s, s:s#}", "file",
                                              error->file, "line", (int)error->line, "column",
                                              (int)error->column, "field", error->key, "text",
                                              error->text, "message", b.data, (int)b.len));
    }
    if (errors->count > 0) {
        json_object_set_new(json, "detail", json_string(errors->items[0].text));
        if (errors->items[0].key[0] != '\0')
            json_object_set_new(json, "field", json_string(field_of(errors->items[0].key)));
    }
    json_object_set_new(json, "errors", list);
    return (struct api_answer){
        .status = status, .json = json, .type = "application/problem+json"};
}

struct api_answer api_memory_problem(void)
{
    return (struct api_answer){.status = 500, .type = "application/problem+json"};
}
