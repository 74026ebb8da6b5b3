/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"

static void words_are_as_far_apart_as_they_have_slips(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        unsigned limit, distance;
    } cases[] = {
        {"listen", "listen", 3, 0}, {"LISTEN", "listen", 3, 0},
        {"lisen", "listen", 3, 1},  {"listten", "listen", 3, 1},
        {"lasten", "listen", 3, 1}, {"listne", "listen", 3, 1}, /* changed places */
        {"ilsten", "listen", 3, 1}, {"domian", "domains", 2, 2},
        {"abcdef", "uvwxyz", 3, 4}, /* past the limit */
        {"abcdef", "uvwxyz", 6, 6}, {"", "abc", 3, 3},
        {"abc", "", 3, 3},          {"", "", 0, 0},
        {"ab", "ba", 2, 1},         {"abc", "ca", 3, 3}, /* what changed places stays so */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned there = text_distance(slice_of(cases[i].a), slice_of(cases[i].b), cases[i].limit);
        unsigned back = text_distance(slice_of(cases[i].b), slice_of(cases[i].a), cases[i].limit);
        if (there != cases[i].distance || back != there)
            fail_msg("%s, %s: %u and %u", cases[i].a, cases[i].b, there, back);
    }
    static char word[200];
    memset(word, 'a', sizeof word);
    assert_int_equal(0, text_distance((struct slice){word, 64}, (struct slice){word, 64}, 2));
    assert_int_equal(3, text_distance((struct slice){word, 65}, (struct slice){word, 65}, 2));
    assert_int_equal(3, text_distance((struct slice){word, 200}, SLICE("a"), 2));
}

static void characters_of_utf_8_have_their_length(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xed\x9f\xbf", 3},
        {"\xef\xbf\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xc3\xab and more", 2},
        {"", 0},
        {"\x80", 0},     /* none begins so */
        {"\xc0\x80", 0}, /* longer than it need be */
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xed\xa0\x80", 0},     /* a surrogate */
        {"\xf4\x90\x80\x80", 0}, /* past U+10FFFF */
        {"\xf5\x80\x80\x80", 0},
        {"\xc3", 0}, /* cut off */
        {"\xe2\x82", 0},
        {"\xc3(", 0},
        {"\xe2\x82(", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (text_utf8_bytes(slice_of(cases[i].text)) != cases[i].bytes)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_as_far_apart_as_they_have_slips),
        cmocka_unit_test(characters_of_utf_8_have_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
