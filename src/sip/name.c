/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names we have a number for: header fields (full and compact, RFC 3261 §7.3.3 and the RFCs
 * that added some) and methods.
 */
#include "sip/lex.h"
#include "sip/msg.h"

enum {
    NAME_MAX_LEN = 24
};

/** Zero-padded, so that names are compared by words. */
struct name {
    char text[NAME_MAX_LEN];
    uint8_t len;
    uint8_t id;
};

#define NAME(text, id)                                                                             \
    {                                                                                              \
        text, sizeof(text) - 1, id                                                                 \
    }

/* By length, in it the frequent ones first. */
// clang-format off
static const struct name names[] = {
    NAME("v", SIP_F_VIA),
    NAME("f", SIP_F_FROM),
    NAME("t", SIP_F_TO),
    NAME("i", SIP_F_CALL_ID),
    NAME("m", SIP_F_CONTACT),
    NAME("l", SIP_F_CONTENT_LENGTH),
    NAME("c", SIP_F_CONTENT_TYPE),
    NAME("k", SIP_F_SUPPORTED),
    NAME("s", SIP_F_SUBJECT),
    NAME("e", SIP_F_CONTENT_ENCODING),
    NAME("o", SIP_F_EVENT),             /* RFC 6665 §8.4 */
    NAME("u", SIP_F_ALLOW_EVENTS),      /* RFC 6665 §8.4 */
    NAME("r", SIP_F_REFER_TO),          /* RFC 3515 §2.1 */
    NAME("b", SIP_F_REFERRED_BY),       /* RFC 3892 §2.1 */
    NAME("x", SIP_F_SESSION_EXPIRES),   /* RFC 4028 §4 */
    NAME("y", SIP_F_IDENTITY),          /* RFC 8224 §4 */
    NAME("To", SIP_F_TO),
    NAME("Via", SIP_F_VIA),
    NAME("From", SIP_F_FROM),
    NAME("CSeq", SIP_F_CSEQ),
    NAME("Path", SIP_F_PATH),
    NAME("Date", SIP_F_DATE),
    NAME("RSeq", SIP_F_RSEQ),
    NAME("RAck", SIP_F_RACK),
    NAME("Route", SIP_F_ROUTE),
    NAME("Allow", SIP_F_ALLOW),
    NAME("Event", SIP_F_EVENT),
    NAME("Accept", SIP_F_ACCEPT),
    NAME("Server", SIP_F_SERVER),
    NAME("Reason", SIP_F_REASON),
    NAME("Min-SE", SIP_F_MIN_SE),
    NAME("Call-ID", SIP_F_CALL_ID),
    NAME("Contact", SIP_F_CONTACT),
    NAME("Expires", SIP_F_EXPIRES),
    NAME("Require", SIP_F_REQUIRE),
    NAME("Warning", SIP_F_WARNING),
    NAME("Subject", SIP_F_SUBJECT),
    NAME("Privacy", SIP_F_PRIVACY),
    NAME("Identity", SIP_F_IDENTITY),
    NAME("Refer-To", SIP_F_REFER_TO),
    NAME("Replaces", SIP_F_REPLACES),
    NAME("SIP-ETag", SIP_F_SIP_ETAG),
    NAME("Supported", SIP_F_SUPPORTED),
    NAME("Timestamp", SIP_F_TIMESTAMP),
    NAME("User-Agent", SIP_F_USER_AGENT),
    NAME("Unsupported", SIP_F_UNSUPPORTED),
    NAME("Max-Breadth", SIP_F_MAX_BREADTH),
    NAME("Min-Expires", SIP_F_MIN_EXPIRES),
    NAME("Retry-After", SIP_F_RETRY_AFTER),
    NAME("Referred-By", SIP_F_REFERRED_BY),
    NAME("Max-Forwards", SIP_F_MAX_FORWARDS),
    NAME("Content-Type", SIP_F_CONTENT_TYPE),
    NAME("Record-Route", SIP_F_RECORD_ROUTE),
    NAME("Allow-Events", SIP_F_ALLOW_EVENTS),
    NAME("SIP-If-Match", SIP_F_SIP_IF_MATCH),
    NAME("MIME-Version", SIP_F_MIME_VERSION),
    NAME("Authorization", SIP_F_AUTHORIZATION),
    NAME("Proxy-Require", SIP_F_PROXY_REQUIRE),
    NAME("Service-Route", SIP_F_SERVICE_ROUTE),
    NAME("Content-Length", SIP_F_CONTENT_LENGTH),
    NAME("Session-Expires", SIP_F_SESSION_EXPIRES),
    NAME("Remote-Party-ID", SIP_F_REMOTE_PARTY_ID),
    NAME("WWW-Authenticate", SIP_F_WWW_AUTHENTICATE),
    NAME("Content-Encoding", SIP_F_CONTENT_ENCODING),
    NAME("Proxy-Authenticate", SIP_F_PROXY_AUTHENTICATE),
    NAME("Subscription-State", SIP_F_SUBSCRIPTION_STATE),
    NAME("Proxy-Authorization", SIP_F_PROXY_AUTHORIZATION),
    NAME("Authentication-Info", SIP_F_AUTHENTICATION_INFO),
    NAME("P-Asserted-Identity", SIP_F_P_ASSERTED_IDENTITY),
    NAME("P-Preferred-Identity", SIP_F_P_PREFERRED_IDENTITY),
};

/* Where the names of a length begin; a unit test holds this against the table above. */
static const uint8_t first_of_length[NAME_MAX_LEN + 2] = {
    [0] = 0,   [1] = 0,   [2] = 16,  [3] = 17,  [4] = 18,  [5] = 24,  [6] = 27,  [7] = 31,
    [8] = 38,  [9] = 42,  [10] = 44, [11] = 45, [12] = 50, [13] = 56, [14] = 59, [15] = 60,
    [16] = 62, [17] = 64, [18] = 64, [19] = 66, [20] = 69, [21] = 70, [22] = 70, [23] = 70,
    [24] = 70, [25] = 70,
};

static const struct slice full_names[SIP_F_COUNT] = {
    [SIP_F_VIA] = {"Via", 3},
    [SIP_F_FROM] = {"From", 4},
    [SIP_F_TO] = {"To", 2},
    [SIP_F_CALL_ID] = {"Call-ID", 7},
    [SIP_F_CSEQ] = {"CSeq", 4},
    [SIP_F_MAX_FORWARDS] = {"Max-Forwards", 12},
    [SIP_F_CONTENT_LENGTH] = {"Content-Length", 14},
    [SIP_F_CONTACT] = {"Contact", 7},
    [SIP_F_ROUTE] = {"Route", 5},
    [SIP_F_RECORD_ROUTE] = {"Record-Route", 12},
    [SIP_F_AUTHORIZATION] = {"Authorization", 13},
    [SIP_F_PROXY_AUTHORIZATION] = {"Proxy-Authorization", 19},
    [SIP_F_WWW_AUTHENTICATE] = {"WWW-Authenticate", 16},
    [SIP_F_PROXY_AUTHENTICATE] = {"Proxy-Authenticate", 18},
    [SIP_F_AUTHENTICATION_INFO] = {"Authentication-Info", 19},
    [SIP_F_REQUIRE] = {"Require", 7},
    [SIP_F_PROXY_REQUIRE] = {"Proxy-Require", 13},
    [SIP_F_SUPPORTED] = {"Supported", 9},
    [SIP_F_UNSUPPORTED] = {"Unsupported", 11},
    [SIP_F_EXPIRES] = {"Expires", 7},
    [SIP_F_MIN_EXPIRES] = {"Min-Expires", 11},
    [SIP_F_PATH] = {"Path", 4},
    [SIP_F_SERVICE_ROUTE] = {"Service-Route", 13},
    [SIP_F_EVENT] = {"Event", 5},
    [SIP_F_ALLOW_EVENTS] = {"Allow-Events", 12},
    [SIP_F_ALLOW] = {"Allow", 5},
    [SIP_F_ACCEPT] = {"Accept", 6},
    [SIP_F_CONTENT_TYPE] = {"Content-Type", 12},
    [SIP_F_DATE] = {"Date", 4},
    [SIP_F_TIMESTAMP] = {"Timestamp", 9},
    [SIP_F_USER_AGENT] = {"User-Agent", 10},
    [SIP_F_SERVER] = {"Server", 6},
    [SIP_F_MAX_BREADTH] = {"Max-Breadth", 11},
    [SIP_F_REASON] = {"Reason", 6},
    [SIP_F_RETRY_AFTER] = {"Retry-After", 11},
    [SIP_F_WARNING] = {"Warning", 7},
    [SIP_F_RACK] = {"RAck", 4},
    [SIP_F_RSEQ] = {"RSeq", 4},
    [SIP_F_REFER_TO] = {"Refer-To", 8},
    [SIP_F_REPLACES] = {"Replaces", 8},
    [SIP_F_SESSION_EXPIRES] = {"Session-Expires", 15},
    [SIP_F_MIN_SE] = {"Min-SE", 6},
    [SIP_F_P_ASSERTED_IDENTITY] = {"P-Asserted-Identity", 19},
    [SIP_F_P_PREFERRED_IDENTITY] = {"P-Preferred-Identity", 20},
    [SIP_F_REMOTE_PARTY_ID] = {"Remote-Party-ID", 15},
    [SIP_F_PRIVACY] = {"Privacy", 7},
    [SIP_F_IDENTITY] = {"Identity", 8},
    [SIP_F_SUBJECT] = {"Subject", 7},
    [SIP_F_CONTENT_ENCODING] = {"Content-Encoding", 16},
    [SIP_F_REFERRED_BY] = {"Referred-By", 11},
    [SIP_F_SUBSCRIPTION_STATE] = {"Subscription-State", 18},
    [SIP_F_SIP_ETAG] = {"SIP-ETag", 8},
    [SIP_F_SIP_IF_MATCH] = {"SIP-If-Match", 12},
    [SIP_F_MIME_VERSION] = {"MIME-Version", 12},
};

static const struct slice method_names[SIP_METHOD_COUNT] = {
    [SIP_METHOD_OTHER] = {"?", 1},
    [SIP_INVITE] = {"INVITE", 6},
    [SIP_ACK] = {"ACK", 3},
    [SIP_BYE] = {"BYE", 3},
    [SIP_CANCEL] = {"CANCEL", 6},
    [SIP_OPTIONS] = {"OPTIONS", 7},
    [SIP_REGISTER] = {"REGISTER", 8},
    [SIP_PRACK] = {"PRACK", 5},
    [SIP_UPDATE] = {"UPDATE", 6},
    [SIP_SUBSCRIBE] = {"SUBSCRIBE", 9},
    [SIP_NOTIFY] = {"NOTIFY", 6},
    [SIP_PUBLISH] = {"PUBLISH", 7},
    [SIP_INFO] = {"INFO", 4},
    [SIP_REFER] = {"REFER", 5},
    [SIP_MESSAGE] = {"MESSAGE", 7},
};
// clang-format on

/* The mask of a name's letters: where there is none, 0; else all but the bit that tells
 * upper from lower case. The mask of a name of n bytes begins n bytes before the middle. */
#define MASK_8 "\xdf\xdf\xdf\xdf\xdf\xdf\xdf\xdf"
static const char masks[2 * NAME_MAX_LEN + 1] = MASK_8 MASK_8 MASK_8;

/** Bytes 8 to 23 of two names are the same under the mask. */
static bool same_tail(const char *a, const char *b, const char *mask)
{
    return (((lex_word(a + 8, 8) ^ lex_word(b + 8, 8)) & lex_word(mask + 8, 8)) |
            ((lex_word(a + 16, 8) ^ lex_word(b + 16, 8)) & lex_word(mask + 16, 8))) == 0;
}

/** The id of a name of `len` bytes that lies at the front of at least NAME_MAX_LEN. */
static enum sip_field_id find_name(const char *data, size_t len)
{
    const char *mask = masks + NAME_MAX_LEN - len;
    uint64_t mask_0 = lex_word(mask, 8);
    uint64_t word_0 = lex_word(data, 8);
    const struct name *end = &names[first_of_length[len + 1]];

    for (const struct name *known = &names[first_of_length[len]]; known < end; known++) {
        if (((word_0 ^ lex_word(known->text, 8)) & mask_0) != 0)
            continue;
        if (len <= 8 || same_tail(data, known->text, mask))
            return (enum sip_field_id)known->id;
    }
    return SIP_F_OTHER;
}

/**
 * Compares by words of eight bytes, without the bit of the case. Of the bytes that are no
 * letters, only CR is that one bit from '-', and a bare CR is a fault anyway (msg.c).
 */
enum sip_field_id lex_field_id(struct slice name, const char *limit)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return SIP_F_OTHER;
    if (limit - name.data >= NAME_MAX_LEN)
        return find_name(name.data, name.len);
    return sip_field_id(name);
}

enum sip_field_id sip_field_id(struct slice name)
{
    char padded[NAME_MAX_LEN] = {0};

    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return SIP_F_OTHER;
    memcpy(padded, name.data, name.len);
    return find_name(padded, name.len);
}

struct slice sip_field_name(enum sip_field_id id)
{
    return id < SIP_F_COUNT ? full_names[id] : SLICE_EMPTY;
}

struct slice sip_method_name(enum sip_method method)
{
    assert(method < SIP_METHOD_COUNT);
    return method_names[method];
}

#define METHOD_IF(name, method)                                                                    \
    if (slice_equal((name), method_names[method]))                                                 \
    return (method)

enum sip_method sip_method_parse(struct slice name)
{
    switch (name.len) {
    case 3:
        METHOD_IF(name, SIP_ACK);
        METHOD_IF(name, SIP_BYE);
        break;
    case 4:
        METHOD_IF(name, SIP_INFO);
        break;
    case 5:
        METHOD_IF(name, SIP_PRACK);
        METHOD_IF(name, SIP_REFER);
        break;
    case 6:
        METHOD_IF(name, SIP_INVITE);
        METHOD_IF(name, SIP_CANCEL);
        METHOD_IF(name, SIP_UPDATE);
        METHOD_IF(name, SIP_NOTIFY);
        break;
    case 7:
        METHOD_IF(name, SIP_OPTIONS);
        METHOD_IF(name, SIP_MESSAGE);
        METHOD_IF(name, SIP_PUBLISH);
        break;
    case 8:
        METHOD_IF(name, SIP_REGISTER);
        break;
    case 9:
        METHOD_IF(name, SIP_SUBSCRIBE);
        break;
    default:
        break;
    }
    return SIP_METHOD_OTHER;
}
