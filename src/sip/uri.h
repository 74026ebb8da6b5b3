/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/uri - SIP, SIPS and TEL URIs (RFC 3261 §19.1, RFC 3966, RFC 5954 for IPv6).
 *
 * Parsing borrows: all slices point into the text given. Nothing is unescaped
 * until asked for.
 */
#ifndef SIP_URI_H
#define SIP_URI_H

#include "base/addr.h"
#include "base/builder.h"
#include "base/err.h"
#include "base/flow.h"
#include "base/slice.h"

/** In one URI; more: ERR_SYNTAX. They bound what a comparison may cost. */
enum {
    SIP_URI_PARAMS_MAX = 32,
    SIP_URI_HEADERS_MAX = 32
};

enum sip_scheme {
    SIP_SCHEME_OTHER = 0, /* syntactically a URI, nothing we route */
    SIP_SCHEME_SIP,
    SIP_SCHEME_SIPS,
    SIP_SCHEME_TEL,
};

struct sip_uri {
    uint8_t scheme;     /* enum sip_scheme */
    uint8_t transport;  /* enum transport, of the parameter; NONE when absent or unknown */
    bool has_user;      /* "sip:@host" is a syntax error, so a user is never empty */
    bool has_transport; /* a transport parameter stands there, known or not */
    bool lr;            /* ;lr */
    bool has_gr;        /* ;gr (RFC 5627) */
    bool ob;            /* ;ob (RFC 5626) */
    bool user_phone;    /* ;user=phone */
    uint16_t port;      /* 0: none given */
    struct slice text;  /* all of it, scheme and headers included */
    struct slice user;  /* escaped; of tel: the number as written */
    struct slice password;
    struct slice host; /* as written, IPv6 with its brackets; empty for tel: */
    struct slice maddr;
    struct slice params;  /* "a=b;c" without the first ';' */
    struct slice headers; /* what follows '?', without it */
};

/**
 * Parses an absolute URI that takes up all of `text`. A scheme we do not know
 * gives OK with SIP_SCHEME_OTHER. Duplicate or empty parameters, an unbracketed
 * IPv6 host, a port of 0 or over 65535, a bad escape are ERR_SYNTAX.
 */
MUST_CHECK enum err sip_uri_parse(struct slice text, struct sip_uri *out);

/**
 * Compares as RFC 3261 §19.1.4 says: user (unescaped) by case, host without,
 * a parameter present in one only matters for user, ttl, method, maddr, and
 * (there) transport; all others must match if in both; headers must be equal sets.
 * A port left out is not equal to one given (even the default). TEL by RFC 3966 §4.
 */
bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b);

/** The value of a URI parameter by name (without case). A flag gives true and an empty value. */
bool sip_uri_param(const struct sip_uri *uri, struct slice name, struct slice *out);

/**
 * Writes `s` with %HH replaced by the byte, once. ERR_SYNTAX on a bad escape; a
 * full builder is ERR_TOO_BIG. %00 is a byte like any other.
 */
MUST_CHECK enum err sip_unescape(struct builder *b, struct slice s);

/** Writes `s` as a user part: bytes that may not stand there become %HH. */
void sip_escape_user(struct builder *b, struct slice s);

/** The host as an address when it is numeric; the port is the URI's or `default_port`. */
MUST_CHECK enum err sip_uri_addr(const struct sip_uri *uri, uint16_t default_port,
                                 struct addr *out);

/** A telephone number's digits with a leading + kept, visual separators (RFC 3966 §3) dropped. */
MUST_CHECK enum err sip_number_normalize(struct builder *b, struct slice number);

/** "UDP" etc. as in Via; never NULL. */
const char *sip_transport_name(enum transport transport);
enum transport sip_transport_parse(struct slice name);
static inline bool sip_transport_reliable(enum transport transport)
{
    return transport >= TRANSPORT_TCP;
}
static inline bool sip_transport_secure(enum transport transport)
{
    return transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}
/** 5060, or 5061 for TLS; 80 and 443 for WS and WSS. */
uint16_t sip_transport_port(enum transport transport);

#endif
