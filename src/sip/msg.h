/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/msg - a SIP message as an index of slices over the bytes it arrived in.
 *
 * One pass finds the start line and every header field; what each request and
 * response needs for matching (top Via, CSeq, Call-ID, From and To tags,
 * Max-Forwards, Content-Length) is parsed on the way. All else is parsed when
 * asked for (sip/header.h). The bytes are never changed: see sip/edit.h.
 *
 * Memory:  borrows the buffer; struct sip_msg lives on the stack or in an arena.
 * Limit:   the constants below; each answers with its own fault.
 */
#ifndef SIP_MSG_H
#define SIP_MSG_H

#include "sip/header.h"

enum {
    SIP_MESSAGE_MAX = 65535,   /* bytes; 513 (Message Too Large) where framing allows an answer */
    SIP_FIELDS_MAX = 200,      /* header fields; more: 400 */
    SIP_START_LINE_MAX = 8192, /* bytes; longer: 414 for a request */
    SIP_VIAS_MAX = 70,         /* values; more: 400 */
    SIP_ROUTES_MAX = 64,       /* values; more: 400 */
    SIP_CONTACTS_MAX = 64,     /* values in a REGISTER; more: 400 */
};

/** Header fields that we give a number. Compact forms are the same id. */
enum sip_field_id {
    SIP_F_OTHER = 0,
    SIP_F_VIA,
    SIP_F_FROM,
    SIP_F_TO,
    SIP_F_CALL_ID,
    SIP_F_CSEQ,
    SIP_F_MAX_FORWARDS,
    SIP_F_CONTENT_LENGTH,
    SIP_F_CONTACT,
    SIP_F_ROUTE,
    SIP_F_RECORD_ROUTE,
    SIP_F_AUTHORIZATION,
    SIP_F_PROXY_AUTHORIZATION,
    SIP_F_WWW_AUTHENTICATE,
    SIP_F_PROXY_AUTHENTICATE,
    SIP_F_AUTHENTICATION_INFO,
    SIP_F_REQUIRE,
    SIP_F_PROXY_REQUIRE,
    SIP_F_SUPPORTED,
    SIP_F_UNSUPPORTED,
    SIP_F_EXPIRES,
    SIP_F_MIN_EXPIRES,
    SIP_F_PATH,
    SIP_F_SERVICE_ROUTE,
    SIP_F_EVENT,
    SIP_F_ALLOW_EVENTS,
    SIP_F_ALLOW,
    SIP_F_ACCEPT,
    SIP_F_CONTENT_TYPE,
    SIP_F_DATE,
    SIP_F_TIMESTAMP,
    SIP_F_USER_AGENT,
    SIP_F_SERVER,
    SIP_F_MAX_BREADTH,
    SIP_F_REASON,
    SIP_F_RETRY_AFTER,
    SIP_F_WARNING,
    SIP_F_RACK,
    SIP_F_RSEQ,
    SIP_F_REFER_TO,
    SIP_F_REPLACES,
    SIP_F_SESSION_EXPIRES,
    SIP_F_MIN_SE,
    SIP_F_P_ASSERTED_IDENTITY,
    SIP_F_P_PREFERRED_IDENTITY,
    SIP_F_REMOTE_PARTY_ID,
    SIP_F_PRIVACY,
    SIP_F_IDENTITY,
    SIP_F_SUBJECT,
    SIP_F_CONTENT_ENCODING,
    SIP_F_REFERRED_BY,
    SIP_F_SUBSCRIPTION_STATE,
    SIP_F_SIP_ETAG,
    SIP_F_SIP_IF_MATCH,
    SIP_F_MIME_VERSION,
    SIP_F_COUNT,
};

/** One header field: offsets into the message. */
struct sip_field {
    uint16_t begin;       /* of the name */
    uint16_t value_begin; /* LWS trimmed; folding inside stays */
    uint16_t value_end;
    uint16_t end; /* after the CRLF that ends the field */
    uint8_t id;   /* enum sip_field_id */
    uint8_t next; /* index + 1 of the next field with this id, 0: none */
};

/** Why a request cannot be processed, and what to answer. status 0: nothing wrong. */
struct sip_fault {
    uint16_t status;    /* 400, 414, 416, 420, 482, 483, 501, 505, 513 ... */
    const char *reason; /* static: the reason phrase, such as "Missing Call-ID" */
};

struct sip_msg {
    struct slice buf; /* from the first byte of the start line to the end of the body */
    bool is_request;
    bool is_response; /* neither: not SIP at all */
    uint8_t method;   /* enum sip_method; of a response: the CSeq's */
    uint16_t status;  /* of a response, 100..699 */
    uint16_t field_count;
    uint16_t head_end; /* offset of the body: after the empty line */
    struct slice method_name;
    struct slice uri;           /* Request-URI as written */
    struct sip_uri request_uri; /* the same, parsed: of a request without a fault */
    struct slice reason;
    struct slice body;      /* Content-Length bytes, or the rest of the datagram */
    struct sip_fault fault; /* of a request; a faulty response is not given out */

    /* Parsed always; empty or zero when absent or when the fault lies before them. */
    struct sip_via via;     /* the topmost value */
    struct slice via_value; /* its text */
    struct slice call_id;
    struct sip_cseq cseq;
    struct sip_name_addr from;
    struct sip_name_addr to;
    int32_t max_forwards;   /* 0..255; -1 absent */
    int32_t content_length; /* -1 absent */

    uint8_t first[SIP_F_COUNT]; /* index + 1 of the first field with this id, 0: none */
    struct sip_field fields[SIP_FIELDS_MAX];
};

/** How the bytes came, which decides what a missing or wrong Content-Length means (§18.3). */
enum sip_framing {
    SIP_DATAGRAM = 0, /* extra bytes are dropped, too few: fault 400 */
    SIP_STREAM,       /* exactly one framed message; Content-Length missing: fault 400 */
    SIP_FRAME,        /* WebSocket: as a datagram, Content-Length optional */
};

/** How messages come by an `enum transport` (RFC 3261 §18.3, RFC 7118 §5). */
static inline enum sip_framing sip_framing_of(uint8_t transport)
{
    if (transport == TRANSPORT_WS || transport == TRANSPORT_WSS)
        return SIP_FRAME;
    return transport == TRANSPORT_TCP || transport == TRANSPORT_TLS ? SIP_STREAM : SIP_DATAGRAM;
}

/**
 * Parses one message. Leading CRLFs are skipped.
 *
 * OK: a response, or a request with `fault` telling whether it may be processed; even a
 * faulty one can be answered by sip_reply() as far as its Via goes (check `via_value.len`).
 * ERR_SYNTAX: neither (keep-alive, garbage, or a response with any fault): drop and count.
 */
MUST_CHECK enum err sip_parse(struct slice bytes, enum sip_framing framing, struct sip_msg *out);

/** Is it a token (RFC 3261 §25.1), and not empty? */
bool sip_is_token(struct slice s);

/** The field's id for a name, in full or compact form; SIP_F_OTHER when unknown. */
enum sip_field_id sip_field_id(struct slice name);
/** The full name, static; empty for SIP_F_OTHER. */
struct slice sip_field_name(enum sip_field_id id);

/** The first field with `id`, or NULL; then the next one. */
const struct sip_field *sip_field_first(const struct sip_msg *msg, enum sip_field_id id);
const struct sip_field *sip_field_next(const struct sip_msg *msg, const struct sip_field *field);

struct slice sip_field_value(const struct sip_msg *msg, const struct sip_field *field);

/** All of its line, or lines, with its name and the line end. */
static inline struct slice sip_field_line(const struct sip_msg *msg, const struct sip_field *field)
{
    return slice_between(msg->buf.data + field->begin, msg->buf.data + field->end);
}

/** Copies the lines of all fields with `id`, or of the first alone. */
void sip_add_fields(struct builder *b, const struct sip_msg *msg, enum sip_field_id id);
void sip_add_first_field(struct builder *b, const struct sip_msg *msg, enum sip_field_id id);

/** The value of the first field with `id`; empty when absent. */
struct slice sip_value(const struct sip_msg *msg, enum sip_field_id id);

/** Walks all values of a header that is a comma list, over all its fields, in order. */
struct sip_values {
    const struct sip_msg *msg;
    const struct sip_field *field; /* where `value` stands */
    struct slice rest;
    bool started; /* something of this field was given already */
};
struct sip_values sip_values(const struct sip_msg *msg, enum sip_field_id id);
bool sip_values_next(struct sip_values *it, struct slice *out);

/** Is the token in any of the lists of this header (without case)? For Require, Supported ... */
bool sip_has_token(const struct sip_msg *msg, enum sip_field_id id, struct slice token);

#endif
