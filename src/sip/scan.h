/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan - finds one of two bytes, sixteen at a time where the processor can. Private to sip/.
 *
 * Looking for line ends and colons is a third of the work of indexing a message; SSE2 is
 * part of every x86-64, so there is no choice to make at run time. Elsewhere the plain loop.
 */
#ifndef SIP_SCAN_H
#define SIP_SCAN_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/** The first `a` or `b` in [at, end), or `end`. Reads nothing outside. */
static inline const char *scan_two(const char *at, const char *end, char a, char b)
{
#if defined(__SSE2__)
    const __m128i all_a = _mm_set1_epi8(a);
    const __m128i all_b = _mm_set1_epi8(b);
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, all_a), _mm_cmpeq_epi8(bytes, all_b));
        unsigned mask = (unsigned)_mm_movemask_epi8(hits);
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != a && *at != b)
        at++;
    return at;
}

#endif
