/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/openapi - the OpenAPI document, made from the table of routes.
 */
#include <ctype.h>
#include <stdio.h>

#include "api/internal.h"

static void add_parameter(json_t *list, struct slice name, const char *in)
{
    json_array_append_new(list, json_pack("{s:o, s:s, s:b, s:{s:s}}", "name", api_string(name),
                                          "in", in, "required", strcmp(in, "path") == 0, "schema",
                                          "type", "string"));
}

/** The name in the path, what the query may have, and a header. */
static json_t *parameters(const struct api_route *route)
{
    json_t *list = json_array();
    struct slice rest = slice_of(route->query != NULL ? route->query : "");

    if (strchr(route->path, '*') != NULL)
        add_parameter(list, SLICE("name"), "path");
    while (rest.len > 0) {
        size_t space = slice_find(rest, ' ');
        add_parameter(list, slice_take(&rest, space == SIZE_MAX ? rest.len : space), "query");
        if (rest.len > 0)
            slice_take(&rest, 1);
    }
    if (strcmp(route->method, "POST") == 0)
        add_parameter(list, SLICE("Idempotency-Key"), "header");
    return list;
}

static json_t *operation(const struct api_route *route)
{
    json_t *responses =
        json_pack("{s:{s:s}, s:{s:s, s:{s:{s:{s:s}}}}}", "2XX", "description", "Done", "default",
                  "description", "A problem (RFC 9457)", "content", "application/problem+json",
                  "schema", "$ref", "#/components/schemas/Problem");
    json_t *json = json_pack("{s:s, s:o}", "summary", route->summary, "responses", responses);

    if (json != NULL && route->role == API_NOBODY)
        json_object_set_new(json, "security", json_array());
    json_t *all = parameters(route);
    if (json_array_size(all) > 0)
        json_object_set(json, "parameters", all);
    json_decref(all);
    if (json != NULL && route->body != NULL)
        json_object_set_new(json, "requestBody",
                            json_pack("{s:b, s:{s:{}}}", "required", 1, "content", route->body));
    return json;
}

static void add_route(json_t *paths, const struct api_route *route)
{
    char path[128], method[16];
    size_t len = strcspn(route->path, "*");

    if (route->path[len] == '*')
        snprintf(path, sizeof path, "%.*s{name}%s", (int)len, route->path, route->path + len + 1);
    else
        snprintf(path, sizeof path, "%s", route->path);
    for (len = 0; route->method[len] != '\0'; len++)
        method[len] = (char)tolower((unsigned char)route->method[len]);
    method[len] = '\0';
    if (json_object_get(paths, path) == NULL)
        json_object_set_new(paths, path, json_object());
    json_object_set_new(json_object_get(paths, path), method, operation(route));
}

static json_t *user_schema(void)
{
    static const char *const texts[] = {"name",          "display_name", "title", "extension",
                                        "caller_number", "email",        "role",  "password"};
    json_t *properties = json_object();

    for (size_t i = 0; i < COUNT_OF(texts); i++)
        json_object_set_new(properties, texts[i], json_pack("{s:s}", "type", "string"));
    json_object_set_new(properties, "forward",
                        json_pack("{s:s, s:s}", "type", "object", "description",
                                  "always, busy, no_answer, unregistered: user:NAME or reply:CODE; "
                                  "no_answer may be {to, after}"));
    json_object_set_new(properties, "do_not_disturb", json_pack("{s:s}", "type", "boolean"));
    json_object_set_new(properties, "disabled", json_pack("{s:s}", "type", "boolean"));
    json_object_set_new(properties, "language",
                        json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string"));
    json_object_set_new(properties, "algorithms",
                        json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string"));
    return json_pack("{s:s, s:[s], s:o}", "type", "object", "required", "name", "properties",
                     properties);
}

struct api_answer api_openapi(struct api_request *r)
{
    json_t *paths = json_object();

    (void)r;
    for (size_t i = 0; i < api_route_count; i++)
        add_route(paths, &api_routes[i]);
    json_t *problem = json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object",
                                "properties", "title", "type", "string", "status", "type",
                                "integer", "detail", "type", "string", "field", "type", "string");
    json_t *json = json_pack(
        "{s:s, s:{s:s, s:s}, s:o, s:{s:{s:o, s:o}, s:{s:{s:s, s:s}}}, s:[{s:[]}]}", "openapi",
        "3.1.0", "info", "title", "Strowger", "version", STROWGER_VERSION, "paths", paths,
        "components", "schemas", "User", user_schema(), "Problem", problem, "securitySchemes",
        "token", "type", "http", "scheme", "bearer", "security", "token");
    return (struct api_answer){.status = 200, .json = json};
}
