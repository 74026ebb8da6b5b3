/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter's life:
 *
 *   OPENING -> UP -> CLOSING (our close frame is said, the peer's is awaited) -> OVER
 *      |        |
 *      v        v
 *      REFUSED (the answer, or a close frame with its reason, goes out; what comes is thrown away)
 *
 * Bytes of ours that are no message (an answer, control frames) wait in `own` until a frame that
 * has begun is out.
 */
#include "net/ws_filter.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <wslay/wslay.h>

#include "base/text.h"

enum {
    CONTROL_MAX = 125,     /* payload bytes of a control frame (RFC 6455 §5.5) */
    HEADER_MAX = 10,       /* bytes of a frame's header without a mask */
    FRAMES_PER_READ = 64,  /* then the others have their turn */
    HEAD_BYTES_MIN = 2048, /* of the opening, at first */
    PART_BYTES_MIN = 2048, /* of a message, at first */
    WRITE_BYTES = HEADER_MAX + WS_MESSAGE_MAX,
    ORIGIN_SHOWN_MAX = 128, /* bytes of a page's origin, for the log */
    CODE_NONE = 0,
};

enum ws_state {
    WS_OPENING = 1,
    WS_UP,
    WS_CLOSING,
    WS_REFUSED,
    WS_OVER,
};

struct ws_filter;

struct ws_worker {
    struct ws_config config;
    struct ws_counters counters;
    wslay_frame_context_ptr out;   /* makes whole frames in `scratch` */
    wslay_frame_context_ptr spare; /* at the beginning of a frame, without bytes; NULL: none */
    size_t frames;                 /* contexts that filters have */
    struct ws_filter *current;     /* whose frames are being read */
    size_t origin_len;
    char origin[ORIGIN_SHOWN_MAX]; /* of the page whose opening was judged last */
    size_t scratch_len;
    char scratch[WRITE_BYTES];
};

/** Bytes in a block of `mem`, capacity 0: none. */
struct block {
    char *data;
    uint32_t len, at, capacity;
};

struct ws_filter {
    struct filter filter;
    struct ws_worker *worker;
    uint8_t state; /* enum ws_state */
    bool secure;
    bool owes_pong;  /* a ping is out and nothing has come since */
    bool drained;    /* the last read found nothing more below */
    bool ended;      /* the stream below was ended by us */
    uint8_t below;   /* enum io: why the last read below gave nothing */
    uint16_t code;   /* of the close frame that is due or out */
    uint16_t status; /* of the answer to the opening */

    struct block head; /* OPENING: the request so far; then what came behind it */
    size_t scanned;

    /* Receiving. */
    wslay_frame_context_ptr frames; /* NULL: nothing is under way */
    size_t held;                    /* bytes given to `frames` that have not come out yet */
    uint64_t frame_left;            /* of the present frame's payload */
    uint8_t opcode;                 /* of the present frame */
    bool in_frame;
    bool fin;
    uint8_t message; /* opcode of the message that has begun; 0: none */
    size_t message_len;
    struct block part; /* what came of the message in earlier reads */
    uint8_t control_len;
    char control[CONTROL_MAX];

    /* Sending. */
    struct block own;
    size_t sending; /* bytes of the frame that has begun which the caller has still to give */
    uint8_t header_len, header_at;
    char header[HEADER_MAX]; /* of that frame, as far as it is not out */
};

static struct ws_filter *self_of(struct filter *filter)
{
    return CONTAINER_OF(filter, struct ws_filter, filter);
}

static const struct ws_filter *look_at(const struct filter *filter)
{
    return (const struct ws_filter *)(const void *)filter; /* its first field */
}

/* --- Blocks ---------------------------------------------------------------------------------- */

static void block_free(struct ws_filter *self, struct block *block)
{
    if (block->capacity > 0)
        mem_free(self->worker->config.mem, block->data, block->capacity);
    *block = (struct block){0};
}

/* Makes room for `more` bytes, up to `max` in all. False: it would be more, or there is no memory.
 */
static bool block_reserve(struct ws_filter *self, struct block *block, size_t more, size_t min,
                          size_t max)
{
    size_t need = block->len + more, capacity = block->capacity > 0 ? block->capacity : min;

    if (need > max)
        return false;
    if (need <= block->capacity)
        return true;
    while (capacity < need)
        capacity *= 2;
    capacity = capacity < max ? capacity : max;
    char *data = mem_alloc(self->worker->config.mem, capacity);
    if (data == NULL)
        return false;
    struct block bigger = {data, block->len, block->at, (uint32_t)capacity};
    if (block->len > 0)
        memcpy(data, block->data, block->len);
    block_free(self, block);
    *block = bigger;
    return true;
}

static bool block_add(struct ws_filter *self, struct block *block, struct slice bytes, size_t min,
                      size_t max)
{
    if (!block_reserve(self, block, bytes.len, min, max))
        return false;
    if (bytes.len > 0)
        memcpy(block->data + block->len, bytes.data, bytes.len);
    block->len += (uint32_t)bytes.len;
    return true;
}

/* --- The stream below ------------------------------------------------------------------------ */

static enum io below_write(struct ws_filter *self, struct slice bytes, size_t *sent)
{
    struct filter *below = self->filter.below;
    return below->ops->write(below, bytes, sent);
}

static enum io below_read(struct ws_filter *self, char *buffer, size_t capacity, size_t *got)
{
    struct filter *below = self->filter.below;
    enum io io = below->ops->read(below, buffer, capacity, got);

    self->drained = io != IO_DONE;
    if (io == IO_DONE)
        self->owes_pong = false;
    return io == IO_FAULT ? IO_BROKEN : io; /* nothing can be said any more */
}

static void below_end(struct ws_filter *self)
{
    struct filter *below = self->filter.below;

    if (!self->ended)
        below->ops->end(below);
    self->ended = true;
}

/* --- What we say ourselves ------------------------------------------------------------------- */

/* Sends what is in `own`, as far as it goes. Between frames only. */
static enum io own_flush(struct ws_filter *self)
{
    struct block *own = &self->own;

    while (own->at < own->len) {
        size_t sent = 0;
        enum io io =
            below_write(self, (struct slice){own->data + own->at, own->len - own->at}, &sent);
        if (io != IO_DONE)
            return io;
        own->at += (uint32_t)sent;
    }
    block_free(self, own);
    if (self->state == WS_REFUSED || self->state == WS_OVER)
        below_end(self);
    return IO_DONE;
}

/* Says `bytes` when it is their turn. False: the connection is lost. */
static bool own_say(struct ws_filter *self, struct slice bytes)
{
    if (!block_add(self, &self->own, bytes, WS_OWN_BYTES, WS_OWN_BYTES)) {
        self->worker->counters.own_full += self->own.len > 0;
        return false;
    }
    if (self->sending > 0)
        return true;
    enum io io = own_flush(self);
    return io == IO_DONE || io == IO_AGAIN;
}

static ssize_t to_scratch(const uint8_t *data, size_t len, int flags, void *user)
{
    struct ws_worker *worker = user;

    (void)flags;
    assert(len <= sizeof worker->scratch - worker->scratch_len);
    memcpy(worker->scratch + worker->scratch_len, data, len);
    worker->scratch_len += len;
    return (ssize_t)len;
}

/* A whole frame in the worker's scratch. */
static struct slice make_frame(struct ws_worker *worker, uint8_t opcode, struct slice payload)
{
    struct wslay_frame_iocb frame = {
        .fin = 1,
        .opcode = opcode,
        .payload_length = payload.len,
        .data = (const uint8_t *)payload.data,
        .data_length = payload.len,
    };
    worker->scratch_len = 0;
    ssize_t sent = wslay_frame_send(worker->out, &frame);
    assert(sent == (ssize_t)payload.len);
    return (struct slice){worker->scratch, worker->scratch_len};
}

static bool say_control(struct ws_filter *self, uint8_t opcode, struct slice payload)
{
    return own_say(self, make_frame(self->worker, opcode, payload));
}

/* A close frame with this code (RFC 6455 §5.5.1); CODE_NONE: without. */
static bool say_close(struct ws_filter *self, uint16_t code)
{
    const char payload[] = {(char)(code >> 8), (char)(code & 0xff)};

    self->code = code;
    return say_control(self, WSLAY_CONNECTION_CLOSE,
                       code != CODE_NONE ? (struct slice){payload, sizeof payload} : SLICE_EMPTY);
}

/* The peer has broken a rule: he is told which kind, and nothing is read from him any more. */
static enum io refuse(struct ws_filter *self, uint16_t code)
{
    self->state = WS_REFUSED;
    return say_close(self, code) ? IO_FAULT : IO_BROKEN;
}

/* --- The opening ----------------------------------------------------------------------------- */

static enum io answer(struct ws_filter *self, unsigned status, const struct builder *text)
{
    struct ws_counters *counters = &self->worker->counters;

    assert(!text->overflow);
    self->status = (uint16_t)status;
    if (status == 101) {
        self->state = WS_UP;
        counters->upgraded++;
        return own_say(self, builder_slice(text)) ? IO_DONE : IO_BROKEN;
    }
    self->state = WS_REFUSED;
    if (status == 200)
        counters->pages++;
    else if (status == 403)
        counters->origins++;
    else
        counters->refused++;
    return own_say(self, builder_slice(text)) ? IO_FAULT : IO_BROKEN;
}

static void keep_origin(struct ws_worker *worker, struct slice origin)
{
    worker->origin_len = origin.len < ORIGIN_SHOWN_MAX ? origin.len : ORIGIN_SHOWN_MAX;
    if (origin.len > 0)
        memcpy(worker->origin, origin.data, worker->origin_len);
}

/* The whole request is in `head`; what is behind it stays there. */
static enum io opened(struct ws_filter *self, size_t head_len)
{
    char text[WS_ANSWER_MAX];
    struct builder b = builder_over(text, sizeof text);
    struct slice head = {self->head.data, head_len}, origin;

    unsigned status = ws_upgrade(head, &self->worker->config.rules, self->secure, &b, &origin);
    keep_origin(self->worker, origin);
    self->head.at = (uint32_t)head_len;
    if (self->head.at == self->head.len)
        block_free(self, &self->head);
    return answer(self, status, &b);
}

static enum io too_long(struct ws_filter *self)
{
    char text[WS_ANSWER_MAX];
    struct builder b = builder_over(text, sizeof text);

    keep_origin(self->worker, SLICE_EMPTY);
    ws_refuse_long(&b);
    return answer(self, 431, &b);
}

/* Reads on in the request. IO_DONE: the connection is up. */
static enum io read_opening(struct ws_filter *self)
{
    struct block *head = &self->head;

    for (;;) {
        size_t got = 0;
        if (head->len == WS_HEAD_MAX)
            return too_long(self);
        if (!block_reserve(self, head, head->len < head->capacity ? 0 : 1, HEAD_BYTES_MIN,
                           WS_HEAD_MAX))
            return IO_BROKEN;
        enum io io = below_read(self, head->data + head->len, head->capacity - head->len, &got);
        if (io != IO_DONE)
            return io == IO_END ? IO_BROKEN : io;
        head->len += (uint32_t)got;
        size_t len = ws_head_len((struct slice){head->data, head->len}, &self->scanned);
        if (len > 0)
            return opened(self, len);
    }
}

/* --- Receiving frames ------------------------------------------------------------------------ */

/* wslay wants bytes: those behind the opening first. */
static ssize_t give_bytes(uint8_t *out, size_t len, int flags, void *user)
{
    const struct ws_worker *worker = user;
    struct ws_filter *self = worker->current;
    struct block *head = &self->head;
    size_t got = 0;

    (void)flags;
    if (head->at < head->len) {
        got = head->len - head->at < len ? head->len - head->at : len;
        memcpy(out, head->data + head->at, got);
        head->at += (uint32_t)got;
        if (head->at == head->len)
            block_free(self, head);
    } else {
        enum io io = below_read(self, (char *)out, len, &got);
        self->below = (uint8_t)io;
        if (io != IO_DONE)
            return -1;
    }
    self->held += got;
    return (ssize_t)got;
}

static wslay_frame_context_ptr frames_new(struct ws_worker *worker)
{
    const struct wslay_frame_callbacks callbacks = {.recv_callback = give_bytes};
    wslay_frame_context_ptr frames = worker->spare;

    worker->spare = NULL;
    if (frames == NULL && wslay_frame_context_init(&frames, &callbacks, worker) != 0)
        return NULL;
    return frames;
}

static bool frames_take(struct ws_filter *self)
{
    struct ws_worker *worker = self->worker;

    if (self->frames != NULL)
        return true;
    if ((worker->frames + 1) * WS_FRAMES_BYTES > worker->config.memory_max) {
        worker->counters.memory_denied++;
        return false;
    }
    self->frames = frames_new(worker);
    worker->frames += self->frames != NULL;
    return self->frames != NULL;
}

/* `clean`: it stands at the beginning of a frame and holds nothing. */
static void frames_give(struct ws_filter *self, bool clean)
{
    struct ws_worker *worker = self->worker;

    if (self->frames == NULL)
        return;
    if (clean && worker->spare == NULL)
        worker->spare = self->frames;
    else
        wslay_frame_context_free(self->frames);
    self->frames = NULL;
    worker->frames--;
}

static bool is_control(uint8_t opcode)
{
    return wslay_is_ctrl_frame(opcode) != 0;
}

/* A frame begins. CODE_NONE: it may; else why not. */
static uint16_t judge_frame(const struct ws_filter *self, const struct wslay_frame_iocb *frame)
{
    if (frame->mask == 0 || frame->rsv != WSLAY_RSV_NONE)
        return WSLAY_CODE_PROTOCOL_ERROR; /* §5.1: what a client sends is masked */
    if (is_control(frame->opcode))
        return frame->opcode <= WSLAY_PONG ? CODE_NONE : WSLAY_CODE_PROTOCOL_ERROR;
    bool continues = frame->opcode == WSLAY_CONTINUATION_FRAME;
    if (frame->opcode > WSLAY_BINARY_FRAME || continues != (self->message != 0))
        return WSLAY_CODE_PROTOCOL_ERROR;
    if (frame->payload_length > WS_MESSAGE_MAX - self->message_len)
        return WSLAY_CODE_MESSAGE_TOO_BIG;
    return CODE_NONE;
}

static size_t header_bytes(uint64_t payload)
{
    size_t length = payload < 126 ? 0 : payload <= UINT16_MAX ? 2 : 8;
    return 2 + length + 4;
}

static uint16_t begin_frame(struct ws_filter *self, const struct wslay_frame_iocb *frame)
{
    uint16_t code = judge_frame(self, frame);
    if (code != CODE_NONE)
        return code;

    assert(self->held >= header_bytes(frame->payload_length));
    self->held -= header_bytes(frame->payload_length);
    self->in_frame = true;
    self->opcode = frame->opcode;
    self->fin = frame->fin != 0;
    self->frame_left = frame->payload_length;
    if (is_control(frame->opcode))
        self->control_len = 0;
    else if (self->message == 0)
        self->message = frame->opcode;
    return CODE_NONE;
}

/* Some payload: behind what is in `part` already, or in the reader's buffer. */
static bool take_payload(struct ws_filter *self, struct slice bytes, char *buffer)
{
    self->frame_left -= bytes.len;
    self->held -= bytes.len;
    if (bytes.len == 0)
        return true;
    if (is_control(self->opcode)) {
        memcpy(self->control + self->control_len, bytes.data, bytes.len);
        self->control_len = (uint8_t)(self->control_len + bytes.len);
        return true;
    }
    if (self->part.len > 0) {
        if (!block_add(self, &self->part, bytes, PART_BYTES_MIN, WS_MESSAGE_MAX))
            return false;
    } else {
        memcpy(buffer + self->message_len, bytes.data, bytes.len);
    }
    self->message_len += bytes.len;
    return true;
}

static bool is_utf8(struct slice text)
{
    while (text.len > 0) {
        size_t len = (unsigned char)text.data[0] < 0x80 ? 1 : text_utf8_bytes(text);
        if (len == 0)
            return false;
        slice_take(&text, len);
    }
    return true;
}

/* Which code a peer's close frame has (RFC 6455 §7.4): CODE_NONE or one that may be sent back. */
static uint16_t closing_code(struct slice payload)
{
    if (payload.len == 0)
        return CODE_NONE;
    if (payload.len == 1 || !is_utf8(slice_from(payload, 2)))
        return payload.len == 1 ? WSLAY_CODE_PROTOCOL_ERROR : WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA;
    uint16_t code = (uint16_t)((uint8_t)payload.data[0] << 8 | (uint8_t)payload.data[1]);
    bool defined = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
    return defined || (code >= 3000 && code <= 4999) ? code : WSLAY_CODE_PROTOCOL_ERROR;
}

/* The peer ends the connection, or agrees to our end. */
static enum io on_close(struct ws_filter *self)
{
    bool ours = self->state == WS_CLOSING;

    self->state = WS_OVER;
    if (!ours && !say_close(self, closing_code((struct slice){self->control, self->control_len})))
        return IO_BROKEN;
    if (self->own.len == 0)
        below_end(self);
    return IO_END;
}

static enum io on_control(struct ws_filter *self)
{
    struct slice payload = {self->control, self->control_len};

    if (self->opcode == WSLAY_CONNECTION_CLOSE)
        return on_close(self);
    if (self->opcode == WSLAY_PING && self->state == WS_UP &&
        !say_control(self, WSLAY_PONG, payload))
        return IO_BROKEN;
    return IO_AGAIN;
}

/* A message is whole: it is put into `buffer`. An empty one says nothing, and is passed over. */
static enum io on_message(struct ws_filter *self, char *buffer, size_t *got)
{
    struct slice message = {buffer, self->message_len};
    bool text = self->message == WSLAY_TEXT_FRAME;

    if (self->part.len > 0)
        memcpy(buffer, self->part.data, self->part.len);
    block_free(self, &self->part);
    self->message = 0;
    self->message_len = 0;
    if (text && !is_utf8(message))
        return refuse(self, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA);
    if (message.len == 0)
        return IO_AGAIN;
    *got = message.len;
    return IO_DONE;
}

static enum io end_frame(struct ws_filter *self, char *buffer, size_t *got)
{
    self->in_frame = false;
    if (is_control(self->opcode))
        return on_control(self);
    return self->fin ? on_message(self, buffer, got) : IO_AGAIN;
}

/* Nothing more is there now: what has come of a message must not stay in the reader's buffer. */
static enum io pause_reading(struct ws_filter *self, const char *buffer)
{
    struct slice come = {buffer, self->message_len};

    if (self->part.len == 0 && come.len > 0 &&
        !block_add(self, &self->part, come, PART_BYTES_MIN, WS_MESSAGE_MAX))
        return IO_BROKEN;
    if (self->held == 0 && !self->in_frame)
        frames_give(self, true);
    return IO_AGAIN;
}

/* One piece of a frame. IO_AGAIN with `*more`: there may be another. */
static enum io read_piece(struct ws_filter *self, char *buffer, size_t *got, bool *more)
{
    struct wslay_frame_iocb frame = {0};

    self->worker->current = self;
    self->below = IO_AGAIN;
    ssize_t len = wslay_frame_recv(self->frames, &frame);
    *more = len >= 0 || self->below == IO_DONE; /* it has read, and wants to read again */
    if (len == WSLAY_ERR_WANT_READ)
        return *more ? IO_AGAIN : (enum io)self->below;
    if (len < 0)
        return refuse(self, WSLAY_CODE_PROTOCOL_ERROR);
    if (!self->in_frame) {
        uint16_t code = begin_frame(self, &frame);
        if (code != CODE_NONE)
            return refuse(self, code);
    }
    if (!take_payload(self, (struct slice){(const char *)frame.data, frame.data_length}, buffer))
        return IO_BROKEN;
    return self->frame_left == 0 ? end_frame(self, buffer, got) : IO_AGAIN;
}

static enum io read_frames(struct ws_filter *self, char *buffer, size_t *got)
{
    enum io io = IO_AGAIN;
    bool more = true;

    if (!frames_take(self))
        return IO_BROKEN;
    for (unsigned n = 0; n < FRAMES_PER_READ && more && io == IO_AGAIN; n++)
        io = read_piece(self, buffer, got, &more);
    if (io == IO_AGAIN)
        return pause_reading(self, buffer);
    if (io == IO_DONE && self->held == 0)
        frames_give(self, true);
    return io;
}

/* --- The filter's verbs ---------------------------------------------------------------------- */

/* What comes from a peer that has been refused, or is gone. */
static enum io throw_away(struct ws_filter *self, char *buffer, size_t capacity, size_t *got)
{
    frames_give(self, false);
    block_free(self, &self->part);
    block_free(self, &self->head);
    return below_read(self, buffer, capacity, got);
}

static enum io ws_read(struct filter *filter, char *buffer, size_t capacity, size_t *got)
{
    struct ws_filter *self = self_of(filter);
    enum io io = IO_DONE;

    assert(capacity >= WS_MESSAGE_MAX);
    if (self->own.len > 0 && self->sending == 0)
        io = own_flush(self);
    if (io == IO_BROKEN || io == IO_FAULT || io == IO_END)
        return IO_BROKEN;
    if (self->state == WS_OPENING) {
        io = read_opening(self);
        return io == IO_DONE ? IO_AGAIN : io; /* the connection is to see that it is ready */
    }
    if (self->state == WS_REFUSED || self->state == WS_OVER)
        return throw_away(self, buffer, capacity, got);
    return read_frames(self, buffer, got);
}

/* Begins a frame for a message: its header waits to go out with the first bytes of it. */
static void begin_message(struct ws_filter *self, struct slice bytes)
{
    uint8_t opcode = is_utf8(bytes) ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME; /* RFC 7118 §4.2 */
    struct slice frame = make_frame(self->worker, opcode, bytes);

    self->header_len = (uint8_t)(frame.len - bytes.len);
    self->header_at = 0;
    memcpy(self->header, frame.data, self->header_len);
    self->sending = bytes.len;
}

/* Goes on with a frame; `bytes` is what is left of its message. */
static enum io go_on(struct ws_filter *self, struct slice bytes, size_t *sent)
{
    struct ws_worker *worker = self->worker;
    struct builder b = builder_over(worker->scratch, sizeof worker->scratch);
    size_t header = (size_t)self->header_len - self->header_at, out = 0;

    assert(bytes.len == self->sending);
    builder_add(&b, (struct slice){self->header + self->header_at, header});
    builder_add(&b, bytes);
    enum io io = below_write(self, header > 0 ? builder_slice(&b) : bytes, &out);
    if (io != IO_DONE)
        return io;
    size_t of_header = out < header ? out : header;
    self->header_at = (uint8_t)(self->header_at + of_header);
    self->sending -= out - of_header;
    *sent = out - of_header;
    return out > of_header ? IO_DONE : IO_AGAIN;
}

static enum io ws_write(struct filter *filter, struct slice bytes, size_t *sent)
{
    struct ws_filter *self = self_of(filter);

    if (self->state != WS_UP || bytes.len > WS_MESSAGE_MAX)
        return IO_BROKEN;
    if (self->sending == 0) {
        enum io io = own_flush(self);
        if (io != IO_DONE)
            return io;
        begin_message(self, bytes);
    }
    enum io io = go_on(self, bytes, sent);
    if (io == IO_DONE && self->sending == 0 && self->own.len > 0)
        (void)own_flush(self); /* an error comes again */
    return io;
}

static uint32_t ws_wants(const struct filter *filter)
{
    const struct ws_filter *self = look_at(filter);
    bool waits = self->own.len > 0 && self->sending == 0;

    return filter->below->ops->wants(filter->below) | (waits ? (uint32_t)EPOLLOUT : 0);
}

static bool ws_ready(const struct filter *filter)
{
    enum ws_state state = (enum ws_state)look_at(filter)->state;
    return state == WS_UP || state == WS_CLOSING;
}

static enum pending ws_pending(const struct filter *filter)
{
    const struct ws_filter *self = look_at(filter);
    enum pending below = filter->below->ops->pending(filter->below);
    bool holds = self->held > 0 || self->head.at < self->head.len;

    if (self->state == WS_REFUSED || self->state == WS_OVER)
        return below;
    if (self->state == WS_OPENING)
        return below;
    if (!self->drained && holds)
        return PENDING_BYTES;
    if (below == PENDING_BYTES)
        return below;
    return holds || self->in_frame || self->message != 0 ? PENDING_PART : below;
}

static bool ws_ping(struct filter *filter)
{
    struct ws_filter *self = self_of(filter);

    if (self->owes_pong)
        return false;
    self->owes_pong = true;
    self->worker->counters.pings++;
    return say_control(self, WSLAY_PING, SLICE_EMPTY);
}

static void ws_end(struct filter *filter)
{
    struct ws_filter *self = self_of(filter);

    if (self->state == WS_UP) {
        self->state = WS_CLOSING;
        if (say_close(self, WSLAY_CODE_GOING_AWAY))
            return; /* the peer's close frame ends the stream */
    }
    if (self->state == WS_OPENING)
        self->state = WS_OVER;
    if (self->own.len == 0)
        below_end(self);
}

static void ws_close(struct filter *filter)
{
    struct ws_filter *self = self_of(filter);

    frames_give(self, false);
    block_free(self, &self->head);
    block_free(self, &self->part);
    block_free(self, &self->own);
    filter->below->ops->close(filter->below);
    mem_free(self->worker->config.mem, self, sizeof *self);
}

static const struct filter_ops ws_ops = {
    .frames = true,
    .read = ws_read,
    .write = ws_write,
    .wants = ws_wants,
    .ready = ws_ready,
    .pending = ws_pending,
    .ping = ws_ping,
    .end = ws_end,
    .close = ws_close,
};

/* --- Making ---------------------------------------------------------------------------------- */

enum err ws_worker_open(const struct ws_config *config, struct ws_worker **out)
{
    const struct wslay_frame_callbacks callbacks = {.send_callback = to_scratch};
    struct ws_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL)
        return ERR_MEMORY;

    worker->config = *config;
    if (wslay_frame_context_init(&worker->out, &callbacks, worker) != 0) {
        free(worker);
        return ERR_MEMORY;
    }
    *out = worker;
    return OK;
}

void ws_worker_close(struct ws_worker *worker)
{
    if (worker == NULL)
        return;
    assert(worker->frames == 0);
    if (worker->spare != NULL)
        wslay_frame_context_free(worker->spare);
    wslay_frame_context_free(worker->out);
    free(worker);
}

const struct ws_counters *ws_worker_counters(const struct ws_worker *worker)
{
    return &worker->counters;
}

size_t ws_worker_memory(void)
{
    return sizeof(struct ws_worker) + 2 * WS_FRAMES_BYTES;
}

struct filter *ws_filter_accept(struct ws_worker *worker, struct filter *below, bool secure)
{
    struct ws_filter *self = mem_zalloc(worker->config.mem, sizeof *self);
    if (self == NULL)
        return NULL;

    self->filter = (struct filter){.ops = &ws_ops, .below = below};
    self->worker = worker;
    self->secure = secure;
    self->state = WS_OPENING;
    return &self->filter;
}

bool ws_filter_explain(const struct filter *filter, struct builder *b)
{
    const struct ws_filter *self = look_at(filter);
    const struct ws_worker *worker = self->worker;

    if (self->state != WS_REFUSED)
        return false;
    if (self->status == 101) {
        builder_text(b, "a frame broke the rules, close code ");
        builder_u64(b, self->code);
        return true;
    }
    builder_text(b, "its opening was answered ");
    builder_u64(b, self->status);
    if (worker->origin_len > 0) {
        builder_text(b, ", Origin ");
        builder_add(b, (struct slice){worker->origin, worker->origin_len});
    }
    return true;
}
