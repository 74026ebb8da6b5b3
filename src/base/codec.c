/* SPDX-License-Identifier: Apache-2.0 */
#include "base/codec.h"

static const char *const codec_names[CODEC_COUNT] = {
    [CODEC_NONE] = "",     [CODEC_PCMU] = "PCMU",       [CODEC_PCMA] = "PCMA",
    [CODEC_G722] = "G722", [CODEC_G729] = "G729",       [CODEC_OPUS] = "opus",
    [CODEC_GSM] = "GSM",   [CODEC_ILBC] = "iLBC",       [CODEC_SPEEX] = "speex",
    [CODEC_AMR] = "AMR",   [CODEC_AMR_WB] = "AMR-WB",   [CODEC_EVS] = "EVS",
    [CODEC_G723] = "G723", [CODEC_G726_32] = "G726-32", [CODEC_G728] = "G728",
    [CODEC_L16] = "L16",   [CODEC_SILK] = "SILK",       [CODEC_VP8] = "VP8",
    [CODEC_VP9] = "VP9",   [CODEC_AV1] = "AV1",         [CODEC_H261] = "H261",
    [CODEC_H263] = "H263", [CODEC_H264] = "H264",       [CODEC_H265] = "H265",
    [CODEC_T140] = "t140",
};

enum codec codec_of(struct slice name)
{
    for (unsigned codec = CODEC_NONE + 1; codec < CODEC_COUNT; codec++)
        if (slice_equal_nocase(name, slice_of(codec_names[codec])))
            return (enum codec)codec;
    return CODEC_NONE;
}

const char *codec_name(unsigned codec)
{
    return codec < CODEC_COUNT ? codec_names[codec] : "";
}
