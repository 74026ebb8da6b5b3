/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core - a worker's SIP: what happens to a message, from its bytes to its sends.
 *
 * One struct core per worker. It owns that worker's transactions, response contexts,
 * nonce windows and pending registrations. The fixed list of stages a request goes through is in
 * stages.c. It does no I/O: it is given bytes and the time, writes into the outbox, and
 * reaches the rest of the program through the functions of struct core_config.
 *
 *   net  -> core_waited()             how long what comes next has waited
 *        -> core_receive()            bytes from the network
 *   loop -> core_mail()               from another worker's core
 *        -> core_receipt()            a durable operation is in the journal (or is not)
 *        -> core_run()                timers
 *
 * Thread:  the worker's. Only core_counters() may be read by others (relaxed sums).
 * Memory:  struct mem of its own, bounded by memory_max.
 * Public headers: core.h
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "auth/auth.h"
#include "base/durable.h"
#include "base/outbox.h"
#include "base/table.h"
#include "calls/calls.h"
#include "guard/guard.h"
#include "proxy/proxy.h"
#include "registrar/registrar.h"
#include "resolve/resolve.h"
#include "routing/policy.h"
#include "txn/txn.h"

struct core;

/** What cores send each other. Everything is copied by post(). */
enum core_mail_kind {
    CORE_MAIL_MESSAGE = 1,  /* bytes: a SIP message that this worker owns */
    CORE_MAIL_SEND_FAILED,  /* bytes: the beginning of a message that could not be delivered;
                               number: 1: nobody listens there */
    CORE_MAIL_CONN_LOST,    /* flow.conn */
    CORE_MAIL_COUNT_ASK,    /* bytes: nonce; number: nc; id: who waits; from */
    CORE_MAIL_COUNT_ANSWER, /* id: who waits; number: enum auth_verdict */
    CORE_MAIL_VOUCH,        /* flow.remote is known; number: for so many ms */
    CORE_MAIL_LOGIN_FAILED, /* flow.remote; bytes: the user, or empty: count the address */
    CORE_MAIL_FLOW_FAILED,  /* bytes: of which binding, see core/flows.c */
    CORE_MAIL_BAR,          /* as LOGIN_FAILED; number: ms; id.slot: enum guard_reason */
    CORE_MAIL_PUSH_ASK,     /* a phone is to be woken: id: hash of its AOR; number: its instance;
                               posted_ms: when it registered last, wall clock; bytes: Call-ID,
                               0, caller */
    CORE_MAIL_PUSH_WOKEN,   /* it has registered: id and number as above */
    CORE_MAIL_PUSH_FAILED,  /* it cannot be woken: likewise */
};

struct core_mail {
    uint8_t kind;    /* enum core_mail_kind */
    uint8_t framing; /* enum sip_framing */
    uint16_t from;   /* worker */
    uint32_t number; /* MESSAGE: what the sender would do, enum overload_level */
    struct id id;
    uint64_t posted_ms; /* MESSAGE: monotonic, of the turn in which it came */
    struct flow flow;
    struct slice bytes; /* borrowed; the receiver's until core_mail() returns */
};

enum core_log_level {
    CORE_LOG_ERROR = 1,
    CORE_LOG_WARNING,
    CORE_LOG_INFO,
    CORE_LOG_DEBUG
};

/** Why a phone is woken. */
enum core_push_why {
    CORE_PUSH_CALL = 1, /* somebody wants to reach it */
    CORE_PUSH_REFRESH,  /* its binding ends soon (RFC 8599 §5.5) */
};

/** A phone to be woken (RFC 8599). Texts are unescaped, and borrowed until ops.push() returns. */
struct core_push {
    struct id token; /* for core_push_result() */
    enum core_push_why why;
    struct slice user; /* the key of its AOR */
    struct slice provider, param, prid;
    struct slice call_id, caller; /* CORE_PUSH_CALL: of the request; the URI in From */
    uint32_t for_ms;              /* for so long it is worth trying */
};

/** The functions through which a core reaches the rest of the program. */
struct core_ops {
    void *user;
    /** Posts to another worker's mailbox. False: it is full, and nothing was posted (counted
     * there). */
    bool (*post)(void *user, unsigned worker, const struct core_mail *mail);
    /** The local address that packets to `remote` leave by; family NONE when unknown. Never waits.
     */
    struct addr (*local_address)(void *user, uint8_t listener, const struct addr *remote);
    /** A line for the log: a short event name and a text. Never waits. */
    void (*log)(void *user, enum core_log_level level, const char *event, struct slice text);
    /** Asks that a connection be closed once what is queued on it is out. */
    void (*close_conn)(void *user, struct conn_id conn);
    /** Asks the DNS; the answer comes by core_dns_answer(), never from within. False: it cannot be
     * asked. NULL: there is no DNS, names are not resolved. */
    bool (*ask_dns)(void *user, enum dns_type type, const char *name, struct id question);
    /** What is sent by TLS with `name` in its flow goes to `host`, which the peer must prove to be.
     * Copied. NULL: nothing goes by TLS. */
    void (*name_host)(void *user, uint64_t name, struct slice host);
    /** Has a phone woken; what the gateway says comes by core_push_result(), never from within.
     * False: it cannot be asked now. NULL: there is none. */
    bool (*push)(void *user, const struct core_push *push);
    /** The peer of this connection asks that what is sent to `port` of his address by TLS goes by
     * it, too (RFC 5923). NULL: it does not. */
    void (*alias)(void *user, struct conn_id conn, uint16_t port);
};

/**
 * We are the edge of these domains (RFC 5626 §5): what is for or from them goes to their registrar,
 * and REGISTERs get our Path. Zeroed: of none.
 */
struct core_edge {
    const struct slice *domains; /* lower case */
    uint32_t domain_count;
    struct slice registrar; /* a SIP URI; its host may be a name */
};

/** What keeps the way to phones behind NATs open, where they do not do so themselves. */
struct core_ping {
    uint32_t every_ms; /* each phone; 0: nothing is sent */
    uint32_t misses;   /* after so many without an answer a phone is reported; >= 1 */
    uint32_t rate;     /* a second, at most; then the round takes longer */
    bool empty_lines;  /* these instead of OPTIONS: nobody answers them */
};

/** Requests that wait for phones to be woken; `registrar.push` says which phones are. */
struct core_wait {
    uint32_t wait_ms;  /* at most, for one phone; other requests than INVITEs PUSH_OTHERS_MS */
    uint32_t awake_ms; /* a phone that registered so lately is awake */
    uint32_t max;      /* requests; then 480 */
};

struct core_config {
    uint32_t worker, workers;
    uint32_t boot;                                  /* number of this start of the node */
    uint64_t seed;                                  /* for this worker's rng */
    uint64_t hash_seed;                             /* the same in all workers: owners and tables */
    struct hash_key token_key, loop_key, nonce_key; /* kept over restarts */
    size_t memory_max;                              /* bytes of struct mem */
    uint32_t transactions_max;
    uint32_t registrations_max; /* REGISTERs that wait for receipts */
    uint32_t nonce_windows_max;

    const struct listener *listeners; /* immutable, outlive the core, as all below */
    uint32_t listener_count;
    const struct addr *local_addrs; /* this machine's addresses, for wildcard listeners */
    uint32_t local_addr_count;

    bool auth_required;
    struct slice realm;
    uint8_t algorithms[USER_ALGORITHMS_MAX];
    uint32_t nonce_lifetime_ms;
    const struct addr_net *trusted; /* networks that are never challenged */
    uint32_t trusted_count;
    struct registrar_config registrar;
    const struct addr_net *edges; /* whose Path is believed, and nothing else */
    uint32_t edge_count;
    struct core_edge edge;
    struct core_ping ping;
    struct core_wait wait;
    uint32_t timer_c_ms;
    bool recurse_on_3xx;
    bool refuse_no_audio;          /* calls that cannot have audio: 488 */
    uint32_t overload_target_ms;   /* what may wait before new requests are refused; 0: for ever */
    uint32_t overload_interval_ms; /* for so long a queue must stand */
    uint32_t overload_last_ms;     /* beyond this refreshes are refused, too */
    bool records;                  /* calls are followed, and recorded by `durable` */
    uint32_t calls_max;            /* at once, with those that ended lately; then 503 */
    uint64_t call_id_floor;        /* the largest id of a record that there is */
    uint64_t call_silence_ms;      /* a call without any request for so long is over */
    struct guard_config guard;     /* but for seed and trusted; zeroed: no limits */
    struct resolve_limits resolve; /* zeroed: the usual ones */

    struct outbox *outbox;
    struct table_ops location;
    struct durable_ops durable; /* append NULL: nothing is kept, REGISTERs are answered at once */
    struct core_ops ops;
    const struct policy *policy; /* see core_set_policy() */
};

/** Why a request was refused, dropped or failed. The names are metric labels. */
enum core_reason {
    CORE_R_NONE = 0,
    CORE_R_GARBAGE,            /* dropped: not SIP */
    CORE_R_BAD_REQUEST,        /* the parser's fault */
    CORE_R_SCHEME,             /* 416 */
    CORE_R_TOO_MANY_HOPS,      /* 483 */
    CORE_R_LOOP,               /* 482 */
    CORE_R_MERGED,             /* 482 */
    CORE_R_PROXY_REQUIRE,      /* 420 */
    CORE_R_REQUIRE,            /* 420 */
    CORE_R_CHALLENGED,         /* 401, 407: no credentials */
    CORE_R_STALE,              /* 401, 407 stale=true */
    CORE_R_BAD_CREDENTIALS,    /* 401, 407: wrong password, replay */
    CORE_R_FORBIDDEN_IDENTITY, /* 403: From or To is another's */
    CORE_R_RELAY,              /* 403: a stranger towards the outside */
    CORE_R_NOT_FOUND,          /* 404 */
    CORE_R_NO_BINDING,         /* 480 */
    CORE_R_DO_NOT_DISTURB,     /* 480: the user wants no calls now */
    CORE_R_NOT_WOKEN,          /* 480: the phone is asleep and cannot be woken now */
    CORE_R_FLOW_GONE,          /* 430 */
    CORE_R_SIPS_NOT_ALLOWED,   /* 400, 480: a sips request that came, or would go on, without TLS */
    CORE_R_SIPS_REQUIRED,      /* 480: a sips contact that cannot be reached by TLS */
    CORE_R_FLOW_FORGED,        /* 403: a Path's flow token that is not ours */
    CORE_R_UNRESOLVED,         /* 404: there is no such host, or none that we could send to */
    CORE_R_DNS,                /* 504: the DNS did not answer, or not in time */
    CORE_R_DNS_FULL,           /* 503: too many names, or requests, that wait for the DNS */
    CORE_R_BAD_EVENT,          /* 489 */
    CORE_R_METHOD,             /* 405 */
    CORE_R_NO_TRANSACTION,     /* 481: CANCEL for nothing */
    CORE_R_DRAINING,           /* 503 */
    CORE_R_FULL,               /* 503: a table is full */
    CORE_R_MEMORY,             /* 500 */
    CORE_R_STORE,              /* 500: the journal did not take it */
    CORE_R_TOO_BIG,            /* 513 */
    CORE_R_REGISTRAR,          /* the registrar's own refusals: 400, 403, 423, 500 */
    CORE_R_BREADTH,            /* 440 */
    CORE_R_NO_AUDIO,           /* 488: the two sides could not hear each other */
    CORE_R_STRAY_RESPONSE,     /* dropped: no transaction */
    CORE_R_STRAY_ACK,          /* dropped: an ACK that leads nowhere */
    CORE_R_MAILBOX,            /* dropped: the owner's mailbox is full */
    CORE_R_OVERLOAD,           /* 503: it has waited too long, and so have the others */

    /* of guard/ */
    CORE_R_BARRED,         /* dropped: its source is barred */
    CORE_R_SOURCE_LIMIT,   /* dropped: its source has had its share */
    CORE_R_STRANGERS,      /* dropped: all strangers together have */
    CORE_R_STRANGER_CALLS, /* dropped, on a stream 503: too many calls of strangers */
    CORE_R_USER_LIMIT,     /* 503: too many requests of one user */
    CORE_R_LOGIN_BARRED,   /* 403: too many failed logins of this user from there */
    CORE_R_SCANNER,        /* dropped: it says that it is one */
    CORE_R_CALLS_FULL,     /* 503: too many calls at once */
    CORE_R_COUNT,
};
/** The label, such as "too_many_hops". Static. */
const char *core_reason_name(enum core_reason reason);

/** Why a call cannot have audio. */
enum core_media_gap {
    CORE_MEDIA_FITS = 0,       /* nothing is known against it */
    CORE_MEDIA_PRIVATE_OFFER,  /* a private address, offered across a NAT */
    CORE_MEDIA_PRIVATE_ANSWER, /* the same in an answer */
    CORE_MEDIA_TO_BROWSER,     /* a browser is offered, or answered with, what it does not take */
    CORE_MEDIA_FROM_BROWSER,   /* a browser's offer, to a phone that does not take it */
    CORE_MEDIA_SRTP,           /* SRTP on one side */
    CORE_MEDIA_COUNT,
};
/** The label, such as "private_offer". Static, as the next. */
const char *core_media_gap_name(enum core_media_gap gap);
/** What is missing, and what helps, for people. */
const char *core_media_gap_missing(enum core_media_gap gap);

struct core_counters {
    uint64_t received[SIP_METHOD_COUNT]; /* requests, by method, new or not */
    uint64_t responses_received;
    uint64_t forwarded_messages_in; /* handed over to other workers */
    uint64_t refused[CORE_R_COUNT];
    uint64_t registered, refreshed, unregistered, expired; /* bindings */
    uint64_t auth_ok;
    uint64_t logins_failed;
    uint64_t bars; /* that this worker found to be due */
    uint64_t location_hits, location_misses;
    uint64_t stun_answers;
    uint64_t callers_lost; /* their WebSockets were, while their calls rang */
    uint64_t pings, pings_answered, pings_unanswered; /* to phones behind NATs */
    uint64_t media_gaps[CORE_MEDIA_COUNT];            /* calls that cannot have audio */
    uint64_t hung_up;                                 /* calls, by us */
    uint64_t byes_refused;                            /* of ours: neither 2xx nor 481 nor 408 */
    uint64_t byes_unanswered;
    struct {
        uint64_t calls, refreshes; /* phones that the gateway was asked to wake, by why */
        uint64_t failed;           /* of them those that it could not */
        uint64_t full;             /* not asked: its queue or a table is full */
        uint64_t woken, late;      /* requests whose phone came, or did not in time */
    } push;
};

/** Counts and sizes of the moment, for status and metrics. */
struct core_status {
    struct core_counters counters;
    struct txn_counters txn;
    struct proxy_counters proxy;
    uint32_t transactions, contexts, registrations_waiting;
    size_t memory_used, memory_held;
    uint64_t timers;
    bool overloaded;   /* new requests are refused */
    uint32_t queue_ms; /* the longest wait of the last second or two, where it is measured */
    uint32_t bars;     /* there are now */
    uint32_t silent;   /* phones behind NATs that do not answer */
    struct resolve_counters dns;
    uint32_t dns_waiting;  /* requests that wait for a name */
    uint32_t push_waiting; /* that wait for a phone to be woken */
    struct calls_counters calls;
    uint32_t calls_live, calls_held; /* held: with those that ended lately */
};

MUST_CHECK enum err core_open(const struct core_config *config, uint64_t now_ms, uint64_t wall_ms,
                              struct core **out);
void core_close(struct core *core);

/** How much memory a core takes, at most; the ceiling is known before it is opened. */
struct core_memory {
    size_t pools;  /* memory_max: transactions, contexts, what waits, connections' bindings */
    size_t tables; /* that find them */
    size_t guard;
};
struct core_memory core_memory_max(const struct core_config *config);

/**
 * One message from the network. Parsed here; handled if this worker owns it, else posted.
 * now_ms is monotonic, wall_ms UTC. False: a stream whose framing is lost should be closed.
 */
bool core_receive(struct core *core, struct slice bytes, enum sip_framing framing,
                  const struct flow *source, uint64_t now_ms, uint64_t wall_ms);

/**
 * What is received from now on by UDP of `listener` (LISTENER_ANY: by streams) has waited so long
 * for this worker. Not told: not at all, or as long as before.
 */
void core_waited(struct core *core, uint8_t listener, uint32_t waited_ms, uint64_t now_ms);

void core_mail(struct core *core, const struct core_mail *mail, uint64_t now_ms, uint64_t wall_ms);

/** The receipt of durable operation `token` (OK), or why it could not be kept. */
void core_receipt(struct core *core, struct id token, enum err err, uint64_t now_ms,
                  uint64_t wall_ms);

/** The answer to a question of ops.ask_dns. Borrowed until return. */
void core_dns_answer(struct core *core, struct id question, const struct dns_answer *answer,
                     uint64_t now_ms, uint64_t wall_ms);

/** What the gateway says of a phone that is to be woken. */
enum core_push_answer {
    CORE_PUSH_ACCEPTED = 1, /* it does that */
    CORE_PUSH_FAILED,       /* it cannot, this time */
    CORE_PUSH_GONE,         /* its service does not know it any more: it is not woken until it
                               registers anew */
};

/** What became of ops.push() with this token. */
void core_push_result(struct core *core, struct id token, enum core_push_answer answer,
                      uint64_t now_ms, uint64_t wall_ms);

/** Runs due timers, at most `max`. Returns true when more are due. */
bool core_run(struct core *core, uint64_t now_ms, uint64_t wall_ms, unsigned max);
/** Monotonic time of the next timer; UINT64_MAX: none. */
uint64_t core_next_ms(const struct core *core);

/**
 * A message could not be sent: its beginning, as sent. `closed`: the host that it went to says that
 * nobody listens there (ICMP). From net/, in any worker.
 */
void core_send_failed(struct core *core, struct slice sent, bool closed, uint64_t now_ms,
                      uint64_t wall_ms);
/**
 * A connection of this worker is gone. Tells the others. False: a mailbox has no room now; call it
 * again with the same `*told` (0 at first), for as long as it takes: nobody finds out otherwise.
 */
MUST_CHECK bool core_conn_lost(struct core *core, struct conn_id conn, uint32_t *told,
                               uint64_t now_ms, uint64_t wall_ms);

/** Puts bindings that were read at start: every worker is given all, each takes its own. Streams
 * are marked lost. */
void core_restore(struct core *core, struct slice aor, struct slice block, uint64_t wall_ms);

/** Puts a call record that was read at start; likewise. One that rang is ended, and those whom that
 * concerns are told in the first turn. */
void core_restore_call(struct core *core, struct slice block, uint64_t now_ms, uint64_t wall_ms);

/** A call by its record's id and the hashes of its attempt, which the record has. */
struct core_call {
    uint64_t id, attempt_hash_a, attempt_hash_b;
};

/**
 * Hangs up a call that is up: BYE to both ends, as each of them would get it from the other. Its
 * record ends at once, whatever they answer. OK: they are on their way, or as good (a phone that
 * cannot be reached any more does not keep a call up). ERR_NOT_FOUND: this worker has no such call,
 * or it is over. ERR_CONFLICT: it is not up yet, or too little is known of its dialog.
 */
MUST_CHECK enum err core_hang_up(struct core *core, const struct core_call *call, uint64_t now_ms,
                                 uint64_t wall_ms);

/** The policy of requests from now on. The caller releases the old one after all workers have been
 * told. */
void core_set_policy(struct core *core, const struct policy *policy);

/** From now on INVITEs without To tag are answered 503. */
void core_drain(struct core *core);
/** Nothing is in flight any more: no transaction without final response, no receipt outstanding. */
bool core_idle(const struct core *core);

void core_status(const struct core *core, struct core_status *out);

/** May a stream from there be read now? No: its peer has sent more than its share, and waits. */
bool core_may_read(struct core *core, const struct addr *source, uint64_t now_ms);

/** Has this source's share of TLS handshakes one left? It is taken. */
bool core_may_handshake(struct core *core, const struct addr *source, uint64_t now_ms);

/** The bars there are, at most `max`; returns how many. */
uint32_t core_bars(const struct core *core, uint64_t now_ms, struct guard_bar_info *out,
                   uint32_t max);
/** Lifts those of that name in this worker; returns how many. */
uint32_t core_lift_bar(struct core *core, struct slice name, uint64_t now_ms);

/** Hash of an AOR key as the location table uses it. */
uint64_t core_aor_hash(const struct core_config *config, struct slice aor);

#endif
