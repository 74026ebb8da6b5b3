/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/nict - non-INVITE client transaction: RFC 3261 §17.1.2, Figure 6. Pure.
 */
#ifndef TXN_NICT_H
#define TXN_NICT_H

#include "txn/step.h"

enum nict_state {
    NICT_NONE = 0, /* opened, not sent yet; in the table: the event is ignored */
    NICT_TRYING,
    NICT_PROCEEDING,
    NICT_COMPLETED,
    NICT_TERMINATED,
    NICT_STATE_COUNT
};

enum nict_event {
    NICT_RX_1XX = 0,
    NICT_RX_FINAL, /* 200 to 699 */
    NICT_TIMER_E,
    NICT_TIMER_F,
    NICT_TIMER_K,
    NICT_TRANSPORT_ERROR, /* not delivered, or the connection it went by is gone */
    NICT_EVENT_COUNT
};

/** `state` is one of TRYING..COMPLETED. Actions: enum client_action. */
struct txn_step nict_next(enum nict_state state, enum nict_event event);

#endif
