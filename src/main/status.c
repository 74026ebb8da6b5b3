/* SPDX-License-Identifier: Apache-2.0 */
#include "main/wiring.h"

static void copy_status(void *user, unsigned index)
{
    struct server *server = user;
    struct server_worker *worker = &server->workers[index];

    core_status(worker->core, &worker->status);
    net_counters(worker->net, &worker->net_counters);
    worker->idle = core_idle(worker->core);
}

static void all_copied(void *user, unsigned index)
{
    struct server *server = user;

    (void)index;
    pthread_mutex_lock(&server->lock);
    server->collecting = false;
    pthread_cond_broadcast(&server->swapped);
    pthread_mutex_unlock(&server->lock);
}

void server_collect(struct server *server)
{
    pthread_mutex_lock(&server->policy_lock);
    server->collecting = true;
    if (loops_run_everywhere(server->loops, copy_status, all_copied, server) == OK) {
        pthread_mutex_lock(&server->lock);
        while (server->collecting)
            pthread_cond_wait(&server->swapped, &server->lock);
        pthread_mutex_unlock(&server->lock);
    }
    pthread_mutex_unlock(&server->policy_lock);
}
