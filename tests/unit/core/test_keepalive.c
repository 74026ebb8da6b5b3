/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps the way to a phone behind a NAT open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

#define BINDING(type)                                                                              \
    type "\x00\x00\x21\x12\xa4\x42"                                                                \
         "twelve bytes"

/* RFC 5626 §8: by the way that it came, with the address that it came from. */
static void a_binding_request_is_answered_with_its_source(void **state)
{
    static struct world w;
    struct flow source = world_flow(40000, NULL);
    struct core_status status;

    (void)state;
    world_open(&w, 4, NULL, 0); /* whoever gets it answers */
    world_feed_bytes(&w, SLICE(BINDING("\x00\x01")), &source);
    assert_int_equal(1, w.sent_count);
    assert_int_equal(0, w.mail_count);
    assert_true(addr_equal(&source.remote, &w.sent[0].to.remote));
    assert_true(addr_equal(&source.local, &w.sent[0].to.local));
    /* 40000 and 192.0.2.1, XORed with the cookie. */
    static const char answer[] = "\x01\x01\x00\x0c\x21\x12\xa4\x42"
                                 "twelve bytes"
                                 "\x00\x20\x00\x08\x00\x01\xbd\x52\xe1\x12\xa6\x43";
    assert_memory_equal(answer, w.sent[0].text, sizeof answer - 1);
    core_status(w.core, &status);
    assert_int_equal(1, status.counters.stun_answers);
    world_close(&w);
}

static void what_needs_no_answer_gets_none(void **state)
{
    static const struct {
        struct slice bytes;
        unsigned garbage;
    } cases[] = {
        {{BINDING("\x00\x11"), 20}, 0}, /* an indication */
        {{BINDING("\x00\x01"), 19}, 1},
        {{BINDING("\x00\x02"), 20}, 1},
        {{BINDING("\x01\x01"), 20}, 1}, /* a response that nobody waits for */
        {{"\x00", 1}, 1},
        {{"\x02 sip", 5}, 1}, /* neither */
    };
    static struct world w;
    struct flow source = world_flow(40000, NULL);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        world_open(&w, 1, NULL, 0);
        world_feed_bytes(&w, cases[i].bytes, &source);
        assert_int_equal(0, w.sent_count);
        assert_int_equal(cases[i].garbage, w.core->counters.refused[CORE_R_GARBAGE]);
        world_close(&w);
    }
}

/* They come out of the share that every source has of us. */
static void a_flood_of_them_is_dropped_like_any(void **state)
{
    static struct world w;
    struct flow source = world_flow(40000, NULL);
    unsigned answered = 0;

    (void)state;
    world_open(&w, 1, NULL, 0);
    w.config.guard = (struct guard_config){.sources_max = 64, .bars_max = 16, .stranger = {10, 40}};
    world_reopen(&w);
    for (unsigned i = 0; i < 100; i++) {
        world_feed_bytes(&w, SLICE(BINDING("\x00\x01")), &source);
        answered += w.sent_count;
    }
    assert_in_range(answered, 40, 41);
    assert_int_equal(100 - answered, w.core->counters.refused[CORE_R_SOURCE_LIMIT]);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_binding_request_is_answered_with_its_source),
        cmocka_unit_test(what_needs_no_answer_gets_none),
        cmocka_unit_test(a_flood_of_them_is_dropped_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
