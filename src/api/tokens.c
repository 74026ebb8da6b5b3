/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/tokens - API tokens and the history of changes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"

static struct api_answer store_problem(enum err err)
{
    return api_problem(503, NULL, NULL, "the store cannot do it now (%s); try again",
                       err_name(err));
}

/* ---- tokens ---- */

/** A page of tokens: those whose names come after the cursor. */
struct token_page {
    json_t *items;
    struct api_page page;
    char last[STORE_NAME_MAX + 2]; /* of this page; empty: no more come */
    bool more;
};

static void add_token(void *user, const struct store_token *token)
{
    struct token_page *list = user;

    if (list->page.cursor != NULL && strcmp(token->name, list->page.cursor) <= 0)
        return;
    if (json_array_size(list->items) == list->page.limit) {
        list->more = true;
        return;
    }
    snprintf(list->last, sizeof list->last, "%s", token->name);
    json_array_append_new(list->items,
                          json_pack("{s:o, s:o, s:o}", "name", api_text_json(slice_of(token->name)),
                                    "role", api_text_json(slice_of(token->role)), "created",
                                    api_time(token->created_ms)));
}

struct api_answer api_tokens_list(struct api_request *r)
{
    struct token_page list = {.page = api_page_of(r)};

    if (list.page.bad)
        return list.page.problem;
    list.items = json_array();
    if (list.items == NULL)
        return api_memory_problem();
    enum err err = store_token_list(r->api->config.store, add_token, &list);
    if (err) {
        json_decref(list.items);
        return store_problem(err);
    }
    return api_list(list.items, list.more ? list.last : "");
}

/** What needs no escape in a path (RFC 3986 §2.3), so that DELETE can name it. */
static bool is_token_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= STORE_NAME_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~+-") ==
               len;
}

static bool is_role(const char *role)
{
    return strcmp(role, "admin") == 0 || strcmp(role, "analyst") == 0 || strcmp(role, "agent") == 0;
}

static struct api_answer create(struct api_request *r, const char *name, const char *role)
{
    char text[STORE_TOKEN_TEXT_MAX];

    if (!is_token_name(name))
        return api_problem(422, NULL, "name", "name is 1 to %d of letters, digits and . _ ~ + -",
                           STORE_NAME_MAX);
    if (!is_role(role))
        return api_problem(422, NULL, "role", "role is admin, analyst or agent");
    enum err err = store_token_create(r->api->config.store, slice_of(name), slice_of(role), text);
    if (err == ERR_EXISTS)
        return api_problem(409, NULL, "name", "there is a token named %s already", name);
    if (err)
        return store_problem(err);
    json_t *json = json_pack("{s:s, s:s, s:s}", "name", name, "role", role, "token", text);
    explicit_bzero(text, sizeof text);
    return (struct api_answer){.status = 201, .json = json};
}

struct api_answer api_tokens_create(struct api_request *r)
{
    json_error_t error;
    const char *name = NULL, *role = NULL;
    json_t *json =
        json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES, &error);
    struct api_answer answer;

    if (json == NULL ||
        json_unpack_ex(json, &error, JSON_STRICT, "{s:s, s:s}", "name", &name, "role", &role) != 0)
        answer =
            api_problem(400, NULL, NULL, "expected {\"name\": …, \"role\": …}: %s", error.text);
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
        return store_problem(err);
    api_once_forget(&r->api->once, r->name);
    return (struct api_answer){.status = 204};
}

/* ---- history ---- */

/** A page of changes: those before the version that the cursor names. */
struct history_page {
    json_t *items;
    size_t limit;
    uint64_t before, last;
    bool more;
};

static void add_change(void *user, const struct store_change *change)
{
    struct history_page *list = user;

    if (change->version >= list->before || list->more)
        return;
    if (json_array_size(list->items) == list->limit) {
        list->more = true;
        return;
    }
    list->last = change->version;
    json_array_append_new(list->items,
                          json_pack("{s:I, s:o, s:o, s:o}", "version", (json_int_t)change->version,
                                    "time", api_time(change->time_ms), "who",
                                    api_string(change->who), "what", api_string(change->what)));
}

/** A version of the policy as a cursor. */
static bool parse_version(const char *text, uint64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

struct api_answer api_history(struct api_request *r)
{
    struct api_page page = api_page_of(r);
    struct history_page list = {.limit = page.limit, .before = UINT64_MAX};
    char next[32] = "";

    if (page.bad)
        return page.problem;
    if (page.cursor != NULL && !parse_version(page.cursor, &list.before))
        return api_cursor_problem();
    list.items = json_array();
    if (list.items == NULL)
        return api_memory_problem();
    unsigned most = page.cursor != NULL ? UINT32_MAX : (unsigned)page.limit + 1;
    enum err err = store_history(r->api->config.store, most, add_change, &list);
    if (err) {
        json_decref(list.items);
        return store_problem(err);
    }
    if (list.more)
        snprintf(next, sizeof next, "%" PRIu64, list.last);
    return api_list(list.items, next);
}
