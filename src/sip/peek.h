/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/peek - a light look at a request, for who may refuse it before it is worth a parse.
 *
 * Fills the same struct sip_msg, but indexes only what an answer repeats and a transaction is
 * matched by: Via, From, To, Call-ID and CSeq. sip_reply_write() and the matching of txn/ take it
 * as it is, and write and find the same as with the whole index.
 *
 * Memory:  borrows the buffer, as sip_parse().
 */
#ifndef SIP_PEEK_H
#define SIP_PEEK_H

#include "sip/msg.h"

/** The method by the first bytes alone; SIP_METHOD_OTHER: not INVITE, REGISTER or ACK. */
enum sip_method sip_peek_method(struct slice bytes);

/**
 * Does To have a parameter that begins with `text`, such as "tag=abc", written without spaces? For
 * texts that come there in no other way: quotes and folded lines are not looked at.
 */
bool sip_peek_to_has(struct slice bytes, struct slice text);

/**
 * True: `bytes` are a request that sip_parse() takes, and what is filled in is the same there:
 * `buf` (up to the body), `method`, `uri`, `via`, `via_value`, `from`, `to`, `call_id`, `cseq`,
 * `head_end`, and the fields of the five names; `from` only where the branch is not RFC 3261's.
 * False: anything else, also where only the parser can say what is wrong; then `*out` is garbage.
 * Every request without a fault is looked through. What is not looked at (the Request-URI, other
 * fields, the body) may be faulty all the same.
 */
bool sip_peek(struct slice bytes, struct sip_msg *out);

/**
 * The User-Agent of a message that was not parsed; empty: it has none, or it is not written plainly
 * (folded, with spaces before the colon).
 */
struct slice sip_peek_agent(struct slice bytes);

/** What names the owner of a message: see sip_peek_name(). */
struct sip_peek_name {
    bool is_response;
    struct slice text; /* the top Via's branch of a response; the Call-ID of a request */
};

/**
 * For who may have to pass a message on: finds its name without a parse. True: where sip_parse()
 * finds no fault, it finds this very `via.branch` or `call_id`. False: it is not written plainly
 * (folded, quoted, with spaces); or a REGISTER, which goes by To.
 */
bool sip_peek_name(struct slice bytes, struct sip_peek_name *out);

#endif
