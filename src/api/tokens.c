/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/tokens - API tokens and the history of changes.
 */
#include <stdlib.h>

#include "api/internal.h"

static void add_token(void *user, const struct store_token *token)
{
    json_array_append_new(user, json_pack("{s:s, s:s, s:o}", "name", token->name, "role",
                                          token->role, "created", api_time(token->created_ms)));
}

struct api_answer api_tokens_list(struct api_request *r)
{
    json_t *items = json_array();

    if (items == NULL || store_token_list(r->api->config.store, add_token, items) != OK) {
        json_decref(items);
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    }
    return (struct api_answer){.status = 200, .json = json_pack("{s:o, s:n}", "items", items, "next")};
}

static bool is_role(const char *role)
{
    return strcmp(role, "admin") == 0 || strcmp(role, "analyst") == 0 || strcmp(role, "agent") == 0;
}

static struct api_answer create(struct api_request *r, const char *name, const char *role)
{
    char text[STORE_TOKEN_TEXT_MAX];

    if (name == NULL || name[0] == '\0' || strlen(name) > STORE_NAME_MAX)
        return api_problem(422, NULL, "name", "name is a text of 1 to %d bytes", STORE_NAME_MAX);
    if (role == NULL || !is_role(role))
        return api_problem(422, NULL, "role", "role is admin, analyst or agent");
    enum err err =
        store_token_create(r->api->config.store, slice_of(name), slice_of(role), text);
    if (err == ERR_EXISTS)
        return api_problem(409, NULL, "name", "there is a token named %s already", name);
    if (err)
        return api_problem(503, NULL, NULL, "the store cannot take it now: %s", err_name(err));
    return (struct api_answer){
        .status = 201,
        .json = json_pack("{s:s, s:s, s:s}", "name", name, "role", role, "token", text)};
}

struct api_answer api_tokens_create(struct api_request *r)
{
    json_error_t error;
    const char *name = NULL, *role = NULL;
    json_t *json = json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES,
                              &error);
    struct api_answer answer;

    if (json == NULL ||
        json_unpack_ex(json, &error, JSON_STRICT, "{s:s, s:s}", "name", &name, "role", &role) != 0)
        answer = api_problem(400, NULL, NULL, "expected {\"name\":…, \"role\":…}: %s", error.text);
    else
        answer = create(r, name, role);
    json_decref(json);
    return answer;
}

struct api_answer api_tokens_delete(struct api_request *r)
{
    enum err err = store_token_delete(r->api->config.store, slice_of(r->name));

    if (err == ERR_NOT_FOUND)
        return api_problem(404, NULL, NULL, "there is no token named %s", r->name);
    if (err)
        return api_problem(503, NULL, NULL, "the store cannot take it now: %s", err_name(err));
    return (struct api_answer){.status = 204};
}

static void add_change(void *user, const struct store_change *change)
{
    json_array_append_new(user, json_pack("{s:I, s:o, s:o, s:o}", "version",
                                          (json_int_t)change->version, "time",
                                          api_time(change->time_ms), "who",
                                          api_string(change->who), "what",
                                          api_string(change->what)));
}

struct api_answer api_history(struct api_request *r)
{
    struct api_page page = api_page_of(r);
    json_t *items = page.bad ? NULL : json_array();

    if (page.bad)
        return page.problem;
    if (items == NULL || store_history(r->api->config.store, (unsigned)page.limit, add_change,
                                       items) != OK) {
        json_decref(items);
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    }
    return (struct api_answer){.status = 200, .json = json_pack("{s:o, s:n}", "items", items, "next")};
}
