/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes -> several messages, one after another through registrar_process() on the block that the
 * ones before have left. The first byte says how the time runs, by which flow they come and whether
 * Path is trusted; messages are divided by a byte of 0.
 *
 * What must hold: the block is sound and has no expired binding, at most max_contacts unless there
 * were more before; an answer without commit has no block; the answer's fields are whole lines.
 */
#include "registrar/registrar.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_CONTACTS = 4,
    MESSAGES_MAX = 8
};
#define START_MS UINT64_C(1763845200000)

static struct binding_set set;
static struct sip_msg msg;
static char block_bytes[BINDING_SET_MAX];

static void require(bool true_always)
{
    if (!true_always)
        abort();
}

static void check_block(struct slice block, uint32_t count_before, uint64_t now_ms)
{
    if (block.len == 0)
        return;
    require(binding_set_unpack(block, &set) == OK);
    require(slice_equal(set.aor, SLICE("alice")));
    require(set.count > 0);
    require(set.count <= MAX_CONTACTS || set.count <= count_before);
    for (uint32_t i = 0; i < set.count; i++) {
        require(set.items[i].expires_ms > now_ms);
        require(set.items[i].user_agent.len <= 64);
    }
}

/* Whole lines, none empty: nothing of the request can end the header section. */
static void check_fields(struct slice fields)
{
    while (fields.len > 0) {
        size_t cr = slice_find(fields, '\r');
        require(cr != SIZE_MAX && cr > 0 && cr + 1 < fields.len && fields.data[cr + 1] == '\n');
        require(slice_find((struct slice){fields.data, cr}, '\n') == SIZE_MAX);
        require(slice_find((struct slice){fields.data, cr}, ':') != SIZE_MAX);
        (void)slice_take(&fields, cr + 2);
    }
}

/* One REGISTER on `current`; the block that is left, in block_bytes. */
static struct slice step(const struct flow *source, struct slice current, bool path_ok,
                         uint64_t now_ms, struct arena *arena)
{
    static const struct slice services[] = {{"apns", 4}, {"webpush", 7}};
    const struct registrar_config config = {.default_expires = 3600,
                                            .min_expires = 60,
                                            .max_expires = 7200,
                                            .max_contacts = MAX_CONTACTS,
                                            .service_route = SLICE("<sip:s;lr>"),
                                            .path_required_support = (now_ms & 1) != 0,
                                            .push = {services, 2, SLICE("Bkey"), 120}};
    struct registrar_result result;

    arena_reset(arena);
    if (registrar_process(&config, &msg, SLICE("alice"), current, source, path_ok, now_ms, arena,
                          &result) != OK)
        return current;
    require(result.status >= 200 && result.status < 600);
    check_fields(result.fields);
    if (result.action == REGISTRAR_ANSWER) {
        require(result.block.len == 0);
        return current;
    }
    require(result.action == REGISTRAR_COMMIT && result.status == 200);
    require(result.added + result.refreshed + result.removed > 0);
    check_block(result.block, binding_count(current), now_ms);
    if (result.block.len > 0)
        memcpy(block_bytes, result.block.data, result.block.len);
    return (struct slice){block_bytes, result.block.len};
}

static void check_verbs(struct slice block, struct conn_id conn, uint64_t now_ms,
                        struct arena *arena)
{
    struct slice out;
    bool changed;

    require(registrar_expire(block, now_ms + 3600000, arena, &out, &changed) == OK);
    check_block(out, UINT32_MAX, now_ms + 3600000);
    require(registrar_flow_lost(block, conn, arena, &out, &changed) == OK);
    require(binding_count(out) == binding_count(block));
    require(registrar_flow_lost(out, conn, arena, &out, &changed) == OK);
    require(!changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;

    struct mem mem;
    struct arena arena;
    mem_init(&mem, 8 << 20);
    require(arena_init(&arena, &mem, 1 << 20) == OK);

    struct slice rest = {(const char *)data + 1, size - 1};
    struct slice current = SLICE_EMPTY;
    uint64_t now_ms = START_MS;
    struct flow source = {.transport = (data[0] & 1) != 0 ? TRANSPORT_TCP : TRANSPORT_UDP,
                          .conn = {1, {2, (data[0] & 1) != 0 ? 3 : 0}},
                          .remote = {ADDR_V4, 0, 5060, 0, {192, 0, 2, data[0]}}};
    for (unsigned i = 0; i < MESSAGES_MAX && rest.len > 0; i++) {
        size_t end = slice_find(rest, '\0');
        struct slice bytes = slice_take(&rest, end == SIZE_MAX ? rest.len : end);
        if (rest.len > 0)
            (void)slice_take(&rest, 1);
        if (sip_parse(bytes, SIP_DATAGRAM, &msg) != OK || !msg.is_request || msg.fault.status != 0)
            continue;
        current = step(&source, current, (data[0] & 2) != 0, now_ms, &arena);
        now_ms += (uint64_t)(data[0] >> 2) * 10001;
    }
    if (current.len > 0)
        check_verbs(current, source.conn, now_ms, &arena);
    arena_release(&arena);
    mem_release(&mem);
    return 0;
}
