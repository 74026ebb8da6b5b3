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
        {"AOR", "aor"},
        {"CONTACT", "contact"},
        {"EXPIRES IN", "expires_in"},
        {"TRANSPORT", "transport"},
        {"FLOW", "flow"},
        {"RECEIVED", "received"},
        {"USER AGENT", "user_agent"},
    };
    char path[CLI_PATH_MAX / 2] = "/api/v1/registrations";

    if (cli->operand_count == 2) {
        char *aor = cli_escape(cli->operands[1]);
        if (aor == NULL || strlen(aor) > sizeof path - 64) {
            fprintf(stderr, "strowger: this is no address-of-record: too long\n");
            free(aor);
            return CLI_USAGE;
        }
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

    json_t *made = reply.status == 201 ? cli_json(&reply) : NULL;
    if (made == NULL) {
        code = cli_fail(&reply);
    } else if (cli->json) {
        cli_print_json(made);
    } else {
        char text[256];
        printf("token %s (%s), shown this once:\n%s\n", name, cli->role,
               cli_member(made, "token", text, sizeof text));
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
    if (name == NULL || strlen(name) > sizeof path - 64) {
        fprintf(stderr, "usage: strowger token delete NAME\n");
        free(name);
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
    if (strcmp(cli->operands[1], "list") == 0 && cli->operand_count == 2)
        return cli_list(cli, "/api/v1/tokens", columns, COUNT_OF(columns));
    fprintf(stderr, "usage: strowger token create --role ROLE [NAME] | list | delete NAME\n");
    return CLI_USAGE;
}

/* ---- status ---- */

const char *cli_duration(json_int_t seconds, char out[static 32])
{
    long long s = seconds;

    if (s >= 86400)
        snprintf(out, 32, "%lld d %lld h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        snprintf(out, 32, "%lld h %lld min", s / 3600, s % 3600 / 60);
    else if (s >= 60)
        snprintf(out, 32, "%lld min", s / 60);
    else
        snprintf(out, 32, "%lld s", s);
    return out;
}

const char *cli_size(json_int_t bytes, char out[static 32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < COUNT_OF(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/** A title, or the room below it. */
static int print_title(const char *title)
{
    return printf("%-12s", title);
}

/** The items of a list, one a line. */
static void print_list(const char *title, const json_t *list)
{
    char text[256];

    for (size_t i = 0; i < json_array_size(list); i++) {
        print_title(i == 0 ? title : "");
        cli_value_text(json_array_get(list, i), text, sizeof text);
        printf("%s\n", text);
    }
}

/** The members of an object, `name value` each, as many as fit on a line. */
static void print_object(const char *title, const json_t *object)
{
    enum {
        LINE = 96
    };
    const char *key;
    json_t *value;
    int column = print_title(title);
    bool first = true;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char text[256];
        cli_value_text(value, text, sizeof text);
        int width = (int)(strlen(key) + strlen(text)) + 3;
        if (!first && column + width > LINE) {
            printf("\n");
            column = print_title("");
            first = true;
        }
        column += printf("%s%s %s", first ? "" : ", ", key, text);
        first = false;
    }
    printf("%s\n", json_object_size(object) == 0 ? "none" : "");
}

static void print_store(const json_t *store)
{
    char kind[64], size[32];

    print_title("store");
    printf("%s", cli_member(store, "kind", kind, sizeof kind));
    if (strcmp(kind, "memory") == 0) {
        printf(": keeps nothing over a restart\n");
        return;
    }
    printf(", journal %s, %lld not yet in the database\n",
           cli_size(number_of(store, "journal_bytes"), size),
           (long long)number_of(store, "journal_depth"));
    print_title("");
    printf("%lld written, %lld failed, %lld refused; sync %.1f ms, at worst %.1f ms\n",
           (long long)number_of(store, "synced"), (long long)number_of(store, "failed"),
           (long long)number_of(store, "refused_full"),
           (double)number_of(store, "last_sync_us") / 1000.0,
           (double)number_of(store, "max_sync_us") / 1000.0);
}

static void print_bans(const json_t *bans)
{
    print_title("barred");
    printf("%lld (strowger get bans), %lld since the start; %lld failed logins\n",
           (long long)number_of(bans, "now"), (long long)number_of(bans, "since_start"),
           (long long)number_of(bans, "logins_failed"));
}

/** A line for each reason: how many calls, and what is missing. */
static void print_no_audio(const json_t *reasons)
{
    const char *title = "no audio";
    const char *reason;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)reasons, reason, value)
    {
        char missing[256];
        print_title(title);
        printf("%lld %s: %s\n", (long long)number_of(value, "calls"), reason,
               cli_member(value, "missing", missing, sizeof missing));
        title = "";
    }
}

static void print_memory(const json_t *memory)
{
    char total[32], calls[32], location[32], connections[32];

    print_title("memory");
    printf("at most %s: calls %s, location table %s, connections %s, and small things\n",
           cli_size(number_of(memory, "total"), total), cli_size(number_of(memory, "calls"), calls),
           cli_size(number_of(memory, "location"), location),
           cli_size(number_of(memory, "connections"), connections));
}

static void print_workers(const json_t *workers)
{
    static const struct cli_column columns[] = {
        {"WORKER", "worker"},      {"BUSY %", "busy_percent"},     {"TRANSACTIONS", "transactions"},
        {"IN FLIGHT", "contexts"}, {"CONNECTIONS", "connections"}, {"MEMORY", "memory"},
        {"RECEIVED", "received"},
    };
    json_t *rows = json_deep_copy(workers);
    size_t i;
    json_t *row;
    char size[32];

    json_array_foreach(rows, i, row) json_object_set_new(
        row, "memory", json_string(cli_size(number_of(row, "memory_bytes"), size)));
    printf("\n");
    cli_print_table(rows, columns, COUNT_OF(columns));
    json_decref(rows);
}

void cli_print_status(const json_t *status)
{
    const json_t *alarms = json_object_get(status, "alarms");
    const json_t *policy = json_object_get(status, "policy");
    const json_t *location = json_object_get(status, "location");
    char text[256], version[64], uptime[32];

    for (size_t i = 0; i < json_array_size(alarms); i++) {
        cli_value_text(json_array_get(alarms, i), text, sizeof text);
        printf("ALARM: %s\n", text);
    }
    printf("strowger %s: %s for %s, %s\n\n", cli_member(status, "version", version, sizeof version),
           cli_member(status, "state", text, sizeof text),
           cli_duration(number_of(status, "uptime_s"), uptime),
           json_array_size(alarms) > 0 ? "with ALARMS" : "no alarms");
    print_list("listening", json_object_get(status, "listeners"));
    print_list("domains", json_object_get(status, "domains"));
    print_title("users");
    printf("%lld (policy version %lld)\n", (long long)number_of(policy, "users"),
           (long long)number_of(policy, "version"));
    print_title("registered");
    printf("%lld (strowger registrations)\n", (long long)number_of(location, "aors"));
    print_bans(json_object_get(status, "bans"));
    if (json_object_get(status, "dns") != NULL) /* an older server has none */
        print_object("dns", json_object_get(status, "dns"));
    if (json_object_get(status, "tls") != NULL)
        print_object("tls", json_object_get(status, "tls"));
    if (json_is_object(json_object_get(status, "push")))
        print_object("push", json_object_get(status, "push"));
    print_store(json_object_get(status, "store"));
    print_memory(json_object_get(status, "memory_max"));
    print_object("requests", json_object_get(status, "requests"));
    print_object("refused", json_object_get(status, "refused"));
    print_no_audio(json_object_get(status, "no_audio")); /* an older server has none */
    print_workers(json_object_get(status, "workers"));
}

int cli_status(const struct cli *cli)
{
    struct cli_reply reply = cli_request(cli, "GET", "/api/v1/status", NULL, NULL, NULL);
    int code = CLI_DONE;

    json_t *status = reply.status == 200 ? cli_json(&reply) : NULL;
    if (status == NULL)
        code = cli_fail(&reply);
    else if (cli->json)
        cli_print_json(status);
    else
        cli_print_status(status);
    json_decref(status);
    cli_reply_release(&reply);
    return code;
}
