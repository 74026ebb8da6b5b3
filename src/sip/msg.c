/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one pass over a message: start line, index of header fields, and the few fields
 * that everybody needs (RFC 3261 §7, §25.1).
 *
 * A fault does not end the pass: a faulty request is answered from what was found
 * (§8.2.6.2), so the index is filled as far as it goes. The first fault is the one told.
 */
#include "sip/msg.h"

#include "sip/lex.h"
#include "sip/scan.h"

struct parser {
    struct sip_msg *msg;
    const char *begin; /* of the start line */
    const char *at;
    const char *end;
    uint8_t
        last[SIP_F_COUNT]; /* index + 1 of the last field with an id; unset while first[] is 0 */
};

static void fault(struct sip_msg *msg, uint16_t status, const char *reason)
{
    if (msg->fault.status == 0)
        msg->fault = (struct sip_fault){status, reason};
}

/**
 * The CRLF that ends the line at `at`, or the end of the bytes. A CR or LF alone is a
 * fault: whoever takes one for a line end would see other header fields than we do.
 */
static inline const char *line_end(struct sip_msg *msg, const char *at, const char *end)
{
    at = scan_two(at, end, '\r', '\n');
    while (!scan_at_crlf(at, end) && at < end) {
        fault(msg, 400, "Bare CR or LF");
        at = scan_two(at + 1, end, '\r', '\n');
    }
    return at;
}

/** As line_end(), over folded lines (RFC 3261 §7.3.1). */
static inline const char *field_end(struct sip_msg *msg, const char *at, const char *end)
{
    do
        at = line_end(msg, at, end) + 2;
    while (at < end && (*at == ' ' || *at == '\t'));
    return at - 2;
}

/* --- Start line ------------------------------------------------------------------------------ */

static bool begins_with_sip(struct slice text)
{
    return text.len >= 4 && slice_equal_nocase((struct slice){text.data, 4}, SLICE("SIP/"));
}

/** SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT, without case (RFC 3261 §7.1). */
static bool is_version(struct slice text, bool *is_2_0)
{
    struct lex lex = lex_over(text);

    *is_2_0 = slice_equal(text, SLICE("SIP/2.0"));
    if (*is_2_0)
        return true;
    if (!begins_with_sip(text))
        return false;
    lex.at += 4;
    struct slice major = lex_span(&lex, CH_DIGIT);
    bool dot = lex_char(&lex, '.');
    struct slice minor = lex_span(&lex, CH_DIGIT);
    *is_2_0 = slice_equal(major, SLICE("2")) && slice_equal(minor, SLICE("0"));
    return major.len > 0 && dot && minor.len > 0 && lex_end(&lex);
}

/*
 * Request-Line = Method SP Request-URI SP SIP-Version
 *
 * What has no method in front and no version at the end is not SIP: ERR_SYNTAX. All
 * between is the Request-URI, right or wrong (RFC 4475 §3.1.2.7 to §3.1.2.10).
 */
static enum err request_line(struct sip_msg *msg, struct slice line)
{
    struct lex lex = lex_over(line);
    if (!lex_token(&lex, &msg->method_name) || !lex_char(&lex, ' '))
        return ERR_SYNTAX;

    const char *version = lex.end;
    while (version > lex.at && version[-1] == ' ')
        version--;
    bool trailing = version != lex.end;
    lex.end = version;
    while (version > lex.at && version[-1] != ' ')
        version--;

    bool is_2_0 = false;
    if (version == lex.at || !is_version(slice_between(version, lex.end), &is_2_0))
        return ERR_SYNTAX;
    msg->is_request = true;
    msg->method = (uint8_t)sip_method_parse(msg->method_name);
    msg->uri = slice_between(lex.at, version - 1);

    if (!is_2_0)
        fault(msg, 505, "Version Not Supported");
    if (line.len > SIP_START_LINE_MAX)
        fault(msg, 414, "Request-URI Too Long");
    else if (trailing || !lex_uri(msg->uri, &msg->request_uri))
        fault(msg, 400, "Malformed Request-Line");
    return OK;
}

/*
 * Status-Line = SIP-Version SP 3DIGIT SP Reason-Phrase
 *
 * Taken without the last SP, too, when there is no phrase.
 */
static enum err status_line(struct sip_msg *msg, struct slice line)
{
    struct lex lex = lex_over(line);
    bool is_2_0 = false;

    struct slice version = {line.data, slice_find(line, ' ')};
    if (version.len > line.len || !is_version(version, &is_2_0) || !is_2_0)
        return ERR_SYNTAX;
    lex.at += version.len + 1;

    struct slice digits = lex_span(&lex, CH_DIGIT);
    if (digits.len != 3 || (!lex_end(&lex) && !lex_char(&lex, ' ')))
        return ERR_SYNTAX;
    msg->status = (uint16_t)((digits.data[0] - '0') * 100 + (digits.data[1] - '0') * 10 +
                             (digits.data[2] - '0'));
    if (msg->status < 100 || msg->status > 699 || line.len > SIP_START_LINE_MAX)
        return ERR_SYNTAX;
    msg->reason = slice_between(lex.at, lex.end);
    msg->is_response = true;
    return OK;
}

static enum err start_line(struct parser *p)
{
    const char *end = line_end(p->msg, p->at, p->end);
    if (end == p->end)
        return ERR_SYNTAX;

    struct slice line = slice_between(p->at, end);
    p->at = end + 2;
    if (begins_with_sip(line))
        return status_line(p->msg, line);
    return request_line(p->msg, line);
}

/* --- Header fields --------------------------------------------------------------------------- */

static void take_via(struct sip_msg *msg, struct lex lex)
{
    const char *begin = lex.at;

    if (!lex_via(&lex, &msg->via)) {
        msg->via = (struct sip_via){0};
        fault(msg, 400, "Malformed Via");
        return;
    }
    msg->via_value = slice_trim(slice_between(begin, lex.at));
}

static void take_address(struct sip_msg *msg, struct lex lex, struct sip_name_addr *out,
                         const char *reason)
{
    if (!lex_name_addr(lex, out)) {
        *out = (struct sip_name_addr){0};
        fault(msg, 400, reason);
    }
}

/** callid = word [ "@" word ]: here any visible bytes, as phones write them. */
static void take_call_id(struct sip_msg *msg, struct lex lex)
{
    if (lex_end(&lex) || lex_visible_end(&lex) != lex.end)
        fault(msg, 400, "Malformed Call-ID");
    else
        msg->call_id = slice_between(lex.at, lex.end);
}

static void take_cseq(struct sip_msg *msg, struct slice value)
{
    if (sip_cseq_parse(value, &msg->cseq))
        fault(msg, 400, "Malformed CSeq");
}

/** Max-Forwards = 1*DIGIT, 0 to 255 (RFC 3261 §20.22). */
static void take_max_forwards(struct sip_msg *msg, struct slice value)
{
    uint32_t number = 0;
    if (sip_number_parse(value, &number) || number > 255)
        fault(msg, 400, "Malformed Max-Forwards");
    else
        msg->max_forwards = (int32_t)number;
}

/** Content-Length = 1*DIGIT (RFC 3261 §20.14). One that no message may have counts as the next. */
static void take_content_length(struct sip_msg *msg, struct slice value)
{
    uint32_t number = 0;
    enum err err = sip_number_parse(value, &number);

    if (err == ERR_TOO_BIG || number > SIP_MESSAGE_MAX)
        msg->content_length = SIP_MESSAGE_MAX + 1;
    else if (err)
        fault(msg, 400, "Malformed Content-Length");
    else
        msg->content_length = (int32_t)number;
}

/** Parses a field that is always parsed, when it comes first; a second one is a fault. */
static void take_value(struct parser *p, enum sip_field_id id, struct slice value)
{
    struct sip_msg *msg = p->msg;
    struct lex lex = lex_within(value, p->end);

    if (msg->first[id] != msg->field_count) {
        if (id != SIP_F_VIA)
            fault(msg, 400, "Header Field Repeated"); /* RFC 4475 §3.3.8, §3.3.9 */
    } else if (id == SIP_F_VIA) {
        take_via(msg, lex);
    } else if (id == SIP_F_FROM) {
        take_address(msg, lex, &msg->from, "Malformed From");
    } else if (id == SIP_F_TO) {
        take_address(msg, lex, &msg->to, "Malformed To");
    } else if (id == SIP_F_CALL_ID) {
        take_call_id(msg, lex);
    } else if (id == SIP_F_CSEQ) {
        take_cseq(msg, value);
    } else if (id == SIP_F_MAX_FORWARDS) {
        take_max_forwards(msg, value);
    } else if (id == SIP_F_CONTENT_LENGTH) {
        take_content_length(msg, value);
    }
}

bool sip_is_token(struct slice s)
{
    return s.len > 0 && lex_run(s.data, s.data + s.len, CH_TOKEN) == s.data + s.len;
}

/** Gives the next free field to `id`, linked to the one before it. */
static inline struct sip_field *new_field(struct parser *p, enum sip_field_id id)
{
    struct sip_msg *msg = p->msg;
    uint8_t number = (uint8_t)++msg->field_count;

    if (msg->first[id] != 0)
        msg->fields[p->last[id] - 1].next = number;
    else
        msg->first[id] = number;
    p->last[id] = number;
    return &msg->fields[number - 1];
}

/**
 * Puts the field [begin, end) with its CRLF into the index.
 *
 *   message-header = field-name *( SP / HTAB ) ":" [LWS] value
 */
static inline void add_field(struct parser *p, const char *begin, const char *end)
{
    const char *colon = scan_near(begin, end, p->end, ':');
    const char *name_end = colon;
    while (name_end > begin && (name_end[-1] == ' ' || name_end[-1] == '\t'))
        name_end--;

    struct slice name = {begin, (size_t)(name_end - begin)};
    enum sip_field_id id = lex_field_id(name, p->end);
    if (colon == end || (id == SIP_F_OTHER && !sip_is_token(name))) {
        fault(p->msg, 400, "Malformed Header Field");
        return;
    }
    if (p->msg->field_count == SIP_FIELDS_MAX) {
        fault(p->msg, 400, "Too Many Header Fields");
        return;
    }

    /* Offsets fit: sip_parse() cuts at SIP_MESSAGE_MAX. */
    struct slice value = scan_trimmed(colon + 1, end);
    const char *base = p->begin;
    struct sip_field *field = new_field(p, id);
    field->begin = (uint16_t)(begin - base);
    field->value_begin = (uint16_t)(value.data - base);
    field->value_end = (uint16_t)(value.data + value.len - base);
    field->end = (uint16_t)(end + 2 - base);
    field->id = (uint8_t)id;
    field->next = 0;
    if (id >= SIP_F_VIA && id <= SIP_F_CONTENT_LENGTH)
        take_value(p, id, value);
}

/** All fields up to the empty line. A line that is cut off is not a field. */
static void header_fields(struct parser *p)
{
    const char *at = p->at;
    const char *end = p->end;

    /* A CR that ends no line is no field either: its name would be empty. */
    while (at < end && *at != '\r') {
        const char *stop = field_end(p->msg, at, end);
        if (stop >= end)
            break;
        add_field(p, at, stop);
        at = stop + 2;
    }

    if (scan_at_crlf(at, end)) {
        p->msg->head_end = (uint16_t)(at + 2 - p->begin);
        return;
    }
    fault(p->msg, 400, "Header Section Not Ended");
    p->msg->head_end = (uint16_t)(end - p->begin);
}

/* --- What the parts must be together --------------------------------------------------------- */

/** No header has more values than bytes and fields: nearly all need no look. */
static inline bool may_have_more(const struct sip_msg *msg, enum sip_field_id id, unsigned max)
{
    unsigned bytes = 0;

    for (unsigned at = msg->first[id]; at != 0; at = msg->fields[at - 1].next)
        bytes += 1u + msg->fields[at - 1].value_end - msg->fields[at - 1].value_begin;
    return bytes > max;
}

/** Counts commas first: they are seldom in quotes, and seldom many. */
static bool has_more_values(const struct sip_msg *msg, enum sip_field_id id, unsigned max)
{
    unsigned count = 0;

    if (!may_have_more(msg, id, max))
        return false;
    for (const struct sip_field *f = sip_field_first(msg, id); f; f = sip_field_next(msg, f)) {
        struct slice rest = sip_field_value(msg, f);
        for (size_t comma = slice_find(rest, ','); comma != SIZE_MAX; count++) {
            rest = slice_from(rest, comma + 1);
            comma = slice_find(rest, ',');
        }
        count++;
    }
    if (count <= max)
        return false;

    struct sip_values it = sip_values(msg, id);
    struct slice value;
    for (count = 0; count <= max && sip_values_next(&it, &value);)
        count++;
    return count > max;
}

static void check_limits(struct sip_msg *msg)
{
    if (has_more_values(msg, SIP_F_VIA, SIP_VIAS_MAX))
        fault(msg, 400, "Too Many Via Values");
    if (has_more_values(msg, SIP_F_ROUTE, SIP_ROUTES_MAX))
        fault(msg, 400, "Too Many Route Values");
    if (has_more_values(msg, SIP_F_RECORD_ROUTE, SIP_ROUTES_MAX))
        fault(msg, 400, "Too Many Record-Route Values");
    if (msg->method == SIP_REGISTER && has_more_values(msg, SIP_F_CONTACT, SIP_CONTACTS_MAX))
        fault(msg, 400, "Too Many Contacts");
}

/** What every message must have (RFC 3261 §8.1.1); Max-Forwards may be missing (RFC 2543). */
static void check_mandatory(struct sip_msg *msg)
{
    if (msg->first[SIP_F_VIA] == 0)
        fault(msg, 400, "Missing Via");
    if (msg->first[SIP_F_FROM] == 0)
        fault(msg, 400, "Missing From");
    if (msg->first[SIP_F_TO] == 0)
        fault(msg, 400, "Missing To");
    if (msg->first[SIP_F_CALL_ID] == 0)
        fault(msg, 400, "Missing Call-ID");
    if (msg->first[SIP_F_CSEQ] == 0)
        fault(msg, 400, "Missing CSeq");
    if (msg->is_request && msg->fault.status == 0 &&
        !slice_equal(msg->cseq.method_name, msg->method_name))
        fault(msg, 400, "CSeq Method Mismatch"); /* §8.1.1.5 */
}

/** Finds the body (RFC 3261 §18.3) and cuts off what lies behind it. */
static void take_body(struct parser *p, enum sip_framing framing)
{
    struct sip_msg *msg = p->msg;
    size_t present = (size_t)(p->end - p->begin) - msg->head_end;

    if (framing == SIP_STREAM && msg->content_length < 0)
        fault(msg, 400, "Missing Content-Length");
    if (framing == SIP_STREAM && msg->content_length > SIP_MESSAGE_MAX - (int64_t)msg->head_end)
        fault(msg, 513, "Message Too Large"); /* the rest of it was not read */
    if (msg->content_length > (int64_t)present)
        fault(msg, 400, "Content-Length Too Large");
    else if (msg->content_length >= 0)
        present = (size_t)msg->content_length;

    msg->buf = (struct slice){p->begin, msg->head_end + present};
    msg->body = slice_from(msg->buf, msg->head_end);
}

enum err sip_parse(struct slice bytes, enum sip_framing framing, struct sip_msg *out)
{
    struct lex lex = lex_over(bytes);
    while (!lex_end(&lex) && (*lex.at == '\r' || *lex.at == '\n')) /* §7.5 */
        lex.at++;

    struct parser p = {.msg = out, .begin = lex.at, .at = lex.at, .end = lex.end};
    memset(out, 0, offsetof(struct sip_msg, fields));
    out->max_forwards = -1;
    out->content_length = -1;
    if (p.end - p.begin > SIP_MESSAGE_MAX) {
        fault(out, 513, "Message Too Large");
        p.end = p.begin + SIP_MESSAGE_MAX;
    }

    if (start_line(&p))
        return ERR_SYNTAX;
    header_fields(&p);
    take_body(&p, framing);
    check_mandatory(out);
    check_limits(out);
    if (out->is_request)
        return OK;

    out->method = out->cseq.method;
    out->method_name = out->cseq.method_name;
    return out->fault.status == 0 ? OK : ERR_SYNTAX;
}

/* --- Asking ---------------------------------------------------------------------------------- */

const struct sip_field *sip_field_first(const struct sip_msg *msg, enum sip_field_id id)
{
    assert(id < SIP_F_COUNT);
    return msg->first[id] != 0 ? &msg->fields[msg->first[id] - 1] : NULL;
}

const struct sip_field *sip_field_next(const struct sip_msg *msg, const struct sip_field *field)
{
    return field->next != 0 ? &msg->fields[field->next - 1] : NULL;
}

struct slice sip_field_value(const struct sip_msg *msg, const struct sip_field *field)
{
    assert(field->value_begin <= field->value_end);
    assert(field->value_end <= msg->buf.len || msg->buf.len == 0);
    return slice_between(msg->buf.data + field->value_begin, msg->buf.data + field->value_end);
}

void sip_add_fields(struct builder *b, const struct sip_msg *msg, enum sip_field_id id)
{
    for (const struct sip_field *f = sip_field_first(msg, id); f; f = sip_field_next(msg, f))
        builder_add(b, sip_field_line(msg, f));
}

void sip_add_first_field(struct builder *b, const struct sip_msg *msg, enum sip_field_id id)
{
    const struct sip_field *field = sip_field_first(msg, id);
    if (field != NULL)
        builder_add(b, sip_field_line(msg, field));
}

struct slice sip_value(const struct sip_msg *msg, enum sip_field_id id)
{
    const struct sip_field *field = sip_field_first(msg, id);
    return field != NULL ? sip_field_value(msg, field) : SLICE_EMPTY;
}

struct sip_values sip_values(const struct sip_msg *msg, enum sip_field_id id)
{
    struct sip_values it = {.msg = msg, .field = sip_field_first(msg, id)};
    if (it.field != NULL)
        it.rest = sip_field_value(msg, it.field);
    return it;
}

bool sip_values_next(struct sip_values *it, struct slice *out)
{
    while (it->field != NULL) {
        if (sip_list_next(&it->rest, out)) {
            it->started = true;
            return true;
        }
        const struct sip_field *next = sip_field_next(it->msg, it->field);
        if (next == NULL)
            return false;
        it->field = next;
        it->rest = sip_field_value(it->msg, next);
        it->started = false;
    }
    return false;
}

bool sip_has_token(const struct sip_msg *msg, enum sip_field_id id, struct slice token)
{
    struct sip_values it = sip_values(msg, id);
    struct slice value;

    while (sip_values_next(&it, &value))
        if (slice_equal_nocase(value, token))
            return true;
    return false;
}
