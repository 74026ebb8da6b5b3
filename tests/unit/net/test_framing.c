/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/builder.h"
#include "base/rng.h"
#include "net/framing.h"

#define HEAD "OPTIONS sip:a SIP/2.0\r\n"

static void the_first_thing_in_a_stream_is_known_for_what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *why, *input;
        enum framing_kind kind;
        size_t len; /* SIZE_MAX: all */
    } cases[] = {
        {"nothing", "", FRAMING_MORE, 0},
        {"half a line end", "\r", FRAMING_MORE, 0},
        {"a line end", "\r\n", FRAMING_SKIP, 2},
        {"a line end alone (tolerated)", "\nOPTIONS", FRAMING_SKIP, 1},
        {"no message begins with CR", "\rOPTIONS", FRAMING_BROKEN, 0},
        {"no end yet", HEAD "Content-Length: 0\r\n", FRAMING_MORE, 0},
        {"no body", HEAD "Content-Length: 0\r\n\r\n", FRAMING_MESSAGE, SIZE_MAX},
        {"compact", HEAD "l:2\r\n\r\nab", FRAMING_MESSAGE, SIZE_MAX},
        {"any case", HEAD "cOnTeNt-lEnGtH : 2 \r\n\r\nab", FRAMING_MESSAGE, SIZE_MAX},
        {"leading zeros", HEAD "l: 0002\r\n\r\nab", FRAMING_MESSAGE, SIZE_MAX},
        {"folded value", HEAD "l:\r\n 2\r\n\r\nab", FRAMING_MESSAGE, SIZE_MAX},
        {"body incomplete", HEAD "l: 3\r\n\r\nab", FRAMING_MORE, 0},
        {"more behind it", HEAD "l: 1\r\n\r\nab", FRAMING_MESSAGE, 32},
        {"inside another field", HEAD "X: Content-Length: 9\r\nl: 0\r\n\r\n", FRAMING_MESSAGE,
         SIZE_MAX},
        {"in a folded line", HEAD "X: a\r\n l: 9\r\nl: 0\r\n\r\n", FRAMING_MESSAGE, SIZE_MAX},
        {"missing", HEAD "X: a\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"only in the start line", "l: 1\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"empty", HEAD "l: \r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"negative", HEAD "l: -1\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"not a number", HEAD "l: 1a\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"two numbers", HEAD "l: 1 2\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"twice", HEAD "l: 1\r\nContent-Length: 1\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
        {"largest: 65535 in all", HEAD "l: 65500\r\n\r\n", FRAMING_MORE, 0},
        {"65536 in all", HEAD "l: 65500 \r\n\r\n", FRAMING_TOO_LONG, SIZE_MAX},
        {"2^64 does not wrap", HEAD "l: 18446744073709551616\r\n\r\n", FRAMING_TOO_LONG, SIZE_MAX},
        {"a web browser", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", FRAMING_BROKEN, SIZE_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct framing framing = {0};
        struct slice input = slice_of(cases[i].input);
        size_t wanted = cases[i].len == SIZE_MAX ? input.len : cases[i].len;
        size_t len = 99;
        enum framing_kind kind = framing_next(&framing, input, &len);
        if (kind != cases[i].kind || len != wanted)
            fail_msg("%s: kind %d, %zu bytes", cases[i].why, kind, len);
    }
}

static void a_header_section_may_have_its_largest_size_and_not_a_byte_more(void **state)
{
    (void)state;
    static char input[FRAMING_MESSAGE_MAX + 1];
    size_t len;

    for (size_t extra = 0; extra < 2; extra++) {
        struct framing framing = {0};
        memset(input, 'x', sizeof input);
        struct builder b = builder_over(input, sizeof input);
        builder_text(&b, HEAD "l: 0\r\nX: ");
        size_t end = FRAMING_MESSAGE_MAX + extra - 4;
        memcpy(input + end, "\r\n\r\n", 4);
        struct slice whole = {input, end + 4};
        assert_int_equal(FRAMING_MORE,
                         framing_next(&framing, (struct slice){input, end + 3}, &len));
        assert_int_equal(extra == 0 ? FRAMING_MESSAGE : FRAMING_TOO_LONG,
                         framing_next(&framing, whole, &len));
        assert_int_equal(whole.len, len); /* it can be answered */
    }
    struct framing framing = {0};
    memset(input, 'x', sizeof input);
    struct slice endless = {input, FRAMING_MESSAGE_MAX};
    assert_int_equal(FRAMING_MORE, framing_next(&framing, endless, &len));
    endless.len++;
    assert_int_equal(FRAMING_TOO_LONG, framing_next(&framing, endless, &len));
    assert_int_equal(endless.len, len);
}

/* What a stream consists of, as text: p(ing), s(kip), m(essage) and its length. */
static void describe(struct framing *framing, struct slice *rest, struct builder *out)
{
    enum framing_kind kind;
    size_t len;

    while ((kind = framing_next(framing, *rest, &len)) != FRAMING_MORE) {
        assert_int_not_equal(FRAMING_BROKEN, kind);
        assert_int_not_equal(FRAMING_TOO_LONG, kind);
        if (kind == FRAMING_MESSAGE) {
            builder_char(out, 'm');
            builder_u64(out, len);
        } else {
            builder_char(out, kind == FRAMING_PING ? 'p' : 's');
        }
        slice_take(rest, len);
    }
}

static const char stream[] = "\r\n\r\n"
                             "OPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nab\n"
                             "\r\n"
                             "SIP/2.0 200 OK\r\nContent-Length:\r\n 4\r\n\r\n\r\n\r\n"
                             "\r\n\r\n\r\n\r\n"
                             "BYE sip:b SIP/2.0\r\nl: 0\r\nX: y\r\n\r\n";

static void a_stream_means_the_same_wherever_it_is_cut(void **state)
{
    (void)state;
    size_t size = sizeof stream - 1;

    for (size_t first = 0; first <= size; first++) {
        for (size_t second = first; second <= size; second++) {
            char text[64];
            struct builder out = builder_over(text, sizeof text);
            struct framing framing = {0};
            struct slice rest = {stream, 0};
            const size_t ends[] = {first, second, size};
            for (size_t i = 0; i < COUNT_OF(ends); i++) {
                rest.len = (size_t)(stream + ends[i] - rest.data);
                describe(&framing, &rest, &out);
            }
            assert_int_equal(0, rest.len);
            if (!slice_equal(SLICE("spm34sm43spspm33"), builder_slice(&out)))
                fail_msg("cut at %zu, %zu: %.*s", first, second, SLICE_ARG(builder_slice(&out)));
        }
    }
}

static void byte_by_byte_never_reads_past_the_end(void **state)
{
    (void)state;
    size_t size = sizeof stream - 1;
    char text[64];
    struct builder out = builder_over(text, sizeof text);
    struct framing framing = {0};
    size_t used = 0;

    for (size_t end = 0; end <= size; end++) {
        /* A block of its own, so that the sanitizer guards its end. */
        char *copy = malloc(end - used + 1);
        assert_non_null(copy);
        memcpy(copy, stream + used, end - used);
        struct slice rest = {copy, end - used};
        describe(&framing, &rest, &out);
        used = end - rest.len;
        free(copy);
    }
    assert_true(slice_equal(SLICE("spm34sm43spspm33"), builder_slice(&out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_thing_in_a_stream_is_known_for_what_it_is),
        cmocka_unit_test(a_header_section_may_have_its_largest_size_and_not_a_byte_more),
        cmocka_unit_test(a_stream_means_the_same_wherever_it_is_cut),
        cmocka_unit_test(byte_by_byte_never_reads_past_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
