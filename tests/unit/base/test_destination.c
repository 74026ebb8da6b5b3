/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations: read, written the same, and told what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/destination.h"

static void destinations_are_read_and_written_the_same(void **state)
{
    static const struct {
        const char *text;
        enum destination_kind kind;
        const char *name;
        unsigned reply;
    } cases[] = {
        {"user:alice", DESTINATION_USER, "alice", 0},
        {"user:a.b~c+d-e_f", DESTINATION_USER, "a.b~c+d-e_f", 0},
        {"department:oakland-sales", DESTINATION_DEPARTMENT, "oakland-sales", 0},
        {"location:oakland", DESTINATION_LOCATION, "oakland", 0},
        {"location:nearest", DESTINATION_NEAREST, "", 0},
        {"number:+15105550101", DESTINATION_NUMBER, "+15105550101", 0},
        {"trunk:carrier-a", DESTINATION_TRUNK, "carrier-a", 0},
        {"sip:ivr@192.0.2.5:5080;transport=tcp", DESTINATION_URI,
         "sip:ivr@192.0.2.5:5080;transport=tcp", 0},
        {"sips:ivr@example.com", DESTINATION_URI, "sips:ivr@example.com", 0},
        {"sip:[2001:db8::1]", DESTINATION_URI, "sip:[2001:db8::1]", 0},
        {"reply:300", DESTINATION_REPLY, "", 300},
        {"reply:699", DESTINATION_REPLY, "", 699},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct destination_problem problem = {0};
        struct destination got = {0}, again = {0};
        char text[300];
        struct builder b = builder_over(text, sizeof text);
        if (destination_parse(slice_of(cases[i].text), &got, &problem) != OK)
            fail_msg("%s: %s", cases[i].text, problem.what);
        assert_int_equal(cases[i].kind, got.kind);
        assert_int_equal(cases[i].reply, got.reply);
        assert_true(slice_equal(slice_of(cases[i].name), got.name));
        destination_write(&b, &got);
        assert_true(slice_equal(slice_of(cases[i].text), builder_slice(&b)));
        assert_int_equal(OK, destination_parse(builder_slice(&b), &again, &problem));
        assert_true(destination_equal(&got, &again));
        again.reply++;
        assert_false(destination_equal(&got, &again));
    }
}

static void what_is_none_is_told(void **state)
{
    static const struct {
        const char *text, *what, *nearest;
    } cases[] = {
        {"", "is not a destination", ""},
        {"alice", "is not a destination", ""},
        {"user", "is not a destination", "user"},
        {"usr:alice", "is not a destination", "user"},
        {"User:alice", "is not a destination", "user"},
        {"departement:sales", "is not a destination", "department"},
        {"queue:sales", "is not a destination", ""},
        {":", "is not a destination", ""},
        {"user:", "has no name", ""},
        {"user:a b", "has no name", ""},
        {"trunk:a/b", "has no name", ""},
        {"location:", "has no name", ""},
        {"number:", "is not a number", ""},
        {"number:15105550101", "is not a number", ""},
        {"number:+0510", "is not a number", ""},
        {"number:+1510x", "is not a number", ""},
        {"number:+15105550101234567", "is not a number", ""},
        {"reply:", "is not a reply", ""},
        {"reply:200", "is not a reply", ""},
        {"reply:700", "is not a reply", ""},
        {"reply:48", "is not a reply", ""},
        {"reply:4800", "is not a reply", ""},
        {"reply:4x0", "is not a reply", ""},
        {"reply:x80", "is not a reply", ""},
        {"sip:", "is not a SIP URI", ""},
        {"sip:a@", "is not a SIP URI", ""},
        {"sip:a b@example.com", "is not a SIP URI", ""},
        {"sip:<a@example.com>", "is not a SIP URI", ""},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct destination_problem problem = {0};
        struct destination got = {.reply = 7};
        assert_int_equal(ERR_SYNTAX, destination_parse(slice_of(cases[i].text), &got, &problem));
        assert_int_equal(7, got.reply); /* nothing is written */
        if (strstr(problem.what, cases[i].what) == NULL ||
            !slice_equal(problem.nearest, slice_of(cases[i].nearest)))
            fail_msg("\"%s\": %s, nearest \"%.*s\"", cases[i].text, problem.what,
                     SLICE_ARG(problem.nearest));
    }
}

static void names_and_uris_have_their_limits(void **state)
{
    struct destination_problem problem;
    struct destination got;
    char text[300] = "user:";
    (void)state;

    memset(text + 5, 'a', sizeof text - 5);
    assert_int_equal(
        OK, destination_parse((struct slice){text, 5 + DESTINATION_NAME_MAX}, &got, &problem));
    assert_int_equal(ERR_SYNTAX, destination_parse((struct slice){text, 6 + DESTINATION_NAME_MAX},
                                                   &got, &problem));
    memcpy(text, "sip:a@", 6);
    assert_int_equal(OK,
                     destination_parse((struct slice){text, DESTINATION_URI_MAX}, &got, &problem));
    assert_int_equal(ERR_SYNTAX, destination_parse((struct slice){text, DESTINATION_URI_MAX + 1},
                                                   &got, &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(destinations_are_read_and_written_the_same),
        cmocka_unit_test(what_is_none_is_told),
        cmocka_unit_test(names_and_uris_have_their_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
