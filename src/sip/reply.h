/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/reply - responses made from a request (RFC 3261 §8.2.6), and the requests a
 * transaction makes from one it sent: CANCEL (§9.1) and ACK (§17.1.1.3).
 */
#ifndef SIP_REPLY_H
#define SIP_REPLY_H

#include "sip/msg.h"

/** The standard phrase; "Unknown" when there is none. Static. */
const char *sip_reason(unsigned status);

struct sip_reply {
    uint16_t status;
    struct slice reason;    /* empty: the standard phrase */
    struct slice to_tag;    /* added when the request's To has none; empty: none (100 only) */
    struct slice received;  /* written as received= of the top Via; empty: not */
    uint16_t rport;         /* written as rport= when the top Via asks for it; 0: not */
    struct slice oc;        /* into the top Via when it asks for it: sip_oc_write(); empty: not */
    struct slice fields;    /* further header lines, each with CRLF; may be empty */
    struct slice body;      /* Content-Length is written in any case */
    bool with_record_route; /* copy Record-Route: answers that make dialogs */
};

/**
 * Writes a response to `request` into `b`: Via fields in order (the first completed with
 * received and rport, RFC 3261 §18.2.1, RFC 3581 §4; values that stand there are replaced),
 * From, To, Call-ID, CSeq as far as they are there, Timestamp for 100. ERR_TOO_BIG when full.
 */
MUST_CHECK enum err sip_reply_write(const struct sip_msg *request, const struct sip_reply *reply,
                                    struct builder *b);

/** The CANCEL for an INVITE as we sent it: same Request-URI, single top Via, Route, From, To,
 * Call-ID, CSeq number; Max-Forwards 70; `fields` (e.g. Reason) added (RFC 3261 §9.1). */
MUST_CHECK enum err sip_cancel_write(const struct sip_msg *invite, struct slice fields,
                                     struct builder *b);

/** The ACK for a non-2xx: as CANCEL, but To is the response's (RFC 3261 §17.1.1.3). */
MUST_CHECK enum err sip_ack_write(const struct sip_msg *invite, struct slice response_to,
                                  struct builder *b);

#endif
