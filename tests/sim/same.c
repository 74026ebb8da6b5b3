/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/same - is what was sent on what was received, but for what a proxy changes?
 *
 * Line by line, as text: our Via, Record-Route and Max-Breadth are new, Max-Forwards is one less,
 * our Route values and the credentials for us are gone; the Via received says where it came from.
 * Nothing else may differ, header fields nobody knows and the body included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

static const char *line_end(const char *at)
{
    const char *end = strstr(at, "\r\n");
    return end != NULL ? end : at + strlen(at);
}

static const char *line_next(const char *at)
{
    const char *end = line_end(at);
    return *end != '\0' ? end + 2 : end;
}

static bool line_is(const char *at, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(at, name, len) == 0 && at[len] == ':';
}

static bool line_has(const char *at, const char *text)
{
    size_t len = (size_t)(line_end(at) - at), part = strlen(text);

    for (size_t i = 0; i + part <= len; i++)
        if (memcmp(at + i, text, part) == 0)
            return true;
    return false;
}

static bool lines_equal(const char *a, const char *b)
{
    size_t len = (size_t)(line_end(a) - a);
    return len == (size_t)(line_end(b) - b) && memcmp(a, b, len) == 0;
}

static bool at_head_end(const char *at)
{
    return *at == '\r' || *at == '\0';
}

/** The received Via line as it must be sent on, or back: there rport is filled in (RFC 3581). */
static void expected_via(const struct sim *sim, uint32_t from, const char *line, bool back,
                         char *out, size_t size)
{
    const struct phone *phone = &sim->phones[from];
    const char *rport = NULL;
    size_t len = (size_t)(line_end(line) - line);
    char received[40], port[16];

    for (const char *at = line; at < line + len && rport == NULL; at++)
        if (strncmp(at, ";rport", 6) == 0)
            rport = at;
    if (rport == NULL && !phone->nat) {
        snprintf(out, size, "%.*s", (int)len, line);
        return;
    }
    snprintf(received, sizeof received, phone->v6 ? "fd00::1:%x" : "10.0.1.%u", from);
    if (rport == NULL) {
        snprintf(out, size, "%.*s;received=%s", (int)len, line, received);
        return;
    }
    snprintf(port, sizeof port, ";rport=%u", phone_port(phone));
    snprintf(out, size, "%.*s%s%.*s;received=%s%s", (int)(rport - line), line, back ? port : "",
             (int)(len - (size_t)(rport - line) - 6), rport + 6, received, back ? "" : port);
}

static bool line_names_node(const char *line)
{
    return line_has(line, SIM_NODE_HOST) || line_has(line, SIM_NODE_HOST_V6);
}

/** A line of the received request that must not be there any more. Routes are looked at apart. */
static bool is_dropped(uint32_t from, const char *line)
{
    if (line_is(line, "Proxy-Authorization"))
        return line_has(line, "realm=\"sim.example\"");
    if (line_is(line, "P-Asserted-Identity") || line_is(line, "P-Preferred-Identity"))
        return from != SIM_ROUTER; /* RFC 3325: only the other proxy is trusted */
    return line_is(line, "Route");
}

/** A line of the request sent that we have added. */
static bool is_added(const char *in, const char *line, bool first_via, bool on_top)
{
    if (first_via || line_is(line, "Route"))
        return true;
    if (line_is(line, "Record-Route") && line_names_node(line) && line_has(line, ";r="))
        return on_top;
    if (line_is(line, "Max-Forwards"))
        return text_count(in, "Max-Forwards") == 0;
    return line_is(line, "Max-Breadth") && text_count(in, "Max-Breadth") == 0;
}

/* ---- Route and Request-URI (RFC 3261 sections 16.4 and 16.6) ---- */

enum {
    ROUTES_MAX = 16
};

struct way {
    char uri[256];
    char routes[ROUTES_MAX][512];
    unsigned count;
};

static void read_way(const char *text, struct way *way)
{
    char line[2048];

    text_request_uri(text, way->uri, sizeof way->uri);
    way->count = 0;
    for (unsigned i = 0; text_field(text, "Route", i, line, sizeof line); i++)
        for (const char *at = line; *at != '\0' && way->count < ROUTES_MAX;) {
            size_t len = strcspn(at, ">") + 1; /* each of these is <...> */
            snprintf(way->routes[way->count++], sizeof way->routes[0], "%.*s", (int)len, at);
            at += len;
            at += strspn(at, ", ");
        }
}

static void drop_first(struct way *way)
{
    way->count--;
    memmove(way->routes[0], way->routes[1], way->count * sizeof way->routes[0]);
}

/** What must be left of a received request's Route, before the next hop's manner counts. */
static void take_ours(struct way *way)
{
    if (text_names_node(way->uri) && strstr(way->uri, ";lr;r=") != NULL && way->count > 0) {
        way->count--; /* from a strict router */
        text_uri(way->routes[way->count], way->uri, sizeof way->uri);
    }
    while (way->count > 0 && text_names_node(way->routes[0]) &&
           strstr(way->routes[0], ";lr") != NULL)
        drop_first(way);
}

static bool is_strict(const char *route)
{
    return strstr(route, ";lr") == NULL;
}

/** As the next hop, if it is a strict router, must get it. */
static void give_strictly(struct way *way)
{
    char uri[256];

    if (way->count == 0 || !is_strict(way->routes[0]) || way->count == ROUTES_MAX)
        return;
    text_uri(way->routes[0], uri, sizeof uri);
    char last[512];
    snprintf(last, sizeof last, "<%s>", way->uri);
    memcpy(way->routes[way->count++], last, sizeof last);
    memcpy(way->uri, uri, sizeof uri);
    drop_first(way);
}

void same_final_uri(const struct sim *sim, const char *text, char *out, size_t size)
{
    struct way way;

    read_way(text, &way);
    bool strict =
        sim->knobs.strict && way.count > 0 && strcmp(way.uri, "sip:" SIM_ROUTER_HOST) == 0;
    if (strict)
        text_uri(way.routes[way.count - 1], way.uri, sizeof way.uri);
    snprintf(out, size, "%s", way.uri);
}

static bool same_way(const struct sim *sim, const char *path, const char *in, const char *out,
                     char *why, size_t size)
{
    struct way wanted, sent;
    char final[256], to[256];

    read_way(in, &wanted);
    read_way(out, &sent);
    take_ours(&wanted);
    same_final_uri(sim, out, final, sizeof final);
    text_field(in, "To", 0, to, sizeof to);
    bool in_dialog = strstr(to, ";tag=") != NULL && strstr(in, ";lr;r=") != NULL;
    if (!in_dialog)
        snprintf(wanted.uri, sizeof wanted.uri, "%s", final); /* that of a target: elsewhere */
    if (path[0] != '\0' && wanted.count < ROUTES_MAX) {
        memmove(wanted.routes[1], wanted.routes[0], wanted.count * sizeof wanted.routes[0]);
        snprintf(wanted.routes[0], sizeof wanted.routes[0], "%s", path);
        wanted.count++;
    }
    give_strictly(&wanted);
    bool same = wanted.count == sent.count && strcmp(wanted.uri, sent.uri) == 0;
    for (unsigned i = 0; same && i < wanted.count; i++)
        same = strcmp(wanted.routes[i], sent.routes[i]) == 0;
    if (!same)
        snprintf(why, size, "it goes to %.80s by %u Routes, not to %.80s by %u", sent.uri,
                 sent.count, wanted.uri, wanted.count);
    return same;
}

static bool breadth_fits(const char *in, const char *out)
{
    long before = strtol(in + strlen("Max-Breadth:"), NULL, 10);
    long after = strtol(out + strlen("Max-Breadth:"), NULL, 10);
    return after >= 1 && after <= before; /* the sum: elsewhere */
}

static bool max_forwards_fit(const char *in, const char *out)
{
    return strtol(out + strlen("Max-Forwards:"), NULL, 10) ==
           strtol(in + strlen("Max-Forwards:"), NULL, 10) - 1;
}

bool same_request(const struct sim *sim, uint32_t from, const char *path, const char *in,
                  const char *out, char *why, size_t size)
{
    bool our_via_seen = false, their_via_seen = false;
    const char *a = line_next(in), *b = line_next(out);

    if (!same_way(sim, path, in, out, why, size))
        return false;
    for (;;) {
        while (!at_head_end(a) && is_dropped(from, a))
            a = line_next(a);
        for (; !at_head_end(b); b = line_next(b)) {
            bool first_via = line_is(b, "Via") && !our_via_seen;
            if (!is_added(in, b, first_via, !their_via_seen))
                break;
            our_via_seen |= first_via;
        }
        if (at_head_end(a) || at_head_end(b))
            break;
        char via[512];
        bool fits;
        if (line_is(a, "Via") && !their_via_seen) {
            their_via_seen = true;
            expected_via(sim, from, a, false, via, sizeof via);
            fits = lines_equal(via, b);
        } else if (line_is(a, "Max-Forwards") && line_is(b, "Max-Forwards")) {
            fits = max_forwards_fit(a, b);
        } else if (line_is(a, "Max-Breadth") && line_is(b, "Max-Breadth")) {
            fits = breadth_fits(a, b);
        } else {
            fits = lines_equal(a, b);
        }
        if (!fits) {
            snprintf(why, size, "\"%.*s\" became \"%.*s\"", (int)(line_end(a) - a), a,
                     (int)(line_end(b) - b), b);
            return false;
        }
        a = line_next(a);
        b = line_next(b);
    }
    if (!at_head_end(a) || !at_head_end(b) || strcmp(a, b) != 0) {
        snprintf(why, size, "a line more or less, or another body: \"%.60s\" and \"%.60s\"", a, b);
        return false;
    }
    return true;
}

bool same_response(const char *in, const char *out, bool challenges)
{
    bool via_seen = false;
    const char *a = in, *b = out;

    for (;; a = line_next(a), b = line_next(b)) {
        if (!via_seen && line_is(a, "Via")) {
            via_seen = true;
            const char *comma = memchr(a, ',', (size_t)(line_end(a) - a));
            size_t rest = comma != NULL ? (size_t)(line_end(a) - comma) - 2 : 0;
            if (comma != NULL) { /* ours was one of several in this line */
                if (strncmp(b, "Via: ", 5) != 0 || (size_t)(line_end(b) - b) != 5 + rest ||
                    memcmp(b + 5, comma + 2, rest) != 0)
                    return false;
                continue;
            }
            a = line_next(a);
        }
        while (challenges && at_head_end(a) && line_has(b, "-Authenticate: "))
            b = line_next(b);
        if (at_head_end(a) || at_head_end(b))
            return strcmp(a, b) == 0;
        if (!lines_equal(a, b))
            return false;
    }
}

/** Line `a` of a request as it must stand in an answer of the node's own. */
static bool answers_line(const struct sim *sim, uint32_t from, const char *a, const char *b,
                         bool first_via)
{
    char via[512];

    if (first_via) {
        expected_via(sim, from, a, true, via, sizeof via);
        return lines_equal(via, b);
    }
    size_t len = (size_t)(line_end(a) - a);
    if (!line_is(a, "To") || line_has(a, ";tag="))
        return lines_equal(a, b);
    return strncmp(a, b, len) == 0 && (b[len] == '\r' || strncmp(b + len, ";tag=", 5) == 0);
}

bool same_answer(const struct sim *sim, uint32_t from, const char *request, const char *answer,
                 char *why, size_t size)
{
    static const char *const names[] = {"Via", "From", "To", "Call-ID", "CSeq"};
    bool via_seen = false;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *a = line_next(request), *b = line_next(answer);
        for (;;) {
            while (!at_head_end(a) && !line_is(a, names[i]))
                a = line_next(a);
            while (!at_head_end(b) && !line_is(b, names[i]))
                b = line_next(b);
            if (at_head_end(a) || at_head_end(b))
                break;
            bool first_via = i == 0 && !via_seen;
            via_seen |= first_via;
            if (!answers_line(sim, from, a, b, first_via)) {
                snprintf(why, size, "\"%.*s\" became \"%.*s\"", (int)(line_end(a) - a), a,
                         (int)(line_end(b) - b), b);
                return false;
            }
            a = line_next(a);
            b = line_next(b);
        }
        if (at_head_end(a) != at_head_end(b)) {
            snprintf(why, size, "one %s more or less", names[i]);
            return false;
        }
    }
    return true;
}
