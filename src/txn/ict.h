/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/ict - INVITE client transaction: RFC 3261 §17.1.1.2 with Figure 5 of RFC 6026. Pure.
 */
#ifndef TXN_ICT_H
#define TXN_ICT_H

#include "txn/step.h"

enum ict_state {
    ICT_NONE = 0, /* opened, not sent yet; in the table: the event is ignored */
    ICT_CALLING,
    ICT_PROCEEDING,
    ICT_ACCEPTED,
    ICT_COMPLETED,
    ICT_TERMINATED,
    ICT_STATE_COUNT
};

enum ict_event {
    ICT_RX_1XX = 0,
    ICT_RX_2XX,
    ICT_RX_FAILURE, /* 300 to 699 */
    ICT_TIMER_A,
    ICT_TIMER_B,
    ICT_TIMER_D,
    ICT_TIMER_M,
    ICT_TIMER_CANCEL,    /* 64*T1 after the CANCEL (RFC 3261 §9.1) */
    ICT_TRANSPORT_ERROR, /* what was sent last could not be delivered */
    ICT_CONN_LOST,       /* the connection that the answer would have come by */
    ICT_EVENT_COUNT
};

/** `state` is one of CALLING..COMPLETED. Actions: enum client_action. */
struct txn_step ict_next(enum ict_state state, enum ict_event event);

#endif
