/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/edge - a second node between some phones and the registrar (RFC 5626 section 5).
 *
 * It takes the other proxy's place and address: a core of one worker that puts its Path with a flow
 * token into what its phones register, and brings them what the registrar sends by such a token.
 * Its phones say all that they say to it, by datagrams or by a stream of their own, behind a NAT or
 * not. Looked at here: a token leads to its own flow and nowhere else; one whose flow is gone is
 * answered 430, one whose flow is there is not; a forged one leads to nobody.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

enum {
    FLOWS_MAX = 256, /* that are remembered: a ring, as the next */
    ASKED_MAX = 512,
    TOKEN_MAX = 160,
    BUFFER_BYTES = OUTBOX_BYTES,
};

/** What a Path of the edge's stands for. */
struct edge_flow {
    char token[TOKEN_MAX];
    uint32_t phone, conn; /* generation; 0: datagrams */
};

/** A request that came with such a token. */
struct edge_asked {
    char branch[96], method[16];
    uint32_t phone, conn;
    bool gone;   /* its flow, when it came */
    bool vague;  /* it went in the meantime, or the phone says 430 itself */
    bool active; /* no final response yet */
};

struct sim_edge {
    struct core *core;
    struct outbox outbox;
    struct policy *policy;
    struct listener listeners[2];
    struct edge_flow flows[FLOWS_MAX];
    struct edge_asked asked[ASKED_MAX];
    uint64_t flow_count, asked_count;
    uint32_t boot;
    char buffer[BUFFER_BYTES];
};

bool edge_serves_phone(const struct sim *sim, const struct phone *phone)
{
    return sim->knobs.edge && phone->behind == BEHIND_EDGE;
}

/* ---- what it is for its core ---- */

static struct slice find_nobody(void *user, struct slice key, uint64_t hash)
{
    (void)user, (void)key, (void)hash;
    return SLICE_EMPTY;
}

static struct slice find_no_hash(void *user, uint64_t hash, struct slice *key)
{
    (void)user, (void)hash, (void)key;
    return SLICE_EMPTY;
}

static enum err put_nobody(void *user, struct slice key, uint64_t hash, struct slice block,
                           uint32_t note)
{
    (void)key, (void)hash, (void)block, (void)note;
    sim_fail(user, "somebody was registered at the edge");
    return OK;
}

static void remove_nobody(void *user, struct slice key, uint64_t hash)
{
    (void)user, (void)key, (void)hash;
}

static uint64_t no_places(void *user, unsigned worker)
{
    (void)user, (void)worker;
    return 1;
}

static struct slice next_nobody(void *user, struct table_search *search, struct slice *key,
                                uint64_t *hash)
{
    (void)user, (void)key, (void)hash;
    search->place = search->end;
    return SLICE_EMPTY;
}

static bool post_nobody(void *user, unsigned worker, const struct core_mail *mail)
{
    (void)mail;
    sim_fail(user, "the edge's only worker writes to worker %u", worker);
    return false;
}

static void log_line(void *user, enum core_log_level level, const char *event, struct slice text)
{
    (void)level;
    sim_trace(user, "    edge log %s: %.*s", event, SLICE_ARG(text));
}

/** The phone at the other end; 0: none. */
static uint32_t phone_at(const struct sim *sim, const struct flow *flow)
{
    uint32_t index = flow->remote.bytes[3];
    struct addr addr = sim_addr(index, false);

    if (index < 1 || index > sim->knobs.phones || !addr_same_host(&addr, &flow->remote) ||
        !edge_serves_phone(sim, &sim->phones[index]))
        return 0;
    return sim->phones[index].tcp || flow->remote.port == phone_port(&sim->phones[index]) ? index
                                                                                          : 0;
}

static void refuse(struct sim *sim, bool closed, const char *bytes, size_t len)
{
    struct sim_event event = {.due_ms = sim->now_ms + 1,
                              .kind = EVENT_EDGE_REFUSED,
                              .a = closed,
                              .bytes = strndup(bytes, len),
                              .len = len < 300 ? len : 300};

    if (event.bytes == NULL)
        abort();
    sim_post(sim, event);
}

/* ---- what it must do ---- */

static struct edge_asked *find_asked(struct sim_edge *edge, const char *text, unsigned via)
{
    char value[512], branch[96] = "", method[16];

    if (text_field(text, "Via", via, value, sizeof value))
        text_param(value, "branch", branch, sizeof branch);
    text_method(text, method, sizeof method);
    for (unsigned i = 0; i < ASKED_MAX; i++)
        if (strcmp(edge->asked[i].branch, branch) == 0 && branch[0] != '\0' &&
            strcmp(edge->asked[i].method, method) == 0)
            return &edge->asked[i];
    return NULL;
}

static void token_of(const char *value, char token[static TOKEN_MAX])
{
    const char *at = strstr(value, ";p=");

    token[0] = '\0';
    if (at != NULL)
        snprintf(token, TOKEN_MAX, "%.*s", (int)strcspn(at + 3, ";>"), at + 3);
}

/** A request with a token has come. */
static void note_asked(struct sim *sim, const char *text)
{
    struct sim_edge *edge = sim->edge;
    char route[512], token[TOKEN_MAX] = "", via[512];
    const struct edge_flow *flow = NULL;

    if (text_field(text, "Route", 0, route, sizeof route))
        token_of(route, token);
    for (unsigned i = 0; i < FLOWS_MAX && token[0] != '\0' && flow == NULL; i++)
        if (strcmp(edge->flows[i].token, token) == 0)
            flow = &edge->flows[i];
    if (flow == NULL || find_asked(edge, text, 0) != NULL)
        return;
    struct edge_asked *asked = &edge->asked[edge->asked_count++ % ASKED_MAX];
    *asked = (struct edge_asked){.phone = flow->phone, .conn = flow->conn, .active = true};
    text_field(text, "Via", 0, via, sizeof via);
    text_param(via, "branch", asked->branch, sizeof asked->branch);
    text_method(text, asked->method, sizeof asked->method);
    asked->gone = flow->conn != sim->phones[flow->phone].conn;
    asked->vague = sim->phones[flow->phone].manner == MANNER_ODD ||
                   sim->phones[flow->phone].manner == MANNER_CLOSED;
}

/** A REGISTER leaves for the registrar. */
static void note_path(struct sim *sim, const char *text)
{
    struct sim_edge *edge = sim->edge;
    char path[512], call_id[64], token[TOKEN_MAX];
    unsigned phone;

    text_field(text, "Call-ID", 0, call_id, sizeof call_id);
    if (strncmp(text, "REGISTER ", 9) != 0 || sscanf(call_id, "reg-%u-", &phone) != 1)
        return;
    if (!text_field(text, "Path", 0, path, sizeof path) || strstr(path, ";ob") == NULL)
        sim_fail(sim, "the edge passes a REGISTER on without its Path: %s", path);
    token_of(path, token);
    for (unsigned i = 0; i < FLOWS_MAX; i++)
        if (strcmp(edge->flows[i].token, token) == 0) {
            if (edge->flows[i].phone != phone)
                sim_fail(sim, "the edge gives one token to two phones");
            return;
        }
    struct edge_flow *flow = &edge->flows[edge->flow_count++ % FLOWS_MAX];
    snprintf(flow->token, sizeof flow->token, "%s", token);
    flow->phone = phone;
    flow->conn = sim->phones[phone].conn;
}

static void check_to_phone(struct sim *sim, uint32_t to, const char *text)
{
    const struct edge_asked *asked = find_asked(sim->edge, text, 1);

    if (strstr(text, "X-Forged") != NULL)
        sim_fail(sim, "a forged token leads to phone %u", to);
    if (strstr(text, ";p=") != NULL)
        sim_fail(sim, "phone %u is shown the token of its Path", to);
    if (asked == NULL)
        return;
    if (asked->phone != to || asked->conn != sim->phones[to].conn)
        sim_fail(sim, "a %s by the flow of phone %u went to phone %u by another one", asked->method,
                 asked->phone, to);
}

static void check_response(struct sim *sim, const char *text)
{
    struct edge_asked *asked = find_asked(sim->edge, text, 0);
    unsigned status = text_status(text);

    if (asked == NULL || !asked->active || status < 200)
        return;
    asked->active = false;
    if (asked->gone && status != 430 && status != 483)
        sim_fail(sim, "a %s by a flow that is gone was answered %u", asked->method, status);
    if (status == 430 && !asked->gone && !asked->vague)
        sim_fail(sim, "a %s by a flow that is there was answered 430", asked->method);
}

static void flush(struct outbox *outbox, void *user)
{
    struct sim *sim = user;
    const struct addr node = sim_addr(SIM_NODE, false);

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_item *item = &outbox->items[i];
        char *text = strndup(outbox->buffer + item->offset, item->len);
        if (text == NULL)
            abort();
        bool request = text_status(text) == 0;
        if (addr_equal(&item->to.remote, &node)) {
            if (request)
                note_path(sim, text);
            else
                check_response(sim, text);
            sim_send(sim, SIM_ROUTER, SIM_NODE, text, item->len);
            free(text);
            continue;
        }
        uint32_t to = phone_at(sim, &item->to);
        const struct phone *phone = &sim->phones[to];
        bool gone = to != 0 && phone->tcp &&
                    (!flow_has_conn(&item->to) || item->to.conn.id.generation != phone->conn);
        if (to == 0)
            sim_fail(sim, "the edge sends to nowhere: %.60s", text);
        else if (gone && request && (item->to.flags & FLOW_ONLY_CONN) == 0)
            sim_fail(sim, "the edge would open a connection to phone %u", to);
        else if (gone || (phone->manner == MANNER_CLOSED && request))
            refuse(sim, !gone, text, item->len);
        else {
            if (request)
                check_to_phone(sim, to, text);
            sim_send(sim, SIM_ROUTER, to, text, item->len);
        }
        free(text);
    }
    outbox->count = 0;
    outbox->used = 0;
}

static void end_turn(struct sim *sim)
{
    if (sim->edge->outbox.count > 0)
        flush(&sim->edge->outbox, sim);
}

/* ---- its life ---- */

static void start(struct sim *sim)
{
    static const struct hash_key key = {{7, 8}};
    static const struct slice served = {"sim.example", 11};
    static const struct addr_net nets[] = {{{.family = ADDR_V4, .bytes = {10, 0, 0, 1}}, 32}};
    struct sim_edge *edge = sim->edge;
    struct core_config config = {
        .workers = 1,
        .boot = ++edge->boot,
        .seed = sim->seed + edge->boot,
        .hash_seed = 78,
        .token_key = key,
        .loop_key = key,
        .nonce_key = key,
        .memory_max = (size_t)256 << 20,
        .transactions_max = 65536,
        .registrations_max = 16,
        .nonce_windows_max = 16,
        .listeners = edge->listeners,
        .listener_count = COUNT_OF(edge->listeners),
        .auth_required = true,
        .realm = SLICE("edge.example"),
        .trusted = nets,
        .trusted_count = COUNT_OF(nets),
        .nonce_lifetime_ms = 300000,
        .registrar = {.default_expires = 200,
                      .min_expires = 20,
                      .max_expires = 300,
                      .max_contacts = 10},
        .edge = {.domains = &served, .domain_count = 1, .registrar = SLICE("sip:" SIM_NODE_HOST)},
        .wait = {.wait_ms = 20000, .awake_ms = 10000, .max = 16},
        .timer_c_ms = SIM_TIMER_C_MS,
        .outbox = &edge->outbox,
        .location = {sim, find_nobody, find_no_hash, put_nobody, remove_nobody, no_places,
                     next_nobody},
        .ops = {.user = sim, .post = post_nobody, .log = log_line},
        .resolve = resolve_limits_default(),
        .policy = edge->policy,
    };

    edge->outbox = (struct outbox){.flush = flush, .user = sim, .buffer = edge->buffer};
    if (core_open(&config, sim->now_ms, sim_wall(sim), &edge->core) != OK)
        abort();
}

void edge_start(struct sim *sim)
{
    static const struct slice domain = {"edge.example", 12};
    struct policy_source source = {.domains = &domain, .domain_count = 1, .seed = sim->seed};
    struct policy_error error;

    if (!sim->knobs.edge)
        return;
    sim->edge = calloc(1, sizeof *sim->edge);
    if (sim->edge == NULL || policy_build(&source, &error, &sim->edge->policy) != OK)
        abort();
    for (unsigned i = 0; i < COUNT_OF(sim->edge->listeners); i++)
        sim->edge->listeners[i] =
            (struct listener){.transport = i == 1 ? TRANSPORT_TCP : TRANSPORT_UDP,
                              .bound = sim_addr(SIM_ROUTER, false)};
    start(sim);
}

void edge_stop(struct sim *sim)
{
    if (sim->edge == NULL)
        return;
    core_close(sim->edge->core); /* asserts that not a byte is left */
    policy_free(sim->edge->policy);
    free(sim->edge);
    sim->edge = NULL;
}

void edge_receive(struct sim *sim, uint32_t from, const char *bytes, size_t len)
{
    const struct phone *phone = &sim->phones[from];
    bool tcp = from != SIM_NODE && phone->tcp;
    struct flow source = {.transport = tcp ? TRANSPORT_TCP : TRANSPORT_UDP,
                          .listener = tcp ? 1 : 0,
                          .remote = sim_addr(from, false),
                          .local = sim->edge->listeners[0].bound};

    if (from != SIM_NODE)
        source.remote.port = (uint16_t)phone_port(phone);
    if (tcp)
        source.conn = (struct conn_id){.id = {from, phone->conn}};
    if (text_status(bytes) == 0 && strncmp(bytes, "CANCEL ", 7) != 0)
        note_asked(sim, bytes); /* a CANCEL is for who has it: its next hop */
    core_receive(sim->edge->core, (struct slice){bytes, len}, tcp ? SIP_STREAM : SIP_DATAGRAM,
                 &source, sim->now_ms, sim_wall(sim));
    end_turn(sim);
}

void edge_refused(struct sim *sim, const struct sim_event *event)
{
    core_send_failed(sim->edge->core, (struct slice){event->bytes, event->len}, event->a != 0,
                     sim->now_ms, sim_wall(sim));
    end_turn(sim);
}

void edge_conn_lost(struct sim *sim, uint32_t phone)
{
    struct conn_id conn = {.id = {phone, sim->phones[phone].conn}};
    uint32_t told = 0;

    if (sim->edge == NULL || sim->phones[phone].conn == 0)
        return;
    sim_trace(sim, "    the connection of phone %u to the edge is lost", phone);
    sim->phones[phone].conn = 0;
    for (unsigned i = 0; i < ASKED_MAX; i++)
        if (sim->edge->asked[i].phone == phone && !sim->edge->asked[i].gone)
            sim->edge->asked[i].vague = true;
    phone_conn_lost(sim, phone);
    while (!core_conn_lost(sim->edge->core, conn, &told, sim->now_ms, sim_wall(sim)))
        ;
    end_turn(sim);
}

uint64_t edge_next_ms(const struct sim *sim)
{
    return sim->edge != NULL ? core_next_ms(sim->edge->core) : UINT64_MAX;
}

void edge_run(struct sim *sim)
{
    if (sim->edge == NULL || core_next_ms(sim->edge->core) > sim->now_ms)
        return;
    (void)core_run(sim->edge->core, sim->now_ms, sim_wall(sim), 4096);
    end_turn(sim);
}

void edge_forge(struct sim *sim, uint32_t phone)
{
    const struct sim_edge *edge = sim->edge;
    char text[SIM_TEXT_MAX] = "", branch[48], token[TOKEN_MAX];

    if (edge == NULL || edge->flow_count == 0 || sim->phones[phone].tcp || sim->phones[phone].v6)
        return;
    uint64_t number =
        rng_below(&sim->rng, edge->flow_count < FLOWS_MAX ? edge->flow_count : FLOWS_MAX);
    const struct edge_flow *flow = &edge->flows[number];
    snprintf(token, sizeof token, "%s", flow->token);
    char *at = &token[rng_below(&sim->rng, strlen(token))];
    *at = *at == 'a' ? 'b' : 'a';
    snprintf(branch, sizeof branch, "z9hG4bK%016llx", (unsigned long long)rng_u64(&sim->rng));
    char uri[80];
    phone_uri(&sim->phones[flow->phone], sim->phones[flow->phone].user, uri);
    text_add(text, sizeof text, "MESSAGE %s SIP/2.0\r\n", uri);
    phone_via(&sim->phones[phone], branch, text);
    text_add(text, sizeof text,
             "Max-Forwards: 70\r\nFrom: <sip:u%u@sim.example>;tag=probe\r\nTo: <%s>\r\n"
             "Call-ID: forged%s\r\nCSeq: 1 MESSAGE\r\nRoute: <sip:" SIM_ROUTER_HOST
             ";lr;ob;p=%s>\r\n"
             "X-Forged: 1\r\nContent-Length: 0\r\n\r\n",
             sim->phones[phone].user, uri, branch, token);
    edge_receive(sim, phone, text, strlen(text));
}
