/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/calls - the metrics of calls, by the names of the field: ASR and NER (ITU-T E.411, E.425),
 * ACD, PDD (RFC 6076 §4.3: session request delay). And hanging one up, wherever it is.
 */
#include <inttypes.h>
#include <stdio.h>

#include "main/wiring.h"

/** Counters are all uint64_t, so they are summed as one array of them. */
static struct calls_counters sum_calls(const struct server *server, uint64_t *live, uint64_t *held)
{
    struct calls_counters sum = {0};
    uint64_t *to = (uint64_t *)&sum;

    *live = *held = 0;
    for (unsigned w = 0; w < server->worker_count; w++) {
        const struct core_status *status = &server->workers[w].status;
        const uint64_t *from = (const uint64_t *)&status->calls;
        for (size_t i = 0; i < sizeof sum / sizeof *to; i++)
            to[i] += from[i];
        *live += status->calls_live;
        *held += status->calls_held;
    }
    return sum;
}

static void write_pdd(const struct calls_counters *calls, struct api_text *out)
{
    uint64_t below = 0;

    api_metric(out, "strowger_call_pdd_seconds", "histogram",
               "Post-dial delay: from the INVITE to the first ringing or answer.");
    for (unsigned i = 0; i < CALLS_PDD_BUCKETS; i++) {
        below += calls->pdd[i];
        api_text_printf(out, "strowger_call_pdd_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                        calls_pdd_limits_ms[i] / 1000.0, below);
    }
    api_text_printf(out, "strowger_call_pdd_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n",
                    calls->pdd_count);
    api_text_printf(out, "strowger_call_pdd_seconds_sum %.3f\n", (double)calls->pdd_ms / 1000.0);
    api_text_printf(out, "strowger_call_pdd_seconds_count %" PRIu64 "\n", calls->pdd_count);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0.0;
}

static void write_ratio(struct api_text *out, const char *name, const char *help, double value)
{
    api_metric(out, name, "gauge", help);
    api_text_printf(out, "%s %.6f\n", name, value);
}

/** What we have said in calls ourselves. */
static void write_spoken(const struct server *server, struct api_text *out)
{
    uint64_t hung_up = 0, refused = 0, unanswered = 0;

    for (unsigned w = 0; w < server->worker_count; w++) {
        const struct core_counters *counters = &server->workers[w].status.counters;
        hung_up += counters->hung_up;
        refused += counters->byes_refused;
        unanswered += counters->byes_unanswered;
    }
    api_metric(out, "strowger_calls_hung_up_total", "counter", "Calls that we have hung up.");
    api_sample(out, "strowger_calls_hung_up_total", NULL, hung_up);
    api_metric(out, "strowger_byes_failed_total", "counter",
               "Our BYEs that a phone refused or did not answer, or that had no way to it.");
    api_sample(out, "strowger_byes_failed_total", "reason=\"refused\"", refused);
    api_sample(out, "strowger_byes_failed_total", "reason=\"unanswered\"", unanswered);
}

void server_calls_metrics(const struct server *server, struct api_text *out)
{
    uint64_t live, held, ended = 0;
    struct calls_counters calls = sum_calls(server, &live, &held);

    api_metric(out, "strowger_calls_live", "gauge", "Calls that ring or are up.");
    api_sample(out, "strowger_calls_live", NULL, live);
    api_metric(out, "strowger_calls_held", "gauge", "The same with those that ended lately.");
    api_sample(out, "strowger_calls_held", NULL, held);
    api_metric(out, "strowger_call_attempts_total", "counter", "Call records begun.");
    api_sample(out, "strowger_call_attempts_total", NULL, calls.attempts);
    api_metric(out, "strowger_calls_answered_total", "counter", "Calls that went up.");
    api_sample(out, "strowger_calls_answered_total", NULL, calls.answered);
    api_metric(out, "strowger_calls_ended_total", "counter", "Calls that are over.");
    for (uint8_t i = 1; i < CALL_D_COUNT; i++) {
        char label[48];
        snprintf(label, sizeof label, "disposition=\"%s\"", call_disposition_name(i));
        api_sample(out, "strowger_calls_ended_total", label, calls.ended[i]);
        ended += calls.ended[i];
    }
    api_metric(out, "strowger_calls_interrupted_total", "counter",
               "Calls that rang when the node ended, and were ended at the start.");
    api_sample(out, "strowger_calls_interrupted_total", NULL, calls.interrupted);
    api_metric(out, "strowger_calls_restored_total", "counter",
               "Calls that were up when the node ended, and go on.");
    api_sample(out, "strowger_calls_restored_total", NULL, calls.restored);
    api_metric(out, "strowger_calls_silent_total", "counter",
               "Calls that ended without a sign of life.");
    api_sample(out, "strowger_calls_silent_total", NULL, calls.silent);
    api_metric(out, "strowger_call_write_failures_total", "counter",
               "Times that a record could not be written, and was kept to be tried again.");
    api_sample(out, "strowger_call_write_failures_total", NULL, calls.write_failures);
    write_ratio(out, "strowger_call_asr_ratio", "Answer-seizure ratio since the start.",
                ratio(calls.ended[CALL_D_ANSWERED], ended));
    write_ratio(out, "strowger_call_ner_ratio", "Network effectiveness ratio since the start.",
                ratio(calls.effective, ended));
    write_ratio(out, "strowger_call_acd_seconds", "Average duration of answered calls.",
                ratio(calls.duration_ms, calls.ended[CALL_D_ANSWERED]) / 1000.0);
    write_pdd(&calls, out);
    write_spoken(server, out);
}

/* ---- hanging up ---- */

/** Asked of all workers: a restart may have given the call to another than its id says. */
struct hang_up_job {
    struct server *server;
    struct core_call call;
    enum err results[LOOP_WORKERS_MAX];
    bool running; /* under server->lock */
};

static void hang_up_here(void *user, unsigned index)
{
    struct hang_up_job *job = user;
    const struct server_worker *worker = &job->server->workers[index];

    job->results[index] = core_hang_up(worker->core, &job->call, loop_now_ms(worker->loop),
                                       loop_wall_ms(worker->loop));
}

static void hang_up_done(void *user, unsigned index)
{
    struct hang_up_job *job = user;

    (void)index;
    pthread_mutex_lock(&job->server->lock);
    job->running = false;
    pthread_cond_broadcast(&job->server->swapped);
    pthread_mutex_unlock(&job->server->lock);
}

bool server_hang_up(void *user, const struct call_record *record, enum err *err)
{
    struct server *server = user;
    struct hang_up_job job = {
        .server = server,
        .call = {record->id, record->attempt_hash_a, record->attempt_hash_b},
        .running = true,
    };
    char id[CALL_ID_DIGITS + 1];

    if (loops_run_everywhere(server->loops, hang_up_here, hang_up_done, &job) != OK)
        return false;
    pthread_mutex_lock(&server->lock);
    while (job.running)
        pthread_cond_wait(&server->swapped, &server->lock);
    pthread_mutex_unlock(&server->lock);
    *err = ERR_NOT_FOUND;
    for (unsigned w = 0; w < server->worker_count; w++)
        if (job.results[w] != ERR_NOT_FOUND)
            *err = job.results[w];
    call_id_text(record->id, id);
    if (*err == OK)
        server_log(server, LOG_INFO, "hung_up", id);
    return true;
}
