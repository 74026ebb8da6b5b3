/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session descriptions: what is read of them, what is none, and where they are in a body.
 */
#include "sip_test.h"

static struct sip_msg msg;
static struct sdp sdp;

#define SESSION "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n"
#define ADDRESS "c=IN IP4 192.0.2.1\r\nt=0 0\r\n"
#define AUDIO   "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"

static const char browser[] =
    SESSION "t=0 0\r\na=group:BUNDLE 0 1\r\na=fingerprint:sha-256 AA:BB\r\n"
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 0\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n"
            "a=ice-pwd:secret\r\na=setup:actpass\r\na=rtcp-mux\r\na=sendrecv\r\n"
            "a=candidate:1 1 udp 2113937151 192.0.2.7 5000 typ host\r\n"
            "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
            "a=rtpmap:63 red/48000/2\r\n"
            "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";

static void read_text(const char *text)
{
    assert_int_equal(OK, sdp_parse(guarded(slice_of(text)), &sdp));
}

TEST(a_plain_offer_is_read)
{
    struct sdp_format formats[8];
    struct addr addr;

    read_text(SESSION ADDRESS AUDIO "a=sendonly\r\na=rtpmap:97 iLBC/8000\r\n");
    CHECK_EQ(1, sdp.count, "one medium");
    const struct sdp_media *media = &sdp.media[0];
    CHECK_EQ(SDP_AUDIO, media->kind, "m=audio");
    CHECK_EQ(SDP_RTP_AVP, media->profile, "RTP/AVP");
    CHECK_EQ(SDP_SENDONLY, media->direction, "a=sendonly");
    CHECK_EQ(4000, media->port, "the port");
    CHECK_TEXT("192.0.2.1", media->host, "the session's c=");
    CHECK_TEXT("- 1 1 IN IP4 192.0.2.1", sdp.origin, "o=");
    CHECK(sdp_address(media, &addr), "a numeric address");
    CHECK_EQ(4000, addr.port, "with the medium's port");
    CHECK_EQ(3, sdp_formats(media, formats, 8), "97 is no format of the m= line");
    CHECK_TEXT("PCMU", formats[0].name, "RFC 3551 says what 0 is");
    CHECK_TEXT("PCMA", formats[1].name, "and 8");
    CHECK_TEXT("telephone-event", formats[2].name, "a=rtpmap says what 101 is");
    CHECK_EQ(8000, formats[2].rate, "and its rate");
    CHECK_EQ(2, sdp_formats(media, formats, 2), "no more than there is room for");
}

TEST(a_browsers_offer_is_read)
{
    struct sdp_format formats[8];

    read_text(browser);
    CHECK_EQ(3, sdp.count, "three media");
    const struct sdp_media *audio = &sdp.media[0];
    CHECK_EQ(SDP_TLS_SAVPF, audio->profile, "UDP/TLS/RTP/SAVPF");
    CHECK_EQ(SDP_ACTPASS, audio->setup, "a=setup");
    CHECK(audio->fingerprint, "the session's fingerprint is each medium's");
    CHECK(audio->ice && audio->candidate && audio->rtcp_mux && !audio->crypto, "attributes");
    CHECK_TEXT("0.0.0.0", audio->host, "c= of the medium");
    CHECK_EQ(3, sdp_formats(audio, formats, 8), "formats");
    CHECK_TEXT("opus", formats[0].name, "111");
    CHECK_EQ(2, formats[0].channels, "stereo");
    CHECK_TEXT("minptime=10;useinbandfec=1", sdp_fmtp(audio, 111), "a=fmtp");
    CHECK_TEXT("", sdp_fmtp(audio, 63), "none of 63");
    CHECK_EQ(SDP_VIDEO, sdp.media[1].kind, "video");
    CHECK_EQ(0, sdp.media[1].port, "refused");
    CHECK(!sdp.media[1].ice && sdp.media[1].fingerprint, "attributes end with their medium");
    CHECK_EQ(SDP_DTLS_SCTP, sdp.media[2].profile, "a data channel");
    CHECK(sdp_first(&sdp, SDP_AUDIO) == audio && sdp_first(&sdp, SDP_TEXT) == NULL, "by kind");
}

TEST(its_codecs_have_numbers)
{
    uint8_t codecs[8] = {0};

    read_text(SESSION ADDRESS "m=audio 4000 RTP/AVP 0 111 8 0 97 x 101\r\na=rtpmap:11 G722/8000\r\n"
                              "a=rtpmap:111 opus/48000/2\r\na=rtpmap:101 telephone-event/8000");
    CHECK_EQ(3, sdp_codecs(&sdp.media[0], codecs, 0, 8), "each once, and those with a number");
    CHECK_EQ(CODEC_PCMU, codecs[0], "static");
    CHECK_EQ(CODEC_OPUS, codecs[1], "by a=rtpmap");
    CHECK_EQ(CODEC_PCMA, codecs[2], "static");
    codecs[0] = CODEC_PCMA;
    CHECK_EQ(2, sdp_codecs(&sdp.media[0], codecs, 1, 2), "as many as there is room for");
    CHECK_EQ(CODEC_PCMU, codecs[1], "after what is there");
    read_text(SESSION "m=audio 1 RTP/AVP 97 97 97 97 97 97 97 97 97 97 97 97 97 97 97 97 0\r\n");
    CHECK_EQ(0, sdp_codecs(&sdp.media[0], codecs, 0, 8), "so many formats are looked at");
    read_text(SESSION "m=audio 1 RTP/AVP 97 97 97 97 97 97 97 97 97 97 97 97 97 97 97 0\r\n");
    CHECK_EQ(1, sdp_codecs(&sdp.media[0], codecs, 0, 8), "and no more");
}

struct reading {
    const char *why;
    const char *text;
    enum err err;
};

static const struct reading readings[] = {
    {"lines end in LF", "v=0\no=- 1 1 IN IP4 h\ns=-\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\n",
     OK},
    {"lines end in CR", "v=0\rs=-\rc=IN IP4 192.0.2.1\rm=audio 1 RTP/AVP 0\r", OK},
    {"the last line has no end", SESSION "m=audio 1 RTP/AVP 0", OK},
    {"an empty line at the end", SESSION AUDIO "\r\n", OK},
    {"no media", SESSION ADDRESS, OK},
    {"letters nobody knows", SESSION "k=clear\r\nq=x\r\n" AUDIO, OK},
    {"several ports", SESSION "m=audio 4000/2 RTP/AVP 0\r\n", OK},
    {"a network that is not the Internet", SESSION "c=ATM NSAP 47.0\r\n" AUDIO, OK},
    {"nothing", "", ERR_SYNTAX},
    {"no v= in front", "o=- 1 1 IN IP4 h\r\n", ERR_SYNTAX},
    {"a line without =", SESSION "audio 1 RTP/AVP 0\r\n", ERR_SYNTAX},
    {"m= without formats", SESSION "m=audio 4000 RTP/AVP\r\n", ERR_SYNTAX},
    {"m= with a large port", SESSION "m=audio 65536 RTP/AVP 0\r\n", ERR_SYNTAX},
    {"m= with a port that is none", SESSION "m=audio 40x0 RTP/AVP 0\r\n", ERR_SYNTAX},
    {"m= with a huge number of ports", SESSION "m=audio 1/99999999999 RTP/AVP 0\r\n", ERR_SYNTAX},
    {"c= without an address", SESSION "c=IN IP4\r\n", ERR_SYNTAX},
    {"c= with a TTL only", SESSION "c=IN IP4 /127\r\n", ERR_SYNTAX},
};

TEST(what_is_a_description_and_what_is_none)
{
    for (size_t i = 0; i < COUNT_OF(readings); i++)
        CHECK_EQ(readings[i].err, sdp_parse(guarded(slice_of(readings[i].text)), &sdp),
                 readings[i].why);
}

TEST(it_may_be_cut_off_anywhere)
{
    for (size_t len = 0; len < sizeof browser; len++) {
        struct sdp_format formats[8];
        if (sdp_parse(guarded((struct slice){browser, len}), &sdp) != OK)
            continue;
        for (unsigned i = 0; i < sdp.count; i++)
            assert_true(sdp_formats(&sdp.media[i], formats, 8) <= 8);
    }
}

TEST(there_may_be_so_many_media_and_no_more)
{
    char text[2048];
    struct builder b = builder_over(text, sizeof text);

    builder_text(&b, SESSION);
    for (int i = 0; i < SDP_MEDIA_MAX; i++)
        builder_text(&b, "m=audio 1 RTP/AVP 0\r\n");
    CHECK_EQ(OK, sdp_parse(builder_slice(&b), &sdp), "at the limit");
    CHECK_EQ(SDP_MEDIA_MAX, sdp.count, "all of them");
    builder_text(&b, "m=audio 1 RTP/AVP 0\r\n");
    CHECK_EQ(ERR_FULL, sdp_parse(builder_slice(&b), &sdp), "one more");
}

struct holding {
    const char *why;
    const char *text;
    bool hold;
};

static const struct holding holdings[] = {
    {"nothing is said", SESSION ADDRESS AUDIO, false},
    {"sendonly", SESSION ADDRESS AUDIO "a=sendonly\r\n", true},
    {"inactive for the session", SESSION ADDRESS "a=inactive\r\n" AUDIO, true},
    {"inactive for the session, not for the medium",
     SESSION ADDRESS "a=inactive\r\n" AUDIO "a=sendrecv\r\n", false},
    {"recvonly: the other side's answer to hold", SESSION ADDRESS AUDIO "a=recvonly\r\n", false},
    {"0.0.0.0", SESSION "c=IN IP4 0.0.0.0\r\n" AUDIO, true},
    {"::", SESSION AUDIO "c=IN IP6 ::\r\n", true},
    {"a medium that is refused", SESSION "a=inactive\r\nm=audio 0 RTP/AVP 0\r\n", false},
};

TEST(hold_is_told_by_direction_or_address)
{
    for (size_t i = 0; i < COUNT_OF(holdings); i++) {
        read_text(holdings[i].text);
        CHECK_EQ(holdings[i].hold, sdp_is_hold(&sdp.media[0]), holdings[i].why);
    }
}

TEST(of_two_media_of_a_kind_the_one_that_lives_is_first)
{
    read_text(SESSION ADDRESS "m=audio 0 RTP/SAVP 0\r\nm=audio 5000 RTP/AVP 0\r\n");
    CHECK(sdp_first(&sdp, SDP_AUDIO) == &sdp.media[1], "the other is refused");
    read_text(SESSION ADDRESS "m=audio 0 RTP/SAVP 0\r\n");
    CHECK(sdp_first(&sdp, SDP_AUDIO) == &sdp.media[0], "there is no other");
}

/* ---- where it is ---- */

#define HEADS                                                                                      \
    "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"    \
    "To: <sip:c@d>\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\nMax-Forwards: 70\r\n"

struct place {
    const char *why;
    const char *fields;
    const char *body;
    enum err err;
    const char *found;
};

#define MIXED       "Content-Type: multipart/mixed;boundary=xx\r\n"
#define PART(t, b)  "--xx\r\nContent-Type: " t "\r\n\r\n" b "\r\n"
#define INNER(t, b) "--in\r\nContent-Type: " t "\r\n\r\n" b "\r\n"

static const struct place places[] = {
    {"all of the body", "Content-Type: application/sdp\r\n", "v=0", OK, "v=0"},
    {"the compact name", "c: application/sdp\r\n", "v=0", OK, "v=0"},
    {"in another case, with a parameter", "Content-Type: Application/SDP;charset=utf-8\r\n", "v=0",
     OK, "v=0"},
    {"no type", "", "v=0", ERR_NOT_FOUND, NULL},
    {"another type", "Content-Type: text/plain\r\n", "v=0", ERR_NOT_FOUND, NULL},
    {"no type at all", "Content-Type: ;;\r\n", "v=0", ERR_NOT_FOUND, NULL},
    {"no body", "Content-Type: application/sdp\r\n", "", ERR_NOT_FOUND, NULL},
    {"compressed", "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "v=0",
     ERR_NOT_FOUND, NULL},
    {"not compressed", "Content-Type: application/sdp\r\nContent-Encoding: identity\r\n", "v=0", OK,
     "v=0"},
    {"for the early session (RFC 3959)",
     "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n", "v=0",
     ERR_NOT_FOUND, NULL},
    {"for the session, said aloud",
     "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n", "v=0",
     OK, "v=0"},
    {"the second part", MIXED, PART("text/plain", "hello") PART("application/sdp", "v=0") "--xx--",
     OK, "v=0"},
    {"something before the first part", MIXED,
     "hello --xx\r\n" PART("application/sdp", "v=0\r\n") "--xx--\r\n", OK, "v=0\r\n"},
    {"a boundary in quotes", "Content-Type: multipart/mixed; boundary=\"xx\"\r\n",
     PART("application/sdp", "v=0") "--xx--", OK, "v=0"},
    {"lines end in LF", MIXED, "--xx\nContent-Type: application/sdp\n\nv=0\n--xx--\n", OK, "v=0"},
    {"the end is missing", MIXED, PART("application/sdp", "v=0"), OK, "v=0"},
    {"a folded field", MIXED, "--xx\r\nContent-Type:\r\n application/sdp\r\n\r\nv=0\r\n--xx--", OK,
     "v=0"},
    {"a part in base64", MIXED,
     "--xx\r\nContent-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n\r\ndj0w\r\n"
     "--xx--",
     ERR_NOT_FOUND, NULL},
    {"a part without a type", MIXED, "--xx\r\n\r\nv=0\r\n--xx--", ERR_NOT_FOUND, NULL},
    {"what follows the end is nothing", MIXED, "--xx--\r\n" PART("application/sdp", "v=0"),
     ERR_NOT_FOUND, NULL},
    {"of two parts the first", MIXED,
     PART("application/sdp", "v=0") PART("application/sdp", "v=1") "--xx--", OK, "v=0"},
    {"of two alternatives the last", "Content-Type: multipart/alternative;boundary=xx\r\n",
     PART("application/sdp", "v=0") PART("application/sdp", "v=1") "--xx--", OK, "v=1"},
    {"a multipart part", MIXED,
     PART("multipart/related;boundary=in", INNER("application/sdp", "v=0") "--in--") "--xx--", OK,
     "v=0"},
    {"no boundary", "Content-Type: multipart/mixed\r\n", PART("application/sdp", "v=0"), ERR_SYNTAX,
     NULL},
    {"another boundary", "Content-Type: multipart/mixed;boundary=yy\r\n",
     PART("application/sdp", "v=0"), ERR_SYNTAX, NULL},
};

static struct slice message(const char *fields, struct slice body, char *text, size_t size)
{
    struct builder b = builder_over(text, size);

    builder_text(&b, HEADS);
    builder_add(&b, slice_of(fields));
    builder_text(&b, "Content-Length: ");
    builder_u64(&b, body.len);
    builder_text(&b, "\r\n\r\n");
    builder_add(&b, body);
    assert_false(b.overflow);
    return guarded(builder_slice(&b));
}

TEST(it_is_found_in_the_body)
{
    char text[4096];

    for (size_t i = 0; i < COUNT_OF(places); i++) {
        const struct place *place = &places[i];
        struct slice bytes = message(place->fields, slice_of(place->body), text, sizeof text);
        struct slice found = SLICE("untouched");
        CHECK_EQ(OK, sip_parse(bytes, SIP_DATAGRAM, &msg), place->why);
        CHECK_EQ(place->err, sdp_find(&msg, &found), place->why);
        CHECK_TEXT(place->err == OK ? place->found : "untouched", found, place->why);
    }
}

static enum err find_after(unsigned others)
{
    static char body[8192], text[16384];
    struct builder b = builder_over(body, sizeof body);
    struct slice found;

    for (unsigned i = 0; i < others; i++)
        builder_text(&b, PART("text/plain", "x"));
    builder_text(&b, PART("application/sdp", "v=0") "--xx--");
    assert_false(b.overflow);
    struct slice bytes = message(MIXED, builder_slice(&b), text, sizeof text);
    assert_int_equal(OK, sip_parse(bytes, SIP_DATAGRAM, &msg));
    return sdp_find(&msg, &found);
}

TEST(so_many_parts_are_looked_at_and_no_more)
{
    CHECK_EQ(OK, find_after(SDP_PARTS_MAX - 1), "at the limit");
    CHECK_EQ(ERR_FULL, find_after(SDP_PARTS_MAX), "one more");
}

/** A description in so many multipart bodies within each other. */
static enum err find_below(unsigned depth)
{
    static char body[4096], text[8192];
    struct builder b = builder_over(body, sizeof body);
    char fields[80];
    struct slice found;

    for (unsigned i = 0; i < depth; i++) {
        char head[96];
        bool last = i + 1 == depth;
        snprintf(head, sizeof head, "--b%u\r\nContent-Type: %s%c\r\n\r\n", i,
                 last ? "application/sdp;n=" : "multipart/mixed;boundary=b",
                 (char)('0' + (i + 1) % 10));
        builder_add(&b, slice_of(head));
    }
    builder_text(&b, "v=0\r\n");
    snprintf(fields, sizeof fields, "Content-Type: multipart/mixed;boundary=b0\r\n");
    struct slice bytes = message(fields, builder_slice(&b), text, sizeof text);
    assert_int_equal(OK, sip_parse(bytes, SIP_DATAGRAM, &msg));
    return sdp_find(&msg, &found);
}

TEST(so_deep_is_looked_and_no_deeper)
{
    CHECK_EQ(OK, find_below(SDP_DEPTH_MAX), "at the limit");
    CHECK_EQ(ERR_NOT_FOUND, find_below(SDP_DEPTH_MAX + 1), "one deeper");
}

TEST(a_message_is_asked_in_one_go)
{
    char text[2048];

    struct slice bytes =
        message("Content-Type: application/sdp\r\n", slice_of(browser), text, sizeof text);
    assert_int_equal(OK, sip_parse(bytes, SIP_DATAGRAM, &msg));
    CHECK_EQ(OK, sdp_of(&msg, &sdp), "found and read");
    CHECK_EQ(3, sdp.count, "its media");
    bytes = message("", SLICE_EMPTY, text, sizeof text);
    assert_int_equal(OK, sip_parse(bytes, SIP_DATAGRAM, &msg));
    CHECK_EQ(ERR_NOT_FOUND, sdp_of(&msg, &sdp), "no body");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_offer_is_read),
        cmocka_unit_test(a_browsers_offer_is_read),
        cmocka_unit_test(its_codecs_have_numbers),
        cmocka_unit_test(what_is_a_description_and_what_is_none),
        cmocka_unit_test(it_may_be_cut_off_anywhere),
        cmocka_unit_test(there_may_be_so_many_media_and_no_more),
        cmocka_unit_test(hold_is_told_by_direction_or_address),
        cmocka_unit_test(of_two_media_of_a_kind_the_one_that_lives_is_first),
        cmocka_unit_test(it_is_found_in_the_body),
        cmocka_unit_test(so_many_parts_are_looked_at_and_no_more),
        cmocka_unit_test(so_deep_is_looked_and_no_deeper),
        cmocka_unit_test(a_message_is_asked_in_one_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
