/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Phones that sleep are woken, and requests wait for them (RFC 8599): in one worker, and between
 * two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/internal.h"
#include "world.h"

enum {
    PHONE = 40001, /* ports at 192.0.2.1 */
    CALLER = 40002,
    DESK = 40003,
    WAIT_MS = 20000,
    PUSHES_MAX = 64,
};

static const struct slice services[] = {{"apns", 4}};

static struct world world;
static struct {
    struct id token;
    enum core_push_why why;
    char text[256]; /* user provider param prid call-id caller */
} pushes[PUSHES_MAX];
static unsigned push_count;
static bool queue_full;

static bool push(void *user, const struct core_push *what)
{
    (void)user;
    if (queue_full)
        return false;
    assert_true(push_count < PUSHES_MAX);
    pushes[push_count].token = what->token;
    pushes[push_count].why = what->why;
    snprintf(pushes[push_count].text, sizeof pushes[push_count].text,
             "%.*s %.*s %.*s %.*s %.*s %.*s", SLICE_ARG(what->user), SLICE_ARG(what->provider),
             SLICE_ARG(what->param), SLICE_ARG(what->prid), SLICE_ARG(what->call_id),
             SLICE_ARG(what->caller));
    push_count++;
    return true;
}

static void open_world(unsigned workers)
{
    world_open(&world, workers, NULL, 0);
    push_count = 0;
    queue_full = false;
    world.config.ops.push = push;
    world.config.registrar.push =
        (struct registrar_push){.providers = services, .provider_count = 1, .lead = 120};
    world.config.wait = (struct core_wait){.wait_ms = WAIT_MS, .awake_ms = 10000, .max = 40};
    world_reopen(&world);
}

static int set_up(void **state)
{
    (void)state;
    open_world(1);
    return 0;
}

static int set_up_two(void **state)
{
    (void)state;
    open_world(2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_close(&world);
    return 0;
}

/* The phone registers from `port`; `params` follow the contact. */
static void register_at(const char *name, uint16_t port, const char *params)
{
    static unsigned number;
    struct flow source = world_flow(port, NULL);
    char text[WORLD_TEXT_MAX];

    number++;
    snprintf(text, sizeof text,
             "REGISTER sip:example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bKr%u;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:%s@example.com>;tag=f\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: r%s\r\nCSeq: %u REGISTER\r\n"
             "Contact: <sip:%s@192.0.2.1:%u;pn-provider=apns;pn-param=T.a;pn-prid=a%%3Ab>%s\r\n"
             "Content-Length: 0\r\n\r\n",
             port, number, name, name, name, number, name, port, params);
    world_feed(&world, text, &source);
    if (strncmp(world.sent[0].text, "SIP/2.0 200", 11) != 0)
        fail_msg("%s", world.sent[0].text);
}

#define SLEEPY ";expires=3600;+sip.instance=\"<urn:uuid:1>\""

static void asleep(const char *name)
{
    register_at(name, PHONE, SLEEPY);
    world_pass(&world, 60000);
}

/* A request for `name`; what goes out at once is in world.sent. */
static void ask(const char *method, const char *name, const char *call_id)
{
    struct flow source = world_flow(CALLER, NULL);
    char text[WORLD_TEXT_MAX];

    snprintf(text, sizeof text,
             "%s sip:%s@example.com SIP/2.0\r\n"
             "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n"
             "From: <sip:carol@example.com>;tag=c\r\nTo: <sip:%s@example.com>\r\n"
             "Call-ID: %s\r\nCSeq: 1 %s\r\nContact: <sip:carol@192.0.2.1:%u>\r\n"
             "Content-Length: 0\r\n\r\n",
             method, name, CALLER, call_id, name, call_id, method, CALLER);
    world_feed(&world, text, &source);
}

/* Is there among what was sent something that begins so, to that port? */
static const char *sent_to(uint16_t port, const char *begin)
{
    for (unsigned i = 0; i < world.sent_count && i < WORLD_SENT_MAX; i++)
        if (world.sent[i].to.remote.port == port &&
            strncmp(world.sent[i].text, begin, strlen(begin)) == 0)
            return world.sent[i].text;
    return NULL;
}

/* Lets time pass; what was sent then is in world.sent. */
static void pass(uint64_t ms)
{
    world.sent_count = 0;
    world_pass(&world, ms);
}

static struct core_status status(void)
{
    struct core_status now;
    core_status(world.core, &now);
    return now;
}

static void nothing_is_left(void)
{
    assert_int_equal(0, world.core->pushes.waits.count);
    assert_int_equal(0, world.core->pushes.by_aor.count);
    assert_int_equal(world.core->pushes.wakes.count, world.core->pushes.awaited.count);
}

static void a_call_wakes_the_phone_and_waits_for_it(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    assert_non_null(sent_to(CALLER, "SIP/2.0 100"));
    assert_null(sent_to(PHONE, "INVITE"));
    assert_int_equal(1, push_count);
    assert_int_equal(CORE_PUSH_CALL, pushes[0].why);
    assert_string_equal("bob apns T.a a:b c1 sip:carol@example.com", pushes[0].text);
    assert_int_equal(1, status().push_waiting);
    pass(5000);
    assert_int_equal(0, world.sent_count);
    register_at("bob", DESK, SLEEPY);      /* it is elsewhere now */
    assert_int_equal(1, world.sent_count); /* the 200 goes first (RFC 8599 §5.6.2) */
    pass(1);
    const char *invite = sent_to(DESK, "INVITE sip:bob@192.0.2.1:40003 SIP/2.0\r\n");
    assert_non_null(invite);
    assert_null(strstr(invite, "pn-"));
    assert_int_equal(1, status().counters.push.woken);
    assert_int_equal(0, world.core->pushes.wakes.count);
    nothing_is_left();
}

static void a_phone_that_has_just_registered_is_awake(void **state)
{
    (void)state;
    register_at("bob", PHONE, SLEEPY);
    pass(9000);
    ask("INVITE", "bob", "c1");
    const char *invite = sent_to(PHONE, "INVITE sip:bob@192.0.2.1:40001 SIP/2.0\r\n");
    assert_non_null(invite);
    assert_null(strstr(invite, "pn-"));
    assert_int_equal(0, push_count);
    pass(1000);
    ask("INVITE", "bob", "c2");
    assert_int_equal(1, push_count);
}

static void a_phone_that_does_not_come_is_480(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    pass(WAIT_MS - 1);
    assert_null(sent_to(CALLER, "SIP/2.0 480"));
    pass(1);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    assert_int_equal(1, status().counters.push.late);
    assert_int_equal(1, status().counters.refused[CORE_R_NOT_WOKEN]);
    nothing_is_left();
    assert_int_equal(0, world.core->pushes.wakes.count);
}

static void what_the_gateway_refuses_is_480_at_once(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    core_push_result(world.core, pushes[0].token, CORE_PUSH_ACCEPTED, world.now_ms, world.wall_ms);
    pass(100);
    assert_int_equal(0, world.sent_count);
    core_push_result(world.core, pushes[0].token, CORE_PUSH_FAILED, world.now_ms, world.wall_ms);
    pass(1);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    assert_int_equal(1, status().counters.push.failed);
    core_push_result(world.core, pushes[0].token, CORE_PUSH_FAILED, world.now_ms,
                     world.wall_ms); /* late */
    nothing_is_left();
}

/* 404 or 410 of the gateway: the app was deleted, or its token is another by now. */
static void a_phone_that_its_service_does_not_know_is_not_woken_until_it_registers(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    core_push_result(world.core, pushes[0].token, CORE_PUSH_GONE, world.now_ms, world.wall_ms);
    pass(1);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    assert_int_equal(1, push_count);

    ask("INVITE", "bob", "c2"); /* where it was last, as any phone */
    const char *invite = sent_to(PHONE, "INVITE ");
    assert_non_null(invite);
    assert_null(strstr(invite, "pn-prid"));
    pass(3600000 - 60000 - 60000); /* nor before its registration ends */
    assert_int_equal(1, push_count);

    asleep("bob");
    ask("INVITE", "bob", "c3");
    assert_int_equal(2, push_count);
    core_push_result(world.core, pushes[1].token, CORE_PUSH_FAILED, world.now_ms, world.wall_ms);
    pass(1);
    ask("INVITE", "bob", "c4"); /* it could not be woken that time */
    assert_int_equal(3, push_count);
    core_push_result(world.core, pushes[2].token, CORE_PUSH_FAILED, world.now_ms, world.wall_ms);
    pass(1);
}

/* What is said of the old token says nothing of the new one. */
static void who_registers_meanwhile_is_not_gone(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    struct id token = pushes[0].token;
    register_at("bob", PHONE, SLEEPY);
    core_push_result(world.core, token, CORE_PUSH_GONE, world.now_ms, world.wall_ms);
    pass(1);
    world_pass(&world, 60000);
    ask("INVITE", "bob", "c2");
    assert_int_equal(2, push_count);
    core_push_result(world.core, pushes[1].token, CORE_PUSH_FAILED, world.now_ms, world.wall_ms);
    pass(1);
}

static void a_gateway_that_cannot_be_asked_is_480_at_once(void **state)
{
    (void)state;
    asleep("bob");
    queue_full = true;
    ask("INVITE", "bob", "c1");
    pass(1);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    assert_int_equal(1, status().counters.push.full);
    assert_int_equal(0, world.core->pushes.wakes.count);
    nothing_is_left();
}

static void who_hangs_up_waits_no_longer(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    ask("CANCEL", "bob", "c1");
    assert_non_null(sent_to(CALLER, "SIP/2.0 200"));
    assert_non_null(sent_to(CALLER, "SIP/2.0 487"));
    nothing_is_left();
    register_at("bob", PHONE, SLEEPY);
    pass(100);
    assert_null(sent_to(PHONE, "INVITE"));
}

static void a_second_call_does_not_wake_it_again_at_once(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    pass(4000);
    ask("INVITE", "bob", "c2");
    assert_int_equal(1, push_count);
    pass(2000);
    ask("INVITE", "bob", "c3"); /* the push may have been lost */
    assert_int_equal(2, push_count);
    register_at("bob", PHONE, SLEEPY);
    pass(1);
    assert_int_equal(3, status().counters.push.woken);
    nothing_is_left();
}

static void one_users_phones_have_a_share_of_the_places(void **state)
{
    char call_id[16];
    (void)state;

    asleep("bob");
    for (unsigned i = 0; i < PUSH_PER_AOR_MAX; i++) {
        snprintf(call_id, sizeof call_id, "c%u", i);
        ask("INVITE", "bob", call_id);
        assert_null(sent_to(CALLER, "SIP/2.0 480"));
    }
    ask("INVITE", "bob", "more");
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    assert_int_equal(PUSH_PER_AOR_MAX, status().push_waiting);
    assert_int_equal(1, status().counters.refused[CORE_R_NOT_WOKEN]);
}

static void there_are_so_many_places_and_no_more(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    char call_id[16];
    unsigned refused = 0;
    (void)state;

    for (unsigned n = 0; n < COUNT_OF(names); n++)
        register_at(names[n], PHONE, SLEEPY);
    pass(60000);
    for (unsigned i = 0; i < 41; i++) {
        snprintf(call_id, sizeof call_id, "c%u", i);
        ask("INVITE", names[i / 14], call_id);
        refused += sent_to(CALLER, "SIP/2.0 480") != NULL;
    }
    assert_int_equal(1, refused);
    assert_int_equal(40, status().push_waiting);
}

static void other_requests_wait_less_and_an_options_wakes_nobody(void **state)
{
    (void)state;
    asleep("bob");
    ask("OPTIONS", "bob", "o1");
    assert_int_equal(0, push_count);
    assert_non_null(sent_to(PHONE, "OPTIONS sip:bob@192.0.2.1:40001 SIP/2.0\r\n"));
    ask("MESSAGE", "bob", "m1");
    assert_int_equal(1, push_count);
    pass(PUSH_OTHERS_MS - 100);
    assert_null(sent_to(CALLER, "SIP/2.0 480"));
    pass(100);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
    nothing_is_left();
}

static void a_phone_without_an_instance_is_known_by_its_token(void **state)
{
    (void)state;
    register_at("bob", PHONE, ";expires=3600");
    pass(60000);
    ask("INVITE", "bob", "c1");
    register_at("bob", DESK, ";expires=3600"); /* another contact, a second binding */
    pass(1);
    assert_non_null(sent_to(DESK, "INVITE"));
    assert_null(sent_to(PHONE, "INVITE"));
}

static void another_phone_of_the_user_ends_no_wait(void **state)
{
    (void)state;
    asleep("bob");
    ask("INVITE", "bob", "c1");
    register_at("bob", DESK, ";expires=3600;+sip.instance=\"<urn:uuid:2>\"");
    pass(1500);
    assert_int_equal(1, status().push_waiting);
    assert_null(sent_to(DESK, "INVITE"));
}

static void a_lost_connection_does_not_keep_it_from_being_woken(void **state)
{
    struct conn_id conn = {0, {5, 1}};
    struct flow source = world_flow(PHONE, &conn);
    uint32_t told = 0;
    (void)state;

    char text[] = "REGISTER sip:example.com SIP/2.0\r\n"
                  "Via: SIP/2.0/TCP 192.0.2.1:40001;branch=z9hG4bKt\r\nMax-Forwards: 70\r\n"
                  "From: <sip:bob@example.com>;tag=f\r\nTo: <sip:bob@example.com>\r\n"
                  "Call-ID: t\r\nCSeq: 1 REGISTER\r\n"
                  "Contact: <sip:bob@192.0.2.1:40001;transport=tcp;pn-provider=apns;pn-param=T.a;"
                  "pn-prid=x>" SLEEPY "\r\nContent-Length: 0\r\n\r\n";
    world_feed(&world, text, &source);
    assert_non_null(sent_to(PHONE, "SIP/2.0 200"));
    assert_true(core_conn_lost(world.core, conn, &told, world.now_ms, world.wall_ms));
    ask("INVITE", "bob", "c1"); /* it registered just now, but is gone */
    assert_int_equal(1, push_count);
    pass(100);
    register_at("bob", PHONE, SLEEPY);
    pass(1);
    assert_non_null(sent_to(PHONE, "INVITE"));
}

static void a_phone_is_woken_before_its_registration_ends(void **state)
{
    (void)state;
    register_at("bob", PHONE, ";expires=600;+sip.instance=\"<urn:uuid:1>\"");
    pass(600000 - 190000);
    assert_int_equal(0, push_count);
    pass(70000);
    assert_int_equal(1, push_count); /* 120 s before the end, or a round of the search earlier */
    assert_int_equal(CORE_PUSH_REFRESH, pushes[0].why);
    assert_string_equal("bob apns T.a a:b  ", pushes[0].text);
    assert_int_equal(1, status().counters.push.refreshes);
    register_at("bob", PHONE, ";expires=600;+sip.instance=\"<urn:uuid:1>\"");
    pass(300000);
    assert_int_equal(1, push_count);
    assert_int_equal(0, world.core->pushes.wakes.count);
}

static void who_wakes_by_itself_is_woken_only_when_it_did_not(void **state)
{
    (void)state;
    register_at("bob", PHONE, ";expires=600;+sip.pnsreg;+sip.instance=\"<urn:uuid:1>\"");
    pass(600000 - 121000);
    assert_int_equal(0, push_count);
    pass(80000);
    assert_int_equal(1, push_count);
    pass(60000); /* over: nobody is woken for it any more */
    unsigned before = push_count;
    ask("INVITE", "bob", "c1");
    assert_non_null(sent_to(CALLER, "SIP/2.0 404"));
    assert_int_equal(before, push_count);
}

static void a_gateway_without_room_is_asked_in_the_next_round(void **state)
{
    (void)state;
    queue_full = true;
    register_at("bob", PHONE, ";expires=600;+sip.instance=\"<urn:uuid:1>\"");
    pass(600000 - 110000);
    assert_int_equal(0, push_count);
    assert_int_equal(0, world.core->pushes.wakes.count);
    queue_full = false;
    pass(70000);
    assert_int_equal(1, push_count);
}

static void without_a_gateway_nobody_waits(void **state)
{
    (void)state;
    world.config.ops.push = NULL;
    world.config.registrar.push.provider_count = 0;
    world_reopen(&world);
    asleep("bob");
    ask("INVITE", "bob", "c1");
    assert_non_null(sent_to(PHONE, "INVITE"));
}

/* ---- two workers: this is worker 0 ---- */

static const struct core_mail *last_mail(void)
{
    assert_in_range(world.mail_count, 1, WORLD_MAIL_MAX);
    return &world.mail[world.mail_count - 1].mail;
}

/* A name whose AOR worker 1 owns; a Call-ID that this one owns. */
static const char *others_name(void)
{
    static char name[16];
    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "v%u", i);
        if (table_owner(core_aor_hash(&world.config, slice_of(name)), 2) == 1)
            return name;
    }
}

static const char *own_call_id(void)
{
    static char text[16];
    for (unsigned i = 0;; i++) {
        snprintf(text, sizeof text, "k%u", i);
        if (table_owner(hash_bytes(world.config.hash_seed, slice_of(text)), 2) == 0)
            return text;
    }
}

/* Puts a binding of a sleeping phone into the table, as its owner would. */
static void put_binding(const char *name, uint64_t registered_ms)
{
    char bytes[1024], contact[128];
    struct builder b = builder_over(bytes, sizeof bytes);
    static struct binding_set set;

    snprintf(contact, sizeof contact,
             "sip:%s@192.0.2.1:40001;pn-provider=apns;pn-param=T.a;pn-prid=x", name);
    set = (struct binding_set){.aor = slice_of(name), .count = 1};
    set.items[0] = (struct binding){
        .contact = slice_of(contact),
        .call_id = SLICE("r"),
        .instance = SLICE("<urn:uuid:1>"),
        .expires_ms = world.wall_ms + 3600000,
        .registered_ms = registered_ms,
        .q = 1000,
        .push = true,
        .flow = world_flow(PHONE, NULL),
    };
    assert_int_equal(OK, binding_set_pack(&set, &b));
    const struct table_ops *table = &world.config.location;
    assert_int_equal(OK, table->put(table->user, slice_of(name),
                                    core_aor_hash(&world.config, slice_of(name)), builder_slice(&b),
                                    1));
}

static void the_owner_of_the_phone_is_asked_by_letter(void **state)
{
    const char *name;
    (void)state;

    name = others_name();
    put_binding(name, world.wall_ms - 60000);
    ask("INVITE", name, own_call_id());
    assert_int_equal(0, push_count);
    const struct core_mail *mail = last_mail();
    assert_int_equal(CORE_MAIL_PUSH_ASK, mail->kind);
    assert_int_equal(1, world.mail[world.mail_count - 1].to);
    assert_int_equal(world.wall_ms - 60000, mail->posted_ms);
    struct core_mail woken = *mail;
    woken.kind = CORE_MAIL_PUSH_WOKEN;
    core_mail(world.core, &woken, world.now_ms, world.wall_ms); /* but the table is as it was */
    pass(1);
    assert_null(sent_to(PHONE, "INVITE"));
    put_binding(name, world.wall_ms);
    core_mail(world.core, &woken, world.now_ms, world.wall_ms);
    pass(1);
    assert_non_null(sent_to(PHONE, "INVITE"));
    nothing_is_left();
}

static void a_lost_letter_costs_a_second(void **state)
{
    const char *name;
    (void)state;

    name = others_name();
    put_binding(name, world.wall_ms - 60000);
    ask("INVITE", name, own_call_id());
    pass(2500);
    put_binding(name, world.wall_ms);
    pass(PUSH_LOOK_MS);
    assert_non_null(sent_to(PHONE, "INVITE"));
}

static void another_workers_failure_ends_the_wait(void **state)
{
    const char *name;
    (void)state;

    name = others_name();
    put_binding(name, world.wall_ms - 60000);
    ask("INVITE", name, own_call_id());
    struct core_mail failed = *last_mail();
    failed.kind = CORE_MAIL_PUSH_FAILED;
    core_mail(world.core, &failed, world.now_ms, world.wall_ms);
    pass(1);
    assert_non_null(sent_to(CALLER, "SIP/2.0 480"));
}

static void the_owner_wakes_and_tells_who_asked(void **state)
{
    char bytes[] = "call-7\0sip:dan@example.net";
    const char *name;
    (void)state;

    name = world_own_name(&world);
    register_at(name, PHONE, SLEEPY);
    uint64_t seen_ms = world.wall_ms, hash = core_aor_hash(&world.config, slice_of(name));
    pass(60000);
    struct binding binding = {.instance = SLICE("<urn:uuid:1>"), .contact = SLICE("x")};
    struct core_mail ask_mail = {
        .kind = CORE_MAIL_PUSH_ASK,
        .from = 1,
        .number = instance_hash(world.core, &binding),
        .id = {(uint32_t)(hash >> 32), (uint32_t)hash},
        .posted_ms = seen_ms,
        .bytes = {bytes, sizeof bytes - 1},
    };
    unsigned before = world.mail_count;
    core_mail(world.core, &ask_mail, world.now_ms, world.wall_ms);
    core_mail(world.core, &ask_mail, world.now_ms, world.wall_ms); /* two calls, one push */
    assert_int_equal(1, push_count);
    assert_non_null(strstr(pushes[0].text, " call-7 sip:dan@example.net"));
    assert_int_equal(before, world.mail_count);
    register_at(name, DESK, SLEEPY);
    assert_int_equal(before + 1, world.mail_count);
    assert_int_equal(CORE_MAIL_PUSH_WOKEN, last_mail()->kind);
    assert_int_equal(ask_mail.number, last_mail()->number);
    assert_int_equal(1, world.mail[world.mail_count - 1].to);

    core_mail(world.core, &ask_mail, world.now_ms, world.wall_ms); /* it was not up to date */
    assert_int_equal(before + 2, world.mail_count);
    assert_int_equal(CORE_MAIL_PUSH_WOKEN, last_mail()->kind);
    ask_mail.number++; /* no such phone (any more) */
    core_mail(world.core, &ask_mail, world.now_ms, world.wall_ms);
    assert_int_equal(CORE_MAIL_PUSH_FAILED, last_mail()->kind);
    assert_int_equal(1, push_count);
    ask_mail.number--;
    pass(60000);
    ask_mail.posted_ms = world.wall_ms;
    core_mail(world.core, &ask_mail, world.now_ms, world.wall_ms);
    assert_int_equal(2, push_count);
    core_push_result(world.core, pushes[1].token, CORE_PUSH_FAILED, world.now_ms, world.wall_ms);
    assert_int_equal(CORE_MAIL_PUSH_FAILED, last_mail()->kind);
    assert_int_equal(0, world.core->pushes.wakes.count);
}

#define WAKE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TWO_TEST(name)  cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAKE_TEST(a_call_wakes_the_phone_and_waits_for_it),
        WAKE_TEST(a_phone_that_has_just_registered_is_awake),
        WAKE_TEST(a_phone_that_does_not_come_is_480),
        WAKE_TEST(what_the_gateway_refuses_is_480_at_once),
        WAKE_TEST(a_phone_that_its_service_does_not_know_is_not_woken_until_it_registers),
        WAKE_TEST(who_registers_meanwhile_is_not_gone),
        WAKE_TEST(a_gateway_that_cannot_be_asked_is_480_at_once),
        WAKE_TEST(who_hangs_up_waits_no_longer),
        WAKE_TEST(a_second_call_does_not_wake_it_again_at_once),
        WAKE_TEST(one_users_phones_have_a_share_of_the_places),
        WAKE_TEST(there_are_so_many_places_and_no_more),
        WAKE_TEST(other_requests_wait_less_and_an_options_wakes_nobody),
        WAKE_TEST(a_phone_without_an_instance_is_known_by_its_token),
        WAKE_TEST(another_phone_of_the_user_ends_no_wait),
        WAKE_TEST(a_lost_connection_does_not_keep_it_from_being_woken),
        WAKE_TEST(a_phone_is_woken_before_its_registration_ends),
        WAKE_TEST(who_wakes_by_itself_is_woken_only_when_it_did_not),
        WAKE_TEST(a_gateway_without_room_is_asked_in_the_next_round),
        WAKE_TEST(without_a_gateway_nobody_waits),
        TWO_TEST(the_owner_of_the_phone_is_asked_by_letter),
        TWO_TEST(a_lost_letter_costs_a_second),
        TWO_TEST(another_workers_failure_ends_the_wait),
        TWO_TEST(the_owner_wakes_and_tells_who_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
