/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns - questions to the DNS and its answers, as plain data. Who asks is net/, who understands what
 * the answers mean for SIP is resolve/.
 */
#ifndef BASE_DNS_H
#define BASE_DNS_H

#include "base/addr.h"

enum dns_type {
    DNS_A = 1,
    DNS_AAAA,
    DNS_SRV,   /* RFC 2782 */
    DNS_NAPTR, /* RFC 3403 */
};

enum {
    DNS_NAME_MAX = 253, /* bytes of a name as text, without the dot at its end (RFC 1035 §2.3.4) */
    DNS_RECORDS_MAX = 32, /* of one answer that are looked at; further ones are left out, counted */
    DNS_TEXT_MAX = 4096,  /* bytes of all names and strings of one answer */
};

enum dns_status {
    DNS_FOUND = 1,
    DNS_NOTHING, /* the name has no such records, or does not exist (RFC 2308 §2) */
    DNS_FAILED,  /* no answer in time, a server's failure or refusal, or an answer that is broken */
};

/** One record. What its type has not is zero. */
struct dns_record {
    struct addr addr;     /* A, AAAA; the port is 0 */
    uint16_t priority;    /* SRV; the order of NAPTR: lower first */
    uint16_t weight;      /* SRV; the preference of NAPTR: lower first */
    uint16_t port;        /* SRV */
    struct slice target;  /* SRV; the replacement of NAPTR; empty: the root, "." */
    struct slice flags;   /* NAPTR, as all below */
    struct slice service; /* such as "SIP+D2U" */
    struct slice regexp;
};

/** Records of the type that was asked for, at the name or where its aliases (CNAME) lead. */
struct dns_answer {
    enum dns_status status;
    uint32_t ttl_s; /* the least of all records and aliases; of nothing: RFC 2308 §5, 0: not told */
    const struct dns_record *records;
    uint32_t count; /* 0 unless DNS_FOUND */
};

#endif
