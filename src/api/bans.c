/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/bans - who is kept out for a while, and letting him in again.
 */
#include <stdio.h>
#include <string.h>

#include "api/internal.h"

enum {
    BAN_NAME_MAX = 128
};

static const char *name_of(const json_t *ban)
{
    return json_string_value(json_object_get(ban, "name"));
}

static json_t *all_bans(const struct api_request *r)
{
    return r->api->config.bans(r->api->config.user);
}

static struct api_answer unreachable(void)
{
    return api_problem(503, NULL, NULL, "the workers do not answer now; try again");
}

static struct api_answer no_such_ban(const struct api_request *r)
{
    return api_problem(404, NULL, NULL, "there is no ban named %s (it may be over)", r->name);
}

struct api_answer api_bans_list(struct api_request *r)
{
    struct api_page page = api_page_of(r);
    char next[BAN_NAME_MAX] = "";

    if (page.bad)
        return page.problem;
    json_t *all = all_bans(r), *items = json_array();
    if (all == NULL || items == NULL) {
        json_decref(all);
        json_decref(items);
        return unreachable();
    }
    for (size_t i = 0; i < json_array_size(all); i++) { /* sorted by name */
        json_t *ban = json_array_get(all, i);
        if (page.cursor != NULL && strcmp(name_of(ban), page.cursor) <= 0)
            continue;
        if (json_array_size(items) == page.limit) {
            const json_t *last = json_array_get(items, page.limit - 1);
            snprintf(next, sizeof next, "%s", name_of(last));
            break;
        }
        json_array_append(items, ban);
    }
    json_decref(all);
    return api_list(items, next);
}

struct api_answer api_bans_get(struct api_request *r)
{
    json_t *all = all_bans(r), *found = NULL;

    if (all == NULL)
        return unreachable();
    for (size_t i = 0; found == NULL && i < json_array_size(all); i++)
        if (strcmp(name_of(json_array_get(all, i)), r->name) == 0)
            found = json_incref(json_array_get(all, i));
    json_decref(all);
    if (found == NULL)
        return no_such_ban(r);
    return (struct api_answer){.status = 200, .json = found};
}

struct api_answer api_bans_delete(struct api_request *r)
{
    bool found;

    if (!r->api->config.lift_ban(r->api->config.user, r->name, &found))
        return unreachable();
    if (!found)
        return no_such_ban(r);
    return (struct api_answer){.status = 204};
}
