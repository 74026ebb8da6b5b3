/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/apply - resources from text to stored and live, all or nothing.
 *
 *   parse -> compare with what is stored -> one transaction with one line of history -> live
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"

static const char *verb_name(enum resources_verb verb)
{
    switch (verb) {
    case RESOURCES_CREATE:
        return "created";
    case RESOURCES_CHANGE:
        return "changed";
    case RESOURCES_LEAVE:
        return "left";
    case RESOURCES_DELETE:
        return "deleted";
    }
    return "left";
}

static json_t *plan_json(const struct resources_plan *plan, uint64_t version, bool dry_run)
{
    json_t *result = json_pack("{s:[], s:[], s:[], s:[], s:[], s:b}", "created", "changed", "left",
                               "deleted", "passwords", "dry_run", (int)dry_run);

    for (size_t i = 0; result != NULL && i < plan->count; i++) {
        const struct resources_step *step = &plan->steps[i];
        json_array_append_new(
            json_object_get(result, verb_name(step->verb)),
            json_pack("{s:s, s:o}", "kind", "users", "name", api_string(step->user.name)));
        if (step->password[0] != '\0' && !dry_run)
            json_array_append_new(json_object_get(result, "passwords"),
                                  json_pack("{s:o, s:s}", "name", api_string(step->user.name),
                                            "password", step->password));
    }
    if (result != NULL)
        json_object_set_new(result, "policy_version", json_integer((json_int_t)version));
    return result;
}

static struct api_answer store_problem(enum err err, const struct store_problem *problem)
{
    unsigned status = err == ERR_NOT_FOUND ? 404 : err == ERR_CONFLICT ? 409 : 503;
    return api_problem(status, NULL, NULL, "%s",
                       problem->text[0] != '\0' ? problem->text : err_name(err));
}

/** Stores and makes live. `*failed` is filled in when that did not work. */
static bool commit(struct api_request *r, const struct store_user_change *changes, size_t count,
                   const char *what, uint64_t *version, struct api_answer *failed)
{
    struct store_problem problem = {{0}};
    char live[API_PROBLEM_MAX] = "";

    enum err err = store_users_apply(r->api->config.store, changes, count, slice_of(r->who),
                                     slice_of(what), &problem, version);
    if (err) {
        *failed = store_problem(err, &problem);
        return false;
    }
    if (r->api->config.policy_changed(r->api->config.user, live) != OK) {
        *failed = api_problem(500, NULL, NULL, "stored, but not live before a restart: %s", live);
        return false;
    }
    return true;
}

static struct api_answer carry_out(struct api_request *r, const struct resources_plan *plan,
                                   const struct api_apply_options *options, uint64_t version)
{
    struct api_answer failed;
    size_t count = 0;
    struct store_user_change *changes = calloc(plan->count + 1, sizeof *changes);
    if (changes == NULL)
        return api_memory_problem();

    for (size_t i = 0; i < plan->count; i++) {
        const struct resources_step *step = &plan->steps[i];
        if (step->verb == RESOURCES_LEAVE)
            continue;
        changes[count++] = (struct store_user_change){
            .verb = step->verb == RESOURCES_DELETE ? STORE_DELETE : STORE_PUT, .user = &step->user};
    }
    bool done = options->dry_run || count == 0 ||
                commit(r, changes, count, options->what, &version, &failed);
    free(changes);
    if (!done)
        return failed;
    return (struct api_answer){.status = 200, .json = plan_json(plan, version, options->dry_run)};
}

static struct api_answer apply_parsed(struct api_request *r, const struct resources *resources,
                                      const struct api_apply_options *how)
{
    const struct api_config *config = &r->api->config;
    struct store_users *stored = NULL;
    struct config_errors errors = {0};
    struct resources_plan *plan = NULL;
    struct api_answer answer;
    struct resources_options options = {.realm = config->realm,
                                        .digest = config->digest,
                                        .user = config->user,
                                        .prune_users = how->prune};

    if (store_users_load(config->store, &stored) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    enum err err =
        resources_plan(resources, stored->items, stored->count, &options, &errors, &plan);
    if (config->digest_done != NULL)
        config->digest_done(config->user);
    if (err == OK)
        answer = carry_out(r, plan, how, stored->version);
    else
        answer = err == ERR_MEMORY ? api_memory_problem() : api_config_problem(409, &errors);
    resources_plan_free(plan);
    config_errors_release(&errors);
    store_users_free(stored);
    return answer;
}

struct api_answer api_apply_sources(struct api_request *r, const struct resources_source *sources,
                                    size_t count, const struct api_apply_options *options)
{
    struct config_errors errors = {0};
    struct resources *resources = NULL;
    struct api_answer answer;

    enum err err = resources_parse(sources, count, &errors, &resources);
    if (err == OK)
        answer = apply_parsed(r, resources, options);
    else
        answer = err == ERR_MEMORY ? api_memory_problem() : api_config_problem(422, &errors);
    resources_free(resources);
    config_errors_release(&errors);
    return answer;
}

/** With pruning, a text without anything in it is more likely an accident than the wish to end. */
static bool is_blank(const struct resources_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_trim(sources[i].text).len > 0)
            return false;
    return true;
}

static struct api_answer apply_guarded(struct api_request *r,
                                       const struct resources_source *sources, size_t count,
                                       const struct api_apply_options *options)
{
    if (options->prune && is_blank(sources, count))
        return api_problem(422, NULL, "prune",
                           "the text is empty: with prune that would delete every user. If it is "
                           "meant, say `users: []`");
    pthread_mutex_lock(&r->api->change);
    struct api_answer answer = api_apply_sources(r, sources, count, options);
    pthread_mutex_unlock(&r->api->change);
    return answer;
}

/** Borrows from `files`. */
static bool read_files(const json_t *files, struct resources_source *sources)
{
    size_t i;
    json_t *item;

    json_array_foreach((json_t *)(uintptr_t)files, i, item)
    {
        const json_t *text = json_object_get(item, "text");
        sources[i].file = json_string_value(json_object_get(item, "file"));
        if (sources[i].file == NULL || !json_is_string(text))
            return false;
        sources[i].text = (struct slice){json_string_value(text), json_string_length(text)};
    }
    return json_is_array(files);
}

/** The command line sends several files with their names: {"files": [{"file":…, "text":…}]}. */
static struct api_answer apply_files(struct api_request *r, const struct api_apply_options *options)
{
    json_error_t error = {.line = -1};
    json_t *json =
        json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES, &error);
    const json_t *files = json_object_get(json, "files");
    size_t count = json_array_size(files);
    struct resources_source *sources = calloc(count + 1, sizeof *sources);
    struct api_answer answer;

    if (sources == NULL)
        answer = api_memory_problem();
    else if (json == NULL)
        answer = api_problem(400, NULL, NULL, "line %d, column %d: %s", error.line, error.column,
                             error.text);
    else if (read_files(files, sources))
        answer = apply_guarded(r, sources, count, options);
    else
        answer = api_problem(400, NULL, "files",
                             "expected {\"files\": [{\"file\": NAME, \"text\": YAML}]}");
    free(sources);
    json_decref(json);
    return answer;
}

static bool is_json(const char *type)
{
    return type != NULL && slice_equal_nocase(slice_trim((struct slice){type, strcspn(type, ";")}),
                                              SLICE("application/json"));
}

struct api_answer api_apply(struct api_request *r)
{
    const char *prune = api_query(r, "prune"), *file = api_query(r, "file");
    struct api_apply_options options = {.prune = prune != NULL, .what = "apply"};
    struct api_answer answer;

    if (prune != NULL && strcmp(prune, "users") != 0)
        return api_problem(400, NULL, "prune", "prune names a kind of resource: users");
    if (!api_query_flag(r, "dry_run", &options.dry_run, &answer))
        return answer;
    if (is_json(api_header(r, "Content-Type")))
        return apply_files(r, &options);

    struct resources_source source = {.file = file != NULL && file[0] != '\0' ? file : "body",
                                      .text = {r->body != NULL ? r->body : "", r->body_len}};
    return apply_guarded(r, &source, 1, &options);
}

struct api_answer api_delete_users(struct api_request *r, const struct user *users, size_t count)
{
    struct api_answer failed;
    uint64_t version = 0;
    struct store_user_change *changes = calloc(count + 1, sizeof *changes);
    if (changes == NULL)
        return api_memory_problem();

    for (size_t i = 0; i < count; i++)
        changes[i] = (struct store_user_change){.verb = STORE_DELETE, .user = &users[i]};
    char what[USER_NAME_MAX + 16];
    snprintf(what, sizeof what, "delete users %s", r->name);
    bool done = commit(r, changes, count, what, &version, &failed);
    free(changes);
    if (!done)
        return failed;
    return (struct api_answer){.status = 204};
}

struct api_answer api_export(struct api_request *r)
{
    struct store_users *stored = NULL;
    size_t capacity = 64 * 1024;

    if (store_users_load(r->api->config.store, &stored) != OK)
        return api_problem(503, NULL, NULL, "the store cannot be read now; try again");
    for (;;) {
        char *text = malloc(capacity);
        if (text == NULL) {
            store_users_free(stored);
            return api_memory_problem();
        }
        struct builder b = builder_over(text, capacity);
        resources_export_users(stored->items, stored->count, &b);
        if (!b.overflow) {
            store_users_free(stored);
            return (struct api_answer){.status = 200,
                                       .text = {.data = text, .len = b.len, .capacity = capacity},
                                       .type = "application/yaml"};
        }
        free(text);
        capacity *= 2;
    }
}
