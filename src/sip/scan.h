/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan - finds the end of a line or of a long token, sixteen bytes at a time where the
 * processor can. Private to sip/.
 *
 * Most of the work of indexing a message is looking at every byte. SSE2 is part of every
 * x86-64, so there is no choice to make at run time; elsewhere the plain loops do it all.
 *
 * No byte at or behind `limit` is touched. Bytes between `end` and `limit` may be loaded,
 * so that the last block of a field can be a whole one, but never count.
 */
#ifndef SIP_SCAN_H
#define SIP_SCAN_H

#include <assert.h>
#include <string.h>

#include "base/slice.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__SSE2__)
/** Bit i is set where at[i], of sixteen bytes, is `a` or `b`. */
static inline unsigned scan_mask(const char *at, char a, char b)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i hits = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(a)),
                                _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b)));
    return (unsigned)_mm_movemask_epi8(hits);
}

/** The same for bytes below `least`. As signed bytes those from 0x80 on are negative: below, too.
 */
static inline unsigned scan_below(const char *at, char least)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    return (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(bytes, _mm_set1_epi8(least)));
}
#endif

/** At CRLF. */
static inline bool scan_at_crlf(const char *at, const char *end)
{
    return end - at >= 2 && memcmp(at, "\r\n", 2) == 0; /* one load */
}

/** A field's value without LWS at its ends: most have one space in front and none behind. */
static inline struct slice scan_trimmed(const char *begin, const char *end)
{
    if (begin < end && *begin == ' ')
        begin++;
    struct slice value = {begin, (size_t)(end - begin)};
    return value.len > 0 && *begin > ' ' && end[-1] > ' ' ? value : slice_trim(value);
}

/** The first `a` or `b` in [at, limit), or `limit`. */
static inline const char *scan_two(const char *at, const char *limit, char a, char b)
{
#if defined(__SSE2__)
    for (; limit - at >= 32; at += 32) {
        unsigned mask = scan_mask(at, a, b) | scan_mask(at + 16, a, b) << 16;
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < limit && *at != a && *at != b)
        at++;
    return at;
}

/** The first `c` in [at, end), or `end`; quickest among the first sixteen bytes. */
static inline const char *scan_near(const char *at, const char *end, const char *limit, char c)
{
#if defined(__SSE2__)
    if (limit - at >= 16) {
        unsigned mask = scan_mask(at, c, c);
        if (mask != 0) {
            at += __builtin_ctz(mask);
            return at < end ? at : end;
        }
    }
#endif
    const char *hit = at < end ? memchr(at, c, (size_t)(end - at)) : NULL;
    return hit != NULL ? hit : end;
}

/**
 * Skips whole blocks of visible ASCII (0x21..0x7e) without the six `stops` (a literal; fewer
 * are repeated). Gives the first other byte, or `end`, or where no whole block is left: the
 * caller goes on byte by byte.
 */
static inline const char *scan_visible(const char *at, const char *end, const char *limit,
                                       const char stops[static 6])
{
    assert(end <= limit);
#if defined(__SSE2__)
    for (; limit - at >= 16 && at < end; at += 16) {
        unsigned mask = scan_below(at, 0x21) | scan_mask(at, 0x7f, stops[0]) |
                        scan_mask(at, stops[1], stops[2]) | scan_mask(at, stops[3], stops[4]) |
                        scan_mask(at, stops[5], stops[5]);
        if (mask != 0) {
            at += __builtin_ctz(mask);
            break;
        }
    }
#else
    (void)stops;
#endif
    return at < end ? at : end;
}

/**
 * The first byte in [at, end) that ends the plain text of a quoted-string, or needs a closer
 * look: '"', '\\', a control character or one from 0x80 on; or `end`.
 */
static inline const char *scan_quoted(const char *at, const char *end, const char *limit)
{
    assert(end <= limit);
#if defined(__SSE2__)
    for (; limit - at >= 16 && at < end; at += 16) {
        unsigned mask = scan_below(at, 0x20) | scan_mask(at, '"', '\\');
        if (mask != 0) {
            at += __builtin_ctz(mask);
            return at < end ? at : end;
        }
    }
    if (at > end)
        return end;
#endif
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/** The first of the four bytes in [at, end), or `end`. */
static inline const char *scan_four(const char *at, const char *end, const char stops[static 4])
{
#if defined(__SSE2__)
    for (; end - at >= 16; at += 16) {
        unsigned mask = scan_mask(at, stops[0], stops[1]) | scan_mask(at, stops[2], stops[3]);
        if (mask != 0)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != stops[0] && *at != stops[1] && *at != stops[2] && *at != stops[3])
        at++;
    return at;
}

#endif
