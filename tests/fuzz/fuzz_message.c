/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One whole message, framed each way: parsed, and what was given out asked for everything.
 */
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sip_msg msg;
    struct slice bytes = {(const char *)data, size};

    if (sip_parse(bytes, SIP_STREAM, &msg) == OK && msg.fault.status == 0)
        sip_must(msg.content_length >= 0, "a stream's message says how long it is");
    if (sip_parse(bytes, SIP_FRAME, &msg) == OK)
        sip_must(msg.buf.len <= size, "nothing is made up");
    if (sip_parse(bytes, SIP_DATAGRAM, &msg) == OK)
        sip_exercise_msg(&msg);
    return 0;
}
