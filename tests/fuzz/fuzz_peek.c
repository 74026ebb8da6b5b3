/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A light look at a message and a whole parse: where the look says yes, both say the same, and a
 * refusal written from either is the same, byte for byte. A request without a fault is looked
 * through.
 */
#include <stdlib.h>

#include "base/builder.h"
#include "sip/sip.h"
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum sip_field_id indexed[] = {SIP_F_VIA, SIP_F_FROM, SIP_F_TO, SIP_F_CALL_ID,
                                            SIP_F_CSEQ};

static bool same(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || a.data == b.data); /* the very same bytes */
}

static bool same_address(const struct sip_name_addr *a, const struct sip_name_addr *b)
{
    return a->brackets == b->brackets && same(a->display, b->display) &&
           same(a->uri_text, b->uri_text) && same(a->params, b->params) && same(a->tag, b->tag) &&
           same(a->value, b->value);
}

static bool same_via(const struct sip_via *a, const struct sip_via *b)
{
    return a->transport == b->transport && a->has_rport == b->has_rport && a->port == b->port &&
           a->rport == b->rport && a->has_alias == b->has_alias && same(a->host, b->host) &&
           same(a->sent_by, b->sent_by) && same(a->branch, b->branch) &&
           same(a->received, b->received) && same(a->params, b->params);
}

static void compare_fields(const struct sip_msg *look, const struct sip_msg *whole)
{
    for (size_t i = 0; i < COUNT_OF(indexed); i++) {
        const struct sip_field *a = sip_field_first(look, indexed[i]);
        const struct sip_field *b = sip_field_first(whole, indexed[i]);
        while (a != NULL && b != NULL) {
            sip_must(a->begin == b->begin && a->value_begin == b->value_begin &&
                         a->value_end == b->value_end && a->end == b->end && a->id == b->id,
                     "the look has the same fields");
            a = sip_field_next(look, a);
            b = sip_field_next(whole, b);
        }
        sip_must(a == NULL && b == NULL, "the look has all fields of its names");
    }
}

static void compare(const struct sip_msg *look, const struct sip_msg *whole)
{
    sip_must(whole->is_request && look->is_request, "the look takes requests only");
    sip_must(look->method == whole->method, "the look knows the method");
    sip_must(same(look->method_name, whole->method_name), "the look knows the method's name");
    sip_must(same(look->uri, whole->uri), "the look knows the Request-URI");
    sip_must(same_via(&look->via, &whole->via), "the look knows the top Via");
    sip_must(same(look->via_value, whole->via_value), "the look knows the top Via's text");
    sip_must(same(look->call_id, whole->call_id), "the look knows the Call-ID");
    if (!sip_branch_rfc3261(whole->via.branch))
        sip_must(same_address(&look->from, &whole->from), "the look knows From where it counts");
    sip_must(same_address(&look->to, &whole->to), "the look knows To");
    sip_must(look->cseq.number == whole->cseq.number && look->cseq.method == whole->cseq.method,
             "the look knows CSeq");
    sip_must(look->head_end == whole->head_end, "the look knows where the body begins");
    sip_must(look->buf.data == whole->buf.data, "the look knows where the message begins");
    compare_fields(look, whole);
}

static void compare_replies(const struct sip_msg *look, const struct sip_msg *whole)
{
    struct sip_reply reply = {.status = 503,
                              .to_tag = SLICE("0123456789abcdef"),
                              .received = SLICE("192.0.2.1"),
                              .rport = 5062,
                              .fields = SLICE("Retry-After: 3\r\n")};
    size_t room = whole->head_end + 512u;
    char *text = malloc(2 * room);

    if (text == NULL)
        return;
    struct builder a = builder_over(text, room);
    struct builder b = builder_over(text + room, room);
    sip_must(sip_reply_write(look, &reply, &a) == OK && sip_reply_write(whole, &reply, &b) == OK,
             "both can be answered");
    sip_must(slice_equal(builder_slice(&a), builder_slice(&b)), "both are answered alike");
    free(text);
}

static void compare_name(struct slice bytes, const struct sip_msg *whole)
{
    struct sip_peek_name name;

    if (!sip_peek_name(bytes, &name) || whole->fault.status != 0)
        return;
    sip_must(name.is_response == whole->is_response, "the name is of a response or of a request");
    sip_must(same(name.text, whole->is_response ? whole->via.branch : whole->call_id),
             "the name is what the parser finds");
    sip_must(whole->method != SIP_REGISTER || whole->is_response, "a REGISTER goes by To");
}

static void compare_agent(struct slice bytes, const struct sip_msg *whole)
{
    struct slice agent = sip_peek_agent(bytes);

    if (agent.len > 0 && whole->fault.status == 0)
        sip_must(slice_equal(agent, sip_value(whole, SIP_F_USER_AGENT)),
                 "the User-Agent is what the parser finds");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sip_msg look, whole;
    struct slice bytes = {(const char *)data, size};
    bool seen = sip_peek(bytes, &look);
    enum err err = sip_parse(bytes, SIP_DATAGRAM, &whole);

    if (seen) {
        sip_must(err == OK, "what the look takes is SIP");
        compare(&look, &whole);
        compare_replies(&look, &whole);
    } else {
        sip_must(err != OK || whole.is_response || whole.fault.status != 0,
                 "the look takes every sound request");
    }
    if (err == OK) {
        compare_name(bytes, &whole);
        compare_agent(bytes, &whole);
    }
    if (sip_peek_method(bytes) != SIP_METHOD_OTHER && err == OK)
        sip_must(whole.method == sip_peek_method(bytes), "the first bytes name the method");
    return 0;
}
