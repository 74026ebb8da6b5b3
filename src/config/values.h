/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/values - what a scalar means, given its field's type. Pure.
 *
 * Each is false when the text is not of the type, and then writes nothing.
 */
#ifndef CONFIG_VALUES_H
#define CONFIG_VALUES_H

#include "base/builder.h"

/** true, yes, on; false, no, off; in any case of letters. */
bool value_bool(struct slice text, bool *out);

/** Decimal digits. */
bool value_u64(struct slice text, uint64_t *out);

/** "500ms", "20s", "5m", "1h", "90d", "2w". */
bool value_duration_ms(struct slice text, uint64_t *out);

/** "4096", "512KiB", "64MiB", "1GiB". */
bool value_size(struct slice text, uint64_t *out);

/** A host name of letters, digits, '-' and '.', or an IPv4 address (RFC 1123 §2.1). */
bool value_host_name(struct slice text);

/** "USD" */
bool value_currency(struct slice text);

/** Digits, '*', '#', 1 to `max`. */
bool value_extension(struct slice text, size_t max);

/** An origin as browsers write it (RFC 6454 §6.2): scheme://host, with :port where it is not the
 * usual one; or `null`. */
bool value_origin(struct slice text);

/** "https://host/...": of visible ASCII. */
bool value_https(struct slice text);

/** [A-Za-z0-9_-] (RFC 4648 §5), not empty. */
bool value_base64url(struct slice text);

/** Valid UTF-8 without control characters. */
bool value_text(struct slice text);

/** "en", "pt-BR": a language tag in its usual shape (RFC 5646). */
bool value_language(struct slice text);

/** How a duration or size is written best. */
void value_write_duration(struct builder *b, uint64_t ms);
void value_write_size(struct builder *b, uint64_t bytes);

#endif
