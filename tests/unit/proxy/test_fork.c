/* SPDX-License-Identifier: Apache-2.0 */
/* Several targets: parallel and serial forking, best response, challenges, Max-Breadth, 3xx. */
#include "world.h"

static void all_of_one_q_ring_together_and_the_first_2xx_cancels_the_rest(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000), world_target(4, 500)};
    (void)state;

    world_call(w, targets, 4);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    world_expect_silence(w);
    assert_true(world_answer(w, one, 180, "one", ""));
    assert_true(world_answer(w, two, 180, "two", ""));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 180")->text, "tag=one"));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 180")->text, "tag=two"));

    assert_true(world_answer(w, one, 200, "one", ""));
    world_expect(w, "SIP/2.0 200");
    struct sent *cancel = world_expect(w, world_start("CANCEL", 2));
    assert_non_null(
        strstr(cancel->text, "\r\nReason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
    world_expect_silence(w); /* the third has not answered: its CANCEL waits (§9.1) */
    assert_true(world_answer(w, three, 100, NULL, ""));
    world_expect(w, world_start("CANCEL", 3));

    assert_true(world_answer(w, two, 487, "two", ""));
    assert_true(world_answer(w, three, 487, "three", ""));
    world_expect(w, "ACK");
    world_expect(w, "ACK");
    world_expect_silence(w);
    /* The failures of the others end nothing: the 2xx that is resent still gets through. */
    assert_true(world_answer(w, one, 200, "one", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

static void every_2xx_of_every_branch_is_forwarded(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, one, 200, "one", ""));
    assert_true(world_answer(w, two, 200, "two", ""));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 200")->text, "tag=one"));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 200")->text, "tag=two"));
    world_pass(w, 20000);
    assert_true(world_answer(w, two, 200, "two", ""));
    assert_true(world_answer(w, one, 200, "one", ""));
    assert_true(world_answer(w, one, 200, "one-more", "")); /* forked again below */
    assert_non_null(strstr(world_expect(w, "SIP/2.0 200")->text, "tag=two"));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 200")->text, "tag=one"));
    assert_non_null(strstr(world_expect(w, "SIP/2.0 200")->text, "tag=one-more"));
    world_pass(w, 12300);
    assert_int_equal(proxy_count(w->proxy), 0); /* Accepted is over (RFC 6026 §7.1) */
    world_close(w);
}

static void a_2xx_after_a_6xx_is_forwarded_and_the_6xx_is_not(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 10)};
    (void)state;

    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 180, "two", ""));
    world_ignore(w);
    assert_true(world_answer(w, one, 603, "one", ""));
    world_expect(w, "ACK");
    world_expect(w, world_start("CANCEL", 2));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    world_expect_silence(w);
    world_close(w);
}

static void a_6xx_waits_for_the_others_and_starts_no_further_target(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 10)};
    (void)state;

    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 180, "two", ""));
    world_ignore(w);
    assert_true(world_answer(w, one, 600, "one", ""));
    world_ignore(w);
    assert_true(world_answer(w, two, 487, "two", ""));
    world_expect(w, "ACK");
    assert_non_null(strstr(world_expect(w, "SIP/2.0 600")->text, "tag=one"));
    world_expect_silence(w);
    world_close(w);
}

static void lower_q_is_tried_only_after_all_of_higher_q_failed(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 200), world_target(2, 800),
                                     world_target(3, 800), world_target(4, 500)};
    (void)state;

    world_call(w, targets, 4);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 486, "two", ""));
    world_expect(w, "ACK");
    world_expect_silence(w);
    assert_true(world_answer(w, three, 404, "three", ""));
    world_expect(w, "ACK");
    struct sent *four = world_expect(w, world_start("INVITE", 4));
    world_expect_silence(w);
    world_refuse(w, four);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 480, "one", ""));
    world_expect(w, "ACK");
    assert_non_null(strstr(world_expect(w, "SIP/2.0 486")->text, "tag=two"));
    world_expect_silence(w);
    world_close(w);
}

static void a_later_branch_has_the_same_request_and_its_own_uri(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 800), world_target(2, 500)};
    (void)state;

    targets[1].routes = SLICE("<sip:edge.example.com;lr>");
    world_write(w, "INVITE", "sip:bob@example.com",
                "Proxy-Authorization: Digest username=\"alice\"\r\n"
                "P-Asserted-Identity: <sip:liar@example.com>\r\n"
                "X-Odd : kept  as it is\r\n"
                "Content-Type: text/plain\r\n",
                "a body\r\nof two lines");
    struct sip_msg *msg = calloc(1, sizeof *msg);
    assert_non_null(msg);
    assert_int_equal(sip_parse(slice_of(w->message), SIP_DATAGRAM, msg), OK);
    w->request.credentials =
        &w->msg.fields[sip_field_first(msg, SIP_F_PROXY_AUTHORIZATION) - msg->fields];
    free(msg);
    w->request.record_route = true;
    assert_int_equal(world_forward(w, targets, 2), OK);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    memset(w->message, 'x', 500); /* what was received is gone by now */
    assert_true(world_answer(w, one, 404, "one", ""));
    world_expect(w, "ACK");
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    const struct sent *both[] = {one, two};
    for (unsigned i = 0; i < 2; i++) {
        assert_null(strstr(both[i]->text, "Proxy-Authorization"));
        assert_null(strstr(both[i]->text, "P-Asserted"));
        assert_non_null(strstr(both[i]->text, "\r\nX-Odd : kept  as it is\r\n"));
        assert_non_null(strstr(both[i]->text, "\r\n\r\na body\r\nof two lines"));
        assert_non_null(strstr(both[i]->text, "\r\nRecord-Route: <sip:203.0.113.1:5060;lr;r="));
    }
    assert_non_null(strstr(two->text, "\r\nRoute: <sip:edge.example.com;lr>\r\n"));
    char *branches[] = {world_header(one, "Via"), world_header(two, "Via")};
    assert_string_not_equal(branches[0], branches[1]);
    free(branches[0]);
    free(branches[1]);
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    world_close(w);
}

/* ---- one phone, several flows ---- */

static void one_phone_is_tried_by_one_flow_and_by_the_next_only_if_that_is_dead(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000)};
    (void)state;

    targets[0].instance = targets[1].instance = targets[2].instance = 77;
    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    world_expect_silence(w);
    world_refuse(w, one);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 430, "edge", ""));
    world_expect(w, "ACK");
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 486, "three", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 486");
    world_expect_silence(w);
    world_close(w);
}

static void a_phone_that_is_busy_is_not_asked_again_by_another_flow(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 10), world_target(4, 5)};
    (void)state;

    targets[0].instance = targets[1].instance = targets[2].instance = 77;
    world_call(w, targets, 4);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 486, "one", ""));
    world_expect(w, "ACK");
    world_expect(w, world_start("INVITE", 4));
    world_expect_silence(w);
    world_pass(w, 32000);
    world_expect(w, "SIP/2.0 486");
    world_close(w);
}

/* RFC 5626 §7: a 408 may mean that the flow is dead, RFC 5627 §6.1: then the next one is tried. */
static void a_phone_that_was_silent_is_asked_by_its_next_flow(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    targets[0].instance = targets[1].instance = 77;
    world_call(w, targets, 2);
    world_pass(w, 31000);
    assert_null(world_take(w, world_start("INVITE", 2)));
    world_pass(w, 1000);
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 486, "phone", ""));
    world_expect(w, "SIP/2.0 486");
    world_close(w);
}

static void a_phone_that_rang_is_not_asked_again_by_another_flow(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    targets[0].instance = targets[1].instance = 77;
    world_call(w, targets, 2);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    assert_true(world_answer(w, one, 180, "phone", ""));
    assert_true(world_answer(w, one, 408, "phone", ""));
    world_expect(w, "SIP/2.0 408");
    assert_null(world_take(w, world_start("INVITE", 2)));
    world_close(w);
}

/* RFC 5626 §11.5: no endpoint receives a 430. */
static void a_caller_hears_480_when_all_flows_of_a_phone_are_dead(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= 2; count++) {
        struct world *w = world_open((struct world_options){0});
        struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
        targets[0].instance = targets[1].instance = 77;
        targets[0].aor = targets[1].aor = SLICE("bob");
        world_call(w, targets, count);
        for (unsigned i = 1; i <= count; i++)
            assert_true(
                world_answer(w, world_expect(w, world_start("INVITE", i)), 430, "edge", ""));
        world_expect(w, "SIP/2.0 480");
        world_close(w);
    }
}

static void a_place_is_tried_once_whoever_has_registered_it(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(1, 1000)};
    (void)state;

    targets[0].instance = 77;
    targets[1].instance = 78; /* §16.5: the same URI, and the same address */
    world_call(w, targets, 2);
    world_expect(w, world_start("INVITE", 1));
    assert_null(world_take(w, world_start("INVITE", 1)));
    world_close(w);
}

static void the_second_flow_starts_while_other_phones_ring(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000)};
    (void)state;

    targets[0].instance = targets[1].instance = 77;
    targets[2].instance = 78;
    world_call(w, targets, 3);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    world_expect(w, world_start("INVITE", 3));
    world_expect_silence(w);
    world_refuse(w, one);
    world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w);
    world_close(w);
}

/* ---- failures ---- */

static void when_all_time_out_the_answer_is_408(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 500)};
    (void)state;

    world_call(w, targets, 3);
    world_pass(w, 32000);
    world_expect(w, world_start("INVITE", 3));
    world_pass(w, 31999);
    assert_null(world_take(w, "SIP/2.0 4"));
    world_pass(w, 1);
    world_expect(w, "SIP/2.0 408");
    world_close(w);
}

static void what_failed_here_does_not_hide_what_a_phone_said(void **state)
{
    static const uint16_t said[] = {302, 404, 480, 486, 500, 600};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(said); i++) {
        struct world *w = world_open((struct world_options){0});
        struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                         world_target(3, 1000)};
        char expected[16];
        snprintf(expected, sizeof expected, "SIP/2.0 %u", said[i]);
        world_call(w, targets, 3);
        struct sent *one = world_expect(w, world_start("INVITE", 1));
        struct sent *two = world_expect(w, world_start("INVITE", 2));
        assert_true(world_answer(w, one, said[i], "one", ""));
        world_expect(w, "ACK");
        world_refuse(w, two);
        world_pass(w, 32000); /* the third never answers */
        world_expect(w, expected);
        world_close(w);
    }
}

static void timeout_and_transport_error_together_are_a_408(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
    (void)state;

    world_call(w, targets, 2);
    world_refuse(w, world_expect(w, world_start("INVITE", 1)));
    world_pass(w, 32000);
    world_expect(w, "SIP/2.0 408");
    world_close(w);
}

/* RFC 3325 §5: of what a stranger answers, as of what he asks. */
static void identities_in_answers_are_taken_off_unless_we_trust_their_sender(void **state)
{
    static const char extra[] = "P-Asserted-Identity\t: <sip:a@b>,\r\n <tel:1>\r\n"
                                "Remote-Party-ID: <sip:c@d>\r\nX-Last: y\r\n";
    static const unsigned answers[] = {180, 200, 486, 603};
    (void)state;

    for (unsigned i = 0; i < 2 * COUNT_OF(answers); i++) {
        struct world *w = world_open((struct world_options){0});
        struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
        unsigned status = answers[i / 2];
        bool trusted = i % 2 == 1;
        char start[32];

        world_call(w, targets, 2);
        struct sent *first = world_expect(w, world_start("INVITE", 1));
        struct sent *second = world_expect(w, world_start("INVITE", 2));
        w->responses_trusted = trusted;
        assert_true(world_answer(w, first, status, "t", extra));
        w->responses_trusted = !trusted; /* another's answer changes nothing */
        if (status >= 300)
            assert_true(world_answer(w, second, 500, "t", ""));
        snprintf(start, sizeof start, "SIP/2.0 %u", status);
        world_flush(&w->outbox, w);
        const struct sent *got = world_expect(w, start);
        assert_non_null(strstr(got->text, "X-Last: y"));
        assert_int_equal(trusted, strstr(got->text, "P-Asserted-Identity") != NULL);
        assert_int_equal(trusted, strstr(got->text, "Remote-Party-ID") != NULL);
        assert_int_equal(trusted, strstr(got->text, "<tel:1>") != NULL);
        world_forget_sent(w);
        world_close(w);
    }
}

/* RFC 3325 §7: a callee may want to be unknown as a caller may. */
static void identities_of_the_unknown_go_only_to_callers_we_trust(void **state)
{
    static const char *const extras[] = {
        "Privacy: user;id\r\nP-Asserted-Identity: <sip:a@b>\r\n",
        "X-Last: y\r\nP-Asserted-Identity: <sip:a@b>\r\nRemote-Party-ID: "
        "<sip:a@b>;privacy=full\r\n",
    };
    (void)state;

    for (unsigned i = 0; i < 2 * COUNT_OF(extras); i++) {
        const char *extra = extras[i / 2];
        bool trusted = i % 2 == 1;
        struct world *w = world_open((struct world_options){0});
        struct proxy_target target = world_target(1, 1000);

        w->all_trusted = trusted;
        w->responses_trusted = true;
        world_call(w, &target, 1);
        struct sent *invite = world_expect(w, world_start("INVITE", 1));
        assert_true(world_answer(w, invite, 180, "t", extra));
        const char *ringing = world_expect(w, "SIP/2.0 180")->text;
        assert_int_equal(trusted, strstr(ringing, "P-Asserted-Identity") != NULL);
        assert_true(world_answer(w, invite, 486, "t", extra));
        world_expect(w, "ACK");
        const char *busy = world_expect(w, "SIP/2.0 486")->text;
        assert_int_equal(trusted, strstr(busy, "P-Asserted-Identity") != NULL);
        assert_int_equal(trusted && i / 2 == 1, strstr(busy, "Remote-Party-ID") != NULL);
        assert_non_null(strstr(busy, i / 2 == 0 ? "Privacy: user;id" : "X-Last: y"));
        world_close(w);
    }
}

static void the_only_real_answer_being_503_becomes_500(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    world_call(w, targets, 2);
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 1)), 503, "one", ""));
    world_expect(w, "ACK");
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 2)), 503, "two", ""));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 500");
    world_expect_silence(w);
    world_close(w);
}

static void a_non_invite_takes_the_next_target_at_a_transport_error(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 500)};
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "hello");
    assert_int_equal(world_forward(w, targets, 2), OK);
    world_refuse(w, world_expect(w, world_start("MESSAGE", 1)));
    struct sent *two = world_expect(w, world_start("MESSAGE", 2));
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    assert_int_equal(proxy_count(w->proxy), 0);
    world_close(w);
}

static void a_forked_non_invite_gives_one_answer_and_no_cancel(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000)};
    (void)state;

    world_write(w, "MESSAGE", "sip:bob@example.com", "", "hello");
    assert_int_equal(world_forward(w, targets, 2), OK);
    struct sent *one = world_expect(w, world_start("MESSAGE", 1));
    struct sent *two = world_expect(w, world_start("MESSAGE", 2));
    assert_true(world_answer(w, two, 200, "two", ""));
    world_expect(w, "SIP/2.0 200");
    assert_true(world_answer(w, one, 200, "one", ""));
    world_expect_silence(w);
    world_close(w);
}

/* ---- challenges (§16.7 step 7) ---- */

static void challenges_of_all_branches_reach_the_caller_in_one_answer(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000), world_target(4, 1000)};
    (void)state;

    world_call(w, targets, 4);
    struct sent *sent[4];
    for (unsigned i = 0; i < 4; i++)
        sent[i] = world_expect(w, world_start("INVITE", i + 1));
    assert_true(world_answer(w, sent[0], 404, "one", ""));
    assert_true(world_answer(w, sent[1], 407, "two",
                             "Proxy-Authenticate: Digest realm=\"two\", nonce=\"2\"\r\n"));
    assert_true(world_answer(w, sent[2], 401, "three",
                             "WWW-Authenticate: Digest realm=\"three\", nonce=\"3\"\r\n"
                             "WWW-Authenticate: Digest realm=\"three\", nonce=\"3b\"\r\n"));
    assert_true(world_answer(w, sent[3], 407, "four",
                             "Proxy-Authenticate: Digest realm=\"four\", nonce=\"4\"\r\n"));
    struct sent *told = world_expect(w, "SIP/2.0 407");
    assert_int_equal(world_count_text(told->text, "\r\nProxy-Authenticate: "), 2);
    assert_int_equal(world_count_text(told->text, "\r\nWWW-Authenticate: "), 2);
    assert_non_null(
        strstr(told->text, "\r\nProxy-Authenticate: Digest realm=\"two\", nonce=\"2\""));
    assert_non_null(
        strstr(told->text, "\r\nWWW-Authenticate: Digest realm=\"three\", nonce=\"3b\""));
    assert_non_null(
        strstr(told->text, "\r\nProxy-Authenticate: Digest realm=\"four\", nonce=\"4\""));
    world_close(w);
}

/* ---- Max-Breadth (RFC 5393 §5.3) ---- */

static unsigned breadth_of(const struct sent *sent)
{
    char *value = world_header(sent, "Max-Breadth");
    assert_non_null(value);
    assert_int_equal(world_count_text(sent->text, "\r\nMax-Breadth:"), 1);
    unsigned breadth = (unsigned)strtoul(value, NULL, 10);
    free(value);
    return breadth;
}

static void breadth_is_divided_among_parallel_branches(void **state)
{
    static const struct {
        const char *why, *line;
        unsigned targets, started, shares[4];
    } cases[] = {
        {"absent: 60 (§5.3.3)", "", 1, 1, {60}},
        {"absent, three branches", "", 3, 3, {20, 20, 20}},
        {"7 over 3 branches", "Max-Breadth: 7\r\n", 3, 3, {3, 2, 2}},
        {"more than we allow", "Max-Breadth: 61\r\n", 1, 1, {60}},
        {"just enough", "Max-Breadth: 3\r\n", 3, 3, {1, 1, 1}},
        {"too little for all: the rest serially", "Max-Breadth: 2\r\n", 3, 2, {1, 1}},
        {"one: all serially", "Max-Breadth: 1\r\n", 3, 1, {1}},
        {"two values: one is left", "Max-Breadth: 5\r\nMax-Breadth: 9\r\n", 1, 1, {5}},
        {"not a number: as absent", "Max-Breadth: many\r\n", 1, 1, {60}},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *w = world_open((struct world_options){0});
        struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                         world_target(3, 1000)};
        print_message("%s\n", cases[i].why);
        world_write(w, "INVITE", "sip:bob@example.com", cases[i].line, "");
        assert_int_equal(world_forward(w, targets, cases[i].targets), OK);
        for (unsigned k = 0; k < cases[i].started; k++) {
            struct sent *sent = world_expect(w, world_start("INVITE", k + 1));
            assert_int_equal(breadth_of(sent), cases[i].shares[k]);
        }
        world_expect_silence(w);
        world_close(w);
    }
}

static void breadth_of_a_branch_that_ended_is_used_again(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target targets[] = {world_target(1, 1000), world_target(2, 1000),
                                     world_target(3, 1000), world_target(4, 1)};
    (void)state;

    world_write(w, "INVITE", "sip:bob@example.com", "Max-Breadth: 2\r\n", "");
    assert_int_equal(world_forward(w, targets, 4), OK);
    struct sent *one = world_expect(w, world_start("INVITE", 1));
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 486, "two", ""));
    world_expect(w, "ACK");
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_int_equal(breadth_of(three), 1);
    world_expect_silence(w);
    assert_true(world_answer(w, one, 486, "one", ""));
    assert_true(world_answer(w, three, 486, "three", ""));
    world_expect(w, "ACK");
    world_expect(w, "ACK");
    struct sent *four = world_expect(w, world_start("INVITE", 4));
    assert_int_equal(breadth_of(four), 2);
    world_close(w);
}

static void a_breadth_of_zero_permits_nothing(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_write(w, "INVITE", "sip:bob@example.com", "Max-Breadth: 0\r\n", "");
    assert_int_equal(world_forward(w, &bob, 1), ERR_NOT_FOUND);
    world_expect_silence(w);
    assert_int_equal(proxy_count(w->proxy), 0);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_close(w);
}

/* ---- 3xx (§16.7 step 4) ---- */

static void a_3xx_is_forwarded_with_its_contacts_unless_recursion_is_on(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, "INVITE"), 302, "one",
                             "Contact: <sip:carol@192.0.2.77>\r\n"));
    world_expect(w, "ACK");
    struct sent *told = world_expect(w, "SIP/2.0 302");
    assert_non_null(strstr(told->text, "Contact: <sip:carol@192.0.2.77>"));
    assert_int_equal(w->resolve_calls, 0);
    world_close(w);
}

static void recursion_follows_all_contacts_and_keeps_nothing_of_the_3xx(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->resolved[0] = world_target(2, 0);
    w->resolved[1] = world_target(3, 0);
    w->resolved_count = 2;
    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 1)), 302, "one",
                             "Contact: <sip:b@x>;q=0.7, <sip:c@y>;q=0.2\r\n"));
    world_expect(w, "ACK");
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    world_expect_silence(w);
    assert_true(world_answer(w, two, 404, "two", ""));
    world_expect(w, "ACK");
    struct sent *three = world_expect(w, world_start("INVITE", 3));
    assert_true(world_answer(w, three, 486, "three", ""));
    world_expect(w, "ACK");
    assert_non_null(world_take(w, "SIP/2.0 404"));
    world_expect_silence(w);
    world_close(w);
}

static void contacts_that_cannot_be_followed_stay_in_the_3xx(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->resolved[0] = world_target(2, 0);
    w->resolved_count = 1;
    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 1)), 302, "one",
                             "Contact: <sip:b@x>, <mailto:bob@example.com>\r\n"));
    world_expect(w, "ACK");
    struct sent *two = world_expect(w, world_start("INVITE", 2));
    assert_true(world_answer(w, two, 486, "two", ""));
    world_expect(w, "ACK");
    struct sent *told = world_expect(w, "SIP/2.0 302");
    assert_null(strstr(told->text, "sip:b@x"));
    assert_non_null(strstr(told->text, "Contact: <mailto:bob@example.com>\r\n"));
    world_close(w);
}

static void a_target_that_was_tried_is_not_tried_again_by_recursion(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->resolved[0] = world_target(1, 0);
    w->resolved_count = 1;
    world_call(w, &bob, 1);
    assert_true(world_answer(w, world_expect(w, world_start("INVITE", 1)), 302, "one",
                             "Contact: <sip:bob@198.51.100.1:5060>\r\n"));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 302");
    world_expect_silence(w);
    world_close(w);
}

static void a_sips_request_does_not_recurse_to_sip(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->resolved[0] = world_target(2, 0);
    w->resolved_count = 1;
    world_write(w, "INVITE", "sips:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    assert_true(world_answer(w, world_expect(w, "INVITE"), 302, "one",
                             "Contact: <sip:carol@192.0.2.77>\r\n"));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 302");
    assert_int_equal(w->resolve_calls, 0);
    world_close(w);
}

static void a_sip_request_does_not_recurse_to_sips(void **state)
{
    struct world *w = world_open((struct world_options){.recurse = true});
    struct proxy_target bob = world_target(1, 1000);
    (void)state;

    w->resolved[0] = world_target(2, 0);
    w->resolved_count = 1;
    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    assert_int_equal(world_forward(w, &bob, 1), OK);
    assert_true(world_answer(w, world_expect(w, "INVITE"), 302, "one",
                             "Contact: <sips:carol@192.0.2.77>\r\n"));
    world_expect(w, "ACK");
    world_expect(w, "SIP/2.0 302");
    assert_int_equal(w->resolve_calls, 0);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_one_q_ring_together_and_the_first_2xx_cancels_the_rest),
        cmocka_unit_test(every_2xx_of_every_branch_is_forwarded),
        cmocka_unit_test(a_2xx_after_a_6xx_is_forwarded_and_the_6xx_is_not),
        cmocka_unit_test(a_6xx_waits_for_the_others_and_starts_no_further_target),
        cmocka_unit_test(lower_q_is_tried_only_after_all_of_higher_q_failed),
        cmocka_unit_test(a_later_branch_has_the_same_request_and_its_own_uri),
        cmocka_unit_test(one_phone_is_tried_by_one_flow_and_by_the_next_only_if_that_is_dead),
        cmocka_unit_test(a_phone_that_is_busy_is_not_asked_again_by_another_flow),
        cmocka_unit_test(a_phone_that_was_silent_is_asked_by_its_next_flow),
        cmocka_unit_test(a_phone_that_rang_is_not_asked_again_by_another_flow),
        cmocka_unit_test(a_caller_hears_480_when_all_flows_of_a_phone_are_dead),
        cmocka_unit_test(a_place_is_tried_once_whoever_has_registered_it),
        cmocka_unit_test(the_second_flow_starts_while_other_phones_ring),
        cmocka_unit_test(when_all_time_out_the_answer_is_408),
        cmocka_unit_test(what_failed_here_does_not_hide_what_a_phone_said),
        cmocka_unit_test(timeout_and_transport_error_together_are_a_408),
        cmocka_unit_test(identities_in_answers_are_taken_off_unless_we_trust_their_sender),
        cmocka_unit_test(identities_of_the_unknown_go_only_to_callers_we_trust),
        cmocka_unit_test(the_only_real_answer_being_503_becomes_500),
        cmocka_unit_test(a_non_invite_takes_the_next_target_at_a_transport_error),
        cmocka_unit_test(a_forked_non_invite_gives_one_answer_and_no_cancel),
        cmocka_unit_test(challenges_of_all_branches_reach_the_caller_in_one_answer),
        cmocka_unit_test(breadth_is_divided_among_parallel_branches),
        cmocka_unit_test(breadth_of_a_branch_that_ended_is_used_again),
        cmocka_unit_test(a_breadth_of_zero_permits_nothing),
        cmocka_unit_test(a_3xx_is_forwarded_with_its_contacts_unless_recursion_is_on),
        cmocka_unit_test(recursion_follows_all_contacts_and_keeps_nothing_of_the_3xx),
        cmocka_unit_test(contacts_that_cannot_be_followed_stay_in_the_3xx),
        cmocka_unit_test(a_target_that_was_tried_is_not_tried_again_by_recursion),
        cmocka_unit_test(a_sips_request_does_not_recurse_to_sip),
        cmocka_unit_test(a_sip_request_does_not_recurse_to_sips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
