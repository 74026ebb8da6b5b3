/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialog - a call's dialog as a proxy sees it (RFC 3261 §12), and requests of our own in it.
 *
 * A proxy keeps no dialogs. Who wants to say something in a call himself needs what its two ends
 * keep: both tags, where each is reached (its remote target, and its part of the route set without
 * us), and the highest CSeq of each direction. All of that is learnt from the 2xx that confirms the
 * dialog, but for the caller's Contact, which only the INVITE has, and is kept packed: in the call,
 * and in its record in the journal, where it must be read back after a restart.
 *
 *   packed   format (1 byte), CSeq of the caller and of the callee (4 each, little endian),
 *            then texts with their lengths (2, little endian): our Record-Route value, and of the
 *            caller and the callee each: its From or To value, remote target, routes
 *
 * Blocks come from files: they are checked.
 *
 * Thread:  any. Memory: none of its own.
 * Public headers: dialog.h
 */
#ifndef DIALOG_DIALOG_H
#define DIALOG_DIALOG_H

#include "base/builder.h"
#include "sip/sip.h"

enum {
    DIALOG_PACKED_MAX = 4096, /* bytes; of a longer one nothing is kept */
    DIALOG_JUMP = 1 << 15,    /* what a CSeq is raised by after a restart: see dialog_restored() */
    DIALOG_UNKNOWN = 1 << 30, /* and to what, if it is 0 */
};

/** One end. Slices borrow; empty: not known, of `routes`: none. */
struct dialog_party {
    struct slice name;   /* its From or To value, with its tag */
    struct slice target; /* the URI of its Contact */
    struct slice routes; /* between us and it, nearest first, as values of a Route */
    uint32_t cseq;       /* the highest of its requests; 0: it has sent none */
};

struct dialog {
    struct slice ours; /* our Record-Route value: its token is the way to either end */
    struct dialog_party caller, callee;
};

/** Is a Record-Route value ours? */
typedef bool dialog_is_ours_fn(void *user, struct slice value);

/**
 * What the 2xx to an INVITE says of the dialog that it confirms (§12.1): all but the caller's
 * target, which is left as it is, and a higher CSeq of his that is there already. `b` keeps the
 * callee's routes, which are the other way round in the response. ERR_NOT_FOUND: it has no Contact,
 * no tags, or no Record-Route of ours. ERR_TOO_BIG: `b` is full.
 */
MUST_CHECK enum err dialog_confirm(struct dialog *dialog, const struct sip_msg *response,
                                   dialog_is_ours_fn *is_ours, void *user, struct builder *b);

/** The URI of a message's first Contact; empty: it has none that can be read. */
struct slice dialog_contact(const struct sip_msg *msg);

/** Appends it. ERR_TOO_BIG: it does not fit, or exceeds DIALOG_PACKED_MAX. */
MUST_CHECK enum err dialog_pack(const struct dialog *dialog, struct builder *b);
/** Everything borrows from `packed`. ERR_SYNTAX: not a sound one. */
MUST_CHECK enum err dialog_unpack(struct slice packed, struct dialog *out);

/** A request of one end came by, with this CSeq. `packed` is changed in place. True: it is that
 * end's first. It may begin anywhere, so this one must last (dialog_restored()). */
bool dialog_heard(char *packed, size_t len, bool from_caller, uint32_t cseq);

/**
 * It was read back: requests that came by since it was written are not known, so both CSeqs are
 * raised by DIALOG_JUMP, which an end takes as a request that is new (§12.2.2: higher by any
 * number). One that is 0 becomes DIALOG_UNKNOWN: that end has sent nothing, as far as was written
 * in time, and may have begun anywhere below 2^31 (§8.1.1.5); few begin so high.
 */
void dialog_restored(char *packed, size_t len);

/** Is enough known to send something to both ends? */
bool dialog_is_confirmed(const struct dialog *dialog);

/**
 * Writes a request of our own to one end, in the other's name (§12.2.1.1): with its tags, its
 * target and routes, and the next CSeq of that direction. Its first Route is our own, as if the
 * other end had sent it to us: core/ takes it off and finds the way by it. `via`: a line, `fields`:
 * further lines. ERR_NOT_FOUND: not confirmed, or out of numbers. ERR_TOO_BIG.
 */
MUST_CHECK enum err dialog_write(const struct dialog *dialog, bool to_caller, struct slice method,
                                 struct slice call_id, struct slice via, struct slice fields,
                                 struct builder *b);

#endif
