/* SPDX-License-Identifier: Apache-2.0 */
/* A user's calls go on as he says: at once, when he is busy, does not answer, or is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "world.h"

static struct world w;
static unsigned number; /* of the call */

enum {
    CALLER_PORT = 6060
};

/* The user's rule in `rule`, a destination. */
static struct user who(const char *name, enum user_forward rule, const char *to)
{
    struct user user = {.name = slice_of(name)};
    if (rule < USER_FORWARDS)
        user.forward[rule] = slice_of(to);
    return user;
}

static struct user plain(const char *name)
{
    return who(name, USER_FORWARDS, "");
}

/* The users, and a phone at 7001 and on for each whose name begins with a letter below `absent`. */
static void open_with(struct user *users, size_t count, char absent)
{
    char name[USER_NAME_MAX + 1];

    world_open(&w, 1, users, count);
    for (size_t i = 0; i < count; i++) {
        struct flow phone = world_flow((uint16_t)(7001 + i), NULL);
        snprintf(name, sizeof name, "%.*s", SLICE_ARG(users[i].name));
        if (name[0] < absent)
            world_register(&w, name, 1, 600, &phone);
    }
}

/* What was sent last time that begins so; NULL: nothing. */
static const char *sent(const char *start)
{
    for (unsigned i = 0; i < w.sent_count && i < WORLD_SENT_MAX; i++)
        if (strncmp(w.sent[i].text, start, strlen(start)) == 0)
            return w.sent[i].text;
    return NULL;
}

static const char *expect(const char *start)
{
    const char *found = sent(start);
    for (unsigned i = 0; found == NULL && i < w.sent_count && i < WORLD_SENT_MAX; i++)
        print_message("sent: %.70s\n", w.sent[i].text);
    if (found == NULL)
        fail_msg("nothing was sent that begins with \"%s\"", start);
    return found;
}

static void call(const char *uri)
{
    struct flow source = world_flow(CALLER_PORT, NULL);
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "INVITE %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:6060;branch=z9hG4bKc%u;rport\r\n"
             "Max-Forwards: 70\r\nFrom: <sip:caller@example.com>;tag=f\r\nTo: <%s>\r\n"
             "Call-ID: call-%u\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@192.0.2.1:6060>\r\n"
             "Content-Length: 0\r\n\r\n",
             uri, number, uri, number);
    world_feed(&w, text, &source);
}

/* The INVITE that a phone was sent just now; a copy. */
static const char *rung(const char *name, unsigned port)
{
    static char copies[4][WORLD_TEXT_MAX];
    static unsigned next;
    char start[80];
    char *copy = copies[next++ % COUNT_OF(copies)];

    snprintf(start, sizeof start, "INVITE sip:%s@192.0.2.1:%u ", name, port);
    snprintf(copy, WORLD_TEXT_MAX, "%s", expect(start));
    return copy;
}

/* The lines of a header in a message. */
static void add_lines(char *text, size_t size, const char *message, const char *name)
{
    for (const char *at = strstr(message, name); at != NULL; at = strstr(at + 1, name)) {
        size_t len = strlen(text);
        snprintf(text + len, size - len, "%.*s", (int)(strstr(at + 2, "\r\n") - at), at);
    }
}

static void answer(const char *invite, unsigned port, const char *status)
{
    struct flow phone = world_flow((uint16_t)port, NULL);
    char text[WORLD_TEXT_MAX], to[256] = "";

    snprintf(text, sizeof text, "SIP/2.0 %s", status);
    add_lines(text, sizeof text, invite, "\r\nVia: ");
    add_lines(text, sizeof text, invite, "\r\nFrom: ");
    add_lines(to, sizeof to, invite, "\r\nTo: ");
    size_t len = strlen(text);
    snprintf(text + len, sizeof text - len, "%s;tag=p%u", to, port);
    add_lines(text, sizeof text, invite, "\r\nCall-ID: ");
    add_lines(text, sizeof text, invite, "\r\nCSeq: ");
    len = strlen(text);
    snprintf(text + len, sizeof text - len,
             "\r\nContact: <sip:x@192.0.2.1:%u>\r\nContent-Length: 0\r\n\r\n", port);
    world_feed(&w, text, &phone);
}

static void who_is_busy_has_his_calls_go_on(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_BUSY, "user:bob"), plain("bob")};
    (void)state;

    open_with(users, COUNT_OF(users), 'x');
    call("sip:alice@example.com");
    answer(rung("alice", 7001), 7001, "486 Busy Here");
    const char *bob = rung("bob", 7002);
    assert_null(sent("SIP/2.0 486"));
    answer(bob, 7002, "200 OK");
    expect("SIP/2.0 200");

    call("sip:alice@example.com"); /* who declines is not to be reached now, either */
    answer(rung("alice", 7001), 7001, "480 Temporarily Unavailable");
    expect("SIP/2.0 480"); /* but this is no answer, for which there is no rule */
    world_close(&w);
}

static void who_does_not_answer_in_time_has_his_calls_go_on(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_NO_ANSWER, "user:bob"), plain("bob")};
    (void)state;

    users[0].forward_after_ms = 15000;
    open_with(users, COUNT_OF(users), 'x');
    call("sip:alice@example.com");
    const char *alice = rung("alice", 7001);
    answer(alice, 7001, "180 Ringing");
    expect("SIP/2.0 180");
    world_pass(&w, 14900);
    assert_null(sent("INVITE sip:bob@"));
    world_pass(&w, 200);
    expect("CANCEL sip:alice@192.0.2.1:7001 ");
    const char *bob = rung("bob", 7002);
    answer(alice, 7001, "487 Request Terminated");
    assert_null(sent("SIP/2.0 487"));
    answer(bob, 7002, "486 Busy Here");
    expect("SIP/2.0 486"); /* he has no rules: this is the caller's answer */

    call("sip:alice@example.com");
    answer(rung("alice", 7001), 7001, "486 Busy Here");
    expect("SIP/2.0 486"); /* there is no rule for that */
    world_close(&w);
}

static void who_is_not_there_has_his_calls_go_on(void **state)
{
    struct user users[] = {plain("bob"), who("xena", USER_FORWARD_UNREGISTERED, "user:bob"),
                           who("yves", USER_FORWARD_UNREGISTERED, "user:xena"),
                           who("zoe", USER_FORWARD_BUSY, "user:bob")};
    (void)state;

    open_with(users, COUNT_OF(users), 'x');
    call("sip:xena@example.com");
    answer(rung("bob", 7001), 7001, "200 OK");
    expect("SIP/2.0 200");
    call("sip:yves@example.com"); /* over another one */
    rung("bob", 7001);
    call("sip:zoe@example.com"); /* she is not there, and has no rule for it */
    expect("SIP/2.0 480");
    world_close(&w);
}

static void who_forwards_always_is_not_rung(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_ALWAYS, "user:bob"), plain("bob"),
                           who("carol", USER_FORWARD_ALWAYS, "reply:603")};
    (void)state;

    open_with(users, COUNT_OF(users), 'x');
    call("sip:alice@example.com");
    answer(rung("bob", 7002), 7002, "200 OK");
    assert_null(sent("INVITE sip:alice@"));
    call("sip:carol@example.com");
    expect("SIP/2.0 603");
    world_close(&w);
}

static void who_is_not_to_be_disturbed_is_busy(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_BUSY, "user:bob"), plain("bob"),
                           who("carol", USER_FORWARD_NO_ANSWER, "user:bob")};
    (void)state;

    users[0].do_not_disturb = users[2].do_not_disturb = true;
    open_with(users, COUNT_OF(users), 'x');
    call("sip:alice@example.com");
    rung("bob", 7002);
    assert_null(sent("INVITE sip:alice@"));
    call("sip:carol@example.com"); /* she has no rule for that */
    expect("SIP/2.0 480 Do not disturb");
    world_close(&w);
}

static void circles_and_dead_ends_are_answered(void **state)
{
    struct user users[] = {
        who("alice", USER_FORWARD_ALWAYS, "user:bob"),
        who("bob", USER_FORWARD_ALWAYS, "user:alice"),
        who("carol", USER_FORWARD_ALWAYS, "user:nobody"),
        who("dave", USER_FORWARD_ALWAYS, "user:erin"),
        plain("erin"),
        who("frank", USER_FORWARD_ALWAYS, "user:zoe"),
        plain("zoe"),
        who("gina", USER_FORWARD_BUSY, "user:hugo"),
        who("hugo", USER_FORWARD_BUSY, "user:gina"),
    };
    (void)state;

    users[4].disabled = true;
    open_with(users, COUNT_OF(users), 'a');
    struct flow gina = world_flow(7008, NULL), hugo = world_flow(7009, NULL);
    world_register(&w, "gina", 1, 600, &gina);
    world_register(&w, "hugo", 1, 600, &hugo);
    for (const char *const *uri =
             (const char *const[]){"sip:alice@example.com", "sip:carol@example.com",
                                   "sip:dave@example.com", "sip:frank@example.com", NULL};
         *uri != NULL; uri++) {
        call(*uri);
        expect("SIP/2.0 480");
    }
    call("sip:gina@example.com"); /* each is asked once */
    answer(rung("gina", 7008), 7008, "486 Busy Here");
    answer(rung("hugo", 7009), 7009, "486 Busy Here");
    expect("SIP/2.0 486");
    assert_null(sent("INVITE "));
    world_close(&w);
}

static void only_new_calls_go_on(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_ALWAYS, "user:bob"), plain("bob")};
    struct flow source = world_flow(CALLER_PORT, NULL);
    char text[WORLD_TEXT_MAX];
    (void)state;

    open_with(users, COUNT_OF(users), 'x');
    snprintf(text, sizeof text,
             "MESSAGE sip:alice@example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:6060;branch=z9hG4bKm;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:caller@example.com>;tag=f\r\nTo: <sip:alice@example.com>\r\n"
             "Call-ID: message\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n");
    world_feed(&w, text, &source);
    expect("MESSAGE sip:alice@192.0.2.1:7001 ");
    world_close(&w);
}

static void who_changes_his_mind_is_asked_anew(void **state)
{
    struct user users[] = {who("alice", USER_FORWARD_BUSY, "user:bob"), plain("bob")};
    struct policy *policy;
    struct policy_error error;
    (void)state;

    open_with(users, COUNT_OF(users), 'x');
    call("sip:alice@example.com");
    const char *alice = rung("alice", 7001);
    users[0] = plain("alice");
    const struct slice domain = SLICE("example.com");
    const struct policy_source source = {users, COUNT_OF(users), &domain, 1, 7};
    assert_int_equal(OK, policy_build(&source, &error, &policy));
    core_set_policy(w.core, policy);
    answer(alice, 7001, "486 Busy Here");
    expect("SIP/2.0 486");
    world_close(&w);
    policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_busy_has_his_calls_go_on),
        cmocka_unit_test(who_does_not_answer_in_time_has_his_calls_go_on),
        cmocka_unit_test(who_is_not_there_has_his_calls_go_on),
        cmocka_unit_test(who_forwards_always_is_not_rung),
        cmocka_unit_test(who_is_not_to_be_disturbed_is_busy),
        cmocka_unit_test(circles_and_dead_ends_are_answered),
        cmocka_unit_test(only_new_calls_go_on),
        cmocka_unit_test(who_changes_his_mind_is_asked_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
