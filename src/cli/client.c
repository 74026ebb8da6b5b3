/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/client - HTTP to the server, over its control socket or by TCP.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/internal.h"
#include "config/config.h"

enum {
    CONNECT_TIMEOUT_S = 10,
    TIMEOUT_S = 300, /* an apply of a million users takes its time */
};

/** --server, else $STROWGER_SERVER, else `control:` of -c, else the default socket. */
static bool find_server(const struct cli *cli, char *out, size_t size)
{
    const char *server = cli->server != NULL ? cli->server : getenv("STROWGER_SERVER");
    struct config_errors errors = {0};
    struct config *config = NULL;
    char path[CLI_PATH_MAX - 8];

    if (server != NULL && server[0] != '\0') {
        snprintf(out, size, "%s%s", server[0] == '/' ? "unix:" : "", server);
        return true;
    }
    bool found = config_load(cli->config, &errors, &config) == OK &&
                 config_control_path(config, path, sizeof path) == OK;
    if (found)
        snprintf(out, size, "unix:%s", path);
    cli_print_errors(&errors);
    config_errors_release(&errors);
    config_free(config);
    return found;
}

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct cli_reply *reply = user;
    size_t len = size * count;
    char *body = realloc(reply->body, reply->len + len + 1);

    if (body == NULL)
        return 0;
    memcpy(body + reply->len, data, len);
    reply->body = body;
    reply->len += len;
    body[reply->len] = '\0';
    return len;
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[1024];

    if (value == NULL)
        return list;
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(list, line);
    return longer != NULL ? longer : list;
}

/** Sets the URL and, for a unix: server, the socket. */
static void set_target(CURL *curl, const char *server, const char *path)
{
    char url[CLI_PATH_MAX + 1024];

    if (strncmp(server, "unix:", 5) == 0) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, server + 5);
        snprintf(url, sizeof url, "http://localhost%s", path);
    } else {
        bool scheme = strncmp(server, "http://", 7) == 0 || strncmp(server, "https://", 8) == 0;
        size_t len = strlen(server);
        while (len > 0 && server[len - 1] == '/')
            len--;
        snprintf(url, sizeof url, "%s%.*s%s", scheme ? "" : "http://", (int)len, server, path);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
}

/** What to do about a control socket on which nobody answers. */
static const char *advice(const char *server, long error)
{
    static const char root_socket[] = "/run/strowger/control.sock";

    if (error == EACCES)
        return "you may not open it: sudo strowger ..., or as the user that runs it";
    if (strncmp(server, "unix:", 5) == 0 && error == ENOENT && geteuid() != 0 &&
        strcmp(server + 5, root_socket) != 0 && access(root_socket, F_OK) == 0)
        return "there is one of root's: sudo strowger ...";
    if (strncmp(server, "unix:", 5) == 0 && (error == ENOENT || error == ECONNREFUSED))
        return "is it running (systemctl status strowger, or strowger serve)? With a control "
               "socket of its own: -c FILE or --server unix:PATH";
    return "is it running (strowger serve)? Another one: --server";
}

static void say_unreachable(struct cli_reply *reply, const char *server, const char *why,
                            long error)
{
    char text[CLI_PATH_MAX + 512];

    snprintf(text, sizeof text, "the server at %s cannot be reached: %s; %s", server,
             error != 0 ? strerror((int)error) : why, advice(server, error));
    free(reply->body);
    *reply = (struct cli_reply){.exit = CLI_UNREACHABLE, .body = strdup(text)};
}

static struct curl_slist *make_headers(const struct cli *cli, const char *type,
                                       const char *if_match)
{
    const char *token = cli->token != NULL ? cli->token : getenv("STROWGER_TOKEN");
    char bearer[512];

    struct curl_slist *headers = add_header(NULL, "Content-Type", type);
    headers = add_header(headers, "If-Match", if_match);
    headers = add_header(headers, "Expect", ""); /* no round trip before a body */
    if (token != NULL && token[0] != '\0') {
        snprintf(bearer, sizeof bearer, "Bearer %s", token);
        headers = add_header(headers, "Authorization", bearer);
    }
    return headers;
}

static void perform(CURL *curl, const char *server, struct cli_reply *reply)
{
    long error = 0;

    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply->status);
        return;
    }
    if (code == CURLE_COULDNT_CONNECT)
        curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    say_unreachable(reply, server, curl_easy_strerror(code), error);
}

struct cli_reply cli_request(const struct cli *cli, const char *method, const char *path,
                             const char *body, const char *type, const char *if_match)
{
    struct cli_reply reply = {.exit = CLI_NO};
    char server[CLI_PATH_MAX];

    if (!find_server(cli, server, sizeof server)) {
        reply.body = strdup("so the server's control socket is not known: correct that, or say "
                            "--server");
        return reply;
    }
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return reply;
    struct curl_slist *headers = make_headers(cli, type, if_match);
    set_target(curl, server, path);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    perform(curl, server, &reply);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return reply;
}

void cli_reply_release(struct cli_reply *reply)
{
    free(reply->body);
    *reply = (struct cli_reply){0};
}

json_t *cli_json(const struct cli_reply *reply)
{
    return reply->body != NULL ? json_loadb(reply->body, reply->len, JSON_ALLOW_NUL, NULL) : NULL;
}

void cli_print_json(const json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    printf("\n");
}

static void print_problem(const struct cli_reply *reply, const json_t *problem)
{
    char title[256], detail[1024];

    if (!json_is_string(json_object_get(problem, "detail"))) {
        fprintf(stderr, "strowger: the server answered %ld%s\n", reply->status,
                problem == NULL ? " without a document: is this Strowger?" : "");
        return;
    }
    cli_member(problem, "title", title, sizeof title);
    cli_member(problem, "detail", detail, sizeof detail);
    fprintf(stderr, "strowger: %s: %s\n", title, detail);
    if (reply->status == 401)
        fprintf(stderr, "strowger: here: --token TOKEN or $STROWGER_TOKEN\n");
}

int cli_fail(const struct cli_reply *reply)
{
    if (reply->status == 0) {
        fprintf(stderr, "strowger: %s\n", reply->body != NULL ? reply->body : "out of memory");
        return reply->exit;
    }
    json_t *problem = cli_json(reply);
    const json_t *errors = json_object_get(problem, "errors");
    char text[2048];
    for (size_t i = 0; i < json_array_size(errors); i++)
        fprintf(stderr, "%s\n",
                cli_member(json_array_get(errors, i), "message", text, sizeof text));
    if (json_object_get(problem, "more_errors") != NULL)
        fprintf(stderr, "and %s more errors\n",
                cli_member(problem, "more_errors", text, sizeof text));
    if (json_array_size(errors) == 0)
        print_problem(reply, problem);
    json_decref(problem);
    return CLI_NO;
}

char *cli_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    char *copy = escaped != NULL ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}
