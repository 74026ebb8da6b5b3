/* SPDX-License-Identifier: Apache-2.0 */
/* The opening of a WebSocket, field by field (RFC 6455 §4.2, RFC 7118 §4.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/ws_upgrade.h"

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define END "\r\n"

/* The request of RFC 7118 §4.1 in pieces that a case may leave out or change. */
#define LINE     "GET / HTTP/1.1\r\n"
#define HOST     "Host: sip-ws.example.com\r\n"
#define UPGRADE  "Upgrade: websocket\r\n"
#define CONNECT  "Connection: Upgrade\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: sip\r\n"
#define ORIGIN   "Origin: https://www.example.com\r\n"

static const struct slice origins[] = {{"https://www.example.com", 23}, {"null", 4}};

/* Asks in memory of exactly the request's size, so that a read past its end is seen. */
static unsigned ask(const char *request, const struct ws_rules *rules, bool secure,
                    char text[WS_ANSWER_MAX + 1])
{
    struct builder answer = builder_over(text, WS_ANSWER_MAX);
    size_t len = strlen(request);
    char *exact = malloc(len);
    assert_non_null(exact);
    memcpy(exact, request, len);

    struct slice origin;
    unsigned status = ws_upgrade((struct slice){exact, len}, rules, secure, &answer, &origin);
    assert_true(origin.len == 0 ||
                (origin.data >= exact && origin.data + origin.len <= exact + len));
    free(exact);
    assert_false(answer.overflow);
    text[answer.len] = '\0';
    return status;
}

static void the_request_of_the_rfc_gets_the_answer_of_the_rfc(void **state)
{
    const struct ws_rules any = {0};
    char text[WS_ANSWER_MAX + 1];

    (void)state;
    assert_int_equal(
        101, ask(LINE HOST UPGRADE CONNECT KEY ORIGIN PROTOCOL VERSION END, &any, false, text));
    assert_string_equal("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Protocol: sip\r\n"
                        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                        text);
}

static void each_fault_has_its_answer(void **state)
{
    static const struct {
        const char *why, *request;
        unsigned status;
        const char *contains;
    } cases[] = {
        {"words in any case, lists, and what else a browser says",
         "GET /sip?x=1 HTTP/1.1\r\nhost: a\r\nUPGRADE: h2c, WebSocket\r\n"
         "connection: keep-alive, upgrade\r\n" KEY
         "Sec-WebSocket-Protocol: chat,  sip\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
         "Cookie: a=b\r\n" VERSION END,
         101, "Sec-WebSocket-Protocol: sip\r\n"},
        {"lists over several fields",
         LINE HOST UPGRADE "Connection: keep-alive\r\n" CONNECT KEY
                           "Sec-WebSocket-Protocol: xmpp\r\n" PROTOCOL VERSION END,
         101, ""},
        {"another method", "POST / HTTP/1.1\r\n" HOST UPGRADE CONNECT KEY VERSION PROTOCOL END, 405,
         "\r\nAllow: GET\r\n"},
        {"HTTP/1.0", "GET / HTTP/1.0\r\n" HOST UPGRADE CONNECT KEY VERSION PROTOCOL END, 505, ""},
        {"HTTP/2 in HTTP/1's clothes",
         "GET / HTTP/2.0\r\n" HOST UPGRADE CONNECT KEY VERSION PROTOCOL END, 505, ""},
        {"no Host", LINE UPGRADE CONNECT KEY VERSION PROTOCOL END, 400, "Host"},
        {"two Hosts", LINE HOST HOST UPGRADE CONNECT KEY VERSION PROTOCOL END, 400, "Host"},
        {"a body", LINE HOST "Content-Length: 1\r\n" UPGRADE CONNECT KEY VERSION PROTOCOL END, 400,
         "no body"},
        {"a body in chunks",
         LINE HOST "Transfer-Encoding: chunked\r\n" UPGRADE CONNECT KEY VERSION PROTOCOL END, 400,
         ""},
        {"a plain GET", LINE HOST END, 426, "\r\nUpgrade: websocket\r\nConnection: Upgrade, close"},
        {"an upgrade to something else",
         LINE HOST "Upgrade: h2c\r\n" CONNECT KEY VERSION PROTOCOL END, 426, ""},
        {"no Connection", LINE HOST UPGRADE KEY VERSION PROTOCOL END, 400, "Connection: Upgrade"},
        {"Connection without the token",
         LINE HOST UPGRADE "Connection: upgrades\r\n" KEY VERSION PROTOCOL END, 400, ""},
        {"no version", LINE HOST UPGRADE CONNECT KEY PROTOCOL END, 426,
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {"an old version",
         LINE HOST UPGRADE CONNECT KEY "Sec-WebSocket-Version: 8\r\n" PROTOCOL END, 426,
         "\r\nSec-WebSocket-Version: 13\r\n"},
        {"two versions", LINE HOST UPGRADE CONNECT KEY VERSION VERSION PROTOCOL END, 426, ""},
        {"no key", LINE HOST UPGRADE CONNECT VERSION PROTOCOL END, 400, "Sec-WebSocket-Key"},
        {"two keys", LINE HOST UPGRADE CONNECT KEY KEY VERSION PROTOCOL END, 400, ""},
        {"a key of 15 bytes",
         LINE HOST UPGRADE CONNECT
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n" VERSION PROTOCOL END,
         400, ""},
        {"a key of 18 bytes",
         LINE HOST UPGRADE CONNECT
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ0K\r\n" VERSION PROTOCOL END,
         400, ""},
        {"a key that is no base64",
         LINE HOST UPGRADE CONNECT
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q==\r\n" VERSION PROTOCOL END,
         400, ""},
        {"a key with bits behind its end",
         LINE HOST UPGRADE CONNECT
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n" VERSION PROTOCOL END,
         400, ""},
        {"no subprotocol", LINE HOST UPGRADE CONNECT KEY VERSION END, 400,
         "`Sec-WebSocket-Protocol: sip`"},
        {"another subprotocol",
         LINE HOST UPGRADE CONNECT KEY VERSION "Sec-WebSocket-Protocol: sips, SIP, msrp\r\n" END,
         400, ""},
        {"a line that goes on in the next",
         LINE HOST "X: a\r\n b\r\n" UPGRADE CONNECT KEY VERSION PROTOCOL END, 400, "no HTTP"},
        {"SIP", "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a\r\n\r\n", 400, "no HTTP"},
        {"nothing", END END, 400, ""},
        {"a space before the colon", LINE "Host : a\r\n" UPGRADE CONNECT KEY VERSION PROTOCOL END,
         400, ""},
        {"a request behind an end of bare line feeds",
         "GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\n" HOST END, 400, ""},
        {"a control character in a name", LINE HOST "X\x01Y: z\r\n" END, 400, ""},
    };
    const struct ws_rules any = {0};
    char text[WS_ANSWER_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        unsigned status = ask(cases[i].request, &any, false, text);
        if (status != cases[i].status || strstr(text, cases[i].contains) == NULL)
            fail_msg("%s: %u\n%s", cases[i].why, status, text);
        char start[32];
        snprintf(start, sizeof start, "HTTP/1.1 %u ", status);
        assert_memory_equal(start, text, strlen(start));
    }
}

static void a_page_is_shown_over_tls_only(void **state)
{
    const struct ws_rules any = {0};
    char text[WS_ANSWER_MAX + 1];

    (void)state;
    assert_int_equal(200, ask(LINE HOST END, &any, true, text));
    assert_non_null(strstr(text, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
    assert_non_null(strstr(text, "accepts our certificate"));
    assert_int_equal(426, ask(LINE HOST END, &any, false, text));
    assert_int_equal(400, ask(LINE HOST UPGRADE CONNECT KEY VERSION END, &any, true, text));
}

static void only_listed_pages_may_connect(void **state)
{
    static const struct {
        const char *why, *fields;
        unsigned status;
    } cases[] = {
        {"a listed one", ORIGIN, 101},
        {"in capitals", "Origin: HTTPS://WWW.Example.com\r\n", 101},
        {"a page in a file", "Origin: null\r\n", 101},
        {"no browser", "", 101},
        {"another one", "Origin: https://evil.example\r\n", 403},
        {"one that begins alike", "Origin: https://www.example.com.evil.example\r\n", 403},
        {"another port", "Origin: https://www.example.com:8443\r\n", 403},
        {"without TLS", "Origin: http://www.example.com\r\n", 403},
        {"an empty one", "Origin:\r\n", 403},
        {"two", ORIGIN "Origin: https://evil.example\r\n", 403},
    };
    const struct ws_rules rules = {origins, COUNT_OF(origins)};
    const struct ws_rules any = {0};
    char request[512], text[WS_ANSWER_MAX + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        snprintf(request, sizeof request, "%s%s%s", LINE HOST UPGRADE CONNECT KEY VERSION PROTOCOL,
                 cases[i].fields, END);
        unsigned status = ask(request, &rules, false, text);
        if (status != cases[i].status)
            fail_msg("%s: %u", cases[i].why, status);
        bool twice = i == COUNT_OF(cases) - 1;
        assert_int_equal(twice ? 403 : 101, ask(request, &any, false, text));
    }
}

static void the_end_of_a_request_is_found_however_it_is_cut(void **state)
{
    const char *request = LINE HOST END "and more";
    const size_t wanted = strlen(LINE HOST END);

    (void)state;
    for (size_t cut = 0; cut <= strlen(request); cut++) {
        size_t scanned = 0;
        size_t len = ws_head_len((struct slice){request, cut}, &scanned);
        assert_int_equal(cut >= wanted ? wanted : 0, len);
        if (len == 0)
            assert_int_equal(wanted, ws_head_len(slice_of(request), &scanned));
    }
    size_t scanned = 0;
    assert_int_equal(0, ws_head_len(SLICE("a\n\nb\r\n\n\r\r\n"), &scanned));
}

static void too_long_a_request_is_told_so(void **state)
{
    char text[WS_ANSWER_MAX];
    struct builder answer = builder_over(text, sizeof text);

    (void)state;
    ws_refuse_long(&answer);
    assert_true(slice_starts_with(builder_slice(&answer), SLICE("HTTP/1.1 431 ")));
    assert_false(answer.overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_request_of_the_rfc_gets_the_answer_of_the_rfc),
        cmocka_unit_test(each_fault_has_its_answer),
        cmocka_unit_test(a_page_is_shown_over_tls_only),
        cmocka_unit_test(only_listed_pages_may_connect),
        cmocka_unit_test(the_end_of_a_request_is_found_however_it_is_cut),
        cmocka_unit_test(too_long_a_request_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
