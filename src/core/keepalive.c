/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/keepalive - what keeps the way to a phone behind a NAT open.
 *
 * A phone that asks by STUN is told by which address it is seen (RFC 5626 §8).
 */
#include "core/internal.h"
#include "stun/stun.h"

void keepalive_stun(struct core *core, struct slice bytes, const struct flow *source)
{
    struct stun_request request;

    if (stun_read(bytes, &request) != OK) {
        core_count(core, CORE_R_GARBAGE);
        limits_refused(core, source, CORE_R_GARBAGE);
        return;
    }
    if (request.kind != STUN_BINDING_REQUEST)
        return;
    struct builder b = outbox_open(core->config.outbox, STUN_ANSWER_MAX);
    if (stun_answer(&request, &source->remote, &b) != OK)
        return;
    outbox_commit(core->config.outbox, &b, source);
    core->counters.stun_answers++;
}
