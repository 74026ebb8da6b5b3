/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/push - from the cores to the push gateway, and back.
 */
#include <stdio.h>

#include "base/push.h"
#include "main/wiring.h"
#include "sip/sip.h"

bool server_push_open(struct server *server)
{
    const struct config *config = server->config;
    char problem[PUSH_PROBLEM_MAX] = "";
    struct push_options options = {
        .url = config->push.url.data,
        .secret = config->push.secret,
        .ca = config->push.ca.count > 0 ? config->push.ca.items[0].path.data : NULL,
        .timeout_ms = config->push.timeout_ms,
        .tries = config->push.tries,
        .queue_max = config->push.queue,
    };

    if (config->push.url.len == 0)
        return true;
    if (push_open(&options, problem, &server->push) == OK)
        return true;
    fprintf(stderr, "strowger: push: %s\n", problem);
    return false;
}

/* ---- phones that the cores have woken ---- */

static void describe(const struct push_result *result, char *out, size_t size)
{
    if (result->status != 0)
        snprintf(out, size, "%s (HTTP %ld)", push_outcome_word(result->outcome), result->status);
    else
        snprintf(out, size, "%s: %s", push_outcome_word(result->outcome), result->problem);
}

/** By what a phone is woken stands in no log: neither the token nor what the gateway writes of it.
 */
static void log_failure(struct server *server, const struct push_request *request,
                        const struct push_result *result)
{
    char text[LOG_TEXT_MAX], what[PUSH_PROBLEM_MAX + 64];

    describe(result, what, sizeof what);
    snprintf(text, sizeof text, "a phone of %.*s (%.*s) is not woken: %s, after %u tries and %u ms",
             SLICE_ARG(request->user), SLICE_ARG(request->provider), what, result->tries,
             result->ms);
    server_log(server, LOG_WARNING, "push", text);
}

/** What a worker is told. */
struct push_letter {
    struct id token;
    uint32_t answer; /* enum core_push_answer */
};

/** In the gateway's thread. Who waits is told only of a failure: else the phone comes. */
static void call_done(void *user, const struct push_request *request,
                      const struct push_result *result)
{
    struct server *server = user;
    struct push_letter letter = {request->token, result->outcome == PUSH_GONE
                                                     ? (uint32_t)CORE_PUSH_GONE
                                                     : (uint32_t)CORE_PUSH_FAILED};
    struct slice body = {(const char *)&letter, sizeof letter};

    if (result->outcome == PUSH_ACCEPTED || result->outcome == PUSH_ENDING)
        return;
    log_failure(server, request, result);
    if (!loops_post(server->loops, request->worker, MAILBOX_ORDINARY, LETTER_PUSH, &body, 1))
        server_log(server, LOG_WARNING, "push", "a mailbox is full: a call waits to the end");
}

void server_push_letter(void *user, const struct letter *letter)
{
    struct server_worker *worker = user;
    struct push_letter told;

    assert(letter->body.len == sizeof told);
    memcpy(&told, letter->body.data, sizeof told);
    core_push_result(worker->core, told.token, (enum core_push_answer)told.answer,
                     loop_now_ms(worker->loop), loop_wall_ms(worker->loop));
}

bool server_push(void *user, const struct core_push *push)
{
    struct server_worker *worker = user;
    struct push_request request = {
        .event = push->why == CORE_PUSH_CALL ? PUSH_CALL : PUSH_REFRESH,
        .user = push->user,
        .provider = push->provider,
        .param = push->param,
        .prid = push->prid,
        .call_id = push->call_id,
        .caller = push->caller,
        .for_ms = push->for_ms,
        .token = push->token,
        .worker = worker->index,
        .done = call_done,
        .done_user = worker->server,
    };

    return push_send(worker->server->push, &request);
}

/* ---- a test ---- */

struct test {
    pthread_mutex_t lock;
    pthread_cond_t done;
    struct api_push_answer *answer;
    bool over;
};

static void test_done(void *user, const struct push_request *request,
                      const struct push_result *result)
{
    struct test *test = user;
    struct api_push_answer *answer = test->answer;

    (void)request;
    pthread_mutex_lock(&test->lock);
    answer->accepted = result->outcome == PUSH_ACCEPTED;
    answer->outcome = push_outcome_word(result->outcome);
    answer->status = result->status;
    answer->ms = result->ms;
    if (result->status != 0)
        snprintf(answer->text, sizeof answer->text, "%.*s", SLICE_ARG(result->answer));
    else
        snprintf(answer->text, sizeof answer->text, "%s", result->problem);
    test->over = true;
    pthread_cond_signal(&test->done);
    pthread_mutex_unlock(&test->lock);
}

static struct slice unescape(struct slice text, char *room, size_t size)
{
    struct builder b = builder_over(room, size);
    return sip_unescape(&b, text) == OK ? builder_slice(&b) : SLICE_EMPTY;
}

void server_push_test(void *user, const struct api_push *phone, struct api_push_answer *out)
{
    struct server *server = user;
    char provider[PUSH_PROVIDER_MAX], param[PUSH_PARAM_MAX], prid[PUSH_PRID_MAX];
    struct test test = {.answer = out};
    struct push_request request = {
        .event = PUSH_TEST,
        .user = phone->user,
        .provider = unescape(phone->provider, provider, sizeof provider),
        .param = unescape(phone->param, param, sizeof param),
        .prid = unescape(phone->prid, prid, sizeof prid),
        .for_ms = 1, /* one try, whose answer is what was asked for */
        .done = test_done,
        .done_user = &test,
    };

    pthread_mutex_init(&test.lock, NULL);
    pthread_cond_init(&test.done, NULL);
    if (push_send(server->push, &request)) {
        pthread_mutex_lock(&test.lock);
        while (!test.over)
            pthread_cond_wait(&test.done, &test.lock);
        pthread_mutex_unlock(&test.lock);
    } else {
        out->outcome = "not asked";
        snprintf(out->text, sizeof out->text, "push.queue is full");
    }
    pthread_cond_destroy(&test.done);
    pthread_mutex_destroy(&test.lock);
}

/* ---- status ---- */

bool server_push_is_dead(const struct server *server)
{
    enum {
        UNANSWERED = 3 /* phones in a row, after all tries */
    };
    struct push_counters push;

    if (server->push == NULL)
        return false;
    push_counters(server->push, &push);
    return push.unanswered >= UNANSWERED;
}

static uint32_t count_waiting(const struct server *server)
{
    uint32_t count = 0;

    for (unsigned w = 0; w < server->worker_count; w++)
        count += server->workers[w].status.push_waiting;
    return count;
}

json_t *server_push_json(const struct server *server, const struct core_counters *counters)
{
    struct push_counters push;

    if (server->push == NULL)
        return json_null();
    push_counters(server->push, &push);
    uint64_t refused = push.refused + push.gone;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "calls_waiting",
                     (json_int_t)count_waiting(server), "for_calls",
                     (json_int_t)counters->push.calls, "for_refreshes",
                     (json_int_t)counters->push.refreshes, "woken",
                     (json_int_t)counters->push.woken, "late", (json_int_t)counters->push.late,
                     "full", (json_int_t)counters->push.full, "gateway_waiting",
                     (json_int_t)push.waiting, "gateway_accepted", (json_int_t)push.accepted,
                     "gateway_refused", (json_int_t)refused, "gateway_no_answer",
                     (json_int_t)push.no_answer, "gateway_retries", (json_int_t)push.retries);
}

static void samples(struct api_text *out, const char *name, const char *label_name,
                    const char *const *labels, const uint64_t *values, size_t count)
{
    char label[64];

    for (size_t i = 0; i < count; i++) {
        snprintf(label, sizeof label, "%s=\"%s\"", label_name, labels[i]);
        api_sample(out, name, label, values[i]);
    }
}

void server_push_metrics(const struct server *server, const struct core_counters *counters,
                         struct api_text *out)
{
    static const char *const whys[] = {"call", "refresh"};
    static const char *const ends[] = {"woken", "late", "failed", "full"};
    static const char *const answers[] = {"accepted", "gone", "refused", "no_answer"};
    struct push_counters push;

    if (server->push == NULL)
        return;
    push_counters(server->push, &push);
    const uint64_t asked[] = {counters->push.calls, counters->push.refreshes};
    const uint64_t ended[] = {counters->push.woken, counters->push.late, counters->push.failed,
                              counters->push.full};
    const uint64_t said[] = {push.accepted, push.gone, push.refused, push.no_answer};

    api_metric(out, "strowger_push_phones_total", "counter",
               "Sleeping phones that the gateway was asked to wake.");
    samples(out, "strowger_push_phones_total", "why", whys, asked, COUNT_OF(asked));
    api_metric(out, "strowger_push_waits_total", "counter",
               "What became of requests that waited for a phone: woken, late; failed: phones that "
               "the gateway could not wake; full: not asked for lack of room.");
    samples(out, "strowger_push_waits_total", "end", ends, ended, COUNT_OF(ended));
    api_metric(out, "strowger_push_waiting", "gauge", "Requests that wait for a phone.");
    api_sample(out, "strowger_push_waiting", NULL, count_waiting(server));
    api_metric(out, "strowger_push_gateway_total", "counter", "What the push gateway said.");
    samples(out, "strowger_push_gateway_total", "answer", answers, said, COUNT_OF(said));
    api_metric(out, "strowger_push_gateway_retries_total", "counter",
               "Times that it was asked again.");
    api_sample(out, "strowger_push_gateway_retries_total", NULL, push.retries);
    api_metric(out, "strowger_push_gateway_waiting", "gauge", "Phones that it is being told of.");
    api_sample(out, "strowger_push_gateway_waiting", NULL, push.waiting);
}
