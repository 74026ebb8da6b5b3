/* SPDX-License-Identifier: Apache-2.0 */
/* Responses of the DNS, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/dns.h"

/** A message that is being written. The question is always at byte 12: example.com. */
struct message {
    char bytes[8192];
    size_t len;
};

static void add(struct message *m, const char *bytes, size_t len)
{
    assert_true(m->len + len <= sizeof m->bytes);
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

#define ADD(m, literal) add((m), literal, sizeof(literal) - 1)

static void begin(struct message *m, char rcode, char type)
{
    m->len = 0;
    ADD(m, "\x12\x34\x81");
    add(m, &rcode, 1);
    ADD(m, "\0\1\0\0\0\0\0\0\7example\3com\0\0");
    add(m, &type, 1);
    ADD(m, "\0\1");
}

/* The name is a pointer to the question, or what `name` says. Counts in the section. */
static void record(struct message *m, unsigned section, const char *name, size_t name_len,
                   char type, const char *ttl, const char *data, size_t data_len)
{
    char len[2] = {(char)(data_len >> 8), (char)data_len};

    add(m, name, name_len);
    ADD(m, "\0");
    add(m, &type, 1);
    ADD(m, "\0\1");
    add(m, ttl, 4);
    add(m, len, 2);
    add(m, data, data_len);
    m->bytes[6 + 2 * section + 1]++;
}

#define HERE "\xc0\x0c"
#define RR(m, section, name, type, ttl, data)                                                      \
    record((m), (section), name, sizeof(name) - 1, type, ttl, data, sizeof(data) - 1)

static struct dns_parsed parsed;

static const struct dns_answer *parse(const struct message *m, enum dns_type type)
{
    dns_parse((struct slice){m->bytes, m->len}, type, "example.com", &parsed);
    return &parsed.answer;
}

static bool is(struct slice got, const char *expected)
{
    return slice_equal(got, slice_of(expected));
}

static void addresses_and_the_least_ttl_are_read(void **state)
{
    struct message m = {.len = 0};

    (void)state;
    begin(&m, 0, 1);
    RR(&m, 0, HERE, 1, "\0\0\0\x3c", "\xc0\0\2\1");
    RR(&m, 0, HERE, 1, "\0\0\0\x1e", "\xc0\0\2\2");
    RR(&m, 0, "\5other\3com\0", 1, "\0\0\0\1", "\xc0\0\2\3"); /* nobody asked for it */
    const struct dns_answer *answer = parse(&m, DNS_A);
    assert_int_equal(DNS_FOUND, answer->status);
    assert_int_equal(2, answer->count);
    assert_int_equal(30, answer->ttl_s);
    assert_int_equal(2, answer->records[1].addr.bytes[3]);
    assert_int_equal(DNS_NOTHING, parse(&m, DNS_AAAA)->status);
}

static void aliases_are_followed(void **state)
{
    struct message m = {.len = 0};

    (void)state;
    begin(&m, 0, 28);
    RR(&m, 0, HERE, 5, "\0\0\0\5", "\3www\xc0\x0c");
    RR(&m, 0, "\3WWW\7example\3com\0", 28, "\0\0\0\x3c", "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");
    const struct dns_answer *answer = parse(&m, DNS_AAAA);
    assert_int_equal(1, answer->count);
    assert_int_equal(5, answer->ttl_s);
    assert_int_equal(ADDR_V6, answer->records[0].addr.family);
}

static void services_are_read(void **state)
{
    struct message m = {.len = 0};

    (void)state;
    begin(&m, 0, 33);
    RR(&m, 0, HERE, 33, "\0\0\0\x3c", "\0\1\0\2\x13\xc4\2gw\xc0\x0c");
    RR(&m, 0, HERE, 33, "\0\0\0\x3c", "\0\1\0\2\0\0\0");
    const struct dns_answer *answer = parse(&m, DNS_SRV);
    assert_int_equal(2, answer->count);
    assert_int_equal(1, answer->records[0].priority);
    assert_int_equal(2, answer->records[0].weight);
    assert_int_equal(5060, answer->records[0].port);
    assert_true(is(answer->records[0].target, "gw.example.com"));
    assert_int_equal(0, answer->records[1].target.len); /* the root */

    begin(&m, 0, 35);
    RR(&m, 0, HERE, 35, "\0\0\0\x3c", "\0\1\0\2\1s\7SIP+D2U\4!a!b\4_sip\4_udp\xc0\x0c");
    answer = parse(&m, DNS_NAPTR);
    assert_int_equal(1, answer->count);
    assert_true(is(answer->records[0].flags, "s"));
    assert_true(is(answer->records[0].service, "SIP+D2U"));
    assert_true(is(answer->records[0].regexp, "!a!b"));
    assert_true(is(answer->records[0].target, "_sip._udp.example.com"));
}

static void nothing_lasts_as_long_as_its_soa_says(void **state)
{
    static const char soa[] = "\2ns\xc0\x0c\1a\xc0\x0c\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0";
    struct message m = {.len = 0};

    (void)state;
    for (char rcode = 0; rcode <= 3;
         rcode = (char)(rcode + 3)) { /* no such records; no such name */
        char data[sizeof soa];
        memcpy(data, soa, sizeof soa - 1);
        data[sizeof soa - 1] = 7; /* the minimum: less than the TTL */
        begin(&m, rcode, 1);
        record(&m, 1, HERE, 2, 6, "\0\0\0\x3c", data, sizeof data);
        assert_int_equal(DNS_NOTHING, parse(&m, DNS_A)->status);
        assert_int_equal(7, parsed.answer.ttl_s);
    }
    begin(&m, 0, 1);
    assert_int_equal(DNS_NOTHING, parse(&m, DNS_A)->status);
    assert_int_equal(0, parsed.answer.ttl_s);
}

static void what_is_broken_or_an_error_has_failed(void **state)
{
    struct message m = {.len = 0};

    (void)state;
    for (char rcode = 1; rcode <= 5; rcode++) {
        begin(&m, rcode, 1);
        assert_int_equal(rcode == 3 ? DNS_NOTHING : DNS_FAILED, parse(&m, DNS_A)->status);
    }
    begin(&m, 0, 1);
    RR(&m, 0, HERE, 1, "\0\0\0\x3c", "\xc0\0\2"); /* too short for an address */
    assert_int_equal(DNS_FAILED, parse(&m, DNS_A)->status);
    begin(&m, 0, 33);
    RR(&m, 0, HERE, 33, "\0\0\0\x3c", "\0\1\0\2\x13\xc4\2gw\xc0\x0cx"); /* more than its name */
    assert_int_equal(DNS_FAILED, parse(&m, DNS_SRV)->status);
    begin(&m, 0, 35);
    RR(&m, 0, HERE, 35, "\0\0\0\x3c", "\0\1\0\2\x7fs"); /* a string past the end */
    assert_int_equal(DNS_FAILED, parse(&m, DNS_NAPTR)->status);
    assert_int_equal(0, parsed.answer.count);
    begin(&m, 0, 5);
    RR(&m, 0, HERE, 5, "\0\0\0\x3c", "\xc0\x29"); /* an alias that points to itself */
    assert_int_equal(DNS_FAILED, parse(&m, DNS_A)->status);

    begin(&m, 0, 1);
    RR(&m, 0, HERE, 1, "\0\0\0\x3c", "\xc0\0\2\1");
    for (size_t len = m.len - 1; len > 0; len--) {
        dns_parse((struct slice){m.bytes, len}, DNS_A, "example.com", &parsed);
        assert_int_equal(DNS_FAILED, parsed.answer.status);
    }
}

static void only_so_many_records_are_taken(void **state)
{
    struct message m = {.len = 0};

    (void)state;
    begin(&m, 0, 1);
    for (unsigned i = 0; i <= DNS_RECORDS_MAX; i++)
        RR(&m, 0, HERE, 1, "\0\0\0\x3c", "\xc0\0\2\1");
    assert_int_equal(DNS_RECORDS_MAX, parse(&m, DNS_A)->count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_the_least_ttl_are_read),
        cmocka_unit_test(aliases_are_followed),
        cmocka_unit_test(services_are_read),
        cmocka_unit_test(nothing_lasts_as_long_as_its_soa_says),
        cmocka_unit_test(what_is_broken_or_an_error_has_failed),
        cmocka_unit_test(only_so_many_records_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
