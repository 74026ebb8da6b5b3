/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses of the DNS, taken apart by the C library's ns_parserr(): the parsers of c-ares 1.18
 * drop the TTL, and know no SOA, which says how long nothing is nothing (RFC 2308 §5).
 */
#include <arpa/nameser.h>
#include <resolv.h>

#include "net/dns.h"

enum {
    NAME_TEXT_MAX = NS_MAXDNAME,
};

static ns_type type_of(enum dns_type type)
{
    switch (type) {
    case DNS_A:
        return ns_t_a;
    case DNS_AAAA:
        return ns_t_aaaa;
    case DNS_SRV:
        return ns_t_srv;
    case DNS_NAPTR:
        return ns_t_naptr;
    }
    return ns_t_invalid;
}

/* Keeps bytes in out->text; false: there is no room. */
static bool keep(struct dns_parsed *out, const char *bytes, size_t len, struct slice *kept)
{
    if (len > sizeof out->text - out->text_len)
        return false;
    char *at = out->text + out->text_len;
    if (len > 0)
        memcpy(at, bytes, len);
    out->text_len += len;
    *kept = (struct slice){at, len};
    return true;
}

/** What is left of a record's data, within the message. */
struct rdata {
    const ns_msg *msg;
    const unsigned char *at, *end;
};

static bool take_u16(struct rdata *data, uint16_t *out)
{
    if (data->end - data->at < 2)
        return false;
    *out = (uint16_t)(data->at[0] << 8 | data->at[1]);
    data->at += 2;
    return true;
}

/* A <character-string> (RFC 1035 §3.3). */
static bool take_string(struct rdata *data, struct dns_parsed *out, struct slice *kept)
{
    if (data->end - data->at < 1 || data->end - data->at - 1 < data->at[0])
        return false;
    size_t len = data->at[0];
    const char *bytes = (const char *)data->at + 1;
    data->at += 1 + len;
    return keep(out, bytes, len, kept);
}

/* The name that takes up all that is left. */
static bool take_name(struct rdata *data, struct dns_parsed *out, struct slice *kept)
{
    char name[NAME_TEXT_MAX];
    int used = ns_name_uncompress(ns_msg_base(*data->msg), ns_msg_end(*data->msg), data->at, name,
                                  sizeof name);

    if (used < 0 || used != data->end - data->at)
        return false;
    size_t len = strcmp(name, ".") == 0 ? 0 : strlen(name);
    return len <= DNS_NAME_MAX && keep(out, name, len, kept);
}

static bool take_addr(struct rdata *data, uint8_t family, size_t bytes, struct addr *out)
{
    if ((size_t)(data->end - data->at) != bytes)
        return false;
    out->family = family;
    memcpy(out->bytes, data->at, bytes);
    return true;
}

static bool take_record(struct rdata *data, enum dns_type type, struct dns_parsed *out,
                        struct dns_record *record)
{
    switch (type) {
    case DNS_A:
        return take_addr(data, ADDR_V4, 4, &record->addr);
    case DNS_AAAA:
        return take_addr(data, ADDR_V6, 16, &record->addr);
    case DNS_SRV:
        return take_u16(data, &record->priority) && take_u16(data, &record->weight) &&
               take_u16(data, &record->port) && take_name(data, out, &record->target);
    case DNS_NAPTR:
        return take_u16(data, &record->priority) && take_u16(data, &record->weight) &&
               take_string(data, out, &record->flags) && take_string(data, out, &record->service) &&
               take_string(data, out, &record->regexp) && take_name(data, out, &record->target);
    }
    return false;
}

static struct rdata rdata_of(const ns_msg *msg, const ns_rr *rr)
{
    return (struct rdata){msg, ns_rr_rdata(*rr), ns_rr_rdata(*rr) + ns_rr_rdlen(*rr)};
}

static void least_ttl(struct dns_answer *answer, uint32_t ttl_s, bool first)
{
    if (ttl_s > INT32_MAX)
        ttl_s = 0; /* RFC 2181 §8 */
    if (first || ttl_s < answer->ttl_s)
        answer->ttl_s = ttl_s;
}

/* RFC 2308 §5: the SOA's own TTL, or its last field, whichever is less. */
static void nothing_ttl(ns_msg *msg, struct dns_answer *answer)
{
    for (int i = 0; i < ns_msg_count(*msg, ns_s_ns); i++) {
        ns_rr rr;
        if (ns_parserr(msg, ns_s_ns, i, &rr) < 0 || ns_rr_type(rr) != ns_t_soa ||
            ns_rr_rdlen(rr) < 20)
            continue;
        const unsigned char *last = ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4;
        least_ttl(answer, ns_rr_ttl(rr), true);
        least_ttl(answer,
                  (uint32_t)last[0] << 24 | (uint32_t)last[1] << 16 | (uint32_t)last[2] << 8 |
                      last[3],
                  false);
        return;
    }
}

/* An alias of `name` (CNAME): from now on the name is what it leads to. */
static bool follow(const ns_msg *msg, const ns_rr *rr, char name[static NAME_TEXT_MAX])
{
    return ns_name_uncompress(ns_msg_base(*msg), ns_msg_end(*msg), ns_rr_rdata(*rr), name,
                              NAME_TEXT_MAX) >= 0;
}

/* The answers, in their order: servers put aliases before what they lead to. */
static bool read_answers(ns_msg *msg, enum dns_type type, char name[static NAME_TEXT_MAX],
                         struct dns_parsed *out)
{
    struct dns_answer *answer = &out->answer;
    bool first = true;

    for (int i = 0; i < ns_msg_count(*msg, ns_s_an); i++) {
        ns_rr rr;
        if (ns_parserr(msg, ns_s_an, i, &rr) < 0)
            return false;
        if (ns_rr_class(rr) != ns_c_in ||
            !slice_equal_nocase(slice_of(ns_rr_name(rr)), slice_of(name)))
            continue;
        if (ns_rr_type(rr) == ns_t_cname) {
            if (!follow(msg, &rr, name))
                return false;
        } else if (ns_rr_type(rr) == type_of(type) && answer->count < DNS_RECORDS_MAX) {
            struct dns_record record = {.priority = 0};
            struct rdata data = rdata_of(msg, &rr);
            if (!take_record(&data, type, out, &record))
                return false;
            out->records[answer->count++] = record;
        } else {
            continue;
        }
        least_ttl(answer, ns_rr_ttl(rr), first);
        first = false;
    }
    return true;
}

void dns_parse(struct slice message, enum dns_type type, const char *name, struct dns_parsed *out)
{
    char at[NAME_TEXT_MAX];
    ns_msg msg;
    struct dns_answer *answer = &out->answer;

    out->text_len = 0;
    *answer = (struct dns_answer){.status = DNS_FAILED, .records = out->records};
    if (message.len > 65535 || strlen(name) >= sizeof at ||
        ns_initparse((const unsigned char *)message.data, (int)message.len, &msg) < 0)
        return;
    int rcode = ns_msg_getflag(msg, ns_f_rcode);
    if (rcode != ns_r_noerror && rcode != ns_r_nxdomain)
        return;
    memcpy(at, name, strlen(name) + 1);
    if (!read_answers(&msg, type, at, out)) {
        *answer = (struct dns_answer){.status = DNS_FAILED, .records = out->records};
        return;
    }
    answer->status = answer->count > 0 ? DNS_FOUND : DNS_NOTHING;
    if (answer->count == 0) {
        answer->ttl_s = 0;
        nothing_ttl(&msg, answer);
    }
}
