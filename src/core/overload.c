/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/overload - refuses what came too late, before it is parsed.
 *
 * admit.h says whether. Here a new INVITE or REGISTER gets its 503 from a light look at its bytes
 * (sip/peek.h), without a transaction: a refusal costs a small part of a call, so that one can say
 * no to many and still carry what one can. All else goes its way: requests in dialogs, responses,
 * ACK, CANCEL, and whatever the look does not take.
 *
 * A request that a transaction knows is a repetition, and never refused. And a copy of one that was
 * refused is refused again, also when the overload is over: the phone has its 503, and a call that
 * rang after it would ring for nobody. For that a table of hashes keeps what was refused lately.
 *
 * The To tags of these 503s begin with a secret of this run of the node, so that their ACKs are
 * known and dropped at the look. (Who was refused knows it, and may have ACKs dropped: his own.)
 *
 * Where the worker that received a request does not own it, the owner answers: only he knows its
 * transactions. What the receiver makes of it goes along in the letter.
 */
#include <stdlib.h>

#include "core/internal.h"

enum {
    OVERLOAD_QUIET_MS = 32000, /* 64*T1 after the last refusal no copy comes any more */
    OVERLOAD_SAY_MS = 1000,    /* a log line at most so often */
    RETRY_AFTER_MAX_S = 5,
    TAG_REST_LEN = 8, /* behind the secret */
};

enum err overload_open(struct core *core)
{
    struct overload *o = &core->overload;
    const struct core_config *config = &core->config;

    if (config->overload_target_ms == 0)
        return OK;
    o->refused = calloc(OVERLOAD_REMEMBERED, sizeof *o->refused);
    if (o->refused == NULL)
        return ERR_MEMORY;
    struct admit_config admit = {
        .target_ms = config->overload_target_ms,
        .interval_ms = config->overload_interval_ms,
        .last_ms = config->overload_last_ms > config->overload_target_ms
                       ? config->overload_last_ms
                       : config->overload_target_ms,
    };
    for (size_t i = 0; i < COUNT_OF(o->queues); i++)
        admit_init(&o->queues[i], &admit);
    char boot[32];
    struct builder seed = builder_over(boot, sizeof boot);
    builder_text(&seed, "overload ");
    builder_u64(&seed, config->boot);
    struct builder tag = builder_over(o->tag, sizeof o->tag);
    builder_text(&tag, "tag=");
    builder_hex(&tag, hash_mac(&config->token_key, builder_slice(&seed)), OVERLOAD_SECRET_LEN);
    assert(!tag.overflow);
    return OK;
}

void overload_close(struct core *core)
{
    free(core->overload.refused);
}

/* ---- the queues ---- */

static void note(struct core *core, struct admit *queue, uint32_t waited_ms)
{
    struct overload *o = &core->overload;
    bool was = queue->overloaded;

    admit_note(queue, waited_ms, core->now_ms);
    if (queue->overloaded != was)
        o->overloaded += was ? UINT32_MAX : 1;
    o->watching = o->overloaded > 0 || core->now_ms < o->quiet_ms;
}

static struct admit *queue_of(struct core *core, const struct flow *source)
{
    if (source->transport != TRANSPORT_UDP)
        return &core->overload.queues[OVERLOAD_STREAMS];
    assert(source->listener < LISTENERS_MAX);
    return &core->overload.queues[source->listener];
}

void core_waited(struct core *core, uint8_t listener, uint32_t waited_ms, uint64_t now_ms)
{
    if (core->overload.refused == NULL)
        return;
    assert(now_ms >= core->now_ms);
    core->now_ms = now_ms;
    note(core, &core->overload.queues[listener < LISTENERS_MAX ? listener : OVERLOAD_STREAMS],
         waited_ms);
}

static enum overload_level level_of(const struct admit *queue)
{
    if (admit_refuses(queue, ADMIT_LAST))
        return OVERLOAD_REFUSES_LAST;
    return admit_refuses(queue, ADMIT_NEW) ? OVERLOAD_REFUSES_NEW : OVERLOAD_TAKES_ALL;
}

struct slice overload_oc(void *user, const struct flow *source)
{
    struct core *core = user;
    struct builder b = builder_over(core->overload.oc, sizeof core->overload.oc);
    uint32_t percent = 0;

    if (core->overload.refused != NULL)
        percent = admit_oc_percent(queue_of(core, source), core->now_ms);
    sip_oc_write(&b, percent, core->wall_ms);
    return builder_slice(&b);
}

void overload_status(const struct core *core, struct core_status *out)
{
    const struct overload *o = &core->overload;

    for (size_t i = 0; o->refused != NULL && i < COUNT_OF(o->queues); i++) {
        uint32_t peak_ms = admit_peak_ms(&o->queues[i], core->now_ms);
        out->overloaded |= admit_is_overloaded(&o->queues[i], core->now_ms);
        if (peak_ms > out->queue_ms)
            out->queue_ms = peak_ms;
    }
}

/* ---- a request ---- */

/** The same for all copies of a request, byte for byte. */
static uint64_t name_of(const struct core *core, const struct sip_msg *msg)
{
    uint64_t name = hash_bytes(core->config.hash_seed ^ msg->cseq.number, msg->call_id);

    return hash_bytes(name, msg->via_value);
}

static struct slice secret_of(const struct overload *o)
{
    return (struct slice){o->tag + 4, OVERLOAD_SECRET_LEN};
}

/** One line a second says what happens. */
static void say(struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    struct overload *o = &core->overload;
    char text[ADDR_TEXT_MAX];

    o->unsaid++;
    if (o->said_ms != 0 && core->now_ms - o->said_ms < OVERLOAD_SAY_MS)
        return;
    struct core_status status = {0};
    overload_status(core, &status);
    core_logf(core, CORE_LOG_WARNING, core_reason_name(CORE_R_OVERLOAD),
              "requests wait up to %u ms: %llu new ones were refused, the last %.*s %.*s from %s",
              status.queue_ms, (unsigned long long)o->unsaid, SLICE_ARG(msg->method_name),
              SLICE_ARG(msg->uri), addr_text(&source->remote, text));
    o->said_ms = core->now_ms;
    o->unsaid = 0;
}

/** Phones are told when to come again, each another time; a trunk has other ways (§21.5.4). */
static void answer(struct core *core, const struct sip_msg *msg, const struct flow *source,
                   uint64_t name)
{
    char tag_text[OVERLOAD_SECRET_LEN + TAG_REST_LEN], text[32];
    struct builder tag = builder_over(tag_text, sizeof tag_text);
    struct builder fields = builder_over(text, sizeof text);

    builder_add(&tag, secret_of(&core->overload));
    builder_hex(&tag, name >> 32, TAG_REST_LEN);
    struct sip_reply reply = {.status = 503, .to_tag = builder_slice(&tag)};
    if (!core_is_trusted(core, &source->remote)) {
        builder_text(&fields, "Retry-After: ");
        builder_char(&fields, (char)('1' + rng_below(&core->rng, RETRY_AFTER_MAX_S)));
        builder_text(&fields, "\r\n");
        reply.fields = builder_slice(&fields);
    }
    txn_reply_stateless(core->txns, msg, source, &reply);
}

/**
 * Who is refused last: a phone that refreshes, and a peer who sheds load himself (RFC 7339).
 * Neither can be claimed from elsewhere: else a flood of such requests would have all others
 * refused.
 */
static bool is_last(const struct core *core, const struct sip_msg *msg, const struct flow *source)
{
    if (msg->method == SIP_REGISTER)
        return register_known(core, msg, source);
    return msg->via.has_oc && core_is_trusted(core, &source->remote);
}

/** Is it to be refused by what its queue says? The dearest question comes last. */
static bool is_refused_now(const struct core *core, const struct sip_msg *msg,
                           const struct flow *source, enum overload_level level)
{
    if (level == OVERLOAD_TAKES_ALL || (core->draining && msg->method == SIP_INVITE))
        return false;
    if (level == OVERLOAD_REFUSES_NEW && is_last(core, msg, source))
        return false;
    return !txn_knows(core->txns, msg);
}

/** A new INVITE or REGISTER of ours to answer. False: it goes its way. */
static bool refuse_new(struct core *core, const struct sip_msg *msg, const struct flow *source,
                       enum overload_level level)
{
    struct overload *o = &core->overload;
    uint64_t name = name_of(core, msg);
    uint32_t *slot = &o->refused[name % OVERLOAD_REMEMBERED];
    uint32_t mark = (uint32_t)(name >> 32) | 1;

    /* In this order: while a queue stands nobody waits for the slot to come into the cache. */
    if (!is_refused_now(core, msg, source, level) && *slot != mark)
        return false;
    *slot = mark;
    o->quiet_ms = core->now_ms + OVERLOAD_QUIET_MS;
    o->watching = true;
    core->counters.received[msg->method]++;
    core_count(core, CORE_R_OVERLOAD);
    say(core, msg, source);
    answer(core, msg, source, name);
    return true;
}

/** The ACK of a 503 of ours: it is over with that. */
static bool drop_ack(struct core *core, struct slice bytes)
{
    const struct overload *o = &core->overload;

    if (!sip_peek_to_has(bytes, (struct slice){o->tag, sizeof o->tag}))
        return false;
    core->counters.received[SIP_ACK]++;
    return true;
}

/** A new INVITE or REGISTER, or the ACK of a 503: `*dropped`. False: it goes its way. */
static bool look(struct core *core, struct slice bytes, bool *dropped)
{
    struct sip_msg *msg = &core->received;
    enum sip_method method = sip_peek_method(bytes);

    *dropped = method == SIP_ACK && drop_ack(core, bytes);
    if (method == SIP_METHOD_OTHER || method == SIP_ACK)
        return *dropped;
    return sip_peek(bytes, msg) && msg->to.tag.len == 0;
}

bool overload_receive(struct core *core, struct slice bytes, enum sip_framing framing,
                      const struct flow *source)
{
    const struct sip_msg *msg = &core->received;
    enum overload_level level = level_of(queue_of(core, source));
    bool dropped;

    if (!look(core, bytes, &dropped))
        return false;
    if (dropped)
        return true;
    unsigned owner = core_owner_of(core, msg);
    if (owner == core->config.worker)
        return refuse_new(core, msg, source, level);
    if (level == OVERLOAD_TAKES_ALL)
        return false;
    core_pass_on(core, owner, bytes, framing, source, level);
    return true;
}

bool overload_mail(struct core *core, const struct core_mail *mail)
{
    struct admit *queue = &core->overload.queues[OVERLOAD_MAIL];
    bool dropped;

    if (core->overload.refused == NULL)
        return false;
    /* Who wrote it may have begun his turn after we began ours: our time stands still meanwhile. */
    note(core, queue,
         core->now_ms > mail->posted_ms ? (uint32_t)(core->now_ms - mail->posted_ms) : 0);
    if (!core->overload.watching && mail->number == OVERLOAD_TAKES_ALL)
        return false;
    if (!look(core, mail->bytes, &dropped))
        return false;
    if (dropped)
        return true;
    enum overload_level level = level_of(queue);
    if (mail->number > level)
        level = (enum overload_level)mail->number;
    return refuse_new(core, &core->received, &mail->flow, level);
}
