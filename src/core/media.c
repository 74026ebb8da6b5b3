/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that cannot have audio, when they are forwarded and when they are answered. Looked at are
 * those with a NAT, a browser or encryption in them; all others pass by for a few comparisons.
 */
#include "core/media.h"
#include "core/internal.h"

enum {
    WARNING_MAX = 200, /* bytes of its line */
};

struct gap {
    const char *name;    /* label of metrics */
    const char *missing; /* what is missing, and what helps */
    const char *warning; /* RFC 3261 §20.43 */
};

// clang-format off
static const struct gap gaps[CORE_MEDIA_COUNT] = {
    [CORE_MEDIA_FITS] = {"fits", "", ""},
    [CORE_MEDIA_PRIVATE_OFFER] = {
        "private_offer",
        "the caller is behind a NAT and offers a private address: ICE or STUN in the phone, or a "
        "media relay",
        "399 strowger \"Media address is private and out of reach: ICE or a relay is missing\""},
    [CORE_MEDIA_PRIVATE_ANSWER] = {
        "private_answer",
        "the callee is behind a NAT and answers with a private address: ICE or STUN in the phone, "
        "or a media relay",
        ""},
    [CORE_MEDIA_TO_BROWSER] = {
        "plain_to_browser",
        "a browser takes only DTLS-SRTP with ICE, and the other side has neither: a phone that "
        "has, or a media relay",
        "302 strowger \"The callee is a browser: DTLS-SRTP with ICE is missing\""},
    [CORE_MEDIA_FROM_BROWSER] = {
        "browser_to_plain",
        "a browser offers only DTLS-SRTP with ICE, and the callee does not take it: a phone that "
        "does, or a media relay",
        "302 strowger \"The callee takes no DTLS-SRTP with ICE\""},
    [CORE_MEDIA_SRTP] = {
        "srtp_to_plain",
        "one side has SRTP and the other has not: the same setting in both phones, or a media "
        "relay",
        ""},
};
// clang-format on

const char *core_media_gap_name(enum core_media_gap gap)
{
    assert((unsigned)gap < CORE_MEDIA_COUNT);

    return gaps[gap].name;
}

const char *core_media_gap_missing(enum core_media_gap gap)
{
    assert((unsigned)gap < CORE_MEDIA_COUNT);

    return gaps[gap].missing;
}

static void name_call(struct core *core, const struct sip_msg *invite, const struct flow *caller,
                      enum core_media_gap gap)
{
    char source[ADDR_TEXT_MAX];

    core->counters.media_gaps[gap]++;
    core_logf(core, CORE_LOG_WARNING, "no_audio",
              "%s: INVITE %.*s from %s, Call-ID %.*s cannot have audio; missing: %s",
              gaps[gap].name, SLICE_ARG(invite->uri), addr_text(&caller->remote, source),
              SLICE_ARG(invite->call_id), gaps[gap].missing);
}

static bool has_one_via(const struct sip_msg *msg)
{
    struct sip_values values = sip_values(msg, SIP_F_VIA);
    struct slice value;

    return sip_values_next(&values, &value) && !sip_values_next(&values, &value);
}

static struct media_sender sender_of(const struct core *core, const struct addr *source,
                                     struct slice self)
{
    return (struct media_sender){.source = source,
                                 .self = self,
                                 .local = core->config.local_addrs,
                                 .local_count = core->config.local_addr_count};
}

/* ---- the offer ---- */

/** Of one target. Behind another proxy, or at a carrier, we see no phone. */
static enum core_media_gap gap_of(const struct core *core, const struct request *r,
                                  const struct sdp *sdp, const struct proxy_target *target)
{
    const struct media_sender caller = sender_of(core, &r->source->remote, r->msg->via.host);
    enum core_media_gap gap = media_gap_of_offer(media_ways(sdp), target->to.transport);

    if (gap == CORE_MEDIA_TO_BROWSER)
        return gap;
    if (target->aor.len == 0 || target->routes.len > 0)
        return CORE_MEDIA_FITS;
    if (has_one_via(r->msg) && media_is_private(sdp, &caller, &target->to.remote))
        return CORE_MEDIA_PRIVATE_OFFER;
    return gap;
}

/**
 * What keeps a call from all its targets. Who has DTLS-SRTP but no WebSocket does not say so:
 * that a browser's offer is not for him is likely, and certain when he has answered.
 */
static enum core_media_gap gap_of_all(const struct core *core, const struct request *r,
                                      const struct proxy_target *targets, uint32_t count,
                                      bool *certain, unsigned *offer)
{
    enum core_media_gap first = CORE_MEDIA_FITS;
    struct sdp sdp;

    *certain = true;
    if (sdp_of(r->msg, &sdp) != OK)
        return CORE_MEDIA_FITS;
    *offer = MEDIA_WATCH_OFFERED | media_ways(&sdp) << MEDIA_WATCH_WAYS;
    for (uint32_t i = 0; i < count; i++) {
        enum core_media_gap gap = gap_of(core, r, &sdp, &targets[i]);
        if (gap == CORE_MEDIA_FITS)
            return gap;
        if (gap == CORE_MEDIA_FROM_BROWSER) {
            *certain = false;
            if (transport_secure((enum transport)targets[i].to.transport))
                return CORE_MEDIA_FITS; /* those that have it are mostly here */
        }
        if (i == 0)
            first = gap;
    }
    return first;
}

bool media_concerns(const struct request *r, const struct proxy_target *targets, uint32_t count)
{
    bool concerns = r->behind_nat || r->source->transport >= TRANSPORT_TLS;

    for (uint32_t i = 0; i < count; i++)
        concerns |= targets[i].nat || targets[i].to.transport >= TRANSPORT_TLS;
    return concerns;
}

static bool is_our_caller(struct core *core, struct request *r)
{
    request_from(core, r);
    return has_one_via(r->msg) &&
           (r->user != NULL || (r->from_is_ours && !core->config.auth_required));
}

static enum verdict refuse_gap(struct core *core, struct request *r, enum core_media_gap gap)
{
    char text[WARNING_MAX];
    struct builder b = builder_over(text, sizeof text);

    builder_text(&b, "Warning: ");
    builder_add(&b, slice_of(gaps[gap].warning));
    builder_text(&b, "\r\n");
    assert(!b.overflow);
    return refuse(core, r, CORE_R_NO_AUDIO, 488, NULL, builder_slice(&b));
}

enum verdict media_offer(struct core *core, struct request *r, const struct proxy_target *targets,
                         uint32_t count, uint8_t *watch)
{
    bool certain;
    unsigned offer = 0;
    enum core_media_gap gap = gap_of_all(core, r, targets, count, &certain, &offer);

    if (gap != CORE_MEDIA_FITS && (certain || core->config.refuse_no_audio)) {
        name_call(core, r->msg, r->source, gap);
        return core->config.refuse_no_audio ? refuse_gap(core, r, gap) : GO_ON;
    }
    *watch =
        (uint8_t)(MEDIA_WATCH | offer | (is_our_caller(core, r) ? MEDIA_WATCH_OUR_CALLER : 0u));
    return GO_ON;
}

/* ---- the answer ---- */

/** The host in the Contact of who answers; empty: none. */
static struct slice contact_host(const struct sip_msg *msg)
{
    struct sip_contact contact;
    struct sip_uri uri;

    if (sip_contact_parse(sip_value(msg, SIP_F_CONTACT), &contact) != OK || contact.star ||
        sip_uri_parse(contact.addr.uri_text, &uri) != OK)
        return SLICE_EMPTY;
    return uri.host;
}

static bool is_unacceptable(unsigned status)
{
    return status == 415 || status == 488 || status == 606;
}

/** Nothing is said of a callee whom another proxy answers for: its Record-Route is above ours. */
static bool is_our_callee(const struct core *core, const struct sip_msg *response)
{
    struct sip_values values = sip_values(response, SIP_F_RECORD_ROUTE);
    struct slice value, token;

    return !sip_values_next(&values, &value) || is_our_route_text(core, value, &token);
}

/**
 * What a response shows. Without an offer in the INVITE the response has it, and the caller is whom
 * it must suit.
 */
static enum core_media_gap gap_of_response(const struct core *core, const struct flow *caller,
                                           const struct sip_msg *response, unsigned watch)
{
    const struct flow *callee = core->response_source;
    const struct media_sender sender = sender_of(core, &callee->remote, contact_host(response));
    struct sdp sdp;
    unsigned offer = watch >> MEDIA_WATCH_WAYS;

    if (is_unacceptable(response->status))
        return media_gap_of_answer(offer, 0, callee->transport);
    if (sdp_of(response, &sdp) != OK)
        return CORE_MEDIA_FITS;
    unsigned answer = media_ways(&sdp);
    if ((watch & MEDIA_WATCH_OUR_CALLER) != 0 && is_our_callee(core, response) &&
        media_is_private(&sdp, &sender, &caller->remote))
        return CORE_MEDIA_PRIVATE_ANSWER;
    if ((watch & MEDIA_WATCH_OFFERED) != 0)
        return media_gap_of_answer(offer, answer, callee->transport);
    enum core_media_gap gap = media_gap_of_offer(answer, caller->transport);
    return gap == CORE_MEDIA_TO_BROWSER ? gap : CORE_MEDIA_FITS;
}

bool media_heard(void *user, struct id server, const struct sip_msg *response, unsigned watch)
{
    struct core *core = user;
    bool done = response->status >= 200 && response->status < 300;

    if ((watch & MEDIA_WATCH_CALL) != 0) {
        if (done)
            attempt_agreed(core, server, response);
        return done;
    }
    if (response->body.len == 0 && !is_unacceptable(response->status))
        return done;
    const struct flow *caller = txn_server_flow(core->txns, server);
    if (caller == NULL)
        return true;
    enum core_media_gap gap = gap_of_response(core, caller, response, watch);
    if (gap == CORE_MEDIA_FITS)
        return done;
    struct sip_msg *invite = arena_alloc(&core->scratch, sizeof *invite);
    if (invite == NULL || txn_server_parse(core->txns, server, invite) != OK)
        return true;
    name_call(core, invite, caller, gap);
    return true;
}
