/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/certificates - read at start, on SIGHUP and when their files change, and given to all
 * workers. Connections that are up keep what they began with.
 */
#include <stdio.h>

#include "main/server.h"
#include "main/wiring.h"

static enum err read_all(const struct config *config, struct tls_problem *problem, struct tls **out)
{
    struct tls_pair pairs[TLS_PAIRS_MAX];
    struct tls_options options = config_tls_options(config, pairs);

    return tls_open(&options, problem, out);
}

bool certificates_open(struct server *server)
{
    struct tls_problem problem = {0};

    if (!config_wants_tls(server->config))
        return true;
    enum err err = read_all(server->config, &problem, &server->tls);
    if (err) {
        fprintf(stderr, "strowger: tls: %s\n",
                problem.text[0] != '\0' ? problem.text : err_name(err));
        return false;
    }
    if (problem.text[0] != '\0') /* out of date: who does not mind may still call */
        server_log(server, LOG_WARNING, "certificate", problem.text);
    if (server->config->tls.certificate.count == 0)
        server_log(server, LOG_WARNING, "certificate",
                   "none is configured: one of our own making is shown, which nobody trusts");
    return true;
}

struct swap {
    struct server *server;
    const struct tls *fresh;
};

static void swap_in_worker(void *user, unsigned worker)
{
    const struct swap *swap = user;
    net_set_tls(swap->server->workers[worker].net, swap->fresh);
}

void certificates_reload(struct server *server, const struct config *config)
{
    struct tls_problem problem = {0};
    struct tls *fresh = NULL;

    if (server->tls == NULL)
        return;
    enum err err = read_all(config, &problem, &fresh);
    if (err) {
        server_log(server, LOG_ERROR, "certificate",
                   problem.text[0] != '\0' ? problem.text : err_name(err));
        tls_look_again(server->tls); /* once for each change */
        return;
    }
    struct swap swap = {server, fresh};
    if (wiring_everywhere(server, swap_in_worker, &swap) != OK) {
        server_log(server, LOG_ERROR, "certificate", "the workers cannot be reached");
        return; /* some may have it: neither is freed */
    }
    tls_free(server->tls);
    server->tls = fresh;
    if (problem.text[0] != '\0')
        server_log(server, LOG_WARNING, "certificate", problem.text);
    server_log(server, LOG_INFO, "certificate", "read again");
}

void certificates_watch(struct server *server)
{
    if (server->tls != NULL && tls_files_changed(server->tls))
        certificates_reload(server, server->config);
}
