/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a REGISTER makes of an AOR's bindings, in the order of RFC 3261 §10.3:
 *
 *   check_require   step 2   420
 *   check_to        step 5   400
 *   take_path       RFC 3327 §5.3   400, 403, 420
 *   take_contacts   steps 6 and 7: what is wanted, for how long   400, 423
 *   take_push       RFC 8599 §5.6.1: whose phones are woken   400, 423, 555
 *   take_flows      RFC 5626 §6: which of them are flows   400, 439
 *   take_gruus      RFC 5627 §5.1: contacts that would lead back   403
 *   load            what is there and has not expired
 *   is_repeat       a retransmission that outlived its transaction: 200, nothing changed
 *   remove_all, apply_all   steps 6 and 7: on a copy   403, 500
 *   finish          step 8: the new block and the fields of the 200
 *
 * Each step either goes on (OK) or has written the refusal into the result (ERR_DENIED). The
 * present block is only read, so all or nothing needs no undoing.
 *
 * A Contact of a scheme that we do not route (mailto:, tel:) is kept and listed: §10.2.1 gives the
 * phone the right to register any URI, and refusing it would refuse its SIP contacts too. Nobody is
 * called by it: the core makes targets of sip: and sips: only.
 */
#include "registrar/registrar.h"

#include "registrar/gruu.h"
#include "registrar/push.h"

enum {
    USER_AGENT_MAX = 64,        /* bytes kept; the rest is cut off */
    MALFORMED_EXPIRES = 3600,   /* seconds; RFC 3261 §20.10 */
    BRIEF_SECONDS = 3600,       /* only shorter intervals may be refused (§10.3 step 7) */
    CONTACT_LINE_OVERHEAD = 96, /* bytes around the strings of a Contact line */
    FIELDS_OVERHEAD = 256,      /* Date, Require, and the names of Path and Service-Route */
};

/** One Contact of the request. */
struct wanted {
    struct sip_contact contact;
    struct sip_uri uri;
    uint32_t granted; /* seconds; 0: to be removed */
    bool push;        /* its phone is woken by us */
};

/** One binding on its way from the present block to the new one. */
struct entry {
    struct binding binding;
    bool current; /* it is in the present block */
    bool touched; /* this request has made or removed it */
    bool gone;
};

struct work {
    const struct registrar_config *config;
    const struct sip_msg *msg;
    const struct flow *source;
    struct arena *arena;
    struct registrar_result *out;
    uint64_t now_ms;
    struct slice aor;
    struct slice path; /* of the request, values joined with commas */
    bool path_ok;
    bool star;
    bool outbound; /* a flow was registered, by a phone that knows RFC 5626 */
    bool gruu;     /* the phone wants GRUUs, and can have them */
    struct gruu_work gruus;
    struct push_work push;
    uint32_t wanted_count;
    uint32_t entry_count;
    struct wanted *wanted;
    struct entry *entries;
};

static enum err refuse(struct work *w, uint16_t status, struct slice reason, struct slice fields)
{
    *w->out = (struct registrar_result){
        .action = REGISTRAR_ANSWER, .status = status, .reason = reason, .fields = fields};
    return ERR_DENIED;
}

/** A builder over `size` (> 0) bytes of the arena; capacity 0: no memory. */
static struct builder arena_builder(struct arena *arena, size_t size)
{
    char *data = arena_alloc(arena, size);
    return builder_over(data, data != NULL ? size : 0);
}

/** Folding becomes spaces: a binding's strings are written into header lines (RFC 3261 §7.3.1). */
static enum err unfold(struct arena *arena, struct slice s, struct slice *out)
{
    *out = s;
    if (slice_find(s, '\r') == SIZE_MAX && slice_find(s, '\n') == SIZE_MAX)
        return OK;

    char *text = arena_alloc(arena, s.len);
    if (text == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < s.len; i++)
        text[i] = s.data[i] == '\r' || s.data[i] == '\n' ? ' ' : s.data[i];
    *out = (struct slice){text, s.len};
    return OK;
}

/* --- Before the contacts --------------------------------------------------------------------- */

bool registrar_knows(struct slice option)
{
    return slice_equal_nocase(option, SLICE("path")) ||
           slice_equal_nocase(option, SLICE("outbound")) ||
           slice_equal_nocase(option, SLICE("gruu"));
}

/** RFC 3261 §8.2.2.3: each Require option must be understood. */
static enum err check_require(struct work *w)
{
    const struct sip_field *field = sip_field_first(w->msg, SIP_F_REQUIRE);
    if (field == NULL)
        return OK;

    size_t size = FIELDS_OVERHEAD; /* the separators of one list can become longer by a half */
    for (; field != NULL; field = sip_field_next(w->msg, field))
        size += 2 * (sip_field_value(w->msg, field).len + 1);
    struct builder b = arena_builder(w->arena, size);
    if (b.capacity == 0)
        return ERR_MEMORY;

    builder_text(&b, "Unsupported: ");
    size_t begin = b.len;
    struct sip_values it = sip_values(w->msg, SIP_F_REQUIRE);
    struct slice option;
    while (sip_values_next(&it, &option)) {
        if (option.len == 0 || registrar_knows(option))
            continue;
        if (!sip_is_token(option))
            return refuse(w, 400, SLICE("Malformed Require"), SLICE_EMPTY);
        if (b.len > begin)
            builder_text(&b, ", ");
        builder_add(&b, option);
    }
    if (b.len == begin)
        return OK;
    builder_text(&b, "\r\n");
    assert(!b.overflow);
    return refuse(w, 420, SLICE_EMPTY, builder_slice(&b));
}

/** The AOR is a SIP or SIPS URI (RFC 3261 §10.2.1). The key was made of it already. */
static enum err check_to(struct work *w)
{
    struct slice to = w->msg->to.uri_text;
    size_t colon = slice_find(to, ':');
    struct slice scheme = {to.data, colon == SIZE_MAX ? 0 : colon};

    if (slice_equal_nocase(scheme, SLICE("sip")) || slice_equal_nocase(scheme, SLICE("sips")))
        return OK;
    return refuse(w, 400, SLICE("To Is Not A SIP Address-Of-Record"), SLICE_EMPTY);
}

static bool path_value_sound(struct slice value)
{
    struct sip_name_addr addr;
    struct sip_uri uri;

    return sip_name_addr_parse(value, &addr) == OK && addr.brackets &&
           sip_uri_parse(addr.uri_text, &uri) == OK &&
           (uri.scheme == SIP_SCHEME_SIP || uri.scheme == SIP_SCHEME_SIPS);
}

/** RFC 3327 §5.3. A stranger's Path would have calls sent wherever he likes. */
static enum err take_path(struct work *w)
{
    const struct sip_field *field = sip_field_first(w->msg, SIP_F_PATH);
    if (field == NULL)
        return OK;
    if (w->config->path_required_support && !sip_has_token(w->msg, SIP_F_SUPPORTED, SLICE("path")))
        return refuse(w, 420, SLICE_EMPTY, SLICE("Unsupported: path\r\n"));
    if (!w->path_ok)
        return refuse(w, 403, SLICE("Path From A Stranger"), SLICE_EMPTY);

    size_t size = 0;
    for (; field != NULL; field = sip_field_next(w->msg, field))
        size += sip_field_value(w->msg, field).len + 1;
    struct builder b = arena_builder(w->arena, size);
    if (b.capacity == 0)
        return ERR_MEMORY;

    struct sip_values it = sip_values(w->msg, SIP_F_PATH);
    struct slice value;
    while (sip_values_next(&it, &value)) {
        if (!path_value_sound(value))
            return refuse(w, 400, SLICE("Bad Path"), SLICE_EMPTY);
        if (b.len > 0)
            builder_char(&b, ',');
        builder_add(&b, value);
    }
    assert(!b.overflow);
    return unfold(w->arena, builder_slice(&b), &w->path);
}

/* --- What is wanted -------------------------------------------------------------------------- */

/** What holds for contacts without an expires parameter (RFC 3261 §10.3 step 7). */
static uint32_t default_expires(const struct work *w)
{
    const struct sip_field *field = sip_field_first(w->msg, SIP_F_EXPIRES);
    if (field == NULL)
        return w->config->default_expires;

    uint32_t seconds;
    enum err err = sip_number_parse(sip_field_value(w->msg, field), &seconds);
    if (err == ERR_TOO_BIG)
        return UINT32_MAX;
    return err == OK ? seconds : MALFORMED_EXPIRES;
}

/** How many Contact values there can be: one per field and one more per comma, wherever that is. */
static uint32_t contacts_at_most(const struct sip_msg *msg)
{
    uint32_t count = 0;
    for (const struct sip_field *field = sip_field_first(msg, SIP_F_CONTACT);
         field != NULL && count < SIP_CONTACTS_MAX; field = sip_field_next(msg, field)) {
        struct slice rest = sip_field_value(msg, field);
        size_t comma;
        for (count++; (comma = slice_find(rest, ',')) != SIZE_MAX; count++)
            (void)slice_take(&rest, comma + 1);
    }
    return count < SIP_CONTACTS_MAX ? count : SIP_CONTACTS_MAX;
}

static enum err refuse_brief(struct work *w, uint32_t min_expires)
{
    struct builder b = arena_builder(w->arena, FIELDS_OVERHEAD);
    if (b.capacity == 0)
        return ERR_MEMORY;
    builder_text(&b, "Min-Expires: ");
    builder_u64(&b, min_expires);
    builder_text(&b, "\r\n");
    return refuse(w, 423, SLICE_EMPTY, builder_slice(&b));
}

/** Takes all of an interval, or what the limits leave of it. ERR_DENIED: 423. */
static enum err grant(struct work *w, uint32_t requested, uint32_t *granted)
{
    const struct registrar_config *config = w->config;

    *granted = requested < config->max_expires ? requested : config->max_expires;
    if (requested == 0 || requested >= BRIEF_SECONDS || requested >= config->min_expires)
        return OK;
    return refuse_brief(w, config->min_expires);
}

/** Takes one Contact value; `expires` holds where it has no parameter. */
static enum err take_contact(struct work *w, struct slice value, uint32_t expires)
{
    struct wanted *wanted = &w->wanted[w->wanted_count++];
    struct sip_contact *contact = &wanted->contact;

    wanted->push = false;
    if (sip_contact_parse(value, contact) != OK)
        return refuse(w, 400, SLICE("Bad Contact"), SLICE_EMPTY);
    if (contact->star) {
        w->star = true;
        return OK;
    }
    if (sip_uri_parse(contact->addr.uri_text, &wanted->uri) != OK)
        return refuse(w, 400, SLICE("Bad Contact URI"), SLICE_EMPTY);
    return grant(w, contact->has_expires ? contact->expires : expires, &wanted->granted);
}

/** Takes the Contact values. "*" must be alone, and Expires there and 0. */
static enum err take_contacts(struct work *w)
{
    uint32_t capacity = contacts_at_most(w->msg);
    if (capacity == 0)
        return OK;
    w->wanted = arena_alloc(w->arena, capacity * sizeof *w->wanted);
    if (w->wanted == NULL)
        return ERR_MEMORY;

    uint32_t expires = default_expires(w);
    enum err err = OK;
    if (capacity == 1) { /* nearly always: no list to walk */
        err = take_contact(w, sip_value(w->msg, SIP_F_CONTACT), expires);
    } else {
        struct sip_values it = sip_values(w->msg, SIP_F_CONTACT);
        struct slice value;
        while (err == OK && sip_values_next(&it, &value)) {
            if (w->wanted_count == capacity)
                return refuse(w, 400, SLICE("Too Many Contacts"), SLICE_EMPTY);
            err = take_contact(w, value, expires);
        }
    }
    if (err)
        return err;
    if (w->star &&
        (w->wanted_count > 1 || expires != 0 || sip_field_first(w->msg, SIP_F_EXPIRES) == NULL))
        return refuse(w, 400, SLICE("Contact * Needs To Be Alone With Expires 0"), SLICE_EMPTY);
    return OK;
}

/** RFC 8599 §5.6.1: which phones want to be woken, and can be. */
static enum err take_push(struct work *w)
{
    const struct registrar_push *config = &w->config->push;

    if (config->provider_count == 0 || w->star || push_is_anothers(w->msg))
        return OK;
    for (uint32_t i = 0; i < w->wanted_count; i++) {
        struct wanted *wanted = &w->wanted[i];
        struct slice reason = SLICE_EMPTY;
        if (wanted->granted == 0 ||
            (wanted->uri.scheme != SIP_SCHEME_SIP && wanted->uri.scheme != SIP_SCHEME_SIPS))
            continue;
        switch (push_take(config, &wanted->contact, &w->push, &reason)) {
        case PUSH_NONE:
            continue;
        case PUSH_UNSUPPORTED:
            return refuse(w, 555, SLICE_EMPTY, SLICE_EMPTY);
        case PUSH_MALFORMED:
            return refuse(w, 400, reason, SLICE_EMPTY);
        case PUSH_WANTED:
            break;
        }
        if (wanted->granted < push_min_expires(config)) /* it would end before we woke it */
            return refuse_brief(w, push_min_expires(config));
        wanted->push = true;
    }
    return OK;
}

static bool path_is_sips(const struct sip_msg *msg)
{
    struct sip_values it = sip_values(msg, SIP_F_PATH);
    struct sip_name_addr addr;
    struct slice value;
    struct sip_uri uri;

    while (sip_values_next(&it, &value))
        if (sip_name_addr_parse(value, &addr) != OK || sip_uri_parse(addr.uri_text, &uri) != OK ||
            uri.scheme != SIP_SCHEME_SIPS)
            return false;
    return true;
}

/** A sips contact is taken only if all the way to it is so (RFC 5630 §5.2). */
static enum err check_sips(struct work *w)
{
    uint32_t sips = 0;

    for (uint32_t i = 0; i < w->wanted_count; i++)
        sips += !w->wanted[i].contact.star && w->wanted[i].uri.scheme == SIP_SCHEME_SIPS;
    if (sips == 0)
        return OK;
    if (sips == w->wanted_count && w->msg->request_uri.scheme == SIP_SCHEME_SIPS &&
        transport_secure((enum transport)w->source->transport) && path_is_sips(w->msg))
        return OK;
    return refuse(w, 400, SLICE("SIPS Contact In A Request That Is Not SIPS"), SLICE_EMPTY);
}

/** Did the request come through somebody else, who may not have written himself into Path? */
static bool is_relayed(const struct sip_msg *msg)
{
    const struct sip_field *field = sip_field_first(msg, SIP_F_VIA);
    return field != NULL &&
           (field->next != 0 || sip_field_value(msg, field).len > msg->via_value.len);
}

/**
 * May a reg-id count (RFC 5626 §6)? Only if who took the REGISTER from the phone has noted its
 * flow: we, or an edge whose Path value says so. The phone's first hop is the last of the list:
 * each proxy puts its own before it (RFC 3327 §5.2).
 */
static bool first_hop_keeps_flows(const struct work *w)
{
    if (w->path.len == 0)
        return !is_relayed(w->msg);

    struct slice rest = w->path, value, last = SLICE_EMPTY;
    struct sip_name_addr edge;
    struct sip_uri uri;
    while (sip_list_next(&rest, &value))
        last = value;
    return sip_name_addr_parse(last, &edge) == OK && sip_uri_parse(edge.uri_text, &uri) == OK &&
           uri.ob;
}

/** RFC 5626 §6. A reg-id without an instance is none. */
static enum err take_flows(struct work *w)
{
    uint32_t flows = 0, kept = 0, kept_flows = 0;

    for (uint32_t i = 0; i < w->wanted_count; i++) {
        struct wanted *wanted = &w->wanted[i];
        if (wanted->contact.instance.len == 0)
            wanted->contact.reg_id = 0;
        flows += wanted->contact.reg_id != 0;
        kept += wanted->granted != 0;
        kept_flows += wanted->granted != 0 && wanted->contact.reg_id != 0;
    }
    if (flows == 0)
        return OK;
    bool asked = sip_has_token(w->msg, SIP_F_SUPPORTED, SLICE("outbound"));
    if (!first_hop_keeps_flows(w)) {
        if (asked)
            return refuse(w, 439, SLICE("First Hop Lacks Outbound Support"), SLICE_EMPTY);
        for (uint32_t i = 0; i < w->wanted_count; i++)
            w->wanted[i].contact.reg_id = 0;
        return OK;
    }
    if (kept > 1 && kept_flows > 0)
        return refuse(w, 400, SLICE("One Flow At A Time"), SLICE_EMPTY);
    w->outbound = asked;
    return OK;
}

/**
 * RFC 5627 §5.1: what wants a GRUU must lead to a phone, not back to its AOR. Only contacts with an
 * instance are looked at: what else leads in a circle is found when it is called.
 */
static enum err take_gruus(struct work *w)
{
    if (!w->config->gruu || !sip_has_token(w->msg, SIP_F_SUPPORTED, SLICE("gruu")) ||
        !gruu_begin(&w->gruus, w->config, w->msg, w->aor, w->now_ms))
        return OK;
    w->gruu = true;
    for (uint32_t i = 0; i < w->wanted_count; i++) {
        const struct wanted *wanted = &w->wanted[i];
        if (wanted->granted == 0 || wanted->contact.instance.len == 0)
            continue;
        if (wanted->uri.scheme != SIP_SCHEME_SIP && wanted->uri.scheme != SIP_SCHEME_SIPS)
            return refuse(w, 403, SLICE("Contact Is Not A SIP URI"), SLICE_EMPTY);
        if (gruu_is_loop(&w->gruus, &wanted->uri))
            return refuse(w, 403, SLICE("Contact Leads Back To Its Address-Of-Record"),
                          SLICE_EMPTY);
    }
    return OK;
}

/* --- What is there --------------------------------------------------------------------------- */

/** Unpacks what has not expired (RFC 3261 §10.2.2); room is left for new ones. */
static enum err load(struct work *w, struct slice current)
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

/**
 * A binding has the Call-ID and CSeq of this request: the request was processed before. OK: it
 * was another one. ERR_DENIED: answered, with 200 when all it asks for is as it asks, else with
 * 500.
 */
static enum err check_repeat(struct work *w, bool *repeat)
{
    uint64_t same = 0, done = 0;

    *repeat = false;
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
        return refuse(w, 500, SLICE("CSeq Was Used"), SLICE_EMPTY);
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
    return refuse(w, 500, SLICE("CSeq Out Of Order"), SLICE_EMPTY);
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

    if (w->path.len > 0 || is_relayed(w->msg))
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
            b = arena_builder(arena, params.len);
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
    return unfold(arena, builder_slice(&b), out);
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
    enum err err = unfold(w->arena, agent, &out->user_agent);
    if (err == OK)
        err = unfold(w->arena, contact->instance, &out->instance);
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

/* --- The answer ------------------------------------------------------------------------------ */

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
    size_t size = FIELDS_OVERHEAD + w->path.len + w->config->service_route.len +
                  push_caps_bytes(&w->config->push, &w->push);
    for (uint32_t i = 0; i < w->entry_count; i++) {
        const struct binding *binding = &w->entries[i].binding;
        size += CONTACT_LINE_OVERHEAD + binding->contact.len + binding->instance.len +
                binding->params.len;
        if (has_gruus(w, binding))
            size += gruu_bytes(&w->gruus, binding);
    }
    struct builder b = arena_builder(w->arena, size);
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

    struct builder b = arena_builder(w->arena, size < BINDING_SET_MAX ? size : BINDING_SET_MAX);
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
    return refuse(w, 403, SLICE("Too Many Contacts"), SLICE_EMPTY);
}

static enum err finish(struct work *w)
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
            return refuse(w, 403, SLICE("Contacts Too Long"), SLICE_EMPTY);
        if (err)
            return err;
    }
    err = write_fields(w, &result.fields);
    if (err)
        return err;
    *w->out = result;
    return OK;
}

/** The steps, in the order of the RFC. ERR_DENIED: the result holds a refusal. */
static enum err process(struct work *w, struct slice current)
{
    enum err err = check_require(w);
    if (err == OK)
        err = check_to(w);
    if (err == OK)
        err = take_path(w);
    if (err == OK)
        err = take_contacts(w);
    if (err == OK)
        err = take_push(w);
    if (err == OK)
        err = check_sips(w);
    if (err == OK)
        err = take_flows(w);
    if (err == OK)
        err = take_gruus(w);
    if (err == OK)
        err = load(w, current);
    if (err)
        return err;

    bool repeat = false;
    if (w->wanted_count > 0)
        err = check_repeat(w, &repeat);
    if (err == OK && !repeat)
        err = w->star ? remove_all(w) : apply_all(w);
    return err == OK ? finish(w) : err;
}

enum err registrar_process(const struct registrar_config *config, const struct sip_msg *request,
                           struct slice aor, struct slice current, const struct flow *source,
                           bool path_ok, uint64_t now_ms, struct arena *arena,
                           struct registrar_result *out)
{
    assert(config->max_contacts <= BINDINGS_MAX);
    assert(config->max_expires > 0);

    struct work w = {
        .config = config,
        .msg = request,
        .source = source,
        .arena = arena,
        .out = out,
        .now_ms = now_ms,
        .aor = aor,
        .path_ok = path_ok,
    };
    enum err err = process(&w, current);
    return err == ERR_DENIED ? OK : err;
}

/* --- Keys and blocks ------------------------------------------------------------------------- */

enum err registrar_aor_key(const struct sip_uri *uri, struct builder *b)
{
    if (!uri->has_user || (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS))
        return ERR_SYNTAX;
    return sip_unescape(b, uri->user);
}

/** The same key with the bindings of `block` that `keep` keeps, as it leaves them. */
typedef bool keep_fn(const void *user, struct binding *binding);

static enum err rewrite(struct slice block, struct arena *arena, keep_fn *keep, const void *user,
                        struct slice *out)
{
    struct builder b = arena_builder(arena, block.len);
    if (b.capacity == 0)
        return ERR_MEMORY;
    binding_block_begin(&b, binding_block_aor(block));

    struct binding binding;
    uint32_t cursor = 0, count = 0;
    while (binding_next(block, &cursor, &binding)) {
        if (!keep(user, &binding))
            continue;
        binding_block_add(&b, &binding);
        count++;
    }
    enum err err = binding_block_end(&b, 0, count);
    assert(err == OK); /* it cannot be longer than it was */
    (void)err;
    *out = count > 0 ? builder_slice(&b) : SLICE_EMPTY;
    return OK;
}

static bool keep_unexpired(const void *user, struct binding *binding)
{
    const uint64_t *now_ms = user;
    return binding->expires_ms > *now_ms;
}

enum err registrar_expire(struct slice block, uint64_t now_ms, struct arena *arena,
                          struct slice *out, bool *changed)
{
    struct binding binding;
    uint32_t cursor = 0;
    bool any = false;

    while (!any && binding_next(block, &cursor, &binding))
        any = binding.expires_ms <= now_ms;
    struct slice rest = block;
    enum err err = any ? rewrite(block, arena, keep_unexpired, &now_ms, &rest) : OK;
    if (err)
        return err;
    *out = rest;
    *changed = any;
    return OK;
}

/* Who is marked, and with what. */
struct marking {
    enum registrar_mark mark;
    registrar_is_fn *is;
    const void *user;
};

static bool *mark_of(const struct marking *marking, struct binding *binding)
{
    return marking->mark == REGISTRAR_FLOW_LOST ? &binding->flow_lost : &binding->push_gone;
}

static bool set_mark(const void *user, struct binding *binding)
{
    const struct marking *marking = user;

    if (marking->is(marking->user, binding))
        *mark_of(marking, binding) = true;
    return true;
}

enum err registrar_mark(struct slice block, enum registrar_mark mark, registrar_is_fn *is,
                        const void *user, struct arena *arena, struct slice *out, bool *changed)
{
    const struct marking marking = {mark, is, user};
    struct binding binding;
    uint32_t cursor = 0;
    bool any = false;

    while (!any && binding_next(block, &cursor, &binding))
        any = !*mark_of(&marking, &binding) && is(user, &binding);

    struct slice marked = block;
    enum err err = any ? rewrite(block, arena, set_mark, &marking, &marked) : OK;
    if (err)
        return err;
    *out = marked;
    *changed = any;
    return OK;
}

static bool uses_conn(const void *user, const struct binding *binding)
{
    const struct conn_id *conn = user;
    return flow_has_conn(&binding->flow) && binding->flow.conn.worker == conn->worker &&
           id_equal(binding->flow.conn.id, conn->id);
}

enum err registrar_flow_lost(struct slice block, struct conn_id conn, struct arena *arena,
                             struct slice *out, bool *changed)
{
    return registrar_mark(block, REGISTRAR_FLOW_LOST, uses_conn, &conn, arena, out, changed);
}
