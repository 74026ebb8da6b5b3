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
    {"NAME", "name"},   {"EXTENSION", "extension"}, {"DISPLAY NAME", "display_name"},
    {"ROLE", "role"},   {"NUMBER", "caller_number"}, {"EMAIL", "email"},
    {"DND", "do_not_disturb"}, {"PASSWORD", "has_password"},
};

static void print_errors(const struct config_errors *errors)
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

static bool check_config(const struct cli *cli)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    bool sound = config_load(cli->config, &errors, &config) == OK;
    print_errors(&errors);
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

    bool sound = resources_read_files(cli->operands + 1, cli->operand_count - 1, &errors,
                                      &files) == OK;
    sound = sound && resources_parse(files.items, files.count, &errors, &resources) == OK;
    sound = sound && resources_plan(resources, NULL, 0, &options, &errors, &plan) == OK;
    print_errors(&errors);
    resources_plan_free(plan);
    resources_free(resources);
    resources_files_release(&files);
    config_errors_release(&errors);
    return sound;
}

int cli_check(const struct cli *cli)
{
    bool sound = true;

    if (cli->config != NULL || cli->operand_count == 1)
        sound = check_config(cli);
    if (cli->operand_count > 1)
        sound = check_resources(cli) && sound;
    if (sound)
        printf("ok\n");
    return sound ? CLI_DONE : CLI_NO;
}

/* ---- apply ---- */

static char *read_standard_input(void)
{
    size_t len = 0, capacity = 65536;
    char *text = malloc(capacity);

    while (text != NULL) {
        len += fread(text + len, 1, capacity - len - 1, stdin);
        if (feof(stdin) || ferror(stdin) || capacity > CONFIG_TEXT_MAX)
            break;
        capacity *= 2;
        char *more = realloc(text, capacity);
        if (more == NULL)
            free(text);
        text = more;
    }
    if (text != NULL)
        text[len] = '\0';
    return text;
}

static void add_file(json_t *files, const char *name, struct slice text)
{
    json_t *string = json_stringn(text.data != NULL ? text.data : "", text.len);

    if (string == NULL) /* the server names the place; here it can only be that it is not UTF-8 */
        string = json_string("not UTF-8: save the file as UTF-8");
    json_array_append_new(files, json_pack("{s:s, s:o}", "file", name, "text", string));
}

/** All files with their names; NULL when one cannot be read (said already). */
static json_t *gather(const struct cli *cli)
{
    json_t *files = json_array();
    bool sound = files != NULL;

    for (size_t i = 1; sound && i < cli->operand_count; i++) {
        if (strcmp(cli->operands[i], "-") == 0) {
            char *text = read_standard_input();
            if (text != NULL)
                add_file(files, "-", slice_of(text));
            free(text);
            continue;
        }
        struct config_errors errors = {0};
        struct resources_files found = {0};
        sound = resources_read_files(&cli->operands[i], 1, &errors, &found) == OK;
        for (size_t k = 0; sound && k < found.count; k++)
            add_file(files, found.items[k].file, found.items[k].text);
        print_errors(&errors);
        resources_files_release(&found);
        config_errors_release(&errors);
    }
    if (sound)
        return json_pack("{s:o}", "files", files);
    json_decref(files);
    return NULL;
}

static void print_steps(const json_t *result, const char *verb)
{
    const json_t *list = json_object_get(result, verb);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        printf("%-8s %s %s\n", verb, json_string_value(json_object_get(item, "kind")),
               json_string_value(json_object_get(item, "name")));
    }
}

static void print_result(const struct cli *cli, const char *body)
{
    static const char *const verbs[] = {"created", "changed", "left", "deleted"};
    json_t *result = json_loads(body != NULL ? body : "", 0, NULL);
    const json_t *passwords = json_object_get(result, "passwords");

    if (cli->json) {
        json_dumpf(result, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(result);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(verbs); i++)
        print_steps(result, verbs[i]);
    printf("%zu created, %zu changed, %zu left, %zu deleted%s\n",
           json_array_size(json_object_get(result, "created")),
           json_array_size(json_object_get(result, "changed")),
           json_array_size(json_object_get(result, "left")),
           json_array_size(json_object_get(result, "deleted")),
           cli->dry_run ? " (dry run: nothing was changed)" : "");
    if (json_array_size(passwords) > 0)
        printf("\nPasswords made now, shown this once:\n");
    for (size_t i = 0; i < json_array_size(passwords); i++) {
        const json_t *item = json_array_get(passwords, i);
        printf("  %-20s %s\n", json_string_value(json_object_get(item, "name")),
               json_string_value(json_object_get(item, "password")));
    }
    json_decref(result);
}

static int send_apply(const struct cli *cli, json_t *files)
{
    char path[256];
    char *body = json_dumps(files, JSON_COMPACT);

    snprintf(path, sizeof path, "/api/v1/apply?dry_run=%d%s%s", cli->dry_run,
             cli->prune != NULL ? "&prune=" : "", cli->prune != NULL ? cli->prune : "");
    struct cli_reply reply = cli_request(cli, "POST", path, body, "application/json", NULL);
    int code = CLI_DONE;
    if (reply.status == 200)
        print_result(cli, reply.body);
    else
        code = cli_fail(&reply);
    cli_reply_release(&reply);
    free(body);
    return code;
}

int cli_apply(const struct cli *cli)
{
    json_t *files = gather(cli);
    if (files == NULL)
        return CLI_NO;

    int code = send_apply(cli, files);
    json_decref(files);
    return code;
}

/* ---- the others ---- */

static bool is_users(const char *kind)
{
    if (strcmp(kind, "users") == 0)
        return true;
    fprintf(stderr, "strowger: no kind of resource named `%s` in this version; there is: users\n",
            kind);
    return false;
}

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

static int get_one(const struct cli *cli, const char *path)
{
    struct cli_reply reply = cli_request(cli, "GET", path, NULL, NULL, NULL);
    int code = CLI_DONE;

    json_t *item = reply.status == 200 ? json_loads(reply.body, 0, NULL) : NULL;
    if (item == NULL) {
        code = cli_fail(&reply);
    } else if (cli->json) {
        json_dumpf(item, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        json_t *items = json_pack("[O]", item);
        cli_print_table(items, user_columns, COUNT_OF(user_columns));
        json_decref(items);
    }
    json_decref(item);
    cli_reply_release(&reply);
    return code;
}

/** "/api/v1/users/NAME"; the caller frees. */
static char *user_path(const char *name)
{
    char *escaped = cli_escape(name);
    size_t size = escaped != NULL ? strlen(escaped) + 32 : 0;
    char *path = escaped != NULL ? malloc(size) : NULL;

    if (path != NULL)
        snprintf(path, size, "/api/v1/users/%s", escaped);
    free(escaped);
    return path;
}

int cli_get(const struct cli *cli)
{
    if (!is_users(cli->operands[1]))
        return CLI_USAGE;
    if (cli->operand_count == 2)
        return cli_list(cli, "/api/v1/users", user_columns, COUNT_OF(user_columns));

    char *path = user_path(cli->operands[2]);
    int code = path != NULL ? get_one(cli, path) : CLI_NO;
    free(path);
    return code;
}

int cli_delete(const struct cli *cli)
{
    if (!is_users(cli->operands[1]))
        return CLI_USAGE;

    char *path = user_path(cli->operands[2]);
    if (path == NULL)
        return CLI_NO;
    struct cli_reply reply = cli_request(cli, "DELETE", path, NULL, NULL, "*");
    int code = CLI_DONE;
    if (reply.status != 204)
        code = cli_fail(&reply);
    else
        printf("deleted users %s\n", cli->operands[2]);
    cli_reply_release(&reply);
    free(path);
    return code;
}

/** The first line of standard input, or one that is made; the caller frees. */
static char *new_password(bool *made)
{
    char made_text[RESOURCES_PASSWORD_MAX], line[1024] = "";

    *made = isatty(STDIN_FILENO) || fgets(line, sizeof line, stdin) == NULL ||
            line[strcspn(line, "\r\n")] == line[0];
    if (!*made) {
        line[strcspn(line, "\r\n")] = '\0';
        return strdup(line);
    }
    resources_make_password(made_text);
    return strdup(made_text);
}

int cli_user(const struct cli *cli)
{
    if (strcmp(cli->operands[1], "passwd") != 0) {
        fprintf(stderr, "usage: strowger user passwd NAME\n");
        return CLI_USAGE;
    }
    bool made;
    char *path = user_path(cli->operands[2]), *password = new_password(&made);
    json_t *json = password != NULL ? json_pack("{s:s}", "password", password) : NULL;
    char *body = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    int code = CLI_NO;

    if (path != NULL && body != NULL) {
        struct cli_reply reply = cli_request(cli, "PATCH", path, body, "application/json", "*");
        code = reply.status == 200 ? CLI_DONE : cli_fail(&reply);
        cli_reply_release(&reply);
    }
    if (code == CLI_DONE && made)
        printf("new password of %s, shown this once: %s\n", cli->operands[2], password);
    else if (code == CLI_DONE)
        printf("password of %s changed\n", cli->operands[2]);
    json_decref(json);
    free(body);
    free(password);
    free(path);
    return code;
}
