/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a user's calls go on: {always, busy, no_answer, unregistered}, each a destination, that of
 * no_answer with the time before it. Here they are read; whether the users in them exist, and
 * whether calls would go round in a circle, can be said when all are known:
 * resources_check_forwards().
 */
#include <stdio.h>

#include "base/destination.h"
#include "config/resources_internal.h"
#include "config/values.h"

enum {
    AFTER_MIN_MS = 1000,
    AFTER_MAX_MS = 600000,
    CIRCLE_MAX = 10, /* users one after the other that a call goes to */
    FIELD_TEXT_MAX = 32
};

static const struct slice rules[USER_FORWARDS] = {
    [USER_FORWARD_ALWAYS] = KEY("always"),
    [USER_FORWARD_BUSY] = KEY("busy"),
    [USER_FORWARD_NO_ANSWER] = KEY("no_answer"),
    [USER_FORWARD_UNREGISTERED] = KEY("unregistered"),
};

struct slice resources_forward_name(enum user_forward rule)
{
    return rules[rule];
}

void resources_forward_after(struct builder *b, const struct user *user)
{
    value_write_duration(b, user->forward_after_ms);
}

/* "forward.busy" */
static struct slice field_of(enum user_forward rule, char text[static FIELD_TEXT_MAX])
{
    struct builder b = builder_over(text, FIELD_TEXT_MAX);

    builder_text(&b, "forward.");
    builder_add(&b, rules[rule]);
    return builder_slice(&b);
}

/* ---- reading ---- */

static void read_destination(struct resource_parser *parser, const struct yaml_node *node,
                             enum user_forward rule, struct resource_user *entry)
{
    struct destination_problem problem;
    struct destination to;
    struct slice text;
    char field_text[FIELD_TEXT_MAX], shown[YAML_SHOWN_MAX];
    struct slice field = field_of(rule, field_text);

    if (!resource_scalar(node, &text)) {
        resource_wrong(parser, node, field,
                       "%s is not a destination; write user:NAME or reply:CODE",
                       yaml_show(node, shown));
        return;
    }
    if (text.len == 0)
        return;
    if (destination_parse(text, &to, &problem) != OK) {
        if (problem.nearest.len > 0)
            resource_wrong(parser, node, field, "%s %s; did you mean %.*s:?",
                           yaml_show(node, shown), problem.what, SLICE_ARG(problem.nearest));
        else
            resource_wrong(parser, node, field, "%s %s; write such as user:alice",
                           yaml_show(node, shown), problem.what);
        return;
    }
    if (to.kind != DESTINATION_USER && to.kind != DESTINATION_REPLY) {
        resource_wrong(parser, node, field,
                       "%s: a user's calls go to user:NAME or reply:CODE in this version",
                       yaml_show(node, shown));
        return;
    }
    entry->user.forward[rule] = resource_keep(parser, text);
    entry->forward_at[rule] = (struct resource_place){node->line, node->column};
}

static void read_after(struct resource_parser *parser, const struct yaml_node *node,
                       struct resource_user *entry)
{
    char shown[YAML_SHOWN_MAX];
    struct slice text;
    uint64_t ms;

    if (!resource_scalar(node, &text) || !value_duration_ms(text, &ms) || ms < AFTER_MIN_MS ||
        ms > AFTER_MAX_MS) {
        resource_wrong(parser, node, SLICE("forward.no_answer"),
                       "%s is not a time to ring; write one from 1s to 10m, such as 20s",
                       yaml_show(node, shown));
        return;
    }
    entry->user.forward_after_ms = (uint32_t)ms;
}

/* {to: user:bob, after: 20s} */
static void read_no_answer(struct resource_parser *parser, const struct yaml_node *node,
                           struct resource_user *entry)
{
    const struct yaml_node *to = resource_field_value(node, SLICE("to"));

    for (const struct yaml_node *key = node->first; key != NULL; key = key->next->next) {
        if (slice_equal(key->text, SLICE("after")))
            read_after(parser, key->next, entry);
        else if (!slice_equal(key->text, SLICE("to")))
            resource_wrong(parser, key, SLICE("forward.no_answer"),
                           "'%.*s' is not a field; it has to: and after:", SLICE_ARG(key->text));
    }
    if (to == NULL)
        resource_wrong(parser, node, SLICE("forward.no_answer"),
                       "has no `to`; write {to: user:NAME, after: 20s}");
    else
        read_destination(parser, to, USER_FORWARD_NO_ANSWER, entry);
}

void resource_forward_read(struct resource_parser *parser, const struct yaml_node *node,
                           struct resource_user *entry)
{
    char shown[YAML_SHOWN_MAX];

    if (yaml_is_null(node))
        return;
    if (node->type != YAML_MAPPING) {
        resource_wrong(parser, node, SLICE("forward"),
                       "%s is not a mapping; write such as {busy: user:alice}",
                       yaml_show(node, shown));
        return;
    }
    for (const struct yaml_node *key = node->first; key != NULL; key = key->next->next) {
        unsigned rule = 0;
        while (rule < USER_FORWARDS && !slice_equal(key->text, rules[rule]))
            rule++;
        if (rule == USER_FORWARDS)
            resource_wrong(parser, key, SLICE("forward"),
                           "'%.*s' is not a case; use always, busy, no_answer, unregistered",
                           SLICE_ARG(key->text));
        else if (rule == USER_FORWARD_NO_ANSWER && key->next->type == YAML_MAPPING)
            read_no_answer(parser, key->next, entry);
        else
            read_destination(parser, key->next, (enum user_forward)rule, entry);
    }
}

/* ---- references ---- */

bool resources_forward_target(const struct user *user, enum user_forward rule, struct slice *name)
{
    struct destination_problem problem;
    struct destination to;

    if (user->forward[rule].len == 0 ||
        destination_parse(user->forward[rule], &to, &problem) != OK || to.kind != DESTINATION_USER)
        return false;
    *name = to.name;
    return true;
}

static void forward_wrong(const struct resource_user *entry, enum user_forward rule,
                          struct config_errors *errors, const char *what, struct slice name)
{
    char key[CONFIG_KEY_MAX], field[FIELD_TEXT_MAX];

    snprintf(key, sizeof key, "users.%.*s.%.*s", SLICE_ARG(entry->user.name),
             SLICE_ARG(field_of(rule, field)));
    config_errors_add(errors, entry->file, entry->forward_at[rule].line,
                      entry->forward_at[rule].column, key, "%s user %.*s; name another", what,
                      SLICE_ARG(name));
}

/* Does a call that goes on always come back to where it was? */
static bool is_circle(const struct resource_user *entry, resources_find_fn *find, const void *all)
{
    const struct user *at = &entry->user;

    for (unsigned i = 0; i < CIRCLE_MAX && at != NULL; i++) {
        struct slice name;
        if (!resources_forward_target(at, USER_FORWARD_ALWAYS, &name))
            return false;
        if (slice_equal(name, entry->user.name))
            return true;
        at = find(all, name);
    }
    return false;
}

bool resources_check_forwards(const struct resource_user *entry, resources_find_fn *find,
                              const void *all, struct config_errors *errors)
{
    bool good = true;

    for (unsigned i = 0; i < USER_FORWARDS; i++) {
        enum user_forward rule = (enum user_forward)i;
        struct slice name;
        if (!resources_forward_target(&entry->user, rule, &name))
            continue;
        if (slice_equal(name, entry->user.name)) {
            forward_wrong(entry, rule, errors, "goes to himself,", name);
            good = false;
        } else if (find(all, name) == NULL) {
            forward_wrong(entry, rule, errors, "there is no", name);
            good = false;
        } else if (rule == USER_FORWARD_ALWAYS && is_circle(entry, find, all)) {
            forward_wrong(entry, rule, errors, "calls would go round in a circle by", name);
            good = false;
        }
    }
    return good;
}
