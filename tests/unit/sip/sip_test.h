/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_test - what the tests of sip/ share: checks with a reason, and input that ends at a
 * page nobody may read.
 */
#ifndef SIP_TEST_H
#define SIP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sip/sip.h"

#define TEST(name) static void name(void **state __attribute__((unused)))

#define CHECK(condition, why)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s: %s", (why), #condition);                                                 \
    } while (0)

#define CHECK_EQ(expected, actual, why)                                                            \
    do {                                                                                           \
        long long expected_value = (long long)(expected);                                          \
        long long actual_value = (long long)(actual);                                              \
        if (expected_value != actual_value)                                                        \
            fail_msg("%s: %s is %lld, not %lld", (why), #actual, actual_value, expected_value);    \
    } while (0)

/** The slice is the text. */
#define CHECK_TEXT(expected, actual, why)                                                          \
    do {                                                                                           \
        const char *expected_text = (expected);                                                    \
        struct slice actual_text = (actual);                                                       \
        if (!slice_equal(actual_text, slice_of(expected_text)))                                    \
            fail_msg("%s: %s is \"%.*s\", not \"%s\"", (why), #actual, SLICE_ARG(actual_text),     \
                     expected_text);                                                               \
    } while (0)

enum {
    GUARD_BYTES = 128 * 1024
};

/** Memory whose last byte is followed by a page that faults when touched. */
static inline char *guard_end(void)
{
    static char *end;
    if (end == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *memory = mmap(NULL, GUARD_BYTES + page, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(memory != MAP_FAILED);
        assert_int_equal(0, mprotect(memory + GUARD_BYTES, page, PROT_NONE));
        end = memory + GUARD_BYTES;
    }
    return end;
}

/** A copy of `s` that ends at the guard page; valid until the next call. */
static inline struct slice guarded(struct slice s)
{
    assert_true(s.len <= GUARD_BYTES);
    char *copy = guard_end() - s.len;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return (struct slice){copy, s.len};
}

#endif
