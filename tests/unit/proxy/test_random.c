/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls whose targets, answers, errors, delays and CANCELs come from a seed. Whatever happens:
 *
 *   - an INVITE gets either one non-2xx or one or more 2xx, never both (RFC 3261 §16.7 step 5);
 *   - a non-INVITE gets at most one final response, and no 408 (RFC 4320);
 *   - no branch is started after a 2xx, a 6xx or the caller's CANCEL;
 *   - a lower q is not tried while a higher one is pending;
 *   - the breadth of what is pending never exceeds what came in (RFC 5393);
 *   - one phone is never tried by two flows at a time;
 *   - in the end nothing is left.
 */
#include "world.h"

enum {
    CALLS = 1000,
    TARGETS = 6,
    BRANCHES = 32,
    STEP_MS = 1000, /* what left within one is seen at its end */
};

struct leg {
    struct sent request;
    unsigned target;
    unsigned breadth;
    bool pending;
    bool rang;
    uint64_t started_ms; /* Timers B and F run from here */
    uint64_t heard_ms;   /* Timer C from here */
};

struct play {
    struct world *w;
    struct rng rng;
    struct proxy_target targets[TARGETS];
    unsigned target_count;
    struct leg legs[BRANCHES];
    unsigned leg_count;
    unsigned breadth; /* incoming */
    unsigned successes, failures;
    unsigned last_status;
    bool invite;
    bool over; /* nothing may be started any more */
};

static unsigned pick(struct play *p, unsigned below)
{
    return (unsigned)rng_below(&p->rng, below);
}

static unsigned target_of(const struct sent *sent)
{
    const char *at = strstr(sent->text, "sip:bob@198.51.100.");
    assert_non_null(at);
    return (unsigned)strtoul(at + strlen("sip:bob@198.51.100."), NULL, 10) - 1;
}

static void check_pending(const struct play *p)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < p->leg_count; i++) {
        const struct leg *leg = &p->legs[i];
        if (!leg->pending)
            continue;
        sum += leg->breadth;
        for (unsigned k = i + 1; k < p->leg_count; k++) {
            const struct leg *other = &p->legs[k];
            if (!other->pending)
                continue;
            const struct proxy_target *a = &p->targets[leg->target];
            const struct proxy_target *b = &p->targets[other->target];
            assert_int_equal(a->q, b->q);
            assert_true(a->instance == 0 || a->instance != b->instance);
        }
    }
    assert_true(sum <= p->breadth);
}

static void add_leg(struct play *p, const struct sent *sent)
{
    struct leg leg = {.request = *sent,
                      .target = target_of(sent),
                      .pending = true,
                      .started_ms = p->w->now_ms,
                      .heard_ms = p->w->now_ms};
    char *breadth = world_header(sent, "Max-Breadth");

    assert_false(p->over);
    assert_true(p->leg_count < BRANCHES);
    assert_non_null(breadth);
    leg.breadth = (unsigned)strtoul(breadth, NULL, 10);
    assert_true(leg.breadth >= 1);
    free(breadth);
    for (unsigned i = 0; i < p->leg_count; i++)
        assert_int_not_equal(p->legs[i].target, leg.target);
    p->legs[p->leg_count++] = leg;
    check_pending(p);
}

static void take_response(struct play *p, const struct sent *sent)
{
    unsigned status = (unsigned)strtoul(sent->text + 8, NULL, 10);

    if (status < 200)
        return;
    if (status < 300)
        p->successes++;
    else
        p->failures++;
    p->last_status = status;
    p->over = true;
}

/* Looks at all that left. A request seen before is a retransmission. */
static void watch(struct play *p)
{
    const char *method = p->invite ? "INVITE " : "MESSAGE ";
    struct world *w = p->w;

    world_flush(&w->outbox, w);
    for (unsigned i = 0; i < w->sent_count; i++) {
        struct sent *sent = &w->sent[i];
        bool known = false;
        if (sent->taken)
            continue;
        sent->taken = true;
        if (strncmp(sent->text, "SIP/2.0 ", 8) == 0) {
            if (p->failures == 0 || !p->invite || strtoul(sent->text + 8, NULL, 10) < 300)
                take_response(p, sent); /* else it is resent: the caller sends no ACK here */
            continue;
        }
        if (strncmp(sent->text, method, strlen(method)) != 0)
            continue;
        for (unsigned k = 0; k < p->leg_count; k++)
            known |= p->legs[k].target == target_of(sent);
        if (!known)
            add_leg(p, sent);
    }
}

static void answer_leg(struct play *p, struct leg *leg)
{
    static const uint16_t finals[] = {200, 200, 302, 401, 404, 407, 408, 430,
                                      480, 486, 487, 500, 503, 600, 603, 202};
    uint16_t status = finals[pick(p, COUNT_OF(finals))];

    if (leg->pending)
        p->over |= status < 300 || status >= 600;
    leg->pending = false;
    world_answer(p->w, &leg->request, status, "tag", "");
}

/* In steps, so that what ends by itself is seen before what follows it. */
static void elapse(struct play *p, unsigned ms)
{
    for (unsigned step = 0; ms > 0; ms -= step) {
        step = ms < STEP_MS ? ms : STEP_MS;
        world_pass(p->w, step);
        for (unsigned i = 0; i < p->leg_count; i++) {
            struct leg *leg = &p->legs[i];
            leg->pending &= leg->rang ? p->w->now_ms - leg->heard_ms < WORLD_TIMER_C_MS - STEP_MS
                                      : p->w->now_ms - leg->started_ms < 32000 - STEP_MS;
        }
        watch(p);
    }
}

static void act(struct play *p)
{
    struct leg *leg = &p->legs[pick(p, p->leg_count)];

    switch (pick(p, 8)) {
    case 0:
        elapse(p, pick(p, 40000));
        break;
    case 1:
        if (p->invite && pick(p, 4) == 0) {
            proxy_cancel(p->w->proxy, p->w->server, p->w->now_ms);
            p->over = true;
        }
        break;
    case 2:
        leg->pending = false;
        world_refuse(p->w, &leg->request);
        break;
    case 3:
    case 4:
        leg->rang |= leg->pending && p->invite;
        leg->heard_ms = p->w->now_ms;
        world_answer(p->w, &leg->request, 180, "tag", "");
        break;
    case 5:
        world_answer(p->w, &leg->request, 100, NULL, "");
        leg->rang |= leg->pending && p->invite;
        break;
    default:
        answer_leg(p, leg);
        break;
    }
}

static void make_targets(struct play *p)
{
    p->target_count = 1 + pick(p, TARGETS);
    for (unsigned i = 0; i < p->target_count; i++) {
        p->targets[i] = world_target(i + 1, (uint16_t)(1000 - 300 * pick(p, 3)));
        p->targets[i].instance = pick(p, 3);
    }
}

/* Printed when a test fails: PROXY_SEED=n plays that call alone. */
static uint64_t current_seed;

static void play_call(uint64_t seed)
{
    struct play *p = calloc(1, sizeof *p);
    char line[40] = "";
    assert_non_null(p);
    rng_seed(&p->rng, seed);
    p->w = world_open((struct world_options){0});
    p->invite = pick(p, 4) != 0;
    p->breadth = 60;
    if (pick(p, 2) == 0) {
        p->breadth = 1 + pick(p, 4);
        snprintf(line, sizeof line, "Max-Breadth: %u\r\n", p->breadth);
    }
    make_targets(p);
    world_write(p->w, p->invite ? "INVITE" : "MESSAGE", "sip:bob@example.com", line, "");
    assert_int_equal(world_forward(p->w, p->targets, p->target_count), OK);
    watch(p);
    for (unsigned i = 0, steps = 5 + pick(p, 40); i < steps; i++) {
        act(p);
        watch(p);
    }
    elapse(p, 1000000);
    if (p->invite) {
        assert_true((p->failures > 0) != (p->successes > 0));
        assert_true(p->failures <= 1);
    } else {
        assert_true(p->failures + p->successes <= 1);
        assert_int_not_equal(p->last_status, 408);
    }
    world_close(p->w);
    free(p);
}

static void whatever_happens_the_rules_hold(void **state)
{
    const char *text = getenv("PROXY_SEED");
    (void)state;

    if (text != NULL) {
        play_call(strtoull(text, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= CALLS; seed++) {
        current_seed = seed;
        play_call(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_the_rules_hold),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        print_message("PROXY_SEED=%llu\n", (unsigned long long)current_seed);
    return failed;
}
