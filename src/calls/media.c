/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls/media - what the two sides of a call say of their media, and for how long it is on hold.
 */
#include "calls/internal.h"

enum {
    AUDIO_CODECS_MAX = 4, /* so that there is room for those of video */
};

/* ---- from a description ---- */

static uint8_t kind_of(const struct sdp_media *media)
{
    switch ((enum sdp_kind)media->kind) {
    case SDP_AUDIO:
        return CALL_AUDIO;
    case SDP_VIDEO:
        return CALL_VIDEO;
    case SDP_TEXT:
        return CALL_TEXT;
    case SDP_APPLICATION:
        return CALL_APPLICATION;
    case SDP_IMAGE:
        return CALL_IMAGE;
    case SDP_MESSAGE:
        return CALL_MESSAGE;
    case SDP_OTHER_KIND:
        break;
    }
    return 0;
}

/** Adds those that have a number and are not there yet, up to `max` in all. */
static void add_codecs(struct call_side *side, const struct sdp_media *media, unsigned max)
{
    unsigned count = 0;

    while (count < max && side->codecs[count] != CODEC_NONE)
        count++;
    (void)sdp_codecs(media, side->codecs, count, max);
}

static void add_kind(struct call_side *side, const struct sdp *sdp, bool audio)
{
    for (unsigned i = 0; i < sdp->count; i++) {
        const struct sdp_media *media = &sdp->media[i];
        if (media->port != 0 && (media->kind == SDP_AUDIO) == audio)
            add_codecs(side, media, audio ? AUDIO_CODECS_MAX : CALL_CODECS_MAX);
    }
}

static void set_address(struct call_side *side, const struct sdp_media *media)
{
    struct addr addr;

    side->port = media->port;
    if (!sdp_address(media, &addr))
        return;
    side->family = addr.family;
    memcpy(side->bytes, addr.bytes, sizeof side->bytes);
}

bool calls_describes(const struct sip_msg *msg, struct call_side *out)
{
    struct call_side side = {0};
    const struct sdp_media *first = NULL;
    struct sdp sdp;
    bool hold = true;

    if (msg->body.len == 0 || sdp_of(msg, &sdp) != OK)
        return false;
    for (unsigned i = 0; i < sdp.count; i++) {
        const struct sdp_media *media = &sdp.media[i];
        if (media->port == 0)
            continue;
        side.kinds |= kind_of(media);
        hold &= sdp_is_hold(media);
        if (first == NULL || (media->kind == SDP_AUDIO && first->kind != SDP_AUDIO))
            first = media;
    }
    if (first != NULL) {
        set_address(&side, first);
        side.kinds |= hold ? CALL_HOLD : 0;
    }
    add_kind(&side, &sdp, true);
    add_kind(&side, &sdp, false);
    *out = side;
    return true;
}

/* ---- in a call ---- */

void call_hold(struct call *call, uint64_t now_ms)
{
    bool holds = ((call->caller_media.kinds | call->callee_media.kinds) & CALL_HOLD) != 0;
    bool hold = holds && call->answer_ms != 0 && call->end_ms == 0;
    uint64_t utc_ms = call->end_ms != 0 ? call->end_ms : call_utc(call, now_ms);

    if (hold && call->hold_since_ms == 0)
        call->hold_since_ms = utc_ms;
    if (hold || call->hold_since_ms == 0)
        return;
    uint64_t ms = utc_ms > call->hold_since_ms ? utc_ms - call->hold_since_ms : 0;
    call->hold_ms = ms < UINT32_MAX - call->hold_ms ? call->hold_ms + (uint32_t)ms : UINT32_MAX;
    call->hold_since_ms = 0;
}

void calls_media(struct calls *calls, struct id id, enum call_party party,
                 const struct call_side *side, uint64_t now_ms)
{
    struct call *call = call_of(calls, id);

    assert(party == CALL_P_CALLER || party == CALL_P_CALLEE);
    if (call == NULL || call->end_ms != 0)
        return;
    struct call_side *kept = party == CALL_P_CALLER ? &call->caller_media : &call->callee_media;
    if (memcmp(kept, side, sizeof *kept) == 0)
        return;
    *kept = *side;
    call_hold(call, now_ms);
    if (call->state == ATTEMPT_UP)
        (void)!call_save(call, now_ms);
}
