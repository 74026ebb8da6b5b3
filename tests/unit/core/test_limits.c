/* SPDX-License-Identifier: Apache-2.0 */
/* Two workers of one node: what each drops unread, and what they tell each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/binding.h"
#include "core/core.h"
#include "no_table.h"

enum {
    WORKERS = 2,
    FAILURES = 5,
    BAR_MS = 60000,
};
#define T0        UINT64_C(1000000)
#define AT(value) ((const struct addr[]){value})

static const struct listener listener = {
    .transport = TRANSPORT_UDP,
    .bound = {ADDR_V4, 0, 5060, 0, {10, 0, 0, 1}},
};

struct worker {
    struct core *core;
    struct outbox outbox;
    unsigned sent;
    char buffer[OUTBOX_BYTES];
};

static struct worker nodes[WORKERS];
static struct policy *policy;
static bool mailboxes_full;
static unsigned letters; /* that arrived */
static uint64_t now_ms;

static bool post(void *user, unsigned worker, const struct core_mail *mail)
{
    (void)user;
    if (mailboxes_full)
        return false;
    letters++;
    core_mail(nodes[worker].core, mail, now_ms, now_ms);
    return true;
}

static struct addr local_address(void *user, uint8_t at, const struct addr *remote)
{
    (void)user;
    (void)at;
    (void)remote;
    return listener.bound;
}

static void count_sent(struct outbox *outbox, void *user)
{
    struct worker *worker = user;

    worker->sent += outbox->count;
    outbox->count = 0;
    outbox->used = 0;
}

static struct core_config config_of(unsigned index)
{
    return (struct core_config){
        .worker = index,
        .workers = WORKERS,
        .boot = 1,
        .seed = index + 1,
        .hash_seed = 2,
        .memory_max = (size_t)16 << 20,
        .transactions_max = 1000,
        .registrations_max = 256,
        .nonce_windows_max = 512,
        .listeners = &listener,
        .listener_count = 1,
        .auth_required = true,
        .realm = SLICE("example.com"),
        .algorithms = {SIP_MD5},
        .nonce_lifetime_ms = 300000,
        .registrar = {.default_expires = 3600,
                      .min_expires = 60,
                      .max_expires = 7200,
                      .max_contacts = 10},
        .timer_c_ms = 180000,
        .guard = {.sources_max = 1024,
                  .bars_max = 64,
                  .stranger = {10, 20},
                  .strangers = {1000, 1000},
                  .vouched = {100, 400},
                  .points_max = 30,
                  .failures_max = FAILURES,
                  .address_failures_max = 100,
                  .failure_window_ms = 600000,
                  .bar_ms = BAR_MS,
                  .bar_max_ms = 900000},
        .outbox = &nodes[index].outbox,
        .location = {.find = no_table_find,
                     .find_hash = no_table_find_hash,
                     .put = no_table_put,
                     .remove = no_table_remove},
        .ops = {.post = post, .local_address = local_address},
        .policy = policy,
    };
}

static int set_up(void **state)
{
    static const struct slice domains[] = {{"example.com", 11}};
    static const struct user users[] = {{.name = {"alice", 5}}};
    const struct policy_source source = {
        .users = users, .user_count = 1, .domains = domains, .domain_count = 1, .seed = 1};
    struct policy_error error;

    (void)state;
    mailboxes_full = false;
    letters = 0;
    now_ms = T0;
    policy = NULL;
    assert_int_equal(OK, policy_build(&source, &error, &policy));
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &nodes[i];
        worker->core = NULL;
        worker->sent = 0;
        worker->outbox =
            (struct outbox){.flush = count_sent, .user = worker, .buffer = worker->buffer};
        struct core_config config = config_of(i);
        assert_int_equal(OK, core_open(&config, now_ms, now_ms, &worker->core));
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++)
        core_close(nodes[i].core);
    policy_free(policy);
    return 0;
}

static struct addr v4(uint32_t number)
{
    return (struct addr){ADDR_V4,
                         0,
                         5060,
                         0,
                         {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8),
                          (uint8_t)number}};
}

/** Gives a message to a worker; returns how many messages it made the node send. */
static unsigned give(unsigned worker, struct addr from, enum transport transport,
                     struct slice bytes, bool *open)
{
    struct flow source = {.transport = (uint8_t)transport, .remote = from, .local = listener.bound};
    enum sip_framing framing = transport == TRANSPORT_UDP ? SIP_DATAGRAM : SIP_STREAM;
    unsigned before = nodes[0].sent + nodes[1].sent;

    *open = core_receive(nodes[worker].core, bytes, framing, &source, now_ms, now_ms);
    for (unsigned i = 0; i < WORKERS; i++)
        count_sent(&nodes[i].outbox, &nodes[i]);
    return nodes[0].sent + nodes[1].sent - before;
}

static unsigned options(unsigned worker, struct addr from, const char *agent)
{
    static unsigned n;
    char text[512];
    bool open;
    int len = snprintf(text, sizeof text,
                       "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.9;"
                       "branch=z9hG4bK%u\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.org>;tag=1\r\n"
                       "To: <sip:example.com>\r\nCall-ID: %u\r\nCSeq: 1 OPTIONS\r\n%s%s"
                       "Content-Length: 0\r\n\r\n",
                       n, n, agent != NULL ? "User-Agent: " : "", agent != NULL ? agent : "");

    n++;
    return give(worker, from, TRANSPORT_UDP, (struct slice){text, (size_t)len}, &open);
}

static uint64_t refused(unsigned worker, enum core_reason reason)
{
    struct core_status status;
    core_status(nodes[worker].core, &status);
    return status.counters.refused[reason];
}

static unsigned answered(unsigned worker, struct addr from, unsigned count)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < count; i++)
        sent += options(worker, from, NULL);
    return sent;
}

static void what_is_over_the_share_is_dropped_unread_and_counted(void **state)
{
    (void)state;
    assert_int_equal(20, answered(0, v4(1), 100));
    assert_int_equal(80, refused(0, CORE_R_SOURCE_LIMIT));
    assert_int_equal(20, answered(1, v4(1), 100)); /* each worker counts for itself */
    assert_int_equal(20, answered(0, v4(2), 100));
}

static void a_proof_in_one_worker_is_known_in_the_others(void **state)
{
    (void)state;
    const struct core_mail mail = {
        .kind = CORE_MAIL_VOUCH, .number = 3600000, .flow = {.remote = v4(1)}};

    core_mail(nodes[1].core, &mail, now_ms, now_ms);
    assert_int_equal(400, answered(1, v4(1), 1000));
    assert_int_equal(20, answered(0, v4(1), 1000));
}

static void who_was_registered_is_known_after_a_restart(void **state)
{
    (void)state;
    static char text[4096];
    struct builder b = builder_over(text, sizeof text);
    struct binding_set set = {.aor = SLICE("alice"), .count = 1};
    set.items[0] = (struct binding){
        .contact = SLICE("sip:alice@10.0.0.7"),
        .call_id = SLICE("x"),
        .expires_ms = now_ms + 3600000,
        .flow = {.transport = TRANSPORT_UDP, .remote = v4(7), .local = listener.bound}};

    assert_int_equal(OK, binding_set_pack(&set, &b));
    for (unsigned i = 0; i < WORKERS; i++) {
        core_restore(nodes[i].core, SLICE("alice"), builder_slice(&b), now_ms);
        assert_int_equal(400, answered(i, v4(7), 1000));
        assert_int_equal(20, answered(i, v4(8), 1000));
    }
}

/** So many failed logins, told to both workers as the others would: only one of them counts. */
static void fail_logins(unsigned worker, struct addr from, struct slice user, unsigned count)
{
    const struct core_mail mail = {
        .kind = CORE_MAIL_LOGIN_FAILED, .flow = {.remote = from}, .bytes = user};
    for (unsigned i = 0; i < count; i++)
        core_mail(nodes[worker].core, &mail, now_ms, now_ms);
}

static void a_bar_reaches_all_workers_and_is_lifted_in_each(void **state)
{
    (void)state;
    struct guard_bar_info info[4];

    fail_logins(0, v4(0xc0000207), SLICE("alice"), FAILURES);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(1, core_bars(nodes[i].core, now_ms, info, 4));
        assert_string_equal("alice@192.0.2.7", info[0].name);
        assert_int_equal(0, core_lift_bar(nodes[i].core, SLICE("bob@192.0.2.7"), now_ms));
        assert_int_equal(1, core_lift_bar(nodes[i].core, SLICE("alice@192.0.2.7"), now_ms));
        assert_int_equal(0, core_bars(nodes[i].core, now_ms, info, 4));
    }
    struct core_status status;
    core_status(nodes[0].core, &status);
    assert_int_equal(1, status.counters.bars);
}

static void a_bar_that_is_lost_on_its_way_does_no_harm(void **state)
{
    (void)state;
    struct guard_bar_info info[4];

    mailboxes_full = true;
    fail_logins(0, v4(0xc0000207), SLICE("alice"), FAILURES);
    assert_int_equal(1, core_bars(nodes[0].core, now_ms, info, 4));
    assert_int_equal(0, core_bars(nodes[1].core, now_ms, info, 4));
    assert_int_equal(1, refused(0, CORE_R_MAILBOX));

    mailboxes_full = false; /* the next failures send another */
    fail_logins(0, v4(0xc0000207), SLICE("alice"), FAILURES);
    assert_int_equal(1, core_bars(nodes[1].core, now_ms, info, 4));
}

static void an_address_is_barred_where_nobody_vouches_for_it(void **state)
{
    (void)state;
    const struct core_mail proof = {
        .kind = CORE_MAIL_VOUCH, .number = 3600000, .flow = {.remote = v4(2)}};

    for (unsigned i = 0; i < WORKERS; i++)
        core_mail(nodes[i].core, &proof, now_ms, now_ms);
    for (uint32_t i = 1; i <= 2; i++)
        fail_logins(0, v4(i), SLICE_EMPTY, 100);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(0, answered(i, v4(1), 5));
        assert_int_equal(5, refused(i, CORE_R_BARRED));
        assert_int_equal(5, answered(i, v4(2), 5));
    }
    now_ms += BAR_MS;
    assert_int_equal(5, answered(0, v4(1), 5));
}

static void a_bar_that_is_declined_is_neither_counted_nor_told(void **state)
{
    (void)state;
    const struct core_mail proof = {
        .kind = CORE_MAIL_VOUCH, .number = 3600000, .flow = {.remote = v4(2)}};
    struct core_status status;

    core_mail(nodes[0].core, &proof, now_ms, now_ms);
    fail_logins(0, v4(2), SLICE_EMPTY, 100);
    core_status(nodes[0].core, &status);
    assert_int_equal(0, status.counters.bars);
    assert_int_equal(0, letters);
    fail_logins(0, v4(1), SLICE_EMPTY, 100);
    core_status(nodes[0].core, &status);
    assert_int_equal(1, status.counters.bars);
    assert_int_equal(1, letters);
}

static void garbage_bars_a_stranger_in_all_workers(void **state)
{
    (void)state;
    bool open;

    for (unsigned i = 0; i < 11; i++)
        assert_int_equal(0, give(0, v4(1), TRANSPORT_UDP, SLICE("\1\2\3 no SIP\r\n\r\n"), &open));
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(0, answered(i, v4(1), 5));
    assert_int_equal(5, answered(0, v4(2), 5));
    /* a stream from there is not: the datagrams may have been forged */
    (void)give(1, v4(1), TRANSPORT_TCP,
               SLICE("OPTIONS sip:example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n"), &open);
    assert_true(open);
}

static void garbage_on_streams_bars_both(void **state)
{
    (void)state;
    bool open;

    for (unsigned i = 0; i < 11; i++)
        (void)give(0, v4(1), TRANSPORT_TCP, SLICE("OPTIONS sip:x SIP/2.0\r\n\r\n"), &open);
    /* the next message closes it */
    (void)give(1, v4(1), TRANSPORT_TCP,
               SLICE("OPTIONS sip:example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n"), &open);
    assert_false(open);
    assert_int_equal(0, answered(0, v4(1), 5));
}

static void a_scanner_is_dropped_and_barred_if_it_is_a_stranger(void **state)
{
    (void)state;
    const struct core_mail proof = {
        .kind = CORE_MAIL_VOUCH, .number = 3600000, .flow = {.remote = v4(2)}};

    assert_int_equal(0, options(0, v4(1), "Friendly-Scanner\r\n"));
    assert_int_equal(1, refused(0, CORE_R_SCANNER) + refused(1, CORE_R_SCANNER)); /* by the owner */
    assert_int_equal(0, answered(0, v4(1), 5));
    assert_int_equal(0, answered(1, v4(1), 5));
    for (unsigned i = 0; i < WORKERS; i++)
        core_mail(nodes[i].core, &proof, now_ms, now_ms);
    assert_int_equal(1, options(0, v4(2), "friendly-scanner\r\n"));
    assert_int_equal(1, options(0, v4(3), "my friendly-scanner\r\n"));
}

static void a_stream_passes_and_then_waits(void **state)
{
    (void)state;
    bool open = true;

    for (unsigned i = 0; i < 30; i++) {
        (void)give(0, v4(1), TRANSPORT_TCP, SLICE("BYE sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"),
                   &open);
        if (i < 10)
            assert_true(open && core_may_read(nodes[0].core, AT(v4(1)), now_ms));
    }
    assert_int_equal(0, refused(0, CORE_R_SOURCE_LIMIT));
    assert_true(core_may_read(nodes[0].core, AT(v4(2)), now_ms));
}

int main(void)
{
#define LIMITS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LIMITS_TEST(what_is_over_the_share_is_dropped_unread_and_counted),
        LIMITS_TEST(a_proof_in_one_worker_is_known_in_the_others),
        LIMITS_TEST(who_was_registered_is_known_after_a_restart),
        LIMITS_TEST(a_bar_reaches_all_workers_and_is_lifted_in_each),
        LIMITS_TEST(a_bar_that_is_lost_on_its_way_does_no_harm),
        LIMITS_TEST(an_address_is_barred_where_nobody_vouches_for_it),
        LIMITS_TEST(a_bar_that_is_declined_is_neither_counted_nor_told),
        LIMITS_TEST(garbage_bars_a_stranger_in_all_workers),
        LIMITS_TEST(garbage_on_streams_bars_both),
        LIMITS_TEST(a_scanner_is_dropped_and_barred_if_it_is_a_stranger),
        LIMITS_TEST(a_stream_passes_and_then_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
