/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config/settings - the one table of all keys of strowger.yaml.
 */
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include <stddef.h>

#include "config/config.h"

enum setting_type {
    SETTING_NOT_BUILT = 1, /* known, refused: its room is not there yet */
    SETTING_BOOL,          /* bool */
    SETTING_COUNT,         /* uint32_t, min..max */
    SETTING_MS,            /* a duration, uint32_t of milliseconds */
    SETTING_SECONDS,       /* a duration, uint32_t of seconds */
    SETTING_SIZE,          /* uint64_t of bytes */
    SETTING_HOST,          /* struct slice */
    SETTING_CURRENCY,      /* struct slice */
    SETTING_ZONE,          /* struct slice */
    SETTING_ADDRESS,       /* struct addr; `off` allowed */
    SETTING_SERVERS,       /* struct config_addresses; port 53 where none is given */
    SETTING_NETWORKS,      /* struct config_networks */
    SETTING_ALGORITHMS,    /* uint8_t[USER_ALGORITHMS_MAX] */
    SETTING_PATHS,         /* struct config_paths */
    SETTING_HOP,           /* struct slice: a SIP URI made of transport:host[:port] */
    SETTING_URL,           /* struct slice, with a 0 behind it: https: */
    SETTING_SECRET,        /* struct slice: what {file: PATH} or {env: NAME} holds */
    SETTING_PROVIDERS,     /* struct config_slices: names */
    SETTING_BASE64URL,     /* struct slice */
    SETTING_DOMAINS,       /* from here on: one of a kind, see parse.c */
    SETTING_LISTEN,
    SETTING_ORIGINS,
    SETTING_CONTROL,
    SETTING_STORE,
    SETTING_LOG_FORMAT,
    SETTING_LOG_LEVEL,
    SETTING_NAT_PING,
};

struct setting {
    struct slice key; /* with dots */
    enum setting_type type;
    size_t offset;        /* into struct config */
    const char *standard; /* the default, as it would be written; NULL: none */
    uint64_t min, max;    /* in the field's unit */
    const char *meaning;
};

extern const struct setting settings[];
extern const size_t settings_count;

/** The row of `key`, or NULL. */
const struct setting *setting_find(struct slice key);

/** Is there a key that begins with `prefix` and a dot? */
bool setting_is_group(struct slice prefix);

/**
 * The key that is most like `key`: below `prefix` (may be empty), or else one anywhere whose last
 * word is the same. Empty: none is near. Written without the prefix when it stands below it.
 */
struct slice setting_nearest(struct slice prefix, struct slice word);

#endif
