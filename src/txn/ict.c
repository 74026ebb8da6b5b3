/* SPDX-License-Identifier: Apache-2.0 */
#include "txn/ict.h"

#include <assert.h>

// clang-format off
static const struct txn_step ict_table[ICT_STATE_COUNT][ICT_EVENT_COUNT] = {
    [ICT_CALLING] = {
        [ICT_RX_1XX]          = {ICT_PROCEEDING, CLIENT_STOP | CLIENT_SEND_CANCEL | CLIENT_PASS_UP},
        [ICT_RX_2XX]          = {ICT_ACCEPTED,   CLIENT_START_M | CLIENT_PASS_UP},
        [ICT_RX_FAILURE]      = {ICT_COMPLETED,  CLIENT_ACK | CLIENT_START_D | CLIENT_PASS_UP},
        [ICT_TIMER_A]         = {ICT_CALLING,    CLIENT_RESEND},
        [ICT_TIMER_B]         = {ICT_TERMINATED, CLIENT_TELL_TIMEOUT},
        [ICT_TRANSPORT_ERROR] = {ICT_TERMINATED, CLIENT_TELL_ERROR},
        [ICT_CONN_LOST]       = {ICT_TERMINATED, CLIENT_TELL_ERROR},
    },
    [ICT_PROCEEDING] = { /* no limit here but Timer C, which is the proxy's (§16.6 step 11) */
        [ICT_RX_1XX]          = {ICT_PROCEEDING, CLIENT_PASS_UP},
        [ICT_RX_2XX]          = {ICT_ACCEPTED,   CLIENT_START_M | CLIENT_PASS_UP},
        [ICT_RX_FAILURE]      = {ICT_COMPLETED,  CLIENT_ACK | CLIENT_START_D | CLIENT_PASS_UP},
        [ICT_TIMER_CANCEL]    = {ICT_TERMINATED, CLIENT_TELL_TIMEOUT},
        [ICT_CONN_LOST]       = {ICT_TERMINATED, CLIENT_TELL_ERROR},
    },
    [ICT_ACCEPTED] = { /* the ACK of a 2xx is the caller's, so none is sent here */
        [ICT_RX_2XX]          = {ICT_ACCEPTED,   CLIENT_PASS_UP},
        [ICT_TIMER_M]         = {ICT_TERMINATED, 0},
    },
    [ICT_COMPLETED] = {
        [ICT_RX_FAILURE]      = {ICT_COMPLETED,  CLIENT_RESEND_ACK},
        [ICT_TIMER_D]         = {ICT_TERMINATED, 0},
        [ICT_TRANSPORT_ERROR] = {ICT_TERMINATED, 0}, /* the user has its final response already */
    },
};
// clang-format on

struct txn_step ict_next(enum ict_state state, enum ict_event event)
{
    assert(state > ICT_NONE && state < ICT_TERMINATED);
    assert(event < ICT_EVENT_COUNT);

    struct txn_step step = ict_table[state][event];
    if (step.next == ICT_NONE)
        step.next = (uint8_t)state; /* not in the figure: ignored, as the RFC leaves it */
    return step;
}
