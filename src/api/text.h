/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/text - text that grows, and metrics in Prometheus' text format.
 */
#ifndef API_TEXT_H
#define API_TEXT_H

#include "base/err.h"
#include "base/slice.h"

/** Zeroed: empty. Owned by whoever made it: api_text_release(). */
struct api_text {
    char *data;
    size_t len, capacity;
    bool failed; /* sticky: memory was out */
};

void api_text_release(struct api_text *text);
void api_text_add(struct api_text *text, struct slice s);
/** As printf. */
void api_text_printf(struct api_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The lines "# HELP" and "# TYPE" of a metric; `type` is "counter" or "gauge". */
void api_metric(struct api_text *text, const char *name, const char *type, const char *help);

/** A sample; `labels` is NULL or as `worker="0",reason="loop"`. */
void api_sample(struct api_text *text, const char *name, const char *labels, uint64_t value);

#endif
