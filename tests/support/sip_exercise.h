/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_exercise - asks everything of a parsed message and checks what must always hold.
 *
 * For fuzz targets and the torture messages: a broken invariant aborts.
 */
#ifndef SUPPORT_SIP_EXERCISE_H
#define SUPPORT_SIP_EXERCISE_H

#include "sip/sip.h"

/** Aborts with `what` unless it holds; on in every build. */
void sip_must(bool holds, const char *what);

/** One URI: its parts lie inside, it equals itself, it survives being asked. */
void sip_exercise_uri(struct slice text);

/** One header value, through every parser there is. */
void sip_exercise_value(struct slice value);

/** A message as sip_parse() gave it: index, values, reply, edits, CANCEL and ACK. */
void sip_exercise_msg(const struct sip_msg *msg);

#endif
