# SPDX-License-Identifier: Apache-2.0
"""At each limit, past each limit, and what no phone sends."""
import random
import socket
import time

from harness.case import case, check, equal
from harness.deadline import until
from harness.load import Registrations
from harness.router import ALICE, BOB
from harness.sip import Message
from harness.ua import UA

# src/sip/msg.h and src/net/framing.h: the limit, and the answer past it.
MESSAGE, FIELDS, START_LINE, VIAS, ROUTES, CONTACTS = 65535, 200, 8192, 70, 64, 64


def stranger(env, router, transport="udp", last=8):
    return UA(router, "x", address=env.address(last), domain="elsewhere.net", transport=transport)


def options(ua, router, headers=(), uri=None, body=b""):
    return ua.request("OPTIONS", uri or "sip:" + router.address, headers=headers, body=body)


def alive(ua, router):
    """A new OPTIONS from the same socket is answered."""
    equal(200, ua.exchange(options(ua, router)).status, "OPTIONS afterwards")


def answered(ua, request, seconds=2.0):
    """The final status, or None when nothing comes."""
    try:
        return ua.exchange(request, seconds).status
    except AssertionError:
        return None


def at_and_past(env, make, limit, past, transport="udp"):
    """make(ua, router, n) with n = the limit is served, n = limit + 1 gets one of `past` (None: nothing)."""
    router = env.router()
    ua = stranger(env, router, transport)
    equal(200, answered(ua, make(ua, router, limit)), "at the limit of %d" % limit)
    got = answered(ua, make(ua, router, limit + 1))
    check(got in past, "past the limit of %d: %s, wanted one of %s", limit, got, past)
    # A stream whose framing is lost is closed after the answer; so ask on a new one.
    alive(stranger(env, router, transport), router)
    check(router.running(), "the router has ended")


@case()
def header_fields(env):
    def make(ua, router, n):
        request = options(ua, router)
        request.headers += [("X-%d" % i, "y") for i in range(n - len(request.headers) - 1)]  # and Content-Length
        return request
    at_and_past(env, make, FIELDS, (400,))


@case()
def via_values(env):
    def make(ua, router, n):
        request = options(ua, router)
        request.headers[1:1] = [("Via", "SIP/2.0/UDP h%d.invalid;branch=z9hG4bKx%d" % (i, i)) for i in range(n - 1)]
        return request
    at_and_past(env, make, VIAS, (400,))


@case()
def via_values_in_one_line(env):
    def make(ua, router, n):
        request = options(ua, router)
        request.headers.insert(1, ("Via", ", ".join("SIP/2.0/UDP h;branch=z9hG4bKx%d" % i for i in range(n - 1))))
        return request
    at_and_past(env, make, VIAS, (400,))


@case()
def route_values(env):
    """The first names us; that the rest is not followed for a stranger is another case's matter."""
    router = env.router()
    ua = stranger(env, router)
    for n in (ROUTES, ROUTES + 1):
        request = options(ua, router)
        request.headers += [("Route", "<sip:%s;lr>" % router.address)] * n
        got = answered(ua, request)
        check(got is not None and (got == 400) == (n > ROUTES), "%d Route values: %s", n, got)
    alive(ua, router)


@case()
def contacts_of_a_register(env):
    router = env.router(auth={"required": False}, registrar={"max_contacts": 64})
    ua = UA(router, "alice", address=env.address(2))
    for n, wanted in ((CONTACTS, 200), (CONTACTS + 1, 400)):
        request = ua.register_request(contact=", ".join("<sip:a@192.0.2.1:%d>" % (2000 + i) for i in range(n)))
        equal(wanted, answered(ua, request), "REGISTER with %d contacts" % n)
    equal(CONTACTS, len(router.registrations("sip:alice@example.com")), "bindings")


@case()
def the_start_line(env):
    def make(ua, router, n):
        start = "OPTIONS sip:%s;x= SIP/2.0" % router.address
        return options(ua, router, uri="sip:%s;x=%s" % (router.address, "a" * (n - len(start)))).set("To", "<sip:y>")
    router = env.router()
    ua = stranger(env, router)
    got = answered(ua, make(ua, router, START_LINE))
    check(got not in (None, 414), "a start line of %d bytes: %s", START_LINE, got)
    equal(414, answered(ua, make(ua, router, START_LINE + 1)), "a start line of %d bytes" % (START_LINE + 1))
    alive(ua, router)


def message_of(ua, router, size):
    request = options(ua, router, headers=[("Content-Type", "text/plain")])
    request.headers.append(("Content-Length", "00000"))
    room = size - len(request.encode())
    request.set("Content-Length", "%05d" % room)
    request.body = b"b" * room
    return request


@case()
def the_largest_datagram(env):
    """65507 bytes is what UDP over IPv4 can carry."""
    router = env.router()
    ua = stranger(env, router)
    equal(200, answered(ua, message_of(ua, router, 65507)), "OPTIONS of 65507 bytes")
    alive(ua, router)


@case()
def the_largest_message_on_a_stream(env):
    at_and_past(env, message_of, MESSAGE, (513,), "tcp")


@case()
def too_large_for_a_stream(env):
    """Far too large, and the body never comes; and one whose header section alone is too large."""
    router = env.router()
    ua = stranger(env, router, "tcp")
    promising = options(ua, router, headers=[("Content-Type", "text/plain")])
    promising.headers.append(("Content-Length", "4000000"))
    equal(513, answered(ua, promising), "OPTIONS that promises 4 MB")
    until("the connection is closed", lambda: ua.pump(0.1) and ua.closed, 10)

    ua = stranger(env, router, "tcp")
    equal(513, answered(ua, options(ua, router, headers=[("X", "x" * 70000)])), "a header field of 70,000 bytes")
    until("the connection is closed", lambda: ua.pump(0.1) and ua.closed, 10)
    alive(stranger(env, router, "tcp"), router)


@case()
def a_head_without_end_on_a_stream(env):
    router = env.router()
    ua = stranger(env, router, "tcp")
    ua.socket.settimeout(10)
    try:
        for _ in range(200):
            ua.socket.sendall(b"X-More: " + b"m" * 1000 + b"\r\n")
    except OSError:
        pass
    ua.socket.settimeout(None)
    until("the connection is closed", lambda: ua.pump(0.1) and ua.closed, 10)
    alive(stranger(env, router, "tcp"), router)


@case()
def long_values_everywhere(env):
    """One long value in each header field that is looked into; any answer will do, none is fine, dying is not."""
    router = env.router()
    ua = stranger(env, router)
    for size in (255, 256, 1023, 1024, 4095, 4096, 8191, 8192, 30000):
        long = "a" * size
        for name, value in (
                ("From", "<sip:%s@h>;tag=1" % long), ("From", '"%s" <sip:x@h>;tag=1' % long),
                ("From", "<sip:x@h>;tag=" + long), ("To", "<sip:x@h>;p=" + long), ("Call-ID", long),
                ("Route", "<sip:%s;lr;%s>" % (router.address, long)), ("Require", long),
                ("Proxy-Authorization", 'Digest username="%s"' % long), ("Max-Forwards", "9" * size),
                ("CSeq", "1 " + "O" * size), ("Via", "SIP/2.0/UDP %s;branch=z9hG4bK%s" % (ua.sent_by, long)),
                ("Contact", "<sip:x@h>;expires=" + "9" * size), ("Content-Type", long)):
            ua.send(options(ua, router).set(name, value))
    alive(ua, router)


@case(seconds=40)
def garbage_for_five_seconds(env):
    """Random bytes, and good messages with random bytes changed, cut, doubled; over UDP and TCP."""
    router = env.router()
    router.apply(ALICE, BOB)
    ua = stranger(env, router)
    seed = int(time.time())
    env.note("garbage: seed %d" % seed)
    chance = random.Random(seed)
    good = [options(ua, router).encode(), ua.request("INVITE", "sip:bob@example.com", body=b"v=0\r\n").encode(),
            ua.register_request().encode(), ua.request("CANCEL", "sip:bob@example.com").encode(),
            ua.request("ACK", "sip:bob@example.com").encode(),
            Message("SIP/2.0 200 OK", ua.request("BYE", "sip:bob@example.com").headers).encode()]
    end, count = time.monotonic() + 5, 0
    stream = None
    while time.monotonic() < end:
        if chance.random() < 0.8:
            raw = bytearray(chance.choice(good))
        else:
            raw = bytearray(chance.randbytes(chance.randint(0, 2000)))
        for _ in range(chance.choice([0, 1, 1, 2, 5, 20])):
            at = chance.randint(0, len(raw))
            what = chance.randint(0, 4)
            if what == 0:
                raw[at:at + 1] = bytes([chance.randint(0, 255)])
            elif what == 1:
                del raw[at:at + chance.randint(1, 40)]
            elif what == 2:
                raw[at:at] = raw[at:at + chance.randint(1, 200)]
            elif what == 3:
                raw[at:at] = chance.choice([b"\r\n", b"\r\n "] + [bytes([c]) for c in b'\0,;"<>=:@%['])
            else:
                raw[at:at] = chance.choice([b"99999999999999999999", b"-1", b"4294967296", b"%00"])
        if chance.random() < 0.7:
            ua.socket.sendto(bytes(raw[:65000]), ua.to)
        else:
            try:
                if not stream or chance.random() < 0.1:
                    stream = socket.create_connection(ua.to, timeout=1)
                    stream.settimeout(0.2)
                stream.sendall(raw)
            except OSError:
                stream = None
        count += 1
        ua.pump(0)
        del ua.inbox[:]
    check(count > 500, "only %d messages were sent", count)
    check(router.running(), "the router has ended (seed %d)", seed)
    alive(stranger(env, router), router)
    alive(stranger(env, router, "tcp"), router)


@case()
def double_crlf_is_answered(env):
    """RFC 5626 §3.5.1: a double CRLF on a stream is a ping, a single one its pong."""
    router = env.router()
    ua = stranger(env, router, "tcp")
    for count in (1, 2, 3):
        ua.send(b"\r\n\r\n")
        until("CRLF", lambda: ua.pump(0.2) and ua.keepalives >= count, 3)
    alive(ua, router)
    udp = stranger(env, router)
    udp.send(b"\r\n\r\n")
    udp.send(b"\0")
    alive(udp, router)


@case()
def messages_in_pieces_and_in_one_piece(env):
    router = env.router()
    ua = stranger(env, router, "tcp")
    requests = [options(ua, router, headers=[("Content-Type", "text/plain")], body=b"b" * n) for n in (0, 5, 3000)]
    ua.send(b"\r\n" + b"".join(r.encode() for r in requests))
    for request in requests:
        equal(200, ua.response_in(request).status, "one of three in one segment")
    request = options(ua, router)
    for byte in request.encode():
        ua.send(bytes([byte]))
    equal(200, ua.response_in(request).status, "a message byte by byte")


@case()
def a_stream_without_content_length_is_closed(env):
    """RFC 3261 §18.3: on a stream it must be there; without it nobody knows where the next message begins."""
    router = env.router()
    for value, wanted in ((None, 400), ("-1", 400), ("99999999999", 513), ("x", 400)):
        ua = stranger(env, router, "tcp")
        raw = options(ua, router).encode()
        ua.send(raw.replace(b"Content-Length: 0\r\n", b"Content-Length: %s\r\n" % value.encode() if value else b""))
        until("the connection is closed after Content-Length %s" % value, lambda: ua.pump(0.2) and ua.closed, 5)
        check(all(m.status == wanted for m in ua.inbox), "answers to %s: %s", value, ua.inbox)
    alive(stranger(env, router, "tcp"), router)


@case(seconds=100)
def a_slow_sender_is_cut_off(env):
    """It sends one byte a second of a message that never ends: the time for a message is bounded."""
    router = env.router()
    ua = stranger(env, router, "tcp")
    raw = options(ua, router, body=b"b" * 500).encode()
    began = time.monotonic()
    for byte in raw:
        try:
            ua.send(bytes([byte]))
        except OSError:
            break
        ua.pump(0.9)
        if ua.closed or time.monotonic() - began > 80:
            break
    check(ua.closed, "still open after %.0f s", time.monotonic() - began)
    alive(stranger(env, router, "tcp"), router)


@case()
def connections_of_one_address_are_limited(env):
    router = env.router(limits={"connections_per_address": 20})
    many = [stranger(env, router, "tcp", last=8) for _ in range(60)]

    def left():
        for ua in many:
            ua.pump(0)
        return len([u for u in many if not u.closed])
    # Over all workers, and there are two.
    until("20 of 60 connections are kept", lambda: left() <= 20, 5)
    check(left() == 20, "only %d of 60 connections are kept", left())
    alive(stranger(env, router, "tcp", last=7), router)
    kept = [u for u in many if not u.closed]
    alive(kept[0], router)


@case()
def a_phone_that_does_not_read_does_not_block_the_others(env):
    router = env.router()
    router.apply(ALICE, BOB)
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    lazy.bind((env.address(8), 0))
    lazy.connect(router.at)
    lazy.settimeout(0.2)
    ua = stranger(env, router, last=8)
    request = options(ua, router).encode().replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
    try:
        for _ in range(20000):
            lazy.sendall(request)
    except OSError:
        pass
    for transport in ("udp", "tcp"):
        alive(stranger(env, router, transport, last=7), router)
    lazy.close()
    check(router.running(), "the router has ended")


@case(seconds=60)
def a_flood_of_registrations_is_survived(env):
    """As fast as this machine sends: the router may refuse, but answers others and is there afterwards."""
    router = env.router(auth={"required": False}, log={"format": "text", "level": "info"})
    load = Registrations(env.address(9), router.at)
    load.run(3, 20000)
    load.read(0.5)
    alive(stranger(env, router), router)
    check(load.acknowledged, "no registration was taken; refused: %s", load.refused)
    env.note("flood: %d sent, %d taken, refused %s" % (load.sent, len(load.acknowledged), load.refused or "none"))
