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

/** As in YAML; null: his calls go nowhere else. */
static json_t *forward_json(const struct user *user)
{
    static const char *const rules[USER_FORWARDS] = {"always", "busy", "no_answer", "unregistered"};
    json_t *forward = json_object();
    char after[32];

    for (unsigned i = 0; i < USER_FORWARDS; i++) {
        json_t *to = api_string(user->forward[i]);
        if (user->forward[i].len == 0) {
            json_decref(to);
            continue;
        }
        if (i == USER_FORWARD_NO_ANSWER && user->forward_after_ms != 0) {
            struct builder b = builder_over(after, sizeof after);
            resources_forward_after(&b, user);
            to = json_pack("{s:o, s:s%}", "to", to, "after", after, b.len);
        }
        json_object_set_new(forward, rules[i], to);
    }
    if (json_object_size(forward) > 0)
        return forward;
    json_decref(forward);
    return json_null();
}

json_t *api_user_json(const struct user *user)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o, s:b}", "name",
                     api_string(user->name), "display_name", api_string(user->display_name),
                     "title", api_string(user->title), "extension", api_string(user->extension),
                     "caller_number", api_string(user->caller_number), "email",
                     api_string(user->email), "role", api_string(user->role), "language",
                     languages_json(user->languages), "forward", forward_json(user),
                     "do_not_disturb", (int)user->do_not_disturb, "disabled", (int)user->disabled,
                     "algorithms", algorithms_json(user), "has_password", (int)user->has_digest);
}

/** Of everything that is stored of the user. */
static void etag_of(const struct user *user, char out[static 48])
{
    char text[8192];
    struct builder b = builder_over(text, sizeof text);

    resources_export_users(user, 1, &b);
    snprintf(out, 48, "\"%016llx\"", (unsigned long long)hash_bytes(1, builder_slice(&b)));
}

/* ---- the list ---- */

/** Where the page begins; the texts of `from` may be here. */
struct user_cursor {
    struct store_users_order from;
    char extension[64], name[USER_NAME_MAX + 1];
};

/**
 * A cursor is "EXTENSION:NAME" of the last user of the page before; with 'h' for '#' and, as '+' is
 * a space in a query, with either for '+': so that it needs no escape.
 */
static bool parse_cursor(const char *text, struct user_cursor *cursor)
{
    struct slice rest = slice_of(text);
    size_t colon = slice_find(rest, ':');

    if (colon == SIZE_MAX || colon > sizeof cursor->extension ||
        rest.len - colon - 1 > sizeof cursor->name)
        return false;
    for (size_t i = 0; i < colon; i++)
        cursor->extension[i] = (char)(rest.data[i] == 'h' ? '#' : rest.data[i]);
    cursor->from.extension = (struct slice){cursor->extension, colon};
    rest = slice_from(rest, colon + 1);
    for (size_t i = 0; i < rest.len; i++)
        cursor->name[i] = (char)(rest.data[i] == ' ' ? '+' : rest.data[i]);
    cursor->from.name = (struct slice){cursor->name, rest.len};
    cursor->from.resumes = true;
    return rest.len > 0;
}

static void write_cursor(const struct user *last, char *out, size_t size)
{
    struct builder b = builder_over(out, size - 1);

    for (size_t i = 0; i < last->extension.len; i++)
        builder_char(&b, (char)(last->extension.data[i] == '#' ? 'h' : last->extension.data[i]));
    builder_char(&b, ':');
    builder_add(&b, last->name);
    out[b.len] = '\0';
}

static bool user_matches(struct api_request *r, const struct user *user)
{
    struct slice role = user->role.len > 0 ? user->role : SLICE("agent");
    return api_matches(r, "name", user->name) && api_matches(r, "extension", user->extension) &&
           api_matches(r, "role", role) && api_matches(r, "email", user->email);
}

static bool order_of(struct api_request *r, struct store_users_order *order)
{
    const char *sort = api_query(r, "sort");

    if (sort == NULL)
        return true;
    order->down = sort[0] == '-';
    order->by_extension = strcmp(sort + order->down, "extension") == 0;
    return order->by_extension || strcmp(sort + order->down, "name") == 0;
}

/** A page that is being filled. */
struct user_page {
    struct api_request *r;
    json_t *items;
    size_t limit;
    char last[64 + USER_NAME_MAX + 2]; /* cursor of the last item */
    bool more;                         /* there is one behind it */
    bool failed;                       /* no memory */
};

static bool add_to_page(void *user, const struct user *found)
{
    struct user_page *page = user;

    if (!user_matches(page->r, found))
        return true;
    if (json_array_size(page->items) == page->limit) {
        page->more = true;
        return false;
    }
    write_cursor(found, page->last, sizeof page->last);
    page->failed = json_array_append_new(page->items, api_user_json(found)) != 0;
    return !page->failed;
}

struct api_answer api_users_list(struct api_request *r)
{
    struct api_page asked = api_page_of(r);
    struct user_cursor cursor = {0};
    struct user_page page = {.r = r, .limit = asked.limit};

    if (asked.bad)
        return asked.problem;
    if (!order_of(r, &cursor.from))
        return api_problem(400, NULL, "sort", "sort by name or extension; - before it: downwards");
    if (asked.cursor != NULL && !parse_cursor(asked.cursor, &cursor))
        return api_cursor_problem();
    page.items = json_array();
    if (page.items == NULL)
        return api_memory_problem();
    enum err err = store_users_walk(r->api->config.store, &cursor.from, add_to_page, &page);
    if (err || page.failed) {
        json_decref(page.items);
        return page.failed
                   ? api_memory_problem()
                   : api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    }
    return api_list(page.items, page.more ? page.last : "");
}

/* ---- one user ---- */

/**
 * Does a list of entity-tags name this one (RFC 9110 §8.8.3, §13.1.1)? If-Match compares strongly,
 * so that W/"x" never fits; If-None-Match compares weakly.
 */
static bool names_etag(const char *list, const char *etag, bool weak)
{
    struct slice rest = slice_of(list);

    while (rest.len > 0) {
        size_t comma = slice_find(rest, ',');
        struct slice one = slice_trim(slice_take(&rest, comma == SIZE_MAX ? rest.len : comma));
        if (rest.len > 0)
            slice_take(&rest, 1);
        if (weak && slice_starts_with(one, SLICE("W/")))
            slice_take(&one, 2);
        if (slice_equal(one, SLICE("*")) || slice_equal(one, slice_of(etag)))
            return true;
    }
    return false;
}

/** As it is stored now, with its ETag. */
static struct api_answer read_user(struct api_request *r)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    if (store_users_find(r->api->config.store, slice_of(r->name), &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    const struct user *user = users->count > 0 ? &users->items[0] : NULL;
    if (user == NULL) {
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    } else {
        answer = (struct api_answer){.status = 200, .json = api_user_json(user)};
        etag_of(user, answer.etag);
    }
    store_users_free(users);
    return answer;
}

struct api_answer api_users_get(struct api_request *r)
{
    struct api_answer answer = read_user(r);
    const char *none = api_header(r, "If-None-Match");

    if (answer.status == 200 && none != NULL && names_etag(none, answer.etag, true)) {
        json_decref(answer.json);
        answer.json = NULL;
        answer.status = 304;
    }
    return answer;
}

/**
 * RFC 9110 §13.2.2: If-Match, then If-None-Match. A PUT must have one of them: INTERFACE, and RFC
 * 6585 §3. `user` NULL: there is none. False: `*out` says why.
 */
static bool precondition(struct api_request *r, const struct user *user, bool required,
                         struct api_answer *out)
{
    const char *match = api_header(r, "If-Match"), *none = api_header(r, "If-None-Match");
    char etag[48] = "";

    if (user != NULL)
        etag_of(user, etag);
    if (required && match == NULL && none == NULL) {
        *out = api_problem(428, NULL, NULL,
                           "send If-Match with the ETag you read, or If-None-Match: * to create");
        return false;
    }
    if (match != NULL && (user == NULL || !names_etag(match, etag, false)))
        *out = api_problem(412, NULL, NULL,
                           user != NULL ? "user %s was changed meanwhile: read it again"
                                        : "there is no user %s to replace",
                           r->name);
    else if (none != NULL && user != NULL && names_etag(none, etag, true))
        *out = api_problem(412, NULL, NULL, "user %s exists already", r->name);
    else
        return true;
    return false;
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

/** Stores one user object; the name in the path rules. Requires that `change` is held. */
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
    char what[USER_NAME_MAX + 16];
    snprintf(what, sizeof what, "%s users %s", created ? "create" : "change", r->name);
    struct api_apply_options options = {.what = what};
    struct api_answer answer = api_apply_sources(r, &source, 1, &options);
    explicit_bzero(text, strlen(text)); /* a password may be in it */
    free(text);
    if (answer.status != 200 || answer.json == NULL)
        return answer;
    json_t *passwords = json_incref(json_object_get(answer.json, "passwords"));
    json_decref(answer.json);
    answer = read_user(r);
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
    json_t *json =
        json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES, &error);

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

/** Requires that `change` is held: what was compared with If-Match is what is replaced. */
static struct api_answer change_stored(struct api_request *r, json_t *body, bool patch)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    if (store_users_find(r->api->config.store, slice_of(r->name), &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    const struct user *user = users->count > 0 ? &users->items[0] : NULL;
    if (patch && user == NULL) {
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    } else if (precondition(r, user, !patch, &answer)) {
        json_t *whole = patch ? api_user_json(user) : json_incref(body);
        if (patch)
            merge_patch(whole, body);
        answer = whole != NULL ? apply_object(r, whole, user == NULL) : api_memory_problem();
        json_decref(whole);
    }
    store_users_free(users);
    return answer;
}

static struct api_answer change_user(struct api_request *r, bool patch)
{
    struct api_answer answer;
    json_t *body = body_object(r, &answer);
    if (body == NULL)
        return answer;

    pthread_mutex_lock(&r->api->change);
    answer = change_stored(r, body, patch);
    pthread_mutex_unlock(&r->api->change);
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

/** Who else has his calls go on to this user: his names, as `users/NAME`. NULL: nobody. */
static json_t *users_of(const struct store_users *all, struct slice name)
{
    json_t *list = json_array();

    for (size_t i = 0; list != NULL && i < all->count; i++) {
        const struct user *user = &all->items[i];
        bool goes_there = false;
        for (unsigned rule = 0; rule < USER_FORWARDS; rule++) {
            struct slice to;
            goes_there |= resources_forward_target(user, (enum user_forward)rule, &to) &&
                          slice_equal(to, name);
        }
        if (goes_there && !slice_equal(user->name, name))
            json_array_append_new(list, json_sprintf("users/%.*s", SLICE_ARG(user->name)));
    }
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

/** Nobody's calls go on to who is not there. False: `*answer` says who names him. */
static bool may_delete(struct api_request *r, const struct user *user, struct api_answer *answer)
{
    struct store_users *all = NULL;

    if (store_users_load(r->api->config.store, &all) != OK) {
        *answer = api_problem(503, NULL, NULL, "the store cannot be read now; try again");
        return false;
    }
    json_t *used_by = users_of(all, user->name);
    store_users_free(all);
    if (used_by == NULL)
        return true;
    *answer = api_problem(409, NULL, NULL,
                          "calls of %zu other users go on to %s; change their `forward` first",
                          json_array_size(used_by), r->name);
    if (answer->json != NULL)
        json_object_set_new(answer->json, "used_by", used_by);
    else
        json_decref(used_by);
    return false;
}

static struct api_answer delete_stored(struct api_request *r)
{
    struct store_users *users = NULL;
    struct api_answer answer;

    if (store_users_find(r->api->config.store, slice_of(r->name), &users) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    const struct user *user = users->count > 0 ? &users->items[0] : NULL;
    if (user == NULL)
        answer = api_problem(404, NULL, NULL, "there is no user %s", r->name);
    else if (precondition(r, user, false, &answer) && may_delete(r, user, &answer))
        answer = api_delete_users(r, user, 1);
    store_users_free(users);
    return answer;
}

struct api_answer api_users_delete(struct api_request *r)
{
    pthread_mutex_lock(&r->api->change);
    struct api_answer answer = delete_stored(r);
    pthread_mutex_unlock(&r->api->change);
    return answer;
}
