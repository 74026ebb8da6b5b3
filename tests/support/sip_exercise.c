/* SPDX-License-Identifier: Apache-2.0 */
#include "sip_exercise.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    OUT_MAX = 3 * SIP_MESSAGE_MAX
};

/* Too big for a stack under sanitizers; tests have one thread. */
static char out_bytes[OUT_MAX];
static struct sip_msg reparsed;

void sip_must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "sip_exercise: broken: %s\n", what);
    abort();
}

static bool inside(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

void sip_exercise_uri(struct slice text)
{
    struct sip_uri uri;
    if (sip_uri_parse(text, &uri))
        return;

    sip_must(inside(uri.user, text), "user inside the URI");
    sip_must(inside(uri.password, text), "password inside the URI");
    sip_must(inside(uri.host, text), "host inside the URI");
    sip_must(inside(uri.params, text), "parameters inside the URI");
    sip_must(inside(uri.headers, text), "headers inside the URI");
    sip_must(!uri.has_user || uri.user.len > 0, "a user is never empty");
    sip_must(sip_uri_equal(&uri, &uri), "a URI equals itself");

    struct slice value;
    sip_must(sip_uri_param(&uri, SLICE("lr"), &value) == uri.lr, "lr is found by name");
    struct addr addr;
    (void)!sip_uri_addr(&uri, 5060, &addr);

    struct builder b = builder_over(out_bytes, OUT_MAX);
    sip_must(sip_unescape(&b, uri.user) == OK, "a parsed user can be unescaped");
    sip_must(b.len <= uri.user.len, "unescaping does not grow");
    struct slice plain = builder_slice(&b);
    struct builder escaped = builder_over(out_bytes + plain.len, OUT_MAX - plain.len);
    sip_escape_user(&escaped, plain);
    struct builder again = builder_over(escaped.data + escaped.len, plain.len);
    sip_must(sip_unescape(&again, builder_slice(&escaped)) == OK, "an escaped user is well-formed");
    sip_must(slice_equal(builder_slice(&again), plain), "escaping and unescaping gives the same");
    b = builder_over(out_bytes, OUT_MAX);
    (void)!sip_number_normalize(&b, uri.user);
}

static void exercise_params(struct slice params)
{
    struct sip_param param;
    size_t before = params.len;

    while (sip_param_next(&params, &param) == OK) {
        sip_must(param.name.len > 0, "a parameter has a name");
        sip_must(params.len < before, "each parameter takes some bytes");
        before = params.len;
        (void)sip_unquote(param.value);
    }
}

static void exercise_lists(struct slice value)
{
    struct slice rest = value;
    struct slice part;
    size_t count = 0;

    while (sip_list_next(&rest, &part)) {
        sip_must(inside(part, value), "a list value lies in its list");
        sip_must(++count <= value.len + 1, "a list ends");
    }
    for (rest = value; sip_token_next(&rest, &part);)
        sip_must(part.len > 0, "a token is not empty");
}

void sip_exercise_value(struct slice value)
{
    struct sip_via via;
    if (sip_via_parse(value, &via) == OK) {
        sip_must(via.host.len > 0, "a Via has a host");
        exercise_params(via.params);
        (void)sip_branch_rfc3261(via.branch);
    }
    struct sip_name_addr addr;
    if (sip_name_addr_parse(value, &addr) == OK) {
        sip_must(addr.uri_text.len > 0, "an address has a URI");
        exercise_params(addr.params);
        sip_exercise_uri(addr.uri_text);
    }
    struct sip_contact contact;
    if (sip_contact_parse(value, &contact) == OK)
        sip_must(contact.q <= 1000, "q is at most 1");
    struct sip_cseq cseq;
    if (sip_cseq_parse(value, &cseq) == OK)
        sip_must(cseq.number <= SIP_CSEQ_MAX, "CSeq below 2^31");
    uint64_t unix_ms;
    if (sip_date_parse(value, &unix_ms) == OK) {
        struct builder b = builder_over(out_bytes, OUT_MAX);
        sip_date_write(&b, unix_ms);
        uint64_t again;
        sip_must(sip_date_parse(builder_slice(&b), &again) == OK, "a written date can be read");
        sip_must(again == unix_ms, "a date survives being written");
    }
    struct sip_credentials credentials;
    if (sip_credentials_parse(value, &credentials) == OK) {
        static const uint8_t a1[SIP_HASH_MAX];
        (void)sip_digest_verify(&credentials, a1, SLICE("INVITE"), value);
    }
    uint16_t q;
    uint32_t number;
    (void)!sip_q_parse(value, &q);
    (void)!sip_number_parse(value, &number);
    exercise_params(value);
    exercise_lists(value);
}

static void exercise_index(const struct sip_msg *msg)
{
    uint16_t at = 0;

    for (uint16_t i = 0; i < msg->field_count; i++) {
        const struct sip_field *field = &msg->fields[i];
        sip_must(field->begin >= at && field->begin < field->value_begin, "fields are in order");
        sip_must(field->value_begin <= field->value_end, "a value does not end before it begins");
        sip_must(field->value_end <= field->end && field->end <= msg->head_end,
                 "a field lies in the header section");
        sip_must(field->id < SIP_F_COUNT, "a field has an id we know");
        sip_must(field->next == 0 || field->next > i + 1, "the next field comes later");
        sip_must(field->next == 0 || msg->fields[field->next - 1].id == field->id,
                 "fields are chained by id");
        at = field->end;
    }
    sip_must(msg->head_end <= msg->buf.len, "the header section lies in the message");
    sip_must(inside(msg->body, msg->buf), "the body lies in the message");
}

/** A reply to a good request is a good response to it. */
static void exercise_reply(const struct sip_msg *msg)
{
    struct sip_reply reply = {
        .status = 200,
        .to_tag = SLICE("mine"),
        .received = SLICE("192.0.2.77"),
        .rport = 7777,
        .with_record_route = true,
    };
    struct builder b = builder_over(out_bytes, OUT_MAX);
    sip_must(sip_reply_write(msg, &reply, &b) == OK, "a reply can be written");
    if (msg->fault.status != 0 || b.len > SIP_MESSAGE_MAX)
        return;

    sip_must(sip_parse(builder_slice(&b), SIP_STREAM, &reparsed) == OK, "a reply can be read");
    sip_must(slice_equal(reparsed.call_id, msg->call_id), "a reply has the request's Call-ID");
    sip_must(slice_equal(reparsed.via.branch, msg->via.branch), "and its branch");
    sip_must(reparsed.cseq.number == msg->cseq.number, "and its CSeq");
    sip_must(slice_equal(reparsed.from.tag, msg->from.tag), "and its From tag");
    sip_must(reparsed.to.tag.len > 0, "and a To tag");
    sip_must(slice_equal(reparsed.via.received, reply.received), "received as told");
    sip_must(!msg->via.has_rport || reparsed.via.rport == 7777, "rport where asked for");

    b = builder_over(out_bytes, OUT_MAX);
    sip_must(sip_cancel_write(msg, SLICE_EMPTY, &b) == OK, "a CANCEL can be written");
    if (b.len <= SIP_MESSAGE_MAX) {
        sip_must(sip_parse(builder_slice(&b), SIP_STREAM, &reparsed) == OK, "a CANCEL is SIP");
        sip_must(reparsed.fault.status == 0, "a CANCEL has no fault");
    }
    b = builder_over(out_bytes, OUT_MAX);
    sip_must(sip_ack_write(msg, msg->to.value, &b) == OK, "an ACK can be written");
}

/** As a proxy would: Via on top, Max-Forwards replaced, first Route dropped. */
static void exercise_edits(const struct sip_msg *msg)
{
    struct sip_edits edits;
    sip_edits_init(&edits, msg);
    sip_edit_drop_first_value(&edits, SIP_F_ROUTE);
    sip_edit_drop_all(&edits, SIP_F_CONTACT);
    sip_edit_add_before(&edits, SIP_F_VIA, SLICE("Via: SIP/2.0/UDP p;branch=z9hG4bKp\r\n"));
    if (msg->first[SIP_F_MAX_FORWARDS] != 0)
        sip_edit_replace(&edits, sip_value(msg, SIP_F_MAX_FORWARDS), SLICE("69"));
    sip_edit_add_first(&edits, SLICE("X-First: 1\r\n"));
    sip_edit_add_last(&edits, SLICE("X-Last: 2\r\n"));

    struct builder b = builder_over(out_bytes, OUT_MAX);
    enum err err = sip_edits_write(&edits, &b);
    sip_must(err == OK || err == ERR_FULL, "edits are written or too many");
    if (err != OK)
        return;
    sip_must(b.len == sip_edits_size(&edits), "edits are as long as said");
    if (msg->fault.status != 0 || b.len > SIP_MESSAGE_MAX)
        return;
    sip_must(sip_parse(builder_slice(&b), SIP_DATAGRAM, &reparsed) == OK, "edited is SIP");
    /* A faulty one may become so by fields beyond the limits only. */
    if (reparsed.fault.status == 0) {
        sip_must(slice_equal(reparsed.via.branch, SLICE("z9hG4bKp")), "our Via is on top");
        sip_must(slice_equal(reparsed.body, msg->body), "the body is untouched");
        sip_must(sip_field_first(&reparsed, SIP_F_CONTACT) == NULL, "Contact is gone");
    }
}

void sip_exercise_msg(const struct sip_msg *msg)
{
    exercise_index(msg);
    sip_must(msg->is_request != msg->is_response, "either a request or a response");
    sip_must(msg->is_request || msg->fault.status == 0, "a faulty response is not given out");
    for (uint16_t i = 0; i < msg->field_count; i++)
        sip_exercise_value(sip_field_value(msg, &msg->fields[i]));
    for (unsigned id = SIP_F_VIA; id < SIP_F_COUNT; id++) {
        struct sip_values it = sip_values(msg, (enum sip_field_id)id);
        struct slice value;
        while (sip_values_next(&it, &value))
            sip_must(inside(value, msg->buf), "a value lies in the message");
    }
    if (msg->is_request)
        exercise_reply(msg);
    exercise_edits(msg);
}
