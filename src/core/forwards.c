/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/forwards - a user's calls go on as he says: always, when he is busy or declines, when he
 * does not answer, when no phone of his is there; to another user, or to an answer.
 *
 * It is the plan of such a call (proxy_config.next_step): his phones are the first step, and each
 * user that it goes on to is another one, with what he says in turn. The plan keeps whom it is at
 * by name, not what he said: that is looked up in the present policy. FORWARDS_MAX users one after
 * the other are enough; who forwards in a circle is told so when he does.
 *
 * A call that is forwarded before anybody rings has no targets of its own; `first` says why.
 */
#include "base/destination.h"
#include "core/internal.h"

enum {
    FORWARDS_MAX = 10,
    URI_MAX = 8 + USER_NAME_MAX + POLICY_DOMAIN_LENGTH_MAX,
    NOBODY_STATUS = 480
};

/** One call on its way. */
struct forward {
    struct id self;
    uint8_t first; /* enum user_forward; USER_FORWARDS: his phones ring first */
    uint8_t users; /* it was at */
    uint8_t name_len;
    bool secure;              /* it is for a sips: URI */
    bool outside;             /* the caller may be led outside by a binding */
    char name[USER_NAME_MAX]; /* of the user it is at */
};

enum err forwards_open(struct core *core)
{
    enum err err = arena_init(&core->step_scratch, &core->mem, CORE_SCRATCH_MAX);
    if (err)
        return err;
    return pool_init(&core->forwards, &core->mem, sizeof(struct forward),
                     core->config.transactions_max);
}

void forwards_close(struct core *core)
{
    if (core->step_scratch.mem != NULL)
        arena_release(&core->step_scratch);
    if (core->forwards.mem != NULL)
        pool_release(&core->forwards);
}

size_t forwards_memory_max(const struct core_config *config)
{
    return pool_memory(config->transactions_max);
}

/* ---- at the beginning ---- */

static bool says_anything(const struct user *user)
{
    for (unsigned i = 0; i < USER_FORWARDS; i++)
        if (user->forward[i].len > 0)
            return true;
    return false;
}

/* Why it does not even begin with his phones; USER_FORWARDS: it does. */
static enum user_forward first_of(const struct user *user, uint32_t count, enum core_reason reason)
{
    if (user->forward[USER_FORWARD_ALWAYS].len > 0)
        return USER_FORWARD_ALWAYS;
    if (count > 0)
        return USER_FORWARDS;
    return reason == CORE_R_DO_NOT_DISTURB ? USER_FORWARD_BUSY : USER_FORWARD_UNREGISTERED;
}

bool forwards_concern(struct core *core, struct request *r, uint32_t *count,
                      enum core_reason reason)
{
    const struct user *user = core->callee;

    if (user == NULL || r->msg->method != SIP_INVITE || r->in_dialog || r->msg->to.tag.len > 0 ||
        r->uri.has_gr || !says_anything(user))
        return false;
    if (*count == 0 && reason != CORE_R_DO_NOT_DISTURB && reason != CORE_R_NO_BINDING)
        return false;
    enum user_forward first = first_of(user, *count, reason);
    if (first != USER_FORWARDS && user->forward[first].len == 0)
        return false;
    r->forwards = true;
    r->forward_first = (uint8_t)first;
    if (first != USER_FORWARDS)
        *count = 0;
    return true;
}

static uint32_t ring_ms_of(const struct user *user)
{
    if (user->forward[USER_FORWARD_NO_ANSWER].len == 0)
        return 0;
    return user->forward_after_ms != 0 ? user->forward_after_ms : USER_FORWARD_MS;
}

static void be_at(struct forward *forward, const struct user *user)
{
    assert(user->name.len <= USER_NAME_MAX);

    forward->name_len = (uint8_t)user->name.len;
    memcpy(forward->name, user->name.data, user->name.len);
    forward->users++;
}

bool forwards_begin(struct core *core, struct request *r, struct proxy_request *request)
{
    struct id id;

    if (!r->forwards)
        return true;
    struct forward *forward = pool_alloc(&core->forwards, &id);
    if (forward == NULL)
        return false;
    *forward = (struct forward){
        .self = id,
        .first = r->forward_first,
        .secure = r->uri.scheme == SIP_SCHEME_SIPS,
        .outside = request->reaches_outside,
    };
    be_at(forward, core->callee);
    request->plan = (uint64_t)id.generation << 32 | id.slot;
    if (forward->first == USER_FORWARDS)
        request->patience.ring_ms = ring_ms_of(core->callee);
    return true;
}

static struct forward *forward_of(struct core *core, uint64_t plan)
{
    return pool_get(&core->forwards, (struct id){(uint32_t)plan, (uint32_t)(plan >> 32)});
}

void forwards_done(void *user, uint64_t plan)
{
    struct core *core = user;
    struct forward *forward = forward_of(core, plan);

    assert(forward != NULL);
    pool_free(&core->forwards, forward->self);
}

/* ---- what is next ---- */

/* Which of his rules it is for; USER_FORWARDS: none, the answer is the caller's. */
static enum user_forward rule_for(enum proxy_outcome outcome)
{
    switch (outcome) {
    case PROXY_UNREACHED:
        return USER_FORWARD_UNREGISTERED;
    case PROXY_BUSY:
    case PROXY_DECLINED:
        return USER_FORWARD_BUSY;
    case PROXY_UNANSWERED:
        return USER_FORWARD_NO_ANSWER;
    case PROXY_FAILED:
        break;
    }
    return USER_FORWARDS;
}

/* The phones of a user, in core->hops. */
static uint32_t find_phones(struct core *core, const struct forward *forward,
                            const struct user *user)
{
    char text[URI_MAX];
    struct builder uri = builder_over(text, sizeof text);

    builder_add(&uri, forward->secure ? SLICE("sips:") : SLICE("sip:"));
    builder_add(&uri, user->name);
    builder_char(&uri, '@');
    builder_add(&uri, policy_domain_at(core->policy, 0));
    assert(!uri.overflow);
    return locate_resolve(core, builder_slice(&uri), forward->outside, core->hops,
                          RESOLVE_TARGETS_MAX, core->now_ms);
}

/* What one rule leads to. GO_ON: to `*user`, who has yet to be looked at. */
static enum proxy_next follow(struct core *core, struct forward *forward, struct slice rule,
                              const struct user **user, uint16_t *reply)
{
    struct destination_problem problem;
    struct destination to;

    *user = NULL;
    *reply = NOBODY_STATUS;
    if (destination_parse(rule, &to, &problem) != OK)
        return PROXY_NEXT_REPLY;
    if (to.kind == DESTINATION_REPLY)
        *reply = to.reply;
    if (to.kind != DESTINATION_USER || forward->users == FORWARDS_MAX)
        return PROXY_NEXT_REPLY;
    const struct user *found = policy_user_by_name(core->policy, to.name);
    if (found == NULL || found->disabled)
        return PROXY_NEXT_REPLY;
    be_at(forward, found);
    *user = found;
    return PROXY_NEXT_STEP;
}

/*
 * From this user's rule on, over users who forward always, are not to be disturbed or are not
 * there, to the first whose phones may ring. `tried`: his own have rung, so what they said is an
 * answer.
 */
static enum proxy_next go_on(struct core *core, struct forward *forward, enum user_forward rule,
                             bool tried, struct proxy_step *step, uint16_t *reply)
{
    const struct slice name = {forward->name, forward->name_len};
    const struct user *user = policy_user_by_name(core->policy, name);

    for (;;) {
        struct slice text =
            user != NULL && rule != USER_FORWARDS ? user->forward[rule] : SLICE_EMPTY;
        *reply = NOBODY_STATUS;
        if (text.len == 0)
            return tried ? PROXY_NEXT_NONE : PROXY_NEXT_REPLY;
        enum proxy_next next = follow(core, forward, text, &user, reply);
        if (next != PROXY_NEXT_STEP)
            return next;
        tried = false;
        rule = USER_FORWARD_ALWAYS;
        if (user->forward[rule].len > 0)
            continue;
        rule = USER_FORWARD_BUSY;
        if (user->do_not_disturb)
            continue;
        step->targets = core->hops;
        step->count = find_phones(core, forward, user);
        step->patience = (struct proxy_patience){.ring_ms = ring_ms_of(user)};
        if (step->count > 0)
            return PROXY_NEXT_STEP;
        rule = USER_FORWARD_UNREGISTERED;
    }
}

/* The scratch may be in use for the message that has led here, or not be reset for long. */
static void swap_scratch(struct core *core)
{
    struct arena scratch = core->scratch;

    core->scratch = core->step_scratch;
    core->step_scratch = scratch;
}

enum proxy_next forwards_next(void *user, uint64_t plan, const struct proxy_end *end,
                              uint64_t waiter, uint64_t now_ms, struct proxy_step *step,
                              uint16_t *reply)
{
    struct core *core = user;
    struct forward *forward = forward_of(core, plan);

    (void)waiter;
    (void)now_ms;
    assert(forward != NULL);
    bool tried = forward->first == USER_FORWARDS;
    enum user_forward rule = tried ? rule_for(end->outcome) : (enum user_forward)forward->first;
    forward->first = USER_FORWARDS;
    arena_reset(&core->step_scratch);
    swap_scratch(core);
    enum proxy_next next = go_on(core, forward, rule, tried, step, reply);
    swap_scratch(core);
    return next;
}
