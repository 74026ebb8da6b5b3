/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli/client - HTTP to the server, over its control socket or by TCP.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/internal.h"
#include "config/config.h"

/** --server, else $STROWGER_SERVER, else `control:` of -c, else the default socket. */
static bool find_server(const struct cli *cli, char *out, size_t size)
{
    const char *server = cli->server != NULL ? cli->server : getenv("STROWGER_SERVER");
    struct config_errors errors = {0};
    struct config *config = NULL;
    char path[CLI_PATH_MAX - 8];

    if (server != NULL && server[0] != '\0') {
        snprintf(out, size, "%s", server);
        return true;
    }
    bool found = config_load(cli->config, &errors, &config) == OK &&
                 config_control_path(config, path, sizeof path) == OK;
    if (found)
        snprintf(out, size, "unix:%s", path);
    else
        fprintf(stderr, "strowger: %s has errors (strowger check); or say --server\n",
                cli->config != NULL ? cli->config : "the default");
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
    return curl_slist_append(list, line);
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

static void say_unreachable(struct cli_reply *reply, const char *server, const char *why)
{
    char text[CLI_PATH_MAX + 512];

    snprintf(text, sizeof text,
             "the server at %s cannot be reached: %s. Is it running (strowger serve)? Another one: "
             "--server",
             server, why);
    free(reply->body);
    reply->body = strdup(text);
    reply->status = 0;
}

struct cli_reply cli_request(const struct cli *cli, const char *method, const char *path,
                             const char *body, const char *type, const char *if_match)
{
    struct cli_reply reply = {0};
    char server[CLI_PATH_MAX];
    const char *token = cli->token != NULL ? cli->token : getenv("STROWGER_TOKEN");
    char bearer[512];

    if (!find_server(cli, server, sizeof server))
        return reply;
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return reply;
    struct curl_slist *headers = add_header(NULL, "Content-Type", type);
    headers = add_header(headers, "If-Match", if_match);
    headers = add_header(headers, "Expect", ""); /* no round trip before a body */
    if (token != NULL) {
        snprintf(bearer, sizeof bearer, "Bearer %s", token);
        headers = add_header(headers, "Authorization", bearer);
    }
    set_target(curl, server, path);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 120L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    else
        say_unreachable(&reply, server, curl_easy_strerror(code));
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return reply;
}

void cli_reply_release(struct cli_reply *reply)
{
    free(reply->body);
    *reply = (struct cli_reply){0};
}

int cli_fail(const struct cli_reply *reply)
{
    if (reply->status == 0) {
        if (reply->body != NULL)
            fprintf(stderr, "strowger: %s\n", reply->body);
        return CLI_UNREACHABLE;
    }
    json_t *problem = reply->body != NULL ? json_loads(reply->body, 0, NULL) : NULL;
    const json_t *errors = json_object_get(problem, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++)
        fprintf(stderr, "%s\n",
                json_string_value(json_object_get(json_array_get(errors, i), "message")));
    const char *title = json_string_value(json_object_get(problem, "title"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    if (json_array_size(errors) == 0)
        fprintf(stderr, "strowger: %s: %s\n", title != NULL ? title : "the server said",
                detail != NULL ? detail : "an error without words");
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
