/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/nist - non-INVITE server transaction: RFC 3261 §17.2.2, Figure 8, as RFC 4320 changed it.
 * Pure.
 *
 * The user's provisional responses are not sent: any but 100 is forbidden, and the 100 is the
 * machine's own, sent when Timer E of the client has reached T2 (RFC 4320 §4.1). A 408 is never
 * sent (§4.2). Transport errors are no event: they change no state (RFC 6026 §8.8).
 */
#ifndef TXN_NIST_H
#define TXN_NIST_H

#include "txn/step.h"

enum nist_state {
    NIST_NONE = 0, /* in the table: the event is ignored */
    NIST_TRYING,
    NIST_PROCEEDING,
    NIST_COMPLETED,
    NIST_TERMINATED,
    NIST_STATE_COUNT
};

enum nist_event {
    NIST_RX_REQUEST = 0, /* again */
    NIST_TX_1XX,         /* from the user */
    NIST_TX_FINAL,       /* 200 to 699 but 408 */
    NIST_TX_408,
    NIST_TIMER_TRYING,
    NIST_TIMER_J,
    NIST_EVENT_COUNT
};

/** `state` is one of TRYING..COMPLETED. Actions: enum server_action. */
struct txn_step nist_next(enum nist_state state, enum nist_event event);

#endif
