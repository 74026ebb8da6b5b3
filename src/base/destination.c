/* SPDX-License-Identifier: Apache-2.0 */
#include "base/destination.h"

#include "base/text.h"

enum {
    REPLY_DIGITS = 3,
    SLIPS_MAX = 2 /* in a word that was meant */
};

/* The words before the colon. */
static const struct slice words[] = {
    [DESTINATION_USER] = {"user", 4},         [DESTINATION_DEPARTMENT] = {"department", 10},
    [DESTINATION_LOCATION] = {"location", 8}, [DESTINATION_NUMBER] = {"number", 6},
    [DESTINATION_TRUNK] = {"trunk", 5},       [DESTINATION_URI] = {"sip", 3},
    [DESTINATION_REPLY] = {"reply", 5},
};

static const struct slice nearest_location = {"nearest", 7};

static enum err wrong(struct destination_problem *problem, const char *what)
{
    *problem = (struct destination_problem){.what = what};
    return ERR_SYNTAX;
}

/* As far as that can be seen without the grammar of URIs: visible ASCII, and a host. */
static bool is_uri(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~' || slice_find(SLICE("<>\""), s.data[i]) != SIZE_MAX)
            return false;
    char last = s.len > 0 ? s.data[s.len - 1] : ':';
    return s.len <= DESTINATION_URI_MAX && last != ':' && last != '@';
}

static enum err read_reply(struct slice rest, struct destination *out,
                           struct destination_problem *problem)
{
    unsigned code = 0;

    for (size_t i = 0; i < rest.len && rest.len == REPLY_DIGITS; i++)
        code = ascii_is_digit(rest.data[i]) ? code * 10 + (unsigned)(rest.data[i] - '0') : 0;
    if (code < DESTINATION_REPLY_MIN || code > DESTINATION_REPLY_MAX)
        return wrong(problem, "is not a reply from reply:300 to reply:699");
    out->reply = (uint16_t)code;
    return OK;
}

static enum err read_rest(struct slice text, struct slice rest, struct destination *out,
                          struct destination_problem *problem)
{
    out->name = rest;
    switch (out->kind) {
    case DESTINATION_USER:
    case DESTINATION_DEPARTMENT:
    case DESTINATION_TRUNK:
        return text_is_name(rest, DESTINATION_NAME_MAX)
                   ? OK
                   : wrong(problem, "has no name behind the colon");
    case DESTINATION_LOCATION:
        if (!slice_equal(rest, nearest_location))
            return text_is_name(rest, DESTINATION_NAME_MAX)
                       ? OK
                       : wrong(problem, "has no name behind the colon");
        out->kind = DESTINATION_NEAREST;
        out->name = SLICE_EMPTY;
        return OK;
    case DESTINATION_NUMBER:
        return text_is_number(rest) ? OK
                                    : wrong(problem, "is not a number such as number:+15105550101");
    case DESTINATION_URI:
        out->name = text;
        return is_uri(text) ? OK : wrong(problem, "is not a SIP URI such as sip:ivr@192.0.2.5");
    case DESTINATION_REPLY:
        out->name = SLICE_EMPTY;
        return read_reply(rest, out, problem);
    case DESTINATION_NEAREST:
        break;
    }
    return ERR_SYNTAX;
}

static struct slice nearest_word(struct slice word)
{
    struct slice nearest = SLICE_EMPTY;
    unsigned least = SLIPS_MAX + 1;

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        unsigned slips = words[i].len > 0 ? text_distance(word, words[i], SLIPS_MAX) : least;
        if (slips < least) {
            least = slips;
            nearest = words[i];
        }
    }
    return nearest;
}

enum err destination_parse(struct slice text, struct destination *out,
                           struct destination_problem *problem)
{
    struct destination read = {0};
    size_t colon = slice_find(text, ':');
    struct slice word = {text.data, colon < text.len ? colon : text.len};

    for (size_t i = 0; i < COUNT_OF(words) && read.kind == 0; i++)
        if (words[i].len > 0 && slice_equal(word, words[i]))
            read.kind = (enum destination_kind)i;
    if (slice_equal(word, SLICE("sips")))
        read.kind = DESTINATION_URI;
    if (read.kind == 0 || colon >= text.len) {
        (void)wrong(problem, "is not a destination: user:, department:, location:, number:, "
                             "trunk:, sip: or reply:");
        problem->nearest = nearest_word(word);
        return ERR_SYNTAX;
    }
    enum err err = read_rest(text, slice_from(text, colon + 1), &read, problem);
    if (err == OK)
        *out = read;
    return err;
}

void destination_write(struct builder *b, const struct destination *destination)
{
    if (destination->kind == DESTINATION_URI) {
        builder_add(b, destination->name);
        return;
    }
    bool nearest = destination->kind == DESTINATION_NEAREST;
    builder_add(b, words[nearest ? DESTINATION_LOCATION : destination->kind]);
    builder_char(b, ':');
    if (destination->kind == DESTINATION_REPLY)
        builder_u64(b, destination->reply);
    else
        builder_add(b, nearest ? nearest_location : destination->name);
}

bool destination_equal(const struct destination *a, const struct destination *b)
{
    return a->kind == b->kind && a->reply == b->reply && slice_equal(a->name, b->name);
}
