/* SPDX-License-Identifier: Apache-2.0 */
#include "txn/ist.h"

#include <assert.h>

// clang-format off
static const struct txn_step ist_table[IST_STATE_COUNT][IST_EVENT_COUNT] = {
    [IST_PROCEEDING] = { /* the 100 within 200 ms is sent by the user, at once */
        [IST_RX_INVITE]  = {IST_PROCEEDING, SERVER_RESEND},
        [IST_TX_1XX]     = {IST_PROCEEDING, SERVER_SEND | SERVER_KEEP},
        [IST_TX_2XX]     = {IST_ACCEPTED,   SERVER_SEND | SERVER_FORGET | SERVER_ANSWERED |
                                            SERVER_START_L},
        [IST_TX_FAILURE] = {IST_COMPLETED,  SERVER_SEND | SERVER_KEEP | SERVER_ANSWERED |
                                            SERVER_START_G | SERVER_START_H},
    },
    [IST_ACCEPTED] = { /* who accepted resends the 2xx; here the INVITE is absorbed */
        [IST_RX_ACK]     = {IST_ACCEPTED,   SERVER_PASS_ACK},
        [IST_TX_2XX]     = {IST_ACCEPTED,   SERVER_SEND},
        [IST_TIMER_L]    = {IST_TERMINATED, 0},
    },
    [IST_COMPLETED] = {
        [IST_RX_INVITE]  = {IST_COMPLETED,  SERVER_RESEND},
        [IST_RX_ACK]     = {IST_CONFIRMED,  SERVER_FORGET | SERVER_START_I},
        [IST_TIMER_G]    = {IST_COMPLETED,  SERVER_RESEND | SERVER_START_G},
        [IST_TIMER_H]    = {IST_TERMINATED, 0},
    },
    [IST_CONFIRMED] = {
        [IST_TIMER_I]    = {IST_TERMINATED, 0},
    },
};
// clang-format on

struct txn_step ist_next(enum ist_state state, enum ist_event event)
{
    assert(state > IST_NONE && state < IST_TERMINATED);
    assert(event < IST_EVENT_COUNT);

    struct txn_step step = ist_table[state][event];
    if (step.next == IST_NONE)
        step.next = (uint8_t)state; /* not in the figure: ignored */
    return step;
}
