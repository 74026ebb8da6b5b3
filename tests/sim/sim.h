/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - the whole core under a seeded clock and network.
 *
 * One run is one seed: a node of one to eight workers, a store with receipts, and a
 * crowd of phones that register, call, answer, refuse, vanish, cancel and hang up, over a network
 * that loses, doubles, delays and reorders, with crashes and restarts between. The phones are
 * written apart from the project's own parser, on plain text, so that one mistake cannot hide
 * another. Checkers watch from outside; the first violation ends the run and names the seed.
 *
 *   world.c   events in the order of their times; the network
 *   node.c    the workers' cores, their mailboxes, the location table, the store
 *   text.c    SIP as text
 *   same.c    is what was sent on what was received?
 *   aors.c    what the bindings must be
 *   gruus.c   which temporary GRUUs count
 *   pings.c   keepalives: OPTIONS of the node, STUN of phones
 *   access.c  who may get through
 *   watch.c   every transaction of the node, as the network sees it; watch.h names its other files
 *   probe.c   single requests whose answers are known
 *   phone.c   registrations, calls as caller and as callee; phone.h names its other files
 *   creds.c   what phones answer to challenges
 *   ask.c     requests within a dialog, from both sides
 *   router.c  somebody else's proxy beside the node
 *   edge.c    a node of ours in its place, which phones register through
 *   stream.c  what the node reads from a connection: pieces of messages
 *   far.c     domains that are found by name, and who calls them; far.h names its other files
 *   records.c what the journal must say of calls
 *   check.c   what must hold
 *   crowd.c   very many phones on streams, in a world of its own
 *   main.c    the runs
 */
#ifndef SIM_H
#define SIM_H

#include "core/core.h"
#include "net/framing.h"

enum {
    SIM_WORKERS_MAX = 8,
    SIM_PHONES_MAX = 16,
    SIM_CALLS_MAX = 64,
    SIM_LEGS_MAX = 1024,
    SIM_CALLS_LONG = 128, /* at once, in a run of very many */
    SIM_LEGS_LONG = 2048,
    SIM_TEXT_MAX = 4096,
    SIM_HEADS = 1024,
    SIM_NODE = 0,                    /* address of the node; phones are 1.. */
    SIM_ROUTER = SIM_PHONES_MAX + 1, /* of the other proxy */
    SIM_FAR = 64,                    /* and up: hosts of far domains */
    SIM_CLIENT = 96,                 /* and up: who calls them */
    SIM_ASKS_MAX = 512,
    SIM_COUNTS = 256, /* of one nonce */
    SIM_GRUUS_MAX = 128,
    SIM_PING_MS = 20000,
    SIM_MIN_EXPIRES = 20,
    SIM_MAX_EXPIRES = 300,
    SIM_DEFAULT_EXPIRES = 200,
    SIM_TIMER_C_MS = 181000,
    SIM_SILENCE_MS = 600000, /* of a call that is up */
    SIM_PUSH_EXPIRES = 280,  /* of phones that are woken: there must be time for it */
    SIM_OVERLOAD_TARGET_MS = 50,
    SIM_OVERLOAD_INTERVAL_MS = 4000, /* there are few packets here */
    SIM_OVERLOAD_LAST_MS = 200,
    SIM_OVERLOAD_SPELL_MS = 15000,
};
#define SIM_NODE_HOST    "10.0.0.1:5060"
#define SIM_NODE_HOST_V6 "[fd00::1]:5060"
#define SIM_ROUTER_HOST  "10.0.1.17:5060"

struct sim;

/** What happens at a moment. */
enum sim_event_kind {
    EVENT_DATAGRAM = 1, /* to `to` */
    EVENT_MAIL,         /* for worker `to` */
    EVENT_RECEIPT,
    EVENT_REFUSED, /* ICMP: the node's datagram found no port (`a`: 1), or no way */
    EVENT_PHONE,   /* timer of a phone: `a` = what, `b` = which */
    EVENT_CRASH,
    EVENT_RESTART,
    EVENT_POLICY,
    EVENT_CONN_LOST,    /* of phone `a` */
    EVENT_DISK,         /* the disk is full for a while */
    EVENT_WEATHER,      /* another network, in a long run */
    EVENT_TEND,         /* finished calls make room, in a long run */
    EVENT_FAR,          /* a message of or to a far host; `a` = its port, `b` = by TCP */
    EVENT_FAR_TIMER,    /* `a` = what, `b` = which, `c` = generation */
    EVENT_DNS,          /* an answer for worker `to`: `a` = type, `b` = name, `c` = question */
    EVENT_PUSH,         /* phone `a` is woken */
    EVENT_EDGE_REFUSED, /* the edge's message found no port (`a`: 1), or no connection */
    EVENT_PUSHED, /* for worker `to`: what the push gateway says of `mail.id`: `a`, `b`: of whom */
};

enum far_timer_kind {
    FAR_CALL = 1, /* a new call begins */
    FAR_AGAIN,    /* of a caller, as the next */
    FAR_CANCEL,
    FAR_GATE, /* of a gateway */
    FAR_ZONE, /* the names change */
};

struct sim_event {
    uint64_t due_ms;
    uint64_t order;
    uint64_t c;
    uint32_t from, to;
    uint32_t boot; /* of the node when it was made; mail and receipts of another are void */
    uint8_t kind;
    uint32_t a, b;
    struct core_mail mail;
    char *bytes; /* owned */
    size_t len;
};

/** The run's weather, drawn from the seed. */
struct sim_knobs {
    unsigned workers, phones, calls;
    unsigned loss_pct, dup_pct; /* per hundred datagrams */
    unsigned delay_max_ms;
    unsigned store_delay_max_ms;
    unsigned store_fail_pct, store_full_pct;
    unsigned mailbox_full_pct;
    unsigned crashes, disks, max_contacts;
    bool slow_store;
    unsigned dead_pct; /* phones whose port is closed or that say nothing */
    unsigned nat_pct, tcp_pct, v6_pct, policies;
    bool router;      /* there is another proxy */
    bool strict;      /* it knows nothing of lr */
    bool edge;        /* it is an edge of ours */
    bool keeps_flows; /* it says ";ob" in its Path (RFC 5626) */
    unsigned nonce_lifetime_ms;
    bool auth, memory_store, recurse;
    bool names;    /* there are far domains */
    bool pings;    /* phones behind NATs are asked whether they are there */
    bool records;  /* calls are recorded */
    bool overload; /* queues stand at times, and new requests are refused */
    bool starved; /* too little of everything, or loops: leaks, storms and crashes count, no more */
    bool scarce;  /* starved: of memory and room */
    bool looped;  /* starved: Contacts at our own address */
    bool sleepy;  /* starved, but every call must end: phones sleep, and are woken (RFC 8599) */
    uint64_t calls_span_ms;
};

/* ---- phones ---- */

enum phone_manner {
    MANNER_ANSWER = 0, /* rings a while, answers */
    MANNER_BUSY,
    MANNER_DECLINE,
    MANNER_RING, /* rings until cancelled */
    MANNER_ANSWER_AT_ONCE,
    MANNER_REDIRECT, /* 302 to another phone */
    MANNER_ODD,      /* one of many failures, drawn for each call */
    MANNER_SILENT,   /* answers nothing at all */
    MANNER_CLOSED,   /* no port: ICMP */
    MANNER_COUNT,
};

/** What a phone has to do with the other proxy. */
enum phone_behind {
    BEHIND_NOTHING = 0,
    BEHIND_EDGE,      /* registers through it */
    BEHIND_SPIRAL,    /* is registered at it, and called by way of another user of ours */
    BEHIND_LOOP,      /* is registered at it, and it sends all back */
    BEHIND_ALIAS,     /* is registered as another user of ours */
    BEHIND_ELSEWHERE, /* is registered at another phone's address */
};

struct phone {
    uint32_t index; /* 1.. : its address */
    uint32_t user;  /* AOR uN; several phones may share one */
    enum phone_manner manner;
    char call_id[48], tag[24];
    uint32_t cseq, branch;
    uint32_t expires_s;
    unsigned q; /* thousandths */
    bool nat, tcp, rport, v6;
    bool odd;           /* sends from another port than it names */
    uint32_t elsewhere; /* phone */
    enum phone_behind behind;
    bool instance;                     /* it says +sip.instance, and so may move */
    unsigned moved;                    /* how often */
    bool direct;                       /* this time not through the other proxy */
    unsigned leads_to;                 /* user */
    uint32_t conn;                     /* generation of its connection; 0: none */
    uint32_t conns;                    /* that it ever had */
    uint64_t to_node_ms, from_node_ms; /* streams keep their order */
    char nonce[64];                    /* given last, and how often it was used */
    uint32_t nc;
    unsigned offered[3], offered_count; /* algorithms of the last challenge, in its order */
    char message[SIM_TEXT_MAX];         /* the MESSAGE under way */
    uint32_t message_tries, message_generation;
    bool message_done;
    /* the REGISTER under way */
    bool waiting, wants_gone;
    char request[SIM_TEXT_MAX];
    uint32_t tries, generation;
    uint32_t auth_tries;
    /* what was acknowledged last */
    bool acked_present,
        ambiguous; /* ambiguous: a later request got no answer yet, or was lost in a crash */
    uint64_t acked_until_ms; /* simulated wall clock */
};

enum call_state {
    CALL_FREE = 0,
    CALL_CALLING,
    CALL_PROCEEDING,
    CALL_FAILED,
    CALL_UP,
    CALL_BYE,
    CALL_OVER
};

/** A call as its caller sees it. */
struct call {
    uint32_t phone; /* caller */
    enum call_state state;
    uint32_t generation;
    char call_id[48], tag[24], branch[48];
    char invite[SIM_TEXT_MAX], bye[SIM_TEXT_MAX], cancel[SIM_TEXT_MAX];
    uint32_t cseq, tries, auth_tries;
    uint32_t gap_ms;
    bool cancelled, cancel_answered, provisional, gave_up;
    unsigned final_status; /* non-2xx */
    char final_tag[64];
    unsigned answers; /* 2xx with different To tags */
    char answer_tags[8][64];
    char ack[SIM_TEXT_MAX];    /* for the first answer */
    char answer[SIM_TEXT_MAX]; /* the first 2xx */
    uint32_t next_cseq;        /* of the dialog */
    uint32_t conn;             /* of its phone, when it began */
    uint32_t crashes_before;   /* count when its newest transaction began */
    uint32_t invite_crashes;   /* and when its INVITE was sent */
    uint64_t began_ms, final_ms;
    bool planned;
    bool hangs_up; /* the caller, else the callee */
    bool stranger; /* he has no account here */
    bool bye_done;
    unsigned challenges;
};

enum leg_state {
    LEG_FREE = 0,
    LEG_RINGING,
    LEG_ANSWERED,
    LEG_REFUSED,
    LEG_CONFIRMED,
    LEG_OVER
};

/** An INVITE as one callee sees it. */
struct leg {
    uint32_t phone;
    enum leg_state state;
    uint32_t serial;
    uint32_t generation;
    char call_id[64], tag[24], branch[128], from_tag[64];
    uint32_t next_cseq;
    uint32_t boot; /* of the node that sent it */
    uint32_t conn; /* of its phone, when it came */
    char invite[SIM_TEXT_MAX];
    char response[SIM_TEXT_MAX];
    char bye[SIM_TEXT_MAX];
    uint32_t gap_ms, tries, auth_tries;
    unsigned status;
    bool acked, cancelled, bye_done;
    uint32_t crashes_before;
    uint64_t began_ms;
};

/** A request within a dialog, or the answer to an INVITE within one. */
struct ask {
    uint32_t phone, generation, tries, gap_ms, crashes_before;
    uint32_t call, leg; /* of the sender; UINT32_MAX: not his */
    bool answers;       /* a 2xx that waits for its ACK */
    bool open, vague;   /* vague: nobody can say whether it must be answered */
    unsigned taken;     /* by the network, of its answers and their ACKs */
    char branch[128], method[16];
    char text[SIM_TEXT_MAX];
};

/* ---- the store and the node ---- */

struct stored {
    char *key, *block;
    size_t key_len, block_len;
    uint64_t hash;
    uint32_t note; /* in the location table */
    struct stored *next;
};

struct store_op {
    uint64_t number;
    uint16_t kind; /* enum durable_kind */
    uint32_t worker;
    struct id token;
    char *key, *block;
    size_t key_len, block_len;
    bool fails;
    struct store_op *next;
};

struct sim_map {
    struct stored *heads[256];
    struct stored *retired; /* blocks that may be read until the turn ends */
    size_t count;
};

struct node_worker {
    struct core *core;
    struct outbox outbox;
    char *buffer;
    uint64_t mail_at_ms; /* mailboxes keep their order */
};

/** The beginning of a request whose connection was refused at once. */
struct sim_refused {
    struct sim_refused *next;
    uint32_t worker;
    size_t len;
    char bytes[300];
};

/** A binding as it must be. */
struct sim_binding {
    char uri[128], call_id[64], path[256], instance[64];
    unsigned reg_id, granted_s;
    bool elsewhere; /* another machine than its REGISTER came from */
    bool touched;   /* by the REGISTER at hand */
    uint32_t phone, cseq;
    bool added; /* by a redirection, at: */
    uint64_t added_ms;
    unsigned q;
    uint64_t version; /* another with each REGISTER */
    bool lost;        /* its connection or flow is gone, since: */
    uint64_t lost_ms;
    bool vague;                /* nobody can say whether the node knows that its flow is gone */
    uint64_t made_ms, ping_ms; /* when it was registered, and pinged last */
    char ping[96];             /* the branch of that */
    uint64_t expires_ms;       /* wall clock */
};

struct sim_aor {
    struct sim_binding bindings[24];
    unsigned count;
};

/** A temporary GRUU that was given out. */
struct sim_gruu {
    char name[96]; /* its user part */
    uint32_t phone;
    unsigned user;
    uint64_t epoch, given_ms;
    bool unsure; /* nobody can say whether it still counts */
};

struct sim_nonce {
    struct sim_nonce *next;
    char text[64];
    uint64_t made_ms;
    uint32_t boot, phone, highest;
    bool used[SIM_COUNTS];
    bool contested[SIM_COUNTS];  /* a second request used it: either may have been the first */
    char branch[SIM_COUNTS][32]; /* that got through */
    char first[SIM_COUNTS][32];  /* that came first */
};

struct watch;
struct sim_attempt;

struct seen_bytes {
    uint64_t hash;
    uint32_t count;
};

/** What the node has read of a phone's connection, up to a message that is not whole yet. */
struct sim_stream {
    struct framing framing;
    uint64_t conn; /* generation */
    size_t len;
    char bytes[2 * SIM_TEXT_MAX];
};

struct sim {
    uint64_t seed;
    struct rng rng;
    struct sim_knobs knobs;
    bool trace;
    uint64_t now_ms, wall_offset_ms;
    uint64_t quiet_at_ms; /* from here on the network loses nothing */
    bool endless;         /* a long run: calls make room for others */
    uint64_t calls_left, calls_begun;
    uint64_t disk_full_until_ms;
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    uint64_t order;
    bool failed;
    char why[512];

    bool node_up;
    uint32_t boot, crashes;
    uint64_t crashed_at_ms;
    struct node_worker workers[SIM_WORKERS_MAX];
    struct listener listeners[3]; /* UDP, TCP, UDP over IPv6 */
    unsigned algorithms[SIM_PHONES_MAX + 1][3], algorithm_counts[SIM_PHONES_MAX + 1]; /* of users;
                                                                     the last: of all others */
    struct policy *policy;
    uint32_t policies;
    size_t memory_max;   /* of a worker in scarce runs */
    uint64_t changed_ms; /* when the last one came */
    struct user users[SIM_PHONES_MAX];
    char user_names[SIM_PHONES_MAX][16], extensions[SIM_PHONES_MAX][16];
    struct sim_map location, durable, records;
    struct sim_attempt *attempts[SIM_HEADS];
    struct store_op *ops, **ops_end; /* appended, not synced */
    struct sim_refused *refused;     /* in this turn */
    uint64_t op_number;
    uint64_t sent_by_node, received_by_node;
    uint64_t pushes,
        woken; /* phones that were to be woken; requests whose phone came, up to the last start */
    struct seen_bytes *seen;
    size_t seen_capacity, seen_used;
    uint64_t end_ms;   /* of the run, or of a shift of it */
    uint64_t trace_ms; /* messages are printed from here on; 0: none */

    struct sim_edge *edge; /* NULL: none */
    struct far *far;       /* NULL: no far domains */
    uint32_t worker_now;   /* whose core is at work */

    struct watch *watch;
    uint32_t turn_from, turn_to; /* of the message at hand */
    uint32_t turn_conn;          /* that it came by */
    bool posted;                 /* it went to another worker */
    bool turn_gone;              /* the connection of the request at hand is lost */
    uint32_t turn_waited_ms;     /* it waited so long for the worker that received it */
    struct sim_aor aors[SIM_PHONES_MAX];
    uint64_t aor_versions;
    struct sim_gruu gruus[SIM_GRUUS_MAX]; /* a ring */
    uint64_t gruu_count;                  /* that ever were */
    /* by phone: woken last, registered last; its push service does not know it */
    uint64_t pushed_ms[SIM_PHONES_MAX + 1], push_seen_ms[SIM_PHONES_MAX + 1];
    bool push_gone[SIM_PHONES_MAX + 1];
    uint64_t pings, stun_answers, pings_swept_ms, started_ms; /* the node, last */
    uint32_t stun_asked[SIM_PHONES_MAX + 1];
    uint64_t gruu_epochs[SIM_PHONES_MAX + 1], gruu_news_ms[SIM_PHONES_MAX + 1]; /* by phone */
    bool aor_open[SIM_PHONES_MAX]; /* a REGISTER had no answer when the node ended */
    bool disabled[SIM_PHONES_MAX];
    struct sim_nonce *nonces[SIM_HEADS]; /* by the hash of their text */

    struct phone phones[SIM_PHONES_MAX + 2]; /* the last: the other proxy */
    struct sim_stream streams[SIM_PHONES_MAX + 2];
    struct ask *asks;
    uint32_t ask_count, ask_next;
    struct call *calls;
    struct leg *legs;
    uint32_t leg_count, leg_max, leg_serial;
    /* to find them without looking at each: hashes of phone and branch; serials; of branch */
    uint64_t leg_names[SIM_LEGS_LONG], ask_names[SIM_ASKS_MAX];
    uint32_t leg_serials[SIM_LEGS_LONG];
    uint64_t messages_sent, messages_answered;
};

/* records.c */
/** The node sends this. */
void records_out(struct sim *sim, uint32_t to, const char *text);
/** All is over: is everything recorded, once, and right? */
void records_check(struct sim *sim);
void records_close(struct sim *sim);
/** May an INVITE be refused because its record cannot be written? */
bool records_refuse(const struct sim *sim, const char *method, unsigned status);
/** For so long an INVITE may wait for its record. */
uint32_t records_delay_ms(const struct sim *sim);
/** Is it the CANCEL, the ACK, or the 500, of a call that rang when the node ended? */
bool records_interrupted(const struct sim *sim, const char *text);

/* world.c */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_post(struct sim *sim, struct sim_event event);
/** An event that is a timer: `a` = what, `b` = which, `c` = generation. */
void sim_set_timer(struct sim *sim, enum sim_event_kind kind, uint32_t what, uint32_t which,
                   uint32_t generation, uint64_t in_ms);
bool sim_take(struct sim *sim, struct sim_event *out);
uint64_t sim_next_due(const struct sim *sim);
void sim_clear_events(struct sim *sim);
bool sim_chance(struct sim *sim, unsigned pct);
uint64_t sim_range(struct sim *sim, uint64_t from, uint64_t to);
/** A datagram enters the network. */
void sim_send(struct sim *sim, uint32_t from, uint32_t to, const char *bytes, size_t len);
struct addr sim_addr(uint32_t index, bool v6);
uint64_t sim_wall(const struct sim *sim);

/* node.c */
void node_prepare(struct sim *sim);
/** Other users, between two shifts: nothing of the old ones is left. */
void node_change_users(struct sim *sim);
void node_start(struct sim *sim);
void node_stop(struct sim *sim, bool crash);
void node_release(struct sim *sim);
void node_conn_lost(struct sim *sim, uint32_t phone);
bool node_has_conn(const struct sim *sim, uint32_t phone, uint64_t generation);
/** Some user is disabled, or enabled again, under all that runs. */
void node_change_policy(struct sim *sim);
void node_receive(struct sim *sim, uint32_t from, const char *bytes, size_t len);
/** A message of a far host or of one who calls them: `from` >= SIM_FAR. */
void node_receive_far(struct sim *sim, uint32_t from, unsigned port, bool tcp, const char *text);
void node_dns_answer(struct sim *sim, uint32_t worker, struct id question,
                     const struct dns_answer *answer);
void node_mail(struct sim *sim, uint32_t worker, const struct sim_event *event);
void node_receipt(struct sim *sim, const struct sim_event *event);
/** `closed`: nobody listens at its port. */
void node_refused(struct sim *sim, uint32_t worker, bool closed, const char *bytes, size_t len);
/** Transactions of all workers that wait for an answer. */
unsigned node_pending(const struct sim *sim);
/** How long a message that comes now has waited: nothing to speak of, or too long, in spells. */
uint32_t node_waited_ms(const struct sim *sim);
uint64_t node_next_ms(const struct sim *sim);
void node_run(struct sim *sim);
/** The push gateway's answer. */
void node_pushed(struct sim *sim, const struct sim_event *event);
struct slice sim_map_find(const struct sim_map *map, struct slice key, uint64_t hash);
/** Is a binding with this contact in a block? */
bool block_has_contact(struct slice block, struct slice contact, uint64_t wall_ms);
uint64_t node_key_hash(const struct sim *sim, struct slice key);

/* text.c */
/** Copies the value of the n-th (0..) field called `name` into `out`; false when there is none. */
bool text_field(const char *msg, const char *name, unsigned n, char *out, size_t size);
unsigned text_count(const char *msg, const char *name);
/** The text of parameter `name` in `value`; empty when absent. */
void text_param(const char *value, const char *name, char *out, size_t size);
/** The URI within < > or all up to a ';'. */
void text_uri(const char *value, char *out, size_t size);
unsigned text_status(const char *msg); /* 0: a request */
void text_method(const char *msg, char *out, size_t size);
void text_add(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/** A response to `request`: Vias, From, To (with tag), Call-ID, CSeq, Record-Route for 2xx and 18x.
 */
void text_response(const char *request, unsigned status, const char *tag, const char *extra,
                   char *out, size_t size);

/** Is an address of the node in it? */
bool text_names_node(const char *text);
/** The Request-URI. */
void text_request_uri(const char *request, char *out, size_t size);

/* creds.c */
/** Credentials for the next request, if a nonce is at hand; now and then wrong ones, which say so.
 */
void creds_add(struct sim *sim, struct phone *phone, const char *method, const char *uri, char *out,
               size_t size);
/** Takes the nonce of a challenge of ours; false: it is another's. */
bool creds_take(struct phone *phone, const char *response);
const char *creds_algorithm_name(unsigned algorithm);

/* callee.c */
/** Whose To tag it is; NULL: nobody's any more. */
const struct leg *leg_of_tag(const struct sim *sim, const char *tag);
/** The boot of the node when it saw a request first: the last of its own Vias says it. */
uint32_t leg_boot_of(const char *text);

/* ask.c */
/** A request in the dialog of a call (its caller), or of a leg (its callee). */
void ask_send(struct sim *sim, const char *method, uint32_t call, uint32_t leg);
/** PRACK for a provisional response that asks for one. */
void ask_prack(struct sim *sim, uint32_t call, const char *response);
/** A response to one of them? */
bool ask_response(struct sim *sim, uint32_t phone, const char *text);
/** A request within a dialog; false: it is none. */
bool ask_request(struct sim *sim, uint32_t phone, const char *text);
/** The ACK of an INVITE within a dialog? */
bool ask_ack(struct sim *sim, uint32_t phone, const char *text);
/** A bad network may take any of a chain of ten messages; of one answer and its ACK it takes so
 * many at most: what must arrive when more are gone, nobody can say. Counts; true: this one is
 * left. */
bool ask_is_spared(struct sim *sim, const char *text);
void ask_again(struct sim *sim, uint32_t which, uint32_t generation);
void asks_conn_lost(struct sim *sim, uint32_t phone);

/* router.c */
void router_receive(struct sim *sim, const char *text);

/* edge.c */
/** If there is to be one in this run. */
void edge_start(struct sim *sim);
void edge_stop(struct sim *sim);
/** Is it the edge that this phone speaks to, and nobody else? */
bool edge_serves_phone(const struct sim *sim, const struct phone *phone);
void edge_receive(struct sim *sim, uint32_t from, const char *bytes, size_t len);
void edge_refused(struct sim *sim, const struct sim_event *event);
void edge_conn_lost(struct sim *sim, uint32_t phone);
uint64_t edge_next_ms(const struct sim *sim);
void edge_run(struct sim *sim);
/** Somebody tries a token that is nearly one of the edge's. */
void edge_forge(struct sim *sim, uint32_t phone);

/* stream.c */
/** Puts what a phone writes on its way, in pieces from `from_ms` to the event's time. */
void stream_post(struct sim *sim, struct sim_event event, uint64_t from_ms, const char *bytes,
                 size_t len);
/** A piece has come. */
void stream_read(struct sim *sim, const struct sim_event *event);

/* far.c, zone.c, hops.c */
void far_open(struct sim *sim);
void far_close(struct sim *sim);
void far_receive(struct sim *sim, const struct sim_event *event);
void far_on_timer(struct sim *sim, const struct sim_event *event);
void far_change_zone(struct sim *sim);
/** As core_ops.ask_dns. */
bool far_ask(void *user, enum dns_type type, const char *name, struct id question);
void far_dns(struct sim *sim, const struct sim_event *event);
/** Does this message of the node's go to a far host, or who calls them? Then it has been taken. */
bool far_takes(struct sim *sim, uint32_t worker, const struct flow *to, const char *bytes,
               size_t len);
/** A worker of the node has taken this message of a far host, or of who calls them. */
void hops_in(struct sim *sim, uint32_t from, const char *text);
/** What could not be sent: a request to a far host? `told`: the worker that sent it knows. */
bool hops_refused(struct sim *sim, const char *text, bool told);
void hops_node_down(struct sim *sim);
void hops_sweep(struct sim *sim);

/* phone.c */
/** On a stream: is it the user's phone that may be left when another is gone? It has no name. */
bool phone_is_taken_for(const struct sim *sim, uint32_t phone, uint32_t lost);
void phones_start(struct sim *sim);
/** A call of slot `index` begins in a while. */
void phones_plan_call(struct sim *sim, uint32_t index, uint64_t in_ms);
/** Its connection is gone: what it was about cannot be expected any more, and it registers anew. */
void phone_conn_lost(struct sim *sim, uint32_t phone);
void phone_receive(struct sim *sim, uint32_t phone, char *bytes);
void phone_timer(struct sim *sim, uint32_t what, uint32_t which, uint32_t generation);

/** Writes host:port as the phone believes itself to be. */
void phone_host(const struct phone *phone, char out[static 40]);
/** The port that its packets come from. */
unsigned phone_port(const struct phone *phone);
/** Does it sleep between its REGISTERs? */
bool phone_sleeps(const struct sim *sim, const struct phone *phone);
/** Its push notification has come: it registers. */
void phone_pushed(struct sim *sim, uint32_t phone);
/** The phone whose Contact this is; 0: nobody's. */
uint32_t phone_by_uri(const struct sim *sim, const char *uri);
void phone_uri(const struct phone *phone, unsigned user, char out[static 80]);
/** Sends to the node, or where its Route says. */
void phone_send(struct sim *sim, uint32_t phone, const char *text);
/** The same again, by Timers A, E or G: not on streams. */
void phone_send_again(struct sim *sim, uint32_t phone, const char *text);
void phone_set_ask_timer(struct sim *sim, uint32_t which, uint32_t generation, uint64_t in_ms);
/** A request inside the dialog, by the route set of `source` (caller: reversed). */
void phone_in_dialog(struct sim *sim, const char *method, uint32_t cseq, const char *from,
                     const char *to, const char *call_id, const char *source, bool reversed,
                     uint32_t phone, const char *extra, char *out);
/** Adds its Via line. */
void phone_via(const struct phone *phone, const char *branch, char *out);
bool phone_any_tcp(const struct sim *sim);

/* probe.c */
void probe_send(struct sim *sim, uint32_t phone);

/* thief.c */
/** The caller of a stranger's call tries the tokens of a response to leave his dialog. */
void thief_try(struct sim *sim, const struct call *call, const char *response);
/** Is a phone of the dialog that such a request is in? */
bool thief_may_reach(const struct sim *sim, const char *request, uint32_t to);

/* same.c */
/** Is `out` the request `in` from this phone, changed only as a proxy may? `why` says where not. */
bool same_request(const struct sim *sim, uint32_t from, const char *path, const char *in,
                  const char *out, char *why, size_t size);
/** The URI that a request is for at last: before a strict router it stands in its last Route. */
void same_final_uri(const struct sim *sim, const char *text, char *out, size_t size);
/** Does an answer of the node's own repeat what section 8.2.6.2 says? */
bool same_answer(const struct sim *sim, uint32_t from, const char *request, const char *answer,
                 char *why, size_t size);
/** Is `out` the response `in` without its first Via? `challenges`: more of them may follow. */
bool same_response(const char *in, const char *out, bool challenges);

/* aors.c */
/** The number N of the first sip:uN in a value. */
unsigned aors_user_of(const char *value);
void aors_on_answer(struct sim *sim, uint32_t phone, const char *request, const char *answer);
/** Bindings of a user now, of one instance only unless it is empty; *certain false: one of them is
 * about to expire. */
unsigned aors_targets(struct sim *sim, unsigned user, const char *instance, struct sim_binding *out,
                      unsigned max, bool *certain);
/** Is somebody registered with this contact, and will be for a while yet? */
bool aors_has_contact(struct sim *sim, const char *uri);
/** Are users registered as each other, round and round? */
bool aors_is_round(struct sim *sim, unsigned user);
void aors_restore(struct sim *sim);
void aors_conn_lost(struct sim *sim, uint32_t phone);
/**
 * Of a target the edge has said 430 (`routed`), or the phone's host that nobody listens there: the
 * node does not try that registration any more (RFC 5626 sections 7 and 9.3). `version`: of the
 * binding that was tried; 0: who knows.
 */
void aors_flow_failed(struct sim *sim, const char *uri, bool routed, uint64_t version);

/* gruus.c */
/** A 200 to a REGISTER of this AOR is looked at; nothing has been dropped yet. */
void gruus_before(struct sim *sim, const struct sim_aor *aor);
/** A Contact of a REGISTER that was accepted is about to be applied. */
void gruus_registered(struct sim *sim, const struct sim_aor *aor, const char *contact,
                      const char *call_id);
/** Checks and keeps what a 200 gives out. */
void gruus_given(struct sim *sim, unsigned user, const char *request, const char *answer);
/** Nobody knows what of the user's REGISTERs the node has kept. */
void gruus_restored(struct sim *sim, unsigned user);
bool gruus_is_temporary(const char *uri);
/** The phone that a temporary GRUU leads to; 0: it does not count. */
uint32_t gruus_phone(struct sim *sim, const char *uri, unsigned *user, bool *sure);
/** The user part of one of the last; NULL: there is none yet. */
const char *gruus_pick(const struct sim *sim, uint64_t number);

/* pings.c */
/** Is what the node sends a keepalive, or the answer to one? Then it is looked at here. */
bool pings_take(struct sim *sim, uint32_t to, const char *bytes, size_t len);
/** Who was not asked that should have been? */
void pings_sweep(struct sim *sim);
bool pings_is_stun(const char *bytes, size_t len);
/** What keeps a way open where there is no room to ask. */
bool pings_is_empty_line(const char *bytes, size_t len);
void pings_ask_stun(struct sim *sim, uint32_t phone);
/** The answer has come. */
void pings_told(struct sim *sim, uint32_t phone, const char *bytes, size_t len);

/* access.c */
void check_nonce_sent(struct sim *sim, uint32_t to, const char *text);
/** A request has come: a count that two of them use is good for one, and nobody says for which. */
void access_note(struct sim *sim, uint32_t phone, const char *request);
void check_access(struct sim *sim, uint32_t phone, const char *request);
bool needs_credentials(const struct sim *sim, const char *request);
void check_refused_access(struct sim *sim, uint32_t phone, const char *request, const char *answer);
void nonces_close(struct sim *sim);
/** Frees those that are long too old. */
void nonces_trim(struct sim *sim);

/* watch.c */
void watch_open(struct sim *sim);
void watch_forget(struct sim *sim);
void watch_close(struct sim *sim);
/** The node has handled this message of a phone; what it sends for it comes next. */
void watch_in(struct sim *sim, uint32_t from, const char *text);
void watch_out(struct sim *sim, uint32_t to, const char *text);
/** `closed`: by ICMP, of the phone's host itself. */
void watch_refused(struct sim *sim, const char *text, bool known, bool closed);
/** What was sent went nowhere: its stream is gone, and the worker hears of it any time now. */
void watch_gone(struct sim *sim, const char *text);
/** The connection of a phone is gone. */
void watch_conn_lost(struct sim *sim, uint32_t phone);
/**
 * Did the node hear nothing of the branch by which this INVITE came, so that it could not send a
 * CANCEL (section 9.1), though the phone has rung?
 */
bool watch_heard_nothing(const struct sim *sim, const char *invite);
/** REGISTERs of this user that have no answer yet. */
unsigned watch_registers(const struct sim *sim, unsigned user);
/** A turn's messages are all out. */
void watch_turn(struct sim *sim);
void watch_sweep(struct sim *sim);
/** Frees the accounts of what is long over. */
void watch_trim(struct sim *sim);

/* check.c */
/** Forgets which bytes were seen. */
void check_forget(struct sim *sim);
void check_sent_by_node(struct sim *sim, uint32_t to, const char *bytes, size_t len);
void check_calls(struct sim *sim);
/** In a long run: finished calls are checked and make room. True: none is left. */
bool check_and_clear_calls(struct sim *sim);
void check_node_empty(struct sim *sim);

#endif
