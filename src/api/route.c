/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/route - which function answers what, and who may ask.
 */
#include <stdlib.h>

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
    return (struct api_answer){.status = 200, .json = r->api->config.status(r->api->config.user)};
}

static struct api_answer metrics(struct api_request *r)
{
    struct api_answer answer = {.status = 200, .type = "text/plain; version=0.0.4; charset=utf-8"};

    r->api->config.metrics(r->api->config.user, &answer.text);
    if (!answer.text.failed)
        return answer;
    api_text_release(&answer.text);
    return api_memory_problem();
}

#define PAGE "limit cursor"
#define JSON "application/json"

// clang-format off
const struct api_route api_routes[] = {
    {"GET", "/healthz", API_NOBODY, healthz, NULL, NULL, "Is the process alive?"},
    {"GET", "/readyz", API_NOBODY, readyz, NULL, NULL, "Does it take calls?"},
    {"GET", "/metrics", API_ANALYST, metrics, NULL, NULL,
     "Metrics for Prometheus; without a token on loopback"},
    {"GET", "/api/v1/openapi.json", API_NOBODY, api_openapi, NULL, NULL, "This document"},
    {"GET", "/api/v1/status", API_ANALYST, status, NULL, NULL,
     "Health, version, addresses, workers, store, counters"},
    {"GET", "/api/v1/registrations", API_ANALYST, api_registrations, PAGE " aor", NULL,
     "Live bindings, one item per binding"},
    {"GET", "/api/v1/calls", API_ANALYST, api_calls_list,
     PAGE " sort since until live direction disposition release_party sip_status q850_cause"
          " sip_call_id calling_uri calling_number called_uri called_number answered_by"
          " source_address",
     NULL, "Call records, the newest first; with live=1 those that go on"},
    {"GET", "/api/v1/calls/*", API_ANALYST, api_calls_get, NULL, NULL, "One call with its legs"},
    {"POST", "/api/v1/calls/*/hangup", API_ADMIN, api_calls_hang_up, NULL, NULL,
     "Hangs up a call that is up: BYE to both sides; answers with its record"},
    {"GET", "/api/v1/bans", API_ANALYST, api_bans_list, PAGE, NULL,
     "Addresses, and users at an address, that are kept out for a while"},
    {"GET", "/api/v1/bans/*", API_ANALYST, api_bans_get, NULL, NULL, "One ban"},
    {"DELETE", "/api/v1/bans/*", API_ADMIN, api_bans_delete, NULL, NULL, "Lifts a ban at once"},
    {"GET", "/api/v1/users", API_ANALYST, api_users_list, PAGE " sort name extension role email",
     NULL, "All users"},
    {"GET", "/api/v1/users/*", API_ANALYST, api_users_get, NULL, NULL, "One user, with an ETag"},
    {"PUT", "/api/v1/users/*", API_ADMIN, api_users_put, NULL, JSON,
     "Creates or replaces a user; with If-Match or If-None-Match: *"},
    {"PATCH", "/api/v1/users/*", API_ADMIN, api_users_patch, NULL, "application/merge-patch+json",
     "Changes fields of a user (RFC 7396); null: back to the default"},
    {"DELETE", "/api/v1/users/*", API_ADMIN, api_users_delete, NULL, NULL, "Deletes a user"},
    {"POST", "/api/v1/apply", API_ADMIN, api_apply, "dry_run prune file", "application/yaml",
     "Makes the resources of a YAML text so: all of them or none"},
    {"GET", "/api/v1/export", API_ADMIN, api_export, NULL, NULL,
     "All resources as YAML, with the digests of passwords"},
    {"GET", "/api/v1/tokens", API_ADMIN, api_tokens_list, PAGE, NULL,
     "Tokens of this API, without their secrets"},
    {"POST", "/api/v1/tokens", API_ADMIN, api_tokens_create, NULL, JSON,
     "Makes a token, shown this once"},
    {"DELETE", "/api/v1/tokens/*", API_ADMIN, api_tokens_delete, NULL, NULL, "Deletes a token"},
    {"POST", "/api/v1/push/test", API_ADMIN, api_push_test, NULL, JSON,
     "Has the push gateway wake a user's phones, and says what it answers"},
    {"GET", "/api/v1/history", API_ANALYST, api_history, PAGE, NULL,
     "Changes of the policy, newest first"},
};
// clang-format on
const size_t api_route_count = COUNT_OF(api_routes);

/** Does the path fit? Sets `*name` for a path with a name, which ends at the next `/` or with the
 * path. Exact: no `//`, `..` or other case. */
static bool path_fits(const char *pattern, const char *path, const char **name)
{
    size_t len = strcspn(pattern, "*");

    *name = NULL;
    if (pattern[len] == '\0')
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, len) != 0)
        return false;
    size_t name_len = strcspn(path + len, "/");
    if (name_len == 0 || strcmp(pattern + len + 1, path + len + name_len) != 0)
        return false;
    *name = path + len;
    return true;
}

/** Is the route open to all who reach the socket? */
static bool is_open(const struct api_request *r, const struct api_route *route)
{
    if (route->role == API_NOBODY)
        return true;
    return strcmp(route->path, "/metrics") == 0 && addr_is_loopback(&r->api->config.listen);
}

static struct api_answer login_problem(const struct api_request *r)
{
    struct api_answer answer =
        r->token_unknown
            ? api_problem(401, NULL, NULL, "this token is nobody's (strowger token list)")
            : api_problem(401, NULL, NULL,
                          "send Authorization: Bearer TOKEN (strowger token create --role ROLE)");
    answer.authenticate = true;
    return answer;
}

static struct api_answer method_problem(const struct api_request *r)
{
    struct api_answer answer = api_problem(405, NULL, NULL, "%s takes no %s", r->path, r->method);
    struct builder b = builder_over(answer.allow, sizeof answer.allow - 1);
    const char *name;

    for (size_t i = 0; i < api_route_count; i++) {
        if (!path_fits(api_routes[i].path, r->path, &name))
            continue;
        if (b.len > 0)
            builder_text(&b, ", ");
        builder_add(&b, slice_of(api_routes[i].method));
        if (strcmp(api_routes[i].method, "GET") == 0)
            builder_text(&b, ", HEAD");
    }
    return answer;
}

/** Sets r->route and r->name. `*known`: there is such a path; `*open`: one that needs no token. */
static void find_route(struct api_request *r, bool *known, bool *open)
{
    const char *name;

    *known = *open = false;
    for (size_t i = 0; i < api_route_count; i++) {
        const struct api_route *route = &api_routes[i];
        if (!path_fits(route->path, r->path, &name))
            continue;
        *known = true;
        *open = *open || is_open(r, route);
        if (strcmp(route->method, r->method) == 0) {
            r->route = route;
            r->name = name;
        }
    }
}

static bool refuse(struct api_request *r, struct api_answer answer)
{
    r->refused = true;
    r->refusal = answer;
    return false;
}

static bool body_fits(struct api_request *r)
{
    const char *length = api_header(r, "Content-Length");

    return r->route->body == NULL || length == NULL ||
           strtoull(length, NULL, 10) <= (unsigned long long)API_BODY_MAX;
}

bool api_admit(struct api_request *r)
{
    struct api_answer answer;
    bool known, open;

    if (r->bad_target)
        return refuse(r, api_problem(400, NULL, NULL, "a path has no NUL in it"));
    api_identify(r);
    if (!r->socket->control && !api_host_is_ours(r, &answer))
        return refuse(r, answer);
    find_route(r, &known, &open);
    bool ours = known || strncmp(r->path, "/api/", 5) == 0;
    if (r->role == API_NOBODY && !open && ours)
        return refuse(r, login_problem(r));
    if (!known)
        return refuse(r, api_problem(404, NULL, NULL, "there is no %s", r->path));
    if (r->route == NULL)
        return refuse(r, method_problem(r));
    if (!is_open(r, r->route) && r->role < r->route->role)
        return refuse(r, api_problem(403, NULL, NULL, "the role of this token may not do that"));
    if (!api_query_is_known(r, &answer))
        return refuse(r, answer);
    if (!body_fits(r))
        return refuse(r, api_problem(413, NULL, NULL, "a body may have %d bytes", API_BODY_MAX));
    return true;
}
