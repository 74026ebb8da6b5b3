/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "calls/calls.h"

enum {
    START_MS = 1000,
    SILENCE_MS = 600000,
    APPENDS_MAX = 64,
    CALLS_MAX = 2
};
#define WALL_MS UINT64_C(1700000000000)

/** A worker without a router: what would be in the journal, and what was said. */
struct world {
    struct mem mem;
    struct timer_wheel wheel;
    struct calls *calls;
    uint64_t now_ms;
    bool full;
    struct id tokens[APPENDS_MAX];
    unsigned appended, settled;
    char block[CALL_BLOCK_MAX]; /* the last one */
    size_t block_len;
    struct call_record record; /* the same, read */
    unsigned begun, interrupted;
    enum err begun_err;
};

static enum err append(void *user, const struct durable_op *op, struct id token)
{
    struct world *w = user;

    if (w->full)
        return ERR_FULL;
    assert_int_equal(DURABLE_CALL, op->kind);
    assert_true(w->appended < APPENDS_MAX);
    w->tokens[w->appended++] = token;
    memcpy(w->block, op->value.data, op->value.len);
    w->block_len = op->value.len;
    assert_int_equal(OK, call_record_unpack((struct slice){w->block, w->block_len}, &w->record));
    return OK;
}

static void begun(void *user, struct id call, enum err err, uint64_t now_ms)
{
    struct world *w = user;

    (void)now_ms;
    w->begun++;
    w->begun_err = err;
    if (err)
        calls_drop(w->calls, call);
}

static void interrupted(void *user, struct slice block, uint64_t now_ms)
{
    struct world *w = user;
    struct call_record record;

    (void)now_ms;
    assert_int_equal(OK, call_record_unpack(block, &record));
    assert_true(record.way.len > 0);
    w->interrupted++;
}

static struct calls_config config_of(struct world *w)
{
    return (struct calls_config){
        .workers = 1,
        .calls_max = CALLS_MAX,
        .silence_ms = SILENCE_MS,
        .mem = &w->mem,
        .wheel = &w->wheel,
        .durable = {.user = w, .append = append},
        .user = w,
        .begun = begun,
        .interrupted = interrupted,
    };
}

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    *state = w;
    mem_init(&w->mem, 1 << 24);
    timer_wheel_init(&w->wheel, START_MS);
    w->now_ms = START_MS;
    struct calls_config config = config_of(w);
    assert_int_equal(OK, calls_open(&config, &w->calls));
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    if (w == NULL)
        return 0;
    calls_close(w->calls);
    assert_int_equal(0, w->mem.used_bytes);
    assert_int_equal(0, w->wheel.count);
    mem_release(&w->mem);
    free(w);
    return 0;
}

static void pass(struct world *w, uint64_t ms)
{
    w->now_ms += ms;
    while (timer_wheel_run(&w->wheel, w->now_ms, 100) == 100)
        ;
}

/** The receipts that are due. */
static void settle(struct world *w, enum err err)
{
    while (w->settled < w->appended)
        calls_receipt(w->calls, w->tokens[w->settled++], err, w->now_ms);
}

static struct call_key key_of(const char *call_id)
{
    char scratch[64];
    return call_key_of(7, slice_of(call_id), SLICE("tag"), scratch);
}

static enum err open_attempt(struct world *w, const char *call_id, struct id *out)
{
    struct call_facts facts = {
        .key = key_of(call_id),
        .sip_call_id = slice_of(call_id),
        .calling_uri = SLICE("sip:alice@example.com"),
        .called_uri = SLICE("sip:bob@example.com"),
        .source_address = SLICE("192.0.2.1:5060"),
        .transport = TRANSPORT_UDP,
        .direction = CALL_INTERNAL,
        .way = SLICE("INVITE sip:bob@example.com SIP/2.0\r\n\r\n"),
        .flow = {.transport = TRANSPORT_UDP, .remote = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 1}}},
        .server = {1, 1},
    };
    return calls_open_attempt(w->calls, &facts, w->now_ms, WALL_MS + w->now_ms, out);
}

static const struct call_leg_facts a_leg = {
    .client = {5, 1},
    .target = {"sip:bob@192.0.2.2", 17},
    .user = {"bob", 3},
    .branch = {"z9hG4bKx", 8},
    .flow = {.transport = TRANSPORT_UDP, .remote = {ADDR_V4, 0, 5060, 0, {192, 0, 2, 2}}},
};

/** An attempt whose record has begun, and whose only leg was sent. */
static struct id begin(struct world *w, const char *call_id)
{
    struct id call = {0};

    assert_int_equal(OK, open_attempt(w, call_id, &call));
    assert_int_equal(ATTEMPT_NEW, calls_state(w->calls, call));
    calls_leg(w->calls, call, &a_leg, false, w->now_ms);
    assert_int_equal(OK, calls_commit(w->calls, call, w->now_ms));
    assert_int_equal(ATTEMPT_WAITING, calls_state(w->calls, call));
    settle(w, OK);
    assert_int_equal(ATTEMPT_TRYING, calls_state(w->calls, call));
    calls_leg(w->calls, call, &a_leg, true, w->now_ms);
    return call;
}

static void end_by_bye(struct world *w, struct id call)
{
    const struct call_end end = {.party = CALL_P_CALLEE};
    calls_ended(w->calls, call, &end, w->now_ms);
}

static void a_call_from_its_beginning_to_its_end(void **state)
{
    struct world *w = *state;
    struct id call = begin(w, "a");

    assert_int_equal(1, w->begun);
    assert_int_equal(0, w->record.end_ms);
    assert_int_equal(8, w->record.legs[0].branch.len); /* who rings can be cancelled */
    assert_int_equal(1, calls_live(w->calls));
    pass(w, 300);
    calls_leg_rang(w->calls, call, a_leg.client, w->now_ms);
    pass(w, 2000);
    calls_leg_answered(w->calls, call, a_leg.client, 200, w->now_ms);
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    assert_int_equal(w->record.start_ms + 2300, w->record.answer_ms);
    assert_int_equal(0, w->record.legs[0].branch.len);
    assert_int_equal(0, w->record.way.len);
    pass(w, 60000);
    end_by_bye(w, call);
    assert_int_equal(3, w->appended);
    assert_int_equal(w->record.start_ms + 300, w->record.progress_ms);
    assert_int_equal(w->record.answer_ms + 60000, w->record.end_ms);
    assert_int_equal(CALL_D_ANSWERED, w->record.disposition);
    assert_int_equal(CALL_P_CALLEE, w->record.release_party);
    assert_int_equal(16, w->record.q850_cause);
    assert_int_equal(200, w->record.sip_status);
    assert_true(slice_equal(SLICE("bob"), w->record.answered_by));
    assert_int_equal(w->record.end_ms, w->record.legs[0].end_ms);
    assert_int_equal(0, calls_live(w->calls));
    settle(w, OK);
    assert_true(calls_idle(w->calls));
    pass(w, CALLS_REMEMBERED_MS - 1);
    assert_int_equal(1, calls_count(w->calls));
    pass(w, 2);
    assert_int_equal(0, calls_count(w->calls));
}

static void a_beginning_that_cannot_be_written_is_none(void **state)
{
    struct world *w = *state;
    struct id call = {0};

    w->full = true;
    assert_int_equal(OK, open_attempt(w, "a", &call));
    assert_int_equal(ERR_FULL, calls_commit(w->calls, call, w->now_ms));
    assert_int_equal(0, calls_count(w->calls));
    w->full = false;
    assert_int_equal(OK, open_attempt(w, "a", &call));
    assert_int_equal(OK, calls_commit(w->calls, call, w->now_ms));
    settle(w, ERR_IO);
    assert_int_equal(1, w->begun);
    assert_int_equal(ERR_IO, w->begun_err);
    assert_int_equal(0, calls_count(w->calls));
    assert_int_equal(0, calls_counters(w->calls)->attempts);
}

static void an_end_that_cannot_be_written_is_kept_and_tried_again(void **state)
{
    struct world *w = *state;
    struct id call = begin(w, "a");

    calls_answered(w->calls, call, 200, 99, w->now_ms);
    settle(w, OK);
    w->full = true;
    end_by_bye(w, call);
    for (unsigned i = 0; i < 60; i++)
        pass(w, CALLS_RETRY_MS);
    assert_false(calls_idle(w->calls));
    assert_int_equal(1, calls_count(w->calls));
    assert_int_equal(0, w->record.end_ms);
    w->full = false;
    pass(w, CALLS_RETRY_MS);
    assert_int_not_equal(0, w->record.end_ms);
    settle(w, ERR_IO); /* and once more, as its receipt was bad */
    unsigned before = w->appended;
    pass(w, CALLS_RETRY_MS);
    assert_int_equal(before + 1, w->appended);
    settle(w, OK);
    assert_true(calls_idle(w->calls));
    pass(w, CALLS_REMEMBERED_MS);
    assert_int_equal(0, calls_count(w->calls));
}

static void past_the_limit_no_attempt_is_opened(void **state)
{
    struct world *w = *state;
    struct id call = {0};

    (void)begin(w, "a");
    (void)begin(w, "b");
    assert_int_equal(ERR_FULL, open_attempt(w, "c", &call));
    assert_int_equal(1, calls_counters(w->calls)->full);
    assert_int_equal(OK, open_attempt(w, "a", &call)); /* it is there already */
}

static void an_attempt_that_failed_goes_on_with_the_next_invite(void **state)
{
    struct world *w = *state;
    struct id call = begin(w, "a"), again = {0};
    uint64_t id = w->record.id;
    const struct call_end challenge = {.sip_status = 407, .party = CALL_P_CALLEE};

    calls_ended(w->calls, call, &challenge, w->now_ms);
    settle(w, OK);
    assert_int_equal(407, w->record.sip_status);
    pass(w, 500);
    assert_int_equal(OK, open_attempt(w, "a", &again));
    assert_true(id_equal(call, again));
    assert_int_equal(ATTEMPT_TRYING, calls_state(w->calls, call));
    assert_int_equal(0, calls_counters(w->calls)->ended[CALL_D_FAILED]);
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    end_by_bye(w, call);
    settle(w, OK);
    assert_int_equal(id, w->record.id);
    assert_int_equal(CALL_D_ANSWERED, w->record.disposition);
    /* Once it was up a late copy begins nothing. */
    assert_int_equal(OK, open_attempt(w, "a", &again));
    assert_int_equal(ATTEMPT_OVER, calls_state(w->calls, again));
}

static void a_cancelled_call_is_the_callers_doing(void **state)
{
    struct world *w = *state;
    struct id call = begin(w, "a");
    const struct call_end cancel = {.sip_status = 487, .party = CALL_P_CALLER, .q850_cause = 31};
    const struct call_end told = {.sip_status = 487, .party = CALL_P_CALLEE};

    calls_cancelled(w->calls, call, &cancel, w->now_ms);
    calls_leg_ended(w->calls, call, a_leg.client, &told, w->now_ms);
    calls_ended(w->calls, call, &told, w->now_ms);
    assert_int_equal(CALL_D_CANCELLED, w->record.disposition);
    assert_int_equal(CALL_P_CALLER, w->record.release_party);
    assert_int_equal(31, w->record.q850_cause);
    assert_int_equal(CALL_D_CANCELLED, w->record.legs[0].disposition);
}

static void a_call_without_a_sign_of_life_is_over(void **state)
{
    struct world *w = *state;
    struct id call = begin(w, "a");

    calls_answered(w->calls, call, 200, 99, w->now_ms);
    pass(w, SILENCE_MS - 1);
    calls_heard(w->calls, call, w->now_ms);
    pass(w, SILENCE_MS - 1);
    assert_int_equal(ATTEMPT_UP, calls_state(w->calls, call));
    pass(w, 2);
    assert_int_equal(ATTEMPT_OVER, calls_state(w->calls, call));
    assert_int_equal(CALL_P_SYSTEM, w->record.release_party);
    assert_int_equal(102, w->record.q850_cause);
    assert_int_equal(1, calls_counters(w->calls)->silent);
}

/** The node ends here, and another begins with what was written. */
static void start_anew(struct world *w, const char *block, size_t len)
{
    struct calls_config config = config_of(w);

    calls_close(w->calls);
    w->calls = NULL; /* it is closed once only, also when no other can be had */
    w->settled = w->appended;
    assert_int_equal(OK, calls_open(&config, &w->calls));
    calls_restore(w->calls, (struct slice){block, len}, w->now_ms, WALL_MS + w->now_ms);
}

static void a_call_that_is_up_goes_on_after_a_restart(void **state)
{
    static char block[CALL_BLOCK_MAX];
    struct world *w = *state;
    struct id call = begin(w, "a");

    calls_leg_answered(w->calls, call, a_leg.client, 200, w->now_ms);
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    memcpy(block, w->block, w->block_len);
    uint64_t id = w->record.id;
    pass(w, 5000);
    start_anew(w, block, w->block_len);
    struct call_key key = key_of("a");
    call = calls_find(w->calls, &key);
    assert_int_equal(ATTEMPT_UP, calls_state(w->calls, call));
    assert_int_equal(99, calls_callee_tag(w->calls, call));
    end_by_bye(w, call);
    assert_int_equal(id, w->record.id);
    assert_int_equal(w->record.answer_ms + 5000, w->record.end_ms);
    assert_true(slice_equal(SLICE("bob"), w->record.answered_by));
    assert_true(slice_equal(SLICE("sip:alice@example.com"), w->record.calling_uri));
    assert_int_equal(1, w->record.leg_count);
    assert_int_equal(0, w->interrupted);
}

static void a_call_that_rang_is_over_after_a_restart(void **state)
{
    static char block[CALL_BLOCK_MAX];
    struct world *w = *state;

    (void)begin(w, "a");
    memcpy(block, w->block, w->block_len);
    start_anew(w, block, w->block_len);
    struct call_key key = key_of("a");
    struct id call = calls_find(w->calls, &key);
    assert_int_equal(ATTEMPT_OVER, calls_state(w->calls, call));
    assert_int_equal(1, w->interrupted);
    assert_int_equal(CALL_D_FAILED, w->record.disposition);
    assert_int_equal(CALL_P_SYSTEM, w->record.release_party);
    assert_int_equal(500, w->record.sip_status);
    assert_int_equal(1, w->record.leg_count);
}

static void ids_grow_also_when_the_clock_does_not(void **state)
{
    struct world *w = *state;

    (void)begin(w, "a");
    uint64_t first = w->record.id;
    assert_int_equal(WALL_MS + START_MS, first >> CALL_ID_TIME_SHIFT);
    (void)begin(w, "b");
    assert_true(w->record.id > first);
}

/* ---- media ---- */

static struct call_side side_of(const char *description)
{
    static struct sip_msg msg;
    struct call_side side;
    char text[1024];
    struct builder b = builder_over(text, sizeof text);

    builder_text(&b, "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\n"
                     "From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\n"
                     "Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: ");
    builder_u64(&b, strlen(description));
    builder_text(&b, "\r\n\r\n");
    builder_add(&b, slice_of(description));
    assert_false(b.overflow);
    assert_int_equal(OK, sip_parse(builder_slice(&b), SIP_DATAGRAM, &msg));
    if (!calls_describes(&msg, &side))
        return (struct call_side){0};
    return side;
}

#define SESSION "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
#define AUDIO   "m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
#define VIDEO   "m=video 4002 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 H264/90000\r\n"

static void a_description_in_few_bytes(void **state)
{
    (void)state;
    struct call_side side = side_of(SESSION VIDEO AUDIO "m=image 0 udptl t38\r\n");
    const uint8_t codecs[CALL_CODECS_MAX] = {CODEC_PCMA, CODEC_PCMU, CODEC_VP8, CODEC_H264};
    assert_int_equal(CALL_AUDIO | CALL_VIDEO, side.kinds); /* what is refused does not count */
    assert_memory_equal(codecs, side.codecs, sizeof codecs);
    assert_int_equal(4000, side.port); /* of audio, though it comes later */
    assert_int_equal(ADDR_V4, side.family);
    assert_int_equal(7, side.bytes[3]);

    side = side_of(SESSION "m=audio 4000 RTP/AVP 0 8 9 18 3\r\n" VIDEO);
    assert_int_equal(CODEC_G729, side.codecs[3]); /* room is left for video */
    assert_int_equal(CODEC_VP8, side.codecs[4]);
    side = side_of(SESSION AUDIO "a=sendonly\r\n" VIDEO);
    assert_int_equal(CALL_AUDIO | CALL_VIDEO, side.kinds); /* they see each other yet */
    side = side_of(SESSION AUDIO "a=sendonly\r\n");
    assert_int_equal(CALL_AUDIO | CALL_HOLD, side.kinds);
    side = side_of(SESSION "m=audio 0 RTP/AVP 0\r\n");
    assert_int_equal(0, side.kinds);
    side = side_of("garbage");
    assert_int_equal(0, side.kinds);
}

static struct id up(struct world *w)
{
    struct id call = begin(w, "a");

    calls_leg_answered(w->calls, call, a_leg.client, 200, w->now_ms);
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    return call;
}

static void what_both_sides_say_is_in_the_record(void **state)
{
    struct world *w = *state;
    struct call_side offer = side_of(SESSION AUDIO VIDEO), answer = side_of(SESSION AUDIO);
    struct id call = begin(w, "a");

    calls_media(w->calls, call, CALL_P_CALLER, &offer, w->now_ms);
    calls_media(w->calls, call, CALL_P_CALLEE, &answer, w->now_ms);
    assert_int_equal(1, w->appended); /* it is written with the answer */
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    assert_int_equal(2, w->appended);
    assert_memory_equal(&offer, &w->record.caller_media, sizeof offer);
    assert_memory_equal(&answer, &w->record.callee_media, sizeof answer);
    calls_media(w->calls, call, CALL_P_CALLER, &offer, w->now_ms);
    assert_int_equal(2, w->appended); /* the same once more is nothing new */
    calls_media(w->calls, call, CALL_P_CALLER, &answer, w->now_ms);
    assert_int_equal(3, w->appended);
    assert_memory_equal(&answer, &w->record.caller_media, sizeof answer);
}

static void hold_is_timed(void **state)
{
    struct world *w = *state;
    struct call_side talk = side_of(SESSION AUDIO), hold = side_of(SESSION AUDIO "a=inactive\r\n");
    struct id call = up(w);

    pass(w, 1000);
    calls_media(w->calls, call, CALL_P_CALLER, &hold, w->now_ms);
    assert_int_equal(w->record.answer_ms + 1000, w->record.hold_since_ms);
    pass(w, 5000);
    calls_media(w->calls, call, CALL_P_CALLEE, &hold, w->now_ms); /* both */
    pass(w, 5000);
    calls_media(w->calls, call, CALL_P_CALLER, &talk, w->now_ms);
    assert_int_equal(0, w->record.hold_ms); /* the other one still holds */
    pass(w, 5000);
    calls_media(w->calls, call, CALL_P_CALLEE, &talk, w->now_ms);
    assert_int_equal(15000, w->record.hold_ms);
    assert_int_equal(0, w->record.hold_since_ms);
    pass(w, 60000);
    calls_media(w->calls, call, CALL_P_CALLEE, &hold, w->now_ms);
    pass(w, 500);
    end_by_bye(w, call); /* on hold */
    assert_int_equal(15500, w->record.hold_ms);
    assert_int_equal(0, w->record.hold_since_ms);
}

static void a_call_that_begins_on_hold_is_timed_from_its_answer(void **state)
{
    struct world *w = *state;
    struct call_side hold = side_of(SESSION AUDIO "a=sendonly\r\n");
    struct id call = begin(w, "a");

    calls_media(w->calls, call, CALL_P_CALLER, &hold, w->now_ms);
    pass(w, 3000);
    calls_answered(w->calls, call, 200, 99, w->now_ms);
    assert_int_equal(w->record.answer_ms, w->record.hold_since_ms);
    pass(w, 700);
    end_by_bye(w, call);
    assert_int_equal(700, w->record.hold_ms);
}

static void hold_goes_on_after_a_restart(void **state)
{
    static char block[CALL_BLOCK_MAX];
    struct world *w = *state;
    struct call_side talk = side_of(SESSION AUDIO), hold = side_of(SESSION AUDIO "a=inactive\r\n");
    struct id call = up(w);

    calls_media(w->calls, call, CALL_P_CALLEE, &talk, w->now_ms);
    calls_media(w->calls, call, CALL_P_CALLER, &hold, w->now_ms);
    memcpy(block, w->block, w->block_len);
    pass(w, 4000);
    start_anew(w, block, w->block_len);
    struct call_key key = key_of("a");
    call = calls_find(w->calls, &key);
    pass(w, 1000);
    calls_media(w->calls, call, CALL_P_CALLER, &talk, w->now_ms);
    assert_int_equal(5000, w->record.hold_ms);
    assert_memory_equal(&talk, &w->record.callee_media, sizeof talk);
    end_by_bye(w, call);
    assert_int_equal(5000, w->record.hold_ms);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_call_from_its_beginning_to_its_end),
        TEST(a_beginning_that_cannot_be_written_is_none),
        TEST(an_end_that_cannot_be_written_is_kept_and_tried_again),
        TEST(past_the_limit_no_attempt_is_opened),
        TEST(an_attempt_that_failed_goes_on_with_the_next_invite),
        TEST(a_cancelled_call_is_the_callers_doing),
        TEST(a_call_without_a_sign_of_life_is_over),
        TEST(a_call_that_is_up_goes_on_after_a_restart),
        TEST(a_call_that_rang_is_over_after_a_restart),
        TEST(ids_grow_also_when_the_clock_does_not),
        TEST(a_description_in_few_bytes),
        TEST(what_both_sides_say_is_in_the_record),
        TEST(hold_is_timed),
        TEST(a_call_that_begins_on_hold_is_timed_from_its_answer),
        TEST(hold_goes_on_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
