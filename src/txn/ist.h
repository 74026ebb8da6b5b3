/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/ist - INVITE server transaction: RFC 3261 §17.2.1 with Figure 7 of RFC 6026. Pure.
 *
 * Transport errors are no event: they change no state (RFC 6026 §8.8).
 */
#ifndef TXN_IST_H
#define TXN_IST_H

#include "txn/step.h"

enum ist_state {
    IST_NONE = 0, /* in the table: the event is ignored */
    IST_PROCEEDING,
    IST_ACCEPTED,
    IST_COMPLETED,
    IST_CONFIRMED,
    IST_TERMINATED,
    IST_STATE_COUNT
};

enum ist_event {
    IST_RX_INVITE = 0, /* again */
    IST_RX_ACK,
    IST_TX_1XX, /* from the user */
    IST_TX_2XX,
    IST_TX_FAILURE, /* 300 to 699 */
    IST_TIMER_G,
    IST_TIMER_H,
    IST_TIMER_I,
    IST_TIMER_L,
    IST_EVENT_COUNT
};

/** `state` is one of PROCEEDING..CONFIRMED. Actions: enum server_action. */
struct txn_step ist_next(enum ist_state state, enum ist_event event);

#endif
