/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/locate - from a Request-URI to targets (RFC 3261 §16.5), and to the next hop.
 */
#include "base/push.h"
#include "core/internal.h"
#include "proxy/gruu.h"

/** Is it an extension or a number rather than a name? Written as digits with a leading +. */
static bool dialled_number(const struct sip_uri *uri, struct slice user, struct builder *number)
{
    if (uri->scheme == SIP_SCHEME_TEL || uri->user_phone)
        return sip_number_normalize(number, user) == OK;
    if (user.len == 0 || user.len > 32)
        return false;
    for (size_t i = 0; i < user.len; i++) {
        char c = user.data[i];
        if (!((c >= '0' && c <= '9') || c == '*' || c == '#' || (c == '+' && i == 0)))
            return false;
    }
    builder_add(number, user);
    return true;
}

static const struct user *find_user(const struct core *core, const struct sip_uri *uri,
                                    struct slice name)
{
    const struct user *user = NULL;
    if (uri->scheme != SIP_SCHEME_TEL)
        user = policy_user_by_name(core->policy, name);
    if (user != NULL)
        return user;

    char digits[64];
    struct builder number = builder_over(digits, sizeof digits);
    if (!dialled_number(uri, name, &number) || number.overflow)
        return NULL;
    user = policy_user_by_extension(core->policy, builder_slice(&number));
    if (user == NULL)
        user = policy_user_by_number(core->policy, builder_slice(&number));
    return user;
}

bool locate_aor(const struct core *core, const struct sip_uri *uri, struct builder *b,
                struct slice *aor, const struct user **user)
{
    struct slice name = uri->user;

    *user = NULL;
    if (uri->scheme != SIP_SCHEME_TEL) {
        if (registrar_aor_key(uri, b) != OK)
            return false;
        name = builder_slice(b);
    }
    *user = find_user(core, uri, name);
    if (*user != NULL) {
        *aor = (*user)->name;
        return !(*user)->disabled;
    }
    if (uri->scheme == SIP_SCHEME_TEL || core->config.auth_required)
        return false;
    *aor = name; /* an open registrar takes anybody */
    return true;
}

bool locate_address(const struct core *core, const struct sip_uri *uri, uint8_t listener,
                    struct flow *to)
{
    enum transport transport = (enum transport)uri->transport;

    if (transport == TRANSPORT_WS || transport == TRANSPORT_WSS)
        return false; /* a browser is reached by its own connection only (RFC 7118 §5) */
    if (uri->scheme == SIP_SCHEME_SIPS)
        transport = TRANSPORT_TLS;
    if (uri->has_transport && transport == TRANSPORT_NONE)
        return false; /* one we do not know */
    if (transport == TRANSPORT_NONE)
        transport = TRANSPORT_UDP; /* numeric, nothing said: RFC 3263 §4.1 */

    *to = (struct flow){.transport = (uint8_t)transport};
    uint16_t default_port = sip_transport_port(transport);
    if (uri->maddr.len > 0) {
        uint16_t port = uri->port != 0 ? uri->port : default_port;
        if (addr_parse(uri->maddr, port, &to->remote) != OK)
            return false;
    } else if (sip_uri_addr(uri, default_port, &to->remote) != OK) {
        return false;
    }
    if (!addr_is_unicast(&to->remote))
        return false;
    to->listener = pick_listener(core, transport, to->remote.family, listener);
    return to->listener != LISTENER_ANY;
}

uint32_t instance_hash(const struct core *core, const struct binding *binding)
{
    struct slice name = binding->instance.len > 0 ? binding->instance : binding->contact;
    struct push_params push;

    if (binding->push && binding->instance.len == 0 && push_params_find(binding->contact, &push))
        name = push.prid; /* the phone, wherever it is (RFC 8599 §5.3) */
    uint32_t hash = (uint32_t)hash_mac(&core->config.token_key, name);

    return hash != 0 ? hash : 1;
}

/** The flow a binding registered by, fit to send on. */
static bool binding_flow(const struct core *core, const struct binding *binding, struct flow *to)
{
    *to = binding->flow;
    if (transport_reliable((enum transport)to->transport))
        to->flags |= FLOW_ONLY_CONN;
    if (!listener_fits(core, to))
        to->listener =
            pick_listener(core, (enum transport)to->transport, to->remote.family, LISTENER_ANY);
    return to->listener != LISTENER_ANY;
}

static struct resolve_query hop_query(const struct sip_uri *uri)
{
    return (struct resolve_query){
        .host = uri->maddr.len > 0 ? uri->maddr : uri->host,
        .port = uri->port,
        .transport = uri->transport,
        .sips = uri->scheme == SIP_SCHEME_SIPS,
    };
}

/** May the DNS be asked for the host of this URI? */
static bool has_name(const struct core *core, const struct sip_uri *uri)
{
    return uri->scheme != SIP_SCHEME_TEL &&
           !(uri->has_transport && uri->transport == TRANSPORT_NONE) &&
           core->config.ops.ask_dns != NULL;
}

/** The way to a target of `host`; false: no listener can send there. */
static bool target_flow(struct core *core, struct slice host, const struct resolve_target *target,
                        uint8_t listener, struct flow *to)
{
    *to =
        (struct flow){.transport = target->transport, .remote = target->addr, .name = target->name};
    to->listener = pick_listener(core, (enum transport)to->transport, to->remote.family, listener);
    if (to->name != 0 && core->config.ops.name_host != NULL)
        core->config.ops.name_host(core->config.ops.user, to->name, host);
    return to->listener != LISTENER_ANY;
}

/** The best address of an edge's name: a dead one comes last, so that the next call finds another.
 */
static bool edge_address(struct core *core, const struct sip_uri *uri, uint8_t listener,
                         struct flow *to, bool *ask)
{
    const struct resolve_targets *targets;
    struct resolve_query query = hop_query(uri);
    enum resolve_verdict verdict =
        has_name(core, uri) ? dns_find(core, &query, &targets) : RESOLVE_NOTHING;

    *ask |= verdict == RESOLVE_ASK;
    for (uint32_t i = 0; verdict == RESOLVE_DONE && i < targets->count; i++) {
        const struct resolve_target *target = &targets->items[i];
        if (!is_our_address(core, &target->addr) &&
            target_flow(core, query.host, target, listener, to))
            return true;
    }
    return false;
}

/** The first value of a stored Path is the next hop (RFC 3327 §5.3). `*ask`: as LOCATE_ASK. */
static bool path_address(struct core *core, const struct binding *binding, bool sips,
                         uint8_t listener, struct flow *to, bool *ask)
{
    struct slice rest = binding->path, value;
    struct sip_name_addr edge;
    struct sip_uri uri;

    if (!sip_list_next(&rest, &value) || sip_name_addr_parse(value, &edge) != OK ||
        sip_uri_parse(edge.uri_text, &uri) != OK)
        return false;
    if (sips)
        uri.scheme = SIP_SCHEME_SIPS;
    return locate_address(core, &uri, listener, to) || edge_address(core, &uri, listener, to, ask);
}

static bool is_callable(const struct sip_uri *uri)
{
    return uri->scheme == SIP_SCHEME_SIP || uri->scheme == SIP_SCHEME_SIPS;
}

/** The contact as others may see it: without what its phone is woken by (RFC 8599 §13). */
static struct slice shown_contact(struct core *core, const struct binding *binding)
{
    if (!binding->push)
        return binding->contact;
    char *text = arena_alloc(&core->scratch, binding->contact.len);
    struct builder b = builder_over(text, text != NULL ? binding->contact.len : 0);
    push_params_strip(binding->contact, &b);
    return b.overflow ? SLICE_EMPTY : builder_slice(&b);
}

static bool binding_target(struct core *core, const struct binding *binding,
                           const struct sip_uri *uri, struct slice aor, uint8_t listener,
                           struct proxy_target *out, bool *ask)
{

    *out = (struct proxy_target){
        .uri = shown_contact(core, binding),
        .routes = binding->path,
        .q = binding->q,
        .aor = aor,
        .instance = instance_hash(core, binding),
        .flow_name = flows_name(core, binding),
    };
    if (out->uri.len == 0)
        return false;
    if (out->flow_name != 0)
        out->aor_hash = core_aor_hash(&core->config, aor);
    if (binding->path.len > 0) {
        out->at_edge = true;
        return path_address(core, binding, uri->scheme == SIP_SCHEME_SIPS, listener, &out->to, ask);
    }
    if (binding->nat || flow_has_conn(&binding->flow)) {
        out->nat = true;
        return binding_flow(core, binding, &out->to);
    }
    if (locate_address(core, uri, binding->flow.listener, &out->to))
        return true;
    out->nat = true;
    return binding_flow(core, binding, &out->to); /* a host name: the flow is what we know */
}

/** A search through bindings that name other users of ours. */
struct search {
    const struct locate_query *query;
    struct proxy_target *out;
    uint32_t count, max;
    uint8_t depth;
    bool ask;                /* for the name of an edge, core->dns_query */
    enum core_reason reason; /* why nothing was found */
};

static void search_user(struct core *core, const struct sip_uri *uri, struct search *search);

/**
 * Does a binding lead to a host that it did not come from, to a gateway perhaps? Who may not call
 * outside himself does not get there by a user's registration: it would be in nobody's name.
 */
static bool leads_outside(const struct core *core, const struct binding *binding,
                          const struct flow *to)
{
    return !addr_same_host(&to->remote, &binding->flow.remote) &&
           !core_is_trusted(core, &to->remote) && !core_is_trusted(core, &binding->flow.remote);
}

/**
 * What a call to a sip or a sips URI makes of a binding (RFC 5630 §5.3): one to a sips URI goes to
 * sips contacts only; one to a sip URI goes to a sips contact as sip, over TLS all the same.
 */
static bool match_sips(struct core *core, const struct sip_uri *contact, struct search *search,
                       struct proxy_target *target)
{
    bool asked = search->query->uri->scheme == SIP_SCHEME_SIPS;
    bool given = contact->scheme == SIP_SCHEME_SIPS;
    enum core_reason reason = asked ? CORE_R_SIPS_NOT_ALLOWED : CORE_R_SIPS_REQUIRED;

    if (!asked && !given)
        return true;
    if (!given || !transport_secure((enum transport)target->to.transport)) {
        search->reason = reason;
        return false;
    }
    if (asked)
        return true;
    const size_t old = SLICE("sips").len;
    struct slice rest = slice_from(target->uri, old);
    char *text = arena_alloc(&core->scratch, old - 1 + rest.len);
    if (text == NULL) {
        search->reason = CORE_R_MEMORY;
        return false;
    }
    memcpy(text, target->uri.data, old - 1);
    memcpy(text + old - 1, rest.data, rest.len);
    target->uri = (struct slice){text, old - 1 + rest.len};
    return true;
}

/** Who registers from elsewhere is not on this machine. */
static bool leads_inside(const struct binding *binding, const struct flow *to)
{
    return addr_is_loopback(&to->remote) && !addr_is_loopback(&binding->flow.remote);
}

/** One binding: a target, or, when its contact is one of our users, that user's targets (§16.5). */
static void search_binding(struct core *core, const struct binding *binding, struct slice aor,
                           struct search *search)
{
    struct sip_uri uri;

    if (sip_uri_parse(binding->contact, &uri) != OK || !is_callable(&uri))
        return; /* mailto: and the like are kept and listed (§10.2.1), not called */
    bool direct = binding->path.len > 0 || binding->nat || flow_has_conn(&binding->flow);
    if (direct || !is_our_uri(core, &uri)) {
        struct proxy_target *target = &search->out[search->count];
        if (binding_target(core, binding, &uri, aor, search->query->listener, target,
                           &search->ask) &&
            !leads_inside(binding, &target->to) &&
            (search->query->outside || binding->path.len > 0 ||
             !leads_outside(core, binding, &target->to)) &&
            match_sips(core, &uri, search, target))
            search->count++;
        return;
    }
    if (search->query->uri->scheme == SIP_SCHEME_SIPS && uri.scheme != SIP_SCHEME_SIPS) {
        search->reason = CORE_R_SIPS_NOT_ALLOWED;
        return;
    }
    if (search->depth == LOCATE_DEPTH_MAX) {
        search->reason = CORE_R_LOOP; /* users who are registered to each other */
        return;
    }
    search->depth++;
    search_user(core, &uri, search);
    search->depth--;
}

/** When the phone has registered last, by any of its flows. */
static uint64_t last_registered(const struct core *core, struct slice block, uint32_t instance)
{
    struct binding binding;
    uint32_t cursor = 0;
    uint64_t last_ms = 0;

    while (binding_next(block, &cursor, &binding))
        if (binding.push && binding.registered_ms > last_ms &&
            instance_hash(core, &binding) == instance)
            last_ms = binding.registered_ms;
    return last_ms;
}

/** One whose phone sleeps: it is woken when it is its turn, and then it is seen where it is. */
static void search_sleeper(const struct core *core, const struct binding *binding, struct slice aor,
                           struct slice block, struct search *search)
{
    const struct slice sips = SLICE("sips:");
    struct slice scheme = {binding->contact.data,
                           binding->contact.len < sips.len ? binding->contact.len : sips.len};
    uint32_t instance = instance_hash(core, binding);

    if (search->query->uri->scheme == SIP_SCHEME_SIPS && !slice_equal_nocase(scheme, sips)) {
        search->reason = CORE_R_SIPS_NOT_ALLOWED;
        return;
    }
    search->out[search->count++] = (struct proxy_target){
        .uri = binding->contact,
        .to = binding->flow,
        .q = binding->q,
        .aor = aor,
        .instance = instance,
        .asleep_ms = last_registered(core, block, instance),
    };
}

/** Which of an AOR's bindings a URI is for: all, or those of one instance (RFC 5627 §5.4). */
struct chosen {
    const struct locate_sleeper *sleeper; /* not NULL: what this phone has registered since */
    struct slice gr;                      /* of a public GRUU, escaped; empty: none */
    bool temporary;                       /* then this: */
    struct proxy_gruu gruu;               /* of a temporary one */
};

static bool is_chosen(const struct core *core, const struct chosen *chosen,
                      const struct binding *binding)
{
    if (chosen->sleeper != NULL)
        return binding->push && binding->registered_ms > chosen->sleeper->seen_ms &&
               instance_hash(core, binding) == chosen->sleeper->instance;
    if (chosen->temporary)
        return binding->gruu_since_ms != 0 && chosen->gruu.issued_ms >= binding->gruu_since_ms &&
               chosen->gruu.instance ==
                   proxy_gruu_instance(&core->config.token_key, binding->instance);
    return chosen->gr.len == 0 || registrar_gr_names(chosen->gr, binding->instance);
}

/** The bindings of an AOR that are alive. Returns how many were chosen, alive or not. */
static uint32_t search_bindings(struct core *core, struct slice aor, struct slice block,
                                const struct chosen *chosen, struct search *search)
{
    struct binding binding;
    uint32_t cursor = 0, count = 0;

    while (search->count < search->max && search->reason != CORE_R_LOOP &&
           binding_next(block, &cursor, &binding)) {
        if (binding.expires_ms <= core->wall_ms || !is_chosen(core, chosen, &binding))
            continue; /* expired ones are not used even before they are cleared (§10.2.2) */
        count++;
        if (binding_wakes(&binding) && search->query->wakes && wake_is_asleep(core, &binding))
            search_sleeper(core, &binding, aor, block, search);
        else if (!binding.flow_lost)
            search_binding(core, &binding, aor, search);
    }
    return count;
}

static bool disturbs(const struct user *user, struct search *search)
{
    if (user == NULL || !user->do_not_disturb || !search->query->call)
        return false;
    if (search->reason == CORE_R_NOT_FOUND || search->reason == CORE_R_NO_BINDING)
        search->reason = CORE_R_DO_NOT_DISTURB;
    return true;
}

/** A temporary GRUU: it names its AOR by the hash (RFC 5627 §6.1). One that is void is 404. */
static void search_temporary(struct core *core, const struct sip_uri *uri, struct search *search)
{
    const struct slice prefix = SLICE(REGISTRAR_TEMP_GRUU);
    const struct table_ops *table = &core->config.location;
    struct chosen chosen = {.temporary = true};
    struct slice aor = SLICE_EMPTY;

    if (uri->user.len != prefix.len + PROXY_GRUU_CHARS ||
        !slice_equal_nocase((struct slice){uri->user.data, prefix.len}, prefix) ||
        proxy_gruu_read(slice_from(uri->user, prefix.len), &core->config.token_key, &chosen.gruu) !=
            OK)
        return;
    struct slice block = table->find_hash(table->user, chosen.gruu.aor_hash, &aor);
    const struct user *user = policy_user_by_name(core->policy, aor);
    bool known = user != NULL ? !user->disabled : !core->config.auth_required;
    if (block.len == 0 || !known || disturbs(user, search))
        return;
    if (search_bindings(core, aor, block, &chosen, search) > 0 &&
        search->reason == CORE_R_NOT_FOUND)
        search->reason = CORE_R_NO_BINDING;
}

static void search_user(struct core *core, const struct sip_uri *uri, struct search *search)
{
    char *text = arena_alloc(&core->scratch, uri->user.len + 1);
    struct slice aor = SLICE_EMPTY;
    const struct user *user = NULL;
    struct chosen chosen = {0};

    if (text == NULL) {
        search->reason = CORE_R_MEMORY;
        return;
    }
    if (uri->has_gr && (!sip_uri_param(uri, SLICE("gr"), &chosen.gr) || chosen.gr.len == 0)) {
        search_temporary(core, uri, search);
        return;
    }
    struct builder b = builder_over(text, uri->user.len + 1);
    if (!locate_aor(core, uri, &b, &aor, &user))
        return;
    if (core->callee == NULL) /* else a binding of his has led here */
        core->callee = user;
    if (disturbs(user, search))
        return;

    struct slice block = location_find(core, aor, core_aor_hash(&core->config, aor));
    if ((user != NULL || block.len > 0) && search->reason == CORE_R_NOT_FOUND)
        search->reason = CORE_R_NO_BINDING;
    if (block.len > 0)
        search_bindings(core, aor, block, &chosen, search);
}

bool locate_is_foreign_gruu(struct core *core, const struct sip_uri *contact,
                            const struct user *user)
{
    const struct slice prefix = SLICE(REGISTRAR_TEMP_GRUU);
    struct proxy_gruu gruu;
    struct slice gr, aor;
    const struct user *other;

    if (!is_our_uri(core, contact) || !contact->has_user)
        return false;
    if (sip_uri_param(contact, SLICE("gr"), &gr) && gr.len > 0) {
        char *text = arena_alloc(&core->scratch, contact->user.len + 1);
        struct builder b = builder_over(text, text != NULL ? contact->user.len + 1 : 0);
        return text != NULL && locate_aor(core, contact, &b, &aor, &other) && other != user;
    }
    return slice_starts_with(contact->user, prefix) &&
           proxy_gruu_read(slice_from(contact->user, prefix.len), &core->config.token_key, &gruu) ==
               OK &&
           gruu.aor_hash != core_aor_hash(&core->config, user->name);
}

static uint32_t locate_user(struct core *core, const struct locate_query *query,
                            struct proxy_target *out, uint32_t max, enum core_reason *reason)
{
    struct search search = {.query = query, .out = out, .max = max, .reason = CORE_R_NOT_FOUND};

    search_user(core, query->uri, &search);
    *reason = search.reason;
    if (search.ask) /* all forks start together */
        return LOCATE_ASK;
    if (search.count > 0)
        core->counters.location_hits++;
    else
        core->counters.location_misses++;
    return search.count;
}

uint32_t locate_woken(struct core *core, const struct locate_query *query,
                      const struct locate_sleeper *sleeper, struct proxy_target *out, uint32_t max)
{
    const struct table_ops *table = &core->config.location;
    struct search search = {.query = query, .out = out, .max = max, .reason = CORE_R_NO_BINDING};
    struct chosen chosen = {.sleeper = sleeper};
    struct slice aor;

    struct slice block = table->find_hash(table->user, sleeper->aor_hash, &aor);
    if (block.len > 0)
        search_bindings(core, aor, block, &chosen, &search);
    return search.count;
}

bool locate_stream(void *user, const struct flow *udp, struct flow *stream, uint64_t now_ms)
{
    struct core *core = user;
    struct resolve_target target = {.addr = udp->remote, .transport = TRANSPORT_TCP};
    uint8_t listener = pick_listener(core, TRANSPORT_TCP, udp->remote.family, LISTENER_ANY);

    if (listener == LISTENER_ANY || resolver_is_dead(core->resolver, &target, now_ms))
        return false;
    *stream =
        (struct flow){.transport = TRANSPORT_TCP, .listener = listener, .remote = udp->remote};
    return true;
}

/**
 * The targets of a name, in their order: each is tried when the one before has failed. Whoever has
 * the name may let it lead to us, though we do not serve it: what is sent there would come back.
 */
static uint32_t hop_targets(struct core *core, struct slice host,
                            const struct resolve_targets *found, uint8_t listener,
                            struct slice text, struct proxy_target *out, uint32_t max,
                            enum core_reason *reason)
{
    uint32_t count = 0, group = ++core->hop_groups;

    for (uint32_t i = 0; i < found->count && count < max; i++) {
        const struct resolve_target *target = &found->items[i];
        struct flow to;
        if (is_our_address(core, &target->addr)) {
            *reason = CORE_R_LOOP;
            continue;
        }
        if (target_flow(core, host, target, listener, &to))
            out[count++] = (struct proxy_target){
                .uri = text, .to = to, .q = 1000, .group = group != 0 ? group : 1};
    }
    return count;
}

uint32_t locate_hop(struct core *core, const struct sip_uri *uri, uint8_t listener,
                    struct slice text, struct proxy_target *out, uint32_t max,
                    enum core_reason *reason)
{
    const struct resolve_targets *targets;

    out[0] = (struct proxy_target){.uri = text, .q = 1000};
    *reason = CORE_R_UNRESOLVED;
    if (locate_address(core, uri, listener, &out[0].to)) {
        *reason = CORE_R_LOOP;
        return is_our_address(core, &out[0].to.remote) ? 0 : 1;
    }
    if (!has_name(core, uri))
        return 0;
    struct resolve_query query = hop_query(uri);
    switch (dns_find(core, &query, &targets)) {
    case RESOLVE_DONE:
        return hop_targets(core, query.host, targets, listener, text, out, max, reason);
    case RESOLVE_ASK:
        return LOCATE_ASK;
    case RESOLVE_NO_ANSWER:
        *reason = CORE_R_DNS;
        return 0;
    case RESOLVE_NOTHING:
    case RESOLVE_UNUSABLE:
        break;
    }
    return 0;
}

uint32_t locate_targets(struct core *core, const struct locate_query *query,
                        struct proxy_target *out, uint32_t max, enum core_reason *reason)
{
    assert(max > 0);

    if (is_our_uri(core, query->uri))
        return locate_user(core, query, out, max, reason);

    return locate_hop(core, query->uri, query->listener, query->uri->text, out, max, reason);
}

uint32_t locate_resolve(void *user, struct slice uri, bool outside, struct proxy_target *out,
                        uint32_t max, uint64_t now_ms)
{
    struct core *core = user;
    struct sip_uri parsed;
    enum core_reason reason;

    (void)now_ms;
    if (sip_uri_parse(uri, &parsed) != OK || (!outside && !is_our_uri(core, &parsed)))
        return 0;
    /* Who wants no calls is not reached by a redirection either; other requests are seldom
     * redirected. */
    struct locate_query query = {
        .uri = &parsed,
        .listener = LISTENER_ANY,
        .outside = outside,
        .call = true,
        .wakes = core->pushes.on,
    };
    uint32_t count = locate_targets(core, &query, out, max, &reason);
    if (count == LOCATE_ASK)
        return 0; /* a redirection does not wait: the caller has it */
    for (uint32_t i = 0; i < count; i++)
        if (out[i].aor.len == 0 && addr_is_loopback(&out[i].to.remote))
            return 0; /* to this machine, in nobody's name: see leads_inside() */
    return count;
}

bool locate_side(struct core *core, const struct proxy_side *side, struct flow *out)
{
    uint32_t cursor = 0, count = 0;
    struct binding binding, only = {0}, present = {0};
    struct slice block =
        side->aor.len > 0 ? location_find(core, side->aor, core_aor_hash(&core->config, side->aor))
                          : SLICE_EMPTY;

    while (block.len > 0 && binding_next(block, &cursor, &binding)) {
        if (binding.expires_ms <= core->wall_ms || binding.flow_lost || binding.path.len > 0)
            continue; /* what came through an edge came by no flow of the phone's to us */
        if (instance_hash(core, &binding) == side->instance) {
            if (flow_same(&binding.flow, &side->flow))
                return binding_flow(core, &binding, out); /* of several flows the dialog's own */
            if (present.expires_ms == 0)
                present = binding;
            continue;
        }
        only = binding;
        count++;
    }
    if (present.expires_ms != 0)
        return binding_flow(core, &present, out);
    if (!transport_reliable((enum transport)side->flow.transport)) {
        *out = side->flow;
        if (!listener_fits(core, out))
            out->listener = pick_listener(core, TRANSPORT_UDP, out->remote.family, LISTENER_ANY);
        return out->listener != LISTENER_ANY;
    }
    /* A phone on a stream may come back under another contact: take it if there is just one, and
     * that one does not say that it is another phone. */
    if (count == 1 && flow_has_conn(&only.flow) && only.instance.len == 0)
        return binding_flow(core, &only, out);
    *out = side->flow;
    out->flags |= FLOW_ONLY_CONN;
    return listener_fits(core, out); /* fails at once if that connection is gone */
}

bool locate_is_at(struct core *core, const struct proxy_side *side, const struct addr *where)
{
    uint32_t cursor = 0;
    struct binding binding;

    if (addr_same_host(where, &side->flow.remote))
        return true;
    if (side->aor.len == 0)
        return false;
    struct slice block = location_find(core, side->aor, core_aor_hash(&core->config, side->aor));
    while (binding_next(block, &cursor, &binding)) {
        bool himself = binding.path.len == 0 && binding.expires_ms > core->wall_ms;
        if (himself && addr_same_host(where, &binding.flow.remote))
            return true;
    }
    return false;
}

/** Does a binding look like the sender of this request? */
static bool is_sender(const struct binding *binding, const struct flow *source)
{
    if (flow_has_conn(source))
        return binding->flow.conn.worker == source->conn.worker &&
               id_equal(binding->flow.conn.id, source->conn.id);
    return addr_equal(&binding->flow.remote, &source->remote);
}

unsigned locate_contact_marks(const struct sip_msg *msg, struct sip_uri *out)
{
    struct slice rest = sip_value(msg, SIP_F_CONTACT);
    size_t at;

    while ((at = slice_find(rest, ';')) != SIZE_MAX) {
        rest = slice_from(rest, at + 1);
        struct slice name = {rest.data, rest.len < 2 ? rest.len : 2};
        if (!slice_equal_nocase(name, SLICE("ob")) && !slice_equal_nocase(name, SLICE("gr")))
            continue;
        struct sip_contact contact;
        if (sip_contact_parse(sip_value(msg, SIP_F_CONTACT), &contact) != OK || contact.star ||
            sip_uri_parse(contact.addr.uri_text, out) != OK)
            return 0;
        return (out->ob ? CONTACT_BY_FLOW : 0u) | (out->has_gr ? CONTACT_IS_GRUU : 0u);
    }
    return 0;
}

struct proxy_side locate_caller(struct core *core, struct request *r, bool by_flow)
{
    const struct sip_via *via = &r->msg->via;
    uint16_t port = via->port != 0 ? via->port : 5060;
    struct addr sent_by;
    bool numeric = addr_parse(via->host, port, &sent_by) == OK;
    bool same = numeric && addr_equal(&sent_by, &r->source->remote);

    r->behind_nat = !same && !(numeric && addr_same_host(&sent_by, &r->source->remote));
    struct proxy_side side = {.flow = *r->source};
    if (same && !flow_has_conn(r->source) && !by_flow)
        return side;
    side.has_flow = true;
    request_from(core, r);
    if (r->user == NULL && r->from_key.len == 0)
        return side;

    side.aor = r->user != NULL ? r->user->name : r->from_key;
    struct slice block = location_find(core, side.aor, core_aor_hash(&core->config, side.aor));
    uint32_t cursor = 0;
    struct binding binding;
    while (block.len > 0 && binding_next(block, &cursor, &binding))
        if (is_sender(&binding, r->source))
            side.instance = instance_hash(core, &binding);
    return side;
}
