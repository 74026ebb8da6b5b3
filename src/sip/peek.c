/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look of sip/peek.h. It follows msg.c step by step and leaves out what a refusal needs not;
 * where msg.c finds a fault, it gives up. tests/fuzz/fuzz_peek.c holds the two together.
 */
#include "sip/peek.h"

#include "sip/lex.h"
#include "sip/scan.h"

enum {
    VERSION_LEN = 8, /* with the space before it */
    WANTED =
        1 << SIP_F_VIA | 1 << SIP_F_FROM | 1 << SIP_F_TO | 1 << SIP_F_CALL_ID | 1 << SIP_F_CSEQ,
};

struct look {
    struct sip_msg *msg;
    const char *begin;
    const char *end;
    unsigned seen;  /* bits of WANTED */
    unsigned total; /* fields, of all names */
    struct slice from;
    uint8_t last_via;
};

enum sip_method sip_peek_method(struct slice bytes)
{
    if (slice_starts_with(bytes, SLICE("INVITE ")))
        return SIP_INVITE;
    if (slice_starts_with(bytes, SLICE("ACK ")))
        return SIP_ACK;
    if (slice_starts_with(bytes, SLICE("REGISTER ")))
        return SIP_REGISTER;
    return SIP_METHOD_OTHER;
}

static bool has_param(struct slice line, struct slice text)
{
    for (size_t at = slice_find(line, ';'); at != SIZE_MAX; at = slice_find(line, ';')) {
        line = slice_from(line, at + 1);
        if (slice_starts_with(line, text))
            return true;
    }
    return false;
}

bool sip_peek_to_has(struct slice bytes, struct slice text)
{
    const char *at = bytes.data;
    const char *end = bytes.data + bytes.len;

    while (end - at > 4 && *at != '\r') {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        bool is_to = (at[0] | 0x20) == 't' && (at[1] == ':' || (at[1] | 0x20) == 'o');
        if (stop == NULL)
            return false;
        if (is_to && has_param(slice_between(at, stop), text))
            return true;
        at = stop + 1;
    }
    return false;
}

/** Does the line end in the version that we speak? In any case of its letters (RFC 3261 §7.1). */
static bool ends_in_version(const char *begin, const char *end)
{
    static const char version[] = " SIP/2.0";
    const char *at = end - VERSION_LEN;

    return end - begin >= VERSION_LEN &&
           (memcmp(at, version, VERSION_LEN) == 0 ||
            slice_equal_nocase((struct slice){at, VERSION_LEN}, SLICE(" SIP/2.0")));
}

/** Behind the request line, or NULL. */
static const char *request_line(struct look *look)
{
    struct sip_msg *msg = look->msg;
    const char *end = scan_two(look->begin, look->end, '\r', '\n');
    struct lex lex = lex_within(slice_between(look->begin, end), look->end);

    if (!scan_at_crlf(end, look->end) || end - look->begin > SIP_START_LINE_MAX)
        return NULL;
    if (!lex_token(&lex, &msg->method_name) || !lex_char(&lex, ' '))
        return NULL;
    if (!ends_in_version(lex.at, end))
        return NULL;
    msg->is_request = true;
    msg->method = (uint8_t)sip_method_parse(msg->method_name);
    msg->uri = slice_between(lex.at, end - VERSION_LEN);
    return end + 2;
}

/** The CRLF that ends the field at `at` with its folded lines, or NULL. */
static const char *field_end(const char *at, const char *end)
{
    do {
        at = scan_two(at, end, '\r', '\n');
        if (!scan_at_crlf(at, end))
            return NULL; /* cut off, or a bare CR or LF */
        at += 2;
    } while (at < end && (*at == ' ' || *at == '\t'));
    return at - 2;
}

static bool take_call_id(struct sip_msg *msg, struct lex lex)
{
    msg->call_id = slice_between(lex.at, lex.end);
    return !lex_end(&lex) && lex_visible_end(&lex) == lex.end;
}

static bool take_via(struct look *look, struct lex lex, uint8_t number)
{
    const char *begin = lex.at;

    if (look->last_via != 0) {
        look->msg->fields[look->last_via - 1].next = number;
        look->last_via = number;
        return true; /* only the topmost value is parsed */
    }
    look->last_via = number;
    if (!lex_via(&lex, &look->msg->via))
        return false;
    look->msg->via_value = slice_trim(slice_between(begin, lex.at));
    return true;
}

static bool take_value(struct look *look, enum sip_field_id id, struct slice value, uint8_t number)
{
    struct sip_msg *msg = look->msg;
    struct lex lex = lex_within(value, look->end);

    if (id == SIP_F_VIA)
        return take_via(look, lex, number);
    if ((look->seen & 1u << id) != 0)
        return false;
    if (id == SIP_F_FROM) {
        look->from = value;
        return true;
    }
    if (id == SIP_F_TO)
        return lex_name_addr(lex, &msg->to);
    if (id == SIP_F_CALL_ID)
        return take_call_id(msg, lex);
    return sip_cseq_parse(value, &msg->cseq) == OK;
}

/**
 * Can the name at `at` be one of the five, in full or compact form? Contact and the Contents would
 * cost most of the rest. At least a CRLF lies behind.
 */
static inline bool may_be_wanted(const char *at)
{
    char c = ascii_lower(at[0]);

    if (c == 'c')
        return ascii_lower(at[1]) != 'o';
    return c == 'v' || c == 'f' || c == 't' || c == 'i';
}

/** Which of the five a name is that begins like one; SIP_F_OTHER: none. As lex_field_id() says. */
static enum sip_field_id wanted_id(struct slice name)
{
    switch (ascii_lower(name.data[0])) {
    case 'v':
        return name.len == 1 || LEX_SAME(name, "via") ? SIP_F_VIA : SIP_F_OTHER;
    case 'f':
        return name.len == 1 || LEX_SAME(name, "from") ? SIP_F_FROM : SIP_F_OTHER;
    case 't':
        return name.len == 1 || LEX_SAME(name, "to") ? SIP_F_TO : SIP_F_OTHER;
    case 'i':
        return name.len == 1 ? SIP_F_CALL_ID : SIP_F_OTHER;
    default:
        if (LEX_SAME(name, "call-id"))
            return SIP_F_CALL_ID;
        return LEX_SAME(name, "cseq") ? SIP_F_CSEQ : SIP_F_OTHER;
    }
}

/** The field [begin, end) before its CRLF. */
static bool take_field(struct look *look, const char *begin, const char *end)
{
    const char *colon = scan_near(begin, end, look->end, ':');
    const char *name_end = colon;
    while (name_end > begin && (name_end[-1] == ' ' || name_end[-1] == '\t'))
        name_end--;

    struct slice name = {begin, (size_t)(name_end - begin)};
    enum sip_field_id id = wanted_id(name);
    if (colon == end)
        return false;
    if (id == SIP_F_OTHER)
        return true;

    struct sip_msg *msg = look->msg;
    struct slice value = scan_trimmed(colon + 1, end);
    uint8_t number = (uint8_t)++msg->field_count;
    msg->fields[number - 1] = (struct sip_field){
        .begin = (uint16_t)(begin - look->begin),
        .value_begin = (uint16_t)(value.data - look->begin),
        .value_end = (uint16_t)(value.data + value.len - look->begin),
        .end = (uint16_t)(end + 2 - look->begin),
        .id = (uint8_t)id,
    };
    if (!take_value(look, id, value, number))
        return false;
    if (msg->first[id] == 0)
        msg->first[id] = number;
    look->seen |= 1u << id;
    return true;
}

bool sip_peek(struct slice bytes, struct sip_msg *out)
{
    while (bytes.len > 0 && (bytes.data[0] == '\r' || bytes.data[0] == '\n')) /* §7.5 */
        bytes = slice_from(bytes, 1);
    if (bytes.len == 0 || bytes.len > SIP_MESSAGE_MAX)
        return false;

    struct look look = {.msg = out, .begin = bytes.data, .end = bytes.data + bytes.len};
    memset(out, 0, offsetof(struct sip_msg, fields));
    out->max_forwards = -1;
    out->content_length = -1;

    const char *at = request_line(&look);
    while (at != NULL && at < look.end && *at != '\r') {
        const char *end = field_end(at, look.end);
        if (end == NULL || ++look.total > SIP_FIELDS_MAX)
            return false;
        if (may_be_wanted(at) && !take_field(&look, at, end))
            return false;
        at = end + 2;
    }
    if (at == NULL || !scan_at_crlf(at, look.end) || look.seen != WANTED)
        return false;
    out->head_end = (uint16_t)(at + 2 - look.begin);
    out->buf = (struct slice){look.begin, out->head_end};
    /* Who has no branch of RFC 3261 is known by his From tag, among others (txn/match.c). */
    if (!sip_branch_rfc3261(out->via.branch) &&
        !lex_name_addr(lex_within(look.from, look.end), &out->from))
        return false;
    return slice_equal(out->cseq.method_name, out->method_name);
}

/* ---- the name alone ---- */

enum named {
    NAMED_OTHERWISE = 0,
    NAMED_PLAINLY,  /* its colon is right behind */
    NAMED_WITH_LWS, /* before the colon, as is allowed (RFC 3261 §7.3.1) */
};

/** Is the name of the field in `line` this one, in full or compact form? */
static enum named is_named(struct slice line, struct slice name, char compact)
{
    char first = ascii_lower(line.data[0]);
    size_t len = 1;

    if (first == ascii_lower(name.data[0]) && line.len > name.len &&
        slice_equal_nocase((struct slice){line.data, name.len}, name))
        len = name.len;
    else if (first != compact || line.len < 2)
        return NAMED_OTHERWISE;
    if (line.data[len] == ':')
        return NAMED_PLAINLY;
    return line.data[len] == ' ' || line.data[len] == '\t' ? NAMED_WITH_LWS : NAMED_OTHERWISE;
}

/** The value of the first field of a name (`compact` 0: it has no other), on one line; false: there
 * is none so plain. */
static bool first_plain(struct slice bytes, struct slice name, char compact, struct slice *value)
{
    const char *end = bytes.data + bytes.len;
    const char *at = scan_two(bytes.data, end, '\r', '\n');

    while (scan_at_crlf(at, end)) {
        struct slice line = {at + 2, 0};
        at = scan_two(line.data, end, '\r', '\n');
        line.len = (size_t)(at - line.data);
        if (line.len == 0)
            return false;
        enum named named = is_named(line, name, compact);
        if (named == NAMED_WITH_LWS)
            return false;
        if (named == NAMED_PLAINLY) {
            bool folded = end - at < 3 || at[2] == ' ' || at[2] == '\t';
            *value = slice_trim(slice_from(line, slice_find(line, ':') + 1));
            return scan_at_crlf(at, end) && !folded;
        }
    }
    return false;
}

struct slice sip_peek_agent(struct slice bytes)
{
    struct slice value;

    while (bytes.len > 0 && (bytes.data[0] == '\r' || bytes.data[0] == '\n')) /* §7.5 */
        bytes = slice_from(bytes, 1);
    return first_plain(bytes, SLICE("User-Agent"), '\0', &value) ? value : SLICE_EMPTY;
}

/** Up to the next parameter or value, of a Via without quotes and spaces in its parameters. */
static bool plain_branch(struct slice via, struct slice *branch)
{
    size_t semicolon = slice_find(via, ';');
    if (semicolon == SIZE_MAX)
        return false;

    struct slice params = slice_from(via, semicolon);
    size_t comma = slice_find(params, ',');
    if (comma != SIZE_MAX)
        params.len = comma;
    if (slice_find(slice_between(via.data, params.data), ',') != SIZE_MAX ||
        slice_find(params, '"') != SIZE_MAX || slice_find(params, ' ') != SIZE_MAX ||
        slice_find(params, '\t') != SIZE_MAX || !slice_starts_with(params, SLICE(";branch=")))
        return false;
    *branch = slice_from(params, sizeof ";branch=" - 1);
    size_t next = slice_find(*branch, ';');
    if (next != SIZE_MAX)
        branch->len = next;
    return branch->len > 0;
}

bool sip_peek_name(struct slice bytes, struct sip_peek_name *out)
{
    struct slice value;

    if (bytes.len < 4 || bytes.len > SIP_MESSAGE_MAX || (unsigned char)bytes.data[0] <= ' ')
        return false;
    out->is_response = slice_starts_with(bytes, SLICE("SIP/"));
    if (out->is_response)
        return first_plain(bytes, SLICE("Via"), 'v', &value) && plain_branch(value, &out->text);
    if (slice_starts_with(bytes, SLICE("REGISTER ")) || (bytes.data[0] | 0x20) == 's')
        return false; /* SUBSCRIBE is rare, and "sip/2.0 200" is a response, too */
    out->text = SLICE_EMPTY;
    return first_plain(bytes, SLICE("Call-ID"), 'i', &out->text) && out->text.len > 0;
}
