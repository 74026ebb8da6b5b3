/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody dialled, in the country that the first two letters name: a number that is read is
 * one of E.164, read once more it is the same, and it is the same number in whichever country.
 */
#include <stdlib.h>
#include <string.h>

#include "routing/dial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_number(struct slice number)
{
    const struct dial_rules none = {0};
    char text[DIAL_TEXT_MAX];
    struct builder again = builder_over(text, sizeof text);

    require(number.len > DIAL_DIGITS_MIN && number.len <= DIAL_TEXT_MAX);
    require(number.data[0] == '+' && number.data[1] != '0');
    for (size_t i = 1; i < number.len; i++)
        require(number.data[i] >= '0' && number.data[i] <= '9');
    require(dial_number(&none, number, SLICE_EMPTY, &again) == OK);
    require(slice_equal(builder_slice(&again), number));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data, size};
    struct dial_rules rules = {.bare_international = true};
    char text[DIAL_TEXT_MAX];
    struct builder out = builder_over(text, sizeof text);
    struct sip_uri uri;

    if (size < 2)
        return 0;
    if (dial_rules_of(slice_take(&rest, 2), &rules) != OK)
        rules.local = (uint8_t)data[1];
    if (dial_number(&rules, rest, SLICE_EMPTY, &out) == OK)
        require_number(builder_slice(&out));
    size_t middle = rest.len / 2;
    struct slice context = {rest.data, middle};
    out = builder_over(text, sizeof text);
    if (dial_number(&rules, slice_from(rest, middle), context, &out) == OK)
        require_number(builder_slice(&out));
    out = builder_over(text, sizeof text);
    if (sip_uri_parse(rest, &uri) == OK && dial_uri(&rules, &uri, &out) == OK)
        require_number(builder_slice(&out));
    return 0;
}
