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

/** The received Via line as it must be sent on (RFC 3581 section 4). */
static void expected_via(const struct sim *sim, uint32_t from, const char *line, char *out,
                         size_t size)
{
    const struct phone *phone = &sim->phones[from];
    const char *rport = NULL;
    size_t len = (size_t)(line_end(line) - line);
    char sent_by[40];

    for (const char *at = line; at < line + len && rport == NULL; at++)
        if (strncmp(at, ";rport", 6) == 0)
            rport = at;
    phone_host(phone, sent_by);
    if (rport == NULL && !phone->nat) {
        snprintf(out, size, "%.*s", (int)len, line);
        return;
    }
    if (rport == NULL) {
        snprintf(out, size, "%.*s;received=10.0.1.%u", (int)len, line, from);
        return;
    }
    snprintf(out, size, "%.*s%.*s;received=10.0.1.%u;rport=%u", (int)(rport - line), line,
             (int)(len - (size_t)(rport - line) - 6), rport + 6, from, phone_port(phone));
}

/** A line of the received request that must not be there any more. */
static bool is_dropped(const char *in, const char *line)
{
    if (line_is(line, "Proxy-Authorization"))
        return line_has(line, "realm=\"sim.example\"");
    if (line_is(line, "Route") && line_has(in, ";lr;r="))
        return true; /* a strict router's: it is the Request-URI now */
    return line_is(line, "Route") && line_has(line, SIM_NODE_HOST) && line_has(line, ";lr");
}

/** A line of the request sent that we have added. */
static bool is_added(const char *in, const char *line, bool first_via)
{
    if (first_via)
        return true;
    if (line_is(line, "Record-Route") && line_has(line, SIM_NODE_HOST) && line_has(line, ";r="))
        return true;
    if (line_is(line, "Max-Forwards"))
        return text_count(in, "Max-Forwards") == 0;
    return line_is(line, "Max-Breadth") && text_count(in, "Max-Breadth") == 0;
}

static bool max_forwards_fit(const char *in, const char *out)
{
    return strtol(out + strlen("Max-Forwards:"), NULL, 10) ==
           strtol(in + strlen("Max-Forwards:"), NULL, 10) - 1;
}

bool same_request(const struct sim *sim, uint32_t from, const char *in, const char *out, char *why,
                  size_t size)
{
    bool our_via_seen = false, their_via_seen = false;
    const char *a = line_next(in), *b = line_next(out);

    for (;;) {
        while (!at_head_end(a) && is_dropped(in, a))
            a = line_next(a);
        for (; !at_head_end(b); b = line_next(b)) {
            bool first_via = line_is(b, "Via") && !our_via_seen;
            if (!is_added(in, b, first_via))
                break;
            our_via_seen |= first_via;
        }
        if (at_head_end(a) || at_head_end(b))
            break;
        char via[512];
        bool fits;
        if (line_is(a, "Via") && !their_via_seen) {
            their_via_seen = true;
            expected_via(sim, from, a, via, sizeof via);
            fits = lines_equal(via, b);
        } else if (line_is(a, "Max-Forwards") && line_is(b, "Max-Forwards")) {
            fits = max_forwards_fit(a, b);
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
