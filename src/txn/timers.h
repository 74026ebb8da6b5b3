/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/timers - the timers of RFC 3261 (Table 4 in Appendix A) with RFC 6026, in milliseconds.
 */
#ifndef TXN_TIMERS_H
#define TXN_TIMERS_H

#include <stdint.h>

enum {
    T1_MS = 500,  /* estimated round trip: the first retransmission gap */
    T2_MS = 4000, /* longest gap, for non-INVITE requests and INVITE responses */
    T4_MS = 5000, /* longest time a message lingers in the network */

    TIMER_A_MS = T1_MS,      /* first gap between INVITEs, doubled each time; UDP (§17.1.1.2) */
    TIMER_B_MS = 64 * T1_MS, /* an INVITE without any answer fails (§17.1.1.2) */
    TIMER_D_MS = 32000,      /* absorbs resent failures; UDP, >= 32 s (§17.1.1.2), else zero */
    TIMER_E_MS = T1_MS,      /* first gap between non-INVITE requests, up to T2; UDP (§17.1.2.2) */
    TIMER_F_MS = 64 * T1_MS, /* a non-INVITE request without final response fails (§17.1.2.2) */
    TIMER_G_MS = T1_MS,      /* first gap between failures of INVITE, up to T2; UDP (§17.2.1) */
    TIMER_H_MS = 64 * T1_MS, /* no ACK came: give up (§17.2.1) */
    TIMER_I_MS = T4_MS,      /* absorbs resent ACKs; UDP, else zero (§17.2.1) */
    TIMER_J_MS = 64 * T1_MS, /* absorbs resent non-INVITE requests; UDP, else zero (§17.2.2) */
    TIMER_K_MS = T4_MS,      /* absorbs resent responses; UDP, else zero (§17.1.2.2) */
    TIMER_L_MS = 64 * T1_MS, /* accepted INVITE: absorbs it, passes 2xx (RFC 6026 §8.7) */
    TIMER_M_MS = 64 * T1_MS, /* accepted INVITE: waits for further 2xx (RFC 6026 §8.4) */

    /* An INVITE that has no final response this long after its CANCEL is over (§9.1). */
    TIMER_CANCEL_MS = 64 * T1_MS,
    /* When Timer E of the other side is set to T2, after gaps of 500, 1000 and 2000: only then may,
     * and must, a non-INVITE request be answered by 100 (RFC 4320 §4.1). */
    TIMER_TRYING_MS = 7 * T1_MS,

    /*
     * What only lingers (timers D, I, J, K, L, M) ends together with others, up to this much later:
     * a power of two. Each end by itself would wake the worker, which costs more than the end.
     */
    LINGER_STEP_MS = 256,
};

/** When something ends that lingers for at least `linger_ms` from now on; 0: at once. */
static inline uint64_t linger_end(uint64_t now_ms, uint32_t linger_ms)
{
    if (linger_ms == 0)
        return now_ms;
    return (now_ms + linger_ms + LINGER_STEP_MS - 1) & ~(uint64_t)(LINGER_STEP_MS - 1);
}

#endif
