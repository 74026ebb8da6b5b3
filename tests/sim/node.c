/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/node - the program's own part: workers' cores, mailboxes, location table, store.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/call_record.h"
#include "core/internal.h"
#include "sim.h"

enum {
    PUSH_FOR_MS = 15000 /* so long at least the gateway's word is waited for */
};

/* ---- the location table, and what is durable: naive on purpose ---- */

static struct stored **map_slot(struct sim_map *map, struct slice key, uint64_t hash)
{
    struct stored **at = &map->heads[hash % COUNT_OF(map->heads)];

    while (*at != NULL && !slice_equal((struct slice){(*at)->key, (*at)->key_len}, key))
        at = &(*at)->next;
    return at;
}

static void stored_free(struct stored *stored)
{
    free(stored->key);
    free(stored->block);
    free(stored);
}

/** What readers may still hold is freed when the turn ends. */
static void map_retire(struct sim_map *map, struct stored **slot)
{
    struct stored *old = *slot;

    *slot = old->next;
    old->next = map->retired;
    map->retired = old;
    map->count--;
}

static void map_end_turn(struct sim_map *map)
{
    while (map->retired != NULL) {
        struct stored *old = map->retired;
        map->retired = old->next;
        stored_free(old);
    }
}

static char *copy_of(struct slice s)
{
    char *copy = malloc(s.len + 1);
    if (copy == NULL)
        abort();
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

static void map_put(struct sim_map *map, struct slice key, uint64_t hash, struct slice block,
                    uint32_t note)
{
    struct stored **slot = map_slot(map, key, hash);
    struct stored *fresh = NULL;

    if (block.len > 0) {
        fresh = calloc(1, sizeof *fresh);
        if (fresh == NULL)
            abort();
        *fresh = (struct stored){.key = copy_of(key),
                                 .key_len = key.len,
                                 .block = copy_of(block),
                                 .block_len = block.len,
                                 .hash = hash,
                                 .note = note};
    }
    if (*slot != NULL)
        map_retire(map, slot);
    if (fresh != NULL) {
        fresh->next = *slot;
        *slot = fresh;
        map->count++;
    }
}

struct slice sim_map_find(const struct sim_map *map, struct slice key, uint64_t hash)
{
    for (struct stored *at = map->heads[hash % COUNT_OF(map->heads)]; at != NULL; at = at->next)
        if (slice_equal((struct slice){at->key, at->key_len}, key))
            return (struct slice){at->block, at->block_len};
    return SLICE_EMPTY;
}

static void map_clear(struct sim_map *map)
{
    map_end_turn(map);
    for (size_t i = 0; i < COUNT_OF(map->heads); i++)
        while (map->heads[i] != NULL)
            map_retire(map, &map->heads[i]);
    map_end_turn(map);
}

static struct slice table_find(void *user, struct slice key, uint64_t hash)
{
    const struct sim *sim = user;
    return sim_map_find(&sim->location, key, hash);
}

static struct slice table_find_hash(void *user, uint64_t hash, struct slice *key)
{
    const struct sim *sim = user;

    for (struct stored *at = sim->location.heads[hash % COUNT_OF(sim->location.heads)]; at != NULL;
         at = at->next)
        if (at->hash == hash) {
            *key = (struct slice){at->key, at->key_len};
            return (struct slice){at->block, at->block_len};
        }
    return SLICE_EMPTY;
}

static enum err table_put(void *user, struct slice key, uint64_t hash, struct slice block,
                          uint32_t note)
{
    struct sim *sim = user;
    struct slice durable = sim_map_find(&sim->durable, key, hash);

    if (block.len == 0)
        sim_fail(sim, "an empty block was put");
    (void)durable;
    map_put(&sim->location, key, hash, block, note);
    return OK;
}

static void table_remove(void *user, struct slice key, uint64_t hash)
{
    struct sim *sim = user;
    map_put(&sim->location, key, hash, SLICE_EMPTY, 0);
}

static uint64_t table_places(void *user, unsigned worker)
{
    const struct sim *sim = user;
    (void)worker;
    return COUNT_OF(sim->location.heads) * (uint64_t)SIM_PHONES_MAX;
}

/** Place n: the entry number n / heads of its list. */
static const struct stored *stored_at(const struct sim *sim, uint64_t place)
{
    const struct stored *at = sim->location.heads[place % COUNT_OF(sim->location.heads)];

    for (uint64_t n = place / COUNT_OF(sim->location.heads); at != NULL && n > 0; n--)
        at = at->next;
    return at;
}

static struct slice table_next(void *user, struct table_search *search, struct slice *key,
                               uint64_t *hash)
{
    const struct sim *sim = user;

    while (search->place < search->end) {
        const struct stored *at = stored_at(sim, search->place++);
        if (at == NULL || table_owner(at->hash, sim->knobs.workers) != search->worker ||
            (at->note & search->mask) == 0 || (at->note & search->mask) > search->max)
            continue;
        *key = (struct slice){at->key, at->key_len};
        *hash = at->hash;
        return (struct slice){at->block, at->block_len};
    }
    return SLICE_EMPTY;
}

uint64_t node_key_hash(const struct sim *sim, struct slice key)
{
    (void)sim;
    return hash_bytes(77, key); /* hash_seed of every core here */
}

bool block_has_contact(struct slice block, struct slice contact, uint64_t wall_ms)
{
    uint32_t cursor = 0;
    struct binding binding;

    while (block.len > 0 && binding_next(block, &cursor, &binding))
        if (slice_equal(binding.contact, contact) && binding.expires_ms > wall_ms)
            return true;
    return false;
}

/* ---- the store ---- */

struct append_user {
    struct sim *sim;
    uint32_t worker;
};
static struct append_user append_users[SIM_WORKERS_MAX];

static enum err store_append(void *user, const struct durable_op *op, struct id token)
{
    struct append_user *who = user;
    struct sim *sim = who->sim;

    if (sim->now_ms < sim->disk_full_until_ms || sim_chance(sim, sim->knobs.store_full_pct))
        return ERR_FULL;
    struct store_op *made = calloc(1, sizeof *made);
    if (made == NULL)
        abort();
    *made = (struct store_op){
        .number = ++sim->op_number,
        .worker = who->worker,
        .kind = op->kind,
        .token = token,
        .key = copy_of(op->key),
        .key_len = op->key.len,
        .block = copy_of(op->value),
        .block_len = op->value.len,
        .fails = sim_chance(sim, sim->knobs.store_fail_pct),
    };
    *sim->ops_end = made;
    sim->ops_end = &made->next;
    sim_post(sim, (struct sim_event){
                      .due_ms = sim->now_ms + sim_range(sim, 0, sim->knobs.store_delay_max_ms),
                      .kind = EVENT_RECEIPT,
                      .boot = sim->boot,
                      .c = made->number,
                  });
    return OK;
}

static void op_free(struct store_op *op)
{
    free(op->key);
    free(op->block);
    free(op);
}

/** The first operation that waits becomes durable (or fails) and is taken off. */
static struct store_op *sync_first(struct sim *sim)
{
    struct store_op *op = sim->ops;

    sim->ops = op->next;
    if (sim->ops == NULL)
        sim->ops_end = &sim->ops;
    struct slice key = {op->key, op->key_len};
    struct sim_map *map = op->kind == DURABLE_CALL ? &sim->records : &sim->durable;
    if (!op->fails)
        map_put(map, key, node_key_hash(sim, key), (struct slice){op->block, op->block_len}, 0);
    map_end_turn(map);
    return op;
}

static void end_turn(struct sim *sim);

void node_receipt(struct sim *sim, const struct sim_event *event)
{
    if (!sim->node_up || event->boot != sim->boot)
        return;
    /* a group: everything up to this operation */
    while (sim->ops != NULL && sim->ops->number <= event->c) {
        struct store_op *op = sync_first(sim);
        struct node_worker *worker = &sim->workers[op->worker];
        core_receipt(worker->core, op->token, op->fails ? ERR_IO : OK, sim->now_ms, sim_wall(sim));
        op_free(op);
    }
    end_turn(sim);
}

/* ---- what the core reaches the world through ---- */

/** Who is at the other end of a flow: a phone or the other proxy; UINT32_MAX: nobody. */
static uint32_t peer_at(const struct sim *sim, const struct flow *flow)
{
    bool v6 = flow->remote.family == ADDR_V6;
    uint32_t index = flow->remote.bytes[v6 ? 15 : 3];
    bool known =
        (index >= 1 && index <= sim->knobs.phones) || (index == SIM_ROUTER && sim->knobs.router);
    if (!known || sim->phones[index].v6 != v6)
        return UINT32_MAX;

    struct addr addr = sim_addr(index, v6);
    if (!addr_same_host(&addr, &flow->remote))
        return UINT32_MAX;
    const struct phone *phone = &sim->phones[index];
    if (flow->listener != (phone->v6 ? 2 : phone->tcp ? 1 : 0))
        return UINT32_MAX; /* it would leave by another socket */
    return phone->tcp || flow->remote.port == phone_port(phone) ? index : UINT32_MAX;
}

/** Does it lead back to the node? */
static bool is_to_itself(const struct sim *sim, const struct flow *flow)
{
    return sim->knobs.looped && flow->remote.bytes[2] == 0 && flow->remote.port == 5060;
}

/**
 * A request that is too long for UDP is tried by a stream (section 18.1.1), but who is meant takes
 * datagrams only: the connection is refused at once, and nobody sees more of it.
 */
static bool is_refused_at_once(const struct sim *sim, const struct outbox_item *item,
                               const char *bytes)
{
    struct flow datagram = item->to;

    if (item->to.transport != TRANSPORT_TCP || item->len <= PROXY_UDP_MAX || text_status(bytes) > 0)
        return false;
    datagram.listener = datagram.remote.family == ADDR_V6 ? 2 : 0;
    uint32_t peer = peer_at(sim, &datagram);
    return is_to_itself(sim, &item->to) || (peer != UINT32_MAX && !sim->phones[peer].tcp);
}

static uint32_t worker_of(const struct sim *sim, const struct outbox *outbox)
{
    uint32_t worker = 0;

    while (&sim->workers[worker].outbox != outbox)
        worker++;
    return worker;
}

static void keep_refused(struct sim *sim, const struct outbox *outbox, const char *bytes,
                         size_t len)
{
    struct sim_refused *refused = calloc(1, sizeof *refused);
    if (refused == NULL)
        abort();
    refused->worker = worker_of(sim, outbox);
    refused->len = len < sizeof refused->bytes ? len : sizeof refused->bytes;
    memcpy(refused->bytes, bytes, refused->len);
    sim_trace(sim, "    refused at once: %.*s", (int)strcspn(bytes, "\r"), bytes);
    refused->next = sim->refused;
    sim->refused = refused;
}

static void flush_outbox(struct outbox *outbox, void *user)
{
    struct sim *sim = user;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_item *item = &outbox->items[i];
        const char *bytes = outbox->buffer + item->offset;
        if (far_takes(sim, worker_of(sim, outbox), &item->to, bytes, item->len)) {
            sim->sent_by_node++;
            continue;
        }
        uint32_t to = peer_at(sim, &item->to);
        bool tcp = to != UINT32_MAX && sim->phones[to].tcp;

        if (is_refused_at_once(sim, item, bytes)) {
            keep_refused(sim, outbox, bytes, item->len);
            continue;
        }
        sim->sent_by_node++;
        if (is_to_itself(sim, &item->to))
            to = SIM_NODE;
        if (item->to.transport != (tcp ? TRANSPORT_TCP : TRANSPORT_UDP) || to == UINT32_MAX) {
            sim_fail(sim, "sent to nowhere: %.*s", 60, bytes);
            continue;
        }
        char *text = malloc((size_t)item->len + 1);
        if (text == NULL)
            abort();
        memcpy(text, bytes, item->len);
        text[item->len] = '\0';
        check_sent_by_node(sim, to, text, item->len);
        bool gone = tcp && (!flow_has_conn(&item->to) ||
                            !node_has_conn(sim, to, item->to.conn.id.generation));
        if (gone)
            watch_gone(sim, text);
        if (gone || (sim->phones[to].manner == MANNER_CLOSED && sim->knobs.dead_pct > 0)) {
            struct sim_event event = {
                .due_ms = sim->now_ms + 1,
                .kind = EVENT_REFUSED,
                .to = (uint32_t)(outbox == &sim->workers[0].outbox ? 0 : 1) % sim->knobs.workers,
                .boot = sim->boot,
                .a = !tcp && to % 16 != 13, /* else a router on the way says so */
                .bytes = text,
                .len = item->len < 300 ? item->len : 300,
            };
            sim_post(sim, event);
            continue;
        }
        sim_send(sim, SIM_NODE, to, text, item->len);
        free(text);
    }
    outbox->count = 0;
    outbox->used = 0;
}

static void note_refused(struct sim *sim, const char *text, bool told, bool closed)
{
    if (!hops_refused(sim, text, told))
        watch_refused(sim, text, told, closed);
}

static bool post_mail(void *user, unsigned worker, const struct core_mail *mail)
{
    struct sim *sim = user;
    struct node_worker *to = &sim->workers[worker];

    if (mail->kind == CORE_MAIL_MESSAGE || mail->kind == CORE_MAIL_SEND_FAILED)
        sim->posted = true;
    /* A stream is not read while a mailbox has little room (loop_pressed()): nothing of it is lost.
     */
    bool kept =
        mail->kind == CORE_MAIL_MESSAGE && transport_reliable((enum transport)mail->flow.transport);
    if (!kept && sim_chance(sim, sim->knobs.mailbox_full_pct)) {
        if (mail->kind == CORE_MAIL_SEND_FAILED) {
            char *text = copy_of(mail->bytes);
            note_refused(sim, text, false, mail->number != 0);
            free(text);
        }
        return false;
    }
    uint64_t at_ms = sim->now_ms + sim_range(sim, 0, 1);
    if (at_ms < to->mail_at_ms)
        at_ms = to->mail_at_ms;
    to->mail_at_ms = at_ms;
    struct sim_event event = {.due_ms = at_ms,
                              .kind = EVENT_MAIL,
                              .from = sim->turn_from,
                              .b = sim->turn_conn,
                              .to = worker,
                              .boot = sim->boot,
                              .c = sim->turn_waited_ms,
                              .mail = *mail};
    event.len = mail->bytes.len;
    event.bytes = copy_of(mail->bytes);
    event.mail.bytes.data = event.bytes;
    sim_post(sim, event);
    return true;
}

/** The push gateway: it takes its time, loses some, and refuses some; now and then its queue is
 * full. */
static bool push_phone(void *user, const struct core_push *push)
{
    struct sim *sim = user;
    char prid[16];
    unsigned phone = 0;

    snprintf(prid, sizeof prid, "%.*s", SLICE_ARG(push->prid));
    if (sscanf(prid, "p%u", &phone) != 1 || !phone_sleeps(sim, &sim->phones[phone]))
        sim_fail(sim, "phone %s is woken, which does not sleep", prid);
    if (sim->push_gone[phone])
        sim_fail(sim, "phone %u is woken, which its push service does not know", phone);
    if (sim_chance(sim, 5))
        return false;
    bool refused = sim_chance(sim, 10);
    sim->pushes++;
    sim->pushed_ms[phone] = sim->now_ms;
    enum core_push_answer no = sim->pushes % 2 == 0 ? CORE_PUSH_GONE : CORE_PUSH_FAILED;
    sim_trace(sim, "    phone %u is woken%s", phone, refused ? ": refused" : "");
    sim_post(sim, (struct sim_event){
                      .due_ms = sim->now_ms + sim_range(sim, 1, 2000),
                      .kind = EVENT_PUSHED,
                      .boot = sim->boot,
                      .to = table_owner(node_key_hash(sim, push->user), sim->knobs.workers),
                      .a = refused ? no : CORE_PUSH_ACCEPTED,
                      .b = phone,
                      .mail = {.id = push->token},
                  });
    if (!refused && !sim_chance(sim, 15))
        sim_post(sim, (struct sim_event){.due_ms = sim->now_ms + sim_range(sim, 1, 6000),
                                         .kind = EVENT_PUSH,
                                         .a = phone});
    return true;
}

static void log_line(void *user, enum core_log_level level, const char *event, struct slice text)
{
    (void)level;
    sim_trace(user, "    log %s: %.*s", event, SLICE_ARG(text));
}

static void flush_all(struct sim *sim)
{
    for (unsigned i = 0; i < sim->knobs.workers; i++)
        if (sim->workers[i].outbox.count > 0)
            flush_outbox(&sim->workers[i].outbox, sim);
}

static void end_turn(struct sim *sim)
{
    struct sim_refused *refused;

    flush_all(sim);
    while ((refused = sim->refused) != NULL) {
        sim->refused = refused->next;
        struct core *core = sim->workers[refused->worker].core;
        struct slice bytes = {refused->bytes, refused->len};
        core_send_failed(core, bytes, false, sim->now_ms, sim_wall(sim));
        (void)core_run(core, sim->now_ms, sim_wall(sim), 256); /* which tells who sent it */
        free(refused);
        flush_all(sim);
    }
    map_end_turn(&sim->location);
    watch_turn(sim);
}

/* ---- start and stop ---- */

static struct policy *build_policy(struct sim *sim)
{
    static const struct slice domain = {"sim.example", 11};
    struct policy_error error;
    struct policy *policy = NULL;
    struct policy_source source = {.users = sim->users,
                                   .user_count = sim->knobs.phones,
                                   .domains = &domain,
                                   .domain_count = 1,
                                   .seed = sim->seed + sim->policies++};

    if (policy_build(&source, &error, &policy) != OK)
        abort();
    return policy;
}

void node_change_policy(struct sim *sim)
{
    unsigned user = (unsigned)sim_range(sim, 0, sim->knobs.phones - 1);
    struct policy *old = sim->policy;

    for (unsigned i = 0; i < sim->knobs.phones && sim->endless; i++)
        if (sim->disabled[i])
            user = i; /* few at a time */
    sim->disabled[user] = !sim->disabled[user];
    sim->users[user].disabled = sim->disabled[user];
    sim->changed_ms = sim->now_ms;
    sim->policy = build_policy(sim);
    for (unsigned i = 0; sim->node_up && i < sim->knobs.workers; i++)
        core_set_policy(sim->workers[i].core, sim->policy);
    policy_free(old);
    sim_trace(sim, "    u%u is %s", user, sim->disabled[user] ? "disabled" : "enabled");
}

/** One to three algorithms in some order. */
static void draw_algorithms(struct sim *sim, unsigned at)
{
    unsigned first = (unsigned)sim_range(sim, 0, 2), count = (unsigned)sim_range(sim, 1, 3);

    for (unsigned i = 0; i < count; i++)
        sim->algorithms[at][i] = SIP_MD5 + (first + i) % 3;
    sim->algorithm_counts[at] = count;
}

static void make_users(struct sim *sim)
{
    unsigned count = sim->knobs.phones;

    draw_algorithms(sim, SIM_PHONES_MAX);
    for (unsigned i = 0; i < count; i++) {
        snprintf(sim->user_names[i], sizeof sim->user_names[i], "u%u", i);
        snprintf(sim->extensions[i], sizeof sim->extensions[i], "%u", 100 + i);
        struct user *user = &sim->users[i];
        *user = (struct user){.name = slice_of(sim->user_names[i]),
                              .extension = slice_of(sim->extensions[i]),
                              .realm = SLICE("sim.example"),
                              .has_digest = true};
        if (sim_chance(sim, 30))
            draw_algorithms(sim, i);
        for (unsigned k = 0; k < sim->algorithm_counts[i]; k++)
            user->algorithms[k] = (uint8_t)sim->algorithms[i][k];
        for (int algorithm = SIP_MD5; algorithm < SIP_ALGORITHM_COUNT; algorithm++)
            sip_digest_a1((enum sip_algorithm)algorithm, user->name, user->realm, SLICE("secret"),
                          user->digests[algorithm]);
    }
    sim->policy = build_policy(sim);
}

void node_change_users(struct sim *sim)
{
    policy_free(sim->policy);
    memset(sim->disabled, 0, sizeof sim->disabled);
    memset(sim->algorithm_counts, 0, sizeof sim->algorithm_counts);
    make_users(sim);
}

void node_prepare(struct sim *sim)
{
    for (unsigned i = 0; i < COUNT_OF(sim->listeners); i++)
        sim->listeners[i] = (struct listener){.transport = i == 1 ? TRANSPORT_TCP : TRANSPORT_UDP,
                                              .bound = sim_addr(SIM_NODE, i == 2)};
    sim->ops_end = &sim->ops;
    make_users(sim);
    for (unsigned i = 0; i < SIM_WORKERS_MAX; i++) {
        sim->workers[i].buffer = malloc(OUTBOX_BYTES);
        if (sim->workers[i].buffer == NULL)
            abort();
    }
}

static uint64_t last_call(const struct sim *sim)
{
    uint64_t last = 0;

    for (size_t i = 0; i < COUNT_OF(sim->records.heads); i++)
        for (const struct stored *at = sim->records.heads[i]; at != NULL; at = at->next) {
            uint64_t id;
            memcpy(&id, at->key, sizeof id);
            if (id > last)
                last = id;
        }
    return last;
}

static struct core_config core_config_of(struct sim *sim, unsigned worker)
{
    static const struct hash_key key = {{1, 2}};
    static const struct slice push_service = {"sim", 3};

    static const struct addr_net nets[] = {
        {{.family = ADDR_V4, .bytes = {10, 0, 3, 1}}, 32}, /* who calls far domains */
        {{.family = ADDR_V4, .bytes = {10, 0, 1, SIM_ROUTER}}, 32},
    };
    unsigned trusted = sim->knobs.names ? 0 : 1;

    append_users[worker] = (struct append_user){sim, worker};
    struct core_config config = {
        .worker = worker,
        .workers = sim->knobs.workers,
        .boot = sim->boot,
        .seed = sim->seed * 1000 + sim->boot * 10 + worker,
        .hash_seed = 77,
        .token_key = key,
        .loop_key = key,
        .nonce_key = key,
        .memory_max = sim->knobs.scarce ? sim->memory_max : (size_t)256 << 20,
        .transactions_max = sim->knobs.scarce ? 20 : 65536,
        .registrations_max = sim->knobs.scarce ? 2 : 4096,
        .nonce_windows_max = sim->knobs.scarce ? 4 : 4096,
        .listeners = sim->listeners,
        .listener_count = COUNT_OF(sim->listeners),
        .auth_required = sim->knobs.auth,
        .realm = SLICE("sim.example"),
        .trusted = &nets[trusted],
        .trusted_count = (sim->knobs.router ? 2 : 1) - trusted,
        .nonce_lifetime_ms = sim->knobs.nonce_lifetime_ms,
        .registrar = {.default_expires = SIM_DEFAULT_EXPIRES,
                      .min_expires = SIM_MIN_EXPIRES,
                      .max_expires = SIM_MAX_EXPIRES,
                      .max_contacts = sim->knobs.max_contacts,
                      .gruu = true},
        .wait = {.wait_ms = 20000, .awake_ms = 10000, .max = sim->knobs.phones},
        .ping = {.every_ms = sim->knobs.pings ? SIM_PING_MS : 0, .misses = 2, .rate = 100},
        .timer_c_ms = SIM_TIMER_C_MS,
        .recurse_on_3xx = sim->knobs.recurse,
        .overload_target_ms = sim->knobs.overload ? SIM_OVERLOAD_TARGET_MS : 0,
        .overload_interval_ms = SIM_OVERLOAD_INTERVAL_MS,
        .overload_last_ms = SIM_OVERLOAD_LAST_MS,
        /* As wide as for an office: what phones do must never meet a limit. But their wrong
         * passwords, which are as many on purpose as nobody's would be, are not counted. */
        .guard = {.sources_max = 1024,
                  .bars_max = 64,
                  .stranger = {30, 120},
                  .strangers = {1000, 250},
                  .vouched = {500, 2000},
                  .calls = {50, 50},
                  .user = {50, 200},
                  .points_max = 10000, /* the probes are garbage, too */
                  .bar_ms = 60000,
                  .bar_max_ms = 60000},
        .outbox = &sim->workers[worker].outbox,
        .location = {.user = sim,
                     .find = table_find,
                     .find_hash = table_find_hash,
                     .put = table_put,
                     .remove = table_remove,
                     .places = table_places,
                     .next = table_next},
        .records = sim->knobs.records,
        .calls_max = 4096,
        .call_id_floor = last_call(sim),
        .call_silence_ms = SIM_SILENCE_MS,
        .durable = {.user = &append_users[worker],
                    .append = sim->knobs.memory_store ? NULL : store_append},
        .ops = {.user = sim,
                .post = post_mail,
                .log = log_line,
                .ask_dns = sim->knobs.names ? far_ask : NULL},
        .resolve = resolve_limits_default(),
        .policy = sim->policy,
    };
    if (sim->knobs.sleepy) {
        config.ops.push = push_phone;
        config.registrar.push = (struct registrar_push){
            .providers = &push_service, .provider_count = 1, .lead = sim->seed % 16 < 8 ? 60 : 0};
    }
    for (unsigned i = 0; i < sim->algorithm_counts[SIM_PHONES_MAX]; i++)
        config.algorithms[i] = (uint8_t)sim->algorithms[SIM_PHONES_MAX][i];
    return config;
}

/** Those that go on, and those that ended lately. */
static void restore_calls(struct sim *sim)
{
    struct call_record *record = malloc(sizeof *record);

    if (record == NULL)
        abort();
    for (size_t i = 0; i < COUNT_OF(sim->records.heads); i++)
        for (struct stored *at = sim->records.heads[i]; at != NULL; at = at->next) {
            struct slice block = {at->block, at->block_len};
            if (call_record_unpack(block, record) != OK)
                sim_fail(sim, "a record that cannot be read");
            else if (record->end_ms == 0 || record->end_ms + CALLS_REMEMBERED_MS >= sim_wall(sim))
                for (unsigned w = 0; w < sim->knobs.workers; w++)
                    core_restore_call(sim->workers[w].core, block, sim->now_ms, sim_wall(sim));
        }
    free(record);
}

static void restore(struct sim *sim)
{
    for (size_t i = 0; i < COUNT_OF(sim->durable.heads); i++)
        for (struct stored *at = sim->durable.heads[i]; at != NULL; at = at->next)
            for (unsigned w = 0; w < sim->knobs.workers; w++)
                core_restore(sim->workers[w].core, (struct slice){at->key, at->key_len},
                             (struct slice){at->block, at->block_len}, sim_wall(sim));
}

void node_start(struct sim *sim)
{
    sim->boot++;
    for (unsigned i = 0; i < sim->knobs.workers; i++) {
        struct node_worker *worker = &sim->workers[i];
        worker->outbox =
            (struct outbox){.flush = flush_outbox, .user = sim, .buffer = worker->buffer};
        worker->mail_at_ms = 0;
        struct core_config config = core_config_of(sim, i);
        while (core_open(&config, sim->now_ms, sim_wall(sim), &worker->core) != OK) {
            config.memory_max *= 2;
            if (config.memory_max > (size_t)1 << 30)
                abort();
        }
    }
    sim->node_up = true;
    sim->started_ms = sim->now_ms;
    memset(sim->push_gone, 0, sizeof sim->push_gone); /* that was never written down */
    aors_restore(sim);
    restore(sim);
    restore_calls(sim);
    end_turn(sim);
    sim_trace(sim, "    node up, boot %u", sim->boot);
}

void node_stop(struct sim *sim, bool crash)
{
    if (!sim->node_up)
        return;
    for (unsigned i = 0; i < sim->knobs.workers; i++) {
        struct core_status status;
        core_status(sim->workers[i].core, &status);
        sim->woken += status.counters.push.woken;
        core_close(sim->workers[i].core); /* asserts that not a byte is left */
        sim->workers[i].core = NULL;
    }
    sim->node_up = false;
    watch_forget(sim);
    hops_node_down(sim);
    map_clear(&sim->location);
    /* What was written and not synced may be on the disk, up to a point, or not. */
    while (crash && sim->ops != NULL && sim_chance(sim, 50))
        op_free(sync_first(sim));
    while (sim->ops != NULL) {
        struct store_op *op = sim->ops;
        sim->ops = op->next;
        op_free(op);
    }
    sim->ops_end = &sim->ops;
}

void node_release(struct sim *sim)
{
    node_stop(sim, false);
    map_clear(&sim->durable);
    map_clear(&sim->records);
    for (unsigned i = 0; i < SIM_WORKERS_MAX; i++)
        free(sim->workers[i].buffer);
    policy_free(sim->policy);
}

/* ---- events ---- */

static struct conn_id conn_of(const struct sim *sim, uint32_t phone)
{
    return (struct conn_id){.worker = (uint16_t)(phone % sim->knobs.workers),
                            .id = {phone, sim->phones[phone].conn}};
}

bool node_has_conn(const struct sim *sim, uint32_t phone, uint64_t generation)
{
    return sim->node_up && generation != 0 && sim->phones[phone].conn == generation;
}

void node_conn_lost(struct sim *sim, uint32_t phone)
{
    if (!sim->phones[phone].tcp || sim->phones[phone].conn == 0)
        return;
    if (edge_serves_phone(sim, &sim->phones[phone])) {
        edge_conn_lost(sim, phone);
        return;
    }
    struct conn_id conn = conn_of(sim, phone);
    sim_trace(sim, "    the connection of phone %u is lost", phone);
    sim->phones[phone].conn = 0;
    phone_conn_lost(sim, phone);
    if (!sim->node_up)
        return;
    aors_conn_lost(sim, phone);
    watch_conn_lost(sim, phone);
    uint32_t told = 0; /* net/ tries again until all know */
    while (!core_conn_lost(sim->workers[conn.worker].core, conn, &told, sim->now_ms, sim_wall(sim)))
        ;
    end_turn(sim);
}

uint32_t node_waited_ms(const struct sim *sim)
{
    uint64_t spell = sim->now_ms / SIM_OVERLOAD_SPELL_MS;
    uint64_t odd = (spell * 2654435761u + sim->seed * 40503u) >> 8;
    static const uint32_t spells[] = {0, 30, 60, 120, 190, 250, 600};

    if (!sim->knobs.overload || sim->now_ms > sim->quiet_at_ms)
        return 0;
    return spells[odd % COUNT_OF(spells)];
}

/** The worker that owns it has taken a message. */
static void note_taken(struct sim *sim, uint32_t from, const char *text)
{
    if (from >= SIM_FAR)
        hops_in(sim, from, text);
    else
        watch_in(sim, from, text);
}

void node_receive_far(struct sim *sim, uint32_t from, unsigned port, bool tcp, const char *text)
{
    unsigned arrives = from % sim->knobs.workers;
    struct flow source = {.transport = tcp ? TRANSPORT_TCP : TRANSPORT_UDP,
                          .listener = tcp ? 1 : 0,
                          .remote = sim_addr(from, false),
                          .local = sim->listeners[0].bound};

    if (!sim->node_up)
        return;
    source.remote.port = (uint16_t)port;
    if (tcp)
        source.conn = (struct conn_id){.worker = (uint16_t)arrives, .id = {1000 + from, 1}};
    sim->received_by_node++;
    sim->turn_from = from;
    sim->turn_conn = 0;
    sim->posted = false;
    sim->turn_waited_ms = 0;
    sim->worker_now = arrives;
    core_receive(sim->workers[arrives].core, slice_of(text), tcp ? SIP_STREAM : SIP_DATAGRAM,
                 &source, sim->now_ms, sim_wall(sim));
    if (!sim->posted)
        note_taken(sim, from, text);
    end_turn(sim);
}

void node_dns_answer(struct sim *sim, uint32_t worker, struct id question,
                     const struct dns_answer *answer)
{
    sim->worker_now = worker;
    core_dns_answer(sim->workers[worker].core, question, answer, sim->now_ms, sim_wall(sim));
    end_turn(sim);
}

void node_receive(struct sim *sim, uint32_t from, const char *bytes, size_t len)
{
    if (!sim->node_up)
        return;
    bool tcp = sim->phones[from].tcp, v6 = sim->phones[from].v6;
    struct flow source = {.transport = tcp ? TRANSPORT_TCP : TRANSPORT_UDP,
                          .listener = tcp  ? 1
                                      : v6 ? 2
                                           : 0,
                          .conn = tcp ? conn_of(sim, from) : (struct conn_id){0},
                          .remote = sim_addr(from, v6)};
    source.remote.port = (uint16_t)phone_port(&sim->phones[from]);
    unsigned arrives = from % sim->knobs.workers; /* as SO_REUSEPORT: by the source */

    sim->received_by_node++;
    source.local = sim->listeners[v6 ? 2 : 0].bound;
    sim->turn_from = from;
    sim->turn_conn = sim->phones[from].conn;
    sim->posted = false;
    struct mem *mem = &sim->workers[arrives].core->mem;
    mem->fail_at =
        sim->knobs.scarce && sim_chance(sim, 10) ? mem->allocs + sim_range(sim, 1, 6) : 0;
    sim->turn_waited_ms = node_waited_ms(sim);
    sim->worker_now = arrives;
    core_waited(sim->workers[arrives].core, tcp ? LISTENER_ANY : 0, sim->turn_waited_ms,
                sim->now_ms);
    core_receive(sim->workers[arrives].core, (struct slice){bytes, len},
                 tcp ? SIP_STREAM : SIP_DATAGRAM, &source, sim->now_ms, sim_wall(sim));
    if (pings_is_stun(bytes, len)) {
        uint64_t answers = sim->stun_answers;
        end_turn(sim);
        if (sim->stun_answers != answers + 1 && !sim->knobs.starved)
            sim_fail(sim, "phone %u was not answered by STUN", from);
        return;
    }
    if (!sim->posted)
        watch_in(sim, from, bytes);
    end_turn(sim);
}

void node_mail(struct sim *sim, uint32_t worker, const struct sim_event *event)
{
    if (!sim->node_up || event->boot != sim->boot)
        return;
    sim->turn_waited_ms = (uint32_t)event->c;
    sim->worker_now = worker;
    core_mail(sim->workers[worker].core, &event->mail, sim->now_ms, sim_wall(sim));
    if (event->mail.kind == CORE_MAIL_MESSAGE) {
        sim->turn_from = event->from;
        sim->turn_conn = event->b;
        note_taken(sim, event->from, event->bytes);
    }
    if (event->mail.kind == CORE_MAIL_SEND_FAILED)
        note_refused(sim, event->bytes, true, event->mail.number != 0);
    end_turn(sim);
}

void node_refused(struct sim *sim, uint32_t worker, bool closed, const char *bytes, size_t len)
{
    if (!sim->node_up)
        return;
    sim->posted = false;
    sim->worker_now = worker;
    core_send_failed(sim->workers[worker].core, (struct slice){bytes, len}, closed, sim->now_ms,
                     sim_wall(sim));
    if (!sim->posted)
        note_refused(sim, bytes, true, closed);
    end_turn(sim);
}

static bool is_only_phone(const struct sim *sim, uint32_t phone)
{
    for (uint32_t i = 1; i <= sim->knobs.phones; i++)
        if (i != phone && sim->phones[i].user == sim->phones[phone].user)
            return false;
    return true;
}

void node_pushed(struct sim *sim, const struct sim_event *event)
{
    if (!sim->node_up || event->boot != sim->boot)
        return;
    /* Of users with one phone: else another's REGISTER may be under way with what was before. */
    bool news = event->a == CORE_PUSH_GONE && is_only_phone(sim, event->b) &&
                sim->push_seen_ms[event->b] < sim->pushed_ms[event->b] &&
                sim->now_ms < sim->pushed_ms[event->b] + PUSH_FOR_MS;
    core_push_result(sim->workers[event->to].core, event->mail.id, (enum core_push_answer)event->a,
                     sim->now_ms, sim_wall(sim));
    if (news)
        sim->push_gone[event->b] = true;
    end_turn(sim);
}

unsigned node_pending(const struct sim *sim)
{
    unsigned pending = 0;

    for (unsigned i = 0; sim->node_up && i < sim->knobs.workers; i++)
        pending += txn_pending(sim->workers[i].core->txns);
    return pending;
}

uint64_t node_next_ms(const struct sim *sim)
{
    uint64_t next_ms = UINT64_MAX;

    for (unsigned i = 0; sim->node_up && i < sim->knobs.workers; i++) {
        uint64_t due_ms = core_next_ms(sim->workers[i].core);
        if (due_ms < next_ms)
            next_ms = due_ms;
    }
    return next_ms;
}

void node_run(struct sim *sim)
{
    for (unsigned i = 0; sim->node_up && i < sim->knobs.workers; i++) {
        if (core_next_ms(sim->workers[i].core) > sim->now_ms)
            continue;
        sim->worker_now = i;
        for (unsigned turns = 0; core_run(sim->workers[i].core, sim->now_ms, sim_wall(sim), 256);)
            if (++turns > 1000) {
                sim_fail(sim, "timers never end");
                return;
            }
        end_turn(sim);
    }
}
