/* SPDX-License-Identifier: Apache-2.0 */
#include "base/push.h"

/* Where the parameters begin and end: after the host, before the headers. A user part may have
 * ';' in it, but ends at the '@'. */
static void bounds(struct slice uri, size_t *begin, size_t *end)
{
    size_t at = slice_find(uri, '@');
    size_t from = at != SIZE_MAX ? at + 1 : 0;
    size_t semicolon = slice_find(slice_from(uri, from), ';');
    size_t headers = slice_find(slice_from(uri, from), '?');

    *end = headers != SIZE_MAX ? from + headers : uri.len;
    *begin = semicolon != SIZE_MAX && from + semicolon < *end ? from + semicolon : *end;
}

/* The next parameter from `*at` on, with its ';'. False: there is none. */
static bool next(struct slice uri, size_t *at, size_t end, struct slice *out)
{
    if (*at >= end)
        return false;
    struct slice rest = {uri.data + *at + 1, end - *at - 1};
    size_t len = slice_find(rest, ';');

    *out = (struct slice){uri.data + *at, 1 + (len != SIZE_MAX ? len : rest.len)};
    *at += out->len;
    return true;
}

static struct slice name_of(struct slice param)
{
    struct slice name = slice_from(param, 1);
    size_t equal = slice_find(name, '=');

    return equal != SIZE_MAX ? (struct slice){name.data, equal} : name;
}

static struct slice value_of(struct slice param)
{
    size_t equal = slice_find(param, '=');
    return equal != SIZE_MAX ? slice_from(param, equal + 1) : SLICE_EMPTY;
}

static bool is_push(struct slice name)
{
    return slice_equal_nocase(name, SLICE("pn-provider")) ||
           slice_equal_nocase(name, SLICE("pn-param")) ||
           slice_equal_nocase(name, SLICE("pn-prid"));
}

bool push_params_find(struct slice uri, struct push_params *out)
{
    size_t at, end;
    struct slice param;

    *out = (struct push_params){0};
    bounds(uri, &at, &end);
    while (next(uri, &at, end, &param)) {
        struct slice name = name_of(param);
        if (slice_equal_nocase(name, SLICE("pn-provider"))) {
            out->has_provider = true;
            out->provider = value_of(param);
        } else if (slice_equal_nocase(name, SLICE("pn-param"))) {
            out->has_param = true;
            out->param = value_of(param);
        } else if (slice_equal_nocase(name, SLICE("pn-prid"))) {
            out->has_prid = true;
            out->prid = value_of(param);
        }
    }
    return out->has_provider || out->has_param || out->has_prid;
}

void push_params_strip(struct slice uri, struct builder *b)
{
    size_t at, end;
    struct slice param;

    bounds(uri, &at, &end);
    builder_add(b, (struct slice){uri.data, at});
    while (next(uri, &at, end, &param))
        if (!is_push(name_of(param)))
            builder_add(b, param);
    builder_add(b, slice_from(uri, end));
}
