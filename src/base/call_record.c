/* SPDX-License-Identifier: Apache-2.0 */
#include "base/call_record.h"

enum {
    FIELD_HEADER = 3, /* tag and length */
    FIELD_MAX = 65535,
    NUMBER_BYTES = 8,
    FLOW_HEAD = 6, /* transport, flags, listener, families, port */
    SIDE_HEAD = 4 + CALL_CODECS_MAX,
};

/* ---- writing ---- */

static void header(struct builder *b, enum call_tag tag, size_t len)
{
    const char bytes[FIELD_HEADER] = {(char)tag, (char)(len & 0xff), (char)(len >> 8)};

    builder_add(b, (struct slice){bytes, sizeof bytes});
}

void call_block_begin(struct builder *b)
{
    builder_char(b, CALL_RECORD_FORMAT);
}

void call_field_text(struct builder *b, enum call_tag tag, struct slice text, size_t max)
{
    assert(max <= FIELD_MAX);

    if (text.len == 0)
        return;
    if (text.len > max)
        text.len = max;
    header(b, tag, text.len);
    builder_add(b, text);
}

void call_field_number(struct builder *b, enum call_tag tag, uint64_t value)
{
    char bytes[NUMBER_BYTES];
    size_t len = 0;

    for (; value != 0; value >>= 8)
        bytes[len++] = (char)(value & 0xff);
    if (len == 0)
        return;
    header(b, tag, len);
    builder_add(b, (struct slice){bytes, len});
}

static size_t address_bytes(uint8_t family)
{
    return family == ADDR_V4 ? 4 : family == ADDR_V6 ? 16 : 0;
}

/* The address of ours that it came by is left out: a restarted node picks it anew. */
void call_field_flow(struct builder *b, const struct flow *flow)
{
    const struct addr *remote = &flow->remote;
    size_t len = address_bytes(remote->family);
    const char head[FLOW_HEAD] = {
        (char)flow->transport, (char)flow->flags,           (char)flow->listener,
        (char)remote->family,  (char)(remote->port & 0xff), (char)(remote->port >> 8),
    };

    header(b, CALL_T_FLOW, FLOW_HEAD + len + sizeof remote->scope);
    builder_add(b, (struct slice){head, sizeof head});
    builder_add(b, (struct slice){(const char *)remote->bytes, len});
    builder_add(b, (struct slice){(const char *)&remote->scope, sizeof remote->scope});
}

void call_field_side(struct builder *b, enum call_tag tag, const struct call_side *side)
{
    size_t len = address_bytes(side->family);
    const char head[4] = {(char)side->kinds, (char)side->family, (char)(side->port & 0xff),
                          (char)(side->port >> 8)};

    if (side->kinds == 0)
        return;
    header(b, tag, SIDE_HEAD + len);
    builder_add(b, (struct slice){head, sizeof head});
    builder_add(b, (struct slice){(const char *)side->codecs, sizeof side->codecs});
    builder_add(b, (struct slice){(const char *)side->bytes, len});
}

size_t call_leg_begin(struct builder *b)
{
    size_t begin = b->len;

    header(b, CALL_T_LEG, 0);
    return begin;
}

void call_leg_end(struct builder *b, size_t begin)
{
    if (b->overflow)
        return;
    size_t len = b->len - begin - FIELD_HEADER;
    if (len > FIELD_MAX) {
        b->overflow = true;
        return;
    }
    b->data[begin + 1] = (char)(len & 0xff);
    b->data[begin + 2] = (char)(len >> 8);
}

/* ---- reading ---- */

static bool next_field(struct slice *rest, uint8_t *tag, struct slice *value)
{
    if (rest->len < FIELD_HEADER)
        return false;
    struct slice head = slice_take(rest, FIELD_HEADER);
    size_t len = (size_t)(uint8_t)head.data[1] | (size_t)(uint8_t)head.data[2] << 8;
    if (len > rest->len)
        return false;
    *tag = (uint8_t)head.data[0];
    *value = slice_take(rest, len);
    return true;
}

static bool read_number(struct slice value, uint64_t max, uint64_t *out)
{
    uint64_t number = 0;

    if (value.len > NUMBER_BYTES)
        return false;
    for (size_t i = value.len; i-- > 0;)
        number = number << 8 | (uint8_t)value.data[i];
    if (number > max)
        return false;
    *out = number;
    return true;
}

static bool read_flow(struct slice value, struct flow *out)
{
    struct flow flow = {0};

    if (value.len < FLOW_HEAD)
        return false;
    struct slice head = slice_take(&value, FLOW_HEAD);
    flow.transport = (uint8_t)head.data[0];
    flow.flags = (uint8_t)head.data[1];
    flow.listener = (uint8_t)head.data[2];
    flow.remote.family = (uint8_t)head.data[3];
    flow.remote.port = (uint16_t)((uint8_t)head.data[4] | (uint8_t)head.data[5] << 8);
    size_t len = address_bytes(flow.remote.family);
    if (flow.transport >= TRANSPORT_COUNT || (flow.flags & ~FLOW_ONLY_CONN) != 0 || len == 0 ||
        value.len != len + sizeof flow.remote.scope)
        return false;
    memcpy(flow.remote.bytes, value.data, len);
    memcpy(&flow.remote.scope, value.data + len, sizeof flow.remote.scope);
    *out = flow;
    return true;
}

static bool read_side(struct slice value, struct call_side *out)
{
    struct call_side side = {0};

    if (value.len < SIDE_HEAD)
        return false;
    struct slice head = slice_take(&value, SIDE_HEAD);
    side.kinds = (uint8_t)head.data[0];
    side.family = (uint8_t)head.data[1];
    side.port = (uint16_t)((uint8_t)head.data[2] | (uint8_t)head.data[3] << 8);
    memcpy(side.codecs, head.data + 4, sizeof side.codecs);
    size_t len = address_bytes(side.family);
    if ((side.kinds & ~(CALL_KINDS | CALL_HOLD)) != 0 || value.len != len ||
        (len == 0 && side.family != ADDR_NONE))
        return false;
    if (len > 0)
        memcpy(side.bytes, value.data, len);
    *out = side;
    return true;
}

/** A field of the call that is neither a number nor a text. False: it is not sound. */
static bool take_parts(uint8_t tag, struct slice value, struct call_record *out)
{
    if (tag == CALL_T_FLOW)
        return read_flow(value, &out->flow);
    if (tag == CALL_T_CALLER_MEDIA)
        return read_side(value, &out->caller_media);
    return tag != CALL_T_CALLEE_MEDIA || read_side(value, &out->callee_media);
}

/* Where a number goes, and what is too large for it. */
struct number_field {
    uint8_t tag, bytes;
    uint16_t offset;
    uint64_t max;
};

#define NUMBER(tag, type, member, max)                                                             \
    {                                                                                              \
        tag, sizeof(((type *)0)->member), offsetof(type, member), max                              \
    }

static const struct number_field call_numbers[] = {
    NUMBER(CALL_T_ID, struct call_record, id, INT64_MAX),
    NUMBER(CALL_T_CALL_HASH, struct call_record, call_hash, UINT64_MAX),
    NUMBER(CALL_T_ATTEMPT_HASH_A, struct call_record, attempt_hash_a, UINT64_MAX),
    NUMBER(CALL_T_ATTEMPT_HASH_B, struct call_record, attempt_hash_b, UINT64_MAX),
    NUMBER(CALL_T_CALLER_TAG_HASH, struct call_record, caller_tag_hash, UINT32_MAX),
    NUMBER(CALL_T_CALLEE_TAG_HASH, struct call_record, callee_tag_hash, UINT32_MAX),
    NUMBER(CALL_T_TRANSPORT, struct call_record, transport, TRANSPORT_COUNT - 1),
    NUMBER(CALL_T_DIRECTION, struct call_record, direction, CALL_TRANSIT),
    NUMBER(CALL_T_DISPOSITION, struct call_record, disposition, CALL_D_COUNT - 1),
    NUMBER(CALL_T_RELEASE_PARTY, struct call_record, release_party, CALL_P_SYSTEM),
    NUMBER(CALL_T_SIP_STATUS, struct call_record, sip_status, 699),
    NUMBER(CALL_T_Q850, struct call_record, q850_cause, 127),
    NUMBER(CALL_T_START, struct call_record, start_ms, INT64_MAX),
    NUMBER(CALL_T_PROGRESS, struct call_record, progress_ms, INT64_MAX),
    NUMBER(CALL_T_ANSWER, struct call_record, answer_ms, INT64_MAX),
    NUMBER(CALL_T_END, struct call_record, end_ms, INT64_MAX),
    NUMBER(CALL_T_HOLD, struct call_record, hold_ms, INT64_MAX),
    NUMBER(CALL_T_HOLD_SINCE, struct call_record, hold_since_ms, INT64_MAX),
};

static const struct number_field leg_numbers[] = {
    NUMBER(CALL_T_DISPOSITION, struct call_leg, disposition, CALL_D_COUNT - 1),
    NUMBER(CALL_T_SIP_STATUS, struct call_leg, sip_status, 699),
    NUMBER(CALL_T_Q850, struct call_leg, q850_cause, 127),
    NUMBER(CALL_T_START, struct call_leg, start_ms, INT64_MAX),
    NUMBER(CALL_T_PROGRESS, struct call_leg, progress_ms, INT64_MAX),
    NUMBER(CALL_T_ANSWER, struct call_leg, answer_ms, INT64_MAX),
    NUMBER(CALL_T_END, struct call_leg, end_ms, INT64_MAX),
};

struct text_field {
    uint8_t tag;
    uint16_t offset;
};

static const struct text_field call_texts[] = {
    {CALL_T_SIP_CALL_ID, offsetof(struct call_record, sip_call_id)},
    {CALL_T_CALLING_URI, offsetof(struct call_record, calling_uri)},
    {CALL_T_CALLING_NUMBER, offsetof(struct call_record, calling_number)},
    {CALL_T_CALLING_NAME, offsetof(struct call_record, calling_name)},
    {CALL_T_CALLED_URI, offsetof(struct call_record, called_uri)},
    {CALL_T_CALLED_NUMBER, offsetof(struct call_record, called_number)},
    {CALL_T_ANSWERED_BY, offsetof(struct call_record, answered_by)},
    {CALL_T_SOURCE_ADDRESS, offsetof(struct call_record, source_address)},
    {CALL_T_USER_AGENT, offsetof(struct call_record, user_agent)},
    {CALL_T_REASON, offsetof(struct call_record, reason)},
    {CALL_T_WAY, offsetof(struct call_record, way)},
    {CALL_T_DIALOG, offsetof(struct call_record, dialog)},
};

static const struct text_field leg_texts[] = {
    {CALL_T_TARGET, offsetof(struct call_leg, target)},
    {CALL_T_USER, offsetof(struct call_leg, user)},
    {CALL_T_ADDRESS, offsetof(struct call_leg, address)},
    {CALL_T_BRANCH, offsetof(struct call_leg, branch)},
    {CALL_T_ROUTES, offsetof(struct call_leg, routes)},
};

static void store_number(char *at, uint8_t bytes, uint64_t value)
{
    if (bytes == sizeof(uint64_t)) {
        memcpy(at, &value, sizeof value);
    } else if (bytes == sizeof(uint32_t)) {
        const uint32_t narrow = (uint32_t)value;
        memcpy(at, &narrow, sizeof narrow);
    } else if (bytes == sizeof(uint16_t)) {
        const uint16_t narrow = (uint16_t)value;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        *at = (char)value;
    }
}

/* False: it is too large. What no row names is passed over. */
static bool take_number(const struct number_field *fields, size_t count, uint8_t tag,
                        struct slice value, void *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        if (fields[i].tag != tag)
            continue;
        if (!read_number(value, fields[i].max, &number))
            return false;
        store_number((char *)out + fields[i].offset, fields[i].bytes, number);
    }
    return true;
}

static void take_text(const struct text_field *fields, size_t count, uint8_t tag,
                      struct slice value, void *out)
{
    for (size_t i = 0; i < count; i++)
        if (fields[i].tag == tag)
            memcpy((char *)out + fields[i].offset, &value, sizeof value);
}

static enum err unpack_leg(struct slice rest, struct call_leg *out)
{
    struct slice value;
    uint8_t tag;

    *out = (struct call_leg){0};
    while (rest.len > 0) {
        if (!next_field(&rest, &tag, &value) ||
            !take_number(leg_numbers, COUNT_OF(leg_numbers), tag, value, out) ||
            (tag == CALL_T_FLOW && !read_flow(value, &out->flow)))
            return ERR_SYNTAX;
        take_text(leg_texts, COUNT_OF(leg_texts), tag, value, out);
    }
    return OK;
}

enum err call_record_unpack(struct slice block, struct call_record *out)
{
    struct slice value;
    uint8_t tag;

    if (block.len == 0 || block.data[0] != CALL_RECORD_FORMAT)
        return ERR_SYNTAX;
    memset(out, 0, offsetof(struct call_record, legs));
    slice_take(&block, 1);
    while (block.len > 0) {
        if (!next_field(&block, &tag, &value) ||
            !take_number(call_numbers, COUNT_OF(call_numbers), tag, value, out) ||
            !take_parts(tag, value, out))
            return ERR_SYNTAX;
        take_text(call_texts, COUNT_OF(call_texts), tag, value, out);
        if (tag != CALL_T_LEG)
            continue;
        if (out->leg_count == CALL_LEGS_MAX || unpack_leg(value, &out->legs[out->leg_count]) != OK)
            return ERR_SYNTAX;
        out->leg_count++;
    }
    return out->id != 0 && out->start_ms != 0 ? OK : ERR_SYNTAX;
}

/* ---- words ---- */

const char *call_disposition_name(uint8_t disposition)
{
    static const char *const names[CALL_D_COUNT] = {
        [CALL_D_ANSWERED] = "ANSWERED",   [CALL_D_BUSY] = "BUSY",
        [CALL_D_CANCELLED] = "CANCELLED", [CALL_D_NO_ANSWER] = "NO_ANSWER",
        [CALL_D_REJECTED] = "REJECTED",   [CALL_D_BLOCKED] = "BLOCKED",
        [CALL_D_FAILED] = "FAILED",
    };
    return disposition < CALL_D_COUNT ? names[disposition] : NULL;
}

const char *call_direction_name(uint8_t direction)
{
    static const char *const names[] = {NULL, "inbound", "outbound", "internal", "transit"};
    return direction < COUNT_OF(names) ? names[direction] : NULL;
}

const char *call_party_name(uint8_t party)
{
    static const char *const names[] = {NULL, "caller", "callee", "system"};
    return party < COUNT_OF(names) ? names[party] : NULL;
}

const char *call_kind_name(unsigned index)
{
    static const char *const names[CALL_KIND_COUNT] = {"audio",       "video", "text",
                                                       "application", "image", "message"};
    assert(index < CALL_KIND_COUNT);
    return names[index];
}

void call_id_text(uint64_t id, char out[static CALL_ID_DIGITS + 1])
{
    struct builder b = builder_over(out, CALL_ID_DIGITS);

    builder_hex(&b, id, CALL_ID_DIGITS);
    out[CALL_ID_DIGITS] = '\0';
}

bool call_id_parse(struct slice text, uint64_t *out)
{
    uint64_t id = 0;

    if (text.len != CALL_ID_DIGITS)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c >= '0' && c <= '9')
            id = id << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            id = id << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    if (id == 0 || id > INT64_MAX)
        return false;
    *out = id;
    return true;
}
