/* SPDX-License-Identifier: Apache-2.0 */
/* The commands as typed: what they print, what they ask the server, how they exit. */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/internal.h"

enum {
    OUTPUT_MAX = 65536,
    WORDS_MAX = 12,
};

struct world {
    char folder[64], socket[96];
    char out[OUTPUT_MAX], err[OUTPUT_MAX];
    char served[256];
    pid_t server; /* 0: none */
};

/* ---- hooks ---- */

static int serve(void *user, const char *config)
{
    struct world *world = user;
    snprintf(world->served, sizeof world->served, "%s", config != NULL ? config : "(defaults)");
    return 0;
}

static void digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES])
{
    (void)user;
    (void)algorithm;
    (void)name;
    (void)realm;
    (void)password;
    memset(out, 1, USER_DIGEST_BYTES);
}

/* ---- running a command ---- */

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    if (world == NULL)
        return -1;
    snprintf(world->folder, sizeof world->folder, "/tmp/strowger-cli-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->socket, sizeof world->socket, "%s/c.sock", world->folder);
    unsetenv("STROWGER_SERVER");
    unsetenv("STROWGER_TOKEN");
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", world->folder);
    int code = system(command);
    free(world);
    return code;
}

static void read_back(FILE *file, char *out)
{
    rewind(file);
    size_t len = fread(out, 1, OUTPUT_MAX - 1, file);
    out[len] = '\0';
    fclose(file);
}

/** Runs `words` (single spaces between) with `input` as standard input. */
static int run_with(struct world *world, const char *input, const char *words)
{
    const struct cli_hooks hooks = {.user = world, .serve = serve, .digest = digest};
    char line[1024], program[] = "strowger", *argv[WORDS_MAX + 1] = {program};
    int argc = 1, saved[3];
    FILE *files[3];

    snprintf(line, sizeof line, "%s", words);
    for (char *at = line; at != NULL && *at != '\0' && argc < WORDS_MAX; argc++)
        argv[argc] = strsep(&at, " ");
    fflush(NULL);
    for (int i = 0; i < 3; i++) {
        files[i] = tmpfile();
        assert_non_null(files[i]);
        saved[i] = dup(i);
    }
    fputs(input, files[0]);
    rewind(files[0]);
    for (int i = 0; i < 3; i++)
        dup2(fileno(files[i]), i);
    clearerr(stdin);
    int code = cli_main(argc, argv, &hooks);
    fflush(stdin); /* what was not read is gone with this input */
    fflush(NULL);
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    fclose(files[0]);
    read_back(files[1], world->out);
    read_back(files[2], world->err);
    return code;
}

static int run(struct world *world, const char *words)
{
    return run_with(world, "", words);
}

/* ---- a server that says what it is told to ---- */

struct canned {
    const char *wants;  /* how the request begins */
    const char *status; /* such as "200 OK" */
    const char *body;
    const char *has; /* NULL, or what must be in the request */
};

/** Reads one request: head, and as much of a body as was announced. */
static void read_request(int fd, char *out, size_t size)
{
    size_t len = 0, need = SIZE_MAX;
    ssize_t got;

    while (len < need && len + 1 < size && (got = recv(fd, out + len, size - len - 1, 0)) > 0) {
        len += (size_t)got;
        out[len] = '\0';
        const char *end = strstr(out, "\r\n\r\n"), *length = strstr(out, "Content-Length: ");
        if (end != NULL)
            need = (size_t)(end + 4 - out) + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
    }
}

static void answer_all(int listening, const struct canned *canned, size_t count)
{
    static char request[OUTPUT_MAX], reply[OUTPUT_MAX];

    alarm(3); /* a command that could not even ask: not waited for */
    for (size_t i = 0; i < count; i++) {
        int fd = accept(listening, NULL, NULL);
        read_request(fd, request, sizeof request);
        bool right = strncmp(request, canned[i].wants, strlen(canned[i].wants)) == 0 &&
                     (canned[i].has == NULL || strstr(request, canned[i].has) != NULL);
        int len = snprintf(reply, sizeof reply,
                           "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                           right ? canned[i].status : "599 Unexpected",
                           right ? strlen(canned[i].body) : 0, right ? canned[i].body : "");
        if (send(fd, reply, (size_t)len, MSG_NOSIGNAL) != len)
            _exit(2);
        close(fd);
        if (!right)
            _exit(1);
    }
    _exit(0);
}

static void serve_canned(struct world *world, const struct canned *canned, size_t count)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(un.sun_path, sizeof un.sun_path, "%s", world->socket);
    unlink(world->socket);
    assert_int_equal(0, bind(fd, (struct sockaddr *)&un, sizeof un));
    assert_int_equal(0, listen(fd, 8));
    char server[128];
    snprintf(server, sizeof server, "unix:%s", world->socket);
    setenv("STROWGER_SERVER", server, 1);
    fflush(NULL);
    world->server = fork();
    if (world->server == 0)
        answer_all(fd, canned, count);
    close(fd);
}

/** All requests came, and as wanted. */
static void check_served(struct world *world)
{
    int status = -1;

    waitpid(world->server, &status, 0);
    world->server = 0;
    if (status != 0)
        fail_msg("a request was not as wanted; output: %s %s", world->out, world->err);
}

static void write_file(struct world *world, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", world->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* ---- the command line ---- */

static void exit_codes_are_as_interface_says(void **state)
{
    static const struct {
        const char *why, *words;
        int code;
        const char *out, *err; /* NULL: nothing there */
    } rows[] = {
        {"nothing to do", "", CLI_USAGE, NULL, "usage: strowger COMMAND"},
        {"help", "--help", CLI_DONE, "usage: strowger COMMAND", NULL},
        {"help as a command", "help", CLI_DONE, "usage: strowger COMMAND", NULL},
        {"help of one", "help apply", CLI_DONE, "usage: strowger apply", NULL},
        {"the same", "apply --help", CLI_DONE, "usage: strowger apply", NULL},
        {"help of none", "help frobnicate", CLI_USAGE, NULL, "unknown command"},
        {"the version", "--version", CLI_DONE, "strowger ", NULL},
        {"a typo", "statsu", CLI_USAGE, NULL, "did you mean `status`?"},
        {"another", "registration", CLI_USAGE, NULL, "did you mean `registrations`?"},
        {"nothing near", "foo", CLI_USAGE, NULL, "unknown command `foo` ("},
        {"a very long word", "ppppppppppppppppppppppppppppppppppppppppppppppppppppp", CLI_USAGE,
         NULL, "unknown command"},
        {"--live is of calls alone", "status --live", CLI_USAGE, NULL, "takes no --live"},
        {"a field is of calls alone", "status --direction x", CLI_USAGE, NULL, "unknown option"},
        {"a field without a value", "calls --direction", CLI_USAGE, NULL, "needs a value"},
        {"which call", "call", CLI_USAGE, NULL, "usage: strowger call"},
        {"later", "doctor", CLI_USAGE, NULL, "not built yet"},
        {"too few", "get", CLI_USAGE, NULL, "usage: strowger get"},
        {"too many", "get users a b", CLI_USAGE, NULL, "usage: strowger get"},
        {"an unknown option", "get users --nonsense", CLI_USAGE, NULL, "unknown option --nonsense"},
        {"an option's name and more", "get users --jsonx", CLI_USAGE, NULL, "unknown option"},
        {"a value is missing", "status --server", CLI_USAGE, NULL, "--server needs a value"},
        {"no number", "get users --limit x", CLI_USAGE, NULL, "--limit is a number"},
        {"zero", "get users --limit=0", CLI_USAGE, NULL, "--limit is a number"},
        {"below zero", "get users --limit=-1", CLI_USAGE, NULL, "--limit is a number"},
        {"it would delete for real", "delete users bob --dry-run", CLI_USAGE, NULL,
         "delete takes no --dry-run"},
        {"it would pass over it", "export --limit 3", CLI_USAGE, NULL, "export takes no --limit"},
        {"an unknown kind", "get usres", CLI_USAGE, NULL, "there are: users, bans"},
        {"a kind to prune", "apply --prune trunks x.yaml", CLI_USAGE, NULL, "there is: users"},
        {"a token without a role", "token create", CLI_USAGE, NULL, "--role"},
        {"an unknown verb", "token frob", CLI_USAGE, NULL, "usage: strowger token"},
        {"an unknown verb", "user rename bob", CLI_USAGE, NULL, "usage: strowger user"},
        {"nobody is there", "status --server unix:/nonexistent/s", CLI_UNREACHABLE, NULL,
         "cannot be reached: No such file"},
        {"a path is a socket", "status --server /nonexistent/s", CLI_UNREACHABLE, NULL,
         "unix:/nonexistent/s"},
        {"nobody listens", "status --server http://127.0.77.3:1", CLI_UNREACHABLE, NULL,
         "Connection refused"},
        {"no web, no file", "status --server file:///etc/passwd", CLI_UNREACHABLE, NULL,
         "cannot be reached"},
        {"its configuration is not there", "status -c /nonexistent/n.yaml", CLI_NO, NULL,
         "/nonexistent/n.yaml"},
        {"the defaults are sound", "check", CLI_DONE, "ok", NULL},
        {"no such file", "check -c /nonexistent/n.yaml", CLI_NO, NULL, "/nonexistent/n.yaml"},
        {"no such resources", "check /nonexistent/u.yaml", CLI_NO, NULL, "/nonexistent/u.yaml"},
        {"nothing to apply", "apply /nonexistent/u.yaml", CLI_NO, NULL, "/nonexistent/u.yaml"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int code = run(world, rows[i].words);
        bool out =
            rows[i].out == NULL ? world->out[0] == '\0' : strstr(world->out, rows[i].out) != NULL;
        bool err =
            rows[i].err == NULL ? world->err[0] == '\0' : strstr(world->err, rows[i].err) != NULL;
        if (code != rows[i].code || !out || !err)
            fail_msg("%s: `%s` gives %d\n%s%s", rows[i].why, rows[i].words, code, world->out,
                     world->err);
    }
}

static void options_stand_anywhere_until_two_dashes(void **state)
{
    char *argv[] = {(char[]){"strowger"}, (char[]){"-c"},     (char[]){"a.yaml"},
                    (char[]){"get"},      (char[]){"--json"}, (char[]){"--limit=7"},
                    (char[]){"users"},    (char[]){"--"},     (char[]){"--json"},
                    (char[]){"-"}};
    struct cli cli = {0};

    (void)state;
    assert_int_equal(CLI_DONE, cli_parse((int)COUNT_OF(argv), argv, &cli));
    assert_string_equal("a.yaml", cli.config);
    assert_true(cli.json);
    assert_int_equal(7, cli.limit_count);
    assert_int_equal(4, cli.operand_count);
    assert_string_equal("get", cli.operands[0]);
    assert_string_equal("users", cli.operands[1]);
    assert_string_equal("--json", cli.operands[2]);
    assert_string_equal("-", cli.operands[3]);
}

static void words_are_bounded(void **state)
{
    static char word[] = "x", program[] = "strowger";
    static char *argv[CLI_OPERANDS_MAX + 2];
    struct cli cli = {0};
    int saved = dup(2);

    (void)state;
    argv[0] = program;
    for (size_t i = 1; i < COUNT_OF(argv); i++)
        argv[i] = word;
    assert_int_equal(CLI_DONE, cli_parse(CLI_OPERANDS_MAX + 1, argv, &cli));
    cli = (struct cli){0};
    assert_non_null(freopen("/dev/null", "w", stderr));
    int code = cli_parse(CLI_OPERANDS_MAX + 2, argv, &cli);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    assert_int_equal(CLI_USAGE, code);
}

static void serve_gets_the_file(void **state)
{
    struct world *world = *state;

    assert_int_equal(CLI_DONE, run(world, "serve --config=x.yaml"));
    assert_string_equal("x.yaml", world->served);
    assert_int_equal(CLI_DONE, run(world, "serve"));
    assert_string_equal("(defaults)", world->served);
}

/* ---- check ---- */

static void a_file_of_the_other_kind_is_recognised(void **state)
{
    struct world *world = *state;
    char words[256];

    write_file(world, "node.yaml", "domains: [a.example]\nworkers: 1\n");
    write_file(world, "users.yaml", "users:\n  - {name: alice, extension: 101}\n");
    write_file(world, "broken.yaml", "users:\n  - {name: alice, extention: 101}\n");
    snprintf(words, sizeof words, "check %s/node.yaml", world->folder);
    assert_int_equal(CLI_NO, run(world, words));
    assert_non_null(strstr(world->err, "strowger check -c "));
    snprintf(words, sizeof words, "check -c %s/users.yaml", world->folder);
    assert_int_equal(CLI_NO, run(world, words));
    assert_non_null(strstr(world->err, "holds resources"));
    snprintf(words, sizeof words, "check -c %s/node.yaml %s/users.yaml", world->folder,
             world->folder);
    assert_int_equal(CLI_DONE, run(world, words));
    assert_string_equal("ok\n", world->out);
    snprintf(words, sizeof words, "check %s/broken.yaml", world->folder);
    assert_int_equal(CLI_NO, run(world, words));
    assert_non_null(strstr(world->err, "broken.yaml:2:"));
    assert_null(strstr(world->err, "configuration of a node"));
}

/* ---- tables ---- */

static void values_are_text_that_a_terminal_does_not_obey(void **state)
{
    static const struct {
        const char *why, *json, *text;
        size_t size;
    } rows[] = {
        {"a text", "\"alice\"", "alice", 64},
        {"null", "null", "-", 64},
        {"an empty list", "[]", "-", 64},
        {"a list", "[\"en\", \"fr\"]", "en,fr", 64},
        {"a number", "-7", "-7", 64},
        {"a real", "0.5", "0.5", 64},
        {"yes", "true", "yes", 64},
        {"an escape clears no screen", "\"a\\u001b[2Jb\"", "a?[2Jb", 64},
        {"nor does its 8 bit form", "\"a\\u009b2J\"", "a?2J", 64},
        {"a line end makes no row", "\"a\\r\\nb\\u007f\"", "a??b?", 64},
        {"letters stay", "\"\\u00c4\\u4e2d\\ud83d\\ude00\"", "Ä中😀", 64},
        {"a whole letter fits", "\"ab\\u00e4\"", "abä", 5},
        {"half a letter does not", "\"ab\\u00e4\"", "ab", 4},
        {"cut", "\"abcdef\"", "abc", 4},
        {"a list is cut", "[\"abc\", \"def\"]", "abc,d", 6},
    };
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[64];
        json_t *value = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        cli_value_text(value, text, rows[i].size);
        json_decref(value);
        if (strcmp(text, rows[i].text) != 0)
            fail_msg("%s: `%s`", rows[i].why, text);
    }
}

static void a_table_is_aligned_by_characters(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/tokens?limit=1000 ", "200 OK",
         "{\"items\": [{\"name\": \"Ünö\", \"role\": \"admin\", \"created\": null},"
         "{\"name\": \"longer\", \"role\": \"agent\", \"created\": \"2026\"}], \"next\": null}",
         NULL},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "token list"));
    check_served(world);
    assert_string_equal("NAME    ROLE   CREATED\n"
                        "Ünö     admin  -\n"
                        "longer  agent  2026\n",
                        world->out);
}

static void bans_are_shown_and_lifted(void **state)
{
    static const struct canned list[] = {
        {"GET /api/v1/bans?limit=1000 ", "200 OK",
         "{\"items\": [{\"name\": \"alice@192.0.2.7\", \"address\": \"192.0.2.7\", \"user\": "
         "\"alice\", \"reason\": \"failed_logins\", \"times\": 1, \"expires_in\": 58}], "
         "\"next\": null}",
         NULL},
    };
    static const struct canned lift[] = {
        {"DELETE /api/v1/bans/alice%40192.0.2.7 ", "204 No Content", "", NULL},
    };
    static const struct canned gone[] = {
        {"GET /api/v1/bans/x ", "404 Not Found", "{\"title\": \"Not Found\"}", NULL},
    };
    struct world *world = *state;

    serve_canned(world, list, COUNT_OF(list));
    assert_int_equal(CLI_DONE, run(world, "get bans"));
    check_served(world);
    assert_string_equal("NAME             REASON         TIMES  EXPIRES IN\n"
                        "alice@192.0.2.7  failed_logins  1      58\n",
                        world->out);
    serve_canned(world, lift, COUNT_OF(lift));
    assert_int_equal(CLI_DONE, run(world, "delete bans alice@192.0.2.7"));
    check_served(world);
    assert_string_equal("lifted bans alice@192.0.2.7\n", world->out);
    serve_canned(world, gone, COUNT_OF(gone));
    assert_int_equal(CLI_NO, run(world, "get bans x"));
    check_served(world);
}

static void all_pages_are_one_array(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/users?limit=1000 ", "200 OK",
         "{\"items\": [{\"name\": \"a\"}], \"next\": \"1:a+b\"}", NULL},
        {"GET /api/v1/users?limit=1000&cursor=1%3Aa%2Bb ", "200 OK",
         "{\"items\": [{\"name\": \"c\"}], \"next\": null}", NULL},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "get users --json"));
    check_served(world);
    json_t *all = json_loads(world->out, 0, NULL);
    assert_int_equal(2, json_array_size(all));
    json_decref(all);
}

static void a_limit_ends_the_pages(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/registrations?aor=sip%3Abob%40x&limit=3 ", "200 OK",
         "{\"items\": [{\"aor\": \"a\"}, {\"aor\": \"b\"}], \"next\": \"1\"}", NULL},
        {"GET /api/v1/registrations?aor=sip%3Abob%40x&limit=1&cursor=1 ", "200 OK",
         "{\"items\": [{\"aor\": \"c\"}], \"next\": \"2\"}", NULL},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "registrations sip:bob@x --json --limit 3"));
    check_served(world);
    json_t *all = json_loads(world->out, 0, NULL);
    assert_int_equal(3, json_array_size(all));
    json_decref(all);
}

static void a_page_without_items_ends_the_list(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/history?limit=1000 ", "200 OK", "{\"items\": [], \"next\": \"again\"}", NULL},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "history --json"));
    check_served(world);
    assert_string_equal("[]\n", world->out);
}

/* ---- answers ---- */

static void what_the_server_refuses_is_told(void **state)
{
    static const struct {
        const char *why, *status, *body, *err;
    } rows[] = {
        {"a problem", "404 Not Found", "{\"title\": \"Not Found\", \"detail\": \"no user zed\"}",
         "strowger: Not Found: no user zed\n"},
        {"a login is needed", "401 Unauthorized", "{\"title\": \"T\", \"detail\": \"d\"}",
         "--token TOKEN or $STROWGER_TOKEN"},
        {"all errors with their places", "422 X",
         "{\"errors\": [{\"message\": \"a.yaml:1:2: error: x\"},"
         "{\"message\": \"a.yaml:3:4: error: y\"}], \"more_errors\": 5}",
         "a.yaml:1:2: error: x\na.yaml:3:4: error: y\nand 5 more errors\n"},
        {"another program", "200 OK", "<html>", "answered 200 without a document"},
        {"another program's error", "502 Bad", "<html>", "answered 502 without a document"},
        {"nothing", "500 X", "", "answered 500"},
        {"a message that is none", "422 X", "{\"errors\": [{}]}", "-\n"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct canned canned = {"GET /api/v1/users/zed ", rows[i].status, rows[i].body, NULL};
        serve_canned(world, &canned, 1);
        int code = run(world, "get users zed");
        check_served(world);
        if (code != CLI_NO || strstr(world->err, rows[i].err) == NULL || world->out[0] != '\0')
            fail_msg("%s: %d %s", rows[i].why, code, world->err);
    }
}

static void apply_sends_files_with_their_names_and_prints_passwords_once(void **state)
{
    static const struct canned canned[] = {
        {"POST /api/v1/apply?dry_run=1&prune=users ", "200 OK",
         "{\"created\": [{\"kind\": \"users\", \"name\": \"dave\"}], \"changed\": [], "
         "\"left\": [{\"kind\": \"users\", \"name\": \"ann\"}], \"deleted\": [], "
         "\"passwords\": [{\"name\": \"dave\", \"password\": \"abcd-efgh\"}]}",
         "{\"files\":[{\"file\":\"-\",\"text\":\"users: []\\n\"}]}"},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run_with(world, "users: []\n", "apply --dry-run --prune users -"));
    check_served(world);
    assert_string_equal("created  users dave\n"
                        "left     users ann\n"
                        "1 created, 0 changed, 1 left, 0 deleted (dry run: nothing was changed)\n"
                        "\nPasswords made now, shown this once:\n"
                        "  dave                 abcd-efgh\n",
                        world->out);
}

static void what_is_no_text_is_not_sent(void **state)
{
    struct world *world = *state;

    setenv("STROWGER_SERVER", "unix:/nonexistent/s", 1);
    assert_int_equal(CLI_NO, run_with(world, "users: \xff\n", "apply -"));
    assert_non_null(strstr(world->err, "UTF-8"));
}

static void a_password_comes_from_standard_input_or_is_made(void **state)
{
    static const struct canned made = {"PATCH /api/v1/users/bob ", "200 OK", "{}", "\"password\":"};
    struct world *world = *state;
    char words[] = "user passwd bob", line[400];

    serve_canned(world, &made, 1);
    assert_int_equal(CLI_DONE, run_with(world, "a-word\nsecond line\n", words));
    check_served(world);
    assert_string_equal("password of bob changed\n", world->out);
    serve_canned(world, &made, 1);
    assert_int_equal(CLI_DONE, run_with(world, "\n", words));
    check_served(world);
    assert_non_null(strstr(world->out, "shown this once: "));

    memset(line, 'x', sizeof line);
    line[257] = '\0';
    assert_int_equal(CLI_NO, run_with(world, line, words));
    line[256] = '\0';
    serve_canned(world, &made, 1);
    assert_int_equal(CLI_DONE, run_with(world, line, words));
    check_served(world);
}

static void a_token_goes_with_every_request(void **state)
{
    static const struct canned canned[] = {
        {"DELETE /api/v1/tokens/a%2Fb ", "204 No Content", "", "Authorization: Bearer strw_1\r\n"},
    };
    struct world *world = *state;

    setenv("STROWGER_TOKEN", "strw_0", 1);
    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "token delete a/b --token strw_1"));
    check_served(world);
    assert_string_equal("deleted token a/b\n", world->out);
}

static void a_full_disk_is_no_export(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/export ", "200 OK", "users: []\n", NULL},
    };
    struct world *world = *state;
    const struct cli_hooks hooks = {.user = world, .serve = serve, .digest = digest};
    char *argv[] = {(char[]){"strowger"}, (char[]){"export"}};

    serve_canned(world, canned, COUNT_OF(canned));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (freopen("/dev/full", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        _exit(cli_main(2, argv, &hooks));
    }
    int status = 0;
    waitpid(child, &status, 0);
    check_served(world);
    assert_true(WIFEXITED(status));
    assert_int_equal(CLI_NO, WEXITSTATUS(status));
}

/* ---- status ---- */

static void durations_and_sizes_are_short(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal("0 s", cli_duration(0, text));
    assert_string_equal("59 s", cli_duration(59, text));
    assert_string_equal("1 min", cli_duration(60, text));
    assert_string_equal("1 h 1 min", cli_duration(3660, text));
    assert_string_equal("3 d 4 h", cli_duration(3 * 86400 + 4 * 3600 + 59, text));
    assert_string_equal("1023 B", cli_size(1023, text));
    assert_string_equal("1.0 KiB", cli_size(1024, text));
    assert_string_equal("1.5 MiB", cli_size(1572864, text));
}

static void status_shows_alarms_first(void **state)
{
    static const struct canned canned[] = {
        {"GET /api/v1/status ", "200 OK",
         "{\"state\": \"running\", \"version\": \"1.2.3\", \"uptime_s\": 3700, "
         "\"alarms\": [\"the journal cannot be written\"], \"listeners\": [\"udp:192.0.2.1:5060\", "
         "\"tcp:192.0.2.1:5060\"], \"domains\": [\"example.com\"], "
         "\"policy\": {\"version\": 7, \"users\": 12}, \"location\": {\"aors\": 9}, "
         "\"bans\": {\"now\": 2, \"since_start\": 5, \"logins_failed\": 61}, "
         "\"memory_max\": {\"total\": 7516192768, \"calls\": 4294967296, \"location\": "
         "2147483648, \"connections\": 1073741824}, "
         "\"store\": {\"kind\": \"sqlite\", \"journal_bytes\": 2048, \"journal_depth\": 3, "
         "\"synced\": 100, \"failed\": 0, \"refused_full\": 1, \"last_sync_us\": 1500, "
         "\"max_sync_us\": 20000}, \"requests\": {\"INVITE\": 4, \"BYE\": 2}, \"refused\": {}, "
         "\"workers\": [{\"worker\": 0, \"busy_percent\": 3, \"transactions\": 1, \"contexts\": 0, "
         "\"connections\": 2, \"memory_bytes\": 1048576, \"received\": 99}]}",
         NULL},
    };
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "status"));
    check_served(world);
    assert_string_equal(
        "ALARM: the journal cannot be written\n"
        "strowger 1.2.3: running for 1 h 1 min, with ALARMS\n"
        "\n"
        "listening   udp:192.0.2.1:5060\n"
        "            tcp:192.0.2.1:5060\n"
        "domains     example.com\n"
        "users       12 (policy version 7)\n"
        "registered  9 (strowger registrations)\n"
        "barred      2 (strowger get bans), 5 since the start; 61 failed logins\n"
        "store       sqlite, journal 2.0 KiB, 3 not yet in the database\n"
        "            100 written, 0 failed, 1 refused; sync 1.5 ms, at worst 20.0 ms\n"
        "memory      at most 7.0 GiB: calls 4.0 GiB, location table 2.0 GiB, connections 1.0 GiB, "
        "and small things\n"
        "requests    INVITE 4, BYE 2\n"
        "refused     none\n"
        "\n"
        "WORKER  BUSY %  TRANSACTIONS  IN FLIGHT  CONNECTIONS  MEMORY   RECEIVED\n"
        "0       3       1             0          2            1.0 MiB  99\n",
        world->out);
}

static void a_status_without_anything_is_survived(void **state)
{
    static const struct canned canned[] = {{"GET /api/v1/status ", "200 OK", "{}", NULL}};
    struct world *world = *state;

    serve_canned(world, canned, COUNT_OF(canned));
    assert_int_equal(CLI_DONE, run(world, "status"));
    check_served(world);
    assert_non_null(strstr(world->out, "no alarms"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exit_codes_are_as_interface_says),
        TEST(options_stand_anywhere_until_two_dashes),
        TEST(words_are_bounded),
        TEST(serve_gets_the_file),
        TEST(a_file_of_the_other_kind_is_recognised),
        TEST(values_are_text_that_a_terminal_does_not_obey),
        TEST(a_table_is_aligned_by_characters),
        TEST(bans_are_shown_and_lifted),
        TEST(all_pages_are_one_array),
        TEST(a_limit_ends_the_pages),
        TEST(a_page_without_items_ends_the_list),
        TEST(what_the_server_refuses_is_told),
        TEST(apply_sends_files_with_their_names_and_prints_passwords_once),
        TEST(what_is_no_text_is_not_sent),
        TEST(a_password_comes_from_standard_input_or_is_made),
        TEST(a_token_goes_with_every_request),
        TEST(a_full_disk_is_no_export),
        TEST(durations_and_sizes_are_short),
        TEST(status_shows_alarms_first),
        TEST(a_status_without_anything_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
