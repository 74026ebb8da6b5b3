/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that the configuration names, for those who open them and those who only look.
 */
#include <stdio.h>

#include "config/config.h"

static bool listens_for(const struct config *config, enum transport one, enum transport other)
{
    for (uint32_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].transport == one || config->listeners[i].transport == other)
            return true;
    return false;
}

bool config_wants_tls(const struct config *config)
{
    return listens_for(config, TRANSPORT_TLS, TRANSPORT_WSS);
}

bool config_wants_ws(const struct config *config)
{
    return listens_for(config, TRANSPORT_WS, TRANSPORT_WSS);
}

static void copy(struct slice path, char out[TLS_PATH_MAX])
{
    snprintf(out, TLS_PATH_MAX, "%.*s", SLICE_ARG(path));
}

struct tls_options config_tls_options(const struct config *config, struct tls_pair *pairs)
{
    const struct config_paths *keys =
        config->tls.key.count > 0 ? &config->tls.key : &config->tls.certificate;

    for (uint32_t i = 0; i < config->tls.certificate.count; i++) {
        copy(config->tls.certificate.items[i].path, pairs[i].certificate);
        copy(keys->items[i].path, pairs[i].key);
    }
    return (struct tls_options){
        .pairs = pairs,
        .pair_count = config->tls.certificate.count,
        .names = config->domains.items,
        .name_count = config->domains.count,
        .client_ca =
            config->tls.client_ca.count > 0 ? config->tls.client_ca.items[0].path.data : NULL,
        .client_required = config->tls.client_required,
        .ca = config->tls.ca.count > 0 ? config->tls.ca.items[0].path.data : NULL,
    };
}

struct looking {
    const struct config *config;
    struct config_errors *errors;
};

static void on_problem(void *user, const struct tls_problem *problem)
{
    const struct looking *looking = user;
    const struct config *config = looking->config;
    const struct config_path *at = NULL;
    const char *key = "tls";
    char file[CONFIG_FILE_MAX];

    switch (problem->file) {
    case TLS_FILE_CERTIFICATE:
        key = "tls.certificate";
        at = &config->tls.certificate.items[problem->pair];
        break;
    case TLS_FILE_KEY:
        key = "tls.key";
        at = config->tls.key.count > 0 ? &config->tls.key.items[problem->pair]
                                       : &config->tls.certificate.items[problem->pair];
        break;
    case TLS_FILE_CLIENT_CA:
        key = "tls.client_ca";
        at = &config->tls.client_ca.items[0];
        break;
    case TLS_FILE_CA:
        key = "tls.ca";
        at = &config->tls.ca.items[0];
        break;
    }
    snprintf(file, sizeof file, "%.*s", SLICE_ARG(config->file));
    config_errors_add(looking->errors, file, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                      key, "%s", problem->text);
}

bool config_check_files(const struct config *config, struct config_errors *errors)
{
    struct tls_pair pairs[TLS_PAIRS_MAX];
    struct looking looking = {config, errors};
    struct tls_options options = config_tls_options(config, pairs);

    bool sound = tls_check(&options, on_problem, &looking);
    config_errors_sort(errors);
    return sound;
}
