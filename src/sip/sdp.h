/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/sdp - session descriptions (RFC 8866) in the bodies of messages, as an index of slices.
 *
 * One pass over the lines finds the media and what offers and answers turn on (RFC 3264):
 * addresses, ports, profiles, directions, encryption, ICE. All else is walked when asked for.
 * Nothing here is a reason to drop a message: what cannot be read is not known, and the message
 * goes its way.
 *
 * Memory:  borrows the body; struct sdp lives on the stack or in an arena. Nothing is allocated.
 * Limit:   the constants below; each with an answer of its own.
 */
#ifndef SIP_SDP_H
#define SIP_SDP_H

#include "base/addr.h"
#include "base/codec.h"
#include "sip/msg.h"

enum {
    SDP_MEDIA_MAX = 16, /* m= lines; more: ERR_FULL */
    SDP_PARTS_MAX = 32, /* parts of a multipart body that are looked at; more: ERR_FULL */
    SDP_DEPTH_MAX = 3,  /* multipart bodies within each other; deeper ones are not looked into */
    SDP_PAYLOADS = 128, /* RTP payload types (RFC 3551 §6) */
    SDP_CODEC_NAME_MAX = 32, /* bytes of a name that may have a number, with what follows */
    SDP_FORMATS_MAX = 16, /* of an m= line whose codecs are asked for; further ones are not told */
};

enum sdp_kind {
    SDP_OTHER_KIND = 0,
    SDP_AUDIO,
    SDP_VIDEO,
    SDP_TEXT,
    SDP_APPLICATION,
    SDP_IMAGE,
    SDP_MESSAGE,
};

/** The proto of an m= line. */
enum sdp_profile {
    SDP_OTHER_PROFILE = 0,
    SDP_RTP_AVP,   /* RFC 3551 */
    SDP_RTP_AVPF,  /* RFC 4585 */
    SDP_RTP_SAVP,  /* RFC 3711 */
    SDP_RTP_SAVPF, /* RFC 5124 */
    SDP_TLS_SAVP,  /* UDP/TLS/RTP/SAVP: RFC 5764 */
    SDP_TLS_SAVPF,
    SDP_UDPTL,     /* fax: RFC 7345 */
    SDP_DTLS_SCTP, /* data channels: UDP/DTLS/SCTP or DTLS/SCTP, RFC 8841 */
};

enum sdp_direction {
    SDP_SENDRECV = 0, /* also when none is said */
    SDP_SENDONLY,
    SDP_RECVONLY,
    SDP_INACTIVE,
};

/** RFC 4145 §4, RFC 5763 §5. */
enum sdp_setup {
    SDP_NO_SETUP = 0,
    SDP_ACTIVE,
    SDP_PASSIVE,
    SDP_ACTPASS,
    SDP_HOLDCONN,
};

/** One m= section. What the session says for all media is in each of them already. */
struct sdp_media {
    uint8_t kind;      /* enum sdp_kind */
    uint8_t profile;   /* enum sdp_profile */
    uint8_t direction; /* enum sdp_direction */
    uint8_t setup;     /* enum sdp_setup */
    uint16_t port;     /* 0: refused, or none (RFC 3264 §5.1, §6) */
    uint16_t port_count;
    bool fingerprint;    /* DTLS: RFC 8122 */
    bool crypto;         /* keys within: RFC 4568 */
    bool ice;            /* a=ice-ufrag: RFC 8839 */
    bool candidate;      /* at least one */
    bool rtcp_mux;       /* RFC 5761 */
    struct slice name;   /* "audio" and so on, as written */
    struct slice proto;  /* as written */
    struct slice format; /* the list, as written */
    struct slice host;   /* of c=, without TTL; empty: none */
    struct slice lines;  /* of this section, after the m= line */
};

struct sdp {
    struct slice origin;       /* o=, as written; empty: none */
    struct slice session_host; /* of the session's c=; empty: none */
    struct slice lines;        /* before the first m= line */
    uint8_t count;
    struct sdp_media media[SDP_MEDIA_MAX];
};

/**
 * Reads a description. Lines may end in CRLF, LF or CR. ERR_SYNTAX: it is none: it does not begin
 * with v=, has a line that is no "x=...", or a c= or m= line that breaks the grammar; ERR_FULL: it
 * has more than SDP_MEDIA_MAX media.
 */
MUST_CHECK enum err sdp_parse(struct slice text, struct sdp *out);

/**
 * Finds the description in a message's body: all of it, or a part of a multipart one (RFC 5621).
 * In multipart/alternative the last one counts (RFC 2046 §5.1.4). ERR_NOT_FOUND: there is none, or
 * in an encoding that we do not undo, or for something else than the session (RFC 3959);
 * ERR_SYNTAX: a multipart body without parts; ERR_FULL: it has more than SDP_PARTS_MAX.
 */
MUST_CHECK enum err sdp_find(const struct sip_msg *msg, struct slice *out);

/** sdp_find() and sdp_parse(). */
MUST_CHECK enum err sdp_of(const struct sip_msg *msg, struct sdp *out);

/** The first medium of that kind, preferring one that is not refused; NULL: there is none. */
const struct sdp_media *sdp_first(const struct sdp *sdp, enum sdp_kind kind);

/** The numeric address of c= with the port of m=. False: there is none, or it is a name. */
bool sdp_address(const struct sdp_media *media, struct addr *out);

/** Does its sender put the other side on hold (RFC 3264 §8.4, or 0.0.0.0 as of old)? */
bool sdp_is_hold(const struct sdp_media *media);

/** One a= line. */
struct sdp_attribute {
    struct slice name;
    struct slice value; /* after the colon; empty: it has none */
};
/** Takes lines off `*rest` up to the next a= line. False at the end. */
bool sdp_attribute_next(struct slice *rest, struct sdp_attribute *out);

/** How a payload type is coded. */
struct sdp_format {
    uint8_t payload;
    uint8_t channels; /* 1 when nothing is said */
    uint32_t rate;    /* Hz */
    struct slice name;
};
/**
 * What the payload types of an RTP section mean, in their order, at most `max`: by a=rtpmap, or as
 * RFC 3551 §6 says. Those that nothing is said of are left out. Returns how many were written.
 */
uint32_t sdp_formats(const struct sdp_media *media, struct sdp_format *out, uint32_t max);
/**
 * Appends the numbers of a section's codecs, in their order and without those that are there
 * already, to `count` that there are, until there are `max`. Returns how many there are then. It is
 * quicker than sdp_formats(): a static payload type is taken for what it is.
 */
unsigned sdp_codecs(const struct sdp_media *media, uint8_t *codecs, unsigned count, unsigned max);
/** The parameters of a payload type (a=fmtp); empty: none. */
struct slice sdp_fmtp(const struct sdp_media *media, unsigned payload);

#endif
