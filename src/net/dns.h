/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net/dns - asks the DNS, by c-ares, in a worker's own loop: nothing here waits.
 *
 * One per worker, as c-ares wants it. It keeps nothing: who asks has the cache (resolve/). Only
 * the DNS is asked, never /etc/hosts, which would be a file read in a worker.
 *
 * Thread:  the loop's worker; dns_open() before the loops start, dns_close() after they ended.
 * Memory:  c-ares' own, for as many questions as are open (the asker bounds them).
 * Limits:  DNS_SOCKETS_MAX sockets; a question of one more times out.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/dns.h"
#include "base/pool.h"
#include "loop/loop.h"

enum {
    DNS_SOCKETS_MAX = 64
};

struct dns;

struct dns_config {
    struct loop *loop;          /* borrowed */
    const struct addr *servers; /* copied; none: those of /etc/resolv.conf */
    uint32_t server_count;
    uint32_t timeout_ms; /* of the first try; then twice as long */
    uint32_t tries;      /* of each server */
    void *user;
    /** The answer to dns_ask(), once, never from within it. Borrowed until return. */
    void (*answered)(void *user, struct id question, const struct dns_answer *answer);
};

/** ERR_IO: c-ares cannot be set up. */
MUST_CHECK enum err dns_open(const struct dns_config *config, struct dns **out);
/** What is open is not answered. NULL is fine. */
void dns_close(struct dns *dns);

/** Asks. False: out of memory. `name` is NUL-terminated. */
MUST_CHECK bool dns_ask(struct dns *dns, enum dns_type type, const char *name, struct id question);

/** What a message of the DNS says, in memory of its own. */
struct dns_parsed {
    struct dns_answer answer; /* refers to what follows */
    struct dns_record records[DNS_RECORDS_MAX];
    char text[DNS_TEXT_MAX];
    size_t text_len;
};

/**
 * Reads a response (RFC 1035 §4) to the question for `type` at `name`: the records there, or where
 * its aliases lead. Broken, or with an error: DNS_FAILED. Only what belongs to the question counts.
 */
void dns_parse(struct slice message, enum dns_type type, const char *name, struct dns_parsed *out);

#endif
