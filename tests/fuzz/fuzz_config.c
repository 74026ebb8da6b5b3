// SPDX-License-Identifier: Apache-2.0
/*
 * Any text as strowger.yaml and as resources. What is taken as users is exported and must come back
 * unchanged.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses 4 KiB for a scalar of very many escapes (fy_atom_format_text). */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so\n";
}

enum {
    EXPORT_MAX = 4 << 20
};

static void digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES])
{
    (void)user;
    (void)realm;
    for (size_t i = 0; i < (algorithm == 1 ? 16U : 32U); i++)
        out[i] = (uint8_t)((size_t)algorithm + i * name.len + password.len);
}

static int by_name(const void *left, const void *right)
{
    const struct user *a = left;
    const struct user *b = right;
    size_t common = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = memcmp(a->name.data, b->name.data, common);

    return order != 0 ? order : a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

/* Whoever was taken is stored; the export of that must change nothing. */
static void check_export(const struct resources_plan *plan)
{
    const struct resources_options options = {.realm = {"x.org", 5}, .digest = digest};
    struct config_errors errors = {0};
    struct resources *back = NULL;
    struct resources_plan *second = NULL;
    struct user *users = calloc(plan->count + 1, sizeof *users);
    char *text = malloc(EXPORT_MAX);

    if (users == NULL || text == NULL)
        abort();
    for (size_t i = 0; i < plan->count; i++)
        users[i] = plan->steps[i].user;
    qsort(users, plan->count, sizeof *users, by_name);
    struct builder b = builder_over(text, EXPORT_MAX);
    resources_export_users(users, plan->count, &b);
    const struct resources_source source = {"export", builder_slice(&b)};
    if (!b.overflow) {
        if (resources_parse(&source, 1, &errors, &back) != OK ||
            resources_plan(back, users, plan->count, &options, &errors, &second) != OK ||
            second->left != plan->count)
            abort();
        resources_plan_free(second);
        resources_free(back);
    }
    config_errors_release(&errors);
    free(users);
    free(text);
}

static void try_resources(struct slice text)
{
    const struct resources_options options = {.realm = {"x.org", 5}, .digest = digest};
    const struct resources_source source = {"fuzz", text};
    struct config_errors errors = {0};
    struct resources *resources = NULL;
    struct resources_plan *plan = NULL;

    enum err err = resources_parse(&source, 1, &errors, &resources);
    if (!err) {
        if (errors.count > 0 || resources_plan(resources, NULL, 0, &options, &errors, &plan) != OK)
            abort();
        check_export(plan);
        resources_plan_free(plan);
        resources_free(resources);
    } else if (err == ERR_SYNTAX && errors.count == 0) {
        abort(); /* an error without a word */
    }
    config_errors_release(&errors);
}

static void try_config(struct slice text)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    enum err err = config_parse(text, "fuzz", &errors, &config);
    if (!err && (errors.count > 0 || config->domains.count == 0 || config->listener_count == 0))
        abort();
    if (err == ERR_SYNTAX && errors.count == 0)
        abort();
    if (!err)
        config_free(config);
    config_errors_release(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};

    if (size == 0 || size > 16384)
        return 0;
    try_config(text);
    try_resources(text);
    return 0;
}
