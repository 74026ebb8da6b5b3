/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/bans - the bars of all workers as one list, and lifting them.
 *
 * Each worker has all bars that were told to it; one that reached only some is shown once, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "main/wiring.h"

/** What is asked of all workers. */
struct bans_job {
    struct server *server;
    struct slice name;            /* to be lifted; empty: list */
    struct guard_bar_info *infos; /* SERVER_BARS_MAX of each worker */
    uint32_t counts[LOOP_WORKERS_MAX];
    bool running; /* under server->lock */
};

static void run_in_worker(void *user, unsigned index)
{
    struct bans_job *job = user;
    const struct server_worker *worker = &job->server->workers[index];
    uint64_t now_ms = loop_now_ms(worker->loop);

    if (job->name.len > 0)
        job->counts[index] = core_lift_bar(worker->core, job->name, now_ms);
    else
        job->counts[index] = core_bars(
            worker->core, now_ms, job->infos + (size_t)index * SERVER_BARS_MAX, SERVER_BARS_MAX);
}

static void job_done(void *user, unsigned index)
{
    struct bans_job *job = user;

    (void)index;
    pthread_mutex_lock(&job->server->lock);
    job->running = false;
    pthread_cond_broadcast(&job->server->swapped);
    pthread_mutex_unlock(&job->server->lock);
}

/** False: the workers cannot be reached. */
static bool run_job(struct bans_job *job)
{
    struct server *server = job->server;

    job->running = true;
    if (loops_run_everywhere(server->loops, run_in_worker, job_done, job) != OK)
        return false;
    pthread_mutex_lock(&server->lock);
    while (job->running)
        pthread_cond_wait(&server->swapped, &server->lock);
    pthread_mutex_unlock(&server->lock);
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct guard_bar_info *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    if (order == 0) /* the longer one is shown */
        order = x->left_ms < y->left_ms ? 1 : x->left_ms > y->left_ms ? -1 : 0;
    return order;
}

static json_t *bar_json(const struct guard_bar_info *info)
{
    struct timespec now;
    char user[GUARD_NAME_MAX], until[32], address[GUARD_NAME_MAX + 8];
    const char *at = strrchr(info->name, '@');
    size_t user_len = at != NULL ? (size_t)(at - info->name) : 0;
    struct tm parts;

    clock_gettime(CLOCK_REALTIME, &now);
    time_t end = now.tv_sec + (time_t)(info->left_ms / 1000);
    gmtime_r(&end, &parts);
    strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &parts);
    snprintf(user, sizeof user, "%.*s", (int)user_len, info->name);
    snprintf(address, sizeof address, "%s%s", at != NULL ? at + 1 : info->name,
             info->source.family == ADDR_V6 ? "/64" : "");
    return json_pack("{s:s, s:s, s:s?, s:s, s:I, s:s, s:I}", "name", info->name, "address", address,
                     "user", info->whole ? NULL : user, "reason",
                     guard_reason_name((enum guard_reason)info->reason), "times",
                     (json_int_t)info->times, "expires", until, "expires_in",
                     (json_int_t)((info->left_ms + 999) / 1000));
}

/** All in one piece, sorted by name, each once. */
static json_t *list_json(struct bans_job *job)
{
    json_t *list = json_array();
    size_t count = job->counts[0];

    for (unsigned w = 1; w < job->server->worker_count; w++) {
        memmove(job->infos + count, job->infos + (size_t)w * SERVER_BARS_MAX,
                job->counts[w] * sizeof *job->infos);
        count += job->counts[w];
    }
    qsort(job->infos, count, sizeof *job->infos, by_name);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(job->infos[i].name, job->infos[i - 1].name) != 0)
            json_array_append_new(list, bar_json(&job->infos[i]));
    return list;
}

json_t *server_bans_json(void *user)
{
    struct server *server = user;
    struct bans_job job = {.server = server};
    json_t *list = NULL;

    job.infos = malloc(server->worker_count * SERVER_BARS_MAX * sizeof *job.infos);
    if (job.infos != NULL && run_job(&job))
        list = list_json(&job);
    free(job.infos);
    return list;
}

bool server_lift_ban(void *user, const char *name, bool *found)
{
    struct server *server = user;
    struct bans_job job = {.server = server, .name = slice_of(name)};

    *found = false;
    if (job.name.len == 0)
        return true;
    if (!run_job(&job))
        return false;
    for (unsigned w = 0; w < server->worker_count; w++)
        *found = *found || job.counts[w] > 0;
    if (*found)
        server_log(server, LOG_INFO, "lifted", name);
    return true;
}
