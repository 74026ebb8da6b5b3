/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/wake - phones that sleep are woken, and requests wait for them (RFC 8599).
 *
 * Two sides. The worker of a request keeps a `push_wait`: whom it waits for, and until when. The
 * worker that owns the phone's AOR keeps a `push_wake`: that the gateway was asked, and which
 * workers want to know when the phone registers. So a phone that ten calls of ten workers wait for
 * is woken once. Between workers a letter asks, and a letter answers; one that is lost costs a
 * second: each wait looks at the location table by itself as often.
 *
 * A wait ends in its timer only, never within the REGISTER or the call that it is about: so the
 * phone gets the answer to its REGISTER first (§5.6.2), and nothing of the proxy is entered twice.
 */
#include "base/push.h"

#include "core/internal.h"

enum {
    WORKERS_MAX = 256,
    WORD_BITS = 64,
};

/** A request of this worker that waits for a phone. */
struct push_wait {
    struct timer timer;
    struct map_node node; /* by AOR hash */
    struct core *core;
    struct id id;
    uint64_t waiter; /* the proxy's */
    struct locate_sleeper sleeper;
    uint64_t until_ms; /* monotonic */
    uint8_t listener;
    bool outside, sips; /* as in struct locate_query */
    bool failed;        /* the phone cannot be woken */
};

/** A phone of this worker that is being woken. */
struct push_wake {
    struct timer timer;
    struct map_node node; /* by AOR hash */
    struct core *core;
    struct id id;
    struct locate_sleeper sleeper;
    uint64_t asked_ms;                         /* monotonic */
    uint64_t workers[WORKERS_MAX / WORD_BITS]; /* who waits for it: a set */
};

/** What is known of who calls, for the phone. */
struct caller {
    struct slice call_id, uri;
};

static void wake_free(struct core *core, struct push_wake *wake);
static void on_wait_timer(struct timer *timer, uint64_t now_ms);
static void on_wake_timer(struct timer *timer, uint64_t now_ms);

enum err wake_open(struct core *core)
{
    struct pushes *pushes = &core->pushes;

    pushes->on = core->config.registrar.push.provider_count > 0 && core->config.ops.push != NULL;
    if (!pushes->on)
        return OK;
    assert(core->config.workers <= WORKERS_MAX);
    enum err err =
        pool_init(&pushes->waits, &core->mem, sizeof(struct push_wait), core->config.wait.max);
    if (err == OK)
        err = pool_init(&pushes->wakes, &core->mem, sizeof(struct push_wake), PUSH_WAKES_MAX);
    if (err == OK)
        err = map_init(&pushes->by_aor, PUSH_WAKES_INITIAL);
    if (err == OK)
        err = map_init(&pushes->awaited, PUSH_WAKES_INITIAL);
    return err;
}

void wake_close(struct core *core)
{
    struct pushes *pushes = &core->pushes;
    uint32_t cursor = 0;
    struct id id;
    struct push_wake *wake;

    while (pushes->awaited.buckets != NULL &&
           (wake = pool_next(&pushes->wakes, &cursor, &id)) != NULL)
        wake_free(core, wake);
    if (pushes->waits.mem != NULL) /* empty: the proxy has ended, and waits for nobody */
        pool_release(&pushes->waits);
    if (pushes->wakes.mem != NULL)
        pool_release(&pushes->wakes);
    if (pushes->by_aor.buckets != NULL)
        map_release(&pushes->by_aor);
    if (pushes->awaited.buckets != NULL)
        map_release(&pushes->awaited);
}

size_t wake_memory_max(const struct core_config *config)
{
    if (config->registrar.push.provider_count == 0)
        return 0;
    return pool_memory(config->wait.max) + pool_memory(PUSH_WAKES_MAX) +
           map_memory_max(PUSH_WAKES_INITIAL, config->wait.max) +
           map_memory_max(PUSH_WAKES_INITIAL, PUSH_WAKES_MAX);
}

bool wake_is_asleep(const struct core *core, const struct binding *binding)
{
    /* a registration of the future: the clock was put back, and it may be of any age */
    uint64_t age_ms = core->wall_ms - binding->registered_ms;
    return binding->flow_lost || age_ms >= core->config.wait.awake_ms;
}

/* ---- letters ---- */

static bool same_phone(const struct locate_sleeper *a, const struct locate_sleeper *b)
{
    return a->aor_hash == b->aor_hash && a->instance == b->instance;
}

static struct core_mail letter(const struct core *core, enum core_mail_kind kind,
                               const struct locate_sleeper *sleeper)
{
    return (struct core_mail){
        .kind = (uint8_t)kind,
        .from = (uint16_t)core->config.worker,
        .number = sleeper->instance,
        .id = {.slot = (uint32_t)(sleeper->aor_hash >> 32),
               .generation = (uint32_t)sleeper->aor_hash},
        .posted_ms = sleeper->seen_ms,
    };
}

static struct locate_sleeper sleeper_of(const struct core_mail *mail)
{
    return (struct locate_sleeper){
        .aor_hash = (uint64_t)mail->id.slot << 32 | mail->id.generation,
        .instance = mail->number,
        .seen_ms = mail->posted_ms,
    };
}

/** One that cannot be posted is made up for by PUSH_LOOK_MS, or by the end of the wait. */
static void post(struct core *core, unsigned worker, const struct core_mail *mail)
{
    if (!core->config.ops.post(core->config.ops.user, worker, mail))
        core_count(core, CORE_R_MAILBOX);
}

/* ---- who waits ---- */

/** Those of this worker who wait for a phone look at it now: or they know that it does not come. */
static void nudge(struct core *core, const struct locate_sleeper *sleeper, bool failed)
{
    for (struct map_node *node = map_first(&core->pushes.by_aor, sleeper->aor_hash); node != NULL;
         node = map_next(node)) {
        struct push_wait *wait = CONTAINER_OF(node, struct push_wait, node);
        if (!same_phone(&wait->sleeper, sleeper))
            continue;
        wait->failed |= failed;
        timer_start(&core->wheel, &wait->timer, core->now_ms);
    }
}

static unsigned count_waits(const struct core *core, uint64_t aor_hash)
{
    unsigned count = 0;

    for (struct map_node *node = map_first(&core->pushes.by_aor, aor_hash); node != NULL;
         node = map_next(node))
        count++;
    return count;
}

static void wait_free(struct core *core, struct push_wait *wait)
{
    timer_stop(&core->wheel, &wait->timer);
    map_remove(&core->pushes.by_aor, &wait->node);
    pool_free(&core->pushes.waits, wait->id);
}

void wake_stop_waiting(void *user, struct id id)
{
    struct core *core = user;
    struct push_wait *wait = pool_get(&core->pushes.waits, id);

    if (wait != NULL)
        wait_free(core, wait);
}

static uint32_t find_woken(struct core *core, const struct push_wait *wait,
                           struct proxy_target *targets, uint32_t max)
{
    struct sip_uri uri = {.scheme = wait->sips ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP};
    struct locate_query query = {
        .uri = &uri, .listener = wait->listener, .outside = wait->outside, .call = true};

    return locate_woken(core, &query, &wait->sleeper, targets, max);
}

/** It is over: with the phone's fresh targets, or with none. */
static void end_wait(struct core *core, struct push_wait *wait, const struct proxy_target *targets,
                     uint32_t count)
{
    uint64_t waiter = wait->waiter;

    if (count > 0)
        core->counters.push.woken++;
    else if (!wait->failed)
        core->counters.push.late++;
    if (count == 0)
        core_count(core, CORE_R_NOT_WOKEN);
    wait_free(core, wait);
    proxy_woken(core->proxy, waiter, targets, count, core->now_ms);
}

static void on_wait_timer(struct timer *timer, uint64_t now_ms)
{
    struct push_wait *wait = CONTAINER_OF(timer, struct push_wait, timer);
    struct core *core = wait->core;

    arena_reset(&core->scratch);
    uint32_t count = find_woken(core, wait, core->hops, RESOLVE_TARGETS_MAX);
    if (count > 0 || wait->failed || now_ms >= wait->until_ms) {
        end_wait(core, wait, core->hops, count);
        return;
    }
    uint64_t next_ms = now_ms + PUSH_LOOK_MS;
    timer_start(&core->wheel, timer, next_ms < wait->until_ms ? next_ms : wait->until_ms);
}

/* ---- who is woken ---- */

static struct push_wake *find_wake(const struct core *core, const struct locate_sleeper *sleeper)
{
    for (struct map_node *node = map_first(&core->pushes.awaited, sleeper->aor_hash); node != NULL;
         node = map_next(node)) {
        struct push_wake *wake = CONTAINER_OF(node, struct push_wake, node);
        if (same_phone(&wake->sleeper, sleeper))
            return wake;
    }
    return NULL;
}

static void wake_free(struct core *core, struct push_wake *wake)
{
    timer_stop(&core->wheel, &wake->timer);
    map_remove(&core->pushes.awaited, &wake->node);
    pool_free(&core->pushes.wakes, wake->id);
}

static void on_wake_timer(struct timer *timer, uint64_t now_ms)
{
    struct push_wake *wake = CONTAINER_OF(timer, struct push_wake, timer);

    (void)now_ms;
    wake_free(wake->core,
              wake); /* its phone did not come; those who wait have an end of their own */
}

/** Tells all who wait for a phone, and forgets it. */
static void end_wake(struct core *core, struct push_wake *wake, bool failed)
{
    struct locate_sleeper sleeper = wake->sleeper;
    struct core_mail mail =
        letter(core, failed ? CORE_MAIL_PUSH_FAILED : CORE_MAIL_PUSH_WOKEN, &sleeper);

    for (unsigned i = 0; i < core->config.workers; i++) {
        if ((wake->workers[i / WORD_BITS] >> i % WORD_BITS & 1) == 0)
            continue;
        if (i == core->config.worker)
            nudge(core, &sleeper, failed);
        else
            post(core, i, &mail);
    }
    wake_free(core, wake);
}

/** NULL: no room. */
static struct push_wake *wake_new(struct core *core, const struct locate_sleeper *sleeper)
{
    struct id id;
    struct push_wake *wake = pool_alloc(&core->pushes.wakes, &id);

    if (wake == NULL)
        return NULL;
    wake->core = core;
    wake->id = id;
    wake->sleeper = *sleeper;
    wake->timer.fn = on_wake_timer;
    map_add(&core->pushes.awaited, &wake->node, sleeper->aor_hash);
    return wake;
}

static struct slice unescape(struct core *core, struct slice text)
{
    char *plain = arena_alloc(&core->scratch, text.len + 1);
    struct builder b = builder_over(plain, plain != NULL ? text.len + 1 : 0);

    return sip_unescape(&b, text) == OK ? builder_slice(&b) : SLICE_EMPTY;
}

/** Asks the gateway. False: it cannot be asked now. */
static bool ask_gateway(struct core *core, struct push_wake *wake, enum core_push_why why,
                        struct slice aor, const struct binding *binding,
                        const struct caller *caller)
{
    struct push_params params;
    uint32_t for_ms =
        why == CORE_PUSH_CALL ? core->config.wait.wait_ms : core->config.registrar.push.lead * 1000;

    if (!push_params_find(binding->contact, &params))
        return false;
    struct core_push push = {
        .token = wake->id,
        .why = why,
        .user = aor,
        .provider = unescape(core, params.provider),
        .param = unescape(core, params.param),
        .prid = unescape(core, params.prid),
        .call_id = caller->call_id,
        .caller = caller->uri,
        .for_ms = for_ms,
    };
    if (push.prid.len == 0 || !core->config.ops.push(core->config.ops.user, &push))
        return false;
    wake->asked_ms = core->now_ms;
    timer_start(&core->wheel, &wake->timer, core->now_ms + for_ms);
    if (why == CORE_PUSH_CALL)
        core->counters.push.calls++;
    else
        core->counters.push.refreshes++;
    return true;
}

/** The binding of a phone that was registered last; false: there is none. */
static bool find_binding(const struct core *core, struct slice block,
                         const struct locate_sleeper *sleeper, struct binding *out)
{
    uint32_t cursor = 0;
    struct binding binding;
    bool found = false;

    while (block.len > 0 && binding_next(block, &cursor, &binding)) {
        if (!binding_wakes(&binding) || binding.expires_ms <= core->wall_ms ||
            instance_hash(core, &binding) != sleeper->instance)
            continue;
        if (!found || binding.registered_ms > out->registered_ms)
            *out = binding;
        found = true;
    }
    return found;
}

/**
 * A worker waits for a phone that is ours to wake. The gateway is not asked again while the phone
 * may be on its way. Gives CORE_MAIL_PUSH_ASK when it is, else what that worker is to be told.
 */
static enum core_mail_kind start_wake(struct core *core, const struct locate_sleeper *sleeper,
                                      unsigned worker, const struct caller *caller)
{
    const struct table_ops *table = &core->config.location;
    struct slice aor;
    struct slice block = table->find_hash(table->user, sleeper->aor_hash, &aor);
    struct binding binding;

    if (!find_binding(core, block, sleeper, &binding))
        return CORE_MAIL_PUSH_FAILED;
    if (binding.registered_ms > sleeper->seen_ms)
        return CORE_MAIL_PUSH_WOKEN;
    struct push_wake *wake = find_wake(core, sleeper);
    bool recent = wake != NULL && core->now_ms - wake->asked_ms < PUSH_AGAIN_MS;
    bool fresh = wake == NULL;
    if (fresh)
        wake = wake_new(core, sleeper);
    if (wake == NULL ||
        (!recent && !ask_gateway(core, wake, CORE_PUSH_CALL, aor, &binding, caller))) {
        core->counters.push.full++;
        if (fresh && wake != NULL)
            wake_free(core, wake);
        return CORE_MAIL_PUSH_FAILED;
    }
    wake->sleeper.seen_ms = sleeper->seen_ms;
    wake->workers[worker / WORD_BITS] |= UINT64_C(1) << worker % WORD_BITS;
    return CORE_MAIL_PUSH_ASK; /* it is under way */
}

/** From a worker that waits; from this one, too. */
static void on_ask(struct core *core, const struct locate_sleeper *sleeper, unsigned worker,
                   const struct caller *caller)
{
    enum core_mail_kind kind = start_wake(core, sleeper, worker, caller);
    struct core_mail mail = letter(core, kind, sleeper);

    if (kind == CORE_MAIL_PUSH_ASK)
        return;
    if (worker == core->config.worker)
        nudge(core, sleeper, kind == CORE_MAIL_PUSH_FAILED);
    else
        post(core, worker, &mail);
}

static struct slice at_most(struct slice s, size_t len)
{
    return (struct slice){s.data, s.len < len ? s.len : len};
}

/** Has the owner of the phone's AOR wake it. */
static void ask_owner(struct core *core, const struct locate_sleeper *sleeper,
                      const struct sip_msg *msg)
{
    unsigned owner = table_owner(sleeper->aor_hash, core->config.workers);
    struct caller caller = {at_most(msg->call_id, PUSH_CALLER_MAX),
                            at_most(msg->from.uri_text, PUSH_CALLER_MAX)};
    char text[2 * PUSH_CALLER_MAX + 1];
    struct builder b = builder_over(text, sizeof text);

    if (owner == core->config.worker) {
        on_ask(core, sleeper, owner, &caller);
        return;
    }
    builder_add(&b, caller.call_id);
    builder_char(&b, '\0');
    builder_add(&b, caller.uri);
    struct core_mail mail = letter(core, CORE_MAIL_PUSH_ASK, sleeper);
    mail.bytes = builder_slice(&b);
    post(core, owner, &mail);
}

bool wake_start(void *user, const struct proxy_target *target, const struct proxy_request *request,
                uint64_t waiter, uint64_t now_ms, struct id *out)
{
    struct core *core = user;
    uint64_t aor_hash = core_aor_hash(&core->config, target->aor);
    uint32_t wait_ms = core->config.wait.wait_ms;
    struct id id;

    if (request->msg->method != SIP_INVITE && wait_ms > PUSH_OTHERS_MS)
        wait_ms = PUSH_OTHERS_MS;
    struct push_wait *wait = count_waits(core, aor_hash) < PUSH_PER_AOR_MAX
                                 ? pool_alloc(&core->pushes.waits, &id)
                                 : NULL;
    if (wait == NULL) {
        core->counters.push.full++;
        return false;
    }
    wait->core = core;
    wait->id = id;
    wait->waiter = waiter;
    wait->sleeper = (struct locate_sleeper){aor_hash, target->instance, target->asleep_ms};
    wait->until_ms = now_ms + wait_ms;
    wait->listener = request->source->listener;
    wait->outside = request->reaches_outside;
    wait->sips = request->msg->request_uri.scheme == SIP_SCHEME_SIPS;
    wait->timer.fn = on_wait_timer;
    map_add(&core->pushes.by_aor, &wait->node, aor_hash);
    timer_start(&core->wheel, &wait->timer, now_ms + PUSH_LOOK_MS);
    ask_owner(core, &wait->sleeper, request->msg);
    *out = id;
    return true;
}

/* ---- what comes of it ---- */

void wake_registered(struct core *core, uint64_t aor_hash, struct slice block)
{
    struct map_node *node =
        core->pushes.wakes.count > 0 ? map_first(&core->pushes.awaited, aor_hash) : NULL;
    struct binding binding;

    while (node != NULL) {
        struct push_wake *wake = CONTAINER_OF(node, struct push_wake, node);
        node = map_next(node);
        if (find_binding(core, block, &wake->sleeper, &binding) &&
            binding.registered_ms > wake->sleeper.seen_ms)
            end_wake(core, wake, false);
    }
}

/** A phone's registrations: none has come since it was asked for, or nobody would wait any more. */
struct gone_phone {
    const struct core *core;
    const struct locate_sleeper *sleeper;
};

static bool is_gone(const void *user, const struct binding *binding)
{
    const struct gone_phone *gone = user;

    return binding->push && instance_hash(gone->core, binding) == gone->sleeper->instance;
}

/** Its token is dead: whoever calls would wait in vain, and the service takes it amiss. */
static void mark_gone(struct core *core, const struct locate_sleeper *sleeper)
{
    const struct table_ops *table = &core->config.location;
    struct gone_phone gone = {core, sleeper};
    struct slice aor, marked;
    bool changed = false;
    struct slice block = table->find_hash(table->user, sleeper->aor_hash, &aor);

    arena_reset(&core->scratch);
    if (block.len == 0)
        return;
    if (registrar_mark(block, REGISTRAR_PUSH_GONE, is_gone, &gone, &core->scratch, &marked,
                       &changed) != OK) {
        core_count(core, CORE_R_MEMORY); /* the next call finds it out anew */
        return;
    }
    if (!changed)
        return;
    core_logf(core, CORE_LOG_WARNING, "push_gone",
              "the push service does not know a phone of %.*s any more; it is not woken until it "
              "registers anew",
              SLICE_ARG(aor));
    if (location_put(core, aor, sleeper->aor_hash, marked) != OK)
        core_count(core, CORE_R_MEMORY);
}

void wake_result(struct core *core, struct id token, enum core_push_answer answer)
{
    struct push_wake *wake = pool_get(&core->pushes.wakes, token);

    if (wake == NULL || answer == CORE_PUSH_ACCEPTED)
        return;
    if (answer == CORE_PUSH_GONE)
        mark_gone(core, &wake->sleeper);
    core->counters.push.failed++;
    end_wake(core, wake, true);
}

static bool wakes_itself(const struct binding *binding)
{
    struct sip_param param;
    return sip_param_find(binding->params, SLICE("+sip.pnsreg"), &param);
}

/* The next look is a round away (expiry.c); who refreshes by itself has all of its time (§5.5). */
uint64_t wake_due_ms(const struct core *core, const struct binding *binding)
{
    uint64_t lead_ms = (uint64_t)core->config.registrar.push.lead * 1000;

    if (!core->pushes.on || lead_ms == 0 || !binding_wakes(binding))
        return UINT64_MAX;
    if (!wakes_itself(binding))
        lead_ms += EXPIRY_ROUND_MS;
    return binding->expires_ms > lead_ms ? binding->expires_ms - lead_ms : 0;
}

static void refresh_binding(struct core *core, uint64_t aor_hash, struct slice aor,
                            const struct binding *binding)
{
    const struct caller nobody = {SLICE_EMPTY, SLICE_EMPTY};
    struct locate_sleeper sleeper = {aor_hash, instance_hash(core, binding),
                                     binding->registered_ms};

    if (find_wake(core, &sleeper) != NULL)
        return; /* it is on its way */
    struct push_wake *wake = wake_new(core, &sleeper);
    if (wake != NULL && ask_gateway(core, wake, CORE_PUSH_REFRESH, aor, binding, &nobody))
        return;
    core->counters.push.full++; /* the next round tries again */
    if (wake != NULL)
        wake_free(core, wake);
}

void wake_refresh(struct core *core, uint64_t aor_hash, struct slice block)
{
    struct binding binding;
    uint32_t cursor = 0;

    if (core->draining)
        return; /* who comes after us does it */
    while (binding_next(block, &cursor, &binding)) {
        if (binding.expires_ms <= core->wall_ms || wake_due_ms(core, &binding) > core->wall_ms)
            continue;
        arena_reset(&core->scratch);
        refresh_binding(core, aor_hash, binding_block_aor(block), &binding);
    }
}

void wake_mail(struct core *core, const struct core_mail *mail)
{
    struct locate_sleeper sleeper = sleeper_of(mail);

    if (!core->pushes.on)
        return;
    arena_reset(&core->scratch);
    if (mail->kind != CORE_MAIL_PUSH_ASK) {
        nudge(core, &sleeper, mail->kind == CORE_MAIL_PUSH_FAILED);
        return;
    }
    size_t zero = slice_find(mail->bytes, '\0');
    struct caller caller = {SLICE_EMPTY, SLICE_EMPTY};
    if (zero != SIZE_MAX) {
        caller.call_id = (struct slice){mail->bytes.data, zero};
        caller.uri = slice_from(mail->bytes, zero + 1);
    }
    on_ask(core, &sleeper, mail->from, &caller);
}
