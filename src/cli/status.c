/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/status - status, registrations, tokens, history.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

int cli_registrations(const struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"AOR", "aor"},           {"CONTACT", "contact"}, {"EXPIRES IN", "expires_in"},
        {"TRANSPORT", "transport"}, {"FLOW", "flow"},     {"RECEIVED", "received"},
        {"USER AGENT", "user_agent"},
    };
    char path[CLI_PATH_MAX] = "/api/v1/registrations";

    if (cli->operand_count == 2) {
        char *aor = cli_escape(cli->operands[1]);
        if (aor == NULL)
            return CLI_NO;
        snprintf(path, sizeof path, "/api/v1/registrations?aor=%s", aor);
        free(aor);
    }
    return cli_list(cli, path, columns, COUNT_OF(columns));
}

int cli_history(const struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"VERSION", "version"}, {"TIME", "time"}, {"WHO", "who"}, {"WHAT", "what"}};
    return cli_list(cli, "/api/v1/history", columns, COUNT_OF(columns));
}

/* ---- tokens ---- */

static int token_create(const struct cli *cli)
{
    if (cli->role == NULL) {
        fprintf(stderr, "usage: strowger token create --role admin|analyst|agent [NAME]\n");
        return CLI_USAGE;
    }
    const char *name = cli->operand_count > 2 ? cli->operands[2] : cli->role;
    json_t *json = json_pack("{s:s, s:s}", "name", name, "role", cli->role);
    char *body = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    struct cli_reply reply =
        cli_request(cli, "POST", "/api/v1/tokens", body, "application/json", NULL);
    int code = CLI_DONE;

    json_t *made = reply.status == 201 ? json_loads(reply.body, 0, NULL) : NULL;
    if (made == NULL) {
        code = cli_fail(&reply);
    } else if (cli->json) {
        json_dumpf(made, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        printf("token %s (%s), shown this once:\n%s\n", name, cli->role,
               json_string_value(json_object_get(made, "token")));
    }
    json_decref(made);
    cli_reply_release(&reply);
    free(body);
    json_decref(json);
    return code;
}

static int token_delete(const struct cli *cli)
{
    char path[CLI_PATH_MAX];
    char *name = cli->operand_count > 2 ? cli_escape(cli->operands[2]) : NULL;
    if (name == NULL) {
        fprintf(stderr, "usage: strowger token delete NAME\n");
        return CLI_USAGE;
    }
    snprintf(path, sizeof path, "/api/v1/tokens/%s", name);
    free(name);
    struct cli_reply reply = cli_request(cli, "DELETE", path, NULL, NULL, NULL);
    int code = reply.status == 204 ? CLI_DONE : cli_fail(&reply);
    if (code == CLI_DONE)
        printf("deleted token %s\n", cli->operands[2]);
    cli_reply_release(&reply);
    return code;
}

int cli_token(const struct cli *cli)
{
    static const struct cli_column columns[] = {
        {"NAME", "name"}, {"ROLE", "role"}, {"CREATED", "created"}};

    if (strcmp(cli->operands[1], "create") == 0)
        return token_create(cli);
    if (strcmp(cli->operands[1], "delete") == 0)
        return token_delete(cli);
    if (strcmp(cli->operands[1], "list") == 0)
        return cli_list(cli, "/api/v1/tokens", columns, COUNT_OF(columns));
    fprintf(stderr, "usage: strowger token create --role ROLE [NAME] | list | delete NAME\n");
    return CLI_USAGE;
}

/* ---- status ---- */

/** "3 d 4 h", "5 min", "12 s". */
static void duration_text(json_int_t seconds, char out[static 32])
{
    if (seconds >= 86400)
        snprintf(out, 32, "%lld d %lld h", (long long)seconds / 86400,
                 (long long)seconds % 86400 / 3600);
    else if (seconds >= 3600)
        snprintf(out, 32, "%lld h %lld min", (long long)seconds / 3600,
                 (long long)seconds % 3600 / 60);
    else if (seconds >= 60)
        snprintf(out, 32, "%lld min", (long long)seconds / 60);
    else
        snprintf(out, 32, "%lld s", (long long)seconds);
}

/** The members of an object, `name value` each, as many as fit on a line. */
static void print_object(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    int column = printf("%-12s", title);

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char text[256];
        if (json_is_object(value))
            continue;
        cli_value_text(value, text, sizeof text);
        if (column + (int)(strlen(key) + strlen(text)) + 4 > 96)
            column = printf("\n%-12s", "") - 1;
        column += printf("%s %s   ", key, text);
    }
    printf("\n");
}

static void print_status(const json_t *status)
{
    static const struct cli_column workers[] = {
        {"WORKER", "worker"},           {"BUSY %", "busy_percent"}, {"TRANSACTIONS", "transactions"},
        {"CONTEXTS", "contexts"},       {"CONNECTIONS", "connections"},
        {"MEMORY", "memory_bytes"},     {"RECEIVED", "received"},
    };
    const json_t *alarms = json_object_get(status, "alarms");
    char uptime[32];

    for (size_t i = 0; i < json_array_size(alarms); i++)
        printf("ALARM: %s\n", json_string_value(json_array_get(alarms, i)));
    duration_text(json_integer_value(json_object_get(status, "uptime_s")), uptime);
    printf("%-12s%s, version %s, up %s\n", "strowger",
           json_string_value(json_object_get(status, "state")),
           json_string_value(json_object_get(status, "version")), uptime);
    char text[1024];
    cli_value_text(json_object_get(status, "listeners"), text, sizeof text);
    printf("%-12s%s\n", "listening", text);
    cli_value_text(json_object_get(status, "domains"), text, sizeof text);
    printf("%-12s%s\n", "domains", text);
    print_object("policy", json_object_get(status, "policy"));
    print_object("location", json_object_get(status, "location"));
    print_object("store", json_object_get(status, "store"));
    print_object("requests", json_object_get(status, "requests"));
    print_object("refused", json_object_get(status, "refused"));
    printf("\n");
    cli_print_table(json_object_get(status, "workers"), workers, COUNT_OF(workers));
}

int cli_status(const struct cli *cli)
{
    struct cli_reply reply = cli_request(cli, "GET", "/api/v1/status", NULL, NULL, NULL);
    int code = CLI_DONE;

    json_t *status = reply.status == 200 ? json_loads(reply.body, 0, NULL) : NULL;
    if (status == NULL) {
        code = cli_fail(&reply);
    } else if (cli->json) {
        json_dumpf(status, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print_status(status);
    }
    json_decref(status);
    cli_reply_release(&reply);
    return code;
}
