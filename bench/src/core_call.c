/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core_call - workload D without sockets: what the core alone costs per call.
 *
 * A call's six messages (INVITE, 180, 200, ACK, BYE, 200) go straight into one core, as the load
 * generator makes them. Run it under callgrind, or by the clock:
 *
 *     core_call [TIMES] [call|records|register|options|refuse]
 *
 * records: a call with its record; each operation is copied, and its receipt comes at once.
 *
 * refuse: an INVITE that an overloaded core refuses, and the ACK of its 503.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/core.h"

enum {
    USERS = 500,
    TEXT_MAX = 4096
};

struct entry {
    uint64_t hash; /* 0: free */
    char *block;
    size_t len;
};

static struct entry table[1 << 12];
static char sent[4][TEXT_MAX]; /* what the core sent in this turn */
static unsigned sent_count;
static uint64_t now_ms = 1000;
static const uint64_t wall_ms = UINT64_C(1700000000000);

static struct entry *entry_of(uint64_t hash)
{
    size_t at = hash % COUNT_OF(table);
    while (table[at].hash != 0 && table[at].hash != hash)
        at = (at + 1) % COUNT_OF(table);
    table[at].hash = hash;
    return &table[at];
}

static struct slice find(void *user, struct slice key, uint64_t hash)
{
    (void)user;
    (void)key;
    const struct entry *entry = entry_of(hash);
    return (struct slice){entry->block, entry->len};
}

static struct slice find_hash(void *user, uint64_t hash, struct slice *key)
{
    (void)user;
    (void)hash;
    *key = SLICE_EMPTY;
    return SLICE_EMPTY;
}

static enum err put(void *user, struct slice key, uint64_t hash, struct slice block)
{
    (void)user;
    (void)key;
    struct entry *entry = entry_of(hash);
    free(entry->block);
    entry->block = malloc(block.len);
    if (entry->block == NULL)
        return ERR_MEMORY;
    memcpy(entry->block, block.data, block.len);
    entry->len = block.len;
    return OK;
}

static void discard(void *user, struct slice key, uint64_t hash)
{
    (void)user;
    (void)key;
    (void)hash;
}

static uint64_t places(void *user, unsigned worker)
{
    (void)user;
    (void)worker;
    return 0; /* nothing expires here */
}

static struct slice at(void *user, unsigned worker, uint64_t place, struct slice *key,
                       uint64_t *hash)
{
    (void)user;
    (void)worker;
    (void)place;
    (void)key;
    (void)hash;
    return SLICE_EMPTY;
}

static void flush(struct outbox *outbox, void *user)
{
    (void)user;
    sent_count = 0;
    for (uint32_t i = 0; i < outbox->count && i < COUNT_OF(sent); i++) {
        const struct outbox_item *item = &outbox->items[i];
        size_t len = item->len < TEXT_MAX - 1 ? item->len : TEXT_MAX - 1;
        memcpy(sent[sent_count], outbox->buffer + item->offset, len);
        sent[sent_count++][len] = '\0';
    }
    outbox->count = 0;
    outbox->used = 0;
}

/** What is to be kept: copied as into the ring of the store. */
static char journal[1 << 16];
static struct id receipts[8];
static unsigned receipt_count;

static enum err append(void *user, const struct durable_op *op, struct id token)
{
    (void)user;
    memcpy(journal, op->value.data, op->value.len);
    receipts[receipt_count++] = token;
    return OK;
}

static void feed(struct core *core, struct outbox *outbox, const char *text, uint16_t port)
{
    struct flow source = {
        .transport = TRANSPORT_UDP,
        .remote = {.family = ADDR_V4, .port = port, .bytes = {127, 0, 0, 1}},
        .local = {.family = ADDR_V4, .port = 5060, .bytes = {127, 0, 0, 1}},
    };
    core_receive(core, slice_of(text), SIP_DATAGRAM, &source, now_ms, wall_ms);
    for (unsigned i = 0; i < receipt_count; i++)
        core_receipt(core, receipts[i], OK, now_ms, wall_ms);
    receipt_count = 0;
    flush(outbox, NULL);
}

/** Copies the fields of the request that a response repeats. */
static void respond(const char *request, const char *line, const char *rest, char *out)
{
    static const char *const names[] = {
        "Via:", "Record-Route:", "From:", "To:", "Call-ID:", "CSeq:"};
    size_t used = (size_t)snprintf(out, TEXT_MAX, "%s\r\n", line);

    for (const char *at = strstr(request, "\r\n") + 2; *at != '\r'; at = strstr(at, "\r\n") + 2)
        for (size_t i = 0; i < COUNT_OF(names); i++)
            if (strncmp(at, names[i], strlen(names[i])) == 0) {
                int len = (int)strcspn(at, "\r");
                bool tag = i == 3 && strstr(at, ";tag=") == NULL;
                tag = tag || (i == 3 && strstr(at, ";tag=") > at + len);
                used += (size_t)snprintf(out + used, TEXT_MAX - used, "%.*s%s\r\n", len, at,
                                         tag ? ";tag=uas0123456789abcdef" : "");
            }
    snprintf(out + used, TEXT_MAX - used, "%s", rest);
}

static const char sdp[] =
    "v=0\r\no=- 3897461 3897461 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 8 0 9 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
    "a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\n"
    "a=sendrecv\r\n";

static void register_user(struct core *core, struct outbox *outbox, unsigned user, unsigned cseq)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof text,
             "REGISTER sip:127.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bKreg%u.%u;rport\r\n"
             "Max-Forwards: 70\r\n"
             "From: <sip:%u@127.0.0.1:5060>;tag=f%u\r\nTo: <sip:%u@127.0.0.1:5060>\r\n"
             "Call-ID: reg%u@127.0.0.1\r\nCSeq: %u REGISTER\r\n"
             "Contact: <sip:%u@127.0.0.1:7070>;expires=3600\r\nContent-Length: 0\r\n\r\n",
             user, cseq, user, user, user, user, cseq, user);
    feed(core, outbox, text, 7060);
    if (sent_count != 1 || strncmp(sent[0], "SIP/2.0 200", 11) != 0) {
        fprintf(stderr, "REGISTER failed: %s\n", sent_count ? sent[0] : "nothing came");
        exit(1);
    }
}

static void refresh(struct core *core, struct outbox *outbox, unsigned number)
{
    register_user(core, outbox, 1000000 + number % USERS, 2 + number / USERS);
}

static void options(struct core *core, struct outbox *outbox, unsigned number)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof text,
             "OPTIONS sip:127.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bKopt%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:ping@127.0.0.1>;tag=f%u\r\nTo: <sip:127.0.0.1:5060>\r\n"
             "Call-ID: opt%u@127.0.0.1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
             number, number, number);
    feed(core, outbox, text, 7060);
    if (sent_count != 1 || strncmp(sent[0], "SIP/2.0 200", 11) != 0) {
        fprintf(stderr, "OPTIONS failed: %s\n", sent_count ? sent[0] : "nothing came");
        exit(1);
    }
}

/** "Route: value" of the Record-Route in a response. */
static void route_line(const char *response, char *out, size_t size)
{
    const char *at = strstr(response, "\r\nRecord-Route: ");
    if (at == NULL) {
        fprintf(stderr, "no Record-Route in: %s\n", response);
        exit(1);
    }
    at += strlen("\r\nRecord-Route: ");
    snprintf(out, size, "Route: %.*s\r\n", (int)strcspn(at, "\r"), at);
}

static void write_invite(char *text, size_t size, unsigned user, unsigned number)
{
    snprintf(text, size,
             "INVITE sip:%u@127.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bK%016xi;rport\r\nMax-Forwards: 70\r\n"
             "From: \"Caller\" <sip:1000099@127.0.0.1:5060>;tag=f%016x\r\n"
             "To: <sip:%u@127.0.0.1:5060>\r\nCall-ID: %016x@127.0.0.1\r\nCSeq: 1 INVITE\r\n"
             "Contact: <sip:1000099@127.0.0.1:7060>\r\nUser-Agent: sipload/1.0\r\n"
             "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY\r\n"
             "Supported: replaces, timer, 100rel\r\nContent-Type: application/sdp\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             user, number, number, user, number, sizeof sdp - 1, sdp);
}

static void call(struct core *core, struct outbox *outbox, unsigned number)
{
    unsigned user = 1000000 + number % USERS;
    char text[TEXT_MAX], invite[TEXT_MAX], rest[TEXT_MAX], route[600];

    write_invite(text, sizeof text, user, number);
    feed(core, outbox, text, 7060);
    if (sent_count != 2 || strncmp(sent[1], "INVITE", 6) != 0) {
        fprintf(stderr, "INVITE was not forwarded: %s\n", sent_count ? sent[0] : "nothing came");
        exit(1);
    }
    memcpy(invite, sent[1], sizeof invite);
    respond(invite, "SIP/2.0 180 Ringing", "Content-Length: 0\r\n\r\n", text);
    feed(core, outbox, text, 7070);
    snprintf(rest, sizeof rest,
             "Contact: <sip:uas@127.0.0.1:7070>\r\nContent-Type: application/sdp\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             sizeof sdp - 1, sdp);
    respond(invite, "SIP/2.0 200 OK", rest, text);
    feed(core, outbox, text, 7070);
    route_line(sent[0], route, sizeof route);
    for (int bye = 0; bye < 2; bye++) {
        snprintf(text, sizeof text,
                 "%s sip:uas@127.0.0.1:7070 SIP/2.0\r\n"
                 "Via: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bK%016x%c;rport\r\n"
                 "Max-Forwards: 70\r\n"
                 "From: \"Caller\" <sip:1000099@127.0.0.1:5060>;tag=f%016x\r\n"
                 "Call-ID: %016x@127.0.0.1\r\nUser-Agent: sipload/1.0\r\n%s"
                 "To: <sip:%u@127.0.0.1:5060>;tag=uas0123456789abcdef\r\n"
                 "CSeq: %d %s\r\nContent-Length: 0\r\n\r\n",
                 bye ? "BYE" : "ACK", number, bye ? 'b' : 'a', number, number, route, user, 1 + bye,
                 bye ? "BYE" : "ACK");
        feed(core, outbox, text, 7060);
        if (sent_count != 1) {
            fprintf(stderr, "%s was not forwarded: %s\n", bye ? "BYE" : "ACK", text);
            exit(1);
        }
    }
    respond(sent[0], "SIP/2.0 200 OK", "Content-Length: 0\r\n\r\n", text);
    feed(core, outbox, text, 7070);
}

static void refuse(struct core *core, struct outbox *outbox, unsigned number)
{
    unsigned user = 1000000 + number % USERS;
    char text[TEXT_MAX], to[256];

    if (number % 64 == 0)
        core_waited(core, 0, 100, now_ms);
    write_invite(text, sizeof text, user, number);
    feed(core, outbox, text, 7060);
    if (sent_count != 1 || strncmp(sent[0], "SIP/2.0 503", 11) != 0) {
        fprintf(stderr, "INVITE was not refused: %s\n", sent_count ? sent[0] : "nothing came");
        exit(1);
    }
    const char *at = strstr(sent[0], "\r\nTo: ") + 2;
    snprintf(to, sizeof to, "%.*s", (int)strcspn(at, "\r"), at);
    snprintf(text, sizeof text,
             "ACK sip:%u@127.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 127.0.0.1:7060;branch=z9hG4bK%016xi;rport\r\nMax-Forwards: 70\r\n"
             "From: \"Caller\" <sip:1000099@127.0.0.1:5060>;tag=f%016x\r\n%s\r\n"
             "Call-ID: %016x@127.0.0.1\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
             user, number, number, to, number);
    feed(core, outbox, text, 7060);
    if (sent_count != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    unsigned calls = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    const char *what = argc > 2 ? argv[2] : "call";
    void (*each)(struct core *, struct outbox *, unsigned) = call;
    if (strcmp(what, "register") == 0)
        each = refresh;
    else if (strcmp(what, "options") == 0)
        each = options;
    else if (strcmp(what, "refuse") == 0)
        each = refuse;
    static const struct slice domain = {"localhost", 9};
    struct policy_source source = {.domains = &domain, .domain_count = 1, .seed = 1};
    struct policy_error error;
    struct policy *policy;
    struct listener listener = {
        .transport = TRANSPORT_UDP,
        .bound = {.family = ADDR_V4, .port = 5060, .bytes = {127, 0, 0, 1}},
    };
    struct outbox *outbox = calloc(1, sizeof *outbox);
    struct core *core;

    if (outbox == NULL || policy_build(&source, &error, &policy) != OK)
        return 1;
    outbox->buffer = malloc(OUTBOX_BYTES);
    outbox->flush = flush;
    struct core_config config = {
        .workers = 1,
        .boot = 1,
        .seed = 1,
        .hash_seed = 1,
        .memory_max = (size_t)4 << 30,
        .transactions_max = 4000000,
        .registrations_max = 1000,
        .nonce_windows_max = 1000,
        .listeners = &listener,
        .listener_count = 1,
        .realm = domain,
        .algorithms = {SIP_MD5},
        .nonce_lifetime_ms = 300000,
        .registrar = {.default_expires = 3600,
                      .min_expires = 60,
                      .max_expires = 7200,
                      .max_contacts = 10},
        .timer_c_ms = 180000,
        .overload_target_ms = 50,
        .overload_interval_ms = 100,
        .overload_last_ms = 200,
        .outbox = outbox,
        .location = {NULL, find, find_hash, put, discard, places, at},
        .policy = policy,
    };
    if (strcmp(what, "records") == 0) {
        config.records = true;
        config.calls_max = 1000000;
        config.call_silence_ms = 43200000;
        config.durable.append = append;
    }
    if (core_open(&config, now_ms, wall_ms, &core) != OK)
        return 1;
    for (unsigned i = 0; i < USERS; i++)
        register_user(core, outbox, 1000000 + i, 1);

    for (unsigned i = 0; each == refuse && i < 12; i++, now_ms += 10)
        core_waited(core, 0, 100, now_ms); /* a queue that stands */
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < calls; i++) {
        each(core, outbox, i);
        if (i % 50 == 0) {
            now_ms += 10;
            core_run(core, now_ms, wall_ms, 256);
            flush(outbox, NULL);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    double us =
        (double)(end.tv_sec - begin.tv_sec) * 1e6 + (double)(end.tv_nsec - begin.tv_nsec) / 1e3;
    struct core_status status;
    core_status(core, &status);
    printf("%u times, %.2f us each (with the messages' making); %u transactions linger, %zu bytes "
           "each\n",
           calls, us / calls, status.transactions, status.memory_used / calls);
    core_close(core);
    policy_free(policy);
    free(outbox->buffer);
    free(outbox);
    for (size_t i = 0; i < COUNT_OF(table); i++)
        free(table[i].block);
    return 0;
}
