/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/addr.h"
#include "base/rng.h"

static void a_numeric_address_is_read_strictly_and_written_canonically(void **state)
{
    (void)state;
    static const struct {
        const char *why, *text, *written; /* NULL: refused */
    } cases[] = {
        {"plain", "192.0.2.1", "192.0.2.1"},
        {"extremes", "0.0.0.0", "0.0.0.0"},
        {"255 is the largest", "255.255.255.255", "255.255.255.255"},
        {"256 is too large", "256.0.0.1", NULL},
        {"a leading zero may mean octal", "192.0.2.01", NULL},
        {"four digits", "1000.0.0.1", NULL},
        {"three parts", "192.0.2", NULL},
        {"five parts", "192.0.2.1.1", NULL},
        {"trailing dot", "192.0.2.1.", NULL},
        {"space", " 192.0.2.1", NULL},
        {"in brackets", "[192.0.2.1]", NULL},
        {"empty", "", NULL},
        {"a name", "example.com", NULL},
        {"IPv6", "2001:db8::1", "[2001:db8::1]"},
        {"in brackets", "[2001:DB8::1]", "[2001:db8::1]"},
        {"one bracket", "[2001:db8::1", NULL},
        {"empty brackets", "[]", NULL},
        {"any", "::", "[::]"},
        {"loopback", "::1", "[::1]"},
        {"whole", "1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]"},
        {"nine groups", "1:2:3:4:5:6:7:8:9", NULL},
        {"seven groups", "1:2:3:4:5:6:7", NULL},
        {":: for one group", "1:2:3::5:6:7:8", "[1:2:3:0:5:6:7:8]"},
        {":: for none", "1:2:3:4::5:6:7:8", NULL},
        {"two ::", "1::2::3", NULL},
        {"three colons (RFC 5118 §4.10)", "2001:db8:::192.0.2.1", NULL},
        {"IPv4 at the end", "2001:db8::192.0.2.1", "[2001:db8::c000:201]"},
        {"IPv4 in the middle", "1:192.0.2.1:1::", NULL},
        {"IPv4 after seven groups", "1:2:3:4:5:6:7:192.0.2.1", NULL},
        {"IPv4 after six groups", "1:2:3:4:5:6:1.2.3.4", "[1:2:3:4:5:6:102:304]"},
        {"mapped", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]"},
        {"five digits", "12345::", NULL},
        {"trailing colon", "1:2:3:4:5:6:7:", NULL},
        {"leading colon", ":1:2:3:4:5:6:7", NULL},
        {"zone", "fe80::1%eth0", NULL},
        {"the first of two equal runs", "1:0:0:2:0:0:3:4", "[1::2:0:0:3:4]"},
        {"the longer run", "1:0:0:2:0:0:0:4", "[1:0:0:2::4]"},
        {"zeros at the end", "1:2:3:4:5:6:0:0", "[1:2:3:4:5:6::]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr addr;
        char text[80];
        struct builder b = builder_over(text, sizeof text - 1);
        enum err err = addr_parse(slice_of(cases[i].text), 5060, &addr);
        if (cases[i].written == NULL) {
            if (err != ERR_SYNTAX)
                fail_msg("%s: %s was taken", cases[i].why, cases[i].text);
            continue;
        }
        if (err != OK)
            fail_msg("%s: %s was refused", cases[i].why, cases[i].text);
        addr_write_host(&b, &addr);
        text[b.len] = '\0';
        assert_string_equal(cases[i].written, text);
        assert_int_equal(5060, addr.port);
    }
}

/* glibc's own reader and writer agree with ours on random addresses. */
static void random_addresses_read_and_write_as_the_system_does(void **state)
{
    (void)state;
    struct rng rng;

    rng_seed(&rng, 3);
    for (int i = 0; i < 20000; i++) {
        unsigned char raw[16] = {0};
        char theirs[INET6_ADDRSTRLEN];
        char ours[ADDR_TEXT_MAX];
        struct addr addr = {.family = ADDR_V6, .port = 1};

        raw[0] = 0x20; /* keeps off the old ::a.b.c.d form, which only glibc writes */
        for (int n = 1; n < 16; n++)
            raw[n] = rng_below(&rng, 2) == 0 ? (unsigned char)rng_u64(&rng) : 0;
        memcpy(addr.bytes, raw, 16);
        assert_non_null(inet_ntop(AF_INET6, raw, theirs, sizeof theirs));
        addr_text(&addr, ours);
        assert_int_equal(strlen(theirs), strlen(ours) - 4); /* [ ] : 1 */
        assert_memory_equal(theirs, ours + 1, strlen(theirs));

        struct addr back;
        assert_int_equal(OK, addr_parse(slice_of(theirs), 1, &back));
        assert_true(addr_equal(&addr, &back));
    }
}

static void random_texts_are_refused_and_taken_as_the_system_does(void **state)
{
    (void)state;
    static const char letters[] = "0123456789af::::..";
    struct rng rng;
    unsigned taken = 0;

    rng_seed(&rng, 4);
    for (int i = 0; i < 300000; i++) {
        char text[24];
        unsigned char raw[16];
        struct addr addr;
        size_t len = rng_below(&rng, 12) + 1;
        for (size_t n = 0; n < len; n++)
            text[n] = letters[rng_below(&rng, sizeof letters - 1)];
        text[len] = '\0';
        bool theirs = inet_pton(AF_INET6, text, raw) == 1;
        bool ours = addr_parse(slice_of(text), 0, &addr) == OK && addr.family == ADDR_V6;
        if (theirs != ours)
            fail_msg("%s: %d %d", text, theirs, ours);
        if (ours)
            assert_memory_equal(raw, addr.bytes, 16);
        taken += ours;
    }
    assert_true(taken > 1000);
}

static void the_port_is_mandatory_and_within_its_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"192.0.2.1:5060", true},
        {"192.0.2.1:1", true},
        {"192.0.2.1:65535", true},
        {"192.0.2.1:65536", false},
        {"192.0.2.1:0", false},
        {"192.0.2.1", false},
        {"192.0.2.1:", false},
        {"192.0.2.1:+1", false},
        {"[::1]:5060", true},
        {"::1:5060", false},
        {"[::1]", false},
        {"[::1]:x", false},
        {":5060", false},
        {"192.0.2.1:005060", false},
        {"", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr addr;
        enum err err = addr_parse_with_port(slice_of(cases[i].text), &addr);
        if ((err == OK) != cases[i].ok)
            fail_msg("%s", cases[i].text);
        char text[ADDR_TEXT_MAX];
        if (err == OK)
            assert_string_equal(cases[i].text, addr_text(&addr, text));
    }
}

static struct addr parsed(const char *text)
{
    struct addr addr;
    assert_int_equal(OK, addr_parse(slice_of(text), 0, &addr));
    return addr;
}

static void special_addresses_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback, any, private;
    } cases[] = {
        {"127.0.0.1", true, false, false},
        {"127.255.255.255", true, false, false},
        {"128.0.0.1", false, false, false},
        {"::1", true, false, false},
        {"::2", false, false, false},
        {"::ffff:127.0.0.1", true, false, false},
        {"0.0.0.0", false, true, false},
        {"::", false, true, false},
        {"10.1.2.3", false, false, true},
        {"11.0.0.0", false, false, false},
        {"172.15.255.255", false, false, false},
        {"172.16.0.0", false, false, true},
        {"172.31.255.255", false, false, true},
        {"172.32.0.0", false, false, false},
        {"192.168.0.1", false, false, true},
        {"192.169.0.1", false, false, false},
        {"100.64.0.0", false, false, true},
        {"100.128.0.0", false, false, false},
        {"169.254.1.1", false, false, true},
        {"fc00::1", false, false, true},
        {"fdff::1", false, false, true},
        {"fe00::1", false, false, false},
        {"fe80::1", false, false, true},
        {"febf::1", false, false, true},
        {"fec0::1", false, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr addr = parsed(cases[i].text);
        if (addr_is_loopback(&addr) != cases[i].loopback || addr_is_any(&addr) != cases[i].any ||
            addr_is_private(&addr) != cases[i].private)
            fail_msg("%s", cases[i].text);
    }
}

static void what_one_host_may_have_is_known(void **state)
{
    static const struct {
        const char *text;
        bool unicast;
    } cases[] = {
        {"192.0.2.1", true},
        {"127.0.0.1", true},
        {"0.0.0.0", false},
        {"0.1.2.3", false},
        {"223.255.255.255", true},
        {"224.0.0.1", false},
        {"240.0.0.1", false},
        {"255.255.255.255", false},
        {"2001:db8::1", true},
        {"::1", true},
        {"::", false},
        {"ff02::1", false},
        {"::ffff:192.0.2.1", false},
        {"fe80::1", false},
        {"fec0::1", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr addr = parsed(cases[i].text);
        addr.port = 5060;
        if (addr_is_unicast(&addr) != cases[i].unicast)
            fail_msg("%s", cases[i].text);
        addr.port = 0;
        assert_false(addr_is_unicast(&addr));
    }
    struct addr link = parsed("fe80::1");
    link.port = 5060;
    link.scope = 2;
    assert_true(addr_is_unicast(&link));
}

static void a_network_contains_what_its_prefix_says(void **state)
{
    (void)state;
    static const struct {
        const char *net, *inside, *outside;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
        {"192.0.2.77/24", "192.0.2.0", "192.0.1.255"}, /* the rest is ignored */
        {"192.0.2.1", "192.0.2.1", "192.0.2.0"},
        {"0.0.0.0/0", "8.8.8.8", "::1"},
        {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
        {"2001:db8::/32", "2001:db8:ffff::", "2001:db9::"},
        {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
        {"[2001:db8::1]", "2001:db8::1", "2001:db8::2"},
        {"::/0", "::1", "127.0.0.1"},
    };
    static const char *const bad[] = {
        "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/024", "/24", "192.0.2.0/24 "};
    struct addr_net net;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr inside = parsed(cases[i].inside);
        struct addr outside = parsed(cases[i].outside);
        assert_int_equal(OK, addr_net_parse(slice_of(cases[i].net), &net));
        if (!addr_net_contains(&net, &inside) || addr_net_contains(&net, &outside))
            fail_msg("%s", cases[i].net);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (addr_net_parse(slice_of(bad[i]), &net) != ERR_SYNTAX)
            fail_msg("%s", bad[i]);
}

static void the_host_is_compared_without_the_port(void **state)
{
    (void)state;
    struct addr a = parsed("192.0.2.1");
    struct addr b = a;
    char text[ADDR_TEXT_MAX];

    b.port = 5060;
    assert_true(addr_same_host(&a, &b));
    assert_false(addr_equal(&a, &b));
    b.bytes[3]++;
    assert_false(addr_same_host(&a, &b));
    assert_string_equal("-", addr_text(&(struct addr){0}, text));
}

static void who_has_an_ipv6_address_has_its_64(void **state)
{
    static const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
        {"::1", "::"},
        {"fe80::1", "fe80::1"},
        {"febf::1", "febf::1"},
        {"fec0::1", "fec0::"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct addr a = parsed(cases[i][0]), wanted = parsed(cases[i][1]);
        a.port = 5060;
        wanted.port = 0;
        struct addr source = addr_source(&a);
        if (!addr_equal(&wanted, &source))
            fail_msg("%s", cases[i][0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_numeric_address_is_read_strictly_and_written_canonically),
        cmocka_unit_test(random_addresses_read_and_write_as_the_system_does),
        cmocka_unit_test(random_texts_are_refused_and_taken_as_the_system_does),
        cmocka_unit_test(the_port_is_mandatory_and_within_its_range),
        cmocka_unit_test(special_addresses_are_known),
        cmocka_unit_test(what_one_host_may_have_is_known),
        cmocka_unit_test(a_network_contains_what_its_prefix_says),
        cmocka_unit_test(the_host_is_compared_without_the_port),
        cmocka_unit_test(who_has_an_ipv6_address_has_its_64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
