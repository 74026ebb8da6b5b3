/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/access - who asks, and by which name he calls us.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "api/internal.h"

/* ---- tokens ---- */

/** The token of "Bearer TOKEN" (RFC 6750 §2.1; schemes are case-insensitive, RFC 9110 §11.1). */
static struct slice bearer_of(const char *header)
{
    struct slice rest = slice_of(header);
    size_t space = slice_find(rest, ' ');

    if (space == SIZE_MAX || !slice_equal_nocase(slice_take(&rest, space), SLICE("bearer")))
        return (struct slice){0};
    return slice_trim(rest);
}

static void log_unknown_token(const struct api_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char line[160], host[64] = "";

    if (r->api->config.log == NULL || info == NULL || info->client_addr == NULL)
        return;
    const struct sockaddr *from = info->client_addr;
    socklen_t len =
        from->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (getnameinfo(from, len, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        return;
    snprintf(line, sizeof line, "%s sent a token that is nobody's", host);
    log_write(r->api->config.log, LOG_WARNING, 0, "http", slice_of(line));
}

static enum api_role role_of(const char *name)
{
    if (strcmp(name, "admin") == 0)
        return API_ADMIN;
    if (strcmp(name, "analyst") == 0)
        return API_ANALYST;
    return API_AGENT;
}

void api_identify(struct api_request *r)
{
    const char *header = api_header(r, "Authorization");
    struct store_token token;

    if (r->socket->control) {
        r->role = API_ADMIN;
        snprintf(r->who, sizeof r->who, "control");
        return;
    }
    struct slice text = header != NULL ? bearer_of(header) : (struct slice){0};
    if (text.len == 0)
        return;
    /* Found by its SHA-256: how long that takes says nothing about a token that exists. */
    if (store_token_check(r->api->config.store, text, &token) != OK) {
        r->token_unknown = true;
        log_unknown_token(r);
        return;
    }
    snprintf(r->who, sizeof r->who, "%s", token.name);
    r->role = role_of(token.role);
}

/* ---- Host ---- */

static enum MHD_Result count_host(void *user, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    unsigned *count = user;

    (void)kind;
    (void)value;
    if (slice_equal_nocase(slice_of(name), SLICE("host")))
        ++*count;
    return MHD_YES;
}

/** The name without its port and without the dot that may end it. */
static struct slice host_name(const char *header)
{
    struct slice host = slice_trim(slice_of(header));

    if (host.len > 0 && host.data[0] == '[') {
        size_t end = slice_find(host, ']');
        return end == SIZE_MAX ? host : (struct slice){host.data + 1, end - 1};
    }
    size_t colon = slice_find(host, ':');
    if (colon != SIZE_MAX)
        host.len = colon;
    if (host.len > 1 && host.data[host.len - 1] == '.')
        host.len--;
    return host;
}

static bool is_ours(const struct api_config *config, struct slice host)
{
    struct addr addr;

    if (slice_equal_nocase(host, SLICE("localhost")))
        return true;
    if (addr_parse(host, 0, &addr) == OK)
        return true; /* nobody can point an address elsewhere */
    for (size_t i = 0; i < config->domain_count; i++)
        if (slice_equal_nocase(host, config->domains[i]))
            return true;
    return false;
}

bool api_host_is_ours(struct api_request *r, struct api_answer *out)
{
    unsigned count = 0;

    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_host, &count);
    if (count > 1 || (count == 0 && !r->old_version)) { /* RFC 9112 §3.2 */
        *out = api_problem(400, NULL, NULL, "a request has one Host");
        return false;
    }
    if (r->role != API_NOBODY || count == 0)
        return true;
    if (is_ours(&r->api->config, host_name(api_header(r, "Host"))))
        return true;
    *out = api_problem(421, NULL, NULL,
                       "without a token, call us by address, localhost or one of our domains");
    return false;
}
