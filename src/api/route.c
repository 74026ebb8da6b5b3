/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/route - which function answers what, and who may ask.
 */
#include <stdio.h>

#include "api/internal.h"

static struct api_answer healthz(struct api_request *r)
{
    (void)r;
    return (struct api_answer){.status = 200, .json = json_pack("{s:s}", "status", "ok")};
}

static struct api_answer readyz(struct api_request *r)
{
    if (r->api->config.ready(r->api->config.user))
        return (struct api_answer){.status = 200, .json = json_pack("{s:s}", "status", "ready")};
    return api_problem(503, NULL, NULL, "not taking calls: starting, or draining");
}

static struct api_answer status(struct api_request *r)
{
    json_t *json = r->api->config.status(r->api->config.user);
    return json != NULL ? (struct api_answer){.status = 200, .json = json} : api_memory_problem();
}

static struct api_answer metrics(struct api_request *r)
{
    struct api_answer answer = {.status = 200, .type = "text/plain; version=0.0.4"};

    r->api->config.metrics(r->api->config.user, &answer.text);
    if (!answer.text.failed)
        return answer;
    api_text_release(&answer.text);
    return api_memory_problem();
}

const struct api_route api_routes[] = {
    {"GET", "/healthz", API_NOBODY, healthz, "Is the process alive?"},
    {"GET", "/readyz", API_NOBODY, readyz, "Does it take calls?"},
    {"GET", "/metrics", API_ANALYST, metrics, "Metrics for Prometheus; open on loopback"},
    {"GET", "/api/v1/openapi.json", API_NOBODY, api_openapi, "This document"},
    {"GET", "/api/v1/status", API_ANALYST, status, "Health, versions, addresses, counters"},
    {"GET", "/api/v1/registrations", API_ANALYST, api_registrations, "Live bindings"},
    {"GET", "/api/v1/users", API_ANALYST, api_users_list, "All users"},
    {"GET", "/api/v1/users/*", API_ANALYST, api_users_get, "One user"},
    {"PUT", "/api/v1/users/*", API_ADMIN, api_users_put, "Creates or replaces a user"},
    {"PATCH", "/api/v1/users/*", API_ADMIN, api_users_patch, "Changes a user (RFC 7396)"},
    {"DELETE", "/api/v1/users/*", API_ADMIN, api_users_delete, "Deletes a user"},
    {"POST", "/api/v1/apply", API_ADMIN, api_apply, "Makes the resources of a YAML text so"},
    {"GET", "/api/v1/export", API_ADMIN, api_export, "All resources as YAML"},
    {"GET", "/api/v1/tokens", API_ADMIN, api_tokens_list, "API tokens, without their secrets"},
    {"POST", "/api/v1/tokens", API_ADMIN, api_tokens_create, "Makes a token, shown once"},
    {"DELETE", "/api/v1/tokens/*", API_ADMIN, api_tokens_delete, "Deletes a token"},
    {"GET", "/api/v1/history", API_ANALYST, api_history, "Changes of the policy, newest first"},
};
const size_t api_route_count = COUNT_OF(api_routes);

/** Does the path fit? Sets r->name for a path with a name. */
static bool path_fits(const char *pattern, const char *path, const char **name)
{
    size_t len = strlen(pattern);

    *name = NULL;
    if (pattern[len - 1] != '*')
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, len - 1) != 0 || path[len - 1] == '\0' ||
        strchr(path + len - 1, '/') != NULL)
        return false;
    *name = path + len - 1;
    return true;
}

static bool bearer(struct api_request *r)
{
    const char *header = api_header(r, "Authorization");
    struct store_token token;

    if (header == NULL || strncmp(header, "Bearer ", 7) != 0)
        return false;
    if (store_token_check(r->api->config.store, slice_of(header + 7), &token) != OK)
        return false;
    snprintf(r->who, sizeof r->who, "%s", token.name);
    r->role = strcmp(token.role, "admin") == 0     ? API_ADMIN
              : strcmp(token.role, "analyst") == 0 ? API_ANALYST
                                                   : API_AGENT;
    return true;
}

/** Who asks? */
static void identify(struct api_request *r)
{
    if (r->socket->control) {
        r->role = API_ADMIN;
        snprintf(r->who, sizeof r->who, "control");
        return;
    }
    bearer(r);
}

static bool is_open(const struct api_request *r, const struct api_route *route)
{
    if (route->role == API_NOBODY)
        return true;
    return strcmp(route->path, "/metrics") == 0 && addr_is_loopback(&r->api->config.listen);
}

static struct api_answer method_problem(const struct api_request *r)
{
    struct api_answer answer = api_problem(405, NULL, NULL, "%s takes no %s", r->path, r->method);
    const char *name;
    size_t used = 0;

    for (size_t i = 0; i < api_route_count; i++)
        if (path_fits(api_routes[i].path, r->path, &name))
            used += (size_t)snprintf(answer.allow + used, sizeof answer.allow - used, "%s%s",
                                     used > 0 ? ", " : "", api_routes[i].method);
    return answer;
}

struct api_answer api_dispatch(struct api_request *r)
{
    bool known = false;

    identify(r);
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!path_fits(route->path, r->path, &r->name))
            continue;
        known = true;
        if (strcmp(route->method, r->method) != 0)
            continue;
        if (!is_open(r, route) && r->role == API_NOBODY) {
            struct api_answer answer = api_problem(
                401, NULL, NULL, "send Authorization: Bearer TOKEN (strowger token create)");
            answer.authenticate = true;
            return answer;
        }
        if (!is_open(r, route) && r->role < route->role)
            return api_problem(403, NULL, NULL, "the role of this token may not do that");
        return route->fn(r);
    }
    if (!known && r->role == API_NOBODY && strncmp(r->path, "/api/", 5) == 0) {
        struct api_answer answer = api_problem(401, NULL, NULL, "send Authorization: Bearer TOKEN");
        answer.authenticate = true;
        return answer;
    }
    return known ? method_problem(r) : api_problem(404, NULL, NULL, "there is no %s", r->path);
}
