/* SPDX-License-Identifier: Apache-2.0 */
/* What a core takes is within what core_memory_max() says, with all its tables full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/core.h"
#include "heap.h"
#include "no_table.h"

enum {
    TRANSACTIONS = 3000,
    SOURCES = 4096,
};

static const struct addr_net trusted[] = {{{ADDR_V4, 0, 0, 0, {10}}, 8}};
static const struct listener listener = {
    .transport = TRANSPORT_UDP,
    .bound = {ADDR_V4, 0, 5060, 0, {10, 0, 0, 1}},
};

static bool post(void *user, unsigned worker, const struct core_mail *mail)
{
    (void)user;
    (void)worker;
    (void)mail;
    return true;
}

static struct addr local_address(void *user, uint8_t at, const struct addr *remote)
{
    (void)user;
    (void)at;
    (void)remote;
    return listener.bound;
}

static void forget(struct outbox *outbox, void *user)
{
    (void)user;
    outbox->count = 0;
    outbox->used = 0;
}

static char buffer[OUTBOX_BYTES];
static struct outbox outbox = {.flush = forget, .buffer = buffer};

static struct core_config config_of(const struct policy *policy)
{
    return (struct core_config){
        .workers = 1,
        .boot = 1,
        .seed = 1,
        .hash_seed = 2,
        .memory_max = (size_t)64 << 20,
        .transactions_max = TRANSACTIONS,
        .registrations_max = 256,
        .nonce_windows_max = 512,
        .listeners = &listener,
        .listener_count = 1,
        .realm = SLICE("example.com"),
        .algorithms = {SIP_MD5},
        .nonce_lifetime_ms = 300000,
        .trusted = trusted,
        .trusted_count = 1,
        .registrar = {.default_expires = 3600,
                      .min_expires = 60,
                      .max_expires = 7200,
                      .max_contacts = 10},
        .timer_c_ms = 180000,
        .guard = {.sources_max = SOURCES, .bars_max = 256, .stranger = {10, 10}},
        .outbox = &outbox,
        .location = {.find = no_table_find,
                     .find_hash = no_table_find_hash,
                     .put = no_table_put,
                     .remove = no_table_remove},
        .ops = {.post = post, .local_address = local_address},
        .policy = policy,
    };
}

/** A call to a user who is not there: answered, and kept as a transaction for a while. */
static void invite(struct core *core, unsigned n)
{
    char text[512];
    struct flow source = {
        .transport = TRANSPORT_UDP,
        .remote = {ADDR_V4, 0, 5060, 0, {10, 0, (uint8_t)(n >> 8), (uint8_t)n}},
        .local = listener.bound,
    };
    int len = snprintf(text, sizeof text,
                       "INVITE sip:nobody@example.com SIP/2.0\r\n"
                       "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bK%u\r\nMax-Forwards: 70\r\n"
                       "From: <sip:a@example.org>;tag=%u\r\nTo: <sip:nobody@example.com>\r\n"
                       "Call-ID: %u\r\nCSeq: 1 INVITE\r\nContact: <sip:a@10.0.0.9>\r\n"
                       "Content-Length: 0\r\n\r\n",
                       n, n, n);

    (void)core_receive(core, (struct slice){text, (size_t)len}, SIP_DATAGRAM, &source, 1000, 1000);
    forget(&outbox, NULL);
}

static void a_full_core_is_within_what_was_computed(void **state)
{
    (void)state;
    static const struct slice domains[] = {{"example.com", 11}};
    const struct policy_source source = {.domains = domains, .domain_count = 1, .seed = 1};
    struct policy_error error;
    struct policy *policy = NULL;
    assert_int_equal(OK, policy_build(&source, &error, &policy));
    struct core_config config = config_of(policy);
    const struct core_memory most = core_memory_max(&config);
    struct core *core = NULL;

    size_t before = heap_live();
    assert_int_equal(OK, core_open(&config, 1000, 1000, &core));
    for (unsigned n = 0; n < 2 * TRANSACTIONS; n++)
        invite(core, n);
    struct core_status status;
    core_status(core, &status);
    assert_int_equal(TRANSACTIONS, status.transactions); /* full: the others were refused */
    assert_true(status.counters.refused[CORE_R_FULL] > 0);

    size_t live = heap_live() - before;
    size_t pools =
        status.memory_held > status.memory_used ? status.memory_held : status.memory_used;
    assert_true(pools <= most.pools);
    assert_true(live <= most.pools + most.tables + most.guard);
    assert_true(live - pools <= most.tables + most.guard);
    assert_true(live - pools >= most.guard); /* what is left is not nothing */
    core_close(core);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_core_is_within_what_was_computed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
