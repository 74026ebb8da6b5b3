/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call_record - one call as plain data, and as the block that the journal and the store keep.
 *
 * The worker that owns a call writes its block anew at each change that must last; the block always
 * holds the whole record, so that of several the last one counts. It is read back by the store (for
 * its columns), the API and a restarted core. Blocks come from files: they are checked.
 *
 *   block   format (1 byte), fields
 *   field   tag (1), length (2, little endian), bytes
 *
 * A number has as many bytes as it needs, little endian. A leg is a field that holds fields. What a
 * reader does not know it passes over.
 */
#ifndef BASE_CALL_RECORD_H
#define BASE_CALL_RECORD_H

#include "base/builder.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/flow.h"

enum {
    CALL_LEGS_MAX = 64,     /* of one record; more are not told */
    CALL_BLOCK_MAX = 60000, /* bytes */
    CALL_TEXT_MAX = 255,    /* bytes of a name, number or phrase that is kept; the rest is cut */
    CALL_URI_MAX = 512,     /* of a URI */
    CALL_WAY_MAX = 4096,    /* of what is needed to answer or cancel; what is longer is not kept */
    CALL_RECORD_FORMAT = 1,
    CALL_ID_DIGITS = 16,
};

enum call_direction {
    CALL_INBOUND = 1,
    CALL_OUTBOUND,
    CALL_INTERNAL,
    CALL_TRANSIT
};

/** NONE while it goes on. */
enum call_disposition {
    CALL_D_NONE = 0,
    CALL_D_ANSWERED,
    CALL_D_BUSY,
    CALL_D_CANCELLED,
    CALL_D_NO_ANSWER,
    CALL_D_REJECTED,
    CALL_D_BLOCKED,
    CALL_D_FAILED,
    CALL_D_COUNT,
};

enum call_party {
    CALL_P_NONE = 0,
    CALL_P_CALLER,
    CALL_P_CALLEE,
    CALL_P_SYSTEM
};

/** The tags of fields. They are in journals and databases: never change one. */
enum call_tag {
    CALL_T_ID = 1,
    CALL_T_CALL_HASH, /* of the Call-ID: whose worker it is */
    CALL_T_ATTEMPT_HASH_A,
    CALL_T_ATTEMPT_HASH_B,
    CALL_T_CALLER_TAG_HASH,
    CALL_T_CALLEE_TAG_HASH,
    CALL_T_SIP_CALL_ID,
    CALL_T_CALLING_URI,
    CALL_T_CALLING_NUMBER,
    CALL_T_CALLING_NAME,
    CALL_T_CALLED_URI,
    CALL_T_CALLED_NUMBER,
    CALL_T_ANSWERED_BY,
    CALL_T_SOURCE_ADDRESS,
    CALL_T_USER_AGENT,
    CALL_T_REASON,
    CALL_T_TRANSPORT,
    CALL_T_DIRECTION,
    CALL_T_DISPOSITION,
    CALL_T_RELEASE_PARTY,
    CALL_T_SIP_STATUS,
    CALL_T_Q850,
    CALL_T_START,
    CALL_T_PROGRESS,
    CALL_T_ANSWER,
    CALL_T_END,
    CALL_T_WAY,  /* while it rings: the head of the caller's INVITE, as far as answers need it */
    CALL_T_FLOW, /* and where answers go */
    CALL_T_LEG,
    /* within a leg, beside some of the above */
    CALL_T_TARGET,
    CALL_T_USER,
    CALL_T_ADDRESS,
    CALL_T_BRANCH, /* while it rings */
    CALL_T_ROUTES,
    /* of the call again */
    CALL_T_CALLER_MEDIA,
    CALL_T_CALLEE_MEDIA,
    CALL_T_HOLD,       /* ms, as far as it is over */
    CALL_T_HOLD_SINCE, /* while it lasts */
    CALL_T_DIALOG,     /* while it is up: dialog/dialog.h */
};

/** Kinds of media. */
enum call_kind {
    CALL_AUDIO = 1 << 0,
    CALL_VIDEO = 1 << 1,
    CALL_TEXT = 1 << 2,
    CALL_APPLICATION = 1 << 3,
    CALL_IMAGE = 1 << 4,
    CALL_MESSAGE = 1 << 5,
    CALL_KINDS = (1 << 6) - 1,
    CALL_HOLD = 1 << 7, /* beside them: it holds the other side */
};

enum {
    CALL_CODECS_MAX = 6,
    CALL_KIND_COUNT = 6,
};

/** What one side said last of its media: its offer or answer. Zeroed: nothing. No padding. */
struct call_side {
    uint8_t kinds;                   /* set of enum call_kind: what is not refused */
    uint8_t family;                  /* enum addr_family: where it receives; NONE: a name */
    uint16_t port;                   /* of its first medium */
    uint8_t codecs[CALL_CODECS_MAX]; /* enum codec, those of audio first; CODEC_NONE: no more */
    uint8_t bytes[16];               /* of the address, as in struct addr */
};

/** One target that was tried. Times are UTC in ms; 0: it did not happen. */
struct call_leg {
    struct slice target, user, address;
    uint64_t start_ms, progress_ms, answer_ms, end_ms;
    uint16_t sip_status;
    uint8_t q850_cause;
    uint8_t disposition; /* enum call_disposition */
    /* while it rings; empty: unknown */
    struct slice branch, routes;
    struct flow flow;
};

/** Slices borrow from the block; empty: unknown. Times as in a leg. */
struct call_record {
    uint64_t id;
    uint64_t call_hash, attempt_hash_a, attempt_hash_b;
    uint32_t caller_tag_hash, callee_tag_hash;
    struct slice sip_call_id, calling_uri, calling_number, calling_name, called_uri, called_number,
        answered_by, source_address, user_agent, reason;
    uint8_t transport;     /* enum transport */
    uint8_t direction;     /* enum call_direction; 0: unknown */
    uint8_t disposition;   /* enum call_disposition */
    uint8_t release_party; /* enum call_party */
    uint16_t sip_status;   /* 0: none */
    uint8_t q850_cause;    /* 0: none */
    uint64_t start_ms, progress_ms, answer_ms, end_ms;
    uint64_t hold_ms, hold_since_ms; /* so far, and since when again; 0: it is not on hold */
    struct call_side caller_media, callee_media;
    struct slice way;    /* of the caller, while it rings */
    struct slice dialog; /* while it is up: see dialog/dialog.h */
    struct flow flow;
    uint32_t leg_count;
    struct call_leg legs[CALL_LEGS_MAX];
};

/** Reads a block; everything borrows from it. ERR_SYNTAX: not a sound one. */
MUST_CHECK enum err call_record_unpack(struct slice block, struct call_record *out);

/** Writing: the format first, then fields in any order. Overflow is the builder's. */
void call_block_begin(struct builder *b);
/** An empty text is left out; a longer one than `max` is cut. */
void call_field_text(struct builder *b, enum call_tag tag, struct slice text, size_t max);
/** 0 is left out. */
void call_field_number(struct builder *b, enum call_tag tag, uint64_t value);
/** Without its connection, which does not last. */
void call_field_flow(struct builder *b, const struct flow *flow);
/** `tag`: whose. What says nothing is left out. */
void call_field_side(struct builder *b, enum call_tag tag, const struct call_side *side);
/** Opens a leg; fields follow. Returns what call_leg_end() wants. */
size_t call_leg_begin(struct builder *b);
void call_leg_end(struct builder *b, size_t begin);

/** The words of the interface: "ANSWERED", "inbound", "caller"; NULL for 0 and what is unknown. */
const char *call_disposition_name(uint8_t disposition);
const char *call_direction_name(uint8_t direction);
const char *call_party_name(uint8_t party);
/** "audio" and so on, of 0 to CALL_KIND_COUNT - 1. */
const char *call_kind_name(unsigned index);

/** A call's id as text: 16 hexadecimal digits. */
void call_id_text(uint64_t id, char out[static CALL_ID_DIGITS + 1]);
/** False: no id. */
bool call_id_parse(struct slice text, uint64_t *out);

/** An id begins with its time, so that ids grow: ms since 1970 UTC in the upper 43 bits. */
enum {
    CALL_ID_TIME_SHIFT = 20
};

#endif
