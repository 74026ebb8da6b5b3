/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/phone - what the files of the crowd share.
 *
 *   phone.c      their addresses and timers, and what comes to them
 *   registers.c  registrations
 *   caller.c     calls as their caller sees them
 *   callee.c     calls as a callee sees them
 */
#ifndef SIM_PHONE_H
#define SIM_PHONE_H

#include "sim.h"

enum phone_timer {
    PT_REGISTER = 1, /* b: phone */
    PT_REGISTER_AGAIN,
    PT_CALL, /* b: call */
    PT_CALL_AGAIN,
    PT_CANCEL,
    PT_CANCEL_AGAIN,
    PT_BYE,
    PT_BYE_AGAIN,
    PT_CALL_OVER,
    PT_LEG_ACT, /* b: leg */
    PT_LEG_AGAIN,
    PT_LEG_BYE,
    PT_LEG_BYE_AGAIN,
    PT_MESSAGE, /* b: phone */
    PT_MESSAGE_AGAIN,
    PT_PROBE,
    PT_ASK,
    PT_CALL_ASK, /* b: call */
    PT_LEG_ASK,  /* b: leg */
};

enum {
    T1 = 500,
    T2 = 4000,
    LIFE_MS = 64 * T1
};

/* phone.c */
void phone_set_timer(struct sim *sim, enum phone_timer what, uint32_t which, uint32_t generation,
                     uint64_t in_ms);
void phone_make_branch(struct sim *sim, char *out, size_t size);

/* registers.c */
void phone_on_register_timer(struct sim *sim, struct phone *phone);
void phone_on_register_again(struct sim *sim, struct phone *phone, uint32_t generation);
void phone_on_register_response(struct sim *sim, struct phone *phone, const char *text);

/* caller.c */
void phone_on_call_timer(struct sim *sim, uint32_t index);
void phone_on_call_again(struct sim *sim, uint32_t index, uint32_t generation);
void phone_on_cancel_timer(struct sim *sim, uint32_t index);
void phone_on_cancel_again(struct sim *sim, uint32_t index, uint32_t generation);
void phone_on_bye_timer(struct sim *sim, uint32_t index, uint32_t generation);
void phone_on_call_ask(struct sim *sim, uint32_t index, uint32_t generation);
void phone_on_leg_ask(struct sim *sim, uint32_t which, uint32_t generation);
void phone_on_bye_again(struct sim *sim, uint32_t index, uint32_t generation);
struct call *phone_find_call(struct sim *sim, uint32_t phone, const char *call_id, uint32_t *index);
void phone_on_call_response(struct sim *sim, uint32_t phone, const char *text);

/* callee.c */
void phone_leg_act(struct sim *sim, struct leg *leg);
void phone_on_leg_again(struct sim *sim, struct leg *leg, uint32_t generation);
void phone_on_invite(struct sim *sim, uint32_t phone, const char *text, const char *branch);
void phone_on_cancel(struct sim *sim, uint32_t phone, const char *text, const char *branch);
void phone_leg_hang_up(struct sim *sim, struct leg *leg, uint32_t generation);
void phone_on_leg_bye_again(struct sim *sim, struct leg *leg, uint32_t generation);
void phone_on_ack(struct sim *sim, uint32_t phone, const char *text, const char *branch);
void phone_on_bye(struct sim *sim, uint32_t phone, const char *text);
void phone_on_leg_response(struct sim *sim, uint32_t phone, const char *text);

#endif
