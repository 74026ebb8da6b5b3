/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec - the codecs that have a number of ours: what is kept of a call has no room for names.
 */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/slice.h"

/** They are in journals and databases: never change one. */
enum codec {
    CODEC_NONE = 0, /* none, or one without a number */
    CODEC_PCMU,
    CODEC_PCMA,
    CODEC_G722,
    CODEC_G729,
    CODEC_OPUS,
    CODEC_GSM,
    CODEC_ILBC,
    CODEC_SPEEX,
    CODEC_AMR,
    CODEC_AMR_WB,
    CODEC_EVS,
    CODEC_G723,
    CODEC_G726_32,
    CODEC_G728,
    CODEC_L16,
    CODEC_SILK,
    CODEC_VP8,
    CODEC_VP9,
    CODEC_AV1,
    CODEC_H261,
    CODEC_H263,
    CODEC_H264,
    CODEC_H265,
    CODEC_T140,
    CODEC_COUNT,
};

/** The number of a codec by its name, whatever the case; NONE: it has no number. */
enum codec codec_of(struct slice name);
/** Its name as IANA writes it, such as "PCMU"; "" for NONE and what is no codec. Static. */
const char *codec_name(unsigned codec);

#endif
