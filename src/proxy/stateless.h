/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy/stateless - requests without a transaction: the ACK of a 2xx (RFC 3261 §16.11). Private.
 */
#ifndef PROXY_STATELESS_H
#define PROXY_STATELESS_H

#include "proxy/context.h"

/** Sends the request to the one target. Errors as forward_write(): nothing was sent. */
MUST_CHECK enum err stateless_forward(struct proxy *proxy, const struct proxy_request *request,
                                      const struct proxy_target *target);

#endif
