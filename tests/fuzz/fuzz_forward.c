/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request through the edits of a branch. The first bytes say how it is forwarded; what comes out
 * must be a request that can be read, with the same body and one Via more.
 */
#include <stdlib.h>

#include "proxy/context.h"
#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_address(void *user, struct builder *b, const struct flow *to)
{
    (void)user;
    (void)to;
    builder_text(b, "203.0.113.1:5060");
}

static unsigned count_values(const struct sip_msg *msg, enum sip_field_id id)
{
    struct sip_values it = sip_values(msg, id);
    struct slice value;
    unsigned count = 0;

    while (sip_values_next(&it, &value))
        count++;
    return count;
}

static void forward(struct proxy *proxy, const uint8_t how[static 2], const struct sip_msg *msg)
{
    static char text[SIP_MESSAGE_MAX];
    static struct sip_msg out;
    struct builder b = builder_over(text, sizeof text);
    struct flow source = {.transport = TRANSPORT_UDP};
    const struct proxy_target target = {
        .uri = how[0] & 1 ? SLICE("sip:bob@198.51.100.1;method=INVITE?a=b") : SLICE_EMPTY,
        .routes = how[0] & 2 ? SLICE("<sip:a;lr>, <sip:b>") : SLICE_EMPTY,
        .to = {.transport = how[0] & 4 ? TRANSPORT_TCP : TRANSPORT_UDP,
               .remote = {.family = ADDR_V4}},
        .nat = (how[0] & 8) != 0,
    };

    source.remote = (struct addr){.family = how[0] & 16 ? ADDR_V6 : ADDR_V4, .port = 5060};
    const struct proxy_request request = {
        .msg = msg,
        .source = &source,
        .uri = msg->uri,
        .routes_drop = how[1] & 3,
        .route_last_drop = (how[0] & 32) != 0,
        .record_route = (how[0] & 64) != 0,
        .trusted = (how[0] & 128) != 0,
    };
    if (msg->max_forwards == 0 ||
        forward_write(proxy, &request, &target, SLICE("z9hG4bKx"), 60, &b) != OK)
        return;
    enum sip_framing framing = how[0] & 4 ? SIP_STREAM : SIP_DATAGRAM;
    sip_must(sip_parse(builder_slice(&b), framing, &out) == OK, "it can be read");
    sip_must(out.is_request, "it is a request");
    sip_must(slice_equal(out.body, msg->body), "the body is the same");
    sip_must(slice_equal(out.via.branch, SLICE("z9hG4bKx")), "our Via is on top");
    sip_must(out.fault.status != 0 ||
                 count_values(&out, SIP_F_VIA) == count_values(msg, SIP_F_VIA) + 1,
             "one Via more");
    sip_must(out.max_forwards == (msg->max_forwards < 0 ? 70 : msg->max_forwards - 1),
             "one hop less");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mem mem;
    static struct proxy *proxy;
    static struct sip_msg msg;

    if (proxy == NULL) {
        const struct proxy_config config = {
            .contexts_max = 1, .mem = &mem, .write_our_address = write_address};
        mem_init(&mem, 1 << 20);
        if (proxy_open(&config, &proxy) != OK)
            abort();
    }
    if (size < 2)
        return 0;
    struct slice bytes = {(const char *)data + 2, size - 2};
    if (sip_parse(bytes, SIP_DATAGRAM, &msg) == OK && msg.is_request && msg.fault.status == 0)
        forward(proxy, data, &msg);
    return 0;
}
