/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/push - strowger push test USER: asks the push gateway to wake a user's phones, says what it
 * answers, and waits for the phones to register.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/internal.h"

enum {
    WAIT_MS = 20000,
    LOOK_MS = 200,
    TEXT_MAX = 512
};

static uint64_t clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text != NULL ? text : "";
}

/** Did a phone of this instance register at another time than then? */
static bool has_registered(const json_t *items, const json_t *phone)
{
    size_t i;
    json_t *item;

    json_array_foreach(items, i, item)
    {
        if (strcmp(text_of(item, "instance"), text_of(phone, "instance")) == 0 &&
            strcmp(text_of(item, "push"), text_of(phone, "provider")) == 0 &&
            strcmp(text_of(item, "registered"), text_of(phone, "registered")) > 0)
            return true;
    }
    return false;
}

/** Marks the accepted phones that have registered meanwhile. True: all have. */
static bool look(const struct cli *cli, const char *path, const json_t *phones, uint64_t begin_ms)
{
    struct cli_reply reply = cli_request(cli, "GET", path, NULL, NULL, NULL);
    json_t *list = reply.status == 200 ? cli_json(&reply) : NULL;
    bool all = list != NULL;
    size_t i;
    json_t *phone;

    json_array_foreach(phones, i, phone)
    {
        if (!json_is_true(json_object_get(phone, "accepted")) ||
            json_object_get(phone, "registered_after_ms") != NULL)
            continue;
        if (list != NULL && has_registered(json_object_get(list, "items"), phone))
            json_object_set_new(phone, "registered_after_ms",
                                json_integer((json_int_t)(clock_ms() - begin_ms)));
        else
            all = false;
    }
    json_decref(list);
    cli_reply_release(&reply);
    return all;
}

static void wait_for(const struct cli *cli, const char *user, const json_t *phones,
                     uint64_t begin_ms)
{
    const struct timespec pause = {0, LOOK_MS * 1000000L};
    char path[2048];
    char *escaped = cli_escape(user);

    snprintf(path, sizeof path, "/api/v1/registrations?limit=100&aor=%s",
             escaped != NULL ? escaped : "");
    free(escaped);
    while (!look(cli, path, phones, begin_ms) && clock_ms() < begin_ms + WAIT_MS)
        nanosleep(&pause, NULL);
}

/** True: it was woken. */
static bool print_phone(const json_t *phone)
{
    char provider[TEXT_MAX], outcome[TEXT_MAX], answer[TEXT_MAX], ms[TEXT_MAX];
    json_int_t status = json_integer_value(json_object_get(phone, "http_status"));
    const json_t *after = json_object_get(phone, "registered_after_ms");

    printf("%s: the gateway says: %s", cli_member(phone, "provider", provider, sizeof provider),
           cli_member(phone, "outcome", outcome, sizeof outcome));
    if (status != 0)
        printf(", HTTP %lld", (long long)status);
    printf(", after %s ms", cli_member(phone, "ms", ms, sizeof ms));
    if (strcmp(cli_member(phone, "answer", answer, sizeof answer), "-") != 0)
        printf(": %s", answer);
    printf("\n");
    if (!json_is_true(json_object_get(phone, "accepted")))
        return false;
    if (after != NULL)
        printf("%s: the phone registered after %.1f s\n", provider,
               (double)json_integer_value(after) / 1000);
    else
        printf("%s: the phone did not register within %d s\n", provider, WAIT_MS / 1000);
    return after != NULL;
}

/** Prints what was found; returns the exit code. */
static int print_result(const struct cli *cli, const char *user, const json_t *result)
{
    const json_t *phones = json_object_get(result, "phones");
    json_int_t bindings = json_integer_value(json_object_get(result, "bindings"));
    bool all = json_array_size(phones) > 0;
    size_t i;
    json_t *phone;

    if (cli->json) {
        cli_print_json(result);
        json_array_foreach(phones, i, phone) all =
            all && json_object_get(phone, "registered_after_ms") != NULL;
        return all ? CLI_DONE : CLI_NO;
    }
    if (bindings == 0)
        printf("%s has no registered phone, so there is none to be woken\n", user);
    else if (json_array_size(phones) == 0)
        printf("%s has registered phones, but none with push parameters (pn-provider, pn-prid)\n",
               user);
    json_array_foreach(phones, i, phone) all = print_phone(phone) && all;
    return all ? CLI_DONE : CLI_NO;
}

int cli_push(const struct cli *cli)
{
    const char *user = cli->operands[2];

    if (strcmp(cli->operands[1], "test") != 0) {
        fprintf(stderr, "usage: strowger push test USER\n");
        return CLI_USAGE;
    }
    uint64_t begin_ms = clock_ms();
    json_t *body = json_pack("{s:s}", "user", user);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    struct cli_reply reply =
        cli_request(cli, "POST", "/api/v1/push/test", text, "application/json", NULL);
    free(text);
    json_decref(body);
    json_t *result = reply.status == 200 ? cli_json(&reply) : NULL;
    int code = CLI_NO;
    if (result != NULL) {
        wait_for(cli, user, json_object_get(result, "phones"), begin_ms);
        code = print_result(cli, user, result);
    } else {
        code = cli_fail(&reply);
    }
    json_decref(result);
    cli_reply_release(&reply);
    return code;
}
