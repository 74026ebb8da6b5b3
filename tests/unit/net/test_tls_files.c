/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and keys as files: what is wrong with them is told, each by its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_world.h"

struct told {
    unsigned count;
    struct tls_problem last;
};

static int set_up(void **state)
{
    struct tls_world *w = tls_world_open();

    *state = w;
    tls_world_write(w, "good", "DNS:a.example", 30, &w->authority);
    tls_world_write(w, "other", "DNS:b.example", 30, &w->authority);
    tls_world_write(w, "late", "DNS:a.example", 0, &w->authority);
    return 0;
}

static int tear_down(void **state)
{
    tls_world_close(*state);
    return 0;
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(0, fseek(out, (long)size, SEEK_SET));
    fputs(text, out);
    assert_int_equal(0, fclose(out));
}

static struct tls_pair pair_of(const struct tls_world *w, const char *certificate, const char *key)
{
    struct tls_pair pair;

    snprintf(pair.certificate, sizeof pair.certificate, "%s",
             tls_world_path(w, certificate, "pem"));
    snprintf(pair.key, sizeof pair.key, "%s", tls_world_path(w, key, "key"));
    return pair;
}

static void tell(void *user, const struct tls_problem *problem)
{
    struct told *told = user;

    told->count++;
    told->last = *problem;
}

static void write_locked_key(const struct tls_world *w)
{
    FILE *out = fopen(tls_world_path(w, "locked", "key"), "w");
    char secret[] = "secret";

    assert_non_null(out);
    assert_int_equal(1, PEM_write_PrivateKey(out, w->authority.key, EVP_aes_128_cbc(),
                                             (unsigned char *)secret, (int)strlen(secret), NULL,
                                             NULL));
    fclose(out);
}

static void check_tells_what_is_wrong_and_with_which_file(void **state)
{
    static const struct {
        const char *certificate, *key;
        enum tls_file file; /* 0: nothing is wrong */
        const char *text;
    } cases[] = {
        {"good", "good", 0, NULL},
        {"none", "good", TLS_FILE_CERTIFICATE, "none.pem: No such file"},
        {"good", "none", TLS_FILE_KEY, "none.key: No such file"},
        {"empty", "good", TLS_FILE_CERTIFICATE, "there is no PEM certificate in it"},
        {"good", "empty", TLS_FILE_KEY, "there is no PEM private key in it"},
        {"good", "locked", TLS_FILE_KEY, "it has a pass phrase"},
        {"good", "other", TLS_FILE_KEY, "is not the key of the certificate in"},
        {"late", "late", TLS_FILE_CERTIFICATE, "the certificate has expired on"},
        {"large", "good", TLS_FILE_CERTIFICATE, "not a file of at most 1024 KiB"},
        {"folder", "good", TLS_FILE_CERTIFICATE, "not a file of at most"},
    };
    struct tls_world *w = *state;

    write_file(tls_world_path(w, "empty", "pem"), "", 0);
    write_file(tls_world_path(w, "empty", "key"), "", 0);
    write_file(tls_world_path(w, "large", "pem"), "x", TLS_FILE_BYTES_MAX);
    write_locked_key(w);
    assert_int_equal(0, symlink("/tmp", tls_world_path(w, "folder", "pem")));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_pair pair = pair_of(w, cases[i].certificate, cases[i].key);
        struct tls_options options = {.pairs = &pair, .pair_count = 1};
        struct told told = {0};
        bool sound = tls_check(&options, tell, &told);
        assert_int_equal(cases[i].file == 0, sound);
        assert_int_equal(cases[i].file != 0, told.count);
        if (!sound &&
            (told.last.file != cases[i].file || strstr(told.last.text, cases[i].text) == NULL))
            fail_msg("case %zu: %s", i, told.last.text);
    }
}

static void a_file_of_the_largest_size_is_read(void **state)
{
    struct tls_world *w = *state;
    struct tls_pair pair = pair_of(w, "good", "good");
    struct tls_options options = {.pairs = &pair, .pair_count = 1};
    struct told told = {0};

    assert_int_equal(0, truncate(pair.certificate, TLS_FILE_BYTES_MAX)); /* zeros behind it */
    assert_true(tls_check(&options, tell, &told));
}

static void all_problems_are_told_and_each_with_its_pair(void **state)
{
    struct tls_world *w = *state;
    struct tls_pair pairs[3] = {pair_of(w, "good", "good"), pair_of(w, "none", "good"),
                                pair_of(w, "late", "late")};
    struct tls_options options = {.pairs = pairs,
                                  .pair_count = COUNT_OF(pairs),
                                  .client_ca = tls_world_path(w, "good", "key"),
                                  .ca = tls_world_path(w, "none", "pem")};
    struct told told = {0};

    assert_false(tls_check(&options, tell, &told));
    assert_int_equal(4, told.count);
    assert_int_equal(TLS_FILE_CA, told.last.file);
}

static void what_is_out_of_date_is_used_and_told_and_what_is_wrong_is_not_used(void **state)
{
    struct tls_world *w = *state;
    struct tls_pair pairs[2] = {pair_of(w, "late", "late"), pair_of(w, "good", "other")};
    struct tls_options options = {.pairs = pairs, .pair_count = 1};
    struct tls_problem problem;
    struct tls *tls = NULL;

    assert_int_equal(OK, tls_open(&options, &problem, &tls));
    assert_non_null(strstr(problem.text, "has expired on"));
    tls_free(tls);
    options.pair_count = 2;
    tls = NULL;
    assert_int_equal(ERR_SYNTAX, tls_open(&options, &problem, &tls));
    assert_null(tls);
    assert_int_equal(1, problem.pair);
    assert_non_null(strstr(problem.text, "is not the key"));
    options.pair_count = 0;
    options.client_ca = tls_world_path(w, "none", "pem");
    assert_int_equal(ERR_SYNTAX, tls_open(&options, &problem, &tls));
    assert_int_equal(TLS_FILE_CLIENT_CA, problem.file);
}

static void as_many_pairs_as_there_may_be(void **state)
{
    struct tls_world *w = *state;
    static struct tls_pair pairs[TLS_PAIRS_MAX];
    struct tls_options options = {.pairs = pairs, .pair_count = TLS_PAIRS_MAX};
    struct tls_problem problem;
    struct tls *tls = NULL;

    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        pairs[i] = pair_of(w, "good", "good");
    options.client_ca = options.ca = tls_world_path(w, "authority", "pem");
    assert_int_equal(OK, tls_open(&options, &problem, &tls));
    assert_string_equal("", problem.text);
    assert_false(tls_files_changed(tls));
    tls_free(tls);
}

static void a_change_of_a_file_is_seen_once_it_is_looked_for(void **state)
{
    struct tls_world *w = *state;
    struct tls_pair pair = pair_of(w, "good", "good");
    struct tls_options options = {.pairs = &pair, .pair_count = 1};
    struct tls_problem problem;
    struct tls *tls = NULL;

    assert_int_equal(OK, tls_open(&options, &problem, &tls));
    assert_false(tls_files_changed(tls));
    assert_int_equal(0, rename(tls_world_path(w, "other", "pem"), pair.certificate));
    assert_true(tls_files_changed(tls));
    tls_look_again(tls);
    assert_false(tls_files_changed(tls));
    unlink(pair.key); /* in the middle of being replaced: nothing to read yet */
    assert_false(tls_files_changed(tls));
    tls_free(tls);
}

int main(void)
{
#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TLS_TEST(check_tells_what_is_wrong_and_with_which_file),
        TLS_TEST(a_file_of_the_largest_size_is_read),
        TLS_TEST(all_problems_are_told_and_each_with_its_pair),
        TLS_TEST(what_is_out_of_date_is_used_and_told_and_what_is_wrong_is_not_used),
        TLS_TEST(as_many_pairs_as_there_may_be),
        TLS_TEST(a_change_of_a_file_is_seen_once_it_is_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
