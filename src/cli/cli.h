/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - the commands. All but `serve` and `check` speak HTTP to a running server.
 *
 * Exit codes: 0 done, 1 the answer is no or the input is invalid, 2 usage, 3 the server cannot be
 * reached.
 *
 * Public headers: cli.h
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "config/resources.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_NO = 1,
    CLI_USAGE = 2,
    CLI_UNREACHABLE = 3
};

/** What the commands cannot do by themselves. */
struct cli_hooks {
    void *user;
    /** Runs the server until it is stopped; `config_file` NULL: embedded defaults. */
    int (*serve)(void *user, const char *config_file);
    resources_digest_fn *digest; /* for `check` of resources */
};

/** Carries out the command line; returns the exit code. */
int cli_main(int argc, char **argv, const struct cli_hooks *hooks);

#endif
