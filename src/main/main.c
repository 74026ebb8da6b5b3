/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main - the program: the command line, with what it cannot do by itself.
 */
#include "cli/cli.h"
#include "main/wiring.h"

static int serve(void *user, const char *config_file)
{
    (void)user;
    return server_run(config_file);
}

int main(int argc, char **argv)
{
    struct cli_hooks hooks = {.serve = serve, .digest = wiring_digest};

    return cli_main(argc, argv, &hooks);
}
