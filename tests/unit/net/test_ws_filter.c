/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket filter above a stream that the test plays: what comes in which pieces, and how much
 * is taken (RFC 6455 §5 to §7, RFC 7118 §4 and §5). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "net/ws_filter.h"

enum {
    WIRE_MAX = 1 << 20
};
#define ANY SIZE_MAX

#define OPENING                                                                                    \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                 \
    "Sec-WebSocket-Protocol: sip\r\n\r\n"
static const struct slice opening = {OPENING, sizeof OPENING - 1};

/* The stream below: `in` is read in pieces of at most `piece`, `out` takes at most `room` more. */
struct stream {
    struct filter filter;
    char *in, *out;
    size_t in_len, in_at, in_shown, out_len, piece, room;
    bool ends, breaks; /* when all was read */
    bool ended, closed;
};

struct fixture {
    struct mem mem;
    struct stream stream;
    struct ws_worker *worker;
    struct filter *filter;
    char *buffer;
    size_t got;
};

static struct stream *stream_of(struct filter *filter)
{
    return CONTAINER_OF(filter, struct stream, filter);
}

static enum io stream_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    struct stream *s = stream_of(filter);
    size_t count = s->in_shown - s->in_at;

    count = count < capacity ? count : capacity;
    count = count < s->piece ? count : s->piece;
    if (count == 0 && s->in_at == s->in_len && (s->ends || s->breaks))
        return s->ends ? IO_END : IO_BROKEN;
    if (count == 0)
        return IO_AGAIN;
    memcpy(buffer, s->in + s->in_at, count);
    s->in_at += count;
    *got = count;
    return IO_DONE;
}

static enum io stream_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    struct stream *s = stream_of(filter);
    size_t count = bytes.len < s->room ? bytes.len : s->room;

    assert_false(s->ended);
    if (count == 0)
        return IO_AGAIN;
    assert_true(s->out_len + count <= WIRE_MAX);
    memcpy(s->out + s->out_len, bytes.data, count);
    s->out_len += count;
    s->room -= s->room != ANY ? count : 0;
    *sent = count;
    return IO_DONE;
}

static uint32_t stream_wants(const struct filter *filter)
{
    (void)filter;
    return 0;
}

static bool stream_ready(const struct filter *filter)
{
    (void)filter;
    return true;
}

static enum pending stream_pending(const struct filter *filter)
{
    (void)filter;
    return PENDING_NOTHING;
}

static void stream_end(struct filter *filter)
{
    stream_of(filter)->ended = true;
}

static void stream_close(struct filter *filter)
{
    stream_of(filter)->closed = true;
}

static const struct filter_ops stream_ops = {
    .read = stream_read,
    .write = stream_write,
    .wants = stream_wants,
    .ready = stream_ready,
    .pending = stream_pending,
    .end = stream_end,
    .close = stream_close,
};

static void must_have(const void *pointer)
{
    if (pointer == NULL)
        fail_msg("no memory for the test");
}

static struct fixture *fixture_open(size_t memory_max)
{
    struct fixture *f = calloc(1, sizeof *f);
    must_have(f);
    f->stream = (struct stream){.filter = {.ops = &stream_ops},
                                .in = malloc(WIRE_MAX),
                                .out = malloc(WIRE_MAX),
                                .piece = ANY,
                                .room = ANY};
    must_have(f->stream.in);
    must_have(f->stream.out);
    f->buffer = malloc(WS_MESSAGE_MAX); /* exactly: one byte more is seen */
    must_have(f->buffer);
    mem_init(&f->mem, 1 << 20);
    struct ws_config config = {.mem = &f->mem, .memory_max = memory_max};
    assert_int_equal(OK, ws_worker_open(&config, &f->worker));
    f->filter = ws_filter_accept(f->worker, &f->stream.filter, false);
    assert_non_null(f->filter);
    return f;
}

static void fixture_close(struct fixture *f)
{
    f->filter->ops->close(f->filter);
    assert_true(f->stream.closed);
    assert_int_equal(0, f->mem.used_bytes);
    ws_worker_close(f->worker);
    mem_release(&f->mem);
    free(f->stream.in);
    free(f->stream.out);
    free(f->buffer);
    free(f);
}

static void push(struct fixture *f, struct slice bytes)
{
    assert_true(f->stream.in_len + bytes.len <= WIRE_MAX);
    memcpy(f->stream.in + f->stream.in_len, bytes.data, bytes.len);
    f->stream.in_len += bytes.len;
    f->stream.in_shown = f->stream.in_len;
}

static enum io read_one(struct fixture *f)
{
    f->got = 0;
    return f->filter->ops->read(f->filter, f->buffer, WS_MESSAGE_MAX, &f->got);
}

/* A client's frame; `first` is its first byte. */
static size_t make_frame(char *out, uint8_t first, struct slice payload)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t *o = (uint8_t *)out;
    size_t n = 0;

    o[n++] = first;
    if (payload.len < 126) {
        o[n++] = (uint8_t)(0x80 | payload.len);
    } else if (payload.len <= UINT16_MAX) {
        o[n++] = 0x80 | 126;
        o[n++] = (uint8_t)(payload.len >> 8);
        o[n++] = (uint8_t)payload.len;
    } else {
        o[n++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            o[n++] = (uint8_t)((uint64_t)payload.len >> shift);
    }
    memcpy(o + n, key, 4);
    n += 4;
    for (size_t i = 0; i < payload.len; i++)
        o[n++] = (uint8_t)((uint8_t)payload.data[i] ^ key[i % 4]);
    return n;
}

static void push_frame(struct fixture *f, uint8_t first, struct slice payload)
{
    char *frame = malloc(payload.len + 14);
    must_have(frame);
    push(f, (struct slice){frame, make_frame(frame, first, payload)});
    free(frame);
}

static void connect_it(struct fixture *f)
{
    push(f, opening);
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_true(f->filter->ops->ready(f->filter));
    f->stream.out_len = 0;
}

static struct fixture *connected(void)
{
    struct fixture *f = fixture_open(ANY);
    connect_it(f);
    return f;
}

static void expect_message(struct fixture *f, struct slice wanted)
{
    assert_int_equal(IO_DONE, read_one(f));
    assert_int_equal(wanted.len, f->got);
    assert_memory_equal(wanted.data, f->buffer, wanted.len);
}

static void expect_out(struct fixture *f, struct slice wanted)
{
    assert_int_equal(wanted.len, f->stream.out_len);
    assert_memory_equal(wanted.data, f->stream.out, wanted.len);
    f->stream.out_len = 0;
}

static void expect_close(struct fixture *f, uint16_t code)
{
    const char wanted[] = {(char)0x88, 2, (char)(code >> 8), (char)(code & 0xff)};
    expect_out(f, (struct slice){wanted, sizeof wanted});
}

static void expect_reason(struct fixture *f, const char *wanted)
{
    char text[256];
    struct builder b = builder_over(text, sizeof text - 1);

    assert_true(ws_filter_explain(f->filter, &b));
    text[b.len] = '\0';
    assert_string_equal(wanted, text);
}

static enum pending pending_of(struct fixture *f)
{
    return f->filter->ops->pending(f->filter);
}

static uint32_t wants_of(struct fixture *f)
{
    return f->filter->ops->wants(f->filter);
}

/* Shows what was pushed to the filter byte by byte, until a read gives something. */
static enum io read_dribble(struct fixture *f, size_t from)
{
    for (f->stream.in_shown = from; f->stream.in_shown < f->stream.in_len;) {
        f->stream.in_shown++;
        enum io io = read_one(f);
        if (io != IO_AGAIN)
            return io;
    }
    return IO_AGAIN;
}

/* --- The opening ----------------------------------------------------------------------------- */

static void the_opening_may_come_byte_by_byte(void **state)
{
    struct fixture *f = fixture_open(ANY);

    (void)state;
    push(f, opening);
    assert_false(f->filter->ops->ready(f->filter));
    assert_int_equal(IO_AGAIN, read_dribble(f, 0));
    assert_true(f->filter->ops->ready(f->filter));
    f->stream.out[f->stream.out_len] = '\0';
    assert_non_null(
        strstr(f->stream.out, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_int_equal(1, ws_worker_counters(f->worker)->upgraded);
    fixture_close(f);
}

static void frames_right_behind_the_opening_are_read(void **state)
{
    struct fixture *f = fixture_open(ANY);

    (void)state;
    push(f, opening);
    push_frame(f, 0x81, SLICE("one"));
    push_frame(f, 0x82, SLICE("two"));
    assert_int_equal(IO_AGAIN, read_one(f)); /* the connection is told first that it is up */
    assert_true(f->filter->ops->ready(f->filter));
    assert_int_equal(PENDING_BYTES, pending_of(f));
    expect_message(f, SLICE("one"));
    assert_int_equal(PENDING_BYTES, pending_of(f));
    expect_message(f, SLICE("two"));
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_int_equal(PENDING_NOTHING, pending_of(f));
    fixture_close(f);
}

static void who_is_refused_gets_the_answer_and_the_end(void **state)
{
    struct fixture *f = fixture_open(ANY);

    (void)state;
    f->stream.room = 10; /* the answer waits for the peer to take it */
    push(f, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(IO_FAULT, read_one(f));
    expect_reason(f, "its opening was answered 426");
    assert_int_equal(EPOLLOUT, wants_of(f));
    assert_false(f->stream.ended);
    f->filter->ops->end(f->filter);
    assert_false(f->stream.ended);
    f->stream.room = ANY;
    push(f, SLICE("whatever else"));
    assert_int_equal(IO_DONE, read_one(f)); /* thrown away */
    assert_true(f->stream.ended);
    assert_int_equal(0, wants_of(f));
    assert_memory_equal("HTTP/1.1 426 Upgrade Required\r\n", f->stream.out, 31);
    f->stream.ends = true;
    assert_int_equal(IO_END, read_one(f));
    assert_int_equal(1, ws_worker_counters(f->worker)->refused);
    fixture_close(f);
}

static void an_opening_has_a_limit(void **state)
{
    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct fixture *f = fixture_open(ANY);
        struct slice start = SLICE("GET / HTTP/1.1\r\nHost: a\r\nCookie: ");
        struct slice end = SLICE("\r\n\r\n");
        push(f, start);
        for (size_t i = 0; i < WS_HEAD_MAX - start.len - end.len + more; i++)
            push(f, SLICE("a"));
        push(f, end);
        assert_int_equal(IO_FAULT, read_one(f));
        assert_memory_equal(more == 0 ? "HTTP/1.1 426" : "HTTP/1.1 431", f->stream.out, 12);
        fixture_close(f);
    }
}

/* --- Receiving ------------------------------------------------------------------------------- */

static void messages_come_whole_however_they_are_cut(void **state)
{
    struct fixture *f = connected();
    char text[300];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t len = 1; len <= sizeof text; len += 23) {
        struct slice message = {text, len};
        size_t from = f->stream.in_len;
        push_frame(f, 0x01, slice_from(message, len - len / 2));
        push_frame(f, 0x89, SLICE("are you there?"));
        push_frame(f, 0x00, SLICE_EMPTY);
        push_frame(f, 0x8a, SLICE("unasked"));
        push_frame(f, 0x80, slice_from(message, len / 2));
        assert_int_equal(IO_DONE, read_dribble(f, from));
        assert_int_equal(len, f->got);
        assert_memory_equal(text, f->buffer, len);
        expect_out(f, SLICE("\x8a\x0e"
                            "are you there?"));
        push_frame(f, 0x82, message);
        expect_message(f, message);
    }
    fixture_close(f);
}

static void an_idle_connection_has_no_buffers(void **state)
{
    struct fixture *f = connected();
    size_t idle = f->mem.used_bytes;

    (void)state;
    assert_true(idle < 600);
    push_frame(f, 0x01, SLICE("half"));
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_int_equal(PENDING_PART, pending_of(f));
    assert_true(f->mem.used_bytes > idle);
    push_frame(f, 0x80, SLICE(" and half"));
    expect_message(f, SLICE("half and half"));
    assert_int_equal(PENDING_NOTHING, pending_of(f));
    assert_int_equal(idle, f->mem.used_bytes);
    push(f, SLICE("\x81"));
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_int_equal(PENDING_PART, pending_of(f));
    fixture_close(f);
}

static void a_message_has_a_limit(void **state)
{
    char *text = malloc(WS_MESSAGE_MAX + 1);
    must_have(text);
    memset(text, 'x', WS_MESSAGE_MAX + 1);
    struct slice most = {text, WS_MESSAGE_MAX}, more = {text, WS_MESSAGE_MAX + 1};

    (void)state;
    struct fixture *f = connected();
    push_frame(f, 0x81, most);
    expect_message(f, most);
    push_frame(f, 0x02, slice_from(most, 100));
    assert_int_equal(IO_AGAIN, read_one(f));
    push_frame(f, 0x80, (struct slice){text, 100});
    expect_message(f, most);
    push_frame(f, 0x82, more);
    assert_int_equal(IO_FAULT, read_one(f));
    expect_reason(f, "a frame broke the rules, close code 1009");
    expect_close(f, 1009);
    assert_true(f->stream.ended);
    assert_int_equal(IO_DONE, read_one(f)); /* the rest is thrown away */
    fixture_close(f);

    f = connected();
    push_frame(f, 0x02, most);
    push_frame(f, 0x80, SLICE("x"));
    assert_int_equal(IO_FAULT, read_one(f));
    expect_close(f, 1009);
    fixture_close(f);
    free(text);
}

static void each_broken_rule_has_its_code(void **state)
{
#define KEY "\1\2\3\4"
    static const struct {
        const char *why;
        struct slice bytes;
        uint16_t code;
    } cases[] = {
        {"no mask", {"\x81\x01x", 3}, 1002},
        {"a ping without a mask", {"\x89\x00", 2}, 1002},
        {"reserved bit 1", {"\xc1\x81" KEY "x", 7}, 1002},
        {"reserved bit 3", {"\x91\x81" KEY "x", 7}, 1002},
        {"opcode 3", {"\x83\x81" KEY "x", 7}, 1002},
        {"opcode 11", {"\x8b\x80" KEY, 6}, 1002},
        {"nothing to go on with", {"\x80\x81" KEY "x", 7}, 1002},
        {"a message within a message", {"\x01\x81" KEY "x\x81\x81" KEY "x", 14}, 1002},
        {"a ping in fragments", {"\x09\x80" KEY, 6}, 1002},
        {"a ping of 126 bytes", {"\x89\xfe\x00\x7e" KEY, 8}, 1002},
        {"16 bits for 125", {"\x81\xfe\x00\x7d" KEY "x", 9}, 1002},
        {"64 bits for 65535", {"\x81\xff\0\0\0\0\0\0\xff\xff" KEY "x", 15}, 1002},
        {"2^63 bytes", {"\x81\xff\x80\0\0\0\0\0\0\0" KEY "x", 15}, 1002},
        {"2^63-1 bytes", {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY "x", 15}, 1009},
        {"text that is no UTF-8", {"\x81\x82" KEY "\xc2\x23", 8}, 1007},
        {"half a character at the end", {"\x81\x81" KEY "\xc2", 7}, 1007},
        {"a close frame of one byte", {"\x88\x81" KEY "x", 7}, 1002},
    };
#undef KEY

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int dribble = 0; dribble < 2; dribble++) {
            struct fixture *f = connected();
            size_t from = f->stream.in_len;
            push(f, cases[i].bytes);
            enum io io = dribble ? read_dribble(f, from) : read_one(f);
            if (io != (f->stream.out_len > 0 && i == COUNT_OF(cases) - 1 ? IO_END : IO_FAULT))
                fail_msg("%s: %d", cases[i].why, (int)io);
            if (f->stream.out_len != 4 || (uint8_t)f->stream.out[3] != (cases[i].code & 0xff))
                fail_msg("%s: close frame of %zu bytes", cases[i].why, f->stream.out_len);
            expect_close(f, cases[i].code);
            assert_true(f->stream.ended);
            assert_int_equal(IO_BROKEN, f->filter->ops->write(f->filter, SLICE("x"), &f->got));
            fixture_close(f);
        }
    }
}

static void empty_messages_say_nothing(void **state)
{
    struct fixture *f = connected();

    (void)state;
    push_frame(f, 0x81, SLICE_EMPTY);
    push_frame(f, 0x01, SLICE_EMPTY);
    push_frame(f, 0x80, SLICE_EMPTY);
    push_frame(f, 0x82, SLICE("x"));
    expect_message(f, SLICE("x"));
    fixture_close(f);
}

/* Whoever sends nothing but pings does not keep the others waiting. */
static void many_frames_are_read_in_turns(void **state)
{
    struct fixture *f = connected();
    unsigned turns = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        push_frame(f, 0x8a, SLICE_EMPTY);
    do {
        assert_int_equal(IO_AGAIN, read_one(f));
        turns++;
    } while (pending_of(f) == PENDING_BYTES);
    assert_true(turns >= 4);
    assert_int_equal(f->stream.in_len, f->stream.in_at);
    fixture_close(f);
}

static void the_end_of_the_stream_is_told(void **state)
{
    struct fixture *f = connected();

    (void)state;
    push_frame(f, 0x01, SLICE("half"));
    f->stream.ends = true;
    assert_int_equal(IO_END, read_one(f));
    fixture_close(f);
    f = connected();
    f->stream.breaks = true;
    assert_int_equal(IO_BROKEN, read_one(f));
    fixture_close(f);
    f = fixture_open(ANY);
    f->stream.ends = true;
    assert_int_equal(IO_BROKEN, read_one(f)); /* without an opening it is no end in order */
    fixture_close(f);
}

/* --- Closing --------------------------------------------------------------------------------- */

static void a_close_frame_is_answered(void **state)
{
    static const struct {
        struct slice payload, answer;
    } cases[] = {
        {{"", 0}, {"\x88\x00", 2}},
        {{"\x03\xe8", 2}, {"\x88\x02\x03\xe8", 4}},        /* 1000 */
        {{"\x03\xe9leaving", 9}, {"\x88\x02\x03\xe9", 4}}, /* 1001 */
        {{"\x0f\xa0", 2}, {"\x88\x02\x0f\xa0", 4}},        /* 4000 */
        {{"\x03\xe7", 2}, {"\x88\x02\x03\xea", 4}},        /* 999 -> 1002 */
        {{"\x03\xed", 2}, {"\x88\x02\x03\xea", 4}},        /* 1005: never sent */
        {{"\x13\x88", 2}, {"\x88\x02\x03\xea", 4}},        /* 5000 */
        {{"\x03\xe8\xff", 3}, {"\x88\x02\x03\xef", 4}},    /* no UTF-8: 1007 */
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture *f = connected();
        push_frame(f, 0x88, cases[i].payload);
        push_frame(f, 0x81, SLICE("nobody reads this"));
        assert_int_equal(IO_END, read_one(f));
        expect_out(f, cases[i].answer);
        assert_true(f->stream.ended);
        fixture_close(f);
    }
}

static void our_end_waits_for_the_peers(void **state)
{
    struct fixture *f = connected();

    (void)state;
    f->filter->ops->end(f->filter);
    expect_close(f, 1001);
    assert_false(f->stream.ended);
    push_frame(f, 0x81, SLICE("late"));
    push_frame(f, 0x89, SLICE("late"));
    expect_message(f, SLICE("late"));
    push_frame(f, 0x88, SLICE("\x03\xe9"));
    assert_int_equal(IO_END, read_one(f));
    assert_int_equal(0, f->stream.out_len); /* no second one, and no pong behind it */
    assert_true(f->stream.ended);
    fixture_close(f);
}

/* --- Sending --------------------------------------------------------------------------------- */

/* Writes a message as the connection does: the rest again and again. */
static void write_all(struct fixture *f, struct slice message)
{
    for (struct slice rest = message; rest.len > 0;) {
        size_t sent = 0;
        enum io io = f->filter->ops->write(f->filter, rest, &sent);
        if (io == IO_AGAIN)
            f->stream.room = 3;
        else
            assert_int_equal(IO_DONE, io);
        slice_take(&rest, sent);
    }
}

static void each_message_is_one_frame(void **state)
{
    static const struct {
        size_t len;
        struct slice header;
    } cases[] = {
        {1, {"\x81\x01", 2}},
        {125, {"\x81\x7d", 2}},
        {126, {"\x81\x7e\x00\x7e", 4}},
        {WS_MESSAGE_MAX, {"\x81\x7e\xff\xff", 4}},
    };
    char *text = malloc(WS_MESSAGE_MAX + 1);
    must_have(text);
    memset(text, 'y', WS_MESSAGE_MAX + 1);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int slow = 0; slow < 2; slow++) {
            struct fixture *f = connected();
            f->stream.room = slow ? 1 : ANY;
            write_all(f, (struct slice){text, cases[i].len});
            assert_int_equal(cases[i].header.len + cases[i].len, f->stream.out_len);
            assert_memory_equal(cases[i].header.data, f->stream.out, cases[i].header.len);
            assert_memory_equal(text, f->stream.out + cases[i].header.len, cases[i].len);
            fixture_close(f);
        }
    }
    struct fixture *f = connected();
    size_t sent = 0;
    assert_int_equal(IO_BROKEN, f->filter->ops->write(
                                    f->filter, (struct slice){text, WS_MESSAGE_MAX + 1}, &sent));
    fixture_close(f);
    free(text);
}

static void what_is_no_text_goes_as_binary(void **state)
{
    struct fixture *f = connected();

    (void)state;
    write_all(f, SLICE("\xc3\xa9"));
    expect_out(f, SLICE("\x81\x02\xc3\xa9"));
    write_all(f, SLICE("\xc3("));
    expect_out(f, SLICE("\x82\x02\xc3("));
    fixture_close(f);
}

/* A control frame cannot go into the middle of another frame (RFC 6455 §5.4). */
static void a_pong_waits_for_the_frame_that_has_begun(void **state)
{
    struct fixture *f = connected();
    size_t sent = 0;

    (void)state;
    f->stream.room = 4;
    assert_int_equal(IO_DONE, f->filter->ops->write(f->filter, SLICE("abcdef"), &sent));
    assert_int_equal(2, sent);
    push_frame(f, 0x89, SLICE("?"));
    f->stream.room = ANY;
    assert_int_equal(IO_AGAIN, read_one(f));
    expect_out(f, SLICE("\x81\x06"
                        "ab"));
    assert_int_equal(0, wants_of(f)); /* the connection waits itself */
    assert_int_equal(IO_DONE, f->filter->ops->write(f->filter, SLICE("cdef"), &sent));
    expect_out(f, SLICE("cdef\x8a\x01?"));
    fixture_close(f);
}

static void a_message_waits_for_the_pong_that_has_begun(void **state)
{
    struct fixture *f = connected();
    size_t sent = 0;

    (void)state;
    f->stream.room = 2;
    push_frame(f, 0x89, SLICE("?"));
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_int_equal(EPOLLOUT, wants_of(f));
    assert_int_equal(IO_AGAIN, f->filter->ops->write(f->filter, SLICE("abc"), &sent));
    f->stream.room = ANY;
    assert_int_equal(IO_DONE, f->filter->ops->write(f->filter, SLICE("abc"), &sent));
    expect_out(f, SLICE("\x8a\x01?\x81\x03"
                        "abc"));
    assert_int_equal(0, wants_of(f));
    fixture_close(f);
}

static void who_takes_no_pongs_is_given_up(void **state)
{
    struct fixture *f = connected();
    enum io io = IO_AGAIN;
    unsigned frames = 0;

    (void)state;
    f->stream.room = 0;
    for (; frames < 1000 && io == IO_AGAIN; frames++) {
        push_frame(f, 0x89, SLICE("12345678"));
        io = read_one(f);
    }
    assert_int_equal(IO_BROKEN, io);
    assert_int_equal(WS_OWN_BYTES / 10 + 1, frames);
    assert_int_equal(1, ws_worker_counters(f->worker)->own_full);
    fixture_close(f);
}

static void a_ping_must_be_answered_by_anything(void **state)
{
    struct fixture *f = connected();

    (void)state;
    assert_true(f->filter->ops->ping(f->filter));
    expect_out(f, SLICE("\x89\x00"));
    push_frame(f, 0x8a, SLICE_EMPTY);
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_true(f->filter->ops->ping(f->filter));
    push(f, SLICE("\x81"));
    assert_int_equal(IO_AGAIN, read_one(f));
    assert_true(f->filter->ops->ping(f->filter));
    assert_false(f->filter->ops->ping(f->filter));
    assert_int_equal(3, ws_worker_counters(f->worker)->pings);
    fixture_close(f);
}

/* --- Memory ---------------------------------------------------------------------------------- */

static void memory_of_frames_has_a_limit(void **state)
{
    struct fixture *f = fixture_open(WS_FRAMES_BYTES - 1);

    (void)state;
    connect_it(f);
    push_frame(f, 0x81, SLICE("x"));
    assert_int_equal(IO_BROKEN, read_one(f));
    assert_int_equal(1, ws_worker_counters(f->worker)->memory_denied);
    fixture_close(f);
    f = fixture_open(WS_FRAMES_BYTES);
    connect_it(f);
    push_frame(f, 0x81, SLICE("x"));
    expect_message(f, SLICE("x"));
    fixture_close(f);
}

/* Every allocation of a connection's life fails once: it is lost, and nothing with it. */
static void without_memory_the_connection_is_lost(void **state)
{
    (void)state;
    for (uint64_t fail_at = 2;; fail_at++) {
        struct fixture *f = fixture_open(ANY);
        enum io io = IO_AGAIN;
        f->mem.fail_at = fail_at;
        push(f, opening);
        push_frame(f, 0x01, SLICE("half"));
        f->stream.piece = 7;
        f->stream.room = 0;
        for (unsigned n = 0; n < 60 && io == IO_AGAIN; n++) {
            io = read_one(f);
            f->stream.room = n == 20 ? ANY : f->stream.room;
            if (n == 30)
                push_frame(f, 0x00, SLICE("and another part of it"));
            if (n == 40)
                push_frame(f, 0x80, SLICE("and half"));
        }
        bool failed = f->mem.allocs >= fail_at;
        assert_int_equal(failed ? IO_BROKEN : IO_DONE, io);
        fixture_close(f);
        if (!failed) {
            assert_true(fail_at > 3);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_opening_may_come_byte_by_byte),
        cmocka_unit_test(frames_right_behind_the_opening_are_read),
        cmocka_unit_test(who_is_refused_gets_the_answer_and_the_end),
        cmocka_unit_test(an_opening_has_a_limit),
        cmocka_unit_test(messages_come_whole_however_they_are_cut),
        cmocka_unit_test(an_idle_connection_has_no_buffers),
        cmocka_unit_test(a_message_has_a_limit),
        cmocka_unit_test(each_broken_rule_has_its_code),
        cmocka_unit_test(empty_messages_say_nothing),
        cmocka_unit_test(many_frames_are_read_in_turns),
        cmocka_unit_test(the_end_of_the_stream_is_told),
        cmocka_unit_test(a_close_frame_is_answered),
        cmocka_unit_test(our_end_waits_for_the_peers),
        cmocka_unit_test(each_message_is_one_frame),
        cmocka_unit_test(what_is_no_text_goes_as_binary),
        cmocka_unit_test(a_pong_waits_for_the_frame_that_has_begun),
        cmocka_unit_test(a_message_waits_for_the_pong_that_has_begun),
        cmocka_unit_test(who_takes_no_pongs_is_given_up),
        cmocka_unit_test(a_ping_must_be_answered_by_anything),
        cmocka_unit_test(memory_of_frames_has_a_limit),
        cmocka_unit_test(without_memory_the_connection_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
