/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "stun/stun.h"

/* A message over exactly its bytes, so that the sanitizer sees every read beyond. */
struct message {
    char *bytes;
    size_t len;
};

static const struct addr v4 = {ADDR_V4, 0, 32853, 0, {192, 0, 2, 1}};
static const struct addr v6 = {ADDR_V6,
                               0,
                               32853,
                               0,
                               {0x20, 0x01, 0x0d, 0xb8, 0x12, 0x34, 0x56, 0x78, 0x00, 0x11, 0x22,
                                0x33, 0x44, 0x55, 0x66, 0x77}};

/* The transaction of RFC 5769 §2. */
#define TRANSACTION        "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
#define HEAD(type, length) type "\x00" length "\x21\x12\xa4\x42" TRANSACTION

static struct slice text(const char *bytes, size_t len)
{
    return (struct slice){bytes, len};
}
#define BYTES(literal) text(literal, sizeof(literal) - 1)

static enum err read(struct slice bytes, struct stun_request *out)
{
    char *copy = test_malloc(bytes.len + 1);
    memcpy(copy, bytes.data, bytes.len);
    enum err err = stun_read((struct slice){copy, bytes.len}, out);
    test_free(copy);
    return err;
}

static void the_check_value_of_the_crc(void **state)
{
    (void)state;
    assert_int_equal(0xcbf43926, stun_crc32(SLICE("123456789")));
}

/* RFC 5769 §2.2 and §2.3, without what is signed: address and port, XORed. */
static void the_published_addresses(void **state)
{
    struct stun_request request;
    char room[STUN_ANSWER_MAX];
    struct builder b = builder_over(room, sizeof room);

    (void)state;
    assert_int_equal(OK, read(BYTES(HEAD("\x00\x01", "\x00")), &request));
    assert_int_equal(STUN_BINDING_REQUEST, request.kind);
    assert_int_equal(OK, stun_answer(&request, &v4, &b));
    struct slice wanted = BYTES(HEAD("\x01\x01", "\x0c") "\x00\x20\x00\x08\x00\x01\xa1\x47"
                                                         "\xe1\x12\xa6\x43");
    assert_int_equal(wanted.len, b.len);
    assert_memory_equal(wanted.data, room, wanted.len);

    b = builder_over(room, sizeof room);
    assert_int_equal(OK, stun_answer(&request, &v6, &b));
    wanted = BYTES(HEAD("\x01\x01", "\x18") "\x00\x20\x00\x14\x00\x02\xa1\x47"
                                            "\x01\x13\xa9\xfa\xa5\xd3\xf1\x79"
                                            "\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9");
    assert_int_equal(wanted.len, b.len);
    assert_memory_equal(wanted.data, room, wanted.len);
}

/* The sample request of RFC 5769 §2.1, byte for byte: software, priority (which belongs to ICE, so
 * we do not know it), a tie-breaker, a user name, an integrity, a fingerprint that is right. */
static const char sample[] = "\x00\x01\x00\x58\x21\x12\xa4\x42" TRANSACTION
                             "\x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff"
                             "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
                             "\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
                             "\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5"
                             "\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2"
                             "\x80\x28\x00\x04\xe5\x7a\x3b\xcf";

static void the_published_request_is_read(void **state)
{
    struct stun_request request;
    char room[STUN_ANSWER_MAX];
    struct builder b = builder_over(room, sizeof room);

    (void)state;
    assert_int_equal(OK, read(BYTES(sample), &request));
    assert_true(request.fingerprint);
    assert_int_equal(1, request.unknown_count); /* PRIORITY */
    assert_int_equal(0x0024, request.unknown[0]);
    assert_int_equal(OK, stun_answer(&request, &v4, &b));
    struct slice wanted = BYTES(HEAD("\x01\x11", "\x2c") "\x00\x09\x00\x15\x00\x00\x04\x14"
                                                         "Unknown Attribute\x00\x00\x00"
                                                         "\x00\x0a\x00\x02\x00\x24\x00\x00"
                                                         "\x80\x28\x00\x04");
    assert_int_equal(wanted.len + 4, b.len);
    assert_memory_equal(wanted.data, room, wanted.len);
}

static void one_changed_bit_breaks_the_fingerprint(void **state)
{
    struct stun_request request;
    char copy[sizeof sample - 1];

    (void)state;
    for (size_t bit = 0; bit < sizeof copy * 8; bit++) {
        memcpy(copy, sample, sizeof copy);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (read(text(copy, sizeof copy), &request) == OK) /* it has become another attribute */
            assert_false(request.fingerprint);
    }
}

/* What we answer with a fingerprint is sound by our own rules, but for being an answer. */
static void the_answer_has_a_fingerprint_if_the_request_has(void **state)
{
    struct stun_request request;
    char room[STUN_ANSWER_MAX];
    struct builder b = builder_over(room, sizeof room);

    (void)state;
    assert_int_equal(OK, read(BYTES(HEAD("\x00\x01", "\x00")), &request));
    request.fingerprint = true;
    assert_int_equal(OK, stun_answer(&request, &v6, &b));
    assert_int_equal(ERR_NOT_FOUND, read(builder_slice(&b), &request));
    room[b.len - 1] ^= 1;
    assert_int_equal(ERR_SYNTAX, read(builder_slice(&b), &request));
    room[b.len - 1] ^= 1;
    room[25] ^= 1;
    assert_int_equal(ERR_SYNTAX, read(builder_slice(&b), &request));
}

static void what_is_not_sound_is_not_read(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum err err;
        const char *why;
    } cases[] = {
#define CASE(literal, err, why) {literal, sizeof(literal) - 1, err, why}
        CASE(HEAD("\x00\x11", "\x00"), OK, "an indication"),
        CASE(HEAD("\x00\x02", "\x00"), ERR_NOT_FOUND, "another method"),
        CASE(HEAD("\x01\x01", "\x00"), ERR_NOT_FOUND, "a response"),
        CASE("", ERR_SYNTAX, "nothing"),
        CASE("\x00\x01\x00\x00\x21\x12\xa4\x42", ERR_SYNTAX, "cut in the header"),
        CASE("\x40\x01\x00\x00\x21\x12\xa4\x42" TRANSACTION, ERR_SYNTAX, "the first bits"),
        CASE("\x00\x01\x00\x00\x21\x12\xa4\x43" TRANSACTION, ERR_SYNTAX, "the cookie of RFC 3489"),
        CASE(HEAD("\x00\x01", "\x04"), ERR_SYNTAX, "less than it says"),
        CASE(HEAD("\x00\x01", "\x00") "\x80\x22\x00\x00", ERR_SYNTAX, "more than it says"),
        CASE(HEAD("\x00\x01", "\x02") "\x80\x22", ERR_SYNTAX, "no multiple of four"),
        CASE(HEAD("\x00\x01", "\x04") "\x80\x22\x00\x00", OK, "an empty attribute"),
        CASE(HEAD("\x00\x01", "\x04") "\x80\x22\x00\x01", ERR_SYNTAX, "an attribute too long"),
        CASE(HEAD("\x00\x01", "\x08") "\x80\x22\x00\x05zzzz", ERR_SYNTAX, "its padding is missing"),
        CASE(HEAD("\x00\x01", "\x08") "\x80\x22\xff\xffzzzz", ERR_SYNTAX, "the longest length"),
        CASE(HEAD("\x00\x01", "\x08") "\x80\x28\x00\x04zzzz", ERR_SYNTAX, "a wrong fingerprint"),
        CASE(HEAD("\x00\x01", "\x04") "\x80\x28\x00\x00", ERR_SYNTAX, "an empty fingerprint"),
#undef CASE
    };
    struct stun_request request;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (read(text(cases[i].bytes, cases[i].len), &request) != cases[i].err)
            fail_msg("%s", cases[i].why);
}

/* At the limit of unknown attributes, and past it: named once each, as many as there is room for.
 */
static void unknown_attributes_are_named(void **state)
{
    char bytes[20 + 4 * (STUN_UNKNOWN_MAX + 2)] = HEAD("\x00\x01", "\x00");
    struct stun_request request;
    char room[STUN_ANSWER_MAX];

    (void)state;
    for (unsigned count = STUN_UNKNOWN_MAX; count <= STUN_UNKNOWN_MAX + 1; count++) {
        for (unsigned i = 0; i < count; i++)
            memcpy(bytes + 20 + 4 * i, (char[4]){0x70, (char)i, 0, 0}, 4);
        memcpy(bytes + 20 + 4 * count, (char[4]){0x70, 0, 0, 0}, 4); /* a second time */
        bytes[3] = (char)(4 * (count + 1));
        assert_int_equal(OK, read(text(bytes, 24 + 4 * count), &request));
        assert_int_equal(STUN_UNKNOWN_MAX, request.unknown_count);
        struct builder b = builder_over(room, sizeof room);
        request.fingerprint = true;
        assert_int_equal(OK, stun_answer(&request, &v6, &b));
        b = builder_over(room, 40);
        assert_int_equal(ERR_TOO_BIG, stun_answer(&request, &v6, &b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value_of_the_crc),
        cmocka_unit_test(the_published_addresses),
        cmocka_unit_test(the_published_request_is_read),
        cmocka_unit_test(one_changed_bit_breaks_the_fingerprint),
        cmocka_unit_test(the_answer_has_a_fingerprint_if_the_request_has),
        cmocka_unit_test(what_is_not_sound_is_not_read),
        cmocka_unit_test(unknown_attributes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
