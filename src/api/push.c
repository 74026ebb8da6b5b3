/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/push - has a user's phones woken, to see whether that works.
 */
#include <inttypes.h>
#include <time.h>

#include "api/internal.h"
#include "base/binding.h"
#include "base/hash.h"
#include "base/push.h"

enum {
    PHONES_MAX = 8 /* of one test */
};

/** A phone, copied: the location table may change while the gateway is asked. */
struct phone {
    char text[PUSH_PROVIDER_MAX + PUSH_PARAM_MAX + PUSH_PRID_MAX];
    struct api_push push;
    char instance[256];
    uint64_t registered_ms, expires_ms;
};

struct phones {
    struct phone items[PHONES_MAX];
    uint32_t count, bindings;
};

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct slice keep(struct builder *b, struct slice s)
{
    size_t at = b->len;

    builder_add(b, s);
    return b->overflow ? SLICE_EMPTY : (struct slice){b->data + at, s.len};
}

static void add_phone(struct phones *phones, const struct binding *binding, struct slice user)
{
    struct phone *phone = &phones->items[phones->count];
    struct push_params params;

    if (!binding->push || phones->count == PHONES_MAX ||
        !push_params_find(binding->contact, &params))
        return;
    struct builder b = builder_over(phone->text, sizeof phone->text);
    phone->push = (struct api_push){
        .user = user,
        .provider = keep(&b, params.provider),
        .param = keep(&b, params.param),
        .prid = keep(&b, params.prid),
    };
    snprintf(phone->instance, sizeof phone->instance, "%.*s", SLICE_ARG(binding->instance));
    phone->registered_ms = binding->registered_ms;
    phone->expires_ms = binding->expires_ms;
    phones->count += !b.overflow;
}

static void find_phones(struct api *api, struct slice user, struct phones *phones)
{
    const struct api_config *config = &api->config;
    uint64_t now_ms = wall_ms();
    struct binding binding;
    uint32_t cursor = 0;

    pthread_mutex_lock(&api->reading);
    quiesce_online(config->quiesce, api->seat);
    struct slice block = table_find(config->location, user, hash_bytes(config->hash_seed, user));
    while (block.len > 0 && binding_next(block, &cursor, &binding)) {
        if (binding.expires_ms <= now_ms)
            continue;
        phones->bindings++;
        add_phone(phones, &binding, user);
    }
    quiesce_offline(config->quiesce, api->seat);
    pthread_mutex_unlock(&api->reading);
}

static json_t *phone_json(const struct phone *phone, const struct api_push_answer *answer)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:s, s:I, s:I, s:o}", "provider",
                     api_string(phone->push.provider), "instance",
                     api_string(slice_of(phone->instance)), "registered",
                     api_time(phone->registered_ms), "expires", api_time(phone->expires_ms),
                     "accepted", (int)answer->accepted, "outcome", answer->outcome, "http_status",
                     (json_int_t)answer->status, "ms", (json_int_t)answer->ms, "answer",
                     api_string(slice_of(answer->text)));
}

static struct api_answer test(struct api_request *r, struct slice user)
{
    const struct api_config *config = &r->api->config;
    struct phones *phones = calloc(1, sizeof *phones);
    json_t *items = json_array();

    if (phones == NULL || items == NULL) {
        free(phones);
        json_decref(items);
        return api_memory_problem();
    }
    find_phones(r->api, user, phones);
    for (uint32_t i = 0; i < phones->count; i++) {
        struct api_push_answer answer = {.outcome = "not asked"};
        config->push_test(config->user, &phones->items[i].push, &answer);
        json_array_append_new(items, phone_json(&phones->items[i], &answer));
    }
    json_t *json = json_pack("{s:o, s:I, s:o}", "user", api_string(user), "bindings",
                             (json_int_t)phones->bindings, "phones", items);
    free(phones);
    return (struct api_answer){.status = 200, .json = json};
}

struct api_answer api_push_test(struct api_request *r)
{
    const char *user = NULL;
    json_error_t error;

    if (r->api->config.push_test == NULL)
        return api_problem(409, NULL, NULL,
                           "there is no push gateway: push.url is not set in the configuration");
    json_t *json =
        json_loadb(r->body != NULL ? r->body : "", r->body_len, JSON_REJECT_DUPLICATES, &error);
    struct api_answer answer;
    if (json == NULL || json_unpack_ex(json, &error, JSON_STRICT, "{s:s}", "user", &user) != 0)
        answer = api_problem(400, NULL, NULL, "expected {\"user\": …}: %s", error.text);
    else
        answer = test(r, slice_of(user));
    json_decref(json);
    return answer;
}
