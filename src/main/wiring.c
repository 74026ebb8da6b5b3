/* SPDX-License-Identifier: Apache-2.0 */
#include "main/wiring.h"

#include <stdio.h>
#include <sys/random.h>

/* ---- core to world ---- */

static bool post_mail(void *user, unsigned to, const struct core_mail *mail)
{
    struct server_worker *worker = user;
    struct core_mail head = *mail;
    head.bytes.data = NULL; /* they follow the head in the letter */
    struct slice parts[2] = {{(const char *)&head, sizeof head}, mail->bytes};
    /* All else is said again, or has a timer that notices. */
    enum mailbox_class class =
        mail->kind == CORE_MAIL_CONN_LOST ? MAILBOX_RESERVED : MAILBOX_ORDINARY;

    return loop_post(worker->loop, to, class, LETTER_CORE, parts, 2);
}

static void read_mail(void *user, const struct letter *letter)
{
    struct server_worker *worker = user;
    struct core_mail mail;

    assert(letter->body.len >= sizeof mail);
    memcpy(&mail, letter->body.data, sizeof mail);
    mail.bytes = slice_from(letter->body, sizeof mail);
    if (mail.kind == CORE_MAIL_MESSAGE && mail.flow.transport == TRANSPORT_UDP)
        net_heard(worker->net, &mail.flow.remote);
    core_mail(worker->core, &mail, loop_now_ms(worker->loop), loop_wall_ms(worker->loop));
}

static struct addr local_address(void *user, uint8_t listener, const struct addr *remote)
{
    struct server_worker *worker = user;
    return net_local_address(worker->net, listener, remote);
}

static void core_log(void *user, enum core_log_level level, const char *event, struct slice text)
{
    struct server_worker *worker = user;
    enum log_level as = (enum log_level)((int)level - CORE_LOG_ERROR + LOG_ERROR);

    if (log_wants(worker->log, as))
        log_write(worker->log, as, loop_wall_ms(worker->loop), event, text);
}

static void close_conn(void *user, struct conn_id conn)
{
    struct server_worker *worker = user;
    if (conn.worker == worker->index)
        net_close_conn(worker->net, conn);
}

static bool ask_dns(void *user, enum dns_type type, const char *name, struct id question)
{
    struct server_worker *worker = user;
    return dns_ask(worker->dns, type, name, question);
}

static void name_host(void *user, uint64_t name, struct slice host)
{
    struct server_worker *worker = user;
    net_name_host(worker->net, name, host);
}

static void alias(void *user, struct conn_id conn, uint16_t port)
{
    struct server_worker *worker = user;
    net_alias(worker->net, conn, port);
}

static void dns_answered(void *user, struct id question, const struct dns_answer *answer)
{
    struct server_worker *worker = user;
    core_dns_answer(worker->core, question, answer, loop_now_ms(worker->loop),
                    loop_wall_ms(worker->loop));
}

struct dns_config wiring_dns_config(struct server_worker *worker)
{
    const struct config *config = worker->server->config;

    return (struct dns_config){
        .loop = worker->loop,
        .servers = config->dns.servers.items,
        .server_count = config->dns.servers.count,
        .timeout_ms = config->dns.timeout_ms,
        .tries = config->dns.tries,
        .user = worker,
        .answered = dns_answered,
    };
}

struct core_ops wiring_core_ops(struct server_worker *worker)
{
    return (struct core_ops){
        .user = worker,
        .post = post_mail,
        .local_address = local_address,
        .log = core_log,
        .close_conn = close_conn,
        .ask_dns = ask_dns,
        .name_host = name_host,
        .push = worker->server->push != NULL ? server_push : NULL,
        .alias = alias,
    };
}

/* ---- net to core ---- */

static void waited(void *user, uint8_t listener, uint32_t waited_ms)
{
    struct server_worker *worker = user;
    core_waited(worker->core, listener, waited_ms, loop_now_ms(worker->loop));
}

static bool received(void *user, struct slice bytes, bool stream, const struct flow *source)
{
    struct server_worker *worker = user;

    if (stream)
        core_waited(worker->core, LISTENER_ANY, loop_late_ms(worker->loop),
                    loop_now_ms(worker->loop));
    return core_receive(worker->core, bytes, sip_framing_of(source->transport), source,
                        loop_now_ms(worker->loop), loop_wall_ms(worker->loop));
}

static bool may_read(void *user, const struct addr *remote)
{
    struct server_worker *worker = user;
    return core_may_read(worker->core, remote, loop_now_ms(worker->loop));
}

static bool may_handshake(void *user, const struct addr *remote)
{
    struct server_worker *worker = user;
    return core_may_handshake(worker->core, remote, loop_now_ms(worker->loop));
}

static void send_failed(void *user, struct slice sent, bool closed)
{
    struct server_worker *worker = user;
    core_send_failed(worker->core, sent, closed, loop_now_ms(worker->loop),
                     loop_wall_ms(worker->loop));
}

static void net_warns(void *user, const char *event, struct slice text)
{
    struct server_worker *worker = user;
    log_write(worker->log, LOG_WARNING, loop_wall_ms(worker->loop), event, text);
}

static bool conn_lost(void *user, struct conn_id conn, uint32_t *told)
{
    struct server_worker *worker = user;
    return core_conn_lost(worker->core, conn, told, loop_now_ms(worker->loop),
                          loop_wall_ms(worker->loop));
}

struct net_config wiring_net_config(struct server_worker *worker)
{
    struct server *server = worker->server;
    struct net_config net = {
        .loop = worker->loop,
        .sockets = server->sockets,
        .listeners = server->listeners,
        .listener_count = server->config->listener_count,
        .hash_seed = store_keys(server->store)->hash.k[0],
        .sources = server->sources,
        .ws = {server->config->ws.origins.items, server->config->ws.origins.count},
        .boot = store_boot(server->store),
        .limits = net_limits_default(),
        .ops = {.user = worker,
                .receive = received,
                .may_read = may_read,
                .may_handshake = may_handshake,
                .send_failed = send_failed,
                .conn_lost = conn_lost,
                .waited = waited,
                .warn = net_warns},
    };
    net.limits.connections_max = server->config->limits.connections;
    if (!config_wants_tls(server->config))
        net.limits.tls_memory_max = 0;
    if (!config_wants_ws(server->config))
        net.limits.ws_memory_max = 0;
    net.limits.ping_ms = server->config->ws.ping_ms;
    net.limits.connections_per_source_max = server->config->limits.connections_per_address;
    return net;
}

/* ---- the turn ---- */

static uint64_t next_ms(void *user)
{
    const struct server_worker *worker = user;
    return core_next_ms(worker->core);
}

static bool run(void *user)
{
    struct server_worker *worker = user;
    return core_run(worker->core, loop_now_ms(worker->loop), loop_wall_ms(worker->loop), 256);
}

static bool flush(void *user)
{
    struct server_worker *worker = user;
    bool more = net_turn(worker->net);

    table_turn(worker->server->table, worker->index);
    return more;
}

static void end(void *user)
{
    (void)user;
    sip_digest_release();
}

static void read_receipts(void *user, const struct letter *letter)
{
    struct server_worker *worker = user;
    size_t count = letter->body.len / sizeof(struct store_receipt);

    for (size_t i = 0; i < count; i++) {
        struct store_receipt receipt;
        memcpy(&receipt, letter->body.data + i * sizeof receipt, sizeof receipt);
        core_receipt(worker->core, receipt.token, receipt.err, loop_now_ms(worker->loop),
                     loop_wall_ms(worker->loop));
    }
}

void wiring_hooks(struct server_worker *worker)
{
    struct loop_hooks hooks = {
        .user = worker, .next_ms = next_ms, .run = run, .flush = flush, .end = end};

    loop_set_hooks(worker->loop, &hooks);
    loop_on_letter(worker->loop, LETTER_CORE, read_mail, worker);
    loop_on_letter(worker->loop, LETTER_RECEIPT, read_receipts, worker);
    loop_on_letter(worker->loop, LETTER_PUSH, server_push_letter, worker);
}

/* ---- the store ---- */

void wiring_receipts(void *user, unsigned worker, const struct store_receipt *receipts,
                     size_t count)
{
    struct server *server = user;
    const size_t per_letter = MAILBOX_LETTER_MAX / sizeof *receipts;

    for (size_t at = 0; at < count;) {
        size_t some = count - at < per_letter ? count - at : per_letter;
        struct slice body = {(const char *)&receipts[at], some * sizeof *receipts};
        /* The reserve has room for all receipts that can be under way (STORE_PENDING), if not many
         * lost connections are told at the same time. */
        if (!loops_post_patiently(server->loops, worker, MAILBOX_RESERVED, LETTER_RECEIPT, &body,
                                  1))
            server_log(server, LOG_ERROR, "receipts", "a mailbox is full: receipts were lost");
        at += some;
    }
}

void wiring_store_log(void *user, enum store_level level, const char *text)
{
    enum log_level as = level == STORE_ERROR     ? LOG_ERROR
                        : level == STORE_WARNING ? LOG_WARNING
                                                 : LOG_INFO;
    server_log(user, as, "store", text);
}

/* ---- the policy ---- */

static void say_policy_error(const struct policy_source *source, const struct policy_error *error,
                             char problem[static API_PROBLEM_MAX])
{
    if (error->problem == POLICY_DOMAIN_LENGTH || error->problem == POLICY_DOMAIN_TWICE) {
        snprintf(problem, API_PROBLEM_MAX, "domain %.*s is empty, too long, or there twice",
                 SLICE_ARG(source->domains[error->index]));
        return;
    }
    const struct user *a = &source->users[error->index];
    const struct user *b = &source->users[error->other];
    snprintf(problem, API_PROBLEM_MAX, "users %.*s and %.*s: a name or extension is taken twice",
             SLICE_ARG(a->name), SLICE_ARG(b->name));
}

enum err wiring_build_policy(struct server *server, struct policy **out,
                             char problem[static API_PROBLEM_MAX])
{
    struct store_users *users = NULL;
    struct policy_error error;

    enum err err = store_users_load(server->store, &users);
    if (err) {
        snprintf(problem, API_PROBLEM_MAX, "the users cannot be read: %s", err_name(err));
        return err;
    }
    struct policy_source source = {
        .users = users->items,
        .user_count = users->count,
        .domains = server->config->domains.items,
        .domain_count = server->config->domains.count,
    };
    if (getrandom(&source.seed, sizeof source.seed, 0) < 0)
        source.seed = server->started_ms;
    err = policy_build(&source, &error, out);
    if (err == ERR_CONFLICT)
        say_policy_error(&source, &error, problem);
    else if (err)
        snprintf(problem, API_PROBLEM_MAX, "%s", err_name(err));
    if (err == OK)
        server->policy_version = users->version;
    store_users_free(users);
    return err;
}

struct everywhere {
    struct server *server;
    loop_run_fn *fn;
    void *user;
};

static void run_here(void *user, unsigned worker)
{
    const struct everywhere *all = user;
    all->fn(all->user, worker);
}

static void run_done(void *user, unsigned worker)
{
    struct everywhere *all = user;

    (void)worker;
    pthread_mutex_lock(&all->server->lock);
    all->server->swap_running = false;
    pthread_cond_broadcast(&all->server->swapped); /* who lists bans waits for it, too */
    pthread_mutex_unlock(&all->server->lock);
}

/* With policy_lock held: one at a time. */
static enum err run_everywhere(struct server *server, loop_run_fn *fn, void *user)
{
    struct everywhere all = {server, fn, user};

    server->swap_running = true;
    enum err err = loops_run_everywhere(server->loops, run_here, run_done, &all);
    if (err)
        return err;
    pthread_mutex_lock(&server->lock);
    while (server->swap_running)
        pthread_cond_wait(&server->swapped, &server->lock);
    pthread_mutex_unlock(&server->lock);
    return OK;
}

enum err wiring_everywhere(struct server *server, loop_run_fn *fn, void *user)
{
    pthread_mutex_lock(&server->policy_lock);
    enum err err = run_everywhere(server, fn, user);
    pthread_mutex_unlock(&server->policy_lock);
    return err;
}

struct swap {
    struct server *server;
    struct policy *fresh;
};

static void swap_in_worker(void *user, unsigned worker)
{
    const struct swap *swap = user;
    core_set_policy(swap->server->workers[worker].core, swap->fresh);
}

enum err wiring_policy_changed(void *user, char problem[static API_PROBLEM_MAX])
{
    struct server *server = user;
    struct swap swap = {.server = server};

    pthread_mutex_lock(&server->policy_lock); /* one change at a time */
    enum err err = wiring_build_policy(server, &swap.fresh, problem);
    if (err == OK) {
        err = run_everywhere(server, swap_in_worker, &swap);
        if (err) {
            /* no worker has it yet, or some: it must stay, and the old one too */
            snprintf(problem, API_PROBLEM_MAX, "the workers cannot be reached: %s", err_name(err));
        } else {
            policy_free(server->policy);
            server->policy = swap.fresh;
        }
    }
    pthread_mutex_unlock(&server->policy_lock);
    return err;
}

void wiring_digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES])
{
    (void)user;
    sip_digest_a1((enum sip_algorithm)algorithm, name, realm, password, out);
}

/* ---- the API ---- */

static bool is_ready(void *user)
{
    const struct server *server = user;
    return server->ready && !server->draining;
}

struct api_config wiring_api_config(struct server *server)
{
    return (struct api_config){
        .tcp = !server->config->http.off,
        .listen = server->config->http.listen,
        .control = server->control_path,
        .realm = server->config->auth.realm,
        .store = server->store,
        .location = server->table,
        .quiesce = &server->quiesce,
        .log = server->log_writer,
        .hash_seed = store_keys(server->store)->hash.k[0],
        .digest = wiring_digest,
        .user = server,
        .status = server_status_json,
        .metrics = server_metrics,
        .ready = is_ready,
        .bans = server_bans_json,
        .lift_ban = server_lift_ban,
        .hang_up = server_hang_up,
        .push_test = server->push != NULL ? server_push_test : NULL,
        .domains = server->config->domains.items,
        .domain_count = server->config->domains.count,
        .digest_done = end,
        .policy_changed = wiring_policy_changed,
    };
}
