/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream framing: the first byte says in which steps the rest arrives. However it is cut, the
 * same messages must come out, and no result may claim bytes that are not there.
 */
#include <stdlib.h>

#include "base/slice.h"
#include "net/framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    size_t messages, message_bytes, pings, used;
    enum framing_kind end;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Feeds the bytes, `step` more each time, until the end or until the stream is lost. */
static struct outcome feed(struct slice bytes, size_t step)
{
    struct framing framing = {0};
    struct outcome outcome = {0};
    size_t have = 0;

    while (have < bytes.len) {
        have = bytes.len - have > step ? have + step : bytes.len;
        for (;;) {
            struct slice rest = {bytes.data + outcome.used, have - outcome.used};
            size_t len;
            outcome.end = framing_next(&framing, rest, &len);
            require(len <= rest.len);
            require(len <= FRAMING_MESSAGE_MAX);
            if (outcome.end == FRAMING_MORE)
                break;
            if (outcome.end == FRAMING_BROKEN || outcome.end == FRAMING_TOO_LONG)
                return outcome;
            require(len > 0);
            outcome.used += len;
            outcome.pings += outcome.end == FRAMING_PING;
            if (outcome.end == FRAMING_MESSAGE) {
                outcome.messages++;
                outcome.message_bytes += len;
            }
        }
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice bytes = {(const char *)data + 1, size - 1};
    struct outcome whole = feed(bytes, SIZE_MAX);
    struct outcome steps = feed(bytes, (size_t)data[0] + 1);

    require(whole.messages == steps.messages);
    require(whole.message_bytes == steps.message_bytes);
    require(whole.pings == steps.pings);
    require(whole.used == steps.used);
    require(whole.end == steps.end);
    return 0;
}
