/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/server - all rooms of one node, wired together. No logic of its own.
 *
 *   log, store, quiesce, table, policy          made first, by the main thread
 *   loops: per worker a core and a net          touched by their worker only, once started
 *   api                                         threads of its own
 */
#ifndef MAIN_SERVER_H
#define MAIN_SERVER_H

#include <pthread.h>

#include "api/api.h"
#include "config/config.h"
#include "core/core.h"
#include "loop/log.h"
#include "loop/loop.h"
#include "loop/table.h"
#include "net/dns.h"
#include "net/net.h"
#include "push/push.h"
#include "store/store.h"

enum {
    SERVER_LOCAL_ADDRS_MAX = 128,
    CERTIFICATES_MS = 2000, /* so often we look whether their files have changed */
    SERVER_BARS_MAX = 4096, /* per worker: addresses, and pairs, that are counted or barred */
};

struct server;

/** The most memory that the program takes, by what for; bytes, of all workers. */
struct server_memory {
    size_t calls;       /* transactions, contexts, registrations under way, and their tables */
    size_t guard;       /* sources and bars */
    size_t location;    /* who is registered */
    size_t connections; /* and what is sent and received */
    size_t mailboxes;   /* between the workers */
    size_t store;       /* the journal's buffers, SQLite's cache */
    size_t push;        /* phones that the gateway is told of */
    size_t total;
};

/** What belongs to one worker. */
struct server_worker {
    struct server *server;
    unsigned index;
    char name[24]; /* in the log */
    struct loop *loop;
    struct core *core;
    struct net *net;
    struct dns *dns;
    struct log_writer *log;
    struct core_status status; /* copied here on demand, in the worker, for other threads */
    struct net_counters net_counters;
    bool idle;
};

struct server {
    struct config *config;
    unsigned worker_count;
    struct server_worker *workers;
    struct log *log;
    struct log_writer *log_writer; /* of all other threads */
    struct store *store;
    struct quiesce quiesce;
    struct table *table;
    struct live *sources; /* connections by remote host */
    struct loops *loops;
    struct listener listeners[LISTENERS_MAX]; /* with the ports that were bound */
    struct net_sockets *sockets;
    struct tls *tls;           /* what all workers present; NULL: none listens for TLS */
    struct config *tls_config; /* which names its files; NULL: `config` does */
    struct policy *policy;
    pthread_mutex_t policy_lock; /* held while a change is made */
    pthread_mutex_t lock;        /* guards what follows */
    pthread_cond_t swapped;
    bool swap_running, collecting;
    uint64_t policy_version;
    struct addr local_addrs[SERVER_LOCAL_ADDRS_MAX];
    uint32_t local_addr_count;
    struct api *api;
    struct push_gateway *push; /* NULL: there is none */
    char control_path[512];
    struct server_memory memory; /* what the configuration allows */
    uint64_t started_wall_ms, started_ms;
    uint64_t last_call;           /* the largest id of a call that was there at the start */
    _Atomic bool ready, draining; /* told by the main thread, asked by the api's */
};

/* certificates.c */
/** Reads the certificates for the first time. False: said why on standard error. */
bool certificates_open(struct server *server);
/** Reads them anew, as `config`, which is taken over, names them from now on; live when it returns.
 * What is wrong changes nothing. */
void certificates_reload(struct server *server, struct config *config);
/** Reads them anew if their files have changed. */
void certificates_watch(struct server *server);

/** Builds everything and runs until a signal says stop. Returns the exit code. */
int server_run(const char *config_file);

/* status.c: for the API's hooks; `user` is the struct server */
json_t *server_status_json(void *user);
void server_metrics(void *user, struct api_text *out);

/* calls.c */
/** As api_config.hang_up; `user` is the struct server. */
bool server_hang_up(void *user, const struct call_record *record, enum err *err);
void server_calls_metrics(const struct server *server, struct api_text *out);
/* push.c */
/** Starts what speaks to the push gateway, if there is one. False: said why on standard error. */
bool server_push_open(struct server *server);
/** As core_ops.push; `user` is the worker. */
bool server_push(void *user, const struct core_push *push);
/** A letter of the gateway's to a worker. */
void server_push_letter(void *user, const struct letter *letter);
/** As api_config.push_test. */
void server_push_test(void *user, const struct api_push *phone, struct api_push_answer *out);
/** Is there a gateway that has not answered for a while? */
bool server_push_is_dead(const struct server *server);
/** Its part of the status document; JSON's null: there is no gateway. */
json_t *server_push_json(const struct server *server, const struct core_counters *counters);
void server_push_metrics(const struct server *server, const struct core_counters *counters,
                         struct api_text *out);

/* bans.c: likewise */
json_t *server_bans_json(void *user);
bool server_lift_ban(void *user, const char *name, bool *found);

/**
 * Has each worker copy its counters to struct server_worker; returns when all have. Until
 * server_collect_end() neither they nor the policy change.
 */
void server_collect_begin(struct server *server);
void server_collect_end(struct server *server);

#endif
