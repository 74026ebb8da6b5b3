/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a REGISTER makes of an AOR's bindings, in the order of RFC 3261 §10.3:
 *
 *   register_take      request.c   what is wanted, and whether it may be
 *   register_load      bindings.c  what is there and has not expired
 *   register_repeats   bindings.c  a retransmission that outlived its transaction: 200, no change
 *   register_change    bindings.c  steps 6 and 7: on a copy   403, 500
 *   register_finish    answer.c    step 8: the new block and the fields of the 200
 *
 * Each step either goes on (OK) or has written the refusal into the result (ERR_DENIED). The
 * present block is only read, so all or nothing needs no undoing.
 */
#include "registrar/internal.h"

enum err register_refuse(struct work *w, uint16_t status, struct slice reason, struct slice fields)
{
    *w->out = (struct registrar_result){
        .action = REGISTRAR_ANSWER, .status = status, .reason = reason, .fields = fields};
    return ERR_DENIED;
}

struct builder register_builder(struct arena *arena, size_t size)
{
    char *data = arena_alloc(arena, size);
    return builder_over(data, data != NULL ? size : 0);
}

enum err register_unfold(struct arena *arena, struct slice s, struct slice *out)
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

/** The steps, in the order of the RFC. ERR_DENIED: the result holds a refusal. */
static enum err process(struct work *w, struct slice current)
{
    bool repeat = false;
    enum err err = register_take(w);

    if (err == OK)
        err = register_load(w, current);
    if (err == OK)
        err = register_repeats(w, &repeat);
    if (err == OK && !repeat)
        err = register_change(w);
    return err == OK ? register_finish(w) : err;
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

enum err registrar_aor_key(const struct sip_uri *uri, struct builder *b)
{
    if (!uri->has_user || (uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS))
        return ERR_SYNTAX;
    return sip_unescape(b, uri->user);
}
