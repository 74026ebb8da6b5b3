/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/outcome - what a final status means: disposition and Q.850 cause; and Reason fields.
 */
#ifndef CALLS_OUTCOME_H
#define CALLS_OUTCOME_H

#include "base/call_record.h"
#include "sip/sip.h"

enum {
    Q850_NORMAL_CLEARING = 16,
    Q850_RECOVERY_ON_TIMER = 102
};

/** 2xx ANSWERED; else by the status, but CANCELLED where the caller did it. */
enum call_disposition outcome_disposition(uint16_t status, bool cancelled_by_caller);

/** RFC 3398 §8.2.6.1 for 3xx to 6xx; 16 for 2xx; 0: the status has none (487: it is the caller's).
 */
uint8_t outcome_q850(uint16_t status);

/** What the Reason fields of a message say (RFC 3326, and RFC 6432 for responses). */
struct outcome_reason {
    uint8_t q850_cause; /* 0: none */
    struct slice text;  /* of the Q.850 value, else of the first with a text; no quotes; borrowed */
};
struct outcome_reason outcome_reason(const struct sip_msg *msg);

#endif
