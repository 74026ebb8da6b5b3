/* SPDX-License-Identifier: Apache-2.0 */
/* The API as clients and attackers meet it: INTERFACE's HTTP, RFC 9110, RFC 9457, RFC 7396. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- who may ask ---- */

static void each_role_may_what_interface_says(void **state)
{
    enum {
        NOBODY,
        AGENT,
        ANALYST,
        ADMIN
    };
    static const struct {
        const char *why, *method, *path, *body;
        int wanted[4]; /* nobody, agent, analyst, admin */
    } rows[] = {
        {"open to all", "GET", "/healthz", NULL, {200, 200, 200, 200}},
        {"open to all", "GET", "/readyz", NULL, {200, 200, 200, 200}},
        {"open to all", "GET", "/api/v1/openapi.json", NULL, {200, 200, 200, 200}},
        {"open on loopback", "GET", "/metrics", NULL, {200, 200, 200, 200}},
        {"reading", "GET", "/api/v1/status", NULL, {401, 403, 200, 200}},
        {"reading", "GET", "/api/v1/users", NULL, {401, 403, 200, 200}},
        {"reading one", "GET", "/api/v1/users/alice", NULL, {401, 403, 200, 200}},
        {"reading", "GET", "/api/v1/registrations", NULL, {401, 403, 200, 200}},
        {"reading", "GET", "/api/v1/history", NULL, {401, 403, 200, 200}},
        {"HEAD is GET", "HEAD", "/api/v1/users", NULL, {401, 403, 200, 200}},
        {"digests are in it", "GET", "/api/v1/export", NULL, {401, 403, 403, 200}},
        {"tokens are the admin's", "GET", "/api/v1/tokens", NULL, {401, 403, 403, 200}},
        {"reading", "GET", "/api/v1/bans", NULL, {401, 403, 200, 200}},
        {"changing", "DELETE", "/api/v1/bans/nobody", NULL, {401, 403, 403, 404}},
        {"changing", "POST", "/api/v1/tokens", "{}", {401, 403, 403, 400}},
        {"changing", "DELETE", "/api/v1/tokens/nobody", NULL, {401, 403, 403, 404}},
        {"changing", "POST", "/api/v1/apply", "users: []", {401, 403, 403, 200}},
        {"changing", "PUT", "/api/v1/users/alice", "{}", {401, 403, 403, 428}},
        {"changing", "PATCH", "/api/v1/users/alice", "{}", {401, 403, 403, 200}},
        {"changing", "DELETE", "/api/v1/users/nobody", NULL, {401, 403, 403, 404}},
        {"what is unknown below /api is not told to strangers",
         "GET",
         "/api/v1/nonsense",
         NULL,
         {401, 404, 404, 404}},
        {"nor which methods there are", "POST", "/api/v1/users", "{}", {401, 405, 405, 405}},
        {"no other spelling of a path", "GET", "//api/v1/users", NULL, {404, 404, 404, 404}},
        {"no other spelling of a path", "GET", "/API/v1/users", NULL, {404, 404, 404, 404}},
        {"no other spelling of a path",
         "GET",
         "/healthz/../api/v1/users",
         NULL,
         {404, 404, 404, 404}},
        {"no folder", "GET", "/api/v1/users/", NULL, {401, 404, 404, 404}},
        {"dots are a name", "GET", "/api/v1/users/..", NULL, {401, 403, 404, 404}},
        {"an escaped slash is a slash", "GET", "/api/v1/users/a%2fb", NULL, {401, 404, 404, 404}},
        {"a NUL would hide the rest", "GET", "/api/v1/users/alice%00x", NULL, {400, 400, 400, 400}},
        {"open paths take GET only", "DELETE", "/healthz", NULL, {405, 405, 405, 405}},
    };
    struct world *world = *state;
    const char *tokens[] = {NULL, world->agent, world->analyst, world->admin};

    apply(world, "users: [{name: alice}]");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t who = NOBODY; who <= ADMIN; who++) {
            struct reply reply =
                ask(world, tokens[who], rows[i].method, rows[i].path, NULL, rows[i].body);
            if (reply.status != rows[i].wanted[who])
                fail_msg("%s %s as %zu (%s): %d", rows[i].method, rows[i].path, who, rows[i].why,
                         reply.status);
            if (reply.status >= 400 && strcmp(rows[i].method, "HEAD") != 0) {
                assert_string_equal("application/problem+json",
                                    reply_header(&reply, "Content-Type"));
                assert_int_equal(reply.status,
                                 json_integer_value(json_object_get(reply.json, "status")));
            }
            reply_free(&reply);
        }
}

static void a_token_is_taken_as_rfc_6750_writes_it(void **state)
{
    static const struct {
        const char *why, *before;
        bool token;
        const char *after;
        int status;
    } rows[] = {
        {"as it is written", "Authorization: Bearer ", true, "", 200},
        {"schemes know no case", "Authorization: bEARER ", true, "", 200},
        {"spaces may be many", "Authorization: Bearer   ", true, "  ", 200},
        {"a token that begins right", "Authorization: Bearer ", true, "0", 401},
        {"another scheme", "Authorization: Basic ", true, "", 401},
        {"no scheme", "Authorization: ", true, "", 401},
        {"no token", "Authorization: Bearer", false, "", 401},
        {"an empty one", "Authorization: Bearer ", false, "", 401},
        {"a quote in it", "Authorization: Bearer ' OR 1=1 --", false, "", 401},
        {"in the query", "X: ", true, "", 401},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char line[512];
        snprintf(line, sizeof line, "%s%s%s\r\n", rows[i].before, rows[i].token ? world->admin : "",
                 rows[i].after);
        struct reply reply = ask(world, NULL, "GET", "/api/v1/status", line, NULL);
        if (reply.status != rows[i].status)
            fail_msg("%s: %d", rows[i].why, reply.status);
        if (reply.status == 401)
            assert_non_null(strstr(reply_header(&reply, "WWW-Authenticate"), "Bearer"));
        reply_free(&reply);
    }
}

/* DNS rebinding: a page of evil.example that points its name at us carries its name in Host. */
static void without_a_token_host_must_be_ours(void **state)
{
    static const struct {
        const char *why, *lines, *version;
        int status;
    } rows[] = {
        {"loopback's name", "Host: localhost\r\n", "1.1", 200},
        {"without case, with a port", "Host: LocalHost:8080\r\n", "1.1", 200},
        {"an address cannot be pointed elsewhere", "Host: 127.0.77.2\r\n", "1.1", 200},
        {"nor one of IPv6", "Host: [::1]:8080\r\n", "1.1", 200},
        {"our domain", "Host: example.org\r\n", "1.1", 200},
        {"with the root's dot", "Host: example.com.\r\n", "1.1", 200},
        {"a stranger", "Host: evil.example\r\n", "1.1", 421},
        {"that begins like us", "Host: localhost.evil.example\r\n", "1.1", 421},
        {"that ends like us", "Host: evil-example.com\r\n", "1.1", 421},
        {"that looks like an address", "Host: 127.0.0.1.evil.example\r\n", "1.1", 421},
        {"an empty one", "Host: \r\n", "1.1", 421},
        {"none (RFC 9112 §3.2)", "", "1.1", 400},
        {"two", "Host: localhost\r\nHost: evil.example\r\n", "1.1", 400},
        {"HTTP/1.0 needs none", "", "1.0", 200},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char request[512];
        snprintf(request, sizeof request, "GET /metrics HTTP/%s\r\n%sConnection: close\r\n\r\n",
                 rows[i].version, rows[i].lines);
        struct reply reply = ask_raw(world, request);
        if (reply.status != rows[i].status)
            fail_msg("%s: %d", rows[i].why, reply.status);
        reply_free(&reply);
    }
    /* Behind a proxy Host is the proxy's name; he who has a token is no browser's victim. */
    char request[512];
    snprintf(request, sizeof request,
             "GET /metrics HTTP/1.1\r\nHost: pbx.example.net\r\nAuthorization: Bearer %s\r\n"
             "Connection: close\r\n\r\n",
             world->analyst);
    struct reply reply = ask_raw(world, request);
    assert_int_equal(200, reply.status);
    reply_free(&reply);
}

static void the_control_socket_needs_no_token_and_no_host(void **state)
{
    struct world *world = *state;
    struct stat there;

    assert_int_equal(0, stat(world->control, &there));
    assert_int_equal(0600, there.st_mode & 07777);
    struct reply reply = ask_control(world, "POST", "/api/v1/apply", NULL, "users: [{name: a}]");
    assert_int_equal(200, reply.status);
    reply_free(&reply);
    reply = ask_control(world, "GET", "/api/v1/history", NULL, NULL);
    assert_non_null(strstr(reply.body, "\"control\""));
    reply_free(&reply);
}

/* ---- bodies ---- */

static char *blanks(size_t count)
{
    char *text = malloc(count + 1);
    assert_non_null(text);
    memset(text, ' ', count);
    text[count] = '\0';
    return text;
}

static void a_body_is_bounded(void **state)
{
    struct world *world = *state;
    char *most = blanks(API_BODY_MAX), *more = blanks((size_t)API_BODY_MAX + 1);

    json_decref(expect(world, 400, "POST", "/api/v1/tokens", NULL, most)); /* no JSON in it */
    json_decref(expect(world, 413, "POST", "/api/v1/tokens", NULL, more));
    struct reply reply = ask(world, NULL, "POST", "/api/v1/tokens", NULL, more);
    assert_int_equal(401, reply.status); /* read, not kept, and told in full */
    reply_free(&reply);
    free(most);
    free(more);
}

static void a_chunked_body_is_taken(void **state)
{
    struct world *world = *state;
    char request[1024];

    snprintf(request, sizeof request,
             "POST /api/v1/apply HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
             "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
             "6\r\nusers:\r\ne\r\n [{name: carl}\r\n1\r\n]\r\n0\r\n\r\n",
             world->admin);
    struct reply reply = ask_raw(world, request);
    assert_int_equal(200, reply.status);
    assert_non_null(strstr(reply.body, "carl"));
    reply_free(&reply);
}

static void a_refused_body_is_no_next_request(void **state)
{
    struct world *world = *state;
    static const char inner[] = "DELETE /api/v1/users/alice HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char request[512];

    snprintf(request, sizeof request,
             "PATCH /api/v1/users/alice HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n"
             "%sGET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
             sizeof inner - 1, inner);
    int fd = world_connect(world, false);
    world_send(fd, request, strlen(request));
    struct reply reply = world_read(fd);
    assert_int_equal(401, reply.status);
    assert_non_null(strstr(reply.body, "HTTP/1.1 200 OK")); /* the second answer, and no third */
    assert_null(strstr(strstr(reply.body, "HTTP/1.1 200 OK") + 1, "HTTP/1.1 "));
    reply_free(&reply);
}

/* ---- users ---- */

static void put_needs_a_condition_that_holds(void **state)
{
    struct world *world = *state;
    char old[64], current[128];

    json_decref(expect(world, 428, "PUT", "/api/v1/users/dave", NULL, "{}"));
    json_decref(expect(world, 412, "PUT", "/api/v1/users/dave", "If-Match: *\r\n", "{}"));
    struct reply reply = ask(world, world->admin, "PUT", "/api/v1/users/dave",
                             "If-None-Match: *\r\n", "{\"extension\": 104}");
    assert_int_equal(201, reply.status);
    assert_string_equal("104", reply_text(&reply, "extension"));
    assert_int_equal(19, strlen(reply_text(&reply, "password"))); /* made, shown this once */
    snprintf(old, sizeof old, "%s", reply_header(&reply, "ETag"));
    reply_free(&reply);

    json_decref(expect(world, 412, "PUT", "/api/v1/users/dave", "If-None-Match: *\r\n", "{}"));
    snprintf(current, sizeof current, "If-Match: \"other\", %s\r\n", old);
    json_t *json = expect(world, 200, "PUT", "/api/v1/users/dave", current, "{\"title\": \"T\"}");
    assert_true(json_is_null(json_object_get(json, "extension"))); /* PUT is whole */
    assert_null(json_object_get(json, "password"));                /* the old one stays */
    assert_true(json_is_true(json_object_get(json, "has_password")));
    json_decref(json);
    json_decref(expect(world, 412, "PUT", "/api/v1/users/dave", current, "{}")); /* it is old */
    json_decref(expect(world, 412, "DELETE", "/api/v1/users/dave", current, NULL));
    snprintf(current, sizeof current, "If-Match: W/%s\r\n", old);
    json_decref(expect(world, 412, "PUT", "/api/v1/users/dave", current, "{}")); /* weak */
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/dave", NULL, NULL));
    json_decref(expect(world, 404, "DELETE", "/api/v1/users/dave", NULL, NULL));
}

static void where_calls_go_on_is_shown_and_kept(void **state)
{
    struct world *world = *state;
    static const char forward[] = "{\"forward\": {\"busy\": \"user:alice\", \"no_answer\": "
                                  "{\"to\": \"user:alice\", \"after\": \"15s\"}}}";

    json_decref(expect(world, 201, "PUT", "/api/v1/users/alice", "If-None-Match: *\r\n", "{}"));
    json_decref(expect(world, 201, "PUT", "/api/v1/users/dave", "If-None-Match: *\r\n", forward));
    json_t *json = expect(world, 200, "GET", "/api/v1/users/dave", NULL, NULL);
    json_t *shown = json_object_get(json, "forward");
    assert_string_equal("user:alice", json_string_value(json_object_get(shown, "busy")));
    json_t *no_answer = json_object_get(shown, "no_answer");
    assert_string_equal("user:alice", json_string_value(json_object_get(no_answer, "to")));
    assert_string_equal("15s", json_string_value(json_object_get(no_answer, "after")));
    assert_null(json_object_get(shown, "always"));
    json_decref(json);

    json = expect(world, 409, "DELETE", "/api/v1/users/alice", NULL, NULL);
    assert_string_equal("users/dave",
                        json_string_value(json_array_get(json_object_get(json, "used_by"), 0)));
    json_decref(json);
    json = expect(world, 200, "PATCH", "/api/v1/users/dave", NULL,
                  "{\"forward\": {\"busy\": null, \"no_answer\": \"reply:480\"}}");
    shown = json_object_get(json, "forward");
    assert_null(json_object_get(shown, "busy"));
    assert_string_equal("reply:480", json_string_value(json_object_get(shown, "no_answer")));
    json_decref(json);
    json = expect(world, 409, "PATCH", "/api/v1/users/dave", NULL,
                  "{\"forward\": {\"busy\": \"user:nobody\"}}");
    json_decref(json);
    json = expect(world, 200, "PATCH", "/api/v1/users/dave", NULL, "{\"forward\": null}");
    assert_true(json_is_null(json_object_get(json, "forward")));
    json_decref(json);
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/alice", NULL, NULL));
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/dave", NULL, NULL));
}

static void get_answers_304_to_who_knows_it(void **state)
{
    struct world *world = *state;
    char line[128];

    apply(world, "users: [{name: alice}]");
    struct reply reply = ask(world, world->admin, "GET", "/api/v1/users/alice", NULL, NULL);
    snprintf(line, sizeof line, "If-None-Match: W/%s\r\n", reply_header(&reply, "ETag"));
    reply_free(&reply);
    reply = ask(world, world->admin, "GET", "/api/v1/users/alice", line, NULL);
    assert_int_equal(304, reply.status);
    assert_string_equal("", reply.body);
    reply_free(&reply);
    apply(world, "users: [{name: alice, title: Queen}]");
    reply = ask(world, world->admin, "GET", "/api/v1/users/alice", line, NULL);
    assert_int_equal(200, reply.status);
    reply_free(&reply);
}

static void of_two_who_read_the_same_one_writes(void **state)
{
    struct world *world = *state;

    for (int round = 0; round < 20; round++) {
        char request[2][512], etag[64], body[32];
        apply(world, "users: [{name: alice, title: start}]");
        struct reply reply = ask(world, world->admin, "GET", "/api/v1/users/alice", NULL, NULL);
        snprintf(etag, sizeof etag, "%s", reply_header(&reply, "ETag"));
        reply_free(&reply);
        int fds[2];
        for (int i = 0; i < 2; i++) { /* one per thread of the api */
            snprintf(body, sizeof body, "{\"title\": \"%d\"}", i);
            snprintf(request[i], sizeof request[i],
                     "PUT /api/v1/users/alice HTTP/1.1\r\nHost: localhost\r\nIf-Match: %s\r\n"
                     "Authorization: Bearer %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n"
                     "%s",
                     etag, world->admin, strlen(body), body);
            fds[i] = world_connect(world, i == 0);
        }
        for (int i = 0; i < 2; i++)
            world_send(fds[i], request[i], strlen(request[i]));
        struct reply first = world_read(fds[0]), second = world_read(fds[1]);
        assert_int_equal(200 + 412, first.status + second.status);
        reply_free(&first);
        reply_free(&second);
    }
}

static void patch_merges_as_rfc_7396_says(void **state)
{
    static const struct {
        const char *why, *patch;
        int status;
        const char *field, *value; /* afterwards; NULL: null */
    } rows[] = {
        {"a field is set", "{\"title\": \"Head\"}", 200, "title", "Head"},
        {"others stay", "{}", 200, "display_name", "Alice"},
        {"null takes one away", "{\"display_name\": null}", 200, "display_name", NULL},
        {"a list is replaced", "{\"language\": [\"fr\"]}", 200, "title", "Head"},
        {"what is shown may come back", "{\"has_password\": false}", 200, "title", "Head"},
        {"an unknown field", "{\"titel\": \"x\"}", 422, "title", "Head"},
        {"a value of the wrong type", "{\"do_not_disturb\": \"maybe\"}", 422, "title", "Head"},
        {"another name", "{\"name\": \"bob\"}", 422, "title", "Head"},
        {"somebody's extension", "{\"extension\": \"102\"}", 409, "extension", "101"},
        {"no object", "[1]", 400, "title", "Head"},
        {"no JSON", "{title: x}", 400, "title", "Head"},
        {"nothing", "", 400, "title", "Head"},
        {"a key twice", "{\"title\": \"a\", \"title\": \"b\"}", 400, "title", "Head"},
        {"YAML in a text is text", "{\"title\": \"a: [b\\\", {\"}", 200, "title", "a: [b\", {"},
        {"an emoji", "{\"title\": \"\\ud83d\\ude00\"}", 200, "title", "\xf0\x9f\x98\x80"},
    };
    struct world *world = *state;

    apply(world, "users: [{name: alice, display_name: Alice, extension: 101}, "
                 "{name: bob, extension: 102}]");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reply reply = ask(world, world->admin, "PATCH", "/api/v1/users/alice",
                                 "Content-Type: application/merge-patch+json\r\n", rows[i].patch);
        if (reply.status != rows[i].status)
            fail_msg("%s: %d %s", rows[i].why, reply.status, reply.body);
        reply_free(&reply);
        reply = ask(world, world->admin, "GET", "/api/v1/users/alice", NULL, NULL);
        const char *value = reply_text(&reply, rows[i].field);
        if (rows[i].value == NULL)
            assert_null(value);
        else if (value == NULL || strcmp(value, rows[i].value) != 0)
            fail_msg("%s: %s is %s", rows[i].why, rows[i].field, value);
        reply_free(&reply);
    }
    json_decref(expect(world, 404, "PATCH", "/api/v1/users/nobody", NULL, "{}"));
}

static void a_problem_names_the_field(void **state)
{
    struct world *world = *state;
    json_t *json = expect(world, 422, "PUT", "/api/v1/users/eve", "If-None-Match: *\r\n",
                          "{\"extention\": 1}");

    assert_string_equal("extention", json_string_value(json_object_get(json, "field")));
    assert_non_null(strstr(json_string_value(json_object_get(json, "detail")), "extension"));
    assert_string_equal("about:blank", json_string_value(json_object_get(json, "type")));
    assert_string_equal("Unprocessable Content", json_string_value(json_object_get(json, "title")));
    json_decref(json);
}

/** Names of all pages; at most `pages` of them are asked for. */
static void read_pages(struct world *world, const char *path, const char *field, json_t *all,
                       size_t pages)
{
    char cursor[256] = "", url[512];

    for (size_t i = 0; i < pages; i++) {
        snprintf(url, sizeof url, "%s%s%s", path, cursor[0] != '\0' ? "&cursor=" : "", cursor);
        json_t *page = expect(world, 200, "GET", url, NULL, NULL);
        json_t *items = json_object_get(page, "items"), *item;
        size_t k;
        json_array_foreach(items, k, item) json_array_append(all, json_object_get(item, field));
        const json_t *next = json_object_get(page, "next");
        snprintf(cursor, sizeof cursor, "%s", json_is_null(next) ? "" : json_string_value(next));
        json_decref(page);
        if (cursor[0] == '\0')
            return;
    }
    fail_msg("%s does not end", path);
}

static void pages_hold_what_the_list_holds(void **state)
{
    static const struct {
        const char *why, *path, *all;
    } rows[] = {
        {"one at a time", "/api/v1/users?limit=1", "[\"a+b\",\"ann\",\"bob\",\"cat\",\"dan\"]"},
        {"a page that just fits", "/api/v1/users?limit=5",
         "[\"a+b\",\"ann\",\"bob\",\"cat\",\"dan\"]"},
        {"one more than fits", "/api/v1/users?limit=4",
         "[\"a+b\",\"ann\",\"bob\",\"cat\",\"dan\"]"},
        {"downwards", "/api/v1/users?limit=2&sort=-name",
         "[\"dan\",\"cat\",\"bob\",\"ann\",\"a+b\"]"},
        {"by extension", "/api/v1/users?limit=1&sort=extension",
         "[\"cat\",\"dan\",\"bob\",\"a+b\",\"ann\"]"},
        {"by extension downwards", "/api/v1/users?limit=1&sort=-extension",
         "[\"ann\",\"a+b\",\"bob\",\"dan\",\"cat\"]"},
        {"filtered", "/api/v1/users?limit=1&role=admin,analyst", "[\"ann\",\"bob\"]"},
        {"by an empty filter", "/api/v1/users?name=", "[]"},
    };
    struct world *world = *state;

    apply(world, "users: [{name: ann, extension: 103, role: admin}, {name: bob, extension: '*1', "
                 "role: analyst}, {name: cat}, {name: dan, extension: '#9'}, "
                 "{name: a+b, extension: 102}]");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *all = json_array();
        read_pages(world, rows[i].path, "name", all, 8);
        char *text = json_dumps(all, JSON_COMPACT);
        if (strcmp(text, rows[i].all) != 0)
            fail_msg("%s: %s", rows[i].why, text);
        free(text);
        json_decref(all);
    }
}

static void a_page_goes_on_where_a_user_was_deleted(void **state)
{
    struct world *world = *state;

    apply(world, "users: [{name: a}, {name: b}, {name: c}, {name: d}]");
    json_t *page = expect(world, 200, "GET", "/api/v1/users?limit=2", NULL, NULL);
    char path[128];
    snprintf(path, sizeof path, "/api/v1/users?cursor=%s",
             json_string_value(json_object_get(page, "next")));
    json_decref(page);
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/b", NULL, NULL));
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/a", NULL, NULL));
    json_t *all = json_array();
    read_pages(world, path, "name", all, 1);
    char *text = json_dumps(all, JSON_COMPACT);
    assert_string_equal("[\"c\",\"d\"]", text);
    free(text);
    json_decref(all);
}

static void a_query_that_is_not_understood_is_refused(void **state)
{
    static const struct {
        const char *method, *path, *field;
    } rows[] = {
        {"GET", "/api/v1/users?limit=0", "limit"},
        {"GET", "/api/v1/users?limit=1001", "limit"},
        {"GET", "/api/v1/users?limit=1x", "limit"},
        {"GET", "/api/v1/users?limit=-1", "limit"},
        {"GET", "/api/v1/users?limit", "limit"},
        {"GET", "/api/v1/users?limit=99999999999999999999999", "limit"},
        {"GET", "/api/v1/users?limt=5", "limt"},
        {"GET", "/api/v1/users?cursor=", "cursor"},
        {"GET", "/api/v1/users?cursor=garbage", "cursor"},
        {"GET", "/api/v1/users?sort=email", "sort"},
        {"GET", "/api/v1/registrations?cursor=1.2.3", "cursor"},
        {"GET", "/api/v1/registrations?cursor=1.2.3.4.x", "cursor"},
        {"GET", "/api/v1/history?cursor=x", "cursor"},
        {"GET", "/api/v1/status?x=1", "x"},
        {"POST", "/api/v1/apply?dryrun=1", "dryrun"},
        {"POST", "/api/v1/apply?dry_run=yes", "dry_run"},
        {"POST", "/api/v1/apply?prune=trunks", "prune"},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *json = expect(world, 400, rows[i].method, rows[i].path, NULL, NULL);
        assert_string_equal(rows[i].field, json_string_value(json_object_get(json, "field")));
        json_decref(json);
    }
    json_decref(expect(world, 200, "GET", "/api/v1/users?limit=1000", NULL, NULL));
    json_decref(
        expect(world, 200, "GET",
               "/api/v1/registrations?cursor=ffffffff.ffffffffffffffff.ffffffffffffffff.ffffffff.0",
               NULL, NULL));
}

/* ---- apply ---- */

static size_t length(const json_t *json, const char *member)
{
    return json_array_size(json_object_get(json, member));
}

static void apply_says_what_it_does_and_shows_a_password_once(void **state)
{
    struct world *world = *state;
    static const char yaml[] = "users:\n  - {name: ann}\n  - {name: bob, password: long-enough}\n";

    json_t *json = expect(world, 200, "POST", "/api/v1/apply?dry_run=1", NULL, yaml);
    assert_int_equal(2, length(json, "created"));
    assert_int_equal(0, length(json, "passwords"));
    json_decref(json);
    assert_int_equal(0, world->policy_changes);
    json_decref(expect(world, 404, "GET", "/api/v1/users/ann", NULL, NULL));

    json = expect(world, 200, "POST", "/api/v1/apply", NULL, yaml);
    assert_int_equal(2, length(json, "created"));
    assert_int_equal(1, length(json, "passwords"));
    json_decref(json);
    assert_int_equal(1, world->policy_changes);

    json = expect(world, 200, "POST", "/api/v1/apply", NULL, yaml);
    assert_int_equal(2, length(json, "left"));
    assert_int_equal(0, length(json, "passwords"));
    json_decref(json);
    assert_int_equal(1, world->policy_changes); /* nothing to swap */

    json = expect(world, 200, "POST", "/api/v1/apply?prune=users", NULL, "users: [{name: ann}]");
    assert_int_equal(1, length(json, "deleted"));
    json_decref(json);
    json_decref(expect(world, 422, "POST", "/api/v1/apply?prune=users", NULL, " \n"));
    json_decref(expect(world, 200, "POST", "/api/v1/apply?prune=users", NULL, "users: []"));
    json_decref(expect(world, 404, "GET", "/api/v1/users/ann", NULL, NULL));
}

static void apply_of_files_names_file_line_and_column(void **state)
{
    struct world *world = *state;
    json_t *json = expect(
        world, 422, "POST", "/api/v1/apply", "Content-Type: Application/JSON; charset=utf-8\r\n",
        "{\"files\": [{\"file\": \"one.yaml\", \"text\": \"users: [{name: ann}]\"},"
        "{\"file\": \"two.yaml\", \"text\": \"users:\\n  - {name: bob, extention: 1}\\n"
        "  - {nam: x}\"}]}");

    assert_true(length(json, "errors") >= 2);
    const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
    assert_string_equal("two.yaml", json_string_value(json_object_get(first, "file")));
    assert_int_equal(2, json_integer_value(json_object_get(first, "line")));
    assert_non_null(
        strstr(json_string_value(json_object_get(first, "message")), "two.yaml:2:17: error: "));
    json_decref(json);
    json_decref(expect(world, 404, "GET", "/api/v1/users/ann", NULL, NULL)); /* all or nothing */

    static const char *const broken[] = {
        "", "{", "[]", "{\"files\": 1}", "{\"files\": [1]}", "{\"files\": [{\"file\": \"x\"}]}"};
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        json_decref(expect(world, 400, "POST", "/api/v1/apply",
                           "Content-Type: application/json\r\n", broken[i]));
}

static void errors_that_are_not_utf8_are_still_told(void **state)
{
    struct world *world = *state;
    json_t *json =
        expect(world, 422, "POST", "/api/v1/apply", NULL, "users: [{name: \"a\xff\xfe\"}]");

    assert_true(length(json, "errors") >= 1);
    assert_non_null(json_object_get(json, "detail"));
    json_decref(json);
}

static void what_cannot_be_made_live_is_said(void **state)
{
    struct world *world = *state;

    world->policy_fails = true;
    json_t *json = expect(world, 500, "POST", "/api/v1/apply", NULL, "users: [{name: ann}]");
    assert_non_null(
        strstr(json_string_value(json_object_get(json, "detail")), "no worker answers"));
    json_decref(json);
}

static void an_export_can_be_applied_and_has_no_password(void **state)
{
    struct world *world = *state;

    apply(world, "users: [{name: ann, password: very-secret-word, extension: 101}]");
    struct reply exported = ask(world, world->admin, "GET", "/api/v1/export", NULL, NULL);
    assert_int_equal(200, exported.status);
    assert_string_equal("application/yaml", reply_header(&exported, "Content-Type"));
    assert_null(strstr(exported.body, "very-secret-word"));
    json_t *json = expect(world, 200, "POST", "/api/v1/apply", NULL, exported.body);
    assert_int_equal(1, length(json, "left"));
    json_decref(json);
    reply_free(&exported);
}

/* ---- registrations ---- */

static void a_binding_is_one_item_and_safe_to_show(void **state)
{
    struct world *world = *state;

    bind_aor(world, "alice", 2);
    json_t *json =
        expect(world, 200, "GET", "/api/v1/registrations?aor=sip:alice@example.com", NULL, NULL);
    assert_int_equal(2, length(json, "items"));
    const json_t *item = json_array_get(json_object_get(json, "items"), 0);
    assert_string_equal("sip:alice@example.com", json_string_value(json_object_get(item, "aor")));
    assert_string_equal("sip:alice@192.0.2.0", json_string_value(json_object_get(item, "contact")));
    assert_string_equal("Ph?ne\x1b[2J", json_string_value(json_object_get(item, "user_agent")));
    assert_string_equal("udp", json_string_value(json_object_get(item, "transport")));
    assert_string_equal("up", json_string_value(json_object_get(item, "flow")));
    assert_in_range(json_integer_value(json_object_get(item, "expires_in")), 3500, 3600);
    assert_int_equal(2147483647, json_integer_value(json_object_get(item, "cseq")));
    json_decref(json);
    json = expect(world, 200, "GET", "/api/v1/registrations?aor=bob", NULL, NULL);
    assert_int_equal(0, length(json, "items"));
    json_decref(json);
}

static void no_binding_is_missed_while_the_table_grows(void **state)
{
    enum {
        BEFORE = 300,
        MORE = 3000
    };
    struct world *world = *state;
    char name[32], path[128] = "/api/v1/registrations?limit=70";
    json_t *seen = json_object();
    unsigned added = 0;

    for (unsigned i = 0; i < BEFORE; i++) {
        snprintf(name, sizeof name, "old%u", i);
        bind_aor(world, name, 1 + i % 3);
    }
    for (unsigned page = 0; page < 200; page++) {
        json_t *json = expect(world, 200, "GET", path, NULL, NULL), *item;
        size_t i;
        assert_true(length(json, "items") <= 70);
        json_array_foreach(json_object_get(json, "items"), i, item)
            json_object_set(seen, json_string_value(json_object_get(item, "contact")), item);
        const char *next = json_string_value(json_object_get(json, "next"));
        snprintf(path, sizeof path, "/api/v1/registrations?limit=70&cursor=%s",
                 next != NULL ? next : "");
        bool done = next == NULL;
        json_decref(json);
        if (done)
            break;
        for (unsigned k = 0; k < 400 && added < MORE; k++, added++) {
            snprintf(name, sizeof name, "new%u", added);
            bind_aor(world, name, 1);
        }
    }
    for (unsigned i = 0; i < BEFORE; i++)
        for (unsigned k = 0; k < 1 + i % 3; k++) {
            char contact[64];
            snprintf(contact, sizeof contact, "sip:old%u@192.0.2.%u", i, k);
            if (json_object_get(seen, contact) == NULL)
                fail_msg("%s was missed", contact);
        }
    json_decref(seen);
}

static void a_page_may_end_within_one_aor(void **state)
{
    struct world *world = *state;
    json_t *all = json_array();

    bind_aor(world, "alice", 5);
    bind_aor(world, "bob", 4);
    read_pages(world, "/api/v1/registrations?limit=2", "contact", all, 6);
    assert_int_equal(9, json_array_size(all));
    json_decref(all);
    all = json_array();
    read_pages(world, "/api/v1/registrations?limit=3&aor=alice", "contact", all, 3);
    assert_int_equal(5, json_array_size(all));
    json_decref(all);
}

/* ---- the rest ---- */

static void tokens_are_made_listed_and_deleted(void **state)
{
    static const struct {
        const char *why, *body;
        int status;
    } rows[] = {
        {"a good one", "{\"name\": \"prom\", \"role\": \"analyst\"}", 201},
        {"a name twice", "{\"name\": \"prom\", \"role\": \"admin\"}", 409},
        {"a role that is none", "{\"name\": \"x\", \"role\": \"king\"}", 422},
        {"an empty name", "{\"name\": \"\", \"role\": \"admin\"}", 422},
        {"a name no path can hold", "{\"name\": \"a/b\", \"role\": \"admin\"}", 422},
        {"no role", "{\"name\": \"x\"}", 400},
        {"too much", "{\"name\": \"x\", \"role\": \"admin\", \"more\": 1}", 400},
        {"a number", "{\"name\": 1, \"role\": \"admin\"}", 400},
        {"a list", "[]", 400},
    };
    struct world *world = *state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reply reply = ask(world, world->admin, "POST", "/api/v1/tokens", NULL, rows[i].body);
        if (reply.status != rows[i].status)
            fail_msg("%s: %d %s", rows[i].why, reply.status, reply.body);
        if (reply.status == 201) {
            struct reply use =
                ask(world, reply_text(&reply, "token"), "GET", "/api/v1/status", NULL, NULL);
            assert_int_equal(200, use.status);
            reply_free(&use);
        }
        reply_free(&reply);
    }
    json_t *all = json_array();
    read_pages(world, "/api/v1/tokens?limit=1", "name", all, 5);
    char *text = json_dumps(all, JSON_COMPACT);
    assert_string_equal("[\"eyes\",\"phone\",\"prom\",\"root\"]", text);
    free(text);
    json_decref(all);
    json_decref(expect(world, 204, "DELETE", "/api/v1/tokens/eyes", NULL, NULL));
    struct reply reply = ask(world, world->analyst, "GET", "/api/v1/status", NULL, NULL);
    assert_int_equal(401, reply.status);
    reply_free(&reply);
}

static void bans_are_listed_and_lifted(void **state)
{
    struct world *world = *state;
    json_t *all = json_array();

    read_pages(world, "/api/v1/bans?limit=2", "name", all, 2);
    char *text = json_dumps(all, JSON_COMPACT);
    assert_string_equal("[\"alice@192.0.2.7\",\"b?b@2001:db8:0:1::\",\"c\"]", text);
    free(text);
    json_decref(all);

    const char *path = "/api/v1/bans/alice%40192.0.2.7";
    json_t *one = expect(world, 200, "GET", path, NULL, NULL);
    assert_string_equal("alice@192.0.2.7", json_string_value(json_object_get(one, "name")));
    json_decref(one);
    json_decref(expect(world, 404, "GET", "/api/v1/bans/alice", NULL, NULL));
    json_decref(expect(world, 200, "GET", "/api/v1/bans/b%3Fb@2001:db8:0:1::", NULL, NULL));

    json_decref(expect(world, 204, "DELETE", path, NULL, NULL));
    json_decref(expect(world, 404, "DELETE", path, NULL, NULL));
    json_decref(expect(world, 404, "GET", path, NULL, NULL));
    world->workers_silent = true;
    json_decref(expect(world, 503, "GET", "/api/v1/bans", NULL, NULL));
    json_decref(expect(world, 503, "GET", "/api/v1/bans/c", NULL, NULL));
    json_decref(expect(world, 503, "DELETE", "/api/v1/bans/c", NULL, NULL));
}

static void history_is_read_backwards(void **state)
{
    struct world *world = *state;
    json_t *all = json_array();

    apply(world, "users: [{name: ann}]");
    json_decref(expect(world, 200, "PATCH", "/api/v1/users/ann", NULL, "{\"title\": \"x\"}"));
    json_decref(expect(world, 204, "DELETE", "/api/v1/users/ann", NULL, NULL));
    read_pages(world, "/api/v1/history?limit=1", "what", all, 4);
    char *text = json_dumps(all, JSON_COMPACT);
    assert_string_equal("[\"delete users ann\",\"change users ann\",\"apply\"]", text);
    free(text);
    json_decref(all);
}

static void metrics_are_text_for_prometheus(void **state)
{
    struct world *world = *state;
    struct reply reply = ask(world, NULL, "GET", "/metrics", NULL, NULL);

    assert_string_equal("text/plain; version=0.0.4; charset=utf-8",
                        reply_header(&reply, "Content-Type"));
    assert_string_equal("# HELP strowger_test_total A test.\n"
                        "# TYPE strowger_test_total counter\n"
                        "strowger_test_total{reason=\"loop\"} 3\n"
                        "strowger_test_total 18446744073709551615\n",
                        reply.body);
    reply_free(&reply);
}

static void not_ready_is_503(void **state)
{
    struct world *world = *state;

    world->ready = false;
    json_decref(expect(world, 503, "GET", "/readyz", NULL, NULL));
    json_decref(expect(world, 200, "GET", "/healthz", NULL, NULL));
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
    struct world *world = *state;
    struct reply reply = ask(world, world->admin, "POST", "/api/v1/users/x", NULL, "{}");

    assert_int_equal(405, reply.status);
    assert_string_equal("GET, HEAD, PUT, PATCH, DELETE", reply_header(&reply, "Allow"));
    reply_free(&reply);
}

static void the_openapi_document_has_every_path(void **state)
{
    struct world *world = *state;
    json_t *json = expect(world, 200, "GET", "/api/v1/openapi.json", NULL, NULL);
    const json_t *paths = json_object_get(json, "paths");

    assert_non_null(json_object_get(json_object_get(paths, "/api/v1/users/{name}"), "patch"));
    assert_non_null(json_object_get(json_object_get(paths, "/api/v1/apply"), "post"));
    assert_non_null(json_object_get(json_object_get(paths, "/api/v1/calls/{name}/hangup"), "post"));
    assert_int_equal(19, json_object_size(paths));
    json_decref(json);
}

static void a_name_in_the_middle_of_a_path_ends_at_its_slash(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *method, *path;
        int status;
        const char *detail;
    } cases[] = {
        {"POST", "/api/v1/calls/0000000000000001/hangup", 404, "there is no call 0000000000000001"},
        {"POST", "/api/v1/calls/abc/hangup", 404, "there is no call abc"},
        {"POST", "/api/v1/calls//hangup", 404, "there is no /api/v1/calls//hangup"},
        {"POST", "/api/v1/calls/a/b/hangup", 404, "there is no /api/v1/calls/a/b/hangup"},
        {"POST", "/api/v1/calls/a/hangup/", 404, "there is no /api/v1/calls/a/hangup/"},
        {"POST", "/api/v1/calls/a/hang", 404, "there is no /api/v1/calls/a/hang"},
        {"GET", "/api/v1/calls/a/hangup", 405, "/api/v1/calls/a/hangup takes no GET"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *json = expect(world, cases[i].status, cases[i].method, cases[i].path, NULL, NULL);
        assert_string_equal(cases[i].detail, json_string_value(json_object_get(json, "detail")));
        json_decref(json);
    }
}

/* ---- sockets ---- */

static void a_path_that_is_no_dead_socket_is_left_alone(void **state)
{
    struct world *world = *state;
    char problem[API_PROBLEM_MAX] = "", file[128];
    struct api_config config = world->config;
    struct api *other = NULL;

    config.tcp = false;
    assert_int_equal(ERR_IO, api_open(&config, problem, &other)); /* somebody answers there */
    assert_non_null(strstr(problem, "another server"));
    struct reply reply = ask_control(world, "GET", "/healthz", NULL, NULL);
    assert_int_equal(200, reply.status);
    reply_free(&reply);

    snprintf(file, sizeof file, "%s/precious", world->folder);
    fclose(fopen(file, "w"));
    config.control = file;
    assert_int_equal(ERR_IO, api_open(&config, problem, &other));
    assert_non_null(strstr(problem, "no socket"));
    assert_int_equal(0, unlink(file)); /* it was there still */

    char longest[200];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    config.control = longest;
    assert_int_equal(ERR_IO, api_open(&config, problem, &other));
}

static void many_connections_do_not_shut_the_control_socket(void **state)
{
    enum {
        MANY = 300
    };
    struct world *world = *state;
    int fds[MANY];

    for (int i = 0; i < MANY; i++)
        fds[i] = world_connect(world, false);
    struct reply reply = ask_control(world, "GET", "/api/v1/status", NULL, NULL);
    assert_int_equal(200, reply.status);
    reply_free(&reply);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    int status = 0; /* closed at once for as long as the others are still counted */
    for (int i = 0; i < 10000 && status == 0; i++) {
        reply = ask(world, NULL, "GET", "/healthz", NULL, NULL);
        status = reply.status;
        reply_free(&reply);
    }
    assert_int_equal(200, status);
}

/* ---- asking twice ---- */

static const char new_token[] = "{\"name\": \"ci\", \"role\": \"agent\"}";

static struct reply post(struct world *world, const char *token, const char *path, const char *key,
                         const char *body)
{
    char headers[512];

    snprintf(headers, sizeof headers, "Idempotency-Key: %s\r\n", key);
    return ask(world, token, "POST", path, headers, body);
}

static void expect_post(struct world *world, int status, const char *path, const char *key,
                        const char *body)
{
    struct reply reply = post(world, world->admin, path, key, body);
    if (reply.status != status)
        fail_msg("%s with key %.40s: %d %s", path, key, reply.status, reply.body);
    reply_free(&reply);
}

static void who_asks_again_with_his_key_hears_the_same(void **state)
{
    struct world *world = *state;

    struct reply first = post(world, world->admin, "/api/v1/tokens", "k1", new_token);
    struct reply again = post(world, world->admin, "/api/v1/tokens", "k1", new_token);
    assert_int_equal(201, first.status);
    assert_int_equal(201, again.status);
    assert_string_equal(first.body, again.body);
    assert_string_equal("application/json", reply_header(&again, "Content-Type"));
    reply_free(&first);
    reply_free(&again);

    expect_post(world, 409, "/api/v1/tokens", "k2", new_token); /* a new key is a new request */
    expect_post(world, 409, "/api/v1/tokens", "k2", new_token); /* its refusal is its answer */
    json_decref(expect(world, 204, "DELETE", "/api/v1/tokens/ci", NULL, NULL));
    expect_post(world, 409, "/api/v1/tokens", "k2", new_token);
    expect_post(world, 201, "/api/v1/tokens", "k3", new_token);

    apply(world, "users: [{name: ann}]");
    unsigned changes = world->policy_changes;
    expect_post(world, 200, "/api/v1/apply", "k4", "users: [{name: bob}]");
    expect_post(world, 200, "/api/v1/apply", "k4", "users: [{name: bob}]");
    assert_int_equal(changes + 1, world->policy_changes);
}

static void a_key_is_for_one_request_of_one_sender(void **state)
{
    struct world *world = *state;

    expect_post(world, 201, "/api/v1/tokens", "k", new_token);
    expect_post(world, 422, "/api/v1/tokens", "k", "{\"name\": \"d\", \"role\": \"agent\"}");
    expect_post(world, 422, "/api/v1/apply", "k", new_token);
    expect_post(world, 200, "/api/v1/apply?dry_run=1", "d", "users: [{name: ann}]");
    expect_post(world, 422, "/api/v1/apply", "d", "users: [{name: ann}]");

    struct reply other =
        ask_control(world, "POST", "/api/v1/tokens", "Idempotency-Key: k\r\n", new_token);
    assert_int_equal(409, other.status); /* carried out: the name is taken */
    assert_non_null(strstr(other.body, "there is a token named ci"));
    reply_free(&other);
    other = post(world, world->analyst, "/api/v1/tokens", "k", new_token);
    assert_int_equal(403, other.status);
    reply_free(&other);
}

static void the_key_of_a_token_that_is_gone_is_forgotten(void **state)
{
    static const char root[] = "{\"name\": \"boss\", \"role\": \"admin\"}";
    struct world *world = *state;

    for (unsigned i = 0; i < 2; i++) {
        struct reply made = ask(world, world->admin, "POST", "/api/v1/tokens", NULL, root);
        assert_int_equal(201, made.status);
        struct reply reply =
            post(world, reply_text(&made, "token"), "/api/v1/tokens", "k", new_token);
        assert_int_equal(i == 0 ? 201 : 409, reply.status); /* another boss hears no secret */
        reply_free(&reply);
        reply_free(&made);
        json_decref(expect(world, 204, "DELETE", "/api/v1/tokens/boss", NULL, NULL));
    }
}

static void what_failed_for_a_reason_of_ours_is_tried_again(void **state)
{
    struct world *world = *state;

    world->policy_fails = true;
    expect_post(world, 500, "/api/v1/apply", "k", "users: [{name: ann}]");
    world->policy_fails = false;
    expect_post(world, 200, "/api/v1/apply", "k", "users: [{name: ann}]");
}

static void a_key_has_a_length_and_others_push_it_out(void **state)
{
    struct world *world = *state;
    char key[API_ONCE_KEY_MAX + 2], name[16];

    memset(key, 'k', sizeof key);
    key[API_ONCE_KEY_MAX + 1] = '\0';
    expect_post(world, 400, "/api/v1/tokens", key, new_token);
    key[API_ONCE_KEY_MAX] = '\0';
    expect_post(world, 201, "/api/v1/tokens", key, new_token);
    for (unsigned i = 1; i < API_ONCE_PER_SENDER; i++) {
        snprintf(name, sizeof name, "n%u", i);
        expect_post(world, 400, "/api/v1/tokens", name, "[]");
    }
    expect_post(world, 201, "/api/v1/tokens", key, new_token); /* at the limit: it is known */
    expect_post(world, 400, "/api/v1/tokens", "one more", "[]");
    expect_post(world, 409, "/api/v1/tokens", key, new_token);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_role_may_what_interface_says),
        TEST(a_token_is_taken_as_rfc_6750_writes_it),
        TEST(without_a_token_host_must_be_ours),
        TEST(the_control_socket_needs_no_token_and_no_host),
        TEST(a_body_is_bounded),
        TEST(a_chunked_body_is_taken),
        TEST(a_refused_body_is_no_next_request),
        TEST(put_needs_a_condition_that_holds),
        TEST(where_calls_go_on_is_shown_and_kept),
        TEST(get_answers_304_to_who_knows_it),
        TEST(of_two_who_read_the_same_one_writes),
        TEST(patch_merges_as_rfc_7396_says),
        TEST(a_problem_names_the_field),
        TEST(pages_hold_what_the_list_holds),
        TEST(a_page_goes_on_where_a_user_was_deleted),
        TEST(a_query_that_is_not_understood_is_refused),
        TEST(apply_says_what_it_does_and_shows_a_password_once),
        TEST(apply_of_files_names_file_line_and_column),
        TEST(errors_that_are_not_utf8_are_still_told),
        TEST(what_cannot_be_made_live_is_said),
        TEST(an_export_can_be_applied_and_has_no_password),
        TEST(a_binding_is_one_item_and_safe_to_show),
        TEST(no_binding_is_missed_while_the_table_grows),
        TEST(a_page_may_end_within_one_aor),
        TEST(tokens_are_made_listed_and_deleted),
        TEST(bans_are_listed_and_lifted),
        TEST(history_is_read_backwards),
        TEST(who_asks_again_with_his_key_hears_the_same),
        TEST(a_key_is_for_one_request_of_one_sender),
        TEST(the_key_of_a_token_that_is_gone_is_forgotten),
        TEST(what_failed_for_a_reason_of_ours_is_tried_again),
        TEST(a_key_has_a_length_and_others_push_it_out),
        TEST(metrics_are_text_for_prometheus),
        TEST(not_ready_is_503),
        TEST(a_wrong_method_is_told_the_right_ones),
        TEST(the_openapi_document_has_every_path),
        TEST(a_name_in_the_middle_of_a_path_ends_at_its_slash),
        TEST(a_path_that_is_no_dead_socket_is_left_alone),
        TEST(many_connections_do_not_shut_the_control_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
