/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/api - sockets, threads of libmicrohttpd, and a request from its first byte to its answer.
 */
#include "api/api.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/internal.h"
#include "base/hash.h"

enum {
    LISTEN_BACKLOG = 128
};

/* ---- answers ---- */

/** What is said when there is no memory to say anything. */
static const char memory_problem[] = "{\"type\": \"about:blank\", \"title\": \"Internal Server "
                                     "Error\", \"status\": 500, \"detail\": \"out of memory\"}\n";

static int add_text(const char *data, size_t size, void *user)
{
    struct api_text *text = user;

    api_text_add(text, (struct slice){data, size});
    return text->failed ? -1 : 0;
}

void api_answer_write(struct api_answer *answer)
{
    if (answer->json == NULL)
        return;
    if (json_dump_callback(answer->json, add_text, &answer->text, JSON_INDENT(2)) != 0)
        answer->text.failed = true;
    api_text_add(&answer->text, SLICE("\n"));
    json_decref(answer->json);
    answer->json = NULL;
}

static bool has_content(unsigned status)
{
    return status != 204 && status != 304;
}

/** Takes over the answer's text. */
static struct MHD_Response *make_response(struct api_answer *answer)
{
    api_answer_write(answer);
    if (answer->text.failed || (answer->text.data == NULL && has_content(answer->status))) {
        api_text_release(&answer->text);
        answer->status = 500;
        answer->type = "application/problem+json";
        return MHD_create_response_from_buffer(
            sizeof memory_problem - 1, (void *)(uintptr_t)memory_problem, MHD_RESPMEM_PERSISTENT);
    }
    if (answer->text.data == NULL)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->text.len, answer->text.data, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        api_text_release(&answer->text);
    return response;
}

static enum MHD_Result send_answer(struct api_request *r, struct api_answer *answer)
{
    struct MHD_Response *response = make_response(answer);
    if (response == NULL)
        return MHD_NO;

    if (has_content(answer->status))
        MHD_add_response_header(response, "Content-Type",
                                answer->type != NULL ? answer->type : "application/json");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->etag[0] != '\0')
        MHD_add_response_header(response, "ETag", answer->etag);
    if (answer->allow[0] != '\0')
        MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->authenticate)
        MHD_add_response_header(response, "WWW-Authenticate",
                                r->token_unknown
                                    ? "Bearer realm=\"strowger\", error=\"invalid_token\""
                                    : "Bearer realm=\"strowger\"");
    enum MHD_Result result = MHD_queue_response(r->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- requests ---- */

/** The request-target as it came. What is returned is `*context` of on_request(). */
static void *on_target(void *user, const char *target, struct MHD_Connection *connection)
{
    const struct api_socket *socket = user;
    struct api_request *r = calloc(1, sizeof *r);

    if (r == NULL)
        return NULL;
    r->api = socket->api;
    r->socket = socket;
    r->connection = connection;
    r->target_hash = hash_bytes(r->api->config.hash_seed, slice_of(target));
    r->bad_target = strstr(target, "%00") != NULL;
    return r;
}

static void refuse_body(struct api_request *r, struct api_answer refusal)
{
    r->refused = true;
    r->refusal = refusal;
    free(r->body);
    r->body = NULL;
    r->body_len = r->body_capacity = 0;
}

static void keep_body(struct api_request *r, const char *data, size_t len)
{
    if (len > API_BODY_MAX - r->body_len) {
        refuse_body(r, api_problem(413, NULL, NULL, "a body may have %d bytes", API_BODY_MAX));
        return;
    }
    if (r->body_len + len + 1 > r->body_capacity) {
        size_t capacity = (r->body_len + len + 1) * 2;
        char *body = realloc(r->body, capacity);
        if (body == NULL) {
            refuse_body(r, api_memory_problem());
            return;
        }
        r->body = body;
        r->body_capacity = capacity;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    r->body[r->body_len] = '\0';
}

/** False: he sends and sends what nobody wants. */
static bool take_body(struct api_request *r, const char *data, size_t len)
{
    if (!r->refused && r->route->body != NULL) {
        keep_body(r, data, len);
        return true;
    }
    r->discarded += len;
    return r->discarded <= API_DISCARD_MAX;
}

/** Called with the head, then with each piece of the body, then once more. */
static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **context)
{
    struct api_request *r = *context;

    (void)user;
    (void)connection;
    if (r == NULL) /* no memory for it */
        return MHD_NO;
    if (!r->admitted) {
        r->admitted = true;
        r->path = url;
        r->method = strcmp(method, "HEAD") == 0 ? "GET" : method;
        r->old_version = strcmp(version, "HTTP/1.0") == 0;
        (void)api_admit(r); /* the answer waits: a body that is under way is read, not kept */
        return MHD_YES;
    }
    if (*data_len > 0) {
        bool go_on = take_body(r, data, *data_len);
        *data_len = 0;
        return go_on ? MHD_YES : MHD_NO;
    }
    struct api_answer answer = r->refused ? r->refusal : api_once(r);
    r->refusal = (struct api_answer){0};
    return send_answer(r, &answer);
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct api_request *r = *context;

    (void)user;
    (void)connection;
    (void)code;
    if (r == NULL)
        return;
    json_decref(r->refusal.json); /* he went before he heard it */
    if (r->body != NULL)
        explicit_bzero(r->body, r->body_len); /* passwords may be in it */
    free(r->body);
    free(r);
    *context = NULL;
}

__attribute__((format(printf, 2, 0))) static void on_log(void *user, const char *format,
                                                         va_list args)
{
    struct api *api = user;
    char text[256];

    int len = vsnprintf(text, sizeof text, format, args);
    if (len > 0 && api->config.log != NULL)
        log_write(api->config.log, LOG_DEBUG, 0, "http", slice_trim(slice_of(text)));
}

/* ---- sockets ---- */

static int say(int fd, char problem[static API_PROBLEM_MAX], const char *what, const char *name,
               const char *why)
{
    snprintf(problem, API_PROBLEM_MAX, "%s: %s: %s", what, name, why);
    if (fd >= 0)
        close(fd);
    return -1;
}

/** Removes a socket that nobody answers on: left over from a run that was killed. */
static bool clear_way(int fd, const struct sockaddr_un *address, const char **why)
{
    struct stat there;

    if (lstat(address->sun_path, &there) != 0)
        return true; /* whatever is wrong with the folder, bind() says it */
    *why = "this is no socket; it is left alone";
    if (!S_ISSOCK(there.st_mode))
        return false;
    *why = "another server answers there";
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0)
        return false;
    if (errno != ECONNREFUSED) { /* EAGAIN: it is there and busy */
        *why = errno == EAGAIN ? "another server is there" : strerror(errno);
        return false;
    }
    unlink(address->sun_path);
    return true;
}

static int open_control(struct api *api, char problem[static API_PROBLEM_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = api->config.control, *why = "";

    if (strlen(path) >= sizeof address.sun_path)
        return say(-1, problem, "control", path, "a socket's path has at most 107 bytes");
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return say(fd, problem, "control", path, strerror(errno));
    if (!clear_way(fd, &address, &why))
        return say(fd, problem, "control", path, why);
    /* The file is born with the mode of the socket: nobody can slip in between bind and chmod. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return say(fd, problem, "control", path, strerror(errno));
    memcpy(api->control_path, address.sun_path, sizeof api->control_path);
    if (listen(fd, LISTEN_BACKLOG) != 0)
        return say(fd, problem, "control", path, strerror(errno));
    return fd;
}

static int open_tcp(struct api *api, char problem[static API_PROBLEM_MAX])
{
    const struct addr *addr = &api->config.listen;
    struct sockaddr_storage storage = {0};
    socklen_t len;
    char text[ADDR_TEXT_MAX];
    int one = 1;

    if (addr->family == ADDR_V6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(addr->port)};
        memcpy(&in6.sin6_addr, addr->bytes, 16);
        memcpy(&storage, &in6, sizeof in6);
        len = sizeof in6;
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(addr->port)};
        memcpy(&in.sin_addr, addr->bytes, 4);
        memcpy(&storage, &in, sizeof in);
        len = sizeof in;
    }
    int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return say(fd, problem, "http", addr_text(addr, text), strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (addr->family == ADDR_V6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&storage, len) != 0 || listen(fd, LISTEN_BACKLOG) != 0)
        return say(fd, problem, "http", addr_text(addr, text), strerror(errno));
    return fd;
}

static bool start(struct api_socket *socket, char problem[static API_PROBLEM_MAX])
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, socket->fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, API_TIMEOUT_S, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, socket->control ? 0 : API_CONNECTIONS_PER_IP, NULL},
        {MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;

    socket->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, socket, MHD_OPTION_EXTERNAL_LOGGER, on_log, socket->api,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target,
        socket, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
    if (socket->daemon == NULL)
        snprintf(problem, API_PROBLEM_MAX, "http: no thread for it: %s", strerror(errno));
    return socket->daemon != NULL;
}

enum err api_open(const struct api_config *config, char problem[static API_PROBLEM_MAX],
                  struct api **out)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL) {
        snprintf(problem, API_PROBLEM_MAX, "out of memory");
        return ERR_MEMORY;
    }

    api->config = *config;
    pthread_mutex_init(&api->change, NULL);
    pthread_mutex_init(&api->reading, NULL);
    api_once_open(&api->once);
    api->seat = quiesce_join(config->quiesce);
    api->control = (struct api_socket){.api = api, .fd = -1, .control = true};
    api->tcp = (struct api_socket){.api = api, .fd = -1};
    api->control.fd = open_control(api, problem);
    bool ok = api->control.fd >= 0;
    if (ok && config->tcp) {
        api->tcp.fd = open_tcp(api, problem);
        ok = api->tcp.fd >= 0;
    }
    ok = ok && start(&api->control, problem);
    ok = ok && (!config->tcp || start(&api->tcp, problem));
    if (!ok) {
        api_close(api);
        return ERR_IO;
    }
    *out = api;
    return OK;
}

static void close_socket(struct api_socket *socket)
{
    if (socket->daemon != NULL)
        MHD_stop_daemon(socket->daemon); /* closes the descriptor */
    else if (socket->fd >= 0)
        close(socket->fd);
}

void api_close(struct api *api)
{
    close_socket(&api->tcp);
    close_socket(&api->control);
    if (api->control_path[0] != '\0')
        unlink(api->control_path);
    pthread_mutex_destroy(&api->change);
    pthread_mutex_destroy(&api->reading);
    api_once_close(&api->once);
    free(api);
}
