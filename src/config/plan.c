/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "config/resources_internal.h"

enum {
    PASSWORD_LETTERS = 16,
    PASSWORD_GROUP = 4,
    FIRST_DIGEST = 1
};

void resources_make_password(char out[RESOURCES_PASSWORD_MAX])
{
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789"; /* none looks like another */
    size_t len = 0;

    for (unsigned made = 0; made < PASSWORD_LETTERS;) {
        uint8_t byte;
        if (getrandom(&byte, 1, 0) != 1) {
            if (errno == EINTR)
                continue;
            abort(); /* no kernel that we run on refuses */
        }
        if ((byte & 31) >= sizeof letters - 1)
            continue; /* even over the letters */
        if (made > 0 && made % PASSWORD_GROUP == 0)
            out[len++] = '-';
        out[len++] = letters[byte & 31];
        made++;
    }
    out[len] = '\0';
    assert(len < RESOURCES_PASSWORD_MAX);
}

/* --- Comparing ------------------------------------------------------------------------------ */

static int compare_names(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static const struct user *find_stored(const struct user *stored, size_t count, struct slice name)
{
    size_t low = 0;

    while (low < count) {
        size_t middle = low + (count - low) / 2;
        int order = compare_names(stored[middle].name, name);
        if (order == 0)
            return &stored[middle];
        if (order < 0)
            low = middle + 1;
        else
            count = middle;
    }
    return NULL;
}

static bool same_forwards(const struct user *a, const struct user *b)
{
    for (unsigned i = 0; i < USER_FORWARDS; i++)
        if (!slice_equal(a->forward[i], b->forward[i]))
            return false;
    return a->forward_after_ms == b->forward_after_ms;
}

static bool same_user(const struct user *a, const struct user *b)
{
    return slice_equal(a->name, b->name) && slice_equal(a->display_name, b->display_name) &&
           slice_equal(a->title, b->title) && slice_equal(a->extension, b->extension) &&
           slice_equal(a->email, b->email) && slice_equal(a->role, b->role) &&
           slice_equal(a->caller_number, b->caller_number) &&
           slice_equal(a->languages, b->languages) && slice_equal(a->realm, b->realm) &&
           same_forwards(a, b) && a->do_not_disturb == b->do_not_disturb &&
           a->disabled == b->disabled &&
           memcmp(a->algorithms, b->algorithms, sizeof a->algorithms) == 0 &&
           a->has_digest == b->has_digest && memcmp(a->digests, b->digests, sizeof a->digests) == 0;
}

/* --- Steps ---------------------------------------------------------------------------------- */

static void digest(struct user *user, struct slice password,
                   const struct resources_options *options)
{
    memset(user->digests, 0, sizeof user->digests);
    for (int algorithm = FIRST_DIGEST; algorithm < USER_DIGESTS; algorithm++)
        options->digest(options->user, algorithm, user->name, options->realm, password,
                        user->digests[algorithm]);
    user->realm = options->realm;
    user->has_digest = true;
}

static void plan_user(struct resources_plan *plan, const struct resource_user *entry,
                      const struct user *before, const struct resources_options *options)
{
    struct resources_step *step = &plan->steps[plan->count++];

    step->user = entry->user;
    if (entry->password.len > 0) {
        digest(&step->user, entry->password, options);
    } else if (!entry->user.has_digest && before != NULL && before->has_digest) {
        step->user.has_digest = true;
        step->user.realm = before->realm;
        memcpy(step->user.digests, before->digests, sizeof before->digests);
    } else if (!entry->user.has_digest) {
        resources_make_password(step->password);
        digest(&step->user, slice_of(step->password), options);
    }
    if (before == NULL) {
        step->verb = RESOURCES_CREATE;
        plan->created++;
    } else if (same_user(&step->user, before)) {
        step->verb = RESOURCES_LEAVE;
        plan->left++;
    } else {
        step->verb = RESOURCES_CHANGE;
        plan->changed++;
    }
}

static void clash(const struct resource_user *entry, struct config_errors *errors, const char *what,
                  struct slice other, bool *failed)
{
    char key[CONFIG_KEY_MAX];

    snprintf(key, sizeof key, "users.%.*s", SLICE_ARG(entry->user.name));
    config_errors_add(errors, entry->file, entry->line, entry->column, key,
                      "%s the stored user %.*s; choose another", what, SLICE_ARG(other));
    *failed = true;
}

/* A stored user that stays as he is, beside those of the file. */
static void check_stored(const struct resources *resources, const struct user *stays,
                         struct config_errors *errors, bool *failed)
{
    const struct resource_user *other;

    if (stays->extension.len > 0) {
        other = resources_by_extension(resources, stays->extension);
        if (other != NULL)
            clash(other, errors, "the extension is also that of", stays->name, failed);
        other = resources_by_name(resources, stays->extension);
        if (other != NULL)
            clash(other, errors, "the name is also the extension of", stays->name, failed);
    }
    other = resources_by_extension(resources, stays->name);
    if (other != NULL)
        clash(other, errors, "the extension is also the name of", stays->name, failed);
}

/* All users that there will be. */
struct all_users {
    const struct resources *resources;
    const struct user *stored;
    size_t stored_count; /* 0: they go */
};

static const struct user *find_any(const void *all_users, struct slice name)
{
    const struct all_users *all = all_users;
    const struct resource_user *entry = resources_by_name(all->resources, name);

    return entry != NULL ? &entry->user : find_stored(all->stored, all->stored_count, name);
}

enum err resources_plan(const struct resources *resources, const struct user *stored,
                        size_t stored_count, const struct resources_options *options,
                        struct config_errors *errors, struct resources_plan **out)
{
    size_t most = resources->count + (options->prune_users ? stored_count : 0);
    bool failed = false;

    struct resources_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return ERR_MEMORY;
    plan->steps = calloc(most + 1, sizeof *plan->steps);
    if (plan->steps == NULL) {
        free(plan);
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < resources->count; i++) {
        const struct resource_user *entry = &resources->users[i];
        plan_user(plan, entry, find_stored(stored, stored_count, entry->user.name), options);
    }
    const struct all_users all = {resources, stored, options->prune_users ? 0 : stored_count};
    for (size_t i = 0; i < resources->count; i++)
        failed |= !resources_check_forwards(&resources->users[i], find_any, &all, errors);
    for (size_t i = 0; i < stored_count; i++) {
        if (resources_by_name(resources, stored[i].name) != NULL)
            continue;
        if (!options->prune_users) {
            check_stored(resources, &stored[i], errors, &failed);
            continue;
        }
        plan->steps[plan->count++] =
            (struct resources_step){.verb = RESOURCES_DELETE, .user = stored[i]};
        plan->deleted++;
    }
    if (failed) {
        resources_plan_free(plan);
        return ERR_CONFLICT;
    }
    *out = plan;
    return OK;
}

void resources_plan_free(struct resources_plan *plan)
{
    if (plan == NULL)
        return;
    explicit_bzero(plan->steps, plan->count * sizeof *plan->steps);
    free(plan->steps);
    free(plan);
}
