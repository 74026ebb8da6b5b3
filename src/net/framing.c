/* SPDX-License-Identifier: Apache-2.0 */
#include "net/framing.h"

/* Cuts a line off the front, its end included. `*text` has at least one line. */
static struct slice take_line(struct slice *text)
{
    size_t end = slice_find(*text, '\n');
    return slice_take(text, end == SIZE_MAX ? text->len : end + 1);
}

static bool begins_folded(struct slice text)
{
    return text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t');
}

/* A header field from its first line up to the next one: folded lines belong to it (§7.3.1). */
static struct slice take_field(struct slice *text)
{
    struct slice field = take_line(text);
    while (begins_folded(*text))
        field.len += take_line(text).len;
    return field;
}

/* 1*DIGIT. False: anything else, or more than any message may have. */
static bool parse_length(struct slice value, size_t *out)
{
    size_t number = 0;

    if (value.len == 0)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
        number = number * 10 + (size_t)(value.data[i] - '0');
        if (number > UINT32_MAX)
            number = UINT32_MAX; /* too long it stays, whatever follows */
    }
    *out = number;
    return true;
}

/*
 * The Content-Length of a header section (§20.14), in full or compact form. False: it is
 * missing, malformed, or there twice: on a stream each of them means that we are lost.
 */
static bool find_length(struct slice head, size_t *out)
{
    struct slice rest = head;
    bool found = false;

    take_line(&rest); /* the start line */
    while (rest.len > 0) {
        struct slice field = take_field(&rest);
        size_t colon = slice_find(field, ':');
        if (colon == SIZE_MAX)
            continue;
        struct slice name = slice_trim((struct slice){field.data, colon});
        if (!slice_equal_nocase(name, SLICE("Content-Length")) &&
            !slice_equal_nocase(name, SLICE("l")))
            continue;
        if (found || !parse_length(slice_trim(slice_from(field, colon + 1)), out))
            return false;
        found = true;
    }
    return found;
}

/* The bytes up to and with the first CRLFCRLF; 0: it is not there yet. */
static size_t find_head(struct framing *framing, struct slice input)
{
    size_t at = framing->scanned;

    while (at < input.len) {
        const char *found = memchr(input.data + at, '\n', input.len - at);
        if (found == NULL)
            break;
        at = (size_t)(found - input.data) + 1;
        if (at >= 4 && memcmp(input.data + at - 4, "\r\n\r\n", 4) == 0)
            return at;
    }
    framing->scanned = input.len;
    return 0;
}

/* Line ends between messages. False: a message begins here. */
static bool between_messages(struct framing *framing, struct slice input, enum framing_kind *kind,
                             size_t *len)
{
    *len = 0;
    *kind = FRAMING_MORE;
    if (input.len == 0 || (input.data[0] == '\r' && input.len == 1))
        return true;
    if (slice_starts_with(input, SLICE("\r\n"))) {
        *len = 2;
        *kind = framing->half_ping ? FRAMING_PING : FRAMING_SKIP;
        framing->half_ping = !framing->half_ping;
        return true;
    }
    framing->half_ping = false;
    if (input.data[0] == '\r') {
        *kind = FRAMING_BROKEN;
        return true;
    }
    if (input.data[0] == '\n') {
        *len = 1;
        *kind = FRAMING_SKIP;
        return true;
    }
    return false;
}

enum framing_kind framing_next(struct framing *framing, struct slice input, size_t *len)
{
    enum framing_kind kind;

    if (framing->scanned == 0 && between_messages(framing, input, &kind, len))
        return kind;
    *len = 0;
    if (framing->message_len == 0) {
        size_t head_len = find_head(framing, input);
        size_t body_len;
        if (head_len == 0 && input.len <= FRAMING_MESSAGE_MAX)
            return FRAMING_MORE;
        *len = head_len != 0 ? head_len : input.len;
        if (*len > FRAMING_MESSAGE_MAX)
            return FRAMING_TOO_LONG;
        if (!find_length((struct slice){input.data, head_len}, &body_len))
            return FRAMING_BROKEN;
        if (body_len > FRAMING_MESSAGE_MAX - head_len)
            return FRAMING_TOO_LONG;
        framing->message_len = head_len + body_len;
        framing->scanned = head_len;
        *len = 0;
    }
    if (input.len < framing->message_len)
        return FRAMING_MORE;
    *len = framing->message_len;
    *framing = (struct framing){0};
    return FRAMING_MESSAGE;
}
