/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to a REGISTER (RFC 3261 §10.3 step 8), and the block that is stored before it goes
 * out.
 */
#include "registrar/internal.h"

enum {
    CONTACT_LINE_OVERHEAD = 96, /* bytes around the strings of a Contact line */
};

/** "0.7" of 700, as short as it can be. 1000 is what no q means. */
static void write_q(struct builder *b, unsigned q)
{
    if (q == 1000)
        return;
    builder_text(b, ";q=0");
    if (q == 0)
        return;
    builder_char(b, '.');
    for (unsigned rest = q; rest > 0; rest = rest % 100 * 10)
        builder_char(b, (char)('0' + rest / 100));
}

/** Seconds left; a binding that is there is never said to be gone. */
static uint64_t seconds_left(const struct binding *binding, uint64_t now_ms)
{
    uint64_t seconds = (binding->expires_ms - now_ms) / 1000;
    return seconds > 0 ? seconds : 1;
}

static bool has_gruus(const struct work *w, const struct binding *binding)
{
    return w->gruu && binding->instance.len > 0 && binding->gruu_since_ms != 0;
}

static void write_contact(const struct work *w, struct builder *b, const struct binding *binding)
{
    builder_text(b, "Contact: <");
    builder_add(b, binding->contact);
    builder_text(b, ">;expires=");
    builder_u64(b, seconds_left(binding, w->now_ms));
    write_q(b, binding->q);
    if (binding->instance.len > 0) {
        builder_text(b, ";+sip.instance=\"");
        builder_add(b, binding->instance);
        builder_char(b, '"');
    }
    if (binding->reg_id != 0) {
        builder_text(b, ";reg-id=");
        builder_u64(b, binding->reg_id);
    }
    if (has_gruus(w, binding))
        gruu_write(&w->gruus, binding, b);
    builder_add(b, binding->params);
    builder_text(b, "\r\n");
}

static void write_line(struct builder *b, struct slice name, struct slice value)
{
    if (value.len == 0)
        return;
    builder_add(b, name);
    builder_add(b, value);
    builder_text(b, "\r\n");
}

/**
 * RFC 5626 §6. A Flow-Timer only for streams: on UDP the phone's own 24 to 29 s are what NATs need
 * (§4.4.2). To a phone behind an edge the edge tells its own (§5.4).
 */
static void write_outbound(const struct work *w, struct builder *b)
{
    builder_text(b, "Supported: path, outbound\r\nRequire: outbound\r\n");
    if (w->config->flow_timer == 0 || w->path.len > 0 ||
        !transport_reliable((enum transport)w->source->transport))
        return;
    builder_text(b, "Flow-Timer: ");
    builder_u64(b, w->config->flow_timer);
    builder_text(b, "\r\n");
}

/** The fields of a 200: every binding that is left (RFC 3261 §10.3 step 8). */
static enum err write_fields(struct work *w, struct slice *out)
{
    size_t size = REGISTER_FIELDS_OVERHEAD + w->path.len + w->config->service_route.len +
                  push_caps_bytes(&w->config->push, &w->push);
    for (uint32_t i = 0; i < w->entry_count; i++) {
        const struct binding *binding = &w->entries[i].binding;
        size += CONTACT_LINE_OVERHEAD + binding->contact.len + binding->instance.len +
                binding->params.len;
        if (has_gruus(w, binding))
            size += gruu_bytes(&w->gruus, binding);
    }
    struct builder b = register_builder(w->arena, size);
    if (b.capacity == 0)
        return ERR_MEMORY;

    for (uint32_t i = 0; i < w->entry_count; i++)
        if (!w->entries[i].gone)
            write_contact(w, &b, &w->entries[i].binding);
    if (w->outbound)
        write_outbound(w, &b);
    push_write_caps(&w->config->push, &w->push, &b);
    write_line(&b, SLICE("Path: "), w->path);
    write_line(&b, SLICE("Service-Route: "), w->config->service_route);
    builder_text(&b, "Date: ");
    sip_date_write(&b, w->now_ms);
    builder_text(&b, "\r\n");
    assert(!b.overflow);
    *out = builder_slice(&b);
    return OK;
}

/** The new block: empty when nothing is left. ERR_TOO_BIG past BINDING_SET_MAX. */
static enum err write_block(struct work *w, struct slice *out)
{
    size_t size = binding_block_begin_bytes(w->aor);
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->entry_count; i++) {
        if (w->entries[i].gone)
            continue;
        size += binding_block_add_bytes(&w->entries[i].binding);
        count++;
    }
    *out = SLICE_EMPTY;
    if (count == 0)
        return OK;

    struct builder b = register_builder(w->arena, size < BINDING_SET_MAX ? size : BINDING_SET_MAX);
    if (b.capacity == 0)
        return ERR_MEMORY;
    binding_block_begin(&b, w->aor);
    for (uint32_t i = 0; i < w->entry_count; i++)
        if (!w->entries[i].gone)
            binding_block_add(&b, &w->entries[i].binding);
    enum err err = binding_block_end(&b, 0, count);
    if (err == OK)
        *out = builder_slice(&b);
    return err;
}

/** Counts what the request did; true when the block becomes another. */
static bool count_changes(const struct work *w, struct registrar_result *result)
{
    bool changed = false;

    for (uint32_t i = 0; i < w->entry_count; i++) {
        const struct entry *entry = &w->entries[i];
        if (!entry->touched || (entry->gone && !entry->current))
            continue;
        changed = true;
        if (entry->gone)
            result->removed++;
        else if (entry->current)
            result->refreshed++;
        else
            result->added++;
    }
    return changed;
}

/** A limit that was lowered later does not throw out who is there and only refreshes. */
static enum err check_limit(struct work *w, const struct registrar_result *result)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->entry_count; i++)
        count += !w->entries[i].gone;

    if (result->added == 0 || count <= w->config->max_contacts)
        return OK;
    return register_refuse(w, 403, SLICE("Too Many Contacts"), SLICE_EMPTY);
}

enum err register_finish(struct work *w)
{
    struct registrar_result result = {.action = REGISTRAR_ANSWER, .status = 200};

    bool changed = count_changes(w, &result);
    enum err err = check_limit(w, &result);
    if (err)
        return err;
    if (changed) { /* before the fields: what fits into a block fits into an answer */
        result.action = REGISTRAR_COMMIT;
        err = write_block(w, &result.block);
        if (err == ERR_TOO_BIG)
            return register_refuse(w, 403, SLICE("Contacts Too Long"), SLICE_EMPTY);
        if (err)
            return err;
    }
    err = write_fields(w, &result.fields);
    if (err)
        return err;
    *w->out = result;
    return OK;
}
