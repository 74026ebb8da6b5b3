/* SPDX-License-Identifier: Apache-2.0 */
#include "registrar/push.h"

enum {
    CAPS_OVERHEAD = 96 /* bytes of a line beside its provider and the VAPID key */
};

/** Has a value of Feature-Caps the indicator sip.pns? */
static bool names_pns(struct slice value)
{
    size_t semicolon = slice_find(value, ';');
    struct sip_param param;

    if (semicolon == SIZE_MAX)
        return false;
    return sip_param_find(slice_from(value, semicolon), SLICE("+sip.pns"), &param);
}

bool push_is_anothers(const struct sip_msg *msg)
{
    for (unsigned i = 0; i < msg->field_count; i++) {
        const struct sip_field *field = &msg->fields[i];
        struct slice name =
            slice_between(msg->buf.data + field->begin, msg->buf.data + field->value_begin);
        size_t colon = slice_find(name, ':');
        if (field->id != SIP_F_OTHER || colon == SIZE_MAX)
            continue;
        name.len = colon;
        if (!slice_equal_nocase(slice_trim(name), SLICE("Feature-Caps")))
            continue;
        struct slice rest = sip_field_value(msg, field), value;
        while (sip_list_next(&rest, &value))
            if (names_pns(value))
                return true;
    }
    return false;
}

/** The place of a provider in the configuration; -1: we do not know it. */
static int provider_index(const struct registrar_push *config, struct slice name)
{
    for (uint32_t i = 0; i < config->provider_count; i++)
        if (slice_equal_nocase(config->providers[i], name))
            return (int)i;
    return -1;
}

/** APNs and FCM cannot do without pn-param (§10, §11), Web Push has none (§12). */
static const char *param_fault(const struct push_params *push)
{
    bool needed = slice_equal_nocase(push->provider, SLICE("apns")) ||
                  slice_equal_nocase(push->provider, SLICE("fcm"));
    bool forbidden = slice_equal_nocase(push->provider, SLICE("webpush"));

    if (needed && push->param.len == 0)
        return "Missing pn-param";
    return forbidden && push->has_param ? "pn-param Not For Web Push" : NULL;
}

static const char *fault_of(const struct push_params *push)
{
    if (push->prid.len == 0)
        return "Empty pn-prid";
    if (push->prid.len > PUSH_PRID_MAX)
        return "pn-prid Too Long";
    if (push->param.len > PUSH_PARAM_MAX)
        return "pn-param Too Long";
    return param_fault(push);
}

enum push_verdict push_take(const struct registrar_push *config, const struct sip_contact *contact,
                            struct push_work *work, struct slice *reason)
{
    struct push_params push;
    struct sip_param param;

    if (!push_params_find(contact->addr.uri_text, &push) || !push.has_provider)
        return PUSH_NONE;
    if (push.provider.len == 0) { /* §4.1.5: which are there? */
        work->named = (uint32_t)((UINT64_C(1) << config->provider_count) - 1);
        return PUSH_NONE;
    }
    int index = provider_index(config, push.provider);
    if (index < 0)
        return PUSH_UNSUPPORTED;
    work->named |= UINT32_C(1) << index;
    if (!push.has_prid)
        return PUSH_NONE; /* a question, too: or it does not want to be woken any more (§4.1.2) */
    const char *fault = fault_of(&push);
    if (fault != NULL) {
        *reason = slice_of(fault);
        return PUSH_MALFORMED;
    }
    work->wakes_itself |= sip_param_find(contact->addr.params, SLICE("+sip.pnsreg"), &param);
    return PUSH_WANTED;
}

static uint32_t lead(const struct registrar_push *config)
{
    return config->lead > PUSH_LEAD_MIN_S ? config->lead : PUSH_LEAD_MIN_S;
}

uint32_t push_min_expires(const struct registrar_push *config)
{
    return config->lead > 0 ? lead(config) + PUSH_MARGIN_S : 0;
}

size_t push_caps_bytes(const struct registrar_push *config, const struct push_work *work)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < config->provider_count; i++)
        if ((work->named >> i & 1) != 0)
            bytes += CAPS_OVERHEAD + config->providers[i].len + config->vapid.len;
    return bytes;
}

void push_write_caps(const struct registrar_push *config, const struct push_work *work,
                     struct builder *b)
{
    for (uint32_t i = 0; i < config->provider_count; i++) {
        if ((work->named >> i & 1) == 0)
            continue;
        builder_text(b, "Feature-Caps: *;+sip.pns=\"");
        builder_add(b, config->providers[i]);
        builder_char(b, '"');
        if (config->vapid.len > 0 && slice_equal_nocase(config->providers[i], SLICE("webpush"))) {
            builder_text(b, ";+sip.vapid=\"");
            builder_add(b, config->vapid);
            builder_char(b, '"');
        }
        if (work->wakes_itself) {
            builder_text(b, ";+sip.pnsreg=\"");
            builder_u64(b, lead(config) + PUSH_OWN_S);
            builder_char(b, '"');
        }
        builder_text(b, "\r\n");
    }
}
