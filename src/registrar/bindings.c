/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is registered, and what a REGISTER makes of it, on a copy (RFC 3261 §10.3 steps 6 and 7).
 */
#include "registrar/internal.h"

enum {
    USER_AGENT_MAX = 64, /* bytes kept; the rest is cut off */
};

/* --- What is there --------------------------------------------------------------------------- */

/* Room is left for new ones. */
enum err register_load(struct work *w, struct slice current)
{
    uint32_t capacity = binding_count(current) + w->wanted_count;
    if (capacity == 0)
        return OK;
    w->entries = arena_alloc(w->arena, capacity * sizeof *w->entries);
    if (w->entries == NULL)
        return ERR_MEMORY;

    uint32_t cursor = 0;
    struct entry *entry = w->entries;
    while (binding_next(current, &cursor, &entry->binding)) {
        if (entry->binding.expires_ms <= w->now_ms)
            continue;
        entry->current = true;
        entry->touched = false;
        entry->gone = false;
        entry++;
    }
    w->entry_count = (uint32_t)(entry - w->entries);
    return OK;
}

static bool same_uri(const struct wanted *wanted, const struct binding *binding)
{
    if (slice_equal(wanted->contact.addr.uri_text, binding->contact))
        return true;

    struct sip_uri uri;
    return sip_uri_parse(binding->contact, &uri) == OK && sip_uri_equal(&wanted->uri, &uri);
}

/** URNs compare without case in what phones make them of (RFC 4122 §3). */
static bool same_instance(const struct wanted *wanted, const struct binding *binding)
{
    return binding->instance.len > 0 &&
           slice_equal_nocase(wanted->contact.instance, binding->instance);
}

/**
 * Does this Contact speak of that binding? With instance and reg-id on both sides they alone
 * decide (RFC 5626 §6). Otherwise equal URIs do (RFC 3261 §10.3); and a phone that comes back under
 * another address is known by its instance, so that its old address does not ring on
 * for an hour. Contacts of one request do not displace each other that way.
 */
static bool speaks_of(const struct wanted *wanted, const struct entry *entry)
{
    const struct binding *binding = &entry->binding;
    if (wanted->contact.reg_id != 0 && binding->reg_id != 0 && wanted->contact.instance.len > 0 &&
        binding->instance.len > 0)
        return wanted->contact.reg_id == binding->reg_id && same_instance(wanted, binding);
    if (!entry->touched && same_instance(wanted, binding))
        return true;
    return same_uri(wanted, binding);
}

static bool same_call(const struct work *w, const struct binding *binding)
{
    return slice_equal(w->msg->call_id, binding->call_id);
}

/* --- A late retransmission ------------------------------------------------------------------- */

/** The binding is exactly what this Contact of this very request has made. */
static bool made_by(const struct work *w, const struct wanted *wanted, const struct entry *entry)
{
    const struct binding *binding = &entry->binding;
    return binding->cseq == w->msg->cseq.number && same_call(w, binding) &&
           same_uri(wanted, binding) && wanted->contact.q == binding->q &&
           wanted->contact.reg_id == binding->reg_id &&
           wanted->contact.instance.len == binding->instance.len &&
           binding->expires_ms - binding->registered_ms == (uint64_t)wanted->granted * 1000;
}

/** Is what this Contact asked for done? Marks the binding in `*done`. */
static bool is_done(const struct work *w, const struct wanted *wanted, uint64_t *done)
{
    for (uint32_t i = 0; i < w->entry_count; i++) {
        if (wanted->granted == 0 && speaks_of(wanted, &w->entries[i]))
            return false;
        if (wanted->granted != 0 && (*done & UINT64_C(1) << i) == 0 &&
            made_by(w, wanted, &w->entries[i])) {
            *done |= UINT64_C(1) << i;
            return true;
        }
    }
    return wanted->granted == 0;
}

enum err register_repeats(struct work *w, bool *repeat)
{
    uint64_t same = 0, done = 0;

    *repeat = false;
    if (w->wanted_count == 0)
        return OK;
    for (uint32_t i = 0; i < w->entry_count; i++)
        if (w->entries[i].binding.cseq == w->msg->cseq.number &&
            same_call(w, &w->entries[i].binding))
            same |= UINT64_C(1) << i;
    if (same == 0)
        return OK;

    bool all = !w->star;
    for (uint32_t i = 0; all && i < w->wanted_count; i++)
        all = is_done(w, &w->wanted[i], &done);
    if (!all || done != same)
        return register_refuse(w, 500, SLICE("CSeq Was Used"), SLICE_EMPTY);
    *repeat = true;
    return OK;
}

/* --- Changing -------------------------------------------------------------------------------- */

/** A request that was overtaken changes nothing (RFC 3261 §10.3 steps 6 and 7). */
static enum err check_order(struct work *w, const struct entry *entry)
{
    if (entry->touched || !same_call(w, &entry->binding) ||
        entry->binding.cseq < w->msg->cseq.number)
        return OK;
    return register_refuse(w, 500, SLICE("CSeq Out Of Order"), SLICE_EMPTY);
}

static enum err remove_all(struct work *w)
{
    for (uint32_t i = 0; i < w->entry_count; i++) {
        enum err err = check_order(w, &w->entries[i]);
        if (err)
            return err;
        w->entries[i].touched = true;
        w->entries[i].gone = true;
    }
    return OK;
}

/**
 * Shall requests go to where the REGISTER came from, instead of to the contact? Yes on streams: a
 * phone listens on none. On UDP, when the contact is not there: behind a NAT Via and source differ
 * (RFC 3581 §1), and a private address in front of a public one cannot be reached. No when a Path
 * leads there, when a proxy stands between, and for a contact that is another machine: of several
 * in one request, or a numeric address elsewhere although there is no NAT.
 */
static bool is_nat(const struct work *w, const struct sip_uri *uri)
{
    const struct addr *source = &w->source->remote;
    const struct sip_via *via = &w->msg->via;
    struct addr contact, sent_by;

    if (w->path.len > 0 || register_is_relayed(w->msg))
        return false;
    bool numeric = sip_uri_addr(uri, sip_transport_port(TRANSPORT_UDP), &contact) == OK;
    bool here = numeric && addr_same_host(&contact, source);
    if (w->wanted_count > 1 && !here && !slice_equal_nocase(uri->host, via->host))
        return false;
    if (transport_reliable((enum transport)w->source->transport))
        return true;
    uint16_t port = via->port != 0 ? via->port : sip_transport_port(TRANSPORT_UDP);
    bool via_host = addr_parse(via->host, port, &sent_by) == OK && addr_same_host(&sent_by, source);
    if (here) /* another port of a host that is seen as it sees itself is just another port */
        return contact.port != source->port && via->has_rport &&
               !(via_host && sent_by.port == source->port);
    if (!via_host)
        return true;
    return numeric && addr_is_private(&contact) && !addr_is_private(source);
}

static bool param_kept(struct slice name)
{
    return !slice_equal_nocase(name, SLICE("expires")) && !slice_equal_nocase(name, SLICE("q")) &&
           !slice_equal_nocase(name, SLICE("+sip.instance")) &&
           !slice_equal_nocase(name, SLICE("reg-id")) &&
           !slice_equal_nocase(name, SLICE("pub-gruu")) &&
           !slice_equal_nocase(name, SLICE("temp-gruu"));
}

/** Parameters of a Contact that we keep without knowing them, LWS around them dropped. */
static enum err keep_params(struct arena *arena, struct slice params, struct slice *out)
{
    struct slice rest = params;
    struct sip_param param;
    struct builder b = {0};

    *out = SLICE_EMPTY;
    while (sip_param_next(&rest, &param) == OK) {
        if (!param_kept(param.name))
            continue;
        if (b.capacity == 0)
            b = register_builder(arena, params.len);
        if (b.capacity == 0)
            return ERR_MEMORY;
        builder_char(&b, ';');
        builder_add(&b, param.name);
        if (param.has_value) {
            builder_char(&b, '=');
            builder_add(&b, param.value);
        }
    }
    assert(!b.overflow);
    return register_unfold(arena, builder_slice(&b), out);
}

/** The binding that a Contact asks for. */
static enum err make_binding(struct work *w, const struct wanted *wanted, struct binding *out)
{
    const struct sip_contact *contact = &wanted->contact;
    struct slice agent = sip_value(w->msg, SIP_F_USER_AGENT);

    if (agent.len > USER_AGENT_MAX)
        agent.len = USER_AGENT_MAX;
    *out = (struct binding){
        .contact = contact->addr.uri_text,
        .call_id = w->msg->call_id,
        .path = w->path,
        .expires_ms = w->now_ms + (uint64_t)wanted->granted * 1000,
        .registered_ms = w->now_ms,
        .cseq = w->msg->cseq.number,
        .reg_id = contact->reg_id,
        .q = contact->q,
        .nat = (contact->reg_id != 0 && w->path.len == 0) || is_nat(w, &wanted->uri),
        .push = wanted->push,
        .flow = *w->source,
    };
    enum err err = register_unfold(w->arena, agent, &out->user_agent);
    if (err == OK)
        err = register_unfold(w->arena, contact->instance, &out->instance);
    if (err == OK)
        err = keep_params(w->arena, contact->addr.params, &out->params);
    return err;
}

/** Is this binding the one whose Call-ID decides about temporary GRUUs: of this flow, if it is one?
 */
static bool decides_gruus(const struct wanted *wanted, const struct binding *binding)
{
    return same_instance(wanted, binding) &&
           (wanted->contact.reg_id == 0 || wanted->contact.reg_id == binding->reg_id);
}

/**
 * From when on temporary GRUUs of this Contact's instance count; 0: it gets none (RFC 5627 §5.1).
 * All so far are void when the instance has no binding left, or when the latest REGISTER for it, or
 * for this flow, had another Call-ID: then those of all its flows are.
 */
static uint64_t renew_gruus(struct work *w, const struct wanted *wanted)
{
    const struct binding *latest = NULL;
    uint64_t since_ms = 0;

    if (wanted->contact.instance.len == 0)
        return 0;
    for (uint32_t i = 0; i < w->entry_count; i++) {
        const struct binding *binding = &w->entries[i].binding;
        if (w->entries[i].gone || !same_instance(wanted, binding))
            continue;
        if (binding->gruu_since_ms > since_ms)
            since_ms = binding->gruu_since_ms;
        if (decides_gruus(wanted, binding) &&
            (latest == NULL || binding->registered_ms > latest->registered_ms))
            latest = binding;
    }
    bool fresh = since_ms == 0 || (latest != NULL && !same_call(w, latest));
    if (!fresh || (since_ms == 0 && !w->gruu))
        return since_ms;

    /* later than any that was issued, though the clock may not have moved */
    since_ms = (since_ms > w->now_ms ? since_ms : w->now_ms) + 1;
    for (uint32_t i = 0; i < w->entry_count; i++)
        if (same_instance(wanted, &w->entries[i].binding))
            w->entries[i].binding.gruu_since_ms = since_ms;
    return since_ms;
}

/** Puts one Contact of the request in place of what it speaks of, if anything. */
static enum err apply(struct work *w, const struct wanted *wanted)
{
    struct entry *place = NULL;
    uint64_t gruu_since_ms = renew_gruus(w, wanted);

    for (uint32_t i = 0; i < w->entry_count; i++) {
        struct entry *entry = &w->entries[i];
        if (entry->gone || !speaks_of(wanted, entry))
            continue;
        enum err err = check_order(w, entry);
        if (err)
            return err;
        if (place == NULL && wanted->granted != 0) {
            place = entry;
            continue;
        }
        entry->touched = true;
        entry->gone = true;
    }
    if (wanted->granted == 0)
        return OK;
    if (place == NULL) {
        place = &w->entries[w->entry_count++];
        place->current = false;
        place->gone = false;
    }
    place->touched = true;
    enum err err = make_binding(w, wanted, &place->binding);
    if (err == OK)
        place->binding.gruu_since_ms = gruu_since_ms;
    return err;
}

/**
 * Of one instance's bindings the newest stands first: it is tried first (RFC 5627 §6.1), and the
 * others when its flow is gone.
 */
static void put_newest_first(struct work *w, uint32_t at)
{
    struct entry moved = w->entries[at];

    for (uint32_t i = 0; i < at; i++) {
        const struct entry *other = &w->entries[i];
        if (other->gone || !slice_equal_nocase(other->binding.instance, moved.binding.instance))
            continue;
        memmove(&w->entries[i + 1], &w->entries[i], (at - i) * sizeof moved);
        w->entries[i] = moved;
        return;
    }
}

static enum err apply_all(struct work *w)
{
    for (uint32_t i = 0; i < w->wanted_count; i++) {
        enum err err = apply(w, &w->wanted[i]);
        if (err)
            return err;
    }
    for (uint32_t i = 1; i < w->entry_count; i++)
        if (w->entries[i].touched && !w->entries[i].gone && w->entries[i].binding.reg_id != 0)
            put_newest_first(w, i);
    return OK;
}

enum err register_change(struct work *w)
{
    return w->star ? remove_all(w) : apply_all(w);
}
