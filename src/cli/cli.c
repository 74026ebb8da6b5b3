/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cli - the command line: options, commands, help.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"

struct command {
    const char *name;
    int (*run)(const struct cli *cli); /* NULL: not built yet, or special */
    size_t operands_min, operands_max; /* beside the command */
    const char *usage, *help;
};

static int serve(const struct cli *cli)
{
    return cli->hooks->serve(cli->hooks->user, cli->config);
}

static int not_built(const struct cli *cli)
{
    fprintf(stderr, "strowger: `%s` is not built yet in this version\n", cli->operands[0]);
    return CLI_USAGE;
}

static const struct command commands[] = {
    {"serve", serve, 0, 0, "serve [-c FILE]",
     "runs the router in the foreground; without a file: embedded defaults"},
    {"check", cli_check, 0, CLI_OPERANDS_MAX, "check [-c FILE] [RESOURCES...]",
     "validates a configuration and resources; every error at once"},
    {"apply", cli_apply, 1, CLI_OPERANDS_MAX, "apply [--dry-run] [--prune KIND] FILE...",
     "makes the resources in FILE (a file, a folder, -) so: all or nothing"},
    {"export", cli_export, 0, CLI_OPERANDS_MAX, "export [KIND...]",
     "all resources as YAML that `apply` takes back"},
    {"get", cli_get, 1, 2, "get KIND [NAME]", "one kind of resource as a table"},
    {"delete", cli_delete, 2, 2, "delete KIND NAME", "deletes one resource"},
    {"registrations", cli_registrations, 0, 1, "registrations [AOR]",
     "live bindings, one line per binding"},
    {"status", cli_status, 0, 0, "status", "health, addresses, workers, store, counters"},
    {"token", cli_token, 1, 2, "token create --role ROLE [NAME] | list | delete NAME",
     "credentials for the HTTP API"},
    {"user", cli_user, 2, 2, "user passwd NAME",
     "gives a user a new password, read from standard input or made and shown once"},
    {"history", cli_history, 0, 0, "history", "changes of the policy, newest first"},
    {"calls", not_built, 0, CLI_OPERANDS_MAX, "calls", "call records (not built yet)"},
    {"call", not_built, 0, CLI_OPERANDS_MAX, "call ID", "one call whole (not built yet)"},
    {"explain", not_built, 0, CLI_OPERANDS_MAX, "explain", "why a call goes there (not built yet)"},
    {"doctor", not_built, 0, CLI_OPERANDS_MAX, "doctor", "what is wrong around it (not built yet)"},
    {"import", not_built, 0, CLI_OPERANDS_MAX, "import KIND FILE.csv", "(not built yet)"},
    {"login-link", not_built, 0, CLI_OPERANDS_MAX, "login-link NAME", "(not built yet)"},
    {"rollback", not_built, 0, CLI_OPERANDS_MAX, "rollback VERSION", "(not built yet)"},
};

/* ---- help ---- */

static void print_help(FILE *out)
{
    fprintf(out, "strowger: a SIP router with call tracking\n\nusage: strowger COMMAND ...\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (commands[i].run != not_built)
            fprintf(out, "  %-50s %s\n", commands[i].usage, commands[i].help);
    fprintf(out,
            "\nAll but serve and check speak to a running server: --server URL or unix:PATH, else\n"
            "$STROWGER_SERVER, else `control:` of -c FILE, else the default control socket.\n"
            "--json prints plain JSON, --limit N at most N items, --token TOKEN (or\n"
            "$STROWGER_TOKEN) is for servers reached by TCP. --version, --help.\n"
            "Exit codes: 0 done, 1 no or invalid input, 2 usage, 3 the server cannot be reached.\n");
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/** Edits from one word to the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[32], len = strlen(b);

    if (len >= COUNT_OF(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t before = row[0];
        row[0] = i + 1;
        for (size_t j = 1; j <= len; j++) {
            size_t above = row[j];
            row[j] = min3(row[j] + 1, row[j - 1] + 1, before + (a[i] != b[j - 1]));
            before = above;
        }
    }
    return row[len];
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    size_t least = 4;

    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (distance(name, commands[i].name) < least) {
            least = distance(name, commands[i].name);
            nearest = commands[i].name;
        }
    fprintf(stderr, "strowger: unknown command `%s`", name);
    if (nearest != NULL)
        fprintf(stderr, "; did you mean `%s`?", nearest);
    fprintf(stderr, " (strowger --help)\n");
    return CLI_USAGE;
}

/* ---- options ---- */

/** The value of an option as `--name value` or `--name=value`; NULL: another option. */
static const char *option_value(int argc, char **argv, int *i, const char *name, bool *missing)
{
    size_t len = strlen(name);

    if (strncmp(argv[*i], name, len) != 0 || (argv[*i][len] != '\0' && argv[*i][len] != '='))
        return NULL;
    if (argv[*i][len] == '=')
        return argv[*i] + len + 1;
    if (*i + 1 >= argc) {
        *missing = true;
        return NULL;
    }
    return argv[++*i];
}

static bool take_option(int argc, char **argv, int *i, struct cli *cli, bool *missing)
{
    const struct {
        const char *name;
        const char **to;
    } values[] = {
        {"-c", &cli->config},       {"--config", &cli->config}, {"--server", &cli->server},
        {"--token", &cli->token},   {"--limit", &cli->limit},   {"--prune", &cli->prune},
        {"--role", &cli->role},
    };
    const struct {
        const char *name;
        bool *to;
    } flags[] = {
        {"--json", &cli->json}, {"--dry-run", &cli->dry_run}, {"--help", &cli->help},
        {"-h", &cli->help},     {"--version", &cli->version},
    };

    for (size_t k = 0; k < COUNT_OF(flags); k++)
        if (strcmp(argv[*i], flags[k].name) == 0) {
            *flags[k].to = true;
            return true;
        }
    for (size_t k = 0; k < COUNT_OF(values) && !*missing; k++) {
        const char *value = option_value(argc, argv, i, values[k].name, missing);
        if (value != NULL) {
            *values[k].to = value;
            return true;
        }
    }
    return false;
}

static int parse(int argc, char **argv, struct cli *cli)
{
    for (int i = 1; i < argc; i++) {
        bool missing = false, only_operands = false;
        if (strcmp(argv[i], "-") != 0 && argv[i][0] == '-' && !only_operands) {
            if (take_option(argc, argv, &i, cli, &missing))
                continue;
            fprintf(stderr, missing ? "strowger: %s needs a value\n"
                                    : "strowger: unknown option %s (strowger --help)\n",
                    argv[i]);
            return CLI_USAGE;
        }
        if (cli->operand_count == CLI_OPERANDS_MAX) {
            fprintf(stderr, "strowger: more than %d operands\n", CLI_OPERANDS_MAX);
            return CLI_USAGE;
        }
        cli->operands[cli->operand_count++] = argv[i];
    }
    return CLI_DONE;
}

static int run(const struct cli *cli)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        const struct command *command = &commands[i];
        if (strcmp(cli->operands[0], command->name) != 0)
            continue;
        if (cli->help) {
            printf("usage: strowger %s\n%s\n", command->usage, command->help);
            return CLI_DONE;
        }
        size_t operands = cli->operand_count - 1;
        if (operands < command->operands_min || operands > command->operands_max) {
            fprintf(stderr, "usage: strowger %s\n", command->usage);
            return CLI_USAGE;
        }
        return command->run(cli);
    }
    return unknown_command(cli->operands[0]);
}

int cli_main(int argc, char **argv, const struct cli_hooks *hooks)
{
    struct cli cli = {.hooks = hooks};

    int code = parse(argc, argv, &cli);
    if (code != CLI_DONE)
        return code;
    if (cli.version) {
        printf("strowger %s\n", STROWGER_VERSION);
        return CLI_DONE;
    }
    if (cli.operand_count >= 2 && strcmp(cli.operands[0], "help") == 0) {
        cli.operands[0] = cli.operands[1];
        cli.operand_count = 1;
        cli.help = true;
        return run(&cli);
    }
    if (cli.operand_count == 0 || strcmp(cli.operands[0], "help") == 0) {
        print_help(cli.help || cli.operand_count > 0 ? stdout : stderr);
        return cli.help || cli.operand_count > 0 ? CLI_DONE : CLI_USAGE;
    }
    return run(&cli);
}
