# SPDX-License-Identifier: Apache-2.0
"""RFC 5626: several flows of a phone, keepalives on the SIP ports, an edge before the registrar (RFC 3327)."""
import socket
import struct

from harness.case import case, check, equal
from harness.deadline import until
from harness.router import ALICE, BOB
from harness.ua import UA, call, call_both_ways

OUTBOUND = [("Supported", "path, outbound")]
INSTANCE = "urn:uuid:00000000-0000-1000-8000-000a95a0e128"
COOKIE = 0x2112A442


def flow_contact(ua, reg_id, instance=INSTANCE):
    return '%s;+sip.instance="<%s>";reg-id=%d' % (ua.contact, instance, reg_id)


def prepared(env, **settings):
    router = env.router(**settings)
    router.apply(ALICE, BOB)
    return router


def edge_and_registrar(env, **settings):
    """Two routers: (the edge, the registrar). Phones know the edge only."""
    registrar = env.router(last=1, name="registrar", registrar={"edges": [env.address(2)]}, **settings)
    registrar.apply(ALICE, BOB)
    edge = env.router(last=2, name="edge", domains=["edge.example.net"],
                      edge={"domains": ["example.com"], "registrar": "udp:%s:5060" % env.address(1)},
                      auth={"trusted": [env.address(1)]})
    return edge, registrar


def stun(ua, attributes=b"", transaction=b"twelve bytes"):
    """A Binding request by the phone's own socket; gives type and attributes of the answer."""
    ua.socket.sendto(struct.pack("!HHI", 1, len(attributes), COOKIE) + transaction + attributes, ua.to)
    ua.socket.settimeout(5)
    answer = ua.socket.recv(2048)
    ua.socket.settimeout(None)
    kind, length, cookie = struct.unpack("!HHI", answer[:8])
    equal((COOKIE, transaction, len(answer) - 20), (cookie, answer[8:20], length), "STUN answer")
    found, rest = {}, answer[20:]
    while rest:
        name, size = struct.unpack("!HH", rest[:4])
        found[name] = rest[4:4 + size]
        rest = rest[4 + (size + 3) // 4 * 4:]
    return kind, found


@case()
def stun_on_the_sip_port_tells_the_source(env):
    router = prepared(env)
    phone = UA(router, "bob", address=env.address(9))
    kind, found = stun(phone)
    equal(0x0101, kind, "STUN answer")
    _, family, port, host = struct.unpack("!BBHI", found[0x0020])
    equal((1, phone.port, phone.address),
          (family, port ^ COOKIE >> 16, socket.inet_ntoa(struct.pack("!I", host ^ COOKIE))), "XOR-MAPPED-ADDRESS")
    kind, found = stun(phone, b"\x70\x01\x00\x00")
    equal((0x0111, b"\x70\x01"), (kind, found[0x000A]), "an attribute nobody knows")
    equal(200, phone.exchange(phone.request("OPTIONS", "sip:%s" % router.address)).status, "OPTIONS by the same socket")
    until("the counter", lambda: router.metrics()["strowger_stun_answers_total"] == 2)


@case()
def two_flows_of_one_phone(env):
    """The newest is tried first; when its connection is gone, the other one; the phone rings once."""
    router = prepared(env)
    first = UA(router, "bob", address=env.address(3), transport="tcp")
    second = UA(router, "bob", address=env.address(3), transport="tcp")
    for reg_id, ua in ((1, first), (2, second)):
        answer = ua.register(contact=flow_contact(ua, reg_id), headers=OUTBOUND)
        equal("outbound", answer.get("require"), "Require")
        equal("120", answer.get("flow-timer"), "Flow-Timer")
    router.bindings("bob", count=2)
    alice = UA(router, "alice", address=env.address(4))
    mine, _ = call(alice, second)
    first.nothing("the second flow has it", lambda m: m.method == "INVITE", 0.5)
    mine.hang_up(second)
    second.close()
    until("the flow is known to be lost",
          lambda: sorted(b["flow"] for b in router.registrations("sip:bob@example.com")) == ["lost", "up"])
    mine, theirs = call(alice, first)
    theirs.hang_up(alice)
    # It comes back under the same reg-id: two again, not three.
    third = UA(router, "bob", address=env.address(3), transport="tcp")
    third.register(contact=flow_contact(third, 2), headers=OUTBOUND)
    equal(["up", "up"], [b["flow"] for b in router.bindings("bob", count=2)], "flows")
    mine, _ = call(alice, third)
    mine.hang_up(third)


@case()
def double_crlf_is_answered_with_one(env):
    router = prepared(env)
    phone = UA(router, "bob", address=env.address(3), transport="tcp")
    phone.send(b"\r\n\r\n")
    until("the pong", lambda: phone.pump(0.2) and phone.keepalives == 1)
    phone.register(contact=flow_contact(phone, 1), headers=OUTBOUND)


@case()
def a_phone_that_moves_leaves_nothing_behind(env):
    """RFC 5626 §6: the same instance and reg-id from another address takes the place of the old binding."""
    router = prepared(env)
    for last in (3, 4, 5):
        phone = UA(router, "bob", address=env.address(last))
        phone.register(contact=flow_contact(phone, 1), headers=OUTBOUND)
    check(phone.address in router.bindings("bob", count=1)[0]["received"], "the last address")


@case()
def calls_through_an_edge(env):
    """Both phones behind it, one on UDP, one on TCP; the edge holds nothing, the registrar asks for passwords."""
    edge, registrar = edge_and_registrar(env)
    alice = UA(edge, "alice", address=env.address(4), far=True)
    bob = UA(edge, "bob", address=env.address(3), transport="tcp", far=True)
    for ua in (alice, bob):
        answer = ua.register(contact=flow_contact(ua, 1, INSTANCE + ua.name), headers=OUTBOUND)
        equal("outbound", answer.get("require"), "Require")
        check(";ob>" in answer.get("path"), "Path: %s", answer.get("path"))
        equal("120" if ua is bob else None, answer.get("flow-timer"), "the edge's Flow-Timer")
    equal([], edge.registrations(), "what the edge holds")
    check(env.address(2) in registrar.bindings("bob")[0]["path"], "the binding's Path")
    call_both_ways(alice, bob)


@case()
def a_wrong_password_through_an_edge(env):
    edge, registrar = edge_and_registrar(env)
    mallory = UA(edge, "bob", password="guessed", address=env.address(5))
    mallory.register(contact=flow_contact(mallory, 1), headers=OUTBOUND, expected=401)
    registrar.bindings("bob", count=0)
    request = mallory.request("INVITE", "sip:carol@elsewhere.example", sender="sip:mallory@elsewhere.example")
    equal(403, mallory.exchange(request).status, "a call elsewhere through the edge")


@case()
def a_dead_flow_at_the_edge_and_the_next_one(env):
    """The edge says 430, the registrar tries the phone's other flow, and nobody hears of it (RFC 5626 §9.3)."""
    edge, registrar = edge_and_registrar(env)
    one = UA(edge, "bob", address=env.address(3), transport="tcp")
    two = UA(edge, "bob", address=env.address(3), transport="tcp")
    for reg_id, ua in ((1, one), (2, two)):
        ua.register(contact=flow_contact(ua, reg_id), headers=OUTBOUND)
    registrar.bindings("bob", count=2)
    two.close()
    alice = UA(edge, "alice", address=env.address(4), far=True)
    for _ in range(2):  # the binding that is dead is there until it ends, and is tried no more
        mine, _ = call(alice, one)
        mine.hang_up(one)
    flows = {b["reg_id"]: b["flow"] for b in registrar.bindings("bob", count=2)}
    check(flows[1] == "up", "flow 1 is %s", flows[1])
    one.close()
    request = alice.invite("sip:bob@example.com")
    answer = alice.final(request, 10)
    equal(480, answer.status, "when both are dead")
    until("both are marked", lambda: ["lost", "lost"] == [b["flow"] for b in registrar.bindings("bob", count=2)], 5)


@case()
def a_forged_flow_token_is_refused(env):
    edge, _ = edge_and_registrar(env)
    bob = UA(edge, "bob", address=env.address(3))
    path = bob.register(contact=flow_contact(bob, 1), headers=OUTBOUND).get("path")
    at = path.index(";p=") + 3
    stranger = UA(edge, "mallory", address=env.address(7), domain="elsewhere.example")
    for place in (at, at + 7, at + 20):
        forged = path[:place] + ("0" if path[place] != "0" else "1") + path[place + 1:]
        request = stranger.request("MESSAGE", "sip:bob@" + bob.sent_by, headers=[("Route", forged)], body=b"hello")
        equal(403, stranger.exchange(request).status, "a token with one changed character")
    bob.nothing("forged", lambda m: not m.is_response, 0.3)


@case()
def the_flows_of_an_edge_outlive_its_restart(env):
    """On UDP: the token is all there is, and its key is kept."""
    edge, _ = edge_and_registrar(env)
    bob = UA(edge, "bob", address=env.address(3))
    bob.register(contact=flow_contact(bob, 1), headers=OUTBOUND)
    edge.restart(hard=True)
    alice = UA(edge, "alice", address=env.address(4), far=True)
    mine, theirs = call(alice, bob)
    edge.restart(hard=True)
    theirs.hang_up(alice)


@case()
def a_first_hop_without_outbound_is_439(env):
    router = prepared(env, auth={"trusted": [env.address(3)]})
    bob = UA(router, "bob", address=env.address(3))
    request = bob.register_request(contact=flow_contact(bob, 1))
    request.headers.append(("Supported", "path, outbound"))
    request.headers.append(("Path", "<sip:%s;lr>" % bob.sent_by))
    equal(439, bob.exchange(request).status, "REGISTER through a proxy that keeps no flows")
