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

/* ---- answers ---- */

static struct MHD_Response *make_response(struct api_answer *answer)
{
    char *body = answer->text.data;
    size_t len = answer->text.len;

    if (answer->json != NULL) {
        body = json_dumps(answer->json, JSON_INDENT(2));
        len = body != NULL ? strlen(body) : 0;
        json_decref(answer->json);
    }
    if (body == NULL)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_buffer(len, body, MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_answer(struct api_request *r, struct api_answer *answer)
{
    struct MHD_Response *response = make_response(answer);
    if (response == NULL)
        return MHD_NO;

    MHD_add_response_header(response, "Content-Type",
                            answer->type != NULL ? answer->type : "application/json");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->etag[0] != '\0')
        MHD_add_response_header(response, "ETag", answer->etag);
    if (answer->allow[0] != '\0')
        MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->authenticate)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"strowger\"");
    enum MHD_Result result = MHD_queue_response(r->connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- requests ---- */

static struct api_request *new_request(struct api_socket *socket, struct MHD_Connection *connection)
{
    struct api_request *r = calloc(1, sizeof *r);

    if (r != NULL) {
        r->api = socket->api;
        r->socket = socket;
        r->connection = connection;
    }
    return r;
}

static void take_body(struct api_request *r, const char *data, size_t len)
{
    if (r->too_big || r->no_memory)
        return;
    if (len > API_BODY_MAX - r->body_len) {
        r->too_big = true;
        return;
    }
    if (r->body_len + len + 1 > r->body_capacity) {
        size_t capacity = (r->body_len + len + 1) * 2;
        char *body = realloc(r->body, capacity);
        if (body == NULL) {
            r->no_memory = true;
            return;
        }
        r->body = body;
        r->body_capacity = capacity;
    }
    memcpy(r->body + r->body_len, data, len);
    r->body_len += len;
    r->body[r->body_len] = '\0';
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **context)
{
    struct api_request *r = *context;

    (void)version;
    if (r == NULL) { /* the head is here, the body not yet */
        *context = new_request(user, connection);
        return *context != NULL ? MHD_YES : MHD_NO;
    }
    if (*data_len > 0) {
        take_body(r, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    r->path = url;
    r->method = strcmp(method, "HEAD") == 0 ? "GET" : method;
    struct api_answer answer;
    if (r->too_big)
        answer = api_problem(413, NULL, NULL, "a body may have %d bytes", API_BODY_MAX);
    else if (r->no_memory)
        answer = api_memory_problem();
    else
        answer = api_dispatch(r);
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

static int open_control(struct api *api, char problem[static API_PROBLEM_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(api->config.control) >= sizeof address.sun_path) {
        snprintf(problem, API_PROBLEM_MAX, "control: the path %s is longer than %zu bytes",
                 api->config.control, sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, api->config.control, strlen(api->config.control) + 1);
    memcpy(api->control_path, address.sun_path, sizeof api->control_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    /* A socket that nobody answers on is left over from a run that was killed. */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        snprintf(problem, API_PROBLEM_MAX, "control: another server answers at %s",
                 api->config.control);
        close(fd);
        api->control_path[0] = '\0';
        return -1;
    }
    unlink(address.sun_path);
    mode_t mask = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound != 0 || listen(fd, 64) != 0) {
        snprintf(problem, API_PROBLEM_MAX, "control: %s: %s", api->config.control,
                 strerror(errno));
        close(fd);
        return -1;
    }
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
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&storage, len) != 0 || listen(fd, 128) != 0) {
        snprintf(problem, API_PROBLEM_MAX, "http: %s: %s", addr_text(addr, text), strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static struct MHD_Daemon *start(struct api_socket *socket)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, socket->fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, API_CONNECTIONS_MAX, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, API_TIMEOUT_S, NULL},
        {MHD_OPTION_PER_IP_CONNECTION_LIMIT, socket->control ? 0 : API_CONNECTIONS_PER_IP, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG;

    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, socket, MHD_OPTION_EXTERNAL_LOGGER,
                            on_log, socket->api, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
                            MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

enum err api_open(const struct api_config *config, char problem[static API_PROBLEM_MAX],
                  struct api **out)
{
    struct api *api = calloc(1, sizeof *api);
    if (api == NULL)
        return ERR_MEMORY;

    snprintf(problem, API_PROBLEM_MAX, "no sockets");
    api->config = *config;
    pthread_mutex_init(&api->change, NULL);
    pthread_mutex_init(&api->reading, NULL);
    api->seat = quiesce_join(config->quiesce);
    api->control = (struct api_socket){.api = api, .fd = open_control(api, problem), .control = true};
    api->tcp = (struct api_socket){.api = api, .fd = -1};
    if (api->control.fd >= 0)
        api->control.daemon = start(&api->control);
    if (api->control.daemon != NULL && config->tcp) {
        api->tcp.fd = open_tcp(api, problem);
        if (api->tcp.fd >= 0)
            api->tcp.daemon = start(&api->tcp);
    }
    if (api->control.daemon == NULL || (config->tcp && api->tcp.daemon == NULL)) {
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
    if (api->control.fd >= 0 && api->control_path[0] != '\0')
        unlink(api->control_path);
    pthread_mutex_destroy(&api->change);
    pthread_mutex_destroy(&api->reading);
    free(api);
}
