/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/wiring - the functions by which rooms that do not know each other reach each other.
 */
#ifndef MAIN_WIRING_H
#define MAIN_WIRING_H

#include "main/server.h"

/** How a worker's core reaches the world. */
struct core_ops wiring_core_ops(struct server_worker *worker);

/** What a worker's net tells its core. */
struct net_config wiring_net_config(struct server_worker *worker);
struct dns_config wiring_dns_config(struct server_worker *worker);

/** The worker's turn: letters, timers, sends. Before the loops start. */
void wiring_hooks(struct server_worker *worker);

/** From the store's threads. `user` is the struct server. */
void wiring_receipts(void *user, unsigned worker, const struct store_receipt *receipts,
                     size_t count);
void wiring_store_log(void *user, enum store_level level, const char *text);

/** A snapshot of what the store holds. `problem` says why there is none. */
enum err wiring_build_policy(struct server *server, struct policy **out,
                             char problem[static API_PROBLEM_MAX]);

/** Has `fn` called in every worker and waits until all have. By the main thread and HTTP's. */
enum err wiring_everywhere(struct server *server, loop_run_fn *fn, void *user);

/** Builds a snapshot anew and swaps it in all workers; returns when it is live. `user`: the server.
 */
enum err wiring_policy_changed(void *user, char problem[static API_PROBLEM_MAX]);

/** A1 for config/, which does not see sip/. */
void wiring_digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES]);

struct api_config wiring_api_config(struct server *server);

/** A line of the main thread's. */
void server_log(struct server *server, enum log_level level, const char *event, const char *text);

#endif
