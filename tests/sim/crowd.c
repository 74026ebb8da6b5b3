/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/crowd - very many phones on streams: what each of them costs, and how all of them come back.
 *
 * Cores of four workers over the program's own location table; a journal that answers after some
 * milliseconds; phones with one connection each, half of them over TLS. A worker takes its messages
 * one after the other, each of which takes it some time (see COST), so that a storm makes queues,
 * and who waits too long is refused as in life, and comes again. The limits are the defaults.
 *
 * 1. All register, half of them first: what the second half added, divided by its number, is what
 *    a connection costs us: the core, the table, and the connection's own struct of net/. The
 *    kernel's socket and OpenSSL's session are not here; `./dev bench connections` has them.
 * 2. The node is killed and started anew: all connections are gone, and within RETURN_MS
 *    of its start everybody must be registered by a new one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "crowd.h"
#include "loop/table.h"
#include "net/internal.h"
#include "sip/digest.h"

enum {
    WORKERS = 4,
    BOUND_TCP = 4 * 1024, /* bytes of a connection */
    BOUND_TLS = 24 * 1024,
    RETURN_MS = 60000,
    DOWN_MS = 3000,
    CALM_MS = 40000, /* until all transactions are over */
    HORIZON_MS = 4 * 60 * 60 * 1000,
    RECEIPT_MS = 5, /* of the journal */
    ROUND_TRIP_MS = 30,
    TEXT_MAX = 2048,
    EXPIRES_S = 7200,
    BACKOFF_MS = 1000,
    BACKOFF_MAX_MS = 8000,
    READ_AGAIN_MS = 50, /* a stream whose peer has had its share */
};

/** Microseconds of a worker, well above what ./dev bench measures; a handshake is one with RSA. */
enum cost {
    COST_REGISTER = 60,
    COST_CHALLENGE = 20,
    COST_REFUSAL = 6,
    COST_LETTER = 20,
    COST_HANDSHAKE = 1500,
    COST_ACCEPT = 30,
};

struct crowd_phone {
    uint64_t due_ms;     /* of its next try */
    uint64_t arrived_ms; /* its message waits since */
    uint32_t next;       /* in a list; phone + 1; 0: the end */
    uint32_t conn;       /* generation; 0: none */
    uint32_t cseq;
    uint32_t granted; /* of which boot it has a registration */
    uint32_t nc;      /* of the nonce */
    uint8_t tries;
    char nonce[64]; /* the last one; empty: none */
    uint8_t a1[SIP_HASH_MAX];
};

/** First in, first out: phones whose message waits for a worker. */
struct queue {
    uint32_t first, last; /* phone + 1; 0: empty */
};

/** What waits for another worker, or for the journal. */
struct later {
    struct later *next;
    uint64_t due_ms;
    struct core_mail mail;
    struct id token;
    unsigned worker;
    char bytes[];
};

struct list_of_later {
    struct later *first, **end;
};

/** A binding that is durable. */
struct kept {
    uint16_t len;
    char block[512];
};

struct crowd {
    uint64_t now_ms, wall_ms, seed;
    uint32_t count, boot;
    struct rng rng;
    struct crowd_phone *phones;
    struct kept *durable; /* by phone */
    uint32_t *due;        /* by millisecond: a list of phones */
    struct user *users;
    char (*names)[16];
    struct policy *policy;
    struct listener listeners[2]; /* TCP, TLS */
    struct quiesce quiesce;
    struct table *table;
    bool up;
    uint64_t challenged, refused, registers, registered, read_later;
    struct crowd_worker {
        struct crowd *crowd;
        unsigned index, seat;
        struct core *core;
        struct outbox outbox;
        char *buffer;
        struct queue queue;
        struct list_of_later letters, receipts;
        uint64_t busy_us;
        uint32_t cost_us; /* of the message at hand */
    } workers[WORKERS];
};

static void *grab(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- phones ---- */

static struct addr addr_of_phone(uint32_t phone)
{
    struct addr addr = {.family = ADDR_V4, .port = 50000};

    addr.bytes[0] = 11;
    addr.bytes[1] = (uint8_t)(phone >> 16);
    addr.bytes[2] = (uint8_t)(phone >> 8);
    addr.bytes[3] = (uint8_t)(1 + phone % 250);
    addr.port = (uint16_t)(40000 + phone % 20000);
    return addr;
}

static bool by_tls(uint32_t phone)
{
    return phone % 2 == 1;
}

static void try_at(struct crowd *crowd, uint32_t phone, uint64_t in_ms)
{
    uint64_t due_ms = crowd->now_ms + (in_ms > 0 ? in_ms : 1);

    if (due_ms >= HORIZON_MS)
        return;
    crowd->phones[phone].due_ms = due_ms;
    crowd->phones[phone].next = crowd->due[due_ms];
    crowd->due[due_ms] = phone + 1;
}

/** Half of it at least, as RFC 5626 section 4.5 spreads them. */
static void try_later(struct crowd *crowd, uint32_t phone)
{
    uint8_t tries = crowd->phones[phone].tries;
    uint64_t most_ms = BACKOFF_MS * (UINT64_C(1) << (tries < 8 ? tries : 8));

    if (most_ms > BACKOFF_MAX_MS)
        most_ms = BACKOFF_MAX_MS;
    crowd->phones[phone].tries++;
    try_at(crowd, phone, most_ms / 2 + rng_below(&crowd->rng, most_ms / 2));
}

/** What it answers to the last challenge; empty: there was none. */
static void write_credentials(struct crowd_phone *phone, const char *name, char *out, size_t size)
{
    static const char uri[] = "sip:crowd.example";
    char response[SIP_HASH_HEX_MAX + 1] = "", nc[9];

    out[0] = '\0';
    if (phone->nonce[0] == '\0')
        return;
    snprintf(nc, sizeof nc, "%08x", ++phone->nc);
    struct sip_credentials credentials = {
        .algorithm = SIP_MD5,
        .has_qop = true,
        .qop_auth = true,
        .nc = phone->nc,
        .nc_text = slice_of(nc),
        .username = slice_of(name),
        .realm = SLICE("crowd.example"),
        .nonce = slice_of(phone->nonce),
        .uri = slice_of(uri),
        .cnonce = SLICE("abc"),
        .qop = SLICE("auth"),
    };
    sip_digest_response(&credentials, phone->a1, SLICE("REGISTER"), SLICE_EMPTY, response);
    snprintf(out, size,
             "Authorization: Digest username=\"%s\", realm=\"crowd.example\", nonce=\"%s\", "
             "uri=\"%s\", response=\"%.32s\", algorithm=MD5, qop=auth, nc=%s, cnonce=\"abc\"\r\n",
             name, phone->nonce, uri, response, nc);
}

static size_t write_register(struct crowd *crowd, uint32_t phone, char out[static TEXT_MAX])
{
    char credentials[400];

    write_credentials(&crowd->phones[phone], crowd->names[phone], credentials, sizeof credentials);
    struct addr addr = addr_of_phone(phone);
    const char *transport = by_tls(phone) ? "TLS" : "TCP";
    int len = snprintf(
        out, TEXT_MAX,
        "REGISTER sip:crowd.example SIP/2.0\r\n"
        "Via: SIP/2.0/%s %u.%u.%u.%u:5060;branch=z9hG4bK%x-%x-%x;rport\r\nMax-Forwards: 70\r\n"
        "From: <sip:u%u@crowd.example>;tag=f%u\r\nTo: <sip:u%u@crowd.example>\r\n"
        "Call-ID: crowd-%u\r\nCSeq: %u REGISTER\r\nSupported: outbound, path\r\n"
        "Contact: <sip:u%u@%u.%u.%u.%u:5060;transport=%s>;reg-id=1;"
        "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-%012u>\"\r\n"
        "User-Agent: Crowd phone 1.0\r\nExpires: %u\r\n%sContent-Length: 0\r\n\r\n",
        transport, addr.bytes[0], addr.bytes[1], addr.bytes[2], addr.bytes[3], phone,
        crowd->phones[phone].cseq, crowd->boot, phone, phone, phone, phone,
        crowd->phones[phone].cseq, phone, addr.bytes[0], addr.bytes[1], addr.bytes[2],
        addr.bytes[3], by_tls(phone) ? "tls" : "tcp", phone, EXPIRES_S, credentials);
    return (size_t)len;
}

static void enqueue(struct crowd *crowd, uint32_t phone)
{
    struct queue *queue = &crowd->workers[phone % WORKERS].queue;

    crowd->phones[phone].next = 0;
    crowd->phones[phone].arrived_ms = crowd->now_ms;
    if (queue->last != 0)
        crowd->phones[queue->last - 1].next = phone + 1;
    else
        queue->first = phone + 1;
    queue->last = phone + 1;
}

static uint32_t dequeue(struct crowd *crowd, struct queue *queue)
{
    uint32_t phone = queue->first - 1;

    queue->first = crowd->phones[phone].next;
    if (queue->first == 0)
        queue->last = 0;
    return phone;
}

static void on_due(struct crowd *crowd, uint32_t phone)
{
    struct crowd_phone *at = &crowd->phones[phone];

    if (at->granted == crowd->boot && crowd->up)
        return;
    if (!crowd->up) {
        try_later(crowd, phone);
        return;
    }
    if (at->conn == 0) {
        at->conn = crowd->boot * 2 + 1;
        crowd->workers[phone % WORKERS].busy_us += by_tls(phone) ? COST_HANDSHAKE : COST_ACCEPT;
    }
    at->cseq++;
    enqueue(crowd, phone);
}

/* ---- what the cores reach the world through ---- */

static uint32_t phone_of_answer(const char *text)
{
    const char *at = strstr(text, "\r\nCall-ID: crowd-");
    return at != NULL ? (uint32_t)strtoul(at + 17, NULL, 10) : UINT32_MAX;
}

static void take_answer(struct crowd *crowd, struct crowd_worker *worker, const char *text)
{
    uint32_t phone = phone_of_answer(text);
    unsigned status = (unsigned)strtoul(text + 8, NULL, 10);
    const char *again = strstr(text, "\r\nRetry-After: ");

    if (phone >= crowd->count || status < 200)
        return;
    if (status == 200) {
        crowd->registered += crowd->phones[phone].granted != crowd->boot;
        crowd->phones[phone].granted = crowd->boot;
        crowd->phones[phone].tries = 0;
        return;
    }
    if (status == 401) {
        const char *nonce = strstr(text, "nonce=\"");
        int len = nonce != NULL ? (int)strcspn(nonce + 7, "\"") : 0;
        snprintf(crowd->phones[phone].nonce, sizeof crowd->phones[phone].nonce, "%.*s", len,
                 nonce != NULL ? nonce + 7 : "");
        crowd->phones[phone].nc = 0;
        crowd->challenged++;
        worker->cost_us = COST_CHALLENGE;
        try_at(crowd, phone, ROUND_TRIP_MS);
        return;
    }
    crowd->refused++;
    worker->cost_us = COST_REFUSAL;
    if (again != NULL)
        try_at(crowd, phone,
               strtoul(again + 15, NULL, 10) * 1000 + rng_below(&crowd->rng, BACKOFF_MS));
    else
        try_later(crowd, phone);
}

static void flush(struct outbox *outbox, void *user)
{
    struct crowd_worker *worker = user;
    char text[2048];

    for (uint32_t i = 0; i < outbox->count; i++) {
        size_t len =
            outbox->items[i].len < sizeof text - 1 ? outbox->items[i].len : sizeof text - 1;
        memcpy(text, outbox->buffer + outbox->items[i].offset, len);
        text[len] = '\0';
        take_answer(worker->crowd, worker, text);
    }
    outbox->count = 0;
    outbox->used = 0;
}

static struct later *later_new(struct crowd *crowd, struct list_of_later *list, size_t len)
{
    struct later *later = calloc(1, sizeof *later + len + 1);

    if (later == NULL)
        abort();
    later->due_ms = crowd->now_ms;
    *list->end = later;
    list->end = &later->next;
    return later;
}

static struct later *later_take(struct list_of_later *list, uint64_t now_ms)
{
    struct later *later = list->first;

    if (later == NULL || later->due_ms > now_ms)
        return NULL;
    list->first = later->next;
    if (list->first == NULL)
        list->end = &list->first;
    return later;
}

static bool post(void *user, unsigned to, const struct core_mail *mail)
{
    struct crowd *crowd = ((struct crowd_worker *)user)->crowd;
    struct later *later = later_new(crowd, &crowd->workers[to].letters, mail->bytes.len);

    later->mail = *mail;
    if (mail->bytes.len > 0)
        memcpy(later->bytes, mail->bytes.data, mail->bytes.len);
    later->mail.bytes.data = later->bytes;
    return true;
}

static enum err append(void *user, const struct durable_op *op, struct id token)
{
    struct crowd_worker *worker = user;
    struct crowd *crowd = worker->crowd;
    char name[32];

    snprintf(name, sizeof name, "%.*s", SLICE_ARG(op->key));
    uint32_t phone = (uint32_t)strtoul(name + 1, NULL, 10);
    struct kept *kept = &crowd->durable[phone];
    if (op->value.len > sizeof kept->block || phone >= crowd->count)
        abort(); /* the simulator's own limit */
    kept->len = (uint16_t)op->value.len;
    memcpy(kept->block, op->value.data, op->value.len);
    struct later *later = later_new(crowd, &worker->receipts, 0);
    later->due_ms = crowd->now_ms + RECEIPT_MS;
    later->token = token;
    return OK;
}

static void log_nothing(void *user, enum core_log_level level, const char *event, struct slice text)
{
    (void)user, (void)level, (void)event, (void)text;
}

/* ---- the node ---- */

static struct core_config config_of(struct crowd *crowd, struct crowd_worker *worker)
{
    static const struct hash_key key = {{3, 4}};

    return (struct core_config){
        .worker = worker->index,
        .workers = WORKERS,
        .boot = crowd->boot,
        .seed = crowd->seed + crowd->boot * 16 + worker->index,
        .hash_seed = 77,
        .token_key = key,
        .loop_key = key,
        .nonce_key = key,
        .memory_max = (size_t)1 << 30,
        .transactions_max = 262144,
        .registrations_max = 65536,
        .nonce_windows_max = 65536,
        .listeners = crowd->listeners,
        .listener_count = COUNT_OF(crowd->listeners),
        .auth_required = true,
        .nonce_lifetime_ms = 300000,
        .algorithms = {SIP_MD5},
        .realm = SLICE("crowd.example"),
        .registrar = {.default_expires = EXPIRES_S,
                      .min_expires = 60,
                      .max_expires = EXPIRES_S,
                      .max_contacts = 10,
                      .gruu = true},
        .wait = {.wait_ms = 20000, .awake_ms = 10000, .max = 16},
        .ping = {.every_ms = 25000, .misses = 3, .rate = 1000},
        .timer_c_ms = 181000,
        .overload_target_ms = 50,
        .overload_interval_ms = 100,
        .overload_last_ms = 200,
        .guard = {.sources_max = 262144,
                  .bars_max = 4096,
                  .stranger = {30, 120},
                  .strangers = {1000 / WORKERS, 1000 / WORKERS / 4 + 1},
                  .vouched = {500, 2000},
                  .calls = {50, 50},
                  .user = {50, 200},
                  .points_max = 30,
                  .bar_ms = 60000,
                  .bar_max_ms = 900000},
        .outbox = &worker->outbox,
        .location = table_interface(crowd->table),
        .durable = {.user = worker, .append = append},
        .ops = {.user = worker, .post = post, .log = log_nothing},
        .resolve = resolve_limits_default(),
        .policy = crowd->policy,
    };
}

static void restore(struct crowd *crowd)
{
    char name[32];

    for (uint32_t phone = 0; phone < crowd->count; phone++) {
        snprintf(name, sizeof name, "u%u", phone);
        for (unsigned w = 0; w < WORKERS && crowd->durable[phone].len > 0; w++)
            core_restore(crowd->workers[w].core, slice_of(name),
                         (struct slice){crowd->durable[phone].block, crowd->durable[phone].len},
                         crowd->wall_ms);
    }
}

static void start(struct crowd *crowd)
{
    struct table_config table = {
        .workers = WORKERS, .memory_max = (size_t)1 << 30, .quiesce = &crowd->quiesce};

    crowd->boot++;
    crowd->registered = 0;
    quiesce_init(&crowd->quiesce);
    if (table_open(&table, &crowd->table) != OK)
        abort();
    for (unsigned w = 0; w < WORKERS; w++) {
        struct crowd_worker *worker = &crowd->workers[w];
        worker->seat = quiesce_join(&crowd->quiesce);
        quiesce_online(&crowd->quiesce, worker->seat);
        worker->outbox = (struct outbox){.flush = flush, .user = worker, .buffer = worker->buffer};
        worker->queue = (struct queue){0};
        worker->letters = (struct list_of_later){.end = &worker->letters.first};
        worker->receipts = (struct list_of_later){.end = &worker->receipts.first};
        worker->busy_us = 0;
        struct core_config config = config_of(crowd, worker);
        if (core_open(&config, crowd->now_ms, crowd->wall_ms, &worker->core) != OK)
            abort();
    }
    restore(crowd);
    crowd->up = true;
}

static void stop(struct crowd *crowd)
{
    crowd->up = false;
    for (unsigned w = 0; w < WORKERS; w++) {
        struct crowd_worker *worker = &crowd->workers[w];
        struct later *later;
        core_close(worker->core);
        while ((later = later_take(&worker->letters, UINT64_MAX)) != NULL)
            free(later);
        while ((later = later_take(&worker->receipts, UINT64_MAX)) != NULL)
            free(later);
        while (worker->queue.first != 0)
            try_later(crowd, dequeue(crowd, &worker->queue));
    }
    table_close(crowd->table);
}

static void take_message(struct crowd *crowd, struct crowd_worker *worker, uint32_t phone)
{
    struct flow source = {
        .transport = by_tls(phone) ? TRANSPORT_TLS : TRANSPORT_TCP,
        .listener = by_tls(phone) ? 1 : 0,
        .conn = {(uint16_t)worker->index, {phone / WORKERS, crowd->phones[phone].conn}},
        .remote = addr_of_phone(phone),
        .local = crowd->listeners[0].bound,
    };
    uint64_t waited_ms = crowd->now_ms - crowd->phones[phone].arrived_ms;
    char text[TEXT_MAX];

    if (!core_may_read(worker->core, &source.remote, crowd->now_ms)) {
        crowd->read_later++;
        worker->cost_us = 2;
        crowd->phones[phone].cseq--;
        try_at(crowd, phone, READ_AGAIN_MS);
        return;
    }
    worker->cost_us = COST_REGISTER;
    crowd->registers++;
    size_t len = write_register(crowd, phone, text);
    core_waited(worker->core, LISTENER_ANY, (uint32_t)waited_ms, crowd->now_ms);
    core_receive(worker->core, (struct slice){text, len}, SIP_STREAM, &source, crowd->now_ms,
                 crowd->wall_ms);
    if (worker->outbox.count > 0)
        flush(&worker->outbox, worker);
}

/** All that a worker does in this millisecond, as far as there is time for it. */
static void work(struct crowd *crowd, struct crowd_worker *worker)
{
    uint64_t end_us = (crowd->now_ms + 1) * 1000;
    struct later *later;

    if (worker->busy_us < crowd->now_ms * 1000)
        worker->busy_us = crowd->now_ms * 1000;
    while ((later = later_take(&worker->receipts, crowd->now_ms)) != NULL) {
        core_receipt(worker->core, later->token, OK, crowd->now_ms, crowd->wall_ms);
        free(later);
    }
    if (core_next_ms(worker->core) <= crowd->now_ms)
        while (core_run(worker->core, crowd->now_ms, crowd->wall_ms, 4096))
            ;
    if (worker->outbox.count > 0)
        flush(&worker->outbox, worker);
    while (worker->busy_us < end_us && (later = later_take(&worker->letters, crowd->now_ms))) {
        worker->cost_us = COST_LETTER;
        core_mail(worker->core, &later->mail, crowd->now_ms, crowd->wall_ms);
        if (worker->outbox.count > 0)
            flush(&worker->outbox, worker);
        worker->busy_us += worker->cost_us;
        free(later);
    }
    while (worker->busy_us < end_us && worker->queue.first != 0) {
        take_message(crowd, worker, dequeue(crowd, &worker->queue));
        worker->busy_us += worker->cost_us;
    }
    quiesce_pass(&crowd->quiesce, worker->seat);
    table_turn(crowd->table, worker->index);
}

/** Until `enough` are registered, at most to `end_ms`; UINT32_MAX: to the end. */
static void pass(struct crowd *crowd, uint32_t enough, uint64_t end_ms)
{
    for (; crowd->now_ms < end_ms && (!crowd->up || crowd->registered < enough);
         crowd->now_ms++, crowd->wall_ms++) {
        uint32_t at = crowd->due[crowd->now_ms];
        while (at != 0) {
            uint32_t phone = at - 1;
            at = crowd->phones[phone].next;
            on_due(crowd, phone);
        }
        for (unsigned w = 0; w < WORKERS && crowd->up; w++)
            work(crowd, &crowd->workers[w]);
    }
}

/* ---- the run ---- */

/** What the cores and the table hold. */
static size_t memory_now(const struct crowd *crowd)
{
    struct table_status table;
    size_t bytes = 0;

    table_status(crowd->table, &table);
    for (unsigned w = 0; w < WORKERS; w++) {
        struct core_status status;
        core_status(crowd->workers[w].core, &status);
        bytes += status.memory_used;
    }
    return bytes + table.entry_bytes + table.array_bytes;
}

/** Phones from `first` on register, spread over as long as the strangers' share needs. */
static bool gather(struct crowd *crowd, uint32_t first, uint32_t end)
{
    for (uint32_t phone = first; phone < end; phone++)
        try_at(crowd, phone, 1 + (uint64_t)(phone - first) * 2);
    pass(crowd, end, crowd->now_ms + (uint64_t)(end - first) * 20 + 60000);
    bool all = crowd->registered >= end;
    if (!all)
        printf("only %llu of %u registered\n", (unsigned long long)crowd->registered, end);
    pass(crowd, UINT32_MAX, crowd->now_ms + CALM_MS);
    return all;
}

static bool measure(struct crowd *crowd)
{
    uint32_t half = crowd->count / 2;
    size_t conn = sizeof(struct conn);

    if (!gather(crowd, 0, half))
        return false;
    size_t before = memory_now(crowd);
    if (!gather(crowd, half, crowd->count))
        return false;
    size_t each = (memory_now(crowd) - before) / (crowd->count - half) + conn;
    printf("a connection with its registration: %zu bytes of ours, %zu of them net's; at most %d "
           "over TCP, %d over TLS with OpenSSL's own\n",
           each, conn, BOUND_TCP, BOUND_TLS);
    return each <= BOUND_TCP;
}

static bool come_back(struct crowd *crowd)
{
    stop(crowd);
    for (uint32_t phone = 0; phone < crowd->count; phone++) {
        crowd->phones[phone].conn = 0;
        crowd->phones[phone].granted = 0;
        crowd->phones[phone].tries = 0;
        try_at(crowd, phone, 1 + rng_below(&crowd->rng, 500)); /* it notices at once */
    }
    pass(crowd, 0, crowd->now_ms + DOWN_MS);
    crowd->challenged = crowd->refused = crowd->registers = crowd->read_later = 0;
    start(crowd);
    uint64_t from_ms = crowd->now_ms;
    pass(crowd, crowd->count, from_ms + RETURN_MS);
    printf("after a restart %llu of %u phones were back after %llu ms: %llu REGISTERs, %llu "
           "challenged, "
           "%llu refused, "
           "%llu times a stream was left for later\n",
           (unsigned long long)crowd->registered, crowd->count,
           (unsigned long long)(crowd->now_ms - from_ms), (unsigned long long)crowd->registers,
           (unsigned long long)crowd->challenged, (unsigned long long)crowd->refused,
           (unsigned long long)crowd->read_later);
    return crowd->registered == crowd->count;
}

/** One user for each phone. */
static void make_users(struct crowd *crowd)
{
    static const struct slice domain = {"crowd.example", 13};
    struct policy_source source = {.users = crowd->users,
                                   .user_count = crowd->count,
                                   .domains = &domain,
                                   .domain_count = 1,
                                   .seed = crowd->seed};
    struct policy_error error;

    for (uint32_t i = 0; i < crowd->count; i++) {
        struct user *user = &crowd->users[i];
        snprintf(crowd->names[i], sizeof crowd->names[i], "u%u", i);
        *user =
            (struct user){.name = slice_of(crowd->names[i]), .realm = domain, .has_digest = true};
        sip_digest_a1(SIP_MD5, user->name, user->realm, SLICE("secret"), user->digests[SIP_MD5]);
        memcpy(crowd->phones[i].a1, user->digests[SIP_MD5], SIP_HASH_MAX);
    }
    if (policy_build(&source, &error, &crowd->policy) != OK)
        abort();
}

bool crowd_run(uint64_t seed, uint32_t count)
{
    struct crowd *crowd = grab(1, sizeof *crowd);

    crowd->seed = seed;
    crowd->count = count;
    crowd->now_ms = 1000;
    crowd->wall_ms = UINT64_C(1700000000000);
    rng_seed(&crowd->rng, seed);
    crowd->phones = grab(count, sizeof *crowd->phones);
    crowd->users = grab(count, sizeof *crowd->users);
    crowd->names = grab(count, sizeof *crowd->names);
    crowd->durable = grab(count, sizeof *crowd->durable);
    crowd->due = grab(HORIZON_MS, sizeof *crowd->due);
    for (unsigned i = 0; i < 2; i++)
        crowd->listeners[i] = (struct listener){
            .transport = i == 0 ? TRANSPORT_TCP : TRANSPORT_TLS,
            .bound = {.family = ADDR_V4, .port = i == 0 ? 5060 : 5061, .bytes = {10, 0, 0, 1}}};
    make_users(crowd);
    for (unsigned w = 0; w < WORKERS; w++) {
        crowd->workers[w] = (struct crowd_worker){.crowd = crowd, .index = w};
        crowd->workers[w].buffer = grab(1, OUTBOX_BYTES);
    }
    start(crowd);
    bool cheap = measure(crowd), back = come_back(crowd);
    if (!cheap || !back)
        printf("FAIL a crowd of %u: %s\n", count,
               !cheap ? "a connection costs too much" : "not everybody came back in time");
    stop(crowd);
    policy_free(crowd->policy);
    for (unsigned w = 0; w < WORKERS; w++)
        free(crowd->workers[w].buffer);
    free(crowd->phones);
    free(crowd->users);
    free(crowd->names);
    free(crowd->durable);
    free(crowd->due);
    free(crowd);
    return cheap && back;
}
