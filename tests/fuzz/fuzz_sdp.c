/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A description, and the same bytes as the multipart body of a message: each asked for everything.
 */
#include <stdlib.h>

#include "sip_exercise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct slice inner, struct slice outer)
{
    return inner.len == 0 ||
           (inner.data >= outer.data && inner.data + inner.len <= outer.data + outer.len);
}

static void exercise_media(const struct sdp_media *media, struct slice text)
{
    struct sdp_format formats[16];
    struct addr addr;

    sip_must(lies_in(media->lines, text) && lies_in(media->format, text) &&
                 lies_in(media->host, text) && lies_in(media->proto, text),
             "a medium lies in the text");
    sip_must(media->format.len > 0 && media->name.len > 0, "a medium has a name and formats");
    if (sdp_address(media, &addr))
        sip_must(addr.port == media->port, "the port is the medium's");
    if (sdp_is_hold(media))
        sip_must(media->port != 0, "what is refused is not on hold");
    uint8_t codecs[4];
    unsigned known = sdp_codecs(media, codecs, 0, COUNT_OF(codecs));
    sip_must(known <= COUNT_OF(codecs), "no more codecs than there is room for");
    for (unsigned i = 0; i < known; i++)
        sip_must(codecs[i] > CODEC_NONE && codecs[i] < CODEC_COUNT, "codecs have numbers");
    uint32_t count = sdp_formats(media, formats, COUNT_OF(formats));
    sip_must(count <= COUNT_OF(formats), "no more formats than there is room for");
    for (uint32_t i = 0; i < count; i++) {
        sip_must(formats[i].name.len > 0 && formats[i].payload < SDP_PAYLOADS, "a format is whole");
        sip_must(lies_in(sdp_fmtp(media, formats[i].payload), text), "parameters lie in the text");
    }
}

static void exercise(struct slice text)
{
    struct sdp sdp;

    if (sdp_parse(text, &sdp) != OK)
        return;
    sip_must(sdp.count <= SDP_MEDIA_MAX, "no more media than there is room for");
    for (unsigned i = 0; i < sdp.count; i++)
        exercise_media(&sdp.media[i], text);
    const struct sdp_media *audio = sdp_first(&sdp, SDP_AUDIO);
    sip_must(audio == NULL || audio->kind == SDP_AUDIO, "audio is audio");
}

static void exercise_body(struct slice body)
{
    struct sip_msg msg = {.is_request = true, .body = body};
    struct slice found;
    char text[] = "Content-Type: multipart/mixed;boundary=b\r\n";

    msg.buf = slice_of(text);
    msg.field_count = 1;
    msg.fields[0] = (struct sip_field){.begin = 0,
                                       .value_begin = 14,
                                       .value_end = sizeof text - 3,
                                       .end = sizeof text - 1,
                                       .id = SIP_F_CONTENT_TYPE};
    msg.first[SIP_F_CONTENT_TYPE] = 1;
    if (sdp_find(&msg, &found) != OK)
        return;
    sip_must(lies_in(found, body), "what is found lies in the body");
    exercise(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + 1); /* so that a byte too many is noticed */
    if (copy == NULL)
        return 0;
    memcpy(copy, data, size);
    char *exact = realloc(copy, size > 0 ? size : 1);
    struct slice text = {exact != NULL ? exact : copy, size};
    exercise(text);
    exercise_body(text);
    free(exact != NULL ? exact : copy);
    return 0;
}
