/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/policy.h"

static const struct slice our_domains[] = {{"Example.COM", 11}, {"pbx.example.net.", 16}};

static struct policy *build(const struct user *users, size_t count)
{
    const struct policy_source source = {users, count, our_domains, COUNT_OF(our_domains), 42};
    struct policy_error error;
    struct policy *policy = NULL;
    assert_int_equal(OK, policy_build(&source, &error, &policy));
    return policy;
}

static struct user user(const char *name, const char *extension, const char *number)
{
    return (struct user){.name = slice_of(name),
                         .extension = slice_of(extension),
                         .caller_number = slice_of(number)};
}

static void users_are_found_by_name_extension_and_number(void **state)
{
    (void)state;
    struct user users[] = {user("alice", "101", "+15105550101"), user("bob", "102", ""),
                           user("Alice", "", "+15105550101")};
    users[1].disabled = true;
    users[1].digests[1][3] = 7;
    struct policy *policy = build(users, COUNT_OF(users));

    assert_int_equal(3, policy_user_count(policy));
    assert_ptr_equal(policy_user_at(policy, 0), policy_user_by_name(policy, SLICE("alice")));
    assert_ptr_equal(policy_user_at(policy, 2), policy_user_by_name(policy, SLICE("Alice")));
    assert_ptr_equal(policy_user_at(policy, 1), policy_user_by_extension(policy, SLICE("102")));
    assert_ptr_equal(policy_user_at(policy, 0),
                     policy_user_by_number(policy, SLICE("+15105550101")));
    assert_true(policy_user_at(policy, 1)->disabled);
    assert_int_equal(7, policy_user_at(policy, 1)->digests[1][3]);

    assert_null(policy_user_by_name(policy, SLICE("ALICE")));
    assert_null(policy_user_by_name(policy, SLICE("101")));
    assert_null(policy_user_by_name(policy, SLICE_EMPTY));
    assert_null(policy_user_by_extension(policy, SLICE_EMPTY));
    assert_null(policy_user_by_number(policy, SLICE("15105550101")));
    policy_free(policy);
}

static void nothing_is_borrowed_from_the_source(void **state)
{
    (void)state;
    char text[] = "alice101+1510A. L.a@xadminrealm";
    struct user users[] = {{.name = {text, 5},
                            .extension = {text + 5, 3},
                            .caller_number = {text + 8, 5},
                            .display_name = {text + 13, 5},
                            .email = {text + 18, 3},
                            .role = {text + 21, 5},
                            .realm = {text + 26, 5}}};
    struct policy *policy = build(users, 1);
    memset(text, '?', sizeof text);
    memset(users, 0, sizeof users);

    const struct user *found = policy_user_by_name(policy, SLICE("alice"));
    assert_non_null(found);
    assert_ptr_equal(found, policy_user_by_extension(policy, SLICE("101")));
    assert_ptr_equal(found, policy_user_by_number(policy, SLICE("+1510")));
    assert_true(slice_equal(SLICE("A. L."), found->display_name));
    assert_true(slice_equal(SLICE("a@x"), found->email));
    assert_true(slice_equal(SLICE("admin"), found->role));
    assert_true(slice_equal(SLICE("realm"), found->realm));
    policy_free(policy);
}

static void domains_are_ours_without_case_and_trailing_dot(void **state)
{
    (void)state;
    char longest[POLICY_DOMAIN_LENGTH_MAX + 1];
    memset(longest, 'a', sizeof longest);
    const struct {
        const char *why;
        struct slice host;
        bool ours;
    } cases[] = {
        {"as written", SLICE("Example.COM"), true},
        {"other case", SLICE("eXAMPLE.com"), true},
        {"trailing dot", SLICE("example.com."), true},
        {"two dots", SLICE("example.com.."), false},
        {"written with a dot in the configuration", SLICE("pbx.example.net"), true},
        {"a host inside ours", SLICE("sip.example.com"), false},
        {"a part of ours", SLICE("example.co"), false},
        {"empty", SLICE(""), false},
        {"only a dot", SLICE("."), false},
        {"longest", {longest, POLICY_DOMAIN_LENGTH_MAX}, false},
        {"too long", {longest, POLICY_DOMAIN_LENGTH_MAX + 1}, false},
    };
    struct policy *policy = build(NULL, 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (policy_is_our_domain(policy, cases[i].host) != cases[i].ours)
            fail_msg("%s", cases[i].why);
    assert_int_equal(2, policy_domain_count(policy));
    assert_true(slice_equal(SLICE("example.com"), policy_domain_at(policy, 0)));
    assert_true(slice_equal(SLICE("pbx.example.net"), policy_domain_at(policy, 1)));
    assert_int_equal(0, policy_user_count(policy));
    policy_free(policy);
}

static void a_conflict_names_both_sides(void **state)
{
    (void)state;
    static char long_name[USER_NAME_MAX + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    const struct {
        const char *why;
        struct user users[3];
        enum policy_problem problem;
        size_t index, other;
    } cases[] = {
        {"name twice",
         {user("a", "", ""), user("b", "", ""), user("a", "", "")},
         POLICY_NAME_TWICE,
         2,
         0},
        {"extension twice",
         {user("a", "", ""), user("b", "1", ""), user("c", "1", "")},
         POLICY_EXTENSION_TWICE,
         2,
         1},
        {"extension is a later one's name",
         {user("a", "7", ""), user("b", "", ""), user("7", "", "")},
         POLICY_EXTENSION_IS_NAME,
         0,
         2},
        {"no name",
         {user("a", "", ""), user("", "", ""), user("c", "", "")},
         POLICY_NAME_LENGTH,
         1,
         1},
        {"name too long",
         {user(long_name, "", ""), user("b", "", ""), user("c", "", "")},
         POLICY_NAME_LENGTH,
         0,
         0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct policy_source source = {cases[i].users, 3, our_domains, 1, i};
        struct policy_error error = {0};
        struct policy *policy = NULL;
        assert_int_equal(ERR_CONFLICT, policy_build(&source, &error, &policy));
        assert_null(policy);
        if (error.problem != cases[i].problem || error.index != cases[i].index ||
            error.other != cases[i].other)
            fail_msg("%s: problem %d, %zu and %zu", cases[i].why, (int)error.problem, error.index,
                     error.other);
    }
}

static void the_longest_name_and_an_extension_like_ones_own_name_are_fine(void **state)
{
    (void)state;
    static char long_name[USER_NAME_MAX + 1];
    memset(long_name, 'n', sizeof long_name - 1);
    struct user users[] = {user(long_name, "", ""), user("101", "101", "")};
    struct policy *policy = build(users, COUNT_OF(users));
    assert_non_null(policy_user_by_name(policy, slice_of(long_name)));
    assert_ptr_equal(policy_user_at(policy, 1), policy_user_by_extension(policy, SLICE("101")));
    policy_free(policy);
}

static void domains_are_checked(void **state)
{
    (void)state;
    char longest[POLICY_DOMAIN_LENGTH_MAX + 1];
    memset(longest, 'a', sizeof longest);
    const struct {
        const char *why;
        struct slice domains[2];
        size_t count;
        enum err err;
        enum policy_problem problem;
    } cases[] = {
        {"none", {SLICE_EMPTY, SLICE_EMPTY}, 0, ERR_FULL, 0},
        {"too many", {SLICE_EMPTY, SLICE_EMPTY}, POLICY_DOMAINS_MAX + 1, ERR_FULL, 0},
        {"twice", {SLICE("a.b"), SLICE("A.B.")}, 2, ERR_CONFLICT, POLICY_DOMAIN_TWICE},
        {"empty", {SLICE("a.b"), SLICE(".")}, 2, ERR_CONFLICT, POLICY_DOMAIN_LENGTH},
        {"longest", {{longest, sizeof longest - 1}, SLICE("b")}, 2, OK, 0},
        {"too long",
         {{longest, sizeof longest}, SLICE("b")},
         2,
         ERR_CONFLICT,
         POLICY_DOMAIN_LENGTH},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct policy_source source = {NULL, 0, cases[i].domains, cases[i].count, 1};
        struct policy_error error = {0};
        struct policy *policy = NULL;
        if (policy_build(&source, &error, &policy) != cases[i].err ||
            error.problem != cases[i].problem)
            fail_msg("%s", cases[i].why);
        policy_free(policy);
    }
}

static void more_users_than_the_limit_are_refused(void **state)
{
    (void)state;
    struct user one = user("a", "", "");
    const struct policy_source source = {&one, (size_t)POLICY_USERS_MAX + 1, our_domains, 1, 1};
    struct policy_error error;
    struct policy *policy = NULL;
    assert_int_equal(ERR_FULL, policy_build(&source, &error, &policy));
}

static void each_of_a_hundred_thousand_users_is_found(void **state)
{
    (void)state;
    enum {
        COUNT = 100000,
        TEXT = 16
    };
    struct user *users = calloc(COUNT, sizeof *users);
    char *texts = malloc((size_t)COUNT * 3 * TEXT);
    assert_non_null(users);
    assert_non_null(texts);
    for (size_t i = 0; i < COUNT; i++) {
        char *text = texts + i * 3 * TEXT;
        snprintf(text, TEXT, "user%zu", i);
        snprintf(text + TEXT, TEXT, "%zu", 100000 + i);
        snprintf(text + 2 * TEXT, TEXT, "+1510%zu", 1000000 + i);
        users[i] = user(text, text + TEXT, text + 2 * TEXT);
    }
    struct policy *policy = build(users, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const struct user *expected = policy_user_at(policy, i);
        assert_ptr_equal(expected, policy_user_by_name(policy, users[i].name));
        assert_ptr_equal(expected, policy_user_by_extension(policy, users[i].extension));
        assert_ptr_equal(expected, policy_user_by_number(policy, users[i].caller_number));
    }
    assert_null(policy_user_by_name(policy, SLICE("user100000")));
    policy_free(policy);
    free(texts);
    free(users);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_are_found_by_name_extension_and_number),
        cmocka_unit_test(nothing_is_borrowed_from_the_source),
        cmocka_unit_test(domains_are_ours_without_case_and_trailing_dot),
        cmocka_unit_test(a_conflict_names_both_sides),
        cmocka_unit_test(the_longest_name_and_an_extension_like_ones_own_name_are_fine),
        cmocka_unit_test(domains_are_checked),
        cmocka_unit_test(more_users_than_the_limit_are_refused),
        cmocka_unit_test(each_of_a_hundred_thousand_users_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
