/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/calls - attempts: opened, found, written, forgotten. What happens to them is in events.c.
 */
#include "calls/calls.h"

#include <stdlib.h>

#include "calls/internal.h"

const uint32_t calls_pdd_limits_ms[CALLS_PDD_BUCKETS] = {50,   100,  200,  500,   1000,  2000,
                                                         3000, 5000, 8000, 12000, 20000, 60000};

uint32_t call_tag_hash(uint64_t seed, struct slice tag)
{
    uint32_t hash = (uint32_t)hash_bytes(seed, tag);
    return hash != 0 ? hash : 1;
}

struct call_key call_key_of(uint64_t seed, struct slice call_id, struct slice caller_tag,
                            char *scratch)
{
    struct builder b = builder_over(scratch, call_id.len + caller_tag.len + 1);

    builder_add(&b, call_id);
    builder_char(&b, '\0'); /* neither holds one */
    builder_add(&b, caller_tag);
    return (struct call_key){
        .call = hash_bytes(seed, call_id),
        .attempt = hash_bytes_pair(seed, builder_slice(&b)),
        .caller_tag = call_tag_hash(seed, caller_tag),
    };
}

/* ---- open and close ---- */

enum err calls_open(const struct calls_config *config, struct calls **out)
{
    assert(config->calls_max > 0 && config->calls_max <= CALLS_SLOTS_MAX);

    struct calls *calls = calloc(1, sizeof *calls); /* one per worker, at the start */
    if (calls == NULL)
        return ERR_MEMORY;
    calls->config = *config;
    calls->last_id = config->id_floor;
    enum err err = pool_init(&calls->pool, config->mem, sizeof(struct call), config->calls_max);
    if (err == OK)
        err = map_init(&calls->by_attempt, CALLS_INITIAL);
    if (err) {
        calls_close(calls);
        return err;
    }
    *out = calls;
    return OK;
}

static void legs_free(struct call *call)
{
    struct mem *mem = call->calls->config.mem;

    for (unsigned i = 0; i < call->leg_count; i++) {
        packed_free(mem, &call->legs[i].text);
        packed_free(mem, &call->legs[i].way);
    }
    mem_free(mem, call->legs, call->leg_capacity * sizeof *call->legs);
    call->legs = NULL;
    call->leg_count = 0;
    call->leg_capacity = 0;
    call->answered_leg = -1;
}

static void texts_free(struct call *call)
{
    struct mem *mem = call->calls->config.mem;

    packed_free(mem, &call->text);
    packed_free(mem, &call->way);
    packed_free(mem, &call->dialog);
    mem_free(mem, call->late, call->late_len);
    call->late = NULL;
    call->late_len = 0;
    legs_free(call);
}

static bool is_live(enum attempt_state state)
{
    return state == ATTEMPT_TRYING || state == ATTEMPT_UP;
}

void call_set_state(struct call *call, enum attempt_state state)
{
    call->calls->live += is_live(state);
    call->calls->live -= is_live((enum attempt_state)call->state);
    call->state = (uint8_t)state;
}

void call_free(struct call *call)
{
    struct calls *calls = call->calls;

    timer_stop(calls->config.wheel, &call->timer);
    call_set_state(call, ATTEMPT_OVER);
    texts_free(call);
    calls->unwritten -= call->unwritten;
    map_remove(&calls->by_attempt, &call->node);
    pool_free(&calls->pool, call->self);
}

void calls_close(struct calls *calls)
{
    uint32_t cursor = 0;
    struct call *call;
    struct id id;

    if (calls == NULL)
        return;
    if (calls->by_attempt.buckets != NULL) {
        while ((call = pool_next(&calls->pool, &cursor, &id)) != NULL)
            call_free(call);
        map_release(&calls->by_attempt);
    }
    if (calls->pool.mem != NULL)
        pool_release(&calls->pool);
    free(calls);
}

size_t calls_memory_max(uint32_t calls_max)
{
    return sizeof(struct calls) + pool_memory(calls_max) + map_memory_max(CALLS_INITIAL, calls_max);
}

const struct calls_counters *calls_counters(const struct calls *calls)
{
    return &calls->counters;
}

uint32_t calls_live(const struct calls *calls)
{
    return calls->live;
}

uint32_t calls_count(const struct calls *calls)
{
    return calls->pool.count;
}

bool calls_idle(const struct calls *calls)
{
    return calls->unwritten == 0 && calls->in_flight == 0;
}

/* ---- the timer ---- */

void call_arm(struct call *call, uint64_t now_ms)
{
    struct timer_wheel *wheel = call->calls->config.wheel;

    if (call->unwritten)
        timer_start(wheel, &call->timer, now_ms + CALLS_RETRY_MS);
    else if (call->state == ATTEMPT_OVER && call->in_flight == 0)
        timer_start(wheel, &call->timer, call->heard_ms + CALLS_REMEMBERED_MS);
    else if (call->state == ATTEMPT_UP)
        timer_start(wheel, &call->timer, call->heard_ms + call->calls->config.silence_ms);
    else
        timer_stop(wheel, &call->timer); /* a receipt, or what is under way, comes first */
}

static void end_silent(struct call *call, uint64_t now_ms)
{
    const struct call_end end = {
        .q850_cause = Q850_RECOVERY_ON_TIMER,
        .party = CALL_P_SYSTEM,
        .reason = SLICE("no sign of life"),
    };

    call->calls->counters.silent++;
    calls_ended(call->calls, call->self, &end, now_ms);
}

static void on_timer(struct timer *timer, uint64_t now_ms)
{
    struct call *call = CONTAINER_OF(timer, struct call, timer);

    if (call->unwritten)
        (void)!call_save(call, now_ms);
    else if (call->state == ATTEMPT_OVER)
        call_free(call);
    else if (now_ms - call->heard_ms >= call->calls->config.silence_ms)
        end_silent(call, now_ms);
    else
        call_arm(call, now_ms); /* it was heard of meanwhile */
}

/* ---- attempts ---- */

static struct call *find(const struct calls *calls, uint64_t a, uint64_t b)
{
    struct map_node *node = map_first(&calls->by_attempt, a);

    for (; node != NULL; node = map_next(node)) {
        struct call *call = CONTAINER_OF(node, struct call, node);
        if (call->attempt_b == b)
            return call;
    }
    return NULL;
}

struct id calls_find(const struct calls *calls, const struct call_key *key)
{
    static const struct id none;
    const struct call *call = find(calls, key->attempt.a, key->attempt.b);

    return call != NULL ? call->self : none;
}

/** Ids of a worker grow, and differ from those of others by their last byte. */
static uint64_t next_id(struct calls *calls, uint64_t wall_ms)
{
    uint64_t id = wall_ms << CALL_ID_TIME_SHIFT & ~UINT64_C(0xff);

    if (id <= calls->last_id)
        id = (calls->last_id & ~UINT64_C(0xff)) + 0x100;
    calls->last_id = id | 0xff;
    return id | (calls->config.worker & 0xff);
}

struct call *call_make(struct calls *calls, uint64_t a, uint64_t b)
{
    struct id id;
    struct call *call = pool_alloc(&calls->pool, &id);

    if (call == NULL)
        return NULL;
    call->calls = calls;
    call->self = id;
    call->attempt_b = b;
    call->timer.fn = on_timer;
    call->answered_leg = -1;
    map_add(&calls->by_attempt, &call->node, a);
    return call;
}

static void write_texts(struct builder *b, const struct call_facts *facts)
{
    call_field_number(b, CALL_T_CALL_HASH, facts->key.call);
    call_field_number(b, CALL_T_ATTEMPT_HASH_A, facts->key.attempt.a);
    call_field_number(b, CALL_T_ATTEMPT_HASH_B, facts->key.attempt.b);
    call_field_number(b, CALL_T_CALLER_TAG_HASH, facts->key.caller_tag);
    call_field_text(b, CALL_T_SIP_CALL_ID, facts->sip_call_id, CALL_TEXT_MAX);
    call_field_text(b, CALL_T_CALLING_URI, facts->calling_uri, CALL_URI_MAX);
    call_field_text(b, CALL_T_CALLING_NUMBER, facts->calling_number, CALL_TEXT_MAX);
    call_field_text(b, CALL_T_CALLING_NAME, facts->calling_name, CALL_TEXT_MAX);
    call_field_text(b, CALL_T_CALLED_URI, facts->called_uri, CALL_URI_MAX);
    call_field_text(b, CALL_T_CALLED_NUMBER, facts->called_number, CALL_TEXT_MAX);
    call_field_text(b, CALL_T_SOURCE_ADDRESS, facts->source_address, CALL_TEXT_MAX);
    call_field_text(b, CALL_T_USER_AGENT, facts->user_agent, CALL_TEXT_MAX);
    call_field_number(b, CALL_T_TRANSPORT, facts->transport);
    call_field_number(b, CALL_T_DIRECTION, facts->direction);
}

static enum err keep_facts(struct call *call, const struct call_facts *facts)
{
    struct mem *mem = call->calls->config.mem;
    struct builder b = builder_over(call->calls->scratch, sizeof call->calls->scratch);

    write_texts(&b, facts);
    enum err err = packed_keep(mem, &b, &call->text);
    call_begin_dialog(call, facts);
    if (err || facts->way.len == 0 || facts->way.len > CALL_WAY_MAX)
        return err;
    b = builder_over(call->calls->scratch, sizeof call->calls->scratch);
    call_field_text(&b, CALL_T_WAY, facts->way, CALL_WAY_MAX);
    call_field_flow(&b, &facts->flow);
    return packed_keep(mem, &b, &call->way);
}

/* An attempt that was over goes on, by another INVITE: RFC 3261 §8.1.3.5. */
static void reopen(struct call *call, const struct call_facts *facts, uint64_t now_ms)
{
    if (call->counted)
        call_uncount(call);
    call->counted = false;
    call->end_ms = 0;
    call->sip_status = 0;
    call->q850_cause = 0;
    call->disposition = CALL_D_NONE;
    call->release_party = CALL_P_NONE;
    call->cancelled = false;
    call->server = facts->server;
    call->caller_media = facts->media;
    call->callee_media = (struct call_side){0};
    call->heard_ms = now_ms;
    call_set_state(call, ATTEMPT_TRYING);
    call_arm(call, now_ms);
}

enum err calls_open_attempt(struct calls *calls, const struct call_facts *facts, uint64_t now_ms,
                            uint64_t wall_ms, struct id *out)
{
    struct call *call = find(calls, facts->key.attempt.a, facts->key.attempt.b);

    if (call != NULL) {
        if (call->state == ATTEMPT_OVER && call->answer_ms == 0)
            reopen(call, facts, now_ms);
        *out = call->self;
        return OK;
    }
    call = call_make(calls, facts->key.attempt.a, facts->key.attempt.b);
    if (call == NULL) {
        calls->counters.full++;
        return ERR_FULL;
    }
    call->id = next_id(calls, wall_ms);
    call->server = facts->server;
    call->caller_media = facts->media;
    call->wall_offset_ms = (int64_t)wall_ms - (int64_t)now_ms;
    call->start_ms = wall_ms;
    call->heard_ms = now_ms;
    enum err err = keep_facts(call, facts);
    if (err) {
        calls->counters.full++;
        call_free(call);
        return err;
    }
    if (calls->config.durable.append == NULL) {
        calls->counters.attempts++;
        call_set_state(call, ATTEMPT_TRYING);
    }
    *out = call->self;
    return OK;
}

enum err calls_commit(struct calls *calls, struct id id, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    assert(call != NULL && call->state == ATTEMPT_NEW);
    assert(calls->config.durable.append != NULL);
    call_set_state(call, ATTEMPT_WAITING);
    enum err err = call_save(call, now_ms);
    if (err)
        call_free(call);
    return err;
}

void calls_drop(struct calls *calls, struct id id)
{
    struct call *call = call_of(calls, id);

    if (call != NULL)
        call_free(call);
}

enum attempt_state calls_state(const struct calls *calls, struct id id)
{
    const struct call *call = call_of(calls, id);
    return call != NULL ? (enum attempt_state)call->state : ATTEMPT_OVER;
}

struct id calls_server(const struct calls *calls, struct id id)
{
    static const struct id none;
    const struct call *call = call_of(calls, id);
    return call != NULL ? call->server : none;
}

void *calls_note(const struct calls *calls, struct id id)
{
    const struct call *call = call_of(calls, id);
    return call != NULL ? call->note : NULL;
}

void calls_set_note(struct calls *calls, struct id id, void *note)
{
    struct call *call = call_of(calls, id);

    assert(call != NULL);
    call->note = note;
}

/* ---- receipts ---- */

bool calls_is_token(struct id token)
{
    return (token.slot & CALLS_TOKEN_BIT) != 0;
}

static void begun(struct call *call, enum err err, uint64_t now_ms)
{
    struct calls *calls = call->calls;
    struct id id = call->self;

    if (err == OK) {
        calls->counters.attempts++;
        call_set_state(call, ATTEMPT_TRYING);
        if (call->end_ms != 0)
            call_over(call, now_ms);
    }
    calls->config.begun(calls->config.user, id, err, now_ms);
}

void calls_receipt(struct calls *calls, struct id token, enum err err, uint64_t now_ms)
{
    struct id id = {token.slot & ~CALLS_TOKEN_BIT, token.generation};
    struct call *call = call_of(calls, id);

    assert(calls->in_flight > 0);
    calls->in_flight--;
    if (call == NULL)
        return;
    call->in_flight--;
    if (call->state == ATTEMPT_WAITING) {
        begun(call, err, now_ms);
        return;
    }
    if (err) {
        calls->counters.write_failures++;
        call_set_unwritten(call, true);
    }
    /* Of a call that went up and is over only its name is needed. */
    if (call->state == ATTEMPT_OVER && call->answer_ms != 0 && call->in_flight == 0 &&
        !call->unwritten)
        texts_free(call);
    call_arm(call, now_ms);
}
