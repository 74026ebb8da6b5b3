/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <time.h>

#include "main/wiring.h"

static void copy_status(void *user, unsigned index)
{
    struct server *server = user;
    struct server_worker *worker = &server->workers[index];

    core_status(worker->core, &worker->status);
    net_counters(worker->net, &worker->net_counters);
    worker->idle = core_idle(worker->core);
}

static void all_copied(void *user, unsigned index)
{
    struct server *server = user;

    (void)index;
    pthread_mutex_lock(&server->lock);
    server->collecting = false;
    pthread_cond_broadcast(&server->swapped);
    pthread_mutex_unlock(&server->lock);
}

void server_collect_begin(struct server *server)
{
    pthread_mutex_lock(&server->policy_lock);
    server->collecting = true;
    if (loops_run_everywhere(server->loops, copy_status, all_copied, server) == OK) {
        pthread_mutex_lock(&server->lock);
        while (server->collecting)
            pthread_cond_wait(&server->swapped, &server->lock);
        pthread_mutex_unlock(&server->lock);
    }
}

void server_collect_end(struct server *server)
{
    pthread_mutex_unlock(&server->policy_lock);
}

/* ---- sums ---- */

static struct core_counters sum_counters(const struct server *server)
{
    struct core_counters sum;
    uint64_t *to = (uint64_t *)&sum;

    memset(&sum, 0, sizeof sum);
    for (unsigned w = 0; w < server->worker_count; w++) {
        const uint64_t *from = (const uint64_t *)&server->workers[w].status.counters;
        for (size_t i = 0; i < sizeof sum / sizeof *to; i++)
            to[i] += from[i];
    }
    return sum;
}

static uint64_t sum_net_refused(const struct server *server, enum net_reason reason)
{
    uint64_t sum = 0;

    for (unsigned w = 0; w < server->worker_count; w++)
        sum += server->workers[w].net_counters.refused[reason];
    return sum;
}

static uint64_t wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the status document ---- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *listeners_json(const struct server *server)
{
    json_t *list = json_array();
    char text[ADDR_TEXT_MAX + 8], addr[ADDR_TEXT_MAX];

    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        const struct listener *listener = &server->listeners[i];
        snprintf(text, sizeof text, "%s:%s", transport_word(listener->transport),
                 addr_text(&listener->bound, addr));
        json_array_append_new(list, json_string(text));
    }
    if (!server->config->http.off) {
        snprintf(text, sizeof text, "http:%s", addr_text(&server->config->http.listen, addr));
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *domains_json(const struct server *server)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < server->config->domains.count; i++) {
        struct slice domain = server->config->domains.items[i];
        json_array_append_new(list, json_stringn(domain.data, domain.len));
    }
    return list;
}

static bool is_overloaded(const struct server *server)
{
    for (unsigned w = 0; w < server->worker_count; w++)
        if (server->workers[w].status.overloaded)
            return true;
    return false;
}

static json_t *alarms_json(const struct server *server, const struct store_status *store)
{
    json_t *list = json_array();

    if (is_overloaded(server))
        json_array_append_new(list, json_string("overloaded: requests wait too long, new calls and "
                                                "registrations are refused"));

    if (store->journal_failing)
        json_array_append_new(
            list, json_string("the journal cannot be written: new registrations and calls "
                              "are refused. Look at the disk (space, errors)"));
    if (store->database_failing)
        json_array_append_new(list, json_string("the database cannot be written: the journal "
                                                "grows. Look at the disk (space, errors)"));
    if (store->journal_bytes > store->journal_bytes_max / 2)
        json_array_append_new(list, json_string("the journal is more than half full"));
    if (server_push_is_dead(server))
        json_array_append_new(list, json_string("the push gateway does not answer: sleeping phones "
                                                "are not woken (strowger push test USER)"));
    return list;
}

static json_t *workers_json(const struct server *server)
{
    json_t *list = json_array();

    for (unsigned w = 0; w < server->worker_count; w++) {
        const struct server_worker *worker = &server->workers[w];
        struct loop_counters loop;
        loops_counters(server->loops, w, &loop);
        uint64_t up_us = (wall_ms() - server->started_wall_ms) * 1000 + 1;
        uint64_t busy_percent = 100 * loop.busy_us / up_us;
        uint64_t received =
            worker->net_counters.udp_received + worker->net_counters.stream_received;
        json_array_append_new(list,
                              json_pack("{s:i, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                                        "worker", (int)w, "busy_percent", (json_int_t)busy_percent,
                                        "overloaded", (int)worker->status.overloaded, "queue_ms",
                                        (json_int_t)worker->status.queue_ms, "transactions",
                                        (json_int_t)worker->status.transactions, "contexts",
                                        (json_int_t)worker->status.contexts, "connections",
                                        (json_int_t)worker->net_counters.connections,
                                        "memory_bytes", (json_int_t)worker->status.memory_held,
                                        "received", (json_int_t)received, "letters_refused",
                                        (json_int_t)loop.letters_refused));
    }
    return list;
}

static json_t *requests_json(const struct core_counters *counters)
{
    json_t *object = json_object();

    for (int method = 0; method < SIP_METHOD_COUNT; method++) {
        struct slice name =
            method == SIP_METHOD_OTHER ? SLICE("other") : sip_method_name((enum sip_method)method);
        char text[32];
        snprintf(text, sizeof text, "%.*s", SLICE_ARG(name));
        if (counters->received[method] > 0)
            json_object_set_new(object, text, number(counters->received[method]));
    }
    return object;
}

static json_t *refused_json(const struct server *server, const struct core_counters *counters)
{
    json_t *object = json_object();

    for (int reason = CORE_R_NONE + 1; reason < CORE_R_COUNT; reason++)
        if (counters->refused[reason] > 0)
            json_object_set_new(object, core_reason_name((enum core_reason)reason),
                                number(counters->refused[reason]));
    for (int reason = 0; reason < NET_R_COUNT; reason++) {
        uint64_t count = sum_net_refused(server, (enum net_reason)reason);
        if (count > 0)
            json_object_set_new(object, net_reason_name((enum net_reason)reason), number(count));
    }
    return object;
}

/** Calls that cannot have audio, by what is missing. */
static json_t *no_audio_json(const struct core_counters *counters)
{
    json_t *object = json_object();

    for (int gap = CORE_MEDIA_FITS + 1; gap < CORE_MEDIA_COUNT; gap++)
        if (counters->media_gaps[gap] > 0)
            json_object_set_new(object, core_media_gap_name((enum core_media_gap)gap),
                                json_pack("{s:I, s:s}", "calls",
                                          (json_int_t)counters->media_gaps[gap], "missing",
                                          core_media_gap_missing((enum core_media_gap)gap)));
    return object;
}

/** Every worker is told of all. */
static uint32_t most_bars(const struct server *server)
{
    uint32_t most = 0;

    for (unsigned w = 0; w < server->worker_count; w++)
        if (server->workers[w].status.bars > most)
            most = server->workers[w].status.bars;
    return most;
}

/** Of all workers. */
static struct resolve_counters sum_dns(const struct server *server, uint32_t *waiting)
{
    struct resolve_counters sum = {0};

    *waiting = 0;
    for (unsigned w = 0; w < server->worker_count; w++) {
        const struct resolve_counters *dns = &server->workers[w].status.dns;
        sum.lookups += dns->lookups;
        sum.no_answer += dns->no_answer;
        sum.nothing += dns->nothing + dns->unusable;
        sum.questions += dns->questions;
        sum.answers += dns->answers;
        sum.answers_nothing += dns->answers_nothing;
        sum.answers_failed += dns->answers_failed;
        sum.cache_hits += dns->cache_hits;
        sum.stale += dns->stale;
        sum.late += dns->late;
        sum.full += dns->full;
        sum.evicted += dns->evicted;
        sum.cut += dns->cut;
        sum.dead += dns->dead;
        sum.recovered += dns->recovered;
        sum.cached += dns->cached;
        sum.dead_now += dns->dead_now;
        *waiting += server->workers[w].status.dns_waiting;
    }
    return sum;
}

static json_t *dns_json(const struct server *server)
{
    uint32_t waiting;
    struct resolve_counters dns = sum_dns(server, &waiting);

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
                     "requests_waiting", (json_int_t)waiting, "names_waited_for",
                     (json_int_t)dns.lookups, "no_answer", (json_int_t)dns.no_answer, "late",
                     (json_int_t)dns.late, "questions", (json_int_t)dns.questions, "failed",
                     (json_int_t)dns.answers_failed, "cached", (json_int_t)dns.cached, "cache_hits",
                     (json_int_t)dns.cache_hits, "stale", (json_int_t)dns.stale, "dead_targets",
                     (json_int_t)dns.dead_now, "died", (json_int_t)dns.dead, "recovered",
                     (json_int_t)dns.recovered);
}

/** What connections over TLS come to, of all workers. */
struct tls_sum {
    uint64_t handshakes, resumed, refused;
    uint32_t connections, handshaking;
};

static struct tls_sum sum_tls(const struct server *server)
{
    static const enum net_reason reasons[] = {NET_R_HANDSHAKE,  NET_R_SLOW_HANDSHAKE,
                                              NET_R_HANDSHAKES, NET_R_TLS_MEMORY,
                                              NET_R_NO_TLS,     NET_R_NAME};
    struct tls_sum sum = {0};

    for (unsigned w = 0; w < server->worker_count; w++) {
        const struct net_counters *net = &server->workers[w].net_counters;
        sum.handshakes += net->handshakes;
        sum.resumed += net->resumed;
        sum.connections += net->tls_connections;
        sum.handshaking += net->handshaking;
    }
    for (size_t i = 0; i < COUNT_OF(reasons); i++)
        sum.refused += sum_net_refused(server, reasons[i]);
    return sum;
}

static json_t *tls_json(const struct server *server)
{
    struct tls_sum tls = sum_tls(server);

    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "connections", (json_int_t)tls.connections,
                     "handshaking", (json_int_t)tls.handshaking, "handshakes",
                     (json_int_t)tls.handshakes, "resumed", (json_int_t)tls.resumed, "refused",
                     (json_int_t)tls.refused);
}

/** One that has a single value. */
struct metric {
    const char *name, *type, *help;
    uint64_t value;
};

static void write_metrics(const struct metric *metrics, size_t count, struct api_text *out)
{
    for (size_t i = 0; i < count; i++) {
        api_metric(out, metrics[i].name, metrics[i].type, metrics[i].help);
        api_sample(out, metrics[i].name, NULL, metrics[i].value);
    }
}

static void dns_metrics(const struct server *server, struct api_text *out)
{
    uint32_t waiting;
    struct resolve_counters dns = sum_dns(server, &waiting);
    const struct metric metrics[] = {
        {"strowger_dns_requests_waiting", "gauge", "Requests that wait for a name.", waiting},
        {"strowger_dns_lookups_total", "counter", "Names that had to be waited for.", dns.lookups},
        {"strowger_dns_late_total", "counter", "Names that took longer than dns.wait.", dns.late},
        {"strowger_dns_full_total", "counter", "Names refused: too many at once.", dns.full},
        {"strowger_dns_questions_total", "counter", "Questions to the DNS.", dns.questions},
        {"strowger_dns_answers_total", "counter", "Answers with records.", dns.answers},
        {"strowger_dns_answers_nothing_total", "counter", "Answers that there is nothing.",
         dns.answers_nothing},
        {"strowger_dns_answers_failed_total", "counter",
         "Questions without an answer, or with an error.", dns.answers_failed},
        {"strowger_dns_cached", "gauge", "Answers in the caches.", dns.cached},
        {"strowger_dns_cache_hits_total", "counter", "Answers that were there.", dns.cache_hits},
        {"strowger_dns_cache_evicted_total", "counter", "Answers that made room for others.",
         dns.evicted},
        {"strowger_dns_stale_total", "counter", "Old answers used for want of new ones.",
         dns.stale},
        {"strowger_dns_cut_total", "counter", "Addresses beyond those that are tried.", dns.cut},
        {"strowger_dead_targets", "gauge", "Targets that are tried last.", dns.dead_now},
        {"strowger_target_failures_total", "counter", "Times that a target was found dead.",
         dns.dead},
        {"strowger_target_recoveries_total", "counter", "Dead targets that answered again.",
         dns.recovered},
    };

    write_metrics(metrics, COUNT_OF(metrics), out);
}

static void tls_metrics(const struct server *server, struct api_text *out)
{
    struct tls_sum tls = sum_tls(server);
    const struct metric metrics[] = {
        {"strowger_tls_connections", "gauge", "Connections over TLS.", tls.connections},
        {"strowger_tls_handshaking", "gauge", "Of those, with a handshake under way.",
         tls.handshaking},
        {"strowger_tls_handshakes_total", "counter", "TLS handshakes that came to their end.",
         tls.handshakes},
        {"strowger_tls_handshakes_resumed_total", "counter",
         "Of those, with the session of an earlier connection.", tls.resumed},
        {"strowger_tls_refused_total", "counter",
         "Connections over TLS that failed or were refused before they could be used.",
         tls.refused},
    };

    write_metrics(metrics, COUNT_OF(metrics), out);
}

static json_t *store_json(const struct store_status *store)
{
    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kind",
        store->memory ? "memory" : "sqlite", "appended", (json_int_t)store->appended, "synced",
        (json_int_t)store->synced, "applied", (json_int_t)store->applied, "failed",
        (json_int_t)store->failed, "refused_full", (json_int_t)store->refused_full, "journal_bytes",
        (json_int_t)store->journal_bytes, "journal_depth", (json_int_t)store->journal_depth,
        "last_sync_us", (json_int_t)store->last_sync_us, "max_sync_us",
        (json_int_t)store->max_sync_us);
}

static json_t *memory_json(const struct server_memory *memory)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)memory->total,
                     "calls", (json_int_t)memory->calls, "location", (json_int_t)memory->location,
                     "connections", (json_int_t)memory->connections, "guard",
                     (json_int_t)memory->guard, "mailboxes", (json_int_t)memory->mailboxes, "store",
                     (json_int_t)memory->store, "push", (json_int_t)memory->push);
}

json_t *server_status_json(void *user)
{
    struct server *server = user;
    struct store_status store;
    struct table_status table;

    server_collect_begin(server);
    store_status(server->store, &store);
    table_status(server->table, &table);
    struct core_counters counters = sum_counters(server);
    const char *state = server->draining ? "draining" : server->ready ? "running" : "starting";
    json_t *json = json_pack(
        "{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:{s:I, s:I}, s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o, "
        "s:{s:I, s:I, s:I}, s:o, s:o, s:o, s:o, s:o}",
        "state", state, "version", STROWGER_VERSION, "uptime_s",
        (json_int_t)((wall_ms() - server->started_wall_ms) / 1000), "boot",
        (json_int_t)store_boot(server->store), "alarms", alarms_json(server, &store), "listeners",
        listeners_json(server), "domains", domains_json(server), "policy", "version",
        (json_int_t)server->policy_version, "users", (json_int_t)policy_user_count(server->policy),
        "location", "aors", (json_int_t)table.entries, "bytes", (json_int_t)table.entry_bytes,
        "array_bytes", (json_int_t)table.array_bytes, "store", store_json(&store), "requests",
        requests_json(&counters), "refused", refused_json(server, &counters), "workers",
        workers_json(server), "bans", "now", (json_int_t)most_bars(server), "since_start",
        (json_int_t)counters.bars, "logins_failed", (json_int_t)counters.logins_failed,
        "memory_max", memory_json(&server->memory), "dns", dns_json(server), "tls",
        tls_json(server), "no_audio", no_audio_json(&counters), "push",
        server_push_json(server, &counters));
    server_collect_end(server);
    return json;
}

/* ---- metrics ---- */

static void requests_metrics(const struct core_counters *counters, struct api_text *out)
{
    char label[64];

    api_metric(out, "strowger_requests_total", "counter", "Requests received, by method.");
    for (int method = 0; method < SIP_METHOD_COUNT; method++) {
        struct slice name =
            method == SIP_METHOD_OTHER ? SLICE("other") : sip_method_name((enum sip_method)method);
        snprintf(label, sizeof label, "method=\"%.*s\"", SLICE_ARG(name));
        api_sample(out, "strowger_requests_total", label, counters->received[method]);
    }
    api_metric(out, "strowger_responses_total", "counter", "Responses received.");
    api_sample(out, "strowger_responses_total", NULL, counters->responses_received);
    api_metric(out, "strowger_refused_total", "counter",
               "Requests refused or dropped by the core, by reason.");
    for (int reason = CORE_R_NONE + 1; reason < CORE_R_COUNT; reason++) {
        snprintf(label, sizeof label, "reason=\"%s\"", core_reason_name((enum core_reason)reason));
        api_sample(out, "strowger_refused_total", label, counters->refused[reason]);
    }
    api_metric(out, "strowger_no_audio_calls_total", "counter",
               "Calls whose two sides cannot hear each other, by what is missing.");
    for (int gap = CORE_MEDIA_FITS + 1; gap < CORE_MEDIA_COUNT; gap++) {
        snprintf(label, sizeof label, "reason=\"%s\"",
                 core_media_gap_name((enum core_media_gap)gap));
        api_sample(out, "strowger_no_audio_calls_total", label, counters->media_gaps[gap]);
    }
    static const char *const changes[] = {"registered", "refreshed", "unregistered", "expired"};
    const uint64_t values[] = {counters->registered, counters->refreshed, counters->unregistered,
                               counters->expired};
    api_metric(out, "strowger_bindings_total", "counter", "Changes of bindings.");
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        snprintf(label, sizeof label, "change=\"%s\"", changes[i]);
        api_sample(out, "strowger_bindings_total", label, values[i]);
    }
    api_metric(out, "strowger_stun_answers_total", "counter",
               "Phones told by which address they are seen (STUN).");
    api_sample(out, "strowger_stun_answers_total", NULL, counters->stun_answers);
    api_metric(out, "strowger_callers_lost_total", "counter",
               "Calls given up because the caller's WebSocket was lost while they rang.");
    api_sample(out, "strowger_callers_lost_total", NULL, counters->callers_lost);
    static const char *const pings[] = {"sent", "answered", "unanswered"};
    const uint64_t ping_values[] = {counters->pings, counters->pings_answered,
                                    counters->pings_unanswered};
    api_metric(out, "strowger_nat_pings_total", "counter", "Keepalives to phones behind NATs.");
    for (size_t i = 0; i < COUNT_OF(pings); i++) {
        snprintf(label, sizeof label, "what=\"%s\"", pings[i]);
        api_sample(out, "strowger_nat_pings_total", label, ping_values[i]);
    }
}

static void guard_metrics(const struct server *server, const struct core_counters *counters,
                          struct api_text *out)
{
    api_metric(out, "strowger_logins_failed_total", "counter",
               "Wrong passwords and unknown users, with a challenge of ours.");
    api_sample(out, "strowger_logins_failed_total", NULL, counters->logins_failed);
    api_metric(out, "strowger_bans_total", "counter", "Addresses and users at one, barred so far.");
    api_sample(out, "strowger_bans_total", NULL, counters->bars);
    api_metric(out, "strowger_bans", "gauge", "The same, barred now.");
    api_sample(out, "strowger_bans", NULL, most_bars(server));
}

static void net_metrics(const struct server *server, struct api_text *out)
{
    char label[64];

    api_metric(out, "strowger_net_refused_total", "counter",
               "What the sockets refused, dropped or closed, by reason.");
    for (int reason = 0; reason < NET_R_COUNT; reason++) {
        snprintf(label, sizeof label, "reason=\"%s\"", net_reason_name((enum net_reason)reason));
        api_sample(out, "strowger_net_refused_total", label,
                   sum_net_refused(server, (enum net_reason)reason));
    }
}

/** One sample per worker of a member of struct server_worker. */
#define WORKER_METRIC(name, type, help, member)                                                    \
    do {                                                                                           \
        api_metric(out, name, type, help);                                                         \
        for (unsigned w = 0; w < server->worker_count; w++) {                                      \
            snprintf(label, sizeof label, "worker=\"%u\"", w);                                     \
            api_sample(out, name, label, server->workers[w].member);                               \
        }                                                                                          \
    } while (0)

static void worker_metrics(const struct server *server, struct api_text *out)
{
    char label[64];

    WORKER_METRIC("strowger_overloaded", "gauge", "1: new calls and registrations are refused.",
                  status.overloaded);
    WORKER_METRIC("strowger_queue_milliseconds", "gauge",
                  "The longest wait of a message for its worker in the last seconds.",
                  status.queue_ms);
    WORKER_METRIC("strowger_transactions", "gauge", "Transactions that live.", status.transactions);
    WORKER_METRIC("strowger_response_contexts", "gauge", "Requests on their way through.",
                  status.contexts);
    WORKER_METRIC("strowger_nat_silent", "gauge",
                  "Phones behind NATs that do not answer keepalives.", status.silent);
    WORKER_METRIC("strowger_registrations_waiting", "gauge", "REGISTERs that wait for the journal.",
                  status.registrations_waiting);
    WORKER_METRIC("strowger_memory_bytes", "gauge", "Memory held by the core.", status.memory_held);
    WORKER_METRIC("strowger_connections", "gauge", "Stream connections.", net_counters.connections);
    WORKER_METRIC("strowger_datagrams_received_total", "counter", "UDP datagrams.",
                  net_counters.udp_received);
    WORKER_METRIC("strowger_datagrams_sent_total", "counter", "UDP datagrams.",
                  net_counters.udp_sent);
    WORKER_METRIC("strowger_stream_messages_received_total", "counter", "Messages on streams.",
                  net_counters.stream_received);
    WORKER_METRIC("strowger_stream_messages_sent_total", "counter", "Messages on streams.",
                  net_counters.stream_sent);
    WORKER_METRIC("strowger_websockets_opened_total", "counter",
                  "Connections that became a WebSocket.", net_counters.upgraded);
    WORKER_METRIC("strowger_stream_reads_denied_total", "counter",
                  "Times that a stream was not read: its peer had sent more than it may.",
                  net_counters.reading_denied);
    WORKER_METRIC("strowger_requests_too_large_for_udp_total", "counter",
                  "Requests that went by TCP for their size.", status.proxy.streams);
    WORKER_METRIC("strowger_requests_back_to_udp_total", "counter",
                  "Of those, requests that went by UDP after all: no connection could be had.",
                  status.proxy.stream_fallbacks);
    WORKER_METRIC("strowger_requests_resent_total", "counter", "Retransmissions of requests.",
                  status.txn.requests_resent);
    WORKER_METRIC("strowger_responses_resent_total", "counter", "Retransmissions of responses.",
                  status.txn.responses_resent);
    WORKER_METRIC("strowger_retransmissions_absorbed_total", "counter",
                  "Retransmitted requests absorbed.", status.txn.request_retransmissions_absorbed);
}

static void store_metrics(const struct server *server, struct api_text *out)
{
    struct store_status store;
    struct table_status table;

    store_status(server->store, &store);
    table_status(server->table, &table);
    const struct metric metrics[] = {
        {"strowger_location_aors", "gauge", "Addresses-of-record in the location table.",
         table.entries},
        {"strowger_location_bytes", "gauge", "Memory of the location table.",
         table.entry_bytes + table.array_bytes},
        {"strowger_store_appended_total", "counter", "Durable operations taken.", store.appended},
        {"strowger_store_synced_total", "counter", "Durable operations with a receipt.",
         store.synced},
        {"strowger_store_failed_total", "counter", "Durable operations that failed.", store.failed},
        {"strowger_store_refused_total", "counter", "Durable operations refused: journal full.",
         store.refused_full},
        {"strowger_store_applied_total", "counter", "Durable operations in the database.",
         store.applied},
        {"strowger_store_syncs_total", "counter", "Group syncs of the journal.", store.syncs},
        {"strowger_store_journal_bytes", "gauge", "Bytes of the journal.", store.journal_bytes},
        {"strowger_store_journal_depth", "gauge", "Operations not yet in the database.",
         store.journal_depth},
        {"strowger_store_failing", "gauge", "1: the journal or the database cannot be written.",
         store.journal_failing || store.database_failing},
        {"strowger_log_lines_lost_total", "counter", "Log lines lost.", log_lost(server->log)},
    };

    write_metrics(metrics, COUNT_OF(metrics), out);
}

void server_metrics(void *user, struct api_text *out)
{
    struct server *server = user;

    server_collect_begin(server);
    struct core_counters counters = sum_counters(server);
    api_metric(out, "strowger_info", "gauge", "The version.");
    api_sample(out, "strowger_info", "version=\"" STROWGER_VERSION "\"", 1);
    requests_metrics(&counters, out);
    guard_metrics(server, &counters, out);
    net_metrics(server, out);
    dns_metrics(server, out);
    tls_metrics(server, out);
    server_calls_metrics(server, out);
    server_push_metrics(server, &counters, out);
    worker_metrics(server, out);
    store_metrics(server, out);
    server_collect_end(server);
}
