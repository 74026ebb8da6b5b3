/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/binding.h"
#include "base/hash.h"

enum {
    HASH_SEED = 7
};

/* ---- hooks ---- */

static json_t *status(void *user)
{
    (void)user;
    return json_pack("{s:s}", "state", "running");
}

static void metrics(void *user, struct api_text *out)
{
    (void)user;
    api_metric(out, "strowger_test_total", "counter", "A test.");
    api_sample(out, "strowger_test_total", "reason=\"loop\"", 3);
    api_sample(out, "strowger_test_total", NULL, UINT64_MAX);
}

static bool ready(void *user)
{
    const struct world *world = user;
    return world->ready;
}

static json_t *bans(void *user)
{
    const struct world *world = user;

    if (world->workers_silent)
        return NULL;
    json_t *list = json_array();
    if (!world->lifted)
        json_array_append_new(list, json_pack("{s:s}", "name", "alice@192.0.2.7"));
    json_array_append_new(list, json_pack("{s:s}", "name", "b?b@2001:db8:0:1::"));
    json_array_append_new(list, json_pack("{s:s}", "name", "c"));
    return list;
}

static bool lift_ban(void *user, const char *name, bool *found)
{
    struct world *world = user;

    if (world->workers_silent)
        return false;
    *found = !world->lifted && strcmp(name, "alice@192.0.2.7") == 0;
    world->lifted = world->lifted || *found;
    return true;
}

static enum err policy_changed(void *user, char problem[static API_PROBLEM_MAX])
{
    struct world *world = user;

    world->policy_changes++;
    if (!world->policy_fails)
        return OK;
    snprintf(problem, API_PROBLEM_MAX, "no worker answers");
    return ERR_IO;
}

static void digest(void *user, int algorithm, struct slice name, struct slice realm,
                   struct slice password, uint8_t out[USER_DIGEST_BYTES])
{
    (void)user;
    memset(out, 0, USER_DIGEST_BYTES);
    out[0] = (uint8_t)algorithm;
    uint64_t hash = hash_bytes(hash_bytes(1, name) ^ hash_bytes(2, realm), password);
    memcpy(out + 1, &hash, sizeof hash);
}

static void receipts(void *user, unsigned worker, const struct store_receipt *got, size_t count)
{
    (void)user;
    (void)worker;
    (void)got;
    (void)count;
}

/* ---- setting up ---- */

/** A port that was free a moment ago. */
static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f004d02)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(0, bind(fd, (struct sockaddr *)&in, sizeof in));
    assert_int_equal(0, getsockname(fd, (struct sockaddr *)&in, &len));
    close(fd);
    return ntohs(in.sin_port);
}

int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct store_problem problem = {{0}};
    struct store_options options = {.workers = 1, .on_receipts = receipts};
    char words[API_PROBLEM_MAX];

    if (world == NULL)
        return -1;
    snprintf(world->folder, sizeof world->folder, "/tmp/strowger-api-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->control, sizeof world->control, "%s/c.sock", world->folder);
    quiesce_init(&world->quiesce);
    struct table_config table = {
        .workers = 1, .memory_max = (size_t)64 << 20, .quiesce = &world->quiesce};
    assert_int_equal(OK, table_open(&table, &world->table));
    assert_int_equal(OK, store_open(&options, &problem, &world->store));
    assert_int_equal(OK, addr_parse(SLICE("127.0.77.2"), free_port(), &world->listen));
    world->ready = true;
    world->domains[0] = SLICE("example.com");
    world->domains[1] = SLICE("example.org");
    world->config = (struct api_config){
        .tcp = true,
        .listen = world->listen,
        .control = world->control,
        .realm = SLICE("example.com"),
        .domains = world->domains,
        .domain_count = COUNT_OF(world->domains),
        .store = world->store,
        .location = world->table,
        .quiesce = &world->quiesce,
        .hash_seed = HASH_SEED,
        .digest = digest,
        .user = world,
        .status = status,
        .metrics = metrics,
        .ready = ready,
        .bans = bans,
        .lift_ban = lift_ban,
        .policy_changed = policy_changed,
    };
    if (api_open(&world->config, words, &world->api) != OK)
        fail_msg("%s", words);
    assert_int_equal(OK,
                     store_token_create(world->store, SLICE("root"), SLICE("admin"), world->admin));
    assert_int_equal(
        OK, store_token_create(world->store, SLICE("eyes"), SLICE("analyst"), world->analyst));
    assert_int_equal(
        OK, store_token_create(world->store, SLICE("phone"), SLICE("agent"), world->agent));
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    struct world *world = *state;

    if (world->api != NULL)
        api_close(world->api);
    store_close(world->store);
    table_close(world->table);
    rmdir(world->folder);
    free(world);
    return 0;
}

/* ---- the client ---- */

int world_connect(struct world *world, bool control)
{
    struct timeval timeout = {.tv_sec = 20};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(world->listen.port)};
    int fd = socket(control ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

    snprintf(un.sun_path, sizeof un.sun_path, "%s", world->control);
    memcpy(&in.sin_addr, world->listen.bytes, 4);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    int done = control ? connect(fd, (struct sockaddr *)&un, sizeof un)
                       : connect(fd, (struct sockaddr *)&in, sizeof in);
    assert_int_equal(0, done);
    return fd;
}

void world_send(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* he does not want it all: what he answers says why */
        bytes += sent;
        len -= (size_t)sent;
    }
}

struct reply world_read(int fd)
{
    struct reply reply = {0};
    size_t len = 0, capacity = 65536;
    ssize_t got;

    reply.all = malloc(capacity);
    assert_non_null(reply.all);
    while ((got = recv(fd, reply.all + len, capacity - len - 1, 0)) > 0) {
        len += (size_t)got;
        if (capacity - len < 32768) {
            capacity *= 2;
            reply.all = realloc(reply.all, capacity);
            assert_non_null(reply.all);
        }
    }
    close(fd);
    reply.all[len] = '\0';
    if (len == 0)
        return reply;
    assert_int_equal(1, sscanf(reply.all, "HTTP/1.%*c %d", &reply.status));
    char *end = strstr(reply.all, "\r\n\r\n");
    assert_non_null(end);
    end[2] = '\0';
    reply.body = end + 4;
    reply.json = json_loads(reply.body, JSON_DECODE_ANY, NULL);
    return reply;
}

void reply_free(struct reply *reply)
{
    json_decref(reply->json);
    free(reply->all);
    *reply = (struct reply){0};
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static char value[512];
    size_t len = strlen(name);

    for (const char *line = reply->all; line != NULL && *line != '\0';
         line = strstr(line, "\r\n"), line = line != NULL ? line + 2 : NULL)
        if (slice_equal_nocase((struct slice){line, len}, slice_of(name)) && line[len] == ':') {
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line + len + 2, "\r"),
                     line + len + 2);
            return value;
        }
    return NULL;
}

const char *reply_text(const struct reply *reply, const char *member)
{
    return json_string_value(json_object_get(reply->json, member));
}

struct reply ask_raw(struct world *world, const char *request)
{
    int fd = world_connect(world, false);

    world_send(fd, request, strlen(request));
    shutdown(fd, SHUT_WR);
    return world_read(fd);
}

static void send_request(int fd, const char *token, const char *method, const char *path,
                         const char *headers, const char *body)
{
    char head[4096];
    size_t len = body != NULL ? strlen(body) : 0;

    int head_len = snprintf(head, sizeof head,
                            "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s%s"
                            "Content-Length: %zu\r\n\r\n",
                            method, path, token != NULL ? "Authorization: Bearer " : "",
                            token != NULL ? token : "", token != NULL ? "\r\n" : "",
                            headers != NULL ? headers : "", len);
    assert_in_range(head_len, 1, (int)sizeof head - 1);
    world_send(fd, head, (size_t)head_len);
    world_send(fd, body != NULL ? body : "", len);
}

struct reply ask(struct world *world, const char *token, const char *method, const char *path,
                 const char *headers, const char *body)
{
    int fd = world_connect(world, false);

    send_request(fd, token, method, path, headers, body);
    return world_read(fd);
}

struct reply ask_control(struct world *world, const char *method, const char *path,
                         const char *headers, const char *body)
{
    int fd = world_connect(world, true);

    send_request(fd, NULL, method, path, headers, body);
    return world_read(fd);
}

json_t *expect(struct world *world, int want, const char *method, const char *path,
               const char *headers, const char *body)
{
    struct reply reply = ask(world, world->admin, method, path, headers, body);

    if (reply.status != want)
        fail_msg("%s %s: %d, not %d: %s", method, path, reply.status, want, reply.body);
    json_t *json = json_incref(reply.json);
    reply_free(&reply);
    return json;
}

void apply(struct world *world, const char *yaml)
{
    json_decref(expect(world, 200, "POST", "/api/v1/apply", NULL, yaml));
}

void bind_aor(struct world *world, const char *aor, unsigned count)
{
    static char block[BINDING_SET_MAX];
    struct binding_set *set = calloc(1, sizeof *set);
    struct builder b = builder_over(block, sizeof block);
    char contacts[BINDINGS_MAX][96];

    assert_non_null(set);
    set->aor = slice_of(aor);
    set->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct binding *binding = &set->items[i];
        snprintf(contacts[i], sizeof contacts[i], "sip:%s@192.0.2.%u", aor, i);
        binding->contact = slice_of(contacts[i]);
        binding->call_id = SLICE("call");
        binding->user_agent = SLICE("Ph\xf6ne\x1b[2J");
        binding->expires_ms = ((uint64_t)time(NULL) + 3600) * 1000;
        binding->registered_ms = (uint64_t)time(NULL) * 1000;
        binding->cseq = UINT32_C(2147483647);
        binding->q = 500;
        binding->flow.transport = TRANSPORT_UDP;
        binding->flow.remote = world->listen;
    }
    assert_int_equal(OK, binding_set_pack(set, &b));
    free(set);
    assert_int_equal(OK, table_put(world->table, slice_of(aor),
                                   hash_bytes(HASH_SEED, slice_of(aor)), builder_slice(&b), 1));
}
