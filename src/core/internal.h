/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core/internal - what the files of this room share.
 */
#ifndef CORE_INTERNAL_H
#define CORE_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "core/admit.h"
#include "core/core.h"

enum {
    CORE_SCRATCH_MAX = 1 << 20, /* bytes of the arena for one message */
    COUNT_ANSWER_MS = 1000,     /* for another worker's word on a nonce count */
    CORE_WAITERS_MAX = 16,      /* REGISTERs of one AOR behind one that waits for its receipt */
    CORE_OUR_NAMES_MAX = 256,
    LOCATE_DEPTH_MAX = 8, /* users registered to users */
    CORE_TIMERS_PER_RUN = 256,
    EXPIRY_ROUND_MS = 64000,     /* over the whole location table */
    EXPIRY_WAIT_MS = 16000,      /* at most, between two looks */
    EXPIRY_PLACES = 4096,        /* of the table, in one look */
    EXPIRY_AT_ONCE = 16,         /* AORs that one look changes, at most */
    EXPIRY_GO_ON_MS = 1,         /* until the next look after one that changed so many */
    OVERLOAD_REMEMBERED = 16384, /* requests refused lately, per worker; 64 KiB */
    REGISTERS_INITIAL = 1024,    /* buckets */
    CONN_BINDINGS_INITIAL = 256,
    DNS_WAITS_MAX = 8192,    /* requests that wait for names; then 503 */
    DNS_SHARE_MAX = 256,     /* of them of one user, or of one address without a user; then 503 */
    DNS_ROUNDS_MAX = 4,      /* names that one request waits for, one after the other */
    PINGS_MAX = 16384,       /* phones that are being asked or silent, per worker */
    PINGS_INITIAL = 256,     /* buckets */
    SILENCE_MS = 32000,      /* 64*T1: for so long an answer is waited for */
    PUSH_WAKES_MAX = 65536,  /* phones that are being woken, per worker that owns them */
    PUSH_WAKES_INITIAL = 64, /* buckets */
    PUSH_PER_AOR_MAX = 16,   /* requests that wait for one AOR's phones, per worker; then 480 */
    PUSH_OTHERS_MS = 16000,  /* other requests than INVITEs wait so long at most: 64*T1 is all they
                                have (RFC 4320) */
    PUSH_AGAIN_MS = 5000,    /* a phone is not asked to wake more often than that */
    PUSH_LOOK_MS = 1000,     /* a letter may have been lost: so often it is looked */
    PUSH_CALLER_MAX = 256,   /* bytes of a caller's URI, and of a Call-ID, that are told */
    LOCATE_ASK = UINT16_MAX, /* "count" of targets: the DNS is to be asked, see locate_hop() */
};

/** Who has requests that wait for names: nobody takes all the room. */
struct dns_share {
    struct map_node node; /* the hash of the user's name or of the address */
    uint32_t count;
};

/** A request that waits for the name of its next hop. */
struct dns_wait {
    struct resolve_waiter waiter;
    struct list by_core;
    struct dns_share *share;
    uint64_t name;      /* sum of the query */
    uint8_t rounds;     /* of waiting, this one among them */
    struct id server;   /* zero: an ACK, which has no transaction to keep it */
    struct flow source; /* of the ACK, as all below */
    uint8_t framing;    /* enum sip_framing */
    uint32_t bytes_len;
    char bytes[];
};

/** A host (and port) by which others name us: from the listeners. */
struct our_name {
    struct slice host; /* as in a URI: IPv6 with brackets */
    struct slice text; /* as we write it into Via and Record-Route: host and port */
    char *kept_text;   /* owned: `text` of a numeric address; NULL: in the configuration */
    struct addr addr;  /* family NONE: a name */
    uint16_t port;
    uint8_t transport; /* enum transport */
    uint8_t listener;
};

/** Where the search for expired bindings stands. */
struct expiry {
    struct timer timer;
    uint64_t place; /* of the location table: the next to look at */
};

/** Keepalives to phones behind NATs: see ping.c. */
struct pings {
    struct timer timer; /* fn NULL: none are sent */
    struct pool pool;   /* struct ping */
    struct map by_phone;
    struct list by_age;
    uint64_t place;    /* of the location table: the next to look at */
    uint64_t round_ms; /* when the round began */
    bool found;        /* somebody in this round */
    uint32_t empty_rounds;
    uint32_t silent;   /* phones that do not answer */
    uint32_t unlogged; /* of those, not yet told in the log */
    uint64_t log_ms;   /* when the next line may be */
};

/** Phones that are being woken, and who waits for them: see wake.c. */
struct pushes {
    bool on;
    struct pool waits; /* struct push_wait: requests of this worker */
    struct map by_aor; /* of them */
    struct pool wakes; /* struct push_wake: phones that this worker owns */
    struct map awaited;
};

/** A binding of a stream: found again when its connection is lost. */
struct conn_binding {
    struct map_node node; /* by connection */
    struct conn_id conn;
    uint64_t aor_hash;
};

/** A REGISTER that waits for its receipt. */
struct registration {
    struct map_node node; /* by AOR hash, in core.pending */
    struct id id;
    struct id server;
    uint64_t aor_hash;
    struct slice aor, fields, block; /* in `bytes` */
    char *bytes;
    size_t byte_count;
    uint16_t status;
    uint32_t added, refreshed, removed;
    struct flow source;
    struct list waiters; /* struct register_waiter */
    uint32_t waiter_count;
};

/** A REGISTER for an AOR that has one of its own under way. */
struct register_waiter {
    struct list node;
    struct id server;
};

/** Whom a worker refuses because of a queue; in letters between workers, too. */
enum overload_level {
    OVERLOAD_TAKES_ALL = 0,
    OVERLOAD_REFUSES_NEW,
    OVERLOAD_REFUSES_LAST, /* all that can be refused */
};

/** The queues of a worker: a UDP socket per listener, and these. */
enum {
    OVERLOAD_STREAMS = LISTENERS_MAX,
    OVERLOAD_MAIL,
    OVERLOAD_QUEUES,
    OVERLOAD_SECRET_LEN = 16,
};

struct overload {
    struct admit queues[OVERLOAD_QUEUES];
    uint32_t *refused;        /* owned; marks of requests by their hash; NULL: nothing is refused */
    uint32_t overloaded;      /* queues */
    bool watching;            /* requests are looked at before they are parsed */
    uint64_t quiet_ms;        /* until then copies of what was refused may come */
    uint64_t said_ms, unsaid; /* last log line; refused since */
    char oc[SIP_OC_MAX];
    char tag[4 + OVERLOAD_SECRET_LEN]; /* "tag=" and what ours begin with */
};

struct core {
    struct core_config config;
    struct mem mem;
    struct arena scratch;      /* for the message at hand; reset before each */
    struct arena step_scratch; /* for the next step of a plan, whatever is at hand */
    struct pool forwards;      /* struct forward: plans of calls */
    const struct user *callee; /* that the request at hand is for; NULL: nobody of ours */
    struct timer_wheel wheel;
    struct rng rng;
    struct txn_table *txns;
    struct proxy *proxy;
    struct auth *auth;
    struct guard *guard;
    uint64_t limits_dropped, limits_log_ms; /* packets not yet logged; when the next line may be */
    const struct policy *policy;
    bool draining;
    uint64_t now_ms, wall_ms; /* of this turn */

    struct our_name our_names[CORE_OUR_NAMES_MAX];
    uint32_t our_name_count;

    struct pool registrations;
    struct map pending;       /* struct registration by AOR hash */
    struct pool count_waits;  /* struct count_wait */
    struct map conn_bindings; /* struct conn_binding by connection hash */
    struct expiry expiry;
    struct pings pings;
    struct pushes pushes;
    struct core_counters counters;
    struct overload overload;

    struct sip_uri edge_uri; /* of config.edge.registrar, if there are domains */
    struct calls *calls;     /* NULL: records are off */
    struct list refusals;    /* struct refusal: answers that wait for receipts */
    struct list interrupted; /* struct interrupted: calls that rang when the node ended */

    struct resolver *resolver;
    struct list dns_waits; /* struct dns_wait */
    uint32_t dns_wait_count;
    struct map dns_shares;                         /* struct dns_share */
    uint32_t hop_groups;                           /* numbers given to targets of one name */
    struct proxy_target hops[RESOLVE_TARGETS_MAX]; /* of the request at hand; not on the stack, */
    struct resolve_targets found;                  /* which is cleared */
    char token_scratch[2][PROXY_TOKEN_SCRATCH];    /* of the request at hand, too: the token it
                                                      has, and the one that is being read */
    struct resolve_query dns_query; /* what was asked for last; in the message at hand */
    enum resolve_verdict resolved;  /* of a request taken up again; 0: none */
    const struct resolve_targets *resolved_targets;
    uint64_t resolved_name; /* sum of the query that this is about: it may have another by now */
    uint8_t dns_rounds;     /* how often it has waited for names */

    bool response_trusted; /* of the response at hand: by its source */
    const struct flow *response_source;
    struct sip_msg received; /* the message from the network or the mailbox */
    struct sip_msg resumed;  /* a request that is taken up again */
};

/** A request that waits for another worker to say whether its nonce count is new. */
struct count_wait {
    struct timer timer; /* the answer may be lost in a full mailbox */
    struct core *core;
    struct id id;
    struct id server;
};

/** An answer to an INVITE that waits for the receipt of its record. */
struct refusal {
    struct list node;
    uint16_t status;
    bool stateless; /* see refuse() */
    uint32_t phrase_len, fields_len;
    char text[]; /* phrase, header lines */
};

/** A call that rang when the node ended: its legs are cancelled, its caller is told. */
struct interrupted {
    struct list node;
    struct timer timer;
    struct core *core;
    uint32_t sent;  /* how often */
    uint32_t topic; /* of the outbox, for its call; when it was sent */
    uint32_t block_len;
    char block[]; /* its record, as it was */
};

/** What a stage says. */
enum verdict {
    GO_ON = 1,
    ANSWERED, /* a response is out, or the request is on its way */
    WAITING,  /* something was asked; it will be taken up again by id */
    DROP,     /* nothing more to be done */
};

/** A request on its way through the stages. */
struct request {
    const struct sip_msg *msg;
    const struct flow *source;
    struct id server; /* zero: an ACK, or our own */
    bool merged;
    bool own; /* it is a request of our own in a call: see speak.c */
    enum auth_verdict
        count; /* taken up again: what is known of its credentials; 0: a new request */

    struct slice uri_text; /* Request-URI after preprocessing */
    struct sip_uri uri;
    bool uri_is_ours; /* its domain, or an address of ours */
    uint16_t routes_drop;
    bool route_last_drop;
    bool has_route; /* a Route is left, `route` is the first */
    struct slice route_text;
    struct sip_uri route;
    uint32_t loop;

    bool in_dialog; /* it carries our token, genuine */
    bool from_caller;
    struct proxy_token token;
    bool token_suffices;     /* no credentials are needed beside it */
    bool token_frees;        /* it leads to anywhere, as credentials do */
    struct slice token_text; /* it was read from; borrowed from the message */
    bool token_in_first;     /* what `token` borrows from: of core.token_scratch */

    bool by_flow;     /* it carries a flow token of our Path, genuine: it goes there */
    struct flow flow; /* if so */

    bool from_parsed, from_is_ours;
    bool behind_nat; /* his Via names another host than we see; set by locate_caller() */
    struct sip_uri from;
    struct slice from_key;   /* AOR key, when ours and a SIP URI */
    const struct user *user; /* authenticated */
    const struct sip_field *credentials;

    bool forwards;         /* its callee says where his calls go on */
    uint8_t forward_first; /* enum user_forward, see forwards.c */
};

/* core.c */
/** What is sent from now on belongs to this message's call. */
void core_set_topic(struct core *core, const struct sip_msg *msg);
enum verdict core_run_stages(struct core *core, struct request *r);
void core_resume(struct core *core, struct id server, enum auth_verdict count);
/** Runs an ACK that has waited; its bytes are borrowed. */
void core_resume_ack(struct core *core, struct slice bytes, enum sip_framing framing,
                     const struct flow *source);
/** Who owns it: named by what we wrote, else by its Call-ID, or by the AOR of a REGISTER. */
unsigned core_owner_of(const struct core *core, const struct sip_msg *msg);
/** Sends bytes to the worker that owns the message in them. `level` says what we would do. */
void core_pass_on(struct core *core, unsigned owner, struct slice bytes, enum sip_framing framing,
                  const struct flow *source, enum overload_level level);

/* stages.c */
enum verdict stage_validate(struct core *core, struct request *r);
enum verdict stage_routes(struct core *core, struct request *r);
enum verdict stage_admit(struct core *core, struct request *r);
enum verdict stage_local(struct core *core, struct request *r);
enum verdict stage_forward(struct core *core, struct request *r);
/** The answer when proxy_forward() says no. */
enum verdict refuse_forward(struct core *core, struct request *r, enum err err);
/** Requests that are answered without a transaction (RFC 3261 §8.2.7). True: done. */
bool core_answer_stateless(struct core *core, const struct sip_msg *msg, const struct flow *source);

/* access.c */
enum verdict stage_authenticate(struct core *core, struct request *r);
enum err access_open(struct core *core);
void access_close(struct core *core);
/** Another worker's answer to a question of ask_count(). */
void access_answer(struct core *core, struct id wait, enum auth_verdict verdict);
/**
 * The user whose algorithms are offered to who calls himself `name`: the user of that name; for
 * others one of all, always the same, so that a challenge does not tell who exists. NULL: no users.
 */
const struct user *access_like(const struct core *core, struct slice name);
/** Parses From once. */
void request_from(struct core *core, struct request *r);
bool core_is_trusted(const struct core *core, const struct addr *source);
/** The same of who has sent by this flow: a WebSocket is any page's that a browser there shows. */
bool core_trusts(const struct core *core, const struct flow *source);

/* refuse.c */
/** Answers (unless it is an ACK), counts, logs. `fields`: further lines, or empty. */
enum verdict refuse(struct core *core, struct request *r, enum core_reason reason, unsigned status,
                    const char *phrase, struct slice fields);
/** Sends a response to the request at hand; one that cannot be sent is dropped. */
enum verdict answer_request(struct core *core, struct request *r, const struct sip_reply *reply);
void core_count(struct core *core, enum core_reason reason);
void core_logf(struct core *core, enum core_log_level level, const char *event, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

/* ours.c */
void ours_init(struct core *core);
void ours_close(struct core *core);
/** Is host and port (0: none given) one of our addresses, or a domain of ours? */
bool is_our_host(const struct core *core, struct slice host, uint16_t port);
/** Is it where a listener of ours is reached? What is sent there comes back. */
bool is_our_address(const struct core *core, const struct addr *addr);
bool is_our_uri(const struct core *core, const struct sip_uri *uri);
bool is_our_sent_by(void *user, const struct sip_via *via);
void write_our_address(void *user, struct builder *b, const struct flow *to);
/**
 * Is a Route value, byte for byte, a Record-Route value as we write it for an address of ours?
 * Then `token` is all that is left to look at. Most are, and need not be parsed.
 */
bool is_our_route_text(const struct core *core, struct slice value, struct slice *token);
/** A listener for the transport and family, `prefer` if it fits; LISTENER_ANY: none. */
uint8_t pick_listener(const struct core *core, enum transport transport, uint8_t family,
                      uint8_t prefer);
bool listener_fits(const struct core *core, const struct flow *flow);

/* locate.c */
/** Which AOR a URI of ours names, as key; false: nobody. Borrows from `b`'s memory or the policy.
 */
bool locate_aor(const struct core *core, const struct sip_uri *uri, struct builder *b,
                struct slice *aor, const struct user **user);
/** What decides whom a Request-URI leads to. */
struct locate_query {
    const struct sip_uri *uri;
    uint8_t listener; /* that it came by */
    bool outside;     /* the caller may be led outside by a binding */
    bool call;        /* a new call: users who do not want to be disturbed are left out */
    bool wakes;       /* phones that sleep may be woken for it: they are targets, asleep */
};
/** Is it a GRUU in one of our domains (RFC 5627)? */
static inline bool is_our_gruu(const struct request *r)
{
    return r->uri.has_gr && r->uri_is_ours && r->uri.has_user;
}
/** Does a Contact of ours, a GRUU, lead to another user than this one (RFC 5627 §6.2)? */
bool locate_is_foreign_gruu(struct core *core, const struct sip_uri *contact,
                            const struct user *user);
/** What of a Contact concerns where a dialog's requests to its sender go. */
enum contact_mark {
    CONTACT_BY_FLOW = 1 << 0, /* ";ob": by the flow that the request came by (RFC 5626 §4.3) */
    CONTACT_IS_GRUU = 1 << 1,
};
/** Set of enum contact_mark; with CONTACT_IS_GRUU, `*out` is its URI. Most have neither. */
unsigned locate_contact_marks(const struct sip_msg *msg, struct sip_uri *out);
/** Targets of a Request-URI. `*reason` says why there are none. */
uint32_t locate_targets(struct core *core, const struct locate_query *query,
                        struct proxy_target *out, uint32_t max, enum core_reason *reason);
/**
 * Where a URI that is not ours leads: a numeric host, or a name (RFC 3263). LOCATE_ASK: the request
 * has to wait, core->dns_query says for what; 0: `*reason` says why.
 */
uint32_t locate_hop(struct core *core, const struct sip_uri *uri, uint8_t listener,
                    struct slice text, struct proxy_target *out, uint32_t max,
                    enum core_reason *reason);
/** A phone that was asleep: whom it belongs to, and since when. */
struct locate_sleeper {
    uint64_t aor_hash;
    uint32_t instance; /* instance_hash() */
    uint64_t seen_ms;  /* its last registration that was known, wall clock */
};
/** The bindings by which it has registered since; `query->uri`: of the scheme that was asked for.
 */
uint32_t locate_woken(struct core *core, const struct locate_query *query,
                      const struct locate_sleeper *sleeper, struct proxy_target *out, uint32_t max);
/** Makes `to` for a numeric URI. */
bool locate_address(const struct core *core, const struct sip_uri *uri, uint8_t listener,
                    struct flow *to);
/** As config.may_stream of the proxy: TCP, unless it was refused there lately. */
bool locate_stream(void *user, const struct flow *udp, struct flow *stream, uint64_t now_ms);
/** As config.resolve of the proxy. */
uint32_t locate_resolve(void *user, struct slice uri, bool outside, struct proxy_target *out,
                        uint32_t max, uint64_t now_ms);
/** The way to a side of a dialog: the instance's present flow, or the token's. False: gone (430).
 */
bool locate_side(struct core *core, const struct proxy_side *side, struct flow *out);
/** Is a side of a dialog at this host: the token says so, or its user's registrations do? */
bool locate_is_at(struct core *core, const struct proxy_side *side, const struct addr *where);
uint32_t instance_hash(const struct core *core, const struct binding *binding);
/** Where the sender of a request is found again, for the token; `by_flow`: he asks for it. */
struct proxy_side locate_caller(struct core *core, struct request *r, bool by_flow);

/* forwards.c */
enum err forwards_open(struct core *core);
void forwards_close(struct core *core);
size_t forwards_memory_max(const struct core_config *config);
/** Does its callee say where such a call goes on? Then the request is marked so, and `*count` 0 if
 * none of his phones is to ring. `reason`: why there are no targets. */
bool forwards_concern(struct core *core, struct request *r, uint32_t *count,
                      enum core_reason reason);
/** Gives the request its plan, if it was marked. False: no memory. proxy_forward() must follow. */
MUST_CHECK bool forwards_begin(struct core *core, struct request *r, struct proxy_request *request);
/** As config.next_step and config.plan_done of the proxy. */
enum proxy_next forwards_next(void *user, uint64_t plan, const struct proxy_end *end,
                              uint64_t waiter, uint64_t now_ms, struct proxy_step *step,
                              uint16_t *reply);
void forwards_done(void *user, uint64_t plan);

/* limits.c */
enum err limits_open(struct core *core);
void limits_close(struct core *core);
/** Shall a packet be looked at? Counted if not. */
bool limits_packet(struct core *core, const struct addr *source, bool stream);
/** Points for a stranger who was refused or sent what is dropped. */
void limits_refused(struct core *core, const struct flow *source, enum core_reason reason);
/** A stranger whose User-Agent is a scanner's: counted and barred, to be dropped. */
bool limits_is_scanner(struct core *core, const struct sip_msg *msg, const struct flow *source);
/** The same of a message that overload may answer or pass on before it is parsed. */
bool limits_is_scanner_unparsed(struct core *core, struct slice bytes, const struct flow *source);
/** A wrong password, or a user that does not exist, with a nonce that was sent to `source`. */
void limits_login_failed(struct core *core, const struct addr *source, struct slice user);
bool limits_login_barred(const struct core *core, const struct addr *source, struct slice user);
/** `source` has proved itself: by a password; in a call; by a registration that is in `block`. */
void limits_logged_in(struct core *core, const struct addr *source);
/** The same, otherwise proved, for so long. */
void limits_vouch(struct core *core, const struct addr *source, uint64_t period_ms);
void limits_in_call(struct core *core, const struct addr *source);
void limits_registered(struct core *core, const struct addr *source, struct slice block);
void limits_restored(struct core *core, struct slice block);
/** Is it one new call too many of strangers? `nobody`: it leads to no user. */
enum verdict limits_call(struct core *core, struct request *r, bool nobody);
/** Is it one request too many of r->user? */
enum verdict limits_user(struct core *core, struct request *r);
void limits_mail(struct core *core, const struct core_mail *mail);

/* attempts.c */
enum err attempts_open(struct core *core);
void attempts_close(struct core *core);
/** Is it an INVITE that is a call attempt, and are those recorded? */
static inline bool is_attempt(const struct core *core, const struct request *r)
{
    return core->calls != NULL && r->msg->method == SIP_INVITE && r->msg->to.tag.len == 0 &&
           r->server.generation != 0;
}
/** Forwards it, when its record has begun: then, and only then, anybody hears of it. */
enum verdict attempt_forward(struct core *core, struct request *r, struct proxy_request *request,
                             const struct proxy_target *targets, uint32_t count);
/**
 * Records a refusal. True: it is answered when the record is there. False: answer it now; `reply`
 * may be another.
 */
bool attempt_refused(struct core *core, const struct request *r, enum core_reason reason,
                     struct sip_reply *reply, bool stateless);
/** It has to wait for a name. GO_ON: its caller may be told so now, WAITING: he will be. */
enum verdict attempt_waits(struct core *core, struct request *r);
/** It is not answered at all: if its record has begun it is over. */
void attempt_dropped(struct core *core, const struct request *r);
/** The caller's CANCEL. True: what was cancelled will be answered by us later. */
bool attempt_cancelled(struct core *core, const struct sip_msg *cancel, struct id server);
/** The caller's connection is gone, which is as good as a CANCEL. */
bool attempt_caller_lost(struct core *core, struct id server);
/** A request within a call. True: what its answer says of media concerns the record. */
bool attempt_in_dialog(struct core *core, const struct request *r);
/** A 2xx to such a request. */
void attempt_agreed(struct core *core, struct id server, const struct sip_msg *response);
/** As config.news of the proxy. */
void attempt_news(void *user, const struct proxy_news *news, uint64_t now_ms);

/** Who an attempt is, by the caller's tag. False: no memory. */
bool attempt_key(struct core *core, struct slice call_id, struct slice caller_tag,
                 struct call_key *out);

/* speak.c */
/** The context of our own requests in calls: as of pings, it is no response context's number. */
#define SPEAK_NUMBER UINT64_C(0x80000000)
/** A request of our own is at its target: it leaves by a client transaction of its own. */
enum verdict speak_send(struct core *core, struct request *r, const struct proxy_target *target);
/** A request of our own that has waited for a name goes on; its bytes are borrowed. */
void speak_resume(struct core *core, const struct sip_msg *msg);
void speak_answered(struct core *core, const struct sip_msg *response);
void speak_failed(struct core *core);
/** A request in a dialog that we have ended: it is answered by us, ANSWERED; else GO_ON. */
enum verdict speak_ended(struct core *core, struct request *r);

/* interrupted.c */
/** As config.interrupted of the calls: those who ring and the caller are told in the next turn. */
void interrupted_add(void *user, struct slice block, uint64_t now_ms);
void interrupted_close(struct core *core);
/** A new INVITE: is it a copy of one that was ended so? Then it is answered. */
bool interrupted_copy(struct core *core, const struct sip_msg *invite, const struct flow *source);
/** A response without a transaction: the ACK that it waits for, if it is of such a call. */
void interrupted_response(struct core *core, const struct sip_msg *response,
                          const struct flow *source);

/* register.c */
enum err register_open(struct core *core);
void register_close(struct core *core);
enum verdict register_request(struct core *core, struct request *r);
/** As access_like() for the name in To of a REGISTER. `*known`: it is a user's. */
const struct user *register_like(const struct core *core, const struct sip_msg *msg, bool *known);
/** The worker that owns the AOR in To; this one when To is unusable. */
unsigned register_owner(const struct core *core, const struct sip_msg *msg);
/** Has the AOR in To a binding already that came from this host? */
bool register_known(const struct core *core, const struct sip_msg *msg, const struct flow *source);
/** A REGISTER has to wait: from now on it is noticed when its connection is lost. */
void register_watch_conn(struct core *core, const struct request *r);
/** Was its connection lost while it waited? Then nobody is there to be registered. */
bool register_lost_conn(const struct core *core, const struct request *r);
void register_receipt(struct core *core, struct id token, enum err err);

/* overload.c */
enum err overload_open(struct core *core);
void overload_close(struct core *core);
/** A message from the network while `watching`. True: answered, or dropped, or passed on. */
bool overload_receive(struct core *core, struct slice bytes, enum sip_framing framing,
                      const struct flow *source);
/** A message from another worker. True: answered, or dropped. */
bool overload_mail(struct core *core, const struct core_mail *mail);
void overload_status(const struct core *core, struct core_status *out);
/** As txn_config.oc and proxy_config.oc. */
struct slice overload_oc(void *user, const struct flow *source);

/* dns.c */
enum err dns_open_waits(struct core *core);
void dns_close_waits(struct core *core);
/**
 * What a name leads to: as it was found for the request that is taken up again, or from the cache.
 * RESOLVE_ASK: core->dns_query is set, see dns_wait(). `*targets` are good until the next call.
 */
enum resolve_verdict dns_find(struct core *core, const struct resolve_query *query,
                              const struct resolve_targets **targets);
size_t dns_waits_memory_max(void);
/** The request at hand waits for core->dns_query, and is run anew when that is known. */
enum verdict dns_wait(struct core *core, struct request *r);
/** As proxy_config.hop_failed, hop_silent and hop_answered. */
void dns_hop_failed(void *user, const struct flow *to, uint32_t retry_after_s, uint64_t now_ms);
void dns_hop_silent(void *user, const struct flow *to, uint64_t now_ms);
void dns_hop_answered(void *user, const struct flow *to);

/* edge.c */
MUST_CHECK enum err edge_open(struct core *core);
/**
 * A Route value that names us: if it has a flow token, the request is to leave by that flow, if it
 * did not come by it (RFC 5626 §5.3). Answers 403 for a token that is not ours.
 */
enum verdict edge_take_flow(struct core *core, struct request *r, const struct sip_uri *route);
/** Makes the way to the flow of a request with `by_flow`. False: there is no listener for it. */
bool edge_flow_target(const struct core *core, const struct request *r, struct proxy_target *out);
/** Is it for, or from, a domain whose edge we are, and goes nowhere else by a Route? */
bool edge_serves(struct core *core, struct request *r);
/** Targets for such a request; as locate_hop(). */
uint32_t edge_registrar(struct core *core, const struct request *r, struct proxy_target *out,
                        uint32_t max, enum core_reason *reason);
/** Does a REGISTER for such a domain get our Path? And are we its first hop? */
bool edge_adds_path(const struct core *core, const struct request *r, bool *first_hop);
/** As proxy_config.registered: the registrar has accepted it, so the phone there is known. */
void edge_registered(void *user, const struct flow *source);
/** Is its Path believed? */
bool edge_is_ours(const struct core *core, const struct addr *source);

/* media.c */
/** What proxy_request.watch says, a set of: */
enum media_watch {
    MEDIA_WATCH = 1 << 0,
    MEDIA_WATCH_OUR_CALLER = 1 << 1, /* he is a phone of ours, and no proxy is between us */
    MEDIA_WATCH_CALL = 1 << 2,       /* within a call: for its record */
    MEDIA_WATCH_OFFERED = 1 << 3,    /* the INVITE has an offer; its enum media_way above: */
    MEDIA_WATCH_WAYS = 4,            /* bits to shift */
};
/** Is there a NAT, a browser or encryption in a call? All others are not looked at. */
bool media_concerns(const struct request *r, const struct proxy_target *targets, uint32_t count);
/**
 * An INVITE that begins a dialog and was found to be worth a look: answers 488, or says in
 * `*watch` what the proxy is to tell media_heard().
 */
enum verdict media_offer(struct core *core, struct request *r, const struct proxy_target *targets,
                         uint32_t count, uint8_t *watch);
/** As proxy_config.heard. */
bool media_heard(void *user, struct id server, const struct sip_msg *response, unsigned watch);

/* keepalive.c */
/** A datagram that begins as STUN does: answered, or counted as garbage (RFC 5626 §8). */
void keepalive_stun(struct core *core, struct slice bytes, const struct flow *source);

/* ping.c */
enum err ping_open(struct core *core);
void ping_close(struct core *core);
/** Bytes of its tables. */
size_t ping_memory_max(void);
/** Is it one that is asked, as long as it has not expired? */
bool ping_is_for(const struct binding *binding);
/** Such a binding is in the table from now on: the rounds go on. */
void ping_wanted(struct core *core);
/** Is the context of a client transaction that of a ping? Else it is the proxy's. */
bool ping_is_number(uint64_t context);
void ping_answered(struct core *core, uint64_t context, struct id client, unsigned status);
void ping_failed(struct core *core, uint64_t context, struct id client);
/** No more are sent, and nobody waits for an answer: we are about to end. */
void ping_stop(struct core *core);

/* wake.c */
MUST_CHECK enum err wake_open(struct core *core);
void wake_close(struct core *core);
/** Bytes of its tables. */
size_t wake_memory_max(const struct core_config *config);
/** As proxy_config.wake and stop_waiting. */
bool wake_start(void *user, const struct proxy_target *target, const struct proxy_request *request,
                uint64_t waiter, uint64_t now_ms, struct id *wait);
void wake_stop_waiting(void *user, struct id wait);
/** These bindings are in the table from now on: who waits for one of them is told. */
void wake_registered(struct core *core, uint64_t aor_hash, struct slice block);
/** When the phone of a binding is to be woken, so that it registers again in time (wall clock);
 * UINT64_MAX: never. */
uint64_t wake_due_ms(const struct core *core, const struct binding *binding);
/** Wakes phones whose bindings end soon. */
void wake_refresh(struct core *core, uint64_t aor_hash, struct slice block);
void wake_mail(struct core *core, const struct core_mail *mail);
/** As core_push_result(). */
void wake_result(struct core *core, struct id token, enum core_push_answer answer);
/** Does the phone of a binding sleep, so that it has to be woken before it is called? */
bool wake_is_asleep(const struct core *core, const struct binding *binding);

/* expiry.c */
void expiry_open(struct core *core);
void expiry_close(struct core *core);

/* notes.c */
enum {
    NOTE_PING = 1 /* in the note of an AOR: ping_is_for() one of its bindings */
};
/** Puts the bindings of an AOR into the location table, with their note. As table_ops.put. */
MUST_CHECK enum err location_put(struct core *core, struct slice aor, uint64_t hash,
                                 struct slice block);
/** A search of this worker's places, for what one of the two functions below says. */
struct table_search location_search(const struct core *core, uint64_t place, uint64_t end);
/** AORs with a binding that has expired, for a few seconds at least, or whose phone is to be woken.
 */
void search_expired(struct table_search *search, uint64_t wall_ms);
/** AORs with a binding that ping_is_for(). */
void search_pinged(struct table_search *search);

/* flows.c */
void flows_close(struct core *core);
void flows_add(struct core *core, const struct flow *flow, uint64_t aor_hash);
/** Is this connection still remembered for the AOR: not lost since flows_add()? */
bool flows_known(const struct core *core, struct conn_id conn, uint64_t aor_hash);
void flows_lost(struct core *core, struct conn_id conn);
/**
 * Names a registration of an AOR whose flow somebody may say is gone: that of a Path, or one of
 * RFC 5626 by datagrams. The next REGISTER gives it another name. 0: it is not such a one.
 */
uint64_t flows_name(const struct core *core, const struct binding *binding);
/** proxy_config.flow_failed: marks that binding, or has its owner do so. */
void flows_failed(void *user, uint64_t aor_hash, uint64_t name);
/** The owner is told. */
void flows_mail(struct core *core, const struct core_mail *mail);

static inline bool owns_aor(const struct core *core, uint64_t hash)
{
    return table_owner(hash, core->config.workers) == core->config.worker;
}

static inline struct slice location_find(const struct core *core, struct slice aor, uint64_t hash)
{
    return core->config.location.find(core->config.location.user, aor, hash);
}

#endif
