/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - what several rooms ask about text that people write.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/slice.h"

/** Bytes of the UTF-8 character that `rest` begins with (RFC 3629 §4), 0: none. */
size_t text_utf8_bytes(struct slice rest);

/**
 * How many slips make `a` out of `b`: a letter too many, too few, another one, or two that changed
 * places (Damerau, Levenshtein). Without case. More than `limit`: limit + 1.
 */
unsigned text_distance(struct slice a, struct slice b, unsigned limit);

#endif
