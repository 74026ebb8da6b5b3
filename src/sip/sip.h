/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip - the language: messages, URIs, header fields, edits, replies, digest, session descriptions.
 *
 * Bytes in, structs out; no I/O, no clock, no state. All headers of this room are public.
 *
 * Thread:  any; nothing is shared.
 * Memory:  everything borrows from the buffer it was given.
 */
#ifndef SIP_SIP_H
#define SIP_SIP_H

#include "sip/digest.h"
#include "sip/edit.h"
#include "sip/header.h"
#include "sip/msg.h"
#include "sip/oc.h"
#include "sip/peek.h"
#include "sip/reply.h"
#include "sip/sdp.h"
#include "sip/uri.h"

#endif
