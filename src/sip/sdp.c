/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/sdp.h"

#include "sip/lex.h"

/* ---- lines ---- */

/** Takes one line off `*rest`, without its end. False at the end of the text. */
static inline bool next_line(struct slice *rest, struct slice *line)
{
    if (rest->len == 0)
        return false;
    const char *begin = rest->data, *end = begin + rest->len;
    const char *stop = scan_two(begin, end, '\r', '\n');

    *line = slice_between(begin, stop);
    if (stop < end && *stop == '\r')
        stop++;
    if (stop < end && *stop == '\n')
        stop++;
    *rest = slice_between(stop, end);
    return true;
}

/** The next word of a line; words are separated by single spaces, and more are forgiven. */
static bool next_word(struct slice *rest, struct slice *word)
{
    const char *at = rest->data, *end = at + rest->len; /* words are too short for memchr() */

    while (at < end && *at == ' ')
        at++;
    const char *begin = at;
    while (at < end && *at != ' ')
        at++;
    *word = slice_between(begin, at);
    *rest = slice_between(at, end);
    return word->len > 0;
}

/* ---- words with a number ---- */

struct word {
    const char *text;
    uint8_t value;
};

static uint8_t value_of(const struct word *words, size_t count, struct slice text)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_nocase(text, slice_of(words[i].text)))
            return words[i].value;
    return 0;
}

static const struct word kinds[] = {
    {"audio", SDP_AUDIO}, {"video", SDP_VIDEO},
    {"text", SDP_TEXT},   {"application", SDP_APPLICATION},
    {"image", SDP_IMAGE}, {"message", SDP_MESSAGE},
};

static const struct word profiles[] = {
    {"RTP/AVP", SDP_RTP_AVP},
    {"RTP/SAVP", SDP_RTP_SAVP},
    {"UDP/TLS/RTP/SAVPF", SDP_TLS_SAVPF},
    {"RTP/AVPF", SDP_RTP_AVPF},
    {"RTP/SAVPF", SDP_RTP_SAVPF},
    {"UDP/TLS/RTP/SAVP", SDP_TLS_SAVP},
    {"udptl", SDP_UDPTL},
    {"UDP/DTLS/SCTP", SDP_DTLS_SCTP},
    {"DTLS/SCTP", SDP_DTLS_SCTP},
};

static const struct word setups[] = {
    {"active", SDP_ACTIVE},
    {"passive", SDP_PASSIVE},
    {"actpass", SDP_ACTPASS},
    {"holdconn", SDP_HOLDCONN},
};

/* ---- c= and m= ---- */

/**
 * connection-field = "c=" nettype SP addrtype SP connection-address (RFC 8866 §5.7). Of a network
 * that is not the Internet there is no host.
 */
static bool read_connection(struct slice value, struct slice *host)
{
    struct slice network, type, address;

    if (!next_word(&value, &network) || !next_word(&value, &type) || !next_word(&value, &address))
        return false;
    if (!slice_equal_nocase(network, SLICE("IN"))) {
        *host = SLICE_EMPTY;
        return true;
    }
    size_t slash = slice_find(address, '/'); /* the TTL and number of multicast addresses */
    if (slash != SIZE_MAX)
        address.len = slash;
    *host = address;
    return address.len > 0;
}

/** port ["/" integer], at most 65535 each. */
static bool read_ports(struct slice text, struct sdp_media *media)
{
    struct lex lex = lex_over(text);
    uint32_t port, count = 1;

    if (lex_u32(&lex, &port) != OK || port > UINT16_MAX)
        return false;
    if (lex_char(&lex, '/') && (lex_u32(&lex, &count) != OK || count > UINT16_MAX))
        return false;
    media->port = (uint16_t)port;
    media->port_count = (uint16_t)count;
    return lex_end(&lex);
}

/** media-field = "m=" media SP port ["/" integer] SP proto 1*(SP fmt) (RFC 8866 §5.14). */
static bool read_media(struct slice value, struct sdp_media *media)
{
    struct slice ports;

    if (!next_word(&value, &media->name) || !next_word(&value, &ports) ||
        !next_word(&value, &media->proto) || !read_ports(ports, media))
        return false;
    media->format = slice_trim(value);
    media->kind = value_of(kinds, COUNT_OF(kinds), media->name);
    media->profile = value_of(profiles, COUNT_OF(profiles), media->proto);
    return media->format.len > 0;
}

/* ---- a= ---- */

static void read_attribute(struct slice text, struct sdp_media *media)
{
    if (slice_starts_with(text, SLICE("rtpmap:")) || slice_starts_with(text, SLICE("fmtp:")))
        return; /* most are */

    struct sdp_attribute a = {.name = text};
    size_t colon = slice_find(text, ':');

    if (colon != SIZE_MAX)
        a = (struct sdp_attribute){{text.data, colon}, slice_from(text, colon + 1)};
    switch (a.name.len) {
    case 5:
        if (slice_equal(a.name, SLICE("setup")))
            media->setup = value_of(setups, COUNT_OF(setups), slice_trim(a.value));
        break;
    case 6:
        media->crypto |= slice_equal(a.name, SLICE("crypto"));
        break;
    case 8:
        if (slice_equal(a.name, SLICE("sendrecv")))
            media->direction = SDP_SENDRECV;
        else if (slice_equal(a.name, SLICE("sendonly")))
            media->direction = SDP_SENDONLY;
        else if (slice_equal(a.name, SLICE("recvonly")))
            media->direction = SDP_RECVONLY;
        else if (slice_equal(a.name, SLICE("inactive")))
            media->direction = SDP_INACTIVE;
        else
            media->rtcp_mux |= slice_equal(a.name, SLICE("rtcp-mux"));
        break;
    case 9:
        media->ice |= slice_equal(a.name, SLICE("ice-ufrag"));
        media->candidate |= slice_equal(a.name, SLICE("candidate"));
        break;
    case 11:
        media->fingerprint |= slice_equal(a.name, SLICE("fingerprint"));
        break;
    default:
        break;
    }
}

/* ---- the description ---- */

struct reader {
    struct sdp *sdp;
    struct sdp_media session;  /* what it says for all media */
    struct sdp_media *media;   /* at hand; NULL: still the session's part */
    const char *section_begin; /* of `lines` */
};

static void end_section(struct reader *reader, const char *end)
{
    struct slice lines = slice_between(reader->section_begin, end);

    if (reader->media != NULL)
        reader->media->lines = lines;
    else
        reader->sdp->lines = lines;
}

static enum err begin_media(struct reader *reader, struct slice line, struct slice value,
                            const char *next)
{
    if (reader->sdp->count == SDP_MEDIA_MAX)
        return ERR_FULL;
    end_section(reader, line.data);
    reader->media = &reader->sdp->media[reader->sdp->count++];
    *reader->media = reader->session;
    reader->section_begin = next;
    return read_media(value, reader->media) ? OK : ERR_SYNTAX;
}

static enum err read_line(struct reader *reader, struct slice line, const char *next)
{
    struct sdp_media *at = reader->media != NULL ? reader->media : &reader->session;

    if (line.len == 0)
        return OK; /* some end with an empty line */
    if (line.len < 2 || line.data[1] != '=')
        return ERR_SYNTAX;
    struct slice value = slice_from(line, 2);
    switch (line.data[0]) {
    case 'a':
        read_attribute(value, at);
        return OK;
    case 'c':
        return read_connection(value, &at->host) ? OK : ERR_SYNTAX;
    case 'm':
        return begin_media(reader, line, value, next);
    case 'o':
        reader->sdp->origin = value;
        return OK;
    default:
        return OK;
    }
}

enum err sdp_parse(struct slice text, struct sdp *out)
{
    struct reader reader = {.sdp = out, .section_begin = text.data};
    struct slice rest = text, line;

    out->count = 0;
    out->origin = out->session_host = SLICE_EMPTY;
    if (!slice_starts_with(text, SLICE("v=")))
        return ERR_SYNTAX;
    while (next_line(&rest, &line)) {
        enum err err = read_line(&reader, line, rest.data);
        if (err)
            return err;
    }
    end_section(&reader, text.data + text.len);
    out->session_host = reader.session.host;
    return OK;
}

enum err sdp_of(const struct sip_msg *msg, struct sdp *out)
{
    struct slice text;

    if (msg->body.len == 0)
        return ERR_NOT_FOUND;
    enum err err = sdp_find(msg, &text);
    return err == OK ? sdp_parse(text, out) : err;
}

/* ---- questions ---- */

const struct sdp_media *sdp_first(const struct sdp *sdp, enum sdp_kind kind)
{
    const struct sdp_media *refused = NULL;

    for (unsigned i = 0; i < sdp->count; i++) {
        const struct sdp_media *media = &sdp->media[i];
        if (media->kind != kind)
            continue;
        if (media->port != 0)
            return media;
        if (refused == NULL)
            refused = media;
    }
    return refused;
}

bool sdp_address(const struct sdp_media *media, struct addr *out)
{
    return media->host.len > 0 && addr_parse(media->host, media->port, out) == OK;
}

bool sdp_is_hold(const struct sdp_media *media)
{
    struct addr addr;

    if (media->port == 0)
        return false;
    if (media->direction == SDP_SENDONLY || media->direction == SDP_INACTIVE)
        return true;
    bool may_be = media->host.len > 0 && (media->host.data[0] == '0' || media->host.data[0] == ':');
    return may_be && sdp_address(media, &addr) && addr_is_any(&addr);
}

bool sdp_attribute_next(struct slice *rest, struct sdp_attribute *out)
{
    struct slice line;

    while (next_line(rest, &line)) {
        if (!slice_starts_with(line, SLICE("a=")))
            continue;
        struct slice text = slice_from(line, 2);
        size_t colon = slice_find(text, ':');
        *out = (struct sdp_attribute){.name = text};
        if (colon != SIZE_MAX)
            *out = (struct sdp_attribute){{text.data, colon}, slice_from(text, colon + 1)};
        return true;
    }
    return false;
}

/* ---- payload types ---- */

/** RFC 3551 §6. */
struct static_format {
    const char *name;
    uint32_t rate;
    uint8_t channels;
};

// clang-format off
static const struct static_format static_formats[35] = {
    [0] = {"PCMU", 8000, 1},   [3] = {"GSM", 8000, 1},    [4] = {"G723", 8000, 1},
    [5] = {"DVI4", 8000, 1},   [6] = {"DVI4", 16000, 1},  [7] = {"LPC", 8000, 1},
    [8] = {"PCMA", 8000, 1},   [9] = {"G722", 8000, 1},   [10] = {"L16", 44100, 2},
    [11] = {"L16", 44100, 1},  [12] = {"QCELP", 8000, 1}, [13] = {"CN", 8000, 1},
    [14] = {"MPA", 90000, 1},  [15] = {"G728", 8000, 1},  [16] = {"DVI4", 11025, 1},
    [17] = {"DVI4", 22050, 1}, [18] = {"G729", 8000, 1},  [25] = {"CelB", 90000, 1},
    [26] = {"JPEG", 90000, 1}, [28] = {"nv", 90000, 1},   [31] = {"H261", 90000, 1},
    [32] = {"MPV", 90000, 1},  [33] = {"MP2T", 90000, 1}, [34] = {"H263", 90000, 1},
};
// clang-format on

static bool read_payload(struct slice text, unsigned *payload)
{
    struct lex lex = lex_over(text);
    uint32_t number;

    if (lex_u32(&lex, &number) != OK || !lex_end(&lex) || number >= SDP_PAYLOADS)
        return false;
    *payload = number;
    return true;
}

/** rtpmap-value = payload-type SP encoding-name "/" clock-rate [ "/" params ] (RFC 8866 §6.6). */
static bool read_rtpmap(struct slice value, struct sdp_format *out)
{
    struct slice number, coding;
    unsigned payload;
    uint32_t channels = 1;

    if (!next_word(&value, &number) || !read_payload(number, &payload) ||
        !next_word(&value, &coding))
        return false;
    size_t slash = slice_find(coding, '/');
    if (slash == SIZE_MAX || slash == 0)
        return false;
    *out = (struct sdp_format){.payload = (uint8_t)payload, .name = {coding.data, slash}};
    struct lex lex = lex_over(slice_from(coding, slash + 1));
    if (lex_u32(&lex, &out->rate) != OK)
        return false;
    if (lex_char(&lex, '/') && (lex_u32(&lex, &channels) != OK || channels > UINT8_MAX))
        channels = 1; /* of video it is something else */
    out->channels = (uint8_t)channels;
    return true;
}

uint32_t sdp_formats(const struct sdp_media *media, struct sdp_format *out, uint32_t max)
{
    struct slice said[SDP_PAYLOADS] = {{NULL, 0}}; /* by payload type: its rtpmap */
    struct slice rest = media->lines, word;
    struct sdp_attribute a;
    struct sdp_format format;
    uint32_t count = 0;
    unsigned payload;

    while (sdp_attribute_next(&rest, &a)) {
        if (slice_equal(a.name, SLICE("rtpmap")) && read_rtpmap(a.value, &format))
            said[format.payload] = a.value;
    }
    rest = media->format;
    while (count < max && next_word(&rest, &word)) {
        if (!read_payload(word, &payload))
            continue;
        const struct static_format *known =
            payload < COUNT_OF(static_formats) ? &static_formats[payload] : NULL;
        if (said[payload].len > 0) {
            if (read_rtpmap(said[payload], &out[count]))
                count++;
        } else if (known != NULL && known->name != NULL) {
            out[count++] = (struct sdp_format){.payload = (uint8_t)payload,
                                               .channels = known->channels,
                                               .rate = known->rate,
                                               .name = slice_of(known->name)};
        }
    }
    return count;
}

/** Of the static payload types. */
static const uint8_t static_codecs[COUNT_OF(static_formats)] = {
    [0] = CODEC_PCMU,  [3] = CODEC_GSM,   [4] = CODEC_G723,  [8] = CODEC_PCMA,
    [9] = CODEC_G722,  [10] = CODEC_L16,  [11] = CODEC_L16,  [15] = CODEC_G728,
    [18] = CODEC_G729, [31] = CODEC_H261, [34] = CODEC_H263,
};

/** The codec that a=rtpmap says. */
static enum codec said_codec(const struct sdp_media *media, unsigned payload)
{
    char text[] = "a=rtpmap:000 ";
    struct builder b = builder_over(text + 9, 4);

    builder_u64(&b, payload);
    builder_char(&b, ' ');
    size_t len = 9 + b.len;
    const char *end = media->lines.data + media->lines.len;
    const char *at =
        media->lines.len > 0 ? memmem(media->lines.data, media->lines.len, text, len) : NULL;
    if (at == NULL)
        return CODEC_NONE;
    struct slice name = slice_between(at + len, end);
    const char *slash =
        memchr(name.data, '/', name.len < SDP_CODEC_NAME_MAX ? name.len : SDP_CODEC_NAME_MAX);
    return slash != NULL ? codec_of(slice_between(name.data, slash)) : CODEC_NONE;
}

unsigned sdp_codecs(const struct sdp_media *media, uint8_t *codecs, unsigned count, unsigned max)
{
    struct slice rest = media->format, word;
    unsigned payload;

    for (unsigned i = 0; i < SDP_FORMATS_MAX && count < max && next_word(&rest, &word); i++) {
        if (!read_payload(word, &payload))
            continue;
        uint8_t codec = payload < COUNT_OF(static_codecs) ? static_codecs[payload] : CODEC_NONE;
        if (payload >= COUNT_OF(static_codecs))
            codec = (uint8_t)said_codec(media, payload);
        if (codec != CODEC_NONE && (count == 0 || memchr(codecs, codec, count) == NULL))
            codecs[count++] = codec;
    }
    return count;
}

struct slice sdp_fmtp(const struct sdp_media *media, unsigned payload)
{
    struct slice rest = media->lines, number;
    struct sdp_attribute a;
    unsigned found;

    while (sdp_attribute_next(&rest, &a))
        if (slice_equal(a.name, SLICE("fmtp")) && next_word(&a.value, &number) &&
            read_payload(number, &found) && found == payload)
            return slice_trim(a.value);
    return SLICE_EMPTY;
}
