/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/reply.h"

#include "sip/lex.h"
#include "sip/oc.h"

struct phrase {
    uint16_t status;
    const char *text;
};

/* RFC 3261 §21 and the RFCs named. */
// clang-format off
static const struct phrase phrases[] = {
    {100, "Trying"},
    {180, "Ringing"},
    {181, "Call Is Being Forwarded"},
    {182, "Queued"},
    {183, "Session Progress"},
    {199, "Early Dialog Terminated"},         /* RFC 6228 */
    {200, "OK"},
    {202, "Accepted"},                        /* RFC 3265 */
    {204, "No Notification"},                 /* RFC 5839 */
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Moved Temporarily"},
    {305, "Use Proxy"},
    {380, "Alternative Service"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {410, "Gone"},
    {412, "Conditional Request Failed"},      /* RFC 3903 */
    {413, "Request Entity Too Large"},
    {414, "Request-URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Unsupported URI Scheme"},
    {417, "Unknown Resource-Priority"},       /* RFC 4412 */
    {420, "Bad Extension"},
    {421, "Extension Required"},
    {422, "Session Interval Too Small"},      /* RFC 4028 */
    {423, "Interval Too Brief"},
    {424, "Bad Location Information"},        /* RFC 6442 */
    {428, "Use Identity Header"},             /* RFC 8224 */
    {429, "Provide Referrer Identity"},       /* RFC 3892 */
    {430, "Flow Failed"},                     /* RFC 5626 */
    {433, "Anonymity Disallowed"},            /* RFC 5079 */
    {436, "Bad Identity Info"},               /* RFC 8224 */
    {437, "Unsupported Credential"},          /* RFC 8224 */
    {438, "Invalid Identity Header"},         /* RFC 8224 */
    {439, "First Hop Lacks Outbound Support"}, /* RFC 5626 */
    {440, "Max-Breadth Exceeded"},            /* RFC 5393 */
    {469, "Bad Info Package"},                /* RFC 6086 */
    {470, "Consent Needed"},                  /* RFC 5360 */
    {480, "Temporarily Unavailable"},
    {481, "Call/Transaction Does Not Exist"},
    {482, "Loop Detected"},
    {483, "Too Many Hops"},
    {484, "Address Incomplete"},
    {485, "Ambiguous"},
    {486, "Busy Here"},
    {487, "Request Terminated"},
    {488, "Not Acceptable Here"},
    {489, "Bad Event"},                       /* RFC 6665 */
    {491, "Request Pending"},
    {493, "Undecipherable"},
    {494, "Security Agreement Required"},     /* RFC 3329 */
    {500, "Server Internal Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Server Time-out"},
    {505, "Version Not Supported"},
    {513, "Message Too Large"},
    {555, "Push Notification Service Not Supported"}, /* RFC 8599 */
    {580, "Precondition Failure"},            /* RFC 3312 */
    {600, "Busy Everywhere"},
    {603, "Decline"},
    {604, "Does Not Exist Anywhere"},
    {606, "Not Acceptable"},
    {607, "Unwanted"},                        /* RFC 8197 */
    {608, "Rejected"},                        /* RFC 8688 */
};
// clang-format on

const char *sip_reason(unsigned status)
{
    size_t low = 0;
    size_t high = COUNT_OF(phrases);

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (phrases[middle].status == status)
            return phrases[middle].text;
        if (phrases[middle].status < status)
            low = middle + 1;
        else
            high = middle;
    }
    return "Unknown";
}

static void add_number(struct builder *b, unsigned number)
{
    builder_u64(b, number);
}

/**
 * The top Via's parameters, with received and rport as they are now (RFC 3261 §18.2.1,
 * RFC 3581 §4). What stands there of the two is replaced.
 */
static void add_via_params(struct builder *b, const struct sip_via *via,
                           const struct sip_reply *reply)
{
    struct slice rest = via->params;
    const char *kept = via->params.data;
    struct sip_param param;

    if (reply->rport != 0 && sip_via_is_plain(via)) {
        builder_add(b, rest);
        builder_char(b, '=');
        add_number(b, reply->rport);
        rest = slice_from(rest, rest.len);
        kept = rest.data;
    }
    for (;;) {
        const char *begin = rest.data;
        if (sip_param_next(&rest, &param))
            break;
        bool is_received = reply->received.len > 0 && LEX_SAME(param.name, "received");
        bool is_rport = reply->rport != 0 && LEX_SAME(param.name, "rport");
        bool is_oc = reply->oc.len > 0 && via->has_oc && sip_oc_is_param(param.name);
        if (!is_received && !is_rport && !is_oc)
            continue;
        builder_add(b, slice_between(kept, begin));
        kept = rest.data;
        if (is_rport) {
            builder_text(b, ";rport=");
            add_number(b, reply->rport);
        }
    }
    builder_add(b, slice_trim(slice_between(kept, via->params.data + via->params.len)));
    if (reply->received.len > 0) {
        builder_text(b, ";received=");
        builder_add(b, reply->received);
    }
    if (via->has_oc)
        builder_add(b, reply->oc);
}

/** All Vias in order (RFC 3261 §8.2.6.2), the top one completed. */
static void add_vias(struct builder *b, const struct sip_msg *msg, const struct sip_reply *reply)
{
    const struct sip_field *top = sip_field_first(msg, SIP_F_VIA);
    bool completes = reply->received.len > 0 || (reply->rport != 0 && msg->via.has_rport) ||
                     (reply->oc.len > 0 && msg->via.has_oc);

    if (top == NULL || msg->via_value.len == 0 || !completes) {
        sip_add_fields(b, msg, SIP_F_VIA);
        return;
    }
    const char *params = msg->via.params.data;
    builder_add(b, slice_trim(slice_between(msg->buf.data + top->begin, params)));
    add_via_params(b, &msg->via, reply);
    builder_add(b, slice_between(params + msg->via.params.len, msg->buf.data + top->end));
    for (const struct sip_field *f = sip_field_next(msg, top); f; f = sip_field_next(msg, f))
        builder_add(b, sip_field_line(msg, f));
}

/** To, with our tag when it has none. */
static void add_to(struct builder *b, const struct sip_msg *msg, struct slice tag)
{
    const struct sip_field *to = sip_field_first(msg, SIP_F_TO);

    if (to == NULL)
        return;
    if (tag.len == 0 || msg->to.tag.len > 0) {
        builder_add(b, sip_field_line(msg, to));
        return;
    }
    builder_add(b, slice_between(msg->buf.data + to->begin, msg->buf.data + to->value_end));
    builder_text(b, ";tag=");
    builder_add(b, tag);
    builder_text(b, "\r\n");
}

static void add_status_line(struct builder *b, const struct sip_reply *reply)
{
    assert(reply->status >= 100 && reply->status <= 699);

    builder_text(b, "SIP/2.0 ");
    add_number(b, reply->status);
    builder_char(b, ' ');
    builder_add(b, reply->reason.len > 0 ? reply->reason : slice_of(sip_reason(reply->status)));
    builder_text(b, "\r\n");
}

static void add_body(struct builder *b, struct slice body)
{
    builder_text(b, "Content-Length: ");
    builder_u64(b, body.len);
    builder_text(b, "\r\n\r\n");
    builder_add(b, body);
}

enum err sip_reply_write(const struct sip_msg *request, const struct sip_reply *reply,
                         struct builder *b)
{
    add_status_line(b, reply);
    add_vias(b, request, reply);
    if (reply->with_record_route)
        sip_add_fields(b, request, SIP_F_RECORD_ROUTE);
    sip_add_first_field(b, request, SIP_F_FROM);
    add_to(b, request, reply->to_tag);
    sip_add_first_field(b, request, SIP_F_CALL_ID);
    sip_add_first_field(b, request, SIP_F_CSEQ);
    if (reply->status == 100)
        sip_add_first_field(b, request, SIP_F_TIMESTAMP); /* §8.2.6.1 */
    builder_add(b, reply->fields);
    add_body(b, reply->body);
    return b->overflow ? ERR_TOO_BIG : OK;
}

static void add_line(struct builder *b, struct slice name, struct slice value)
{
    builder_add(b, name);
    builder_add(b, value);
    builder_text(b, "\r\n");
}

/** What CANCEL and ACK share (RFC 3261 §9.1, §17.1.1.3). */
static enum err write_like(const struct sip_msg *invite, struct slice method, struct slice to,
                           struct slice fields, struct builder *b)
{
    builder_add(b, method);
    builder_char(b, ' ');
    builder_add(b, invite->uri);
    builder_text(b, " SIP/2.0\r\n");
    add_line(b, SLICE("Via: "), invite->via_value);
    sip_add_fields(b, invite, SIP_F_ROUTE);
    builder_text(b, "Max-Forwards: 70\r\n");
    sip_add_first_field(b, invite, SIP_F_FROM);
    add_line(b, SLICE("To: "), to);
    sip_add_first_field(b, invite, SIP_F_CALL_ID);
    builder_text(b, "CSeq: ");
    add_number(b, invite->cseq.number);
    builder_char(b, ' ');
    add_line(b, method, SLICE_EMPTY);
    builder_add(b, fields);
    add_body(b, SLICE_EMPTY);
    return b->overflow ? ERR_TOO_BIG : OK;
}

enum err sip_cancel_write(const struct sip_msg *invite, struct slice fields, struct builder *b)
{
    return write_like(invite, SLICE("CANCEL"), invite->to.value, fields, b);
}

enum err sip_ack_write(const struct sip_msg *invite, struct slice response_to, struct builder *b)
{
    return write_like(invite, SLICE("ACK"), response_to, SLICE_EMPTY, b);
}
