/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/call_record.h"
#include "world.h"

enum {
    CALLER = 7001,
    CALLEE = 7002,
    APPENDS_MAX = 32,
};

static struct world w;

/** The journal: the last record, and whose receipts are due. */
static struct {
    struct id tokens[APPENDS_MAX];
    unsigned count;
    char block[CALL_BLOCK_MAX];
    size_t len;
} journal;

static enum err append(void *user, const struct durable_op *op, struct id token)
{
    (void)user;
    assert_true(journal.count < APPENDS_MAX);
    journal.tokens[journal.count++] = token;
    if (op->kind == DURABLE_CALL) {
        memcpy(journal.block, op->value.data, op->value.len);
        journal.len = op->value.len;
    }
    return OK;
}

/** Everything is written; collects what is sent because of that. */
static void settle(void)
{
    unsigned count = journal.count;

    journal.count = 0;
    w.sent_count = 0;
    for (unsigned i = 0; i < count; i++)
        core_receipt(w.core, journal.tokens[i], OK, w.now_ms, w.wall_ms);
    w.outbox.flush(&w.outbox, &w);
}

static struct call_record *record(void)
{
    static struct call_record out;

    assert_int_equal(OK, call_record_unpack((struct slice){journal.block, journal.len}, &out));
    return &out;
}

static void open_router(void)
{
    const struct user users[] = {{.name = SLICE("alice")}, {.name = SLICE("bob")}};
    struct flow alice = world_flow(CALLER, NULL), bob = world_flow(CALLEE, NULL);

    memset(&journal, 0, sizeof journal);
    world_open(&w, 1, users, COUNT_OF(users));
    world_register(&w, "alice", 1, 600, &alice);
    world_register(&w, "bob", 1, 600, &bob);
    w.config.records = true;
    w.config.calls_max = 16;
    w.config.call_silence_ms = 3600000;
    w.config.durable = (struct durable_ops){.append = append};
    world_reopen(&w);
}

/** What was sent to this port and begins so; fails the test if there is nothing. */
static const char *sent(uint16_t port, const char *begins)
{
    for (unsigned i = 0; i < w.sent_count && i < WORLD_SENT_MAX; i++)
        if (w.sent[i].to.remote.port == port &&
            strncmp(w.sent[i].text, begins, strlen(begins)) == 0)
            return w.sent[i].text;
    fail_msg("nothing to %u begins with %s", port, begins);
    return "";
}

/** Copies the lines of that field. */
static void copy_lines(char *out, size_t size, const char *text, const char *name)
{
    size_t len = 0;

    for (const char *line = text; line != NULL && *line != '\0'; line = strstr(line, "\r\n") + 2) {
        size_t end = (size_t)(strstr(line, "\r\n") + 2 - line);
        if (strncmp(line, name, strlen(name)) == 0)
            len += (size_t)snprintf(out + len, size - len, "%.*s", (int)end, line);
    }
    if (len == 0)
        out[0] = '\0';
}

static char vias[1024], routes[1024];

static void answer_invite(unsigned cseq)
{
    struct flow callee = world_flow(CALLEE, NULL);
    char text[WORLD_TEXT_MAX];

    snprintf(text, sizeof text,
             "SIP/2.0 200 OK\r\n%s%sFrom: <sip:alice@example.com>;tag=ta\r\n"
             "To: <sip:bob@example.com>;tag=tb\r\nCall-ID: call\r\nCSeq: %u INVITE\r\n"
             "Contact: <sip:bob@192.0.2.1:7002>\r\nContent-Length: 0\r\n\r\n",
             vias, routes, cseq);
    world_feed(&w, text, &callee);
}

/** A call from alice to bob that rings. */
static void ring(void)
{
    struct flow caller = world_flow(CALLER, NULL);

    world_feed(&w,
               "INVITE sip:bob@example.com SIP/2.0\r\n"
               "Via: SIP/2.0/UDP 192.0.2.1:7001;branch=z9hG4bKi\r\nMax-Forwards: 70\r\n"
               "From: <sip:alice@example.com>;tag=ta\r\nTo: <sip:bob@example.com>\r\n"
               "Call-ID: call\r\nCSeq: 5 INVITE\r\nContact: <sip:alice@192.0.2.1:7001>\r\n"
               "Content-Length: 0\r\n\r\n",
               &caller);
    settle();
    const char *invite = sent(CALLEE, "INVITE ");
    copy_lines(vias, sizeof vias, invite, "Via:");
    copy_lines(routes, sizeof routes, invite, "Record-Route:");
    assert_true(strlen(routes) > 0);
}

static void call_up(void)
{
    ring();
    answer_invite(5);
    sent(CALLER, "SIP/2.0 200");
    settle();
}

/** A request in the dialog; `number` makes it another transaction. */
static void in_dialog(bool by_caller, const char *method, unsigned cseq, const char *contact)
{
    struct flow from = world_flow(by_caller ? CALLER : CALLEE, NULL);
    char text[WORLD_TEXT_MAX];
    char route[1024];

    snprintf(route, sizeof route, "%s", strchr(routes, ':'));
    snprintf(text, sizeof text,
             "%s sip:%s@192.0.2.1:%u SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bK%s%u\r\nMax-Forwards: 70\r\nRoute%s"
             "From: <sip:%s@example.com>;tag=%s\r\nTo: <sip:%s@example.com>;tag=%s\r\n"
             "Call-ID: call\r\nCSeq: %u %s\r\n%sContent-Length: 0\r\n\r\n",
             method, by_caller ? "bob" : "alice", by_caller ? CALLEE : CALLER, from.remote.port,
             method, cseq, route, by_caller ? "alice" : "bob", by_caller ? "ta" : "tb",
             by_caller ? "bob" : "alice", by_caller ? "tb" : "ta", cseq, method, contact);
    world_feed(&w, text, &from);
}

static enum err hang_up(void)
{
    const struct call_record *of = record();
    const struct core_call call = {of->id, of->attempt_hash_a, of->attempt_hash_b};

    w.sent_count = 0;
    enum err err = core_hang_up(w.core, &call, w.now_ms, w.wall_ms);
    w.outbox.flush(&w.outbox, &w);
    return err;
}

static void assert_line(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("no %s in %s", line, text);
}

/** The BYE to one end, with that number. */
static const char *bye_to(uint16_t port, unsigned cseq)
{
    const char *bye = sent(port, "BYE ");
    char line[64];

    snprintf(line, sizeof line, "\r\nCSeq: %u BYE\r\n", cseq);
    assert_line(bye, line);
    assert_null(strstr(bye, "Route:")); /* nothing of ours is left in it */
    assert_null(strstr(bye, "own.invalid"));
    return bye;
}

static void answer_bye(uint16_t port, const char *bye, const char *status)
{
    struct flow from = world_flow(port, NULL);
    char text[WORLD_TEXT_MAX], lines[5][512];
    static const char *const names[] = {"Via:", "From:", "To:", "Call-ID:", "CSeq:"};
    char request[WORLD_TEXT_MAX];

    snprintf(request, sizeof request, "%s", bye);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        copy_lines(lines[i], sizeof lines[i], request, names[i]);
    snprintf(text, sizeof text, "SIP/2.0 %s\r\n%s%s%s%s%sContent-Length: 0\r\n\r\n", status,
             lines[0], lines[1], lines[2], lines[3], lines[4]);
    world_feed(&w, text, &from);
    assert_int_equal(0, w.sent_count); /* nobody else hears of it */
}

static struct core_counters counters(void)
{
    struct core_status status;

    core_status(w.core, &status);
    return status.counters;
}

static void both_ends_hear_a_bye_and_the_record_ends_once(void **state)
{
    (void)state;
    open_router();
    call_up();
    assert_true(record()->dialog.len > 0);
    assert_true(record()->dialog.len < 400);
    assert_int_equal(OK, hang_up());
    assert_int_equal(2, w.sent_count);

    const char *to_callee = bye_to(CALLEE, 6), *to_caller = bye_to(CALLER, 1);
    assert_line(to_callee, "BYE sip:bob@192.0.2.1:7002 SIP/2.0\r\n");
    assert_line(to_callee, "From: <sip:alice@example.com>;tag=ta\r\n");
    assert_line(to_callee, "To: <sip:bob@example.com>;tag=tb\r\n");
    assert_line(to_caller, "BYE sip:alice@192.0.2.1:7001 SIP/2.0\r\n");
    assert_line(to_caller, "From: <sip:bob@example.com>;tag=tb\r\n");
    assert_line(to_caller, "To: <sip:alice@example.com>;tag=ta\r\n");

    const struct call_record *ended = record();
    assert_int_equal(CALL_D_ANSWERED, ended->disposition);
    assert_int_equal(CALL_P_SYSTEM, ended->release_party);
    assert_int_equal(16, ended->q850_cause);
    assert_true(ended->end_ms > 0);
    assert_int_equal(0, ended->dialog.len); /* it is not needed any more */
    assert_int_equal(1, journal.count);
    settle();

    assert_int_equal(ERR_NOT_FOUND, hang_up()); /* it is over */
    assert_int_equal(0, w.sent_count);
    world_close(&w);
}

static void every_answer_to_our_bye_is_an_end(void **state)
{
    (void)state;
    open_router();
    call_up();
    assert_int_equal(OK, hang_up());
    char to_callee[WORLD_TEXT_MAX], to_caller[WORLD_TEXT_MAX];
    snprintf(to_callee, sizeof to_callee, "%s", bye_to(CALLEE, 6));
    snprintf(to_caller, sizeof to_caller, "%s", bye_to(CALLER, 1));
    settle();

    answer_bye(CALLEE, to_callee, "481 Call/Transaction Does Not Exist");
    assert_int_equal(0, counters().byes_refused);
    answer_bye(CALLER, to_caller, "407 Proxy Authentication Required");
    assert_int_equal(1, counters().byes_refused);
    world_pass(&w, 64000);
    assert_int_equal(0, counters().byes_unanswered);
    assert_int_equal(0, journal.count); /* the record has ended once */
    assert_true(core_idle(w.core));
    world_close(&w);
}

static void a_phone_that_is_silent_is_asked_again_and_given_up(void **state)
{
    (void)state;
    open_router();
    call_up();
    assert_int_equal(OK, hang_up());
    settle();
    world_pass(&w, 600);
    bye_to(CALLEE, 6);
    bye_to(CALLER, 1);
    world_pass(&w, 40000);
    assert_int_equal(2, counters().byes_unanswered);
    assert_int_equal(0, journal.count);
    assert_true(core_idle(w.core));
    world_close(&w);
}

static void what_crosses_our_bye_is_answered_by_us(void **state)
{
    (void)state;
    open_router();
    call_up();
    assert_int_equal(OK, hang_up());
    settle();
    in_dialog(true, "BYE", 6, "");
    assert_int_equal(1, w.sent_count);
    sent(CALLER, "SIP/2.0 200");
    in_dialog(false, "INVITE", 1, "Contact: <sip:bob@192.0.2.1:7002>\r\n");
    assert_int_equal(1, w.sent_count);
    sent(CALLEE, "SIP/2.0 481");
    in_dialog(true, "ACK", 5, ""); /* of the 2xx, late: it passes, or he sends that for 32 s */
    sent(CALLEE, "ACK ");
    assert_int_equal(0, journal.count);
    world_close(&w);
}

static void numbers_and_targets_follow_what_passes(void **state)
{
    (void)state;
    open_router();
    call_up();
    in_dialog(true, "INFO", 6, "");
    in_dialog(false, "INFO", 90, "");
    in_dialog(false, "UPDATE", 91, "Contact: <sip:bob@192.0.2.1:7003>\r\n");
    const char *update = sent(CALLER, "UPDATE ");
    char passed[1024], text[WORLD_TEXT_MAX];
    struct flow caller = world_flow(CALLER, NULL);
    copy_lines(passed, sizeof passed, update, "Via:");
    snprintf(text, sizeof text,
             "SIP/2.0 200 OK\r\n%sFrom: <sip:bob@example.com>;tag=tb\r\n"
             "To: <sip:alice@example.com>;tag=ta\r\nCall-ID: call\r\nCSeq: 91 UPDATE\r\n"
             "Contact: <sip:alice@192.0.2.1:7004>\r\nContent-Length: 0\r\n\r\n",
             passed);
    world_feed(&w, text, &caller);
    assert_true(journal.count > 0); /* where they are now must last */
    settle();
    assert_int_equal(OK, hang_up());
    assert_line(bye_to(7003, 7), "BYE sip:bob@192.0.2.1:7003 SIP/2.0\r\n");
    assert_line(bye_to(7004, 92), "BYE sip:alice@192.0.2.1:7004 SIP/2.0\r\n");
    world_close(&w);
}

static void after_a_restart_it_can_be_hung_up_with_higher_numbers(void **state)
{
    (void)state;
    static char block[CALL_BLOCK_MAX];
    open_router();
    call_up();
    in_dialog(false, "INFO", 70,
              ""); /* the callee's first: it may begin anywhere, and is written */
    assert_int_equal(1, journal.count);
    settle();
    size_t len = journal.len;
    memcpy(block, journal.block, len);
    in_dialog(true, "INFO", 6, ""); /* these are not in the record */
    in_dialog(false, "INFO", 71, "");
    assert_int_equal(0, journal.count);

    journal.count = 0;
    w.config.boot++;
    world_reopen(&w);
    core_restore_call(w.core, (struct slice){block, len}, w.now_ms, w.wall_ms);
    assert_int_equal(OK, hang_up());
    bye_to(CALLEE, 5 + (1 << 15) + 1);
    bye_to(CALLER, 70 + (1 << 15) + 1);
    assert_int_equal(CALL_P_SYSTEM, record()->release_party);
    world_close(&w);
}

static void what_is_not_up_is_not_hung_up(void **state)
{
    (void)state;
    open_router();
    ring();
    assert_int_equal(ERR_CONFLICT, hang_up());
    answer_invite(5);
    settle();
    struct core_call other = {record()->id + 256, record()->attempt_hash_a,
                              record()->attempt_hash_b};
    assert_int_equal(ERR_NOT_FOUND, core_hang_up(w.core, &other, w.now_ms, w.wall_ms));
    in_dialog(true, "BYE", 6, "");
    settle();
    assert_int_equal(ERR_NOT_FOUND, hang_up());
    assert_int_equal(CALL_P_CALLER, record()->release_party);
    world_close(&w);
}

static void where_we_are_not_in_the_routes_we_cannot_speak(void **state)
{
    (void)state;
    open_router();
    ring();
    routes[0] = '\0'; /* a phone that drops them */
    answer_invite(5);
    settle();
    assert_int_equal(ERR_CONFLICT, hang_up());
    assert_int_equal(0, w.sent_count);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_hear_a_bye_and_the_record_ends_once),
        cmocka_unit_test(every_answer_to_our_bye_is_an_end),
        cmocka_unit_test(a_phone_that_is_silent_is_asked_again_and_given_up),
        cmocka_unit_test(what_crosses_our_bye_is_answered_by_us),
        cmocka_unit_test(numbers_and_targets_follow_what_passes),
        cmocka_unit_test(after_a_restart_it_can_be_hung_up_with_higher_numbers),
        cmocka_unit_test(what_is_not_up_is_not_hung_up),
        cmocka_unit_test(where_we_are_not_in_the_routes_we_cannot_speak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
