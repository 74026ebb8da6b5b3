/* SPDX-License-Identifier: Apache-2.0 */
#include "net/ws_upgrade.h"

#include <http_parser.h>
#include <openssl/evp.h>

enum {
    KEY_BYTES = 16,                         /* that Sec-WebSocket-Key holds */
    KEY_TEXT = 24,                          /* the same in base64 */
    SHA1_BYTES = 20,                        /* of the answer to it */
    ACCEPT_TEXT = (SHA1_BYTES + 2) / 3 * 4, /* the same in base64 */
};

/** What of the request matters. */
struct opening {
    struct slice name; /* of the header field whose value comes next */
    bool named;        /* that value has not come yet */
    bool broken;       /* a folded line: RFC 7230 §3.2.4 */
    bool whole;        /* there was a request */
    bool has_upgrade;  /* any Upgrade at all */
    bool to_websocket; /* one to `websocket` */
    bool connection;   /* Connection has the token `upgrade` */
    bool speaks_sip;   /* Sec-WebSocket-Protocol has `sip` */
    unsigned host_count, key_count, version_count, origin_count;
    struct slice key, version, origin; /* the last of each */
};

size_t ws_head_len(struct slice input, size_t *scanned)
{
    for (size_t at = *scanned; at < input.len;) {
        size_t found = slice_find(slice_from(input, at), '\n');
        if (found == SIZE_MAX)
            break;
        at += found + 1;
        if (at >= 4 && memcmp(input.data + at - 4, "\r\n\r\n", 4) == 0)
            return at;
    }
    *scanned = input.len;
    return 0;
}

/* --- Reading --------------------------------------------------------------------------------- */

/* Is `token` one of a comma list? */
static bool lists(struct slice list, struct slice token, bool any_case)
{
    while (list.len > 0) {
        struct slice item = slice_trim(slice_take_until(&list, ','));
        if (any_case ? slice_equal_nocase(item, token) : slice_equal(item, token))
            return true;
        if (list.len > 0)
            slice_take(&list, 1);
    }
    return false;
}

static void take_field(struct opening *opening, struct slice name, struct slice value)
{
    if (slice_equal_nocase(name, SLICE("Host"))) {
        opening->host_count++;
    } else if (slice_equal_nocase(name, SLICE("Upgrade"))) {
        opening->has_upgrade = true;
        opening->to_websocket |= lists(value, SLICE("websocket"), true);
    } else if (slice_equal_nocase(name, SLICE("Connection"))) {
        opening->connection |= lists(value, SLICE("upgrade"), true);
    } else if (slice_equal_nocase(name, SLICE("Sec-WebSocket-Key"))) {
        opening->key_count++;
        opening->key = value;
    } else if (slice_equal_nocase(name, SLICE("Sec-WebSocket-Version"))) {
        opening->version_count++;
        opening->version = value;
    } else if (slice_equal_nocase(name, SLICE("Sec-WebSocket-Protocol"))) {
        opening->speaks_sip |= lists(value, SLICE("sip"), false);
    } else if (slice_equal_nocase(name, SLICE("Origin"))) {
        opening->origin_count++;
        opening->origin = value;
    }
}

static int on_field(http_parser *parser, const char *data, size_t len)
{
    struct opening *opening = parser->data;

    opening->name = (struct slice){data, len};
    opening->named = true;
    return 0;
}

static int on_value(http_parser *parser, const char *data, size_t len)
{
    struct opening *opening = parser->data;

    if (!opening->named)
        opening->broken = true; /* the second line of one value */
    else
        take_field(opening, opening->name, slice_trim((struct slice){data, len}));
    opening->named = false;
    return 0;
}

static int on_end(http_parser *parser)
{
    struct opening *opening = parser->data;

    opening->whole = true;
    return 0;
}

/* --- Judging --------------------------------------------------------------------------------- */

/* Sixteen bytes in base64 (RFC 4648 §4): 22 characters and two of padding. */
static bool good_key(struct slice key)
{
    unsigned char bytes[KEY_TEXT];
    char again[KEY_TEXT + 1];

    if (key.len != KEY_TEXT || key.data[KEY_TEXT - 3] == '=' ||
        EVP_DecodeBlock(bytes, (const unsigned char *)key.data, KEY_TEXT) < 0)
        return false;
    EVP_EncodeBlock((unsigned char *)again, bytes, KEY_BYTES); /* only one text is right */
    return memcmp(again, key.data, KEY_TEXT) == 0;
}

static bool may_connect(const struct ws_rules *rules, struct slice origin)
{
    for (uint32_t i = 0; i < rules->origin_count; i++)
        if (slice_equal_nocase(rules->origins[i], origin))
            return true;
    return rules->origin_count == 0;
}

/* An answer that is no upgrade. */
struct refusal {
    unsigned status;
    const char *reason;
    const char *fields; /* whole lines */
    const char *text;
};

#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"

static const struct refusal not_http = {400, "Bad Request", PLAIN, "This is no HTTP request.\n"};
static const struct refusal page = {
    200, "OK",
    "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'\r\n",
    "<!doctype html><html lang=\"en\"><title>Strowger</title>"
    "<p>This browser accepts our certificate: phones in its pages can connect.</p></html>\n"};
static const struct refusal too_long = {431, "Request Header Fields Too Large", PLAIN,
                                        "The request is too long.\n"};

/* NULL: it is an opening as RFC 6455 §4.2.1 and RFC 7118 §4.1 have it. */
static const struct refusal *judge(const http_parser *parser, const struct opening *opening,
                                   const struct ws_rules *rules, bool secure)
{
    static const struct refusal method = {405, "Method Not Allowed", PLAIN "Allow: GET\r\n",
                                          "Only GET is understood here.\n"};
    static const struct refusal old = {505, "HTTP Version Not Supported", PLAIN,
                                       "A WebSocket begins with HTTP/1.1.\n"};
    static const struct refusal host = {400, "Bad Request", PLAIN,
                                        "The request needs one Host and no body.\n"};
    static const struct refusal upgrade = {426, "Upgrade Required", PLAIN "Upgrade: websocket\r\n",
                                           "This address takes WebSockets that speak sip.\n"};
    static const struct refusal connection = {400, "Bad Request", PLAIN,
                                              "The request needs `Connection: Upgrade`.\n"};
    static const struct refusal key = {400, "Bad Request", PLAIN,
                                       "The request needs one Sec-WebSocket-Key of 16 bytes.\n"};
    static const struct refusal version = {
        426, "Upgrade Required", PLAIN "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Only version 13 of WebSocket is understood.\n"};
    static const struct refusal origin = {403, "Forbidden", PLAIN,
                                          "This page may not connect; see ws.origins.\n"};
    static const struct refusal protocol = {400, "Bad Request", PLAIN,
                                            "The request needs `Sec-WebSocket-Protocol: sip`.\n"};

    if (parser->method != HTTP_GET)
        return &method;
    if (parser->http_major != 1 || parser->http_minor < 1)
        return &old;
    bool body = (parser->flags & F_CHUNKED) != 0 ||
                (parser->content_length != ULLONG_MAX && parser->content_length != 0);
    if (opening->host_count != 1 || body)
        return &host;
    if (!opening->has_upgrade && secure)
        return &page;
    if (!opening->to_websocket)
        return &upgrade;
    if (!opening->connection)
        return &connection;
    if (opening->version_count != 1 || !slice_equal(opening->version, SLICE("13")))
        return &version;
    if (opening->key_count != 1 || !good_key(opening->key))
        return &key;
    if (opening->origin_count > 1 ||
        (opening->origin_count == 1 && !may_connect(rules, opening->origin)))
        return &origin;
    return opening->speaks_sip ? NULL : &protocol;
}

/* --- Answering ------------------------------------------------------------------------------- */

static void write_refusal(const struct refusal *refusal, struct builder *b)
{
    struct slice text = slice_of(refusal->text);

    builder_text(b, "HTTP/1.1 ");
    builder_u64(b, refusal->status);
    builder_char(b, ' ');
    builder_add(b, slice_of(refusal->reason));
    builder_text(b, "\r\n");
    builder_add(b, slice_of(refusal->fields));
    /* A 426 must say what to upgrade to, and Connection that it does (RFC 7230 §6.7). */
    if (refusal->status == 426)
        builder_text(b, "Connection: Upgrade, close\r\nContent-Length: ");
    else
        builder_text(b, "Connection: close\r\nContent-Length: ");
    builder_u64(b, text.len);
    builder_text(b, "\r\n\r\n");
    builder_add(b, text);
}

/* False: OpenSSL has no SHA-1, or no memory. */
static bool write_upgrade(struct slice key, struct builder *b)
{
    static const struct slice salt = {"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36};
    char salted[KEY_TEXT + 36];
    struct builder s = builder_over(salted, sizeof salted);
    unsigned char digest[EVP_MAX_MD_SIZE];
    char accept[ACCEPT_TEXT + 1];

    builder_add(&s, key);
    builder_add(&s, salt);
    if (s.overflow || EVP_Digest(salted, s.len, digest, NULL, EVP_sha1(), NULL) != 1)
        return false;
    EVP_EncodeBlock((unsigned char *)accept, digest, SHA1_BYTES);
    builder_text(b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\n"
                    "Sec-WebSocket-Accept: ");
    builder_add(b, (struct slice){accept, ACCEPT_TEXT});
    builder_text(b, "\r\n\r\n");
    return true;
}

unsigned ws_upgrade(struct slice head, const struct ws_rules *rules, bool secure,
                    struct builder *answer, struct slice *origin)
{
    static const struct refusal no_digest = {500, "Internal Server Error", PLAIN, "No SHA-1.\n"};
    struct opening opening = {0};
    http_parser_settings settings;
    http_parser parser;

    http_parser_settings_init(&settings);
    settings.on_header_field = on_field;
    settings.on_header_value = on_value;
    settings.on_headers_complete = on_end;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &opening;
    size_t read = http_parser_execute(&parser, &settings, head.data, head.len);

    *origin = opening.origin;
    const struct refusal *refusal = &not_http;
    if (HTTP_PARSER_ERRNO(&parser) == HPE_OK && read == head.len && opening.whole &&
        !opening.broken)
        refusal = judge(&parser, &opening, rules, secure);
    if (refusal == NULL && !write_upgrade(opening.key, answer))
        refusal = &no_digest;
    if (refusal == NULL)
        return 101;
    write_refusal(refusal, answer);
    return refusal->status;
}

void ws_refuse_long(struct builder *answer)
{
    write_refusal(&too_long, answer);
}
