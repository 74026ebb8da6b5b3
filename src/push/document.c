/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is sent to the gateway, and its signature.
 */
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "push/push.h"

enum {
    SECONDS_MAX = 24, /* bytes of a number */
    SIGNED_BYTES = 32
};

static const char *event_word(enum push_event event)
{
    switch (event) {
    case PUSH_CALL:
        return "call";
    case PUSH_REFRESH:
        return "refresh";
    case PUSH_TEST:
        return "test";
    }
    return "unknown";
}

/** A text, or null where there is none, or none that JSON takes. */
static json_t *text_or_null(struct slice text)
{
    json_t *value = text.len > 0 ? json_stringn(text.data, text.len) : NULL;
    return value != NULL ? value : json_null();
}

char *push_document(const struct push_request *request, const char *id, uint64_t wall_ms)
{
    json_t *json =
        json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "id", id, "event",
                  event_word(request->event), "time", (json_int_t)wall_ms, "user",
                  text_or_null(request->user), "provider", text_or_null(request->provider), "param",
                  text_or_null(request->param), "prid", text_or_null(request->prid), "call_id",
                  text_or_null(request->call_id), "from", text_or_null(request->caller));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

enum err push_sign(struct slice secret, uint64_t seconds, struct slice body,
                   char out[static PUSH_SIGNATURE_MAX])
{
    unsigned char sum[SIGNED_BYTES];
    unsigned int sum_len = sizeof sum;
    size_t size = SECONDS_MAX + body.len;
    char *text = malloc(size);

    if (text == NULL)
        return ERR_MEMORY;
    int head = snprintf(text, SECONDS_MAX, "%" PRIu64 ".", seconds);
    memcpy(text + head, body.data, body.len);
    const unsigned char *made =
        HMAC(EVP_sha256(), secret.data, (int)secret.len, (const unsigned char *)text,
             (size_t)head + body.len, sum, &sum_len);
    free(text);
    if (made == NULL)
        return ERR_MEMORY;
    int len = snprintf(out, PUSH_SIGNATURE_MAX, "t=%" PRIu64 ",v1=", seconds);
    for (unsigned i = 0; i < sum_len; i++)
        len += snprintf(out + len, PUSH_SIGNATURE_MAX - (size_t)len, "%02x", sum[i]);
    return OK;
}
