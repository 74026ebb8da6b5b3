/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/users - /api/v1/users. A body goes the same way as a file of `apply`: JSON is YAML, so one
 * table of fields serves both.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "base/hash.h"

static const char *const algorithm_names[USER_DIGESTS] = {"", "MD5", "SHA-256", "SHA-512-256"};

static json_t *languages_json(struct slice languages)
{
    json_t *list = json_array();

    while (list != NULL && languages.len > 0) {
        size_t comma = slice_find(languages, ',');
        struct slice one = slice_take(&languages, comma == SIZE_MAX ? languages.len : comma);
        if (languages.len > 0)
            slice_take(&languages, 1);
        json_array_append_new(list, api_string(one));
    }
    return list;
}

static json_t *algorithms_json(const struct user *user)
{
    json_t *list = json_array();

    for (size_t i = 0; list != NULL && i < USER_ALGORITHMS_MAX && user->algorithms[i] != 0; i++)
        json_array_append_new(list, json_string(algorithm_names[user->algorithms[i]]));
    return list;
}

json_t *api_user_json(const struct user *user)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:b}", "name",
                     api_string(user->name), "display_name", api_string(user->display_name),
                     "title", api_string(user->title), "extension", api_string(user->extension),
                     "caller_number", api_string(user->caller_number), "email",
                     api_string(user->email), "role", api_string(user->role), "language",
                     languages_json(user->languages), "do_not_disturb", (int)user->do_not_disturb,
                     "disabled", (int)user->disabled, "algorithms", algorithms_json(user),
                     "has_password", (int)user->has_digest);
}

/** Of everything that is stored of the user. */
static void etag_of(const struct user *user, char out[static 48])
{
    char text[8192];
    struct builder b = builder_over(text, sizeof text);

    resources_export_users(user, 1, &b);
    snprintf(out, 48, "\"%016llx\"", (unsigned long long)hash_bytes(1, builder_slice(&b)));
}

static const struct user *find_user(const struct store_users *users, const char *name)
{
    for (size_t i = 0; i < users->count; i++)
        if (slice_equal(users->items[i].name, slice_of(name)))
            return &users->items[i];
    return NULL;
}

static int by_field(const struct user *a, const struct user *b, const char *field)
{
    struct slice x = strcmp(field, "extension") == 0 ? a->extension : a->name;
    struct slice y = strcmp(field, "extension") == 0 ? b->extension : b->name;
    int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    return order != 0 ? order : x.len < y.len ? -1 : x.len > y.len;
}

static int by_extension(const void *a, const void *b)
{
    const struct user *const *x = a, *const *y = b;
    return by_field(*x, *y, "extension");
}

static bool user_matches(struct api_request *r, const struct user *user)
{
    struct slice role = user->role.len > 0 ? user->role : SLICE("agent");
    return api_matches(r, "name", user->name) && api_matches(r, "extension", user->extension) &&
           api_matches(r, "role", role) && api_matches(r, "email", user->email);
}

/** The users that the query asks for, in its order. */
static size_t select_users(struct api_request *r, const struct store_users *users,
                           const struct user **out)
{
    const char *sort = api_query(r, "sort");
    bool down = sort != NULL && sort[0] == '-';
    size_t count = 0;

    for (size_t i = 0; i < users->count; i++)
        if (user_matches(r, &users->items[i]))
            out[count++] = &users->items[i];
    if (sort != NULL && strcmp(sort + down, "extension") == 0)
        qsort(out, count, sizeof *out, by_extension);
    for (size_t i = 0; down && i < count / 2; i++) {
        const struct user *other = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = other;
    }
    return count;
}

struct api_answer api_users_list(struct api_request *r)
{
    struct api_page page = api_page_of(r);
    struct store_users *users = NULL;
    const char *sort = api_query(r, "sort");

    if (page.bad)
        return page.problem;
    if (sort != NULL && strcmp(sort + (sort[0] == '-'), "name") != 0 &&
        strcmp(sort + (sort[0] == '-'), "extension") != 0)
        return api_problem(400, NULL, "sort", "sort by name or extension; - before it: downwards");
    if (store_users_load(r->api->config.store, &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");

    const struct user **selected = calloc(users->count + 1, sizeof *selected);
    json_t *items = json_array();
    size_t count = selected != NULL ? select_users(r, users, selected) : 0;
    for (size_t i = page.offset; i < count && i <= page.offset + page.limit; i++)
        json_array_append_new(items, api_user_json(selected[i]));
    free(selected);
    store_users_free(users);
    return (struct api_answer){.status = 200, .json = api_list(items, &page)};
}

struct api_answer api_users_get(struct api_request *r)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    if (store_users_load(r->api->config.store, &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    const struct user *user = find_user(users, r->name);
    if (user == NULL) {
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    } else {
        answer = (struct api_answer){.status = 200, .json = api_user_json(user)};
        etag_of(user, answer.etag);
    }
    store_users_free(users);
    return answer;
}

/** A change must say what it changes: If-Match, or If-None-Match: * to create. */
static bool precondition(struct api_request *r, const struct user *user, struct api_answer *out)
{
    const char *match = api_header(r, "If-Match"), *none = api_header(r, "If-None-Match");
    char etag[48] = "";

    if (user != NULL)
        etag_of(user, etag);
    if (match == NULL && none == NULL) {
        *out = api_problem(428, NULL, NULL,
                           "send If-Match with the ETag you read, or If-None-Match: * to create");
        return false;
    }
    bool ok = match != NULL ? user != NULL && (strcmp(match, "*") == 0 || strcmp(match, etag) == 0)
                            : strcmp(none, "*") == 0 && user == NULL;
    if (!ok)
        *out = api_problem(412, NULL, NULL,
                           user != NULL ? "user %s was changed meanwhile, or exists; read it again"
                                        : "user %s does not exist",
                           r->name);
    return ok;
}

static void drop_nulls(json_t *object)
{
    const char *key;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(object, key);
    }
}

/** What is shown but not set. */
static void drop_derived(json_t *object)
{
    json_object_del(object, "has_password");
}

/** RFC 7396 for objects without objects inside. */
static void merge_patch(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        if (json_is_null(value))
            json_object_del(target, key);
        else
            json_object_set(target, key, value);
    }
}

/** Applies one user object; the name in the path rules. */
static struct api_answer apply_object(struct api_request *r, json_t *object, bool created)
{
    const json_t *name = json_object_get(object, "name");

    if (name != NULL && (!json_is_string(name) || strcmp(json_string_value(name), r->name) != 0))
        return api_problem(422, NULL, "name", "the name is in the path: %s", r->name);
    drop_nulls(object);
    drop_derived(object);
    json_object_set_new(object, "name", json_string(r->name));
    json_t *document = json_pack("{s:[O]}", "users", object);
    char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (text == NULL)
        return api_memory_problem();

    struct resources_source source = {.file = "body", .text = slice_of(text)};
    struct api_answer answer = api_apply_sources(r, &source, 1, false, false, "users");
    free(text);
    if (answer.status != 200)
        return answer;
    json_t *passwords = json_incref(json_object_get(answer.json, "passwords"));
    json_decref(answer.json);
    answer = api_users_get(r);
    if (answer.status == 200 && json_array_size(passwords) > 0)
        json_object_set(answer.json, "password",
                        json_object_get(json_array_get(passwords, 0), "password"));
    json_decref(passwords);
    if (answer.status == 200 && created)
        answer.status = 201;
    return answer;
}

static json_t *body_object(struct api_request *r, struct api_answer *problem)
{
    json_error_t error;
    json_t *json = json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES,
                              &error);

    if (json_is_object(json))
        return json;
    if (json == NULL)
        *problem = api_problem(400, NULL, NULL, "line %d, column %d: %s", error.line, error.column,
                               error.text);
    else
        *problem = api_problem(400, NULL, NULL, "expected a JSON object");
    json_decref(json);
    return NULL;
}

static struct api_answer change_user(struct api_request *r, bool patch)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    json_t *body = body_object(r, &answer);
    if (body == NULL)
        return answer;
    if (store_users_load(r->api->config.store, &users) != OK) {
        json_decref(body);
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    }
    const struct user *user = find_user(users, r->name);
    if (patch && user == NULL) {
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    } else if (precondition(r, user, &answer)) {
        json_t *whole = patch ? api_user_json(user) : json_incref(body);
        if (patch)
            merge_patch(whole, body);
        answer = apply_object(r, whole, user == NULL);
        json_decref(whole);
    }
    store_users_free(users);
    json_decref(body);
    return answer;
}

struct api_answer api_users_put(struct api_request *r)
{
    return change_user(r, false);
}

struct api_answer api_users_patch(struct api_request *r)
{
    return change_user(r, true);
}

struct api_answer api_users_delete(struct api_request *r)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    if (store_users_load(r->api->config.store, &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    const struct user *user = find_user(users, r->name);
    if (user == NULL)
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    else if (precondition(r, user, &answer)) {
        pthread_mutex_lock(&r->api->change);
        answer = api_delete_users(r, user, 1);
        pthread_mutex_unlock(&r->api->change);
    }
    store_users_free(users);
    return answer;
}
