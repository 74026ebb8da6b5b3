/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored blocks written anew without a request: what expired, and what is marked.
 */
#include "registrar/internal.h"

/** The same key with the bindings of `block` that `keep` keeps, as it leaves them. */
typedef bool keep_fn(const void *user, struct binding *binding);

static enum err rewrite(struct slice block, struct arena *arena, keep_fn *keep, const void *user,
                        struct slice *out)
{
    struct builder b = register_builder(arena, block.len);
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
