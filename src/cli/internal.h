/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/internal - what the files of this room share.
 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include <jansson.h>

#include "cli/cli.h"

enum {
    CLI_OPERANDS_MAX = 256,
    CLI_PATH_MAX = 4096,
    CLI_PAGE = 1000,          /* items asked for at once: the server's most */
    CLI_ITEMS_MAX = 10000000, /* of --limit */
    CLI_FILTERS_MAX = 32,
    CLI_FILTER_NAME_MAX = 64,
};

/** Options that a command may take; -c, --server, --token and --help go with every one. */
enum cli_option {
    CLI_O_JSON = 1,
    CLI_O_LIMIT = 2,
    CLI_O_DRY_RUN = 4,
    CLI_O_PRUNE = 8,
    CLI_O_ROLE = 16,
    CLI_O_CALLS = 32, /* --live, --since, --until, and filters by any field */
};

/** A command line, taken apart. Everything is borrowed from argv. */
struct cli {
    const struct cli_hooks *hooks;
    const char *config; /* -c */
    const char *server; /* --server */
    const char *token;  /* --token */
    const char *limit;  /* --limit */
    const char *prune;  /* --prune */
    const char *role;   /* --role */
    const char *since, *until;
    bool live;
    struct cli_filter {
        char name[CLI_FILTER_NAME_MAX]; /* of a field: dashes are underscores */
        const char *value;
    } filters[CLI_FILTERS_MAX];
    size_t filter_count;
    bool json, dry_run, help, version;
    size_t limit_count;                     /* --limit as a number; 0: none */
    const char *operands[CLI_OPERANDS_MAX]; /* the command first */
    size_t operand_count;
};

/** Takes a command line apart and checks it. CLI_DONE, or CLI_USAGE after saying why. */
int cli_parse(int argc, char **argv, struct cli *cli);

/* ---- client.c ---- */

/** What came back. */
struct cli_reply {
    long status; /* 0: the server was not reached, `body` says why */
    int exit;    /* the exit code when status is 0 */
    char *body;  /* owned, NUL-terminated */
    size_t len;
};

/** Sends one request; `body` may be NULL. `type` is its content type. */
struct cli_reply cli_request(const struct cli *cli, const char *method, const char *path,
                             const char *body, const char *type, const char *if_match);
void cli_reply_release(struct cli_reply *reply);
/** Prints why a reply is no good; returns the exit code. */
int cli_fail(const struct cli_reply *reply);
/** Escapes one part of a path or query; the caller frees. */
char *cli_escape(const char *text);
/** The document of a reply, or NULL; NULs in its texts are fine. */
json_t *cli_json(const struct cli_reply *reply);
/** Prints it indented. */
void cli_print_json(const json_t *json);

/* ---- table.c ---- */

struct cli_column {
    const char *title;
    const char *field; /* of the items */
};
/** Follows all pages of a list (or up to --limit), prints a table or with --json an array. */
int cli_list(const struct cli *cli, const char *path, const struct cli_column *columns,
             size_t count);
/** Prints an array of objects as a table. */
void cli_print_table(const json_t *items, const struct cli_column *columns, size_t count);
/**
 * A value as text: numbers, booleans, lists with commas, "-" for null. What a terminal would obey
 * is shown as '?': others wrote these texts.
 */
void cli_value_text(const json_t *value, char *out, size_t size);
/** The member's text, safe to print; "-" when there is none. `out` is returned. */
const char *cli_member(const json_t *object, const char *key, char *out, size_t size);

/* ---- the commands ---- */

int cli_check(const struct cli *cli);
int cli_apply(const struct cli *cli);
int cli_export(const struct cli *cli);
int cli_get(const struct cli *cli);
int cli_delete(const struct cli *cli);
int cli_registrations(const struct cli *cli);
int cli_status(const struct cli *cli);
int cli_token(const struct cli *cli);
int cli_history(const struct cli *cli);
int cli_user(const struct cli *cli);
int cli_calls(const struct cli *cli);
int cli_call(const struct cli *cli);
int cli_push(const struct cli *cli);

/** Prints each with its place; to standard error. */
void cli_print_errors(const struct config_errors *errors);
/** Prints a status document for a human. */
void cli_print_status(const json_t *status);
/** "3 d 4 h", "5 min", "12 s". */
const char *cli_duration(json_int_t seconds, char out[static 32]);
/** "512 B", "1.5 MiB". */
const char *cli_size(json_int_t bytes, char out[static 32]);

#endif
