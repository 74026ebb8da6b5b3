/* SPDX-License-Identifier: Apache-2.0 */
/*
 * addr - an IP address with a port, and networks. No sockets: just values.
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include "base/builder.h"
#include "base/err.h"
#include "base/slice.h"

enum addr_family {
    ADDR_NONE = 0,
    ADDR_V4 = 4,
    ADDR_V6 = 6,
};

/** By value, no padding, comparable with memcmp: unused bytes are zero. */
struct addr {
    uint8_t family;    /* enum addr_family */
    uint8_t zero;      /* always 0 */
    uint16_t port;     /* host order */
    uint32_t scope;    /* IPv6 zone index, else 0 */
    uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

/** Address and port. */
static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/** Without the port. */
bool addr_same_host(const struct addr *a, const struct addr *b);

/**
 * Whose it is, for what one may have of us: without the port, of IPv6 the /64 (who has one address
 * of it has them all), but a link-local address itself.
 */
struct addr addr_source(const struct addr *a);

/** 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool addr_is_loopback(const struct addr *a);

/** 0.0.0.0 or ::. */
bool addr_is_any(const struct addr *a);

/**
 * Can it be the address and port of one host, to send to? Not 0.0.0.0 and ::, which the kernel
 * takes for ourselves, multicast, broadcast and what is reserved; no IPv4 address inside an IPv6
 * one; no link-local IPv6 address without its zone; not port 0.
 */
bool addr_is_unicast(const struct addr *a);

/** 10/8, 172.16/12, 192.168/16, 100.64/10, 169.254/16, fc00::/7, fe80::/10 (RFC 1918, 6598). */
bool addr_is_private(const struct addr *a);

/**
 * Parses "192.0.2.1", "2001:db8::1" or "[2001:db8::1]", nothing more. The port is
 * set to `port`. ERR_SYNTAX when the text is not a numeric address (a host name).
 */
MUST_CHECK enum err addr_parse(struct slice text, uint16_t port, struct addr *out);

/** Parses "192.0.2.1:5060" or "[::1]:5060". The port is mandatory, 1..65535. */
MUST_CHECK enum err addr_parse_with_port(struct slice text, struct addr *out);

/** Writes the host as SIP wants it: IPv6 in brackets. No port. */
void addr_write_host(struct builder *b, const struct addr *a);

/** Writes host:port. */
void addr_write(struct builder *b, const struct addr *a);

enum {
    ADDR_TEXT_MAX = 64
};

/** host:port as C string in `text`; returns `text`. For logs. */
const char *addr_text(const struct addr *a, char text[static ADDR_TEXT_MAX]);

/** A network such as 192.0.2.0/24. */
struct addr_net {
    struct addr base;
    uint8_t bits;
};

/** Parses "192.0.2.0/24", or a plain address as /32 or /128. Bits behind the prefix are zeroed. */
MUST_CHECK enum err addr_net_parse(struct slice text, struct addr_net *out);

bool addr_net_contains(const struct addr_net *net, const struct addr *a);

#endif
