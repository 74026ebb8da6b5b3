/* SPDX-License-Identifier: Apache-2.0 */
/*
 * registrar - REGISTER and bindings (RFC 3261 §10, 3327, 3608, 3581, RFC 5626 §6,
 * RFC 5627 §5, RFC 8599 §5.6.1).
 *
 * Works out what a REGISTER makes of an AOR's bindings: all of it or nothing. It
 * sends nothing and stores nothing: the core commits the new set to the journal, and only
 * then puts it into the location table and sends the 200.
 *
 * Thread:  the worker that owns the AOR (one writer per AOR).
 * Memory:  results in the arena it was given.
 * Public headers: registrar.h
 */
#ifndef REGISTRAR_REGISTRAR_H
#define REGISTRAR_REGISTRAR_H

#include "base/arena.h"
#include "base/binding.h"
#include "base/hash.h"
#include "sip/sip.h"

/** Which phones are woken, and what they are told (RFC 8599). */
struct registrar_push {
    const struct slice *providers; /* values of pn-provider, at most PUSH_PROVIDERS_MAX */
    uint32_t provider_count;       /* 0: nobody is woken, and nothing is said of it */
    struct slice vapid; /* our public key, for phones by Web Push (RFC 8292); empty: none */
    uint32_t lead;      /* seconds before a binding ends that its phone is woken; 0: it is not */
};

struct registrar_config {
    uint32_t default_expires; /* seconds */
    uint32_t min_expires;
    uint32_t max_expires;
    uint32_t max_contacts;      /* per AOR, <= BINDINGS_MAX */
    struct slice service_route; /* value of Service-Route in 200 answers; empty: none (RFC 3608) */
    bool path_required_support; /* 420/421 when Path is there and Supported: path is not (RFC 3327
                                   §5.3) */
    uint32_t flow_timer;        /* seconds, told to phones on streams with RFC 5626; 0: not */
    bool gruu;                  /* GRUUs are handed out (RFC 5627); needs the two below */
    struct hash_key gruu_key;
    uint64_t hash_seed; /* of the location table's hashes of AORs */
    struct registrar_push push;
};

/** What to do with a REGISTER. */
enum registrar_action {
    REGISTRAR_ANSWER = 1, /* answer at once with `status` and `fields`: a query, a refusal, a late
                             retransmission */
    REGISTRAR_COMMIT,     /* make `block` durable, put it, then answer with `status` and `fields` */
};

struct registrar_result {
    enum registrar_action action;
    uint16_t status;
    struct slice reason; /* empty: standard */
    struct slice fields; /* header lines: Contact list, Date, Service-Route, Path, Min-Expires,
                            Unsupported, Feature-Caps ... */
    struct slice block;  /* packed set; empty: the AOR has no bindings any more */
    uint32_t added, refreshed, removed; /* bindings */
};

/**
 * @param current   the AOR's present block (may be empty; expired bindings in it do not count)
 * @param source    the flow it came by, kept in the bindings
 * @param path_ok   Path values may be trusted (they come from a neighbour of ours)
 * @param now_ms    wall clock, UTC
 * ERR_MEMORY when the arena is full: answer 500; otherwise OK and `*out` says what to do.
 */
MUST_CHECK enum err registrar_process(const struct registrar_config *config,
                                      const struct sip_msg *request, struct slice aor,
                                      struct slice current, const struct flow *source, bool path_ok,
                                      uint64_t now_ms, struct arena *arena,
                                      struct registrar_result *out);

/** Is it an option (of Require or Supported) that the registrar understands? */
bool registrar_knows(struct slice option);

/**
 * The key of an AOR: the user part, unescaped, case kept, of a SIP URI whose domain is ours.
 * Written to `b`. ERR_SYNTAX: no user part, or a bad escape.
 */
MUST_CHECK enum err registrar_aor_key(const struct sip_uri *uri, struct builder *b);

/**
 * The value of gr in a public GRUU of an instance: +sip.instance without < >, escaped for a URI
 * parameter. At most 3 * instance.len bytes.
 */
void registrar_gr_write(struct builder *b, struct slice instance);

/** Does the value of gr in a Request-URI, escaped as it is there, name this instance? */
bool registrar_gr_names(struct slice gr, struct slice instance);

/** What the user part of a temporary GRUU begins with; proxy/gruu.h has the rest. */
#define REGISTRAR_TEMP_GRUU "tgruu."

/** The set without bindings that expired by now_ms; OK with *changed false when none did. */
MUST_CHECK enum err registrar_expire(struct slice block, uint64_t now_ms, struct arena *arena,
                                     struct slice *out, bool *changed);

/** Is it this binding? */
typedef bool registrar_is_fn(const void *user, const struct binding *binding);

/** What bindings are marked with; a REGISTER takes it off again. */
enum registrar_mark {
    REGISTRAR_FLOW_LOST = 1, /* flow_lost */
    REGISTRAR_PUSH_GONE,     /* push_gone */
};

/** The set with that mark on all bindings that `is` names; OK with *changed false when all of them
 * have it. Borrows `block` and `arena`. ERR_MEMORY. */
MUST_CHECK enum err registrar_mark(struct slice block, enum registrar_mark mark,
                                   registrar_is_fn *is, const void *user, struct arena *arena,
                                   struct slice *out, bool *changed);

/** The set with `flow_lost` set on all bindings of a connection that is gone. */
MUST_CHECK enum err registrar_flow_lost(struct slice block, struct conn_id conn,
                                        struct arena *arena, struct slice *out, bool *changed);

#endif
