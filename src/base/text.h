/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - what several rooms ask about text that people write.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/slice.h"

/** Bytes of the UTF-8 character that `rest` begins with (RFC 3629 §4), 0: none. */
size_t text_utf8_bytes(struct slice rest);

/** A resource's name: [A-Za-z0-9._~+-], 1 to `max` bytes. */
bool text_is_name(struct slice text, size_t max);

/** A number of E.164, such as "+15105550101": up to 15 digits, the first not 0. */
bool text_is_number(struct slice text);

/**
 * How many slips make `a` out of `b`: a letter too many, too few, another one, or two that changed
 * places (Damerau, Levenshtein). Without case. More than `limit`: limit + 1.
 */
unsigned text_distance(struct slice a, struct slice b, unsigned limit);

#endif
