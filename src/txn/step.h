/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txn/step - what a machine answers to an event: the next state and what to do.
 *
 * The machines (ict, nict, ist, nist) decide; client.c and server.c carry out the actions,
 * in the order of their bits.
 */
#ifndef TXN_STEP_H
#define TXN_STEP_H

#include <stdint.h>

enum client_action {
    CLIENT_RESEND = 1 << 0,      /* the request again; Timer A or E anew */
    CLIENT_STOP = 1 << 1,        /* Timers A and B */
    CLIENT_SEND_CANCEL = 1 << 2, /* if one is wanted: now it may go out (§9.1) */
    CLIENT_ACK = 1 << 3,         /* make the ACK of this failure, send it, keep it (§17.1.1.3) */
    CLIENT_RESEND_ACK = 1 << 4,
    CLIENT_START_D = 1 << 5,
    CLIENT_START_K = 1 << 6,
    CLIENT_START_M = 1 << 7,
    CLIENT_PASS_UP = 1 << 8, /* the response goes to the user */
    CLIENT_TELL_TIMEOUT = 1 << 9,
    CLIENT_TELL_ERROR = 1 << 10,
};

enum server_action {
    SERVER_SEND = 1 << 0,     /* the user's response goes out */
    SERVER_KEEP = 1 << 1,     /* and may be resent */
    SERVER_TRYING = 1 << 2,   /* a 100 of the machine's own (RFC 4320 §4.1) */
    SERVER_RESEND = 1 << 3,   /* the response sent last, again */
    SERVER_FORGET = 1 << 4,   /* no response will be resent */
    SERVER_ANSWERED = 1 << 5, /* with the final response the request is needed no more */
    SERVER_START_G = 1 << 6,
    SERVER_START_H = 1 << 7,
    SERVER_START_I = 1 << 8,
    SERVER_START_J = 1 << 9,
    SERVER_START_L = 1 << 10,
    SERVER_PASS_ACK = 1 << 11, /* an ACK of a 2xx: the user's */
};

struct txn_step {
    uint8_t next;     /* a state of the machine that was asked */
    uint16_t actions; /* set of enum client_action or enum server_action */
};

#endif
