/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A public GRUU is the AOR with gr=INSTANCE; a temporary one has a sealed token for a user part and
 * a gr without value. Neither needs anything to be kept but, in the binding, since when the
 * temporary ones count.
 */
#include "registrar/gruu.h"

#include "proxy/gruu.h"

enum {
    OVERHEAD = 96, /* bytes around the strings of both parameters */
    INSTANCE_MAX = 256
};

/* ---- the value of gr ---- */

static struct slice without_brackets(struct slice instance)
{
    if (instance.len >= 2 && instance.data[0] == '<' && instance.data[instance.len - 1] == '>')
        return (struct slice){instance.data + 1, instance.len - 2};
    return instance;
}

/** RFC 3261 §25.1: paramchar = param-unreserved / unreserved / escaped */
static bool is_param_char(char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("[]/:&+$-_.!~*'()", c) != NULL;
}

void registrar_gr_write(struct builder *b, struct slice instance)
{
    static const char digits[] = "0123456789ABCDEF";
    struct slice name = without_brackets(instance);

    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (is_param_char((char)c)) {
            builder_char(b, (char)c);
            continue;
        }
        builder_char(b, '%');
        builder_char(b, digits[c >> 4]);
        builder_char(b, digits[c & 15]);
    }
}

bool registrar_gr_names(struct slice gr, struct slice instance)
{
    char text[INSTANCE_MAX];
    struct builder b = builder_over(text, sizeof text);

    return gr.len > 0 && sip_unescape(&b, gr) == OK &&
           slice_equal_nocase(builder_slice(&b), without_brackets(instance));
}

/* ---- REGISTER ---- */

bool gruu_begin(struct gruu_work *work, const struct registrar_config *config,
                const struct sip_msg *msg, struct slice aor, uint64_t now_ms)
{
    *work = (struct gruu_work){.config = config, .msg = msg, .now_ms = now_ms};
    if (sip_uri_parse(msg->to.uri_text, &work->aor) != OK || !work->aor.has_user)
        return false;
    work->aor_hash = hash_bytes(config->hash_seed, aor);
    struct slice user = work->aor.user; /* it will stand in a quoted string */
    return slice_find(user, '"') == SIZE_MAX && slice_find(user, '\\') == SIZE_MAX;
}

bool gruu_is_loop(const struct gruu_work *work, const struct sip_uri *contact)
{
    const struct slice prefix = SLICE(REGISTRAR_TEMP_GRUU);
    struct proxy_gruu gruu;

    if (sip_uri_equal(contact, &work->aor)) /* so is a public GRUU: gr stands on one side only */
        return true;
    return contact->has_gr && slice_starts_with(contact->user, prefix) &&
           proxy_gruu_read(slice_from(contact->user, prefix.len), &work->config->gruu_key, &gruu) ==
               OK &&
           gruu.aor_hash == work->aor_hash;
}

/* ---- the 200 ---- */

static void write_host(const struct gruu_work *work, struct builder *b)
{
    builder_add(b, work->aor.host);
    if (work->aor.port != 0) {
        builder_char(b, ':');
        builder_u64(b, work->aor.port);
    }
}

static void write_scheme(const struct gruu_work *work, struct builder *b)
{
    builder_add(b, work->aor.scheme == SIP_SCHEME_SIPS ? SLICE("sips:") : SLICE("sip:"));
}

/** Never twice the same: no two bindings and no two REGISTERs have all of this in common. */
static uint64_t nonce_of(const struct gruu_work *work, const struct binding *binding)
{
    const struct hash_key *key = &work->config->gruu_key;
    const uint64_t parts[] = {work->aor_hash,
                              hash_mac(key, work->msg->call_id),
                              work->msg->cseq.number,
                              work->now_ms,
                              binding->reg_id,
                              binding->registered_ms,
                              hash_mac(key, binding->contact)};

    return hash_mac(key, (struct slice){(const char *)parts, sizeof parts});
}

void gruu_write(const struct gruu_work *work, const struct binding *binding, struct builder *b)
{
    const struct hash_key *key = &work->config->gruu_key;
    const struct proxy_gruu gruu = {
        .aor_hash = work->aor_hash,
        .instance = proxy_gruu_instance(key, binding->instance),
        .issued_ms = binding->gruu_since_ms > work->now_ms ? binding->gruu_since_ms : work->now_ms,
    };

    builder_text(b, ";pub-gruu=\"");
    write_scheme(work, b);
    builder_add(b, work->aor.user);
    builder_char(b, '@');
    write_host(work, b);
    builder_text(b, ";gr=");
    registrar_gr_write(b, binding->instance);
    builder_text(b, "\";temp-gruu=\"");
    write_scheme(work, b);
    builder_text(b, REGISTRAR_TEMP_GRUU);
    proxy_gruu_write(b, key, nonce_of(work, binding), &gruu);
    builder_char(b, '@');
    write_host(work, b);
    builder_text(b, ";gr\"");
}

size_t gruu_bytes(const struct gruu_work *work, const struct binding *binding)
{
    return OVERHEAD + work->aor.user.len + 2 * work->aor.host.len + 3 * binding->instance.len +
           PROXY_GRUU_CHARS;
}
