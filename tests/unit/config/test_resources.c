/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users as `apply` takes them and `export` gives them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/resources.h"

enum {
    TEXT_MAX = 65536,
    USERS = 16
};

/* Any function of all that a digest depends on will do here. */
static void digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES])
{
    unsigned sum = (unsigned)algorithm;
    const struct slice parts[] = {name, realm, password};

    (void)user;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        for (size_t j = 0; j < parts[i].len; j++)
            sum = sum * 31 + (unsigned char)parts[i].data[j];
    for (size_t i = 0; i < (algorithm == 1 ? 16U : 32U); i++) {
        sum = sum * 1103515245 + 12345;
        out[i] = (uint8_t)(sum >> 16);
    }
}

static const struct resources_options options = {
    .realm = {"example.com", 11}, .digest = digest, .prune_users = false};

static const char *all_errors(const struct config_errors *errors)
{
    static char text[TEXT_MAX];
    struct builder b = builder_over(text, sizeof text - 1);

    for (size_t i = 0; i < errors->count; i++) {
        config_error_write(&errors->items[i], &b);
        builder_char(&b, '\n');
    }
    text[b.len] = '\0';
    return text;
}

static struct resources *parse(const char *text)
{
    struct config_errors errors = {0};
    struct resources *resources = NULL;
    const struct resources_source source = {"u.yaml", slice_of(text)};

    if (resources_parse(&source, 1, &errors, &resources) != OK)
        fail_msg("%s", all_errors(&errors));
    assert_int_equal(0, errors.count);
    config_errors_release(&errors);
    return resources;
}

static struct resources_plan *plan(const struct resources *resources, const struct user *stored,
                                   size_t count)
{
    struct config_errors errors = {0};
    struct resources_plan *made = NULL;

    if (resources_plan(resources, stored, count, &options, &errors, &made) != OK)
        fail_msg("%s", all_errors(&errors));
    return made;
}

static void assert_slice(const char *expected, struct slice got)
{
    if (!slice_equal(slice_of(expected), got))
        fail_msg("'%s' expected, '%.*s' is there", expected, SLICE_ARG(got));
}

static const char *const example =
    "users:\n"
    "  - {name: alice, password: alice-long-pw, display_name: Alice Liddell, title: Head of "
    "Sales,\n"
    "     extension: 101, caller_number: +15105550101, role: admin, email: a@example.com}\n"
    "  - {name: bob, extension: 102, role: agent, language: [en, fr], do_not_disturb: false,\n"
    "     forward: {busy: user:alice, no_answer: {to: 'user:no', after: 15s}, always: reply:603}}\n"
    "  - {name: no, extension: '*7#', disabled: yes, algorithms: [SHA-256, MD5],\n"
    "     display_name: \"Zo\xc3\xab \\\"Z\\\" \\\\ #1\", password: 007}\n";

static void fields_arrive_as_they_are_written(void **state)
{
    (void)state;
    struct resources *resources = parse(example);
    struct resources_plan *made = plan(resources, NULL, 0);

    assert_int_equal(3, made->count);
    assert_int_equal(3, made->created);
    const struct user *alice = &made->steps[0].user;
    assert_int_equal(RESOURCES_CREATE, made->steps[0].verb);
    assert_slice("alice", alice->name);
    assert_slice("Alice Liddell", alice->display_name);
    assert_slice("Head of Sales", alice->title);
    assert_slice("101", alice->extension);
    assert_slice("+15105550101", alice->caller_number);
    assert_slice("admin", alice->role);
    assert_slice("a@example.com", alice->email);
    assert_slice("example.com", alice->realm);
    assert_true(alice->has_digest);
    assert_string_equal("", made->steps[0].password);
    const struct user *bob = &made->steps[1].user;
    assert_slice("en,fr", bob->languages);
    assert_slice("agent", bob->role);
    assert_false(bob->do_not_disturb);
    assert_slice("user:alice", bob->forward[USER_FORWARD_BUSY]);
    assert_slice("user:no", bob->forward[USER_FORWARD_NO_ANSWER]);
    assert_slice("reply:603", bob->forward[USER_FORWARD_ALWAYS]);
    assert_slice("", bob->forward[USER_FORWARD_UNREGISTERED]);
    assert_int_equal(15000, bob->forward_after_ms);
    const struct user *no = &made->steps[2].user;
    assert_slice("no", no->name);
    assert_slice("*7#", no->extension);
    assert_slice("Zo\xc3\xab \"Z\" \\ #1", no->display_name);
    assert_true(no->disabled);
    assert_int_equal(2, no->algorithms[0]);
    assert_int_equal(1, no->algorithms[1]);
    assert_int_equal(0, no->algorithms[2]);
    uint8_t expected[USER_DIGEST_BYTES] = {0};
    digest(NULL, 2, SLICE("no"), SLICE("example.com"), SLICE("007"), expected);
    assert_memory_equal(expected, no->digests[2], sizeof expected);
    resources_plan_free(made);
    resources_free(resources);
}

static void a_new_user_without_a_password_gets_one(void **state)
{
    (void)state;
    struct resources *resources = parse("users: [{name: bob}, {name: carol}]");
    struct resources_plan *made = plan(resources, NULL, 0);

    for (size_t i = 0; i < 2; i++) {
        struct slice password = slice_of(made->steps[i].password);
        uint8_t expected[USER_DIGEST_BYTES] = {0};
        assert_int_equal(19, password.len);
        digest(NULL, 1, made->steps[i].user.name, SLICE("example.com"), password, expected);
        assert_memory_equal(expected, made->steps[i].user.digests[1], sizeof expected);
    }
    assert_string_not_equal(made->steps[0].password, made->steps[1].password);
    resources_plan_free(made);
    resources_free(resources);
}

/* What a plan leaves in the store. */
static size_t carry_out(const struct resources_plan *made, struct user users[USERS])
{
    size_t count = 0;
    for (size_t i = 0; i < made->count; i++)
        if (made->steps[i].verb != RESOURCES_DELETE)
            users[count++] = made->steps[i].user;
    return count;
}

static void the_same_file_again_changes_nothing(void **state)
{
    (void)state;
    struct user stored[USERS];
    struct resources *resources = parse(example);
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);
    struct resources_plan *second = plan(resources, stored, count);

    assert_int_equal(3, second->left);
    for (size_t i = 0; i < second->count; i++) {
        assert_int_equal(RESOURCES_LEAVE, second->steps[i].verb);
        assert_string_equal("", second->steps[i].password);
    }
    resources_plan_free(second);
    resources_plan_free(first);
    resources_free(resources);
}

static void absent_fields_get_defaults_and_secrets_stay(void **state)
{
    (void)state;
    struct user stored[USERS];
    struct resources *resources = parse(example);
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);
    struct resources *short_form = parse("users: [{name: alice}]");
    struct resources_plan *second = plan(short_form, stored, count);

    assert_int_equal(1, second->count);
    assert_int_equal(RESOURCES_CHANGE, second->steps[0].verb);
    assert_slice("", second->steps[0].user.display_name);
    assert_slice("agent", second->steps[0].user.role);
    assert_memory_equal(stored[0].digests, second->steps[0].user.digests, sizeof stored[0].digests);
    assert_slice("example.com", second->steps[0].user.realm);
    resources_plan_free(second);
    resources_free(short_form);
    resources_plan_free(first);
    resources_free(resources);
}

static void prune_deletes_who_is_not_named(void **state)
{
    (void)state;
    struct user stored[USERS];
    struct resources *resources = parse(example);
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);
    struct resources *only_bob = parse("users: [{name: bob, extension: 101}]");
    struct resources_options prune = options;
    struct config_errors errors = {0};
    struct resources_plan *second = NULL;

    prune.prune_users = true;
    assert_int_equal(OK, resources_plan(only_bob, stored, count, &prune, &errors, &second));
    assert_int_equal(3, second->count);
    assert_int_equal(1, second->changed);
    assert_int_equal(2, second->deleted);
    assert_int_equal(RESOURCES_DELETE, second->steps[1].verb);
    assert_slice("alice", second->steps[1].user.name);
    assert_slice("no", second->steps[2].user.name);
    resources_plan_free(second);
    resources_free(only_bob);
    resources_plan_free(first);
    resources_free(resources);
}

static void what_clashes_with_the_stored_is_refused(void **state)
{
    (void)state;
    struct user stored[USERS];
    struct resources *resources =
        parse("users: [{name: 102}, {name: alice, extension: 101}, {name: dora, extension: 103}]");
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);
    struct resources *other = parse("users:\n  - {name: bob, extension: 101}\n"
                                    "  - {name: carol, extension: 102}\n  - {name: 103}\n");
    struct config_errors errors = {0};
    struct resources_plan *second = NULL;

    assert_int_equal(ERR_CONFLICT,
                     resources_plan(other, stored, count, &options, &errors, &second));
    assert_string_equal("u.yaml:3:12: error: users.carol: the extension is also the name of the "
                        "stored user 102; choose another\n"
                        "u.yaml:2:12: error: users.bob: the extension is also that of the stored "
                        "user alice; choose another\n"
                        "u.yaml:4:12: error: users.103: the name is also the extension of the "
                        "stored user dora; choose another\n",
                        all_errors(&errors));
    config_errors_release(&errors);
    resources_free(other);
    resources_plan_free(first);
    resources_free(resources);
}

static void calls_go_on_only_to_who_will_be_there(void **state)
{
    (void)state;
    struct user stored[USERS];
    struct resources *resources = parse("users: [{name: alice}, {name: bob, forward: {always: "
                                        "user:alice}}]");
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);
    struct resources *other =
        parse("users:\n  - {name: carol, forward: {busy: user:bob, always: user:nobody}}\n"
              "  - {name: alice, forward: {always: user:bob}}\n"
              "  - {name: dora, forward: {unregistered: user:dora}}\n");
    struct config_errors errors = {0};
    struct resources_plan *second = NULL;

    assert_int_equal(ERR_CONFLICT,
                     resources_plan(other, stored, count, &options, &errors, &second));
    assert_string_equal(
        "u.yaml:2:53: error: users.carol.forward.always: there is no user nobody; name another\n"
        "u.yaml:3:37: error: users.alice.forward.always: calls would go round in a circle by user "
        "bob; name another\n"
        "u.yaml:4:42: error: users.dora.forward.unregistered: goes to himself, user dora; name "
        "another\n",
        all_errors(&errors));
    config_errors_release(&errors);
    resources_free(other);

    struct resources_options pruning = options;
    pruning.prune_users = true;
    other = parse("users: [{name: carol, forward: {busy: user:bob}}]"); /* who goes with that */
    assert_int_equal(ERR_CONFLICT,
                     resources_plan(other, stored, count, &pruning, &errors, &second));
    config_errors_release(&errors);
    resources_free(other);
    resources_plan_free(first);
    resources_free(resources);
}

static void an_export_comes_back_unchanged(void **state)
{
    (void)state;
    static char text[TEXT_MAX];
    static char again[TEXT_MAX];
    struct user stored[USERS];
    struct resources *resources = parse(example);
    struct resources_plan *first = plan(resources, NULL, 0);
    size_t count = carry_out(first, stored);

    stored[0].display_name = SLICE("- : \"x\" 'y' \\ #{[&*!|>%@`");
    stored[0].title = SLICE("null");
    stored[1].title = SLICE("~");
    stored[1].display_name = SLICE("yes");
    stored[2].title = SLICE(" two  spaces ");
    struct builder b = builder_over(text, sizeof text - 1);
    resources_export_users(stored, count, &b);
    assert_false(b.overflow);
    text[b.len] = '\0';
    assert_null(strstr(text, "password"));
    struct resources *back = parse(text);
    struct resources_plan *second = plan(back, stored, count);
    assert_int_equal(count, second->left);
    size_t count_again = carry_out(second, stored);
    struct builder c = builder_over(again, sizeof again - 1);
    resources_export_users(stored, count_again, &c);
    assert_string_equal(text, again);
    resources_plan_free(second);
    resources_free(back);
    resources_plan_free(first);
    resources_free(resources);

    b = builder_over(text, sizeof text - 1);
    resources_export_users(NULL, 0, &b);
    text[b.len] = '\0';
    back = parse(text);
    assert_int_equal(0, resources_user_count(back));
    resources_free(back);
}

static void anchors_work(void **state)
{
    (void)state;
    struct resources *resources = parse("users:\n"
                                        "  - &a {name: alice, extension: 101, role: admin}\n"
                                        "  - {<<: *a, name: bob, extension: 102}\n");
    struct resources_plan *made = plan(resources, NULL, 0);
    assert_slice("bob", made->steps[1].user.name);
    assert_slice("102", made->steps[1].user.extension);
    assert_slice("admin", made->steps[1].user.role);
    resources_plan_free(made);
    resources_free(resources);
}

static const struct {
    const char *why, *text, *errors;
} broken[] = {
    {"kinds", "locations: []\nusres: []\nfoo: 1\n",
     "u.yaml:1:1: error: locations: are not built yet in this version; remove them\n"
     "u.yaml:2:1: error: usres: unknown kind; did you mean users?\n"
     "u.yaml:3:1: error: foo: unknown kind; this version has users\n"},
    {"shapes", "users:\n  - bob\n  - {extension: 1}\n  - {name: [a]}\n",
     "u.yaml:2:5: error: users: 'bob' is not a user; write {name: alice, extension: 101}\n"
     "u.yaml:3:5: error: users.name: is missing; every user needs one\n"
     "u.yaml:4:12: error: users.name: a list is not a name; use 1 to 64 of the letters a-z, digits "
     "and . _ ~ + -\n"},
    {"a mapping of users", "users: {alice: {extension: 1}}\n",
     "u.yaml:1:8: error: users: a mapping is not a list; begin each user with `- `\n"},
    {"not a mapping at all", "- users\n",
     "u.yaml:1:1: error: must be a mapping of kinds; begin with `users:`\n"},
    {"names and extensions",
     "users:\n  - {name: bob smith, extension: 1o2}\n  - {name: '', extension: '#'}\n",
     "u.yaml:2:12: error: users.name: 'bob smith' is not a name; use 1 to 64 of the letters a-z, "
     "digits and . _ ~ + -\n"
     "u.yaml:2:34: error: users.bob smith.extension: '1o2' is not an extension; use up to 32 "
     "digits, * and #\n"
     "u.yaml:3:12: error: users.name: '' is not a name; use 1 to 64 of the letters a-z, digits "
     "and . _ ~ + -\n"},
    {"twice",
     "users:\n  - {name: a, extension: 1}\n  - {name: a, extension: 1}\n"
     "  - {name: b, extension: a}\n  - {name: 5}\n  - {name: c, extension: 5}\n",
     "u.yaml:3:12: error: users.a.name: the name is taken by the user a at u.yaml:2; choose "
     "another\n"
     "u.yaml:3:26: error: users.a.extension: is also the extension of a at u.yaml:2; choose "
     "another\n"
     "u.yaml:4:26: error: users.b.extension: 'a' is not an extension; use up to 32 digits, * and "
     "#\n"
     "u.yaml:6:26: error: users.c.extension: is also the name of 5 at u.yaml:5; choose another\n"},
    {"fields that are unknown or not built",
     "users:\n  - {name: a, pasword: x}\n  - {name: b, location: x, sees: [], "
     "photo: x}\n  - {name: c, colour: red}\n",
     "u.yaml:2:15: error: users.a.pasword: unknown field; did you mean password?\n"
     "u.yaml:3:15: error: users.b.location: is not built yet in this version; remove it\n"
     "u.yaml:3:28: error: users.b.sees: is not built yet in this version; remove it\n"
     "u.yaml:3:38: error: users.b.photo: is not built yet in this version; remove it\n"
     "u.yaml:4:15: error: users.c.colour: unknown field; remove it\n"},
    {"values of a wrong type",
     "users:\n  - name: a\n    role: boss\n    language: [e]\n"
     "    caller_number: 5105550101\n    email: [x]\n    disabled: perhaps\n"
     "    algorithms: [MD4]\n    display_name: \"a\\nb\"\n",
     "u.yaml:3:11: error: users.a.role: 'boss' is not a role; use admin, analyst or agent\n"
     "u.yaml:4:16: error: users.a.language: 'e' is not a language; write tags such "
     "as [en, fr]\n"
     "u.yaml:5:20: error: users.a.caller_number: '5105550101' is not a phone number; write it with "
     "+ and the country, such as +15105550101\n"
     "u.yaml:6:12: error: users.a.email: a list is not one value; write a word or a number\n"
     "u.yaml:7:15: error: users.a.disabled: 'perhaps' is not yes or no; write one of them\n"
     "u.yaml:8:18: error: users.a.algorithms: 'MD4' is not a digest algorithm; use MD5, SHA-256 or "
     "SHA-512-256\n"
     "u.yaml:9:19: error: users.a.display_name: 'a?b' is not a text of up to 256 bytes without "
     "control characters\n"},
    {"where calls cannot go on to",
     "users:\n  - name: a\n    forward: {busy: usr:b, sometimes: user:b, always: [user:b]}\n"
     "  - name: b\n    forward: {no_answer: {to: number:+15105550101, after: 0s, on: x}}\n"
     "  - {name: c, forward: user:a}\n  - {name: d, forward: {no_answer: {after: 5s}}}\n",
     "u.yaml:3:21: error: users.a.forward.busy: 'usr:b' is not a destination: user:, department:, "
     "location:, number:, trunk:, sip: or reply:; did you mean user:?\n"
     "u.yaml:3:28: error: users.a.forward: 'sometimes' is not a case; use always, busy, no_answer, "
     "unregistered\n"
     "u.yaml:3:55: error: users.a.forward.always: a list is not a destination; write user:NAME or "
     "reply:CODE\n"
     "u.yaml:5:31: error: users.b.forward.no_answer: 'number:+15105550101': a user's calls go to "
     "user:NAME or reply:CODE in this version\n"
     "u.yaml:5:59: error: users.b.forward.no_answer: '0s' is not a time to ring; write one from 1s "
     "to 10m, such as 20s\n"
     "u.yaml:5:63: error: users.b.forward.no_answer: 'on' is not a field; it has to: and after:\n"
     "u.yaml:6:24: error: users.c.forward: 'user:a' is not a mapping; write such as {busy: "
     "user:alice}\n"
     "u.yaml:7:36: error: users.d.forward.no_answer: has no `to`; write {to: user:NAME, after: "
     "20s}\n"},
    {"passwords and digests",
     "users:\n  - {name: a, password: ''}\n  - {name: b, digests: {realm: x}}\n"
     "  - {name: c, digests: {md5: 12}}\n  - {name: d, digests: x}\n",
     "u.yaml:2:25: error: users.a.password: must have 1 to 256 bytes; leave it out to have one "
     "made\n"
     "u.yaml:3:24: error: users.b.digests: needs realm, md5, sha_256 and sha_512_256; write "
     "password: instead\n"
     "u.yaml:4:30: error: users.c.digests: 'md5' is not as `export` writes it; write password: "
     "instead\n"
     "u.yaml:5:24: error: users.d.digests: 'x' is not digests; write password: instead\n"},
};

static void every_error_is_said_at_once_with_its_place(void **state)
{
    (void)state;
    bool failed = false;

    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        struct config_errors errors = {0};
        struct resources *resources = NULL;
        const struct resources_source source = {"u.yaml", slice_of(broken[i].text)};
        assert_int_equal(ERR_SYNTAX, resources_parse(&source, 1, &errors, &resources));
        if (strcmp(broken[i].errors, all_errors(&errors)) != 0) {
            print_error("%s:\n%s", broken[i].why, all_errors(&errors));
            print_error("expected:\n%s", broken[i].errors);
            failed = true;
        }
        config_errors_release(&errors);
    }
    assert_false(failed);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_folder_is_all_its_files_in_order(void **state)
{
    (void)state;
    char folder[] = "/tmp/strowger-config-XXXXXX";
    struct config_errors errors = {0};
    struct resources_files files = {0};
    struct resources *resources = NULL;

    assert_non_null(mkdtemp(folder));
    const char *const paths[] = {folder};
    assert_int_equal(ERR_NOT_FOUND, resources_read_files(paths, 1, &errors, &files));
    write_file(folder, "2.yml", "users: [{name: b}]");
    write_file(folder, "1.yaml", "users: [{name: a}]\n---\nusers: [{name: c}]\n");
    write_file(folder, ".hidden.yaml", "x");
    write_file(folder, "notes.txt", "x");
    assert_int_equal(OK, resources_read_files(paths, 1, &errors, &files));
    assert_int_equal(2, files.count);
    assert_int_equal(OK, resources_parse(files.items, files.count, &errors, &resources));
    struct resources_plan *made = plan(resources, NULL, 0);
    assert_int_equal(3, made->count);
    assert_slice("a", made->steps[0].user.name);
    assert_slice("c", made->steps[1].user.name);
    assert_slice("b", made->steps[2].user.name);
    resources_plan_free(made);
    resources_free(resources);
    resources_files_release(&files);
    config_errors_release(&errors);
    static const char *const names[] = {"1.yaml", "2.yml", ".hidden.yaml", "notes.txt"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_arrive_as_they_are_written),
        cmocka_unit_test(a_new_user_without_a_password_gets_one),
        cmocka_unit_test(the_same_file_again_changes_nothing),
        cmocka_unit_test(absent_fields_get_defaults_and_secrets_stay),
        cmocka_unit_test(prune_deletes_who_is_not_named),
        cmocka_unit_test(what_clashes_with_the_stored_is_refused),
        cmocka_unit_test(calls_go_on_only_to_who_will_be_there),
        cmocka_unit_test(an_export_comes_back_unchanged),
        cmocka_unit_test(anchors_work),
        cmocka_unit_test(every_error_is_said_at_once_with_its_place),
        cmocka_unit_test(a_folder_is_all_its_files_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
