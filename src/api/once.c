/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/once - a POST with an Idempotency-Key is carried out once: who asks again hears the same
 * answer (draft-ietf-httpapi-idempotency-key-header).
 *
 * A key is its sender's: of a token, or of the control socket. With it we remember what was
 * asked, by a hash, and what was answered. What failed for a reason of ours (5xx) is
 * forgotten, so that it can be tried again. Answers may hold secrets that are shown once: they
 * are overwritten when they are forgotten.
 *
 * Memory only: after a restart nothing is remembered.
 *
 * Thread:  both of the api's, under `lock`, which is never held while a request is carried out.
 * Limit:   API_ONCE_PER_SENDER keys of one sender, API_ONCE_KEYS in all, API_ONCE_BYTES of answers,
 *          API_ONCE_MS: what is older is forgotten first.
 */
#include <stdlib.h>
#include <time.h>

#include "api/internal.h"
#include "base/hash.h"

/** One key. */
struct once {
    bool control; /* who: the control socket, else the token named so */
    char who[STORE_NAME_MAX + 1];
    char key[API_ONCE_KEY_MAX + 1];
    uint64_t asked; /* hash of what was asked */
    uint64_t begun_ms;
    bool done;
    bool kept;        /* the answer was small enough, and there was memory */
    unsigned status;  /* of the answer, as `type` and `text` */
    const char *type; /* static */
    struct api_text text;
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void api_once_open(struct api_once *once)
{
    *once = (struct api_once){0};
    pthread_mutex_init(&once->lock, NULL);
}

static void forget(struct api_once *once, size_t at)
{
    struct once *one = once->all[at];

    once->count--;
    memmove(&once->all[at], &once->all[at + 1], (once->count - at) * sizeof(struct once *));
    once->bytes -= one->text.len;
    if (one->text.data != NULL)
        explicit_bzero(one->text.data, one->text.len);
    api_text_release(&one->text);
    free(one);
}

void api_once_close(struct api_once *once)
{
    while (once->count > 0)
        forget(once, once->count - 1);
    pthread_mutex_destroy(&once->lock);
}

static bool is_sender(const struct once *one, bool control, const char *who)
{
    return one->control == control && strcmp(one->who, who) == 0;
}

void api_once_forget(struct api_once *once, const char *token)
{
    pthread_mutex_lock(&once->lock);
    for (size_t i = once->count; i-- > 0;) {
        if (!is_sender(once->all[i], false, token))
            continue;
        if (once->all[i]->done)
            forget(once, i);
        else
            once->all[i]->who[0] = '\0'; /* nobody's */
    }
    pthread_mutex_unlock(&once->lock);
}

/** The place of the oldest that is done: of one sender, or (`r` NULL) of all; SIZE_MAX: none. */
static size_t oldest(const struct api_once *once, const struct api_request *r, size_t *count)
{
    size_t first = SIZE_MAX;

    *count = 0;
    for (size_t i = 0; i < once->count; i++) {
        if (r != NULL && !is_sender(once->all[i], r->socket->control, r->who))
            continue;
        ++*count;
        if (first == SIZE_MAX && once->all[i]->done)
            first = i;
    }
    return first;
}

/** Keeps the limits; `r`: room for one more of its sender. */
static void make_room(struct api_once *once, const struct api_request *r)
{
    size_t count, first;

    while ((first = oldest(once, NULL, &count)) != SIZE_MAX &&
           (now_ms() - once->all[first]->begun_ms >= API_ONCE_MS || count >= API_ONCE_KEYS ||
            once->bytes > API_ONCE_BYTES))
        forget(once, first);
    first = r != NULL ? oldest(once, r, &count) : SIZE_MAX;
    if (first != SIZE_MAX && count >= API_ONCE_PER_SENDER)
        forget(once, first);
}

static uint64_t hash_of(struct api_request *r)
{
    const char *type = api_header(r, "Content-Type");
    uint64_t hash = hash_bytes(r->target_hash, slice_of(type != NULL ? type : ""));

    return hash_bytes(hash, (struct slice){r->body, r->body_len});
}

static const struct once *find(const struct api_once *once, const struct api_request *r,
                               const char *key)
{
    for (size_t i = 0; i < once->count; i++)
        if (is_sender(once->all[i], r->socket->control, r->who) &&
            strcmp(once->all[i]->key, key) == 0)
            return once->all[i];
    return NULL;
}

/** What is said to one who comes with a key that is known. */
static struct api_answer answer_again(const struct once *one, uint64_t asked)
{
    struct api_answer answer = {.status = one->status, .type = one->type};

    if (one->asked != asked)
        return api_problem(422, NULL, "Idempotency-Key",
                           "this Idempotency-Key was used for another request; take a new one");
    if (!one->done)
        return api_problem(409, NULL, "Idempotency-Key",
                           "the request with this Idempotency-Key is still being carried out");
    if (!one->kept)
        return api_problem(409, NULL, "Idempotency-Key",
                           "the request with this Idempotency-Key was carried out (%u); its answer "
                           "was not kept",
                           one->status);
    api_text_add(&answer.text, (struct slice){one->text.data, one->text.len});
    return answer;
}

/** Remembers what was answered, or forgets that it was asked. */
static void remember(struct api_once *once, struct once *one, const struct api_answer *answer)
{
    pthread_mutex_lock(&once->lock);
    one->done = true;
    one->status = answer->status;
    one->type = answer->type;
    if (!answer->text.failed && answer->text.len <= API_ONCE_BYTES / 4)
        api_text_add(&one->text, (struct slice){answer->text.data, answer->text.len});
    one->kept = one->text.len > 0 && !one->text.failed;
    once->bytes += one->text.len;
    for (size_t i = 0; i < once->count && answer->status >= 500; i++)
        if (once->all[i] == one) {
            forget(once, i);
            break;
        }
    make_room(once, NULL);
    pthread_mutex_unlock(&once->lock);
}

/** A new entry, which is not done; NULL: no memory, or all are under way. */
static struct once *begin(struct api_once *once, const struct api_request *r, const char *key,
                          uint64_t asked)
{
    make_room(once, r);
    struct once *one = once->count < COUNT_OF(once->all) ? calloc(1, sizeof *one) : NULL;
    if (one == NULL)
        return NULL;
    one->control = r->socket->control;
    memcpy(one->who, r->who, sizeof one->who);
    memcpy(one->key, key, strlen(key) + 1);
    one->asked = asked;
    one->begun_ms = now_ms();
    once->all[once->count++] = one;
    return one;
}

struct api_answer api_once(struct api_request *r)
{
    const char *key = api_header(r, "Idempotency-Key");
    struct api_once *once = &r->api->once;

    if (key == NULL || strcmp(r->method, "POST") != 0)
        return r->route->fn(r);
    if (key[0] == '\0' || strlen(key) > API_ONCE_KEY_MAX)
        return api_problem(400, NULL, "Idempotency-Key", "an Idempotency-Key has 1 to %d bytes",
                           API_ONCE_KEY_MAX);

    uint64_t asked = hash_of(r);
    pthread_mutex_lock(&once->lock);
    const struct once *known = find(once, r, key);
    struct api_answer answer = known != NULL ? answer_again(known, asked) : api_memory_problem();
    struct once *one = known == NULL ? begin(once, r, key, asked) : NULL;
    pthread_mutex_unlock(&once->lock);
    if (one == NULL)
        return answer;

    answer = r->route->fn(r);
    api_answer_write(&answer);
    remember(once, one, &answer);
    return answer;
}
