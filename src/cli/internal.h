/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_INTERNAL_H
#define CLI_INTERNAL_H

#include <jansson.h>

#include "cli/cli.h"

enum { CLI_OPERANDS_MAX = 256, CLI_PATH_MAX = 4096 };

/** A command line, taken apart. Everything is borrowed from argv. */
struct cli {
    const struct cli_hooks *hooks;
    const char *config;  /* -c */
    const char *server;  /* --server */
    const char *token;   /* --token */
    const char *limit;   /* --limit */
    const char *prune;   /* --prune */
    const char *role;    /* --role */
    bool json, dry_run, help, version;
    const char *operands[CLI_OPERANDS_MAX]; /* the command first */
    size_t operand_count;
};

/** What came back. */
struct cli_reply {
    long status; /* 0: the server was not reached, `body` says why */
    char *body;  /* owned, NUL-terminated */
    size_t len;
};

/* client.c */
/** Sends one request; `body` may be NULL. `type` is its content type. */
struct cli_reply cli_request(const struct cli *cli, const char *method, const char *path,
                             const char *body, const char *type, const char *if_match);
void cli_reply_release(struct cli_reply *reply);
/** Prints why a reply is no good; returns the exit code. */
int cli_fail(const struct cli_reply *reply);
/** Escapes one part of a path or query; the caller frees. */
char *cli_escape(const char *text);

/* table.c */
struct cli_column {
    const char *title;
    const char *field; /* of the items */
};
/** Follows all pages of a list (or --limit), prints a table or with --json an array. */
int cli_list(const struct cli *cli, const char *path, const struct cli_column *columns,
             size_t count);
/** Prints an array of objects as a table. */
void cli_print_table(const json_t *items, const struct cli_column *columns, size_t count);
/** A value as text: numbers, booleans, lists with commas, "-" for null. */
void cli_value_text(const json_t *value, char *out, size_t size);

/* commands.c, resources.c, status.c */
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

#endif
