/* SPDX-License-Identifier: Apache-2.0 */
/* Which server transaction a request belongs to: RFC 3261 §17.2.3, §9.2, §8.2.2.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "txn_world.h"

struct pair {
    const char *why;
    struct request first, second;
    enum txn_verdict verdict; /* of the second */
};

static void check_pairs(const struct pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct world *w = world_open(10);
        struct flow source = world_udp(10, 5060);
        assert_int_equal(world_receive(w, &pairs[i].first, &source).verdict, TXN_NEW);
        struct txn_received second = world_receive(w, &pairs[i].second, &source);
        if (second.verdict != pairs[i].verdict)
            fail_msg("%s: verdict %d", pairs[i].why, second.verdict);
        world_close(w);
    }
}

static void a_request_matches_by_branch_sent_by_and_method(void **unused)
{
    static const struct pair pairs[] = {
        {"the same", {0}, {0}, TXN_ABSORBED},
        {"tags differ: not looked at", {.to_tag = "t"}, {.from_tag = "y"}, TXN_ABSORBED},
        {"one branch for two calls, as RFC 4475 §3.3.12 and §3.3.13 have it: another Call-ID",
         {.to_tag = "t"},
         {.to_tag = "t", .call_id = "x"},
         TXN_NEW},
        {"and another CSeq", {.to_tag = "t"}, {.to_tag = "t", .cseq = 9}, TXN_NEW},
        {"another branch", {.to_tag = "t"}, {.to_tag = "t", .branch = "z9hG4bKtwo"}, TXN_NEW},
        {"the branch's case counts",
         {.to_tag = "t"},
         {.to_tag = "t", .branch = "z9hG4bKOne"},
         TXN_NEW},
        {"a cookie in other case is a cookie, yet another branch",
         {.to_tag = "t"},
         {.to_tag = "t", .branch = "Z9hG4bKone"},
         TXN_NEW},
        {"another port",
         {.to_tag = "t"},
         {.to_tag = "t", .via = "SIP/2.0/UDP 192.0.2.10:5061"},
         TXN_NEW},
        {"another host",
         {.to_tag = "t"},
         {.to_tag = "t", .via = "SIP/2.0/UDP 192.0.2.11:5060"},
         TXN_NEW},
        {"the default port left out", {0}, {.via = "SIP/2.0/UDP 192.0.2.10"}, TXN_ABSORBED},
        {"the default port of TLS is another",
         {.to_tag = "t"},
         {.to_tag = "t", .via = "SIP/2.0/TLS 192.0.2.10"},
         TXN_NEW},
        {"hosts without case",
         {.via = "SIP/2.0/UDP Phone.Example.com"},
         {.via = "SIP/2.0/UDP phone.eXAMPLE.com:5060"},
         TXN_ABSORBED},
        {"a host of 65 characters, longer than a piece",
         {.via = "SIP/2.0/UDP "
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cCcc"},
         {.via = "SIP/2.0/UDP "
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccc"},
         TXN_ABSORBED},
        {"and one that differs in its last",
         {.to_tag = "t",
          .via = "SIP/2.0/UDP "
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccc"},
         {.to_tag = "t",
          .via = "SIP/2.0/UDP "
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.cccd"},
         TXN_NEW},
        {"another method",
         {.to_tag = "t", .method = "BYE"},
         {.to_tag = "t", .method = "INFO"},
         TXN_NEW},
        {"methods that have no number differ by name",
         {.to_tag = "t", .method = "FOO"},
         {.to_tag = "t", .method = "BAR"},
         TXN_NEW},
        {"and are equal by name", {.method = "FOO"}, {.method = "FOO"}, TXN_ABSORBED},
        {"an ACK before any answer acknowledges nothing", {0}, {.method = "ACK"}, TXN_ABSORBED},
        {"an ACK with a branch of its own",
         {0},
         {.method = "ACK", .branch = "z9hG4bKtwo"},
         TXN_ACK},
        {"an ACK does not match a BYE", {.method = "BYE"}, {.method = "ACK"}, TXN_ACK},
    };
    (void)unused;

    check_pairs(pairs, COUNT_OF(pairs));
}

#define OLD "1.2" /* a branch without the cookie */

static void without_the_cookie_the_fields_of_rfc_2543_decide(void **unused)
{
    static const struct pair pairs[] = {
        {"the same, no branch", {.branch = ""}, {.branch = ""}, TXN_ABSORBED},
        {"the same, a branch without cookie", {.branch = OLD}, {.branch = OLD}, TXN_ABSORBED},
        {"the cookie alone is none", {.branch = "z9hG4bK"}, {.branch = "z9hG4bK"}, TXN_ABSORBED},
        {"a branch of RFC 3261 is another",
         {.branch = OLD, .to_tag = "t"},
         {.to_tag = "t"},
         TXN_NEW},
        {"another Request-URI",
         {.branch = OLD, .to_tag = "t"},
         {.branch = OLD, .to_tag = "t", .uri = "sip:carol@example.com"},
         TXN_NEW},
        {"another To tag", {.branch = OLD}, {.branch = OLD, .to_tag = "t"}, TXN_NEW},
        {"another From tag",
         {.branch = OLD, .to_tag = "t"},
         {.branch = OLD, .to_tag = "t", .from_tag = "b"},
         TXN_NEW},
        {"another Call-ID",
         {.branch = OLD, .to_tag = "t"},
         {.branch = OLD, .to_tag = "t", .call_id = "b"},
         TXN_NEW},
        {"another CSeq",
         {.branch = OLD, .to_tag = "t"},
         {.branch = OLD, .to_tag = "t", .cseq = 2},
         TXN_NEW},
        {"another CSeq method",
         {.branch = OLD, .method = "BYE", .to_tag = "t"},
         {.branch = OLD, .method = "INFO", .to_tag = "t"},
         TXN_NEW},
        {"another top Via",
         {.branch = OLD, .to_tag = "t"},
         {.branch = OLD, .to_tag = "t", .via = "SIP/2.0/UDP 192.0.2.11:5060"},
         TXN_NEW},
        {"a BYE", {.branch = OLD, .method = "BYE"}, {.branch = OLD, .method = "BYE"}, TXN_ABSORBED},
    };
    (void)unused;

    check_pairs(pairs, COUNT_OF(pairs));
}

/* The ACK's To tag is that of the failure (§17.2.3); without that it is another's. */
static void an_ack_of_rfc_2543_matches_by_the_to_tag_of_the_failure(void **unused)
{
    static const struct request invite = {.branch = OLD};
    static const struct request ack_t = {.method = "ACK", .branch = OLD, .to_tag = "t"};
    static const struct request ack_u = {.method = "ACK", .branch = OLD, .to_tag = "u"};
    struct flow source = world_udp(10, 5060);
    struct world *w = world_open(10);
    char tag[TXN_TO_TAG_LEN + 1] = "";
    (void)unused;

    struct txn_received got = world_receive(w, &invite, &source);
    assert_int_equal(world_forward(w, got.id, &invite, 486, "t"), OK);
    assert_int_equal(world_receive(w, &ack_u, &source).verdict, TXN_ACK);
    assert_int_equal(world_receive(w, &ack_t, &source).verdict, TXN_ABSORBED);
    assert_int_equal(world_receive(w, &ack_t, &source).verdict, TXN_ABSORBED);
    assert_int_equal(world_receive(w, &invite, &source).verdict, TXN_ABSORBED);
    world_run(w, 5000 + LINGER_STEP_MS);
    assert_int_equal(w->sent_count, 1); /* Timer G was stopped */
    assert_int_equal(world_told(w, TOLD_SERVER_END), 1);

    got = world_receive(w, &invite, &source); /* and with a To tag of ours */
    memcpy(tag, txn_server_to_tag(w->table, got.id).data, TXN_TO_TAG_LEN);
    world_reply(w, got.id, 404);
    struct request ack = {.method = "ACK", .branch = OLD, .to_tag = tag};
    assert_int_equal(world_receive(w, &ack, &source).verdict, TXN_ABSORBED);
    world_close(w);
}

static void an_ack_after_a_2xx_is_the_users_whatever_its_branch(void **unused)
{
    static const struct request invites[] = {{0}, {.branch = OLD}};
    static const struct request acks[] = {{.method = "ACK", .to_tag = "t"},
                                          {.method = "ACK", .to_tag = "t", .branch = OLD}};
    struct flow source = world_udp(10, 5060);
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(invites); i++) {
        struct world *w = world_open(10);
        struct txn_received got = world_receive(w, &invites[i], &source);
        assert_int_equal(world_forward(w, got.id, &invites[i], 200, "t"), OK);
        assert_int_equal(world_receive(w, &acks[i], &source).verdict, TXN_ACK);
        world_close(w);
    }
}

static void a_cancel_names_what_it_is_for(void **unused)
{
    static const struct {
        const char *why;
        struct request first, cancel;
        bool matched, invite;
    } cases[] = {
        {"an INVITE", {0}, {.method = "CANCEL"}, true, true},
        {"an INVITE of RFC 2543", {.branch = OLD}, {.method = "CANCEL", .branch = OLD}, true, true},
        {"another branch", {0}, {.method = "CANCEL", .branch = "z9hG4bKtwo"}, false, false},
        {"another sent-by",
         {0},
         {.method = "CANCEL", .via = "SIP/2.0/UDP 192.0.2.11"},
         false,
         false},
        {"a BYE: answered, without effect (§9.2)",
         {.method = "BYE"},
         {.method = "CANCEL"},
         true,
         false},
        {"RFC 2543, another To tag",
         {.branch = OLD},
         {.method = "CANCEL", .branch = OLD, .to_tag = "t"},
         false,
         false},
    };
    struct flow source = world_udp(10, 5060);
    (void)unused;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct world *w = world_open(10);
        struct txn_received first = world_receive(w, &cases[i].first, &source);
        struct txn_received got = world_receive(w, &cases[i].cancel, &source);
        assert_int_equal(got.verdict, TXN_CANCEL);
        if (got.cancel_matched != cases[i].matched)
            fail_msg("%s: matched %d", cases[i].why, got.cancel_matched);
        if (id_equal(got.cancelled, first.id) != cases[i].invite)
            fail_msg("%s: cancelled", cases[i].why);
        bool same_tag =
            slice_equal(txn_server_to_tag(w->table, got.id), txn_server_to_tag(w->table, first.id));
        assert_int_equal(same_tag, cases[i].matched); /* §9.2 */
        world_reply(w, got.id, 200);
        assert_int_equal(world_receive(w, &cases[i].cancel, &source).verdict, TXN_ABSORBED);
        assert_int_equal(w->sent_count, 2);
        world_close(w);
    }
}

static void a_second_way_of_the_same_request_is_merged(void **unused)
{
    static const struct pair pairs[] = {
        {"another branch, all else equal", {0}, {.branch = "z9hG4bKtwo"}, TXN_MERGED},
        {"another sent-by", {0}, {.via = "SIP/2.0/UDP 192.0.2.11"}, TXN_MERGED},
        {"with a To tag it is not looked for",
         {0},
         {.branch = "z9hG4bKtwo", .to_tag = "t"},
         TXN_NEW},
        {"nor found", {.to_tag = "t"}, {.branch = "z9hG4bKtwo"}, TXN_NEW},
        {"another From tag", {0}, {.branch = "z9hG4bKtwo", .from_tag = "b"}, TXN_NEW},
        {"another Call-ID", {0}, {.branch = "z9hG4bKtwo", .call_id = "b"}, TXN_NEW},
        {"another CSeq number", {0}, {.branch = "z9hG4bKtwo", .cseq = 2}, TXN_NEW},
        {"another CSeq method", {0}, {.branch = "z9hG4bKtwo", .method = "BYE"}, TXN_NEW},
        {"a method without number",
         {.method = "FOO"},
         {.branch = "z9hG4bKtwo", .method = "FOO"},
         TXN_MERGED},
        {"another method without number",
         {.method = "FOO"},
         {.branch = "z9hG4bKtwo", .method = "BAR"},
         TXN_NEW},
        {"a tag's bytes do not run into the Call-ID's",
         {.from_tag = "ab", .call_id = "c"},
         {.branch = "z9hG4bKtwo", .from_tag = "a", .call_id = "bc"},
         TXN_NEW},
    };
    (void)unused;

    check_pairs(pairs, COUNT_OF(pairs));
}

static void merging_is_over_when_the_first_transaction_is(void **unused)
{
    static const struct request first = {.method = "REGISTER"};
    static const struct request second = {.method = "REGISTER", .branch = "z9hG4bKtwo"};
    static const struct request third = {.method = "REGISTER", .branch = "z9hG4bKthree"};
    struct flow source = world_udp(10, 5060);
    struct world *w = world_open(10);
    (void)unused;

    struct txn_received got = world_receive(w, &first, &source);
    world_reply(w, got.id, 200);
    world_run(w, 31999);
    got = world_receive(w, &second, &source);
    assert_int_equal(got.verdict, TXN_MERGED);
    txn_server_drop(w->table, got.id, w->now_ms);
    world_run(w, LINGER_STEP_MS);
    assert_int_equal(world_receive(w, &third, &source).verdict, TXN_NEW);
    world_close(w);
}

static void two_cancels_of_one_call_are_not_merged(void **unused)
{
    static const struct request one = {.method = "CANCEL"};
    static const struct request two = {.method = "CANCEL", .branch = "z9hG4bKtwo"};
    struct flow source = world_udp(10, 5060);
    struct world *w = world_open(10);
    (void)unused;

    assert_int_equal(world_receive(w, &one, &source).verdict, TXN_CANCEL);
    assert_int_equal(world_receive(w, &two, &source).verdict, TXN_CANCEL);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_matches_by_branch_sent_by_and_method),
        cmocka_unit_test(without_the_cookie_the_fields_of_rfc_2543_decide),
        cmocka_unit_test(an_ack_of_rfc_2543_matches_by_the_to_tag_of_the_failure),
        cmocka_unit_test(an_ack_after_a_2xx_is_the_users_whatever_its_branch),
        cmocka_unit_test(a_cancel_names_what_it_is_for),
        cmocka_unit_test(a_second_way_of_the_same_request_is_merged),
        cmocka_unit_test(merging_is_over_when_the_first_transaction_is),
        cmocka_unit_test(two_cancels_of_one_call_are_not_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
