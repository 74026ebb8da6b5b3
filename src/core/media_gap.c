/* SPDX-License-Identifier: Apache-2.0 */
#include "core/media.h"

static bool is_browser(uint8_t transport)
{
    return transport == TRANSPORT_WS || transport == TRANSPORT_WSS;
}

/* A fingerprint beside RTP/AVP is an offer that leaves the choice (RFC 8643). */
static unsigned ways_of(const struct sdp_media *media)
{
    unsigned ways = media->ice ? MEDIA_ICE : 0u;

    switch ((enum sdp_profile)media->profile) {
    case SDP_RTP_AVP:
    case SDP_RTP_AVPF:
        return ways | MEDIA_PLAIN | (media->fingerprint ? MEDIA_DTLS : 0u) |
               (media->crypto ? MEDIA_SDES : 0u);
    case SDP_RTP_SAVP:
    case SDP_RTP_SAVPF:
        if (!media->fingerprint)
            return ways | MEDIA_SDES;
        return ways | MEDIA_DTLS | (media->crypto ? MEDIA_SDES : 0u);
    case SDP_TLS_SAVP:
    case SDP_TLS_SAVPF:
        return ways | MEDIA_DTLS;
    case SDP_OTHER_PROFILE:
    case SDP_UDPTL:
    case SDP_DTLS_SCTP:
        break;
    }
    return MEDIA_KEYS | MEDIA_ICE; /* nothing is known of it, so it fits */
}

unsigned media_ways(const struct sdp *sdp)
{
    unsigned ways = 0;

    for (unsigned i = 0; i < sdp->count; i++)
        if (sdp->media[i].kind == SDP_AUDIO && sdp->media[i].port != 0)
            ways |= ways_of(&sdp->media[i]);
    return ways;
}

/* ---- addresses ---- */

static bool is_local(const struct media_sender *sender, const struct addr *addr)
{
    if (addr_is_loopback(addr))
        return true;
    for (uint32_t i = 0; i < sender->local_count; i++)
        if (addr_same_host(&sender->local[i], addr))
            return true;
    return false;
}

static bool is_private(const struct addr *media, const struct media_sender *sender,
                       const struct addr *to)
{
    struct addr self;

    if (!addr_is_private(media) || addr_same_host(media, sender->source) ||
        addr_same_host(to, sender->source))
        return false;
    if (is_local(sender, sender->source) && is_local(sender, media))
        return false; /* a phone on this machine */
    return !addr_is_private(sender->source) ||
           (addr_parse(sender->self, 0, &self) == OK && addr_same_host(&self, media));
}

bool media_is_private(const struct sdp *sdp, const struct media_sender *sender,
                      const struct addr *to)
{
    const struct sdp_media *audio = sdp_first(sdp, SDP_AUDIO);
    struct addr addr;

    return audio != NULL && audio->port != 0 && !audio->ice && sdp_address(audio, &addr) &&
           is_private(&addr, sender, to);
}

/* ---- profiles ---- */

static bool suits_browser(unsigned ways)
{
    return (ways & MEDIA_DTLS) != 0 && (ways & MEDIA_ICE) != 0;
}

enum core_media_gap media_gap_of_offer(unsigned offer, uint8_t transport)
{
    if (offer == 0)
        return CORE_MEDIA_FITS;
    if (is_browser(transport))
        return suits_browser(offer) ? CORE_MEDIA_FITS : CORE_MEDIA_TO_BROWSER;
    return (offer & MEDIA_KEYS) == MEDIA_DTLS ? CORE_MEDIA_FROM_BROWSER : CORE_MEDIA_FITS;
}

enum core_media_gap media_gap_of_answer(unsigned offer, unsigned answer, uint8_t transport)
{
    unsigned offered = offer & MEDIA_KEYS, answered = answer & MEDIA_KEYS;

    if (offered == 0 || (offered & answered) != 0)
        return CORE_MEDIA_FITS;
    if (is_browser(transport))
        return suits_browser(offer) ? CORE_MEDIA_FITS : CORE_MEDIA_TO_BROWSER;
    if (offered == MEDIA_DTLS)
        return CORE_MEDIA_FROM_BROWSER;
    if (offered == MEDIA_SDES || answered != 0)
        return CORE_MEDIA_SRTP;
    return CORE_MEDIA_FITS; /* plain RTP was refused for another reason */
}
