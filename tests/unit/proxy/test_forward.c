/* SPDX-License-Identifier: Apache-2.0 */
/* The request of a branch, byte by byte (RFC 3261 §16.6 steps 2 to 9). */
#include "world.h"

#define VIA_US "Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKx;rport\r\n"
#define VIA_IN "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKin\r\n"
#define CALL                                                                                       \
    "From: <sip:alice@example.com>;tag=alice\r\n"                                                  \
    "To: <sip:bob@example.com>\r\n"                                                                \
    "Call-ID: call-1\r\n"                                                                          \
    "CSeq: 1 INVITE\r\n"
#define HOPS      "Max-Forwards: 70\r\nMax-Breadth: 60\r\n"
#define HOPS_LESS "Max-Forwards: 69\r\nMax-Breadth: 60\r\n"
#define END       "Content-Length: 4\r\n\r\nbody"
#define BOB       "sip:bob@198.51.100.1"

struct row {
    const char *why;
    const char *in;
    const char *out;
    const char *uri;     /* of the target; NULL: BOB */
    const char *routes;  /* of the target */
    const char *source;  /* NULL: 192.0.2.1:5060 */
    enum transport from; /* NONE: UDP */
    enum transport to;
    unsigned routes_drop;
    bool route_last_drop;
    bool trusted;
    bool to_trusted;
};

static const struct row rows[] = {
    {.why = "the usual: URI replaced, Via put on top, one hop less",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},
    {.why = "without Max-Forwards 70 is put in (step 3), without Max-Breadth 60 (RFC 5393)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US HOPS VIA_IN CALL END},
    {.why = "Max-Forwards of one digit and of three",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN
           "Max-Forwards:1\r\nMax-Breadth: 60\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN
            "Max-Forwards:0\r\nMax-Breadth: 60\r\n" CALL END},
    {.why = "255 is the largest",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN
           "Max-Forwards: 255\r\nMax-Breadth: 60\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN
            "Max-Forwards: 254\r\nMax-Breadth: 60\r\n" CALL END},
    {.why = "unknown fields, folding, case and order stay as they are (§7.3.1)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "x-odd  :  a\r\n  folded\r\nX-oDD:\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "x-odd  :  a\r\n  folded\r\nX-oDD:\r\n" CALL END},

    /* Via (§18.2.1, RFC 3581) */
    {.why = "sent-by is a name: received",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP alice.example;branch=z9hG4bKin"
           "\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP alice.example;branch=z9hG4bKin;"
            "received=192.0.2.1\r\n" HOPS_LESS CALL END},
    {.why = "another address than sent-by: received, also in a list with another value",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin, "
           "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKin2\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin;"
            "received=192.0.2.1, SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKin2\r\n" HOPS_LESS CALL END},
    {.why = "rport asked for: received and rport always",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bKin"
           "\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKin;"
            "received=192.0.2.1;rport=5060\r\n" HOPS_LESS CALL END},
    {.why = "rport last, as most write it, also before another value",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin;rport"
           "\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin;"
            "received=192.0.2.1;rport=5060\r\n" HOPS_LESS CALL END},
    {.why = "the same in a list",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin;rport,"
           "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKin2;rport\r\n" HOPS CALL END,
     .out =
         "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKin;"
         "received=192.0.2.1;rport=5060,SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKin2;rport\r\n" HOPS_LESS
             CALL END},
    {.why = "a received and rport that the sender made up are overwritten",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1 ;rport=1 ;received="
           "10.9.9.9;branch=z9hG4bKin\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP 192.0.2.1  ;branch=z9hG4bKin;"
            "received=192.0.2.1;rport=5060\r\n" HOPS_LESS CALL END},
    {.why = "IPv6: received without brackets (§25.1)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a.example;branch=z9hG4bKin"
           "\r\n" HOPS CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US "Via: SIP/2.0/UDP a.example;branch=z9hG4bKin;"
            "received=2001:db8::77\r\n" HOPS_LESS CALL END,
     .source = "[2001:db8::77]:5060"},
    {.why = "to TCP: no rport, and a Content-Length (step 9)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL "\r\nbody",
     .out =
         "INVITE " BOB
         " SIP/2.0\r\nVia: SIP/2.0/TCP 203.0.113.1:5061;branch=z9hG4bKx\r\n" VIA_IN HOPS_LESS CALL
         "Content-Length: 4\r\n\r\nbody",
     .to = TRANSPORT_TCP},
    {.why = "a datagram to a datagram needs none",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL "\r\nbody",
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL "\r\nbody"},

    /* Request-URI (step 2) */
    {.why = "headers and method are not for a Request-URI (§19.1.1)",
     .uri = "sip:bob@198.51.100.1;method=BYE;user=phone?Subject=x&a=b",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE sip:bob@198.51.100.1;user=phone SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},
    {.why = "a question mark in the user part is no header",
     .uri = "sip:bob?me@198.51.100.1",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE sip:bob?me@198.51.100.1 SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},
    {.why = "method as the last parameter",
     .uri = "sip:bob@198.51.100.1;Method=INVITE",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE sip:bob@198.51.100.1 SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},
    {.why = "a target without URI keeps the request's",
     .uri = "",
     .in = "INVITE sip:bob@example.com;x=y SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE sip:bob@example.com;x=y SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},

    /* Route (§16.4, step 6) */
    {.why = "our own Route value is taken off: the field goes",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS "Route: <sip:us;lr>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .routes_drop = 1},
    {.why = "of a list only the first",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:us;lr> , <sip:next;lr>\r\n" CALL END,
     .out =
         "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS "Route: <sip:next;lr>\r\n" CALL END,
     .routes_drop = 1},
    {.why = "two of ours (double Record-Route) over two fields and a half",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:us;lr>\r\nRoute: <sip:us2;lr>,<sip:a;lr>\r\nX: y\r\nRoute: <sip:b>\r\n" CALL
               END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Route: <sip:a;lr>\r\nX: y\r\nRoute: <sip:b>\r\n" CALL END,
     .routes_drop = 2},
    {.why = "a Path goes before what is left (RFC 3327 §5.3)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:us;lr>, <sip:z;lr>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US
            "Route: <sip:e1;lr>, <sip:e2;lr>\r\n" VIA_IN HOPS_LESS "Route: <sip:z;lr>\r\n" CALL END,
     .routes = "<sip:e1;lr>, <sip:e2;lr>",
     .routes_drop = 1},
    {.why = "strict predecessor: the last value has become the Request-URI (§16.4)",
     .uri = "",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:a;lr>, <sip:bob@1.2.3.4>\r\n" CALL END,
     .out = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Route: <sip:a;lr>\r\n" CALL END,
     .route_last_drop = true},
    {.why = "strict predecessor, and only that value",
     .in = "INVITE sip:us SIP/2.0\r\n" VIA_IN HOPS "Route: <sip:bob@1.2.3.4>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .route_last_drop = true},
    {.why = "strict next hop: its URI on top, ours at the end (step 6)",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:us;lr>, <sip:strict@s.example;x>, <sip:after;lr>\r\n" CALL END,
     .out = "INVITE sip:strict@s.example;x SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Route: <sip:after;lr>\r\nRoute: <" BOB ">\r\n" CALL END,
     .routes_drop = 1},
    {.why = "strict next hop, the only one",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Route: <sip:strict.example>\r\n" CALL END,
     .out = "INVITE sip:strict.example SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS "Route: <" BOB
            ">\r\n" CALL END},
    {.why = "strict next hop in a Path",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS "Route: <sip:z;lr>\r\n" CALL END,
     .out = "INVITE sip:strict.example SIP/2.0\r\n" VIA_US "Route: <sip:e2;lr>\r\n" VIA_IN HOPS_LESS
            "Route: <sip:z;lr>\r\nRoute: <" BOB ">\r\n" CALL END,
     .routes = "<sip:strict.example>, <sip:e2;lr>"},
    {.why = "strict next hop alone in a Path, no Route at all",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS CALL END,
     .out = "INVITE sip:strict.example SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL
            "Content-Length: 4\r\nRoute: <" BOB ">\r\n\r\nbody",
     .routes = "<sip:strict.example>"},

    /* identity (RFC 3325 §5) */
    {.why = "identities of strangers are taken off in every spelling",
     .in =
         "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
         "P-Asserted-Identity: <sip:a@b>\r\np-asserted-identity \t: <sip:a@b>,\r\n <tel:1>\r\n"
         "P-Preferred-Identity : <sip:c@d>\r\n" CALL "P-ASSERTED-IDENTITY:<sip:e@f>\r\n"
         "Remote-Party-ID: \"x\"\r\n\t<sip:a@b>;privacy=off\r\nremote-party-id\t:<sip:g@h>\r\n" END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END},
    {.why = "of those we trust they stay",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "P-Asserted-Identity: <sip:a@b>\r\nRemote-Party-ID: <sip:a@b>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "P-Asserted-Identity: <sip:a@b>\r\nRemote-Party-ID: <sip:a@b>\r\n" CALL END,
     .trusted = true},
    {.why = "who wants to be unknown is not told to those we do not trust",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Privacy: header ; ID\r\nP-Asserted-Identity: <sip:a@b>\r\nRemote-Party-ID: <sip:a@b>"
           "\r\n" CALL END,
     .out =
         "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS "Privacy: header ; ID\r\n" CALL END,
     .trusted = true},
    {.why = "but to those we trust",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Privacy: id\r\nP-Asserted-Identity: <sip:a@b>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Privacy: id\r\nP-Asserted-Identity: <sip:a@b>\r\n" CALL END,
     .trusted = true,
     .to_trusted = true},
    {.why = "Remote-Party-ID has a wish of its own, which counts for all that is asserted",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Remote-Party-ID: \"x;privacy=off\" <sip:a@b>;party=calling;Privacy=full;screen=yes\r\n"
           "P-Asserted-Identity: <sip:a@b>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .trusted = true},
    {.why = "the wish of any of its values",
     .in =
         "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
         "Remote-Party-ID: <sip:a@b>;privacy=off, <sip:c@d>;privacy=\"name-network\"\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .trusted = true},
    {.why = "two answers to one question",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Remote-Party-ID: <sip:a@b>;privacy=off;privacy=uri\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .trusted = true},
    {.why = "what cannot be read is not shown",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Remote-Party-ID: <sip:a@b>;;privacy=off\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS CALL END,
     .trusted = true},
    {.why = "it stays for those we trust",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Remote-Party-ID: <sip:a@b>;privacy=full\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Remote-Party-ID: <sip:a@b>;privacy=full\r\n" CALL END,
     .trusted = true,
     .to_trusted = true},
    {.why = "privacy=off, and a privacy in the URI, are no wish",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Remote-Party-ID: <sip:a@b;privacy=full>;privacy=OFF\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Remote-Party-ID: <sip:a@b;privacy=full>;privacy=OFF\r\n" CALL END,
     .trusted = true},
    {.why = "other wishes, and none, change nothing",
     .in = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
           "Privacy: none\r\nPrivacy: header;idea\r\nP-Asserted-Identity: <sip:a@b>\r\n" CALL END,
     .out = "INVITE " BOB " SIP/2.0\r\n" VIA_US VIA_IN HOPS_LESS
            "Privacy: none\r\nPrivacy: header;idea\r\nP-Asserted-Identity: <sip:a@b>\r\n" CALL END,
     .trusted = true},
};

static void check(struct world *w, const struct row *row)
{
    static char out[TEXT_MAX];
    struct builder b = builder_over(out, sizeof out - 1);
    const char *source = row->source != NULL ? row->source : "192.0.2.1:5060";
    struct flow from = world_flow(source, row->from != 0 ? row->from : TRANSPORT_UDP);
    struct proxy_target target = {
        .uri = slice_of(row->uri != NULL ? row->uri : BOB),
        .routes = row->routes != NULL ? slice_of(row->routes) : SLICE_EMPTY,
        .to = world_flow("198.51.100.1:5060", row->to != 0 ? row->to : TRANSPORT_UDP),
    };

    assert_int_equal(sip_parse(slice_of(row->in), SIP_DATAGRAM, &w->msg), OK);
    assert_int_equal(w->msg.fault.status, 0);
    const struct proxy_request request = {
        .msg = &w->msg,
        .source = &from,
        .uri = w->msg.uri,
        .routes_drop = (uint16_t)row->routes_drop,
        .route_last_drop = row->route_last_drop,
        .trusted = row->trusted,
    };
    w->all_trusted = row->to_trusted;
    assert_int_equal(forward_write(w->proxy, &request, &target, SLICE("z9hG4bKx"), 60, &b), OK);
    out[b.len] = '\0';
    assert_string_equal(out, row->out);
    /* What was written can be read. */
    assert_int_equal(sip_parse(builder_slice(&b), SIP_DATAGRAM, &w->msg), OK);
    assert_int_equal(w->msg.fault.status, 0);
}

static void each_rule_gives_these_bytes(void **state)
{
    struct world *w = world_open((struct world_options){0});
    (void)state;

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        print_message("%s\n", rows[i].why);
        check(w, &rows[i]);
    }
    world_close(w);
}

/* ---- Record-Route (step 4) ---- */

static struct slice forward_recorded(struct world *w, const struct flow *from,
                                     struct proxy_target *target, const char *in)
{
    static char out[TEXT_MAX];
    struct builder b = builder_over(out, sizeof out - 1);

    assert_int_equal(sip_parse(slice_of(in), SIP_DATAGRAM, &w->msg), OK);
    const struct proxy_request request = {
        .msg = &w->msg,
        .source = from,
        .uri = w->msg.uri,
        .record_route = true,
        .caller = {.has_flow = from->transport == TRANSPORT_TCP, .flow = *from},
    };
    assert_int_equal(forward_write(w->proxy, &request, target, SLICE("z9hG4bKx"), 60, &b), OK);
    out[b.len] = '\0';
    return builder_slice(&b);
}

static const char plain[] = "INVITE sip:bob@example.com SIP/2.0\r\n" VIA_IN HOPS
                            "Record-Route: <sip:before;lr>\r\n" CALL END;

/* The token of the n-th Record-Route, read as a request of the caller's. */
static void read_recorded(struct slice out, unsigned n, const char *expected,
                          struct proxy_token *token)
{
    static char scratch[PROXY_TOKEN_SCRATCH];
    const char *at = out.data;
    bool from_caller;

    for (unsigned i = 0; i <= n; i++) {
        at = strstr(at, "\r\nRecord-Route: ");
        assert_non_null(at);
        at += 16;
    }
    assert_memory_equal(at, expected, strlen(expected));
    const char *text = strstr(at, ";r=") + 3;
    struct slice value = slice_between(text, strchr(text, '>'));
    assert_int_equal(proxy_token_read(value, &world_key, SLICE("call-1"), SLICE("alice"),
                                      SLICE("bob"), scratch, token, &from_caller),
                     OK);
    assert_true(from_caller);
}

static void one_record_route_where_both_sides_reach_us_alike(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target target = world_target(1, 1000);
    struct proxy_token token;
    (void)state;

    target.nat = true;
    target.instance = 5;
    target.aor = SLICE("bob@example.com");
    struct slice out = forward_recorded(w, &w->source, &target, plain);
    assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: "), 2);
    read_recorded(out, 0, "<sip:203.0.113.1:5060;lr;r=", &token);
    assert_non_null(strstr(out.data, "\r\nRecord-Route: <sip:before;lr>\r\n"));
    assert_false(token.caller.has_flow);
    assert_true(token.callee.has_flow);
    assert_true(addr_equal(&token.callee.flow.remote, &target.to.remote));
    assert_int_equal(token.callee.instance, 5);
    world_close(w);
}

static void two_record_routes_where_the_sides_differ_the_callees_on_top(void **state)
{
    static const struct {
        const char *why, *from, *to, *top, *second;
        enum transport from_transport, to_transport;
    } cases[] = {
        {"UDP to TCP", "192.0.2.1:5060", "198.51.100.1:5060",
         "<sip:203.0.113.1:5061;transport=tcp;lr;r=", "<sip:203.0.113.1:5060;lr;r=", TRANSPORT_UDP,
         TRANSPORT_TCP},
        {"TCP to UDP", "192.0.2.1:5060", "198.51.100.1:5060", "<sip:203.0.113.1:5060;lr;r=",
         "<sip:203.0.113.1:5061;transport=tcp;lr;r=", TRANSPORT_TCP, TRANSPORT_UDP},
        {"IPv4 to IPv6", "192.0.2.1:5060", "[2001:db8::77]:5060", "<sip:[2001:db8::1]:5060;lr;r=",
         "<sip:203.0.113.1:5060;lr;r=", TRANSPORT_UDP, TRANSPORT_UDP},
    };
    struct world *w = world_open((struct world_options){0});
    (void)state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct flow from = world_flow(cases[i].from, cases[i].from_transport);
        struct proxy_target target = {.uri = SLICE(BOB),
                                      .to = world_flow(cases[i].to, cases[i].to_transport)};
        struct proxy_token tokens[2];
        print_message("%s\n", cases[i].why);
        struct slice out = forward_recorded(w, &from, &target, plain);
        assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: "), 3);
        read_recorded(out, 0, cases[i].top, &tokens[0]);
        read_recorded(out, 1, cases[i].second, &tokens[1]);
        assert_int_equal(tokens[0].caller.has_flow, cases[i].from_transport == TRANSPORT_TCP);
        assert_int_equal(tokens[1].caller.has_flow, cases[i].from_transport == TRANSPORT_TCP);
    }
    world_close(w);
}

static void another_listener_is_another_side_and_any_listener_is_not(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target target = world_target(1, 1000);
    (void)state;

    target.to.listener = 2;
    struct slice out = forward_recorded(w, &w->source, &target, plain);
    assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: <sip:203"), 2);
    target.to.listener = LISTENER_ANY;
    out = forward_recorded(w, &w->source, &target, plain);
    assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: <sip:203"), 1);
    world_close(w);
}

/* Of a listener at 0.0.0.0 each side sees the address in its own network. */
static void another_address_of_ours_is_another_side(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target target = world_target(1, 1000);
    struct proxy_token token;
    struct flow from = w->source;
    (void)state;

    assert_int_equal(addr_parse(SLICE("192.0.2.7"), 5060, &from.local), OK);
    assert_int_equal(addr_parse(SLICE("198.51.100.7"), 5060, &target.to.local), OK);
    struct slice out = forward_recorded(w, &from, &target, plain);
    assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: "), 3);
    read_recorded(out, 0, "<sip:198.51.100.7:5060;lr;r=", &token);
    read_recorded(out, 1, "<sip:192.0.2.7:5060;lr;r=", &token);
    from.local = target.to.local;
    out = forward_recorded(w, &from, &target, plain);
    assert_int_equal(world_count_text(out.data, "\r\nRecord-Route: "), 2);
    world_close(w);
}

/* On the side of TLS, without a transport that sips has said already (RFC 5630 §3.1.4). */
static void a_sips_uri_makes_a_sips_record_route(void **state)
{
    struct world *w = world_open((struct world_options){0});
    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct proxy_target target = world_target(1, 1000);
        target.to.transport = TRANSPORT_TLS;
        if (i == 0)
            target.uri = SLICE("sips:bob@198.51.100.1");
        else
            target.routes = SLICE("<sips:edge.example;lr>");
        struct slice out = forward_recorded(w, &w->source, &target, plain);
        assert_int_equal(1, world_count_text(out.data, "\r\nRecord-Route: <sips:203.0.113.1"));
        assert_int_equal(1, world_count_text(out.data, "\r\nRecord-Route: <sip:203.0.113.1"));
        assert_null(strstr(out.data, "transport=tls"));
    }
    world_close(w);
}

/* The connection that is opened for it, not the phone's own (RFC 5923 §8). */
static void a_connection_over_tls_is_offered_for_use_both_ways(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target target = world_target(1, 1000);
    (void)state;

    struct slice out = forward_recorded(w, &w->source, &target, plain);
    assert_null(strstr(out.data, ";alias"));
    target.to.transport = TRANSPORT_TLS;
    out = forward_recorded(w, &w->source, &target, plain);
    assert_int_equal(1, world_count_text(out.data, ";alias\r\n"));
    target.to.conn = (struct conn_id){.worker = 0, .id = {.slot = 1, .generation = 1}};
    out = forward_recorded(w, &w->source, &target, plain);
    assert_null(strstr(out.data, ";alias"));
    world_close(w);
}

static void names_too_long_for_a_token_are_left_out_of_it(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target target = world_target(1, 1000);
    static char aor[400];
    struct proxy_token token;
    (void)state;

    memset(aor, 'a', sizeof aor);
    target.nat = true;
    target.aor = (struct slice){aor, sizeof aor};
    struct slice out = forward_recorded(w, &w->source, &target, plain);
    read_recorded(out, 0, "<sip:203.0.113.1:5060;lr;r=", &token);
    assert_true(token.callee.has_flow);
    assert_int_equal(token.callee.aor.len, 0);
    world_close(w);
}

/* ---- limits ---- */

static void a_request_that_grows_past_its_limit_is_refused_and_one_byte_less_is_not(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    static char body[SIP_MESSAGE_MAX];
    (void)state;

    /* How many bytes we add is found by trying. */
    world_write(w, "INVITE", "sip:bob@example.com", "", "");
    size_t received = strlen(w->message);
    assert_int_equal(world_forward(w, &bob, 1), OK);
    size_t added = world_expect(w, "INVITE")->len - received;
    world_close(w);
    for (unsigned more = 0; more < 2; more++) {
        w = world_open((struct world_options){0});
        /* Content-Length has five digits instead of one */
        size_t len = SIP_MESSAGE_MAX - received - added - 4 + more;
        memset(body, 'b', len);
        body[len] = '\0';
        world_write(w, "INVITE", "sip:bob@example.com", "", body);
        assert_int_equal(world_forward(w, &bob, 1), more == 0 ? OK : ERR_TOO_BIG);
        if (more == 0) {
            assert_int_equal(world_expect(w, "INVITE")->len, SIP_MESSAGE_MAX);
        } else {
            world_expect_silence(w);
            assert_int_equal(proxy_counters(w->proxy)->too_big, 1);
            assert_int_equal(proxy_count(w->proxy), 0);
            txn_server_drop(w->txns, w->server, w->now_ms);
        }
        world_close(w);
    }
}

static void more_scattered_fields_to_drop_than_edits_is_refused(void **state)
{
    struct world *w = world_open((struct world_options){0});
    struct proxy_target bob = world_target(1, 1000);
    static char extra[8000];
    struct builder b = builder_over(extra, sizeof extra - 1);
    (void)state;

    for (unsigned i = 0; i < 70; i++)
        builder_text(&b, "P-Asserted-Identity: <sip:a@b>\r\nX: y\r\n");
    assert_false(b.overflow);
    world_write(w, "INVITE", "sip:bob@example.com", extra, "");
    assert_int_equal(world_forward(w, &bob, 1), ERR_TOO_BIG);
    world_expect_silence(w);
    txn_server_drop(w->txns, w->server, w->now_ms);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_gives_these_bytes),
        cmocka_unit_test(one_record_route_where_both_sides_reach_us_alike),
        cmocka_unit_test(two_record_routes_where_the_sides_differ_the_callees_on_top),
        cmocka_unit_test(another_listener_is_another_side_and_any_listener_is_not),
        cmocka_unit_test(another_address_of_ours_is_another_side),
        cmocka_unit_test(a_sips_uri_makes_a_sips_record_route),
        cmocka_unit_test(a_connection_over_tls_is_offered_for_use_both_ways),
        cmocka_unit_test(names_too_long_for_a_token_are_left_out_of_it),
        cmocka_unit_test(a_request_that_grows_past_its_limit_is_refused_and_one_byte_less_is_not),
        cmocka_unit_test(more_scattered_fields_to_drop_than_edits_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
