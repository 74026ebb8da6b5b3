/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registrar/gruu - GRUUs in REGISTER and its 200 (RFC 5627 §5). Private to the room.
 */
#ifndef REGISTRAR_GRUU_H
#define REGISTRAR_GRUU_H

#include "registrar/registrar.h"

/** What one REGISTER says that concerns GRUUs. */
struct gruu_work {
    const struct registrar_config *config;
    const struct sip_msg *msg;
    struct sip_uri aor; /* To */
    uint64_t aor_hash;
    uint64_t now_ms;
};

/** False: To cannot be made a GRUU of. `aor`: its key. */
bool gruu_begin(struct gruu_work *work, const struct registrar_config *config,
                const struct sip_msg *msg, struct slice aor, uint64_t now_ms);

/** Is this contact the AOR itself, or a GRUU of it? It would lead back to itself (§5.1: 403). */
bool gruu_is_loop(const struct gruu_work *work, const struct sip_uri *contact);

/**
 * Writes pub-gruu and temp-gruu, with their semicolons, for a binding with an instance and
 * gruu_since_ms (§5.2). At most gruu_bytes() long.
 */
void gruu_write(const struct gruu_work *work, const struct binding *binding, struct builder *b);
size_t gruu_bytes(const struct gruu_work *work, const struct binding *binding);

#endif
