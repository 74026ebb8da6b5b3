/* SPDX-License-Identifier: Apache-2.0 */
#include "txn/nist.h"

#include <assert.h>

// clang-format off
static const struct txn_step nist_table[NIST_STATE_COUNT][NIST_EVENT_COUNT] = {
    [NIST_TRYING] = {
        [NIST_TX_FINAL]     = {NIST_COMPLETED,  SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED |
                                                SERVER_START_J},
        [NIST_TX_408]       = {NIST_COMPLETED,  SERVER_ANSWERED | SERVER_START_J},
        [NIST_TIMER_TRYING] = {NIST_PROCEEDING, SERVER_TRYING},
    },
    [NIST_PROCEEDING] = {
        [NIST_RX_REQUEST]   = {NIST_PROCEEDING, SERVER_RESEND},
        [NIST_TX_FINAL]     = {NIST_COMPLETED,  SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED |
                                                SERVER_START_J},
        [NIST_TX_408]       = {NIST_COMPLETED,  SERVER_FORGET | SERVER_ANSWERED | SERVER_START_J},
    },
    [NIST_COMPLETED] = { /* after a 408 there is nothing to resend: silence */
        [NIST_RX_REQUEST]   = {NIST_COMPLETED,  SERVER_RESEND},
        [NIST_TIMER_J]      = {NIST_TERMINATED, 0},
    },
};
// clang-format on

struct txn_step nist_next(enum nist_state state, enum nist_event event)
{
    assert(state > NIST_NONE && state < NIST_TERMINATED);
    assert(event < NIST_EVENT_COUNT);

    struct txn_step step = nist_table[state][event];
    if (step.next == NIST_NONE)
        step.next = (uint8_t)state; /* not in the figure: ignored */
    return step;
}
