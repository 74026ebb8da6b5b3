/* SPDX-License-Identifier: Apache-2.0 */
/* The best response (RFC 3261 §16.7 step 6) of every pair and many triples of outcomes, against a
 * list of classes in the order of preference. */
#include "world.h"

enum {
    TIMEOUT = 1,
    REFUSED = 2
};

static const uint16_t outcomes[] = {300, 302, 400, 401, 403, 404, 407,     408,
                                    415, 420, 430, 480, 482, 484, 486,     487,
                                    488, 500, 502, 503, 600, 603, TIMEOUT, REFUSED};

/* One class a line, the best first; within one the first that came. */
static const uint16_t classes[][8] = {
    {600, 603},
    {300, 302},
    {401, 407},
    {415, 420, 484},
    {400, 403, 404, 486, 488},
    {408, 430, 480, 482, 487},
    {500, 502},
    {503},
    {TIMEOUT},
    {REFUSED},
};

/* What the caller should be told; 0: nothing. */
static unsigned expected(const uint16_t *given, unsigned count, bool invite)
{
    for (size_t i = 0; i < COUNT_OF(classes); i++) {
        for (unsigned k = 0; k < count; k++) {
            uint16_t outcome = !invite && given[k] == 408 ? (uint16_t)TIMEOUT : given[k];
            for (unsigned n = 0; n < COUNT_OF(classes[i]); n++) {
                if (outcome != classes[i][n])
                    continue;
                if (outcome == 503 || outcome == REFUSED)
                    return 500;
                if (outcome == TIMEOUT)
                    return invite ? 408 : 0;
                return outcome;
            }
        }
    }
    return 0;
}

static void run(const uint16_t *given, unsigned count, bool invite, bool serial)
{
    const char *method = invite ? "INVITE" : "MESSAGE";
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[3];
    char start[32];

    for (unsigned i = 0; i < count; i++)
        targets[i] = world_target(i + 1, serial ? (uint16_t)(900 - i) : 900);
    world_write(w, method, "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, targets, count), OK);
    for (unsigned i = 0; i < count; i++) {
        struct sent *sent = world_expect(w, world_start(method, i + 1));
        if (given[i] == REFUSED)
            world_refuse(w, sent);
        else if (given[i] != TIMEOUT)
            assert_true(world_answer(w, sent, given[i], "tag", ""));
        else if (serial)
            world_pass(w, 32000);
        if (serial && given[i] >= 600)
            break;
    }
    world_pass(w, 32000);
    unsigned status = expected(given, count, invite);
    if (serial && given[0] >= 600)
        status = given[0];
    snprintf(start, sizeof start, "SIP/2.0 %u", status);
    if (status != 0)
        world_expect(w, start);
    world_forget_sent(w); /* but retransmissions have no other status */
    world_close(w);
}

static void of_each_pair_the_better_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        for (size_t k = 0; k < COUNT_OF(outcomes); k++) {
            const uint16_t given[] = {outcomes[i], outcomes[k]};
            run(given, 2, true, false);
        }
    }
}

static void of_each_pair_of_a_non_invite_the_better_is_told_but_never_408(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        for (size_t k = 0; k < COUNT_OF(outcomes); k++) {
            const uint16_t given[] = {outcomes[i], outcomes[k]};
            run(given, 2, false, false);
        }
    }
}

static void one_after_the_other_gives_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        const uint16_t given[] = {outcomes[i], outcomes[(i * 7 + 3) % COUNT_OF(outcomes)],
                                  outcomes[(i * 5 + 11) % COUNT_OF(outcomes)]};
        /* A 6xx ends the search: what would come after it is not asked. */
        unsigned count = given[1] >= 600 ? 2 : 3;
        run(given, given[0] >= 600 ? 1 : count, true, true);
    }
}

static void of_random_triples_the_best_is_told(void **state)
{
    struct rng rng;
    (void)state;

    rng_seed(&rng, 5);
    for (unsigned i = 0; i < 400; i++) {
        uint16_t given[3];
        for (unsigned k = 0; k < 3; k++)
            given[k] = outcomes[rng_below(&rng, COUNT_OF(outcomes))];
        run(given, 3, rng_below(&rng, 2) == 0, false);
    }
}

static void after_a_cancel_487_is_preferred_to_all_but_6xx(void **state)
{
    (void)state;
    for (uint16_t status = 300; status < 700; status++) {
        if (status == 487)
            continue;
        if (status < 600)
            assert_true(response_rank(487, true) < response_rank(status, true));
        else
            assert_true(response_rank(487, true) > response_rank(status, true));
    }
}

static void the_caller_who_cancelled_is_told_487_though_another_was_busy(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, one, 407, "one", ""));
    assert_true(world_answer(w, two, 180, "two", ""));
    world_ignore(w);
    world_cancel(w);
    world_ignore(w);
    assert_true(world_answer(w, two, 487, "two", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 487");
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_each_pair_the_better_is_told),
        cmocka_unit_test(of_each_pair_of_a_non_invite_the_better_is_told_but_never_408),
        cmocka_unit_test(one_after_the_other_gives_the_same),
        cmocka_unit_test(of_random_triples_the_best_is_told),
        cmocka_unit_test(after_a_cancel_487_is_preferred_to_all_but_6xx),
        cmocka_unit_test(the_caller_who_cancelled_is_told_487_though_another_was_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
