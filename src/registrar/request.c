/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a REGISTER wants, read and judged before anything is looked up:
 *
 *   check_require   step 2   420
 *   check_to        step 5   400
 *   take_path       RFC 3327 §5.3   400, 403, 420
 *   take_contacts   steps 6 and 7: what is wanted, for how long   400, 423
 *   take_push       RFC 8599 §5.6.1: whose phones are woken   400, 423, 555
 *   check_sips      RFC 5630   400
 *   take_flows      RFC 5626 §6: which of them are flows   400, 439
 *   take_gruus      RFC 5627 §5.1: contacts that would lead back   403
 *
 * A Contact of a scheme that we do not route (mailto:, tel:) is kept and listed: §10.2.1 gives the
 * phone the right to register any URI, and refusing it would refuse its SIP contacts too. Nobody is
 * called by it: the core makes targets of sip: and sips: only.
 */
#include "registrar/internal.h"

enum {
    MALFORMED_EXPIRES = 3600, /* seconds; RFC 3261 §20.10 */
    BRIEF_SECONDS = 3600,     /* only shorter intervals may be refused (§10.3 step 7) */
};

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

    size_t size =
        REGISTER_FIELDS_OVERHEAD; /* the separators of one list can become longer by a half */
    for (; field != NULL; field = sip_field_next(w->msg, field))
        size += 2 * (sip_field_value(w->msg, field).len + 1);
    struct builder b = register_builder(w->arena, size);
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
            return register_refuse(w, 400, SLICE("Malformed Require"), SLICE_EMPTY);
        if (b.len > begin)
            builder_text(&b, ", ");
        builder_add(&b, option);
    }
    if (b.len == begin)
        return OK;
    builder_text(&b, "\r\n");
    assert(!b.overflow);
    return register_refuse(w, 420, SLICE_EMPTY, builder_slice(&b));
}

/** The AOR is a SIP or SIPS URI (RFC 3261 §10.2.1). The key was made of it already. */
static enum err check_to(struct work *w)
{
    struct slice to = w->msg->to.uri_text;
    size_t colon = slice_find(to, ':');
    struct slice scheme = {to.data, colon == SIZE_MAX ? 0 : colon};

    if (slice_equal_nocase(scheme, SLICE("sip")) || slice_equal_nocase(scheme, SLICE("sips")))
        return OK;
    return register_refuse(w, 400, SLICE("To Is Not A SIP Address-Of-Record"), SLICE_EMPTY);
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
        return register_refuse(w, 420, SLICE_EMPTY, SLICE("Unsupported: path\r\n"));
    if (!w->path_ok)
        return register_refuse(w, 403, SLICE("Path From A Stranger"), SLICE_EMPTY);

    size_t size = 0;
    for (; field != NULL; field = sip_field_next(w->msg, field))
        size += sip_field_value(w->msg, field).len + 1;
    struct builder b = register_builder(w->arena, size);
    if (b.capacity == 0)
        return ERR_MEMORY;

    struct sip_values it = sip_values(w->msg, SIP_F_PATH);
    struct slice value;
    while (sip_values_next(&it, &value)) {
        if (!path_value_sound(value))
            return register_refuse(w, 400, SLICE("Bad Path"), SLICE_EMPTY);
        if (b.len > 0)
            builder_char(&b, ',');
        builder_add(&b, value);
    }
    assert(!b.overflow);
    return register_unfold(w->arena, builder_slice(&b), &w->path);
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
    struct builder b = register_builder(w->arena, REGISTER_FIELDS_OVERHEAD);
    if (b.capacity == 0)
        return ERR_MEMORY;
    builder_text(&b, "Min-Expires: ");
    builder_u64(&b, min_expires);
    builder_text(&b, "\r\n");
    return register_refuse(w, 423, SLICE_EMPTY, builder_slice(&b));
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
        return register_refuse(w, 400, SLICE("Bad Contact"), SLICE_EMPTY);
    if (contact->star) {
        w->star = true;
        return OK;
    }
    if (sip_uri_parse(contact->addr.uri_text, &wanted->uri) != OK)
        return register_refuse(w, 400, SLICE("Bad Contact URI"), SLICE_EMPTY);
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
                return register_refuse(w, 400, SLICE("Too Many Contacts"), SLICE_EMPTY);
            err = take_contact(w, value, expires);
        }
    }
    if (err)
        return err;
    if (w->star &&
        (w->wanted_count > 1 || expires != 0 || sip_field_first(w->msg, SIP_F_EXPIRES) == NULL))
        return register_refuse(w, 400, SLICE("Contact * Needs To Be Alone With Expires 0"),
                               SLICE_EMPTY);
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
            return register_refuse(w, 555, SLICE_EMPTY, SLICE_EMPTY);
        case PUSH_MALFORMED:
            return register_refuse(w, 400, reason, SLICE_EMPTY);
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
    return register_refuse(w, 400, SLICE("SIPS Contact In A Request That Is Not SIPS"),
                           SLICE_EMPTY);
}

bool register_is_relayed(const struct sip_msg *msg)
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
        return !register_is_relayed(w->msg);

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
            return register_refuse(w, 439, SLICE("First Hop Lacks Outbound Support"), SLICE_EMPTY);
        for (uint32_t i = 0; i < w->wanted_count; i++)
            w->wanted[i].contact.reg_id = 0;
        return OK;
    }
    if (kept > 1 && kept_flows > 0)
        return register_refuse(w, 400, SLICE("One Flow At A Time"), SLICE_EMPTY);
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
            return register_refuse(w, 403, SLICE("Contact Is Not A SIP URI"), SLICE_EMPTY);
        if (gruu_is_loop(&w->gruus, &wanted->uri))
            return register_refuse(w, 403, SLICE("Contact Leads Back To Its Address-Of-Record"),
                                   SLICE_EMPTY);
    }
    return OK;
}

enum err register_take(struct work *w)
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
    return err;
}
