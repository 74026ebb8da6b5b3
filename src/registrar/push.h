/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registrar/push - what a REGISTER says of push notifications, and what is answered (RFC 8599
 * §5.6.1). Private.
 *
 * We are proxy and registrar in one, so there is nobody further on who could serve what we do not:
 * a kind of push service that we have no gateway for is 555.
 */
#ifndef REGISTRAR_PUSH_H
#define REGISTRAR_PUSH_H

#include "base/push.h"
#include "registrar/registrar.h"

enum {
    PUSH_MARGIN_S = 120,   /* a binding lives at least so long beside the time we wake it before */
    PUSH_LEAD_MIN_S = 120, /* §5.5: what a phone that wakes by itself has to keep in any case */
    PUSH_OWN_S = 10,       /* it refreshes so long before we would wake it */
};

/** What all contacts of a request ask for together. */
struct push_work {
    uint32_t named;    /* providers to be confirmed, by their place in the configuration */
    bool wakes_itself; /* +sip.pnsreg (§4.1.4) */
};

enum push_verdict {
    PUSH_NONE = 1,    /* it is no concern of ours */
    PUSH_WANTED,      /* the phone is to be woken */
    PUSH_UNSUPPORTED, /* 555 */
    PUSH_MALFORMED,   /* 400 */
};

/** Does another proxy on the way wake the phone (§5.6.1.1)? Then it is none of our business. */
bool push_is_anothers(const struct sip_msg *msg);

/** Looks at one contact that is to be kept. `reason`: set for PUSH_MALFORMED. */
enum push_verdict push_take(const struct registrar_push *config, const struct sip_contact *contact,
                            struct push_work *work, struct slice *reason);

/** Seconds that a binding has to live for that we can wake it in time (§5.6.1.1). */
uint32_t push_min_expires(const struct registrar_push *config);

/** Feature-Caps, one line for each provider (§5.4). At most push_caps_bytes(). */
void push_write_caps(const struct registrar_push *config, const struct push_work *work,
                     struct builder *b);
size_t push_caps_bytes(const struct registrar_push *config, const struct push_work *work);

#endif
