/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which part of a body is the session description (RFC 3261 §7.4, RFC 5621, RFC 2046 §5.1).
 */
#include "sip/sdp.h"

#include "sip/lex.h"

/** A media type: "multipart/mixed;boundary=x". */
struct media_type {
    struct slice type, subtype, params;
};

static bool read_type(struct slice value, struct media_type *out)
{
    struct lex lex = lex_over(slice_trim(value));

    if (!lex_token(&lex, &out->type) || !lex_separator(&lex, '/') ||
        !lex_token(&lex, &out->subtype))
        return false;
    lex_lws(&lex);
    out->params = slice_between(lex.at, lex.end);
    return true;
}

/** What is known of a body or a part of one. */
struct part {
    struct slice type, disposition, encoding; /* values of header fields; empty: not said */
    struct slice body;
};

struct finder {
    unsigned parts;      /* looked at so far */
    enum err err;        /* why none was found */
    struct slice *found; /* where to write */
};

static bool find_in(struct finder *finder, const struct part *part, unsigned depth);

/* ---- parts ---- */

static const char *line_end(const char *at, const char *end)
{
    const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    return stop != NULL ? stop + 1 : end;
}

/** Takes a field of a part's head off `*rest`, with the lines that continue it. False: an empty
 * line, after which the part's body begins. */
static bool next_field(struct slice *rest, struct slice *field)
{
    const char *begin = rest->data, *end = begin + rest->len;
    const char *at = line_end(begin, end);
    bool any = slice_trim(slice_between(begin, at)).len > 0;

    while (any && at < end && (*at == ' ' || *at == '\t'))
        at = line_end(at, end);
    *field = slice_trim(slice_between(begin, at));
    *rest = slice_between(at, end);
    return any;
}

/** Header fields, an empty line, the body. */
static struct part read_part(struct slice text)
{
    struct part part = {.body = text};
    struct slice field;

    while (part.body.len > 0 && next_field(&part.body, &field)) {
        size_t colon = slice_find(field, ':');
        if (colon == SIZE_MAX)
            continue;
        struct slice name = slice_trim((struct slice){field.data, colon});
        struct slice value = slice_trim(slice_from(field, colon + 1));
        if (slice_equal_nocase(name, SLICE("Content-Type")) || slice_equal_nocase(name, SLICE("c")))
            part.type = value;
        else if (slice_equal_nocase(name, SLICE("Content-Disposition")))
            part.disposition = value;
        else if (slice_equal_nocase(name, SLICE("Content-Encoding")) ||
                 slice_equal_nocase(name, SLICE("Content-Transfer-Encoding")))
            part.encoding = value;
    }
    return part;
}

/* ---- boundaries ---- */

/** The next delimiter line: "--" boundary at the beginning of a line. NULL: there is none. */
static const char *find_delimiter(struct slice text, const char *from, struct slice boundary)
{
    const char *end = text.data + text.len;

    for (const char *at = from; at < end; at++) {
        at = memmem(at, (size_t)(end - at), boundary.data, boundary.len);
        if (at == NULL)
            return NULL;
        if (at - text.data >= 2 && at[-1] == '-' && at[-2] == '-' &&
            (at - text.data == 2 || at[-3] == '\n'))
            return at - 2;
    }
    return NULL;
}

static bool read_boundary(const struct media_type *type, struct slice *out)
{
    struct sip_param param;

    if (!sip_param_find(type->params, SLICE("boundary"), &param))
        return false;
    *out = sip_unquote(param.value);
    return out->len > 0;
}

/** The text of a part, between its delimiter and the next: without the line end before that. */
static struct slice part_text(const char *begin, const char *end)
{
    if (end > begin && end[-1] == '\n')
        end--;
    if (end > begin && end[-1] == '\r')
        end--;
    return slice_between(begin, end);
}

static bool find_in_parts(struct finder *finder, const struct media_type *type, struct slice body,
                          unsigned depth)
{
    bool alternative = slice_equal_nocase(type->subtype, SLICE("alternative"));
    const char *end = body.data + body.len;
    struct slice boundary;
    bool found = false;

    finder->err = ERR_SYNTAX;
    if (!read_boundary(type, &boundary))
        return false;
    const char *at = find_delimiter(body, body.data, boundary);
    if (at != NULL)
        finder->err = ERR_NOT_FOUND;
    while (at != NULL) {
        const char *begin = at + 2 + boundary.len;
        if (end - begin >= 2 && begin[0] == '-' && begin[1] == '-')
            break; /* the last */
        const char *line = memchr(begin, '\n', (size_t)(end - begin));
        if (line == NULL)
            break;
        if (++finder->parts > SDP_PARTS_MAX) {
            finder->err = ERR_FULL;
            return found;
        }
        at = find_delimiter(body, line, boundary);
        struct part part = read_part(part_text(line + 1, at != NULL ? at : end));
        found |= find_in(finder, &part, depth + 1);
        if (found && !alternative)
            break;
    }
    return found;
}

/* ---- the body ---- */

/** Is it as it was sent, and not coded? */
static bool is_plain(struct slice encoding)
{
    return encoding.len == 0 || slice_equal_nocase(encoding, SLICE("identity")) ||
           slice_equal_nocase(encoding, SLICE("binary")) ||
           slice_equal_nocase(encoding, SLICE("8bit")) ||
           slice_equal_nocase(encoding, SLICE("7bit"));
}

/** "session" is what a description is for when nothing is said (RFC 3261 §20.11). */
static bool is_session(struct slice disposition)
{
    struct lex lex = lex_over(disposition);
    struct slice type;

    return disposition.len == 0 ||
           (lex_token(&lex, &type) && slice_equal_nocase(type, SLICE("session")));
}

static bool find_in(struct finder *finder, const struct part *part, unsigned depth)
{
    struct media_type type;

    if (!is_plain(part->encoding) || !read_type(part->type, &type))
        return false;
    if (slice_equal_nocase(type.type, SLICE("multipart")))
        return depth < SDP_DEPTH_MAX && find_in_parts(finder, &type, part->body, depth);
    if (!slice_equal_nocase(type.type, SLICE("application")) ||
        !slice_equal_nocase(type.subtype, SLICE("sdp")) || !is_session(part->disposition) ||
        part->body.len == 0)
        return false;
    *finder->found = part->body;
    return true;
}

/** The value of a header field that has no number; empty: absent. */
static struct slice value_by_name(const struct sip_msg *msg, struct slice wanted)
{
    for (unsigned i = 0; i < msg->field_count; i++) {
        const struct sip_field *field = &msg->fields[i];
        struct slice name;
        if (field->id != SIP_F_OTHER)
            continue;
        struct lex lex = lex_over(sip_field_line(msg, field));
        if (lex_token(&lex, &name) && slice_equal_nocase(name, wanted))
            return sip_field_value(msg, field);
    }
    return SLICE_EMPTY;
}

enum err sdp_find(const struct sip_msg *msg, struct slice *out)
{
    struct finder finder = {.err = ERR_NOT_FOUND, .found = out};
    struct part part = {
        .type = sip_value(msg, SIP_F_CONTENT_TYPE),
        .disposition = value_by_name(msg, SLICE("Content-Disposition")),
        .encoding = sip_value(msg, SIP_F_CONTENT_ENCODING),
        .body = msg->body,
    };

    if (part.body.len == 0 || part.type.len == 0)
        return ERR_NOT_FOUND;
    if (slice_equal(part.type, SLICE("application/sdp")) && part.encoding.len == 0 &&
        part.disposition.len == 0) { /* as nearly always */
        *out = part.body;
        return OK;
    }
    return find_in(&finder, &part, 0) ? OK : finder.err;
}
