/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A URI: its push parameters are found and taken off.
 *
 * What must hold: what is found lies within it; what is left has none, is no longer, and is a URI
 * if it was one, the same but for them.
 */
#include <stdlib.h>

#include "base/push.h"
#include "sip/sip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    URI_MAX = 4096
};

static void require(bool true_always)
{
    if (!true_always)
        abort();
}

static bool within(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             part.data + part.len <= whole.data + whole.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[URI_MAX];
    struct slice uri = {(const char *)data, size};
    struct push_params push, none;
    struct sip_uri before, after;

    if (size > URI_MAX)
        return 0;
    bool any = push_params_find(uri, &push);
    require(within(push.provider, uri) && within(push.param, uri) && within(push.prid, uri));
    struct builder b = builder_over(text, size);
    push_params_strip(uri, &b);
    require(!b.overflow);
    require(any ? b.len < size : b.len == size);
    require(!push_params_find(builder_slice(&b), &none));
    if (sip_uri_parse(uri, &before) != OK || before.scheme == SIP_SCHEME_OTHER ||
        before.scheme == SIP_SCHEME_TEL)
        return 0;
    require(sip_uri_parse(builder_slice(&b), &after) == OK);
    require(slice_equal(before.user, after.user) && slice_equal(before.host, after.host) &&
            before.port == after.port && slice_equal(before.headers, after.headers));
    return 0;
}
