/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"

#define NAME(text)                                                                                 \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

// clang-format off
static const struct slice codec_names[CODEC_COUNT] = {
    [CODEC_NONE] = NAME(""),
    [CODEC_PCMU] = NAME("PCMU"),
    [CODEC_PCMA] = NAME("PCMA"),
    [CODEC_G722] = NAME("G722"),
    [CODEC_G729] = NAME("G729"),
    [CODEC_OPUS] = NAME("opus"),
    [CODEC_GSM] = NAME("GSM"),
    [CODEC_ILBC] = NAME("iLBC"),
    [CODEC_SPEEX] = NAME("speex"),
    [CODEC_AMR] = NAME("AMR"),
    [CODEC_AMR_WB] = NAME("AMR-WB"),
    [CODEC_EVS] = NAME("EVS"),
    [CODEC_G723] = NAME("G723"),
    [CODEC_G726_32] = NAME("G726-32"),
    [CODEC_G728] = NAME("G728"),
    [CODEC_L16] = NAME("L16"),
    [CODEC_SILK] = NAME("SILK"),
    [CODEC_VP8] = NAME("VP8"),
    [CODEC_VP9] = NAME("VP9"),
    [CODEC_AV1] = NAME("AV1"),
    [CODEC_H261] = NAME("H261"),
    [CODEC_H263] = NAME("H263"),
    [CODEC_H264] = NAME("H264"),
    [CODEC_H265] = NAME("H265"),
    [CODEC_T140] = NAME("t140"),
};
// clang-format on

enum codec codec_of(struct slice name)
{
    for (unsigned codec = CODEC_NONE + 1; codec < CODEC_COUNT; codec++)
        if (name.len == codec_names[codec].len && slice_equal_nocase(name, codec_names[codec]))
            return (enum codec)codec;
    return CODEC_NONE;
}

const char *codec_name(unsigned codec)
{
    return codec < CODEC_COUNT ? codec_names[codec].data : "";
}
