/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main/server - a node from its configuration to `ready`, and back.
 */
#include "main/server.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "main/port.h"
#include "main/wiring.h"

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t kernel_random(void)
{
    uint64_t value;

    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        abort(); /* without randomness nothing here is safe */
    return value;
}

/* ---- before the threads ---- */

static struct config *load_config(const char *file)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    if (config_load(file, &errors, &config) != OK) {
        for (size_t i = 0; i < errors.count; i++) {
            char text[CONFIG_ERROR_TEXT_MAX + 512];
            struct builder b = builder_over(text, sizeof text);
            config_error_write(&errors.items[i], &b);
            fprintf(stderr, "%.*s\n", SLICE_ARG(builder_slice(&b)));
        }
        config = NULL;
    }
    config_errors_release(&errors);
    return config;
}

static void find_local_addrs(struct server *server)
{
    struct ifaddrs *all = NULL;

    if (getifaddrs(&all) != 0)
        return;
    for (struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr == NULL || server->local_addr_count == SERVER_LOCAL_ADDRS_MAX)
            continue;
        struct addr *addr = &server->local_addrs[server->local_addr_count];
        *addr = (struct addr){0};
        if (at->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, at->ifa_addr, sizeof in);
            addr->family = ADDR_V4;
            memcpy(addr->bytes, &in.sin_addr, 4);
            server->local_addr_count++;
        } else if (at->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, at->ifa_addr, sizeof in6);
            addr->family = ADDR_V6;
            memcpy(addr->bytes, &in6.sin6_addr, 16);
            server->local_addr_count++;
        }
    }
    freeifaddrs(all);
}

static bool open_log(struct server *server)
{
    const struct config *config = server->config;
    enum log_format format = config->log.format == CONFIG_LOG_JSON ? LOG_JSON : LOG_TEXT;
    enum log_level level = (enum log_level)((int)config->log.level - CONFIG_LOG_ERROR + LOG_ERROR);

    if (log_open(format, level, STDERR_FILENO, &server->log) != OK)
        return false;
    server->log_writer = log_writer(server->log, "main");
    return server->log_writer != NULL;
}

void server_log(struct server *server, enum log_level level, const char *event, const char *text)
{
    log_write(server->log_writer, level, 0, event, slice_of(text));
}

static bool open_store(struct server *server)
{
    const struct config *config = server->config;
    struct store_problem problem = {{0}};
    char path[4096];
    struct store_options options = {
        .workers = server->worker_count,
        .on_receipts = wiring_receipts,
        .log = wiring_store_log,
        .user = server,
        .journal_bytes_max = config->limits.journal,
    };

    if (!config->store.memory) {
        snprintf(path, sizeof path, "%.*s", SLICE_ARG(config->store.path));
        options.path = path;
    }
    if (store_open(&options, &problem, &server->store) == OK)
        return true;
    fprintf(stderr, "strowger: the store cannot be opened: %s\n", problem.text);
    return false;
}

static struct table_config table_config_of(struct server *server)
{
    return (struct table_config){
        .workers = server->worker_count,
        .memory_max = server->config->limits.memory,
        .quiesce = &server->quiesce,
    };
}

static struct loops_config loops_config_of(struct server *server)
{
    return (struct loops_config){
        .workers = server->worker_count,
        .mailbox_bytes = (size_t)8 << 20,
        .quiesce = &server->quiesce,
    };
}

static bool open_tables(struct server *server)
{
    struct table_config table = table_config_of(server);
    struct loops_config loops = loops_config_of(server);

    quiesce_init(&server->quiesce);
    return table_open(&table, &server->table) == OK && loops_open(&loops, &server->loops) == OK &&
           live_open((size_t)server->worker_count * server->config->limits.connections,
                     &server->sources) == OK;
}

/** Names the process that holds a taken port, where that can be seen. */
static void say_taken(const struct listener *listener, int error)
{
    char addr[ADDR_TEXT_MAX], holder[128];
    const char *transport = listener->transport == TRANSPORT_UDP ? "udp" : "tcp";

    fprintf(stderr, "strowger: %s:%s cannot be opened: %s", transport_word(listener->transport),
            addr_text(&listener->bound, addr), strerror(error));
    if (error == EADDRINUSE && port_holder(transport, &listener->bound, holder, sizeof holder))
        fprintf(stderr, "; it is held by %s. End that, or give another port in `listen`", holder);
    fprintf(stderr, "\n");
}

static bool open_sockets(struct server *server)
{
    struct net_problem problem = {0};
    uint32_t count = server->config->listener_count;

    memcpy(server->listeners, server->config->listeners, count * sizeof server->listeners[0]);
    if (net_sockets_open(server->listeners, count, server->worker_count, &problem,
                         &server->sockets) == OK)
        return true;
    say_taken(&server->listeners[problem.listener], problem.error);
    return false;
}

/* ---- the workers ---- */

enum {
    BURST_S = 4,             /* of one source or user */
    SHARED_BURSTS_PER_S = 4, /* of all strangers: short, they come before anything else */
};

static struct guard_rate own_rate(uint32_t per_second)
{
    return (struct guard_rate){per_second, BURST_S * per_second};
}

/** This worker's part of a rate for the whole node; at least 1. */
static struct guard_rate shared_rate(uint32_t per_second, unsigned workers)
{
    uint32_t part = (per_second + workers - 1) / workers;
    return (struct guard_rate){part, part / SHARED_BURSTS_PER_S + 1};
}

static struct guard_config guard_config_of(const struct server *server)
{
    const struct config *config = server->config;

    return (struct guard_config){
        .sources_max = config->guard.sources,
        .bars_max = SERVER_BARS_MAX,
        .stranger = own_rate(config->guard.stranger_rate),
        .strangers = shared_rate(config->guard.strangers_rate, server->worker_count),
        .vouched = own_rate(config->guard.vouched_rate),
        .calls = shared_rate(config->guard.stranger_calls, server->worker_count),
        .user = own_rate(config->guard.user_rate),
        .handshakes = own_rate(config->guard.handshake_rate),
        .points_max = config->guard.glitches,
        .failures_max = config->guard.login_failures,
        .address_failures_max = config->guard.address_login_failures,
        .failure_window_ms = config->guard.login_window_ms,
        .bar_ms = config->guard.bar_ms,
        .bar_max_ms = config->guard.bar_max_ms > config->guard.bar_ms ? config->guard.bar_max_ms
                                                                      : config->guard.bar_ms,
        .exempt = config->guard.exempt.items,
        .exempt_count = config->guard.exempt.count,
    };
}

static struct core_config core_config_of(struct server_worker *worker)
{
    struct server *server = worker->server;
    const struct config *config = server->config;
    const struct store_keys *keys = store_keys(server->store);
    struct core_config core = {
        .worker = worker->index,
        .workers = server->worker_count,
        .boot = store_boot(server->store),
        .seed = kernel_random(),
        .hash_seed = keys->hash.k[0],
        .token_key = keys->token,
        .loop_key = keys->loop,
        .nonce_key = keys->nonce,
        .memory_max = config->limits.memory,
        .transactions_max = config->limits.transactions,
        .registrations_max = 65536,
        .nonce_windows_max = 65536,
        .listeners = server->listeners,
        .listener_count = config->listener_count,
        .local_addrs = server->local_addrs,
        .local_addr_count = server->local_addr_count,
        .auth_required = config->auth.required,
        .realm = config->auth.realm,
        .nonce_lifetime_ms = config->auth.nonce_lifetime_ms,
        .trusted = config->auth.trusted.items,
        .trusted_count = config->auth.trusted.count,
        .registrar = {.default_expires = config->registrar.default_expires_s,
                      .min_expires = config->registrar.min_expires_s,
                      .max_expires = config->registrar.max_expires_s,
                      .max_contacts = config->registrar.max_contacts,
                      .flow_timer = config->registrar.flow_timer_s,
                      .gruu = config->registrar.gruu,
                      .push = {.providers = config->push.providers.items,
                               .provider_count =
                                   server->push != NULL ? config->push.providers.count : 0,
                               .vapid = config->push.vapid,
                               .lead = config->push.refresh_s}},
        .wait = {.wait_ms = config->push.wait_ms,
                 .awake_ms = config->push.awake_ms,
                 .max = config->push.waiting},
        .edges = config->registrar.edges.items,
        .edge_count = config->registrar.edges.count,
        .ping = {.every_ms = config->nat.ping != CONFIG_PING_OFF ? config->nat.every_ms : 0,
                 .misses = config->nat.misses,
                 .rate = config->nat.rate,
                 .empty_lines = config->nat.ping == CONFIG_PING_EMPTY_LINE},
        .edge = {.domains = config->edge.domains.items,
                 .domain_count = config->edge.domains.count,
                 .registrar = config->edge.registrar},
        .timer_c_ms = config->proxy.timer_c_ms,
        .recurse_on_3xx = config->proxy.recurse_on_3xx,
        .refuse_no_audio = config->proxy.refuse_no_audio,
        .overload_target_ms = config->overload.target_ms,
        .overload_interval_ms = config->overload.interval_ms,
        .overload_last_ms = config->overload.refresh_target_ms,
        .guard = guard_config_of(server),
        .resolve = resolve_limits_default(),
        .records = config->records && !config->store.memory,
        .calls_max = config->limits.calls,
        .call_silence_ms = config->calls_silence_ms,
        .outbox = net_outbox(worker->net),
        .location = table_interface(server->table),
        .ops = wiring_core_ops(worker),
        .policy = server->policy,
    };
    core.resolve.wait_ms = config->dns.wait_ms;
    core.call_id_floor = server->last_call;
    memcpy(core.algorithms, config->auth.algorithms, sizeof core.algorithms);
    if (!config->store.memory)
        core.durable = store_ops(server->store, worker->index);
    return core;
}

/** From the configuration alone: the same before and after any load. */
static void find_memory_max(struct server *server)
{
    struct table_config table = table_config_of(server);
    struct loops_config loops = loops_config_of(server);
    struct core_config core = core_config_of(&server->workers[0]);
    struct net_config net = wiring_net_config(&server->workers[0]);
    struct core_memory per_core = core_memory_max(&core);
    struct server_memory *memory = &server->memory;

    *memory = (struct server_memory){
        .calls = server->worker_count * (per_core.pools + per_core.tables),
        .guard = server->worker_count * per_core.guard,
        .location = table_memory_max(&table),
        .connections = server->worker_count * net_memory_max(&net.limits),
        .mailboxes = loops_memory(&loops),
        .store = store_memory_max(server->worker_count, server->config->store.memory),
        .push = server->push != NULL ? push_memory_max(server->config->push.queue) : 0,
    };
    memory->total = memory->calls + memory->guard + memory->location + memory->connections +
                    memory->mailboxes + memory->store + memory->push;
}

/** A line, and a warning where the machine has less. */
static void say_memory_max(struct server *server)
{
    const struct server_memory *memory = &server->memory;
    size_t has = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    char text[LOG_TEXT_MAX];
    enum {
        MIB = 1 << 20
    };

    snprintf(
        text, sizeof text,
        "at most %zu MiB, users besides: calls %zu, location table %zu, connections %zu, guard "
        "%zu, mailboxes %zu, store %zu, push %zu; this machine has %zu MiB%s",
        memory->total / MIB, memory->calls / MIB, memory->location / MIB, memory->connections / MIB,
        memory->guard / MIB, memory->mailboxes / MIB, memory->store / MIB, memory->push / MIB,
        has / MIB, memory->total > has ? ": less; see limits.memory" : "");
    server_log(server, memory->total > has ? LOG_WARNING : LOG_INFO, "memory", text);
}

static bool open_worker(struct server *server, unsigned index)
{
    struct server_worker *worker = &server->workers[index];

    *worker = (struct server_worker){
        .server = server, .index = index, .loop = loops_at(server->loops, index)};
    snprintf(worker->name, sizeof worker->name, "worker-%u", index);
    worker->log = log_writer(server->log, worker->name);
    if (worker->log == NULL)
        return false;
    struct net_config net = wiring_net_config(worker);
    if (net_open(&net, &worker->net) != OK)
        return false;
    struct dns_config dns = wiring_dns_config(worker);
    if (dns_open(&dns, &worker->dns) != OK) {
        fprintf(stderr, "strowger: DNS cannot be set up: see `dns.servers` and /etc/resolv.conf\n");
        return false;
    }
    struct core_config core = core_config_of(worker);
    if (core_open(&core, server->started_ms, server->started_wall_ms, &worker->core) != OK)
        return false;
    net_set_tls(worker->net, server->tls);
    wiring_hooks(worker);
    return true;
}

static enum err restore_aor(void *user, struct slice aor, struct slice block)
{
    struct server *server = user;

    for (unsigned i = 0; i < server->worker_count; i++)
        core_restore(server->workers[i].core, aor, block, server->started_wall_ms);
    return OK;
}

static bool restore_call(void *user, struct slice block)
{
    struct server *server = user;

    for (unsigned i = 0; i < server->worker_count; i++)
        core_restore_call(server->workers[i].core, block, server->started_ms,
                          server->started_wall_ms);
    return true;
}

/** Everything that outlived the run before. */
static bool restore(struct server *server)
{
    uint64_t lately_ms = server->started_wall_ms - CALLS_REMEMBERED_MS;

    if (store_load_bindings(server->store, server->started_wall_ms, restore_aor, server) != OK) {
        fprintf(stderr, "strowger: the bindings cannot be read back from the store\n");
        return false;
    }
    if (server->config->records &&
        store_load_calls(server->store, lately_ms, restore_call, server) != OK) {
        fprintf(stderr, "strowger: the calls cannot be read back from the store\n");
        return false;
    }
    return true;
}

static bool open_workers(struct server *server)
{
    if (store_last_call(server->store, &server->last_call) != OK) {
        fprintf(stderr, "strowger: the calls cannot be read back from the store\n");
        return false;
    }
    server->workers = calloc(server->worker_count, sizeof *server->workers);
    if (server->workers == NULL)
        return false;
    for (unsigned i = 0; i < server->worker_count; i++)
        if (!open_worker(server, i)) {
            fprintf(stderr, "strowger: worker %u could not be set up (see above)\n", i);
            return false;
        }
    return restore(server);
}

static bool open_api(struct server *server)
{
    char problem[API_PROBLEM_MAX] = "", holder[128];

    if (config_control_path(server->config, server->control_path, sizeof server->control_path) !=
        OK) {
        fprintf(stderr, "strowger: control: the path is too long, or its folder cannot be made\n");
        return false;
    }
    struct api_config config = wiring_api_config(server);
    if (api_open(&config, problem, &server->api) == OK)
        return true;
    fprintf(stderr, "strowger: HTTP cannot be served: %s", problem);
    bool http = strncmp(problem, "http:", 5) == 0;
    if (http && port_holder("tcp", &config.listen, holder, sizeof holder))
        fprintf(stderr, "; port %u is held by %s. End that, or give another port in `http.listen`",
                config.listen.port, holder);
    fprintf(stderr, "\n");
    return false;
}

static bool open_all(struct server *server)
{
    char problem[API_PROBLEM_MAX] = "";

    find_local_addrs(server);
    if (!open_log(server) || !certificates_open(server) || !open_sockets(server) ||
        !open_store(server) || !open_tables(server)) {
        fprintf(stderr, "strowger: not started\n");
        return false;
    }
    if (wiring_build_policy(server, &server->policy, problem) != OK) {
        fprintf(stderr, "strowger: the stored users make no policy: %s\n", problem);
        return false;
    }
    if (!server_push_open(server) || !open_workers(server))
        return false;
    find_memory_max(server);
    say_memory_max(server);
    return loops_start(server->loops) == OK && open_api(server);
}

/* ---- while it runs ---- */

static void print_ready(const struct server *server)
{
    char text[4096], addr[ADDR_TEXT_MAX];
    struct builder b = builder_over(text, sizeof text);

    builder_text(&b, "ready");
    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *listener = &server->listeners[i];
        builder_char(&b, ' ');
        builder_add(&b, slice_of(transport_word(listener->transport)));
        builder_char(&b, ':');
        builder_add(&b, slice_of(addr_text(&listener->bound, addr)));
    }
    if (!server->config->http.off) {
        builder_text(&b, " http:");
        builder_add(&b, slice_of(addr_text(&server->config->http.listen, addr)));
    }
    printf("%.*s\n", SLICE_ARG(builder_slice(&b)));
    fflush(stdout);
}

/** Reads the file again: a mistake in it changes nothing. */
static void reload(struct server *server)
{
    char file[4096], problem[API_PROBLEM_MAX] = "";

    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)clock_ms(CLOCK_MONOTONIC) * 1000);
    snprintf(file, sizeof file, "%.*s", SLICE_ARG(server->config->file));
    struct config *fresh = load_config(file[0] != '\0' ? file : NULL);
    if (fresh == NULL) {
        server_log(server, LOG_ERROR, "reload", "the file has errors: nothing was changed");
    } else {
        certificates_reload(server, fresh); /* what else it says needs a restart */
        if (wiring_policy_changed(server, problem) == OK)
            server_log(server, LOG_INFO, "reload",
                       "users and certificates read again; other settings of the file take effect "
                       "at the next start");
        else
            server_log(server, LOG_ERROR, "reload", problem);
    }
    sd_notify(0, "READY=1");
}

static void drain_worker(void *user, unsigned worker)
{
    struct server *server = user;
    core_drain(server->workers[worker].core);
}

/** Waits for a signal at most until `until_ms`; 0: none came. */
static int wait_signal(const sigset_t *signals, uint64_t until_ms)
{
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
    uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    struct timespec timeout = {(time_t)(left_ms / 1000), (long)(left_ms % 1000) * 1000000};
    int number = sigtimedwait(signals, NULL, &timeout);

    return number > 0 ? number : 0;
}

/** No new call, until nothing is in flight or the time is up; a second signal ends it at once. */
static void drain(struct server *server, const sigset_t *signals)
{
    uint64_t end_ms = clock_ms(CLOCK_MONOTONIC) + server->config->drain_ms;

    server->draining = true;
    sd_notify(0, "STOPPING=1");
    server_log(server, LOG_INFO, "drain", "no new calls; what is in flight finishes");
    if (loops_run_everywhere(server->loops, drain_worker, NULL, server) != OK)
        return;
    for (;;) {
        bool idle = true;
        server_collect_begin(server);
        for (unsigned i = 0; i < server->worker_count; i++)
            idle = idle && server->workers[i].idle;
        server_collect_end(server);
        uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);
        if (idle || now_ms >= end_ms)
            return;
        int number = wait_signal(signals, now_ms + 50 < end_ms ? now_ms + 50 : end_ms);
        if (number == SIGTERM || number == SIGINT)
            return;
    }
}

static void serve_until_stopped(struct server *server, const sigset_t *signals)
{
    uint64_t watchdog_us = 0;

    server->ready = true;
    print_ready(server);
    sd_notify(0, "READY=1");
    bool watched = sd_watchdog_enabled(0, &watchdog_us) > 0;
    for (;;) {
        uint64_t wait_ms = watched ? watchdog_us / 2000 : 3600000;
        if (server->tls != NULL && wait_ms > CERTIFICATES_MS)
            wait_ms = CERTIFICATES_MS;
        int number = wait_signal(signals, clock_ms(CLOCK_MONOTONIC) + wait_ms);
        if (number == SIGTERM || number == SIGINT)
            break;
        if (number == SIGHUP)
            reload(server);
        certificates_watch(server);
        if (watched) {
            server_collect_begin(server); /* every worker answers */
            server_collect_end(server);
            sd_notify(0, "WATCHDOG=1");
        }
    }
    drain(server, signals);
}

static void close_all(struct server *server)
{
    server->ready = false;
    if (server->api != NULL)
        api_close(server->api);
    if (server->loops != NULL)
        loops_stop(server->loops);
    push_close(server->push);
    for (unsigned i = 0; server->workers != NULL && i < server->worker_count; i++) {
        core_close(server->workers[i].core);
        dns_close(server->workers[i].dns);
        if (server->workers[i].net != NULL)
            net_close(server->workers[i].net);
    }
    if (server->sockets != NULL)
        net_sockets_close(server->sockets);
    if (server->store != NULL)
        store_close(server->store);
    if (server->loops != NULL)
        loops_close(server->loops);
    if (server->table != NULL)
        table_close(server->table);
    tls_free(server->tls);
    live_close(server->sources);
    policy_free(server->policy);
    if (server->log != NULL)
        log_close(server->log);
    free(server->workers);
    config_free(server->tls_config);
    config_free(server->config);
    sip_digest_release();
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int server_run(const char *config_file)
{
    sigset_t signals;
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return 1;

    /* All threads inherit the mask: signals are only waited for, by this one. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    pthread_mutex_init(&server->policy_lock, NULL);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->swapped, NULL);
    server->started_ms = clock_ms(CLOCK_MONOTONIC);
    server->started_wall_ms = clock_ms(CLOCK_REALTIME);
    server->config = load_config(config_file);
    bool ok = server->config != NULL;
    if (ok) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        server->worker_count = server->config->workers != 0 ? server->config->workers
                               : cores > 0                  ? (unsigned)cores
                                                            : 1;
        ok = open_all(server);
    }
    if (ok)
        serve_until_stopped(server, &signals);
    close_all(server);
    free(server);
    return ok ? 0 : 1;
}
