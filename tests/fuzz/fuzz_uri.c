/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two URIs, separated by a line feed: each asked for everything, then compared both ways.
 */
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice bytes = {(const char *)data, size};
    size_t split = slice_find(bytes, '\n');
    struct slice first = {bytes.data, split < size ? split : size};
    struct slice second = slice_from(bytes, split < size ? split + 1 : size);
    struct sip_uri a, b;

    sip_exercise_uri(first);
    sip_exercise_uri(second);
    if (sip_uri_parse(first, &a) == OK && sip_uri_parse(second, &b) == OK)
        sip_must(sip_uri_equal(&a, &b) == sip_uri_equal(&b, &a), "equality goes both ways");
    return 0;
}
