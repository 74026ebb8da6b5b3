/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/resources - check, apply, export, get, delete, user passwd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/internal.h"
#include "config/config.h"

static const struct cli_column user_columns[] = {
    {"NAME", "name"},          {"EXTENSION", "extension"},   {"DISPLAY NAME", "display_name"},
    {"ROLE", "role"},          {"NUMBER", "caller_number"},  {"EMAIL", "email"},
    {"DND", "do_not_disturb"}, {"PASSWORD", "has_password"},
};

static const struct cli_column ban_columns[] = {
    {"NAME", "name"},
    {"REASON", "reason"},
    {"TIMES", "times"},
    {"EXPIRES IN", "expires_in"},
};

/** Of what can be shown and deleted. */
static bool is_kind(const char *kind, bool *bans)
{
    *bans = strcmp(kind, "bans") == 0;
    if (*bans || strcmp(kind, "users") == 0)
        return true;
    fprintf(stderr,
            "strowger: no kind of resource named `%s` in this version; there are: users, bans\n",
            kind);
    return false;
}

static bool is_users(const char *kind)
{
    if (strcmp(kind, "users") == 0)
        return true;
    fprintf(stderr, "strowger: no kind of resource named `%s` in this version; there is: users\n",
            kind);
    return false;
}

void cli_print_errors(const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        char line[CONFIG_ERROR_TEXT_MAX + CONFIG_FILE_MAX + CONFIG_KEY_MAX + 64];
        struct builder b = builder_over(line, sizeof line);
        config_error_write(&errors->items[i], &b);
        fprintf(stderr, "%.*s\n", SLICE_ARG(builder_slice(&b)));
    }
    if (errors->dropped > 0)
        fprintf(stderr, "and %zu more errors\n", errors->dropped);
}

/* ---- check ---- */

static size_t config_mistakes(const char *file)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    bool sound = config_load(file, &errors, &config) == OK;
    size_t count = sound ? 0 : errors.count + errors.dropped;
    config_errors_release(&errors);
    config_free(config);
    return count;
}

static size_t resource_mistakes(const char *file)
{
    struct config_errors errors = {0};
    struct resources_files files = {0};
    struct resources *resources = NULL;

    bool sound = resources_read_files(&file, 1, &errors, &files) == OK &&
                 resources_parse(files.items, files.count, &errors, &resources) == OK;
    size_t count = sound ? 0 : errors.count + errors.dropped;
    resources_free(resources);
    resources_files_release(&files);
    config_errors_release(&errors);
    return count;
}

/** A file of the one kind taken for one of the other gives a heap of errors and no idea. */
static void hint_at_kind(const char *file, bool as_config)
{
    size_t config = config_mistakes(file), resources = resource_mistakes(file);

    if (as_config && resources < config)
        fprintf(stderr, "strowger: %s holds resources, it seems: strowger check %s\n", file, file);
    if (!as_config && config < resources)
        fprintf(stderr,
                "strowger: %s is the configuration of a node, it seems: strowger check -c %s\n",
                file, file);
}

static bool check_config(const struct cli *cli)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    bool sound = config_load(cli->config, &errors, &config) == OK;
    sound = sound && config_check_files(config, &errors);
    cli_print_errors(&errors);
    if (!sound && cli->config != NULL)
        hint_at_kind(cli->config, true);
    config_errors_release(&errors);
    config_free(config);
    return sound;
}

static bool check_resources(const struct cli *cli)
{
    struct config_errors errors = {0};
    struct resources_files files = {0};
    struct resources *resources = NULL;
    struct resources_plan *plan = NULL;
    struct resources_options options = {
        .realm = SLICE("check"), .digest = cli->hooks->digest, .user = cli->hooks->user};

    bool sound =
        resources_read_files(cli->operands + 1, cli->operand_count - 1, &errors, &files) == OK;
    sound = sound && resources_parse(files.items, files.count, &errors, &resources) == OK;
    sound = sound && resources_plan(resources, NULL, 0, &options, &errors, &plan) == OK;
    cli_print_errors(&errors);
    resources_plan_free(plan);
    resources_free(resources);
    resources_files_release(&files);
    config_errors_release(&errors);
    for (size_t i = 1; !sound && i < cli->operand_count; i++)
        hint_at_kind(cli->operands[i], false);
    return sound;
}

int cli_check(const struct cli *cli)
{
    bool sound = true;

    if (cli->config != NULL || cli->operand_count == 1)
        sound = check_config(cli);
    if (cli->operand_count > 1)
        sound = check_resources(cli) && sound;
    if (sound && cli->config == NULL && cli->operand_count == 1)
        printf("ok: the embedded defaults (a file: strowger check -c FILE)\n");
    else if (sound)
        printf("ok\n");
    return sound ? CLI_DONE : CLI_NO;
}

/* ---- apply ---- */

/** All of standard input, NUL-terminated; the caller frees. NULL: said already. */
static char *read_standard_input(size_t *len)
{
    size_t capacity = 65536;
    char *text = malloc(capacity);

    *len = 0;
    while (text != NULL) {
        *len += fread(text + *len, 1, capacity - *len - 1, stdin);
        if (*len > CONFIG_TEXT_MAX || feof(stdin) || ferror(stdin))
            break;
        capacity *= 2;
        char *more = realloc(text, capacity);
        if (more == NULL)
            free(text);
        text = more;
    }
    if (text != NULL && *len <= CONFIG_TEXT_MAX && !ferror(stdin)) {
        text[*len] = '\0';
        return text;
    }
    if (text != NULL && ferror(stdin))
        fprintf(stderr, "-:0:0: error: standard input cannot be read\n");
    else
        fprintf(stderr, "-:0:0: error: standard input has more than %d bytes\n", CONFIG_TEXT_MAX);
    free(text);
    return NULL;
}

/** Adds a file to the request. False: it is no text; said already. */
static bool add_file(json_t *files, const char *name, struct slice text)
{
    if (text.len == 0)
        text.data = "";
    json_t *string = json_stringn(text.data, text.len);

    if (string == NULL || slice_find(text, '\0') != SIZE_MAX) {
        fprintf(stderr, "%s:0:0: error: this is no UTF-8 text: save it as UTF-8\n", name);
        json_decref(string);
        return false;
    }
    json_t *file = json_string(name);
    if (file == NULL) /* a file name may be any bytes */
        file = json_string("(name is not UTF-8)");
    return json_array_append_new(files, json_pack("{s:o, s:o}", "file", file, "text", string)) == 0;
}

static bool add_standard_input(json_t *files)
{
    size_t len;
    char *text = read_standard_input(&len);

    bool sound = text != NULL && add_file(files, "-", (struct slice){text, len});
    free(text);
    return sound;
}

static bool add_path(json_t *files, const char *path)
{
    struct config_errors errors = {0};
    struct resources_files found = {0};

    bool sound = resources_read_files(&path, 1, &errors, &found) == OK;
    for (size_t i = 0; sound && i < found.count; i++)
        sound = add_file(files, found.items[i].file, found.items[i].text);
    cli_print_errors(&errors);
    resources_files_release(&found);
    config_errors_release(&errors);
    return sound;
}

/** All files with their names; NULL when one cannot be read (said already). */
static json_t *gather(const struct cli *cli)
{
    json_t *files = json_array();
    bool sound = files != NULL;

    for (size_t i = 1; sound && i < cli->operand_count; i++)
        sound = strcmp(cli->operands[i], "-") == 0 ? add_standard_input(files)
                                                   : add_path(files, cli->operands[i]);
    if (sound)
        return json_pack("{s:o}", "files", files);
    json_decref(files);
    return NULL;
}

static void print_steps(const json_t *result, const char *verb)
{
    const json_t *list = json_object_get(result, verb);
    char kind[64], name[256];

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        printf("%-8s %s %s\n", verb, cli_member(item, "kind", kind, sizeof kind),
               cli_member(item, "name", name, sizeof name));
    }
}

static void print_passwords(const json_t *passwords)
{
    char name[256], password[256];

    if (json_array_size(passwords) > 0)
        printf("\nPasswords made now, shown this once:\n");
    for (size_t i = 0; i < json_array_size(passwords); i++) {
        const json_t *item = json_array_get(passwords, i);
        printf("  %-20s %s\n", cli_member(item, "name", name, sizeof name),
               cli_member(item, "password", password, sizeof password));
    }
}

static void print_result(const struct cli *cli, const json_t *result)
{
    static const char *const verbs[] = {"created", "changed", "left", "deleted"};

    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        print_steps(result, verbs[i]);
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        printf("%s%zu %s", i > 0 ? ", " : "", json_array_size(json_object_get(result, verbs[i])),
               verbs[i]);
    printf("%s\n", cli->dry_run ? " (dry run: nothing was changed)" : "");
    print_passwords(json_object_get(result, "passwords"));
}

/** "/api/v1/apply?..." ; the caller frees. */
static char *apply_path(const struct cli *cli)
{
    char *prune = cli->prune != NULL ? cli_escape(cli->prune) : NULL;
    size_t size = 64 + (prune != NULL ? strlen(prune) : 0);
    char *path = malloc(size);

    if (path != NULL)
        snprintf(path, size, "/api/v1/apply?dry_run=%d%s%s", cli->dry_run,
                 prune != NULL ? "&prune=" : "", prune != NULL ? prune : "");
    free(prune);
    return path;
}

static int send_apply(const struct cli *cli, const json_t *files)
{
    char *body = json_dumps(files, JSON_COMPACT), *path = apply_path(cli);
    struct cli_reply reply = {.exit = CLI_NO};

    if (body != NULL && path != NULL)
        reply = cli_request(cli, "POST", path, body, "application/json", NULL);
    json_t *result = reply.status == 200 ? cli_json(&reply) : NULL;
    int code = result != NULL ? CLI_DONE : cli_fail(&reply);
    if (result != NULL && cli->json)
        cli_print_json(result);
    else if (result != NULL)
        print_result(cli, result);
    for (size_t i = 1; reply.status == 422 && i < cli->operand_count; i++)
        if (strcmp(cli->operands[i], "-") != 0)
            hint_at_kind(cli->operands[i], false);
    json_decref(result);
    cli_reply_release(&reply);
    free(path);
    free(body);
    return code;
}

int cli_apply(const struct cli *cli)
{
    if (cli->prune != NULL && !is_users(cli->prune))
        return CLI_USAGE;
    json_t *files = gather(cli);
    if (files == NULL)
        return CLI_NO;

    int code = send_apply(cli, files);
    json_decref(files);
    return code;
}

/* ---- the others ---- */

int cli_export(const struct cli *cli)
{
    for (size_t i = 1; i < cli->operand_count; i++)
        if (!is_users(cli->operands[i]))
            return CLI_USAGE;
    struct cli_reply reply = cli_request(cli, "GET", "/api/v1/export", NULL, NULL, NULL);
    int code = CLI_DONE;
    if (reply.status == 200)
        fwrite(reply.body != NULL ? reply.body : "", 1, reply.len, stdout);
    else
        code = cli_fail(&reply);
    cli_reply_release(&reply);
    return code;
}

static int get_one(const struct cli *cli, const char *path, const struct cli_column *columns,
                   size_t count)
{
    struct cli_reply reply = cli_request(cli, "GET", path, NULL, NULL, NULL);
    int code = CLI_DONE;

    json_t *item = reply.status == 200 ? cli_json(&reply) : NULL;
    if (item == NULL) {
        code = cli_fail(&reply);
    } else if (cli->json) {
        cli_print_json(item);
    } else {
        json_t *items = json_pack("[O]", item);
        cli_print_table(items, columns, count);
        json_decref(items);
    }
    json_decref(item);
    cli_reply_release(&reply);
    return code;
}

/** "/api/v1/KIND/NAME"; the caller frees. */
static char *path_of(const char *kind, const char *name)
{
    char *escaped = cli_escape(name);
    size_t size = escaped != NULL ? strlen(escaped) + strlen(kind) + 32 : 0;
    char *path = escaped != NULL ? malloc(size) : NULL;

    if (path != NULL)
        snprintf(path, size, "/api/v1/%s/%s", kind, escaped);
    free(escaped);
    return path;
}

int cli_get(const struct cli *cli)
{
    const char *kind = cli->operands[1];
    bool bans;

    if (!is_kind(kind, &bans))
        return CLI_USAGE;
    const struct cli_column *columns = bans ? ban_columns : user_columns;
    size_t count = bans ? COUNT_OF(ban_columns) : COUNT_OF(user_columns);
    if (cli->operand_count == 2)
        return cli_list(cli, bans ? "/api/v1/bans" : "/api/v1/users", columns, count);

    char *path = path_of(kind, cli->operands[2]);
    int code = path != NULL ? get_one(cli, path, columns, count) : CLI_NO;
    free(path);
    return code;
}

int cli_delete(const struct cli *cli)
{
    const char *kind = cli->operands[1];
    bool bans;

    if (!is_kind(kind, &bans))
        return CLI_USAGE;
    char *path = path_of(kind, cli->operands[2]);
    if (path == NULL)
        return CLI_NO;
    struct cli_reply reply = cli_request(cli, "DELETE", path, NULL, NULL, NULL);
    int code = CLI_DONE;
    if (reply.status != 204)
        code = cli_fail(&reply);
    else
        printf("%s %s %s\n", bans ? "lifted" : "deleted", kind, cli->operands[2]);
    cli_reply_release(&reply);
    free(path);
    return code;
}

enum {
    PASSWORD_MAX = 256 /* bytes of one that is read */
};

/**
 * The first line of standard input, or one that is made when there is none or it is a terminal.
 * False: the line is too long, said already.
 */
static bool new_password(char out[static PASSWORD_MAX + 2], bool *made)
{
    *made = isatty(STDIN_FILENO) || fgets(out, PASSWORD_MAX + 2, stdin) == NULL;
    if (!*made) {
        size_t len = strcspn(out, "\r\n");
        if (out[len] == '\0' && len > PASSWORD_MAX) {
            fprintf(stderr, "strowger: a password has at most %d bytes\n", PASSWORD_MAX);
            return false;
        }
        out[len] = '\0';
        *made = len == 0;
    }
    if (*made)
        resources_make_password(out);
    return true;
}

static int send_password(const struct cli *cli, const char *name, const char *password)
{
    json_t *json = json_pack("{s:s}", "password", password);
    char *body = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL,
         *path = path_of("users", name);
    int code = CLI_NO;

    if (json == NULL) {
        fprintf(stderr, "strowger: the password is not UTF-8\n");
    } else if (body != NULL && path != NULL) {
        struct cli_reply reply =
            cli_request(cli, "PATCH", path, body, "application/merge-patch+json", NULL);
        code = reply.status == 200 ? CLI_DONE : cli_fail(&reply);
        cli_reply_release(&reply);
    }
    if (body != NULL)
        explicit_bzero(body, strlen(body));
    free(body);
    free(path);
    json_decref(json);
    return code;
}

int cli_user(const struct cli *cli)
{
    char password[PASSWORD_MAX + 2];
    bool made;

    if (strcmp(cli->operands[1], "passwd") != 0 || cli->operand_count != 3) {
        fprintf(stderr, "usage: strowger user passwd NAME\n");
        return CLI_USAGE;
    }
    if (!new_password(password, &made))
        return CLI_NO;
    int code = send_password(cli, cli->operands[2], password);
    if (code == CLI_DONE && made)
        printf("new password of %s, shown this once: %s\n", cli->operands[2], password);
    else if (code == CLI_DONE)
        printf("password of %s changed\n", cli->operands[2]);
    explicit_bzero(password, sizeof password);
    return code;
}
