/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim/text - SIP as plain text, apart from the project's own parser on purpose.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "sim.h"

static const char *next_line(const char *at)
{
    const char *end = strstr(at, "\r\n");
    return end != NULL ? end + 2 : NULL;
}

/** The n-th field's line, or NULL. */
static const char *find_line(const char *msg, const char *name, unsigned n)
{
    size_t len = strlen(name);

    for (const char *at = next_line(msg); at != NULL && at[0] != '\r'; at = next_line(at))
        if (strncasecmp(at, name, len) == 0 && at[len] == ':' && n-- == 0)
            return at;
    return NULL;
}

bool text_field(const char *msg, const char *name, unsigned n, char *out, size_t size)
{
    const char *at = find_line(msg, name, n);

    out[0] = '\0';
    if (at == NULL)
        return false;
    at += strlen(name) + 1;
    while (*at == ' ')
        at++;
    size_t len = strcspn(at, "\r");
    if (len >= size)
        len = size - 1;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

unsigned text_count(const char *msg, const char *name)
{
    unsigned n = 0;
    while (find_line(msg, name, n) != NULL)
        n++;
    return n;
}

void text_param(const char *value, const char *name, char *out, size_t size)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, ";%s=", name);
    const char *close = strchr(value, '>');
    const char *at = strstr(close != NULL ? close : value, wanted);

    out[0] = '\0';
    if (at == NULL)
        return;
    at += strlen(wanted);
    size_t len = *at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ";,> \r");
    if (len >= size)
        len = size - 1;
    memcpy(out, at, len);
    out[len] = '\0';
}

void text_uri(const char *value, char *out, size_t size)
{
    const char *open = strchr(value, '<');
    const char *at = open != NULL ? open + 1 : value;
    size_t len = strcspn(at, open != NULL ? ">\r" : ";\r");

    if (len >= size)
        len = size - 1;
    memcpy(out, at, len);
    out[len] = '\0';
}

unsigned text_status(const char *msg)
{
    return strncmp(msg, "SIP/2.0 ", 8) == 0 ? (unsigned)strtoul(msg + 8, NULL, 10) : 0;
}

void text_method(const char *msg, char *out, size_t size)
{
    char cseq[64];
    const char *at = msg;
    size_t len;

    if (text_status(msg) != 0) {
        text_field(msg, "CSeq", 0, cseq, sizeof cseq);
        at = strchr(cseq, ' ');
        at = at != NULL ? at + 1 : "";
        len = strlen(at);
    } else {
        len = strcspn(msg, " ");
    }
    if (len >= size)
        len = size - 1;
    memcpy(out, at, len);
    out[len] = '\0';
}

void text_add(char *out, size_t size, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    int len = vsnprintf(out + used, size - used, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= size - used)
        abort(); /* the simulator's own limit */
}

void text_response(const char *request, unsigned status, const char *tag, const char *extra,
                   char *out, size_t size)
{
    char value[1024];

    out[0] = '\0';
    text_add(out, size, "SIP/2.0 %u %s\r\n", status, status < 200 ? "Progress" : "Done");
    text_field(request, "Call-ID", 0, value, sizeof value);
    bool joined = hash_bytes(3, slice_of(value)) % 4 == 0; /* all in one line */
    for (unsigned i = 0; text_field(request, "Via", i, value, sizeof value); i++)
        text_add(out, size, "%s%s", i == 0 ? "Via: " : joined ? ", " : "\r\nVia: ", value);
    text_add(out, size, "\r\n");
    if (status > 100 && status < 300)
        for (unsigned i = 0; text_field(request, "Record-Route", i, value, sizeof value); i++)
            text_add(out, size, "Record-Route: %s\r\n", value);
    text_field(request, "From", 0, value, sizeof value);
    text_add(out, size, "From: %s\r\n", value);
    text_field(request, "To", 0, value, sizeof value);
    text_add(out, size, "To: %s%s%s\r\n", value,
             strstr(value, ";tag=") == NULL && status > 100 ? ";tag=" : "",
             strstr(value, ";tag=") == NULL && status > 100 ? tag : "");
    text_field(request, "Call-ID", 0, value, sizeof value);
    text_add(out, size, "Call-ID: %s\r\n", value);
    text_field(request, "CSeq", 0, value, sizeof value);
    text_add(out, size, "CSeq: %s\r\n%sContent-Length: 0\r\n\r\n", value, extra);
}

bool text_names_node(const char *text)
{
    return strstr(text, SIM_NODE_HOST) != NULL || strstr(text, SIM_NODE_HOST_V6) != NULL;
}

void text_request_uri(const char *request, char *out, size_t size)
{
    const char *at = request + strcspn(request, " ") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(at, " "), at);
}
