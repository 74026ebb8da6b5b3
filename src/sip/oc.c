/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/oc.h"

#include "base/builder.h"
#include "sip/lex.h"

enum {
    VALIDITY_MS = 500, /* also the default (§4.3) */
};

bool sip_oc_is_param(struct slice name)
{
    return LEX_SAME(name, "oc") || LEX_SAME(name, "oc-algo") || LEX_SAME(name, "oc-validity") ||
           LEX_SAME(name, "oc-seq");
}

void sip_oc_write(struct builder *b, unsigned percent, uint64_t seq_ms)
{
    builder_text(b, ";oc=");
    builder_u64(b, percent);
    builder_text(b, ";oc-algo=\"loss\";oc-validity=");
    builder_u64(b, percent > 0 ? VALIDITY_MS : 0); /* 0: nothing is asked for (§5.7) */
    builder_text(b, ";oc-seq=");
    builder_u64(b, seq_ms / 1000);
    builder_char(b, '.');
    for (uint64_t unit = 100, rest = seq_ms % 1000; unit > 0; unit /= 10)
        builder_char(b, (char)('0' + rest / unit % 10));
}

void sip_oc_edit(struct sip_edits *edits, struct slice text)
{
    struct sip_values values = sip_values(edits->msg, SIP_F_VIA);
    struct slice value;
    struct sip_via via;
    struct sip_param param;

    bool is_there = sip_values_next(&values, &value);
    is_there = is_there && sip_values_next(&values, &value); /* the second */
    if (!is_there || sip_via_parse(value, &via) != OK || !via.has_oc)
        return; /* his Via has gone lost on the way */
    sip_edit_insert(edits, (uint32_t)(via.params.data - edits->msg->buf.data), text);
    struct slice rest = via.params;
    for (;;) {
        const char *begin = rest.data;
        if (sip_param_next(&rest, &param))
            break;
        if (sip_oc_is_param(param.name))
            sip_edit_replace(edits, slice_between(begin, rest.data), SLICE_EMPTY);
    }
}
