# SPDX-License-Identifier: Apache-2.0
"""SIP over WebSocket, with a client made by hand at the other end."""
import base64
import time

from cases.tls import certificate, trusting
from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.sip import Message
from harness.ua import UA, call
from harness.websocket import (BINARY, CONTINUED, PING, PONG, TEXT, WebSocket, WebSocketUA, frame, upgrade)

WS, WSS = 5066, 5067
KEY = base64.b64encode(b"0123456789abcdef").decode()


def prepared(env, **settings):
    """A router with UDP, TCP, WS and WSS listeners, ALICE and BOB; the context that trusts it."""
    address = env.address(1)
    path = certificate(env, "one")
    listen = ["udp:%s:5060" % address, "tcp:%s:5060" % address, "ws:%s:%d" % (address, WS),
              "wss:%s:%d" % (address, WSS)]
    router = env.router(listen=listen, tls={"certificate": "one.pem", "key": "one.key"}, **settings)
    router.apply(ALICE, BOB)
    return router, trusting(path)


def phones(env, router):
    """alice in a browser, bob on UDP, both registered."""
    alice = WebSocketUA(router, "alice", WS, address=env.address(2))
    bob = UA(router, "bob", address=env.address(3))
    alice.register()
    bob.register()
    return alice, bob


def connected(router, **more):
    return WebSocket((router.address, WS)).open(**more)


def refused(router, reason):
    return router.metrics()['strowger_net_refused_total{reason="%s"}' % reason]


@case()
def phones_on_websocket_and_udp_call_each_other(env):
    router, context = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    for word, alice in (("ws", WebSocketUA(router, "alice", WS, address=env.address(2))),
                        ("wss", WebSocketUA(router, "alice", WSS, context, address=env.address(2)))):
        alice.register()
        equal(word, router.bindings("alice")[0]["transport"], "alice's transport")
        for caller, callee in ((alice, bob), (bob, alice)):
            mine, theirs = call(caller, callee)
            theirs.asks(caller, "INVITE")
            mine.hang_up(callee)
        alice.register(expires=0)
        alice.close()


@case()
def two_phones_on_websocket_call_each_other(env):
    """Also with WS on one side and WSS on the other, where each needs a Record-Route of its own."""
    router, context = prepared(env)
    alice = WebSocketUA(router, "alice", WS, address=env.address(2))
    alice.register()
    for values, bob in ((1, WebSocketUA(router, "bob", WS, address=env.address(3))),
                        (2, WebSocketUA(router, "bob", WSS, context, address=env.address(3)))):
        bob.register()
        mine, theirs = call(alice, bob)
        equal(values, len(mine.routes), "Record-Route values")
        for route in mine.routes:
            check(";transport=ws" in route and ";lr" in route, "Record-Route: %s", route)
        theirs.asks(alice, "INVITE")
        mine.hang_up(bob)
        bob.register(expires=0)
        bob.close()


@case()
def what_udp_and_websocket_see_of_each_other(env):
    router, _ = prepared(env)
    alice, bob = phones(env, router)
    sent = alice.invite(bob.aor)
    came = bob.request_in("INVITE", call_id=sent.call_id)
    vias = came.all("via")
    check(vias[0].startswith("SIP/2.0/UDP "), "our Via to bob: %s", vias[0])
    check(vias[1].startswith("SIP/2.0/WS " + alice.host), "alice's Via: %s", vias[1])
    routes = came.all("record-route")
    equal(2, len(routes), "Record-Route values")
    check("transport=ws" not in routes[0] and ";transport=ws" in routes[1], "Record-Route: %s", routes)
    bob.reply(came, 486, "Busy")
    equal(486, alice.response_in(sent).status, "answer")

    sent = bob.invite(alice.aor)
    came = alice.request_in("INVITE", call_id=sent.call_id)
    check(came.all("via")[0].startswith("SIP/2.0/WS "), "our Via to alice: %s", came.all("via")[0])
    equal("sip:" + alice.contact.strip("<>").partition(":")[2], came.uri, "Request-URI")
    alice.reply(came, 603, "Decline")
    equal(603, bob.response_in(sent).status, "answer")


# ---- the opening -----------------------------------------------------------------------------------

@case()
def openings_that_are_refused(env):
    router, context = prepared(env)
    host = "%s:%d" % (router.address, WS)
    for status, field, changes in (
            (400, None, {"Sec_WebSocket_Protocol": None}), (400, None, {"Sec_WebSocket_Protocol": "chat"}),
            (400, None, {"Sec_WebSocket_Key": None}), (400, None, {"Sec_WebSocket_Key": "short"}),
            (400, None, {"Connection": "keep-alive"}), (400, None, {"Host": [host, host]}),
            (426, "sec-websocket-version", {"Sec_WebSocket_Version": "12"}), (426, "upgrade", {"Upgrade": None})):
        socket = WebSocket((router.address, WS))
        answer = socket.ask(upgrade(host, KEY, **changes))
        equal(status, answer.status, "the answer to %s" % changes)
        check(field is None or field in answer.headers, "%s: no %s", changes, field)
        check(len(answer.body) > 10, "the answer to %s does not say why", changes)
        check(socket.ends(), "the connection stays")
    for raw, status in ((b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405), (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
                        (b"OPTIONS sip:a SIP/2.0\r\n\r\n", 400),
                        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: " + b"c" * 8200 + b"\r\n\r\n", 431)):
        equal(status, WebSocket((router.address, WS)).ask(raw).status, "the answer to %r" % raw[:30])
    until("they are counted", lambda: refused(router, "handshake") >= 12)
    page = WebSocket((router.address, WSS), context).ask(b"GET / HTTP/1.1\r\nHost: sip.example.com\r\n\r\n")
    equal(200, page.status, "a page over TLS")
    check(b"certificate" in page.body, "it does not speak of the certificate")


@case()
def pages_that_may_connect(env):
    router, _ = prepared(env, ws={"origins": ["https://phone.example.com", "http://127.0.0.1:8000"]})
    for origin, status in (("https://phone.example.com", 101), ("http://127.0.0.1:8000", 101), (None, 101),
                           ("https://evil.example", 403), ("https://phone.example.com.evil.example", 403)):
        answer = WebSocket((router.address, WS)).ask(upgrade("a", KEY, origin))
        equal(status, answer.status, "the answer to a page of %s" % origin)
    until("they are counted", lambda: refused(router, "origin") == 2)
    router.process.wait_line(r"websocket.* from 127\..*: its opening was answered 403, Origin https://evil\.example")
    alice = WebSocketUA(router, "alice", WS, origin="https://phone.example.com", address=env.address(2))
    alice.register()


@case(seconds=60)
def who_does_not_finish_his_opening_is_closed(env):
    router, _ = prepared(env)
    begin = time.monotonic()
    slow = WebSocket((router.address, WS), seconds=30)
    slow.send(upgrade("a", KEY)[:-2])
    half = connected(router)
    half.socket.settimeout(30)
    half.send(frame(b"x" * 100)[:50])
    check(slow.ends() and half.ends(), "they stay")
    took = time.monotonic() - begin
    check(8 < took < 15, "they were closed after %.1f s, wanted 10", took)
    until("it is counted", lambda: refused(router, "slow_handshake") == 1 and refused(router, "slow_message") == 1)


@case()
def connections_of_one_address_have_a_limit(env):
    router, _ = prepared(env, limits={"connections_per_address": 5})
    held = [connected(router) for _ in range(5)]
    one_more = WebSocket((router.address, WS))
    check(one_more.ends(), "a sixth connection stays")
    equal(1, refused(router, "connections_per_source"), "refused connections")
    held[0].close()
    until("there is room again", lambda: not WebSocket((router.address, WS)).waiting(0.2))


# ---- frames ----------------------------------------------------------------------------------------

@case()
def messages_in_any_frames(env):
    router, _ = prepared(env)
    phone = WebSocketUA(router, "alice", WS, address=env.address(2))

    def answered(send):
        request = phone.request("OPTIONS", "sip:" + router.address)
        request.set("Content-Length", "0")
        send(request.encode())
        equal(200, phone.response_in(request).status, "OPTIONS")

    socket = phone.websocket
    answered(lambda raw: phone.send(raw, opcode=BINARY))
    answered(lambda raw: socket.send(frame(raw[:10], TEXT, fin=False) + frame(b"", PING) +
                                     frame(raw[10:200], CONTINUED, fin=False) + frame(b"", PONG) +
                                     frame(raw[200:], CONTINUED)))
    answered(lambda raw: [socket.send(bytes([byte])) for byte in frame(raw)])
    answered(lambda raw: phone.send(raw.replace(b"Content-Length: 0\r\n", b"")))
    answered(lambda raw: phone.send(b"\r\n\r\n" + raw))
    two = [phone.request("OPTIONS", "sip:" + router.address) for _ in range(2)]
    socket.send(b"".join(frame(r.encode()) for r in two))
    for request in two:
        equal(200, phone.response_in(request).status, "one of two in a segment")
    answered(phone.send)  # and one that is in the middle of the stream


@case()
def pings_are_answered_and_crlf_too(env):
    router, _ = prepared(env)
    socket = connected(router)
    for payload in (b"", b"abc", b"x" * 125):
        socket.send(frame(payload, PING))
        equal((PONG, True, payload), socket.receive(), "the answer to a ping")
    socket.send(frame(b"\r\n\r\n"))  # RFC 7118 §6, RFC 5626 §3.5.1
    equal((TEXT, True, b"\r\n"), socket.receive(), "the answer to CRLFCRLF")


@case()
def broken_rules_are_named_and_the_connection_ends(env):
    router, _ = prepared(env)
    cases = [("no mask", frame(b"x", masked=False), 1002), ("a reserved bit", frame(b"x", reserved=4), 1002),
             ("an unknown opcode", frame(b"x", 3), 1002), ("no beginning", frame(b"x", CONTINUED), 1002),
             ("a long ping", frame(b"x" * 126, PING), 1002), ("no text", frame(b"\xff"), 1007),
             ("one byte too many", frame(b"x" * 65536), 1009),
             ("too much in fragments", frame(b"x" * 40000, fin=False) + frame(b"x" * 40000, CONTINUED), 1009),
             ("a gigabyte", frame(b"x" * 1000, length=1 << 30), 1009)]
    for why, raw, code in cases:
        socket = connected(router)
        socket.send(raw)
        equal(code, socket.closing_code(), why)
        check(socket.ends(), "%s: the connection stays", why)
    until("they are counted", lambda: refused(router, "framing") == len(cases))
    socket = connected(router)
    socket.send(frame(b"this is no SIP at all\r\n\r\n"))
    equal(1001, socket.closing_code(), "what is no SIP")


@case()
def messages_as_long_as_any(env):
    router, _ = prepared(env)
    alice = WebSocketUA(router, "alice", WS, address=env.address(2))
    bob = WebSocketUA(router, "bob", WS, address=env.address(3))
    alice.register()
    bob.register()
    for size in (1400, 20000, 60000):
        text = ("é" * (size // 2)).encode()
        request = alice.request("MESSAGE", bob.aor, headers=[("Content-Type", "text/plain")], body=text)
        alice.send(request)
        first = alice.response_in(request)
        if first.status == 407:
            request = alice.with_credentials(request, first)
            alice.send(request)
        came = bob.request_in("MESSAGE", call_id=request.call_id)
        check(came.body == text, "a body of %d bytes came as %d", len(text), len(came.body))
        bob.reply(came, 200)
        equal(200, alice.response_in(request).status, "MESSAGE of %d bytes" % size)


@case()
def what_is_no_text_goes_as_binary(env):
    """RFC 7118 §4.2: a browser would fail the connection."""
    router, _ = prepared(env)
    alice, bob = phones(env, router)
    opcodes = []
    framed = alice._framed
    alice._framed = lambda opcode, fin, payload: (opcodes.append(opcode), framed(opcode, fin, payload))
    for body, opcode in ((b"caf\xc3\xa9", TEXT), (b"caf\xe9", BINARY)):
        request = bob.request("MESSAGE", alice.aor, headers=[("Content-Type", "text/plain")], body=body)
        request, challenge = request, bob.exchange(request)
        if challenge.status == 407:
            request = bob.with_credentials(request, challenge)
            bob.send(request)
        came = alice.request_in("MESSAGE", call_id=request.call_id)
        equal(opcode, opcodes[-1], "the opcode of %r" % body)
        alice.reply(came, 200)
        equal(200, bob.response_in(request).status, "MESSAGE")


# ---- the connection --------------------------------------------------------------------------------

@case()
def a_lost_connection_is_noticed(env):
    """By a close frame, by an end of the stream, and by silence: nobody is rung in vain."""
    router, _ = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    for how in ("close frame", "end"):
        alice = WebSocketUA(router, "alice", WS, address=env.address(2))
        alice.register()
        equal("up", router.bindings("alice")[0]["flow"], "alice's flow")
        if how == "end":
            alice.close()
        else:
            alice.websocket.send(frame(b"\x03\xe9", 8))
            equal(1001, alice.websocket.closing_code(), "the answer to the close frame")
        until("%s: the binding has no flow" % how, lambda: router.bindings("alice")[0]["flow"] == "lost")
        sent = bob.invite("sip:alice@example.com")
        equal(480, bob.response_in(sent).status, "a call to her then")
        again = WebSocketUA(router, "alice", WS, address=env.address(2))
        again.register(contact="*", expires=0)
        again.close()


@case()
def a_page_that_ends_while_its_call_rings_gives_it_up(env):
    """Nothing that the callee says has a way to it any more. A phone on TCP may come back for the answer."""
    router, context = prepared(env)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    for port, tls in ((WS, None), (WSS, context)):
        alice = WebSocketUA(router, "alice", port, tls, address=env.address(2))
        alice.register()
        sent = alice.invite(bob.aor)
        came = bob.request_in("INVITE", call_id=sent.call_id)
        bob.reply(came, 180, to_tag="b")
        alice.response_in(sent, final=False, least=180)
        alice.close()
        cancel = bob.request_in("CANCEL", call_id=sent.call_id, seconds=3)
        check("connection lost" in cancel.get("reason"), "Reason: %s", cancel.get("reason"))
        bob.reply(cancel, 200)
        bob.reply(came, 487, to_tag="b")
        bob.request_in("ACK", call_id=sent.call_id)
    equal(2, router.metrics()["strowger_callers_lost_total"], "callers lost")
    until("their records are complete",
          lambda: [r["disposition"] for r in router.json("calls") if r["end_time"]] == ["CANCELLED"] * 2)
    equal({("caller", 487)}, {(r["release_party"], r["sip_status"]) for r in router.json("calls")}, "who ended them")

    alice = UA(router, "alice", transport="tcp", address=env.address(2))
    alice.register()
    sent = alice.invite(bob.aor)
    came = bob.request_in("INVITE", call_id=sent.call_id)
    bob.reply(came, 180, to_tag="b")
    alice.close()
    bob.nothing("alice may come back", lambda m: m.method == "CANCEL", seconds=1)
    equal(2, router.metrics()["strowger_callers_lost_total"], "callers lost")


@case()
def a_call_to_a_page_that_ends_fails_at_once(env):
    """As a transport error (RFC 3261 §16.9): nobody waits for Timer C."""
    router, _ = prepared(env)
    for status in (None, 180):
        alice, bob = phones(env, router)
        sent = bob.invite(alice.aor)
        came = alice.request_in("INVITE", call_id=sent.call_id)
        if status:
            alice.reply(came, status, to_tag="a")
            bob.response_in(sent, final=False, least=status)
        alice.close()
        answer = bob.response_in(sent, seconds=3)
        check(answer.status in (408, 480, 500), "the answer: %s", answer)
        bob.ack_failure(sent, answer)
        alice = WebSocketUA(router, "alice", WS, address=env.address(2))
        alice.register(contact="*", expires=0)


@case()
def who_does_not_answer_pings_is_given_up(env):
    router, _ = prepared(env, ws={"ping": "1s"})
    alice, _ = phones(env, router)
    silent = connected(router)
    pings = 0
    end = time.monotonic() + 10
    while not silent.ended and time.monotonic() < end:
        alice.pump(0)  # she answers all the time
        if not silent.waiting(0.1) or not silent.more():
            continue
        for opcode, _, payload in iter(silent.take, None):
            equal(PING, opcode, "what comes")
            pings += 1
            if pings < 3:
                silent.send(frame(payload, PONG))
    check(silent.ended, "who does not answer stays")
    equal(3, pings, "pings until then")
    equal(1, refused(router, "no_pong"), "given up")
    alice.pump(0.5)
    equal("up", router.bindings("alice")[0]["flow"], "the flow of who answers")


@case()
def a_call_goes_on_over_a_new_connection(env):
    """A page that is loaded anew registers with the same instance: its calls find it there (RFC 5626 §5.3)."""
    router, _ = prepared(env)
    instance = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000abcd>";reg-id=1'
    alice = WebSocketUA(router, "alice", WS, address=env.address(2))
    alice.contact += instance
    bob = UA(router, "bob", address=env.address(3))
    alice.register(headers=[("Supported", "path, outbound")])
    bob.register()
    mine, theirs = call(alice, bob)
    alice.close()
    again = WebSocketUA(router, "alice", WS, address=env.address(2))
    again.contact += instance
    again.register(headers=[("Supported", "path, outbound")])
    theirs.hang_up(again)


@case()
def an_answer_goes_back_by_its_own_connection_only(env):
    """A response whose connection is gone is dropped: nothing else leads to a browser (RFC 7118 §5)."""
    router, _ = prepared(env)
    alice, bob = phones(env, router)
    other = WebSocketUA(router, "alice", WS, address=env.address(2))
    other.register()
    sent = alice.invite(bob.aor)
    came = bob.request_in("INVITE", call_id=sent.call_id)
    alice.close()
    until("the binding has no flow",
          lambda: sorted(b["flow"] for b in router.bindings("alice", count=2)) == ["lost", "up"])
    bob.reply(came, 486, "Busy")
    bob.request_in("ACK", call_id=sent.call_id)
    other.nothing("a response to another connection's request", lambda m: m.call_id == sent.call_id, 0.5)
    check(isinstance(other.exchange(other.request("OPTIONS", "sip:" + router.address)), Message), "no OPTIONS")


@case()
def who_reads_nothing_is_cut_off(env):
    """Pings without end to which nobody reads the answers: memory stays, and so do the others."""
    router, _ = prepared(env)
    alice, bob = phones(env, router)
    socket = connected(router)
    socket.socket.settimeout(0.2)
    flood = frame(b"x" * 125, PING) * 500
    end = time.monotonic() + 20
    sent = 0
    try:
        while time.monotonic() < end:
            sent += socket.socket.send(flood)
    except TimeoutError:
        pass  # we are made to wait: nothing is read from us any more
    except OSError:
        pass  # or cut off
    check(sent < 50 << 20, "%d MiB were taken", sent >> 20)
    call(alice, bob)[0].hang_up(bob)
