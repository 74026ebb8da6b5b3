/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/internal.h"

const char *api_query(struct api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *api_header(struct api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool api_query_flag(struct api_request *r, const char *name)
{
    const char *text = api_query(r, name);
    return text != NULL && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
}

static bool parse_size(const char *text, size_t max, size_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || value > max)
        return false;
    *out = (size_t)value;
    return true;
}

struct api_page api_page_of(struct api_request *r)
{
    struct api_page page = {.limit = API_LIMIT_DEFAULT};
    const char *limit = api_query(r, "limit"), *cursor = api_query(r, "cursor");

    if (limit != NULL && (!parse_size(limit, API_LIMIT_MAX, &page.limit) || page.limit == 0)) {
        page.bad = true;
        page.problem = api_problem(400, NULL, "limit", "limit is a number from 1 to %d",
                                   API_LIMIT_MAX);
    } else if (cursor != NULL && !parse_size(cursor, SIZE_MAX / 2, &page.offset)) {
        page.bad = true;
        page.problem = api_problem(400, NULL, "cursor", "cursor is what `next` of a page said");
    }
    return page;
}

json_t *api_list(json_t *items, const struct api_page *page)
{
    json_t *next = json_null();

    if (json_array_size(items) > page->limit) {
        char cursor[32];
        snprintf(cursor, sizeof cursor, "%zu", page->offset + page->limit);
        next = json_string(cursor);
        json_array_remove(items, page->limit);
    }
    return json_pack("{s:o, s:o}", "items", items, "next", next);
}

json_t *api_string(struct slice s)
{
    json_t *text = s.len > 0 ? json_stringn(s.data, s.len) : json_null();
    return text != NULL ? text : json_string("(not UTF-8)");
}

json_t *api_time(uint64_t unix_ms)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)(unix_ms / 1000);

    if (unix_ms == 0 || gmtime_r(&seconds, &tm) == NULL)
        return json_null();
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%03uZ", (unsigned)(unix_ms % 1000));
    return json_string(text);
}

bool api_matches(struct api_request *r, const char *name, struct slice value)
{
    const char *wanted = api_query(r, name);
    if (wanted == NULL)
        return true;

    struct slice rest = slice_of(wanted);
    while (rest.len > 0) {
        size_t comma = slice_find(rest, ',');
        struct slice one = slice_take(&rest, comma == SIZE_MAX ? rest.len : comma);
        if (rest.len > 0)
            slice_take(&rest, 1);
        if (slice_equal(one, value))
            return true;
    }
    return false;
}
