/* SPDX-License-Identifier: Apache-2.0 */
#include "txn/nict.h"

#include <assert.h>

// clang-format off
static const struct txn_step nict_table[NICT_STATE_COUNT][NICT_EVENT_COUNT] = {
    [NICT_TRYING] = {
        [NICT_RX_1XX]          = {NICT_PROCEEDING, CLIENT_PASS_UP},
        [NICT_RX_FINAL]        = {NICT_COMPLETED,  CLIENT_START_K | CLIENT_PASS_UP},
        [NICT_TIMER_E]         = {NICT_TRYING,     CLIENT_RESEND},
        [NICT_TIMER_F]         = {NICT_TERMINATED, CLIENT_TELL_TIMEOUT},
        [NICT_TRANSPORT_ERROR] = {NICT_TERMINATED, CLIENT_TELL_ERROR},
    },
    [NICT_PROCEEDING] = { /* goes on resending, every T2, to get the final response resent */
        [NICT_RX_1XX]          = {NICT_PROCEEDING, CLIENT_PASS_UP},
        [NICT_RX_FINAL]        = {NICT_COMPLETED,  CLIENT_START_K | CLIENT_PASS_UP},
        [NICT_TIMER_E]         = {NICT_PROCEEDING, CLIENT_RESEND},
        [NICT_TIMER_F]         = {NICT_TERMINATED, CLIENT_TELL_TIMEOUT},
        [NICT_TRANSPORT_ERROR] = {NICT_TERMINATED, CLIENT_TELL_ERROR},
    },
    [NICT_COMPLETED] = {
        [NICT_TIMER_K]         = {NICT_TERMINATED, 0},
    },
};
// clang-format on

struct txn_step nict_next(enum nict_state state, enum nict_event event)
{
    assert(state > NICT_NONE && state < NICT_TERMINATED);
    assert(event < NICT_EVENT_COUNT);

    struct txn_step step = nict_table[state][event];
    if (step.next == NICT_NONE)
        step.next = (uint8_t)state; /* not in the figure: ignored */
    return step;
}
