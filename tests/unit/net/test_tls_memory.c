/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL without memory: its allocations come to us, so that any of them can be made to fail;
 * ./dev oom does so, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "tls_world.h"

/* OpenSSL's allocations are ours: any of them can be made to fail. */
static unsigned long allocations, failing;

static bool fails_now(void)
{
    return ++allocations == failing;
}

static void *count_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return fails_now() ? NULL : malloc(size);
}

static void *count_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return fails_now() ? NULL : realloc(old, size);
}

static void count_free(void *old, const char *file, int line)
{
    (void)file;
    (void)line;
    free(old);
}

/* One connection, as far as it comes. True: it came to its end. */
static bool try_connection(struct tls_world *w)
{
    const struct addr addr = {.family = ADDR_V4, .port = 5061, .bytes = {192, 0, 2, 1}};
    bool ready = false;

    pipe_open(&w->server_end, &w->client_end);
    w->server = tls_filter_accept(w->server_worker, &w->server_end.filter);
    w->client =
        tls_filter_dial(w->client_worker, &w->client_end.filter, SLICE("sip.example.com"), &addr);
    if (w->server != NULL && w->client != NULL)
        ready = tls_world_shake(w).ready;
    tls_world_hang_up(w);
    return ready;
}

static void without_memory_a_connection_fails_and_the_next_one_does_not(void **state)
{
    enum {
        RUNS = 60
    };
    struct tls_world *w = *state;
    unsigned failed = 0;

    assert_true(try_connection(w));
    unsigned long before = allocations;
    assert_true(try_connection(w));
    unsigned long needed = allocations - before;
    assert_true(needed > RUNS); /* else they are not counted */
    for (unsigned i = 0; i < RUNS; i++) {
        failing = allocations + 1 + i * needed / RUNS;
        failed += !try_connection(w);
        failing = 0;
    }
    assert_true(failed > RUNS / 4); /* some of what is missed is not needed: a ticket, a cache */
    assert_true(try_connection(w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_memory_a_connection_fails_and_the_next_one_does_not,
                                        tls_world_set_up, tls_world_tear_down),
    };
    if (CRYPTO_set_mem_functions(count_malloc, count_realloc, count_free) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
