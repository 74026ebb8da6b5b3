/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/oc - the parameters of overload control in a Via (RFC 7339 §4): oc, oc-algo, oc-validity,
 * oc-seq. Who sends a request with `oc` hears in the responses what to keep back.
 */
#ifndef SIP_OC_H
#define SIP_OC_H

#include "sip/edit.h"

enum {
    SIP_OC_MAX = 96, /* bytes of what sip_oc_write() writes */
};

/** Is it one of the four? */
bool sip_oc_is_param(struct slice name);

/**
 * Writes ";oc=PERCENT;oc-algo=..." for a loss of `percent`; 0: nothing is to be kept back. `seq_ms`
 * must be larger each time something else is said.
 */
void sip_oc_write(struct builder *b, unsigned percent, uint64_t seq_ms);

/**
 * Replaces the four in the Via after the top one of a response, which is the top one when ours is
 * taken off. `text` as sip_oc_write() writes it; it is borrowed.
 */
void sip_oc_edit(struct sip_edits *edits, struct slice text);

#endif
