# SPDX-License-Identifier: Apache-2.0
"""Other domains by their names (RFC 3263): NAPTR, SRV, failover; DNS servers that are slow, dead or wrong."""
import socket
import time

from harness import sip
from harness.case import case, check, equal
from harness.deadline import until
from harness.nsd import BadServer, zone_server
from harness.router import ALICE, BOB
from harness.ua import SDP, UA, Dialog, call


def prepared(env, records, others=(), more=None, **settings):
    """A router that asks NSD (after `others`), and alice, who has registered."""
    good = [zone_server(env, env.address(9), "other.test", records)] if records else []
    router = env.router(dns=dict({"servers": list(others) + good, "timeout": "300ms"}, **(more or {})), **settings)
    router.apply(ALICE, BOB)
    alice = UA(router, "alice", address=env.address(2))
    alice.register()
    return router, alice


def far(env, router, last, port=5070, transport="udp"):
    """A phone or gateway elsewhere: it waits for requests."""
    return UA(router, "far", address=env.address(last), port=port, transport=transport)


def counters(router):
    return router.json("status")["dns"]


@case()
def a_call_goes_where_naptr_and_srv_say(env):
    there = env.address(20)
    router, alice = prepared(env, [
        '@ NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp',  # not by ours
        '@ NAPTR 20 50 "s" "SIP+D2U" "" _special._udp',
        "_special._udp SRV 10 0 5070 gateway",
        "gateway A " + there])
    gateway = far(env, router, 20)
    sent = alice.invite("sip:x@other.test")
    came = gateway.request_in("INVITE")
    equal("sip:x@other.test", came.uri, "Request-URI")
    gateway.reply(came, 200, "OK", to_tag="g", contact="<sip:x@gateway.other.test:5070>")
    answer = alice.final(sent)
    equal(200, answer.status, "the answer")
    dialog = Dialog.of_caller(alice, sent, answer)
    dialog.ack()  # by the name in the Contact, which has to be asked for
    gateway.request_in("ACK")
    alice.send(dialog.request("BYE"))
    bye = gateway.request_in("BYE")
    gateway.reply(bye, 200, "OK")
    before = counters(router)
    check(before["questions"] >= 3, "questions: %s", before)
    sent = alice.invite("sip:x@other.test")  # its worker may be the other one, which knows nothing yet
    came = gateway.request_in("INVITE")
    gateway.reply(came, 486, "Busy", to_tag="h")
    equal(486, alice.final(sent).status, "the second answer")


@case()
def without_records_the_host_itself_is_called(env):
    router, alice = prepared(env, ["@ A " + env.address(20), "gone A " + env.address(20)])
    gateway = far(env, router, 20, port=5060)
    _, answer = alice.authenticated(alice.request("OPTIONS", "sip:x@nowhere.other.test"))
    equal(404, answer.status, "a host that does not exist")
    request = alice.request("MESSAGE", "sip:x@OTHER.test", body=b"hello")
    answer = alice.exchange(request)
    alice.send(alice.with_credentials(request, answer))
    gateway.reply(gateway.request_in("MESSAGE"), 202, "Accepted", to_tag="m")


def failover(env, busy):
    """Three calls; at the target of the best priority nobody is, or one who says 503."""
    records = ["_sip._udp SRV 10 0 5071 first", "_sip._udp SRV 20 0 5070 second", "first A " + env.address(21),
               "second A " + env.address(20)]
    router, alice = prepared(env, records, workers=1)
    second = far(env, router, 20)
    first = far(env, router, 21, port=5071) if busy else None
    for number in range(3):
        sent = alice.invite("sip:x@other.test")
        if busy and number == 0:
            first.reply(first.request_in("INVITE"), 503, "Service Unavailable", to_tag="b")
            first.request_in("ACK")
        came = second.request_in("INVITE")
        second.reply(came, 603, "Decline", to_tag="s%d" % number)
        equal(603, alice.final(sent).status, "call %d" % number)
    if busy:  # it is known to be dead, and not asked again
        first.nothing("an INVITE", lambda m: not m.is_response and m.method == "INVITE", 0.3)
    equal(1, counters(router)["dead_targets"], "dead targets")


@case()
def the_next_target_is_tried_when_the_first_refuses(env):
    failover(env, busy=False)  # nobody there: the kernel says so


@case()
def the_next_target_is_tried_when_the_first_says_503(env):
    failover(env, busy=True)


@case()
def a_dead_dns_holds_up_nobody_else(env):
    dead = BadServer(env, env.address(8))
    router, alice = prepared(env, None, others=[dead.at], more={"wait": "3s"}, workers=1)
    bob = UA(router, "bob", address=env.address(3))
    bob.register()
    begin = time.monotonic()
    waits = alice.invite("sip:x@other.test")
    until("a request waits", lambda: counters(router)["requests_waiting"] == 1)
    call(alice, bob)
    took = time.monotonic() - begin
    check(took < 2.5, "a call beside it took %.1f s", took)
    equal(504, alice.final(waits, 6).status, "the call to a name")
    check(dead.asked > 0, "the server was not asked")
    equal(0, counters(router)["requests_waiting"], "requests that wait")


@case()
def a_failing_server_is_passed_over(env):
    bad = BadServer(env, env.address(8), fails=True)
    router, alice = prepared(env, ["@ A " + env.address(20)], others=[bad.at])
    gateway = far(env, router, 20, port=5060)
    sent = alice.invite("sip:x@other.test")
    gateway.reply(gateway.request_in("INVITE"), 486, "Busy", to_tag="g")
    equal(486, alice.final(sent).status, "the answer")
    check(bad.asked > 0, "the first server was not asked")


@case()
def a_call_that_waits_for_a_name_can_be_cancelled(env):
    dead = BadServer(env, env.address(8))
    router, alice = prepared(env, None, others=[dead.at], more={"wait": "2s"})
    sent = alice.invite("sip:x@other.test")
    until("a request waits", lambda: counters(router)["requests_waiting"] == 1)
    cancel = alice.request("CANCEL", sent.uri, call_id=sent.call_id, cseq=sent.cseq)
    for name in ("Via", "From", "To"):
        cancel.set(name, sent.get(name))
    alice.send(cancel)
    equal(487, alice.final(sent, 2).status, "the cancelled call")
    until("nobody waits", lambda: counters(router)["requests_waiting"] == 0)


@case()
def strangers_name_no_foreign_hosts(env):
    router, _ = prepared(env, ["@ A " + env.address(20)])
    stranger = UA(router, "mallory", address=env.address(5))
    answer = stranger.exchange(stranger.request("INVITE", "sip:x@other.test", sender="sip:mallory@evil.test"))
    check(answer.status in (403, 407), "a stranger's call: %s", answer)
    equal(0, counters(router)["questions"], "questions")


LARGE = SDP + b"a=x-long:" + 1200 * b"x" + b"\r\n"


def listener(env, last, port):
    """A TCP port that others call."""
    server = socket.create_server((env.address(last), port))
    server.settimeout(5)
    env.at_end(server.close)
    return server


def take_tcp(server):
    connection, _ = server.accept()
    connection.settimeout(5)
    stream = b""
    while True:
        raw, stream = sip.take_message(stream)
        if raw is not None:
            return connection, sip.Message.parse(raw)
        stream += connection.recv(65536)


def decline(connection, request):
    fields = [("Via", v) for v in request.all("via")]
    fields += [(n, request.get(n)) for n in ("From", "Call-ID", "CSeq")] + [("To", request.get("to") + ";tag=l")]
    connection.sendall(sip.Message("SIP/2.0 603 Decline", fields).encode())


@case()
def a_request_too_large_for_a_datagram_goes_by_tcp(env):
    router, alice = prepared(env, ["_sip._udp SRV 10 0 5070 host", "host A " + env.address(20)], workers=1)
    server = listener(env, 20, 5070)
    there = far(env, router, 20)
    for uri in ("sip:x@%s:5070" % env.address(20), "sip:x@other.test"):
        sent = alice.invite(uri, body=LARGE)
        connection, came = take_tcp(server) if uri.startswith("sip:x@127") else take_same(connection)
        check(came.all("via")[0].startswith("SIP/2.0/TCP"), "Via: %s", came.all("via")[0])
        equal(LARGE, came.body, "body")
        decline(connection, came)
        equal(603, alice.final(sent).status, uri)
    small = alice.invite("sip:x@%s:5070" % env.address(20))
    came = there.request_in("INVITE")
    there.reply(came, 486, "Busy", to_tag="u")
    equal(486, alice.final(small).status, "a small one")


def take_same(connection):
    """The next INVITE on the same connection; the ACK of the failure before is passed over."""
    stream = b""
    while True:
        raw, stream = sip.take_message(stream)
        if raw is None:
            stream += connection.recv(65536)
            continue
        message = sip.Message.parse(raw)
        if message.method == "INVITE":
            return connection, message


@case()
def a_large_request_goes_by_udp_where_tcp_is_refused(env):
    router, alice = prepared(env, ["_sip._udp SRV 10 0 5070 host", "host A " + env.address(20)], workers=1)
    there = far(env, router, 20)
    for uri in ("sip:x@%s:5070" % env.address(20), "sip:x@other.test", "sip:x@other.test"):
        sent = alice.invite(uri, body=LARGE)
        came = there.request_in("INVITE")
        check(came.all("via")[0].startswith("SIP/2.0/UDP"), "Via: %s", came.all("via")[0])
        there.reply(came, 486, "Busy", to_tag="u")
        equal(486, alice.final(sent).status, uri)
    equal(1, counters(router)["died"], "times that TCP was tried")
