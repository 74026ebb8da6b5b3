/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/cli - the command line: options, commands, help.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/internal.h"

struct command {
    const char *name;
    int (*run)(const struct cli *cli);
    size_t operands_min, operands_max; /* beside the command */
    unsigned options;                  /* enum cli_option */
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

enum {
    LIST = CLI_O_JSON | CLI_O_LIMIT,
    ANY = 0x3f
};

// clang-format off
static const struct command commands[] = {
    {"serve", serve, 0, 0, 0, "serve [-c FILE]",
     "runs the router in the foreground; without a file: embedded defaults"},
    {"check", cli_check, 0, CLI_OPERANDS_MAX, 0, "check [-c FILE] [RESOURCES...]",
     "says everything that is wrong in a configuration and resources"},
    {"apply", cli_apply, 1, CLI_OPERANDS_MAX, CLI_O_JSON | CLI_O_DRY_RUN | CLI_O_PRUNE,
     "apply [--dry-run] [--prune KIND] FILE...",
     "makes the resources in FILE (a file, a folder, -) so: all or nothing"},
    {"export", cli_export, 0, CLI_OPERANDS_MAX, 0, "export [KIND...]",
     "all resources as YAML that `apply` takes back"},
    {"get", cli_get, 1, 2, LIST, "get KIND [NAME]", "one kind of resource as a table"},
    {"delete", cli_delete, 2, 2, 0, "delete KIND NAME", "deletes one resource"},
    {"registrations", cli_registrations, 0, 1, LIST, "registrations [AOR]",
     "live bindings, one line per binding"},
    {"calls", cli_calls, 0, 0, LIST | CLI_O_CALLS,
     "calls [--live] [--since T] [--until T] [--FIELD V,...]",
     "call records, newest first; --live: those that go on"},
    {"call", cli_call, 1, 2, CLI_O_JSON, "call ID [hangup]",
     "one call whole, with its legs; hangup: BYE to both sides"},
    {"status", cli_status, 0, 0, CLI_O_JSON, "status",
     "health, addresses, workers, store, counters; alarms first"},
    {"token", cli_token, 1, 2, LIST | CLI_O_ROLE,
     "token create --role ROLE [NAME] | list | delete NAME",
     "credentials for the HTTP API; roles: admin, analyst, agent"},
    {"user", cli_user, 2, 2, 0, "user passwd NAME",
     "a new password: the line on standard input, else made and shown once"},
    {"push", cli_push, 2, 2, CLI_O_JSON, "push test USER",
     "has the push gateway wake a user's phones; says what comes of it"},
    {"history", cli_history, 0, 0, LIST, "history", "changes of the policy, newest first"},
    {"explain", not_built, 0, CLI_OPERANDS_MAX, ANY, "explain", "(not built yet)"},
    {"doctor", not_built, 0, CLI_OPERANDS_MAX, ANY, "doctor", "(not built yet)"},
    {"import", not_built, 0, CLI_OPERANDS_MAX, ANY, "import KIND FILE.csv", "(not built yet)"},
    {"login-link", not_built, 0, CLI_OPERANDS_MAX, ANY, "login-link NAME", "(not built yet)"},
    {"rollback", not_built, 0, CLI_OPERANDS_MAX, ANY, "rollback VERSION", "(not built yet)"},
};
// clang-format on

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

/* ---- help ---- */

static void print_help(FILE *out)
{
    fprintf(out, "strowger: a SIP router with call tracking\n\nusage: strowger COMMAND ...\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (commands[i].run != not_built)
            fprintf(out, "  %-52s %s\n", commands[i].usage, commands[i].help);
    fprintf(
        out,
        "\nAll but serve and check speak to a running server: --server URL or unix:PATH, else\n"
        "$STROWGER_SERVER, else `control:` of -c FILE, else the default control socket.\n"
        "--json prints plain JSON, --limit N at most N items. --token TOKEN, or $STROWGER_TOKEN,\n"
        "is for servers reached by TCP. `--` ends the options. --version; help COMMAND.\n"
        "Exit codes: 0 done, 1 no or invalid input, 2 usage, 3 the server cannot be reached.\n");
}

/** Near is what has at most a third of its letters wrong, and two at most. */
static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    unsigned most = strlen(name) < 6 ? (unsigned)strlen(name) / 3 : 2, least = most + 1;

    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        unsigned distance = text_distance(slice_of(name), slice_of(commands[i].name), most);
        if (distance < least) {
            least = distance;
            nearest = commands[i].name;
        }
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
        {"-c", &cli->config},     {"--config", &cli->config}, {"--server", &cli->server},
        {"--token", &cli->token}, {"--limit", &cli->limit},   {"--prune", &cli->prune},
        {"--role", &cli->role},   {"--since", &cli->since},   {"--until", &cli->until},
    };
    const struct {
        const char *name;
        bool *to;
    } flags[] = {
        {"--json", &cli->json}, {"--dry-run", &cli->dry_run}, {"--help", &cli->help},
        {"-h", &cli->help},     {"--version", &cli->version}, {"--live", &cli->live},
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

/** --FIELD VALUE, of `calls` alone: "--calling-number 101". */
static bool take_filter(int argc, char **argv, int *i, struct cli *cli, bool *missing)
{
    const char *word = argv[*i];
    size_t len = strcspn(word, "=");
    struct cli_filter *filter = &cli->filters[cli->filter_count];

    if (cli->operand_count == 0 || strcmp(cli->operands[0], "calls") != 0 ||
        strncmp(word, "--", 2) != 0 || len < 3 || len - 2 >= CLI_FILTER_NAME_MAX ||
        cli->filter_count == CLI_FILTERS_MAX)
        return false;
    for (size_t k = 2; k < len; k++) {
        char c = word[k] == '-' ? '_' : word[k];
        if (c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9'))
            return false;
        filter->name[k - 2] = c;
    }
    filter->name[len - 2] = '\0';
    if (word[len] == '\0' && *i + 1 >= argc) {
        *missing = true;
        return false;
    }
    filter->value = word[len] == '=' ? word + len + 1 : argv[++*i];
    cli->filter_count++;
    return true;
}

static int take_words(int argc, char **argv, struct cli *cli)
{
    bool only_operands = false;

    for (int i = 1; i < argc; i++) {
        bool missing = false;
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
            continue;
        }
        if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_option(argc, argv, &i, cli, &missing))
                continue;
            if (!missing && take_filter(argc, argv, &i, cli, &missing))
                continue;
            fprintf(stderr,
                    missing ? "strowger: %s needs a value\n"
                            : "strowger: unknown option %s (strowger --help)\n",
                    argv[i]);
            return CLI_USAGE;
        }
        if (cli->operand_count == CLI_OPERANDS_MAX) {
            fprintf(stderr, "strowger: more than %d words; give a folder\n", CLI_OPERANDS_MAX);
            return CLI_USAGE;
        }
        cli->operands[cli->operand_count++] = argv[i];
    }
    return CLI_DONE;
}

static bool take_limit(struct cli *cli)
{
    char *end;

    if (cli->limit == NULL)
        return true;
    unsigned long count = strtoul(cli->limit, &end, 10);
    if (cli->limit[0] >= '0' && cli->limit[0] <= '9' && *end == '\0' && count > 0 &&
        count <= CLI_ITEMS_MAX) {
        cli->limit_count = count;
        return true;
    }
    fprintf(stderr, "strowger: --limit is a number from 1 to %d\n", CLI_ITEMS_MAX);
    return false;
}

/** An option that a command would pass over might be one that was meant to hold it back. */
static bool options_fit(const struct cli *cli, const struct command *command)
{
    const struct {
        unsigned option;
        bool given;
        const char *name;
    } options[] = {
        {CLI_O_JSON, cli->json, "--json"},
        {CLI_O_LIMIT, cli->limit != NULL, "--limit"},
        {CLI_O_DRY_RUN, cli->dry_run, "--dry-run"},
        {CLI_O_PRUNE, cli->prune != NULL, "--prune"},
        {CLI_O_ROLE, cli->role != NULL, "--role"},
        {CLI_O_CALLS, cli->live, "--live"},
        {CLI_O_CALLS, cli->since != NULL, "--since"},
        {CLI_O_CALLS, cli->until != NULL, "--until"},
    };

    for (size_t i = 0; i < COUNT_OF(options); i++)
        if (options[i].given && (command->options & options[i].option) == 0) {
            fprintf(stderr, "strowger: %s takes no %s\nusage: strowger %s\n", command->name,
                    options[i].name, command->usage);
            return false;
        }
    return true;
}

int cli_parse(int argc, char **argv, struct cli *cli)
{
    int code = take_words(argc, argv, cli);

    if (code == CLI_DONE && !take_limit(cli))
        code = CLI_USAGE;
    return code;
}

/* ---- running ---- */

static int run(const struct cli *cli)
{
    const struct command *command = find_command(cli->operands[0]);

    if (command == NULL)
        return unknown_command(cli->operands[0]);
    if (cli->help) {
        printf("usage: strowger %s\n%s\n", command->usage, command->help);
        return CLI_DONE;
    }
    if (!options_fit(cli, command))
        return CLI_USAGE;
    size_t operands = cli->operand_count - 1;
    if (operands < command->operands_min || operands > command->operands_max) {
        fprintf(stderr, "usage: strowger %s\n", command->usage);
        return CLI_USAGE;
    }
    return command->run(cli);
}

static int run_or_help(struct cli *cli)
{
    if (cli->version) {
        printf("strowger %s\n", STROWGER_VERSION);
        return CLI_DONE;
    }
    if (cli->operand_count >= 2 && strcmp(cli->operands[0], "help") == 0) {
        cli->operands[0] = cli->operands[1];
        cli->operand_count = 1;
        cli->help = true;
        return run(cli);
    }
    if (cli->operand_count == 0 || strcmp(cli->operands[0], "help") == 0) {
        bool asked = cli->help || cli->operand_count > 0;
        print_help(asked ? stdout : stderr);
        return asked ? CLI_DONE : CLI_USAGE;
    }
    return run(cli);
}

int cli_main(int argc, char **argv, const struct cli_hooks *hooks)
{
    struct cli cli = {.hooks = hooks};

    int code = cli_parse(argc, argv, &cli);
    if (code == CLI_DONE)
        code = run_or_help(&cli);
    /* An export on a full disk is no export. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == CLI_DONE) {
        fprintf(stderr, "strowger: the output cannot be written: %s\n", strerror(errno));
        code = CLI_NO;
    }
    return code;
}
