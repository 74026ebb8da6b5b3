/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses on their way up: RFC 3261 §16.7 steps 3, 4, 6, 7 and 9.
 *
 * Of all failures only the best one so far is kept, with the challenges of the others: a 401
 * or 407 that comes later than another does not replace it, but lends it its challenges.
 */
#include "proxy/context.h"

enum {
    FLOW_TIMER_MAX = 32, /* bytes of its line */
    SLEEPER_STATUS = 480 /* for a phone that was not woken (RFC 8599 §5.6.2) */
};

/* ---- which is the best ---- */

/*
 * Within 4xx those that tell the caller how to try again come first (§16.7 step 6); those that only
 * say that nobody was reached, or that something went wrong on the way, come last: a phone that is
 * busy is news, a phone that is off is none.
 */
static unsigned rank_4xx(uint16_t status)
{
    switch (status) {
    case 401:
    case 407:
        return 0;
    case 415:
    case 420:
    case 484:
        return 1;
    case 408:
    case 430:
    case 440:
    case 480:
    case 482:
    case 483:
    case 487:
        return 3;
    default:
        return 2;
    }
}

unsigned response_rank(uint16_t status, bool cancelled)
{
    assert(status >= 300);
    assert(status < 700);

    if (status >= 600)
        return 0;
    if (cancelled && status == 487)
        return 10;
    if (status < 400)
        return 20;
    if (status < 500)
        return 30 + rank_4xx(status);
    return status == 503 ? 41 : 40;
}

/* A comment or parameters may follow. */
uint32_t response_retry_after(const struct sip_msg *response)
{
    const struct sip_field *field = sip_field_first(response, SIP_F_RETRY_AFTER);
    struct slice value = field != NULL ? sip_field_value(response, field) : SLICE_EMPTY;
    size_t digits = 0;
    uint32_t seconds;

    while (digits < value.len && value.data[digits] >= '0' && value.data[digits] <= '9')
        digits++;
    return sip_number_parse((struct slice){value.data, digits}, &seconds) == OK ? seconds : 0;
}

static bool is_challenge(uint16_t status)
{
    return status == 401 || status == 407;
}

/* ---- keeping ---- */

static size_t challenge_bytes(const struct sip_msg *response, enum sip_field_id id)
{
    const struct sip_field *field = sip_field_first(response, id);
    size_t bytes = 0;

    for (; field != NULL; field = sip_field_next(response, field))
        bytes += sip_field_line(response, field).len;
    return bytes;
}

/* §16.7 step 7. What does not fit, or cannot be kept, is left out: the caller can still answer
 * the challenges it sees and will be shown the others next. */
static void keep_challenges(struct context *c, const struct sip_msg *response)
{
    struct mem *mem = c->proxy->config.mem;
    size_t bytes = c->challenges_len + challenge_bytes(response, SIP_F_WWW_AUTHENTICATE) +
                   challenge_bytes(response, SIP_F_PROXY_AUTHENTICATE);

    if (bytes == c->challenges_len || bytes > PROXY_CHALLENGES_MAX)
        return;
    char *text = mem_alloc(mem, bytes);
    if (text == NULL)
        return;
    struct builder b = builder_over(text, bytes);
    builder_add(&b, (struct slice){c->challenges, c->challenges_len});
    sip_add_fields(&b, response, SIP_F_WWW_AUTHENTICATE);
    sip_add_fields(&b, response, SIP_F_PROXY_AUTHENTICATE);
    assert(b.len == bytes);
    mem_free(mem, c->challenges, c->challenges_len);
    c->challenges = text;
    c->challenges_len = (uint16_t)bytes;
}

void response_store(struct context *c, const struct sip_msg *response)
{
    struct mem *mem = c->proxy->config.mem;
    uint16_t status = response->status;

    if (c->best_status != 0 &&
        response_rank(c->best_status, c->cancelled) <= response_rank(status, c->cancelled)) {
        if (is_challenge(status) && is_challenge(c->best_status))
            keep_challenges(c, response);
        return;
    }
    mem_free(mem, c->best, c->best_len);
    c->best_status = status;
    c->best_trusted = c->proxy->response_trusted;
    c->best_len = (uint32_t)response->buf.len;
    c->best = mem_alloc(mem, c->best_len);
    if (c->best == NULL)
        c->best_len = 0; /* its status is answered by ourselves */
    else
        memcpy(c->best, response->buf.data, c->best_len);
}

/* ---- sending ---- */

static void count_final(struct proxy *proxy, uint16_t status)
{
    if (status >= 200)
        proxy->counters.best_responses[status / 100]++;
}

/* A response of our own. If even that cannot be had, the transaction ends in silence. */
static void reply(struct context *c, uint16_t status, uint64_t now_ms)
{
    struct proxy *proxy = c->proxy;
    const struct sip_reply made = {.status = status};

    count_final(proxy, status);
    context_tell(c, (struct proxy_news){.event = PROXY_TOLD, .status = status}, now_ms);
    if (txn_reply(proxy->config.txns, c->server, &made, now_ms) != OK)
        txn_server_drop(proxy->config.txns, c->server, now_ms);
}

/* §16.7 step 3: our Via, which is the first value. Where it ends is known from parsing. */
static void drop_our_via(struct sip_edits *edits)
{
    const struct sip_msg *msg = edits->msg;
    const struct sip_field *field = sip_field_first(msg, SIP_F_VIA);
    const char *end = msg->buf.data + field->value_end;
    const char *at = msg->via_value.data + msg->via_value.len;

    if (at == end) {
        sip_edit_drop_field(edits, field);
        return;
    }
    while (at < end && *at != ',')
        at++;
    struct slice others = slice_trim(slice_between(at + (at < end ? 1 : 0), end));
    sip_edit_replace(edits, slice_between(msg->buf.data + field->value_begin, others.data),
                     SLICE_EMPTY);
}

/* The registrar has taken the REGISTER of a phone whose first hop we are (RFC 5626 §5.4). */
static void edit_registered(struct context *c, struct sip_edits *edits, const struct flow *phone,
                            char text[static FLOW_TIMER_MAX])
{
    const struct proxy_config *config = &c->proxy->config;
    const struct sip_msg *response = edits->msg;

    if (config->registered != NULL)
        config->registered(config->user, phone);
    /* On UDP a phone does best by itself: NATs forget it sooner than any timer of ours. */
    if (config->flow_timer_s == 0 || !transport_reliable((enum transport)phone->transport) ||
        !sip_has_token(response, SIP_F_REQUIRE, SLICE("outbound")))
        return;
    struct builder b = builder_over(text, FLOW_TIMER_MAX);
    builder_text(&b, "Flow-Timer: ");
    builder_u64(&b, config->flow_timer_s);
    builder_text(&b, "\r\n");
    sip_edit_add_last(edits, builder_slice(&b));
}

static enum err send_up(struct context *c, const struct sip_msg *response, bool trusted,
                        struct slice challenges, uint64_t now_ms)
{
    struct proxy *proxy = c->proxy;
    struct sip_edits *edits = &proxy->work.edits;
    char timer[FLOW_TIMER_MAX];

    sip_edits_init(edits, response);
    drop_our_via(edits);
    const struct flow *caller = txn_server_flow(proxy->config.txns, c->server);
    if (caller != NULL)
        edit_identity(proxy, edits, trusted, &caller->remote);
    if (c->oc && caller != NULL) /* what he shall keep back, in his own Via (RFC 7339 §5.2) */
        sip_oc_edit(edits, proxy->config.oc(proxy->config.user, caller));
    if (challenges.len > 0)
        sip_edit_add_last(edits, challenges);
    if (c->registers && caller != NULL && response->status / 100 == 2)
        edit_registered(c, edits, caller, timer);
    return txn_forward_response(proxy->config.txns, c->server, edits, now_ms);
}

static void tell_final(const struct context *c, const struct sip_msg *response, uint64_t now_ms)
{
    const struct proxy_news news = {
        .event = PROXY_TOLD, .response = response, .status = response->status};

    context_tell(c, news, now_ms);
}

void response_forward(struct context *c, const struct sip_msg *response, uint64_t now_ms)
{
    c->proxy->counters.responses++;
    count_final(c->proxy, response->status);
    enum err err = send_up(c, response, c->proxy->response_trusted, SLICE_EMPTY, now_ms);
    if (response->status < 200)
        return;
    if (err == OK) {
        tell_final(c, response, now_ms);
        return;
    }
    /* A final response that cannot be sent on: one of our own may be small enough. */
    reply(c, 500, now_ms);
}

static enum err send_best(struct context *c, uint64_t now_ms)
{
    struct sip_msg *msg = &c->proxy->work.msg;
    struct slice challenges = SLICE_EMPTY;

    if (c->best == NULL || sip_parse((struct slice){c->best, c->best_len}, SIP_DATAGRAM, msg) != OK)
        return ERR_NOT_FOUND;
    if (is_challenge(c->best_status))
        challenges = (struct slice){c->challenges, c->challenges_len};
    enum err err = send_up(c, msg, c->best_trusted, challenges, now_ms);
    if (err == OK)
        tell_final(c, msg, now_ms);
    return err;
}

/* Nothing was received: what the failures here count as (§16.7 step 6, §16.8, §16.9). */
static uint16_t local_status(const struct context *c)
{
    if (c->cancelled)
        return 487;
    if (c->timed_out)
        return c->invite ? 408 : 0; /* RFC 4320 §4.2: no 408 to a non-INVITE, ever */
    if (c->by_flow)
        return 430; /* RFC 5626 §5.3.1: the one who asks may know another flow */
    if (c->asleep)
        return SLEEPER_STATUS;
    return 500; /* instead of 503: only these targets failed, not we */
}

/* RFC 4320 §4.2: no answer at all. The transaction is kept for as long as the caller resends,
 * or his request would be taken for a new one. */
static void stay_silent(struct context *c, uint64_t now_ms)
{
    uint64_t end_ms = c->start_ms + PROXY_SILENCE_MS;

    if (end_ms > now_ms) {
        c->silent = true;
        timer_start(c->proxy->config.wheel, &c->timer, end_ms);
        return;
    }
    context_close(c);
    txn_server_drop(c->proxy->config.txns, c->server, now_ms);
}

/* What the caller is told: that a server of ours is out of order is not his (§16.7 step 6), nor is
 * which flow of a phone is gone (RFC 5626 §11.5): it is not there. */
static uint16_t told_instead(const struct context *c, uint16_t status)
{
    if (status == 503)
        return 500;
    return status == 430 && c->located ? 480 : status;
}

/* Is what was received no better than what a sleeping phone counts as? */
static bool is_worse_than_asleep(const struct context *c)
{
    return c->best_status != 0 && response_rank(c->best_status, c->cancelled) >
                                      response_rank(SLEEPER_STATUS, c->cancelled);
}

void response_finish(struct context *c, uint64_t now_ms)
{
    assert(c->pending == 0);
    assert(c->waiting == 0);
    assert(!c->answered);

    if (c->asleep && is_worse_than_asleep(c))
        c->best_status = 0;
    uint16_t status = c->best_status != 0 ? c->best_status : local_status(c);
    if (status == 0) {
        stay_silent(c, now_ms);
        return;
    }
    c->answered = true;
    context_close(c);
    if (c->best_status == 0 || told_instead(c, status) != status) {
        reply(c, told_instead(c, status), now_ms);
        return;
    }
    if (send_best(c, now_ms) != OK) {
        reply(c, status, now_ms);
        return;
    }
    c->proxy->counters.responses++;
    count_final(c->proxy, status);
}

/* ---- recursion (§16.7 step 4) ---- */

static bool wants_recursion(const struct context *c, const struct sip_msg *response)
{
    const struct proxy_config *config = &c->proxy->config;

    return config->recurse_on_3xx && config->resolve != NULL && response->status < 400 &&
           response->status >= 300 && c->plan != NULL && !c->plan->request.in_dialog &&
           !c->cancelled && c->best_status < 600;
}

enum recursion {
    RECURSION_LEFT,  /* the caller may do with this Contact what it likes */
    RECURSION_KNOWN, /* it was tried, or waits for its turn */
    RECURSION_ADDED,
};

/* Adds what one Contact leads to. */
static enum recursion recurse_to(struct context *c, struct slice value, uint64_t now_ms)
{
    const struct proxy_config *config = &c->proxy->config;
    struct proxy_target targets[PROXY_RECURSE_MAX];
    uint32_t before = plan_count(c);
    struct sip_contact contact;
    struct sip_uri uri;

    if (sip_contact_parse(value, &contact) != OK || contact.star ||
        sip_uri_parse(contact.addr.uri_text, &uri) != OK)
        return RECURSION_LEFT;
    if (c->secure != (uri.scheme == SIP_SCHEME_SIPS))
        return RECURSION_LEFT; /* neither less secure nor more (RFC 5630 §5.3) */
    uint32_t count =
        config->resolve(config->user, contact.addr.uri_text, c->plan->request.reaches_outside,
                        targets, COUNT_OF(targets), now_ms);
    for (uint32_t i = 0; i < count; i++)
        targets[i].q = contact.q;
    if (count == 0 || plan_add(c, NULL, targets, count) != OK)
        return RECURSION_LEFT;
    return plan_count(c) > before ? RECURSION_ADDED : RECURSION_KNOWN;
}

/* The response with only those Contacts that were not followed. */
static void store_rest(struct context *c, const struct sip_msg *response, struct slice rest)
{
    struct proxy_work *work = &c->proxy->work;
    struct builder b = builder_over(work->message, sizeof work->message);

    sip_edits_init(&work->edits, response);
    sip_edit_drop_all(&work->edits, SIP_F_CONTACT);
    sip_edit_add_last(&work->edits, rest);
    if (sip_edits_write(&work->edits, &b) != OK ||
        sip_parse(builder_slice(&b), SIP_DATAGRAM, &work->msg) != OK)
        return;
    response_store(c, &work->msg);
}

bool response_recurse(struct context *c, const struct sip_msg *response, uint64_t now_ms)
{
    if (!wants_recursion(c, response))
        return false;

    struct proxy_work *work = &c->proxy->work;
    struct builder rest = builder_over(work->uri, sizeof work->uri);
    struct sip_values it = sip_values(response, SIP_F_CONTACT);
    struct slice value;
    bool followed = false;
    while (sip_values_next(&it, &value)) {
        enum recursion done = recurse_to(c, value, now_ms);
        followed |= done == RECURSION_ADDED;
        if (done != RECURSION_LEFT)
            continue;
        builder_text(&rest, "Contact: ");
        builder_add(&rest, value);
        builder_text(&rest, "\r\n");
    }
    if (!followed)
        return false;
    if (rest.len > 0 && !rest.overflow)
        store_rest(c, response, builder_slice(&rest));
    return true;
}
