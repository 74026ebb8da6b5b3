/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - strowger.yaml to checked, immutable settings. The resources: config/resources.h.
 *
 * One table (settings.c) has a row per key: its type, range, default and meaning. It feeds the
 * parser, the defaults, the hint at the nearest name and docs/configuration.md.
 *
 * Thread:  any; nothing is shared.
 * Memory:  a struct config is one piece, immutable; config_free() frees all of it.
 * Limits:  CONFIG_TEXT_MAX, CONFIG_ITEMS_MAX; CONFIG_ERRORS_MAX errors are reported, then the rest
 *          is only counted.
 * Public headers: config.h errors.h resources.h
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/flow.h"
#include "base/user.h"
#include "config/errors.h"
#include "net/tls.h"

enum {
    CONFIG_TEXT_MAX = 16 << 20, /* bytes of one file */
    CONFIG_ITEMS_MAX = 1024,    /* of one list in strowger.yaml */
};

enum config_log_format {
    CONFIG_LOG_TEXT,
    CONFIG_LOG_JSON,
};

enum config_log_level {
    CONFIG_LOG_ERROR,
    CONFIG_LOG_WARNING,
    CONFIG_LOG_INFO,
    CONFIG_LOG_DEBUG,
};

enum config_nat_ping {
    CONFIG_PING_OPTIONS,
    CONFIG_PING_EMPTY_LINE,
    CONFIG_PING_OFF,
};

struct config_slices {
    const struct slice *items;
    uint32_t count;
};

struct config_networks {
    const struct addr_net *items;
    uint32_t count;
};

struct config_addresses {
    const struct addr *items;
    uint32_t count;
};

/** A file that is named, and where. */
struct config_path {
    struct slice path; /* with a 0 behind it */
    unsigned line, column;
};

struct config_paths {
    const struct config_path *items;
    uint32_t count;
};

/** Everything is there: what the file does not say has its default. */
struct config {
    struct slice file; /* as given; empty: the embedded defaults */

    struct config_slices domains;     /* lower case; at least one, the first is the default */
    const struct listener *listeners; /* numeric; port 0 does not occur */
    uint32_t listener_count;
    uint32_t workers; /* 0: one per core */
    struct slice currency;
    struct slice time_zone; /* empty: the machine's */
    bool insecure;

    struct {
        struct config_paths certificate;
        struct config_paths key;           /* as many; none: in the certificates' files */
        struct config_paths client_ca, ca; /* one or none */
        bool client_required;
    } tls;
    struct {
        struct config_slices origins; /* lower case; none: all */
        uint32_t ping_ms;
    } ws;
    struct {
        bool required;
        struct slice realm;                      /* default: the first domain */
        uint8_t algorithms[USER_ALGORITHMS_MAX]; /* as in struct user; 0s at the end */
        uint32_t nonce_lifetime_ms;
        struct config_networks trusted;
    } auth;
    struct {
        uint32_t default_expires_s;
        uint32_t min_expires_s;
        uint32_t max_expires_s;
        uint32_t max_contacts;
        uint32_t flow_timer_s; /* 0: none */
        bool gruu;
        struct config_networks edges; /* whose Path is believed */
    } registrar;
    struct { /* keepalives to phones behind NATs */
        enum config_nat_ping ping;
        uint32_t every_ms;
        uint32_t misses;
        uint32_t rate; /* per worker and second */
    } nat;
    struct { /* we stand before a registrar; no domains: we do not */
        struct config_slices domains;
        struct slice registrar; /* a SIP URI */
    } edge;
    struct {
        uint32_t timer_c_ms;
        bool recurse_on_3xx;
        bool refuse_no_audio;
    } proxy;
    struct {
        struct config_addresses servers; /* none: the system's */
        uint32_t timeout_ms;             /* of one try */
        uint32_t tries;
        uint32_t wait_ms; /* of a request, for all it needs to know */
    } dns;
    struct { /* phones that sleep are woken by a gateway (RFC 8599); no url: they are not */
        struct slice url;
        struct slice secret;    /* what it is told in */
        struct config_paths ca; /* one or none */
        struct config_slices providers;
        struct slice vapid; /* empty: none */
        uint32_t wait_ms;
        uint32_t waiting; /* per worker */
        uint32_t awake_ms;
        uint32_t refresh_s; /* before a binding ends; 0: never */
        uint32_t timeout_ms;
        uint32_t tries;
        uint32_t queue;
    } push;
    struct {
        bool off; /* `listen: off` */
        struct addr listen;
        bool plain; /* plain HTTP off loopback is meant */
        struct config_networks trusted_proxies;
    } http;
    struct slice control; /* path of the Unix socket, absolute; empty: the default */
    struct {
        bool memory;
        struct slice path; /* of the SQLite file, made absolute or relative to the working folder */
    } store;
    bool records;
    uint32_t calls_silence_ms;
    struct {
        enum config_log_format format;
        enum config_log_level level;
    } log;
    uint32_t drain_ms;
    struct {
        uint32_t target_ms;
        uint32_t interval_ms;
        uint32_t refresh_target_ms;
    } overload;
    struct { /* per worker, but for the last */
        uint32_t transactions;
        uint64_t memory;
        uint32_t connections;
        uint32_t connections_per_address;
        uint32_t calls;
        uint64_t journal; /* bytes of the store's journal */
    } limits;
    struct { /* rates are per second; 0: no limit */
        struct config_networks exempt;
        uint32_t stranger_rate;  /* of one address */
        uint32_t strangers_rate; /* of all workers */
        uint32_t stranger_calls; /* of all workers */
        uint32_t vouched_rate;   /* of one address */
        uint32_t user_rate;
        uint32_t handshake_rate; /* of one address, per worker */
        uint32_t sources;        /* per worker */
        uint32_t glitches;
        uint32_t login_failures;
        uint32_t address_login_failures;
        uint32_t login_window_ms;
        uint32_t bar_ms;
        uint32_t bar_max_ms;
    } guard;
};

/** Looks for `path`; NULL: the embedded defaults. ERR_SYNTAX, ERR_NOT_FOUND, ...: see `errors`. */
MUST_CHECK enum err config_load(const char *path, struct config_errors *errors,
                                struct config **out);

/** The same from text; `file` names it in errors, and relative paths start at its folder. */
MUST_CHECK enum err config_parse(struct slice text, const char *file, struct config_errors *errors,
                                 struct config **out);

void config_free(struct config *config);

/**
 * Looks into the files that the configuration names: certificates and keys. False: each problem was
 * added to `errors`.
 */
bool config_check_files(const struct config *config, struct config_errors *errors);

/** What net/ is to present and to trust. `pairs`: room for TLS_PAIRS_MAX; all is borrowed. */
struct tls_options config_tls_options(const struct config *config, struct tls_pair *pairs);

/** Does it listen for TLS, with or without WebSocket above? */
bool config_wants_tls(const struct config *config);

/** Does it listen for WebSocket, with or without TLS below? */
bool config_wants_ws(const struct config *config);

/** `control:` or its default: /run/strowger/control.sock for root, else in $XDG_RUNTIME_DIR. */
MUST_CHECK enum err config_control_path(const struct config *config, char *path, size_t size);

/** The table of settings as docs/configuration.md shows it. */
void config_write_table(struct builder *b);

#endif
