/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push - the URI parameters by which a sleeping phone is woken (RFC 8599 §8.7).
 *
 * They stand in a registered contact, and nowhere else: who knows them can ask that the phone be
 * woken. So they are taken off before anybody but the push gateway sees the URI (§13).
 *
 * Only text is looked at: the URI is sound, sip_uri_parse() has taken it.
 */
#ifndef BASE_PUSH_H
#define BASE_PUSH_H

#include "base/builder.h"

enum {
    PUSH_PROVIDER_MAX = 32, /* bytes of each, escaped as in the URI */
    PUSH_PARAM_MAX = 256,
    PUSH_PRID_MAX = 1024,
    PUSH_PROVIDERS_MAX = 16, /* kinds of push services of one node */
};

/** What a contact says. The values are escaped as they stand there, and borrow from it. */
struct push_params {
    bool has_provider, has_param, has_prid;
    struct slice provider, param, prid;
};

/** Are there any? Without them `out` is zeroed. */
bool push_params_find(struct slice uri, struct push_params *out);

/** Writes the URI without pn-provider, pn-param and pn-prid. At most uri.len bytes. */
void push_params_strip(struct slice uri, struct builder *b);

#endif
