/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice - a borrowed run of bytes, and the few verbs every parser needs.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COUNT_OF(array)                 (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/**
 * A borrowed run of bytes. Never owned, never NUL-terminated, may contain NULs.
 * Valid only while the buffer or arena it points into is. Pass it by value.
 */
struct slice {
    const char *data;
    size_t len;
};

#define SLICE(literal) ((struct slice){"" literal, sizeof(literal) - 1})
#define SLICE_EMPTY    ((struct slice){NULL, 0})

/** For printf: `printf("%.*s", SLICE_ARG(s))`. */
#define SLICE_ARG(s) (int)(s).len, (s).data

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline struct slice slice_between(const char *begin, const char *end)
{
    assert(begin <= end);
    return (struct slice){begin, (size_t)(end - begin)};
}

/** Byte-wise, case-sensitive. */
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool ascii_is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/** Equal but for the case of ASCII letters. */
static inline bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/** Cuts `count` bytes off the front of `*rest`. Requires count <= rest->len. */
static inline struct slice slice_take(struct slice *rest, size_t count)
{
    assert(count <= rest->len);

    struct slice head = {rest->data, count};
    rest->data += count;
    rest->len -= count;
    return head;
}

/** The part from `from` on; `from` past the end gives an empty slice at the end. */
static inline struct slice slice_from(struct slice s, size_t from)
{
    if (from > s.len)
        from = s.len;
    return (struct slice){s.data + from, s.len - from};
}

/** Without spaces, tabs, CR and LF at both ends. */
static inline struct slice slice_trim(struct slice s)
{
    while (s.len > 0 &&
           (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == '\r' || s.data[0] == '\n')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t' ||
                         s.data[s.len - 1] == '\r' || s.data[s.len - 1] == '\n'))
        s.len--;
    return s;
}

/** Index of the first `c`, or SIZE_MAX. */
static inline size_t slice_find(struct slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.data, c, s.len) : NULL;
    return at != NULL ? (size_t)(at - s.data) : SIZE_MAX;
}

/** Cuts off what stands before the first `c`, or all of it; the `c` stays. */
static inline struct slice slice_take_until(struct slice *rest, char c)
{
    size_t at = slice_find(*rest, c);
    return slice_take(rest, at != SIZE_MAX ? at : rest->len);
}

#endif
