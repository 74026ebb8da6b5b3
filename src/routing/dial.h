/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial - what somebody dialled, or a carrier wrote, as a number of E.164.
 *
 * The same number is written in many ways: +1 510 555 0101, 011..., 00..., 0..., without any
 * prefix, as tel: URI with a phone-context (RFC 3966), as SIP URI with user=phone (RFC 3261
 * §19.1.6). Which it is depends on where it was dialled: the rules of a domain, or of a trunk, say
 * so. Extensions, service codes and short numbers are no numbers of E.164, and left alone.
 *
 * Pure; nothing is kept.
 * Public headers: dial.h
 */
#ifndef ROUTING_DIAL_H
#define ROUTING_DIAL_H

#include "base/builder.h"
#include "base/err.h"
#include "sip/uri.h"

enum {
    DIAL_DIGITS_MIN = 5,  /* of a number that is worth a + */
    DIAL_DIGITS_MAX = 15, /* ITU-T E.164 §6.1 */
    DIAL_TEXT_MAX = DIAL_DIGITS_MAX + 1,
    DIAL_PREFIX_MAX = 5,
};

/** How numbers are dialled somewhere. Texts are digits, empty for none, NUL-terminated. */
struct dial_rules {
    char country[4];                     /* "1", "44" */
    char national[DIAL_PREFIX_MAX];      /* before a number of another area: "0", "1" */
    char international[DIAL_PREFIX_MAX]; /* before a country's: "00", "011" */
    uint8_t shortest, longest;           /* digits of a national number, without a prefix */
    bool bare_national;                  /* such digits without any prefix are a national number */
    bool bare_international; /* digits without any prefix begin with a country: many carriers */
    char area[7];            /* goes before `local` digits without any prefix */
    uint8_t local;           /* 0: there are none */
};

/**
 * The rules of a country, by its two letters of ISO 3166, in any case. ERR_NOT_FOUND: they are not
 * known, and have to be said one by one.
 */
MUST_CHECK enum err dial_rules_of(struct slice country, struct dial_rules *out);

/**
 * Writes a number as "+" and digits. `number`: as dialled, unescaped, visual separators in it
 * (RFC 3966 §5.1.1) do not count. `context`: its phone-context (§5.1.5), or empty.
 * ERR_NOT_FOUND: digits, but by these rules no number of E.164. ERR_SYNTAX: something else.
 */
MUST_CHECK enum err dial_number(const struct dial_rules *rules, struct slice number,
                                struct slice context, struct builder *out);

/**
 * The same of a URI: tel:, or a SIP URI whose user part is a number, with its own parameters
 * (RFC 3261 §19.1.6) or without. ERR_SYNTAX: it names no number; ERR_TOO_BIG: too long for one.
 */
MUST_CHECK enum err dial_uri(const struct dial_rules *rules, const struct sip_uri *uri,
                             struct builder *out);

#endif
