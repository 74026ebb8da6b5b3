/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip/edit - a message is edited, not rebuilt.
 *
 * An edit drops some bytes of the message and puts others in their place.
 * Edits are kept in the order of their offsets and must not overlap; they are
 * applied in one pass that copies what did not change. Inserts at one offset
 * come out in the order in which they were made.
 *
 * Memory:  inserted text is borrowed until sip_edits_write().
 */
#ifndef SIP_EDIT_H
#define SIP_EDIT_H

#include "sip/msg.h"

enum {
    SIP_EDITS_MAX = 64
};

struct sip_edit {
    uint32_t at;
    uint32_t drop;
    struct slice insert;
};

struct sip_edits {
    const struct sip_msg *msg;
    uint32_t count;
    bool overflow; /* sticky: one edit too many, or overlapping ones; sip_edits_write() fails */
    struct sip_edit items[SIP_EDITS_MAX];
};

/** No edits yet. Does not touch items. */
void sip_edits_init(struct sip_edits *edits, const struct sip_msg *msg);

/** Replaces `old`, which lies in the message's bytes, by `text`. */
void sip_edit_replace(struct sip_edits *edits, struct slice old, struct slice text);

/** Inserts before byte `at` of the message. */
void sip_edit_insert(struct sip_edits *edits, uint32_t at, struct slice text);

/** Drops a whole field with its CRLF. */
void sip_edit_drop_field(struct sip_edits *edits, const struct sip_field *field);

/** Drops all fields with `id`. */
void sip_edit_drop_all(struct sip_edits *edits, enum sip_field_id id);

/** Drops the first value of a comma-list header: the field, or the value with its comma. */
void sip_edit_drop_first_value(struct sip_edits *edits, enum sip_field_id id);

/** Inserts a whole line (with its CRLF) before the first field with `id`; at the end of the
 * header section when there is none. */
void sip_edit_add_before(struct sip_edits *edits, enum sip_field_id id, struct slice line);

/** Inserts a line right after the start line. */
void sip_edit_add_first(struct sip_edits *edits, struct slice line);

/** Inserts a line at the end of the header section. */
void sip_edit_add_last(struct sip_edits *edits, struct slice line);

/** Writes the edited message. ERR_TOO_BIG when it does not fit; ERR_FULL on overflowed edits. */
MUST_CHECK enum err sip_edits_write(const struct sip_edits *edits, struct builder *b);

/** Bytes that sip_edits_write() will write. */
size_t sip_edits_size(const struct sip_edits *edits);

#endif
