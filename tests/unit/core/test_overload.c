/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole core whose queue stands: who is refused, how, and who is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/core.h"
#include "no_table.h"

enum {
    WORKERS = 2,
    SENT_MAX = 8,
    TEXT_MAX = 4096,
    ENTRIES = 8,
};

struct entry {
    uint64_t hash; /* 0: free */
    char block[1024];
    size_t len;
};

struct world {
    struct core *cores[WORKERS];
    unsigned workers;
    struct outbox *outboxes[WORKERS];
    struct listener listener;
    struct policy *policy;
    struct entry entries[ENTRIES];
    struct core_mail mail; /* the last that was posted */
    unsigned mail_to, mail_count;
    char mail_bytes[TEXT_MAX];
    char sent[SENT_MAX][TEXT_MAX];
    unsigned sent_count;
    uint64_t now_ms;
};

static const uint64_t wall_ms = UINT64_C(1700000000123);
static const struct addr_net trusted = {.base = {.family = ADDR_V4, .bytes = {10, 9, 0, 0}},
                                        .bits = 16};

static struct entry *entry_of(struct world *w, uint64_t hash)
{
    for (size_t i = 0; i < ENTRIES; i++)
        if (w->entries[i].hash == hash || w->entries[i].hash == 0)
            return &w->entries[i];
    abort();
}

static struct slice find(void *user, struct slice key, uint64_t hash)
{
    const struct entry *entry = entry_of(user, hash);
    (void)key;
    return (struct slice){entry->block, entry->hash == hash ? entry->len : 0};
}

static enum err put(void *user, struct slice key, uint64_t hash, struct slice block, uint32_t note)
{
    struct entry *entry = entry_of(user, hash);

    (void)key;
    (void)note;
    assert_true(block.len <= sizeof entry->block);
    entry->hash = hash;
    memcpy(entry->block, block.data, block.len);
    entry->len = block.len;
    return OK;
}

static void take_out(void *user, struct slice key, uint64_t hash)
{
    (void)key;
    entry_of(user, hash)->len = 0;
}

static bool post(void *user, unsigned worker, const struct core_mail *mail)
{
    struct world *w = user;

    assert_true(mail->bytes.len <= sizeof w->mail_bytes);
    w->mail = *mail;
    if (mail->bytes.len > 0)
        memcpy(w->mail_bytes, mail->bytes.data, mail->bytes.len);
    w->mail.bytes.data = w->mail_bytes;
    w->mail_to = worker;
    w->mail_count++;
    return true;
}

static void flush(struct outbox *outbox, void *user)
{
    struct world *w = user;

    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_item *item = &outbox->items[i];
        assert_true(w->sent_count < SENT_MAX && item->len < TEXT_MAX);
        memcpy(w->sent[w->sent_count], outbox->buffer + item->offset, item->len);
        w->sent[w->sent_count++][item->len] = '\0';
    }
    outbox->count = 0;
    outbox->used = 0;
}

static void world_close(struct world *w)
{
    if (w == NULL)
        return;
    for (unsigned i = 0; i < w->workers; i++) {
        core_close(w->cores[i]);
        if (w->outboxes[i] != NULL)
            free(w->outboxes[i]->buffer);
        free(w->outboxes[i]);
    }
    policy_free(w->policy);
    free(w);
}

static bool open_worker(struct world *w, unsigned worker)
{
    static const struct slice domain = {"localhost", 9};
    struct outbox *outbox = calloc(1, sizeof *outbox);

    w->outboxes[worker] = outbox;
    if (outbox == NULL)
        return false;
    outbox->buffer = malloc(OUTBOX_BYTES);
    outbox->flush = flush;
    outbox->user = w;
    struct core_config config = {
        .worker = worker,
        .workers = w->workers,
        .boot = 1,
        .seed = 1,
        .hash_seed = 1,
        .memory_max = (size_t)64 << 20,
        .transactions_max = 100,
        .registrations_max = 10,
        .nonce_windows_max = 10,
        .listeners = &w->listener,
        .listener_count = 1,
        .realm = domain,
        .algorithms = {SIP_MD5},
        .nonce_lifetime_ms = 300000,
        .trusted = &trusted,
        .trusted_count = 1,
        .registrar = {.default_expires = 3600,
                      .min_expires = 60,
                      .max_expires = 7200,
                      .max_contacts = 10},
        .timer_c_ms = 180000,
        .overload_target_ms = 50,
        .overload_interval_ms = 100,
        .overload_last_ms = 200,
        .guard = {.sources_max = 64,
                  .bars_max = 64,
                  .points_max = 10000,
                  .bar_ms = 60000,
                  .bar_max_ms = 60000},
        .outbox = outbox,
        .location = {.user = w,
                     .find = find,
                     .find_hash = no_table_find_hash,
                     .put = put,
                     .remove = take_out},
        .ops = {.user = w, .post = post},
        .policy = w->policy,
    };
    return outbox->buffer != NULL &&
           core_open(&config, w->now_ms, wall_ms, &w->cores[worker]) == OK;
}

/** NULL when memory ends: the test is over then. */
static struct world *world_open(unsigned workers)
{
    static const struct slice domain = {"localhost", 9};
    struct policy_source source = {.domains = &domain, .domain_count = 1, .seed = 1};
    struct policy_error error;
    struct world *w = calloc(1, sizeof *w);

    if (w == NULL)
        return NULL;
    w->workers = workers;
    w->now_ms = 1000;
    w->listener = (struct listener){
        .transport = TRANSPORT_UDP,
        .bound = {.family = ADDR_V4, .port = 5060, .bytes = {127, 0, 0, 1}},
    };
    bool ok = policy_build(&source, &error, &w->policy) == OK;
    for (unsigned i = 0; ok && i < workers; i++)
        ok = open_worker(w, i);
    if (ok)
        return w;
    world_close(w);
    return NULL;
}

static struct flow from(unsigned net)
{
    return (struct flow){
        .transport = TRANSPORT_UDP,
        .remote = {.family = ADDR_V4, .port = 7060, .bytes = {10, (uint8_t)net, 0, 1}},
        .local = {.family = ADDR_V4, .port = 5060, .bytes = {127, 0, 0, 1}},
    };
}

static const char *feed_from(struct world *w, unsigned worker, unsigned net, const char *text)
{
    struct flow source = from(net);

    w->sent_count = 0;
    core_receive(w->cores[worker], slice_of(text), SIP_DATAGRAM, &source, w->now_ms, wall_ms);
    flush(w->outboxes[worker], w);
    return w->sent_count > 0 ? w->sent[0] : "";
}

static const char *feed(struct world *w, const char *text)
{
    return feed_from(w, 0, 1, text);
}

/** The queue of `worker` stands, and is so long now. */
static void stand(struct world *w, unsigned worker, uint32_t waited_ms)
{
    for (unsigned i = 0; i < 12; i++, w->now_ms += 10)
        core_waited(w->cores[worker], 0, waited_ms, w->now_ms);
    core_waited(w->cores[worker], 0, waited_ms, w->now_ms);
}

static void write_request(char text[static TEXT_MAX], const char *method, const char *id,
                          const char *via, const char *to)
{
    snprintf(text, TEXT_MAX,
             "%s sip:bob@127.0.0.1:5060 SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 10.1.0.1:7060;branch=z9hG4bK%s;rport%s\r\nMax-Forwards: 70\r\n"
             "From: <sip:alice@127.0.0.1>;tag=f%s\r\n%s\r\nCall-ID: %s@10.1.0.1\r\n"
             "CSeq: 1 %s\r\nContact: <sip:alice@10.1.0.1:7060>\r\nContent-Length: 0\r\n\r\n",
             method, id, via, id, to, id, method);
}

static const char to_bob[] = "To: <sip:bob@127.0.0.1:5060>";

static const char *invite(struct world *w, const char *id)
{
    char text[TEXT_MAX];

    write_request(text, "INVITE", id, "", to_bob);
    return feed(w, text);
}

static void write_register(char text[static TEXT_MAX], const char *id, const char *name)
{
    char to[128];

    snprintf(to, sizeof to, "To: <sip:%s@127.0.0.1:5060>", name);
    write_request(text, "REGISTER", id, "", to);
    char *uri = strstr(text, "sip:bob@"); /* the Request-URI is the domain */
    memmove(uri + 4, uri + 8, strlen(uri + 8) + 1);
}

static const char *register_bob(struct world *w, const char *id, const char *name)
{
    char text[TEXT_MAX];

    write_register(text, id, name);
    return feed(w, text);
}

static bool is(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static void to_line(const char *text, char out[static 256])
{
    const char *line = strstr(text, "\r\nTo: ");

    assert_non_null(line);
    snprintf(out, 256, "%.*s", (int)strcspn(line + 2, "\r"), line + 2);
}

static uint64_t refused(const struct world *w, unsigned worker)
{
    struct core_status status;

    core_status(w->cores[worker], &status);
    return status.counters.refused[CORE_R_OVERLOAD];
}

static uint32_t transactions(const struct world *w, unsigned worker)
{
    struct core_status status;

    core_status(w->cores[worker], &status);
    return status.transactions;
}

/* ---- one worker ---- */

static void new_calls_are_refused_without_a_trace(void **state)
{
    struct world *w = world_open(1);
    char ack[TEXT_MAX], to[256];
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    uint32_t before = transactions(w, 0);
    stand(w, 0, 51);
    const char *answer = invite(w, "c1");
    assert_true(is(answer, "SIP/2.0 503 Service Unavailable\r\n"));
    assert_int_equal(w->sent_count, 1);
    const char *retry = strstr(answer, "\r\nRetry-After: ");
    assert_non_null(retry);
    assert_in_range(strtol(retry + 15, NULL, 10), 1, 5);
    assert_non_null(strstr(answer, ";branch=z9hG4bKc1;rport=7060;received=10.1.0.1\r\n"));
    assert_int_equal(transactions(w, 0), before);
    assert_int_equal(refused(w, 0), 1);

    to_line(answer, to);
    assert_non_null(strstr(to, ";tag="));
    write_request(ack, "ACK", "c1", "", to);
    feed(w, ack);
    assert_int_equal(w->sent_count, 0);
    struct core_status status;
    core_status(w->cores[0], &status);
    assert_int_equal(status.counters.refused[CORE_R_STRAY_ACK], 0); /* known by its tag */
    assert_int_equal(status.counters.received[SIP_ACK], 1);
    assert_true(status.overloaded);
    assert_int_equal(status.queue_ms, 51);
    world_close(w);
}

static void trunks_are_not_told_when_to_come_again(void **state)
{
    struct world *w = world_open(1);
    char text[TEXT_MAX];
    (void)state;

    if (w == NULL)
        return;
    stand(w, 0, 51);
    write_request(text, "INVITE", "c1", "", to_bob);
    const char *answer = feed_from(w, 0, 9, text);
    assert_true(is(answer, "SIP/2.0 503"));
    assert_null(strstr(answer, "Retry-After"));
    world_close(w);
}

static void copies_fare_as_the_first_did(void **state)
{
    struct world *w = world_open(1);
    char tag[2][256];
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    assert_true(is(invite(w, "c1"), "SIP/2.0 100"));
    stand(w, 0, 199);
    assert_true(is(invite(w, "c1"), "SIP/2.0 100")); /* absorbed by its transaction */
    assert_true(is(invite(w, "c2"), "SIP/2.0 503"));
    to_line(w->sent[0], tag[0]);
    core_waited(w->cores[0], 0, 0, w->now_ms); /* it is over */
    assert_true(is(invite(w, "c3"), "SIP/2.0 100"));
    assert_true(is(invite(w, "c2"), "SIP/2.0 503")); /* the phone has heard it already */
    to_line(w->sent[0], tag[1]);
    assert_string_equal(tag[0], tag[1]);
    w->now_ms += 40000;
    core_waited(w->cores[0], 0, 0, w->now_ms);
    assert_true(is(invite(w, "c4"), "SIP/2.0 100"));
    assert_int_equal(refused(w, 0), 2);
    world_close(w);
}

static void what_belongs_to_calls_goes_on(void **state)
{
    struct world *w = world_open(1);
    char text[TEXT_MAX];
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    assert_true(is(invite(w, "c1"), "SIP/2.0 100"));
    stand(w, 0, 5000);
    write_request(text, "CANCEL", "c1", "", to_bob);
    assert_true(is(feed(w, text), "SIP/2.0 200"));
    static const char *const methods[] = {"INVITE", "BYE", "UPDATE", "INFO", "REGISTER"};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        char id[16];
        snprintf(id, sizeof id, "d%zu", i);
        write_request(text, methods[i], id, "", "To: <sip:bob@127.0.0.1:5060>;tag=x");
        assert_false(is(feed(w, text), "SIP/2.0 503"));
    }
    write_request(text, "OPTIONS", "o1", "", to_bob);
    assert_false(is(feed(w, text), "SIP/2.0 503"));
    write_request(text, "ACK", "c1", "", "To: <sip:bob@127.0.0.1:5060>;tag=x");
    assert_false(is(feed(w, text), "SIP/2.0 503"));
    assert_int_equal(refused(w, 0), 0);
    world_close(w);
}

static void refreshes_are_the_last_to_be_refused(void **state)
{
    struct world *w = world_open(1);
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    stand(w, 0, 200);
    assert_true(is(register_bob(w, "r2", "eve"), "SIP/2.0 503"));
    assert_true(is(register_bob(w, "r3", "bob"), "SIP/2.0 "));
    assert_false(is(w->sent[0], "SIP/2.0 503"));
    char text[TEXT_MAX];
    write_register(text, "r3b", "bob");
    assert_true(is(feed_from(w, 0, 2, text), "SIP/2.0 503")); /* from another phone */
    stand(w, 0, 201);
    assert_true(is(register_bob(w, "r4", "bob"), "SIP/2.0 503"));
    assert_int_equal(refused(w, 0), 3);
    world_close(w);
}

static void a_drain_keeps_its_answer(void **state)
{
    struct world *w = world_open(1);
    (void)state;

    if (w == NULL)
        return;
    stand(w, 0, 5000);
    core_drain(w->cores[0]);
    assert_true(is(invite(w, "c1"), "SIP/2.0 503"));
    assert_null(strstr(w->sent[0], "Retry-After"));
    assert_int_equal(refused(w, 0), 0);
    world_close(w);
}

static void peers_that_ask_are_told_in_what_passes_through(void **state)
{
    struct world *w = world_open(1);
    char text[TEXT_MAX], ringing[TEXT_MAX] = {0};
    struct builder b = builder_over(ringing, sizeof ringing - 1);
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    stand(w, 0, 200);
    write_request(text, "INVITE", "c1", ";oc;oc-algo=\"loss\" ", to_bob);
    feed_from(w, 0, 9, text);
    assert_int_equal(w->sent_count, 2);
    assert_true(is(w->sent[1], "INVITE"));
    builder_text(&b, "SIP/2.0 180 Ringing\r\n");
    for (const char *at = strstr(w->sent[1], "\r\n") + 2; *at != '\r'; at = strstr(at, "\r\n") + 2)
        if (strchr("VFTC", at[0]) != NULL && !is(at, "Contact") && !is(at, "Content"))
            builder_add(&b, (struct slice){at, strcspn(at, "\n") + 1});
    builder_text(&b, "Content-Length: 0\r\n\r\n");
    const char *passed = feed(w, ringing);
    assert_true(is(passed, "SIP/2.0 180"));
    assert_non_null(strstr(passed, "7060;oc="));
    assert_non_null(
        strstr(passed, ";oc-algo=\"loss\";oc-validity=500;oc-seq=1700000000.123;branch="));
    assert_null(strstr(passed, ";oc;"));
    assert_null(strstr(passed, "\"loss\" "));
    world_close(w);
}

static void peers_that_ask_are_told_and_refused_last(void **state)
{
    struct world *w = world_open(1);
    char text[TEXT_MAX];
    (void)state;

    if (w == NULL)
        return;
    assert_true(is(register_bob(w, "r1", "bob"), "SIP/2.0 200"));
    write_request(text, "INVITE", "c1", ";oc;oc-algo=\"loss,A\"", to_bob);
    assert_true(is(feed(w, text), "SIP/2.0 100"));
    assert_non_null(strstr(w->sent[0], ";oc=0;oc-algo=\"loss\";oc-validity=0;oc-seq="
                                       "1700000000.123\r\n"));
    assert_null(strstr(w->sent[0], "loss,A"));

    stand(w, 0, 200);
    assert_null(strstr(invite(w, "c2"), ";oc")); /* he did not ask */
    write_request(text, "INVITE", "c3", ";oc;oc-algo=\"loss\"", to_bob);
    assert_true(is(feed(w, text), "SIP/2.0 503"));            /* anybody may say so */
    assert_true(is(feed_from(w, 0, 9, text), "SIP/2.0 503")); /* a copy */
    write_request(text, "INVITE", "c3a", ";oc;oc-algo=\"loss\"", to_bob);
    assert_true(is(feed_from(w, 0, 9, text), "SIP/2.0 100"));
    const char *oc = strstr(w->sent[0], ";oc=");
    assert_non_null(oc);
    assert_in_range(strtol(oc + 4, NULL, 10), 1, 90);
    assert_non_null(strstr(oc, ";oc-algo=\"loss\";oc-validity=500;oc-seq="));

    stand(w, 0, 201);
    write_request(text, "INVITE", "c4", ";oc;oc-algo=\"loss\"", to_bob);
    assert_true(is(feed_from(w, 0, 9, text), "SIP/2.0 503"));
    assert_non_null(strstr(w->sent[0], ";oc-validity=500;"));

    w->now_ms += 60000; /* nobody came: nothing is to be kept back */
    core_waited(w->cores[0], 0, 0, w->now_ms);
    write_request(text, "INVITE", "c5", ";oc;oc-algo=\"loss\"", to_bob);
    assert_true(is(feed(w, text), "SIP/2.0 100"));
    assert_non_null(strstr(w->sent[0], ";oc=0;"));
    world_close(w);
}

/* ---- two workers ---- */

/** A Call-ID of worker 1, given to worker 0: it is passed on. */
static bool find_foreign(struct world *w, char id[static 16])
{
    for (unsigned i = 0; i < 100; i++) {
        char text[TEXT_MAX];
        snprintf(id, 16, "w%u", i);
        write_request(text, "INVITE", id, "", to_bob);
        w->mail_count = 0;
        feed(w, text);
        if (w->mail_count == 1 && w->mail_to == 1)
            return true;
    }
    return false;
}

static const char *deliver(struct world *w)
{
    w->sent_count = 0;
    core_mail(w->cores[1], &w->mail, w->now_ms, wall_ms);
    flush(w->outboxes[1], w);
    return w->sent_count > 0 ? w->sent[0] : "";
}

static void the_owner_answers_for_who_received_it(void **state)
{
    struct world *w = world_open(2);
    char id[16];
    (void)state;

    if (w == NULL)
        return;
    stand(w, 0, 51);
    assert_true(find_foreign(w, id));
    assert_true(is(deliver(w), "SIP/2.0 503")); /* worker 1 itself has no queue */
    assert_int_equal(refused(w, 1), 1);
    assert_int_equal(transactions(w, 1), 0);
    core_waited(w->cores[0], 0, 0, w->now_ms);
    assert_true(find_foreign(w, id)); /* a copy, when it is over */
    assert_true(is(deliver(w), "SIP/2.0 503"));
    world_close(w);
}

static bool feed_as(struct world *w, unsigned worker, const struct flow *source, const char *text)
{
    w->sent_count = 0;
    bool open =
        core_receive(w->cores[worker], slice_of(text),
                     flow_has_conn(source) ? SIP_STREAM : SIP_DATAGRAM, source, w->now_ms, wall_ms);
    flush(w->outboxes[worker], w);
    return open;
}

static void write_scan(char text[static TEXT_MAX], const char *id)
{
    write_request(text, "INVITE", id, "", to_bob);
    char *end = strstr(text, "Content-Length");
    snprintf(end, TEXT_MAX - (size_t)(end - text),
             "User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n");
}

static void a_scanner_is_barred_under_overload_too(void **state)
{
    (void)state;
    struct flow udp = from(1), tcp = from(2);
    struct core_status status;
    char text[TEXT_MAX];
    struct world *w = world_open(2);
    if (w == NULL)
        return;
    stand(w, 0, 100);
    tcp.transport = TRANSPORT_TCP;
    tcp.conn.id.generation = 1;
    tcp.remote.bytes[2] = 7;

    for (unsigned i = 0; i < 8; i++) { /* of both owners */
        char id[8];
        snprintf(id, sizeof id, "scan%u", i);
        write_scan(text, id);
        udp.remote.bytes[3] = (uint8_t)(10 + i);
        w->mail_count = 0;
        (void)feed_as(w, 0, &udp, text);
        assert_int_equal(0, w->sent_count); /* no 503 */
        assert_int_equal(1, w->mail_count); /* a bar for the other, not the request */
        assert_int_equal(CORE_MAIL_BAR, w->mail.kind);
        tcp.remote.bytes[3] = (uint8_t)(10 + i);
        assert_false(feed_as(w, 0, &tcp, text)); /* to be closed */
        assert_int_equal(0, w->sent_count);
    }
    core_status(w->cores[0], &status);
    assert_int_equal(16, status.counters.refused[CORE_R_SCANNER]);
    assert_int_equal(0, status.counters.refused[CORE_R_OVERLOAD]);

    write_scan(text, "mail"); /* passed on by one who would refuse it */
    struct core_mail mail = {
        .kind = CORE_MAIL_MESSAGE,
        .framing = SIP_DATAGRAM,
        .number = 1,
        .flow = from(3),
        .bytes = slice_of(text),
    };
    w->sent_count = 0;
    core_mail(w->cores[0], &mail, w->now_ms, wall_ms);
    flush(w->outboxes[0], w);
    assert_int_equal(0, w->sent_count);
    core_status(w->cores[0], &status);
    assert_int_equal(17, status.counters.refused[CORE_R_SCANNER]);
    world_close(w);
}

static void a_full_mailbox_counts_as_a_queue(void **state)
{
    struct world *w = world_open(2);
    char id[16];
    (void)state;

    if (w == NULL)
        return;
    assert_true(find_foreign(w, id));
    for (unsigned i = 0; i < 12; i++) {
        w->now_ms += 20;
        w->mail.posted_ms = w->now_ms - 60;          /* it came so late */
        assert_false(is(deliver(w), "SIP/2.0 503")); /* the first, and copies of it */
    }
    char *branch = memmem(w->mail_bytes, w->mail.bytes.len, "z9hG4bKw", 8);
    assert_non_null(branch);
    branch[7] = 'x'; /* another request */
    assert_true(is(deliver(w), "SIP/2.0 503"));
    world_close(w);
}

static void a_letter_of_a_turn_that_began_later_has_not_waited(void **state)
{
    struct world *w = world_open(2);
    struct core_status status;
    char id[16];
    (void)state;

    if (w == NULL)
        return;
    assert_true(find_foreign(w, id));
    for (unsigned i = 0; i < 12; i++) {
        w->now_ms += 20;
        w->mail.posted_ms = w->now_ms + 3; /* each turn has a time of its own */
        assert_false(is(deliver(w), "SIP/2.0 503"));
    }
    char *branch = memmem(w->mail_bytes, w->mail.bytes.len, "z9hG4bKw", 8);
    assert_non_null(branch);
    branch[7] = 'x'; /* another request */
    assert_false(is(deliver(w), "SIP/2.0 503"));
    core_status(w->cores[1], &status);
    assert_false(status.overloaded);
    assert_int_equal(status.queue_ms, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_calls_are_refused_without_a_trace),
        cmocka_unit_test(trunks_are_not_told_when_to_come_again),
        cmocka_unit_test(copies_fare_as_the_first_did),
        cmocka_unit_test(what_belongs_to_calls_goes_on),
        cmocka_unit_test(refreshes_are_the_last_to_be_refused),
        cmocka_unit_test(a_drain_keeps_its_answer),
        cmocka_unit_test(peers_that_ask_are_told_and_refused_last),
        cmocka_unit_test(peers_that_ask_are_told_in_what_passes_through),
        cmocka_unit_test(the_owner_answers_for_who_received_it),
        cmocka_unit_test(a_scanner_is_barred_under_overload_too),
        cmocka_unit_test(a_full_mailbox_counts_as_a_queue),
        cmocka_unit_test(a_letter_of_a_turn_that_began_later_has_not_waited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
