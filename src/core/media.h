/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/media - will the two sides hear each other? Private to core.
 *
 * We relay no media. What the descriptions of a call say is enough to know of some calls that they
 * cannot have audio: a private address is offered across a NAT, or a browser (DTLS-SRTP with ICE)
 * meets a phone with plain RTP. Such a call is named, in the log and by a counter, and refused
 * where the configuration says so. Only what is certain counts: where a phone cannot be seen,
 * behind another proxy or at a carrier, nothing is said. Pure functions; the driver is media.c.
 */
#ifndef CORE_MEDIA_H
#define CORE_MEDIA_H

#include "core/core.h"

/** How audio may be sent, a set of: */
enum media_way {
    MEDIA_PLAIN = 1 << 0, /* RTP */
    MEDIA_SDES = 1 << 1,  /* SRTP, the keys in the description (RFC 4568) */
    MEDIA_DTLS = 1 << 2,  /* SRTP, the keys by DTLS (RFC 5763) */
    MEDIA_ICE = 1 << 3,   /* beside one of these: addresses by ICE (RFC 8839) */
    MEDIA_KEYS = MEDIA_PLAIN | MEDIA_SDES | MEDIA_DTLS,
};

/** The ways of all audio that is not refused; 0: there is none. */
unsigned media_ways(const struct sdp *sdp);

/** Who describes himself, as we see him. */
struct media_sender {
    const struct addr *source; /* of his message */
    struct slice self;         /* the host that he gives himself, in Via or Contact */
    const struct addr *local;  /* this machine's addresses */
    uint32_t local_count;
};

/**
 * Does his audio come from a private address that `to` cannot reach? That is: we see him by another
 * address, so that there is a NAT between us, `to` is not behind the same, and there is no ICE.
 * Where the other address is private, too, it must be what he calls himself: else it could be
 * another machine of his network that has the media.
 */
bool media_is_private(const struct sdp *sdp, const struct media_sender *sender,
                      const struct addr *to);

/** What an offer lacks for who is reached by `transport`; browsers alone come by WebSocket. */
enum core_media_gap media_gap_of_offer(unsigned offer, uint8_t transport);

/** What an answer, or its 415, 488 or 606 (`answer` 0), shows to be lacking. */
enum core_media_gap media_gap_of_answer(unsigned offer, unsigned answer, uint8_t transport);

#endif
