/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/query - what a query says, and how values become JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "api/internal.h"
#include "base/text.h"

/* ---- parameters and headers ---- */

const char *api_query(struct api_request *r, const char *name)
{
    const char *value = NULL;
    size_t len = 0;

    if (MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name),
                                      &value, &len) != MHD_YES)
        return NULL;
    return value != NULL ? value : "";
}

const char *api_header(struct api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

bool api_query_flag(struct api_request *r, const char *name, bool *value, struct api_answer *out)
{
    const char *text = api_query(r, name);

    *value =
        text != NULL && (text[0] == '\0' || strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
    if (text == NULL || *value || strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
        return true;
    *out = api_problem(400, NULL, name, "%s is 1 or 0", name);
    return false;
}

/** Is `word` among the words of `list`? */
static bool has_word(const char *list, const char *word)
{
    struct slice rest = slice_of(list != NULL ? list : "");

    while (rest.len > 0) {
        size_t space = slice_find(rest, ' ');
        struct slice one = slice_take(&rest, space == SIZE_MAX ? rest.len : space);
        if (rest.len > 0)
            slice_take(&rest, 1);
        if (slice_equal(one, slice_of(word)))
            return true;
    }
    return false;
}

struct unknown_search {
    const char *known, *found;
};

static enum MHD_Result find_unknown(void *user, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct unknown_search *search = user;

    (void)kind;
    (void)value;
    if (has_word(search->known, name))
        return MHD_YES;
    search->found = name;
    return MHD_NO;
}

bool api_query_is_known(struct api_request *r, struct api_answer *out)
{
    struct unknown_search search = {.known = r->route->query};

    MHD_get_connection_values(r->connection, MHD_GET_ARGUMENT_KIND, find_unknown, &search);
    if (search.found == NULL)
        return true;
    if (search.known == NULL)
        *out = api_problem(400, NULL, search.found, "no parameter `%s` here; it takes none",
                           search.found);
    else
        *out = api_problem(400, NULL, search.found, "no parameter `%s` here; there are: %s",
                           search.found, search.known);
    return false;
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

/* ---- pages ---- */

static bool parse_limit(const char *text, size_t *out)
{
    size_t value = 0;

    if (text[0] == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (size_t)(*text - '0');
        if (value > API_LIMIT_MAX)
            return false;
    }
    *out = value;
    return value > 0;
}

struct api_page api_page_of(struct api_request *r)
{
    struct api_page page = {.limit = API_LIMIT_DEFAULT, .cursor = api_query(r, "cursor")};
    const char *limit = api_query(r, "limit");

    if (limit != NULL && !parse_limit(limit, &page.limit)) {
        page.bad = true;
        page.problem =
            api_problem(400, NULL, "limit", "limit is a number from 1 to %d", API_LIMIT_MAX);
    } else if (page.cursor != NULL && page.cursor[0] == '\0') {
        page.bad = true;
        page.problem = api_cursor_problem();
    }
    return page;
}

struct api_answer api_cursor_problem(void)
{
    return api_problem(400, NULL, "cursor", "cursor is what `next` of the page before said");
}

struct api_answer api_list(json_t *items, const char *next)
{
    json_t *json = json_pack("{s:o, s:o}", "items", items, "next",
                             next[0] != '\0' ? json_string(next) : json_null());
    return (struct api_answer){.status = 200, .json = json};
}

/* ---- values ---- */

/** A copy with '?' for each byte that is no UTF-8. */
static json_t *repaired(struct slice s)
{
    char *copy = malloc(s.len);
    json_t *text = NULL;

    if (copy == NULL)
        return NULL;
    memcpy(copy, s.data, s.len);
    for (size_t i = 0; i < s.len;) {
        size_t len = text_utf8_bytes(slice_from(s, i));
        if (len == 0)
            copy[i] = '?';
        i += len != 0 ? len : 1;
    }
    text = json_stringn(copy, s.len);
    free(copy);
    return text;
}

json_t *api_text_json(struct slice s)
{
    if (s.len == 0)
        return json_string("");
    json_t *text = json_stringn(s.data, s.len);
    return text != NULL ? text : repaired(s);
}

json_t *api_string(struct slice s)
{
    return s.len > 0 ? api_text_json(s) : json_null();
}

json_t *api_time(uint64_t unix_ms)
{
    char text[48];
    struct tm tm;
    time_t seconds = (time_t)(unix_ms / 1000);

    if (unix_ms == 0 || gmtime_r(&seconds, &tm) == NULL)
        return json_null();
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + len, sizeof text - len, ".%03uZ", (unsigned)(unix_ms % 1000));
    return json_string(text);
}
