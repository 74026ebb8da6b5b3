/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/header - the insides of header fields, parsed when somebody asks.
 *
 * Every parser takes one value (no list commas outside quotes and brackets)
 * that may hold folding (CRLF and a space), borrows from it, and writes `*out`
 * only on success.
 */
#ifndef SIP_HEADER_H
#define SIP_HEADER_H

#include "sip/uri.h"

enum sip_method {
    SIP_METHOD_OTHER = 0, /* a token we have no name for: forwarded like the rest */
    SIP_INVITE,
    SIP_ACK,
    SIP_BYE,
    SIP_CANCEL,
    SIP_OPTIONS,
    SIP_REGISTER,
    SIP_PRACK,
    SIP_UPDATE,
    SIP_SUBSCRIBE,
    SIP_NOTIFY,
    SIP_PUBLISH,
    SIP_INFO,
    SIP_REFER,
    SIP_MESSAGE,
    SIP_METHOD_COUNT,
};

/** Methods are case-sensitive (RFC 3261 §7.1). */
enum sip_method sip_method_parse(struct slice name);
/** Static; "?" for OTHER. */
struct slice sip_method_name(enum sip_method method);

/** One ";name=value". A flag has an empty value and has_value false. */
struct sip_param {
    struct slice name;
    struct slice value; /* a quoted string with its quotes */
    bool has_value;
};

/**
 * Takes the next parameter off `*rest`, which starts at ';' or LWS before it, or is empty.
 * OK; ERR_NOT_FOUND at the end; ERR_SYNTAX for an empty or malformed one.
 */
MUST_CHECK enum err sip_param_next(struct slice *rest, struct sip_param *out);

/** Finds a parameter by name (without case) among well-formed `params`. */
bool sip_param_find(struct slice params, struct slice name, struct sip_param *out);

/** A value without its quotes (escapes inside kept), or as it is. */
struct slice sip_unquote(struct slice value);

/** RFC 3261 §20.42. */
struct sip_via {
    uint8_t transport; /* enum transport; NONE for a token we do not know */
    bool has_rport;    /* present, with or without a value */
    bool has_alias;    /* RFC 5923 */
    bool has_oc;       /* RFC 7339 */
    uint16_t port;     /* of sent-by, 0: none given */
    uint16_t rport;    /* its value, 0: none */
    uint8_t ttl;
    struct slice transport_name;
    struct slice host;     /* of sent-by, IPv6 with brackets */
    struct slice sent_by;  /* host and port as written (LWS around ':' possible) */
    struct slice branch;   /* empty when absent */
    struct slice received; /* empty when absent; IPv6 with or without brackets (RFC 5118 §4.5) */
    struct slice maddr;
    struct slice params; /* from the first ';' on */
};
MUST_CHECK enum err sip_via_parse(struct slice value, struct sip_via *out);

/**
 * Are its parameters a branch and behind it an rport without a value, and nothing else, as with
 * nearly everybody (RFC 3581 §3)? Who completes it need not walk over them. False for others that
 * mean the same.
 */
bool sip_via_is_plain(const struct sip_via *via);

#define SIP_BRANCH_COOKIE "z9hG4bK"
/** The branch begins with the cookie (without case) and has something after it. */
bool sip_branch_rfc3261(struct slice branch);

/** RFC 3261 §20.16. The number must be below 2^31 (§8.1.1.5). */
struct sip_cseq {
    uint32_t number;
    uint8_t method; /* enum sip_method */
    struct slice method_name;
};
enum {
    SIP_CSEQ_MAX = 0x7fffffff
};
MUST_CHECK enum err sip_cseq_parse(struct slice value, struct sip_cseq *out);

/** From, To, Contact, Route, Record-Route, Path, P-Asserted-Identity ...: RFC 3261 §25.1 name-addr.
 */
struct sip_name_addr {
    bool brackets;         /* written with < > */
    struct slice display;  /* as written, quotes included */
    struct slice uri_text; /* without < > */
    struct slice params;   /* from the first ';' after the URI on; empty if none */
    struct slice tag;      /* of From and To; empty when absent */
    struct slice value;    /* all of it */
};

/**
 * Parses one name-addr or addr-spec with parameters. The URI is not parsed: an
 * unknown scheme is no error here (RFC 4475 §3.3.4). An addr-spec without brackets
 * must hold no ',' ';' '?' of its own (§20): parameters are the header's.
 */
MUST_CHECK enum err sip_name_addr_parse(struct slice value, struct sip_name_addr *out);

/** A Contact of REGISTER or a response. */
struct sip_contact {
    bool star; /* "*": nothing else is set */
    bool has_expires;
    bool has_q;
    uint16_t q;       /* 0..1000; 1000 when absent */
    uint32_t expires; /* seconds; a number too large is 2^32-1 (§20.19), garbage is as absent */
    struct sip_name_addr addr;
    struct slice instance; /* +sip.instance without quotes; empty when absent */
    uint32_t reg_id;       /* 0: absent */
};
MUST_CHECK enum err sip_contact_parse(struct slice value, struct sip_contact *out);

/** "0.7" and so on as thousandths; ERR_SYNTAX unless 0..1 with at most three decimals. */
MUST_CHECK enum err sip_q_parse(struct slice value, uint16_t *out);

/** Digits only, surrounded by optional LWS; ERR_TOO_BIG past 2^32-1. */
MUST_CHECK enum err sip_number_parse(struct slice value, uint32_t *out);

/** A token list such as Require: takes the next off `*rest`; false at the end. */
bool sip_token_next(struct slice *rest, struct slice *out);

/**
 * Takes the next value of a comma list off `*rest`: commas in quoted strings and <> do not
 * count, LWS at the ends is trimmed. False at the end. An empty element is given as empty.
 */
bool sip_list_next(struct slice *rest, struct slice *out);

/** RFC 3261 §20.17: writes "Sat, 13 Nov 2010 23:29:00 GMT". Milliseconds since 1970, UTC. */
void sip_date_write(struct builder *b, uint64_t unix_ms);
MUST_CHECK enum err sip_date_parse(struct slice value, uint64_t *unix_ms);

#endif
