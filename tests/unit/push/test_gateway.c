/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the push gateway is sent, and a gateway that cannot be reached. One that answers is tried
 * end to end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "push/push.h"

enum {
    DONE_MAX = 64
};

static const struct push_request example = {
    .event = PUSH_CALL,
    .user = {"b\"ob", 4},
    .provider = {"apns", 4},
    .param = {"T.a", 3},
    .prid = {"x\xc3\xa9", 3},
    .call_id = {"c\xff", 2}, /* not UTF-8 */
};

static void the_document_is_json_with_all_fields(void **state)
{
    (void)state;
    char *text = push_document(&example, "id-1", 1700000000123);
    if (text == NULL)
        return; /* no memory */
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_int_equal(9, json_object_size(json));
    assert_string_equal("id-1", json_string_value(json_object_get(json, "id")));
    assert_string_equal("call", json_string_value(json_object_get(json, "event")));
    assert_int_equal(1700000000123, json_integer_value(json_object_get(json, "time")));
    assert_string_equal("b\"ob", json_string_value(json_object_get(json, "user")));
    assert_string_equal("x\xc3\xa9", json_string_value(json_object_get(json, "prid")));
    assert_true(json_is_null(json_object_get(json, "call_id")));
    assert_true(json_is_null(json_object_get(json, "from")));
    json_decref(json);
    free(text);
}

static void the_signature_is_hmac_sha256(void **state)
{
    char out[PUSH_SIGNATURE_MAX];
    (void)state;

    /* printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef */
    if (push_sign(SLICE("0123456789abcdef"), 1700000000, SLICE("{\"a\":1}"), out) != OK)
        return; /* no memory */
    assert_string_equal(
        "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23", out);
}

static void every_outcome_has_a_word(void **state)
{
    (void)state;
    for (int outcome = PUSH_ACCEPTED; outcome <= PUSH_ENDING; outcome++)
        assert_string_not_equal("unknown", push_outcome_word((enum push_outcome)outcome));
}

/* ---- a gateway where nobody listens ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count;
    enum push_outcome outcomes[DONE_MAX];
    uint32_t tries[DONE_MAX];
    bool problem;
} done = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_done(void *user, const struct push_request *request,
                    const struct push_result *result)
{
    assert_ptr_equal(&done, user);
    assert_true(slice_equal(example.user, request->user));
    pthread_mutex_lock(&done.lock);
    if (done.count < DONE_MAX) {
        done.outcomes[done.count] = result->outcome;
        done.tries[done.count] = result->tries;
        done.problem = result->problem[0] != '\0';
    }
    done.count++;
    pthread_cond_signal(&done.changed);
    pthread_mutex_unlock(&done.lock);
}

static void wait_for(unsigned count)
{
    pthread_mutex_lock(&done.lock);
    while (done.count < count)
        pthread_cond_wait(&done.changed, &done.lock);
    pthread_mutex_unlock(&done.lock);
}

static struct push_request request_of(enum push_event event, uint32_t for_ms)
{
    struct push_request request = example;

    request.event = event;
    request.for_ms = for_ms;
    request.done = on_done;
    request.done_user = &done;
    return request;
}

/* NULL: no memory. */
static struct push_gateway *open_nobody(uint32_t tries, uint32_t queue_max)
{
    struct push_options options = {
        .url = "https://127.0.51.250:1/",
        .secret = SLICE("0123456789abcdef"),
        .timeout_ms = 1000,
        .tries = tries,
        .queue_max = queue_max,
    };
    char problem[PUSH_PROBLEM_MAX] = "";
    struct push_gateway *gateway = NULL;

    done.count = 0;
    if (push_open(&options, problem, &gateway) != OK)
        assert_string_not_equal("", problem);
    return gateway;
}

static void who_does_not_answer_is_asked_again_while_it_is_of_use(void **state)
{
    struct push_gateway *gateway = open_nobody(3, 16);
    struct push_request patient = request_of(PUSH_CALL, 60000), brief = request_of(PUSH_CALL, 1);
    struct push_counters counters;
    (void)state;

    if (gateway == NULL)
        return;
    unsigned sent = push_send(gateway, &brief);
    wait_for(sent);
    sent += push_send(gateway, &patient);
    wait_for(sent);
    push_counters(gateway, &counters);
    assert_int_equal(0, counters.waiting);
    assert_int_equal(sent, counters.no_answer);
    push_close(gateway);
    if (sent < 2)
        return; /* no memory for one */
    assert_int_equal(PUSH_NO_ANSWER, done.outcomes[0]);
    assert_int_equal(1, done.tries[0]);
    assert_int_equal(PUSH_NO_ANSWER, done.outcomes[1]);
    assert_int_equal(3, done.tries[1]);
    assert_true(done.problem);
    assert_int_equal(4, counters.sent);
    assert_int_equal(2, counters.retries);
}

static void the_queue_has_an_end_and_refreshes_have_half_of_it(void **state)
{
    struct push_gateway *gateway = open_nobody(20, 16);
    struct push_request call = request_of(PUSH_CALL, 60000),
                        refresh = request_of(PUSH_REFRESH, 60000);
    unsigned refreshes = 0, calls = 0;
    struct push_counters counters;
    (void)state;

    if (gateway == NULL)
        return;
    for (unsigned i = 0; i < 16; i++)
        refreshes += push_send(gateway, &refresh);
    for (unsigned i = 0; i < 16; i++)
        calls += push_send(gateway, &call);
    push_counters(gateway, &counters);
    assert_in_range(refreshes, 7, 8); /* one less without memory */
    assert_in_range(refreshes + calls, 15, 16);
    assert_int_equal(32 - refreshes - calls, counters.full);
    push_close(gateway);
    assert_int_equal(refreshes + calls, done.count); /* all are told that it ends */
    assert_int_equal(PUSH_ENDING, done.outcomes[0]);
}

static void a_request_that_is_too_long_is_not_taken(void **state)
{
    static char text[PUSH_TEXTS_MAX];
    struct push_gateway *gateway = open_nobody(1, 16);
    struct push_request request = request_of(PUSH_CALL, 1);
    (void)state;

    if (gateway == NULL)
        return;
    request.prid = (struct slice){text, sizeof text};
    assert_false(push_send(gateway, &request));
    push_close(gateway);
    assert_int_equal(0, done.count);
}

static void a_ca_that_is_not_there_is_said_at_once(void **state)
{
    struct push_options options = {
        .url = "https://127.0.51.250:1/",
        .secret = SLICE("0123456789abcdef"),
        .ca = "/nowhere/ca.pem",
        .timeout_ms = 1000,
        .tries = 1,
        .queue_max = 16,
    };
    char problem[PUSH_PROBLEM_MAX] = "";
    struct push_gateway *gateway = NULL;
    (void)state;

    assert_int_not_equal(OK, push_open(&options, problem, &gateway));
    assert_string_not_equal("", problem);
    assert_null(gateway);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_is_json_with_all_fields),
        cmocka_unit_test(the_signature_is_hmac_sha256),
        cmocka_unit_test(every_outcome_has_a_word),
        cmocka_unit_test(who_does_not_answer_is_asked_again_while_it_is_of_use),
        cmocka_unit_test(the_queue_has_an_end_and_refreshes_have_half_of_it),
        cmocka_unit_test(a_request_that_is_too_long_is_not_taken),
        cmocka_unit_test(a_ca_that_is_not_there_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
